//! A circuit breaker as a child: what it tells, how it is listed and counted, and what its lives have in common.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::time::Duration;

use regrow::breaker::{
    Breaker, BreakerError, CircuitCause, CircuitMode, CircuitRules, CircuitState, OpenWait,
};
use regrow::probe::{CheckResult, Probe, call};
use regrow::testing::{Puppet, PuppetStart, TestSystem};
use regrow::{
    Backoff, ChildKind, ChildSpec, Condition, Health, Order, Payload, Phase, Query, Supervisor,
};

const SECOND: Duration = Duration::from_secs(1);

/// Two failures in a row open it for 5 s, one good call closes it.
fn rules() -> CircuitRules {
    let wait = Backoff::exponential(SECOND * 5..=SECOND * 300);
    CircuitRules::default()
        .consecutive_failures(2)
        .half_open_permits(1)
        .open_wait(wait)
}

fn breaker() -> Breaker {
    Breaker::new("model", rules()).unwrap()
}

async fn fine() -> Result<&'static str, &'static str> {
    Ok("fine")
}

async fn broken() -> Result<&'static str, &'static str> {
    Err("broken")
}

async fn open(breaker: &Breaker) {
    for _ in 0..2 {
        let result = breaker.call(broken()).await;
        assert_eq!(result, Err(BreakerError::Inner("broken")));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

async fn system(breaker: &Breaker) -> TestSystem {
    TestSystem::start(Supervisor::new("root").child(breaker)).await
}

/// The next change of a breaker that is told: to where, and why.
async fn changed(system: &mut TestSystem) -> (CircuitState, CircuitCause) {
    let event = system
        .expect("regrow.breaker.state.changed", "root/model")
        .await;
    let Payload::BreakerStateChanged { to, cause, .. } = event.payload else {
        unreachable!("{event:?}")
    };
    (to, cause)
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_a_child_like_others() {
    let breaker = breaker();
    let system = system(&breaker).await;
    let info = system.which_child("root/model").await.unwrap();
    assert_eq!(
        (info.kind, info.phase),
        (ChildKind::Breaker, Phase::Running)
    );
    assert_eq!(&*info.type_name, "breaker");
    assert_eq!(breaker.path().unwrap().as_str(), "root/model");
    assert_eq!(system.breaker("root/model"), Some(breaker.clone()));
    assert_eq!(system.breakers().len(), 1);
    assert!(system.shut_down().await.killed.is_empty());
    assert_eq!(breaker.path(), None);
    assert_eq!(breaker.call(fine()).await, Ok("fine"), "it works without");
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_by_one_event_in_order_with_its_cause() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    open(&breaker).await;
    // Nobody calls: its timer lets calls through to try.
    let told = [changed(&mut system).await, changed(&mut system).await];
    assert_eq!(
        told,
        [
            (CircuitState::Open, CircuitCause::ConsecutiveFailures),
            (CircuitState::HalfOpen, CircuitCause::Waited)
        ]
    );
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    assert_eq!(
        breaker.call(broken()).await,
        Err(BreakerError::Inner("broken"))
    );
    assert_eq!(changed(&mut system).await.0, CircuitState::Open);
    assert_eq!(changed(&mut system).await.0, CircuitState::HalfOpen);
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    let recovered = (CircuitState::Closed, CircuitCause::Recovered);
    assert_eq!(changed(&mut system).await, recovered);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_a_change_is_what_it_was_judged_by() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    open(&breaker).await;
    let event = system
        .expect("regrow.breaker.state.changed", "root/model")
        .await;
    let Payload::BreakerStateChanged {
        failure_ratio,
        calls,
        retry_after,
        state_generation,
        ..
    } = event.payload
    else {
        unreachable!("{event:?}")
    };
    assert_eq!(failure_ratio, Some(2.0 / 3.0));
    assert_eq!((calls, state_generation), (3, 2));
    assert_eq!(retry_after, Some(SECOND * 5));
}

#[tokio::test(start_paused = true)]
async fn trials_that_do_not_come_back_are_ended_by_the_timer() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    open(&breaker).await;
    breaker.half_open().unwrap();
    let lost = breaker.try_acquire().unwrap();
    for _ in 0..2 {
        let _opened_and_half_open = changed(&mut system).await;
    }
    let overdue = (CircuitState::Open, CircuitCause::Deadline);
    assert_eq!(changed(&mut system).await, overdue);
    lost.success();
    system
        .expect("regrow.breaker.late_result", "root/model")
        .await;
    assert_eq!(breaker.status().totals.late, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refused_calls_is_told_once_a_second_with_its_count() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    breaker.set_mode(CircuitMode::ForcedOpen);
    let mut told = Vec::new();
    for _ in 0..3 {
        for _ in 0..1_000 {
            assert!(breaker.try_acquire().is_err());
        }
        let event = system.expect("regrow.breaker.rejected", "root/model").await;
        let Payload::BreakerRejected { calls, state, .. } = event.payload else {
            unreachable!("{event:?}")
        };
        told.push((calls, state));
    }
    assert_eq!(told, [(1_000, CircuitState::ForcedOpen); 3]);
    assert_eq!(breaker.status().totals.rejected, 3_000);
}

#[tokio::test(start_paused = true)]
async fn one_call_is_told_as_an_example_of_many() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    let call = async {
        tokio::time::sleep(SECOND).await;
        broken().await
    };
    assert!(breaker.call(call).await.is_err());
    let event = system.expect("regrow.breaker.call", "root/model").await;
    let Payload::BreakerCall { took, outcome } = event.payload else {
        unreachable!("{event:?}")
    };
    assert_eq!((took, outcome), (SECOND, "failure"));
    for _ in 0..63 {
        assert_eq!(breaker.call(fine()).await, Ok("fine"));
    }
    system.quiet().await;
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    system.expect("regrow.breaker.call", "root/model").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_only_looks_on_says_what_it_would_have_done() {
    let breaker = Breaker::in_mode("model", rules(), CircuitMode::MetricsOnly).unwrap();
    let mut system = system(&breaker).await;
    for _ in 0..4 {
        let _failed = breaker.call(broken()).await;
    }
    let event = system
        .expect("regrow.breaker.would_open", "root/model")
        .await;
    let Payload::BreakerWouldOpen { cause, calls, .. } = event.payload else {
        unreachable!("{event:?}")
    };
    assert_eq!((cause, calls), (CircuitCause::ConsecutiveFailures, 2));
    assert_eq!(breaker.state(), CircuitState::MetricsOnly);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_started_again_goes_on_with_the_same_circuit() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    open(&breaker).await;
    assert_eq!(changed(&mut system).await.0, CircuitState::Open);
    system.bounce_child("root/model").await.unwrap();
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!(breaker.path().unwrap().as_str(), "root/model");
    let waited = (CircuitState::HalfOpen, CircuitCause::Waited);
    assert_eq!(changed(&mut system).await, waited);
    assert_eq!(system.breakers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_no_life_is_up_is_told_by_the_next_up_to_a_bound() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    system.terminate_child("root/model").await.unwrap();
    for _ in 0..40 {
        breaker.trip(OpenWait::Backoff).unwrap();
        breaker.close();
    }
    assert_eq!(system.breakers().len(), 1, "its place is there");
    system.restart_child("root/model").await.unwrap();
    let event = system
        .expect("regrow.telemetry.queue.dropped", "root/model")
        .await;
    let Payload::TelemetryQueueDropped { dropped, handler } = &event.payload else {
        unreachable!("{event:?}")
    };
    assert_eq!((*dropped, &**handler), (16, "breaker root/model"));
    for _ in 0..32 {
        assert_eq!(changed(&mut system).await.0, CircuitState::Open);
        assert_eq!(changed(&mut system).await.0, CircuitState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_the_child_of_one_place_at_a_time() {
    let breaker = breaker();
    let system = system(&breaker).await;
    let again = Supervisor::new("twin").child(ChildSpec::from(&breaker).once());
    let mut twin = TestSystem::launch(again).await;
    let event = twin.expect("regrow.child.start_failed", "twin/model").await;
    let Payload::ChildStartFailed { reason, .. } = &event.payload else {
        unreachable!("{event:?}")
    };
    let why = "breaker \"model\" is kept at \"root/model\" already";
    assert!(reason.to_string().contains(why), "{reason}");
    drop(system);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_whose_place_is_gone_is_listed_no_more() {
    let breaker = breaker();
    let system = system(&breaker).await;
    system.terminate_child("root/model").await.unwrap();
    system.delete_child("root/model").await.unwrap();
    assert_eq!(system.breakers(), []);
    assert_eq!(system.breaker("root/model"), None);
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_of_states_calls_and_changes() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    open(&breaker).await;
    assert!(breaker.try_acquire().is_err());
    assert_eq!(changed(&mut system).await.0, CircuitState::Open);
    let text = system.exporter().render();
    let expected = [
        "regrow_breaker_state{breaker=\"root/model\",state=\"closed\"} 0",
        "regrow_breaker_state{breaker=\"root/model\",state=\"open\"} 1",
        "regrow_breaker_state{breaker=\"root/model\",state=\"metrics_only\"} 0",
        "regrow_breaker_calls_total{breaker=\"root/model\",outcome=\"success\"} 1",
        "regrow_breaker_calls_total{breaker=\"root/model\",outcome=\"failure\"} 2",
        "regrow_breaker_calls_total{breaker=\"root/model\",outcome=\"rejected\"} 1",
        "regrow_breaker_slow_calls_total{breaker=\"root/model\",outcome=\"failure\"} 0",
        "regrow_breaker_transitions_total{breaker=\"root/model\",from=\"closed\",to=\"open\",\
         cause=\"consecutive_failures\"} 1",
        "regrow_breaker_failure_ratio{breaker=\"root/model\"} 0.6666666666666666",
        "regrow_breaker_slow_ratio{breaker=\"root/model\"} 0",
        "regrow_breaker_call_seconds_count{breaker=\"root/model\",outcome=\"success\"} 1",
    ];
    for line in expected {
        assert!(
            text.lines().any(|written| written == line),
            "{line} in\n{text}"
        );
    }
    breaker.close();
    let text = system.exporter().render();
    let line = "regrow_breaker_state{breaker=\"root/model\",state=\"open\"} 0";
    assert!(text.contains(line), "the old state is taken back");
    let unknown = "regrow_breaker_failure_ratio{breaker=\"root/model\"} NaN";
    assert!(text.contains(unknown), "below the minimum of calls");
}

/// One that has come up once and fails to start twice then, behind the breaker.
fn gated(breaker: &Breaker) -> Supervisor {
    use PuppetStart::{Refuse, Up};
    let spec = Puppet::scripted("a", [Up, Refuse, Refuse, Up])
        .backoff(Backoff::none())
        .gate(breaker);
    Supervisor::new("root")
        .no_intensity_limit()
        .child(breaker)
        .child(spec)
}

#[tokio::test(start_paused = true)]
async fn starts_that_fail_open_the_breaker_before_them_and_the_next_is_the_trial() {
    let breaker = breaker();
    let mut system = TestSystem::start(gated(&breaker)).await;
    assert_eq!(breaker.status().totals.success, 1, "the boot");
    let crashed = tokio::time::Instant::now();
    system.puppet("root/a").crash("boom");
    assert_eq!(changed(&mut system).await.0, CircuitState::Open);
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!((info.phase, info.restarts), (Phase::Starting, 3));
    assert_eq!(changed(&mut system).await.0, CircuitState::HalfOpen);
    let recovered = (CircuitState::Closed, CircuitCause::Recovered);
    assert_eq!(changed(&mut system).await, recovered);
    assert_eq!(crashed.elapsed(), SECOND * 5);
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!((info.phase, info.generation), (Phase::Running, 4));
    let totals = breaker.status().totals;
    assert_eq!((totals.success, totals.failure), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_its_breaker_can_be_stopped_and_has_no_timeout() {
    let breaker = breaker();
    let system = TestSystem::start(gated(&breaker)).await;
    breaker.set_mode(CircuitMode::ForcedOpen);
    system.puppet("root/a").crash("boom");
    tokio::time::sleep(SECOND * 3_600).await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!((info.phase, info.restarts), (Phase::Starting, 1));
    system.terminate_child("root/a").await.unwrap();
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!(info.phase, Phase::Stopped);
    let totals = breaker.status().totals;
    assert_eq!((totals.failure, totals.cancelled), (0, 0), "not tried");
    assert!(system.shut_down().await.killed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_end_before_a_child_announces_itself_is_a_failure_of_its_start() {
    let breaker = breaker();
    let fails = ChildSpec::task("a", |_| async { Err::<(), _>("no") });
    let spec = fails.announced().enabled(false).gate(&breaker);
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    assert!(system.restart_child("root/a").await.is_err());
    let totals = breaker.status().totals;
    assert_eq!((totals.success, totals.failure), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_startup_probe_that_fails_is_a_failure_to_the_breaker_before_its_starts() {
    let breaker = breaker();
    let no = call(|| std::future::ready(CheckResult::failure("no")));
    let probe = Probe::startup(no).failure_threshold(1);
    let spec = Puppet::spec("a").probe(probe).enabled(false).gate(&breaker);
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    assert!(system.restart_child("root/a").await.is_err());
    let totals = breaker.status().totals;
    assert_eq!((totals.success, totals.failure), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_open_is_not_ready() {
    let breaker = breaker();
    let mut system = system(&breaker).await;
    let query: Query = "kind:breaker and ready".parse().unwrap();
    let ready = |system: &TestSystem| system.registry().count(&query);
    assert_eq!(ready(&system), 1);
    open(&breaker).await;
    let event = system.expect("regrow.child.unready", "root/model").await;
    let Payload::ChildUnready { why } = &event.payload else {
        unreachable!("{event:?}")
    };
    assert_eq!(&**why, "breaker \"model\" is open");
    assert_eq!(ready(&system), 0);
    // Its wait is over: somebody has to try.
    system.expect("regrow.child.ready", "root/model").await;
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    assert_eq!(ready(&system), 1);
    breaker.set_mode(CircuitMode::ForcedOpen);
    system.expect("regrow.child.unready", "root/model").await;
    // A life that begins says anew how it stands.
    drop(system.bounce_child("root/model").await.unwrap());
    let info = system.which_child("root/model").await.unwrap();
    assert_eq!((info.phase, info.ready), (Phase::Running, false));
    assert_eq!(ready(&system), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_breaker_that_is_open_from_the_begin_is_started_when_it_closes() {
    let breaker = breaker();
    breaker.set_mode(CircuitMode::ForcedOpen);
    let waits = Puppet::spec("a").waits_for("model", Condition::Ready);
    let tree = Supervisor::new("root").order(Order::Dependencies);
    let mut system = TestSystem::launch(tree.child(&breaker).child(waits)).await;
    system.expect("regrow.child.started", "root/model").await;
    tokio::time::sleep(SECOND * 60).await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!(info.phase, Phase::Pending);
    breaker.close();
    system.expect("regrow.child.started", "root/a").await;
}

#[tokio::test(start_paused = true)]
async fn who_can_do_nothing_without_what_is_called_is_as_ready_as_its_breaker() {
    let breaker = breaker();
    let probe = Probe::readiness(breaker.clone()).failure_threshold(1);
    let tree = Supervisor::new("root")
        .child(&breaker)
        .child(Puppet::spec("a").probe(probe));
    let mut system = TestSystem::start(tree).await;
    system.expect("regrow.child.ready", "root/a").await;
    breaker.trip(OpenWait::For(SECOND * 60)).unwrap();
    let event = system.expect("regrow.child.unready", "root/a").await;
    let Payload::ChildUnready { why } = &event.payload else {
        unreachable!("{event:?}")
    };
    let because = "its readiness probe failed: breaker \"model\" is open, for ";
    assert!(why.starts_with(because), "{why}");
    system.expect("regrow.child.ready", "root/a").await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!(info.generation, 1, "nobody was restarted for it");
    assert_eq!(info.health, Health::Degraded, "it is tried out");
    breaker.set_mode(CircuitMode::ForcedOpen);
    system.expect("regrow.child.unready", "root/a").await;
    breaker.close();
    system.expect("regrow.child.ready", "root/a").await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_only_heeds_a_breaker_waits_until_it_is_closed_and_judges_nothing() {
    let breaker = breaker();
    let spec = Puppet::scripted("a", [PuppetStart::Up, PuppetStart::Refuse, PuppetStart::Up])
        .backoff(Backoff::none())
        .start_while_closed(&breaker);
    let tree = Supervisor::new("root").no_intensity_limit();
    let mut system = TestSystem::start(tree.child(&breaker).child(spec)).await;
    system.puppet("root/a").crash("boom");
    system.expect("regrow.child.start_failed", "root/a").await;
    system.expect("regrow.child.started", "root/a").await;
    let totals = breaker.status().totals;
    assert_eq!((totals.success, totals.failure), (0, 0), "no calls");
    open(&breaker).await;
    system.puppet("root/a").crash("boom");
    // Half-open is not enough: the trials are others'.
    assert_eq!(changed(&mut system).await.0, CircuitState::Open);
    assert_eq!(changed(&mut system).await.0, CircuitState::HalfOpen);
    tokio::time::sleep(SECOND * 60).await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!(info.phase, Phase::Starting);
    breaker.call(fine()).await.unwrap();
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_boot_does_not_wait_for_what_waits_for_its_breaker() {
    let breaker = breaker();
    breaker.set_mode(CircuitMode::ForcedOpen);
    for gated in [
        Puppet::spec("a").gate(&breaker),
        Puppet::spec("a").start_while_closed(&breaker),
    ] {
        let tree = Supervisor::new("root")
            .child(gated)
            .child(Puppet::spec("b"));
        let tree = tree.order(Order::Dependencies);
        let system = TestSystem::start(tree).await;
        let phase = async |path: &str| system.which_child(path).await.unwrap().phase;
        assert_eq!(phase("root/a").await, Phase::Starting);
        assert_eq!(phase("root/b").await, Phase::Running);
        assert!(system.shut_down().await.killed.is_empty());
    }
}
