//! `--wait`: who is up, as they come up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::cli::{CliError, agent_line, first_line, say, seconds};
use crate::client::{Client, WaitFor};
use crate::wire::{Agent, WaitReport};

/// How long `--wait` waits where nobody says.
pub(super) const USUAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines appear at least this soon after what they tell of.
const STEP: Duration = Duration::from_millis(250);

/// Waits until every agent has settled, with a line for each.
///
/// # Errors
///
/// When an agent has failed for good, or the time is over.
pub(super) async fn follow(
    client: &Client,
    what: WaitFor,
    timeout: Duration,
) -> Result<(), CliError> {
    let begun = Instant::now();
    let mut shown = BTreeSet::new();
    loop {
        let left = timeout.saturating_sub(begun.elapsed());
        let step = left.clamp(Duration::from_millis(1), STEP);
        let report = client.wait(what, step).await?;
        let agents = client.agents().await?;
        for line in news(&agents, &report, &mut shown, begun.elapsed()) {
            say(&line)?;
        }
        if report.done {
            return verdict(&report);
        }
        if left.is_zero() {
            return Err(CliError::Timeout {
                what: format!("the start of {}", report.waiting.join(", ")),
                after: timeout,
            });
        }
    }
}

/// A line for each agent that has settled since the last look.
fn news(
    agents: &[Agent],
    report: &WaitReport,
    shown: &mut BTreeSet<String>,
    after: Duration,
) -> Vec<String> {
    let width = agents
        .iter()
        .map(|agent| agent.id.len())
        .max()
        .unwrap_or_default();
    let mut lines = Vec::new();
    for agent in agents {
        // What becomes of a worker that is not up, its pool says.
        let is_missing = agent.pool.is_some() && agent.phase != "running";
        if is_missing || report.waiting.contains(&agent.id) || !shown.insert(agent.id.clone()) {
            continue;
        }
        let failed = report.failed.iter().find(|failed| failed.id == agent.id);
        let note = match failed {
            Some(failed) => first_line(&failed.message),
            None => seconds(after),
        };
        lines.push(agent_line(agent, width, &note));
    }
    lines
}

fn verdict(report: &WaitReport) -> Result<(), CliError> {
    if report.failed.is_empty() {
        return Ok(());
    }
    let failed: Vec<_> = report
        .failed
        .iter()
        .map(|failed| failed.id.as_str())
        .collect();
    Err(CliError::AgentsFailed(failed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::wire::FailedAgent;
    use crate::wire::tests::agent;

    fn report(waiting: &[&str], failed: &[(&str, &str)]) -> WaitReport {
        let failed_agent = |(id, message): &(&str, &str)| FailedAgent {
            id: (*id).to_owned(),
            message: (*message).to_owned(),
        };
        WaitReport {
            done: waiting.is_empty(),
            waiting: waiting.iter().map(|id| (*id).to_owned()).collect(),
            failed: failed.iter().map(failed_agent).collect(),
        }
    }

    #[test]
    fn each_agent_is_told_of_once_when_it_has_settled() {
        let mut shown = BTreeSet::new();
        let mut agents = [agent("a"), agent("bb")];
        agents[0].phase = "running".to_owned();
        let after = Duration::from_secs(1);
        let lines = news(&agents, &report(&["bb"], &[]), &mut shown, after);
        assert_eq!(lines, ["a    running    1.0 s"]);
        agents[1].phase = "failed".to_owned();
        let failed = report(&[], &[("bb", "no such program: x")]);
        let lines = news(&agents, &failed, &mut shown, after);
        assert_eq!(lines, ["bb   failed     no such program: x"]);
    }

    #[test]
    fn parked_agents_are_exit_8_with_their_names() {
        assert!(verdict(&report(&[], &[])).is_ok());
        let failed = [("a", "exit code 1"), ("bb", "exit code 1")];
        let error = verdict(&report(&[], &failed)).unwrap_err();
        assert_eq!(error.exit(), Exit::AgentFailed);
        assert!(
            error.to_string().starts_with("failed for good: a, bb;"),
            "{error}"
        );
    }
}
