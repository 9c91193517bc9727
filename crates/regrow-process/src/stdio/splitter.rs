//! From what is read to lines.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use regrow::telemetry::Stream;

use super::{DEFAULT_LINE, Line, Output, Ring, Shared};

/// Cuts what is read into lines.
pub(super) struct Splitter<'a> {
    output: &'a Output,
    stream: Stream,
    generation: u32,
    /// The line that has no end yet.
    begun: Vec<u8>,
    /// What was cut off it.
    cut: u64,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(output: &'a Output, stream: Stream, generation: u32) -> Self {
        Self {
            output,
            stream,
            generation,
            begun: Vec::new(),
            cut: 0,
        }
    }

    /// Takes what one read brought: one look at the clock, one lock of the lines and one of the bytes.
    pub(super) fn take(&mut self, read: &[u8]) {
        let shared = &self.output.shared;
        let count = self.output.counter(self.stream);
        count.bytes.fetch_add(read.len() as u64, Ordering::Relaxed);
        let raw = self.output.raw(self.stream);
        raw.push(read, self.generation, shared.limits.raw);
        let Some(last_end) = read.iter().rposition(|byte| *byte == b'\n') else {
            return self.begin(read);
        };
        let (whole, rest) = read.split_at(last_end);
        let mut ring = self.output.ring();
        // Under the lock: whoever looks after this moment sees these lines, so that many agents' lines can be put in order.
        let at = SystemTime::now();
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
        let room = (self.longest() + 1).saturating_sub(self.begun.len());
        let (kept, cut) = piece.split_at(room.min(piece.len()));
        self.begun.extend_from_slice(kept);
        self.cut += cut.len() as u64;
    }

    fn finish(&mut self, ring: &mut Ring, at: SystemTime) {
        if self.cut == 0 && self.begun.last() == Some(&b'\r') {
            self.begun.pop();
        }
        let longest = self.longest();
        self.cut += self.begun.len().saturating_sub(longest) as u64;
        self.begun.truncate(longest);
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
        let Shared { limits, counts, .. } = &*self.output.shared;
        ring.push(line, limits, counts);
        self.begun.clear();
        // One huge line is no reason to keep its room for ever.
        self.begun.shrink_to(DEFAULT_LINE);
        self.cut = 0;
    }

    /// How long a line may be.
    fn longest(&self) -> usize {
        self.output.shared.limits.line
    }

    /// A last line need not have an end.
    pub(super) fn end(mut self) {
        if self.begun.is_empty() {
            return;
        }
        let output = self.output;
        let mut ring = output.ring();
        self.finish(&mut ring, SystemTime::now());
        output.publish(&ring);
    }
}
