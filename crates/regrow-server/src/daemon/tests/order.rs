//! What comes after what, and what comes to an end.

use super::*;

/// Waits until an agent is in a phase, and tells of it.
async fn reaches(up: &Up, id: &str, phase: &str) -> Value {
    let looking = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            let agent = up.get(&format!("/v1/agents/{id}")).await;
            if agent["phase"] == phase {
                return agent;
            }
            look.tick().await;
        }
    };
    in_time(looking).await
}

#[tokio::test]
async fn a_job_that_is_done_counts_as_up_and_an_operator_runs_it_again() {
    let up = start(
        "  job: { command: 'exit 0', once: true, start_window: 20s }\n  \
         bad: { command: 'exit 3', once: true }\n",
    )
    .await;
    for wait in ["started", "ready"] {
        let path = format!("/v1/wait?timeout=30s&for={wait}");
        let (status, report) = up.ask("GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{report}");
        assert_eq!(report["failed"][0]["id"], "bad", "{report}");
    }
    let job = up.get("/v1/agents/job").await;
    assert_eq!(
        (&job["phase"], &job["desired"], &job["last_exit"]["code"]),
        (&json!("completed"), &json!("once"), &json!(0)),
        "{job}"
    );
    let (status, again) = up.post("/v1/agents/job/start?wait=30s").await;
    assert_eq!(
        (status, &again["phase"], &again["generation"]),
        (StatusCode::OK, &json!("completed"), &json!(2)),
        "{again}"
    );
    let bad = reaches(&up, "bad", "failed").await;
    assert_eq!(bad["restarts"], 1, "{bad}");
    up.end().await;
}

/// An agent that is up when this file is there, and says then that it is ready.
const GATED: &str = "while ! test -e go; do sleep 0.02; done";

#[tokio::test]
async fn an_agent_starts_when_its_conditions_are_met_and_not_before() {
    let up = start(&format!(
        "  db: {{ command: 'echo opening; {GATED}; echo now accepting; exec sleep 1000', \
                 ready: {{ log: 'now accepting' }} }}\n  \
         job: {{ command: 'test -e go', once: true, depends_on: {{ db: ready }} }}\n  \
         web: {{ command: 'exec sleep 1000', depends_on: {{ db: started, job: completed_successfully }} }}\n  \
         soon: {{ command: 'exec sleep 1000', depends_on: [db] }}\n"
    ))
    .await;
    let soon = reaches(&up, "soon", "running").await;
    assert_eq!(soon["ready"], true);
    let db = up.get("/v1/agents/db").await;
    assert_eq!(
        (&db["phase"], &db["ready"]),
        (&json!("running"), &json!(false))
    );
    let web = up.get("/v1/agents/web").await;
    assert_eq!(
        (&web["phase"], &web["message"], &web["depends_on"]),
        (
            &json!("pending"),
            &json!("waits for db (started), job (completed_successfully)"),
            &json!(["db", "job"])
        )
    );
    std::fs::write(up.folder().join("go"), "").unwrap();
    let report = up
        .ask("GET", "/v1/wait?timeout=30s&for=ready", Value::Null)
        .await;
    assert_eq!(report.0, StatusCode::OK, "{report:?}");
    assert_eq!(reaches(&up, "web", "running").await["generation"], 1);
    assert_eq!(up.get("/v1/agents/job").await["phase"], "completed");
    assert_eq!(up.get("/v1/agents/db").await["ready"], true);
    up.end().await;
}

#[tokio::test]
async fn who_waits_in_vain_says_for_whom_and_comes_up_when_that_does() {
    let up = start(
        "  job: { command: 'test -e go', once: true }\n  \
         web: { command: 'exec sleep 1000', depends_on: { job: completed_successfully } }\n  \
         off: { command: 'exec sleep 1000', enabled: false }\n",
    )
    .await;
    let report = up.settled().await;
    assert_eq!(report["failed"][1]["id"], "web", "{report}");
    let why = report["failed"][1]["message"].as_str().unwrap();
    assert_eq!(why, "depends on \"root/job\", which was given up on");
    let off = up.get("/v1/agents/off").await;
    assert_eq!(
        (&off["phase"], &off["desired"]),
        (&json!("stopped"), &json!("down"))
    );
    std::fs::write(up.folder().join("go"), "").unwrap();
    let (status, job) = up.post("/v1/agents/job/start?wait=30s").await;
    assert_eq!(
        (status, &job["phase"]),
        (StatusCode::OK, &json!("completed")),
        "{job}"
    );
    reaches(&up, "web", "running").await;
    let (status, off) = up.post("/v1/agents/off/start?wait=30s").await;
    assert_eq!(
        (status, &off["phase"]),
        (StatusCode::OK, &json!("running")),
        "{off}"
    );
    up.end().await;
}

/// The generations of some agents.
async fn generations(up: &Up, ids: &[&str]) -> Vec<u64> {
    let mut all = Vec::new();
    for id in ids {
        let agent = up.get(&format!("/v1/agents/{id}")).await;
        all.push(agent["generation"].as_u64().unwrap());
    }
    all
}

/// Waits until some agents run in these lives.
async fn live(up: &Up, ids: &[&str], expected: &[u64]) {
    in_time(async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            let mut running = true;
            for id in ids {
                let agent = up.get(&format!("/v1/agents/{id}")).await;
                running &= agent["phase"] == "running";
            }
            if running && generations(up, ids).await == expected {
                return;
            }
            look.tick().await;
        }
    })
    .await;
}

/// An agent that fails when this file is there, and takes the file away.
fn fails_by(file: &str) -> String {
    format!("while ! test -e {file}; do sleep 0.02; done; rm {file}; exit 3")
}

#[tokio::test]
async fn an_agent_of_a_group_that_fails_takes_the_rest_along_and_nobody_else() {
    let up = start_with(
        "groups: { g: { strategy: rest_for_one, max_restarts: 9, within: 60s } }\n",
        &format!(
            "  a: {{ command: 'exec sleep 1000', group: g, port: auto }}\n  \
             b: {{ command: '{}', group: g, restart: {{ max_restarts: 9 }} }}\n  \
             c: {{ command: 'exec sleep 1000', group: g }}\n  \
             d: {{ command: 'exec sleep 1000', depends_on: [c] }}\n",
            fails_by("go")
        ),
    )
    .await;
    let all = ["a", "b", "c", "d"];
    live(&up, &all, &[1, 1, 1, 1]).await;
    let c = up.get("/v1/agents/c").await;
    assert_eq!((&c["path"], &c["group"]), (&json!("root/g/c"), &json!("g")));
    std::fs::write(up.folder().join("go"), "").unwrap();
    live(&up, &all, &[1, 2, 2, 1]).await;
    // Operators and the gateway find them as they find any other.
    let (status, stopped) = up.post("/v1/agents/c/stop?wait=30s").await;
    assert_eq!(
        (status, &stopped["phase"]),
        (StatusCode::OK, &json!("stopped")),
        "{stopped}"
    );
    let (status, started) = up.post("/v1/agents/c/start?wait=30s").await;
    assert_eq!(
        (status, &started["phase"]),
        (StatusCode::OK, &json!("running")),
        "{started}"
    );
    let (status, _) = up.ask("GET", "/agents/a/", Value::Null).await;
    assert_ne!(status, StatusCode::NOT_FOUND);
    assert!(up.get("/v1/agents?query=path:root/g/c").await["agents"][0]["id"] == "c");
    up.end().await;
}

#[tokio::test]
async fn a_group_that_fails_too_often_begins_anew_as_a_whole_and_is_given_up_on_alone() {
    let up = start_with(
        "groups: { g: { max_restarts: 0, within: 60s } }\n",
        &format!(
            "  a: {{ command: 'exec sleep 1000', group: g }}\n  \
             b: {{ command: '{}', group: g, restart: {{ max_restarts: 9 }} }}\n  \
             d: {{ command: 'exec sleep 1000' }}\n",
            fails_by("go")
        ),
    )
    .await;
    let all = ["a", "b", "d"];
    live(&up, &all, &[1, 1, 1]).await;
    std::fs::write(up.folder().join("go"), "").unwrap();
    live(&up, &all, &[2, 2, 1]).await;
    // The limit of the whole group is that of an agent that says nothing: 1 here.
    std::fs::write(up.folder().join("go"), "").unwrap();
    for id in ["a", "b"] {
        let failed = reaches(&up, id, "failed").await;
        let why = failed["message"].as_str().unwrap();
        assert!(why.starts_with("its group \"g\" was given up on"), "{why}");
    }
    assert_eq!(up.get("/health").await["status"], "degraded");
    up.is_the_same_at_a_glance().await;
    assert_eq!(generations(&up, &["d"]).await, [1]);
    let (status, stopped) = up.post("/v1/agents/a/stop?wait=30s").await;
    assert_eq!(
        (status, &stopped["phase"]),
        (StatusCode::OK, &json!("failed")),
        "{stopped}"
    );
    let (status, started) = up.post("/v1/agents/a/start?wait=30s").await;
    assert_eq!(
        (status, &started["phase"]),
        (StatusCode::OK, &json!("running")),
        "{started}"
    );
    live(&up, &all, &[3, 3, 1]).await;
    up.end().await;
}

#[tokio::test]
async fn an_agent_is_spawned_into_a_group_that_there_is() {
    let up = start_with(
        "groups: { g: { strategy: rest_for_one } }\n",
        "  a: { command: 'exec sleep 1000', group: g }\n",
    )
    .await;
    up.settled().await;
    let body = |group: &str| json!({ "agent_id": "late", "command": "sleep", "args": ["1000"], "group": group });
    let (status, refused) = up.ask("POST", "/v1/agents", body("h")).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_agent"))
    );
    let (status, late) = up.ask("POST", "/v1/agents", body("g")).await;
    assert_eq!(
        (status, &late["path"], &late["phase"]),
        (
            StatusCode::CREATED,
            &json!("root/g/late"),
            &json!("running")
        ),
        "{late}"
    );
    up.end().await;
}
