//! OS processes as supervised children: any program, in any language.
//!
//! A [`Process`] says what to run. Each life of it is a process group of its own with a bounded
//! [`Output`], an exact environment and a typed end; when it is over, however it ended, nothing of
//! it is left running, not even what left the group. There is one way out: a descendant that was not there yet when the start
//! window ended, that is in a session of its own, whose parent has ended, and whose environment is empty or overwritten, is known by
//! nothing. The program, which adopts orphans, ends such a one when it ends itself.
//!
//! # Agents for programs
//!
//! ```
//! use regrow_process::{AgentType, AgentTypes, Process, ProcessRunner, Role};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let coder = Process::new("coder", "sh").args(["-c", "while read -r task; do echo \"$task: done\"; done"]);
//! let types = AgentTypes::new()
//!     .with(Process::new("planning", "cat"))
//!     .with(AgentType::of(Role::Worker, coder).at_most(3))
//!     .max_agents(20);
//! let runner = ProcessRunner::start(types).await?;
//!
//! let agent = runner.spawn("coder").await?; // coder-agent-1, and a UUID over all its lives
//! agent.write_line("fix the parser").await?;
//! let answer = agent.read_stdout().await; // the next line, in whichever life it is written
//! assert_eq!(answer.map(|line| line.text()).as_deref(), Some("fix the parser: done"));
//! agent.pause().await?;
//! agent.resume().await?;
//! let end = agent.stop().await?; // completed, stopped or failed, and its exit code
//! println!("{} has {}", agent.name(), end.phase);
//! runner.shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! More of it at [`ProcessRunner`] and [`AgentRunner`]. What a probe may ask: of the process itself a [`ProcessCheck`], of others
//! [`HttpCheck`], [`TcpCheck`], [`CommandCheck`], [`LogLineCheck`], [`GrpcCheck`].

mod abilities;
mod actor;
mod checks;
mod driver;
mod environment;
mod figures;
mod handle;
mod handover;
mod host;
mod limits;
mod log_file;
mod os;
mod ports;
mod probes;
mod process;
mod readiness;
mod record;
mod runner;
mod socket;
mod stdin;
mod stdio;

pub use abilities::{Abilities, ControlGroups};
pub use checks::{
    CheckAddress, CommandCheck, GrpcCheck, HttpCheck, InvalidCheck, LogLineCheck, TcpCheck,
};
pub use driver::{SignalError, SignalTo};
pub use environment::SpawnError;
pub use figures::{Sampled, TreeProcess};
pub use handle::{InFlight, ProcessHandle, ProcessStatus};
pub use host::{Holder, Host, Leftovers, port_variable};
pub use limits::Limits;
pub use log_file::{History, LogFile, Logged};
pub use os::{Signal, UnknownSignal, become_subreaper};
pub use ports::{Lease, Ports};
pub use probes::ProcessCheck;
pub use process::{Process, Stdin};
pub use regrow::telemetry::PortCounts;
pub use regrow::telemetry::Stream;
pub use regrow_core::agents::{InvalidType, MAX_AGENTS, Role};
pub use regrow_core::exits::{ExitRules, ExitStatus, Follow};
pub use regrow_core::figures::{Figures, Reading, Spent, Who};
pub use regrow_core::leases::{Exhausted, KeptBack, LeaseError};
pub use regrow_core::lifecycle::{Stage, StopPlan};
pub use regrow_core::probe::{CheckResult, ProbeResult};
pub use runner::{
    Agent, AgentEnd, AgentError, AgentHandle, AgentRunner, AgentStatus, AgentType, AgentTypes,
    Answer, Later, LineReader, ProcessRunner, ReadLine, Spawn, SpawnAgentError,
};
pub use stdin::{StdinError, StdinWriter};
pub use stdio::{
    Chunk, Cursor, DEFAULT_LINE, Followed, Follower, Line, MAX_CHUNK, MAX_LINE, Output,
    OutputLimits, Piece, PieceFollower, StreamCount,
};
