//! The rules one by one, in both modes; then random histories.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::backlog::{Overflow, OverloadRules, Priority, Target};
use crate::crew::WorkerState;
use crate::testing::t0;

mod histories;
mod keys;
mod order;
mod overload;
mod refusals;
mod rings;
mod workers;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// A job by its number, and those whose callers have gone.
#[derive(Debug)]
struct Task {
    id: u32,
    gone: Rc<RefCell<BTreeSet<u32>>>,
}

impl Job for Task {
    type Slip = u32;

    fn slip(&self) -> u32 {
        self.id
    }

    fn is_abandoned(&self) -> bool {
        self.gone.borrow().contains(&self.id)
    }
}

fn rules(mode: Mode) -> DeskRules {
    DeskRules {
        mode,
        backlog: BacklogRules::new(100),
        crew: CrewRules::default(),
        outliers: None,
    }
}

fn of_concurrency(mode: Mode, jobs: u32) -> DeskRules {
    DeskRules {
        crew: CrewRules::default().concurrency(jobs),
        ..rules(mode)
    }
}

fn of_backlog(mode: Mode, backlog: BacklogRules) -> DeskRules {
    DeskRules {
        backlog,
        ..rules(mode)
    }
}

fn tag(name: &str) -> Wanted {
    Wanted::tagged(&name.into())
}

/// A desk, the time, and what its shell knows: after each call it asks for the next step until there is none.
struct World {
    desk: Desk<Task>,
    now: Instant,
    gone: Rc<RefCell<BTreeSet<u32>>>,
}

impl World {
    /// So many workers, from 1 on, that are up.
    fn new(rules: DeskRules, workers: u32) -> Self {
        let mut world = Self {
            desk: Desk::new(rules).unwrap(),
            now: t0(),
            gone: Rc::default(),
        };
        for number in 1..=workers {
            world.up(number, &[]);
        }
        world
    }

    /// One more worker that is up.
    fn up(&mut self, number: u32, tags: &[&str]) {
        let tags: Vec<Arc<str>> = tags.iter().map(|tag| (*tag).into()).collect();
        self.desk.add(number, tags, self.now);
        assert!(self.desk.on_standing(number, 1, true, self.now).is_empty());
    }

    fn request(&self, id: u32, wanted: Wanted, terms: Terms) -> Request<Task> {
        let gone = Rc::clone(&self.gone);
        let job = Task { id, gone };
        Request { job, terms, wanted }
    }

    fn submit(&mut self, id: u32, wanted: Wanted, terms: Terms) -> Result<JobId, Reject> {
        let request = self.request(id, wanted, terms);
        accepted(id, self.desk.submit(request, self.now))
    }

    /// A job that anybody may have.
    fn put(&mut self, id: u32) -> JobId {
        let queued = self.submit(id, Wanted::anybody(), Terms::default());
        queued.expect("there is room")
    }

    /// One that is for somebody.
    fn put_for(&mut self, id: u32, wanted: Wanted) -> JobId {
        let queued = self.submit(id, wanted, Terms::default());
        queued.expect("there is room")
    }

    /// A key that leads to this worker.
    fn key_of(&self, worker: u32) -> Wanted {
        let leads = |key: &u64| self.desk.crew().keeper(*key, None) == Some(worker);
        let key = (0..10_000).find(leads);
        Wanted::keyed(key.expect("one of so many keys leads there"))
    }

    /// Who is told that there is work.
    fn rings(&mut self) -> Vec<u32> {
        let rings = std::iter::from_fn(|| match self.desk.next_step(self.now)? {
            Step::Ring(worker) => Some(worker),
            Step::Give(claim, taken) => panic!("{claim:?} was given {taken:?}"),
        });
        let rings: Vec<_> = rings.take(100).collect();
        assert!(rings.len() < 100, "there is no end to it: {rings:?}");
        rings
    }

    /// What is given to whom.
    fn gives(&mut self) -> Vec<(u32, Claim)> {
        let gives = std::iter::from_fn(|| match self.desk.next_step(self.now)? {
            Step::Ring(worker) => panic!("{worker} was told"),
            Step::Give(claim, taken) => Some((taken.payload.id, claim)),
        });
        gives.collect()
    }

    /// A worker comes for work, and gets this job.
    fn comes(&mut self, worker: u32) -> Option<(u32, Claim)> {
        let generation = self.desk.crew().generation(worker)?;
        let (claim, taken) = self.desk.pull(worker, generation, self.now)?;
        assert_eq!((claim.worker, claim.generation), (worker, generation));
        Some((taken.payload.id, claim))
    }

    /// Which job a worker gets that comes for one.
    fn gets(&mut self, worker: u32) -> Option<u32> {
        self.comes(worker).map(|(id, _)| id)
    }

    fn finish(&mut self, claim: Claim, outcome: Outcome) -> Option<u32> {
        self.desk.finish(claim, outcome, SECOND, self.now)
    }

    /// A worker does one job after the other, in this order, until there is none for it.
    fn works_off(&mut self, worker: u32) -> Vec<u32> {
        let one = || {
            let (id, claim) = self.comes(worker)?;
            assert_eq!(self.finish(claim, Outcome::Ok), Some(id));
            Some(id)
        };
        std::iter::from_fn(one).collect()
    }

    /// A caller stops waiting and says nothing.
    fn leaves(&mut self, id: u32) {
        self.gone.borrow_mut().insert(id);
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    /// What was refused since this was asked last.
    fn refused(&mut self) -> Vec<(u32, Reject)> {
        let refused = self.desk.take_refused().into_iter();
        refused.map(|(job, why)| (job.id, why)).collect()
    }

    fn rejected(&self, reject: Reject) -> u64 {
        self.desk.totals().rejected(reject)
    }

    /// Every job is accounted for.
    #[track_caller]
    fn balances(&self) {
        let waits = self.desk.queued() as u64 + self.desk.crew().in_flight();
        let totals = self.desk.totals();
        assert_eq!(totals.submitted, totals.settled() + waits, "{totals:?}");
    }
}

fn accepted(id: u32, submitted: Submitted<Task>) -> Result<JobId, Reject> {
    match submitted {
        Submitted::Queued(id) => Ok(id),
        Submitted::Refused(job, reject) => {
            assert_eq!(job.id, id, "one gets one's own back");
            Err(reject)
        }
    }
}

fn ids(given: &[(u32, Claim)]) -> Vec<u32> {
    given.iter().map(|(id, _)| *id).collect()
}

#[test]
fn rules_out_of_their_range_make_no_desk() {
    let outliers = Some(OutlierRules::default().consecutive(0));
    let wrong = Desk::<Task>::new(DeskRules {
        outliers,
        ..rules(Mode::Pull)
    });
    assert_eq!(wrong.unwrap_err().field, "consecutive");
    let backlog = BacklogRules::new(1).ageing(Duration::ZERO);
    let wrong = Desk::<Task>::new(of_backlog(Mode::Give, backlog));
    assert_eq!(wrong.unwrap_err().field, "ageing");
}

#[test]
fn in_a_pool_where_workers_pull_a_job_waits_until_one_comes() {
    let mut world = World::new(rules(Mode::Pull), 1);
    world.put(1);
    assert_eq!(world.rings(), [1]);
    assert_eq!((world.desk.queued(), world.desk.crew().in_flight()), (1, 0));
    let (id, claim) = world.comes(1).unwrap();
    assert_eq!((world.desk.queued(), world.desk.crew().in_flight()), (0, 1));
    assert_eq!((id, world.finish(claim, Outcome::Ok)), (1, Some(1)));
    assert_eq!(world.desk.crew().in_flight(), 0);
    assert_eq!(world.desk.totals().ended(Outcome::Ok), 1);
    world.balances();
}

#[test]
fn in_a_pool_that_gives_callers_have_workers_as_far_as_there_are_any() {
    let mut world = World::new(rules(Mode::Give), 2);
    for id in 1..=3 {
        world.put(id);
    }
    let given = world.gives();
    assert_eq!(ids(&given), [1, 2]);
    assert_ne!(given[0].1.worker, given[1].1.worker);
    assert_eq!(world.desk.queued(), 1);
    let (_, first) = given[0];
    assert_eq!(world.finish(first, Outcome::Error), Some(1));
    let next = world.gives();
    assert_eq!((next[0].0, next[0].1.worker), (3, first.worker));
    world.balances();
}

#[test]
fn a_worker_of_a_pool_that_gives_has_as_many_at_once_as_it_may() {
    let mut world = World::new(of_concurrency(Mode::Give, 3), 1);
    for id in 1..=4 {
        world.put(id);
    }
    assert_eq!(ids(&world.gives()), [1, 2, 3]);
    assert_eq!(world.desk.crew().in_flight(), 3);
}

#[test]
fn a_job_that_is_taken_back_before_it_is_begun_is_not_begun() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 0);
        let (first, second) = (world.put(1), world.put(2));
        let key = Wanted::keyed(7);
        let third = world.put_for(3, key);
        for (id, number) in [(&first, 1), (&third, 3)] {
            let job = world.desk.cancel(id).map(|job| job.id);
            assert_eq!(job, Some(number));
            assert!(world.desk.cancel(id).is_none(), "there is none any more");
        }
        assert_eq!(world.desk.totals().cancelled, 2);
        world.up(1, &[]);
        let begun = match mode {
            Mode::Pull => world.gets(1),
            Mode::Give => world.gives().first().map(|(id, _)| *id),
        };
        assert_eq!(begun, Some(2));
        assert!(world.desk.cancel(&second).is_none(), "it is begun");
        assert_eq!(world.desk.totals().cancelled, 2);
        world.balances();
    }
}

#[test]
fn a_job_that_nobody_waits_for_is_passed_over_and_counts_as_cancelled() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 1);
        for id in 1..=4 {
            world.put(id);
        }
        world.leaves(1);
        world.leaves(2);
        world.leaves(4);
        let (begun, claim) = match mode {
            Mode::Pull => world.comes(1).unwrap(),
            Mode::Give => world.gives()[0],
        };
        assert_eq!((begun, world.desk.totals().cancelled), (3, 2));
        world.finish(claim, Outcome::Ok);
        match mode {
            Mode::Pull => assert_eq!(world.gets(1), None),
            Mode::Give => assert!(world.gives().is_empty()),
        }
        let totals = *world.desk.totals();
        assert_eq!((totals.cancelled, totals.settled()), (3, 4));
        assert!(world.refused().is_empty());
        world.balances();
    }
}

#[test]
fn the_end_of_a_claim_that_is_over_does_nothing() {
    for mode in [Mode::Pull, Mode::Give] {
        let mut world = World::new(rules(mode), 1);
        world.put(1);
        let (_, claim) = match mode {
            Mode::Pull => world.comes(1).unwrap(),
            Mode::Give => world.gives()[0],
        };
        assert_eq!(world.finish(claim, Outcome::Error), Some(1));
        let (before, service) = (*world.desk.totals(), world.desk.status(world.now).service);
        world.passes(SECOND);
        let again = world.desk.finish(claim, Outcome::Ok, 9 * SECOND, world.now);
        assert_eq!(again, None);
        assert_eq!(*world.desk.totals(), before);
        assert_eq!(world.desk.status(world.now).service, service);
    }
}

#[test]
fn every_end_is_counted_as_what_it_was() {
    let mut world = World::new(rules(Mode::Pull), 1);
    for (id, outcome) in (1..).zip(Outcome::ALL) {
        world.put(id);
        let (_, claim) = world.comes(1).unwrap();
        world.finish(claim, *outcome);
        assert_eq!(world.desk.totals().ended(*outcome), 1);
        assert_eq!(world.desk.totals().settled(), u64::from(id));
    }
    world.desk.note_reject(Reject::BreakerOpen);
    let totals = world.desk.totals();
    assert_eq!(totals.rejected(Reject::BreakerOpen), 1);
    assert_eq!((totals.submitted, totals.settled()), (7, 7));
    let well: Vec<_> = Outcome::ALL.iter().filter(|end| end.is_well()).collect();
    assert_eq!(well, [&Outcome::Ok, &Outcome::Cancelled]);
    world.balances();
}

#[test]
fn a_desk_says_how_it_is() {
    let mut world = World::new(rules(Mode::Pull), 2);
    world.put(1);
    world.passes(SECOND);
    world.put_for(2, Wanted::keyed(1));
    let (_, claim) = world.comes(1).unwrap();
    world.put(3);
    world.passes(2 * SECOND);
    let status = world.desk.status(world.now);
    assert_eq!((status.queued, status.in_flight), (2, 1));
    assert_eq!(status.oldest, 2 * SECOND);
    assert_eq!(world.desk.oldest(world.now), 2 * SECOND);
    assert_eq!((status.is_closed, status.is_overloaded), (false, false));
    assert_eq!(status.service, Duration::ZERO);
    let states: Vec<_> = status.workers.iter().map(|worker| worker.state).collect();
    assert_eq!(states, [WorkerState::Busy, WorkerState::Idle]);
    assert_eq!(status.counts.of(WorkerState::Busy), 1);
    world.finish(claim, Outcome::Ok);
    assert_eq!(world.desk.status(world.now).service, SECOND);
}

#[test]
fn what_a_job_takes_is_a_mean_of_the_latest() {
    let mut world = World::new(rules(Mode::Pull), 1);
    let mut serve = |took: Duration| {
        world.put(1);
        let (_, claim) = world.comes(1).unwrap();
        world.desk.finish(claim, Outcome::Ok, took, world.now);
        world.desk.status(world.now).service
    };
    assert_eq!(serve(16 * SECOND), 16 * SECOND);
    assert_eq!(serve(Duration::ZERO), 15 * SECOND, "a sixteenth less");
    assert_eq!(serve(31 * SECOND), 16 * SECOND);
}
