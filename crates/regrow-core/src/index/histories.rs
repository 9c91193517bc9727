//! Random histories: after each change the index says what a list of entries says, and in the end it equals one made anew.

use super::*;
use crate::SplitMix64;
use crate::query::Query;
use crate::restart::ExitKind;
use crate::testing::registry;

/// The index, and the plain list that it is to agree with.
struct World {
    seed: u64,
    rng: SplitMix64,
    index: Index<u64>,
    model: Vec<(Entry, u64)>,
    /// Lists as values, as a shell keeps them: dropped when a change names them.
    kept: BTreeMap<Term, Arc<Members<u64>>>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: SplitMix64::new(seed),
            index: Index::new(),
            model: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    fn place(&mut self, path: &str) -> Option<&mut (Entry, u64)> {
        self.model
            .iter_mut()
            .find(|(entry, _)| &*entry.path == path)
    }

    fn step(&mut self) {
        let seed = self.seed;
        let path = registry::path(&mut self.rng);
        let change = match self.rng.below(8) {
            0..=2 => self.insert(),
            3..=4 => self.update(path),
            5 => self.edit(path),
            _ => self.remove(path),
        };
        for term in change.iter().flat_map(Change::lists) {
            self.kept.remove(&term);
        }
        for (term, members) in &self.kept {
            assert_eq!(
                **members,
                *self.index.members(term),
                "seed {seed}: {term} is not named"
            );
        }
        self.ask();
    }

    fn insert(&mut self) -> Option<Change> {
        let (entry, handle) = (registry::entry(&mut self.rng), self.rng.next_u64());
        let change = self.index.insert(entry.clone(), handle);
        match self.place(&entry.path) {
            Some(known) if entry.status.generation < known.0.status.generation => {
                assert_eq!(change, None);
            }
            Some(known) => {
                let (before, after) = (known.0.clone().into(), entry.clone().into());
                assert_eq!(change, Some(Change::Replaced { before, after }));
                *known = (entry, handle);
            }
            None => {
                assert_eq!(change, Some(Change::Added(entry.clone().into())));
                self.model.push((entry, handle));
            }
        }
        change
    }

    fn update(&mut self, path: &str) -> Option<Change> {
        let status = registry::status(&mut self.rng);
        let change = self
            .index
            .update(path, status.generation, |entry| entry.status = status);
        match self.place(path) {
            Some((entry, _)) if status.generation >= entry.status.generation => {
                let before = entry.clone();
                entry.status = status;
                let updated = (before != *entry).then(|| Change::Updated {
                    before: before.into(),
                    after: entry.clone().into(),
                });
                assert_eq!(change, updated);
            }
            _ => assert_eq!(change, None),
        }
        change
    }

    fn edit(&mut self, path: &str) -> Option<Change> {
        let profile = registry::profile(&mut self.rng);
        let change = self
            .index
            .edit(path, |entry| entry.profile = profile.clone().into());
        if let Some((entry, _)) = self.place(path) {
            entry.profile = profile.into();
        }
        change
    }

    fn remove(&mut self, path: &str) -> Option<Change> {
        let generation = registry::status(&mut self.rng).generation;
        let reason = LeaveReason::Ended(ExitKind::Error);
        let change = self.index.remove(path, generation, reason);
        let is_meant = |(entry, _): &(Entry, u64)| {
            &*entry.path == path && entry.status.generation <= generation
        };
        let at = self.model.iter().position(is_meant);
        let removed = at.map(|at| self.model.swap_remove(at));
        let expected = removed.map(|(entry, _)| Change::Removed {
            entry: entry.into(),
            reason,
        });
        assert_eq!(change, expected);
        change
    }

    /// One query, and the list of one term.
    fn ask(&mut self) {
        let query = registry::query(&mut self.rng, 3);
        let found = self.index.find(&query);
        let mut found: Vec<(&str, u64)> = found
            .iter()
            .map(|found| (&*found.entry.path, *found.handle))
            .collect();
        found.sort_unstable();
        assert_eq!(found, self.expected(&query), "seed {}: {query}", self.seed);
        assert_eq!(
            self.index.count(&query),
            found.len(),
            "seed {}: {query}",
            self.seed
        );
        if let Some(term) = query.as_term() {
            let members = self.index.members(term);
            let mut handles: Vec<u64> = members.as_slice().iter().map(|m| m.handle).collect();
            handles.sort_unstable();
            let mut expected: Vec<u64> = found.into_iter().map(|(_, handle)| handle).collect();
            expected.sort_unstable();
            assert_eq!(handles, expected, "seed {}: {query}", self.seed);
            self.kept.insert(term.clone(), members);
        }
    }

    fn expected(&self, query: &Query) -> Vec<(&str, u64)> {
        let meant = self.model.iter().filter(|(entry, _)| query.matches(entry));
        let mut expected: Vec<(&str, u64)> = meant
            .map(|(entry, handle)| (&*entry.path, *handle))
            .collect();
        expected.sort_unstable();
        expected
    }
}

#[test]
fn after_any_history_the_index_says_what_a_list_says_and_equals_one_made_anew() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step();
        }
        let mut anew = Index::new();
        for (entry, handle) in &world.model {
            assert!(anew.insert(entry.clone(), *handle).is_some());
        }
        assert_eq!(world.index, anew, "seed {seed}");
        let entries: Vec<&Entry> = world.index.iter().map(|found| &**found.entry).collect();
        let mut expected: Vec<&Entry> = world.model.iter().map(|(entry, _)| entry).collect();
        expected.sort_unstable_by_key(|entry| &entry.path);
        assert_eq!(entries, expected, "seed {seed}: by path");
        assert_eq!(world.index.len(), world.model.len(), "seed {seed}");
    }
}

#[test]
fn a_term_holds_of_an_entry_just_when_it_is_among_its_terms() {
    for seed in 0..500 {
        let mut rng = SplitMix64::new(seed);
        let (one, other) = (registry::entry(&mut rng), registry::entry(&mut rng));
        let terms: Vec<Term> = one.terms().collect();
        assert!(terms.iter().all(|term| term.holds(&one)), "seed {seed}");
        let once: BTreeSet<&Term> = terms.iter().collect();
        assert_eq!(once.len(), terms.len(), "seed {seed}: each once");
        for term in other.terms() {
            assert_eq!(
                term.holds(&one),
                once.contains(&term),
                "seed {seed}: {term}"
            );
        }
    }
}
