//! Whatever becomes of those who listen, supervision goes on, nothing grows without bound, and the loss is counted and shown.
//!
//! A panic, a hang, an end that is gone, a disk that is full: one test for each that each listener can have.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::fs::{self, File};
use std::future::pending;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regrow::otlp::{self, Signal};
use regrow::statsd::{self, Flavour};
use regrow::telemetry::{FinishError, Subject};
use regrow::testing::{Puppet, TestSystem};
use regrow::{Backoff, ChildKind, Event, Payload, Phase, Supervisor};

use crate::otlp::collector::{Answer, Collector};
use crate::scrape::ask;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many events a queued handler may be behind.
const QUEUE: u64 = 1_024;

/// More events than all queues on the way of any listener hold, with what is on its way out.
const FLOOD: u64 = 20_000;

/// How many restarts show that supervision goes on.
const RESTARTS: usize = 10;

async fn tree() -> TestSystem {
    let worker = Puppet::spec("a").backoff(Backoff::none());
    TestSystem::start(Supervisor::new("root").no_intensity_limit().child(worker)).await
}

/// In real time, where `expect` would wait for an hour.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("it did not come")
}

/// Supervision goes on.
async fn lives_on(system: &mut TestSystem) {
    for _ in 0..RESTARTS {
        system.puppet("root/a").crash("boom");
        soon(system.expect("regrow.supervisor.restart.stop", "root/a")).await;
    }
}

fn subject() -> Subject {
    Subject::new("root/a", ChildKind::Actor, "actor", 1, Phase::Running)
}

/// More events than anybody can hold. Those who can are given their turn.
async fn flood(system: &TestSystem) {
    for n in 0..FLOOD {
        let stable_for = Duration::from_secs(n);
        let payload = || Payload::BackoffReset { stable_for };
        system.telemetry().emit(subject, payload);
        if n.is_multiple_of(100) {
            // Several: an event passes through several tasks.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The value of a series in the metrics; 0 where it is not there.
fn metric(system: &TestSystem, series: &str) -> u64 {
    let text = system.exporter().render();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

/// How many events the metrics say that a sink has lost.
fn lost(system: &TestSystem, sink: &str) -> u64 {
    let series = format!("regrow_telemetry_dropped_total{{sink=\"{sink}\",reason=\"queue_full\"}}");
    metric(system, &series)
}

/// What was not lost is not more than what there is room for.
#[track_caller]
fn assert_bounded(system: &TestSystem, sink: &str, room: u64) {
    let lost = lost(system, sink);
    assert!(
        lost + room >= FLOOD && lost > 0,
        "{lost} of {FLOOD} are told as lost, where there is room for {room}"
    );
}

fn is_attached(system: &TestSystem, handler: &str) -> bool {
    let handlers = system.telemetry().handlers();
    handlers.iter().any(|id| **id == *handler)
}

#[tokio::test]
async fn an_inline_handler_that_panics_is_detached_and_counted() {
    let mut system = tree().await;
    let panic = |_: &Event| panic!("a handler with a bug");
    system.telemetry().attach("broken", panic).unwrap();
    lives_on(&mut system).await;
    assert!(!is_attached(&system, "broken"));
    let failures = "regrow_telemetry_handler_failures_total{handler=\"broken\"}";
    assert_eq!(metric(&system, failures), 1);
}

#[tokio::test]
async fn a_queued_handler_that_panics_is_detached_and_counted_with_what_it_leaves() {
    let mut system = tree().await;
    let panic = |_: Arc<Event>| async { panic!("a handler with a bug") };
    system.telemetry().attach_queued("broken", panic).unwrap();
    for n in 0..100 {
        let stable_for = Duration::from_secs(n);
        let payload = || Payload::BackoffReset { stable_for };
        system.telemetry().emit(subject, payload);
    }
    lives_on(&mut system).await;
    assert!(!is_attached(&system, "broken"));
    let failures = "regrow_telemetry_handler_failures_total{handler=\"broken\"}";
    assert_eq!(metric(&system, failures), 1);
    // Of the hundred it has had one; more may have come before its task had its turn.
    assert!(lost(&system, "broken") >= 99, "{}", lost(&system, "broken"));
}

#[tokio::test]
async fn a_queued_handler_that_hangs_loses_what_its_queue_cannot_hold() {
    let mut system = tree().await;
    let hang = |_: Arc<Event>| pending::<()>();
    system.telemetry().attach_queued("stuck", hang).unwrap();
    flood(&system).await;
    lives_on(&mut system).await;
    // The last thousand are told when there is room again, or a thousand more.
    assert_bounded(&system, "stuck", QUEUE + 1 + 1_000);
}

#[tokio::test]
async fn a_subscription_that_nobody_reads_loses_what_its_queue_cannot_hold() {
    let mut system = tree().await;
    let events = system.telemetry().subscribe(16).unwrap();
    flood(&system).await;
    lives_on(&mut system).await;
    assert!(events.missed() >= FLOOD - 16);
    assert_bounded(&system, "subscription-2", 16 + 1_000);
}

/// Connections that send nothing, and others that ask and never read.
fn bad_clients(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |n: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        if n.is_multiple_of(2) {
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        }
        stream
    };
    (0..count).map(connect).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_prometheus_that_send_nothing_or_never_read_disturb_nobody() {
    let mut system = tree().await;
    let address = "127.0.0.1:0".parse().unwrap();
    let endpoint = regrow::prometheus::serve(&system, address).await.unwrap();
    let address = endpoint.address();
    // More than are served at once.
    let clients = bad_clients(address, 200);
    lives_on(&mut system).await;
    drop(clients);
    let answer = tokio::task::spawn_blocking(move || ask(address, "GET /metrics"));
    let (head, _) = soon(answer).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn without_a_listener_statsd_loses_lines_and_says_so() {
    // Bound and let go: nobody listens there.
    let address = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut system = tree().await;
    let export = statsd::export(&system, address, Flavour::Dog)
        .await
        .unwrap();
    // That nobody took a datagram is known when the next is sent.
    export.flush().await;
    lives_on(&mut system).await;
    export.flush().await;
    assert!(lost(&system, "statsd") > 0);
}

/// An export to a collector that answers so loses what it cannot hold, and its end is in time.
async fn assert_otlp_is_bounded(url: &str) {
    let mut system = tree().await;
    let endpoint = otlp::Endpoint::new(url, "crew")
        .period(Duration::from_millis(20))
        .timeout(Duration::from_millis(200));
    let export = otlp::export(&system, endpoint, Signal::ALL).unwrap();
    flood(&system).await;
    let told = async {
        while lost(&system, "otlp") == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(told).await;
    lives_on(&mut system).await;
    assert!(export.dropped() > 0);
    let began = Instant::now();
    let undelivered = export.shutdown().await.unwrap_err();
    assert!(undelivered.records > 0, "{undelivered}");
    assert!(began.elapsed() < Duration::from_secs(10), "{undelivered}");
    // A queue and a batch of records, and the queue of the event stream; now all of them are lost.
    assert_bounded(&system, "otlp", 4_096 + 512 + QUEUE + 1_000);
}

#[tokio::test]
async fn a_collector_that_is_down_costs_records_and_nothing_else() {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let url = collector.url.clone();
    drop(collector);
    assert_otlp_is_bounded(&url).await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_records_and_nothing_else() {
    let collector = Collector::start(|_, _| Answer::Never).await;
    assert_otlp_is_bounded(&collector.url).await;
}

#[tokio::test]
async fn a_collector_that_refuses_costs_records_and_nothing_else() {
    let refused = Answer::Refused("500 Internal Server Error");
    let collector = Collector::start(move |_, _| refused).await;
    assert_otlp_is_bounded(&collector.url).await;
}

#[tokio::test]
async fn lines_of_json_for_a_full_disk_are_lost_and_counted() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return skipped("/dev/full");
    };
    let mut system = tree().await;
    let lines = system.telemetry().attach_json("json", full).unwrap();
    flood(&system).await;
    lives_on(&mut system).await;
    // A queue, a batch of 64 KiB, and what is not told yet.
    assert_bounded(&system, "json", QUEUE + 1_000 + 1_000);
    match lines.finish(PATIENCE).await {
        Err(FinishError::Lost { source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
        other => panic!("expected a loss, got {other:?}"),
    }
}

/// A disk of 64 KiB, until it is dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
        let output = mount.arg(at).output().ok()?;
        output.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // What is left is a folder of a test, and 64 KiB.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Past the capture of output, so that it is seen.
fn skipped(what: &str) {
    drop(writeln!(
        io::stderr(),
        "ABSENT: {what}; what needs it is not tested"
    ));
}

#[tokio::test]
async fn when_a_full_disk_has_room_again_lines_go_on_unbroken() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = TinyDisk::mount(folder.path()) else {
        return skipped("the right to mount a disk");
    };
    let mut system = tree().await;
    fs::write(disk.0.join("ballast"), vec![0; 32 * 1_024]).unwrap();
    let path = disk.0.join("events.jsonl");
    let file = File::create(&path).unwrap();
    let lines = system.telemetry().attach_json("json", file).unwrap();
    flood(&system).await;
    lives_on(&mut system).await;
    assert!(lost(&system, "json") > 0);
    fs::remove_file(disk.0.join("ballast")).unwrap();
    // What waited does not fit all the same; the lines that do are whole.
    drop(lines.finish(Duration::from_secs(5)).await);
    let text = fs::read_to_string(&path).unwrap();
    let (whole, _) = text.rsplit_once('\n').unwrap();
    let seqs: Vec<u64> = whole
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    assert!(
        text.len() > 40 * 1_024,
        "there is more than before: {}",
        text.len()
    );
    assert!(seqs.is_sorted_by(|one, next| one < next));
}
