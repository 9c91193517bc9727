//! Random histories, beside a table that looks at every port each time.

use proptest::prelude::*;

use super::*;

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const RANGE: RangeInclusive<u16> = 10..=15;
const OURS: u16 = 12;

#[derive(Clone, Copy, Debug)]
enum Step {
    Lease(usize),
    /// By the present lease, or by one that is so many older.
    Release(usize, u64),
    Begin(usize),
    LookAgain(usize),
    Fix(usize, u16),
    /// So many tenths of a second go by.
    Pass(u32),
    /// A stranger comes to a port, or leaves it.
    Stranger(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..IDS.len();
    let step = prop_oneof![
        6 => id.clone().prop_map(Step::Lease),
        4 => (id.clone(), 0u64..3).prop_map(|(id, older)| Step::Release(id, older)),
        3 => id.clone().prop_map(Step::Begin),
        3 => id.clone().prop_map(Step::LookAgain),
        1 => (id, 9u16..=16).prop_map(|(id, port)| Step::Fix(id, port)),
        3 => (1u32..60).prop_map(Step::Pass),
        4 => (10u16..=15).prop_map(Step::Stranger),
    ];
    proptest::collection::vec(step, 0..80)
}

/// One line of the table: a port, who has it, who had it.
#[derive(Clone, Debug, Default)]
struct Line {
    held: Option<(usize, u64, bool, u32)>,
    /// Who, when, and as which release.
    given_back: Option<(usize, Instant, usize)>,
}

/// Looks at every port each time.
#[derive(Debug)]
struct Naive {
    lines: BTreeMap<u16, Line>,
    releases: usize,
    last: [Option<u16>; IDS.len()],
    strangers: BTreeSet<u16>,
    now: Instant,
}

impl Naive {
    fn new() -> Self {
        Self {
            lines: (9..=16).map(|port| (port, Line::default())).collect(),
            releases: 0,
            last: Default::default(),
            strangers: BTreeSet::new(),
            now: t0(),
        }
    }

    fn of(&self, id: usize) -> Option<(u16, u64, bool, u32)> {
        let mut lines = self.lines.iter();
        lines.find_map(|(port, line)| {
            let (holder, generation, fixed, moves) = line.held?;
            (holder == id).then_some((*port, generation, fixed, moves))
        })
    }

    fn may_have(&self, id: usize, port: u16) -> bool {
        let line = &self.lines[&port];
        let is_open = line
            .given_back
            .is_none_or(|(who, at, _)| who == id || at + QUARANTINE <= self.now);
        RANGE.contains(&port) && port != OURS && line.held.is_none() && is_open
    }

    /// The port that it is to get: the one that it had last, if nobody has had it since; else by the time since it was given back.
    fn best(&self, id: usize) -> Option<u16> {
        let is_free = |port: &u16| self.may_have(id, *port) && !self.strangers.contains(port);
        let given_back = |port: &u16| self.lines[port].given_back.map(|(.., release)| release);
        let others = self.lines.keys().copied().filter(is_free);
        let others = others.min_by_key(|port| (given_back(port), *port));
        self.last[id].filter(is_free).or(others)
    }

    fn give(&mut self, port: u16, id: usize, generation: u64, fixed: bool, moves: u32) {
        let line = self.lines.get_mut(&port).unwrap();
        line.held = Some((id, generation, fixed, moves));
        let of_this = |last: &&mut Option<u16>| **last == Some(port);
        self.last
            .iter_mut()
            .filter(of_this)
            .for_each(|last| *last = None);
    }

    fn give_back(&mut self, port: u16) {
        let (releases, now) = (self.releases, self.now);
        let line = self.lines.get_mut(&port).unwrap();
        let (id, ..) = line.held.take().unwrap();
        if RANGE.contains(&port) {
            line.given_back = Some((id, now, releases));
            self.last[id] = Some(port);
        }
        self.releases += 1;
    }

    fn counts(&self) -> PortCounts {
        let in_range = || {
            self.lines
                .iter()
                .filter(|(port, _)| RANGE.contains(port) && **port != OURS)
        };
        let number = |count: usize| u32::try_from(count).unwrap();
        let allocated = in_range().filter(|(_, line)| line.held.is_some());
        let rests = |line: &Line| {
            line.given_back
                .is_some_and(|(_, at, _)| at + QUARANTINE > self.now)
        };
        let quarantined = in_range().filter(|(_, line)| line.held.is_none() && rests(line));
        let (allocated, quarantined) = (number(allocated.count()), number(quarantined.count()));
        PortCounts {
            allocated,
            free: number(in_range().count()) - allocated - quarantined,
            quarantined,
        }
    }
}

/// Both tables, and the generation of the last lease of each id.
struct Both {
    leases: Leases,
    naive: Naive,
    generations: [u64; IDS.len()],
}

impl Both {
    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.naive.now;
        match step {
            Step::Pass(tenths) => self.naive.now += Duration::from_millis(100) * tenths,
            Step::Stranger(port) => {
                if !self.naive.strangers.remove(&port) {
                    self.naive.strangers.insert(port);
                }
            }
            Step::Lease(id) => self.lease(id)?,
            Step::Fix(id, port) => self.fix(id, port)?,
            Step::Release(id, older) => {
                let generation = self.generations[id].saturating_sub(older);
                let released = self.leases.release(IDS[id], generation, now);
                let had = self.naive.of(id).filter(|had| had.1 == generation);
                prop_assert_eq!(released, had.map(|had| had.0));
                if let Some(port) = released {
                    self.naive.give_back(port);
                }
            }
            Step::Begin(id) => {
                if let Some((port, generation, fixed, _)) = self.naive.of(id) {
                    self.naive.give(port, id, generation, fixed, 0);
                }
                let strangers = self.naive.strangers.clone();
                let is_free = |port: u16| !strangers.contains(&port);
                let answer = self
                    .leases
                    .begin(IDS[id], self.generations[id], now, is_free);
                self.moved(id, answer)?;
            }
            Step::LookAgain(id) => {
                let strangers = self.naive.strangers.clone();
                let is_free = |port: u16| !strangers.contains(&port);
                let answer = self
                    .leases
                    .look_again(IDS[id], self.generations[id], now, is_free);
                self.moved(id, answer)?;
            }
        }
        Ok(())
    }

    fn lease(&mut self, id: usize) -> Result<(), TestCaseError> {
        self.generations[id] += 1;
        let generation = self.generations[id];
        let strangers = self.naive.strangers.clone();
        let is_free = |port: u16| !strangers.contains(&port);
        let leased = self
            .leases
            .lease(IDS[id], generation, self.naive.now, is_free);
        if let Some((port, _, fixed, moves)) = self.naive.of(id) {
            prop_assert_eq!(leased, Ok(Leased::at(port)));
            self.naive.give(port, id, generation, fixed, moves);
            return Ok(());
        }
        let best = self.naive.best(id);
        prop_assert_eq!(leased.as_ref().ok().map(|leased| leased.port), best);
        match leased {
            Ok(leased) => self.naive.give(leased.port, id, generation, false, 0),
            Err(error) => self.is_truly_exhausted(id, &error)?,
        }
        Ok(())
    }

    fn fix(&mut self, id: usize, port: u16) -> Result<(), TestCaseError> {
        let had = self.naive.of(id);
        let holder = self.naive.lines[&port].held.map(|held| held.0);
        let may = port != OURS && holder.is_none_or(|holder| holder == id);
        let generation = self.generations[id] + 1;
        let fixed = self.leases.fix(IDS[id], generation, port);
        let may = may && had.is_none_or(|had| had.0 == port);
        prop_assert_eq!(fixed.is_ok(), may);
        if may {
            self.generations[id] = generation;
            let (was_fixed, moves) = had.map_or((true, 0), |had| (had.2, had.3));
            self.naive.give(port, id, generation, was_fixed, moves);
        }
        Ok(())
    }

    /// Where a life that begins, or begins anew, is to be.
    fn moved(
        &mut self,
        id: usize,
        answer: Result<Leased, LeaseError>,
    ) -> Result<(), TestCaseError> {
        let Some((port, generation, fixed, moves)) = self.naive.of(id) else {
            let id = IDS[id].to_owned();
            prop_assert_eq!(answer, Err(LeaseError::Over { id }));
            return Ok(());
        };
        if fixed || !self.naive.strangers.contains(&port) {
            prop_assert_eq!(answer, Ok(Leased::at(port)));
            return Ok(());
        }
        if moves >= MAX_MOVES {
            let id = IDS[id].to_owned();
            prop_assert_eq!(answer, Err(LeaseError::MovedTooOften { id, port }));
            return Ok(());
        }
        let best = self.naive.best(id);
        prop_assert_eq!(answer.as_ref().ok().map(|leased| leased.port), best);
        match answer {
            Ok(leased) => {
                prop_assert_eq!(leased.instead_of, Some(port));
                self.naive.give_back(port);
                self.naive
                    .give(leased.port, id, generation, false, moves + 1);
            }
            Err(error) => self.is_truly_exhausted(id, &error)?,
        }
        Ok(())
    }

    /// Every port of the range is in the list, once, and rightly.
    fn is_truly_exhausted(&self, id: usize, error: &LeaseError) -> Result<(), TestCaseError> {
        let LeaseError::Exhausted(exhausted) = error else {
            return Err(TestCaseError::fail(error.to_string()));
        };
        let mut seen: Vec<u16> = exhausted.reserved.clone();
        for (port, holder) in &exhausted.held {
            prop_assert_eq!(
                self.naive.lines[port].held.map(|held| IDS[held.0]),
                Some(&**holder)
            );
            seen.push(*port);
        }
        for kept in &exhausted.kept_back {
            let (who, at, _) = self.naive.lines[&kept.port].given_back.unwrap();
            prop_assert_eq!(IDS[who], &*kept.id);
            prop_assert_eq!(at + QUARANTINE, self.naive.now + kept.left);
            prop_assert_ne!(who, id);
            seen.push(kept.port);
        }
        for port in &exhausted.occupied {
            prop_assert!(self.naive.strangers.contains(port));
            seen.push(*port);
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, RANGE.collect::<Vec<_>>());
        Ok(())
    }
}

proptest! {
    /// No port is held twice, who comes back gets its own, the quarantine is kept, nothing is lost, and it is exhausted only when it is.
    #[test]
    fn whatever_happens_the_leases_are_those_of_a_table_that_looks_at_everything(steps in steps()) {
        let mut both = Both {
            leases: Leases::new(RANGE).reserve(OURS),
            naive: Naive::new(),
            generations: [1; IDS.len()],
        };
        for step in steps {
            both.take(step)?;
            for (port, line) in &both.naive.lines {
                let holder = both.leases.holder(*port).map(|holder| &**holder);
                prop_assert_eq!(holder, line.held.map(|held| IDS[held.0]));
            }
            for (id, name) in IDS.iter().enumerate() {
                prop_assert_eq!(both.leases.port_of(name), both.naive.of(id).map(|of| of.0));
            }
            prop_assert_eq!(both.leases.counts(both.naive.now), both.naive.counts());
        }
    }
}
