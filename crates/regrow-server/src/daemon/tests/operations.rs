//! What can be done with agents over the API.

use super::*;

#[tokio::test]
async fn an_agent_is_stopped_started_and_restarted() {
    let up = start(SLEEPER).await;
    up.settled().await;
    let first = up.get("/v1/agents/sleeper").await;
    let (status, stopped) = up.post("/supervisor/stop/sleeper?wait=30s").await;
    assert_eq!(status, StatusCode::OK, "{stopped}");
    assert_eq!(
        (&stopped["phase"], &stopped["pid"]),
        (&json!("stopped"), &Value::Null)
    );
    let (status, refused) = up.ask("GET", "/agents/sleeper/", Value::Null).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("agent_stopped"))
    );
    let (status, started) = up.post("/v1/agents/sleeper/start?wait=30s").await;
    assert_eq!(
        (status, &started["phase"]),
        (StatusCode::OK, &json!("running")),
        "{started}"
    );
    let (status, again) = up.post("/v1/agents/sleeper/start?wait=30s").await;
    assert_eq!(
        (status, &again["pid"]),
        (StatusCode::OK, &started["pid"]),
        "{again}"
    );
    let (status, restarted) = up.post("/supervisor/restart/sleeper?wait=30s").await;
    assert_eq!(
        (status, &restarted["phase"]),
        (StatusCode::OK, &json!("running")),
        "{restarted}"
    );
    assert!(restarted["generation"].as_u64() > started["generation"].as_u64());
    assert_eq!(restarted["port"], first["port"]);
    assert_eq!(
        up.post("/supervisor/restart/sleeper").await.0,
        StatusCode::ACCEPTED
    );
    for path in [
        "/supervisor/stop/nobody",
        "/supervisor/restart/nobody",
        "/v1/agents/nobody/start",
    ] {
        let (status, problem) = up.post(path).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::NOT_FOUND, &json!("agent_not_found"))
        );
    }
    up.end().await;
}

#[tokio::test]
async fn an_agent_is_spawned_within_the_rules() {
    let up = start(SLEEPER).await;
    let spawn = |body| up.ask("POST", "/supervisor/spawn", body);
    let (status, agent) = spawn(json!({
        "agent_id": "late", "command": "sh", "args": ["-c", "echo $GREETING $PORT; exec sleep 1000"],
        "type": "talker", "tags": ["x"], "env_vars": {"GREETING": "hello"}
    }))
    .await;
    assert_eq!(status, StatusCode::CREATED, "{agent}");
    assert_eq!(
        (&agent["phase"], &agent["type"], &agent["tags"]),
        (&json!("running"), &json!("talker"), &json!(["x"]))
    );
    let log = up.get("/v1/agents/late/logs").await;
    assert_eq!(log["text"], format!("hello {}", agent["port"]));
    let (status, problem) =
        spawn(json!({"agent_id": "late", "command": "sleep", "args": ["9"]})).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("agent_id_in_use"))
    );
    for (body, code) in [
        (
            json!({"agent_id": "p", "package_id": "a.b", "package_path": "/x", "env_vars": {}}),
            "packages_not_supported",
        ),
        (
            json!({"agent_id": "Bad Id", "command": "sleep"}),
            "bad_agent",
        ),
        (json!({"agent_id": "a"}), "bad_agent"),
        (
            json!({"agent_id": "a", "command": "x", "comand": "y"}),
            "bad_body",
        ),
        (json!({"agent_id": 7}), "bad_body"),
    ] {
        let (status, problem) = spawn(body.clone()).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)),
            "{body}"
        );
    }
    for id in ["three", "four"] {
        let (status, agent) =
            spawn(json!({"agent_id": id, "command": "sleep", "args": ["1000"]})).await;
        assert_eq!(status, StatusCode::CREATED, "{agent}");
    }
    let (status, problem) = spawn(json!({"agent_id": "five", "command": "sleep"})).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        problem["detail"].as_str().unwrap().contains('4'),
        "{problem}"
    );
    let request = Request::post("/supervisor/spawn")
        .header("host", "localhost")
        .body(Body::from("{"))
        .unwrap();
    let answer = exchange(
        UnixStream::connect(up.state.join("regrow.sock"))
            .await
            .unwrap(),
        request,
    )
    .await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    up.end().await;
}

#[tokio::test]
async fn an_agent_that_did_not_start_leaves_its_id_free() {
    let up = start(SLEEPER).await;
    let spawn = |command: &str, args: Value| {
        up.ask(
            "POST",
            "/supervisor/spawn",
            json!({"agent_id": "new", "command": command, "args": args}),
        )
    };
    let (status, problem) = spawn("no-such-program-here", json!([])).await;
    assert_eq!(
        (status, &problem["code"]),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!("agent_did_not_start")
        )
    );
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("no-such-program-here"),
        "{problem}"
    );
    assert_eq!(
        up.ask("GET", "/v1/agents/new", Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
    let (status, agent) = spawn("sleep", json!(["1000"])).await;
    assert_eq!(
        (status, &agent["phase"]),
        (StatusCode::CREATED, &json!("running")),
        "{agent}"
    );
    up.end().await;
}

#[tokio::test]
async fn an_agent_whose_place_has_gone_is_told_of_no_more() {
    let up = start("  once: { command: [sh, -c, 'read line'], restart: temporary }\n").await;
    up.settled().await;
    assert_eq!(
        up.get("/supervisor/status").await["agents"][0]["id"],
        "once"
    );
    assert_eq!(
        up.post("/supervisor/stop/once?wait=30s").await.0,
        StatusCode::OK
    );
    assert_eq!(up.get("/supervisor/status").await, json!({"agents": []}));
    assert_eq!(
        up.ask("GET", "/v1/agents/once", Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
    up.end().await;
}

#[tokio::test]
async fn what_an_agent_held_whose_place_has_gone_is_free_for_the_next() {
    let once = "  once: { command: [sh, -c, 'read line'], restart: temporary, port: auto }\n";
    let up = start(once).await;
    up.settled().await;
    let port = up.get("/v1/agents/once").await["port"].clone();
    let (status, _) = up.post("/supervisor/stop/once?wait=30s").await;
    assert_eq!(status, StatusCode::OK);
    let script = "echo ${REGROW_PORT_ONCE-nobody}; exec sleep 1000";
    let (status, late) = up
        .ask(
            "POST",
            "/v1/agents",
            json!({"agent_id": "late", "command": "sh", "args": ["-c", script]}),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{late}");
    // For a moment its port is for nobody but an agent of its id.
    assert_ne!(late["port"], port);
    let request = up.request("GET", "/v1/agents/late/logs?follow=1", &Value::Null);
    let mut log = up.send(request).await.into_body();
    let first = in_time(log.frame()).await.unwrap().unwrap();
    let line: Value = serde_json::from_slice(first.data_ref().unwrap()).unwrap();
    assert_eq!(line["text"], "nobody");
    let (status, anew) = up
        .ask(
            "POST",
            "/v1/agents",
            json!({"agent_id": "once", "command": "sleep", "args": ["1000"]}),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{anew}");
    up.end().await;
}

#[tokio::test]
async fn a_restart_of_an_agent_that_waits_for_another_does_not_start_it_before() {
    let agents = "  slow: { command: [sleep, '1000'], start_window: 1h }\n  \
                  next: { command: [sleep, '1000'], depends_on: [slow] }\n";
    let up = start(agents).await;
    let (status, agent) = up.post("/supervisor/restart/next?wait=30s").await;
    assert_eq!(
        (status, &agent["phase"], &agent["generation"]),
        (StatusCode::OK, &json!("pending"), &json!(0)),
        "{agent}"
    );
    up.end().await;
}

#[tokio::test]
async fn only_so_many_follow_the_logs_at_once() {
    let up = start(SLEEPER).await;
    let follow = || up.send(up.request("GET", "/v1/logs?follow=1", &Value::Null));
    let mut followers = Vec::new();
    for _ in 0..Roster::MAX_FOLLOWERS {
        let follower = follow().await;
        assert_eq!(follower.status(), StatusCode::OK);
        followers.push(follower);
    }
    let one_more = up.ask("GET", "/v1/logs?follow=1", Value::Null);
    let (status, problem) = in_time(one_more).await;
    assert_eq!(
        (status, &problem["code"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &json!("too_many_followers")
        )
    );
    let (status, _) = up.ask("GET", "/v1/logs", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    drop(followers.pop());
    in_time(async { while follow().await.status() != StatusCode::OK {} }).await;
    up.end().await;
}

#[tokio::test]
async fn two_ids_that_others_would_know_by_one_name_are_refused() {
    let up = start("  a-b: { command: [sleep, '1000'] }\n").await;
    let (status, problem) = up
        .ask(
            "POST",
            "/v1/agents",
            json!({"agent_id": "a.b", "command": "sleep"}),
        )
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("port_variable_in_use"))
    );
    up.end().await;
}

#[tokio::test]
async fn a_wait_that_is_too_short_says_who_is_still_on_the_way() {
    let agents = format!("{SLEEPER}  slow: {{ command: [sleep, '1000'], start_window: 1h }}\n");
    let up = start(&agents).await;
    let (status, problem) = up.ask("GET", "/v1/wait?timeout=200ms", Value::Null).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::GATEWAY_TIMEOUT, &json!("wait_timeout"))
    );
    assert_eq!(problem["wait"]["waiting"], json!(["slow"]), "{problem}");
    let (status, text) = up.ask("GET", "/startupz", Value::Null).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    let (status, problem) = up.post("/v1/agents/slow/restart?wait=1ms").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::GATEWAY_TIMEOUT, &json!("wait_timeout"))
    );
    up.end().await;
}
