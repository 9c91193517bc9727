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

mod text;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use regrow_core::{ChildKind, Phase};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::system::System;
use crate::telemetry::instruments::Instruments;
use crate::telemetry::metrics::MetricsHandler;
use crate::telemetry::{Census, Equipment, Workforce, actor_families};
use crate::telemetry::{Payload, Subject, Telemetry};
use text::{Pieces, Text};

/// What a scrape is sent as.
pub const CONTENT_TYPE_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How many scrapes may be under way at once.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to ask, and then as a whole to ask and to read: longer than any sensible `scrape_timeout`.
const ASKS_WITHIN: Duration = Duration::from_secs(10);
const READS_WITHIN: Duration = Duration::from_secs(60);

/// The sink in `regrow_telemetry_dropped_total` whose losses are scrapes that their clients did not read.
const SINK: &str = "prometheus";

/// The metrics of one system.
pub struct Exporter {
    instruments: Arc<Instruments>,
    census: Arc<Census>,
    workforce: Arc<Workforce>,
    _times: Equipment,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    pub(crate) fn new(census: Arc<Census>, workforce: Arc<Workforce>) -> Self {
        let instruments = Arc::<Instruments>::default();
        let times = workforce.equip(Arc::<Instruments>::clone(&instruments));
        Self {
            instruments,
            census,
            workforce,
            _times: times,
        }
    }

    /// The telemetry handler that feeds it.
    pub(crate) fn handler(&self) -> MetricsHandler {
        let recorder: Arc<dyn metrics::Recorder + Send + Sync> =
            Arc::<Instruments>::clone(&self.instruments);
        MetricsHandler::new(recorder)
    }

    /// Everything in Prometheus' text format. Eleven thousand series take about 2 ms: off the runtime's workers, please. Nobody
    /// waits for it meanwhile.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Text::default();
        text.counters(&self.instruments.counters());
        text.histograms(&self.instruments.histograms());
        let computed = [self.census.gauges(), actor_families(&self.workforce)];
        for family in computed.iter().flatten() {
            text.computed(family);
        }
        text.0
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
/// There is no authentication: bind to loopback, or to a network that you trust. At most 64 clients are served at once; who does
/// not ask within 10 s, or has not read its answer within 60 s, is let go of. The latter is told by
/// `regrow.telemetry.queue.dropped` of the handler `prometheus`.
///
/// # Errors
/// When the address cannot be bound: it is in use, say.
pub async fn serve(system: &System, address: SocketAddr) -> io::Result<Endpoint> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let exporter = Arc::clone(system.exporter());
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let losses = Losses::of(system);
    let server = tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let served = connection(stream, Arc::clone(&exporter));
                    let losses = losses.clone();
                    tokio::spawn(async move {
                        if tokio::time::timeout(READS_WITHIN, served).await.is_err() {
                            losses.tell();
                        }
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

/// Where scrapes that nobody read are told.
#[derive(Clone)]
struct Losses {
    telemetry: Telemetry,
    root: Subject,
}

impl Losses {
    fn of(system: &System) -> Self {
        let kind = ChildKind::Supervisor;
        let path = system.path().clone();
        Self {
            telemetry: system.telemetry().clone(),
            root: Subject::new(path, kind, kind.as_str(), 1, Phase::Running),
        }
    }

    fn tell(&self) {
        let handler = SINK.into();
        let dropped = Payload::TelemetryQueueDropped {
            handler,
            dropped: 1,
        };
        self.telemetry.emit(|| self.root.clone(), || dropped);
    }
}

async fn connection(stream: TcpStream, exporter: Arc<Exporter>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&exporter)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKS_WITHIN)
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
) -> Result<Response<Pieces>, Infallible> {
    let plain = |status: StatusCode, text: String| {
        let mut response = Response::new(Pieces::new(text));
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

#[cfg(all(test, unix))]
mod tests;
