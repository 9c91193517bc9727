//! Jobs that leave one backlog for another.

use std::time::Instant;

use super::list::{List, NIL};
use super::slots::{Departed, Slot, after};
use super::turns::CLASSES;
use super::{Backlog, Ticket, Waiting};

impl<T> Backlog<T> {
    /// Takes out all that wait, the oldest first, for another backlog or for none. What was refused, and the places that are kept, stay.
    ///
    /// O(n log n).
    pub fn drain(&mut self) -> Vec<Waiting<T>> {
        let jobs = self.in_order(Slot::age);
        let out = |at| {
            let Departed {
                payload,
                ticket,
                terms,
                since,
            } = self.remove(at);
            Waiting {
                payload,
                ticket,
                terms,
                since,
            }
        };
        jobs.into_iter().map(out).collect()
    }

    /// Takes in jobs that have waited in another backlog, room or not, and answers their tickets in the same order. Each keeps its age:
    /// it stands before the younger ones of its tenant, and in the class to which it has moved up.
    ///
    /// O(n log n) in all that wait afterwards, so hand over at once what goes to the same.
    pub fn adopt(
        &mut self,
        jobs: impl IntoIterator<Item = Waiting<T>>,
        now: Instant,
    ) -> Vec<Ticket> {
        let now = self.settle(now);
        let mut tickets = Vec::new();
        for job in jobs {
            let since = job.since.min(now);
            let is_over = |steps| {
                let at = after(since, self.rules.ageing, steps);
                at.is_some_and(|at| at <= now)
            };
            let mut steps = 0;
            while job.terms.priority as usize + usize::from(steps) + 1 < CLASSES
                && is_over(steps + 1)
            {
                steps += 1;
            }
            tickets.push(self.admit(job.payload, job.terms, since, steps));
        }
        self.put_in_order();
        self.expire(now);
        tickets
    }

    /// All that wait, ordered.
    fn in_order<K: Ord>(&self, key: impl Fn(&Slot<T>) -> K) -> Vec<u32> {
        let places = 0..u32::try_from(self.slots.all.len()).unwrap_or(NIL);
        let mut all: Vec<u32> = places
            .filter(|at| self.slots.all[*at as usize].is_taken())
            .collect();
        all.sort_by_cached_key(|at| key(&self.slots.all[*at as usize]));
        all
    }

    /// Puts all that wait into the lists anew, since older ones have come after younger ones.
    fn put_in_order(&mut self) {
        let ageing = self.rules.ageing;
        let all = self.in_order(|slot| slot.entered(ageing));
        self.cohorts = [List::EMPTY; CLASSES * CLASSES];
        for at in &all {
            *self.turns.jobs(self.slots.all[*at as usize].lane) = List::EMPTY;
        }
        for at in all {
            self.link(at);
        }
        self.rises_at = self.next_to_rise().map(|(at, _)| at);
    }
}
