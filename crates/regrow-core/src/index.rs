//! Who is there, and who of them a query means.
//!
//! An [`Index`] holds an [`Entry`] for each place in the tree, and with it a handle of the shell's. For each [`Term`] it keeps the
//! list of those of whom it holds, so a query costs what its shortest list does, and not what the tree holds.
//!
//! The contract with the shell:
//!
//! * one writer: each change gives back one [`Change`], or nothing when nothing is different or what was told is of an earlier
//!   life. What is told of one place comes in the order in which it happened;
//! * readers need no lock: [`Index::members`] is a list as a value, made when it is first asked for and kept until the list has
//!   other members. The shell keeps what it has given out, and drops what [`Change::lists`] names. A status that changes leaves
//!   the lists of tags as they are;
//! * slots are used again. Two lists fit together when no entry left between the two questions for them.
//!
//! A change costs O(log n) for each list that it touches.

mod change;
mod entry;
mod find;
#[cfg(test)]
mod histories;
mod members;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, OnceLock};

pub use change::{Change, LeaveReason};
pub use entry::{Entry, Profile, Status};
pub use find::Found;
pub use members::{Member, Members};
use slots::SlotSet;

pub use crate::query::Term;

/// The entries of one system; see the [module](self).
///
/// ```
/// use std::time::SystemTime;
/// use regrow_core::{ChildKind, Phase};
/// use regrow_core::index::{Entry, Index, Profile, Status};
///
/// let mut index = Index::new();
/// let profile = Profile::new(ChildKind::Actor, "coder").tags(["lang=rust"]);
/// let entry = Entry::new("root/ann", profile, Status::pending(SystemTime::UNIX_EPOCH));
/// index.insert(entry, "the handle of ann");
/// index.update("root/ann", 1, |entry| entry.status.phase = Phase::Running);
/// let found = index.find(&"type:coder and lang=rust and running".parse().unwrap());
/// assert_eq!(*found[0].handle, "the handle of ann");
/// ```
#[derive(Clone, Debug)]
pub struct Index<H> {
    rows: Vec<Option<Row<H>>>,
    free: Vec<u32>,
    all: SlotSet,
    by_path: BTreeMap<Arc<str>, u32>,
    /// By a hash without a secret, so that nothing of an index differs from run to run.
    lists: HashMap<Term, List<H>, BuildHasherDefault<DefaultHasher>>,
}

#[derive(Clone, Debug)]
struct Row<H> {
    entry: Arc<Entry>,
    handle: H,
}

/// Of whom a term holds. Empty ones are not kept.
#[derive(Clone, Debug)]
struct List<H> {
    slots: SlotSet,
    /// The same as a value, once somebody has asked.
    members: OnceLock<Arc<Members<H>>>,
}

impl<H> Default for Index<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> Index<H> {
    /// An index of nobody.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            all: SlotSet::default(),
            by_path: BTreeMap::new(),
            lists: HashMap::default(),
        }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What is known of a place.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Found<'_, H>> {
        self.found(*self.by_path.get(path)?)
    }

    /// Every entry, by path.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_, H>> {
        let slots = self.by_path.values();
        slots.filter_map(|slot| self.found(*slot))
    }

    /// A place is there, and this is known of it. What was known before is replaced, with its handle, unless it is of a later
    /// life: then nothing happens.
    ///
    /// # Panics
    /// When there are more than four thousand million entries.
    pub fn insert(&mut self, entry: Entry, handle: H) -> Option<Change> {
        let after = Arc::new(entry);
        let Some(&slot) = self.by_path.get(&after.path) else {
            return Some(self.add(after, handle));
        };
        let row = self.rows[slot as usize].as_mut()?;
        if after.status.generation < row.entry.status.generation {
            return None;
        }
        row.handle = handle;
        let before = std::mem::replace(&mut row.entry, Arc::clone(&after));
        // The handle is in every list, so none stays as it was.
        for term in before.terms() {
            self.unlist(slot, &term);
        }
        for term in after.terms() {
            self.enlist(slot, term);
        }
        Some(Change::Replaced { before, after })
    }

    /// Life `generation` of a place tells something new of itself. A later life than that which is known becomes the present one.
    ///
    /// Nothing happens when the place is unknown, when nothing is different, and when a later life is known: what is told of an
    /// earlier one is of no interest any more. The path and the generation cannot be changed by `edit`.
    pub fn update(
        &mut self,
        path: &str,
        generation: u32,
        edit: impl FnOnce(&mut Entry),
    ) -> Option<Change> {
        let slot = *self.by_path.get(path)?;
        self.change(slot, Some(generation), edit)
    }

    /// Somebody else tells something new of a place, whatever life it is in: an operator, a probe that asks the place.
    ///
    /// Nothing happens when the place is unknown, and when nothing is different. The path and the generation cannot be changed.
    pub fn edit(&mut self, path: &str, edit: impl FnOnce(&mut Entry)) -> Option<Change> {
        let slot = *self.by_path.get(path)?;
        self.change(slot, None, edit)
    }

    /// A place is gone. Nothing happens when it is unknown, or known in a later life than `generation`.
    pub fn remove(&mut self, path: &str, generation: u32, reason: LeaveReason) -> Option<Change> {
        let slot = *self.by_path.get(path)?;
        if generation < self.found(slot)?.entry.status.generation {
            return None;
        }
        let Row { entry, .. } = self.rows[slot as usize].take()?;
        for term in entry.terms() {
            self.unlist(slot, &term);
        }
        self.by_path.remove(path);
        self.all.remove(slot);
        self.free.push(slot);
        Some(Change::Removed { entry, reason })
    }

    fn add(&mut self, entry: Arc<Entry>, handle: H) -> Change {
        let row = Some(Row {
            entry: Arc::clone(&entry),
            handle,
        });
        let slot = if let Some(slot) = self.free.pop() {
            self.rows[slot as usize] = row;
            slot
        } else {
            self.rows.push(row);
            u32::try_from(self.rows.len() - 1).expect("fewer than four thousand million entries")
        };
        self.by_path.insert(Arc::clone(&entry.path), slot);
        self.all.insert(slot);
        for term in entry.terms() {
            self.enlist(slot, term);
        }
        Change::Added(entry)
    }

    /// `generation`: of which life it is told; of the present one if `None`.
    fn change(
        &mut self,
        slot: u32,
        generation: Option<u32>,
        edit: impl FnOnce(&mut Entry),
    ) -> Option<Change> {
        let row = self.rows[slot as usize].as_mut()?;
        let present = row.entry.status.generation;
        let generation = generation.unwrap_or(present);
        if generation < present {
            return None;
        }
        let mut after = Entry::clone(&row.entry);
        edit(&mut after);
        after.path = Arc::clone(&row.entry.path);
        after.status.generation = generation;
        if after == *row.entry {
            return None;
        }
        let after = Arc::new(after);
        let before = std::mem::replace(&mut row.entry, Arc::clone(&after));
        for term in before.terms_beyond(&after) {
            self.unlist(slot, &term);
        }
        for term in after.terms_beyond(&before) {
            self.enlist(slot, term);
        }
        Some(Change::Updated { before, after })
    }

    fn found(&self, slot: u32) -> Option<Found<'_, H>> {
        let Row { entry, handle } = self.rows[slot as usize].as_ref()?;
        Some(Found { entry, handle })
    }

    fn enlist(&mut self, slot: u32, term: Term) {
        let list = self.lists.entry(term).or_insert_with(|| List {
            slots: SlotSet::default(),
            members: OnceLock::new(),
        });
        list.slots.insert(slot);
        list.members = OnceLock::new();
    }

    fn unlist(&mut self, slot: u32, term: &Term) {
        if let Some(list) = self.lists.get_mut(term) {
            list.slots.remove(slot);
            list.members = OnceLock::new();
            if list.slots.is_empty() {
                self.lists.remove(term);
            }
        }
    }

    /// Who is in each list, by path.
    fn picture(&self) -> BTreeMap<&Term, BTreeSet<&str>> {
        let paths = |list: &List<H>| {
            let found = list.slots.iter().filter_map(|slot| self.found(slot));
            found.map(|found| &*found.entry.path).collect()
        };
        let lists = self.lists.iter();
        lists.map(|(term, list)| (term, paths(list))).collect()
    }
}

/// Equal are those that know the same of the same places, and list them so: an index equals the one that is made anew from its
/// entries. Handles and slots are not compared. It costs as much as making one anew.
impl<H, I> PartialEq<Index<I>> for Index<H> {
    fn eq(&self, other: &Index<I>) -> bool {
        let entries = self.iter().map(|found| found.entry);
        entries.eq(other.iter().map(|found| found.entry)) && self.picture() == other.picture()
    }
}
