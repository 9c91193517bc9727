//! How a job gets into the queue, or a place in it is kept.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use regrow_core::desk::{JobId, Place, Reject, Request, Submitted};

use super::error::PoolError;
use super::job::Work;
use super::shared::{Inner, Shared};
use crate::time;

/// What became of a job that waits outside if it has to.
pub(super) enum Tried<M> {
    /// It is in.
    In(JobId),
    /// It is not for this pool, now.
    Refused(PoolError),
    /// There is no room.
    Full(Request<Work<M>>),
}

/// What became of the wish for a place.
pub(super) enum Kept {
    Place(Place),
    Full,
    Refused(PoolError),
}

impl<M: Send + 'static> Shared<M> {
    /// Takes a job in, and tells a worker.
    pub(super) fn submit(
        self: &Arc<Self>,
        request: Request<Work<M>>,
        place: Option<Place>,
        now: Instant,
    ) -> Result<JobId, PoolError> {
        if let Some(refused) = self.breaker_refuses() {
            self.give_back(place);
            return Err(refused);
        }
        let mut inner = self.lock();
        let submitted = match place {
            Some(place) => inner.desk.submit_reserved(place, request, now),
            None => inner.desk.submit(request, now),
        };
        self.submitted(inner, submitted, now)
    }

    /// The same, if there is room for it: else it is returned.
    pub(super) fn try_submit(self: &Arc<Self>, request: Request<Work<M>>) -> Tried<M> {
        let now = time::now();
        if let Some(refused) = self.breaker_refuses() {
            // Who was told that there is room does not come in: another has to hear of it.
            self.settle(self.lock(), now, Vec::new());
            return Tried::Refused(refused);
        }
        let mut inner = self.lock();
        if inner.desk.has_no_room_for(&request, now) {
            self.settle_quietly(inner, now);
            return Tried::Full(request);
        }
        let submitted = inner.desk.submit(request, now);
        match self.submitted(inner, submitted, now) {
            Ok(id) => Tried::In(id),
            Err(error) => Tried::Refused(error),
        }
    }

    fn submitted(
        self: &Arc<Self>,
        inner: MutexGuard<'_, Inner<M>>,
        submitted: Submitted<Work<M>>,
        now: Instant,
    ) -> Result<JobId, PoolError> {
        match submitted {
            Submitted::Queued(id) => {
                self.settle(inner, now, Vec::new());
                self.alert();
                Ok(id)
            }
            Submitted::Refused(job, reject) => {
                let retry_after = match reject {
                    Reject::QueueFull => inner.desk.retry_after(),
                    Reject::Shed
                    | Reject::Expired
                    | Reject::Dropped
                    | Reject::Draining
                    | Reject::BreakerOpen
                    | Reject::NoWorker => None,
                };
                // If a place was kept for it, that is free.
                self.settle(inner, now, Vec::new());
                drop(job);
                Err(self.rejected(reject, retry_after))
            }
        }
    }

    /// The breaker that this pool is behind lets not all through.
    fn breaker_refuses(&self) -> Option<PoolError> {
        let breaker = self.rules.behind.as_ref()?;
        if breaker.state().lets_all_through() {
            return None;
        }
        self.lock().desk.note_reject(Reject::BreakerOpen);
        let retry_after = breaker.status().retry_after;
        Some(self.rejected(Reject::BreakerOpen, retry_after))
    }

    /// Keeps a place for a job to come.
    pub(super) fn keep_place(self: &Arc<Self>) -> Kept {
        let mut inner = self.lock();
        if inner.desk.is_closed() {
            inner.desk.note_reject(Reject::Draining);
            drop(inner);
            return Kept::Refused(self.rejected(Reject::Draining, None));
        }
        let place = inner.desk.reserve();
        let kept = place.map_or(Kept::Full, Kept::Place);
        if matches!(kept, Kept::Place(_)) {
            self.settle(inner, time::now(), Vec::new());
        }
        kept
    }

    /// A place that was kept is not wanted.
    pub(super) fn give_back(self: &Arc<Self>, place: Option<Place>) {
        if let Some(place) = place {
            let mut inner = self.lock();
            inner.desk.unreserve(place);
            self.settle(inner, time::now(), Vec::new());
        }
    }

    /// Somebody has waited for room long enough.
    pub(super) fn still_full(&self) -> PoolError {
        let mut inner = self.lock();
        inner.desk.note_reject(Reject::QueueFull);
        let retry_after = inner.desk.retry_after();
        drop(inner);
        self.rejected(Reject::QueueFull, retry_after)
    }

    pub(super) fn rejected(&self, reason: Reject, retry_after: Option<Duration>) -> PoolError {
        PoolError::Rejected {
            pool: self.path.clone(),
            reason,
            retry_after,
        }
    }

    /// Its caller does not wait any more.
    pub(super) fn cancel(self: &Arc<Self>, id: &JobId) {
        let mut inner = self.lock();
        let now = time::now();
        let job = inner.desk.cancel(id);
        if job.is_none() {
            inner.desk.cancel_moved(id, now);
        }
        self.settle(inner, now, Vec::new());
        drop(job);
    }
}
