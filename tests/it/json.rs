//! Events as lines of JSON: what stands in one, and what becomes of them when the writer does not work.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use regrow::telemetry::{
    AttachError, AttachJsonError, Edge, FinishError, Lineage, Outcome, Role, Stream, Subject,
};
use regrow::testing::{Puppet, TestSystem};
use regrow::trace::TraceContext;
use regrow::{
    ChildKind, Event, ExitReason, Payload, Phase, StopCause, Strategy, Supervisor, Telemetry,
};
use serde_json::Value;

/// Longer than any line takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the spans of these tests belong.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// More events than a queue, a batch and a writer hold.
const MANY: u64 = 20_000;

/// In real time, where `expect` would wait for an hour.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("it did not come")
}

fn subject() -> Subject {
    let kind = ChildKind::Process;
    Subject::new("root/crew/lead", kind, "planner \"α\"\n", 3, Phase::Running)
}

/// The last second before a leap day, and 7 ms.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_709_164_799_007)
}

fn event(span: Option<u64>, payload: Payload) -> Event {
    Event {
        seq: 7,
        at: at(),
        span,
        lineage: span.map(|_| {
            Arc::new(Lineage {
                context: TraceContext::parse(TRACEPARENT, None).unwrap(),
                parent: None,
                link: None,
            })
        }),
        subject: subject(),
        payload,
    }
}

/// What every line of these tests begins with.
fn head(name: &str) -> String {
    let level = match name {
        "regrow.process.leaked" => "error",
        "regrow.child.terminated" => "warn",
        "regrow.process.output" => "trace",
        _ => "debug",
    };
    format!(
        r#"{{"seq":7,"at":"2024-02-28T23:59:59.007Z","level":"{level}","event":"{name}","path":"root/crew/lead","kind":"process","type":"planner \"α\"\n","generation":3,"phase":"running""#
    )
}

fn terminated() -> Payload {
    Payload::ChildTerminated {
        lifetime: Duration::from_millis(1_500),
        stop_took: None,
        handled: Some(u64::MAX),
        reason: ExitReason::Exit(1),
        outcome: Outcome::Graceful,
        cause: Some(StopCause::Operator),
    }
}

#[test]
fn a_line_has_what_every_event_has_then_its_own_keys_without_those_that_it_has_not() {
    let lines = [
        (
            event(None, Payload::SupervisorChildAdded {}),
            "regrow.supervisor.child.added",
            "}",
        ),
        (
            event(None, terminated()),
            "regrow.child.terminated",
            r#","lifetime":1.5,"handled":18446744073709551615,"reason":"exit code 1","outcome":"graceful","cause":"operator"}"#,
        ),
        (
            event(
                Some(9),
                Payload::Restart {
                    edge: Edge::Exception {
                        duration: Duration::from_secs(2),
                        reason: "gone".into(),
                    },
                    strategy: Strategy::OneForAll,
                },
            ),
            "regrow.supervisor.restart.exception",
            r#","span":9,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","duration":2.0,"error":"gone","strategy":"one_for_all"}"#,
        ),
        (
            event(None, Payload::ProcessLeaked { pids: vec![11, 12] }),
            "regrow.process.leaked",
            r#","pids":["11","12"]}"#,
        ),
        (
            event(
                None,
                Payload::ProcessOutput {
                    bytes: 10,
                    dropped: 0,
                    stream: Stream::Stderr,
                },
            ),
            "regrow.process.output",
            r#","bytes":10,"dropped":0,"stream":"stderr"}"#,
        ),
    ];
    for (event, name, rest) in lines {
        assert_eq!(event.to_json(), head(name) + rest);
    }
}

#[test]
fn the_time_of_a_line_is_right_around_the_days_that_calendars_forget() {
    let times = [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_868_799, "2000-02-29T23:59:59.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_709_209_800, "2024-02-29T12:30:00.000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000Z"),
        (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ];
    for (second, text) in times {
        let mut event = event(None, Payload::SupervisorChildAdded {});
        event.at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let line: Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(line["at"], text);
    }
}

#[test]
fn the_line_in_the_document_is_what_is_written() {
    let mut event = event(
        None,
        Payload::ChildTerminated {
            lifetime: Duration::from_millis(1_500),
            stop_took: None,
            handled: None,
            reason: ExitReason::Exit(1),
            outcome: Outcome::ByItself,
            cause: None,
        },
    );
    let kind = ChildKind::Process;
    event.subject = Subject::new("root/lead", kind, "planner", 3, Phase::Running);
    let document = crate::tree::read("docs/telemetry.md");
    let written = crate::tree::between(&document, "```json\n", "\n```");
    assert_eq!(written, event.to_json());
}

#[tokio::test]
async fn what_is_quieter_than_asked_for_is_left_out() {
    let telemetry = Telemetry::default();
    let paper = Paper::default();
    let least = regrow::telemetry::Level::WARN;
    let lines = telemetry.attach_json_from("json", least, paper.clone());
    telemetry.emit(subject, || Payload::SupervisorChildAdded {});
    telemetry.emit(subject, terminated);
    telemetry.emit(subject, || Payload::ProcessLeaked { pids: vec![11] });
    lines.unwrap().finish(PATIENCE).await.unwrap();
    let seen: Vec<String> = paper
        .lines()
        .iter()
        .map(|line| line["level"].to_string())
        .collect();
    assert_eq!(seen, [r#""warn""#, r#""error""#]);
}

#[test]
fn a_line_reads_back_as_what_was_written() {
    let read: Value = serde_json::from_str(&event(Some(4), terminated()).to_json()).unwrap();
    let written = serde_json::json!({
        "seq": 7,
        "at": "2024-02-28T23:59:59.007Z",
        "level": "warn",
        "event": "regrow.child.terminated",
        "path": "root/crew/lead",
        "kind": "process",
        "type": "planner \"α\"\n",
        "generation": 3,
        "phase": "running",
        "span": 4,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "lifetime": 1.5,
        "handled": u64::MAX,
        "reason": ExitReason::Exit(1).to_string(),
        "outcome": "graceful",
        "cause": "operator",
    });
    assert_eq!(read, written);
}

#[test]
fn no_key_of_an_event_is_one_that_every_event_has() {
    let of_all = [
        "seq",
        "at",
        "level",
        "event",
        "path",
        "kind",
        "type",
        "generation",
        "phase",
        "span",
        "trace_id",
        "span_id",
    ];
    for schema in Payload::SCHEMA {
        let clash: Vec<&str> = schema
            .keys
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| of_all.contains(key))
            .collect();
        assert_eq!(clash, [""; 0], "{}", schema.name);
    }
}

#[test]
fn what_is_sensitive_is_never_written() {
    let line = event(
        None,
        Payload::ProcessSpawn {
            edge: Edge::Start,
            pid: Some(5),
            command: vec!["login".into(), "--password=secret".into()],
        },
    );
    let is_sensitive = |field: &regrow::telemetry::Field<'_>| field.role == Role::Sensitive;
    assert!(line.payload.fields().iter().any(is_sensitive));
    assert_eq!(
        line.to_json(),
        head("regrow.process.spawn.start") + r#","pid":5}"#
    );
}

#[test]
fn a_line_has_a_bound_whatever_a_child_says() {
    let payload = Payload::TelemetryHandlerFailure {
        handler: "h".into(),
        message: "ä".repeat(1_000_000),
    };
    let read: Value = serde_json::from_str(&event(None, payload).to_json()).unwrap();
    assert_eq!(read["message"], "ä".repeat(2_048) + "…");
    let leaked = Payload::ProcessLeaked {
        pids: (0..1_000).collect(),
    };
    let read: Value = serde_json::from_str(&event(None, leaked).to_json()).unwrap();
    assert_eq!(read["pids"].as_array().unwrap().len(), 100);
}

/// A place to write to that can be read.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn seqs(&self) -> Vec<u64> {
        let seq = |line: &Value| line["seq"].as_u64().unwrap();
        self.lines().iter().map(seq).collect()
    }
}

fn emit(telemetry: &Telemetry) {
    telemetry.emit(subject, || Payload::SupervisorChildAdded {});
}

#[tokio::test]
async fn a_system_writes_every_event_in_order_and_finishing_waits_for_the_last() {
    let telemetry = Telemetry::default();
    let paper = Paper::default();
    let lines = telemetry.attach_json("json", paper.clone()).unwrap();
    let again = telemetry.attach_json("json", io::sink());
    assert!(
        matches!(again, Err(AttachJsonError::Attach(AttachError::AlreadyAttached { id })) if id == "json")
    );
    let tree = Supervisor::new("root").child(Puppet::spec("a"));
    let system = regrow::System::launch_with(tree, telemetry).await.unwrap();
    system.booted().await.unwrap();
    drop(system.shut_down().await);
    lines.finish(PATIENCE).await.unwrap();
    let written = paper.lines();
    let expected: Vec<u64> = (1..=written.len() as u64).collect();
    assert_eq!(paper.seqs(), expected);
    let told = |name: &str, path: &str| {
        written
            .iter()
            .any(|line| line["event"] == name && line["path"] == path)
    };
    assert!(told("regrow.child.started", "root/a"), "{written:#?}");
    assert!(told("regrow.child.terminated", "root/a"), "{written:#?}");
    assert!(
        !system
            .telemetry()
            .handlers()
            .iter()
            .any(|id| **id == *"json")
    );
}

/// A writer that waits until it is let go on.
struct Stuck {
    paper: Paper,
    go: Receiver<()>,
    is_free: bool,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // When nobody can let it go any more, it is free too.
        self.is_free = self.is_free || self.go.recv().is_ok();
        self.paper.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stuck() -> (Stuck, Paper, Sender<()>) {
    let (free, go) = channel();
    let paper = Paper::default();
    let writer = Stuck {
        paper: paper.clone(),
        go,
        is_free: false,
    };
    (writer, paper, free)
}

#[tokio::test]
async fn a_writer_that_hangs_loses_what_its_queue_cannot_hold_and_supervision_goes_on() {
    let tree = Supervisor::new("root").child(Puppet::spec("a"));
    let mut system = TestSystem::start(tree).await;
    let (writer, paper, free) = stuck();
    let lines = system.telemetry().attach_json("json", writer).unwrap();
    let told = Arc::new(Mutex::new(0));
    let sum = Arc::clone(&told);
    let count = move |event: &Event| {
        if let Payload::TelemetryQueueDropped { handler, dropped } = &event.payload
            && **handler == *"json"
        {
            *sum.lock().unwrap() += dropped;
        }
    };
    system.telemetry().attach("count", count).unwrap();
    for _ in 0..MANY {
        emit(system.telemetry());
    }
    system.puppet("root/a").crash("boom");
    soon(system.expect("regrow.supervisor.restart.stop", "root/a")).await;
    assert!(*told.lock().unwrap() > MANY / 2);
    free.send(()).unwrap();
    lines.finish(PATIENCE).await.unwrap();
    let seqs = paper.seqs();
    assert!(seqs.is_sorted(), "in order");
    assert!((seqs.len() as u64) < MANY / 2, "{}", seqs.len());
    drop(system.shut_down().await);
}

#[tokio::test]
async fn finishing_does_not_wait_longer_than_it_may() {
    let telemetry = Telemetry::default();
    let (writer, _, _free) = stuck();
    let lines = telemetry.attach_json("json", writer).unwrap();
    emit(&telemetry);
    let end = lines.finish(Duration::from_millis(1)).await;
    assert!(matches!(end, Err(FinishError::Late { .. })), "{end:?}");
}

/// A full disk: each write but every `works_at`th fails, and one that works takes few bytes.
struct Full {
    paper: Paper,
    writes: u64,
    works_at: u64,
    tried: Option<Sender<()>>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if let Some(tried) = self.tried.take() {
            tried.send(()).unwrap();
        }
        if self.works_at > 0 && self.writes.is_multiple_of(self.works_at) {
            return self.paper.write(&bytes[..bytes.len().min(100)]);
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_writer_that_fails_now_and_then_breaks_no_line() {
    let telemetry = Telemetry::default();
    let paper = Paper::default();
    let writer = Full {
        paper: paper.clone(),
        writes: 0,
        works_at: 2,
        tried: None,
    };
    let lines = telemetry.attach_json("json", writer).unwrap();
    for _ in 0..3 {
        emit(&telemetry);
    }
    let written = paper.clone();
    tokio::task::spawn_blocking(move || {
        let began = std::time::Instant::now();
        while written
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            < 3
        {
            assert!(began.elapsed() < PATIENCE, "the lines did not come");
            std::thread::yield_now();
        }
    })
    .await
    .unwrap();
    lines.finish(PATIENCE).await.unwrap();
    assert_eq!(paper.seqs(), [1, 2, 3]);
}

#[tokio::test]
async fn a_disk_that_stays_full_fills_a_queue_and_what_is_lost_is_told_at_the_end() {
    let telemetry = Telemetry::default();
    let (tried, has_tried) = channel();
    let writer = Full {
        paper: Paper::default(),
        writes: 0,
        works_at: 0,
        tried: Some(tried),
    };
    let lines = telemetry.attach_json("json", writer).unwrap();
    let mut others = telemetry.subscribe(100_000).unwrap();
    emit(&telemetry);
    has_tried.recv().unwrap();
    for _ in 1..MANY {
        emit(&telemetry);
    }
    let mut dropped = 0;
    while let Some(event) = others.try_next() {
        if let Payload::TelemetryQueueDropped { dropped: more, .. } = event.payload {
            dropped += more;
        }
    }
    assert!(dropped > MANY / 2, "{dropped}");
    match lines.finish(PATIENCE).await {
        Err(FinishError::Lost { lines, source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            // One was being written, the queue was full.
            assert_eq!(lines, 1 + 1_024);
        }
        other => panic!("expected a loss, got {other:?}"),
    }
}

/// A writer with a bug.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("boom")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_writer_that_panics_is_detached_and_the_others_are_told() {
    let tree = Supervisor::new("root").child(Puppet::spec("a"));
    let mut system = TestSystem::start(tree).await;
    let lines = system.telemetry().attach_json("json", Broken).unwrap();
    emit(system.telemetry());
    let told = soon(system.expect("regrow.telemetry.handler.failure", "root/crew/lead")).await;
    assert!(
        matches!(&told.payload, Payload::TelemetryHandlerFailure { handler, message } if **handler == *"json" && message.contains("boom")),
        "{told:?}"
    );
    assert!(
        !system
            .telemetry()
            .handlers()
            .iter()
            .any(|id| **id == *"json")
    );
    let end = lines.finish(PATIENCE).await;
    assert!(matches!(end, Err(FinishError::Panicked { .. })), "{end:?}");
    system.puppet("root/a").crash("boom");
    soon(system.expect("regrow.supervisor.restart.stop", "root/a")).await;
    drop(system.shut_down().await);
}
