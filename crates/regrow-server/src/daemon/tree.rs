//! From the config to the tree that is supervised: the root, its groups, and the agents in each.

use std::collections::BTreeMap;

use regrow::{ChildSpec, Condition, GiveUp, Order, Restart, RestartIntensity, Supervisor};
use regrow_core::Strategy;
use regrow_process::Process;

use super::child::{self, ROOT};
use super::roster::Cast;
use crate::config::{AgentConfig, Config, GroupConfig};

/// What a group is in the words of metrics.
const GROUP: &str = "group";

/// The whole tree. It takes the processes of the config's agents, which are in their order.
pub(super) fn root(config: &Config, cast: &mut Cast) -> Supervisor {
    let processes = std::mem::take(&mut cast.processes);
    let mut root = Supervisor::new(ROOT)
        .order(Order::Dependencies)
        .no_intensity_limit();
    if let Some(breakers) = cast.breakers.supervisor(config, |id| cast.handle(id)) {
        root = root.child(breakers);
    }
    let mut below: BTreeMap<&str, Supervisor> = config
        .groups
        .iter()
        .map(|group| (group.id.as_str(), supervisor(group)))
        .collect();
    for (agent, process) in config.agents.iter().zip(processes) {
        let spec = ChildSpec::from(waits_for(config, agent, process));
        let spec = cast.breakers.gated(config, agent, spec);
        let group = agent.group.as_deref();
        if let Some((id, supervisor)) = group.and_then(|id| below.remove_entry(id)) {
            below.insert(id, supervisor.child(spec));
        } else {
            root = root.child(spec);
        }
    }
    for group in &config.groups {
        if let Some(supervisor) = below.remove(group.id.as_str()) {
            root = root.child(group_spec(config, group, supervisor));
        }
    }
    for (pool, mut spec) in cast.pools.children(config, &cast.breakers) {
        for (id, until) in outside(config, &pool.worker) {
            spec = spec.waits_for(id, until);
        }
        root = root.child(spec);
    }
    root
}

fn supervisor(group: &GroupConfig) -> Supervisor {
    let supervisor = Supervisor::new(group.id.as_str())
        .order(Order::Dependencies)
        .strategy(group.strategy);
    match group.limit {
        Some(limit) => supervisor.max_restarts(limit.max_restarts(), limit.period()),
        None => supervisor.no_intensity_limit(),
    }
}

/// A group is started again as an agent is that says nothing, and in the end given up on like one.
fn group_spec(config: &Config, group: &GroupConfig, supervisor: Supervisor) -> ChildSpec {
    let restart = &config.defaults.restart;
    let mut spec = ChildSpec::from(supervisor)
        .of_type(GROUP)
        .restart(Restart::Transient)
        .backoff(child::backoff(restart))
        .limit(RestartIntensity::new(restart.max_restarts, restart.within))
        .give_up(GiveUp::Park);
    for (id, until) in lifted(config, group) {
        spec = spec.waits_for(id, until);
    }
    spec
}

/// What a group as a whole waits for: whatever one of its agents does outside of it.
fn lifted(config: &Config, group: &GroupConfig) -> Vec<(String, Condition)> {
    let mut all = Vec::new();
    let members = config.agents.iter();
    for agent in members.filter(|agent| agent.group.as_ref() == Some(&group.id)) {
        for one in outside(config, agent) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all
}

/// Each as it stands beside the group, or beside the agent that is in none.
fn outside(config: &Config, agent: &AgentConfig) -> Vec<(String, Condition)> {
    let mut all = Vec::new();
    for dependency in &agent.depends_on {
        match group_of(config, &dependency.id) {
            Some(group) if agent.group.as_deref() == Some(group) => {}
            // No other condition was let through.
            Some(group) => all.push((group.to_owned(), Condition::Started)),
            None => all.push((dependency.id.clone(), dependency.until)),
        }
    }
    all
}

fn group_of<'c>(config: &'c Config, id: &str) -> Option<&'c str> {
    let agent = config.agents.iter().find(|agent| agent.id == id)?;
    agent.group.as_deref()
}

/// An agent with what it waits for beside it: in a group the others of that, else whatever it says.
fn waits_for(config: &Config, agent: &AgentConfig, mut process: Process) -> Process {
    let Some(group) = agent.group.as_deref() else {
        for (id, until) in outside(config, agent) {
            process = process.waits_for(id, until);
        }
        return process;
    };
    for dependency in &agent.depends_on {
        if group_of(config, &dependency.id) == Some(group) {
            process = process.waits_for(&dependency.id, dependency.until);
        }
    }
    match before(config, agent) {
        Some(id) => process.waits_for(id, Condition::Started),
        None => process,
    }
}

/// In a group with `rest_for_one` each agent comes after the one before it in the file.
pub(super) fn before<'c>(config: &'c Config, agent: &AgentConfig) -> Option<&'c str> {
    let id = agent.group.as_deref()?;
    let group = config.groups.iter().find(|group| group.id == id)?;
    if group.strategy != Strategy::RestForOne {
        return None;
    }
    let earlier = config.agents.iter().take_while(|one| one.id != agent.id);
    let beside = earlier.filter(|one| one.enabled && one.group.as_deref() == Some(id));
    beside.last().map(|one| one.id.as_str())
}
