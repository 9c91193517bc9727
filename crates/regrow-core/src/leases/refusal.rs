//! Why somebody got no port, in words that say what to do.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::MAX_MOVES;

/// So many ports of one sort are named; of the others their number is.
const NAMED: usize = 20;

/// Why somebody got no port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseError {
    /// None is left.
    Exhausted(Box<Exhausted>),
    /// The port is kept for the owner of the table.
    Reserved {
        /// Who asked.
        id: String,
        /// For which.
        port: u16,
    },
    /// Somebody has the port.
    Taken {
        /// Who asked.
        id: String,
        /// For which.
        port: u16,
        /// Who has it.
        holder: String,
    },
    /// Who asks for a port by number has another.
    HasAnother {
        /// Who asked.
        id: String,
        /// For which.
        port: u16,
        /// What it has.
        held: u16,
    },
    /// One start has found its port taken too often.
    MovedTooOften {
        /// Whose.
        id: String,
        /// The last one.
        port: u16,
    },
    /// The lease was given back, or a later one has taken its place.
    Over {
        /// Whose.
        id: String,
    },
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted(exhausted) => exhausted.fmt(f),
            Self::Reserved { id, port } => write!(
                f,
                "{id:?} got no port: port {port} belongs to regrow itself; choose another, or let regrow listen elsewhere with \
                 --listen"
            ),
            Self::Taken { id, port, holder } => write!(
                f,
                "{id:?} got no port: port {port} belongs to {holder:?}; choose another"
            ),
            Self::HasAnother { id, port, held } => write!(
                f,
                "{id:?} got no port {port}: it has {held}; give that back first"
            ),
            Self::MovedTooOften { id, port } => write!(
                f,
                "{id:?} has no port: somebody else took port {port} and the {MAX_MOVES} before it while it started; find out who \
                 (ss -ltnp), and keep the range of ports to regrow"
            ),
            Self::Over { id } => {
                write!(
                    f,
                    "the port of {id:?} was given back, or taken over by a later one of that id"
                )
            }
        }
    }
}

impl std::error::Error for LeaseError {}

impl From<Box<Exhausted>> for LeaseError {
    fn from(exhausted: Box<Exhausted>) -> Self {
        Self::Exhausted(exhausted)
    }
}

/// No port of the range could be leased, and this is what became of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Who asked.
    pub id: String,
    /// The range.
    pub range: RangeInclusive<u16>,
    /// The ports that somebody has, and who.
    pub held: Vec<(u16, String)>,
    /// Those that were given back a moment ago.
    pub kept_back: Vec<KeptBack>,
    /// Those that are kept for the owner of the table.
    pub reserved: Vec<u16>,
    /// Those that a program uses that nobody here knows.
    pub occupied: Vec<u16>,
}

/// A port that was given back, and is kept from others for a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBack {
    /// The port.
    pub port: u16,
    /// Who had it.
    pub id: String,
    /// For how much longer.
    pub left: Duration,
}

impl Exhausted {
    /// When the next port is no longer kept back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.kept_back.iter().map(|kept| kept.left).min()
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.range.start(), self.range.end());
        write!(f, "{:?} got no port: ", self.id)?;
        if from == to {
            write!(f, "the only one, {from}, is in use (")?;
        } else {
            write!(f, "all of {from}-{to} are in use (")?;
        }
        let held = self.held.iter().map(|(port, id)| format!("{port} by {id}"));
        let kept = self.kept_back.iter().map(|kept| {
            let left = Left(kept.left);
            format!("{} of {} for {left} more", kept.port, kept.id)
        });
        let numbers = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>();
        let sorts = [
            ("held", held.collect()),
            ("kept back after use", kept.collect()),
            ("used by other programs", numbers(&self.occupied)),
            ("used by regrow itself", numbers(&self.reserved)),
        ];
        let sorts = sorts.iter().filter(|(_, ports)| !ports.is_empty());
        let sorts: Vec<String> = sorts
            .map(|(sort, ports)| format!("{sort}: {}", listing(ports)))
            .collect();
        write!(f, "{}); ", sorts.join("; "))?;
        if let Some(soon) = self.retry_after() {
            write!(f, "try again in {}, or ", Left(soon))?;
        }
        f.write_str("make the range of ports wider")
    }
}

/// A time that is left, in tenths of a second, rounded up: after it there is nothing left.
struct Left(Duration);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.as_nanos().div_ceil(100_000_000);
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}

/// The first few of many things.
fn listing(things: &[String]) -> String {
    match things.split_at_checked(NAMED) {
        Some((named, more)) if !more.is_empty() => {
            format!("{} and {} more", named.join(", "), more.len())
        }
        Some(_) | None => things.join(", "),
    }
}
