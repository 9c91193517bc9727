//! How the agents are, without asking anybody: by what supervisors have written of them.

use std::collections::BTreeMap;

use regrow_core::{Health, Phase};

use super::Roster;
use super::family::phase_with_its_group;
use crate::daemon::{child, view};
use crate::health::Brief;
use crate::http::stand_in::Glance;
use crate::wire::{AgentBreaker, DaemonPhase, PoolHealth};

impl Roster {
    /// Each agent, in the order of the file and of later spawns. It waits for nobody, so it answers when nothing else does; why
    /// something is as it is, supervisors know alone.
    pub(crate) fn glance(&self) -> Vec<Brief> {
        let mut entries: Vec<_> = self.read().values().cloned().collect();
        entries.sort_by_key(|entry| entry.place);
        let registry = self.system.registry();
        let brief = |entry: &super::Entry| {
            let config = &entry.config;
            let found = registry.get(&child::path(config));
            let group = config.above().map(child::group_path);
            let group = group.and_then(|path| registry.get(&path));
            let group = group.map(|group| group.phase());
            let standing = found.map(|child| (child.phase(), child.health(), child.is_ready()));
            let (phase, health, ready) =
                standing.unwrap_or((Phase::Stopped, Health::Unknown, false));
            let phase = match group {
                Some(group) if !group.is_alive() => phase_with_its_group(group),
                Some(_) | None => phase,
            };
            let breaker = entry.before.as_ref().map(view::breaker);
            Brief {
                id: config.id.clone(),
                phase: phase.as_str().to_owned(),
                health: health.as_str().to_owned(),
                ready,
                required: config.required,
                message: None,
                is_cut_off: breaker.as_ref().is_some_and(|breaker| breaker.refuses),
                trouble: trouble(health, breaker.as_ref()),
                probes: config.probes.iter().map(view::unknown).collect(),
                is_worker: config.worker.is_some(),
            }
        };
        entries.iter().map(brief).collect()
    }
}

/// Why an agent is not well, where that can be told without its supervisor: one that is down is so for another reason than its breaker.
fn trouble(health: Health, breaker: Option<&AgentBreaker>) -> Option<String> {
    match health {
        Health::Down => None,
        Health::Unknown | Health::Up | Health::Degraded => breaker?.trouble(),
    }
}

impl Glance for Roster {
    fn phase(&self) -> DaemonPhase {
        Self::phase(self)
    }

    fn briefs(&self) -> Vec<Brief> {
        self.glance()
    }

    fn pools(&self) -> BTreeMap<String, PoolHealth> {
        self.pool_health()
    }

    fn metrics(&self) -> String {
        Self::metrics(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_down_is_not_so_for_its_breaker() {
        let open = AgentBreaker {
            id: "b".to_owned(),
            state: "open".to_owned(),
            next_trial_at: None,
            refuses: true,
        };
        for (health, expected) in [
            (Health::Unknown, Some("breaker b is open")),
            (Health::Up, Some("breaker b is open")),
            (Health::Degraded, Some("breaker b is open")),
            (Health::Down, None),
        ] {
            let trouble = trouble(health, Some(&open));
            assert_eq!(trouble.as_deref(), expected, "{health:?}");
        }
    }
}
