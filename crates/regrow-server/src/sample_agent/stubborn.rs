//! An agent that does not listen.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::leash::Leash;
use super::{Identity, SampleAgentError, say};

/// What other agents end at, beside SIGTERM and SIGINT.
const ALSO_REFUSED: [(&str, SignalKind); 4] = [
    ("SIGHUP", SignalKind::hangup()),
    ("SIGQUIT", SignalKind::quit()),
    ("SIGUSR1", SignalKind::user_defined1()),
    ("SIGUSR2", SignalKind::user_defined2()),
];

/// Stays, whatever it is asked, and says so. A reader of its lines that has gone is no reason to go either.
pub(super) async fn run(identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    let (refuse, mut refused) = mpsc::channel(ALSO_REFUSED.len());
    for (name, kind) in ALSO_REFUSED {
        let mut signals = signal(kind).map_err(SampleAgentError::Leash)?;
        let refuse = refuse.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && refuse.send(name).await.is_ok() {}
        });
    }
    say(format_args!(
        "stubborn: {identity}, stopping at SIGKILL only"
    ))
    .ok();
    loop {
        let name = tokio::select! {
            asked = leash.asked() => asked.name(),
            Some(name) = refused.recv() => name,
        };
        say(format_args!("stubborn: ignoring {name}")).ok();
    }
}
