//! Which workers of a pool get no work for a while because they fail more often than the others: Envoy's outlier detection.
//!
//! A worker is ejected for one of two reasons. So many of its calls in a row have failed; or, when an interval is over, the share of
//! its calls that went well is far below that of the others: by more than 1.9 standard deviations below the mean of all that have had
//! enough calls, if enough of them have. It is out for a time that grows with each time, comes back by itself, and has to fail anew to
//! be out again. Where all fail alike nobody is an outlier, and however many fail, only a tenth is out at once.
//!
//! As in Envoy, one may always be out (`always_eject_one_host`). What Envoy's panic threshold is there for is simpler here: never all
//! of them are, so an only worker stays, however it fails; and who is out when the others leave comes back earlier. Beyond Envoy,
//! whoever comes back does at its time, not with the next interval, and where more are outliers than may be out the worst are.
//!
//! The contract: tell [`Outliers::join`] and [`Outliers::leave`] who is there, and [`Outliers::on_result`] how each call ended. Results
//! of a worker that is out, from calls that began before, count for nothing. [`Outliers::on_wakeup`] is wanted at
//! [`Outliers::next_wakeup`]: when somebody comes back, or an interval ends in which there is anything to compare. So workers that do
//! nothing wake nobody. A result costs O(log n), the end of an interval O(n log n) in the workers.
//!
//! ```
//! # use std::time::{Duration, Instant};
//! use regrow_core::outliers::{Change, OutlierRules, Outliers};
//! # #[expect(clippy::disallowed_methods)]
//! # let now = Instant::now();
//! let mut outliers = Outliers::new(OutlierRules::default()).unwrap();
//! outliers.join(1);
//! outliers.join(2);
//! let ejected = (0..5).find_map(|_| outliers.on_result(2, false, now)).unwrap();
//! assert_eq!(ejected.worker, 2);
//! assert!(outliers.is_ejected(2));
//! let back = outliers.next_wakeup().unwrap();
//! assert_eq!(back, now + Duration::from_secs(30));
//! assert_eq!(outliers.on_wakeup(back), [Change::Returned(2)]);
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

mod rules;
#[cfg(test)]
mod tests;

pub use crate::circuit::InvalidRules;
pub use rules::OutlierRules;

/// Who is out, and how the others do.
#[derive(Clone, Debug)]
pub struct Outliers {
    rules: OutlierRules,
    workers: BTreeMap<u64, Worker>,
    /// When each that is out comes back.
    returns: BTreeSet<(Instant, u64)>,
    /// When the interval ends that runs; none before the first result.
    end: Option<Instant>,
    /// Counts the intervals.
    interval: u64,
    /// How many have had enough calls in it.
    comparable: u32,
}

#[derive(Clone, Debug, Default)]
struct Worker {
    /// How many failures there were in a row.
    failures: u32,
    /// What it has done in this interval.
    interval: u64,
    calls: u64,
    successes: u64,
    /// How many times it was out when it was out last, less what was forgotten by then.
    ejections: u32,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// It was never out.
    #[default]
    New,
    Out {
        until: Instant,
    },
    /// It was.
    Back {
        since: Instant,
    },
}

impl Worker {
    const fn is_out(&self) -> bool {
        matches!(self.standing, Standing::Out { .. })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of calls in an interval"
    )]
    fn rate(&self) -> f64 {
        self.successes as f64 / self.calls as f64
    }

    /// How many of its ejections are not forgotten: one is in each interval since the last.
    fn ejections(&self, interval: Duration, now: Instant) -> u32 {
        match self.standing {
            Standing::New => 0,
            Standing::Out { .. } => self.ejections,
            Standing::Back { since } => {
                let good_for = now.saturating_duration_since(since).as_nanos();
                let forgotten = good_for / interval.as_nanos();
                let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
                self.ejections.saturating_sub(forgotten)
            }
        }
    }
}

/// Why a worker is out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// So many of its calls in a row have failed.
    Consecutive(u32),
    /// Too small a share of its calls in an interval went well.
    SuccessRate {
        /// Its share: 0 to 1.
        rate: f64,
        /// The mean of those that were compared.
        mean: f64,
        /// What it is below of.
        threshold: f64,
    },
}

/// A worker gets no work for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ejected {
    /// Which.
    pub worker: u64,
    /// Why.
    pub cause: Cause,
    /// Until when.
    pub until: Instant,
    /// How long that is.
    pub lasts: Duration,
    /// For the how-manieth time, less the intervals in which it was not out.
    pub ejections: u32,
}

/// What time has brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// A worker gets no work for a while.
    Ejected(Ejected),
    /// A worker gets work again.
    Returned(u64),
}

impl Outliers {
    /// No workers.
    ///
    /// # Errors
    /// When the rules are out of their range.
    pub fn new(rules: OutlierRules) -> Result<Self, InvalidRules> {
        rules.check()?;
        Ok(Self {
            rules,
            workers: BTreeMap::new(),
            returns: BTreeSet::new(),
            end: None,
            interval: 0,
            comparable: 0,
        })
    }

    /// By which rules it goes.
    pub const fn rules(&self) -> &OutlierRules {
        &self.rules
    }

    /// A worker is there. One that is already stays as it is.
    pub fn join(&mut self, worker: u64) {
        self.workers.entry(worker).or_default();
    }

    /// A worker is gone, and forgotten. If too many of those that are left are out, the one that would be back next is back at once.
    #[must_use = "somebody may be back"]
    pub fn leave(&mut self, worker: u64, now: Instant) -> Option<Change> {
        self.forget_calls(worker);
        let gone = self.workers.remove(&worker)?;
        if let Standing::Out { until } = gone.standing {
            self.returns.remove(&(until, worker));
        }
        if self.returns.len() <= self.rules.allowed(self.workers.len()) {
            return None;
        }
        let (_, next) = self.returns.pop_first()?;
        Some(self.put_back(next, now))
    }

    /// A call of a worker is over, well or not.
    #[must_use = "it may be put out"]
    pub fn on_result(&mut self, worker: u64, ok: bool, now: Instant) -> Option<Ejected> {
        self.begin_interval(now);
        let it = self.workers.get_mut(&worker)?;
        if it.is_out() {
            return None;
        }
        if it.interval != self.interval {
            (it.interval, it.calls, it.successes) = (self.interval, 0, 0);
        }
        it.calls += 1;
        if it.calls == u64::from(self.rules.min_calls) {
            self.comparable += 1;
        }
        if ok {
            it.successes += 1;
            it.failures = 0;
            return None;
        }
        it.failures += 1;
        if it.failures < self.rules.consecutive {
            return None;
        }
        // Also where it may not be ejected: then it has to fail as often once more.
        it.failures = 0;
        self.eject(worker, Cause::Consecutive(self.rules.consecutive), now)
    }

    /// Time has passed: those whose time is over come back, and if an interval is over those are ejected who were far below the others,
    /// the worst first.
    #[must_use = "they are to get work again, or none"]
    pub fn on_wakeup(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((until, worker)) = self.returns.first().copied() {
            if until > now {
                break;
            }
            self.returns.pop_first();
            changes.push(self.put_back(worker, until));
        }
        if self.end.is_some_and(|end| end <= now) {
            for (worker, cause) in self.compare() {
                let ejected = self.eject(worker, cause, now);
                changes.extend(ejected.map(Change::Ejected));
            }
            // What follows is of the next.
            self.comparable = 0;
            self.begin_interval(now);
        }
        changes
    }

    /// When [`Outliers::on_wakeup`] is wanted.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let back = self.returns.first().map(|(until, _)| *until);
        let end = self.end.filter(|_| self.is_comparable());
        back.into_iter().chain(end).min()
    }

    /// Whether this worker is to get no work.
    #[must_use]
    pub fn is_ejected(&self, worker: u64) -> bool {
        self.workers.get(&worker).is_some_and(Worker::is_out)
    }

    /// How many are out.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.returns.len()
    }

    /// How many workers there are, those that are out included.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Whether so many have had enough calls that there is something to compare.
    const fn is_comparable(&self) -> bool {
        self.comparable >= self.rules.min_workers
    }

    /// An interval that is over ends, unless there is something to compare in it: then it goes on until that is done.
    fn begin_interval(&mut self, now: Instant) {
        let end = match self.end {
            Some(end) if now < end || self.is_comparable() => return,
            Some(end) => end,
            None => now,
        };
        // They follow each other without gaps, whoever looks when.
        let gone = now.saturating_duration_since(end).as_nanos() % self.rules.interval.as_nanos();
        let gone = Duration::from_nanos(u64::try_from(gone).unwrap_or(0));
        self.end = now.checked_add(self.rules.interval.saturating_sub(gone));
        self.interval += 1;
        self.comparable = 0;
    }

    /// Those that were far below the others in the interval that is over, the worst first.
    fn compare(&self) -> Vec<(u64, Cause)> {
        if !self.is_comparable() {
            return Vec::new();
        }
        let enough = self.workers.iter().filter(|(_, it)| self.is_enough(it));
        let rates = enough.map(|(worker, it)| (it.rate(), *worker));
        let rates: Vec<(f64, u64)> = rates.collect();
        #[expect(clippy::cast_precision_loss, reason = "how many workers there are")]
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(rate, _)| rate).sum::<f64>() / count;
        let squares = rates.iter().map(|(rate, _)| (rate - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        let threshold = mean - self.rules.deviations * deviation;
        let mut below: Vec<_> = rates
            .into_iter()
            .filter(|(rate, _)| *rate < threshold - SAME)
            .collect();
        below.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let cause = |rate| Cause::SuccessRate {
            rate,
            mean,
            threshold,
        };
        let named = |(rate, worker)| (worker, cause(rate));
        below.into_iter().map(named).collect()
    }

    /// Whether it has had enough calls in this interval. One that is out has had none.
    const fn is_enough(&self, it: &Worker) -> bool {
        it.interval == self.interval && it.calls >= self.rules.min_calls as u64
    }

    /// What it has done in this interval is not compared.
    fn forget_calls(&mut self, worker: u64) {
        let it = self.workers.get(&worker);
        if it.is_some_and(|it| self.is_enough(it)) {
            self.comparable -= 1;
        }
        if let Some(it) = self.workers.get_mut(&worker) {
            (it.calls, it.successes) = (0, 0);
        }
    }

    /// Puts a worker out, if it may be.
    fn eject(&mut self, worker: u64, cause: Cause, now: Instant) -> Option<Ejected> {
        if self.returns.len() >= self.rules.allowed(self.workers.len()) {
            return None;
        }
        self.forget_calls(worker);
        let it = self.workers.get_mut(&worker)?;
        let ejections = it.ejections(self.rules.interval, now) + 1;
        let ejections = ejections.min(self.rules.remembered());
        let lasts = self.rules.duration(ejections);
        let until = now.checked_add(lasts)?;
        it.ejections = ejections;
        it.standing = Standing::Out { until };
        self.returns.insert((until, worker));
        Some(Ejected {
            worker,
            cause,
            until,
            lasts,
            ejections,
        })
    }

    /// A worker that is in no list of those that are out any more gets work again, and begins anew.
    fn put_back(&mut self, worker: u64, since: Instant) -> Change {
        if let Some(it) = self.workers.get_mut(&worker) {
            it.failures = 0;
            it.standing = Standing::Back { since };
        }
        Change::Returned(worker)
    }
}

/// Shares that differ by less are the same, and were only rounded.
const SAME: f64 = 1e-9;
