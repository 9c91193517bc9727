//! What an agent writes: both its streams, line by line, in one bounded ring; beside it the newest bytes of each as they came.
//!
//! The newest is kept, the oldest is dropped and counted. Nothing that reads here can slow
//! an agent down, and an agent that floods can neither fill the memory nor starve others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use regrow::telemetry::Stream;
use regrow_core::merge::Extent;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;
use uuid::Uuid;

mod follower;
mod limits;
mod raw;
mod splitter;

pub use follower::{Followed, Follower};
pub use limits::{DEFAULT_LINE, MAX_LINE, OutputLimits};
pub use raw::{Piece, PieceFollower};

use raw::Raw;
use splitter::Splitter;

/// [`Output::since`] hands out at most this many lines at once.
pub const MAX_CHUNK: usize = 1_000;

/// How much is read at once: little, for whoever has something else to do waits for what each of those who flood has read. With short
/// lines a read of 64 KiB takes a millisecond.
const READ: usize = 8 * 1024;

/// One line that an agent wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts the lines of the agent over all its lives and both streams, from 0.
    pub seq: u64,
    /// When it was read. Of one agent's lines none is older than the one before it, unless the clock was set back.
    pub at: SystemTime,
    /// Where it was written.
    pub stream: Stream,
    /// Which life wrote it.
    pub generation: u32,
    /// The line without its end, as it was written: it need not be UTF-8.
    pub bytes: Arc<[u8]>,
    /// How many bytes were cut off, because the line was longer than [`OutputLimits::line`].
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
    name: Uuid,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    counts: [Count; 2],
    raw: [Raw; 2],
    limits: OutputLimits,
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
}

impl Default for Output {
    /// Keeps what [`OutputLimits::default`] says.
    fn default() -> Self {
        Self::new(OutputLimits::default())
    }
}

impl Output {
    /// Keeps as much as `limits` allow.
    #[must_use]
    pub fn new(limits: OutputLimits) -> Self {
        let ring = Ring {
            lines: VecDeque::new(),
            bytes: 0,
            next: 0,
        };
        let shared = Shared {
            name: Uuid::new_v4(),
            ring: Mutex::new(ring),
            newest: watch::Sender::new(0),
            counts: [Count::default(), Count::default()],
            raw: [Raw::default(), Raw::default()],
            limits,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Keeps the newest `max_lines` lines, and `max_bytes` of them at most; the rest is as by default.
    #[must_use]
    pub fn bounded(max_lines: usize, max_bytes: usize) -> Self {
        Self::new(OutputLimits::default().lines(max_lines).bytes(max_bytes))
    }

    /// A random name, of this output and no other: a [`Cursor`] means something together with it.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.name.to_string()
    }

    /// How much it keeps.
    pub fn limits(&self) -> OutputLimits {
        self.shared.limits
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
        self.look(cursor, MAX_CHUNK, usize::MAX).0
    }

    /// The same, but so many lines, of `bytes` bytes at most where it is more than one; and whether these are all.
    pub(crate) fn look(&self, cursor: Cursor, most: usize, bytes: usize) -> (Chunk, Extent) {
        let ring = self.ring();
        let oldest = ring.oldest();
        let from = cursor.0.clamp(oldest, ring.next);
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let mut room = bytes;
        let fits = |line: &&Line| {
            let fits = room > 0;
            room = room.saturating_sub(line.bytes.len().max(1));
            fits
        };
        let newer = ring.lines.iter().skip(skip);
        let lines: Vec<Line> = newer.take(most).take_while(fits).cloned().collect();
        let next = from + lines.len() as u64;
        let extent = if next == ring.next {
            Extent::All
        } else {
            Extent::Part
        };
        let chunk = Chunk {
            lines,
            next: Cursor(next),
            dropped: oldest.saturating_sub(cursor.0),
        };
        (chunk, extent)
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

    /// The bytes of `stream` from `offset` on, as they came, as many as are kept; nothing where none came after it.
    ///
    /// The offset counts the bytes of the stream over all lives, from 0. A piece never holds bytes of two lives.
    #[must_use]
    pub fn piece(&self, stream: Stream, offset: u64) -> Piece {
        self.raw(stream).piece(offset)
    }

    /// Follows the bytes of `stream` from `offset` on; 0 is the oldest that is kept.
    #[must_use]
    pub fn follow_bytes(&self, stream: Stream, offset: u64) -> PieceFollower {
        PieceFollower::new(self.clone(), stream, offset)
    }

    /// Follows the lines from `cursor` on. [`Follower`] also follows many agents at once.
    #[must_use]
    pub fn follow(&self, cursor: Cursor) -> Follower {
        Follower::of([(self.clone(), cursor)])
    }

    fn counter(&self, stream: Stream) -> &Count {
        of(stream, &self.shared.counts)
    }

    fn raw(&self, stream: Stream) -> &Raw {
        of(stream, &self.shared.raw)
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
        let mut splitter = Splitter::new(self, stream, generation);
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

    /// Takes a line in. The newest line is kept in any case, so that a single long one is not lost.
    fn push(&mut self, line: Line, limits: &OutputLimits, counts: &[Count; 2]) {
        self.bytes += line.bytes.len();
        self.next = line.seq + 1;
        self.lines.push_back(line);
        let most = limits.lines.max(1);
        while self.lines.len() > most || (self.bytes > limits.bytes && self.lines.len() > 1) {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes.len();
            of(oldest.stream, counts).drop_line(oldest.bytes.len());
        }
    }
}

/// That of one stream.
fn of<T>(stream: Stream, [stdout, stderr]: &[T; 2]) -> &T {
    match stream {
        Stream::Stdout => stdout,
        Stream::Stderr => stderr,
    }
}

#[cfg(test)]
mod tests;
