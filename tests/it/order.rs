//! What comes after what: children that wait for others to be ready, or to end. Every kind of child is waited for in `kinds.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::time::Duration;

use regrow::testing::{Puppet, TestSystem};
use regrow::{
    BoxError, ChildSpec, Condition, Desired, GiveUp, InvalidTree, Order, Payload, Phase, Restart,
    RestartIntensity, Supervisor, TaskContext,
};
use tokio::sync::watch;

/// A task that says that it is ready, or ends in order, or fails, when it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Ready,
    End,
    Fail,
}

fn told(id: &str, told: &watch::Sender<Told>) -> ChildSpec {
    let told = told.subscribe();
    ChildSpec::task(id, move |context: TaskContext| {
        let mut told = told.clone();
        async move {
            loop {
                match *told.borrow_and_update() {
                    Told::Nothing => {}
                    Told::Ready => context.ready(),
                    Told::End => return Ok::<(), BoxError>(()),
                    Told::Fail => return Err("as told".into()),
                }
                tokio::select! {
                    _ = context.stopped() => return Ok(()),
                    changed = told.changed() => changed?,
                }
            }
        }
    })
}

fn root() -> Supervisor {
    Supervisor::new("root").order(Order::Dependencies)
}

async fn phase(system: &TestSystem, path: &str) -> Phase {
    system.which_child(path).await.unwrap().phase
}

#[tokio::test(start_paused = true)]
async fn a_child_is_started_when_the_one_it_waits_for_is_ready_and_found_as_ready_only_then() {
    let (tell, _) = watch::channel(Told::Nothing);
    let db = told("db", &tell).ready_within(Duration::from_secs(20));
    let tree = root()
        .child(Puppet::spec("web").waits_for("db", Condition::Ready))
        .child(Puppet::spec("log").waits_for("db", Condition::Started))
        .child(db);
    let mut system = TestSystem::launch(tree).await;
    system.expect("regrow.child.started", "root/log").await;
    let info = system.which_child("root/db").await.unwrap();
    assert_eq!((info.phase, info.ready), (Phase::Running, false));
    assert_eq!(phase(&system, "root/web").await, Phase::Pending);
    let ready = "path:root/db and ready".parse().unwrap();
    assert_eq!(system.registry().count(&ready), 0);
    tell.send_replace(Told::Ready);
    let event = system.expect("regrow.child.ready", "root/db").await;
    assert!(matches!(event.payload, Payload::ChildReady { .. }));
    assert_eq!(system.registry().count(&ready), 1);
    system.expect("regrow.child.started", "root/web").await;
    system.booted().await.unwrap();
    assert!(system.which_child("root/db").await.unwrap().ready);
    assert_eq!(
        system.which_child("root/web").await.unwrap().depends_on,
        ["db".into()]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_ready_in_time_is_stopped_and_started_again() {
    let (tell, _) = watch::channel(Told::Nothing);
    let within = Duration::from_secs(20);
    let mut system = TestSystem::start(root().child(told("db", &tell).ready_within(within))).await;
    let end = system.expect("regrow.child.terminated", "root/db").await;
    let Payload::ChildTerminated {
        reason, lifetime, ..
    } = &end.payload
    else {
        panic!("{end:?}")
    };
    assert_eq!(reason.kind(), regrow::ExitKind::StartTimeout);
    assert!(*lifetime >= within && *lifetime < within + Duration::from_secs(1));
    tell.send_replace(Told::Ready);
    system.expect("regrow.child.ready", "root/db").await;
    let info = system.which_child("root/db").await.unwrap();
    assert_eq!((info.generation, info.restarts, info.ready), (2, 1, true));
}

#[tokio::test(start_paused = true)]
async fn a_child_is_started_when_a_job_has_ended_as_it_should_and_given_up_on_with_it() {
    let (tell, _) = watch::channel(Told::Nothing);
    let job = told("job", &tell)
        .once()
        .give_up(GiveUp::Park)
        .limit(RestartIntensity::new(0, Duration::from_secs(60)));
    let tree = root()
        .child(job)
        .child(Puppet::spec("web").waits_for("job", Condition::CompletedSuccessfully))
        .child(Puppet::spec("log").waits_for("job", Condition::Completed));
    let mut system = TestSystem::launch(tree).await;
    system.expect("regrow.child.started", "root/job").await;
    assert_eq!(phase(&system, "root/web").await, Phase::Pending);
    tell.send_replace(Told::Fail);
    system.booted().await.unwrap();
    assert_eq!(phase(&system, "root/log").await, Phase::Running);
    let web = system.which_child("root/web").await.unwrap();
    assert_eq!(web.phase, Phase::Failed);
    assert_eq!(
        web.parked_because.as_deref(),
        Some("depends on \"root/job\", which was given up on")
    );
    tell.send_replace(Told::End);
    system.restart_child("root/job").await.unwrap();
    system.expect("regrow.child.started", "root/web").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_enabled_waits_for_an_operator() {
    let tree = root()
        .child(Puppet::spec("off").enabled(false))
        .child(Puppet::spec("web"));
    let system = TestSystem::start(tree).await;
    let off = system.which_child("root/off").await.unwrap();
    assert_eq!(
        (off.phase, off.desired, off.generation),
        (Phase::Stopped, Desired::Down, 0)
    );
    let on = system.restart_child("root/off").await.unwrap();
    assert_eq!((on.phase, on.desired), (Phase::Running, Desired::Up));
}

#[test]
fn a_tree_in_which_somebody_waits_for_what_cannot_come_is_refused() {
    let said = |tree: Supervisor| tree.check().unwrap_err().to_string();
    let child = |id: &str| ChildSpec::from(Supervisor::new(id));
    let waits = |until| child("web").waits_for("db", until);
    assert_eq!(
        said(root().child(child("db")).child(waits(Condition::Completed))),
        "child \"root/web\" waits for \"db\" to be completed, but that is permanent, so it is always started again; \
         let it run once"
    );
    assert_eq!(
        said(
            Supervisor::new("root")
                .child(child("db"))
                .child(waits(Condition::Ready))
        ),
        "child \"root/web\" waits for \"db\" to be ready, but its supervisor goes in sequence; set Order::Dependencies"
    );
    let ends = [
        child("db").once(),
        child("db").restart(Restart::Transient),
        child("db").restart(Restart::Temporary),
    ];
    for db in ends {
        let tree = root()
            .child(db)
            .child(waits(Condition::CompletedSuccessfully));
        assert_eq!(tree.check(), Ok(()));
    }
    let nobody = root().child(waits(Condition::Ready)).check();
    assert!(matches!(nobody, Err(InvalidTree::UnknownDependency { .. })));
}
