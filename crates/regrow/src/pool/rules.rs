//! The rules of a pool, all of them in one place.

use std::sync::Arc;
use std::time::Duration;

use regrow_core::Backoff;
use regrow_core::backlog::{BacklogRules, Overflow, OverloadRules, Target};
use regrow_core::circuit::CircuitRules;
use regrow_core::crew::CrewRules;
use regrow_core::desk::{DeskRules, Mode};
use regrow_core::outliers::OutlierRules;
use regrow_core::scaler::ScalerRules;

use super::quota::Share;
use crate::breaker::Breaker;

/// How many jobs may wait for each worker of the largest size, unless something else is said.
const QUEUE_PER_WORKER: usize = 10;

/// How long a worker that goes may take to finish what it has.
const DRAIN: Duration = Duration::from_secs(30);

/// Longer than that nobody waits.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A value of the user's own, looked at before each decision.
pub(super) type Gauge = Arc<dyn Fn() -> Option<f64> + Send + Sync>;

/// A signal of the user's own.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    pub(super) target: f64,
    pub(super) read: Gauge,
}

/// Everything that is said of a pool, but who its workers are.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) mode: Mode,
    pub(super) scaler: ScalerRules,
    pub(super) observe_only: bool,
    pub(super) warm: Option<u32>,
    pub(super) queue: Option<usize>,
    pub(super) overflow: Overflow,
    pub(super) weights: Vec<(Arc<str>, u32)>,
    pub(super) ageing: Duration,
    pub(super) overload: Option<OverloadRules>,
    pub(super) crew: CrewRules,
    pub(super) outliers: Option<OutlierRules>,
    pub(super) starts: CircuitRules,
    pub(super) backoff: Backoff,
    pub(super) drain: Duration,
    pub(super) tiers: Vec<(Arc<str>, u32)>,
    pub(super) signals: Vec<Watched>,
    pub(super) forecast: Option<Arc<dyn Fn() -> Option<u32> + Send + Sync>>,
    pub(super) behind: Option<Breaker>,
    pub(super) quota: Option<Share>,
}

impl Rules {
    pub(super) fn new(mode: Mode) -> Self {
        let waits = Duration::from_secs(1)..=Duration::from_secs(60);
        Self {
            mode,
            scaler: ScalerRules::new(1, default_max()),
            observe_only: false,
            warm: None,
            queue: None,
            overflow: Overflow::Reject,
            weights: Vec::new(),
            ageing: Duration::from_secs(10),
            overload: Some(OverloadRules::new(Target::Auto)),
            crew: CrewRules::default(),
            outliers: Some(OutlierRules::default()),
            starts: CircuitRules::default()
                .consecutive_failures(3)
                .half_open_permits(1)
                .open_wait(Backoff::exponential(waits).jitter(0.2)),
            backoff: Backoff::default(),
            drain: DRAIN,
            tiers: Vec::new(),
            signals: Vec::new(),
            forecast: None,
            behind: None,
            quota: None,
        }
    }

    /// How many jobs may wait.
    pub(super) fn queue(&self) -> usize {
        let workers = self.scaler.max() as usize * self.crew.jobs_at_once() as usize;
        self.queue.unwrap_or(QUEUE_PER_WORKER * workers)
    }

    /// How many workers have to be up before the pool counts as started.
    pub(super) fn warm(&self) -> u32 {
        self.warm.unwrap_or_else(|| self.scaler.min())
    }

    pub(super) fn scaler(&self) -> ScalerRules {
        self.scaler.clone().concurrency(self.crew.jobs_at_once())
    }

    pub(super) fn desk(&self) -> DeskRules {
        let mut backlog = BacklogRules::new(self.queue())
            .overflow(self.overflow)
            .ageing(self.ageing);
        for (tenant, weight) in &self.weights {
            backlog = backlog.weight(Arc::clone(tenant), *weight);
        }
        if let Some(overload) = self.overload {
            backlog = backlog.overload(overload);
        }
        DeskRules {
            mode: self.mode,
            backlog,
            crew: self.crew(),
            outliers: self.outliers,
        }
    }

    fn crew(&self) -> CrewRules {
        let tiers = self.tiers.iter().map(|(tier, _)| Arc::clone(tier));
        self.crew.clone().keep_one_of(tiers)
    }

    /// What could never work, in words.
    pub(super) fn wrong(&self) -> Option<String> {
        if self.drain > LONGEST {
            let drain = self.drain;
            return Some(format!(
                "drain_timeout: expected up to a year, got {drain:?}"
            ));
        }
        if let Err(error) = self.crew.check() {
            return Some(error.to_string());
        }
        if let Err(error) = self.scaler().check() {
            return Some(error.to_string());
        }
        if self.warm() > self.scaler.initial() {
            let (warm, target) = (self.warm(), self.scaler.initial());
            return Some(format!(
                "warm: expected at most the size that it begins with, {target}, not {warm}"
            ));
        }
        if self.queue() == 0 && self.scaler.min() == 0 {
            let why = "with no worker at least, one comes for a job that waits";
            return Some(format!("queue: expected room for 1 job at least: {why}"));
        }
        let tiers = u32::try_from(self.tiers.len()).unwrap_or(u32::MAX);
        if tiers > self.scaler.min() {
            let min = self.scaler.min();
            return Some(format!(
                "tiers: expected at least one worker for each of {tiers} tiers, not min {min}"
            ));
        }
        if let Some((tier, _)) = self.tiers.iter().find(|(_, share)| *share == 0) {
            return Some(format!("tiers: {tier:?} has no share of the workers"));
        }
        let no_target = |watched: &&Watched| !(watched.target.is_finite() && watched.target > 0.0);
        if let Some(watched) = self.signals.iter().find(no_target) {
            let (name, target) = (&watched.name, watched.target);
            return Some(format!(
                "signal {name:?}: expected a target above 0, not {target}"
            ));
        }
        let desk = self.desk();
        if let Err(error) = desk.backlog.check() {
            return Some(error.to_string());
        }
        let outliers = desk.outliers.as_ref().map(OutlierRules::check);
        outliers
            .and_then(Result::err)
            .map(|error| error.to_string())
    }

    /// The tier of one more worker: the one that is farthest below its share.
    pub(super) fn tier(&self, has: impl Fn(&str) -> u32) -> Option<Arc<str>> {
        let fill = |(tier, share): &(Arc<str>, u32)| f64::from(has(tier)) / f64::from(*share);
        let emptiest = self
            .tiers
            .iter()
            .min_by(|one, other| fill(one).total_cmp(&fill(other)));
        emptiest.map(|(tier, _)| Arc::clone(tier))
    }
}

/// 8 for each core, and at most 64.
fn default_max() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(8 * cores).unwrap_or(64).min(64)
}
