//! A list of all that are alive, which can be walked while some come and go.
//!
//! Whoever comes or goes waits for the lock, and may be a supervisor. So both cost the same however many there are, and a walk
//! takes the lock for a few at a time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How many are looked up under one lock.
const AT_A_TIME: usize = 256;

/// Who is there. A place is used again, so that the list is as long as there ever were at once.
#[derive(Debug)]
pub(crate) struct Roll<T>(Mutex<Places<T>>);

#[derive(Debug)]
struct Places<T> {
    taken: Vec<Weak<T>>,
    free: Vec<usize>,
}

impl<T> Default for Roll<T> {
    fn default() -> Self {
        Self(Mutex::new(Places {
            taken: Vec::new(),
            free: Vec::new(),
        }))
    }
}

impl<T> Roll<T> {
    /// One more, who is told its place and makes itself with it. It has to [leave](Self::leave) when it is dropped.
    pub(crate) fn enter(&self, make: impl FnOnce(usize) -> T) -> Arc<T> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.free.pop().unwrap_or_else(|| {
            places.taken.push(Weak::new());
            places.taken.len() - 1
        });
        let one = Arc::new(make(place));
        places.taken[place] = Arc::downgrade(&one);
        one
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, place: usize) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.taken[place] = Weak::new();
        places.free.push(place);
    }

    /// Looks at everybody who is there from the beginning of the walk to its end; at others perhaps.
    pub(crate) fn walk(&self, mut look: impl FnMut(&Arc<T>)) {
        let mut some = Vec::with_capacity(AT_A_TIME);
        let mut from = 0;
        loop {
            {
                let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(rest) = places.taken.get(from..).filter(|rest| !rest.is_empty()) else {
                    return;
                };
                some.extend(rest.iter().take(AT_A_TIME).filter_map(Weak::upgrade));
            }
            from += AT_A_TIME;
            // Without the lock: the last to hold somebody may be this walk, and then that one leaves here.
            for one in some.drain(..) {
                look(&one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guest(Arc<Roll<Self>>, usize, u32);

    impl Drop for Guest {
        fn drop(&mut self) {
            self.0.leave(self.1);
        }
    }

    fn enter(roll: &Arc<Roll<Guest>>, name: u32) -> Arc<Guest> {
        roll.enter(|place| Guest(Arc::clone(roll), place, name))
    }

    fn names(roll: &Roll<Guest>) -> Vec<u32> {
        let mut names = Vec::new();
        roll.walk(|guest| names.push(guest.2));
        names
    }

    #[test]
    fn a_walk_sees_all_who_are_there_and_a_place_is_used_again() {
        let roll = Arc::new(Roll::default());
        let mut guests: Vec<Arc<Guest>> = (0..1_000).map(|name| enter(&roll, name)).collect();
        assert_eq!(names(&roll), (0..1_000).collect::<Vec<_>>());
        guests.retain(|guest| guest.2 % 2 == 0);
        assert_eq!(names(&roll).len(), 500);
        guests.extend((1_000..1_500).map(|name| enter(&roll, name)));
        assert_eq!(names(&roll).len(), 1_000);
        let places = roll.0.lock().unwrap();
        assert_eq!((places.taken.len(), places.free.len()), (1_000, 0));
    }

    #[test]
    fn who_comes_or_goes_during_a_walk_does_not_wait_and_hides_nobody() {
        let roll = Arc::new(Roll::default());
        let mut guests: Vec<Arc<Guest>> = (0..1_000).map(|name| enter(&roll, name)).collect();
        let stays: Vec<u32> = (0..1_000).filter(|name| name % 3 == 0).collect();
        let mut seen = Vec::new();
        roll.walk(|guest| {
            seen.push(guest.2);
            guests.retain(|guest| guest.2 % 3 == 0);
            guests.push(enter(&roll, 3_000));
        });
        seen.retain(|name| *name < 1_000 && name % 3 == 0);
        assert_eq!(seen, stays);
    }

    #[test]
    fn who_is_let_go_of_by_the_walk_itself_leaves() {
        let roll = Arc::new(Roll::default());
        let mut guest = Some(enter(&roll, 1));
        roll.walk(|_| drop(guest.take()));
        assert_eq!(names(&roll), [0; 0]);
    }
}
