//! The machine as it looks from outside of regrow.

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::processes::{Seen, marked};

/// What of the daemon is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
    /// Open descriptors, without those of the agents' logs.
    pub(crate) descriptors: usize,
    /// Open logs of agents.
    pub(crate) logs: usize,
    /// Children that live.
    pub(crate) children: usize,
    /// Children that have ended and were not waited for.
    pub(crate) zombies: usize,
}

impl Figures {
    /// Of the process that has this pid.
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        let states = states_of_children(pid);
        let open = open_descriptors(pid);
        let is_log = |path: &&PathBuf| path.to_string_lossy().contains("/.regrow/logs/");
        let logs = open.iter().filter(is_log).count();
        let zombies = states.iter().filter(|state| *state == "Z").count();
        Self {
            memory: kilobytes.unwrap_or(0_u64) * 1024,
            descriptors: open.len() - logs,
            logs,
            children: states.len() - zombies,
            zombies,
        }
    }
}

/// What the descriptors of a process stand for.
pub(crate) fn open_descriptors(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect()
}

/// The states of all children of a process, zombies too.
fn states_of_children(parent: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
            let (state, of) = (fields.next()?, fields.next()?);
            (of.parse() == Ok(parent)).then(|| state.to_owned())
        })
        .collect()
}

/// Which of these ports somebody listens on.
pub(crate) fn listened(ports: (u16, u16)) -> Vec<u16> {
    (ports.0..=ports.1)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_err())
        .collect()
}

/// Looks on, and keeps in mind every process there was.
#[derive(Debug)]
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Record>>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen in all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// All that bore the mark, the daemon too.
    pub(crate) processes: HashSet<Seen>,
    /// The most at a time.
    pub(crate) most: usize,
    /// The most memory of the daemon, in bytes.
    pub(crate) peak: u64,
    /// The most descriptors of the daemon.
    pub(crate) descriptors: usize,
}

impl Watch {
    /// Every process that has this folder as its `TMPDIR`, and the daemon with this pid.
    pub(crate) fn on(folder: String, daemon: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Record::default()));
        let (stop, record) = (Arc::clone(&over), Arc::clone(&seen));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let now = marked("TMPDIR", &folder);
                let figures = Figures::of(daemon);
                let mut record = record.lock().expect("nobody panics with it");
                record.most = record.most.max(now.len());
                record.processes.extend(now);
                record.peak = record.peak.max(figures.memory);
                record.descriptors = record.descriptors.max(figures.descriptors);
                drop(record);
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self {
            over,
            seen,
            thread: Some(thread),
        }
    }

    /// What was seen until now; nothing is added later.
    pub(crate) fn end(mut self) -> Record {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("who looks on does not panic");
        }
        self.seen.lock().expect("nobody panics with it").clone()
    }
}
