//! Callers who wait outside, what wakes them, and what else waits for its turn.

use futures_util::{FutureExt as _, StreamExt as _};
use regrow::breaker::{Breaker, CircuitRules, OpenWait};
use regrow::pool::Overflow;

use super::*;

/// One worker, which has begun a job that takes so long.
async fn busy(pool: Pool<Task>, seconds: u32) -> (TestSystem, PoolRef<Task>, Vec<Call>) {
    let (system, pool) = start(pool.size(1..=1).observe_only().batch()).await;
    let first = call(&pool, Job::new(), seconds * SECOND);
    until(&pool, |status| status.desk.in_flight == 1).await;
    (system, pool, vec![first])
}

type Call = tokio::task::JoinHandle<Result<u64, PoolError>>;

fn call(pool: &PoolRef<Task>, job: Job, takes: Duration) -> Call {
    let pool = pool.clone();
    tokio::spawn(async move {
        pool.submit(job, move |reply| Task::Echo(1, takes, reply))
            .await
    })
}

fn outside() -> Pool<Task> {
    hands().queue(1).overflow(Overflow::Wait)
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_comes_in_when_what_waits_inside_expires() {
    let (_system, pool, _calls) = busy(outside(), 60).await;
    let late = pool
        .try_submit(Job::new().within(2 * SECOND), Task::Forget)
        .unwrap();
    let waits = call(&pool, Job::new().within(90 * SECOND), SECOND);
    until(&pool, |status| status.desk.queued == 1).await;
    assert!(late.await.is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.status().desk.queued, 1, "the other is in its place");
    assert_eq!(waits.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_comes_in_when_a_caller_leaves() {
    let (_system, pool, _calls) = busy(outside(), 60).await;
    let leaves = call(&pool, Job::new(), SECOND);
    until(&pool, |status| status.desk.queued == 1).await;
    let waits = [0, 1].map(|_| call(&pool, Job::new().within(90 * SECOND), SECOND));
    tokio::time::sleep(SECOND).await;
    leaves.abort();
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.status().desk.queued, 1, "one of the two is in");
    for wait in waits {
        assert_eq!(wait.await.unwrap(), Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_of_a_pool_that_closes_is_told_at_once() {
    let (_system, pool, _calls) = busy(outside(), 60).await;
    let inside = call(&pool, Job::new(), SECOND);
    until(&pool, |status| status.desk.queued == 1).await;
    let waits = call(&pool, Job::new().within(90 * SECOND), SECOND);
    let reserves = tokio::spawn({
        let pool = pool.clone();
        async move { pool.reserve(90 * SECOND).await.map(drop) }
    });
    tokio::time::sleep(SECOND).await;
    let begun = tokio::time::Instant::now();
    pool.drain();
    let is_draining = |error: PoolError| {
        let reason = Reject::Draining;
        assert!(matches!(error, PoolError::Rejected { reason: is, .. } if is == reason));
    };
    is_draining(inside.await.unwrap().unwrap_err());
    is_draining(waits.await.unwrap().unwrap_err());
    is_draining(reserves.await.unwrap().unwrap_err());
    is_draining(pool.reserve(90 * SECOND).await.map(drop).unwrap_err());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_used_by_a_job_that_is_refused_is_the_next_ones() {
    let (_system, pool, _calls) = busy(outside(), 60).await;
    let place = pool.reserve(SECOND).await.unwrap();
    let waits = call(&pool, Job::new().within(90 * SECOND), SECOND);
    tokio::time::sleep(SECOND).await;
    let nobody = place.submit(Job::new().tag("of nobody"), Task::Forget);
    assert!(nobody.await.is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.status().desk.queued, 1);
    assert_eq!(waits.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_waits_inside_one_comes_in_for_each_worker_that_is_free() {
    let begun = tokio::time::Instant::now();
    let (_system, pool, mut calls) = busy(hands().queue(0).overflow(Overflow::Wait), 2).await;
    for _ in 0..3 {
        calls.push(call(&pool, Job::new().within(90 * SECOND), 2 * SECOND));
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(1));
    }
    assert_eq!(begun.elapsed(), 8 * SECOND, "one after the other");
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_through_a_pool_where_nothing_waits() {
    use futures_util::StreamExt as _;
    let (_system, pool) = start(hands().queue(0).size(1..=1).observe_only()).await;
    let source = futures_util::stream::iter(0..5);
    let done = pool.stream(3, source, |value, reply| Task::Echo(value, SECOND, reply));
    let done: Vec<_> = done.map(|done| done.unwrap()).collect().await;
    assert_eq!(done.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_to_a_worker_itself_is_heard_in_a_flood_of_jobs() {
    let (system, pool) = start(hands().size(1..=1).queue(10_000).observe_only().batch()).await;
    let worker = system.address::<Task>("root/hands/1").unwrap();
    for _ in 0..5_000 {
        pool.send(Task::Count).unwrap();
    }
    let answer = worker.call(|reply| Task::Echo(3, Duration::ZERO, reply));
    assert_eq!(answer.await.unwrap(), 3);
    let waiting = pool.status().desk.queued;
    assert!(waiting > 4_000, "it was heard before the jobs: {waiting}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_of_a_breaker_that_opens_is_refused_with_the_others() {
    let model = Breaker::new("model", CircuitRules::default()).unwrap();
    let (_system, pool, mut calls) = busy(outside().behind(&model), 1).await;
    for _ in 0..20 {
        calls.push(call(&pool, Job::new().within(60 * SECOND), SECOND));
        tokio::task::yield_now().await;
    }
    let since = tokio::time::Instant::now();
    model.trip(OpenWait::For(300 * SECOND)).unwrap();
    let mut refused = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => {}
            Err(PoolError::Rejected { reason, .. }) => {
                assert_eq!(reason, Reject::BreakerOpen);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 19, "one was at work, and one waited inside");
    assert!(since.elapsed() < 5 * SECOND, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_looks_at_does_not_keep_others_outside() {
    let (_system, pool) = start(outside().queue(0).size(1..=1).observe_only()).await;
    let items = futures_util::stream::iter(0..5);
    let echo = |value, reply| Task::Echo(value, SECOND, reply);
    let mut results = pool.stream(5, items, echo);
    // It has begun one, and the others of it wait outside.
    assert!(results.next().now_or_never().is_none());
    let answer = call(&pool, Job::new().within(30 * SECOND), SECOND);
    assert_eq!(answer.await.unwrap(), Ok(1));
    assert_eq!(results.count().await, 5);
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_counts_as_work_to_be_done() {
    let (_system, pool) = start(outside().queue(0).size(1..=8)).await;
    let waits = || call(&pool, Job::new().within(60 * SECOND), SECOND);
    let calls: Vec<Call> = (0..20).map(|_| waits()).collect();
    until(&pool, |status| status.desk.workers.len() == 8).await;
    let said = pool.explain();
    assert!(said[1].contains("1 running and 19 waiting"), "{said:#?}");
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_for_one_worker_waits_while_another_is_free() {
    let (_system, pool) = start(outside().queue(0).size(2..=2).observe_only()).await;
    let keyed = || Job::new().within(30 * SECOND).key("one");
    let calls = [
        call(&pool, keyed(), 2 * SECOND),
        call(&pool, keyed(), SECOND),
    ];
    // Who looks again and again lets no time pass.
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(1));
    }
}
