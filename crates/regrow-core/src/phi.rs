//! Whether one that should give a sign of life now and then still lives: the φ accrual failure detector.
//!
//! A fixed timeout is too short for one whose beats come irregularly and too long for one whose beats come like a clock. This one
//! learns how a source beats and tells how unlikely its present silence is: φ = −log₁₀ of the probability that a beat comes even later
//! than now. At φ = 8 that is one in a hundred million. (Hayashibara et al., *The φ accrual failure detector*, 2004.)
//!
//! The formula, and what is done at the edges, are Pekko's (`PhiAccrualFailureDetector`): a logistic approximation of the normal
//! distribution, a bootstrap with two samples around the interval that is expected, a least deviation, a pause that is acceptable
//! beside it, and a first beat after a failure that is no sample, since one long silence would blur what was learned.
//!
//! Beyond it: the detector says when the silence will be too long ([`Heartbeats::next_deadline`]), so that nobody has to ask again and
//! again; time that was slept through, by the machine or by whoever should have asked, is not held against the source; and the time
//! of a source that is held stands still.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How a source's silence is judged; [`PhiRules::default`] has the numbers of a Pekko cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhiRules {
    /// How often a beat is expected before it is known: 1 s by default.
    pub interval: Duration,
    /// From this φ on it counts as dead: 8 by default.
    pub threshold: f64,
    /// So many intervals are remembered: 200 by default.
    pub samples: usize,
    /// Beats that come like a clock are still allowed this deviation: 100 ms by default.
    pub min_deviation: Duration,
    /// Silence beyond the usual that is nothing to worry about, such as a collection of garbage: 3 s by default.
    pub pause: Duration,
}

impl Default for PhiRules {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            threshold: 8.0,
            samples: 200,
            min_deviation: Duration::from_millis(100),
            pause: Duration::from_secs(3),
        }
    }
}

impl PhiRules {
    /// The defaults, for a source that is to beat every `interval`; two beats that are lost in a row are acceptable too, for with
    /// the pause alone every beat that one of long intervals loses would be an alarm.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        let rules = Self::default();
        Self {
            interval,
            pause: rules.pause.max(interval.saturating_mul(2)),
            ..rules
        }
    }

    /// Whether they can work.
    ///
    /// # Errors
    /// The first field that cannot be so.
    pub fn check(&self) -> Result<(), InvalidPhi> {
        let error = |field, expected, found: &dyn fmt::Debug| {
            Err(InvalidPhi {
                field,
                expected,
                found: format!("{found:?}"),
            })
        };
        if self.interval.is_zero() {
            return error("interval", "a time of more than 0", &self.interval);
        }
        if !(self.threshold > 0.0 && self.threshold <= MOST) {
            return error("threshold", "more than 0 and at most 300", &self.threshold);
        }
        if self.samples == 0 {
            return error("samples", "at least 1", &self.samples);
        }
        if self.min_deviation.is_zero() {
            let field = "min_deviation";
            return error(field, "a time of more than 0", &self.min_deviation);
        }
        Ok(())
    }
}

/// A number that is beyond all doubt, and still one that can be computed with.
const MOST: f64 = 300.0;

/// A rule that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPhi {
    /// Which field of [`PhiRules`].
    pub field: &'static str,
    /// What would be right.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for InvalidPhi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            expected,
            found,
        } = self;
        write!(f, "{field}: expected {expected}, got {found}")
    }
}

impl std::error::Error for InvalidPhi {}

/// What is new about a source. Told once for each change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeartbeatNews {
    /// Its silence is too long: it counts as dead.
    Missed {
        /// How long it has been silent.
        age: Duration,
        /// How unlikely that is.
        phi: f64,
    },
    /// It counted as dead, and has given a sign of life.
    Recovered {
        /// How long it had been silent.
        age: Duration,
    },
}

/// The beats of one source, in one life.
///
/// It is armed by the first beat: before that nothing is expected. After each call, set one timer to [`Heartbeats::next_deadline`]
/// and call [`Heartbeats::on_tick`] when it fires. A beat costs O(1), and 4 bytes for each sample that is remembered.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    rules: PhiRules,
    /// By so many deviations a silence exceeds the usual when φ is the threshold.
    deviations: f64,
    intervals: Intervals,
    last: Option<Instant>,
    /// It counts as dead.
    is_missed: bool,
    /// Silence is not held against it before this.
    not_before: Option<Instant>,
    paused: Option<Instant>,
}

impl Heartbeats {
    /// A source that has not beaten yet. The rules are such as [`PhiRules::check`] lets pass.
    #[must_use]
    pub fn new(rules: PhiRules) -> Self {
        Self {
            rules,
            deviations: deviations_of(rules.threshold),
            intervals: Intervals::new(rules.samples),
            last: None,
            is_missed: false,
            not_before: None,
            paused: None,
        }
    }

    /// It gives a sign of life.
    pub fn on_beat(&mut self, now: Instant) -> Option<HeartbeatNews> {
        self.on_resume(now);
        let age = self.age(now);
        match age {
            None => {
                let (mean, quarter) = (self.rules.interval, self.rules.interval / 4);
                self.intervals.push(mean - quarter);
                self.intervals.push(mean + quarter);
            }
            // Handed in after a later one, or the first after a failure: no sample.
            Some(_) if self.last > Some(now) => {}
            Some(age) if self.phi(now) < self.rules.threshold => self.intervals.push(age),
            Some(_) => {}
        }
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        self.not_before = None;
        let age = age.filter(|_| std::mem::take(&mut self.is_missed))?;
        Some(HeartbeatNews::Recovered { age })
    }

    /// Time has passed.
    ///
    /// Who comes later than the deadline by more than the acceptable pause has been asleep, and beats may wait to be handed in: the
    /// verdict is put off by one pause, once in a silence.
    pub fn on_tick(&mut self, now: Instant) -> Option<HeartbeatNews> {
        let deadline = self.next_deadline().filter(|deadline| *deadline <= now)?;
        let late = now.saturating_duration_since(deadline);
        if late > self.rules.pause && self.not_before.is_none() {
            self.not_before = Some(now + self.rules.pause);
            return None;
        }
        self.is_missed = true;
        Some(HeartbeatNews::Missed {
            age: self.age(now)?,
            phi: self.phi(now),
        })
    }

    /// The source is held: its silence is nobody's fault.
    pub fn on_pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    /// It goes on.
    pub fn on_resume(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            let held = now.saturating_duration_since(since);
            self.last = self.last.map(|last| last + held);
            self.not_before = self.not_before.map(|at| at + held);
        }
    }

    /// When its silence will be too long; `None` before the first beat, while it is held, and when it already is.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let last = self.last?;
        if self.is_missed || self.paused.is_some() {
            return None;
        }
        let deadline = last.checked_add(self.longest_silence())?;
        Some(self.not_before.map_or(deadline, |at| at.max(deadline)))
    }

    /// How long it may be silent, as things stand: at that time φ is the threshold.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        let seconds = self.mean() + self.deviation() * self.deviations;
        // A microsecond more, so that rounding does not leave φ below the threshold when the time has come.
        Duration::try_from_secs_f64(seconds.max(0.0) + 1e-6).unwrap_or(Duration::MAX)
    }

    /// How unlikely its silence is; 0 before the first beat. While it is held, as it was when that began.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let now = self.paused.unwrap_or(now);
        self.age(now).map_or(0.0, |age| {
            phi_of((age.as_secs_f64() - self.mean()) / self.deviation())
        })
    }

    /// Whether it counts as dead.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.is_missed
    }

    /// How long it has been silent; `None` before the first beat.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let now = self.paused.unwrap_or(now);
        self.last.map(|last| now.saturating_duration_since(last))
    }

    /// How it is judged.
    #[must_use]
    pub fn rules(&self) -> &PhiRules {
        &self.rules
    }

    /// The usual silence in seconds, the acceptable pause included.
    fn mean(&self) -> f64 {
        self.intervals.mean() + self.rules.pause.as_secs_f64()
    }

    fn deviation(&self) -> f64 {
        let least = self.rules.min_deviation.as_secs_f64();
        self.intervals.deviation().max(least)
    }
}

/// φ of a silence that is longer than the mean by `y` standard deviations.
///
/// 1 − 1 ∕ (1 + e^(−y·(1.5976 + 0.070566·y²))) is the upper tail of the normal distribution, off by at most 1.5 × 10⁻⁴.
#[must_use]
pub fn phi_of(y: f64) -> f64 {
    let exponent = y * (1.5976 + 0.070_566 * y * y);
    // −log₁₀ of e^−x ∕ (1 + e^−x), in a form that neither overflows nor underflows.
    let natural = if exponent > 0.0 {
        exponent + (-exponent).exp().ln_1p()
    } else {
        exponent.exp().ln_1p()
    };
    natural / std::f64::consts::LN_10
}

/// The `y` of which φ is `threshold`: the inverse of [`phi_of`].
fn deviations_of(threshold: f64) -> f64 {
    let (mut low, mut high) = (-20.0, 30.0);
    // Enough halvings for every bit of the result that matters.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if phi_of(middle) < threshold {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The last intervals between beats, with what their mean and deviation are made of.
#[derive(Clone, Debug)]
struct Intervals {
    /// In milliseconds.
    newest: VecDeque<u32>,
    most: usize,
    sum: u64,
    squares: u128,
}

impl Intervals {
    fn new(most: usize) -> Self {
        Self {
            newest: VecDeque::new(),
            most: most.max(1),
            sum: 0,
            squares: 0,
        }
    }

    fn push(&mut self, interval: Duration) {
        let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        if self.newest.len() == self.most
            && let Some(oldest) = self.newest.pop_front()
        {
            self.sum -= u64::from(oldest);
            self.squares -= u128::from(oldest).pow(2);
        }
        self.newest.push_back(millis);
        self.sum += u64::from(millis);
        self.squares += u128::from(millis).pow(2);
    }

    /// In seconds; 0 when there is none.
    #[expect(clippy::cast_precision_loss, reason = "some bits of a mean are enough")]
    fn mean(&self) -> f64 {
        self.sum as f64 / self.newest.len().max(1) as f64 / 1_000.0
    }

    /// In seconds, of the whole population, as Pekko has it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "some bits of a deviation are enough"
    )]
    fn deviation(&self) -> f64 {
        let n = self.newest.len().max(1) as u128;
        // n² times the variance, in whole numbers: nothing is lost where the deviation is small beside the mean.
        let scaled = (n * self.squares).saturating_sub(u128::from(self.sum).pow(2));
        (scaled as f64).sqrt() / n as f64 / 1_000.0
    }
}
