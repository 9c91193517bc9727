//! What operations answer, and what is told of a child afterwards.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::testing::{Bare, Puppet, PuppetMessage, TestSystem};
use regrow::{
    Backoff, ChildSpec, ExitKind, FirstRestart, OperateError, Order, Phase, Restart,
    RestartIntensity, Shutdown, StartContext, Supervisor,
};

const SECOND: Duration = Duration::from_secs(1);

/// Longer, in paused time, than anything here takes.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SECOND * 600, future)
        .await
        .expect("the operation was never answered")
}

#[tokio::test(start_paused = true)]
async fn operations_on_a_supervisor_that_closes_meanwhile_are_answered() {
    let slow = |id| Puppet::stopping_slowly(id, SECOND).shutdown(Shutdown::Infinity);
    let system = TestSystem::start(Supervisor::new("root").child(slow("a")).child(slow("b"))).await;
    system.begin_shut_down();
    let begun = async {
        tokio::join!(
            system.bounce_child("root/a"),
            system.terminate_child("root/a"),
            system.restart_child("root/b"),
            system.delete_child("root/b"),
            system.start_child("root", Puppet::spec("c")),
            system.which_children("root"),
        )
    };
    let (bounced, terminated, restarted, deleted, added, children) = in_time(begun).await;
    for refused in [bounced, terminated, restarted, deleted, added] {
        assert!(
            matches!(refused, Err(OperateError::Closing { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        children.unwrap().len(),
        2,
        "questions are answered to the last"
    );
}

#[tokio::test(start_paused = true)]
async fn operations_that_wait_when_their_supervisor_begins_to_close_are_answered() {
    let slow = |id| Puppet::stopping_slowly(id, SECOND).shutdown(Shutdown::Infinity);
    let system = TestSystem::start(Supervisor::new("root").child(slow("a")).child(slow("b"))).await;
    let begun = async {
        tokio::join!(
            system.bounce_child("root/a"),
            system.terminate_child("root/b"),
            async {
                tokio::task::yield_now().await;
                system.begin_shut_down();
            }
        )
    };
    let (bounced, terminated, ()) = in_time(begun).await;
    assert!(
        matches!(
            bounced,
            Err(OperateError::Gone { .. } | OperateError::Closing { .. })
        ),
        "{bounced:?}"
    );
    assert_eq!(terminated.unwrap().phase, Phase::Stopped);
}

#[tokio::test(start_paused = true)]
async fn operations_on_a_supervisor_that_is_killed_meanwhile_are_answered() {
    let root = Arc::new(OnceLock::new());
    let kept = Arc::clone(&root);
    let spec = ChildSpec::start_with("guide", move |context: StartContext| {
        drop(kept.set(context.supervisor()));
        async move {
            Bare::spawn_linked(None, Bare, (), context.supervisor())
                .await
                .map(|(actor, _)| actor)
        }
    });
    let slow = Puppet::stopping_slowly("a", SECOND * 100).shutdown(Shutdown::Infinity);
    let system = TestSystem::start(Supervisor::new("root").child(spec).child(slow)).await;
    let begun = async {
        tokio::join!(system.bounce_child("root/a"), async {
            tokio::time::sleep(SECOND).await;
            root.get().unwrap().kill();
        })
    };
    let (bounced, ()) = in_time(begun).await;
    assert!(
        matches!(bounced, Err(OperateError::Gone { .. })),
        "{bounced:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_root_that_gives_up_answers_those_who_wait() {
    let tree = Supervisor::new("root")
        .max_restarts(0, SECOND)
        .child(Puppet::stopping_slowly("a", SECOND))
        .child(Puppet::spec("b"));
    let system = TestSystem::start(tree).await;
    let begun = async {
        tokio::join!(system.bounce_child("root/a"), async {
            tokio::task::yield_now().await;
            system.puppet("root/b").crash("boom");
        })
    };
    let (bounced, ()) = in_time(begun).await;
    assert!(
        matches!(
            bounced,
            Err(OperateError::Gone { .. } | OperateError::Closing { .. })
        ),
        "{bounced:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bounce_that_is_overtaken_by_a_termination_is_answered() {
    let system =
        TestSystem::start(Supervisor::new("root").child(Puppet::stopping_slowly("a", SECOND)))
            .await;
    let begun = async {
        tokio::join!(
            system.bounce_child("root/a"),
            system.terminate_child("root/a")
        )
    };
    let (bounced, terminated) = in_time(begun).await;
    assert_eq!(terminated.unwrap().phase, Phase::Stopped);
    assert!(bounced.is_err(), "{bounced:?}");
}

#[tokio::test(start_paused = true)]
async fn a_termination_that_is_overtaken_by_a_bounce_is_answered() {
    let system =
        TestSystem::start(Supervisor::new("root").child(Puppet::stopping_slowly("a", SECOND)))
            .await;
    let begun = async {
        tokio::join!(
            system.terminate_child("root/a"),
            system.bounce_child("root/a")
        )
    };
    let (_terminated, bounced) = in_time(begun).await;
    assert_eq!(bounced.unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_does_not_start_is_an_error_for_who_adds_it() {
    let system = TestSystem::start(Supervisor::new("root")).await;
    let added = system
        .start_child("root", Puppet::refusing("t", 1).restart(Restart::Temporary))
        .await;
    assert!(
        matches!(added, Err(OperateError::DidNotStart { .. })),
        "{added:?}"
    );
    assert!(matches!(
        system.which_child("root/t").await,
        Err(OperateError::NotFound { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_stopped_in_its_delay_has_no_next_start() {
    let backoff = Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed);
    let mut system =
        TestSystem::start(Supervisor::new("root").child(Puppet::spec("a").backoff(backoff))).await;
    system.puppet("root/a").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    assert!(
        system
            .which_child("root/a")
            .await
            .unwrap()
            .next_start_at
            .is_some()
    );
    let info = system.terminate_child("root/a").await.unwrap();
    assert_eq!((info.phase, info.next_start_at), (Phase::Stopped, None));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_report_tells_of_the_shutdown_only() {
    let system =
        TestSystem::start(Supervisor::new("root").child(Puppet::spec("a").shutdown(SECOND))).await;
    system.puppet("root/a").hang();
    drop(system.terminate_child("root/a").await.unwrap());
    drop(system.restart_child("root/a").await.unwrap());
    let report = system.shut_down().await;
    assert!(report.killed.is_empty(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operators_restart_that_fails_is_not_counted_as_a_restart() {
    let tree = Supervisor::new("root")
        .max_restarts(0, SECOND * 5)
        .child(Puppet::spec("b"));
    let system = TestSystem::start(tree).await;
    let failed = system.start_child("root", Puppet::refusing("a", 2)).await;
    assert!(
        matches!(failed, Err(OperateError::DidNotStart { .. })),
        "{failed:?}"
    );
    let failed = system.restart_child("root/a").await;
    assert!(
        matches!(failed, Err(OperateError::DidNotStart { .. })),
        "{failed:?}"
    );
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Stopped
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_stopped_ends_with_shutdown() {
    let system = TestSystem::launch(Supervisor::new("root").child(Puppet::hanging("a", 1))).await;
    drop(system.terminate_child("root/a").await.unwrap());
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Shutdown);
}

/// A child with other messages than a puppet's.
#[derive(Clone)]
struct Number;

impl Actor for Number {
    type Msg = u32;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u32>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_is_removed_takes_the_places_below_it_along() {
    let system = TestSystem::start(Supervisor::new("root")).await;
    drop(
        system
            .start_child("root", Supervisor::new("crew").child(Puppet::spec("a")))
            .await
            .unwrap(),
    );
    drop(system.terminate_child("root/crew").await.unwrap());
    drop(system.delete_child("root/crew").await.unwrap());
    assert!(
        system.address::<PuppetMessage>("root/crew/a").is_err(),
        "there is no such child any more"
    );
    drop(
        system
            .start_child(
                "root",
                Supervisor::new("crew").child(ChildSpec::actor("a", Number, ())),
            )
            .await
            .unwrap(),
    );
    system
        .address::<u32>("root/crew/a")
        .unwrap()
        .send(7)
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_intensity_gauge_counts_the_supervisors_window() {
    let limit = RestartIntensity::new(9, SECOND * 600);
    let spec = Puppet::spec("a").backoff(Backoff::none()).limit(limit);
    let mut system = TestSystem::start(
        Supervisor::new("root")
            .max_restarts(4, SECOND * 5)
            .child(spec),
    )
    .await;
    for _ in 0..3 {
        tokio::time::advance(SECOND * 10).await;
        system.puppet("root/a").crash("boom");
        system.expect("regrow.child.started", "root/a").await;
    }
    let text = system.exporter().render();
    let ratio = text.lines().find_map(|line| {
        line.strip_prefix("regrow_supervisor_intensity_ratio{supervisor=\"root\"} ")
    });
    assert_eq!(
        ratio,
        Some("0.25"),
        "one restart of four in the last five seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_cannot_work_is_refused_when_it_is_added_too() {
    let system = TestSystem::start(Supervisor::new("root")).await;
    let waits = |id: &str, on: &'static str| Puppet::spec(id).depends_on([on]);
    let crew = Supervisor::new("crew")
        .order(Order::Dependencies)
        .child(waits("a", "b"))
        .child(waits("b", "a"));
    let added = in_time(system.start_child("root", crew)).await;
    assert!(added.is_err(), "{added:?}");
    let twins = Supervisor::new("twins")
        .child(Puppet::spec("a"))
        .child(Puppet::spec("a"));
    let added = in_time(system.start_child("root", twins)).await;
    assert!(added.is_err(), "{added:?}");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_added_with_a_dependency_on_nobody_is_refused() {
    let system = TestSystem::start(Supervisor::new("root").order(Order::Dependencies)).await;
    let added = in_time(system.start_child("root", Puppet::spec("a").depends_on(["nobody"]))).await;
    assert!(added.is_err(), "{added:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_cannot_be_bounced() {
    let temporary = |id| Puppet::spec(id).restart(Restart::Temporary);
    let system = TestSystem::start(Supervisor::new("root").child(temporary("a"))).await;
    assert_eq!(system.bounce_child("root/a").await.unwrap().generation, 2);

    let tree = Supervisor::new("root").otp_compat().child(temporary("a"));
    let mut system = TestSystem::start(tree).await;
    let refused = system.bounce_child("root/a").await.unwrap_err();
    assert!(
        matches!(refused, OperateError::Forgotten { .. }),
        "{refused}"
    );
    system.quiet().await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!((info.phase, info.generation), (Phase::Running, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_down_already_is_answered_even_when_a_siblings_delay_ends_in_the_same_moment() {
    let delay = Duration::from_micros(1_500);
    let slow = Backoff::exponential(delay..=delay).first(FirstRestart::Delayed);
    let tree = Supervisor::new("root")
        .child(Puppet::spec("a").backoff(slow))
        .child(Puppet::spec("b"));
    let mut system = TestSystem::start(tree).await;
    drop(system.terminate_child("root/b").await.unwrap());
    system.puppet("root/a").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    // The delay is over, and the timer, which counts in milliseconds, has not told of it yet.
    tokio::time::advance(Duration::from_micros(1_600)).await;
    let again = tokio::time::timeout(Duration::from_secs(60), system.terminate_child("root/b"));
    drop(again.await.expect("it is answered").unwrap());
    system.expect("regrow.child.started", "root/a").await;
}
