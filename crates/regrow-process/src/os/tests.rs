//! Rules of identities, sweeps and waiting, on real processes.

use super::*;

fn sleeper() -> (Child, Identity) {
    spawn(Command::new("sleep").arg("1000")).unwrap()
}

#[tokio::test]
async fn an_exit_is_seen_before_it_is_reaped() {
    let (mut child, leader) = spawn(Command::new("sh").args(["-c", "exit 7"])).unwrap();
    assert_eq!(exited(leader).await.unwrap(), Exit::Code(7));
    assert_eq!(exited(leader).await.unwrap(), Exit::Code(7));
    assert_eq!(
        exit_of_status(reap(&mut child, leader).unwrap().unwrap()),
        Exit::Code(7)
    );
    assert!(!is_own(leader.pid));
}

#[tokio::test]
async fn an_end_by_signal_names_the_signal() {
    let (mut child, leader) = sleeper();
    signal_group(leader, Signal::Kill).unwrap();
    assert_eq!(exited(leader).await.unwrap(), Exit::Signal(9));
    assert_eq!(
        exit_of_status(reap(&mut child, leader).unwrap().unwrap()),
        Exit::Signal(9)
    );
}

#[test]
fn signals_are_read_with_and_without_prefix() {
    assert_eq!("SIGTERM".parse(), Ok(Signal::Term));
    assert_eq!("int".parse(), Ok(Signal::Int));
    assert!("SIGNOPE".parse::<Signal>().is_err());
    for signal in Signal::ALL {
        assert_eq!(signal.as_str().parse(), Ok(signal));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_with_the_same_pid_but_another_start_is_not_swept() {
    let (mut child, leader) = sleeper();
    let stale = Identity {
        start_time: leader.start_time - 1,
        ..leader
    };
    let quarry = Quarry {
        marks: vec![Marks::Run {
            instance: "no such run".to_owned(),
        }],
        leaders: vec![stale],
        noted: vec![stale],
        groups: Vec::new(),
        not_before: 0,
        run: WhoseRun::Ours,
    };
    let until = Instant::now() + Duration::from_secs(1);
    assert_eq!(sweep(quarry, until).await, Vec::<u32>::new());
    assert_eq!(
        reap(&mut child, leader).unwrap(),
        None,
        "the stranger still lives"
    );
    signal_group(leader, Signal::Kill).unwrap();
    exited(leader).await.unwrap();
    reap(&mut child, leader).unwrap();
}

#[test]
fn a_look_is_sure_when_nobody_has_ended_who_may_have_started_somebody_since() {
    let process = |pid| Identity { pid, start_time: 1 };
    let look = |vanished, ended: &[i32]| Look {
        found: vec![],
        vanished,
        ended: ended.iter().copied().map(process).collect(),
    };
    let before = HashSet::from([process(7)]);
    assert!(look(0, &[]).is_sure(&before));
    assert!(look(0, &[7]).is_sure(&before), "it was alone then");
    assert!(!look(0, &[7, 8]).is_sure(&before));
    assert!(!look(1, &[]).is_sure(&before));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn limits_reach_what_was_started_before_they_were_set() {
    use crate::Limits;
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    // A child and a grandchild, both there before anything is limited.
    let script = "sh -c 'sleep 1000 & echo $$ $!; wait' & wait";
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .stdout(std::process::Stdio::piped());
    let (mut child, leader) = spawn(&mut command).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pids = lines.next_line().await.unwrap().unwrap();
    let bounds = Limits::default().open_files(99).bounds();
    limit_descendants(leader, &bounds, Some(3));
    for pid in pids
        .split(' ')
        .map(|pid| Pid::from_raw(pid.parse().unwrap()))
    {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.unwrap())).unwrap();
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let words: Vec<&str> = files.unwrap().split_ascii_whitespace().collect();
        assert_eq!(words[3..5], ["99", "99"]);
        assert_eq!(rustix::process::getpriority_process(pid).unwrap(), 3);
    }
    signal_group(leader, Signal::Kill).unwrap();
    exited(leader).await.unwrap();
    reap(&mut child, leader).unwrap();
}
