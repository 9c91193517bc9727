//! Pools, to see, to size, and to get a worker of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regrow::pool::{
    Decided, Given, Lease, Outcome, PoolHandle, PoolStatus, Reject, ScaleMode, Totals, WorkerState,
    WorkerStatus,
};

use regrow::ChildInfo;
use regrow_core::Phase;

use super::Roster;
use crate::config::PoolConfig;
use crate::daemon::child;
use crate::daemon::pools::Site;
use crate::gateway::{At, Crew, Leased};
use crate::wire::{
    DaemonPhase, Pool, PoolDecision, PoolHealth, PoolQueue, PoolTotals, PoolWorker, ScaleRequest,
    rfc3339,
};

/// How long is waited for a decision that follows from an order.
const DECIDES: Duration = Duration::from_secs(1);

/// Why a pool is not sized as somebody wants.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScaleError {
    /// There is no such pool.
    #[error("there is no pool {0:?}")]
    NotFound(String),
    /// It is not up for the first time.
    #[error("pool {0:?} is not up yet")]
    NotYet(String),
    /// It may not have so many workers.
    #[error("pool {pool:?} may have at most {max} workers, not {wanted}")]
    TooMany {
        /// The pool.
        pool: String,
        /// Its largest size.
        max: u32,
        /// What was wanted.
        wanted: u32,
    },
    /// The daemon is being stopped.
    #[error("regrow is being stopped")]
    Draining,
    /// Nothing is asked for, or two things at once.
    #[error("expected workers or mode, and not both")]
    NotOne,
}

impl Roster {
    /// The pool with this id, as the gateway needs it.
    pub(super) fn crew(&self, id: &str) -> Option<Crew> {
        let site = self.pools.get(id)?;
        Some(Crew {
            pool: self.system.pool::<Given>(&child::group_path(id)).ok(),
            wait: site.config.rules.wait,
        })
    }

    /// The ids of all pools.
    pub(crate) fn pool_ids(&self) -> Vec<String> {
        let ids = self.pools.all().map(|site| site.config.id.clone());
        ids.collect()
    }

    /// Why all workers of a pool were given up on, if they were.
    pub(super) async fn workers_given_up(&self, id: &str) -> Option<String> {
        let children = self.system.which_children(&child::group_path(id)).await;
        // Beside the workers a pool has a manager and a gate.
        let is_worker = |child: &ChildInfo| child.id.parse::<u32>().is_ok();
        let mut workers = children.ok()?.into_iter().filter(is_worker);
        let first = workers.next()?;
        let is_parked = first.phase == Phase::Failed;
        if !is_parked || workers.any(|other| other.phase != Phase::Failed) {
            return None;
        }
        Some(first.parked_because.unwrap_or_default())
    }

    /// The worker that was taken out of a pool.
    pub(super) fn leased(&self, lease: &Lease<Given>) -> Option<Leased> {
        let id = self.agent_at(lease.worker().path())?;
        let entry = self.read().get(&id).cloned()?;
        let at = match (entry.port(), entry.socket) {
            (Some(port), _) => At::Port(port),
            (None, socket) => At::Socket(socket?),
        };
        let in_flight = entry.handle.begin();
        Some(Leased { id, at, in_flight })
    }

    /// All pools, in the order of the file, without what was decided. It waits for nobody.
    pub(crate) fn pools(&self) -> Vec<Pool> {
        self.pools.all().map(|site| self.shown_pool(site)).collect()
    }

    /// One pool, and what its size was decided to be lately.
    pub(crate) fn pool(&self, id: &str) -> Option<Pool> {
        let site = self.pools.get(id)?;
        let handle = self.pool_handle(id);
        let decisions = handle.map(|handle| handle.decisions()).unwrap_or_default();
        Some(Pool {
            decisions: decisions.iter().map(decision).collect(),
            ..self.shown_pool(site)
        })
    }

    /// How the pools are, by id.
    pub(crate) fn pool_health(&self) -> BTreeMap<String, PoolHealth> {
        let pools = self.pools().into_iter();
        pools.map(|pool| (pool.id.clone(), pool.health())).collect()
    }

    /// Sizes a pool as an operator wants, and returns when that is decided.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or it cannot have such a size.
    pub(crate) async fn scale(&self, id: &str, wanted: &ScaleRequest) -> Result<Pool, ScaleError> {
        if self.phase() == DaemonPhase::Draining {
            return Err(ScaleError::Draining);
        }
        let site = self.pools.get(id);
        let site = site.ok_or_else(|| ScaleError::NotFound(id.to_owned()))?;
        let mut changes = self.changes();
        changes.mark_unchanged();
        let not_yet = || ScaleError::NotYet(id.to_owned());
        match (wanted.workers, wanted.mode) {
            (Some(workers), None) => {
                let max = site.config.rules.scaler.max();
                if workers > max {
                    return Err(ScaleError::TooMany {
                        pool: id.to_owned(),
                        max,
                        wanted: workers,
                    });
                }
                let handle = self.pool_handle(id).ok_or_else(not_yet)?;
                handle.scale(workers);
                let decided = async {
                    while handle.status().desired != workers && changes.changed().await.is_ok() {}
                };
                // Where a decision takes longer the answer says what is there.
                drop(tokio::time::timeout(DECIDES, decided).await);
            }
            (None, Some(mode)) => {
                let handle = self.pool_handle(id).ok_or_else(not_yet)?;
                match mode {
                    crate::wire::ScaleMode::Auto => handle.scale_by_load(),
                    crate::wire::ScaleMode::Paused => handle.pause_scaling(),
                    crate::wire::ScaleMode::Observe => handle.observe_scaling(),
                }
            }
            (None, None) | (Some(_), Some(_)) => return Err(ScaleError::NotOne),
        }
        self.pool(id)
            .ok_or_else(|| ScaleError::NotFound(id.to_owned()))
    }

    fn pool_handle(&self, id: &str) -> Option<PoolHandle> {
        self.system.pool_handle(&child::group_path(id))
    }

    fn shown_pool(&self, site: &Arc<Site>) -> Pool {
        let config = &site.config;
        match self.pool_handle(&config.id) {
            Some(handle) => shown(config, &handle.status()),
            None => not_up(config),
        }
    }
}

fn shown(config: &PoolConfig, status: &PoolStatus) -> Pool {
    let desk = &status.desk;
    let of = |state| desk.counts.of(state);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Pool {
        desired: status.desired,
        ready: of(WorkerState::Idle) + of(WorkerState::Busy),
        busy: of(WorkerState::Busy),
        mode: match status.mode {
            ScaleMode::Auto => "auto",
            ScaleMode::Manual(_) => "manual",
            ScaleMode::Paused => "paused",
            ScaleMode::ObserveOnly => "observe",
        }
        .to_owned(),
        starts: status.starts.as_str().to_owned(),
        draining: desk.is_closed,
        overloaded: desk.is_overloaded,
        queue: PoolQueue {
            waiting: desk.queued,
            most: status.queue,
            oldest_ms: millis(desk.oldest),
        },
        in_flight: desk.in_flight,
        service_ms: desk.service.as_secs_f64() * 1e3,
        totals: totals(&desk.totals),
        workers: desk.workers.iter().map(|one| worker(config, one)).collect(),
        ..not_up(config)
    }
}

/// A pool that has never been up.
fn not_up(config: &PoolConfig) -> Pool {
    let rules = &config.rules;
    Pool {
        id: config.id.clone(),
        path: child::group_path(&config.id),
        min: rules.scaler.min(),
        max: rules.scaler.max(),
        desired: rules.scaler.initial(),
        warm: rules.warm,
        ready: 0,
        busy: 0,
        mode: "auto".to_owned(),
        starts: "closed".to_owned(),
        draining: false,
        overloaded: false,
        required: config.required,
        queue: PoolQueue {
            waiting: 0,
            most: rules.queue.map_or(0, |queue| queue as u64),
            oldest_ms: 0,
        },
        in_flight: 0,
        service_ms: 0.0,
        totals: totals(&Totals::default()),
        workers: Vec::new(),
        decisions: Vec::new(),
    }
}

/// Only what there was any of.
fn totals(totals: &Totals) -> PoolTotals {
    let ended = Outcome::ALL.iter().map(|outcome| {
        let count = totals.ended(*outcome);
        (outcome.as_str().to_owned(), count)
    });
    let rejected = Reject::ALL.iter().map(|reject| {
        let count = totals.rejected(*reject);
        (reject.as_str().to_owned(), count)
    });
    PoolTotals {
        submitted: totals.submitted,
        ended: ended.filter(|(_, count)| *count > 0).collect(),
        rejected: rejected.filter(|(_, count)| *count > 0).collect(),
        cancelled: totals.cancelled,
    }
}

fn worker(config: &PoolConfig, worker: &WorkerStatus) -> PoolWorker {
    PoolWorker {
        id: format!("{}-{}", config.id, worker.number),
        state: worker.state.as_str().to_owned(),
        generation: worker.generation,
        in_flight: worker.in_flight,
        done: worker.done,
        failed: worker.failed,
    }
}

fn decision(decided: &Decided) -> PoolDecision {
    let decision = &decided.decision;
    PoolDecision {
        at: rfc3339(decided.at),
        from: decision.inputs.size,
        to: decision.to,
        wanted: decision.wanted,
        direction: decision.direction().as_str().to_owned(),
        trigger: decision.trigger.as_str().to_owned(),
        limit: decision.limit.map(|limit| limit.as_str().to_owned()),
        text: decision.to_string(),
    }
}
