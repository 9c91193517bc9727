//! One start under way.
//!
//! Starts that are ready at their first poll, and most are, use one piece of memory after the other's: a supervisor that starts a
//! million children of a kind allocates for one start.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use tokio_util::sync::ReusableBoxFuture;

use crate::child::StartContext;
use crate::exit::{ExitReason, Follows, StartFailure};
use crate::panics::catch;
use crate::started::Started;
use crate::trace::{TraceContext, with_context};
use crate::whose::{Whose, run_as};

/// What a start comes to.
pub(crate) type Launched = Result<Started, StartFailure>;

/// How a spec starts its child: it puts a future on the pad. The user's own code runs when that is polled.
pub(crate) type Launch = dyn Fn(StartContext, &mut Launchpad) + Send + Sync;

/// The start of a child of which nobody knows any more what it was started from.
pub(crate) fn forgotten() -> Arc<Launch> {
    static FORGOTTEN: LazyLock<Arc<Launch>> = LazyLock::new(|| {
        let failure = || StartFailure::permanent("its start function was not kept");
        Arc::new(move |_, pad| pad.set(async move { Err(failure()) }))
    });
    Arc::clone(&FORGOTTEN)
}

/// Where a start is polled.
#[derive(Default)]
pub(crate) struct Launchpad {
    start: Option<ReusableBoxFuture<'static, Launched>>,
    /// Whose start it is.
    whose: Whose,
}

impl Launchpad {
    /// Puts a start on the pad. There must be none that is not over.
    pub(crate) fn set(&mut self, start: impl Future<Output = Launched> + Send + 'static) {
        match &mut self.start {
            Some(memory) => memory.set(start),
            None => self.start = Some(ReusableBoxFuture::new(start)),
        }
    }

    /// Begins a start, in the context of what has caused it.
    pub(crate) fn begin(
        &mut self,
        launch: &Arc<Launch>,
        context: StartContext,
        cause: Option<TraceContext>,
    ) {
        self.whose = context.whose();
        launch(context, self);
        if let Some(cause) = cause
            && let Some(start) = self.start.take()
        {
            self.start = Some(ReusableBoxFuture::new(with_context(cause, start)));
        }
    }

    /// Polls the start. What it comes to if that is known; else the rest of it, to be polled elsewhere.
    pub(crate) fn poll(&mut self, waker: &mut Context<'_>) -> Result<Launched, Launching> {
        let Some(start) = &mut self.start else {
            let nothing = StartFailure::new(ExitReason::Cancelled, Follows::Retry);
            return Ok(Err(nothing));
        };
        match poll_guarded(start, &mut self.whose, waker) {
            Poll::Ready(launched) => Ok(launched),
            Poll::Pending => match self.start.take() {
                Some(start) => Err(Launching(start, self.whose.take())),
                None => unreachable!("it was there a moment ago"),
            },
        }
    }
}

/// A start that was not ready at its first poll.
pub(crate) struct Launching(ReusableBoxFuture<'static, Launched>, Whose);

impl Future for Launching {
    type Output = Launched;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Launched> {
        let Self(start, whose) = &mut *self;
        poll_guarded(start, whose, waker)
    }
}

/// Polls a start with the panics of the user's code caught.
fn poll_guarded(
    start: &mut ReusableBoxFuture<'static, Launched>,
    whose: &mut Whose,
    waker: &mut Context<'_>,
) -> Poll<Launched> {
    match run_as(whose, || catch(|| start.poll(waker))) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(Err(StartFailure::new(
            ExitReason::Panic(Arc::new(panic)),
            Follows::Retry,
        ))),
    }
}
