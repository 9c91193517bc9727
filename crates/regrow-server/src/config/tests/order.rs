//! What comes after what, and what comes to an end.

use super::*;

#[test]
fn an_agent_that_runs_once_says_so_and_is_not_permanent() {
    let job = agent("agents:\n  migrate: { command: x, once: true }\n");
    assert_eq!((job.once, job.restart.policy), (true, Restart::Transient));
    let job =
        agent("defaults: { restart: permanent }\nagents:\n  migrate: { command: x, once: true }\n");
    assert_eq!(job.restart.policy, Restart::Transient, "that is for others");
    let job = agent("agents:\n  migrate: { command: x, once: true, restart: temporary }\n");
    assert_eq!(job.restart.policy, Restart::Temporary);
    assert_eq!(
        errors("agents:\n  migrate: { command: x, once: true, restart: permanent }\n"),
        [
            "agents.yaml:2:47: agents.migrate.restart: expected transient or temporary, because once is true, \
             got permanent; one that is always started again never comes to its end"
        ]
    );
}
