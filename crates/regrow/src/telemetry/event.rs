//! What can happen, and what is told of it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use regrow_core::backlog::Priority;
use regrow_core::circuit::{CircuitCause, CircuitState};
use regrow_core::probe::{ProbeKind, ProbeResult, ProbeVerdict};
use regrow_core::scaler::{Direction, Limit, Trigger};
use regrow_core::{ChildKind, Health, Phase, StopCause, Strategy};

use super::census::Counted;
use super::schema::{EventSchema, Field, Role, Tell, events, redact};
use crate::exit::ExitReason;
use crate::genai::Kind;
use crate::path::ChildPath;
use crate::trace::TraceContext;
use crate::watchdog::WaitsFor;

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts the events of one system, from 1; a gap means that a queue has dropped some.
    pub seq: u64,
    /// When, by the wall clock. A supervisor looks at it once in each turn of its mailbox, and after each start.
    pub at: SystemTime,
    /// Which span begins or ends with it; the beginning and the end share the number.
    pub span: Option<u64>,
    /// To which trace it belongs, where that is known otherwise than by its span.
    pub lineage: Option<Arc<Lineage>>,
    /// To whom.
    pub subject: Subject,
    /// What.
    pub payload: Payload,
}

impl Event {
    /// The dotted name, such as `regrow.child.started`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.payload.name()
    }

    /// The span that begins or ends with it; of another event, the one in which it happened, if there was any. For a span that
    /// nobody has caused it is computed here, which costs three hashes.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        match &self.lineage {
            Some(lineage) => Some(lineage.context.clone()),
            None => self.span.map(TraceContext::of_span),
        }
    }
}

/// Where something belongs among traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The span itself; for what is no span, the one in which it happened.
    pub context: TraceContext,
    /// The span of the same trace that it is a part of.
    pub parent: Option<TraceContext>,
    /// What has caused it, in another trace.
    pub link: Option<TraceContext>,
}

/// The child that an event is about. Its [`Identity`] is read as if it were part of this: `subject.path`. Cloning costs a reference
/// count.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(crate) identity: Arc<Identity>,
    /// Which of its lives; 0 before the first.
    pub generation: u32,
    /// Its phase after the event; for the end of a life the phase in which it ended.
    pub phase: Phase,
}

/// What of a child stays the same in all its lives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Identity {
    /// Its path.
    pub path: ChildPath,
    /// What it is made of.
    pub kind: ChildKind,
    /// What it is in the user's words.
    pub type_name: Arc<str>,
    /// Where it is counted, if it is a child of a running supervisor.
    pub(crate) class: Option<Arc<Counted>>,
    /// For whom its code waits.
    pub(crate) waits_for: WaitsFor,
}

impl Subject {
    /// Somebody who is no child of a running supervisor: a test, say.
    #[must_use]
    pub fn new(
        path: impl Into<ChildPath>,
        kind: ChildKind,
        type_name: impl Into<Arc<str>>,
        generation: u32,
        phase: Phase,
    ) -> Self {
        let identity = Identity {
            path: path.into(),
            kind,
            type_name: type_name.into(),
            class: None,
            waits_for: WaitsFor::default(),
        };
        Self {
            identity: Arc::new(identity),
            generation,
            phase,
        }
    }
}

impl Deref for Subject {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// Where in a span an event stands. Every beginning has exactly one end.
#[derive(Clone, Debug, Default)]
pub enum Edge {
    /// It has begun.
    #[default]
    Start,
    /// It has ended as it should.
    Stop {
        /// How long it took.
        duration: Duration,
    },
    /// It has ended with an error or a panic.
    Exception {
        /// How long it took.
        duration: Duration,
        /// What went wrong.
        reason: Arc<str>,
    },
    /// It was given up on before its end: its future was dropped, its child stopped.
    Cancel {
        /// How long it took.
        duration: Duration,
    },
}

impl Edge {
    /// How long it took, at its end.
    #[must_use]
    pub const fn duration(&self) -> Option<Duration> {
        match self {
            Self::Start => None,
            Self::Stop { duration }
            | Self::Exception { duration, .. }
            | Self::Cancel { duration } => Some(*duration),
        }
    }

    pub(super) fn fields(&self) -> Vec<Field<'_>> {
        let field = |key, role, value| Field { key, role, value };
        match self {
            Self::Start => Vec::new(),
            Self::Stop { duration } | Self::Cancel { duration } => {
                vec![field("duration", Role::Measurement, duration.tell())]
            }
            Self::Exception { duration, reason } => vec![
                field("duration", Role::Measurement, duration.tell()),
                field("error", Role::Metadata, reason.tell()),
            ],
        }
    }
}

/// How a child that has ended came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody asked it to.
    ByItself,
    /// It was asked, and did.
    Graceful,
    /// It was asked, did not in time, and was killed.
    Escalated,
    /// It was killed without being asked.
    Killed,
    /// It could not be ended.
    Unresponsive,
}

impl Outcome {
    /// The word in events and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByItself => "by_itself",
            Self::Graceful => "graceful",
            Self::Escalated => "escalated",
            Self::Killed => "killed",
            Self::Unresponsive => "unresponsive",
        }
    }
}

/// One of the two streams that a process writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in events and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The last step that was needed to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It had ended by itself.
    None,
    /// A request in its own protocol.
    Request,
    /// The end of its standard input.
    Stdin,
    /// The stop signal.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Stage {
    /// The word in events and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Request => "request",
            Self::Stdin => "stdin",
            Self::Terminate => "terminate",
            Self::Kill => "kill",
        }
    }
}

events! {
    /// A life has started.
    ChildStarted = "regrow.child.started" { Measurement took: Duration, Measurement attempt: u32 }
    /// A life that was up may be given work from now on, it says: one that says so. It took so long from the begin of its start.
    ChildReady = "regrow.child.ready" { Measurement took: Duration }
    /// A life that was up and ready may be given no work for the time being.
    ChildUnready = "regrow.child.unready" { Metadata why: Arc<str> }
    /// A start did not succeed.
    ChildStartFailed = "regrow.child.start_failed" { Measurement attempt: u32, Metadata reason: ExitReason }
    /// A child was asked to stop, or is being killed.
    ChildStopping = "regrow.child.stopping" { Metadata cause: StopCause, Metadata why: Option<Arc<str>> }
    /// A life has ended.
    ChildTerminated = "regrow.child.terminated" {
        Measurement lifetime: Duration,
        Measurement stop_took: Option<Duration>,
        Measurement handled: Option<u64>,
        Metadata reason: ExitReason,
        Metadata outcome: Outcome,
        Metadata cause: Option<StopCause>,
    }
    /// A life that was given up on as `unresponsive` has ended after all. Its place may have another by now.
    ChildEndedLate = "regrow.child.ended_late" { Measurement overdue: Duration }
    /// The phase changed in a way that no other event tells.
    ChildStateChanged = "regrow.child.state_changed" {
        Metadata from: Phase,
        Metadata to: Phase,
        Metadata why: Option<Arc<str>>,
    }
    /// A supervisor has a new place for a child.
    SupervisorChildAdded = "regrow.supervisor.child.added" {}
    /// A supervisor goes by new rules.
    SupervisorReconfigured = "regrow.supervisor.reconfigured" {
        Measurement updated: u32,
        Measurement added: u32,
        Measurement kept: u32,
    }
    /// The registry has made its index anew from the living: another had died, or more had happened at once than it keeps.
    RegistryRebuilt = "regrow.registry.rebuilt" { Measurement entries: u64, Metadata why: &'static str }
    /// Somebody watches a query and is too slow: so many changes were kept, and are lost. Who is there is told anew.
    RegistryWatchMissed = "regrow.registry.watch.missed" { Measurement limit: u64, Metadata query: String }
    /// A child wants a name that another has; by the policy the other keeps it or gives it up.
    RegistryEntryConflict = "regrow.registry.entry.conflict" {
        Metadata name: Arc<str>,
        Metadata holder: ChildPath,
        Metadata policy: &'static str,
    }
    /// An actor that regrow did not start is registered, and is watched.
    RegistryEntryRegistered = "regrow.registry.entry.registered" {}
    /// Such an actor is registered no more: it has ended so, or was taken out.
    RegistryEntryUnregistered = "regrow.registry.entry.unregistered" { Metadata reason: &'static str }
    /// The place is gone.
    SupervisorChildRemoved = "regrow.supervisor.child.removed" {}
    /// A child will be started again.
    RestartScheduled = "regrow.supervisor.restart.scheduled" {
        Measurement delay: Duration,
        Measurement attempt: u32,
        Measurement restarts_in_window: u32,
        Measurement max_restarts: Option<u32>,
        Metadata reason: ExitReason,
        Metadata strategy: Strategy,
    }
    /// A good life has started a child's backoff over.
    BackoffReset = "regrow.supervisor.backoff.reset" { Measurement stable_for: Duration }
    /// A circuit breaker is in another state. What it was judged by is told with it: the calls of its window, or its trials.
    BreakerStateChanged = "regrow.breaker.state.changed" {
        Measurement failure_ratio: Option<f64>,
        Measurement slow_ratio: Option<f64>,
        Measurement calls: u64,
        Measurement in_state: Duration,
        Measurement retry_after: Option<Duration>,
        Measurement state_generation: u64,
        Metadata from: CircuitState,
        Metadata to: CircuitState,
        Metadata cause: CircuitCause,
    }
    /// A breaker that only looks on would have opened. Told again at the earliest when it would have let calls through to try.
    BreakerWouldOpen = "regrow.breaker.would_open" {
        Measurement failure_ratio: Option<f64>,
        Measurement slow_ratio: Option<f64>,
        Measurement calls: u64,
        Metadata cause: CircuitCause,
    }
    /// A call through a breaker has ended: one in 64, as an example.
    BreakerCall = "regrow.breaker.call" { Measurement took: Duration, Metadata outcome: &'static str }
    /// A breaker has refused so many calls since that was last told; told at most once a second.
    BreakerRejected = "regrow.breaker.rejected" {
        Measurement calls: u64,
        Measurement retry_after: Option<Duration>,
        Metadata state: CircuitState,
    }
    /// So many calls have ended that a breaker had let through in an earlier state: they were counted, and not judged.
    BreakerLateResult = "regrow.breaker.late_result" { Measurement calls: u64 }
    /// A pool has a place for one more worker, which is started.
    PoolWorkerAdded = "regrow.pool.worker.added" { Metadata worker: Arc<str>, Metadata cause: Trigger }
    /// A worker of a pool can be given work: the first time in its life. It took so long from the begin of its start.
    PoolWorkerReady = "regrow.pool.worker.ready" { Measurement startup: Duration, Metadata worker: Arc<str> }
    /// A worker of a pool gets no more work, and goes when it has finished what it has: for good, or for a fresh one in its place.
    PoolWorkerDraining = "regrow.pool.worker.draining" {
        Measurement in_flight: u32,
        Metadata worker: Arc<str>,
        Metadata cause: &'static str,
    }
    /// A worker of a pool is gone.
    PoolWorkerRemoved = "regrow.pool.worker.removed" { Metadata worker: Arc<str>, Metadata cause: &'static str }
    /// A worker of a pool fails too often, and gets no work for so long.
    PoolWorkerEjected = "regrow.pool.worker.ejected" {
        Measurement duration: Duration,
        Metadata worker: Arc<str>,
        Metadata cause: &'static str,
    }
    /// A worker that got no work because it had failed too often is given some again.
    PoolWorkerRestored = "regrow.pool.worker.restored" { Metadata worker: Arc<str> }
    /// The size of a pool was decided otherwise than a moment before, with all that it was decided from.
    PoolScaleDecided = "regrow.pool.scale.decided" {
        Measurement from: u32,
        Measurement to: u32,
        Measurement wanted: u32,
        Measurement demand: u64,
        Measurement smoothed: f64,
        Measurement queue: u64,
        Measurement remembered: u32,
        Measurement forecast: Option<u32>,
        Measurement quota: Option<u32>,
        Metadata direction: Direction,
        Metadata trigger: Trigger,
        Metadata clamp: Option<Limit>,
        Metadata why: Arc<str>,
    }
    /// A pool wants another size and does not get it. Told when that, or the reason, is another than before.
    PoolScaleBlocked = "regrow.pool.scale.blocked" { Measurement wanted: u32, Measurement got: u32, Metadata reason: Limit }
    /// A job of a pool has ended: one in 64, as an example.
    PoolJob = "regrow.pool.job" {
        Measurement wait: Duration,
        Measurement duration: Duration,
        Metadata worker: Arc<str>,
        Metadata priority: Priority,
        Metadata outcome: &'static str,
    }
    /// A pool has refused so many jobs for this reason since that was last told; told at most once a second.
    PoolJobRejected = "regrow.pool.job.rejected" {
        Measurement jobs: u64,
        Measurement queue: u64,
        Measurement age: Duration,
        Metadata reason: &'static str,
    }
    /// Jobs were lost with the worker that had them.
    PoolJobLost = "regrow.pool.job.lost" { Measurement jobs: u64, Metadata worker: Arc<str> }
    /// A job that was to be done at least once has cost so many workers their lives, and is not tried again.
    PoolJobQuarantined = "regrow.pool.job.quarantined" { Measurement attempts: u32, Metadata worker: Arc<str> }
    /// A pool has more work than its workers can do: within a whole interval nobody waited less than this.
    PoolOverloadEntered = "regrow.pool.overload.entered" { Measurement min_delay: Duration, Metadata discipline: &'static str }
    /// A pool that had too much work has not any more.
    PoolOverloadLeft = "regrow.pool.overload.left" { Measurement min_delay: Duration, Metadata discipline: &'static str }
    /// A supervisor gives up: its child failed too often.
    Meltdown = "regrow.supervisor.meltdown" {
        Measurement restarts: u32,
        Measurement window: Duration,
        Metadata child: ChildPath,
        Metadata last_reason: ExitReason,
    }
    /// A handler of an actor runs for longer than it may. Told once, until it has come back.
    ActorStuck = "regrow.actor.stuck" { Measurement busy_for: Duration, Metadata waiting_on: Option<ChildPath> }
    /// The handler of an actor that was told as stuck has come back.
    ActorUnstuck = "regrow.actor.unstuck" {}
    /// Actors call each other in a ring, so that none of them will be answered. Told once, of the first by name.
    ActorDeadlock = "regrow.actor.deadlock" { Measurement cycle_len: u32, Metadata cycle: Vec<Arc<str>> }
    /// A probe has asked a child how it is.
    ProbeExecuted = "regrow.probe.executed" {
        Measurement duration: Duration,
        Metadata probe: Arc<str>,
        Metadata probe_kind: ProbeKind,
        Metadata result: ProbeResult,
    }
    /// A probe says something else of its child than before, after so many equal results; 0 when no result was the reason.
    ProbeChanged = "regrow.probe.changed" {
        Measurement consecutive: u32,
        Metadata probe: Arc<str>,
        Metadata probe_kind: ProbeKind,
        Metadata from: ProbeVerdict,
        Metadata to: ProbeVerdict,
        Metadata why: Option<Arc<str>>,
    }
    /// The health of a child has changed, as its probes have it.
    HealthChanged = "regrow.health.changed" { Metadata from: Health, Metadata to: Health }
    /// An OS process has exited; its group and its streams may live on for a moment.
    ProcessExited = "regrow.process.exited" { Measurement pid: u32, Metadata reason: ExitReason }
    /// A signal was sent to a process group.
    ProcessSignalled = "regrow.process.signalled" { Measurement pid: u32, Metadata signal: &'static str }
    /// A process has written; told at most once a second for each stream.
    ProcessOutput = "regrow.process.output" {
        Measurement bytes: u64,
        Measurement dropped: u64,
        Metadata stream: Stream,
    }
    /// The log file of a process cannot be written; what it writes is kept in memory, and it is tried again.
    ProcessLogFailed = "regrow.process.log.failed" { Metadata error: Arc<str> }
    /// The log file of a process is written again.
    ProcessLogResumed = "regrow.process.log.resumed" {}
    /// The log file of a process lacks lines: they came faster than they were written. Told at most once a second.
    ProcessLogDropped = "regrow.process.log.dropped" { Measurement lines: u64 }
    /// An agent uses more memory than it may. Told once, until it is relieved.
    ProcessMemoryExceeded = "regrow.process.memory.exceeded" {
        Measurement memory_bytes: u64,
        Measurement limit_bytes: u64,
    }
    /// It used more than it may, and is at nine tenths of that or less again.
    ProcessMemoryRelieved = "regrow.process.memory.relieved" {
        Measurement memory_bytes: u64,
        Measurement limit_bytes: u64,
    }
    /// It was above what it may use at so many looks without being relieved in between: it is stopped for it.
    ProcessMemoryOverrun = "regrow.process.memory.overrun" {
        Measurement memory_bytes: u64,
        Measurement limit_bytes: u64,
        Measurement samples: u32,
    }
    /// Messages to the `NOTIFY_SOCKET` of a process were not believed: too long, or not from it. Told at most once a second.
    ProcessNoticeRefused = "regrow.process.notice.refused" { Measurement messages: u64, Metadata why: &'static str }
    /// Processes that could not be ended.
    ProcessLeaked = "regrow.process.leaked" { Metadata pids: Vec<u32> }
    /// A port of the range has somebody: it is new, or has moved because another program has the port that it had.
    PortAllocated = "regrow.port.allocated" {
        Measurement free: u32,
        Metadata port: u16,
        Metadata holder: Arc<str>,
        Metadata instead_of: Option<u16>,
    }
    /// A port was given back. For five seconds nobody gets it but the one that had it.
    PortReleased = "regrow.port.released" { Measurement free: u32, Metadata port: u16, Metadata holder: Arc<str> }
    /// Ports were passed over that another program uses; of very many the first are named.
    PortOccupied = "regrow.port.occupied" { Measurement occupied: u32, Metadata ports: Vec<u32>, Metadata wanted_by: Arc<str> }
    /// Somebody got no port: none is left.
    PortExhausted = "regrow.port.exhausted" {
        Measurement allocated: u32,
        Measurement quarantined: u32,
        Measurement occupied: u32,
        Metadata wanted_by: Arc<str>,
    }
    /// A handler panicked and was detached.
    TelemetryHandlerFailure = "regrow.telemetry.handler.failure" {
        Metadata handler: Arc<str>,
        Metadata message: String,
    }
    /// A queue was full and dropped events.
    TelemetryQueueDropped = "regrow.telemetry.queue.dropped" {
        Measurement dropped: u64,
        Metadata handler: Arc<str>,
    }
    spans:
    /// A child that had died is started again; it lasts from its death until it runs.
    Restart = "regrow.supervisor.restart" { Metadata strategy: Strategy }
    /// A message is handled that carries a trace.
    MessageHandle = "regrow.actor.message.handle" {
        Measurement wait: Duration,
        Metadata message_type: &'static str,
    }
    /// An OS process is spawned.
    ProcessSpawn = "regrow.process.spawn" {
        Measurement pid: Option<u32>,
        Sensitive command: Vec<Arc<str>>,
    }
    /// A process is ended completely: itself, its group, its descendants, its streams.
    ProcessShutdown = "regrow.process.shutdown" { Metadata stage: Stage }
    /// A pool changes its size; it lasts until all that were added can be given work, or all that were taken away are gone.
    PoolScale = "regrow.pool.scale" { Measurement from: u32, Measurement to: u32 }
    /// An HTTP request is answered; the route is a template.
    HttpRequest = "regrow.http.request" {
        Measurement status: Option<u16>,
        Metadata route: &'static str,
        Metadata method: &'static str,
    }
    boxed:
    /// An agent uses a model or a tool.
    GenAiOperation = "regrow.genai.operation" in GenAi {
        Measurement input_tokens: Option<u32>,
        Measurement output_tokens: Option<u32>,
        Measurement cached_input_tokens: Option<u32>,
        Measurement reasoning_output_tokens: Option<u32>,
        Metadata operation: Kind,
        Metadata provider: Option<Arc<str>>,
        Metadata model: Option<Arc<str>>,
        Metadata response_model: Option<Arc<str>>,
        Metadata response_id: Option<Arc<str>>,
        Metadata finish_reasons: Vec<Arc<str>>,
        Metadata conversation: Option<Arc<str>>,
        Metadata tool: Option<Arc<str>>,
        Metadata tool_call: Option<Arc<str>>,
        Metadata workflow: Option<Arc<str>>,
        Metadata error_type: Option<Arc<str>>,
        Sensitive input: Option<Arc<str>>,
        Sensitive output: Option<Arc<str>>,
    }
}

impl GenAi {
    /// An operation of which nothing else is known yet.
    #[must_use]
    pub fn new(operation: Kind) -> Self {
        Self {
            input_tokens: None,
            output_tokens: None,
            cached_input_tokens: None,
            reasoning_output_tokens: None,
            operation,
            provider: None,
            model: None,
            response_model: None,
            response_id: None,
            finish_reasons: Vec::new(),
            conversation: None,
            tool: None,
            tool_call: None,
            workflow: None,
            error_type: None,
            input: None,
            output: None,
        }
    }
}

impl Payload {
    /// The second part of the name: `child`, `supervisor`, `registry`, `breaker`, `pool`, `actor`, `process`, `http`, `genai` or `telemetry`.
    #[must_use]
    pub fn domain(&self) -> &'static str {
        self.name().split('.').nth(1).unwrap_or("telemetry")
    }
}
