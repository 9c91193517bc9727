//! A collector gets what happened, field by field, decoded with the official protobufs; one that is down or hangs is in `losses.rs`.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

pub(crate) mod collector;
mod genai;
mod lineage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use regrow::otlp::{Endpoint, ExportError, Signal, export};
use regrow::telemetry::{Edge, FieldValue, MetricKind, Role, Subject, catalogue};
use regrow::testing::{Puppet, TestSystem};
use regrow::{Backoff, ChildKind, Event, Payload, Phase, Supervisor, System};

use collector::{Answer, Collector, Received};

const PERIOD: Duration = Duration::from_millis(20);

async fn tree() -> TestSystem {
    let worker = Puppet::spec("worker")
        .of_type("worker")
        .backoff(Backoff::none());
    TestSystem::start(Supervisor::new("root").child(worker)).await
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url, "crew").period(PERIOD)
}

/// Everything that is told from now on.
fn record(system: &System) -> Arc<Mutex<Vec<Event>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    let keep = move |event: &Event| kept.lock().unwrap().push(event.clone());
    system.telemetry().attach("record", keep).unwrap();
    events
}

fn subject(system: &System) -> Subject {
    let kind = ChildKind::Supervisor;
    Subject::new(system.path().clone(), kind, "supervisor", 1, Phase::Running)
}

/// Crashes a child, serves a request well, one badly and one not at all, and leaves one under way.
async fn live(system: &mut TestSystem) -> regrow::telemetry::Span {
    system.puppet("root/worker").crash("boom");
    drop(
        system
            .expect("regrow.supervisor.restart.stop", "root/worker")
            .await,
    );
    let request = |status| Payload::HttpRequest {
        edge: Edge::Start,
        route: "/agents/{id}",
        method: "GET",
        status,
    };
    let begin = |status| system.telemetry().span(subject(system), request(status));
    begin(Some(200)).stop();
    begin(Some(503)).stop();
    begin(None).exception("connection refused");
    drop(begin(None));
    let spawn = Payload::ProcessSpawn {
        edge: Edge::Start,
        pid: Some(7),
        command: vec!["agent".into(), "--key=hunter2".into()],
    };
    system.telemetry().span(subject(system), spawn).stop();
    system.telemetry().emit(
        || subject(system),
        || Payload::ProcessLeaked { pids: vec![8, 9] },
    );
    begin(None)
}

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn string(words: &str) -> Value {
    Value::StringValue(words.to_owned())
}

/// What an event's attributes have to be: made here from the event, not by the code under test.
fn wanted(event: &Event) -> BTreeMap<String, Option<AnyValue>> {
    let int = |n: u64| Value::IntValue(n.try_into().unwrap());
    let subject = &event.subject;
    let mut all = vec![
        ("seq", int(event.seq)),
        ("path", string(subject.path.as_str())),
        ("kind", string(subject.kind.as_str())),
        ("type_name", string(&subject.type_name)),
        ("generation", int(subject.generation.into())),
        ("phase", string(subject.phase.as_str())),
    ];
    for field in event.payload.fields() {
        let value = match field.value {
            None => continue,
            Some(_) if field.role == Role::Sensitive => continue,
            Some(FieldValue::Count(n)) => int(n),
            Some(FieldValue::Ratio(ratio)) => Value::DoubleValue(ratio),
            Some(FieldValue::Time(time)) => Value::DoubleValue(time.as_secs_f64()),
            Some(FieldValue::Text(words)) => string(&words),
            Some(FieldValue::List(list)) => Value::ArrayValue(ArrayValue {
                values: list
                    .iter()
                    .map(|words| AnyValue {
                        value: Some(string(words)),
                    })
                    .collect(),
            }),
        };
        all.push((field.key, value));
    }
    let keyed = |(key, value)| (format!("regrow.{key}"), any(value));
    all.into_iter().map(keyed).collect()
}

fn given(attributes: &[KeyValue]) -> BTreeMap<String, Option<AnyValue>> {
    let pairs = attributes
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.clone()));
    let map: BTreeMap<_, _> = pairs.collect();
    assert_eq!(map.len(), attributes.len(), "a key twice: {attributes:?}");
    map
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap();
    since.as_nanos().try_into().unwrap()
}

fn assert_log(event: &Event, log: &LogRecord) {
    assert_eq!(log.event_name, event.name());
    assert_eq!(log.time_unix_nano, nanos(event.at));
    assert_eq!(log.observed_time_unix_nano, nanos(event.at));
    assert_eq!(given(&log.attributes), wanted(event));
    let number = match log.severity_text.as_str() {
        "TRACE" => 1,
        "DEBUG" => 5,
        "INFO" => 9,
        "WARN" => 13,
        "ERROR" => 17,
        other => panic!("no such level: {other}"),
    };
    assert_eq!(log.severity_number, number);
    assert!(log.body.is_some(), "{log:?}");
}

fn assert_span(event: &Event, span: &Span) {
    let edge = event.payload.edge().unwrap();
    let (name, word) = event.name().rsplit_once('.').unwrap();
    let duration = edge.duration().unwrap();
    assert_eq!(span.name, name);
    assert_eq!(span.end_time_unix_nano, nanos(event.at));
    assert_eq!(span.start_time_unix_nano, nanos(event.at - duration));
    let mut attributes = wanted(event);
    attributes.insert("regrow.edge".to_owned(), any(string(word)));
    assert_eq!(given(&span.attributes), attributes);
    let is_request = name == "regrow.http.request";
    let kind = if is_request {
        SpanKind::Server
    } else {
        SpanKind::Internal
    };
    assert_eq!(span.kind, kind as i32);
    let status = span.status.as_ref().unwrap();
    let (code, message) = match (edge, &event.payload) {
        (Edge::Exception { reason, .. }, _) => (StatusCode::Error, &**reason),
        (
            _,
            Payload::HttpRequest {
                status: Some(503), ..
            },
        ) => (StatusCode::Error, ""),
        _ => (StatusCode::Unset, ""),
    };
    assert_eq!((status.code(), &*status.message), (code, message));
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    assert!(span.parent_span_id.is_empty(), "each span is its own trace");
}

#[tokio::test]
async fn a_collector_gets_every_span_and_every_log_record_field_by_field() {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let mut system = tree().await;
    let to = endpoint(&collector.url)
        .attribute("deployment.environment.name", "test")
        .header("authorization", "Basic abc");
    let export = export(&system, to, [Signal::Traces, Signal::Logs]).unwrap();
    let events = record(&system);
    let under_way = live(&mut system).await;
    drop(system.shut_down().await);
    export.shutdown().await.unwrap();
    assert!(system.telemetry().detach("record"));
    drop(under_way);

    let received = collector.received();
    let events = events.lock().unwrap();
    let of_spans = |event: &&Event| event.payload.edge().is_some();
    let (edges, others): (Vec<&Event>, Vec<&Event>) = events.iter().partition(of_spans);
    assert_eq!(received.logs.len(), others.len());
    for (event, log) in others.iter().zip(&received.logs) {
        assert_log(event, log);
    }

    let is_end = |event: &&&Event| event.payload.edge().unwrap().duration().is_some();
    let ends: Vec<&&Event> = edges.iter().filter(is_end).collect();
    assert_eq!(received.spans.len(), ends.len() + 1);
    for (event, span) in ends.iter().zip(&received.spans) {
        assert_span(event, span);
    }
    let last = received.spans.last().unwrap();
    let edge = given(&last.attributes)["regrow.edge"].clone();
    assert_eq!(
        (&*last.name, edge),
        ("regrow.http.request", any(string("cancel")))
    );
    let began = edges.iter().rev().find(|event| !is_end(event)).unwrap();
    assert_eq!(last.start_time_unix_nano, nanos(began.at));
    assert!(last.end_time_unix_nano >= last.start_time_unix_nano);

    let mut ids: Vec<_> = received.spans.iter().map(|span| &span.span_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), received.spans.len(), "each has an id of its own");
    assert_envelopes(&received);
}

/// What goes with the records: who sends them, and nothing that must not leave the process.
fn assert_envelopes(received: &Received) {
    assert!(!received.resources.is_empty());
    for resource in &received.resources {
        let attributes = given(&resource.attributes);
        assert_eq!(attributes["service.name"], any(string("crew")));
        assert_eq!(
            attributes["deployment.environment.name"],
            any(string("test"))
        );
        let pid = i64::from(std::process::id());
        assert_eq!(attributes["process.pid"], any(Value::IntValue(pid)));
    }
    assert!(received.scopes.iter().all(|scope| scope.name == "regrow"));
    for head in &received.heads {
        assert!(
            head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        assert!(head.contains("authorization: basic abc"), "{head}");
    }
    let secret = b"hunter2";
    let is_told = |body: &Vec<u8>| body.windows(secret.len()).any(|part| part == secret);
    assert!(!received.bodies.iter().any(is_told));
}

/// The value of a counter or a gauge at these labels.
fn value(metrics: &[Metric], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let metric = metrics.iter().find(|metric| metric.name == name)?;
    let points = match metric.data.as_ref()? {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_) => return None,
    };
    let wanted: BTreeMap<String, Option<AnyValue>> = labels
        .iter()
        .map(|(label, value)| ((*label).to_owned(), any(string(value))))
        .collect();
    let point = points
        .iter()
        .find(|point| given(&point.attributes) == wanted)?;
    match point.value? {
        number_data_point::Value::AsDouble(value) => Some(value),
        number_data_point::Value::AsInt(value) => i32::try_from(value).ok().map(f64::from),
    }
}

#[tokio::test]
async fn a_collector_gets_the_metrics_of_the_catalogue_cumulative_and_the_last_word_at_the_end() {
    let mut collector = Collector::start(|_, _| Answer::Taken).await;
    let mut system = tree().await;
    let export = export(&system, endpoint(&collector.url), [Signal::Metrics]).unwrap();
    drop(live(&mut system).await);
    collector.next().await;
    export.shutdown().await.unwrap();

    let received = collector.received();
    let metrics = received.metrics.last().unwrap();
    let of_worker = [("kind", "actor"), ("type", "worker")];
    let terminations = [of_worker[0], of_worker[1], ("reason", "panic")];
    let running = [of_worker[0], of_worker[1], ("status", "running")];
    let failed = [of_worker[0], of_worker[1], ("status", "failed")];
    let found = [
        value(metrics, "regrow_child_terminations_total", &terminations),
        value(metrics, "regrow_child_starts_total", &of_worker),
        value(metrics, "regrow_children", &running),
        value(metrics, "regrow_children", &failed),
        value(
            metrics,
            "regrow_messages_handled_total",
            &[("type", "worker"), ("outcome", "panic")],
        ),
    ];
    assert_eq!(found, [1.0, 1.0, 1.0, 0.0, 1.0].map(Some));
    for metric in metrics {
        assert_metric(metric);
    }
    let mut names: Vec<&str> = metrics.iter().map(|metric| &*metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), metrics.len(), "a family stands there once");
}

#[tokio::test]
async fn a_collector_gets_the_times_of_messages_as_prometheus_does() {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let system = TestSystem::start(Supervisor::new("root").child(crate::echo::spec())).await;
    let export = export(&system, endpoint(&collector.url), [Signal::Metrics]).unwrap();
    crate::echo::talk(&system).await;
    export.shutdown().await.unwrap();
    let received = collector.received();
    let metrics = received.metrics.last().unwrap();
    for name in [
        "regrow_message_wait_seconds",
        "regrow_message_handle_seconds",
    ] {
        let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
        assert_metric(metric);
        let Some(Data::Histogram(histogram)) = &metric.data else {
            panic!("{metric:?}")
        };
        let [point] = &histogram.data_points[..] else {
            panic!("one type: {metric:?}")
        };
        let labels = BTreeMap::from([("type".to_owned(), any(string("talker")))]);
        assert_eq!((given(&point.attributes), point.count), (labels, 1));
        let line = format!("{name}_count{{type=\"talker\"}} 1");
        assert!(system.exporter().render().contains(&line));
    }
    drop(system.shut_down().await);
}

/// A family is what the catalogue says, and is whole.
fn assert_metric(metric: &Metric) {
    let schema = catalogue()
        .into_iter()
        .find(|schema| schema.name == metric.name)
        .unwrap_or_else(|| panic!("not in the catalogue: {}", metric.name));
    assert_eq!(metric.description, schema.help);
    let cumulative = AggregationTemporality::Cumulative as i32;
    let labels: Vec<&Vec<KeyValue>> = match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            assert_eq!(schema.kind, MetricKind::Counter);
            assert_eq!(
                (sum.aggregation_temporality, sum.is_monotonic),
                (cumulative, true)
            );
            sum.data_points
                .iter()
                .map(|point| &point.attributes)
                .collect()
        }
        Data::Gauge(gauge) => {
            assert_eq!(schema.kind, MetricKind::Gauge);
            gauge
                .data_points
                .iter()
                .map(|point| &point.attributes)
                .collect()
        }
        Data::Histogram(histogram) => {
            assert_eq!(schema.kind, MetricKind::Histogram);
            assert_eq!(
                (metric.unit.as_str(), histogram.aggregation_temporality),
                ("s", cumulative)
            );
            for point in &histogram.data_points {
                assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                assert!(point.explicit_bounds.is_sorted());
                assert!(
                    point.start_time_unix_nano > 0
                        && point.time_unix_nano >= point.start_time_unix_nano
                );
                assert!(
                    point.sum >= point.max && point.max >= point.min,
                    "{point:?}"
                );
            }
            histogram
                .data_points
                .iter()
                .map(|point| &point.attributes)
                .collect()
        }
        other @ (Data::ExponentialHistogram(_) | Data::Summary(_)) => {
            panic!("never sent: {other:?}")
        }
    };
    for attributes in labels {
        let names: Vec<&str> = attributes.iter().map(|pair| &*pair.key).collect();
        assert_eq!(names, schema.labels, "{}", metric.name);
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_loses_nothing() {
    let busy = |n, _: &str| match n {
        0 => Answer::Refused("503 Service Unavailable"),
        _ => Answer::Taken,
    };
    let mut collector = Collector::start(busy).await;
    let mut system = tree().await;
    let export = export(&system, endpoint(&collector.url), [Signal::Logs]).unwrap();
    let events = record(&system);
    drop(live(&mut system).await);
    collector.next().await;
    drop(system.shut_down().await);
    export.shutdown().await.unwrap();
    let others = |event: &&Event| event.payload.edge().is_none();
    let told = events.lock().unwrap().iter().filter(others).count();
    assert_eq!(collector.received().logs.len(), told);
}

#[tokio::test]
async fn what_a_collector_refuses_is_dropped_counted_and_told() {
    let picky = |_, path: &str| match path {
        "/v1/traces" => Answer::Refused("400 Bad Request"),
        _ => Answer::TakenBut(1),
    };
    let collector = Collector::start(picky).await;
    let mut system = tree().await;
    let signals = [Signal::Traces, Signal::Logs];
    let export = export(&system, endpoint(&collector.url), signals).unwrap();
    drop(live(&mut system).await);
    let mut told = 0;
    // Six spans, and one record of each batch of logs; the news are records too.
    while told < 7 {
        let event = system
            .expect("regrow.telemetry.queue.dropped", "root")
            .await;
        if let Payload::TelemetryQueueDropped { dropped, .. } = event.payload {
            told += dropped;
        }
    }
    assert!(export.dropped() >= told);
    assert!(export.shutdown().await.is_err());
}

#[tokio::test]
async fn an_export_that_is_dropped_is_detached_and_makes_room_for_another() {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let system = tree().await;
    let handlers = system.telemetry().handlers();
    let first = export(&system, endpoint(&collector.url), Signal::ALL).unwrap();
    let second = export(&system, endpoint(&collector.url), Signal::ALL);
    assert!(matches!(second, Err(ExportError::Attach(_))), "{second:?}");
    assert_eq!(system.telemetry().handlers().len(), handlers.len() + 2);
    drop(first);
    assert_eq!(system.telemetry().handlers(), handlers);
    drop(export(&system, endpoint(&collector.url), Signal::ALL).unwrap());
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_one_is_refused_and_no_secret_is_printed() {
    let system = tree().await;
    for url in ["https://127.0.0.1:4318", "127.0.0.1:4318", "", "http://"] {
        let error = export(&system, Endpoint::new(url, "crew"), Signal::ALL).unwrap_err();
        assert_eq!(error, ExportError::Url { url: url.into() });
    }
    let to = Endpoint::new("http://127.0.0.1:4318", "crew").header("authorization", "hunter2\n");
    assert!(!format!("{to:?}").contains("hunter2"));
    let error = export(&system, to, Signal::ALL).unwrap_err();
    assert!(matches!(error, ExportError::Header { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"));
}
