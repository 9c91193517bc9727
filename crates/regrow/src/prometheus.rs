//! Metrics for Prometheus: every system has them, `serve` puts them on an address.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let system = regrow::System::start(regrow::Supervisor::new("root")).await?;
//! let endpoint = regrow::prometheus::serve(&system, "127.0.0.1:9100".parse()?).await?;
//! println!("http://{}/metrics", endpoint.address());
//! # Ok(())
//! # }
//! ```
//!
//! Counters and histograms live in a recorder of the system's own, never in the process-wide one. State gauges are computed from
//! the tree when they are asked for.

use std::convert::Infallible;
use std::fmt::{self, Write};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::system::System;
use crate::telemetry::metrics::{FAMILIES, MetricsHandler, actor_histograms};
use crate::telemetry::{Census, ComputedFamily, Event, Workforce, actor_families};

/// What a scrape is sent as.
pub const CONTENT_TYPE_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Histogram samples wait in memory until they are folded into buckets; every so many events that is done, scraped or not.
const EVENTS_PER_UPKEEP: u64 = 10_000;

/// How many scrapes may be under way at once.
const MAX_CONNECTIONS: usize = 64;

/// The metrics of one system.
pub struct Exporter {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    census: Arc<Census>,
    workforce: Arc<Workforce>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// The telemetry handler that feeds an [`Exporter`].
pub(crate) struct Feed {
    metrics: MetricsHandler,
    handle: PrometheusHandle,
    events: AtomicU64,
}

impl Feed {
    pub(crate) fn handle(&self, event: &Event) {
        self.metrics.handle(event);
        if self.events.fetch_add(1, Ordering::Relaxed) % EVENTS_PER_UPKEEP == EVENTS_PER_UPKEEP - 1
        {
            self.handle.run_upkeep();
        }
    }
}

impl Exporter {
    pub(crate) fn new(census: Arc<Census>, workforce: Arc<Workforce>) -> Self {
        let builder = FAMILIES
            .iter()
            .filter(|family| !family.buckets.is_empty())
            .fold(PrometheusBuilder::new(), |builder, family| {
                let matcher = Matcher::Full(family.name.to_owned());
                builder
                    .set_buckets_for_metric(matcher, family.buckets)
                    .expect("every list of buckets has a bucket")
            });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self {
            recorder: Arc::new(recorder),
            handle,
            census,
            workforce,
        }
    }

    pub(crate) fn handler(&self) -> Feed {
        let recorder: Arc<dyn metrics::Recorder + Send + Sync> =
            Arc::<PrometheusRecorder>::clone(&self.recorder);
        Feed {
            metrics: MetricsHandler::new(recorder),
            handle: self.handle.clone(),
            events: AtomicU64::new(0),
        }
    }

    /// Everything in Prometheus' text format. Ten thousand series take about 10 ms: off the runtime's workers, please.
    #[must_use]
    pub fn render(&self) -> String {
        self.workforce
            .equip(|type_name| actor_histograms(&*self.recorder, type_name));
        self.handle.run_upkeep();
        let mut text = self.handle.render();
        for family in self
            .census
            .gauges()
            .iter()
            .chain(&actor_families(&self.workforce))
        {
            write_family(&mut text, family);
        }
        text
    }
}

fn write_family(text: &mut String, family: &ComputedFamily) {
    let ComputedFamily { schema, values } = family;
    let (name, help, kind) = (schema.name, schema.help, schema.kind.as_str());
    let mut write = || -> fmt::Result {
        writeln!(text, "# HELP {name} {help}")?;
        writeln!(text, "# TYPE {name} {kind}")?;
        for (labels, value) in values {
            text.push_str(name);
            for (n, (label, value)) in schema.labels.iter().zip(labels).enumerate() {
                write!(text, "{}{label}=\"", if n == 0 { '{' } else { ',' })?;
                escape(text, value);
                text.push('"');
            }
            writeln!(text, "}} {value}")?;
        }
        writeln!(text)
    };
    write().expect("writing into a string cannot fail");
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// An address on which metrics are served until this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Endpoint {
    /// Where; the port that was chosen when 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves `GET /metrics` on `address` until the [`Endpoint`] is dropped.
///
/// There is no authentication: bind to loopback, or to a network that you trust.
///
/// # Errors
/// When the address cannot be bound: it is in use, say.
pub async fn serve(system: &System, address: SocketAddr) -> io::Result<Endpoint> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let exporter = Arc::clone(system.exporter());
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let server = tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let exporter = Arc::clone(&exporter);
                    tokio::spawn(async move {
                        connection(stream, exporter).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: without a pause this loop would burn a core.
                    tracing::warn!(target: "regrow", %error, "failed to accept a connection for metrics");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(Endpoint { address, server })
}

async fn connection(stream: TcpStream, exporter: Arc<Exporter>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&exporter)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(target: "regrow", %error, "a connection for metrics ended early");
    }
}

async fn answer<B>(
    request: Request<B>,
    exporter: Arc<Exporter>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status: StatusCode, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static(CONTENT_TYPE_TEXT),
        );
        response
    };
    if request.uri().path() != "/metrics" {
        return Ok(plain(
            StatusCode::NOT_FOUND,
            "there is only /metrics here\n".to_owned(),
        ));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    Ok(
        match tokio::task::spawn_blocking(move || exporter.render()).await {
            Ok(text) => plain(StatusCode::OK, text),
            Err(error) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("failed to render the metrics: {error}\n"),
            ),
        },
    )
}
