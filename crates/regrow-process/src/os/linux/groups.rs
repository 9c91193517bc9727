//! A control group of version 2 for each life: whoever is in it belongs to that life, whatever it has become.
//!
//! A process is put into the group of its life from outside, right after its spawn, and what it starts from then on is born there.
//! `docs/adr/0024-a-control-group-per-life.md` says what that costs, and what it does not hold.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::super::{Identity, identify};
use super::cgroup::control_groups;
use super::{own_pid, start_time};
use crate::abilities::ControlGroups;

/// What the folders of runs begin with.
const OURS: &str = "regrow-";

/// The group that we are in, if it is ours to divide.
fn own() -> Option<PathBuf> {
    match control_groups() {
        ControlGroups::Ours { path, .. } => Some(path),
        ControlGroups::Others { .. } | ControlGroups::Absent => None,
    }
}

/// The folder of the groups of one run: it tells whose run it is, and by which process, so that others know when that is dead.
fn name(instance: &str, process: Identity) -> String {
    let Identity { pid, start_time } = process;
    format!("{OURS}{pid}-{start_time}-{instance}")
}

/// The process in the name of a folder, and the run.
fn parse(name: &str) -> Option<(Identity, &str)> {
    let mut parts = name.strip_prefix(OURS)?.splitn(3, '-');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (pid, start_time) = (i32::try_from(number()?).ok()?, number()?);
    Some((Identity { pid, start_time }, parts.next()?))
}

/// The folders of all runs.
fn runs(own: &Path) -> Vec<(PathBuf, Identity, String)> {
    let folders = below(own).into_iter();
    let run = folders.filter_map(|folder| {
        let (process, instance) = parse(folder.file_name()?.to_str()?)?;
        let instance = instance.to_owned();
        Some((folder, process, instance))
    });
    run.collect()
}

/// The groups of a run, if it has left some: below our own group, or where it has written down that they are.
pub(crate) fn groups_of(instance: &str, recorded: Option<&Path>) -> Option<PathBuf> {
    let beside = own().map(|own| runs(&own)).unwrap_or_default();
    let mut beside = beside.into_iter();
    let found = beside.find(|(_, _, of)| of == instance);
    let found = found.map(|(folder, _, _)| folder);
    found.or_else(|| elsewhere(instance, recorded?))
}

/// A folder that was written down, if it is there and its name says that it is that run's.
fn elsewhere(instance: &str, folder: &Path) -> Option<PathBuf> {
    let (_, of) = parse(folder.file_name()?.to_str()?)?;
    let is_group = of == instance && folder.join("cgroup.procs").is_file();
    is_group.then(|| folder.to_owned())
}

/// Removes what runs that are dead have left in this folder, as far as nobody is in it: who is killed cleans up nothing.
fn tidy(own: &Path) {
    for (folder, process, _) in runs(own) {
        if start_time(process.pid) != Some(process.start_time) {
            remove_groups(&folder);
        }
    }
}

/// Removes a group and those in it, as far as nobody is left in them.
pub(crate) fn remove_groups(folder: &Path) {
    for group in below(folder) {
        remove_groups(&group);
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(folder = %folder.display(), %error, "a control group stays");
        }
        Ok(()) | Err(_) => {}
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Who is in one of these groups, or below one.
pub(super) fn members(groups: &[PathBuf]) -> HashSet<i32> {
    let mut members = HashSet::new();
    let mut todo = groups.to_vec();
    while let Some(group) = todo.pop() {
        let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0 is one that cannot be seen from here.
        let pids = pids.lines().filter_map(|pid| pid.parse::<i32>().ok());
        members.extend(pids.filter(|pid| *pid != 0));
        todo.extend(below(&group));
    }
    members
}

/// Whether somebody lives in one of these groups, or below one.
pub(crate) fn are_empty(groups: &[PathBuf]) -> bool {
    let is_populated = |group: &PathBuf| {
        let events = fs::read_to_string(group.join("cgroup.events"));
        events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    };
    !groups.iter().any(is_populated)
}

/// Kills all in these groups at once, however fast they fork.
pub(super) fn kill(groups: &[PathBuf]) {
    for group in groups {
        match fs::write(group.join("cgroup.kill"), "1") {
            // Before Linux 5.14 there is no such file; each was killed by itself.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(group = %group.display(), %error, "failed to kill a control group");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// The groups of one run.
#[derive(Debug)]
pub(crate) struct Groups {
    folder: PathBuf,
    /// While one process is moved the others can wait: the system moves one at a time, and takes some milliseconds for each.
    turn: Arc<Mutex<()>>,
}

impl Groups {
    /// Those of `instance`, where they can be had.
    pub(crate) fn open(instance: &str) -> Option<Self> {
        let own = own()?;
        tidy(&own);
        let folder = own.join(name(instance, identify(own_pid())?));
        let turn = Arc::default();
        Some(Self { folder, turn })
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A group of this name for `leader`, a child of ours that is not reaped before [`LifeGroup::close`]. It is put there as soon as that
    /// can be.
    pub(crate) fn enter(&self, name: &str, leader: Identity) -> Option<LifeGroup> {
        let path = self.folder.join(name);
        // One that is there already is somebody else's.
        let made = match fs::create_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => fs::create_dir(&path),
        };
        if let Err(error) = made {
            tracing::debug!(group = %path.display(), %error, "no control group for it");
            return None;
        }
        let open = Arc::new(Mutex::new(Open::Yes));
        tokio::spawn(enter(
            Arc::clone(&self.turn),
            Arc::clone(&open),
            path.clone(),
            leader,
        ));
        Some(LifeGroup { path, open })
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        remove_groups(&self.folder);
    }
}

/// Whether a process may still be put into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

/// The group of one life.
#[derive(Debug)]
pub(crate) struct LifeGroup {
    path: PathBuf,
    /// Held while its leader is moved.
    open: Arc<Mutex<Open>>,
}

impl LifeGroup {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody is put into it any more: then its leader may be reaped, and the number be a stranger's.
    pub(crate) async fn close(&self) {
        *self.open.lock().await = Open::No;
    }
}

impl Drop for LifeGroup {
    fn drop(&mut self) {
        if let Ok(mut open) = self.open.try_lock() {
            *open = Open::No;
        }
        let path = std::mem::take(&mut self.path);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_groups(&path))),
            Err(_no_runtime) => remove_groups(&path),
        }
    }
}

async fn enter(turn: Arc<Mutex<()>>, open: Arc<Mutex<Open>>, path: PathBuf, leader: Identity) {
    let _turn = turn.lock_owned().await;
    let open = open.lock_owned().await;
    let moved = super::super::blocking(move || put(&open, &path, leader)).await;
    if let Err(error) = moved {
        tracing::debug!(pid = leader.pid, %error, "failed to put a process into its control group");
    }
}

/// Puts `leader` into the group at `path`.
fn put(open: &OwnedMutexGuard<Open>, path: &Path, leader: Identity) -> io::Result<()> {
    let is_there = || start_time(leader.pid) == Some(leader.start_time);
    if **open == Open::No || !is_there() {
        return Ok(());
    }
    let pid = leader.pid.to_string();
    match fs::write(path.join("cgroup.procs"), &pid) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
        moved => moved?,
    }
    // Nobody reaps it meanwhile, but where a runtime is torn down.
    if !is_there()
        && members(&[path.to_owned()]).contains(&leader.pid)
        && let Some(ours) = path.ancestors().nth(2)
    {
        fs::write(ours.join("cgroup.procs"), &pid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_whose_it_is() {
        let process = Identity {
            pid: 7,
            start_time: 99,
        };
        let folder = name("a-run", process);
        assert_eq!(parse(&folder), Some((process, "a-run")));
        assert_eq!(parse("regrow-7-99"), None);
        assert_eq!(parse("regrow-a-run"), None);
        assert_eq!(parse("system.slice"), None);
    }

    #[test]
    fn what_dead_runs_have_left_is_removed_and_that_of_others_is_not() {
        let own = tempfile::tempdir().unwrap();
        let us = identify(own_pid()).unwrap();
        let before = Identity {
            start_time: us.start_time - 1,
            ..us
        };
        let [dead, ours] = [before, us].map(|process| own.path().join(name("run", process)));
        let strangers = own.path().join("system.slice");
        for folder in [dead.join("a.1/below"), ours.join("a.1"), strangers.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        tidy(own.path());
        assert!(!dead.exists() && ours.join("a.1").exists() && strangers.exists());
    }

    #[test]
    fn a_folder_that_was_written_down_is_a_group_and_of_that_run() {
        let own = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = own.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("cgroup.procs"), "").unwrap();
            folder
        };
        let [ours, others, strange] = ["regrow-7-99-a", "regrow-7-99-b", "a"].map(folder);
        assert_eq!(elsewhere("a", &ours), Some(ours.clone()));
        assert_eq!(elsewhere("a", &others), None);
        assert_eq!(elsewhere("a", &strange), None);
        assert_eq!(elsewhere("a", &own.path().join("regrow-8-99-a")), None);
        fs::remove_file(ours.join("cgroup.procs")).unwrap();
        assert_eq!(elsewhere("a", &ours), None);
    }
}
