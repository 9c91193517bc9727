//! Every capability for every kind of child: one table. A cell that cannot apply says why.
//!
//! Which policies there are for what cannot be ended: `unresponsive.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

mod cast;
mod pools;
mod probes;

use std::time::Duration;

use regrow::testing::{Puppet, TestSystem};
use regrow::{
    AutoShutdown, Backoff, ChildKind, ChildSpec, Condition, Desired, ExitKind, GiveUp,
    OperateError, Phase, Restart, RestartIntensity, Supervisor,
};

use cast::Cell::{CannotBe, Holds};
use cast::{Cast, Cell, Ended, First, Kind, Order, SHORT, Stage, row};

const NO_CODE: &str =
    "it runs no code of a user's, and its children's panics are failures of theirs";
const NO_PANIC: &str = "its code is another program, and what that calls a panic is an exit code";
const NO_CHILDREN: &str = "it has no children at its start that could fail it";
const TRIES_AGAIN: &str =
    "a worker that does not start is tried again until it does, behind a gate of the pool's own";

fn everywhere(_: Kind) -> Cell {
    Holds
}

/// The names of what is told of the child itself.
///
/// What a process or a pool does beside that is told in the tests of those.
async fn told(system: &mut TestSystem) -> Vec<String> {
    let of_a = |line: String| {
        let name = line.strip_suffix(" root/a")?.replace("regrow.", "");
        let is_of_a_kind = name.starts_with("process.") || name.starts_with("pool.");
        (!is_of_a_kind).then_some(name)
    };
    system
        .happened()
        .await
        .into_iter()
        .filter_map(of_a)
        .collect()
}

#[test]
fn a_start_is_told_and_the_child_is_up() {
    row(everywhere, async |kind| {
        let (_cast, spec) = Cast::new(kind, First::Up);
        let tree = Supervisor::new("root").child(spec.of_type("mine"));
        let mut system = TestSystem::launch(tree).await;
        system.booted().await.unwrap();
        let golden = [
            "supervisor.child.added",
            "child.state_changed",
            "child.started",
        ];
        assert_eq!(told(&mut system).await, golden, "{kind:?}");
        let info = system.which_child("root/a").await.unwrap();
        assert_eq!((info.kind, &*info.type_name), (kind.word(), "mine"));
        assert_eq!((info.phase, info.ready), (Phase::Running, true));
        assert_eq!((info.generation, info.restarts), (1, 0));
        assert!(info.started_at.is_some() && info.last_exit.is_none());
    });
}

/// Adds one whose first start does not succeed, and starts it again. Says how that start was told.
async fn start_of(kind: Kind, first: First) -> ExitKind {
    let mut system = TestSystem::start(Supervisor::new("root").no_intensity_limit()).await;
    let (_cast, spec) = Cast::new(kind, first);
    let failed = system.start_child("root", spec).await.unwrap_err();
    let OperateError::DidNotStart { reason, .. } = &failed else {
        panic!("{kind:?}: {failed}")
    };
    system.expect("regrow.child.start_failed", "root/a").await;
    let info = system.restart_child("root/a").await.unwrap();
    assert_eq!((info.generation, info.phase), (2, Phase::Running));
    reason.kind()
}

#[test]
fn a_start_that_fails_is_told_and_an_operator_may_start_it_again() {
    let cell = |kind| match kind {
        Kind::Dynamic => CannotBe(NO_CHILDREN),
        Kind::Pool => CannotBe(TRIES_AGAIN),
        Kind::Actor
        | Kind::Bare
        | Kind::Task
        | Kind::Thread
        | Kind::Process
        | Kind::Supervisor
        | Kind::Partition => Holds,
    };
    row(cell, async |kind| {
        let reason = start_of(kind, First::Fail).await;
        match kind {
            Kind::Actor | Kind::Bare => assert_eq!(reason, ExitKind::StartFailed),
            // It has ended before it announced itself.
            Kind::Task | Kind::Thread | Kind::Process => assert_eq!(reason, kind.failed()),
            Kind::Supervisor | Kind::Dynamic | Kind::Partition | Kind::Pool => {
                assert!(reason.is_abnormal(), "{kind:?}: {reason:?}");
            }
        }
    });
}

#[test]
fn a_panic_in_the_start_is_a_failed_start() {
    let cell = |kind| match kind {
        Kind::Dynamic => CannotBe(NO_CHILDREN),
        Kind::Pool => CannotBe(TRIES_AGAIN),
        Kind::Process => CannotBe(NO_PANIC),
        Kind::Actor
        | Kind::Bare
        | Kind::Task
        | Kind::Thread
        | Kind::Supervisor
        | Kind::Partition => Holds,
    };
    row(cell, async |kind| {
        let reason = start_of(kind, First::Panic).await;
        if kind.is_supervisor() {
            assert!(reason.is_abnormal(), "{kind:?}: {reason:?}");
        } else {
            assert_eq!(reason, ExitKind::Panic, "{kind:?}");
        }
    });
}

#[test]
fn a_start_that_asks_to_be_ignored_is_completed() {
    let cell = |kind| match kind {
        Kind::Pool => {
            CannotBe("a worker that asks for it is none of its workers: another comes in its place")
        }
        Kind::Supervisor | Kind::Dynamic | Kind::Partition => {
            CannotBe("a supervisor whose child asks for it comes up without that child")
        }
        Kind::Task | Kind::Thread => {
            CannotBe("its code runs after its start, so it is there when it could ask")
        }
        Kind::Process => CannotBe("an exit code says how it has ended, not that it is not needed"),
        Kind::Actor | Kind::Bare => Holds,
    };
    row(cell, async |kind| {
        let system = TestSystem::start(Supervisor::new("root")).await;
        let (_cast, spec) = Cast::new(kind, First::Ignore);
        let info = system.start_child("root", spec).await.unwrap();
        assert_eq!(
            (info.phase, info.restarts),
            (Phase::Completed, 0),
            "{kind:?}"
        );
    });
}

/// What is told from an end that nobody asked for to the next life.
const GROWN_BACK: [&str; 6] = [
    "child.terminated",
    "supervisor.restart.scheduled",
    "child.state_changed",
    "supervisor.restart.start",
    "child.started",
    "supervisor.restart.stop",
];

async fn grows_back_after(kind: Kind, order: Order, reason: ExitKind) {
    let mut stage = Stage::start(kind, |spec| spec.backoff(Backoff::none())).await;
    stage.tell(order).await;
    let mut told = told(&mut stage.system).await;
    if kind.is_supervisor() {
        assert_eq!(told.remove(0), "supervisor.meltdown", "{kind:?}");
    }
    assert_eq!(told, GROWN_BACK, "{kind:?}");
    let info = stage.info().await;
    assert_eq!((info.generation, info.phase), (2, Phase::Running));
    assert_eq!(info.last_exit.unwrap().reason.kind(), reason, "{kind:?}");
}

#[test]
fn an_error_is_told_and_the_child_grows_back() {
    row(everywhere, async |kind| {
        grows_back_after(kind, Order::Fail, kind.failed()).await;
    });
}

#[test]
fn a_panic_is_told_and_the_child_grows_back() {
    let cell = |kind| match kind {
        Kind::Supervisor | Kind::Dynamic | Kind::Partition | Kind::Pool => CannotBe(NO_CODE),
        Kind::Process => CannotBe(NO_PANIC),
        Kind::Actor | Kind::Bare | Kind::Task | Kind::Thread => Holds,
    };
    row(cell, async |kind| {
        // Without regrow's adapter a panic is an error like others.
        let reason = if kind == Kind::Bare {
            ExitKind::Error
        } else {
            ExitKind::Panic
        };
        grows_back_after(kind, Order::Panic, reason).await;
    });
}

#[test]
fn a_kill_from_outside_is_told_and_the_child_grows_back() {
    row(everywhere, async |kind| {
        let mut stage = Stage::start(kind, |spec| spec.backoff(Backoff::none())).await;
        stage.kill();
        let ended = stage.ended().await;
        let expected = Ended {
            generation: 1,
            reason: ExitKind::Killed,
            outcome: "killed",
        };
        assert_eq!(ended, expected, "{kind:?}");
        let info = stage.back().await;
        assert_eq!((info.generation, info.restarts), (2, 1), "{kind:?}");
    });
}

#[test]
fn a_normal_end_goes_by_the_restart_type() {
    let cell = |kind| match kind {
        Kind::Dynamic | Kind::Partition | Kind::Pool => {
            CannotBe("it cannot end with one of its children, so only an operator ends it in order")
        }
        Kind::Actor | Kind::Bare | Kind::Task | Kind::Thread | Kind::Process | Kind::Supervisor => {
            Holds
        }
    };
    row(cell, async |kind| {
        let normal = match kind {
            Kind::Process => ExitKind::Exit(0),
            Kind::Actor | Kind::Bare | Kind::Task | Kind::Thread => ExitKind::Normal,
            Kind::Supervisor | Kind::Dynamic | Kind::Partition | Kind::Pool => ExitKind::Shutdown,
        };
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            let mut stage =
                Stage::start(kind, |spec| spec.restart(restart).backoff(Backoff::none())).await;
            stage.tell(Order::Return).await;
            let ended = stage.ended().await;
            assert_eq!(
                (ended.reason, ended.outcome),
                (normal, "by_itself"),
                "{kind:?}"
            );
            match restart {
                Restart::Permanent => assert_eq!(stage.back().await.generation, 2),
                Restart::Transient => assert_eq!(stage.info().await.phase, Phase::Completed),
                Restart::Temporary => {
                    stage
                        .system
                        .expect("regrow.supervisor.child.removed", "root/a")
                        .await;
                }
            }
        }
    });
}

#[test]
fn one_that_runs_once_is_done_by_a_normal_end_and_tries_again_after_a_failure() {
    let cell = |kind| match kind {
        Kind::Dynamic | Kind::Partition | Kind::Pool => {
            CannotBe("it cannot end with one of its children, so it comes to no end of its own")
        }
        Kind::Actor | Kind::Bare | Kind::Task | Kind::Thread | Kind::Process | Kind::Supervisor => {
            Holds
        }
    };
    row(cell, async |kind| {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            // What supervisors end with must be allowed to end.
            if kind.is_supervisor() && restart == Restart::Permanent {
                continue;
            }
            let once = |spec: ChildSpec| spec.once().restart(restart).backoff(Backoff::none());
            let mut stage = Stage::start(kind, once).await;
            assert_eq!(stage.info().await.desired, Desired::Once);
            stage.tell(Order::Return).await;
            stage.ended().await;
            assert_eq!(stage.info().await.phase, Phase::Completed, "{kind:?}");
            let again = stage.system.restart_child("root/a").await.unwrap();
            assert_eq!(
                (again.generation, again.phase, again.desired),
                (2, Phase::Running, Desired::Once)
            );
            stage.tell(Order::Fail).await;
            assert_eq!(stage.ended().await.reason, kind.failed(), "{kind:?}");
            let info = stage.info().await;
            match restart {
                Restart::Permanent | Restart::Transient => assert_eq!(info.generation, 3),
                Restart::Temporary => {
                    assert_eq!(info.phase, Phase::Failed, "{kind:?}");
                    let why = info.parked_because.unwrap();
                    assert!(why.starts_with("failed, and is not tried again"), "{why}");
                }
            }
        }
    });
}

#[test]
fn it_is_waited_for_until_it_is_ready_or_has_ended() {
    row(everywhere, async |kind| {
        let ends = !matches!(kind, Kind::Dynamic | Kind::Partition | Kind::Pool);
        let spec = |spec: ChildSpec| spec.once().restart(Restart::Transient);
        let mut tree = Supervisor::new("root").order(regrow::Order::Dependencies);
        tree = tree.child(Puppet::spec("ready").waits_for("a", Condition::Ready));
        if ends {
            let until = Condition::CompletedSuccessfully;
            tree = tree.child(Puppet::spec("done").waits_for("a", until));
        }
        let (cast, spec_of_a) = Cast::new(kind, First::Up);
        let mut system = TestSystem::launch(tree.child(spec(spec_of_a))).await;
        system.expect("regrow.child.started", "root/ready").await;
        if ends {
            let done = system.which_child("root/done").await.unwrap();
            assert_eq!(done.phase, Phase::Pending, "{kind:?}");
            cast.tell(&system, Order::Return).await;
            system.expect("regrow.child.started", "root/done").await;
        }
        system.booted().await.unwrap();
    });
}

#[test]
fn a_failure_goes_by_the_restart_type() {
    row(everywhere, async |kind| {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            let mut stage =
                Stage::start(kind, |spec| spec.restart(restart).backoff(Backoff::none())).await;
            stage.tell(Order::Fail).await;
            assert_eq!(stage.ended().await.reason, kind.failed(), "{kind:?}");
            match restart {
                Restart::Permanent | Restart::Transient => {
                    assert_eq!(stage.back().await.generation, 2);
                }
                Restart::Temporary => {
                    stage
                        .system
                        .expect("regrow.supervisor.child.removed", "root/a")
                        .await;
                }
            }
        }
    });
}

#[test]
fn a_stop_in_time_is_a_shutdown_and_stays() {
    row(everywhere, async |kind| {
        let mut stage = Stage::start(kind, |spec| spec).await;
        let info = stage.system.terminate_child("root/a").await.unwrap();
        assert_eq!(info.phase, Phase::Stopped, "{kind:?}");
        let golden = ["child.stopping", "child.terminated", "child.state_changed"];
        let told: Vec<String> = told(&mut stage.system).await;
        assert_eq!(told, golden, "{kind:?}");
        assert_eq!(info.last_exit.unwrap().reason.kind(), ExitKind::Shutdown);
    });
}

#[test]
fn a_stop_that_needs_force_is_told_as_what_force_has_reached() {
    row(everywhere, async |kind| {
        let mut stage = Stage::start(kind, |spec| spec.shutdown(SHORT)).await;
        stage.tell(Order::Hang).await;
        // Where it runs beside us.
        while stage.cast.has_orders() {
            tokio::task::yield_now().await;
        }
        drop(stage.system.terminate_child("root/a").await.unwrap());
        let ended = stage.ended().await;
        let expected = match kind {
            Kind::Actor | Kind::Bare | Kind::Task | Kind::Process => {
                (ExitKind::Killed, "escalated")
            }
            // A thread cannot be killed.
            Kind::Thread => (ExitKind::Unresponsive, "unresponsive"),
            // It is told to hurry, and ends in order after it has killed its own.
            Kind::Supervisor | Kind::Dynamic | Kind::Partition | Kind::Pool => {
                (ExitKind::Shutdown, "graceful")
            }
        };
        assert_eq!((ended.reason, ended.outcome), expected, "{kind:?}");
    });
}

#[test]
fn a_restart_waits_for_the_backoff() {
    row(everywhere, async |kind| {
        let backoff =
            Backoff::exponential(SHORT * 4..=SHORT * 4).first(regrow::FirstRestart::Delayed);
        let mut stage = Stage::start(kind, |spec| spec.backoff(backoff)).await;
        stage.tell(Order::Fail).await;
        stage
            .system
            .expect("regrow.supervisor.restart.scheduled", "root/a")
            .await;
        let info = stage.info().await;
        assert_eq!(info.phase, Phase::Backoff, "{kind:?}");
        assert!(info.next_start_at.is_some());
        let info = stage.back().await;
        assert_eq!(
            (info.phase, info.generation, info.next_start_at),
            (Phase::Running, 2, None)
        );
    });
}

#[test]
fn one_that_exceeds_its_own_limit_is_parked_until_an_operator_starts_it() {
    row(everywhere, async |kind| {
        let limit = RestartIntensity::new(1, Duration::from_secs(3_600));
        let mut stage = Stage::start(kind, |spec| {
            spec.backoff(Backoff::none())
                .limit(limit)
                .give_up(GiveUp::Park)
        })
        .await;
        stage.tell(Order::Fail).await;
        assert_eq!(stage.back().await.generation, 2);
        stage.tell(Order::Fail).await;
        assert_eq!(stage.ended().await.generation, 2);
        let info = stage.info().await;
        assert_eq!((info.phase, info.restarts), (Phase::Failed, 1), "{kind:?}");
        assert!(info.parked_because.is_some());
        let sibling = stage.system.which_child("root/witness").await.unwrap();
        assert_eq!((sibling.phase, sibling.generation), (Phase::Running, 1));
        let info = stage.system.restart_child("root/a").await.unwrap();
        assert_eq!((info.phase, info.generation), (Phase::Running, 3));
    });
}

#[test]
fn a_significant_child_takes_its_supervisor_along() {
    row(everywhere, async |kind| {
        let tree = Supervisor::new("root").auto_shutdown(AutoShutdown::AnySignificant);
        let stage = Stage::under(tree, kind, |spec| {
            spec.restart(Restart::Temporary).significant()
        })
        .await;
        stage.tell(Order::Fail).await;
        assert_eq!(
            stage.system.ended().await.kind(),
            ExitKind::Shutdown,
            "{kind:?}"
        );
    });
}

#[test]
fn operators_start_stop_restart_bounce_and_delete_it() {
    row(everywhere, async |kind| {
        let stage = Stage::start(kind, |spec| spec).await;
        let system = &stage.system;
        let again = || system.start_child("root", Cast::new(kind, First::Up).1);
        let refused = again().await.unwrap_err();
        assert!(
            matches!(refused, OperateError::AlreadyStarted { .. }),
            "{kind:?}: {refused}"
        );
        let refused = system.delete_child("root/a").await.unwrap_err();
        assert!(
            matches!(refused, OperateError::Running { .. }),
            "{kind:?}: {refused}"
        );
        let refused = system.restart_child("root/a").await.unwrap_err();
        assert!(
            matches!(refused, OperateError::Running { .. }),
            "{kind:?}: {refused}"
        );
        assert_eq!(system.bounce_child("root/a").await.unwrap().generation, 2);
        drop(system.terminate_child("root/a").await.unwrap());
        let refused = again().await.unwrap_err();
        assert!(
            matches!(refused, OperateError::AlreadyPresent { .. }),
            "{kind:?}: {refused}"
        );
        assert_eq!(system.restart_child("root/a").await.unwrap().generation, 3);
        drop(system.terminate_child("root/a").await.unwrap());
        drop(system.delete_child("root/a").await.unwrap());
        let gone = system.which_child("root/a").await.unwrap_err();
        assert!(
            matches!(gone, OperateError::NotFound { .. }),
            "{kind:?}: {gone}"
        );
        let info = again().await.unwrap();
        assert_eq!(
            (info.phase, info.restarts),
            (Phase::Running, 0),
            "a child of its own"
        );
    });
}

#[test]
fn it_is_counted_and_its_spec_can_be_read() {
    row(everywhere, async |kind| {
        let stage = Stage::start(kind, |spec| spec.restart(Restart::Transient)).await;
        let counts = stage.system.count_children("root").await.unwrap();
        let supervisors = u32::from(kind.is_supervisor());
        assert_eq!((counts.specs, counts.active), (2, 2), "{kind:?}");
        assert_eq!(
            (counts.supervisors, counts.workers),
            (supervisors, 2 - supervisors)
        );
        let spec = stage.system.spec("root/a").await.unwrap();
        assert_eq!((spec.id(), spec.plan().restart), ("a", Restart::Transient));
        drop(stage.system.terminate_child("root/a").await.unwrap());
        let counts = stage.system.count_children("root").await.unwrap();
        assert_eq!((counts.specs, counts.active), (2, 1), "{kind:?}");
    });
}

#[test]
fn its_metrics_say_its_kind_and_its_type() {
    row(everywhere, async |kind| {
        let edit = |spec: ChildSpec| spec.of_type("mine").backoff(Backoff::none());
        let mut stage = Stage::start(kind, edit).await;
        stage.tell(Order::Fail).await;
        stage.back().await;
        let text = stage.system.exporter().render();
        let (word, reason) = (kind.word(), kind.failed().as_str());
        let labels = format!("kind=\"{word}\",type=\"mine\"");
        for line in [
            format!("regrow_child_starts_total{{{labels}}} 2"),
            format!("regrow_child_terminations_total{{{labels},reason=\"{reason}\"}} 1"),
            format!("regrow_children{{{labels},status=\"running\"}} 1"),
            format!(
                "regrow_supervisor_restarts_total{{supervisor=\"root\",reason=\"{reason}\",scope=\"one\"}} 1"
            ),
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{kind:?}: {line} is missing in\n{text}"
            );
        }
    });
}
