//! `regrow down`: the ordered end of a daemon, watched.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{CliError, Down, agent_line, say, seconds};
use crate::client::{Found, discover};
use crate::state_dir::Holder;
use crate::wire::Agent;

const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) async fn run(down: &Down) -> Result<(), CliError> {
    let found = discover(&down.place.place()).await?;
    let begun = Instant::now();
    let mut shown = Shown::new(&found.client.agents().await?);
    found.client.down().await?;
    while is_there(&found) {
        if begun.elapsed() > down.timeout {
            return Err(CliError::Timeout {
                what: format!(
                    "the end of regrow (pid {}; it goes on, see `regrow ps`)",
                    found.info.pid
                ),
                after: down.timeout,
            });
        }
        // At the very end nobody answers any more, which is what is waited for.
        if let Ok(agents) = found.client.agents().await {
            for line in shown.news(&agents, begun.elapsed()) {
                say(&line)?;
            }
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    say(&format!(
        "regrow (pid {}) has ended after {}",
        found.info.pid,
        seconds(begun.elapsed())
    ))
}

/// Whether the daemon that was asked still runs; one that was started meanwhile is another.
fn is_there(found: &Found) -> bool {
    match found.layout.holder() {
        Holder::Nobody => false,
        Holder::Daemon { pid } => pid.is_none_or(|pid| pid == found.info.pid),
    }
}

/// The phases that were told of.
#[derive(Debug)]
struct Shown {
    phases: BTreeMap<String, String>,
    width: usize,
}

impl Shown {
    fn new(agents: &[Agent]) -> Self {
        let width = agents.iter().map(|agent| agent.id.len()).max();
        Self {
            phases: phases(agents),
            width: width.unwrap_or_default(),
        }
    }

    /// A line for each agent whose phase has changed.
    fn news(&mut self, agents: &[Agent], after: Duration) -> Vec<String> {
        let changed = |agent: &&Agent| self.phases.get(&agent.id) != Some(&agent.phase);
        let lines = agents
            .iter()
            .filter(changed)
            .map(|agent| agent_line(agent, self.width, &seconds(after)))
            .collect();
        self.phases = phases(agents);
        lines
    }
}

fn phases(agents: &[Agent]) -> BTreeMap<String, String> {
    let pair = |agent: &Agent| (agent.id.clone(), agent.phase.clone());
    agents.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::agent;

    #[test]
    fn only_what_has_changed_is_told() {
        let mut agents = [agent("a"), agent("bb")];
        let mut shown = Shown::new(&agents);
        assert!(shown.news(&agents, Duration::ZERO).is_empty());
        agents[1].phase = "stopped".to_owned();
        assert_eq!(
            shown.news(&agents, Duration::from_millis(200)),
            ["bb   stopped    0.2 s"]
        );
        assert!(shown.news(&agents, Duration::ZERO).is_empty());
    }
}
