//! Workers that have several jobs at once.

use super::*;

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

#[tokio::test(start_paused = true)]
async fn an_answer_makes_room_whether_or_not_its_caller_has_looked_at_it() {
    let pool = hands().size(1..=1).concurrency(2).observe_only();
    let (_system, pool) = start(pool).await;
    let at_once = |value| move |reply| Task::Echo(value, Duration::ZERO, reply);
    let later = |value| move |reply| Task::Later(value, SECOND, reply);
    for turn in 0..3 {
        let first = pool.try_submit(Job::new(), at_once(turn)).unwrap();
        let second = pool.try_submit(Job::new(), later(turn)).unwrap();
        let third = pool.submit(Job::new().within(5 * SECOND), at_once(3));
        assert_eq!(third.await, Ok(3));
        let fourth = pool.submit(Job::new().within(5 * SECOND), later(4));
        assert_eq!(fourth.await, Ok(4));
        assert_eq!((first.await, second.await), (Ok(turn), Ok(turn)));
    }
    let status = pool.status();
    assert_eq!(status.desk.totals.ended(Outcome::Ok), 12);
    assert_eq!(status.desk.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_has_looked_at_is_no_loss_when_its_worker_ends() {
    let pool = hands().size(1..=1).concurrency(2).observe_only();
    let (system, pool) = start(pool).await;
    let answered = |reply| Task::Echo(1, Duration::ZERO, reply);
    let answered = pool.try_submit(Job::new(), answered).unwrap();
    let lost = pool.try_submit(Job::new(), Task::Keep).unwrap();
    until(&pool, |status| {
        status.desk.totals.ended(Outcome::Ok) == 1 && status.desk.in_flight == 1
    })
    .await;
    system.kill("root/hands/1");
    assert_eq!(answered.await, Ok(1));
    assert!(matches!(lost.await, Err(PoolError::Lost { .. })));
    let totals = pool.status().desk.totals;
    assert_eq!(
        (totals.ended(Outcome::Ok), totals.ended(Outcome::Lost)),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_job_goes_with_it_however_it_ends() {
    let kept = Arc::new(());
    let watched = Arc::downgrade(&kept);
    let pool = hands().forecast(move || {
        let _kept = &kept;
        None
    });
    let (system, pool) = start(pool.size(1..=1).concurrency(3).observe_only()).await;
    let lost = pool.try_submit(Job::new(), Task::Keep).unwrap();
    let left = pool.try_submit(Job::new(), Task::Keep).unwrap();
    let unseen = |reply| Task::Echo(1, Duration::ZERO, reply);
    let unseen = pool.try_submit(Job::new(), unseen).unwrap();
    until(&pool, |status| status.desk.in_flight == 2).await;
    drop((left, unseen));
    system.kill("root/hands/1");
    assert!(matches!(lost.await, Err(PoolError::Lost { .. })));
    drop(system.shut_down().await);
    drop((system, pool));
    for _ in 0..100 {
        tokio::time::sleep(SECOND).await;
    }
    assert!(
        watched.upgrade().is_none(),
        "the pool is held by a job of it"
    );
}
