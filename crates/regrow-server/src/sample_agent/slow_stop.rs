//! An agent that takes its time to stop.

use std::time::Duration;

use super::leash::Leash;
use super::{Identity, SampleAgentError, length_of_time, say};

/// Stops when asked to, but not soon.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SlowStop {
    /// How long it takes to stop, however often it is asked
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = length_of_time)]
    taking: Duration,
}

/// Ends so much later than asked.
pub(super) async fn run(habit: &SlowStop, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!("slow-stop: {identity}"))?;
    let asked = leash.asked().await;
    say(format_args!(
        "slow-stop: stopping at {asked}, in {:?}",
        habit.taking
    ))?;
    tokio::time::sleep(habit.taking).await;
    say(format_args!("slow-stop: now"))
}
