//! Children that say themselves that they are well.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regrow_core::probe;

use super::check::{Check, Examination, OwnCheck, Probed};
use crate::child::StartContext;
use crate::path::ChildPath;
use crate::time;

/// What a child says that it is well by. Make one for each child that is to have it, give it to the [`Ttl`] of its probe, and the child a
/// [`Beat`] for each life.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Life>>>);

/// The life that is followed.
struct Life {
    path: ChildPath,
    generation: u32,
    ttl: probe::Ttl,
}

impl Life {
    fn is(&self, path: &ChildPath, generation: u32) -> bool {
        self.generation == generation && self.path == *path
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pulse")
    }
}

impl Pulse {
    /// One that nobody uses yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What this life beats with.
    #[must_use]
    pub fn of(&self, context: &StartContext) -> Beat {
        Beat {
            pulse: self.clone(),
            path: context.path().clone(),
            generation: context.generation(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Life>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pulse of one life: what is left of an earlier one cannot keep the present one alive.
#[derive(Clone, Debug)]
pub struct Beat {
    pulse: Pulse,
    path: ChildPath,
    generation: u32,
}

impl Beat {
    /// Says that all is well. Costs a lock that is nearly never contended and a look at the clock.
    pub fn beat(&self) {
        if let Some(life) = &mut *self.pulse.lock()
            && life.is(&self.path, self.generation)
        {
            life.ttl.on_word(time::now());
        }
    }
}

/// Whether a child has said within a time that it is well, by its [`Pulse`]; for tasks and threads, say, of which nothing can be
/// seen from outside. A life has that time for its first word.
#[derive(Clone, Debug)]
pub struct Ttl {
    pulse: Pulse,
    ttl: Duration,
}

impl Ttl {
    /// It has to beat at least once in this time.
    #[must_use]
    pub fn new(pulse: &Pulse, ttl: Duration) -> Self {
        Self {
            pulse: pulse.clone(),
            ttl,
        }
    }
}

impl Check for Ttl {
    fn examine(&self, life: &Probed) -> Examination {
        let (pulse, path) = (self.pulse.clone(), life.path().clone());
        let generation = life.generation();
        *pulse.lock() = Some(Life {
            path: path.clone(),
            generation,
            ttl: probe::Ttl::new(self.ttl, time::now()),
        });
        Examination::at_once(move |now| match &*pulse.lock() {
            Some(life) if life.is(&path, generation) => life.ttl.check(now),
            Some(_) | None => probe::CheckResult::error("its pulse is taken by another life"),
        })
    }
}

impl OwnCheck for Ttl {}
