//! A list of the index, as a value.

use std::sync::{Arc, OnceLock};

use super::slots::SlotSet;
use super::{Index, List, Term};

/// One of whom a term holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<H> {
    slot: u32,
    /// What the shell has put into the index with the entry.
    pub handle: H,
}

/// Of whom a term held when it was asked for: a value to be shared among readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members<H> {
    slots: SlotSet,
    /// By slot.
    list: Box<[Member<H>]>,
}

impl<H> Members<H> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them.
    #[must_use]
    pub const fn as_slice(&self) -> &[Member<H>] {
        &self.list
    }

    /// How many are in both lists. The other has to fit: see the [module](super).
    #[must_use]
    pub fn count_common(&self, other: &Self) -> usize {
        self.slots.count_both(&other.slots)
    }

    /// Those that are in all of these lists too. The others have to fit: see the [module](super).
    #[must_use]
    pub fn common<'a>(&'a self, others: &[&Self]) -> Vec<&'a Member<H>> {
        let mut slots = None;
        for other in others {
            slots = Some(slots.as_ref().unwrap_or(&self.slots).both(&other.slots));
        }
        let slots = slots.as_ref().unwrap_or(&self.slots).iter();
        let place = |slot| self.list.binary_search_by_key(&slot, |member| member.slot);
        slots
            .filter_map(|slot| place(slot).ok())
            .map(|at| &self.list[at])
            .collect()
    }
}

impl<H: Clone> Index<H> {
    /// Of whom a term holds, as a value that readers can share. It is made at the first question after a change of the list, at
    /// the cost of its length, and the same one is given out until the next.
    #[must_use]
    pub fn members(&self, term: &Term) -> Arc<Members<H>> {
        let Some(List { slots, members }) = self.lists.get(term) else {
            return Arc::new(self.members_of(&SlotSet::default()));
        };
        Arc::clone(members.get_or_init(|| Arc::new(self.members_of(slots))))
    }

    /// Everybody, as a value; made anew at each question.
    #[must_use]
    pub fn everybody(&self) -> Members<H> {
        self.members_of(&self.all)
    }

    fn members_of(&self, slots: &SlotSet) -> Members<H> {
        let member = |slot: u32| {
            let row = self.rows[slot as usize].as_ref()?;
            let handle = row.handle.clone();
            Some(Member { slot, handle })
        };
        Members {
            slots: slots.clone(),
            list: slots.iter().filter_map(member).collect(),
        }
    }
}

// What is shared among readers can be: the cell in which a list is kept is one for threads.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Index<u8>>();
    is_shared::<OnceLock<Arc<Members<u8>>>>();
};
