//! One who asks the daemon, and is not surprised by any answer.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the daemon answers, and what lets one in.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) took: Duration,
}

impl Client {
    /// Asks, and reads the whole answer.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> io::Result<Answer> {
        let since = Instant::now();
        let mut stream = self.send(method, target, body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {text:?}")))?;
        Ok(Answer {
            status,
            body: body.to_owned(),
            took: since.elapsed(),
        })
    }

    /// Asks, and leaves the answer unread.
    pub(crate) fn send(&self, method: &str, target: &str, body: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // HTTP/1.0 has no pieces to put together again.
        let request = format!(
            "{method} {target} HTTP/1.0\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        Ok(stream)
    }

    /// All agents as the status shows them.
    pub(crate) fn agents(&self) -> io::Result<Vec<Value>> {
        let answer = self.ask("GET", "/supervisor/status", "")?;
        let mut status: Value = serde_json::from_str(&answer.body)?;
        let agents = status["agents"].as_array_mut().map(std::mem::take);
        agents.ok_or_else(|| io::Error::other(format!("no agents: {status}")))
    }
}
