//! Callers who wait outside of a full queue, and how they hear of room.
//!
//! Whoever changes what waits or who can work says so when it gives up the lock ([`Room::tell`]). One caller is told and comes in; by
//! doing so it has the next one told, as long as there is room. Those whose job is not for anybody are all told: which of them there is
//! room for, only they can see.

use std::sync::atomic::{AtomicUsize, Ordering};

use regrow_core::crew::Wanted;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Those who wait.
#[derive(Default)]
pub(super) struct Room {
    anybody: Line,
    particular: Line,
    /// Those who want a place for a job to come.
    reserving: Line,
}

#[derive(Default)]
struct Line {
    told: Notify,
    waiting: AtomicUsize,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }
}

/// One who waits, until this is dropped.
pub(super) struct Waiter<'a>(&'a Line);

impl Room {
    /// Somebody begins to wait, for a worker of this kind.
    pub(super) fn wait(&self, wanted: &Wanted) -> Waiter<'_> {
        let is_for_anybody = *wanted == Wanted::anybody();
        Waiter::begin(if is_for_anybody {
            &self.anybody
        } else {
            &self.particular
        })
    }

    /// Somebody begins to wait for a place for a job to come.
    pub(super) fn wait_for_place(&self) -> Waiter<'_> {
        Waiter::begin(&self.reserving)
    }

    /// Whether nobody waits. To be asked under the lock under which they look for room.
    pub(super) fn is_empty(&self) -> bool {
        let lines = [&self.anybody, &self.particular, &self.reserving];
        lines.into_iter().all(Line::is_empty)
    }

    /// How many wait, each for one job.
    pub(super) fn len(&self) -> usize {
        let lines = [&self.anybody, &self.particular, &self.reserving];
        let waiting = |line: &Line| line.waiting.load(Ordering::Acquire);
        lines.into_iter().map(waiting).sum()
    }

    /// There is room for one, and for another when that one has come in: a place to wait in, or only somebody free.
    pub(super) fn tell(&self, has_place: bool) {
        if has_place && !self.reserving.is_empty() {
            self.reserving.told.notify_one();
        }
        if !self.anybody.is_empty() {
            self.anybody.told.notify_one();
        }
        self.particular.told.notify_waiters();
    }

    /// Nobody needs to wait any more: there will be no room.
    pub(super) fn tell_all(&self) {
        self.reserving.told.notify_waiters();
        self.anybody.told.notify_waiters();
        self.particular.told.notify_waiters();
    }
}

impl<'a> Waiter<'a> {
    fn begin(line: &'a Line) -> Self {
        line.waiting.fetch_add(1, Ordering::AcqRel);
        Self(line)
    }

    /// Is over when there may be room. To be made before looking for it.
    pub(super) fn told(&self) -> Notified<'_> {
        self.0.told.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
