//! The gateway against raw agents that behave in every way an agent can.

use std::net::SocketAddr;

use axum::http::StatusCode;
use http_body_util::BodyExt;
use regrow_core::{Desired, Phase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;

mod breakers;
pub(crate) mod pools;

/// One agent, `a`, that stands as the test says, behind a breaker if it says so.
struct One(watch::Sender<Standing>, Option<Before>);

impl Agents for One {
    async fn standing(&self, id: &str) -> Option<Standing> {
        (id == "a").then(|| self.0.borrow().clone())
    }

    fn before(&self, _id: &str) -> Option<Before> {
        self.1.clone()
    }

    fn pool(&self, _id: &str) -> Option<Crew> {
        None
    }

    fn pool_ids(&self) -> Vec<String> {
        Vec::new()
    }

    async fn given_up(&self, _pool: &str) -> Option<String> {
        None
    }

    fn worker(&self, _lease: &Lease<Given>) -> Option<Leased> {
        None
    }

    fn begin(&self, _id: &str) -> Option<InFlight> {
        None
    }

    fn asked(
        &self,
        route: &'static str,
        method: &'static str,
        parent: Option<TraceContext>,
    ) -> Span {
        crate::daemon::asked(&regrow::Telemetry::default(), route, method, parent)
    }
}

fn running_at(port: u16) -> Standing {
    Standing {
        phase: Phase::Running,
        desired: Desired::Up,
        at: Some(At::Port(port)),
        alive: true,
        up_for: Some(Duration::from_secs(60)),
        starts_in: None,
        message: None,
        unready: None,
    }
}

struct Fixture {
    gateway: Gateway<One>,
    agents: Arc<One>,
}

fn gateway(standing: Standing) -> Fixture {
    gateway_through(None, standing)
}

fn gateway_through(before: Option<Before>, standing: Standing) -> Fixture {
    let agents = Arc::new(One(watch::channel(standing).0, before));
    let guard = Guard::new(
        "127.0.0.1:8000".parse().unwrap(),
        "token".into(),
        ".".into(),
    );
    Fixture {
        gateway: Gateway::new(Arc::clone(&agents), Arc::new(guard)),
        agents,
    }
}

impl Fixture {
    async fn ask(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let route::Reading::Agent(route) = route::read(&path) else {
            panic!("{path} leads to no agent")
        };
        let peer = Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 5000)));
        self.gateway.pass(peer, route, request).await
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }
}

/// Reads one request: its head, and as many bytes of body as `content-length` says.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0_usize);
            if body.len() >= length {
                return text;
            }
        }
        if stream.read_buf(&mut read).await.unwrap() == 0 {
            return String::from_utf8_lossy(&read).into_owned();
        }
    }
}

/// An agent that gives each of these answers to one connection, then hands the connections back.
async fn agent(
    answers: &'static [&'static [u8]],
) -> (u16, tokio::task::JoinHandle<Vec<(String, TcpStream)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            if answer.is_empty() {
                // A connection that was closed without a word.
                drop(stream);
            } else {
                asked.push((request, stream));
            }
        }
        asked
    });
    (port, task)
}

/// A port that nobody listens on.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn problem(response: Response<Body>) -> Problem {
    serde_json::from_str(&text(response).await).unwrap()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: 5\r\nx-own: 1\r\n\r\nhi";

#[tokio::test]
async fn a_request_reaches_the_agent_byte_for_byte_and_its_answer_comes_back() {
    let (port, agent) = agent(&[OK]).await;
    let request = Request::post("/agents/a//x/%2F../y?q=%20&r")
        .header("host", "localhost:8000")
        .header("content-type", "application/json")
        .header("content-length", "15")
        .header("authorization", "Bearer token")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(Body::from("{\"text\":\"hello\"}".get(..15).unwrap()))
        .unwrap();
    let response = gateway(running_at(port)).ask(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers().get("x-own").unwrap(), "1");
    assert!(response.headers().get("keep-alive").is_none());
    assert_eq!(text(response).await, "hi");
    let asked = agent.await.unwrap().remove(0).0.to_ascii_lowercase();
    assert!(
        asked.starts_with("post //x/%2f../y?q=%20&r http/1.1\r\n"),
        "{asked}"
    );
    for line in [
        format!("host: 127.0.0.1:{port}\r\n"),
        "content-type: application/json\r\n".into(),
        "x-forwarded-for: 127.0.0.1\r\n".into(),
        "x-forwarded-host: localhost:8000\r\n".into(),
        "x-forwarded-prefix: /agents/a\r\n".into(),
    ] {
        assert!(asked.contains(&line), "{line} is not in {asked}");
    }
    assert!(
        !asked.contains("authorization") && !asked.contains("x-hop"),
        "{asked}"
    );
    assert!(asked.ends_with("\r\n\r\n{\"text\":\"hello\""), "{asked}");
}

#[tokio::test]
async fn every_method_passes() {
    for method in ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "PURGE"] {
        let (port, agent) = agent(&[b"HTTP/1.1 204 No Content\r\n\r\n"]).await;
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri("/agents/a")
            .body(Body::empty())
            .unwrap();
        let response = gateway(running_at(port)).ask(request).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(
            agent.await.unwrap()[0]
                .0
                .starts_with(&format!("{method} / HTTP/1.1\r\n"))
        );
    }
}

#[tokio::test]
async fn an_unknown_agent_is_not_found() {
    let request = Request::get("/agents/b/x").body(Body::empty()).unwrap();
    let response = gateway(running_at(1)).ask(request).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(problem(response).await.code, "agent_not_found");
}

#[tokio::test]
async fn an_agent_that_runs_for_long_and_refuses_is_unreachable() {
    let response = gateway(running_at(free_port().await))
        .get("/agents/a/")
        .await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(problem(response).await.code, "agent_unreachable");
}

#[tokio::test]
async fn a_request_waits_for_an_agent_that_is_on_its_way() {
    let waiting = Standing {
        phase: Phase::Backoff,
        alive: false,
        ..running_at(1)
    };
    let fixture = Arc::new(gateway(waiting));
    let asking = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.get("/agents/a/").await }
    });
    while fixture.gateway.waiters.by_id.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let (port, _agent) = agent(&[OK]).await;
    fixture.agents.0.send_replace(running_at(port));
    assert_eq!(text(asking.await.unwrap()).await, "hi");
    assert!(fixture.gateway.waiters.by_id.lock().unwrap().is_empty());
}

#[tokio::test]
async fn no_more_requests_wait_than_may() {
    let fixture = gateway(Standing {
        phase: Phase::Pending,
        ..running_at(1)
    });
    let places: Vec<_> = (0..MAX_WAITERS)
        .map(|_| fixture.gateway.waiters.enter("a").unwrap())
        .collect();
    let response = fixture.get("/agents/a/").await;
    assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    assert_eq!(problem(response).await.code, "too_many_waiting");
    drop(places);
    assert!(fixture.gateway.waiters.enter("a").is_some());
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_502_and_a_question_is_asked_once_more() {
    let (port, _task) = agent(&[b"", OK]).await;
    assert_eq!(
        text(gateway(running_at(port)).get("/agents/a/").await).await,
        "hi"
    );
    let (port, _task) = agent(&[b"", OK]).await;
    let post = Request::post("/agents/a/").body(Body::empty()).unwrap();
    let response = gateway(running_at(port)).ask(post).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(problem(response).await.code, "agent_connection_broken");
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_502() {
    let (port, _agent) = agent(&[b"hello?\r\n\r\n", b"hello?\r\n\r\n"]).await;
    let response = gateway(running_at(port)).get("/agents/a/").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn an_agent_that_stalls_is_a_504() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let fixture = gateway(running_at(port));
    let fixture = Fixture {
        gateway: Gateway {
            forwarder: StreamForwarder::waiting(Duration::from_millis(20)),
            ..fixture.gateway
        },
        agents: fixture.agents,
    };
    let response = fixture.get("/agents/a/").await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(problem(response).await.code, "agent_timeout");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_ended_cleanly() {
    const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let (port, agent) = agent(&[SHORT]).await;
    let response = gateway(running_at(port)).get("/agents/a/").await;
    assert_eq!(response.status(), StatusCode::OK);
    drop(agent.await.unwrap());
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn an_event_stream_is_passed_on_as_it_comes_and_a_client_that_leaves_ends_it() {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let (port, agent) = agent(&[HEAD]).await;
    let response = gateway(running_at(port)).get("/agents/a/events").await;
    let (_, mut stream) = agent.await.unwrap().remove(0);
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: 1\n\n");
    stream.write_all(b"9\r\ndata: 2\n\n\r\n").await.unwrap();
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second, "data: 2\n\n");
    drop(body);
    let mut rest = Vec::new();
    // The end of the connection is seen at the agent: as its end, or as a reset.
    drop(stream.read_to_end(&mut rest).await);
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_declared_or_not() {
    let fixture = gateway(running_at(free_port().await));
    let declared = Request::post("/agents/a/")
        .header("content-length", (MAX_BODY_BYTES + 1).to_string())
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        fixture.ask(declared).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fixture = gateway(running_at(listener.local_addr().unwrap().port()));
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut taken = vec![0; 64 * 1024];
        let mut total = 0_u64;
        while let Ok(read @ 1..) = stream.read(&mut taken).await {
            total += u64::try_from(read).unwrap();
        }
        total
    });
    let large = usize::try_from(MAX_BODY_BYTES).unwrap() + 1;
    let chunked = Body::new(http_body_util::Full::new(bytes::Bytes::from(vec![
        b'x';
        large
    ])));
    let chunked = Body::new(chunked.map_frame(|frame| frame));
    let response = fixture
        .ask(Request::post("/agents/a/").body(chunked).unwrap())
        .await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(agent.await.unwrap() <= MAX_BODY_BYTES + 4096);
}

#[tokio::test]
async fn a_large_body_streams_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fixture = gateway(running_at(listener.local_addr().unwrap().port()));
    let size = 8 * 1024 * 1024;
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        (request.split_once("\r\n\r\n").unwrap().1.len(), stream)
    });
    let request = Request::post("/agents/a/")
        .header("content-length", size.to_string())
        .body(Body::from(vec![b'x'; size]))
        .unwrap();
    assert_eq!(text(fixture.ask(request).await).await, "hi");
    assert_eq!(agent.await.unwrap().0, size);
}
