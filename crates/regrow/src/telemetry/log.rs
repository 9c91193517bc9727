//! Events as log lines, through `tracing`, target `regrow`.
//!
//! What a person has to look at is `warn` or `error`: a child that failed, a restart, something given up on. The rest is `info`
//! (starts and stops) or `debug`.

use regrow_core::{Phase, StopCause};
use tracing::Level;

use super::{Edge, Event, FieldValue, Payload, Role};

/// The handler.
pub(crate) fn log(event: &Event) {
    let path = &event.subject.path;
    let generation = event.subject.generation;
    let name = event.name();
    macro_rules! line {
        ($level:expr, $($text:tt)*) => {
            tracing::event!(target: "regrow", $level, event = name, %path, generation, $($text)*)
        };
    }
    match &event.payload {
        Payload::ChildStarted { took, attempt } => line!(Level::INFO, ?took, attempt, "started"),
        Payload::ChildStartFailed { reason, attempt } => {
            line!(Level::WARN, %reason, attempt, "did not start");
        }
        Payload::ChildStopping { cause } => line!(Level::DEBUG, %cause, "stopping"),
        Payload::ChildTerminated {
            reason,
            outcome,
            cause,
            lifetime,
            ..
        } => {
            let (cause, outcome) = (cause.map(StopCause::as_str), outcome.as_str());
            if reason.kind().is_abnormal() {
                line!(Level::WARN, %reason, outcome, cause, ?lifetime, "ended");
            } else {
                line!(Level::INFO, %reason, outcome, cause, ?lifetime, "ended");
            }
        }
        Payload::ChildStateChanged {
            from,
            to: Phase::Failed,
            why,
        } => {
            line!(Level::ERROR, %from, why = why.as_deref(), "given up on");
        }
        Payload::RestartScheduled {
            delay,
            attempt,
            restarts_in_window,
            max_restarts,
            reason,
            ..
        } => {
            line!(Level::WARN, ?delay, attempt, restarts_in_window, max_restarts, %reason, "will be restarted");
        }
        Payload::Meltdown {
            child,
            restarts,
            window,
            last_reason,
        } => {
            line!(Level::ERROR, %child, restarts, ?window, %last_reason, "gives up: its child failed too often");
        }
        Payload::ProcessLeaked { pids } => {
            line!(Level::ERROR, ?pids, "processes could not be ended")
        }
        Payload::TelemetryHandlerFailure { handler, message } => {
            line!(Level::ERROR, %handler, %message, "a telemetry handler panicked and was detached");
        }
        Payload::TelemetryQueueDropped { handler, dropped } => {
            line!(Level::WARN, %handler, dropped, "a telemetry handler is too slow and missed events");
        }
        Payload::Restart {
            edge: Edge::Stop { duration },
            ..
        } => line!(Level::INFO, ?duration, "runs again"),
        Payload::ProcessOutput { .. } => {
            line!(Level::TRACE, fields = %Keys(&event.payload), "{}", event.name())
        }
        Payload::ChildStateChanged { .. }
        | Payload::SupervisorChildAdded {}
        | Payload::SupervisorChildRemoved {}
        | Payload::BackoffReset { .. }
        | Payload::ProcessExited { .. }
        | Payload::ProcessSignalled { .. }
        | Payload::Restart { .. }
        | Payload::ProcessSpawn { .. }
        | Payload::ProcessShutdown { .. }
        | Payload::HttpRequest { .. } => {
            line!(Level::DEBUG, fields = %Keys(&event.payload), "{}", event.name())
        }
    }
}

/// The keys of an event as `key=value`, without what must not leave the process.
struct Keys<'a>(&'a Payload);

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
                FieldValue::Time(time) => write!(f, "{time:?}")?,
                FieldValue::Text(text) => write!(f, "{text:?}")?,
                FieldValue::List(list) => write!(f, "{list:?}")?,
            }
        }
        Ok(())
    }
}
