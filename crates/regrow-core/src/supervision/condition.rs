//! What one child waits for of another.

use super::slot::{Slot, State};
use crate::words::words;

words! {
    /// How far a child has to have come before one that depends on it is started.
    pub enum Condition {
        /// It has started, or has asked not to be.
        Started = "started",
        /// It may be given work: it is up, and has said so where it is one that says so.
        Ready = "ready",
        /// It has ended and is not started again, whether in order or not.
        Completed = "completed",
        /// It has ended as it should and is not started again.
        CompletedSuccessfully = "completed_successfully",
    }
}

/// Which conditions a child has met, once at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached(u8);

impl Reached {
    pub(super) const ALL: Self = Self(0b1111);

    pub(super) fn of(conditions: &[Condition]) -> Self {
        let bits = conditions.iter().map(|condition| 1 << *condition as u8);
        Self(bits.fold(0, |all, bit: u8| all | bit))
    }

    /// Those of a child of which only its present state is known.
    pub(super) fn by_state(slot: &Slot) -> Self {
        match slot.state {
            State::Running if slot.ready => Self::of(&[Condition::Started, Condition::Ready]),
            State::Running => Self::of(&[Condition::Started]),
            State::Completed => Self::when_done(slot),
            State::Pending
            | State::Starting
            | State::Leaving { .. }
            | State::Backoff
            | State::Stopped
            | State::Failed => Self::default(),
        }
    }

    /// Those of a child that has ended as it should. One that was to say that it is ready may never have been.
    pub(super) fn when_done(slot: &Slot) -> Self {
        if slot.plan.ready_within.is_some() {
            Self(Self::ALL.0 & !Self::of(&[Condition::Ready]).0)
        } else {
            Self::ALL
        }
    }

    pub(super) const fn has(self, condition: Condition) -> bool {
        self.0 >> condition as u8 & 1 == 1
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
