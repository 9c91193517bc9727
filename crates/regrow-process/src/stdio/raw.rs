//! The bytes of one stream as they came, for those to whom lines mean nothing: a binary protocol, a prompt without an end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use regrow::telemetry::Stream;
use tokio::sync::watch;

use super::Output;

/// Bytes of one stream of one life, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they begin: counts the bytes of the stream over all lives of the agent, from 0.
    pub offset: u64,
    /// Which life wrote them; 0 for a piece without bytes.
    pub generation: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many bytes between what was asked for and the first of these are gone for good.
    pub missed: u64,
}

impl Piece {
    /// The offset after the last byte: where to read on.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// The newest bytes of one stream.
#[derive(Debug)]
pub(super) struct Raw {
    kept: Mutex<Kept>,
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// The offset after the newest byte.
    end: u64,
    /// Where the bytes of each life begin, for those lives of which there are bytes.
    lives: VecDeque<(u64, u32)>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            end: watch::Sender::new(0),
        }
    }
}

impl Raw {
    /// Takes in what `generation` wrote; of all at most `most` bytes are kept.
    pub(super) fn push(&self, read: &[u8], generation: u32, most: usize) {
        let mut kept = self.kept();
        let begin = kept.end;
        if kept
            .lives
            .back()
            .is_none_or(|(_, last)| *last != generation)
        {
            kept.lives.push_back((begin, generation));
        }
        kept.end += read.len() as u64;
        let newest = &read[read.len().saturating_sub(most)..];
        let surplus = (kept.bytes.len() + newest.len()).saturating_sub(most);
        if newest.len() < read.len() {
            kept.bytes.clear();
        } else {
            kept.bytes.drain(..surplus);
        }
        kept.bytes.extend(newest);
        let oldest = kept.oldest();
        while kept.lives.get(1).is_some_and(|(begin, _)| *begin <= oldest) {
            kept.lives.pop_front();
        }
        // Under the lock, so that of two lives' readers the older news cannot come last.
        self.end.send_replace(kept.end);
    }

    pub(super) fn piece(&self, offset: u64) -> Piece {
        let kept = self.kept();
        let oldest = kept.oldest();
        let from = offset.clamp(oldest, kept.end);
        let missed = oldest.saturating_sub(offset);
        let life = kept.lives.iter().rposition(|(begin, _)| *begin <= from);
        let generation = life.map_or(0, |life| kept.lives[life].1);
        let next = life.and_then(|life| kept.lives.get(life + 1));
        let until = next.map_or(kept.end, |(begin, _)| *begin);
        let place = |offset: u64| usize::try_from(offset - oldest).unwrap_or(usize::MAX);
        let bytes: Vec<u8> = kept
            .bytes
            .range(place(from)..place(until))
            .copied()
            .collect();
        Piece {
            offset: from,
            generation: if bytes.is_empty() { 0 } else { generation },
            bytes,
            missed,
        }
    }

    /// Waits until there is a byte after `offset`.
    async fn changed(&self, offset: u64) {
        let mut end = self.end.subscribe();
        // It cannot fail: the sender lives as long as `self`.
        drop(end.wait_for(|end| *end > offset).await);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn oldest(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }
}

/// Follows the bytes of one stream, over all lives of the agent, without end.
///
/// It holds nothing back: one that is read too slowly, or never, harms nobody, and is told what it missed.
#[derive(Debug, Clone)]
pub struct PieceFollower {
    output: Output,
    stream: Stream,
    offset: u64,
}

impl PieceFollower {
    pub(super) fn new(output: Output, stream: Stream, offset: u64) -> Self {
        Self {
            output,
            stream,
            offset,
        }
    }

    /// Where the next piece begins, if nothing of it is missed.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, as many as there are of one life. It may wait for ever: an agent may be silent. Dropped while it waits,
    /// it has taken nothing.
    ///
    /// Where no byte is kept ([`OutputLimits::raw`](super::OutputLimits::raw) is 0) the pieces are empty and count what came.
    pub async fn next(&mut self) -> Piece {
        let raw = self.output.raw(self.stream);
        raw.changed(self.offset).await;
        let piece = raw.piece(self.offset);
        self.offset = piece.end();
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdio::OutputLimits;

    async fn write(output: &Output, written: &[u8], generation: u32) {
        output.read(written, Stream::Stdout, generation).await;
    }

    fn piece(offset: u64, generation: u32, bytes: &[u8], missed: u64) -> Piece {
        Piece {
            offset,
            generation,
            bytes: bytes.to_vec(),
            missed,
        }
    }

    #[tokio::test]
    async fn bytes_come_as_they_were_written_without_waiting_for_an_end_and_never_of_two_lives() {
        let output = Output::default();
        let mut follower = output.follow_bytes(Stream::Stdout, 0);
        write(&output, b"a\r\n\xff> ", 1).await;
        write(&output, b"again", 2).await;
        assert_eq!(follower.next().await, piece(0, 1, b"a\r\n\xff> ", 0));
        assert_eq!(follower.next().await, piece(6, 2, b"again", 0));
        assert_eq!(output.piece(Stream::Stdout, 11), piece(11, 0, b"", 0));
        assert_eq!(output.piece(Stream::Stdout, 99), piece(11, 0, b"", 0));
        assert_eq!(output.piece(Stream::Stderr, 0), piece(0, 0, b"", 0));
        assert_eq!(output.piece(Stream::Stdout, 8).bytes, b"ain");
    }

    #[tokio::test]
    async fn the_newest_bytes_are_kept_and_what_is_missed_is_told() {
        let output = Output::new(OutputLimits::default().raw(4));
        let mut follower = output.follow_bytes(Stream::Stdout, 0);
        write(&output, b"abc", 1).await;
        write(&output, b"de", 2).await;
        assert_eq!(follower.next().await, piece(1, 1, b"bc", 1));
        write(&output, b"fghijk", 2).await;
        assert_eq!(follower.next().await, piece(7, 2, b"hijk", 4));
        write(&output, b"lmno", 3).await;
        assert_eq!(output.piece(Stream::Stdout, 0), piece(11, 3, b"lmno", 11));
    }

    #[tokio::test]
    async fn whoever_wants_no_bytes_keeps_none() {
        let output = Output::new(OutputLimits::default().raw(0));
        write(&output, b"abc", 1).await;
        let mut follower = output.follow_bytes(Stream::Stdout, 0);
        assert_eq!(follower.next().await, piece(3, 0, b"", 3));
    }

    #[tokio::test]
    async fn who_follows_is_woken() {
        let output = Output::default();
        let mut follower = output.follow_bytes(Stream::Stdout, 0);
        let waiting = tokio::spawn(async move { follower.next().await });
        tokio::task::yield_now().await;
        write(&output, b"> ", 1).await;
        assert_eq!(waiting.await.unwrap(), piece(0, 1, b"> ", 0));
    }
}
