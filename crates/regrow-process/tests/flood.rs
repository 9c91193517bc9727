//! Agents that write as fast as they can: what they cost, and whom.
//!
//! `scripts/prove streams` runs it longer, in a release build, and shows the figures.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use regrow::telemetry::Stream;
use regrow::{GiveUp, Restart, Supervisor, System};
use regrow_process::{Cursor, Follower, LogFile, Logged, Process, ProcessHandle, Stage, StopPlan};

/// How many agents write.
const AGENTS: usize = 8;

/// How much larger they may make us.
const MOST_GROWTH: u64 = 64 * 1024 * 1024;

/// What takes longer does not happen.
const PATIENCE: Duration = Duration::from_secs(600);

/// How many lines each agent writes.
fn lines() -> u64 {
    match std::env::var("REGROW_FLOOD_LINES") {
        Ok(lines) => lines.parse().unwrap(),
        Err(_) => 300_000,
    }
}

/// Our resident memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}

/// How long an agent takes to answer, asked until `enough`; sorted.
async fn echoes(echo: &ProcessHandle, enough: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut answers = echo.output().follow(echo.output().end());
    let mut took = Vec::new();
    while !enough(took.len()) {
        let begun = Instant::now();
        echo.write_stdin("ping\n").await.unwrap();
        drop(
            tokio::time::timeout(PATIENCE, answers.next())
                .await
                .unwrap(),
        );
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

fn figures(took: &[Duration]) -> (Duration, Duration) {
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// The same load, with nobody who reads it.
struct Load(Vec<std::process::Child>);

impl Load {
    fn begin() -> Self {
        let one = |_| {
            let mut seq = Command::new("seq");
            seq.args(["1", "1000000000"]);
            seq.stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        Self((0..AGENTS).map(one).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Looks at our memory again and again, on a thread of its own.
struct Memory {
    largest: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    looking: std::thread::JoinHandle<()>,
}

impl Memory {
    fn watch(now: u64) -> Self {
        let (largest, over) = (
            Arc::new(AtomicU64::new(now)),
            Arc::new(AtomicBool::new(false)),
        );
        let (most, enough) = (Arc::clone(&largest), Arc::clone(&over));
        let looking = std::thread::spawn(move || {
            while !enough.load(Ordering::Relaxed) {
                most.fetch_max(resident(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        Self {
            largest,
            over,
            looking,
        }
    }

    /// The most that was seen until now.
    fn largest(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.looking.thread().unpark();
        self.looking.join().unwrap();
        self.largest.load(Ordering::Relaxed)
    }
}

fn process(id: &str, script: &str) -> Process {
    Process::new(id, "sh")
        .args(["-c", script])
        .start_window(Duration::from_millis(10))
        .restart(Restart::Temporary)
        .give_up(GiveUp::Park)
        .stop_plan(StopPlan::default().stage(Stage::CloseStdin, Duration::ZERO))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_as_fast_as_he_can_costs_little_and_harms_nobody() {
    let lines = lines();
    let folder = tempfile::tempdir().unwrap();
    let log = |number: usize| {
        LogFile::of(folder.path(), &format!("flood-{number}"))
            .max_size(1024 * 1024)
            .keep(1)
    };
    let script = format!("read -r go; seq -f '%015.0f' 1 {lines}; exec sleep 1000");
    let echo = process("echo", "exec cat");
    let floods: Vec<_> = (0..AGENTS)
        .map(|number| process(&format!("flood-{number}"), &script).log_file(log(number)))
        .collect();
    let echoing = echo.handle();
    let handles: Vec<_> = floods.iter().map(Process::handle).collect();
    let mut root = Supervisor::new("root").no_intensity_limit().child(echo);
    for flood in floods {
        root = root.child(flood);
    }
    let system = System::start(root).await.unwrap();
    let idle = echoes(&echoing, |count| count == 500).await;
    let load = Load::begin();
    let loaded = echoes(&echoing, |count| count == 500).await;
    drop(load);

    // One who follows all of them, and never reads.
    let outputs = handles
        .iter()
        .map(|handle| (handle.output().clone(), Cursor::default()));
    let mut stuck = Follower::of(outputs);
    let before = resident();
    let memory = Memory::watch(before);
    let begun = Instant::now();
    for handle in &handles {
        handle.write_stdin("go\n").await.unwrap();
    }
    drop(stuck.next().await);
    let written = |handle: &ProcessHandle| handle.output().count(Stream::Stdout).lines;
    let flooded = echoes(&echoing, |_| {
        assert!(begun.elapsed() < PATIENCE, "they come to their end");
        handles.iter().all(|handle| written(handle) >= lines)
    })
    .await;
    let took = begun.elapsed();
    let growth = memory.largest() - before;

    for handle in &handles {
        let count = handle.output().count(Stream::Stdout);
        let kept = handle.output().tail(usize::MAX).len() as u64;
        assert_eq!(count.lines, lines);
        assert_eq!(kept + count.dropped_lines, lines);
        assert_eq!(count.bytes, lines * 16);
    }
    drop(system.shut_down().await);
    let lost: u64 = (0..AGENTS).map(|number| lost(&log(number), lines)).sum();
    report(lines, took, growth, lost, [&idle, &loaded, &flooded]);
    assert!(growth <= MOST_GROWTH, "{growth} bytes more than {before}");
    // Eight programs that only burn time do as much to an agent; a little more is for those who read what they write.
    let (_, worst) = figures(&loaded);
    let (_, p99) = figures(&flooded);
    let most = worst * 10 + Duration::from_millis(250);
    assert!(p99 <= most, "{p99:?} where {worst:?} is the machine's own");
}

/// How many lines a file lacks, of those after its first. Of every line it knows whether it has it.
fn lost(log: &LogFile, lines: u64) -> u64 {
    let (mut next, mut lost) = (None, 0);
    for logged in log.history().unwrap() {
        match logged.unwrap() {
            Logged::Line(line) => {
                assert_eq!(line.seq, next.unwrap_or(line.seq));
                next = Some(line.seq + 1);
            }
            Logged::Lost { before, lines, .. } => {
                lost += lines;
                next = Some(before);
            }
            Logged::Run { .. } => {}
        }
    }
    assert_eq!(next, Some(lines), "the last line is in the file");
    lost
}

/// Shown by `--nocapture`.
#[expect(clippy::print_stdout, reason = "figures for people")]
fn report(lines: u64, took: Duration, growth: u64, lost: u64, echoes: [&[Duration]; 3]) {
    let mib = growth / 1024 / 1024;
    println!(
        "{AGENTS} agents wrote {lines} lines of 16 bytes each in {took:.1?}; memory grew by {mib} MiB"
    );
    println!("the files lack {lost} lines of those that they went over");
    for (what, took) in ["idle", "8 others, unread", "8 agents, read"]
        .iter()
        .zip(echoes)
    {
        let (median, p99) = figures(took);
        println!(
            "echo, {what}: median {median:.1?}, p99 {p99:.1?} of {}",
            took.len()
        );
    }
}
