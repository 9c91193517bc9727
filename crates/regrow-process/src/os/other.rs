//! Systems without `/proc`: only the process group is known, so whatever leaves it is lost.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use regrow_core::figures::Reading;
use rustix::process::Pid;
use tokio::runtime::Handle;

use crate::abilities::{Abilities, ControlGroups};
use crate::limits::{Bound, Resource};

use super::{Crew, Identity, Look, Member, Quarry, Signal, Strangers};

/// Not told by the system in a way that is safe to read.
pub(super) fn start_time(_pid: i32) -> Option<u64> {
    None
}

/// Whether its group has members.
pub(super) fn lives(process: Identity) -> bool {
    Pid::from_raw(process.pid)
        .is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
}

/// Not told of one alone.
pub(super) async fn ended(_child: Identity) -> bool {
    false
}

pub(super) fn boot_id() -> String {
    String::new()
}

pub(super) fn descendants(_leader: Identity, _limit: usize) -> io::Result<Vec<Identity>> {
    Ok(Vec::new())
}

pub(super) fn members(
    _instance: &str,
    _crews: &[Crew],
    _strangers: &mut Strangers,
) -> io::Result<Vec<Vec<Member>>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn reading(_process: Identity) -> Option<Reading> {
    None
}

pub(super) fn proportional_memory(_process: Identity) -> Option<u64> {
    None
}

pub(crate) fn own_limit(_resource: Resource) -> Option<u64> {
    None
}

pub(crate) fn set_limit(_leader: Identity, _bound: Bound) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn set_nice(_leader: Identity, _nice: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn limit_descendants(_leader: Identity, _bounds: &[Bound], _nice: Option<i32>) {}

/// The leader stands for its group while the group has members.
pub(super) fn find(quarry: &Quarry) -> io::Result<Vec<Identity>> {
    Ok(quarry
        .leaders
        .iter()
        .copied()
        .filter(|leader| lives(*leader))
        .collect())
}

pub(super) fn ask_all(quarry: &Quarry) -> io::Result<Vec<Identity>> {
    signal_all(quarry, Signal::Term)
}

pub(super) fn kill_all(quarry: &Quarry) -> io::Result<Look> {
    signal_all(quarry, Signal::Kill)?;
    Ok(Look {
        found: find(quarry)?,
        vanished: 0,
        ended: HashSet::new(),
    })
}

/// Not told by the system.
pub(super) fn is_alone() -> Option<bool> {
    None
}

/// Not told by the system.
pub(super) fn is_clear(_quarry: &Quarry) -> Option<bool> {
    None
}

fn signal_all(quarry: &Quarry, signal: Signal) -> io::Result<Vec<Identity>> {
    let found = find(quarry)?;
    for leader in &found {
        super::signal_group(*leader, signal)?;
    }
    Ok(found)
}

pub(super) fn abilities() -> Abilities {
    Abilities {
        subreaper: false,
        pidfd: false,
        processes: false,
        shared_memory: false,
        control_groups: ControlGroups::Absent,
    }
}

/// Nobody is known outside of a group, so there is nobody to signal.
pub(super) fn signal_one(_process: Identity, _signal: Signal) {}

pub(super) fn become_subreaper(_runtime: &Handle) -> io::Result<()> {
    Ok(())
}

pub(super) fn kill_adopted() -> io::Result<Vec<Identity>> {
    Ok(Vec::new())
}

/// There are none.
#[derive(Debug)]
pub(crate) enum Groups {}

impl Groups {
    pub(crate) fn open(_instance: &str) -> Option<Self> {
        None
    }

    pub(crate) fn folder(&self) -> &Path {
        match *self {}
    }

    pub(crate) fn enter(&self, _name: &str, _leader: Identity) -> Option<LifeGroup> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum LifeGroup {}

impl LifeGroup {
    pub(crate) fn path(&self) -> &Path {
        match *self {}
    }

    pub(crate) async fn close(&self) {
        match *self {}
    }
}

pub(crate) fn groups_of(_instance: &str, _recorded: Option<&Path>) -> Option<PathBuf> {
    None
}

pub(crate) fn remove_groups(_folder: &Path) {}

pub(super) fn are_empty(_groups: &[PathBuf]) -> bool {
    true
}
