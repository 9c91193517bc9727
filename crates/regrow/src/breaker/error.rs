//! Why a call was not made, or did not end well.

use std::sync::Arc;
use std::time::Duration;

use regrow_core::circuit::CircuitState;
use thiserror::Error;

/// A call that was not let through.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[error("breaker \"{breaker}\" is {state}{}", after(*retry_after))]
pub struct Rejected {
    /// The id of the breaker.
    pub breaker: Arc<str>,
    /// Open, half-open with all trials out, or forced open.
    pub state: CircuitState,
    /// When it is worth asking again, if that is known.
    pub retry_after: Option<Duration>,
}

fn after(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| {
        format!("; try again in {:.1} s", time.as_secs_f64())
    })
}

/// Why [`Breaker::call`](super::Breaker::call) has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BreakerError<E> {
    /// It was not tried.
    #[error(transparent)]
    Rejected(Rejected),
    /// It took longer than a call may, and was dropped.
    #[error("the call took longer than {0:?}")]
    TimedOut(Duration),
    /// It has failed by itself.
    #[error("{0}")]
    Inner(#[source] E),
}

impl<E> BreakerError<E> {
    /// When it is worth trying again, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejected) => rejected.retry_after,
            Self::TimedOut(_) | Self::Inner(_) => None,
        }
    }
}
