//! Work for several workers that are alike, as many as it needs: a pool.
//!
//! ```
//! use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
//! use regrow::pool::Pool;
//! use regrow::{Supervisor, System};
//!
//! #[derive(Clone)]
//! struct Planner;
//! struct Plan(&'static str, RpcReplyPort<String>);
//! # #[cfg(feature = "cluster")]
//! # impl ractor::Message for Plan {}
//!
//! impl Actor for Planner {
//!     type Msg = Plan;
//!     type State = ();
//!     type Arguments = ();
//!     async fn pre_start(&self, _: ActorRef<Plan>, (): ()) -> Result<(), ActorProcessingErr> {
//!         Ok(())
//!     }
//!     async fn handle(&self, _: ActorRef<Plan>, Plan(goal, reply): Plan, (): &mut ()) -> Result<(), ActorProcessingErr> {
//!         Ok(drop(reply.send(format!("first {goal}, then rest"))))
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let planners = Pool::of("planners", Planner, ()).size(2..=16).queue(256);
//! let system = System::start(Supervisor::new("root").child(planners)).await?;
//! let planners = system.pool::<Plan>("root/planners")?;
//! assert_eq!(planners.call(|reply| Plan("tidy up", reply)).await?, "first tidy up, then rest");
//! println!("{}", planners.explain().join("\n"));
//! # system.shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! A pool is a child, of the kind `pool`: a supervisor of workers with the ids `1`, `2` and so on, each an actor or whatever else can
//! be a child. A worker that fails is started again by the rules of any child. Beside them lives `manager`, which decides every second how
//! many there are to be ([`regrow_core::scaler`]) and touches no job, and `starts`, a breaker: when workers do not start, one at a time is
//! tried, now and then.
//!
//! **Workers pull.** Work waits in one queue, by the rules of [`regrow_core::backlog`]: classes with ageing, tenants by turns, deadlines,
//! a bound. A worker that is free is told, comes for a job, does it and comes again; a job is in nobody's hands before it is begun, and
//! costs one hop. Of workers that are no actors ([`Pool::of_children`]) callers take one out ([`PoolRef::checkout`]) and work with it.
//!
//! **Each job comes to one end**, and its caller is told which: an answer, a refusal with its reason, or a loss when its worker ended
//! ([`PoolError`]). One that is dropped by its caller is not begun any more. [`PoolRef::submit_at_least_once`] tries again, and puts a
//! job that costs one worker after the other into quarantine.
//!
//! What waits outlives a supervisor of the pool that fails: it is done when that has been started again. When somebody stops or restarts
//! the pool, what waits is refused. A pool that has nothing to do, and nobody too many, wakes nobody.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ractor::Actor;
pub use regrow_core::backlog::{Overflow, OverloadRules, Priority, Target};
pub use regrow_core::crew::{Counts, Dispatch, IdleOrder, WorkerState, WorkerStatus};
pub use regrow_core::desk::{DeskStatus, Outcome, Reject, Totals};
pub use regrow_core::outliers::OutlierRules;
pub use regrow_core::scaler::{
    Decision, Direction, Fallback, Inputs, Limit, Load, ScaleMode, ScalerRules, Signal, Trigger,
};

use regrow_core::Backoff;
use regrow_core::desk::{Desk, Mode};
use regrow_core::scaler::Scaler;

use crate::breaker::{Breaker, CircuitRules};
use crate::child::ChildSpec;
use crate::exit::BoxError;
use crate::path::ChildPath;
use crate::supervisor::Supervisor;
use crate::task::TaskContext;

mod book;
mod early;
mod entry;
mod error;
mod handle;
mod job;
mod lease;
mod manager;
mod quota;
mod room;
mod rules;
mod run;
mod scaling;
mod seat;
mod shared;
mod status;
mod stream;
mod worker;

pub(crate) use book::Pools;
pub use error::{InvalidPool, PoolError, PoolLookupError};
pub use handle::{PoolHandle, PoolRef, Reservation};
pub use job::Job;
pub use lease::{Lease, Pending};
pub use quota::Quota;
use quota::Share;
use rules::{Rules, Watched};
use scaling::Scaling;
pub(crate) use seat::WorkerSeat;
use shared::Shared;
pub use status::{Decided, PoolStatus, Quarantined};
pub use stream::Results;

/// What workers of [`Pool::of_children`] take: nothing. They are worked with, not sent to.
#[derive(Debug)]
pub enum Given {}

// With this feature of ractor on, what is a message has to say so.
#[cfg(feature = "cluster")]
impl ractor::Message for Given {}

/// Which worker of a pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worker {
    /// Its number, which is its id. None is given twice.
    pub number: u32,
    /// Its tier, where the pool has some.
    pub tier: Option<Arc<str>>,
}

/// What makes a worker.
type MakeWorker<M> = dyn Fn(&Worker, &Arc<Shared<M>>) -> ChildSpec + Send + Sync;

/// A pool, as a value.
///
/// Defaults: 1 worker, at most 8 for each core and 64 in all; 10 jobs may wait for each of them, and one more is refused; one job at a
/// time; who has worked last comes first; a class up for each 10 s waited; the newest first, and those shed that have waited too long, as
/// soon as there is more work than the workers can do for a while.
#[must_use]
pub struct Pool<M> {
    id: Arc<str>,
    rules: Rules,
    make: Arc<MakeWorker<M>>,
}

impl<M> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self {
            id: Arc::clone(&self.id),
            rules: self.rules.clone(),
            make: Arc::clone(&self.make),
        }
    }
}

impl<M> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<M: ractor::Message> Pool<M> {
    /// A pool of actors, cloned with their arguments for each life of each worker.
    pub fn of<A>(id: impl Into<Arc<str>>, actor: A, arguments: A::Arguments) -> Self
    where
        A: Actor<Msg = M> + Clone,
        A::Arguments: Clone + Sync,
    {
        Self::of_with(id, move |_| (actor.clone(), arguments.clone()))
    }

    /// A pool of actors that are made anew for each life, by which worker they are: for tiers, say. A panic in `make` is a failed start.
    pub fn of_with<A: Actor<Msg = M>>(
        id: impl Into<Arc<str>>,
        make: impl Fn(&Worker) -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        let spec = move |worker: &Worker, pool: &Arc<Shared<M>>| {
            worker::spec(worker.clone(), Arc::clone(pool), Arc::clone(&make))
        };
        Self {
            id: id.into(),
            rules: Rules::new(Mode::Pull),
            make: Arc::new(spec),
        }
    }
}

impl Pool<Given> {
    /// A pool of whatever can be a child, a process say: callers take one out and work with it ([`PoolRef::checkout`]). The ids of the
    /// specs do not matter, and neither do their restart types and limits: a worker is started again whenever it ends. A process is known
    /// by an id of its own as well, so make it from [the worker's number](Worker::number).
    pub fn of_children(
        id: impl Into<Arc<str>>,
        make: impl Fn(&Worker) -> ChildSpec + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            rules: Rules::new(Mode::Give),
            make: Arc::new(move |worker: &Worker, _: &Arc<Shared<Given>>| make(worker)),
        }
    }
}

impl<M> Pool<M> {
    /// How many workers there are at least and at most. With 0 at least there is none when there has been nothing to do for 5 min, and
    /// the first job starts one.
    pub fn size(mut self, workers: RangeInclusive<u32>) -> Self {
        let (min, max) = workers.into_inner();
        self.rules.scaler = ScalerRules::new(min, max);
        self
    }

    /// How its size follows the work: everything that [`Pool::size`] does not say. Say this after that.
    pub fn scaler(mut self, rules: impl FnOnce(ScalerRules) -> ScalerRules) -> Self {
        self.rules.scaler = rules(self.rules.scaler);
        self
    }

    /// With how many workers it begins; as few as there may be by default. Say this after [`Pool::size`].
    pub fn target(self, workers: u32) -> Self {
        self.scaler(|rules| rules.target(workers))
    }

    /// Its size stays as it begins, and what it would be is decided and told.
    pub const fn observe_only(mut self) -> Self {
        self.rules.observe_only = true;
        self
    }

    /// How many workers have to be up before the pool counts as started; as few as there may be by default.
    pub const fn warm(mut self, workers: u32) -> Self {
        self.rules.warm = Some(workers);
        self
    }

    /// How many jobs may wait; 10 for each worker of the largest size by default. With 0 none does.
    pub const fn queue(mut self, jobs: usize) -> Self {
        self.rules.queue = Some(jobs);
        self
    }

    /// What becomes of a job for which there is no room; it is refused by default, with a time after which it is worth to try again.
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.rules.overflow = overflow;
        self
    }

    /// How many jobs a worker has at once; 1 by default. An actor has several while it has not answered them: it gives the reply port to
    /// somebody who will, and comes for the next job.
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.rules.crew = self.rules.crew.concurrency(jobs);
        self
    }

    /// Who gets a job that anybody may have; the least loaded by default.
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.rules.crew = self.rules.crew.dispatch(dispatch);
        self
    }

    /// Who of those with nothing to do comes first; who has worked last by default, so that the others can go.
    pub fn idle(mut self, order: IdleOrder) -> Self {
        self.rules.crew = self.rules.crew.idle(order);
        self
    }

    /// A tenant gets so many shares where others get one.
    pub fn weight(mut self, tenant: impl Into<Arc<str>>, weight: u32) -> Self {
        self.rules.weights.push((tenant.into(), weight));
        self
    }

    /// Who has waited so long moves one class up; 10 s by default.
    pub const fn ageing(mut self, ageing: Duration) -> Self {
        self.rules.ageing = ageing;
        self
    }

    /// When there is more work than the workers can do, and what then; by half of what a job takes by default.
    pub const fn overload(mut self, rules: OverloadRules) -> Self {
        self.rules.overload = Some(rules);
        self
    }

    /// Nothing is shed, and the oldest job always comes first: for work of which nobody waits for the end.
    pub const fn batch(mut self) -> Self {
        self.rules.overload = None;
        self
    }

    /// Tiers of workers, such as small and large models, and which share of the workers each has. Jobs ask for one by its
    /// [tag](Job::tag); one that does not is for any. There have to be as many workers at least as there are tiers.
    pub fn tiers<T: Into<Arc<str>>>(mut self, tiers: impl IntoIterator<Item = (T, u32)>) -> Self {
        let tiers = tiers.into_iter();
        self.rules.tiers = tiers.map(|(tier, share)| (tier.into(), share)).collect();
        self
    }

    /// A worker is replaced by a fresh one after so many jobs.
    pub fn max_jobs(mut self, jobs: u64) -> Self {
        self.rules.crew = self.rules.crew.max_jobs(jobs);
        self
    }

    /// A worker is replaced by a fresh one after so much time, give or take a tenth.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.rules.crew = self.rules.crew.max_age(age);
        self
    }

    /// A worker is replaced by a fresh one when it has more memory than that, where it is known how much it has: of processes, whose
    /// figures are read every few seconds.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.rules.crew = self.rules.crew.max_memory(bytes);
        self
    }

    /// How long a worker that goes may take to finish what it has; 30 s by default.
    pub const fn drain_timeout(mut self, time: Duration) -> Self {
        self.rules.drain = time;
        self
    }

    /// Which worker gets no work for a while because it fails too often; Envoy's rules by default.
    pub fn outliers(mut self, rules: OutlierRules) -> Self {
        self.rules.outliers = Some(rules);
        self
    }

    /// No worker is without work because it fails too often.
    pub fn no_outliers(mut self) -> Self {
        self.rules.outliers = None;
        self
    }

    /// When no more workers are started for a while because they do not start: three failures in a row by default, then 1 s, 2 s, 4 s and
    /// so on up to a minute.
    pub fn start_gate(mut self, rules: CircuitRules) -> Self {
        self.rules.starts = rules;
        self
    }

    /// How long before a worker that has failed is started again; the default of any child.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = backoff;
        self
    }

    /// Work is refused, and does not wait, while this breaker does not let all calls through: for workers that all need the same thing.
    pub fn behind(mut self, breaker: &Breaker) -> Self {
        self.rules.behind = Some(breaker.clone());
        self
    }

    /// It shares so much of something with others: each of its workers takes `each` units.
    pub fn quota(mut self, quota: &Quota, each: u64) -> Self {
        self.rules.quota = Some(Share {
            quota: quota.clone(),
            each: each.max(1),
        });
        self
    }

    /// One more signal for its size: a value that is to be at its target, and grows when there are too few workers. It is read before each
    /// decision, and has to be quick; `None` is a signal that is missing.
    pub fn signal(
        mut self,
        name: impl Into<Arc<str>>,
        target: f64,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        self.rules.signals.push(Watched {
            name: name.into(),
            target,
            read: Arc::new(read),
        });
        self
    }

    /// Somebody foresees for how many workers there will be work: there are so many at least. It is read before each decision.
    pub fn forecast(mut self, read: impl Fn() -> Option<u32> + Send + Sync + 'static) -> Self {
        self.rules.forecast = Some(Arc::new(read));
        self
    }

    /// Whether it can work.
    ///
    /// # Errors
    /// Says what is wrong with it. A tree with such a pool is refused.
    pub fn check(&self) -> Result<(), InvalidPool> {
        match self.rules.wrong() {
            Some(reason) => Err(InvalidPool {
                pool: self.id.to_string(),
                reason,
            }),
            None => Ok(()),
        }
    }
}

impl<M: ractor::Message> From<Pool<M>> for Supervisor {
    fn from(pool: Pool<M>) -> Self {
        let wrong = pool.check().err();
        let Pool { id, rules, make } = pool;
        let manager = ChildSpec::task("manager", move |context: TaskContext| {
            let (rules, make) = (rules.clone(), Arc::clone(&make));
            async move {
                let pool = enter(&context, rules)?;
                manager::manage(pool, make, context).await
            }
        });
        // It is up when its workers are, and each of those has a time of its own for that.
        let manager = manager.announced().start_timeout(Duration::MAX);
        Self::of_pool(id, manager, wrong)
    }
}

impl<M: ractor::Message> From<Pool<M>> for ChildSpec {
    fn from(pool: Pool<M>) -> Self {
        Supervisor::from(pool).into()
    }
}

/// The pool whose manager this is: that of its earlier lives, if there were any.
fn enter<M: ractor::Message>(
    context: &TaskContext,
    rules: Rules,
) -> Result<Arc<Shared<M>>, BoxError> {
    let parent = context.path().parent();
    let path = ChildPath::from(parent.unwrap_or_default());
    let tree = &context.tree;
    let make = || -> Result<_, BoxError> {
        let starts = Breaker::new(manager::STARTS, rules.starts.clone())?;
        let desk = Desk::new(rules.desk())?;
        let mut scaler = Scaler::new(rules.scaler(), crate::time::now())?;
        if rules.observe_only {
            scaler.set_mode(ScaleMode::ObserveOnly);
        }
        let scaling = Scaling::new(scaler);
        let path = path.clone();
        Ok(Arc::new(Shared::new(
            path, rules, desk, scaling, starts, tree,
        )))
    };
    tree.census.pools.enter(&path, make)
}
