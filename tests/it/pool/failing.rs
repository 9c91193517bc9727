//! Workers that fail too often, and more work than can be done.

use regrow::pool::{Direction, OutlierRules, OverloadRules};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_fails_too_often_gets_no_work_for_a_while() {
    let rules = OutlierRules::default().consecutive(3).base(30 * SECOND);
    let pool = hands().size(2..=2).outliers(rules);
    let (mut system, pool) = start(pool).await;
    for _ in 0..3 {
        // Both at once, so that it is among them.
        let leases = [
            pool.checkout().await.unwrap(),
            pool.checkout().await.unwrap(),
        ];
        for lease in leases {
            if lease.path().id() == "1" {
                lease.fail();
            }
        }
    }
    let told = system
        .expect("regrow.pool.worker.ejected", "root/hands")
        .await;
    assert!(format!("{:?}", told.payload).contains("consecutive"));
    let ejected = |status: &PoolStatus| status.desk.counts.of(WorkerState::Ejected);
    assert_eq!(ejected(&pool.status()), 1);
    for _ in 0..4 {
        let lease = pool.checkout().await.unwrap();
        assert_eq!(lease.path().id(), "2");
    }
    let began = tokio::time::Instant::now();
    until(&pool, |status| ejected(status) == 0).await;
    assert!((29 * SECOND..31 * SECOND).contains(&began.elapsed()));
    system
        .expect("regrow.pool.worker.restored", "root/hands")
        .await;
}

#[tokio::test(start_paused = true)]
async fn with_too_much_work_the_newest_comes_first_and_the_oldest_is_shed() {
    let pool = hands()
        .size(1..=1)
        .queue(1_000)
        .overload(OverloadRules::rpc());
    let (mut system, pool) = start(pool).await;
    // Twice as much as can be done, for two seconds.
    let mut jobs = Vec::new();
    for value in 0..200 {
        let task = move |reply| Task::Echo(value, Duration::from_millis(20), reply);
        let pending = pool.try_submit(Job::new(), task).unwrap();
        jobs.push(tokio::spawn(pending));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    system
        .expect("regrow.pool.overload.entered", "root/hands")
        .await;
    let mut shed = 0;
    for job in jobs {
        match job.await.unwrap() {
            Ok(_) => {}
            Err(PoolError::Rejected {
                reason: Reject::Shed,
                ..
            }) => shed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((60..=120).contains(&shed), "{shed}");
    // A little work that does not wait, and it is over.
    for value in 0..20 {
        echo(&pool, value, Duration::from_millis(20)).await.unwrap();
    }
    system
        .expect("regrow.pool.overload.left", "root/hands")
        .await;
    let totals = pool.status().desk.totals;
    assert_eq!(totals.rejected(Reject::Shed), shed);
    assert_eq!(totals.submitted, totals.settled());
}

#[tokio::test(start_paused = true)]
async fn a_decision_tells_all_that_it_was_made_from() {
    use regrow::pool::ScalerRules;
    use regrow_core::scaler::Scaler;
    let (_system, pool) = start(hands().size(2..=8)).await;
    let _jobs: Vec<_> = (0..6)
        .map(|value| {
            pool.try_submit(Job::new(), move |reply| {
                Task::Echo(value, 9 * SECOND, reply)
            })
        })
        .collect();
    until(&pool, |status| status.desk.workers.len() > 2).await;
    let decided = pool.decisions();
    let up = decided
        .iter()
        .find(|one| one.decision.direction() == Direction::Up && one.decision.inputs.load.is_some())
        .unwrap();
    // The same again, from what was told.
    let now = tokio::time::Instant::now().into_std();
    let mut scaler = Scaler::new(ScalerRules::new(2, 8), now).unwrap();
    let again = scaler.on_tick(up.decision.inputs.clone(), now + SECOND);
    assert_eq!(
        (again.to, again.trigger),
        (up.decision.to, up.decision.trigger)
    );
    assert_eq!(again.to_string(), up.decision.to_string());
}
