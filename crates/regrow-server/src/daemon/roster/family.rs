//! What the tree tells of the agents at one moment, those in groups included.

use std::collections::HashMap;

use regrow::{ChildInfo, System};
use regrow_core::{ChildKind, Phase};

use crate::config::{AgentConfig, Config};
use crate::daemon::child;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Family {
    root: Vec<ChildInfo>,
    /// Those of each group and pool whose supervisor has answered.
    groups: HashMap<String, Vec<ChildInfo>>,
}

impl Family {
    /// Asks the tree; nothing when there is none any more.
    pub(super) async fn of(system: &System, config: &Config) -> Option<Self> {
        let root = system.which_children(child::ROOT).await.ok()?;
        let mut family = Self {
            root,
            groups: HashMap::new(),
        };
        let groups = config.groups.iter().map(|group| &group.id);
        for id in groups.chain(config.pools.iter().map(|pool| &pool.id)) {
            // One that is down is told of by the root.
            if let Ok(members) = system.which_children(&child::group_path(id)).await {
                family.groups.insert(id.clone(), members);
            }
        }
        Some(family)
    }

    /// One agent.
    pub(super) fn member(&self, agent: &AgentConfig) -> Option<ChildInfo> {
        let find = |children: &[ChildInfo], id: &str| {
            children.iter().find(|info| *info.id == *id).cloned()
        };
        let Some(group) = agent.above() else {
            return find(&self.root, &agent.id);
        };
        match self.groups.get(group) {
            Some(members) => find(members, &child::id(agent)),
            None => find(&self.root, group).map(|info| with_its_group(agent, info)),
        }
    }

    /// Whether an agent that was there is gone for good. While its group is down that is not known.
    pub(super) fn has_lost(&self, agent: &AgentConfig) -> bool {
        match agent.above() {
            Some(group) => self.groups.contains_key(group) && self.member(agent).is_none(),
            None => self.member(agent).is_none(),
        }
    }
}

/// In which phase an agent is whose group is down, and in this one.
pub(super) const fn phase_with_its_group(group: Phase) -> Phase {
    match group {
        Phase::Failed => Phase::Failed,
        Phase::Backoff => Phase::Backoff,
        Phase::Stopped | Phase::Completed => Phase::Stopped,
        Phase::Pending
        | Phase::Starting
        | Phase::Running
        | Phase::Paused
        | Phase::Draining
        | Phase::Stopping => Phase::Pending,
    }
}

/// How an agent is whose group is down: as its group, which it comes up with.
pub(super) fn with_its_group(agent: &AgentConfig, group: ChildInfo) -> ChildInfo {
    let mut info = group;
    let why = info.parked_because.take();
    info.phase = phase_with_its_group(info.phase);
    if info.phase == Phase::Failed {
        let above = agent.above().unwrap_or_default();
        let what = if agent.worker.is_some() {
            "pool"
        } else {
            "group"
        };
        let why = why.as_deref().unwrap_or("it could not be started");
        info.parked_because = Some(format!("its {what} {above:?} was given up on: {why}"));
    }
    info.id = agent.id.as_str().into();
    info.kind = ChildKind::Process;
    info.ready = false;
    info.last_exit = None;
    info.started_at = None;
    info
}
