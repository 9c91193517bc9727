//! An operating-system thread as a child, for code that blocks.
//!
//! ```
//! use std::time::Duration;
//! use regrow::{BoxError, ChildSpec, Supervisor, System};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let poller = ChildSpec::thread("poller", |context| {
//!     while context.stopped_within(Duration::from_secs(1)).is_none() {
//!         // One look at a device that only blocking code can reach.
//!     }
//!     Ok::<(), BoxError>(())
//! });
//! let system = System::start(Supervisor::new("root").child(poller)).await?;
//! let report = system.shut_down().await;
//! assert!(report.unresponsive.is_empty());
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ractor::{Actor as _, ActorProcessingErr, ActorRef};
use regrow_core::{ChildKind, StopCause};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::child::{ChildSpec, StartContext};
use crate::exit::{BoxError, ExitReason, StartFailure};
use crate::launch::Launchpad;
use crate::panics::catch;
use crate::started::{Control, Started};
use crate::whose::run_as;

/// What one life of a thread comes to.
type Run = Box<dyn FnOnce() -> Result<(), BoxError> + Send>;

impl ChildSpec {
    /// A function on a thread of its own, which is named by the child's path; a new thread for each life.
    ///
    /// It counts as started as soon as the thread is there; with [`ChildSpec::announced`], when it calls
    /// [`announce`](StartContext::announce). `Ok` is a `normal` end, `Err` an `error`, a panic a `panic` with its place. It is
    /// permanent by default, so one that returns is started again: one that shall come to an end takes
    /// [`Restart::Transient`](crate::Restart::Transient).
    ///
    /// Asked to stop, it hears of it by [`ThreadContext`], and has to return. **A thread cannot be killed**: force is no more than
    /// asking once more. One that has not returned when its [`shutdown`](ChildSpec::shutdown) and the supervisor's
    /// [`kill_grace`](crate::Supervisor::kill_grace) are over is given up on as `unresponsive`, and still runs. What must be
    /// killable is an OS process.
    ///
    /// It runs inside the runtime of its supervisor: [`tokio::spawn`] works there, and so does
    /// [`Handle::current`](tokio::runtime::Handle::current) for its `block_on`. It takes no messages. On paused time a thread needs
    /// real time all the same, so its timeouts may fire at once. The end of the program does not wait for it.
    pub fn thread<F, T, E>(id: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn(ThreadContext) -> Result<T, E> + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        let run = Arc::new(run);
        let launch = move |context: StartContext, pad: &mut Launchpad| {
            let run = Arc::clone(&run);
            pad.set(async move {
                let bell = Arc::new(Bell::default());
                let supervisor = context.supervisor();
                let name = context.path().to_string();
                let mut whose = context.whose();
                let context = ThreadContext {
                    start: context,
                    bell: Arc::clone(&bell),
                };
                let arguments = Arguments {
                    name,
                    run: Box::new(move || {
                        run_as(&mut whose, || run(context).map(drop).map_err(Into::into))
                    }),
                    bell: Arc::clone(&bell),
                };
                match Thread::spawn_linked(None, Thread, arguments, supervisor).await {
                    Ok((actor, _)) => Ok(Started::new(actor.get_cell())
                        .control(Arc::new(Rope(bell)))
                        .beyond_force()),
                    Err(ractor::SpawnErr::StartupFailed(error)) => Err(StartFailure::retry(error)),
                    Err(error) => Err(StartFailure::retry(error)),
                }
            });
        };
        Self::base(id.into(), ChildKind::Thread, Arc::new(launch)).deaf()
    }
}

/// What a thread is told: everything that a start function is, and when to stop. Cloning is cheap; threads that it starts itself
/// can have one.
#[derive(Clone)]
pub struct ThreadContext {
    start: StartContext,
    bell: Arc<Bell>,
}

impl fmt::Debug for ThreadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadContext").field(&self.start).finish()
    }
}

impl Deref for ThreadContext {
    type Target = StartContext;

    fn deref(&self) -> &StartContext {
        &self.start
    }
}

impl ThreadContext {
    /// Why it has been asked to stop, if it has; for code that looks now and then. Costs a lock.
    #[must_use]
    pub fn stop_requested(&self) -> Option<StopCause> {
        *self.bell.rung()
    }

    /// Blocks until the thread is asked to stop.
    #[must_use]
    pub fn stopped(&self) -> StopCause {
        loop {
            if let Some(cause) = self.stopped_within(Duration::MAX) {
                return cause;
            }
        }
    }

    /// Blocks until the thread is asked to stop, but no longer than `patience`: the pause of a loop.
    #[must_use]
    pub fn stopped_within(&self, patience: Duration) -> Option<StopCause> {
        let rung = self.bell.rung();
        let waited = self
            .bell
            .changed
            .wait_timeout_while(rung, patience, |rung| rung.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// How a thread hears that it shall stop.
#[derive(Default)]
struct Bell {
    rung: Mutex<Option<StopCause>>,
    changed: Condvar,
}

impl Bell {
    fn rung(&self) -> MutexGuard<'_, Option<StopCause>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first cause stays.
    fn ring(&self, cause: StopCause) {
        self.rung().get_or_insert(cause);
        self.changed.notify_all();
    }
}

/// The actor that stands for a thread in the tree, and ends when it does.
struct Thread;

struct Arguments {
    name: String,
    run: Run,
    bell: Arc<Bell>,
}

/// What the actor holds: without it nobody waits for the thread any more, so it is asked to stop.
struct Hold {
    bell: Arc<Bell>,
    ended: oneshot::Receiver<Result<(), ExitReason>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.bell.ring(StopCause::Parent);
    }
}

#[ractor::actor(message = (), state = Hold, arguments = Arguments)]
impl Thread {
    async fn pre_start(
        &self,
        _: ActorRef<()>,
        arguments: Arguments,
    ) -> Result<Hold, ActorProcessingErr> {
        let Arguments { name, run, bell } = arguments;
        let (ends, ended) = oneshot::channel();
        let runtime = Handle::current();
        thread::Builder::new().name(name).spawn(move || {
            let _inside = runtime.enter();
            let result = match catch(run) {
                Ok(result) => result.map_err(ExitReason::error),
                Err(panic) => Err(ExitReason::Panic(Arc::new(panic))),
            };
            // Nobody waits any more if the supervisor is gone.
            drop(ends.send(result));
        })?;
        Ok(Hold { bell, ended })
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        hold: &mut Hold,
    ) -> Result<(), ActorProcessingErr> {
        (&mut hold.ended)
            .await
            .unwrap_or(Err(ExitReason::Cancelled))?;
        myself.stop(None);
        Ok(())
    }
}

/// How the supervisor stops a thread: by asking. There is no force.
struct Rope(Arc<Bell>);

impl Control for Rope {
    fn stop(&self, cause: StopCause) {
        self.0.ring(cause);
    }

    fn kill(&self) {
        self.0.ring(StopCause::Parent);
    }
}
