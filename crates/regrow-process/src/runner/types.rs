//! Types of agents: what every agent of a type is made from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regrow::DynamicSupervisor;
use regrow_core::agents::{MAX_AGENTS, Role, Roster};
use regrow_core::{Backoff, FirstRestart, GiveUp, Restart, RestartIntensity};
use serde_json::Value;
use uuid::Uuid;

use super::SpawnAgentError;
use crate::host::Host;
use crate::ports::Lease;
use crate::process::Process;
use crate::stdio::Output;

/// One that lived so long is started again at once.
const AT_ONCE_AFTER: Duration = Duration::from_secs(10);

/// A type of agents: a process as a template, and how many of it there may be.
///
/// What the process does not say is as with agents of the program `regrow`, not as with other children: transient, a growing backoff
/// from one second on, and after 5 restarts in 60 s it is parked. A port belongs to one agent, so it is given with [`Spawn::port`]. A type that is called like a [`Role`] has what belongs to that role.
#[derive(Debug, Clone)]
#[must_use]
pub struct AgentType {
    process: Process,
    most: Option<u32>,
}

impl From<Process> for AgentType {
    /// The id of the process is the name of the type.
    fn from(process: Process) -> Self {
        let role: Option<Role> = process.template.id.parse().ok();
        let mut process = usual(process);
        if let Some(role) = role {
            process = in_role(process, role);
        }
        Self {
            process,
            most: None,
        }
    }
}

impl AgentType {
    /// A type of another name in a role: with its tag `role=…`, the capability that goes with it, and for a role that comes to its end
    /// [`Process::once`].
    pub fn of(role: Role, process: Process) -> Self {
        Self {
            process: in_role(usual(process), role),
            most: None,
        }
    }

    /// How many of this type there may be at once, beside the limit for all.
    pub fn at_most(mut self, most: u32) -> Self {
        self.most = Some(most);
        self
    }

    /// The name of the type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.process.template.id
    }

    /// The process of one agent, called `name`.
    pub(super) fn agent(&self, name: &str, id: Uuid, host: &Host, request: Spawn) -> Process {
        let mut process = self.process.clone();
        // Clones of a process show the same output, and this is another agent.
        let output = Output::new(process.template.handle.output().limits());
        process = process
            .output(output)
            .of_type(self.name())
            .host(host.clone())
            .meta("uuid", id.to_string());
        name.clone_into(&mut process.template.id);
        request.applied_to(process)
    }
}

/// The process with the program's defaults where it says nothing.
fn usual(mut process: Process) -> Process {
    let terms = &mut process.terms;
    terms.restart.get_or_insert(Restart::Transient);
    terms.give_up.get_or_insert(GiveUp::Park);
    terms
        .limit
        .get_or_insert_with(|| RestartIntensity::new(5, Duration::from_secs(60)));
    terms.backoff.get_or_insert_with(|| {
        Backoff::exponential(Duration::from_secs(1)..=Duration::from_secs(60))
            .jitter(0.2)
            .first(FirstRestart::AtOnceAfter(AT_ONCE_AFTER))
    });
    process
}

fn in_role(process: Process, role: Role) -> Process {
    let process = process
        .tags([format!("role={role}")])
        .capabilities([role.capability()]);
    if role.once() { process.once() } else { process }
}

/// The types of agents that a runner has, and how many agents there may be: 100, unless given.
///
/// ```
/// use regrow_process::{AgentType, AgentTypes, Process, Role};
///
/// let types = AgentTypes::new()
///     .with(Process::new("worker", "python3").arg("worker.py"))
///     .with(AgentType::of(Role::Worker, Process::new("coder", "./coder")).at_most(3))
///     .max_agents(20);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct AgentTypes {
    types: Vec<AgentType>,
    max_agents: u32,
    host: Host,
}

impl Default for AgentTypes {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentTypes {
    /// No type yet.
    pub fn new() -> Self {
        Self {
            types: Vec::new(),
            max_agents: MAX_AGENTS,
            host: Host::new(),
        }
    }

    /// One more type.
    pub fn with(mut self, agent_type: impl Into<AgentType>) -> Self {
        self.types.push(agent_type.into());
        self
    }

    /// How many agents there may be at once, those included that wait for a restart or have failed. One more is refused with the
    /// number.
    pub fn max_agents(mut self, most: u32) -> Self {
        self.max_agents = most;
        self
    }

    /// The run of regrow that the agents belong to, where the application has other processes: they find each other's ports, and
    /// are cleared away together. It counts for all types.
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// The supervisor that such agents live under, for a tree of one's own: it goes on whatever its agents do, and takes no more of
    /// them than there may be.
    pub fn supervisor(&self, id: impl Into<Arc<str>>) -> DynamicSupervisor {
        DynamicSupervisor::new(id)
            .no_intensity_limit()
            .max_children(self.max_agents)
    }

    /// The types by name, and a roster for them.
    pub(super) fn enrolled(self) -> Result<(Catalogue, Roster), SpawnAgentError> {
        let mut roster = Roster::new(self.max_agents);
        let mut types = BTreeMap::new();
        for agent_type in self.types {
            let name = agent_type.name().to_owned();
            if let Err(reason) = roster.add_type(&name, agent_type.most) {
                return Err(SpawnAgentError::InvalidType { name, reason });
            }
            types.insert(name, agent_type);
        }
        let host = self.host;
        Ok((Catalogue { types, host }, roster))
    }
}

/// The types by name.
#[derive(Debug)]
pub(super) struct Catalogue {
    types: BTreeMap<String, AgentType>,
    host: Host,
}

impl Catalogue {
    /// The process of an agent of the type that is asked for, if there is such a type.
    pub(super) fn agent(&self, name: &str, id: Uuid, request: Spawn) -> Option<Process> {
        let agent_type = self.types.get(&request.type_name)?;
        Some(agent_type.agent(name, id, &self.host, request))
    }
}

/// An agent that is wanted: of which type, and what it has beside that.
#[derive(Debug, Clone)]
#[must_use]
pub struct Spawn {
    pub(super) type_name: String,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    tags: Vec<String>,
    metadata: Vec<(String, Value)>,
    cwd: Option<PathBuf>,
    port: Option<u16>,
    lease: Option<Lease>,
}

impl From<&str> for Spawn {
    fn from(type_name: &str) -> Self {
        Self::of(type_name)
    }
}

impl Spawn {
    /// An agent of this type.
    pub fn of(type_name: impl Into<String>) -> Self {
        Self {
            type_name: type_name.into(),
            args: Vec::new(),
            env: Vec::new(),
            tags: Vec::new(),
            metadata: Vec::new(),
            cwd: None,
            port: None,
            lease: None,
        }
    }

    /// The type that is wanted.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// One more argument, after those of the type.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more variable of its environment, in place of one of the same name.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// One more word to find it by.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// One more thing that is told of it.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Its working directory.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// The port that it is to listen on. Nobody looks whether it is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The port that it is to listen on, [leased](Process::lease).
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    fn applied_to(self, process: Process) -> Process {
        let mut process = process.args(self.args).tags(self.tags);
        for (name, value) in self.env {
            process = process.env(name, value);
        }
        for (key, value) in self.metadata {
            process = process.meta(key, value);
        }
        if let Some(directory) = self.cwd {
            process = process.cwd(directory);
        }
        match (self.lease, self.port) {
            (Some(lease), _) => process.lease(lease),
            (None, Some(port)) => process.port(port),
            (None, None) => process,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProcessHandle, Stream};

    fn agent(agent_type: impl Into<AgentType>) -> Process {
        let (host, request) = (Host::new(), Spawn::of("x"));
        let agent_type: AgentType = agent_type.into();
        agent_type.agent("x-agent-1", Uuid::nil(), &host, request)
    }

    #[test]
    fn what_a_type_does_not_say_is_as_in_the_program_and_what_it_says_stays() {
        let usual = agent(Process::new("x", "cat")).terms;
        assert_eq!(usual.restart, Some(Restart::Transient));
        assert_eq!(usual.give_up, Some(GiveUp::Park));
        let (five, minute) = (5, Duration::from_secs(60));
        assert_eq!(usual.limit, Some(RestartIntensity::new(five, minute)));
        let said = Process::new("x", "cat")
            .restart(Restart::Permanent)
            .backoff(Backoff::none());
        let said = agent(said).terms;
        assert_eq!(said.restart, Some(Restart::Permanent));
        assert_eq!(said.backoff, Some(Backoff::none()));
    }

    #[test]
    fn a_type_called_like_a_role_has_what_belongs_to_it_and_others_where_they_say_so() {
        for role in Role::ALL.iter().copied() {
            let by_name = agent(Process::new(role.as_str(), "cat")).terms;
            let said = agent(AgentType::of(role, Process::new("x", "cat"))).terms;
            for terms in [by_name, said] {
                assert_eq!(terms.tags, [format!("role={role}")]);
                assert_eq!(terms.capabilities, [role.capability()]);
                assert_eq!(terms.once, role.once());
            }
        }
        assert!(agent(Process::new("x", "cat")).terms.tags.is_empty());
    }

    #[tokio::test]
    async fn each_agent_has_an_output_of_its_own_with_the_limits_of_its_type() {
        let agent_type = Process::new("x", "cat").output(Output::bounded(7, 70));
        let (first, second) = (agent(agent_type.clone()), agent(agent_type));
        let (first, second) = (first.handle(), second.handle());
        first.output().read(&b"a\n"[..], Stream::Stdout, 1).await;
        let lines = |handle: &ProcessHandle| handle.output().tail(9).len();
        assert_eq!((lines(&first), lines(&second)), (1, 0));
        let limits = Output::bounded(7, 70).limits();
        assert_eq!(
            (first.output().limits(), second.output().limits()),
            (limits, limits)
        );
    }
}
