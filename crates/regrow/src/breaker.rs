//! Calls to something that may be down: a circuit breaker, as a handle for callers and as a child of the tree.
//!
//! ```
//! use std::time::Duration;
//! use regrow::breaker::{Breaker, BreakerError, CircuitRules};
//! use regrow::{Supervisor, System};
//!
//! # async fn complete(_: &str) -> Result<String, std::io::Error> { Ok("four".into()) }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = CircuitRules::default().failure_ratio(0.5).call_timeout(Duration::from_secs(20));
//! let model = Breaker::new("model", rules)?;
//! let system = System::start(Supervisor::new("root").child(&model)).await?;
//!
//! match model.call(complete("2 + 2")).await {
//!     Ok(answer) => assert_eq!(answer, "four"),
//!     Err(BreakerError::Rejected(rejected)) => println!("{rejected}; not even tried"),
//!     Err(BreakerError::TimedOut(time)) => println!("no answer within {time:?}"),
//!     Err(error) => println!("{error}"),
//! }
//! # system.shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! The rules are those of [`CircuitRules`], the decisions those of [`regrow_core::circuit`]. A breaker works by itself; as a child it
//! is seen: it tells `regrow.breaker.*` events, is counted in `regrow_breaker_*` metrics, is listed by [`System::breakers`], and has a
//! timer, so that an open one lets calls through to try though nobody calls.
//!
//! **Callers never wait for its actor, and send it no message.** A call that is let through while the circuit is closed costs no lock at
//! its begin, and one lock, held for O(1), at its end. What is told of calls is summed up or sampled, so that a flood of calls is no flood of events.
//!
//! The state belongs to what is called, not to a life of the child: a child that is started again goes on with the same circuit, and
//! its callers notice nothing.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

pub use regrow_core::circuit::{
    CircuitCause, CircuitMode, CircuitRules, CircuitState, CircuitStatus, Ended, Figures,
    IllegalTransition, InvalidRules, OpenWait, Overdue, Totals, Trials, WindowSize,
};

use regrow_core::circuit::Circuit;

use crate::path::ChildPath;
use crate::system::System;

mod book;
mod check;
mod error;
pub(crate) mod gate;
mod keeper;
mod permit;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use book::Breakers;
pub use error::{BreakerError, Rejected};
pub use permit::Permit;
use permit::Watched;
use shared::Shared;

/// A circuit breaker: whoever has a clone of it calls through the same circuit. Cloning costs a reference count.
///
/// It can be the child of one place at a time: `Supervisor::child(&breaker)`, or [`ChildSpec::from`](crate::ChildSpec), which has
/// the kind `breaker`, the id of the breaker, and can be given more like any other spec.
#[derive(Clone)]
pub struct Breaker {
    shared: Arc<Shared>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("id", &self.id())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// Equal are two handles of the same circuit.
impl PartialEq for Breaker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Breaker {}

impl Breaker {
    /// A closed circuit with these rules. The id is that of its place, should it be a child; the jitter of its waits is drawn from it.
    ///
    /// # Errors
    /// Names the rule that is out of its range.
    pub fn new(id: impl Into<Arc<str>>, rules: CircuitRules) -> Result<Self, InvalidRules> {
        Self::in_mode(id, rules, CircuitMode::Auto)
    }

    /// Like [`Breaker::new`], in this mode from the first call on: to try rules out ([`CircuitMode::MetricsOnly`]), say.
    ///
    /// # Errors
    /// Names the rule that is out of its range.
    pub fn in_mode(
        id: impl Into<Arc<str>>,
        rules: CircuitRules,
        mode: CircuitMode,
    ) -> Result<Self, InvalidRules> {
        let shared = Arc::new(Shared::new(id.into(), rules, mode)?);
        Ok(Self { shared })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Where it stands, while it is a child and a life of it is up.
    #[must_use]
    pub fn path(&self) -> Option<ChildPath> {
        self.shared.path()
    }

    /// What it does with calls, now. Costs one load. An open one whose wait is over is so until a call or its timer looks.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        self.shared.standing().state
    }

    /// How it is, as a whole.
    #[must_use]
    pub fn status(&self) -> CircuitStatus {
        self.shared.status()
    }

    /// By which rules it goes.
    pub fn rules(&self) -> CircuitRules {
        self.shared.lock().circuit.rules().clone()
    }

    /// How long a call may take, if there is a limit: for whoever makes calls by permits, and ends them himself. Costs one load.
    #[must_use]
    pub fn call_timeout(&self) -> Option<Duration> {
        self.shared.call_timeout()
    }

    /// May a call be made? Whoever gets a permit says by it how the call has ended; one that is dropped has been cancelled.
    ///
    /// # Errors
    /// When the circuit is open, or all its trials are out.
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        let ticket = self.shared.acquire()?;
        Ok(Permit::borrowed(&self.shared, ticket))
    }

    /// Like [`Breaker::try_acquire`], for a call that ends elsewhere: the permit holds a reference count of its own.
    ///
    /// # Errors
    /// When the circuit is open, or all its trials are out.
    pub fn try_acquire_owned(&self) -> Result<Permit<'static>, Rejected> {
        let ticket = self.shared.acquire()?;
        Ok(Permit::owned(Arc::clone(&self.shared), ticket))
    }

    /// Makes a call, if it may be made: `Err` is a failure, and so are a panic and the end of
    /// [`call_timeout`](CircuitRules::call_timeout), which drops the call. A call that is dropped before its end is neither.
    ///
    /// # Errors
    /// [`BreakerError::Rejected`] without a try, [`BreakerError::TimedOut`], or the call's own.
    pub async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BreakerError<E>> {
        let judge = |result: &Result<T, E>| match result {
            Ok(_) => Ended::Success,
            Err(_) => Ended::Failure,
        };
        self.call_judged(call, judge).await
    }

    /// Makes a call, if it may be made, and judges how it has ended: an answer may be a failure, an error the caller's own fault
    /// ([`Ended::Ignored`]), and one answer enough to open the circuit ([`Ended::Trip`]), as long as a `Retry-After` says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use regrow::breaker::{Breaker, CircuitRules, Ended, OpenWait};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn status() -> Result<u16, std::io::Error> { Ok(429) }
    /// let breaker = Breaker::new("upstream", CircuitRules::default())?;
    /// let judge = |answer: &Result<u16, std::io::Error>| match answer {
    ///     Ok(429) => Ended::Trip(OpenWait::For(Duration::from_secs(30))),
    ///     Ok(500..) | Err(_) => Ended::Failure,
    ///     Ok(400..) => Ended::Ignored,
    ///     Ok(_) => Ended::Success,
    /// };
    /// assert_eq!(breaker.call_judged(status(), judge).await.unwrap(), 429);
    /// let rejected = breaker.try_acquire().unwrap_err();
    /// assert_eq!(rejected.retry_after, Some(Duration::from_secs(30)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BreakerError::Rejected`] without a try, [`BreakerError::TimedOut`], or the call's own.
    pub async fn call_judged<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        judge: impl FnOnce(&Result<T, E>) -> Ended,
    ) -> Result<T, BreakerError<E>> {
        let permit = self.try_acquire().map_err(BreakerError::Rejected)?;
        let mut watched = Watched::new(permit);
        let mut call = pin!(call);
        let call = poll_fn(|context| watched.poll(call.as_mut(), context));
        let result = match self.shared.call_timeout() {
            None => Ok(call.await),
            Some(limit) => tokio::time::timeout(limit, call).await.map_err(|_| limit),
        };
        match result {
            Ok(result) => {
                watched.settle(judge(&result));
                result.map_err(BreakerError::Inner)
            }
            Err(limit) => {
                watched.settle(Ended::Failure);
                Err(BreakerError::TimedOut(limit))
            }
        }
    }

    /// Makes a call, and where there is no good answer, whatever the reason, the other one, which is told that reason.
    ///
    /// ```
    /// # use regrow::breaker::{Breaker, BreakerError, CircuitRules};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let breaker = Breaker::new("model", CircuitRules::default())?;
    /// let failing = async { Err::<&str, _>(std::io::Error::other("no")) };
    /// let cached = |_: BreakerError<std::io::Error>| async { Ok::<_, std::io::Error>("from yesterday") };
    /// assert_eq!(breaker.call_or(failing, cached).await?, "from yesterday");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the other one.
    pub async fn call_or<T, E, F, G>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        fallback: impl FnOnce(BreakerError<E>) -> F,
    ) -> Result<T, G>
    where
        F: Future<Output = Result<T, G>>,
    {
        match self.call(call).await {
            Ok(answer) => Ok(answer),
            Err(error) => fallback(error).await,
        }
    }

    /// Waits until it is in such a state, and says in which: for whoever keeps others waiting for it, and has to send them away when
    /// it opens. States that it leaves at once may be missed.
    pub async fn until(&self, wanted: impl FnMut(CircuitState) -> bool) -> CircuitState {
        self.shared.until(wanted).await
    }
}

/// What operators do.
impl Breaker {
    /// It is closed, by its own rules from now on, and begins anew: without results, without a mode that was set, with the first wait.
    pub fn close(&self) {
        self.shared
            .order(|circuit, now| Ok::<_, ()>(circuit.close(now)))
            .unwrap_or_default();
    }

    /// It begins anew as [`Breaker::close`] does, but a mode that was set stays.
    pub fn reset(&self) {
        self.shared
            .order(|circuit, now| Ok::<_, ()>(circuit.reset(now)))
            .unwrap_or_default();
    }

    /// It is open for a while; [`CircuitMode::ForcedOpen`] is for longer.
    ///
    /// # Errors
    /// When a mode was set that holds it elsewhere.
    pub fn trip(&self, wait: OpenWait) -> Result<(), IllegalTransition> {
        self.shared.order(|circuit, now| circuit.trip(wait, now))
    }

    /// Its wait is over: the next calls are trials.
    ///
    /// # Errors
    /// When it is not open.
    pub fn half_open(&self) -> Result<(), IllegalTransition> {
        self.shared.order(Circuit::half_open)
    }

    /// Sets who decides: it, or you. What you set stays until you set [`CircuitMode::Auto`] or [`close`](Breaker::close) it.
    pub fn set_mode(&self, mode: CircuitMode) {
        self.shared
            .order(|circuit, now| Ok::<_, ()>(circuit.set_mode(mode, now)))
            .unwrap_or_default();
    }

    /// It goes by new rules, and begins anew; a mode that was set stays.
    ///
    /// # Errors
    /// Names the rule that is out of its range; then nothing has changed.
    pub fn reconfigure(&self, rules: CircuitRules) -> Result<(), InvalidRules> {
        self.shared
            .order(|circuit, now| circuit.reconfigure(rules, now))
    }
}

impl System {
    /// All breakers that are children of this system, by path. One whose child is being started again is among them.
    #[must_use]
    pub fn breakers(&self) -> Vec<(ChildPath, Breaker)> {
        self.census().breakers.all()
    }

    /// The breaker at this path, if there is one.
    #[must_use]
    pub fn breaker(&self, path: &str) -> Option<Breaker> {
        self.census().breakers.at(path)
    }
}

/// How long a call may take, as one number; 0 for ever.
fn nanos(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
