//! What the system lets us do for agents: for whoever wants to say what works on this machine and what does not.

use std::path::PathBuf;

use crate::os;

/// What works on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// Whether orphans among the descendants can be adopted ([`become_subreaper`](crate::become_subreaper)): without it, one that leaves its group and whose parent
    /// has ended is found by its marks alone.
    pub subreaper: bool,
    /// Whether a signal can be aimed at a process for good; without it, a pid is compared with its start time right before.
    pub pidfd: bool,
    /// Whether processes can be looked at: without it there are no figures, and what leaves its group is not found.
    pub processes: bool,
    /// Whether the memory that several processes share can be told apart.
    pub shared_memory: bool,
    /// Whether each life can have a control group of its own, of version 2.
    pub control_groups: ControlGroups,
}

/// How it is with control groups of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlGroups {
    /// There are none.
    Absent,
    /// The group that we are in is not ours to divide.
    Others {
        /// Its folder.
        path: PathBuf,
    },
    /// There can be groups below this folder.
    Ours {
        /// The folder of the group that we are in.
        path: PathBuf,
        /// Which controllers are missing, of `memory`, `pids` and `cpu`, most of the time because version 1 holds them. Regrow uses none.
        missing: Vec<&'static str>,
    },
}

impl Abilities {
    /// Tries what works here. It makes this program a subreaper where that is possible, without reaping anybody: call it in a program
    /// that has no children.
    #[must_use]
    pub fn here() -> Self {
        os::abilities()
    }
}
