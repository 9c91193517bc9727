//! Square waves without noise: what comes and goes within a window finds its workers, and what lasts longer moves them once each way.

use proptest::prelude::*;

use super::{Direction, ScalerRules, World};

/// A load that is high for a part of each period and low for the rest.
#[derive(Clone, Copy, Debug)]
struct Wave {
    low: u64,
    high: u64,
    period: f64,
    /// Which part of the period it is high.
    duty: f64,
    /// Where in the period it begins.
    begins: f64,
}

impl Wave {
    fn at(&self, second: u32) -> u64 {
        let phase = (f64::from(second) / self.period + self.begins).fract();
        if phase < self.duty {
            self.high
        } else {
            self.low
        }
    }

    fn seconds(&self, periods: f64) -> u32 {
        let seconds = (self.period * periods).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some thousands"
        )]
        {
            seconds as u32
        }
    }
}

fn wave(period: impl Strategy<Value = f64>) -> impl Strategy<Value = Wave> {
    let levels = (0_u64..40, 1_u64..120);
    (levels, period, 0.1_f64..0.9, 0.0_f64..1.0).prop_map(|((low, more), period, duty, begins)| {
        Wave {
            low,
            high: low + more,
            period,
            // It is high, and low, for a tick at least: what nobody sees nobody can follow.
            duty: duty.clamp(1.0 / period, 1.0 - 1.0 / period),
            begins,
        }
    })
}

/// The steps in each second of some periods.
fn steps(wave: Wave, periods: f64) -> Vec<Direction> {
    let mut world = World::new(ScalerRules::new(1, 500));
    let seconds = 0..wave.seconds(periods);
    seconds
        .map(|second| world.tick(wave.at(second)).direction())
        .collect()
}

/// How many runs of steps in one direction there are: a run ends with a step in the other.
fn runs(steps: &[Direction]) -> (usize, usize) {
    let (mut up, mut down) = (0, 0);
    let mut last = Direction::Hold;
    for step in steps {
        match step {
            Direction::Hold => {}
            Direction::Up if last == Direction::Up => {}
            Direction::Down if last == Direction::Down => {}
            Direction::Up => up += 1,
            Direction::Down => down += 1,
        }
        if *step != Direction::Hold {
            last = *step;
        }
    }
    (up, down)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_wave_within_the_window_takes_no_worker_away_after_its_first_period(wave in wave(2.0..=60.0)) {
        let steps = steps(wave, 12.0);
        let first = wave.seconds(1.0) as usize;
        let down = steps[first..].iter().position(|step| *step == Direction::Down);
        prop_assert_eq!(down, None);
    }

    #[test]
    fn a_longer_wave_moves_a_pool_once_each_way_in_a_period(wave in wave(60.0..=600.0)) {
        let periods = 8_u32;
        let steps = steps(wave, f64::from(periods));
        let (up, down) = runs(&steps);
        // The wave begins in the middle of a period, so the first may be cut in two.
        let most = periods as usize + 1;
        prop_assert!(up <= most && down <= most, "{} up, {} down", up, down);
        for period in 1..periods {
            let from = wave.seconds(f64::from(period)) as usize;
            let to = (wave.seconds(f64::from(period) + 1.0) as usize).min(steps.len());
            let (up, down) = runs(&steps[from..to]);
            // Where the period is cut may lie within a run, which is then in both parts.
            prop_assert!(up <= 2 && down <= 2 && up + down <= 3, "period {}: {} up, {} down", period, up, down);
        }
        let low = wave.period * (1.0 - wave.duty);
        let far = wave.high > 2 * wave.low + 8;
        if low > 180.0 && wave.period * wave.duty > 60.0 && far {
            prop_assert!(up >= periods as usize - 1 && down >= periods as usize - 1, "{} up, {} down", up, down);
        }
    }
}
