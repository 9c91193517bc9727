//! A breaker in front of a child's starts: while it is open the next start waits until it lets one through.

use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, CircuitState, Ended, Permit};
use crate::child::ChildSpec;
use crate::time;

/// How long a start waits at most before it asks again, where nobody knows when there is a place among the trials.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands before the starts of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Each start is a call.
    Judged(Breaker),
    /// Others judge it.
    Heeded(Breaker),
}

/// A start that may begin.
#[derive(Debug)]
pub(crate) enum Pass {
    /// It says how it has ended.
    Call(Permit<'static>),
    /// Nobody is told.
    Free,
}

impl Pass {
    pub(crate) fn settle(self, ended: Ended) {
        match self {
            Self::Call(permit) => permit.settle(ended),
            Self::Free => {}
        }
    }
}

impl Gate {
    pub(crate) fn id(&self) -> Arc<str> {
        match self {
            Self::Judged(breaker) | Self::Heeded(breaker) => Arc::clone(&breaker.shared.id),
        }
    }

    /// Lets a start through at once, if it may begin.
    pub(crate) fn try_pass(&self) -> Option<Pass> {
        match self {
            Self::Judged(breaker) => breaker.try_acquire_owned().ok().map(Pass::Call),
            Self::Heeded(breaker) => breaker.state().lets_all_through().then_some(Pass::Free),
        }
    }

    /// Waits until a start may begin.
    pub(crate) async fn admitted(&self) -> Pass {
        match self {
            Self::Judged(breaker) => Pass::Call(breaker.admitted().await),
            Self::Heeded(breaker) => {
                breaker.until(CircuitState::lets_all_through).await;
                Pass::Free
            }
        }
    }
}

impl ChildSpec {
    /// Puts a breaker in front of its starts: each is a call through it. One that fails is a failure, and so is an end before the child
    /// counts as started. While the breaker is open the next start waits, in the phase `starting`, until it lets one through to try. So
    /// children that need the same thing, and share a breaker, find out together that it is down, and try one at a time whether it is back.
    ///
    /// What it waits does not count towards its [`start_timeout`](ChildSpec::start_timeout). An operator who stops the child ends the
    /// wait; a boot does not wait for it. Restarts are counted and delayed as ever.
    pub fn gate(mut self, breaker: &Breaker) -> Self {
        self.edit().gate = Some(Gate::Judged(breaker.clone()));
        self
    }

    /// Starts it only while a breaker is closed that others judge: by their calls, say, or by a check. Its own starts are no calls, take
    /// none of the trials and tell nothing of what is behind the breaker. For the rest it is as [`gate`](ChildSpec::gate), in whose place
    /// it is.
    pub fn start_while_closed(mut self, breaker: &Breaker) -> Self {
        self.edit().gate = Some(Gate::Heeded(breaker.clone()));
        self
    }
}

impl Breaker {
    /// Waits until a call may be made.
    pub(crate) async fn admitted(&self) -> Permit<'static> {
        loop {
            let rejected = match self.try_acquire_owned() {
                Ok(permit) => return permit,
                Err(rejected) => rejected,
            };
            let until = time::now() + rejected.retry_after.unwrap_or(PATIENCE);
            tokio::select! {
                _ = self.until(|state| state != rejected.state) => {}
                () = time::sleep_until(until) => {}
            }
        }
    }
}
