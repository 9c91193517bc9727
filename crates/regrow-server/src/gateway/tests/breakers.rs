//! Agents behind a breaker.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::Frame;
use regrow::breaker::{Breaker, CircuitMode, CircuitRules, CircuitState, OpenWait};
use regrow_core::Backoff;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const CHECKED: Judge = Judge::Check {
    period: Duration::from_secs(10),
};
const FAILS: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Two failures in a row open it for so long, one success closes it.
fn breaker(wait: Duration) -> Breaker {
    let rules = CircuitRules::default()
        .consecutive_failures(2)
        .half_open_permits(1)
        .open_wait(Backoff::exponential(wait..=wait));
    Breaker::new("b", rules).unwrap()
}

/// A gateway to an agent behind it.
fn judged_by(judge: Judge, breaker: &Breaker, standing: Standing) -> Fixture {
    let breaker = breaker.clone();
    gateway_through(Some(Before { breaker, judge }), standing)
}

/// `(success, failure, ignored, cancelled, rejected)`.
fn totals(breaker: &Breaker) -> [u64; 5] {
    let totals = breaker.status().totals;
    [
        totals.success,
        totals.failure,
        totals.ignored,
        totals.cancelled,
        totals.rejected,
    ]
}

#[tokio::test]
async fn failures_open_it_and_an_open_one_refuses_without_a_dial() {
    let breaker = breaker(SECOND * 4);
    let (port, agent) = agent(&[FAILS, NOT_FOUND, FAILS, FAILS]).await;
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    for expected in [500, 404, 500, 500] {
        let answer = fixture.get("/agents/a/x").await;
        assert_eq!(answer.status(), expected);
    }
    // The agent has given all its answers: whoever dialled it now would be refused.
    assert_eq!(agent.await.unwrap().len(), 4);
    let refused = fixture.get("/agents/a/x").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "4");
    assert_eq!(refused.headers()["x-regrow-breaker"], "open");
    let problem = problem(refused).await;
    assert_eq!(problem.code, "breaker_open");
    assert!(
        problem
            .detail
            .starts_with("agent \"a\" is not asked: breaker \"b\" is open; try again in "),
        "{problem:?}"
    );
    assert_eq!(totals(&breaker), [1, 3, 0, 0, 1]);
}

#[tokio::test]
async fn the_next_request_after_the_wait_is_the_trial() {
    let breaker = breaker(SECOND * 4);
    let (port, agent) = agent(&[FAILS, FAILS, OK]).await;
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    for _ in 0..2 {
        fixture.get("/agents/a/x").await;
    }
    breaker.half_open().unwrap();
    assert_eq!(fixture.get("/agents/a/x").await.status(), StatusCode::OK);
    assert_eq!(breaker.state(), CircuitState::Closed);
    drop(agent.await);
}

#[tokio::test]
async fn a_connection_that_breaks_twice_is_one_failure() {
    let breaker = breaker(SECOND * 4);
    let (port, agent) = agent(&[b"", b""]).await;
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    let answer = problem(fixture.get("/agents/a/x").await).await;
    assert_eq!(answer.code, "agent_connection_broken");
    assert_eq!(totals(&breaker), [0, 1, 0, 0, 0]);
    drop(agent.await);
}

#[tokio::test]
async fn an_agent_that_takes_no_connection_has_failed() {
    let breaker = breaker(SECOND * 4);
    let fixture = judged_by(Judge::Answers, &breaker, running_at(free_port().await));
    let answer = problem(fixture.get("/agents/a/x").await).await;
    assert_eq!(answer.code, "agent_unreachable");
    let [_, failures, ..] = totals(&breaker);
    assert_eq!(failures, 1);
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_the_breakers_time_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rules = CircuitRules::default().call_timeout(Duration::from_millis(50));
    let breaker = Breaker::new("b", rules).unwrap();
    let port = listener.local_addr().unwrap().port();
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    let answer = problem(fixture.get("/agents/a/x").await).await;
    assert_eq!((answer.status, &*answer.code), (504, "agent_timeout"));
    assert_eq!(
        answer.detail,
        "agent \"a\" gave no answer: no answer began within 0.05 s"
    );
    assert_eq!(totals(&breaker), [0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_client_that_leaves_says_nothing_of_the_agent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let breaker = breaker(SECOND * 4);
    let port = listener.local_addr().unwrap().port();
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    let request = Box::pin(fixture.get("/agents/a/x"));
    let asked = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await
    };
    tokio::select! {
        answer = request => panic!("{answer:?}"),
        _ = asked => {}
    }
    assert_eq!(totals(&breaker), [0, 0, 0, 1, 0]);
}

/// An agent that has just been started, and does not listen yet.
async fn young() -> Standing {
    Standing {
        up_for: Some(Duration::ZERO),
        ..running_at(free_port().await)
    }
}

/// Nobody waits for it any more.
fn stop(fixture: &Fixture) {
    let stopped = Standing {
        phase: Phase::Stopped,
        ..fixture.agents.0.borrow().clone()
    };
    fixture.agents.0.send_replace(stopped);
}

#[tokio::test]
async fn who_waits_for_an_agent_on_its_way_holds_no_trial() {
    let breaker = breaker(SECOND * 4);
    let fixture = judged_by(Judge::Answers, &breaker, young().await);
    breaker.trip(OpenWait::Backoff).unwrap();
    breaker.half_open().unwrap();
    let mut waits = std::pin::pin!(fixture.get("/agents/a/x"));
    let trials = async {
        loop {
            if totals(&breaker)[3] > 0 && breaker.try_acquire().is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = waits.as_mut() => panic!("{answer:?}"),
        () = trials => {}
    }
    // Stopped meanwhile: the wait ends, and nobody is to blame.
    stop(&fixture);
    let answer = problem(waits.await).await;
    assert_eq!(answer.code, "agent_stopped");
    let [successes, failures, ..] = totals(&breaker);
    assert_eq!((successes, failures), (0, 0));
}

#[tokio::test]
async fn who_waits_for_an_agent_on_its_way_is_no_call() {
    let breaker = breaker(SECOND * 4);
    let fixture = judged_by(Judge::Answers, &breaker, young().await);
    let mut waits = std::pin::pin!(fixture.get("/agents/a/x"));
    timeout(TICK * 5, waits.as_mut()).await.unwrap_err();
    stop(&fixture);
    assert_eq!(problem(waits.await).await.code, "agent_stopped");
    assert_eq!(totals(&breaker), [0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn who_would_wait_for_an_agent_is_told_first_that_its_breaker_is_open() {
    for (mode, expected) in [
        (CircuitMode::Auto, "open"),
        (CircuitMode::ForcedOpen, "forced_open"),
    ] {
        let breaker = breaker(SECOND * 4);
        let standing = Standing {
            phase: Phase::Starting,
            alive: false,
            ..young().await
        };
        let fixture = judged_by(Judge::Answers, &breaker, standing);
        breaker.trip(OpenWait::Backoff).unwrap();
        breaker.set_mode(mode);
        if mode == CircuitMode::Auto {
            breaker.trip(OpenWait::Backoff).unwrap();
        }
        let refused = fixture.get("/agents/a/x").await;
        assert_eq!(refused.headers()["x-regrow-breaker"], expected);
        assert_eq!(totals(&breaker), [0, 0, 0, 0, 1], "{expected}");
    }
}

#[tokio::test]
async fn a_trial_whose_connection_breaks_has_failed_before_it_is_asked_again() {
    let breaker = breaker(SECOND * 4);
    let (port, agent) = agent(&[b""]).await;
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    breaker.trip(OpenWait::Backoff).unwrap();
    breaker.half_open().unwrap();
    let refused = fixture.get("/agents/a/x").await;
    assert_eq!(refused.headers()["x-regrow-breaker"], "open");
    assert_eq!(totals(&breaker), [0, 1, 0, 0, 1]);
    drop(agent.await);
}

/// A body of which a part comes, and then this, or nothing for ever.
struct Part {
    is_given: bool,
    then: Option<io::Error>,
}

impl hyper::body::Body for Part {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !std::mem::replace(&mut self.is_given, true) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part")))));
        }
        self.then
            .take()
            .map_or(Poll::Pending, |error| Poll::Ready(Some(Err(error))))
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_or_never_ends_its_body_says_nothing_of_the_agent() {
    for (then, code, expected) in [
        (
            Some(io::Error::other("reset")),
            "body_broken_off",
            [0, 0, 0, 1, 0],
        ),
        (None, "body_timeout", [0, 0, 1, 0, 0]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rules = CircuitRules::default().call_timeout(Duration::from_millis(50));
        let breaker = Breaker::new("b", rules).unwrap();
        let port = listener.local_addr().unwrap().port();
        let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
        let body = Body::new(Part {
            is_given: false,
            then,
        });
        let request = Request::post("/agents/a/x").body(body).unwrap();
        let answer = problem(fixture.ask(request).await).await;
        assert_eq!(answer.code, code, "{answer:?}");
        assert_eq!(totals(&breaker), expected, "{code}");
    }
}

#[tokio::test]
async fn a_request_of_the_agent_to_itself_says_nothing_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let breaker = breaker(SECOND * 4);
    let port = listener.local_addr().unwrap().port();
    let fixture = judged_by(Judge::Answers, &breaker, running_at(port));
    let request = Request::get("/agents/a/x").header("via", "1.1 regrow-a");
    let answer = fixture.ask(request.body(Body::empty()).unwrap()).await;
    let answer = problem(answer).await;
    assert_eq!((answer.status, &*answer.code), (508, "request_loop"));
    assert_eq!(totals(&breaker), [0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn what_an_agent_answers_says_nothing_of_a_dependency_that_is_checked() {
    let breaker = breaker(SECOND * 4);
    let (port, agent) = agent(&[FAILS, FAILS, OK]).await;
    let fixture = judged_by(CHECKED, &breaker, running_at(port));
    for expected in [500, 500, 200] {
        assert_eq!(fixture.get("/agents/a/x").await.status(), expected);
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(totals(&breaker), [0, 0, 3, 0, 0]);
    drop(agent.await);
}

#[tokio::test]
async fn the_trial_of_a_dependency_is_its_checks_and_a_request_leaves_it_to_that() {
    let breaker = breaker(SECOND * 4);
    let fixture = judged_by(CHECKED, &breaker, running_at(free_port().await));
    breaker.trip(OpenWait::Backoff).unwrap();
    breaker.half_open().unwrap();
    let refused = fixture.get("/agents/a/x").await;
    assert_eq!(refused.headers()["x-regrow-breaker"], "half_open");
    assert_eq!(refused.headers()["retry-after"], "10");
    let problem = problem(refused).await;
    assert_eq!(
        problem.detail,
        "agent \"a\" is not asked: breaker \"b\" waits for its check"
    );
    // It was not even borrowed.
    assert_eq!(totals(&breaker), [0, 0, 0, 0, 0]);
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), CircuitState::Closed);
}
