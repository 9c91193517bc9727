//! What agents have written until now: from their files, then from memory. All of it blocks.

use std::collections::VecDeque;
use std::time::SystemTime;

use regrow_core::merge::in_order;
use regrow_process::{Chunk, Cursor, History, Line, LogFile, Logged, Output, Stream};

/// The last lines that are held at once have no more bytes, all agents together.
const MOST: usize = 16 * 1024 * 1024;

/// One agent's output, and which of its streams is asked for.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Its id.
    pub(super) id: String,
    /// What is in memory; none where the agent is gone.
    pub(super) output: Option<Output>,
    /// Its files, if it has any.
    pub(super) log: LogFile,
    /// The stream; both where none is named.
    pub(super) only: Option<Stream>,
    /// Whose numbers are meant: the name of the output.
    pub(super) run: String,
    /// Up to here it is the past.
    pub(super) end: Cursor,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// With lines of this time.
    Since(SystemTime),
    /// After the line with this number, of the same output.
    After(u64),
}

/// Something that is told of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// A line.
    Line(Line),
    /// So many lines are missing.
    Missed(u64),
}

impl Source {
    pub(super) fn takes(&self, line: &Line) -> bool {
        self.only.is_none_or(|only| only == line.stream)
    }

    /// The last lines of the streams that are asked for. Files are read only where memory has too few.
    fn last(&self, count: usize) -> VecDeque<Line> {
        let mut kept: VecDeque<Line> = VecDeque::new();
        let mut cursor = Cursor::default();
        while let Some(output) = &self.output
            && cursor < self.end
        {
            let Chunk { lines, next, .. } = output.since(cursor);
            let past = lines.into_iter().filter(|line| line.seq < self.end.seq());
            kept.extend(past.filter(|line| self.takes(line)));
            kept.drain(..kept.len().saturating_sub(count));
            cursor = next;
        }
        if kept.len() >= count {
            return kept;
        }
        let oldest = match &self.output {
            Some(output) => output.before_end(usize::MAX).seq(),
            None => u64::MAX,
        };
        let mut ours = false;
        let earlier = |logged: &Logged| match logged {
            Logged::Run { name, .. } => {
                ours = *name == self.run;
                false
            }
            Logged::Lost { .. } => false,
            Logged::Line(line) => self.takes(line) && (!ours || line.seq < oldest),
        };
        let missing = count - kept.len();
        let history = self.log.history();
        match history.and_then(|history| history.last(missing, MOST, earlier)) {
            Ok(earlier) => {
                for logged in earlier.into_iter().rev() {
                    if let Logged::Line(line) = logged {
                        kept.push_front(line);
                    }
                }
            }
            Err(error) => tracing::warn!(agent = self.id, %error, "failed to read a log file"),
        }
        kept
    }

    /// What there is from here on, oldest first.
    fn past(&self, from: From) -> impl Iterator<Item = (SystemTime, Told)> {
        let files = match (self.log.history(), from) {
            (Ok(history), From::Since(since)) => history.since(since),
            (history, From::Since(_) | From::After(_)) => history,
        };
        let files = files.inspect_err(|error| {
            tracing::warn!(agent = self.id, %error, "failed to read a log file");
        });
        Past {
            source: self,
            from,
            files: files.ok(),
            ours: false,
            next: match from {
                From::Since(_) => None,
                From::After(seq) => Some(seq.saturating_add(1)),
            },
            at: SystemTime::UNIX_EPOCH,
            ready: VecDeque::new(),
        }
    }
}

/// The past of one agent.
struct Past<'a> {
    source: &'a Source,
    from: From,
    files: Option<History>,
    /// Whether the files have come to the numbers that are meant.
    ours: bool,
    /// The number of the next of its lines, once that is known.
    next: Option<u64>,
    at: SystemTime,
    ready: VecDeque<(SystemTime, Told)>,
}

impl Past<'_> {
    /// Reads one record of the files; `false` at their end.
    fn read(&mut self) -> bool {
        let logged = match self.files.as_mut().and_then(Iterator::next) {
            Some(Ok(logged)) => logged,
            Some(Err(error)) => {
                tracing::warn!(agent = self.source.id, %error, "failed to read a log file");
                return false;
            }
            None => return false,
        };
        match logged {
            Logged::Run { name, .. } => self.ours = name == self.source.run,
            Logged::Lost { at, lines, before } => {
                if self.is_wanted(at, before.saturating_sub(1)) {
                    self.tell(at, Told::Missed(lines));
                }
                if self.ours {
                    self.next = self.next.max(Some(before));
                }
            }
            Logged::Line(line) if self.ours && line.seq >= self.source.end.seq() => return false,
            Logged::Line(line) => self.take(line),
        }
        true
    }

    /// Goes on with what is in memory; `false` at its end.
    fn remember(&mut self) -> bool {
        let Some(output) = &self.source.output else {
            return false;
        };
        let cursor = Cursor::before(self.next.unwrap_or_default());
        let Chunk {
            lines,
            next,
            dropped,
        } = output.since(cursor);
        if cursor >= self.source.end || lines.is_empty() {
            return false;
        }
        if dropped > 0 && self.next.is_some() {
            self.tell(self.at, Told::Missed(dropped));
        }
        self.ours = true;
        for line in lines {
            if line.seq < self.source.end.seq() {
                self.next = Some(line.seq);
                self.take(line);
            }
        }
        self.next = Some(next.seq());
        true
    }

    fn take(&mut self, line: Line) {
        self.at = line.at;
        if self.ours {
            let known = self.next.unwrap_or(line.seq);
            if line.seq < known {
                return;
            }
            if line.seq > known && self.is_wanted(line.at, known) {
                self.tell(line.at, Told::Missed(line.seq - known));
            }
            self.next = Some(line.seq + 1);
        }
        if self.is_wanted(line.at, line.seq) && self.source.takes(&line) {
            self.tell(line.at, Told::Line(line));
        }
    }

    fn is_wanted(&self, at: SystemTime, seq: u64) -> bool {
        match self.from {
            From::Since(since) => at >= since,
            From::After(after) => self.ours && seq > after,
        }
    }

    fn tell(&mut self, at: SystemTime, told: Told) {
        self.ready.push_back((at, told));
    }
}

impl Iterator for Past<'_> {
    type Item = (SystemTime, Told);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Some(told);
            }
            if self.files.is_some() {
                if !self.read() {
                    self.files = None;
                }
            } else if !self.remember() {
                return None;
            }
        }
    }
}

/// The last `count` lines of all, in the order of time.
pub(super) fn last(sources: &[Source], count: usize) -> Vec<(usize, Told)> {
    let lines = sources.iter().map(|source| {
        let lines = source.last(count).into_iter();
        lines.map(|line| (line.at, Told::Line(line)))
    });
    keep(in_order(lines.collect()), count)
}

/// All that there is from here on, in the order of time; the last `tail` lines of it where a number is given.
pub(super) fn since<'a>(
    sources: &'a [Source],
    from: From,
    tail: Option<usize>,
) -> Box<dyn Iterator<Item = (usize, Told)> + 'a> {
    let pasts = sources.iter().map(|source| source.past(from)).collect();
    match tail {
        None => Box::new(in_order(pasts)),
        Some(tail) => Box::new(keep(in_order(pasts), tail).into_iter()),
    }
}

/// The last `count`, and no more bytes than are held at once.
fn keep(all: impl Iterator<Item = (usize, Told)>, count: usize) -> Vec<(usize, Told)> {
    let length = |told: &Told| match told {
        Told::Line(line) => line.bytes.len(),
        Told::Missed(_) => 0,
    };
    let (mut last, mut bytes) = (VecDeque::new(), 0);
    for (source, told) in all {
        bytes += length(&told);
        last.push_back((source, told));
        while last.len() > count || (bytes > MOST && last.len() > 1) {
            bytes -= last.pop_front().map_or(0, |(_, told)| length(&told));
        }
    }
    last.into()
}

#[cfg(test)]
mod tests;
