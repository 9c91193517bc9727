//! What a manager tells of what has happened without it: workers that are ready, work that is too much, jobs that were refused.

use std::time::Instant;

use ractor::Message as ActorMessage;
use regrow_core::backlog::OverloadChange;
use regrow_core::desk::{Ejection, Reject};
use regrow_core::outliers::Cause;

use super::Manager;
use crate::telemetry::Payload;

impl<M: ActorMessage> Manager<M> {
    /// Tells what has happened without the manager.
    pub(super) fn tell_news(&mut self, now: Instant) {
        for (number, startup) in self.pool.take_arrivals() {
            self.pool.emit(|| Payload::PoolWorkerReady {
                startup,
                worker: number.to_string().into(),
            });
            if !self.leaving.contains_key(&number) {
                self.came_or_went(number);
            }
        }
        for change in self.pool.take_overload() {
            self.tell_overload(change);
        }
        for ejection in self.pool.wake_up(now) {
            self.tell_ejection(ejection);
        }
    }

    fn tell_overload(&self, change: OverloadChange) {
        let discipline = "adaptive_lifo";
        let min_delay = change.min_wait;
        self.pool.emit(|| {
            if change.overloaded {
                Payload::PoolOverloadEntered {
                    min_delay,
                    discipline,
                }
            } else {
                Payload::PoolOverloadLeft {
                    min_delay,
                    discipline,
                }
            }
        });
    }

    fn tell_ejection(&self, ejection: Ejection) {
        self.pool.emit(|| match ejection {
            Ejection::Ejected {
                worker,
                lasts,
                cause,
            } => Payload::PoolWorkerEjected {
                duration: lasts,
                worker: worker.to_string().into(),
                cause: match cause {
                    Cause::Consecutive(_) => "consecutive",
                    Cause::SuccessRate { .. } => "success_rate",
                },
            },
            Ejection::Restored { worker } => Payload::PoolWorkerRestored {
                worker: worker.to_string().into(),
            },
        });
    }

    /// What was refused since this was told last, by reason.
    pub(super) fn tell_refused(&mut self, now: Instant) {
        let (totals, queue, age) = {
            let inner = self.pool.lock();
            let desk = &inner.desk;
            (*desk.totals(), desk.queued() as u64, desk.oldest(now))
        };
        for reason in Reject::ALL {
            let jobs = totals.rejected(*reason) - self.told.rejected(*reason);
            if jobs > 0 {
                let reason = reason.as_str();
                self.pool.emit(|| Payload::PoolJobRejected {
                    jobs,
                    queue,
                    age,
                    reason,
                });
            }
        }
        self.told = totals;
    }
}
