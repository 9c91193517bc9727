//! Why an agent was not started, and why one did not do as it was told.

use std::fmt;
use std::sync::Arc;

use regrow::telemetry::AttachError;
use regrow::{OperateError, Phase, StartError};
use regrow_core::agents::{InvalidType, Refusal, Role};
use uuid::Uuid;

use crate::driver::SignalError;
use crate::stdin::StdinError;

/// Why there is no runner, or no agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnAgentError {
    /// Something cannot be a type of agents.
    #[error("{name:?} cannot be a type of agents: {reason}")]
    InvalidType {
        /// What.
        name: String,
        /// Why not.
        #[source]
        reason: InvalidType,
    },
    /// The runner's own system did not start.
    #[error("the runner did not start")]
    System(#[from] StartError),
    /// There is no supervisor to put agents below.
    #[error(
        "no supervisor runs at \"{supervisor}\"; put AgentTypes::supervisor there before the runner"
    )]
    NoSupervisor {
        /// Where.
        supervisor: String,
    },
    /// The runner cannot hear of what happens to its agents: another runs agents below the same supervisor, say, and would give the
    /// same names.
    #[error("failed to run agents below \"{supervisor}\"")]
    NotHeard {
        /// Where.
        supervisor: String,
        /// Why.
        #[source]
        source: AttachError,
    },
    /// There is no such type.
    #[error("no type of agents is called {type_name:?}{}", Known(.nearest.as_deref(), .known))]
    UnknownType {
        /// What was asked for.
        type_name: String,
        /// The type that was probably meant.
        nearest: Option<Arc<str>>,
        /// All types, in alphabetical order.
        known: Vec<Arc<str>>,
    },
    /// A role is known, but nobody has said what to run in it.
    #[error(
        "this runner has no command for the role \"{role}\"; add Process::new(\"{role}\", …) to its types"
    )]
    NoCommand {
        /// The role.
        role: Role,
    },
    /// There are as many agents as there may be.
    #[error(
        "no room for one more agent: max_agents is {most} ({failed} of them have failed); stop one, or raise it"
    )]
    Full {
        /// How many there may be.
        most: u32,
        /// How many of them have failed and keep their place.
        failed: u32,
    },
    /// There are as many agents of this type as there may be.
    #[error(
        "no room for one more agent of type {type_name:?}: at_most is {most}; stop one, or raise it"
    )]
    TypeFull {
        /// The type.
        type_name: String,
        /// How many there may be.
        most: u32,
    },
    /// It was started and did not come up. It is forgotten.
    #[error("agent \"{name}\" did not start{}", LastWords(.last_words.as_deref()))]
    DidNotStart {
        /// The agent.
        name: Arc<str>,
        /// The last line that it wrote to its standard error.
        last_words: Option<String>,
        /// Why.
        #[source]
        source: OperateError,
    },
    /// The system has ended, or the supervisor that the agents live under is going.
    #[error("the supervisor that runs the agents is not there any more")]
    Over,
}

impl SpawnAgentError {
    pub(super) fn refused(refusal: Refusal, type_name: String, failed: u32) -> Self {
        match refusal {
            Refusal::UnknownType { nearest, known } => Self::UnknownType {
                type_name,
                nearest,
                known,
            },
            Refusal::NoCommand { role } => Self::NoCommand { role },
            Refusal::Full { most } => Self::Full { most, failed },
            Refusal::TypeFull { most } => Self::TypeFull { type_name, most },
        }
    }
}

/// Prints what would have been right.
struct Known<'a>(Option<&'a str>, &'a [Arc<str>]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(nearest), _) => write!(f, "; did you mean {nearest:?}?"),
            (None, []) => f.write_str("; this runner has no types"),
            (None, known) => write!(f, "; there are {}", known.join(", ")),
        }
    }
}

/// Prints what an agent said last.
struct LastWords<'a>(Option<&'a str>);

impl fmt::Display for LastWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(words) => write!(f, ", and last said {words:?}"),
            None => Ok(()),
        }
    }
}

/// Why an agent did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// No agent has this id, or it has left its place.
    #[error("no agent has the id {id}")]
    NotFound {
        /// The id.
        id: Uuid,
    },
    /// Its life is over, and no other follows.
    #[error("agent \"{name}\" has {phase}")]
    Ended {
        /// The agent.
        name: Arc<str>,
        /// What it has come to: `completed`, `stopped` or `failed`.
        phase: Phase,
    },
    /// It was not done to the child.
    #[error("agent \"{name}\" did not do it")]
    Operate {
        /// The agent.
        name: Arc<str>,
        /// Why.
        #[source]
        source: OperateError,
    },
    /// It did not get what was written.
    #[error("agent \"{name}\" did not get the message")]
    Stdin {
        /// The agent.
        name: Arc<str>,
        /// Why.
        #[source]
        source: StdinError,
    },
    /// It did not get the signal.
    #[error("agent \"{name}\" did not get the signal")]
    Signal {
        /// The agent.
        name: Arc<str>,
        /// Why.
        #[source]
        source: SignalError,
    },
    /// The system is gone, and the agent with it.
    #[error("the system that runs the agents has ended")]
    Over,
}
