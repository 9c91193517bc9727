//! What became of jobs, counted.

use std::time::{Duration, Instant};

use super::{Desk, Job};
use crate::crew::{Counts, WorkerStatus};
use crate::words::words;

words! {
    /// How a job that was begun has ended.
    pub enum Outcome {
        /// As it should.
        Ok = "ok",
        /// With an error.
        Error = "error",
        /// With a panic.
        Panicked = "panicked",
        /// Its worker ended before it did, or was given up on.
        Lost = "lost",
        /// Its caller's time was over.
        Timeout = "timeout",
        /// Its caller had gone.
        Cancelled = "cancelled",
    }
}

impl Outcome {
    /// Whether nothing is to be said against the worker.
    #[must_use]
    pub const fn is_well(self) -> bool {
        match self {
            Self::Ok | Self::Cancelled => true,
            Self::Error | Self::Panicked | Self::Lost | Self::Timeout => false,
        }
    }
}

words! {
    /// Why a job was refused, or taken in and not begun.
    pub enum Reject {
        /// There was no room for it.
        QueueFull = "queue_full",
        /// It had waited too long while there was more work than the workers can do.
        Shed = "shed",
        /// Its deadline was over.
        Expired = "expired",
        /// It had to make room for another.
        Dropped = "dropped",
        /// The pool takes no more work.
        Draining = "draining",
        /// What its workers need is down.
        BreakerOpen = "breaker_open",
        /// No worker has the tag that it asks for.
        NoWorker = "no_worker",
    }
}

/// What became of all jobs of a pool. Those that wait, and those that workers have, make up the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many there were.
    pub submitted: u64,
    /// How many their callers took back before they were begun.
    pub cancelled: u64,
    ended: [u64; Outcome::ALL.len()],
    rejected: [u64; Reject::ALL.len()],
}

impl Totals {
    /// How many of those that were begun have ended so.
    #[must_use]
    pub const fn ended(&self, outcome: Outcome) -> u64 {
        self.ended[outcome as usize]
    }

    /// How many were refused for this reason.
    #[must_use]
    pub const fn rejected(&self, reject: Reject) -> u64 {
        self.rejected[reject as usize]
    }

    /// How many have come to an end, whichever.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let ended: u64 = self.ended.iter().sum();
        let rejected: u64 = self.rejected.iter().sum();
        ended + rejected + self.cancelled
    }

    pub(super) const fn end(&mut self, outcome: Outcome) {
        self.ended[outcome as usize] += 1;
    }

    pub(super) const fn reject(&mut self, reject: Reject) {
        self.rejected[reject as usize] += 1;
    }
}

/// A desk as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct DeskStatus {
    /// How many workers are in each state.
    pub counts: Counts,
    /// Each worker.
    pub workers: Vec<WorkerStatus>,
    /// How many jobs wait.
    pub queued: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// How many jobs workers have.
    pub in_flight: u64,
    /// What became of all others.
    pub totals: Totals,
    /// What a job takes, on average lately.
    pub service: Duration,
    /// There is more work than the workers can do.
    pub is_overloaded: bool,
    /// No work is taken in.
    pub is_closed: bool,
}

impl<T: Job> Desk<T> {
    /// How it is, as a whole. O(workers).
    #[must_use]
    pub fn status(&self, now: Instant) -> DeskStatus {
        DeskStatus {
            counts: self.crew.counts(),
            workers: self.crew.each().collect(),
            queued: self.queued() as u64,
            oldest: self.oldest(now),
            in_flight: self.crew.in_flight(),
            totals: self.totals,
            service: Duration::try_from_secs_f64(self.service).unwrap_or_default(),
            is_overloaded: self.lanes.is_overloaded(),
            is_closed: self.closed,
        }
    }

    /// How long the oldest waiting job has waited.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Duration {
        self.lanes.oldest(now).unwrap_or_default()
    }

    /// What became of all jobs.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// A job was refused before it came here.
    pub const fn note_reject(&mut self, reject: Reject) {
        self.totals.submitted += 1;
        self.totals.reject(reject);
    }
}
