//! The command line: what can be said, and who does it.

mod breaker;
mod config_check;
mod console;
mod doctor;
mod down;
mod exit;
mod logs;
mod operate;
mod pool;
mod ps;
mod select;
mod send;
mod top;
mod words;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::config_check::read as read_config;
pub(crate) use self::console::{complain, say, say_bytes};
pub(crate) use self::exit::{CliError, Exit};
pub(crate) use self::words::{agent_line, first_line, seconds};
use crate::client::{Place, Verb, WaitFor};
use crate::config::LogFormat;
use crate::sample_agent::{self, SampleAgent};
use crate::up;

/// Runs agents of any language under one supervision tree, and grows back those that fail
#[derive(Debug, Parser)]
#[command(
    name = "regrow",
    version,
    disable_help_subcommand = true,
    after_help = "Examples:\n  regrow up                   run the agents of regrow.yaml until Ctrl-C\n  \
                  regrow up -d --wait         the same in the background; returns when all are up\n  \
                  regrow ps                   what runs, since when, and what comes next\n  \
                  regrow top                  what they use: CPU, memory, descriptors, disk\n  \
                  regrow logs -f worker       what the agent worker writes, as it comes\n  \
                  regrow down                 stop everything, in order\n\n\
                  Exit codes: 0 ok, 1 failure, 2 usage, 3 no daemon, 4 not found, 5 conflict, 6 timeout,\n\
                  7 config missing or wrong, 8 an agent failed, 9 not allowed"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the agents of a configuration file
    Up(Up),
    /// Show the agents: phase, process, port, uptime, last exit
    Ps(Ps),
    /// Show what agents use: CPU, memory, threads, descriptors, what they read and write
    Top(Top),
    /// Show what agents write
    Logs(Logs),
    /// Write to an agent's standard input
    Send(Send),
    /// Stop agents; they stay stopped until they are started again
    #[command(after_help = "Example:\n  regrow stop worker")]
    Stop(Operate),
    /// Start agents that are not up: stopped, completed or failed ones
    #[command(after_help = "Example:\n  regrow start worker")]
    Start(Operate),
    /// Stop agents, and start them again
    #[command(after_help = "Example:\n  regrow restart worker coder")]
    Restart(Operate),
    /// Hold agents where they are; their time stands still until they are resumed
    #[command(after_help = "Example:\n  regrow pause worker")]
    Pause(Operate),
    /// Let agents go on that are paused
    #[command(after_help = "Example:\n  regrow resume worker")]
    Resume(Operate),
    /// Send a signal to an agent
    Signal(SignalAgent),
    /// Look at breakers, open and close them
    Breaker {
        #[command(subcommand)]
        command: breaker::BreakerCommand,
    },
    /// Look at pools, and at why they have the size that they have
    Pool {
        #[command(subcommand)]
        command: pool::PoolCommand,
    },
    /// Set how many workers a pool has, or let it follow the work
    Scale(pool::Scale),
    /// Stop all agents in order, and end the daemon
    Down(Down),
    /// Say what works on this machine, what does not, and what to do about it
    Doctor(Doctor),
    /// Look at configuration files
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Be an agent to try regrow with
    #[command(hide = true, subcommand)]
    SampleAgent(SampleAgent),
}

/// Start the agents of a configuration file
///
/// Stays in the foreground and says what becomes of each agent; Ctrl-C stops all of them in
/// order, and a second Ctrl-C at once. What the agents themselves write is shown by `regrow logs -f`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow up                          the agents of regrow.yaml, in the foreground\n  \
                  regrow up team/regrow.yaml         those of another file\n  \
                  regrow up -d --wait=ready          in the background; returns when all may be given work\n  \
                  regrow up --listen 127.0.0.1:0     on a free port, which is printed"
)]
pub(crate) struct Up {
    /// The configuration file [default: regrow.yaml, regrow.yml or agents.yaml here]
    #[arg(value_name = "FILE", conflicts_with = "file")]
    pub(crate) positional: Option<PathBuf>,
    /// The same, said with a flag
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Go to the background; return when the API answers
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// With -d: return when all agents are up; exit code 8 if one is parked
    #[arg(
        long,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "started"
    )]
    pub(crate) wait: Option<WaitFor>,
    /// How long --wait may take
    #[arg(long, value_name = "TIME", value_parser = words::duration, requires = "wait")]
    pub(crate) wait_timeout: Option<Duration>,
    /// Where the API and the way to the agents listen; port 0 chooses a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS", env = "REGROW_LISTEN", value_parser = words::loopback)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where regrow keeps its state [default: .regrow beside the file]
    #[arg(long, value_name = "DIR", env = "REGROW_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// What regrow writes of itself: lines for people (text), or one JSON object per line (json) [default: the file's log.format, else text]
    #[arg(long, value_name = "FORMAT", env = "REGROW_LOG_FORMAT", value_parser = words::log_format)]
    pub(crate) log_format: Option<LogFormat>,
    /// Said by `up -d` to the process that it starts
    #[arg(long, hide = true, conflicts_with_all = ["detach", "wait"])]
    pub(crate) in_background: bool,
}

/// Where the daemon is
#[derive(Debug, Args)]
struct Where {
    /// The configuration file that the daemon was started with
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    more: WhereMore,
}

#[derive(Debug, Args)]
struct WhereMore {
    /// The daemon's state directory [default: .regrow here or above]
    #[arg(long, value_name = "DIR", env = "REGROW_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Where to ask for the state directory when there is none here or above
    #[arg(long, hide = true, value_name = "ADDRESS", env = "REGROW_LISTEN", value_parser = words::loopback)]
    listen: Option<SocketAddr>,
}

impl Where {
    fn place(&self) -> Place {
        self.more.place(self.file.clone())
    }
}

impl WhereMore {
    fn place(&self, file: Option<PathBuf>) -> Place {
        Place {
            state_dir: self.state_dir.clone(),
            file,
            listen: self.listen.filter(|address| address.port() != 0),
        }
    }
}

/// Show the agents: phase, process, port, uptime, last exit
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow ps                                  all agents\n  \
                  regrow ps 'type:worker and not draining'   those of a type, unless they take no new work\n  \
                  regrow ps lang=rust and ready              by a tag; without quotes where the shell lets it pass\n  \
                  regrow ps path:root/worker                 one agent\n  \
                  regrow ps 'cap:plan and meta:cost<=3'      by what it can do, and what else is told of it\n\n\
                  A query is made of tags (fast, lang=rust, lang?), phases (running, backoff, …), ready, type:…,\n\
                  cap:…, kind:…, health:…, path:…, meta:KEY<VALUE and *, joined by and, or, not and parentheses."
)]
struct Ps {
    /// Which agents [default: all]
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// One JSON object per line, as the API has it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Show what agents use: CPU, memory, threads, descriptors, what they read and write
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow top                  all agents, the busiest first\n  \
                  regrow top -w               the same, again and again, until Ctrl-C\n  \
                  regrow top -s memory        the largest first\n  \
                  regrow top worker           each process of one agent\n\n\
                  An agent is all that it has started, with all descendants. CPU is in hundredths of one processor, since\n\
                  the look before; MEMORY is resident, and a page that several processes share counts for each. TIME, READ,\n\
                  WRITTEN, DISK READ and DISK WRITE are those of this life. How often is looked: telemetry.figures in the file."
)]
struct Top {
    /// Show each process of this agent [default: all agents, a line for each]
    #[arg(value_name = "ID")]
    agent: Option<String>,
    /// Show it again and again, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// How often, with -w
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = words::duration, requires = "watch")]
    every: Duration,
    /// What comes first
    #[arg(
        short,
        long,
        value_name = "WHAT",
        default_value = "cpu",
        conflicts_with = "agent"
    )]
    sort: TopOrder,
    /// One JSON object per line, as the API has it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TopOrder {
    /// Who uses most of the processors
    Cpu,
    /// Who has most memory
    Memory,
    /// Who has written most
    Written,
    /// Who stands first in the file
    File,
}

/// Show what agents write
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow logs                 the last lines of all agents\n  \
                  regrow logs -f worker       those of one, and what follows\n  \
                  regrow logs --since 1h      all of the last hour, from the files too\n  \
                  regrow logs --json coder    with time, stream and generation"
)]
struct Logs {
    /// The agents: ids, group/ID, pool/ID, tag:WORD [default: all]
    #[arg(value_name = "ID")]
    agents: Vec<String>,
    /// Go on with what they write from now on
    #[arg(short, long)]
    follow: bool,
    /// From so long ago on, or from a time: 10m, 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = words::moment)]
    since: Option<String>,
    /// So many of the last lines [default: 100; with --since all]
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// One JSON object per line: agent, stream, time, generation, text
    #[arg(long)]
    json: bool,
    /// The configuration file that the daemon was started with
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: WhereMore,
}

/// Write to an agent's standard input
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow send coder 'fix the tests'     a line\n  \
                  regrow send coder < task.md           what is in a file\n  \
                  regrow send coder --eof < task.md     the same, and that there is no more\n\n\
                  A message arrives whole. An agent that does not read holds it up until --timeout (exit code 6)."
)]
struct Send {
    /// The agent
    #[arg(value_name = "ID")]
    agent: String,
    /// A line; without it, or with -, what comes on stdin is passed on
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Do not add a line end to TEXT
    #[arg(short, long)]
    no_newline: bool,
    /// Close the agent's standard input after it
    #[arg(long)]
    eof: bool,
    /// Only to this life of the agent
    #[arg(long, value_name = "N")]
    generation: Option<u32>,
    /// How long the agent may take to read a message
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = words::duration)]
    timeout: Duration,
    /// The configuration file that the daemon was started with
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: WhereMore,
}

#[derive(Debug, Args)]
struct Operate {
    /// The agents: ids, group/ID for those of a group, pool/ID for the workers of a pool, tag:WORD for those with a tag
    #[arg(value_name = "ID", required = true)]
    agents: Vec<String>,
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = words::duration)]
    timeout: Duration,
    #[command(flatten)]
    place: Where,
}

/// Send a signal to an agent: to its process and all in its group
///
/// STOP and CONT are refused: `regrow pause` and `regrow resume` do what they would, and regrow knows of it. What KILL ends
/// counts as a crash, as if somebody outside had sent it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow signal worker HUP            to the agent and all in its group\n  \
                  regrow signal worker USR1 --leader  to its process alone"
)]
struct SignalAgent {
    /// The agent
    #[arg(value_name = "ID")]
    agent: String,
    /// HUP, INT, QUIT, ABRT, KILL, USR1, USR2, TERM or WINCH
    #[arg(value_name = "SIGNAL")]
    signal: String,
    /// Only to the agent's process, not to what it has started
    #[arg(long)]
    leader: bool,
    #[command(flatten)]
    place: Where,
}

/// Stop all agents in order, and end the daemon
#[derive(Debug, Args)]
struct Down {
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = words::duration)]
    timeout: Duration,
    #[command(flatten)]
    place: Where,
}

/// Say what works on this machine, what does not, and what to do about it
///
/// Looks at the system, the configuration file, the state directory and the daemon, changes nothing, and ends with 1 if something
/// keeps regrow from working.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  regrow doctor\n  regrow doctor --json -f team/regrow.yaml")]
struct Doctor {
    /// One JSON object per line: check, verdict (ok, warning, failure), found, advice
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say everything that is wrong with a file; start nothing
    #[command(
        after_help = "Examples:\n  regrow config check\n  regrow config check team/regrow.yaml"
    )]
    Check {
        /// The file [default: regrow.yaml, regrow.yml or agents.yaml here]
        #[arg(value_name = "FILE", conflicts_with = "file")]
        positional: Option<PathBuf>,
        /// The same, said with a flag
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Reads the command line, does what it says, and answers the exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let is_small = matches!(&cli.command, Command::SampleAgent(agent) if agent.is_small());
    let mut builder = if is_small {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::end(Err(CliError::Runtime(error))),
    };
    // A task that hangs in the kernel must not keep a program alive that has done its work.
    let code = runtime.block_on(dispatch(cli.command));
    runtime.shutdown_background();
    code
}

async fn dispatch(command: Command) -> ExitCode {
    let done = match command {
        Command::SampleAgent(agent) => return sample_agent::run(agent).await,
        Command::Up(up) => up::run(up).await,
        Command::Ps(ps) => ps::run(&ps).await,
        Command::Top(top) => top::run(&top).await,
        Command::Logs(logs) => logs::run(logs).await,
        Command::Send(send) => send::run(send).await,
        Command::Stop(operate) => operate::run(Verb::Stop, operate).await,
        Command::Start(operate) => operate::run(Verb::Start, operate).await,
        Command::Restart(operate) => operate::run(Verb::Restart, operate).await,
        Command::Pause(operate) => operate::run(Verb::Pause, operate).await,
        Command::Resume(operate) => operate::run(Verb::Resume, operate).await,
        Command::Signal(signal) => operate::signal(signal).await,
        Command::Breaker { command } => breaker::run(command).await,
        Command::Pool { command } => pool::run(command).await,
        Command::Scale(scale) => pool::scale(&scale).await,
        Command::Down(down) => down::run(&down).await,
        Command::Doctor(doctor) => doctor::run(&doctor).await,
        Command::Config {
            command: ConfigCommand::Check { positional, file },
        } => config_check::run(positional.or(file)),
    };
    exit::end(done)
}

#[cfg(test)]
mod tests;
