//! The line by which an agent says that it is ready.
//!
//! What it writes is looked at on its way to the ring, until the line has come; then nothing is looked at any more. A flood that
//! pushes the line out of the ring at once does not hide it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;

/// As much of a line is looked at.
const LOOKED_AT: usize = 64 * 1024;

/// A text for which to look in what an agent writes, for one life.
#[derive(Debug)]
pub(crate) struct Readiness {
    text: Option<Arc<str>>,
    heard: watch::Sender<bool>,
}

impl Readiness {
    /// Looks for a line with this text in it; without one there is nothing to look for.
    pub(crate) fn new(text: Option<Arc<str>>) -> Self {
        Self {
            text,
            heard: watch::Sender::new(false),
        }
    }

    /// `source`, looked at as it is read.
    pub(crate) fn watch<R>(&self, source: R) -> Watched<R> {
        Watched {
            source,
            text: self.text.clone(),
            heard: self.heard.clone(),
            line: Vec::new(),
        }
    }

    /// Whether there is a line to wait for. There is none any more when it has been heard.
    pub(crate) fn is_awaited(&self) -> bool {
        self.text.is_some()
    }

    /// Waits for the line. It may wait for ever.
    pub(crate) async fn heard(&mut self) {
        let mut heard = self.heard.subscribe();
        // The sender is ours.
        drop(heard.wait_for(|heard| *heard).await);
        self.text = None;
    }
}

/// A stream that is looked at.
pub(crate) struct Watched<R> {
    source: R,
    /// What is looked for; nothing once it was found on either stream.
    text: Option<Arc<str>>,
    heard: watch::Sender<bool>,
    /// The line that has begun, as far as it is looked at.
    line: Vec<u8>,
}

impl<R> Watched<R> {
    fn look(&mut self, bytes: &[u8]) {
        let Some(text) = self.text.clone() else {
            return;
        };
        if *self.heard.borrow() {
            return self.rest();
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LOOKED_AT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line);
                if line.contains(&*text) {
                    self.heard.send_replace(true);
                    return self.rest();
                }
                self.line.clear();
            }
        }
    }

    fn rest(&mut self) {
        self.text = None;
        self.line = Vec::new();
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.source).poll_read(context, buffer))?;
        self.look(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn hears(text: &str, chunks: &[&[u8]]) -> bool {
        let readiness = Readiness::new(Some(text.into()));
        let mut mock = tokio_test_reader(chunks);
        let mut watched = readiness.watch(&mut mock);
        let mut read = Vec::new();
        watched.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, chunks.concat(), "what is looked at goes on as it is");
        *readiness.heard.borrow()
    }

    /// A reader that gives these chunks, one a read.
    fn tokio_test_reader(chunks: &[&[u8]]) -> Chunks {
        Chunks(chunks.iter().rev().map(|chunk| chunk.to_vec()).collect())
    }

    struct Chunks(Vec<Vec<u8>>);

    impl AsyncRead for Chunks {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut chunk) = self.0.pop() {
                let room = buffer.remaining();
                if chunk.len() > room {
                    let rest = chunk.split_off(room);
                    self.0.push(rest);
                }
                buffer.put_slice(&chunk);
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_line_with_the_text_in_it_is_heard_wherever_it_is_cut() {
        assert!(hears("ready to", &[b"now ready to serve\n"]).await);
        assert!(hears("ready to", &[b"x\nnow rea", b"dy", b" to serve", b"\n"]).await);
        assert!(hears("\u{e9}", &[b"caf\xc3", b"\xa9\n"]).await);
        assert!(
            !hears("ready to", &[b"ready\n", b" to\n"]).await,
            "two lines"
        );
        assert!(
            !hears("ready", &[b"ready"]).await,
            "a line that has no end yet"
        );
        assert!(hears("ready", &[b"\xff\xfe ready\n"]).await, "no text");
    }

    #[tokio::test]
    async fn of_a_line_without_end_no_more_is_kept_than_is_looked_at() {
        let readiness = Readiness::new(Some("ready".into()));
        let long = vec![b'x'; 4 * LOOKED_AT];
        let mut watched = readiness.watch(&long[..]);
        let mut read = Vec::new();
        watched.read_to_end(&mut read).await.unwrap();
        assert_eq!((read.len(), watched.line.len()), (4 * LOOKED_AT, LOOKED_AT));
    }
}
