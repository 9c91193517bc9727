//! The daemon: one config, one state directory, one tree of agents, one API.
//!
//! What runs here is the order of things. A dead run's leftovers end before anything is started;
//! the API answers before the first agent is up; the agents go before the API does.

mod breakers;
mod child;
mod listen;
mod pools;
mod probes;
mod progress;
mod report;
mod request;
mod roster;
mod stop;
mod tree;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use regrow::telemetry::Event;
use regrow::{System, Telemetry};
use regrow_process::{Host, LeaseError, Leftovers, Ports, become_subreaper};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) use self::child::ROOT;
pub(crate) use self::progress::{Progress, ProgressStream, What};
pub(crate) use self::report::ReportError;
use self::report::Reports;
#[cfg(test)]
pub(crate) use self::request::asked;
use self::roster::Cast;
pub(crate) use self::roster::{Order, Roster, RosterError, ScaleError, Verb};
use self::stop::Signals;
pub(crate) use self::stop::{Cause, Report};
use crate::api::{self, Api};
use crate::config::Config;
use crate::http::front::Front;
use crate::http::guard::Guard;
use crate::http::serve;
use crate::http::stand_in;
use crate::ports;
use crate::state_dir::{Run, StateDir, StateDirError};
use crate::wire::{DaemonPhase, Info, rfc3339};

/// As many descriptors as we need for thousands of agents and clients; each agent takes about five.
const DESCRIPTORS: u64 = 16_384;

/// Raises the soft limit of open files, as far as the hard one allows. Agents inherit it.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let limit = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "failed to raise the limit of open files; many agents may not fit");
    }
}

/// How long open requests may go on when the agents are gone.
const GRACE: Duration = Duration::from_secs(2);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DaemonError {
    /// The address is not one of this machine alone.
    #[error(
        "cannot listen on {listen}: only loopback addresses are possible yet, such as 127.0.0.1:8000"
    )]
    NotLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {listen}: {source}; another regrow may run (curl http://{listen}/v1/info \
         tells where its state is), or choose another address with --listen, such as 127.0.0.1:0"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The Unix socket cannot be made.
    #[error("cannot make the socket {path}: {source}")]
    Socket {
        /// Where it should be.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What an earlier run left cannot be looked at.
    #[error("cannot read what an earlier run left in {path}: {source}")]
    Leftovers {
        /// The state directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are too few ports.
    #[error("agent {0}")]
    Ports(#[from] LeaseError),
    /// The state directory cannot be written.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {source}")]
    Signals {
        /// What the system said.
        source: std::io::Error,
    },
    /// What happens cannot be reported.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The tree cannot be made.
    #[error("the agents cannot be supervised: {source}")]
    System {
        /// What is wrong with it.
        #[from]
        source: regrow::StartError,
    },
}

/// A daemon whose API answers and whose agents are on their way.
#[derive(Debug)]
pub(crate) struct Daemon {
    address: SocketAddr,
    leftovers: Leftovers,
    roster: Arc<Roster>,
    state: StateDir,
    signals: Signals,
    reports: Reports,
    events: Option<mpsc::Receiver<Event>>,
    down: watch::Receiver<bool>,
    /// Turned to true when the agents are gone: followers of logs are sent home.
    ended: watch::Sender<bool>,
    /// Turned to true, it ends the API.
    stop_serving: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Daemon {
    /// Ends what a dead run left, listens, leases the ports and launches the agents.
    ///
    /// It returns when the API answers; the agents are then on their way.
    ///
    /// # Errors
    ///
    /// When the address is taken, a port is missing, or the state directory cannot be used.
    pub(crate) async fn start(
        config: Config,
        state: StateDir,
        listen: Option<SocketAddr>,
    ) -> Result<Self, DaemonError> {
        let signals = Signals::new().map_err(|source| DaemonError::Signals { source })?;
        raise_descriptor_limit();
        if let Err(error) = become_subreaper() {
            tracing::warn!(%error, "failed to become the parent of orphans; some may stay behind");
        }
        let leftovers = end_leftovers(&state).await?;
        let (listeners, address) = listen::bind(listen.unwrap_or(config.listen), &state).await?;
        let host = Host::new()
            .state_dir(state.path())
            .control_groups()
            .url(format!("http://{address}"))
            .sample_every(config.figures);
        let about = about(&config, &state, address, &host);
        let changes = watch::Sender::new(0);
        let telemetry = Telemetry::default();
        let events = progress::attach(&telemetry, changes.clone());
        let mut reports = Reports::begin(&telemetry, config.log)?;
        ports::warn_of(&config.ports);
        let ports = Ports::new(config.ports.clone())
            .reserve(address.port())
            .telemetry(&telemetry, ROOT);
        let mut cast = Cast::of(&config, &host, state.logs_dir(), ports)?;
        cast.breakers.follow(&config, &telemetry);
        cast.pools.follow(&telemetry);
        let root = tree::root(&config, &mut cast);
        let otlp = config.otlp.clone();
        let system = System::launch_with(root, telemetry).await?;
        let exported = reports.export(&system, otlp.as_ref());
        let roster = Arc::new(Roster::new(config, host, system, cast, changes));
        note_the_boot(&roster);

        let (down, downed) = watch::channel(false);
        let ended = watch::Sender::new(false);
        let (stop_serving, stop_signal) = watch::channel(false);
        let guard = Guard::new(address, state.token().to_owned(), state.path().to_owned());
        let run = run_of(&about, address);
        let api = api::router(Api {
            roster: Arc::clone(&roster),
            about: Arc::new(about),
            down,
            ended: ended.subscribe(),
        });
        let guard = Arc::new(guard);
        stand_in::begin(&listeners, &guard, &roster, &stop_signal);
        let front = Front::new(guard, Arc::clone(&roster), api);
        let serving = tokio::spawn(serve(listeners, Arc::new(front), stop_signal, GRACE));
        let daemon = Self {
            address,
            leftovers,
            roster,
            state,
            signals,
            reports,
            events: Some(events),
            down: downed,
            ended,
            stop_serving,
            serving,
        };
        let written = daemon.state.write_run(&run);
        if let Err(error) = exported
            .map_err(DaemonError::from)
            .and(written.map_err(Into::into))
        {
            // Nobody could find this run, or hear of it; its agents end before it does.
            daemon.give_up().await;
            return Err(error);
        }
        Ok(daemon)
    }

    /// Where the API and the gateway answer.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an earlier run had left, and what became of it.
    pub(crate) fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &StateDir {
        &self.state
    }

    /// The event stream of the tree.
    pub(crate) fn telemetry(&self) -> Telemetry {
        self.roster.system().telemetry().clone()
    }

    /// What happens to the agents from the first start on. It can be taken once.
    pub(crate) fn progress(&mut self) -> Option<ProgressStream> {
        let events = self.events.take()?;
        Some(ProgressStream::new(events, Arc::clone(&self.roster)))
    }
}

async fn end_leftovers(state: &StateDir) -> Result<Leftovers, DaemonError> {
    Host::end_leftovers(state.path())
        .await
        .map_err(|source| DaemonError::Leftovers {
            path: state.path().display().to_string(),
            source,
        })
}

fn about(config: &Config, state: &StateDir, address: SocketAddr, host: &Host) -> Info {
    Info {
        pid: std::process::id(),
        instance: host.instance().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: std::path::absolute(&config.file).unwrap_or_else(|_| config.file.clone()),
        state_dir: state.path().to_owned(),
        listen: address.to_string(),
        phase: DaemonPhase::Starting,
        started_at: rfc3339(SystemTime::now()),
        figures: view::sampling(host),
    }
}

fn run_of(about: &Info, address: SocketAddr) -> Run {
    Run {
        pid: about.pid,
        instance: about.instance.clone(),
        listen: address,
        started_at: about.started_at.clone(),
        version: about.version.clone(),
        config: about.config.clone(),
    }
}

/// Notes when the boot is over. A boot that was broken off by a stop notes nothing.
fn note_the_boot(roster: &Arc<Roster>) {
    let roster = Arc::clone(roster);
    tokio::spawn(async move {
        match roster.system().booted().await {
            Ok(()) => roster.booted(),
            Err(error) => tracing::debug!(%error, "the boot was broken off"),
        }
    });
}

#[cfg(test)]
mod tests;
