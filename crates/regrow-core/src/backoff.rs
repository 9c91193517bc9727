//! How long before the next start.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::rng::SplitMix64;

/// What precedes the first restart after a good life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRestart {
    /// Nothing: the first restart is immediate, the second waits.
    AtOnce,
    /// Nothing if the life lasted at least so long; such a restart does not lengthen the next delay either.
    AtOnceAfter(Duration),
    /// The first delay.
    Delayed,
}

/// Delays that grow from restart to restart: `min(cap, initial × factorⁿ)`, give or take the jitter.
///
/// `n` starts at 0 and returns to 0 after a life of at least `reset_after`. The library's default is [`Backoff::default`].
/// Delays and restart limits work against each other: a child whose delays exceed `period / max_restarts` can never use its
/// restarts up ([`Backoff::least_time_of`] tells).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    factor: f64,
    jitter: f64,
    reset_after: Duration,
    first: FirstRestart,
}

impl Default for Backoff {
    /// 100 ms × 2ⁿ, cap 30 s, jitter ± 20 %, reset after 60 s up, the first restart at once.
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100)..=Duration::from_secs(30)).jitter(0.2)
    }
}

impl Backoff {
    /// From the first delay to the cap, doubling; no jitter, reset after 60 s up, the first restart at once.
    ///
    /// A cap below the first delay makes every delay the cap.
    #[must_use]
    pub const fn exponential(delays: RangeInclusive<Duration>) -> Self {
        Self {
            initial: *delays.start(),
            cap: *delays.end(),
            factor: 2.0,
            jitter: 0.0,
            reset_after: Duration::from_secs(60),
            first: FirstRestart::AtOnce,
        }
    }

    /// No delay at all, as in OTP.
    #[must_use]
    pub const fn none() -> Self {
        Self::exponential(Duration::ZERO..=Duration::ZERO)
    }

    /// By how much each delay is longer than the one before; values below 1 and non-numbers count as 1.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// The share by which a delay may be shorter or longer, so that many children do not return in step; within `0.0 ..= 1.0`.
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share.max(0.0).min(1.0);
        self
    }

    /// The delays start over after a life of at least this length.
    #[must_use]
    pub const fn reset_after(mut self, uptime: Duration) -> Self {
        self.reset_after = uptime;
        self
    }

    /// What precedes the first restart.
    #[must_use]
    pub const fn first(mut self, first: FirstRestart) -> Self {
        self.first = first;
        self
    }

    /// The least time in which `restarts` delays pass, without jitter: if it exceeds a limit's period, that limit is never reached.
    #[must_use]
    pub fn least_time_of(&self, restarts: u32) -> Duration {
        let waits = match self.first {
            FirstRestart::AtOnce => restarts.saturating_sub(1),
            FirstRestart::AtOnceAfter(_) | FirstRestart::Delayed => restarts,
        };
        (0..waits).fold(Duration::ZERO, |sum, step| {
            sum.saturating_add(self.step(step))
        })
    }

    fn step(&self, step: u32) -> Duration {
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.factor.powi(exponent);
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(Duration::MAX)
            .min(self.cap)
    }
}

/// Where one child stands in its [`Backoff`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    restarts: u32,
    delays: u32,
}

/// What [`Attempts::on_failure`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct NextStart {
    /// How long to wait.
    pub delay: Duration,
    /// Which restart it is since the last good life, from 1.
    pub attempt: u32,
    /// Whether the life that ended was long enough to start the count over.
    pub reset: bool,
}

impl Attempts {
    /// A life of length `uptime` has ended and another shall follow; a start that failed has an uptime of zero.
    pub fn on_failure(
        &mut self,
        backoff: &Backoff,
        uptime: Duration,
        rng: &mut SplitMix64,
    ) -> NextStart {
        let reset = uptime >= backoff.reset_after && *self != Self::default();
        if reset {
            *self = Self::default();
        }
        let at_once = match backoff.first {
            FirstRestart::AtOnce => self.restarts == 0,
            FirstRestart::AtOnceAfter(good_life) => uptime >= good_life,
            FirstRestart::Delayed => false,
        };
        self.restarts = self.restarts.saturating_add(1);
        let delay = if at_once {
            Duration::ZERO
        } else {
            let plain = backoff.step(self.delays);
            self.delays = self.delays.saturating_add(1);
            jittered(plain, backoff.jitter, rng)
        };
        NextStart {
            delay,
            attempt: self.restarts,
            reset,
        }
    }

    /// An operator has begun anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn jittered(plain: Duration, share: f64, rng: &mut SplitMix64) -> Duration {
    let swing = 1.0 + share * (2.0 * rng.unit() - 1.0);
    Duration::try_from_secs_f64(plain.as_secs_f64() * swing).unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn delays(backoff: Backoff, uptimes: &[Duration]) -> Vec<u128> {
        let (mut attempts, mut rng) = (Attempts::default(), SplitMix64::new(1));
        uptimes
            .iter()
            .map(|up| {
                attempts
                    .on_failure(&backoff, *up, &mut rng)
                    .delay
                    .as_millis()
            })
            .collect()
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_others_double_up_to_the_cap() {
        let backoff = Backoff::exponential(MS(100)..=MS(1_000));
        assert_eq!(
            delays(backoff, &[MS(0); 7]),
            [0, 100, 200, 400, 800, 1_000, 1_000]
        );
    }

    #[test]
    fn a_long_life_starts_the_delays_over() {
        let backoff = Backoff::exponential(MS(100)..=MS(1_000)).reset_after(MS(500));
        assert_eq!(
            delays(backoff, &[MS(0), MS(0), MS(499), MS(500), MS(0)]),
            [0, 100, 200, 0, 100]
        );
    }

    #[test]
    fn the_program_restarts_at_once_only_after_a_life_of_ten_seconds() {
        let backoff = Backoff::exponential(MS(1_000)..=MS(60_000))
            .first(FirstRestart::AtOnceAfter(MS(10_000)));
        assert_eq!(
            delays(backoff, &[MS(0), MS(9_999), MS(10_000), MS(5)]),
            [1_000, 2_000, 0, 4_000]
        );
    }

    #[test]
    fn delayed_waits_from_the_first_restart_on() {
        let backoff = Backoff::exponential(MS(10)..=MS(15)).first(FirstRestart::Delayed);
        assert_eq!(delays(backoff, &[MS(0); 3]), [10, 15, 15]);
    }

    #[test]
    fn none_never_waits() {
        assert_eq!(delays(Backoff::none(), &[MS(0); 4]), [0, 0, 0, 0]);
    }

    #[test]
    fn jitter_stays_within_its_share_and_spreads() {
        let backoff = Backoff::exponential(MS(1_000)..=MS(1_000))
            .jitter(0.2)
            .first(FirstRestart::Delayed);
        let seen = delays(backoff, &[MS(0); 500]);
        assert!(seen.iter().all(|ms| (800..=1_200).contains(ms)), "{seen:?}");
        assert!(
            seen.iter().any(|ms| *ms < 850) && seen.iter().any(|ms| *ms > 1_150),
            "{seen:?}"
        );
    }

    #[test]
    fn the_reset_is_told_once_and_not_for_a_first_failure() {
        let backoff = Backoff::default();
        let (mut attempts, mut rng) = (Attempts::default(), SplitMix64::new(1));
        let long = Duration::from_secs(60);
        assert!(!attempts.on_failure(&backoff, long, &mut rng).reset);
        let next = attempts.on_failure(&backoff, long, &mut rng);
        assert!(next.reset && next.attempt == 1);
        attempts.clear();
        assert_eq!(attempts, Attempts::default());
    }

    #[test]
    fn many_restarts_do_not_overflow() {
        let backoff = Backoff::exponential(MS(1)..=Duration::MAX).factor(f64::MAX);
        assert_eq!(delays(backoff, &[MS(0); 40]).len(), 40);
        assert_eq!(
            Backoff::default().factor(f64::NAN).jitter(f64::NAN).step(9),
            MS(100)
        );
    }

    #[test]
    fn the_least_time_of_some_restarts_is_the_sum_of_their_delays() {
        let program = Backoff::exponential(MS(1_000)..=MS(60_000))
            .first(FirstRestart::AtOnceAfter(MS(10_000)));
        assert_eq!(program.least_time_of(5), MS(31_000));
        assert_eq!(
            Backoff::exponential(MS(100)..=MS(150)).least_time_of(4),
            MS(400)
        );
    }

    #[test]
    fn the_jitter_of_a_seed_is_always_the_same_and_more_of_the_unit_is_a_longer_delay() {
        let mut rng = SplitMix64::new(1);
        let units = [rng.unit(), rng.unit(), rng.unit()];
        let backoff = Backoff::exponential(MS(1_000)..=MS(1_000))
            .jitter(0.5)
            .first(FirstRestart::Delayed);
        let expected = units.map(|unit| MS(500) + MS(1_000).mul_f64(unit));
        let expected = expected.map(|delay| delay.as_millis());
        assert_eq!(delays(backoff, &[MS(0); 3]), expected);
    }

    #[test]
    fn a_share_of_jitter_beyond_its_bounds_is_the_nearest_bound() {
        assert_eq!(
            Backoff::default().jitter(7.0),
            Backoff::default().jitter(1.0)
        );
        assert_eq!(
            Backoff::default().jitter(-1.0),
            Backoff::default().jitter(0.0)
        );
        assert_eq!(
            Backoff::default().factor(0.5),
            Backoff::default().factor(1.0)
        );
    }
}
