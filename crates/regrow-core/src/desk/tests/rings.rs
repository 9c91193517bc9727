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
