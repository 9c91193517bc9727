//! What a breaker does for callers, and as a child.

use std::convert::Infallible;
use std::future::{pending, ready};

use regrow_core::Backoff;

use super::*;

mod pekko;
mod stress;

const SECOND: Duration = Duration::from_secs(1);

/// Two failures in a row open it for 5 s, one good call closes it.
fn rules() -> CircuitRules {
    CircuitRules::default()
        .consecutive_failures(2)
        .half_open_permits(1)
        .open_wait(Backoff::exponential(SECOND * 5..=SECOND * 300))
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
        assert_eq!(
            breaker.call(broken()).await,
            Err(BreakerError::Inner("broken"))
        );
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

fn totals(breaker: &Breaker) -> (u64, u64, u64, u64, u64) {
    let totals = breaker.status().totals;
    (
        totals.success,
        totals.failure,
        totals.ignored,
        totals.cancelled,
        totals.rejected,
    )
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_or_refused_and_its_end_is_judged() {
    let breaker = breaker();
    assert_eq!(breaker.id(), "model");
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    open(&breaker).await;
    tokio::time::advance(SECOND).await;
    let rejected = breaker.call(fine()).await.unwrap_err();
    assert_eq!(rejected.retry_after(), Some(SECOND * 4));
    assert_eq!(
        rejected.to_string(),
        "breaker \"model\" is open; try again in 4.0 s"
    );
    tokio::time::advance(SECOND * 4).await;
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(totals(&breaker), (2, 2, 0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_its_place_among_the_trials_back() {
    let breaker = breaker();
    open(&breaker).await;
    breaker.half_open().unwrap();
    let trial = breaker.call(pending::<Result<(), Infallible>>());
    let dropped = tokio::time::timeout(SECOND, trial).await;
    assert!(dropped.is_err());
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    assert_eq!(totals(&breaker).3, 1, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_has_failed() {
    let breaker = Breaker::new("slow", rules().call_timeout(SECOND * 3)).unwrap();
    let began = tokio::time::Instant::now();
    let result = breaker.call(pending::<Result<(), Infallible>>()).await;
    assert_eq!(result, Err(BreakerError::TimedOut(SECOND * 3)));
    assert_eq!(began.elapsed(), SECOND * 3);
    assert_eq!(totals(&breaker), (0, 1, 0, 0, 0));
}

fn panic_in_the_call() -> Result<(), Infallible> {
    panic!("in the call")
}

#[tokio::test]
async fn a_panic_in_a_call_is_a_failure_and_one_beside_it_is_not() {
    let breaker = breaker();
    let calls = breaker.clone();
    let panics = async move { calls.call(async { panic_in_the_call() }).await };
    assert!(tokio::spawn(panics).await.is_err());
    assert_eq!(totals(&breaker), (0, 1, 0, 0, 0));
    let calls = breaker.clone();
    let beside = async move {
        let _permit = calls.try_acquire_owned().unwrap();
        panic!("beside the call");
    };
    assert!(tokio::spawn(beside).await.is_err());
    assert_eq!(totals(&breaker), (0, 1, 0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_calls_may_judge_by_the_answer() {
    let breaker = breaker();
    let judge = |answer: &Result<u16, Infallible>| match answer {
        Ok(429) => Ended::Trip(OpenWait::For(SECOND * 30)),
        Ok(500..) => Ended::Failure,
        Ok(400..) => Ended::Ignored,
        Ok(_) => Ended::Success,
        Err(never) => match *never {},
    };
    for status in [200, 404, 503] {
        assert_eq!(
            breaker.call_judged(ready(Ok(status)), judge).await,
            Ok(status)
        );
    }
    assert_eq!(totals(&breaker), (1, 1, 1, 0, 0));
    assert_eq!(breaker.call_judged(ready(Ok(429)), judge).await, Ok(429));
    let rejected = breaker.try_acquire().unwrap_err();
    assert_eq!(rejected.retry_after, Some(SECOND * 30));
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_good_answer_there_is_another() {
    let breaker = breaker();
    let other = |error: BreakerError<&'static str>| ready(Err::<&str, _>(error.to_string()));
    let cached = |_: BreakerError<&'static str>| ready(Ok::<_, Infallible>("cached"));
    assert_eq!(breaker.call_or(fine(), cached).await, Ok("fine"));
    assert_eq!(breaker.call_or(broken(), cached).await, Ok("cached"));
    let why = breaker.call_or(broken(), other).await;
    assert_eq!(why, Err("broken".to_owned()));
    let why = breaker.call_or(fine(), other).await;
    let refused = "breaker \"model\" is open; try again in 5.0 s";
    assert_eq!(why, Err(refused.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_permit_may_end_elsewhere() {
    let breaker = breaker();
    let permit = breaker.try_acquire_owned().unwrap();
    tokio::spawn(async move { permit.failure() }).await.unwrap();
    breaker.try_acquire().unwrap().success();
    breaker.try_acquire().unwrap().ignore();
    breaker.try_acquire().unwrap().trip(OpenWait::Backoff);
    assert_eq!(totals(&breaker), (1, 2, 1, 0, 0));
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn rules_that_are_out_of_their_range_are_refused_by_name() {
    let error = Breaker::new("b", rules().failure_ratio(2.0)).unwrap_err();
    let expected = "failure_ratio: expected more than 0 and at most 1, got 2.0";
    assert_eq!(error.to_string(), expected);
    let breaker = breaker();
    assert!(breaker.reconfigure(rules().minimum_calls(0)).is_err());
    assert_eq!(breaker.rules(), rules());
}

#[tokio::test(start_paused = true)]
async fn new_rules_hold_for_the_next_call() {
    let breaker = breaker();
    breaker
        .reconfigure(rules().consecutive_failures(1).call_timeout(SECOND))
        .unwrap();
    let result = breaker.call(pending::<Result<(), Infallible>>()).await;
    assert_eq!(result, Err(BreakerError::TimedOut(SECOND)));
    assert_eq!(breaker.state(), CircuitState::Open);
    breaker.reconfigure(rules()).unwrap();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_sets_holds_until_he_takes_it_back() {
    let breaker = Breaker::in_mode("b", rules(), CircuitMode::MetricsOnly).unwrap();
    for _ in 0..5 {
        let _failed = breaker.call(broken()).await;
    }
    assert_eq!(breaker.state(), CircuitState::MetricsOnly);
    breaker.set_mode(CircuitMode::ForcedOpen);
    assert!(breaker.trip(OpenWait::Backoff).is_err());
    breaker.reset();
    let rejected = breaker.try_acquire().unwrap_err();
    assert_eq!(
        (rejected.state, rejected.retry_after),
        (CircuitState::ForcedOpen, None)
    );
    assert_eq!(rejected.to_string(), "breaker \"b\" is forced_open");
    breaker.close();
    assert!(breaker.half_open().is_err());
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_it_hear_that_it_opens() {
    let breaker = breaker();
    let waits = breaker.clone();
    let evicted =
        tokio::spawn(async move { waits.until(|state| state == CircuitState::Open).await });
    tokio::task::yield_now().await;
    open(&breaker).await;
    assert_eq!(evicted.await.unwrap(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_by_the_paused_clock() {
    let slow = rules()
        .minimum_calls(3)
        .slow_threshold(SECOND)
        .slow_ratio(1.0);
    let breaker = Breaker::new("slow", slow).unwrap();
    for _ in 0..3 {
        let call = async {
            tokio::time::sleep(SECOND * 2).await;
            fine().await
        };
        assert_eq!(breaker.call(call).await, Ok("fine"));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!(breaker.status().totals.slow_success, 3);
}

#[tokio::test(start_paused = true)]
async fn one_call_in_64_looks_at_the_clock_and_the_first_does() {
    let breaker = breaker();
    let mut timed = Vec::new();
    for call in 0..200 {
        let permit = breaker.try_acquire().unwrap();
        if permit.is_timed() {
            timed.push(call);
        }
        permit.success();
    }
    assert_eq!(timed, [0, 64, 128, 192]);
}
