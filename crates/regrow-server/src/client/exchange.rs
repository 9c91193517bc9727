//! One question and its answer, on a connection of its own.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{ClientError, Endpoint};

/// Connects, asks, and answers as soon as the head of the answer is there.
pub(super) async fn exchange(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, ClientError> {
    let at = match endpoint {
        Endpoint::Socket(socket) => socket.display().to_string(),
        Endpoint::Tcp(address) => address.to_string(),
    };
    let answered = match endpoint {
        Endpoint::Socket(socket) => match UnixStream::connect(socket).await {
            Ok(stream) => ask(stream, "localhost", method, path, body).await,
            Err(error) => return Err(not_connected(at, error)),
        },
        Endpoint::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => ask(stream, &at, method, path, body).await,
            Err(error) => return Err(not_connected(at, error)),
        },
    };
    answered.map_err(|error| ClientError::Unreachable {
        at,
        source: error.into(),
    })
}

async fn ask<S>(
    stream: S,
    host: &str,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body; what goes wrong on it is seen where the body is read.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host)
        .body(Full::new(body))
        .expect("paths are encoded, and hosts are addresses");
    sender.send_request(request).await
}

fn not_connected(at: String, error: io::Error) -> ClientError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return ClientError::NotAllowed { at, source: error };
    }
    ClientError::Unreachable {
        at,
        source: error.into(),
    }
}
