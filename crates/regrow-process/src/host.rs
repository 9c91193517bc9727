//! One run of regrow, as its processes know it: its name, its address, its ports, its records.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use regrow::Telemetry;
use regrow::trace::TraceContext;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use crate::figures::{Sampled, Sampler, TreeProcess};
use crate::handover::{Handover, Listeners};
use crate::os::{self, Groups, Identity, LifeGroup, Marks, Quarry, WhoseRun};
use crate::process::Template;
use crate::record::{self, Record};

/// How long leftovers of a dead run may take to end when asked, before they are killed.
const POLITE: Duration = Duration::from_secs(5);

/// How long the sweep of a whole run may take.
const SWEEP: Duration = Duration::from_secs(2);

/// The pause between two looks at leftovers that were asked to end.
const LOOK: Duration = Duration::from_millis(20);

/// One run of regrow. Every process of a program has the same one; clones are the same run.
///
/// Its name, a random UUID, stands in the environment of everything it starts: that is how regrow
/// knows what is its own, and what it never touches.
#[derive(Debug, Clone)]
#[must_use]
pub struct Host {
    instance: Arc<str>,
    url: Option<Arc<str>>,
    records: Option<Arc<Path>>,
    sampler: Arc<Sampler>,
    groups: Option<Arc<Groups>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ports: RwLock<BTreeMap<String, u16>>,
    tokens: Mutex<HashMap<Token, Holder>>,
    berths: Mutex<Berths>,
    listeners: Arc<Listeners>,
}

/// Per agent, what its present life holds.
type Berths = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// A secret of one life of one agent; it is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The id of the agent.
    pub id: String,
    /// The life that got it; a later one has another token.
    pub generation: u32,
}

/// What an earlier run had left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The pids that were found alive.
    pub found: Vec<u32>,
    /// Those of them, and of their children, that could not be ended.
    pub leaked: Vec<u32>,
    /// Records that could not be read; what they told of may still run.
    pub unreadable: Vec<PathBuf>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A new run with a name of its own, which writes nothing down.
    pub fn new() -> Self {
        let instance: Arc<str> = Uuid::new_v4().to_string().into();
        Self {
            sampler: Arc::new(Sampler::new(Arc::clone(&instance))),
            instance,
            url: None,
            records: None,
            groups: None,
            shared: Arc::default(),
        }
    }

    /// Records each process below this directory, so that [`Host::end_leftovers`] finds it after a crash.
    pub fn state_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.records = Some(directory.as_ref().join("pids").into());
        self
    }

    /// Gives each life a control group of its own, where that is possible (Linux, version 2, [`ControlGroups::Ours`](crate::ControlGroups)):
    /// what an agent leaves behind is then found whatever it has done to its environment, its parents and its process group. Elsewhere nothing
    /// changes.
    ///
    /// A process is put there right after its spawn, which takes the system some 10 ms, in which nobody waits for it. What it has
    /// started by then is not in the group, and is found as without one.
    pub fn control_groups(mut self) -> Self {
        self.groups = Groups::open(&self.instance).map(Arc::new);
        self
    }

    /// Where the control groups of this run are, if it has any.
    pub(crate) fn group_folder(&self) -> Option<&Path> {
        self.groups.as_deref().map(Groups::folder)
    }

    /// A control group for this life, where each has one.
    pub(crate) fn group(&self, id: &str, generation: u32, leader: Identity) -> Option<LifeGroup> {
        let name = format!("{}.{generation}", record::file_name(id));
        self.groups.as_ref()?.enter(&name, leader)
    }

    /// Where an agent has its Unix socket by default: in `sockets` of the state directory, if there is one.
    #[must_use]
    pub fn socket(&self, id: &str) -> Option<PathBuf> {
        let state = self.records.as_deref()?.parent()?;
        let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        Some(state.join("sockets").join(id))
    }

    /// Where agents reach regrow: they get it as `REGROW_URL`, with a `REGROW_TOKEN` of their own.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into().into());
        self
    }

    /// Looks every so often at what all agents of this run use: 5 s, unless given; zero switches it off.
    ///
    /// A look is one walk over all processes of the machine, on a thread of its own. In a build without optimization, on two busy cores,
    /// it took 7 ms for 10 agents and 22 ms for 200, among 330 processes: some 20 µs for each process, and some 80 µs more for each
    /// that belongs to an agent. One second after a spawn there is one at once. Where there is no `/proc`, nothing is
    /// looked at.
    pub fn sample_every(self, period: Duration) -> Self {
        self.sampler.set_period(period);
        self
    }

    /// How often is looked, zero where it is switched off.
    #[must_use]
    pub fn sample_period(&self) -> Duration {
        self.sampler.period()
    }

    /// What the last look at all agents has cost, once there was one.
    #[must_use]
    pub fn sampled(&self) -> Option<Sampled> {
        self.sampler.last()
    }

    /// The processes of the agent `id` as they are now, oldest first, at most 1,024; `None` when none runs.
    ///
    /// This looks at all processes of the machine, and at every page of those that belong to the agent.
    ///
    /// # Errors
    ///
    /// Where the system shows nothing of processes.
    pub async fn tree(&self, id: &str) -> io::Result<Option<Vec<TreeProcess>>> {
        self.sampler.tree(id).await
    }

    pub(crate) fn sampler(&self) -> &Arc<Sampler> {
        &self.sampler
    }

    /// The name of this run: `REGROW_INSTANCE`.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Tells all agents that start from now on the port of one: `REGROW_PORT_<ID>`.
    ///
    /// A [`Process`](crate::Process) with a port does this itself when it becomes a child.
    pub fn publish_port(&self, id: &str, port: u16) {
        let mut ports = self
            .shared
            .ports
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        ports.insert(id.to_owned(), port);
    }

    /// Forgets the agent `id`, which has gone for good: its token is void, and those that start from
    /// now on are not told of its port.
    pub fn retire(&self, id: &str) {
        self.void_tokens(id);
        let mut ports = self
            .shared
            .ports
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        ports.remove(id);
        drop(ports);
        // Whoever holds or awaits a berth has a clone of it, and clones are made under this lock:
        // one that only the map has is as good as a new one. What is held now goes the next time.
        self.berths()
            .retain(|_, berth| Arc::strong_count(berth) > 1);
    }

    /// Closes the listener of the child `path` as soon as it comes to rest.
    pub(crate) fn close_at_rest(&self, telemetry: &Telemetry, path: &str, handover: &Handover) {
        let watcher = format!("regrow-process.listeners.{}", self.instance);
        self.shared
            .listeners
            .close_at_rest(telemetry, &watcher, path, handover);
    }

    /// The agent whose life has this token, while it lives.
    #[must_use]
    pub fn holder(&self, token: &str) -> Option<Holder> {
        // A hash map keyed at random compares at most one candidate: time tells nothing of others.
        self.tokens().get(&Token(token.to_owned())).cloned()
    }

    /// What an agent is told of itself, of regrow, and of the others.
    pub(crate) fn variables(
        &self,
        template: &Template,
        generation: u32,
        trace: &TraceContext,
    ) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let ports = self
            .shared
            .ports
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for (id, port) in ports.iter().filter(|(id, _)| **id != template.id) {
            variables.insert(port_variable(id), port.to_string());
        }
        drop(ports);
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        set("AGENT_ID", &template.id);
        set("AGENT_TYPE", &template.type_);
        set("REGROW_INSTANCE", &self.instance);
        set("REGROW_AGENT_ID", &template.id);
        set("REGROW_GENERATION", &generation.to_string());
        set("TRACEPARENT", &trace.traceparent());
        if let Some(state) = trace.tracestate() {
            set("TRACESTATE", state);
        }
        if let Some(port) = template.port() {
            set("PORT", &port.to_string());
        }
        if let Some(socket) = &template.socket {
            set("REGROW_SOCKET", &socket.to_string_lossy());
        }
        if let Some(url) = &self.url {
            set("REGROW_URL", url);
            set(
                "REGROW_TOKEN",
                &self.issue_token(&template.id, generation).0,
            );
        }
        variables
    }

    /// A new token for this life; those of earlier lives are void.
    fn issue_token(&self, id: &str, generation: u32) -> Token {
        let token = Token(format!(
            "{}{}",
            Uuid::new_v4().simple(),
            Uuid::new_v4().simple()
        ));
        self.void_tokens(id);
        let mut tokens = self.tokens();
        tokens.insert(
            token.clone(),
            Holder {
                id: id.to_owned(),
                generation,
            },
        );
        token
    }

    fn void_tokens(&self, id: &str) {
        self.tokens().retain(|_, holder| holder.id != id);
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<Token, Holder>> {
        self.shared
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no earlier life of `id` runs; `None` when that takes longer than `patience`.
    pub(crate) async fn berth(&self, id: &str, patience: Duration) -> Option<OwnedMutexGuard<()>> {
        let berth = {
            let mut berths = self.berths();
            Arc::clone(berths.entry(id.to_owned()).or_default())
        };
        tokio::time::timeout(patience, berth.lock_owned())
            .await
            .ok()
    }

    fn berths(&self) -> MutexGuard<'_, Berths> {
        self.shared
            .berths
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down who runs as `id`. A full disk is no reason to leave an agent down, so it only warns.
    pub(crate) async fn record(&self, id: &str, generation: u32, leader: Identity) {
        let Some(directory) = self.records.clone() else {
            return;
        };
        let record = Record {
            agent: id.to_owned(),
            generation,
            pid: leader.pid,
            start_time: leader.start_time,
            pgid: leader.pid,
            instance: self.instance.to_string(),
            boot_id: os::boot_id(),
            groups: self.group_folder().map(Path::to_path_buf),
        };
        let written = tokio::task::spawn_blocking(move || record.write(&directory)).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            tracing::warn!(agent = id, %error, "failed to record a process; if regrow is killed now, it stays");
        }
    }

    /// `id` runs no more: nothing is recorded of it, and its token is void.
    pub(crate) async fn forget(&self, id: &str) {
        self.void_tokens(id);
        let Some(directory) = self.records.clone() else {
            return;
        };
        let owned = id.to_owned();
        let removed = tokio::task::spawn_blocking(move || record::remove(&directory, &owned)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            tracing::warn!(agent = id, %error, "failed to remove the record of a process that is gone");
        }
    }

    /// The marks of one life of one agent.
    pub(crate) fn marks(&self, id: &str, generation: u32) -> Marks {
        Marks::Life {
            instance: self.instance.to_string(),
            agent: id.to_owned(),
            generation,
        }
    }

    /// Kills whatever this run started and that still lives; at the end of a program, when its tree is down.
    ///
    /// A subreaper also ends the orphans that it adopted. Returns the pids of what could not be ended within 4 s.
    pub async fn sweep_all(&self) -> Vec<u32> {
        let quarry = Quarry {
            marks: vec![Marks::Run {
                instance: self.instance.to_string(),
            }],
            leaders: Vec::new(),
            noted: Vec::new(),
            groups: self.groups.iter().map(|it| it.folder().into()).collect(),
            not_before: 0,
            run: WhoseRun::Ours,
        };
        let mut left = os::sweep(quarry, Instant::now() + SWEEP).await;
        left.extend(os::sweep_adopted(Instant::now() + SWEEP).await);
        left.sort_unstable();
        left.dedup();
        if let Some(groups) = &self.groups {
            os::remove_groups(groups.folder());
        }
        left
    }

    /// Ends what earlier runs that used this state directory left running, and only that.
    ///
    /// Call it before the first start, and only where no other run uses the directory: whoever is
    /// recorded there is taken to have lost its supervisor. They are asked to end, and killed after 5 s.
    ///
    /// # Errors
    ///
    /// When the directory of records cannot be read.
    pub async fn end_leftovers(state_dir: impl AsRef<Path>) -> io::Result<Leftovers> {
        let directory = state_dir.as_ref().join("pids");
        let read = tokio::task::spawn_blocking(move || record::read_all(&directory)).await;
        let recorded = read.map_err(io::Error::other).flatten()?;
        let mut leftovers = Leftovers {
            unreadable: recorded.unreadable,
            ..Leftovers::default()
        };
        if let Some(quarry) = quarry_of(&recorded.records) {
            leftovers.found = os::pids(&os::ask_all(quarry.clone()).await);
            if !leftovers.found.is_empty() {
                wait_for_end_of(&quarry).await;
                leftovers.leaked = os::sweep(quarry, Instant::now() + SWEEP).await;
            }
        }
        if leftovers.leaked.is_empty() {
            for record in &recorded.records {
                if let Some(groups) = groups_of(record) {
                    os::remove_groups(&groups);
                }
            }
            for file in recorded.files {
                tokio::fs::remove_file(file).await?;
            }
        }
        Ok(leftovers)
    }
}

/// What is left of the runs that wrote `records`; `None` if there is no run to look for.
fn quarry_of(records: &[Record]) -> Option<Quarry> {
    let boot_id = os::boot_id();
    let this_boot = records.iter().filter(|record| record.boot_id == boot_id);
    let mut groups: Vec<PathBuf> = this_boot.clone().filter_map(groups_of).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut runs: Vec<&str> = this_boot.map(|record| record.instance.as_str()).collect();
    runs.sort_unstable();
    runs.dedup();
    let marks = runs.iter().map(|run| Marks::Run {
        instance: (*run).to_owned(),
    });
    (!runs.is_empty()).then(|| Quarry {
        marks: marks.collect(),
        // A leader that is gone says nothing of its group: the number may be a stranger's by now.
        leaders: records.iter().filter_map(Record::living).collect(),
        noted: Vec::new(),
        groups,
        not_before: 0,
        run: WhoseRun::Dead,
    })
}

/// The control groups of the run that wrote it.
fn groups_of(record: &Record) -> Option<PathBuf> {
    os::groups_of(&record.instance, record.groups.as_deref())
}

async fn wait_for_end_of(quarry: &Quarry) {
    let patience = Instant::now() + POLITE;
    while Instant::now() < patience && !os::find(quarry.clone()).await.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
}

/// The name of the variable that tells the others the port of `id`: `REGROW_PORT_<ID>`, upper case, with `-` and `.` as `_`.
///
/// Two ids may have the same one; who lets people choose ids refuses that.
///
/// ```
/// assert_eq!(regrow_process::port_variable("web-2.eu"), "REGROW_PORT_WEB_2_EU");
/// ```
#[must_use]
pub fn port_variable(id: &str) -> String {
    format!("REGROW_PORT_{}", id.to_uppercase().replace(['-', '.'], "_"))
}

#[cfg(test)]
mod tests;
