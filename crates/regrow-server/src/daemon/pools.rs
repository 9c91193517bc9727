//! Pools: as many processes made from one template as there is work for.
//!
//! A pool is a child of the root, and its workers are children of it with numbers as ids: `root/POOL/1`. To everybody else a worker is an
//! agent with the id `POOL-1`. It comes when the pool says so, and is forgotten when it has left the tree. The ports of all workers that there
//! may be are leased before the first start; a worker has one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use regrow::pool::Pool;
use regrow::telemetry::{Event, Payload, Telemetry};
use regrow::{ChildPath, ChildSpec, Restart};
use regrow_process::{Host, Lease, LeaseError, LogFile, Ports};

use super::breakers::Breakers;
use super::child;
use super::roster::{Book, Entry, Known};
use crate::config::{Config, PoolConfig, PortSetting};

/// The name of our handler.
const HANDLER: &str = "pools";

/// What a pool is in the words of metrics.
const POOL: &str = "pool";

/// The pools of one daemon, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pools(Vec<Arc<Site>>);

/// Where the workers of one pool come from.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) config: PoolConfig,
    /// Its place in the order of all agents.
    place: usize,
    host: Host,
    logs: PathBuf,
    ports: Ports,
    /// The ports that no worker has.
    spare: Arc<Mutex<Vec<Lease>>>,
    book: Book,
}

/// A port that a worker has of its pool. Dropped, it is the pool's again, but for one more than the pool is to have.
#[derive(Debug)]
pub(super) struct Berth {
    lease: Lease,
    spare: Option<Arc<Mutex<Vec<Lease>>>>,
}

impl Drop for Berth {
    fn drop(&mut self) {
        if let Some(spare) = &self.spare {
            let mut spare = spare.lock().unwrap_or_else(PoisonError::into_inner);
            spare.push(self.lease.clone());
        }
    }
}

impl Pools {
    /// The pools of a file, with a port for each worker that they may have.
    ///
    /// # Errors
    ///
    /// When there are too few ports.
    pub(super) fn of(
        config: &Config,
        host: &Host,
        logs: &Path,
        ports: &Ports,
        book: &Book,
    ) -> Result<Self, LeaseError> {
        let mut sites = Vec::with_capacity(config.pools.len());
        for (place, pool) in config.pools.iter().enumerate() {
            let mut spare = Vec::new();
            if pool.worker.port == Some(PortSetting::Auto) {
                for number in 1..=pool.rules.scaler.max() {
                    spare.push(ports.lease(&port_of(&pool.id, number))?);
                }
            }
            // Who is taken first stands last.
            spare.reverse();
            sites.push(Arc::new(Site {
                config: pool.clone(),
                place: config.agents.len() + place,
                host: host.clone(),
                logs: logs.to_owned(),
                ports: ports.clone(),
                spare: Arc::new(Mutex::new(spare)),
                book: book.clone(),
            }));
        }
        Ok(Self(sites))
    }

    /// Each pool as a child of the root, which waits for nobody yet.
    pub(super) fn children(
        &self,
        config: &Config,
        breakers: &Breakers,
    ) -> Vec<(PoolConfig, ChildSpec)> {
        let child = |site: &Arc<Site>| {
            let spec = ChildSpec::from(site.pool(breakers))
                .of_type(POOL)
                .restart(Restart::Permanent)
                .backoff(child::backoff(&config.defaults.restart));
            (site.config.clone(), spec)
        };
        self.0.iter().map(child).collect()
    }

    /// From now on workers are known as agents as long as they are in the tree.
    pub(super) fn follow(&self, telemetry: &Telemetry) {
        if self.0.is_empty() {
            return;
        }
        for site in self.all() {
            // Those of earlier runs.
            site.tidy_logs();
        }
        let pools = self.clone();
        let listen = move |event: &Event| pools.hear(event);
        if let Err(error) = telemetry.attach(HANDLER, listen) {
            tracing::warn!(%error, "workers of pools that have gone are shown on");
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all else changes nothing about who is there"
    )]
    fn hear(&self, event: &Event) {
        let is_there = match event.payload {
            Payload::SupervisorChildAdded {} => true,
            Payload::SupervisorChildRemoved {} => false,
            _ => return,
        };
        let path = &event.subject.path;
        let Some(site) = path.parent().and_then(|parent| self.site_at(parent)) else {
            return;
        };
        let id = format!("{}-{}", site.config.id, path.id());
        let mut agents = site.book.write();
        if is_there {
            if let Some(entry) = agents.get_mut(&id) {
                entry.known = Known::Yes;
            }
        } else if let Some(gone) = agents.remove(&id) {
            site.host.retire(&id);
            drop(agents);
            drop(gone);
            site.tidy_logs_aside();
        }
    }

    /// The id of the pool at this path.
    pub(super) fn at(&self, path: &str) -> Option<&str> {
        Some(self.site_at(path)?.config.id.as_str())
    }

    fn site_at(&self, path: &str) -> Option<&Arc<Site>> {
        let id = ChildPath::from(path);
        let site = self.get(id.id())?;
        (child::group_path(&site.config.id) == path).then_some(site)
    }

    /// The pool with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Arc<Site>> {
        self.0.iter().find(|site| site.config.id == id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.0.iter()
    }

    /// How many workers there may be in all pools together.
    pub(super) fn most(&self) -> usize {
        let each = self.0.iter().map(|site| site.config.rules.scaler.max());
        each.map(|max| usize::try_from(max).unwrap_or(usize::MAX))
            .sum()
    }
}

impl Site {
    fn pool(self: &Arc<Self>, breakers: &Breakers) -> Pool<regrow::pool::Given> {
        let rules = &self.config.rules;
        let site = Arc::clone(self);
        let make = move |worker: &regrow::pool::Worker| site.hire(worker.number);
        let mut pool = Pool::of_children(self.config.id.as_str(), make)
            .scaler(|_| rules.scaler.clone())
            // A worker that does not start fails no boot: the gate of the pool tells of it, and tries again.
            .warm(0)
            .overflow(rules.overflow)
            .concurrency(rules.concurrency)
            .dispatch(rules.dispatch)
            .drain_timeout(rules.drain_timeout);
        pool = match rules.overload {
            Some(overload) => pool.overload(overload),
            None => pool.batch(),
        };
        if rules.observe_only {
            pool = pool.observe_only();
        }
        if let Some(queue) = rules.queue {
            pool = pool.queue(queue);
        }
        for (tenant, weight) in &rules.weights {
            pool = pool.weight(tenant.as_str(), *weight);
        }
        if let Some(jobs) = rules.max_jobs {
            pool = pool.max_jobs(jobs);
        }
        if let Some(age) = rules.max_age {
            pool = pool.max_age(age);
        }
        if let Some(bytes) = rules.max_memory {
            pool = pool.max_memory(bytes);
        }
        let breaker = self.config.breaker.as_deref();
        match breaker.and_then(|id| breakers.get(id)) {
            Some(breaker) => pool.behind(breaker),
            None => pool,
        }
    }

    /// The worker with this number, entered as an agent.
    fn hire(&self, number: u32) -> ChildSpec {
        let config = self.config.worker(number);
        let id = config.id.clone();
        let (lease, without) = match self.berth(number) {
            Ok(lease) => (lease, None),
            Err(error) => (None, Some(error)),
        };
        let (lease, berth) = match lease {
            Some(berth) => (Some(berth.lease.clone()), Some(Arc::new(berth))),
            None => (None, None),
        };
        let process = child::process(&config, lease.as_ref(), &self.host, &self.logs);
        let entry = Entry {
            handle: process.handle(),
            socket: child::socket(&config, &self.host).map(Into::into),
            config: Arc::new(config),
            lease,
            _berth: berth,
            before: None,
            gate: None,
            place: (self.place, number),
            known: Known::NotYet,
        };
        self.book.write().insert(id.clone(), entry);
        if let Some(error) = without {
            return without_port(&id, &error);
        }
        // Whoever wants a worker asks the pool.
        ChildSpec::from(process.unpublished())
    }

    /// Removes log files of workers that are gone, but for those of as many as there may be workers: who wrote last is kept.
    fn tidy_logs(&self) {
        let is_there = |id: &str| self.book.read().contains_key(id);
        let mut gone: Vec<(SystemTime, String)> = Vec::new();
        for entry in fs::read_dir(&self.logs).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let id = name.strip_suffix(".log").unwrap_or_default();
            if !self.config.could_have(id) || is_there(id) {
                continue;
            }
            let written = entry.metadata().and_then(|file| file.modified());
            gone.push((written.unwrap_or(SystemTime::UNIX_EPOCH), id.to_owned()));
        }
        gone.sort_unstable_by(|one, other| other.cmp(one));
        let kept = usize::try_from(self.config.rules.scaler.max()).unwrap_or(usize::MAX);
        for (_, id) in gone.into_iter().skip(kept) {
            if let Err(error) = LogFile::of(&self.logs, &id).remove_all() {
                tracing::warn!(agent = id, %error, "log files of a worker that is gone are not removed");
            }
        }
    }

    /// The same on a thread where nobody waits for a disk.
    fn tidy_logs_aside(self: &Arc<Self>) {
        let site = Arc::clone(self);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || site.tidy_logs())),
            Err(_no_runtime) => site.tidy_logs(),
        }
    }

    /// A port for a worker, if it needs one. While others are on their way out there may be more workers than there were ports for.
    fn berth(&self, number: u32) -> Result<Option<Berth>, LeaseError> {
        if self.config.worker.port != Some(PortSetting::Auto) {
            return Ok(None);
        }
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Ok(Some(match spare {
            Some(lease) => Berth {
                lease,
                spare: Some(Arc::clone(&self.spare)),
            },
            None => {
                let more = self.config.rules.scaler.max().saturating_add(number);
                let lease = self.ports.lease(&port_of(&self.config.id, more))?;
                Berth { lease, spare: None }
            }
        }))
    }
}

/// As whose a port of a pool is leased.
fn port_of(pool: &str, number: u32) -> String {
    format!("{pool}/{number}")
}

/// A worker that cannot be started, and says why.
fn without_port(id: &str, error: &LeaseError) -> ChildSpec {
    let why = format!("no port is left for it: {error}");
    ChildSpec::start_with(id, move |_| {
        let why = why.clone();
        async move { Err::<regrow::Started, String>(why) }
    })
}

#[cfg(test)]
mod tests;
