//! How many workers a pool may have, and by which numbers its size follows the work.

use std::fmt;
use std::time::Duration;

/// What a signal counts for that has been missing for longer than three looks. Until then it holds the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fallback {
    /// The size that there is.
    #[default]
    Hold,
    /// As few workers as there may be.
    Min,
    /// So many.
    Fixed(u32),
    /// So many, or the size that there is if that is higher.
    HigherOf(u32),
}

/// The rules of one pool's size.
///
/// The defaults are those of the simulation that `regrow-bench` repeats: demand smoothed over 15 s, workers busy for three quarters of
/// their time, nearly all of it as soon as work has to wait, no step down within 60 s of a time that needed more.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ScalerRules {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) target: u32,
    pub(super) concurrency: u32,
    pub(super) tick: Duration,
    pub(super) smoothing: Duration,
    pub(super) utilisation: f64,
    pub(super) burst: f64,
    pub(super) tolerance: f64,
    pub(super) window: Duration,
    pub(super) grow_least: u32,
    pub(super) grow_ratio: f64,
    pub(super) shrink_least: u32,
    pub(super) shrink_ratio: f64,
    pub(super) idle_to_zero: Duration,
    pub(super) queue_age: Option<Duration>,
    pub(super) fallback: Fallback,
}

impl ScalerRules {
    /// Between `min` and `max` workers. A pool whose `min` is 0 has none when there has been nothing to do for
    /// [`idle_to_zero`](Self::idle_to_zero).
    pub const fn new(min: u32, max: u32) -> Self {
        Self {
            min,
            max,
            target: min,
            concurrency: 1,
            tick: Duration::from_secs(1),
            smoothing: Duration::from_secs(15),
            utilisation: 0.75,
            burst: 0.97,
            tolerance: 0.05,
            window: Duration::from_secs(60),
            grow_least: 4,
            grow_ratio: 1.0,
            shrink_least: 1,
            shrink_ratio: 0.25,
            idle_to_zero: Duration::from_secs(300),
            queue_age: None,
            fallback: Fallback::Hold,
        }
    }

    /// With how many workers the pool begins; `min` by default. It keeps them for one window, whatever there is to do.
    pub const fn target(mut self, target: u32) -> Self {
        self.target = target;
        self
    }

    /// How many jobs a worker has at once; 1 by default.
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How often it is decided; every second by default. Each look costs O(1).
    pub const fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Over how much time demand is smoothed, as the time constant of an exponential mean; 15 s by default.
    pub const fn smoothing(mut self, time: Duration) -> Self {
        self.smoothing = time;
        self
    }

    /// Which share of their time workers are to be busy, on average; 0.75 by default.
    pub const fn utilisation(mut self, share: f64) -> Self {
        self.utilisation = share;
        self
    }

    /// Which share of the workers what there is at this moment may keep busy, as soon as work has to wait; 0.97 by default.
    pub const fn burst(mut self, share: f64) -> Self {
        self.burst = share;
        self
    }

    /// By which share the size may be off before anything is done about it; 0.05 by default, half of what
    /// Kubernetes' HPA has.
    pub const fn tolerance(mut self, share: f64) -> Self {
        self.tolerance = share;
        self
    }

    /// How long a need is remembered: there is no step below what was needed within this time. 60 s by default; for workers that
    /// take long to start, 300 s.
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How many workers are added at one look at most: so many, or this share of those there are, whichever is more. 4 and 1.0 by
    /// default.
    pub const fn growth(mut self, least: u32, ratio: f64) -> Self {
        self.grow_least = least;
        self.grow_ratio = ratio;
        self
    }

    /// How many workers are taken away at one look at most: so many, or this share of those there are, whichever is more. 1 and 0.25
    /// by default.
    pub const fn shrinkage(mut self, least: u32, ratio: f64) -> Self {
        self.shrink_least = least;
        self.shrink_ratio = ratio;
        self
    }

    /// How long there has to be nothing to do before a pool whose `min` is 0 gives up its last worker; 300 s by default.
    pub const fn idle_to_zero(mut self, time: Duration) -> Self {
        self.idle_to_zero = time;
        self
    }

    /// How old the oldest waiting job may be: a second signal beside demand. There is none by default.
    pub const fn queue_age(mut self, age: Duration) -> Self {
        self.queue_age = Some(age);
        self
    }

    /// What a signal counts for that is missing; the size that there is by default.
    pub const fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// As few as there may be.
    #[must_use]
    pub const fn min(&self) -> u32 {
        self.min
    }

    /// As many as there may be.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// With how many it begins.
    #[must_use]
    pub const fn initial(&self) -> u32 {
        self.target
    }

    /// How often it is decided.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.tick
    }

    /// How many jobs a worker has at once.
    #[must_use]
    pub const fn jobs_at_once(&self) -> u32 {
        self.concurrency
    }

    /// # Errors
    /// Names the rule that is out of its range, or does not go with another.
    pub fn check(&self) -> Result<(), InvalidScaler> {
        let share = |share: f64| share > 0.0 && share <= 1.0;
        let refused = |rule, reason| Err(InvalidScaler { rule, reason });
        if self.max == 0 {
            return refused(
                "max",
                "a pool needs at least 1 worker at its largest, not 0",
            );
        }
        if self.min > self.max {
            return refused("min", "expected min <= max");
        }
        if self.target < self.min || self.target > self.max {
            return refused("target", "expected min <= target <= max");
        }
        if self.concurrency == 0 {
            return refused("concurrency", "a worker has at least 1 job at once, not 0");
        }
        let times = [
            ("tick", Some(self.tick)),
            ("smoothing", Some(self.smoothing)),
            ("queue_age", self.queue_age),
        ];
        for (rule, time) in times {
            if time.is_some_and(|time| time.is_zero() || time > crate::LONGEST) {
                return refused(
                    rule,
                    "expected more than no time at all, and up to 100 years",
                );
            }
        }
        if !share(self.utilisation) {
            return refused("utilisation", "expected a share above 0 and up to 1");
        }
        if !share(self.burst) {
            return refused("burst", "expected a share above 0 and up to 1");
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            return refused("tolerance", "expected a share from 0 to below 1");
        }
        if self.window < self.tick {
            return refused("window", "expected at least one tick");
        }
        let positive = |ratio: f64| ratio.is_finite() && ratio >= 0.0;
        if !positive(self.grow_ratio) || (self.grow_least == 0 && self.grow_ratio <= 0.0) {
            return refused(
                "growth",
                "expected a way to grow: at least 1 worker, or a share above 0",
            );
        }
        if !share(self.shrink_ratio.max(f64::MIN_POSITIVE)) || self.shrink_ratio < 0.0 {
            return refused("shrinkage", "expected a share from 0 to 1");
        }
        if self.shrink_least == 0 && self.shrink_ratio <= 0.0 {
            return refused(
                "shrinkage",
                "expected a way to shrink: at least 1 worker, or a share above 0",
            );
        }
        Ok(())
    }
}

/// Rules by which no pool can be sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidScaler {
    /// Which.
    pub rule: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for InvalidScaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.reason)
    }
}

impl std::error::Error for InvalidScaler {}
