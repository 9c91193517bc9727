//! One run, from its file to what is left of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::ledger::audit;
use crate::operators::{Deeds, Operator};
use crate::outside::{Figures, Record, Watch, listened, open_descriptors};
use crate::processes::{marked, signal};
use crate::team::{A_PORT_IN, yaml};

/// What a plain `cargo test` takes.
const USUAL: Torture = Torture {
    seed: 1,
    time: Duration::from_secs(30),
    agents: 60,
};

/// How long a daemon that is asked may take to come to rest, and to end: with hundreds of agents, on a machine that has other things
/// to do too.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(200);

const OPERATORS: u64 = 4;
/// How many agents each operator may spawn, as a share of those of the file.
const SPAWNS_IN: u64 = 16;

/// What memory may grow by, in bytes: this much at all, and for each agent what is kept of its output: 4 MiB of lines, 64 KiB of each
/// stream as it came, and of each stream a line that has no end yet.
const GROWTH: u64 = 64 * MIB;
const GROWTH_PER_AGENT: u64 = 4 * MIB + 4 * 64 * 1024;
const MIB: u64 = 1024 * 1024;

/// The ports: the first of a block is held for as long as the run has the block.
const FIRST_BLOCK: u16 = 29_500;
const BLOCK: u16 = 300;
const BLOCKS: u16 = 10;

/// How much torture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Torture {
    seed: u64,
    time: Duration,
    agents: u64,
}

impl Torture {
    /// How many agents operators may spawn.
    fn spawns(self) -> u64 {
        self.agents / SPAWNS_IN * OPERATORS
    }

    /// What `REGROW_TORTURE` asks for, or the usual.
    pub(crate) fn wanted() -> Self {
        let text = std::env::var("REGROW_TORTURE").unwrap_or_default();
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(|word| word.parse().expect("REGROW_TORTURE is SEED SECONDS AGENTS"))
            .collect();
        let number = |index: usize| numbers.get(index).copied();
        Self {
            seed: number(0).unwrap_or(USUAL.seed),
            time: number(1).map_or(USUAL.time, Duration::from_secs),
            agents: number(2).unwrap_or(USUAL.agents),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) wrong: Vec<String>,
    pub(crate) figures: Vec<String>,
    /// Where the log is, if something is wrong.
    pub(crate) evidence: PathBuf,
}

/// A daemon that is tortured.
struct Victim {
    torture: Torture,
    folder: TempDir,
    _block: TcpListener,
    ports: (u16, u16),
    process: Child,
    instance: String,
    client: Client,
    wrong: Vec<String>,
    figures: Vec<String>,
}

/// Whatever happens, nothing of it stays.
impl Drop for Victim {
    fn drop(&mut self) {
        for _ in 0..50 {
            let left = marked("TMPDIR", &mark(self.folder.path()));
            if left.is_empty() {
                break;
            }
            for process in left {
                signal(process.pid, Signal::KILL);
            }
            thread::sleep(LOOK);
        }
        // It is not a zombie of ours.
        drop(self.process.wait());
    }
}

/// Runs it.
pub(crate) fn torture(torture: Torture) -> Outcome {
    let since = Instant::now();
    let mut victim = Victim::up(torture);
    victim.booted();
    let took = since.elapsed();
    victim.figure(format!(
        "seed={} seconds={} agents={} boot={:.1}s",
        torture.seed,
        torture.time.as_secs(),
        torture.agents,
        took.as_secs_f64()
    ));
    let watch = Watch::on(mark(victim.folder.path()), victim.process.id());
    victim.quiet("before");
    let before = victim.at_rest("before", None);
    victim.start_all();
    victim.strike();
    victim.quiet("after");
    let after = victim.at_rest("after", Some(before.descriptors));
    victim.bounded(before, after);
    victim.down();
    let record = watch.end();
    victim.gone(&record);
    victim.books();
    victim.outcome()
}

fn mark(folder: &Path) -> String {
    folder.display().to_string()
}

impl Victim {
    fn up(torture: Torture) -> Self {
        // Whoever is spawned gets a port too.
        let spawned = torture.spawns();
        let in_file = torture.agents.div_ceil(u64::try_from(A_PORT_IN).unwrap());
        let needed = u16::try_from(in_file + spawned).unwrap();
        assert!(needed < BLOCK, "{needed} ports are needed: fewer agents");
        let (block, first) = (0..BLOCKS)
            .map(|number| FIRST_BLOCK + number * BLOCK)
            .find_map(|first| Some((TcpListener::bind(("127.0.0.1", first)).ok()?, first)))
            .expect("one of so many blocks of ports is free");
        let ports = (first + 1, first + needed);
        let folder = tempfile::Builder::new()
            .prefix("torture")
            .tempdir()
            .unwrap();
        let agents = usize::try_from(torture.agents).unwrap();
        fs::write(
            folder.path().join("regrow.yaml"),
            yaml(torture.seed, agents, ports),
        )
        .unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut process = regrow(folder.path(), &["up", "--listen", "127.0.0.1:0"])
            .stdout(file("out.log"))
            .stderr(file("err.log"))
            .spawn()
            .unwrap();
        let record = folder.path().join(".regrow/run.json");
        let record = until(PATIENCE, || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", log(folder.path()));
            let record: Value = serde_json::from_str(&fs::read_to_string(&record).ok()?).ok()?;
            (record["pid"] == process.id()).then_some(record)
        });
        let record = record.expect("it comes up");
        let token = fs::read_to_string(folder.path().join(".regrow/token")).unwrap();
        let client = Client {
            address: record["listen"].as_str().unwrap().parse().unwrap(),
            token: token.trim().to_owned(),
        };
        Self {
            torture,
            _block: block,
            ports,
            process,
            instance: record["instance"].as_str().unwrap().to_owned(),
            client,
            folder,
            wrong: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Every agent has been started once, whatever came of that.
    fn booted(&mut self) {
        let done = until(PATIENCE, || {
            let agents = self.client.agents().ok()?;
            let begun = |agent: &&Value| {
                agent["generation"].as_u64() > Some(0) || agent["phase"] == "pending"
            };
            // Of a temporary one the place may be gone already.
            (agents.iter().all(|agent| begun(&agent)) && !agents.is_empty()).then_some(())
        });
        if done.is_none() {
            self.wrong.push("not every agent was started".to_owned());
        }
    }

    /// Stops every agent, and waits until nothing moves.
    fn quiet(&mut self, when: &str) {
        let since = Instant::now();
        let mut restless = Vec::new();
        let done = until(PATIENCE, || {
            let agents = self.client.agents().ok()?;
            restless = agents
                .iter()
                .filter(|agent| !rests(agent))
                .cloned()
                .collect();
            for agent in &restless {
                let id = agent["id"].as_str().unwrap();
                // Who is on the way down already is left to it.
                if agent["phase"] != "stopping" {
                    drop(
                        self.client
                            .ask("POST", &format!("/supervisor/stop/{id}"), ""),
                    );
                }
            }
            restless.is_empty().then_some(())
        });
        if done.is_none() {
            restless.truncate(5);
            self.wrong
                .push(format!("{when}: never quiet: {restless:?}"));
        }
        let took = since.elapsed().as_secs_f64();
        self.figure(format!("quiet_{when}={took:.1}s"));
    }

    /// What of the daemon is left when nothing runs: no child, no port, no open log, and no more descriptors than before but one for the port of each
    /// that was spawned.
    fn at_rest(&mut self, when: &str, descriptors: Option<usize>) -> Figures {
        let pid = self.process.id();
        let mut figures = Figures::of(pid);
        let mut busy = Vec::new();
        let done = until(PATIENCE / 6, || {
            figures = Figures::of(pid);
            busy = listened(self.ports);
            // Who was spawned has a port, which is kept from other runs of regrow by a socket.
            let ports = usize::try_from(self.torture.spawns()).unwrap();
            let few = descriptors.is_none_or(|before| figures.descriptors <= before + ports);
            let none = figures.children == 0 && figures.zombies == 0;
            let alone = marked("REGROW_INSTANCE", &self.instance).is_empty();
            let whole = few && none && alone && busy.is_empty() && figures.logs == 0;
            whole.then_some(())
        });
        if done.is_none() {
            let left = marked("REGROW_INSTANCE", &self.instance);
            let open = open_descriptors(pid);
            self.wrong.push(format!(
                "{when}: at rest there are {figures:?} (descriptors before: {descriptors:?}), ports {busy:?}, processes {left:#?}, \
                 descriptors {open:?}"
            ));
        }
        let (memory, open, logs) = (figures.memory / MIB, figures.descriptors, figures.logs);
        self.figure(format!(
            "at_rest_{when} rss={memory}MiB descriptors={open} logs={logs}"
        ));
        figures
    }

    fn start_all(&mut self) {
        for agent in self.client.agents().unwrap_or_default() {
            let id = agent["id"].as_str().unwrap();
            let target = format!("/v1/agents/{id}/start");
            if let Err(error) = self.client.ask("POST", &target, "") {
                self.wrong.push(format!("{target}: {error}"));
            }
        }
    }

    /// Lets operators at it for as long as was asked for.
    fn strike(&mut self) {
        let until = Instant::now() + self.torture.time;
        let operators: Vec<_> = (0..OPERATORS)
            .map(|number| {
                let operator = Operator {
                    client: self.client.clone(),
                    number,
                    seed: self.torture.seed,
                    agents: self.torture.agents,
                    spawns: self.torture.agents / SPAWNS_IN,
                    folder: self.folder.path().to_owned(),
                };
                thread::spawn(move || operator.work(until))
            })
            .collect();
        let mut all = Deeds::default();
        for operator in operators {
            let deeds = operator.join().expect("no operator panics");
            all.wrong.extend(deeds.wrong);
            all.times.extend(deeds.times);
            for (call, count) in deeds.answers {
                *all.answers.entry(call).or_default() += count;
            }
        }
        self.told(all);
    }

    fn told(&mut self, mut deeds: Deeds) {
        self.wrong.append(&mut deeds.wrong);
        let calls: usize = deeds.answers.values().sum();
        let answers: BTreeMap<String, usize> = deeds
            .answers
            .into_iter()
            .map(|((name, answer), count)| (format!("{name}:{answer}"), count))
            .collect();
        self.figure(format!("operations={calls} {answers:?}"));
        deeds.times.sort_unstable();
        let at = |share: usize| deeds.times.get(deeds.times.len() * share / 100).copied();
        let (half, most) = (
            at(50).unwrap_or_default(),
            deeds.times.last().copied().unwrap_or_default(),
        );
        self.figure(format!("status_p50={half:.0?} status_max={most:.0?}"));
    }

    fn bounded(&mut self, before: Figures, after: Figures) {
        let agents = self.torture.agents + self.torture.agents / SPAWNS_IN * OPERATORS;
        let limit = GROWTH + agents * GROWTH_PER_AGENT;
        let grown = after.memory.saturating_sub(before.memory);
        if grown > limit {
            let (grown, limit) = (grown / MIB, limit / MIB);
            self.wrong.push(format!(
                "memory has grown by {grown} MiB; {limit} MiB is the limit"
            ));
        }
    }

    /// Starts everybody again, so that there is something to end, and ends the daemon in order.
    fn down(&mut self) {
        self.start_all();
        let since = Instant::now();
        let output = regrow(self.folder.path(), &["down"]).output().unwrap();
        let took = since.elapsed().as_secs_f64();
        if !output.status.success() {
            self.wrong.push(format!("regrow down: {output:?}"));
        }
        let ended: Option<ExitStatus> = until(PATIENCE, || self.process.try_wait().unwrap());
        if ended.and_then(|status| status.code()) != Some(0) {
            self.wrong
                .push(format!("the daemon has ended with {ended:?}"));
        }
        self.figure(format!("down={took:.1}s"));
    }

    /// Nothing is left on the machine, by any sign.
    fn gone(&mut self, record: &Record) {
        // A process that was killed is one until somebody has noticed.
        let left = || {
            let mut left = marked("TMPDIR", &mark(self.folder.path()));
            left.extend(marked("REGROW_INSTANCE", &self.instance));
            left.extend(record.processes.iter().filter(|seen| seen.lives()).cloned());
            left
        };
        let left = left();
        if !left.is_empty() {
            self.wrong.push(format!("left behind: {left:#?}"));
        }
        let ports = listened(self.ports);
        if !ports.is_empty() {
            self.wrong.push(format!("somebody listens on {ports:?}"));
        }
        let state = self.folder.path().join(".regrow");
        let pids = fs::read_dir(state.join("pids")).map_or(0, Iterator::count);
        if pids > 0 || state.join("run.json").exists() {
            self.wrong.push(format!(
                "{pids} records of processes are left, or that of the run"
            ));
        }
        self.figure(format!(
            "processes_seen={} at_a_time={} rss_peak={}MiB descriptors_peak={}",
            record.processes.len(),
            record.most,
            record.peak / MIB,
            record.descriptors
        ));
    }

    fn books(&mut self) {
        let account = audit(&log(self.folder.path()));
        let (lives, events) = (account.lives, account.events);
        self.wrong.extend(account.wrong);
        self.figure(format!(
            "lives={lives} events={events} ends={:?}",
            account.reasons
        ));
        let few = usize::try_from(self.torture.agents).unwrap();
        if lives < few {
            self.wrong.push(format!("{lives} lives of {few} agents"));
        }
    }

    fn figure(&mut self, text: String) {
        self.figures.push(text);
    }

    /// Keeps the folder if something is wrong.
    fn outcome(mut self) -> Outcome {
        let evidence = self.folder.path().to_owned();
        if !self.wrong.is_empty() {
            self.folder.disable_cleanup(true);
        }
        Outcome {
            wrong: std::mem::take(&mut self.wrong),
            figures: std::mem::take(&mut self.figures),
            evidence,
        }
    }
}

/// Whether this agent has come to rest.
fn rests(agent: &Value) -> bool {
    let phase = agent["phase"].as_str().unwrap_or_default();
    matches!(phase, "stopped" | "completed" | "failed") && agent["pid"].is_null()
}

/// All that the daemon has said.
fn log(folder: &Path) -> String {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    read("out.log") + &read("err.log")
}

/// A command of regrow in this folder, which marks all that descends from it.
fn regrow(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("REGROW_"))
        {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null());
    command
}

/// Looks again and again until there is something to see, or for so long.
fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(LOOK);
    }
}
