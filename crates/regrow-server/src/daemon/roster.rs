//! The agents of one daemon: who they are, how they stand, and what can be done with them.

mod ask;
mod breakers;
mod cast;
mod error;
mod family;
mod glance;
mod lookup;
mod operate;
mod pools;
mod standing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use regrow::breaker::Breaker;
use regrow::{ChildInfo, ChildPath, OperateError, System};
use regrow_core::query::Query;
use regrow_process::{
    Host, Lease, LogFile, Output, Ports, Process, ProcessHandle, StdinWriter, port_variable,
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

pub(crate) use self::breakers::Order;
pub(super) use self::cast::Cast;
pub(crate) use self::error::RosterError;
pub(super) use self::lookup::status;
pub(crate) use self::pools::ScaleError;

use self::error::MAX_OPERATIONS;
use self::family::Family;
use super::breakers::Breakers;
use super::pools::{Berth, Pools};
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
    pub(super) lease: Option<Lease>,
    /// Its port is one of its pool's, which gets it back.
    pub(super) _berth: Option<Arc<Berth>>,
    pub(super) socket: Option<Arc<Path>>,
    /// What requests to it go through.
    pub(super) before: Option<Before>,
    /// What its starts wait for.
    pub(super) gate: Option<Breaker>,
    /// Its place in the order of the file and of later spawns. No other agent ever has it, not
    /// even a later one of the same id.
    pub(super) place: Place,
    /// Whether the tree has heard of it.
    pub(super) known: Known,
}

impl Entry {
    /// Where it listens. A start that finds its port in use by another program moves to another.
    pub(super) fn port(&self) -> Option<u16> {
        self.lease.as_ref().map(Lease::port)
    }
}

/// The place of an agent in an order; workers of one pool have one of these, and their number.
pub(super) type Place = (usize, u32);

/// Whether the tree has heard of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is being added: that it is not in the tree means nothing.
    NotYet,
    /// It was added: when it is not in the tree, it has gone for good.
    Yes,
}

/// The agents by their ids. Clones are the same book.
#[derive(Debug, Clone, Default)]
pub(super) struct Book(Arc<RwLock<BTreeMap<String, Entry>>>);

impl Book {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agents of one daemon.
#[derive(Debug)]
pub(crate) struct Roster {
    config: Config,
    host: Host,
    /// The folder of log files.
    logs: PathBuf,
    system: System,
    agents: Book,
    next_place: AtomicUsize,
    ports: Ports,
    breakers: Breakers,
    pools: Pools,
    phase: watch::Sender<DaemonPhase>,
    changes: watch::Sender<u64>,
    operations: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    senders: Arc<Semaphore>,
    /// One asks all agents at a time.
    asking: Mutex<()>,
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
        // Workers have places already, behind those of the file.
        let next_place = config.agents.len() + config.pools.len();
        Self {
            config,
            host,
            logs: cast.logs,
            system,
            next_place: AtomicUsize::new(next_place),
            agents: cast.agents,
            ports: cast.ports,
            breakers: cast.breakers,
            pools: cast.pools,
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
        let path = child::group_path(agent.above()?);
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
    async fn take_back(&self, path: &str, id: &str, place: Place) {
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
    fn enter(&self, config: AgentConfig) -> Result<(Process, Place), RosterError> {
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
        let own = agents
            .values()
            .filter(|entry| entry.config.worker.is_none());
        let most = self.config.max_agents;
        if own.count() + self.pools.most() >= most {
            return Err(match self.pools.most() {
                0 => RosterError::Full { most },
                workers => RosterError::FullOfWorkers { most, workers },
            });
        }
        // Nobody is told the port of a worker.
        let variable = port_variable(&id);
        let told = agents
            .iter()
            .filter(|(_, entry)| entry.config.worker.is_none());
        let mut told = told.map(|(other, _)| other);
        if let Some(other) = told.find(|other| port_variable(other) == variable) {
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
        let place = (self.next_place.fetch_add(1, Ordering::Relaxed), 0);
        let entry = Entry {
            config: Arc::new(config),
            handle: process.handle(),
            lease,
            _berth: None,
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
        let mut pools = self.config.pools.iter();
        let is_of_pool = pools.any(|pool| pool.id == agent.id || pool.could_have(&agent.id));
        is_of_pool || (agent.group.is_none() && (is_group || is_breakers))
    }

    fn confirm(&self, id: &str) -> Option<Entry> {
        let mut agents = self.write();
        let entry = agents.get_mut(id)?;
        entry.known = Known::Yes;
        Some(entry.clone())
    }

    /// Forgets the agent that has this id and this place; not a later one of the same id.
    fn leave(&self, id: &str, place: Place) {
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
    fn known(&self) -> Vec<(String, Place)> {
        self.read()
            .iter()
            .filter(|(_, entry)| entry.known == Known::Yes)
            .map(|(id, entry)| (id.clone(), entry.place))
            .collect()
    }

    /// Those that are in the tree, if there still is one. Others that were are forgotten.
    async fn family(&self) -> Option<Family> {
        let known = self.known();
        let family = Family::of(&self.system, &self.config).await?;
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
    fn forget_the_gone(&self, known: Vec<(String, Place)>, family: &Family) {
        for (id, place) in known {
            let entry = self.read().get(&id).cloned();
            if entry.is_some_and(|entry| entry.place == place && family.has_lost(&entry.config)) {
                self.leave(&id, place);
            }
        }
    }

    /// The agent that is at this path.
    pub(super) fn agent_at(&self, path: &ChildPath) -> Option<String> {
        if let Some(pool) = path.parent().and_then(|parent| self.pools.at(parent)) {
            // One that has gone since is told of to its end. Beside the workers a pool has a manager and a gate.
            let number = path.id().parse::<u32>().ok()?;
            return Some(format!("{pool}-{number}"));
        }
        let id = path.id().to_owned();
        let agents = self.read();
        let is_at = agents.get(&id).map(|entry| child::path(&entry.config));
        (is_at.as_deref() == Some(path.as_str())).then_some(id)
    }

    /// The pool at this path.
    pub(super) fn pool_at(&self, path: &str) -> Option<&str> {
        self.pools.at(path)
    }

    /// The pool whose gate of all starts is at this path.
    pub(super) fn starts_of(&self, path: &ChildPath) -> Option<&str> {
        (path.id() == "starts").then(|| self.pools.at(path.parent()?))?
    }

    /// Whether this is the path of that group.
    pub(super) fn is_group(&self, id: &str, path: &str) -> bool {
        let mut groups = self.config.groups.iter();
        groups.any(|group| group.id == id) && child::group_path(id) == path
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.agents.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.agents.write()
    }
}

#[cfg(test)]
mod tests;
