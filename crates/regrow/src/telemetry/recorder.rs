//! The flight recorder: the last events of the whole system in one ring, for the report when something has crashed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handler::without_secrets;
use super::{AttachError, Event, Payload, Telemetry};
use crate::path::ChildPath;

/// How many events the ring holds, whoever they are about.
const CAPACITY: usize = 1_024;

/// How many of its events a crash report carries.
const PER_REPORT: usize = 32;

/// One ring for all: a quiet child's events may have been pushed out by a loud one's. Events lie in it as they are, so that keeping
/// one costs no allocation.
#[derive(Debug, Default)]
pub(super) struct FlightRecorder(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    events: Vec<Event>,
    /// Where the oldest is, once the ring is full.
    oldest: usize,
}

impl FlightRecorder {
    /// Keeps an event in the place of the oldest, which is there afterwards: to be dropped without the lock, for a user's error may
    /// be in it, with a `Drop` of its own. Events are large, so they are exchanged where they lie.
    pub(super) fn record(&self, event: &mut Event) {
        redact(event);
        let mut ring = self.lock();
        ring.exchange(event);
    }

    /// Keeps the events of one turn, and takes the lock for them once.
    pub(super) fn record_all(&self, events: &mut Vec<Event>) {
        events.iter_mut().for_each(redact);
        let mut ring = self.lock();
        events.iter_mut().for_each(|event| ring.exchange(event));
        drop(ring);
        events.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last events about a child, oldest first, at most so many.
    fn of(&self, path: &ChildPath, at_most: usize) -> Vec<Arc<Event>> {
        let ring = self.lock();
        let (newest, before) = ring.events.split_at(ring.oldest);
        let own = newest
            .iter()
            .rev()
            .chain(before.iter().rev())
            .filter(|event| event.subject.path == *path);
        let mut own: Vec<Arc<Event>> = own.take(at_most).cloned().map(Arc::new).collect();
        drop(ring);
        // A supervisor brings its events at the end of its turn; the child itself brings its own at once.
        own.sort_by_key(|event| event.seq);
        own
    }
}

fn redact(event: &mut Event) {
    if event.payload.is_sensitive() {
        event.payload.redact();
    }
}

impl Ring {
    fn exchange(&mut self, event: &mut Event) {
        if self.events.len() < CAPACITY {
            return self.events.push(event.clone());
        }
        let oldest = self.oldest;
        self.oldest = (oldest + 1) % CAPACITY;
        std::mem::swap(&mut self.events[oldest], event);
    }
}

/// A life that ended, or a start that failed, with what was told of the child before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CrashReport {
    /// The last events about the child that are still known, oldest first, at most 32; the end itself is the last of them. What is
    /// sensitive is empty in them.
    pub events: Vec<Arc<Event>>,
}

impl CrashReport {
    /// Whom it is about.
    #[must_use]
    pub fn path(&self) -> Option<&ChildPath> {
        self.events.last().map(|event| &event.subject.path)
    }
}

impl std::fmt::Display for CrashReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(last) = self.events.last() else {
            return Ok(());
        };
        write!(
            f,
            "child \"{}\", generation {}:",
            last.subject.path, last.subject.generation
        )?;
        for event in &self.events {
            let before = last.at.duration_since(event.at).unwrap_or_default();
            write!(
                f,
                "\n  -{:.3} s  #{} {} {}",
                before.as_secs_f64(),
                event.seq,
                event.name(),
                event.payload.keys()
            )?;
        }
        Ok(())
    }
}

impl Telemetry {
    /// The last events about a child that are still known, oldest first, at most 32. The ring holds 1,024 events of the whole
    /// system; looking costs a walk over it. What a supervisor tells in one turn of its mailbox comes in at the end of that turn, and
    /// before it, if the turn tells of a crash.
    #[must_use]
    pub fn recent(&self, path: &ChildPath) -> Vec<Arc<Event>> {
        self.shared.recorder.of(path, PER_REPORT)
    }

    /// Calls `handler`, inline, with a report of each life that ends abnormally and each start that fails.
    ///
    /// # Errors
    /// When the name is in use, or 64 handlers are attached.
    pub fn attach_crash_reports(
        &self,
        id: &str,
        handler: impl Fn(&CrashReport) + Send + Sync + 'static,
    ) -> Result<(), AttachError> {
        let shared = Arc::downgrade(&self.shared);
        self.attach(id, move |event| {
            if let (true, Some(shared)) = (is_crash(&event.payload), shared.upgrade()) {
                let path = &event.subject.path;
                let mut events = shared.recorder.of(path, PER_REPORT - 1);
                events.push(without_secrets(event));
                handler(&CrashReport { events });
            }
        })
    }
}

pub(super) fn is_crash(payload: &Payload) -> bool {
    match payload {
        Payload::ChildTerminated { reason, .. } => reason.kind().is_abnormal(),
        Payload::ChildStartFailed { .. } | Payload::Meltdown { .. } => true,
        Payload::ChildStarted { .. }
        | Payload::ChildReady { .. }
        | Payload::ChildUnready { .. }
        | Payload::ProbeExecuted { .. }
        | Payload::ProbeChanged { .. }
        | Payload::HealthChanged { .. }
        | Payload::ActorStuck { .. }
        | Payload::ActorUnstuck {}
        | Payload::ActorDeadlock { .. }
        | Payload::ChildStopping { .. }
        | Payload::ChildEndedLate { .. }
        | Payload::ChildStateChanged { .. }
        | Payload::SupervisorChildAdded {}
        | Payload::SupervisorChildRemoved {}
        | Payload::SupervisorReconfigured { .. }
        | Payload::RegistryRebuilt { .. }
        | Payload::RegistryEntryConflict { .. }
        | Payload::RegistryEntryRegistered {}
        | Payload::RegistryEntryUnregistered { .. }
        | Payload::RegistryWatchMissed { .. }
        | Payload::RestartScheduled { .. }
        | Payload::BackoffReset { .. }
        | Payload::BreakerStateChanged { .. }
        | Payload::BreakerWouldOpen { .. }
        | Payload::BreakerCall { .. }
        | Payload::BreakerRejected { .. }
        | Payload::BreakerLateResult { .. }
        | Payload::PoolWorkerAdded { .. }
        | Payload::PoolWorkerReady { .. }
        | Payload::PoolWorkerDraining { .. }
        | Payload::PoolWorkerRemoved { .. }
        | Payload::PoolWorkerEjected { .. }
        | Payload::PoolWorkerRestored { .. }
        | Payload::PoolScaleDecided { .. }
        | Payload::PoolScaleBlocked { .. }
        | Payload::PoolJob { .. }
        | Payload::PoolJobRejected { .. }
        | Payload::PoolJobLost { .. }
        | Payload::PoolJobQuarantined { .. }
        | Payload::PoolOverloadEntered { .. }
        | Payload::PoolOverloadLeft { .. }
        | Payload::PoolScale { .. }
        | Payload::ProcessExited { .. }
        | Payload::ProcessSignalled { .. }
        | Payload::ProcessOutput { .. }
        | Payload::ProcessLogFailed { .. }
        | Payload::ProcessLogResumed {}
        | Payload::ProcessLogDropped { .. }
        | Payload::ProcessMemoryExceeded { .. }
        | Payload::ProcessMemoryRelieved { .. }
        | Payload::ProcessMemoryOverrun { .. }
        | Payload::ProcessNoticeRefused { .. }
        | Payload::ProcessLeaked { .. }
        | Payload::PortAllocated { .. }
        | Payload::PortReleased { .. }
        | Payload::PortOccupied { .. }
        | Payload::PortExhausted { .. }
        | Payload::TelemetryHandlerFailure { .. }
        | Payload::TelemetryQueueDropped { .. }
        | Payload::Restart { .. }
        | Payload::MessageHandle { .. }
        | Payload::GenAiOperation { .. }
        | Payload::ProcessSpawn { .. }
        | Payload::ProcessShutdown { .. }
        | Payload::HttpRequest { .. } => false,
    }
}
