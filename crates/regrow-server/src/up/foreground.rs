//! The daemon in this process: started, told of, and ended in order.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use regrow_process::Leftovers;
use rustix::process::{Signal, getpid, kill_process, setsid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::logging;
use super::narration::{Audience, Narrator, list};
use super::outlet::Outlet;
use crate::cli::CliError;
use crate::config::{AgentBreaker, Config};
use crate::daemon::{Cause, Daemon, Progress, ProgressStream, Report};
use crate::state_dir::{Layout, StateDir};

/// What happened just before the end is told within this time.
const LAST_NEWS: Duration = Duration::from_millis(50);

/// Runs the daemon until it is told to end.
///
/// # Errors
///
/// When it cannot start, or processes are left that could not be ended.
pub(super) async fn run(
    audience: Audience,
    listen: Option<SocketAddr>,
    config: Config,
    layout: &Layout,
) -> Result<(), CliError> {
    let format = config.log.format;
    let log = logging::install(format)?;
    let progress = Outlet::stdout(format);
    let ended = live(audience, listen, config, layout, [&log, &progress]).await;
    progress.finish();
    log.finish();
    ended
}

async fn live(
    audience: Audience,
    listen: Option<SocketAddr>,
    config: Config,
    layout: &Layout,
    [log, progress]: [&Outlet; 2],
) -> Result<(), CliError> {
    let format = config.log.format;
    let hangups = mind_hangups(audience).map_err(CliError::Signals)?;
    let state = StateDir::open(layout.path())?;
    let voice = Voice {
        narrator: Narrator::new(audience, format, width(&config)),
        outlet: progress.clone(),
    };
    let mut daemon = Daemon::start(config, state, listen).await?;
    let mut losses = JoinSet::new();
    for outlet in [log, progress] {
        losses.spawn(outlet.clone().tell_losses(daemon.telemetry()));
    }
    for text in of_leftovers(daemon.leftovers()) {
        voice.say(&text);
    }
    voice.say(&welcome(&daemon, audience));
    let (over, ended) = oneshot::channel();
    let telling = tokio::spawn(voice.tell_all(daemon.progress(), ended));
    let report = daemon.run().await;
    drop(over);
    hangups.abort();
    let voice = telling
        .await
        .expect("telling does not panic and nobody aborts it");
    if report.leaked.is_empty() {
        voice.say("all agents have ended");
    }
    verdict(report)
}

/// Who speaks, and how it gets out.
#[derive(Debug)]
struct Voice {
    narrator: Narrator,
    outlet: Outlet,
}

impl Voice {
    fn say(&self, text: &str) {
        let line = self.narrator.line(SystemTime::now(), text);
        self.outlet.line(line);
    }

    fn tell(&mut self, progress: &Progress) {
        if let Some(line) = self.narrator.tell(progress, SystemTime::now()) {
            self.outlet.line(line);
        }
    }

    /// Tells of everything until the system has ended.
    async fn tell_all(
        mut self,
        stream: Option<ProgressStream>,
        mut ended: oneshot::Receiver<()>,
    ) -> Self {
        let Some(mut stream) = stream else {
            return self;
        };
        loop {
            let next = tokio::select! {
                biased;
                next = stream.next() => next,
                _ = &mut ended => break,
            };
            match next {
                Some(progress) => self.tell(&progress),
                None => return self,
            }
        }
        while let Ok(Some(progress)) = tokio::time::timeout(LAST_NEWS, stream.next()).await {
            self.tell(&progress);
        }
        self
    }
}

/// A terminal that closes asks for the ordered stop; in the background nothing happens then.
fn mind_hangups(audience: Audience) -> std::io::Result<JoinHandle<()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    match audience {
        Audience::Terminal => {}
        // Away from the terminal of whoever started us; that we lead a group already is no harm.
        Audience::Log => drop(setsid()),
    }
    Ok(tokio::spawn(async move {
        if hangups.recv().await.is_none() {
            return;
        }
        match audience {
            // The daemon minds this signal; nobody needs to know two ways to stop.
            Audience::Terminal => drop(kill_process(getpid(), Signal::TERM)),
            Audience::Log => {}
        }
        // A terminal that goes may say so twice, and passed on that would be a call to hurry.
        while hangups.recv().await.is_some() {}
    }))
}

fn welcome(daemon: &Daemon, audience: Audience) -> String {
    let (address, state) = (daemon.address(), daemon.state().path().display());
    let pid = std::process::id();
    match audience {
        Audience::Log => {
            format!("regrow (pid {pid}) answers at http://{address}, state in {state}")
        }
        Audience::Terminal => format!(
            "regrow answers at http://{address}, state in {state}\n\
             agents write to `regrow logs -f`; Ctrl-C stops everything"
        ),
    }
}

/// How long the longest id is that lines begin with; a breaker's has `breaker/` before it.
fn width(config: &Config) -> usize {
    let agents = config.agents.iter().map(|agent| agent.id.len());
    let named = config.breakers.iter().map(|one| &one.id);
    let own = config.agents.iter().filter_map(|agent| {
        let Some(AgentBreaker::Own(_)) = &agent.breaker else {
            return None;
        };
        Some(&agent.id)
    });
    let breakers = named.chain(own).map(|id| "breaker/".len() + id.len());
    // As many digits as there are workers at once: most numbers are no longer.
    let pools = config.pools.iter().map(|pool| {
        let digits = pool.rules.scaler.max().to_string().len();
        pool.id.len() + "pool/".len().max("-".len() + digits)
    });
    agents
        .chain(breakers)
        .chain(pools)
        .max()
        .unwrap_or_default()
}

fn of_leftovers(leftovers: &Leftovers) -> Vec<String> {
    let mut lines = Vec::new();
    if !leftovers.found.is_empty() {
        let found = list(&leftovers.found);
        lines.push(format!(
            "an earlier run had left processes, which are ended: {found}"
        ));
    }
    if !leftovers.leaked.is_empty() {
        let leaked = list(&leftovers.leaked);
        lines.push(format!(
            "processes of an earlier run that could not be ended: {leaked}"
        ));
    }
    for path in &leftovers.unreadable {
        lines.push(format!(
            "cannot read {}; what an earlier run started may still run",
            path.display()
        ));
    }
    lines
}

fn verdict(report: Report) -> Result<(), CliError> {
    if !report.leaked.is_empty() {
        return Err(CliError::Leaked(list(&report.leaked)));
    }
    match report.cause {
        Cause::Asked => Ok(()),
        Cause::Tree(reason) => Err(CliError::TreeEnded(reason.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_longest_id_may_be_that_of_a_breaker() {
        for (text, expected) in [
            ("agents: { longest-of-all: { command: x } }", 14),
            (
                "breakers: { db: {} }\nagents: { worker: { command: x } }",
                "breaker/db".len(),
            ),
            (
                "agents: { worker: { command: x, port: auto, breaker: true } }",
                "breaker/worker".len(),
            ),
            (
                "breakers: { db: {} }\nagents: { longest-of-all: { command: x } }",
                14,
            ),
        ] {
            let path = Path::new("/x/regrow.yaml");
            let config = crate::config::parse(text, path, &|_| None).unwrap();
            assert_eq!(width(&config), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_said_of_leftovers_that_are_none() {
        assert!(of_leftovers(&Leftovers::default()).is_empty());
    }

    #[test]
    fn leftovers_are_named_by_pid_and_file() {
        let leftovers = Leftovers {
            found: vec![7, 8],
            leaked: vec![8],
            unreadable: vec!["/x/pids/a.json".into()],
        };
        assert_eq!(
            of_leftovers(&leftovers),
            [
                "an earlier run had left processes, which are ended: 7, 8",
                "processes of an earlier run that could not be ended: 8",
                "cannot read /x/pids/a.json; what an earlier run started may still run",
            ]
        );
    }
}
