//! A team of its own for each test: a folder, ports that nobody else takes, and an end of all of it.

mod http;
mod processes;
mod tools;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::http::{Answer, Ask};
pub(crate) use self::processes::{Seen, descendants, marked, signal};
pub(crate) use self::tools::{absent, need};

/// What takes longer than this does not happen.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// No command takes so long.
const COMMAND: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Blocks of ports: the first of each is bound for as long as a test has the block.
const FIRST_BLOCK: u16 = 21_000;
const BLOCK: u16 = 12;
const BLOCKS: u16 = 700;
/// Which of a block regrow gives to no agent by itself.
const OWN: u16 = 10;

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(LOOK);
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A configuration file in a folder of its own. Whatever was started from here is ended with it.
#[derive(Debug)]
pub(crate) struct Team {
    folder: TempDir,
    /// Holds the block of ports.
    _block: TcpListener,
    first_port: u16,
}

impl Team {
    /// A team whose file says this, with ports of its own.
    pub(crate) fn new(agents: &str) -> Self {
        let (block, first_port) = block_of_ports();
        let team = Self {
            folder: tempfile::Builder::new()
                .prefix("regrow")
                .tempdir()
                .expect("a folder"),
            _block: block,
            first_port,
        };
        team.write(agents);
        team
    }

    /// Writes the file anew.
    pub(crate) fn write(&self, agents: &str) {
        let ports = format!("ports: {}-{}\n", self.first_port + 1, self.first_port + 9);
        fs::write(self.path().join("regrow.yaml"), ports + agents).expect("the file is written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A port that is this test's alone, and that regrow gives to no agent by itself.
    pub(crate) fn own_port(&self) -> u16 {
        self.first_port + OWN
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join(".regrow")
    }

    /// The record of the run that holds, or last held, the state directory.
    pub(crate) fn run_record(&self) -> Option<Value> {
        let text = fs::read_to_string(self.state().join("run.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// A command of regrow in the team's folder. `TMPDIR` marks all that descends from it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
        for (name, _) in std::env::vars_os() {
            let ours = name
                .to_str()
                .is_some_and(|name| name.starts_with("REGROW_"));
            if ours && name != "REGROW_MCP_TIME" && name != "REGROW_SEEN" {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.path())
            .env("TMPDIR", self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command of regrow to its end, which has to come.
    #[track_caller]
    pub(crate) fn regrow(&self, arguments: &[&str]) -> Said {
        let child = self.command(arguments).spawn().expect("regrow starts");
        let pid = child.id();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait_with_output()));
        let output = end.recv_timeout(COMMAND).unwrap_or_else(|_| {
            signal(pid, Signal::KILL);
            panic!("regrow {arguments:?} has not ended within {COMMAND:?}")
        });
        let output = output.expect("regrow runs");
        Said {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// All that was started from this folder and still lives.
    pub(crate) fn alive(&self) -> Vec<Seen> {
        marked("TMPDIR", &self.path().display().to_string())
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        // Who has no mark is known by its parents, while they live.
        let mut family: HashSet<Seen> = HashSet::new();
        // Until nothing is found: a process may fork while it is being killed.
        for _ in 0..50 {
            for process in self.alive() {
                family.extend(descendants(process.pid));
                family.insert(process);
            }
            family.retain(Seen::lives);
            if family.is_empty() {
                return;
            }
            for process in &family {
                signal(process.pid, Signal::KILL);
            }
            thread::sleep(LOOK);
        }
    }
}

fn block_of_ports() -> (TcpListener, u16) {
    (0..BLOCKS)
        .map(|number| FIRST_BLOCK + number * BLOCK)
        .find_map(|first| {
            let block = TcpListener::bind(("127.0.0.1", first)).ok()?;
            // An earlier test of this process may still listen where it was somebody's agent.
            drop(TcpListener::bind(("127.0.0.1", first + OWN)).ok()?);
            Some((block, first))
        })
        .expect("one of so many blocks of ports is free")
}

/// A daemon of a team, in the foreground or the background.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) team: Team,
    /// In the foreground: its process, and what it has said.
    foreground: Option<(Child, Arc<Mutex<Vec<String>>>)>,
    pub(crate) pid: u32,
    pub(crate) instance: String,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Daemon {
    /// A daemon in the foreground whose API answers; its agents are on their way.
    pub(crate) fn up(agents: &str) -> Self {
        Self::of(Team::new(agents))
    }

    /// The same, of a team that is there.
    pub(crate) fn of(team: Team) -> Self {
        Self::started(team, |_| {})
    }

    /// The same, started in another way; what it says is read where it goes into a pipe that the command does not keep.
    pub(crate) fn started(team: Team, how: impl FnOnce(&mut Command)) -> Self {
        let mut command = team.command(&["up", "--listen", "127.0.0.1:0"]);
        how(&mut command);
        let mut child = command.spawn().expect("regrow starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, &lines);
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, &lines);
        }
        let pid = child.id();
        let record = until("regrow is up", || {
            let ended = child.try_wait().expect("it is our child");
            assert!(
                ended.is_none(),
                "{ended:?}: {:?}",
                lines.lock().expect("lines")
            );
            team.run_record().filter(|record| record["pid"] == pid)
        });
        Self::known_by(team, &record, Some((child, lines)))
    }

    /// A daemon in the background whose agents have settled; with what `up -d --wait` said.
    pub(crate) fn in_background(team: Team) -> (Self, Said) {
        let said = team.regrow(&["up", "-d", "--wait", "--listen", "127.0.0.1:0"]);
        assert!(team.run_record().is_some(), "regrow is up: {said:?}");
        (Self::at(team), said)
    }

    /// The daemon that runs in the background of a team.
    pub(crate) fn at(team: Team) -> Self {
        let record = team.run_record().expect("a daemon runs here");
        Self::known_by(team, &record, None)
    }

    fn known_by(
        team: Team,
        record: &Value,
        foreground: Option<(Child, Arc<Mutex<Vec<String>>>)>,
    ) -> Self {
        let text = |name: &str| record[name].as_str().expect("text").to_owned();
        let token = fs::read_to_string(team.state().join("token")).expect("the token");
        Self {
            foreground,
            pid: record["pid"]
                .as_u64()
                .and_then(|pid| pid.try_into().ok())
                .expect("a pid"),
            instance: text("instance"),
            address: text("listen").parse().expect("an address"),
            token: token.trim().to_owned(),
            team,
        }
    }

    /// Waits until every agent is up, has ended, or is parked.
    #[track_caller]
    pub(crate) fn settled(self) -> Self {
        let answer = self.get("/v1/wait?for=started&timeout=15s");
        assert_eq!(answer.status, 200, "{answer:?}");
        self
    }

    pub(crate) fn regrow(&self, arguments: &[&str]) -> Said {
        self.team.regrow(arguments)
    }

    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        ask.over_tcp(self.address)
    }

    pub(crate) fn ask_socket(&self, ask: &Ask) -> Answer {
        ask.over_socket(&self.team.state().join("regrow.sock"))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask(&Ask::new("GET", target))
    }

    /// A POST with the token.
    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        self.ask(&Ask::new("POST", target).token(&self.token).body(body))
    }

    /// One agent as the status shows it.
    #[track_caller]
    pub(crate) fn agent(&self, id: &str) -> Value {
        let status = self.get("/supervisor/status").json();
        let agents = status["agents"].as_array().expect("agents");
        let agent = agents.iter().find(|agent| agent["id"] == id);
        agent
            .unwrap_or_else(|| panic!("{id} is not in {status}"))
            .clone()
    }

    /// The agent, when it has come to this phase.
    #[track_caller]
    pub(crate) fn until_phase(&self, id: &str, phase: &str) -> Value {
        until(&format!("{id} is {phase}"), || {
            Some(self.agent(id)).filter(|agent| agent["phase"] == phase)
        })
    }

    #[track_caller]
    pub(crate) fn pid_of(&self, id: &str) -> u32 {
        let agent = self.agent(id);
        let pid = agent["pid"].as_u64().and_then(|pid| pid.try_into().ok());
        pid.unwrap_or_else(|| panic!("no pid in {agent}"))
    }

    /// What the foreground has said so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (_, lines) = self.foreground.as_ref().expect("it is in the foreground");
        lines.lock().expect("no writer panics").clone()
    }

    /// The first line of the foreground that holds all these words.
    #[track_caller]
    pub(crate) fn until_line(&self, words: &[&str]) -> String {
        until(&format!("a line with {words:?}"), || {
            let holds = |line: &String| words.iter().all(|word| line.contains(word));
            self.lines().into_iter().find(holds)
        })
    }

    pub(crate) fn signal(&self, what: Signal) {
        signal(self.pid, what);
    }

    /// Waits for the end of the foreground.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let (child, _) = self.foreground.as_mut().expect("it is in the foreground");
        until("regrow has ended", || {
            child.try_wait().expect("it is our child")
        })
    }

    /// Kills the daemon and leaves its agents; the team can be used again.
    pub(crate) fn crash(mut self) -> Team {
        self.signal(Signal::KILL);
        match &mut self.foreground {
            Some((child, _)) => drop(child.wait().expect("it is our child")),
            None => until("regrow is gone", || {
                (!Seen::now(self.pid).is_some_and(|seen| seen.lives())).then_some(())
            }),
        }
        self.team
    }
}

fn collect(stream: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.lock().expect("no reader panics").push(line);
        }
    });
}
