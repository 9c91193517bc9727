//! Events as log lines, through `tracing`, target `regrow`.
//!
//! What a person has to look at is `warn` or `error`: a child that failed, a restart, something given up on. The rest is `info`
//! (starts and stops) or `debug`.

use regrow_core::{Phase, StopCause};
use tracing::Level;

use super::{Event, Payload};

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
            line!(Level::WARN, %reason, attempt, "did not start")
        }
        Payload::ChildStopping { cause } => line!(Level::DEBUG, %cause, "stopping"),
        Payload::ChildTerminated {
            reason,
            outcome,
            cause,
            lifetime,
            ..
        } => {
            let cause = cause.map(StopCause::as_str);
            if reason.kind().is_abnormal() {
                line!(Level::WARN, %reason, outcome = outcome.as_str(), cause, ?lifetime, "ended");
            } else {
                line!(Level::INFO, %reason, outcome = outcome.as_str(), cause, ?lifetime, "ended");
            }
        }
        Payload::ChildStateChanged {
            from,
            to: Phase::Failed,
            why,
        } => {
            line!(Level::ERROR, %from, why = why.as_deref(), "given up on");
        }
        Payload::ChildStateChanged { from, to, .. } => line!(Level::DEBUG, %from, %to, "changed"),
        Payload::SupervisorChildAdded => line!(Level::DEBUG, "added"),
        Payload::SupervisorChildRemoved => line!(Level::DEBUG, "removed"),
        Payload::RestartScheduled {
            delay,
            attempt,
            restarts_in_window,
            max_restarts,
            reason,
            strategy,
        } => {
            line!(Level::WARN, ?delay, attempt, restarts_in_window, max_restarts, %reason, %strategy, "will be restarted");
        }
        Payload::Restarted { took } => line!(Level::INFO, ?took, "runs again"),
        Payload::BackoffReset { stable_for } => {
            line!(Level::DEBUG, ?stable_for, "backoff starts over")
        }
        Payload::Meltdown {
            child,
            restarts,
            window,
            last_reason,
        } => {
            line!(Level::ERROR, %child, restarts, ?window, %last_reason, "gives up: its child failed too often");
        }
        Payload::ProcessSpawned { pid, took } => line!(Level::DEBUG, pid, ?took, "spawned"),
        Payload::ProcessExited { pid, reason } => {
            line!(Level::DEBUG, pid, %reason, "process exited")
        }
        Payload::ProcessSignalled { pid, signal } => line!(Level::DEBUG, pid, signal, "signalled"),
        Payload::ProcessOutput {
            stream,
            bytes,
            dropped,
        } => {
            line!(
                Level::TRACE,
                stream = stream.as_str(),
                bytes,
                dropped,
                "output"
            );
        }
        Payload::ProcessShutdown { stage, took } => {
            line!(Level::DEBUG, stage = stage.as_str(), ?took, "nothing left")
        }
        Payload::ProcessLeaked { pids } => {
            line!(Level::ERROR, ?pids, "processes could not be ended")
        }
        Payload::HttpRequest {
            route,
            method,
            status,
            took,
        } => {
            line!(Level::DEBUG, route, method, status, ?took, "answered");
        }
        Payload::TelemetryHandlerFailure { handler, message } => {
            line!(Level::ERROR, %handler, %message, "a telemetry handler panicked and was detached");
        }
    }
}
