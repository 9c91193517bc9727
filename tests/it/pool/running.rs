//! What those see who run a pool: when it rests, what it shares, how it stops and what it does about what others do to it.

use std::sync::atomic::AtomicU32;

use ractor::Actor as _;
use regrow::pool::{OutlierRules, OverloadRules, Quota, ScaleMode, Target};
use regrow::telemetry::Figures;
use regrow::testing::{Bare, Puppet, PuppetStart};
use regrow::watchdog::Watchdog;
use regrow::{ChildSpec, GiveUp, RestartIntensity, StartContext, StartFailure, TaskContext};

use super::*;

#[tokio::test(start_paused = true)]
async fn an_idle_pool_wakes_nobody() {
    let without_anybody = pauses_in_a_year().await;
    // The watchdog looks every few seconds; it is no part of a pool.
    let tree = Supervisor::new("root").watchdog(Watchdog::off());
    let none = Pool::of("none", Hand::default(), ()).size(0..=4);
    let system = TestSystem::start(tree.child(hands().size(2..=8)).child(none)).await;
    let pool = system.pool::<Task>("root/hands").unwrap();
    let none = system.pool::<Task>("root/none").unwrap();
    let jobs = (0..20).map(|value| {
        let pool = pool.clone();
        async move { echo(&pool, value, SECOND).await }
    });
    assert!(all(jobs).await.iter().all(Result::is_ok));
    assert_eq!(echo(&none, 1, SECOND).await, Ok(1));
    until(&none, |status| status.desk.workers.is_empty()).await;
    until(&pool, |status| status.desk.workers.len() == 2).await;
    tokio::time::sleep(60 * SECOND).await;
    let pauses = pauses_in_a_year().await;
    assert!(pauses < without_anybody + 5, "{without_anybody}, {pauses}");
    // Whatever happens then is seen.
    assert_eq!(echo(&pool, 3, SECOND).await, Ok(3));
    assert_eq!(echo(&none, 4, SECOND).await, Ok(4));
    tokio::time::sleep(60 * SECOND).await;
    pool.scale(5);
    until(&pool, |status| status.desk.workers.len() == 5).await;
}

/// How often the runtime has had nothing to do, over a year of paused time.
async fn pauses_in_a_year() -> u64 {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(SECOND * 3_600 * 24 * 365).await;
    metrics.worker_park_count(0) - before
}

#[tokio::test(start_paused = true)]
async fn pools_that_decide_at_once_do_not_get_more_together_than_there_is() {
    let memory = Quota::new(6);
    let mut tree = Supervisor::new("root");
    for id in ["one", "two", "three"] {
        let pool = Pool::of(id, Hand::default(), ()).size(1..=8);
        tree = tree.child(pool.quota(&memory, 1));
    }
    let system = TestSystem::start(tree).await;
    for pool in system.pools() {
        pool.scale(8);
    }
    let workers = || {
        let pools = system.pools().into_iter();
        let workers = pools.map(|pool| pool.status().desk.workers.len());
        workers.sum::<usize>()
    };
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(workers() <= 6 && memory.used() <= 6);
    }
    assert_eq!((workers(), memory.used()), (6, 6));
    let gone = system.pools()[0].path().clone();
    system.terminate_child(gone.as_str()).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(
        (workers(), memory.used()),
        (6, 6),
        "others have what it had"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_may_not_have_its_workers_starts_with_those_it_may() {
    let memory = Quota::new(2);
    let (_system, pool) = start(hands().size(3..=8).quota(&memory, 1)).await;
    assert_eq!(pool.status().desk.workers.len(), 2);
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_drained_stays_so_whatever_becomes_of_its_manager() {
    let (mut system, pool) = start(hands().size(1..=1)).await;
    pool.drain();
    system.kill("root/hands/manager");
    system
        .expect("regrow.child.started", "root/hands/manager")
        .await;
    tokio::time::sleep(5 * SECOND).await;
    assert!(pool.send(Task::Count).is_err());
    pool.resume();
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
    system.terminate_child("root/hands").await.unwrap();
    pool.resume();
    assert!(pool.send(Task::Count).is_err(), "there is nobody to do it");
    system.restart_child("root/hands").await.unwrap();
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_while_its_manager_is_gone_refuses_what_waits() {
    let (system, pool) = start(hands().size(1..=1).observe_only()).await;
    let _busy = pool.try_submit(Job::new(), |reply| Task::Echo(0, SECOND, reply));
    until(&pool, |status| status.desk.in_flight == 1).await;
    let waiting = pool.try_submit(Job::new(), Task::Forget).unwrap();
    system.kill("root/hands/manager");
    system.terminate_child("root/hands").await.unwrap();
    let refused = waiting.await.unwrap_err();
    let reason = Reject::Draining;
    assert!(
        matches!(refused, PoolError::Rejected { reason: is, .. } if is == reason),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn in_the_place_of_a_worker_that_others_take_away_comes_another() {
    let (system, pool) = start(hands().size(2..=2)).await;
    system.terminate_child("root/hands/1").await.unwrap();
    drop(system.delete_child("root/hands/1").await);
    until(&pool, |status| {
        let numbers = status.desk.workers.iter().map(|worker| worker.number);
        numbers.collect::<Vec<_>>() == [2, 3]
    })
    .await;
    let idle = |status: &PoolStatus| status.desk.counts.of(WorkerState::Idle) == 2;
    until(&pool, idle).await;
}

fn stands_by() -> ChildSpec {
    ChildSpec::task("hand", |task: TaskContext| async move {
        task.stopped().await;
        Ok::<(), &'static str>(())
    })
}

#[tokio::test(start_paused = true)]
async fn what_makes_workers_may_panic() {
    let made = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&made);
    let pool = Pool::of_children("hands", move |_| {
        assert!(counted.fetch_add(1, Ordering::Relaxed) >= 5, "not yet");
        stands_by()
    });
    let pool = pool.size(1..=2).warm(0);
    let mut system = TestSystem::start(Supervisor::new("root").child(pool)).await;
    let pool = system.pool::<Given>("root/hands").unwrap();
    until_given(&pool, |status| status.desk.workers.len() == 1).await;
    let manager = system.which_child("root/hands/manager").await.unwrap();
    assert_eq!((manager.restarts, made.load(Ordering::Relaxed)), (0, 6));
    system
        .expect("regrow.breaker.state.changed", "root/hands/starts")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_which_no_worker_can_be_made_does_not_start_and_says_why() {
    let pool = Pool::of_children("hands", |_| panic!("out of clay")).size(1..=1);
    let tree = Supervisor::new("root").child(pool);
    let error = regrow::System::start(tree).await.unwrap_err();
    assert!(
        format!("{error:?} {error}").contains("out of clay"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_too_much_memory_makes_way_for_a_fresh_one() {
    let pool = Pool::of_children("hands", |_| {
        ChildSpec::task("hand", |task: TaskContext| async move {
            let gauge = task.figures();
            for memory_bytes in [50, 99, 150] {
                tokio::time::sleep(30 * SECOND).await;
                gauge.set(&Figures {
                    memory_bytes,
                    ..Figures::default()
                });
            }
            task.stopped().await;
            Ok::<(), &'static str>(())
        })
    });
    let pool = pool.size(1..=1).max_memory(100);
    let mut system = TestSystem::start(Supervisor::new("root").child(pool)).await;
    let pool = system.pool::<Given>("root/hands").unwrap();
    let begun = tokio::time::Instant::now();
    let told = system
        .expect("regrow.pool.worker.draining", "root/hands")
        .await;
    assert!(format!("{:?}", told.payload).contains("max_memory"));
    assert_eq!(begun.elapsed().as_secs(), 91, "at the next look");
    until_given(&pool, |status| status.desk.workers[0].generation == 2).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_at_work_does_not_go_and_that_is_said_once() {
    let (_system, pool) = start(hands().size(1..=4).target(4)).await;
    let jobs = [0, 1, 2, 3].map(|value| {
        let takes = Duration::from_secs(20 + 10 * value);
        pool.try_submit(Job::new(), move |reply| Task::Echo(value, takes, reply))
            .unwrap()
    });
    until(&pool, |status| status.desk.in_flight == 4).await;
    pool.scale(1);
    tokio::time::sleep(15 * SECOND).await;
    let draining = pool.status().desk.counts.of(WorkerState::Draining);
    assert_eq!((draining, pool.status().desired), (0, 4));
    let said = pool.explain();
    assert_eq!(
        said.last().unwrap(),
        "stays at 4: an operator has set 1; the others are at work"
    );
    assert!(said.len() < 5, "{said:?}");
    for job in jobs {
        assert!(job.await.is_ok());
    }
    until(&pool, |status| status.desk.workers.len() == 1).await;
    assert_eq!(pool.status().mode, ScaleMode::Manual(1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_on_its_way_out_has_so_long_for_what_it_has_and_its_place_is_kept() {
    let rules = hands().size(1..=4).concurrency(2).max_jobs(1);
    let (mut system, pool) = start(rules.drain_timeout(5 * SECOND)).await;
    let later = |seconds| {
        let pool = pool.clone();
        tokio::spawn(async move {
            pool.call(|reply| Task::Later(1, seconds * SECOND, reply))
                .await
        })
    };
    let (soon, late) = (later(3), later(60));
    until(&pool, |status| status.desk.in_flight == 2).await;
    assert_eq!(echo(&pool, 1, SECOND).await, Ok(1));
    system
        .expect("regrow.pool.worker.draining", "root/hands")
        .await;
    let begun = tokio::time::Instant::now();
    assert_eq!(soon.await.unwrap(), Ok(1));
    let lost = late.await.unwrap().unwrap_err();
    assert!(matches!(lost, PoolError::Lost { .. }), "{lost}");
    assert!((5..=6).contains(&begun.elapsed().as_secs()));
    tokio::time::sleep(5 * SECOND).await;
    let numbers: Vec<_> = pool
        .status()
        .desk
        .workers
        .iter()
        .map(|one| one.number)
        .collect();
    assert!(numbers.contains(&1) && numbers.len() <= 2, "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_work_are_refused_by_name() {
    let wrong = |pool: Pool<Task>| pool.check().unwrap_err().to_string();
    let said = [
        wrong(hands().drain_timeout(Duration::MAX)),
        wrong(hands().max_jobs(0)),
        wrong(hands().max_age(Duration::ZERO)),
        wrong(hands().max_age(Duration::MAX)),
        wrong(hands().max_memory(0)),
        wrong(hands().size(0..=4).queue(0)),
        wrong(hands().scaler(|rules| rules.tick(Duration::MAX))),
        wrong(hands().overload(OverloadRules::new(Target::Auto).interval(Duration::MAX))),
        wrong(hands().outliers(OutlierRules::default().cap(Duration::MAX))),
    ];
    let names = [
        "drain_timeout",
        "max_jobs",
        "max_age",
        "max_age",
        "max_memory",
        "queue",
        "tick",
        "interval",
        "cap",
    ];
    for (said, name) in said.iter().zip(names) {
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_place_of_a_worker_that_is_not_needed_comes_another() {
    let pool = Pool::of_children("hands", |worker| match worker.number {
        1 => Puppet::scripted("hand", [PuppetStart::Ignore]),
        _ => stands_by(),
    });
    let tree = Supervisor::new("root").child(pool.size(1..=1).warm(0));
    let system = TestSystem::start(tree).await;
    let pool = system.pool::<Given>("root/hands").unwrap();
    let given = pool.checkout().await.unwrap();
    assert_eq!(given.worker().path().as_str(), "root/hands/2");
}

/// It takes a while to start.
#[derive(Clone)]
struct Slow;

#[ractor::actor(message = (), state = (), arguments = ())]
impl Slow {
    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        tokio::time::sleep(3 * SECOND).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_are_too_old_make_way_one_after_the_other_and_nobody_spins_meanwhile() {
    let pool = Pool::of("slow", Slow, ())
        .size(12..=12)
        .max_age(600 * SECOND);
    let tree = Supervisor::new("root").child(pool.drain_timeout(3_600 * SECOND));
    let system = TestSystem::start(tree).await;
    // Who spins holds the paused time up: this would last for ever.
    tokio::time::sleep(900 * SECOND).await;
    for worker in 1..=12 {
        let path = format!("root/slow/{worker}");
        let info = system.which_child(&path).await.unwrap();
        assert_eq!((info.generation, info.restarts), (2, 0), "{worker}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_a_system_that_is_dropped_is_told() {
    let (system, pool) = start(hands().size(1..=1).observe_only().batch()).await;
    let submit = || pool.try_submit(Job::new(), |reply| Task::Echo(1, 60 * SECOND, reply));
    let (begun, waits) = (submit().unwrap(), submit().unwrap());
    until(&pool, |status| status.desk.in_flight == 1).await;
    drop(system);
    let refused = waits.await.unwrap_err();
    assert!(
        matches!(
            &refused,
            PoolError::Rejected {
                reason: Reject::Draining,
                ..
            }
        ),
        "{refused}"
    );
    assert!(matches!(begun.await, Err(PoolError::Lost { .. })));
    let refused = submit().unwrap_err();
    assert!(matches!(refused, PoolError::Rejected { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_a_pool_whose_supervisors_are_killed_and_given_up_is_told() {
    let (sender, mut told) = tokio::sync::mpsc::channel(1);
    let witness = ChildSpec::start_with("witness", move |context: StartContext| {
        let sender = sender.clone();
        async move {
            let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
            drop(sender.send(context.supervisor()).await);
            Ok::<_, StartFailure>(actor)
        }
    });
    let pool = hands().size(1..=1).observe_only().batch();
    let group = Supervisor::new("group").child(witness).child(pool);
    let once = RestartIntensity::new(0, 3_600 * SECOND);
    let group = ChildSpec::from(group).limit(once).give_up(GiveUp::Park);
    let mut system = TestSystem::start(Supervisor::new("root").child(group)).await;
    let pool = system.pool::<Task>("root/group/hands").unwrap();
    let submit = || pool.try_submit(Job::new(), |reply| Task::Echo(1, 60 * SECOND, reply));
    let (_begun, waits) = (submit().unwrap(), submit().unwrap());
    until(&pool, |status| status.desk.in_flight == 1).await;
    told.recv().await.unwrap().kill();
    system.expect("regrow.child.terminated", "root/group").await;
    let refused = waits.await.unwrap_err();
    let is_draining = |error: &PoolError| {
        matches!(
            error,
            PoolError::Rejected {
                reason: Reject::Draining,
                ..
            }
        )
    };
    assert!(is_draining(&refused), "{refused}");
    assert!(is_draining(&submit().unwrap_err()));
    drop(system.restart_child("root/group").await.unwrap());
    assert_eq!(echo(&pool, 3, SECOND).await, Ok(3));
}
