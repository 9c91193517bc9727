//! Hashing of actors: they are numbered one after the other, and no stranger can choose a number.

use std::hash::{BuildHasher, Hasher};

/// A hasher for a map whose keys are numbers of ours.
#[derive(Clone, Copy, Default)]
pub(crate) struct OfNumbers;

/// See [`OfNumbers`].
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl BuildHasher for OfNumbers {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher::default()
    }
}

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Spreads neighbours over all bits (Fibonacci hashing); the map looks at the highest and the lowest.
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn neighbours_are_spread_over_the_highest_and_the_lowest_bits() {
        let hash = |number: u64| OfNumbers.hash_one(number);
        let highest: HashSet<u64> = (0..128).map(|number| hash(number) >> 57).collect();
        let lowest: HashSet<u64> = (0..128).map(|number| hash(number) & 127).collect();
        assert!(highest.len() > 64, "{} of 128", highest.len());
        assert!(lowest.len() > 64, "{} of 128", lowest.len());
    }
}
