//! Breakers: those of the file and those that agents have of their own, as children of the tree.
//!
//! All of them are below one supervisor, `root/breakers`, which no failure of theirs makes give up; there is none where there are no
//! breakers. One that an agent has of its own has the id of that agent. A check of a breaker is a probe of its child: it runs as often,
//! bounded and spread as any other, and each run is one call through the breaker.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regrow::breaker::{Breaker, BreakerError, CircuitCause, CircuitState, CircuitStatus, Ended};
use regrow::probe::{CheckResult, Probe, call};
use regrow::telemetry::{Event, Payload, Telemetry};
use regrow::{ChildSpec, Supervisor};
use regrow_core::probe::{ProbeResult, ProbeRules};
use regrow_process::ProcessHandle;

use super::child;
use super::probes::Asked;
use crate::config::{AgentBreaker, AgentConfig, BREAKERS, BreakerCheck, Config};
use crate::gateway::{Before, Judge};

/// What a check is called among probes.
const CHECK: &str = "check";

/// The name of our handler.
const HANDLER: &str = "breakers";

/// A check ends by its own timeout, and so is judged. Should it not, the probe drops it this much later.
const SPARE: Duration = Duration::from_secs(1);

/// The breakers of one daemon, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breakers(BTreeMap<String, Breaker>);

impl Breakers {
    /// Those that the file names, and one for each agent that has its own.
    pub(super) fn of(config: &Config) -> Self {
        let named = config.breakers.iter().map(|one| (&one.id, &one.rules));
        let own = config.agents.iter().filter_map(|agent| {
            let Some(AgentBreaker::Own(rules)) = &agent.breaker else {
                return None;
            };
            Some((&agent.id, rules))
        });
        let made = named.chain(own).map(|(id, rules)| {
            let breaker = Breaker::new(id.as_str(), rules.clone());
            let breaker = breaker.expect("the file was checked for what rules may be");
            (id.clone(), breaker)
        });
        Self(made.collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Breaker> {
        self.0.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Breaker)> {
        self.0.iter().map(|(id, breaker)| (id.as_str(), breaker))
    }

    /// What requests to an agent go through, if they do.
    pub(super) fn before(&self, config: &Config, agent: &AgentConfig) -> Option<Before> {
        let id = id_for(agent)?;
        Some(Before {
            breaker: self.get(id)?.clone(),
            judge: match check_of(config, id) {
                Some(check) => Judge::Check {
                    period: check.rules.period,
                },
                None => Judge::Answers,
            },
        })
    }

    /// What the starts of an agent wait for, if they do.
    pub(super) fn gate(&self, agent: &AgentConfig) -> Option<&Breaker> {
        self.get(agent.gate.as_deref()?)
    }

    /// An agent whose starts wait for a breaker, if they do. One that a check judges lets them through while it is closed: whether an
    /// agent starts says nothing of what is checked.
    pub(super) fn gated(&self, config: &Config, agent: &AgentConfig, spec: ChildSpec) -> ChildSpec {
        let (Some(id), Some(gate)) = (agent.gate.as_deref(), self.gate(agent)) else {
            return spec;
        };
        match check_of(config, id) {
            Some(_) => spec.start_while_closed(gate),
            None => spec.gate(gate),
        }
    }

    /// The supervisor of all of them; `process` gives those of agents.
    pub(super) fn supervisor(
        &self,
        config: &Config,
        process: impl Fn(&str) -> Option<ProcessHandle>,
    ) -> Option<Supervisor> {
        if self.is_empty() {
            return None;
        }
        let mut supervisor = Supervisor::new(BREAKERS).no_intensity_limit();
        for (id, breaker) in &self.0 {
            let mut spec = ChildSpec::from(breaker);
            if let Some(check) = check_of(config, id) {
                let agent = check.agent.as_deref().and_then(&process);
                spec = spec.probe(probe(breaker, check, agent.as_ref(), &config.folder));
            }
            supervisor = supervisor.child(spec);
        }
        Some(supervisor)
    }

    /// From now on what an agent has of its own begins anew with each of its lives, as soon as that is up and may be given work: what an
    /// earlier one did says nothing of it. What an operator has opened stays open.
    pub(super) fn follow(&self, config: &Config, telemetry: &Telemetry) {
        let own = config.agents.iter().filter_map(|agent| {
            let Some(AgentBreaker::Own(_)) = &agent.breaker else {
                return None;
            };
            let own = Own {
                breaker: self.get(&agent.id)?.clone(),
                says_ready: agent.ready.is_some() || agent.is_asked_first(),
                life: AtomicU32::new(0),
            };
            Some((child::path(agent), own))
        });
        let own: HashMap<String, Own> = own.collect();
        if own.is_empty() {
            return;
        }
        let listen = move |event: &Event| {
            if let Some(own) = own.get(event.subject.path.as_str()) {
                own.hear(event.subject.generation, &event.payload);
            }
        };
        if let Err(error) = telemetry.attach(HANDLER, listen) {
            tracing::warn!(%error, "breakers of agents are not reset when these are restarted");
        }
    }
}

/// What calls through a breaker by itself, if there is something. An agent's own has no check, and an id of its own.
fn check_of<'c>(config: &'c Config, id: &str) -> Option<&'c BreakerCheck> {
    let mut named = config.breakers.iter();
    named.find(|one| one.id == id)?.check.as_ref()
}

/// The id of the breaker that requests to an agent go through.
pub(super) fn id_for(agent: &AgentConfig) -> Option<&str> {
    match agent.breaker.as_ref()? {
        AgentBreaker::Shared(id) => Some(id),
        AgentBreaker::Own(_) => Some(&agent.id),
    }
}

/// The path of a breaker.
pub(super) fn path(id: &str) -> String {
    format!("{}/{BREAKERS}/{id}", child::ROOT)
}

/// What an agent has of its own.
#[derive(Debug)]
struct Own {
    breaker: Breaker,
    /// Whether a life of it says that it is ready, after it is up.
    says_ready: bool,
    /// The life that it has begun anew with.
    life: AtomicU32,
}

impl Own {
    fn hear(&self, generation: u32, payload: &Payload) {
        let is_up = matches!(
            (payload, self.says_ready),
            (Payload::ChildStarted { .. }, false) | (Payload::ChildReady { .. }, true)
        );
        // One that turns ready again is the same life.
        let is_new = is_up && self.life.fetch_max(generation, Ordering::Relaxed) < generation;
        if is_new && !is_open_by_order(&self.breaker.status()) {
            self.breaker.reset();
        }
    }
}

/// Whether an operator has opened it for a while, for reasons that a new life knows nothing of. What is opened for good stays so anyway.
fn is_open_by_order(status: &CircuitStatus) -> bool {
    match status.standing.state {
        CircuitState::Open => status.cause == Some(CircuitCause::Operator),
        CircuitState::Closed
        | CircuitState::HalfOpen
        | CircuitState::ForcedOpen
        | CircuitState::Disabled
        | CircuitState::MetricsOnly => false,
    }
}

fn probe(
    breaker: &Breaker,
    check: &BreakerCheck,
    agent: Option<&ProcessHandle>,
    folder: &Path,
) -> Probe {
    let asked = Asked::of_breaker(&check.question, agent, folder);
    let asked = Arc::new(asked.timeout(check.rules.timeout));
    let (breaker, last) = (breaker.clone(), Arc::new(Mutex::default()));
    let through = call(move || {
        let (breaker, asked, last) = (breaker.clone(), Arc::clone(&asked), Arc::clone(&last));
        async move { through(&breaker, &asked, &last).await }
    });
    Probe::custom(CHECK, through).rules(ProbeRules {
        timeout: check.rules.timeout + SPARE,
        // What it says is what it has found last.
        failure_threshold: 1,
        ..check.rules
    })
}

/// One call. While the breaker is open none is made, and that counts for nothing; what the last one found is told on.
async fn through(breaker: &Breaker, asked: &Asked, last: &Mutex<String>) -> CheckResult {
    let ask = async { Ok::<_, Infallible>(asked.run().await) };
    let judge = |found: &Result<CheckResult, Infallible>| match found {
        Ok(found) => ended(found.result),
        Err(never) => match *never {},
    };
    let found = match breaker.call_judged(ask, judge).await {
        Ok(found) => found,
        Err(BreakerError::TimedOut(time)) => {
            CheckResult::timeout(format!("no answer within {time:?}"))
        }
        Err(BreakerError::Inner(never)) => match never {},
        // It is open, or an answer is being waited for; more reasons may come with time.
        Err(BreakerError::Rejected(_) | _) => {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            return CheckResult::error(last.clone());
        }
    };
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    found.cause.as_ref().clone_into(&mut last);
    drop(last);
    found
}

/// What a check finds, as the end of a call.
const fn ended(result: ProbeResult) -> Ended {
    match result {
        ProbeResult::Success | ProbeResult::Warning => Ended::Success,
        ProbeResult::Failure | ProbeResult::Timeout => Ended::Failure,
        // It lies in the check itself.
        ProbeResult::Error => Ended::Ignored,
    }
}

#[cfg(test)]
mod tests;
