//! One of several.
//!
//! Pure functions: candidates in, one of them out. Chance is a number of the caller's: it counts up once for each choice, as an
//! atomic counter does, and that is both the turn of a round robin and the seed of what is random. So a choice can be repeated, and
//! two that are made at once take no lock.

use std::sync::Arc;

use crate::index::{Entry, Found};
use crate::rng::SplitMix64;

/// What can be chosen from.
pub trait Candidate {
    /// Its name, by which a key finds it again.
    fn path(&self) -> &str;

    /// How much it has to do. Less is better.
    fn load(&self) -> u64;
}

impl Candidate for Entry {
    fn path(&self) -> &str {
        &self.path
    }

    fn load(&self) -> u64 {
        self.status.load
    }
}

impl<C: Candidate + ?Sized> Candidate for Arc<C> {
    fn path(&self) -> &str {
        (**self).path()
    }

    fn load(&self) -> u64 {
        (**self).load()
    }
}

impl<H> Candidate for Found<'_, H> {
    fn path(&self) -> &str {
        self.entry.path()
    }

    fn load(&self) -> u64 {
        self.entry.load()
    }
}

/// How one of several is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Select {
    /// The first.
    First,
    /// Any.
    Random,
    /// One after the other.
    RoundRobin,
    /// One that has the least to do: of several such, any.
    LeastLoaded,
    /// The one of two, taken at random, that has less to do. It looks at two loads and not at all, and is nearly as even.
    TwoChoices,
    /// The same one for the same key, whatever others come and go; when it is gone, its keys are spread over all the rest.
    Consistent(Arc<str>),
}

impl Select {
    /// The one that is chosen: `None` when there are none. `turn` counts up once for each choice.
    ///
    /// ```
    /// use regrow_core::pick::Select;
    /// # struct Worker(&'static str, u64);
    /// # impl regrow_core::pick::Candidate for Worker {
    /// #     fn path(&self) -> &str { self.0 }
    /// #     fn load(&self) -> u64 { self.1 }
    /// # }
    /// let workers = [Worker("root/a", 7), Worker("root/b", 2)];
    /// assert_eq!(Select::LeastLoaded.pick(&workers, 0).unwrap().0, "root/b");
    /// assert_eq!(Select::RoundRobin.pick(&workers, 4).unwrap().0, "root/a");
    /// ```
    pub fn pick<'c, C: Candidate>(&self, candidates: &'c [C], turn: u64) -> Option<&'c C> {
        match self {
            Self::First => candidates.first(),
            Self::Random => random(candidates, turn),
            Self::RoundRobin => round_robin(candidates, turn),
            Self::LeastLoaded => least_loaded(candidates, turn),
            Self::TwoChoices => two_choices(candidates, turn),
            Self::Consistent(key) => consistent(candidates, key),
        }
    }
}

/// Any.
pub fn random<C>(candidates: &[C], seed: u64) -> Option<&C> {
    candidates.get(below(&mut SplitMix64::new(seed), candidates.len()))
}

/// The one whose turn it is. Who comes or goes shifts the turns of the others.
pub fn round_robin<C>(candidates: &[C], turn: u64) -> Option<&C> {
    let at = turn.checked_rem(candidates.len() as u64)?;
    candidates.get(usize::try_from(at).ok()?)
}

/// One that has the least to do: of several such, any, so that not all callers go to the same one before its load is known.
pub fn least_loaded<C: Candidate>(candidates: &[C], seed: u64) -> Option<&C> {
    let least = candidates.iter().map(Candidate::load).min()?;
    let such = || candidates.iter().filter(|one| one.load() == least);
    such().nth(below(&mut SplitMix64::new(seed), such().count()))
}

/// The one of two, taken at random, that has less to do.
pub fn two_choices<C: Candidate>(candidates: &[C], seed: u64) -> Option<&C> {
    let mut rng = SplitMix64::new(seed);
    let first = below(&mut rng, candidates.len());
    // Another one: the place that is left out is that of the first.
    let second = below(&mut rng, candidates.len().saturating_sub(1));
    let second = second + usize::from(second >= first);
    let first = candidates.get(first)?;
    match candidates.get(second) {
        Some(second) if second.load() < first.load() => Some(second),
        _ => Some(first),
    }
}

/// The same one for the same key, in every run: each draws a number from the key and its own path, and the highest wins. Costs a
/// hash for each candidate.
pub fn consistent<'c, C: Candidate>(candidates: &'c [C], key: &str) -> Option<&'c C> {
    let key = fnv(BASIS, key.bytes().chain([0xff]));
    let drawn = candidates.iter().map(|one| (draw(key, one.path()), one));
    let highest = drawn.max_by(|(draw, one), (other_draw, other)| {
        let by_path = || other.path().cmp(one.path());
        draw.cmp(other_draw).then_with(by_path)
    });
    highest.map(|(_, one)| one)
}

/// The number that a path draws for a key, of which this is the hash.
fn draw(key: u64, path: &str) -> u64 {
    // Spread over all bits: FNV alone does not.
    SplitMix64::new(fnv(key, path.bytes())).next_u64()
}

/// FNV-1a's beginning, for 64 bits.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn below(rng: &mut SplitMix64, bound: usize) -> usize {
    // It is less than a usize.
    usize::try_from(rng.below(bound as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::index::Index;
    use crate::testing::registry::actor;

    /// `a0`, `a1` … with these loads.
    fn actors(loads: &[u64]) -> Vec<Entry> {
        let actor = |(at, load): (usize, &u64)| {
            let mut entry = actor(&format!("a{at}"), &[]);
            entry.status.load = *load;
            entry
        };
        loads.iter().enumerate().map(actor).collect()
    }

    /// How often each is chosen in so many turns.
    fn times(select: &Select, entries: &[Entry], turns: u64) -> Vec<u64> {
        let mut times = vec![0; entries.len()];
        for turn in 0..turns {
            let picked = select.pick(entries, turn).unwrap();
            let at = entries.iter().position(|entry| entry.path == picked.path);
            times[at.unwrap()] += 1;
        }
        times
    }

    fn all() -> [Select; 6] {
        [
            Select::First,
            Select::Random,
            Select::RoundRobin,
            Select::LeastLoaded,
            Select::TwoChoices,
            Select::Consistent("key".into()),
        ]
    }

    #[test]
    fn of_none_there_is_none_and_of_one_there_is_that_one() {
        for select in all() {
            for turn in 0..9 {
                assert_eq!(select.pick(&actors(&[]), turn), None, "{select:?}");
                let one = actors(&[5]);
                assert_eq!(select.pick(&one, turn), one.first(), "{select:?}");
            }
        }
    }

    #[test]
    fn a_choice_can_be_repeated() {
        let entries = actors(&[1, 1, 1, 0, 0]);
        for select in all() {
            assert_eq!(
                select.pick(&entries, 7),
                select.pick(&entries, 7),
                "{select:?}"
            );
        }
    }

    #[test]
    fn the_first_is_the_first() {
        assert_eq!(times(&Select::First, &actors(&[9, 0, 0]), 5), [5, 0, 0]);
    }

    #[test]
    fn round_robin_gives_each_its_turn() {
        let entries = actors(&[0, 0, 0]);
        let paths: Vec<&str> = (4..8)
            .map(|turn| Select::RoundRobin.pick(&entries, turn).unwrap().path())
            .collect();
        assert_eq!(paths, ["a1", "a2", "a0", "a1"]);
        assert_eq!(
            Select::RoundRobin.pick(&entries, u64::MAX).unwrap().path(),
            "a0"
        );
    }

    #[test]
    fn random_is_even() {
        let times = times(&Select::Random, &actors(&[9, 0, 0, 0]), 4_000);
        assert!(
            times.iter().all(|times| (900..1_100).contains(times)),
            "{times:?}"
        );
    }

    #[test]
    fn least_loaded_is_any_of_those_with_the_least_to_do() {
        let times = times(&Select::LeastLoaded, &actors(&[3, 1, 2, 1]), 1_000);
        assert_eq!((times[0], times[2]), (0, 0));
        assert!(times[1] > 400 && times[3] > 400, "{times:?}");
    }

    #[test]
    fn of_two_choices_the_one_with_less_to_do_is_taken() {
        let two = actors(&[2, 1]);
        assert_eq!(
            times(&Select::TwoChoices, &two, 100),
            [0, 100],
            "they are never the same"
        );
        let times = times(&Select::TwoChoices, &actors(&[0, 1, 2, 3]), 6_000);
        // Of six pairs, the least loaded is in three, the next decides two, the next one; the last none.
        let even = [3_000, 2_000, 1_000, 0];
        let near = times
            .iter()
            .zip(even)
            .all(|(times, even): (&u64, _)| times.abs_diff(even) < 200);
        assert!(near, "{times:?}");
        let equals = actors(&[7, 7, 7, 7]);
        for turn in 0..20 {
            let first = random(&equals, turn);
            assert_eq!(two_choices(&equals, turn), first, "of equals, the first");
        }
        let equal = self::times(&Select::TwoChoices, &equals, 4_000);
        assert!(
            equal.iter().all(|times| times.abs_diff(1_000) < 150),
            "{equal:?}"
        );
    }

    /// Who has which of 1,000 keys.
    fn keys(entries: &[Entry]) -> BTreeMap<u64, String> {
        let of = |key: u64| {
            let picked = Select::Consistent(format!("key-{key}").into()).pick(entries, key);
            (key, picked.unwrap().path().to_owned())
        };
        (0..1_000).map(of).collect()
    }

    #[test]
    fn a_key_stays_where_it_is_when_others_come_and_go() {
        let entries = actors(&[0; 10]);
        let before = keys(&entries);
        for at in 0..10 {
            let gone = &entries[at];
            let (left, right) = entries.split_at(at);
            let rest: Vec<Entry> = right[1..].iter().chain(left).cloned().collect();
            let after = keys(&rest);
            let moved: Vec<u64> = (0..1_000).filter(|key| before[key] != after[key]).collect();
            assert!(
                moved.iter().all(|key| before[key] == *gone.path),
                "only those of the one that is gone"
            );
            assert!(
                (60..140).contains(&moved.len()),
                "they are even: {}",
                moved.len()
            );
            let heirs: std::collections::BTreeSet<&String> =
                moved.iter().map(|key| &after[key]).collect();
            assert_eq!(heirs.len(), 9, "all the rest inherit");
        }
    }

    #[test]
    fn a_key_is_at_the_same_one_in_every_run() {
        let entries = actors(&[0; 5]);
        let at = |key: &str| consistent(&entries, key).unwrap().path().to_owned();
        assert_eq!(
            ["", "a", "b", "session-7"].map(at),
            ["a1", "a4", "a1", "a0"]
        );
        let pair = ["c", "bc"].map(|path| actor(path, &[]));
        let picks = |key: &str| consistent(&pair, key).unwrap().path().to_owned();
        let differ = |n: u32| picks(&format!("k{n}")) != picks(&format!("k{n}b"));
        assert!((0..20).any(differ), "a key ends somewhere");
    }

    #[test]
    fn what_the_index_finds_can_be_chosen_from() {
        let mut index = Index::new();
        for entry in actors(&[3, 2, 4]) {
            index.insert(entry, ());
        }
        let found = index.find(&crate::query::Query::all());
        let picked = Select::LeastLoaded.pick(&found, 0).unwrap();
        assert_eq!((picked.path(), picked.load()), ("a1", 2));
        assert_eq!((picked.entry.path(), picked.entry.load()), ("a1", 2));
    }
}
