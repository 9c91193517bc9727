//! A life that is up, and the ways to end it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, ActorRef};
use regrow_core::StopCause;
use regrow_core::supervision::Who;

use crate::exit::ExitReason;
use crate::panics::catch;
use crate::supervisor::Message;
use crate::telemetry::Vitals;

/// How long a child may take to end by force when its supervisor was stopped from outside.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// A life that a start function has brought up.
#[derive(Clone)]
pub struct Started {
    pub(crate) cell: ActorCell,
    pub(crate) control: Option<Arc<dyn Control>>,
    pub(crate) vitals: Option<Arc<Vitals>>,
    pub(crate) force: Force,
}

/// Whether a life is to be held, or to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Pause,
    Resume,
}

/// What ends a life by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// Killing its actor.
    OnActor,
    /// Its control, and nothing else: the actor only stands for it.
    ByControl,
    /// Nothing does.
    None,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("cell", &self.cell)
            .finish_non_exhaustive()
    }
}

impl Started {
    /// An actor that is stopped and killed by `ractor`'s own means.
    #[must_use]
    pub fn new(cell: ActorCell) -> Self {
        Self {
            cell,
            control: None,
            vitals: None,
            force: Force::OnActor,
        }
    }

    /// An actor that counts what it does.
    pub(crate) const fn of_actor(cell: ActorCell, vitals: Arc<Vitals>) -> Self {
        Self {
            cell,
            control: None,
            vitals: Some(vitals),
            force: Force::OnActor,
        }
    }

    /// The actor only stands for something else, such as a thread or a process, and ends after it. If that could not be ended,
    /// the actor is left alone: to kill it would hide what still runs.
    #[must_use]
    pub fn proxy(mut self) -> Self {
        self.force = Force::ByControl;
        self
    }

    /// No force can end it; the actor only waits for it.
    pub(crate) fn beyond_force(mut self) -> Self {
        self.force = Force::None;
        self
    }

    /// Means of its own to stop and kill it.
    #[must_use]
    pub fn control(mut self, control: Arc<dyn Control>) -> Self {
        self.control = Some(control);
        self
    }

    pub(crate) fn stop(&self, cause: StopCause) {
        let Some(control) = &self.control else {
            return self.cell.stop(None);
        };
        if let Err(panic) = catch(|| control.stop(cause)) {
            tracing::error!(target: "regrow", %panic, "a control panicked when asked to stop; stopping the actor instead");
            self.cell.stop(None);
        }
    }

    /// Whether it has work to finish first.
    pub(crate) fn is_busy(&self) -> bool {
        let control = self.control.as_ref();
        control.is_some_and(|control| catch(|| control.is_busy()).unwrap_or(false))
    }

    /// Whether it can be held.
    pub(crate) fn can_pause(&self) -> bool {
        let control = self.control.as_ref();
        control.is_some_and(|control| catch(|| control.can_pause()).unwrap_or(false))
    }

    /// Holds it, or lets it go on.
    pub(crate) fn hold(&self, hold: Hold, done: Done) {
        let Some(control) = &self.control else {
            return;
        };
        let asked = catch(|| match hold {
            Hold::Pause => control.pause(done),
            Hold::Resume => control.resume(done),
        });
        if let Err(panic) = asked {
            tracing::error!(target: "regrow", %panic, "a control panicked when asked to hold, or to let go on");
        }
    }

    /// Whether the actor is gone, whoever has been told.
    pub(crate) fn has_ended(&self) -> bool {
        self.cell.get_status() == ractor::ActorStatus::Stopped
    }

    /// Waits for an end that was asked for, and uses force when it takes too long.
    pub(crate) async fn end(&self, patience: Option<Duration>) -> ExitReason {
        if self.cell.wait(patience).await.is_ok() {
            return ExitReason::Shutdown;
        }
        self.kill();
        match (self.cell.wait(Some(KILL_GRACE)).await, self.force) {
            (Ok(()), Force::OnActor | Force::ByControl) => ExitReason::Killed,
            // It has come to its end by itself, only late.
            (Ok(()), Force::None) => ExitReason::Shutdown,
            (Err(_), _) => ExitReason::Unresponsive,
        }
    }

    pub(crate) fn kill(&self) {
        let Some(control) = &self.control else {
            return self.cell.kill();
        };
        if let Err(panic) = catch(|| control.kill()) {
            tracing::error!(target: "regrow", %panic, "a control panicked when asked to kill; killing the actor instead");
            self.cell.kill();
        }
    }
}

impl From<ActorCell> for Started {
    fn from(cell: ActorCell) -> Self {
        Self::new(cell)
    }
}

impl<M> From<ActorRef<M>> for Started {
    fn from(actor: ActorRef<M>) -> Self {
        Self::new(actor.get_cell())
    }
}

/// How to end a life that is more than an actor, and how to hold it. No method may wait; the end shows when the actor ends.
pub trait Control: Send + Sync + 'static {
    /// Asks it to stop.
    fn stop(&self, cause: StopCause);
    /// Ends it by force.
    fn kill(&self);

    /// Whether it has work to finish before it does as it is asked. Then it is `draining` from the stop on, until
    /// [`StartContext::drained`](crate::StartContext::drained) says that it is not. The default is that it has none.
    fn is_busy(&self) -> bool {
        false
    }

    /// Whether it can be held: the default is that it cannot, and [`System::pause_child`](crate::System::pause_child) is refused.
    fn can_pause(&self) -> bool {
        false
    }

    /// Holds it where it is, and drops `done` when it is held. It may be held already. What it is asked to do while it is held it
    /// does as if it were not: [`Control::stop`] and [`Control::kill`] see to that.
    fn pause(&self, done: Done) {
        drop(done);
    }

    /// Lets it go on, and drops `done` when it does. It may not have been held.
    fn resume(&self, done: Done) {
        drop(done);
    }
}

/// Says, when it is dropped, that a life is held, or goes on: whoever has asked for that is answered.
#[must_use = "dropped, it says that it is done"]
pub struct Done {
    supervisor: ActorRef<Message>,
    who: Who,
}

impl Done {
    pub(crate) fn new(supervisor: ActorRef<Message>, who: Who) -> Self {
        Self { supervisor, who }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        // A supervisor that is gone needs no news.
        drop(self.supervisor.cast(Message::Held(self.who)));
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}
