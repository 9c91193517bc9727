//! Whether there is more work than the workers can do.

use std::time::{Duration, Instant};

use super::rules::OverloadRules;

/// There is too much work from now on, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "each is to be told once"]
pub struct OverloadChange {
    /// Which of the two.
    pub overloaded: bool,
    /// The shortest wait within the interval that has led to it.
    pub min_wait: Duration,
    /// What it was held against.
    pub target: Duration,
}

/// The waits of one interval after the other, and what follows from their minimum.
#[derive(Debug)]
pub(super) struct Overload {
    rules: OverloadRules,
    pub(super) is_on: bool,
    /// The interval that runs; none before the first job.
    interval: Option<Interval>,
    /// How long a job takes on average.
    pub(super) service: Option<Duration>,
    pub(super) changed: Option<OverloadChange>,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    end: Instant,
    min_wait: Duration,
}

/// A job counts for one part in so many in the mean of how long jobs take.
const SMOOTHING: u32 = 8;

impl Overload {
    pub(super) const fn new(rules: OverloadRules) -> Self {
        Self {
            rules,
            is_on: false,
            interval: None,
            service: None,
            changed: None,
        }
    }

    pub(super) fn target(&self) -> Duration {
        self.rules.target(self.service.unwrap_or_default())
    }

    /// Who has waited longer is shed.
    pub(super) fn patience(&self) -> Duration {
        self.target().saturating_mul(2)
    }

    /// A job has taken so long.
    pub(super) fn served(&mut self, took: Duration) {
        self.service = Some(self.service.map_or(took, |mean| {
            mean.saturating_mul(SMOOTHING - 1).saturating_add(took) / SMOOTHING
        }));
    }

    /// Somebody asks for work: so long has that waited whose turn it is. Answers whether to shed. As in folly, nothing is shed at the
    /// moment of the judgement: more than one has to come in an interval before it begins.
    pub(super) fn on_pop(&mut self, waited: Duration, now: Instant) -> bool {
        match &mut self.interval {
            Some(interval) if now <= interval.end => {
                interval.min_wait = interval.min_wait.min(waited);
                return self.is_on;
            }
            Some(interval) => {
                let min_wait = interval.min_wait;
                self.judge(min_wait);
            }
            None => {}
        }
        let length = self.rules.interval_for(self.target());
        self.interval = now.checked_add(length).map(|end| Interval {
            end,
            min_wait: waited,
        });
        false
    }

    fn judge(&mut self, min_wait: Duration) {
        let target = self.target();
        let overloaded = min_wait > target;
        if overloaded != self.is_on {
            self.is_on = overloaded;
            self.changed = Some(OverloadChange {
                overloaded,
                min_wait,
                target,
            });
        }
    }
}
