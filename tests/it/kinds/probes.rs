//! What probes do, to every kind of child.

use std::sync::atomic::{AtomicBool, Ordering};

use regrow::probe::{CheckResult, OwnCheck, Probe, ProbeVerdict, Progress, QueueAge, call};
use regrow::{Health, Payload, StopCause};

use super::*;

/// What a check finds, as the test wants it.
#[derive(Clone)]
struct Dial(std::sync::Arc<AtomicBool>);

impl Dial {
    fn at(well: bool) -> Self {
        Self(std::sync::Arc::new(AtomicBool::new(well)))
    }

    fn turn(&self, well: bool) {
        self.0.store(well, Ordering::SeqCst);
    }

    fn check(&self) -> impl OwnCheck + use<> {
        let dial = self.clone();
        let look = move || {
            let well = dial.0.load(Ordering::SeqCst);
            async move {
                if well {
                    CheckResult::success()
                } else {
                    CheckResult::failure("the dial says no")
                }
            }
        };
        call(look).of_the_child_alone()
    }
}

fn quick(probe: Probe) -> Probe {
    probe
        .period(Duration::from_millis(20))
        .timeout(Duration::from_secs(5))
}

#[test]
fn a_liveness_probe_that_fails_restarts_it_with_its_cause() {
    row(everywhere, async |kind| {
        let dial = Dial::at(true);
        let probe = quick(Probe::liveness(dial.check()));
        let edit = |spec: ChildSpec| spec.backoff(Backoff::none()).probe(probe);
        let mut stage = Stage::start(kind, edit).await;
        dial.turn(false);
        let stopping = stage.system.expect("regrow.child.stopping", "root/a").await;
        dial.turn(true);
        let Payload::ChildStopping { cause, why } = &stopping.payload else {
            panic!("{stopping:?}")
        };
        assert_eq!(*cause, StopCause::Probe, "{kind:?}");
        let expected = "its liveness probe failed: the dial says no";
        assert_eq!(why.as_deref(), Some(expected), "{kind:?}");
        let info = stage.back().await;
        assert_eq!((info.generation, info.restarts), (2, 1), "{kind:?}");
    });
}

#[test]
fn a_readiness_probe_keeps_work_away_from_it_and_lets_it_live() {
    row(everywhere, async |kind| {
        let dial = Dial::at(true);
        let probe = quick(Probe::readiness(dial.check()));
        let mut stage = Stage::start(kind, |spec| spec.probe(probe)).await;
        // One that takes a while to start may be ready by then.
        if !stage.info().await.ready {
            stage.system.expect("regrow.child.ready", "root/a").await;
        }
        let info = stage.info().await;
        assert_eq!((info.phase, info.ready), (Phase::Running, true), "{kind:?}");
        dial.turn(false);
        let unready = stage.system.expect("regrow.child.unready", "root/a").await;
        let Payload::ChildUnready { why } = &unready.payload else {
            panic!("{unready:?}")
        };
        assert_eq!(&**why, "its readiness probe failed: the dial says no");
        stage.system.expect("regrow.health.changed", "root/a").await;
        let info = stage.info().await;
        assert_eq!((info.phase, info.ready), (Phase::Running, false));
        assert_eq!((info.health, info.generation), (Health::Down, 1));
        assert_eq!(info.probes[0].verdict, ProbeVerdict::Failure);
        dial.turn(true);
        stage.system.expect("regrow.child.ready", "root/a").await;
    });
}

#[test]
fn it_is_up_when_its_startup_probe_says_so() {
    row(everywhere, async |kind| {
        let dial = Dial::at(false);
        let probe = quick(Probe::startup(dial.check())).failure_threshold(u32::MAX);
        let (_cast, spec) = Cast::new(kind, First::Up);
        let tree = Supervisor::new("root").child(spec.probe(probe));
        let mut system = TestSystem::launch(tree).await;
        system.expect("regrow.probe.executed", "root/a").await;
        let info = system.which_child("root/a").await.unwrap();
        assert_eq!((info.phase, info.ready), (Phase::Starting, false));
        dial.turn(true);
        system.booted().await.unwrap();
        let info = system.which_child("root/a").await.unwrap();
        assert_eq!((info.phase, info.ready), (Phase::Running, true), "{kind:?}");
    });
}

#[test]
fn a_startup_probe_that_fails_is_a_failed_start() {
    row(everywhere, async |kind| {
        let dial = Dial::at(false);
        let probe = quick(Probe::startup(dial.check()));
        let (_cast, spec) = Cast::new(kind, First::Up);
        let mut system = TestSystem::start(Supervisor::new("root").no_intensity_limit()).await;
        let refused = system.start_child("root", spec.probe(probe)).await;
        let Err(OperateError::DidNotStart { reason, .. }) = &refused else {
            panic!("{kind:?}: {refused:?}")
        };
        assert_eq!(reason.kind(), ExitKind::StartFailed, "{kind:?}");
        let why = "its startup probe failed: the dial says no";
        assert!(reason.to_string().contains(why), "{kind:?}: {reason}");
        system.expect("regrow.child.start_failed", "root/a").await;
    });
}

#[test]
fn messages_are_counted_of_actors_alone() {
    row(everywhere, async |kind| {
        for probe in [
            Probe::liveness(Progress::default()),
            Probe::readiness(QueueAge::at_most(SHORT)),
        ] {
            let (_cast, spec) = Cast::new(kind, First::Up);
            let tree = Supervisor::new("root").child(spec.probe(probe));
            match (kind.word(), tree.check()) {
                (ChildKind::Actor, checked) => assert!(checked.is_ok(), "{kind:?}"),
                (word, checked) => {
                    let error = checked.unwrap_err().to_string();
                    let expected =
                        format!("counts the messages of an actor, and a {word} has none");
                    assert!(error.contains(&expected), "{error}");
                    assert!(error.contains("child \"root/a\""), "{error}");
                }
            }
        }
    });
}
