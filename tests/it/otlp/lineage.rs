//! Where a span and a record belong among traces.

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use regrow::Payload;
use regrow::otlp::{Signal, export};
use regrow::telemetry::Edge;
use regrow::trace::{TraceContext, in_context};

use super::collector::{Answer, Collector};
use super::{endpoint, subject, tree};

#[tokio::test]
async fn a_span_has_its_parent_or_its_link_and_a_record_its_span_and_what_nobody_wants_is_not_sent()
{
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let system = tree().await;
    let signals = [Signal::Traces, Signal::Logs];
    let export = export(&system, endpoint(&collector.url), signals).unwrap();
    let request = || Payload::HttpRequest {
        edge: Edge::Start,
        route: "/agents/{id}",
        method: "GET",
        status: None,
    };
    let spawn = || Payload::ProcessSpawn {
        edge: Edge::Start,
        pid: None,
        command: Vec::new(),
    };
    let telemetry = system.telemetry();
    let caller = TraceContext::parse(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        Some("vendor=1"),
    );
    let caller = caller.unwrap();
    let asked = telemetry.span_in(caller.clone(), subject(&system), request());
    let inside = asked.context();
    in_context(inside.clone(), || {
        telemetry.span(subject(&system), spawn()).stop();
        let leaked = || Payload::ProcessLeaked { pids: vec![8] };
        telemetry.emit(|| subject(&system), leaked);
    });
    asked.stop();
    let unwanted = caller.traceparent().replace("-01", "-00");
    let unwanted = TraceContext::parse(&unwanted, None).unwrap();
    drop(telemetry.span_in(unwanted, subject(&system), request()));
    drop(system.shut_down().await);
    export.shutdown().await.unwrap();

    let received = collector.received();
    let [spawned, answered] = &received.spans[..] else {
        panic!("{:?}", received.spans)
    };
    assert_eq!(answered.trace_id, caller.trace_id());
    assert_eq!(answered.parent_span_id, caller.span_id());
    assert_eq!(answered.span_id, inside.span_id());
    assert_eq!(answered.trace_state, "vendor=1");
    // Recorded, and the parent is known to be another program's.
    assert_eq!(answered.flags, 0x301);
    assert!(answered.links.is_empty());
    assert_ne!(spawned.trace_id, caller.trace_id());
    assert!(spawned.parent_span_id.is_empty());
    assert_eq!(spawned.flags, 0x101);
    let [link] = &spawned.links[..] else {
        panic!("{spawned:?}")
    };
    assert_eq!(link.trace_id, inside.trace_id());
    assert_eq!(link.span_id, inside.span_id());
    assert_eq!(link.trace_state, "vendor=1");
    let is_leak = |log: &&LogRecord| log.event_name == "regrow.process.leaked";
    let leaked = received.logs.iter().find(is_leak).unwrap();
    assert_eq!(leaked.trace_id, inside.trace_id());
    assert_eq!(leaked.span_id, inside.span_id());
    let untraced = received.logs.iter().filter(|log| !is_leak(log));
    assert!(untraced.clone().count() > 0);
    assert!(
        untraced
            .clone()
            .all(|log| log.trace_id.is_empty() && log.flags == 0)
    );
}
