//! What it costs to ask many actors how they are.

use std::hint::black_box;
use std::time::{Duration, Instant};

use regrow::probe::{Probe, Progress};
use regrow::{ChildSpec, Supervisor, System};
use regrow_bench_harness::{Figures, Task};

use crate::worker::Worker;

/// How long systems have to come to rest before they are measured: one period, in which each actor is asked for the first time.
const SETTLE: Duration = Duration::from_secs(6);

/// The time that this process has had on processors, kernel included.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let ticks = ticks().unwrap_or(0) + ticks().unwrap_or(0);
    // A tick is a hundredth of a second wherever regrow runs.
    Duration::from_millis(ticks * 10)
}

/// The share of one processor that is used while `seconds` pass.
async fn share(seconds: usize) -> Figures {
    let (since, before) = (Instant::now(), spent());
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let used = spent() - before;
    let share = used.as_secs_f64() / since.elapsed().as_secs_f64();
    vec![("share", share * 100.0)]
}

/// One processor that has nothing else to do.
pub async fn core(task: Task) -> Figures {
    let until = Instant::now() + Duration::from_secs(task.ops as u64);
    let (since, before) = (Instant::now(), spent());
    while Instant::now() < until {
        black_box(since);
    }
    let used = spent() - before;
    vec![(
        "share",
        used.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0,
    )]
}

async fn asked(task: Task, with: impl Fn(ChildSpec) -> ChildSpec) -> Figures {
    let worker = |number| with(ChildSpec::actor(format!("w{number}"), Worker, None));
    let root = (0..task.n)
        .map(worker)
        .fold(Supervisor::new("root"), Supervisor::child);
    let system = System::start(root).await.expect("it starts");
    tokio::time::sleep(SETTLE).await;
    let figures = share(task.ops).await;
    drop(system.shut_down().await);
    figures
}

/// Actors that nobody asks.
pub async fn unprobed(task: Task) -> Figures {
    asked(task, |spec| spec).await
}

/// Actors with a liveness probe by progress, at the default period.
pub async fn regrow(task: Task) -> Figures {
    asked(task, |spec| {
        spec.probe(Probe::liveness(Progress::default()))
    })
    .await
}
