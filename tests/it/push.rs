//! `StatsD` in both dialects: a listener gets what was sent, field by field; without one supervision goes on.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use regrow::statsd::{self, ExportError, Flavour};
use regrow::telemetry::{MetricKind, catalogue};
use regrow::testing::{Puppet, TestSystem};
use regrow::{Backoff, Payload, Supervisor};

/// Longer than a datagram takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is sent last in every round: so far a listener reads.
const LAST: &str = "regrow_supervisor_recovery_seconds";

/// In real time, where `expect` would wait for an hour.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("it did not come")
}

fn listener() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The lines that have come, up to the first that begins with `last`.
fn heard(socket: &UdpSocket, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut datagram = [0; 65_536];
    loop {
        let length = socket.recv(&mut datagram).unwrap();
        assert!(length <= 1_432, "it does not fit into a packet: {length}");
        let text = std::str::from_utf8(&datagram[..length]).unwrap();
        lines.extend(text.lines().map(str::to_owned));
        if lines.iter().any(|line| line.starts_with(last)) {
            return lines;
        }
    }
}

/// One line of `DogStatsD`, taken apart.
#[derive(Debug, PartialEq)]
struct Point {
    name: String,
    value: f64,
    kind: String,
    tags: BTreeMap<String, String>,
}

fn point(line: &str) -> Point {
    let (name, rest) = line.split_once(':').unwrap();
    let mut parts = rest.split('|');
    let value = parts.next().unwrap().parse().unwrap();
    let kind = parts.next().unwrap().to_owned();
    let tags = parts
        .next()
        .map_or("", |tags| tags.strip_prefix('#').unwrap());
    assert_eq!(parts.next(), None, "{line}");
    let tag = |tag: &str| {
        let (name, value) = tag.split_once(':').unwrap();
        (name.to_owned(), value.to_owned())
    };
    Point {
        name: name.to_owned(),
        value,
        kind,
        tags: tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(tag)
            .collect(),
    }
}

#[tokio::test]
async fn every_sink_gets_the_times_of_messages_and_none_takes_them_from_another() {
    let socket = listener();
    let system = TestSystem::start(Supervisor::new("root").child(crate::echo::spec())).await;
    let address = socket.local_addr().unwrap();
    let export = statsd::export(&system, address, Flavour::Dog)
        .await
        .unwrap();
    crate::echo::talk(&system).await;
    export.flush().await;
    let points: Vec<Point> = heard(&socket, "regrow_message_wait_seconds")
        .iter()
        .map(|line| point(line))
        .collect();
    let talker = BTreeMap::from([("type".to_owned(), "talker".to_owned())]);
    for name in [
        "regrow_message_handle_seconds",
        "regrow_message_wait_seconds",
    ] {
        let of_family = |point: &&Point| point.name == name;
        let [time] = points.iter().filter(of_family).collect::<Vec<_>>()[..] else {
            panic!("one message in 64 is timed: {points:#?}")
        };
        assert_eq!((&*time.kind, &time.tags), ("d", &talker), "{time:?}");
        assert!((0.0..60.0).contains(&time.value), "in seconds: {time:?}");
        let scraped = system.exporter().render();
        let line = format!("{name}_count{{type=\"talker\"}} 1");
        assert!(scraped.contains(&line), "{scraped}");
    }
    drop(system.shut_down().await);
}

fn tree() -> Supervisor {
    Supervisor::new("root").child(Puppet::spec("a").of_type("worker").backoff(Backoff::none()))
}

/// Crashes the child and waits until it runs again.
async fn restart(system: &mut TestSystem) {
    system.puppet("root/a").crash("boom");
    soon(system.expect("regrow.supervisor.restart.stop", "root/a")).await;
}

#[tokio::test]
async fn a_listener_gets_every_family_with_its_name_value_type_and_tags() {
    let socket = listener();
    let mut system = TestSystem::start(tree()).await;
    let address = socket.local_addr().unwrap();
    let export = statsd::export(&system, address, Flavour::Dog)
        .await
        .unwrap();
    restart(&mut system).await;
    export.flush().await;
    let points: Vec<Point> = heard(&socket, LAST)
        .iter()
        .map(|line| point(line))
        .collect();
    for point in &points {
        let schema = catalogue()
            .into_iter()
            .find(|schema| schema.name == point.name)
            .unwrap_or_else(|| panic!("no such metric: {point:?}"));
        let kind = match schema.kind {
            MetricKind::Counter => "c",
            MetricKind::Gauge => "g",
            MetricKind::Histogram => "d",
        };
        assert_eq!(point.kind, kind, "{point:?}");
        let tags: Vec<&str> = point.tags.keys().map(String::as_str).collect();
        let mut labels = schema.labels.to_vec();
        labels.sort_unstable();
        assert_eq!(tags, labels, "{point:?}");
    }
    let all = |name: &str, tags: &[(&str, &str)]| {
        let tags: BTreeMap<String, String> = tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let wanted = |point: &&Point| point.name == name && point.tags == tags;
        points
            .iter()
            .filter(wanted)
            .map(|point| point.value)
            .collect::<Vec<_>>()
    };
    let of_type = [("kind", "actor"), ("type", "worker")];
    assert_eq!(all("regrow_child_starts_total", &of_type), [1.0]);
    let panicked = [of_type[0], of_type[1], ("reason", "panic")];
    assert_eq!(all("regrow_child_terminations_total", &panicked), [1.0]);
    let restarted = [
        ("supervisor", "root"),
        ("reason", "panic"),
        ("scope", "one"),
    ];
    assert_eq!(all("regrow_supervisor_restarts_total", &restarted), [1.0]);
    let handled = [("type", "worker"), ("outcome", "panic")];
    assert_eq!(all("regrow_messages_handled_total", &handled), [1.0]);
    // A gauge is sent in every round: that of the start, that of the flush, and more on a slow machine.
    let running = [of_type[0], of_type[1], ("status", "running")];
    assert_eq!(all("regrow_children", &running).last(), Some(&1.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert!(all("regrow_build_info", &version).len() >= 2);
    let [lifetime] = all("regrow_child_lifetime_seconds", &of_type)[..] else {
        panic!("one life has ended: {points:#?}")
    };
    assert!((0.0..60.0).contains(&lifetime), "in seconds: {lifetime}");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn the_plain_dialect_has_its_labels_in_the_name_and_times_in_milliseconds() {
    let socket = listener();
    let mut system = TestSystem::start(tree()).await;
    let address = socket.local_addr().unwrap();
    let export = statsd::export(&system, address, Flavour::Plain)
        .await
        .unwrap();
    restart(&mut system).await;
    export.flush().await;
    let lines = heard(&socket, "regrow_supervisor_recovery.root:");
    for line in [
        "regrow_child_starts_total.actor.worker:1|c",
        "regrow_child_terminations_total.actor.worker.panic:1|c",
        "regrow_supervisor_restarts_total.root.panic.one:1|c",
        "regrow_children.actor.worker.running:1|g",
    ] {
        assert!(
            lines.iter().any(|other| other == line),
            "{line}: {lines:#?}"
        );
    }
    let recovery = lines.last().unwrap();
    let time = recovery.strip_prefix("regrow_supervisor_recovery.root:");
    let time: f64 = time.unwrap().strip_suffix("|ms").unwrap().parse().unwrap();
    assert!(time > 0.0, "{recovery}");
    assert!(lines.iter().all(|line| !line.contains('#')), "{lines:#?}");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn the_end_of_the_system_is_the_last_round_and_sets_what_is_gone_to_zero() {
    let socket = listener();
    let system = TestSystem::start(tree()).await;
    let address = socket.local_addr().unwrap();
    let export = statsd::export(&system, address, Flavour::Dog)
        .await
        .unwrap();
    let running = "regrow_supervisor_children:1|g|#supervisor:root,state:running";
    heard(&socket, running);
    drop(system.shut_down().await);
    export.flush().await;
    heard(
        &socket,
        "regrow_supervisor_children:0|g|#supervisor:root,state:running",
    );
}

#[tokio::test]
async fn one_export_at_a_time_and_dropping_it_makes_room_for_the_next() {
    let socket = listener();
    let system = TestSystem::start(tree()).await;
    let address = socket.local_addr().unwrap();
    let is_attached = || {
        system
            .telemetry()
            .handlers()
            .iter()
            .any(|id| **id == *"statsd")
    };
    let export = statsd::export(&system, address, Flavour::Dog)
        .await
        .unwrap();
    let second = statsd::export(&system, address, Flavour::Dog).await;
    assert!(matches!(second, Err(ExportError::Attach(_))), "{second:?}");
    assert!(is_attached());
    drop(export);
    assert!(!is_attached());
    drop(
        statsd::export(&system, address, Flavour::Dog)
            .await
            .unwrap(),
    );
    drop(system.shut_down().await);
}

#[tokio::test]
async fn when_nobody_listens_the_loss_is_told_and_supervision_goes_on() {
    let address = {
        // Bound and let go: nobody listens there.
        let socket = listener();
        socket.local_addr().unwrap()
    };
    let mut system = TestSystem::start(tree()).await;
    let export = statsd::export(&system, address, Flavour::Dog)
        .await
        .unwrap();
    // That nobody took a datagram is known when the next is sent.
    export.flush().await;
    let told = soon(system.expect("regrow.telemetry.queue.dropped", "root")).await;
    let Payload::TelemetryQueueDropped { handler, dropped } = &told.payload else {
        panic!("{told:?}")
    };
    assert_eq!((&**handler, *dropped > 0), ("statsd", true), "{told:?}");
    restart(&mut system).await;
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    export.flush().await;
    heard(
        &socket,
        "regrow_children:1|g|#kind:actor,type:worker,status:running",
    );
    drop(system.shut_down().await);
}
