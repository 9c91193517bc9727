//! What the agents write, as one JSON object a line.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use regrow_core::merge::{Extent, Seen, merge};
use regrow_process::{Cursor, Followed, Follower, Line, Output, Stream};
use tokio::sync::{mpsc, watch};

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
        Flag::On => follow_all(&sources, from, pieces).await,
    }
}

/// Sends every line from here on, in the order of time. A reader who is too slow is told what was lost to it.
async fn follow_all(sources: &[Source], from: Vec<Cursor>, pieces: mpsc::Sender<Bytes>) {
    let outputs = sources.iter().map(|source| source.output.clone());
    let mut follower = Follower::of(outputs.zip(from));
    loop {
        let mut followed = Some(follower.next().await);
        let Ok(room) = pieces.reserve().await else {
            return;
        };
        let mut piece = Vec::new();
        while let Some(next) = followed {
            push_followed(&mut piece, sources, next);
            followed = if piece.len() < PIECE {
                follower.try_next()
            } else {
                None
            };
        }
        if !piece.is_empty() {
            room.send(piece.into());
        }
    }
}

fn push_followed(piece: &mut Vec<u8>, sources: &[Source], followed: Followed) {
    match followed {
        Followed::Line { source, line } => {
            let source = &sources[source];
            if source.takes(&line) {
                push(piece, &LogRecord::Line(log_line(&source.id, &line)));
            }
        }
        Followed::Missed { source, lines } => {
            let agent = sources[source].id.clone();
            let dropped = lines;
            push(piece, &LogRecord::Gap { agent, dropped });
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
    let (ids, seen): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .map(|(id, lines)| {
            let items = lines.into_iter().map(|line| (line.at, line)).collect();
            let extent = Extent::All;
            (id, Seen { items, extent })
        })
        .unzip();
    // Of what was taken from each at its own moment all is told.
    let times = seen.iter().flat_map(|seen| &seen.items);
    let newest = times.map(|(at, _)| *at).max();
    let mut all = merge(seen, newest.unwrap_or(SystemTime::UNIX_EPOCH));
    let last = all.split_off(all.len().saturating_sub(count));
    last.into_iter()
        .map(|(source, line)| (ids[source], line))
        .collect()
}

fn log_line(id: &str, line: &Line) -> LogLine {
    LogLine {
        agent: id.to_owned(),
        stream: line.stream.as_str().to_owned(),
        at: rfc3339(line.at),
        seq: line.seq,
        generation: line.generation,
        text: line.text(),
        base64: LogLine::base64_of(&line.bytes),
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
    use std::time::Duration;

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
        let mut kept = (0..10).map(|seq| ("a", long(seq))).peekable();
        let mut tailed = Vec::new();
        while kept.peek().is_some() {
            let piece = piece_of(&mut kept);
            assert!(piece.len() < 2 * PIECE, "{} bytes", piece.len());
            tailed.push(piece.iter().filter(|b| **b == b'\n').count());
        }
        assert_eq!(tailed, [4, 4, 2]);
    }

    #[test]
    fn a_line_that_is_not_utf8_has_its_bytes_beside_its_text() {
        let line = Line {
            bytes: b"a\xffb".as_slice().into(),
            ..line(7, 0)
        };
        let told = log_line("a", &line);
        assert_eq!(
            (told.text.as_str(), told.base64.as_deref()),
            ("a\u{fffd}b", Some("Yf9i"))
        );
        assert_eq!(&*told.bytes(), b"a\xffb");
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
