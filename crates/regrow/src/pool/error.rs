//! Why a job has no result.

use std::sync::Arc;
use std::time::Duration;

use regrow_core::crew::Claim;
use regrow_core::desk::{Outcome, Reject};
use thiserror::Error;

use crate::path::ChildPath;

/// Why a job of a pool has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// It was not begun.
    #[error("pool \"{pool}\" refused the job: {}{}", why(*reason), again(*retry_after))]
    Rejected {
        /// The pool.
        pool: ChildPath,
        /// Why.
        reason: Reject,
        /// After how much time it is worth to try again, if anybody can say.
        retry_after: Option<Duration>,
    },
    /// Its worker ended while it had the job, or because of it.
    #[error("the job was lost with worker \"{worker}\": {}", fate(*outcome))]
    Lost {
        /// The worker.
        worker: ChildPath,
        /// How the job ended.
        outcome: Outcome,
    },
    /// There was no answer in time. The worker may still be at it.
    #[error("pool \"{pool}\" did not answer within {after:?}")]
    TimedOut {
        /// The pool.
        pool: ChildPath,
        /// How long was waited.
        after: Duration,
    },
    /// The worker was done with the job, and gave no answer.
    #[error("a worker of pool \"{pool}\" dropped the job without an answer")]
    NoAnswer {
        /// The pool.
        pool: ChildPath,
    },
    /// It was to be done at least once, and has cost so many workers their lives.
    #[error(
        "the job has cost {attempts} workers their lives and is not tried again; the last was \"{worker}\""
    )]
    Quarantined {
        /// How many.
        attempts: u32,
        /// The last of them.
        worker: ChildPath,
    },
}

impl PoolError {
    /// After how much time it is worth to try again, if anybody can say.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            Self::Lost { .. }
            | Self::TimedOut { .. }
            | Self::NoAnswer { .. }
            | Self::Quarantined { .. } => None,
        }
    }
}

const fn why(reason: Reject) -> &'static str {
    match reason {
        Reject::QueueFull => "as many jobs wait as may",
        Reject::Shed => "it had waited too long, and there is more work than the workers can do",
        Reject::Expired => "its deadline was over before a worker was free",
        Reject::Dropped => "it had to make room for another",
        Reject::Draining => "it takes no more work",
        Reject::BreakerOpen => "what its workers need is down",
        Reject::NoWorker => "no worker has the tag that it asks for",
    }
}

const fn fate(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Panicked => "it panicked",
        Outcome::Error => "it failed",
        Outcome::Lost => "it ended first",
        Outcome::Ok | Outcome::Timeout | Outcome::Cancelled => "it is done",
    }
}

fn again(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!("; try again in {after:?}"))
}

/// A pool that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("pool \"{pool}\": {reason}")]
pub struct InvalidPool {
    /// Its id.
    pub pool: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why there is no pool at a path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolLookupError {
    /// No pool has this path.
    #[error("no pool has the path \"{path}\"")]
    NotFound {
        /// The path.
        path: String,
    },
    /// Its workers take other messages.
    #[error("the workers of pool \"{path}\" take messages of type {has}, not {wanted}")]
    WrongMessageType {
        /// The pool.
        path: ChildPath,
        /// What they take.
        has: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
}

/// Which worker a claim is of, as its id.
pub(super) fn id_of(claim: Claim) -> Arc<str> {
    claim.worker.to_string().into()
}
