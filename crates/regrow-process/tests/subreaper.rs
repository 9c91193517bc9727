//! A program that adopts its orphans. It has a file of its own: adopting is a matter of the whole program.

#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use regrow::{Restart, Supervisor, System};
use regrow_process::{Abilities, ControlGroups, Host, Process, become_subreaper};

const SOON: Duration = Duration::from_secs(10);

/// Waits for something real, by looking again and again.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while !condition() {
        assert!(Instant::now() < deadline, "in time: {what}");
        look.tick().await;
    }
}

fn agent(id: &str, script: &str, host: &Host) -> Process {
    Process::new(id, "sh")
        .args(["-c", script])
        .start_window(Duration::ZERO)
        .restart(Restart::Temporary)
        .host(host.clone())
}

fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// One test, so that nothing else of this program is a child meanwhile.
#[tokio::test]
async fn orphans_are_adopted_reaped_when_they_end_and_killed_with_the_rest() {
    become_subreaper().unwrap();
    let host = Host::new().control_groups();
    // The first double-forks something that ends at once; the second something without any mark that stays.
    let brief = agent(
        "brief",
        "(setsid sh -c 'echo $$' &); exec sleep 1000",
        &host,
    );
    let lasting = "(env -i setsid sh -c 'echo $$; exec sleep 1000' &); exec sleep 1000";
    let lasting = agent("lasting", lasting, &host);
    let handles = [brief.handle(), lasting.handle()];
    let root = Supervisor::new("root").child(brief).child(lasting);
    let system = System::launch(root).await.unwrap();
    until("both write", || {
        handles
            .iter()
            .all(|handle| !handle.output().tail(1).is_empty())
    })
    .await;
    let [ended, unmarked] = handles.map(|handle| handle.output().tail(1)[0].text());

    until("the orphan that ended is reaped", || {
        state(&ended).is_none()
    })
    .await;
    assert!(state(&unmarked).is_some());

    // What an agent leaves is gone before its end is told.
    let third = "(setsid sh -c 'echo $$; exec sleep 1000' &); read line";
    let third = agent("third", third, &host);
    let handle = third.handle();
    system.start_child("root", third).await.unwrap();
    until("the third writes", || !handle.output().tail(1).is_empty()).await;
    let left = handle.output().tail(1)[0].text();
    system.terminate_child("root/third").await.unwrap();
    assert!(state(&left).is_none_or(|state| state == 'Z'), "it runs on");
    // The same of one that has shed all that tells whose it is, where each life has a control group.
    if let ControlGroups::Ours { .. } = Abilities::here().control_groups {
        let when_in = "until grep -q /regrow- /proc/self/cgroup; do sleep 0.01; done";
        let shed = "(env -i setsid sh -c 'echo $$; exec sleep 1000' &); read line";
        let fourth = agent("fourth", &format!("{when_in}; {shed}"), &host);
        let handle = fourth.handle();
        system.start_child("root", fourth).await.unwrap();
        until("the fourth writes", || !handle.output().tail(1).is_empty()).await;
        let left = handle.output().tail(1)[0].text();
        system.terminate_child("root/fourth").await.unwrap();
        assert!(state(&left).is_none_or(|state| state == 'Z'), "it runs on");
    } else {
        // Past the capture of output, so that it is seen.
        drop(writeln!(
            std::io::stderr(),
            "ABSENT: control groups of version 2 that are ours; what needs them is not tested"
        ));
    }
    drop(system.shut_down().await);
    assert_eq!(host.sweep_all().await, Vec::<u32>::new());
    until("nothing is left, not even a zombie", || {
        state(&unmarked).is_none()
    })
    .await;
}
