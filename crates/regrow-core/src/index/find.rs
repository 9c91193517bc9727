//! Answering a query.
//!
//! A query is answered with sets: the lists of its terms, and what `and`, `or` and `not` make of them. `and` begins with the
//! shortest, and takes a part of a path only where that is shorter still. What has no list – metadata, and `not` of more than a
//! term – is left to [`Query::matches`], asked of those that remain.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use super::slots::SlotSet;
use super::{Entry, Index};
use crate::query::{Node, Query, Term};

/// An entry that a query means.
#[derive(Debug)]
pub struct Found<'a, H> {
    /// What is known of it.
    pub entry: &'a Arc<Entry>,
    /// What the shell has put into the index with it.
    pub handle: &'a H,
}

impl<H> Clone for Found<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Found<'_, H> {}

/// All that a query can mean, and perhaps more.
struct Answer<'a> {
    slots: Cow<'a, SlotSet>,
    /// Whether it is no more.
    is_exact: bool,
}

impl<'a> Answer<'a> {
    const fn exact(slots: Cow<'a, SlotSet>) -> Self {
        Self {
            slots,
            is_exact: true,
        }
    }

    const fn more(slots: Cow<'a, SlotSet>) -> Self {
        Self {
            slots,
            is_exact: false,
        }
    }
}

impl<H> Index<H> {
    /// Those that a query means; in an order that is the same for the same history, and no other.
    ///
    /// Costs what the shortest list of the query does, not what the index holds; but for metadata alone, or a `not` of more than a
    /// term, every entry is looked at.
    #[must_use]
    pub fn find(&self, query: &Query) -> Vec<Found<'_, H>> {
        let Answer { slots, is_exact } = self.answer(query);
        let mut list = Vec::with_capacity(if is_exact { slots.len() } else { 0 });
        let found = slots.iter().filter_map(|slot| self.found(slot));
        list.extend(found.filter(|found| is_exact || query.matches(found.entry)));
        list
    }

    /// How many a query means. Costs as [`Index::find`], less where terms are enough.
    #[must_use]
    pub fn count(&self, query: &Query) -> usize {
        if let Some([one, other]) = query.as_terms().as_deref() {
            return match (self.list(one), self.list(other)) {
                (Some(one), Some(other)) => one.count_both(other),
                _ => 0,
            };
        }
        let Answer { slots, is_exact } = self.answer(query);
        if is_exact {
            return slots.len();
        }
        let found = slots.iter().filter_map(|slot| self.found(slot));
        found.filter(|found| query.matches(found.entry)).count()
    }

    fn list(&self, term: &Term) -> Option<&SlotSet> {
        self.lists.get(term).map(|list| &list.slots)
    }

    fn all(&self) -> Cow<'_, SlotSet> {
        Cow::Borrowed(&self.all)
    }

    fn answer(&self, query: &Query) -> Answer<'_> {
        match query.node() {
            Node::All => Answer::exact(self.all()),
            Node::Is(term) => {
                Answer::exact(self.list(term).map_or_else(Cow::default, Cow::Borrowed))
            }
            Node::Below(path) => Answer::exact(Cow::Owned(self.below(path).collect())),
            Node::Meta(_) => Answer::more(self.all()),
            Node::And(list) => self.answer_to_all(list),
            Node::Or(list) => {
                let mut answers = list.iter().map(|query| self.answer(query));
                let first = answers.next().unwrap_or(Answer::exact(Cow::default()));
                answers.fold(first, |left, right| Answer {
                    slots: Cow::Owned(left.slots.either(&right.slots)),
                    is_exact: left.is_exact && right.is_exact,
                })
            }
            Node::Not(query) => match query.as_term() {
                Some(term) => Answer::exact(match self.list(term) {
                    Some(list) => Cow::Owned(self.all.without(list)),
                    None => self.all(),
                }),
                None => Answer::more(self.all()),
            },
        }
    }

    fn answer_to_all(&self, list: &[Query]) -> Answer<'_> {
        let mut is_exact = true;
        let (mut paths, mut without, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        for query in list {
            match query.node() {
                Node::All => {}
                Node::Below(path) => paths.push(path),
                Node::Meta(_) => is_exact = false,
                Node::Not(query) => match query.as_term() {
                    Some(term) => without.extend(self.list(term)),
                    None => is_exact = false,
                },
                Node::Is(_) | Node::And(_) | Node::Or(_) => {
                    let answer = self.answer(query);
                    is_exact &= answer.is_exact;
                    lists.push(answer.slots);
                }
            }
        }
        lists.sort_by_key(|slots| slots.len());
        let mut lists = lists.into_iter();
        let first = lists.next().unwrap_or_else(|| self.all());
        let mut slots = lists.fold(first, |left, right| Cow::Owned(left.both(&right)));
        for path in paths {
            // A part of the tree that is larger than what is left is not collected.
            if self.below(path).nth(slots.len()).is_none() {
                slots = Cow::Owned(slots.both(&self.below(path).collect()));
            } else {
                is_exact = false;
            }
        }
        for list in without {
            slots = Cow::Owned(slots.without(list));
        }
        Answer { slots, is_exact }
    }

    /// The slots at this path and below it.
    fn below(&self, path: &Arc<str>) -> impl Iterator<Item = u32> {
        // `/` is followed by `0`: between them is all that is below.
        let (first, end) = (format!("{path}/"), format!("{path}0"));
        let range = (
            Bound::Included(first.as_str()),
            Bound::Excluded(end.as_str()),
        );
        let below = self.by_path.range::<str, _>(range).map(|(_, slot)| *slot);
        self.by_path.get(path).copied().into_iter().chain(below)
    }
}
