//! Runs the commands of the README: all of its `sh` blocks, in order, but `scripts/test`, which runs this.
//!
//! They are run as they stand, from the root of the repository, with four changes: `cargo run --release --` is the program that
//! cargo has built for this test, the state directory and the port are ones of our own, `curl` fails where an answer does, and the
//! port of redis is the one that it was given.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// No command of the README takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `examples/real` needs, as `scripts/setup` names it.
const TOOLS_OF_REAL: [&str; 4] = ["python3", "redis-server", "redis-cli", "mcp-server-time"];

/// What an answer has to have in it, by a part of its command.
const ANSWERS: [(&str, &str); 18] = [
    ("/supervisor/status", "\"id\":\"worker\""),
    ("/agents/worker/invoke", "hello"),
    ("8000/health", "\"status\":"),
    ("8000/metrics", "regrow_children{"),
    ("ps 'type:worker and not draining'", "stubborn"),
    ("query=type:worker and not draining", "\"id\":\"stubborn\""),
    ("8000/agents/files/", "<html"),
    ("logs -f chatty", "chatty"),
    ("redis-cli", "PONG"),
    ("config check", "examples/real/regrow.yaml"),
    ("--wait examples/jobs/regrow.yaml", "reviewer"),
    ("pause planner", "paused"),
    ("resume planner", "running"),
    ("start migrate", "completed"),
    ("restart group/pipeline", "reviewer"),
    ("scale coders 4", "of 4 ready"),
    ("scale coders auto", "follows the work"),
    (
        "8000/supervisor/health",
        "\"probes\":[{\"name\":\"liveness\"",
    ),
];

/// What is there to see sooner or later, by a part of an earlier line of the block and one of the command: every word of it in one line.
/// People look more than once, too.
const IN_THE_END: [(&str, &str, &[&str]); 13] = [
    ("send worker unready", "curl -i", &["agent_not_ready"]),
    (
        "send worker unready",
        "-- ps",
        &["worker", "no", "down", "GET /readyz"],
    ),
    ("send worker ready", "/agents/worker/healthz", &["ok"]),
    ("send worker hang", "-- ps", &["yes    up       2    1 "]),
    ("send worker hang", "/agents/worker/healthz", &["ok"]),
    ("stop store", "curl -i", &["x-regrow-breaker: open"]),
    (
        "stop store",
        "-- ps",
        &["worker", "yes    up       2    1 ", "breaker store is open"],
    ),
    (
        "stop store",
        "breaker ls",
        &["store", "open", "no process runs"],
    ),
    ("start store", "/agents/worker/healthz", &["ok"]),
    (
        "start store",
        "-- ps",
        &["worker", "yes    up       2    1 "],
    ),
    ("seq 100", "pool explain", &["up from 2 to "]),
    ("seq 100", "-- ps", &["coders-3", "pool/coders", "yes"]),
    ("scale coders 4", "pool ls", &["coders", "2 of 2-6"]),
];

/// What a command of a block shows in the end, if it takes its time.
fn in_the_end(block: &str, line: &str) -> Option<&'static [&'static str]> {
    let found = IN_THE_END
        .iter()
        .find(|(before, part, _)| block.contains(before) && line.contains(part));
    found.map(|(_, _, words)| *words)
}

fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .nth(2)
        .expect("the package is two folders below the root")
        .to_owned()
}

/// The `sh` blocks of the README, each with its commands.
fn blocks(readme: &str) -> Vec<Vec<String>> {
    let blocks = readme
        .split("\n```sh\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap_or_default());
    blocks
        .map(|block| block.lines().map(str::to_owned).collect())
        .collect()
}

/// Looks at real state until it is as it should be.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One command in a process group of its own, and what it writes.
struct Running {
    command: String,
    child: Child,
    output: PathBuf,
}

impl Running {
    fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid is a positive number");
        // A group that is gone needs no signal.
        kill_process_group(group, signal).ok();
    }

    fn end(&mut self) -> ExitStatus {
        let what = format!("the end of `{}`", self.command);
        until(&what, || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Reaped, so that nothing of it is left.
        drop(self.child.wait());
    }
}

/// Somebody who follows the README in a terminal, and in a second one.
struct Reader {
    folder: TempDir,
    started: usize,
    /// `up` in the first terminal.
    up: Option<Running>,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the state can be made");
        Self {
            folder,
            started: 0,
            up: None,
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn spawn(&mut self, command: &str) -> Running {
        self.started += 1;
        let output = self.folder.path().join(format!("{}.out", self.started));
        let file = fs::File::create(&output).expect("a file for the output can be made");
        let child = Command::new("sh")
            .args(["-c", command])
            .current_dir(repository())
            .env("REGROW_STATE_DIR", self.state())
            .env("REGROW_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be opened twice"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("every system has sh");
        Running {
            command: command.to_owned(),
            child,
            output,
        }
    }

    /// Runs a command to its end, which has to be a good one.
    fn run(&mut self, command: &str) -> String {
        let mut running = self.spawn(command);
        let status = running.end();
        let output = running.output();
        assert!(
            status.success(),
            "`{command}` ended with {status}:\n{output}"
        );
        output
    }

    /// Runs a command again and again until it shows all these words in one line.
    fn until_seen(&mut self, line: &str, words: &[&str]) -> String {
        let address = self.address();
        let command = translated(line, address.as_deref());
        until(line, || {
            let mut running = self.spawn(&command);
            running.end();
            let output = running.output();
            let holds = |line: &str| words.iter().all(|word| line.contains(word));
            output.lines().any(holds).then_some(output)
        })
    }

    /// Where the daemon answers, once it does.
    fn address(&self) -> Option<String> {
        let run = fs::read_to_string(self.state().join("run.json")).ok()?;
        let run: serde_json::Value = serde_json::from_str(&run).ok()?;
        Some(run["listen"].as_str()?.to_owned())
    }

    fn agents(&mut self) -> Vec<serde_json::Value> {
        let agents = self.run(&translated("cargo run --release -- ps --json", None));
        agents
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Whether a failure of the coder has taken along who comes after it in its group, and nobody else.
    fn pipeline_grew_back(&mut self) -> bool {
        let agents = self.agents();
        let life = |id: &str| {
            let agent = agents.iter().find(|agent| agent["id"] == id);
            let agent = agent.expect("it is one of the example");
            (agent["phase"] == "running").then(|| agent["generation"].as_u64())
        };
        let lives = ["planner", "coder", "reviewer", "reporter"].map(life);
        lives == [1, 2, 2, 1].map(|generation| Some(Some(generation)))
    }

    fn port_of(&mut self, id: &str) -> Option<u64> {
        self.agents().iter().find(|agent| agent["id"] == id)?["port"].as_u64()
    }

    /// Does what a line of the README says; answers what there was to see.
    fn follow(&mut self, line: &str) -> String {
        let command = translated(line, self.address().as_deref());
        if line.contains("logs -f") {
            return self.look_at(&command);
        }
        if line.contains("-- up ") && !line.contains(" -d") {
            self.up = Some(self.spawn(&command));
            let address = until("the API of `up`", || self.address());
            // People look at the first terminal before they type into the second.
            until("all agents are up", || {
                self.agents()
                    .iter()
                    .all(|agent| agent["phase"] == "running")
                    .then_some(())
            });
            return address;
        }
        if line.starts_with("redis-cli") {
            let port = self.port_of("redis").expect("redis has a port");
            return self.run(&command.replace("8001", &port.to_string()));
        }
        self.run(&command)
    }

    /// Follows something until it shows, then ends it as Ctrl-C does.
    fn look_at(&mut self, command: &str) -> String {
        let mut running = self.spawn(command);
        let seen = until(command, || {
            Some(running.output()).filter(|output| output.lines().count() > 1)
        });
        running.signal(Signal::INT);
        running.end();
        seen
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A test that has failed leaves its daemon: it ends its agents, if it is asked.
        if self.address().is_some() && std::thread::panicking() {
            let mut down = self.spawn(&translated("cargo run --release -- down", None));
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE && matches!(down.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A command of the README as it is run here.
fn translated(line: &str, address: Option<&str>) -> String {
    let program = format!("'{}' ", env!("CARGO_BIN_EXE_regrow"));
    let command = line
        .replace("cargo run --release -- ", &program)
        .replace("curl ", "curl -sS --fail-with-body ");
    command.replace("127.0.0.1:8000", address.unwrap_or("127.0.0.1:8000"))
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let absent = std::env::var("REGROW_ABSENT").unwrap_or_default();
    let is_absent = |tool: &str| absent.split_whitespace().any(|name| name == tool);
    let mut reader = Reader::new();
    let (mut seen, mut skipped) = (Vec::new(), 0);
    for block in blocks(&readme) {
        let text = block.join("\n");
        let mut needed = if text.contains("examples/real") {
            TOOLS_OF_REAL.to_vec()
        } else {
            Vec::new()
        };
        needed.extend(text.contains("curl").then_some("curl"));
        if let Some(tool) = needed.into_iter().find(|tool| is_absent(tool)) {
            println!("ABSENT: {tool}, so these commands of the README are not tested:\n{text}");
            skipped += block.len();
            continue;
        }
        let mut outputs = Vec::new();
        for line in block
            .iter()
            .filter(|line| !line.starts_with("scripts/test"))
        {
            let output = match in_the_end(&text, line) {
                Some(words) => reader.until_seen(line, words),
                None => reader.follow(line),
            };
            for (part, answer) in ANSWERS.iter().filter(|(part, _)| line.contains(part)) {
                assert!(
                    output.contains(answer),
                    "`{line}` ({part}) has no {answer} in\n{output}"
                );
            }
            outputs.push((line.clone(), output));
        }
        if text.contains("\"id\":\"coder\"") {
            let line = "all that come after the coder have a second life";
            until(line, || reader.pipeline_grew_back().then_some(()));
        } else if text.contains("kill -9") {
            let (_, table) = outputs.last().unwrap();
            let worker: Vec<&str> = table
                .lines()
                .find(|line| line.starts_with("worker"))
                .unwrap()
                .split_whitespace()
                .collect();
            assert_eq!(
                worker[4..6],
                ["2", "1"],
                "generation 2 after 1 restart:\n{table}"
            );
        }
        if text == "cargo run --release -- down"
            && let Some(mut up) = reader.up.take()
        {
            let status = up.end();
            assert!(
                status.success(),
                "`up` ended with {status}:\n{}",
                up.output()
            );
        }
        seen.extend(outputs);
    }
    assert!(
        seen.len() + skipped >= 20,
        "the README was not understood: {seen:?}"
    );
    assert_eq!(reader.address(), None, "a daemon is left");
}
