//! The lines of agents, as they come over the wire.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::ClientError;
use crate::wire::LogRecord;

/// The daemon's lines are shorter: it cuts what agents write at 8 MiB, of which JSON may make six times as much.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Records of a log, one after the other.
#[derive(Debug)]
pub(crate) struct LogStream {
    body: Incoming,
    lines: Splitter,
}

impl LogStream {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            lines: Splitter::default(),
        }
    }

    /// The next record; none when the daemon has no more, or has gone.
    pub(crate) async fn next(&mut self) -> Result<Option<LogRecord>, ClientError> {
        loop {
            if let Some(line) = self.lines.next()? {
                return serde_json::from_slice(&line).map(Some).map_err(|error| {
                    ClientError::Answer {
                        what: format!("a line of the log is not one ({error})"),
                    }
                });
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.lines.push(bytes);
                    }
                }
                Some(Err(error)) => {
                    return Err(ClientError::Answer {
                        what: format!("the log broke off ({error})"),
                    });
                }
            }
        }
    }
}

/// Bytes in, lines out.
#[derive(Debug, Default)]
struct Splitter {
    bytes: Vec<u8>,
    /// Where the next line begins.
    begin: usize,
    /// Up to here there is no line end.
    seen: usize,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.begin);
        self.seen -= self.begin;
        self.begin = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let end = self.bytes[self.seen..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = end.map(|offset| self.seen + offset) else {
            self.seen = self.bytes.len();
            if self.seen - self.begin > LONGEST_LINE {
                return Err(ClientError::Answer {
                    what: format!("a line of the log is longer than {LONGEST_LINE} bytes"),
                });
            }
            return Ok(None);
        };
        let line = self.bytes[self.begin..end].to_vec();
        self.begin = end + 1;
        self.seen = end + 1;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&str]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk.as_bytes());
            while let Some(line) = splitter.next().unwrap() {
                lines.push(String::from_utf8(line).unwrap());
            }
        }
        lines
    }

    #[test]
    fn lines_are_whole_however_the_bytes_arrive() {
        assert_eq!(split(&["a\nb\nc\n"]), ["a", "b", "c"]);
        assert_eq!(
            split(&["a", "b", "\n", "\nc", "d\n", "rest"]),
            ["ab", "", "cd"]
        );
    }

    #[test]
    fn a_line_without_end_is_refused_at_its_bound() {
        let mut splitter = Splitter::default();
        splitter.push(&vec![b'x'; LONGEST_LINE + 1]);
        assert!(splitter.next().is_err());
    }
}
