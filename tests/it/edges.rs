//! Starts and stops that cross each other: nested supervisors, announced children, start functions that misbehave.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorCell};
use regrow::testing::{Bare, Puppet, PuppetMessage, TestSystem};
use regrow::{
    Backoff, ChildSpec, Control, ExitKind, ExitReason, Intensity, OperateError, Payload, Phase,
    Restart, RestartIntensity, StartContext, StartError, StartFailure, Started, StopCause,
    Supervisor,
};
use tokio::sync::watch;

const SECOND: Duration = Duration::from_secs(1);

async fn bare(context: &StartContext) -> Result<ActorCell, StartFailure> {
    let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
    Ok(actor.get_cell())
}

/// A bare actor, and the context of each of its lives for the test to announce.
fn announced(id: &'static str) -> (ChildSpec, watch::Receiver<Option<StartContext>>) {
    let (sender, contexts) = watch::channel(None);
    let spec = ChildSpec::start_with(id, move |context: StartContext| {
        sender.send_replace(Some(context.clone()));
        async move { bare(&context).await }
    });
    (spec.announced(), contexts)
}

async fn context_of(
    contexts: &mut watch::Receiver<Option<StartContext>>,
    generation: u32,
) -> StartContext {
    let wanted = |context: &Option<StartContext>| {
        context
            .as_ref()
            .is_some_and(|context| context.generation() == generation)
    };
    contexts.wait_for(wanted).await.unwrap().clone().unwrap()
}

async fn phase(system: &TestSystem, path: &str) -> Phase {
    system.which_child(path).await.unwrap().phase
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_is_stopped_during_its_boot_leaves_nobody() {
    let crew = Supervisor::new("crew")
        .child(Puppet::spec("up"))
        .child(Puppet::hanging("slow", 1))
        .child(Puppet::spec("late"));
    let mut system = TestSystem::launch(
        Supervisor::new("root")
            .child(crew)
            .child(Puppet::spec("next")),
    )
    .await;
    system.expect("regrow.child.started", "root/crew/up").await;
    let before = tokio::time::Instant::now();
    let info = system.terminate_child("root/crew").await.unwrap();
    assert_eq!(
        (info.phase, before.elapsed()),
        (Phase::Stopped, Duration::ZERO)
    );
    assert_eq!(
        system.last_exit("root/crew").await.kind(),
        ExitKind::Shutdown
    );
    assert!(
        !system
            .address::<PuppetMessage>("root/crew/up")
            .unwrap()
            .is_running()
    );
    assert!(matches!(
        system.which_children("root/crew").await,
        Err(OperateError::Gone { .. })
    ));
    system.booted().await.unwrap();
    assert_eq!(
        phase(&system, "root/next").await,
        Phase::Running,
        "the boot goes on without it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_during_the_boot_stops_what_is_up_and_starts_no_more() {
    let crew = Supervisor::new("crew")
        .child(Puppet::spec("up"))
        .child(Puppet::hanging("slow", 1));
    let tree = Supervisor::new("root")
        .child(Puppet::spec("first"))
        .child(crew)
        .child(Puppet::spec("never"));
    let mut system = TestSystem::launch(tree).await;
    system.expect("regrow.child.started", "root/crew/up").await;
    let report = system.shut_down().await;
    assert_eq!(
        (report.reason.kind(), report.took),
        (ExitKind::Shutdown, Duration::ZERO)
    );
    assert!(
        report.killed.is_empty() && report.unresponsive.is_empty(),
        "{report:?}"
    );
    assert!(matches!(
        system.booted().await,
        Err(StartError::Ended {
            reason: ExitReason::Shutdown,
            ..
        })
    ));
    let started = system
        .happened()
        .await
        .into_iter()
        .filter(|line| line.starts_with("regrow.child.started"))
        .count();
    assert_eq!(started, 0);
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_can_be_terminated_started_and_bounced() {
    let crew = Supervisor::new("crew").child(Puppet::stopping_slowly("a", SECOND));
    let system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    let address = system.address::<PuppetMessage>("root/crew/a").unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(
        system.terminate_child("root/crew").await.unwrap().phase,
        Phase::Stopped
    );
    assert_eq!(before.elapsed(), SECOND, "its child stopped in order");
    assert!(!address.is_running());
    assert_eq!(
        system.restart_child("root/crew").await.unwrap().generation,
        2
    );
    assert!(address.is_running());
    assert_eq!(
        system.bounce_child("root/crew").await.unwrap().generation,
        3
    );
    assert!(address.is_running());
    assert_eq!(system.which_child("root/crew").await.unwrap().restarts, 0);
    assert_eq!(
        system.which_child("root/crew/a").await.unwrap().generation,
        3,
        "generations count the lives of a place, whichever life its supervisor is in"
    );
}

#[tokio::test(start_paused = true)]
async fn an_announced_child_is_up_when_it_says_so() {
    let (spec, mut contexts) = announced("a");
    let mut system =
        TestSystem::launch(Supervisor::new("root").child(spec).child(Puppet::spec("b"))).await;
    let context = context_of(&mut contexts, 1).await;
    assert!(
        system
            .happened()
            .await
            .iter()
            .all(|line| !line.starts_with("regrow.child.started"))
    );
    assert_eq!(phase(&system, "root/a").await, Phase::Starting);
    context.announce();
    context.announce();
    system.expect("regrow.child.started", "root/a").await;
    system.expect("regrow.child.started", "root/b").await;
    context.announce();
    system.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_exit_before_the_announcement_is_a_failed_start() {
    let (spec, mut contexts) = announced("a");
    let mut system = TestSystem::launch(Supervisor::new("root").child(spec)).await;
    drop(context_of(&mut contexts, 1).await);
    system.puppet("root/a").fail("broken");
    let error = system.booted().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "child \"root/a\" did not start: error: broken"
    );
    system.expect("regrow.child.start_failed", "root/a").await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_child_can_be_stopped_before_and_an_announcement_after_that_changes_nothing() {
    let (spec, mut contexts) = announced("a");
    let system = TestSystem::launch(Supervisor::new("root").child(spec)).await;
    let context = context_of(&mut contexts, 1).await;
    assert_eq!(
        system.terminate_child("root/a").await.unwrap().phase,
        Phase::Stopped
    );
    system.booted().await.unwrap();
    context.announce();
    assert_eq!(phase(&system, "root/a").await, Phase::Stopped);
    let (restarted, ()) = tokio::join!(system.restart_child("root/a"), async {
        let next = context_of(&mut contexts, 2).await;
        context.announce();
        assert_eq!(
            phase(&system, "root/a").await,
            Phase::Starting,
            "an announcement of an earlier life is ignored"
        );
        next.announce();
    });
    assert_eq!(restarted.unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_never_announces_itself_runs_into_its_start_timeout() {
    let (spec, _contexts) = announced("a");
    let error =
        TestSystem::start_error(Supervisor::new("root").child(spec.start_timeout(SECOND))).await;
    assert_eq!(
        error.to_string(),
        "child \"root/a\" did not start: failed to start in time"
    );
}

#[tokio::test(start_paused = true)]
async fn an_announcement_before_the_start_function_returns_counts() {
    let spec = ChildSpec::start_with("a", |context: StartContext| async move {
        context.announce();
        tokio::time::sleep(SECOND).await;
        bare(&context).await
    });
    let system = TestSystem::start(
        Supervisor::new("root").child(spec.announced().start_timeout(SECOND * 2)),
    )
    .await;
    assert_eq!(phase(&system, "root/a").await, Phase::Running);
}

#[tokio::test(start_paused = true)]
async fn a_start_function_that_panics_is_a_failed_start_wherever_it_does() {
    for late in [false, true] {
        let spec = ChildSpec::start_with("a", move |_| async move {
            if late {
                tokio::time::sleep(SECOND).await;
            }
            let refuse = true;
            assert!(!refuse, "not today");
            Err::<Started, StartFailure>(StartFailure::retry("never reached"))
        });
        let error = TestSystem::start_error(Supervisor::new("root").child(spec)).await;
        let StartError::Child {
            reason: ExitReason::Panic(panic),
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(panic.message, "not today");
        assert!(
            panic.location.as_deref().unwrap().contains("edges.rs:"),
            "{panic}"
        );
    }
    let spec = ChildSpec::start_with(
        "a",
        |_| -> std::future::Ready<Result<Started, StartFailure>> { panic!("at once") },
    );
    let error = TestSystem::start_error(Supervisor::new("root").child(spec)).await;
    assert!(error.to_string().contains("at once"), "{error}");
}

/// Notes what it is asked; stops and kills its actor, or does not.
struct Noted {
    cell: ActorCell,
    notes: Arc<Mutex<Vec<String>>>,
    deaf: bool,
}

impl Control for Noted {
    fn stop(&self, cause: StopCause) {
        self.notes.lock().unwrap().push(format!("stop {cause}"));
        if !self.deaf {
            self.cell.stop(None);
        }
    }

    fn kill(&self) {
        self.notes.lock().unwrap().push("kill".to_owned());
        self.cell.kill();
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_with_a_control_of_its_own_is_ended_through_it() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let deaf = Arc::new(AtomicU32::new(0));
    let (kept, hears) = (Arc::clone(&notes), Arc::clone(&deaf));
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let (notes, deaf) = (Arc::clone(&kept), hears.load(Ordering::Relaxed) > 0);
        async move {
            let cell = bare(&context).await?;
            let control = Noted {
                cell: cell.clone(),
                notes,
                deaf,
            };
            Ok::<_, StartFailure>(Started::new(cell).control(Arc::new(control)))
        }
    });
    let system = TestSystem::start(Supervisor::new("root").child(spec.shutdown(SECOND))).await;
    drop(system.terminate_child("root/a").await.unwrap());
    assert_eq!(*notes.lock().unwrap(), ["stop operator"]);
    deaf.store(1, Ordering::Relaxed);
    drop(system.restart_child("root/a").await.unwrap());
    let report = system.shut_down().await;
    assert_eq!(
        *notes.lock().unwrap(),
        ["stop operator", "stop parent", "kill"]
    );
    assert_eq!(report.killed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_stopped_from_outside_stops_its_children_first() {
    let (spec, mut contexts) = announced("a");
    let system = TestSystem::launch(
        Supervisor::new("root")
            .child(spec)
            .child(Puppet::stopping_slowly("b", SECOND)),
    )
    .await;
    let context = context_of(&mut contexts, 1).await;
    context.announce();
    system.booted().await.unwrap();
    let before = tokio::time::Instant::now();
    context.supervisor().stop(None);
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
    assert_eq!(before.elapsed(), SECOND);
    assert!(matches!(
        system.which_children("root").await,
        Err(OperateError::Gone { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_killed_from_outside_is_told_as_killed_and_leaves_nobody() {
    let (spec, mut contexts) = announced("a");
    let crew = Supervisor::new("crew").child(Puppet::spec("b"));
    let system = TestSystem::launch(Supervisor::new("root").child(crew).child(spec)).await;
    let context = context_of(&mut contexts, 1).await;
    let addresses =
        ["root/a", "root/crew/b"].map(|path| system.address::<PuppetMessage>(path).unwrap());
    context.supervisor().kill();
    assert_eq!(system.ended().await.kind(), ExitKind::Killed);
    assert!(matches!(
        system.booted().await,
        Err(StartError::Ended {
            reason: ExitReason::Killed,
            ..
        })
    ));
    for address in addresses {
        while address.send(PuppetMessage::Hang).is_ok() {
            tokio::task::yield_now().await;
        }
    }
    assert!(matches!(
        system.terminate_child("root/a").await,
        Err(OperateError::Gone { .. })
    ));
    assert_eq!(system.shut_down().await.reason.kind(), ExitKind::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ends_before_its_start_was_reported_has_started_and_ended() {
    let spec = ChildSpec::start_with("a", |context: StartContext| async move {
        let cell = bare(&context).await?;
        cell.stop(None);
        tokio::time::sleep(SECOND).await;
        Ok::<_, StartFailure>(cell)
    });
    let mut system =
        TestSystem::launch(Supervisor::new("root").child(spec.restart(Restart::Transient))).await;
    system.booted().await.unwrap();
    system.expect("regrow.child.started", "root/a").await;
    system.expect("regrow.child.terminated", "root/a").await;
    assert_eq!(phase(&system, "root/a").await, Phase::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_on_leaves_no_actor_behind() {
    let (sender, mut cells) = tokio::sync::mpsc::channel(8);
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let sender = sender.clone();
        async move {
            let cell = bare(&context).await?;
            sender.try_send(cell.clone()).unwrap();
            std::future::pending::<()>().await;
            Ok::<_, StartFailure>(cell)
        }
    });
    let system = TestSystem::launch(Supervisor::new("root").child(spec)).await;
    let orphan = cells.recv().await.unwrap();
    assert_eq!(
        system.terminate_child("root/a").await.unwrap().phase,
        Phase::Stopped
    );
    orphan
        .wait(Some(SECOND * 60))
        .await
        .expect("nothing of a stopped child lives on");
}

#[tokio::test(start_paused = true)]
async fn the_end_for_intensity_tells_the_limit_that_was_exceeded() {
    let limit = RestartIntensity::new(1, SECOND * 60);
    let spec = Puppet::spec("a").backoff(Backoff::none()).limit(limit);
    let mut system = TestSystem::start(
        Supervisor::new("root")
            .max_restarts(9, SECOND * 5)
            .child(spec),
    )
    .await;
    system.puppet("root/a").crash("one");
    system.expect("regrow.child.started", "root/a").await;
    system.puppet("root/a").crash("two");
    let meltdown = system.expect("regrow.supervisor.meltdown", "root").await;
    assert!(
        matches!(meltdown.payload, Payload::Meltdown { restarts: 1, window, .. } if window == SECOND * 60)
    );
    let ExitReason::Intensity(intensity) = system.ended().await else {
        panic!("not the intensity")
    };
    let Intensity {
        restarts, period, ..
    } = &*intensity;
    assert_eq!((*restarts, *period), (1, SECOND * 60));
}

#[tokio::test(start_paused = true)]
async fn a_control_that_panics_harms_only_its_own_child() {
    struct Broken;
    impl Control for Broken {
        fn stop(&self, _: StopCause) {
            panic!("no such thing as a stop");
        }
        fn kill(&self) {}
    }
    let spec = ChildSpec::start_with("a", |context: StartContext| async move {
        let cell = bare(&context).await?;
        Ok::<_, StartFailure>(Started::new(cell).control(Arc::new(Broken)))
    });
    let tree = Supervisor::new("root")
        .kill_grace(SECOND)
        .child(spec.shutdown(SECOND))
        .child(Puppet::spec("b"));
    let system = TestSystem::start(tree).await;
    drop(system.terminate_child("root/a").await.unwrap());
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Shutdown);
    assert_eq!(phase(&system, "root/b").await, Phase::Running);
}

#[tokio::test(start_paused = true)]
async fn a_hurried_shutdown_names_the_child_that_could_not_be_ended_and_not_its_supervisor() {
    struct Deaf;
    impl Control for Deaf {
        fn stop(&self, _: StopCause) {}
        fn kill(&self) {}
    }
    let spec = ChildSpec::start_with("a", |context: StartContext| async move {
        let cell = bare(&context).await?;
        Ok::<_, StartFailure>(Started::new(cell).control(Arc::new(Deaf)))
    });
    let tree = Supervisor::new("root").child(Supervisor::new("crew").child(spec));
    let system = TestSystem::start(tree).await;
    system.hurry();
    let report = system.shut_down().await;
    let named: Vec<String> = report
        .unresponsive
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(named, ["root/crew/a"]);
}
