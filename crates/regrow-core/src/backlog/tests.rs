//! Who is next, case by case; random histories beside a naive model; what tenants get of each other.

use std::time::Duration;

use super::*;
use crate::testing::t0;

mod fairness;
mod histories;
mod model;
mod moving;
mod overload;
mod room;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// A backlog of words, and the time that it is told.
struct Rig {
    backlog: Backlog<&'static str>,
    begin: Instant,
    now: Instant,
}

impl Rig {
    fn new(rules: BacklogRules) -> Self {
        let now = t0();
        Self {
            backlog: Backlog::new(rules).unwrap(),
            begin: now,
            now,
        }
    }

    fn roomy() -> Self {
        Self::new(BacklogRules::new(1_000))
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn push(&mut self, job: &'static str, terms: Terms) -> Ticket {
        self.backlog.push(job, terms, self.now)
    }

    fn push_all(&mut self, jobs: &[&'static str], terms: &Terms) {
        for job in jobs {
            self.push(job, terms.clone());
        }
    }

    fn pop(&mut self) -> Option<&'static str> {
        self.backlog.pop(self.now).map(|taken| taken.payload)
    }

    fn pop_all(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    fn refused(&mut self) -> Vec<(&'static str, Refusal)> {
        let refused = self.backlog.take_refused().into_iter();
        refused.map(|one| (one.payload, one.why)).collect()
    }
}

fn of(tenant: &str) -> Terms {
    Terms::default().tenant(tenant)
}

fn class(priority: Priority) -> Terms {
    Terms::default().priority(priority)
}

#[test]
fn priorities_are_words_and_normal_is_usual() {
    let words = Priority::ALL.iter().map(|class| class.as_str());
    assert_eq!(
        words.collect::<Vec<_>>(),
        ["low", "normal", "high", "critical"]
    );
    assert_eq!("high".parse(), Ok(Priority::High));
    assert_eq!(Terms::default().priority, Priority::Normal);
    assert!(Priority::Low < Priority::Critical);
}

#[test]
fn a_higher_class_comes_first_and_the_oldest_of_a_class() {
    let mut rig = Rig::roomy();
    let pushed = [
        ("l1", Priority::Low),
        ("n1", Priority::Normal),
        ("c1", Priority::Critical),
        ("h1", Priority::High),
        ("c2", Priority::Critical),
        ("n2", Priority::Normal),
    ];
    for (job, priority) in pushed {
        rig.push(job, class(priority));
    }
    assert_eq!(rig.backlog.highest(rig.now), Some(Priority::Critical));
    assert_eq!(rig.pop_all(), ["c1", "c2", "h1", "n1", "n2", "l1"]);
    assert_eq!(rig.backlog.highest(rig.now), None);
}

#[test]
fn what_is_taken_says_what_it_was_and_how_long_it_waited() {
    let mut rig = Rig::roomy();
    let terms = of("a").cost(7).deadline(rig.now + SECOND * 9);
    let ticket = rig.push("job", terms.clone());
    assert_eq!(rig.backlog.total_cost(), 7);
    rig.pass(SECOND * 2);
    let taken = rig.backlog.pop(rig.now).unwrap();
    let (job, waited) = (taken.payload, taken.waited);
    assert_eq!((job, taken.ticket, waited), ("job", ticket, SECOND * 2));
    assert_eq!(taken.terms, terms);
    assert_eq!((rig.backlog.total_cost(), rig.backlog.len()), (0, 0));
    assert!(rig.backlog.is_empty());
}

#[test]
fn a_cost_of_nothing_counts_as_one() {
    let mut rig = Rig::roomy();
    rig.push("job", Terms::default().cost(0));
    assert_eq!(rig.backlog.total_cost(), 1);
    assert_eq!(rig.backlog.pop(rig.now).unwrap().terms.cost, 1);
}

#[test]
fn who_waits_moves_up_a_class_each_ten_seconds_to_the_end_of_it() {
    let mut rig = Rig::roomy();
    rig.push("low", class(Priority::Low));
    rig.pass(SECOND * 10 - MILLI);
    rig.push("before", class(Priority::Normal));
    assert_eq!(rig.backlog.highest(rig.now), Some(Priority::Normal));
    rig.pass(MILLI * 2);
    rig.push("after", class(Priority::Normal));
    assert_eq!(rig.pop(), Some("before"));
    assert_eq!(rig.pop(), Some("low"));
    assert_eq!(rig.pop(), Some("after"));

    rig.push("low", class(Priority::Low));
    for (seconds, expected) in [
        (9, Priority::Low),
        (1, Priority::Normal),
        (10, Priority::High),
        (9, Priority::High),
        (1, Priority::Critical),
        (100, Priority::Critical),
    ] {
        rig.pass(SECOND * seconds);
        assert_eq!(rig.backlog.highest(rig.now), Some(expected));
    }
    rig.push("critical", class(Priority::Critical));
    assert_eq!(rig.pop_all(), ["low", "critical"]);
}

#[test]
fn however_late_it_is_looked_at_they_move_up_in_the_order_in_which_their_time_came() {
    let mut rig = Rig::roomy();
    // In the highest class after 30 s, 20 + 4 s, 10 + 17 s.
    rig.push("30", class(Priority::Low));
    rig.pass(SECOND * 4);
    rig.push("24", class(Priority::Normal));
    rig.pass(SECOND * 13);
    rig.push("27", class(Priority::High));
    rig.pass(SECOND * 83);
    assert_eq!(rig.pop_all(), ["24", "27", "30"]);
}

#[test]
fn without_ageing_nobody_moves_up() {
    let mut rig = Rig::new(BacklogRules::new(9).ageing(Duration::MAX));
    rig.push("low", class(Priority::Low));
    rig.pass(SECOND * 1_000_000);
    rig.push("normal", Terms::default());
    assert_eq!(rig.pop_all(), ["normal", "low"]);
}

#[test]
fn tenants_take_turns_and_who_is_new_stands_at_the_end() {
    let mut rig = Rig::roomy();
    rig.push_all(&["a1", "a2", "a3", "a4"], &of("a"));
    rig.push_all(&["b1", "b2"], &of("b"));
    assert_eq!(rig.pop(), Some("a1"));
    rig.push("c1", of("c"));
    rig.push("-", Terms::default());
    assert_eq!(rig.pop_all(), ["b1", "c1", "-", "a2", "b2", "a3", "a4"]);
}

#[test]
fn a_weight_is_so_many_shares() {
    let rules = BacklogRules::new(99).weight("a", 3);
    let mut rig = Rig::new(rules);
    rig.push_all(&["a1", "a2", "a3", "a4", "a5", "a6", "a7"], &of("a"));
    rig.push_all(&["b1", "b2", "b3"], &of("b"));
    let order = ["a1", "a2", "a3", "b1", "a4", "a5", "a6", "b2", "a7", "b3"];
    assert_eq!(rig.pop_all(), order);
}

#[test]
fn who_sends_large_jobs_gets_fewer_of_them_done() {
    let mut rig = Rig::roomy();
    // 40 on average, by how they come: b's third one is covered, a's second is not.
    for (a, b) in [("a1", "b1"), ("a2", "b2"), ("a3", "b3"), ("a4", "b4")] {
        rig.push(a, of("a").cost(60));
        rig.push(b, of("b").cost(20));
    }
    let order = rig.pop_all();
    let before = |job: &str| order.iter().position(|one| *one == job).unwrap();
    assert!(before("b4") < before("a3"), "{order:?}");
    assert!(before("a1") < before("b4"), "{order:?}");
}

#[test]
fn a_tenant_without_jobs_is_forgotten_with_what_it_has_got() {
    // Those of nobody are one too.
    for terms in [of("b"), Terms::default()] {
        let mut rig = Rig::roomy();
        let b1 = rig.push("b1", terms.clone().cost(100));
        rig.push_all(&["a"; 100], &of("a").cost(10));
        for _ in 0..8 {
            assert_eq!(rig.pop(), Some("a"));
        }
        // By now it has got what covers eight small jobs; and goes, and comes with such.
        assert_eq!(rig.backlog.cancel(b1), Some("b1"));
        rig.push_all(&["b"; 10], &terms.cost(10));
        let next: Vec<_> = (0..6).filter_map(|_| rig.pop()).collect();
        assert_eq!(next, ["b", "a", "b", "a", "b", "a"]);
    }
}

#[test]
fn names_of_tenants_take_no_memory_once_they_have_no_jobs() {
    let mut rig = Rig::roomy();
    for tenant in 0..1_000 {
        let ticket = rig.push("job", of(&tenant.to_string()));
        if tenant % 2 == 0 {
            rig.backlog.cancel(ticket);
        } else {
            rig.pop();
        }
    }
    assert_eq!(rig.backlog.turns.names(), 0);
    assert_eq!(rig.backlog.slots.all.len(), 1);
}

#[test]
fn rounds_are_counted_over_all_classes() {
    let mut rig = Rig::roomy();
    assert_eq!(rig.backlog.rounds(), 0);
    rig.push_all(&["1", "2", "3"], &Terms::default());
    rig.push_all(&["4", "5"], &class(Priority::High));
    for rounds in 1..=5 {
        assert!(rig.pop().is_some());
        assert_eq!(rig.backlog.rounds(), rounds);
    }
}

#[test]
fn a_job_of_a_million_costs_no_million_rounds_that_are_gone_through() {
    let (mut turns, asked) = (Turns::new(), std::cell::Cell::new(0));
    let mut arena = [list::Links::NONE; 2];
    for (at, tenant) in [(0, "a"), (1, "b")] {
        let lane = turns.enter(1, Some(tenant.into()), |_| 1);
        turns.jobs(lane).push(at, &mut arena, |links| links);
    }
    let cost = |lane: &Lane| {
        asked.set(asked.get() + 1);
        if lane.jobs.first == 0 {
            1_000_000
        } else {
            999_999
        }
    };
    let next = turns.next(1, 1, cost);
    assert_eq!(turns.lane(next).tenant.as_deref(), Some("b"));
    assert_eq!(turns.rounds(), 999_999);
    assert!(asked.get() < 10, "{asked:?}");
    turns.charge(next, 999_999);
    let next = turns.next(1, 1, cost);
    assert_eq!(turns.lane(next).tenant.as_deref(), Some("a"));
    assert_eq!(turns.rounds(), 1_000_000);
}

#[test]
fn a_job_that_is_cancelled_is_gone_at_once_and_its_ticket_names_no_other() {
    let mut rig = Rig::roomy();
    let first = rig.push("first", Terms::default().cost(5));
    let second = rig.push("second", Terms::default());
    assert!(rig.backlog.contains(first));
    assert_eq!(rig.backlog.cancel(first), Some("first"));
    assert!(!rig.backlog.contains(first));
    assert_eq!((rig.backlog.len(), rig.backlog.total_cost()), (1, 1));
    // It has the same place.
    let third = rig.push("third", Terms::default());
    assert_eq!(third.slot, first.slot);
    assert_eq!(rig.backlog.cancel(first), None);
    assert_eq!(rig.pop(), Some("second"));
    assert_eq!(rig.backlog.cancel(second), None);
    assert_eq!(rig.pop(), Some("third"));
    assert_eq!(rig.backlog.cancel(third), None);
}

#[test]
fn a_job_whose_deadline_is_over_is_refused_and_never_taken() {
    let mut rig = Rig::roomy();
    let begin = rig.now;
    let until = |seconds| Terms::default().deadline(begin + SECOND * seconds);
    rig.push("late", until(9));
    rig.push("soon", until(5));
    rig.push("open", Terms::default());
    assert_eq!(rig.backlog.next_wakeup(), Some(begin + SECOND * 5));
    rig.now = begin + SECOND * 5 - MILLI;
    rig.backlog.on_wakeup(rig.now);
    assert_eq!(rig.refused(), []);
    rig.now = begin + SECOND * 5;
    rig.backlog.on_wakeup(rig.now);
    let refused = rig.backlog.take_refused();
    let [refused] = &*refused else {
        panic!("{refused:?}")
    };
    assert_eq!((refused.payload, refused.why), ("soon", Refusal::Expired));
    assert_eq!(refused.waited, SECOND * 5);
    assert_eq!(rig.backlog.next_wakeup(), Some(begin + SECOND * 9));
    rig.now = begin + SECOND * 60;
    assert_eq!(rig.pop_all(), ["open"]);
    assert_eq!(rig.refused(), [("late", Refusal::Expired)]);
    assert_eq!(rig.backlog.next_wakeup(), None);
}

#[test]
fn deadlines_of_those_that_have_left_are_not_kept() {
    let mut rig = Rig::roomy();
    let begin = rig.now;
    let until = |seconds| Terms::default().deadline(begin + SECOND * seconds);
    rig.push("first", until(1));
    let kept = (2..1_000).map(|seconds| {
        let ticket = rig.push("job", until(seconds));
        rig.backlog.cancel(ticket);
        rig.backlog.due.len()
    });
    // Few are kept until there are more of them than of others.
    let all = (2..=34).chain([1]).cycle().take(998);
    assert_eq!(kept.collect::<Vec<_>>(), all.collect::<Vec<_>>());
    assert_eq!(rig.backlog.next_wakeup(), Some(begin + SECOND));
    let last = rig.push("last", until(2_000));
    assert_eq!(rig.pop(), Some("first"));
    assert_eq!(rig.backlog.next_wakeup(), Some(begin + SECOND * 2_000));
    rig.backlog.cancel(last);
    assert_eq!(
        (rig.backlog.next_wakeup(), rig.backlog.due.len()),
        (None, 0)
    );
}

#[test]
fn deadlines_go_together_with_many_that_leave_at_once() {
    let mut rig = Rig::roomy();
    let until = |seconds| Terms::default().deadline(rig.begin + SECOND * seconds);
    let all: Vec<_> = (1..=101).map(until).collect();
    let tickets: Vec<_> = all
        .into_iter()
        .map(|terms| rig.push("job", terms))
        .collect();
    for (left, ticket) in (1..=100).zip(tickets.into_iter().rev()) {
        rig.backlog.cancel(ticket);
        assert_eq!(
            rig.backlog.due.len(),
            if left < 67 { 101 } else { 34 },
            "{left}"
        );
    }
}

#[test]
fn a_time_before_the_latest_counts_as_that() {
    let mut rig = Rig::roomy();
    rig.pass(SECOND * 9);
    rig.push("first", Terms::default());
    rig.now = rig.begin;
    rig.push("second", Terms::default());
    rig.now = rig.begin + SECOND * 10;
    let waited = |rig: &mut Rig| rig.backlog.pop(rig.now).map(|taken| taken.waited);
    assert_eq!(waited(&mut rig), Some(SECOND));
    assert_eq!(waited(&mut rig), Some(SECOND));
}

#[test]
fn the_age_of_the_oldest_is_that_of_whoever_came_first_whatever_its_class() {
    let mut rig = Rig::roomy();
    assert_eq!(rig.backlog.oldest(rig.now), None);
    let low = rig.push("low", class(Priority::Low));
    rig.pass(SECOND * 3);
    rig.push("critical", class(Priority::Critical));
    rig.pass(SECOND * 12);
    assert_eq!(rig.backlog.oldest(rig.now), Some(SECOND * 15));
    rig.backlog.on_wakeup(rig.now);
    assert_eq!(rig.backlog.oldest(rig.now), Some(SECOND * 15));
    rig.backlog.cancel(low);
    assert_eq!(rig.backlog.oldest(rig.now), Some(SECOND * 12));
}

#[test]
fn rules_that_cannot_work_are_refused_and_named() {
    let rules = || BacklogRules::new(1);
    let fixed = |target| OverloadRules::new(Target::Fixed(target));
    let auto = OverloadRules::new(Target::Auto);
    for (rules, text) in [
        (
            rules().weight("a", 0),
            "weight: expected 1 to 1000000, got 0 for \"a\"",
        ),
        (
            rules().weight("b", 1_000_001),
            "weight: expected 1 to 1000000, got 1000001 for \"b\"",
        ),
        (
            rules().ageing(Duration::ZERO),
            "ageing: expected more than 0 s, got 0 s",
        ),
        (
            rules().overload(fixed(Duration::ZERO)),
            "target: expected more than 0 s, got 0 s",
        ),
        (
            rules().overload(fixed(SECOND).interval(SECOND)),
            "interval: expected more than the target, got 1s and 1s",
        ),
        (
            rules().overload(auto.interval(MILLI * 50)),
            "interval: expected more than the target, got 50ms and 50ms",
        ),
    ] {
        assert_eq!(rules.check().unwrap_err().to_string(), text);
        assert!(Backlog::<()>::new(rules).is_err());
    }
    for rules in [
        rules().weight("a", 1).weight("b", 1_000_000),
        rules().overload(OverloadRules::rpc()),
        rules().overload(auto.interval(MILLI * 51)),
        rules().overload(fixed(SECOND)),
        BacklogRules::new(0),
    ] {
        assert_eq!(rules.check(), Ok(()));
        assert_eq!(Backlog::<()>::new(rules.clone()).unwrap().rules(), &rules);
    }
}
