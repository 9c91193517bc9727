//! Pools as the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/pools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pools {
    /// All pools, in the order of the file, without their decisions.
    pub(crate) pools: Vec<Pool>,
}

/// One pool as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// The id.
    pub(crate) id: String,
    /// The path in the tree.
    pub(crate) path: String,
    /// As few workers as there may be.
    pub(crate) min: u32,
    /// As many workers as there may be.
    pub(crate) max: u32,
    /// How many there are to be.
    pub(crate) desired: u32,
    /// How many have to be ready before it counts as started.
    pub(crate) warm: u32,
    /// How many are ready, with or without work.
    pub(crate) ready: u32,
    /// How many of these have work.
    pub(crate) busy: u32,
    /// What decides how many there are: `auto`, `manual`, `paused` or `observe`.
    pub(crate) mode: String,
    /// Whether its workers start: `closed`, or `open` while none is tried.
    pub(crate) starts: String,
    /// Whether it takes no more requests.
    pub(crate) draining: bool,
    /// Whether there is more work than its workers can do, where that is looked at.
    pub(crate) overloaded: bool,
    /// Whether regrow is not ready while none of its workers is.
    pub(crate) required: bool,
    /// What waits.
    pub(crate) queue: PoolQueue,
    /// How many requests its workers have.
    pub(crate) in_flight: u64,
    /// How long a request takes, on average lately, in milliseconds.
    pub(crate) service_ms: f64,
    /// What became of all others since regrow was started.
    pub(crate) totals: PoolTotals,
    /// Its workers.
    pub(crate) workers: Vec<PoolWorker>,
    /// What its size was decided to be lately, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) decisions: Vec<PoolDecision>,
}

/// What waits for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolQueue {
    /// How many requests wait.
    pub(crate) waiting: u64,
    /// How many may.
    pub(crate) most: u64,
    /// How long the oldest has waited, in milliseconds.
    pub(crate) oldest_ms: u64,
}

/// What became of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolTotals {
    /// How many there were.
    pub(crate) submitted: u64,
    /// How many of them workers have had, by how that ended: `ok`, `error`, `lost`.
    pub(crate) ended: BTreeMap<String, u64>,
    /// How many were refused, by why: `queue_full`, `expired`, …
    pub(crate) rejected: BTreeMap<String, u64>,
    /// How many clients left while they waited.
    pub(crate) cancelled: u64,
}

/// A worker of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolWorker {
    /// Its id, as an agent.
    pub(crate) id: String,
    /// `starting`, `idle`, `busy`, `draining`, `unhealthy` or `ejected`.
    pub(crate) state: String,
    /// Which of its lives.
    pub(crate) generation: u32,
    /// How many requests it has.
    pub(crate) in_flight: u32,
    /// How many it has had in this life.
    pub(crate) done: u64,
    /// How many of them have failed.
    pub(crate) failed: u64,
}

/// What the size of a pool was decided to be, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolDecision {
    /// When.
    pub(crate) at: String,
    /// How many workers there were.
    pub(crate) from: u32,
    /// How many there are to be.
    pub(crate) to: u32,
    /// How many were asked for, before any limit.
    pub(crate) wanted: u32,
    /// `up`, `down` or `hold`.
    pub(crate) direction: String,
    /// What asks for it: `demand`, `queue`, `manual`, …
    pub(crate) trigger: String,
    /// Why it is not what is asked for, if it is not: `at_max`, `stabilising`, …
    pub(crate) limit: Option<String>,
    /// The same in words, and from what.
    pub(crate) text: String,
}

/// The body of `POST /v1/pools/{id}/scale`: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleRequest {
    /// So many workers, until something else is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<u32>,
    /// What decides how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<ScaleMode>,
}

/// What decides how many workers a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScaleMode {
    /// The work that there is.
    Auto,
    /// Nothing: it stays as it is.
    Paused,
    /// Nothing; what the work would decide is told.
    Observe,
}

/// The health of one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolHealth {
    /// How many workers are ready.
    pub(crate) ready: u32,
    /// How many there are to be.
    pub(crate) desired: u32,
    /// As few as there may be.
    pub(crate) min: u32,
    /// As many as there may be.
    pub(crate) max: u32,
    /// Whether regrow is not ready while none of its workers is.
    pub(crate) required: bool,
    /// Why it is not well, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl PoolHealth {
    /// Whether nobody is there to do any work, and somebody should be.
    pub(crate) fn is_down(&self) -> bool {
        self.ready == 0 && self.min > 0
    }
}

impl Pool {
    /// Whether so many workers are ready as have to be before it counts as started.
    pub(crate) fn is_warm(&self) -> bool {
        self.ready >= self.warm.min(self.desired)
    }

    /// Whether its workers do not start, and none is tried for a while.
    pub(crate) fn is_stuck(&self) -> bool {
        self.starts == "open"
    }

    /// How it is.
    pub(crate) fn health(&self) -> PoolHealth {
        PoolHealth {
            ready: self.ready,
            desired: self.desired,
            min: self.min,
            max: self.max,
            required: self.required,
            why: self.trouble(),
        }
    }

    /// Why it is not well: it has too few workers that are ready, or they do not start.
    pub(crate) fn trouble(&self) -> Option<String> {
        // An operator may want fewer.
        let least = self.min.min(self.desired);
        let ready = self.ready;
        let few = match (ready, least) {
            (ready, least) if ready >= least => None,
            (0, 1) => Some("its worker is not ready".to_owned()),
            (0, least) => Some(format!("none of at least {least} workers is ready")),
            (1, least) => Some(format!("1 of at least {least} workers is ready")),
            (ready, least) => Some(format!("{ready} of at least {least} workers are ready")),
        };
        let stuck = self
            .is_stuck()
            .then(|| "its workers do not start".to_owned());
        match (few, stuck) {
            (Some(few), Some(stuck)) => Some(format!("{few}: {stuck}")),
            (few, stuck) => few.or(stuck),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pool of which there is nothing to say.
    pub(crate) fn pool(id: &str) -> Pool {
        Pool {
            id: id.to_owned(),
            path: format!("root/{id}"),
            min: 2,
            max: 8,
            desired: 2,
            warm: 2,
            ready: 2,
            busy: 0,
            mode: "auto".to_owned(),
            starts: "closed".to_owned(),
            draining: false,
            overloaded: false,
            required: false,
            queue: PoolQueue {
                waiting: 0,
                most: 80,
                oldest_ms: 0,
            },
            in_flight: 0,
            service_ms: 0.0,
            totals: PoolTotals {
                submitted: 0,
                ended: BTreeMap::new(),
                rejected: BTreeMap::new(),
                cancelled: 0,
            },
            workers: Vec::new(),
            decisions: Vec::new(),
        }
    }

    #[test]
    fn too_few_ready_workers_are_a_trouble_and_so_are_workers_that_do_not_start() {
        for (ready, desired, starts, expected) in [
            (2, 2, "closed", None),
            (1, 2, "closed", Some("1 of at least 2 workers is ready")),
            (1, 1, "closed", None),
            (0, 0, "closed", None),
            (
                0,
                2,
                "open",
                Some("none of at least 2 workers is ready: its workers do not start"),
            ),
            (3, 8, "open", Some("its workers do not start")),
        ] {
            let pool = Pool {
                ready,
                desired,
                starts: starts.to_owned(),
                ..pool("p")
            };
            assert_eq!(pool.trouble().as_deref(), expected, "{pool:?}");
        }
    }
}
