//! More work than the workers can do.

use super::*;

/// Work of which there is more than one worker can do: what it has begun, when the second interval is nearly over in which all waited.
fn overloaded(mode: Mode) -> (World, Claim) {
    let overload = OverloadRules::new(Target::Fixed(10 * MILLI)).interval(100 * MILLI);
    let backlog = BacklogRules::new(100).overload(overload);
    let mut world = World::new(of_backlog(mode, backlog), 1);
    for id in 1..=10 {
        world.put(id);
    }
    let (_, claim) = next(&mut world, mode);
    // The first interval has the one in it that did not wait.
    world.passes(150 * MILLI);
    world.finish(claim, Outcome::Ok);
    let (second, claim) = next(&mut world, mode);
    assert_eq!((second, world.desk.take_overload_change()), (2, None));
    world.passes(150 * MILLI);
    (world, claim)
}

fn next(world: &mut World, mode: Mode) -> (u32, Claim) {
    match mode {
        Mode::Pull => world.comes(1).unwrap(),
        Mode::Give => world.gives()[0],
    }
}

#[test]
fn too_much_work_is_told_and_what_has_waited_too_long_is_shed() {
    for mode in [Mode::Pull, Mode::Give] {
        let (mut world, claim) = overloaded(mode);
        world.finish(claim, Outcome::Ok);
        let (third, claim) = next(&mut world, mode);
        let change = world.desk.take_overload_change().unwrap();
        assert_eq!(
            (change.overloaded, change.min_wait, change.target),
            (true, 150 * MILLI, 10 * MILLI)
        );
        assert_eq!(world.desk.take_overload_change(), None, "it is told once");
        assert!(world.desk.status(world.now).is_overloaded);
        assert_eq!(third, 10, "the newest comes first");
        assert!(world.refused().is_empty());
        world.passes(10 * MILLI);
        world.put(11);
        world.finish(claim, Outcome::Ok);
        assert_eq!(next(&mut world, mode).0, 11);
        let shed: Vec<_> = (3..=9).map(|id| (id, Reject::Shed)).collect();
        assert_eq!(world.refused(), shed);
        assert_eq!(world.rejected(Reject::Shed), 7);
        world.balances();
    }
}

#[test]
fn a_change_that_was_not_asked_for_is_not_lost_with_the_next_look() {
    let (mut world, claim) = overloaded(Mode::Pull);
    world.finish(claim, Outcome::Ok);
    let (_, claim) = world.comes(1).unwrap();
    world.finish(claim, Outcome::Ok);
    world.gets(1);
    let change = world.desk.take_overload_change().unwrap();
    assert!(change.overloaded);
}

#[test]
fn a_lane_that_is_new_knows_how_long_jobs_take() {
    let overload = OverloadRules::new(Target::Auto);
    let backlog = BacklogRules::new(100).overload(overload);
    let mut world = World::new(of_backlog(Mode::Pull, backlog), 0);
    for number in 1..=4 {
        world.up(number, &["big"]);
    }
    world.put(0);
    let (_, claim) = world.comes(1).unwrap();
    world
        .desk
        .finish(claim, Outcome::Ok, 10 * SECOND, world.now);
    for id in 1..=4 {
        world.put_for(id, tag("big"));
    }
    // Where jobs take 10 s, they may wait for 5 s.
    for id in 1..=4 {
        world.passes(SECOND + MILLI);
        assert_eq!(world.gets(id), Some(id));
    }
    assert!(world.refused().is_empty());
    assert_eq!(world.desk.take_overload_change(), None);
}

/// A desk where jobs may wait for 10 ms in each interval of 100 ms, with one worker and a key that leads to it.
fn hasty() -> (World, Wanted) {
    let overload = OverloadRules::new(Target::Fixed(10 * MILLI)).interval(100 * MILLI);
    let backlog = BacklogRules::new(100).overload(overload);
    let world = World::new(of_backlog(Mode::Pull, backlog), 1);
    let key = world.key_of(1);
    (world, key)
}

/// The worker does a job for so long.
fn works(world: &mut World) -> Option<u32> {
    world.passes(150 * MILLI);
    let (id, claim) = world.comes(1)?;
    world.finish(claim, Outcome::Ok);
    Some(id)
}

#[test]
fn that_there_is_not_too_much_work_any_more_is_told_when_its_lane_is_empty() {
    let (mut world, key) = hasty();
    for id in 1..=4 {
        world.put_for(id, key.clone());
    }
    assert_eq!(works(&mut world), Some(1));
    assert_eq!(works(&mut world), Some(4));
    let change = world.desk.take_overload_change().unwrap();
    assert!(change.overloaded && world.desk.status(world.now).is_overloaded);
    assert_eq!(works(&mut world), Some(3));
    assert_eq!(world.desk.take_overload_change(), None, "it still is");
    assert_eq!(works(&mut world), Some(2));
    assert!(!world.desk.status(world.now).is_overloaded);
    let change = world.desk.take_overload_change().unwrap();
    assert_eq!(
        (change.overloaded, change.min_wait, change.target),
        (false, Duration::ZERO, 10 * MILLI)
    );
    assert_eq!(world.desk.take_overload_change(), None);
}

#[test]
fn there_is_too_much_work_as_long_as_there_is_in_one_lane() {
    let (mut world, key) = hasty();
    for id in 1..=6 {
        world.put_for(id, key.clone());
        world.put(100 + id);
    }
    let mut told = Vec::new();
    for _ in 0..12 {
        works(&mut world);
        let change = world.desk.take_overload_change();
        told.extend(change.map(|change| change.overloaded));
        let is_overloaded = world.desk.status(world.now).is_overloaded;
        assert_eq!(told.last() == Some(&true), is_overloaded);
    }
    // A worker that comes for nothing ends it.
    for _ in 0..2 {
        assert_eq!(works(&mut world), None);
    }
    assert!(!world.desk.take_overload_change().unwrap().overloaded);
    assert_eq!(told, [true]);
}

#[test]
fn there_is_news_until_it_was_asked_for() {
    let (mut world, key) = hasty();
    for id in 1..=4 {
        world.put_for(id, key.clone());
    }
    assert!(!world.desk.has_news());
    works(&mut world);
    works(&mut world);
    assert!(world.desk.has_news(), "there is too much work");
    assert!(world.desk.take_overload_change().is_some());
    assert!(!world.desk.has_news());
    works(&mut world);
    works(&mut world);
    assert!(world.desk.has_news(), "there is not any more");
    assert!(world.desk.take_overload_change().is_some());
    assert!(!world.desk.has_news());
    world.put(5);
    world.desk.close();
    assert!(world.desk.has_news(), "one is refused");
    assert_eq!(world.refused(), [(5, Reject::Draining)]);
    assert!(!world.desk.has_news());
}
