//! The process that a sample agent leaves behind.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::setsid;

use super::{Identity, SampleAgentError, length_of_time, say};

/// No chain of processes is longer.
pub(super) const MOST_HOPS: u32 = 1_000;

/// Outlives who started it: in a session of its own, where no signal to the agent's group reaches it, and with the agent's stdout
/// in its hands. `ps` shows it under this name, with the agent that it is of, and it ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct LeftBehind {
    /// The agent that left it behind
    #[arg(long, value_name = "AGENT")]
    of: String,
    /// How long it lives, if nobody ends it
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = length_of_time)]
    lasting: Duration,
    /// How many processes start each other, each ending at once, before the last one stays
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(MOST_HOPS)))]
    hops: u32,
}

impl LeftBehind {
    /// One that this agent's process is the parent of.
    pub(super) fn of(identity: &Identity, lasting: Duration) -> Self {
        Self {
            of: identity.agent.clone(),
            lasting,
            hops: 0,
        }
    }

    /// The same, with so many processes between it and its agent, all of which have ended.
    pub(super) fn after(self, hops: u32) -> Self {
        Self { hops, ..self }
    }

    /// Starts it; answers the pid of the first of the chain.
    pub(super) fn start(&self) -> Result<u32, SampleAgentError> {
        self.try_start().map_err(SampleAgentError::LeftBehind)
    }

    fn try_start(&self) -> io::Result<u32> {
        let child = Command::new(std::env::current_exe()?)
            .args(["sample-agent", "left-behind", "--of", &self.of])
            .args(["--lasting", &format!("{}ms", self.lasting.as_millis())])
            .args(["--hops", &self.hops.to_string()])
            .stdin(Stdio::null())
            .spawn()?;
        // Nobody waits for it: it outlives us, or init or its adopter sees its end.
        Ok(child.id())
    }
}

/// Is the process that is left behind, or the next one on the way to it.
pub(super) async fn run(left_behind: &LeftBehind) -> Result<(), SampleAgentError> {
    // Who leads a session already cannot have another one, and needs none.
    let _ = setsid();
    match left_behind.hops.checked_sub(1) {
        Some(hops) => left_behind.clone().after(hops).start().map(drop),
        None => {
            tokio::time::sleep(left_behind.lasting).await;
            Ok(())
        }
    }
}

/// Leaves a process behind whose parent has ended.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DoubleFork {
    /// How long the process left behind lives, if nobody ends it
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = length_of_time)]
    lasting: Duration,
}

/// Leaves it behind at once, and ends when asked to.
pub(super) async fn double_fork(
    double_fork: &DoubleFork,
    identity: &Identity,
) -> Result<(), SampleAgentError> {
    let mut leash = super::leash::Leash::take()?;
    LeftBehind::of(identity, double_fork.lasting)
        .after(1)
        .start()?;
    say(format_args!(
        "double-fork: {identity}, a process that nobody is the parent of holds stdout"
    ))?;
    let asked = leash.asked().await;
    say(format_args!("double-fork: stopping at {asked}"))
}

/// Starts a chain of processes when it is asked to stop.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ForkWhileKilled {
    /// How many processes start each other, one after the other, each in a session of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_HOPS)))]
    times: u32,
    /// How long the last one lives, if nobody ends it
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = length_of_time)]
    lasting: Duration,
}

/// Ends when asked to; by then others are on the run.
pub(super) async fn fork_while_killed(
    habit: &ForkWhileKilled,
    identity: &Identity,
) -> Result<(), SampleAgentError> {
    let mut leash = super::leash::Leash::take()?;
    say(format_args!("fork-while-killed: {identity}"))?;
    let asked = leash.asked().await;
    LeftBehind::of(identity, habit.lasting)
        .after(habit.times)
        .start()?;
    say(format_args!(
        "fork-while-killed: stopping at {asked}, while {} processes start each other",
        habit.times
    ))
}
