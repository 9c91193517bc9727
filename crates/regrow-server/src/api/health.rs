//! The addresses that others look at: is it alive, may it be given work, what is the matter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{StatusCode, Uri};

use super::Api;
use super::params::{Flag, Params};
use crate::wire::{Agent, AgentHealth, DaemonPhase, FailedAgent, Health, Now, Problem};

type Text = (StatusCode, String);

pub(super) async fn livez(uri: Uri) -> Result<Text, Box<Problem>> {
    Params::of(&uri, &["verbose"])?;
    Ok((StatusCode::OK, "ok\n".to_owned()))
}

pub(super) async fn startupz(State(api): State<Api>, uri: Uri) -> Result<Text, Box<Problem>> {
    let params = Params::of(&uri, &["verbose"])?;
    let boot = Check {
        name: "boot".to_owned(),
        trouble: (api.roster.phase() == DaemonPhase::Starting)
            .then(|| "not every agent has been started yet".to_owned()),
    };
    Ok(answer(&[boot], params.flag("verbose")?))
}

pub(super) async fn readyz(State(api): State<Api>, uri: Uri) -> Result<Text, Box<Problem>> {
    let params = Params::of(&uri, &["verbose"])?;
    let checks = readiness(api.roster.phase(), &api.roster.all().await);
    Ok(answer(&checks, params.flag("verbose")?))
}

pub(super) async fn tree(State(api): State<Api>, uri: Uri) -> Result<Json<Health>, Box<Problem>> {
    Params::of(&uri, &["verbose"])?;
    Ok(Json(health(&api.roster.all().await)))
}

/// The same, with what each agent answers when it is asked now.
pub(super) async fn broadcast(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<Health>, Box<Problem>> {
    Params::of(&uri, &["verbose"])?;
    let found = api.roster.ask_all().await;
    let mut health = health(&api.roster.all().await);
    for (id, agent) in &mut health.agents {
        let of_agent = found.get(id);
        for probe in &mut agent.probes {
            let answer = of_agent.and_then(|found| found.get(&probe.name));
            probe.now = answer.map(|found| Now {
                result: found.result.as_str().to_owned(),
                why: (!found.cause.is_empty()).then(|| found.cause.to_string()),
            });
        }
    }
    Ok(Json(health))
}

pub(super) async fn metrics(
    State(api): State<Api>,
    uri: Uri,
) -> Result<([(HeaderName, &'static str); 1], String), Box<Problem>> {
    Params::of(&uri, &[])?;
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    // Many series take long: not on a worker of the runtime.
    let rendered = tokio::task::spawn_blocking(move || api.roster.metrics()).await;
    rendered.map(|text| (kind, text)).map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the metrics could not be written: {error}"),
        )
    })
}

/// One thing that has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: String,
    /// Why it is not.
    trouble: Option<String>,
}

fn readiness(phase: DaemonPhase, agents: &[Agent]) -> Vec<Check> {
    let check = |name: &str, trouble: Option<String>| Check {
        name: name.to_owned(),
        trouble,
    };
    let mut checks = vec![
        check(
            "boot",
            (phase == DaemonPhase::Starting).then(|| "starting".to_owned()),
        ),
        check(
            "stop",
            (phase == DaemonPhase::Draining).then(|| "draining".to_owned()),
        ),
    ];
    for agent in agents.iter().filter(|agent| agent.required) {
        let trouble = is_down(agent).then(|| match (&agent.message, agent.trouble()) {
            (_, Some(trouble)) if agent.phase == "running" => trouble,
            (Some(message), _) => format!("{}: {message}", agent.phase),
            (None, _) => agent.phase.clone(),
        });
        checks.push(check(&format!("agent {}", agent.id), trouble));
    }
    checks
}

/// Whether it does not run, or its probes say that it does no good.
fn is_down(agent: &Agent) -> bool {
    agent.phase != "running" || agent.health == "down"
}

/// 200 if all is well, else 503 with the troubles; every check if all are asked for.
fn answer(checks: &[Check], verbose: Flag) -> Text {
    let well = checks.iter().all(|check| check.trouble.is_none());
    let mut text = String::new();
    for check in checks {
        let shown = match (&check.trouble, verbose) {
            (Some(trouble), Flag::On | Flag::Off) => {
                writeln!(text, "[-] {}: {trouble}", check.name)
            }
            (None, Flag::On) => writeln!(text, "[+] {}", check.name),
            (None, Flag::Off) => Ok(()),
        };
        shown.expect("a string takes all that is written to it");
    }
    text.push_str(if well { "ok\n" } else { "not ready\n" });
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text)
}

fn health(agents: &[Agent]) -> Health {
    let parked: Vec<FailedAgent> = agents
        .iter()
        .filter(|agent| agent.phase == "failed")
        .map(|agent| FailedAgent {
            id: agent.id.clone(),
            message: agent.message.clone().unwrap_or_default(),
        })
        .collect();
    let of = |agent: &Agent| AgentHealth {
        phase: agent.phase.clone(),
        health: agent.health.clone(),
        ready: agent.ready,
        required: agent.required,
        why: agent.trouble(),
        probes: agent.probes.clone(),
    };
    let agents_by_id: BTreeMap<_, _> = agents
        .iter()
        .map(|agent| (agent.id.clone(), of(agent)))
        .collect();
    let required_is_down = agents.iter().any(|agent| agent.required && is_down(agent));
    let some_are_unwell = agents
        .iter()
        .any(|agent| agent.is_cut_off() || matches!(agent.health.as_str(), "degraded" | "down"));
    let status = if required_is_down {
        "down"
    } else if !parked.is_empty() || some_are_unwell {
        "degraded"
    } else {
        "up"
    };
    Health {
        status: status.to_owned(),
        parked,
        agents: agents_by_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ProbeState;

    fn agent(id: &str, phase: &str, required: bool) -> Agent {
        Agent {
            phase: phase.into(),
            required,
            message: (phase == "failed").then(|| "exit 1".to_owned()),
            ..crate::wire::tests::agent(id)
        }
    }

    #[test]
    fn ready_is_who_has_started_does_not_drain_and_has_all_that_is_required() {
        let well = [agent("a", "running", true), agent("b", "failed", false)];
        assert_eq!(
            answer(&readiness(DaemonPhase::Running, &well), Flag::Off),
            (StatusCode::OK, "ok\n".to_owned())
        );
        let unwell = [agent("a", "running", true), agent("b", "failed", true)];
        assert_eq!(
            answer(&readiness(DaemonPhase::Running, &unwell), Flag::Off),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "[-] agent b: failed: exit 1\nnot ready\n".to_owned()
            )
        );
        assert_eq!(
            answer(&readiness(DaemonPhase::Draining, &unwell), Flag::On).1,
            "[+] boot\n[-] stop: draining\n[+] agent a\n[-] agent b: failed: exit 1\nnot ready\n"
        );
        let starting = readiness(DaemonPhase::Starting, &well);
        assert_eq!(
            answer(&starting, Flag::Off).0,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[test]
    fn a_parked_agent_degrades_the_whole_and_is_named() {
        assert_eq!(health(&[agent("a", "running", false)]).status, "up");
        let degraded = health(&[agent("a", "running", false), agent("b", "failed", false)]);
        assert_eq!(degraded.status, "degraded");
        assert_eq!(
            degraded.parked,
            [FailedAgent {
                id: "b".into(),
                message: "exit 1".into()
            }]
        );
        let unwell = |health: &str, required| Agent {
            health: health.to_owned(),
            ready: health != "down",
            probes: vec![ProbeState {
                name: "readiness".to_owned(),
                kind: "readiness".to_owned(),
                verdict: if health == "down" {
                    "failure"
                } else {
                    "degraded"
                }
                .to_owned(),
                last: Some("failure".to_owned()),
                why: Some("nobody listens".to_owned()),
                now: None,
            }],
            ..agent("a", "running", required)
        };
        for (word, required, expected) in [
            ("degraded", true, "degraded"),
            ("down", false, "degraded"),
            ("down", true, "down"),
        ] {
            let health = health(&[unwell(word, required)]);
            assert_eq!(health.status, expected, "{word} {required}");
            let why = "probe readiness: nobody listens";
            assert_eq!(health.agents["a"].why.as_deref(), Some(why));
        }
        assert_eq!(
            answer(
                &readiness(DaemonPhase::Running, &[unwell("down", true)]),
                Flag::Off
            )
            .1,
            "[-] agent a: probe readiness: nobody listens\nnot ready\n"
        );
        assert_eq!(health(&[agent("a", "backoff", true)]).status, "down");
        assert_eq!(health(&[agent("a", "backoff", false)]).status, "up");
    }
}
