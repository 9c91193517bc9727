//! The agents of a file, before anything runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use regrow_process::{Host, Lease, LeaseError, Ports, Process, ProcessHandle};

use super::{Book, Entry, Known};
use crate::config::{Config, PortSetting};
use crate::daemon::breakers::Breakers;
use crate::daemon::child;
use crate::daemon::pools::Pools;

/// The agents of a file with their ports, before the system runs.
#[derive(Debug)]
pub(in crate::daemon) struct Cast {
    /// Each agent as a process, in the order of the file.
    pub(in crate::daemon) processes: Vec<Process>,
    /// What calls go through.
    pub(in crate::daemon) breakers: Breakers,
    pub(super) agents: Book,
    pub(super) ports: Ports,
    /// The folder of log files.
    pub(super) logs: PathBuf,
    /// The pools, whose workers come when the system runs.
    pub(in crate::daemon) pools: Pools,
}

impl Cast {
    /// Leases every port, those first that the file gives by number, then makes a process of every agent, none
    /// of which is started.
    ///
    /// # Errors
    ///
    /// When there are too few ports, or an agent is given the port of the API.
    pub(in crate::daemon) fn of(
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
        let agents = Book::default();
        let mut cast = Self {
            processes: Vec::with_capacity(config.agents.len()),
            breakers: Breakers::of(config),
            pools: Pools::of(config, host, &logs, &ports, &agents)?,
            agents,
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
                _berth: None,
                socket: child::socket(agent, host).map(Into::into),
                before: cast.breakers.before(config, agent),
                gate: cast.breakers.gate(agent).cloned(),
                place: (place, 0),
                known: Known::Yes,
            };
            cast.agents.write().insert(agent.id.clone(), entry);
            cast.processes.push(process);
        }
        Ok(cast)
    }

    /// A view of an agent's process.
    pub(in crate::daemon) fn handle(&self, id: &str) -> Option<ProcessHandle> {
        self.agents.read().get(id).map(|entry| entry.handle.clone())
    }
}
