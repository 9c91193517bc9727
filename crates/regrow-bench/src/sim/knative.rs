//! Knative's pod autoscaler (KPA) with its defaults, for workers that take one job at a time.
//!
//! The rules are those of `Scale` in `pkg/autoscaler/scaling/autoscaler.go` of Knative Serving, with its configuration
//! `config-autoscaler` as it comes. What it measures is exact here: there is no scrape that comes late.

use std::collections::VecDeque;
use std::time::Duration;

use super::policy::{Policy, Seen};

const TICK: Duration = Duration::from_secs(2);
const STABLE: Duration = Duration::from_secs(60);
/// `panic-window-percentage` 10 of the stable window.
const PANIC: Duration = Duration::from_secs(6);
/// `panic-threshold-percentage` 200.
const PANIC_THRESHOLD: f64 = 2.0;
/// `container-concurrency-target-percentage` 70, of a concurrency of 1.
const TARGET: f64 = 0.7;
const MAX_SCALE_UP: f64 = 1_000.0;
const MAX_SCALE_DOWN: f64 = 2.0;

#[derive(Debug)]
pub struct Knative {
    /// When it was so bad for the last time that it panicked, if it still does.
    panicked: Option<Duration>,
    /// How many workers were wanted at most since then.
    panic_size: f64,
    /// What was seen of demand, one look after the other, for as long as the stable window.
    areas: VecDeque<(Duration, f64)>,
}

impl Knative {
    /// With more than one worker there is panic at first, so that a new one does not take away what an old one had reason for.
    pub fn new(size: u32) -> Self {
        Self {
            panicked: (size > 1).then_some(Duration::ZERO),
            panic_size: f64::from(size),
            areas: VecDeque::from([(Duration::ZERO, 0.0)]),
        }
    }

    /// Mean demand over a window, or since the beginning.
    fn mean(&self, seen: &Seen, window: Duration) -> f64 {
        let from = seen.now.saturating_sub(window);
        let first = self.areas.iter().find(|(at, _)| *at >= from);
        let mean = first.map_or(0.0, |(at, area)| {
            (seen.area - area) / (seen.now - *at).as_secs_f64()
        });
        // Knative, too, cuts its means after six digits.
        (mean * 1e6).round() / 1e6
    }
}

impl Policy for Knative {
    fn tick(&self) -> Duration {
        TICK
    }

    fn decide(&mut self, seen: &Seen) -> u32 {
        let ready = f64::from((seen.size - seen.starting).max(1));
        let (highest, lowest) = (ready * MAX_SCALE_UP, (ready / MAX_SCALE_DOWN).floor());
        let asked = |mean: f64| (mean / TARGET).ceil();
        let stable = asked(self.mean(seen, STABLE));
        let panic = asked(self.mean(seen, PANIC));
        self.areas.push_back((seen.now, seen.area));
        let from = (seen.now + TICK).saturating_sub(STABLE);
        while self.areas.front().is_some_and(|(at, _)| *at < from) {
            self.areas.pop_front();
        }

        if panic / ready >= PANIC_THRESHOLD {
            self.panicked = Some(seen.now);
        } else if self.panicked.is_some_and(|at| at + STABLE < seen.now) {
            self.panicked = None;
            self.panic_size = 0.0;
        }
        let mut wanted = stable.max(lowest).min(highest);
        if self.panicked.is_some() {
            self.panic_size = self
                .panic_size
                .max(panic.clamp(lowest, highest))
                .max(wanted);
            wanted = self.panic_size;
        }
        // Never to zero here; and a size is a whole number already.
        wanted.max(1.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::policy::tests::seen;

    /// A pool that has at once what was decided, and demand that stays as it is between looks.
    struct World {
        knative: Knative,
        now: Duration,
        area: f64,
        size: u32,
    }

    impl World {
        fn new(size: u32) -> Self {
            Self {
                knative: Knative::new(size),
                now: Duration::ZERO,
                area: 0.0,
                size,
            }
        }

        /// The sizes of so many looks with this demand.
        fn looks(&mut self, count: usize, demand: u32) -> Vec<u32> {
            let look = |_| {
                self.now += TICK;
                self.area += f64::from(demand) * TICK.as_secs_f64();
                let busy = demand.min(self.size);
                let seen = Seen {
                    now: self.now,
                    area: self.area,
                    ..seen(self.size, busy, demand - busy)
                };
                self.size = self.knative.decide(&seen);
                self.size
            };
            (0..count).map(look).collect()
        }
    }

    #[test]
    fn workers_are_to_be_busy_for_seventy_percent() {
        assert_eq!(World::new(1).looks(40, 7).last(), Some(&10));
        assert_eq!(World::new(1).looks(40, 8).last(), Some(&12));
    }

    #[test]
    fn a_burst_is_met_by_the_mean_of_six_seconds_where_that_asks_for_twice_as_many() {
        let mut world = World::new(1);
        world.looks(40, 7);
        // 2 of 6 s with 28: a mean of 14, for which 20 are wanted, twice what there is.
        assert_eq!(world.looks(1, 28), [20]);
        assert_eq!(world.looks(2, 28).last(), Some(&40));
        let mut world = World::new(1);
        world.looks(40, 7);
        // A mean of 13 asks for 19; that of 60 s is 7.6.
        assert_eq!(world.looks(1, 25), [11]);
    }

    #[test]
    fn in_panic_it_never_goes_down_and_panic_ends_a_stable_window_after_its_last_reason() {
        let mut world = World::new(1);
        world.looks(40, 7);
        world.looks(3, 28);
        // The last reason was 2 s ago: 40 are wanted, and 30 were there.
        let sizes = world.looks(40, 7);
        let held = sizes.iter().take_while(|size| **size == 40).count();
        assert!((27..=30).contains(&held), "{sizes:?}");
        assert_eq!(sizes[held..][..2], [20, 10], "by half at most");
    }

    #[test]
    fn it_begins_in_panic_with_what_there_is_if_that_is_more_than_one() {
        let sizes = World::new(8).looks(33, 0);
        assert_eq!(sizes[..30], [8; 30]);
        assert_eq!(sizes[30..], [4, 2, 1]);
        assert_eq!(World::new(1).knative.panicked, None);
    }

    #[test]
    fn growth_is_bounded_by_those_who_are_ready_and_there_is_always_one() {
        let mut world = World::new(1);
        assert_eq!(world.looks(1, 5_000), [1_000]);
        assert_eq!(World::new(1).looks(40, 0).last(), Some(&1));
    }
}
