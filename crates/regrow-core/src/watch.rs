//! What a watcher of a query is told.
//!
//! First who is there, then every change. A [`Watch`] is the writer's side: it is told each [`Change`] at once and keeps what the
//! watcher has not taken yet, up to a limit. A watcher that is too slow loses all of that, is told how much it was, and begins again
//! with who is there. So it blocks nobody and never believes what is no longer true.
//!
//! The contract with the shell: each change is handed to [`Watch::on_change`], in order. When the watcher has taken everything and
//! [`Watch::wants_snapshot`], the shell answers with [`Watch::on_snapshot`] before the next change.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::index::{Change, Entry, LeaveReason};
use crate::query::Query;

/// One thing that a watcher is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// So many changes came too fast, and are lost. A [`Notice::Snapshot`] follows.
    Missed(u64),
    /// Those that the query means now; whatever was told before is over.
    Snapshot(Vec<Arc<Entry>>),
    /// The query means one more.
    Entered {
        /// What is known of it.
        entry: Arc<Entry>,
        /// What was known of it before; `None` when it is new.
        before: Option<Arc<Entry>>,
    },
    /// Something else is known of one that it means.
    Changed {
        /// What was known.
        before: Arc<Entry>,
        /// What is.
        after: Arc<Entry>,
    },
    /// The query means one less.
    Left {
        /// What was known of it when it was meant.
        entry: Arc<Entry>,
        /// Why it is no longer.
        because: Because,
    },
}

/// Why a query does not mean an entry any more.
#[derive(Clone, Debug, PartialEq)]
pub enum Because {
    /// It is there, and now so.
    Changed(Arc<Entry>),
    /// It is gone.
    Gone(LeaveReason),
}

impl Notice {
    /// What a change is to those who watch a query; `None` when it is nothing to them.
    #[must_use]
    pub fn of(query: &Query, change: &Change) -> Option<Self> {
        match change {
            Change::Added(entry) => query.matches(entry).then(|| Self::Entered {
                entry: Arc::clone(entry),
                before: None,
            }),
            Change::Removed { entry, reason } => query.matches(entry).then(|| Self::Left {
                entry: Arc::clone(entry),
                because: Because::Gone(*reason),
            }),
            Change::Updated { before, after } | Change::Replaced { before, after } => {
                let (was_meant, is_meant) = (query.matches(before), query.matches(after));
                let (before, after) = (Arc::clone(before), Arc::clone(after));
                match (was_meant, is_meant) {
                    (false, false) => None,
                    (false, true) => Some(Self::Entered {
                        entry: after,
                        before: Some(before),
                    }),
                    (true, true) => Some(Self::Changed { before, after }),
                    (true, false) => Some(Self::Left {
                        entry: before,
                        because: Because::Changed(after),
                    }),
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    /// Has not been told who is there.
    Not,
    /// Is told every change.
    Changes,
    /// So many were lost, and it has to be told anew who is there.
    Lost(u64),
}

/// One watcher and what it has not taken yet; see the [module](self).
#[derive(Clone, Debug)]
pub struct Watch {
    query: Query,
    limit: NonZeroUsize,
    follows: Follows,
    missed: Option<u64>,
    snapshot: Option<Vec<Arc<Entry>>>,
    changes: VecDeque<Notice>,
}

impl Watch {
    /// A watcher of this query. At most `limit` changes are kept for it.
    #[must_use]
    pub const fn new(query: Query, limit: NonZeroUsize) -> Self {
        Self {
            query,
            limit,
            follows: Follows::Not,
            missed: None,
            snapshot: None,
            changes: VecDeque::new(),
        }
    }

    /// What it watches.
    pub const fn query(&self) -> &Query {
        &self.query
    }

    /// Something has changed. Whether the watcher is to be woken: there is something to take, or it wants a snapshot.
    pub fn on_change(&mut self, change: &Change) -> bool {
        if self.follows == Follows::Not {
            return false;
        }
        let Some(notice) = Notice::of(&self.query, change) else {
            return false;
        };
        match &mut self.follows {
            Follows::Not => false,
            Follows::Lost(missed) => {
                *missed += 1;
                false
            }
            Follows::Changes => {
                if self.changes.len() == self.limit.get() {
                    self.lose();
                } else {
                    self.changes.push_back(notice);
                }
                true
            }
        }
    }

    /// Whether it has to be told who is there: at first, and after it has lost changes.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        self.follows != Follows::Changes
    }

    /// Those that the query means now, that is, after all changes that were handed in. Nothing happens when nobody wants to know.
    pub fn on_snapshot(&mut self, entries: Vec<Arc<Entry>>) {
        match self.follows {
            Follows::Changes => return,
            Follows::Not => {}
            Follows::Lost(missed) => self.missed = Some(missed),
        }
        self.snapshot = Some(entries);
        self.follows = Follows::Changes;
    }

    /// The next that the watcher is told, if there is anything.
    pub fn take(&mut self) -> Option<Notice> {
        let missed = self.missed.take().map(Notice::Missed);
        let snapshot = |watch: &mut Self| watch.snapshot.take().map(Notice::Snapshot);
        missed
            .or_else(|| snapshot(self))
            .or_else(|| self.changes.pop_front())
    }

    /// One change too many: with it go all that were kept, and what was not told of earlier ones.
    fn lose(&mut self) {
        let kept = self.changes.len() as u64;
        let untold = self.missed.take().unwrap_or(0);
        self.snapshot = None;
        self.changes = VecDeque::new();
        self.follows = Follows::Lost(untold + kept + 1);
    }
}

#[cfg(test)]
mod tests;
