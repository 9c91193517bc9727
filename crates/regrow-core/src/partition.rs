//! Which of several partitions a key belongs to.

use std::hash::{Hash, Hasher};

/// The partition of `key` among `partitions`, counted from 0; `None` when there are none.
///
/// Whole numbers go by their remainder, as in Elixir's `PartitionSupervisor`: `|key| mod partitions`, so that consecutive keys
/// go to consecutive partitions. So do types that hash like one number: a `char`, a newtype around a number, an enum without
/// fields. All other keys go by a hash without a secret: a key has the same partition in every life and every run of one
/// build. Do not store it: another release of Rust may hash another way. O(length of the key).
///
/// ```
/// use regrow_core::partition;
/// assert_eq!((partition(&3, 3), partition(&-1, 3)), (Some(0), Some(1)));
/// assert_eq!(partition("alice", 3), partition(&String::from("alice"), 3));
/// assert_eq!(partition("alice", 0), None);
/// ```
#[must_use]
pub fn partition<K: Hash + ?Sized>(key: &K, partitions: usize) -> Option<usize> {
    let mut hasher = KeyHasher(Seen::Nothing);
    key.hash(&mut hasher);
    let number = match hasher.0 {
        Seen::Number { value, .. } => value,
        Seen::Nothing | Seen::Bytes(_) => u128::from(hasher.finish()),
    };
    let remainder = number.checked_rem(partitions as u128)?;
    // It is less than a usize.
    usize::try_from(remainder).ok()
}

/// What a key has told of itself so far.
#[derive(Clone, Copy)]
enum Seen {
    Nothing,
    /// One number, without its sign, and how it looks as bytes.
    Number {
        value: u128,
        hash: u64,
    },
    /// Anything else, as an FNV-1a hash.
    Bytes(u64),
}

/// Sees whether a key is one number.
struct KeyHasher(Seen);

/// FNV-1a's begin and prime, for 64 bits.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl KeyHasher {
    fn so_far(&self) -> u64 {
        match self.0 {
            Seen::Nothing => BASIS,
            Seen::Number { hash, .. } | Seen::Bytes(hash) => hash,
        }
    }

    fn number(&mut self, value: u128, bytes: &[u8]) {
        let first = matches!(self.0, Seen::Nothing);
        self.write(bytes);
        if first {
            let hash = self.so_far();
            self.0 = Seen::Number { value, hash };
        }
    }
}

/// The methods by which numbers tell of themselves: their bytes are those of a fixed order.
macro_rules! numbers {
    ($($method:ident($number:ty)),*; $($signed:ident($integer:ty)),*) => {
        $(fn $method(&mut self, number: $number) {
            let value = u128::try_from(number).expect("no number is longer than 128 bits");
            self.number(value, &number.to_le_bytes());
        })*
        $(fn $signed(&mut self, number: $integer) {
            let value = u128::try_from(number.unsigned_abs()).expect("no number is longer than 128 bits");
            self.number(value, &number.to_le_bytes());
        })*
    };
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        self.0 = Seen::Bytes(bytes.iter().fold(self.so_far(), mix));
    }

    /// Spreads the last bytes over all bits: FNV alone does not.
    fn finish(&self) -> u64 {
        let mut hash = self.so_far();
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }

    numbers!(
        write_u8(u8), write_u16(u16), write_u32(u32), write_u64(u64), write_u128(u128), write_usize(usize);
        write_i8(i8), write_i16(i16), write_i32(i32), write_i64(i64), write_i128(i128), write_isize(isize)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_go_by_the_remainder_of_their_absolute_value() {
        let of = |keys: [i64; 7]| keys.map(|key| partition(&key, 3).unwrap());
        assert_eq!(of([0, 1, 2, 3, -1, -4, i64::MIN]), [0, 1, 2, 0, 1, 1, 2]);
        assert_eq!(partition(&u128::MAX, 7), Some(3), "2^128 - 1 is 3 mod 7");
        assert_eq!(partition(&7_u8, 4), partition(&7_usize, 4));
        #[derive(Hash)]
        struct Id(u32);
        assert_eq!(partition(&Id(9), 4), Some(1), "a newtype is its number");
    }

    #[test]
    fn other_keys_are_spread_evenly_and_always_the_same_way() {
        let mut counts = [0_u32; 8];
        for n in 0..8_000 {
            counts[partition(&format!("user-{n}"), 8).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
        let known = ["alice", "bob", ""].map(|key| partition(key, 1_000).unwrap());
        assert_eq!(known, [123, 195, 295], "no secret of this run is in it");
        let pairs = (0..100).map(|n| partition(&(n, 0), 8).unwrap());
        let distinct: std::collections::BTreeSet<usize> = pairs.collect();
        assert_eq!(distinct.len(), 8, "a pair is no number");
        assert_ne!(partition(&(1, 2), 1_000), partition(&(2, 1), 1_000));
    }

    #[test]
    fn every_key_has_a_partition_unless_there_are_none() {
        for partitions in 1..50 {
            for key in ["", "a", "b", "long enough to be something"] {
                assert!(partition(key, partitions).unwrap() < partitions);
            }
        }
        assert_eq!((partition(&1, 0), partition("a", 0)), (None, None));
        assert_eq!(
            partition(&(), 5),
            partition(&(), 5),
            "a key that tells nothing"
        );
    }
}
