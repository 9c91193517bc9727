//! How a pool begins, when nobody needs to look at it, and who does not go.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_pool_begins_with_what_its_rules_say_and_comes_back_with_what_it_had() {
    let scaler = Scaler::new(ScalerRules::new(2, 8).target(4), t0()).unwrap();
    let of = |size| Inputs {
        size,
        ..Inputs::default()
    };
    let begin = |before, size| {
        let decision = scaler.begin(before, of(size))?;
        Some((decision.to, decision.trigger))
    };
    assert_eq!(begin(None, 0), Some((4, Trigger::Bound)));
    assert_eq!(begin(Some(6), 0), Some((6, Trigger::Bound)));
    assert_eq!(begin(Some(6), 5), Some((6, Trigger::Bound)), "one is gone");
    assert_eq!(begin(Some(6), 6), None);
    assert_eq!(
        begin(Some(99), 0),
        Some((8, Trigger::Bound)),
        "there are other rules"
    );
    let shared = Inputs {
        quota: Some(3),
        ..of(0)
    };
    let decision = scaler.begin(None, shared).unwrap();
    assert_eq!((decision.to, decision.limit), (3, Some(Limit::Quota)));
}

#[test]
fn a_pool_that_has_as_few_as_may_be_and_nothing_to_do_is_looked_at_no_more() {
    let mut world = World::new(ScalerRules::new(2, 8));
    world.ticks(10, 6);
    assert!(world.size > 2);
    let mut looks = 0;
    while world.scaler.next_wakeup().is_some() {
        looks += 1;
        assert!(looks < 200, "there is no end to it: {}", world.size);
        world.tick(0);
    }
    assert!(looks > 60, "a window long it may be wanted: {looks}");
    assert_eq!(world.size, 2);
    world.now += 60 * MINUTE;
    world.scaler.wake(world.now);
    assert_eq!(world.scaler.next_wakeup(), Some(world.now + SECOND));
    let decision = world.tick(2);
    assert!(
        decision.smoothed < 0.2,
        "an hour without work is one: {}",
        decision.smoothed
    );
    assert!(world.scaler.next_wakeup().is_some());
}

#[test]
fn a_pool_of_none_is_looked_at_no_more_when_there_is_none() {
    let mut world = World::new(ScalerRules::new(0, 8));
    world.tick(0);
    assert_eq!(world.scaler.next_wakeup(), None);
    world.scaler.wake(world.now);
    world.tick(1);
    assert_eq!(world.size, 1);
    world.ticks(299, 0);
    assert!(
        world.scaler.next_wakeup().is_some(),
        "its last worker will go"
    );
    world.ticks(10, 0);
    assert_eq!((world.size, world.scaler.next_wakeup()), (0, None));
    assert!(Scaler::is_urgent(0, 1) && !Scaler::is_urgent(1, 1) && !Scaler::is_urgent(0, 0));
}

#[test]
fn what_somebody_else_says_has_to_be_looked_at() {
    let looks = |change: fn(&mut Inputs)| {
        let mut world = World::new(ScalerRules::new(2, 8));
        let mut inputs = world.inputs(0);
        change(&mut inputs);
        world.step(inputs);
        world.scaler.next_wakeup().is_some()
    };
    assert!(!looks(|_| {}));
    assert!(looks(|inputs| inputs.load = None));
    assert!(looks(|inputs| inputs.is_foreseen = true));
    assert!(looks(|inputs| inputs.signals.push(Signal {
        name: "tokens".into(),
        value: Some(1.0),
        target: 100.0,
    })));
    assert!(looks(|inputs| inputs.size = 1), "one more is wanted");
    assert!(looks(
        |inputs| (inputs.size, inputs.start_backoff) = (1, true)
    ));
}

#[test]
fn a_size_set_by_hand_is_looked_at_until_it_is_reached() {
    let mut world = World::new(ScalerRules::new(2, 8));
    world.scaler.set_mode(ScaleMode::Manual(5));
    world.tick(0);
    assert!(world.scaler.next_wakeup().is_some());
    world.tick(0);
    assert_eq!((world.size, world.scaler.next_wakeup()), (5, None));
    world.scaler.set_mode(ScaleMode::Manual(9));
    world.ticks(3, 0);
    assert!(
        world.scaler.next_wakeup().is_some(),
        "it is not what was asked for"
    );
}

#[test]
fn who_is_at_work_does_not_go() {
    let mut world = World::new(ScalerRules::new(1, 8).target(8).window(SECOND));
    let mut with_spare = |spare| {
        world.size = 8;
        let inputs = Inputs {
            spare: Some(spare),
            ..world.inputs(0)
        };
        let decision = world.step(inputs);
        (decision.to, decision.limit, decision.to_string())
    };
    with_spare(0);
    let (to, limit, why) = with_spare(0);
    assert_eq!((to, limit), (8, Some(Limit::Busy)));
    assert!(why.ends_with("; the others are at work"), "{why}");
    assert_eq!(with_spare(1).0, 7);
    assert_eq!(with_spare(2).0, 6, "a quarter at a time");
    assert_eq!(with_spare(8).0, 6);
    world.scaler.set_mode(ScaleMode::Manual(2));
    let inputs = Inputs {
        spare: Some(1),
        ..world.inputs(0)
    };
    let decision = world.step(inputs);
    assert_eq!(
        (decision.to, decision.limit),
        (world.size, Some(Limit::Busy))
    );
}
