//! regrow's children that come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regrow::{Backoff, ChildSpec, DynamicSupervisor, System};
use regrow_bench_harness::{Figures, Latencies, Task, millis};

use crate::meter::Meter;
use crate::ours::{RESTARTS, WINDOW, down, ping, up, worker};
use crate::worker::{Order, Worker, ups};

/// How many calls are under way at once where they need not wait for each other.
const IN_FLIGHT: usize = 64;

/// How long they may take to stop: a million that are asked at once have one processor's time among them.
const PATIENCE: Duration = Duration::from_secs(60);

/// A root whose children come and go.
pub async fn empty() -> System {
    let root = DynamicSupervisor::new("root").max_restarts(RESTARTS, WINDOW);
    up(root.into()).await
}

async fn fill(system: &System, n: usize) {
    let children = (0..n).map(|place| worker(place, None).shutdown(PATIENCE));
    let report = system.start_children("root", children).await;
    assert!(report.expect("it runs").failed.is_empty(), "all start");
}

/// One call after the other, each answered when its child is up.
pub async fn start(task: Task) -> Figures {
    let system = empty().await;
    let meter = Meter::begin();
    for place in 0..task.n {
        let started = system.start_child("root", worker(place, None)).await;
        started.expect("it starts");
    }
    let figures = meter.end(task.n).await;
    down(system).await;
    figures
}

/// The same calls, some of them under way at once.
pub async fn start_pipelined(task: Task) -> Figures {
    let system = Arc::new(empty().await);
    let meter = Meter::begin();
    let callers: Vec<_> = (0..IN_FLIGHT)
        .map(|caller| {
            let system = Arc::clone(&system);
            tokio::spawn(async move {
                for place in (caller..task.n).step_by(IN_FLIGHT) {
                    let started = system.start_child("root", worker(place, None)).await;
                    started.expect("it starts");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("it does not panic");
    }
    let figures = meter.end(task.n).await;
    let system = Arc::into_inner(system).expect("the callers are done");
    down(system).await;
    figures
}

/// All in one call.
pub async fn start_batch(task: Task) -> Figures {
    let system = empty().await;
    let meter = Meter::begin();
    fill(&system, task.n).await;
    let figures = meter.end(task.n).await;
    down(system).await;
    figures
}

/// Everybody is asked at once, and each is waited for.
pub async fn shutdown(task: Task) -> Figures {
    let system = empty().await;
    fill(&system, task.n).await;
    let since = Instant::now();
    down(system).await;
    vec![("total", millis(since))]
}

/// What it takes among `n` others: a restart, a start, a look at one, a count.
pub async fn among(task: Task) -> Figures {
    let system = empty().await;
    fill(&system, task.n).await;
    let mut figures = Vec::new();
    let restart = restarts(&system, task).await;
    figures.push(("restart", restart));

    let mut starts = Latencies::with_capacity(task.ops);
    for place in 0..task.ops {
        let child = worker(task.n + place, None);
        let since = Instant::now();
        system.start_child("root", child).await.expect("it starts");
        starts.note(since);
    }
    figures.push(("start", starts.median()));

    let mut looks = Latencies::with_capacity(task.ops);
    for place in 0..task.ops {
        let path = format!("root/w{}", place * 7_919 % task.n);
        let since = Instant::now();
        system.which_child(&path).await.expect("it is there");
        looks.note(since);
    }
    figures.push(("child", looks.median()));

    let mut counts = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        let count = system.count_children("root").await.expect("it runs");
        counts.note(since);
        assert_eq!(
            count.active as usize,
            task.n + task.ops + 1,
            "nobody is lost"
        );
    }
    figures.push(("count", counts.median()));
    down(system).await;
    figures
}

/// One child more, which is killed again and again.
async fn restarts(system: &System, task: Task) -> f64 {
    let (sender, mut ups) = ups();
    let mortal = ChildSpec::actor("mortal", Worker, sender).backoff(Backoff::none());
    system.start_child("root", mortal).await.expect("it starts");
    let address = system.address("root/mortal").expect("it is there");
    ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(task.ops);
    for _ in 0..task.ops {
        let since = Instant::now();
        address.send(Order::Fail).expect("it runs");
        ups.recv().await.expect("it is up again");
        ping(&address).await;
        latencies.note(since);
    }
    latencies.median()
}
