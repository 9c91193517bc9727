//! Pools of actors, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::pool::{
    Given, Job, Outcome, Pool, PoolError, PoolRef, PoolStatus, Reject, WorkerState,
};
use regrow::testing::TestSystem;
use regrow::{ChildKind, Supervisor};

mod callers;
mod failing;
mod running;
mod settled;
mod several;
mod sizes;
mod starts;
mod waiting;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_pool_starts_with_its_workers_and_has_jobs_done() {
    let (system, pool) = start(hands().size(2..=4)).await;
    let status = pool.status();
    assert_eq!(status.desk.counts.of(WorkerState::Idle), 2);
    assert_eq!(echo(&pool, 7, SECOND).await, Ok(7));
    let children = system.which_children("root").await.unwrap();
    assert_eq!(children[0].kind, ChildKind::Pool);
    let children = system.which_children("root/hands").await.unwrap();
    let mut ids: Vec<&str> = children.iter().map(|child| &*child.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "manager", "starts"]);
}

/// What the workers of these tests are told.
enum Task {
    /// Answer after so much time, with what it was asked with.
    Echo(u64, Duration, RpcReplyPort<u64>),
    /// Fail.
    Fail(RpcReplyPort<u64>),
    /// Panic.
    Panic(RpcReplyPort<u64>),
    /// Drop the reply.
    Forget(RpcReplyPort<u64>),
    /// Answer after so much time, and take the next job meanwhile.
    Later(u64, Duration, RpcReplyPort<u64>),
    /// Never answer, and take the next job meanwhile.
    Keep(RpcReplyPort<u64>),
    /// Drop the reply after so much time, and take the next job meanwhile.
    LaterForget(Duration, RpcReplyPort<u64>),
    /// Count.
    Count,
}

/// A worker that counts what it has done.
#[derive(Clone, Default)]
struct Hand {
    done: Arc<AtomicU64>,
}

type Kept = Vec<RpcReplyPort<u64>>;

#[ractor::actor(message = Task, state = Kept, arguments = ())]
impl Hand {
    async fn pre_start(&self, _: ActorRef<Task>, (): ()) -> Result<Kept, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<Task>,
        task: Task,
        kept: &mut Kept,
    ) -> Result<(), ActorProcessingErr> {
        match task {
            Task::Echo(value, after, reply) => {
                tokio::time::sleep(after).await;
                drop(reply.send(value));
            }
            Task::Fail(reply) => {
                drop(reply);
                return Err("as it was told".into());
            }
            Task::Panic(_reply) => panic!("as it was told"),
            Task::Forget(reply) => drop(reply),
            Task::Later(value, after, reply) => {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    drop(reply.send(value));
                });
            }
            Task::Keep(reply) => kept.push(reply),
            Task::LaterForget(after, reply) => {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    drop(reply);
                });
            }
            Task::Count => {}
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn hands() -> Pool<Task> {
    Pool::of("hands", Hand::default(), ())
}

async fn start(pool: Pool<Task>) -> (TestSystem, PoolRef<Task>) {
    let system = TestSystem::start(Supervisor::new("root").child(pool)).await;
    let pool = system.pool::<Task>("root/hands").expect("it has started");
    (system, pool)
}

async fn echo(pool: &PoolRef<Task>, value: u64, after: Duration) -> Result<u64, PoolError> {
    pool.call(|reply| Task::Echo(value, after, reply)).await
}

/// Runs all at once, and waits for all.
async fn all<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.expect("it does not panic"));
    }
    done
}

/// Waits until a pool is so. Paused time goes on meanwhile.
async fn until(pool: &PoolRef<Task>, is: impl Fn(&PoolStatus) -> bool) {
    waited(|| is(&pool.status()), || format!("{:#?}", pool.status())).await;
}

/// The same for a pool whose workers are taken out.
async fn until_given(pool: &PoolRef<Given>, is: impl Fn(&PoolStatus) -> bool) {
    waited(|| is(&pool.status()), || format!("{:#?}", pool.status())).await;
}

async fn waited(is: impl Fn() -> bool, how: impl Fn() -> String) {
    for _ in 0..200_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not become so: {}", how());
}
