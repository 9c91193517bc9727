//! What is known of one place in the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::Term;
use crate::phase::{ChildKind, Health, Phase};

/// What a child is: said once, and the same in all its lives unless somebody changes it.
///
/// Shared: a thousand children of one spec have one profile. Metadata are JSON's values, because that is what the file, the API
/// and the dashboard carry, and `serde_json` is among the dependencies for these anyway.
///
/// ```
/// use regrow_core::{ChildKind, index::Profile};
/// let profile = Profile::new(ChildKind::Actor, "coder").tags(["fast", "lang=rust"]).meta("cost", 3);
/// assert!(profile.tags.contains("fast"));
/// assert_eq!(&*profile.keys["lang"], "rust");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What it is made of.
    pub kind: ChildKind,
    /// What it is in the user's words.
    pub type_name: Arc<str>,
    /// Words by which it can be found.
    pub tags: BTreeSet<Arc<str>>,
    /// Its `key=value` tags: one value for each key.
    pub keys: BTreeMap<Arc<str>, Arc<str>>,
    /// What it can do.
    pub capabilities: BTreeSet<Arc<str>>,
    /// Whatever else it tells of itself.
    pub metadata: Map<String, Value>,
    /// The machine that it runs on, where there are several.
    pub node: Option<Arc<str>>,
    /// Where that machine is.
    pub zone: Option<Arc<str>>,
}

impl Profile {
    /// One without tags, capabilities, metadata, node and zone.
    #[must_use]
    pub fn new(kind: ChildKind, type_name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            type_name: type_name.into(),
            tags: BTreeSet::new(),
            keys: BTreeMap::new(),
            capabilities: BTreeSet::new(),
            metadata: Map::new(),
            node: None,
            zone: None,
        }
    }

    /// These tags too. One with a `=` is a `key=value` tag, divided at the first; the later value of a key counts.
    #[must_use]
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        for tag in tags {
            match tag.as_ref().split_once('=') {
                Some((key, value)) => {
                    self.keys.insert(key.into(), value.into());
                }
                None => {
                    self.tags.insert(tag.as_ref().into());
                }
            }
        }
        self
    }

    /// It can do these too.
    #[must_use]
    pub fn capabilities<T: Into<Arc<str>>>(
        mut self,
        capabilities: impl IntoIterator<Item = T>,
    ) -> Self {
        self.capabilities
            .extend(capabilities.into_iter().map(Into::into));
        self
    }

    /// One more of its metadata.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The machine that it runs on.
    #[must_use]
    pub fn node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Where that machine is.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    fn terms(&self) -> impl Iterator<Item = Term> {
        let tags = self.tags.iter().cloned().map(Term::Tag);
        let pairs = self.keys.iter().flat_map(|(key, value)| {
            let pair = Term::Pair {
                key: Arc::clone(key),
                value: Arc::clone(value),
            };
            [pair, Term::Key(Arc::clone(key))]
        });
        let capabilities = self.capabilities.iter().cloned().map(Term::Capability);
        [
            Term::Kind(self.kind),
            Term::Type(Arc::clone(&self.type_name)),
        ]
        .into_iter()
        .chain(tags)
        .chain(pairs)
        .chain(capabilities)
    }
}

/// How a child is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Whether it may be given work.
    pub ready: bool,
    /// What probes say.
    pub health: Health,
    /// How much it has to do, in a unit that is the same for all that are compared. Less is better.
    pub load: u64,
    /// Which life it is, or was last; 0 before the first.
    pub generation: u32,
    /// Since when it is in this phase.
    pub since: SystemTime,
}

impl Status {
    /// Before the first life: `pending`, not ready, of `unknown` health, without load.
    #[must_use]
    pub const fn pending(since: SystemTime) -> Self {
        Self {
            phase: Phase::Pending,
            ready: false,
            health: Health::Unknown,
            load: 0,
            generation: 0,
            since,
        }
    }

    fn terms(self) -> impl Iterator<Item = Term> {
        [Term::Phase(self.phase), Term::Health(self.health)]
            .into_iter()
            .chain(self.ready.then_some(Term::Ready))
    }
}

/// What is known of one place in the tree. It survives a restart; its status changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands; unique within an index.
    pub path: Arc<str>,
    /// What it is.
    pub profile: Arc<Profile>,
    /// How it is.
    pub status: Status,
}

impl Entry {
    /// A place, what stands there, and how it is.
    #[must_use]
    pub fn new(
        path: impl Into<Arc<str>>,
        profile: impl Into<Arc<Profile>>,
        status: Status,
    ) -> Self {
        Self {
            path: path.into(),
            profile: profile.into(),
            status,
        }
    }

    /// The lists that it is in: each term that holds of it, once.
    pub fn terms(&self) -> impl Iterator<Item = Term> {
        self.profile.terms().chain(self.status.terms())
    }

    /// The terms that hold of it, and did not of `other`.
    pub(crate) fn terms_beyond(&self, other: &Self) -> impl Iterator<Item = Term> {
        // Nearly every change is one of status.
        let profile = (!Arc::ptr_eq(&self.profile, &other.profile)).then(|| self.profile.terms());
        let all = profile.into_iter().flatten().chain(self.status.terms());
        all.filter(|term| !term.holds(other))
    }
}
