//! What can be seen of an actor without asking it.

use std::fmt;
use std::time::Duration;

use regrow_core::ChildKind;
use regrow_core::probe::{memory, queue_age};

use super::check::{Check, Examination, OwnCheck, Probed};

/// Whether an actor gets on: the check for liveness.
///
/// It sends nothing. An actor is stalled when one handler runs for too long, or when messages wait and none is handled for so long;
/// one that is idle is well, and so is one with a million messages that handles them ([`regrow_core::progress`]). Messages that wait
/// are counted where they are sent through an [`Address`](crate::Address).
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    stall: Duration,
}

impl Default for Progress {
    /// Stalled after 30 s.
    fn default() -> Self {
        Self::stalled_after(regrow_core::progress::Progress::STALL)
    }
}

impl Progress {
    /// How long a handler may run, and a mailbox may stand still.
    #[must_use]
    pub const fn stalled_after(stall: Duration) -> Self {
        Self { stall }
    }
}

impl Check for Progress {
    fn examine(&self, life: &Probed) -> Examination {
        let Some(look) = life.looks() else {
            return Examination::impossible(NOT_COUNTED);
        };
        let mut progress = regrow_core::progress::Progress::new(self.stall);
        Examination::at_once(move |now| progress.check(look(now), now))
    }

    fn suits(&self, kind: ChildKind) -> Result<(), String> {
        actors_only(kind)
    }
}

impl OwnCheck for Progress {}

/// Whether messages wait for too long: a failure from this age of the oldest on, a warning from half of it on. The wait is measured on
/// messages that are sent through an [`Address`](crate::Address), one in 64.
///
/// A readiness probe with it sends new work elsewhere; it can be no liveness probe, since to restart an actor loses what waits.
#[derive(Clone, Copy, Debug)]
pub struct QueueAge {
    limit: Duration,
}

impl QueueAge {
    /// How old the oldest message may be.
    #[must_use]
    pub const fn at_most(limit: Duration) -> Self {
        Self { limit }
    }
}

impl Check for QueueAge {
    fn examine(&self, life: &Probed) -> Examination {
        let Some(oldest) = life.oldest() else {
            return Examination::impossible(NOT_COUNTED);
        };
        let limit = self.limit;
        Examination::at_once(move |now| queue_age(oldest(now), limit))
    }

    fn suits(&self, kind: ChildKind) -> Result<(), String> {
        actors_only(kind)
    }
}

/// Whether a child uses too much memory, by a function that says how much it uses: a failure above so many bytes, a warning above nine
/// tenths of it. For what regrow cannot see from outside: a cache, an arena, a model that is loaded.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use regrow::probe::{Memory, Probe};
///
/// let cached = Arc::new(AtomicU64::new(0));
/// let probe = Probe::liveness(Memory::at_most(512 << 20, move || cached.load(Ordering::Relaxed)));
/// ```
#[derive(Clone)]
pub struct Memory<F> {
    limit: u64,
    used: F,
}

impl<F> fmt::Debug for Memory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<F: Fn() -> u64 + Send + Sync + Clone + 'static> Memory<F> {
    /// How many bytes it may use, and what says how many it does. The function must not wait.
    pub fn at_most(bytes: u64, used: F) -> Self {
        Self { limit: bytes, used }
    }
}

impl<F: Fn() -> u64 + Send + Sync + Clone + 'static> Check for Memory<F> {
    fn examine(&self, _: &Probed) -> Examination {
        let (limit, used) = (self.limit, self.used.clone());
        Examination::at_once(move |_| memory(used(), limit))
    }
}

impl<F: Fn() -> u64 + Send + Sync + Clone + 'static> OwnCheck for Memory<F> {}

/// What a check of an actor's messages finds where regrow does not run the actor.
const NOT_COUNTED: &str =
    "its messages are not counted: it was made by start_with, use ChildSpec::actor";

fn actors_only(kind: ChildKind) -> Result<(), String> {
    if kind == ChildKind::Actor {
        Ok(())
    } else {
        Err(format!(
            "its check counts the messages of an actor, and a {kind} has none; use a Pulse, or a function"
        ))
    }
}
