//! Children are asked how they are, and what is found is acted upon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regrow::probe::{
    Check, CheckResult, Examination, Heartbeat, Memory, OwnCheck, Probe, ProbeResult, Probed,
    Progress, Pulse, Ttl, call, message,
};
use regrow::testing::{Puppet, TestSystem};
use regrow::{
    BoxError, ChildSpec, Condition, ExitKind, Health, Order, Payload, Phase, Query, StopCause,
    Supervisor, TaskContext,
};

const SECOND: Duration = Duration::from_secs(1);

fn root() -> Supervisor {
    Supervisor::new("root").no_intensity_limit()
}

fn always(result: CheckResult) -> impl OwnCheck {
    call(move || std::future::ready(result.clone())).of_the_child_alone()
}

#[tokio::test(start_paused = true)]
async fn an_actor_whose_handler_is_stuck_is_restarted_and_told_as_stuck() {
    let probe = Probe::liveness(Progress::stalled_after(SECOND * 10));
    let mut system = TestSystem::start(root().child(Puppet::spec("a").probe(probe))).await;
    system.puppet("root/a").hang();
    let began = tokio::time::Instant::now();
    let event = system.expect("regrow.child.stopping", "root/a").await;
    let Payload::ChildStopping { cause, why } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(*cause, StopCause::Probe);
    let why = why.as_deref().unwrap_or_default();
    assert!(
        why.starts_with("its liveness probe failed: has been handling one message for"),
        "{why}"
    );
    // Seen at the first look after it began, three failures from 10 s on, with looks 5 s apart and 5 % jitter.
    let took = began.elapsed();
    assert!((SECOND * 20..SECOND * 27).contains(&took), "{took:?}");
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Killed);
}

#[tokio::test(start_paused = true)]
async fn an_actor_in_a_flood_that_it_works_off_is_well_and_one_that_is_idle_too() {
    let probe = || Probe::liveness(Progress::stalled_after(SECOND)).period(SECOND);
    let slow = ChildSpec::actor("slow", slow::Slow, ()).probe(probe());
    let tree = root()
        .child(slow)
        .child(Puppet::spec("idle").probe(probe()));
    let mut system = TestSystem::start(tree).await;
    let slow = system
        .address::<slow::Work>("root/slow")
        .expect("an address");
    for _ in 0..1_000 {
        slow.send(slow::Work::Do).expect("it is up");
    }
    for _ in 0..250 {
        let event = system.expect("regrow.probe.executed", "root/slow").await;
        let Payload::ProbeExecuted { result, .. } = &event.payload else {
            panic!("{event:?}")
        };
        assert_eq!(*result, ProbeResult::Success);
    }
    for path in ["root/slow", "root/idle"] {
        let info = system.which_child(path).await.expect("it is there");
        assert_eq!((info.generation, info.health), (1, Health::Up), "{path}");
    }
}

/// The baseline: by a message through its mailbox the same actor looks dead.
#[tokio::test(start_paused = true)]
async fn the_same_flood_fails_a_probe_by_message() {
    let probe = Probe::readiness(message(slow::Work::Ping)).period(SECOND);
    let slow = ChildSpec::actor("slow", slow::Slow, ()).probe(probe);
    let mut system = TestSystem::start(root().child(slow)).await;
    system.expect("regrow.child.ready", "root/slow").await;
    let slow = system
        .address::<slow::Work>("root/slow")
        .expect("an address");
    for _ in 0..1_000 {
        slow.send(slow::Work::Do).expect("it is up");
    }
    let event = system.expect("regrow.child.unready", "root/slow").await;
    let Payload::ChildUnready { why } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(&**why, "its readiness probe failed: no answer within 1s");
}

mod slow {
    use std::time::Duration;

    use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
    use regrow::probe::CheckResult;

    /// Takes a quarter of a second for each message.
    #[derive(Clone)]
    pub(super) struct Slow;

    pub(super) enum Work {
        Do,
        Ping(RpcReplyPort<CheckResult>),
    }

    impl Actor for Slow {
        type Msg = Work;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<Work>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<Work>,
            message: Work,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            match message {
                Work::Do => tokio::time::sleep(Duration::from_millis(250)).await,
                Work::Ping(reply) => drop(reply.send(CheckResult::success())),
            }
            Ok(())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_ready_is_not_found_as_ready() {
    let well = Arc::new(AtomicUsize::new(1));
    let dial = Arc::clone(&well);
    let check = call(move || {
        let well = dial.load(Ordering::SeqCst) > 0;
        std::future::ready(if well {
            CheckResult::success()
        } else {
            CheckResult::failure("no")
        })
    });
    let spec = Puppet::spec("a").probe(Probe::readiness(check));
    let mut system = TestSystem::start(root().child(spec).child(Puppet::spec("b"))).await;
    let query: Query = "ready".parse().expect("a query");
    let registry = system.registry();
    let ready = || registry.count(&query);
    assert_eq!(ready(), 1, "who has not been asked yet is not ready");
    system.expect("regrow.child.ready", "root/a").await;
    assert_eq!(ready(), 2);
    well.store(0, Ordering::SeqCst);
    system.expect("regrow.child.unready", "root/a").await;
    assert_eq!(ready(), 1);
    system.expect("regrow.health.changed", "root/a").await;
    let down: Query = "health:down".parse().expect("a query");
    assert_eq!(registry.count(&down), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_until_it_is_ready_waits_for_its_probes() {
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let check = call(move || {
        let well = times.fetch_add(1, Ordering::SeqCst) >= 4;
        std::future::ready(if well {
            CheckResult::success()
        } else {
            CheckResult::failure("not yet")
        })
    });
    let tree = root()
        .order(Order::Dependencies)
        .child(Puppet::spec("db").probe(Probe::readiness(check)))
        .child(Puppet::spec("api").waits_for("db", Condition::Ready));
    let mut system = TestSystem::launch(tree).await;
    system.expect("regrow.child.started", "root/db").await;
    let api = system.which_child("root/api").await.expect("it is there");
    assert_eq!(api.phase, Phase::Pending);
    system.expect("regrow.child.started", "root/api").await;
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn a_startup_probe_may_take_longer_than_a_start_may() {
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let check = call(move || {
        let well = times.fetch_add(1, Ordering::SeqCst) >= 20;
        std::future::ready(if well {
            CheckResult::success()
        } else {
            CheckResult::failure("loads its model")
        })
    });
    let spec = Puppet::spec("a")
        .start_timeout(SECOND)
        .probe(Probe::startup(check).failure_threshold(30))
        .probe(Probe::liveness(always(CheckResult::success())));
    let mut system = TestSystem::launch(root().child(spec)).await;
    for _ in 0..21 {
        let event = system.expect("regrow.probe.executed", "root/a").await;
        let Payload::ProbeExecuted { probe, .. } = &event.payload else {
            panic!("{event:?}")
        };
        assert_eq!(&**probe, "startup", "liveness waits for it");
    }
    system.expect("regrow.child.started", "root/a").await;
    let event = system.expect("regrow.probe.executed", "root/a").await;
    assert!(
        matches!(&event.payload, Payload::ProbeExecuted { probe, .. } if &**probe == "liveness")
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_say_that_it_is_well_is_restarted_and_its_earlier_life_cannot_speak_for_it()
 {
    let pulse = Pulse::new();
    let probe = Probe::liveness(Ttl::new(&pulse, SECOND * 10)).period(SECOND);
    let beats = pulse.clone();
    let task = ChildSpec::task("a", move |context: TaskContext| {
        let beat = beats.of(&context);
        async move {
            if context.generation() == 1 {
                // It hands its pulse to somebody who goes on with it.
                tokio::spawn(async move {
                    for _ in 0..60 {
                        beat.beat();
                        tokio::time::sleep(SECOND).await;
                    }
                });
            }
            context.stopped().await;
            Ok::<(), BoxError>(())
        }
    });
    let mut system = TestSystem::start(root().child(task.probe(probe))).await;
    let began = tokio::time::Instant::now();
    drop(system.bounce_child("root/a").await.expect("it restarts"));
    system.expect("regrow.child.started", "root/a").await;
    let event = system.expect("regrow.probe.changed", "root/a").await;
    assert!(began.elapsed() < SECOND * 20, "{:?}", began.elapsed());
    let Payload::ProbeChanged { why, .. } = &event.payload else {
        panic!("{event:?}")
    };
    let why = why.as_deref().unwrap_or_default();
    assert!(why.starts_with("has never said anything in"), "{why}");
}

/// A check that panics.
struct Clumsy;

impl Check for Clumsy {
    fn examine(&self, _: &Probed) -> Examination {
        Examination::at_once(|_| panic!("it tripped"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_or_hangs_has_failed_and_harms_nobody() {
    let hangs = call(std::future::pending);
    let trips = call(|| async { panic!("it fell") });
    let spec = Puppet::spec("a")
        .probe(Probe::custom("clumsy", Clumsy))
        .probe(Probe::custom("hangs", hangs))
        .probe(Probe::custom("trips", trips));
    let mut system = TestSystem::start(root().child(spec)).await;
    for _ in 0..3 {
        system.expect("regrow.probe.changed", "root/a").await;
    }
    let info = system.which_child("root/a").await.expect("it is there");
    let why: Vec<&str> = info.probes.iter().map(|probe| &*probe.why).collect();
    assert!(why[0].contains("it tripped"), "{why:?}");
    assert_eq!(why[1], "no answer within 1s");
    assert!(why[2].contains("it fell"), "{why:?}");
    assert_eq!((info.generation, info.ready), (1, true));
    assert_eq!(info.health, Health::Degraded, "custom probes end nothing");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_work_is_refused_with_its_place() {
    let ok = || always(CheckResult::success());
    let refused = |spec: ChildSpec| {
        let error = root().child(spec).check().expect_err("it cannot work");
        error.to_string()
    };
    let twice = Puppet::spec("a")
        .probe(Probe::readiness(ok()))
        .probe(Probe::readiness(ok()));
    assert_eq!(
        refused(twice),
        "child \"root/a\": probe \"readiness\": name: expected one that no other probe has, got \"readiness\""
    );
    let successes = Puppet::spec("a").probe(Probe::liveness(ok()).success_threshold(2));
    assert_eq!(
        refused(successes),
        "child \"root/a\": probe \"liveness\": success_threshold: expected 1, as for every liveness probe, got 2"
    );
    let task = ChildSpec::task("t", |_: TaskContext| async { Ok::<(), BoxError>(()) });
    assert_eq!(
        refused(task.probe(Probe::liveness(Progress::default()))),
        "child \"root/t\": probe \"liveness\": its check counts the messages of an actor, and a task has none; use a Pulse, or a \
         function"
    );
}

#[tokio::test(start_paused = true)]
async fn what_probes_say_is_counted() {
    let failing = || always(CheckResult::failure("no"));
    let spec = Puppet::spec("a")
        .of_type("worker")
        .probe(Probe::readiness(failing()))
        .probe(Probe::custom("deep", always(CheckResult::success())));
    let mut system = TestSystem::start(root().child(spec)).await;
    for _ in 0..6 {
        system.expect("regrow.probe.executed", "root/a").await;
    }
    let text = system.exporter().render();
    for line in [
        "regrow_probe_up{probe=\"worker/readiness\",kind=\"readiness\"} 0",
        "regrow_probe_up{probe=\"worker/deep\",kind=\"custom\"} 1",
        "regrow_probe_executions_total{probe=\"worker/readiness\",kind=\"readiness\",result=\"failure\"} 3",
        "regrow_probe_transitions_total{probe=\"worker/deep\",kind=\"custom\",to=\"success\"} 1",
        "regrow_probe_seconds_count{probe=\"worker/deep\",kind=\"custom\"} 3",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

/// A check that cannot even begin.
struct Stillborn;

impl Check for Stillborn {
    fn examine(&self, _: &Probed) -> Examination {
        panic!("it was never born")
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_as_it_begins_has_failed_and_harms_nobody() {
    let spec = Puppet::spec("a").probe(Probe::custom("stillborn", Stillborn));
    let mut system = TestSystem::start(root().child(spec)).await;
    system.expect("regrow.probe.changed", "root/a").await;
    let info = system.which_child("root/a").await.expect("it is there");
    let why = &info.probes[0].why;
    assert!(why.contains("it was never born"), "{why}");
    assert_eq!((info.generation, info.phase), (1, Phase::Running));
}

#[tokio::test(start_paused = true)]
async fn one_that_has_started_by_its_probe_has_the_start_timeout_to_announce_itself() {
    let silent = ChildSpec::task("a", |context: TaskContext| async move {
        context.stopped().await;
        Ok::<(), BoxError>(())
    });
    let spec = silent
        .announced()
        .start_timeout(SECOND * 5)
        .probe(Probe::startup(always(CheckResult::success())));
    let began = tokio::time::Instant::now();
    let mut system = TestSystem::launch(root().child(spec)).await;
    let event = system.expect("regrow.child.start_failed", "root/a").await;
    let Payload::ChildStartFailed { reason, .. } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(reason.kind(), ExitKind::StartTimeout);
    assert!(began.elapsed() < SECOND * 20, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_is_given_back_is_as_ready_as_before() {
    let probe = || Probe::readiness(always(CheckResult::success()));
    let spec = Puppet::spec("a").probe(probe());
    let said = spec.plan().ready_within;
    let mut system = TestSystem::start(root().child(spec)).await;
    system.expect("regrow.child.ready", "root/a").await;
    let spec = system.spec("root/a").await.expect("it is there");
    assert_eq!(spec.plan().ready_within, said);
}

/// Beats every 100 ms until it is told to fall silent.
fn beats(pulse: &Pulse, silent: &Arc<AtomicUsize>) -> ChildSpec {
    let (pulse, silent) = (pulse.clone(), Arc::clone(silent));
    ChildSpec::task("a", move |context: TaskContext| {
        let (beat, silent) = (pulse.of(&context), Arc::clone(&silent));
        async move {
            while silent.load(Ordering::SeqCst) == 0 {
                beat.beat();
                tokio::time::sleep(SECOND / 10).await;
            }
            context.stopped().await;
            Ok::<(), BoxError>(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_heart_that_has_beaten_evenly_is_soon_missed_and_its_child_restarted() {
    let (pulse, silent) = (Pulse::new(), Arc::new(AtomicUsize::new(0)));
    let heart = Heartbeat::every(&pulse, SECOND / 10);
    let probe = Probe::liveness(heart).period(SECOND).failure_threshold(1);
    // Two may listen to one pulse.
    let slow = Probe::custom("slow", Ttl::new(&pulse, SECOND * 3_600));
    let spec = beats(&pulse, &silent).probe(probe).probe(slow);
    let mut system = TestSystem::start(root().child(spec)).await;
    tokio::time::sleep(SECOND * 600).await;
    let info = system.which_child("root/a").await.expect("it is there");
    assert_eq!((info.generation, info.health), (1, Health::Up));
    let fell_silent = tokio::time::Instant::now();
    silent.store(1, Ordering::SeqCst);
    let event = system.expect("regrow.child.stopping", "root/a").await;
    // The pause of 3 s, what is usual, and a period until it is seen, with its jitter.
    let took = fell_silent.elapsed();
    assert!((SECOND * 3..SECOND * 6).contains(&took), "{took:?}");
    let Payload::ChildStopping { why, .. } = &event.payload else {
        panic!("{event:?}")
    };
    let why = why.as_deref().unwrap_or_default();
    let because = "its liveness probe failed: has been silent for ";
    assert!(
        why.starts_with(because) && why.ends_with("may be 8.0"),
        "{why}"
    );
    // The next life never beats, and that is missed too.
    system.expect("regrow.child.started", "root/a").await;
    system.expect("regrow.child.stopping", "root/a").await;
}

#[tokio::test(start_paused = true)]
async fn who_uses_much_memory_is_degraded_and_who_uses_too_much_has_failed() {
    let used = Arc::new(AtomicUsize::new(0));
    let dial = Arc::clone(&used);
    let check = Memory::at_most(100 << 20, move || dial.load(Ordering::SeqCst) as u64);
    let probe = Probe::readiness(check).failure_threshold(1);
    let mut system = TestSystem::start(root().child(Puppet::spec("a").probe(probe))).await;
    system.expect("regrow.child.ready", "root/a").await;
    system.expect("regrow.health.changed", "root/a").await;
    used.store(95 << 20, Ordering::SeqCst);
    system.expect("regrow.health.changed", "root/a").await;
    let info = system.which_child("root/a").await.expect("it is there");
    assert_eq!((info.health, info.ready), (Health::Degraded, true));
    used.store(101 << 20, Ordering::SeqCst);
    let event = system.expect("regrow.child.unready", "root/a").await;
    let Payload::ChildUnready { why } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(
        &**why,
        "its readiness probe failed: uses 101 MiB, and may 100"
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_may_say_that_it_can_do_no_work_and_that_it_can_again() {
    let orders = Arc::new(tokio::sync::Notify::new());
    let turn = Arc::clone(&orders);
    let spec = ChildSpec::task("a", move |context: TaskContext| {
        let turn = Arc::clone(&turn);
        async move {
            loop {
                turn.notified().await;
                context.unready("the database is away");
                context.unready("it still is");
                turn.notified().await;
                context.ready();
            }
            #[expect(unreachable_code, reason = "it says what it ends with")]
            Ok::<(), BoxError>(())
        }
    });
    let mut system = TestSystem::start(root().child(spec)).await;
    let is_ready = |system: &TestSystem| {
        let found = system.registry().get("root/a");
        found.is_some_and(|child| child.is_ready())
    };
    assert!(is_ready(&system));
    orders.notify_one();
    let event = system.expect("regrow.child.unready", "root/a").await;
    let Payload::ChildUnready { why } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(&**why, "the database is away");
    assert!(!is_ready(&system));
    orders.notify_one();
    system.expect("regrow.child.ready", "root/a").await;
    assert!(is_ready(&system));
    let told = system.happened().await;
    let unready = told.iter().filter(|line| line.contains("unready"));
    assert_eq!(unready.count(), 0, "to say it twice says no more: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn who_says_that_it_is_ready_before_it_is_up_is_told_as_ready_when_it_is() {
    let spec = ChildSpec::task("a", |context: TaskContext| async move {
        context.ready();
        context.announce();
        context.stopped().await;
        Ok::<(), BoxError>(())
    });
    let spec = spec.announced().ready_within(SECOND);
    let mut system = TestSystem::launch(root().child(spec)).await;
    system.expect("regrow.child.started", "root/a").await;
    system.expect("regrow.child.ready", "root/a").await;
    let info = system.which_child("root/a").await.expect("it is there");
    assert!(info.ready);
}
