//! Workers that come, go, fail too often, and are taken back.

use super::*;
use crate::outliers::Cause;

fn judged(workers: u32) -> World {
    let rules = DeskRules {
        outliers: Some(OutlierRules::default()),
        ..rules(Mode::Pull)
    };
    World::new(rules, workers)
}

/// A worker fails so often in a row.
fn fail(world: &mut World, worker: u32, times: u32) {
    for _ in 0..times {
        let key = world.key_of(worker);
        world.put_for(1, key);
        let (_, claim) = world.comes(worker).unwrap();
        world.finish(claim, Outcome::Error);
    }
}

#[test]
fn what_a_worker_had_is_lost_once_when_its_life_ends() {
    type End = fn(&mut World) -> Vec<u32>;
    let ends: [End; 3] = [
        |world| world.desk.on_end(1, 1, world.now),
        |world| world.desk.on_standing(1, 2, true, world.now),
        |world| world.desk.remove(1, world.now),
    ];
    for end in ends {
        let mut world = World::new(of_concurrency(Mode::Pull, 2), 1);
        for id in [1, 2] {
            world.put(id);
        }
        let (_, claim) = world.comes(1).unwrap();
        world.gets(1);
        assert_eq!(end(&mut world), [1, 2]);
        assert_eq!(world.desk.totals().ended(Outcome::Lost), 2);
        assert_eq!(world.finish(claim, Outcome::Ok), None);
        assert_eq!(world.desk.totals().settled(), 2);
        assert!(end(&mut world).is_empty());
        assert!(world.desk.remove(1, world.now).is_empty());
        assert_eq!(world.desk.totals().ended(Outcome::Lost), 2);
        world.balances();
    }
}

#[test]
fn the_end_of_another_life_is_none_of_this_one() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.desk.on_standing(1, 2, true, world.now);
    world.put(1);
    world.gets(1);
    assert!(world.desk.on_end(1, 1, world.now).is_empty());
    assert_eq!(world.desk.crew().in_flight(), 1);
    assert!(world.desk.on_end(1, 2, world.now) == [1]);
}

#[test]
fn one_on_its_way_out_finishes_what_it_has() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.put(1);
    world.put(2);
    let (_, claim) = world.comes(1).unwrap();
    assert!(world.desk.drain(1, world.now));
    assert!(!world.desk.drain(2, world.now), "it is not known");
    assert_eq!(world.finish(claim, Outcome::Ok), Some(1));
    assert_eq!((world.gets(1), world.rings()), (None, Vec::new()));
    assert!(world.desk.crew().is_drained(1));
    world.desk.keep(1, world.now);
    assert_eq!(world.rings(), [1]);
    assert_eq!(world.gets(1), Some(2));
}

#[test]
fn five_failures_in_a_row_eject_a_worker_for_thirty_seconds() {
    let mut world = judged(2);
    fail(&mut world, 1, 4);
    assert!(world.desk.take_ejections().is_empty());
    let begin = world.now;
    fail(&mut world, 1, 1);
    let (worker, lasts) = (1, 30 * SECOND);
    let cause = Cause::Consecutive(5);
    let ejected = Ejection::Ejected {
        worker,
        lasts,
        cause,
    };
    assert_eq!(world.desk.take_ejections(), [ejected]);
    assert!(world.desk.take_ejections().is_empty(), "it is told once");
    let counts = world.desk.status(world.now).counts;
    assert_eq!(counts.of(WorkerState::Ejected), 1);
    world.put(7);
    assert_eq!((world.gets(1), world.rings()), (None, vec![2]));
    assert_eq!(world.desk.next_wakeup(), Some(begin + lasts));
    world.passes(lasts - MILLI);
    world.desk.on_wakeup(world.now);
    assert!(world.desk.take_ejections().is_empty());
    world.passes(MILLI);
    world.desk.on_wakeup(world.now);
    let restored = Ejection::Restored { worker };
    assert_eq!(world.desk.take_ejections(), [restored]);
    assert_eq!(world.gets(1), Some(7));
}

#[test]
fn a_success_between_failures_keeps_a_worker_in() {
    for (outcome, stays) in [
        (Outcome::Ok, true),
        (Outcome::Cancelled, true),
        (Outcome::Timeout, false),
        (Outcome::Panicked, false),
    ] {
        let mut world = judged(2);
        fail(&mut world, 1, 4);
        let key = world.key_of(1);
        world.put_for(1, key);
        let (_, claim) = world.comes(1).unwrap();
        world.finish(claim, outcome);
        assert_eq!(world.desk.take_ejections().is_empty(), stays, "{outcome:?}");
    }
}

#[test]
fn nobody_is_judged_without_rules_for_it() {
    let mut world = World::new(rules(Mode::Pull), 2);
    fail(&mut world, 1, 50);
    assert!(world.desk.take_ejections().is_empty());
    assert_eq!(world.desk.next_wakeup(), None);
    world.desk.on_wakeup(world.now);
}

#[test]
fn one_that_is_out_is_back_when_too_few_others_are_left() {
    let mut world = judged(2);
    fail(&mut world, 1, 5);
    assert_eq!(world.desk.take_ejections().len(), 1);
    world.put_for(9, Wanted::keyed(3));
    world.desk.remove(2, world.now);
    let restored = Ejection::Restored { worker: 1 };
    assert_eq!(world.desk.take_ejections(), [restored]);
    assert_eq!(world.rings(), [1]);
    assert_eq!(world.gets(1), Some(9), "its key leads there now");
}

#[test]
fn one_that_is_gone_is_not_judged_any_more() {
    let mut world = judged(3);
    fail(&mut world, 1, 4);
    world.put_for(1, world.key_of(1));
    let (_, claim) = world.comes(1).unwrap();
    assert_eq!(world.desk.remove(1, world.now), [1]);
    assert_eq!(world.finish(claim, Outcome::Error), None);
    assert!(world.desk.take_ejections().is_empty());
}

#[test]
fn of_those_with_room_the_quickest_gets_the_next() {
    let mut world = World::new(of_concurrency(Mode::Give, 2), 2);
    world.put(1);
    world.put(2);
    let given = world.gives();
    for (_, claim) in &given {
        world.put(9);
        let took = if claim.worker == 1 {
            9 * SECOND
        } else {
            SECOND
        };
        world.desk.finish(*claim, Outcome::Ok, took, world.now);
    }
    world.put(3);
    let first = world.gives();
    assert_eq!(first.len(), 3);
    assert_eq!(first[2].1.worker, 2, "both have one");
}

#[test]
fn how_much_memory_workers_have_is_noted() {
    let rules = DeskRules {
        crew: CrewRules::default().max_memory(10),
        ..rules(Mode::Pull)
    };
    let mut world = World::new(rules, 1);
    world.desk.crew_mut().on_memory(1, 11);
    assert_eq!(world.desk.crew().served(world.now).len(), 1);
}

#[test]
fn the_standing_of_an_earlier_life_is_ignored() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.desk.on_standing(1, 2, true, world.now);
    world.put(1);
    world.gets(1);
    assert!(world.desk.on_standing(1, 1, true, world.now).is_empty());
    assert_eq!(world.desk.crew().generation(1), Some(2));
}
