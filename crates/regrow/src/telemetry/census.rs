//! How many children are in which phase, now: state gauges are computed from this when somebody looks.
//!
//! Each supervisor counts its own children, in cells that die with it. So nothing drifts when a supervisor is killed, and reading
//! costs O(supervisors × types), not O(children).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use regrow_core::circuit::CircuitState;
use regrow_core::{ChildKind, Health, Phase};

use super::catalogue::{MetricKind, MetricSchema};
use super::metrics::Metered;
use super::roll::Roll;
use super::vitals::TypeStats;
use super::whole::WholeBook;
use super::{FiguresBook, PortTables, ProbesBook, Workforce};
use crate::breaker::Breakers;
use crate::path::ChildPath;
use crate::pool::Pools;
use crate::registry::Shared;

mod pools;

/// How many children of one kind and type a supervisor has in each phase, and the handles by which what happens to them is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    /// The supervisors of its system.
    system: Weak<Roll<SupervisorCounts>>,
    kind: ChildKind,
    type_name: Arc<str>,
    phases: [AtomicU32; Phase::ALL.len()],
    /// The handles of those who count what happens to these children.
    pub(super) meters: Metered,
    /// What actors of this type do, once there has been one.
    pub(super) staff: OnceLock<Arc<TypeStats>>,
}

impl Counted {
    /// One more is in this phase. Called by the supervisor alone, like [`Self::leave`]: so it need not be one step.
    pub(crate) fn enter(&self, phase: Phase) {
        let count = &self.phases[phase as usize];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self, phase: Phase) {
        let count = &self.phases[phase as usize];
        count.store(count.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }
}

/// The counts of one life of one supervisor.
#[derive(Debug)]
pub(crate) struct SupervisorCounts {
    path: ChildPath,
    classes: Mutex<Vec<Arc<Counted>>>,
    /// Restarts in the window, and when the youngest of them leaves it.
    restarts: Mutex<Option<(u32, Option<Instant>)>>,
    /// How many restarts the window may hold; 0 without a limit.
    max_restarts: AtomicU32,
    supervisors: Arc<Roll<Self>>,
    /// Its place among the supervisors.
    place: usize,
}

impl Drop for SupervisorCounts {
    fn drop(&mut self) {
        self.supervisors.leave(self.place);
    }
}

impl SupervisorCounts {
    /// A restart was decided; the window will be empty at `until` if it is the last.
    pub(crate) fn note_restart(&self, in_window: u32, until: Option<Instant>) {
        *self.restarts.lock().unwrap_or_else(PoisonError::into_inner) = Some((in_window, until));
    }

    fn restarts_in_window(&self) -> u32 {
        let restarts = *self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        restarts
            .filter(|(_, until)| until.is_none_or(|until| until > crate::time::now()))
            .map_or(0, |(count, _)| count)
    }

    pub(crate) fn set_max_restarts(&self, max_restarts: Option<u32>) {
        self.max_restarts
            .store(max_restarts.unwrap_or(0), Ordering::Relaxed);
    }

    /// How many children of each kind are in each phase.
    pub(crate) fn each_class(&self, mut tell: impl FnMut(ChildKind, Phase, u32)) {
        let classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        for class in classes.iter() {
            for (phase, count) in Phase::ALL.iter().zip(&class.phases) {
                tell(class.kind, *phase, count.load(Ordering::Relaxed));
            }
        }
    }

    /// The cell for a kind and type. Called when a child is added, not when it changes.
    pub(crate) fn class(&self, kind: ChildKind, type_name: &Arc<str>) -> Arc<Counted> {
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(class) = classes
            .iter()
            .find(|class| class.kind == kind && class.type_name == *type_name)
        {
            return Arc::clone(class);
        }
        let class = Arc::new(Counted {
            system: Arc::downgrade(&self.supervisors),
            kind,
            type_name: Arc::clone(type_name),
            phases: Default::default(),
            meters: Metered::default(),
            staff: OnceLock::new(),
        });
        classes.push(Arc::clone(&class));
        class
    }
}

/// All living supervisors of a system.
#[derive(Debug, Default)]
pub(crate) struct Census {
    supervisors: Arc<Roll<SupervisorCounts>>,
    /// Lives that were given up on and still run. Their supervisors may be gone.
    lingering: Mutex<BTreeMap<(ChildKind, Arc<str>), i32>>,
    /// What OS processes use.
    pub(crate) figures: Arc<FiguresBook>,
    /// Which ports they have.
    ports: Arc<PortTables>,
    /// Which circuit breakers there are.
    pub(crate) breakers: Breakers,
    /// Which pools there are.
    pub(crate) pools: Pools,
    /// What probes say.
    pub(crate) probes: Arc<ProbesBook>,
    /// How the system is.
    pub(crate) whole: WholeBook,
    /// Who is found by what they are.
    registry: OnceLock<Weak<Shared>>,
}

macro_rules! computed {
    ($( $id:ident = $kind:ident $name:literal [$($label:literal),*], $help:literal; )+) => {
        $( static $id: MetricSchema = MetricSchema {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            help: $help,
        }; )+
        /// Every family that is computed.
        pub(super) static COMPUTED: &[&MetricSchema] = &[$( &$id ),+];
    };
}

computed! {
    BUILD = Gauge "regrow_build_info" ["version"], "Build metadata; the value is always 1.";
    CHILDREN = Gauge "regrow_children" ["kind", "type", "status"], "Children by kind, type and phase.";
    BY_SUPERVISOR = Gauge "regrow_supervisor_children" ["supervisor", "state"], "Children by supervisor and phase.";
    UNRESPONSIVE = Gauge "regrow_children_unresponsive" ["kind", "type"],
        "Lives that could not be ended, were given up on, and still run.";
    INTENSITY = Gauge "regrow_supervisor_intensity_ratio" ["supervisor"],
        "Restarts in the window over the allowed maximum; at 1 the next failure melts down.";
    ENTRIES = Gauge "regrow_registry_entries" ["kind"],
        "Registered entries by kind (child, foreign, name, membership).";
    OPERATIONS = Counter "regrow_registry_operations_total" ["operation", "result"],
        "Registry operations; one lookup or query in 64 is seen and counts for all of them.";
    PROCESSES = Gauge "regrow_process_processes" ["type", "state"], "OS processes by type and phase.";
    TREE = Gauge "regrow_process_tree_processes" ["type"],
        "Processes of the operating system that agents of the type consist of, with all descendants.";
    THREADS = Gauge "regrow_process_threads" ["type"], "Threads of these processes.";
    DESCRIPTORS = Gauge "regrow_process_open_descriptors" ["type"], "Open descriptors of these processes.";
    MEMORY = Gauge "regrow_process_resident_memory_bytes" ["type"],
        "Resident memory summed over the type; a page that several processes share counts for each.";
    CORES = Gauge "regrow_process_cpu_cores" ["type"], "CPU cores in use, summed over the type.";
    CPU = Counter "regrow_process_cpu_seconds_total" ["type"], "CPU time used, by agents that have ended too.";
    READ = Counter "regrow_process_read_bytes_total" ["type"], "Bytes that agents read, from whatever they read.";
    WRITTEN = Counter "regrow_process_written_bytes_total" ["type"], "Bytes that agents wrote, to whatever they wrote.";
    DISK_READ = Counter "regrow_process_disk_read_bytes_total" ["type"], "Bytes fetched from disks for agents.";
    DISK_WRITTEN = Counter "regrow_process_disk_written_bytes_total" ["type"], "Bytes handed to disks by agents.";
    PORTS = Gauge "regrow_process_ports" ["state"],
        "Ports that are leased to agents, by state (allocated, free, quarantined); who else uses one is not known.";
    BREAKER_STATE = Gauge "regrow_breaker_state" ["breaker", "state"],
        "One of the states is 1 (closed, open, half_open, forced_open, disabled, metrics_only).";
    BREAKER_CALLS = Counter "regrow_breaker_calls_total" ["breaker", "outcome"],
        "Calls (success, failure, ignored, rejected, cancelled).";
    BREAKER_SLOW = Counter "regrow_breaker_slow_calls_total" ["breaker", "outcome"],
        "Calls slower than the threshold.";
    BREAKER_TRANSITIONS = Counter "regrow_breaker_transitions_total" ["breaker", "from", "to", "cause"],
        "State changes.";
    BREAKER_FAILURES = Gauge "regrow_breaker_failure_ratio" ["breaker"],
        "Failure ratio of the current window; NaN below the minimum calls.";
    BREAKER_SLOWNESS = Gauge "regrow_breaker_slow_ratio" ["breaker"],
        "Slow-call ratio of the current window; NaN below the minimum calls.";
    POOL_WORKERS = Gauge "regrow_pool_workers" ["pool", "state"],
        "Workers by state (starting, idle, busy, draining, unhealthy, ejected).";
    POOL_DESIRED = Gauge "regrow_pool_workers_desired" ["pool"], "Size the autoscaler wants.";
    POOL_MIN = Gauge "regrow_pool_workers_min" ["pool"], "Configured lower bound.";
    POOL_MAX = Gauge "regrow_pool_workers_max" ["pool"], "Configured upper bound.";
    POOL_QUEUE = Gauge "regrow_pool_queue_jobs" ["pool"], "Jobs waiting.";
    POOL_OLDEST = Gauge "regrow_pool_queue_oldest_age_seconds" ["pool"], "Age of the oldest waiting job.";
    POOL_JOBS = Counter "regrow_pool_jobs_total" ["pool", "outcome"],
        "Jobs that were begun and have ended (ok, error, timeout, cancelled, panicked, lost); cancelled are also those taken back before.";
    POOL_REJECTIONS = Counter "regrow_pool_rejections_total" ["pool", "reason"],
        "Jobs refused (queue_full, shed, expired, dropped, draining, breaker_open, no_worker).";
    PROBE_UP = Gauge "regrow_probe_up" ["probe", "kind"],
        "1 when the probe verdict is success or degraded, of every child that has the probe.";
    HEALTH = Gauge "regrow_health_status" ["component", "status"],
        "Of the system and of each child of its root, up to 20,000 children in all: one of the statuses is 1 (up, degraded, down, unknown).";
    HANDLED = Counter "regrow_messages_handled_total" ["type", "outcome"], "Messages handled (ok, error, panic).";
    QUEUED = Gauge "regrow_mailbox_messages" ["type"], "Messages queued now, summed over actors of the type.";
    DEEPEST = Gauge "regrow_mailbox_messages_max" ["type"], "Deepest single mailbox of the type.";
    OLDEST = Gauge "regrow_mailbox_oldest_age_seconds" ["type"],
        "Age of the oldest message of the type whose wait is being measured.";
    BUSY = Gauge "regrow_actors_busy" ["type"], "Actors of the type that handle a message now.";
    HANDLER = Gauge "regrow_handler_oldest_age_seconds" ["type"],
        "Age of the longest running handler of the type, as seen between two scrapes.";
}

/// To judge a whole costs a look at each child: more than a scrape of all else, from some number on.
const MOST_JUDGED: f64 = 20_000.0;

/// One family that is computed when somebody looks: the value of each label set.
#[derive(Debug)]
pub(crate) struct ComputedFamily {
    pub(crate) schema: &'static MetricSchema,
    pub(crate) values: BTreeMap<Vec<String>, f64>,
}

impl ComputedFamily {
    const fn new(schema: &'static MetricSchema) -> Self {
        Self {
            schema,
            values: BTreeMap::new(),
        }
    }

    fn at<const N: usize>(&mut self, labels: [&str; N]) -> &mut f64 {
        debug_assert_eq!(labels.len(), self.schema.labels.len());
        let labels = labels.map(str::to_owned).to_vec();
        self.values.entry(labels).or_default()
    }
}

impl Census {
    /// A census of nobody yet, which asks these for ports.
    pub(crate) fn new(ports: Arc<PortTables>) -> Self {
        Self {
            ports,
            ..Self::default()
        }
    }

    /// Whether children of this class are counted here: whether they are this system's.
    pub(crate) fn counts(&self, class: &Counted) -> bool {
        std::ptr::eq(class.system.as_ptr(), Arc::as_ptr(&self.supervisors))
    }

    pub(crate) fn supervisor(
        &self,
        path: ChildPath,
        max_restarts: Option<u32>,
    ) -> Arc<SupervisorCounts> {
        self.supervisors.enter(|place| SupervisorCounts {
            path,
            classes: Mutex::default(),
            restarts: Mutex::new(None),
            max_restarts: AtomicU32::new(max_restarts.unwrap_or(0)),
            supervisors: Arc::clone(&self.supervisors),
            place,
        })
    }

    /// So many more, or fewer, lives of a kind and type were given up on and still run.
    pub(crate) fn linger(&self, kind: ChildKind, type_name: &Arc<str>, change: i32) {
        let mut lingering = self
            .lingering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *lingering.entry((kind, Arc::clone(type_name))).or_default() += change;
    }

    /// This is the registry of the system.
    pub(crate) fn follow(&self, registry: &Arc<Shared>) {
        drop(self.registry.set(Arc::downgrade(registry)));
    }

    /// What the registry holds beside so many children, and what was done with it.
    fn registry(&self, children: f64) -> [ComputedFamily; 2] {
        let mut entries = ComputedFamily::new(&ENTRIES);
        let mut operations = ComputedFamily::new(&OPERATIONS);
        if let Some(registry) = self.registry.get().and_then(Weak::upgrade) {
            *entries.at(["child"]) = children;
            registry.each_entry(|kind, count| *entries.at([kind]) = float(count as u64));
            registry.tally().each(|operation, result, times| {
                *operations.at([operation, result]) = float(times);
            });
        }
        [entries, operations]
    }

    /// Ports by state, where there is a range of them.
    fn ports(&self) -> ComputedFamily {
        let mut family = ComputedFamily::new(&PORTS);
        if let Some(counts) = self.ports.counts() {
            *family.at(["allocated"]) = f64::from(counts.allocated);
            *family.at(["free"]) = f64::from(counts.free);
            *family.at(["quarantined"]) = f64::from(counts.quarantined);
        }
        family
    }

    /// A kind and type of which all have ended after all stands there with 0.
    fn unresponsive(&self) -> ComputedFamily {
        let mut family = ComputedFamily::new(&UNRESPONSIVE);
        let lingering = self
            .lingering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for ((kind, type_name), count) in lingering.iter() {
            *family.at([kind.as_str(), type_name]) = f64::from(*count);
        }
        family
    }

    /// The gauges as they are now. State sets are complete: a phase in which nobody is stands there with 0.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "otlp", feature = "statsd")),
        expect(dead_code, reason = "only exporters read it")
    )]
    pub(crate) fn gauges(&self) -> Vec<ComputedFamily> {
        let mut children = ComputedFamily::new(&CHILDREN);
        let mut by_supervisor = ComputedFamily::new(&BY_SUPERVISOR);
        let mut processes = ComputedFamily::new(&PROCESSES);
        let mut ratio = ComputedFamily::new(&INTENSITY);
        self.supervisors.walk(|counts| {
            let supervisor = counts.path.as_str();
            let max_restarts = counts.max_restarts.load(Ordering::Relaxed);
            if max_restarts > 0 {
                let used = f64::from(counts.restarts_in_window()) / f64::from(max_restarts);
                *ratio.at([supervisor]) = used;
            }
            let classes = counts
                .classes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            for class in classes {
                for (phase, count) in Phase::ALL.iter().zip(&class.phases) {
                    let count = f64::from(count.load(Ordering::Relaxed));
                    let (phase, kind) = (phase.as_str(), class.kind.as_str());
                    *children.at([kind, &class.type_name, phase]) += count;
                    *by_supervisor.at([supervisor, phase]) += count;
                    if class.kind == ChildKind::Process {
                        *processes.at([&class.type_name, phase]) += count;
                    }
                }
            }
        });
        let mut build = ComputedFamily::new(&BUILD);
        *build.at([env!("CARGO_PKG_VERSION")]) = 1.0;
        let unresponsive = self.unresponsive();
        let registry = self.registry(children.values.values().sum());
        let is_small = children.values.values().sum::<f64>() <= MOST_JUDGED;
        let whole = whole_family(is_small.then_some(&self.whole));
        let families = [
            build,
            children,
            by_supervisor,
            unresponsive,
            ratio,
            processes,
        ];
        families
            .into_iter()
            .chain(registry)
            .chain(figure_families(&self.figures))
            .chain([self.ports(), probe_family(&self.probes), whole])
            .chain(breaker_families(&self.breakers))
            .chain(pools::families(&self.pools))
            .filter(|family| !family.values.is_empty())
            .collect()
    }
}

/// How each breaker is.
fn breaker_families(breakers: &Breakers) -> [ComputedFamily; 6] {
    let mut states = ComputedFamily::new(&BREAKER_STATE);
    let mut calls = ComputedFamily::new(&BREAKER_CALLS);
    let mut slow = ComputedFamily::new(&BREAKER_SLOW);
    let mut transitions = ComputedFamily::new(&BREAKER_TRANSITIONS);
    let mut failures = ComputedFamily::new(&BREAKER_FAILURES);
    let mut slowness = ComputedFamily::new(&BREAKER_SLOWNESS);
    for reading in breakers.readings() {
        let path = reading.path.as_str();
        let totals = reading.status.totals;
        for state in CircuitState::ALL {
            let is_it = *state == reading.status.standing.state;
            *states.at([path, state.as_str()]) = if is_it { 1.0 } else { 0.0 };
        }
        for (outcome, count) in [
            ("success", totals.success),
            ("failure", totals.failure),
            ("ignored", totals.ignored),
            ("rejected", totals.rejected),
            ("cancelled", totals.cancelled),
        ] {
            *calls.at([path, outcome]) = float(count);
        }
        *slow.at([path, "success"]) = float(totals.slow_success);
        *slow.at([path, "failure"]) = float(totals.slow_failure);
        for ((from, to, cause), count) in reading.transitions {
            let labels = [path, from.as_str(), to.as_str(), cause.as_str()];
            *transitions.at(labels) = float(count);
        }
        *failures.at([path]) = reading.status.failure_ratio.unwrap_or(f64::NAN);
        *slowness.at([path]) = reading.status.slow_ratio.unwrap_or(f64::NAN);
    }
    [states, calls, slow, transitions, failures, slowness]
}

/// What the OS processes of each type use.
fn figure_families(book: &FiguresBook) -> [ComputedFamily; 10] {
    let schemas = [
        &TREE,
        &THREADS,
        &DESCRIPTORS,
        &MEMORY,
        &CORES,
        &CPU,
        &READ,
        &WRITTEN,
        &DISK_READ,
        &DISK_WRITTEN,
    ];
    let mut families = schemas.map(ComputedFamily::new);
    book.each_type(|type_name, sum| {
        let values = [
            f64::from(sum.processes),
            f64::from(sum.threads),
            f64::from(sum.descriptors),
            float(sum.memory_bytes),
            sum.cpu_cores,
            sum.spent.cpu.as_secs_f64(),
            float(sum.spent.read_bytes),
            float(sum.spent.written_bytes),
            float(sum.spent.disk_read_bytes),
            float(sum.spent.disk_written_bytes),
        ];
        for (family, value) in families.iter_mut().zip(values) {
            *family.at([type_name]) = value;
        }
    });
    families
}

/// What probes say.
fn probe_family(book: &ProbesBook) -> ComputedFamily {
    let mut up = ComputedFamily::new(&PROBE_UP);
    book.each(|probe, kind, is_up| *up.at([probe, kind.as_str()]) = f64::from(u8::from(is_up)));
    up
}

/// How the system is, where somebody may be asked.
fn whole_family(book: Option<&WholeBook>) -> ComputedFamily {
    let mut family = ComputedFamily::new(&HEALTH);
    let components = book.map_or_else(Vec::new, WholeBook::components);
    for (component, health) in components {
        // One that does not count is no component.
        let Some(health) = health else { continue };
        for status in Health::ALL {
            let is_it = health == *status;
            *family.at([&component, status.as_str()]) = if is_it { 1.0 } else { 0.0 };
        }
    }
    family
}

/// What the actors of each type do.
#[cfg_attr(
    not(any(feature = "prometheus", feature = "otlp", feature = "statsd")),
    expect(dead_code, reason = "only exporters read it")
)]
pub(crate) fn actor_families(workforce: &Workforce) -> Vec<ComputedFamily> {
    let mut handled = ComputedFamily::new(&HANDLED);
    let mut queued = ComputedFamily::new(&QUEUED);
    let mut deepest = ComputedFamily::new(&DEEPEST);
    let mut oldest = ComputedFamily::new(&OLDEST);
    let mut busy = ComputedFamily::new(&BUSY);
    let mut handler = ComputedFamily::new(&HANDLER);
    for report in workforce.report() {
        let type_name = &*report.type_name;
        *handled.at([type_name, "ok"]) = float(report.ok);
        *handled.at([type_name, "error"]) = float(report.errors);
        *handled.at([type_name, "panic"]) = float(report.panics);
        *queued.at([type_name]) = float(report.queued);
        *deepest.at([type_name]) = float(report.longest_queue);
        *oldest.at([type_name]) = report.oldest_wait.as_secs_f64();
        *busy.at([type_name]) = float(report.busy);
        *handler.at([type_name]) = report.longest_handler.as_secs_f64();
    }
    let families = [handled, queued, deepest, oldest, busy, handler];
    families
        .into_iter()
        .filter(|family| !family.values.is_empty())
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
fn float(count: u64) -> f64 {
    count as f64
}
