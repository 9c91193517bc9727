//! Plain tokio: tasks and channels, and a loop that starts them again.

use std::time::Instant;

use regrow_bench_harness::{Figures, Latencies, Task, each, millis, silence_panics};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::meter::Meter;

#[derive(Debug)]
enum Order {
    Nothing,
    Ping(oneshot::Sender<()>),
    Fail,
    Panic,
}

async fn worker(mut orders: UnboundedReceiver<Order>) -> Result<(), &'static str> {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Nothing => {}
            Order::Ping(reply) => drop(reply.send(())),
            Order::Fail => return Err("as asked"),
            Order::Panic => panic!("as asked"),
        }
    }
    Ok(())
}

async fn ping(worker: &UnboundedSender<Order>) {
    let (reply, answer) = oneshot::channel();
    let sent = worker.send(Order::Ping(reply));
    sent.expect("it runs");
    answer.await.expect("it answers");
}

/// Sends to a task, and waits until the last was handled.
pub async fn cast(task: Task) -> Figures {
    let (sender, orders) = unbounded_channel();
    tokio::spawn(worker(orders));
    let since = Instant::now();
    for _ in 0..task.ops {
        sender.send(Order::Nothing).expect("it runs");
    }
    ping(&sender).await;
    vec![("mean", each(since, task.ops))]
}

/// A message and the answer to it.
pub async fn call(task: Task) -> Figures {
    let (sender, orders) = unbounded_channel();
    tokio::spawn(worker(orders));
    let since = Instant::now();
    for _ in 0..task.ops {
        ping(&sender).await;
    }
    vec![("mean", each(since, task.ops))]
}

/// Starts whoever ends again, in a task of its own, and hands out the new sender.
async fn supervise(n: usize, ups: UnboundedSender<UnboundedSender<Order>>) {
    let mut set = JoinSet::new();
    let mut others = Vec::with_capacity(n);
    for _ in 1..n {
        let (sender, orders) = unbounded_channel();
        set.spawn(worker(orders));
        others.push(sender);
    }
    loop {
        let (sender, orders) = unbounded_channel();
        set.spawn(worker(orders));
        if ups.send(sender).is_err() {
            return;
        }
        drop(set.join_next().await);
    }
}

async fn restarts(task: Task, order: fn() -> Order) -> Figures {
    let (up, mut ups) = unbounded_channel();
    tokio::spawn(supervise(task.n, up));
    let mut worker = ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        worker.send(order()).expect("it runs");
        worker = ups.recv().await.expect("it is up again");
        ping(&worker).await;
        latencies.note(since);
    }
    latencies.figures()
}

/// From the message that kills to the answer of the next task.
pub async fn restart(task: Task) -> Figures {
    restarts(task, || Order::Fail).await
}

/// The same by a panic.
pub async fn restart_panic(task: Task) -> Figures {
    silence_panics();
    restarts(task, || Order::Panic).await
}

async fn family(
    n: usize,
) -> (
    JoinSet<Result<(), &'static str>>,
    Vec<UnboundedSender<Order>>,
) {
    let (mut set, mut senders) = (JoinSet::new(), Vec::with_capacity(n));
    for _ in 0..n {
        let (sender, orders) = unbounded_channel();
        set.spawn(worker(orders));
        senders.push(sender);
    }
    (set, senders)
}

/// A task and a channel.
pub async fn start(task: Task) -> Figures {
    let meter = Meter::begin();
    let family = family(task.n).await;
    let figures = meter.end(task.n).await;
    drop(family);
    figures
}

/// The same again and again: nothing of one round is left when the next begins.
pub async fn start_warm(task: Task) -> Figures {
    let meter = Meter::begin();
    let (mut set, senders) = family(task.n).await;
    let figures = meter.end(task.n).await;
    drop(senders);
    while set.join_next().await.is_some() {}
    figures
}

/// Closes every channel and waits for every task.
pub async fn shutdown(task: Task) -> Figures {
    let (mut set, senders) = family(task.n).await;
    let since = Instant::now();
    drop(senders);
    while set.join_next().await.is_some() {}
    vec![("total", millis(since))]
}
