//! What an agent writes: both its streams, line by line, in one bounded ring.
//!
//! The newest lines are kept, the oldest are dropped and counted. Nothing that reads here can slow
//! an agent down, and an agent that floods can neither fill the memory nor starve others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use regrow::telemetry::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;

/// A line is cut after this many bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// [`Output::since`] hands out at most this many lines at once.
pub const MAX_CHUNK: usize = 1_000;

/// The ring keeps at most this many lines, unless told otherwise.
const DEFAULT_LINES: usize = 10_000;

/// The ring keeps at most this many bytes, unless told otherwise.
const DEFAULT_BYTES: usize = 4 * 1024 * 1024;

/// How much is read at once.
const READ: usize = 64 * 1024;

/// One line that an agent wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts the lines of the agent over all its lives and both streams, from 0.
    pub seq: u64,
    /// When it was read.
    pub at: SystemTime,
    /// Where it was written.
    pub stream: Stream,
    /// Which life wrote it.
    pub generation: u32,
    /// The line without its end, as it was written: it need not be UTF-8.
    pub bytes: Arc<[u8]>,
    /// How many bytes were cut off, because a line may have 64 KiB.
    pub cut: u64,
}

impl Line {
    /// The line as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A place between two lines, from which to read on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// Right before the line with this number.
    #[must_use]
    pub fn before(seq: u64) -> Self {
        Self(seq)
    }

    /// The number of the line that comes next.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.0
    }
}

/// What came after a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The lines, oldest first; at most 1,000, so ask again from [`Chunk::next`].
    pub lines: Vec<Line>,
    /// Where to read on.
    pub next: Cursor,
    /// How many lines between the cursor and the first of these are gone for good.
    pub dropped: u64,
}

/// How much one stream brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamCount {
    /// Lines read.
    pub lines: u64,
    /// Bytes read, ends of lines included.
    pub bytes: u64,
    /// Lines that the ring no longer has.
    pub dropped_lines: u64,
    /// Bytes that the ring no longer has: of dropped lines, and cut off long ones.
    pub dropped_bytes: u64,
}

/// The output of one agent over all its lives. Clones show the same output.
#[derive(Debug, Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    counts: [Count; 2],
}

#[derive(Debug, Default)]
struct Count {
    lines: AtomicU64,
    bytes: AtomicU64,
    dropped_lines: AtomicU64,
    dropped_bytes: AtomicU64,
}

impl Count {
    fn of(&self) -> StreamCount {
        StreamCount {
            lines: self.lines.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            dropped_lines: self.dropped_lines.load(Ordering::Relaxed),
            dropped_bytes: self.dropped_bytes.load(Ordering::Relaxed),
        }
    }

    fn drop_line(&self, bytes: usize) {
        self.dropped_lines.fetch_add(1, Ordering::Relaxed);
        self.dropped_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    next: u64,
    max_lines: usize,
    max_bytes: usize,
}

impl Default for Output {
    /// Keeps the newest 10,000 lines, and 4 MiB of them at most.
    fn default() -> Self {
        Self::bounded(DEFAULT_LINES, DEFAULT_BYTES)
    }
}

impl Output {
    /// Keeps the newest `max_lines` lines, and `max_bytes` of them at most.
    #[must_use]
    pub fn bounded(max_lines: usize, max_bytes: usize) -> Self {
        let ring = Ring {
            lines: VecDeque::new(),
            bytes: 0,
            next: 0,
            max_lines,
            max_bytes,
        };
        let shared = Shared {
            ring: Mutex::new(ring),
            newest: watch::Sender::new(0),
            counts: [Count::default(), Count::default()],
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The last `lines` lines, oldest first.
    #[must_use]
    pub fn tail(&self, lines: usize) -> Vec<Line> {
        let ring = self.ring();
        let skip = ring.lines.len().saturating_sub(lines);
        ring.lines.iter().skip(skip).cloned().collect()
    }

    /// The lines after `cursor`, as many as one chunk holds.
    #[must_use]
    pub fn since(&self, cursor: Cursor) -> Chunk {
        let ring = self.ring();
        let oldest = ring.oldest();
        let from = cursor.0.clamp(oldest, ring.next);
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let lines: Vec<Line> = ring
            .lines
            .iter()
            .skip(skip)
            .take(MAX_CHUNK)
            .cloned()
            .collect();
        let next = Cursor(from + lines.len() as u64);
        Chunk {
            lines,
            next,
            dropped: oldest.saturating_sub(cursor.0),
        }
    }

    /// The place after the newest line: reading on from here shows only what is yet to come.
    #[must_use]
    pub fn end(&self) -> Cursor {
        Cursor(self.ring().next)
    }

    /// The place `lines` lines before the end, or at the oldest line.
    #[must_use]
    pub fn before_end(&self, lines: usize) -> Cursor {
        let ring = self.ring();
        Cursor(ring.next.saturating_sub(lines as u64).max(ring.oldest()))
    }

    /// Waits until there is a line after `cursor`. It may wait for ever: an agent may be silent.
    pub async fn changed(&self, cursor: Cursor) {
        let mut newest = self.shared.newest.subscribe();
        // It cannot fail: the sender lives as long as `self`.
        drop(newest.wait_for(|next| *next > cursor.0).await);
    }

    /// How much `stream` brought so far.
    #[must_use]
    pub fn count(&self, stream: Stream) -> StreamCount {
        self.counter(stream).of()
    }

    fn counter(&self, stream: Stream) -> &Count {
        let [stdout, stderr] = &self.shared.counts;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }

    /// Wakes the followers. Under the lock, so that of two streams that write at once the older news cannot come last: it would
    /// hide the newest line until the one after it.
    fn publish(&self, ring: &Ring) {
        self.shared.newest.send_replace(ring.next);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.shared
            .ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `source` to its end, or until its reader gives up.
    pub(crate) async fn read(
        &self,
        mut source: impl AsyncRead + Unpin,
        stream: Stream,
        generation: u32,
    ) {
        let mut splitter = Splitter {
            output: self,
            stream,
            generation,
            begun: Vec::new(),
            cut: 0,
        };
        let mut buffer = vec![0; READ];
        loop {
            match source.read(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => splitter.take(&buffer[..length]),
                Err(error) => {
                    tracing::debug!(%error, stream = stream.as_str(), "failed to read the output");
                    break;
                }
            }
            // One read at a time, so that a flood leaves room for the others.
            tokio::task::yield_now().await;
        }
        splitter.end();
    }
}

impl Ring {
    fn oldest(&self) -> u64 {
        self.next - self.lines.len() as u64
    }

    fn push(&mut self, line: Line, counts: &[Count; 2]) {
        self.bytes += line.bytes.len();
        self.next = line.seq + 1;
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines || self.bytes > self.max_bytes {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes.len();
            let [stdout, stderr] = counts;
            match oldest.stream {
                Stream::Stdout => stdout.drop_line(oldest.bytes.len()),
                Stream::Stderr => stderr.drop_line(oldest.bytes.len()),
            }
        }
    }
}

/// Cuts what is read into lines.
struct Splitter<'a> {
    output: &'a Output,
    stream: Stream,
    generation: u32,
    /// The line that has no end yet.
    begun: Vec<u8>,
    /// What was cut off it.
    cut: u64,
}

impl Splitter<'_> {
    /// Takes what one read brought: one look at the clock, one lock.
    fn take(&mut self, read: &[u8]) {
        let count = self.output.counter(self.stream);
        count.bytes.fetch_add(read.len() as u64, Ordering::Relaxed);
        let Some(last_end) = read.iter().rposition(|byte| *byte == b'\n') else {
            return self.begin(read);
        };
        let (whole, rest) = read.split_at(last_end);
        let at = SystemTime::now();
        let mut ring = self.output.ring();
        for piece in whole.split(|byte| *byte == b'\n') {
            self.begin(piece);
            self.finish(&mut ring, at);
        }
        self.output.publish(&ring);
        drop(ring);
        self.begin(&rest[1..]);
    }

    fn begin(&mut self, piece: &[u8]) {
        // One byte more than a line may have: it may be the `\r` of its end.
        let room = (MAX_LINE + 1).saturating_sub(self.begun.len());
        let (kept, cut) = piece.split_at(room.min(piece.len()));
        self.begun.extend_from_slice(kept);
        self.cut += cut.len() as u64;
    }

    fn finish(&mut self, ring: &mut Ring, at: SystemTime) {
        if self.cut == 0 && self.begun.last() == Some(&b'\r') {
            self.begun.pop();
        }
        self.cut += self.begun.len().saturating_sub(MAX_LINE) as u64;
        self.begun.truncate(MAX_LINE);
        let line = Line {
            seq: ring.next,
            at,
            stream: self.stream,
            generation: self.generation,
            bytes: self.begun.as_slice().into(),
            cut: self.cut,
        };
        let count = self.output.counter(self.stream);
        count.lines.fetch_add(1, Ordering::Relaxed);
        count.dropped_bytes.fetch_add(self.cut, Ordering::Relaxed);
        ring.push(line, &self.output.shared.counts);
        self.begun.clear();
        self.cut = 0;
    }

    /// A last line need not have an end.
    fn end(mut self) {
        if self.begun.is_empty() {
            return;
        }
        let output = self.output;
        let mut ring = output.ring();
        self.finish(&mut ring, SystemTime::now());
        output.publish(&ring);
    }
}

#[cfg(test)]
mod tests;
