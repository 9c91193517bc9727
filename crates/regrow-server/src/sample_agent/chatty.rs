//! An agent that talks.

use std::io::{self, Write};
use std::time::Duration;

use super::leash::Leash;
use super::{Identity, SampleAgentError, length_of_time, say};

/// Every how many lines one goes to stderr.
const STDERR_EVERY: u64 = 5;

/// Writes a line now and then.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Chatty {
    /// How long to wait between two lines
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = length_of_time)]
    every: Duration,
}

/// Talks until it is asked to stop.
pub(super) async fn run(chatty: &Chatty, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!(
        "chatty: {identity}, a line every {:?}",
        chatty.every
    ))?;
    let mut ticks = tokio::time::interval(chatty.every);
    let mut line: u64 = 0;
    loop {
        tokio::select! {
            asked = leash.asked() => return say(format_args!("chatty: stopping after {line} lines, at {asked}")),
            _ = ticks.tick() => {
                line += 1;
                if line.is_multiple_of(STDERR_EVERY) {
                    writeln!(io::stderr().lock(), "line {line}, on stderr")?;
                } else {
                    say(format_args!("line {line}"))?;
                }
            }
        }
    }
}
