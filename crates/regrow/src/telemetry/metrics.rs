//! Events as counters and histograms, into any recorder of the `metrics` facade.
//!
//! Handles are registered once for each label set and kept where they are used: with the class of the children that an event is
//! about. So counting an event of a child costs an atomic, no look-up and no lock. A family takes at most 200 label sets: beyond that, values fold into
//! `other`, and `regrow_telemetry_label_overflows_total` tells.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit,
};

use regrow_core::probe::ProbeKind;
use regrow_core::scaler::Direction;

use super::catalogue::{MetricKind, MetricSchema};
use super::{Edge, Event, Payload, Subject};
#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
use crate::registry::Operation;
use families::*;
use meters::{Cell, Kept, Owner};

mod families;
mod meters;

pub(crate) use families::FAMILIES;
pub(super) use meters::Metered;

/// How many label sets a family may have.
const MAX_LABEL_SETS: usize = 200;

/// Buckets for starts, stops and waits, in seconds.
pub(crate) const LIFECYCLE: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
];
/// Buckets for what is over in no time, in seconds.
pub(crate) const FAST: &[f64] = &[
    1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
];
/// Buckets for look-ups in memory, in seconds.
pub(crate) const LOOK_UPS: &[f64] = &[
    1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1,
];
/// Buckets for work such as an HTTP request, in seconds.
pub(crate) const WORK: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// A family of counters or, with buckets, of histograms.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    labels: &'static [&'static str],
    pub(crate) buckets: &'static [f64],
}

impl Family {
    pub(super) const fn schema(&self) -> MetricSchema {
        let kind = if self.buckets.is_empty() {
            MetricKind::Counter
        } else {
            MetricKind::Histogram
        };
        MetricSchema {
            name: self.name,
            kind,
            labels: self.labels,
            help: self.help,
        }
    }
}

/// The histograms of one type of actor: wait and handle.
pub(super) fn actor_histograms(
    recorder: &dyn Recorder,
    type_name: &Arc<str>,
) -> (Histogram, Histogram) {
    let histogram = |family: &Family| {
        let label = Label::new("type", SharedString::from_shared(Arc::clone(type_name)));
        recorder.register_histogram(&Key::from_parts(family.name, vec![label]), &METADATA)
    };
    (histogram(&WAIT_SECONDS), histogram(&HANDLE_SECONDS))
}

/// How long look-ups of this kind in the registry take.
#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
pub(super) fn look_up_histogram(recorder: &dyn Recorder, operation: Operation) -> Histogram {
    let label = Label::new("operation", operation.as_str());
    let key = Key::from_parts(LOOKUP_SECONDS.name, vec![label]);
    recorder.register_histogram(&key, &METADATA)
}

const METADATA: Metadata<'static> = Metadata::new("regrow", Level::INFO, Some("regrow"));

type Values = [SharedString; 3];

#[derive(Clone)]
enum Handle {
    Counter(Counter),
    Histogram(Histogram),
}

/// Counts events in a recorder of the `metrics` facade.
///
/// Every system has one with a recorder of its own, for [`System::exporter`](crate::System::exporter). Another one brings the same
/// figures into a recorder of yours, or into the process-wide one:
///
/// ```
/// # fn example(system: &regrow::System) -> Result<(), regrow::telemetry::AttachError> {
/// use regrow::telemetry::MetricsHandler;
///
/// let handler = MetricsHandler::process_wide();
/// system.telemetry().attach("process-wide metrics", move |event| handler.handle(event))
/// # }
/// ```
pub struct MetricsHandler {
    recorder: Arc<dyn Recorder + Send + Sync>,
    handles: Mutex<HashMap<&'static str, HashMap<Values, Handle>>>,
    /// How many events of each kind: the counters of one domain are the same.
    events: [Cell<Counter>; Payload::KINDS],
    owner: Owner,
}

impl std::fmt::Debug for MetricsHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsHandler").finish_non_exhaustive()
    }
}

/// Whatever recorder the process has when it is asked.
struct ProcessWide;

impl Recorder for ProcessWide {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        metrics::with_recorder(|recorder| recorder.describe_counter(key, unit, description));
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        metrics::with_recorder(|recorder| recorder.describe_gauge(key, unit, description));
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        metrics::with_recorder(|recorder| recorder.describe_histogram(key, unit, description));
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        metrics::with_recorder(|recorder| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        metrics::with_recorder(|recorder| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        metrics::with_recorder(|recorder| recorder.register_histogram(key, metadata))
    }
}

impl MetricsHandler {
    /// Into the recorder that the process has when this is called; one that is installed later is not found.
    #[must_use]
    pub fn process_wide() -> Self {
        Self::new(Arc::new(ProcessWide))
    }

    /// Into this recorder.
    #[must_use]
    pub fn new(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        for family in FAMILIES {
            let name = KeyName::from_const_str(family.name);
            if family.buckets.is_empty() {
                recorder.describe_counter(name, None, family.help.into());
            } else {
                recorder.describe_histogram(name, None, family.help.into());
            }
        }
        Self {
            recorder,
            handles: Mutex::default(),
            events: [const { Cell::new() }; Payload::KINDS],
            owner: Owner::default(),
        }
    }

    /// Counts one event. The match is exhaustive: an event that nobody has thought of here does not compile.
    #[expect(clippy::too_many_lines, reason = "one table: what each event counts")]
    pub fn handle(&self, event: &Event) {
        let (subject, payload) = (&event.subject, &event.payload);
        let domain = || [payload.domain().into(), "".into(), "".into()];
        self.count(Some(&self.events[payload.kind()]), &EVENTS, domain, 1);
        let held = subject
            .class
            .as_ref()
            .map(|class| class.meters.of(&self.owner));
        let kept = held.as_deref();
        match payload {
            Payload::ChildStarted { took, .. } => {
                let values = || child(subject, "");
                self.count(kept.map(|kept| &kept.starts), &STARTS, values, 1);
                let cell = kept.map(|kept| &kept.start_seconds);
                self.observe(cell, &START_SECONDS, values, *took);
            }
            Payload::ChildStartFailed { reason, .. } => {
                let reason = reason.kind();
                let values = || child(subject, reason.as_str());
                let cell = kept.map(|kept| kept.start_failures(reason));
                self.count(cell, &START_FAILURES, values, 1);
            }
            Payload::ChildTerminated {
                reason,
                outcome,
                lifetime,
                stop_took,
                ..
            } => {
                let reason = reason.kind();
                let values = || child(subject, reason.as_str());
                let cell = kept.map(|kept| kept.terminations(reason));
                self.count(cell, &TERMINATIONS, values, 1);
                let cell = kept.map(|kept| &kept.lifetime_seconds);
                self.observe(cell, &LIFETIME_SECONDS, || child(subject, ""), *lifetime);
                if let Some(took) = stop_took {
                    let cell = kept.map(|kept| kept.stop_seconds(*outcome));
                    let values = || child(subject, outcome.as_str());
                    self.observe(cell, &STOP_SECONDS, values, *took);
                }
            }
            Payload::RestartScheduled {
                delay,
                reason,
                strategy,
                ..
            } => {
                let reason = reason.kind();
                let (word, scope) = (reason.as_str(), strategy.scope());
                let values = || [supervisor(subject), word.into(), scope.into()];
                let cell = kept.map(|kept| kept.restarts(reason, *strategy));
                self.count(cell, &RESTARTS, values, 1);
                let cell = kept.map(|kept| &kept.backoff_seconds);
                self.observe(cell, &BACKOFF_SECONDS, || of_supervisor(subject), *delay);
            }
            Payload::Restart {
                edge: Edge::Stop { duration: took },
                ..
            } => {
                let cell = kept.map(|kept| &kept.recovery_seconds);
                self.observe(cell, &RECOVERY_SECONDS, || of_supervisor(subject), *took);
            }
            Payload::BreakerCall { took, outcome } => {
                let values = || of_path(subject, outcome, "");
                self.observe(None, &BREAKER_SECONDS, values, *took);
            }
            Payload::PoolJob {
                wait,
                duration,
                outcome,
                ..
            } => {
                self.observe(None, &POOL_WAIT, || of_path(subject, "", ""), *wait);
                let values = || of_path(subject, outcome, "");
                self.observe(None, &POOL_JOB, values, *duration);
            }
            Payload::PoolScaleDecided {
                direction: direction @ (Direction::Up | Direction::Down),
                trigger,
                ..
            } => {
                let values = || of_path(subject, direction.as_str(), trigger.as_str());
                self.count(None, &POOL_SCALES, values, 1);
            }
            Payload::PoolScaleBlocked { reason, .. } => {
                let values = || of_path(subject, reason.as_str(), "");
                self.count(None, &POOL_BLOCKED, values, 1);
            }
            Payload::PoolScale {
                edge: Edge::Stop { duration: took },
                from,
                to,
            } if from < to => {
                self.observe(None, &POOL_SCALE_UP, || of_path(subject, "", ""), *took);
            }
            Payload::Meltdown { .. } => {
                self.count(None, &MELTDOWNS, || of_path(subject, "", ""), 1);
            }
            Payload::ProcessExited { reason, .. } => {
                let reason = reason.kind();
                let values = || of_type(subject, reason.as_str());
                let cell = kept.map(|kept| kept.process_exits(reason));
                self.count(cell, &PROCESS_EXITS, values, 1);
            }
            Payload::ProcessSignalled { signal, .. } => {
                let values = || of_type(subject, signal);
                self.count(None, &PROCESS_SIGNALS, values, 1);
            }
            Payload::ProcessShutdown {
                stage,
                edge: Edge::Stop { duration: took },
            } => {
                let values = || of_type(subject, stage.as_str());
                self.observe(None, &PROCESS_SHUTDOWN_SECONDS, values, *took);
            }
            Payload::ProcessOutput {
                stream,
                bytes,
                dropped,
            } => {
                let values = || of_type(subject, stream.as_str());
                let cell = kept.map(|kept| kept.process_output(*stream));
                self.count(cell, &PROCESS_OUTPUT, values, *bytes);
                let cell = kept.map(|kept| kept.process_dropped(*stream));
                self.count(cell, &PROCESS_DROPPED, values, *dropped);
            }
            Payload::ProbeExecuted {
                duration,
                probe,
                probe_kind,
                result,
            } => {
                let values = || of_probe(subject, probe, *probe_kind, result.as_str());
                self.count(None, &PROBES, values, 1);
                let values = || of_probe(subject, probe, *probe_kind, "");
                self.observe(None, &PROBE_SECONDS, values, *duration);
            }
            Payload::ProbeChanged {
                probe,
                probe_kind,
                to,
                ..
            } => {
                let values = || of_probe(subject, probe, *probe_kind, to.as_str());
                self.count(None, &PROBE_TRANSITIONS, values, 1);
            }
            Payload::HttpRequest {
                edge,
                route,
                method,
                status,
            } => {
                let Some(took) = edge.duration() else { return };
                // A client that went away before the answer has no status.
                let status = status.map_or("none".into(), |status| status.to_string().into());
                let values = || [(*route).into(), (*method).into(), status];
                self.count(None, &HTTP_REQUESTS, values, 1);
                let values = || [(*route).into(), "".into(), "".into()];
                self.observe(None, &HTTP_SECONDS, values, took);
            }
            Payload::TelemetryHandlerFailure { handler, .. } => {
                let values = || [handler.to_string().into(), "".into(), "".into()];
                self.count(None, &HANDLER_FAILURES, values, 1);
            }
            Payload::TelemetryQueueDropped { handler, dropped } => {
                let values = || [handler.to_string().into(), "queue_full".into(), "".into()];
                self.count(None, &DROPPED, values, *dropped);
            }
            // A counter that is there from the start, so that the first meltdown is seen as an increase.
            Payload::SupervisorChildAdded {} => {
                let cell = kept.map(|kept| &kept.meltdowns);
                self.count(cell, &MELTDOWNS, || of_supervisor(subject), 0);
            }
            Payload::ChildStopping { .. }
            | Payload::ChildReady { .. }
            | Payload::ChildUnready { .. }
            | Payload::HealthChanged { .. }
            | Payload::ActorStuck { .. }
            | Payload::ActorUnstuck {}
            | Payload::ActorDeadlock { .. }
            | Payload::ChildEndedLate { .. }
            | Payload::ChildStateChanged { .. }
            | Payload::SupervisorReconfigured { .. }
            | Payload::RegistryRebuilt { .. }
            | Payload::RegistryEntryConflict { .. }
            | Payload::RegistryEntryRegistered {}
            | Payload::RegistryEntryUnregistered { .. }
            | Payload::RegistryWatchMissed { .. }
            | Payload::SupervisorChildRemoved {}
            | Payload::BreakerStateChanged { .. }
            | Payload::BreakerWouldOpen { .. }
            | Payload::BreakerRejected { .. }
            | Payload::BreakerLateResult { .. }
            | Payload::PoolWorkerAdded { .. }
            | Payload::PoolWorkerReady { .. }
            | Payload::PoolWorkerDraining { .. }
            | Payload::PoolWorkerRemoved { .. }
            | Payload::PoolWorkerEjected { .. }
            | Payload::PoolWorkerRestored { .. }
            | Payload::PoolScaleDecided { .. }
            | Payload::PoolJobRejected { .. }
            | Payload::PoolJobLost { .. }
            | Payload::PoolJobQuarantined { .. }
            | Payload::PoolOverloadEntered { .. }
            | Payload::PoolOverloadLeft { .. }
            | Payload::PoolScale { .. }
            | Payload::BackoffReset { .. }
            | Payload::Restart { .. }
            | Payload::MessageHandle { .. }
            | Payload::GenAiOperation { .. }
            | Payload::ProcessSpawn { .. }
            | Payload::ProcessShutdown { .. }
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
            | Payload::PortExhausted { .. } => {}
        }
    }

    /// Raises the counter that `cell` keeps; it is looked up by its labels once, or each time where there is no cell.
    #[inline]
    fn count(
        &self,
        cell: Option<&Cell<Counter>>,
        family: &'static Family,
        values: impl FnOnce() -> Values,
        by: u64,
    ) {
        match cell.and_then(Cell::get) {
            Some(kept) => kept.raise(by),
            None => self.count_anew(cell, family, values, by),
        }
    }

    /// Away from the path that every event takes.
    #[cold]
    #[inline(never)]
    fn count_anew(
        &self,
        cell: Option<&Cell<Counter>>,
        family: &'static Family,
        values: impl FnOnce() -> Values,
        by: u64,
    ) {
        let look_up = || match self.handle_of(family, values()) {
            (Handle::Counter(handle), overflows) => Kept { handle, overflows },
            (Handle::Histogram(_), _) => unreachable!("{} counts", family.name),
        };
        match cell {
            Some(cell) => cell.get_or_init(look_up).raise(by),
            None => look_up().raise(by),
        }
    }

    /// Like [`Self::count`], for a histogram.
    #[inline]
    fn observe(
        &self,
        cell: Option<&Cell<Histogram>>,
        family: &'static Family,
        values: impl FnOnce() -> Values,
        value: Duration,
    ) {
        match cell.and_then(Cell::get) {
            Some(kept) => kept.record(value),
            None => self.observe_anew(cell, family, values, value),
        }
    }

    #[cold]
    #[inline(never)]
    fn observe_anew(
        &self,
        cell: Option<&Cell<Histogram>>,
        family: &'static Family,
        values: impl FnOnce() -> Values,
        value: Duration,
    ) {
        let look_up = || match self.handle_of(family, values()) {
            (Handle::Histogram(handle), overflows) => Kept { handle, overflows },
            (Handle::Counter(_), _) => unreachable!("{} observes", family.name),
        };
        match cell {
            Some(cell) => cell.get_or_init(look_up).record(value),
            None => look_up().record(value),
        }
    }

    /// The handle of a label set; with the counter of overflows, where the family was full.
    fn handle_of(&self, family: &'static Family, values: Values) -> (Handle, Option<Counter>) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = handles.entry(family.name).or_default();
        if let Some(handle) = sets.get(&values) {
            return (handle.clone(), None);
        }
        let overflows = sets.len() >= MAX_LABEL_SETS;
        let values: Values = if overflows {
            std::array::from_fn(|_| "other".into())
        } else {
            values
        };
        let handle = sets
            .entry(values.clone())
            .or_insert_with(|| self.register(family, &values))
            .clone();
        drop(handles);
        let overflows = overflows.then(|| {
            let labels = [family.name.into(), "".into(), "".into()];
            match self.handle_of(&OVERFLOWS, labels) {
                (Handle::Counter(counter), _) => counter,
                (Handle::Histogram(_), _) => unreachable!("overflows are counted"),
            }
        });
        (handle, overflows)
    }

    fn register(&self, family: &'static Family, values: &Values) -> Handle {
        let labels: Vec<Label> = family
            .labels
            .iter()
            .zip(values)
            .map(|(name, value)| Label::new(*name, value.clone()))
            .collect();
        let key = Key::from_parts(family.name, labels);
        if family.buckets.is_empty() {
            Handle::Counter(self.recorder.register_counter(&key, &METADATA))
        } else {
            Handle::Histogram(self.recorder.register_histogram(&key, &METADATA))
        }
    }
}

fn child(subject: &Subject, third: &'static str) -> Values {
    [
        subject.kind.as_str().into(),
        SharedString::from_shared(Arc::clone(&subject.type_name)),
        third.into(),
    ]
}

fn of_type(subject: &Subject, second: &'static str) -> Values {
    [
        SharedString::from_shared(Arc::clone(&subject.type_name)),
        second.into(),
        "".into(),
    ]
}

/// A probe is called by the type of its child and its own name: both have few values.
fn of_probe(subject: &Subject, probe: &str, kind: ProbeKind, third: &'static str) -> Values {
    let name = format!("{}/{probe}", subject.type_name);
    [name.into(), kind.as_str().into(), third.into()]
}

/// Of whom it is, by his path.
fn of_path(subject: &Subject, second: &'static str, third: &'static str) -> Values {
    let path = subject.path.to_string();
    [path.into(), second.into(), third.into()]
}

fn of_supervisor(subject: &Subject) -> Values {
    [supervisor(subject), "".into(), "".into()]
}

fn supervisor(subject: &Subject) -> SharedString {
    subject.path.parent().unwrap_or_default().to_owned().into()
}
