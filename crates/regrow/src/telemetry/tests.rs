use std::sync::Mutex;

use regrow_core::{ChildKind, Phase};

use super::*;
#[cfg(feature = "prometheus")]
use crate::path::ChildPath;
use crate::watchdog::WaitsFor;

fn subject() -> Subject {
    Subject::new("root", ChildKind::Actor, "t", 1, Phase::Running)
}

fn emit(telemetry: &Telemetry) {
    telemetry.emit(subject, || Payload::SupervisorChildAdded {});
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
            seen.lock().unwrap().push((event.seq, event.name()));
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
    let told = drops(&telemetry);
    telemetry
        .attach("echo", move |event| {
            if event.seq == 1 {
                emit(&again);
                emit(&again);
            }
        })
        .unwrap();
    emit(&telemetry);
    emit(&telemetry);
    assert_eq!(*told.lock().unwrap(), [("inline".to_owned(), 2)]);
}

/// What is told of drops: whose, and how many.
fn drops(telemetry: &Telemetry) -> Arc<Mutex<Vec<(String, u64)>>> {
    let drops = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&drops);
    let note = move |event: &Event| {
        if let Payload::TelemetryQueueDropped { handler, dropped } = &event.payload {
            seen.lock().unwrap().push((handler.to_string(), *dropped));
        }
    };
    telemetry.attach("drops", note).unwrap();
    drops
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
    let exporter = crate::prometheus::Exporter::new(
        Arc::new(Census::default()),
        Arc::new(Workforce::default()),
    );
    let telemetry = Telemetry::new();
    let handler = exporter.handler();
    telemetry
        .attach("metrics", move |event| handler.handle(event))
        .unwrap();
    for n in 0..300 {
        let type_name = format!("t{n}");
        let subject = || Subject::new("root", ChildKind::Actor, type_name, 1, Phase::Running);
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

#[cfg(feature = "prometheus")]
#[test]
fn children_of_one_class_are_counted_by_every_handler_from_when_it_comes() {
    let census = Arc::new(Census::default());
    let counts = census.supervisor(ChildPath::from("root"), None);
    let class = counts.class(ChildKind::Actor, &"t".into());
    let identity = Arc::new(Identity {
        path: "root/a".into(),
        kind: ChildKind::Actor,
        type_name: "t".into(),
        class: Some(class),
        waits_for: WaitsFor::default(),
    });
    let started = |telemetry: &Telemetry| {
        let subject = || Subject {
            identity: Arc::clone(&identity),
            generation: 1,
            phase: Phase::Running,
        };
        let took = std::time::Duration::ZERO;
        telemetry.emit(subject, || Payload::ChildStarted { took, attempt: 0 });
    };
    let telemetry = Telemetry::new();
    let exporter = |name: &str| {
        let exporter = crate::prometheus::Exporter::new(Arc::clone(&census), Arc::default());
        let handler = exporter.handler();
        let handle = move |event: &Event| handler.handle(event);
        telemetry.attach(name, handle).unwrap();
        exporter
    };
    let first = exporter("first");
    started(&telemetry);
    let second = exporter("second");
    started(&telemetry);
    assert!(telemetry.detach("first"));
    let third = exporter("third");
    started(&telemetry);
    let starts = |exporter: &crate::prometheus::Exporter| {
        let text = exporter.render();
        let line = "regrow_child_starts_total{kind=\"actor\",type=\"t\"} ";
        text.lines()
            .find_map(|other| other.strip_prefix(line).map(str::to_owned))
    };
    let seen = [&first, &second, &third].map(starts);
    assert_eq!(seen, ["2", "2", "1"].map(|count| Some(count.to_owned())));
}

#[cfg(feature = "prometheus")]
#[test]
fn every_recorder_gets_the_times_of_all_types_until_it_is_taken_off() {
    let workforce = Arc::new(Workforce::default());
    let hire = |type_name: &str| {
        let subject = Subject::new("root/a", ChildKind::Actor, type_name, 1, Phase::Running);
        workforce.hire(&subject.identity, 1)
    };
    let timed = |vitals: &Vitals| {
        for _ in 0..64 {
            let began = vitals.begin();
            vitals.end(began, Handled::Ok);
        }
    };
    let one = Arc::<instruments::Instruments>::default();
    let two = Arc::<instruments::Instruments>::default();
    let early = hire("early");
    let equipment = workforce.equip(one.clone());
    let _stays = workforce.equip(two.clone());
    let late = hire("late");
    timed(&early);
    timed(&late);
    drop(equipment);
    timed(&early);
    // Sorted by type, "early" comes before "late".
    let count = |recorder: &instruments::Instruments| {
        let times = &recorder.histograms()["regrow_message_handle_seconds"];
        let counts = times.iter().map(|(_, times)| times.counts.iter().sum());
        counts.collect::<Vec<u64>>()
    };
    assert_eq!((count(&one), count(&two)), (vec![1, 1], vec![2, 1]));
}

fn names(telemetry: &Telemetry) -> Arc<Mutex<Vec<String>>> {
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let write = move |event: &Event| {
        let line = format!(
            "{:?} {} {:?}",
            event.span,
            event.name(),
            event.payload.edge()
        );
        seen.lock().unwrap().push(line);
    };
    telemetry.attach("names", write).unwrap();
    names
}

fn request() -> Payload {
    Payload::HttpRequest {
        edge: Edge::Start,
        route: "/x",
        method: "GET",
        status: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_has_one_beginning_and_one_end_with_the_same_number() {
    crate::panics::install_hook();
    let telemetry = Telemetry::new();
    let seen = names(&telemetry);
    let mut span = telemetry.span(subject(), request());
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    if let Payload::HttpRequest { status, .. } = span.payload() {
        *status = Some(200);
    }
    span.stop();
    telemetry.span(subject(), request()).exception("no route");
    drop(telemetry.span(subject(), request()));
    let unwound = crate::panics::catch(|| {
        let _span = telemetry.span(subject(), request());
        panic!("boom")
    });
    assert!(unwound.is_err());
    let lines = seen.lock().unwrap();
    let (ends, starts): (Vec<&String>, Vec<&String>) =
        lines.iter().partition(|line| line.contains("duration"));
    let number = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let numbers = |lines: &[&String]| lines.iter().map(|line| number(line)).collect::<Vec<_>>();
    assert_eq!(numbers(&starts), numbers(&ends), "{lines:#?}");
    let text = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let ends: Vec<String> = ends.iter().map(|line| text(line)).collect();
    assert_eq!(
        ends,
        [
            "regrow.http.request.stop Some(Stop { duration: 2s })",
            "regrow.http.request.exception Some(Exception { duration: 0ns, reason: \"no route\" })",
            "regrow.http.request.cancel Some(Cancel { duration: 0ns })",
            "regrow.http.request.exception Some(Exception { duration: 0ns, reason: \"panic\" })",
        ]
    );
}

#[tokio::test]
async fn what_is_sensitive_stays_with_inline_handlers() {
    let telemetry = Telemetry::new();
    let inline = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&inline);
    telemetry
        .attach("inline", move |event| {
            seen.lock().unwrap().push(format!("{:?}", event.payload));
        })
        .unwrap();
    let mut queued = telemetry.subscribe(4).unwrap();
    let command: Vec<Arc<str>> = vec!["login".into(), "--password=secret".into()];
    telemetry.emit(subject, || Payload::ProcessSpawn {
        edge: Edge::Start,
        pid: None,
        command,
    });
    assert!(inline.lock().unwrap()[0].contains("secret"));
    let event = queued.next().await.unwrap();
    assert!(!format!("{event:?}").contains("secret"), "{event:?}");
    assert!(!format!("{event:?}").contains("login"), "{event:?}");
}

#[tokio::test]
async fn a_queued_handler_gets_all_in_order_and_one_that_panics_is_detached() {
    crate::panics::install_hook();
    let telemetry = Telemetry::new();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let mut handled = 0;
    let handler = move |event: Arc<Event>| {
        handled += 1;
        let (sender, fails) = (sender.clone(), handled == 3);
        async move {
            assert!(!fails, "the third is one too many");
            sender.send(event.seq).unwrap();
        }
    };
    telemetry.attach_queued("slow", handler).unwrap();
    let mut others = telemetry.subscribe(16).unwrap();
    for _ in 0..3 {
        emit(&telemetry);
    }
    assert_eq!(
        (seen.recv().await, seen.recv().await, seen.recv().await),
        (Some(1), Some(2), None)
    );
    let mut told = Vec::new();
    while told.last() != Some(&"regrow.telemetry.handler.failure") {
        told.push(others.next().await.unwrap().name());
    }
    assert!(!telemetry.handlers().iter().any(|id| **id == *"slow"));
}

#[tokio::test]
async fn drops_are_told_to_the_others_at_the_first_and_when_there_is_room_again() {
    let telemetry = Telemetry::new();
    let mut small = telemetry.subscribe(1).unwrap();
    let mut large = telemetry.subscribe(100).unwrap();
    for _ in 0..5 {
        emit(&telemetry);
    }
    drop(small.next().await);
    emit(&telemetry);
    let mut drops = Vec::new();
    while let Some(event) = large.try_next() {
        if let Payload::TelemetryQueueDropped { dropped, .. } = event.payload {
            drops.push(dropped);
        }
    }
    assert_eq!(drops[0], 1, "told at once");
    assert_eq!(drops.iter().sum::<u64>(), small.missed(), "{drops:?}");
}

#[tokio::test]
async fn each_of_two_slow_queues_gets_its_news_and_none_is_lost() {
    let telemetry = Telemetry::new();
    let told = drops(&telemetry);
    let mut one = telemetry.subscribe(4).unwrap();
    // What overflows this one first is the news of the other.
    let mut two = telemetry.subscribe(5).unwrap();
    for _ in 0..2_500 {
        emit(&telemetry);
    }
    // There is room again: what has not been told is told now.
    while one.try_next().is_some() || two.try_next().is_some() {}
    emit(&telemetry);
    let told = told.lock().unwrap();
    for queue in [&one, &two] {
        let of_queue = told.iter().filter(|(id, _)| **id == *queue.id);
        let sum: u64 = of_queue.map(|(_, dropped)| dropped).sum();
        assert!(queue.missed() > 2_000, "it is slow");
        assert_eq!(sum, queue.missed(), "{told:?}");
    }
}

#[tokio::test]
async fn what_a_queued_handler_leaves_behind_when_it_panics_is_told() {
    crate::panics::install_hook();
    let telemetry = Telemetry::new();
    let told = drops(&telemetry);
    let mut others = telemetry.subscribe(8_192).unwrap();
    telemetry
        .attach_queued("slow", |_| async { panic!("boom") })
        .unwrap();
    for _ in 0..2_000 {
        emit(&telemetry);
    }
    // The failure is told, and in the same turn what else there is to tell.
    let name = "regrow.telemetry.handler.failure";
    while others.next().await.unwrap().name() != name {}
    // All but the one on which it panicked, and the news of its own drops, for which there was no room.
    let sum: u64 = told.lock().unwrap().iter().map(|(_, n)| n).sum();
    assert_eq!(sum, 2_000 - 1);
}

#[test]
fn the_table_of_events_is_what_it_was() {
    let mut text = String::new();
    for EventSchema { name, keys, .. } in Payload::SCHEMA {
        let keys: Vec<String> = keys
            .iter()
            .map(|(key, role)| format!("{key}:{}", role.as_str()))
            .collect();
        text.push_str(&format!("{name} {}\n", keys.join(" ")));
    }
    insta::assert_snapshot!("events", text);
}

#[test]
fn names_are_unique_and_the_fields_are_those_of_the_table() {
    let mut names: Vec<&str> = Payload::SCHEMA.iter().map(|schema| schema.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Payload::SCHEMA.len());
    let duration = std::time::Duration::from_secs(1);
    let edges = [
        Edge::Start,
        Edge::Stop { duration },
        Edge::Exception {
            duration,
            reason: "r".into(),
        },
        Edge::Cancel { duration },
    ];
    for edge in edges {
        let payload = Payload::HttpRequest {
            edge,
            route: "/x",
            method: "GET",
            status: Some(200),
        };
        let schema = Payload::SCHEMA
            .iter()
            .find(|schema| schema.name == payload.name())
            .unwrap();
        let told: Vec<(&str, Role)> = payload
            .fields()
            .iter()
            .map(|field| (field.key, field.role))
            .collect();
        assert_eq!(told, schema.keys);
        assert_eq!(payload.domain(), "http");
    }
}

#[cfg(feature = "prometheus")]
#[test]
fn the_process_wide_handler_counts_in_the_recorder_that_the_process_has() {
    let recorder = instruments::Instruments::default();
    ::metrics::with_local_recorder(&recorder, || {
        let handler = MetricsHandler::process_wide();
        let telemetry = Telemetry::new();
        telemetry
            .attach("metrics", move |event| handler.handle(event))
            .unwrap();
        let started = || Payload::ChildStarted {
            took: std::time::Duration::ZERO,
            attempt: 0,
        };
        telemetry.emit(subject, started);
    });
    let (key, started) = &recorder.counters()["regrow_child_starts_total"][0];
    let labels: Vec<&str> = key.labels().map(::metrics::Label::value).collect();
    assert_eq!((labels, *started), (vec!["actor", "t"], 1));
}
