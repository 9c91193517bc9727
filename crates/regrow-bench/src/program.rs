//! The programs that run arms, and what they say.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long one process may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What runs arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// regrow, ractor, kameo and tokio with the allocator of the system.
    Arms,
    /// The same with mimalloc.
    Mimalloc,
    /// The same with an allocator that counts.
    Counted,
    /// ractor-supervisor.
    RactorSupervisor,
    /// A script for Erlang.
    Erlang,
    /// A script for Elixir.
    Elixir,
}

/// What one process has measured: the values of each arm and figure, round by round.
pub type Values = BTreeMap<(String, String), Vec<f64>>;

/// Why there is nothing.
#[derive(Clone, Debug)]
pub enum Nothing {
    /// There is no such program on this machine.
    Absent,
    /// It went wrong.
    Failed(String),
}

/// What is asked of a program.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The cell.
    pub cell: &'a str,
    /// How many children.
    pub n: usize,
    /// How often.
    pub ops: usize,
    /// How many rounds.
    pub rounds: usize,
}

impl Program {
    fn command(self, programs: &Path) -> Command {
        let beam = Path::new(env!("CARGO_MANIFEST_DIR")).join("beam");
        let script = |interpreter: &str, file: &str| {
            let mut command = Command::new(interpreter);
            command.arg(beam.join(file));
            command
        };
        let binary = |name: &str| Command::new(programs.join(name));
        match self {
            Self::Arms => binary("arms"),
            Self::Mimalloc => binary("arms-mimalloc"),
            Self::Counted => binary("arms-counted"),
            Self::RactorSupervisor => binary("regrow-bench-ractor-supervisor"),
            Self::Erlang => script("escript", "bench.escript"),
            Self::Elixir => script("elixir", "bench.exs"),
        }
    }

    /// Runs some arms in one process.
    pub fn ask(
        self,
        programs: &Path,
        question: Question,
        arms: &[&str],
    ) -> Result<Values, Nothing> {
        let mut command = self.command(programs);
        command.args([question.cell, &arms.join(",")]);
        command.args([question.n, question.ops, question.rounds].map(|n| n.to_string()));
        // What is measured must not depend on who measures.
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Nothing::Absent);
            }
            Err(error) => return Err(Nothing::Failed(error.to_string())),
        };
        let output = collect(child.stdout.take());
        let errors = collect(child.stderr.take());
        let end = wait(&mut child);
        let (output, errors) = (output.join(), errors.join());
        let text = |joined: thread::Result<String>| joined.unwrap_or_default();
        match end {
            Ok(()) => Ok(parse(&text(output))),
            Err(why) => Err(Nothing::Failed(format!("{why}: {}", text(errors).trim()))),
        }
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            // What cannot be read is missed as a figure.
            pipe.read_to_string(&mut text).ok();
        }
        text
    })
}

fn wait(child: &mut Child) -> Result<(), String> {
    let since = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) if since.elapsed() < LIMIT => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                child.kill().ok();
                child.wait().ok();
                return Err(format!("not done after {LIMIT:?}"));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn parse(output: &str) -> Values {
    let mut values = Values::new();
    for line in output.lines() {
        let mut parts = line.split('\t');
        if let (Some(arm), Some(figure), Some(value)) = (parts.next(), parts.next(), parts.next())
            && let Ok(value) = value.parse()
        {
            let key = (arm.to_owned(), figure.to_owned());
            values.entry(key).or_default().push(value);
        }
    }
    values
}

/// Where the programs are when nobody says: beside this one.
pub fn beside() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().map(Path::to_owned).unwrap_or_default()
}
