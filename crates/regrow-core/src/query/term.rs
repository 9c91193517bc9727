//! The terms that have a list of their own.

use std::sync::Arc;

use crate::index::Entry;
use crate::phase::{ChildKind, Health, Phase};

/// One thing that holds of an entry or does not, and by which an [`Index`](crate::index::Index) has a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Term {
    /// It has this tag.
    Tag(Arc<str>),
    /// It has this `key=value` tag.
    Pair {
        /// The key.
        key: Arc<str>,
        /// The value.
        value: Arc<str>,
    },
    /// It has a `key=value` tag with this key.
    Key(Arc<str>),
    /// It is made of this.
    Kind(ChildKind),
    /// It is this in the user's words.
    Type(Arc<str>),
    /// It can do this.
    Capability(Arc<str>),
    /// It is doing this.
    Phase(Phase),
    /// It may be given work.
    Ready,
    /// Probes say this of it.
    Health(Health),
}

impl Term {
    /// Whether it holds of this entry.
    #[must_use]
    pub fn holds(&self, entry: &Entry) -> bool {
        let (profile, status) = (&*entry.profile, &entry.status);
        match self {
            Self::Tag(tag) => profile.tags.contains(tag),
            Self::Pair { key, value } => profile.keys.get(key) == Some(value),
            Self::Key(key) => profile.keys.contains_key(key),
            Self::Kind(kind) => profile.kind == *kind,
            Self::Type(type_name) => profile.type_name == *type_name,
            Self::Capability(capability) => profile.capabilities.contains(capability),
            Self::Phase(phase) => status.phase == *phase,
            Self::Ready => status.ready,
            Self::Health(health) => status.health == *health,
        }
    }
}
