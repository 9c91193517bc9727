//! When there is too much to do, and what is done about it.

use super::*;

/// A target of 10 ms, in intervals of 100 ms.
fn rig() -> Rig {
    let rules = OverloadRules::new(Target::Fixed(MILLI * 10)).interval(MILLI * 100);
    Rig::new(BacklogRules::new(1_000).overload(rules))
}

impl Rig {
    /// A job that waits so long until it is taken.
    fn through(&mut self, waits: Duration) -> Option<&'static str> {
        self.push("job", Terms::default());
        self.pass(waits);
        self.pop()
    }

    /// Enough of too long waits: now there is too much to do. Nothing waits.
    fn overload(&mut self) {
        for _ in 0..8 {
            assert_eq!(self.through(MILLI * 15), Some("job"));
        }
        assert!(self.backlog.is_overloaded());
        assert!(self.backlog.take_overload_change().unwrap().overloaded);
    }
}

#[test]
fn it_is_too_much_when_nobody_in_an_interval_waited_less_than_the_target() {
    let mut rig = rig();
    // Until the interval is over, and that moment belongs to it.
    for waits in [20, 11, 89] {
        assert_eq!(rig.through(MILLI * waits), Some("job"));
    }
    assert_eq!(rig.now, rig.begin + MILLI * 120);
    assert!(!rig.backlog.is_overloaded());
    assert_eq!(rig.through(MILLI * 30), Some("job"));
    let change = OverloadChange {
        overloaded: true,
        min_wait: MILLI * 11,
        target: MILLI * 10,
    };
    assert_eq!(rig.backlog.take_overload_change(), Some(change));
    assert_eq!(rig.backlog.take_overload_change(), None);
    assert!(rig.backlog.is_overloaded());
}

#[test]
fn one_that_waited_no_longer_than_the_target_is_enough() {
    for (waits, overloaded) in [(10, false), (11, true)] {
        let mut rig = rig();
        for waits in [50, waits, 50, 50] {
            rig.through(MILLI * waits);
        }
        assert_eq!(rig.backlog.is_overloaded(), overloaded);
    }
}

#[test]
fn who_asks_for_work_and_gets_none_counts_as_a_wait_of_nothing() {
    let mut rig = rig();
    rig.through(MILLI * 50);
    rig.pop();
    for _ in 0..2 {
        rig.through(MILLI * 60);
    }
    assert!(!rig.backlog.is_overloaded());
}

#[test]
fn the_minimum_starts_anew_with_each_interval() {
    let mut rig = rig();
    let changed = |rig: &mut Rig| {
        let change = rig.backlog.take_overload_change();
        change.map(|change| (change.overloaded, change.min_wait))
    };
    rig.pop();
    // Judged at 120 ms, by a wait of nothing, and at 240 ms, by waits of 60.
    for expected in [None, None, None, Some((true, MILLI * 60))] {
        rig.through(MILLI * 60);
        assert_eq!(changed(&mut rig), expected);
    }
    rig.pop();
    for expected in [None, Some((false, Duration::ZERO)), None] {
        rig.through(MILLI * 60);
        assert_eq!(changed(&mut rig), expected);
    }
    assert!(!rig.backlog.is_overloaded());
}

#[test]
fn while_it_is_too_much_the_newest_comes_first_and_who_has_waited_two_targets_is_shed() {
    let mut rig = rig();
    rig.overload();
    rig.push_all(&["a1", "a2"], &of("a"));
    rig.push("low", class(Priority::Low));
    rig.pass(MILLI);
    rig.push_all(&["a3", "b1"], &of("a"));
    rig.push("critical", class(Priority::Critical));
    rig.pass(MILLI * 20);
    // Exactly two targets are not too long.
    assert_eq!(rig.pop(), Some("critical"));
    let mut shed = rig.refused();
    shed.sort_unstable();
    assert_eq!(shed, ["a1", "a2", "low"].map(|job| (job, Refusal::Shed)));
    assert_eq!(rig.pop_all(), ["b1", "a3"]);
}

#[test]
fn the_newest_is_that_of_a_tenant_whose_turn_it_is_still_its() {
    let mut rig = rig();
    rig.overload();
    rig.push_all(&["a1", "a2", "a3"], &of("a"));
    rig.push_all(&["b1", "b2"], &of("b"));
    rig.pass(MILLI * 11);
    assert_eq!(rig.pop_all(), ["a3", "b2", "a2", "b1", "a1"]);
}

#[test]
fn the_judgement_goes_by_the_oldest_also_while_the_newest_is_taken() {
    let mut rig = rig();
    rig.overload();
    rig.push("old", Terms::default());
    for _ in 0..20 {
        rig.push("old", Terms::default());
        rig.pass(MILLI * 12);
        // It has not waited at all, because it has passed all others.
        rig.push("new", Terms::default());
        assert_eq!(rig.pop(), Some("new"));
    }
    assert!(rig.backlog.is_overloaded());
    assert_eq!(rig.backlog.take_overload_change(), None);
    assert!(!rig.refused().is_empty());
}

#[test]
fn nothing_is_shed_at_the_moment_of_the_judgement() {
    let mut rig = rig();
    rig.overload();
    rig.push_all(&["1", "2", "3"], &Terms::default());
    rig.pass(SECOND);
    assert_eq!(rig.pop(), Some("3"));
    assert_eq!(rig.refused(), []);
    assert_eq!(rig.pop(), None);
    assert_eq!(rig.refused(), [("1", Refusal::Shed), ("2", Refusal::Shed)]);
}

#[test]
fn without_rules_for_it_nothing_is_shed() {
    let mut rig = Rig::roomy();
    for _ in 0..10 {
        rig.through(SECOND * 9);
    }
    rig.push_all(&["1", "2"], &Terms::default());
    rig.pass(SECOND * 60);
    rig.backlog.served(SECOND);
    assert!(!rig.backlog.is_overloaded());
    assert_eq!(rig.backlog.take_overload_change(), None);
    assert_eq!(rig.pop_all(), ["1", "2"]);
}

#[test]
fn the_target_is_fixed_or_half_of_what_a_job_takes_and_the_interval_twenty_of_it() {
    let rules = OverloadRules::rpc();
    assert_eq!(rules.target(SECOND), MILLI * 5);
    assert_eq!(rules.interval_for(MILLI * 5), MILLI * 100);
    let rules = OverloadRules::new(Target::Auto);
    for (service, target) in [(0, 50), (100, 50), (102, 51), (4_000, 2_000)] {
        assert_eq!(rules.target(MILLI * service), MILLI * target);
    }
    assert_eq!(rules.interval_for(MILLI * 50), SECOND);
    assert_eq!(rules.interval(SECOND * 3).interval_for(MILLI), SECOND * 3);
}

#[test]
fn what_a_job_takes_is_a_mean_in_which_a_new_one_counts_for_an_eighth() {
    let mut overload = Overload::new(OverloadRules::new(Target::Auto));
    assert_eq!(overload.target(), MILLI * 50);
    overload.served(SECOND);
    assert_eq!(overload.target(), MILLI * 500);
    overload.served(SECOND * 9);
    assert_eq!(
        (overload.target(), overload.patience()),
        (SECOND, SECOND * 2)
    );
    overload.served(Duration::ZERO);
    assert_eq!(overload.target(), MILLI * 875);
    overload.served(Duration::MAX);
    assert!(overload.target() > SECOND * 1_000_000);
}

#[test]
fn an_interval_is_as_long_as_the_target_wants_when_it_begins() {
    let mut overload = Overload::new(OverloadRules::new(Target::Auto));
    let begin = t0();
    overload.served(MILLI * 200);
    // A target of 100 ms: until 2 s.
    assert!(!overload.on_pop(MILLI * 101, begin));
    assert!(!overload.on_pop(MILLI * 101, begin + SECOND * 2));
    assert_eq!(overload.changed, None);
    assert!(!overload.on_pop(MILLI * 101, begin + SECOND * 2 + MILLI));
    assert_eq!(overload.changed.map(|change| change.overloaded), Some(true));
    assert!(overload.on_pop(MILLI * 101, begin + SECOND * 4 + MILLI));
}

#[test]
fn where_jobs_take_long_a_long_wait_is_not_too_much() {
    for (service, overloaded) in [(None, true), (Some(SECOND), false)] {
        let rules = OverloadRules::new(Target::Auto);
        let mut rig = Rig::new(BacklogRules::new(9).overload(rules));
        if let Some(service) = service {
            rig.backlog.served(service);
        }
        for _ in 0..100 {
            rig.through(MILLI * 400);
        }
        assert_eq!(rig.backlog.is_overloaded(), overloaded);
    }
}
