//! Processes as `/proc` shows them.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::abilities::Abilities;

use super::{Identity, Look, Quarry, Signal};

mod cgroup;
mod groups;
mod limits;
mod table;
mod usage;

pub(crate) use groups::are_empty;
pub(crate) use groups::{Groups, LifeGroup, groups_of, remove_groups};
pub(crate) use limits::{limit_descendants, own_limit, set_limit, set_nice};
use table::{Bearing, Entry, Life, Table, parse_stat, read_entry};
pub(super) use usage::{members, proportional_memory, reading};

/// No environment larger than this is read; the system allows about 2 MiB.
const MAX_ENVIRON: u64 = 4 * 1024 * 1024;

/// Whether this program adopts its orphaned descendants.
static SUBREAPER: AtomicBool = AtomicBool::new(false);

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// When the process was started; `None` if there is none.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    read_entry(pid).map(|entry| entry.identity.start_time)
}

/// Whether this very process has not ended.
pub(super) fn lives(process: Identity) -> bool {
    read_entry(process.pid)
        .is_some_and(|entry| entry.identity == process && entry.life == Life::Alive)
}

/// Waits until this child of ours, which is not reaped, has ended; `false` where the system does not tell of one alone.
pub(super) async fn ended(child: Identity) -> bool {
    let pidfd = Pid::from_raw(child.pid)
        .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    // It becomes readable as a pipe does, and is never read.
    match pidfd.map(Receiver::from_owned_fd_unchecked) {
        Some(Ok(pidfd)) => pidfd.readable().await.is_ok(),
        Some(Err(_)) | None => false,
    }
}

pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

pub(super) fn descendants(leader: Identity, limit: usize) -> io::Result<Vec<Identity>> {
    let family = Table::now()?.family(|_, entry| entry.identity == leader);
    let descendants = family.into_iter().map(|entry| entry.identity);
    Ok(descendants
        .filter(|identity| *identity != leader)
        .take(limit)
        .collect())
}

/// What one look at all processes shows of a quarry.
struct Sight {
    table: Arc<Table>,
    /// What belongs to it, with all descendants.
    family: Vec<Entry>,
    /// How many processes ended before it was clear whether they belong to it.
    vanished: usize,
}

impl Sight {
    fn of(quarry: &Quarry) -> io::Result<Self> {
        Ok(Self::in_table(quarry, Table::now()?))
    }

    fn in_table(quarry: &Quarry, table: Arc<Table>) -> Self {
        let known: HashSet<Identity> = quarry
            .leaders
            .iter()
            .chain(&quarry.noted)
            .copied()
            .collect();
        // While a group has members its number is nobody's pid but its leader's. So if somebody
        // else has the pid, then ours is gone and the group is a stranger's.
        let still_ours = |leader: &&Identity| {
            table
                .get(leader.pid)
                .is_none_or(|entry| entry.identity == **leader)
        };
        // Looked at after the table was: one of these that is in the table is that very process, or has ended.
        let members = groups::members(&quarry.groups);
        let leaders = quarry.leaders.iter().filter(still_ours);
        let groups: HashSet<i32> = leaders.map(|leader| leader.pid).collect();
        let vanished = Cell::new(table.vanished);
        let family = table.family(|index, entry| {
            if entry.identity.start_time < quarry.not_before {
                return false;
            }
            let is_member = members.contains(&entry.identity.pid);
            if is_member || known.contains(&entry.identity) || groups.contains(&entry.group) {
                return true;
            }
            let bearing = match entry.life {
                Life::Alive => table.bearing(index, &quarry.marks),
                Life::Zombie => Bearing::Others,
            };
            match bearing {
                Bearing::Ours => true,
                Bearing::Others => false,
                Bearing::Vanished => {
                    vanished.set(vanished.get() + 1);
                    false
                }
            }
        });
        Self {
            vanished: vanished.get(),
            table,
            family,
        }
    }

    fn look(&self, quarry: &Quarry) -> Look {
        let ended = self.table.entries.iter().filter(|entry| {
            entry.life == Life::Zombie && entry.identity.start_time >= quarry.not_before
        });
        let ended = ended.map(|entry| entry.identity).collect();
        let living = self.family.iter().filter(|entry| entry.life == Life::Alive);
        let found = living.map(|entry| entry.identity).collect();
        Look {
            found,
            vanished: self.vanished,
            ended,
        }
    }
}

/// What belongs to `quarry` and lives.
pub(super) fn find(quarry: &Quarry) -> io::Result<Vec<Identity>> {
    Ok(Sight::of(quarry)?.look(quarry).found)
}

pub(super) fn ask_all(quarry: &Quarry) -> io::Result<Vec<Identity>> {
    let found = find(quarry)?;
    for process in &found {
        signal_one(*process, Signal::Term);
        signal_one(*process, Signal::Cont);
    }
    Ok(found)
}

/// Kills what belongs to `quarry` and reaps what we adopted of it; returns what it had to kill.
pub(super) fn kill_all(quarry: &Quarry) -> io::Result<Look> {
    let sight = Sight::of(quarry)?;
    kill_family(&sight.table, &sight.family);
    groups::kill(&quarry.groups);
    Ok(sight.look(quarry))
}

fn kill_family(table: &Table, family: &[Entry]) {
    let members: HashSet<Identity> = family.iter().map(|entry| entry.identity).collect();
    for group in whole_groups(table, family, &members) {
        // One signal for all of a group outruns a member that forks faster than we look.
        if let Some(group) = Pid::from_raw(group) {
            let killed = rustix::process::kill_process_group(group, Signal::Kill.into());
            report(killed, "group", group);
        }
    }
    for entry in family {
        match entry.life {
            Life::Alive => signal_one(entry.identity, Signal::Kill),
            Life::Zombie => {}
        }
        if entry.parent == own_pid() {
            reap(entry.identity.pid);
        }
    }
}

/// The groups of which every member is to be killed; never our own.
fn whole_groups(table: &Table, family: &[Entry], members: &HashSet<Identity>) -> HashSet<i32> {
    let alive = family.iter().filter(|entry| entry.life == Life::Alive);
    let mut groups: HashSet<i32> = alive.map(|entry| entry.group).collect();
    groups.remove(&rustix::process::getpgrp().as_raw_nonzero().get());
    let is_stranger =
        |entry: &Entry| entry.life == Life::Alive && !members.contains(&entry.identity);
    for entry in table.entries.iter().filter(|entry| is_stranger(entry)) {
        // Who has ended meanwhile may well have been a member, and harms nobody.
        let pid = entry.identity.pid;
        if groups.contains(&entry.group) && start_time(pid) == Some(entry.identity.start_time) {
            groups.remove(&entry.group);
        }
    }
    // Right before the kill: a number that has become a stranger's pid is a stranger's group.
    groups.retain(|group| read_entry(*group).is_none_or(|leader| !is_stranger(&leader)));
    groups
}

/// Signals exactly this process, or nobody.
pub(super) fn signal_one(process: Identity, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return;
    };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        // The descriptor names one process for good: who it is, is looked up after it was opened.
        Ok(pidfd) if start_time(process.pid) == Some(process.start_time) => {
            report(
                rustix::process::pidfd_send_signal(pidfd, signal.into()),
                "process",
                pid,
            );
        }
        Ok(_stranger) => {}
        Err(rustix::io::Errno::SRCH) => {}
        Err(_no_pidfd) => {
            if start_time(process.pid) == Some(process.start_time) {
                report(
                    rustix::process::kill_process(pid, signal.into()),
                    "process",
                    pid,
                );
            }
        }
    }
}

fn report(result: rustix::io::Result<()>, what: &str, pid: Pid) {
    match result {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => {
            tracing::debug!(pid = pid.as_raw_nonzero(), %error, "failed to signal a {what}");
        }
    }
}

/// Takes the exit status of an orphan that we adopted, if it ended. Never of a child that tokio waits for.
fn reap(pid: i32) {
    if super::is_own(pid) {
        return;
    }
    if let Some(pid) = Pid::from_raw(pid) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if let Err(error) = rustix::process::waitid(WaitId::Pid(pid), options) {
            tracing::trace!(pid = pid.as_raw_nonzero(), %error, "nothing to reap");
        }
    }
}

pub(super) fn abilities() -> Abilities {
    let us = super::identify(own_pid());
    let pidfd = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
    Abilities {
        subreaper: rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok(),
        pidfd: pidfd.is_ok(),
        processes: us.and_then(reading).is_some(),
        shared_memory: us.and_then(proportional_memory).is_some(),
        control_groups: cgroup::control_groups(),
    }
}

pub(super) fn become_subreaper(runtime: &Handle) -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    if SUBREAPER.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let _runtime = runtime.enter();
    let mut children = signal(SignalKind::child())?;
    runtime.spawn(async move {
        while children.recv().await.is_some() {
            // Most of those who end are awaited by somebody.
            if is_alone() == Some(true) {
                continue;
            }
            match super::blocking(adopted).await {
                Ok(adopted) => adopted.iter().for_each(reap_if_ended),
                Err(error) => tracing::debug!(%error, "failed to look for ended orphans"),
            }
        }
    });
    Ok(())
}

fn reap_if_ended(entry: &Entry) {
    match entry.life {
        Life::Zombie => reap(entry.identity.pid),
        Life::Alive => {}
    }
}

/// Whether nobody of `quarry` can be left, by a look at our own children alone; `None` where that does not tell.
///
/// A subreaper becomes the parent of whoever loses its own, so whoever is left of a life whose leader is gone descends from a child of
/// ours that tokio does not wait for. The list of these is short, and unlike a walk over all processes it can be read as of one moment:
/// the kernel may skip an entry only where one that it has told before is reaped meanwhile, and that one is in no later reading. So two
/// readings that are the same are true, however much comes and goes elsewhere on the machine.
pub(super) fn is_clear(quarry: &Quarry) -> Option<bool> {
    if !SUBREAPER.load(Ordering::Acquire) {
        return None;
    }
    let Some(before) = child_pids()? else {
        return Some(false);
    };
    let strays = before.iter().filter(|pid| !super::is_own(**pid));
    let entries: Vec<Option<Entry>> = strays.map(|pid| read_entry(*pid)).collect();
    let is_restless = entries
        .iter()
        .any(|entry| entry.is_none_or(|entry| entry.life == Life::Zombie));
    let entries: Vec<Entry> = entries.into_iter().flatten().collect();
    entries.iter().for_each(reap_if_ended);
    let sight = Sight::in_table(quarry, Arc::new(Table::of(entries)));
    let is_quiet = sight.vanished == 0 && sight.family.is_empty();
    let is_quiet = is_quiet && are_empty(&quarry.groups);
    Some(!is_restless && is_quiet && child_pids()? == Some(before))
}

/// Whether we have adopted nobody, now; `None` where that does not tell whether anybody is left of a life whose leader is gone. As true as
/// [`is_clear`], and quick enough for a worker of the runtime: two short files are read, however many processes there are.
///
/// Whoever loses its parent comes to the first thread of ours that lives, which is the one that the process began with.
pub(super) fn is_alone() -> Option<bool> {
    if !SUBREAPER.load(Ordering::Acquire) {
        return None;
    }
    let path = format!("/proc/self/task/{}/children", own_pid());
    let before = fs::read_to_string(&path).ok()?;
    let pids = before.split_ascii_whitespace().map(str::parse);
    let is_alone = super::knows_all(pids.map(Result::unwrap_or_default));
    Some(is_alone && fs::read_to_string(&path).ok()? == before)
}

/// The pids of our children: `None` where the system does not tell, and `Some(None)` when one of our threads has ended meanwhile.
#[expect(clippy::option_option, reason = "not now is not never")]
fn child_pids() -> Option<Option<Vec<i32>>> {
    static IS_TOLD: OnceLock<bool> = OnceLock::new();
    let is_told = || Path::new("/proc/thread-self/children").exists();
    if !IS_TOLD.get_or_init(is_told) {
        return None;
    }
    let mut pids = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let children = thread.and_then(|it| fs::read_to_string(it.path().join("children")));
        let Ok(children) = children else {
            return Some(None);
        };
        let children = children.split_ascii_whitespace();
        pids.extend(children.filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Some(Some(pids))
}

/// The children of ours that tokio does not wait for.
fn adopted() -> io::Result<Vec<Entry>> {
    let mut adopted = Vec::new();
    for thread in fs::read_dir("/proc/self/task")?.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let pids = children
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok());
        adopted.extend(pids.filter_map(read_entry));
    }
    let us = own_pid();
    adopted.retain(|entry| entry.parent == us && !super::is_own(entry.identity.pid));
    Ok(adopted)
}

/// Kills the orphans that we adopted, with all that descends from them; returns what it had to kill.
pub(super) fn kill_adopted() -> io::Result<Vec<Identity>> {
    if !SUBREAPER.load(Ordering::Acquire) {
        return Ok(Vec::new());
    }
    let roots: HashSet<Identity> = adopted()?.iter().map(|entry| entry.identity).collect();
    let table = Table::now()?;
    let family = table.family(|_, entry| roots.contains(&entry.identity));
    kill_family(&table, &family);
    let living = family.iter().filter(|entry| entry.life == Life::Alive);
    Ok(living.map(|entry| entry.identity).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Marks, WhoseRun};
    use super::*;

    #[test]
    fn we_can_read_ourselves() {
        assert!(Table::now().unwrap().get(own_pid()).is_some());
        assert!(!boot_id().is_empty());
    }

    #[test]
    fn the_group_of_a_reused_pid_is_left_alone() {
        let entry = |pid, start_time, group| Entry {
            identity: Identity { pid, start_time },
            parent: 1,
            group,
            life: Life::Alive,
        };
        let quarry = Quarry {
            marks: vec![Marks::Run {
                instance: "nobody".to_owned(),
            }],
            leaders: vec![Identity {
                pid: 999_001,
                start_time: 5,
            }],
            noted: vec![],
            groups: vec![],
            not_before: 5,
            run: WhoseRun::Ours,
        };
        let family = |entries| {
            let table = Arc::new(Table::of(entries));
            Sight::in_table(&quarry, table).look(&quarry).found
        };
        let member = entry(999_002, 6, 999_001);
        assert_eq!(family(vec![member]), [member.identity]);
        assert_eq!(
            family(vec![entry(999_001, 7, 999_001), entry(999_002, 8, 999_001)]),
            []
        );
    }
}
