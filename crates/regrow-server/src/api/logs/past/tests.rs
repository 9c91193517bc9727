//! Rules of the past, of agents that are gone; what is in memory too is tested with real agents.

use std::time::Duration;

use super::*;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

/// An agent that is gone, of which these records are left.
fn gone(folder: &tempfile::TempDir, id: &str, records: &[&str]) -> Source {
    let log = LogFile::of(folder.path(), id);
    let records: Vec<_> = records
        .iter()
        .map(|record| format!("1970-01-01T00:00:{record}\n"))
        .collect();
    std::fs::write(log.path(), records.concat()).unwrap();
    Source {
        id: id.to_owned(),
        output: None,
        log,
        only: None,
        run: "now".to_owned(),
        end: Cursor::before(u64::MAX),
    }
}

fn said(told: impl IntoIterator<Item = (usize, Told)>) -> Vec<(usize, String)> {
    let text = |(source, told)| match told {
        Told::Line(line) => (source, line.text()),
        Told::Missed(lines) => (source, format!("-{lines}")),
    };
    told.into_iter().map(text).collect()
}

fn words(source: usize, words: &[&str]) -> Vec<(usize, String)> {
    words
        .iter()
        .map(|word| (source, (*word).to_owned()))
        .collect()
}

const RECORDS: &[&str] = &[
    "00.0Z run 0 0 0 old",
    "01.0Z stdout 1 0 0 a",
    "02.0Z stderr 1 1 0 b",
    "03.0Z run 0 0 0 now",
    "04.0Z stdout 1 0 0 c",
    "05.0Z lost 0 3 0 2",
    "05.0Z stdout 1 3 0 d",
    "07.0Z stdout 2 9 0 e",
];

#[test]
fn what_is_left_of_one_that_is_gone_is_told_from_a_time_on() {
    let folder = tempfile::tempdir().unwrap();
    let source = gone(&folder, "a", RECORDS);
    let from = |second, tail| {
        let sources = std::slice::from_ref(&source);
        said(since(sources, From::Since(at(second)), tail))
    };
    assert_eq!(
        from(0, None),
        words(0, &["a", "b", "c", "-2", "d", "-5", "e"])
    );
    assert_eq!(from(5, None), words(0, &["-2", "d", "-5", "e"]));
    assert_eq!(from(6, None), words(0, &["-5", "e"]));
    assert_eq!(from(8, None), []);
    assert_eq!(from(0, Some(2)), words(0, &["-5", "e"]));
}

#[test]
fn after_a_line_of_this_run_come_those_that_follow_it_in_this_run() {
    let folder = tempfile::tempdir().unwrap();
    let source = gone(&folder, "a", RECORDS);
    let after = |seq| {
        let sources = std::slice::from_ref(&source);
        said(since(sources, From::After(seq), None))
    };
    assert_eq!(after(0), words(0, &["-2", "d", "-5", "e"]));
    assert_eq!(after(3), words(0, &["-5", "e"]));
    assert_eq!(after(9), []);
}

#[test]
fn the_last_lines_are_those_of_the_stream_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = gone(&folder, "a", RECORDS);
    let last = |source: &Source, count| said(last(std::slice::from_ref(source), count));
    assert_eq!(last(&source, 3), words(0, &["c", "d", "e"]));
    source.only = Some(Stream::Stderr);
    assert_eq!(last(&source, 3), words(0, &["b"]));
    assert_eq!(last(&source, 0), []);
}

#[test]
fn several_are_told_in_the_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let a = gone(
        &folder,
        "a",
        &["01.0Z stdout 1 0 0 1", "04.0Z stdout 1 1 0 4"],
    );
    let b = gone(
        &folder,
        "b",
        &["02.0Z stdout 1 0 0 2", "03.0Z stdout 1 1 0 3"],
    );
    let none = Source {
        log: LogFile::of(folder.path(), "none"),
        ..b.clone()
    };
    let sources = [a, b, none];
    let expected = [(0, "1"), (1, "2"), (1, "3"), (0, "4")];
    let expected = expected.map(|(source, text)| (source, text.to_owned()));
    assert_eq!(said(since(&sources, From::Since(at(0)), None)), expected);
    assert_eq!(said(last(&sources, 2)), expected[2..]);
}
