//! A worker in a caller's hands.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use std::pin::Pin;

use regrow_core::desk::{JobId, Outcome};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::early::Early;
use super::error::PoolError;
use super::job::Slip;
use super::run::Run;
use super::shared::Shared;
use crate::address::Address;
use crate::registry::Registered;
use crate::time;

/// A worker that is its holder's until this is dropped, by a panic too: nobody else gets it meanwhile. It is an [`Address`].
///
/// A worker that ends meanwhile is nobody's: the address rejects what is sent, until the worker is up again, and then it is not this
/// lease's any more. [`Lease::is_valid`] says.
#[must_use = "dropped, it gives the worker back"]
pub struct Lease<M> {
    address: Address<M>,
    worker: Registered,
    run: Run,
    message: PhantomData<fn(M)>,
}

impl<M> fmt::Debug for Lease<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(self.worker.path()).finish()
    }
}

impl<M> Deref for Lease<M> {
    type Target = Address<M>;

    fn deref(&self) -> &Address<M> {
        &self.address
    }
}

impl<M> Lease<M> {
    pub(super) fn new(mut run: Run) -> Option<Self> {
        let worker = run.worker()?;
        // What its holder does not call a failure is none.
        run.ended(Outcome::Ok);
        Some(Self {
            address: worker.unchecked_address(),
            worker,
            run,
            message: PhantomData,
        })
    }

    /// The worker, as others find it.
    #[must_use]
    pub const fn worker(&self) -> &Registered {
        &self.worker
    }

    /// Whether the worker is still in the life that was leased.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.worker.generation() == self.run.claim.generation && self.worker.is_ready()
    }

    /// Gives it back, and says that the work with it has failed: a worker that fails too often gets none for a while.
    pub fn fail(mut self) {
        self.run.ended(Outcome::Error);
    }
}

/// How long is waited for the word that a worker has ended, when its answer to one of several jobs will not come.
const GRACE: Duration = Duration::from_millis(100);

/// How long a job may take, and what then.
pub(super) struct Patience {
    sleep: Option<Pin<Box<Sleep>>>,
    limit: Duration,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>, now: Instant) -> Self {
        let deadline = limit.and_then(|limit| now.checked_add(limit));
        let sleep = deadline.map(|at| {
            let at = tokio::time::Instant::from_std(at);
            Box::pin(tokio::time::sleep_until(at))
        });
        Self {
            sleep,
            limit: limit.unwrap_or(Duration::MAX),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// What a caller has of a job before that is in.
pub(super) struct Caller<T> {
    pub(super) slip: Arc<Slip>,
    pub(super) answer: oneshot::Receiver<T>,
    pub(super) fate: oneshot::Receiver<PoolError>,
    pub(super) patience: Patience,
}

/// An answer to come: of a worker (`T`), or one itself. Dropped before, it takes the job back if that was not begun.
#[must_use = "dropped, it takes the job back"]
pub struct Pending<M: Send + 'static, T> {
    pool: Arc<Shared<M>>,
    id: JobId,
    slip: Arc<Slip>,
    answer: Option<Answer<T>>,
    fate: Option<oneshot::Receiver<PoolError>>,
    patience: Patience,
    /// The answer will not come: until then it is waited whether the worker has ended, for then that is why.
    grace: Option<Pin<Box<Sleep>>>,
    is_settled: bool,
}

/// Where the answer comes.
enum Answer<T> {
    Plain(oneshot::Receiver<T>),
    /// Of a worker that has several jobs at once.
    Early(Arc<Early<T>>),
    /// It has come before anybody looked.
    There(Option<T>),
}

impl<T: Send + 'static> Answer<T> {
    fn new(answer: oneshot::Receiver<T>, slip: &Arc<Slip>, is_early: bool) -> Self {
        if !is_early {
            return Self::Plain(answer);
        }
        let early = Early::new(answer, Arc::clone(slip));
        match early.listen() {
            Some(Ok(answer)) => {
                slip.answered();
                Self::There(Some(answer))
            }
            // That there is none is found out when its caller looks.
            Some(Err(_)) => Self::There(None),
            None => Self::Early(early),
        }
    }

    /// `None` when there will be none.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        match self {
            Self::Plain(answer) => Pin::new(answer).poll(context).map(Result::ok),
            Self::Early(early) => early.poll(context).map(Result::ok),
            Self::There(answer) => Poll::Ready(answer.take()),
        }
    }
}

impl<M: Send + 'static, T> fmt::Debug for Pending<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending").field(&self.pool.path).finish()
    }
}

// Nothing in it is pinned to its place.
impl<M: Send + 'static, T> Unpin for Pending<M, T> {}

impl<M: Send + 'static, T: Send + 'static> Pending<M, T> {
    pub(super) fn new(pool: Arc<Shared<M>>, id: JobId, caller: Caller<T>) -> Self {
        let is_early = pool.rules.crew.jobs_at_once() > 1;
        let answer = Answer::new(caller.answer, &caller.slip, is_early);
        Self {
            pool,
            id,
            slip: caller.slip,
            answer: Some(answer),
            fate: Some(caller.fate),
            patience: caller.patience,
            grace: None,
            is_settled: false,
        }
    }

    /// Its time is over: one that still waits is refused, and one that was begun goes on without a caller.
    fn give_up(&mut self, context: &mut Context<'_>) -> PoolError {
        let now = time::now();
        let mut inner = self.pool.lock();
        inner.desk.on_wakeup(now);
        self.pool.settle(inner, now, Vec::new());
        if let Some(fate) = &mut self.fate
            && let Poll::Ready(Ok(error)) = Pin::new(fate).poll(context)
        {
            self.slip.answered();
            return error;
        }
        self.slip.leave(true);
        PoolError::TimedOut {
            pool: self.pool.path.clone(),
            after: self.patience.limit,
        }
    }
}

impl<M: Send + 'static, T: Send + 'static> Future for Pending<M, T> {
    type Output = Result<T, PoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(answer) = &mut this.answer {
            match answer.poll(context) {
                Poll::Ready(Some(answer)) => {
                    this.is_settled = true;
                    this.slip.answered();
                    return Poll::Ready(Ok(answer));
                }
                // Why, its worker says.
                Poll::Ready(None) => {
                    this.answer = None;
                    if this.slip.unanswered() {
                        this.grace = Some(Box::pin(tokio::time::sleep(GRACE)));
                    }
                }
                Poll::Pending => {}
            }
        }
        if let Some(fate) = &mut this.fate {
            match Pin::new(fate).poll(context) {
                Poll::Ready(Ok(error)) => {
                    this.is_settled = true;
                    // What its worker held of it goes, whatever became of that.
                    this.slip.answered();
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Err(_)) => this.fate = None,
                Poll::Pending => {}
            }
        }
        if let Some(grace) = &mut this.grace
            && grace.as_mut().poll(context).is_ready()
        {
            // Its worker lives, and has forgotten it. Now it can have another.
            this.grace = None;
            this.slip.let_go();
            if let Some(fate) = &mut this.fate
                && let Poll::Ready(Ok(error)) = Pin::new(fate).poll(context)
            {
                this.is_settled = true;
                return Poll::Ready(Err(error));
            }
            this.fate = None;
        }
        if this.answer.is_none() && this.fate.is_none() {
            this.is_settled = true;
            this.slip.answered();
            let pool = this.pool.path.clone();
            return Poll::Ready(Err(PoolError::NoAnswer { pool }));
        }
        if this.patience.poll(context).is_ready() {
            let error = this.give_up(context);
            this.is_settled = true;
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl<M: Send + 'static, T> Drop for Pending<M, T> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.slip.leave(false);
            self.pool.cancel(&self.id);
        }
    }
}
