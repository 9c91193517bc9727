//! When a circuit opens, how long it stays so, and what closes it again.

use std::fmt;
use std::time::Duration;

use crate::backoff::{Backoff, FirstRestart};

/// Which results are looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSize {
    /// Those of so many whole seconds. Each second is one sum, so a window costs 24 bytes a second, however many calls there are.
    Time(Duration),
    /// The newest so many; a byte each.
    Count(u32),
}

/// What becomes of a half-open circuit whose trials do not come back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It opens again: who does not answer is not well.
    Open,
    /// It closes, and is judged anew from then on.
    Close,
}

/// The rules of one circuit: the three reasons to open, each by itself sufficient, the wait, and the trials.
///
/// The defaults are those of the design: half of at least 20 calls within 30 s have failed; 5 s × 2ⁿ up to 300 s, give or take
/// 20 %; three trials, all of which have to be good, back within 30 s. There is no limit for slow calls, and none for failures in
/// a row, unless one is said.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct CircuitRules {
    pub(super) window: WindowSize,
    pub(super) minimum_calls: u32,
    pub(super) failure_ratio: f64,
    pub(super) slow: Option<Duration>,
    pub(super) slow_ratio: f64,
    pub(super) consecutive_failures: Option<u32>,
    pub(super) open_wait: Backoff,
    pub(super) permits: u32,
    pub(super) success: f64,
    pub(super) deadline: Duration,
    pub(super) overdue: Overdue,
    call_timeout: Option<Duration>,
}

impl Default for CircuitRules {
    fn default() -> Self {
        let waits = Duration::from_secs(5)..=Duration::from_secs(300);
        Self {
            window: WindowSize::Time(Duration::from_secs(30)),
            minimum_calls: 20,
            failure_ratio: 0.5,
            slow: None,
            slow_ratio: 1.0,
            consecutive_failures: None,
            open_wait: Backoff::exponential(waits)
                .jitter(0.2)
                .first(FirstRestart::Delayed),
            permits: 3,
            success: 1.0,
            deadline: Duration::from_secs(30),
            overdue: Overdue::Open,
            call_timeout: None,
        }
    }
}

impl CircuitRules {
    /// Which results are looked at together; those of 30 s by default. Whole seconds up to an hour, or up to 100,000 calls.
    pub const fn window(mut self, window: WindowSize) -> Self {
        self.window = window;
        self
    }

    /// Below so many calls in the window there is no judging by ratios; 20 by default. A count window asks for no more than it holds.
    pub const fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    /// It opens when this share of the calls, or more, has failed; 0.5 by default.
    pub const fn failure_ratio(mut self, ratio: f64) -> Self {
        self.failure_ratio = ratio;
        self
    }

    /// A call that takes longer than this is slow, whether it succeeds or fails; none is by default.
    pub const fn slow_threshold(mut self, threshold: Duration) -> Self {
        self.slow = Some(threshold);
        self
    }

    /// It opens when this share of the calls, or more, was slow; 1.0, all of them, by default.
    pub const fn slow_ratio(mut self, ratio: f64) -> Self {
        self.slow_ratio = ratio;
        self
    }

    /// It opens after so many failures in a row, however few calls there were; not by default. What is ignored is not in the row.
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// How long it stays open: the n-th time in a row for the n-th delay. It has been closed for
    /// [`reset_after`](Backoff::reset_after), 60 s by default, when the delays start over.
    pub const fn open_wait(mut self, backoff: Backoff) -> Self {
        self.open_wait = backoff.first(FirstRestart::Delayed);
        self
    }

    /// How many calls are let through to try, at once and in all; 3 by default.
    pub const fn half_open_permits(mut self, permits: u32) -> Self {
        self.permits = permits;
        self
    }

    /// Which share of the trials has to succeed; 1.0, all of them, by default.
    pub const fn half_open_success(mut self, share: f64) -> Self {
        self.success = share;
        self
    }

    /// How long trials may be out; 30 s by default. It counts while at least one is: a circuit that nobody calls stays half-open.
    pub const fn half_open_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What follows when they are not back by then; it opens by default.
    pub const fn half_open_overdue(mut self, overdue: Overdue) -> Self {
        self.overdue = overdue;
        self
    }

    /// A call that takes so long has failed, for a shell that can end it; there is no limit by default.
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = Some(timeout);
        self
    }

    /// How long a call may take, if there is a limit.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        self.call_timeout
    }

    /// After how long a call is slow, if that matters.
    #[must_use]
    pub const fn slow_after(&self) -> Option<Duration> {
        self.slow
    }

    /// How many trials are let through.
    #[must_use]
    pub const fn permits(&self) -> u32 {
        self.permits
    }

    /// Whether a circuit can work by these rules.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<(), InvalidRules> {
        let wrong = |field, expected, got: &dyn fmt::Debug| {
            Err(InvalidRules {
                field,
                expected,
                got: format!("{got:?}"),
            })
        };
        match self.window {
            WindowSize::Count(count) if !(1..=MAX_COUNT).contains(&count) => {
                return wrong("window", "1 to 100000 calls", &count);
            }
            WindowSize::Time(time) if !is_whole_seconds(time) => {
                return wrong("window", "whole seconds from 1 s to 3600 s", &time);
            }
            WindowSize::Count(_) | WindowSize::Time(_) => {}
        }
        for (field, ratio) in [
            ("failure_ratio", self.failure_ratio),
            ("slow_ratio", self.slow_ratio),
            ("half_open_success", self.success),
        ] {
            // Written so that what is no number is refused.
            if !(ratio > 0.0 && ratio <= 1.0) {
                return wrong(field, "more than 0 and at most 1", &ratio);
            }
        }
        for (field, count) in [
            ("minimum_calls", Some(self.minimum_calls)),
            ("consecutive_failures", self.consecutive_failures),
        ] {
            if count == Some(0) {
                return wrong(field, "at least 1", &0);
            }
        }
        if !(1..=MAX_PERMITS).contains(&self.permits) {
            return wrong("half_open_permits", "1 to 10000 calls", &self.permits);
        }
        for (field, time) in [
            ("slow_threshold", self.slow),
            ("half_open_deadline", Some(self.deadline)),
            ("call_timeout", self.call_timeout),
        ] {
            if time == Some(Duration::ZERO) {
                return wrong(field, "more than 0 s", &Duration::ZERO);
            }
        }
        Ok(())
    }

    /// How many calls the ratios need, in this window.
    pub(super) fn needed_calls(&self) -> u64 {
        match self.window {
            WindowSize::Count(size) => self.minimum_calls.min(size).into(),
            WindowSize::Time(_) => self.minimum_calls.into(),
        }
    }

    /// What the trials have to reach.
    pub(super) fn bar(&self) -> Bar {
        Bar {
            permits: self.permits,
            successes: share_of(self.permits, self.success),
            slow: self.slow.map(|_| share_of(self.permits, self.slow_ratio)),
        }
    }
}

/// What the trials have to reach, as counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) permits: u32,
    /// So many have to succeed.
    pub(super) successes: u32,
    /// So many slow ones are too many, if slowness matters.
    pub(super) slow: Option<u32>,
}

/// The longest count window.
const MAX_COUNT: u32 = 100_000;

/// The most trials.
const MAX_PERMITS: u32 = 10_000;

/// The longest time window, in seconds.
const MAX_SECONDS: u64 = 3_600;

fn is_whole_seconds(time: Duration) -> bool {
    time.subsec_nanos() == 0 && (1..=MAX_SECONDS).contains(&time.as_secs())
}

/// The least count out of `all` that is this share of them or more; at least one.
fn share_of(all: u32, share: f64) -> u32 {
    (1..=all)
        .find(|part| f64::from(*part) / f64::from(all) >= share)
        .unwrap_or(all)
}

/// A rule that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRules {
    /// Which, as it is called by its setter.
    pub field: &'static str,
    /// What it may be.
    pub expected: &'static str,
    /// What it was.
    pub got: String,
}

impl fmt::Display for InvalidRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            expected,
            got,
        } = self;
        write!(f, "{field}: expected {expected}, got {got}")
    }
}

impl std::error::Error for InvalidRules {}
