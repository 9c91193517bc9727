//! A pool in the hands of those who have work for it, and of those who run it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Message, RpcReplyPort};
use regrow_core::backlog::Overflow;
use regrow_core::desk::{Outcome, Place, Request};
use regrow_core::scaler::ScaleMode;
use tokio::sync::futures::Notified;
use tokio::sync::oneshot;

use super::entry::{Kept, Tried};
use super::error::PoolError;
use super::job::{Job, Slip, Work};
use super::lease::{Caller, Lease, Patience, Pending};
use super::run::Run;
use super::shared::Shared;
use super::status::{Decided, PoolStatus};
use crate::path::ChildPath;
use crate::telemetry::Payload;
use crate::time;

/// How long a caller waits who has not said how long, where callers wait outside of a full queue.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often who waits outside looks whether there is room, told or not.
const LOOKS_AGAIN: Duration = Duration::from_millis(100);

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
        let (reply, answer) = oneshot::channel();
        let message = message(reply.into());
        let work = |slip| Work::Message(message, Some(slip));
        let outside = self.outside(&job);
        self.put_when_room(job, outside, answer, work).await?.await
    }

    /// For how long a caller waits outside of a full queue, if one does.
    fn outside(&self, job: &Job) -> Option<Duration> {
        match self.shared.rules.overflow {
            Overflow::Wait => Some(job.limit().unwrap_or(PATIENCE)),
            Overflow::Reject | Overflow::DropOldest | Overflow::DropNewest => None,
        }
    }

    /// Has a job done, whatever the rules say of a full queue: it is waited for.
    pub(super) async fn submit_for_good<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, PoolError> {
        let (reply, answer) = oneshot::channel();
        let message = message(reply.into());
        let work = |slip| Work::Message(message, Some(slip));
        self.put_when_room(Job::new(), Some(Duration::MAX), answer, work)
            .await?
            .await
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
        submitted.map(drop)
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
        let (sender, run) = oneshot::channel();
        let outside = self.outside(&job);
        let work = |slip| Work::Lease(sender, slip);
        let pending: Pending<M, Run> = self.put_when_room(job, outside, run, work).await?;
        let run = pending.await?;
        let worker = run.claim.worker;
        // It has gone since.
        let lost = || self.shared.lost(worker, Outcome::Lost);
        Lease::new(run).ok_or_else(lost)
    }

    /// Waits for a place in the queue, and keeps it for a job to come: back-pressure for whoever has to fetch the job first.
    ///
    /// # Errors
    /// [`PoolError::Rejected`] when there is none within this time.
    pub async fn reserve(&self, within: Duration) -> Result<Reservation<M>, PoolError> {
        let shared = &self.shared;
        let kept = async {
            let waiter = shared.room.wait_for_place();
            loop {
                let told = waiter.told();
                match shared.keep_place() {
                    Kept::Place(place) => return Ok(place),
                    Kept::Refused(error) => return Err(error),
                    Kept::Full => told_or_looks(told).await,
                }
            }
        };
        let kept = tokio::time::timeout(within, kept).await;
        let place = kept.map_err(|_| shared.still_full())??;
        Ok(Reservation {
            pool: self.clone(),
            place: Some(place),
        })
    }

    fn put<T: Send + 'static>(
        &self,
        job: Job,
        place: Option<Place>,
        answer: oneshot::Receiver<T>,
        work: impl FnOnce(Arc<Slip>) -> Work<M>,
    ) -> Result<Pending<M, T>, PoolError> {
        let now = time::now();
        let (request, caller) = asked(job, answer, work, now);
        let id = self.shared.submit(request, place, now)?;
        Ok(Pending::new(Arc::clone(&self.shared), id, caller))
    }

    /// The same, but it is waited until there is room, if it is to be.
    async fn put_when_room<T: Send + 'static>(
        &self,
        job: Job,
        outside: Option<Duration>,
        answer: oneshot::Receiver<T>,
        work: impl FnOnce(Arc<Slip>) -> Work<M>,
    ) -> Result<Pending<M, T>, PoolError> {
        let Some(outside) = outside else {
            return self.put(job, None, answer, work);
        };
        let shared = &self.shared;
        let (mut request, caller) = asked(job, answer, work, time::now());
        let wanted = request.wanted.clone();
        let came_in = async {
            let waiter = shared.room.wait(&wanted);
            loop {
                let told = waiter.told();
                match shared.try_submit(request) {
                    Tried::In(id) => return Ok(id),
                    Tried::Refused(error) => return Err(error),
                    Tried::Full(again) => request = again,
                }
                told_or_looks(told).await;
                if request.terms.is_over(time::now()) {
                    // So is the time that it may wait outside, and that is what is said.
                    std::future::pending::<()>().await;
                }
            }
        };
        let came_in = tokio::time::timeout(outside, came_in).await;
        let id = came_in.map_err(|_| shared.still_full())??;
        Ok(Pending::new(Arc::clone(shared), id, caller))
    }
}

/// Waits for the word that there is room. One that was told may be held up, by its own caller say: then the others look by themselves.
async fn told_or_looks(told: Notified<'_>) {
    drop(tokio::time::timeout(LOOKS_AGAIN, told).await);
}

/// A job as it goes to the desk, and what its caller waits with. From now on its time runs.
fn asked<M, T>(
    job: Job,
    answer: oneshot::Receiver<T>,
    work: impl FnOnce(Arc<Slip>) -> Work<M>,
    now: Instant,
) -> (Request<Work<M>>, Caller<T>) {
    let patience = Patience::new(job.limit(), now);
    let (slip, fate) = Slip::new();
    let (terms, wanted) = job.begin(now);
    let job = work(Arc::clone(&slip));
    let caller = Caller {
        slip,
        answer,
        fate,
        patience,
    };
    (Request { job, terms, wanted }, caller)
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

impl<M: Send + 'static> Drop for Reservation<M> {
    fn drop(&mut self) {
        self.pool.shared.give_back(self.place.take());
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
    fn drain(self: Arc<Self>, drained: bool);
    fn end(self: Arc<Self>);
    fn on_memory(&self, number: u32, generation: u32, bytes: u64);
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
        Arc::clone(&self.0).drain(true);
    }

    /// It takes work again.
    pub fn resume(&self) {
        Arc::clone(&self.0).drain(false);
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

    fn drain(self: Arc<Self>, drained: bool) {
        Self::drain(&self, drained);
    }

    fn end(self: Arc<Self>) {
        self.is_gone();
    }

    fn on_memory(&self, number: u32, generation: u32, bytes: u64) {
        self.has_memory(number, generation, bytes);
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
}
