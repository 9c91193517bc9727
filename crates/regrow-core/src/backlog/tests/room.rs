//! For whom there is room.

use super::*;

fn offer(
    rig: &mut Rig,
    job: &'static str,
    terms: Terms,
) -> Result<Option<&'static str>, &'static str> {
    match rig.backlog.offer(job, terms, rig.now) {
        Offered::Queued { ticket, dropped } => {
            assert!(rig.backlog.contains(ticket));
            let why = dropped.as_ref().map(|dropped| dropped.why);
            assert!(matches!(why, None | Some(Refusal::Dropped)));
            Ok(dropped.map(|dropped| dropped.payload))
        }
        Offered::Full(job) => Err(job),
        Offered::Expired(job) => panic!("{job} is expired"),
    }
}

#[test]
fn who_waits_outside_or_is_rejected_gets_the_job_back() {
    for overflow in [Overflow::Wait, Overflow::Reject] {
        let mut rig = Rig::new(BacklogRules::new(2).overflow(overflow));
        for job in ["1", "2"] {
            assert!(!rig.backlog.is_full());
            assert_eq!(offer(&mut rig, job, Terms::default()), Ok(None));
        }
        assert!(rig.backlog.is_full());
        let better = class(Priority::Critical);
        assert_eq!(offer(&mut rig, "3", better), Err("3"));
        assert_eq!(rig.pop(), Some("1"));
        assert_eq!(offer(&mut rig, "4", Terms::default()), Ok(None));
        assert_eq!(rig.pop_all(), ["2", "4"]);
    }
    assert_eq!(
        BacklogRules::new(1),
        BacklogRules::new(1).overflow(Overflow::Wait)
    );
}

#[test]
fn the_oldest_of_the_lowest_class_goes_unless_all_are_better() {
    let mut rig = Rig::new(BacklogRules::new(4).overflow(Overflow::DropOldest));
    rig.push("h1", class(Priority::High));
    rig.push("n1", class(Priority::Normal));
    rig.push("n2", of("a").priority(Priority::Normal));
    rig.push("h2", class(Priority::High));
    assert_eq!(offer(&mut rig, "l1", class(Priority::Low)), Err("l1"));
    assert_eq!(offer(&mut rig, "n3", of("b")), Ok(Some("n1")));
    assert_eq!(
        offer(&mut rig, "c1", class(Priority::Critical)),
        Ok(Some("n2"))
    );
    assert_eq!(
        offer(&mut rig, "c2", class(Priority::Critical)),
        Ok(Some("n3"))
    );
    assert_eq!(
        offer(&mut rig, "c3", class(Priority::Critical)),
        Ok(Some("h1"))
    );
    assert_eq!(offer(&mut rig, "h3", class(Priority::High)), Ok(Some("h2")));
    assert_eq!(rig.pop_all(), ["c1", "c2", "c3", "h3"]);
    assert_eq!(rig.refused(), []);
}

#[test]
fn the_newest_of_the_lowest_class_goes_which_may_be_the_one_that_comes() {
    let mut rig = Rig::new(BacklogRules::new(4).overflow(Overflow::DropNewest));
    rig.push("n1", class(Priority::Normal));
    rig.push("n2", class(Priority::Normal));
    rig.push("l1", class(Priority::Low));
    rig.push("h1", class(Priority::High));
    assert_eq!(offer(&mut rig, "l2", class(Priority::Low)), Err("l2"));
    assert_eq!(
        offer(&mut rig, "n3", class(Priority::Normal)),
        Ok(Some("l1"))
    );
    assert_eq!(offer(&mut rig, "n4", class(Priority::Normal)), Err("n4"));
    assert_eq!(
        offer(&mut rig, "c1", class(Priority::Critical)),
        Ok(Some("n3"))
    );
    assert_eq!(offer(&mut rig, "h2", class(Priority::High)), Ok(Some("n2")));
    assert_eq!(rig.pop_all(), ["c1", "h1", "h2", "n1"]);
}

#[test]
fn in_a_class_the_age_counts_of_those_too_that_have_moved_up() {
    for (overflow, gone) in [(Overflow::DropOldest, "old"), (Overflow::DropNewest, "new")] {
        let mut rig = Rig::new(BacklogRules::new(3).overflow(overflow));
        rig.push("old", class(Priority::Low));
        rig.push("older", class(Priority::Normal));
        rig.pass(SECOND * 10);
        rig.push("new", class(Priority::Normal));
        // By now: old and new are normal, older is high.
        assert_eq!(
            offer(&mut rig, "better", class(Priority::High)),
            Ok(Some(gone))
        );
    }
}

#[test]
fn who_is_late_already_takes_nobodys_place() {
    let mut rig = Rig::new(BacklogRules::new(1).overflow(Overflow::DropOldest));
    rig.push("job", Terms::default());
    let late = Terms::default().deadline(rig.now);
    let offered = rig.backlog.offer("late", late, rig.now);
    assert!(matches!(offered, Offered::Expired("late")), "{offered:?}");
    assert_eq!(rig.pop_all(), ["job"]);
}

#[test]
fn who_is_over_makes_room() {
    let mut rig = Rig::new(BacklogRules::new(1));
    let soon = Terms::default().deadline(rig.now + SECOND);
    rig.push("job", soon.clone());
    assert_eq!(offer(&mut rig, "early", soon), Err("early"));
    rig.pass(SECOND);
    assert_eq!(offer(&mut rig, "next", Terms::default()), Ok(None));
    assert_eq!(rig.refused(), [("job", Refusal::Expired)]);
}

#[test]
fn with_a_bound_of_nothing_nothing_waits() {
    for overflow in Overflow::ALL {
        let mut rig = Rig::new(BacklogRules::new(0).overflow(*overflow));
        assert_eq!(offer(&mut rig, "job", Terms::default()), Err("job"));
        assert_eq!(rig.backlog.reserve(rig.now), None);
    }
}

#[test]
fn a_place_that_is_kept_counts_and_is_used_once() {
    let mut rig = Rig::new(BacklogRules::new(2));
    let place = rig.backlog.reserve(rig.now).unwrap();
    assert_eq!((rig.backlog.reserved(), rig.backlog.len()), (1, 0));
    assert_eq!(offer(&mut rig, "1", Terms::default()), Ok(None));
    assert_eq!(rig.backlog.reserve(rig.now), None);
    assert_eq!(offer(&mut rig, "2", Terms::default()), Err("2"));
    let ticket = rig
        .backlog
        .push_reserved(place, "3", Terms::default(), rig.now);
    assert!(rig.backlog.contains(ticket));
    assert_eq!((rig.backlog.reserved(), rig.backlog.len()), (0, 2));
    assert!(rig.backlog.is_full());
    rig.pop();
    let place = rig.backlog.reserve(rig.now).unwrap();
    rig.backlog.unreserve(place);
    assert_eq!(rig.backlog.reserved(), 0);
    assert_eq!(offer(&mut rig, "4", Terms::default()), Ok(None));
    assert_eq!(rig.pop_all(), ["3", "4"]);
}

#[test]
fn who_is_over_makes_room_for_a_place_that_is_kept() {
    let mut rig = Rig::new(BacklogRules::new(1));
    rig.push("job", Terms::default().deadline(rig.now + SECOND));
    assert_eq!(rig.backlog.reserve(rig.now), None);
    assert!(rig.backlog.reserve(rig.now + SECOND).is_some());
}

#[test]
fn what_was_in_before_goes_in_whether_there_is_room_or_not() {
    let mut rig = Rig::new(BacklogRules::new(1));
    rig.push_all(&["1", "2"], &Terms::default());
    assert_eq!(rig.backlog.len(), 2);
    rig.pop();
    assert_eq!(offer(&mut rig, "3", Terms::default()), Err("3"));
}
