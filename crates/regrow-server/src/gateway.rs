//! The way to the agents: any `/agents/{id}/{rest}` goes to the agent's own port or socket as `/{rest}`, and any `/pools/{id}/{rest}` to one of
//! the pool's workers that has nothing to do.
//!
//! A request for an agent that is on its way waits a little for it, so that a restart is a pause
//! and no error. Bodies stream both ways; nothing is kept.

mod call;
mod forward;
mod headers;
mod in_flight;
mod pool;
pub(crate) mod route;
mod upload;
mod verdict;

use regrow::pool::{Given, Lease};
use regrow::telemetry::Span;
use regrow::trace::TraceContext;
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Request, Response, request};
use axum::response::IntoResponse;
use hyper::body::Body as _;
use regrow_process::InFlight;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use self::call::Call;
pub(crate) use self::call::{Before, Judge};
use self::forward::ForwardError;
pub(crate) use self::forward::{Connection, Forwarder, HEADER_TIME, StreamForwarder};
pub(crate) use self::pool::{Crew, Leased};
use self::route::Route;
use self::verdict::Refusal;
use self::verdict::Verdict;
pub(crate) use self::verdict::{At, Standing, Unready};
use crate::http::guard::{Guard, Peer};
use crate::wire::Problem;

/// How many requests may wait for one agent.
const MAX_WAITERS: usize = 64;
/// How often a waiting request looks again.
const TICK: Duration = Duration::from_millis(20);
/// The pause before another try with an agent that should listen.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection to this machine may take.
const DIAL_TIME: Duration = Duration::from_secs(1);
/// The largest body that passes.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;

/// Whom the front door asks about agents, and tells of requests.
pub(crate) trait Agents: Send + Sync + 'static {
    /// How an agent stands now; none if there is no such agent.
    fn standing(&self, id: &str) -> impl Future<Output = Option<Standing>> + Send;

    /// What requests to an agent go through, if they do.
    fn before(&self, id: &str) -> Option<Before>;

    /// The pool with this id; none if there is no such pool.
    fn pool(&self, id: &str) -> Option<Crew>;

    /// The ids of all pools.
    fn pool_ids(&self) -> Vec<String>;

    /// Why all workers of a pool were given up on, if they were.
    fn given_up(&self, pool: &str) -> impl Future<Output = Option<String>> + Send;

    /// The worker that was taken out of a pool, and what begins with it; none if it has gone.
    fn worker(&self, lease: &Lease<Given>) -> Option<Leased>;

    /// Notes that something begins that is done with an agent, until what is returned is dropped.
    fn begin(&self, id: &str) -> Option<InFlight>;

    /// Takes note of a request by the template of its path and its method, or `other`; it is a part of the client's trace,
    /// if the client has one.
    fn asked(
        &self,
        route: &'static str,
        method: &'static str,
        parent: Option<TraceContext>,
    ) -> Span;
}

/// Passes requests on to agents.
pub(crate) struct Gateway<A, F = StreamForwarder> {
    agents: Arc<A>,
    guard: Arc<Guard>,
    forwarder: F,
    waiters: Waiters,
}

impl<A: Agents> Gateway<A> {
    /// A gateway to these agents.
    pub(crate) fn new(agents: Arc<A>, guard: Arc<Guard>) -> Self {
        Self {
            agents,
            guard,
            forwarder: StreamForwarder::new(),
            waiters: Waiters::default(),
        }
    }
}

impl<A: Agents, F: Forwarder> Gateway<A, F> {
    /// Passes one request on to the agent `id` with the rest of its path.
    pub(crate) async fn pass(
        &self,
        peer: Peer,
        route: Route<'_>,
        request: Request<Body>,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if let Err(problem) = check_length(&parts) {
            return problem.into_response();
        }
        let prefix = format!("/agents/{}", route.id);
        headers::prepare(&mut parts.headers, &prefix, peer, &self.guard);
        let spare = is_repeatable(&parts, &body).then(|| copy_of(&parts));
        let request = Request::from_parts(parts, body);
        let mut call = Call::new(self.agents.before(route.id));
        let answer = self.once(route, request, &mut call).await;
        let answer = match (answer, spare) {
            // The connection broke, and asking twice does no harm: the next life may answer.
            (Err(Failure::Forward(ForwardError::Broken { .. })), Some(spare)) => {
                call.repeat();
                self.once(route, spare, &mut call).await
            }
            (answer, _) => answer,
        };
        call.end(&answer);
        match answer {
            Ok(response) => response,
            Err(Failure::Refused(refusal)) => refusal.into_response(),
            Err(Failure::Forward(error)) => error.problem(route.id).into_response(),
        }
    }

    async fn once(
        &self,
        route: Route<'_>,
        request: Request<Body>,
        call: &mut Call,
    ) -> Result<Response<Body>, Failure> {
        let reached = self.reach(route.id, call).await;
        let (stream, at, in_flight) = reached.map_err(Failure::Refused)?;
        let uri = route
            .upstream(&at, request.uri().query())
            .map_err(|_| Failure::Forward(ForwardError::BadPath))?;
        call.send(route.id).map_err(Failure::Refused)?;
        let within = call.timeout();
        let answer = self.forwarder.forward(route, stream, uri, request, within);
        answer
            .await
            .map(|response| {
                response.map(|body| match in_flight {
                    Some(in_flight) => in_flight::with_body(body, in_flight),
                    None => body,
                })
            })
            .map_err(Failure::Forward)
    }

    /// Connects to the agent, waiting for it if it is on its way.
    async fn reach(
        &self,
        id: &str,
        call: &mut Call,
    ) -> Result<(Connection, At, Option<InFlight>), Refusal> {
        let begun = Instant::now();
        let mut tries = 0;
        let mut place = None;
        loop {
            // Before it is looked at: an agent that begins to stop waits for whoever came before that.
            let in_flight = self.agents.begin(id);
            let Some(standing) = self.agents.standing(id).await else {
                return Err(Refusal::new(verdict::unknown(id)));
            };
            let mut next = verdict::verdict(id, &standing, begun.elapsed());
            if let Verdict::Dial(at) = next {
                call.admit(id)?;
                match dial(&at).await {
                    Ok(stream) => return Ok((stream, at, in_flight)),
                    Err(error) => {
                        tries += 1;
                        tracing::trace!(agent = id, %at, %error, "agent does not listen");
                        next = verdict::refused(id, &standing, begun.elapsed(), tries);
                    }
                }
            }
            // Who waits does nothing with it.
            drop(in_flight);
            let pause = match next {
                Verdict::Dial(_) | Verdict::Hold => TICK,
                Verdict::Retry => RETRY_PAUSE,
                Verdict::Refuse(refusal) => return Err(refusal),
            };
            call.wait(id)?;
            if place.is_none() {
                place = self.waiters.enter(id);
                if place.is_none() {
                    return Err(verdict::crowded(id, &standing, MAX_WAITERS));
                }
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Why an agent gave no answer.
#[derive(Debug)]
enum Failure {
    Refused(Refusal),
    Forward(ForwardError),
}

async fn dial(at: &At) -> io::Result<Connection> {
    let dialled = async {
        Ok(match at {
            At::Port(port) => Connection::from(dial_port(*port).await?),
            At::Socket(path) => Connection::from(UnixStream::connect(path).await?),
        })
    };
    timeout(DIAL_TIME, dialled)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn dial_port(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    // Two sockets of one machine can be connected to each other by one connect to a port that
    // nobody listens on. What we would talk to then is ourselves.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn check_length(parts: &request::Parts) -> Result<(), Box<Problem>> {
    let declared = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    match declared {
        Some(length) if length > MAX_BODY_BYTES => Err(forward::too_large()),
        Some(_) | None => Ok(()),
    }
}

/// Whether a request may be sent again after it was sent: it asks only, and had no body.
fn is_repeatable(parts: &request::Parts, body: &Body) -> bool {
    let asks_only = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method);
    asks_only && body.is_end_stream() && !headers::asks_for_websocket(&parts.headers)
}

fn copy_of(parts: &request::Parts) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = parts.method.clone();
    *copy.uri_mut() = parts.uri.clone();
    *copy.headers_mut() = parts.headers.clone();
    copy
}

/// Counts who waits for whom.
#[derive(Default)]
struct Waiters {
    by_id: Arc<Mutex<HashMap<String, usize>>>,
}

impl Waiters {
    /// A place among those who wait for this agent, unless all are taken.
    fn enter(&self, id: &str) -> Option<Place> {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = by_id.entry(id.to_owned()).or_default();
        if *waiting >= MAX_WAITERS {
            return None;
        }
        *waiting += 1;
        Some(Place {
            by_id: Arc::clone(&self.by_id),
            id: id.to_owned(),
        })
    }
}

/// One who waits; the place is free again when this is dropped, as it is when the client leaves.
struct Place {
    by_id: Arc<Mutex<HashMap<String, usize>>>,
    id: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = by_id.get_mut(&self.id) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                by_id.remove(&self.id);
            }
        }
    }
}

impl<A, F> std::fmt::Debug for Gateway<A, F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gateway").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
