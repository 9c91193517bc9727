//! Why jobs are not taken in, or not begun after all.

use super::*;

/// A desk without workers at which so many may wait.
fn of_room(overflow: Overflow, max: usize) -> World {
    let backlog = BacklogRules::new(max).overflow(overflow);
    World::new(of_backlog(Mode::Pull, backlog), 0)
}

#[test]
fn one_for_which_there_is_no_room_is_given_back() {
    for overflow in [Overflow::Wait, Overflow::Reject] {
        let mut world = of_room(overflow, 2);
        world.put(1);
        assert!(!world.desk.is_full());
        world.put(2);
        assert!(world.desk.is_full());
        let terms = Terms::default().priority(Priority::Critical);
        let refused = world.submit(3, Wanted::anybody(), terms);
        assert_eq!(refused, Err(Reject::QueueFull));
        assert_eq!(world.rejected(Reject::QueueFull), 1);
        assert!(world.refused().is_empty(), "its caller has it already");
        assert_eq!(world.desk.queued(), 2);
        world.balances();
    }
}

#[test]
fn one_that_has_to_make_room_is_told() {
    let mut world = of_room(Overflow::DropOldest, 2);
    for id in 1..=3 {
        world.put(id);
    }
    assert_eq!(world.refused(), [(1, Reject::Dropped)]);
    assert_eq!(
        (world.rejected(Reject::Dropped), world.desk.queued()),
        (1, 2)
    );
    let low = Terms::default().priority(Priority::Low);
    let refused = world.submit(4, Wanted::anybody(), low);
    assert_eq!(refused, Err(Reject::QueueFull), "the others are better");
    assert!(world.refused().is_empty(), "each is told once");
    world.balances();
}

#[test]
fn the_newest_makes_room_where_the_rules_want_that() {
    let mut world = of_room(Overflow::DropNewest, 2);
    let low = Terms::default().priority(Priority::Low);
    for id in [1, 2] {
        let queued = world.submit(id, Wanted::anybody(), low.clone());
        assert!(queued.is_ok());
    }
    world.put(3);
    assert_eq!(world.refused(), [(2, Reject::Dropped)]);
    let refused = world.submit(4, Wanted::anybody(), low);
    assert_eq!(refused, Err(Reject::QueueFull));
    world.balances();
}

#[test]
fn jobs_for_somebody_and_jobs_for_anybody_share_the_room() {
    let mut world = of_room(Overflow::DropOldest, 2);
    world.put(1);
    world.put_for(2, Wanted::keyed(1));
    world.put_for(3, Wanted::keyed(2));
    assert_eq!(world.refused(), [(2, Reject::Dropped)], "of its own lane");
    world.desk.add(1, [Arc::from("big")], world.now);
    let refused = world.submit(4, tag("big"), Terms::default());
    assert_eq!(refused, Err(Reject::QueueFull), "its lane has none to drop");
    assert_eq!(world.desk.queued(), 2);
    world.balances();
}

#[test]
fn one_whose_deadline_is_over_is_not_taken_in() {
    let mut world = World::new(rules(Mode::Pull), 1);
    let at_once = Terms::default().deadline(world.now);
    let refused = world.submit(1, Wanted::anybody(), at_once);
    assert_eq!(refused, Err(Reject::Expired));
    let soon = Terms::default().deadline(world.now + MILLI);
    assert!(world.submit(2, Wanted::anybody(), soon).is_ok());
    assert_eq!(world.rejected(Reject::Expired), 1);
    world.balances();
}

#[test]
fn one_whose_deadline_passes_is_never_begun_and_is_told_at_it() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 0);
        let until = |world: &World, millis| Terms::default().deadline(world.now + millis * MILLI);
        for (id, millis, wanted) in [
            (1, 20, Wanted::anybody()),
            (2, 10, Wanted::keyed(1)),
            (3, 30, Wanted::anybody()),
        ] {
            let terms = until(&world, millis);
            assert!(world.submit(id, wanted, terms).is_ok());
        }
        let begin = world.now;
        assert_eq!(world.desk.next_wakeup(), Some(begin + 10 * MILLI));
        world.passes(10 * MILLI);
        world.desk.on_wakeup(world.now);
        assert_eq!(world.refused(), [(2, Reject::Expired)]);
        assert_eq!(world.desk.next_wakeup(), Some(begin + 20 * MILLI));
        world.passes(15 * MILLI);
        world.up(1, &[]);
        let begun = match mode {
            Mode::Pull => world.gets(1),
            Mode::Give => world.gives().first().map(|(id, _)| *id),
        };
        assert_eq!(begun, Some(3));
        assert_eq!(world.refused(), [(1, Reject::Expired)]);
        assert_eq!(world.rejected(Reject::Expired), 2);
        assert_eq!(world.desk.next_wakeup(), None);
        world.balances();
    }
}

#[test]
fn one_for_a_tag_that_nobody_has_is_refused() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.desk.add(2, [Arc::from("big")], world.now);
    let refused = world.submit(1, tag("huge"), Terms::default());
    assert_eq!(refused, Err(Reject::NoWorker));
    let both = Wanted {
        key: Some(1),
        tag: Some("huge".into()),
    };
    let refused = world.submit(2, both, Terms::default());
    assert_eq!(refused, Err(Reject::NoWorker));
    assert_eq!(world.rejected(Reject::NoWorker), 2);
    let queued = world.submit(3, tag("big"), Terms::default());
    assert!(queued.is_ok(), "somebody will have it");
    world.balances();
}

#[test]
fn a_desk_that_is_closed_refuses_what_waits_and_what_comes() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.put(1);
    let (_, claim) = world.comes(1).unwrap();
    let place = world.desk.reserve().unwrap();
    world.put(2);
    let key = world.key_of(1);
    world.put_for(3, key);
    assert!(!world.desk.is_closed());
    world.desk.close();
    assert!(world.desk.is_closed() && world.desk.status(world.now).is_closed);
    let refused: BTreeSet<_> = world.refused().into_iter().collect();
    assert_eq!(
        refused,
        BTreeSet::from([(2, Reject::Draining), (3, Reject::Draining)])
    );
    let request = world.request(4, Wanted::anybody(), Terms::default());
    let reserved = world.desk.submit_reserved(place, request, world.now);
    assert_eq!(accepted(4, reserved), Err(Reject::Draining));
    let plain = world.submit(5, Wanted::anybody(), Terms::default());
    assert_eq!(plain, Err(Reject::Draining));
    assert!(world.desk.reserve().is_none());
    assert_eq!(world.rejected(Reject::Draining), 4);
    assert_eq!(world.finish(claim, Outcome::Ok), Some(1), "it is finished");
    assert_eq!((world.rings(), world.gets(1)), (Vec::new(), None));
    world.balances();
    world.desk.open();
    assert!(!world.desk.is_closed());
    world.put(6);
    assert_eq!(world.gets(1), Some(6));
}

#[test]
fn a_place_that_is_kept_is_one_less_for_others() {
    let mut world = of_room(Overflow::Reject, 3);
    world.put(1);
    let (first, second) = (world.desk.reserve().unwrap(), world.desk.reserve().unwrap());
    assert!(world.desk.is_full() && world.desk.reserve().is_none());
    let plain = world.submit(2, Wanted::anybody(), Terms::default());
    assert_eq!(plain, Err(Reject::QueueFull));
    let request = world.request(3, Wanted::anybody(), Terms::default());
    let reserved = world.desk.submit_reserved(first, request, world.now);
    assert!(accepted(3, reserved).is_ok());
    assert!(world.desk.is_full());
    world.desk.unreserve(second);
    assert!(!world.desk.is_full());
    world.put(4);
    assert!(world.desk.is_full());
    world.balances();
}

#[test]
fn nobody_is_dropped_for_a_place() {
    let mut world = of_room(Overflow::DropOldest, 1);
    world.put(1);
    assert!(world.desk.reserve().is_none());
    assert!(world.refused().is_empty());
}

#[test]
fn one_is_told_to_try_again_when_half_of_what_waits_will_be_done() {
    let mut world = World::new(of_concurrency(Mode::Pull, 2), 2);
    assert_eq!(
        world.desk.retry_after(),
        None,
        "nobody knows how long one takes"
    );
    world.put(1);
    let (_, claim) = world.comes(1).unwrap();
    world.finish(claim, Outcome::Ok);
    assert_eq!(world.desk.retry_after(), Some(SECOND / 4));
    for id in 1..=14 {
        world.put(id);
    }
    assert_eq!(world.desk.retry_after(), Some(2 * SECOND), "8 by 4 at once");
    world.desk.drain(1, world.now);
    assert_eq!(world.desk.retry_after(), Some(4 * SECOND));
    world.desk.drain(2, world.now);
    assert_eq!(world.desk.retry_after(), None, "nobody works");
}

#[test]
fn one_is_told_to_try_again_neither_at_once_nor_never() {
    let after = |took| {
        let mut world = World::new(rules(Mode::Pull), 1);
        world.put(1);
        let (_, claim) = world.comes(1).unwrap();
        world.desk.finish(claim, Outcome::Ok, took, world.now);
        world.desk.retry_after()
    };
    assert_eq!(after(Duration::from_nanos(1)), Some(MILLI));
    assert_eq!(after(10_000 * SECOND), Some(300 * SECOND));
    assert_eq!(after(Duration::ZERO), None);
}

#[test]
fn one_whose_deadline_is_seen_to_be_over_is_told_whoever_has_seen_it() {
    type Call = fn(&mut World);
    let calls: [Call; 4] = [
        |world| drop(world.put(9)),
        |world| drop(world.put_for(9, Wanted::keyed(1))),
        |world| assert!(world.desk.next_step(world.now).is_none()),
        |world| assert!(world.gets(1).is_none()),
    ];
    for mode in [Mode::Pull, Mode::Give] {
        for (at, call) in calls.iter().enumerate() {
            let mut world = World::new(rules(mode), 1);
            let until = world.now + MILLI;
            for (id, wanted) in [(1, Wanted::anybody()), (2, Wanted::keyed(1))] {
                let soon = Terms::default().deadline(until);
                assert!(world.submit(id, wanted, soon).is_ok());
            }
            world.passes(MILLI);
            call(&mut world);
            world.balances();
            let mut refused = world.refused();
            // Who was not seen yet is looked at as soon as may be.
            let left = if refused.len() < 2 { Some(until) } else { None };
            assert_eq!(world.desk.next_wakeup(), left, "{mode:?}, call {at}");
            world.desk.on_wakeup(world.now);
            refused.extend(world.refused());
            refused.sort_unstable();
            let all = [(1, Reject::Expired), (2, Reject::Expired)];
            assert_eq!(refused, all, "{mode:?}, call {at}");
            world.balances();
        }
    }
}

#[test]
fn those_whose_deadline_is_over_take_no_room() {
    for overflow in [Overflow::Reject, Overflow::DropOldest] {
        let backlog = BacklogRules::new(2).overflow(overflow);
        let mut world = World::new(of_backlog(Mode::Pull, backlog), 0);
        let soon = Terms::default().deadline(world.now + MILLI);
        assert!(world.submit(1, Wanted::anybody(), soon.clone()).is_ok());
        assert!(world.submit(2, Wanted::keyed(1), soon).is_ok());
        world.passes(MILLI);
        world.put(3);
        let mut refused = world.refused();
        refused.sort_unstable();
        assert_eq!(refused, [(1, Reject::Expired), (2, Reject::Expired)]);
    }
}

#[test]
fn where_none_may_wait_one_is_taken_in_that_somebody_is_free_for() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(of_backlog(mode, BacklogRules::new(0)), 2);
        let key = world.key_of(1);
        assert!(world.desk.is_full() && world.desk.reserve().is_none());
        world.put_for(1, key.clone());
        match mode {
            Mode::Pull => assert_eq!((world.rings(), world.gets(1)), (vec![1], Some(1))),
            Mode::Give => assert_eq!(ids(&world.gives()), [1]),
        }
        let refused = world.submit(2, key, Terms::default());
        assert_eq!(refused, Err(Reject::QueueFull), "its keeper is not free");
        world.put(3);
        match mode {
            Mode::Pull => {
                assert_eq!(world.rings(), [2]);
                let refused = world.submit(4, Wanted::anybody(), Terms::default());
                assert_eq!(refused, Err(Reject::QueueFull), "it comes for another");
                assert_eq!(world.gets(2), Some(3));
            }
            Mode::Give => assert_eq!(ids(&world.gives()), [3]),
        }
        let refused = world.submit(5, Wanted::anybody(), Terms::default());
        assert_eq!(refused, Err(Reject::QueueFull));
        world.balances();
    }
}

#[test]
fn one_that_somebody_is_free_for_drops_none_that_waits_for_others() {
    let backlog = BacklogRules::new(1).overflow(Overflow::DropOldest);
    let mut world = World::new(of_backlog(Mode::Give, backlog), 2);
    let key = world.key_of(1);
    world.put_for(1, key.clone());
    assert_eq!(ids(&world.gives()), [1]);
    world.put_for(2, key);
    assert!(world.gives().is_empty());
    world.put(3);
    assert_eq!(ids(&world.gives()), [3]);
    assert!(world.refused().is_empty());
}

#[test]
fn a_place_is_kept_although_one_was_taken_in_that_somebody_was_free_for() {
    let backlog = BacklogRules::new(1);
    let mut world = World::new(of_backlog(Mode::Pull, backlog), 1);
    let place = world.desk.reserve().unwrap();
    world.put(1);
    assert_eq!(world.rings(), [1]);
    let request = world.request(2, Wanted::anybody(), Terms::default());
    let reserved = world.desk.submit_reserved(place, request, world.now);
    assert!(accepted(2, reserved).is_ok());
    assert_eq!(world.works_off(1), [1, 2]);
}

#[test]
fn there_is_no_room_while_it_is_full_and_nobody_free_and_nothing_gives_way() {
    let backlog = BacklogRules::new(1).overflow(Overflow::Wait);
    let mut world = World::new(of_backlog(Mode::Pull, backlog), 1);
    let has_none = |world: &mut World| {
        let request = world.request(9, Wanted::anybody(), Terms::default());
        world.desk.has_no_room_for(&request, world.now)
    };
    assert!(!has_none(&mut world));
    world.put(1);
    assert!(!has_none(&mut world), "somebody is free");
    assert_eq!(world.gets(1), Some(1));
    let late = Terms::default().deadline(world.now + SECOND);
    assert!(world.submit(2, Wanted::anybody(), late).is_ok());
    assert!(has_none(&mut world));
    world.passes(SECOND);
    assert!(!has_none(&mut world), "its time is over");
    assert_eq!(world.refused(), [(2, Reject::Expired)]);
    world.put(3);
    assert!(has_none(&mut world));
    world.desk.close();
    assert!(!has_none(&mut world), "it is refused for another reason");
}

#[test]
fn what_gives_way_to_another_is_room() {
    let backlog = BacklogRules::new(1).overflow(Overflow::DropOldest);
    let mut world = World::new(of_backlog(Mode::Pull, backlog), 0);
    world.put(1);
    let request = world.request(2, Wanted::anybody(), Terms::default());
    assert!(!world.desk.has_no_room_for(&request, world.now));
    let low = Terms::default().priority(Priority::Low);
    let request = world.request(3, Wanted::anybody(), low);
    assert!(world.desk.has_no_room_for(&request, world.now));
}

#[test]
fn a_job_that_nobody_waited_for_is_handed_out_to_be_dropped_elsewhere() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.put(1);
    world.put(2);
    world.leaves(1);
    assert_eq!(world.gets(1), Some(2));
    assert!(world.desk.has_news());
    let abandoned = world.desk.take_abandoned();
    assert_eq!(abandoned.iter().map(|job| job.id).collect::<Vec<_>>(), [1]);
    assert!(!world.desk.has_news());
}

#[test]
fn one_that_is_refused_for_another_reason_does_not_wait_for_room() {
    let backlog = BacklogRules::new(1).overflow(Overflow::Wait);
    let mut world = World::new(of_backlog(Mode::Pull, backlog), 0);
    world.put(1);
    let late = Terms::default().deadline(world.now);
    for (wanted, terms, why) in [
        (tag("huge"), Terms::default(), Reject::NoWorker),
        (Wanted::anybody(), late, Reject::Expired),
    ] {
        let request = world.request(2, wanted.clone(), terms.clone());
        assert!(!world.desk.has_no_room_for(&request, world.now), "{why:?}");
        assert_eq!(world.submit(2, wanted, terms), Err(why));
    }
    world.balances();
}

#[test]
fn one_whose_deadline_is_seen_to_be_over_by_a_look_at_who_is_next_is_told() {
    type Call = fn(&mut World);
    let calls: [Call; 2] = [
        |world| assert!(world.rings().is_empty()),
        |world| assert!(world.gets(1).is_some()),
    ];
    for call in calls {
        let mut world = World::new(rules(Mode::Pull), 2);
        let begin = world.now;
        let key = world.key_of(1);
        world.passes(20 * MILLI);
        world.put_for(1, key.clone());
        assert_eq!(world.rings(), [1]);
        // Who comes late with an earlier time: in that lane it is later.
        world.now = begin + 10 * MILLI;
        let soon = Terms::default().deadline(begin + 18 * MILLI);
        assert!(world.submit(2, key, soon).is_ok());
        call(&mut world);
        assert_eq!(world.refused(), [(2, Reject::Expired)]);
        assert!(!world.desk.has_news());
        world.balances();
    }
}

#[test]
fn no_more_are_taken_in_than_may_wait_or_somebody_comes_for() {
    let mut world = World::new(of_backlog(Mode::Pull, BacklogRules::new(0)), 3);
    for id in 1..=3 {
        world.put(id);
        assert_eq!(world.rings().len(), 1, "none is to wait");
    }
    let refused = world.submit(4, Wanted::anybody(), Terms::default());
    assert_eq!(refused, Err(Reject::QueueFull));
    for max in [0, 1, 5] {
        let mut world = World::new(of_backlog(Mode::Pull, BacklogRules::new(max)), 3);
        let taken_in = |id: &u32| {
            let submitted = world.submit(*id, Wanted::anybody(), Terms::default());
            submitted.is_ok()
        };
        let count = (1..=20).filter(taken_in).count();
        assert_eq!(count, max + 3, "also if nobody was told yet");
        world.balances();
    }
}

#[test]
fn one_that_somebody_is_free_for_is_taken_in_whatever_waits_for_others_and_only_one() {
    let mut world = World::new(of_backlog(Mode::Pull, BacklogRules::new(0)), 2);
    world.up(3, &["big"]);
    let key = world.key_of(1);
    for id in 1..=3 {
        world.put(id);
    }
    for (id, wanted) in [(4, key), (5, tag("big"))] {
        world.put_for(id, wanted.clone());
        let refused = world.submit(10 + id, wanted, Terms::default());
        assert_eq!(refused, Err(Reject::QueueFull));
    }
    world.balances();
}
