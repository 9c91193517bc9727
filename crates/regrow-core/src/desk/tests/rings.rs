//! Who is told that there is work, and who comes.

use super::*;

#[test]
fn as_many_are_told_as_there_are_jobs_and_two_at_a_time() {
    let mut world = World::new(rules(Mode::Pull), 5);
    assert_eq!(world.rings(), Vec::<u32>::new());
    world.put(1);
    assert_eq!(world.rings().len(), 1, "there is one job");
    assert!(world.rings().is_empty(), "they will come");
    for id in 2..=5 {
        world.put(id);
    }
    let second = world.rings();
    assert_eq!((second.len(), world.desk.crew().rung()), (1, 2));
    assert!(world.gets(second[0]).is_some());
    assert_eq!(world.rings().len(), 1, "who comes has the next told");
}

#[test]
fn those_who_were_told_and_take_long_are_not_counted_on() {
    let mut world = World::new(rules(Mode::Pull), 5);
    for id in 1..=5 {
        world.put(id);
    }
    assert_eq!(world.rings().len(), 2);
    let wakeup = world.now + Duration::from_millis(1);
    assert_eq!(world.desk.next_wakeup(), Some(wakeup));
    world.now += Duration::from_micros(999);
    assert!(world.rings().is_empty());
    world.now += Duration::from_micros(1);
    assert_eq!(world.rings().len(), 1);
    assert!(world.rings().is_empty(), "that one has a while again");
}

#[test]
fn one_that_was_told_and_does_not_come_is_not_told_twice() {
    let mut world = World::new(rules(Mode::Pull), 2);
    for id in 1..=5 {
        world.put(id);
    }
    let told: BTreeSet<_> = world.rings().into_iter().collect();
    assert_eq!(told, BTreeSet::from([1, 2]));
    world.put(6);
    assert!(world.rings().is_empty());
}

#[test]
fn one_that_comes_finds_what_is_there_and_may_be_told_again() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.put(1);
    assert_eq!(world.rings(), [1]);
    let (first, claim) = world.comes(1).unwrap();
    world.put(2);
    assert!(world.rings().is_empty(), "it has its hands full");
    world.finish(claim, Outcome::Ok);
    assert_eq!((first, world.rings()), (1, vec![1]));
    assert_eq!(world.gets(1), Some(2));
}

#[test]
fn one_that_comes_too_late_finds_nothing_and_is_free() {
    let mut world = World::new(rules(Mode::Pull), 2);
    let id = world.put(1);
    let told = world.rings();
    world.desk.cancel(&id);
    assert_eq!(world.gets(told[0]), None);
    assert_eq!(world.desk.crew().rung(), 0);
    world.put(2);
    assert_eq!(world.rings(), told);
}

#[test]
fn one_that_has_done_its_job_takes_the_next_without_being_told() {
    let mut world = World::new(rules(Mode::Pull), 1);
    for id in 1..=4 {
        world.put(id);
    }
    assert_eq!(world.rings(), [1]);
    assert_eq!(world.works_off(1), [1, 2, 3, 4]);
    assert!(world.rings().is_empty());
    world.balances();
}

#[test]
fn one_that_has_its_hands_full_gets_nothing() {
    let mut world = World::new(of_concurrency(Mode::Pull, 2), 1);
    for id in 1..=3 {
        world.put(id);
    }
    assert_eq!(
        [1, 1, 1].map(|worker| world.gets(worker)),
        [Some(1), Some(2), None]
    );
    assert_eq!(world.desk.queued(), 1);
}

#[test]
fn one_that_comes_in_an_earlier_life_or_is_not_known_gets_nothing() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.desk.on_standing(1, 2, true, world.now);
    world.put(1);
    assert_eq!(world.rings(), [1]);
    assert!(world.desk.pull(1, 1, world.now).is_none());
    assert!(world.desk.pull(9, 1, world.now).is_none());
    assert_eq!(world.desk.crew().rung(), 1, "the present life was told");
    assert_eq!(world.gets(1), Some(1));
}

#[test]
fn one_whose_life_ends_does_not_come_and_another_is_told() {
    type End = fn(&mut World);
    let ends: [End; 3] = [
        |world| drop(world.desk.on_end(2, 1, world.now)),
        |world| drop(world.desk.on_standing(2, 2, false, world.now)),
        |world| drop(world.desk.remove(2, world.now)),
    ];
    for end in ends {
        let mut world = World::new(rules(Mode::Pull), 2);
        world.desk.on_standing(1, 1, false, world.now);
        world.put(1);
        assert_eq!(world.rings(), [2]);
        world.desk.on_standing(1, 1, true, world.now);
        assert!(world.rings().is_empty());
        end(&mut world);
        assert_eq!(world.rings(), [1]);
    }
}

#[test]
fn nobody_is_told_while_nobody_can_work() {
    let mut world = World::new(rules(Mode::Pull), 2);
    world.desk.drain(1, world.now);
    world.desk.on_standing(2, 1, false, world.now);
    world.put(1);
    assert!(world.rings().is_empty());
    assert_eq!((world.gets(1), world.gets(2)), (None, None));
    world.desk.on_standing(2, 1, true, world.now);
    assert_eq!(world.rings(), [2]);
}

#[test]
fn one_that_may_have_several_is_told_once_and_comes_for_one_after_the_other() {
    let mut world = World::new(of_concurrency(Mode::Pull, 3), 1);
    for id in 1..=4 {
        world.put(id);
    }
    for id in 1..=3 {
        assert_eq!(world.rings(), [1]);
        assert_eq!(world.gets(1), Some(id));
    }
    assert!(world.rings().is_empty(), "it has its hands full");
}

#[test]
fn one_that_was_told_and_cannot_work_any_more_is_not_waited_for() {
    let ways: [fn(&mut World); 2] = [
        |world| drop(world.desk.on_standing(2, 1, false, world.now)),
        |world| assert!(world.desk.drain(2, world.now)),
    ];
    for way in ways {
        let mut world = World::new(rules(Mode::Pull), 2);
        world.desk.on_standing(1, 1, false, world.now);
        world.put(1);
        assert_eq!(world.rings(), [2]);
        world.desk.on_standing(1, 1, true, world.now);
        way(&mut world);
        assert_eq!(world.rings(), [1]);
        assert_eq!(world.gets(2), None, "it comes late");
        assert_eq!(world.gets(1), Some(1));
    }
}

#[test]
fn nobody_is_told_of_one_whose_deadline_is_over() {
    let mut world = World::new(rules(Mode::Pull), 1);
    let soon = Terms::default().deadline(world.now + MILLI);
    assert!(world.submit(1, Wanted::anybody(), soon).is_ok());
    world.passes(MILLI);
    assert!(world.rings().is_empty());
    assert_eq!(world.refused(), [(1, Reject::Expired)]);
}

#[test]
fn when_nobody_else_can_have_what_waits_nothing_is_waited_for() {
    let mut world = World::new(rules(Mode::Pull), 0);
    world.up(1, &["large"]);
    world.up(2, &["large"]);
    world.up(3, &[]);
    for id in 1..=5 {
        world.put_for(id, tag("large"));
    }
    assert_eq!(world.rings().len(), 2);
    world.passes(MILLI);
    assert!(world.rings().is_empty(), "the third is for others");
    assert_eq!(
        world.desk.counts_until(),
        None,
        "or somebody would look for ever"
    );
    world.up(4, &["large"]);
    assert_eq!(world.rings(), [4]);
}

#[test]
fn one_that_rests_comes_by_itself_and_the_others_are_told_meanwhile() {
    let mut world = World::new(rules(Mode::Pull), 2);
    for id in 1..=4 {
        world.put(id);
    }
    assert_eq!(world.rings().len(), 2);
    let (id, claim) = world.comes(1).unwrap();
    assert_eq!(world.gets(2), Some(2));
    let done = Some((claim, Outcome::Ok, SECOND));
    assert_eq!(world.desk.rest(1, 1, done, world.now), Some(id));
    assert!(world.rings().is_empty(), "it comes by itself");
    assert_eq!((world.gets(1), world.desk.crew().rung()), (Some(3), 0));
    assert_eq!(world.desk.rest(1, 2, None, world.now), None);
    assert_eq!(
        world.desk.crew().rung(),
        0,
        "that life is none of this desk's"
    );
}

#[test]
fn one_that_was_told_and_is_held_up_is_not_waited_for() {
    let mut world = World::new(rules(Mode::Pull), 4);
    world.put(1);
    let first = world.rings();
    assert_eq!(first.len(), 1);
    assert_eq!(world.desk.next_wakeup(), Some(world.now + 20 * MILLI));
    world.passes(20 * MILLI - Duration::from_nanos(1));
    assert!(world.rings().is_empty());
    world.passes(Duration::from_nanos(1));
    world.desk.on_wakeup(world.now);
    let second = world.rings();
    assert_eq!(second.len(), 1);
    assert_ne!(first, second, "nobody is told twice");
    assert_eq!(world.gets(second[0]), Some(1));
    for id in 2..=3 {
        world.put(id);
        let told = world.rings();
        assert_eq!(told.len(), 1, "the first is not counted on any more");
        assert_eq!(world.gets(told[0]), Some(id));
        world.passes(MILLI);
    }
    assert_eq!((world.gets(first[0]), world.desk.crew().rung()), (None, 0));
    world.put(4);
    assert_eq!(world.rings(), first, "it is again when it has come");
}

#[test]
fn one_that_is_held_up_is_not_counted_on_because_others_come() {
    let mut world = World::new(rules(Mode::Pull), 3);
    world.put(1);
    assert_eq!(world.rings().len(), 1);
    world.passes(15 * MILLI);
    world.put(2);
    let second = world.rings();
    assert_eq!(world.works_off(second[0]), [1, 2]);
    world.passes(5 * MILLI);
    world.put(3);
    assert_eq!(world.rings().len(), 1);
}

#[test]
fn it_is_looked_once_in_a_while_whether_those_who_were_told_come() {
    let mut world = World::new(rules(Mode::Pull), 3);
    world.put(1);
    let told = world.rings();
    let until = world.desk.counts_until();
    assert_eq!(until, Some(world.now + 20 * MILLI));
    assert_eq!(world.works_off(told[0]), [1]);
    world.passes(MILLI);
    world.put(2);
    let told = world.rings();
    assert_eq!(world.desk.counts_until(), until, "whoever looks has a time");
    assert_eq!(world.works_off(told[0]), [2]);
    world.passes(19 * MILLI);
    world.desk.on_wakeup(world.now);
    assert!(world.rings().is_empty());
    assert_eq!(world.desk.counts_until(), None);
    assert_eq!(world.desk.next_wakeup(), None, "nothing waits");
}

#[test]
fn nobody_looks_whether_one_comes_where_there_is_no_other() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.put(1);
    assert_eq!(world.rings(), [1]);
    assert_eq!(world.desk.next_wakeup(), None);
    world.up(2, &[]);
    assert!(world.rings().is_empty(), "it will come");
    assert_eq!(world.desk.next_wakeup(), Some(world.now + 20 * MILLI));
}

#[test]
fn one_that_is_held_up_and_that_nobody_can_replace_is_waited_for_without_a_look() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.up(2, &["large"]);
    world.put_for(1, tag("large"));
    assert_eq!(world.rings(), [2]);
    world.passes(20 * MILLI);
    world.desk.on_wakeup(world.now);
    assert!(world.rings().is_empty(), "the other may not have it");
    assert_eq!(world.desk.next_wakeup(), None);
    world.up(3, &["large"]);
    assert_eq!(world.rings(), [3]);
}

#[test]
fn one_that_none_of_those_who_come_may_have_is_told_of_at_once() {
    let mut world = World::new(rules(Mode::Pull), 2);
    world.up(3, &["large"]);
    let (first, second) = (world.key_of(1), world.key_of(2));
    let id = world.put_for(1, first);
    assert_eq!(world.rings(), [1]);
    assert!(world.desk.cancel(&id).is_some());
    let id = world.put_for(2, second);
    assert_eq!(world.rings(), [2]);
    assert!(world.desk.cancel(&id).is_some());
    world.put_for(3, tag("large"));
    assert_eq!(world.rings(), [3]);
    world.put(4);
    assert!(world.rings().is_empty(), "of those one may have it");
}

#[test]
fn one_that_was_held_up_and_rests_is_counted_on_again() {
    let mut world = World::new(of_concurrency(Mode::Pull, 2), 1);
    world.put(1);
    assert_eq!(world.rings(), [1]);
    let (_, claim) = world.comes(1).unwrap();
    world.put(2);
    assert_eq!(world.rings(), [1]);
    world.up(2, &[]);
    world.passes(20 * MILLI);
    assert_eq!(world.rings(), [2]);
    let done = Some((claim, Outcome::Ok, SECOND));
    assert_eq!(world.desk.rest(1, 1, done, world.now), Some(1));
    assert_eq!(world.desk.crew().rung(), 2);
    assert_eq!((world.gets(2), world.desk.crew().rung()), (Some(2), 1));
}
