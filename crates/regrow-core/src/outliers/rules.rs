//! What makes a worker an outlier, and for how long it is out.

use std::fmt;
use std::time::Duration;

use crate::circuit::InvalidRules;

/// The rules by which workers are judged. The defaults are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct OutlierRules {
    pub(super) consecutive: u32,
    pub(super) interval: Duration,
    pub(super) base: Duration,
    pub(super) cap: Duration,
    max_ejected: f64,
    pub(super) deviations: f64,
    pub(super) min_workers: u32,
    pub(super) min_calls: u32,
}

impl Default for OutlierRules {
    fn default() -> Self {
        Self {
            consecutive: 5,
            interval: Duration::from_secs(10),
            base: Duration::from_secs(30),
            cap: Duration::from_secs(300),
            max_ejected: 0.1,
            deviations: 1.9,
            min_workers: 5,
            min_calls: 100,
        }
    }
}

impl OutlierRules {
    /// So many failures in a row eject a worker; 5 by default.
    pub const fn consecutive(mut self, failures: u32) -> Self {
        self.consecutive = failures;
        self
    }

    /// How long calls are counted before their shares are compared, and how long a worker has to be in for one of its ejections to be
    /// forgotten; 10 s by default.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a worker is out: so long for the first time, twice as long for the second, and so on; 30 s by default.
    pub const fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// How long it is out at most; 300 s by default.
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// At most this share of the workers is out at once, rounded down, but one may be in any case; 0.1 by default. Never all of them.
    pub const fn max_ejected(mut self, share: f64) -> Self {
        self.max_ejected = share;
        self
    }

    /// A worker is ejected whose share of successes is so many standard deviations below the mean; 1.9 by default.
    pub const fn deviations(mut self, deviations: f64) -> Self {
        self.deviations = deviations;
        self
    }

    /// Shares are compared when so many workers have had enough calls; 5 by default. One of n lies below the mean by √(n − 1)
    /// deviations at most: of five by 2.
    pub const fn min_workers(mut self, workers: u32) -> Self {
        self.min_workers = workers;
        self
    }

    /// So many calls in an interval are enough; 100 by default.
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Whether workers can be judged by these rules.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<(), InvalidRules> {
        for (field, count, least) in [
            ("consecutive", self.consecutive, 1),
            ("min_workers", self.min_workers, 2),
            ("min_calls", self.min_calls, 1),
        ] {
            if count < least {
                let expected = if least == 1 {
                    "at least 1"
                } else {
                    "at least 2"
                };
                return wrong(field, expected, &count);
            }
        }
        for (field, time) in [("interval", self.interval), ("base", self.base)] {
            if time.is_zero() {
                return wrong(field, "more than 0 s", &time);
            }
        }
        for (field, time) in [("interval", self.interval), ("cap", self.cap)] {
            if time > crate::LONGEST {
                return wrong(field, "up to 100 years", &time);
            }
        }
        if self.cap < self.base {
            return wrong("cap", "no less than base", &self.cap);
        }
        // Written so that what is no number is refused.
        if !(self.max_ejected > 0.0 && self.max_ejected <= 1.0) {
            let field = "max_ejected";
            return wrong(field, "more than 0 and at most 1", &self.max_ejected);
        }
        if !(self.deviations > 0.0 && self.deviations.is_finite()) {
            return wrong("deviations", "a number of more than 0", &self.deviations);
        }
        Ok(())
    }

    /// How many of so many workers may be out at once.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of how many workers there are, rounded down"
    )]
    pub(super) fn allowed(&self, workers: usize) -> usize {
        // What is missing of a whole one by rounding is not missing.
        let share = (self.max_ejected * workers as f64 + 1e-9) as usize;
        share.max(1).min(workers.saturating_sub(1))
    }

    /// How many ejections of one worker are remembered: as many as the cap needs, so that they are forgotten in time.
    pub(super) fn remembered(&self) -> u32 {
        let most = self.cap.as_nanos().div_ceil(self.base.as_nanos());
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// How long a worker is out that is ejected for the n-th time.
    pub(super) fn duration(&self, ejections: u32) -> Duration {
        self.base.saturating_mul(ejections).min(self.cap)
    }
}

fn wrong(
    field: &'static str,
    expected: &'static str,
    got: &dyn fmt::Debug,
) -> Result<(), InvalidRules> {
    let got = format!("{got:?}");
    Err(InvalidRules {
        field,
        expected,
        got,
    })
}
