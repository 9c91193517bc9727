use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use regrow_core::{ChildKind, Phase};

use super::*;
use crate::path::ChildPath;

fn subject() -> Subject {
    Subject {
        path: ChildPath::root("root"),
        kind: ChildKind::Actor,
        type_name: "t".into(),
        generation: 1,
        phase: Phase::Running,
    }
}

fn emit(telemetry: &Telemetry) {
    telemetry.emit(subject, || Payload::SupervisorChildAdded);
}

#[test]
fn an_event_without_handlers_is_not_even_made() {
    Telemetry::new().emit(|| panic!("no subject"), || panic!("no payload"));
}

#[test]
fn a_handler_is_attached_once_under_its_name_and_gone_when_detached() {
    let telemetry = Telemetry::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let count = move |_: &Event| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    telemetry.attach("count", count).unwrap();
    let twice = telemetry.attach("count", |_| {});
    assert_eq!(
        twice,
        Err(AttachError::AlreadyAttached { id: "count".into() })
    );
    emit(&telemetry);
    assert!(telemetry.detach("count"));
    assert!(!telemetry.detach("count"));
    emit(&telemetry);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[test]
fn a_handler_that_panics_is_detached_and_the_others_are_told() {
    crate::panics::install_hook();
    let telemetry = Telemetry::new();
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    telemetry.attach("bad", |_| panic!("boom")).unwrap();
    telemetry
        .attach("good", move |event| {
            seen.lock().unwrap().push((event.seq, event.name()))
        })
        .unwrap();
    emit(&telemetry);
    emit(&telemetry);
    let expected = [
        (1, "regrow.supervisor.child.added"),
        (2, "regrow.telemetry.handler.failure"),
        (3, "regrow.supervisor.child.added"),
    ];
    assert_eq!(*names.lock().unwrap(), expected);
    assert_eq!(telemetry.handlers().len(), 1);
}

#[test]
fn an_event_emitted_inside_a_handler_does_not_call_it_again() {
    let telemetry = Telemetry::new();
    let again = telemetry.clone();
    telemetry.attach("echo", move |_| emit(&again)).unwrap();
    emit(&telemetry);
    assert_eq!(telemetry.shared.dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_full_subscription_counts_what_it_misses_and_ends_with_its_stream() {
    let telemetry = Telemetry::new();
    let mut events = telemetry.subscribe(2).unwrap();
    for _ in 0..5 {
        emit(&telemetry);
    }
    assert_eq!(events.missed(), 3);
    assert_eq!(events.next().await.unwrap().seq, 1);
    assert_eq!(events.try_next().unwrap().seq, 2);
    assert!(events.try_next().is_none());
    drop(events);
    assert!(telemetry.handlers().is_empty());
}

#[test]
fn no_more_than_the_limit_of_handlers_can_be_attached() {
    let telemetry = Telemetry::new();
    for n in 0..MAX_HANDLERS {
        telemetry.attach(&n.to_string(), |_| {}).unwrap();
    }
    assert_eq!(
        telemetry.attach("x", |_| {}),
        Err(AttachError::TooMany { id: "x".into() })
    );
}

#[cfg(feature = "prometheus")]
#[test]
fn a_family_folds_label_sets_beyond_its_limit_into_other() {
    let exporter = crate::prometheus::Exporter::new(Arc::new(Census::default()));
    let telemetry = Telemetry::new();
    let handler = exporter.handler();
    telemetry
        .attach("metrics", move |event| handler.handle(event))
        .unwrap();
    for n in 0..300 {
        let subject = || Subject {
            type_name: format!("t{n}").into(),
            ..subject()
        };
        telemetry.emit(subject, || Payload::ChildStarted {
            took: std::time::Duration::ZERO,
            attempt: 0,
        });
    }
    let text = exporter.render();
    let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines("regrow_child_starts_total{"), 201, "200 and other");
    assert!(
        text.contains("regrow_child_starts_total{kind=\"other\",type=\"other\"} 100"),
        "{text}"
    );
    assert!(
        text.contains(
            "regrow_telemetry_label_overflows_total{metric=\"regrow_child_starts_total\"} 100"
        ),
        "{text}"
    );
}
