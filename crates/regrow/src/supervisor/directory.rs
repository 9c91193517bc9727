//! Who is where: every place of a system by its path, and the places below one supervisor.
//!
//! A directory outlives its supervisor, so that addresses stay good; it goes when the place of the supervisor does. The
//! supervisor writes, and anybody reads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use ractor::ActorId;
use rapidhash::quality::RandomState;
use smol_str::SmolStr;

use crate::address::Place;
use crate::path::ChildPath;

/// In how many parts the paths lie, each with a lock: readers on different threads seldom meet.
const PARTS: usize = 64;

/// Every place of a system, by its path.
///
/// Short paths lie in the table itself: among many children every other piece of memory that a look-up touches is one that no
/// cache holds. The hash is seeded at random.
pub(crate) struct Places(DashMap<SmolStr, Arc<Place>, RandomState>);

impl Default for Places {
    fn default() -> Self {
        Self(DashMap::with_hasher_and_shard_amount(
            RandomState::default(),
            PARTS,
        ))
    }
}

impl Places {
    pub(crate) fn get(&self, path: &str) -> Option<Arc<Place>> {
        self.0.get(path).map(|place| Arc::clone(&place))
    }
}

/// Where a place stands in the list of its directory.
#[derive(Debug, Default)]
pub(crate) struct Seat(AtomicU32);

/// The places below one supervisor.
pub(crate) struct Directory {
    supervisor: ChildPath,
    all: Arc<Places>,
    /// Locked by who writes: the last breath of a supervisor may meet the first of its next life.
    seats: Mutex<Vec<Arc<Place>>>,
}

impl Directory {
    pub(crate) fn new(supervisor: ChildPath, all: Arc<Places>) -> Self {
        Self {
            supervisor,
            all,
            seats: Mutex::default(),
        }
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Place>> {
        self.supervisor.with_child(id, |path| self.all.get(path))
    }

    /// The place of this path: the one that was there before, if a supervisor is back, so that addresses stay good.
    pub(crate) fn enter(&self, path: &ChildPath, make: impl FnOnce() -> Place) -> Arc<Place> {
        let mut seats = self.seats();
        if let Some(present) = self.all.get(path.as_str()) {
            return present;
        }
        let place = Arc::new(make());
        place.seat.0.store(number(seats.len()), Ordering::Relaxed);
        seats.push(Arc::clone(&place));
        let path = SmolStr::from(path.shared());
        self.all.0.insert(path, Arc::clone(&place));
        place
    }

    /// Forgets the place of this path, whoever holds it.
    pub(crate) fn leave(&self, path: &ChildPath) {
        let mut seats = self.seats();
        if let Some((_, place)) = self.all.0.remove(path.as_str()) {
            stand_up(&mut seats, &place);
        }
    }

    /// Forgets this very place, unless another has come in its stead, or the next life of the supervisor holds it already.
    /// Whether it did.
    pub(crate) fn leave_place(&self, place: &Arc<Place>, holder: ActorId) -> bool {
        let mut seats = self.seats();
        let is_it = |_: &SmolStr, present: &Arc<Place>| {
            Arc::ptr_eq(present, place) && !present.is_taken() && place.is_held_by(holder)
        };
        let left = self.all.0.remove_if(place.path().as_str(), is_it);
        if left.is_some() {
            stand_up(&mut seats, place);
        }
        left.is_some()
    }

    /// Forgets them all, and returns them.
    pub(crate) fn clear(&self) -> Vec<Arc<Place>> {
        let mut seats = self.seats();
        for place in &*seats {
            self.all.0.remove(place.path().as_str());
        }
        std::mem::take(&mut seats)
    }

    /// The places that are there now.
    pub(crate) fn all(&self) -> Vec<Arc<Place>> {
        self.seats().clone()
    }
}

/// Takes a place out of the list; the last one gets its seat.
fn stand_up(seats: &mut Vec<Arc<Place>>, place: &Place) {
    let seat = place.seat.0.load(Ordering::Relaxed);
    let index = seat as usize;
    if index < seats.len() {
        seats.swap_remove(index);
    }
    if let Some(moved) = seats.get(index) {
        moved.seat.0.store(seat, Ordering::Relaxed);
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a supervisor has less than 2³² children")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regrow_core::ChildKind;
    use regrow_core::index::Profile;

    use super::*;

    struct Below {
        all: Arc<Places>,
        directory: Directory,
    }

    impl Below {
        fn new() -> Self {
            let all = Arc::<Places>::default();
            let directory = Directory::new(ChildPath::from("root"), Arc::clone(&all));
            Self { all, directory }
        }

        fn enter(&self, id: &str) -> Arc<Place> {
            let path = self.directory.supervisor.join(id);
            let make = || {
                Place::new(
                    path.clone(),
                    None,
                    Profile::new(ChildKind::Actor, "test").into(),
                    Arc::default(),
                )
            };
            self.directory.enter(&path, make)
        }

        /// What the list has and what the table has is one thing.
        fn check(&self, ids: &[&str]) {
            let listed: Vec<_> = self.directory.all();
            for (seat, place) in listed.iter().enumerate() {
                assert_eq!(place.seat.0.load(Ordering::Relaxed) as usize, seat);
                assert!(Arc::ptr_eq(
                    &self.all.get(place.path().as_str()).unwrap(),
                    place
                ));
            }
            let listed: BTreeSet<_> = listed.iter().map(|place| place.path().id()).collect();
            assert_eq!(listed, ids.iter().copied().collect());
            assert_eq!(self.all.0.len(), ids.len());
        }
    }

    #[test]
    fn whoever_leaves_the_others_keep_their_places() {
        let below = Below::new();
        for id in ["a", "b", "c", "d"] {
            below.enter(id);
        }
        for (leaves, stay) in [
            ("b", &["a", "c", "d"][..]),
            ("d", &["a", "c"]),
            ("nobody", &["a", "c"]),
            ("a", &["c"]),
            ("c", &[]),
        ] {
            below
                .directory
                .leave(&below.directory.supervisor.join(leaves));
            below.check(stay);
        }
        below.enter("e");
        below.check(&["e"]);
        assert_eq!(below.directory.clear().len(), 1);
        below.check(&[]);
    }

    #[test]
    fn a_place_is_the_same_over_lives_of_its_supervisor_and_left_by_the_one_that_holds_it() {
        let (below, old, new) = (Below::new(), ActorId::Local(1), ActorId::Local(2));
        let place = below.enter("a");
        place.hold(0, old);
        assert!(Arc::ptr_eq(&below.enter("a"), &place));
        place.hold(0, new);
        assert!(!below.directory.leave_place(&place, old));
        below.check(&["a"]);
        assert!(below.directory.leave_place(&place, new));
        below.check(&[]);
        assert!(below.directory.get("a").is_none());
    }

    #[test]
    fn a_path_that_is_too_long_for_the_table_is_found_as_well() {
        let below = Below::new();
        let long = "x".repeat(300);
        let place = below.enter(&long);
        assert!(Arc::ptr_eq(&below.directory.get(&long).unwrap(), &place));
        below.check(&[&long]);
    }
}
