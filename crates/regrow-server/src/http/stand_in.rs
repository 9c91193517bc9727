//! Who answers when nobody else can: a thread of its own, with a runtime of its own.
//!
//! A task of the daemon's runtime says ten times in a second that it is there. When it has said nothing for two seconds, every worker of that
//! runtime is held up by something that does not give way, and nobody accepts connections. Then this thread does, at the same sockets, until
//! the runtime runs again: it answers `/livez`, `/readyz`, `/startupz`, `/health` and `/metrics` by what supervisors have written of
//! their children, which waits for nobody, and everything else by 503. In between it only looks at a clock four times in a second.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::guard::{Guard, Peer};
use super::{Answer, Listeners, Server, turned};
use crate::health::{Brief, Check, Verbose, answer, of_the_whole, readiness, startup};
use crate::wire::{DaemonPhase, PoolHealth, Problem};

/// How often the runtime says that it is there.
const BEAT: Duration = Duration::from_millis(100);
/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_millis(250);
/// One that says nothing for so long is jammed: a worker that has much to do is late by far less.
const JAMMED: Duration = Duration::from_secs(2);
/// How often it is looked meanwhile whether it is back.
const BACK: Duration = Duration::from_millis(10);
/// How long is waited for what is read for an answer.
const READ: Duration = Duration::from_secs(1);
/// One that says nothing for so long does not come back by itself; as long as a handler of an actor may take.
const STALLED: Duration = Duration::from_secs(30);
/// How many connections are served at once meanwhile, at each of the sockets.
const CONNECTIONS: usize = 32;

/// What is told without waiting for anybody.
pub(crate) trait Glance: Send + Sync + 'static {
    /// How far the daemon is.
    fn phase(&self) -> DaemonPhase;
    /// How the agents are.
    fn briefs(&self) -> Vec<Brief>;
    /// How the pools are.
    fn pools(&self) -> BTreeMap<String, PoolHealth>;
    /// The figures, in Prometheus' text form.
    fn metrics(&self) -> String;
}

/// By which the runtime says that it is there.
#[derive(Debug)]
pub(crate) struct Beat {
    began: Instant,
    /// In milliseconds since the begin.
    last: AtomicU64,
}

impl Beat {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    fn at(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// For how long nothing has been said.
    fn silent_for(&self, now: Instant) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(self.began)
            .saturating_sub(last)
    }
}

/// Begins to look whether this runtime runs, on a thread that ends soon after `stop` has turned true. Call it inside that runtime. Where
/// there can be no such thread, that is told, and nobody stands in.
pub(crate) fn begin<G: Glance>(
    listeners: &Listeners,
    guard: &Arc<Guard>,
    glance: &Arc<G>,
    stop: &watch::Receiver<bool>,
) {
    let beat = Arc::new(Beat::new());
    let front = Arc::new(Front {
        beat: Arc::clone(&beat),
        guard: Arc::clone(guard),
        glance: Arc::clone(glance),
    });
    match begin_thread(listeners, front, stop.clone()) {
        Ok(()) => drop(tokio::spawn(keep_beating(beat, stop.clone()))),
        Err(error) => {
            tracing::warn!(%error, "no thread watches the runtime; should it be jammed, nobody answers");
        }
    }
}

fn begin_thread<G: Glance>(
    listeners: &Listeners,
    front: Arc<Front<G>>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let doors = Doors::share(listeners)?;
    // It only waits: with more, each end of a child would wake it.
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let stand_in = thread::Builder::new().name("regrow-stand-in".to_owned());
    stand_in.spawn(move || stand_by(&clock, &doors, &front, stop))?;
    Ok(())
}

async fn keep_beating(beat: Arc<Beat>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = turned(&mut stop) => return,
            _ = ticks.tick() => beat.at(Instant::now()),
        }
    }
}

/// The sockets, once more.
struct Doors {
    tcp: std::net::TcpListener,
    socket: std::os::unix::net::UnixListener,
}

impl Doors {
    fn share(listeners: &Listeners) -> io::Result<Self> {
        use std::os::fd::{AsFd as _, OwnedFd};
        let again = |door: std::os::fd::BorrowedFd<'_>| -> io::Result<OwnedFd> {
            door.try_clone_to_owned()
        };
        Ok(Self {
            tcp: again(listeners.tcp.as_fd())?.into(),
            socket: again(listeners.socket.as_fd())?.into(),
        })
    }

    /// Only while somebody stands here is this thread woken by who comes.
    fn open(&self) -> io::Result<Listeners> {
        Ok(Listeners {
            tcp: TcpListener::from_std(self.tcp.try_clone()?)?,
            socket: UnixListener::from_std(self.socket.try_clone()?)?,
        })
    }
}

/// Looks until `stop` turns true, and steps in where it has to.
fn stand_by<G: Glance>(
    clock: &Runtime,
    doors: &Doors,
    front: &Arc<Front<G>>,
    mut stop: watch::Receiver<bool>,
) {
    while let Some(silent) = clock.block_on(jam(&front.beat, &mut stop)) {
        tracing::error!(
            ?silent,
            "nothing runs any more: every worker of the runtime is held up; only health and metrics are answered"
        );
        let built = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let stepped = built.and_then(|runtime| {
            let stepped = runtime.block_on(async {
                step_in(doors.open()?, front, &mut stop).await;
                Ok(())
            });
            // Who reads for an answer may be held up by the same lock as everybody else.
            runtime.shutdown_background();
            stepped
        });
        match stepped {
            Ok(()) => tracing::warn!("the runtime runs again"),
            Err(error) => {
                tracing::error!(%error, "failed to answer in its place");
                clock.block_on(pause(&mut stop));
            }
        }
    }
}

async fn pause(stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = turned(stop) => {}
        () = tokio::time::sleep(JAMMED) => {}
    }
}

/// Waits until the runtime is jammed, and says for how long it has been; `None` when `stop` turns true.
async fn jam(beat: &Beat, stop: &mut watch::Receiver<bool>) -> Option<Duration> {
    loop {
        let lay_down = Instant::now();
        tokio::select! {
            () = turned(stop) => return None,
            () = tokio::time::sleep(LOOK) => {}
        }
        let silent = beat.silent_for(Instant::now());
        // Where this thread gets no processor either, it is the machine that has too much to do.
        if silent >= JAMMED && lay_down.elapsed() <= 2 * LOOK {
            return Some(silent);
        }
    }
}

/// Answers until the runtime runs again, or `stop` turns true.
async fn step_in<G: Glance>(
    listeners: Listeners,
    front: &Arc<Front<G>>,
    stop: &mut watch::Receiver<bool>,
) {
    let mut server = Server::new(Arc::clone(front), CONNECTIONS, CONNECTIONS);
    let mut look = tokio::time::interval(BACK);
    // Whoever comes when it runs again is its own.
    while front.beat.silent_for(Instant::now()) >= JAMMED {
        tokio::select! {
            biased;
            () = turned(stop) => break,
            _ = look.tick() => {}
            () = server.next(&listeners) => {}
        }
    }
    drop(listeners);
    // Each connection has one answer; who has not got it by then asks again.
    server.end(LOOK).await;
}

/// What is said meanwhile.
struct Front<G> {
    beat: Arc<Beat>,
    guard: Arc<Guard>,
    glance: Arc<G>,
}

impl<G: Glance> Answer for Front<G> {
    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Body>) -> Response<Body> {
        let (parts, _body) = request.into_parts();
        let mut response = match self.guard.check(peer, &parts) {
            Err(problem) => problem.into_response(),
            Ok(()) => {
                let asks = matches!(parts.method, Method::GET | Method::HEAD);
                let path = if asks { parts.uri.path() } else { "" };
                let silent = self.beat.silent_for(Instant::now());
                let query = parts.uri.query().unwrap_or_default();
                let verbose = query
                    .split('&')
                    .any(|word| word == "verbose" || word == "verbose=true");
                let verbose = if verbose { Verbose::On } else { Verbose::Off };
                self.say(path.to_owned(), verbose, silent).await
            }
        };
        // The next request is for those who can do more.
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl<G: Glance> Front<G> {
    /// What is answered, if it can be read: where the runtime is held up by a lock, so is whoever takes it to read.
    async fn say(&self, path: String, verbose: Verbose, silent: Duration) -> Response<Body> {
        if path == "/livez" {
            return say(&*self.glance, &path, verbose, silent);
        }
        let glance = Arc::clone(&self.glance);
        let read = tokio::task::spawn_blocking(move || say(&*glance, &path, verbose, silent));
        match tokio::time::timeout(READ, read).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) | Err(_) => say(&*self.glance, "", verbose, silent),
        }
    }
}

/// What is answered at a path while the runtime has said nothing for so long.
fn say(glance: &impl Glance, path: &str, verbose: Verbose, silent: Duration) -> Response<Body> {
    let trouble = || format!("nothing has run for {} s", silent.as_secs());
    let runtime = |so: bool| Check::new("runtime", so.then(trouble));
    match path {
        "/livez" => answer(&[runtime(silent >= STALLED)], verbose).into_response(),
        "/startupz" => answer(&startup(glance.phase()), verbose).into_response(),
        "/readyz" => {
            let mut checks = vec![runtime(true)];
            checks.extend(readiness(glance.phase(), &glance.briefs(), &glance.pools()));
            answer(&checks, verbose).into_response()
        }
        "/health" => {
            let mut health = of_the_whole(glance.briefs(), glance.pools());
            health.status = "down".to_owned();
            Json(health).into_response()
        }
        "/metrics" => {
            let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, glance.metrics()).into_response()
        }
        _ => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "jammed",
            format!("regrow is held up: {}", trouble()),
        )
        .hint("see /health and /metrics, which are answered; if it stays so, restart regrow and report it")
        .with_retry_after(1),
    }
}

#[cfg(test)]
mod tests;
