//! How the whole is, from how its agents are: what the addresses answer that others look at, whoever is asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::StatusCode;

use crate::wire::{Agent, AgentHealth, DaemonPhase, FailedAgent, Health, PoolHealth, ProbeState};

/// A status and what is said with it.
pub(crate) type Text = (StatusCode, String);

/// Whether what is well is named too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbose {
    /// Only troubles are.
    Off,
    /// It is.
    On,
}

/// What of an agent the health of the whole hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brief {
    pub(crate) id: String,
    pub(crate) phase: String,
    /// `unknown`, `up`, `degraded` or `down`.
    pub(crate) health: String,
    pub(crate) ready: bool,
    pub(crate) required: bool,
    /// Why it is parked, or its last failure in words, where that is known.
    pub(crate) message: Option<String>,
    /// Whether requests are kept from it by its breaker.
    pub(crate) is_cut_off: bool,
    /// Why its probes say that it is not well, or that its breaker is open, where that is known.
    pub(crate) trouble: Option<String>,
    pub(crate) probes: Vec<ProbeState>,
    /// Whether it is a worker: then its pool says whether it is missing.
    pub(crate) is_worker: bool,
}

impl From<&Agent> for Brief {
    fn from(agent: &Agent) -> Self {
        Self {
            id: agent.id.clone(),
            phase: agent.phase.clone(),
            health: agent.health.clone(),
            ready: agent.ready,
            required: agent.required,
            message: agent.message.clone(),
            is_cut_off: agent.is_cut_off(),
            trouble: agent.trouble(),
            probes: agent.probes.clone(),
            is_worker: agent.pool.is_some(),
        }
    }
}

impl Brief {
    /// Whether it does not run, or its probes say that it does no good.
    fn is_down(&self) -> bool {
        self.phase != "running" || self.health == "down"
    }
}

/// One thing that has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    name: String,
    /// Why it is not.
    trouble: Option<String>,
}

impl Check {
    pub(crate) fn new(name: &str, trouble: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            trouble,
        }
    }
}

/// What has to be so before regrow counts as started.
pub(crate) fn startup(phase: DaemonPhase) -> Vec<Check> {
    let starts = phase == DaemonPhase::Starting;
    let trouble = starts.then(|| "not every agent has been started yet".to_owned());
    vec![Check::new("boot", trouble)]
}

/// What has to be so before regrow may be given work.
pub(crate) fn readiness(
    phase: DaemonPhase,
    agents: &[Brief],
    pools: &BTreeMap<String, PoolHealth>,
) -> Vec<Check> {
    let in_phase = |wrong, word: &str| (phase == wrong).then(|| word.to_owned());
    let mut checks = vec![
        Check::new("boot", in_phase(DaemonPhase::Starting, "starting")),
        Check::new("stop", in_phase(DaemonPhase::Draining, "draining")),
    ];
    for agent in agents.iter().filter(|agent| agent.required) {
        let trouble = agent
            .is_down()
            .then(|| match (&agent.message, &agent.trouble) {
                (_, Some(trouble)) if agent.phase == "running" => trouble.clone(),
                (Some(message), _) => format!("{}: {message}", agent.phase),
                (None, _) => agent.phase.clone(),
            });
        checks.push(Check::new(&format!("agent {}", agent.id), trouble));
    }
    for (id, pool) in pools.iter().filter(|(_, pool)| pool.required) {
        let why = pool.why.as_deref().unwrap_or("no worker is ready");
        let trouble = pool.is_down().then(|| why.to_owned());
        checks.push(Check::new(&format!("pool {id}"), trouble));
    }
    checks
}

/// 200 if all is well, else 503 with the troubles; every check if all are asked for.
pub(crate) fn answer(checks: &[Check], verbose: Verbose) -> Text {
    let well = checks.iter().all(|check| check.trouble.is_none());
    let mut text = String::new();
    for check in checks {
        let shown = match (&check.trouble, verbose) {
            (Some(trouble), Verbose::On | Verbose::Off) => {
                writeln!(text, "[-] {}: {trouble}", check.name)
            }
            (None, Verbose::On) => writeln!(text, "[+] {}", check.name),
            (None, Verbose::Off) => Ok(()),
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

/// How the whole is: `down` while a required agent or pool is, `degraded` while an agent is parked or unwell, or a pool has too few workers.
pub(crate) fn of_the_whole(agents: Vec<Brief>, pools: BTreeMap<String, PoolHealth>) -> Health {
    let is_parked = |agent: &&Brief| agent.phase == "failed";
    let parked: Vec<FailedAgent> = agents
        .iter()
        .filter(is_parked)
        .map(|agent| FailedAgent {
            id: agent.id.clone(),
            message: agent.message.clone().unwrap_or_default(),
        })
        .collect();
    let required_is_down = agents.iter().any(|agent| agent.required && agent.is_down());
    let own = agents.iter().filter(|agent| !agent.is_worker);
    let some_are_unwell = own
        .clone()
        .any(|agent| agent.is_cut_off || matches!(agent.health.as_str(), "degraded" | "down"))
        || pools.values().any(|pool| pool.why.is_some());
    let a_pool_is_down = pools.values().any(|pool| pool.required && pool.is_down());
    let status = if required_is_down || a_pool_is_down {
        "down"
    } else if !parked.is_empty() || some_are_unwell {
        "degraded"
    } else {
        "up"
    };
    let of = |agent: Brief| AgentHealth {
        phase: agent.phase,
        health: agent.health,
        ready: agent.ready,
        required: agent.required,
        why: agent.trouble,
        probes: agent.probes,
    };
    Health {
        status: status.to_owned(),
        parked,
        agents: agents
            .into_iter()
            .map(|agent| (agent.id.clone(), of(agent)))
            .collect(),
        pools,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, phase: &str, required: bool) -> Agent {
        Agent {
            phase: phase.into(),
            required,
            message: (phase == "failed").then(|| "exit 1".to_owned()),
            ..crate::wire::tests::agent(id)
        }
    }

    fn briefs(agents: &[Agent]) -> Vec<Brief> {
        agents.iter().map(Brief::from).collect()
    }

    fn readiness(phase: DaemonPhase, agents: &[Agent]) -> Vec<Check> {
        super::readiness(phase, &briefs(agents), &BTreeMap::new())
    }

    fn health(agents: &[Agent]) -> Health {
        of_the_whole(briefs(agents), BTreeMap::new())
    }

    #[test]
    fn a_pool_with_too_few_workers_degrades_the_whole_and_says_why() {
        let few = |ready, required| PoolHealth {
            ready,
            desired: 2,
            min: 2,
            max: 8,
            required,
            why: Some("1 of at least 2 workers is ready".to_owned()),
        };
        let of = |pool: PoolHealth| BTreeMap::from([("p".to_owned(), pool)]);
        let worker = Agent {
            pool: Some("p".to_owned()),
            health: "down".to_owned(),
            ..agent("p-1", "running", false)
        };
        let status = |pools| of_the_whole(briefs(std::slice::from_ref(&worker)), pools).status;
        assert_eq!(status(BTreeMap::new()), "up");
        assert_eq!(status(of(few(1, true))), "degraded");
        assert_eq!(status(of(few(0, false))), "degraded");
        assert_eq!(status(of(few(0, true))), "down");
        let checks = super::readiness(DaemonPhase::Running, &[], &of(few(0, true)));
        let said = "[-] pool p: 1 of at least 2 workers is ready\nnot ready\n";
        assert_eq!(answer(&checks, Verbose::Off).1, said);
    }

    #[test]
    fn ready_is_who_has_started_does_not_drain_and_has_all_that_is_required() {
        let well = [agent("a", "running", true), agent("b", "failed", false)];
        assert_eq!(
            answer(&readiness(DaemonPhase::Running, &well), Verbose::Off),
            (StatusCode::OK, "ok\n".to_owned())
        );
        let unwell = [agent("a", "running", true), agent("b", "failed", true)];
        assert_eq!(
            answer(&readiness(DaemonPhase::Running, &unwell), Verbose::Off),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "[-] agent b: failed: exit 1\nnot ready\n".to_owned()
            )
        );
        assert_eq!(
            answer(&readiness(DaemonPhase::Draining, &unwell), Verbose::On).1,
            "[+] boot\n[-] stop: draining\n[+] agent a\n[-] agent b: failed: exit 1\nnot ready\n"
        );
        let starting = readiness(DaemonPhase::Starting, &well);
        assert_eq!(
            answer(&starting, Verbose::Off).0,
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
                Verbose::Off
            )
            .1,
            "[-] agent a: probe readiness: nobody listens\nnot ready\n"
        );
        assert_eq!(health(&[agent("a", "backoff", true)]).status, "down");
        assert_eq!(health(&[agent("a", "backoff", false)]).status, "up");
    }
}
