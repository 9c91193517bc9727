//! What all of a pool share: its desk behind a lock, the bells of its workers, and what the manager has to be told.
//!
//! The lock is held for O(log workers), and nobody is woken, answered or told of while it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ractor::{ActorCell, SupervisionEvent};
use regrow_core::backlog::{Next, OverloadChange};
use regrow_core::crew::Claim;
use regrow_core::desk::{Desk, Ejection, Outcome, Reject, Step};
use regrow_core::{ChildKind, Phase};
use tokio::sync::Notify;

use super::error::{PoolError, id_of};
use super::job::{Slip, Work};
use super::room::Room;
use super::rules::Rules;
use super::run::{End, Run, Sampled, lend};
use super::scaling::Scaling;
use super::seat::{Post, WorkerSeat};
use crate::breaker::Breaker;
use crate::path::ChildPath;
use crate::registry::Registered;
use crate::supervisor::Tree;
use crate::telemetry::{Payload, Span, Subject};
use crate::time;

/// The shortest pause between two looks whether the lock is free: about as long as it is held. Who looks sooner takes the line that it is
/// in from whoever holds it, for nothing.
const SHORTEST_PAUSE: u32 = 16;

/// The longest, before this thread sleeps for it. It is held for less than sleeping and waking takes: with the few looks of std's lock, a
/// third of the time of a flood of short jobs went into those.
const LONGEST_PAUSE: u32 = 256;

/// One job in so many is told as an example.
const SAMPLE: u64 = 64;

/// The part that is behind the lock.
pub(super) struct Inner<M> {
    pub(super) desk: Desk<Work<M>>,
    /// How a worker is told that there is work.
    bells: HashMap<u32, ActorCell>,
    /// Who has come to be ready for the first time in its life, and when, and its start began.
    arrivals: Vec<(u32, Duration)>,
}

/// What is to be done when the lock is not held any more.
pub(super) struct After<M> {
    ring: Vec<ActorCell>,
    give: Vec<(Claim, Next<Work<M>>)>,
    refused: Vec<(Work<M>, Reject)>,
    /// Of these nobody waits any more. They are dropped here, for whatever that does must not be done under the lock.
    abandoned: Vec<Work<M>>,
    lost: Vec<(u32, Option<Arc<Slip>>)>,
}

impl<M> Default for After<M> {
    fn default() -> Self {
        Self {
            ring: Vec::new(),
            give: Vec::new(),
            refused: Vec::new(),
            abandoned: Vec::new(),
            lost: Vec::new(),
        }
    }
}

/// Why a pool takes no work in.
#[derive(Default)]
struct Closed {
    /// An operator has said so.
    is_drained: AtomicBool,
    /// It has stopped, and is not to come back by itself.
    has_ended: AtomicBool,
}

/// A pool, for all of its lives.
pub(super) struct Shared<M> {
    pub(super) path: ChildPath,
    pub(super) rules: Rules,
    pub(super) starts: Breaker,
    inner: Mutex<Inner<M>>,
    pub(super) scaling: Mutex<Scaling>,
    tree: std::sync::Weak<Tree>,
    /// Wakes the manager.
    pub(super) alarm: Notify,
    /// The size is 0, or somebody is on his way out: the manager is to hear of the next job, or of the next end.
    pub(super) is_alert: AtomicBool,
    /// The manager looks whether workers come that were told of work.
    pub(super) is_watched: AtomicBool,
    /// Those who wait for room.
    pub(super) room: Room,
    /// Why no work is taken in, if none is.
    closed: Closed,
    /// The number of the last worker.
    pub(super) last: AtomicU32,
    overload: Mutex<Vec<OverloadChange>>,
}

/// Whether those who wait for room are to be told.
enum RoomNow {
    None,
    /// There will be none.
    Never,
    Some {
        has_place: bool,
    },
}

impl<M: Send + 'static> Shared<M> {
    pub(super) fn new(
        path: ChildPath,
        rules: Rules,
        desk: Desk<Work<M>>,
        scaling: Scaling,
        starts: Breaker,
        tree: &Arc<Tree>,
    ) -> Self {
        Self {
            path,
            rules,
            starts,
            inner: Mutex::new(Inner {
                desk,
                bells: HashMap::new(),
                arrivals: Vec::new(),
            }),
            scaling: Mutex::new(scaling),
            tree: Arc::downgrade(tree),
            alarm: Notify::new(),
            is_alert: AtomicBool::new(true),
            is_watched: AtomicBool::new(false),
            room: Room::default(),
            closed: Closed::default(),
            last: AtomicU32::new(0),
            overload: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        let mut pause = SHORTEST_PAUSE;
        while pause <= LONGEST_PAUSE {
            if let Ok(inner) = self.inner.try_lock() {
                return inner;
            }
            for _ in 0..pause {
                std::hint::spin_loop();
            }
            pause *= 2;
        }
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tree(&self) -> Option<Arc<Tree>> {
        self.tree.upgrade()
    }

    /// Tells what has happened to this pool.
    pub(super) fn emit(&self, payload: impl FnOnce() -> Payload) {
        if let Some(tree) = self.tree() {
            tree.telemetry.emit(|| self.subject(&tree), payload);
        }
    }

    fn subject(&self, tree: &Tree) -> Subject {
        match tree.place(self.path.as_str()) {
            Some(place) => Registered::new(&place).subject(),
            None => {
                let kind = ChildKind::Pool;
                Subject::new(self.path.clone(), kind, self.path.id(), 0, Phase::Running)
            }
        }
    }

    /// Begins a span about this pool.
    pub(super) fn span(&self, tree: &Tree, payload: Payload) -> Span {
        tree.telemetry.span(self.subject(tree), payload)
    }

    /// An operator wants it to take no work in, or to take some in again.
    pub(super) fn drain(self: &Arc<Self>, drained: bool) {
        self.closed.is_drained.store(drained, Ordering::Release);
        self.close_or_open();
    }

    /// A life of it begins.
    pub(super) fn begins(self: &Arc<Self>) {
        self.closed.has_ended.store(false, Ordering::Release);
        self.close_or_open();
    }

    /// It has stopped: what waits is refused, and what it had of anything that it shares is for others.
    pub(super) fn ends(self: &Arc<Self>) {
        self.closed.has_ended.store(true, Ordering::Release);
        self.close_or_open();
        if let Some(share) = &self.rules.quota {
            share.leave(&self.path);
        }
    }

    /// It is gone with all of its workers, or will not come back by itself.
    pub(super) fn is_gone(self: &Arc<Self>) {
        self.ends();
        let known: Vec<u32> = {
            let inner = self.lock();
            let each = inner.desk.crew().each();
            each.map(|worker| worker.number).collect()
        };
        for number in known {
            self.remove(number);
        }
    }

    fn close_or_open(self: &Arc<Self>) {
        let mut inner = self.lock();
        // Read under the lock: of two who change it at once the later sees both.
        let Closed {
            is_drained,
            has_ended,
        } = &self.closed;
        if is_drained.load(Ordering::Acquire) || has_ended.load(Ordering::Acquire) {
            inner.desk.close();
        } else {
            inner.desk.open();
        }
        self.settle(inner, time::now(), Vec::new());
        self.alarm.notify_one();
    }

    /// How much memory a life of a worker has.
    pub(super) fn has_memory(&self, number: u32, generation: u32, bytes: u64) {
        let mut inner = self.lock();
        let crew = inner.desk.crew_mut();
        if crew.generation(number) == Some(generation) && crew.on_memory(number, bytes) {
            self.alarm.notify_one();
        }
    }

    /// A worker on its way out stays after all.
    pub(super) fn keep(self: &Arc<Self>, number: u32) {
        let mut inner = self.lock();
        inner.desk.keep(number, time::now());
        self.settle(inner, time::now(), Vec::new());
    }

    /// Time has passed: deadlines, and who was to get no work for so long.
    pub(super) fn wake_up(self: &Arc<Self>, now: Instant) -> Vec<Ejection> {
        let mut inner = self.lock();
        if inner.desk.counts_until().is_none_or(|until| until <= now) {
            self.is_watched.store(false, Ordering::Relaxed);
        }
        inner.desk.on_wakeup(now);
        let ejections = inner.desk.take_ejections();
        self.settle(inner, now, Vec::new());
        ejections
    }

    /// Where a worker of this number sits.
    pub(super) fn seat(self: &Arc<Self>, number: u32) -> WorkerSeat {
        WorkerSeat::new(Arc::clone(self) as Arc<dyn Post>, number)
    }

    /// Brings work and workers together, and does what follows without the lock.
    pub(super) fn settle(
        self: &Arc<Self>,
        inner: MutexGuard<'_, Inner<M>>,
        now: Instant,
        lost: Vec<(u32, Option<Arc<Slip>>)>,
    ) {
        self.settle_and(inner, now, lost, true);
    }

    /// The same for one who has found no room: nothing that others wait for has changed, and least of all for himself.
    pub(super) fn settle_quietly(self: &Arc<Self>, inner: MutexGuard<'_, Inner<M>>, now: Instant) {
        self.settle_and(inner, now, Vec::new(), false);
    }

    fn settle_and(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Inner<M>>,
        now: Instant,
        lost: Vec<(u32, Option<Arc<Slip>>)>,
        tells_of_room: bool,
    ) {
        let first = inner.desk.next_step(now);
        let is_quiet = first.is_none() && lost.is_empty() && !inner.desk.has_news();
        let after = (!is_quiet).then(|| self.steps(&mut inner, first, now, lost));
        // Should those who were told not come, the manager has others told.
        let watch = inner.desk.counts_until().is_some();
        let room = if tells_of_room {
            self.room_now(&inner)
        } else {
            RoomNow::None
        };
        drop(inner);
        match room {
            RoomNow::None => {}
            RoomNow::Never => self.room.tell_all(),
            RoomNow::Some { has_place } => self.room.tell(has_place),
        }
        if watch && !self.is_watched.swap(true, Ordering::Relaxed) {
            self.alarm.notify_one();
        }
        if let Some(after) = after {
            self.perform(after);
        }
    }

    fn room_now(&self, inner: &Inner<M>) -> RoomNow {
        let has_place = !inner.desk.is_full();
        if self.room.is_empty() {
            RoomNow::None
        } else if inner.desk.is_closed() {
            RoomNow::Never
        } else if has_place || inner.desk.crew().is_anybody_free() {
            RoomNow::Some { has_place }
        } else {
            RoomNow::None
        }
    }

    fn steps(
        &self,
        inner: &mut Inner<M>,
        first: Option<Step<Work<M>>>,
        now: Instant,
        lost: Vec<(u32, Option<Arc<Slip>>)>,
    ) -> After<M> {
        let mut after = After {
            lost,
            ..After::default()
        };
        let mut next = first;
        while let Some(step) = next {
            match step {
                Step::Ring(number) => after.ring.extend(inner.bells.get(&number).cloned()),
                Step::Give(claim, taken) => after.give.push((claim, taken)),
            }
            next = inner.desk.next_step(now);
        }
        after.refused = inner.desk.take_refused();
        after.abandoned = inner.desk.take_abandoned();
        if let Some(change) = inner.desk.take_overload_change() {
            let mut told = self.overload.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < 16 {
                told.push(change);
            }
            self.alarm.notify_one();
        }
        after
    }

    pub(super) fn perform(self: &Arc<Self>, after: After<M>) {
        for bell in after.ring {
            ring(&bell);
        }
        for (claim, taken) in after.give {
            self.give(claim, taken);
        }
        for (work, reject) in after.refused {
            if let Some(slip) = work.slip_ref() {
                slip.refuse(self.rejected(reject, None));
            }
        }
        for (number, slip) in after.lost {
            if let Some(slip) = slip {
                slip.refuse(self.lost(number, Outcome::Lost));
            }
        }
    }

    pub(super) fn lost(&self, number: u32, outcome: Outcome) -> PoolError {
        PoolError::Lost {
            worker: self.path.join(&number.to_string()),
            outcome,
        }
    }

    /// A caller is given a worker.
    pub(super) fn give(self: &Arc<Self>, claim: Claim, taken: Next<Work<M>>) {
        let (run, work) = self.run(claim, taken, time::now());
        match work {
            Work::Lease(sender, _) => lend(sender, run),
            Work::Message(..) => drop(run),
        }
    }

    /// What a worker that comes for work has to do.
    pub(super) fn pull(self: &Arc<Self>, number: u32, generation: u32) -> Option<(Run, Work<M>)> {
        let now = time::now();
        let mut inner = self.lock();
        let pulled = inner.desk.pull(number, generation, now);
        self.settle(inner, now, Vec::new());
        let (claim, taken) = pulled?;
        Some(self.run(claim, taken, now))
    }

    /// A worker has done a job, if it had one, and comes for the next when it has had a look at its mailbox.
    pub(super) fn rest(self: &Arc<Self>, number: u32, generation: u32, run: Option<Run>) {
        let now = time::now();
        let done = run.map(|mut run| {
            run.is_over = true;
            let took = run.took(now);
            (run, took)
        });
        let mut inner = self.lock();
        let ended = done
            .as_ref()
            .map(|(run, took)| (run.claim, run.outcome, *took));
        let finished = inner.desk.rest(number, generation, ended, now);
        self.settle(inner, now, Vec::new());
        if let Some((run, took)) = done
            && finished.is_some()
        {
            self.tell_end(&run, took);
        }
    }

    /// A worker has done a job, and comes for the next.
    pub(super) fn swap(self: &Arc<Self>, mut run: Run) -> Option<(Run, Work<M>)> {
        run.is_over = true;
        let now = time::now();
        let took = run.took(now);
        let mut inner = self.lock();
        let (finished, pulled) = inner.desk.swap(run.claim, run.outcome, took, now);
        self.settle(inner, now, Vec::new());
        // Of a worker that was given up on everything has been said.
        if finished.is_some() {
            self.tell_end(&run, took);
        }
        let (claim, next) = pulled?;
        run.begins(claim, next.payload.slip_ref().cloned(), sampled(&next, now));
        Some((run, next.payload))
    }

    /// A worker that has several jobs at once is not free before the caller has its answer; of one that has one at a time, or without a
    /// caller, the job is given back.
    pub(super) fn hold(&self, run: Run) -> Option<Run> {
        if self.rules.crew.jobs_at_once() == 1 {
            return Some(run);
        }
        let Some(slip) = run.slip().cloned() else {
            return Some(run);
        };
        slip.hold(run);
        None
    }

    /// The caller of a job hears that it is over, and so does who listens, now and then.
    fn tell_end(&self, run: &Run, took: Duration) {
        if let Some(slip) = &run.slip {
            match run.outcome {
                Outcome::Ok | Outcome::Timeout | Outcome::Cancelled => slip.done(),
                Outcome::Error | Outcome::Panicked | Outcome::Lost => {
                    slip.refuse(self.lost(run.claim.worker, run.outcome));
                }
            }
        }
        if run.outcome == Outcome::Lost {
            self.tell_lost(run.claim.worker, 1);
        }
        if run.claim.number() % SAMPLE == 1 {
            self.emit(|| Payload::PoolJob {
                wait: run.taken.waited,
                duration: took,
                worker: id_of(run.claim),
                priority: run.taken.priority,
                outcome: run.outcome.as_str(),
            });
        }
        self.alert();
    }

    fn run(self: &Arc<Self>, claim: Claim, next: Next<Work<M>>, began: Instant) -> (Run, Work<M>) {
        let run = Run {
            end: Arc::clone(self) as Arc<dyn End>,
            claim,
            slip: next.payload.slip_ref().cloned(),
            taken: sampled(&next, began),
            outcome: Outcome::Lost,
            is_over: false,
        };
        (run, next.payload)
    }

    pub(super) fn alert(&self) {
        if self.is_alert.load(Ordering::Relaxed) {
            self.alarm.notify_one();
        }
    }

    /// A worker is up, and this is its bell.
    pub(super) fn hang_bell(&self, number: u32, bell: ActorCell) {
        self.lock().bells.insert(number, bell);
    }

    pub(super) fn take_arrivals(&self) -> Vec<(u32, Duration)> {
        std::mem::take(&mut self.lock().arrivals)
    }

    pub(super) fn take_overload(&self) -> Vec<OverloadChange> {
        let mut told = self.overload.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut told)
    }

    /// A worker's place is gone.
    pub(super) fn remove(self: &Arc<Self>, number: u32) {
        let now = time::now();
        let mut inner = self.lock();
        let lost = inner.desk.remove(number, now);
        inner.bells.remove(&number);
        let lost = lost.into_iter().map(|slip| (number, slip)).collect();
        self.settle(inner, now, lost);
        self.alarm.notify_one();
    }

    /// What its supervisor has written of a worker.
    fn on_standing(self: &Arc<Self>, number: u32, generation: u32, phase: Phase, ready: bool) {
        let now = time::now();
        let mut inner = self.lock();
        let is_new = inner.desk.crew().is_unproven(number);
        let lost = if phase.is_alive() {
            inner.desk.on_standing(number, generation, ready, now)
        } else {
            inner.desk.on_end(number, generation, now)
        };
        if ready && is_new {
            let took = inner.desk.crew().age(number, now);
            inner.arrivals.push((number, took));
            self.alarm.notify_one();
        }
        let count = lost.len() as u64;
        let lost = lost.into_iter().map(|slip| (number, slip)).collect();
        self.settle(inner, now, lost);
        if count > 0 {
            self.tell_lost(number, count);
        }
        self.alert();
    }

    fn tell_lost(&self, number: u32, jobs: u64) {
        self.emit(|| Payload::PoolJobLost {
            jobs,
            worker: number.to_string().into(),
        });
    }
}

impl<M: Send + 'static> Post for Shared<M> {
    fn standing(self: Arc<Self>, number: u32, generation: u32, phase: Phase, ready: bool) {
        self.on_standing(number, generation, phase, ready);
    }
}

impl<M: Send + 'static> End for Shared<M> {
    fn end(self: Arc<Self>, run: &mut Run) {
        run.is_over = true;
        let now = time::now();
        let took = run.took(now);
        let mut inner = self.lock();
        let finished = inner.desk.finish(run.claim, run.outcome, took, now);
        self.settle(inner, now, Vec::new());
        if finished.is_some() {
            self.tell_end(run, took);
        }
    }

    fn place(&self, number: u32) -> Option<Registered> {
        let path = self.path.join(&number.to_string());
        let place = self.tree()?.place(path.as_str())?;
        Some(Registered::new(&place))
    }
}

fn sampled<M>(next: &Next<Work<M>>, began: Instant) -> Sampled {
    Sampled {
        began,
        waited: next.waited,
        priority: next.priority,
    }
}

/// Tells a worker that there is work.
pub(super) fn ring(bell: &ActorCell) {
    // An event of its own child: the one thing that an actor hears beside its messages, and before them.
    bell.notify_supervisor(SupervisionEvent::ActorStarted(bell.clone()));
}
