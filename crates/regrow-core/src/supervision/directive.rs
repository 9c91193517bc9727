//! What a [`Supervision`](super::Supervision) tells its shell to do, and to tell.

use std::time::{Duration, Instant};

use crate::phase::Phase;
use crate::restart::{ExitKind, StopCause};

/// One life of one place in a supervisor.
///
/// Whatever comes back later – an exit, the result of a start – names the life it belongs to, so that an earlier one cannot be
/// taken for the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// The place. Places of removed children are used again.
    pub slot: u32,
    /// The life; never repeats within a slot.
    pub life: u32,
}

/// One thing to do or to tell. Each change of a child's phase is told by exactly one of them, or by the event that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Directive {
    /// Begin this life. The phase is now `starting`.
    Start(Who),
    /// Ask this life to end. The phase is now `stopping`.
    Stop(Who, StopCause),
    /// End this life by force; it may or may not have been asked before. The phase is now `stopping`.
    Kill(Who, StopCause),
    /// The start of this life took too long. A note beside the [`Directive::Stop`] or [`Directive::Kill`] that follows it.
    StartTimeout(Who),
    /// Hold this life where it is. The phase is now `paused`, if it was not before.
    Pause(Who),
    /// Let this life go on. The phase is now `running`, if it was not before.
    Resume(Who),
    /// This life did not end by force either: count it as gone, with `unresponsive`.
    Abandon(Who),
    /// This life could not be ended, and its plan says that the program must not go on so.
    Abort(Who),
    /// The failed child will be started again at `at`. The phase is now `backoff`.
    Backoff(Scheduled),
    /// The child has come to rest, or waits for its turn: `pending`, `completed` or `stopped`.
    Rest {
        /// The place.
        slot: u32,
        /// Where it now stands.
        phase: Phase,
    },
    /// The child was given up on; its siblings go on. The phase is now `failed`.
    Park {
        /// The place.
        slot: u32,
        /// Why.
        why: Parked,
    },
    /// The place is gone, with all that was known of it.
    Remove(u32),
    /// A good life has started the child's backoff over. A note beside the [`Directive::Backoff`] that follows it.
    BackoffReset {
        /// The place.
        slot: u32,
        /// How long the good life was.
        stable_for: Duration,
    },
    /// Restart intensity was exceeded: the supervisor stops all its children and ends.
    Meltdown {
        /// The child whose failure was one too many.
        slot: u32,
        /// How many restarts were in the window.
        restarts: u32,
        /// The window.
        period: Duration,
    },
    /// Every child has been started, or was given up on.
    Booted,
    /// Nobody is alive any more; end with this reason. It is the last directive.
    Close(Closed),
}

/// A restart that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The place.
    pub slot: u32,
    /// When it starts, unless siblings have to stop first.
    pub at: Instant,
    /// How long that is from now.
    pub delay: Duration,
    /// Which restart it is since the last good life, from 1.
    pub attempt: u32,
    /// How many restarts the window that limits it holds, this one included.
    pub in_window: u32,
    /// How many it may hold; `None` without a limit.
    pub max_restarts: Option<u32>,
    /// How the life before ended.
    pub after: ExitKind,
}

/// Why a child was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// It used up its restarts: so many within so much time.
    Intensity {
        /// How many restarts the window allows.
        max_restarts: u32,
        /// The window.
        period: Duration,
    },
    /// Its start can never succeed as it stands.
    CannotStart,
    /// It is to run once, has failed, and is not tried again.
    NotRetried,
    /// It could not be ended, and no life may run beside it.
    Unresponsive,
    /// It ended in a way after which it is not to be started again.
    ExitRule,
    /// It was ended for this cause before it came to the end that it is there for.
    Condemned(StopCause),
    /// A child that it depends on was given up on, or has ended otherwise than it waits for.
    Dependency {
        /// The place of that child.
        on: u32,
    },
}

/// Why a supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was asked to.
    ShutDown,
    /// Its significant children have ended.
    AutoShutdown,
    /// This child failed too often.
    Intensity {
        /// The place of the child.
        slot: u32,
    },
    /// This child could not be started, and those before it were stopped again.
    StartFailed {
        /// The place of the child.
        slot: u32,
    },
}

/// Why an operation on a child was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such child.
    NotFound,
    /// It runs, or is on its way up or down.
    Running,
    /// It waits for its next start.
    Restarting,
    /// It is not up.
    NotUp(Phase),
    /// The supervisor is ending.
    Closing,
    /// There are as many children as there may be.
    Full {
        /// How many that is.
        max: u32,
    },
    /// A child is significant only to a supervisor that ends with it.
    NoAutoShutdown,
}
