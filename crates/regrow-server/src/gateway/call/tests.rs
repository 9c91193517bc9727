//! The tables: what which answer means.

use super::*;

#[test]
fn only_what_is_the_agents_own_fault_is_a_failure() {
    let answered = |status: u16| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    };
    let broken = || ForwardError::Broken {
        message: "reset".to_owned(),
    };
    let after = Duration::from_secs(60);
    let refused = |is_agents_fault| {
        let problem = Problem::new(StatusCode::BAD_GATEWAY, "agent_unreachable", "x");
        Err(Failure::Refused(Refusal {
            is_agents_fault,
            ..Refusal::new(problem)
        }))
    };
    let failed = |error| Err(Failure::Forward(error));
    let (unheard, sent) = (Progress::Unheard, Progress::Sent);
    for (answer, progress, expected) in [
        (answered(101), sent, Ended::Success),
        (answered(200), sent, Ended::Success),
        (answered(404), sent, Ended::Success),
        (answered(429), sent, Ended::Success),
        (answered(500), sent, Ended::Failure),
        (answered(599), sent, Ended::Failure),
        (failed(broken()), sent, Ended::Failure),
        (failed(ForwardError::Slow { after }), sent, Ended::Failure),
        (failed(ForwardError::TooLarge), sent, Ended::Ignored),
        (
            failed(ForwardError::SlowClient { after }),
            sent,
            Ended::Ignored,
        ),
        (failed(ForwardError::BrokenOff), sent, Ended::Cancelled),
        (failed(ForwardError::Loop), sent, Ended::Ignored),
        (failed(ForwardError::NoTunnel), sent, Ended::Ignored),
        (failed(ForwardError::BadPath), unheard, Ended::Ignored),
        (refused(true), unheard, Ended::Failure),
        // It starts, or too many wait: nobody is to blame.
        (refused(false), unheard, Ended::Cancelled),
        // Its connection broke, and it did not come back.
        (refused(false), sent, Ended::Failure),
    ] {
        assert_eq!(
            ended(&answer, progress),
            expected,
            "{answer:?} {progress:?}"
        );
    }
}

#[test]
fn a_refusal_says_when_to_ask_again_if_that_is_known() {
    let refused = |judge, state, millis: Option<u64>| {
        let breaker = Breaker::new("b", regrow::breaker::CircuitRules::default()).unwrap();
        let left = millis.map(Duration::from_millis);
        let refusal = Before { breaker, judge }.refusal("a", state, left, "so");
        let Problem {
            code, detail, hint, ..
        } = *refusal.problem;
        assert_eq!((&*code, refusal.breaker), ("breaker_open", Some(state)));
        assert_eq!(detail, "agent \"a\" is not asked: so");
        (refusal.retry_after, hint.unwrap())
    };
    let checked_every = |seconds| Judge::Check {
        period: Duration::from_secs(seconds),
    };
    for (judge, state, left, expected) in [
        (Judge::Answers, CircuitState::Open, Some(4_000), Some(4)),
        (Judge::Answers, CircuitState::Open, Some(4_001), Some(5)),
        (Judge::Answers, CircuitState::Open, Some(0), Some(1)),
        (Judge::Answers, CircuitState::HalfOpen, None, Some(1)),
        (checked_every(10), CircuitState::Open, Some(4_001), Some(15)),
        (checked_every(10), CircuitState::HalfOpen, None, Some(10)),
        (
            checked_every(600),
            CircuitState::Open,
            Some(4_000),
            Some(34),
        ),
        (checked_every(600), CircuitState::HalfOpen, None, Some(30)),
    ] {
        let said = refused(judge, state, left).0;
        assert_eq!(said, expected, "{judge:?} {state} {left:?}");
    }
    let close = "close it: regrow breaker close b".to_owned();
    for judge in [Judge::Answers, checked_every(10)] {
        let said = refused(judge, CircuitState::ForcedOpen, None);
        assert_eq!(said, (None, close.clone()), "{judge:?}");
    }
}

#[test]
fn a_breaker_that_is_checked_lets_no_request_through_while_it_tries() {
    let check = Judge::Check {
        period: Duration::from_secs(10),
    };
    for (state, by_answers, by_check) in [
        (CircuitState::Closed, false, false),
        (CircuitState::Disabled, false, false),
        (CircuitState::MetricsOnly, false, false),
        (CircuitState::HalfOpen, false, true),
        (CircuitState::Open, true, true),
        (CircuitState::ForcedOpen, true, true),
    ] {
        assert_eq!(Judge::Answers.refuses_all(state), by_answers, "{state}");
        assert_eq!(check.refuses_all(state), by_check, "{state}");
    }
}

#[test]
fn the_time_of_a_call_bounds_what_the_breaker_is_judged_by() {
    let time = Duration::from_millis(50);
    let rules = regrow::breaker::CircuitRules::default().call_timeout(time);
    let breaker = Breaker::new("b", rules).unwrap();
    let check = Judge::Check {
        period: Duration::from_secs(10),
    };
    for (judge, expected) in [(Judge::Answers, Some(time)), (check, None)] {
        let breaker = breaker.clone();
        let call = Call::new(Some(Before { breaker, judge }));
        assert_eq!(call.timeout(), expected, "{judge:?}");
    }
}
