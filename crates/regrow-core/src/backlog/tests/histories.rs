//! Random histories of two backlogs, each beside its model: what comes out, and when, is what the rules say; and each job leaves once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::Model;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(Kind),
    Offer(Kind),
    Reserve,
    UseReserved(Kind),
    Unreserve,
    Pop,
    Cancel(u16),
    Wakeup,
    Served(u64),
    /// All that waits goes over to the other.
    Move,
    Switch,
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    priority: Priority,
    tenant: usize,
    cost: u32,
    deadline: Option<u64>,
}

const TENANTS: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];

fn kinds() -> impl Strategy<Value = Kind> {
    let cost = prop_oneof![6 => 1_u32..4, 2 => 1_u32..40, 1 => 500_u32..3_000];
    let priority = proptest::sample::select(Priority::ALL);
    let deadline = proptest::option::weighted(0.3, 0_u64..4_000);
    (priority, 0..TENANTS.len(), cost, deadline).prop_map(|(priority, tenant, cost, deadline)| {
        Kind {
            priority,
            tenant,
            cost,
            deadline,
        }
    })
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => kinds().prop_map(Step::Push),
        20 => kinds().prop_map(Step::Offer),
        3 => Just(Step::Reserve),
        2 => kinds().prop_map(Step::UseReserved),
        1 => Just(Step::Unreserve),
        20 => Just(Step::Pop),
        8 => any::<u16>().prop_map(Step::Cancel),
        2 => Just(Step::Wakeup),
        2 => (0_u64..300).prop_map(Step::Served),
        1 => Just(Step::Move),
        2 => Just(Step::Switch),
        10 => (0_u64..60).prop_map(Step::Pass),
        3 => (0_u64..900).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..200)
}

fn rules() -> impl Strategy<Value = BacklogRules> {
    let overload = prop_oneof![
        2 => Just(None),
        1 => Just(Some(OverloadRules::new(Target::Auto))),
        2 => (1_u64..30).prop_map(|target| {
            let target = Target::Fixed(MILLI * u32::try_from(target).unwrap());
            Some(OverloadRules::new(target).interval(MILLI * 100))
        }),
    ];
    let overflow = proptest::sample::select(Overflow::ALL);
    (0_usize..20, overflow, 1_u32..2_000, 1_u32..5, overload).prop_map(
        |(max, overflow, ageing, weight, overload)| {
            let rules = BacklogRules::new(max).overflow(overflow);
            let rules = rules.ageing(MILLI * ageing).weight("a", weight);
            match overload {
                Some(overload) => rules.overload(overload),
                None => rules,
            }
        },
    )
}

struct Pair {
    backlog: Backlog<u32>,
    model: Model,
    places: Vec<Place>,
}

struct World {
    here: Pair,
    there: Pair,
    now: Instant,
    max: usize,
    count: u32,
    /// Those that wait, with their tickets.
    waiting: BTreeMap<u32, Ticket>,
    /// Those that have left, with the last ticket that they had.
    gone: BTreeMap<u32, Ticket>,
}

impl World {
    fn new(rules: &BacklogRules) -> Self {
        let pair = || Pair {
            backlog: Backlog::new(rules.clone()).unwrap(),
            model: Model::new(rules.clone()),
            places: Vec::new(),
        };
        Self {
            here: pair(),
            there: pair(),
            now: t0(),
            max: rules.max,
            count: 0,
            waiting: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    fn terms(&self, kind: Kind) -> Terms {
        let deadline = kind
            .deadline
            .map(|millis| self.now + Duration::from_millis(millis));
        Terms {
            priority: kind.priority,
            tenant: TENANTS[kind.tenant].map(Into::into),
            cost: kind.cost,
            deadline,
        }
    }

    fn came(&mut self, id: u32, ticket: Ticket) {
        assert_eq!(self.waiting.insert(id, ticket), None, "it came twice");
    }

    fn left(&mut self, id: u32) {
        let ticket = self.waiting.remove(&id).expect("it leaves once");
        self.gone.insert(id, ticket);
    }

    fn push(&mut self, kind: Kind, place: Option<Place>) {
        let (id, now) = (self.new_id(), self.now);
        let terms = self.terms(kind);
        self.here.model.settle(now);
        self.here.model.push(id, terms.clone(), now);
        let ticket = match place {
            Some(place) => self.here.backlog.push_reserved(place, id, terms, now),
            None => self.here.backlog.push(id, terms, now),
        };
        self.came(id, ticket);
    }

    fn new_id(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn offer(&mut self, kind: Kind) {
        let (id, now) = (self.new_id(), self.now);
        let terms = self.terms(kind);
        let model = &mut self.here.model;
        model.settle(now);
        let is_full = model.jobs().count() + self.here.places.len() >= self.max;
        let before = model.jobs().count();
        match self.here.backlog.offer(id, terms.clone(), now) {
            Offered::Expired(same) => {
                assert_eq!(same, id);
                assert!(terms.deadline.is_some_and(|at| at <= now));
            }
            Offered::Full(same) => {
                assert_eq!(same, id);
                assert!(is_full);
                assert_eq!(model.victim(kind.priority), None);
            }
            Offered::Queued { ticket, dropped } => {
                assert!(!terms.is_over(now));
                assert_eq!(dropped.is_some(), is_full);
                if let Some(dropped) = dropped {
                    assert_eq!(model.victim(kind.priority), Some(dropped.payload));
                    model.remove(dropped.payload).unwrap();
                    self.left(dropped.payload);
                }
                self.here.model.push(id, terms, now);
                self.came(id, ticket);
                let bound = before.max(self.max - self.here.places.len().min(self.max));
                assert!(self.here.backlog.len() <= bound, "the bound");
            }
        }
    }

    fn pop(&mut self) {
        let wanted = self.here.model.pop(self.now);
        let taken = self.here.backlog.pop(self.now);
        assert_eq!(taken.as_ref().map(|taken| taken.payload), wanted);
        if let Some(taken) = taken {
            assert!(!taken.terms.is_over(self.now), "it is expired");
            assert_eq!(self.waiting.get(&taken.payload), Some(&taken.ticket));
            self.left(taken.payload);
        }
        let told = self.here.backlog.take_overload_change();
        if let Some(told) = told {
            assert_eq!(told.overloaded, self.here.model.overloaded);
        }
    }

    fn cancel(&mut self, at: u16) {
        let all = self.waiting.iter().chain(&self.gone);
        let Some((id, ticket)) = all.cycle().nth(at.into()) else {
            return;
        };
        let (id, ticket) = (*id, *ticket);
        let is_here = self.here.model.remove(id).is_some();
        if is_here {
            assert_eq!(self.here.backlog.cancel(ticket), Some(id));
            self.left(id);
        } else if !self.there.backlog.contains(ticket) && self.gone.contains_key(&id) {
            let other = self.waiting.iter().find(|(_, other)| **other == ticket);
            // The tickets of two backlogs are not to be told apart.
            if other.is_none() {
                assert_eq!(self.here.backlog.cancel(ticket), None);
            }
        }
    }

    fn transfer(&mut self) {
        let jobs = self.here.backlog.drain();
        let in_model = self.here.model.drain();
        let ids: Vec<_> = jobs.iter().map(|job| job.payload).collect();
        let wanted: Vec<_> = in_model.iter().map(|job| job.id).collect();
        assert_eq!(ids, wanted);
        self.there.model.adopt(in_model, self.now);
        let tickets = self.there.backlog.adopt(jobs, self.now);
        for (id, ticket) in ids.into_iter().zip(tickets) {
            *self.waiting.get_mut(&id).unwrap() = ticket;
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Push(kind) => self.push(kind, None),
            Step::Offer(kind) => self.offer(kind),
            Step::Reserve => {
                self.here.model.settle(now);
                let used = self.here.model.jobs().count() + self.here.places.len();
                let place = self.here.backlog.reserve(now);
                assert_eq!(place.is_some(), used < self.max);
                self.here.places.extend(place);
            }
            Step::UseReserved(kind) => {
                if let Some(place) = self.here.places.pop() {
                    self.push(kind, Some(place));
                }
            }
            Step::Unreserve => {
                if let Some(place) = self.here.places.pop() {
                    self.here.backlog.unreserve(place);
                }
            }
            Step::Pop => self.pop(),
            Step::Cancel(at) => self.cancel(at),
            Step::Wakeup => {
                self.here.model.settle(now);
                self.here.backlog.on_wakeup(now);
            }
            Step::Served(millis) => {
                let took = Duration::from_millis(millis);
                self.here.model.served(took);
                self.here.backlog.served(took);
            }
            Step::Move => self.transfer(),
            Step::Switch => std::mem::swap(&mut self.here, &mut self.there),
            Step::Pass(millis) => self.now += Duration::from_millis(millis),
        }
        self.check_refused();
    }

    fn check_refused(&mut self) {
        for at_once in [true, false] {
            let pair = if at_once {
                &mut self.here
            } else {
                &mut self.there
            };
            let refused = pair.backlog.take_refused().into_iter();
            let mut refused: Vec<_> = refused.map(|one| (one.payload, one.why)).collect();
            let mut wanted = std::mem::take(&mut pair.model.refused);
            refused.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(refused, wanted);
            for (id, _) in refused {
                self.left(id);
            }
        }
    }

    fn check(&mut self) {
        let Pair {
            backlog,
            model,
            places,
        } = &mut self.here;
        assert_eq!(backlog.len(), model.jobs().count());
        assert_eq!(backlog.is_empty(), model.jobs().next().is_none());
        assert_eq!(backlog.reserved(), places.len());
        assert_eq!(backlog.is_overloaded(), model.overloaded);
        let cost: u64 = model.jobs().map(|job| u64::from(job.terms.cost)).sum();
        assert_eq!(backlog.total_cost(), cost);
        let since = model.jobs().map(|job| job.since).min();
        assert_eq!(
            backlog.oldest(self.now),
            since.map(|since| self.now - since)
        );
        let due = model.jobs().filter_map(|job| job.terms.deadline).min();
        assert_eq!(backlog.next_wakeup(), due);
        model.settle(self.now);
        assert_eq!(backlog.highest(self.now), model.highest());
        self.check_refused();
        assert!(self.here.backlog.slots.all.len() <= self.count as usize);
    }

    fn finish(mut self) {
        for _ in 0..2 {
            while !self.here.backlog.is_empty() {
                self.pop();
                self.check_refused();
            }
            std::mem::swap(&mut self.here, &mut self.there);
        }
        assert!(self.waiting.is_empty(), "lost: {:?}", self.waiting);
        for pair in [&self.here, &self.there] {
            assert_eq!(pair.backlog.turns.names(), 0);
            assert_eq!(pair.backlog.due.len(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn in_random_histories_each_job_leaves_once_when_the_rules_say(
        rules in rules(),
        steps in histories(),
    ) {
        let mut world = World::new(&rules);
        for step in steps {
            world.step(step);
            world.check();
        }
        world.finish();
    }
}
