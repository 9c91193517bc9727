//! What a gRPC server says of itself, by the health protocol that all of them share.
//!
//! `grpc.health.v1.Health/Check` takes the name of a service and answers one number. That is one string and one enum on the wire, over
//! HTTP/2, which hyper speaks: no code is generated for it (ADR 0021). [The protocol](https://github.com/grpc/grpc/blob/master/doc/health-checking.md).

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use regrow_core::probe::CheckResult;
use tokio::task::JoinSet;

use super::{CheckAddress, TIMEOUT, quotable, within};

/// An answer is two bytes; nobody needs more than this.
const ANSWER: usize = 4 * 1024;

/// Asks a gRPC server whether it, or one of its services, is serving.
#[derive(Debug, Clone)]
pub struct GrpcCheck {
    address: CheckAddress,
    service: String,
    timeout: Duration,
}

impl GrpcCheck {
    /// Asks this server about itself as a whole, within 1 s.
    #[must_use]
    pub fn new(address: CheckAddress) -> Self {
        Self {
            address,
            service: String::new(),
            timeout: TIMEOUT,
        }
    }

    /// Asks about this service.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks once.
    pub async fn run(&self) -> CheckResult {
        let check = async { self.ask().await.unwrap_or_else(|result| result) };
        within(self.timeout, &self.address, check).await
    }

    async fn ask(&self) -> Result<CheckResult, CheckResult> {
        let broken = |error: &dyn std::fmt::Display| {
            CheckResult::failure(format!("{} does not speak gRPC: {error}", self.address))
        };
        let stream = TokioIo::new(self.address.connect().await?);
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        // Dropped with it, whenever nobody waits any more.
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        let answer = sender.send_request(self.request()).await;
        let (head, body) = answer.map_err(|error| broken(&error))?.into_parts();
        if !head.status.is_success() {
            return Err(broken(&format_args!("it answered {}", head.status)));
        }
        // An answer without a message has its status among the headers.
        if let Some(status) = status_of(&head.headers) {
            return Ok(self.judge(status, &[]));
        }
        let body = Limited::new(body, ANSWER).collect().await;
        let body = body.map_err(|error| broken(&error))?;
        let status = body.trailers().and_then(status_of);
        let status = status.ok_or_else(|| broken(&"the answer has no grpc-status"))?;
        Ok(self.judge(status, &body.to_bytes()))
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut message = Vec::new();
        if !self.service.is_empty() {
            // Field 1, a string.
            message.push(0x0a);
            varint(self.service.len(), &mut message);
            message.extend_from_slice(self.service.as_bytes());
        }
        // Not packed, and its length.
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut framed = vec![0];
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&message);

        let authority = match &self.address {
            CheckAddress::Tcp(address) => address.as_str(),
            CheckAddress::Unix(_) => "localhost",
        };
        let uri = format!("http://{authority}/grpc.health.v1.Health/Check");
        let mut request = Request::new(Full::new(framed.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.parse().unwrap_or_else(|_| Uri::from_static("/"));
        let headers = request.headers_mut();
        let agent = HeaderValue::from_static(concat!("regrow-probe/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        request
    }

    fn judge(&self, status: u32, framed: &[u8]) -> CheckResult {
        let Self {
            address, service, ..
        } = self;
        let whom = if service.is_empty() {
            address.to_string()
        } else {
            format!("service {:?} at {address}", quotable(service))
        };
        match status {
            0 => match serving_status(framed) {
                Some(1) => CheckResult::success(),
                Some(2) => CheckResult::failure(format!("{whom} is not serving")),
                Some(0) => CheckResult::failure(format!("{whom} does not know whether it serves")),
                Some(_) | None => CheckResult::failure(format!("{whom} answered with no health")),
            },
            4 => CheckResult::timeout(format!("{whom} did not answer in its own time")),
            5 => CheckResult::failure(format!("there is no {whom}")),
            12 => CheckResult::failure(format!(
                "{address} does not implement grpc.health.v1.Health"
            )),
            other => CheckResult::failure(format!("{whom} answered with gRPC status {other}")),
        }
    }
}

fn status_of(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The number in the message behind its frame; what is not there is 0, as in every protobuf.
fn serving_status(framed: &[u8]) -> Option<u64> {
    let (&[is_packed, a, b, c, d], message) = framed.split_first_chunk::<5>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let mut message = message.get(..length).filter(|_| is_packed == 0)?;
    let mut status = 0;
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = read_varint(&mut message)?,
            // Fields that a later version may have.
            (_, 0) => drop(read_varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: usize, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_read_whatever_else_a_later_version_puts_into_it() {
        let framed = |message: &[u8]| {
            [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message].concat()
        };
        assert_eq!(serving_status(&framed(&[0x08, 1])), Some(1));
        assert_eq!(serving_status(&framed(&[])), Some(0));
        let more = [
            0x12, 2, 7, 7, 0x08, 0x82, 0x00, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        assert_eq!(serving_status(&framed(&more)), Some(2));
        for broken in [
            &[][..],
            &[0, 0, 0, 0, 9, 8],
            &[1, 0, 0, 0, 0],
            &framed(&[0x08]),
            &framed(&[0x0b]),
            &framed(&[0x12, 9]),
        ] {
            assert_eq!(serving_status(broken), None, "{broken:?}");
        }
        let mut long = Vec::new();
        varint(300, &mut long);
        assert_eq!(long, [0xac, 0x02]);
    }
}
