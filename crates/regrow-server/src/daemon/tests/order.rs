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
