//! The agents of one daemon: who they are, how they stand, and what can be done with them.

mod ask;
mod breakers;
mod error;
mod family;
mod glance;
mod lookup;
mod operate;
mod standing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use regrow::breaker::Breaker;
use regrow::{ChildInfo, OperateError, System};
use regrow_core::query::Query;
use regrow_process::{
    Host, Lease, LeaseError, LogFile, Output, Ports, Process, ProcessHandle, StdinWriter,
    port_variable,
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

pub(crate) use self::breakers::Order;
pub(crate) use self::error::RosterError;
pub(super) use self::lookup::status;

use self::error::MAX_OPERATIONS;
use self::family::Family;
use super::breakers::Breakers;
use super::{child, tree, view};
use crate::config::{AgentConfig, AgentParts, BREAKERS, Config, ConfigError, PortSetting, Problem};
use crate::gateway::Before;
use crate::wire::{Agent, DaemonPhase, SpawnRequest};

/// What can be done with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Start it, if it is not up.
    Start,
    /// Stop it; it stays so.
    Stop,
    /// Stop it if it is up, then start it.
    Restart,
    /// Hold it where it is.
    Pause,
    /// Let it go on.
    Resume,
}

impl Verb {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// An operation that may begin.
#[derive(Debug)]
pub(crate) struct Permit {
    id: String,
    verb: Verb,
    _place: OwnedSemaphorePermit,
}

/// One agent, as the daemon knows it beside what the tree knows.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) config: Arc<AgentConfig>,
    pub(super) handle: ProcessHandle,
    lease: Option<Lease>,
    pub(super) socket: Option<Arc<Path>>,
    /// What requests to it go through.
    pub(super) before: Option<Before>,
    /// What its starts wait for.
    pub(super) gate: Option<Breaker>,
    /// Its place in the order of the file and of later spawns. No other agent ever has it, not
    /// even a later one of the same id.
    place: usize,
    /// Whether the tree has heard of it.
    known: Known,
}

impl Entry {
    /// Where it listens. A start that finds its port in use by another program moves to another.
    pub(super) fn port(&self) -> Option<u16> {
        self.lease.as_ref().map(Lease::port)
    }
}

/// Whether the tree has heard of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is being added: that it is not in the tree means nothing.
    NotYet,
    /// It was added: when it is not in the tree, it has gone for good.
    Yes,
}

/// The agents of one daemon.
#[derive(Debug)]
pub(crate) struct Roster {
    config: Config,
    host: Host,
    /// The folder of log files.
    logs: PathBuf,
    system: System,
    agents: RwLock<BTreeMap<String, Entry>>,
    next_place: AtomicUsize,
    ports: Ports,
    breakers: Breakers,
    phase: watch::Sender<DaemonPhase>,
    changes: watch::Sender<u64>,
    operations: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    senders: Arc<Semaphore>,
    /// One asks all agents at a time.
    asking: Mutex<()>,
}

/// The agents of a file with their ports, before the system runs.
#[derive(Debug)]
pub(super) struct Cast {
    /// Each agent as a process, in the order of the file.
    pub(super) processes: Vec<Process>,
    /// What calls go through.
    pub(super) breakers: Breakers,
    agents: BTreeMap<String, Entry>,
    ports: Ports,
    /// The folder of log files.
    logs: PathBuf,
}

impl Cast {
    /// Leases every port, those first that the file gives by number, then makes a process of every agent, none
    /// of which is started.
    ///
    /// # Errors
    ///
    /// When there are too few ports, or an agent is given the port of the API.
    pub(super) fn of(
        config: &Config,
        host: &Host,
        logs: PathBuf,
        ports: Ports,
    ) -> Result<Self, LeaseError> {
        let mut leases: BTreeMap<&str, Lease> = BTreeMap::new();
        for agent in &config.agents {
            if let Some(PortSetting::Fixed(port)) = agent.port {
                leases.insert(&agent.id, ports.fix(&agent.id, port)?);
            }
        }
        for agent in &config.agents {
            if agent.port == Some(PortSetting::Auto) {
                leases.insert(&agent.id, ports.lease(&agent.id)?);
            }
        }
        for (id, lease) in &leases {
            host.publish_port(id, lease.port());
        }
        let mut cast = Self {
            processes: Vec::with_capacity(config.agents.len()),
            breakers: Breakers::of(config),
            agents: BTreeMap::new(),
            ports,
            logs,
        };
        for (place, agent) in config.agents.iter().enumerate() {
            let lease = leases.remove(agent.id.as_str());
            let process = child::process(agent, lease.as_ref(), host, &cast.logs);
            let entry = Entry {
                config: Arc::new(agent.clone()),
                handle: process.handle(),
                lease,
                socket: child::socket(agent, host).map(Into::into),
                before: cast.breakers.before(config, agent),
                gate: cast.breakers.gate(agent).cloned(),
                place,
                known: Known::Yes,
            };
            cast.agents.insert(agent.id.clone(), entry);
            cast.processes.push(process);
        }
        Ok(cast)
    }

    /// A view of an agent's process.
    pub(super) fn handle(&self, id: &str) -> Option<ProcessHandle> {
        self.agents.get(id).map(|entry| entry.handle.clone())
    }
}

impl Roster {
    /// How many may follow what agents write at once.
    pub(crate) const MAX_FOLLOWERS: usize = 64;

    /// How many messages may wait for agents to read them at once; each may have 1 MiB.
    pub(crate) const MAX_SENDERS: usize = 64;

    /// The agents of a system that has just been launched.
    pub(super) fn new(
        config: Config,
        host: Host,
        system: System,
        cast: Cast,
        changes: watch::Sender<u64>,
    ) -> Self {
        Self {
            config,
            host,
            logs: cast.logs,
            system,
            next_place: AtomicUsize::new(cast.agents.len()),
            agents: RwLock::new(cast.agents),
            ports: cast.ports,
            breakers: cast.breakers,
            phase: watch::Sender::new(DaemonPhase::Starting),
            changes,
            operations: Arc::new(Semaphore::new(MAX_OPERATIONS)),
            followers: Arc::new(Semaphore::new(Self::MAX_FOLLOWERS)),
            senders: Arc::new(Semaphore::new(Self::MAX_SENDERS)),
            asking: Mutex::default(),
        }
    }

    /// Whether there is such an agent.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.read().contains_key(id)
    }

    /// Every id.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// What an agent writes.
    pub(crate) fn output(&self, id: &str) -> Option<Output> {
        self.read()
            .get(id)
            .map(|entry| entry.handle.output().clone())
    }

    /// The log file of an agent that there is, or was.
    pub(crate) fn log_file(&self, id: &str) -> LogFile {
        LogFile::of(&self.logs, id)
    }

    /// Room for one who follows what agents write, held as long as that goes on.
    pub(crate) fn room_to_follow(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.followers).try_acquire_owned().ok()
    }

    /// Where to write to an agent.
    pub(crate) fn stdin(&self, id: &str) -> Option<StdinWriter> {
        self.read().get(id).map(|entry| entry.handle.stdin())
    }

    /// Room for one message to an agent, held until the agent has read it.
    pub(crate) fn room_to_send(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.senders).try_acquire_owned().ok()
    }

    /// A view of an agent's process.
    pub(super) fn handle(&self, id: &str) -> Option<ProcessHandle> {
        self.read().get(id).map(|entry| entry.handle.clone())
    }

    /// What the daemon is doing.
    pub(crate) fn phase(&self) -> DaemonPhase {
        *self.phase.borrow()
    }

    /// Notes that the boot is over, unless the end has begun.
    pub(super) fn booted(&self) {
        self.phase.send_if_modified(|phase| match phase {
            DaemonPhase::Starting => {
                *phase = DaemonPhase::Running;
                true
            }
            DaemonPhase::Running | DaemonPhase::Draining => false,
        });
    }

    /// Notes that the end has begun.
    pub(crate) fn drain(&self) {
        self.phase.send_replace(DaemonPhase::Draining);
    }

    /// Turns whenever something changes with an agent.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The figures, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        self.system.exporter().render()
    }

    pub(super) fn system(&self) -> &System {
        &self.system
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Every agent, in the order of the file, then of the spawns.
    pub(crate) async fn all(&self) -> Vec<Agent> {
        self.find(&Query::all()).await
    }

    /// Those of which the query holds, in the same order.
    pub(crate) async fn find(&self, query: &Query) -> Vec<Agent> {
        // A system that has ended has nobody left to tell of them: then all are stopped.
        let family = self.family().await.unwrap_or_default();
        let entries: Vec<Entry> = self.read().values().cloned().collect();
        let mut agents: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let info = family.member(&entry.config);
                let last_life = entry.handle.status().generation;
                let asked = lookup::entry(&entry.config, info.as_ref(), last_life);
                let shown = || (entry.place, view::agent(entry, info.as_ref()));
                query.matches(&asked).then(shown)
            })
            .collect();
        agents.sort_by_key(|(place, _)| *place);
        agents.into_iter().map(|(_, agent)| agent).collect()
    }

    /// One agent.
    pub(crate) async fn one(&self, id: &str) -> Option<Agent> {
        let entry = self.read().get(id).cloned()?;
        let info = self.member(&entry.config).await;
        Some(view::agent(&entry, info.as_ref()))
    }

    /// What the tree tells of an agent, or of its group where that is down.
    async fn member(&self, agent: &AgentConfig) -> Option<ChildInfo> {
        match self.system.which_child(&child::path(agent)).await {
            Ok(info) => Some(info),
            Err(_) => self
                .group_that_is_down(agent)
                .await
                .map(|group| family::with_its_group(agent, group)),
        }
    }

    /// The group of an agent, if there is one and its supervisor is not there.
    async fn group_that_is_down(&self, agent: &AgentConfig) -> Option<ChildInfo> {
        let path = child::group_path(agent.group.as_deref()?);
        if self.system.which_children(&path).await.is_ok() {
            return None;
        }
        self.system.which_child(&path).await.ok()
    }

    /// Starts a new agent, which lives as long as the daemon.
    ///
    /// # Errors
    ///
    /// When the request is wrong, there is no room, or the supervisor refuses.
    pub(crate) async fn spawn(&self, request: &SpawnRequest) -> Result<Agent, RosterError> {
        if request.package_id.is_some() || request.package_path.is_some() {
            return Err(RosterError::Packages);
        }
        let parts = AgentParts {
            id: &request.agent_id,
            command: request.command.as_deref(),
            args: &request.args,
            type_name: request.type_name.as_deref(),
            group: self.group_asked_for(request)?,
            tags: &request.tags,
            env: &request.env_vars,
        };
        let config = AgentConfig::from_parts(parts, &self.config.defaults, &self.config.folder)
            .map_err(|errors| RosterError::Invalid { errors })?;
        // What those that have gone still hold is free for the new one.
        drop(self.family().await);
        let supervisor = child::supervisor(&config);
        let before = tree::before(&self.config, &config);
        let (mut process, place) = self.enter(config)?;
        if let Some(before) = before {
            process = process.waits_for(before, regrow::Condition::Started);
        }
        let id = request.agent_id.clone();
        match self.system.start_child(&supervisor, process).await {
            Ok(info) => {
                let entry = self.confirm(&id);
                let entry = entry.ok_or(RosterError::NotFound { id })?;
                Ok(view::agent(&entry, Some(&info)))
            }
            // It is there, and will be tried again.
            Err(OperateError::DidNotStart {
                next_start_at: Some(_),
                ..
            }) => {
                drop(self.confirm(&id));
                let agent = self.one(&id).await;
                agent.ok_or(RosterError::NotFound { id })
            }
            Err(source) => {
                self.take_back(&format!("{supervisor}/{id}"), &id, place)
                    .await;
                let verb = Verb::Start;
                Err(RosterError::NotDone { id, verb, source })
            }
        }
    }

    /// Forgets an agent that could not be spawned, so that its id is free for a better try.
    async fn take_back(&self, path: &str, id: &str, place: usize) {
        match self.system.delete_child(path).await {
            Ok(_) | Err(OperateError::NotFound { .. }) => self.leave(id, place),
            Err(error) => {
                // It is there: somebody else has stopped it, or does something with it, while it started.
                tracing::debug!(agent = id, %error, "not taken back");
                drop(self.confirm(id));
            }
        }
    }

    /// Takes a new agent in, with a port, if there is room.
    fn enter(&self, config: AgentConfig) -> Result<(Process, usize), RosterError> {
        if self.phase() == DaemonPhase::Draining {
            return Err(RosterError::Draining);
        }
        let id = config.id.clone();
        let mut agents = self.write();
        if agents.contains_key(&id) {
            return Err(RosterError::IdInUse { id });
        }
        if self.is_taken_beside(&config) {
            return Err(RosterError::IdOfAnother { id });
        }
        if agents.len() >= self.config.max_agents {
            let most = self.config.max_agents;
            return Err(RosterError::Full { most });
        }
        let variable = port_variable(&id);
        if let Some(other) = agents.keys().find(|other| port_variable(other) == variable) {
            let other = other.clone();
            return Err(RosterError::SameVariable { id, other });
        }
        let lease = match config.port {
            None | Some(PortSetting::Socket) => None,
            Some(PortSetting::Auto) => Some(self.ports.lease(&id)?),
            Some(PortSetting::Fixed(port)) => Some(self.ports.fix(&id, port)?),
        };
        if let Some(lease) = &lease {
            self.host.publish_port(&id, lease.port());
        }
        let process = child::process(&config, lease.as_ref(), &self.host, &self.logs);
        let socket = child::socket(&config, &self.host).map(Into::into);
        let place = self.next_place.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            config: Arc::new(config),
            handle: process.handle(),
            lease,
            socket,
            before: None,
            gate: None,
            place,
            known: Known::NotYet,
        };
        agents.insert(id, entry);
        Ok((process, place))
    }

    /// Whether what is no agent has this id, and the same supervisor.
    fn is_taken_beside(&self, agent: &AgentConfig) -> bool {
        let mut groups = self.config.groups.iter();
        let is_group = groups.any(|group| group.id == agent.id);
        let is_breakers = agent.id == BREAKERS && !self.breakers.is_empty();
        agent.group.is_none() && (is_group || is_breakers)
    }

    fn confirm(&self, id: &str) -> Option<Entry> {
        let mut agents = self.write();
        let entry = agents.get_mut(id)?;
        entry.known = Known::Yes;
        Some(entry.clone())
    }

    /// Forgets the agent that has this id and this place; not a later one of the same id.
    fn leave(&self, id: &str, place: usize) {
        let mut agents = self.write();
        if agents.get(id).is_none_or(|entry| entry.place != place) {
            return;
        }
        agents.remove(id);
        // Under the lock, so that nothing is taken from an agent that gets the id next. Its port goes with the last that has its lease.
        self.host.retire(id);
    }

    /// Those that the tree has heard of. Asked before the tree is: one that is added meanwhile is
    /// not taken for one that has gone.
    fn known(&self) -> Vec<(String, usize)> {
        self.read()
            .iter()
            .filter(|(_, entry)| entry.known == Known::Yes)
            .map(|(id, entry)| (id.clone(), entry.place))
            .collect()
    }

    /// Those that are in the tree, if there still is one. Others that were are forgotten.
    async fn family(&self) -> Option<Family> {
        let known = self.known();
        let family = Family::of(&self.system, &self.config.groups).await?;
        self.forget_the_gone(known, &family);
        Some(family)
    }

    /// The group that a new agent is to be in.
    fn group_asked_for<'r>(
        &self,
        request: &'r SpawnRequest,
    ) -> Result<Option<&'r str>, RosterError> {
        let Some(group) = request.group.as_deref() else {
            return Ok(None);
        };
        if self.config.groups.iter().any(|known| known.id == group) {
            return Ok(Some(group));
        }
        let problem = Problem::Unexpected {
            expected: "the id of a group of the config file".to_owned(),
            got: format!("{group:?}"),
            hint: None,
        };
        let error = ConfigError {
            place: None,
            key: "group".to_owned(),
            problem,
        };
        Err(RosterError::Invalid {
            errors: vec![error],
        })
    }

    /// A temporary agent's place in the tree goes with it; so does what is kept of it here.
    fn forget_the_gone(&self, known: Vec<(String, usize)>, family: &Family) {
        for (id, place) in known {
            let entry = self.read().get(&id).cloned();
            if entry.is_some_and(|entry| entry.place == place && family.has_lost(&entry.config)) {
                self.leave(&id, place);
            }
        }
    }

    /// Whether this is the path of that agent.
    pub(super) fn is_at(&self, id: &str, path: &str) -> bool {
        let agents = self.read();
        let entry = agents.get(id);
        entry.is_some_and(|entry| child::path(&entry.config) == path)
    }

    /// Whether this is the path of that group.
    pub(super) fn is_group(&self, id: &str, path: &str) -> bool {
        let mut groups = self.config.groups.iter();
        groups.any(|group| group.id == id) && child::group_path(id) == path
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.agents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.agents.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
