//! A whole daemon with real processes, asked over HTTP.

use std::path::Path;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::health::Brief;

mod operations;
mod order;

/// Enough for whatever a busy machine does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon that runs, and the way to it.
struct Up {
    roster: Arc<Roster>,
    address: SocketAddr,
    state: std::path::PathBuf,
    token: String,
    task: JoinHandle<Report>,
    folder: tempfile::TempDir,
}

impl Up {
    /// What is told without asking anybody is what supervisors say, but for their words.
    async fn is_the_same_at_a_glance(&self) {
        let asked: Vec<Brief> = self.roster.all().await.iter().map(Brief::from).collect();
        let of = |briefs: Vec<Brief>| -> Vec<_> {
            let facts = |one: Brief| (one.id, one.phase, one.health, one.ready, one.required);
            briefs.into_iter().map(facts).collect()
        };
        assert_eq!(of(self.roster.glance()), of(asked));
    }
}

/// The config of agents that are quick to start and to stop.
fn config(folder: &Path, before: &str, agents: &str) -> Config {
    let text = format!(
        "ports: 39000-39999\nlimits: {{ max_agents: 4 }}\n\
         defaults: {{ start_window: 20ms, stop: {{ timeout: 2s }}, restart: {{ base: 1ms, max: 1ms, max_restarts: 1 }} }}\n\
         {before}agents:\n{agents}"
    );
    crate::config::parse(&text, &folder.join("regrow.yaml"), &|_| None).unwrap()
}

async fn start(agents: &str) -> Up {
    start_with("", agents).await
}

/// The same, with something before the agents in the file.
async fn start_with(before: &str, agents: &str) -> Up {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join(".regrow")).unwrap();
    let token = state.token().to_owned();
    let config = config(folder.path(), before, agents);
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let daemon = Daemon::start(config, state, Some(listen)).await.unwrap();
    Up {
        roster: Arc::clone(&daemon.roster),
        address: daemon.address(),
        state: daemon.state().path().to_owned(),
        token,
        task: tokio::spawn(daemon.run()),
        folder,
    }
}

async fn exchange<S>(stream: S, request: Request<Body>) -> Response<hyper::body::Incoming>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

impl Up {
    /// Where the agents run.
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn send(&self, request: Request<Body>) -> Response<hyper::body::Incoming> {
        exchange(TcpStream::connect(self.address).await.unwrap(), request).await
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Request<Body> {
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.token))
            .body(body)
            .unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.send(self.request(method, path, &body)).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, Value::Null).await.1
    }

    async fn post(&self, path: &str) -> (StatusCode, Value) {
        self.ask("POST", path, Value::Null).await
    }

    async fn settled(&self) -> Value {
        let (status, report) = self.ask("GET", "/v1/wait?timeout=30s", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{report}");
        report
    }

    async fn end(self) -> Report {
        assert_eq!(self.post("/v1/down").await.0, StatusCode::ACCEPTED);
        in_time(self.task).await.unwrap()
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

const SLEEPER: &str = "  sleeper: { command: [sleep, '1000'], port: auto, type: idler }\n";

#[tokio::test]
async fn the_agents_of_the_file_run_and_are_told_of() {
    let up = start(SLEEPER).await;
    assert_eq!(up.settled().await["failed"], json!([]));
    let agents = up.get("/supervisor/status").await;
    let agent = &agents["agents"][0];
    assert_eq!(agent["id"], "sleeper");
    assert_eq!(agent["path"], "root/sleeper");
    assert_eq!(agent["type"], "idler");
    assert_eq!(
        (&agent["phase"], &agent["ready"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(
        (&agent["generation"], &agent["restarts"]),
        (&json!(1), &json!(0))
    );
    assert!(agent["pid"].as_u64().unwrap() > 1 && agent["port"].as_u64().unwrap() >= 39_000);
    assert_eq!(up.get("/v1/agents/sleeper").await, *agent);
    assert_eq!(up.get("/v1/info").await["phase"], "running");
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(
            up.ask("GET", path, Value::Null).await,
            (StatusCode::OK, json!("ok\n")),
            "{path}"
        );
    }
    assert!(
        up.get("/metrics")
            .await
            .as_str()
            .unwrap()
            .contains("regrow_")
    );
    up.end().await;
}

#[tokio::test]
async fn a_request_for_an_agent_reaches_its_port() {
    let up = start(SLEEPER).await;
    let port = up.get("/v1/agents/sleeper").await["port"].as_u64().unwrap();
    // The agent does not listen; the test does so in its place, after the request was sent.
    let asking = up.send(up.request("POST", "/agents/sleeper/invoke?x=1", &json!({"a": 1})));
    let listening = async {
        let listener = TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap()))
            .await
            .unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut head)
            .await
            .unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
        (String::from_utf8_lossy(&head[..read]).into_owned(), stream)
    };
    let (response, (head, _stream)) = in_time(async { tokio::join!(asking, listening) }).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(head.starts_with("POST /invoke?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains(&up.token), "{head}");
    up.end().await;
}

#[tokio::test]
async fn an_agent_that_cannot_start_is_parked_and_named_and_the_others_go_on() {
    let agents = format!(
        "{SLEEPER}  broken: {{ command: [sh, -c, 'echo no luck >&2; exit 3'] }}\n  absent: {{ command: [no-such-program-here] }}\n"
    );
    let up = start(&agents).await;
    let report = up.settled().await;
    let failed: Vec<_> = report["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(failed, ["broken", "absent"], "{report}");
    let health = up.get("/health").await;
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["parked"], report["failed"]);
    assert!(
        health.to_string().contains("no-such-program-here"),
        "{health}"
    );
    assert_eq!(health["agents"]["sleeper"]["phase"], "running");
    up.is_the_same_at_a_glance().await;
    assert_eq!(
        up.ask("GET", "/readyz", Value::Null).await.0,
        StatusCode::OK
    );
    let broken = up.get("/v1/agents/broken").await;
    assert_eq!(
        (&broken["phase"], &broken["generation"]),
        (&json!("failed"), &json!(2))
    );
    assert!(
        broken["message"].as_str().unwrap().contains('3'),
        "{broken}"
    );
    up.end().await;
}

#[tokio::test]
async fn nothing_is_ready_while_a_required_agent_is_down() {
    let up = start("  db: { command: [sleep, '1000'], required: true }\n").await;
    up.settled().await;
    up.post("/supervisor/stop/db?wait=30s").await;
    let (status, text) = up.ask("GET", "/readyz", Value::Null).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text.as_str().unwrap().starts_with("[-] agent db: stopped"),
        "{text}"
    );
    up.end().await;
}

#[tokio::test]
async fn what_agents_write_is_told_and_followed_until_the_end() {
    let up = start("  talker: { command: [sh, -c, 'echo one; echo two >&2; read line; echo $line; exec sleep 1000'] }\n").await;
    up.settled().await;
    let one = up.get("/v1/logs?agent=talker&stream=stdout&tail=1").await;
    assert_eq!(
        (&one["text"], &one["stream"], &one["seq"].is_u64()),
        (&json!("one"), &json!("stdout"), &true)
    );
    let follow = up.request("GET", "/v1/logs?follow=1&stream=stderr", &Value::Null);
    let mut body = in_time(up.send(follow)).await.into_body();
    let piece = in_time(body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    let line: Value = serde_json::from_slice(&piece).unwrap();
    assert_eq!(
        (&line["text"], &line["agent"]),
        (&json!("two"), &json!("talker"))
    );
    up.end().await;
    // The daemon's end is the end of what is followed, and a clean one.
    while let Some(piece) = in_time(body.frame()).await {
        piece.unwrap();
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_so() {
    let up = start(SLEEPER).await;
    let long = json!({"agent_id": "x".repeat(1 << 20)});
    let (status, problem) = up.ask("POST", "/v1/agents", long).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large"))
    );
    for (method, path, status, code) in [
        ("GET", "/nothing", StatusCode::NOT_FOUND, "no_such_path"),
        ("GET", "/agents", StatusCode::NOT_FOUND, "no_such_path"),
        (
            "DELETE",
            "/v1/agents/sleeper",
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
        ),
        (
            "GET",
            "/v1/agents/nobody",
            StatusCode::NOT_FOUND,
            "agent_not_found",
        ),
        (
            "GET",
            "/v1/logs?agent=nobody",
            StatusCode::NOT_FOUND,
            "agent_not_found",
        ),
        (
            "GET",
            "/v1/logs?tail=x",
            StatusCode::BAD_REQUEST,
            "bad_parameter",
        ),
        (
            "GET",
            "/v1/wait?for=ever",
            StatusCode::BAD_REQUEST,
            "bad_parameter",
        ),
        (
            "POST",
            "/supervisor/stop/sleeper?wait=5",
            StatusCode::BAD_REQUEST,
            "bad_parameter",
        ),
        (
            "GET",
            "/supervisor/status?x=1",
            StatusCode::BAD_REQUEST,
            "bad_parameter",
        ),
    ] {
        let (got, problem) = up.ask(method, path, Value::Null).await;
        assert_eq!(
            (got, &problem["code"]),
            (status, &json!(code)),
            "{method} {path}"
        );
        assert_eq!(problem["status"], status.as_u16());
    }
    up.end().await;
}

#[tokio::test]
async fn what_happens_is_told_in_order_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join(".regrow")).unwrap();
    let broken =
        "  broken: { command: [sh, -c, 'echo no luck >&2; exit 3'], depends_on: [sleeper] }\n";
    let config = config(folder.path(), "", &format!("{SLEEPER}{broken}"));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut daemon = Daemon::start(config, state, Some(listen)).await.unwrap();
    let mut stream = daemon.progress().unwrap();
    assert!(daemon.progress().is_none());
    let roster = Arc::clone(&daemon.roster);
    let running = tokio::spawn(daemon.run());
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("broken failed") {
        told.push(words(&in_time(stream.next()).await.unwrap()));
    }
    roster.system().begin_shut_down();
    assert!(matches!(
        in_time(running).await.unwrap().cause,
        Cause::Tree(_)
    ));
    while let Some(progress) = in_time(stream.next()).await {
        told.push(words(&progress));
    }
    assert_eq!(
        told,
        [
            "sleeper spawned",
            "sleeper running",
            "broken spawned",
            "broken ended (no luck)",
            "broken restarting",
            "broken spawned",
            "broken ended (no luck)",
            "broken failed",
            "sleeper stopping",
            "sleeper stopped",
        ]
    );
}

fn words(progress: &Progress) -> String {
    let what = match &progress.what {
        What::Spawned { .. } => "spawned".to_owned(),
        What::Running { pid, port, .. } => {
            assert!(pid.is_some() && port.is_some());
            "running".to_owned()
        }
        What::Ended { last_words, .. } => {
            format!("ended ({})", last_words.as_deref().unwrap_or("-"))
        }
        What::Restarting { .. } => "restarting".to_owned(),
        What::Stopping { .. } => "stopping".to_owned(),
        What::Withdrawn => "withdrawn".to_owned(),
        What::Stopped { .. } => "stopped".to_owned(),
        What::Ready => "ready".to_owned(),
        What::Unready { .. } => "not ready".to_owned(),
        What::Paused => "paused".to_owned(),
        What::Resumed => "resumed".to_owned(),
        What::Completed => "completed".to_owned(),
        What::Failed { .. } => "failed".to_owned(),
        What::Leaked { .. } => "leaked".to_owned(),
        What::Log { .. } => "log".to_owned(),
        What::Scaled { .. } => "scaled".to_owned(),
        What::Moved { .. } => "moved".to_owned(),
        What::Breaker { to, .. } => to.to_string(),
    };
    format!("{} {what}", progress.id)
}

#[tokio::test]
async fn the_end_leaves_nothing_and_a_second_daemon_can_follow() {
    let up = start(SLEEPER).await;
    up.settled().await;
    let pid = up.get("/v1/agents/sleeper").await["pid"].as_u64().unwrap();
    let (state, address) = (up.state.clone(), up.address);
    let report = up.end().await;
    assert!(report.leaked.is_empty(), "{report:?}");
    assert!(matches!(report.cause, Cause::Asked), "{report:?}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!state.join("regrow.sock").exists() && !state.join("run.json").exists());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_is_known_to_be_up_can_be_found() {
    use std::os::unix::fs::PermissionsExt;
    let up = start(SLEEPER).await;
    let run: Value =
        serde_json::from_slice(&std::fs::read(up.state.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["listen"], up.address.to_string());
    assert_eq!(run["instance"], up.get("/v1/info").await["instance"]);
    let socket = std::fs::metadata(up.state.join("regrow.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    up.end().await;
}

#[tokio::test]
async fn only_this_machine_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join(".regrow")).unwrap();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let started = Daemon::start(config(folder.path(), "", SLEEPER), state, Some(listen)).await;
    assert!(
        matches!(started, Err(DaemonError::NotLoopback { .. })),
        "{started:?}"
    );
}

#[tokio::test]
async fn while_it_drains_nothing_is_begun_and_nobody_waits() {
    // It takes its time to stop: long enough to be asked meanwhile.
    let agents = "  slow: { command: [sh, -c, 'trap \"\" TERM; sleep 1000'], port: auto }\n";
    let up = start(agents).await;
    up.settled().await;
    assert_eq!(up.post("/v1/down").await.0, StatusCode::ACCEPTED);
    let (status, text) = up.ask("GET", "/readyz", Value::Null).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert_eq!(up.get("/v1/info").await["phase"], "draining");
    let (_, problem) = up.post("/v1/agents/slow/restart").await;
    assert_eq!(problem["code"], "draining");
    let (_, problem) = up
        .ask(
            "POST",
            "/v1/agents",
            json!({"agent_id": "late", "command": "sleep"}),
        )
        .await;
    assert_eq!(problem["code"], "draining");
    let (_, problem) = up.ask("GET", "/agents/slow/", Value::Null).await;
    assert_eq!(problem["code"], "agent_stopping", "{problem}");
    in_time(up.task).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(&folder.path().join(".regrow")).unwrap();
    let error = Daemon::start(config(folder.path(), "", SLEEPER), state, Some(listen))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot listen on {listen}: ")) && text.contains("--listen"),
        "{text}"
    );
}
