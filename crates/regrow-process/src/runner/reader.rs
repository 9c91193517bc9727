//! What an agent writes, for one who reads it line by line.

use std::sync::{Arc, Mutex, PoisonError};

use regrow::telemetry::Stream;

use super::cell::Cell;
use crate::stdio::{Cursor, Line};

/// A line of an agent, and what is missing before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLine {
    /// The line.
    pub line: Line,
    /// So many lines of the agent, of both its streams, are gone for good between the line that was read before and this: the reader
    /// was too slow.
    pub missed: u64,
}

impl ReadLine {
    /// The line as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        self.line.text()
    }
}

/// Reads one stream of an agent, or both, over all its lives, to the end. It has a place of its own, holds nothing back, and harms
/// nobody when it is slow.
#[derive(Debug)]
pub struct LineReader {
    cell: Arc<Cell>,
    stream: Option<Stream>,
    place: Mutex<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    cursor: Cursor,
    missed: u64,
}

impl Clone for LineReader {
    /// Another reader at the same place.
    fn clone(&self) -> Self {
        let place = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            cell: Arc::clone(&self.cell),
            stream: self.stream,
            place: Mutex::new(place),
        }
    }
}

impl LineReader {
    /// From the oldest line on that is kept.
    pub(super) fn new(cell: Arc<Cell>, stream: Option<Stream>) -> Self {
        let place = Place {
            cursor: Cursor::default(),
            missed: 0,
        };
        Self {
            cell,
            stream,
            place: Mutex::new(place),
        }
    }

    /// The next line; waits for it. `None` when the agent has ended for good and everything is read. One that has failed may be
    /// restarted: then there is more to read.
    ///
    /// Dropped while it waits, it has taken nothing. Two that wait share the lines.
    pub async fn next(&self) -> Option<ReadLine> {
        loop {
            let cursor = match self.look() {
                Ok(line) => return Some(line),
                Err(cursor) => cursor,
            };
            tokio::select! {
                biased;
                () = self.cell.output().changed(cursor) => {}
                // What a life has written is there before it is over.
                _end = self.cell.over() => return self.try_next(),
            }
        }
    }

    /// The next line, if it is there.
    #[must_use]
    pub fn try_next(&self) -> Option<ReadLine> {
        self.look().ok()
    }

    /// The next line; or where there will be more.
    fn look(&self) -> Result<ReadLine, Cursor> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (chunk, _) = self.cell.output().look(place.cursor, 1, usize::MAX);
            place.missed += chunk.dropped;
            place.cursor = chunk.next;
            let Some(line) = chunk.lines.into_iter().next() else {
                return Err(place.cursor);
            };
            if self.stream.is_none_or(|stream| stream == line.stream) {
                let missed = std::mem::take(&mut place.missed);
                return Ok(ReadLine { line, missed });
            }
        }
    }
}
