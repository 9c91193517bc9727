//! One who is registered, as it is now.

use std::fmt;
use std::sync::Arc;

use ractor::Message as ActorMessage;
use regrow_core::index::{Entry, Profile};
use regrow_core::pick::Candidate;
use regrow_core::{Health, Phase};

use crate::address::{Address, LookupError, Place};
use crate::telemetry::Subject;

/// A child that is registered, whichever life is in its place. Cloning costs a reference count.
#[derive(Clone)]
pub struct Registered(pub(super) Arc<Place>);

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registered").field(self.0.path()).finish()
    }
}

/// Equal are two of the same place.
impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Registered {}

/// An order that means nothing, for maps.
impl Ord for Registered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Arc::as_ptr(&self.0).cmp(&Arc::as_ptr(&other.0))
    }
}

impl PartialOrd for Registered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Candidate for Registered {
    fn path(&self) -> &str {
        self.0.path().as_str()
    }

    fn load(&self) -> u64 {
        self.0.standing.load()
    }
}

impl Registered {
    pub(crate) fn new(place: &Arc<Place>) -> Self {
        Self(Arc::clone(place))
    }

    pub(crate) fn is(&self, place: &Arc<Place>) -> bool {
        Arc::ptr_eq(&self.0, place)
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &crate::ChildPath {
        self.0.path()
    }

    /// What it is doing, now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.standing.word().phase()
    }

    /// Whether it may be given work, now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.standing.word().is_ready()
    }

    /// What probes say, now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.standing.word().health()
    }

    /// Which life it is in, or was last; 0 before the first.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.0.standing.word().generation()
    }

    /// Whether its place has been taken out of the tree.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.standing.word().is_gone()
    }

    /// How much it has to do, as it last said; 0 if it never has.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.standing.load()
    }

    /// Says how much it has to do, in a unit that is the same for all that are compared: for [`Select::LeastLoaded`](crate::Select::LeastLoaded) and
    /// [`Select::TwoChoices`](crate::Select::TwoChoices). Costs one store, and nobody who watches is told.
    pub fn set_load(&self, load: u64) {
        self.0.standing.set_load(load);
    }

    /// What it is: its kind, type, tags, capabilities and metadata.
    #[must_use]
    pub fn profile(&self) -> Arc<Profile> {
        self.0.standing.profile()
    }

    /// Changes what it is, from inside or outside: from now on it is found so. It lasts as long as its place, through restarts, until
    /// its supervisor is given new rules.
    pub fn edit(&self, edit: impl FnOnce(&mut Profile)) {
        self.0.edit(edit);
    }

    /// Everything that is known of it, now.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.0.entry()
    }

    pub(crate) fn subject(&self) -> Subject {
        let (path, profile, word) = (self.path().clone(), self.profile(), self.0.standing.word());
        let type_name = Arc::clone(&profile.type_name);
        Subject::new(
            path,
            profile.kind,
            type_name,
            word.generation(),
            word.phase(),
        )
    }

    /// Its address, whatever it takes: for whoever knows.
    pub(crate) fn unchecked_address<M>(&self) -> Address<M> {
        Address::unchecked(Arc::clone(&self.0))
    }

    /// Its address.
    ///
    /// # Errors
    /// When it takes other messages.
    pub fn address<M: ActorMessage>(&self) -> Result<Address<M>, LookupError> {
        Arc::clone(&self.0).address()
    }
}
