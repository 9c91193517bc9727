//! Processes as `/proc` shows them.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::abilities::Abilities;

use super::{Identity, Look, Marks, Quarry, Signal};

mod cgroup;
mod limits;
mod usage;

pub(crate) use limits::{limit_descendants, own_limit, set_limit, set_nice};
pub(super) use usage::{members, proportional_memory, reading};

/// No environment larger than this is read; the system allows about 2 MiB.
const MAX_ENVIRON: u64 = 4 * 1024 * 1024;

/// Whether this program adopts its orphaned descendants.
static SUBREAPER: AtomicBool = AtomicBool::new(false);

/// Whether it has since before it had a child: then nobody can have been orphaned past it.
static FROM_THE_START: AtomicBool = AtomicBool::new(false);

/// One line of the table of processes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    identity: Identity,
    parent: i32,
    group: i32,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Alive,
    Zombie,
}

/// Every process of the machine that can be seen.
#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    /// How many ended while the table was read.
    vanished: usize,
}

impl Table {
    fn read() -> io::Result<Self> {
        let mut table = Self::default();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match read_entry(pid) {
                Some(entry) => table.entries.push(entry),
                None => table.vanished += 1,
            }
        }
        Ok(table)
    }

    /// All that `picked` picks, and their descendants; neither us nor zombies.
    fn family(&self, picked: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let us = own_pid();
        let mut children: HashMap<i32, Vec<&Entry>> = HashMap::new();
        for entry in &self.entries {
            children.entry(entry.parent).or_default().push(entry);
        }
        let mut todo: Vec<&Entry> = self.entries.iter().filter(|entry| picked(entry)).collect();
        let mut family = HashMap::new();
        while let Some(entry) = todo.pop() {
            let pid = entry.identity.pid;
            let ours_to_end = pid != us && pid != 1;
            if ours_to_end && family.insert(pid, *entry).is_none() {
                todo.extend(children.get(&pid).into_iter().flatten());
            }
        }
        let mut family: Vec<Entry> = family.into_values().collect();
        family.sort_by_key(|entry| entry.identity);
        family
    }

    fn get(&self, pid: i32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.identity.pid == pid)
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn read_entry(pid: i32) -> Option<Entry> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &stat)
}

/// Reads `pid (name) state parent group …`; the name may hold anything, `)` too.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Entry> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let life = match *fields.first()? {
        "Z" | "X" | "x" => Life::Zombie,
        _ => Life::Alive,
    };
    Some(Entry {
        identity: Identity {
            pid,
            start_time: fields.get(19)?.parse().ok()?,
        },
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        life,
    })
}

/// What the environment of a process says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bearing {
    Ours,
    Others,
    /// It ended before it could be read. What it was, and whether it left a child, is not known.
    Vanished,
}

/// Whether the process was started with one of these marks.
fn bearing(process: Identity, marks: &[Marks]) -> Bearing {
    let pid = process.pid;
    let mut environ = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(MAX_ENVIRON).read_to_end(&mut environ));
    if read.is_ok() && marks.iter().any(|marks| environ_bears(&environ, marks)) {
        return if may_end(pid) {
            Bearing::Ours
        } else {
            Bearing::Others
        };
    }
    // One that has ended has no environment any more; nor has a thread of the kernel, which lives.
    if lives(process) {
        Bearing::Others
    } else {
        Bearing::Vanished
    }
}

/// Whether it is a process of our own user, or we may end everybody's.
fn may_end(pid: i32) -> bool {
    let user = rustix::process::geteuid();
    let owner = fs::metadata(format!("/proc/{pid}")).map(|dir| dir.uid());
    user.is_root() || owner.is_ok_and(|owner| owner == user.as_raw())
}

fn environ_bears(environ: &[u8], marks: &Marks) -> bool {
    let holds = |name: &str, value: &str| {
        let wanted = format!("{name}={value}");
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    };
    match marks {
        Marks::Run { instance } => holds("REGROW_INSTANCE", instance),
        Marks::Life {
            instance,
            agent,
            generation,
        } => {
            holds("REGROW_INSTANCE", instance)
                && holds("REGROW_AGENT_ID", agent)
                && holds("REGROW_GENERATION", &generation.to_string())
        }
    }
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

pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

pub(super) fn descendants(leader: Identity, limit: usize) -> io::Result<Vec<Identity>> {
    let family = Table::read()?.family(|entry| entry.identity == leader);
    let descendants = family.into_iter().map(|entry| entry.identity);
    Ok(descendants
        .filter(|identity| *identity != leader)
        .take(limit)
        .collect())
}

/// What one look at all processes shows of a quarry.
struct Sight {
    table: Table,
    /// What belongs to it, with all descendants.
    family: Vec<Entry>,
    /// How many processes ended before it was clear whether they belong to it.
    vanished: usize,
}

impl Sight {
    fn of(quarry: &Quarry) -> io::Result<Self> {
        Ok(Self::in_table(quarry, Table::read()?))
    }

    fn in_table(quarry: &Quarry, table: Table) -> Self {
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
        let leaders = quarry.leaders.iter().filter(still_ours);
        let groups: HashSet<i32> = leaders.map(|leader| leader.pid).collect();
        let vanished = Cell::new(table.vanished);
        let family = table.family(|entry| {
            if entry.identity.start_time < quarry.not_before {
                return false;
            }
            if known.contains(&entry.identity) || groups.contains(&entry.group) {
                return true;
            }
            let bearing = match entry.life {
                Life::Alive => bearing(entry.identity, &quarry.marks),
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

    fn look(&self) -> Look {
        let living = self.family.iter().filter(|entry| entry.life == Life::Alive);
        let found = living.map(|entry| entry.identity).collect();
        Look {
            found,
            vanished: self.vanished,
        }
    }
}

/// What belongs to `quarry` and lives.
pub(super) fn find(quarry: &Quarry) -> io::Result<Vec<Identity>> {
    Ok(Sight::of(quarry)?.look().found)
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
    Ok(sight.look())
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
    FROM_THE_START.store(!super::has_own(), Ordering::Release);
    let _runtime = runtime.enter();
    let mut children = signal(SignalKind::child())?;
    runtime.spawn(async move {
        while children.recv().await.is_some() {
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

/// Whether nothing can be left of a life whose leaders were these, as one small file tells.
///
/// Where all orphans are adopted, whatever a life leaves behind hangs below a child of ours that tokio does not wait for; and those
/// are children of the first thread, as long as that lives. The list can miss one if another goes while it is read, so it is read
/// twice.
pub(super) fn nothing_is_left(leaders: &[Identity]) -> bool {
    let gone = |leader: &Identity| start_time(leader.pid) != Some(leader.start_time);
    FROM_THE_START.load(Ordering::Acquire)
        && leaders.iter().all(gone)
        && only_own_children()
        && only_own_children()
}

/// Whether tokio waits for every child of the first thread.
fn only_own_children() -> bool {
    let us = own_pid();
    fs::read_to_string(format!("/proc/self/task/{us}/children"))
        .is_ok_and(|children| all_own(&children, super::is_own))
}

fn all_own(children: &str, is_own: impl Fn(i32) -> bool) -> bool {
    let mut pids = children.split_ascii_whitespace();
    pids.all(|pid| pid.parse().is_ok_and(&is_own))
}

/// Kills the orphans that we adopted, with all that descends from them; returns what it had to kill.
pub(super) fn kill_adopted() -> io::Result<Vec<Identity>> {
    if !SUBREAPER.load(Ordering::Acquire) {
        return Ok(Vec::new());
    }
    let roots: HashSet<Identity> = adopted()?.iter().map(|entry| entry.identity).collect();
    let table = Table::read()?;
    let family = table.family(|entry| roots.contains(&entry.identity));
    kill_family(&table, &family);
    let living = family.iter().filter(|entry| entry.life == Life::Alive);
    Ok(living.map(|entry| entry.identity).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_does_not_confuse_the_parser() {
        let stat = b"42 (a) b) (c) S 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2";
        let entry = parse_stat(42, stat).unwrap();
        assert_eq!(
            entry.identity,
            Identity {
                pid: 42,
                start_time: 98765
            }
        );
        assert_eq!(
            (entry.parent, entry.group, entry.life),
            (7, 42, Life::Alive)
        );
    }

    #[test]
    fn only_children_that_are_waited_for_are_nobody_else() {
        let is_own = |pid| [7, 12].contains(&pid);
        for (children, all) in [
            ("", true),
            ("7 12 ", true),
            ("12 ", true),
            ("7 13 12 ", false),
            ("1 ", false),
            ("7 odd ", false),
        ] {
            assert_eq!(all_own(children, is_own), all, "{children:?}");
        }
    }

    #[test]
    fn where_orphans_go_elsewhere_something_may_be_left() {
        assert!(!SUBREAPER.load(Ordering::Acquire));
        assert!(!nothing_is_left(&[]));
    }

    #[test]
    fn we_can_read_ourselves() {
        assert!(Table::read().unwrap().get(own_pid()).is_some());
        assert!(!boot_id().is_empty());
    }

    #[test]
    fn marks_are_compared_whole() {
        let life = |agent: &str, generation| Marks::Life {
            instance: "run".to_owned(),
            agent: agent.to_owned(),
            generation,
        };
        let environ = b"A=1\0REGROW_INSTANCE=run\0REGROW_AGENT_ID=web\0REGROW_GENERATION=12\0";
        assert!(environ_bears(environ, &life("web", 12)));
        assert!(!environ_bears(environ, &life("web", 1)));
        assert!(!environ_bears(environ, &life("we", 12)));
        assert!(environ_bears(
            environ,
            &Marks::Run {
                instance: "run".to_owned()
            }
        ));
        assert!(!environ_bears(
            environ,
            &Marks::Run {
                instance: "ru".to_owned()
            }
        ));
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
            not_before: 5,
        };
        let family = |entries| {
            let table = Table {
                entries,
                vanished: 0,
            };
            Sight::in_table(&quarry, table).look().found
        };
        let member = entry(999_002, 6, 999_001);
        assert_eq!(family(vec![member]), [member.identity]);
        assert_eq!(
            family(vec![entry(999_001, 7, 999_001), entry(999_002, 8, 999_001)]),
            []
        );
    }
}
