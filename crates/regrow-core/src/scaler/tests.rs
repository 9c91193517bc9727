//! The rules one by one, then waves and random histories.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::t0;

mod limits;
mod rest;
mod waves;

const SECOND: Duration = Duration::from_secs(1);

/// A pool that has at once what was decided, and work that is said.
struct World {
    scaler: Scaler,
    size: u32,
    now: Instant,
}

impl World {
    fn new(rules: ScalerRules) -> Self {
        let now = t0();
        let size = rules.initial();
        let scaler = Scaler::new(rules, now).unwrap();
        Self { scaler, size, now }
    }

    /// What so many jobs look like with as many workers as there are.
    fn inputs(&self, jobs: u64) -> Inputs {
        let room = u64::from(self.size) * u64::from(self.scaler.rules().jobs_at_once());
        let in_flight = jobs.min(room);
        let load = Load {
            in_flight,
            queued: jobs - in_flight,
            oldest: Duration::ZERO,
        };
        Inputs {
            size: self.size,
            load: Some(load),
            ..Inputs::default()
        }
    }

    fn step(&mut self, inputs: Inputs) -> Decision {
        self.now += self.scaler.rules().period();
        let decision = self.scaler.on_tick(inputs, self.now);
        self.size = decision.to;
        decision
    }

    fn tick(&mut self, jobs: u64) -> Decision {
        let inputs = self.inputs(jobs);
        self.step(inputs)
    }

    fn ticks(&mut self, count: u32, jobs: u64) -> Decision {
        let mut last = self.tick(jobs);
        for _ in 1..count {
            last = self.tick(jobs);
        }
        last
    }
}

#[test]
fn work_that_waits_is_met_at_once_doubling_at_most() {
    let mut world = World::new(ScalerRules::new(1, 64));
    let sizes: Vec<_> = (0..5).map(|_| world.tick(40).to).collect();
    assert_eq!(sizes, [5, 10, 20, 40, 40], "with 40 nothing waits");
    assert_eq!(
        world.tick(41).to,
        43,
        "and some are to be free when something does"
    );
}

#[test]
fn smoothed_demand_asks_for_workers_that_are_busy_three_quarters_of_their_time() {
    let mut world = World::new(ScalerRules::new(1, 64).target(40));
    let decision = world.ticks(200, 31);
    assert_eq!(
        (decision.wanted, decision.to),
        (40, 40),
        "42 are within a twentieth of that"
    );
    let mut world = World::new(ScalerRules::new(1, 64).target(40).tolerance(0.0));
    let decision = world.ticks(200, 31);
    assert_eq!((decision.wanted, decision.to), (42, 42));
}

#[test]
fn there_is_no_step_down_within_a_window_of_a_need() {
    let mut world = World::new(ScalerRules::new(1, 64));
    world.ticks(10, 18);
    let high = world.size;
    for second in 0..59 {
        let decision = world.tick(0);
        assert_eq!(decision.to, high, "after {second} s");
    }
    let decision = world.tick(0);
    assert_eq!(
        (decision.to, decision.limit),
        (high - high / 4, Some(Limit::Rate))
    );
    assert_eq!(decision.direction(), Direction::Down);
}

#[test]
fn it_goes_down_by_a_quarter_and_at_least_one_at_a_time() {
    let mut world = World::new(ScalerRules::new(1, 64).target(16));
    world.ticks(60, 0);
    let mut sizes = vec![world.size];
    sizes.extend((0..9).map(|_| world.tick(0).to));
    assert_eq!(sizes, [12, 9, 7, 6, 5, 4, 3, 2, 1, 1]);
}

#[test]
fn the_size_it_begins_with_is_kept_for_a_window() {
    let mut world = World::new(ScalerRules::new(2, 64).target(10));
    assert_eq!(world.ticks(59, 0).to, 10);
    assert!(world.tick(0).to < 10);
}

#[test]
fn bounds_hold_and_say_so() {
    let mut world = World::new(ScalerRules::new(2, 6));
    let decision = world.ticks(5, 100);
    assert_eq!((decision.to, decision.limit), (6, Some(Limit::AtMax)));
    let decision = world.ticks(200, 0);
    assert_eq!((decision.to, decision.limit), (2, Some(Limit::AtMin)));
    // A size that is out of its bounds comes in at once.
    world.size = 40;
    assert_eq!(world.tick(100).to, 6);
    let mut world = World::new(ScalerRules::new(2, 6));
    world.size = 0;
    assert_eq!(world.tick(0).to, 2);
}

#[test]
fn a_pool_that_may_have_none_has_none_after_a_long_time_and_one_at_the_first_job() {
    let rules = ScalerRules::new(0, 8).idle_to_zero(Duration::from_secs(100));
    let mut world = World::new(rules);
    assert_eq!(world.tick(1).to, 1, "the first job needs one and no more");
    assert_eq!(world.ticks(99, 0).to, 1);
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.trigger), (0, Trigger::Idle));
    assert_eq!(
        decision.to_string(),
        "down from 1 to 0: there has been nothing to do for long"
    );
    assert_eq!(world.tick(0).to, 0);
}

#[test]
fn workers_with_several_jobs_at_once_are_fewer() {
    let mut world = World::new(ScalerRules::new(1, 64).concurrency(10));
    assert_eq!(
        world.ticks(5, 40).to,
        5,
        "40 jobs are 4 workers' work, and a tenth is to be free"
    );
}

#[test]
fn the_highest_signal_goes_up_and_all_must_agree_on_the_way_down() {
    let mut world = World::new(ScalerRules::new(1, 64).target(4));
    let signal = |value| Signal {
        name: "tokens".into(),
        value: Some(value),
        target: 100.0,
    };
    let inputs = Inputs {
        signals: vec![signal(150.0)],
        ..world.inputs(0)
    };
    let decision = world.step(inputs);
    assert_eq!((decision.to, decision.trigger), (6, Trigger::Signal));
    assert_eq!(
        decision.to_string(),
        "up from 4 to 6: 6 are asked for by tokens, 150.0 where 100.0 is to be"
    );
    for _ in 0..200 {
        let inputs = Inputs {
            signals: vec![signal(104.0)],
            ..world.inputs(0)
        };
        assert_eq!(
            world.step(inputs).to,
            6,
            "within a twentieth it agrees to nothing"
        );
    }
}

#[test]
fn a_missing_signal_holds_and_then_falls_back() {
    let run = |fallback: Fallback, looks: u32| {
        let rules = ScalerRules::new(2, 64).target(8).window(SECOND);
        let mut world = World::new(rules.fallback(fallback));
        let inputs = |size| Inputs {
            size,
            ..Inputs::default()
        };
        (0..looks).map(|_| world.step(inputs(world.size)).to).last()
    };
    for fallback in [
        Fallback::Hold,
        Fallback::Min,
        Fallback::Fixed(20),
        Fallback::HigherOf(20),
    ] {
        assert_eq!(run(fallback, 3), Some(8), "{fallback:?}");
    }
    assert_eq!(run(Fallback::Hold, 50), Some(8));
    assert_eq!(run(Fallback::Min, 4), Some(6), "a quarter at a time");
    assert_eq!(run(Fallback::Fixed(20), 5), Some(20));
    assert_eq!(run(Fallback::HigherOf(3), 50), Some(8));
}

#[test]
fn a_signal_that_is_no_number_is_missing() {
    let mut world = World::new(ScalerRules::new(1, 64).target(8).window(SECOND));
    let signal = Signal {
        name: "tokens".into(),
        value: Some(f64::NAN),
        target: 100.0,
    };
    for _ in 0..10 {
        let inputs = Inputs {
            signals: vec![signal.clone()],
            ..world.inputs(0)
        };
        let decision = world.step(inputs);
        assert_eq!((decision.to, decision.trigger), (8, Trigger::Fallback));
    }
}

#[test]
fn work_that_waits_too_long_is_a_signal() {
    let mut world = World::new(ScalerRules::new(1, 64).target(8).queue_age(SECOND));
    let mut inputs = world.inputs(8);
    inputs.load = Some(Load {
        in_flight: 0,
        queued: 1,
        oldest: 2 * SECOND,
    });
    let decision = world.step(inputs);
    assert_eq!((decision.to, decision.trigger), (16, Trigger::Queue));
    assert!(
        decision.to_string().contains("the oldest has waited 2 s"),
        "{decision}"
    );
}

#[test]
fn what_is_foreseen_is_a_floor() {
    let mut world = World::new(ScalerRules::new(1, 64).target(4));
    let inputs = Inputs {
        forecast: Some(7),
        ..world.inputs(0)
    };
    let decision = world.step(inputs);
    assert_eq!((decision.to, decision.trigger), (7, Trigger::Forecast));
    assert_eq!(world.ticks(59, 0).to, 7, "it is remembered like any need");
}

#[test]
fn what_is_shared_with_others_limits_growth_and_takes_nobody_away() {
    let mut world = World::new(ScalerRules::new(1, 64).target(4));
    let shared = |quota| Some(quota);
    let inputs = Inputs {
        quota: shared(5),
        ..world.inputs(40)
    };
    let decision = world.step(inputs);
    assert_eq!((decision.to, decision.limit), (5, Some(Limit::Quota)));
    let inputs = Inputs {
        quota: shared(3),
        ..world.inputs(40)
    };
    let decision = world.step(inputs);
    assert_eq!((decision.to, decision.limit), (5, Some(Limit::Quota)));
    assert!(decision.to_string().ends_with("leaves it 3"), "{decision}");
}

#[test]
fn workers_that_do_not_start_are_not_multiplied() {
    let mut world = World::new(ScalerRules::new(1, 64).target(4));
    let inputs = Inputs {
        start_backoff: true,
        ..world.inputs(40)
    };
    let decision = world.step(inputs);
    assert_eq!(
        (decision.to, decision.limit),
        (4, Some(Limit::StartBackoff))
    );
}

#[test]
fn an_operator_sets_a_size_at_once_within_max_and_quota() {
    let mut world = World::new(ScalerRules::new(2, 64));
    world.scaler.set_mode(ScaleMode::Manual(30));
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.trigger), (30, Trigger::Manual));
    assert_eq!(
        decision.to_string(),
        "up from 2 to 30: an operator has set 30"
    );
    world.scaler.set_mode(ScaleMode::Manual(1));
    assert_eq!(world.tick(50).to, 1, "whatever there is to do");
    world.scaler.set_mode(ScaleMode::Manual(99));
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.limit), (64, Some(Limit::AtMax)));
    world.scaler.set_mode(ScaleMode::Auto);
    assert_eq!(world.ticks(59, 0).to, 64, "it goes on from there");
    assert_eq!(world.ticks(100, 0).to, 2);
}

#[test]
fn a_paused_pool_stays_and_an_observed_one_says_what_it_would_do() {
    let mut world = World::new(ScalerRules::new(2, 64));
    world.scaler.set_mode(ScaleMode::Paused);
    let decision = world.tick(10);
    assert_eq!(
        (decision.to, decision.wanted, decision.limit),
        (2, 11, Some(Limit::Paused))
    );
    world.scaler.set_mode(ScaleMode::ObserveOnly);
    let decision = world.tick(10);
    assert_eq!(
        (decision.to, decision.wanted, decision.limit),
        (2, 11, Some(Limit::ObserveOnly))
    );
    let decision = world.ticks(200, 0);
    assert_eq!(
        (decision.to, decision.limit),
        (2, Some(Limit::AtMin)),
        "what it would do is nothing"
    );
}

#[test]
fn rules_that_cannot_be_are_refused() {
    let text = |rules: ScalerRules| rules.check().unwrap_err().to_string();
    let fine = || ScalerRules::new(1, 8);
    assert_eq!(text(ScalerRules::new(8, 2)), "min: expected min <= max");
    assert_eq!(
        text(ScalerRules::new(0, 0)),
        "max: a pool needs at least 1 worker at its largest, not 0"
    );
    assert_eq!(
        text(fine().target(9)),
        "target: expected min <= target <= max"
    );
    assert_eq!(
        text(fine().concurrency(0)),
        "concurrency: a worker has at least 1 job at once, not 0"
    );
    assert_eq!(
        text(fine().tick(Duration::ZERO)),
        "tick: expected more than no time at all, and up to 100 years"
    );
    assert_eq!(
        text(fine().smoothing(Duration::ZERO)),
        "smoothing: expected more than no time at all, and up to 100 years"
    );
    assert_eq!(
        text(fine().utilisation(1.5)),
        "utilisation: expected a share above 0 and up to 1"
    );
    assert_eq!(
        text(fine().burst(f64::NAN)),
        "burst: expected a share above 0 and up to 1"
    );
    assert_eq!(
        text(fine().tolerance(1.0)),
        "tolerance: expected a share from 0 to below 1"
    );
    assert_eq!(
        text(fine().window(Duration::ZERO)),
        "window: expected at least one tick"
    );
    assert_eq!(
        text(fine().growth(0, 0.0)),
        "growth: expected a way to grow: at least 1 worker, or a share above 0"
    );
    assert_eq!(
        text(fine().shrinkage(0, 0.0)),
        "shrinkage: expected a way to shrink: at least 1 worker, or a share above 0"
    );
    assert_eq!(
        text(fine().shrinkage(1, 1.5)),
        "shrinkage: expected a share from 0 to 1"
    );
    assert_eq!(
        text(fine().queue_age(Duration::ZERO)),
        "queue_age: expected more than no time at all, and up to 100 years"
    );
    let mut scaler = Scaler::new(fine(), t0()).unwrap();
    assert!(scaler.reconfigure(ScalerRules::new(8, 2)).is_err());
    assert_eq!(*scaler.rules(), fine());
}

#[test]
fn it_looks_again_after_a_tick() {
    let now = t0();
    let mut scaler = Scaler::new(ScalerRules::new(1, 8), now).unwrap();
    assert_eq!(scaler.next_wakeup(), Some(now + SECOND));
    scaler.on_tick(Inputs::default(), now + 3 * SECOND);
    assert_eq!(scaler.next_wakeup(), Some(now + 4 * SECOND));
}

#[test]
fn words_are_those_of_metrics() {
    let words: Vec<_> = Limit::ALL.iter().map(|limit| limit.as_str()).collect();
    assert_eq!(
        words,
        [
            "at_max",
            "at_min",
            "stabilising",
            "rate",
            "quota",
            "start_backoff",
            "busy",
            "paused",
            "observe_only"
        ]
    );
}

fn loads() -> impl Strategy<Value = Vec<(u8, u64)>> {
    proptest::collection::vec((1_u8..30, 0_u64..200), 1..40)
}

proptest! {
    /// It stays within its bounds and its steps, comes to rest, and what was told suffices to decide the same again.
    #[test]
    fn sizes_keep_their_bounds_and_can_be_replayed(min in 0_u32..6, more in 1_u32..60, c in 1_u32..4, loads in loads()) {
        let rules = ScalerRules::new(min, min + more).concurrency(c);
        let mut world = World::new(rules.clone());
        let mut replayed = Scaler::new(rules, world.now).unwrap();
        for (ticks, jobs) in loads {
            for _ in 0..ticks {
                let before = world.size;
                let decision = world.tick(jobs);
                prop_assert!(decision.to >= min && decision.to <= min + more);
                prop_assert!(decision.to <= before + before.max(4));
                prop_assert!(decision.to + (before / 4).max(1) >= before);
                let again = replayed.on_tick(decision.inputs.clone(), world.now);
                prop_assert_eq!(again, decision);
            }
        }
        let rest = world.ticks(600, 17).to;
        for _ in 0..100 {
            prop_assert_eq!(world.tick(17).to, rest);
        }
    }

    /// At one look more work never asks for fewer.
    #[test]
    fn more_work_never_asks_for_fewer(loads in loads(), jobs in 0_u64..200, extra in 0_u64..50) {
        let mut world = World::new(ScalerRules::new(0, 300));
        for (ticks, jobs) in loads {
            world.ticks(ticks.into(), jobs);
        }
        let now = world.now + SECOND;
        let to = |jobs| world.scaler.clone().on_tick(world.inputs(jobs), now).to;
        prop_assert!(to(jobs) <= to(jobs + extra));
    }
}
