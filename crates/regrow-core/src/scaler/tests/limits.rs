//! What stands in the way of what is asked for, and what is remembered.

use super::*;

#[test]
fn a_pool_says_that_it_grows_step_by_step() {
    let mut world = World::new(ScalerRules::new(1, 64));
    let decision = world.tick(40);
    assert_eq!((decision.to, decision.limit), (5, Some(Limit::Rate)));
    assert_eq!(decision.demand(), 40);
    let decision = world.tick(8);
    assert_eq!((decision.to, decision.limit), (9, None));
    assert_eq!(decision.demand(), 8, "3 of them wait");
}

#[test]
fn a_pool_says_that_more_was_needed_a_moment_ago() {
    let mut world = World::new(ScalerRules::new(2, 64).target(10));
    let decision = world.tick(0);
    assert_eq!(
        (decision.to, decision.limit),
        (10, Some(Limit::Stabilising))
    );
    // Above its bounds nothing is waited for.
    let mut world = World::new(ScalerRules::new(2, 6));
    world.ticks(5, 100);
    world.size = 40;
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.limit), (6, None));
}

#[test]
fn the_last_step_down_is_held_up_by_nothing() {
    let mut world = World::new(ScalerRules::new(2, 6).target(3));
    let decision = world.ticks(60, 0);
    assert_eq!((decision.to, decision.limit), (2, None));
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.limit), (2, Some(Limit::AtMin)));
    let decision = world.ticks(100, 1);
    assert_eq!((decision.wanted, decision.to), (2, 2));
    assert_eq!(decision.limit, None, "that is what it asks for");
}

#[test]
fn a_share_that_suffices_is_no_limit() {
    for quota in [7, 8, 9] {
        let mut world = World::new(ScalerRules::new(1, 64).target(4));
        let inputs = Inputs {
            forecast: Some(8),
            quota: Some(quota),
            ..world.inputs(0)
        };
        let decision = world.step(inputs);
        let limit = (quota < 8).then_some(Limit::Quota);
        assert_eq!((decision.to, decision.limit), (quota.min(8), limit));
    }
}

#[test]
fn what_is_smoothed_is_remembered_as_it_is() {
    let mut world = World::new(ScalerRules::new(1, 64).target(40));
    let decision = world.ticks(200, 31);
    assert_eq!((decision.wanted, decision.remembered), (40, 42));
}

#[test]
fn how_old_work_is_counts_by_how_old_it_may_be() {
    let mut world = World::new(ScalerRules::new(1, 64).target(8).queue_age(2 * SECOND));
    let mut inputs = world.inputs(8);
    inputs.load = Some(Load {
        in_flight: 0,
        queued: 1,
        oldest: 3 * SECOND,
    });
    let decision = world.step(inputs);
    assert_eq!((decision.to, decision.trigger), (12, Trigger::Queue));
}

#[test]
fn the_last_worker_stays_although_nothing_is_needed_until_that_is_so_for_long() {
    let mut world = World::new(ScalerRules::new(0, 8));
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.remembered), (0, 0));
    assert_eq!(world.tick(1).to, 1);
    let decision = world.ticks(299, 0);
    assert_eq!((decision.wanted, decision.remembered), (0, 1));
    assert_eq!((decision.to, decision.trigger), (1, Trigger::Demand));
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.trigger), (0, Trigger::Idle));
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.trigger), (0, Trigger::Demand));
}

#[test]
fn an_operator_is_named_although_there_is_nothing_to_do() {
    let mut world = World::new(ScalerRules::new(0, 8));
    world.scaler.set_mode(ScaleMode::Manual(3));
    let decision = world.ticks(400, 0);
    assert_eq!((decision.to, decision.trigger), (3, Trigger::Manual));
}

#[test]
fn what_was_done_is_forgotten_by_nobody_who_is_not_idle() {
    for jobs in [1, 4] {
        let mut world = World::new(ScalerRules::new(0, 8));
        let before = world.ticks(10, jobs).smoothed;
        let after = world.tick(0).smoothed;
        assert!(after > 0.9 * before, "{after} of {before}");
    }
}

#[test]
fn a_pool_that_has_always_one_forgets_nothing_at_once() {
    let rules = ScalerRules::new(1, 16).target(10);
    let mut world = World::new(rules.window(600 * SECOND));
    assert_eq!(world.ticks(599, 0).to, 10);
    assert!(world.tick(0).to < 10);
}

#[test]
fn rules_at_the_edge_of_their_range_are_fine() {
    let fine = || ScalerRules::new(1, 8);
    for rules in [
        ScalerRules::new(8, 8),
        fine().target(8),
        fine().utilisation(1.0),
        fine().growth(0, 1.0),
        fine().growth(4, 0.0),
        fine().shrinkage(0, 0.5),
        fine().shrinkage(1, 0.0),
    ] {
        assert_eq!(rules.check(), Ok(()), "{rules:?}");
    }
    for rules in [
        fine().utilisation(0.0),
        fine().burst(0.0),
        fine().growth(1, -1.0),
        fine().growth(1, f64::INFINITY),
        fine().shrinkage(1, -0.5),
    ] {
        assert!(rules.check().is_err(), "{rules:?}");
    }
}

#[test]
fn rules_say_what_they_are() {
    let rules = ScalerRules::new(2, 8)
        .target(5)
        .concurrency(3)
        .tick(4 * SECOND);
    assert_eq!((rules.min(), rules.max(), rules.initial()), (2, 8, 5));
    assert_eq!((rules.jobs_at_once(), rules.period()), (3, 4 * SECOND));
}

#[test]
fn the_last_worker_stays_although_nobody_knows_what_there_is_to_do() {
    let rules = ScalerRules::new(0, 8).target(1).window(SECOND);
    let mut world = World::new(rules.fallback(Fallback::Min));
    let mut blind = |ticks: u32| {
        let inputs = |size| Inputs {
            size,
            ..Inputs::default()
        };
        let all = (0..ticks).map(|_| world.step(inputs(world.size)));
        all.last().unwrap()
    };
    let decision = blind(299);
    assert_eq!((decision.wanted, decision.remembered), (0, 1));
    assert_eq!((decision.to, decision.trigger), (1, Trigger::Fallback));
    assert_eq!(blind(1).to, 0);
}

#[test]
fn on_its_way_into_its_bounds_a_pool_says_that_it_goes_further() {
    let mut world = World::new(ScalerRules::new(2, 6));
    world.ticks(100, 0);
    world.size = 8;
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.limit), (6, Some(Limit::Rate)));
    world.size = 40;
    let decision = world.tick(0);
    assert_eq!((decision.to, decision.limit), (6, None));
}
