//! Requests to a pool: each takes a worker out, and has it until the answer has been read.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use regrow::breaker::CircuitState;
use regrow::pool::{
    Given, Job, Lease, PoolError, PoolHandle, PoolRef, PoolStatus, Priority, Reject, ScaleMode,
    WorkerState,
};
use regrow_process::InFlight;
use tokio::time::{Instant, timeout};

use super::forward::{ForwardError, Forwarder, keep_with_tunnel};
use super::in_flight::{Kept, with_body};
use super::route::Route;
use super::verdict::{Refusal, retry_after};
use super::{
    Agents, At, Connection, Gateway, RETRY_PAUSE, check_length, copy_of, dial, headers,
    is_repeatable,
};
use crate::http::guard::Peer;
use crate::wire::Problem;

/// How many other workers are tried when one refuses the connection.
const RETRIES: u32 = 2;

/// When a request that waits looks for the first time whether it waits in vain.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// How often it does after that.
const LOOK: Duration = Duration::from_secs(1);

/// When to ask again where workers do not start.
const STARTS_WAIT: Duration = Duration::from_secs(5);

/// The longest name of a tenant, and the longest key.
const MAX_NAME_BYTES: usize = 128;

const TENANT: &str = "x-regrow-tenant";
const PRIORITY: &str = "x-regrow-priority";
pub(super) const KEY: &str = "x-regrow-key";
const DEADLINE: &str = "x-regrow-deadline-ms";

/// A pool, as the gateway knows it.
#[derive(Debug)]
pub(crate) struct Crew {
    /// Where its workers are got; none before the pool is up for the first time.
    pub(crate) pool: Option<PoolRef<Given>>,
    /// How long a request waits for a worker at most.
    pub(crate) wait: Duration,
}

/// A worker that is a request's.
#[derive(Debug)]
pub(crate) struct Leased {
    /// Its id, as an agent.
    pub(crate) id: String,
    /// Where it listens.
    pub(crate) at: At,
    /// It is busy as long as this lives.
    pub(crate) in_flight: InFlight,
}

/// A worker until the answer has been read, or nobody reads it any more.
struct Held {
    lease: Option<Lease<Given>>,
    has_failed: AtomicBool,
}

impl Held {
    fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.has_failed.load(Ordering::Relaxed)
        {
            lease.fail();
        }
    }
}

/// One request on its way to a worker.
struct Errand<'r> {
    pool: &'r PoolRef<Given>,
    job: Job,
    /// It is for the worker that this leads to, as long as that answers.
    key: Option<String>,
    /// How long it may wait for workers, in all.
    wait: Duration,
    /// How long it has. What a worker takes that it had is none of it.
    waited: Duration,
}

/// Why a worker gave no answer.
enum Failure {
    Refused(Refusal),
    Forward(String, ForwardError),
}

impl<A: Agents, F: Forwarder> Gateway<A, F> {
    /// Passes one request on to a worker of the pool `id`, with the rest of its path.
    pub(crate) async fn share(
        &self,
        peer: Peer,
        route: Route<'_>,
        request: Request<Body>,
    ) -> Response<Body> {
        match self.shared(peer, route, request).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn shared(
        &self,
        peer: Peer,
        route: Route<'_>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let crew = self.agents.pool(route.id);
        let unknown = || Problem::no_such_pool(route.id, &self.agents.pool_ids());
        let crew = crew.ok_or_else(|| Refusal::new(unknown()))?;
        let (mut parts, body) = request.into_parts();
        check_length(&parts).map_err(Refusal::new)?;
        let (job, wait) = job(&parts.headers, crew.wait).map_err(Refusal::new)?;
        let key = name(&parts.headers, KEY).map_err(Refusal::new)?;
        let key = key.map(str::to_owned);
        let pool = crew.pool.ok_or_else(|| not_yet(route.id))?;
        let prefix = format!("/pools/{}", route.id);
        headers::prepare(&mut parts.headers, &prefix, peer, &self.guard);
        let spare = is_repeatable(&parts, &body).then(|| copy_of(&parts));
        let request = Request::from_parts(parts, body);
        let mut errand = Errand {
            pool: &pool,
            job,
            key,
            wait,
            waited: Duration::ZERO,
        };
        let answer = self.by_a_worker(route, &mut errand, request).await;
        let answer = match (answer, spare) {
            // The connection broke, and asking twice does no harm: another worker may answer.
            (Err(broken @ Failure::Forward(_, ForwardError::Broken { .. })), Some(spare)) => {
                // It dies, perhaps, and still listens until nobody has its port any more.
                tokio::time::sleep(RETRY_PAUSE).await;
                match self.by_a_worker(route, &mut errand, spare).await {
                    // That there is no other says nothing of what has become of it.
                    Err(Failure::Refused(_)) => Err(broken),
                    answer => answer,
                }
            }
            (answer, _) => answer,
        };
        answer.map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Forward(worker, error) => Refusal::new(error.problem(&worker)),
        })
    }

    async fn by_a_worker(
        &self,
        route: Route<'_>,
        errand: &mut Errand<'_>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let reached = self.reach_worker(route.id, errand).await;
        let (stream, worker, held) = reached.map_err(Failure::Refused)?;
        let Leased { id, at, in_flight } = worker;
        let to = Route {
            id: &id,
            rest: route.rest,
        };
        let failed = |error| Failure::Forward(id.clone(), error);
        let uri = to.upstream(&at, request.uri().query());
        let uri = uri.map_err(|_| failed(ForwardError::BadPath))?;
        if headers::asks_for_websocket(request.headers()) {
            keep_with_tunnel(&mut request, Arc::clone(&held));
        }
        match self.forwarder.forward(to, stream, uri, request, None).await {
            Ok(response) => {
                if response.status().is_server_error() {
                    held.fail();
                }
                Ok(response.map(|body| with_body(body, (held, in_flight))))
            }
            Err(error) => {
                if is_workers_fault(&error) {
                    held.fail();
                }
                Err(failed(error))
            }
        }
    }

    /// Waits for a worker, and connects to it; to another, where that does not listen.
    async fn reach_worker(
        &self,
        id: &str,
        errand: &mut Errand<'_>,
    ) -> Result<(Connection, Leased, Arc<Held>), Refusal> {
        let mut tries = 0;
        let mut last = None;
        // Those that do not listen are kept out of reach, so that the next is another.
        let mut aside = Aside::default();
        loop {
            let lease = errand.lease(id, &*self.agents).await?;
            let worker = self.agents.worker(&lease);
            let dialled = match &worker {
                Some(worker) => dial(&worker.at).await,
                // It has gone since.
                None => Err(std::io::ErrorKind::NotConnected.into()),
            };
            let (name, error) = match (worker, dialled) {
                (Some(worker), Ok(stream)) => {
                    let held = Held {
                        lease: Some(lease),
                        has_failed: AtomicBool::new(false),
                    };
                    return Ok((stream, worker, Arc::new(held)));
                }
                (worker, dialled) => (worker.map(|worker| worker.id), dialled.err()),
            };
            tries += 1;
            tracing::trace!(pool = id, worker = ?name, ?error, "worker does not listen");
            if tries > RETRIES {
                aside.take(lease);
                return Err(unreachable(id, name.as_deref()));
            }
            // It may just have died, and nobody has heard of it yet: then its key leads to another.
            let is_first = errand.key.is_some() && last != name;
            if is_first || !has_another(&errand.pool.status(), aside.0.len()) {
                lease.fail();
                tokio::time::sleep(RETRY_PAUSE).await;
            } else {
                errand.key = None;
                aside.take(lease);
            }
            last = name;
        }
    }
}

/// Workers that do not listen, until a request has found one that does, or none.
#[derive(Default)]
struct Aside(Vec<Lease<Given>>);

impl Aside {
    fn take(&mut self, lease: Lease<Given>) {
        self.0.push(lease);
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Lease::fail);
    }
}

/// Whether there is a worker beside this one and so many others.
fn has_another(status: &PoolStatus, others: usize) -> bool {
    let of = |state| status.desk.counts.of(state);
    let ready = of(WorkerState::Idle) + of(WorkerState::Busy);
    usize::try_from(ready).is_ok_and(|ready| ready > others + 1)
}

impl Errand<'_> {
    /// A worker, as soon as it is this request's turn.
    async fn lease(&mut self, id: &str, agents: &impl Agents) -> Result<Lease<Given>, Refusal> {
        let begun = Instant::now();
        let got = self.turn(id, agents).await;
        self.waited += begun.elapsed();
        got
    }

    async fn turn(&self, id: &str, agents: &impl Agents) -> Result<Lease<Given>, Refusal> {
        let left = self.wait.saturating_sub(self.waited);
        let job = self.job.clone();
        let job = match &self.key {
            Some(key) => job.key(key.as_str()),
            None => job,
        };
        let mut checkout = pin!(self.pool.checkout_as(job.within(left)));
        let mut look = FIRST_LOOK;
        loop {
            match timeout(look, &mut checkout).await {
                Ok(Ok(lease)) => return Ok(lease),
                Ok(Err(error)) => return Err(refused(id, self.pool, &error, self.wait)),
                // Whoever would wait in vain is told soon.
                Err(_) => {
                    if let Some(refusal) = in_vain(id, &self.pool.status(), agents).await {
                        return Err(refusal);
                    }
                    look = LOOK;
                }
            }
        }
    }
}

/// A worker is an answer's own until the client has all of it, or has gone.
impl Kept for (Arc<Held>, InFlight) {
    fn broken_off(&self) {
        self.0.fail();
    }
}

/// Whether that no answer came is because of the worker.
fn is_workers_fault(error: &ForwardError) -> bool {
    match error {
        ForwardError::Broken { .. } | ForwardError::Slow { .. } => true,
        ForwardError::TooLarge
        | ForwardError::SlowClient { .. }
        | ForwardError::BrokenOff
        | ForwardError::Loop
        | ForwardError::NoTunnel
        | ForwardError::BadPath => false,
    }
}

/// On which terms a request waits, as its headers say, and for how long at most.
fn job(headers: &HeaderMap, longest: Duration) -> Result<(Job, Duration), Box<Problem>> {
    let mut job = Job::new();
    if let Some(tenant) = name(headers, TENANT)? {
        job = job.tenant(tenant);
    }
    if let Some(word) = name(headers, PRIORITY)? {
        let mut known = Priority::ALL.iter();
        let priority = known.find(|priority| priority.as_str() == word);
        let words: Vec<_> = Priority::ALL.iter().map(|one| one.as_str()).collect();
        let expected = format!("one of {}", words.join(", "));
        job = job.priority(*priority.ok_or_else(|| bad_header(PRIORITY, &expected))?);
    }
    let wait = match name(headers, DEADLINE)? {
        Some(text) => match text.parse() {
            Ok(millis) if millis > 0 => longest.min(Duration::from_millis(millis)),
            Ok(_) | Err(_) => return Err(bad_header(DEADLINE, "a number of milliseconds above 0")),
        },
        None => longest,
    };
    Ok((job, wait))
}

fn name<'h>(headers: &'h HeaderMap, header: &str) -> Result<Option<&'h str>, Box<Problem>> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= MAX_NAME_BYTES => Ok(Some(text)),
        Ok(_) | Err(_) => {
            let expected = format!("1 to {MAX_NAME_BYTES} bytes of visible ASCII");
            Err(bad_header(header, &expected))
        }
    }
}

fn bad_header(header: &str, expected: &str) -> Box<Problem> {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad_header",
        format!("{header}: expected {expected}"),
    )
    .hint("correct it, or leave it out")
}

fn unavailable(code: &str, detail: String) -> Box<Problem> {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

fn not_yet(id: &str) -> Refusal {
    let detail = format!("pool {id:?} is not up yet");
    let problem = unavailable("pool_not_ready", detail).hint(explain(id));
    Refusal::new(problem).retry_after(1)
}

fn explain(id: &str) -> String {
    format!("see how it is, and why: regrow pool explain {id}")
}

fn unreachable(id: &str, worker: Option<&str>) -> Refusal {
    let worker = worker.unwrap_or("the last of them");
    let detail = format!(
        "{} workers of pool {id:?} refused the connection, at last {worker}",
        RETRIES + 1
    );
    let problem = Problem::new(StatusCode::BAD_GATEWAY, "pool_unreachable", detail);
    Refusal::new(problem.hint(format!("see what they say: regrow logs {worker}")))
}

/// Why a request that waits would wait in vain, if it would.
async fn in_vain(id: &str, status: &PoolStatus, agents: &impl Agents) -> Option<Refusal> {
    let of = |state| status.desk.counts.of(state);
    if of(WorkerState::Idle) + of(WorkerState::Busy) > 0 {
        return None;
    }
    if status.mode == ScaleMode::Manual(0) {
        let detail = format!("pool {id:?} has no workers, as an operator has set");
        let problem = unavailable("pool_has_no_worker", detail);
        return Some(Refusal::new(problem.hint(format!(
            "let its size follow the work: regrow scale {id} auto"
        ))));
    }
    if let Some(why) = agents.given_up(id).await {
        let detail = format!("all workers of pool {id:?} were given up on; the first: {why}");
        let problem = unavailable("pool_has_no_worker", detail);
        let hint = format!("when that is mended: regrow restart pool/{id}");
        return Some(Refusal::new(problem.hint(hint)));
    }
    if status.starts == CircuitState::Open {
        let detail = format!("pool {id:?} has no worker that is ready: its workers do not start");
        let problem = unavailable("pool_has_no_worker", detail).hint(explain(id));
        return Some(Refusal::new(problem).retry_after(retry_after(Some(STARTS_WAIT))));
    }
    None
}

/// Why a request got no worker.
fn refused(id: &str, pool: &PoolHandle, error: &PoolError, waited: Duration) -> Refusal {
    let again = retry_after(error.retry_after());
    let reason = match error {
        PoolError::Rejected { reason, .. } => *reason,
        PoolError::TimedOut { .. } => Reject::Expired,
        // More may come with time.
        PoolError::Lost { .. } | PoolError::NoAnswer { .. } | PoolError::Quarantined { .. } | _ => {
            let problem = unavailable("pool_gone", error.to_string()).hint(explain(id));
            return Refusal::new(problem).retry_after(again);
        }
    };
    let status = pool.status();
    let say = |code: &str, why: &str| unavailable(code, format!("pool {id:?} {why}"));
    match reason {
        Reject::QueueFull => {
            let why = format!(
                "takes no more requests: {} wait already, and {} are being answered",
                status.desk.queued, status.desk.in_flight
            );
            let problem = say("pool_queue_full", &why).hint(explain(id));
            Refusal::new(problem).retry_after(again)
        }
        Reject::Shed => {
            let why = "has more work than its workers can do, and this request had waited too long";
            Refusal::new(say("pool_overloaded", why).hint(explain(id))).retry_after(again)
        }
        Reject::Dropped => {
            let why = "is full, and this request had to make room for another";
            Refusal::new(say("pool_queue_full", why).hint(explain(id))).retry_after(again)
        }
        Reject::Draining => Refusal::new(say("pool_draining", "takes no more requests")),
        Reject::BreakerOpen => {
            let why = "is not asked: the breaker that it stands behind is open";
            let problem = say("breaker_open", why).hint("see why: regrow breaker ls");
            Refusal::new(problem).retry_after(again)
        }
        Reject::NoWorker => Refusal::new(say("pool_has_no_worker", "has no such worker")),
        Reject::Expired => late(id, &status, waited),
    }
}

/// There was no worker in time.
fn late(id: &str, status: &PoolStatus, waited: Duration) -> Refusal {
    let of = |state| status.desk.counts.of(state);
    let (idle, busy) = (of(WorkerState::Idle), of(WorkerState::Busy));
    let detail = format!(
        "no worker of pool {id:?} was free within {} s: {busy} of {} are busy, {} are not ready, {} requests wait",
        waited.as_secs_f64(),
        status.desk.workers.len(),
        status.desk.workers.len() - usize::try_from(idle + busy).unwrap_or_default(),
        status.desk.queued
    );
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "pool_timeout", detail);
    Refusal::new(problem.hint(explain(id)))
}
