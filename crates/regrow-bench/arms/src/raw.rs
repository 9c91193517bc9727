//! Raw ractor, alone and under the least that can be called a supervisor.

use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow_bench_harness::{Figures, Latencies, Task, each, millis, silence_panics};

use crate::meter::Meter;
use crate::mini::Mini;
use crate::worker::{Order, Up, Worker, ups};

/// Casts, and waits until the last was handled.
pub async fn cast(task: Task) -> Figures {
    let (worker, _) = Worker::spawn(None, Worker, None).await.expect("it starts");
    // One that has not run yet leaves the sender alone for a while, which is a cost of another kind: all arms begin with one that
    // waits for messages.
    worker.call(Order::Ping, None).await.expect("it runs");
    let since = Instant::now();
    for _ in 0..task.ops {
        worker.cast(Order::Nothing).expect("it runs");
    }
    worker.call(Order::Ping, None).await.expect("it runs");
    let took = each(since, task.ops);
    worker.stop(None);
    vec![("mean", took)]
}

async fn calls(task: Task, timeout: Option<Duration>) -> Figures {
    let (worker, _) = Worker::spawn(None, Worker, None).await.expect("it starts");
    let since = Instant::now();
    for _ in 0..task.ops {
        let answer = worker.call(Order::Ping, timeout).await;
        assert!(answer.is_ok_and(|answer| answer.is_success()), "it answers");
    }
    let took = each(since, task.ops);
    worker.stop(None);
    vec![("mean", took)]
}

/// Calls, one after the other, without a deadline.
pub async fn call(task: Task) -> Figures {
    calls(task, None).await
}

/// The same with a deadline: a timer of tokio's for each.
pub async fn call_deadline(task: Task) -> Figures {
    calls(task, Some(Duration::from_secs(1))).await
}

/// `n` children of which the first tells when it is up.
async fn mini(n: usize, all: bool, first: Up, others: &Up) -> ActorRef<()> {
    let mut children = vec![others.clone(); n];
    children[0] = first;
    let spawned = Mini::spawn(None, Mini { all }, children).await;
    spawned.expect("it starts").0
}

async fn restarts(task: Task, order: fn() -> Order) -> Figures {
    let (up, mut ups) = ups();
    let supervisor = mini(task.n, false, up, &None).await;
    let mut worker = ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        worker.cast(order()).expect("it runs");
        worker = ups.recv().await.expect("it is up again");
        worker.call(Order::Ping, None).await.expect("it runs");
        latencies.note(since);
    }
    supervisor.kill();
    latencies.figures()
}

/// From the message that kills to the answer of the next life.
pub async fn restart(task: Task) -> Figures {
    restarts(task, || Order::Fail).await
}

/// The same by a panic.
pub async fn restart_panic(task: Task) -> Figures {
    silence_panics();
    restarts(task, || Order::Panic).await
}

/// Each life is told to fail as soon as it is there.
pub async fn crash_loop(task: Task) -> Figures {
    let (up, mut ups) = ups();
    let supervisor = mini(task.n, false, up, &None).await;
    let since = Instant::now();
    for _ in 0..task.ops {
        let worker = ups.recv().await.expect("it is up");
        worker.cast(Order::Fail).expect("it runs");
    }
    ups.recv().await.expect("it is up");
    let took = since.elapsed();
    supervisor.kill();
    vec![("rate", task.ops as f64 / took.as_secs_f64())]
}

/// All `n` anew for one that fails.
pub async fn all(task: Task) -> Figures {
    let (up, mut ups) = ups();
    let supervisor = mini(task.n, true, up.clone(), &up).await;
    let mut workers = Vec::new();
    ups.recv_many(&mut workers, task.n).await;
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        workers[0].cast(Order::Fail).expect("it runs");
        workers.clear();
        while workers.len() < task.n {
            workers.push(ups.recv().await.expect("it is up again"));
        }
        let last = workers.last().expect("there is one");
        last.call(Order::Ping, None).await.expect("it runs");
        latencies.note(since);
    }
    supervisor.kill();
    latencies.figures()
}

/// A parent that does nothing but have children.
struct Parent;

impl Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn family(n: usize) -> ActorRef<()> {
    let (parent, _) = Parent::spawn(None, Parent, ()).await.expect("it starts");
    for _ in 0..n {
        let child = Worker::spawn_linked(None, Worker, None, parent.get_cell()).await;
        child.expect("it starts");
    }
    parent
}

/// `spawn_linked`, nothing else.
pub async fn start(task: Task) -> Figures {
    let meter = Meter::begin();
    let parent = family(task.n).await;
    let figures = meter.end(task.n).await;
    parent.stop(None);
    figures
}

/// The same again and again: nothing of one round is left when the next begins.
pub async fn start_warm(task: Task) -> Figures {
    let meter = Meter::begin();
    let parent = family(task.n).await;
    let figures = meter.end(task.n).await;
    parent.get_cell().stop_children_and_wait(None, None).await;
    parent.stop(None);
    figures
}

/// The same under the least supervisor.
pub async fn start_mini(task: Task) -> Figures {
    let meter = Meter::begin();
    let supervisor = mini(task.n, false, None, &None).await;
    let figures = meter.end(task.n).await;
    supervisor.kill();
    figures
}

/// ractor's own way to stop all children and wait for them: all at once.
pub async fn shutdown(task: Task) -> Figures {
    let parent = family(task.n).await;
    let since = Instant::now();
    parent.get_cell().stop_children_and_wait(None, None).await;
    let took = millis(since);
    parent.stop(None);
    vec![("total", took)]
}
