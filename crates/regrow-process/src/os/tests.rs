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
        not_before: 0,
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
