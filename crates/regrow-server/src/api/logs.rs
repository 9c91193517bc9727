//! What the agents write, as one JSON object a line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use regrow_process::{Chunk, Cursor, Line, Output, Stream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::params::{Flag, Params, bad_value};
use super::{Api, known_id, no_such_agent};
use crate::daemon::Roster;
use crate::wire::{LogLine, LogRecord, Problem, rfc3339};

const DEFAULT_TAIL: usize = 100;
/// The ring keeps no more.
const MAX_TAIL: usize = 10_000;
/// How many pieces wait for a reader. The next one is made when there is room for it.
const QUEUE: usize = 2;
/// A piece ends with the line that makes it as large as this.
const PIECE: usize = 256 * 1024;

pub(super) async fn of_one(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Result<Response, Box<Problem>> {
    let params = Params::of(&uri, &["tail", "follow", "stream"])?;
    let id = known_id(&api, path)?;
    answer(&api, vec![id], &params)
}

pub(super) async fn of_many(State(api): State<Api>, uri: Uri) -> Result<Response, Box<Problem>> {
    let params = Params::of(&uri, &["agent", "tail", "follow", "stream"])?;
    let mut ids: Vec<String> = params.all("agent").into_iter().map(str::to_owned).collect();
    if ids.is_empty() {
        ids = api.roster.ids();
    }
    ids.sort();
    ids.dedup();
    answer(&api, ids, &params)
}

fn answer(api: &Api, ids: Vec<String>, params: &Params) -> Result<Response, Box<Problem>> {
    let tail = params.number("tail", MAX_TAIL)?.unwrap_or(DEFAULT_TAIL);
    let follow = params.flag("follow")?;
    let only = match params.one("stream")? {
        None => None,
        Some("stdout") => Some(Stream::Stdout),
        Some("stderr") => Some(Stream::Stderr),
        Some(other) => return Err(bad_value("stream", "stdout or stderr", other)),
    };
    let mut sources = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(output) = api.roster.output(&id) else {
            return Err(no_such_agent(&id));
        };
        sources.push(Source { id, output, only });
    }
    let room = match follow {
        Flag::Off => None,
        Flag::On => Some(api.roster.room_to_follow().ok_or_else(too_many_followers)?),
    };
    let (pieces, received) = mpsc::channel(QUEUE);
    let ended = api.ended.clone();
    // It ends with its reader, or with the daemon.
    tokio::spawn(async move {
        let (mut ended, reader) = (ended, pieces.clone());
        tokio::select! {
            () = send(sources, tail, follow, pieces) => {}
            () = reader.closed() => {}
            () = over(&mut ended) => {}
        }
        drop(room);
    });
    let mut response = Response::new(Body::new(Pieces(received)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}

fn too_many_followers() -> Box<Problem> {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_followers",
        format!("{} follow the logs already", Roster::MAX_FOLLOWERS),
    )
    .hint("end another one that follows, or leave `follow` out")
}

async fn over(ended: &mut watch::Receiver<bool>) {
    drop(ended.wait_for(|ended| *ended).await);
}

/// One agent's output, and which of its streams is asked for.
#[derive(Debug, Clone)]
struct Source {
    id: String,
    output: Output,
    only: Option<Stream>,
}

async fn send(sources: Vec<Source>, tail: usize, follow: Flag, pieces: mpsc::Sender<Bytes>) {
    let mut last = Vec::new();
    let mut from = Vec::with_capacity(sources.len());
    for source in &sources {
        // The end first: what comes between the two looks is then not lost.
        let end = source.output.end();
        let lines = source.last(tail);
        from.push(
            lines
                .last()
                .map_or(end, |line| Cursor::before(line.seq + 1)),
        );
        last.push((source.id.as_str(), lines));
    }
    let mut lines = merged(last, tail).into_iter().peekable();
    while lines.peek().is_some() {
        let Ok(room) = pieces.reserve().await else {
            return;
        };
        room.send(piece_of(&mut lines).into());
    }
    match follow {
        Flag::Off => {}
        Flag::On => {
            let mut followers = JoinSet::new();
            for (source, cursor) in sources.into_iter().zip(from) {
                followers.spawn(source.follow(cursor, pieces.clone()));
            }
            drop(pieces);
            while followers.join_next().await.is_some() {}
        }
    }
}

impl Source {
    fn takes(&self, line: &Line) -> bool {
        self.only.is_none_or(|only| only == line.stream)
    }

    /// The last lines of the streams that are asked for.
    fn last(&self, count: usize) -> Vec<Line> {
        let kept = match self.only {
            None => count,
            Some(_) => MAX_TAIL,
        };
        let mut lines = self.output.tail(kept);
        lines.retain(|line| self.takes(line));
        lines.split_off(lines.len().saturating_sub(count))
    }

    /// Sends every line from here on. A reader who is too slow is told what was lost to it.
    async fn follow(self, mut cursor: Cursor, pieces: mpsc::Sender<Bytes>) {
        loop {
            self.output.changed(cursor).await;
            let Ok(room) = pieces.reserve().await else {
                return;
            };
            let (bytes, next) = self.piece(&self.output.since(cursor));
            cursor = next;
            if !bytes.is_empty() {
                room.send(bytes.into());
            }
        }
    }

    /// As much of a chunk as one piece takes, and where to read on.
    fn piece(&self, chunk: &Chunk) -> (Vec<u8>, Cursor) {
        let mut bytes = Vec::new();
        if chunk.dropped > 0 {
            let agent = self.id.clone();
            let dropped = chunk.dropped;
            push(&mut bytes, &LogRecord::Gap { agent, dropped });
        }
        for line in chunk.lines.iter().filter(|line| self.takes(line)) {
            push(&mut bytes, &LogRecord::Line(log_line(&self.id, line)));
            if bytes.len() >= PIECE {
                return (bytes, Cursor::before(line.seq + 1));
            }
        }
        (bytes, chunk.next)
    }
}

/// As many of these lines as one piece takes.
fn piece_of<'a>(lines: &mut impl Iterator<Item = (&'a str, Line)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, line) in lines {
        push(&mut bytes, &LogRecord::Line(log_line(id, &line)));
        if bytes.len() >= PIECE {
            break;
        }
    }
    bytes
}

/// The last `count` of all these lines, in the order of time. Each agent's own order is kept.
fn merged(sources: Vec<(&str, Vec<Line>)>, count: usize) -> Vec<(&str, Line)> {
    let mut rest: Vec<_> = sources
        .into_iter()
        .map(|(id, lines)| (id, lines.into_iter().peekable()))
        .collect();
    let mut heads: BinaryHeap<_> = rest
        .iter_mut()
        .enumerate()
        .filter_map(|(index, (_, lines))| lines.peek().map(|line| Reverse((line.at, index))))
        .collect();
    let mut all = Vec::new();
    while let Some(Reverse((_, index))) = heads.pop() {
        let (id, lines) = &mut rest[index];
        all.extend(lines.next().map(|line| (*id, line)));
        heads.extend(lines.peek().map(|line| Reverse((line.at, index))));
    }
    all.split_off(all.len().saturating_sub(count))
}

fn log_line(id: &str, line: &Line) -> LogLine {
    LogLine {
        agent: id.to_owned(),
        stream: line.stream.as_str().to_owned(),
        at: rfc3339(line.at),
        seq: line.seq,
        generation: line.generation,
        text: line.text(),
        truncated: line.cut > 0,
    }
}

fn push(bytes: &mut Vec<u8>, record: &LogRecord) {
    serde_json::to_writer(&mut *bytes, record).expect("text and numbers go into a vector");
    bytes.push(b'\n');
}

/// A body of pieces that come as they come.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn line(seq: u64, at: u64) -> Line {
        Line {
            seq,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(at),
            stream: Stream::Stdout,
            generation: 1,
            bytes: seq.to_string().as_bytes().into(),
            cut: 0,
        }
    }

    #[test]
    fn the_last_lines_of_all_come_in_the_order_of_time_and_each_agents_in_its_own() {
        let sources = vec![
            ("a", vec![line(0, 10), line(1, 30), line(2, 25)]),
            ("b", vec![line(0, 20), line(1, 26)]),
            ("c", vec![]),
        ];
        let order: Vec<_> = merged(sources, 4)
            .into_iter()
            .map(|(id, line)| (id, line.seq))
            .collect();
        assert_eq!(order, [("b", 0), ("b", 1), ("a", 1), ("a", 2)]);
    }

    #[test]
    fn a_piece_ends_when_it_is_large_and_the_next_goes_on_after_it() {
        let long = |seq| Line {
            bytes: [b'x'; PIECE / 4].as_slice().into(),
            ..line(seq, 0)
        };
        let lines: Vec<_> = (0..10).map(long).collect();
        let source = Source {
            id: "a".into(),
            output: Output::default(),
            only: None,
        };
        let (mut cursor, mut followed) = (Cursor::default(), Vec::new());
        let mut kept = lines.iter().map(|line| ("a", line.clone())).peekable();
        let mut tailed = Vec::new();
        while cursor.seq() < 10 {
            let rest = usize::try_from(cursor.seq()).unwrap();
            let chunk = Chunk {
                lines: lines[rest..].to_vec(),
                next: Cursor::before(10),
                dropped: 0,
            };
            let (bytes, next) = source.piece(&chunk);
            assert!(bytes.len() < 2 * PIECE, "{} bytes", bytes.len());
            followed.push(next.seq());
            cursor = next;
        }
        while kept.peek().is_some() {
            tailed.push(piece_of(&mut kept).iter().filter(|b| **b == b'\n').count());
        }
        assert_eq!((followed, tailed), (vec![4, 8, 10], vec![4, 4, 2]));
    }

    #[test]
    fn a_line_and_a_gap_are_one_object_a_line() {
        let mut bytes = Vec::new();
        push(&mut bytes, &LogRecord::Line(log_line("a", &line(7, 0))));
        push(
            &mut bytes,
            &LogRecord::Gap {
                agent: "a".into(),
                dropped: 3,
            },
        );
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"agent\":\"a\",\"stream\":\"stdout\",\"at\":\"1970-01-01T00:00:00.000Z\",\"seq\":7,\
             \"generation\":1,\"text\":\"7\",\"truncated\":false}\n{\"agent\":\"a\",\"dropped\":3}\n"
        );
    }
}
