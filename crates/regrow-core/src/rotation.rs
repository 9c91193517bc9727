//! When a log goes on in a new file, and what becomes of the old ones.
//!
//! One file grows. When it is due it becomes a numbered one, which never changes again; later numbered ones are packed, and the oldest
//! removed. A number is never used twice, so a name always means the same lines.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// When a log goes on in a new file, and how many old ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file that would be larger than this is not written further.
    pub max_size: u64,
    /// A file whose first line is older than this is not written further; `None`: age does not matter.
    pub max_age: Option<Duration>,
    /// How many old files are kept beside the one that grows.
    pub keep: usize,
    /// Whether old files are packed.
    pub packing: Packing,
}

/// Whether old files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// They stay as they are.
    Off,
    /// They are.
    On,
}

/// An old file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Old {
    /// Its number: the higher, the newer.
    pub number: u64,
    /// What it is.
    pub form: Form,
}

/// What an old file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Lines as they were written.
    Plain,
    /// The same, packed: it is whole.
    Packed,
    /// What a packing that did not come to its end has left.
    Unfinished,
}

impl Rotation {
    /// Whether a file of `size` bytes, whose first line is of `begun`, is full, now that `adding` bytes are to come.
    ///
    /// An empty file is never full: what is too large for any file is alone in one.
    #[must_use]
    pub fn is_due(
        &self,
        size: u64,
        adding: u64,
        begun: Option<SystemTime>,
        now: SystemTime,
    ) -> bool {
        let too_large = size.saturating_add(adding) > self.max_size;
        let age = begun.and_then(|begun| now.duration_since(begun).ok());
        let too_old = self.max_age.zip(age).is_some_and(|(most, age)| age >= most);
        size > 0 && (too_large || too_old)
    }

    /// What is to be removed because there are newer ones enough: of each number beyond `keep` everything.
    #[must_use]
    pub fn surplus(&self, found: &[Old]) -> Vec<Old> {
        let numbers: BTreeSet<u64> = found.iter().map(|old| old.number).collect();
        let kept: BTreeSet<u64> = numbers.into_iter().rev().take(self.keep).collect();
        let surplus = found.iter().filter(|old| !kept.contains(&old.number));
        surplus.copied().collect()
    }

    /// The oldest file that is to be packed, if one is.
    #[must_use]
    pub fn to_pack(&self, found: &[Old]) -> Option<u64> {
        let plain = found.iter().filter(|old| old.form == Form::Plain);
        match self.packing {
            Packing::Off => None,
            Packing::On => plain.map(|old| old.number).min(),
        }
    }
}

/// What a run that died has left to be removed: packings that did not come to their end, and what was packed and not removed. The
/// lines of each are in another file.
#[must_use]
pub fn leftovers(found: &[Old]) -> Vec<Old> {
    let packed = |number| {
        let form = Form::Packed;
        found.contains(&Old { number, form })
    };
    let left = found.iter().filter(|old| match old.form {
        Form::Plain => packed(old.number),
        Form::Packed => false,
        Form::Unfinished => true,
    });
    left.copied().collect()
}

/// The number of the next old file.
#[must_use]
pub fn next_number(found: &[Old]) -> u64 {
    found.iter().map(|old| old.number + 1).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATION: Rotation = Rotation {
        max_size: 100,
        max_age: Some(Duration::from_secs(60)),
        keep: 2,
        packing: Packing::On,
    };

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn old(number: u64, form: Form) -> Old {
        Old { number, form }
    }

    #[test]
    fn a_file_is_full_by_size_or_age_and_never_while_it_is_empty() {
        let due = |size, adding, begun: Option<u64>, now| {
            ROTATION.is_due(size, adding, begun.map(at), at(now))
        };
        assert!(!due(90, 10, Some(0), 59));
        assert!(due(90, 11, Some(0), 0));
        assert!(due(1, 1, Some(0), 60));
        assert!(!due(0, 500, None, 99));
        assert!(due(1, 500, None, 0));
        assert!(due(1, u64::MAX, None, 0));
        // A clock that was set back makes nothing old.
        assert!(!due(1, 1, Some(500), 0));
        let ageless = Rotation {
            max_age: None,
            ..ROTATION
        };
        assert!(!ageless.is_due(1, 1, Some(at(0)), at(1_000_000)));
    }

    #[test]
    fn the_newest_numbers_are_kept_in_whatever_form() {
        let found = [
            old(7, Form::Plain),
            old(3, Form::Packed),
            old(9, Form::Plain),
            old(7, Form::Unfinished),
            old(3, Form::Plain),
        ];
        let surplus = [old(3, Form::Packed), old(3, Form::Plain)];
        assert_eq!(ROTATION.surplus(&found), surplus);
        let none = Rotation {
            keep: 0,
            ..ROTATION
        };
        assert_eq!(none.surplus(&found), found);
        assert_eq!(ROTATION.surplus(&found[..1]), []);
    }

    #[test]
    fn the_oldest_is_packed_first_if_any_is() {
        let found = [
            old(7, Form::Plain),
            old(3, Form::Packed),
            old(5, Form::Plain),
        ];
        assert_eq!(ROTATION.to_pack(&found), Some(5));
        assert_eq!(ROTATION.to_pack(&found[1..2]), None);
        let off = Rotation {
            packing: Packing::Off,
            ..ROTATION
        };
        assert_eq!(off.to_pack(&found), None);
    }

    #[test]
    fn of_a_packing_that_broke_off_only_what_is_elsewhere_is_removed() {
        for (found, left) in [
            // Broken off while it was packed; while it was renamed; before the plain one was removed; before anything.
            (
                vec![old(1, Form::Plain), old(1, Form::Unfinished)],
                vec![old(1, Form::Unfinished)],
            ),
            (
                vec![old(1, Form::Plain), old(1, Form::Packed)],
                vec![old(1, Form::Plain)],
            ),
            (vec![old(1, Form::Packed), old(2, Form::Plain)], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(leftovers(&found), left, "{found:?}");
        }
    }

    #[test]
    fn no_number_is_used_twice() {
        assert_eq!(next_number(&[]), 1);
        assert_eq!(next_number(&[old(7, Form::Packed), old(3, Form::Plain)]), 8);
    }
}
