//! A job in a worker's hands, until it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regrow_core::backlog::Priority;
use regrow_core::crew::Claim;
use regrow_core::desk::Outcome;
use tokio::sync::oneshot;

use super::job::Slip;
use crate::registry::Registered;

/// A job that a worker has. Dropped before its end, it is lost.
pub(super) struct Run {
    pub(super) end: Arc<dyn End>,
    pub(super) claim: Claim,
    pub(super) slip: Option<Arc<Slip>>,
    pub(super) taken: Sampled,
    pub(super) outcome: Outcome,
    /// Its end was told.
    pub(super) is_over: bool,
}

/// What of a job is told as an example.
#[derive(Clone, Copy)]
pub(super) struct Sampled {
    pub(super) began: Instant,
    pub(super) waited: Duration,
    pub(super) priority: Priority,
}

/// Whoever hears of the end of a job, whatever messages its pool takes.
pub(super) trait End: Send + Sync {
    fn end(self: Arc<Self>, run: &mut Run);
    fn place(&self, number: u32) -> Option<Registered>;
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.is_over {
            Arc::clone(&self.end).end(self);
        }
    }
}

impl Run {
    /// It has ended so; dropped, it says so.
    pub(super) const fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The worker begins another: what is said of this one was said.
    pub(super) fn begins(&mut self, claim: Claim, slip: Option<Arc<Slip>>, taken: Sampled) {
        self.claim = claim;
        self.slip = slip;
        self.taken = taken;
        self.outcome = Outcome::Lost;
        self.is_over = false;
    }

    pub(super) fn took(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.taken.began)
    }

    /// When it was begun.
    pub(super) const fn began(&self) -> Instant {
        self.taken.began
    }

    pub(super) const fn slip(&self) -> Option<&Arc<Slip>> {
        self.slip.as_ref()
    }

    /// The worker, as others find it.
    pub(super) fn worker(&self) -> Option<Registered> {
        self.end.place(self.claim.worker)
    }
}

/// Gives a worker to a caller. Whoever has left gives it back at once, and so does who leaves before it is taken: that is nobody's fault.
pub(super) fn lend(sender: oneshot::Sender<Run>, mut run: Run) {
    run.ended(Outcome::Cancelled);
    drop(sender.send(run));
}
