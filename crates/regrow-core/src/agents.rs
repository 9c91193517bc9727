//! Who of the agents of a program may be started, what it is called, and how it has ended.
//!
//! A [`Roster`] knows the types of agents and how many there are of each. It gives every agent a name of its own, `coder-agent-3`: the
//! third of the type `coder`. A name is given once; no later agent has it again, whatever became of the one that had it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::exits::{ExitRules, Follow};
use crate::id::{InvalidId, check_id};
use crate::nearest::nearest;
use crate::phase::Phase;
use crate::restart::{ExitKind, Restart, StopCause};
use crate::words::words;

#[cfg(test)]
mod tests;

/// How many agents there may be at once, unless told otherwise.
pub const MAX_AGENTS: u32 = 100;

/// The longest name of a type, in bytes: with the largest number behind it, it is still an id.
pub const MAX_TYPE: usize = 37;

/// What stands between the type and the number.
const BETWEEN: &str = "-agent-";

words! {
    /// What an agent is for, where its type does not say it better. What runs in a role is up to the application.
    pub enum Role {
        /// Does the work that it is given, piece by piece.
        Worker = "worker",
        /// Checks results against rules: quality control.
        Qc = "qc",
        /// Divides a goal into tasks, and says who does what.
        Planning = "planning",
        /// Reads what others have made and judges it.
        Review = "review",
    }
}

impl Role {
    /// The word by which an agent of this role is found: what it can do.
    #[must_use]
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Worker => "work",
            Self::Qc => "check",
            Self::Planning => "plan",
            Self::Review => "review",
        }
    }

    /// Whether an agent of this role is there to come to its end: a check and a review are done when they are done, and may be so
    /// in no time. One that works or plans waits for more.
    #[must_use]
    pub const fn once(self) -> bool {
        match self {
            Self::Worker | Self::Planning => false,
            Self::Qc | Self::Review => true,
        }
    }
}

/// Why an agent is not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has said what such an agent is.
    UnknownType {
        /// The type that was probably meant.
        nearest: Option<Arc<str>>,
        /// All that there are, in alphabetical order.
        known: Vec<Arc<str>>,
    },
    /// It is a role that is known, but nobody has said what to run in it.
    NoCommand {
        /// The role.
        role: Role,
    },
    /// There are as many agents as there may be.
    Full {
        /// How many that is.
        most: u32,
    },
    /// There are as many of this type as there may be.
    TypeFull {
        /// How many that is.
        most: u32,
    },
}

/// Why something cannot be a type of agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidType {
    /// Names are made of it, so it has to be an id.
    Id(InvalidId),
    /// It is too long for a number behind it.
    TooLong,
    /// There is one of this name.
    Twice,
}

impl std::fmt::Display for InvalidType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(reason) => reason.fmt(f),
            Self::TooLong => write!(f, "the name of a type has at most {MAX_TYPE} bytes"),
            Self::Twice => f.write_str("there is a type of this name already"),
        }
    }
}

impl std::error::Error for InvalidType {}

/// The types of agents, and how many there are; see the [module](self).
///
/// ```
/// use regrow_core::agents::{Refusal, Roster};
///
/// let mut roster = Roster::new(2);
/// roster.add_type("coder", None).unwrap();
/// assert_eq!(roster.admit("coder").as_deref(), Ok("coder-agent-1"));
/// assert_eq!(roster.admit("coder").as_deref(), Ok("coder-agent-2"));
/// assert_eq!(roster.admit("coder"), Err(Refusal::Full { most: 2 }));
/// roster.dismiss("coder");
/// assert_eq!(roster.admit("coder").as_deref(), Ok("coder-agent-3"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    most: u32,
    present: u32,
    types: BTreeMap<Arc<str>, OfType>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfType {
    most: Option<u32>,
    present: u32,
    /// How many names have been given.
    named: u64,
}

impl Roster {
    /// Without types, for `most` agents at once.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            most,
            present: 0,
            types: BTreeMap::new(),
        }
    }

    /// There is a type of this name, with `most` agents at once.
    ///
    /// # Errors
    /// When it cannot be the name of a type.
    pub fn add_type(&mut self, name: &str, most: Option<u32>) -> Result<(), InvalidType> {
        check_id(name).map_err(InvalidType::Id)?;
        if name.len() > MAX_TYPE {
            return Err(InvalidType::TooLong);
        }
        if self.types.contains_key(name) {
            return Err(InvalidType::Twice);
        }
        let of_type = OfType {
            most,
            ..OfType::default()
        };
        self.types.insert(name.into(), of_type);
        Ok(())
    }

    /// One more agent of this type: its name. It counts from now on, until it is [dismissed](Roster::dismiss).
    ///
    /// # Errors
    /// When there is no such type, or no room for one more. No name is used up then.
    pub fn admit(&mut self, type_name: &str) -> Result<String, Refusal> {
        let full = self.present >= self.most;
        let Some(of_type) = self.types.get_mut(type_name) else {
            return Err(self.unknown(type_name));
        };
        if let Some(most) = of_type.most
            && of_type.present >= most
        {
            return Err(Refusal::TypeFull { most });
        }
        if full {
            return Err(Refusal::Full { most: self.most });
        }
        of_type.present += 1;
        of_type.named += 1;
        self.present += 1;
        Ok(format!("{type_name}{BETWEEN}{}", of_type.named))
    }

    /// An agent of this type has left its place: there is room for another.
    pub fn dismiss(&mut self, type_name: &str) {
        if let Some(of_type) = self.types.get_mut(type_name)
            && of_type.present > 0
        {
            of_type.present -= 1;
            self.present -= 1;
        }
    }

    /// How many agents there are.
    #[must_use]
    pub fn present(&self) -> u32 {
        self.present
    }

    /// How many there may be.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.most
    }

    fn unknown(&self, type_name: &str) -> Refusal {
        if let Ok(role) = type_name.parse() {
            return Refusal::NoCommand { role };
        }
        let names = self.types.keys().map(|name| &**name);
        Refusal::UnknownType {
            nearest: nearest(type_name, names).map(Into::into),
            known: self.types.keys().cloned().collect(),
        }
    }
}

/// The last that is known of an agent whose place was taken out of the tree.
#[derive(Clone, Copy, Debug)]
pub struct LastSeen<'a> {
    /// When it was to be started again.
    pub restart: Restart,
    /// What its exit codes mean.
    pub rules: &'a ExitRules,
    /// What it was doing.
    pub phase: Phase,
    /// Why its last life was stopped, if it was.
    pub cause: Option<StopCause>,
    /// How its last life ended, if one has.
    pub end: Option<ExitKind>,
}

impl LastSeen<'_> {
    /// What it has come to: `completed`, `stopped` or `failed`.
    ///
    /// An agent that keeps its place is what its phase says; this is for one that has gone without a last word, because its
    /// supervisor keeps no places of those that are done.
    #[must_use]
    pub fn came_to(self) -> Phase {
        match self.phase {
            Phase::Completed | Phase::Stopped | Phase::Failed => return self.phase,
            // Another life was to follow, and somebody did not want it.
            Phase::Pending | Phase::Backoff => return Phase::Stopped,
            Phase::Starting
            | Phase::Running
            | Phase::Paused
            | Phase::Draining
            | Phase::Stopping => {}
        }
        match self.cause {
            Some(
                StopCause::Operator
                | StopCause::Parent
                | StopCause::Sibling
                | StopCause::Dependency
                | StopCause::Reload
                | StopCause::Scale,
            ) => Phase::Stopped,
            // It has had its time, and nobody says that it failed.
            Some(StopCause::MaxRuntime) => Phase::Completed,
            Some(
                StopCause::Probe
                | StopCause::Heartbeat
                | StopCause::Stalled
                | StopCause::Memory
                | StopCause::Budget,
            ) => Phase::Failed,
            None => self.ended_by_itself(),
        }
    }

    fn ended_by_itself(self) -> Phase {
        let Some(end) = self.end else {
            // It has not, so its supervisor went.
            return Phase::Stopped;
        };
        let in_order = !end.is_abnormal() || self.rules.follow(end) == Some(Follow::Rest);
        match self.restart {
            // Never started again, whatever its end was like.
            Restart::Temporary if !in_order => Phase::Failed,
            // Had it failed it would have been started again, or parked.
            Restart::Temporary | Restart::Transient | Restart::Permanent => Phase::Completed,
        }
    }
}
