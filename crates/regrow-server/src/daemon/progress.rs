//! What happens to the agents, for whoever looks on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regrow::breaker::{CircuitCause, CircuitState};
use regrow::pool::Direction;
use regrow::telemetry::{Edge, Event, Payload, Telemetry};
use regrow::{ExitReason, System};
use regrow_core::{Phase, StopCause};
use regrow_process::Stream;
use tokio::sync::{mpsc, watch};

use super::{Roster, breakers};
use crate::wire::DaemonPhase;

/// How many events wait for whoever looks on; who is slower misses some.
const QUEUE: usize = 4096;
/// The name of our handler.
const HANDLER: &str = "daemon";
/// Where a failed agent's last words are looked for.
const LAST_LINES: usize = 50;

/// One thing that happened to one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The agent's id; `group/` and its id for a group, `pool/` for a pool, `breaker/` for a breaker.
    pub(crate) id: String,
    /// Which of its lives.
    pub(crate) generation: u32,
    /// What happened.
    pub(crate) what: What,
}

/// What can happen to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Its process was spawned, and its start window runs.
    Spawned {
        /// The process.
        pid: u32,
    },
    /// It is up.
    Running {
        /// The process.
        pid: Option<u32>,
        /// Where it was told to listen.
        port: Option<u16>,
        /// How long the start took.
        took: Duration,
    },
    /// Its start failed, or it ended by itself; what follows is told next.
    Ended {
        /// How, in words.
        reason: String,
        /// The last line it wrote to its standard error.
        last_words: Option<String>,
    },
    /// It will be started again.
    Restarting {
        /// When.
        delay: Duration,
        /// How its life ended, in words.
        reason: String,
    },
    /// It is being stopped.
    Stopping {
        /// For what.
        cause: StopCause,
        /// Why, in words, where there is more to say.
        why: Option<String>,
    },
    /// It may be given work from now on: a probe says so, or it does itself.
    Ready,
    /// It may be given no work for the time being.
    Unready {
        /// Why, in words.
        why: String,
    },
    /// It is being stopped by its supervisor, which does not end: its start took too long, or its group begins anew.
    Withdrawn,
    /// It was stopped and is gone.
    Stopped {
        /// How long that took.
        took: Option<Duration>,
        /// How it ended, in words.
        reason: String,
    },
    /// It is held.
    Paused,
    /// It goes on.
    Resumed,
    /// It ended as it should and is not started again.
    Completed,
    /// It is parked: it is not started again.
    Failed {
        /// Why, in words.
        reason: String,
        /// The last line it wrote to its standard error.
        last_words: Option<String>,
    },
    /// Processes of it could not be ended.
    Leaked {
        /// Which.
        pids: Vec<u32>,
    },
    /// Another program has its port, so it gets another.
    Moved {
        /// The one that it had.
        from: u16,
        /// The one that it has.
        to: u16,
    },
    /// A breaker lets calls through again, or does not any more. That it tries is not told.
    Breaker {
        /// What it does now.
        to: CircuitState,
        /// Why.
        cause: CircuitCause,
        /// How long it will be until it tries.
        wait: Option<Duration>,
    },
    /// A pool is to have another number of workers.
    Scaled {
        /// Why, in words, and how many.
        why: String,
    },
    /// Its log file cannot be written, or is written again.
    Log {
        /// Why it cannot; none when it can again.
        error: Option<String>,
    },
}

/// What happens to the agents, in order.
#[derive(Debug)]
pub(crate) struct ProgressStream {
    events: mpsc::Receiver<Event>,
    roster: Arc<Roster>,
}

/// What there is to tell of a child that has come from one phase to another, and has not failed.
fn rests(from: Phase, to: Phase) -> Option<What> {
    match to {
        Phase::Completed => Some(What::Completed),
        Phase::Paused => Some(What::Paused),
        Phase::Running if from == Phase::Paused => Some(What::Resumed),
        Phase::Pending
        | Phase::Starting
        | Phase::Running
        | Phase::Draining
        | Phase::Stopping
        | Phase::Backoff
        | Phase::Failed
        | Phase::Stopped => None,
    }
}

/// Listens from now on; every change also turns `changes`.
pub(super) fn attach(telemetry: &Telemetry, changes: watch::Sender<u64>) -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(QUEUE);
    let missed = AtomicU64::new(0);
    let listen = move |event: &Event| {
        if !is_change(&event.payload) {
            return;
        }
        changes.send_modify(|turns| *turns = turns.wrapping_add(1));
        if sender.try_send(event.clone()).is_err() {
            let missed = missed.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::trace!(missed, "nobody looks on");
        }
    };
    if let Err(error) = telemetry.attach(HANDLER, listen) {
        tracing::warn!(%error, "no progress is told, and waits look once a second");
    }
    events
}

/// Ends the listening: what has happened can still be read, then the stream ends.
pub(super) fn detach(system: &System) {
    if !system.telemetry().detach(HANDLER) {
        tracing::debug!("nobody listened");
    }
}

/// Whether an event tells of a change with an agent, not of its work.
fn is_change(payload: &Payload) -> bool {
    match payload {
        Payload::ProcessOutput { .. }
        | Payload::ProbeExecuted { .. }
        | Payload::ProbeChanged { .. }
        | Payload::HealthChanged { .. }
        | Payload::ActorStuck { .. }
        | Payload::ActorUnstuck {}
        | Payload::ActorDeadlock { .. }
        | Payload::ProcessLogDropped { .. }
        | Payload::ProcessNoticeRefused { .. }
        | Payload::HttpRequest { .. }
        | Payload::BreakerCall { .. }
        | Payload::BreakerRejected { .. }
        | Payload::BreakerLateResult { .. }
        | Payload::MessageHandle { .. }
        | Payload::GenAiOperation { .. }
        | Payload::TelemetryHandlerFailure { .. }
        | Payload::TelemetryQueueDropped { .. } => false,
        Payload::ChildStarted { .. }
        | Payload::ChildReady { .. }
        | Payload::ChildUnready { .. }
        | Payload::ChildStartFailed { .. }
        | Payload::ChildStopping { .. }
        | Payload::ChildTerminated { .. }
        | Payload::ChildStateChanged { .. }
        | Payload::SupervisorChildAdded {}
        | Payload::SupervisorChildRemoved {}
        | Payload::RestartScheduled { .. }
        | Payload::Restart { .. }
        | Payload::BackoffReset { .. }
        | Payload::Meltdown { .. }
        | Payload::ProcessSpawn { .. }
        | Payload::ProcessExited { .. }
        | Payload::ProcessSignalled { .. }
        | Payload::ProcessShutdown { .. }
        | Payload::ProcessLeaked { .. }
        | Payload::ProcessLogFailed { .. }
        | Payload::ProcessLogResumed {}
        // More may come with time.
        | _ => true,
    }
}

/// What is told of a group: that it begins anew as a whole, or is given up on. The rest is told of its agents.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all else is told of the agents in it"
)]
fn of_group(event: &Event) -> Option<What> {
    match &event.payload {
        Payload::RestartScheduled { delay, reason, .. } => Some(What::Restarting {
            delay: *delay,
            reason: reason.to_string(),
        }),
        Payload::ChildStateChanged {
            to: Phase::Failed,
            why,
            ..
        } => Some(What::Failed {
            reason: why.as_deref().unwrap_or("given up").to_owned(),
            last_words: None,
        }),
        _ => None,
    }
}

/// What is told of a pool: that its size changes, and why.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all else is told of the workers in it, or by metrics"
)]
fn of_pool(event: &Event) -> Option<What> {
    match &event.payload {
        Payload::PoolScaleDecided { direction, why, .. } if *direction != Direction::Hold => {
            Some(What::Scaled {
                why: why.to_string(),
            })
        }
        _ => of_group(event),
    }
}

/// What is told of a breaker: a trial that fails, after which it is open as before, is none of it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all else is told of breakers by their metrics"
)]
fn of_breaker(event: &Event) -> Option<What> {
    match event.payload {
        Payload::BreakerStateChanged {
            to: CircuitState::HalfOpen,
            ..
        }
        | Payload::BreakerStateChanged {
            from: CircuitState::HalfOpen,
            to: CircuitState::Open,
            ..
        } => None,
        Payload::BreakerStateChanged {
            to,
            cause,
            retry_after,
            ..
        } => Some(What::Breaker {
            to,
            cause,
            wait: retry_after,
        }),
        _ => None,
    }
}

impl ProgressStream {
    /// The events of a system, told in terms of its agents.
    pub(super) fn new(events: mpsc::Receiver<Event>, roster: Arc<Roster>) -> Self {
        Self { events, roster }
    }

    /// The next thing that happened; none after the last one, when the system has ended.
    pub(crate) async fn next(&mut self) -> Option<Progress> {
        loop {
            let event = self.events.recv().await?;
            if let Some(progress) = self.read(&event) {
                return Some(progress);
            }
        }
    }

    fn read(&self, event: &Event) -> Option<Progress> {
        if let Some(moved) = self.moved(&event.payload) {
            return Some(moved);
        }
        let path = &event.subject.path;
        let (agent, what) = if let Some(id) = self.roster.agent_at(path) {
            let what = self.what(&id, event)?;
            (id, what)
        } else if self.roster.is_group(path.id(), path.as_str()) {
            (format!("group/{}", path.id()), of_group(event)?)
        } else if let Some(pool) = self.roster.pool_at(path.as_str()) {
            (format!("pool/{pool}"), of_pool(event)?)
        } else if let Some(pool) = self.roster.starts_of(path) {
            (format!("pool/{pool}"), of_breaker(event)?)
        } else if breakers::path(path.id()) == path.as_str() {
            (format!("breaker/{}", path.id()), of_breaker(event)?)
        } else {
            return None;
        };
        Some(Progress {
            id: agent,
            generation: event.subject.generation,
            what,
        })
    }

    /// That an agent moved is told of whoever leases ports.
    fn moved(&self, payload: &Payload) -> Option<Progress> {
        let Payload::PortAllocated {
            port: to,
            instead_of: Some(from),
            holder,
            ..
        } = payload
        else {
            return None;
        };
        let handle = self.roster.handle(holder)?;
        Some(Progress {
            id: holder.to_string(),
            generation: handle.status().generation,
            what: What::Moved {
                from: *from,
                to: *to,
            },
        })
    }

    fn what(&self, id: &str, event: &Event) -> Option<What> {
        match &event.payload {
            Payload::ProcessSpawn {
                edge: Edge::Stop { .. },
                pid: Some(pid),
                ..
            } => Some(What::Spawned { pid: *pid }),
            Payload::ChildStarted { took, .. } => Some(self.running(id, *took)),
            Payload::ChildStartFailed { reason, .. } => Some(self.ended(id, event, reason)),
            Payload::ChildReady { .. } => Some(What::Ready),
            Payload::ChildUnready { why } => Some(What::Unready {
                why: why.to_string(),
            }),
            Payload::ChildStopping { cause, why } => {
                Some(self.stopping(*cause, why.as_deref().map(str::to_owned)))
            }
            Payload::ChildTerminated {
                reason,
                cause,
                stop_took,
                ..
            } => Some(match cause {
                Some(_) => What::Stopped {
                    took: *stop_took,
                    reason: reason.to_string(),
                },
                None => self.ended(id, event, reason),
            }),
            Payload::RestartScheduled { delay, reason, .. } => Some(What::Restarting {
                delay: *delay,
                reason: reason.to_string(),
            }),
            Payload::ChildStateChanged {
                to: Phase::Failed,
                why,
                ..
            } => Some(What::Failed {
                reason: why.as_deref().unwrap_or("given up").to_owned(),
                last_words: self.last_words(id, event.subject.generation),
            }),
            Payload::ChildStateChanged { from, to, .. } => rests(*from, *to),
            Payload::ProcessLeaked { pids } => Some(What::Leaked { pids: pids.clone() }),
            Payload::ProcessLogFailed { error } => Some(What::Log {
                error: Some(error.to_string()),
            }),
            Payload::ProcessLogResumed {} => Some(What::Log { error: None }),
            // What does not concern an agent's coming and going; more may come with time.
            Payload::SupervisorChildAdded {}
            | Payload::SupervisorChildRemoved {}
            | Payload::ProbeExecuted { .. }
            | Payload::ProbeChanged { .. }
            | Payload::HealthChanged { .. }
            | Payload::ActorStuck { .. }
            | Payload::ActorUnstuck {}
            | Payload::ActorDeadlock { .. }
            | Payload::Restart { .. }
            | Payload::BackoffReset { .. }
            | Payload::Meltdown { .. }
            | Payload::ProcessSpawn { .. }
            | Payload::ProcessExited { .. }
            | Payload::ProcessSignalled { .. }
            | Payload::ProcessOutput { .. }
            | Payload::ProcessLogDropped { .. }
            | Payload::ProcessNoticeRefused { .. }
            | Payload::ProcessShutdown { .. }
            | Payload::HttpRequest { .. }
            | Payload::MessageHandle { .. }
            | Payload::GenAiOperation { .. }
            | Payload::TelemetryHandlerFailure { .. }
            | Payload::TelemetryQueueDropped { .. }
            | _ => None,
        }
    }

    /// A supervisor also stops whose start took too long, and all of a group that begins anew.
    fn stopping(&self, cause: StopCause, why: Option<String>) -> What {
        match (cause, self.roster.phase()) {
            (StopCause::Parent, DaemonPhase::Starting | DaemonPhase::Running) => What::Withdrawn,
            (cause, _) => What::Stopping { cause, why },
        }
    }

    fn ended(&self, id: &str, event: &Event, reason: &ExitReason) -> What {
        What::Ended {
            reason: reason.to_string(),
            last_words: self.last_words(id, event.subject.generation),
        }
    }

    fn running(&self, id: &str, took: Duration) -> What {
        let status = self.roster.handle(id).map(|handle| handle.status());
        What::Running {
            pid: status.as_ref().and_then(|status| status.pid),
            port: status.and_then(|status| status.port),
            took,
        }
    }

    fn last_words(&self, id: &str, generation: u32) -> Option<String> {
        let lines = self.roster.handle(id)?.output().tail(LAST_LINES);
        lines
            .iter()
            .rev()
            .filter(|line| line.generation == generation && line.stream == Stream::Stderr)
            .map(regrow_process::Line::text)
            .find(|text| !text.trim().is_empty())
    }
}
