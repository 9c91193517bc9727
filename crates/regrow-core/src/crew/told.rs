//! Who was told that there is work, and is counted on to come for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Crew;
use super::worker::Worker;

impl<S> Crew<S> {
    /// A worker is told that there is work, and will come for it: until [`Crew::comes`] it counts as one without room.
    pub fn ring(&mut self, number: u32, now: Instant) {
        let Some(worker) = self.workers.get_mut(number) else {
            return;
        };
        if worker.rung {
            return;
        }
        worker.rung = true;
        worker.awaited = Some(now);
        if self.rung == 0 {
            self.rung_since = Some(now);
        }
        self.rung += 1;
        self.relist(number);
    }

    /// A worker comes for work, or will not come any more.
    pub fn comes(&mut self, number: u32) {
        if self.is_awaited_no_more(number) {
            self.relist(number);
        }
    }

    /// A worker is not waited for any more; whether it was told before that there is work.
    #[inline]
    fn is_awaited_no_more(&mut self, number: u32) -> bool {
        let Some(worker) = self.workers.get_mut(number) else {
            return false;
        };
        if worker.awaited.take().is_some() {
            self.rung = self.rung.saturating_sub(1);
        }
        std::mem::take(&mut worker.rung)
    }

    /// Those who were told so long ago, and have not come, are not counted on any more: they may be held up. They have no room until
    /// they come. O(1) as long as there is none, more or less.
    pub fn give_up_on(&mut self, late: Duration, now: Instant) {
        let is_late = |at: Instant| now.saturating_duration_since(at) >= late;
        if self.rung == 0 || !self.rung_since.is_some_and(is_late) {
            return;
        }
        for worker in self.workers.values_mut() {
            if worker.awaited.is_some_and(is_late) {
                worker.awaited = None;
                self.rung -= 1;
            }
        }
        let awaited = self.workers.values().filter_map(|worker| worker.awaited);
        self.rung_since = awaited.min();
    }

    /// How many workers were told that there is work, have not come for it yet, and are counted on.
    #[must_use]
    pub const fn rung(&self) -> usize {
        self.rung
    }

    /// Since when somebody may be counted on to come.
    #[must_use]
    pub fn rung_since(&self) -> Option<Instant> {
        self.rung_since.filter(|_| self.rung > 0)
    }

    /// How many of those who are counted on have this tag.
    #[must_use]
    pub fn rung_with(&self, tag: &Arc<str>) -> usize {
        let awaited = self
            .workers
            .values()
            .filter(|worker| worker.awaited.is_some());
        awaited.filter(|worker| worker.tags.contains(tag)).count()
    }

    /// How many workers have room for a job, or are counted on to come for one.
    #[must_use]
    pub fn room(&self) -> usize {
        self.free.len() + self.partly.len() + self.rung
    }

    /// How many of those have this tag.
    #[must_use]
    pub fn room_with(&self, tag: &Arc<str>) -> usize {
        let most = self.rules.concurrency;
        let comes = |worker: &&Worker<S>| worker.awaited.is_some() || worker.has_room(most);
        let of_it = self.workers.values().filter(comes);
        of_it.filter(|worker| worker.tags.contains(tag)).count()
    }

    /// A worker comes for work, and stands in no list until it [has begun](Crew::begin) some, or [finds none](Crew::finds_none).
    pub fn comes_in_hand(&mut self, number: u32) {
        self.is_awaited_no_more(number);
    }
}
