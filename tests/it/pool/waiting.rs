//! Callers who wait outside, what wakes them, and what else waits for its turn.

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
async fn a_worker_of_several_jobs_that_ends_loses_those_it_has_not_answered() {
    let pool = hands().size(1..=1).concurrency(3).observe_only();
    let (system, pool) = start(pool).await;
    let later = |attempts: u32| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let later = |reply| Task::Keep(reply);
            pool.submit_at_most(attempts, Job::new(), later).await
        })
    };
    let lost = [later(1), later(1)];
    until(&pool, |status| status.desk.in_flight == 2).await;
    tokio::time::sleep(SECOND).await;
    system.kill("root/hands/1");
    for lost in lost {
        let lost = lost.await.unwrap().unwrap_err();
        assert!(matches!(lost, PoolError::Quarantined { .. }), "{lost}");
    }
    let totals = pool.status().desk.totals;
    assert_eq!(totals.ended(Outcome::Lost), 2);
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_several_jobs_that_forgets_one_says_so_and_has_room_again() {
    let pool = hands().size(1..=1).concurrency(2).observe_only();
    let (_system, pool) = start(pool).await;
    let forgot = pool.call(Task::Forget).await.unwrap_err();
    assert!(matches!(forgot, PoolError::NoAnswer { .. }), "{forgot}");
    let later = |reply| Task::LaterForget(SECOND, reply);
    let forgot = pool.call(later).await.unwrap_err();
    assert!(matches!(forgot, PoolError::NoAnswer { .. }), "{forgot}");
    assert_eq!(pool.status().desk.in_flight, 0);
}
