//! What can happen, and what is told of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use regrow_core::{ChildKind, Phase, StopCause, Strategy};

use crate::exit::ExitReason;
use crate::path::ChildPath;

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts the events of one system, from 1; a gap means that a queue has dropped some.
    pub seq: u64,
    /// When, by the wall clock.
    pub at: SystemTime,
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
}

/// The child that an event is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its path.
    pub path: ChildPath,
    /// What it is made of.
    pub kind: ChildKind,
    /// What it is in the user's words.
    pub type_name: Arc<str>,
    /// Which of its lives; 0 before the first.
    pub generation: u32,
    /// Its phase after the event.
    pub phase: Phase,
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

/// What has happened. The names are stable; new variants come with new versions.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are the measurements and metadata of docs/telemetry.md"
)]
pub enum Payload {
    /// A life has started.
    ChildStarted { took: Duration, attempt: u32 },
    /// A start did not succeed.
    ChildStartFailed { reason: ExitReason, attempt: u32 },
    /// A child was asked to stop, or is being killed.
    ChildStopping { cause: StopCause },
    /// A life has ended.
    ChildTerminated {
        reason: ExitReason,
        outcome: Outcome,
        cause: Option<StopCause>,
        lifetime: Duration,
        stop_took: Option<Duration>,
        handled: Option<u64>,
    },
    /// The phase changed in a way that no other event tells.
    ChildStateChanged {
        from: Phase,
        to: Phase,
        why: Option<Arc<str>>,
    },
    /// A supervisor has a new place for a child.
    SupervisorChildAdded,
    /// The place is gone.
    SupervisorChildRemoved,
    /// A child will be started again.
    RestartScheduled {
        delay: Duration,
        attempt: u32,
        restarts_in_window: u32,
        max_restarts: Option<u32>,
        reason: ExitReason,
        strategy: Strategy,
    },
    /// A child that had died runs again.
    Restarted { took: Duration },
    /// A good life has started a child's backoff over.
    BackoffReset { stable_for: Duration },
    /// A supervisor gives up: its child failed too often.
    Meltdown {
        child: ChildPath,
        restarts: u32,
        window: Duration,
        last_reason: ExitReason,
    },
    /// An OS process was spawned.
    ProcessSpawned { pid: u32, took: Duration },
    /// An OS process has exited; its group and its streams may live on for a moment.
    ProcessExited { pid: u32, reason: ExitReason },
    /// A signal was sent to a process group.
    ProcessSignalled { pid: u32, signal: &'static str },
    /// A process has written; told at most once a second for each stream.
    ProcessOutput {
        stream: Stream,
        bytes: u64,
        dropped: u64,
    },
    /// Nothing of a process is left, or all that can be done was done.
    ProcessShutdown { stage: Stage, took: Duration },
    /// Processes that could not be ended.
    ProcessLeaked { pids: Vec<u32> },
    /// An HTTP request was answered; the route is a template.
    HttpRequest {
        route: &'static str,
        method: &'static str,
        status: u16,
        took: Duration,
    },
    /// A handler panicked and was detached.
    TelemetryHandlerFailure { handler: Arc<str>, message: String },
}

impl Payload {
    /// The dotted name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ChildStarted { .. } => "regrow.child.started",
            Self::ChildStartFailed { .. } => "regrow.child.start_failed",
            Self::ChildStopping { .. } => "regrow.child.stopping",
            Self::ChildTerminated { .. } => "regrow.child.terminated",
            Self::ChildStateChanged { .. } => "regrow.child.state_changed",
            Self::SupervisorChildAdded => "regrow.supervisor.child.added",
            Self::SupervisorChildRemoved => "regrow.supervisor.child.removed",
            Self::RestartScheduled { .. } => "regrow.supervisor.restart.scheduled",
            Self::Restarted { .. } => "regrow.supervisor.restart.stop",
            Self::BackoffReset { .. } => "regrow.supervisor.backoff.reset",
            Self::Meltdown { .. } => "regrow.supervisor.meltdown",
            Self::ProcessSpawned { .. } => "regrow.process.spawn.stop",
            Self::ProcessExited { .. } => "regrow.process.exited",
            Self::ProcessSignalled { .. } => "regrow.process.signalled",
            Self::ProcessOutput { .. } => "regrow.process.output",
            Self::ProcessShutdown { .. } => "regrow.process.shutdown.stop",
            Self::ProcessLeaked { .. } => "regrow.process.leaked",
            Self::HttpRequest { .. } => "regrow.http.request.stop",
            Self::TelemetryHandlerFailure { .. } => "regrow.telemetry.handler.failure",
        }
    }

    /// The second part of the name: `child`, `supervisor`, `process`, `http` or `telemetry`.
    #[must_use]
    pub fn domain(&self) -> &'static str {
        self.name().split('.').nth(1).unwrap_or("telemetry")
    }
}
