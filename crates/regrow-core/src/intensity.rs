//! When to give up: so many restarts within so much time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most `max_restarts` within any window of length `period`.
///
/// The window is inclusive, as in OTP: with 3 per 5 s, the fourth restart within five seconds gives up. Unlike OTP's, which
/// counts whole seconds, it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartIntensity {
    max_restarts: u32,
    period: Duration,
}

impl RestartIntensity {
    /// `max_restarts` of 0 gives up at the first failure.
    #[must_use]
    pub const fn new(max_restarts: u32, period: Duration) -> Self {
        Self {
            max_restarts,
            period,
        }
    }

    /// How many restarts a window may hold.
    #[must_use]
    pub const fn max_restarts(self) -> u32 {
        self.max_restarts
    }

    /// How long the window is.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }
}

/// What a [`RestartWindow`] says of one more restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is within the limit; this many restarts are now in the window, itself included.
    Within(u32),
    /// It would be one too many; it was not counted.
    Exceeded,
}

/// The restarts of the last `period`.
///
/// A ring that never holds more than `max_restarts` instants, so a restart costs O(1) amortized however many are in the window.
/// It takes no memory before the first restart.
#[derive(Clone, Debug)]
pub struct RestartWindow {
    intensity: RestartIntensity,
    restarts: VecDeque<Instant>,
}

impl RestartWindow {
    /// An empty window.
    #[must_use]
    pub const fn new(intensity: RestartIntensity) -> Self {
        Self {
            intensity,
            restarts: VecDeque::new(),
        }
    }

    /// The limit that it holds.
    #[must_use]
    pub const fn intensity(&self) -> RestartIntensity {
        self.intensity
    }

    /// Counts one more restart, unless it would be one too many.
    pub fn record(&mut self, now: Instant) -> Verdict {
        self.forget_before(now);
        if self.len() >= self.intensity.max_restarts {
            return Verdict::Exceeded;
        }
        self.restarts.push_back(now);
        Verdict::Within(self.len())
    }

    /// How many restarts the window holds now.
    pub fn count(&mut self, now: Instant) -> u32 {
        self.forget_before(now);
        self.len()
    }

    /// Holds another limit from now on; the restarts that it has counted stay counted.
    pub fn set_intensity(&mut self, intensity: RestartIntensity) {
        self.intensity = intensity;
    }

    /// Forgets everything: an operator has begun anew.
    pub fn clear(&mut self) {
        self.restarts = VecDeque::new();
    }

    fn len(&self) -> u32 {
        u32::try_from(self.restarts.len()).unwrap_or(u32::MAX)
    }

    fn forget_before(&mut self, now: Instant) {
        while let Some(oldest) = self.restarts.front()
            && now.saturating_duration_since(*oldest) > self.intensity.period
        {
            self.restarts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::t0;

    fn window(max_restarts: u32, seconds: u64) -> RestartWindow {
        RestartWindow::new(RestartIntensity::new(
            max_restarts,
            Duration::from_secs(seconds),
        ))
    }

    #[test]
    fn the_boundary_of_the_window_is_inclusive() {
        let (mut window, start) = (window(1, 5), t0());
        assert_eq!(window.record(start), Verdict::Within(1));
        assert_eq!(
            window.record(start + Duration::from_secs(5)),
            Verdict::Exceeded
        );
        assert_eq!(
            window.record(start + Duration::from_nanos(5_000_000_001)),
            Verdict::Within(1)
        );
    }

    #[test]
    fn zero_restarts_gives_up_at_the_first() {
        assert_eq!(window(0, 5).record(t0()), Verdict::Exceeded);
    }

    #[test]
    fn an_exceeding_restart_is_not_counted() {
        let (mut window, start) = (window(2, 5), t0());
        assert_eq!(window.record(start), Verdict::Within(1));
        assert_eq!(window.record(start), Verdict::Within(2));
        assert_eq!(window.record(start), Verdict::Exceeded);
        assert_eq!(window.count(start), 2);
        assert_eq!(window.count(start + Duration::from_secs(6)), 0);
    }

    #[test]
    fn it_agrees_with_a_list_of_all_restarts() {
        let mut rng = crate::SplitMix64::new(7);
        for round in 0..200 {
            let (max, period) = (
                u32::try_from(rng.below(5)).unwrap(),
                Duration::from_millis(rng.below(50)),
            );
            let mut window = RestartWindow::new(RestartIntensity::new(max, period));
            let (mut counted, mut now): (Vec<Instant>, _) = (Vec::new(), t0());
            for _ in 0..100 {
                now += Duration::from_millis(rng.below(20));
                let held = counted
                    .iter()
                    .filter(|at| now.duration_since(**at) <= period)
                    .count();
                let expected = if held < max as usize {
                    counted.push(now);
                    Verdict::Within(u32::try_from(held + 1).unwrap())
                } else {
                    Verdict::Exceeded
                };
                assert_eq!(window.record(now), expected, "round {round}");
            }
        }
    }
}
