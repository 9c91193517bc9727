//! Who of a pool's workers gets the next job: whom there is, what each has, and who goes when there are to be fewer.
//!
//! Workers are known by a number that is never given twice, and their lives by a generation. A [`Claim`] is one job that one life of
//! a worker has. A life that ends takes its claims along: they are told as lost, and one that is ended later does nothing.
//!
//! ```
//! use std::time::Instant;
//! use regrow_core::crew::{Crew, CrewRules, Wanted};
//!
//! let now = Instant::now();
//! let mut crew: Crew<&str> = Crew::new(CrewRules::default());
//! crew.add(1, [], now);
//! crew.on_standing(1, 1, true, now);
//! let worker = crew.choose(&Wanted::anybody()).unwrap();
//! let claim = crew.begin(worker, "a job", now).unwrap();
//! assert!(crew.choose(&Wanted::anybody()).is_none(), "it has its hands full");
//! assert_eq!(crew.end(claim, true, now), Some("a job"));
//! ```
//!
//! Everything but a look by key or tag costs O(log n) in the number of workers; those cost O(n).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::rng::SplitMix64;

mod leaving;
mod roster;
mod rules;
#[cfg(test)]
mod tests;
mod told;
mod worker;

pub use leaving::Recycle;
use roster::Roster;
pub use rules::{CrewRules, Dispatch, IdleOrder};
use worker::Worker;
pub use worker::{Counts, WorkerState, WorkerStatus};

/// Up to how many workers with room all are compared; of more, two that are taken at random.
const COMPARED: usize = 16;

/// One job that one life of a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Which worker.
    pub worker: u32,
    /// Which life of it.
    pub generation: u32,
    number: u64,
}

impl Claim {
    /// Counts the jobs that were begun, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// Who may have a job.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The worker that this key leads to, and no other.
    pub key: Option<u64>,
    /// Only one with this tag.
    pub tag: Option<Arc<str>>,
}

impl Wanted {
    /// Whoever has room.
    #[must_use]
    pub const fn anybody() -> Self {
        Self {
            key: None,
            tag: None,
        }
    }

    /// Whoever has room and this tag.
    #[must_use]
    pub fn tagged(tag: &Arc<str>) -> Self {
        Self {
            key: None,
            tag: Some(Arc::clone(tag)),
        }
    }

    /// The worker to which this key leads.
    #[must_use]
    pub const fn keyed(key: u64) -> Self {
        Self {
            key: Some(key),
            tag: None,
        }
    }
}

/// The workers of one pool. `S` is what is kept of a job while a worker has it, to settle it should that worker be lost.
#[derive(Clone, Debug)]
pub struct Crew<S> {
    rules: CrewRules,
    workers: Roster<S>,
    /// Those that have room, by when they are to be taken: who has nothing to do, and, in turn, everybody.
    free: BTreeSet<(u64, u32)>,
    /// Those with room that have something to do, where order is not by turn.
    partly: Vec<u32>,
    /// Counts everything that is put in an order.
    stamp: u64,
    claims: u64,
    in_flight: u64,
    /// How many are counted on to come for work, and no later than when the first of them was told.
    rung: usize,
    rung_since: Option<Instant>,
    chance: SplitMix64,
}

impl<S> Crew<S> {
    /// Nobody.
    #[must_use]
    pub const fn new(rules: CrewRules) -> Self {
        Self {
            chance: SplitMix64::new(rules.seed),
            rules,
            workers: Roster::new(),
            free: BTreeSet::new(),
            partly: Vec::new(),
            stamp: 1,
            claims: 0,
            in_flight: 0,
            rung: 0,
            rung_since: None,
        }
    }

    /// By which rules it goes.
    pub const fn rules(&self) -> &CrewRules {
        &self.rules
    }

    /// There is a place for this worker, in which nobody is up yet.
    pub fn add(&mut self, number: u32, tags: impl Into<Vec<Arc<str>>>, now: Instant) {
        let worker = Worker::new(tags.into(), now, self.chance.unit());
        self.workers.insert(number, worker);
    }

    /// Its place is gone; what it had is lost.
    pub fn remove(&mut self, number: u32) -> Vec<S> {
        self.comes(number);
        self.unlist(number);
        let Some(worker) = self.workers.remove(number) else {
            return Vec::new();
        };
        self.in_flight -= worker.jobs.len() as u64;
        worker.jobs.into_iter().map(|(_, slip)| slip).collect()
    }

    /// How a worker stands: which life of it, and whether it may be given work. What an earlier life had is lost, and returned. How an
    /// earlier life stood is ignored.
    pub fn on_standing(
        &mut self,
        number: u32,
        generation: u32,
        ready: bool,
        now: Instant,
    ) -> Vec<S> {
        match self.generation(number) {
            Some(known) if known > generation => return Vec::new(),
            Some(known) if known < generation => self.comes(number),
            Some(_) | None => {}
        }
        let Some(worker) = self.workers.get_mut(number) else {
            return Vec::new();
        };
        let mut lost = Vec::new();
        if worker.generation != generation {
            lost = worker.begin_life(generation, now);
            self.in_flight -= lost.len() as u64;
        }
        worker.set_ready(ready, now);
        self.relist(number);
        lost
    }

    /// The life of a worker is over: what it had is lost, and returned.
    pub fn on_end(&mut self, number: u32, generation: u32) -> Vec<S> {
        if self.generation(number) != Some(generation) {
            return Vec::new();
        }
        self.comes(number);
        let Some(worker) = self.workers.get_mut(number) else {
            return Vec::new();
        };
        worker.ready = false;
        worker.up = false;
        let lost: Vec<S> = worker.lose();
        self.in_flight -= lost.len() as u64;
        self.relist(number);
        lost
    }

    /// Which life of a worker it is, or was last; 0 before the first.
    #[must_use]
    pub fn generation(&self, number: u32) -> Option<u32> {
        self.workers.get(number).map(|worker| worker.generation)
    }

    /// It gets no more work, and finishes what it has; whether it is known.
    pub fn drain(&mut self, number: u32) -> bool {
        let Some(worker) = self.workers.get_mut(number) else {
            return false;
        };
        worker.draining = true;
        self.relist(number);
        true
    }

    /// It fails too often, and gets no work until it is taken back.
    pub fn eject(&mut self, number: u32, ejected: bool) {
        if let Some(worker) = self.workers.get_mut(number) {
            worker.ejected = ejected;
            self.relist(number);
        }
    }

    /// A worker with room for a job, if there is one.
    pub fn choose(&mut self, wanted: &Wanted) -> Option<u32> {
        if let Some(key) = wanted.key {
            let number = self.keeper(key, wanted.tag.as_ref())?;
            let has_room = self.has_room(number);
            return has_room.then_some(number);
        }
        if let Some(tag) = &wanted.tag {
            return self.tagged(tag);
        }
        match self.rules.dispatch {
            Dispatch::RoundRobin => self.free.first().map(|(_, number)| *number),
            Dispatch::Random => self.at_random(),
            Dispatch::LeastLoaded => {
                let idle = match self.rules.idle {
                    IdleOrder::Lifo => self.free.last(),
                    IdleOrder::Fifo => self.free.first(),
                };
                match idle {
                    Some((_, number)) => Some(*number),
                    None => self.least_loaded(),
                }
            }
        }
    }

    /// The worker that a key leads to: always the same while the same workers can work. The highest of their mixes with the key, so
    /// that a worker who comes takes its share of keys from all others, and one who goes leaves them to all.
    #[must_use]
    pub fn keeper(&self, key: u64, tag: Option<&Arc<str>>) -> Option<u32> {
        let able = self.workers.iter();
        let able = able.filter(|(_, worker)| worker.can_work());
        let able = able.filter(|(_, worker)| tag.is_none_or(|tag| worker.tags.contains(tag)));
        able.map(|(number, _)| number).max_by_key(|number| {
            SplitMix64::new(key ^ u64::from(*number).rotate_left(32)).next_u64()
        })
    }

    /// Whether somebody there is, or may come to be, with this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        let mut workers = self.workers.values();
        workers.any(|worker| worker.tags.iter().any(|has| &**has == tag))
    }

    /// How many workers that stay have this tag.
    #[must_use]
    pub fn count_tag(&self, tag: &str) -> u32 {
        let has = |worker: &&Worker<S>| worker.tags.iter().any(|has| &**has == tag);
        let stay = self.workers.values().filter(|worker| !worker.draining);
        u32::try_from(stay.filter(has).count()).unwrap_or(u32::MAX)
    }

    /// What a worker can be recognised by.
    #[must_use]
    pub fn tags_of(&self, number: u32) -> &[Arc<str>] {
        self.workers.get(number).map_or(&[], |worker| &worker.tags)
    }

    /// Whether a worker may be given one more job.
    #[must_use]
    pub fn has_room(&self, number: u32) -> bool {
        let worker = self.workers.get(number);
        worker.is_some_and(|worker| worker.has_room(self.rules.concurrency))
    }

    /// Whether the present life of a worker has never been ready yet.
    #[must_use]
    pub fn is_unproven(&self, number: u32) -> bool {
        self.workers.get(number).is_some_and(|worker| !worker.up)
    }

    /// How old the present life of a worker is.
    #[must_use]
    pub fn age(&self, number: u32, now: Instant) -> Duration {
        let born = self.workers.get(number).map(|worker| worker.born);
        born.map_or(Duration::ZERO, |born| now.saturating_duration_since(born))
    }

    /// A worker on its way out stays after all: a fresh life of it, say.
    pub fn keep(&mut self, number: u32) {
        if let Some(worker) = self.workers.get_mut(number) {
            worker.draining = false;
            self.relist(number);
        }
    }

    /// Whether a worker can work: it is up, stays, and may be given work.
    #[must_use]
    pub fn can_work(&self, number: u32) -> bool {
        self.workers.get(number).is_some_and(Worker::can_work)
    }

    /// Whether anybody may be given one more job.
    #[must_use]
    pub fn is_anybody_free(&self) -> bool {
        !self.free.is_empty() || !self.partly.is_empty()
    }

    /// A worker has a job from now on; `None` if it has no room for one.
    pub fn begin(&mut self, number: u32, slip: S, now: Instant) -> Option<Claim> {
        let worker = self.workers.get_mut(number)?;
        if !worker.has_room(self.rules.concurrency) {
            return None;
        }
        self.claims += 1;
        let claim = Claim {
            worker: number,
            generation: worker.generation,
            number: self.claims,
        };
        worker.jobs.push((claim.number, slip));
        worker.since.get_or_insert(now);
        worker.given = self.stamp;
        self.stamp += 1;
        self.in_flight += 1;
        self.relist(number);
        Some(claim)
    }

    /// A job has ended. What was kept of it is returned; nothing if that claim is over.
    pub fn end(&mut self, claim: Claim, ok: bool, now: Instant) -> Option<S> {
        let slip = self.end_in_hand(claim, ok, now)?;
        self.relist(claim.worker);
        Some(slip)
    }

    /// The same for a worker that takes the next job at once. It stands in no list until it [has begun](Crew::begin) that, or
    /// [finds none](Crew::finds_none).
    pub fn end_in_hand(&mut self, claim: Claim, ok: bool, now: Instant) -> Option<S> {
        let worker = self.workers.get_mut(claim.worker)?;
        if worker.generation != claim.generation {
            return None;
        }
        let mut jobs = worker.jobs.iter();
        let at = jobs.position(|(number, _)| *number == claim.number)?;
        let (_, slip) = worker.jobs.swap_remove(at);
        self.in_flight -= 1;
        worker.done += 1;
        worker.failed += u64::from(!ok);
        if worker.jobs.is_empty() {
            worker.idle_since = now;
            worker.idled = self.stamp;
            self.stamp += 1;
            worker.since = None;
        }
        Some(slip)
    }

    /// A worker that came for work, or was to take the next job at once, has found none.
    pub fn finds_none(&mut self, number: u32) {
        self.relist(number);
    }

    /// How long the last job of a worker took, for the choice of the least loaded: a mean that goes up at once and comes down over 10 s.
    pub fn took(&mut self, number: u32, took: Duration, now: Instant) {
        if let Some(worker) = self.workers.get_mut(number) {
            worker.latency.add(took, now);
        }
    }

    /// How many jobs all workers have.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many workers can work: they are up, stay, and may be given work.
    #[must_use]
    pub fn able(&self) -> usize {
        self.workers
            .values()
            .filter(|worker| worker.can_work())
            .count()
    }

    /// How many workers there are that stay: all but those on their way out.
    #[must_use]
    pub fn size(&self) -> u32 {
        let stay = self.workers.values().filter(|worker| !worker.draining);
        u32::try_from(stay.count()).unwrap_or(u32::MAX)
    }

    /// How many workers there are in each state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for worker in self.workers.values() {
            counts.add(worker.state());
        }
        counts
    }

    /// Each worker as it is, by number.
    pub fn each(&self) -> impl Iterator<Item = WorkerStatus> {
        self.workers
            .iter()
            .map(|(number, worker)| worker.status(number))
    }

    fn at_random(&mut self) -> Option<u32> {
        // Everybody with room stands in one list or the other; the stamps of the first are no help in finding the n-th.
        let count = self.partly.len() + self.free.len();
        let chosen = usize::try_from(self.chance.below(count as u64)).unwrap_or(0);
        match self.partly.get(chosen) {
            Some(number) => Some(*number),
            None => self
                .free
                .iter()
                .nth(chosen - self.partly.len())
                .map(|(_, number)| *number),
        }
    }

    fn least_loaded(&mut self) -> Option<u32> {
        if self.partly.len() <= COMPARED {
            let by_load =
                |one: &&u32, other: &&u32| self.load(**one).total_cmp(&self.load(**other));
            return self.partly.iter().min_by(by_load).copied();
        }
        let len = self.partly.len() as u64;
        let mut any = || usize::try_from(self.chance.below(len)).unwrap_or(0);
        let (one, other) = (any(), any());
        let (one, other) = (*self.partly.get(one)?, *self.partly.get(other)?);
        Some(if self.load(one) <= self.load(other) {
            one
        } else {
            other
        })
    }

    /// How long one more job would take there, more or less.
    fn load(&self, number: u32) -> f64 {
        self.workers.get(number).map_or(f64::INFINITY, Worker::load)
    }

    fn tagged(&mut self, tag: &Arc<str>) -> Option<u32> {
        let room = |worker: &Worker<S>| worker.has_room(self.rules.concurrency);
        let able = self
            .workers
            .iter()
            .filter(|(_, worker)| room(worker) && worker.tags.contains(tag));
        let by_load = |one: &(u32, &Worker<S>), other: &(u32, &Worker<S>)| {
            let (one, other) = (one.1, other.1);
            one.load()
                .total_cmp(&other.load())
                .then(one.given.cmp(&other.given))
        };
        able.min_by(by_load).map(|(number, _)| number)
    }

    /// Takes a worker out of the lists of those with room.
    fn unlist(&mut self, number: u32) {
        let Some(worker) = self.workers.get_mut(number) else {
            return;
        };
        if let Some(stamp) = worker.listed.take() {
            self.free.remove(&(stamp, number));
        }
        if let Some(at) = worker.place.take() {
            self.partly.swap_remove(at);
            if let Some(moved) = self.partly.get(at)
                && let Some(moved) = self.workers.get_mut(*moved)
            {
                moved.place = Some(at);
            }
        }
    }

    /// Puts a worker where it belongs. One that cannot work any more is not waited for.
    fn relist(&mut self, number: u32) {
        self.unlist(number);
        let Some(worker) = self.workers.get_mut(number) else {
            return;
        };
        if worker.rung && !worker.can_work() {
            worker.rung = false;
            if worker.awaited.take().is_some() {
                self.rung -= 1;
            }
        }
        if !worker.has_room(self.rules.concurrency) {
            return;
        }
        let by_turn = self.rules.dispatch == Dispatch::RoundRobin;
        if by_turn || worker.jobs.is_empty() {
            let stamp = if by_turn { worker.given } else { worker.idled };
            worker.listed = Some(stamp);
            self.free.insert((stamp, number));
        } else {
            worker.place = Some(self.partly.len());
            self.partly.push(number);
        }
    }
}
