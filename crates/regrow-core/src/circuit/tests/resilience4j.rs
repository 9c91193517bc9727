//! The cases of resilience4j's `CircuitBreakerStateMachineTest` and `…AutoTransition…`, under their names; for its newest ones, by
//! their topic. Where regrow differs, the case says so: trials are decided as soon as they can be, a call has to be let through before
//! it can end, and what is told is told of transitions.

use super::*;
use CircuitState::{Closed, Disabled, ForcedOpen, HalfOpen, MetricsOnly, Open};
use Ended::{Failure, Ignored, Success};

/// Theirs: half of at least five within 20 s, slow from 4 s on, half of four trials, back within 1 s, open for 5 s.
fn rules() -> CircuitRules {
    CircuitRules::default()
        .failure_ratio(0.5)
        .half_open_permits(4)
        // It opens with two of four: so three have to be good.
        .half_open_success(0.75)
        .slow_threshold(SECOND * 4)
        .slow_ratio(0.5)
        .half_open_deadline(SECOND)
        .window(WindowSize::Time(SECOND * 20))
        .minimum_calls(5)
        .open_wait(waits(SECOND * 5))
}

fn rig() -> Rig {
    Rig::new(rules())
}

fn half_open() -> Rig {
    let mut rig = rig();
    rig.half_open();
    assert_eq!(rig.state(), HalfOpen);
    rig
}

fn rejected(rig: &Rig) -> u64 {
    rig.circuit.totals().rejected
}

/// A rate of −1 there is no ratio here.
fn assert_reset(rig: &mut Rig) {
    let status = rig.status();
    assert_eq!(
        (status.figures, status.failure_ratio),
        (Figures::default(), None)
    );
}

#[test]
fn should_throw_call_not_permitted_exception_when_state_is_open() {
    let mut rig = rig();
    rig.trip();
    let refused = rig.acquire().unwrap_err();
    assert_eq!(
        (refused.state, refused.retry_after),
        (Open, Some(SECOND * 5))
    );
    assert_eq!(rejected(&rig), 1);
}

#[test]
fn should_throw_call_not_permitted_exception_when_state_is_forced_open() {
    let mut rig = rig();
    rig.set_mode(CircuitMode::ForcedOpen);
    let refused = rig.acquire().unwrap_err();
    assert_eq!((refused.state, refused.retry_after), (ForcedOpen, None));
    assert_eq!(rejected(&rig), 1);
}

#[test]
fn should_increase_counter_on_release_permission() {
    let mut rig = half_open();
    let first = rig.acquire().unwrap();
    let _others: Vec<_> = (0..3).map(|_| rig.acquire().unwrap()).collect();
    assert!(!rig.is_let_through());
    assert!(!rig.is_let_through());
    let _ = rig.end(first, Ended::Cancelled);
    assert!(rig.is_let_through());
}

#[test]
fn should_throw_call_not_permitted_exception_when_not_further_test_calls_are_permitted() {
    let mut rig = half_open();
    let _out: Vec<_> = (0..4).map(|_| rig.acquire().unwrap()).collect();
    let refused = rig.acquire().unwrap_err();
    assert_eq!((refused.state, refused.retry_after), (HalfOpen, None));
    assert_eq!(rejected(&rig), 1);
}

#[test]
fn should_only_permit_four_calls_in_half_open_state() {
    let mut rig = half_open();
    for _ in 0..2 {
        let through = (0..6).filter(|_| rig.is_let_through()).count();
        assert_eq!(through, 4);
        rig.half_open();
    }
}

#[test]
fn should_open_after_failure_rate_threshold_exceeded2() {
    let mut rig = rig();
    for ended in [Success, Success, Success, Failure, Failure] {
        rig.calls([ended]);
        assert_eq!(rig.state(), Closed);
        rig.pass(SECOND);
    }
    rig.calls([Failure]);
    assert_eq!(rig.state(), Open, "three of six");
}

#[test]
fn should_open_after_failure_rate_threshold_exceeded() {
    let mut rig = rig();
    assert_reset(&mut rig);
    let mut seen = Vec::new();
    for ended in [Failure, Failure, Failure, Success] {
        rig.calls([ended]);
        assert_eq!((rig.state(), rig.status().failure_ratio), (Closed, None));
        seen.push(rig.figures());
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3), (4, 3)]);
    // The fifth makes them enough to be judged, however it ends.
    rig.calls([Success]);
    assert_eq!(rig.told(), [(Closed, Open, CircuitCause::FailureRatio)]);
    assert_eq!(rig.figures(), (5, 3));
    assert_eq!(rig.status().failure_ratio, Some(0.6));
    assert!(!rig.is_let_through());
    assert_eq!(rejected(&rig), 1);
}

#[test]
fn should_open_after_slow_call_rate_threshold_exceeded() {
    let mut rig = rig();
    let calls = [
        (SECOND * 5, Failure),
        (SECOND * 5, Success),
        (SECOND / 10, Failure),
        (SECOND / 10, Success),
        (SECOND * 5, Success),
    ];
    for (time, ended) in calls {
        assert_eq!(rig.state(), Closed);
        let _ = rig.call_for(time, ended);
    }
    assert_eq!(rig.told(), [(Closed, Open, CircuitCause::SlowRatio)]);
    assert_eq!(rig.status().figures.slow, 3);
    assert_eq!(rig.status().slow_ratio, Some(0.6));
}

#[test]
fn should_open_after_slow_call_rate_threshold_exceeded_using_mock_clock() {
    let mut rig = rig();
    let mut seen = Vec::new();
    for seconds in [5, 5, 1, 1, 5] {
        assert_eq!(rig.state(), Closed);
        let _ = rig.call_for(SECOND * seconds, Success);
        let figures = rig.status().figures;
        seen.push((figures.calls, figures.slow));
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3)]);
    assert_eq!(rig.state(), Open);
}

#[test]
fn should_transition_to_half_open_after_wait_duration() {
    let mut rig = rig();
    rig.trip();
    assert_reset(&mut rig);
    assert!(!rig.is_let_through());
    rig.pass(SECOND * 3);
    assert!(!rig.is_let_through());
    assert_eq!((rig.state(), rejected(&rig)), (Open, 2));
    rig.pass(SECOND * 3);
    assert!(rig.is_let_through());
    assert_eq!(rig.state(), HalfOpen);
    assert_reset(&mut rig);
}

#[test]
fn should_transition_to_half_open_after_wait_interval() {
    let interval = Backoff::exponential(SECOND * 5..=SECOND * 300).factor(1.5);
    let mut rig = Rig::new(rules().open_wait(interval));
    rig.trip();
    rig.pass(SECOND * 3);
    assert!(!rig.is_let_through());
    rig.pass(SECOND * 3);
    assert!(rig.is_let_through());
    // The second time in a row it is 7.5 s.
    rig.trip();
    rig.pass(SECOND * 6);
    assert!(!rig.is_let_through());
    rig.pass(SECOND * 5);
    assert!(rig.is_let_through());
    assert_eq!(rig.state(), HalfOpen);
}

#[test]
fn should_transition_to_half_open_after_wait_until() {
    for wait in [
        OpenWait::For(SECOND * 12),
        OpenWait::Until(t0() + SECOND * 12),
    ] {
        let mut rig = rig();
        let _ = rig.circuit.trip(wait, rig.now).unwrap();
        rig.pass(SECOND * 11);
        assert!(!rig.is_let_through(), "{wait:?}");
        rig.pass(SECOND + SECOND / 10);
        assert!(rig.is_let_through(), "{wait:?}");
    }
}

#[test]
fn should_transition_back_to_open_state_when_failure_rate_is_above_threshold() {
    let mut rig = half_open();
    // Two of four are too many, whatever the others do: theirs waits for them.
    rig.calls([Failure, Success, Failure]);
    assert_eq!(rig.state(), Open);
    assert_eq!(rig.figures(), (3, 2));
    let last = rig.told.last().unwrap();
    assert_eq!(
        (last.from, last.cause),
        (HalfOpen, CircuitCause::FailureRatio)
    );
}

#[test]
fn should_transition_back_to_open_state_when_slow_call_rate_is_above_threshold() {
    let rules = rules().half_open_deadline(SECOND * 30);
    let mut rig = Rig::new(rules);
    rig.half_open();
    let _ = rig.call_for(SECOND * 5, Success);
    assert_eq!(rig.state(), HalfOpen);
    let _ = rig.call_for(SECOND * 5, Success);
    assert_eq!(rig.state(), Open);
    let figures = rig.status().figures;
    assert_eq!((figures.slow, figures.failures), (2, 0));
}

#[test]
fn should_transition_back_to_closed_state_when_failure_is_below_threshold() {
    let mut rig = half_open();
    rig.calls([Failure, Success, Success]);
    assert_eq!(rig.state(), HalfOpen);
    rig.calls([Success]);
    assert_eq!(rig.state(), Closed);
    assert_reset(&mut rig);
    rig.calls([Success]);
    assert_eq!(rig.figures(), (1, 0));
}

#[test]
fn should_reset_metrics() {
    let mut rig = rig();
    rig.calls([Success, Failure]);
    assert_eq!(rig.figures(), (2, 1));
    assert_eq!(rig.circuit.reset(rig.now), None);
    assert_reset(&mut rig);
}

#[test]
fn should_disable_circuit_breaker() {
    let mut rig = rig();
    rig.set_mode(CircuitMode::Disabled);
    assert_eq!(rig.state(), Disabled);
    rig.calls([Success, Failure, Failure, Failure, Failure, Failure]);
    assert_eq!(rig.state(), Disabled);
    assert_reset(&mut rig);
}

#[test]
fn should_force_open_circuit_breaker() {
    let mut rig = rig();
    rig.set_mode(CircuitMode::ForcedOpen);
    assert!(!rig.is_let_through());
    rig.wait(SECOND * 6);
    assert!(!rig.is_let_through());
    assert_eq!((rig.state(), rejected(&rig)), (ForcedOpen, 2));
    assert_reset(&mut rig);
}

#[test]
fn should_force_close_circuit_breaker() {
    // Their forced close is disabled here: calls are let through and counted, and nothing opens it.
    let mut rig = rig();
    rig.set_mode(CircuitMode::Disabled);
    rig.calls([Success, Failure]);
    let totals = rig.circuit.totals();
    assert_eq!((totals.success, totals.failure), (1, 1));
    assert_eq!(rig.state(), Disabled);
}

#[test]
fn should_release_permission_when_exception_ignored() {
    let mut rig = half_open();
    for judged in 1..=2 {
        rig.calls([Success]);
        assert_eq!((rig.state(), rig.figures()), (HalfOpen, (judged, 0)));
    }
    rig.calls([Ignored, Failure, Ignored]);
    assert_eq!((rig.state(), rig.figures()), (HalfOpen, (3, 1)));
    rig.calls([Success]);
    assert_eq!(rig.state(), Closed);
    assert_reset(&mut rig);
}

#[test]
fn should_ignore_exceptions_and_then_transition_to_closed() {
    let mut rig = half_open();
    rig.calls([Ignored; 4]);
    assert_eq!(rig.state(), HalfOpen);
    assert_reset(&mut rig);
    rig.calls([Success; 2]);
    assert_eq!((rig.state(), rig.figures()), (HalfOpen, (2, 0)));
    // Three of four are enough: theirs waits for the fourth. Two more that are slow would be too many, but only one can come.
    rig.calls([Success]);
    assert_eq!(rig.state(), Closed);
    assert_reset(&mut rig);
}

#[test]
fn should_not_allow_transition_from_closed_to_half_open() {
    let mut rig = rig();
    let error = rig.circuit.half_open(rig.now).unwrap_err();
    assert_eq!((error.from, error.to), (Closed, HalfOpen));
    assert_eq!(rig.state(), Closed);
}

#[test]
fn should_reset_to_closed_state() {
    let mut rig = rig();
    rig.trip();
    assert!(rig.circuit.reset(rig.now).is_some());
    assert_eq!(rig.state(), Closed);
}

#[test]
fn should_reset_closed_state() {
    let mut rig = rig();
    rig.calls([Success, Success]);
    assert_eq!(rig.circuit.reset(rig.now), None);
    assert_eq!((rig.state(), rig.figures()), (Closed, (0, 0)));
}

#[test]
fn should_reset_metrics_after_metrics_only_state_transition() {
    let mut rig = rig();
    rig.calls([Success, Success]);
    rig.set_mode(CircuitMode::MetricsOnly);
    assert_eq!((rig.state(), rig.figures()), (MetricsOnly, (0, 0)));
}

#[test]
fn should_record_metrics_in_metrics_only_state() {
    let mut rig = rig();
    rig.set_mode(CircuitMode::MetricsOnly);
    rig.calls([Failure, Failure, Failure, Success]);
    assert_eq!(rig.status().failure_ratio, None);
    let settled = rig.call(Success);
    assert_eq!(settled.would_open, Some(CircuitCause::FailureRatio));
    assert_eq!(
        (rig.figures(), rig.status().failure_ratio),
        ((5, 3), Some(0.6))
    );
    assert_eq!(rig.call(Failure).would_open, None);
    assert_eq!((rig.state(), rig.told.len()), (MetricsOnly, 1));
}

#[test]
fn should_publish_each_event_once_in_metric_only_state() {
    // Theirs publishes one for each threshold; here it is said once that it would have opened, and for what.
    let mut rig = Rig::in_mode(rules(), CircuitMode::MetricsOnly);
    let tickets: Vec<_> = (0..8).map(|_| rig.acquire().unwrap()).collect();
    rig.pass(SECOND * 5);
    let mut end = |ticket| rig.end(ticket, Failure).would_open;
    let said: Vec<_> = tickets.into_iter().map(&mut end).collect();
    let once = Some(CircuitCause::FailureRatio);
    assert_eq!(said, [None, None, None, None, once, None, None, None]);
}

/// A rig in each state.
fn everywhere() -> Vec<Rig> {
    let at = |state: &CircuitState| {
        let mut rig = Rig::in_mode(rules(), state.mode());
        match state {
            Open => rig.trip(),
            HalfOpen => rig.half_open(),
            Closed | ForcedOpen | Disabled | MetricsOnly => {}
        }
        rig.told.clear();
        rig
    };
    CircuitState::ALL.iter().map(at).collect()
}

#[test]
fn all_circuit_breaker_states_allow_transition_to_metrics_only_mode() {
    for mut rig in everywhere() {
        rig.set_mode(CircuitMode::MetricsOnly);
        assert_eq!(rig.state(), MetricsOnly);
    }
}

/// To that state, by what an operator can do.
fn order(rig: &mut Rig, to: CircuitState) -> Result<Option<Transition>, IllegalTransition> {
    let now = rig.now;
    match to {
        Closed => Ok(rig.circuit.close(now)),
        Open => rig.circuit.trip(OpenWait::Backoff, now),
        HalfOpen => rig.circuit.half_open(now),
        ForcedOpen | Disabled | MetricsOnly => Ok(rig.circuit.set_mode(to.mode(), now)),
    }
}

#[test]
fn all_circuit_breaker_states_allow_transition_to_its_own_state() {
    for mut rig in everywhere() {
        let before = rig.circuit.standing();
        assert_eq!(order(&mut rig, before.state), Ok(None));
        let after = rig.circuit.standing();
        assert_eq!(after.state, before.state);
        assert_eq!(after.generation, before.generation + 1, "it begins anew");
    }
}

#[test]
fn every_other_pair_of_states_is_a_legal_transition_or_says_that_it_is_not() {
    // Theirs lets disabled and forced open become open and half-open, and metrics only not; here none of them does.
    for to in CircuitState::ALL {
        for mut rig in everywhere() {
            let from = rig.state();
            let is_legal = match (from.mode(), to) {
                (CircuitMode::Auto, HalfOpen) => from != Closed,
                (_, Closed | ForcedOpen | Disabled | MetricsOnly) => true,
                (mode, Open | HalfOpen) => mode == CircuitMode::Auto,
            };
            let told = order(&mut rig, *to);
            assert_eq!(told.is_ok(), is_legal, "{from} to {to}");
            let expected = if is_legal { *to } else { from };
            assert_eq!(rig.state(), expected);
        }
    }
}

#[test]
fn circuit_breaker_does_not_publish_state_transition_events_for_internal_transitions() {
    let mut rig = rig();
    for to in [Open, HalfOpen, Disabled, MetricsOnly, Closed] {
        assert!(order(&mut rig, to).unwrap().is_some(), "{to}");
        assert_eq!(order(&mut rig, to), Ok(None));
    }
}

#[test]
fn circuit_breaker_transitions_to_open_after_wait_duration_in_half_open_state() {
    // Theirs counts from the begin of the state. Here somebody has to be waited for: else a circuit that nobody calls would flap.
    let mut rig = half_open();
    let _lost = rig.acquire().unwrap();
    rig.wait(SECOND);
    let last = rig.told.last().unwrap();
    assert_eq!((last.to, last.cause), (Open, CircuitCause::Deadline));
}

#[test]
fn circuit_breaker_transitions_to_closed_after_wait_duration_in_half_open_state() {
    let mut rig = Rig::new(rules().half_open_overdue(Overdue::Close));
    rig.half_open();
    let _lost = rig.acquire().unwrap();
    rig.wait(SECOND);
    let last = rig.told.last().unwrap();
    assert_eq!((last.to, last.cause), (Closed, CircuitCause::Deadline));
}

#[test]
fn the_initial_state_is_that_of_the_mode() {
    let states = CircuitMode::ALL
        .iter()
        .map(|mode| Rig::in_mode(rules(), *mode).state());
    assert_eq!(
        states.collect::<Vec<_>>(),
        [Closed, ForcedOpen, Disabled, MetricsOnly]
    );
}

#[test]
fn test_auto_transition() {
    let mut rig = Rig::new(rules().open_wait(waits(SECOND * 2)));
    rig.trip();
    assert_eq!(rig.circuit.next_wakeup(), Some(rig.now + SECOND * 2));
    rig.wait(SECOND * 2);
    assert_eq!(rig.state(), HalfOpen);
}

#[test]
fn should_cancel_auto_transition() {
    let mut rig = rig();
    rig.trip();
    rig.set_mode(CircuitMode::ForcedOpen);
    assert_eq!(rig.circuit.next_wakeup(), None);
}

#[test]
fn not_cancel_auto_transition_future_if_already_done() {
    let mut rig = rig();
    rig.trip();
    rig.wait(SECOND * 5);
    assert_eq!(rig.circuit.next_wakeup(), None);
    rig.set_mode(CircuitMode::ForcedOpen);
    assert_eq!(rig.circuit.next_wakeup(), None);
}
