//! How much may wait, who gets how large a share, and when there is too much of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::circuit::InvalidRules;
use crate::words::words;

words! {
    /// What becomes of a job for which there is no room.
    pub enum Overflow {
        /// It waits outside until there is: that is its caller's to do, who gets it back.
        Wait = "wait",
        /// Its caller gets it back, and is told to try later.
        Reject = "reject",
        /// The oldest job goes instead, out of the lowest class in which one waits; none goes that is of a higher class than the new one.
        DropOldest = "drop_oldest",
        /// The newest job goes instead, out of the lowest class in which one waits; that is the new one itself, unless a lower class
        /// than its own has any.
        DropNewest = "drop_newest",
    }
}

/// The rules of one backlog. There is no default for how much may wait.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct BacklogRules {
    pub(super) max: usize,
    pub(super) overflow: Overflow,
    pub(super) weights: BTreeMap<Arc<str>, u32>,
    pub(super) ageing: Duration,
    pub(super) overload: Option<OverloadRules>,
}

impl BacklogRules {
    /// At most `max` jobs wait; with 0 none does, and each is refused that nobody takes at once.
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            overflow: Overflow::Wait,
            weights: BTreeMap::new(),
            ageing: Duration::from_secs(10),
            overload: None,
        }
    }

    /// What becomes of a job for which there is no room; it waits outside by default.
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// This tenant gets so many shares where others get one; 1 by default, at most 1,000,000.
    pub fn weight(mut self, tenant: impl Into<Arc<str>>, weight: u32) -> Self {
        self.weights.insert(tenant.into(), weight);
        self
    }

    /// Whoever has waited so long moves one class up, and one more each time that it has waited so long again; 10 s by default.
    /// [`Duration::MAX`] is never.
    pub const fn ageing(mut self, ageing: Duration) -> Self {
        self.ageing = ageing;
        self
    }

    /// What is done when there is more work than the workers can do; nothing by default.
    pub const fn overload(mut self, rules: OverloadRules) -> Self {
        self.overload = Some(rules);
        self
    }

    /// Whether a backlog can work by these rules.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<(), InvalidRules> {
        for (tenant, weight) in &self.weights {
            if !(1..=MAX_WEIGHT).contains(weight) {
                let got = format!("{weight} for {tenant:?}");
                return wrong("weight", "1 to 1000000", got);
            }
        }
        if self.ageing.is_zero() {
            return wrong("ageing", "more than 0 s", "0 s");
        }
        self.overload.as_ref().map_or(Ok(()), OverloadRules::check)
    }

    /// How many jobs may wait.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.max
    }

    pub(super) fn weight_of(&self, tenant: &str) -> u32 {
        self.weights.get(tenant).copied().unwrap_or(1)
    }
}

/// The largest weight.
const MAX_WEIGHT: u32 = 1_000_000;

/// How long jobs should wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// So long.
    Fixed(Duration),
    /// Half as long as a job takes on average, and at least 50 ms: the numbers of remote calls would shed every job of a model.
    Auto,
}

/// When there is more work than the workers can do. The rule is that of folly's `Codel.cpp`: a queue is there to be emptied, so it is
/// too long when within a whole interval *nobody* has waited less than the target. Then jobs that have waited for more than two
/// targets are shed, and the newest is taken first, whose caller is most likely to be there still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct OverloadRules {
    pub(super) target: Target,
    interval: Option<Duration>,
}

impl OverloadRules {
    /// Intervals of 20 targets.
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            interval: None,
        }
    }

    /// For short calls: 5 ms in each interval of 100 ms.
    pub const fn rpc() -> Self {
        Self::new(Target::Fixed(Duration::from_millis(5))).interval(Duration::from_millis(100))
    }

    /// How long is looked on before it is judged; 20 targets by default.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    fn check(&self) -> Result<(), InvalidRules> {
        let least = match self.target {
            Target::Fixed(Duration::ZERO) => return wrong("target", "more than 0 s", "0 s"),
            Target::Fixed(target) => target,
            Target::Auto => LEAST_TARGET,
        };
        let interval = self.interval_for(least);
        if interval > crate::LONGEST {
            return wrong("interval", "up to 100 years", format!("{interval:?}"));
        }
        match self.interval {
            Some(interval) if interval <= least => {
                let got = format!("{interval:?} and {least:?}");
                wrong("interval", "more than the target", got)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The target, where a job takes so long on average.
    pub(super) fn target(&self, service: Duration) -> Duration {
        match self.target {
            Target::Fixed(target) => target,
            Target::Auto => LEAST_TARGET.max(service / 2),
        }
    }

    pub(super) fn interval_for(&self, target: Duration) -> Duration {
        self.interval.unwrap_or(target.saturating_mul(20))
    }
}

/// The least target that is chosen by itself.
const LEAST_TARGET: Duration = Duration::from_millis(50);

fn wrong(
    field: &'static str,
    expected: &'static str,
    got: impl fmt::Display,
) -> Result<(), InvalidRules> {
    let got = got.to_string();
    Err(InvalidRules {
        field,
        expected,
        got,
    })
}
