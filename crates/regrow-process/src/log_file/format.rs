//! Records of log files as bytes.

use std::io::{self, BufRead, Write as _};
use std::time::SystemTime;

use regrow::telemetry::Stream;
use regrow_core::stamp::{parse_rfc3339, rfc3339};

use super::Logged;
use crate::stdio::{Line, MAX_LINE};

/// What stands before the text of a record is shorter.
pub(super) const HEAD: usize = 256;

/// Adds a line.
pub(super) fn push_line(bytes: &mut Vec<u8>, line: &Line) {
    let Line {
        seq,
        at,
        stream,
        generation,
        bytes: text,
        cut,
    } = line;
    push(
        bytes,
        *at,
        stream.as_str(),
        [u64::from(*generation), *seq, *cut],
        text,
    );
}

/// Adds that `lines` lines before the number `seq` are missing.
pub(super) fn push_lost(bytes: &mut Vec<u8>, at: SystemTime, seq: u64, lines: u64) {
    push(bytes, at, "lost", [0, seq, 0], lines.to_string().as_bytes());
}

/// Adds that the run `name` begins or goes on.
pub(super) fn push_run(bytes: &mut Vec<u8>, at: SystemTime, name: &str) {
    push(bytes, at, "run", [0, 0, 0], name.as_bytes());
}

fn push(bytes: &mut Vec<u8>, at: SystemTime, what: &str, numbers: [u64; 3], text: &[u8]) {
    let [generation, seq, cut] = numbers;
    let at = rfc3339(at, 9);
    write!(bytes, "{at} {what} {generation} {seq} {cut} ")
        .expect("a vector takes what it is given");
    bytes.extend_from_slice(text);
    bytes.push(b'\n');
}

/// Reads a record without its end; none where it is not one.
pub(super) fn parse(record: &[u8]) -> Option<Logged> {
    let mut rest = record;
    let mut word = || {
        let end = rest.iter().take(HEAD).position(|byte| *byte == b' ')?;
        let (word, tail) = rest.split_at(end);
        rest = &tail[1..];
        std::str::from_utf8(word).ok()
    };
    let at = parse_rfc3339(word()?)?;
    let what = word()?;
    let generation = word()?.parse().ok()?;
    let seq = word()?.parse().ok()?;
    let cut = word()?.parse().ok()?;
    let stream = match what {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        "lost" => {
            let lines = std::str::from_utf8(rest).ok()?.parse().ok()?;
            return Some(Logged::Lost {
                at,
                before: seq,
                lines,
            });
        }
        "run" => {
            let name = std::str::from_utf8(rest).ok()?.to_owned();
            return Some(Logged::Run { at, name });
        }
        _ => return None,
    };
    let bytes = rest.into();
    Some(Logged::Line(Line {
        seq,
        at,
        stream,
        generation,
        bytes,
        cut,
    }))
}

/// Reads the next record into `record`, without its end. `false` at the end of the file: a record without its end is being written.
///
/// What is longer than any record of ours is left out.
pub(super) fn read_record(reader: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    loop {
        let read = reader.fill_buf()?;
        if read.is_empty() {
            return Ok(false);
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let piece = &read[..end.unwrap_or(read.len())];
        let room = (MAX_LINE + HEAD).saturating_sub(record.len());
        record.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = end.map_or(read.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}
