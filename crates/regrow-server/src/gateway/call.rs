//! A request as a call through the breaker of its agent: when it is let through, and how it has ended.
//!
//! It is let through right before its agent is dialled, counts from when that listens, and is judged as soon as the head of the answer has come: a stream may take hours,
//! and a trial that is out for so long would keep the circuit from closing. What becomes of the body is not looked at.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use regrow::breaker::{Breaker, CircuitState, Ended, Permit};

use super::Failure;
use super::forward::ForwardError;
use super::verdict::{MAX_RETRY_AFTER, Refusal, ceil_seconds};
use crate::wire::Problem;

/// What the requests to an agent go through.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The breaker.
    pub(crate) breaker: Breaker,
    /// Who says how what it stands before is.
    pub(crate) judge: Judge,
}

impl Before {
    /// Whether a request may be made now.
    fn acquire(&self, id: &str) -> Result<Permit<'static>, Refusal> {
        if self.is_the_checks_turn() {
            return Err(self.waits_for_check(id));
        }
        match self.breaker.try_acquire_owned() {
            // It has begun to try since it was looked at.
            Ok(permit) if self.judge.refuses_all(permit.admitted_in()) => {
                Err(self.waits_for_check(id))
            }
            Ok(permit) => Ok(permit),
            Err(rejected) => {
                let why = match self.judge {
                    Judge::Answers => rejected.to_string(),
                    // It says when it begins to try, which is not when a request gets through.
                    Judge::Check { .. } => {
                        format!("breaker {:?} is {}", self.breaker.id(), rejected.state)
                    }
                };
                Err(self.refusal(id, rejected.state, rejected.retry_after, &why))
            }
        }
    }

    /// Whether the next call is a trial, and the check's: a permit that is taken, and given back, may be missing to that.
    fn is_the_checks_turn(&self) -> bool {
        match (self.breaker.state(), self.judge) {
            (CircuitState::HalfOpen, Judge::Check { .. }) => true,
            // Its wait may be over, and nobody has looked since.
            (CircuitState::Open, Judge::Check { .. }) => {
                let left = self.breaker.status().retry_after;
                left.is_none_or(|left| left.is_zero())
            }
            (CircuitState::HalfOpen | CircuitState::Open, Judge::Answers)
            | (
                CircuitState::Closed
                | CircuitState::ForcedOpen
                | CircuitState::Disabled
                | CircuitState::MetricsOnly,
                Judge::Answers | Judge::Check { .. },
            ) => false,
        }
    }

    /// Whether nobody gets through for a while.
    fn is_shut(&self) -> bool {
        match self.breaker.state() {
            CircuitState::ForcedOpen => true,
            CircuitState::Open => {
                let left = self.breaker.status().retry_after;
                left.is_some_and(|left| !left.is_zero())
            }
            CircuitState::Closed
            | CircuitState::HalfOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => false,
        }
    }

    fn waits_for_check(&self, id: &str) -> Refusal {
        let why = format!("breaker {:?} waits for its check", self.breaker.id());
        self.refusal(id, CircuitState::HalfOpen, None, &why)
    }

    /// The breaker does not let it through: the agent is not asked.
    fn refusal(
        &self,
        id: &str,
        state: CircuitState,
        retry_after: Option<Duration>,
        why: &str,
    ) -> Refusal {
        let detail = format!("agent {id:?} is not asked: {why}");
        let (hint, retry_after) = match state {
            CircuitState::ForcedOpen => {
                let close = format!("close it: regrow breaker close {}", self.breaker.id());
                (close, None)
            }
            CircuitState::Open
            | CircuitState::HalfOpen
            | CircuitState::Closed
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => {
                let wait = self.judge.retry_after(retry_after.unwrap_or_default());
                let hint = "see what it was judged by: regrow breaker ls".to_owned();
                (hint, Some(ceil_seconds(wait).max(1)))
            }
        };
        Refusal {
            problem: Problem::new(StatusCode::SERVICE_UNAVAILABLE, "breaker_open", detail)
                .hint(hint),
            retry_after,
            breaker: Some(state),
            is_agents_fault: false,
        }
    }
}

/// Who says how what a breaker stands before is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Those who go through it, by the answers that they get.
    Answers,
    /// Its check of a dependency. What the agent answers says how the agent is, so it opens and closes nothing.
    Check {
        /// How often it looks.
        period: Duration,
    },
}

impl Judge {
    /// Whether no request gets through a breaker in this state.
    pub(crate) fn refuses_all(self, state: CircuitState) -> bool {
        match (state, self) {
            (CircuitState::Open | CircuitState::ForcedOpen, Self::Answers | Self::Check { .. }) => {
                true
            }
            // Its trials are the check's.
            (CircuitState::HalfOpen, Self::Check { .. }) => true,
            (CircuitState::HalfOpen, Self::Answers) => false,
            (
                CircuitState::Closed | CircuitState::Disabled | CircuitState::MetricsOnly,
                Self::Answers | Self::Check { .. },
            ) => false,
        }
    }

    /// What the end of a request says to the breaker.
    fn of(self, ended: Ended) -> Ended {
        match (self, ended) {
            (Self::Check { .. }, Ended::Success | Ended::Failure) => Ended::Ignored,
            (Self::Answers | Self::Check { .. }, ended) => ended,
        }
    }

    /// In how long a request may get through, when the breaker begins to try after `left`.
    fn retry_after(self, left: Duration) -> Duration {
        match self {
            // A trial is out, or the request itself may be the next.
            Self::Answers => left,
            Self::Check { period } => left + period.min(MAX_RETRY_AFTER),
        }
    }
}

/// One request on its way. Dropped before its end, as when the client leaves, it is a call that was cancelled.
#[derive(Debug)]
pub(super) struct Call {
    before: Option<Before>,
    permit: Option<Permit<'static>>,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The agent has heard nothing of it.
    Unheard,
    /// It was sent, at least in part.
    Sent,
}

impl Call {
    /// A request to an agent behind a breaker, or none.
    pub(super) fn new(before: Option<Before>) -> Self {
        Self {
            before,
            permit: None,
            progress: Progress::Unheard,
        }
    }

    /// Whether the agent may be dialled now. While all calls are let through, it is none yet: it may dial often until it is heard.
    pub(super) fn admit(&mut self, id: &str) -> Result<(), Refusal> {
        match &self.before {
            Some(before) if before.breaker.state().lets_all_through() => Ok(()),
            Some(_) | None => self.acquire(id),
        }
    }

    fn acquire(&mut self, id: &str) -> Result<(), Refusal> {
        if let (Some(before), None) = (&self.before, &self.permit) {
            self.permit = Some(before.acquire(id)?);
        }
        Ok(())
    }

    /// The agent is not there, and whether it may be waited for: whoever comes meanwhile may have the trial of this one.
    pub(super) fn wait(&mut self, id: &str) -> Result<(), Refusal> {
        match self.progress {
            Progress::Unheard => self.permit = None,
            Progress::Sent => {}
        }
        match &self.before {
            // It would wait only to be refused.
            Some(before) if before.is_shut() => before.acquire(id).map(drop),
            Some(_) | None => Ok(()),
        }
    }

    /// The agent is there, and is to hear of it.
    pub(super) fn send(&mut self, id: &str) -> Result<(), Refusal> {
        self.acquire(id)?;
        self.progress = Progress::Sent;
        Ok(())
    }

    /// The connection broke, and it is to be asked again. A trial has failed by that: nobody waits until this one has waited.
    pub(super) fn repeat(&mut self) {
        let is_trial = |permit: &mut Permit<'_>| match permit.admitted_in() {
            CircuitState::HalfOpen => true,
            CircuitState::Closed
            | CircuitState::Open
            | CircuitState::ForcedOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => false,
        };
        if let (Some(before), Some(trial)) = (&self.before, self.permit.take_if(is_trial)) {
            trial.settle(before.judge.of(Ended::Failure));
            self.progress = Progress::Unheard;
        }
    }

    /// How long the answer may take to begin, if the breaker says so.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let Before { breaker, judge } = self.before.as_ref()?;
        match judge {
            Judge::Answers => breaker.call_timeout(),
            // It bounds what judges.
            Judge::Check { .. } => None,
        }
    }

    /// It is over.
    pub(super) fn end(mut self, answer: &Result<Response<Body>, Failure>) {
        let ended = ended(answer, self.progress);
        let Some(before) = &self.before else { return };
        // That the agent does not listen is a failure though it has heard nothing.
        let is_none_yet = self.permit.is_none() && before.breaker.state().lets_all_through();
        if is_none_yet && ended == Ended::Failure {
            self.permit = before.breaker.try_acquire_owned().ok();
        }
        if let Some(permit) = self.permit {
            permit.settle(before.judge.of(ended));
        }
    }
}

/// What an answer, or none, says of the agent.
fn ended(answer: &Result<Response<Body>, Failure>, progress: Progress) -> Ended {
    match answer {
        Ok(response) => of_answer(response.status()),
        Err(Failure::Forward(error)) => of_failure(error),
        Err(Failure::Refused(refusal)) => of_refusal(refusal, progress),
    }
}

/// Whoever answers works, if the fault is not its own: what it thinks of the request is between it and the client. Were such answers
/// ignored, an agent that is asked for nothing but what it does not have would never leave half-open.
fn of_answer(status: StatusCode) -> Ended {
    if status.is_server_error() {
        Ended::Failure
    } else {
        Ended::Success
    }
}

fn of_failure(error: &ForwardError) -> Ended {
    match error {
        ForwardError::Broken { .. } | ForwardError::Slow { .. } => Ended::Failure,
        // The request is the reason, or we are.
        ForwardError::TooLarge
        | ForwardError::SlowClient { .. }
        | ForwardError::Loop
        | ForwardError::NoTunnel
        | ForwardError::BadPath => Ended::Ignored,
        ForwardError::BrokenOff => Ended::Cancelled,
    }
}

/// It was let through, and then the agent could not be reached, or not a second time.
fn of_refusal(refusal: &Refusal, progress: Progress) -> Ended {
    match progress {
        Progress::Sent => Ended::Failure,
        Progress::Unheard if refusal.is_agents_fault => Ended::Failure,
        Progress::Unheard => Ended::Cancelled,
    }
}

#[cfg(test)]
mod tests;
