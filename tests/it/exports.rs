//! The example `scrape` tells an OpenTelemetry collector, a `StatsD` listener and a file what it tells Prometheus: the same numbers,
//! and the same events field by field.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, number_data_point};
use regrow::telemetry::{MetricKind, catalogue};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::examples::built;
use crate::otlp::collector::{Answer, Collector, Received};
use crate::scrape::ask;

/// How many jobs the example does: enough for a dozen crashes.
const JOBS: &str = "600";

/// Longer than all that is waited for takes on a loaded machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A series: its family, and its labels in order.
type Name = (String, BTreeMap<String, String>);

/// What is known of a series of counters and gauges, or of the parts of a histogram, by the names that Prometheus has for them.
type Numbers = BTreeMap<Name, f64>;

fn name<'a>(family: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Name {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    (family.to_owned(), labels.into_iter().map(owned).collect())
}

/// The example, until it is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(built("scrape"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("it says where it listens").unwrap().unwrap();
        let address = line
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_suffix("/metrics"))
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self {
            child,
            address: address.parse().unwrap(),
        }
    }

    /// What Prometheus would read now.
    async fn scrape(&self) -> Numbers {
        let address = self.address;
        let (_, text) = tokio::task::spawn_blocking(move || ask(address, "GET /metrics"))
            .await
            .unwrap();
        let lines = text.lines();
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(number).collect()
    }

    /// Lets the work begin.
    async fn begin(&mut self) {
        let mut enter = self.child.stdin.take().unwrap();
        enter.write_all(b"\n").await.unwrap();
    }

    /// Asks it to end, and waits until it has.
    async fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(status.unwrap().unwrap().success());
    }
}

/// One line of Prometheus' text. No label here has a comma or a quotation mark in it.
fn number(line: &str) -> (Name, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (family, labels) = series.split_once('{').unwrap_or((series, "}"));
    let pairs = labels.strip_suffix('}').unwrap().split(',');
    let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once('=').unwrap();
        (label, value.trim_matches('"'))
    });
    (name(family, pairs), value.parse().unwrap())
}

fn label(pair: &KeyValue) -> (&str, &str) {
    match &pair.value {
        Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }) => (&pair.key, value),
        other => panic!("a label is a word: {other:?}"),
    }
}

/// What a report of metrics says, in Prometheus' names.
fn reported(metrics: &[Metric]) -> Numbers {
    let mut numbers = Numbers::new();
    for metric in metrics {
        let family = &*metric.name;
        let mut put = |points: &[NumberDataPoint]| {
            for point in points {
                let value = match point.value.unwrap() {
                    number_data_point::Value::AsDouble(value) => value,
                    number_data_point::Value::AsInt(value) => {
                        f64::from(i32::try_from(value).unwrap())
                    }
                };
                numbers.insert(name(family, point.attributes.iter().map(label)), value);
            }
        };
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => put(&sum.data_points),
            Data::Gauge(gauge) => put(&gauge.data_points),
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let labels = || point.attributes.iter().map(label);
                    let bounds = point.explicit_bounds.iter().map(ToString::to_string);
                    let bounds: Vec<String> = bounds.chain(["+Inf".to_owned()]).collect();
                    let mut below = 0.0;
                    for (bound, count) in bounds.iter().zip(&point.bucket_counts) {
                        below += float(*count);
                        let labels = labels().chain([("le", &**bound)]);
                        numbers.insert(name(&format!("{family}_bucket"), labels), below);
                    }
                    let (count, sum) = (format!("{family}_count"), format!("{family}_sum"));
                    numbers.insert(name(&count, labels()), float(point.count));
                    numbers.insert(name(&sum, labels()), point.sum.unwrap());
                }
            }
            other @ (Data::ExponentialHistogram(_) | Data::Summary(_)) => {
                panic!("never sent: {other:?}")
            }
        }
    }
    numbers
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// Adds a line of `DogStatsD` to what has come before, in Prometheus' names; of a histogram the sum and the count.
fn add(numbers: &mut Numbers, line: &str) {
    let (family, rest) = line.split_once(':').unwrap();
    let mut parts = rest.split('|');
    let value: f64 = parts.next().unwrap().parse().unwrap();
    let kind = parts.next().unwrap();
    let tags = parts
        .next()
        .map_or("", |tags| tags.strip_prefix('#').unwrap());
    let tags = tags.split(',').filter(|tag| !tag.is_empty());
    let tags: Vec<(&str, &str)> = tags.map(|tag| tag.split_once(':').unwrap()).collect();
    let mut at = |family: &str, value: f64| {
        *numbers
            .entry(name(family, tags.iter().copied()))
            .or_default() += value;
    };
    match kind {
        "c" => at(family, value),
        "d" => {
            at(&format!("{family}_sum"), value);
            at(&format!("{family}_count"), 1.0);
        }
        "g" => drop(numbers.insert(name(family, tags), value)),
        other => panic!("{other} is no kind: {line}"),
    }
}

/// Collects what comes by UDP, until the test ends.
fn listen() -> (SocketAddr, Arc<Mutex<Numbers>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let numbers = Arc::new(Mutex::new(Numbers::new()));
    let heard = Arc::clone(&numbers);
    std::thread::spawn(move || {
        let mut datagram = [0; 65_536];
        while let Ok(length) = socket.recv(&mut datagram) {
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            let mut numbers = heard.lock().unwrap();
            text.lines().for_each(|line| add(&mut numbers, line));
        }
    });
    (address, numbers)
}

/// What kind a series is, from the catalogue.
fn kind_of(series: &str) -> MetricKind {
    let parts = ["_bucket", "_sum", "_count"];
    let of_histogram = parts.iter().find_map(|part| series.strip_suffix(part));
    let catalogue = catalogue();
    let find = |family: &str| catalogue.iter().find(|schema| schema.name == family);
    let schema = find(series).or_else(|| find(of_histogram?));
    schema
        .unwrap_or_else(|| panic!("not in the catalogue: {series}"))
        .kind
}

/// Where another's numbers are not Prometheus'. What was counted at the start, before anybody was told, is `before`.
fn differences(
    prometheus: &Numbers,
    before: &Numbers,
    other: &Numbers,
    is_told: impl Fn(&str) -> bool,
) -> Vec<String> {
    let is_wanted = |name: &&Name| is_told(&name.0);
    let names: BTreeSet<&Name> = prometheus
        .keys()
        .chain(other.keys())
        .filter(is_wanted)
        .collect();
    let difference = |name: &Name| {
        let told = other.get(name).copied();
        let wanted = match kind_of(&name.0) {
            MetricKind::Gauge => prometheus.get(name).copied(),
            MetricKind::Counter | MetricKind::Histogram => {
                let at = |numbers: &Numbers| numbers.get(name).copied().unwrap_or(0.0);
                Some(at(prometheus) - at(before))
            }
        };
        let is_same = match (wanted, told) {
            (Some(wanted), Some(told)) => (wanted - told).abs() < 1e-6,
            // A counter that stands still need not be told.
            (Some(0.0), None) => kind_of(&name.0) != MetricKind::Gauge,
            (Some(_), None) | (None, _) => false,
        };
        (!is_same).then(|| format!("{name:?}: Prometheus {wanted:?}, not {told:?}"))
    };
    names.into_iter().filter_map(difference).collect()
}

/// The lines that were written, by their numbers.
fn written(file: &Path) -> BTreeMap<u64, Json> {
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| serde_json::from_str(line).unwrap();
    let lines = text.lines().map(line);
    lines
        .map(|line: Json| (line["seq"].as_u64().unwrap(), line))
        .collect()
}

/// What OpenTelemetry's attributes would be in JSON, without their prefix.
fn attributes(attributes: &[KeyValue]) -> serde_json::Map<String, Json> {
    fn json(value: &AnyValue) -> Json {
        match value.value.as_ref().unwrap() {
            Value::StringValue(words) => words.as_str().into(),
            Value::IntValue(number) => (*number).into(),
            Value::DoubleValue(number) => (*number).into(),
            Value::ArrayValue(list) => list.values.iter().map(json).collect(),
            other @ (Value::BoolValue(_)
            | Value::KvlistValue(_)
            | Value::BytesValue(_)
            | Value::StringValueStrindex(_)) => panic!("never sent: {other:?}"),
        }
    }
    let pair = |pair: &KeyValue| {
        let key = pair.key.strip_prefix("regrow.").unwrap();
        (
            key.replace("type_name", "type"),
            json(pair.value.as_ref().unwrap()),
        )
    };
    attributes.iter().map(pair).collect()
}

/// The end of the time of a line.
fn milliseconds(nanos: u64) -> String {
    format!(".{:03}Z", nanos / 1_000_000 % 1_000)
}

/// A line without what a record tells otherwise.
struct Line {
    event: String,
    at: String,
    level: String,
    trace_id: String,
    span_id: String,
    rest: serde_json::Map<String, Json>,
}

fn line(lines: &BTreeMap<u64, Json>, attributes: &serde_json::Map<String, Json>) -> Line {
    let seq = attributes["seq"].as_u64().unwrap();
    let mut rest = lines[&seq].as_object().unwrap().clone();
    rest.remove("span");
    let mut text = |key| {
        let value = rest.remove(key).unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    };
    Line {
        event: text("event"),
        at: text("at"),
        level: text("level"),
        trace_id: text("trace_id"),
        span_id: text("span_id"),
        rest,
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each record is a line and the other way round, field by field.
fn assert_events(received: &Received, lines: &BTreeMap<u64, Json>) {
    let mut logs = 0;
    let mut spans = 0;
    for log in &received.logs {
        let attributes = attributes(&log.attributes);
        let line = line(lines, &attributes);
        assert_eq!((&log.event_name, &attributes), (&line.event, &line.rest));
        assert_eq!(
            (hex(&log.trace_id), hex(&log.span_id)),
            (line.trace_id, line.span_id)
        );
        assert_eq!(log.severity_text.to_ascii_lowercase(), line.level);
        assert!(
            line.at.ends_with(&milliseconds(log.time_unix_nano)),
            "{log:?}"
        );
        logs += 1;
    }
    for span in &received.spans {
        let mut attributes = attributes(&span.attributes);
        let edge = attributes.remove("edge").unwrap();
        let line = line(lines, &attributes);
        assert_eq!(
            format!("{}.{}", span.name, edge.as_str().unwrap()),
            line.event
        );
        assert_eq!(attributes, line.rest);
        assert_eq!(
            (hex(&span.trace_id), hex(&span.span_id)),
            (line.trace_id, line.span_id)
        );
        assert!(
            line.at.ends_with(&milliseconds(span.end_time_unix_nano)),
            "{span:?}"
        );
        let took = span.end_time_unix_nano - span.start_time_unix_nano;
        let took = std::time::Duration::from_nanos(took).as_secs_f64();
        assert!(
            (took - line.rest["duration"].as_f64().unwrap()).abs() < 1e-6,
            "{span:?}"
        );
        spans += 1;
    }
    let name = |line: &Json| line["event"].as_str().unwrap().to_owned();
    let edges = [".start", ".stop", ".exception", ".cancel"];
    let is_edge = |line: &&Json| {
        line.get("span").is_some() && edges.iter().any(|edge| name(line).ends_with(edge))
    };
    let (of_spans, others): (Vec<&Json>, Vec<&Json>) = lines.values().partition(is_edge);
    let ends = of_spans
        .iter()
        .filter(|line| !name(line).ends_with(".start"))
        .count();
    assert!(
        logs > 50 && spans > 5,
        "something has happened: {logs}, {spans}"
    );
    assert_eq!((logs, spans), (others.len(), ends));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_tells_all_its_exporters_the_same() {
    let mut collector = Collector::start(|_, _| Answer::Taken).await;
    let (address, heard) = listen();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let (statsd, json) = (address.to_string(), file.to_str().unwrap());
    let mut example = Running::start(&[
        "--wait",
        "--jobs",
        JOBS,
        "--otlp",
        &collector.url,
        "--statsd",
        &statsd,
        "--json",
        json,
    ])
    .await;
    let before = example.scrape().await;
    example.begin().await;

    // Once it has done its work and all its children are up again, nothing changes any more.
    let began = std::time::Instant::now();
    loop {
        let report = tokio::time::timeout(PATIENCE, collector.next()).await;
        report.expect("the example reports each second");
        let now = example.scrape().await;
        let reported = collector
            .received()
            .metrics
            .last()
            .map_or_else(Numbers::new, |metrics| reported(metrics));
        let heard = heard.lock().unwrap().clone();
        let mut left = differences(&now, &before, &reported, |_| true);
        // `StatsD` is sent observations, not buckets.
        left.extend(differences(&now, &before, &heard, |family| {
            !family.ends_with("_bucket")
        }));
        let crashes = name(
            "regrow_child_terminations_total",
            [("kind", "actor"), ("type", "worker"), ("reason", "error")],
        );
        let has_worked = now.get(&crashes).is_some_and(|crashes| *crashes > 5.0);
        if has_worked && left.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{crashes:?} {:?}: {left:#?}",
            now.get(&crashes)
        );
    }

    example.end().await;
    let received = collector.received();
    assert_events(&received, &written(&file));
    for resource in &received.resources {
        let service = resource
            .attributes
            .iter()
            .find(|pair| pair.key == "service.name");
        assert_eq!(label(service.unwrap()).1, "scrape");
    }
}
