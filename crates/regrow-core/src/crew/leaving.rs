//! Who goes when there are to be fewer, and who has served long enough.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::worker::Worker;
use super::{Crew, WorkerState};
use crate::words::words;

words! {
    /// Why a worker is replaced by a fresh one.
    pub enum Recycle {
        /// It has done as many jobs as one may.
        Jobs = "max_jobs",
        /// It is as old as one may be.
        Age = "max_age",
        /// It has as much memory as one may have.
        Memory = "max_memory",
    }
}

/// How many there are left of those whose last does not go.
struct Left<'a>(Vec<(&'a Arc<str>, u32)>);

impl Left<'_> {
    /// Whether one more may go, and does.
    fn lets_go<S>(&mut self, worker: &Worker<S>) -> bool {
        let mut of_it = self
            .0
            .iter_mut()
            .filter(|(tag, _)| worker.tags.contains(tag));
        if of_it.any(|(_, left)| *left <= 1) {
            return false;
        }
        for (_, left) in self
            .0
            .iter_mut()
            .filter(|(tag, _)| worker.tags.contains(tag))
        {
            *left -= 1;
        }
        true
    }
}

impl<S> Crew<S> {
    /// Who goes first: who does not work, then who is too old, then who has had nothing to do for longest. At most so many; fewer when
    /// the others are busy. One that has several jobs at once is hardly ever without any: of those, who has fewest goes, and finishes
    /// what it has.
    #[must_use]
    pub fn victims(&self, count: u32, now: Instant) -> Vec<u32> {
        let mut may_go: Vec<(u32, &Worker<S>)> = self
            .workers
            .iter()
            .filter(|(_, worker)| self.may_go(worker))
            .collect();
        let rank = |worker: &Worker<S>| match worker.state() {
            WorkerState::Ejected | WorkerState::Unhealthy => 0_u8,
            WorkerState::Starting => 1,
            WorkerState::Idle | WorkerState::Busy | WorkerState::Draining => {
                if self.has_served(worker, now).is_some() {
                    2
                } else {
                    3
                }
            }
        };
        // The youngest of those that start goes first: it is farthest from being of use.
        may_go.sort_by_key(|(number, worker)| {
            let rank = rank(worker);
            let newest = (rank == 1).then_some(Reverse(*number));
            let has = worker.jobs.len();
            (rank, has, newest, worker.idle_since, *number)
        });
        let mut left = self.left();
        may_go
            .into_iter()
            .filter(|(_, worker)| left.as_mut().is_none_or(|left| left.lets_go(worker)))
            .take(count as usize)
            .map(|(number, _)| number)
            .collect()
    }

    /// How many could go, if there were to be as few as possible.
    #[must_use]
    pub fn spare(&self) -> u32 {
        let mut left = self.left();
        let may_go = self.workers.values().filter(|worker| self.may_go(worker));
        let spare = may_go.filter(|worker| left.as_mut().is_none_or(|left| left.lets_go(worker)));
        u32::try_from(spare.count()).unwrap_or(u32::MAX)
    }

    fn may_go(&self, worker: &Worker<S>) -> bool {
        !worker.draining && (worker.jobs.is_empty() || self.rules.concurrency > 1)
    }

    fn left(&self) -> Option<Left<'_>> {
        let kept = &self.rules.kept;
        let count = |tag: &'_ Arc<str>| self.count_tag(tag);
        let left = || kept.iter().map(|tag| (tag, count(tag))).collect();
        (!kept.is_empty()).then(|| Left(left()))
    }

    /// When somebody will have served long enough by his age.
    #[must_use]
    pub fn next_served(&self) -> Option<Instant> {
        let most = self.rules.max_age?;
        let workers = self.workers.values();
        let stay = workers.filter(|worker| !worker.draining && worker.up);
        stay.map(|worker| worker.born + most.mul_f64(worker.jitter))
            .min()
    }

    /// Who has served long enough, and why. They still work; who has nothing in hand comes first.
    #[must_use]
    pub fn served(&self, now: Instant) -> Vec<(u32, Recycle)> {
        let mut served: Vec<(bool, u32, Recycle)> = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.draining && worker.up)
            .filter_map(|(number, worker)| {
                let why = self.has_served(worker, now)?;
                Some((!worker.jobs.is_empty(), number, why))
            })
            .collect();
        served.sort_by_key(|(busy, number, _)| (*busy, *number));
        served
            .into_iter()
            .map(|(_, number, why)| (number, why))
            .collect()
    }

    /// How much memory a worker has. Whether that is too much.
    pub fn on_memory(&mut self, number: u32, bytes: u64) -> bool {
        if let Some(worker) = self.workers.get_mut(number) {
            worker.memory = Some(bytes);
        }
        self.rules.max_memory.is_some_and(|most| bytes > most)
    }

    /// Whether a worker on its way out has nothing in hand any more; also of one that is gone.
    #[must_use]
    pub fn is_drained(&self, number: u32) -> bool {
        self.workers
            .get(number)
            .is_none_or(|worker| worker.jobs.is_empty())
    }

    fn has_served(&self, worker: &Worker<S>, now: Instant) -> Option<Recycle> {
        let rules = &self.rules;
        if rules.max_jobs.is_some_and(|most| worker.done >= most) {
            return Some(Recycle::Jobs);
        }
        let limit = |age: Duration| age.mul_f64(worker.jitter);
        let age = now.saturating_duration_since(worker.born);
        if rules.max_age.is_some_and(|most| age >= limit(most)) {
            return Some(Recycle::Age);
        }
        let memory = worker.memory.unwrap_or(0);
        let too_much = rules.max_memory.is_some_and(|most| memory > most);
        too_much.then_some(Recycle::Memory)
    }
}
