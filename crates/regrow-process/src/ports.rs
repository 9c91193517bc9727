//! Ports for agents, leased from a range.
//!
//! Who gets which is decided in [`regrow_core::leases`]. What is done here is to look: a port is leased when nothing listens on it, and
//! when no other run of regrow on this machine has leased it. The latter is said by a Unix socket of the port's name, which lives as
//! long as the lease (`docs/adr/0019-a-socket-says-that-a-port-is-leased.md`): between the look and the moment in which the agent listens, it
//! is the only sign that the port is taken.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use regrow::telemetry::{Payload, PortCounts, Subject};
use regrow::{ChildKind, ChildPath, Phase, Telemetry};
use regrow_core::leases::{LeaseError, Leased, Leases};

use crate::os::{Claim, is_bindable};

/// So many of the ports that were passed over are named in an event.
const NAMED: usize = 20;

/// Leases of the ports of one range. Clones are the same table.
///
/// An agent keeps its port over all its lives, and gets the same one when it comes back. What is given back is kept from others for
/// five seconds.
///
/// ```
/// use regrow_process::{Ports, Process};
///
/// let ports = Ports::new(8001..=8100);
/// let web = Process::new("web", "web-server").args(["--port", "${PORT}"]).lease(ports.lease("web")?);
/// # drop(web);
/// # Ok::<(), regrow_process::LeaseError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Ports(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    telling: OnceLock<Telling>,
}

#[derive(Debug)]
struct Table {
    leases: Leases,
    /// What tells other runs of regrow that a port is leased.
    claims: BTreeMap<u16, Claim>,
    /// Counts the leases: each has a generation that no other has.
    generations: u64,
}

/// To whom it is told what happens, and of whom.
#[derive(Debug)]
struct Telling {
    telemetry: Telemetry,
    owner: ChildPath,
}

/// A port that is somebody's as long as this lives; the last clone that is dropped gives it back.
#[derive(Debug, Clone)]
#[must_use = "dropped, it gives the port back"]
pub struct Lease(Arc<Holding>);

#[derive(Debug)]
struct Holding {
    ports: Ports,
    id: Arc<str>,
    generation: u64,
}

/// When it is looked at a port that is leased.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Begin,
    EndedAtOnce,
}

impl Ports {
    /// Leases the ports of this range, of which nobody has one yet.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let table = Table {
            leases: Leases::new(range),
            claims: BTreeMap::new(),
            generations: 0,
        };
        Self(Arc::new(Shared {
            table: Mutex::new(table),
            telling: OnceLock::new(),
        }))
    }

    /// Keeps this port for yourself: nobody gets it. Call it before the first lease.
    pub fn reserve(self, port: u16) -> Self {
        let mut table = self.table();
        table.leases = table.leases.clone().reserve(port);
        drop(table);
        self
    }

    /// Tells of leases from now on: events `regrow.port.*`, whose subject is the supervisor `owner`, and the gauge `regrow_process_ports`.
    /// For one stream only; a second is not told.
    pub fn telemetry(self, telemetry: &Telemetry, owner: impl Into<ChildPath>) -> Self {
        let telling = Telling {
            telemetry: telemetry.clone(),
            owner: owner.into(),
        };
        if self.0.telling.set(telling).is_ok() {
            let shared = Arc::downgrade(&self.0);
            telemetry.show_ports(move || shared.upgrade().map(|shared| Self(shared).counts()));
        }
        self
    }

    /// Leases a port to `id`: the one that it has, else the one that it had, else the one that was given back the longest ago. What
    /// another program or another regrow uses is passed over.
    ///
    /// An id has one port: an earlier lease that still lives has no say any more, and gives nothing back.
    ///
    /// # Errors
    ///
    /// When no port is left. The error says who has them.
    pub fn lease(&self, id: &str) -> Result<Lease, LeaseError> {
        let mut table = self.table();
        let generation = table.next();
        let leased = table.settle(None, |leases, is_free| {
            leases.lease(id, generation, Instant::now(), is_free)
        });
        self.made(table, id, generation, leased)
    }

    /// Gives `id` this very port, in the range or not; nobody else gets it. Whether a program uses it is not looked at.
    ///
    /// # Errors
    ///
    /// When it is somebody's, or `id` has another.
    pub fn fix(&self, id: &str, port: u16) -> Result<Lease, LeaseError> {
        let mut table = self.table();
        let generation = table.next();
        let leased = table.leases.fix(id, generation, port);
        if leased.is_ok() && !table.claims.contains_key(&port) {
            // Another run may have leased it: then that is told by the program, which cannot listen.
            table
                .claims
                .extend(Claim::on(port).map(|claim| (port, claim)));
        }
        self.made(table, id, generation, leased)
    }

    /// How many ports of the range are in which state.
    #[must_use]
    pub fn counts(&self) -> PortCounts {
        self.table().leases.counts(Instant::now())
    }

    /// What came of a lease, told.
    fn made(
        &self,
        table: MutexGuard<'_, Table>,
        id: &str,
        generation: u64,
        leased: Result<Leased, LeaseError>,
    ) -> Result<Lease, LeaseError> {
        let counts = table.leases.counts(Instant::now());
        drop(table);
        let id: Arc<str> = id.into();
        self.tell_outcome(&id, counts, &leased);
        leased?;
        Ok(Lease(Arc::new(Holding {
            ports: self.clone(),
            id,
            generation,
        })))
    }

    fn tell_outcome(&self, id: &Arc<str>, counts: PortCounts, leased: &Result<Leased, LeaseError>) {
        let passed_over = match leased {
            Ok(leased) => leased.occupied.as_slice(),
            Err(LeaseError::Exhausted(exhausted)) => exhausted.occupied.as_slice(),
            Err(_) => return,
        };
        let occupied = u32::try_from(passed_over.len()).unwrap_or(u32::MAX);
        if occupied > 0 {
            self.tell(|| Payload::PortOccupied {
                occupied,
                ports: passed_over
                    .iter()
                    .take(NAMED)
                    .map(|port| u32::from(*port))
                    .collect(),
                wanted_by: Arc::clone(id),
            });
        }
        self.tell(|| match leased {
            Ok(leased) => Payload::PortAllocated {
                free: counts.free,
                port: leased.port,
                holder: Arc::clone(id),
                instead_of: leased.instead_of,
            },
            Err(_) => Payload::PortExhausted {
                allocated: counts.allocated,
                quarantined: counts.quarantined,
                occupied,
                wanted_by: Arc::clone(id),
            },
        });
    }

    fn tell(&self, payload: impl FnOnce() -> Payload) {
        if let Some(Telling { telemetry, owner }) = self.0.telling.get() {
            let kind = ChildKind::Supervisor;
            let subject = || Subject::new(owner.clone(), kind, kind.as_str(), 1, Phase::Running);
            telemetry.emit(subject, payload);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    /// Asks the leases, and looks at the ports that come into question: at one that is `own`, whether something listens; at others, whether
    /// another regrow has them too. What comes of it is claimed.
    fn settle(
        &mut self,
        own: Option<u16>,
        ask: impl FnOnce(&mut Leases, &mut dyn FnMut(u16) -> bool) -> Result<Leased, LeaseError>,
    ) -> Result<Leased, LeaseError> {
        let mut new = None;
        let mut is_free = |port: u16| {
            if Some(port) == own {
                return is_bindable(port);
            }
            // The claim first: two who look at one port at once would each find the other.
            let claim = Claim::on(port).filter(|_| is_bindable(port));
            new = claim.map(|claim| (port, claim));
            new.is_some()
        };
        let leased = ask(&mut self.leases, &mut is_free)?;
        if let Some(left) = leased.instead_of {
            self.claims.remove(&left);
        }
        self.claims
            .extend(new.filter(|(port, _)| *port == leased.port));
        Ok(leased)
    }
}

impl Lease {
    /// The port, as it is now: a start that finds it in use by another program moves to another. When the id has a later lease, the
    /// port of that; when that was given back, 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        let table = self.0.ports.table();
        table.leases.port_of(&self.0.id).unwrap_or_default()
    }

    /// Whose it is.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// A life is about to begin: it has this port, or another if a program uses this.
    pub(crate) fn begin(&self) -> Result<u16, LeaseError> {
        let leased = self.look(Moment::Begin)?;
        Ok(leased.port)
    }

    /// A life has ended right after it began: whether that was for its port, and it has another now.
    pub(crate) fn has_moved(&self) -> Result<bool, LeaseError> {
        let leased = self.look(Moment::EndedAtOnce)?;
        Ok(leased.instead_of.is_some())
    }

    fn look(&self, moment: Moment) -> Result<Leased, LeaseError> {
        let Holding {
            ports,
            id,
            generation,
        } = &*self.0;
        let mut table = ports.table();
        let own = table.leases.port_of(id);
        let (now, generation) = (Instant::now(), *generation);
        let looked = table.settle(own, |leases, is_free| match moment {
            Moment::Begin => leases.begin(id, generation, now, is_free),
            Moment::EndedAtOnce => leases.look_again(id, generation, now, is_free),
        });
        let counts = table.leases.counts(Instant::now());
        drop(table);
        // That it stays where it is, is no news.
        if looked
            .as_ref()
            .map_or(true, |looked| looked.instead_of.is_some())
        {
            ports.tell_outcome(id, counts, &looked);
        }
        looked
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut table = self.ports.table();
        let now = Instant::now();
        let Some(port) = table.leases.release(&self.id, self.generation, now) else {
            return;
        };
        table.claims.remove(&port);
        let free = table.leases.counts(now).free;
        drop(table);
        let holder = Arc::clone(&self.id);
        self.ports
            .tell(|| Payload::PortReleased { free, port, holder });
    }
}

#[cfg(test)]
mod tests;
