//! Agents that behave badly, and how badly.

use std::process::Output;

use crate::kit::{Team, until};

/// One life of an agent that nobody holds.
fn life(team: &Team, generation: &str, arguments: &[&str]) -> Output {
    let arguments = [&["sample-agent"], arguments].concat();
    let mut command = team.command(&arguments);
    command
        .env("AGENT_ID", "coder")
        .env("REGROW_GENERATION", generation);
    command.output().unwrap()
}

/// What was said on stderr, without the pid.
fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let words = text.split_whitespace();
    let is_pid =
        |word: &&str| word.ends_with("):") && word[..word.len() - 2].parse::<u32>().is_ok();
    words
        .filter(|word| !is_pid(word))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_chaotic_agent_does_the_same_again_in_the_same_generation_and_says_so() {
    let team = Team::new("agents: {}\n");
    let chaos = |generation: &str| {
        let habits = ["chaos", "--seed", "7", "--behaviours", "crash"];
        life(&team, generation, &habits)
    };
    let (first, again) = (chaos("1"), chaos("1"));
    assert_eq!(said(&first), said(&again));
    assert_eq!(first.status.code(), again.status.code());
    assert!(
        said(&first).starts_with("chaos: coder (generation 1, pid failing "),
        "{first:?}"
    );
    let others = (2..12).map(|generation| said(&chaos(&generation.to_string())));
    let kinds: std::collections::HashSet<String> = others
        .map(|said| {
            said.rsplit("failing ")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert!(kinds.len() > 1, "{kinds:?}");
}

#[test]
fn what_is_left_behind_bears_its_agents_name_and_ends_by_itself() {
    let team = Team::new("agents: {}\n");
    let mut command = team.command(&["sample-agent", "double-fork", "--lasting", "2s"]);
    let mut agent = command.env("AGENT_ID", "coder").spawn().unwrap();
    let left = until("a process is left behind", || {
        let is_it = |seen: &crate::kit::Seen| {
            seen.command.contains("left-behind --of coder") && seen.command.contains("--hops 0")
        };
        team.alive().into_iter().find(is_it)
    });
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(left.lives(), "it has outlived its agent");
    until("it has ended by itself", || (!left.lives()).then_some(()));
}

#[test]
fn a_leak_has_a_cap_and_says_when_it_is_reached() {
    let daemon = crate::kit::Daemon::up(
        "defaults: { start_window: 50ms }\n\
         agents:\n  leak: { command: ['${REGROW_EXE}', sample-agent, leak, --rate, '100', --cap, '20'] }\n",
    );
    until("it has taken all", || {
        let said = daemon.get("/v1/agents/leak/logs").body;
        said.contains("20 MiB are taken, and no more").then_some(())
    });
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", daemon.pid_of("leak"))).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let resident: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!((20_480..200_000).contains(&resident), "{resident} kB");
}
