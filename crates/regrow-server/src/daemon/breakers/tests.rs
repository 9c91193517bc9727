//! When a breaker begins anew, and what a check does to it.

use regrow::breaker::{CircuitMode, CircuitRules, OpenWait};
use regrow_process::TcpCheck;
use tokio::net::TcpListener;

use super::*;

fn breaker() -> Breaker {
    let rules = CircuitRules::default()
        .consecutive_failures(2)
        .half_open_permits(1);
    Breaker::new("b", rules).unwrap()
}

/// It opens by itself.
fn fail(breaker: &Breaker) {
    for _ in 0..2 {
        breaker.try_acquire().unwrap().failure();
    }
}

#[test]
fn a_new_life_does_not_close_what_an_operator_has_opened() {
    let open = |breaker: &Breaker| {
        breaker
            .trip(OpenWait::For(Duration::from_secs(1800)))
            .unwrap();
    };
    let force = |breaker: &Breaker| breaker.set_mode(CircuitMode::ForcedOpen);
    let try_out = |breaker: &Breaker| {
        open(breaker);
        breaker.half_open().unwrap();
    };
    for (order, expected) in [
        (&fail as &dyn Fn(&Breaker), CircuitState::Closed),
        (&open, CircuitState::Open),
        (&try_out, CircuitState::Closed),
        (&force, CircuitState::ForcedOpen),
    ] {
        let own = Own {
            breaker: breaker(),
            says_ready: false,
            life: AtomicU32::new(1),
        };
        order(&own.breaker);
        let started = Payload::ChildStarted {
            took: Duration::ZERO,
            attempt: 1,
        };
        own.hear(2, &started);
        assert_eq!(own.breaker.state(), expected);
    }
}

#[test]
fn an_agents_own_breaker_begins_anew_once_with_each_life_that_is_up() {
    let started = || Payload::ChildStarted {
        took: Duration::ZERO,
        attempt: 1,
    };
    let ready = || Payload::ChildReady {
        took: Duration::ZERO,
    };
    let unready = Payload::ChildUnready { why: "x".into() };
    for (says_ready, not_yet, up) in [
        (false, ready(), started()),
        (true, started(), ready()),
        (true, unready, ready()),
    ] {
        let own = Own {
            breaker: breaker(),
            says_ready,
            life: AtomicU32::new(1),
        };
        let state = |generation, payload| {
            own.hear(generation, payload);
            own.breaker.state()
        };
        fail(&own.breaker);
        assert_eq!(state(2, &not_yet), CircuitState::Open, "{not_yet:?}");
        assert_eq!(state(1, &up), CircuitState::Open, "of an earlier life");
        assert_eq!(state(2, &up), CircuitState::Closed, "{up:?}");
        fail(&own.breaker);
        assert_eq!(state(2, &up), CircuitState::Open, "the same life again");
        assert_eq!(state(3, &up), CircuitState::Closed);
    }
}

#[tokio::test]
async fn a_check_is_a_call_and_while_the_breaker_is_open_none_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (breaker, last) = (breaker(), Mutex::default());
    let asked = Asked::Tcp(TcpCheck::new(address.to_string().parse().unwrap()));
    let asked = asked.timeout(Duration::from_secs(5));
    let nobody = format!("nobody listens at {address}");
    for _ in 0..2 {
        let found = through(&breaker, &asked, &last).await;
        assert_eq!(found, CheckResult::failure(nobody.clone()));
    }
    assert_eq!(breaker.state(), CircuitState::Open);

    // It is back, but nobody looks before the wait is over.
    let listener = TcpListener::bind(address).await.unwrap();
    let found = through(&breaker, &asked, &last).await;
    assert_eq!(found, CheckResult::error(nobody));
    breaker.half_open().unwrap();
    let found = through(&breaker, &asked, &last).await;
    assert_eq!(found, CheckResult::success());
    assert_eq!(breaker.state(), CircuitState::Closed);
    let totals = breaker.status().totals;
    assert_eq!((totals.success, totals.failure, totals.rejected), (1, 2, 1));
    drop(listener);
}

#[tokio::test]
async fn a_command_of_nobody_runs_in_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("up"), "").unwrap();
    let words = |file: &str| ["test", "-e", file].map(str::to_owned).to_vec();
    for (file, expected) in [("up", Ended::Success), ("down", Ended::Failure)] {
        let question = crate::config::Question::Exec(words(file));
        let asked = Asked::of_breaker(&question, None, folder.path());
        let found = asked.timeout(Duration::from_secs(10)).run().await;
        assert_eq!(ended(found.result), expected, "{found:?}");
    }
}

#[test]
fn what_lies_in_the_check_itself_says_nothing_of_the_dependency() {
    for (result, expected) in [
        (ProbeResult::Success, Ended::Success),
        (ProbeResult::Warning, Ended::Success),
        (ProbeResult::Failure, Ended::Failure),
        (ProbeResult::Timeout, Ended::Failure),
        (ProbeResult::Error, Ended::Ignored),
    ] {
        assert_eq!(ended(result), expected, "{result:?}");
    }
}
