//! A pool as it is, for those who run it.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use regrow_core::desk::DeskStatus;
use regrow_core::scaler::ScaleMode;

pub use super::scaling::Decided;
use super::scaling::Scaling;
use super::shared::Shared;
use crate::breaker::CircuitState;
use crate::path::ChildPath;
use crate::time;

/// How many jobs in quarantine are kept.
const QUARANTINED: usize = 64;

/// A job that has cost several workers their lives.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// When it was given up on.
    pub at: SystemTime,
    /// On whose behalf it was.
    pub tenant: Option<Arc<str>>,
    /// How many workers it has cost.
    pub attempts: u32,
    /// The last of them.
    pub worker: ChildPath,
}

/// A pool as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Where it stands.
    pub path: ChildPath,
    /// As few workers as there may be.
    pub min: u32,
    /// As many workers as there may be.
    pub max: u32,
    /// How many there are to be.
    pub desired: u32,
    /// What decides that.
    pub mode: ScaleMode,
    /// How many jobs may wait.
    pub queue: u64,
    /// Whether workers start: `open` while none is tried.
    pub starts: CircuitState,
    /// Its work and its workers.
    pub desk: DeskStatus,
    /// Jobs that have cost several workers their lives, the newest last; the last 64.
    pub quarantined: Vec<Quarantined>,
}

/// The jobs in quarantine.
pub(super) type Quarantine = VecDeque<Quarantined>;

impl Scaling {
    pub(super) fn quarantine(
        &mut self,
        tenant: Option<Arc<str>>,
        attempts: u32,
        worker: ChildPath,
    ) {
        if self.quarantined.len() == QUARANTINED {
            self.quarantined.pop_front();
        }
        self.quarantined.push_back(Quarantined {
            at: SystemTime::now(),
            tenant,
            attempts,
            worker,
        });
    }
}

impl<M: Send + 'static> Shared<M> {
    pub(super) fn scaling(&self) -> MutexGuard<'_, Scaling> {
        self.scaling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status_now(&self) -> PoolStatus {
        let desk = self.lock().desk.status(time::now());
        let scaling = self.scaling();
        let rules = scaling.scaler.rules();
        let initial = rules.initial();
        PoolStatus {
            path: self.path.clone(),
            min: rules.min(),
            max: rules.max(),
            desired: scaling.last().map_or(initial, |last| last.to),
            mode: scaling.mode(),
            queue: self.rules.queue() as u64,
            starts: self.starts.state(),
            desk,
            quarantined: scaling.quarantined.iter().cloned().collect(),
        }
    }
}
