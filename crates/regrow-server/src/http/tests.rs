//! The accept loop against raw clients.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Answers with the path, or never, where the path says so.
struct Echo;

impl Answer for Echo {
    async fn answer(self: Arc<Self>, _peer: Peer, request: Request<Body>) -> Response<Body> {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Response::new(Body::from(request.uri().path().to_owned()))
    }
}

struct Running {
    address: SocketAddr,
    socket: std::path::PathBuf,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn running(grace: Duration) -> Running {
    running_at_once(MAX_CONNECTIONS, grace).await
}

async fn running_at_once(connections: usize, grace: Duration) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listeners = Listeners {
        tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        socket: UnixListener::bind(&socket).unwrap(),
    };
    let address = listeners.tcp.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve_at_once(
        connections,
        listeners,
        Arc::new(Echo),
        stopped,
        grace,
    ));
    Running {
        address,
        socket,
        stop,
        task,
        _folder: folder,
    }
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn both_ways_in_answer() {
    let server = running(Duration::from_secs(5)).await;
    let request = b"GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    assert!(ask(&mut tcp, request).await.ends_with("\r\n\r\n/hello"));
    let mut socket = tokio::net::UnixStream::connect(&server.socket)
        .await
        .unwrap();
    assert!(ask(&mut socket, request).await.ends_with("\r\n\r\n/hello"));
}

#[tokio::test]
async fn too_many_and_too_large_headers_are_refused() {
    let server = running(Duration::from_secs(5)).await;
    let many = format!(
        "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "x: y\r\n".repeat(100)
    );
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    assert!(
        ask(&mut tcp, many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "y".repeat(17 * 1024)
    );
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    assert!(
        ask(&mut tcp, large.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
}

#[tokio::test]
async fn a_stop_ends_idle_connections_at_once() {
    let server = running(Duration::from_secs(3600)).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 1024];
    assert_ne!(idle.read(&mut answer).await.unwrap(), 0);
    server.stop.send(true).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), server.task).await;
    ended.unwrap().unwrap();
    assert_eq!(idle.read(&mut answer).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stop_cuts_stuck_connections_after_the_grace() {
    let server = running(Duration::from_millis(50)).await;
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck
        .write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    // The answer on another connection proves that the loop has accepted the one before it.
    let mut last = TcpStream::connect(server.address).await.unwrap();
    let answer = ask(
        &mut last,
        b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"));
    server.stop.send(true).unwrap();
    server.task.await.unwrap();
    let mut rest = Vec::new();
    // A cut connection may end with a reset.
    drop(stuck.read_to_end(&mut rest).await);
    assert!(rest.is_empty());
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_socket_has_room_of_its_own() {
    let server = running_at_once(1, Duration::ZERO).await;
    let request = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(request).await.unwrap();
    assert_ne!(first.read(&mut [0; 1024]).await.unwrap(), 0);
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    second.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, OVERLOADED);
    let mut socket = tokio::net::UnixStream::connect(&server.socket)
        .await
        .unwrap();
    socket.write_all(request).await.unwrap();
    assert_ne!(socket.read(&mut [0; 1024]).await.unwrap(), 0);
}

#[test]
fn the_refusal_under_overload_is_a_whole_answer() {
    let text = std::str::from_utf8(OVERLOADED).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{}",
        body.len()
    );
    let problem: crate::wire::Problem = serde_json::from_str(body).unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (503, "overloaded"));
    assert!(problem.detail.contains(&MAX_CONNECTIONS.to_string()));
}
