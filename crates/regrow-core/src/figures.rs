//! What the processes of one life of an agent use: sums over a tree of processes that changes between two looks.
//!
//! Whoever reads the figures looks now and then. In between, processes come and go, so that a plain sum over those that live would
//! fall whenever one ends. [`Meter`] keeps what the ended have used, and counts nothing twice: what a process has used passes to its
//! parent when the parent waits for it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

mod memory;
#[cfg(test)]
mod tests;

pub use memory::{MemoryLimit, MemoryNews, MemoryWatch};

/// What was used up; it only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time on a processor, in user and kernel mode.
    pub cpu: Duration,
    /// Bytes that calls such as `read` returned, from whatever they read.
    pub read_bytes: u64,
    /// Bytes that calls such as `write` took, to whatever they wrote.
    pub written_bytes: u64,
    /// Bytes that had to be fetched from a disk.
    pub disk_read_bytes: u64,
    /// Bytes that were handed to a disk, those that were thrown away before they got there included.
    pub disk_written_bytes: u64,
}

impl Spent {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, Duration::saturating_add, u64::saturating_add)
    }

    /// What this is more than `other`; 0 where it is less.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, Duration::saturating_sub, u64::saturating_sub)
    }

    /// The larger of the two, counter by counter.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.zip(other, Ord::max, Ord::max)
    }

    fn zip(
        self,
        other: Self,
        times: impl Fn(Duration, Duration) -> Duration,
        counts: impl Fn(u64, u64) -> u64,
    ) -> Self {
        Self {
            cpu: times(self.cpu, other.cpu),
            read_bytes: counts(self.read_bytes, other.read_bytes),
            written_bytes: counts(self.written_bytes, other.written_bytes),
            disk_read_bytes: counts(self.disk_read_bytes, other.disk_read_bytes),
            disk_written_bytes: counts(self.disk_written_bytes, other.disk_written_bytes),
        }
    }
}

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// Its pid.
    pub pid: i32,
    /// When it was started, in whatever unit the system counts.
    pub start_time: u64,
}

/// One process, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Who it is.
    pub who: Who,
    /// The pid of its parent.
    pub parent: i32,
    /// Whether it runs; one that has ended and was not waited for yet still has its counters, and nothing else.
    pub is_living: bool,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// Its threads.
    pub threads: u32,
    /// Its open descriptors.
    pub descriptors: u32,
    /// What it has used up itself. Where the system does not tell its own apart, this is 0 and `waited` is all.
    pub own: Spent,
    /// What its children had used up, and theirs, when they were waited for.
    pub waited: Spent,
}

/// What a life uses now, and has used up so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Processes that run.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// Their open descriptors.
    pub descriptors: u32,
    /// Their resident memory, added up: a page that several share is counted for each.
    pub memory_bytes: u64,
    /// How many processors they kept busy since the look before, on average; 1.5 is one and a half.
    pub cpu_cores: f64,
    /// What the life has used up. It never falls.
    pub spent: Spent,
}

/// What is remembered of a process from the last look.
#[derive(Debug, Clone, Copy)]
struct Known {
    parent: i32,
    own: Spent,
    waited: Spent,
}

impl Known {
    fn all(&self) -> Spent {
        self.own.plus(self.waited)
    }
}

/// Makes [`Figures`] of one life from what is read of its processes.
///
/// What a life has used up never falls, whoever ends between two looks. It is exact when every process is waited for by its
/// parent. Where one is not (it was orphaned, or its parent ignores the ends of its children), what was last read of it is kept;
/// the little that it used after that look is lost, and so is what its parent took over from others in the same time, which cannot
/// be told apart.
#[derive(Debug, Clone)]
pub struct Meter {
    known: BTreeMap<Who, Known>,
    /// What those have used up that nobody took over.
    gone: Spent,
    at: Instant,
    last: Figures,
}

impl Meter {
    /// Of a life that began at `started`.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        Self {
            known: BTreeMap::new(),
            gone: Spent::default(),
            at: started,
            last: Figures::default(),
        }
    }

    /// The figures of the last look.
    #[must_use]
    pub fn last(&self) -> Figures {
        self.last
    }

    /// All processes of the life were read at `now`.
    pub fn on_sample(&mut self, readings: &[Reading], now: Instant) -> Figures {
        let known: BTreeMap<Who, Known> = readings
            .iter()
            .map(|reading| (reading.who, self.known_as(reading)))
            .collect();
        self.gone = self.gone.plus(self.lost(&known));
        let spent = known
            .values()
            .fold(self.gone, |sum, known| sum.plus(known.all()));
        let living = || readings.iter().filter(|reading| reading.is_living);
        let sum = |count: fn(&Reading) -> u32| living().map(count).fold(0, u32::saturating_add);
        self.last = Figures {
            processes: sum(|_| 1),
            threads: sum(|reading| reading.threads),
            descriptors: sum(|reading| reading.descriptors),
            memory_bytes: living()
                .map(|reading| reading.memory_bytes)
                .fold(0, u64::saturating_add),
            cpu_cores: self.cores(spent, now),
            spent,
        };
        self.known = known;
        self.at = self.at.max(now);
        self.last
    }

    /// A counter that could not be read this time, and is told as 0, is as it was.
    fn known_as(&self, reading: &Reading) -> Known {
        let before = self.known.get(&reading.who);
        let before = |part: fn(&Known) -> Spent| before.map(part).unwrap_or_default();
        Known {
            parent: reading.parent,
            own: reading.own.max(before(|known| known.own)),
            waited: reading.waited.max(before(|known| known.waited)),
        }
    }

    /// What those who have ended since the last look had used up and none of those in `now` took over.
    fn lost(&self, now: &BTreeMap<Who, Known>) -> Spent {
        let pids: HashMap<i32, Who> = self.known.keys().map(|who| (who.pid, *who)).collect();
        let mut left_to: BTreeMap<Option<Who>, Spent> = BTreeMap::new();
        for known in self.known.iter().filter(|(who, _)| !now.contains_key(who)) {
            let heir = self.heir(known.1.parent, &pids, now);
            let left = left_to.entry(heir).or_default();
            *left = left.plus(known.1.all());
        }
        left_to
            .into_iter()
            .map(|(heir, left)| {
                let waited = |of: &BTreeMap<Who, Known>| {
                    heir.and_then(|heir| of.get(&heir).map(|known| known.waited))
                        .unwrap_or_default()
                };
                left.minus(waited(now).minus(waited(&self.known)))
            })
            .fold(Spent::default(), Spent::plus)
    }

    /// Who would have what a child of `parent` left: the nearest forebear that is still there.
    fn heir(
        &self,
        mut parent: i32,
        pids: &HashMap<i32, Who>,
        now: &BTreeMap<Who, Known>,
    ) -> Option<Who> {
        // As many steps as there are processes: a circle, which a pid that was used again could make, ends too.
        for _ in 0..=self.known.len() {
            let who = pids.get(&parent)?;
            if now.contains_key(who) {
                return Some(*who);
            }
            parent = self.known.get(who)?.parent;
        }
        None
    }

    fn cores(&self, spent: Spent, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        if passed.is_zero() {
            return self.last.cpu_cores;
        }
        let used = spent.cpu.saturating_sub(self.last.spent.cpu);
        used.as_secs_f64() / passed.as_secs_f64()
    }
}
