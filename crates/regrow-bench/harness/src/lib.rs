//! What every arm of the benchmark shares: the rounds, the clock, the figures.
//!
//! A program of arms is called with `CELL ARM,ARM,… N OPS ROUNDS`. It runs each arm once in every round, in turn, and prints
//! `arm<TAB>figure<TAB>value` a line. Every run is a task of its own: on the thread of `block_on` one would measure wake-ups
//! across threads.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// How many children there are.
    pub n: usize,
    /// How many times the thing is done.
    pub ops: usize,
}

/// What was measured, by name.
pub type Figures = Vec<(&'static str, f64)>;

type Running = Pin<Box<dyn Future<Output = Figures> + Send>>;

/// One thing measured on one system.
pub struct Arm {
    /// The thing.
    pub cell: &'static str,
    /// The system.
    pub arm: &'static str,
    /// Does it.
    pub run: fn(Task) -> Running,
}

/// An [`Arm`] from the name of the cell, the name of the system and an async function.
#[macro_export]
macro_rules! arm {
    ($cell:literal, $arm:literal, $run:expr) => {
        $crate::Arm {
            cell: $cell,
            arm: $arm,
            run: |task| Box::pin($run(task)),
        }
    };
}

/// Runs what the arguments ask for.
pub fn main(arms: &[Arm]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cell, names, n, ops, rounds] = arguments.as_slice() else {
        return refuse("usage: CELL ARM,ARM,… N OPS ROUNDS");
    };
    let (Ok(n), Ok(ops), Ok(rounds)) = (n.parse(), ops.parse(), rounds.parse::<usize>()) else {
        return refuse("N, OPS and ROUNDS are numbers");
    };
    let mut chosen = Vec::new();
    for name in names.split(',') {
        match arms.iter().find(|arm| arm.cell == cell && arm.arm == name) {
            Some(arm) => chosen.push(arm),
            None => return refuse(&format!("there is no arm {name:?} of {cell:?}")),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime with two workers can be had");
    for round in 0..rounds {
        // Whoever goes first in one round goes last in the next.
        let turn = round % chosen.len();
        for arm in chosen[turn..].iter().chain(&chosen[..turn]) {
            let figures = runtime.block_on(runtime.spawn((arm.run)(Task { n, ops })));
            for (figure, value) in figures.expect("an arm does not panic") {
                println!("{}\t{figure}\t{value}", arm.arm);
            }
        }
    }
    // What hangs about is no concern of ours.
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

/// How long each of `ops` took, in nanoseconds.
pub fn each(since: Instant, ops: usize) -> f64 {
    since.elapsed().as_nanos() as f64 / ops as f64
}

/// How long it took, in milliseconds.
pub fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// How long each of many things took.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// One more.
    pub fn note(&mut self, since: Instant) {
        self.0.push(since.elapsed());
    }

    /// The median, in nanoseconds.
    pub fn median(mut self) -> f64 {
        self.0.sort_unstable();
        let middle = self.0.get(self.0.len() / 2);
        middle.map_or(f64::NAN, |middle| middle.as_nanos() as f64)
    }

    /// The median and what one in a hundred exceeds, in nanoseconds; nothing, if nothing was noted.
    pub fn figures(mut self) -> Figures {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.sort_unstable();
        let at = |share: usize| {
            let at = (self.0.len() * share / 100).min(self.0.len() - 1);
            self.0[at].as_nanos() as f64
        };
        vec![("p50", at(50)), ("p99", at(99))]
    }
}

/// What this process has in memory, in bytes; 0 where `/proc` does not tell.
pub fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}

/// Takes the panic hook away: a panic is then as cheap as unwinding is, and says nothing.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
