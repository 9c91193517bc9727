//! What there is to do: jobs of a seeded shape.

use std::f64::consts::TAU;
use std::time::Duration;

use super::random::Random;

/// One thing to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// When it comes.
    pub arrival: Duration,
    /// How long a worker has to do with it.
    pub service: Duration,
}

/// Jobs in the order in which they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub jobs: Vec<Job>,
    /// Until when it lasts: over this time sizes are looked at.
    pub duration: Duration,
}

impl Load {
    /// The mean number of workers that are busy, if there are enough.
    pub fn offered(&self) -> f64 {
        let work: Duration = self.jobs.iter().map(|job| job.service).sum();
        work.as_secs_f64() / self.duration.as_secs_f64()
    }

    /// How many workers would be busy at the middle of each of so many parts of the time, if there were always enough.
    pub fn demand(&self, parts: u32) -> Vec<u32> {
        let mut changes: Vec<(Duration, i32)> = Vec::with_capacity(2 * self.jobs.len());
        for job in &self.jobs {
            changes.extend([(job.arrival, 1), (job.arrival + job.service, -1)]);
        }
        changes.sort_unstable();
        let mut changes = changes.into_iter().peekable();
        let mut busy = 0_i32;
        let middle = |part: u32| self.duration * (2 * part + 1) / (2 * parts);
        let mut at = |part| {
            while let Some((_, change)) = changes.next_if(|(at, _)| *at <= middle(part)) {
                busy += change;
            }
            busy.unsigned_abs()
        };
        (0..parts).map(&mut at).collect()
    }
}

/// How often jobs come: each a second.
#[derive(Clone, Copy, Debug)]
pub enum Rate {
    Flat(f64),
    /// Two rates; each lasts for a time that is exponentially distributed, with these means in seconds.
    Modulated {
        calm: f64,
        burst: f64,
        calm_for: f64,
        burst_for: f64,
    },
    /// From one to the other, at this second.
    Step {
        from: f64,
        to: f64,
        at: f64,
    },
    /// One and the other, so many seconds each.
    Square {
        low: f64,
        high: f64,
        half: f64,
    },
    /// From the lowest to the highest and back, in so many seconds.
    Sine {
        low: f64,
        high: f64,
        period: f64,
    },
}

/// How long jobs take.
#[derive(Clone, Copy, Debug)]
pub enum Service {
    Exponential { mean: f64 },
    Lognormal { mean: f64, sigma: f64 },
}

/// Jobs by a rule, and by chance.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    /// How often jobs come and how long they take, in words.
    pub what: &'static str,
    pub seconds: u32,
    pub rate: Rate,
    pub service: Service,
}

/// So long does a job take, where it is not said: a call to somebody who thinks about it.
const SECOND: Service = Service::Exponential { mean: 1.0 };

/// The shapes. Rates are those of the design's simulation; the burst of `mmpp` is made after the recorded trace: in seconds, the variance
/// of arrivals is 13 times their mean, and 3.6 workers are busy. `lognormal` is as many and as long jobs as conversations of
/// the same origin, of which 36.9 are under way.
pub const SHAPES: [Shape; 6] = [
    Shape {
        name: "poisson",
        what: "10 a second",
        seconds: 1_800,
        rate: Rate::Flat(10.0),
        service: SECOND,
    },
    Shape {
        name: "mmpp",
        what: "0.63 a second and bursts of 20, variance 13 × the mean",
        seconds: 3_600,
        rate: Rate::Modulated {
            calm: 0.63,
            burst: 20.0,
            calm_for: 45.0,
            burst_for: 5.0,
        },
        service: Service::Exponential { mean: 1.4 },
    },
    Shape {
        name: "step",
        what: "from 2 to 30 a second",
        seconds: 1_800,
        rate: Rate::Step {
            from: 2.0,
            to: 30.0,
            at: 600.0,
        },
        service: SECOND,
    },
    Shape {
        name: "square",
        what: "2 and 20 a second for 60 s each",
        seconds: 1_800,
        rate: Rate::Square {
            low: 2.0,
            high: 20.0,
            half: 60.0,
        },
        service: SECOND,
    },
    Shape {
        name: "sine",
        what: "2 to 30 a second and back in 600 s",
        seconds: 3_600,
        rate: Rate::Sine {
            low: 2.0,
            high: 30.0,
            period: 600.0,
        },
        service: SECOND,
    },
    Shape {
        name: "lognormal",
        what: "5.68 a second, for 6.5 s each with σ 0.6",
        seconds: 1_800,
        rate: Rate::Flat(5.68),
        service: Service::Lognormal {
            mean: 6.5,
            sigma: 0.6,
        },
    },
];

impl Shape {
    /// The jobs of one seed.
    pub fn load(&self, seed: u64) -> Load {
        let mut random = Random::new(seed);
        let arrivals = self.arrivals(&mut random);
        let job = |arrival| Job {
            arrival: Duration::from_secs_f64(arrival),
            service: Duration::from_secs_f64(self.service.draw(&mut random)),
        };
        Load {
            jobs: arrivals.into_iter().map(job).collect(),
            duration: Duration::from_secs(self.seconds.into()),
        }
    }

    /// Comes as often as at the highest rate, and is let through by the share that the rate is of it.
    fn arrivals(&self, random: &mut Random) -> Vec<f64> {
        let end = f64::from(self.seconds);
        let changes = self.rate.changes(end, random);
        let highest = self.rate.highest();
        let (mut arrivals, mut at, mut next) = (Vec::new(), 0.0, 0);
        loop {
            at += random.exponential(1.0 / highest);
            if at >= end {
                return arrivals;
            }
            while changes.get(next).is_some_and(|change| *change <= at) {
                next += 1;
            }
            if random.share() * highest < self.rate.at(at, next) {
                arrivals.push(at);
            }
        }
    }
}

impl Rate {
    fn highest(self) -> f64 {
        match self {
            Self::Flat(rate) => rate,
            Self::Modulated { calm, burst, .. } => burst.max(calm),
            Self::Step { from, to, .. } => from.max(to),
            Self::Square { high, .. } | Self::Sine { high, .. } => high,
        }
    }

    /// When it changes from calm to a burst and back, in turn.
    fn changes(self, end: f64, random: &mut Random) -> Vec<f64> {
        let Self::Modulated {
            calm_for,
            burst_for,
            ..
        } = self
        else {
            return Vec::new();
        };
        let (mut changes, mut at) = (Vec::new(), 0.0);
        while at < end {
            let is_burst = !changes.len().is_multiple_of(2);
            at += random.exponential(if is_burst { burst_for } else { calm_for });
            changes.push(at);
        }
        changes
    }

    /// How it is at this second, after so many changes.
    fn at(self, second: f64, changes: usize) -> f64 {
        match self {
            Self::Flat(rate) => rate,
            Self::Modulated { calm, .. } if changes.is_multiple_of(2) => calm,
            Self::Modulated { burst, .. } => burst,
            Self::Step { from, at, .. } if second < at => from,
            Self::Step { to, .. } => to,
            Self::Square { low, half, .. } if second % (2.0 * half) < half => low,
            Self::Square { high, .. } => high,
            Self::Sine { low, high, period } => {
                let turn = (TAU * second / period).cos();
                f64::midpoint(low, high) - (high - low) / 2.0 * turn
            }
        }
    }
}

impl Service {
    fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Exponential { mean } => random.exponential(mean),
            Self::Lognormal { mean, sigma } => random.lognormal(mean, sigma),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_offers_the_load_of_the_design() {
        let expected = [10.0, 3.6, 20.7, 11.0, 16.0, 36.9];
        for (shape, expected) in SHAPES.iter().zip(expected) {
            let seeds = 1..=10;
            let offered: f64 = seeds.map(|seed| shape.load(seed).offered()).sum();
            let ratio = offered / 10.0 / expected;
            assert!((ratio - 1.0).abs() < 0.04, "{}: {ratio}", shape.name);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_jobs_and_another_others() {
        for shape in SHAPES {
            assert_eq!(shape.load(3), shape.load(3));
            assert_ne!(shape.load(3), shape.load(4));
        }
    }

    #[test]
    fn the_burst_of_mmpp_is_that_of_the_recorded_trace() {
        let mmpp = SHAPES.iter().find(|shape| shape.name == "mmpp").unwrap();
        let (mut sum, mut squares) = (0.0, 0.0);
        for seed in 1..=20 {
            let mut counts = vec![0.0; 3_600];
            for job in mmpp.load(seed).jobs {
                counts[usize::try_from(job.arrival.as_secs()).unwrap()] += 1.0;
            }
            sum += counts.iter().sum::<f64>();
            squares += counts.iter().map(|count| count * count).sum::<f64>();
        }
        let mean = sum / 72_000.0;
        let ratio = (squares / 72_000.0 - mean * mean) / mean;
        assert!((12.0..14.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn demand_counts_what_is_under_way_with_workers_enough() {
        let second = Duration::from_secs;
        let job = |arrival, service| Job {
            arrival: second(arrival),
            service: second(service),
        };
        let load = Load {
            jobs: vec![job(0, 2), job(1, 3)],
            duration: second(5),
        };
        assert_eq!(load.demand(5), [1, 2, 1, 1, 0]);
        assert!((load.offered() - 1.0).abs() < 1e-9);
    }
}
