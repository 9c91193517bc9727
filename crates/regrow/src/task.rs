//! A future as a child: started, stopped, killed and started again like an actor, without being one.
//!
//! ```
//! use std::time::Duration;
//! use regrow::{BoxError, ChildSpec, Restart, Supervisor, System};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sweeper = ChildSpec::task("sweeper", |context| async move {
//!     let mut every = tokio::time::interval(Duration::from_secs(60));
//!     loop {
//!         tokio::select! {
//!             _ = every.tick() => { /* sweep */ }
//!             _ = context.stopped() => return Ok::<(), BoxError>(()),
//!         }
//!     }
//! });
//! let system = System::start(Supervisor::new("root").child(sweeper)).await?;
//! let report = system.shut_down().await;
//! assert!(report.killed.is_empty());
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use ractor::{Actor as _, ActorCell, ActorProcessingErr, ActorRef};
use regrow_core::{ChildKind, StopCause};
use tokio::sync::watch;

use crate::child::{ChildSpec, StartContext};
use crate::exit::{BoxError, ExitReason, StartFailure};
use crate::launch::Launchpad;
use crate::panics::{catch, guarded};
use crate::started::{Control, Started};
use crate::whose::future_as;

/// What one life of a task comes to.
type Run = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

impl ChildSpec {
    /// A future, made anew for each life.
    ///
    /// It counts as started as soon as it is there; with [`ChildSpec::announced`], when it calls
    /// [`announce`](StartContext::announce). `Ok` is a `normal` end, `Err` an `error`, a panic a `panic` with its place. A task is
    /// permanent by default, so one that returns is started again: one that shall come to an end takes
    /// [`Restart::Transient`](crate::Restart::Transient).
    ///
    /// Asked to stop, it hears of it by [`TaskContext::stopped`], and has to return; one that does not listen is dropped at its
    /// next `.await` when its [`shutdown`](ChildSpec::shutdown) is over, and has been `killed`. Whatever it has spawned itself is
    /// its own: that lives on unless it listens too. It takes no messages, and costs as much memory as an actor without state.
    pub fn task<F, Fut, T, E>(id: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let run = Arc::new(run);
        let launch = move |context: StartContext, pad: &mut Launchpad| {
            let run = Arc::clone(&run);
            pad.set(async move {
                let (sender, stop) = watch::channel(None);
                let supervisor = context.supervisor();
                let whose = context.whose();
                let context = TaskContext {
                    start: context,
                    stop,
                };
                // The user's function itself, and the drop of what it returns, are guarded like the future.
                let life = async move { run(context).await.map(drop).map_err(Into::into) };
                let life: Run = Box::pin(future_as(whose, life));
                let spawned = Task::spawn_linked(None, Task, life, supervisor);
                let (actor, _) = spawned.await.map_err(StartFailure::retry)?;
                let cell = actor.get_cell();
                let control = Arc::new(Leash {
                    stop: sender,
                    cell: cell.clone(),
                });
                Ok(Started::new(cell).control(control))
            });
        };
        Self::base(id.into(), ChildKind::Task, Arc::new(launch)).deaf()
    }
}

/// What a task is told: everything that a start function is, and when to stop. Cloning is cheap; what the task spawns can have one.
#[derive(Clone)]
pub struct TaskContext {
    start: StartContext,
    stop: watch::Receiver<Option<StopCause>>,
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskContext").field(&self.start).finish()
    }
}

impl Deref for TaskContext {
    type Target = StartContext;

    fn deref(&self) -> &StartContext {
        &self.start
    }
}

impl TaskContext {
    /// Waits until the task is asked to stop. It may be waited for again and again, and dropped: nothing is lost.
    ///
    /// After the end of the life that it belongs to it is always done: what the task has spawned can wait for it.
    pub async fn stopped(&self) -> StopCause {
        let mut stop = self.stop.clone();
        // Without a sender there is no supervisor left either.
        let asked = stop.wait_for(Option::is_some).await;
        asked.map_or(StopCause::Parent, |cause| {
            cause.unwrap_or(StopCause::Parent)
        })
    }

    /// Why it has been asked to stop, if it has; for code that looks now and then.
    #[must_use]
    pub fn stop_requested(&self) -> Option<StopCause> {
        let gone = self.stop.has_changed().is_err();
        let cause = *self.stop.borrow();
        cause.or_else(|| gone.then_some(StopCause::Parent))
    }
}

/// The actor that stands for a task in the tree and runs it.
struct Task;

/// A task under way. When it is dropped before its end, it was killed.
struct Life(Option<Run>);

impl Drop for Life {
    fn drop(&mut self) {
        let run = self.0.take();
        if let Err(panic) = catch(move || drop(run)) {
            tracing::error!(target: "regrow", %panic, "a task that was killed panicked when it was dropped");
        }
    }
}

#[ractor::actor(message = (), state = Option<Run>, arguments = Run)]
impl Task {
    async fn pre_start(
        &self,
        _: ActorRef<()>,
        run: Run,
    ) -> Result<Option<Run>, ActorProcessingErr> {
        Ok(Some(run))
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        run: &mut Option<Run>,
    ) -> Result<(), ActorProcessingErr> {
        // A kill drops this very future, and the task with it, before anybody is told of the end.
        let mut life = Life(run.take());
        let run = life.0.as_mut().ok_or("a task can run only once")?;
        let reason = match guarded(run).await {
            Ok(Ok(())) => {
                myself.stop(None);
                return Ok(());
            }
            Ok(Err(error)) => ExitReason::error(error),
            Err(panic) => ExitReason::Panic(Arc::new(panic)),
        };
        Err(Box::new(reason))
    }
}

/// How the supervisor stops a task: by its context, or by dropping it.
struct Leash {
    stop: watch::Sender<Option<StopCause>>,
    cell: ActorCell,
}

impl Control for Leash {
    fn stop(&self, cause: StopCause) {
        self.stop.send_replace(Some(cause));
    }

    fn kill(&self) {
        self.cell.kill();
    }
}
