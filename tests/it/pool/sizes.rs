//! How many workers there are, and why.

use regrow::pool::{Direction, Quota, ScaleMode};
use regrow::{Payload, StopCause};

use super::*;

/// Work for so many workers: one job after the other, each a little longer than the time from one look to the next.
async fn load(pool: &PoolRef<Task>, workers: usize, jobs: u64) {
    let lines = (0..workers).map(|_| {
        let pool = pool.clone();
        async move {
            for _ in 0..jobs {
                let done = echo(&pool, 1, SECOND * 13 / 10).await;
                assert_eq!(done, Ok(1));
            }
        }
    });
    all(lines).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_grows_with_its_work_and_shrinks_after_it_and_says_why() {
    let (mut system, pool) = start(hands().size(2..=8).queue(100)).await;
    let began = tokio::time::Instant::now();
    let busy = tokio::spawn({
        let pool = pool.clone();
        async move { load(&pool, 7, 20).await }
    });
    until(&pool, |status| {
        status.desk.counts.of(WorkerState::Busy) >= 7
    })
    .await;
    assert!(began.elapsed() < 10 * SECOND);
    let told = system
        .expect("regrow.pool.scale.decided", "root/hands")
        .await;
    let Payload::PoolScaleDecided { from, why, .. } = &told.payload else {
        panic!("{told:?}");
    };
    assert_eq!(*from, 2, "{why}");
    assert!(
        why.starts_with("up from 2 to 6: 2 running and 5 waiting ask for 8"),
        "{why}"
    );
    system
        .expect("regrow.pool.worker.added", "root/hands")
        .await;
    system
        .expect("regrow.pool.worker.ready", "root/hands")
        .await;
    system.expect("regrow.pool.scale.stop", "root/hands").await;
    busy.await.unwrap();
    until(&pool, |status| {
        status.desk.counts.of(WorkerState::Idle) == 2
    })
    .await;
    system
        .expect("regrow.pool.worker.draining", "root/hands")
        .await;
    system
        .expect("regrow.pool.worker.removed", "root/hands")
        .await;
    until(&pool, |_| {
        let last = pool.explain().pop();
        last.is_some_and(|last| last.starts_with("stays at 2: "))
    })
    .await;
    let explained = pool.explain();
    assert!(
        explained
            .iter()
            .any(|line| line.starts_with("up from 2 to ")),
        "{explained:#?}"
    );
    assert!(
        explained.iter().any(|line| line.starts_with("down from ")),
        "{explained:#?}"
    );
    let ups = pool
        .decisions()
        .into_iter()
        .filter(|one| one.decision.direction() == Direction::Up);
    assert!(ups.count() <= 5);
    let totals = pool.status().desk.totals;
    assert_eq!(
        (totals.submitted, totals.ended(Outcome::Ok)),
        (140, 140),
        "no job was lost on the way"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_goes_is_said_to_go_because_fewer_are_needed() {
    let (mut system, pool) = start(hands().size(0..=1).target(1)).await;
    pool.scale(0);
    let told = system.expect("regrow.child.stopping", "root/hands/1").await;
    let Payload::ChildStopping { cause, .. } = &told.payload else {
        panic!("{told:?}")
    };
    assert_eq!(*cause, StopCause::Scale);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_goes_finishes_what_it_has() {
    let rules = hands().size(1..=4).target(4);
    let (mut system, pool) = start(rules.drain_timeout(60 * SECOND)).await;
    // Each has something, so nobody is idle.
    let long: Vec<_> = (0..4)
        .map(|value| {
            pool.try_submit(Job::new(), move |reply| {
                Task::Echo(value, 30 * SECOND, reply)
            })
            .unwrap()
        })
        .collect();
    until(&pool, |status| status.desk.in_flight == 4).await;
    pool.scale(1);
    for job in long {
        assert!(job.await.is_ok());
    }
    until(&pool, |status| status.desk.workers.len() == 1).await;
    system
        .expect("regrow.pool.worker.removed", "root/hands")
        .await;
    let status = pool.status();
    assert_eq!((status.mode, status.desired), (ScaleMode::Manual(1), 1));
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_none_has_one_for_the_first_job_and_none_after_five_minutes() {
    let (_system, pool) = start(hands().size(0..=4)).await;
    assert_eq!(pool.status().desk.workers.len(), 0);
    let began = tokio::time::Instant::now();
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
    assert!(began.elapsed() < 2 * SECOND, "nobody waited for a look");
    assert_eq!(pool.status().desk.workers.len(), 1);
    until(&pool, |status| status.desk.workers.is_empty()).await;
    assert!(began.elapsed() >= 300 * SECOND);
    assert_eq!(echo(&pool, 2, SECOND).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_operator_sets_the_size_pauses_and_looks_on() {
    let (mut system, pool) = start(hands().size(2..=8)).await;
    pool.scale(5);
    until(&pool, |status| {
        status.desk.counts.of(WorkerState::Idle) == 5
    })
    .await;
    pool.scale(3);
    until(&pool, |status| status.desk.workers.len() == 3).await;
    pool.pause_scaling();
    load(&pool, 3, 100).await;
    assert_eq!(pool.status().desk.workers.len(), 3);
    pool.observe_scaling();
    let busy = load(&pool, 8, 5);
    busy.await;
    assert_eq!(pool.status().desk.workers.len(), 3);
    let explained = pool.explain().join("\n");
    assert!(explained.contains("it is only observed"), "{explained}");
    assert!(explained.contains("its scaling is paused"), "{explained}");
    pool.scale(99);
    until(&pool, |status| status.desk.workers.len() == 8).await;
    assert!(
        pool.explain()
            .last()
            .unwrap()
            .contains("there may be no more than 8")
    );
    system
        .expect("regrow.pool.scale.blocked", "root/hands")
        .await;
    pool.scale_by_load();
    until(&pool, |status| status.desk.workers.len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_pools_share_one_has_only_if_the_others_leave_it() {
    let memory = Quota::new(6);
    let one = Pool::of("one", Hand::default(), ())
        .size(1..=8)
        .quota(&memory, 1);
    let two = Pool::of("two", Hand::default(), ())
        .size(1..=8)
        .quota(&memory, 2);
    let tree = Supervisor::new("root").child(one).child(two);
    let system = TestSystem::start(tree).await;
    let one = system.pool::<Task>("root/one").unwrap();
    let two = system.pool::<Task>("root/two").unwrap();
    two.scale(8);
    until(&two, |status| status.desk.workers.len() == 2).await;
    one.scale(8);
    until(&one, |status| status.desk.workers.len() == 2).await;
    assert_eq!((memory.units(), memory.used()), (6, 6));
    assert!(
        one.explain()
            .last()
            .unwrap()
            .contains("what it shares with others leaves it 2")
    );
    two.scale(1);
    until(&one, |status| status.desk.workers.len() == 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_served_long_enough_makes_way_for_a_fresh_one() {
    let (mut system, pool) = start(hands().size(1..=1).max_jobs(3)).await;
    for _ in 0..3 {
        echo(&pool, 1, SECOND).await.unwrap();
    }
    let told = system
        .expect("regrow.pool.worker.draining", "root/hands")
        .await;
    assert!(
        format!("{:?}", told.payload).contains("max_jobs"),
        "{told:?}"
    );
    until(&pool, |status| status.desk.workers[0].generation == 2).await;
    assert_eq!(echo(&pool, 2, SECOND).await, Ok(2));
    let child = system.which_child("root/hands/1").await.unwrap();
    assert_eq!(child.restarts, 0, "it did not fail");
}

#[tokio::test(start_paused = true)]
async fn a_signal_of_ones_own_and_a_forecast_ask_for_workers() {
    let tokens = Arc::new(AtomicU64::new(100));
    let foreseen = Arc::new(AtomicU64::new(0));
    let (read, look) = (Arc::clone(&tokens), Arc::clone(&foreseen));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let rules = hands()
        .size(2..=20)
        .signal("tokens", 100.0, move || {
            Some(read.load(Ordering::Relaxed) as f64)
        })
        .forecast(move || u32::try_from(look.load(Ordering::Relaxed)).ok());
    let (_system, pool) = start(rules).await;
    tokens.store(300, Ordering::Relaxed);
    until(&pool, |status| status.desk.workers.len() >= 6).await;
    assert!(
        pool.explain()
            .iter()
            .any(|line| line.contains("tokens, 300.0 where 100.0 is to be"))
    );
    tokens.store(1, Ordering::Relaxed);
    foreseen.store(19, Ordering::Relaxed);
    until(&pool, |status| status.desk.workers.len() == 19).await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_panics_is_missing_and_the_pool_lives_on() {
    let rules = hands()
        .size(2..=8)
        .signal("broken", 1.0, || panic!("as it is meant to"));
    let (_system, pool) = start(rules).await;
    until(&pool, |_| {
        pool.explain().join("").contains("a signal is missing")
    })
    .await;
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn workers_that_do_not_start_are_tried_one_at_a_time() {
    let works = Arc::new(AtomicU64::new(1));
    let check = Arc::clone(&works);
    let pool = Pool::of_children("hands", move |_| {
        let check = Arc::clone(&check);
        regrow::ChildSpec::task("hand", move |context| {
            let works = check.load(Ordering::Relaxed) == 1;
            async move {
                if !works {
                    return Err("no store");
                }
                context.announce();
                let _: StopCause = context.stopped().await;
                Ok(())
            }
        })
        .announced()
    });
    let tree = Supervisor::new("root").child(pool.size(1..=50));
    let mut system = TestSystem::start(tree).await;
    works.store(0, Ordering::Relaxed);
    let pool = system.pool::<Given>("root/hands").unwrap();
    pool.scale(50);
    until_given(&pool, |status| {
        status.starts == regrow::breaker::CircuitState::Open
    })
    .await;
    let told = system
        .expect("regrow.pool.scale.exception", "root/hands")
        .await;
    assert!(format!("{:?}", told.payload).contains("did not start"));
    system
        .expect("regrow.breaker.state.changed", "root/hands/starts")
        .await;
    tokio::time::advance(600 * SECOND).await;
    until_given(&pool, |_| {
        pool.explain().join("").contains("its workers do not start")
    })
    .await;
    works.store(1, Ordering::Relaxed);
    until_given(&pool, |status| {
        status.desk.counts.of(WorkerState::Idle) == 50
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_outlives_the_pools_supervisor() {
    let (system, pool) = start(hands().size(1..=1).observe_only()).await;
    let busy = pool
        .try_submit(Job::new(), |reply| Task::Echo(0, 5 * SECOND, reply))
        .unwrap();
    until(&pool, |status| status.desk.in_flight == 1).await;
    let waiting = pool
        .try_submit(Job::new(), |reply| Task::Echo(7, SECOND, reply))
        .unwrap();
    system.kill("root/hands");
    assert!(busy.await.is_err(), "its worker has gone with the pool");
    assert_eq!(waiting.await, Ok(7));
    system.bounce_child("root/hands").await.unwrap();
    assert_eq!(
        echo(&pool, 8, SECOND).await,
        Ok(8),
        "and so does the handle"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_taken_away_refuses_what_waits() {
    let (system, pool) = start(hands().size(1..=1).observe_only()).await;
    let _busy = pool.try_submit(Job::new(), |reply| Task::Echo(0, SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    let waiting = pool
        .try_submit(Job::new(), |reply| Task::Echo(7, SECOND, reply))
        .unwrap();
    system.terminate_child("root/hands").await.unwrap();
    let refused = waiting.await.unwrap_err();
    assert!(
        matches!(
            refused,
            PoolError::Rejected {
                reason: Reject::Draining,
                ..
            }
        ),
        "{refused}"
    );
    system.delete_child("root/hands").await.unwrap();
    assert!(system.pools().is_empty());
    assert!(pool.send(Task::Count).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_last_worker_of_a_tier_does_not_go() {
    let rules = hands().size(2..=8).tiers([("small", 3), ("big", 1)]);
    let (_system, pool) = start(rules).await;
    pool.scale(8);
    until(&pool, |status| {
        status.desk.counts.of(WorkerState::Idle) == 8
    })
    .await;
    pool.scale(2);
    until(&pool, |status| status.desk.workers.len() == 2).await;
    for tier in ["small", "big"] {
        let job = Job::new().tag(tier);
        let done = pool.submit(job, |reply| Task::Echo(1, SECOND, reply)).await;
        assert_eq!(done, Ok(1));
    }
}
