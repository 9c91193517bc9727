//! `examples/jobs`: what comes after what, with real processes.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{Daemon, signal, until};

fn example() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/jobs/regrow.yaml");
    std::fs::read_to_string(file).unwrap()
}

/// The phase and the generation of each of these.
fn stand(daemon: &Daemon, ids: &[&str]) -> Vec<(String, u64)> {
    let stand = |id: &&str| {
        let agent = daemon.agent(id);
        let phase = agent["phase"].as_str().unwrap().to_owned();
        (phase, agent["generation"].as_u64().unwrap())
    };
    ids.iter().map(stand).collect()
}

fn until_stand(daemon: &Daemon, ids: &[&str], expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(phase, generation)| ((*phase).to_owned(), *generation))
        .collect();
    until(&format!("{ids:?} are {expected:?}"), || {
        (stand(daemon, ids) == expected).then_some(())
    });
}

fn time(agent: &Value, key: &str) -> String {
    agent[key].as_str().unwrap().to_owned()
}

#[test]
fn a_job_is_done_before_those_who_wait_for_it_and_a_group_goes_by_its_strategy() {
    let mut daemon = Daemon::up(&example()).settled();
    let all = [
        "store", "migrate", "planner", "coder", "reviewer", "reporter", "debugger",
    ];
    let up = ("running", 1);
    assert_eq!(
        stand(&daemon, &all),
        [up, ("completed", 1), up, up, up, up, ("stopped", 0)]
            .map(|(phase, generation)| (phase.to_owned(), generation))
    );
    let (store, migrate) = (daemon.agent("store"), daemon.agent("migrate"));
    assert_eq!(
        (&store["ready"], &migrate["desired"]),
        (&true.into(), &"once".into())
    );
    let done = migrate["last_exit"]["at"].as_str().unwrap().to_owned();
    let (planner, reviewer) = (daemon.agent("planner"), daemon.agent("reviewer"));
    assert!(time(&store, "started_at") <= done && done <= time(&planner, "started_at"));
    assert!(time(&reviewer, "started_at") <= time(&daemon.agent("reporter"), "started_at"));
    assert_eq!(planner["path"], "root/pipeline/planner");
    let table = daemon.regrow(&["ps"]).stdout;
    assert!(table.starts_with("ID        GROUP     TYPE"), "{table}");
    let logs = daemon.regrow(&["logs", "migrate"]).stdout;
    assert!(logs.contains("migrating the store on port "), "{logs}");

    signal(daemon.pid_of("coder"), Signal::KILL);
    let two = ("running", 2);
    until_stand(
        &daemon,
        &all,
        &[up, ("completed", 1), up, two, two, up, ("stopped", 0)],
    );
    daemon.until_line(&["coder", "restarting"]);

    let said = daemon.regrow(&["pause", "group/pipeline"]);
    assert_eq!(said.code, 0, "{said:?}");
    let paused = |generation| ("paused", generation);
    until_stand(&daemon, &all[2..5], &[paused(1), paused(2), paused(2)]);
    let said = daemon.regrow(&["resume", "planner"]);
    assert_eq!(said.code, 0, "{said:?}");
    until_stand(&daemon, &all[2..5], &[up, paused(2), paused(2)]);
    let said = daemon.regrow(&["stop", "group/pipeline"]);
    assert_eq!(said.code, 0, "{said:?}");
    let stopped = |generation| ("stopped", generation);
    until_stand(&daemon, &all[2..5], &[stopped(1), stopped(2), stopped(2)]);
    let said = daemon.regrow(&["start", "group/pipeline", "debugger", "migrate"]);
    assert_eq!(said.code, 0, "{said:?}");
    let three = ("running", 3);
    until_stand(
        &daemon,
        &all[1..],
        &[("completed", 2), two, three, three, up, up],
    );
    let said = daemon.regrow(&["stop", "group/nobody"]);
    assert_eq!(said.code, 4, "{said:?}");

    assert_eq!(daemon.regrow(&["down"]).code, 0);
    assert!(daemon.ended().success());
    let said = daemon.lines().join("\n");
    assert!(said.contains("stopping all agents, in order"), "{said}");
    assert!(daemon.team.alive().is_empty(), "nothing is left");
}
