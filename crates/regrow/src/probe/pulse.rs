//! Children that say themselves that they are well.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regrow_core::phi::{Heartbeats, InvalidPhi, PhiRules};
use regrow_core::probe::{self, CheckResult};

use super::check::{Check, Examination, OwnCheck, Probed};
use crate::child::StartContext;
use crate::path::ChildPath;
use crate::time;

/// What a child says that it is well by. Make one for each child that is to have it, give it to the [`Ttl`] or the [`Heartbeat`] of its
/// probes, and the child a [`Beat`] for each life.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<Ears>>);

/// Who listens to a pulse.
#[derive(Default)]
struct Ears {
    /// Tells them apart.
    last: u64,
    of: Option<Life>,
    ears: Vec<(u64, Ear)>,
}

/// The life that is followed.
#[derive(PartialEq, Eq)]
struct Life {
    path: ChildPath,
    generation: u32,
}

/// How a probe judges what it hears.
enum Ear {
    Ttl(probe::Ttl),
    Heartbeat(Box<Heartbeats>),
}

impl Ear {
    fn hear(&mut self, now: Instant) {
        match self {
            Self::Ttl(ttl) => ttl.on_word(now),
            // That it is back is seen at the next look.
            Self::Heartbeat(heartbeats) => {
                heartbeats.on_beat(now);
            }
        }
    }

    fn judge(&mut self, now: Instant) -> CheckResult {
        match self {
            Self::Ttl(ttl) => ttl.check(now),
            Self::Heartbeat(heartbeats) => probe::heartbeat(heartbeats, now),
        }
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
            life: Arc::new(Life {
                path: context.path().clone(),
                generation: context.generation(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ears> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this life is listened to, so also by this ear.
    fn listen(&self, life: &Probed, ear: Ear) -> Examination {
        let mut ears = self.lock();
        let life = Life {
            path: life.path().clone(),
            generation: life.generation(),
        };
        if ears.of.as_ref() != Some(&life) {
            ears.of = Some(life);
            ears.ears.clear();
        }
        ears.last += 1;
        let number = ears.last;
        ears.ears.push((number, ear));
        drop(ears);
        let listener = Listener {
            pulse: self.clone(),
            number,
        };
        Examination::at_once(move |now| {
            let mut ears = listener.pulse.lock();
            let own = ears
                .ears
                .iter_mut()
                .find(|(ear, _)| *ear == listener.number);
            match own {
                Some((_, ear)) => ear.judge(now),
                None => CheckResult::error("its pulse is taken by another life"),
            }
        })
    }
}

/// A probe that listens; its ear goes with it.
struct Listener {
    pulse: Pulse,
    number: u64,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut ears = self.pulse.lock();
        ears.ears.retain(|(number, _)| *number != self.number);
    }
}

/// The pulse of one life: what is left of an earlier one cannot keep the present one alive.
#[derive(Clone)]
pub struct Beat {
    pulse: Pulse,
    life: Arc<Life>,
}

impl fmt::Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beat")
    }
}

impl Beat {
    /// Says that all is well. Costs a lock that is nearly never contended and a look at the clock.
    pub fn beat(&self) {
        let mut ears = self.pulse.lock();
        if ears.of.as_ref() == Some(&*self.life) {
            let now = time::now();
            ears.ears.iter_mut().for_each(|(_, ear)| ear.hear(now));
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
        let ttl = probe::Ttl::new(self.ttl, time::now());
        self.pulse.listen(life, Ear::Ttl(ttl))
    }
}

impl OwnCheck for Ttl {}

/// Whether a child that beats its [`Pulse`] all the time has fallen silent, judged by how regularly it has beaten so far: the φ accrual
/// failure detector of Hayashibara and others, with the numbers of a Pekko cluster ([`regrow_core::phi`]). Where a [`Ttl`] needs a time
/// that fits, this one learns it, and who beats unevenly is given more.
///
/// It is a failure from φ = 8 on: that a living child should be silent for so long is to be expected once in 10⁸ beats. The begin of a life
/// counts as its first beat. Ask it as often as you want to know, but at least every 3 s, the pause that is forgiven: a look that comes
/// later takes itself for the one that was asleep. A `failure_threshold` of 1 is enough: it has counted the beats itself.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pulse: Pulse,
    rules: PhiRules,
}

impl Heartbeat {
    /// It beats about so often, which is the guess before there are beats to learn from.
    #[must_use]
    pub fn every(pulse: &Pulse, interval: Duration) -> Self {
        Self {
            pulse: pulse.clone(),
            rules: PhiRules::every(interval),
        }
    }

    /// By rules of your own.
    ///
    /// # Errors
    /// Names the rule that cannot work.
    pub fn by(pulse: &Pulse, rules: PhiRules) -> Result<Self, InvalidPhi> {
        rules.check()?;
        Ok(Self {
            pulse: pulse.clone(),
            rules,
        })
    }
}

impl Check for Heartbeat {
    fn examine(&self, life: &Probed) -> Examination {
        if let Err(error) = self.rules.check() {
            return Examination::impossible(error.to_string());
        }
        let mut heartbeats = Heartbeats::new(self.rules);
        // Nothing comes back before the first beat.
        heartbeats.on_beat(time::now());
        self.pulse
            .listen(life, Ear::Heartbeat(Box::new(heartbeats)))
    }
}

impl OwnCheck for Heartbeat {}
