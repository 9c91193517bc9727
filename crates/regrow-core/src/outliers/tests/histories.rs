//! Random histories: never more are out than may be, who is out comes back at its time, and who has left leaves nothing.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(u64),
    Leave(u64),
    /// So many calls, of which each so-many-th fails.
    Calls(u64, u32, u32),
    Pass(u64),
    Wake,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u64..12).prop_map(Step::Join),
        1 => (0_u64..12).prop_map(Step::Leave),
        10 => (0_u64..12, 1_u32..20, 1_u32..9).prop_map(|(worker, count, each)| Step::Calls(worker, count, each)),
        3 => (0_u64..4_000).prop_map(Step::Pass),
        1 => (0_u64..60_000).prop_map(Step::Pass),
        3 => Just(Step::Wake),
    ];
    proptest::collection::vec(step, 1..300)
}

fn rules() -> impl Strategy<Value = OutlierRules> {
    let counts = (1_u32..8, 2_u32..6, 1_u32..15);
    let times = (1_u64..20, 1_u64..20);
    (counts, times, 1_u32..=10, 1_u32..20).prop_map(
        |((row, workers, calls), (base, more), share, deviations)| {
            let base = Duration::from_secs(base);
            OutlierRules::default()
                .consecutive(row)
                .min_workers(workers)
                .min_calls(calls)
                .interval(SECOND * 5)
                .base(base)
                .cap(base + Duration::from_secs(more))
                .max_ejected(f64::from(share) / 10.0)
                .deviations(f64::from(deviations) / 10.0)
        },
    )
}

/// Who is there, and until when each is out.
struct World {
    outliers: Outliers,
    now: Instant,
    workers: BTreeMap<u64, Option<Instant>>,
}

impl World {
    fn note(&mut self, change: Change) {
        match change {
            Change::Ejected(ejected) => {
                assert!(ejected.until > self.now);
                assert!(ejected.lasts <= self.outliers.rules().cap);
                let before = self.workers.insert(ejected.worker, Some(ejected.until));
                assert_eq!(before, Some(None), "it is there, and not out");
            }
            Change::Returned(worker) => {
                let before = self.workers.insert(worker, None);
                assert!(matches!(before, Some(Some(_))), "it is there, and out");
            }
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Join(worker) => {
                self.outliers.join(worker);
                self.workers.entry(worker).or_default();
            }
            Step::Leave(worker) => {
                self.workers.remove(&worker);
                let back = self.outliers.leave(worker, now);
                back.into_iter().for_each(|back| self.note(back));
            }
            Step::Calls(worker, count, each) => {
                for at in 1..=count {
                    let ok = at % each != 0;
                    let ejected = self.outliers.on_result(worker, ok, now);
                    assert!(!ok || ejected.is_none(), "ejected for a success");
                    ejected
                        .into_iter()
                        .for_each(|ejected| self.note(Change::Ejected(ejected)));
                }
            }
            Step::Pass(millis) => self.now += Duration::from_millis(millis),
            Step::Wake => self.wake(),
        }
    }

    fn wake(&mut self) {
        let nobody = self.outliers.next_wakeup().is_none_or(|at| at > self.now);
        let changes = self.outliers.on_wakeup(self.now);
        assert!(
            !nobody || changes.is_empty(),
            "nothing was to come: {changes:?}"
        );
        changes.into_iter().for_each(|change| self.note(change));
        for until in self.workers.values().flatten() {
            assert!(*until > self.now, "its time is over");
        }
        assert!(self.outliers.next_wakeup().is_none_or(|at| at > self.now));
    }

    fn check(&self) {
        let out = self.workers.values().flatten().count();
        assert_eq!(
            (self.outliers.ejected(), self.outliers.workers()),
            (out, self.workers.len())
        );
        assert!(out <= self.outliers.rules().allowed(self.workers.len()));
        for worker in 0..12 {
            let until = self.workers.get(&worker).copied().flatten();
            assert_eq!(self.outliers.is_ejected(worker), until.is_some());
        }
        let first = self.workers.values().flatten().min();
        let next = self.outliers.next_wakeup();
        assert!(first.is_none_or(|first| next.is_some_and(|next| next <= *first)));
        let enough = self
            .outliers
            .workers
            .values()
            .filter(|it| self.outliers.is_enough(it));
        assert_eq!(enough.count(), self.outliers.comparable as usize);
    }

    fn finish(mut self) {
        let (cap, interval) = (self.outliers.rules().cap, self.outliers.rules().interval);
        // The last comparison there is.
        self.now += cap + interval;
        self.wake();
        // Those that were put out just now, by comparison.
        self.now += cap;
        self.wake();
        assert_eq!(self.outliers.ejected(), 0, "all come back");
        for worker in 0..12 {
            let back = self.outliers.leave(worker, self.now);
            assert_eq!(back, None);
        }
        assert_eq!(self.outliers.next_wakeup(), None);
        assert!(self.outliers.workers.is_empty() && self.outliers.returns.is_empty());
        assert_eq!(self.outliers.comparable, 0);
    }
}

proptest! {
    #[test]
    fn in_random_histories_no_more_are_out_than_may_be_and_all_come_back(
        rules in rules(),
        steps in steps(),
    ) {
        let mut world = World {
            outliers: Outliers::new(rules).unwrap(),
            now: t0(),
            workers: BTreeMap::new(),
        };
        for step in steps {
            world.step(step);
            world.check();
        }
        world.finish();
    }
}
