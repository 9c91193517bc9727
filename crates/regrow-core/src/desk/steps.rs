//! How work and workers come together: who is told, who is given what, and what a worker that comes goes away with.

use std::time::{Duration, Instant};

use super::{Desk, Job, Lane, Mode, Outcome, Step};
use crate::backlog::Next;
use crate::crew::{Claim, Wanted};

/// How many workers are told at once that there is work.
const ON_THE_WAY: usize = 2;

/// After how much time one who was told and has not come is not counted on.
const HELD_UP: Duration = Duration::from_millis(1);

/// After how much time one who was told and has not come is not counted on even for the one job that it was told of: it is busy with
/// something else. Few are, and each look for them wakes somebody, once in so long at most; so this is more than it takes to come on a
/// machine that has a lot to do, and still less than anybody sees.
const OVERDUE: Duration = Duration::from_millis(20);

/// A job that a worker begins.
pub type Begun<T> = (Claim, Next<T>);

impl<T: Job> Desk<T> {
    /// What is to be done next, if anything is.
    pub fn next_step(&mut self, now: Instant) -> Option<Step<T>> {
        if !self.crew.is_anybody_free() {
            return None;
        }
        self.expire(now);
        match self.mode {
            Mode::Pull => self.next_ring(now).map(Step::Ring),
            Mode::Give => loop {
                let (lane, number) = self.next_match(now)?;
                if let Some(taken) = self.take(&lane, now) {
                    let (claim, taken) = self.begin(number, taken, now)?;
                    return Some(Step::Give(claim, taken));
                }
            },
        }
    }

    /// Who is told that there is work. Who was told comes for one job at least, and has somebody else told if there is more. So a flood
    /// of short jobs wakes few, and one of long jobs soon all.
    fn next_ring(&mut self, now: Instant) -> Option<u32> {
        if self.lanes.is_empty() {
            return None;
        }
        self.crew.give_up_on(OVERDUE, now);
        let on_the_way = self.crew.rung();
        let number = if on_the_way >= self.queued() {
            let number = self.next_uncovered(now);
            if number.is_none() && self.look_at.is_none() {
                self.look_at = self.crew.rung_since().map(|at| at + OVERDUE);
            }
            number?
        } else if !self.is_full() && self.is_enough(on_the_way, now) {
            // Where no more may wait, what waits is not for later.
            return None;
        } else if let Some((_, number)) = self.next_match(now) {
            number
        } else {
            // Nobody else can have any of it: nothing is to be waited for.
            self.rung_at = None;
            return None;
        };
        self.crew.ring(number, now);
        self.rung_at = Some(now);
        Some(number)
    }

    /// Somebody with room for a job that none of those may have who were told, as many as there are.
    fn next_uncovered(&mut self, now: Instant) -> Option<u32> {
        if self.lanes.is_plain() {
            return None;
        }
        let lanes = self.best_first(|_| true, now);
        lanes.into_iter().find_map(|lane| {
            let come = match &lane {
                Lane::Any => self.crew.rung(),
                // Nobody else may, and it has no room if it was told.
                Lane::Worker(_) | Lane::Nobody => 0,
                Lane::Tag(tag) => self.crew.rung_with(tag),
            };
            let is_covered = self.lanes.len_of(&lane) <= come;
            if is_covered {
                None
            } else {
                self.free_for(&lane)
            }
        })
    }

    /// Whether so many who were told and have not come yet suffice for now. They do not if they take long: they may be held up.
    fn is_enough(&self, on_the_way: usize, now: Instant) -> bool {
        let is_soon = |at: Instant| now.saturating_duration_since(at) < HELD_UP;
        on_the_way >= ON_THE_WAY && self.rung_at.is_some_and(is_soon)
    }

    /// A lane with work, and somebody with room who may have it: the best work first.
    fn next_match(&mut self, now: Instant) -> Option<(Lane, u32)> {
        if self.lanes.is_plain() {
            let somebody = self.crew.choose(&Wanted::anybody())?;
            return (!self.lanes.is_empty()).then_some((Lane::Any, somebody));
        }
        let lanes = self.best_first(|_| true, now);
        lanes.into_iter().find_map(|lane| {
            let number = self.free_for(&lane)?;
            Some((lane, number))
        })
    }

    /// The lanes with work, of those that are asked for, as they come.
    fn best_first(&mut self, is_asked_for: impl Fn(&Lane) -> bool, now: Instant) -> Vec<Lane> {
        let lanes = self.lanes.best_first(is_asked_for, now);
        if self.lanes.has_news() {
            self.note_news();
        }
        lanes
    }

    /// Somebody with room who may have the jobs of a lane.
    pub(super) fn free_for(&mut self, lane: &Lane) -> Option<u32> {
        match lane {
            Lane::Any => self.crew.choose(&Wanted::anybody()),
            Lane::Worker(number) => self.crew.has_room(*number).then_some(*number),
            Lane::Tag(tag) => self.crew.choose(&Wanted::tagged(tag)),
            Lane::Nobody => None,
        }
    }

    /// Whether somebody is free for a job more in this lane, and not only because nobody was told yet of those that wait already: each
    /// of those who are free, or come, is counted on for one.
    pub(super) fn somebody_comes_for_one_more(&mut self, lane: &Lane) -> bool {
        if self.free_for(lane).is_none() {
            return false;
        }
        let room = match lane {
            Lane::Any => self.crew.room(),
            Lane::Worker(_) => 1,
            Lane::Tag(tag) => self.crew.room_with(tag),
            Lane::Nobody => 0,
        };
        // That other lanes are full is nothing to a lane that has somebody.
        self.queued() + self.reserved < self.max.saturating_add(room)
            || self.lanes.len_of(lane) < room
    }

    /// A worker comes for work: one job, if there is one for it and it has room. It is not thought of as told any more.
    pub fn pull(&mut self, number: u32, generation: u32, now: Instant) -> Option<Begun<T>> {
        if self.crew.generation(number) != Some(generation) {
            return None;
        }
        self.crew.comes_in_hand(number);
        self.next_of(number, now)
    }

    /// The next job of a worker that stands in no list; it does again if there is none for it.
    fn next_of(&mut self, number: u32, now: Instant) -> Option<Begun<T>> {
        let taken = if self.crew.has_room(number) {
            self.take_for(number, now)
        } else {
            None
        };
        match taken {
            Some(taken) => self.begin(number, taken, now),
            None => {
                self.crew.finds_none(number);
                None
            }
        }
    }

    /// The best job that a worker may have.
    fn take_for(&mut self, number: u32, now: Instant) -> Option<Next<T>> {
        if self.lanes.is_plain() {
            return self.take(&Lane::Any, now);
        }
        let tags = self.crew.tags_of(number).to_vec();
        let is_for = |lane: &Lane| match lane {
            Lane::Any => true,
            Lane::Worker(keeper) => *keeper == number,
            Lane::Tag(tag) => tags.contains(tag),
            Lane::Nobody => false,
        };
        self.expire(now);
        let lanes = self.best_first(is_for, now);
        lanes.iter().find_map(|lane| self.take(lane, now))
    }

    fn begin(&mut self, number: u32, taken: Next<T>, now: Instant) -> Option<Begun<T>> {
        let slip = taken.payload.slip();
        let claim = self.crew.begin(number, slip, now)?;
        Some((claim, taken))
    }

    /// The next job of a lane that somebody still waits for.
    fn take(&mut self, lane: &Lane, now: Instant) -> Option<Next<T>> {
        loop {
            let taken = self.lanes.pop(lane, now);
            if self.lanes.has_news() {
                self.note_news();
            }
            let taken = taken?;
            if !taken.payload.is_abandoned() {
                return Some(taken);
            }
            self.totals.cancelled += 1;
            self.abandoned.push(taken.payload);
        }
    }

    /// A job has ended. What was kept of it; nothing if its worker had been given up on before, and the job with it.
    pub fn finish(
        &mut self,
        claim: Claim,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> Option<T::Slip> {
        let slip = self.crew.end(claim, outcome.is_well(), now)?;
        self.account(claim, outcome, took, now);
        Some(slip)
    }

    /// A worker has done a job, and comes for the next: [`Desk::finish`] and [`Desk::pull`], for less.
    pub fn swap(
        &mut self,
        claim: Claim,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> (Option<T::Slip>, Option<Begun<T>>) {
        let ended = self.crew.end_in_hand(claim, outcome.is_well(), now);
        let Some(slip) = ended else {
            return (None, self.pull(claim.worker, claim.generation, now));
        };
        self.account(claim, outcome, took, now);
        self.crew.comes_in_hand(claim.worker);
        (Some(slip), self.next_of(claim.worker, now))
    }

    /// A worker has done a job, if it had one, and will come for the next by itself, in a while: it counts as told that there is work.
    pub fn rest(
        &mut self,
        worker: u32,
        generation: u32,
        done: Option<(Claim, Outcome, Duration)>,
        now: Instant,
    ) -> Option<T::Slip> {
        let slip = done.and_then(|(claim, outcome, took)| {
            let slip = self.crew.end_in_hand(claim, outcome.is_well(), now)?;
            self.account(claim, outcome, took, now);
            Some(slip)
        });
        if self.crew.generation(worker) == Some(generation) {
            // Also if it was told before and held up since: it is at work again.
            self.crew.comes_in_hand(worker);
            self.crew.ring(worker, now);
            self.crew.finds_none(worker);
        }
        slip
    }

    /// Until when it is counted on those who were told that they come and have the others told, while there is work that they have not
    /// begun, and somebody free. Of one who was told of one job it is said until then even if it has come: so whoever arranges to look
    /// does that once in a while, and not with each job.
    #[must_use]
    pub fn counts_until(&self) -> Option<Instant> {
        let on_the_way = self.crew.rung();
        let is_short = on_the_way >= ON_THE_WAY && self.lanes.len() > on_the_way;
        let held_up = self.rung_at.filter(|_| is_short);
        let held_up = held_up.filter(|_| self.crew.is_anybody_free());
        let held_up = held_up.map(|at| at + HELD_UP);
        held_up.into_iter().chain(self.look_at).min()
    }
}
