//! A worker that is an actor: it does what is sent to it, and what it comes for.
//!
//! The user's actor keeps its own messages, and what it sends to itself reaches it as ever. A job does not go through its mailbox: the
//! worker comes for it, does it, and comes again, and nothing that another could do as well waits in line before it. It is told that
//! there is work by its bell, a child of its own: an event of that is heard before any message.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use regrow_core::ChildKind;
use regrow_core::desk::Outcome;

use super::Worker;
use super::job::Work;
use super::run::{Run, lend};
use super::shared::{Shared, ring};
use crate::adapter::{Life, Supervised};
use crate::child::{ChildSpec, StartContext};
use crate::exit::{ExitReason, StartFailure};
use crate::launch::Launchpad;
use crate::started::Started;

/// How many jobs a worker does before it looks at its mailbox.
const IN_A_ROW: u32 = 64;

/// How long it works before it does.
const AT_A_STRETCH: Duration = Duration::from_millis(5);

/// Rings, and does nothing else.
struct Bell;

#[ractor::actor(message = (), state = (), arguments = ())]
impl Bell {
    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// A user's actor as a worker of a pool.
pub(super) struct PoolWorker<A: Actor> {
    pub(super) inner: Supervised<A>,
    pub(super) pool: Arc<Shared<A::Msg>>,
    pub(super) number: u32,
    pub(super) generation: u32,
}

/// What one life of a worker has.
pub(super) struct WorkerLife<S> {
    life: Life<S>,
    bell: ActorCell,
}

impl<S> WorkerLife<S> {
    fn is_bell(&self, actor: ActorId) -> bool {
        self.bell.get_id() == actor
    }
}

impl<A: Actor> PoolWorker<A> {
    /// Does what there is to do, for a while.
    async fn work(
        &self,
        myself: &ActorRef<A::Msg>,
        worker: &mut WorkerLife<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        let mut done = 0;
        let mut until = None;
        let mut next = self.pool.pull(self.number, self.generation);
        while let Some((run, work)) = next {
            done += 1;
            let until = *until.get_or_insert_with(|| run.began() + AT_A_STRETCH);
            let is_last = done == IN_A_ROW || run.began() >= until;
            next = match work {
                Work::Message(message, _) => {
                    let run = self.run(myself, worker, run, message).await?;
                    if is_last {
                        // Its mailbox has a turn.
                        let run = self.pool.hold(run);
                        self.pool.rest(self.number, self.generation, run);
                        ring_later(worker.bell.clone());
                        return Ok(());
                    }
                    self.after(run)
                }
                Work::Lease(sender, _) => {
                    lend(sender, run);
                    self.pool.pull(self.number, self.generation)
                }
            };
        }
        Ok(())
    }

    /// Does one job.
    async fn run(
        &self,
        myself: &ActorRef<A::Msg>,
        worker: &mut WorkerLife<A::State>,
        mut run: Run,
        message: A::Msg,
    ) -> Result<Run, ActorProcessingErr> {
        self.inner.vitals.sending();
        let life = &mut worker.life;
        let result = self.inner.handle(myself.clone(), message, life).await;
        match result {
            Ok(()) => {
                let outcome = run.slip().map_or(Outcome::Ok, |slip| slip.outcome());
                run.ended(outcome);
                Ok(run)
            }
            Err(error) => {
                let panicked = matches!(error.downcast_ref(), Some(ExitReason::Panic(_)));
                run.ended(if panicked {
                    Outcome::Panicked
                } else {
                    Outcome::Error
                });
                Err(error)
            }
        }
    }

    /// What comes after a job that is done.
    fn after(&self, run: Run) -> Option<(Run, Work<A::Msg>)> {
        match self.pool.hold(run) {
            Some(run) => self.pool.swap(run),
            None => self.pool.pull(self.number, self.generation),
        }
    }
}

/// Rings when the actor has had a look at its mailbox.
fn ring_later(bell: ActorCell) {
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        ring(&bell);
    });
}

#[ractor::actor(message = A::Msg, state = WorkerLife<A::State>, arguments = A::Arguments)]
impl<A: Actor> PoolWorker<A> {
    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<WorkerLife<A::State>, ActorProcessingErr> {
        let cell = myself.get_cell();
        let life = self.inner.pre_start(myself, arguments).await?;
        let (bell, _) = Bell::spawn_linked(None, Bell, (), cell).await?;
        let bell = bell.get_cell();
        self.pool.hang_bell(self.number, bell.clone());
        Ok(WorkerLife { life, bell })
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        worker: &mut WorkerLife<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        self.inner.post_start(myself, &mut worker.life).await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        worker: &mut WorkerLife<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        self.inner.post_stop(myself, &mut worker.life).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        worker: &mut WorkerLife<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        self.inner.handle(myself, message, &mut worker.life).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        worker: &mut WorkerLife<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorStarted(actor) = &event
            && worker.is_bell(actor.get_id())
        {
            return self.work(&myself, worker).await;
        }
        let life = &mut worker.life;
        self.inner.handle_supervisor_evt(myself, event, life).await
    }
}

/// What a worker of a pool is started from.
pub(super) fn spec<A: Actor>(
    worker: Worker,
    pool: Arc<Shared<A::Msg>>,
    make: Arc<impl Fn(&Worker) -> (A, A::Arguments) + Send + Sync + 'static>,
) -> ChildSpec {
    let id: Arc<str> = worker.number.to_string().into();
    let backoff = pool.rules.backoff;
    let launch = move |context: StartContext, pad: &mut Launchpad| {
        let (make, pool, worker) = (Arc::clone(&make), Arc::clone(&pool), worker.clone());
        pad.set(async move {
            let (actor, arguments) = make(&worker);
            let vitals = context.hire();
            let supervisor = context.supervisor();
            let generation = context.generation();
            let actor = PoolWorker {
                inner: Supervised {
                    actor,
                    vitals: Arc::clone(&vitals),
                    #[cfg(feature = "trace-messages")]
                    context: Box::new(context),
                },
                pool,
                number: worker.number,
                generation,
            };
            let spawned = PoolWorker::spawn_linked(None, actor, arguments, supervisor);
            match spawned.await {
                Ok((actor, _)) => Ok(Started::of_actor(actor.get_cell(), vitals)),
                Err(ractor::SpawnErr::StartupFailed(error)) => Err(StartFailure::retry(error)),
                Err(error) => Err(StartFailure::retry(error)),
            }
        });
    };
    let mut spec = ChildSpec::base(id, ChildKind::Actor, Arc::new(launch)).backoff(backoff);
    let message = (TypeId::of::<A::Msg>(), std::any::type_name::<A::Msg>());
    spec.edit().message = Some(message);
    spec
}
