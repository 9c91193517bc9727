//! Why nothing was done with an agent.

use regrow::OperateError;
use regrow_process::{LeaseError, Signal, SignalError, port_variable};

use super::Verb;
use crate::config::ConfigError;

/// How many starts, stops and restarts may be on their way at once.
pub(super) const MAX_OPERATIONS: usize = 256;

/// Why nothing was done with an agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RosterError {
    /// There is no such agent.
    #[error("there is no agent {id:?}")]
    NotFound {
        /// Its id.
        id: String,
    },
    /// The id of a new agent is another's.
    #[error("there is an agent {id:?} already")]
    IdInUse {
        /// The id.
        id: String,
    },
    /// The id of a new agent is that of something else.
    #[error(
        "{id:?} is the id of a group, of a pool or one of its workers, or of the supervisor of the breakers"
    )]
    IdOfAnother {
        /// The id.
        id: String,
    },
    /// There are as many agents as there may be.
    #[error("there are {most} agents, which is the limit (limits.max_agents: {most})")]
    Full {
        /// How many there may be.
        most: usize,
    },
    /// There are as many agents as there may be beside the workers of pools.
    #[error(
        "there may be {most} agents (limits.max_agents: {most}), and {workers} of them are kept for workers of pools"
    )]
    FullOfWorkers {
        /// How many there may be.
        most: usize,
        /// How many of them pools may have.
        workers: usize,
    },
    /// A package was named.
    #[error("agents from packages are not possible yet; send command and args")]
    Packages,
    /// What is said of the new agent is wrong.
    #[error("{}", joined(.errors))]
    Invalid {
        /// Everything that is wrong.
        errors: Vec<ConfigError>,
    },
    /// The port's variable of a new agent would be another's.
    #[error("the ids {id:?} and {other:?} would both be told to others as {}", port_variable(.id))]
    SameVariable {
        /// The new agent.
        id: String,
        /// The one that has it.
        other: String,
    },
    /// There is no port for it.
    #[error("agent {0}")]
    Ports(#[from] LeaseError),
    /// A pool would only start another.
    #[error("{id:?} is a worker of pool {pool:?}, which has as many as it is to have")]
    OfPool {
        /// The worker.
        id: String,
        /// Its pool.
        pool: String,
    },
    /// Too much is going on.
    #[error("{MAX_OPERATIONS} starts and stops are on their way already")]
    Busy,
    /// The daemon is being stopped.
    #[error("regrow is being stopped")]
    Draining,
    /// The signal was not sent.
    #[error("failed to send {signal} to agent {id:?}: {source}")]
    NotSignalled {
        /// The agent.
        id: String,
        /// The signal.
        signal: Signal,
        /// Why it was not.
        source: SignalError,
    },
    /// The supervisor said no.
    #[error("failed to {} agent {id:?}: {source}", .verb.as_str())]
    NotDone {
        /// The agent.
        id: String,
        /// What was to be done.
        verb: Verb,
        /// Why it was not.
        source: OperateError,
    },
}

fn joined(errors: &[ConfigError]) -> String {
    let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
    words.join("; ")
}
