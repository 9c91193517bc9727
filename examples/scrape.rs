//! Metrics for Prometheus in one line: a small tree under load, and an address to scrape.
//!
//! `cargo run --example scrape -- [PORT [SECONDS]]`: a free port and until Ctrl-C, if not told otherwise.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::{Address, Backoff, ChildSpec, Strategy, Supervisor, System};

#[derive(Clone)]
struct Worker;

enum Job {
    Easy,
    Impossible,
}

impl Actor for Worker {
    type Msg = Job;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Job>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Job>,
        job: Job,
        done: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match job {
            Job::Easy => *done += 1,
            Job::Impossible => return Err(format!("it was too much, after {done} jobs").into()),
        }
        Ok(())
    }
}

fn tree() -> Supervisor {
    let worker = |id: &'static str| {
        let backoff = Backoff::exponential(Duration::from_millis(20)..=Duration::from_millis(200))
            .jitter(0.2);
        ChildSpec::actor(id, Worker, ())
            .of_type("worker")
            .backoff(backoff)
    };
    let crew = Supervisor::new("crew")
        .strategy(Strategy::OneForAll)
        .no_intensity_limit();
    let crew = crew.child(worker("lead")).child(worker("hand"));
    Supervisor::new("root")
        .no_intensity_limit()
        .child(worker("solo"))
        .child(crew)
}

/// A job every few milliseconds, and now and then one that nobody survives.
async fn load(workers: &[Address<Job>]) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    for (n, worker) in (0_u64..).zip(workers.iter().cycle()) {
        ticks.tick().await;
        // Rejected while the worker is down: then that job is lost.
        drop(worker.send(if n % 50 == 0 {
            Job::Impossible
        } else {
            Job::Easy
        }));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let seconds: Option<u64> = arguments
        .next()
        .map(|seconds| seconds.parse())
        .transpose()?;

    let system = System::start(tree()).await?;
    let endpoint =
        regrow::prometheus::serve(&system, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("http://{}/metrics", endpoint.address());

    let paths = ["root/solo", "root/crew/lead", "root/crew/hand"];
    let workers = paths
        .map(|path| system.address(path))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let time_is_up = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = load(&workers) => {}
        () = time_is_up => drop(system.shut_down().await),
        _ = system.run_until_signal() => {}
    }
    Ok(())
}
