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
