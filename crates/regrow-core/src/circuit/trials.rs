//! The trials of one half-open circuit, and when they are decided.

use std::time::{Duration, Instant};

use super::rules::Bar;
use super::window::Figures;

/// How the trials stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trials {
    /// Let through, and not back.
    pub in_flight: u32,
    /// Back as successes or failures.
    pub judged: u32,
    failures: u32,
    slow: u32,
    /// Since when there has been at least one in flight.
    out_since: Option<Instant>,
}

/// What they come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Recovered,
    TooManyFailures,
    TooManySlow,
}

impl Trials {
    /// One more, if there is a permit for it.
    pub(super) fn begin(&mut self, permits: u32, now: Instant) -> bool {
        let is_free = self.in_flight + self.judged < permits;
        if is_free {
            self.in_flight += 1;
            self.out_since.get_or_insert(now);
        }
        is_free
    }

    /// One is back, and its permit free again unless it is judged.
    pub(super) fn end(&mut self) {
        self.in_flight -= 1;
        if self.in_flight == 0 {
            self.out_since = None;
        }
    }

    pub(super) fn judge(&mut self, failed: bool, slow: bool) {
        self.judged += 1;
        self.failures += u32::from(failed);
        self.slow += u32::from(slow);
    }

    pub(super) fn figures(self) -> Figures {
        Figures {
            calls: self.judged.into(),
            failures: self.failures.into(),
            slow: self.slow.into(),
        }
    }

    /// The outcome, as soon as what is still to come cannot change it.
    pub(super) fn decision(self, bar: Bar) -> Option<Decision> {
        if self.failures > bar.permits - bar.successes {
            return Some(Decision::TooManyFailures);
        }
        if bar.slow.is_some_and(|limit| self.slow >= limit) {
            return Some(Decision::TooManySlow);
        }
        let to_come = bar.permits - self.judged;
        let may_be_slow = bar.slow.is_some_and(|limit| self.slow + to_come >= limit);
        let successes = self.judged - self.failures;
        (successes >= bar.successes && !may_be_slow).then_some(Decision::Recovered)
    }

    /// When those that are out have been out for too long.
    pub(super) fn due(self, deadline: Duration) -> Option<Instant> {
        self.out_since?.checked_add(deadline)
    }
}
