//! OTP's own tests of its `supervisor_bridge`, `supervisor_bridge_SUITE`, under their names: what is no process of the BEAM stands in the tree
//! there by a bridge, and here an OS process does.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use regrow::{
    Backoff, ChildInfo, ExitKind, GiveUp, OperateError, Phase, Restart, Supervisor, System,
};
use regrow_process::{Process, Stage, StopPlan};

const SOON: Duration = Duration::from_secs(10);

/// The cases in OTP's order, and why one is left out.
const CASES: [(&str, Option<&str>); 7] = [
    ("starting", None),
    ("mini_terminate", None),
    ("mini_die", None),
    ("badstart", None),
    ("simple_global_supervisor", None),
    ("format_log_1", Some("it is about Erlang's log formatter")),
    ("format_log_2", Some("it is about Erlang's log formatter")),
];

#[test]
fn every_portable_case_of_otps_suite_has_its_test() {
    let source = include_str!("supervisor_bridge.rs");
    for (case, left_out) in CASES {
        let found = source.matches(&format!("async fn {case}()")).count();
        assert_eq!(
            found,
            usize::from(left_out.is_none()),
            "{case}: {left_out:?}"
        );
    }
}

fn bridge(script: &str) -> Process {
    let plan = StopPlan::default().stage(Stage::Terminate, Duration::from_secs(1));
    Process::new("bridge", "sh")
        .args(["-c", script])
        .start_window(Duration::from_millis(50))
        .stop_plan(plan)
        .restart(Restart::Transient)
        .backoff(Backoff::none())
        .give_up(GiveUp::Park)
}

async fn up(bridge: Process) -> System {
    let root = Supervisor::new("root").no_intensity_limit().child(bridge);
    let system = System::launch(root).await.unwrap();
    system.booted().await.unwrap();
    system
}

/// Waits for something real, by looking again and again.
async fn until(system: &System, what: impl Fn(&ChildInfo) -> bool) -> ChildInfo {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        let info = system.which_child("root/bridge").await.unwrap();
        if what(&info) {
            return info;
        }
        assert!(Instant::now() < deadline, "in time: {info:?}");
        look.tick().await;
    }
}

fn ended_with(info: &ChildInfo) -> ExitKind {
    info.last_exit.as_ref().unwrap().reason.kind()
}

/// An error of the start passes through the bridge, to whoever adds it. (A process cannot ask to be ignored.)
#[tokio::test]
async fn starting() {
    let system = System::start(Supervisor::new("root")).await.unwrap();
    let missing = Process::new("bridge", "there-is-no-such-program").give_up(GiveUp::Escalate);
    let failed = system.start_child("root", missing).await.unwrap_err();
    assert!(
        matches!(failed, OperateError::DidNotStart { .. }),
        "{failed}"
    );
    assert!(
        failed.to_string().contains("there-is-no-such-program"),
        "{failed}"
    );
}

/// A worker that is killed ends its bridge, as killed.
#[tokio::test]
async fn mini_terminate() {
    let process = bridge("exec sleep 1000").restart(Restart::Permanent);
    let handle = process.handle();
    let system = up(process).await;
    let pid = i32::try_from(handle.status().pid.unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let info = until(&system, |info| info.generation == 2).await;
    assert_eq!(ended_with(&info), ExitKind::Signal(9));
    drop(system.shut_down().await);
}

/// A worker that dies by itself ends its bridge, with its own reason.
#[tokio::test]
async fn mini_die() {
    let system = up(bridge("sleep 0.2; exit 7")).await;
    let info = until(&system, |info| info.generation == 2).await;
    assert_eq!(ended_with(&info), ExitKind::Exit(7));
    drop(system.shut_down().await);
}

/// A bad name is refused, and so is one that is taken.
#[tokio::test]
async fn badstart() {
    let system = up(bridge("exec sleep 1000")).await;
    let bad = Process::new("No Name", "sh");
    let bad = system.start_child("root", bad).await.unwrap_err();
    assert!(matches!(bad, OperateError::InvalidId { .. }), "{bad}");
    let again = system.start_child("root", bridge("exec sleep 1000")).await;
    let again = again.unwrap_err();
    assert!(
        matches!(again, OperateError::AlreadyStarted { .. }),
        "{again}"
    );
    drop(system.shut_down().await);
}

/// One that an operator has ended stays down; started again, and killed, it is found in its place by the same path.
#[tokio::test]
async fn simple_global_supervisor() {
    let process = bridge("exec sleep 1000");
    let handle = process.handle();
    let system = up(process).await;
    drop(system.terminate_child("root/bridge").await.unwrap());
    assert_eq!(until(&system, |_| true).await.phase, Phase::Stopped);
    drop(system.restart_child("root/bridge").await.unwrap());
    let pid = i32::try_from(handle.status().pid.unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let back = |info: &ChildInfo| info.generation == 3 && info.phase == Phase::Running;
    assert_eq!(until(&system, back).await.restarts, 1);
    drop(system.shut_down().await);
}
