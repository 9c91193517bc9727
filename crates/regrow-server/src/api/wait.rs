//! Waiting until every agent has come to rest.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::params::{Params, bad_value};
use crate::wire::{Agent, FailedAgent, Pool, Problem, WaitReport};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Even if no event tells of a change, things are looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Started,
    Ready,
}

pub(super) async fn wait(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<WaitReport>, Box<Problem>> {
    let params = Params::of(&uri, &["for", "timeout"])?;
    let until = match params.one("for")? {
        None | Some("started") => Until::Started,
        Some("ready") => Until::Ready,
        Some(other) => return Err(bad_value("for", "started or ready", other)),
    };
    let limit = params.duration("timeout")?.unwrap_or(DEFAULT_TIMEOUT);
    let deadline = Instant::now() + limit;
    let mut changes = api.roster.changes();
    let mut ended = api.ended.clone();
    loop {
        changes.mark_unchanged();
        let report = report(&api.roster.all().await, &api.roster.pools(), until);
        if report.done {
            return Ok(Json(report));
        }
        if Instant::now() >= deadline || *ended.borrow_and_update() {
            return Err(not_yet(report, limit));
        }
        let next = deadline.min(Instant::now() + LOOK_AGAIN);
        let change = async {
            tokio::select! {
                _ = changes.changed() => {}
                _ = ended.changed() => {}
            }
        };
        // Whether it was a change or the time: look.
        drop(timeout_at(next, change).await);
    }
}

fn not_yet(report: WaitReport, limit: Duration) -> Box<Problem> {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "wait_timeout",
        format!(
            "not up after {} s: {}",
            limit.as_secs(),
            report.waiting.join(", ")
        ),
    )
    .hint("they go on; see what they do: regrow ps, regrow logs")
    .waiting(report)
}

fn report(agents: &[Agent], pools: &[Pool], until: Until) -> WaitReport {
    let mut report = WaitReport::default();
    // Whether a worker is missing, its pool says.
    for agent in agents.iter().filter(|agent| agent.pool.is_none()) {
        match agent.phase.as_str() {
            "failed" => report.failed.push(FailedAgent {
                id: agent.id.clone(),
                message: agent.message.clone().unwrap_or_default(),
            }),
            "completed" | "stopped" | "paused" => {}
            "running" if until == Until::Started || agent.ready => {}
            _ => report.waiting.push(agent.id.clone()),
        }
    }
    for pool in pools.iter().filter(|pool| !pool.is_warm()) {
        let id = format!("pool/{}", pool.id);
        let mut workers = agents.iter();
        let parked = workers.find(|agent| {
            agent.phase == "failed" && agent.pool.as_deref() == Some(pool.id.as_str())
        });
        if pool.is_stuck() || parked.is_some() {
            let why = parked.and_then(|worker| worker.message.clone());
            let message = why.or_else(|| pool.trouble()).unwrap_or_default();
            report.failed.push(FailedAgent { id, message });
        } else {
            report.waiting.push(id);
        }
    }
    report.done = report.waiting.is_empty();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, phase: &str, ready: bool) -> Agent {
        Agent {
            phase: phase.into(),
            ready,
            message: (phase == "failed").then(|| "exit 1".to_owned()),
            ..crate::wire::tests::agent(id)
        }
    }

    #[test]
    fn an_agent_that_starts_or_waits_is_waited_for_and_one_that_failed_is_named() {
        let agents = [
            agent("a", "running", true),
            agent("b", "starting", false),
            agent("c", "backoff", false),
            agent("d", "failed", false),
            agent("e", "completed", false),
            agent("f", "stopped", false),
            agent("g", "pending", false),
        ];
        let report = report(&agents, &[], Until::Started);
        assert!(!report.done);
        assert_eq!(report.waiting, ["b", "c", "g"]);
        let failed = FailedAgent {
            id: "d".into(),
            message: "exit 1".into(),
        };
        assert_eq!(report.failed, [failed]);
    }

    #[test]
    fn one_that_runs_is_started_though_not_ready() {
        let agents = [agent("a", "running", false)];
        assert!(report(&agents, &[], Until::Started).done);
        assert!(!report(&agents, &[], Until::Ready).done);
    }

    #[test]
    fn a_pool_is_waited_for_until_it_is_warm_and_has_failed_when_its_workers_do_not_start() {
        use crate::wire::pool_of_tests as pool;
        let starting = Pool {
            ready: 1,
            ..pool("p")
        };
        let stuck = Pool {
            ready: 1,
            starts: "open".to_owned(),
            ..pool("x")
        };
        let worker = Agent {
            pool: Some("p".to_owned()),
            ..agent("p-2", "starting", false)
        };
        let agents = [worker];
        let of = |pool: Pool| report(&agents, &[pool], Until::Ready);
        assert_eq!(of(starting).waiting, ["pool/p"]);
        assert!(of(pool("p")).done);
        let failed = FailedAgent {
            id: "pool/x".to_owned(),
            message: "1 of at least 2 workers is ready: its workers do not start".to_owned(),
        };
        assert_eq!(of(stuck).failed, [failed]);
    }
}
