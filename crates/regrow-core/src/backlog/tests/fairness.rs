//! What tenants get of each other: the property for which there are rounds.
//!
//! Over any time in which two tenants have jobs of one class throughout, what is served of them, each by its weight, differs by no
//! more than `max_cost / w + max_cost / v + unit`, where `max_cost` is that of the largest job and `unit` is the largest quantum that a
//! weight of 1 got in a round of that time: the mean cost of what was pushed lately, and so no more than `max_cost` either. Whatever
//! comes, goes and is cancelled beside them, or of theirs, changes nothing of that.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::rng::SplitMix64;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Tenants, what was served of each, and the largest difference that each two may come to.
struct Market {
    backlog: Backlog<usize>,
    now: Instant,
    weights: Vec<u32>,
    waiting: Vec<VecDeque<Ticket>>,
    served: Vec<i128>,
    max_cost: u32,
    max_unit: u64,
    /// Of each two, while both have jobs: the lowest and the highest difference since then, times both weights.
    spans: Vec<Option<(i128, i128)>>,
}

impl Market {
    fn new(weights: &[u32]) -> Self {
        let rules = NAMES.iter().zip(weights);
        let rules = rules.fold(BacklogRules::new(usize::MAX), |rules, (name, weight)| {
            rules.weight(*name, *weight)
        });
        let all = weights.len();
        Self {
            // Nobody moves up: all of it is about one class.
            backlog: Backlog::new(rules.ageing(Duration::MAX)).unwrap(),
            now: t0(),
            weights: weights.to_vec(),
            waiting: vec![VecDeque::new(); all],
            served: vec![0; all],
            max_cost: 0,
            max_unit: 1,
            spans: vec![None; all * all],
        }
    }

    fn push(&mut self, tenant: usize, cost: u32) {
        self.max_cost = self.max_cost.max(cost);
        let terms = of(NAMES[tenant]).cost(cost);
        let ticket = self.backlog.push(tenant, terms, self.now);
        self.waiting[tenant].push_back(ticket);
        self.look();
    }

    fn pop(&mut self) -> Option<usize> {
        self.max_unit = self.max_unit.max(self.backlog.mean_cost.unit());
        let taken = self.backlog.pop(self.now)?;
        let waiting = &mut self.waiting[taken.payload];
        assert_eq!(
            waiting.pop_front(),
            Some(taken.ticket),
            "the oldest of a tenant"
        );
        self.served[taken.payload] += i128::from(taken.terms.cost);
        self.look();
        Some(taken.payload)
    }

    fn cancel(&mut self, tenant: usize, at: usize) {
        if !self.waiting[tenant].is_empty() {
            let at = at % self.waiting[tenant].len();
            let ticket = self.waiting[tenant].remove(at).unwrap();
            assert_eq!(self.backlog.cancel(ticket), Some(tenant));
            self.look();
        }
    }

    /// How far what was served of two has moved apart within any time in which both had jobs throughout.
    fn look(&mut self) {
        let all = self.weights.len();
        for (one, other) in (0..all).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let span = &mut self.spans[one * all + other];
            if self.waiting[one].is_empty() || self.waiting[other].is_empty() {
                *span = None;
                continue;
            }
            let [w, v] = [one, other].map(|at| i128::from(self.weights[at]));
            let now = self.served[one] * v - self.served[other] * w;
            let (low, high) = span.map_or((now, now), |(low, high)| (low.min(now), high.max(now)));
            *span = Some((low, high));
            let (max, unit) = (i128::from(self.max_cost), i128::from(self.max_unit));
            let bound = max * v + max * w + unit * w * v;
            assert!(
                high - low <= bound,
                "{} > {bound}, weights {w} and {v}",
                high - low
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize, u32),
    Pop,
    Cancel(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cost = prop_oneof![3 => 1_u32..6, 2 => 1_u32..100, 1 => 1_u32..2_000];
    let step = prop_oneof![
        10 => (0_usize..5, cost).prop_map(|(tenant, cost)| Step::Push(tenant, cost)),
        8 => Just(Step::Pop),
        1 => (0_usize..5, 0_usize..100).prop_map(|(tenant, at)| Step::Cancel(tenant, at)),
    ];
    proptest::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_two_tenants_get_by_their_weights_differs_by_no_more_than_a_job_of_each_and_a_unit(
        weights in proptest::collection::vec(1_u32..12, 2..=5),
        steps in steps(),
    ) {
        let mut market = Market::new(&weights);
        let all = weights.len();
        for step in steps {
            match step {
                Step::Push(tenant, cost) => market.push(tenant % all, cost),
                Step::Pop => {
                    market.pop();
                }
                Step::Cancel(tenant, at) => market.cancel(tenant % all, at),
            }
        }
        while market.pop().is_some() {}
    }
}

#[test]
fn a_tenant_with_ten_times_the_load_takes_nothing_of_what_is_anothers() {
    for seed in 0..10 {
        let mut rng = SplitMix64::new(seed);
        let mut cost = || u32::try_from(1 + rng.below(50)).unwrap();
        let mut market = Market::new(&[1, 1]);
        for _ in 0..300 {
            for _ in 0..10 {
                market.push(0, cost());
            }
            market.push(1, cost());
            market.pop();
        }
        assert!(market.backlog.len() > 2_000);
        let [loud, quiet] = [market.served[0], market.served[1]];
        // It is in `look` too, for any part of it.
        assert!(
            (loud - quiet).abs() <= 50 + 50 + 50,
            "{loud} and {quiet}, seed {seed}"
        );
    }
}

#[test]
fn who_asks_for_less_than_its_share_waits_for_one_job_of_each_other_at_most() {
    let mut market = Market::new(&[1, 1]);
    for _ in 0..100 {
        for _ in 0..10 {
            market.push(0, 1);
        }
    }
    for _ in 0..100 {
        market.push(1, 1);
        let first = market.pop();
        let second = market.pop();
        assert!(first == Some(1) || second == Some(1));
    }
}
