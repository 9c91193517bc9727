//! Names that many share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names that many may have at once, each with a value: Elixir's `Registry` with `keys: :duplicate`.
///
/// Who joins twice is in it twice, as there. The members of a group stand in the order in which they joined. An own type, and no
/// kind of [`Names`](super::Names), so that nobody can look for the one holder of a group.
#[derive(Clone, Debug)]
pub struct Groups<O, V = ()> {
    /// By the number of the join: it counts up and is never used again.
    groups: BTreeMap<Arc<str>, BTreeMap<u64, (O, V)>>,
    by_owner: BTreeMap<O, BTreeSet<(Arc<str>, u64)>>,
    joins: u64,
    len: usize,
}

impl<O, V> Default for Groups<O, V> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            joins: 0,
            len: 0,
        }
    }
}

impl<O: Ord + Clone, V> Groups<O, V> {
    /// No groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many memberships there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many are in a group at least. Each is watched; one that is in none needs no watch any more.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.by_owner.len()
    }

    /// Somebody joins a group, once more if he is in it. A group is there as soon as somebody is in it.
    pub fn join(&mut self, group: impl Into<Arc<str>>, owner: O, value: V) {
        let (group, number) = (group.into(), self.joins);
        self.joins += 1;
        self.len += 1;
        let places = self.by_owner.entry(owner.clone()).or_default();
        places.insert((Arc::clone(&group), number));
        let members = self.groups.entry(group).or_default();
        members.insert(number, (owner, value));
    }

    /// The groups that there are, in alphabetical order.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    /// Who is in a group, in the order in which they joined.
    pub fn members(&self, group: &str) -> impl Iterator<Item = (&O, &V)> {
        let members = self.groups.get(group).into_iter().flatten();
        members.map(|(_, (owner, value))| (owner, value))
    }

    /// Every membership: by group, in the order in which they joined.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &O, &V)> {
        self.groups.iter().flat_map(|(group, members)| {
            let members = members.values();
            members.map(move |(owner, value)| (group, owner, value))
        })
    }

    /// The groups that somebody is in, in alphabetical order; one as often as he is in it.
    pub fn groups_of(&self, owner: &O) -> impl Iterator<Item = &Arc<str>> {
        let places = self.by_owner.get(owner).into_iter().flatten();
        places.map(|(group, _)| group)
    }

    /// With what somebody is in a group.
    pub fn values(&self, group: &str, owner: &O) -> impl Iterator<Item = &V> {
        self.places(group, owner)
            .filter_map(|place| self.groups.get(&place.0)?.get(&place.1))
            .map(|(_, value)| value)
    }

    /// Somebody leaves a group, as often as he is in it.
    pub fn leave(&mut self, group: &str, owner: &O) -> Vec<V> {
        self.leave_if(group, owner, |_| true)
    }

    /// Somebody leaves a group where he is in it with one of these values.
    pub fn leave_if(&mut self, group: &str, owner: &O, is_meant: impl Fn(&V) -> bool) -> Vec<V> {
        let places: Vec<_> = self.places(group, owner).cloned().collect();
        let is_meant = |(group, number): &(Arc<str>, u64)| {
            let place = self
                .groups
                .get(group)
                .and_then(|members| members.get(number));
            place.is_some_and(|(_, value)| is_meant(value))
        };
        let meant: Vec<_> = places.into_iter().filter(is_meant).collect();
        if let Some(places) = self.by_owner.get_mut(owner) {
            for place in &meant {
                places.remove(place);
            }
            if places.is_empty() {
                self.by_owner.remove(owner);
            }
        }
        let left = meant.iter().filter_map(|place| self.take(place));
        left.collect()
    }

    /// Somebody is gone, out of all groups. Costs O(log n) for each time that he was in one.
    pub fn leave_all(&mut self, owner: &O) -> Vec<(Arc<str>, V)> {
        let places = self.by_owner.remove(owner).unwrap_or_default();
        let left = places.into_iter().filter_map(|place| {
            let value = self.take(&place)?;
            Some((place.0, value))
        });
        left.collect()
    }

    /// Where somebody is in one group.
    fn places(&self, group: &str, owner: &O) -> impl Iterator<Item = &(Arc<str>, u64)> {
        let group: Arc<str> = group.into();
        let range = (Arc::clone(&group), 0)..=(group, u64::MAX);
        let places = self.by_owner.get(owner).into_iter();
        places.flat_map(move |places| places.range(range.clone()))
    }

    fn take(&mut self, (group, number): &(Arc<str>, u64)) -> Option<V> {
        let members = self.groups.get_mut(group)?;
        let (_, value) = members.remove(number)?;
        if members.is_empty() {
            self.groups.remove(group);
        }
        self.len -= 1;
        Some(value)
    }
}
