//! What is done first, where there are several lanes.

use super::*;

/// One worker with a tag, to which every key leads.
fn one(mode: Mode) -> World {
    let mut world = World::new(rules(mode), 0);
    world.up(1, &["big"]);
    world
}

fn of_class(class: Priority) -> Terms {
    Terms::default().priority(class)
}

#[test]
fn the_best_class_comes_first_in_whichever_lane_it_is() {
    let mut world = one(Mode::Pull);
    for (id, wanted, class) in [
        (1, Wanted::anybody(), Priority::Low),
        (2, tag("big"), Priority::Normal),
        (3, Wanted::keyed(1), Priority::Critical),
        (4, Wanted::anybody(), Priority::High),
        (5, tag("big"), Priority::Low),
    ] {
        assert!(world.submit(id, wanted, of_class(class)).is_ok());
    }
    let order = world.works_off(1);
    assert_eq!(order[..3], [3, 4, 2]);
    assert_eq!(order.len(), 5);
}

#[test]
fn the_best_class_is_given_first_in_whichever_lane_it_is() {
    let mut world = one(Mode::Give);
    assert!(world.submit(1, tag("big"), of_class(Priority::Low)).is_ok());
    assert!(
        world
            .submit(2, Wanted::anybody(), of_class(Priority::High))
            .is_ok()
    );
    assert!(
        world
            .submit(3, Wanted::keyed(1), of_class(Priority::Normal))
            .is_ok()
    );
    let mut order = Vec::new();
    while let Some((id, claim)) = world.gives().pop() {
        order.push(id);
        world.finish(claim, Outcome::Ok);
    }
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn one_that_waits_moves_up_in_any_lane() {
    let mut world = one(Mode::Pull);
    world.put_for(1, tag("big"));
    world.passes(11 * SECOND);
    world.put(2);
    world.put_for(3, Wanted::keyed(1));
    assert_eq!(world.gets(1), Some(1));
}

#[test]
fn the_best_lane_that_somebody_can_serve_is_served() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 2);
        let key = world.key_of(1);
        world.desk.add(3, [Arc::from("big")], world.now);
        let critical = of_class(Priority::Critical);
        assert!(world.submit(1, tag("big"), critical).is_ok());
        world.put_for(2, key);
        match mode {
            Mode::Pull => assert_eq!(world.rings(), [1]),
            Mode::Give => assert_eq!(ids(&world.gives()), [2]),
        }
    }
}

#[test]
fn lanes_that_are_as_good_take_turns_however_a_worker_comes() {
    let mut world = World::new(rules(Mode::Pull), 0);
    world.up(1, &["big"]);
    for id in 0..10 {
        world.put(id);
        world.put_for(100 + id, tag("big"));
    }
    let mut of_any = 0;
    for _ in 0..10 {
        assert_eq!(world.rings(), [1]);
        let (id, claim) = world.comes(1).unwrap();
        of_any += u32::from(id < 100);
        world.finish(claim, Outcome::Ok);
    }
    assert_eq!(of_any, 5);
}

#[test]
fn a_lane_that_comes_and_goes_has_its_turn_like_one_that_stays() {
    let mut world = one(Mode::Pull);
    for id in 0..10 {
        world.put(id);
    }
    let mut order = Vec::new();
    for id in [100, 101, 102] {
        world.put_for(id, tag("big"));
        for _ in 0..2 {
            let (id, claim) = world.comes(1).unwrap();
            order.push(id);
            world.finish(claim, Outcome::Ok);
        }
    }
    assert_eq!(order, [100, 0, 101, 1, 102, 2]);
}
