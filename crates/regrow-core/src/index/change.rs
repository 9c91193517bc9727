//! What a change of the index was.

use std::sync::Arc;

use super::{Entry, Term};
use crate::restart::ExitKind;

/// Why an entry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaveReason {
    /// Its life ended so, and its place is not kept.
    Ended(ExitKind),
    /// Its place was taken out of the tree.
    Removed,
    /// It was taken out of the registry, and runs on.
    Unregistered,
    /// It has ended, and nobody has heard how: there was no registry at that moment.
    Lost,
}

impl LeaveReason {
    /// The word in events: `removed`, `unregistered`, `lost`, or that of the exit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended(exit) => exit.as_str(),
            Self::Removed => "removed",
            Self::Unregistered => "unregistered",
            Self::Lost => "lost",
        }
    }
}

/// What was changed, told once for each change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A place is new.
    Added(Arc<Entry>),
    /// Something is known anew of a place.
    Updated {
        /// What was known.
        before: Arc<Entry>,
        /// What is.
        after: Arc<Entry>,
    },
    /// A place was given anew, with another handle.
    Replaced {
        /// What was known.
        before: Arc<Entry>,
        /// What is.
        after: Arc<Entry>,
    },
    /// A place is gone.
    Removed {
        /// What was known of it.
        entry: Arc<Entry>,
        /// Why.
        reason: LeaveReason,
    },
}

impl Change {
    /// The lists whose members are others now: what was made of them is to be made anew. Some of [`Change::Replaced`] are told
    /// twice.
    #[must_use]
    pub fn lists(&self) -> Vec<Term> {
        match self {
            Self::Added(entry) | Self::Removed { entry, .. } => entry.terms().collect(),
            Self::Updated { before, after } => {
                let left = before.terms_beyond(after);
                left.chain(after.terms_beyond(before)).collect()
            }
            Self::Replaced { before, after } => before.terms().chain(after.terms()).collect(),
        }
    }
}
