//! Agents for programs: started by type, found, talked to and ended, without the server.
//!
//! A [`ProcessRunner`] knows [`AgentTypes`] and starts agents of them: `coder-agent-1`, `coder-agent-2`, each an OS process, a handle
//! to it an [`Agent`]. Its agents are children like any others, of a supervisor of their own or below one of the application's: with
//! the same paths, restarts, events, metrics and entries in the registry.
//!
//! Whoever uses agents and does not start them takes an [`AgentRunner`], and is tested with another.

use std::fmt;
use std::pin::Pin;

use regrow::ExitReason;
use uuid::Uuid;

use crate::os::Signal;

mod agent;
mod cell;
mod desk;
mod error;
mod process_runner;
mod reader;
mod status;
mod types;

pub use agent::Agent;
pub(crate) use cell::Farewell;
pub use error::{AgentError, SpawnAgentError};
pub use process_runner::ProcessRunner;
pub use reader::{LineReader, ReadLine};
pub use status::{AgentEnd, AgentStatus};
pub use types::{AgentType, AgentTypes, Spawn};

/// What comes some time later. Boxed, so that a runner can be a `dyn AgentRunner`; beside a process that costs nothing.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a runner or an agent answers, some time later.
pub type Answer<'a, T, E> = Later<'a, Result<T, E>>;

/// Starts agents, and knows those that it has started.
///
/// It says what an application needs, and nothing of how it is done: [`ProcessRunner`] runs processes under supervision; a test brings
/// one of its own that answers from memory.
///
/// ```
/// use regrow_process::{AgentHandle, AgentRunner, SpawnAgentError, Spawn};
///
/// /// An application's own code: it does not know what runs its agents.
/// async fn team(runner: &dyn AgentRunner) -> Result<Vec<Box<dyn AgentHandle>>, SpawnAgentError> {
///     Ok(vec![runner.spawn(Spawn::of("coder")).await?, runner.spawn(Spawn::of("review")).await?])
/// }
/// ```
pub trait AgentRunner: fmt::Debug + Send + Sync {
    /// Starts an agent and waits until it is up. One that does not come up is forgotten.
    fn spawn(&self, request: Spawn) -> Answer<'_, Box<dyn AgentHandle>, SpawnAgentError>;

    /// Those that have a place, in the order in which they were started: running, waiting for a restart, or failed.
    fn list(&self) -> Vec<Box<dyn AgentHandle>>;

    /// The agent with this id, if it has a place. Each handle reads from the oldest line that is kept.
    fn get(&self, id: Uuid) -> Option<Box<dyn AgentHandle>>;

    /// Sends a signal to an agent. One that it ends by counts as a failure: it is started again by its rules.
    fn signal(&self, id: Uuid, signal: Signal) -> Answer<'_, (), AgentError>;

    /// Ends an agent by force, at once and for good, and waits until nothing of it is left.
    fn kill(&self, id: Uuid) -> Answer<'_, AgentEnd, AgentError>;
}

/// One agent, over all its lives. Dropped, it does nothing to the agent.
pub trait AgentHandle: fmt::Debug + Send + Sync {
    /// Who it is: the same in all its lives, and nobody else's.
    fn id(&self) -> Uuid;

    /// What it is called: its type and a number.
    fn name(&self) -> &str;

    /// What it is.
    fn type_name(&self) -> &str;

    /// How it is now.
    fn status(&self) -> AgentStatus;

    /// Writes to its standard input, whole, as soon as it reads; answers which life got it.
    fn write_stdin(&self, bytes: Vec<u8>) -> Answer<'_, u32, AgentError>;

    /// The next line of its standard output that this handle has not read; waits for it. `None` when it has ended for good and
    /// everything is read.
    fn read_stdout(&self) -> Later<'_, Option<ReadLine>>;

    /// The next line of its standard error, likewise.
    fn read_stderr(&self) -> Later<'_, Option<ReadLine>>;

    /// Waits until it has ended and is not started again.
    fn wait(&self) -> Later<'_, AgentEnd>;

    /// The code with which its last process exited; `None` while none has, and after a signal.
    fn exit_code(&self) -> Option<i32>;

    /// Sends a signal to it and what it has started. One that it ends by counts as a failure: it is started again by its rules.
    fn signal(&self, signal: Signal) -> Answer<'_, (), AgentError>;

    /// Holds it where it is, and waits until it is held. Its time stands still.
    fn pause(&self) -> Answer<'_, (), AgentError>;

    /// Lets it go on.
    fn resume(&self) -> Answer<'_, (), AgentError>;

    /// Stops it, starts it and waits until it is up. One that has failed gets another chance.
    fn restart(&self) -> Answer<'_, (), AgentError>;

    /// Asks it to stop, step by step and by force in the end; waits until nothing of it is left. Its place goes.
    fn stop(&self) -> Answer<'_, AgentEnd, AgentError>;

    /// The same by force, at once.
    fn kill(&self) -> Answer<'_, AgentEnd, AgentError>;
}

/// The code in an end, if there is one.
pub(crate) fn code_of(exit: Option<&ExitReason>) -> Option<i32> {
    match exit {
        Some(ExitReason::Exit(code)) => Some(*code),
        Some(_) | None => None,
    }
}
