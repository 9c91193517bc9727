//! What a call that was let through carries until it is over.

use std::time::{Duration, Instant};

use super::CircuitState;

/// Which state, and the how-manieth: all that admission depends on while a circuit is closed.
///
/// It fits into one atomic number, so that a shell can let calls through without its lock: such a call has come before whatever
/// changes the circuit next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: CircuitState,
    /// Counts the states that the circuit was in, one after the other, from 1.
    pub generation: u64,
}

impl Standing {
    /// As a number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.generation << 3 | self.state as u64
    }

    /// From the number that it was.
    ///
    /// # Panics
    /// When it is none that [`Standing::to_bits`] has made.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            state: CircuitState::ALL[(bits & 7) as usize],
            generation: bits >> 3,
        }
    }

    /// The ticket of a call that begins now, if the circuit is in a state in which all calls are let through and none is counted:
    /// nobody has to be asked then. `started` is when it begins, if it matters how long it takes.
    #[must_use]
    pub const fn admit(self, started: Option<Instant>) -> Option<Ticket> {
        match self.state {
            CircuitState::Closed | CircuitState::Disabled | CircuitState::MetricsOnly => {
                Some(Ticket {
                    standing: self,
                    started,
                })
            }
            CircuitState::Open | CircuitState::HalfOpen | CircuitState::ForcedOpen => None,
        }
    }
}

/// A call that was let through. It cannot be copied, so none is judged twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a call whose end is not told keeps its place until the deadline of the trials"]
pub struct Ticket {
    pub(super) standing: Standing,
    pub(super) started: Option<Instant>,
}

impl Ticket {
    /// In which state of the circuit it was let through.
    #[must_use]
    pub const fn admitted_in(&self) -> Standing {
        self.standing
    }

    /// When it began, if that is known.
    #[must_use]
    pub const fn started(&self) -> Option<Instant> {
        self.started
    }
}

/// A call that was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The state: open, half-open with all permits out, or forced open.
    pub state: CircuitState,
    /// When it is worth asking again, if that is known: when an open circuit lets trials through.
    pub retry_after: Option<Duration>,
}

/// How long a circuit that one result has opened stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenWait {
    /// As the rules say.
    Backoff,
    /// So long: what a `Retry-After` in seconds says. At most a day.
    For(Duration),
    /// Until then: what a `Retry-After` with a date says. At most a day from now.
    Until(Instant),
}

/// How a call has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Success,
    /// Badly.
    Failure,
    /// Badly, and in such a way that one is enough: the circuit opens.
    Trip(OpenWait),
    /// In a way that says nothing of what is called: the caller's own mistake, say.
    Ignored,
    /// Nobody waits for it any more.
    Cancelled,
}

impl Ended {
    /// Whether it says anything of what was called.
    #[must_use]
    pub const fn is_judged(self) -> bool {
        match self {
            Self::Success | Self::Failure | Self::Trip(_) => true,
            Self::Ignored | Self::Cancelled => false,
        }
    }
}
