//! Breakers: what is down is not called, nobody is restarted for it, and everybody who looks sees why.

use serde_json::Value;

use crate::kit::{Ask, Daemon, until};

/// A worker that needs a store, whose breaker opens at the first failure of its check.
const TEAM: &str = "\
defaults: { start_window: 200ms }
breakers:
  store:
    check: { agent: store, http: /healthz, period: 1s }
    consecutive_failures: 1
    open_wait: { base: 1s, max: 2s }
agents:
  store:
    command: ['${REGROW_EXE}', sample-agent, worker]
    port: auto
  worker:
    command: ['${REGROW_EXE}', sample-agent, worker]
    port: auto
    breaker: store
";

fn breaker(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/v1/breakers/{id}")).json()
}

#[track_caller]
fn until_state(daemon: &Daemon, id: &str, state: &str) -> Value {
    until(&format!("breaker {id} is {state}"), || {
        let breaker = breaker(daemon, id);
        (breaker["state"] == state).then_some(breaker)
    })
}

/// The line of an agent or breaker in a table.
fn row(daemon: &Daemon, command: &[&str], id: &str) -> String {
    let said = daemon.regrow(command);
    let row = said.stdout.lines().find(|line| line.starts_with(id));
    row.unwrap_or_else(|| panic!("{said:?}")).to_owned()
}

#[test]
fn a_dead_dependency_opens_its_breaker_and_restarts_nobody() {
    let daemon = Daemon::up(TEAM).settled();
    until("the check has found the store well", || {
        let check = &breaker(&daemon, "store")["check"];
        (check["last"] == "success").then_some(())
    });
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    let pid = daemon.pid_of("worker");

    assert_eq!(daemon.regrow(&["stop", "store"]).code, 0);
    let open = until("the breaker is open, and its check says why", || {
        let breaker = breaker(&daemon, "store");
        let is_it = breaker["state"] == "open" && breaker["check"]["why"] == "no process runs";
        is_it.then_some(breaker)
    });
    assert!(open["next_trial_at"].is_string(), "{open}");
    daemon.until_line(&["breaker/store", "open", "consecutive failures; tries in "]);
    assert_eq!(open["agents"], serde_json::json!(["worker"]));
    let refused = until("the worker is not asked", || {
        let answer = daemon.get("/agents/worker/healthz");
        // Between two waits a trial is out.
        (answer.header("x-regrow-breaker") == Some("open")).then_some(answer)
    });
    assert_eq!(refused.problem(), "503 breaker_open", "{refused:?}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // At most 2 s, give or take a fifth, and then the check looks once a second.
    assert!((1..=4).contains(&wait), "{refused:?}");
    let shown = until("ps says why", || {
        let row = row(&daemon, &["ps"], "worker");
        row.contains("breaker store is open").then_some(row)
    });
    assert!(shown.contains("running  yes"), "{shown}");
    let agent = daemon.agent("worker");
    assert_eq!(agent["breaker"]["id"], "store", "{agent}");
    until("the whole is degraded", || {
        (daemon.get("/health").json()["status"] == "degraded").then_some(())
    });

    // That the worker works says nothing of the store, also not while the breaker tries.
    until("a trial has found the store down", || {
        let answer = daemon.get("/agents/worker/healthz");
        assert_eq!(answer.problem(), "503 breaker_open", "{answer:?}");
        let tried = "store\",from=\"half_open\",to=\"open\"";
        daemon.get("/metrics").body.contains(tried).then_some(())
    });

    assert_eq!(daemon.regrow(&["start", "store"]).code, 0);
    until_state(&daemon, "store", "closed");
    daemon.until_line(&["breaker/store", "closed", "recovered"]);
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(daemon.pid_of("worker"), pid);
    let agent = daemon.agent("worker");
    assert_eq!(
        (&agent["generation"], &agent["restarts"]),
        (&1.into(), &0.into())
    );
    let metrics = daemon.get("/metrics").body;
    for line in [
        "regrow_breaker_state{breaker=\"root/breakers/store\",state=\"closed\"} 1",
        "regrow_breaker_transitions_total{breaker=\"root/breakers/store\",from=\"closed\",to=\"open\",cause=\"consecutive_failures\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[test]
fn an_agents_own_breaker_opens_by_its_answers_and_a_new_life_closes_it() {
    let daemon = Daemon::up(
        "\
defaults: { start_window: 200ms }
agents:
  a:
    command: ['${REGROW_EXE}', sample-agent, worker]
    port: auto
    breaker: { consecutive_failures: 3, open_wait: 1h }
",
    )
    .settled();
    assert_eq!(daemon.regrow(&["send", "a", "unready"]).code, 0);
    let ask = || daemon.get("/agents/a/readyz");
    until("the agent answers 503 by itself", || {
        (ask().status == 503).then_some(())
    });
    let refused = until("it has failed often enough", || {
        let answer = ask();
        answer
            .header("x-regrow-breaker")
            .is_some()
            .then_some(answer)
    });
    assert_eq!(refused.problem(), "503 breaker_open", "{refused:?}");
    assert!(row(&daemon, &["ps"], "a ").contains("breaker a is open, next trial in"));
    assert_eq!(daemon.agent("a")["generation"], 1);

    assert_eq!(daemon.regrow(&["restart", "a"]).code, 0);
    until_state(&daemon, "a", "closed");
    assert_eq!(ask().status, 200);
}

#[test]
fn an_operator_opens_closes_and_resets_a_breaker() {
    let daemon = Daemon::up(TEAM).settled();
    let ask = || daemon.get("/agents/worker/healthz");
    // Not before its first check: then none of its failures is in the way.
    until("the store is well", || {
        (breaker(&daemon, "store")["check"]["last"] == "success").then_some(())
    });
    let said = daemon.ask(&Ask::new("POST", "/v1/breakers/store/open"));
    assert_eq!(said.problem(), "401 token_required");
    let opened = daemon.post("/v1/breakers/store/open", "");
    assert_eq!(
        (opened.status, &opened.json()["state"]),
        (200, &"forced_open".into())
    );
    let refused = ask();
    assert_eq!(refused.problem(), "503 breaker_open");
    assert_eq!(refused.header("x-regrow-breaker"), Some("forced_open"));
    assert_eq!(refused.header("retry-after"), None);
    let reset = daemon.post("/v1/breakers/store/reset", "").json();
    assert_eq!(reset["state"], "forced_open");
    let held = daemon.post("/v1/breakers/store/open?for=30s", "");
    assert_eq!(held.problem(), "409 breaker_held");
    let closed = daemon.post("/v1/breakers/store/close", "").json();
    assert_eq!(closed["state"], "closed");
    assert_eq!(ask().status, 200);
    let tripped = daemon.post("/v1/breakers/store/open?for=30s", "").json();
    assert_eq!(tripped["state"], "open");
    // And within a second its check has tried.
    assert_eq!(ask().header("retry-after"), Some("31"));
    let all = daemon.get("/v1/breakers").json();
    assert_eq!(all["breakers"].as_array().unwrap().len(), 1, "{all}");
    let unknown = daemon.post("/v1/breakers/other/close", "");
    assert_eq!(unknown.problem(), "404 breaker_not_found");
}

#[test]
fn the_command_line_shows_breakers_and_orders_them_about() {
    let daemon = Daemon::up(TEAM).settled();
    let regrow = |arguments: &[&str]| {
        let said = daemon.regrow(&[&["breaker"], arguments].concat());
        (said.code, said.stdout.trim_end().to_owned())
    };
    until("the store is well", || {
        let row = row(&daemon, &["breaker", "ls"], "store");
        let is_it = row.starts_with("store  closed") && row.ends_with("worker  well");
        is_it.then_some(())
    });
    assert_eq!(
        regrow(&["open", "store"]),
        (0, "store   forced_open".into())
    );
    assert_eq!(regrow(&["open", "store", "--for", "30s"]).0, 5);
    assert_eq!(
        regrow(&["reset", "store"]),
        (0, "store   forced_open".into())
    );
    assert_eq!(regrow(&["close", "store"]), (0, "store   closed".into()));
    let (code, said) = regrow(&["open", "store", "--for", "30s"]);
    assert_eq!(code, 0);
    assert!(said.starts_with("store   open, next trial in "), "{said}");
    assert_eq!(regrow(&["reset", "store"]), (0, "store   closed".into()));
    let (_, json) = regrow(&["ls", "store", "--json"]);
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["path"], "root/breakers/store");
    assert_eq!(regrow(&["ls", "other"]).0, 4);
}

#[test]
fn a_start_waits_for_its_gate() {
    let daemon = Daemon::up(&format!("{TEAM}    gate: store\n")).settled();
    daemon.post("/v1/breakers/store/open", "");
    assert_eq!(daemon.regrow(&["stop", "worker"]).code, 0);
    let started = daemon.post("/v1/agents/worker/start", "");
    assert_eq!(started.status, 202, "{started:?}");
    let agent = until("it says what it waits for", || {
        let agent = daemon.agent("worker");
        (agent["message"] == "waits for breaker store").then_some(agent)
    });
    assert_eq!(
        (&agent["phase"], &agent["pid"]),
        (&"starting".into(), &Value::Null)
    );
    assert!(row(&daemon, &["ps"], "worker").ends_with("waits for breaker store"));
    // However often it is restarted meanwhile, that is nothing to wait for, and there is room for more.
    for _ in 0..260 {
        let restarted = daemon.post("/v1/agents/worker/restart", "");
        assert_eq!(restarted.status, 202, "{restarted:?}");
    }
    daemon.post("/v1/breakers/store/close", "");
    daemon.until_phase("worker", "running");
}

#[test]
fn an_agent_that_is_spawned_later_does_not_get_the_id_of_the_breakers() {
    let daemon = Daemon::up(TEAM).settled();
    let body = "{\"agent_id\":\"breakers\",\"command\":\"sleep\",\"args\":[\"1000\"]}";
    let refused = daemon.post("/v1/agents", body);
    assert_eq!(refused.problem(), "409 agent_id_in_use", "{refused:?}");
    assert_eq!(breaker(&daemon, "store")["id"], "store");
}
