//! Lines of one agent or of many, as they come.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use regrow_core::merge::{Seen, merge};

use super::{Chunk, Cursor, Line, MAX_CHUNK, Output};

/// How long to wait where the clock was set back by less than a second: then lines are newer than now.
const CLOCK: Duration = Duration::from_millis(5);

/// How much one look brings, of all agents together.
const LOOK: usize = 256 * 1024;

/// What a [`Follower`] meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A line.
    Line {
        /// Whose: the place of the output among those that are followed.
        source: usize,
        /// The line.
        line: Line,
    },
    /// Lines that are gone for good, because the follower was too slow or its cursor too old.
    Missed {
        /// Whose.
        source: usize,
        /// How many.
        lines: u64,
    },
}

/// Follows the lines of one agent or of many, over all their lives, without end.
///
/// It holds nothing back: one that is read too slowly, or never, harms nobody, and is told what it missed. Beside what the agents
/// themselves keep, it keeps 256 KiB of lines and one more of each agent, at most.
///
/// The lines of many agents come in the order of time, and those of each in its own order. That is exact, and nothing is held back to
/// make it so: a line gets its time in the moment in which it can be seen. Only where the clock is set back, or the follower misses
/// lines, are older ones possible after newer ones.
pub struct Follower {
    sources: Vec<Source>,
    ready: VecDeque<Followed>,
}

struct Source {
    output: Output,
    /// Right after the last line that was taken.
    cursor: Cursor,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cursors: Vec<_> = self.sources.iter().map(|source| source.cursor).collect();
        f.debug_struct("Follower")
            .field("cursors", &cursors)
            .field("ready", &self.ready.len())
            .finish()
    }
}

impl Follower {
    /// Follows each of these outputs from its cursor on.
    #[must_use]
    pub fn of(outputs: impl IntoIterator<Item = (Output, Cursor)>) -> Self {
        let source = |(output, cursor)| Source { output, cursor };
        Self {
            sources: outputs.into_iter().map(source).collect(),
            ready: VecDeque::new(),
        }
    }

    /// What comes next. It may wait for ever: agents may be silent. Dropped while it waits, it has taken nothing.
    pub async fn next(&mut self) -> Followed {
        loop {
            if let Some(followed) = self.try_next() {
                return followed;
            }
            self.changed().await;
            // Nothing to tell although something is there: it is newer than now.
            if self.look() {
                continue;
            }
            tokio::time::sleep(CLOCK).await;
        }
    }

    /// What comes next, if it is there already.
    pub fn try_next(&mut self) -> Option<Followed> {
        if self.ready.is_empty() {
            self.look();
        }
        self.ready.pop_front()
    }

    /// Looks at all outputs once. Whether there is something to tell now.
    fn look(&mut self) -> bool {
        let looked = SystemTime::now();
        let room = (LOOK / self.sources.len().max(1)).max(1);
        let mut seen = Vec::with_capacity(self.sources.len());
        for (index, source) in self.sources.iter_mut().enumerate() {
            let (chunk, extent) = source.output.look(source.cursor, MAX_CHUNK, room);
            let Chunk { lines, dropped, .. } = chunk;
            if dropped > 0 {
                source.cursor = Cursor::before(source.cursor.seq() + dropped);
                let (source, lines) = (index, dropped);
                self.ready.push_back(Followed::Missed { source, lines });
            }
            let items = lines.into_iter().map(|line| (line.at, line)).collect();
            seen.push(Seen { items, extent });
        }
        for (source, line) in merge(seen, looked) {
            self.sources[source].cursor = Cursor::before(line.seq + 1);
            self.ready.push_back(Followed::Line { source, line });
        }
        !self.ready.is_empty()
    }

    /// Waits until there is a line that was not taken yet, of any agent.
    async fn changed(&self) {
        let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        for Source { output, cursor } in &self.sources {
            waits.push(Box::pin(output.changed(*cursor)));
        }
        poll_fn(|context| {
            let changed = waits
                .iter_mut()
                .any(|wait| wait.as_mut().poll(context).is_ready());
            if changed {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
