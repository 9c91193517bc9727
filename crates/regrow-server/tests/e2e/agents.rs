//! Agents: they answer, they grow back, and who does not is parked without harm to the others.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::kit::{Ask, Daemon, Team, signal};

/// Agents that start quickly.
const QUICK: &str = "defaults: { start_window: 100ms }\nagents:\n";
const WORKER: &str = "  worker: { command: ['${REGROW_EXE}', sample-agent, worker], port: auto }\n";

fn example() -> String {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/team/regrow.yaml"
    );
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn the_example_team_answers_status_and_invoke() {
    let daemon = Daemon::up(&example());
    // The first request needs no patience of its own: the gateway waits for the worker.
    let invoke = Ask::new("POST", "/agents/worker/invoke")
        .header("content-type", "application/json")
        .body(r#"{"text":"hello"}"#);
    let answer = daemon.ask(&invoke);
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    assert_eq!(
        (&said["text"], &said["agent"]),
        (&"hello".into(), &"worker".into())
    );

    let daemon = daemon.settled();
    let status = daemon.get("/supervisor/status").json();
    let ids: Vec<_> = status["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["worker", "chatty", "crasher", "stubborn"]);
    for id in ids {
        let agent = daemon.agent(id);
        assert_eq!(
            (&agent["phase"], &agent["generation"]),
            (&"running".into(), &1.into()),
            "{agent}"
        );
    }
}

#[test]
fn a_killed_agent_answers_again_within_a_second_of_the_delay_that_was_told() {
    let daemon = Daemon::up(&format!("{QUICK}{WORKER}")).settled();
    signal(daemon.pid_of("worker"), Signal::KILL);
    let waiting = daemon.until_phase("worker", "backoff");
    let due = waiting["next_start_at"].as_str().unwrap().to_owned();
    let answer = daemon.ask(&Ask::new("POST", "/agents/worker/invoke").body(r#"{"text":"again"}"#));
    let late = seconds_since(&due);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["generation"], 2);
    assert!(late < 1.0, "it answered {late} s after it was due");
    let told = daemon.until_line(&["worker", "restarting in"]);
    let delay: f64 = told.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!((0.8..=1.2).contains(&delay), "{told}");

    let agent = daemon.until_phase("worker", "running");
    assert_eq!(
        (&agent["generation"], &agent["restarts"]),
        (&2.into(), &1.into()),
        "{agent}"
    );
    assert_eq!(
        (&agent["last_exit"]["reason"], &agent["last_exit"]["signal"]),
        (&"signal".into(), &9.into()),
        "{agent}"
    );
    let metrics = daemon.get("/metrics").body;
    let counted =
        r#"regrow_supervisor_restarts_total{supervisor="root",reason="signal",scope="one"} 1"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    let table = daemon.regrow(&["ps"]);
    let row = table
        .stdout
        .lines()
        .find(|line| line.starts_with("worker"))
        .unwrap();
    assert!(row.contains("running  yes    2    1"), "{table:?}");
    assert!(
        row.to_lowercase().contains("sigkill") || row.contains("signal 9"),
        "{table:?}"
    );
}

/// How many seconds ago a time of the API is; times more than a day apart are not told from each other.
fn seconds_since(time: &str) -> f64 {
    let (_, clock) = time.trim_end_matches('Z').split_once('T').unwrap();
    let parts: Vec<f64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    let then = parts[0] * 3600.0 + parts[1] * 60.0 + parts[2];
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    (now - then).rem_euclid(86_400.0)
}

#[test]
fn an_agent_that_always_fails_is_parked_and_the_others_never_notice() {
    let team = Team::new(&format!(
        "{QUICK}{WORKER}  \
           failing:\n    command: 'echo no key >&2; exit 3'\n    \
             restart: {{ base: 10ms, max_restarts: 2, within: 60s }}\n"
    ));
    let (daemon, said) = Daemon::in_background(team);
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.contains("failed for good: failing"), "{said:?}");
    assert!(
        said.stdout
            .lines()
            .any(|line| line.starts_with("failing") && line.contains("exit code 3")),
        "{said:?}"
    );

    let failing = daemon.agent("failing");
    assert_eq!(
        (&failing["phase"], &failing["generation"]),
        (&"failed".into(), &3.into()),
        "{failing}"
    );
    assert!(
        failing["message"]
            .as_str()
            .unwrap()
            .contains("after 2 restarts within 60s"),
        "{failing}"
    );
    let worker = daemon.agent("worker");
    assert_eq!(
        (&worker["phase"], &worker["generation"]),
        (&"running".into(), &1.into()),
        "{worker}"
    );

    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["parked"][0]["id"], "failing", "{health}");
    assert_eq!(health["parked"].as_array().unwrap().len(), 1, "{health}");
    assert_eq!(daemon.get("/readyz").status, 200, "nobody requires it");
    let through = daemon.ask(&Ask::new("GET", "/agents/worker/healthz"));
    assert_eq!(through.status, 200);
    let log = daemon.regrow(&["logs", "failing", "--tail", "1"]);
    assert_eq!(log.stdout, "no key\n", "{log:?}");
}

#[test]
fn a_parked_agent_can_be_started_by_hand_when_its_trouble_is_over() {
    let agents = "  shy: { command: 'test -e ready && exec sleep 1000', restart: { base: 10ms, max_restarts: 1, within: 60s } }\n";
    let daemon = Daemon::up(&format!("{QUICK}{agents}"));
    daemon.until_phase("shy", "failed");
    let refused = daemon.regrow(&["start", "shy"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("exit code 1"), "{refused:?}");
    daemon.until_phase("shy", "failed");
    std::fs::write(daemon.team.path().join("ready"), "").unwrap();
    let started = daemon.regrow(&["start", "shy"]);
    assert_eq!(started.code, 0, "{started:?}");
    assert_eq!(daemon.agent("shy")["phase"], "running");
    assert_eq!(daemon.get("/health").json()["status"], "up");
}

#[test]
fn a_command_that_is_not_there_or_may_not_run_parks_at_once_and_says_why() {
    let agents = "  absent: { command: [no-such-program] }\n  plain: { command: [./plain.txt] }\n";
    let team = Team::new(&format!("{QUICK}{agents}"));
    std::fs::write(team.path().join("plain.txt"), "text").unwrap();
    let daemon = Daemon::of(team).settled();
    for (id, why) in [
        ("absent", "was not found in PATH"),
        ("plain", "is not executable"),
    ] {
        let agent = daemon.agent(id);
        assert_eq!(
            (&agent["phase"], &agent["generation"]),
            (&"failed".into(), &1.into()),
            "{agent}"
        );
        assert!(agent["message"].as_str().unwrap().contains(why), "{agent}");
        daemon.until_line(&[id, "failed", why]);
    }
}

#[test]
fn an_exit_within_the_start_window_is_a_failed_start_even_with_code_0() {
    let agents = "  hasty: { command: 'exit 0', restart: { base: 10ms, max_restarts: 1, within: 60s } }\n  \
                    done: { command: 'sleep 0.4' }\n";
    let daemon = Daemon::up(&format!("{QUICK}{agents}"));
    let hasty = daemon.until_phase("hasty", "failed");
    assert!(
        hasty["message"].as_str().unwrap().contains("exit code 0"),
        "{hasty}"
    );
    let done = daemon.until_phase("done", "completed");
    assert_eq!(done["last_exit"]["code"], 0, "{done}");
}

#[test]
fn agents_start_after_those_that_they_depend_on_and_stop_before_them() {
    let agents = "  top: { command: 'echo started; exec sleep 1000', depends_on: [middle] }\n  \
                    middle: { command: 'exec sleep 1000', depends_on: [base] }\n  \
                    base: { command: 'exec sleep 1000' }\n";
    let mut daemon = Daemon::up(&format!("{QUICK}{agents}")).settled();
    daemon.signal(Signal::INT);
    assert!(daemon.ended().success());
    let order = |phase: &str| -> Vec<String> {
        let holds = |line: &String| line.split_whitespace().nth(1) == Some(phase);
        let id = |line: String| {
            line.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        daemon.lines().into_iter().filter(holds).map(id).collect()
    };
    assert_eq!(
        order("running"),
        ["base", "middle", "top"],
        "{:?}",
        daemon.lines()
    );
    daemon.until_line(&["base", "stopped"]);
    assert_eq!(
        order("stopped"),
        ["top", "middle", "base"],
        "{:?}",
        daemon.lines()
    );
}

#[test]
fn who_depends_on_an_agent_that_is_parked_does_not_start() {
    let agents = "  base: { command: [no-such-program] }\n  top: { command: 'exec sleep 1000', depends_on: [base] }\n";
    let daemon = Daemon::up(&format!("{QUICK}{agents}")).settled();
    let top = daemon.agent("top");
    assert_eq!(
        (&top["phase"], &top["pid"]),
        (&"failed".into(), &serde_json::Value::Null),
        "{top}"
    );
    assert!(top["message"].as_str().unwrap().contains("base"), "{top}");
}

#[test]
fn an_agent_finds_its_environment_and_nothing_of_regrows_own() {
    let agents = "  asked: { command: 'env; exec sleep 1000', type: asker, port: auto, env: { inherit: [GIVEN], set: { COLOUR: red } } }\n  \
                    other-one: { command: 'exec sleep 1000', port: auto }\n";
    let team = Team::new(&format!("{QUICK}{agents}"));
    let said = team
        .command(&["up", "-d", "--wait", "--listen", "127.0.0.1:0"])
        .env("GIVEN", "yes")
        .env("SECRET", "hush")
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let log = team.regrow(&["logs", "asked"]).stdout;
    let record = team.run_record().unwrap();
    let address = record["listen"].as_str().unwrap();
    for line in [
        "AGENT_ID=asked",
        "AGENT_TYPE=asker",
        "REGROW_AGENT_ID=asked",
        "REGROW_GENERATION=1",
        "GIVEN=yes",
        "COLOUR=red",
        &format!("REGROW_URL=http://{address}"),
        &format!("REGROW_INSTANCE={}", record["instance"].as_str().unwrap()),
    ] {
        assert!(
            log.lines().any(|said| said == line),
            "{line} is not in {log}"
        );
    }
    for name in ["PORT=", "REGROW_PORT_OTHER_ONE=", "REGROW_TOKEN=", "PATH="] {
        assert!(
            log.lines().any(|said| said.starts_with(name)),
            "{name} is not in {log}"
        );
    }
    assert!(!log.contains("SECRET"), "{log}");
}

#[test]
fn a_flood_of_output_is_dropped_and_counted_and_takes_no_memory() {
    const FLOOD: u64 = 60_000_000;
    let agents = format!(
        "  flood: {{ command: 'read go; yes $(printf %0200d 0) | head -c {FLOOD}; echo; echo over', stdin: pipe }}\n"
    );
    // It waits for a line that never comes: its stdin is closed by nobody, so it is told by a file instead.
    let agents = agents.replace("read go;", "until test -e go; do sleep 0.05; done;");
    let daemon = Daemon::up(&format!("{QUICK}{agents}")).settled();
    // This one asks to follow, and does not read until all is over.
    let slow = std::net::TcpStream::connect(daemon.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    Ask::new("GET", "/v1/agents/flood/logs?follow=1&tail=0")
        .send(&slow, &daemon.address.to_string());
    let before = memory(daemon.pid);
    std::fs::write(daemon.team.path().join("go"), "").unwrap();
    daemon.until_phase("flood", "completed");
    let grown = memory(daemon.pid).saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB more than {before} KiB");

    let metrics = daemon.get("/metrics").body;
    let figure = |name: &str| -> u64 {
        let name = format!("{name}{{type=\"flood\",stream=\"stdout\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {metrics}"))
    };
    assert!(figure("regrow_process_output_bytes_total") >= FLOOD);
    assert!(figure("regrow_process_output_dropped_bytes_total") > FLOOD / 2);
    let last = daemon.regrow(&["logs", "flood", "--tail", "1"]);
    assert_eq!(last.stdout, "over\n", "{:?}", last.stderr);
    assert_eq!(
        dropped(slow),
        "told",
        "a reader who is too slow is told what it missed"
    );
}

/// The most memory that a process has had, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn dropped(stream: std::net::TcpStream) -> &'static str {
    use std::io::{BufRead, BufReader};
    let mut lines = BufReader::new(stream).lines();
    if lines.any(|line| line.unwrap().contains("\"dropped\":")) {
        "told"
    } else {
        "not told"
    }
}
