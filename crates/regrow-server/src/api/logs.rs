//! What the agents write, as one JSON object a line.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use regrow_process::{Cursor, Followed, Follower, Line, Output, Stream};
use tokio::sync::{mpsc, watch};

use self::past::{From, Source, Told};
use super::params::{Flag, Params, bad_value};
use super::{Api, no_such_agent};
use crate::daemon::Roster;
use crate::wire::{LogLine, LogRecord, Problem, rfc3339};

mod past;

const DEFAULT_TAIL: usize = 100;
/// The ring keeps no more.
const MAX_TAIL: usize = 10_000;
/// How many pieces wait for a reader. The next one is made when there is room for it.
const QUEUE: usize = 2;
/// A piece ends with the line that makes it as large as this.
const PIECE: usize = 256 * 1024;
/// Says which run the numbers of lines are of.
const RUN: HeaderName = HeaderName::from_static("x-regrow-run");

pub(super) async fn of_one(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Box<Problem>> {
    let known = ["tail", "since", "after", "run", "follow", "stream"];
    let params = Params::of(&uri, &known)?;
    answer(api, vec![id], &params).await
}

pub(super) async fn of_many(State(api): State<Api>, uri: Uri) -> Result<Response, Box<Problem>> {
    let params = Params::of(&uri, &["agent", "tail", "since", "follow", "stream"])?;
    let mut ids: Vec<String> = params.all("agent").into_iter().map(str::to_owned).collect();
    if ids.is_empty() {
        ids = api.roster.ids();
    }
    ids.sort();
    ids.dedup();
    answer(api, ids, &params).await
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    from: Option<From>,
    tail: Option<usize>,
    follow: Flag,
}

async fn answer(api: Api, ids: Vec<String>, params: &Params) -> Result<Response, Box<Problem>> {
    let asked = asked(params)?;
    let only = match params.one("stream")? {
        None => None,
        Some("stdout") => Some(Stream::Stdout),
        Some("stderr") => Some(Stream::Stderr),
        Some(other) => return Err(bad_value("stream", "stdout or stderr", other)),
    };
    let sources = sources(&api, ids, only, params.one("run")?).await?;
    let room = match asked {
        Asked {
            from: None,
            follow: Flag::Off,
            ..
        } => None,
        Asked { .. } => Some(api.roster.room_to_follow().ok_or_else(too_many_followers)?),
    };
    let (pieces, received) = mpsc::channel(QUEUE);
    let ended = api.ended.clone();
    let mut response = Response::new(Body::new(Pieces(received)));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    if let [source] = sources.as_slice() {
        let run = HeaderValue::try_from(&source.run).ok();
        headers.extend(run.map(|run| (RUN, run)));
    }
    // It ends with its reader, or with the daemon.
    tokio::spawn(async move {
        let (mut ended, reader) = (ended, pieces.clone());
        tokio::select! {
            () = send(sources, asked, pieces) => {}
            () = reader.closed() => {}
            () = over(&mut ended) => {}
        }
        drop(room);
    });
    Ok(response)
}

fn asked(params: &Params) -> Result<Asked, Box<Problem>> {
    let since = params.moment("since", SystemTime::now())?;
    let most = usize::try_from(u64::MAX).unwrap_or(usize::MAX);
    let after = params.number("after", most)?;
    let from = match (since, after) {
        (Some(_), Some(_)) => return Err(bad_value("after", "no `since` beside it", "both")),
        (Some(since), None) => Some(From::Since(since)),
        (None, Some(after)) => u64::try_from(after).ok().map(From::After),
        (None, None) => None,
    };
    let tail = params.number("tail", MAX_TAIL)?;
    Ok(Asked {
        from,
        tail: tail.or_else(|| from.is_none().then_some(DEFAULT_TAIL)),
        follow: params.flag("follow")?,
    })
}

/// Where the lines of these agents are. One that is gone has its files.
async fn sources(
    api: &Api,
    ids: Vec<String>,
    only: Option<Stream>,
    run: Option<&str>,
) -> Result<Vec<Source>, Box<Problem>> {
    let mut sources = Vec::with_capacity(ids.len());
    for id in ids {
        let (output, log) = (api.roster.output(&id), api.roster.log_file(&id));
        if output.is_none() {
            let gone = log.clone();
            let known = regrow_core::check_id(&id).is_ok()
                && tokio::task::spawn_blocking(move || gone.exists())
                    .await
                    .unwrap_or(false);
            if !known {
                return Err(no_such_agent(&id));
            }
        }
        let own = output.as_ref().map(Output::name);
        if let (Some(run), Some(own)) = (run, &own)
            && run != own
        {
            return Err(other_run(&id));
        }
        let run = own.or_else(|| run.map(str::to_owned));
        let run = run.unwrap_or_default();
        let end = output.as_ref().map(Output::end);
        // Of one that is gone all is the past.
        let end = end.unwrap_or(Cursor::before(u64::MAX));
        sources.push(Source {
            id,
            output,
            log,
            only,
            run,
            end,
        });
    }
    Ok(sources)
}

fn other_run(id: &str) -> Box<Problem> {
    let detail = format!("the lines of agent {id:?} are counted anew since then");
    Problem::new(StatusCode::GONE, "other_run", detail)
        .hint("ask with `since` for what was written meanwhile")
}

fn too_many_followers() -> Box<Problem> {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_followers",
        format!(
            "{} follow the logs already, or read their files",
            Roster::MAX_FOLLOWERS
        ),
    )
    .hint("end another one that follows, or leave `follow` and `since` out")
}

async fn over(ended: &mut watch::Receiver<bool>) {
    drop(ended.wait_for(|ended| *ended).await);
}

async fn send(sources: Vec<Source>, asked: Asked, pieces: mpsc::Sender<Bytes>) {
    let (past, sending) = (sources.clone(), pieces.clone());
    let told = tokio::task::spawn_blocking(move || send_past(&past, asked, &sending));
    match (told.await, asked.follow) {
        (Ok(Sent::All), Flag::On) => follow_all(&sources, pieces).await,
        (Ok(Sent::All | Sent::NobodyListens) | Err(_), _) => {}
    }
}

/// Whether all was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    NobodyListens,
}

/// Sends what was written until now. It blocks, on files and on a reader who is slow.
fn send_past(sources: &[Source], asked: Asked, pieces: &mpsc::Sender<Bytes>) -> Sent {
    let mut past = match asked.from {
        Some(from) => past::since(sources, from, asked.tail),
        None => {
            let last = past::last(sources, asked.tail.unwrap_or(DEFAULT_TAIL));
            Box::new(last.into_iter())
        }
    }
    .peekable();
    while past.peek().is_some() {
        let piece = piece_of(sources, &mut past);
        if pieces.blocking_send(piece.into()).is_err() {
            return Sent::NobodyListens;
        }
    }
    Sent::All
}

/// As much of this as one piece takes.
fn piece_of(sources: &[Source], past: &mut impl Iterator<Item = (usize, Told)>) -> Vec<u8> {
    let mut piece = Vec::new();
    for (source, told) in past {
        let agent = &sources[source].id;
        match told {
            Told::Line(line) => push(&mut piece, &LogRecord::Line(log_line(agent, &line))),
            Told::Missed(dropped) => {
                let agent = agent.clone();
                push(&mut piece, &LogRecord::Gap { agent, dropped });
            }
        }
        if piece.len() >= PIECE {
            break;
        }
    }
    piece
}

/// Sends every line that comes, in the order of time. A reader who is too slow is told what was lost to it.
async fn follow_all(sources: &[Source], pieces: mpsc::Sender<Bytes>) {
    // One that is gone has no more to say.
    let living: Vec<&Source> = sources
        .iter()
        .filter(|source| source.output.is_some())
        .collect();
    if living.is_empty() {
        return;
    }
    let outputs = living
        .iter()
        .filter_map(|source| Some((source.output.clone()?, source.end)));
    let mut follower = Follower::of(outputs);
    loop {
        let mut followed = Some(follower.next().await);
        let Ok(room) = pieces.reserve().await else {
            return;
        };
        let mut piece = Vec::new();
        while let Some(next) = followed {
            push_followed(&mut piece, &living, next);
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

fn push_followed(piece: &mut Vec<u8>, sources: &[&Source], followed: Followed) {
    match followed {
        Followed::Line { source, line } => {
            let source = sources[source];
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

    use regrow_process::LogFile;

    use super::*;

    fn line(seq: u64) -> Line {
        Line {
            seq,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(seq),
            stream: Stream::Stdout,
            generation: 1,
            bytes: seq.to_string().as_bytes().into(),
            cut: 0,
        }
    }

    #[test]
    fn a_piece_ends_when_it_is_large_and_the_next_goes_on_after_it() {
        let long = |seq| {
            let bytes = [b'x'; PIECE / 4].as_slice().into();
            (0, Told::Line(Line { bytes, ..line(seq) }))
        };
        let source = Source {
            id: "a".to_owned(),
            output: None,
            log: LogFile::new("none"),
            only: None,
            run: String::new(),
            end: Cursor::default(),
        };
        let mut past = (0..10).map(long).peekable();
        let mut lines = Vec::new();
        while past.peek().is_some() {
            let piece = piece_of(std::slice::from_ref(&source), &mut past);
            assert!(piece.len() < 2 * PIECE, "{} bytes", piece.len());
            lines.push(piece.iter().filter(|b| **b == b'\n').count());
        }
        assert_eq!(lines, [4, 4, 2]);
    }

    #[test]
    fn a_line_that_is_not_utf8_has_its_bytes_beside_its_text() {
        let line = Line {
            bytes: b"a\xffb".as_slice().into(),
            ..line(7)
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
        push(&mut bytes, &LogRecord::Line(log_line("a", &line(7))));
        push(
            &mut bytes,
            &LogRecord::Gap {
                agent: "a".into(),
                dropped: 3,
            },
        );
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"agent\":\"a\",\"stream\":\"stdout\",\"at\":\"1970-01-01T00:00:07.000Z\",\"seq\":7,\
             \"generation\":1,\"text\":\"7\",\"truncated\":false}\n{\"agent\":\"a\",\"dropped\":3}\n"
        );
    }
}
