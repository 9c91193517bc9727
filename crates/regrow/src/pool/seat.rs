//! How a pool hears of its workers: from their supervisor itself, which tells whatever it writes of one.

use std::fmt;
use std::sync::Arc;

use regrow_core::Phase;

/// Where a supervisor tells how a worker stands.
pub(super) trait Post: Send + Sync {
    /// Which life of it, in which phase, and whether it may be given work. Must not wait.
    fn standing(self: Arc<Self>, number: u32, generation: u32, phase: Phase, ready: bool);
}

/// The place of one worker among those of its pool.
#[derive(Clone)]
pub(crate) struct WorkerSeat {
    post: Arc<dyn Post>,
    number: u32,
}

impl fmt::Debug for WorkerSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerSeat").field(&self.number).finish()
    }
}

impl PartialEq for WorkerSeat {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.post, &other.post) && self.number == other.number
    }
}

impl WorkerSeat {
    pub(super) fn new(post: Arc<dyn Post>, number: u32) -> Self {
        Self { post, number }
    }

    pub(crate) fn tell(&self, generation: u32, phase: Phase, ready: bool) {
        Arc::clone(&self.post).standing(self.number, generation, phase, ready);
    }
}
