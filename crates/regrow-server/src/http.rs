//! The accept loop: TCP and the Unix socket, with a bound on everything a client can hold.
//!
//! `axum::serve` installs no timer, so hyper's limit on the time for a header would never fire;
//! that is why this loop is our own.

pub(crate) mod front;
pub(crate) mod guard;
pub(crate) mod problem;
pub(crate) mod routes;
pub(crate) mod stand_in;

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use self::guard::Peer;

/// How many connections over TCP are served at once. One more is told 503.
const MAX_CONNECTIONS: usize = 1024;
/// How many over the socket: enough for every command line of one user, and never taken by others.
const MAX_SOCKET_CONNECTIONS: usize = 64;
/// The time for a whole request header. A connection that is kept alive is idle no longer either.
const HEADER_TIME: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// What is read ahead of one connection.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// The pause after a failed accept, when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 153\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"all 1024 connections are in use\",\"code\":\"overloaded\",\"hint\":\"close some\"}     ";

/// What answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to one request from `peer`.
    fn answer(
        self: Arc<Self>,
        peer: Peer,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The sockets that requests come in by.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// The address of the API and the gateway.
    pub(crate) tcp: TcpListener,
    /// The socket for this user's commands.
    pub(crate) socket: UnixListener,
}

/// Serves until `stop` turns true, then lets the open requests end for at most `grace`.
pub(crate) async fn serve<A: Answer>(
    listeners: Listeners,
    app: Arc<A>,
    stop: watch::Receiver<bool>,
    grace: Duration,
) {
    serve_at_once(MAX_CONNECTIONS, listeners, app, stop, grace).await;
}

/// Serves so many connections over TCP at once.
async fn serve_at_once<A: Answer>(
    connections: usize,
    listeners: Listeners,
    app: Arc<A>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut server = Server::new(app, connections, MAX_SOCKET_CONNECTIONS);
    loop {
        tokio::select! {
            () = turned(&mut stop) => break,
            () = server.next(&listeners) => {}
        }
    }
    drop(listeners);
    server.end(grace).await;
}

/// Waits until the value is true, or nobody is left who could make it so.
async fn turned(value: &mut watch::Receiver<bool>) {
    // What comes back holds a lock; it must not live on.
    drop(value.wait_for(|value| *value).await);
}

async fn pause_after(error: &std::io::Error) {
    tracing::warn!(%error, "failed to accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

struct Server<A> {
    app: Arc<A>,
    closing: watch::Sender<bool>,
    connections: JoinSet<()>,
    tcp_room: Arc<Semaphore>,
    socket_room: Arc<Semaphore>,
}

impl<A: Answer> Server<A> {
    /// One that serves so many connections at once.
    fn new(app: Arc<A>, over_tcp: usize, over_socket: usize) -> Self {
        Self {
            app,
            closing: watch::Sender::new(false),
            connections: JoinSet::new(),
            tcp_room: Arc::new(Semaphore::new(over_tcp)),
            socket_room: Arc::new(Semaphore::new(over_socket)),
        }
    }

    /// Lets in whoever comes next, or sees off who has gone. Nothing is lost when it is dropped.
    async fn next(&mut self, listeners: &Listeners) {
        tokio::select! {
            accepted = listeners.tcp.accept() => match accepted {
                Ok((stream, from)) => self.accept_tcp(stream, from),
                Err(error) => pause_after(&error).await,
            },
            accepted = listeners.socket.accept() => match accepted {
                Ok((stream, _)) => self.accept_socket(stream),
                Err(error) => pause_after(&error).await,
            },
            Some(_) = self.connections.join_next() => {}
        }
    }

    /// Lets the open requests end, for at most `grace`.
    async fn end(mut self, grace: Duration) {
        self.closing.send_replace(true);
        let all_ended = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all_ended).await.is_err() {
            tracing::debug!(
                connections = self.connections.len(),
                "connections cut at the end"
            );
        }
        self.connections.shutdown().await;
    }

    fn accept_tcp(&mut self, stream: TcpStream, from: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.tcp_room).try_acquire_owned() else {
            // One attempt to say so, which costs no task and no wait: the socket does not block.
            let said = stream
                .into_std()
                .and_then(|mut stream| stream.write_all(OVERLOADED));
            if let Err(error) = said {
                tracing::debug!(%error, "failed to refuse a connection");
            }
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        self.serve_connection(stream, Peer::Tcp(from), permit);
    }

    fn accept_socket(&mut self, stream: tokio::net::UnixStream) {
        let Ok(permit) = Arc::clone(&self.socket_room).try_acquire_owned() else {
            return;
        };
        self.serve_connection(stream, Peer::Socket, permit);
    }

    fn serve_connection<S>(&mut self, stream: S, peer: Peer, permit: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let app = Arc::clone(&self.app);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(app.answer(peer, request.map(Body::new)).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut closing = self.closing.subscribe();
        self.connections.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = turned(&mut closing) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended early");
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
