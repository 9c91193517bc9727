//! Traces, metrics and logs for an OpenTelemetry collector, by OTLP over HTTP (feature `otlp`).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use regrow::otlp::{Endpoint, Signal, export};
//!
//! let system = regrow::System::start(regrow::Supervisor::new("root")).await?;
//! let export = export(&system, Endpoint::new("http://127.0.0.1:4318", "crew"), Signal::ALL)?;
//! // …
//! let _report = system.shut_down().await;
//! export.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each span of the event stream becomes a trace of one span, each other event a log record, and the metrics of
//! [`catalogue`](crate::telemetry::catalogue) go out as sums, gauges and histograms, cumulative. Nothing in the process is global.
//!
//! Supervision never waits for a collector. What it does not take in time fills a bounded queue and is then dropped, counted and
//! told by `regrow.telemetry.queue.dropped`. Metrics lose nothing: the next report holds all that came before.

mod client;
mod genai;
mod instruments;
mod pump;
mod records;
mod router;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::system::System;
use crate::telemetry::instruments::Instruments;
use crate::telemetry::metrics::MetricsHandler;
use crate::telemetry::{AttachError, ContentCapture, Equipment, Event, Payload, Telemetry};
use client::Client;
use pump::{Courier, Sources, Tally};
use records::Origin;
use router::{Open, Router};

/// The name under which spans and log records are attached, and of the sink in `regrow_telemetry_dropped_total`.
const HANDLER: &str = "otlp";

/// The name under which counters and histograms are attached.
const METRICS_HANDLER: &str = "otlp-metrics";

/// The name under which the operations of agents are attached when what was said goes with them: queues do not get that.
const CONTENT_HANDLER: &str = "otlp-content";

/// How many spans, and how many log records, may wait for the collector.
const QUEUE: usize = 4_096;

/// How much longer than its deadline a shutdown waits for tasks that should have ended by then.
const GRACE: Duration = Duration::from_millis(500);

/// One kind of what OpenTelemetry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// The spans of the event stream.
    Traces,
    /// Counters, gauges and histograms.
    Metrics,
    /// The events that are not spans.
    Logs,
}

impl Signal {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// In which words the operations of agents on models and tools are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GenAiWords {
    /// As any other span: `regrow.genai.operation`, with keys of ours.
    #[default]
    Ours,
    /// In OpenTelemetry's, `chat gpt-5` with `gen_ai.request.model` and so on: what Langfuse and its like read. They are not stable
    /// yet; what is sent changes with them.
    LatestExperimental,
}

/// Whether what is said to models and tools, and what comes back, is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Content {
    /// It stays in the process.
    #[default]
    Withheld,
    /// It is sent with each operation, in [`GenAiWords::LatestExperimental`]: to somebody who may read it all.
    Sent,
}

/// Where a collector listens, and who tells it.
///
/// It is plain HTTP: to a collector on this machine, or in a network that you trust. TLS towards the world is the collector's.
#[derive(Clone)]
#[must_use]
pub struct Endpoint {
    url: String,
    service: String,
    attributes: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    period: Duration,
    timeout: Duration,
    genai: GenAiWords,
    content: Content,
}

impl Endpoint {
    /// A collector at `url`, such as `http://127.0.0.1:4318`; `v1/traces`, `v1/metrics` and `v1/logs` are appended. `service` is
    /// the resource's `service.name`.
    pub fn new(url: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            service: service.into(),
            attributes: Vec::new(),
            headers: Vec::new(),
            period: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            genai: GenAiWords::default(),
            content: Content::default(),
        }
    }

    /// One more attribute of the resource, such as `deployment.environment.name`; in place of ours, if we have one of that name.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// One more header of each request, such as `authorization`. Its value is never printed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The header `authorization` for a user and a password. They are never printed.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        let value = base64(format!("{user}:{password}").as_bytes());
        self.header("authorization", format!("Basic {value}"))
    }

    /// In which words the operations of agents are sent; by default as any other span.
    pub const fn genai(mut self, words: GenAiWords) -> Self {
        self.genai = words;
        self
    }

    /// Whether what is said to models and tools goes with them; by default not.
    pub const fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Both as OpenTelemetry's own libraries are told by the environment: `OTEL_SEMCONV_STABILITY_OPT_IN` lists
    /// `gen_ai_latest_experimental`, `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is `true` or `span_only`. `get` gives the
    /// value of a variable.
    pub fn genai_as(mut self, get: impl Fn(&str) -> Option<String>) -> Self {
        let words = get(genai::STABILITY).unwrap_or_default();
        if words.split(',').any(|word| word.trim() == genai::LATEST) {
            self.genai = GenAiWords::LatestExperimental;
        }
        let capture = get(genai::CAPTURE).unwrap_or_default();
        if ["true", "span_only"].contains(&capture.to_ascii_lowercase().as_str()) {
            self.content = Content::Sent;
        }
        self
    }

    /// How often metrics are sent, and how long a span or a log record waits for others at most; by default 5 s.
    pub const fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// How long one request may take, and [`Export::shutdown`] as a whole; by default 10 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Endpoint {
    /// In words of ours nothing that is sensitive is ever sent.
    const fn sends_content(&self) -> Content {
        match self.genai {
            GenAiWords::Ours => Content::Withheld,
            GenAiWords::LatestExperimental => self.content,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("service", &self.service)
            .field("attributes", &self.attributes)
            .field("headers", &headers)
            .field("period", &self.period)
            .field("timeout", &self.timeout)
            .field("genai", &self.genai)
            .field("content", &self.content)
            .finish()
    }
}

/// Why nothing is exported.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The address cannot be one of a collector.
    #[error(
        "failed to export to \"{url}\": expected an address such as http://127.0.0.1:4318, without TLS"
    )]
    Url {
        /// The address.
        url: String,
    },
    /// A header cannot be sent.
    #[error(
        "failed to export to \"{url}\": the header \"{name}\" has a name or a value that HTTP does not allow"
    )]
    Header {
        /// The address.
        url: String,
        /// The name.
        name: String,
    },
    /// The system has an export already, or too many handlers.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// What had not reached the collector when the time was up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "failed to deliver {records} records to {url} within {timeout:?}; is a collector listening there?"
)]
#[non_exhaustive]
pub struct Undelivered {
    /// How many spans, log records and metrics.
    pub records: u64,
    /// Where they were to go.
    pub url: String,
    /// How long it was tried.
    pub timeout: Duration,
}

/// An export under way. It ends with [`Export::shutdown`]; dropped before that, it detaches and leaves what waits.
pub struct Export {
    telemetry: Telemetry,
    tally: Arc<Tally>,
    stop: watch::Sender<Option<Instant>>,
    pumps: Vec<JoinHandle<()>>,
    attached: Vec<&'static str>,
    _times: Option<Equipment>,
    url: String,
    timeout: Duration,
    /// Somebody reads what is said to models and tools.
    _capture: Option<ContentCapture>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("url", &self.url)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// Sends what a system tells to a collector, from now on. It must be called within a runtime.
///
/// A system has one export at a time.
///
/// # Errors
/// When the endpoint cannot be one, or the system has an export already.
pub fn export(
    system: &System,
    endpoint: Endpoint,
    signals: impl IntoIterator<Item = Signal>,
) -> Result<Export, ExportError> {
    let signals: BTreeSet<Signal> = signals.into_iter().collect();
    let clients = signals
        .iter()
        .map(|signal| Client::new(&endpoint, *signal))
        .collect::<Result<Vec<_>, _>>()?;
    let (stop, stopped) = watch::channel(None);
    let tally = Arc::new(Tally::new(system));
    let mut export = Export {
        telemetry: system.telemetry().clone(),
        tally: Arc::clone(&tally),
        stop,
        pumps: Vec::new(),
        attached: Vec::new(),
        _times: None,
        url: endpoint.url.clone(),
        timeout: endpoint.timeout,
        _capture: None,
    };
    let origin = Origin::new(&endpoint.service, &endpoint.attributes, endpoint.genai);
    let origin = Arc::new(origin);
    let mut router = Router {
        spans: None,
        logs: None,
        open: Open::default(),
        tally: Arc::clone(&tally),
    };
    let mut pumps: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
    for (signal, client) in signals.iter().zip(clients) {
        let (origin, period) = (Arc::clone(&origin), endpoint.period);
        let courier = Courier::new(
            client,
            Arc::clone(&tally),
            stopped.clone(),
            endpoint.timeout,
        );
        match signal {
            Signal::Traces => {
                let (sender, queue) = mpsc::channel(QUEUE);
                router.spans = Some(sender);
                let open = router.open.clone();
                pumps.push(Box::pin(pump::traces(courier, queue, open, origin, period)));
            }
            Signal::Logs => {
                let (sender, queue) = mpsc::channel(QUEUE);
                router.logs = Some(sender);
                pumps.push(Box::pin(pump::logs(courier, queue, origin, period)));
            }
            Signal::Metrics => {
                let instruments = Arc::new(Instruments::default());
                let sources = Sources::new(system, Arc::clone(&instruments));
                export.attach_metrics(system, &instruments)?;
                pumps.push(Box::pin(pump::metrics(courier, sources, origin, period)));
            }
        }
    }
    if router.spans.is_some() || router.logs.is_some() {
        export.attach_events(router, endpoint.sends_content())?;
    }
    export.pumps = pumps.into_iter().map(tokio::spawn).collect();
    Ok(export)
}

impl Export {
    fn attach_metrics(
        &mut self,
        system: &System,
        instruments: &Arc<Instruments>,
    ) -> Result<(), AttachError> {
        let recorder: Arc<dyn metrics::Recorder + Send + Sync> =
            Arc::<Instruments>::clone(instruments);
        let handler = MetricsHandler::new(Arc::clone(&recorder));
        self.telemetry
            .attach(METRICS_HANDLER, move |event| handler.handle(event))?;
        self.attached.push(METRICS_HANDLER);
        let (_, workforce) = system.sources();
        self._times = Some(workforce.equip(recorder));

        Ok(())
    }

    fn attach_events(&mut self, router: Router, content: Content) -> Result<(), AttachError> {
        let has_content = |event: &Event| matches!(event.payload, Payload::GenAiOperation { .. });
        if content == Content::Sent {
            // Inline, for queues do not get what is sensitive. It only hands a copy on.
            let router = router.clone();
            self.telemetry.attach(CONTENT_HANDLER, move |event| {
                if has_content(event) {
                    router.route(Arc::new(event.clone()));
                }
            })?;
            self.attached.push(CONTENT_HANDLER);
            self._capture = Some(self.telemetry.capture_content());
        }
        self.telemetry.attach_queued(HANDLER, move |event| {
            if content == Content::Withheld || !has_content(&event) {
                router.route(event);
            }
            std::future::ready(())
        })?;
        self.attached.push(HANDLER);
        Ok(())
    }

    /// How many spans and log records were dropped so far, by a full queue or by the collector. What did not fit into the queue of
    /// the event stream itself is told there, under the name `otlp`.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.tally.lost()
    }

    /// Sends what waits, and ends. Spans under way are sent as cancelled; metrics are sent a last time. It takes at most as long as
    /// one request may.
    ///
    /// # Errors
    /// When not all could be delivered.
    pub async fn shutdown(mut self) -> Result<(), Undelivered> {
        let before = self.tally.lost();
        let deadline = Instant::now() + self.timeout;
        self.detach();
        self.stop.send_replace(Some(deadline));
        for pump in std::mem::take(&mut self.pumps) {
            let abort = pump.abort_handle();
            if tokio::time::timeout_at(deadline + GRACE, pump)
                .await
                .is_err()
            {
                abort.abort();
                self.tally.lose(1);
            }
        }
        match self.tally.lost() - before {
            0 => Ok(()),
            records => Err(Undelivered {
                records,
                url: self.url.clone(),
                timeout: self.timeout,
            }),
        }
    }

    fn detach(&mut self) {
        for handler in self.attached.drain(..) {
            let _was_attached = self.telemetry.detach(handler);
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.detach();
        for pump in &self.pumps {
            pump.abort();
        }
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |group: &[u8]| {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| {
            if at <= group.len() {
                char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63])
            } else {
                '='
            }
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_what_the_standard_says() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("?>~~", "Pz5+fg=="),
            ("\u{fb}\u{ff}~", "w7vDv34="),
        ];
        for (text, wanted) in cases {
            assert_eq!(base64(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn the_words_for_agents_are_chosen_by_the_variables_of_opentelemetry() {
        let by = |stability: &'static str, capture: &'static str| {
            let get = move |name: &str| match name {
                "OTEL_SEMCONV_STABILITY_OPT_IN" => Some(stability.to_owned()),
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" => Some(capture.to_owned()),
                _ => None,
            };
            let endpoint = Endpoint::new("http://127.0.0.1:4318", "crew").genai_as(get);
            (endpoint.genai, endpoint.sends_content())
        };
        let latest = GenAiWords::LatestExperimental;
        assert_eq!(by("", ""), (GenAiWords::Ours, Content::Withheld));
        assert_eq!(
            by("http/dup", "true"),
            (GenAiWords::Ours, Content::Withheld)
        );
        assert_eq!(
            by("http, gen_ai_latest_experimental", ""),
            (latest, Content::Withheld)
        );
        assert_eq!(
            by("gen_ai_latest_experimental", "SPAN_ONLY"),
            (latest, Content::Sent)
        );
    }
}
