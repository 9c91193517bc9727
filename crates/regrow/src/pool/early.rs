//! An answer that has come, whether or not its caller has looked.
//!
//! A worker that has several jobs at once is not free of one before that is answered. It is when the answer is there: a caller who looks
//! later, or has another job done first, holds up nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use super::job::Slip;

/// An answer to come, of which the slip of its job hears as well.
pub(super) struct Early<T> {
    answer: Mutex<oneshot::Receiver<T>>,
    /// Who waits for it.
    caller: Mutex<Option<Waker>>,
    slip: Arc<Slip>,
}

/// What the answer wakes. It holds nothing, for the answer holds it.
struct Bell<T>(Weak<Early<T>>);

impl<T: Send + 'static> Wake for Bell<T> {
    fn wake(self: Arc<Self>) {
        let Some(early) = self.0.upgrade() else {
            return;
        };
        early.look();
        let caller = lock(&early.caller).take();
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

impl<T: Send + 'static> Early<T> {
    pub(super) fn new(answer: oneshot::Receiver<T>, slip: Arc<Slip>) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            caller: Mutex::new(None),
            slip,
        })
    }

    /// From now on the slip hears of it; what has come already is returned.
    pub(super) fn listen(self: &Arc<Self>) -> Option<Result<T, RecvError>> {
        let waker = Waker::from(Arc::new(Bell(Arc::downgrade(self))));
        let polled = self.poll_with(&mut Context::from_waker(&waker));
        match polled {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// The answer, once it is there.
    pub(super) fn poll(self: &Arc<Self>, context: &Context<'_>) -> Poll<Result<T, RecvError>> {
        *lock(&self.caller) = Some(context.waker().clone());
        self.listen().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_with(&self, context: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let polled = {
            let mut answer = lock(&self.answer);
            std::pin::Pin::new(&mut *answer).poll(context)
        };
        // What has come meanwhile could not look.
        if polled.is_pending() {
            self.look();
        }
        polled
    }

    /// Says so if it is there. Who polls just then looks again when it has done so: this may be called by it.
    fn look(&self) {
        let has_come = match self.answer.try_lock() {
            Ok(answer) => !answer.is_empty(),
            Err(TryLockError::Poisoned(answer)) => !answer.into_inner().is_empty(),
            Err(TryLockError::WouldBlock) => false,
        };
        if has_come {
            self.slip.answered();
        }
    }
}

fn lock<V>(it: &Mutex<V>) -> MutexGuard<'_, V> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
