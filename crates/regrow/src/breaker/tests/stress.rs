//! Many threads at once, in real time: permits against transitions, and Pekko's `CircuitBreakerMTSpec`.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use regrow_core::SplitMix64;

use super::*;

const THREADS: u64 = 8;

/// Callers end calls as they like, operators throw the circuit about, and all the while no more trials are out than there are permits.
/// In the end each call is counted once, as what it was.
#[test]
fn permits_and_transitions_agree_however_they_meet() {
    let rules = CircuitRules::default()
        .consecutive_failures(3)
        .half_open_permits(2)
        .half_open_success(0.5)
        .open_wait(Backoff::none());
    let breaker = &Breaker::new("stress", rules).unwrap();
    let (asked, done) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let trials = &AtomicU32::new(0);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|seed| scope.spawn(move || call_at_random(breaker, seed, asked, trials)))
            .collect();
        scope.spawn(move || {
            let mut rng = SplitMix64::new(99);
            while !done.load(Ordering::Relaxed) {
                order_at_random(breaker, &mut rng);
                thread::yield_now();
            }
        });
        for caller in callers {
            caller.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let totals = breaker.status().totals;
    let ended = totals.success + totals.failure + totals.ignored + totals.cancelled;
    assert_eq!(ended + totals.rejected, asked.load(Ordering::Relaxed));
    assert!(trials.load(Ordering::Relaxed) > 0, "some were trials");
    assert!(totals.late > 0, "some came late");
    let standing = breaker.shared.standing();
    assert_eq!(standing, breaker.status().standing, "published as it is");
}

fn call_at_random(breaker: &Breaker, seed: u64, asked: &AtomicU64, trials: &AtomicU32) {
    let mut rng = SplitMix64::new(seed);
    let mut held = Vec::new();
    for _ in 0..20_000 {
        asked.fetch_add(1, Ordering::Relaxed);
        if let Ok(permit) = breaker.try_acquire() {
            if permit.admitted_in() == CircuitState::HalfOpen {
                trials.fetch_add(1, Ordering::Relaxed);
            }
            held.push(permit);
        }
        let out = breaker.status().trials;
        assert!(out.in_flight + out.judged <= 2, "{out:?}");
        if held.len() > 3 || rng.below(2) == 0 {
            let Some(permit) = held.pop() else { continue };
            match rng.below(5) {
                0 => permit.success(),
                1 | 2 => permit.failure(),
                3 => permit.ignore(),
                _ => drop(permit),
            }
        }
    }
}

fn order_at_random(breaker: &Breaker, rng: &mut SplitMix64) {
    match rng.below(12) {
        0 => breaker.close(),
        1 => breaker.reset(),
        2 => drop(breaker.trip(OpenWait::Backoff)),
        3 => breaker.set_mode(CircuitMode::Disabled),
        4 => breaker.set_mode(CircuitMode::ForcedOpen),
        _ => breaker.set_mode(CircuitMode::Auto),
    }
}

/// A hundred calls at once: how many were let through.
async fn a_hundred_calls(breaker: &Breaker) -> usize {
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let breaker = breaker.clone();
            tokio::spawn(async move {
                let call = async {
                    tokio::task::yield_now().await;
                    fine().await
                };
                breaker.call(call).await.is_ok()
            })
        })
        .collect();
    let mut through = 0;
    for call in calls {
        through += usize::from(call.await.unwrap());
    }
    through
}

fn of_pekko() -> Breaker {
    Breaker::new("pekko", rules().consecutive_failures(5)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn allow_many_calls_while_in_closed_state_with_no_errors() {
    assert_eq!(a_hundred_calls(&of_pekko()).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transition_to_open_state_upon_reaching_failure_limit_and_fail_fast() {
    let breaker = of_pekko();
    for _ in 0..5 {
        assert!(breaker.call(broken()).await.is_err());
    }
    assert_eq!(a_hundred_calls(&breaker).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn allow_a_single_call_through_in_half_open_state() {
    let breaker = of_pekko();
    breaker.trip(OpenWait::Backoff).unwrap();
    breaker.half_open().unwrap();
    let trial = breaker.try_acquire().unwrap();
    assert_eq!(a_hundred_calls(&breaker).await, 0);
    trial.success();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recover_and_reset_the_breaker_after_the_reset_timeout() {
    let breaker = of_pekko();
    breaker.trip(OpenWait::For(Duration::ZERO)).unwrap();
    assert_eq!(breaker.call(fine()).await, Ok("fine"));
    assert_eq!(a_hundred_calls(&breaker).await, 100);
}
