//! How a child is at present, where anybody can read it at once.
//!
//! Its supervisor writes, before it tells anybody. So a look-up that begins after the event of a stop sees that stop, however far
//! behind the index is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use regrow_core::index::{Profile, Status};
use regrow_core::{Desired, Health, Phase};

use crate::child::Traits;

const GENERATION: u64 = u32::MAX as u64;
const PHASE_AT: u32 = 32;
const HEALTH_AT: u32 = 40;
const READY: u64 = 1 << 48;
const GONE: u64 = 1 << 49;
const UNWANTED: u64 = 1 << 50;
const HAS_BEEN_UP: u64 = 1 << 51;

/// Whether it may be given work, what its probes say of it, and what more it takes to judge its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fitness {
    pub(crate) ready: bool,
    pub(crate) health: Health,
    /// An operator wants it down.
    pub(crate) unwanted: bool,
    /// A life of it has been up.
    pub(crate) has_been_up: bool,
}

impl Fitness {
    /// Of one that nobody probes.
    pub(crate) const fn unprobed(ready: bool) -> Self {
        Self {
            ready,
            health: Health::Unknown,
            unwanted: false,
            has_been_up: ready,
        }
    }
}

/// The part that changes together, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    fn new(generation: u32, phase: Phase, fitness: Fitness) -> Self {
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        let flags = flag(fitness.ready, READY)
            | flag(fitness.unwanted, UNWANTED)
            | flag(fitness.has_been_up, HAS_BEEN_UP);
        let (phase, health) = (phase as u64, fitness.health as u64);
        Self(u64::from(generation) | phase << PHASE_AT | health << HEALTH_AT | flags)
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 & GENERATION) as u32
    }

    pub(crate) fn phase(self) -> Phase {
        Phase::ALL[(self.0 >> PHASE_AT & 0xFF) as usize]
    }

    pub(crate) fn health(self) -> Health {
        Health::ALL[(self.0 >> HEALTH_AT & 0xFF) as usize]
    }

    /// Whether it is this life, in this phase, and as fit.
    pub(crate) fn is(self, generation: u32, phase: Phase, fitness: Fitness) -> bool {
        self.0 & !GONE == Self::new(generation, phase, fitness).0
    }

    pub(crate) const fn is_ready(self) -> bool {
        self.0 & READY != 0
    }

    /// How it stands, for the health of its supervisor.
    pub(crate) fn for_health(self) -> regrow_core::health::Standing {
        let desired = if self.0 & UNWANTED == 0 {
            Desired::Up
        } else {
            Desired::Down
        };
        regrow_core::health::Standing {
            phase: self.phase(),
            desired,
            has_been_up: self.has_been_up(),
            is_ready: self.is_ready(),
            probes: self.health(),
        }
    }

    /// A life of it has been up. It stays so.
    pub(crate) const fn has_been_up(self) -> bool {
        self.0 & HAS_BEEN_UP != 0
    }

    /// Its place has been taken out of the tree.
    pub(crate) const fn is_gone(self) -> bool {
        self.0 & GONE != 0
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Standing {
    word: AtomicU64,
    /// Since when it is in its phase: milliseconds since 1970.
    since: AtomicU64,
    load: AtomicU64,
    /// Counts the changes of the word that are told.
    changes: AtomicU32,
    /// Which of them the registry knows. Written by the registry alone.
    seen: AtomicU32,
    profile: Mutex<Arc<Profile>>,
}

impl Standing {
    pub(crate) fn new(profile: Arc<Profile>) -> Self {
        let word = Word::new(0, Phase::Pending, Fitness::unprobed(false));
        Self {
            word: AtomicU64::new(word.0),
            since: AtomicU64::new(0),
            load: AtomicU64::new(0),
            changes: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            profile: Mutex::new(profile),
        }
    }

    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// It is in another phase, or another life, or as fit as it was not. Called by its supervisor alone. Who is gone stays so: the
    /// supervisor itself may be dropped after its place has gone.
    pub(crate) fn enter(&self, generation: u32, phase: Phase, fitness: Fitness, at: SystemTime) {
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let since = since.as_secs() * 1_000 + u64::from(since.subsec_millis());
        let before = self.word();
        if (before.generation(), before.phase()) != (generation, phase) {
            self.since.store(since, Ordering::Relaxed);
        }
        if !before.is_gone() {
            let word = Word::new(generation, phase, fitness);
            self.word.store(word.0, Ordering::Release);
            let changes = self.changes.load(Ordering::Relaxed);
            self.changes
                .store(changes.wrapping_add(1), Ordering::Release);
        }
    }

    /// Which change was the last.
    pub(crate) fn change(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// The registry knows of this change.
    pub(super) fn see(&self, change: u32) {
        self.seen.store(change, Ordering::Relaxed);
    }

    /// The registry hears of a change; whether it is news.
    pub(super) fn is_news(&self, change: u32) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        // They are counted round and round.
        let is_later = change.wrapping_sub(seen).cast_signed() > 0;
        if is_later {
            self.see(change);
        }
        is_later
    }

    /// Its life is over, or shall be: it may not be given work. Its phase says so only when that has been told.
    pub(crate) fn unready(&self) {
        self.word.fetch_and(!READY, Ordering::AcqRel);
    }

    /// Its place has been taken out of the tree.
    pub(crate) fn go(&self) {
        self.word.fetch_and(!READY, Ordering::AcqRel);
        self.word.fetch_or(GONE, Ordering::AcqRel);
    }

    pub(crate) fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }

    pub(crate) fn set_load(&self, load: u64) {
        self.load.store(load, Ordering::Relaxed);
    }

    pub(crate) fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what it is, and calls `tell` before anybody else can change it again.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Profile), tell: impl FnOnce(&Arc<Profile>)) {
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        edit(Arc::make_mut(&mut profile));
        tell(&profile);
    }

    pub(crate) fn replace(&self, with: Arc<Profile>) {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner) = with;
    }

    pub(crate) fn status(&self) -> Status {
        let word = self.word();
        Status {
            phase: word.phase(),
            ready: word.is_ready(),
            health: word.health(),
            load: self.load(),
            generation: word.generation(),
            since: SystemTime::UNIX_EPOCH
                + Duration::from_millis(self.since.load(Ordering::Relaxed)),
        }
    }
}

/// What a spec says of its children.
pub(crate) fn profile_of(traits: &Traits, type_name: &Arc<str>) -> Profile {
    let mut profile = Profile::new(traits.kind, Arc::clone(type_name))
        .tags(&traits.tags)
        .capabilities(traits.capabilities.iter().cloned());
    profile.metadata = traits.metadata.clone();
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_what_was_put_into_it() {
        for phase in Phase::ALL.iter().copied() {
            for health in Health::ALL.iter().copied() {
                let ready = phase == Phase::Running;
                let fitness = Fitness {
                    health,
                    ..Fitness::unprobed(ready)
                };
                let word = Word::new(u32::MAX, phase, fitness);
                assert_eq!(
                    (
                        word.generation(),
                        word.phase(),
                        word.health(),
                        word.is_gone()
                    ),
                    (u32::MAX, phase, health, false)
                );
                assert_eq!(word.is_ready(), ready);
                assert!(word.is(u32::MAX, phase, fitness) && !word.is(1, phase, fitness));
                let unready = Fitness {
                    ready: !ready,
                    ..fitness
                };
                assert!(!word.is(u32::MAX, phase, unready));
            }
        }
    }

    #[test]
    fn a_change_of_before_what_is_known_is_no_news() {
        let profile = Profile::new(regrow_core::ChildKind::Actor, "t");
        let standing = Standing::new(Arc::new(profile));
        standing.enter(
            1,
            Phase::Starting,
            Fitness::unprobed(false),
            SystemTime::UNIX_EPOCH,
        );
        let first = standing.change();
        standing.enter(
            1,
            Phase::Running,
            Fitness::unprobed(true),
            SystemTime::UNIX_EPOCH,
        );
        standing.see(standing.change());
        assert!(!standing.is_news(first) && !standing.is_news(standing.change()));
        standing.see(u32::MAX);
        assert!(standing.is_news(1), "counted round");
    }

    #[test]
    fn who_is_gone_is_not_ready_and_stays_what_it_was() {
        let profile = Profile::new(regrow_core::ChildKind::Actor, "t");
        let standing = Standing::new(Arc::new(profile));
        standing.enter(
            3,
            Phase::Running,
            Fitness::unprobed(true),
            SystemTime::UNIX_EPOCH,
        );
        assert!(standing.word().is_ready());
        standing.go();
        let word = standing.word();
        assert_eq!((word.is_ready(), word.is_gone()), (false, true));
        assert_eq!((word.generation(), word.phase()), (3, Phase::Running));
    }
}
