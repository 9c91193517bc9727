//! The whole way in: a raw client, the accept loop, the guard, the gateway, a raw agent.

use axum::routing::get;
use regrow::pool::WorkerState;
use regrow::telemetry::{Edge, EventStream, Span, Telemetry};
use regrow_core::{Desired, Phase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;

use super::*;
use crate::gateway::Standing;
use crate::gateway::tests::pools::{Workers, until};
use crate::http::{Listeners, serve};

/// Every agent runs at this port, and what was answered is told here; there may be a pool.
struct AllAt(u16, Telemetry, Option<Arc<Workers>>);

impl Agents for AllAt {
    async fn standing(&self, _id: &str) -> Option<Standing> {
        Some(Standing {
            phase: Phase::Running,
            desired: Desired::Up,
            at: Some(crate::gateway::At::Port(self.0)),
            alive: true,
            up_for: None,
            starts_in: None,
            message: None,
            unready: None,
        })
    }

    fn before(&self, _id: &str) -> Option<crate::gateway::Before> {
        None
    }

    fn pool(&self, _id: &str) -> Option<crate::gateway::Crew> {
        Some(self.2.as_ref()?.crew())
    }

    fn pool_ids(&self) -> Vec<String> {
        Vec::new()
    }

    async fn given_up(&self, _pool: &str) -> Option<String> {
        None
    }

    fn worker(
        &self,
        lease: &regrow::pool::Lease<regrow::pool::Given>,
    ) -> Option<crate::gateway::Leased> {
        Some(self.2.as_ref()?.leased(lease))
    }

    fn begin(&self, _id: &str) -> Option<regrow_process::InFlight> {
        None
    }

    fn asked(
        &self,
        route: &'static str,
        method: &'static str,
        parent: Option<TraceContext>,
    ) -> Span {
        crate::daemon::asked(&self.1, route, method, parent)
    }
}

struct Fixture {
    client: TcpStream,
    agent: TcpListener,
    told: EventStream,
    /// While these live, the server does.
    _server: (watch::Sender<bool>, tempfile::TempDir),
}

/// A client that is connected to a server, and an agent that has not been asked yet.
async fn fixture() -> Fixture {
    let agent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    fixture_with(agent, None).await
}

/// The same; the agent is the only worker of a pool, too.
async fn fixture_of_pool() -> (Fixture, Arc<Workers>) {
    let agent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [agent.local_addr().unwrap().port()];
    let workers = Workers::at(&ports, std::time::Duration::from_secs(20)).await;
    let workers = Arc::new(workers);
    let fixture = fixture_with(agent, Some(Arc::clone(&workers))).await;
    (fixture, workers)
}

async fn fixture_with(agent: TcpListener, workers: Option<Arc<Workers>>) -> Fixture {
    let telemetry = Telemetry::default();
    let told = telemetry.subscribe(16).unwrap();
    let agents = AllAt(agent.local_addr().unwrap().port(), telemetry, workers);
    let folder = tempfile::tempdir().unwrap();
    let listeners = Listeners {
        tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        socket: UnixListener::bind(folder.path().join("s")).unwrap(),
    };
    let address = listeners.tcp.local_addr().unwrap();
    let guard = Guard::new(address, "token".into(), ".".into());
    let api = Router::new().route("/livez", get(|| async { "api" }));
    let front = Front::new(Arc::new(guard), Arc::new(agents), api);
    let (stop, stopped) = watch::channel(false);
    let grace = std::time::Duration::from_secs(1);
    tokio::spawn(serve(listeners, Arc::new(front), stopped, grace));
    Fixture {
        client: TcpStream::connect(address).await.unwrap(),
        agent,
        told,
        _server: (stop, folder),
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
    }
    String::from_utf8(read).unwrap()
}

async fn answer_to(request: &str) -> String {
    let mut fixture = fixture().await;
    fixture.client.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut fixture.client, "\r\n\r\n").await
}

#[tokio::test]
async fn what_is_not_for_an_agent_is_for_the_api() {
    let answer = answer_to("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn the_guard_comes_first() {
    let answer = answer_to("GET /agents/a/ HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    let answer = answer_to("POST /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn each_answer_is_told_with_the_template_of_its_path() {
    for (request, route, method, status) in [
        ("GET /livez", "/livez", "GET", 200),
        (
            "GET /v1/agents/a/logs?x",
            "/v1/agents/{id}/logs",
            "GET",
            404,
        ),
        ("GET /v1/agents/a/b/c", "other", "GET", 404),
        ("PURGE /agents/%41/x", "/agents/{id}/{rest}", "other", 400),
        ("POST /v1/down", "/v1/down", "POST", 401),
    ] {
        let mut fixture = fixture().await;
        let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        fixture.client.write_all(request.as_bytes()).await.unwrap();
        let start = fixture.told.next().await.unwrap();
        assert_eq!(start.name(), "regrow.http.request.start");
        let stop = fixture.told.next().await.unwrap();
        let Payload::HttpRequest {
            edge: Edge::Stop { .. },
            route: at,
            method: by,
            status: answered,
        } = stop.payload
        else {
            panic!("{stop:?}")
        };
        assert_eq!((at, by, answered), (route, method, Some(status)));
    }
}

#[tokio::test]
async fn what_can_be_no_agent_and_what_is_too_long_is_refused() {
    let answer = answer_to("GET /agents/%2e%2e/x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let long = format!(
        "GET /agents/a/{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "x".repeat(9000)
    );
    assert!(answer_to(&long).await.starts_with("HTTP/1.1 414 "));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_request_to_the_agent() {
    let mut fixture = fixture().await;
    let request = b"GET /agents/a/slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
    fixture.client.write_all(request).await.unwrap();
    let (mut agent, _) = fixture.agent.accept().await.unwrap();
    read_until(&mut agent, "\r\n\r\n").await;
    drop(std::mem::replace(
        &mut fixture.client,
        TcpStream::connect(agent.local_addr().unwrap())
            .await
            .unwrap(),
    ));
    assert_eq!(agent.read(&mut [0; 1]).await.unwrap(), 0);
    let names = [
        fixture.told.next().await.unwrap().name(),
        fixture.told.next().await.unwrap().name(),
    ];
    assert_eq!(
        names,
        ["regrow.http.request.start", "regrow.http.request.cancel"]
    );
}

/// A tunnel to whoever is at this path, and its end at the agent.
async fn tunnel(fixture: &mut Fixture, path: &str) -> TcpStream {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    fixture.client.write_all(request.as_bytes()).await.unwrap();
    let (mut agent, _) = fixture.agent.accept().await.unwrap();
    let asked = read_until(&mut agent, "\r\n\r\n")
        .await
        .to_ascii_lowercase();
    assert!(asked.contains("upgrade: websocket\r\n"), "{asked}");
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom the agent";
    agent.write_all(answer).await.unwrap();
    let answered = read_until(&mut fixture.client, "from the agent").await;
    assert!(answered.starts_with("HTTP/1.1 101 "), "{answered}");
    fixture.client.write_all(b"from the client").await.unwrap();
    read_until(&mut agent, "from the client").await;
    agent
}

#[tokio::test]
async fn a_websocket_becomes_a_tunnel_of_bytes_both_ways() {
    let mut fixture = fixture().await;
    let agent = tunnel(&mut fixture, "/agents/a/ws").await;
    drop(agent);
    let mut rest = Vec::new();
    fixture.client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_worker_of_a_pool_is_a_websockets_until_that_is_closed() {
    let (mut fixture, workers) = fixture_of_pool().await;
    let agent = tunnel(&mut fixture, "/pools/w/ws").await;
    assert_eq!(workers.count(WorkerState::Busy), 1);
    drop(agent);
    let mut rest = Vec::new();
    fixture.client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    drop(fixture.client);
    until(|| workers.count(WorkerState::Idle) == 1).await;
    assert_eq!(workers.pool.status().desk.totals.submitted, 1);
}

/// The trace headers that an agent gets of a request with these, and the span that was told of the request.
async fn passed_on(headers: &str) -> (Vec<String>, TraceContext) {
    let mut fixture = fixture().await;
    let request = format!("GET /agents/a/ HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    fixture.client.write_all(request.as_bytes()).await.unwrap();
    let (mut agent, _) = fixture.agent.accept().await.unwrap();
    let asked = read_until(&mut agent, "\r\n\r\n").await;
    let traces = asked.lines().filter(|line| line.starts_with("trace"));
    let told = fixture.told.next().await.unwrap();
    (traces.map(str::to_owned).collect(), told.context().unwrap())
}

#[tokio::test]
async fn a_request_to_an_agent_is_a_part_of_ours_which_is_a_part_of_the_clients_trace() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!(
        "traceparent: 00-{trace}-00f067aa0ba902b7-01\r\ntracestate: a=1\r\ntracestate: b=2\r\n"
    );
    let (passed, told) = passed_on(&given).await;
    let parent = told.traceparent();
    assert!(parent.starts_with(&format!("00-{trace}-")), "{parent}");
    assert!(!parent.contains("00f067aa0ba902b7"), "{parent}");
    let wanted = [
        format!("traceparent: {parent}"),
        "tracestate: a=1,b=2".to_owned(),
    ];
    assert_eq!(passed, wanted);
}

#[tokio::test]
async fn a_trace_that_is_none_is_dropped_and_a_new_one_begun() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = format!("traceparent: {}\r\n", "0".repeat(9_000));
    let twice = format!("traceparent: {good}\r\ntraceparent: {good}\r\n");
    for given in [
        "",
        "traceparent: 00-1-2-01\r\ntracestate: a=1\r\n",
        &long,
        &twice,
    ] {
        let (passed, told) = passed_on(given).await;
        assert_eq!(
            passed,
            [format!("traceparent: {}", told.traceparent())],
            "{given:.80}"
        );
        assert!(!told.traceparent().contains("4bf92f35"), "{told:?}");
    }
}
