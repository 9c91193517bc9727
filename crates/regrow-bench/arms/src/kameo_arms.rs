//! kameo, as it comes: mailboxes of 64 unless the cell says otherwise.

use std::time::{Duration, Instant};

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::{Context, Message};
use kameo::supervision::SupervisionStrategy;
use regrow_bench_harness::{Figures, Latencies, Task, each, millis, silence_panics};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::meter::Meter;
use crate::named;

const RESTARTS: u32 = u32::MAX;
const WINDOW: Duration = Duration::from_secs(3_600);

type Up = Option<UnboundedSender<()>>;

#[derive(Clone)]
struct Worker;

impl Actor for Worker {
    type Args = Up;
    type Error = Infallible;

    async fn on_start(up: Up, _: ActorRef<Self>) -> Result<Self, Infallible> {
        if let Some(up) = up {
            // Nobody waits at the end of a run.
            up.send(()).ok();
        }
        Ok(Self)
    }
}

struct Nothing;
struct Ping;
struct Fail;
struct Panic;

impl Message<Nothing> for Worker {
    type Reply = ();
    async fn handle(&mut self, _: Nothing, _: &mut Context<Self, ()>) {}
}

impl Message<Ping> for Worker {
    type Reply = ();
    async fn handle(&mut self, _: Ping, _: &mut Context<Self, ()>) {}
}

impl Message<Fail> for Worker {
    type Reply = Result<(), &'static str>;
    async fn handle(&mut self, _: Fail, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        Err("as asked")
    }
}

impl Message<Panic> for Worker {
    type Reply = ();
    async fn handle(&mut self, _: Panic, _: &mut Context<Self, ()>) {
        panic!("as asked")
    }
}

async fn casts(worker: ActorRef<Worker>, task: Task) -> Figures {
    worker.ask(Ping).await.expect("it runs");
    let since = Instant::now();
    for _ in 0..task.ops {
        worker.tell(Nothing).await.expect("it runs");
    }
    worker.ask(Ping).await.expect("it runs");
    let took = each(since, task.ops);
    worker.kill();
    vec![("mean", took)]
}

/// Tells, and waits until the last was handled.
pub async fn cast(task: Task) -> Figures {
    casts(Worker::spawn(None), task).await
}

/// The same into a mailbox without bound.
pub async fn cast_unbounded(task: Task) -> Figures {
    casts(Worker::spawn_with_mailbox(None, mailbox::unbounded()), task).await
}

/// Asks, one after the other.
pub async fn call(task: Task) -> Figures {
    let worker = Worker::spawn(None);
    let since = Instant::now();
    for _ in 0..task.ops {
        worker.ask(Ping).await.expect("it answers");
    }
    let took = each(since, task.ops);
    worker.kill();
    vec![("mean", took)]
}

/// By name to a reference.
pub async fn lookup(task: Task) -> Figures {
    static NAMED: OnceCell<()> = OnceCell::const_new();
    let names = named::names(task.n);
    let start = || async {
        for name in &names {
            let worker = Worker::spawn(None);
            worker.register(name.clone()).expect("nobody has the name");
        }
    };
    NAMED.get_or_init(start).await;
    named::figures(task, &names, |name| {
        let found = ActorRef::<Worker>::lookup(name);
        found.expect("it is a worker").expect("it is there")
    })
}

macro_rules! supervisor {
    ($name:ident, $strategy:ident) => {
        struct $name;

        impl Actor for $name {
            type Args = ();
            type Error = Infallible;

            fn supervision_strategy() -> SupervisionStrategy {
                SupervisionStrategy::$strategy
            }

            async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
                Ok(Self)
            }
        }
    };
}

supervisor!(OneForOne, OneForOne);
supervisor!(OneForAll, OneForAll);
supervisor!(RestForOne, RestForOne);

async fn child<S: Actor>(supervisor: &ActorRef<S>, up: &Up) -> ActorRef<Worker> {
    let child = Worker::supervise(supervisor, up.clone());
    child.restart_limit(RESTARTS, WINDOW).spawn().await
}

/// `n` children of which the first tells when it is up; the first and the last.
async fn family<S: Actor<Args = ()>>(
    n: usize,
    first: &Up,
    others: &Up,
) -> (ActorRef<S>, ActorRef<Worker>, ActorRef<Worker>) {
    let supervisor = S::spawn(());
    let first = child(&supervisor, first).await;
    let mut last = first.clone();
    for _ in 1..n {
        last = child(&supervisor, others).await;
    }
    first.wait_for_startup().await;
    last.wait_for_startup().await;
    (supervisor, first, last)
}

/// The reference and the mailbox outlive the restart: what is asked at once waits there.
async fn ping(worker: &ActorRef<Worker>) {
    while worker.ask(Ping).await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn restarts(task: Task, panics: bool) -> Figures {
    let (up, mut ups) = unbounded_channel();
    let (supervisor, worker, _) = family::<OneForOne>(task.n, &Some(up), &None).await;
    ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        if panics {
            worker.tell(Panic).await.expect("it runs");
        } else {
            worker.tell(Fail).await.expect("it runs");
        }
        ups.recv().await.expect("it is up again");
        ping(&worker).await;
        latencies.note(since);
    }
    supervisor.kill();
    latencies.figures()
}

/// From the message that kills to the answer of the next life.
pub async fn restart(task: Task) -> Figures {
    restarts(task, false).await
}

/// The same by a panic.
pub async fn restart_panic(task: Task) -> Figures {
    silence_panics();
    restarts(task, true).await
}

/// Each life is told to fail as soon as it is there.
pub async fn crash_loop(task: Task) -> Figures {
    let (up, mut ups) = unbounded_channel();
    let (supervisor, worker, _) = family::<OneForOne>(task.n, &Some(up), &None).await;
    let since = Instant::now();
    for _ in 0..task.ops {
        ups.recv().await.expect("it is up");
        while worker.tell(Fail).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    ups.recv().await.expect("it is up");
    let took = since.elapsed();
    supervisor.kill();
    vec![("rate", task.ops as f64 / took.as_secs_f64())]
}

async fn groups<S: Actor<Args = ()>>(task: Task) -> Figures {
    let (up, mut ups) = unbounded_channel();
    let up = Some(up);
    let (supervisor, first, last) = family::<S>(task.n, &up, &up).await;
    for _ in 0..task.n {
        ups.recv().await.expect("it is up");
    }
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        first.tell(Fail).await.expect("it runs");
        for _ in 0..task.n {
            ups.recv().await.expect("it is up again");
        }
        ping(&last).await;
        latencies.note(since);
    }
    supervisor.kill();
    latencies.figures()
}

/// All `n` anew for one that fails.
pub async fn all(task: Task) -> Figures {
    groups::<OneForAll>(task).await
}

/// The first fails, and all the rest goes with it.
pub async fn rest(task: Task) -> Figures {
    groups::<RestForOne>(task).await
}

/// `n` supervised children, one after the other.
pub async fn start(task: Task) -> Figures {
    let meter = Meter::begin();
    let (supervisor, _, _) = family::<OneForOne>(task.n, &None, &None).await;
    let figures = meter.end(task.n).await;
    supervisor.kill();
    figures
}

/// The same again and again: nothing of one round is left when the next begins.
pub async fn start_warm(task: Task) -> Figures {
    let meter = Meter::begin();
    let (supervisor, _, _) = family::<OneForOne>(task.n, &None, &None).await;
    let figures = meter.end(task.n).await;
    supervisor.stop_gracefully().await.expect("it runs");
    supervisor.wait_for_shutdown().await;
    figures
}

/// Stops the supervisor and waits for it, and so for all its children.
pub async fn shutdown(task: Task) -> Figures {
    let (supervisor, _, _) = family::<OneForOne>(task.n, &None, &None).await;
    let since = Instant::now();
    supervisor.stop_gracefully().await.expect("it runs");
    supervisor.wait_for_shutdown().await;
    vec![("total", millis(since))]
}
