//! The front door: every request passes the guard, then goes to an agent or to the API.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use regrow::telemetry::Payload;
use regrow::trace::{TraceContext, with_context};
use tower::ServiceExt;

use super::Answer;
use super::guard::{Guard, Peer};
use super::routes;
use crate::gateway::route::{self, Reading};
use crate::gateway::{Agents, Gateway};
use crate::wire::Problem;

/// The longest path with its query.
const MAX_URI_BYTES: usize = 8 * 1024;

/// The guard, the gateway and the API, in this order.
#[derive(Debug)]
pub(crate) struct Front<A> {
    guard: Arc<Guard>,
    agents: Arc<A>,
    gateway: Gateway<A>,
    api: Router,
}

impl<A: Agents> Front<A> {
    /// A front door before these agents and this API.
    pub(crate) fn new(guard: Arc<Guard>, agents: Arc<A>, api: Router) -> Self {
        Self {
            gateway: Gateway::new(Arc::clone(&agents), Arc::clone(&guard)),
            agents,
            guard,
            api,
        }
    }
}

impl<A: Agents> Answer for Front<A> {
    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let method = method_of(request.method());
        // A client that leaves drops this future: the span then tells of a cancellation.
        let parent = trace_of(request.headers());
        let mut span = self.agents.asked(routes::template(&path), method, parent);
        let answer = self.pass(peer, &path, request);
        let response = with_context(span.context(), answer).await;
        if let Payload::HttpRequest { status, .. } = span.payload() {
            *status = Some(response.status().as_u16());
        }
        span.stop();
        response
    }
}

impl<A: Agents> Front<A> {
    async fn pass(&self, peer: Peer, path: &str, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if let Err(problem) = self.guard.check(peer, &parts).and(check_length(&parts.uri)) {
            return problem.into_response();
        }
        let request = Request::from_parts(parts, body);
        match route::read(path) {
            Reading::Agent(route) => self.gateway.pass(peer, route, request).await,
            Reading::Pool(route) => self.gateway.share(peer, route, request).await,
            Reading::NoId(text) => no_id(text).into_response(),
            Reading::Elsewhere => match self.api.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        }
    }
}

/// The trace that a client says the request belongs to; none when what it says breaks the rules.
fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    TraceContext::extract(|name| {
        let mut values = headers.get_all(name).iter();
        let first = text(values.next()?)?;
        // A list may stand in several headers. `traceparent` is no list: two of them make a comma, and so none.
        values.try_fold(first, |all, more| Some(format!("{all},{}", text(more)?)))
    })
}

/// The methods that have a name in metrics: a client cannot make up more of them.
fn method_of(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| method.as_str() == *known)
        .unwrap_or("other")
}

fn check_length(uri: &axum::http::Uri) -> Result<(), Box<Problem>> {
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length <= MAX_URI_BYTES {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::URI_TOO_LONG,
        "uri_too_long",
        format!("the address has {length} bytes; {MAX_URI_BYTES} are taken"),
    )
    .hint("send what is long in the body"))
}

fn no_id(text: &str) -> Box<Problem> {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad_agent_id",
        format!("{text:?} is no agent's id, and no pool's"),
    )
    .hint(
        "an id has lower-case letters, digits, `_`, `.` and `-`, and starts with a letter or digit",
    )
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;
