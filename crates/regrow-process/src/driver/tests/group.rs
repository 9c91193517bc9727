//! A control group for each life, where the system has them for us.

use std::io::Write as _;
use std::path::PathBuf;

use super::*;

/// What a shell does first that wants to be in its group.
const WHEN_IN: &str = "until grep -q /regrow- /proc/self/cgroup; do sleep 0.01; done;";

/// It leaves its group of processes, its parents and its environment, and tells its pid.
const SHED: &str = "(env -i setsid sh -c 'echo $$; exec sleep 1000' &);";

/// A run whose lives have groups, and the folder of these.
fn grouped() -> Option<(Host, PathBuf)> {
    let host = Host::new().control_groups();
    let folder = host.group_folder().map(PathBuf::from);
    if folder.is_none() {
        // Past the capture of output, so that it is seen.
        drop(writeln!(
            io::stderr(),
            "ABSENT: control groups of version 2 that are ours; what needs them is not tested"
        ));
    }
    Some((host, folder?))
}

fn shell_of(host: &Host, id: &str, script: &str) -> Process {
    let Template { stop_plan, .. } = shell("").template;
    Process::new(id, "sh")
        .args(["-c", script])
        .stop_plan(stop_plan)
        .host(host.clone())
}

#[tokio::test]
async fn who_has_shed_all_that_tells_whose_it_is_ends_with_its_life_and_with_no_other() {
    let Some((host, folder)) = grouped() else {
        return;
    };
    let script = format!("{WHEN_IN} {SHED} read line");
    let first = Started::new(shell_of(&host, "first", &script), 1).await;
    let second = Started::new(shell_of(&host, "second", &script), 1).await;
    let lost = [first.wrote(1).await, second.wrote(1).await].concat();
    assert!(alive(&lost[0]) && alive(&lost[1]));
    first.wishes.raise(Wish::Stop);
    assert_eq!(first.ended().await.leaked, Vec::<u32>::new());
    assert!(!alive(&lost[0]) && alive(&lost[1]));
    second.wishes.raise(Wish::Kill);
    assert_eq!(second.ended().await.leaked, Vec::<u32>::new());
    assert!(!alive(&lost[1]));
    drop(host);
    assert!(!folder.exists());
}

#[tokio::test]
async fn who_forks_faster_than_one_can_look_loses() {
    let Some((host, folder)) = grouped() else {
        return;
    };
    let chain = "f() { sleep 0.001; f & }; f; f; f";
    let script = format!("{WHEN_IN} (env -i setsid sh -c '{chain}' &); sleep 0.1; exit 0");
    let agent = Started::new(shell_of(&host, "agent", &script), 1).await;
    assert_eq!(agent.ended().await.leaked, Vec::<u32>::new());
    let all = |host: &Host| Quarry {
        marks: vec![],
        leaders: vec![],
        noted: vec![],
        groups: host.group_folder().map(PathBuf::from).into_iter().collect(),
        not_before: 0,
        run: WhoseRun::Ours,
    };
    assert_eq!(os::find(all(&host)).await, []);
    drop(host);
    assert!(!folder.exists());
}

#[tokio::test]
async fn one_that_has_ended_before_it_could_be_put_there_leaves_no_group() {
    let Some((host, folder)) = grouped() else {
        return;
    };
    for generation in 1..=20 {
        let agent = Started::new(shell_of(&host, "brief", "exit 0"), generation).await;
        assert_eq!(agent.ended().await.end, End::Natural(Exit::Code(0)));
    }
    assert!(folder.exists());
    assert_eq!(host.sweep_all().await, Vec::<u32>::new());
    assert!(!folder.exists());
    // The run may go on all the same.
    let agent = Started::new(shell_of(&host, "brief", WHEN_IN), 21).await;
    assert_eq!(agent.ended().await.end, End::Natural(Exit::Code(0)));
}

#[tokio::test]
async fn two_lives_never_share_a_group() {
    let Some((host, folder)) = grouped() else {
        return;
    };
    let agent = Started::new(shell_of(&host, "agent", &format!("{WHEN_IN} read line")), 1).await;
    let pid = agent.process.handle().status().pid.unwrap();
    let leader = os::identify(i32::try_from(pid).unwrap()).unwrap();
    assert!(host.group("agent", 1, leader).is_none());
    let other = host.group("agent", 2, leader).unwrap();
    assert_eq!(other.path(), folder.join("agent.2"));
    other.close().await;
    agent.wishes.raise(Wish::Kill);
    agent.ended().await;
}
