//! The range of agents' ports: nobody's port is given twice, who comes back gets its own, and who gets none hears who has them.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;

use crate::kit::{Daemon, Team, signal, until};

const WORKER: &str = "command: ['${REGROW_EXE}', sample-agent, worker], port: auto, start_window: 100ms, restart: { base: 100ms }";

/// Writes a file with another range of ports than the team has.
fn with_ports(team: &Team, ports: &str, agents: &str) {
    let text = format!("ports: {ports}\nagents:\n{agents}");
    fs::write(team.path().join("regrow.yaml"), text).unwrap();
}

/// So many agents, called with this letter.
fn workers(letter: char, number: u16) -> String {
    let each = (1..=number).map(|of| format!("  {letter}{of}: {{ {WORKER} }}\n"));
    each.collect()
}

fn port_of(daemon: &Daemon, id: &str) -> u16 {
    let port = daemon.agent(id)["port"].as_u64().unwrap();
    u16::try_from(port).unwrap()
}

#[test]
fn two_daemons_that_start_at_once_on_one_range_do_not_meet() {
    let holder = Team::new("agents: {}\n");
    let range = format!("{}-{}", holder.own_port() - 9, holder.own_port() - 1);
    let daemons = ['a', 'b'].map(|letter| {
        let range = range.clone();
        thread::spawn(move || {
            let team = Team::new("agents: {}\n");
            with_ports(&team, &range, &workers(letter, 4));
            Daemon::of(team).settled()
        })
    });
    // Both live until all is looked at.
    let daemons = daemons.map(|daemon| daemon.join().unwrap());
    let mut ports = BTreeSet::new();
    for (daemon, letter) in daemons.iter().zip(["a", "b"]) {
        for of in 1..=4 {
            let id = format!("{letter}{of}");
            let agent = daemon.until_phase(&id, "running");
            assert_eq!(agent["restarts"], 0, "{agent}");
            assert_eq!(daemon.get(&format!("/agents/{id}/healthz")).status, 200);
            ports.insert(port_of(daemon, &id));
        }
    }
    assert_eq!(ports.len(), 8, "{ports:?}");
}

#[test]
fn an_agent_comes_back_on_its_port_unless_somebody_took_it_meanwhile() {
    let daemon = Daemon::up(&format!("agents:\n{}", workers('a', 2))).settled();
    let port = port_of(&daemon, "a1");
    signal(daemon.pid_of("a1"), Signal::KILL);
    until("it has come back", || {
        let agent = daemon.agent("a1");
        (agent["generation"] == 2 && agent["phase"] == "running").then_some(())
    });
    assert_eq!(port_of(&daemon, "a1"), port);
    assert_eq!(daemon.get("/agents/a1/healthz").status, 200);
    let gauges = ["allocated\"} 2", "free\"} 7", "quarantined\"} 0"];
    let metrics = daemon.get("/metrics").body;
    for gauge in gauges {
        let line = format!("regrow_process_ports{{state=\"{gauge}");
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }

    assert_eq!(daemon.regrow(&["stop", "a1"]).code, 0);
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(daemon.regrow(&["start", "a1"]).code, 0);
    daemon.until_phase("a1", "running");
    // The first two are taken.
    assert_eq!(port_of(&daemon, "a1"), port + 2);
    assert_eq!(daemon.get("/agents/a1/healthz").status, 200);
    daemon.until_line(&["a1", "moved", &format!("to port {}", port + 2)]);
    drop(stranger);
}

#[test]
fn who_gets_no_port_hears_who_has_them() {
    let team = Team::new("agents: {}\n");
    let port = team.own_port();
    with_ports(&team, &port.to_string(), &workers('a', 1));
    let daemon = Daemon::of(team).settled();
    let body = r#"{"agent_id":"late","command":"sleep","args":["1000"]}"#;
    let refused = daemon.post("/supervisor/spawn", body);
    assert_eq!(refused.status, 503, "{refused:?}");
    let expected = format!(
        "agent \\\"late\\\" got no port: the only one, {port}, is in use (held: {port} by a1); make the range of ports wider"
    );
    assert!(refused.body.contains(&expected), "{refused:?}");
    assert_eq!(daemon.get("/agents/late/healthz").status, 404);
}

#[test]
fn a_range_that_others_use_up_is_told_before_anything_is_started() {
    let team = Team::new("agents: {}\n");
    let port = team.own_port();
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    with_ports(&team, &port.to_string(), &workers('a', 1));
    let said = team.regrow(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 1, "{said:?}");
    let expected = format!(
        "agent \"a1\" got no port: the only one, {port}, is in use (used by other programs: {port})"
    );
    assert!(said.stderr.contains(&expected), "{said:?}");
    assert!(team.alive().is_empty(), "{:?}", team.alive());
    drop(stranger);
}

#[test]
fn a_range_that_meets_that_of_connections_is_warned_of_once() {
    let Ok(text) = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range") else {
        return;
    };
    let first: u16 = text
        .split_ascii_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let team = Team::new("agents: {}\n");
    with_ports(
        &team,
        &format!("{first}-{}", first + 10),
        "  a: { command: 'exec sleep 1000' }\n",
    );
    let said = team.regrow(&["doctor"]);
    assert!(
        said.stdout
            .contains("which the system gives to connections"),
        "{said:?}"
    );
    let daemon = Daemon::of(team).settled();
    let words = [
        "the range of ports",
        "which the system gives to connections",
        "choose another range",
    ];
    daemon.until_line(&words);
    let warned = daemon
        .lines()
        .into_iter()
        .filter(|line| line.contains(words[1]));
    assert_eq!(warned.count(), 1);
}
