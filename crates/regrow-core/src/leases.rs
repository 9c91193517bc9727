//! Whose port is which: leases from one range, and ports that somebody asked for by number.
//!
//! One id has one port at a time. It keeps it until it gives it back, and gets the same one again if nobody has taken it meanwhile:
//! others may still know it by its port. Whoever is new gets the port that was given back the longest ago, and none that was given
//! back within the quarantine: connections that were meant for the one before still arrive there.
//!
//! Whether a program that nobody here knows uses a port, only a look can tell. The shell looks, as `is_free`, at each port that comes
//! into question, in their order; a port that is not free is passed over. A life that is to begin, or has ended right after it began,
//! on a port that somebody else has by then moves to another, [`MAX_MOVES`] times at most for each start.
//!
//! A lease has a generation, which the shell counts upwards for each id: what an earlier lease still asks or gives back changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod refusal;
#[cfg(test)]
mod tests;

pub use refusal::{Exhausted, KeptBack, LeaseError};

/// For so long a port that was given back is kept from others.
pub const QUARANTINE: Duration = Duration::from_secs(5);

/// How many times one start may move to another port.
pub const MAX_MOVES: u32 = 3;

/// Who has which port of a range.
///
/// A lease costs O(log n) and a look at each port that is passed over; n is the number of ports in the range.
///
/// ```
/// # use std::time::Instant;
/// use regrow_core::leases::Leases;
/// # #[expect(clippy::disallowed_methods)]
/// # let now = Instant::now();
/// let mut leases = Leases::new(8001..=8002);
/// assert_eq!(leases.lease("web", 1, now, |_| true).unwrap().port, 8001);
/// assert_eq!(leases.lease("api", 1, now, |_| true).unwrap().port, 8002);
/// let refused = leases.lease("job", 1, now, |_| true).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "\"job\" got no port: all of 8001-8002 are in use (held: 8001 by web, 8002 by api); make the range of ports wider"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Leases {
    range: RangeInclusive<u16>,
    quarantine: Duration,
    held: BTreeMap<u16, Held>,
    by_id: BTreeMap<Arc<str>, u16>,
    /// The ports of the range that nobody has, by the turn in which they were given back; 0 for those that nobody has had yet.
    free: BTreeSet<(u64, u16)>,
    /// Those of them that somebody has had.
    rested: BTreeMap<u16, Rested>,
    /// The port that an id gave back last, as long as nobody else got it.
    last: BTreeMap<Arc<str>, u16>,
    reserved: BTreeSet<u16>,
    /// Counts the ports that were given back.
    turn: u64,
}

/// Who has a port.
#[derive(Clone, Debug)]
struct Held {
    id: Arc<str>,
    generation: u64,
    choice: Choice,
    /// How many times the start that is under way has moved.
    moves: u32,
}

/// Whether another port would do as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Any,
    /// It was asked for by its number.
    This,
}

/// Who had a port that nobody has now.
#[derive(Clone, Debug)]
struct Rested {
    turn: u64,
    id: Arc<str>,
    since: Instant,
}

/// A port that somebody has from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The port.
    pub port: u16,
    /// The port that was given up for it, because somebody else has it.
    pub instead_of: Option<u16>,
    /// The ports that were looked at before, and that somebody else has.
    pub occupied: Vec<u16>,
}

/// How many ports of the range are in which state. Reserved ones are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Somebody has them.
    pub allocated: u32,
    /// Anybody may have them. Whether a program that nobody here knows uses one is not known.
    pub free: u32,
    /// They were given back a moment ago, and are kept from others.
    pub quarantined: u32,
}

impl Leases {
    /// A table of these ports, of which nobody has one. The quarantine is [`QUARANTINE`].
    #[must_use]
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self {
            free: range.clone().map(|port| (0, port)).collect(),
            range,
            quarantine: QUARANTINE,
            held: BTreeMap::new(),
            by_id: BTreeMap::new(),
            rested: BTreeMap::new(),
            last: BTreeMap::new(),
            reserved: BTreeSet::new(),
            turn: 0,
        }
    }

    /// Keeps ports that were given back from others for so long.
    #[must_use]
    pub fn quarantine(mut self, quarantine: Duration) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// Keeps this port for whoever owns the table; nobody gets it. Call it before the first lease.
    #[must_use]
    pub fn reserve(mut self, port: u16) -> Self {
        self.free.remove(&(0, port));
        self.reserved.insert(port);
        self
    }

    /// The ports that are leased.
    #[must_use]
    pub fn range(&self) -> &RangeInclusive<u16> {
        &self.range
    }

    /// The port of this id.
    #[must_use]
    pub fn port_of(&self, id: &str) -> Option<u16> {
        self.by_id.get(id).copied()
    }

    /// Who has this port.
    #[must_use]
    pub fn holder(&self, port: u16) -> Option<&Arc<str>> {
        self.held.get(&port).map(|held| &held.id)
    }

    /// How many ports of the range are in which state.
    #[must_use]
    pub fn counts(&self, now: Instant) -> PortCounts {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let rested = self.rested.values();
        let quarantined = rested.filter(|rested| self.left(rested, now).is_some());
        let quarantined = number(quarantined.count());
        PortCounts {
            allocated: number(self.held.range(self.range.clone()).count()),
            free: number(self.free.len()) - quarantined,
            quarantined,
        }
    }

    /// Leases a port of the range to `id`: the one that it has, else the one that it had, else the one that was given back the longest
    /// ago. `is_free` is asked of those that nobody has, until one is.
    ///
    /// An id that has a port keeps it, and its earlier lease is over.
    ///
    /// # Errors
    ///
    /// When no port is left, or a later lease than `generation` has been made to this id.
    pub fn lease(
        &mut self,
        id: &str,
        generation: u64,
        now: Instant,
        is_free: impl FnMut(u16) -> bool,
    ) -> Result<Leased, LeaseError> {
        if let Some(port) = self.take_over(id, generation)? {
            return Ok(Leased::at(port));
        }
        let (port, occupied) = self.find(id, now, is_free)?;
        self.hold(port, id, generation, Choice::Any);
        Ok(Leased {
            occupied,
            ..Leased::at(port)
        })
    }

    /// Gives `id` the port that it asks for, in the range or not, quarantined or not. It never moves.
    ///
    /// # Errors
    ///
    /// When somebody else has it, it is reserved, `id` has another, or a later lease than `generation` has been made to this id.
    pub fn fix(&mut self, id: &str, generation: u64, port: u16) -> Result<Leased, LeaseError> {
        let id_of = || id.to_owned();
        if self.reserved.contains(&port) {
            return Err(LeaseError::Reserved { id: id_of(), port });
        }
        if let Some(holder) = self.holder(port).filter(|holder| ***holder != *id) {
            let holder = holder.to_string();
            return Err(LeaseError::Taken {
                id: id_of(),
                port,
                holder,
            });
        }
        if let Some(held) = self.port_of(id).filter(|held| *held != port) {
            let id = id_of();
            return Err(LeaseError::HasAnother { id, port, held });
        }
        if self.take_over(id, generation)?.is_none() {
            self.hold(port, id, generation, Choice::This);
        }
        Ok(Leased::at(port))
    }

    /// A life of `id` is about to begin: on its port, or on another if somebody else has that.
    ///
    /// # Errors
    ///
    /// When no other port is left; then it keeps the one that it has. When the lease is over.
    pub fn begin(
        &mut self,
        id: &str,
        generation: u64,
        now: Instant,
        is_free: impl FnMut(u16) -> bool,
    ) -> Result<Leased, LeaseError> {
        let held = self.held_by(id, generation)?;
        held.moves = 0;
        self.look_again(id, generation, now, is_free)
    }

    /// A life of `id` has ended right after it began: it may begin anew on another port if somebody else has its own by now.
    ///
    /// The answer has the same port when it is not for its port that it ended.
    ///
    /// # Errors
    ///
    /// As [`Leases::begin`]; and when this start has moved [`MAX_MOVES`] times.
    pub fn look_again(
        &mut self,
        id: &str,
        generation: u64,
        now: Instant,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Result<Leased, LeaseError> {
        let held = self.held_by(id, generation)?;
        let (choice, moves) = (held.choice, held.moves);
        let Some(port) = self.port_of(id) else {
            return Err(LeaseError::Over { id: id.to_owned() });
        };
        if choice == Choice::This || is_free(port) {
            return Ok(Leased::at(port));
        }
        if moves >= MAX_MOVES {
            let id = id.to_owned();
            return Err(LeaseError::MovedTooOften { id, port });
        }
        let (to, occupied) = self.find(id, now, is_free)?;
        self.free(port, now);
        self.hold(to, id, generation, Choice::Any);
        self.held_by(id, generation)?.moves = moves + 1;
        Ok(Leased {
            port: to,
            instead_of: Some(port),
            occupied,
        })
    }

    /// Gives back what this lease has; `None` when it is over already.
    pub fn release(&mut self, id: &str, generation: u64, now: Instant) -> Option<u16> {
        self.held_by(id, generation).ok()?;
        let port = self.port_of(id)?;
        self.free(port, now);
        Some(port)
    }

    /// The port that `id` has, from now on by this lease.
    fn take_over(&mut self, id: &str, generation: u64) -> Result<Option<u16>, LeaseError> {
        let Some(port) = self.port_of(id) else {
            return Ok(None);
        };
        match self.held.get_mut(&port) {
            Some(held) if held.generation <= generation => {
                held.generation = generation;
                Ok(Some(port))
            }
            Some(_) | None => Err(LeaseError::Over { id: id.to_owned() }),
        }
    }

    /// What this lease has.
    fn held_by(&mut self, id: &str, generation: u64) -> Result<&mut Held, LeaseError> {
        let port = self.port_of(id);
        let held = port.and_then(|port| self.held.get_mut(&port));
        held.filter(|held| held.generation == generation)
            .ok_or_else(|| LeaseError::Over { id: id.to_owned() })
    }

    /// The best port for `id` that nobody has, and those before it that somebody else has.
    fn find(
        &self,
        id: &str,
        now: Instant,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Result<(u16, Vec<u16>), Box<Exhausted>> {
        let own = self.last.get(id).copied();
        let others = self.free.iter().map(|(_, port)| *port);
        let others = others.filter(|port| Some(*port) != own && self.is_open_to(id, *port, now));
        let mut occupied = Vec::new();
        for port in own.into_iter().chain(others) {
            if is_free(port) {
                return Ok((port, occupied));
            }
            occupied.push(port);
        }
        Err(self.exhausted(id, now, occupied))
    }

    fn is_open_to(&self, id: &str, port: u16, now: Instant) -> bool {
        self.rested
            .get(&port)
            .is_none_or(|rested| &*rested.id == id || self.left(rested, now).is_none())
    }

    /// How much longer a port is kept from others, if it is.
    fn left(&self, rested: &Rested, now: Instant) -> Option<Duration> {
        let rests = now.saturating_duration_since(rested.since);
        let left = self.quarantine.saturating_sub(rests);
        (!left.is_zero()).then_some(left)
    }

    fn exhausted(&self, id: &str, now: Instant, occupied: Vec<u16>) -> Box<Exhausted> {
        let held = self.held.range(self.range.clone());
        let held = held.map(|(port, held)| (*port, held.id.to_string()));
        let rested = self
            .rested
            .iter()
            .filter(|(port, _)| !occupied.contains(port));
        let kept_back = rested.filter_map(|(port, rested)| {
            Some(KeptBack {
                port: *port,
                id: rested.id.to_string(),
                left: self.left(rested, now)?,
            })
        });
        let reserved = self.reserved.range(self.range.clone());
        Box::new(Exhausted {
            id: id.to_owned(),
            range: self.range.clone(),
            held: held.collect(),
            kept_back: kept_back.collect(),
            reserved: reserved.copied().collect(),
            occupied,
        })
    }

    fn hold(&mut self, port: u16, id: &str, generation: u64, choice: Choice) {
        let id: Arc<str> = id.into();
        let turn = match self.rested.remove(&port) {
            Some(rested) => {
                if self.last.get(&rested.id) == Some(&port) {
                    self.last.remove(&rested.id);
                }
                rested.turn
            }
            None => 0,
        };
        self.free.remove(&(turn, port));
        self.by_id.insert(Arc::clone(&id), port);
        let moves = 0;
        let held = Held {
            id,
            generation,
            choice,
            moves,
        };
        self.held.insert(port, held);
    }

    fn free(&mut self, port: u16, now: Instant) {
        let Some(Held { id, .. }) = self.held.remove(&port) else {
            return;
        };
        self.by_id.remove(&id);
        if !self.range.contains(&port) {
            return;
        }
        self.turn += 1;
        let (turn, since) = (self.turn, now);
        self.free.insert((turn, port));
        self.last.insert(Arc::clone(&id), port);
        self.rested.insert(port, Rested { turn, id, since });
    }
}

impl Leased {
    const fn at(port: u16) -> Self {
        Self {
            port,
            instead_of: None,
            occupied: Vec::new(),
        }
    }
}
