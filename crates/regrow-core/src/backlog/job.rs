//! What waits, on which terms, and how it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::words::words;

words! {
    /// The class of a job. A higher one is served first; whoever waits moves up.
    #[derive(Default)]
    pub enum Priority {
        /// When nothing else is to be done.
        Low = "low",
        /// What nobody has said anything else of.
        #[default]
        Normal = "normal",
        /// Before the usual.
        High = "high",
        /// Before everything.
        Critical = "critical",
    }
}

/// On which terms a job waits: normal priority, nobody's, of cost 1 and without a deadline, unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Terms {
    /// The class in which it begins to wait.
    pub priority: Priority,
    /// On whose behalf. Jobs of nobody are together one tenant of their own, with a weight of 1.
    pub tenant: Option<Arc<str>>,
    /// How much it is, in any unit that is the same for all jobs of a pool: expected milliseconds, tokens. 0 counts as 1.
    pub cost: u32,
    /// From when on it may not be started any more.
    pub deadline: Option<Instant>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            priority: Priority::Normal,
            tenant: None,
            cost: 1,
            deadline: None,
        }
    }
}

impl Terms {
    /// In this class.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// On behalf of this one.
    pub fn tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// It is so much.
    pub const fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// It may not be started from then on.
    pub const fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Whether its deadline is over.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// Which job of a backlog. It names one job of that for ever: after the job has left, the ticket names none. Of another backlog it may
/// name any, so whoever moves a job to one goes by the ticket that the job gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Counts the jobs of a backlog from 1.
    pub(super) number: u64,
    pub(super) slot: u32,
}

/// A job that is to be done now.
#[derive(Debug)]
#[must_use = "it is in no list any more"]
pub struct Taken<T> {
    /// The job.
    pub payload: T,
    /// As which it waited.
    pub ticket: Ticket,
    /// On which terms.
    pub terms: Terms,
    /// How long.
    pub waited: Duration,
}

/// A job that is to be done now, for who needs to know no more of it.
#[derive(Debug)]
#[must_use = "it is in no list any more"]
pub struct Next<T> {
    /// The job.
    pub payload: T,
    /// The class in which it began to wait.
    pub priority: Priority,
    /// How long it has waited.
    pub waited: Duration,
}

words! {
    /// Why a job leaves without having been done.
    pub enum Refusal {
        /// Its deadline is over.
        Expired = "expired",
        /// It has waited too long while there was more work than the workers can do.
        Shed = "shed",
        /// It had to make room for another.
        Dropped = "dropped",
    }
}

/// A job that will not be done.
#[derive(Debug)]
#[must_use = "whoever waits for it is to be told"]
pub struct Refused<T> {
    /// The job.
    pub payload: T,
    /// As which it waited.
    pub ticket: Ticket,
    /// On which terms.
    pub terms: Terms,
    /// How long.
    pub waited: Duration,
    /// Why.
    pub why: Refusal,
}

/// A job that waits, on its way from one backlog to another.
#[derive(Debug)]
#[must_use = "it is in no list any more"]
pub struct Waiting<T> {
    /// The job.
    pub payload: T,
    /// As which it waited in the backlog that it comes from.
    pub ticket: Ticket,
    /// On which terms.
    pub terms: Terms,
    /// Since when.
    pub since: Instant,
}

/// What became of a job that was offered.
#[derive(Debug)]
#[must_use = "a job that was not taken in is in here"]
pub enum Offered<T> {
    /// It waits.
    Queued {
        /// As which.
        ticket: Ticket,
        /// The one that had to make room for it.
        dropped: Option<Refused<T>>,
    },
    /// There is no room, and none was made: because of the rule, or because everything that waits is better, or as good and older.
    Full(T),
    /// Its deadline is over already.
    Expired(T),
}

/// A place that is kept for a job to come. It cannot be copied, so none is used twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a place that is neither used nor given back is never free again"]
pub struct Place(pub(super) ());
