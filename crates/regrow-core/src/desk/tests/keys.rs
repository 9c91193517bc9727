//! Jobs for somebody: by key, by tag, by both.

use super::*;

/// Two workers, and a key that leads to the first.
fn two(mode: Mode) -> (World, Wanted) {
    let world = World::new(rules(mode), 2);
    let key = world.key_of(1);
    (world, key)
}

#[test]
fn one_with_a_key_waits_for_its_keeper_although_others_are_free() {
    let (mut world, key) = two(Mode::Pull);
    world.put_for(1, key.clone());
    assert_eq!(world.rings(), [1]);
    let (_, claim) = world.comes(1).unwrap();
    world.put_for(2, key);
    assert!(world.rings().is_empty());
    assert_eq!(world.gets(2), None);
    world.finish(claim, Outcome::Ok);
    assert_eq!(world.rings(), [1]);
    assert_eq!(world.gets(1), Some(2));

    let (mut world, key) = two(Mode::Give);
    world.put_for(1, key.clone());
    world.put_for(2, key);
    let given = world.gives();
    assert_eq!((given.len(), given[0].1.worker), (1, 1));
    world.put(3);
    assert_eq!(world.gives()[0].1.worker, 2, "it is free for others");
}

type Going = fn(&mut World);

/// Each way in which a worker stops being the one that a key leads to, and the way back if there is one.
const GOING: [(&str, Going, Option<Going>); 5] = [
    (
        "drained",
        |world| assert!(world.desk.drain(1, world.now)),
        Some(|world| world.desk.keep(1, world.now)),
    ),
    (
        "ended",
        |world| drop(world.desk.on_end(1, 1, world.now)),
        Some(|world| drop(world.desk.on_standing(1, 2, true, world.now))),
    ),
    (
        "unready",
        |world| drop(world.desk.on_standing(1, 1, false, world.now)),
        Some(|world| drop(world.desk.on_standing(1, 1, true, world.now))),
    ),
    (
        "ejected",
        |world| {
            for _ in 0..5 {
                world.desk.judge(1, false, world.now);
            }
        },
        Some(|world| {
            world.passes(30 * SECOND);
            world.desk.on_wakeup(world.now);
        }),
    ),
    (
        "removed",
        |world| drop(world.desk.remove(1, world.now)),
        None,
    ),
];

fn judged(mode: Mode) -> DeskRules {
    DeskRules {
        outliers: Some(OutlierRules::default()),
        ..rules(mode)
    }
}

#[test]
fn one_whose_keeper_goes_is_moved_to_whom_the_key_leads_then() {
    for (how, goes, comes_back) in GOING {
        let mut world = World::new(judged(Mode::Pull), 2);
        let key = world.key_of(1);
        world.put_for(1, key.clone());
        goes(&mut world);
        assert_eq!((world.gets(1), world.rings()), (None, vec![2]), "{how}");
        let moved = world.comes(2);
        assert_eq!(moved.map(|(id, _)| id), Some(1), "{how}");
        let Some(comes_back) = comes_back else {
            continue;
        };
        world.put_for(2, key);
        comes_back(&mut world);
        assert_eq!(world.rings(), [1], "{how}: it leads there again");
        assert_eq!(world.gets(1), Some(2), "{how}");
        world.balances();
    }
}

#[test]
fn one_that_nobody_can_have_waits_until_somebody_can() {
    for (how, goes, comes_back) in GOING {
        let Some(comes_back) = comes_back else {
            continue;
        };
        let mut world = World::new(judged(Mode::Pull), 2);
        world.desk.on_end(2, 1, world.now);
        let key = world.key_of(1);
        world.put_for(1, key.clone());
        goes(&mut world);
        world.put_for(2, key);
        assert!(world.rings().is_empty(), "{how}");
        assert_eq!((world.gets(1), world.gets(2)), (None, None), "{how}");
        assert_eq!(world.desk.queued(), 2, "{how}");
        comes_back(&mut world);
        assert_eq!(world.rings(), [1], "{how}");
        assert_eq!(world.works_off(1), [1, 2], "{how}");
        world.balances();
    }
}

#[test]
fn the_first_worker_gets_what_has_waited_for_nobody() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 0);
        for id in 1..=3 {
            world.put_for(id, Wanted::keyed(id.into()));
        }
        assert!(world.desk.next_step(world.now).is_none());
        world.up(7, &[]);
        let all = match mode {
            Mode::Pull => world.works_off(7),
            Mode::Give => ids(&world.gives()),
        };
        assert_eq!(all.first(), Some(&1));
        assert_eq!(all.len(), if mode == Mode::Pull { 3 } else { 1 });
    }
}

#[test]
fn one_that_is_moved_keeps_its_age_and_its_class() {
    let (mut world, key) = two(Mode::Pull);
    world.put_for(1, key.clone());
    world.passes(SECOND);
    let high = Terms::default().priority(Priority::High);
    assert!(world.submit(2, key, high).is_ok());
    let other = world.key_of(2);
    world.put_for(3, other);
    world.passes(SECOND);
    world.desk.drain(1, world.now);
    assert_eq!(world.desk.oldest(world.now), 2 * SECOND);
    let taken = world.desk.pull(2, 1, world.now).unwrap();
    let (claim, taken) = taken;
    assert_eq!((taken.payload.id, taken.waited), (2, SECOND));
    assert_eq!(taken.priority, Priority::High);
    world.finish(claim, Outcome::Ok);
    assert_eq!(world.works_off(2), [1, 3], "the older one first");
}

#[test]
fn one_whose_deadline_is_over_is_not_moved() {
    let (mut world, key) = two(Mode::Pull);
    let soon = Terms::default().deadline(world.now + MILLI);
    assert!(world.submit(1, key, soon).is_ok());
    world.passes(MILLI);
    world.desk.drain(1, world.now);
    assert_eq!(world.refused(), [(1, Reject::Expired)]);
    assert_eq!((world.desk.queued(), world.rings()), (0, Vec::new()));
    world.balances();
}

#[test]
fn one_that_was_moved_is_not_found_by_its_old_name() {
    let (mut world, key) = two(Mode::Pull);
    let id = world.put_for(1, key);
    world.desk.drain(1, world.now);
    assert!(world.desk.cancel(&id).is_none());
    assert_eq!(world.gets(2), Some(1));
}

#[test]
fn one_with_a_tag_is_for_those_who_have_it() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 1);
        world.up(2, &["big"]);
        world.up(3, &["big", "red"]);
        world.put_for(1, tag("red"));
        world.put_for(2, tag("big"));
        world.put_for(3, tag("big"));
        match mode {
            Mode::Pull => {
                let told: BTreeSet<_> = world.rings().into_iter().collect();
                assert_eq!(told, BTreeSet::from([2, 3]));
                assert_eq!(world.gets(1), None);
                assert_eq!(world.gets(2), Some(2));
                assert_eq!(world.gets(2), None);
                assert_eq!(world.works_off(3).len(), 2);
            }
            Mode::Give => {
                let given = world.gives();
                assert_eq!(given.len(), 2);
                for (id, claim) in given {
                    assert_eq!(claim.worker, if id == 1 { 3 } else { 2 });
                }
            }
        }
        world.balances();
    }
}

#[test]
fn those_with_tags_do_what_anybody_may_do_as_well() {
    let mut world = World::new(rules(Mode::Pull), 0);
    world.up(1, &["big"]);
    world.put(1);
    assert_eq!(world.rings(), [1]);
    assert_eq!(world.gets(1), Some(1));
}

#[test]
fn a_key_leads_among_those_who_have_the_tag() {
    let mut world = World::new(rules(Mode::Pull), 3);
    world.up(4, &["big"]);
    world.up(5, &["big"]);
    for key in 0..20 {
        let wanted = Wanted {
            key: Some(key),
            tag: Some("big".into()),
        };
        world.put_for(u32::try_from(key).unwrap(), wanted);
    }
    let of_four = world.works_off(4);
    assert!((1..20).contains(&of_four.len()), "{of_four:?}");
    world.desk.drain(4, world.now);
    assert_eq!([1, 2, 3].map(|worker| world.gets(worker)), [None; 3]);
    assert_eq!(world.works_off(5).len(), 20 - of_four.len());
    world.desk.drain(5, world.now);
    let wanted = Wanted {
        key: Some(1),
        tag: Some("big".into()),
    };
    world.put_for(21, wanted);
    assert!(world.rings().is_empty(), "it waits for nobody");
    world.desk.keep(5, world.now);
    assert_eq!(world.gets(5), Some(21));
}

#[test]
fn the_name_of_a_job_that_has_left_is_never_that_of_another() {
    let mut world = World::new(rules(Mode::Pull), 1);
    let key = world.key_of(1);
    let first = world.put_for(1, key.clone());
    assert_eq!(world.works_off(1), [1]);
    let second = world.put_for(2, key);
    assert_ne!(first, second);
    assert!(world.desk.cancel(&first).is_none());
    assert_eq!(world.desk.queued(), 1);
}

#[test]
fn of_those_with_a_tag_each_has_its_turn_where_each_has_one_at_a_time() {
    let mut world = World::new(rules(Mode::Give), 0);
    world.up(1, &["big"]);
    world.up(2, &["big"]);
    let mut order = Vec::new();
    for id in 0..6 {
        world.put_for(id, tag("big"));
        let (_, claim) = world.gives()[0];
        let took = claim.worker * 10 * SECOND;
        world.desk.finish(claim, Outcome::Ok, took, world.now);
        order.push(claim.worker);
    }
    assert_eq!(order, [1, 2, 1, 2, 1, 2], "the slow one as well");
}

#[test]
fn a_job_that_was_moved_keeps_no_room_when_nobody_waits_for_it() {
    let backlog = BacklogRules::new(2);
    let mut world = World::new(of_backlog(Mode::Pull, backlog), 2);
    let key = world.key_of(1);
    let moved = world.put_for(1, key.clone());
    world.put_for(2, key);
    world.desk.on_standing(1, 1, false, world.now);
    assert!(world.desk.cancel(&moved).is_none(), "it is elsewhere");
    world.leaves(1);
    world.desk.cancel_moved(&moved, world.now);
    assert_eq!((world.desk.queued(), world.desk.totals().cancelled), (1, 1));
    world.leaves(2);
    world.desk.on_standing(1, 1, true, world.now);
    assert_eq!(world.desk.queued(), 0, "nor does one that is moved then");
    assert_eq!(world.desk.take_abandoned().len(), 2);
    world.balances();
}
