//! Events as log lines, through `tracing`, target `regrow`.
//!
//! What a person has to look at is `warn` or `error`: a child that failed, a restart, something given up on. The rest is `info`
//! (starts and stops), `debug`, or `trace` (output).

use regrow_core::circuit::CircuitState;
use regrow_core::probe::ProbeVerdict;
use regrow_core::scaler::Direction;
use regrow_core::{Health, Phase};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::{Edge, Event, FieldValue, Payload, Role};

/// The handler.
pub(crate) fn log(event: &Event) {
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    let (level, text) = headline(&event.payload);
    let (path, generation) = (&event.subject.path, event.subject.generation);
    let (name, keys) = (event.name(), event.payload.keys());
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(target: "regrow", $level, event = name, %path, generation, "{text} {keys}")
        };
    }
    match level {
        Level::ERROR => line!(Level::ERROR),
        Level::WARN => line!(Level::WARN),
        Level::INFO => line!(Level::INFO),
        Level::DEBUG => line!(Level::DEBUG),
        Level::TRACE => line!(Level::TRACE),
    }
}

impl Event {
    /// How loud it is: `error` and `warn` are for somebody to look at, `info` are starts and ends.
    #[must_use]
    pub fn level(&self) -> Level {
        headline(&self.payload).0
    }
}

/// How loud an event is, and what it says in a word.
#[expect(clippy::too_many_lines, reason = "one table: what each event says")]
pub(crate) fn headline(payload: &Payload) -> (Level, &'static str) {
    match payload {
        Payload::ChildStarted { .. } => (Level::INFO, "started"),
        Payload::ChildReady { .. } => (Level::INFO, "ready"),
        Payload::ChildUnready { .. } => (Level::WARN, "not ready any more"),
        Payload::ActorStuck { .. } => (Level::WARN, "a handler is stuck"),
        Payload::ActorUnstuck {} => (Level::INFO, "its handler has come back"),
        Payload::ActorDeadlock { .. } => (Level::ERROR, "waits for itself"),
        Payload::ProbeExecuted { .. } => (Level::TRACE, "probed"),
        Payload::ProbeChanged {
            to: ProbeVerdict::Failure,
            ..
        } => (Level::WARN, "a probe fails"),
        Payload::ProbeChanged { .. } => (Level::INFO, "a probe says something else"),
        Payload::HealthChanged {
            to: Health::Up | Health::Unknown,
            ..
        } => (Level::INFO, "its health has changed"),
        Payload::HealthChanged { .. } => (Level::WARN, "its health has changed"),
        Payload::ChildStartFailed { .. } => (Level::WARN, "did not start"),
        Payload::ChildStopping { .. } => (Level::DEBUG, "stopping"),
        Payload::ChildTerminated { reason, .. } if reason.kind().is_abnormal() => {
            (Level::WARN, "ended")
        }
        Payload::ChildTerminated { .. } => (Level::INFO, "ended"),
        Payload::ChildEndedLate { .. } => (Level::INFO, "ended after it was given up on"),
        Payload::ChildStateChanged {
            to: Phase::Failed, ..
        } => (Level::ERROR, "given up on"),
        Payload::ChildStateChanged { .. } => (Level::DEBUG, "changed"),
        Payload::SupervisorChildAdded {} => (Level::DEBUG, "added"),
        Payload::SupervisorReconfigured { .. } => (Level::INFO, "goes by new rules"),
        Payload::RegistryEntryConflict { .. } => (Level::DEBUG, "wants a name that is taken"),
        Payload::RegistryEntryRegistered {} => (Level::DEBUG, "registered"),
        Payload::RegistryEntryUnregistered { .. } => (Level::DEBUG, "registered no more"),
        Payload::RegistryRebuilt { .. } => (Level::WARN, "the registry began anew"),
        Payload::RegistryWatchMissed { .. } => (
            Level::WARN,
            "somebody who watches is too slow and missed changes",
        ),
        Payload::SupervisorChildRemoved {} => (Level::DEBUG, "removed"),
        Payload::RestartScheduled { .. } => (Level::WARN, "will be restarted"),
        Payload::Restart {
            edge: Edge::Stop { .. },
            ..
        } => (Level::INFO, "runs again"),
        Payload::Restart { .. } => (Level::DEBUG, "restarting"),
        Payload::BackoffReset { .. } => (Level::DEBUG, "backoff starts over"),
        Payload::BreakerStateChanged {
            to: CircuitState::Open | CircuitState::ForcedOpen,
            ..
        } => (Level::WARN, "breaker opened"),
        Payload::BreakerStateChanged { .. } => (Level::INFO, "breaker changed"),
        Payload::BreakerWouldOpen { .. } => (Level::WARN, "breaker would have opened"),
        Payload::BreakerCall { .. } => (Level::TRACE, "call through a breaker"),
        Payload::BreakerRejected { .. } => (Level::DEBUG, "breaker refused calls"),
        Payload::BreakerLateResult { .. } => (Level::DEBUG, "calls ended too late to be judged"),
        Payload::PoolScaleDecided {
            direction: Direction::Up | Direction::Down,
            ..
        } => (Level::INFO, "pool changes its size"),
        Payload::PoolScaleDecided { .. } => (Level::DEBUG, "pool keeps its size"),
        Payload::PoolScaleBlocked { .. } => (Level::DEBUG, "pool does not get the size it wants"),
        Payload::PoolScale { .. } => (Level::DEBUG, "pool changes its size"),
        Payload::PoolWorkerAdded { .. } => (Level::DEBUG, "worker added"),
        Payload::PoolWorkerReady { .. } => (Level::DEBUG, "worker can be given work"),
        Payload::PoolWorkerDraining { .. } => {
            (Level::DEBUG, "worker finishes what it has, and goes")
        }
        Payload::PoolWorkerRemoved { .. } => (Level::DEBUG, "worker gone"),
        Payload::PoolWorkerEjected { .. } => (
            Level::WARN,
            "worker fails too often and gets no work for a while",
        ),
        Payload::PoolWorkerRestored { .. } => (Level::INFO, "worker is given work again"),
        Payload::PoolJob { .. } => (Level::TRACE, "job of a pool"),
        Payload::PoolJobRejected { .. } => (Level::DEBUG, "pool refused jobs"),
        Payload::PoolJobLost { .. } => (Level::WARN, "jobs were lost with their worker"),
        Payload::PoolJobQuarantined { .. } => (
            Level::ERROR,
            "a job has cost several workers their lives and is not tried again",
        ),
        Payload::PoolOverloadEntered { .. } => (Level::WARN, "pool has more work than it can do"),
        Payload::PoolOverloadLeft { .. } => (Level::INFO, "pool can do its work again"),
        Payload::Meltdown { .. } => (Level::ERROR, "gives up: its child failed too often"),
        Payload::MessageHandle { .. } => (Level::TRACE, "message"),
        Payload::ProcessSpawn { .. } => (Level::DEBUG, "process spawned"),
        Payload::ProcessExited { .. } => (Level::DEBUG, "process exited"),
        Payload::ProcessSignalled { .. } => (Level::DEBUG, "signalled"),
        Payload::ProcessOutput { .. } => (Level::TRACE, "output"),
        Payload::ProcessLogFailed { .. } => (Level::WARN, "its log file cannot be written"),
        Payload::ProcessLogResumed {} => (Level::INFO, "its log file is written again"),
        Payload::ProcessLogDropped { .. } => (Level::WARN, "its log file lacks lines"),
        Payload::ProcessNoticeRefused { .. } => (
            Level::WARN,
            "what came to its NOTIFY_SOCKET is not believed",
        ),
        Payload::ProcessShutdown { .. } => (Level::DEBUG, "process ended completely"),
        Payload::ProcessMemoryExceeded { .. } => (Level::WARN, "uses more memory than it may"),
        Payload::ProcessMemoryRelieved { .. } => (Level::INFO, "uses less memory again"),
        Payload::ProcessMemoryOverrun { .. } => {
            (Level::WARN, "used more memory than it may for too long")
        }
        Payload::ProcessLeaked { .. } => (Level::ERROR, "processes could not be ended"),
        Payload::PortAllocated {
            instead_of: Some(_),
            ..
        } => (Level::WARN, "moved to another port: a program has its own"),
        Payload::PortAllocated { .. } => (Level::DEBUG, "port leased"),
        Payload::PortReleased { .. } => (Level::DEBUG, "port given back"),
        Payload::PortOccupied { .. } => (Level::DEBUG, "ports passed over that are in use"),
        Payload::PortExhausted { .. } => (Level::WARN, "no port is left"),
        Payload::HttpRequest { .. } => (Level::DEBUG, "request"),
        Payload::GenAiOperation { .. } => (Level::DEBUG, "model or tool"),
        Payload::TelemetryHandlerFailure { .. } => {
            (Level::ERROR, "a handler panicked and was detached")
        }
        Payload::TelemetryQueueDropped { .. } => {
            (Level::WARN, "a handler is too slow and missed events")
        }
    }
}

impl Payload {
    /// The keys as `key=value`, without what must not leave the process.
    pub(super) const fn keys(&self) -> Keys<'_> {
        Keys(self)
    }
}

pub(super) struct Keys<'a>(&'a Payload);

impl std::fmt::Display for Keys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut first = true;
        for field in self
            .0
            .fields()
            .into_iter()
            .filter(|field| field.role != Role::Sensitive)
        {
            let Some(value) = field.value else { continue };
            let space = if std::mem::take(&mut first) { "" } else { " " };
            write!(f, "{space}{}=", field.key)?;
            match value {
                FieldValue::Count(count) => write!(f, "{count}")?,
                FieldValue::Ratio(ratio) => write!(f, "{ratio:.3}")?,
                FieldValue::Time(time) => write!(f, "{time:?}")?,
                FieldValue::Text(text) => write!(f, "{text:?}")?,
                FieldValue::List(list) => write!(f, "{list:?}")?,
            }
        }
        Ok(())
    }
}
