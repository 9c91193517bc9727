//! What it costs to be told of things.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use regrow::telemetry::Subject;
use regrow::{Backoff, ChildSpec, Event, Payload, Restart, Supervisor, System};
use regrow_bench_harness::{Figures, Task, each};

use crate::worker::{Order, Worker};

const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);

fn name(place: usize) -> Key {
    Key::from_parts("bench_total", vec![Label::new("n", place.to_string())])
}

/// A counter of which one holds the handle: the floor for anything that counts.
pub async fn counter(task: Task) -> Figures {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counter = recorder.register_counter(&name(0), &METADATA);
    let since = Instant::now();
    for _ in 0..task.ops {
        std::hint::black_box(&counter).increment(1);
    }
    vec![("mean", each(since, task.ops))]
}

/// A child as its own events name it.
async fn subject(system: &System, path: &str) -> Subject {
    let mut events = system.telemetry().subscribe(64).expect("there is room");
    system.bounce_child(path).await.expect("it comes back");
    let event = events.next().await.expect("it was told");
    event.subject.clone()
}

async fn emit(task: Task, keep: &[&str]) -> Figures {
    let root = Supervisor::new("root").child(ChildSpec::actor("w0", Worker, None));
    let system = System::start(root).await.expect("it starts");
    let telemetry = system.telemetry().clone();
    let subject = subject(&system, "root/w0").await;
    for handler in telemetry.handlers() {
        if !keep.contains(&&*handler) {
            assert!(telemetry.detach(&handler), "it was attached");
        }
    }
    let since = Instant::now();
    for _ in 0..task.ops {
        telemetry.emit(|| subject.clone(), || Payload::SupervisorChildAdded {});
    }
    let took = each(since, task.ops);
    drop(system.shut_down().await);
    vec![("mean", took)]
}

/// An event that nobody hears.
pub async fn event_unheard(task: Task) -> Figures {
    emit(task, &[]).await
}

/// An event with the log handler alone, and nobody who reads the log.
pub async fn event_logged(task: Task) -> Figures {
    emit(task, &["log"]).await
}

/// An event with the log handler and the metrics: what a system has by default.
pub async fn event(task: Task) -> Figures {
    emit(task, &["log", "metrics"]).await
}

/// What is told of one restart.
async fn restart(system: &System) -> Vec<Arc<Event>> {
    let mut events = system.telemetry().subscribe(64).expect("there is room");
    let address = system.address("root/w0").expect("it is there");
    address.send(Order::Fail).expect("it runs");
    let mut told = Vec::new();
    loop {
        let event = events.next().await.expect("it goes on");
        let is_last = event.name() == "regrow.supervisor.restart.stop";
        told.push(event);
        if is_last {
            return told;
        }
    }
}

/// What it costs to count an event of a restart: told with and without the metrics, in turn.
pub async fn counting(task: Task) -> Figures {
    let child = ChildSpec::actor("w0", Worker, None).backoff(Backoff::none());
    let root = Supervisor::new("root").child(child);
    let counted = System::start(root.clone()).await.expect("it starts");
    let uncounted = System::start(root).await.expect("it starts");
    let events = [restart(&counted).await, restart(&uncounted).await];
    assert!(uncounted.telemetry().detach("metrics"), "it was attached");
    let streams = [counted.telemetry(), uncounted.telemetry()];
    // The quickest burst of each: whatever else the machine does only adds to the others.
    let mut took = [Duration::MAX; 2];
    let bursts = task.ops.div_ceil(1_000);
    for _ in 0..bursts {
        for ((telemetry, events), took) in streams.iter().zip(&events).zip(&mut took) {
            let since = Instant::now();
            for event in events.iter().cycle().take(1_000) {
                telemetry.emit(|| event.subject.clone(), || event.payload.clone());
            }
            *took = since.elapsed().min(*took);
        }
    }
    let [with, without] = took.map(|took| took.as_nanos() as f64 / 1_000.0);
    drop(counted.shut_down().await);
    drop(uncounted.shut_down().await);
    vec![("mean", with - without)]
}

fn lines(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// `n` counters of the usual exporter, and nothing else, for each line.
pub async fn scrape_floor(task: Task) -> Figures {
    let recorder = PrometheusBuilder::new().build_recorder();
    for place in 0..task.n {
        let counter = recorder.register_counter(&name(place), &METADATA);
        counter.increment(1);
    }
    let handle = recorder.handle();
    let since = Instant::now();
    let mut series = 0;
    for _ in 0..task.ops {
        series = lines(&handle.render());
    }
    vec![("line", each(since, task.ops * series))]
}

/// A system with `n` types of children that have lived and died, for each line; and all of it.
pub async fn scrape(task: Task) -> Figures {
    let child = |place: usize| {
        ChildSpec::actor(format!("w{place}"), Worker, None)
            .of_type(format!("type{place}"))
            .restart(Restart::Temporary)
    };
    let root = (0..task.n).fold(Supervisor::new("root"), |root, n| root.child(child(n)));
    let system = System::start(root).await.expect("it starts");
    for place in 0..task.n / 2 {
        let path = format!("root/w{place}");
        system.bounce_child(&path).await.expect("it comes back");
    }
    let since = Instant::now();
    let mut series = 0;
    for _ in 0..task.ops {
        series = lines(&system.exporter().render());
    }
    let took = since.elapsed();
    drop(system.shut_down().await);
    let one = took / u32::try_from(task.ops).expect("a few");
    let of_11_000 = one.mul_f64(11_000.0 / series as f64);
    vec![
        ("line", one.as_nanos() as f64 / series as f64),
        ("series", series as f64),
        (
            "11000",
            of_11_000.div_duration_f64(Duration::from_millis(1)),
        ),
    ]
}
