//! A request as a call through the breaker of its agent: when it is let through, and how it has ended.
//!
//! It is let through right before its agent is dialled, and judged as soon as the head of the answer has come: a stream may take hours,
//! and a trial that is out for so long would keep the circuit from closing. What becomes of the body is not looked at.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use regrow::breaker::{Breaker, CircuitState, Ended, Permit};

use super::Failure;
use super::forward::ForwardError;
use super::verdict::{Refusal, ceil_seconds};
use crate::wire::Problem;

/// What the requests to an agent go through.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The breaker.
    pub(crate) breaker: Breaker,
    /// Who says how what it stands before is.
    pub(crate) judge: Judge,
}

/// Who says how what a breaker stands before is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Those who go through it, by the answers that they get.
    Answers,
    /// Its check of a dependency. What the agent answers says how the agent is, so it opens and closes nothing.
    Check,
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

    /// Whether the agent may be dialled now.
    pub(super) fn admit(&mut self, id: &str) -> Result<(), Refusal> {
        let Some(before) = self.before.as_ref().filter(|_| self.permit.is_none()) else {
            return Ok(());
        };
        let Before { breaker, judge } = before;
        let permit = match breaker.try_acquire_owned() {
            Ok(permit) => permit,
            Err(rejected) => {
                let why = rejected.to_string();
                let (state, retry_after) = (rejected.state, rejected.retry_after);
                return Err(refusal(id, breaker, state, retry_after, &why));
            }
        };
        match (permit.admitted_in(), judge) {
            // The trial is the check's. Dropped, it is free for that at once.
            (state @ CircuitState::HalfOpen, Judge::Check) => {
                let why = format!("breaker {:?} waits for its check", breaker.id());
                Err(refusal(id, breaker, state, None, &why))
            }
            (_, Judge::Answers | Judge::Check) => {
                self.permit = Some(permit);
                Ok(())
            }
        }
    }

    /// Nobody listened, and it waits: whoever comes meanwhile may have its place.
    pub(super) fn wait(&mut self) {
        match self.progress {
            Progress::Unheard => self.permit = None,
            Progress::Sent => {}
        }
    }

    /// The agent is there, and hears of it.
    pub(super) fn sent(&mut self) {
        self.progress = Progress::Sent;
    }

    /// How long the answer may take to begin, if the breaker says so.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.before.as_ref()?.breaker.call_timeout()
    }

    /// It is over.
    pub(super) fn end(self, answer: &Result<Response<Body>, Failure>) {
        let (Some(permit), Some(before)) = (self.permit, self.before) else {
            return;
        };
        permit.settle(match (before.judge, ended(answer, self.progress)) {
            (Judge::Check, Ended::Success | Ended::Failure) => Ended::Ignored,
            (Judge::Answers | Judge::Check, ended) => ended,
        });
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
        ForwardError::TooLarge | ForwardError::NoTunnel | ForwardError::BadPath => Ended::Ignored,
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

/// The breaker does not let it through: the agent is not asked.
fn refusal(
    id: &str,
    breaker: &Breaker,
    state: CircuitState,
    retry_after: Option<Duration>,
    why: &str,
) -> Refusal {
    let detail = format!("agent {id:?} is not asked: {why}");
    let (hint, retry_after) = match state {
        CircuitState::ForcedOpen => {
            let close = format!("close it: regrow breaker close {}", breaker.id());
            (close, None)
        }
        // Half-open: a trial is out, and may be back any moment.
        CircuitState::Open
        | CircuitState::HalfOpen
        | CircuitState::Closed
        | CircuitState::Disabled
        | CircuitState::MetricsOnly => {
            let wait = retry_after.unwrap_or_default();
            let hint = "see what it was judged by: regrow breaker ls".to_owned();
            (hint, Some(ceil_seconds(wait).max(1)))
        }
    };
    Refusal {
        problem: Problem::new(StatusCode::SERVICE_UNAVAILABLE, "breaker_open", detail).hint(hint),
        retry_after,
        breaker: Some(state),
        is_agents_fault: false,
    }
}

#[cfg(test)]
mod tests;
