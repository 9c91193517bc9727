//! An agent that stops doing anything.

use std::thread;
use std::time::Duration;

use super::leash::Leash;
use super::{Identity, SampleAgentError, length_of_time, say};

/// Lives, and does nothing any more.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Hang {
    /// How long it is well before that
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = length_of_time)]
    after: Duration,
}

/// Is well for a while; who asks in time finds it willing.
pub(super) async fn run(habit: &Hang, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!(
        "hang: {identity}, hanging in {:?}",
        habit.after
    ))?;
    tokio::select! {
        asked = leash.asked() => say(format_args!("hang: stopping before it hung, at {asked}")),
        () = tokio::time::sleep(habit.after) => {
            say(format_args!("hang: from now on nobody is at home"))?;
            for_ever()
        }
    }
}

/// Holds the only thread that minds signals, stdin and requests.
pub(super) fn for_ever() -> ! {
    loop {
        thread::park();
    }
}
