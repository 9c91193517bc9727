//! What callers see.

use std::future::{Future as _, poll_fn};
use std::task::Poll;

use regrow::pool::{Overflow, Priority};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_job_that_kills_its_worker_is_told_as_lost_and_the_worker_comes_back() {
    let (mut system, pool) = start(hands().size(1..=1)).await;
    let lost = pool.call(Task::Fail).await.unwrap_err();
    assert_eq!(
        lost.to_string(),
        "the job was lost with worker \"root/hands/1\": it failed"
    );
    let lost = pool.call(Task::Panic).await.unwrap_err();
    assert_eq!(
        lost.to_string(),
        "the job was lost with worker \"root/hands/1\": it panicked"
    );
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
    let forgot = pool.call(Task::Forget).await.unwrap_err();
    assert!(matches!(forgot, PoolError::NoAnswer { .. }), "{forgot}");
    let totals = pool.status().desk.totals;
    assert_eq!((totals.submitted, totals.settled()), (4, 4));
    assert_eq!(totals.ended(Outcome::Error), 1);
    assert_eq!(totals.ended(Outcome::Panicked), 1);
    system
        .expect("regrow.child.terminated", "root/hands/1")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_takes_its_job_along_and_that_is_told() {
    let (mut system, pool) = start(hands().size(1..=1)).await;
    let job = tokio::spawn({
        let pool = pool.clone();
        async move { echo(&pool, 1, 100 * SECOND).await }
    });
    until(&pool, |status| status.desk.in_flight == 1).await;
    system.kill("root/hands/1");
    let lost = job.await.unwrap().unwrap_err();
    assert_eq!(
        lost.to_string(),
        "the job was lost with worker \"root/hands/1\": it ended first"
    );
    system.expect("regrow.pool.job.lost", "root/hands").await;
    assert_eq!(echo(&pool, 2, SECOND).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn full_is_full_and_says_when_to_try_again() {
    let (mut system, pool) = start(hands().size(1..=1).queue(1).observe_only()).await;
    assert_eq!(echo(&pool, 0, 2 * SECOND).await, Ok(0));
    let slow = |value| {
        pool.try_submit(Job::new(), move |reply| {
            Task::Echo(value, 2 * SECOND, reply)
        })
    };
    let first = slow(1).unwrap();
    until(&pool, |status| status.desk.in_flight == 1).await;
    let second = slow(2).unwrap();
    let refused = slow(3).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "pool \"root/hands\" refused the job: as many jobs wait as may; try again in 3s"
    );
    assert_eq!(refused.retry_after(), Some(3 * SECOND));
    assert_eq!((first.await, second.await), (Ok(1), Ok(2)));
    let told = system
        .expect("regrow.pool.job.rejected", "root/hands")
        .await;
    assert!(format!("{:?}", told.payload).contains("queue_full"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_outside_comes_in_when_there_is_room_or_gives_up() {
    let rules = hands().size(1..=1).queue(1).overflow(Overflow::Wait);
    let (_system, pool) = start(rules.observe_only().batch()).await;
    let jobs: Vec<_> = (0..4)
        .map(|value| {
            let pool = pool.clone();
            let job = Job::new().within(7 * SECOND);
            tokio::spawn(async move {
                pool.submit(job, |reply| Task::Echo(value, 2 * SECOND, reply))
                    .await
            })
        })
        .collect();
    let mut done = Vec::new();
    for job in jobs {
        done.push(job.await.unwrap());
    }
    assert_eq!(
        done.iter().filter(|done| done.is_ok()).count(),
        3,
        "{done:?}"
    );
    let late = done.iter().find_map(|done| done.as_ref().err()).unwrap();
    assert!(
        matches!(late, PoolError::TimedOut { .. }),
        "the fourth was begun and its time was over: {late}"
    );
    let impatient = Job::new().within(SECOND);
    let _first = pool.try_submit(Job::new(), |reply| Task::Echo(1, 9 * SECOND, reply));
    let _second = pool.try_submit(Job::new(), |reply| Task::Echo(1, 9 * SECOND, reply));
    until(&pool, |status| status.desk.queued == 1).await;
    let refused = pool.submit(impatient, Task::Forget).await.unwrap_err();
    assert!(matches!(
        refused,
        PoolError::Rejected {
            reason: Reject::QueueFull,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_reserved_is_nobody_elses() {
    let (_system, pool) = start(hands().size(1..=1).queue(1).observe_only()).await;
    let _busy = pool.try_submit(Job::new(), |reply| Task::Echo(0, 3 * SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    let place = pool.reserve(SECOND).await.unwrap();
    assert!(pool.reserve(SECOND).await.is_err());
    let refused = pool.try_submit(Job::new(), Task::Forget).unwrap_err();
    assert!(matches!(refused, PoolError::Rejected { .. }));
    let answer = place
        .submit(Job::new(), |reply| Task::Echo(5, SECOND, reply))
        .await;
    assert_eq!(answer, Ok(5));
    drop(pool.reserve(SECOND).await.unwrap());
    assert_eq!(echo(&pool, 6, SECOND).await, Ok(6), "it was given back");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_time_is_over_is_not_begun_and_one_that_was_begun_goes_on() {
    let (_system, pool) = start(hands().size(1..=1).observe_only()).await;
    let late = Job::new().within(SECOND);
    let begun = pool
        .submit(late.clone(), |reply| Task::Echo(1, 3 * SECOND, reply))
        .await;
    let error = begun.unwrap_err();
    assert_eq!(
        error.to_string(),
        "pool \"root/hands\" did not answer within 1s"
    );
    let waited = pool
        .submit(late, |reply| Task::Echo(2, SECOND, reply))
        .await
        .unwrap_err();
    assert_eq!(
        waited.to_string(),
        "pool \"root/hands\" refused the job: its deadline was over before a worker was free"
    );
    assert_eq!(echo(&pool, 3, SECOND).await, Ok(3));
    let totals = pool.status().desk.totals;
    assert_eq!(totals.ended(Outcome::Timeout), 1);
    assert_eq!(totals.rejected(Reject::Expired), 1);
    assert_eq!(totals.ended(Outcome::Ok), 1);
}

#[tokio::test(start_paused = true)]
async fn work_of_a_caller_who_left_is_not_begun() {
    let hand = Hand::default();
    let pool = Pool::of("hands", hand.clone(), ())
        .size(1..=1)
        .observe_only();
    let (_system, pool) = start(pool).await;
    let first = pool.try_submit(Job::new(), |reply| Task::Echo(1, SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    for _ in 0..5 {
        drop(pool.try_submit(Job::new(), |reply| Task::Echo(9, SECOND, reply)));
    }
    assert_eq!(pool.status().desk.queued, 0, "it makes room at once");
    assert_eq!(first.unwrap().await, Ok(1));
    let totals = pool.status().desk.totals;
    assert_eq!((totals.cancelled, totals.submitted), (5, 6));
    assert_eq!(hand.done.load(Ordering::Relaxed), 1);
    // One that leaves while it is done is counted so.
    let left = pool.try_submit(Job::new(), |reply| Task::Echo(1, SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    drop(left);
    until(&pool, |status| status.desk.in_flight == 0).await;
    assert_eq!(pool.status().desk.totals.ended(Outcome::Cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn the_higher_class_comes_first_and_tenants_take_turns() {
    let (_system, pool) = start(hands().size(1..=1).observe_only().batch()).await;
    let _busy = pool.try_submit(Job::new(), |reply| Task::Echo(0, SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for (value, job) in [
        (1, Job::new().tenant("a")),
        (2, Job::new().tenant("a")),
        (3, Job::new().tenant("b")),
        (4, Job::new().priority(Priority::High)),
    ] {
        let pending = pool.try_submit(job, move |reply| Task::Echo(value, SECOND, reply));
        let (pending, tell) = (pending.unwrap(), tell.clone());
        tokio::spawn(async move { tell.send(pending.await.unwrap()) });
    }
    drop(tell);
    let mut order = Vec::new();
    while let Some(value) = told.recv().await {
        order.push(value);
    }
    assert_eq!(order, [4, 1, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn jobs_with_one_key_are_one_workers_and_come_one_after_the_other() {
    let (_system, pool) = start(hands().size(4..=4)).await;
    let begun = tokio::time::Instant::now();
    let jobs = (0..3).map(|value| {
        let pool = pool.clone();
        let job = Job::new().key("session 7");
        async move {
            let task = |reply| Task::Echo(value, SECOND, reply);
            pool.submit(job, task).await
        }
    });
    let done = all(jobs).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(begun.elapsed(), 3 * SECOND);
    let workers = pool.status().desk.workers;
    let busy: Vec<u64> = workers.iter().map(|worker| worker.done).collect();
    assert_eq!(busy.iter().max(), Some(&3), "{busy:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tier_is_asked_for_by_its_tag() {
    let rules = hands().size(4..=4).tiers([("small", 3), ("big", 1)]);
    let (system, pool) = start(rules).await;
    let workers = pool.status().desk.workers;
    let big: Vec<u32> = workers
        .iter()
        .filter(|worker| worker.tags.iter().any(|tag| &**tag == "big"))
        .map(|worker| worker.number)
        .collect();
    assert_eq!(big.len(), 1);
    for _ in 0..3 {
        let job = Job::new().tag("big");
        let done = pool.submit(job, |reply| Task::Echo(1, SECOND, reply)).await;
        assert_eq!(done, Ok(1));
    }
    let workers = pool.status().desk.workers;
    let done = workers.iter().find(|worker| worker.number == big[0]);
    assert_eq!(done.unwrap().done, 3);
    let unknown = pool.try_submit(Job::new().tag("huge"), Task::Forget);
    assert_eq!(
        unknown.unwrap_err().to_string(),
        "pool \"root/hands\" refused the job: no worker has the tag that it asks for"
    );
    let found = system.registry().find(&"big".parse().unwrap());
    assert_eq!(found.len(), 1, "it is found by its tier, too");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_taken_out_is_nobody_elses_until_it_is_given_back() {
    let (mut system, pool) = start(hands().size(1..=1).observe_only()).await;
    let lease = pool.checkout().await.unwrap();
    assert_eq!(lease.path().as_str(), "root/hands/1");
    assert!(lease.is_valid());
    let answer = lease.call(|reply| Task::Echo(7, SECOND, reply)).await;
    assert_eq!(answer.unwrap(), 7);
    let waiting = pool.try_submit(Job::new(), |reply| Task::Echo(1, SECOND, reply));
    assert_eq!(pool.status().desk.queued, 1);
    drop(lease);
    assert_eq!(waiting.unwrap().await, Ok(1));
    // By a panic, too.
    let leased = pool.clone();
    let panicked = tokio::spawn(async move {
        let _lease = leased.checkout().await.unwrap();
        panic!("while it has the worker");
    });
    assert!(panicked.await.is_err());
    assert_eq!(echo(&pool, 2, SECOND).await, Ok(2));
    // And one whose worker ends is worth nothing.
    let lease = pool.checkout().await.unwrap();
    system.kill("root/hands/1");
    system.expect("regrow.child.started", "root/hands/1").await;
    assert!(!lease.is_valid());
    assert_eq!(echo(&pool, 3, SECOND).await, Ok(3), "it is free again");
    drop(lease);
    assert_eq!(pool.status().desk.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_to_be_done_at_least_once_is_tried_again_and_not_for_ever() {
    let (mut system, pool) = start(hands().size(2..=2)).await;
    let tried = AtomicU64::new(0);
    let twice = |reply| {
        if tried.fetch_add(1, Ordering::Relaxed) < 2 {
            Task::Panic(reply)
        } else {
            Task::Echo(5, SECOND, reply)
        }
    };
    assert_eq!(pool.submit_at_least_once(Job::new(), twice).await, Ok(5));
    let job = Job::new().tenant("evil");
    let poisoned = pool.submit_at_least_once(job, Task::Panic).await;
    let error = poisoned.unwrap_err().to_string();
    assert!(
        error.starts_with("the job has cost 3 workers their lives and is not tried again"),
        "{error}"
    );
    system
        .expect("regrow.pool.job.quarantined", "root/hands")
        .await;
    let quarantined = pool.status().quarantined;
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].tenant.as_deref(), Some("evil"));
    assert_eq!(quarantined[0].attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_drained_finishes_what_it_has_begun_and_takes_no_more() {
    let (_system, pool) = start(hands().size(1..=1).observe_only()).await;
    let begun = pool.try_submit(Job::new(), |reply| Task::Echo(1, SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    let waiting = pool.try_submit(Job::new(), |reply| Task::Echo(2, SECOND, reply));
    pool.drain();
    let refused = waiting.unwrap().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "pool \"root/hands\" refused the job: it takes no more work"
    );
    assert!(pool.send(Task::Count).is_err());
    assert_eq!(begun.unwrap().await, Ok(1));
    pool.resume();
    assert_eq!(echo(&pool, 3, SECOND).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn behind_a_breaker_that_is_open_nothing_waits() {
    use regrow::breaker::{Breaker, CircuitRules, OpenWait};
    let model = Breaker::new("model", CircuitRules::default()).unwrap();
    let (_system, pool) = start(hands().size(1..=1).behind(&model)).await;
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
    model.trip(OpenWait::For(30 * SECOND)).unwrap();
    let refused = echo(&pool, 2, SECOND).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("pool \"root/hands\" refused the job: what its workers need is down"),
        "{refused}"
    );
    assert!(refused.retry_after().is_some());
    model.close();
    assert_eq!(echo(&pool, 3, SECOND).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_worker_has_several_jobs_at_once_that_it_answers_later() {
    let (_system, pool) = start(hands().size(1..=1).concurrency(3).observe_only()).await;
    let begun = tokio::time::Instant::now();
    let later = |value| {
        let pool = pool.clone();
        async move {
            pool.call(|reply| Task::Later(value, 2 * SECOND, reply))
                .await
        }
    };
    let done = all((0..6).map(later)).await;
    assert_eq!(
        done.into_iter().collect::<Result<Vec<_>, _>>().unwrap(),
        [0, 1, 2, 3, 4, 5]
    );
    assert_eq!(begun.elapsed(), 4 * SECOND, "three at a time");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_wrong_pool_is_told() {
    let (system, _pool) = start(hands().size(1..=1)).await;
    let text = |path: &str| system.pool::<u64>(path).unwrap_err().to_string();
    assert_eq!(text("root/feet"), "no pool has the path \"root/feet\"");
    assert_eq!(
        text("root/hands"),
        "the workers of pool \"root/hands\" take messages of type it::pool::Task, not u64"
    );
    assert_eq!(system.pools().len(), 1);
    let wrong = Supervisor::new("root").child(hands().size(std::ops::RangeInclusive::new(4, 2)));
    assert_eq!(
        wrong.check().unwrap_err().to_string(),
        "pool \"root/hands\": min: expected min <= max"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_for_as_much_as_is_under_way_and_no_more() {
    use futures_util::StreamExt as _;
    let (_system, pool) = start(hands().size(2..=2).queue(3).observe_only()).await;
    let asked = Arc::new(AtomicU64::new(0));
    let source = {
        let asked = Arc::clone(&asked);
        futures_util::stream::iter(0..20).inspect(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
        })
    };
    let task = |value, reply| Task::Echo(value, SECOND, reply);
    let mut results = pool.stream(4, source, task);
    let mut values = Vec::new();
    while let Some(result) = results.next().await {
        values.push(result.unwrap());
        let ahead = asked.load(Ordering::Relaxed) - values.len() as u64;
        assert!(ahead < 4, "{ahead} are under way");
    }
    values.sort_unstable();
    assert_eq!(values, (0..20).collect::<Vec<_>>());
    assert_eq!(pool.status().desk.totals.ended(Outcome::Ok), 20);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_comes_too_late_for_its_caller_is_given_back_and_is_not_to_blame() {
    let (_system, pool) = start(hands().size(1..=1)).await;
    let first = pool.checkout().await.unwrap();
    let mut second = Box::pin(pool.checkout());
    let waits = poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending()));
    assert!(waits.await);
    drop(first);
    let busy = || pool.status().desk.counts.of(WorkerState::Busy);
    // Its caller could have it now, and leaves.
    while busy() == 0 {
        tokio::task::yield_now().await;
    }
    drop(second);
    let totals = pool.status().desk.totals;
    let ended = |outcome| totals.ended(outcome);
    assert_eq!((ended(Outcome::Ok), ended(Outcome::Cancelled)), (1, 1));
    assert_eq!(ended(Outcome::Lost), 0);
    assert_eq!(busy(), 0);
}
