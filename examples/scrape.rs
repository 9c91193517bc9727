//! Metrics for Prometheus in one line: a small tree under load, and an address to scrape. On request it sends what it tells to an
//! OpenTelemetry collector and a `StatsD` listener too, and writes it as lines of JSON.
//!
//! `cargo run --example scrape -- [PORT [SECONDS]] [--jobs COUNT] [--otlp URL] [--statsd ADDRESS] [--json FILE] [--wait]`: a
//! free port, until Ctrl-C, and work without end, if not told otherwise. With `--wait` the work begins when Enter is pressed.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::error::Error;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::telemetry::JsonLines;
use regrow::{Address, Backoff, ChildSpec, Strategy, Supervisor, System, otlp, statsd};

/// How often what is exported is brought up to date, and how long its end may take.
const EXPORT_EVERY: Duration = Duration::from_secs(1);
const EXPORT_END: Duration = Duration::from_secs(5);

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

/// A job every few milliseconds, and now and then one that nobody survives; then rest.
async fn load(workers: &[Address<Job>], jobs: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    for (n, worker) in (0..jobs).zip(workers.iter().cycle()) {
        ticks.tick().await;
        // Rejected while the worker is down: then that job is lost.
        drop(worker.send(if n % 50 == 0 {
            Job::Impossible
        } else {
            Job::Easy
        }));
    }
    std::future::pending::<()>().await;
}

/// What is asked for.
#[derive(Default)]
struct Options {
    port: u16,
    seconds: Option<u64>,
    jobs: Option<u64>,
    otlp: Option<String>,
    statsd: Option<SocketAddr>,
    json: Option<PathBuf>,
    wait: bool,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        let mut position = 0;
        while let Some(argument) = arguments.next() {
            let name = argument.clone();
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match &*argument {
                "--jobs" => options.jobs = Some(value()?.parse()?),
                "--otlp" => options.otlp = Some(value()?),
                "--statsd" => options.statsd = Some(value()?.parse()?),
                "--json" => options.json = Some(value()?.into()),
                "--wait" => options.wait = true,
                number if position == 0 => (options.port, position) = (number.parse()?, 1),
                number if position == 1 => {
                    (options.seconds, position) = (Some(number.parse()?), 2);
                }
                other => return Err(format!("{other} is one argument too many").into()),
            }
        }
        Ok(options)
    }
}

/// Where it goes beside Prometheus.
struct Exports {
    otlp: Option<otlp::Export>,
    statsd: Option<statsd::Export>,
    json: Option<JsonLines>,
}

impl Exports {
    async fn start(system: &System, options: &Options) -> Result<Self, Box<dyn Error>> {
        let collector = options.otlp.as_ref().map(|url| {
            let endpoint = otlp::Endpoint::new(url, "scrape");
            endpoint.period(EXPORT_EVERY).timeout(EXPORT_END)
        });
        let otlp = collector.map(|endpoint| otlp::export(system, endpoint, otlp::Signal::ALL));
        let statsd = match options.statsd {
            Some(to) => Some(statsd::export(system, to, statsd::Flavour::Dog).await?),
            None => None,
        };
        let file = options.json.as_ref().map(File::create).transpose()?;
        let json = file.map(|file| system.telemetry().attach_json("json", file));
        Ok(Self {
            otlp: otlp.transpose()?,
            statsd,
            json: json.transpose()?,
        })
    }

    /// `StatsD` is sent every ten seconds; here oftener, so that there is something to see.
    async fn keep_fresh(&self) {
        let mut ticks = tokio::time::interval(EXPORT_EVERY);
        loop {
            ticks.tick().await;
            if let Some(statsd) = &self.statsd {
                statsd.flush().await;
            }
        }
    }

    /// The system has ended: its last words.
    async fn finish(self) -> Result<(), Box<dyn Error>> {
        if let Some(statsd) = self.statsd {
            statsd.flush().await;
        }
        if let Some(json) = self.json {
            json.finish(EXPORT_END).await?;
        }
        if let Some(otlp) = self.otlp {
            otlp.shutdown().await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read(std::env::args().skip(1))?;
    let system = System::start(tree()).await?;
    let exports = Exports::start(&system, &options).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let endpoint = regrow::prometheus::serve(&system, address).await?;
    println!("http://{}/metrics", endpoint.address());

    if options.wait {
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    }
    let paths = ["root/solo", "root/crew/lead", "root/crew/hand"];
    let workers = paths
        .map(|path| system.address(path))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let time_is_up = async {
        match options.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = load(&workers, options.jobs.unwrap_or(u64::MAX)) => {}
        () = exports.keep_fresh() => {}
        () = time_is_up => drop(system.shut_down().await),
        _ = system.run_until_signal() => {}
    }
    exports.finish().await
}
