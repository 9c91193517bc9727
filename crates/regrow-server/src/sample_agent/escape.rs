//! An agent that leaves a process behind.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::leash::Leash;
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
    let (escapee, place) = leave_behind(escape.lasting)?;
    let pid = escapee.id().unwrap_or(0);
    say(format_args!(
        "escape: pid {pid} in {place} of its own holds stdout"
    ))?;
    let asked = leash.asked().await;
    say(format_args!(
        "escape: stopping at {asked}, leaving pid {pid} behind"
    ))
}

/// By `setsid` where that is installed, else in a process group of its own.
fn leave_behind(lasting: Duration) -> Result<(Child, &'static str), SampleAgentError> {
    let seconds = lasting.as_secs_f64().to_string();
    match Command::new("setsid")
        .args(["sleep", &seconds])
        .stdin(Stdio::null())
        .spawn()
    {
        Ok(escapee) => Ok((escapee, "a session")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Command::new("sleep")
            .arg(&seconds)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map(|escapee| (escapee, "a process group"))
            .map_err(|source| SampleAgentError::Escapee {
                program: "sleep",
                source,
            }),
        Err(source) => Err(SampleAgentError::Escapee {
            program: "setsid",
            source,
        }),
    }
}
