//! Kubernetes' horizontal pod autoscaler (HPA) with its defaults.
//!
//! The rules are those of `pkg/controller/podautoscaler/horizontal.go` and of the API's defaults: a look every 15 s, a target of 80 %, a
//! tolerance of a tenth; up by 100 % or four in a look, down as far as the highest wish of the last 300 s. What is measured is
//! jobs for each worker, those that wait included: busy processors alone would never ask for more than a quarter more.

use std::collections::VecDeque;
use std::time::Duration;

use super::policy::{Policy, Seen};

const SYNC: Duration = Duration::from_secs(15);
const TARGET: f64 = 0.8;
const TOLERANCE: f64 = 0.1;
const STABILISATION: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Hpa {
    /// Demand until the last look.
    area: f64,
    wishes: VecDeque<(Duration, u32)>,
}

impl Hpa {
    /// What there is at first counts as wished for.
    pub fn new(size: u32) -> Self {
        Self {
            area: 0.0,
            wishes: VecDeque::from([(Duration::ZERO, size)]),
        }
    }
}

impl Policy for Hpa {
    fn tick(&self) -> Duration {
        SYNC
    }

    fn decide(&mut self, seen: &Seen) -> u32 {
        let demand = (seen.area - self.area) / SYNC.as_secs_f64();
        self.area = seen.area;
        let ratio = demand / (f64::from(seen.size) * TARGET);
        let wish = if (ratio - 1.0).abs() <= TOLERANCE {
            seen.size
        } else {
            // No more than a hundred million jobs.
            (f64::from(seen.size) * ratio).ceil() as u32
        };
        self.wishes.push_back((seen.now, wish));
        let from = seen.now.saturating_sub(STABILISATION);
        while seen.now > STABILISATION && self.wishes.front().is_some_and(|(at, _)| *at <= from) {
            self.wishes.pop_front();
        }
        if wish >= seen.size {
            return wish.min((2 * seen.size).max(seen.size + 4));
        }
        let highest = self.wishes.iter().map(|(_, wish)| *wish).max();
        highest.unwrap_or(wish).min(seen.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::policy::tests::seen;

    /// The sizes of so many looks, with this demand all the time and a pool that has at once what was decided.
    fn looks(hpa: &mut Hpa, from: u32, first: u32, count: u32, demand: u32) -> Vec<u32> {
        let mut size = from;
        let mut look = |number: u32| {
            let busy = demand.min(size);
            let seen = Seen {
                now: SYNC * number,
                area: hpa.area + f64::from(demand) * SYNC.as_secs_f64(),
                ..seen(size, busy, demand - busy)
            };
            size = hpa.decide(&seen);
            size
        };
        (first..first + count).map(&mut look).collect()
    }

    #[test]
    fn it_goes_up_by_as_many_as_there_are_or_four() {
        let sizes = looks(&mut Hpa::new(1), 1, 1, 5, 40);
        assert_eq!(sizes, [5, 10, 20, 40, 50]);
    }

    #[test]
    fn a_tenth_more_or_less_changes_nothing() {
        assert_eq!(looks(&mut Hpa::new(10), 10, 1, 1, 8), [10]);
        let mut hpa = Hpa::new(100);
        assert_eq!(looks(&mut hpa, 100, 1, 1, 87), [100]);
        assert_eq!(looks(&mut hpa, 100, 2, 1, 89), [112]);
    }

    #[test]
    fn it_goes_down_to_the_highest_wish_of_five_minutes() {
        let mut hpa = Hpa::new(1);
        looks(&mut hpa, 1, 1, 4, 16);
        let sizes = looks(&mut hpa, 20, 5, 24, 4);
        assert_eq!(sizes[..19], [20; 19]);
        assert_eq!(sizes[19..], [5; 5]);
    }
}
