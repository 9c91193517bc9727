//! The life of the daemon from the start to its end, and the order of that end.

use std::io;
use std::sync::Arc;

use regrow::{ExitReason, ShutdownReport};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Daemon, Roster, progress};

/// The signals that end the daemon.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on these signals come here and end nothing by themselves.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Why the daemon ended.
#[derive(Debug)]
pub(crate) enum Cause {
    /// It was asked to: by a signal or over the API.
    Asked,
    /// The tree ended by itself, which it should not.
    Tree(ExitReason),
}

/// How the daemon ended.
#[derive(Debug)]
pub(crate) struct Report {
    /// Why.
    pub(crate) cause: Cause,
    /// Processes of this run that could not be ended.
    pub(crate) leaked: Vec<u32>,
}

impl Daemon {
    /// Serves until it is asked to stop, then stops the agents in order, then the API.
    ///
    /// A second signal goes straight to the kill.
    pub(crate) async fn run(mut self) -> Report {
        let cause = self.wait_for_the_end().await;
        let leaked = self.end().await;
        Report { cause, leaked }
    }

    /// Ends at once a run that cannot go on, and leaves nothing of it.
    pub(super) async fn give_up(self) {
        self.roster.system().begin_shut_down();
        self.roster.system().hurry();
        let leaked = self.end().await;
        if !leaked.is_empty() {
            tracing::error!(pids = ?leaked, "processes that could not be ended");
        }
    }

    /// Stops the agents in order, then the API; tells which processes could not be ended.
    async fn end(mut self) -> Vec<u32> {
        self.roster.drain();
        let shutdown = self.stop_agents().await;
        if !shutdown.unresponsive.is_empty() {
            tracing::warn!(agents = ?shutdown.unresponsive, "agents that could not be ended");
        }
        let leaked = self.roster.host().sweep_all().await;
        progress::detach(self.roster.system());
        self.ended.send_replace(true);
        self.stop_serving.send_replace(true);
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the API ended by a failure of its own");
        }
        self.reports.finish().await;
        if let Err(error) = self.state.remove_run() {
            tracing::warn!(%error, "failed to remove the record of this run");
        }
        leaked
    }

    async fn wait_for_the_end(&mut self) -> Cause {
        let down = async {
            drop(self.down.wait_for(|down| *down).await);
        };
        tokio::select! {
            () = self.signals.next() => Cause::Asked,
            () = down => Cause::Asked,
            reason = self.roster.system().ended() => Cause::Tree(reason),
        }
    }

    async fn stop_agents(&mut self) -> ShutdownReport {
        let roster: Arc<Roster> = Arc::clone(&self.roster);
        let mut stopping = std::pin::pin!(roster.system().shut_down());
        loop {
            tokio::select! {
                report = &mut stopping => return report,
                () = self.signals.next() => roster.system().hurry(),
            }
        }
    }
}
