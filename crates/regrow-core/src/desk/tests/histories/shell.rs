//! What a shell does with a desk, and what it knows by itself of jobs and workers.

use std::collections::BTreeMap;

use super::*;
use crate::crew::Dispatch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waits,
    Begun,
    Over,
}

#[derive(Debug)]
struct Known {
    name: JobId,
    wanted: Wanted,
    deadline: Option<Instant>,
    gone: bool,
    fate: Fate,
}

#[derive(Debug, Default)]
struct Worker {
    tags: Vec<Arc<str>>,
    generation: u32,
    ready: bool,
    draining: bool,
    ejected: bool,
    /// It was told, and is waited for.
    told: bool,
    /// When.
    at: Option<Instant>,
    /// How often it hears that it was.
    bells: u32,
    jobs: Vec<(Claim, u32)>,
}

impl Worker {
    const fn can_work(&self) -> bool {
        self.ready && !self.draining && !self.ejected
    }

    /// It may be ready no more: then nobody waits for it.
    fn changes(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.told &= self.can_work();
    }

    /// A life of it is over; what it had.
    fn ends(&mut self) -> Vec<u32> {
        (self.ready, self.told, self.bells) = (false, false, 0);
        self.jobs.drain(..).map(|(_, id)| id).collect()
    }
}

pub(super) struct Shell {
    world: World,
    plan: Plan,
    jobs: BTreeMap<u32, Known>,
    workers: BTreeMap<u32, Worker>,
    places: Vec<Place>,
    /// How many jobs and workers there were.
    count: u32,
    hired: u32,
    closed: bool,
    overloaded: bool,
    cancelled: u64,
    /// How much of the room is taken.
    taken: usize,
}

impl Shell {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut backlog = BacklogRules::new(plan.max).overflow(plan.overflow);
        backlog = backlog.ageing(100 * MILLI).weight(TENANTS[0], 3);
        if plan.overload {
            let target = Target::Fixed(5 * MILLI);
            backlog = backlog.overload(OverloadRules::new(target).interval(40 * MILLI));
        }
        let crew = CrewRules::default().concurrency(plan.concurrency);
        let outliers = OutlierRules::default().consecutive(2).max_ejected(0.5);
        let outliers = outliers.base(200 * MILLI).cap(SECOND).interval(100 * MILLI);
        let rules = DeskRules {
            mode: plan.mode,
            backlog,
            crew: crew.dispatch(Dispatch::ALL[plan.dispatch]),
            outliers: plan.ejects.then_some(outliers),
        };
        Self {
            world: World::new(rules, 0),
            plan: plan.clone(),
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            places: Vec::new(),
            count: 0,
            hired: 0,
            closed: false,
            overloaded: false,
            cancelled: 0,
            taken: 0,
        }
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Submit(kind) => self.submit(kind, None),
            Event::Reserve => {
                let place = self.world.desk.reserve();
                let is_full = self.taken >= self.plan.max;
                assert_eq!(place.is_none(), is_full || self.closed);
                self.places.extend(place);
                self.taken = self.taken.max(self.room_taken());
            }
            Event::UseReserved(kind) => {
                if let Some(place) = self.places.pop() {
                    self.submit(kind, Some(place));
                }
            }
            Event::Unreserve => {
                if let Some(place) = self.places.pop() {
                    self.world.desk.unreserve(place);
                }
            }
            Event::Cancel(at) => self.cancel(at),
            Event::Leave(at) => self.leave(at),
            Event::Come(at) => self.come(at),
            Event::Finish(at, outcome) => self.finish(at, outcome),
            Event::Close => {
                self.closed = true;
                self.world.desk.close();
            }
            Event::Open => {
                self.closed = false;
                self.world.desk.open();
            }
            Event::Pass(millis) => {
                self.world.passes(Duration::from_millis(millis));
                let wakeup = self.world.desk.next_wakeup();
                if wakeup.is_some_and(|at| at <= self.world.now) {
                    self.world.desk.on_wakeup(self.world.now);
                }
            }
            Event::Late(millis) => self.world.passes(Duration::from_millis(millis)),
            Event::Add(at) => self.add(at),
            Event::Change(at, change) => self.on_worker(at, change),
        }
        self.settle();
        self.check();
    }

    fn submit(&mut self, kind: Kind, place: Option<Place>) {
        self.count += 1;
        let id = self.count;
        let now = self.world.now;
        let wanted = Wanted {
            key: kind.key,
            tag: kind.tag.map(|at| TAGS[at].into()),
        };
        let deadline = kind
            .deadline
            .map(|millis| now + Duration::from_millis(millis));
        let terms = Terms {
            priority: kind.priority,
            tenant: kind.tenant.map(|at| TENANTS[at].into()),
            deadline,
            ..Terms::default()
        };
        let is_somebody_free = self.is_somebody_free_for(&wanted);
        let request = self.world.request(id, wanted.clone(), terms);
        let has_place = place.is_some();
        let submitted = match place {
            Some(place) => self.world.desk.submit_reserved(place, request, now),
            None => self.world.desk.submit(request, now),
        };
        match accepted(id, submitted) {
            Ok(name) => {
                assert!(!self.closed && deadline.is_none_or(|at| at > now));
                let gone = false;
                let fate = Fate::Waits;
                let job = Known {
                    name,
                    wanted,
                    deadline,
                    gone,
                    fate,
                };
                self.jobs.insert(id, job);
                if is_somebody_free {
                    self.taken = self.taken.max(self.room_taken());
                }
            }
            Err(reject) => self.check_refusal(reject, &wanted, deadline, has_place),
        }
    }

    /// Whether one may be given back at once for that.
    fn check_refusal(
        &self,
        reject: Reject,
        wanted: &Wanted,
        deadline: Option<Instant>,
        has_place: bool,
    ) {
        let has_tag = |worker: &Worker| wanted.tag.iter().all(|tag| worker.tags.contains(tag));
        match reject {
            Reject::QueueFull => {
                assert!(!has_place, "its place was kept");
                assert!(self.room_taken() >= self.plan.max);
                assert!(!self.is_somebody_free_for(wanted));
            }
            Reject::Expired => assert!(deadline.is_some_and(|at| at <= self.world.now)),
            Reject::Draining => assert!(self.closed),
            Reject::NoWorker => assert!(!self.workers.values().any(has_tag)),
            Reject::Shed | Reject::Dropped | Reject::BreakerOpen => panic!("{reject:?}"),
        }
    }

    fn room_taken(&self) -> usize {
        self.world.desk.queued() + self.places.len()
    }

    fn has_room(&self, worker: &Worker) -> bool {
        let jobs = self.plan.concurrency as usize;
        worker.can_work() && !worker.told && worker.jobs.len() < jobs
    }

    /// Whether a worker that can work may have a job.
    fn may_have(&self, number: u32, worker: &Worker, wanted: &Wanted) -> bool {
        let has_tag = wanted.tag.iter().all(|tag| worker.tags.contains(tag));
        let keeper = |key| {
            let keeper = self.world.desk.crew().keeper(key, wanted.tag.as_ref());
            keeper == Some(number)
        };
        has_tag && wanted.key.is_none_or(keeper)
    }

    fn is_somebody_free_for(&self, wanted: &Wanted) -> bool {
        self.workers
            .iter()
            .any(|(number, worker)| self.has_room(worker) && self.may_have(*number, worker, wanted))
    }

    /// One of those that have come so far, and have not all left.
    fn some_job(&self, at: usize) -> Option<u32> {
        let waits = |known: &&Known| known.fate == Fate::Waits;
        let waiting = self.jobs.values().filter(waits).count();
        // One in four has left.
        let all = self
            .jobs
            .iter()
            .filter(|(_, known)| waiting == 0 || at.is_multiple_of(4) || known.fate == Fate::Waits);
        all.cycle().nth(at % 64).map(|(id, _)| *id)
    }

    fn cancel(&mut self, at: usize) {
        let Some(id) = self.some_job(at) else {
            return;
        };
        let known = self.jobs.get_mut(&id).unwrap();
        match self.world.desk.cancel(&known.name) {
            Some(job) => {
                assert_eq!((job.id, known.fate), (id, Fate::Waits));
                known.fate = Fate::Over;
                self.cancelled += 1;
            }
            None => {
                // One that was moved is found when its turn comes, as one that nobody waits for.
                let may_have_moved = known.wanted.key.is_some() || known.gone;
                assert!(known.fate != Fate::Waits || may_have_moved);
                known.gone = true;
                let name = known.name.clone();
                self.world.leaves(id);
                self.world.desk.cancel_moved(&name, self.world.now);
            }
        }
    }

    fn leave(&mut self, at: usize) {
        if let Some(id) = self.some_job(at) {
            self.jobs.get_mut(&id).unwrap().gone = true;
            self.world.leaves(id);
        }
    }

    fn come(&mut self, at: usize) {
        let told = self.workers.iter().filter(|(_, worker)| worker.bells > 0);
        let told = told.map(|(number, _)| *number).collect::<Vec<_>>();
        if !told.is_empty() {
            let number = told[at % told.len()];
            let worker = self.workers.get_mut(&number).unwrap();
            worker.bells -= 1;
            self.pull(number);
        }
    }

    fn pull(&mut self, number: u32) {
        let worker = self.workers.get_mut(&number).unwrap();
        worker.told = false;
        let generation = worker.generation;
        let pulled = self.world.desk.pull(number, generation, self.world.now);
        if let Some((claim, taken)) = pulled {
            assert_eq!(claim.worker, number);
            return self.begun(claim, &taken);
        }
        self.absorb();
        let worker = &self.workers[&number];
        let found = |known: &Known| known.waits() && self.may_have(number, worker, &known.wanted);
        if self.has_room(worker) {
            assert!(!self.jobs.values().any(found), "{number} finds nothing");
        }
    }

    fn begun(&mut self, claim: Claim, taken: &Next<Task>) {
        let id = taken.payload.id;
        let worker = &self.workers[&claim.worker];
        let known = &self.jobs[&id];
        assert!(known.waits(), "{id} is begun: {known:?}");
        assert!(known.deadline.is_none_or(|at| at > self.world.now));
        assert!(self.has_room(worker), "{claim:?} of {worker:?}");
        assert!(self.may_have(claim.worker, worker, &known.wanted));
        assert_eq!(claim.generation, worker.generation);
        self.jobs.get_mut(&id).unwrap().fate = Fate::Begun;
        let worker = self.workers.get_mut(&claim.worker).unwrap();
        worker.jobs.push((claim, id));
    }

    fn finish(&mut self, at: usize, outcome: Outcome) {
        let all = self.workers.values().flat_map(|worker| &worker.jobs);
        let all: Vec<(Claim, u32)> = all.copied().collect();
        if all.is_empty() {
            return;
        }
        let (claim, id) = all[at % all.len()];
        match at % 3 {
            0 if self.plan.mode == Mode::Pull => return self.swap(claim, id, outcome),
            1 if self.plan.mode == Mode::Pull => return self.rest(claim, id, outcome),
            _ => {}
        }
        assert_eq!(self.world.finish(claim, outcome), Some(id));
        assert_eq!(self.world.finish(claim, outcome), None);
        self.has_done(claim, id);
        self.absorb();
        if self.plan.mode == Mode::Pull {
            self.pull(claim.worker);
        }
    }

    /// Done, and the next at once.
    fn swap(&mut self, claim: Claim, id: u32, outcome: Outcome) {
        let now = self.world.now;
        let (slip, begun) = self.world.desk.swap(claim, outcome, SECOND, now);
        assert_eq!(slip, Some(id));
        self.has_done(claim, id);
        let worker = self.workers.get_mut(&claim.worker).unwrap();
        worker.told = false;
        self.absorb();
        if let Some((claim, taken)) = begun {
            self.begun(claim, &taken);
        }
    }

    /// Done, and the next in a while: it hears of it by itself.
    fn rest(&mut self, claim: Claim, id: u32, outcome: Outcome) {
        let (now, generation) = (self.world.now, claim.generation);
        let done = Some((claim, outcome, SECOND));
        let desk = &mut self.world.desk;
        assert_eq!(desk.rest(claim.worker, generation, done, now), Some(id));
        assert_eq!(desk.rest(claim.worker, generation, done, now), None);
        self.has_done(claim, id);
        let worker = self.workers.get_mut(&claim.worker).unwrap();
        worker.bells += 1;
        worker.changes(|worker| worker.told = true);
        worker.at = Some(self.world.now);
        self.absorb();
    }

    fn has_done(&mut self, claim: Claim, id: u32) {
        let worker = self.workers.get_mut(&claim.worker).unwrap();
        worker.jobs.retain(|(its, _)| *its != claim);
        self.over(id, Fate::Begun);
    }

    fn over(&mut self, id: u32, from: Fate) {
        let known = self.jobs.get_mut(&id).unwrap();
        assert_eq!(known.fate, from, "{id}");
        known.fate = Fate::Over;
    }

    fn add(&mut self, at: usize) {
        self.hired += 1;
        let tags = TAGS.iter().enumerate();
        let tags = tags.filter(|(bit, _)| at & (1 << bit) != 0);
        let tags: Vec<Arc<str>> = tags.map(|(_, tag)| (*tag).into()).collect();
        let worker = Worker {
            tags: tags.clone(),
            ..Worker::default()
        };
        self.workers.insert(self.hired, worker);
        self.world.desk.add(self.hired, tags, self.world.now);
        if !at.is_multiple_of(5) {
            let last = self.workers.len() - 1;
            self.on_worker(last, Change::Restart(true));
        }
    }

    fn on_worker(&mut self, at: usize, change: Change) {
        let len = self.workers.len().max(1);
        let Some(number) = self.workers.keys().nth(at % len).copied() else {
            return;
        };
        let (desk, now) = (&mut self.world.desk, self.world.now);
        let worker = self.workers.get_mut(&number).unwrap();
        let (mut lost, mut expected) = match change {
            Change::Remove => {
                let expected = worker.ends();
                self.workers.remove(&number);
                (desk.remove(number, now), expected)
            }
            Change::Ready(ready) if worker.generation > 0 => {
                worker.changes(|worker| worker.ready = ready);
                let generation = worker.generation;
                (desk.on_standing(number, generation, ready, now), Vec::new())
            }
            Change::Restart(ready) => {
                let expected = worker.ends();
                worker.generation += 1;
                worker.ready = ready;
                let generation = worker.generation;
                let lost = desk.on_standing(number, generation, ready, now);
                let late = desk.on_standing(number, generation - 1, true, now);
                assert!(late.is_empty());
                (lost, expected)
            }
            Change::End => {
                let late = worker.generation.wrapping_sub(1);
                assert!(desk.on_end(number, late, now).is_empty());
                let expected = worker.ends();
                (desk.on_end(number, worker.generation, now), expected)
            }
            Change::Drain => {
                worker.changes(|worker| worker.draining = true);
                assert!(desk.drain(number, now));
                (Vec::new(), Vec::new())
            }
            Change::Keep => {
                worker.changes(|worker| worker.draining = false);
                desk.keep(number, now);
                (Vec::new(), Vec::new())
            }
            Change::Ready(_) => (Vec::new(), Vec::new()),
        };
        lost.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lost, expected, "what {number} had");
        for id in lost {
            self.over(id, Fate::Begun);
        }
    }

    /// All that is to be done, as after each call.
    fn settle(&mut self) {
        self.absorb();
        for steps in 0.. {
            assert!(steps < 2_000, "there is no end to it");
            match self.world.desk.next_step(self.world.now) {
                None => break,
                Some(Step::Ring(number)) => self.rung(number),
                Some(Step::Give(claim, taken)) => {
                    assert_eq!(self.plan.mode, Mode::Give);
                    self.begun(claim, &taken);
                }
            }
        }
        self.absorb();
    }

    fn rung(&mut self, number: u32) {
        assert_eq!(self.plan.mode, Mode::Pull);
        assert!(self.has_room(&self.workers[&number]), "{number} was told");
        let worker = self.workers.get_mut(&number).unwrap();
        (worker.told, worker.at) = (true, Some(self.world.now));
        worker.bells += 1;
        let awaited = self.workers.values().filter(|it| self.awaits(it));
        let is_one_of_few = awaited.count() <= self.world.desk.queued();
        let mut waiting = self.jobs.values().filter(|job| job.fate == Fate::Waits);
        let is_needed = is_one_of_few || waiting.any(|job| self.needs(number, &job.wanted));
        assert!(is_needed, "more than there are jobs");
    }

    /// It was told, and is counted on.
    fn awaits(&self, worker: &Worker) -> bool {
        worker.told && worker.at.is_some_and(|at| at + 20 * MILLI > self.world.now)
    }

    /// There are as many jobs for which it was told as have come to be told of those that may have them.
    fn needs(&self, number: u32, wanted: &Wanted) -> bool {
        let alike = |job: &&Known| job.fate == Fate::Waits && job.wanted == *wanted;
        let alike = self.jobs.values().filter(alike).count();
        let may_have = |number, worker| self.may_have(number, worker, wanted);
        let awaited = self.workers.iter();
        let awaited = awaited.filter(|(at, worker)| self.awaits(worker) && may_have(**at, worker));
        may_have(number, &self.workers[&number]) && awaited.count() <= alike
    }

    /// What the desk has to say.
    fn absorb(&mut self) {
        let has_news = self.world.desk.has_news();
        for (id, reject) in self.world.refused() {
            assert!(has_news);
            self.over(id, Fate::Waits);
            let known = &self.jobs[&id];
            assert!(match reject {
                Reject::Expired => known.deadline.is_some_and(|at| at <= self.world.now),
                Reject::Dropped =>
                    [Overflow::DropOldest, Overflow::DropNewest].contains(&self.plan.overflow),
                Reject::Shed => self.plan.overload,
                Reject::Draining => self.closed,
                Reject::QueueFull | Reject::NoWorker | Reject::BreakerOpen => false,
            });
        }
        for ejection in self.world.desk.take_ejections() {
            let (number, out) = match ejection {
                Ejection::Ejected { worker, .. } => (worker, true),
                Ejection::Restored { worker } => (worker, false),
            };
            let worker = self.workers.get_mut(&number).unwrap();
            assert_ne!(worker.ejected, out);
            worker.changes(|worker| worker.ejected = out);
        }
        if let Some(change) = self.world.desk.take_overload_change() {
            assert!(has_news);
            assert_ne!(change.overloaded, self.overloaded, "it is told once");
            self.overloaded = change.overloaded;
        }
    }

    fn check(&mut self) {
        self.world.balances();
        let desk = &self.world.desk;
        let status = desk.status(self.world.now);
        assert_eq!(status.is_overloaded, self.overloaded);
        let waiting = self.jobs.values().filter(|job| job.fate == Fate::Waits);
        // Those that nobody waited for have left unseen.
        let unseen = desk.totals().cancelled - self.cancelled;
        assert_eq!(waiting.count() as u64, status.queued + unseen);
        for (status, (number, worker)) in status.workers.iter().zip(&self.workers) {
            assert_eq!(
                (status.number, status.generation),
                (*number, worker.generation)
            );
            assert_eq!(status.in_flight as usize, worker.jobs.len());
            assert!(status.in_flight <= self.plan.concurrency);
        }
        assert!(self.room_taken() <= self.taken.max(self.plan.max));
        self.taken = self.room_taken();
        let wakeup = desk.next_wakeup();
        let waiting = self.jobs.values().filter(|job| job.waits());
        for known in waiting {
            let is_looked_after = |at| wakeup.is_some_and(|wakeup| wakeup <= at);
            assert!(known.deadline.is_none_or(is_looked_after), "{known:?}");
            let told = self.workers.values().any(|worker| self.awaits(worker));
            let is_over = known.deadline.is_some_and(|at| at <= self.world.now);
            let waits_for_nothing = !told && !is_over && self.is_somebody_free_for(&known.wanted);
            assert!(!waits_for_nothing, "{known:?}");
        }
    }

    /// With somebody who can work, and when all come that were told, nothing waits in the end that anybody can have.
    pub(super) fn finish_everything(mut self) {
        self.on_event(Event::Open);
        if !self.workers.values().any(Worker::can_work) {
            self.on_event(Event::Add(1));
        }
        for steps in 0.. {
            assert!(steps < 2_000, "there is no end to it");
            if self.workers.values().any(|worker| worker.bells > 0) {
                self.on_event(Event::Come(steps));
            } else if self.world.desk.crew().in_flight() > 0 {
                self.on_event(Event::Finish(steps, Outcome::Ok));
            } else {
                break;
            }
        }
        for known in self.jobs.values().filter(|known| known.waits()) {
            let can_have = self.workers.iter().any(|(number, worker)| {
                worker.can_work() && self.may_have(*number, worker, &known.wanted)
            });
            assert!(!can_have, "{known:?}");
        }
    }
}

impl Known {
    /// Its caller is there, and it was not begun.
    fn waits(&self) -> bool {
        self.fate == Fate::Waits && !self.gone
    }
}
