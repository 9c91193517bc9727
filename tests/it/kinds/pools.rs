//! Workers of a pool, of every kind that a child can have.

use regrow::pool::{Given, Job, Pool, PoolRef, WorkerState};

use regrow_process::{Host, Process};

use super::*;

const NEVER_FAILS: &str = "it ends only with its own children, which a pool's test cannot tell";

/// A pool of one worker, `root/pool/1`, made of this kind.
async fn pool_of(kind: Kind, most: u32) -> (TestSystem, PoolRef<Given>, Cast) {
    let (cast, spec) = Cast::new(kind, First::Up);
    let pool = Pool::of_children("pool", move |worker| {
        if kind == Kind::Process && most > 1 {
            // A process is known by its own id as well.
            Process::new(format!("a-{}", worker.number), "cat").into()
        } else {
            spec.clone().shutdown(SHORT)
        }
    });
    let pool = pool.size(1..=most).backoff(Backoff::none());
    let system = TestSystem::start(Supervisor::new("root").child(pool)).await;
    let pool = system.pool::<Given>("root/pool").unwrap();
    (system, pool, cast)
}

fn patient() -> Job {
    Job::new().within(Duration::from_secs(20))
}

#[test]
fn a_worker_of_each_kind_is_given_to_one_at_a_time() {
    row(everywhere, async |kind| {
        let (system, pool, _cast) = pool_of(kind, 1).await;
        let lease = pool.checkout_as(patient()).await.unwrap();
        assert!(lease.is_valid(), "{kind:?}");
        assert_eq!(lease.worker().path().as_str(), "root/pool/1");
        let refused = pool.checkout_as(Job::new().within(SHORT)).await;
        assert!(refused.is_err(), "{kind:?}: somebody else has it");
        drop(lease);
        drop(pool.checkout_as(patient()).await.unwrap());
        let child = system.which_child("root/pool/1").await.unwrap();
        assert_eq!((child.kind, child.restarts), (kind.word(), 0));
    });
}

#[test]
fn a_worker_of_each_kind_that_ends_is_lost_to_who_has_it_and_comes_back() {
    let cell = |kind: Kind| match kind {
        Kind::Supervisor | Kind::Dynamic | Kind::Partition | Kind::Pool => CannotBe(NEVER_FAILS),
        Kind::Actor | Kind::Bare | Kind::Task | Kind::Thread | Kind::Process => Holds,
    };
    row(cell, async |kind| {
        let (mut system, pool, cast) = pool_of(kind, 1).await;
        let lease = pool.checkout_as(patient()).await.unwrap();
        if matches!(kind, Kind::Actor | Kind::Bare) {
            system.kill("root/pool/1");
        } else {
            cast.tell(&system, Order::Fail).await;
        }
        system.expect("regrow.pool.job.lost", "root/pool").await;
        assert!(!lease.is_valid(), "{kind:?}");
        drop(lease);
        let lease = pool.checkout_as(patient()).await.unwrap();
        assert!(lease.is_valid(), "{kind:?}");
        assert_eq!(lease.worker().generation(), 2, "{kind:?}");
    });
}

#[test]
fn workers_of_each_kind_become_more_and_fewer() {
    row(everywhere, async |kind| {
        let (mut system, pool, _cast) = pool_of(kind, 3).await;
        pool.scale(3);
        for _ in 0..2 {
            system.expect("regrow.pool.worker.ready", "root/pool").await;
        }
        let leases = [
            pool.checkout_as(patient()).await.unwrap(),
            pool.checkout_as(patient()).await.unwrap(),
            pool.checkout_as(patient()).await.unwrap(),
        ];
        let counts = pool.status().desk.counts;
        assert_eq!(counts.of(WorkerState::Busy), 3, "{kind:?}");
        drop(leases);
        pool.scale(1);
        for _ in 0..2 {
            system
                .expect("regrow.pool.worker.removed", "root/pool")
                .await;
        }
        assert_eq!(pool.status().desk.workers.len(), 1, "{kind:?}");
        let children = system.which_children("root/pool").await.unwrap();
        assert_eq!(children.len(), 3, "{kind:?}: one, its manager and its gate");
    });
}

#[test]
fn a_process_with_more_memory_than_a_worker_may_have_makes_way_for_a_fresh_one() {
    let cell = |kind| {
        if kind == Kind::Process {
            Holds
        } else {
            CannotBe("what processes use is read, and nothing of what is within one")
        }
    };
    row(cell, async |_| {
        let host = Host::new().sample_every(Duration::from_millis(20));
        let pool = Pool::of_children("pool", move |worker| {
            let id = format!("large-{}", worker.number);
            Process::new(id, "cat").host(host.clone()).into()
        });
        let tree = Supervisor::new("root").child(pool.size(1..=1).max_memory(1));
        let mut system = TestSystem::start(tree).await;
        let draining = "regrow.pool.worker.draining";
        let told = system.expect(draining, "root/pool").await;
        assert!(
            format!("{:?}", told.payload).contains("max_memory"),
            "{told:?}"
        );
        system.expect("regrow.child.started", "root/pool/1").await;
        let child = system.which_child("root/pool/1").await.unwrap();
        assert!(child.generation > 1 && child.restarts == 0, "{child:?}");
    });
}
