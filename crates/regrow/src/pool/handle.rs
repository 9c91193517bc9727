//! A pool in the hands of those who have work for it, and of those who run it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Message, RpcReplyPort};
use regrow_core::backlog::Overflow;
use regrow_core::desk::{Place, Reject, Request};
use regrow_core::scaler::ScaleMode;
use tokio::sync::oneshot;

use super::error::PoolError;
use super::job::{Job, Slip, Work};
use super::lease::{Lease, Patience, Pending};
use super::shared::{Run, Shared};
use super::status::{Decided, PoolStatus};
use crate::path::ChildPath;
use crate::telemetry::Payload;
use crate::time;

/// How long a caller waits who has not said how long, where callers wait outside of a full queue.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a job that is to be done at least once is begun, if nothing else is said.
const ATTEMPTS: u32 = 3;

/// A pool whose workers take messages of type `M`, for all its lives. Cloning costs a reference count.
pub struct PoolRef<M: Send + 'static> {
    pub(super) shared: Arc<Shared<M>>,
    handle: PoolHandle,
}

impl<M: Send + 'static> Clone for PoolRef<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            handle: self.handle.clone(),
        }
    }
}

impl<M: Send + 'static> fmt::Debug for PoolRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolRef").field(&self.shared.path).finish()
    }
}

/// What can be known and said of it, whatever its workers take.
impl<M: Send + 'static> Deref for PoolRef<M> {
    type Target = PoolHandle;

    fn deref(&self) -> &PoolHandle {
        &self.handle
    }
}

impl<M: Message> PoolRef<M> {
    pub(super) fn new(shared: Arc<Shared<M>>) -> Self {
        let handle = PoolHandle(Arc::clone(&shared) as Arc<dyn Pooled>);
        Self { shared, handle }
    }

    /// Has a job done and waits for the answer: [`PoolRef::submit`] without anything special.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub async fn call<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, PoolError> {
        self.submit(Job::new(), message).await
    }

    /// Has a job done and waits for the answer. Where the rules say that callers wait outside of a full queue
    /// ([`Overflow::Wait`](super::Overflow::Wait)), it does, until the job's time is over, or for 5 s if it has none.
    ///
    /// A caller who is dropped takes the job back, if it was not begun.
    ///
    /// # Errors
    /// See [`PoolError`]: the job is over in any case, but for [`PoolError::TimedOut`].
    pub async fn submit<T: Send + 'static>(
        &self,
        job: Job,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, PoolError> {
        let job = self.wait_for_room(job).await?;
        self.try_submit(job, message)?.await
    }

    /// Has a job done, or says at once that it will not be: full is full. The answer comes from what is returned.
    ///
    /// # Errors
    /// [`PoolError::Rejected`], with a time after which it is worth to try again if that is known.
    pub fn try_submit<T: Send + 'static>(
        &self,
        job: Job,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<Pending<M, T>, PoolError> {
        let (reply, answer) = oneshot::channel();
        let message = message(reply.into());
        self.put(job, None, answer, |slip| Work::Message(message, Some(slip)))
    }

    /// Has a job done of which nobody waits for the end. Costs no more than a lock, and the bell of a worker if one is free.
    ///
    /// # Errors
    /// [`PoolError::Rejected`]; the message is gone.
    pub fn send(&self, message: M) -> Result<(), PoolError> {
        self.send_as(Job::new(), message)
    }

    /// The same on terms of its own.
    ///
    /// # Errors
    /// [`PoolError::Rejected`]; the message is gone.
    pub fn send_as(&self, job: Job, message: M) -> Result<(), PoolError> {
        let now = time::now();
        let (terms, wanted) = job.begin(now);
        let job = Work::Message(message, None);
        let request = Request { job, terms, wanted };
        let submitted = self.shared.submit(request, None, now);
        submitted.map(drop).map_err(|(_, error)| error)
    }

    /// Has a job done at least once: when its worker ends before it has, it is begun again by another, three times in all. One that has
    /// cost so many workers their lives is not tried again; that is told, and kept in [`PoolStatus::quarantined`].
    ///
    /// `message` makes it anew for each time. What it does must not matter when it is done twice.
    ///
    /// # Errors
    /// [`PoolError::Quarantined`], and those of [`PoolRef::submit`].
    pub async fn submit_at_least_once<T: Send + 'static>(
        &self,
        job: Job,
        message: impl Fn(RpcReplyPort<T>) -> M,
    ) -> Result<T, PoolError> {
        self.submit_at_most(ATTEMPTS, job, message).await
    }

    /// The same with a limit of its own to how many workers it may cost.
    ///
    /// # Errors
    /// [`PoolError::Quarantined`], and those of [`PoolRef::submit`].
    pub async fn submit_at_most<T: Send + 'static>(
        &self,
        attempts: u32,
        job: Job,
        message: impl Fn(RpcReplyPort<T>) -> M,
    ) -> Result<T, PoolError> {
        let mut attempt = 0;
        let begun = time::now();
        loop {
            attempt += 1;
            // The time that it may take is that of all attempts together.
            let left = job
                .limit()
                .map(|limit| limit.saturating_sub(time::now() - begun));
            let job = match left {
                Some(left) => job.clone().within(left),
                None => job.clone(),
            };
            let worker = match self.submit(job.clone(), &message).await {
                Err(PoolError::Lost { worker, .. }) => worker,
                settled => return settled,
            };
            if attempt >= attempts {
                self.shared.quarantine(&job, attempt, &worker);
                return Err(PoolError::Quarantined {
                    attempts: attempt,
                    worker,
                });
            }
        }
    }

    /// Waits for a worker, to work with it.
    ///
    /// # Errors
    /// Those of a job that is not begun.
    pub async fn checkout(&self) -> Result<Lease<M>, PoolError> {
        self.checkout_as(Job::new()).await
    }

    /// The same on terms of its own: how long it may take to get one, say.
    ///
    /// # Errors
    /// Those of a job that is not begun.
    pub async fn checkout_as(&self, job: Job) -> Result<Lease<M>, PoolError> {
        let job = self.wait_for_room(job).await?;
        let (sender, run) = oneshot::channel();
        let pending: Pending<M, Run> =
            self.put(job, None, run, |slip| Work::Lease(sender, slip))?;
        let gone = || PoolError::Gone {
            pool: self.shared.path.clone(),
        };
        Lease::new(pending.await?).ok_or_else(gone)
    }

    /// Waits for a place in the queue, and keeps it for a job to come: back-pressure for whoever has to fetch the job first.
    ///
    /// # Errors
    /// [`PoolError::Rejected`] when there is none within this time.
    pub async fn reserve(&self, within: Duration) -> Result<Reservation<M>, PoolError> {
        let place = self.place(within, true).await?;
        Ok(Reservation {
            pool: self.clone(),
            place,
        })
    }

    fn put<T>(
        &self,
        job: Job,
        place: Option<Place>,
        answer: oneshot::Receiver<T>,
        work: impl FnOnce(Arc<Slip>) -> Work<M>,
    ) -> Result<Pending<M, T>, PoolError> {
        let now = time::now();
        let patience = Patience::new(job.limit(), now);
        let (slip, fate) = Slip::new();
        let (terms, wanted) = job.begin(now);
        let job = work(Arc::clone(&slip));
        let request = Request { job, terms, wanted };
        let pool = Arc::clone(&self.shared);
        match pool.submit(request, place, now) {
            Ok(id) => Ok(Pending::new(pool, id, slip, answer, fate, patience)),
            Err((_, error)) => Err(error),
        }
    }

    /// Where callers wait outside, this one does while the queue is full. What the job may take is less by that.
    async fn wait_for_room(&self, job: Job) -> Result<Job, PoolError> {
        match self.shared.rules.overflow {
            Overflow::Wait => {}
            Overflow::Reject | Overflow::DropOldest | Overflow::DropNewest => return Ok(job),
        }
        let begun = time::now();
        let within = job.limit().unwrap_or(PATIENCE);
        self.place(within, false).await?;
        Ok(match job.limit() {
            Some(limit) => job.within(limit.saturating_sub(time::now() - begun)),
            None => job,
        })
    }

    /// Waits until there is a place, and keeps it if it is to be kept.
    async fn place(&self, within: Duration, kept: bool) -> Result<Option<Place>, PoolError> {
        let shared = &self.shared;
        let look = || {
            let mut inner = shared.lock();
            if kept {
                inner.desk.reserve().map(Some)
            } else {
                // A pool that is closed says so itself.
                let has_room = !inner.desk.is_full() || inner.desk.is_closed();
                has_room.then_some(None)
            }
        };
        if let Some(place) = look() {
            return Ok(place);
        }
        let _waits = WaitsForRoom::begin(shared);
        let found = async {
            loop {
                let told = shared.room.notified();
                if let Some(place) = look() {
                    return place;
                }
                told.await;
            }
        };
        let waited = tokio::time::timeout(within, found).await;
        waited.map_err(|_| {
            let mut inner = shared.lock();
            inner.desk.note_reject(Reject::QueueFull);
            let retry_after = inner.desk.retry_after();
            drop(inner);
            shared.rejected(Reject::QueueFull, retry_after)
        })
    }
}

/// Counts who waits for room.
struct WaitsForRoom<'a>(&'a std::sync::atomic::AtomicUsize);

impl<'a> WaitsForRoom<'a> {
    fn begin<M>(shared: &'a Shared<M>) -> Self {
        shared.waits_for_room.fetch_add(1, Ordering::AcqRel);
        Self(&shared.waits_for_room)
    }
}

impl Drop for WaitsForRoom<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place in the queue that is kept for a job to come, until this is dropped.
#[must_use = "dropped, it gives the place back"]
pub struct Reservation<M: Send + 'static> {
    pool: PoolRef<M>,
    place: Option<Place>,
}

impl<M: Send + 'static> fmt::Debug for Reservation<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reservation").field(&self.pool).finish()
    }
}

impl<M: Message> Reservation<M> {
    /// Has a job done in this place.
    ///
    /// # Errors
    /// As [`PoolRef::submit`].
    pub async fn submit<T: Send + 'static>(
        mut self,
        job: Job,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, PoolError> {
        let (reply, answer) = oneshot::channel();
        let message = message(reply.into());
        let place = self.place.take();
        let work = |slip| Work::Message(message, Some(slip));
        self.pool.put(job, place, answer, work)?.await
    }
}

impl<M: Send + 'static> Reservation<M> {
    fn give_back(&mut self) {
        if let Some(place) = self.place.take() {
            self.pool.shared.lock().desk.unreserve(place);
        }
    }
}

impl<M: Send + 'static> Drop for Reservation<M> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.give_back();
            self.pool.shared.made_room();
        }
    }
}

/// A pool as those see it who run it, whatever its workers take. Cloning costs a reference count.
#[derive(Clone)]
pub struct PoolHandle(pub(super) Arc<dyn Pooled>);

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolHandle").field(self.path()).finish()
    }
}

/// What a pool is asked that does not depend on what its workers take.
pub(super) trait Pooled: Send + Sync {
    fn path(&self) -> &ChildPath;
    fn status(&self) -> PoolStatus;
    fn decisions(&self) -> Vec<Decided>;
    fn set_mode(&self, mode: ScaleMode);
    fn close(&self, closed: bool);
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
    fn message_type(&self) -> &'static str;
}

impl PoolHandle {
    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &ChildPath {
        self.0.path()
    }

    /// How it is. O(workers).
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.0.status()
    }

    /// What its size was decided to be lately, the oldest first: up to 64 decisions, each that changed something and between two of
    /// them the last that said the same.
    #[must_use]
    pub fn decisions(&self) -> Vec<Decided> {
        self.0.decisions()
    }

    /// Why it has the size that it has, in words: a line for each decision that is kept, the newest last.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let decisions = self.decisions();
        decisions
            .iter()
            .map(|decided| decided.decision.to_string())
            .collect()
    }

    /// Sets its size by hand, as far as `max` and a quota allow, until [`PoolHandle::scale_by_load`].
    pub fn scale(&self, workers: u32) {
        self.0.set_mode(ScaleMode::Manual(workers));
    }

    /// Its size follows the work again, from where it is.
    pub fn scale_by_load(&self) {
        self.0.set_mode(ScaleMode::Auto);
    }

    /// Its size stays as it is.
    pub fn pause_scaling(&self) {
        self.0.set_mode(ScaleMode::Paused);
    }

    /// Its size stays as it is, and what it would be is decided and told.
    pub fn observe_scaling(&self) {
        self.0.set_mode(ScaleMode::ObserveOnly);
    }

    /// It takes no more work, and what waits is refused; what was begun is finished.
    pub fn drain(&self) {
        self.0.close(true);
    }

    /// It takes work again.
    pub fn resume(&self) {
        self.0.close(false);
    }
}

impl<M: Send + 'static> Pooled for Shared<M> {
    fn path(&self) -> &ChildPath {
        &self.path
    }

    fn status(&self) -> PoolStatus {
        self.status_now()
    }

    fn decisions(&self) -> Vec<Decided> {
        self.scaling().kept()
    }

    fn set_mode(&self, mode: ScaleMode) {
        self.scaling().scaler.set_mode(mode);
        self.alarm.notify_one();
    }

    fn close(&self, closed: bool) {
        self.close_or_open(closed);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync> {
        self
    }

    fn message_type(&self) -> &'static str {
        std::any::type_name::<M>()
    }
}

impl<M: Send + 'static> Shared<M> {
    /// A job has cost so many workers their lives.
    fn quarantine(&self, job: &Job, attempts: u32, worker: &ChildPath) {
        self.scaling()
            .quarantine(job.tenant_of().cloned(), attempts, worker.clone());
        self.emit(|| Payload::PoolJobQuarantined {
            attempts,
            worker: worker.id().into(),
        });
    }

    pub(super) fn close_or_open(&self, closed: bool) {
        let mut inner = self.lock();
        if !closed {
            inner.desk.open();
            return;
        }
        inner.desk.close();
        let refused = inner.desk.take_refused();
        drop(inner);
        for (work, reject) in refused {
            if let Some(slip) = work.slip_ref() {
                slip.refuse(self.rejected(reject, None));
            }
        }
    }
}
