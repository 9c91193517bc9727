//! The cases of Pekko's `CircuitBreakerSpec` that concern the machine, under their names. Those of futures, timeouts and
//! classification are cases of the shell.

use super::*;
use CircuitState::{Closed, HalfOpen, Open};
use Ended::{Failure, Success};

/// A breaker there opens after so many failures in a row and lets one call through to try.
fn breaker(max_failures: u32, reset: Duration) -> Rig {
    Rig::new(
        CircuitRules::default()
            .consecutive_failures(max_failures)
            .half_open_permits(1)
            .open_wait(Backoff::exponential(reset..=SECOND * 86_400).factor(5.0)),
    )
}

fn open() -> Rig {
    let mut rig = breaker(1, SECOND);
    rig.calls([Failure]);
    assert_eq!(rig.state(), Open);
    rig
}

fn half_open() -> Rig {
    let mut rig = open();
    rig.wait(SECOND);
    assert_eq!(rig.state(), HalfOpen);
    rig
}

#[test]
fn open_must_throw_exceptions_when_called_before_reset_timeout() {
    let mut rig = open();
    rig.pass(SECOND / 4);
    let refused = rig.acquire().unwrap_err();
    assert_eq!(refused.retry_after, Some(SECOND * 3 / 4));
}

#[test]
fn open_must_transition_to_half_open_on_reset_timeout() {
    let rig = half_open();
    assert_eq!(rig.told()[1], (Open, HalfOpen, CircuitCause::Waited));
}

#[test]
fn open_must_still_be_in_open_state_after_calling_success_or_fail_method() {
    for ended in [Success, Failure] {
        let mut rig = breaker(1, SECOND);
        let ticket = rig.acquire().unwrap();
        rig.calls([Failure]);
        assert!(rig.end(ticket, ended).late);
        assert_eq!(rig.state(), Open);
        assert_eq!(rig.circuit.next_wakeup(), Some(rig.now + SECOND));
    }
}

#[test]
fn open_must_increase_the_reset_timeout_after_it_transits_to_open_again() {
    let mut rig = half_open();
    rig.calls([Failure]);
    let waits: Vec<_> = rig.told.iter().filter_map(|told| told.wait).collect();
    assert_eq!(waits, [SECOND, SECOND * 5]);
}

#[test]
fn half_open_must_pass_through_next_call_and_close_on_success() {
    let mut rig = half_open();
    rig.calls([Success]);
    assert_eq!(rig.state(), Closed);
}

#[test]
fn half_open_must_open_on_exception_in_call() {
    let mut rig = half_open();
    rig.calls([Failure]);
    assert_eq!(rig.state(), Open);
}

#[test]
fn half_open_must_refuse_while_executing_other() {
    let mut rig = half_open();
    let _other = rig.acquire().unwrap();
    assert_eq!(rig.acquire().unwrap_err().state, HalfOpen);
}

#[test]
fn closed_must_allow_calls_through() {
    let mut rig = breaker(1, SECOND);
    assert!(rig.is_let_through());
    assert_eq!(rig.state(), Closed);
}

#[test]
fn closed_must_increment_failure_count_on_failure() {
    let mut rig = breaker(5, SECOND);
    assert_eq!(rig.status().consecutive_failures, 0);
    rig.calls([Failure]);
    assert_eq!(rig.status().consecutive_failures, 1);
}

#[test]
fn closed_must_reset_failure_count_after_success() {
    let mut rig = breaker(5, SECOND);
    rig.calls([Success, Failure, Failure, Failure, Failure]);
    assert_eq!(rig.status().consecutive_failures, 4);
    rig.calls([Success]);
    assert_eq!(rig.status().consecutive_failures, 0);
}

#[test]
fn closed_must_invoke_on_open_if_call_fails_and_breaker_transits_to_open_state() {
    assert_eq!(
        open().told(),
        [(Closed, Open, CircuitCause::ConsecutiveFailures)]
    );
}
