//! The places below one supervisor, by id.
//!
//! A directory outlives its supervisor, so that addresses stay good; it goes when the place of the supervisor does. The
//! supervisor writes, and anybody reads.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ractor::ActorId;
use rapidhash::quality::RandomState;

use crate::address::Place;

/// Every start looks an id up a few times, and so does every question. The hash is seeded at random.
type Places = HashMap<Arc<str>, Arc<Place>, RandomState>;

#[derive(Default)]
pub(crate) struct Directory(RwLock<Places>);

impl Directory {
    fn read(&self) -> RwLockReadGuard<'_, Places> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Places> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Place>> {
        self.read().get(id).cloned()
    }

    /// The place of this id: the one that was there before, if a supervisor is back, so that addresses stay good.
    pub(crate) fn enter(&self, id: &Arc<str>, make: impl FnOnce() -> Place) -> Arc<Place> {
        let mut places = self.write();
        Arc::clone(
            places
                .entry(Arc::clone(id))
                .or_insert_with(|| Arc::new(make())),
        )
    }

    pub(crate) fn leave(&self, id: &str) {
        self.write().remove(id);
    }

    /// Forgets this very place, unless another has come in its stead, or the next life of the supervisor holds it already.
    /// Whether it did.
    pub(crate) fn leave_place(&self, id: &str, place: &Arc<Place>, holder: ActorId) -> bool {
        let mut places = self.write();
        let is_it = |present: &Arc<Place>| {
            Arc::ptr_eq(present, place) && !present.is_taken() && place.is_held_by(holder)
        };
        places.get(id).is_some_and(is_it) && places.remove(id).is_some()
    }

    /// Looks at every place, without the lock.
    pub(crate) fn each(&self, mut look: impl FnMut(&Arc<Place>)) {
        let places: Vec<Arc<Place>> = self.read().values().cloned().collect();
        places.iter().for_each(&mut look);
    }
}
