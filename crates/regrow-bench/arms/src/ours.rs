//! regrow, with everything as it is by default: addresses, events, the log handler, metrics.

use std::time::{Duration, Instant};

use ractor::{Actor, ActorRef};
use regrow::{Address, Backoff, ChildSpec, StartContext, Strategy, Supervisor, System};
use regrow_bench_harness::{Figures, Latencies, Task, each, millis, silence_panics};

use crate::meter::Meter;
use crate::uncounted::Uncounted;
use crate::worker::{Order, Up, Worker, ups};

/// More restarts than any run makes, in a window longer than any run: each of them is kept and counted.
pub const RESTARTS: u32 = 1_000_000;
pub const WINDOW: Duration = Duration::from_secs(3_600);

pub fn worker(place: usize, up: Up) -> ChildSpec {
    ChildSpec::actor(format!("w{place}"), Worker, up).backoff(Backoff::none())
}

pub async fn up(root: Supervisor) -> System {
    System::start(root).await.expect("it starts")
}

pub async fn down(system: System) {
    let report = system.shut_down().await;
    assert!(report.killed.is_empty(), "all go when asked");
}

/// One worker at `root/w0`.
async fn one() -> (System, Address<Order>) {
    let system = up(Supervisor::new("root").child(worker(0, None))).await;
    let address = system.address("root/w0").expect("it is there");
    (system, address)
}

async fn casts(system: System, address: Address<Order>, task: Task) -> Figures {
    let answer = address.call_without_limit(Order::Ping).await;
    answer.expect("it runs");
    let since = Instant::now();
    for _ in 0..task.ops {
        address.send(Order::Nothing).expect("it runs");
    }
    let answer = address.call_within(WINDOW, Order::Ping).await;
    answer.expect("it runs");
    let took = each(since, task.ops);
    down(system).await;
    vec![("mean", took)]
}

/// Casts through an address, and waits until the last was handled.
pub async fn cast(task: Task) -> Figures {
    let (system, address) = one().await;
    casts(system, address, task).await
}

/// The same to an actor without our adapter: nothing is caught and nothing is counted, only the address is between.
pub async fn cast_bare(task: Task) -> Figures {
    let start = |context: StartContext| async move {
        let spawned = Worker::spawn_linked(None, Worker, None, context.supervisor());
        spawned.await.map(|(actor, _)| actor)
    };
    let bare = ChildSpec::start_with("w0", start);
    let system = up(Supervisor::new("root").child(bare)).await;
    let address = system.address("root/w0").expect("it is there");
    casts(system, address, task).await
}

/// The same to an actor in a copy of our adapter that counts nothing.
pub async fn cast_uncounted(task: Task) -> Figures {
    let start = |context: StartContext| async move {
        let spawned = Uncounted::spawn_linked(None, Uncounted, None, context.supervisor());
        spawned.await.map(|(actor, _)| actor)
    };
    let uncounted = ChildSpec::start_with("w0", start);
    let system = up(Supervisor::new("root").child(uncounted)).await;
    let address = system.address("root/w0").expect("it is there");
    casts(system, address, task).await
}

/// Casts by ractor's own reference to an actor in our adapter: the address is left out.
pub async fn cast_past(task: Task) -> Figures {
    let (sender, mut ups) = ups();
    let system = up(Supervisor::new("root").child(worker(0, sender))).await;
    let worker: ActorRef<Order> = ups.recv().await.expect("it is up");
    worker.call(Order::Ping, None).await.expect("it runs");
    let since = Instant::now();
    for _ in 0..task.ops {
        worker.cast(Order::Nothing).expect("it runs");
    }
    worker.call(Order::Ping, None).await.expect("it runs");
    let took = each(since, task.ops);
    down(system).await;
    vec![("mean", took)]
}

/// Calls through an address, one after the other, as they are: with the 5 s that a call has by default.
pub async fn call(task: Task) -> Figures {
    let (system, address) = one().await;
    let since = Instant::now();
    for _ in 0..task.ops {
        address.call(Order::Ping).await.expect("it answers");
    }
    let took = each(since, task.ops);
    down(system).await;
    vec![("mean", took)]
}

/// The same with a deadline of one's own.
pub async fn call_deadline(task: Task) -> Figures {
    let (system, address) = one().await;
    let since = Instant::now();
    for _ in 0..task.ops {
        let answer = address.call_within(Duration::from_secs(1), Order::Ping);
        answer.await.expect("it answers");
    }
    let took = each(since, task.ops);
    down(system).await;
    vec![("mean", took)]
}

/// The same without any deadline.
pub async fn call_open(task: Task) -> Figures {
    let (system, address) = one().await;
    let since = Instant::now();
    for _ in 0..task.ops {
        let answer = address.call_without_limit(Order::Ping);
        answer.await.expect("it answers");
    }
    let took = each(since, task.ops);
    down(system).await;
    vec![("mean", took)]
}

/// `n` children of which the first tells when it is up.
fn tree(n: usize, strategy: Strategy, first: Up, others: &Up) -> Supervisor {
    let root = Supervisor::new("root")
        .strategy(strategy)
        .max_restarts(RESTARTS, WINDOW)
        .child(worker(0, first));
    (1..n).fold(root, |root, place| {
        root.child(worker(place, others.clone()))
    })
}

/// Its place is filled a moment after the new life has told that it is up.
pub async fn ping(address: &Address<Order>) {
    while address.call(Order::Ping).await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn restarts(task: Task, order: fn() -> Order, quiet: bool) -> Figures {
    let (sender, mut ups) = ups();
    let system = up(tree(task.n, Strategy::OneForOne, sender, &None)).await;
    if quiet {
        let telemetry = system.telemetry();
        for handler in telemetry.handlers() {
            assert!(telemetry.detach(&handler), "it was attached");
        }
    }
    let address = system.address("root/w0").expect("it is there");
    ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        address.send(order()).expect("it runs");
        ups.recv().await.expect("it is up again");
        ping(&address).await;
        latencies.note(since);
    }
    down(system).await;
    latencies.figures()
}

/// From the message that kills to the answer of the next life.
pub async fn restart(task: Task) -> Figures {
    restarts(task, || Order::Fail, false).await
}

/// The same past the address: each life is killed and asked by the reference that it tells, as raw ractor's is.
pub async fn restart_past(task: Task) -> Figures {
    let (sender, mut ups) = ups();
    let system = up(tree(task.n, Strategy::OneForOne, sender, &None)).await;
    let mut worker = ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        worker.cast(Order::Fail).expect("it runs");
        worker = ups.recv().await.expect("it is up again");
        worker.call(Order::Ping, None).await.expect("it runs");
        latencies.note(since);
    }
    down(system).await;
    latencies.figures()
}

/// The same with nobody attached to the events.
pub async fn restart_quiet(task: Task) -> Figures {
    restarts(task, || Order::Fail, true).await
}

/// The same by a panic.
pub async fn restart_panic(task: Task) -> Figures {
    silence_panics();
    restarts(task, || Order::Panic, false).await
}

/// Each life is told to fail as soon as it is there.
pub async fn crash_loop(task: Task) -> Figures {
    let (sender, mut ups) = ups();
    let system = up(tree(task.n, Strategy::OneForOne, sender, &None)).await;
    let since = Instant::now();
    for _ in 0..task.ops {
        let worker = ups.recv().await.expect("it is up");
        worker.cast(Order::Fail).expect("it runs");
    }
    ups.recv().await.expect("it is up");
    let took = since.elapsed();
    down(system).await;
    vec![("rate", task.ops as f64 / took.as_secs_f64())]
}

async fn groups(task: Task, strategy: Strategy) -> Figures {
    let (sender, mut ups) = ups();
    let system = up(tree(task.n, strategy, sender.clone(), &sender)).await;
    let address = |place: usize| system.address(&format!("root/w{place}"));
    let first = address(0).expect("it is there");
    let last = address(task.n - 1).expect("it is there");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.n {
        ups.recv().await.expect("it is up");
    }
    for _ in 0..task.ops {
        let since = Instant::now();
        first.send(Order::Fail).expect("it runs");
        for _ in 0..task.n {
            ups.recv().await.expect("it is up again");
        }
        ping(&last).await;
        latencies.note(since);
    }
    down(system).await;
    latencies.figures()
}

/// All `n` anew for one that fails, strictly in order.
pub async fn all(task: Task) -> Figures {
    groups(task, Strategy::OneForAll).await
}

/// The first fails, and all the rest goes with it, strictly in order.
pub async fn rest(task: Task) -> Figures {
    groups(task, Strategy::RestForOne).await
}

/// A tree of `n` children, from the value to the end of the barrier.
pub async fn start(task: Task) -> Figures {
    let meter = Meter::begin();
    let system = up(tree(task.n, Strategy::OneForOne, None, &None)).await;
    let figures = meter.end(task.n).await;
    down(system).await;
    figures
}

/// Everything in reverse order, one at a time, each waited for.
pub async fn shutdown(task: Task) -> Figures {
    let system = up(tree(task.n, Strategy::OneForOne, None, &None)).await;
    let since = Instant::now();
    down(system).await;
    vec![("total", millis(since))]
}
