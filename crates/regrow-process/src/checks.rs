//! Checks that reach out: what a probe asks of a child, or of what it depends on.
//!
//! Each is a value with one question, `run`, that is answered in its own time with a [`CheckResult`]: whether all is well, and if not,
//! why, in words that can be read aloud. No cause has a header, a query, a body or an environment in it: what is secret stays so. Of
//! a command it has the end of what that wrote.
//!
//! | check | is well when |
//! |---|---|
//! | [`HttpCheck`] | the answer is 200 to 399, as with Kubernetes |
//! | [`TcpCheck`] | somebody listens |
//! | [`CommandCheck`] | the command ends with 0 |
//! | [`LogLineCheck`] | a line with a text in it has been written lately |
//! | [`GrpcCheck`] | `grpc.health.v1.Health/Check` answers `SERVING` |
//!
//! They know nothing of probes: how often they run, and what comes of it, is decided by
//! [`Prober`](regrow_core::probe::Prober). What lies in the check itself, such as no descriptor that is left to connect with, is a
//! [`ProbeResult::Error`](regrow_core::probe::ProbeResult::Error) and counts for nothing.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use regrow_core::probe::CheckResult;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

mod command;
mod grpc;
mod http;
mod log_line;
mod tcp;
#[cfg(test)]
mod tests;

pub use command::CommandCheck;
pub use grpc::GrpcCheck;
pub use http::HttpCheck;
pub use log_line::LogLineCheck;
pub use tcp::TcpCheck;

/// How long an answer may take unless told otherwise; Kubernetes' `timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// So many characters of what somebody else wrote are quoted in a cause.
const QUOTED: usize = 200;

/// A check that can never be carried out.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCheck {
    /// The address is none.
    #[error("expected an address such as 127.0.0.1:8080 or unix:/run/agent.sock, got {0:?}")]
    Address(String),
    /// The URL is none that can be asked.
    #[error("expected a URL such as http://127.0.0.1:8080/healthz, got {0:?}")]
    Url(String),
    /// It is to be asked over TLS, which these checks do not speak.
    #[error("{0:?}: https is not supported; ask over http, or by a command such as curl")]
    Tls(String),
    /// A header has a name or a value that no header can have. The value is not shown.
    #[error("header {0:?} has a name or a value that HTTP does not allow")]
    Header(String),
}

/// Where a check connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAddress {
    /// A host, by name or number, and a port: `127.0.0.1:8080`.
    Tcp(String),
    /// A Unix socket: `unix:/run/agent.sock`.
    Unix(PathBuf),
}

impl FromStr for CheckAddress {
    type Err = InvalidCheck;

    fn from_str(text: &str) -> Result<Self, InvalidCheck> {
        let invalid = || InvalidCheck::Address(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty())
                .then(|| Self::Unix(path.into()))
                .ok_or_else(invalid);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let is_one = !host.is_empty()
            && !host.contains(['/', '@', ' '])
            && port.parse::<u16>().is_ok_and(|port| port > 0);
        is_one
            .then(|| Self::Tcp(text.to_owned()))
            .ok_or_else(invalid)
    }
}

impl fmt::Display for CheckAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A connection of either kind.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

impl CheckAddress {
    /// Connects; what cannot be connected to is told.
    async fn connect(&self) -> Result<Box<dyn Connection>, CheckResult> {
        let connected: io::Result<Box<dyn Connection>> = match self {
            Self::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) if talks_to_itself(&stream) => {
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(error),
            },
            Self::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(error),
            },
        };
        connected.map_err(|error| self.refusal(&error))
    }

    /// What a connection that did not come about means.
    fn refusal(&self, error: &io::Error) -> CheckResult {
        if is_ours(error) {
            return CheckResult::error(format!("no connection could be made from here: {error}"));
        }
        let kind = error.kind();
        CheckResult::failure(if kind == io::ErrorKind::ConnectionRefused {
            format!("nobody listens at {self}")
        } else if kind == io::ErrorKind::NotFound {
            format!("there is no socket {self}")
        } else {
            format!("no connection to {self}: {error}")
        })
    }
}

/// A connection to a port that nobody has may get that very port as its own, and then its other end is itself.
fn talks_to_itself(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local == peer,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Whether it is this process or this machine that lacks something, and not the one that is asked.
fn is_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
        Errno::ADDRNOTAVAIL,
    ];
    let code = error.raw_os_error();
    ours.iter().any(|errno| code == Some(errno.raw_os_error()))
}

/// What comes out within `timeout`; otherwise that there was no answer from `whom`.
async fn within(
    timeout: Duration,
    whom: &CheckAddress,
    check: impl Future<Output = CheckResult>,
) -> CheckResult {
    match tokio::time::timeout(timeout, check).await {
        Ok(result) => result,
        Err(_) => CheckResult::timeout(format!("no answer from {whom} within {timeout:?}")),
    }
}

/// Of something that somebody else wrote, what fits into a cause: one line, without control characters, of bounded length.
fn quotable(text: &str) -> String {
    let plain = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char });
    let mut quoted: String = plain.clone().take(QUOTED).collect();
    if plain.count() > QUOTED {
        quoted.push('…');
    }
    quoted
}
