//! One task for each signal: it gathers, encodes off the runtime's workers, sends, and tries again within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use regrow_core::{ChildKind, Phase};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use super::client::{Again, Client};
use super::instruments::{collect, computed};
use super::records::{Origin, log_record, scope};
use super::router::Open;
use super::{HANDLER, Signal};
use crate::system::System;
use crate::telemetry::instruments::Instruments;
use crate::telemetry::losses::Losses;
use crate::telemetry::{Census, Event, Payload, Subject, Telemetry, Workforce, actor_families};
use crate::time;

/// How many records one request carries at most.
const BATCH: usize = 512;

/// How often a batch is offered before it is dropped.
const ATTEMPTS: u32 = 5;

/// The wait before the second attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest that a collector may put us off.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What was lost, and how much of that has been told.
pub(super) struct Tally {
    lost: AtomicU64,
    told: AtomicU64,
    telemetry: Telemetry,
    root: Subject,
}

impl Tally {
    pub(super) fn new(system: &System) -> Self {
        let (path, kind) = (system.path().clone(), ChildKind::Supervisor);
        Self {
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
            telemetry: system.telemetry().clone(),
            root: Subject::new(path, kind, kind.as_str(), 1, Phase::Running),
        }
    }

    pub(super) fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Tells what was lost since the last time. Called by the pumps, never by a handler.
    fn tell(&self) {
        let lost = self.lost();
        let dropped = lost.saturating_sub(self.told.fetch_max(lost, Ordering::Relaxed));
        if dropped > 0 {
            let handler = HANDLER.into();
            self.telemetry.emit(
                || self.root.clone(),
                || Payload::TelemetryQueueDropped { handler, dropped },
            );
        }
    }
}

/// Brings requests to the collector.
pub(super) struct Courier {
    client: Client,
    tally: Arc<Tally>,
    stop: watch::Receiver<Option<Instant>>,
    timeout: Duration,
    failures: Losses,
}

/// How often a request is worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// Once: the next makes up for it.
    Once,
    /// Until it is taken, within bounds.
    Stubborn,
}

impl Courier {
    pub(super) fn new(
        client: Client,
        tally: Arc<Tally>,
        stop: watch::Receiver<Option<Instant>>,
        timeout: Duration,
    ) -> Self {
        Self {
            client,
            tally,
            stop,
            timeout,
            failures: Losses::default(),
        }
    }

    /// Sends a request that carries so many records, and counts those that did not arrive.
    async fn deliver(&mut self, body: Bytes, records: u64, effort: Effort) {
        let attempts = match effort {
            Effort::Once => 1,
            Effort::Stubborn => ATTEMPTS,
        };
        let mut wait = FIRST_WAIT;
        let mut lost = records;
        for attempt in 1..=attempts {
            let patience = self.patience();
            if patience.is_zero() {
                break;
            }
            match self.client.post(body.clone(), patience).await {
                Ok(answer) => {
                    let rejected = rejected(self.client.signal, answer);
                    if rejected > 0 {
                        self.warn(&format!("{rejected} records of one request were rejected"));
                    }
                    lost = rejected.min(records);
                    break;
                }
                Err(failure) => {
                    self.warn(&failure.to_string());
                    // Others may have lost something meanwhile: a queue that is full.
                    self.tally.tell();
                    match failure.again() {
                        Again::Never => break,
                        Again::Later | Again::After(_) if attempt == attempts => break,
                        Again::Later => self.wait(wait).await,
                        Again::After(time) => self.wait(time.clamp(wait, LONGEST_WAIT)).await,
                    }
                    wait *= 2;
                }
            }
        }
        self.tally.lose(lost);
        self.tally.tell();
    }

    /// A failure: said at once the first time, then at most once a minute.
    fn warn(&mut self, failure: &str) {
        if let Some(failures) = self.failures.note(1, time::now()) {
            let signal = self.client.signal.as_str();
            tracing::warn!(target: "regrow", signal, failures, failure, "the collector did not take all that it was sent");
        }
    }

    /// How long a request may take.
    fn patience(&self) -> Duration {
        let until = *self.stop.borrow();
        until.map_or(self.timeout, |until| {
            until
                .saturating_duration_since(Instant::now())
                .min(self.timeout)
        })
    }

    /// Waits so long, or until the end has been asked for: then only until the deadline.
    async fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let deadline = *self.stop.borrow_and_update();
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        // Asked to end, or nobody is left who could ask: either way it is time to go on.
        drop(timeout_at(until, self.stop.changed()).await);
    }
}

/// How many of the records that it was sent the collector says that it did not take.
fn rejected(signal: Signal, answer: Bytes) -> u64 {
    let rejected = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|part| part.rejected_spans),
        Signal::Logs => ExportLogsServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|part| part.rejected_log_records),
        Signal::Metrics => ExportMetricsServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|part| part.rejected_data_points),
    };
    u64::try_from(rejected.unwrap_or(0)).unwrap_or(0)
}

/// The next events: as soon as a batch is full, the first has waited for `period`, or the queue has ended. Empty after the end.
async fn gather(queue: &mut mpsc::Receiver<Arc<Event>>, period: Duration) -> Vec<Arc<Event>> {
    let mut batch = Vec::new();
    if queue.recv_many(&mut batch, BATCH).await == 0 {
        return batch;
    }
    let until = Instant::now() + period;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(until, queue.recv_many(&mut batch, room)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    batch
}

/// Encodes on a thread for blocking work: thousands of texts take a while. `None` when a text's author panics.
async fn encode<M: Message + 'static>(make: impl FnOnce() -> M + Send + 'static) -> Option<Bytes> {
    tokio::task::spawn_blocking(move || Bytes::from(make().encode_to_vec()))
        .await
        .ok()
}

fn count(records: usize) -> u64 {
    u64::try_from(records).unwrap_or(u64::MAX)
}

/// Sends spans until the queue ends, then those that are still under way.
pub(super) async fn traces(
    mut courier: Courier,
    mut queue: mpsc::Receiver<Arc<Event>>,
    open: Open,
    origin: Arc<Origin>,
    period: Duration,
) {
    loop {
        let batch = gather(&mut queue, period).await;
        if batch.is_empty() {
            break;
        }
        let of = Arc::clone(&origin);
        let spans = move |event: &Arc<Event>| of.span(event);
        send_spans(&mut courier, &origin, batch, spans).await;
    }
    let now = SystemTime::now();
    for batch in open.take().chunks(BATCH) {
        let of = Arc::clone(&origin);
        let spans = move |event: &Arc<Event>| of.span_cut_off(event, now);
        send_spans(&mut courier, &origin, batch.to_vec(), spans).await;
    }
}

async fn send_spans(
    courier: &mut Courier,
    origin: &Arc<Origin>,
    batch: Vec<Arc<Event>>,
    span: impl Fn(&Arc<Event>) -> Option<Span> + Send + 'static,
) {
    let (records, origin) = (count(batch.len()), Arc::clone(origin));
    let body = encode(move || ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(origin.resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: batch.iter().filter_map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    });
    send(courier, body.await, records).await;
}

async fn send(courier: &mut Courier, body: Option<Bytes>, records: u64) {
    match body {
        Some(body) => courier.deliver(body, records, Effort::Stubborn).await,
        None => {
            courier.tally.lose(records);
            courier.tally.tell();
        }
    }
}

/// Sends log records until the queue ends.
pub(super) async fn logs(
    mut courier: Courier,
    mut queue: mpsc::Receiver<Arc<Event>>,
    origin: Arc<Origin>,
    period: Duration,
) {
    loop {
        let batch = gather(&mut queue, period).await;
        if batch.is_empty() {
            return;
        }
        let (records, origin) = (count(batch.len()), Arc::clone(&origin));
        let body = encode(move || {
            let log_records: Vec<LogRecord> = batch.iter().map(|event| log_record(event)).collect();
            ExportLogsServiceRequest {
                resource_logs: vec![ResourceLogs {
                    resource: Some(origin.resource.clone()),
                    scope_logs: vec![ScopeLogs {
                        scope: Some(scope()),
                        log_records,
                        ..ScopeLogs::default()
                    }],
                    ..ResourceLogs::default()
                }],
            }
        });
        send(&mut courier, body.await, records).await;
    }
}

/// Where metrics come from.
#[derive(Clone)]
pub(super) struct Sources {
    census: Arc<Census>,
    workforce: Arc<Workforce>,
    instruments: Arc<Instruments>,
    /// Since when there is something in them.
    since: SystemTime,
}

impl Sources {
    pub(super) fn new(system: &System, instruments: Arc<Instruments>) -> Self {
        let (census, workforce) = system.sources();
        Self {
            census,
            workforce,
            instruments,
            since: SystemTime::now(),
        }
    }

    fn collect(&self) -> Vec<Metric> {
        let now = SystemTime::now();
        let mut metrics = collect(&self.instruments, self.since, now);
        let families = [self.census.gauges(), actor_families(&self.workforce)];
        metrics.extend(
            families
                .iter()
                .flatten()
                .map(|family| computed(family, now)),
        );
        metrics
    }
}

/// Sends all metrics every `period`, and a last time when the end is asked for.
pub(super) async fn metrics(
    mut courier: Courier,
    sources: Sources,
    origin: Arc<Origin>,
    period: Duration,
) {
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = courier.stop.clone();
    loop {
        let ended = tokio::select! {
            _ = ticks.tick() => false,
            // An error means that the export is gone, and this task about to be.
            _ = stop.wait_for(Option::is_some) => true,
        };
        let (sources, origin) = (sources.clone(), Arc::clone(&origin));
        let body = encode(move || ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(origin.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope()),
                    metrics: sources.collect(),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        });
        // The one report stands for all that came before it.
        match (body.await, ended) {
            (Some(body), true) => courier.deliver(body, 1, Effort::Stubborn).await,
            (Some(body), false) => courier.deliver(body, 0, Effort::Once).await,
            (None, _) => courier.tally.lose(1),
        }
        if ended {
            return;
        }
    }
}
