//! From one backlog to another.

use super::*;

#[test]
fn what_is_taken_out_is_in_order_of_age_and_keeps_what_it_is() {
    let mut rig = Rig::roomy();
    let deadline = rig.now + SECOND * 99;
    let terms = of("a").priority(Priority::Low).cost(3).deadline(deadline);
    let ticket = rig.push("1", terms.clone());
    rig.pass(SECOND);
    rig.push("2", class(Priority::Critical));
    rig.push("3", of("a"));
    // It is used again.
    rig.pop();
    rig.push("4", Terms::default());
    rig.pass(SECOND * 20);
    let jobs = rig.backlog.drain();
    let names: Vec<_> = jobs.iter().map(|job| job.payload).collect();
    assert_eq!(names, ["1", "3", "4"]);
    assert_eq!((&jobs[0].terms, jobs[0].ticket), (&terms, ticket));
    assert_eq!(jobs[0].since, rig.begin);
    assert_eq!((rig.backlog.len(), rig.backlog.total_cost()), (0, 0));
    assert_eq!(rig.backlog.next_wakeup(), None);
    assert_eq!(rig.backlog.cancel(ticket), None);
    assert_eq!((rig.pop(), rig.refused()), (None, vec![]));
}

#[test]
fn who_comes_from_another_stands_before_the_younger_ones() {
    let (mut from, mut to) = (Rig::roomy(), Rig::roomy());
    to.now = from.now;
    for (early, late) in [("1", "2"), ("3", "4"), ("5", "6")] {
        from.push(early, of("a"));
        from.pass(SECOND);
        to.now = from.now;
        to.push(late, of("a"));
        from.pass(SECOND);
        to.now = from.now;
    }
    let last = to.push("7", of("a"));
    let tickets = to.backlog.adopt(from.backlog.drain(), to.now);
    assert_eq!(tickets.len(), 3);
    assert_eq!(to.backlog.cancel(tickets[1]), Some("3"));
    assert!(to.backlog.contains(last));
    assert_eq!(to.backlog.oldest(to.now), Some(SECOND * 6));
    assert_eq!(to.pop_all(), ["1", "2", "4", "5", "6", "7"]);
}

#[test]
fn who_has_moved_up_has_in_the_other_backlog_too_and_goes_on_to() {
    let (mut from, mut to) = (Rig::roomy(), Rig::roomy());
    from.now = to.now;
    from.push("low", class(Priority::Low));
    from.push("high", class(Priority::High));
    from.pass(SECOND * 5);
    from.push("normal", class(Priority::Normal));
    to.pass(SECOND * 29);
    to.push("native", class(Priority::High));
    to.backlog.adopt(from.backlog.drain(), to.now);
    // Critical since 10 s and 25 s; high since 20 s and 29 s.
    assert_eq!(to.backlog.highest(to.now), Some(Priority::Critical));
    assert_eq!(to.pop(), Some("high"));
    assert_eq!(to.pop(), Some("normal"));
    assert_eq!(to.backlog.highest(to.now), Some(Priority::High));
    to.pass(SECOND);
    assert_eq!(to.backlog.highest(to.now), Some(Priority::Critical));
    to.push("critical", class(Priority::Critical));
    assert_eq!(to.pop_all(), ["low", "critical", "native"]);
}

#[test]
fn who_comes_from_another_needs_no_room_and_its_deadline_comes_along() {
    let (mut from, mut to) = (Rig::roomy(), Rig::new(BacklogRules::new(1)));
    from.now = to.now;
    let until = |seconds| Terms::default().deadline(to.begin + SECOND * seconds);
    from.push("over", until(1));
    from.push("soon", until(3));
    to.push("native", Terms::default());
    to.pass(SECOND * 2);
    to.backlog.adopt(from.backlog.drain(), to.now);
    assert_eq!(to.refused(), [("over", Refusal::Expired)]);
    assert_eq!(to.backlog.next_wakeup(), Some(to.begin + SECOND * 3));
    assert_eq!(to.backlog.len(), 2);
    to.pass(SECOND);
    assert_eq!(
        (to.pop(), to.refused()),
        (Some("native"), vec![("soon", Refusal::Expired)])
    );
}

#[test]
fn nobody_has_waited_since_later_than_now() {
    let (mut from, mut to) = (Rig::roomy(), Rig::roomy());
    from.now = to.now + SECOND;
    from.push("job", Terms::default());
    to.backlog.adopt(from.backlog.drain(), to.now);
    to.push("next", Terms::default());
    let taken = to.backlog.pop(to.now + SECOND).unwrap();
    assert_eq!((taken.payload, taken.waited), ("job", SECOND));
}
