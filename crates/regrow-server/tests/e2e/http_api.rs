//! The API: required names with their codes, who is let in, and what others look at.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kit::{Ask, Daemon, absent, need, until};

const TEAM: &str = "\
limits: { max_agents: 3 }
defaults: { start_window: 100ms, stop: { timeout: 3s } }
agents:
  a: { command: 'exec sleep 1000', type: sleeper, tags: [calm], required: true }
";

#[test]
fn status_has_every_promised_field() {
    let daemon = Daemon::up(TEAM).settled();
    let agent = daemon.agent("a");
    for (field, value) in [
        ("id", json!("a")),
        ("path", json!("root/a")),
        ("type", json!("sleeper")),
        ("package_id", Value::Null),
        ("port", Value::Null),
        ("phase", json!("running")),
        ("desired", json!("up")),
        ("ready", json!(true)),
        ("generation", json!(1)),
        ("restarts", json!(0)),
        ("last_exit", Value::Null),
        ("tags", json!(["calm"])),
    ] {
        assert_eq!(agent.get(field), Some(&value), "{field} of {agent}");
    }
    assert!(
        agent["pid"].is_u64() && agent["started_at"].is_string() && agent["health"].is_string(),
        "{agent}"
    );
    assert_eq!(daemon.get("/v1/agents").json()["agents"][0], agent);
    assert_eq!(daemon.get("/v1/agents/a").json(), agent);
    assert_eq!(daemon.get("/v1/agents/b").problem(), "404 agent_not_found");
}

#[test]
fn an_agent_is_spawned_over_http_and_each_refusal_has_its_code() {
    let daemon = Daemon::up(TEAM).settled();
    let spawn = |body: &str| daemon.post("/supervisor/spawn", body);
    let made = spawn(
        r#"{"agent_id":"b","command":"sh","args":["-c","echo $COLOUR; exec sleep 1000"],"type":"t","tags":["x"],"env_vars":{"COLOUR":"red"}}"#,
    );
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), Some("/v1/agents/b"));
    let agent = made.json();
    assert_eq!(
        (&agent["id"], &agent["type"], &agent["phase"]),
        (&json!("b"), &json!("t"), &json!("running")),
        "{agent}"
    );
    assert_eq!(daemon.regrow(&["logs", "b"]).stdout, "red\n");

    assert_eq!(
        spawn(r#"{"agent_id":"b","command":"sleep","args":["1000"]}"#).problem(),
        "409 agent_id_in_use"
    );
    assert_eq!(
        spawn(r#"{"agent_id":"c","package_id":"p"}"#).problem(),
        "422 packages_not_supported"
    );
    assert_eq!(
        spawn(r#"{"agent_id":"c","package_path":"/p"}"#).problem(),
        "422 packages_not_supported"
    );
    assert_eq!(
        spawn(r#"{"agent_id":"No Good","command":"sleep"}"#).problem(),
        "422 bad_agent"
    );
    assert_eq!(spawn(r#"{"agent_id":"c"}"#).problem(), "422 bad_agent");
    assert_eq!(
        spawn(r#"{"agent_id":"c","command":"sleep","env_vars":{"REGROW_INSTANCE":"x"}}"#).problem(),
        "422 bad_agent"
    );
    assert_eq!(
        spawn(r#"{"agent_id":"c","comand":"sleep"}"#).problem(),
        "422 bad_body"
    );
    assert_eq!(spawn("{").problem(), "400 bad_json");
    let missing = spawn(r#"{"agent_id":"c","command":"no-such-program"}"#);
    assert_eq!(missing.problem(), "422 agent_did_not_start");
    assert!(
        missing.body.contains("was not found in PATH"),
        "{missing:?}"
    );
    // What could not be spawned has left its id free, and its place.
    assert_eq!(
        spawn(r#"{"agent_id":"c","command":"sleep","args":["1000"]}"#).status,
        201
    );
    let full = spawn(r#"{"agent_id":"d","command":"sleep","args":["1000"]}"#);
    assert_eq!(full.problem(), "429 too_many_agents");
    assert!(
        full.json()["detail"].as_str().unwrap().contains('3'),
        "{full:?}"
    );
}

#[test]
fn stop_and_restart_are_202_or_200_when_waited_for() {
    let daemon = Daemon::up(TEAM).settled();
    for verb in ["stop", "restart"] {
        assert_eq!(
            daemon
                .post(&format!("/supervisor/{verb}/gone"), "")
                .problem(),
            "404 agent_not_found"
        );
        assert_eq!(
            daemon
                .post(&format!("/supervisor/{verb}/a?wait=soon"), "")
                .problem(),
            "400 bad_parameter"
        );
        assert_eq!(
            daemon
                .post(&format!("/supervisor/{verb}/a?wiat=1s"), "")
                .problem(),
            "400 bad_parameter"
        );
    }
    let stopped = daemon.post("/supervisor/stop/a?wait=30s", "");
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let agent = stopped.json();
    assert_eq!(
        (&agent["phase"], &agent["desired"], &agent["pid"]),
        (&json!("stopped"), &json!("down"), &Value::Null),
        "{agent}"
    );
    assert_eq!(
        daemon.post("/supervisor/stop/a?wait=30s", "").status,
        200,
        "it is stopped already"
    );

    let restarted = daemon.post("/supervisor/restart/a?wait=30s", "");
    assert_eq!(restarted.status, 200, "{restarted:?}");
    let agent = restarted.json();
    assert_eq!(
        (&agent["phase"], &agent["generation"]),
        (&json!("running"), &json!(2)),
        "{agent}"
    );
    assert_eq!(daemon.post("/supervisor/restart/a", "").status, 202);
    daemon.until_phase("a", "running");
    assert_eq!(daemon.post("/v1/agents/a/stop?wait=30s", "").status, 200);
    assert_eq!(
        daemon.post("/v1/agents/a/start?wait=30s", "").json()["phase"],
        "running"
    );
    assert_eq!(
        daemon.post("/v1/agents/a/dance", "").problem(),
        "404 no_such_path"
    );
    let wrong = daemon.ask(&Ask::new("GET", "/supervisor/stop/a"));
    assert_eq!(wrong.problem(), "405 method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[test]
fn a_wait_that_runs_out_is_504_and_the_stop_goes_on() {
    let agents = "agents:\n  stubborn: { command: ['${REGROW_EXE}', sample-agent, stubborn], start_window: 200ms, stop: { timeout: 3s } }\n";
    let daemon = Daemon::up(agents).settled();
    let late = daemon.post("/supervisor/stop/stubborn?wait=50ms", "");
    assert_eq!(late.problem(), "504 wait_timeout");
    let agent = daemon.until_phase("stubborn", "stopped");
    assert_eq!(agent["last_exit"]["reason"], "killed", "{agent}");
}

#[test]
fn an_operation_that_another_one_overtakes_is_answered_all_the_same() {
    let agents = "agents:\n  a: { command: 'exec sleep 1000', start_window: 200ms }\n";
    let daemon = Daemon::up(agents).settled();
    for (first, second, phase) in [
        ("stop", "restart", "running"),
        ("restart", "stop", "stopped"),
        ("start", "stop", "stopped"),
    ] {
        let begun = Instant::now();
        let answer = std::thread::scope(|scope| {
            let overtaken =
                scope.spawn(|| daemon.post(&format!("/v1/agents/a/{first}?wait=10s"), ""));
            until("it has begun", || {
                let asked = if first == "start" {
                    "starting"
                } else {
                    "stopping"
                };
                (daemon.agent("a")["phase"] == asked).then_some(())
            });
            let answer = daemon.post(&format!("/v1/agents/a/{second}?wait=10s"), "");
            assert_eq!(answer.json()["phase"], phase, "{second}: {answer:?}");
            overtaken.join().unwrap()
        });
        assert_ne!(answer.status, 504, "{first}, then {second}: {answer:?}");
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(8),
            "{first}, then {second}: {took:?}"
        );
    }
}

#[test]
fn what_changes_regrow_needs_the_token_or_the_socket() {
    let daemon = Daemon::up(TEAM).settled();
    for target in [
        "/supervisor/spawn",
        "/supervisor/stop/a",
        "/v1/agents/a/restart",
        "/v1/down",
        "/v1/agents",
    ] {
        for ask in [
            Ask::new("POST", target),
            Ask::new("POST", target).token("0123"),
            Ask::new("POST", target).token(""),
        ] {
            let refused = daemon.ask(&ask);
            assert_eq!(refused.problem(), "401 token_required", "{target}");
            let hint = refused.json()["hint"].as_str().unwrap().to_owned();
            assert!(
                hint.contains("Authorization: Bearer $(cat ") && hint.contains("regrow.sock"),
                "{hint}"
            );
            assert!(
                !refused.body.contains(&daemon.token),
                "a secret is never told"
            );
        }
    }
    assert_eq!(daemon.agent("a")["generation"], 1, "nothing was done");
    let with_token = Ask::new("POST", "/supervisor/restart/a?wait=10s").token(&daemon.token);
    assert_eq!(daemon.ask(&with_token).status, 200);
    assert_eq!(
        daemon
            .ask_socket(&Ask::new("POST", "/supervisor/restart/a?wait=10s"))
            .status,
        200
    );
    assert_eq!(daemon.agent("a")["generation"], 3);
    for target in [
        "/supervisor/status",
        "/supervisor/health",
        "/metrics",
        "/health",
        "/livez",
        "/v1/info",
    ] {
        assert_eq!(daemon.get(target).status, 200, "{target} is open");
    }
}

#[test]
fn the_agents_own_token_opens_nothing_of_regrows() {
    let agents =
        "agents:\n  a: { command: 'echo $REGROW_TOKEN; exec sleep 1000', start_window: 100ms }\n";
    let daemon = Daemon::up(agents).settled();
    let token = daemon.regrow(&["logs", "a"]).stdout;
    assert_eq!(token.trim().len(), 64);
    assert_ne!(token.trim(), daemon.token);
    assert_eq!(
        daemon
            .ask(&Ask::new("POST", "/supervisor/stop/a").token(token.trim()))
            .problem(),
        "401 token_required"
    );
}

#[test]
fn strange_hosts_and_origins_are_refused_everywhere() {
    let daemon = Daemon::up(TEAM).settled();
    let port = daemon.address.port();
    let stop = |name: &str, value: &str| {
        let ask = Ask::new("POST", "/supervisor/stop/gone")
            .token(&daemon.token)
            .header(name, value);
        daemon.ask(&ask).status
    };
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1:1",
    ] {
        for target in ["/supervisor/status", "/agents/a/x", "/metrics", "/livez"] {
            let refused = daemon.ask(&Ask::new("GET", target).header("host", host));
            assert_eq!(refused.problem(), "421 host_not_allowed", "{host} {target}");
        }
    }
    assert_eq!(
        stop("host", &format!("localhost:{port}")),
        404,
        "a name of this machine is let in"
    );
    for origin in [
        "https://evil.example",
        "null",
        &format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1:7999",
    ] {
        assert_eq!(stop("origin", origin), 403, "{origin}");
        let read = Ask::new("GET", "/agents/a/x").header("origin", origin);
        assert_eq!(
            daemon.ask(&read).problem(),
            "403 origin_not_allowed",
            "{origin}"
        );
    }
    assert_eq!(stop("origin", &format!("http://127.0.0.1:{port}")), 404);
    assert_eq!(stop("origin", &format!("http://localhost:{port}")), 404);
    assert_eq!(stop("sec-fetch-site", "cross-site"), 403);
}

#[test]
fn the_state_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::up(TEAM);
    let mode = |name: &str| {
        daemon
            .team
            .state()
            .join(name)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("token"), 0o600);
    assert_eq!(mode("regrow.sock"), 0o600);
}

#[test]
fn readyz_is_503_while_a_required_agent_is_down_and_names_it() {
    let daemon = Daemon::up(TEAM).settled();
    for target in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(daemon.get(target).status, 200, "{target}");
    }
    assert!(daemon.get("/readyz?verbose").body.contains("[+] agent a"));
    assert_eq!(daemon.post("/supervisor/stop/a?wait=10s", "").status, 200);
    let answer = daemon.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("[-] agent a: stopped"), "{answer:?}");
    assert_eq!(daemon.get("/livez").status, 200);
    assert_eq!(daemon.get("/health").json()["status"], "down");
    assert_eq!(
        daemon.post("/supervisor/restart/a?wait=10s", "").status,
        200
    );
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn while_it_starts_the_api_answers_and_readyz_is_503() {
    let daemon = Daemon::up("agents:\n  slow: { command: 'exec sleep 1000', start_window: 60s }\n");
    assert_eq!(daemon.get("/livez").status, 200);
    assert_eq!(daemon.get("/startupz").status, 503);
    let answer = daemon.get("/readyz");
    assert_eq!(
        (answer.status, answer.body.contains("starting")),
        (503, true),
        "{answer:?}"
    );
    let late = daemon.get("/v1/wait?for=started&timeout=50ms");
    assert_eq!(
        (late.status, &late.json()["wait"]["waiting"]),
        (504, &json!(["slow"])),
        "{late:?}"
    );
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    if absent("promtool") {
        return;
    }
    need("promtool");
    let agents = "\
defaults: { start_window: 100ms, restart: { base: 10ms, max_restarts: 2, within: 60s } }
agents:
  worker: { command: ['${REGROW_EXE}', sample-agent, worker], port: auto }
  failing: { command: 'echo x; exit 1' }
  absent: { command: [no-such-program] }
";
    let daemon = Daemon::up(agents).settled();
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(daemon.get("/nowhere").status, 404);
    assert_eq!(
        daemon
            .post("/supervisor/restart/worker?wait=10s", "")
            .status,
        200
    );
    let scrape = daemon.get("/metrics");
    assert_eq!(
        scrape.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(scrape.body.as_bytes())
        .unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(),
        "{said:?}\n{}",
        scrape.body
    );
    for family in [
        "regrow_supervisor_restarts_total",
        "regrow_process_exits_total",
        "regrow_http_requests_total",
        "regrow_children",
    ] {
        assert!(
            scrape.body.contains(&format!("# TYPE {family} ")),
            "{family} is not in {}",
            scrape.body
        );
    }
}

#[test]
fn an_agent_that_is_stopped_while_it_is_spawned_stays_in_sight() {
    let daemon = Daemon::up(
        "defaults: { start_window: 10s, stop: { timeout: 2s } }\n\
         agents:\n  other: { command: 'exec sleep 1000' }\n",
    );
    let body = r#"{"agent_id":"late","command":"sh","args":["-c","trap '' TERM; while :; do sleep 1; done"]}"#;
    std::thread::scope(|scope| {
        let spawned = scope.spawn(|| daemon.post("/supervisor/spawn", body));
        until("it has a process", || {
            let agent = daemon.get("/v1/agents/late");
            (agent.status == 200 && agent.json()["pid"].is_u64()).then_some(())
        });
        let stopped = daemon.post("/supervisor/stop/late?wait=15s", "");
        assert_eq!(stopped.status, 200, "{stopped:?}");
        assert_eq!(spawned.join().unwrap().problem(), "409 not_done");
    });
    daemon.until_phase("late", "stopped");
    let again = daemon.post("/v1/agents/late/start", "");
    assert_eq!(again.status, 202, "{again:?}");
}
