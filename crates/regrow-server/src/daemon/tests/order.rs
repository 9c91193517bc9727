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
