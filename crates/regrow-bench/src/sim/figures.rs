//! What is said of a run, and of the runs of all seeds.

use std::time::Duration;

use super::pool::Run;
use crate::table::median;

/// Two actions that undo each other within this time are a flap.
const FLAP: Duration = Duration::from_secs(30);

/// The figures of a run, with their units.
pub const FIGURES: [(Figure, &str, &str); 5] = [
    (Figure::WaitP50, "wait_p50", "s"),
    (Figure::WaitP99, "wait_p99", "s"),
    (Figure::WorkersMean, "workers_mean", "workers"),
    (Figure::Flaps, "flaps", "1/h"),
    (Figure::WorkersMax, "workers_max", "workers"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// How long a job waited before a worker had it, in the middle.
    WaitP50,
    /// The same, for the 99th of a hundred.
    WaitP99,
    /// Workers, those that start included, over the time of the load.
    WorkersMean,
    /// How often in an hour more workers were followed by fewer, or fewer by more, within 30 s.
    Flaps,
    /// The largest size.
    WorkersMax,
}

impl Figure {
    pub fn of(self, run: &Run, duration: Duration) -> f64 {
        match self {
            Self::WaitP50 => percentile(&run.waits, 50),
            Self::WaitP99 => percentile(&run.waits, 99),
            Self::WorkersMean => mean(&run.sizes, duration),
            Self::Flaps => {
                f64::from(flaps(&run.sizes, duration)) * 3_600.0 / duration.as_secs_f64()
            }
            Self::WorkersMax => {
                let within = run.sizes.iter().filter(|(at, _)| *at < duration);
                within.map(|(_, size)| *size).max().unwrap_or(0).into()
            }
        }
    }
}

/// The least wait that so many of a hundred do not exceed.
fn percentile(waits: &[Duration], percent: usize) -> f64 {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    let wait = sorted.get(rank.saturating_sub(1));
    wait.copied().unwrap_or_default().as_secs_f64()
}

fn mean(sizes: &[(Duration, u32)], duration: Duration) -> f64 {
    let ends = sizes.iter().skip(1).map(|(at, _)| *at).chain([duration]);
    let parts = sizes.iter().zip(ends).map(|((from, size), to)| {
        let held = to.min(duration).saturating_sub(*from);
        f64::from(*size) * held.as_secs_f64()
    });
    parts.sum::<f64>() / duration.as_secs_f64()
}

fn flaps(sizes: &[(Duration, u32)], duration: Duration) -> u32 {
    let mut last = None;
    let mut flaps = 0;
    for pair in sizes.windows(2) {
        let (at, is_up) = (pair[1].0, pair[1].1 > pair[0].1);
        if at >= duration {
            break;
        }
        if last.is_some_and(|(before, was_up)| is_up != was_up && at - before <= FLAP) {
            flaps += 1;
        }
        last = Some((at, is_up));
    }
    flaps
}

/// The values of one figure, one for each seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Values(pub Vec<f64>);

impl Values {
    pub fn median(&self) -> f64 {
        median(&self.0)
    }

    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn of_a_hundred_waits_the_99th_counts() {
        let waits: Vec<_> = (1..=100).rev().map(second).collect();
        assert_eq!(percentile(&waits, 99), 99.0);
        assert_eq!(percentile(&waits, 50), 50.0);
        assert_eq!(percentile(&waits[..1], 99), 100.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }

    #[test]
    fn workers_count_for_as_long_as_there_are_so_many_and_the_load_lasts() {
        let sizes = [(second(0), 1), (second(5), 3), (second(20), 9)];
        assert_eq!(mean(&sizes, second(10)), 2.0);
    }

    #[test]
    fn a_flap_is_an_action_that_undoes_the_last_within_30_s() {
        let at = |sizes: &[(u64, u32)]| {
            let sizes: Vec<_> = sizes.iter().map(|(at, n)| (second(*at), *n)).collect();
            flaps(&sizes, second(1_000))
        };
        assert_eq!(at(&[(0, 1), (10, 2), (40, 1)]), 1);
        assert_eq!(at(&[(0, 1), (10, 2), (41, 1)]), 0);
        assert_eq!(at(&[(0, 1), (10, 2), (20, 3), (30, 2), (35, 3)]), 2);
        assert_eq!(at(&[(0, 1), (990, 2), (1_000, 1)]), 0, "the load is over");
    }
}
