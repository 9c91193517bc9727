//! What an operator can ask of a supervisor, and why it may say no.

use std::sync::Arc;
use std::time::SystemTime;

use regrow_core::supervision::Refused;
use regrow_core::{ChildKind, InvalidId, Phase};
use thiserror::Error;

use super::InvalidTree;
use crate::exit::ExitReason;
use crate::path::ChildPath;

/// Why an operation on a child was refused or did not succeed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum OperateError {
    /// No child has this path.
    #[error("no child has the path \"{path}\"")]
    NotFound {
        /// The path.
        path: String,
    },
    /// Another child has this id, and is up or on its way.
    #[error("a child called \"{path}\" is running already")]
    AlreadyStarted {
        /// The path.
        path: ChildPath,
    },
    /// Another child has this id, and is not running.
    #[error("a child called \"{path}\" exists already; restart or delete it")]
    AlreadyPresent {
        /// The path.
        path: ChildPath,
    },
    /// There are as many children as there may be.
    #[error("supervisor \"{supervisor}\" has its {max} children; one more is refused")]
    MaxChildren {
        /// The supervisor.
        supervisor: ChildPath,
        /// How many there may be.
        max: u32,
    },
    /// A supervisor cannot become what it is asked to be while it runs.
    #[error("failed to reconfigure supervisor \"{supervisor}\": {reason}")]
    CannotBecome {
        /// The supervisor.
        supervisor: ChildPath,
        /// Why not.
        reason: String,
    },
    /// It has no partitions.
    #[error("supervisor \"{supervisor}\" is not partitioned")]
    NotPartitioned {
        /// The supervisor.
        supervisor: String,
    },
    /// The text is not an id.
    #[error("{id:?} cannot be an id: {reason}")]
    InvalidId {
        /// The text.
        id: String,
        /// What is wrong with it.
        reason: InvalidId,
    },
    /// What is added could never work.
    #[error(transparent)]
    InvalidTree(#[from] InvalidTree),
    /// It runs, or is on its way up or down.
    #[error("child \"{path}\" is running")]
    Running {
        /// The child.
        path: ChildPath,
    },
    /// It waits for its next start, or that start is under way.
    #[error("child \"{path}\" is waiting for its next start")]
    Restarting {
        /// The child.
        path: ChildPath,
    },
    /// It is not up, so it can neither be held nor go on.
    #[error(
        "child \"{path}\" is {phase}; only one that is running or paused can be paused or resumed"
    )]
    NotUp {
        /// The child.
        path: ChildPath,
        /// Where it stands.
        phase: Phase,
    },
    /// Nothing can hold a child like this.
    #[error("child \"{path}\" cannot be paused: it is of the kind {kind}, and nothing can hold it")]
    CannotPause {
        /// The child.
        path: ChildPath,
        /// What it is.
        kind: ChildKind,
    },
    /// Nobody knows any more how to start it.
    #[error(
        "child \"{path}\" is temporary, and its supervisor does as OTP's: it does not keep what it was started from; terminate it and add it anew"
    )]
    Forgotten {
        /// The child.
        path: ChildPath,
    },
    /// The supervisor is ending.
    #[error("supervisor \"{supervisor}\" is shutting down")]
    Closing {
        /// The supervisor.
        supervisor: ChildPath,
    },
    /// It was started, but did not come up.
    #[error("child \"{path}\" did not start: {reason}")]
    DidNotStart {
        /// The child.
        path: ChildPath,
        /// Why.
        #[source]
        reason: ExitReason,
        /// When it will be tried again, if it will be.
        next_start_at: Option<SystemTime>,
    },
    /// Another operation on the child came later and wants the opposite.
    #[error("a later operation on child \"{path}\" has overtaken this one")]
    Overtaken {
        /// The child.
        path: ChildPath,
    },
    /// A child asks, from its own code, for the end of itself or of a supervisor above it. That waits for the child, and the
    /// child would wait for it.
    #[error(
        "the end of \"{path}\" would wait for \"{child}\", which asks for it; let a task that it spawns ask"
    )]
    WouldWaitForItself {
        /// What shall end.
        path: String,
        /// The child that asks.
        child: ChildPath,
    },
    /// The supervisor is not there, or ended before it answered.
    #[error("supervisor \"{supervisor}\" is not running")]
    Gone {
        /// The supervisor.
        supervisor: String,
    },
}

/// How many children a supervisor has; OTP's `count_children`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildCounts {
    /// Places, with or without a life. Under [`otp_compat`](crate::DynamicSupervisor::otp_compat) a supervisor of dynamic
    /// children has one, as OTP's `simple_one_for_one` has one spec.
    pub specs: u32,
    /// Lives that are up, or being stopped.
    pub active: u32,
    /// Children that are supervisors, alive or not.
    pub supervisors: u32,
    /// All other children, alive or not.
    pub workers: u32,
}

/// What became of a batch of children that was added.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StartReport {
    /// How many have started, or [asked not to be](crate::Ignore).
    pub started: u32,
    /// The ids of those that have not, and why.
    pub failed: Vec<(Arc<str>, OperateError)>,
}

/// What new rules have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconfigured {
    /// Children that were there: they keep running, and have their new spec from the next start or stop on.
    pub updated: Vec<Arc<str>>,
    /// Children that are new: they have a place and are not started.
    pub added: Vec<Arc<str>>,
    /// Children that the new rules do not list: they stay, after all others.
    pub kept: Vec<Arc<str>>,
}

/// What to do with a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Terminate,
    /// To terminate one of several that are alike: fewer are needed.
    Retire,
    Restart,
    Bounce,
    Delete,
    Pause,
    Resume,
}

impl OperateError {
    pub(crate) fn refused(refused: Refused, path: ChildPath, supervisor: ChildPath) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound {
                path: path.to_string(),
            },
            Refused::Running => Self::Running { path },
            Refused::Restarting => Self::Restarting { path },
            Refused::NotUp(phase) => Self::NotUp { path, phase },
            Refused::Closing => Self::Closing { supervisor },
            Refused::Full { max } => Self::MaxChildren { supervisor, max },
            Refused::NoAutoShutdown => Self::InvalidTree(InvalidTree::Significant {
                child: path.to_string(),
                reason: "its supervisor never ends by itself; set auto_shutdown",
            }),
        }
    }
}
