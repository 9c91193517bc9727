//! How an agent is, and how it has ended.

use std::sync::Arc;

use regrow::telemetry::{Edge, Payload, Subject};
use regrow::{ExitReason, Phase, StopCause};
use regrow_core::Restart;
use regrow_core::agents::LastSeen;
use regrow_core::exits::ExitRules;

use super::code_of;
use crate::process::Process;

#[cfg(test)]
mod tests;

/// What says how an end is meant.
#[derive(Debug)]
pub(super) struct Terms {
    restart: Restart,
    exits: ExitRules,
}

impl Terms {
    pub(super) fn of(process: &Process) -> Self {
        Self {
            restart: process.terms.restart.unwrap_or(Restart::Transient),
            exits: process.terms.exits.clone(),
        }
    }
}

/// How an agent is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentStatus {
    /// What it is doing.
    pub phase: Phase,
    /// Which life it is in, or was last; 0 before the first.
    pub generation: u32,
    /// Its process; `None` while none runs.
    pub pid: Option<u32>,
    /// How its last process exited, if one has.
    pub exit: Option<ExitReason>,
    /// How its last life ended, if one has: an `exit` or `signal` when it ended by itself, `shutdown` or `killed` when it was stopped.
    pub reason: Option<ExitReason>,
    /// Why its present or last life was stopped, if it was.
    pub cause: Option<StopCause>,
    /// Why it was given up on, in words.
    pub why: Option<Arc<str>>,
    /// Its place has been taken out of the tree.
    pub is_gone: bool,
}

impl Default for AgentStatus {
    fn default() -> Self {
        Self {
            phase: Phase::Pending,
            generation: 0,
            pid: None,
            exit: None,
            reason: None,
            cause: None,
            why: None,
            is_gone: false,
        }
    }
}

impl AgentStatus {
    /// Whether it has ended and is not started again. One that has failed can be: [`Agent::restart`](super::Agent::restart).
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.phase {
            Phase::Completed | Phase::Stopped | Phase::Failed => true,
            Phase::Pending
            | Phase::Starting
            | Phase::Running
            | Phase::Paused
            | Phase::Draining
            | Phase::Stopping
            | Phase::Backoff => false,
        }
    }

    /// Whether it is up, and not held.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Running
    }

    /// The code with which its last process exited.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        code_of(self.exit.as_ref())
    }

    /// As an end, for one that is over.
    #[must_use]
    pub fn end(&self) -> AgentEnd {
        AgentEnd {
            phase: self.phase,
            generation: self.generation,
            exit: self.exit.clone(),
            reason: self.reason.clone(),
            why: self.why.clone(),
        }
    }

    /// Something has happened to the child; whether that is news. What an earlier life did is none, nor what happens after the end.
    pub(super) fn hear(&mut self, subject: &Subject, payload: &Payload, terms: &Terms) -> bool {
        if self.is_gone || subject.generation < self.generation {
            return false;
        }
        self.generation = subject.generation;
        if let Payload::SupervisorChildRemoved {} = payload {
            return self.leave(terms);
        }
        if let Payload::ProcessSpawn { edge, .. } = payload {
            // Another life: what ended the last one is not about this one.
            if matches!(edge, Edge::Start) {
                (self.cause, self.why) = (None, None);
            }
        } else if let Payload::ProcessExited { reason, .. } = payload {
            self.exit = Some(reason.clone());
        } else if let Payload::ChildStopping { cause, .. } = payload {
            self.cause = Some(*cause);
            self.phase = subject.phase;
        } else if let Payload::ChildTerminated { reason, cause, .. } = payload {
            (self.reason, self.cause) = (Some(reason.clone()), *cause);
        } else if let Payload::ChildStartFailed { reason, .. } = payload {
            self.reason = Some(reason.clone());
        } else if let Payload::ChildStateChanged { to, why, .. } = payload {
            self.phase = *to;
            self.why.clone_from(why);
        } else if matches!(
            payload,
            Payload::ChildStarted { .. } | Payload::RestartScheduled { .. }
        ) {
            self.phase = subject.phase;
        }
        true
    }

    /// Its place is gone, whoever has taken it; whether that is news.
    pub(super) fn leave(&mut self, terms: &Terms) -> bool {
        let last = LastSeen {
            restart: terms.restart,
            rules: &terms.exits,
            phase: self.phase,
            cause: self.cause,
            end: self.reason.as_ref().map(ExitReason::kind),
        };
        self.phase = last.came_to();
        !std::mem::replace(&mut self.is_gone, true)
    }
}

/// How an agent has ended; made by [`AgentStatus::end`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentEnd {
    /// What it has come to: `completed`, `stopped` or `failed`.
    pub phase: Phase,
    /// Which life was the last.
    pub generation: u32,
    /// How its last process exited; `None` when there never was one.
    pub exit: Option<ExitReason>,
    /// How its last life ended: as its process did, or `shutdown` or `killed` when it was stopped.
    pub reason: Option<ExitReason>,
    /// Why it was given up on, in words.
    pub why: Option<Arc<str>>,
}

impl AgentEnd {
    /// The code with which its last process exited; `None` after a signal.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        code_of(self.exit.as_ref())
    }
}
