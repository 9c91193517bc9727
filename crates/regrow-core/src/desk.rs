//! Where work and workers of a pool meet: what waits, who has what, and what becomes of each job.
//!
//! A job that is [submitted](Desk::submit) waits in a [`Backlog`](crate::backlog::Backlog) until a worker takes it. There are two kinds of pools. In one,
//! workers *pull*: they are told that there is work ([`Step::Ring`]), come for it ([`Desk::pull`]), and come again when they have done
//! it; a job is in nobody's hands before it is begun. In the other, callers are *given* a worker to work with ([`Step::Give`]), and say
//! when they have done. After each call that may have brought work and workers together, ask for [`Desk::next_step`] until there is
//! none.
//!
//! Each job that was taken in comes to exactly one end, which is counted: done, in one way or another ([`Outcome`]), refused for one
//! reason or another ([`Reject`]), or cancelled by its caller before it was begun.
//!
//! Jobs with a key or a tag wait in a backlog of their own, for they are no business of other workers. Those of a worker that goes are
//! moved to whom their keys lead then.
//!
//! What is plain costs O(log n) in the number of workers, and O(1) in the number of jobs.

use std::time::{Duration, Instant};

use crate::backlog::{BacklogRules, Next, OverloadChange, Refusal, Refused, Terms};
use crate::crew::{Claim, Crew, CrewRules, Wanted};
use crate::outliers::{OutlierRules, Outliers};

mod lanes;
mod status;
mod steps;
#[cfg(test)]
mod tests;
mod workers;

pub use crate::circuit::InvalidRules;
use lanes::Lanes;
pub use lanes::{JobId, Lane};
pub use status::{DeskStatus, Outcome, Reject, Totals};
pub use steps::Begun;
pub use workers::Ejection;

/// The share by which each newer job counts in the mean of what jobs take.
const NEWER: f64 = 1.0 / 16.0;

/// How a pool's workers come by their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They come for it.
    Pull,
    /// Callers are given one, and do the work with it.
    Give,
}

/// What a job is, for the desk.
pub trait Job {
    /// What is kept of it while a worker has it, to tell its caller should that worker be lost.
    type Slip;

    /// That.
    fn slip(&self) -> Self::Slip;

    /// Whether nobody waits for it any more: then it is not begun.
    fn is_abandoned(&self) -> bool;
}

/// The rules of a desk.
#[derive(Clone, Debug)]
#[must_use]
pub struct DeskRules {
    /// How workers come by their work.
    pub mode: Mode,
    /// How many jobs may wait; what becomes of one more, and in which order they come, is said by the rest of these rules.
    pub backlog: BacklogRules,
    /// Who gets the next job.
    pub crew: CrewRules,
    /// Who gets none for a while, because it fails too often; nobody without these.
    pub outliers: Option<OutlierRules>,
}

/// A job, and for whom it is.
#[derive(Clone, Debug)]
pub struct Request<T> {
    /// The job.
    pub job: T,
    /// On which terms it waits.
    pub terms: Terms,
    /// Who may have it.
    pub wanted: Wanted,
}

/// What became of a request.
#[derive(Debug)]
#[must_use = "a job that was not taken in is in here"]
pub enum Submitted<T> {
    /// It waits.
    Queued(JobId),
    /// It is refused.
    Refused(T, Reject),
}

/// What is to be done, now that work and workers are there.
#[derive(Debug)]
pub enum Step<T> {
    /// Tell this worker that there is work.
    Ring(u32),
    /// This caller has a worker.
    Give(Claim, Next<T>),
}

/// A place that is kept for a job to come. It cannot be copied, so none is used twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a place that is neither used nor given back is never free again"]
pub struct Place(());

/// What of a pool's work and workers is decided.
#[derive(Debug)]
pub struct Desk<T: Job> {
    mode: Mode,
    max: usize,
    crew: Crew<T::Slip>,
    lanes: Lanes<T>,
    outliers: Option<Outliers>,
    reserved: usize,
    closed: bool,
    totals: Totals,
    /// What jobs take, on average, in seconds.
    service: f64,
    refused: Vec<(T, Reject)>,
    abandoned: Vec<T>,
    /// Whether it was told last that there is too much work, and the latest that says something else.
    overloaded: bool,
    overload: Option<OverloadChange>,
    ejections: Vec<Ejection>,
    /// When somebody was told last that there is work.
    rung_at: Option<Instant>,
    /// When it is looked next whether those come who were told, while somebody else is free.
    look_at: Option<Instant>,
}

impl<T: Job> Desk<T> {
    /// A desk without workers, where nothing waits.
    ///
    /// # Errors
    /// When rules are out of their range.
    pub fn new(rules: DeskRules) -> Result<Self, InvalidRules> {
        rules.crew.check()?;
        Ok(Self {
            mode: rules.mode,
            max: rules.backlog.most(),
            crew: Crew::new(rules.crew),
            lanes: Lanes::new(rules.backlog)?,
            outliers: rules.outliers.map(Outliers::new).transpose()?,
            reserved: 0,
            closed: false,
            totals: Totals::default(),
            service: 0.0,
            refused: Vec::new(),
            abandoned: Vec::new(),
            overloaded: false,
            overload: None,
            ejections: Vec::new(),
            rung_at: None,
            look_at: None,
        })
    }

    /// The workers.
    #[must_use]
    pub const fn crew(&self) -> &Crew<T::Slip> {
        &self.crew
    }

    /// The workers, to note how much memory they have, say.
    pub const fn crew_mut(&mut self) -> &mut Crew<T::Slip> {
        &mut self.crew
    }

    /// Takes a job in, if there is room for it, the rules make some, or somebody is free to begin it at once.
    pub fn submit(&mut self, request: Request<T>, now: Instant) -> Submitted<T> {
        self.take_in(request, false, now)
    }

    /// Takes a job in, in the place that was kept for it.
    pub fn submit_reserved(
        &mut self,
        place: Place,
        request: Request<T>,
        now: Instant,
    ) -> Submitted<T> {
        self.unreserve(place);
        self.take_in(request, true, now)
    }

    fn take_in(&mut self, request: Request<T>, has_place: bool, now: Instant) -> Submitted<T> {
        self.totals.submitted += 1;
        if let Some(reject) = self.refusal_of(&request, now) {
            return self.refuse(request.job, reject);
        }
        let lane = lane_of(&self.crew, &request.wanted);
        if self.is_full() {
            self.expire(now);
        }
        if !has_place && self.is_full() && !self.somebody_comes_for_one_more(&lane) {
            let Some(dropped) = self.lanes.make_room(&lane, &request.terms, now) else {
                return self.refuse(request.job, Reject::QueueFull);
            };
            self.note_refused(dropped);
        }
        let id = self.lanes.push(lane, request, now);
        if self.lanes.has_news() {
            self.note_news();
        }
        Submitted::Queued(id)
    }

    /// Why a job is not taken in, whatever room there is.
    fn refusal_of(&self, request: &Request<T>, now: Instant) -> Option<Reject> {
        if self.closed {
            return Some(Reject::Draining);
        }
        if request.terms.is_over(now) {
            return Some(Reject::Expired);
        }
        let tag = request.wanted.tag.as_ref();
        let is_unknown = tag.is_some_and(|tag| !self.crew.has_tag(tag));
        is_unknown.then_some(Reject::NoWorker)
    }

    fn refuse(&mut self, job: T, reject: Reject) -> Submitted<T> {
        self.totals.reject(reject);
        Submitted::Refused(job, reject)
    }

    /// Whether a job would find no room now, and none would be made for it. Not if it would be refused for another reason, which no
    /// room changes.
    pub fn has_no_room_for(&mut self, request: &Request<T>, now: Instant) -> bool {
        if !self.is_full() || self.refusal_of(request, now).is_some() {
            return false;
        }
        self.expire(now);
        let lane = lane_of(&self.crew, &request.wanted);
        self.is_full()
            && !self.somebody_comes_for_one_more(&lane)
            && !self.lanes.makes_room(&lane, &request.terms)
    }

    /// Keeps a place for a job to come, if there is room; it counts as one that waits.
    pub fn reserve(&mut self) -> Option<Place> {
        let has_room = !self.closed && !self.is_full();
        has_room.then(|| {
            self.reserved += 1;
            Place(())
        })
    }

    /// Gives back a place that was kept.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "taken, so that it is not used again"
    )]
    pub fn unreserve(&mut self, place: Place) {
        let Place(()) = place;
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Its caller does not wait for it any more, and it was not found by its name: that may be because it was moved. It is taken out
    /// then, with all that were moved and that nobody waits for. O(n log n) in the jobs with a key; O(1) if none was moved.
    pub fn cancel_moved(&mut self, id: &JobId, now: Instant) {
        if self.lanes.may_have_moved(id) {
            self.reroute(now);
        }
    }

    /// Its caller does not wait for it any more: it is taken out, if it was not begun.
    pub fn cancel(&mut self, id: &JobId) -> Option<T> {
        let job = self.lanes.cancel(id)?;
        self.totals.cancelled += 1;
        Some(job)
    }

    /// What a job came to is counted, and held against its worker or for it.
    fn account(&mut self, claim: Claim, outcome: Outcome, took: Duration, now: Instant) {
        self.totals.end(outcome);
        let newer = took.as_secs_f64() - self.service;
        self.service += if self.service > 0.0 {
            NEWER * newer
        } else {
            newer
        };
        if self.crew.rules().jobs_at_once() > 1 {
            self.crew.took(claim.worker, took, now);
        }
        self.lanes.served(took);
        self.judge(claim.worker, outcome.is_well(), now);
    }

    /// Time has passed: what may not be begun any more is refused, and who was ejected for so long is taken back.
    pub fn on_wakeup(&mut self, now: Instant) {
        self.look_at = self.look_at.filter(|at| *at > now);
        self.expire(now);
        self.look_at_outliers(now);
    }

    /// What may not be begun any more is refused.
    fn expire(&mut self, now: Instant) {
        if self.lanes.next_wakeup().is_none_or(|at| at > now) {
            return;
        }
        for refused in self.lanes.on_wakeup(now) {
            self.note_refused(refused);
        }
    }

    /// When [`Desk::on_wakeup`] is wanted, and [`Desk::next_step`] after it.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let outliers = self.outliers.as_ref().and_then(Outliers::next_wakeup);
        let held_up = self.counts_until();
        [self.lanes.next_wakeup(), outliers, held_up]
            .into_iter()
            .flatten()
            .min()
    }

    /// No more work is taken in. What waits is refused.
    pub fn close(&mut self) {
        self.closed = true;
        let (waiting, refused) = self.lanes.drain();
        for refused in refused {
            self.note_refused(refused);
        }
        for job in waiting {
            self.totals.reject(Reject::Draining);
            self.refused.push((job, Reject::Draining));
        }
    }

    /// Work is taken in again.
    pub const fn open(&mut self) {
        self.closed = false;
    }

    /// Whether no work is taken in.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Jobs that were taken in and will not be done, since this was asked last. Allocates nothing when there are none.
    pub fn take_refused(&mut self) -> Vec<(T, Reject)> {
        std::mem::take(&mut self.refused)
    }

    /// Jobs that nobody waited for any more when their turn came, since this was asked last: to be dropped where that harms nobody.
    pub fn take_abandoned(&mut self) -> Vec<T> {
        std::mem::take(&mut self.abandoned)
    }

    /// Whether there is anything to be asked for: by [`Desk::take_refused`], [`Desk::take_abandoned`] or
    /// [`Desk::take_overload_change`].
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.refused.is_empty()
            || !self.abandoned.is_empty()
            || self.overload.is_some()
            || self.lanes.is_overloaded() != self.overloaded
    }

    /// Whether there is more work than the workers can do, in one lane at least, if that has changed since this was asked last.
    pub fn take_overload_change(&mut self) -> Option<OverloadChange> {
        let seen = self.overload.take();
        let overloaded = self.lanes.is_overloaded();
        if overloaded == self.overloaded {
            return None;
        }
        self.overloaded = overloaded;
        // A lane that has gone has not been judged: nobody waits there.
        seen.or(Some(OverloadChange {
            overloaded,
            min_wait: Duration::ZERO,
            target: self.lanes.target()?,
        }))
    }

    /// How many jobs wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.lanes.len()
    }

    /// Whether there is no room for one more to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queued() + self.reserved >= self.max
    }

    /// After how much time it is worth to try again: when about half of what waits will have been done, at the rate at which workers
    /// work. `None` when nobody can say.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let able = self.crew.able() as u64 * u64::from(self.crew.rules().jobs_at_once());
        if able == 0 || self.service <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = (self.queued() as f64 / 2.0 + 1.0) * self.service / able as f64;
        Some(Duration::from_secs_f64(seconds.clamp(0.001, 300.0)))
    }

    /// What else a push or a pop has come to.
    #[cold]
    fn note_news(&mut self) {
        let change = self.lanes.take_overload_change();
        let other = |change: &OverloadChange| change.overloaded != self.overloaded;
        self.overload = change.filter(other).or(self.overload.take());
        for refused in self.lanes.take_refused() {
            self.note_refused(refused);
        }
    }

    fn note_refused(&mut self, refused: Refused<T>) {
        let reject = match refused.why {
            Refusal::Expired => Reject::Expired,
            Refusal::Shed => Reject::Shed,
            Refusal::Dropped => Reject::Dropped,
        };
        self.totals.reject(reject);
        self.refused.push((refused.payload, reject));
    }
}

/// In which lane a job waits.
fn lane_of<S>(crew: &Crew<S>, wanted: &Wanted) -> Lane {
    match (wanted.key, &wanted.tag) {
        (Some(key), tag) => match crew.keeper(key, tag.as_ref()) {
            Some(number) => Lane::Worker(number),
            // Nobody can have it yet: it goes to whom its key leads when somebody can.
            None => Lane::Nobody,
        },
        (None, Some(tag)) => Lane::Tag(tag.clone()),
        (None, None) => Lane::Any,
    }
}
