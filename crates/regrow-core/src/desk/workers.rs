//! Workers come, go, fail too often, and are taken back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Desk, Job, Outcome, lane_of};
use crate::crew::Wanted;
use crate::outliers::{Cause, Change, Ejected};

/// A worker gets no work for a while, or is given some again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ejection {
    /// It fails too often.
    Ejected {
        /// Which.
        worker: u32,
        /// For how long.
        lasts: Duration,
        /// Why.
        cause: Cause,
    },
    /// Its time is over.
    Restored {
        /// Which.
        worker: u32,
    },
}

impl<T: Job> Desk<T> {
    /// There is a place for this worker, in which nobody is up yet.
    pub fn add(&mut self, number: u32, tags: impl Into<Vec<Arc<str>>>, now: Instant) {
        self.crew.add(number, tags, now);
        if let Some(outliers) = &mut self.outliers {
            outliers.join(number.into());
        }
    }

    /// The place of a worker is gone. What was kept of the jobs that it had: they are lost.
    pub fn remove(&mut self, number: u32, now: Instant) -> Vec<T::Slip> {
        let lost = self.crew.remove(number);
        if let Some(outliers) = &mut self.outliers {
            // There may be room for fewer now.
            if let Some(change) = outliers.leave(number.into(), now) {
                self.on_change(change);
            }
        }
        self.reroute(now);
        self.lost(lost)
    }

    /// How a worker stands: which life of it, and whether it may be given work. What was kept of the jobs that an earlier life had:
    /// they are lost.
    pub fn on_standing(
        &mut self,
        number: u32,
        generation: u32,
        ready: bool,
        now: Instant,
    ) -> Vec<T::Slip> {
        let could = self.crew.can_work(number);
        let lost = self.crew.on_standing(number, generation, ready, now);
        if self.crew.can_work(number) != could {
            self.reroute(now);
        }
        self.lost(lost)
    }

    /// The life of a worker is over. What was kept of the jobs that it had: they are lost.
    pub fn on_end(&mut self, number: u32, generation: u32, now: Instant) -> Vec<T::Slip> {
        let could = self.crew.can_work(number);
        let lost = self.crew.on_end(number, generation);
        if could {
            self.reroute(now);
        }
        self.lost(lost)
    }

    /// A worker gets no more work, and finishes what it has; whether it is known.
    pub fn drain(&mut self, number: u32, now: Instant) -> bool {
        let known = self.crew.drain(number);
        self.reroute(now);
        known
    }

    /// A worker on its way out stays after all.
    pub fn keep(&mut self, number: u32, now: Instant) {
        self.crew.keep(number);
        self.reroute(now);
    }

    /// Who was ejected, and who was taken back, since this was asked last.
    pub fn take_ejections(&mut self) -> Vec<Ejection> {
        std::mem::take(&mut self.ejections)
    }

    fn lost(&mut self, lost: Vec<T::Slip>) -> Vec<T::Slip> {
        lost.iter().for_each(|_| self.totals.end(Outcome::Lost));
        lost
    }

    /// Jobs with a key go to where that leads now.
    pub(super) fn reroute(&mut self, now: Instant) {
        let crew = &self.crew;
        let leads_to = |wanted: &Wanted| lane_of(crew, wanted);
        let left = self.lanes.reroute(leads_to, T::is_abandoned, now);
        for refused in left.refused {
            self.note_refused(refused);
        }
        self.totals.cancelled += left.abandoned.len() as u64;
        self.abandoned.extend(left.abandoned);
    }

    /// What a job came to is held against its worker, or for it.
    pub(super) fn judge(&mut self, worker: u32, ok: bool, now: Instant) {
        let Some(outliers) = &mut self.outliers else {
            return;
        };
        if let Some(ejected) = outliers.on_result(worker.into(), ok, now) {
            self.on_change(Change::Ejected(ejected));
            self.reroute(now);
        }
    }

    pub(super) fn look_at_outliers(&mut self, now: Instant) {
        let Some(outliers) = &mut self.outliers else {
            return;
        };
        let changes = outliers.on_wakeup(now);
        if changes.is_empty() {
            return;
        }
        for change in changes {
            self.on_change(change);
        }
        self.reroute(now);
    }

    fn on_change(&mut self, change: Change) {
        match change {
            Change::Ejected(ejected) => self.eject(ejected),
            Change::Returned(worker) => self.restore(worker),
        }
    }

    fn eject(&mut self, ejected: Ejected) {
        let Ok(worker) = u32::try_from(ejected.worker) else {
            return;
        };
        self.crew.eject(worker, true);
        self.ejections.push(Ejection::Ejected {
            worker,
            lasts: ejected.lasts,
            cause: ejected.cause,
        });
    }

    fn restore(&mut self, worker: u64) {
        let Ok(worker) = u32::try_from(worker) else {
            return;
        };
        self.crew.eject(worker, false);
        self.ejections.push(Ejection::Restored { worker });
    }
}
