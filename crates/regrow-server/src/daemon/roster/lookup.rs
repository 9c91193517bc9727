//! Agents as queries see them.

use std::io;
use std::time::SystemTime;

use regrow::ChildInfo;
use regrow_core::index::{Entry, Profile, Status};
use regrow_core::{ChildKind, Phase};

use crate::config::AgentConfig;
use crate::daemon::{Roster, child, view};
use crate::wire::{Sampling, TreeProcess};

/// What a query is asked of. `last_life` is the generation of an agent of which the tree knows nothing any more.
pub(super) fn entry(config: &AgentConfig, info: Option<&ChildInfo>, last_life: u32) -> Entry {
    let kind = info.map_or(ChildKind::Process, |info| info.kind);
    let profile = Profile {
        metadata: config.metadata.clone(),
        ..Profile::new(kind, config.type_name.as_str())
    };
    let profile = profile
        .tags(&config.tags)
        .capabilities(config.capabilities.iter().map(String::as_str));
    Entry::new(child::path(config), profile, status(info, last_life))
}

/// How an agent is; one of which the tree knows nothing any more is stopped.
pub(in crate::daemon) fn status(info: Option<&ChildInfo>, last_life: u32) -> Status {
    let (phase, _) = view::place_of(info);
    let Some(info) = info else {
        let generation = last_life;
        return Status {
            phase,
            generation,
            ..Status::pending(SystemTime::UNIX_EPOCH)
        };
    };
    Status {
        phase,
        ready: info.ready,
        health: info.health,
        load: 0,
        generation: info.generation,
        since: since(info).unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// Since when it is in its phase, or at least has had its life. No query asks for it.
fn since(info: &ChildInfo) -> Option<SystemTime> {
    let ended = info.last_exit.as_ref().map(|exit| exit.at);
    match info.phase {
        Phase::Backoff | Phase::Completed | Phase::Stopped | Phase::Failed => {
            ended.or(info.started_at)
        }
        Phase::Pending
        | Phase::Starting
        | Phase::Running
        | Phase::Paused
        | Phase::Draining
        | Phase::Stopping => info.started_at,
    }
}

impl Roster {
    /// How often is looked at what agents use, and what that costs.
    pub(crate) fn sampling(&self) -> Sampling {
        view::sampling(&self.host)
    }

    /// The processes of an agent, oldest first; none where it does not run.
    ///
    /// # Errors
    ///
    /// Where the system shows nothing of processes.
    pub(crate) async fn tree(&self, id: &str) -> io::Result<Vec<TreeProcess>> {
        let processes = self.host.tree(id).await?.unwrap_or_default();
        Ok(processes.into_iter().map(view::tree_process).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use regrow::{ChildSpec, Supervisor, System};
    use regrow_core::Health;
    use regrow_core::query::Query;
    use serde_json::json;

    use super::*;

    fn config() -> AgentConfig {
        let text = "agents: { w: { command: x, type: worker, tags: [http, lang=rust], capabilities: [plan], \
                    metadata: { cost: 3 } } }\n";
        let mut config =
            crate::config::parse(text, std::path::Path::new("regrow.yaml"), &|_| None).unwrap();
        config.agents.remove(0)
    }

    /// What a tree tells of a child in its third life.
    async fn info() -> ChildInfo {
        let root = Supervisor::new(child::ROOT).child(ChildSpec::task("w", async |task| {
            task.stopped().await;
            Ok::<(), std::convert::Infallible>(())
        }));
        let system = System::start(root).await.unwrap();
        let mut info = system.which_child("root/w").await.unwrap();
        assert!(system.shut_down().await.killed.is_empty());
        info.kind = ChildKind::Process;
        info.generation = 3;
        info.started_at = Some(at(30));
        info
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn profile() -> Profile {
        Profile::new(ChildKind::Process, "worker")
            .tags(["http", "lang=rust"])
            .capabilities(["plan"])
            .meta("cost", json!(3))
    }

    #[tokio::test]
    async fn an_entry_has_what_the_file_says_and_what_the_tree_tells() {
        let mut info = info().await;
        info.phase = Phase::Running;
        info.ready = true;
        info.health = Health::Degraded;
        let status = Status {
            phase: Phase::Running,
            ready: true,
            health: Health::Degraded,
            load: 0,
            generation: 3,
            since: at(30),
        };
        let want = Entry::new("root/w", profile(), status);
        assert_eq!(entry(&config(), Some(&info), 9), want);
    }

    #[test]
    fn an_agent_that_the_tree_has_lost_is_stopped() {
        let status = Status {
            phase: Phase::Stopped,
            generation: 9,
            ..Status::pending(SystemTime::UNIX_EPOCH)
        };
        let want = Entry::new("root/w", profile(), status);
        assert_eq!(entry(&config(), None, 9), want);
    }

    #[tokio::test]
    async fn who_waits_for_the_next_life_does_so_since_the_end_of_the_last() {
        let mut info = info().await;
        info.phase = Phase::Backoff;
        info.ready = false;
        assert_eq!(status(Some(&info), 0).since, at(30));
        info.last_exit = Some(regrow::LastExit {
            reason: regrow::ExitReason::Normal,
            at: at(40),
        });
        assert_eq!(status(Some(&info), 0).since, at(40));
        let waiting = entry(&config(), Some(&info), 0);
        let holds = |text: &str| text.parse::<Query>().unwrap().matches(&waiting);
        assert!(holds("type:worker and not draining and backoff"));
        assert!(holds(
            "lang=rust and cap:plan and meta:cost<=3 and path:root/w"
        ));
        assert!(!holds("type:worker and ready"));
    }
}
