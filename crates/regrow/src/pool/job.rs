//! One job: on which terms it waits, what a worker finds, and how its caller hears of its end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regrow_core::backlog::{Priority, Terms};
use regrow_core::crew::Wanted;
use regrow_core::desk;
use tokio::sync::oneshot;

use super::error::PoolError;
use super::run::Run;

/// On which terms a job waits, and for whom it is: normal priority, nobody's, of cost 1, without a deadline, for whoever is free,
/// unless something else is said.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Job {
    terms: Terms,
    within: Option<Duration>,
    wanted: Wanted,
}

impl Job {
    /// A job without anything special.
    pub fn new() -> Self {
        Self::default()
    }

    /// The class in which it begins to wait; normal by default. Who waits moves up.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.terms = self.terms.priority(priority);
        self
    }

    /// On whose behalf it is: tenants share the workers fairly, by weight.
    pub fn tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.terms = self.terms.tenant(tenant);
        self
    }

    /// How much it is, in any unit that is the same for all jobs of a pool: expected milliseconds, tokens. 1 by default.
    pub fn cost(mut self, cost: u32) -> Self {
        self.terms = self.terms.cost(cost);
        self
    }

    /// How long it may take from now on, waiting included. When that is over it is not begun any more, and its caller is told; one that
    /// was begun goes on, without a caller.
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// It is for the worker to which this key leads, and no other: jobs with one key are done by one worker, one after the other, while
    /// the same workers are there.
    pub fn key(mut self, key: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.wanted.key = Some(hasher.finish());
        self
    }

    /// It is for a worker with this tag.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.wanted.tag = Some(tag.into());
        self
    }

    pub(super) fn tenant_of(&self) -> Option<&Arc<str>> {
        self.terms.tenant.as_ref()
    }

    pub(super) const fn limit(&self) -> Option<Duration> {
        self.within
    }

    /// From now on its time runs.
    pub(super) fn begin(self, now: Instant) -> (Terms, Wanted) {
        let deadline = self.within.and_then(|within| now.checked_add(within));
        let terms = match deadline {
            Some(deadline) => self.terms.deadline(deadline),
            None => self.terms,
        };
        (terms, self.wanted)
    }
}

/// Its caller still waits.
const WAITS: u8 = 0;
/// Its caller has gone.
const LEFT: u8 = 1;
/// Its caller's time was over.
const LATE: u8 = 2;
/// Its caller has what it waited for.
const ANSWERED: u8 = 3;
/// Its caller knows that there will be no answer, and waits to hear why.
const UNANSWERED: u8 = 4;

/// What is kept of a job to tell its caller how it has ended.
pub(super) struct Slip {
    caller: AtomicU8,
    fate: Mutex<Option<oneshot::Sender<PoolError>>>,
    /// The job is done by its worker's word, and not by its caller's: one that has several at once is not free before both.
    held: Mutex<Option<Run>>,
}

impl std::fmt::Debug for Slip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slip").finish_non_exhaustive()
    }
}

impl Slip {
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<PoolError>) {
        let (sender, fate) = oneshot::channel();
        let slip = Self {
            caller: AtomicU8::new(WAITS),
            fate: Mutex::new(Some(sender)),
            held: Mutex::new(None),
        };
        (Arc::new(slip), fate)
    }

    /// Its caller goes: because of the deadline, or for reasons of its own.
    pub(super) fn leave(&self, late: bool) {
        let how = if late { LATE } else { LEFT };
        self.caller.store(how, Ordering::Release);
        self.let_go();
    }

    /// Its caller has what it waited for.
    pub(super) fn answered(&self) {
        self.caller.store(ANSWERED, Ordering::Release);
        self.let_go();
    }

    /// There will be no answer. Whether its worker says that it has done it, so that only its end can be the reason.
    pub(super) fn unanswered(&self) -> bool {
        self.caller.store(UNANSWERED, Ordering::Release);
        self.held().is_some()
    }

    /// Nobody waits for it any more, and nobody has had an answer.
    pub(super) fn has_left(&self) -> bool {
        matches!(self.caller.load(Ordering::Acquire), LEFT | LATE)
    }

    /// How a job has ended that its worker has done.
    pub(super) fn outcome(&self) -> desk::Outcome {
        match self.caller.load(Ordering::Acquire) {
            WAITS | ANSWERED | UNANSWERED => desk::Outcome::Ok,
            LATE => desk::Outcome::Timeout,
            _ => desk::Outcome::Cancelled,
        }
    }

    /// The caller is told that there will be no answer, and why.
    pub(super) fn refuse(&self, error: PoolError) {
        if let Some(fate) = self.take_fate() {
            drop(fate.send(error));
        }
    }

    /// The worker is done: what is to come has come, or will from elsewhere.
    pub(super) fn done(&self) {
        drop(self.take_fate());
    }

    fn take_fate(&self) -> Option<oneshot::Sender<PoolError>> {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        fate.take()
    }

    /// The worker counts as busy until the caller has its answer.
    pub(super) fn hold(&self, run: Run) {
        *self.held() = Some(run);
        if self.caller.load(Ordering::Acquire) != WAITS {
            self.let_go();
        }
    }

    /// The worker can have another job in its place: what this one came to, its caller's state says.
    pub(super) fn let_go(&self) {
        let held = self.held().take();
        if let Some(mut run) = held {
            run.ended(self.outcome());
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Run>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits, and what a worker finds.
pub(super) enum Work<M> {
    /// A message for it.
    Message(M, Option<Arc<Slip>>),
    /// A caller who wants the worker itself.
    Lease(oneshot::Sender<Run>, Arc<Slip>),
}

impl<M> Work<M> {
    pub(super) fn slip_ref(&self) -> Option<&Arc<Slip>> {
        match self {
            Self::Message(_, slip) => slip.as_ref(),
            Self::Lease(_, slip) => Some(slip),
        }
    }
}

impl<M> desk::Job for Work<M> {
    type Slip = Option<Arc<Slip>>;

    fn slip(&self) -> Option<Arc<Slip>> {
        self.slip_ref().cloned()
    }

    fn is_abandoned(&self) -> bool {
        self.slip_ref().is_some_and(|slip| slip.has_left())
    }
}
