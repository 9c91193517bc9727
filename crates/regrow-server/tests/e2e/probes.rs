//! Health that acts: who is not ready gets no work, who hangs is restarted, and everybody who looks sees why.

use std::path::Path;

use serde_json::Value;

use crate::kit::{Daemon, until};

/// `examples/health`, with a start window as short as the patience of tests.
fn agents() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/health/regrow.yaml");
    let example = std::fs::read_to_string(file).unwrap();
    example.replace("version: 1\n", "defaults: { start_window: 200ms }\n")
}

/// What one who looks at the agent sees.
#[derive(Debug, PartialEq)]
struct View {
    generation: u64,
    phase: String,
    ready: bool,
    health: String,
}

fn view(agent: &Value) -> View {
    let text = |key: &str| agent[key].as_str().unwrap().to_owned();
    View {
        generation: agent["generation"].as_u64().unwrap(),
        phase: text("phase"),
        ready: agent["ready"].as_bool().unwrap(),
        health: text("health"),
    }
}

#[track_caller]
fn until_seen(daemon: &Daemon, generation: u64, ready: bool, health: &str) {
    let wanted = View {
        generation,
        phase: "running".to_owned(),
        ready,
        health: health.to_owned(),
    };
    until(&format!("{wanted:?}"), || {
        (view(&daemon.agent("worker")) == wanted).then_some(())
    });
}

/// The cells of the agent in `regrow ps`, by column.
fn ps(daemon: &Daemon) -> Vec<String> {
    let said = daemon.regrow(&["ps"]);
    let row = said.stdout.lines().find(|line| line.starts_with("worker"));
    let row = row.unwrap_or_else(|| panic!("{said:?}"));
    let cells = row.split("  ").map(str::trim);
    cells
        .filter(|cell| !cell.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether the probe says that all is well, in the words of Prometheus.
fn is_up(daemon: &Daemon, kind: &str) -> bool {
    let line = format!("regrow_probe_up{{probe=\"worker/{kind}\",kind=\"{kind}\"}} ");
    let metrics = daemon.get("/metrics").body;
    let value = metrics.lines().find_map(|other| other.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {line} in {metrics}")) == "1"
}

fn tell(daemon: &Daemon, word: &str) {
    let said = daemon.regrow(&["send", "worker", word]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn one_that_turns_unready_then_hangs_then_recovers_is_seen_so_by_everybody() {
    let daemon = Daemon::up(&agents());
    until_seen(&daemon, 1, true, "up");
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(ps(&daemon)[2..5], ["running", "yes", "up"]);
    assert!(is_up(&daemon, "readiness") && is_up(&daemon, "liveness"));

    tell(&daemon, "unready");
    until_seen(&daemon, 1, false, "down");
    let refused = daemon.get("/agents/worker/healthz");
    assert_eq!(refused.problem(), "503 agent_not_ready", "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    let why = "answered 503 Service Unavailable";
    assert!(
        detail.contains("its readiness probe failed: GET /readyz at 127.0.0.1:"),
        "{detail}"
    );
    assert!(detail.ends_with(why), "{detail}");
    let cells = ps(&daemon);
    assert_eq!(cells[2..5], ["running", "no", "down"]);
    assert!(cells.last().unwrap().ends_with(why), "{cells:?}");
    assert!(!is_up(&daemon, "readiness") && is_up(&daemon, "liveness"));
    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "degraded", "{health}");
    let of_worker = &health["agents"]["worker"];
    assert!(
        of_worker["why"].as_str().unwrap().ends_with(why),
        "{health}"
    );
    daemon.until_line(&["worker", "not ready", why]);
    // Who asks all agents hears each of them, whatever their probes have found so far.
    let asked = daemon.get("/supervisor/health").json();
    let probes = &asked["agents"]["worker"]["probes"];
    let heard = |probe: &Value| {
        let word = |key: &str| probe[key].as_str().unwrap().to_owned();
        let now = probe["now"]["result"].as_str().unwrap().to_owned();
        (word("name"), word("verdict"), now)
    };
    let heard: Vec<_> = probes.as_array().unwrap().iter().map(heard).collect();
    let words =
        |name: &str, verdict: &str| (name.to_owned(), verdict.to_owned(), verdict.to_owned());
    assert_eq!(
        heard,
        [words("liveness", "success"), words("readiness", "failure")]
    );

    tell(&daemon, "ready");
    until_seen(&daemon, 1, true, "up");
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(ps(&daemon)[2..5], ["running", "yes", "up"]);
    assert!(is_up(&daemon, "readiness"));
    assert_eq!(daemon.get("/health").json()["status"], "up");

    tell(&daemon, "hang");
    daemon.until_line(&[
        "worker",
        "stopping",
        "its liveness probe failed: no answer within 2s",
    ]);
    until_seen(&daemon, 2, true, "up");
    let agent = daemon.agent("worker");
    assert_eq!(agent["restarts"], 1, "{agent}");
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(ps(&daemon)[2..7], ["running", "yes", "up", "2", "1"]);
    assert!(is_up(&daemon, "readiness") && is_up(&daemon, "liveness"));
    let metrics = daemon.get("/metrics").body;
    let timeouts = metrics.lines().find(|line| {
        line.starts_with("regrow_probe_executions_total{probe=\"worker/liveness\"")
            && line.contains("timeout")
    });
    assert!(timeouts.is_some(), "{metrics}");
}

#[test]
fn an_agent_starts_until_its_startup_probe_says_that_it_is_up() {
    let daemon = Daemon::up(
        "\
defaults: { start_window: 200ms }
agents:
  slow:
    command: ['${REGROW_EXE}', sample-agent, worker, --ready-after, 3s, --hang-after, 1ms]
    port: auto
    probes:
      startup: { http: /healthz, period: 1s, failure_threshold: 60 }
",
    );
    let agent = daemon.until_phase("slow", "starting");
    assert_eq!(
        (&agent["ready"], &agent["restarts"]),
        (&false.into(), &0.into())
    );
    // Who asks meanwhile is held, or told to come again.
    let answer = daemon.get("/agents/slow/healthz");
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    let agent = daemon.until_phase("slow", "running");
    assert_eq!(
        (&agent["ready"], &agent["generation"]),
        (&true.into(), &1.into())
    );
    assert_eq!(agent["probes"][0]["verdict"], "success", "{agent}");
}

#[test]
fn each_probe_says_for_itself_how_it_stands_and_a_custom_one_harms_nobody() {
    let daemon = Daemon::up(
        "\
defaults: { start_window: 200ms }
agents:
  a:
    command: 'while :; do echo tick; sleep 1; done'
    port: auto
    probes:
      readiness: { exec: [sh, -c, 'test \"$AGENT_ID $1\" = \"a $PORT\"', sh, '${PORT}'], period: 1s, timeout: 9s }
      custom:
        ticks: { log: { line: tick, within: 1m }, period: 1s }
        door: { tcp: {}, period: 1s, failure_threshold: 1 }
",
    );
    let agent = until("all probes have spoken", || {
        let agent = daemon.agent("a");
        let verdicts = agent["probes"].as_array().unwrap().iter();
        let verdicts: Vec<_> = verdicts.map(|probe| probe["verdict"].clone()).collect();
        (agent["ready"] == true && verdicts == ["success", "success", "failure"]).then_some(agent)
    });
    assert_eq!(agent["health"], "degraded", "{agent}");
    let nobody = format!("nobody listens at 127.0.0.1:{}", agent["port"]);
    assert_eq!(agent["probes"][2]["why"], nobody, "{agent}");
    // Only what has an address is asked when somebody wants to know; the rest is told as it stands.
    let health = daemon.get("/supervisor/health").json();
    let probes = &health["agents"]["a"]["probes"];
    assert_eq!(probes[0]["now"], Value::Null, "{health}");
    assert_eq!(probes[2]["now"]["result"], "failure", "{health}");
    assert_eq!(daemon.get("/health").json()["status"], "degraded");
}
