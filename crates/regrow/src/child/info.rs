//! What is known of a child.

use std::sync::Arc;
use std::time::SystemTime;

use regrow_core::{ChildKind, Desired, Health, Phase};

use crate::exit::ExitReason;
use crate::path::ChildPath;
use crate::probe::ProbeReport;

/// The last end of a child.
#[derive(Clone, Debug)]
pub struct LastExit {
    /// How.
    pub reason: ExitReason,
    /// When.
    pub at: SystemTime,
}

/// What is known of a child now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Where it stands.
    pub path: ChildPath,
    /// The last part of the path.
    pub id: Arc<str>,
    /// What it is made of.
    pub kind: ChildKind,
    /// What it is in the user's words.
    pub type_name: Arc<str>,
    /// Words by which it can be found.
    pub tags: Vec<Arc<str>>,
    /// The siblings that it waits for.
    pub depends_on: Vec<Arc<str>>,
    /// Whether the system is not ready while it is down.
    pub required: bool,
    /// What it is doing.
    pub phase: Phase,
    /// What the operator wants.
    pub desired: Desired,
    /// Whether it may be given work.
    pub ready: bool,
    /// What probes say; `unknown` without any.
    pub health: Health,
    /// How its probes stand; empty while nobody lives there.
    pub probes: Vec<ProbeReport>,
    /// Which life it is, or was last; 0 before the first.
    pub generation: u32,
    /// How many times it has been started again after a failure.
    pub restarts: u32,
    /// When its present life came up, or the last one if nobody lives there now.
    pub started_at: Option<SystemTime>,
    /// When it will be started again.
    pub next_start_at: Option<SystemTime>,
    /// How its last life ended.
    pub last_exit: Option<LastExit>,
    /// Why it was given up on, in words.
    pub parked_because: Option<String>,
    /// How many of its earlier lives were given up on as `unresponsive` and still run.
    pub unresponsive: u32,
}
