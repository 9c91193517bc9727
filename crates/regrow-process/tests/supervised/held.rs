//! Processes that are held, that run for as long as they may, and whose exit codes mean something.

use regrow::telemetry::Payload;
use regrow::{OperateError, StopCause};
use regrow_process::{ExitRules, ExitStatus, Follow};

use super::*;

#[tokio::test]
async fn a_paused_process_stays_up_and_is_stopped_restarted_and_resumed_as_ever() {
    let (system, handle) = up(agent("echo $REGROW_GENERATION; exec sleep 1000")).await;
    reaches(&system, Phase::Running).await;
    let path = "root/agent";
    let paused = system.pause_child(path).await.unwrap();
    assert_eq!((paused.phase, paused.ready), (Phase::Paused, false));
    assert!(handle.status().paused);
    assert_eq!(system.pause_child(path).await.unwrap().phase, Phase::Paused);
    let resumed = system.resume_child(path).await.unwrap();
    assert_eq!((resumed.phase, resumed.ready), (Phase::Running, true));
    assert_eq!(resumed.generation, 1);
    assert!(!handle.status().paused);
    system.pause_child(path).await.unwrap();
    let again = system.bounce_child(path).await.unwrap();
    assert_eq!((again.phase, again.generation), (Phase::Running, 2));
    assert!(!handle.status().paused, "the next life is not held");
    system.pause_child(path).await.unwrap();
    let stopped = system.terminate_child(path).await.unwrap();
    assert_eq!(stopped.phase, Phase::Stopped);
    let refused = system.pause_child(path).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "child \"root/agent\" is stopped; only one that is running or paused can be paused or resumed"
    );
    drop(system.shut_down().await);
}

#[tokio::test]
async fn one_that_starts_cannot_be_paused_and_a_killed_one_grows_back_unpaused() {
    let window = Duration::from_secs(1000);
    let (system, handle) = up(agent("exec sleep 1000").start_window(window)).await;
    reaches(&system, Phase::Starting).await;
    let refused = system.pause_child("root/agent").await.unwrap_err();
    assert!(matches!(refused, OperateError::NotUp { .. }), "{refused}");
    drop(system.shut_down().await);
    assert!(!handle.status().paused);
    let (system, handle) = up(agent("exec sleep 1000")).await;
    reaches(&system, Phase::Running).await;
    system.pause_child("root/agent").await.unwrap();
    kill(handle.status().pid.unwrap());
    until("the next life", || async {
        handle.status().generation == 2 && info(&system).await.phase == Phase::Running
    })
    .await;
    assert_eq!(info(&system).await.restarts, 1);
    drop(system.shut_down().await);
}

/// The cause and the reason of the next end.
async fn terminated(events: &mut regrow::telemetry::EventStream) -> (Option<StopCause>, String) {
    let seen = async {
        loop {
            let event = events.next().await.unwrap();
            if let Payload::ChildTerminated { cause, reason, .. } = &event.payload {
                return (*cause, reason.to_string());
            }
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap()
}

#[tokio::test]
async fn what_has_run_for_as_long_as_it_may_is_stopped_and_not_counted_as_a_crash() {
    let longest = Duration::from_millis(100);
    let of_each = |restart| {
        agent("exec sleep 1000")
            .max_runtime(longest)
            .restart(restart)
            .limit(RestartIntensity::new(0, Duration::from_secs(60)))
    };
    let (system, handle) = up(of_each(Restart::Transient)).await;
    let mut events = system.telemetry().subscribe(1_000).unwrap();
    let (cause, reason) = terminated(&mut events).await;
    assert_eq!((cause, &*reason), (Some(StopCause::MaxRuntime), "shutdown"));
    let completed = reaches(&system, Phase::Completed).await;
    assert_eq!((completed.restarts, handle.status().generation), (0, 1));
    drop(system.shut_down().await);
    // The limit allows no restart at all.
    let (system, handle) = up(of_each(Restart::Permanent)).await;
    until("the fourth life", || async {
        handle.status().generation >= 4
    })
    .await;
    assert_eq!(info(&system).await.restarts, 0);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn what_an_exit_code_means_goes_before_the_restart_type() {
    let (system, _handle) = up(agent("sleep 0.2; exit 78").restart(Restart::Permanent)).await;
    let parked = reaches(&system, Phase::Failed).await;
    assert_eq!(
        parked.parked_because.as_deref(),
        Some("exit code 78, after which it is never started again")
    );
    assert_eq!((parked.generation, parked.restarts), (1, 0));
    drop(system.shut_down().await);

    let rules = ExitRules::default().on(ExitStatus::Code(3), Follow::Rest);
    let (system, _handle) = up(agent("sleep 0.2; exit 3").exits(rules)).await;
    assert_eq!(reaches(&system, Phase::Completed).await.generation, 1);
    drop(system.shut_down().await);

    // A temporary one is never started again, but for this code.
    let (system, handle) = up(agent("sleep 0.1; exit 75").restart(Restart::Temporary)).await;
    until("the second life", || async {
        handle.status().generation >= 2
    })
    .await;
    drop(system.shut_down().await);
}
