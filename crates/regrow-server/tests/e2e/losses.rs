//! Whatever becomes of what regrow writes, its agents go on, nothing grows, and the loss is shown.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::kit::{Daemon, Team, until};

/// One that ends all the time, and is started again all the time.
const RESTLESS: &str = "\
defaults: { start_window: 10ms, restart: { base: 5ms, max: 5ms, max_restarts: 10000, within: 60s } }
agents:
  restless: { command: 'sleep 0.02; exit 1' }
";

/// Everything is said, so that every event is a line.
const LOUD: (&str, &str) = ("REGROW_LOG", "trace");

/// It lives so much longer.
#[track_caller]
fn lives_on(daemon: &Daemon) {
    let generation = || daemon.agent("restless")["generation"].as_u64().unwrap();
    let before = generation();
    until("it was restarted ten times", || {
        (generation() >= before + 10).then_some(())
    });
}

/// How much the metrics say that this sink has lost, once it is something.
#[track_caller]
fn until_lost(daemon: &Daemon, sink: &str) -> u64 {
    let series =
        format!("regrow_telemetry_dropped_total{{sink=\"{sink}\",reason=\"queue_full\"}} ");
    until(&format!("a loss of {sink} is counted"), || {
        let metrics = daemon.get("/metrics").body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&*series))?;
        line.parse().ok().filter(|lost| *lost > 0)
    })
}

fn full() -> Option<Stdio> {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .ok()
        .map(Stdio::from)
}

/// Past the capture of output, so that it is seen.
fn skipped(what: &str) {
    drop(writeln!(
        io::stderr(),
        "ABSENT: {what}; what needs it is not tested"
    ));
}

#[test]
fn a_log_on_a_full_disk_loses_lines_and_the_agents_go_on() {
    let (Some(stdout), Some(stderr)) = (full(), full()) else {
        return skipped("/dev/full");
    };
    let mut daemon = Daemon::started(Team::new(RESTLESS), |command| {
        command.env(LOUD.0, LOUD.1).stdout(stdout).stderr(stderr);
    });
    lives_on(&daemon);
    until_lost(&daemon, "stderr");
    until_lost(&daemon, "stdout");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_loses_lines_and_the_agents_go_on() {
    // Nobody reads what comes out of these; they are kept, so that they do not break.
    let (_kept_out, stdout) = io::pipe().unwrap();
    let (_kept_err, stderr) = io::pipe().unwrap();
    let mut daemon = Daemon::started(Team::new(RESTLESS), |command| {
        command.env(LOUD.0, LOUD.1).stdout(stdout).stderr(stderr);
    });
    until_lost(&daemon, "stderr");
    lives_on(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0));
}

/// A disk of 256 KiB, until it is dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"]);
        let output = mount.arg(at).output().ok()?;
        output.status.success().then(|| Self(at.to_owned()))
    }

    /// Takes what room there is.
    fn fill(&self) {
        let mut file = OpenOptions::new();
        file.create(true).append(true);
        let mut ballast = file.open(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; 1_024]).is_ok() {}
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // What is left is a folder of a test.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_state_directory_on_a_full_disk_costs_records_and_the_agents_go_on() {
    let team = Team::new(RESTLESS);
    let Some(disk) = TinyDisk::mount(&team.state()) else {
        return skipped("the right to mount a disk");
    };
    let mut daemon = Daemon::of(team);
    lives_on(&daemon);
    until("a record did not fit", || {
        // A record that goes makes room for the next one, so the disk is filled again and again.
        disk.fill();
        let is_failure = |line: &String| line.contains("failed to record a process");
        daemon.lines().into_iter().find(is_failure)
    });
    lives_on(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    drop(disk);
}
