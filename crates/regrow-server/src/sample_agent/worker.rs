//! An agent that answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::leash::Leash;
use super::mood::{self, Changes, Mood, Moods};
use super::silent::{Silence, UntilTold};
use super::{Identity, SampleAgentError, length_of_time, say};

/// What is in hand when the worker is asked to stop has this long to end.
const FINISHING: Duration = Duration::from_secs(5);

/// Of that, so much for those who have connected and said nothing yet.
const HEARING: Duration = Duration::from_millis(500);

/// The largest body that is read.
const MAX_BODY: usize = 1024 * 1024;

/// Answers HTTP on 127.0.0.1: POST /invoke, GET /healthz, GET /readyz.
///
/// A listener that was handed over comes first (`LISTEN_FDS`), then a Unix socket, then a port. It turns unready (503 at /readyz), hangs and
/// recovers when it is told to: by a line `unready`, `hang` or `ready` on stdin, or after a time.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Worker {
    /// The port to answer on; 0 takes a free one
    #[arg(long, env = "PORT", required_unless_present = "socket")]
    port: Option<u16>,
    /// The Unix socket to answer on instead
    #[arg(long, env = "REGROW_SOCKET")]
    socket: Option<PathBuf>,
    /// How long each answer to /invoke takes
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    takes: Option<Duration>,
    #[command(flatten)]
    changes: Changes,
}

/// What it answers on.
enum Listener {
    Port(TcpListener),
    HandedOver(TcpListener),
    Socket(UnixListener, PathBuf),
}

impl Listener {
    fn open(worker: &Worker) -> Result<Self, SampleAgentError> {
        if let Some(listener) = handed_over().map_err(SampleAgentError::HandedOver)? {
            return Ok(Self::HandedOver(listener));
        }
        if let Some(path) = &worker.socket {
            let listener = UnixListener::bind(path).map_err(|source| SampleAgentError::Socket {
                path: path.clone(),
                source,
            })?;
            return Ok(Self::Socket(listener, path.clone()));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, worker.port.unwrap_or_default()));
        let listen = |source| SampleAgentError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(listen)?;
        Ok(Self::Port(of_tokio(listener).map_err(listen)?))
    }

    fn address(&self) -> io::Result<String> {
        Ok(match self {
            Self::Port(listener) => format!("http://{}", listener.local_addr()?),
            Self::HandedOver(listener) => {
                format!("http://{}, which was handed over", listener.local_addr()?)
            }
            Self::Socket(_, path) => path.display().to_string(),
        })
    }

    /// Serves until it is told to `stop`, and everybody who had connected before that has an answer.
    async fn serve(self, routes: axum::Router, stop: watch::Receiver<bool>) -> io::Result<()> {
        match self {
            Self::Port(listener) | Self::HandedOver(listener) => {
                serve(listener, routes, stop).await
            }
            Self::Socket(listener, _) => serve(listener, routes, stop).await,
        }
    }
}

async fn serve<L: axum::serve::Listener<Addr: std::fmt::Debug>>(
    listener: L,
    routes: axum::Router,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let silence = Silence::new();
    let listener = UntilTold {
        listener,
        stop: stop.clone(),
        silence: silence.clone(),
    };
    let finish = async move {
        let mut stop = stop;
        // Where nobody is left to tell, it is over as well.
        drop(stop.wait_for(|stop| *stop).await);
        tokio::time::timeout(HEARING, silence.broken()).await.ok();
    };
    axum::serve(listener, routes)
        .with_graceful_shutdown(finish)
        .await
}

/// The listener that whoever started us has put beside stdin, stdout and stderr, by systemd's protocol.
fn handed_over() -> io::Result<Option<TcpListener>> {
    let listener = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
    listener.map(of_tokio).transpose()
}

fn of_tokio(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Answers until it is asked to stop, then ends what is in hand.
pub(super) async fn run(worker: &Worker, identity: &Identity) -> Result<(), SampleAgentError> {
    let moods = Moods::new(&worker.changes);
    let heard = moods.clone();
    let mut leash = Leash::take_and_hear(move |line| heard.hear(line))?;
    let listener = Listener::open(worker)?;
    let address = listener.address().map_err(SampleAgentError::Serve)?;
    say(format_args!("worker: {identity}, answering on {address}"))?;

    let (stop, stopped) = watch::channel(false);
    let mut server = pin!(listener.serve(
        routes(
            identity.clone(),
            moods.clone(),
            worker.takes.unwrap_or_default()
        ),
        stopped
    ));
    let asked = tokio::select! {
        ended = &mut server => return ended.map_err(SampleAgentError::Serve),
        asked = leash.asked() => asked,
    };
    say(format_args!("worker: stopping at {asked}"))?;
    stop.send_replace(true);
    // Whoever hangs here would hold it up.
    moods.turn(Mood::Ready);
    match tokio::time::timeout(FINISHING, server).await {
        Ok(ended) => ended.map_err(SampleAgentError::Serve),
        Err(_) => say(format_args!(
            "worker: leaving requests that did not end within {FINISHING:?}"
        )),
    }
}

/// Listens, and answers a server that never ends: for an agent that is a worker beside something else.
pub(super) async fn listen(
    address: SocketAddr,
    identity: &Identity,
) -> Result<impl Future<Output = ()> + Send + 'static, SampleAgentError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| SampleAgentError::Listen { address, source })?;
    let moods = Moods::new(&Changes::default());
    let server = axum::serve(listener, routes(identity.clone(), moods, Duration::ZERO));
    Ok(async move { drop(server.await) })
}

fn routes(identity: Identity, moods: Moods, takes: Duration) -> axum::Router {
    let asked = moods.clone();
    let readyz = async move || match asked.now() {
        Mood::Ready | Mood::Hanging => (StatusCode::OK, "ok\n"),
        Mood::Unready => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    axum::Router::new()
        .route(
            "/invoke",
            post(invoke).layer(from_fn_with_state(takes, take_time)),
        )
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(moods, mood::patience))
        .with_state(Arc::new(identity))
}

/// The work that an answer is.
async fn take_time(State(takes): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::sleep(takes).await;
    next.run(request).await
}

/// The body of `POST /invoke`.
#[derive(Debug, Deserialize)]
struct Invocation {
    text: String,
}

/// The answer to `POST /invoke`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    text: String,
    agent: &'a str,
    generation: u64,
}

/// The answer to a wrong body.
#[derive(Debug, Serialize)]
struct Refusal {
    error: String,
}

/// Gives the text back. The content type is not looked at, so that `curl -d` without a header does.
async fn invoke(State(identity): State<Arc<Identity>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Invocation>(&body) {
        Ok(Invocation { text }) => Json(Answer {
            text,
            agent: &identity.agent,
            generation: identity.generation,
        })
        .into_response(),
        Err(error) => {
            let error = format!(r#"the body must be JSON such as {{"text":"hello"}}: {error}"#);
            (StatusCode::BAD_REQUEST, Json(Refusal { error })).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let moods = Moods::new(&Changes::default());
        ask_in(&moods, method, path, body).await
    }

    async fn ask_in(
        moods: &Moods,
        method: &str,
        path: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, String) {
        let identity = Identity {
            agent: "echo".to_owned(),
            generation: 3,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(body.into())
            .unwrap();
        let answer = routes(identity, moods.clone(), Duration::ZERO)
            .oneshot(request)
            .await
            .unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn invoke_gives_the_text_back_and_says_who_answered() {
        let answer = ask("POST", "/invoke", r#"{"text":"hello"}"#).await;
        assert_eq!(
            answer,
            (
                StatusCode::OK,
                r#"{"text":"hello","agent":"echo","generation":3}"#.to_owned()
            )
        );
    }

    #[tokio::test]
    async fn invoke_refuses_a_wrong_body_in_a_sentence() {
        for (body, why) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("hello", "expected value at line 1 column 1"),
            ("{}", "missing field `text` at line 1 column 2"),
            (
                r#"{"text":7}"#,
                "invalid type: integer `7`, expected a string at line 1 column 9",
            ),
        ] {
            let (status, answer) = ask("POST", "/invoke", body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(
                answer["error"],
                format!(r#"the body must be JSON such as {{"text":"hello"}}: {why}"#)
            );
        }
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused() {
        let (status, _) = ask("POST", "/invoke", vec![b' '; MAX_BODY + 1]).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn it_turns_unready_hangs_and_recovers_as_it_is_told() {
        let moods = Moods::new(&Changes::default());
        let get = async |path| ask_in(&moods, "GET", path, "").await.0;
        moods.hear("unready\r");
        assert_eq!(get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/healthz").await, StatusCode::OK);
        moods.hear("hang");
        let mut hangs = pin!(get("/readyz"));
        for _ in 0..100 {
            moods.hear("whatever else");
            tokio::select! {
                biased;
                answer = &mut hangs => panic!("it answers {answer}"),
                () = tokio::task::yield_now() => {}
            }
        }
        moods.hear("ready");
        assert_eq!(hangs.await, StatusCode::OK);
    }

    #[tokio::test]
    async fn both_health_addresses_answer() {
        assert_eq!(
            ask("GET", "/healthz", "").await,
            (StatusCode::OK, "ok\n".to_owned())
        );
        assert_eq!(
            ask("GET", "/readyz", "").await,
            (StatusCode::OK, "ok\n".to_owned())
        );
    }
}
