//! Processes as `/proc` tells of them, by other means than regrow's own.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// One process, told from a later one with the same pid by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) pid: u32,
    parent: u32,
    start_time: String,
    pub(crate) command: String,
}

impl Seen {
    /// The process that has this pid now; a zombie is none.
    pub(crate) fn now(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (!matches!(fields[0], "Z" | "X")).then(|| Self {
            pid,
            parent: fields[1].parse().unwrap_or_default(),
            start_time: fields[19].to_owned(),
            command: command.replace('\0', " "),
        })
    }

    pub(crate) fn lives(&self) -> bool {
        Self::now(self.pid).is_some_and(|now| now.start_time == self.start_time)
    }
}

fn all() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Seen::now).collect()
}

/// Every process whose environment has this variable with this value.
pub(crate) fn marked(name: &str, value: &str) -> Vec<Seen> {
    let mark = format!("{name}={value}");
    let has_it = |seen: &Seen| {
        let environ = fs::read(format!("/proc/{}/environ", seen.pid)).unwrap_or_default();
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark.as_bytes())
    };
    all().into_iter().filter(has_it).collect()
}

/// Every process that descends from this one.
pub(crate) fn descendants(pid: u32) -> Vec<Seen> {
    let all = all();
    let mut family = HashSet::from([pid]);
    let mut found: Vec<Seen> = Vec::new();
    loop {
        let is_new = |seen: &&Seen| family.contains(&seen.parent) && !family.contains(&seen.pid);
        let new: Vec<Seen> = all.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return found;
        }
        family.extend(new.iter().map(|seen| seen.pid));
        found.extend(new);
    }
}

/// Sends a signal; whoever is gone gets none.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    let _ = kill_process(pid, signal);
}
