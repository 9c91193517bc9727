//! Names: those that one owner has, and those that many share.
//!
//! What an owner is, the shell says: a path for names that survive restarts, a life of a place for names that do not. So a release
//! by an earlier life, where it is to be told from the present one, is one by somebody else, and changes nothing.

mod groups;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use groups::Groups;

use crate::words::words;

words! {
    /// What happens when a name is claimed that somebody has.
    ///
    /// A rule of the shell's own looks at [`Names::holder`] and then claims with one of these: there is one writer, so nothing
    /// comes between.
    pub enum Conflict {
        /// Who has it keeps it, and the claim is refused, also if it is by the same one.
        Reject = "reject",
        /// Who claims it gets it.
        Replace = "replace",
    }
}

/// What a claim has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed<O, V> {
    /// Nobody had the name.
    Free,
    /// It was taken from this one.
    Replaced {
        /// Who had it.
        owner: O,
        /// With what.
        value: V,
    },
}

/// A claim was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTaken<O> {
    /// The name.
    pub name: Arc<str>,
    /// Who has it.
    pub holder: O,
}

impl<O: fmt::Display> fmt::Display for NameTaken<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name \"{}\" is taken by {}", self.name, self.holder)
    }
}

impl<O: fmt::Display + fmt::Debug> std::error::Error for NameTaken<O> {}

/// Unique names, each with an owner and a value: Elixir's `Registry` with `keys: :unique`.
///
/// ```
/// use regrow_core::names::{Conflict, NameTaken, Names};
/// let mut names = Names::new();
/// assert!(names.claim("lead", "root/ann", (), Conflict::Reject).is_ok());
/// let refused = names.claim("lead", "root/bob", (), Conflict::Reject).unwrap_err();
/// assert_eq!(refused.to_string(), r#"name "lead" is taken by root/ann"#);
/// assert_eq!(names.release_all(&"root/ann").len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Names<O, V = ()> {
    held: BTreeMap<Arc<str>, (O, V)>,
    by_owner: BTreeMap<O, BTreeSet<Arc<str>>>,
}

impl<O, V> Default for Names<O, V> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            by_owner: BTreeMap::new(),
        }
    }
}

impl<O: Ord + Clone, V> Names<O, V> {
    /// No names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many names are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many owners have a name at least. Each is watched; one that has none needs no watch any more.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.by_owner.len()
    }

    /// Who has this name, and with what.
    #[must_use]
    pub fn holder(&self, name: &str) -> Option<(&O, &V)> {
        self.held.get(name).map(|(owner, value)| (owner, value))
    }

    /// The names of one owner, in alphabetical order.
    pub fn names_of(&self, owner: &O) -> impl Iterator<Item = &Arc<str>> {
        self.by_owner.get(owner).into_iter().flatten()
    }

    /// Every name, in alphabetical order: who has it, and with what.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &O, &V)> {
        let held = self.held.iter();
        held.map(|(name, (owner, value))| (name, owner, value))
    }

    /// Somebody wants a name.
    ///
    /// # Errors
    /// Somebody has it, and `conflict` says that he keeps it. Nothing is changed then.
    pub fn claim(
        &mut self,
        name: impl Into<Arc<str>>,
        owner: O,
        value: V,
        conflict: Conflict,
    ) -> Result<Claimed<O, V>, NameTaken<O>> {
        let name = name.into();
        match (self.holder(&name), conflict) {
            (Some((holder, _)), Conflict::Reject) => {
                let holder = holder.clone();
                return Err(NameTaken { name, holder });
            }
            (Some(_), Conflict::Replace) | (None, Conflict::Reject | Conflict::Replace) => {}
        }
        let before = self.take(&name);
        let names = self.by_owner.entry(owner.clone()).or_default();
        names.insert(Arc::clone(&name));
        self.held.insert(name, (owner, value));
        Ok(
            before.map_or(Claimed::Free, |(owner, value)| Claimed::Replaced {
                owner,
                value,
            }),
        )
    }

    /// Changes the value of a name. Only its owner can: to others it is as if there was no such name.
    pub fn update(&mut self, name: &str, owner: &O, change: impl FnOnce(&mut V)) -> Option<&V> {
        let (holder, value) = self.held.get_mut(name)?;
        (holder == owner).then(|| {
            change(value);
            &*value
        })
    }

    /// Somebody gives a name up. Nothing happens when it is not his.
    pub fn release(&mut self, name: &str, owner: &O) -> Option<V> {
        self.release_if(name, owner, |_| true)
    }

    /// Somebody gives a name up if its value is one of these. Nothing happens when it is not his.
    pub fn release_if(
        &mut self,
        name: &str,
        owner: &O,
        is_meant: impl FnOnce(&V) -> bool,
    ) -> Option<V> {
        let (holder, value) = self.held.get(name)?;
        let is_his = holder == owner && is_meant(value);
        is_his
            .then(|| self.take(name))
            .flatten()
            .map(|(_, value)| value)
    }

    /// An owner is gone, and its names with it. Costs O(log n) for each name that it had.
    pub fn release_all(&mut self, owner: &O) -> Vec<(Arc<str>, V)> {
        let names = self.by_owner.remove(owner).unwrap_or_default();
        let released = names.into_iter().filter_map(|name| {
            let (_, value) = self.held.remove(&name)?;
            Some((name, value))
        });
        released.collect()
    }

    fn take(&mut self, name: &str) -> Option<(O, V)> {
        let (owner, value) = self.held.remove(name)?;
        if let Some(names) = self.by_owner.get_mut(&owner) {
            names.remove(name);
            if names.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        Some((owner, value))
    }
}
