//! Who is out, for what, and for how long.

use super::*;
use crate::testing::t0;

mod histories;

const SECOND: Duration = Duration::from_secs(1);

/// So many workers, from 0 on, and the time that is told.
struct Rig {
    outliers: Outliers,
    begin: Instant,
    now: Instant,
}

impl Rig {
    fn new(rules: OutlierRules, workers: u64) -> Self {
        let mut outliers = Outliers::new(rules).unwrap();
        (0..workers).for_each(|worker| outliers.join(worker));
        let now = t0();
        Self {
            outliers,
            begin: now,
            now,
        }
    }

    fn of(workers: u64) -> Self {
        Self::new(OutlierRules::default(), workers)
    }

    /// So many calls of a worker fail, one after the other.
    fn fail(&mut self, worker: u64, times: u32) -> Option<Ejected> {
        let results = (0..times).map(|_| self.outliers.on_result(worker, false, self.now));
        results.fold(None, Option::or)
    }

    /// Of so many calls each seventh and so on fails, until it is this share of a hundred.
    fn calls(&mut self, worker: u64, count: u32, percent: u32) {
        for at in 0..count {
            let ok = (at * percent) / 100 != ((at + 1) * percent) / 100;
            assert_eq!(self.outliers.on_result(worker, ok, self.now), None);
        }
    }

    fn wake(&mut self, after: Duration) -> Vec<Change> {
        self.now = self.begin + after;
        self.outliers.on_wakeup(self.now)
    }

    fn next(&self) -> Option<Duration> {
        let at = self.outliers.next_wakeup();
        at.map(|at| at - self.begin)
    }

    /// Fails until it is out, and waits until it is back; how long that was.
    fn out_and_back(&mut self, worker: u64) -> (u32, Duration) {
        let ejected = self.fail(worker, 5).expect("ejected");
        self.now = ejected.until;
        assert_eq!(
            self.outliers.on_wakeup(self.now),
            [Change::Returned(worker)]
        );
        (ejected.ejections, ejected.lasts)
    }
}

#[test]
fn five_failures_in_a_row_put_a_worker_out_for_thirty_seconds() {
    let mut rig = Rig::of(10);
    assert_eq!(rig.fail(3, 4), None);
    assert_eq!(rig.outliers.on_result(3, true, rig.now), None);
    assert_eq!(rig.fail(3, 4), None);
    assert!(!rig.outliers.is_ejected(3));
    let expected = Ejected {
        worker: 3,
        cause: Cause::Consecutive(5),
        until: rig.now + SECOND * 30,
        lasts: SECOND * 30,
        ejections: 1,
    };
    assert_eq!(rig.fail(3, 1), Some(expected));
    assert!(rig.outliers.is_ejected(3));
    assert_eq!(rig.outliers.ejected(), 1);
    assert_eq!(rig.next(), Some(SECOND * 30));
    assert_eq!(rig.wake(SECOND * 30 - Duration::from_nanos(1)), []);
    assert_eq!(rig.wake(SECOND * 30), [Change::Returned(3)]);
    assert!(!rig.outliers.is_ejected(3));
    assert_eq!((rig.next(), rig.wake(SECOND * 31)), (None, vec![]));
}

#[test]
fn late_results_of_one_that_is_out_change_nothing() {
    let mut rig = Rig::of(10);
    assert!(rig.fail(3, 5).is_some());
    rig.now += SECOND * 20;
    assert_eq!(rig.fail(3, 1_000), None);
    assert_eq!(rig.next(), Some(SECOND * 30));
    assert_eq!(rig.wake(SECOND * 30), [Change::Returned(3)]);
    // Back, it has to fail anew.
    assert_eq!(rig.fail(3, 4), None);
    assert!(rig.fail(3, 1).is_some());
}

#[test]
fn each_time_is_longer_up_to_the_cap_and_each_interval_without_makes_up_for_one() {
    let mut rig = Rig::of(10);
    for times in 1..=10 {
        assert_eq!(rig.out_and_back(0), (times, SECOND * 30 * times));
    }
    assert_eq!(rig.out_and_back(0), (10, SECOND * 300));
    rig.now += SECOND * 10 - Duration::from_nanos(1);
    assert_eq!(rig.out_and_back(0), (10, SECOND * 300));
    rig.now += SECOND * 35;
    assert_eq!(rig.out_and_back(0), (8, SECOND * 240));
    rig.now += SECOND * 80;
    assert_eq!(rig.out_and_back(0), (1, SECOND * 30));
    rig.now += SECOND * 1_000_000;
    assert_eq!(rig.out_and_back(0), (1, SECOND * 30));
}

#[test]
fn a_tenth_is_out_at_once_at_most_but_one_may_be() {
    for (workers, allowed) in [(2, 1), (9, 1), (19, 1), (20, 2), (30, 3), (100, 10)] {
        let mut rig = Rig::of(workers);
        let ejected = (0..workers).filter_map(|worker| rig.fail(worker, 5));
        assert_eq!(ejected.count(), allowed, "of {workers}");
        assert_eq!(rig.outliers.ejected(), allowed);
    }
    let rules = OutlierRules::default().max_ejected(0.29);
    assert_eq!((rules.allowed(100), rules.allowed(99)), (29, 28));
}

#[test]
fn whoever_may_not_be_ejected_has_to_fail_as_often_once_more() {
    let mut rig = Rig::of(5);
    assert!(rig.fail(0, 5).is_some());
    assert_eq!(rig.fail(1, 5), None);
    assert_eq!(rig.wake(SECOND * 30), [Change::Returned(0)]);
    assert_eq!(rig.fail(1, 4), None);
    assert!(rig.fail(1, 1).is_some());
}

#[test]
fn an_only_worker_stays_and_never_all_are_out() {
    let mut rig = Rig::of(1);
    assert_eq!(rig.fail(0, 100), None);
    let rules = OutlierRules::default().max_ejected(1.0);
    let mut rig = Rig::new(rules, 4);
    let ejected = (0..4).filter_map(|worker| rig.fail(worker, 5));
    assert_eq!(ejected.count(), 3);
}

#[test]
fn whoever_is_out_comes_back_earlier_when_too_many_others_leave() {
    let mut rig = Rig::of(20);
    assert!(rig.fail(7, 5).is_some());
    rig.now += SECOND;
    assert!(rig.fail(4, 5).is_some());
    let leave = |rig: &mut Rig, worker| rig.outliers.leave(worker, rig.now);
    // Of 19 one may be out.
    assert_eq!(leave(&mut rig, 0), Some(Change::Returned(7)));
    assert_eq!((rig.outliers.workers(), rig.outliers.ejected()), (19, 1));
    assert!(rig.outliers.is_ejected(4));
    rig.now += SECOND * 9;
    let ejected = rig.fail(7, 5);
    assert_eq!(ejected, None);
    // Who goes while it is out leaves nothing.
    assert_eq!(leave(&mut rig, 4), None);
    assert_eq!((rig.outliers.workers(), rig.outliers.ejected()), (18, 0));
    assert_eq!(rig.next(), None);
    assert_eq!(rig.fail(7, 5).unwrap().ejections, 2);
    for worker in (1..20).filter(|worker| *worker != 7 && *worker != 4) {
        let back = leave(&mut rig, worker);
        assert_eq!(back.is_some(), worker == 19);
    }
    assert!(!rig.outliers.is_ejected(7));
    assert_eq!(leave(&mut rig, 7), None);
    assert_eq!(leave(&mut rig, 7), None);
}

#[test]
fn nobody_knows_who_has_left_or_never_came() {
    let mut rig = Rig::of(10);
    assert_eq!(rig.fail(10, 100), None);
    assert!(!rig.outliers.is_ejected(10));
    rig.fail(3, 4);
    assert_eq!(rig.outliers.leave(3, rig.now), None);
    assert_eq!(rig.fail(3, 100), None);
    rig.outliers.join(3);
    assert_eq!(rig.fail(3, 4), None);
    // It is there already.
    rig.outliers.join(3);
    assert!(rig.fail(3, 1).is_some());
}

#[test]
fn whose_share_is_far_below_the_others_is_out_when_the_interval_is_over() {
    let mut rig = Rig::of(6);
    for worker in 0..5 {
        rig.calls(worker, 100, 100);
    }
    // Without enough calls: nobody looks.
    rig.calls(5, 99, 50);
    let worker_4 = rig.outliers.workers.get_mut(&4).unwrap();
    worker_4.successes = 50;
    assert_eq!(rig.next(), Some(SECOND * 10));
    assert_eq!(rig.wake(SECOND * 10 - Duration::from_nanos(1)), []);
    // The example of Envoy's source: 50 and four times 100 make a threshold of 52.
    let changes = rig.wake(SECOND * 10);
    let [Change::Ejected(ejected)] = *changes else {
        panic!("{changes:?}")
    };
    assert_eq!((ejected.worker, ejected.lasts), (4, SECOND * 30));
    let Cause::SuccessRate {
        rate,
        mean,
        threshold,
    } = ejected.cause
    else {
        panic!("{ejected:?}")
    };
    for (value, expected) in [(rate, 0.5), (mean, 0.9), (threshold, 0.52)] {
        assert!((value - expected).abs() < 1e-9, "{value} {expected}");
    }
    // The next interval has nothing to compare yet.
    assert_eq!(rig.next(), Some(SECOND * 40));
    assert_eq!(rig.wake(SECOND * 20), []);
}

#[test]
fn where_all_are_alike_nobody_is_an_outlier() {
    for deviations in [1.9, 0.01] {
        for percent in [100, 90, 33, 7, 0] {
            let rules = OutlierRules::default().consecutive(1_000);
            let mut rig = Rig::new(rules.deviations(deviations), 7);
            for worker in 0..7 {
                rig.calls(worker, 100, percent);
            }
            assert_eq!(rig.wake(SECOND * 10), [], "{percent} %");
        }
    }
}

#[test]
fn of_those_far_below_the_worst_are_out() {
    let rules = OutlierRules::default()
        .consecutive(1_000)
        .deviations(1.0)
        .max_ejected(0.4);
    let mut rig = Rig::new(rules, 7);
    for (worker, percent) in [
        (0, 60),
        (1, 99),
        (2, 40),
        (3, 40),
        (4, 99),
        (5, 99),
        (6, 99),
    ] {
        rig.calls(worker, 100, percent);
    }
    let changes = rig.wake(SECOND * 10).into_iter();
    let ejected = changes.map(|change| match change {
        Change::Ejected(ejected) => ejected.worker,
        Change::Returned(_) => panic!("{change:?}"),
    });
    assert_eq!(ejected.collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn fewer_workers_than_five_are_not_compared_and_wake_nobody() {
    let mut rig = Rig::new(OutlierRules::default().consecutive(1_000), 6);
    for worker in 0..4 {
        rig.calls(worker, 1_000, 100);
    }
    rig.calls(5, 99, 0);
    assert_eq!((rig.next(), rig.wake(SECOND * 10)), (None, vec![]));
    // What an earlier interval had is no part of this one.
    rig.calls(5, 1, 0);
    assert_eq!((rig.next(), rig.wake(SECOND * 20)), (None, vec![]));
}

#[test]
fn an_interval_in_which_there_was_nothing_to_compare_ends_by_itself() {
    let mut rig = Rig::of(5);
    for worker in 0..4 {
        rig.calls(worker, 100, 100);
    }
    rig.now += SECOND * 25;
    // It has begun at 20 s.
    for worker in 0..5 {
        rig.calls(worker, 100, 100);
    }
    assert_eq!(rig.next(), Some(SECOND * 30));
    rig.now += SECOND * 5;
    assert_eq!(rig.outliers.on_wakeup(rig.now), []);
    assert_eq!(rig.next(), None);
}

#[test]
fn an_interval_in_which_there_is_something_to_compare_goes_on_until_it_is_done() {
    let mut rig = Rig::new(OutlierRules::default().consecutive(1_000), 5);
    for worker in 0..4 {
        rig.calls(worker, 100, 100);
    }
    rig.calls(4, 100, 10);
    rig.now += SECOND * 13;
    rig.calls(0, 100, 100);
    assert_eq!(rig.next(), Some(SECOND * 10));
    let changes = rig.wake(SECOND * 13);
    assert!(
        matches!(*changes, [Change::Ejected(Ejected { worker: 4, .. })]),
        "{changes:?}"
    );
    for worker in 0..4 {
        rig.calls(worker, 100, 100);
    }
    assert_eq!(rig.next(), Some(SECOND * 43));
    // One more is back and has enough.
    rig.outliers.join(9);
    rig.calls(9, 100, 100);
    assert_eq!(rig.next(), Some(SECOND * 20));
}

#[test]
fn who_is_put_out_or_leaves_within_an_interval_is_not_compared_in_it() {
    for leaves in [false, true] {
        let mut rig = Rig::of(5);
        for worker in 0..5 {
            rig.calls(worker, 100, 100);
        }
        assert_eq!(rig.next(), Some(SECOND * 10));
        if leaves {
            assert_eq!(rig.outliers.leave(4, rig.now), None);
            assert_eq!(rig.next(), None);
        } else {
            assert!(rig.fail(4, 5).is_some());
            assert_eq!(rig.next(), Some(SECOND * 30));
        }
        assert_eq!(rig.wake(SECOND * 10), []);
    }
}

#[test]
fn rules_that_cannot_work_are_refused_and_named() {
    let rules = OutlierRules::default;
    for (rules, text) in [
        (
            rules().consecutive(0),
            "consecutive: expected at least 1, got 0",
        ),
        (
            rules().min_workers(1),
            "min_workers: expected at least 2, got 1",
        ),
        (
            rules().min_calls(0),
            "min_calls: expected at least 1, got 0",
        ),
        (
            rules().interval(Duration::ZERO),
            "interval: expected more than 0 s, got 0ns",
        ),
        (
            rules().base(Duration::ZERO),
            "base: expected more than 0 s, got 0ns",
        ),
        (
            rules().cap(SECOND * 29),
            "cap: expected no less than base, got 29s",
        ),
        (
            rules().max_ejected(0.0),
            "max_ejected: expected more than 0 and at most 1, got 0.0",
        ),
        (
            rules().max_ejected(1.1),
            "max_ejected: expected more than 0 and at most 1, got 1.1",
        ),
        (
            rules().max_ejected(f64::NAN),
            "max_ejected: expected more than 0 and at most 1, got NaN",
        ),
        (
            rules().deviations(0.0),
            "deviations: expected a number of more than 0, got 0.0",
        ),
        (
            rules().deviations(f64::INFINITY),
            "deviations: expected a number of more than 0, got inf",
        ),
    ] {
        assert_eq!(rules.check().unwrap_err().to_string(), text);
        assert!(Outliers::new(rules).is_err());
    }
    let least = rules()
        .consecutive(1)
        .min_workers(2)
        .min_calls(1)
        .cap(SECOND * 30);
    for rules in [rules(), least.max_ejected(1.0)] {
        assert_eq!(Outliers::new(rules).unwrap().rules(), &rules);
    }
}
