//! `chaos [SEED [SECONDS [ACTORS]]]`: strikes a tree of 10,000 actors for a minute, and looks at what is left.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use regrow_tests::chaos::{Chaos, Outcome, run};

/// How much more memory may be resident at the end than after a third of the time.
const GROWTH: f64 = 1.1;

fn main() -> io::Result<ExitCode> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse());
    let mut next = |default: u64| match numbers.next() {
        None => Ok(default),
        Some(number) => number.map_err(|error| {
            io::Error::other(format!("usage: chaos [SEED [SECONDS [ACTORS]]]: {error}"))
        }),
    };
    let (seed, seconds, actors) = (next(1)?, next(60)?, next(10_000)?);
    let chaos = Chaos {
        seed,
        actors: usize::try_from(actors).unwrap_or(usize::MAX),
        time: Duration::from_secs(seconds),
        blows: 50,
        every: Duration::from_millis(200),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(run(chaos)).map_err(io::Error::other)?;
    report(&chaos, &outcome)
}

fn report(chaos: &Chaos, outcome: &Outcome) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Outcome {
        alive,
        lives,
        blows,
        failed_starts,
        operations,
        refused,
        events,
        memory,
        ..
    } = outcome;
    let seconds = chaos.time.as_secs();
    writeln!(
        out,
        "figure chaos seed={} seconds={seconds} workers={alive}",
        chaos.seed
    )?;
    writeln!(
        out,
        "figure chaos lives={lives} blows={blows} failed_starts={failed_starts} events={events}"
    )?;
    writeln!(
        out,
        "figure chaos operations={operations} refused={refused}"
    )?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio with two digits")]
    let growth = memory.1 as f64 / (memory.0 as f64).max(1.0);
    let (early, late) = (memory.0 >> 10, memory.1 >> 10);
    writeln!(
        out,
        "figure chaos rss_at_{}_s={early}kB rss_at_{seconds}_s={late}kB ratio={growth:.2}",
        seconds / 3
    )?;
    for wrong in &outcome.wrong {
        writeln!(out, "WRONG {wrong}")?;
    }
    let grown = growth > GROWTH;
    if grown {
        writeln!(
            out,
            "WRONG memory has grown {growth:.2} times; {GROWTH} is the limit"
        )?;
    }
    let well = outcome.wrong.is_empty() && !grown;
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
