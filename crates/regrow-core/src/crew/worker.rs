//! One worker, as a crew knows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::words::words;

/// Over how much time a mean comes down.
const DECAY: Duration = Duration::from_secs(10);

words! {
    /// What a worker of a pool is doing.
    pub enum WorkerState {
        /// It is not up yet, or waits for its next start.
        Starting = "starting",
        /// It has nothing to do.
        Idle = "idle",
        /// It has a job, or several.
        Busy = "busy",
        /// It gets no more work and finishes what it has.
        Draining = "draining",
        /// It is up and may be given no work.
        Unhealthy = "unhealthy",
        /// It fails too often, and gets no work for a while.
        Ejected = "ejected",
    }
}

/// How many workers are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u32; 6]);

impl Counts {
    /// How many are in this state.
    #[must_use]
    pub const fn of(&self, state: WorkerState) -> u32 {
        self.0[state as usize]
    }

    pub(super) const fn add(&mut self, state: WorkerState) {
        self.0[state as usize] += 1;
    }
}

/// A worker as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// Its number.
    pub number: u32,
    /// Which life of it.
    pub generation: u32,
    /// What it is doing.
    pub state: WorkerState,
    /// How many jobs it has.
    pub in_flight: u32,
    /// How many jobs it has done in this life.
    pub done: u64,
    /// How many of them have failed.
    pub failed: u64,
    /// What it is recognised by.
    pub tags: Vec<Arc<str>>,
}

/// A mean that follows a rise at once and a fall slowly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeakMean {
    seconds: f64,
    at: Option<Instant>,
}

impl PeakMean {
    pub(super) fn add(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let passed = self
            .at
            .map_or(DECAY, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        if took >= self.seconds {
            self.seconds = took;
            return;
        }
        let kept = (-passed.as_secs_f64() / DECAY.as_secs_f64()).exp();
        self.seconds = kept * self.seconds + (1.0 - kept) * took;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Worker<S> {
    pub(super) tags: Vec<Arc<str>>,
    pub(super) generation: u32,
    /// A life of it is up and may be given work.
    pub(super) ready: bool,
    /// A life of it has been up.
    pub(super) up: bool,
    pub(super) draining: bool,
    pub(super) ejected: bool,
    pub(super) jobs: Vec<(u64, S)>,
    /// It was told that there is work, and has not come for it yet.
    pub(super) rung: bool,
    /// When it was, as long as it is counted on to come.
    pub(super) awaited: Option<Instant>,
    /// Since when it has something to do.
    pub(super) since: Option<Instant>,
    pub(super) idle_since: Instant,
    pub(super) born: Instant,
    /// In which order it has come to have nothing to do, and was last given something.
    pub(super) idled: u64,
    pub(super) given: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) memory: Option<u64>,
    pub(super) latency: PeakMean,
    /// How far its age may be off: between 0.9 and 1.1.
    pub(super) jitter: f64,
    /// Where it stands in the list of those with nothing to do.
    pub(super) listed: Option<u64>,
    /// Where it stands in the list of those with something to do and room.
    pub(super) place: Option<usize>,
}

impl<S> Worker<S> {
    pub(super) fn new(tags: Vec<Arc<str>>, now: Instant, chance: f64) -> Self {
        Self {
            tags,
            generation: 0,
            ready: false,
            up: false,
            draining: false,
            ejected: false,
            jobs: Vec::new(),
            rung: false,
            awaited: None,
            since: None,
            idle_since: now,
            born: now,
            idled: 0,
            given: 0,
            done: 0,
            failed: 0,
            memory: None,
            latency: PeakMean::default(),
            jitter: 0.9 + 0.2 * chance,
            listed: None,
            place: None,
        }
    }

    /// Another life, that has done nothing yet; what the one before had.
    pub(super) fn begin_life(&mut self, generation: u32, now: Instant) -> Vec<S> {
        self.generation = generation;
        self.ready = false;
        self.up = false;
        self.born = now;
        self.idle_since = now;
        self.done = 0;
        self.failed = 0;
        self.memory = None;
        self.latency = PeakMean::default();
        self.lose()
    }

    pub(super) fn lose(&mut self) -> Vec<S> {
        self.since = None;
        self.rung = false;
        self.jobs.drain(..).map(|(_, slip)| slip).collect()
    }

    pub(super) fn set_ready(&mut self, ready: bool, now: Instant) {
        if ready && !self.ready {
            self.up = true;
            self.idle_since = now;
        }
        self.ready = ready;
    }

    /// It is up, stays, and may be given work.
    pub(super) const fn can_work(&self) -> bool {
        self.ready && !self.draining && !self.ejected
    }

    /// Whether it may be given one more job. Who was told that there is work comes for it first.
    pub(super) const fn has_room(&self, concurrency: u32) -> bool {
        self.can_work() && !self.rung && self.jobs.len() < concurrency as usize
    }

    /// How long one more job would take, more or less: never 0, so that those who are not known yet differ by what they have.
    #[expect(clippy::cast_precision_loss, reason = "some jobs")]
    pub(super) fn load(&self) -> f64 {
        (self.jobs.len() + 1) as f64 * self.latency.seconds.max(1e-6)
    }

    pub(super) const fn state(&self) -> WorkerState {
        if self.draining {
            WorkerState::Draining
        } else if !self.ready {
            if self.up {
                WorkerState::Unhealthy
            } else {
                WorkerState::Starting
            }
        } else if self.ejected {
            WorkerState::Ejected
        } else if self.jobs.is_empty() {
            WorkerState::Idle
        } else {
            WorkerState::Busy
        }
    }

    pub(super) fn status(&self, number: u32) -> WorkerStatus {
        WorkerStatus {
            number,
            generation: self.generation,
            state: self.state(),
            in_flight: u32::try_from(self.jobs.len()).unwrap_or(u32::MAX),
            done: self.done,
            failed: self.failed,
            tags: self.tags.clone(),
        }
    }
}
