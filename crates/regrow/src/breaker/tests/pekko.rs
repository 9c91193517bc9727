//! The cases of Pekko's `CircuitBreakerSpec` that concern futures, timeouts and classification, under their names; each there stands
//! for a synchronous and an asynchronous one.

use super::*;

const EVEN: fn(&Result<u32, &'static str>) -> Ended = |result| match result {
    Ok(number) if number % 2 == 1 => Ended::Success,
    Ok(_) | Err(_) => Ended::Failure,
};

const HARMLESS: fn(&Result<u32, &'static str>) -> Ended = |_| Ended::Success;

fn of(max_failures: u32) -> Breaker {
    let rules = rules()
        .consecutive_failures(max_failures)
        .call_timeout(SECOND / 5);
    Breaker::new("pekko", rules).unwrap()
}

async fn half_open() -> Breaker {
    let breaker = of(1);
    assert!(breaker.call(broken()).await.is_err());
    tokio::time::advance(SECOND * 5).await;
    breaker
}

fn failures(breaker: &Breaker) -> u32 {
    breaker.status().consecutive_failures
}

#[tokio::test(start_paused = true)]
async fn half_open_must_pass_through_next_call_and_close_on_exception_when_it_is_defined_as_succeeded()
 {
    let breaker = half_open().await;
    let result = breaker.call_judged(ready(Err("harmless")), HARMLESS).await;
    assert_eq!(result, Err(BreakerError::Inner("harmless")));
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_must_open_on_even_number_when_it_is_defined_as_failure() {
    let breaker = half_open().await;
    assert_eq!(breaker.call_judged(ready(Ok(2)), EVEN).await, Ok(2));
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn half_open_must_open_on_timeout() {
    let breaker = half_open().await;
    let result = breaker.call(pending::<Result<(), Infallible>>()).await;
    assert_eq!(result, Err(BreakerError::TimedOut(SECOND / 5)));
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn half_open_must_refuse_while_executing_other() {
    let breaker = half_open().await;
    let other = breaker.call(async {
        let refused = breaker.call(fine()).await;
        assert!(matches!(refused, Err(BreakerError::Rejected(_))));
        fine().await
    });
    assert_eq!(other.await, Ok("fine"));
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn closed_must_increment_failure_count_on_even_number_when_it_is_considered_failure() {
    let breaker = of(5);
    assert_eq!(failures(&breaker), 0);
    assert_eq!(breaker.call_judged(ready(Ok(2)), EVEN).await, Ok(2));
    assert_eq!(failures(&breaker), 1);
}

#[tokio::test(start_paused = true)]
async fn closed_must_reset_failure_count_after_exception_in_call_when_it_is_defined_as_success() {
    let breaker = of(5);
    for _ in 0..4 {
        assert!(breaker.call(broken()).await.is_err());
    }
    assert_eq!(failures(&breaker), 4);
    let _harmless = breaker.call_judged(ready(Err("harmless")), HARMLESS).await;
    assert_eq!(failures(&breaker), 0);
}

#[tokio::test(start_paused = true)]
async fn closed_must_increment_failure_count_on_call_timeout_before_call_finishes() {
    let breaker = of(5);
    let began = tokio::time::Instant::now();
    let call = async {
        tokio::time::sleep(SECOND).await;
        fine().await
    };
    let result = breaker.call(call).await;
    assert_eq!(result, Err(BreakerError::TimedOut(SECOND / 5)));
    assert_eq!(began.elapsed(), SECOND / 5);
    assert_eq!(failures(&breaker), 1);
}
