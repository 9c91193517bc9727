//! Rules of log files.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;
use regrow::telemetry::{Payload, Stream};
use tempfile::TempDir;

use super::format::{parse, push_line, push_lost, push_run};
use super::*;
use crate::stdio::{Line, Output};

fn at(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn line(seq: u64, text: &[u8]) -> Line {
    Line {
        seq,
        at: at(seq * 1_000_000_007),
        stream: if seq.is_multiple_of(2) {
            Stream::Stdout
        } else {
            Stream::Stderr
        },
        generation: 3,
        bytes: text.into(),
        cut: seq % 5,
    }
}

/// A log in a folder of its own.
fn log(folder: &TempDir) -> LogFile {
    LogFile::of(folder.path().join("logs"), "web").compress(false)
}

fn texts(log: &LogFile) -> Vec<String> {
    let text = |logged| match logged {
        Logged::Line(line) => Some(line.text()),
        Logged::Lost { lines, .. } => Some(format!("-{lines}")),
        Logged::Run { .. } => None,
    };
    let records = log.history().unwrap().map(Result::unwrap);
    records.filter_map(text).collect()
}

/// Has life after life write to it, as its driver would.
async fn write(journal: &Arc<Journal>, output: &Output, written: &[u8]) {
    let keeping = journal.begin(output);
    output.read(written, Stream::Stdout, 1).await;
    keeping.finish().await;
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("{number:0100}")).collect()
}

/// Each line is written by a life of its own.
async fn write_numbered(log: &LogFile, numbers: std::ops::Range<u32>) {
    let (journal, output) = (
        Arc::new(Journal::new(log.clone(), "run")),
        Output::default(),
    );
    for number in numbers {
        write(&journal, &output, format!("{number:0100}\n").as_bytes()).await;
    }
}

#[test]
fn a_record_comes_back_as_it_was_whatever_the_agent_wrote() {
    let mut bytes = Vec::new();
    let texts = [
        b"hello".as_slice(),
        b"",
        b" a b ",
        b"\xff\xfe\r",
        &[b'x'; 70_000],
    ];
    for (seq, text) in (0..).zip(texts) {
        push_line(&mut bytes, &line(seq, text));
    }
    push_lost(&mut bytes, at(7), 9, 4);
    push_run(&mut bytes, at(8), "a run");
    assert!(bytes.starts_with(b"1970-01-01T00:00:00.000000000Z stdout 3 0 0 hello\n"));
    bytes.pop();
    let mut records = bytes.split(|byte| *byte == b'\n').map(parse);
    for (seq, text) in (0..).zip(texts) {
        assert_eq!(records.next().unwrap(), Some(Logged::Line(line(seq, text))));
    }
    let lost = Logged::Lost {
        at: at(7),
        before: 9,
        lines: 4,
    };
    let name = "a run".to_owned();
    assert_eq!(records.next().unwrap(), Some(lost));
    assert_eq!(
        records.next().unwrap(),
        Some(Logged::Run { at: at(8), name })
    );
    for wrong in [
        "",
        " ",
        "hello",
        "1970-01-01T00:00:00.0Z stdout 1 1",
        "1970-01-01T00:00:00.0Z stdin 1 1 0 x",
        "1970-01-01T00:00:00.0Z stdout -1 1 0 x",
        "1970-01-01T00:00:00.0Z lost 0 1 0 x",
        "soon stdout 1 1 0 x",
    ] {
        assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
    }
}

#[test]
fn only_names_of_its_own_are_its_old_files() {
    let old = |number, form| Some(Old { number, form });
    for (suffix, expected) in [
        (".00000007", old(7, Form::Plain)),
        (".00000007.gz", old(7, Form::Packed)),
        (".00000007.gz.tmp", old(7, Form::Unfinished)),
        ("", None),
        (".7", None),
        (".000000070", None),
        (".0000000x", None),
        (".+0000007", None),
        (".00000007.log", None),
        (".00000007.gz.log", None),
        (".00000ü7", None),
    ] {
        assert_eq!(old_of(suffix), expected, "{suffix:?}");
    }
    let file = LogFile::of("d", "../x");
    assert_eq!(file.path(), Path::new("d/%2e.%2fx.log"));
}

#[tokio::test]
async fn a_full_file_becomes_an_old_one_and_the_newest_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).max_size(0).keep(2);
    write_numbered(&log, 0..100).await;
    let mut old: Vec<u64> = log.old().unwrap().iter().map(|old| old.number).collect();
    old.sort_unstable();
    let all = texts(&log);
    assert_eq!(old.len(), 2, "{old:?}");
    // Each file has some 20 lines, each of a life of its own, so of 100 the last 40 and more are there, in order.
    assert!(all.len() > 40 && all.len() < 75, "{}", all.len());
    assert_eq!(all, numbered(100 - u32::try_from(all.len()).unwrap()..100));
    for path in [
        log.path.clone(),
        log.old_path(Old {
            number: old[0],
            form: Form::Plain,
        }),
    ] {
        let meta = fs::metadata(path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        assert!(meta.len() <= LEAST, "{}", meta.len());
    }
    let mode = fs::metadata(log.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_file_of_one_that_has_ended_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder);
    let (journal, output) = (
        Arc::new(Journal::new(log.clone(), "run")),
        Output::default(),
    );
    write(&journal, &output, b"hello\n").await;
    assert_eq!(texts(&log), ["hello"]);
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    assert!(open.into_iter().all(|path| path != log.path));
    drop(journal);
}

#[tokio::test]
async fn old_files_are_packed_and_read_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let plain = log(&folder).max_size(0).keep(50);
    write_numbered(&plain, 0..100).await;
    let packed = plain.clone().compress(true);
    pack::pack_all(packed.clone()).await;
    let old = packed.old().unwrap();
    assert!(
        old.len() > 2 && old.iter().all(|old| old.form == Form::Packed),
        "{old:?}"
    );
    assert_eq!(texts(&packed), numbered(0..100));
    let first = packed.old_path(Old {
        number: 1,
        form: Form::Packed,
    });
    let mode = fs::metadata(&first).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut text = String::new();
    let file = fs::File::open(first).unwrap();
    io::Read::read_to_string(&mut MultiGzDecoder::new(file), &mut text).unwrap();
    assert!(text.contains(" stdout 1 0 0 000"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_too_old_goes_on_in_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).max_age(Duration::ZERO);
    write_numbered(&log, 0..3).await;
    // Each line finds the file of the one before it too old.
    assert_eq!(log.old().unwrap().len(), 2);
    assert_eq!(texts(&log), numbered(0..3));
}

#[tokio::test]
async fn whatever_a_dead_run_was_doing_no_line_is_lost_and_nothing_of_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).max_size(0).keep(50);
    write_numbered(&log, 0..100).await;
    let path = |number, form| log.old_path(Old { number, form });
    // It died while it packed 1, and between packing 2 and removing what was packed.
    fs::write(path(1, Form::Unfinished), b"half").unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, &fs::read(path(2, Form::Plain)).unwrap()).unwrap();
    fs::write(path(2, Form::Packed), encoder.finish().unwrap()).unwrap();
    // It died after it had made an old file, and before it began the new one; and one before it in the middle of a line.
    let mut bytes = fs::read(&log.path).unwrap();
    bytes.extend_from_slice(b"2026-01-01T00:00:00.0Z stdout 1 7 0 torn");
    fs::write(path(90, Form::Plain), &bytes).unwrap();
    fs::write(&log.path, b"2026-01-01T00:00:00.0Z stdout 1 8 0 torn too").unwrap();
    write_numbered(&log, 0..1).await;
    let all = texts(&log);
    let [before @ .., torn, last] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(before, numbered(0..100));
    assert_eq!(
        (torn.as_str(), last.as_str()),
        ("torn too", numbered(0..1)[0].as_str())
    );
    let old = log.old().unwrap();
    assert!(
        !old.contains(&Old {
            number: 1,
            form: Form::Unfinished
        }),
        "{old:?}"
    );
    assert!(
        !old.contains(&Old {
            number: 2,
            form: Form::Plain
        }),
        "{old:?}"
    );
}

#[tokio::test]
async fn a_file_that_somebody_moves_or_cuts_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder);
    let (journal, output) = (
        Arc::new(Journal::new(log.clone(), "run")),
        Output::default(),
    );
    write(&journal, &output, b"1\n").await;
    fs::rename(&log.path, log.path.with_extension("moved")).unwrap();
    write(&journal, &output, b"2\n").await;
    assert_eq!(texts(&log), ["2"]);
    fs::write(&log.path, "").unwrap();
    write(&journal, &output, b"3\n").await;
    assert_eq!(texts(&log), ["3"]);
}

#[tokio::test]
async fn lines_in_the_file_and_lines_that_it_lacks_are_all_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder);
    let journal = Arc::new(Journal::new(log.clone(), "run"));
    let output = Output::bounded(3, 1_000);
    output
        .read(b"1\n2\n3\n4\n5\n".as_slice(), Stream::Stdout, 1)
        .await;
    write(&journal, &output, b"6\n").await;
    assert_eq!(texts(&log), ["-3", "4", "5", "6"]);
    let told = journal.untold();
    assert!(
        matches!(told.as_slice(), [Payload::ProcessLogDropped { lines: 3 }]),
        "{told:?}"
    );
    assert!(journal.untold().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_is_told_and_caught_up_with_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder);
    fs::create_dir_all(&log.path).unwrap();
    let (journal, output) = (
        Arc::new(Journal::new(log.clone(), "run")),
        Output::bounded(2, 100),
    );
    write(&journal, &output, b"1\n").await;
    let told = journal.untold();
    assert!(
        matches!(told.as_slice(), [Payload::ProcessLogFailed { .. }]),
        "{told:?}"
    );
    let mut news = journal.news();
    let keeping = journal.begin(&output);
    output.read(b"2\n3\n".as_slice(), Stream::Stdout, 2).await;
    tokio::task::yield_now().await;
    fs::remove_dir(&log.path).unwrap();
    drop(news.wait_for(|news| news.failing.is_none()).await);
    keeping.finish().await;
    assert_eq!(texts(&log), ["-1", "2", "3"]);
    let told = journal.untold();
    assert!(
        matches!(
            told.as_slice(),
            [
                Payload::ProcessLogResumed {},
                Payload::ProcessLogDropped { lines: 1 }
            ]
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn history_can_begin_late_and_be_the_end_only() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).max_size(0).keep(50);
    write_numbered(&log, 0..50).await;
    let lines: Vec<Line> = log
        .history()
        .unwrap()
        .filter_map(|logged| match logged.unwrap() {
            Logged::Line(line) => Some(line),
            Logged::Lost { .. } | Logged::Run { .. } => None,
        })
        .collect();
    let since = log.history().unwrap().since(lines[40].at).unwrap();
    let rest = since
        .filter(|logged| matches!(logged, Ok(Logged::Line(_))))
        .count();
    assert!((10..50).contains(&rest), "{rest}");
    let is_line = |logged: &Logged| matches!(logged, Logged::Line(_));
    let last = log.history().unwrap().last(2, 1_000, is_line).unwrap();
    assert_eq!(
        last,
        lines[48..]
            .iter()
            .cloned()
            .map(Logged::Line)
            .collect::<Vec<_>>()
    );
    let few = log.history().unwrap().last(9, 250, is_line).unwrap();
    assert_eq!(few.len(), 2);
    let none = LogFile::new(folder.path().join("none/none.log"));
    assert!(!none.exists() && log.exists());
    assert_eq!(none.history().unwrap().count(), 0);
}

#[tokio::test]
async fn who_reads_while_files_turn_sees_every_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).max_size(0).keep(500);
    write_numbered(&log, 0..10).await;
    let mut history = log.history().unwrap();
    let mut read = Vec::new();
    for begin in (10..200).step_by(10) {
        write_numbered(&log, begin..begin + 10).await;
        for _ in 0..7 {
            read.extend(history.next().map(Result::unwrap));
        }
    }
    read.extend(history.map(Result::unwrap));
    let texts: Vec<_> = read
        .iter()
        .filter_map(|logged| match logged {
            Logged::Line(line) => Some(line.text()),
            Logged::Lost { .. } | Logged::Run { .. } => None,
        })
        .collect();
    assert_eq!(texts, numbered(0..200));
}

#[tokio::test]
async fn all_files_of_one_are_removed_and_none_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).max_size(0).keep(50);
    write_numbered(&log, 0..50).await;
    let other = LogFile::new(log.path().with_extension("log.note"));
    fs::write(other.path(), "kept\n").unwrap();
    log.remove_all().unwrap();
    assert!(!log.exists() && other.exists());
    log.remove_all().unwrap();
}
