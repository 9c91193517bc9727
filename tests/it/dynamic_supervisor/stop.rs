//! How children, and their supervisor, are stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::testing::{Puppet, PuppetStart, TestSystem};
use regrow::{ChildSpec, DynamicSupervisor, ExitKind, OperateError, Payload, Restart, Shutdown};

use super::{SECOND, add, counts, crowd, restarting, up};

/// What each child's last life ended with.
type Ends = Arc<Mutex<BTreeMap<String, ExitKind>>>;

fn ends(system: &TestSystem) -> Ends {
    let ends = Ends::default();
    let noted = Arc::clone(&ends);
    let note = move |event: &regrow::Event| {
        if let Payload::ChildTerminated { reason, .. } = &event.payload {
            let id = event.subject.path.id().to_owned();
            noted
                .lock()
                .expect("no test panics here")
                .insert(id, reason.kind());
        }
    };
    system
        .telemetry()
        .attach("ends", note)
        .expect("a free name");
    ends
}

/// Starts three children of a kind, stops their supervisor, and tells how each has ended and how long it took.
async fn stop_three(child: impl Fn(&str) -> ChildSpec) -> (Vec<ExitKind>, Duration) {
    let system = up(crowd()).await;
    for id in ["a", "b", "c"] {
        add(&system, child(id)).await;
    }
    let ends = ends(&system);
    let before = tokio::time::Instant::now();
    drop(
        system
            .terminate_child("root/crowd")
            .await
            .expect("it is there"),
    );
    let took = before.elapsed();
    let ends = ends.lock().expect("no test panics here").clone();
    let of = |id: &&str| ends.get(*id).copied();
    (["a", "b", "c"].iter().filter_map(of).collect(), took)
}

/// Ends with an error when it is asked to stop.
#[derive(Clone)]
struct Sore;

impl Actor for Sore {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<()>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("oops".into())
    }
}

fn sore(id: &str) -> ChildSpec {
    ChildSpec::actor(id, Sore, ())
}

/// Case 29.
#[tokio::test(start_paused = true)]
async fn start_child_with_valid_shutdown() {
    let system = up(crowd()).await;
    add(&system, Puppet::spec("a").shutdown(Duration::ZERO)).await;
    add(
        &system,
        Puppet::spec("b").shutdown(Duration::from_millis(1)),
    )
    .await;
    assert_eq!(counts(&system).await, (2, 2));
}

/// Case 31.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_brutal_kill() {
    let child = |id: &str| Puppet::stopping_slowly(id, SECOND).shutdown(Shutdown::BrutalKill);
    let killed = (vec![ExitKind::Killed; 3], Duration::ZERO);
    assert_eq!(stop_three(child).await, killed);
}

/// Case 32.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_infinity_shutdown() {
    let hour = 3_600 * SECOND;
    let child = |id: &str| Puppet::stopping_slowly(id, hour).shutdown(Shutdown::Infinity);
    assert_eq!(stop_three(child).await, (vec![ExitKind::Shutdown; 3], hour));
}

/// Case 33: how it has ended is told, not how it was asked to.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_infinity_shutdown_and_abnormal_reason() {
    let child = |id: &str| sore(id).shutdown(Shutdown::Infinity);
    assert_eq!(stop_three(child).await.0, [ExitKind::Error; 3]);
}

/// Case 34.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_integer_shutdown() {
    let child = |id: &str| Puppet::stopping_slowly(id, SECOND).shutdown(2 * SECOND);
    assert_eq!(
        stop_three(child).await,
        (vec![ExitKind::Shutdown; 3], SECOND)
    );
}

/// Case 35.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_integer_shutdown_and_abnormal_reason() {
    let child = |id: &str| sore(id).shutdown(SECOND);
    assert_eq!(stop_three(child).await.0, [ExitKind::Error; 3]);
}

/// Case 36: the one that takes too long is killed, and the others are not.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_expired_integer_shutdown() {
    let child = |id: &str| match id {
        "b" => Puppet::stopping_slowly(id, 60 * SECOND).shutdown(SECOND),
        _ => Puppet::spec(id).shutdown(SECOND),
    };
    let mixed = vec![ExitKind::Shutdown, ExitKind::Killed, ExitKind::Shutdown];
    assert_eq!(stop_three(child).await, (mixed, SECOND));
}

/// Case 37: permanent, and asked to end; an end that was asked for is `shutdown` here, and nobody comes back.
#[tokio::test(start_paused = true)]
async fn terminates_children_with_permanent_restart_and_normal_reason() {
    let child = |id: &str| {
        Puppet::spec(id)
            .restart(Restart::Permanent)
            .shutdown(SECOND)
    };
    assert_eq!(
        stop_three(child).await,
        (vec![ExitKind::Shutdown; 3], Duration::ZERO)
    );
}

/// Case 38.
#[tokio::test(start_paused = true)]
async fn terminates_with_mixed_children() {
    let child = |id: &str| match id {
        "a" => Puppet::spec(id).shutdown(Shutdown::Infinity),
        _ => Puppet::spec(id).shutdown(Shutdown::BrutalKill),
    };
    let mixed = vec![ExitKind::Shutdown, ExitKind::Killed, ExitKind::Killed];
    assert_eq!(stop_three(child).await, (mixed, Duration::ZERO));
}

/// Adds a child, ends it by an operation, and tells how it ended; a second time there is nobody.
async fn terminated(child: ChildSpec) -> Option<ExitKind> {
    let system = up(crowd()).await;
    add(&system, child).await;
    let ends = ends(&system);
    let gone = system.terminate_child("root/crowd/a").await;
    drop(gone.expect("it is there"));
    assert_eq!(counts(&system).await, (0, 0));
    let again = system.terminate_child("root/crowd/a").await;
    assert!(
        matches!(again, Err(OperateError::NotFound { .. })),
        "{again:?}"
    );
    let ends = ends.lock().expect("no test panics here");
    ends.get("a").copied()
}

/// Case 39.
#[tokio::test(start_paused = true)]
async fn terminates_child_with_brutal_kill() {
    let child = Puppet::spec("a").shutdown(Shutdown::BrutalKill);
    assert_eq!(terminated(child).await, Some(ExitKind::Killed));
}

/// Case 40.
#[tokio::test(start_paused = true)]
async fn terminates_child_with_integer_shutdown() {
    let child = Puppet::spec("a").shutdown(SECOND);
    assert_eq!(terminated(child).await, Some(ExitKind::Shutdown));
}

/// Case 41: with delays, so that there is time to end one that is being restarted.
#[tokio::test(start_paused = true)]
async fn terminates_restarting_child() {
    let crowd = DynamicSupervisor::new("crowd").no_intensity_limit();
    let mut system = up(crowd).await;
    add(&system, restarting("a", PuppetStart::Refuse)).await;
    system.puppet("root/crowd/a").shut_down();
    system
        .expect("regrow.child.start_failed", "root/crowd/a")
        .await;
    assert_eq!(counts(&system).await, (1, 0));
    drop(system.terminate_child("root/crowd/a").await.unwrap());
    assert_eq!(counts(&system).await, (0, 0));
    let again = system.terminate_child("root/crowd/a").await;
    assert!(
        matches!(again, Err(OperateError::NotFound { .. })),
        "{again:?}"
    );
}
