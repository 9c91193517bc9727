//! One request over one connection: the only place that knows which proxy library does it.
//!
//! Each request has a connection of its own. A pooled one could belong to an earlier life of the
//! agent; on this machine a new one costs little.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::VIA;
use axum::http::{Request, Response, StatusCode, Uri};
use axum_reverse_proxy::{ProxyError, ProxyPolicy, TunnelGuard, XForwardedFor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::route::Route;
use super::upload::{Upload, Uploaded};
use super::{MAX_BODY_BYTES, headers};
use crate::wire::Problem;

/// How long an agent may take until its answer begins.
pub(crate) const HEADER_TIME: Duration = Duration::from_secs(60);
/// How many tunnels may be open at once: they outlive their requests.
const MAX_TUNNELS: usize = 512;

/// An open connection to an agent.
pub(crate) struct Connection(Box<dyn Stream>);

/// What can be read and written.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> From<S> for Connection {
    fn from(stream: S) -> Self {
        Self(Box::new(stream))
    }
}

/// Sends a request over an open connection to an agent.
pub(crate) trait Forwarder: Send + Sync + 'static {
    /// The agent's answer, its body still to come; it has to begin within this time, if that is shorter than the forwarder's own.
    fn forward(
        &self,
        route: Route<'_>,
        stream: Connection,
        uri: Uri,
        request: Request<Body>,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<Response<Body>, ForwardError>> + Send;
}

/// Why an agent's answer did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ForwardError {
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke before an answer came: {message}")]
    Broken {
        /// What the connection said.
        message: String,
    },
    /// No answer began in time.
    #[error("no answer began within {} s", after.as_secs_f64())]
    Slow {
        /// How long it had.
        after: Duration,
    },
    /// The client still sent its body, and had not when the time was over.
    #[error("its body had not come within {} s", after.as_secs_f64())]
    SlowClient {
        /// How long it had.
        after: Duration,
    },
    /// The client broke off its body.
    #[error("its body was broken off")]
    BrokenOff,
    /// The request comes from the same agent, through us.
    #[error("it has been through here before, so it would go round for ever")]
    Loop,
    /// The request's body is over the limit.
    #[error("the body is larger than {} MiB", MAX_BODY_BYTES >> 20)]
    TooLarge,
    /// Too many tunnels are open.
    #[error("all {MAX_TUNNELS} WebSockets are in use")]
    NoTunnel,
    /// The path cannot be sent on.
    #[error("the path is no path")]
    BadPath,
}

impl ForwardError {
    /// The answer that the client gets instead.
    pub(super) fn problem(&self, id: &str) -> Box<Problem> {
        let said = |status, code| {
            Problem::new(status, code, format!("agent {id:?} gave no answer: {self}"))
        };
        let not_asked = |status, code| {
            Problem::new(
                status,
                code,
                format!("agent {id:?} gives no answer to this request: {self}"),
            )
        };
        let logs = format!("see what it says: regrow logs {id}");
        match self {
            Self::Broken { .. } => {
                said(StatusCode::BAD_GATEWAY, "agent_connection_broken").hint(logs)
            }
            Self::Slow { .. } => said(StatusCode::GATEWAY_TIMEOUT, "agent_timeout").hint(logs),
            Self::SlowClient { .. } => not_asked(StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BrokenOff => not_asked(StatusCode::BAD_REQUEST, "body_broken_off"),
            Self::Loop => not_asked(StatusCode::LOOP_DETECTED, "request_loop"),
            Self::TooLarge => too_large(),
            Self::NoTunnel => said(StatusCode::SERVICE_UNAVAILABLE, "too_many_websockets"),
            Self::BadPath => said(StatusCode::BAD_REQUEST, "bad_path"),
        }
    }
}

/// If a tunnel comes of the request, this is kept as long as that is open.
pub(super) fn keep_with_tunnel(request: &mut Request<Body>, kept: impl Any + Send) {
    request.extensions_mut().insert(TunnelGuard::new(kept));
}

/// The refusal of a body that is too large.
pub(super) fn too_large() -> Box<Problem> {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        ForwardError::TooLarge.to_string(),
    )
    .hint("send less at once, or give the agent a file's path")
}

/// Forwards by `axum-reverse-proxy`, which takes care of the headers that concern one hop only, of
/// `Via`, of trailers and of tunnels.
#[derive(Debug)]
pub(crate) struct StreamForwarder {
    header_time: Duration,
    tunnels: Arc<Semaphore>,
}

impl StreamForwarder {
    /// A forwarder with the limits above.
    pub(super) fn new() -> Self {
        Self::waiting(HEADER_TIME)
    }

    /// A forwarder that waits so long for an answer to begin.
    pub(super) fn waiting(header_time: Duration) -> Self {
        Self {
            header_time,
            tunnels: Arc::new(Semaphore::new(MAX_TUNNELS)),
        }
    }
}

impl Forwarder for StreamForwarder {
    async fn forward(
        &self,
        route: Route<'_>,
        stream: Connection,
        uri: Uri,
        mut request: Request<Body>,
        within: Option<Duration>,
    ) -> Result<Response<Body>, ForwardError> {
        if headers::asks_for_websocket(request.headers()) {
            let permit = Arc::clone(&self.tunnels)
                .try_acquire_owned()
                .map_err(|_| ForwardError::NoTunnel)?;
            let held = request.extensions_mut().remove::<TunnelGuard>();
            request
                .extensions_mut()
                .insert(TunnelGuard::new((permit, held)));
        }
        let header_time = within.map_or(self.header_time, |within| within.min(self.header_time));
        // An agent may ask another one through us; only the same one again is a loop.
        let policy = ProxyPolicy::new()
            .with_x_forwarded_for(XForwardedFor::Preserve)
            .with_upstream_timeout(header_time)
            .with_websocket_connect_timeout(header_time)
            .with_via(format!("regrow-{}", route.id));
        let (request, upload) = Upload::watched(request);
        let answer = axum_reverse_proxy::proxy_request_on_stream(uri, request, stream.0, &policy);
        let response = answer
            .await
            .unwrap_or_else(|never: Infallible| match never {});
        let Some(error) = response.extensions().get::<ProxyError>() else {
            // Every answer of an agent has our own `Via`.
            let is_ours = !response.headers().contains_key(VIA);
            return if is_ours && response.status() == StatusCode::LOOP_DETECTED {
                Err(ForwardError::Loop)
            } else {
                Ok(response)
            };
        };
        let in_time = response.status() != StatusCode::GATEWAY_TIMEOUT;
        Err(why(
            upload.uploaded(),
            in_time,
            header_time,
            error.message(),
        ))
    }
}

/// Why no answer came, or none within `after`.
fn why(uploaded: Uploaded, in_time: bool, after: Duration, message: &str) -> ForwardError {
    match (uploaded, in_time) {
        (Uploaded::TooLarge, _) => ForwardError::TooLarge,
        (Uploaded::BrokenOff, _) => ForwardError::BrokenOff,
        (Uploaded::Awaited, false) => ForwardError::SlowClient { after },
        (Uploaded::Given, false) => ForwardError::Slow { after },
        (Uploaded::Given | Uploaded::Awaited, true) => ForwardError::Broken {
            message: message.to_owned(),
        },
    }
}
