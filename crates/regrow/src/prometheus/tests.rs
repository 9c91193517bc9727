//! How long a scrape keeps a thread of the runtime busy.
//!
//! Others may have the processor meanwhile, and on a machine at work they do. So the clock is the thread's own, which stands still
//! then; and whether a poll has waited, for a lock say, is told by how often its thread has let go of the processor.
//!
//! What others do meanwhile, a supervisor say, cannot be measured poll by poll from here. But on a runtime of one thread the time
//! between two turns of one task is longer than each turn of any other.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::{Address, ChildSpec, Supervisor};

const LIMIT: Duration = Duration::from_millis(1);
const SUPERVISORS: usize = 10;
const CHILDREN: usize = 10_000;
const SCRAPES: usize = 5;

/// The time that this thread has had a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a processor has no time before it began")
}

/// How often this thread has let go of the processor: it waited for something. Known on Linux only.
fn waits() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = |line: &str| {
        line.strip_prefix("voluntary_ctxt_switches:")?
            .trim()
            .parse()
            .ok()
    };
    status.lines().find_map(line).unwrap_or(0)
}

/// What the polls of one future took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Polls {
    longest: Duration,
    waits: u64,
    count: u32,
}

impl Polls {
    fn measure<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let (waited, began) = (waits(), processor_time());
        let result = run();
        self.longest = self.longest.max(processor_time() - began);
        self.waits += waits() - waited;
        self.count += 1;
        result
    }
}

/// A future that is measured.
struct Timed<F> {
    future: Pin<Box<F>>,
    polls: Polls,
}

impl<F: Future> Future for Timed<F> {
    type Output = Polls;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Polls> {
        let this = &mut *self;
        let future = this.future.as_mut();
        let polled = this.polls.measure(|| future.poll(context));
        polled.map(|_| this.polls)
    }
}

fn timed<F: Future>(future: F) -> Timed<F> {
    Timed {
        future: Box::pin(future),
        polls: Polls::default(),
    }
}

#[derive(Clone)]
struct Worker;

impl Actor for Worker {
    type Msg = u64;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<u64>,
        message: u64,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        *sum = sum.wrapping_add(message);
        Ok(())
    }
}

/// Ten thousand children of twenty types under ten supervisors.
async fn crowd() -> System {
    let crew = |crew: usize| {
        let worker = |n: usize| {
            ChildSpec::actor(format!("w{n}"), Worker, ()).of_type(format!("type-{}", n % 20))
        };
        (0..CHILDREN / SUPERVISORS).fold(Supervisor::new(format!("crew{crew}")), |supervisor, n| {
            supervisor.child(worker(n))
        })
    };
    let root = (0..SUPERVISORS).fold(Supervisor::new("root"), |root, n| root.child(crew(n)));
    System::start(root).await.unwrap()
}

/// Keeps them at work, a few messages at a time.
async fn work(workers: Vec<Address<u64>>) {
    for (n, workers) in (0..).zip(workers.chunks(8).cycle()) {
        for worker in workers {
            // None of them is ever down.
            worker.send(n).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

fn addresses(system: &System) -> Vec<Address<u64>> {
    let path = |n: usize| format!("root/crew{}/w{}", n % SUPERVISORS, n / SUPERVISORS);
    (0..CHILDREN)
        .map(|n| system.address(&path(n)).unwrap())
        .collect()
}

fn read(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: regrow\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The polls of several scrapes, and the last answer.
async fn scrape(exporter: &Arc<Exporter>) -> (Vec<Polls>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut scrapes, mut answer) = (Vec::new(), String::new());
    for _ in 0..SCRAPES {
        let client = tokio::task::spawn_blocking(move || read(address));
        let (stream, _) = listener.accept().await.unwrap();
        scrapes.push(timed(connection(stream, Arc::clone(exporter))).await);
        answer = client.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    (scrapes, answer)
}

#[tokio::test]
async fn no_poll_of_a_scrape_of_ten_thousand_children_at_work_lasts_a_millisecond() {
    let system = crowd().await;
    let load = tokio::spawn(work(addresses(&system)));
    let (scrapes, answer) = scrape(system.exporter()).await;
    assert!(!load.is_finished(), "they are at work");
    load.abort();
    let line = "regrow_children{kind=\"actor\",type=\"type-7\",status=\"running\"} 500\n";
    assert!(answer.contains(line), "{answer}");
    assert_short(&scrapes);
}

/// Sixty thousand series, with so much more in the value of their label.
fn fill(exporter: &Exporter, more: &str) {
    let metadata = ::metrics::Metadata::new("regrow", ::metrics::Level::INFO, None);
    for n in 0..60_000_u64 {
        let labels = vec![::metrics::Label::new("domain", format!("d{n:05}{more}"))];
        let key = ::metrics::Key::from_parts("regrow_telemetry_events_total", labels);
        let recorder: &dyn ::metrics::Recorder = &*exporter.instruments;
        recorder.register_counter(&key, &metadata).increment(n);
    }
}

#[tokio::test]
async fn no_poll_of_a_scrape_of_sixty_thousand_series_lasts_a_millisecond() {
    let exporter = Arc::new(Exporter::new(Arc::default(), Arc::default()));
    fill(&exporter, "");
    let (scrapes, answer) = scrape(&exporter).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    let lines: Vec<&str> = body
        .lines()
        .filter(|line| line.starts_with("regrow_telemetry_events_total{"))
        .collect();
    assert_eq!(lines.len(), 60_000);
    assert_eq!(
        lines[7],
        "regrow_telemetry_events_total{domain=\"d00007\"} 7"
    );
    assert_short(&scrapes);
}

/// Each is short, and at least one does not wait: that of another scrape may have, for somebody who took a lock for a moment.
#[track_caller]
fn assert_short(scrapes: &[Polls]) {
    let longest = scrapes.iter().map(|polls| polls.longest).max();
    let waits = scrapes.iter().map(|polls| polls.waits).min();
    assert!(longest < Some(LIMIT) && waits == Some(0), "{scrapes:#?}");
}

/// The longest time between two turns of a task: each turn of all others is shorter than that.
async fn between_turns<T>(other: impl Future<Output = T>) -> (T, Duration) {
    let mut other = pin!(other);
    let mut longest = Duration::ZERO;
    loop {
        let began = processor_time();
        let result = tokio::select! {
            biased;
            result = &mut other => Some(result),
            () = tokio::task::yield_now() => None,
        };
        longest = longest.max(processor_time() - began);
        if let Some(result) = result {
            return (result, longest);
        }
    }
}

#[tokio::test]
async fn nobody_has_a_turn_of_a_millisecond_while_ten_thousand_children_are_scraped_or_listed() {
    let root = (0..CHILDREN).fold(Supervisor::new("root"), |root, n| {
        root.child(ChildSpec::actor(format!("w{n}"), Worker, ()))
    });
    let system = System::start(root).await.unwrap();
    let endpoint = serve(&system, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = endpoint.address();
    let mut scrapes = Vec::new();
    let mut lists = Vec::new();
    for _ in 0..SCRAPES {
        let client = tokio::task::spawn_blocking(move || read(address));
        let (answer, longest) = between_turns(client).await;
        assert!(answer.unwrap().contains("regrow_children"));
        scrapes.push(longest);
        let (children, longest) = between_turns(system.which_children("root")).await;
        let children = children.unwrap();
        assert!(
            (0..CHILDREN).eq(children
                .iter()
                .map(|child| child.id[1..].parse::<usize>().unwrap()))
        );
        lists.push(longest);
    }
    assert_once_short(&scrapes);
    assert_once_short(&lists);
}

/// At least one of them is short: several tasks may have had their turns in between. A turn that is too long is so each time.
#[track_caller]
fn assert_once_short(measured: &[Duration]) {
    assert!(
        measured.iter().any(|longest| *longest < LIMIT),
        "{measured:#?}"
    );
}

/// The clock stands still unless nobody can do anything; what a connection has to read is there by then.
#[tokio::test(start_paused = true)]
async fn clients_that_never_ask_or_never_read_make_room_and_a_scrape_that_is_lost_is_told() {
    let system = System::start(Supervisor::new("root")).await.unwrap();
    // An answer that does not fit into the buffers of a connection.
    fill(system.exporter(), &"-".repeat(200));
    let mut events = system.telemetry().subscribe(16).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let address = serve(&system, address).await.unwrap();
    let connect = |request: &str| {
        let mut stream = TcpStream::connect(address.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let mut clients: Vec<TcpStream> = (1..MAX_CONNECTIONS).map(|_| connect("GET")).collect();
    clients.push(connect("GET /metrics HTTP/1.1\r\nHost: regrow\r\n\r\n"));
    let began = tokio::time::Instant::now();
    let told = tokio::time::timeout(2 * READS_WITHIN, events.next()).await;
    let told = told.expect("it is told").unwrap();
    assert_eq!(began.elapsed().as_secs(), READS_WITHIN.as_secs());
    assert!(
        matches!(&told.payload, Payload::TelemetryQueueDropped { handler, dropped: 1 } if **handler == *SINK),
        "{told:?}"
    );
    let address = address.address();
    let answer = tokio::task::spawn_blocking(move || read(address)).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 OK"));
}
