//! The agents that regrow brings along, to try it with and to test it with.
//!
//! To regrow each is a program like any other: nothing here knows how it is supervised. `worker` is well behaved; the
//! others each have one bad habit that a supervisor must cope with, and `chaos` has all of them. What they take, write and leave
//! behind has a cap, so that a machine survives them.

mod chaos;
mod chatty;
mod crash;
mod escape;
mod hang;
mod leak;
mod leash;
mod left_behind;
mod lines;
mod mood;
mod silent;
mod slow_stop;
mod stubborn;
mod worker;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) use self::chaos::Chaos;
pub(crate) use self::chatty::Chatty;
pub(crate) use self::crash::Crash;
pub(crate) use self::escape::Escape;
pub(crate) use self::hang::Hang;
pub(crate) use self::leak::Leak;
pub(crate) use self::left_behind::{DoubleFork, ForkWhileKilled, LeftBehind};
pub(crate) use self::lines::{BrokenLines, Flood, HugeLines};
pub(crate) use self::slow_stop::SlowStop;
pub(crate) use self::worker::Worker;

/// Which sample agent to be.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum SampleAgent {
    /// Answers POST /invoke with the text that it was sent
    Worker(Worker),
    /// Writes a line now and then, every fifth on stderr
    Chatty(Chatty),
    /// Lives for a while, then exits with 1
    Crash(Crash),
    /// Ignores every request to stop; only SIGKILL ends it
    #[command(visible_alias = "ignore-signals")]
    Stubborn,
    /// Stops when asked to, but takes its time
    SlowStop(SlowStop),
    /// Does nothing any more after a while, and minds neither signals nor stdin
    Hang(Hang),
    /// Writes as many lines as it can
    Flood(Flood),
    /// Writes lines that are not UTF-8, not whole, or not for people
    BrokenLines(BrokenLines),
    /// Writes lines of many MiB
    HugeLines(HugeLines),
    /// Takes more and more memory, up to a cap
    Leak(Leak),
    /// Leaves a process behind, in a session of its own, that holds stdout
    Escape(Escape),
    /// Leaves a process behind, in a session of its own, whose parent has ended
    DoubleFork(DoubleFork),
    /// Has processes start each other when it is asked to stop, faster than one looks
    ForkWhileKilled(ForkWhileKilled),
    /// Does any of this in each life, as its seed says
    Chaos(Chaos),
    /// Is the process that others leave behind
    #[command(hide = true)]
    LeftBehind(LeftBehind),
}

/// Is the agent until it ends, and answers its exit code.
pub(crate) async fn run(agent: SampleAgent) -> ExitCode {
    let identity = Identity::from_environment(agent.kind());
    let ended = match agent {
        SampleAgent::Worker(worker) => worker::run(&worker, &identity).await,
        SampleAgent::Chatty(chatty) => chatty::run(&chatty, &identity).await,
        SampleAgent::Crash(crash) => crash::run(&crash, &identity).await,
        SampleAgent::Stubborn => stubborn::run(&identity).await,
        SampleAgent::SlowStop(slow_stop) => slow_stop::run(&slow_stop, &identity).await,
        SampleAgent::Hang(hang) => hang::run(&hang, &identity).await,
        SampleAgent::Flood(flood) => lines::flood(&flood, &identity).await,
        SampleAgent::BrokenLines(broken) => lines::broken(&broken, &identity).await,
        SampleAgent::HugeLines(huge) => lines::huge(&huge, &identity).await,
        SampleAgent::Leak(leak) => leak::run(&leak, &identity).await,
        SampleAgent::Escape(escape) => escape::run(&escape, &identity).await,
        SampleAgent::DoubleFork(twice) => left_behind::double_fork(&twice, &identity).await,
        SampleAgent::ForkWhileKilled(forks) => {
            left_behind::fork_while_killed(&forks, &identity).await
        }
        SampleAgent::Chaos(chaos) => chaos::run(&chaos, &identity).await,
        SampleAgent::LeftBehind(left_behind) => left_behind::run(&left_behind).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our lines has gone, as `head` does: no failure of ours.
        Err(SampleAgentError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            match error {
                SampleAgentError::Code(code) => ExitCode::from(code),
                SampleAgentError::Listen { .. }
                | SampleAgentError::Socket { .. }
                | SampleAgentError::HandedOver(_)
                | SampleAgentError::Serve(_)
                | SampleAgentError::Leash(_)
                | SampleAgentError::LeftBehind(_)
                | SampleAgentError::Output(_)
                | SampleAgentError::OnPurpose { .. } => ExitCode::FAILURE,
            }
        }
    }
}

impl SampleAgent {
    fn kind(&self) -> &'static str {
        match self {
            Self::Worker(_) => "worker",
            Self::Chatty(_) => "chatty",
            Self::Crash(_) => "crash",
            Self::Stubborn => "stubborn",
            Self::SlowStop(_) => "slow-stop",
            Self::Hang(_) => "hang",
            Self::Flood(_) => "flood",
            Self::BrokenLines(_) => "broken-lines",
            Self::HugeLines(_) => "huge-lines",
            Self::Leak(_) => "leak",
            Self::Escape(_) => "escape",
            Self::DoubleFork(_) => "double-fork",
            Self::ForkWhileKilled(_) => "fork-while-killed",
            Self::Chaos(_) => "chaos",
            Self::LeftBehind(_) => "left-behind",
        }
    }

    /// Whether one thread is enough for it. There may be hundreds of them, and only the worker has something to compute.
    pub(crate) fn is_small(&self) -> bool {
        !matches!(self, Self::Worker(_))
    }
}

/// Why a sample agent failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SampleAgentError {
    #[error("failed to listen on {address}; give another port with --port")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("failed to listen on {}", .path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("failed to take the listener that was handed over (LISTEN_FDS)")]
    HandedOver(#[source] io::Error),
    #[error("failed to serve HTTP")]
    Serve(#[source] io::Error),
    #[error("failed to wait for signals and stdin")]
    Leash(#[source] io::Error),
    #[error("failed to start the process to leave behind")]
    LeftBehind(#[source] io::Error),
    #[error("failed to write a line")]
    Output(#[from] io::Error),
    #[error("failing on purpose after {:.1} s, in generation {generation}", .lived.as_secs_f64())]
    OnPurpose { lived: Duration, generation: u64 },
    #[error("failing on purpose with code {0}")]
    Code(u8),
}

/// What regrow told the agent of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    agent: String,
    /// 0 where nobody supervises.
    generation: u64,
}

impl Identity {
    fn from_environment(kind: &str) -> Self {
        let value = |name| std::env::var(name).ok();
        Self {
            agent: value("AGENT_ID").unwrap_or_else(|| kind.to_owned()),
            generation: value("REGROW_GENERATION")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (generation {}, pid {})",
            self.agent,
            self.generation,
            std::process::id()
        )
    }
}

/// Writes one line to stdout.
fn say(line: fmt::Arguments<'_>) -> Result<(), SampleAgentError> {
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

/// Writes one line to stderr with the error and what caused it; nobody may be there to read it.
fn complain(error: &SampleAgentError) {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Reads a length of time such as `200ms`, `1.5s` or `2m`, of 1 ms to one day.
fn length_of_time(text: &str) -> Result<Duration, String> {
    const DAY: f64 = 86_400.0;
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        _ => None,
    };
    unit.zip(number.parse::<f64>().ok())
        .map(|(unit, number)| unit * number)
        .filter(|seconds| (0.001..=DAY).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| {
            "expected a length of time such as 200ms, 5s or 2m, at most a day".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        let read = |text| length_of_time(text).ok();
        assert_eq!(read("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(read("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(read("2m"), Some(Duration::from_secs(120)));
        for wrong in [
            "", "s", "5", "5x", "-5s", "0s", "1e9s", "infs", "nans", "ten s", "５s", "5 s",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_kind_can_be_asked_for() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(subcommand)]
            agent: SampleAgent,
        }
        for (words, kind) in [
            (vec!["worker", "--port", "8001"], "worker"),
            (vec!["worker", "--socket", "/run/worker"], "worker"),
            (
                vec!["worker", "--port", "0", "--unready-after", "5s"],
                "worker",
            ),
            (vec!["chatty", "--every", "1s"], "chatty"),
            (vec!["crash", "--after", "20s", "--seed", "7"], "crash"),
            (vec!["crash", "--at-once"], "crash"),
            (vec!["stubborn"], "stubborn"),
            (vec!["ignore-signals"], "stubborn"),
            (vec!["slow-stop", "--taking", "2s"], "slow-stop"),
            (vec!["hang", "--after", "100ms"], "hang"),
            (vec!["flood", "--rate", "1000"], "flood"),
            (vec!["broken-lines", "--every", "1s"], "broken-lines"),
            (vec!["huge-lines", "--size", "8"], "huge-lines"),
            (vec!["leak", "--rate", "5", "--cap", "50"], "leak"),
            (vec!["escape"], "escape"),
            (vec!["double-fork", "--lasting", "10s"], "double-fork"),
            (
                vec!["fork-while-killed", "--times", "9"],
                "fork-while-killed",
            ),
            (vec!["chaos", "--seed", "7"], "chaos"),
            (
                vec![
                    "chaos",
                    "--behaviours",
                    "crash,huge-lines,fork-while-killed",
                ],
                "chaos",
            ),
            (
                vec!["left-behind", "--of", "coder", "--hops", "3"],
                "left-behind",
            ),
        ] {
            let line =
                <Line as clap::Parser>::try_parse_from([vec!["sample-agent"], words].concat())
                    .unwrap();
            assert_eq!(line.agent.kind(), kind);
        }
    }
}
