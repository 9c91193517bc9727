//! What the size of a pool was decided to be, lately.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::status::Quarantine;
use regrow_core::scaler::{Decision, Direction, Limit, ScaleMode, Scaler, Trigger};

/// How many decisions are kept.
const KEPT: usize = 64;

/// One decision, and when it was made.
#[derive(Clone, Debug)]
pub struct Decided {
    /// When.
    pub at: SystemTime,
    /// What, from what, and why; shown as text it says so in words.
    pub decision: Decision,
}

/// The scaler of a pool and what it decided.
pub(super) struct Scaling {
    pub(super) scaler: Scaler,
    kept: VecDeque<Decided>,
    last: Option<Decision>,
    blocked: Option<(u32, Limit)>,
    pub(super) quarantined: Quarantine,
}

/// What of a decision is to be told.
pub(super) struct Told {
    pub(super) is_news: bool,
    pub(super) blocked: Option<(u32, Limit)>,
}

impl Scaling {
    pub(super) fn new(scaler: Scaler) -> Self {
        Self {
            scaler,
            kept: VecDeque::new(),
            last: None,
            blocked: None,
            quarantined: Quarantine::new(),
        }
    }

    /// Notes a decision. One that says what the one before said is kept in place of that, if nothing is done.
    pub(super) fn note(&mut self, decision: &Decision, at: SystemTime) -> Told {
        let says = |decision: &Decision| -> (Direction, Trigger, Option<Limit>, u32) {
            let Decision {
                trigger, limit, to, ..
            } = decision;
            (decision.direction(), *trigger, *limit, *to)
        };
        let is_same = self
            .last
            .as_ref()
            .is_some_and(|last| says(last) == says(decision));
        let is_hold = decision.direction() == Direction::Hold;
        let is_news = !(is_same && is_hold);
        let decided = Decided {
            at,
            decision: decision.clone(),
        };
        if !is_news {
            self.kept.pop_back();
        } else if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(decided);
        self.last = Some(decision.clone());
        let blocked = decision.limit.map(|limit| (decision.wanted, limit));
        let reason = |blocked: Option<(u32, Limit)>| blocked.map(|(_, limit)| limit);
        let is_other = reason(blocked) != reason(self.blocked);
        self.blocked = blocked;
        Told {
            is_news,
            blocked: blocked.filter(|_| is_other),
        }
    }

    /// The decisions that are kept, the oldest first: each that changed something, and between two of them the last that said the same.
    pub(super) fn kept(&self) -> Vec<Decided> {
        self.kept.iter().cloned().collect()
    }

    pub(super) const fn last(&self) -> Option<&Decision> {
        self.last.as_ref()
    }

    pub(super) const fn mode(&self) -> ScaleMode {
        self.scaler.mode()
    }
}
