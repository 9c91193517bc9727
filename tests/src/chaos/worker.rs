//! The workers of a chaotic tree: they fail as they are told, and count themselves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::{Backoff, ChildSpec, Restart, Shutdown};
use regrow_core::SplitMix64;

/// What all workers of a run share.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Whether starts may fail.
    pub(super) armed: AtomicBool,
    /// Lives over all places.
    pub(super) alive: AtomicI64,
    /// Lives there have been.
    pub(super) lives: AtomicU64,
    /// Starts that failed on purpose.
    pub(super) failed_starts: AtomicU64,
    meters: Mutex<HashMap<String, Arc<Meter>>>,
    rng: Mutex<Option<SplitMix64>>,
}

/// How many lives a place has now.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicI64);

impl Meter {
    pub(super) fn alive(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Stage {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let rng = Mutex::new(Some(SplitMix64::new(seed)));
        Arc::new(Self {
            rng,
            ..Self::default()
        })
    }

    /// A number in `0 .. bound`.
    fn below(&self, bound: u64) -> u64 {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.as_mut().map_or(0, |rng| rng.below(bound))
    }

    fn meter(&self, path: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(meters.entry(path.to_owned()).or_default())
    }

    /// How many live in this place.
    pub(super) fn alive_at(&self, path: &str) -> i64 {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.get(path).map_or(0, |meter| meter.alive())
    }

    /// Forgets the places that nobody lives in and that are not told of here.
    pub(super) fn forget(&self, path: &str) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.get(path).is_some_and(|meter| meter.alive() == 0) {
            meters.remove(path);
        }
    }
}

/// What a worker can be told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blow {
    Panic,
    Fail,
    Exit,
    Kill,
    Hang,
}

/// Counts one life for as long as it is there.
#[derive(Debug)]
pub(super) struct Life {
    meter: Arc<Meter>,
    stage: Arc<Stage>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(1, Ordering::SeqCst);
        self.stage.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Debug)]
struct Worker {
    stage: Arc<Stage>,
    meter: Arc<Meter>,
}

impl Actor for Worker {
    type Msg = Blow;
    type State = Life;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Blow>, (): ()) -> Result<Life, ActorProcessingErr> {
        if self.stage.armed.load(Ordering::Relaxed) {
            let fate = self.stage.below(1_500);
            self.stage
                .failed_starts
                .fetch_add(u64::from(fate < 3), Ordering::Relaxed);
            match fate {
                0 => return Err("a start that fails".into()),
                1 => std::panic::resume_unwind(Box::new("a start that panics")),
                2 => std::future::pending::<()>().await,
                3..30 => tokio::task::yield_now().await,
                _ => {}
            }
        }
        self.meter.0.fetch_add(1, Ordering::SeqCst);
        self.stage.alive.fetch_add(1, Ordering::SeqCst);
        self.stage.lives.fetch_add(1, Ordering::Relaxed);
        Ok(Life {
            meter: Arc::clone(&self.meter),
            stage: Arc::clone(&self.stage),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Blow>,
        blow: Blow,
        _: &mut Life,
    ) -> Result<(), ActorProcessingErr> {
        match blow {
            // No hook: ten thousand panics are not to be read.
            Blow::Panic => std::panic::resume_unwind(Box::new("a blow")),
            Blow::Fail => return Err("a blow".into()),
            Blow::Exit => myself.stop(None),
            Blow::Kill => myself.kill(),
            Blow::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

/// A worker at `path`, which its supervisor knows as `id`.
pub(super) fn spec(stage: &Arc<Stage>, path: &str, id: &str, restart: Restart) -> ChildSpec {
    let worker = Worker {
        stage: Arc::clone(stage),
        meter: stage.meter(path),
    };
    let shutdown = match stage.below(4) {
        0 => Shutdown::BrutalKill,
        _ => Shutdown::Timeout(Duration::from_millis(50)),
    };
    ChildSpec::actor(id, worker, ())
        .restart(restart)
        .shutdown(shutdown)
        .start_timeout(Duration::from_millis(200))
        .backoff(Backoff::exponential(
            Duration::from_millis(1)..=Duration::from_millis(50),
        ))
}
