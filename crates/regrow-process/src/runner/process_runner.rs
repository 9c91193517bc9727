//! The runner whose agents are OS processes under supervision.

use std::fmt;
use std::sync::Arc;

use regrow::trace::with_current_context;
use regrow::{OperateError, System};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::agent::Agent;
use super::cell::{Cell, Farewell, Who};
use super::desk::Desk;
use super::status::AgentEnd;
use super::types::{AgentTypes, Catalogue, Spawn};
use super::{AgentError, AgentHandle, AgentRunner, Answer, SpawnAgentError};
use crate::os::Signal;

/// The root of a runner's own system.
const ROOT: &str = "agents";

/// Runs agents as OS processes under supervision.
///
/// [`ProcessRunner::start`] makes a system for them. [`ProcessRunner::below`] runs them below a supervisor of the application's own,
/// where they are children like all others.
///
/// A runner with a system of its own, dropped without [`ProcessRunner::shut_down`], kills its agents: the system goes with it, unless
/// somebody else holds it. One below the application's supervisor leaves them running there; handles still reach them and are not told
/// of changes any more but of the last one, and when the system ends they end.
///
/// ```
/// use regrow_process::{AgentTypes, Process, ProcessRunner};
/// # use std::time::Duration;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = Process::new("echo", "cat").start_window(Duration::ZERO);
/// let runner = ProcessRunner::start(AgentTypes::new().with(echo)).await?;
/// let agent = runner.spawn("echo").await?;
/// agent.write_line("hello").await?;
/// assert_eq!(agent.read_stdout().await.map(|line| line.text()).as_deref(), Some("hello"));
/// assert_eq!(agent.name(), "echo-agent-1");
/// runner.shut_down().await;
/// # Ok(())
/// # }
/// ```
pub struct ProcessRunner {
    system: Arc<System>,
    desk: Arc<Desk>,
    types: Catalogue,
    listener: String,
    owns_system: bool,
}

impl fmt::Debug for ProcessRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRunner")
            .field("supervisor", self.desk.supervisor())
            .finish_non_exhaustive()
    }
}

impl Drop for ProcessRunner {
    fn drop(&mut self) {
        if !self.system.telemetry().detach(&self.listener) {
            tracing::debug!(listener = self.listener, "nobody listened");
        }
    }
}

impl ProcessRunner {
    /// A runner with a system of its own; the agents are at `agents/…`.
    ///
    /// # Errors
    /// When something cannot be a type.
    pub async fn start(types: AgentTypes) -> Result<Self, SpawnAgentError> {
        let system = Arc::new(System::start(types.supervisor(ROOT)).await?);
        let mut runner = Self::with(system, ROOT, types)?;
        runner.owns_system = true;
        Ok(runner)
    }

    /// A runner whose agents live below a supervisor that runs in `system`: [`AgentTypes::supervisor`], put there before. Whoever else
    /// puts children there leaves that much less room.
    ///
    /// # Errors
    /// When something cannot be a type, when there is no such supervisor, and when a runner is there already.
    pub async fn below(
        system: Arc<System>,
        supervisor: &str,
        types: AgentTypes,
    ) -> Result<Self, SpawnAgentError> {
        if system.count_children(supervisor).await.is_err() {
            return Err(SpawnAgentError::NoSupervisor {
                supervisor: supervisor.to_owned(),
            });
        }
        Self::with(system, supervisor, types)
    }

    fn with(
        system: Arc<System>,
        supervisor: &str,
        types: AgentTypes,
    ) -> Result<Self, SpawnAgentError> {
        let (types, roster) = types.enrolled()?;
        let desk = Arc::new(Desk::new(supervisor.into(), roster));
        let listener = format!("runner {supervisor}");
        let listens = Arc::downgrade(&desk);
        let hear = move |event: &_| {
            if let Some(desk) = listens.upgrade() {
                desk.hear(event);
            }
        };
        system
            .telemetry()
            .attach(&listener, hear)
            .map_err(|source| SpawnAgentError::NotHeard {
                supervisor: supervisor.to_owned(),
                source,
            })?;
        Ok(Self {
            system,
            desk,
            types,
            listener,
            owns_system: false,
        })
    }

    /// The system that the agents live in: its registry finds them, its events tell of them.
    #[must_use]
    pub fn system(&self) -> &Arc<System> {
        &self.system
    }

    /// Starts an agent and waits until it is up: until it has lived for its start window. One that does not come up is forgotten.
    ///
    /// Dropped while it waits, the agent is started all the same, and is in the [list](ProcessRunner::list).
    ///
    /// # Errors
    /// When there is no such type, no room for one more, or it does not come up.
    pub async fn spawn(&self, request: impl Into<Spawn>) -> Result<Agent, SpawnAgentError> {
        let request = request.into();
        let type_name = request.type_name.clone();
        let name = self.desk.admit(&type_name)?;
        let (id, path) = (Uuid::new_v4(), format!("{}/{name}", self.desk.supervisor()));
        let Some(mut process) = self.types.agent(&name, id, request) else {
            unreachable!("the roster knows the types of the catalogue");
        };
        let who = Who {
            id,
            name,
            type_name: type_name.into(),
            path: path.as_str().into(),
        };
        let cell = Arc::new(Cell::new(who, &process, &self.system));
        self.desk.enter(Arc::clone(&cell));
        process.template.farewell = Some(Arc::new(Farewell::new(Arc::clone(&cell), &self.desk)));
        let (system, supervisor) = (Arc::clone(&self.system), self.desk.supervisor().clone());
        // On a task of its own: a start that nobody waits for any more is finished, or undone.
        let start = async move {
            let started = system.start_child(supervisor.as_str(), process).await;
            let agent = Agent::new(cell);
            match started {
                Ok(_) => Ok(agent),
                Err(source) => Err(undone(agent, source).await),
            }
        };
        let started = tokio::spawn(with_current_context(start)).await;
        started.unwrap_or(Err(SpawnAgentError::Over))
    }

    /// Those that have a place, in the order in which they were started: running, waiting for a restart, or failed.
    #[must_use]
    pub fn list(&self) -> Vec<Agent> {
        self.desk.agents().into_iter().map(Agent::new).collect()
    }

    /// The agent with this id, if it has a place. Each handle reads from the oldest line that is kept.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<Agent> {
        self.desk.by_id(id).map(Agent::new)
    }

    /// The agent of this name, `coder-agent-3`, if it has a place.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<Agent> {
        self.desk.by_name(name).map(Agent::new)
    }

    /// Sends a signal to an agent. One that it ends by counts as a failure: it is started again by its rules.
    ///
    /// # Errors
    /// When there is no such agent, or no process of it runs.
    pub async fn signal(&self, id: Uuid, signal: Signal) -> Result<(), AgentError> {
        self.known(id)?.signal(signal).await
    }

    /// Ends an agent by force, at once and for good, and waits until nothing of it is left.
    ///
    /// # Errors
    /// When there is no such agent, or the system is ending.
    pub async fn kill(&self, id: Uuid) -> Result<AgentEnd, AgentError> {
        self.known(id)?.kill().await
    }

    /// Stops all agents, all at once and each as its type says, and waits until nothing of them is left. A system of the runner's own
    /// ends with them; below a supervisor of the application's, those that are started meanwhile are not waited for.
    pub async fn shut_down(&self) {
        if self.owns_system {
            drop(self.system.shut_down().await);
            return;
        }
        let mut stops = JoinSet::new();
        for agent in self.list() {
            stops.spawn(async move { agent.stop().await });
        }
        for stopped in stops.join_all().await {
            if let Err(error) = stopped {
                tracing::debug!(%error, "an agent was ended by somebody else");
            }
        }
    }

    fn known(&self, id: Uuid) -> Result<Agent, AgentError> {
        self.get(id).ok_or(AgentError::NotFound { id })
    }
}

/// It did not start: it may be waiting for another try or have failed, and is taken away.
async fn undone(agent: Agent, source: OperateError) -> SpawnAgentError {
    if let Err(error) = agent.kill().await {
        tracing::debug!(agent = agent.name(), %error, "an agent that did not start is gone already");
    }
    if let OperateError::Gone { .. } | OperateError::Closing { .. } = source {
        return SpawnAgentError::Over;
    }
    agent.did_not_start(source)
}

impl AgentRunner for ProcessRunner {
    fn spawn(&self, request: Spawn) -> Answer<'_, Box<dyn AgentHandle>, SpawnAgentError> {
        Box::pin(async move {
            let agent = self.spawn(request).await?;
            Ok(Box::new(agent) as Box<dyn AgentHandle>)
        })
    }

    fn list(&self) -> Vec<Box<dyn AgentHandle>> {
        let agents = self.list().into_iter();
        agents.map(|agent| Box::new(agent) as _).collect()
    }

    fn get(&self, id: Uuid) -> Option<Box<dyn AgentHandle>> {
        self.get(id).map(|agent| Box::new(agent) as _)
    }

    fn signal(&self, id: Uuid, signal: Signal) -> Answer<'_, (), AgentError> {
        Box::pin(self.signal(id, signal))
    }

    fn kill(&self, id: Uuid) -> Answer<'_, AgentEnd, AgentError> {
        Box::pin(self.kill(id))
    }
}
