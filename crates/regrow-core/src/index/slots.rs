//! Sets of slots, as bits.
//!
//! Two levels: a block is 4,096 slots, of which only the words with a bit are kept. So a list of a hundred among a million takes
//! a few kilobytes, one with nearly all of them an eighth of a byte for each, and two lists have little to compare: whole blocks
//! fall out by one `and`. A change costs a search among blocks, of which a million slots have 245, and moves half a kilobyte at
//! most, unless it is the first or the last in its block.
//!
//! Own code, and not the crate `roaring` 0.12, which can do more: it would bring six crates, a procedural macro and SIMD among
//! them, for what is 200 lines here.

use std::cmp::Ordering;

/// Bits in a word, and words in a block.
const WIDTH: u32 = 64;

/// A set of slots, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotSet {
    blocks: Vec<Block>,
    len: usize,
}

/// The slots from `number * 4096` on. A block without any is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    number: u32,
    /// Which of its 64 words have a bit; these, and no other, are in `words`.
    present: u64,
    words: Vec<u64>,
}

/// Where a slot is: in which block, in which word of it, by which bit.
struct Place {
    block: u32,
    word: u32,
    bit: u64,
}

impl Place {
    const fn of(slot: u32) -> Self {
        Self {
            block: slot / (WIDTH * WIDTH),
            word: slot / WIDTH % WIDTH,
            bit: 1 << (slot % WIDTH),
        }
    }
}

/// What becomes of two sets.
#[derive(Clone, Copy)]
enum Op {
    Both,
    Either,
    Without,
}

impl Op {
    const fn of(self, left: u64, right: u64) -> u64 {
        match self {
            Self::Both => left & right,
            Self::Either => left | right,
            Self::Without => left & !right,
        }
    }

    /// Which words can have a bit afterwards.
    const fn words(self, left: u64, right: u64) -> u64 {
        match self {
            Self::Both => left & right,
            Self::Either => left | right,
            Self::Without => left,
        }
    }
}

impl Block {
    const fn new(number: u32) -> Self {
        Self {
            number,
            present: 0,
            words: Vec::new(),
        }
    }

    /// How many words are kept before this one: its place, or the place where it would be.
    const fn rank(&self, word: u32) -> usize {
        (self.present & ((1 << word) - 1)).count_ones() as usize
    }

    fn word(&self, word: u32) -> u64 {
        if self.present & (1 << word) == 0 {
            0
        } else {
            self.words[self.rank(word)]
        }
    }

    fn len(&self) -> usize {
        let lens = self.words.iter().map(|word| word.count_ones() as usize);
        lens.sum()
    }

    fn combine(&self, other: &Self, op: Op) -> Self {
        let words = op.words(self.present, other.present);
        let mut block = Self::new(self.number);
        block.words.reserve(words.count_ones() as usize);
        for word in bits(words) {
            let value = op.of(self.word(word), other.word(word));
            if value != 0 {
                block.words.push(value);
                block.present |= 1 << word;
            }
        }
        block
    }

    /// Another value for a word; 0 drops it.
    fn set(&mut self, word: u32, value: u64) {
        let (rank, mask) = (self.rank(word), 1 << word);
        match (self.present & mask != 0, value != 0) {
            (true, true) => self.words[rank] = value,
            (true, false) => {
                self.words.remove(rank);
                self.present &= !mask;
            }
            (false, true) => {
                self.words.insert(rank, value);
                self.present |= mask;
            }
            (false, false) => {}
        }
    }
}

impl SlotSet {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it was not in it before.
    pub(crate) fn insert(&mut self, slot: u32) -> bool {
        let place = Place::of(slot);
        let at = self.find(place.block).unwrap_or_else(|at| {
            self.blocks.insert(at, Block::new(place.block));
            at
        });
        let block = &mut self.blocks[at];
        let word = block.word(place.word);
        let is_new = word & place.bit == 0;
        block.set(place.word, word | place.bit);
        self.len += usize::from(is_new);
        is_new
    }

    /// Whether it was in it.
    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let place = Place::of(slot);
        let Ok(at) = self.find(place.block) else {
            return false;
        };
        let block = &mut self.blocks[at];
        let word = block.word(place.word);
        let was_in = word & place.bit != 0;
        block.set(place.word, word & !place.bit);
        if block.present == 0 {
            self.blocks.remove(at);
        }
        self.len -= usize::from(was_in);
        was_in
    }

    pub(crate) fn both(&self, other: &Self) -> Self {
        self.combine(other, Op::Both)
    }

    pub(crate) fn either(&self, other: &Self) -> Self {
        self.combine(other, Op::Either)
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        self.combine(other, Op::Without)
    }

    /// How many are in both, without making the set of them.
    pub(crate) fn count_both(&self, other: &Self) -> usize {
        let (mut left, mut right) = (self.blocks.as_slice(), other.blocks.as_slice());
        let mut count = 0;
        while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
            if a.number == b.number {
                let common = |word| (a.word(word) & b.word(word)).count_ones() as usize;
                count += bits(a.present & b.present).map(common).sum::<usize>();
            }
            (left, right) = match a.number.cmp(&b.number) {
                Ordering::Less => (rest_left, right),
                Ordering::Equal => (rest_left, rest_right),
                Ordering::Greater => (left, rest_right),
            };
        }
        count
    }

    /// In ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().flat_map(|block| {
            let words = bits(block.present).zip(&block.words);
            words.flat_map(|(word, value)| {
                let first = (block.number * WIDTH + word) * WIDTH;
                bits(*value).map(move |bit| first + bit)
            })
        })
    }

    fn combine(&self, other: &Self, op: Op) -> Self {
        let mut result = Self::default();
        for (left, right) in pairs(self, other) {
            let block = match (left, right) {
                (Some(left), Some(right)) => left.combine(right, op),
                (Some(left), None) if op.of(1, 0) != 0 => left.clone(),
                (None, Some(right)) if op.of(0, 1) != 0 => right.clone(),
                (Some(_) | None, None) | (None, Some(_)) => continue,
            };
            if block.present != 0 {
                result.len += block.len();
                result.blocks.push(block);
            }
        }
        result
    }

    /// The place of a block, or where it would be.
    fn find(&self, number: u32) -> Result<usize, usize> {
        self.blocks
            .binary_search_by_key(&number, |block| block.number)
    }
}

impl FromIterator<u32> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u32>>(slots: I) -> Self {
        let mut set = Self::default();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

/// The numbers of the bits that are set, the lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros();
            word &= word - 1;
            bit
        })
    })
}

/// The blocks of two sets, side by side, in ascending order.
fn pairs<'a>(
    left: &'a SlotSet,
    right: &'a SlotSet,
) -> impl Iterator<Item = (Option<&'a Block>, Option<&'a Block>)> {
    let (mut left, mut right) = (
        left.blocks.iter().peekable(),
        right.blocks.iter().peekable(),
    );
    std::iter::from_fn(move || {
        let next = |block: Option<&&Block>| block.map_or(u32::MAX, |block| block.number);
        let number = next(left.peek()).min(next(right.peek()));
        let left = left.next_if(|block| block.number == number);
        let right = right.next_if(|block| block.number == number);
        (left.is_some() || right.is_some()).then_some((left, right))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::SplitMix64;

    /// Slots that are dense in one place and sparse in another.
    fn slot(rng: &mut SplitMix64) -> u32 {
        let bound = [70, 5_000, 40_000][usize::try_from(rng.below(3)).unwrap()];
        u32::try_from(rng.below(bound)).unwrap()
    }

    fn list(set: &SlotSet) -> Vec<u32> {
        set.iter().collect()
    }

    #[test]
    fn a_set_agrees_with_one_of_the_standard_library_after_any_changes() {
        for seed in 0..40 {
            let (mut rng, mut set, mut model) =
                (SplitMix64::new(seed), SlotSet::default(), BTreeSet::new());
            for _ in 0..300 {
                let slot = slot(&mut rng);
                if rng.below(3) > 0 {
                    assert_eq!(set.insert(slot), model.insert(slot), "seed {seed}");
                } else {
                    assert_eq!(set.remove(slot), model.remove(&slot), "seed {seed}");
                }
                assert_eq!(
                    (set.len(), set.is_empty()),
                    (model.len(), model.is_empty()),
                    "seed {seed}"
                );
            }
            assert_eq!(list(&set), Vec::from_iter(model.clone()), "seed {seed}");
            assert_eq!(set, model.into_iter().collect(), "one form for one set");
        }
    }

    #[test]
    fn two_sets_are_combined_as_those_of_the_standard_library_are() {
        for seed in 0..60 {
            let mut rng = SplitMix64::new(seed);
            let (left, right): (BTreeSet<u32>, BTreeSet<u32>) = (
                (0..rng.below(400)).map(|_| slot(&mut rng)).collect(),
                (0..rng.below(400)).map(|_| slot(&mut rng)).collect(),
            );
            let set = |model: &BTreeSet<u32>| SlotSet::from_iter(model.iter().copied());
            let (a, b) = (set(&left), set(&right));
            assert_eq!(a.both(&b), set(&(&left & &right)), "seed {seed}");
            assert_eq!(a.either(&b), set(&(&left | &right)), "seed {seed}");
            assert_eq!(a.without(&b), set(&(&left - &right)), "seed {seed}");
            assert_eq!(a.count_both(&b), (&left & &right).len(), "seed {seed}");
        }
    }

    #[test]
    fn the_last_slot_of_all_is_one_like_any_other() {
        let set = SlotSet::from_iter([u32::MAX, 0]);
        assert_eq!(list(&set), [0, u32::MAX]);
        assert_eq!(list(&set.without(&SlotSet::from_iter([0]))), [u32::MAX]);
    }

    #[test]
    fn what_is_empty_takes_no_memory() {
        let mut set = SlotSet::from_iter([5, 70, 9_000]);
        for slot in [70, 5, 9_000] {
            assert!(set.remove(slot));
        }
        assert_eq!(set, SlotSet::default());
    }
}
