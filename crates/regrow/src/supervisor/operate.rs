//! What an operator can ask of a supervisor, and why it may say no.

use std::time::SystemTime;

use regrow_core::InvalidId;
use regrow_core::supervision::Refused;
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
    /// Another child has this id.
    #[error("a child called \"{path}\" exists already")]
    AlreadyPresent {
        /// The path.
        path: ChildPath,
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
    /// It waits for its next start.
    #[error("child \"{path}\" is waiting for its next start")]
    Restarting {
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
    /// The supervisor is not there, or ended before it answered.
    #[error("supervisor \"{supervisor}\" is not running")]
    Gone {
        /// The supervisor.
        supervisor: String,
    },
}

/// What to do with a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Terminate,
    Restart,
    Bounce,
    Delete,
}

impl OperateError {
    pub(crate) fn refused(refused: Refused, path: ChildPath, supervisor: ChildPath) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound {
                path: path.to_string(),
            },
            Refused::Running => Self::Running { path },
            Refused::Restarting => Self::Restarting { path },
            Refused::Closing => Self::Closing { supervisor },
        }
    }
}
