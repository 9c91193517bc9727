//! An agent that leaves a process behind.

use std::time::Duration;

use super::leash::Leash;
use super::left_behind::LeftBehind;
use super::{Identity, SampleAgentError, length_of_time, say};

/// Starts a process that outlives it: in another session, where no signal to the agent's group reaches it, and with the
/// agent's stdout in its hands, so that whoever waits for the end of that pipe waits for it too.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Escape {
    /// How long the process left behind lives, if nobody ends it
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = length_of_time)]
    lasting: Duration,
}

/// Leaves a process behind, and ends when asked to.
pub(super) async fn run(escape: &Escape, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!("escape: {identity}"))?;
    let pid = LeftBehind::of(identity, escape.lasting).start()?;
    say(format_args!(
        "escape: pid {pid} in a session of its own holds stdout"
    ))?;
    let asked = leash.asked().await;
    say(format_args!(
        "escape: stopping at {asked}, leaving pid {pid} behind"
    ))
}
