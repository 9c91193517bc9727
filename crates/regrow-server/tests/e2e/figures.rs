//! What agents use: over HTTP, in `regrow top`, in metrics.

use serde_json::Value;

use crate::kit::{Ask, Daemon, until};

/// One that works and has a child with a secret among its arguments; one that is not up.
const TEAM: &str = "\
telemetry: { figures: 100ms }
agents:
  busy:
    type: burner
    start_window: 50ms
    command: ['sh', '-c', 'sleep 1000 0.0123987 & i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; wait']
  once: { command: 'true', restart: temporary, start_window: 0ms }
";

fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = Ask::new("GET", path).over_tcp(daemon.address);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The figures of an agent, once they are so.
fn figures(daemon: &Daemon, what: impl Fn(&Value) -> bool) -> Value {
    until("the figures", || {
        let figures = get(daemon, "/v1/agents/busy")["figures"].take();
        (!figures.is_null() && what(&figures)).then_some(figures)
    })
}

#[test]
fn what_an_agent_uses_is_told_with_all_that_it_has_started() {
    let daemon = Daemon::up(TEAM).settled();
    let busy = figures(&daemon, |figures| {
        figures["processes"] == 2 && figures["cpu_seconds"].as_f64() > Some(0.05)
    });
    for key in ["threads", "descriptors", "memory_bytes", "read_bytes"] {
        assert!(busy[key].as_u64() > Some(1), "{key}: {busy}");
    }
    let once = get(&daemon, "/v1/agents");
    let once = once["agents"].as_array().unwrap();
    assert!(once.iter().all(|agent| agent.get("figures").is_some()));

    let tree = get(&daemon, "/v1/agents/busy/tree");
    assert!(!tree.to_string().contains("0.0123987"), "{tree}");
    let processes = tree["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2, "{tree}");
    assert_eq!(processes[1]["parent"], processes[0]["pid"], "{tree}");

    let info = get(&daemon, "/v1/info");
    assert_eq!(info["figures"]["every_ms"], 100, "{info}");
    assert!(info["figures"]["last_took_us"].as_u64() > Some(0), "{info}");

    let metrics = Ask::new("GET", "/metrics").over_tcp(daemon.address);
    let metrics = metrics.body;
    for name in [
        "regrow_process_tree_processes{type=\"burner\"} 2",
        "regrow_process_resident_memory_bytes{type=\"burner\"} ",
        "regrow_process_cpu_seconds_total{type=\"burner\"} ",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
}

#[test]
fn what_a_life_has_used_up_never_falls_and_is_counted_beyond_its_end() {
    let daemon = Daemon::up(TEAM).settled();
    let before = figures(&daemon, |figures| {
        figures["cpu_seconds"].as_f64() > Some(0.05)
    });
    let before = before["cpu_seconds"].as_f64().unwrap();
    assert_eq!(daemon.regrow(&["stop", "busy"]).code, 0);
    let stopped = get(&daemon, "/v1/agents/busy");
    assert!(stopped["figures"].is_null(), "{stopped}");
    let metrics = Ask::new("GET", "/metrics").over_tcp(daemon.address);
    let metrics = metrics.body;
    let prefix = "regrow_process_cpu_seconds_total{type=\"burner\"} ";
    let counted = metrics.lines().find_map(|line| line.strip_prefix(prefix));
    assert!(
        counted.unwrap().parse::<f64>().unwrap() >= before,
        "{counted:?} after {before}"
    );
    assert!(metrics.contains("regrow_process_tree_processes{type=\"burner\"} 0\n"));
    let tree = get(&daemon, "/v1/agents/busy/tree");
    assert_eq!(tree["processes"], Value::Array(vec![]));
}

#[test]
fn top_shows_agents_or_the_processes_of_one() {
    let daemon = Daemon::up(TEAM).settled();
    figures(&daemon, |figures| figures["processes"] == 2);
    let top = daemon.regrow(&["top"]);
    assert_eq!((top.code, &*top.stderr), (0, ""), "{top:?}");
    let lines: Vec<&str> = top.stdout.lines().collect();
    assert!(
        lines[0].starts_with("ID ") && lines[0].contains("MEMORY"),
        "{top:?}"
    );
    assert!(lines[1].starts_with("busy "), "{top:?}");
    assert!(
        top.stdout.contains("looked at every 0.1 s, last "),
        "{top:?}"
    );
    let of_one = daemon.regrow(&["top", "busy"]);
    let names: Vec<&str> = of_one.stdout.lines().collect();
    assert_eq!(names.len(), 3, "{of_one:?}");
    assert!(names[2].contains("    sleep "), "{of_one:?}");
    let json = daemon.regrow(&["top", "--json", "busy"]);
    let first: Value = serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["name"], "sh", "{json:?}");
    assert_eq!(daemon.regrow(&["top", "nobody"]).code, 4);
}

#[test]
fn figures_can_be_switched_off() {
    let daemon = Daemon::up(
        "telemetry: { figures: 0s }\nagents:\n  idle: { command: 'exec sleep 1000', start_window: 50ms }\n",
    )
    .settled();
    let top = daemon.regrow(&["top"]);
    assert!(top.stdout.contains("figures are switched off"), "{top:?}");
    // Who asks for the processes of one agent still gets them.
    assert!(daemon.regrow(&["top", "idle"]).stdout.contains("sleep"));
}
