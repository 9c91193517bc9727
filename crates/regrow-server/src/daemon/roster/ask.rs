//! All agents are asked at once how they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regrow::probe::{CheckResult, MAX_AT_ONCE};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Roster;
use crate::daemon::probes;

/// No agent is waited for longer; each probe has its own time below that.
const LONGEST: Duration = Duration::from_secs(5);

/// All together are not waited for longer: many who do not answer take turns.
const WHOLE: Duration = Duration::from_secs(10);

/// What was found, by the ids of the agents and the names of their probes.
pub(crate) type Found = BTreeMap<String, BTreeMap<String, CheckResult>>;

impl Roster {
    /// Asks every agent that lives and has an address, now and beside its probes, whose verdicts do not hang on who looks. At most so
    /// many are asked at once as probes are, and the next who wants to know waits until this is over. Who has had no turn within 10 s is
    /// not in it.
    pub(crate) async fn ask_all(&self) -> Found {
        let _one_at_a_time = self.asking.lock().await;
        let turns = Arc::new(Semaphore::new(MAX_AT_ONCE));
        let mut under_way = JoinSet::new();
        let entries: Vec<_> = self.read().values().cloned().collect();
        for entry in entries {
            if entry.handle.status().pid.is_none() {
                continue;
            }
            for (name, check) in probes::at_its_address(&entry.config, &entry.handle, LONGEST) {
                let (turns, id) = (Arc::clone(&turns), entry.config.id.clone());
                under_way.spawn(async move {
                    // It is never closed.
                    let _turn = turns.acquire().await;
                    (id, name, check.run().await)
                });
            }
        }
        let mut found = Found::new();
        let all = async {
            while let Some(done) = under_way.join_next().await {
                if let Ok((id, name, result)) = done {
                    found.entry(id).or_default().insert(name, result);
                }
            }
        };
        if tokio::time::timeout(WHOLE, all).await.is_err() {
            tracing::warn!(
                "asking all agents how they are took longer than {WHOLE:?}; some were not asked"
            );
        }
        found
    }
}
