//! The work that waits for a worker: who is next, for whom there is no room, and who has waited for too long.
//!
//! Whoever is of a higher class is served first, and whoever waits moves up a class now and then, so that nobody waits for ever. In a
//! class tenants take turns by what their jobs cost ([deficit round robin][drr]), so that one who sends ten times as much delays itself.
//! Of one tenant the oldest comes first. Jobs whose deadline is over are never started. Where there is more work than the workers can
//! do, and the rules want it, jobs that have waited too long are shed and the newest comes first, which is late for fewer callers.
//!
//! [drr]: https://en.wikipedia.org/wiki/Deficit_round_robin
//!
//! The contract: [`Backlog::offer`] puts a job in and answers its [`Ticket`], [`Backlog::pop`] takes the next one out,
//! [`Backlog::cancel`] one that nobody waits for any more. **Each job leaves exactly once**: by one of these two, as the one that an
//! offer had to drop, with [`Backlog::drain`], or in what [`Backlog::take_refused`] answers. Ask for that after each call that is told
//! the time. [`Backlog::on_wakeup`] is wanted at [`Backlog::next_wakeup`], so that callers hear of their deadline at it. A time before
//! the latest that was told counts as that.
//!
//! Each call costs O(1) amortised for a job without a deadline, and O(log n) at worst for one that has one; what costs more says so.
//! The memory is that of the most jobs that ever waited at once; a tenant without jobs takes none.
//!
//! ```
//! # use std::time::Instant;
//! use regrow_core::backlog::{Backlog, BacklogRules, Priority, Terms};
//! # #[expect(clippy::disallowed_methods)]
//! # let now = Instant::now();
//! let mut backlog = Backlog::new(BacklogRules::new(100)).unwrap();
//! for job in ["a1", "a2", "a3"] {
//!     backlog.push(job, Terms::default().tenant("a"), now);
//! }
//! backlog.push("b1", Terms::default().tenant("b"), now);
//! backlog.push("now!", Terms::default().priority(Priority::High), now);
//! let order: Vec<_> = std::iter::from_fn(|| backlog.pop(now)).map(|taken| taken.payload).collect();
//! assert_eq!(order, ["now!", "a1", "b1", "a2", "a3"]);
//! ```

use std::time::{Duration, Instant};

mod cost;
mod due;
mod job;
mod list;
mod moving;
mod overload;
mod rules;
mod slots;
#[cfg(test)]
mod tests;
mod turns;

pub use crate::circuit::InvalidRules;
use cost::MeanCost;
use due::Due;
pub use job::{Next, Offered, Place, Priority, Refusal, Refused, Taken, Terms, Ticket, Waiting};
use list::{List, NIL};
use overload::Overload;
pub use overload::OverloadChange;
pub use rules::{BacklogRules, Overflow, OverloadRules, Target};
use slots::{Arrival, Departed, Slot, Slots, after, cohort};
use turns::{CLASSES, Lane, Turns};

/// The work that waits. What a job is, nobody in here looks at.
#[derive(Debug)]
pub struct Backlog<T> {
    rules: BacklogRules,
    slots: Slots<T>,
    /// The jobs of each cohort, the oldest first.
    cohorts: [List; CLASSES * CLASSES],
    turns: Turns,
    due: Due,
    overload: Option<Overload>,
    refused: Vec<Refused<T>>,
    /// The latest time that was told.
    latest: Option<Instant>,
    /// Before this time nobody moves up.
    rises_at: Option<Instant>,
    len: usize,
    reserved: usize,
    total_cost: u64,
    mean_cost: MeanCost,
}

impl<T> Backlog<T> {
    /// A backlog in which nothing waits.
    ///
    /// # Errors
    /// When the rules are out of their range.
    pub fn new(rules: BacklogRules) -> Result<Self, InvalidRules> {
        rules.check()?;
        Ok(Self::by_checked(rules))
    }

    /// An empty one beside this one, by the same rules. It knows as well how long jobs take.
    pub(crate) fn another(&self) -> Self {
        let mut another = Self::by_checked(self.rules.clone());
        if let (Some(overload), Some(known)) = (&mut another.overload, &self.overload) {
            overload.service = known.service;
        }
        another
    }

    /// The same by rules that are known to be in their range.
    fn by_checked(rules: BacklogRules) -> Self {
        Self {
            slots: Slots::new(),
            cohorts: [List::EMPTY; CLASSES * CLASSES],
            turns: Turns::new(),
            due: Due::default(),
            overload: rules.overload.map(Overload::new),
            refused: Vec::new(),
            latest: None,
            rises_at: None,
            len: 0,
            reserved: 0,
            total_cost: 0,
            mean_cost: MeanCost::default(),
            rules,
        }
    }

    /// By which rules it goes.
    pub const fn rules(&self) -> &BacklogRules {
        &self.rules
    }

    /// Puts a job in, if there is room for it or the rules make some.
    pub fn offer(&mut self, payload: T, terms: Terms, now: Instant) -> Offered<T> {
        let now = self.settle(now);
        if terms.is_over(now) {
            return Offered::Expired(payload);
        }
        let mut dropped = None;
        if self.is_full() {
            dropped = self.make_room(terms.priority, now);
            if dropped.is_none() {
                return Offered::Full(payload);
            }
        }
        let ticket = self.admit(payload, terms, now, 0);
        Offered::Queued { ticket, dropped }
    }

    /// The job that goes, if the rules want one to go, to make room for another of this class: for whoever counts the room himself.
    pub fn make_room(&mut self, class: Priority, now: Instant) -> Option<Refused<T>> {
        let victim = self.victim(class as usize);
        let departed = self.remove(victim?);
        Some(departed.refused(Refusal::Dropped, now))
    }

    /// Whether one would go to make room for another of this class.
    #[must_use]
    pub fn makes_room(&self, class: Priority) -> bool {
        self.victim(class as usize).is_some()
    }

    fn victim(&self, class: usize) -> Option<u32> {
        match self.rules.overflow {
            Overflow::Wait | Overflow::Reject => None,
            Overflow::DropOldest => self.oldest_of_lowest(class),
            Overflow::DropNewest => self.newest_below(class),
        }
    }

    /// Puts a job in, room or not: for one that was in before, and is to be tried again.
    pub fn push(&mut self, payload: T, terms: Terms, now: Instant) -> Ticket {
        let now = self.settle(now);
        self.admit(payload, terms, now, 0)
    }

    /// Keeps a place for a job to come, which counts as one that waits; `None` when there is no room. Nobody is dropped for it.
    pub fn reserve(&mut self, now: Instant) -> Option<Place> {
        self.settle(now);
        (!self.is_full()).then(|| {
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

    /// Puts a job in the place that was kept for it.
    pub fn push_reserved(
        &mut self,
        place: Place,
        payload: T,
        terms: Terms,
        now: Instant,
    ) -> Ticket {
        self.unreserve(place);
        self.push(payload, terms, now)
    }

    /// Takes a job out for which nobody waits any more; `None` when it has left already. Its place is free at once.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let waits = self.slots.holds(ticket);
        waits.then(|| self.remove(ticket.slot).payload)
    }

    /// Whether this job waits.
    #[must_use]
    pub fn contains(&self, ticket: Ticket) -> bool {
        self.slots.holds(ticket)
    }

    /// Takes out the job that is to be done next. Somebody who asks and gets none counts as a job that did not wait: there is not too
    /// much to do.
    ///
    /// Costs O(tenants) more where a job costs many times as much as the mean.
    pub fn pop(&mut self, now: Instant) -> Option<Taken<T>> {
        let (at, now) = self.choose(now)?;
        let departed = self.remove(at);
        Some(Taken {
            payload: departed.payload,
            ticket: departed.ticket,
            terms: departed.terms,
            waited: now.saturating_duration_since(departed.since),
        })
    }

    /// [`Backlog::pop`] for who asks no more of it, and pays less: much of a short job's time goes into carrying it around.
    pub(crate) fn pop_next(&mut self, now: Instant) -> Option<Next<T>> {
        let (at, now) = self.choose(now)?;
        let slot = &self.slots.all[at as usize];
        let (priority, since) = (slot.priority, slot.since);
        Some(Next {
            payload: self.leave(at),
            priority,
            waited: now.saturating_duration_since(since),
        })
    }

    /// Whose turn it is, and is charged for it; and the time.
    #[inline]
    fn choose(&mut self, now: Instant) -> Option<(u32, Instant)> {
        let now = self.settle(now);
        let mut lane = self.next_lane();
        if let Some(overload) = &mut self.overload {
            // Of the oldest, whoever is taken: the newest is the first only because the others wait.
            let oldest = lane.map(|lane| self.turns.lane(lane).jobs.first);
            let since = oldest.map(|at| self.slots.all[at as usize].since);
            let waited = since.map(|since| now.saturating_duration_since(since));
            let was_on = overload.is_on;
            let sheds = overload.on_pop(waited.unwrap_or_default(), now);
            let turned = overload.is_on != was_on;
            if sheds {
                self.shed(now);
            }
            if sheds || turned {
                lane = self.next_lane();
            }
        }
        let lane = lane?;
        let at = next_of(self.turns.lane(lane).jobs, self.is_overloaded());
        let cost = self.slots.all[at as usize].cost;
        self.turns.charge(lane, cost.into());
        Some((at, now))
    }

    /// Time has passed: who may not be started any more is refused.
    pub fn on_wakeup(&mut self, now: Instant) {
        self.settle(now);
    }

    /// When [`Backlog::on_wakeup`] is wanted: at the next deadline.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| at)
    }

    /// Those that were refused since this was asked last, in the order in which they were. Allocates nothing when there are none.
    pub fn take_refused(&mut self) -> Vec<Refused<T>> {
        std::mem::take(&mut self.refused)
    }

    /// Whether there are such.
    #[must_use]
    pub const fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// A job has taken so long, from its start to its end: what [`Target::Auto`] goes by.
    pub fn served(&mut self, took: Duration) {
        if let Some(overload) = &mut self.overload {
            overload.served(took);
        }
    }

    /// Whether there is more work than the workers can do.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.overload
            .as_ref()
            .is_some_and(|overload| overload.is_on)
    }

    /// How long jobs should wait at most, where that is looked at.
    pub(crate) fn target(&self) -> Option<Duration> {
        self.overload.as_ref().map(Overload::target)
    }

    /// What has changed in that since this was asked last. Ask after each [`Backlog::pop`], which is what changes it; a change that was
    /// not asked for gives way to the next.
    pub fn take_overload_change(&mut self) -> Option<OverloadChange> {
        self.overload.as_mut()?.changed.take()
    }

    /// How many jobs wait; places that are kept are not among them.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many places are kept.
    #[must_use]
    pub const fn reserved(&self) -> usize {
        self.reserved
    }

    /// Whether there is no room for one more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len.saturating_add(self.reserved) >= self.rules.max
    }

    /// What all that wait cost together.
    #[must_use]
    pub const fn total_cost(&self) -> u64 {
        self.total_cost
    }

    /// For how long the oldest has waited. O(1): one look for each of ten cohorts.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        let since = self.firsts().map(|at| self.slots.all[at as usize].since);
        Some(now.saturating_duration_since(since.min()?))
    }

    /// The class of the best that waits, by now.
    pub fn highest(&mut self, now: Instant) -> Option<Priority> {
        self.settle(now);
        Some(Priority::ALL[self.turns.highest()?])
    }

    /// How many rounds of tenants have begun, in all classes together.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.turns.rounds()
    }

    /// What time has changed. Answers the time.
    #[inline]
    fn settle(&mut self, now: Instant) -> Instant {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        self.expire(now);
        if self.rises_at.is_some_and(|at| at <= now) {
            self.rise(now);
        }
        now
    }

    #[inline]
    fn expire(&mut self, now: Instant) {
        while let Some((at, ticket)) = self.due.first() {
            if at > now {
                break;
            }
            self.refuse(ticket.slot, Refusal::Expired, now);
        }
    }

    #[cold]
    fn refuse(&mut self, at: u32, why: Refusal, now: Instant) {
        let departed = self.remove(at);
        self.refused.push(departed.refused(why, now));
    }

    #[inline]
    fn admit(&mut self, payload: T, terms: Terms, since: Instant, steps: u8) -> Ticket {
        let Terms {
            priority,
            tenant,
            cost,
            deadline,
        } = terms;
        let cost = cost.max(1);
        let class = priority as usize + usize::from(steps);
        let weight = |tenant: &str| self.rules.weight_of(tenant);
        let lane = self.turns.enter(class, tenant, weight);
        let ticket = self.slots.insert(Arrival {
            payload,
            priority,
            cost,
            deadline,
            since,
            steps,
            lane,
        });
        self.link(ticket.slot);
        if let Some(at) = deadline {
            self.due.insert(at, ticket);
        }
        // Who comes later rises later.
        if self.rises_at.is_none() {
            self.rises_at = after(since, self.rules.ageing, 1);
        }
        self.len += 1;
        self.total_cost += u64::from(cost);
        self.mean_cost.add(cost);
        ticket
    }

    /// Puts a job at the end of its cohort and of its lane.
    #[inline]
    fn link(&mut self, at: u32) {
        let slot = &self.slots.all[at as usize];
        let (cohort, lane) = (slot.cohort(), slot.lane);
        self.cohorts[cohort].push(at, &mut self.slots.all, Slot::by_age);
        let jobs = self.turns.jobs(lane);
        jobs.push(at, &mut self.slots.all, Slot::in_lane);
    }

    fn remove(&mut self, at: u32) -> Departed<T> {
        let ticket = self.slots.ticket(at);
        let slot = &self.slots.all[at as usize];
        let (since, terms) = (slot.since, self.terms_of(slot));
        Departed {
            payload: self.leave(at),
            ticket,
            terms,
            since,
        }
    }

    fn terms_of(&self, slot: &Slot<T>) -> Terms {
        Terms {
            priority: slot.priority,
            tenant: self.turns.lane(slot.lane).tenant.clone(),
            cost: slot.cost,
            deadline: slot.deadline,
        }
    }

    /// A job that is there leaves: it stands in no list any more, and its place is free.
    #[inline]
    fn leave(&mut self, at: u32) -> T {
        let slot = &self.slots.all[at as usize];
        let (cohort, lane, cost) = (slot.cohort(), slot.lane, slot.cost);
        let has_deadline = slot.deadline.is_some();
        self.cohorts[cohort].remove(at, &mut self.slots.all, Slot::by_age);
        let jobs = self.turns.jobs(lane);
        jobs.remove(at, &mut self.slots.all, Slot::in_lane);
        self.turns.leave(lane);
        self.len -= 1;
        self.total_cost -= u64::from(cost);
        let ticket = self.slots.ticket(at);
        let payload = self.slots.remove(at);
        if has_deadline {
            let slots = &self.slots;
            self.due.remove(ticket, |ticket| slots.holds(ticket));
        }
        payload
    }

    /// Whose turn it is in the highest class.
    #[inline]
    fn next_lane(&mut self) -> Option<u32> {
        let class = self.turns.highest()?;
        let unit = self.mean_cost.unit();
        let (slots, newest) = (&self.slots.all, self.is_overloaded());
        let cost = |lane: &Lane| slots[next_of(lane.jobs, newest) as usize].cost.into();
        Some(self.turns.next(class, unit, cost))
    }

    /// Those that have waited for too long.
    #[cold]
    fn shed(&mut self, now: Instant) {
        let Some(overload) = &self.overload else {
            return;
        };
        let patience = overload.patience();
        for cohort in 0..self.cohorts.len() {
            while let Some(slot) = self.slots.get(self.cohorts[cohort].first)
                && now.saturating_duration_since(slot.since) > patience
            {
                self.refuse(self.cohorts[cohort].first, Refusal::Shed, now);
            }
        }
    }

    /// Those whose time has come move up, in the order in which it came.
    #[cold]
    fn rise(&mut self, now: Instant) {
        loop {
            let next = self.next_to_rise();
            match next {
                Some((at, slot)) if at <= now => self.move_up(slot),
                Some(_) | None => {
                    self.rises_at = next.map(|(at, _)| at);
                    return;
                }
            }
        }
    }

    fn next_to_rise(&self) -> Option<(Instant, u32)> {
        let ageing = self.rules.ageing;
        let firsts = self.firsts().filter_map(|at| {
            let slot = &self.slots.all[at as usize];
            let can_rise = slot.class() + 1 < CLASSES;
            Some((slot.rises(ageing).filter(|_| can_rise)?, at))
        });
        firsts.min().map(|((at, _), slot)| (at, slot))
    }

    /// A job goes to the end of its tenant's in the next class.
    fn move_up(&mut self, at: u32) {
        let slot = &self.slots.all[at as usize];
        let (cohort, lane, class) = (slot.cohort(), slot.lane, slot.class());
        self.cohorts[cohort].remove(at, &mut self.slots.all, Slot::by_age);
        let tenant = self.turns.lane(lane).tenant.clone();
        let jobs = self.turns.jobs(lane);
        jobs.remove(at, &mut self.slots.all, Slot::in_lane);
        self.turns.leave(lane);
        let weight = |tenant: &str| self.rules.weight_of(tenant);
        let lane = self.turns.enter(class + 1, tenant, weight);
        let slot = &mut self.slots.all[at as usize];
        slot.steps += 1;
        slot.lane = lane;
        self.link(at);
    }

    /// The oldest of each cohort.
    fn firsts(&self) -> impl Iterator<Item = u32> {
        let firsts = self.cohorts.iter().map(|cohort| cohort.first);
        firsts.filter(|first| *first != NIL)
    }

    /// The cohorts of a class.
    fn cohorts_of(&self, class: usize) -> impl Iterator<Item = List> {
        let all = (0..=class).map(move |priority| self.cohorts[cohort(priority, class - priority)]);
        all.filter(|cohort| !cohort.is_empty())
    }

    /// The oldest job of the lowest class, up to this one.
    fn oldest_of_lowest(&self, class: usize) -> Option<u32> {
        let lowest = (0..=class).find(|class| !self.turns.is_empty(*class))?;
        let firsts = self.cohorts_of(lowest).map(|cohort| cohort.first);
        firsts.min_by_key(|at| self.slots.all[*at as usize].age())
    }

    /// The newest job of the lowest class, below this one.
    fn newest_below(&self, class: usize) -> Option<u32> {
        let lowest = (0..class).find(|class| !self.turns.is_empty(*class))?;
        let lasts = self.cohorts_of(lowest).map(|cohort| cohort.last);
        lasts.max_by_key(|at| self.slots.all[*at as usize].age())
    }
}

/// Which of a tenant's jobs comes first.
#[inline]
const fn next_of(jobs: List, newest: bool) -> u32 {
    if newest { jobs.last } else { jobs.first }
}

impl<T> Departed<T> {
    fn refused(self, why: Refusal, now: Instant) -> Refused<T> {
        Refused {
            payload: self.payload,
            ticket: self.ticket,
            terms: self.terms,
            waited: now.saturating_duration_since(self.since),
            why,
        }
    }
}
