//! How the program ends.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use regrow_core::query::QueryError;

use super::console::complain;
use crate::client::ClientError;
use crate::config::ConfigErrors;
use crate::daemon::DaemonError;
use crate::state_dir::StateDirError;

/// The exit codes of `regrow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// It did not work.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No daemon answers.
    Unreachable = 3,
    /// There is no such agent.
    NotFound = 4,
    /// It contradicts what is.
    Conflict = 5,
    /// It took too long.
    Timeout = 6,
    /// The configuration is missing or wrong.
    Config = 7,
    /// An agent failed for good.
    AgentFailed = 8,
    /// Whoever asks may not.
    NotAllowed = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The exit code for what a daemon did not do.
    pub(crate) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::NotFound(_) | ClientError::Unreachable { .. } => Self::Unreachable,
            ClientError::NotAllowed { .. } => Self::NotAllowed,
            ClientError::Timeout { .. } => Self::Timeout,
            ClientError::Answer { .. } => Self::Failure,
            ClientError::Problem(problem) => match problem.status {
                401 | 403 | 421 => Self::NotAllowed,
                404 => Self::NotFound,
                408 | 504 => Self::Timeout,
                409 | 412 => Self::Conflict,
                _ => Self::Failure,
            },
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Our own standard input cannot be read.
    #[error("cannot read stdin: {0}")]
    Input(#[source] io::Error),
    /// What was asked for is no query; the text has a mark under the place.
    #[error("wrong query: {0}")]
    Query(#[source] QueryError),
    /// A group or a tag stands for nobody.
    #[error("no agent is meant by {0}; see which there are: regrow ps")]
    Nobody(String),
    /// A pool is to be stopped.
    #[error("pool {0:?} is not stopped as agents are; for no workers: regrow scale {0} 0")]
    StopOfPool(String),
    /// No configuration file was named, and none of the usual names is here.
    #[error(
        "no configuration file in {}: looked for {names}; name one, as in `regrow up team/regrow.yaml`",
        .folder.display()
    )]
    NoConfig {
        /// Where it was looked for.
        folder: PathBuf,
        /// The usual names.
        names: String,
    },
    /// The configuration is wrong; the text has a line for each error.
    #[error("{0}")]
    Config(ConfigErrors),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The daemon did not start.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The daemon did not do what was asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something keeps regrow from working; what it is has been said.
    #[error("{}", match .failures { 1 => "1 check failed".to_owned(), more => format!("{more} checks failed") })]
    Unwell {
        /// How many checks failed.
        failures: usize,
    },
    /// The background process could not be started or watched.
    #[error("failed to start regrow in the background")]
    Background(#[source] io::Error),
    /// The background process ended before its API answered; what it said has been shown.
    #[error("regrow ended before its API answered; its log is {}", .log.display())]
    BackgroundEnded {
        /// Its exit code.
        code: u8,
        /// Its log.
        log: PathBuf,
    },
    /// Signals cannot be waited for.
    #[error("failed to wait for signals")]
    Signals(#[source] io::Error),
    /// The tree of agents ended by itself.
    #[error("the supervisor of the agents ended by itself ({0}); `regrow up` starts them again")]
    TreeEnded(String),
    /// Processes are left.
    #[error("processes that could not be ended are left: {0}; look at them with `ps -p`")]
    Leaked(String),
    /// Agents are parked.
    #[error("failed for good: {0}; the others go on (`regrow logs` shows what they wrote)")]
    AgentsFailed(String),
    /// It took longer than it may.
    #[error("{what} took longer than {} s", .after.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// Some of several things failed, and each has been told of.
    #[error("")]
    Told(Exit),
    /// The log filter makes no sense.
    #[error("REGROW_LOG: expected a filter such as info or regrow=debug, got {text:?}")]
    LogFilter {
        /// What it says.
        text: String,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Stdout takes no more.
    #[error("failed to write to stdout")]
    Output(#[source] io::Error),
    /// The runtime did not start.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
}

impl CliError {
    /// The code that the program ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Query(_) | Self::LogFilter { .. } => Exit::Usage,
            Self::NoConfig { .. } | Self::Config(_) => Exit::Config,
            Self::State(StateDirError::Held { .. }) | Self::StopOfPool(_) => Exit::Conflict,
            Self::Client(error) => Exit::of(error),
            Self::Nobody(_) => Exit::NotFound,
            Self::AgentsFailed(_) => Exit::AgentFailed,
            Self::Timeout { .. } => Exit::Timeout,
            Self::Told(exit) => *exit,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::State(_)
            | Self::Daemon(_)
            | Self::Unwell { .. }
            | Self::Background(_)
            | Self::BackgroundEnded { .. }
            | Self::Signals(_)
            | Self::TreeEnded(_)
            | Self::Leaked(_)
            | Self::Output(_)
            | Self::Input(_)
            | Self::Runtime(_) => Exit::Failure,
        }
    }
}

/// Says what went wrong, and answers the exit code.
pub(super) fn end(done: Result<(), CliError>) -> ExitCode {
    let error = match done {
        Ok(()) => return Exit::Ok.into(),
        Err(error) => error,
    };
    let exit = error.exit();
    match (&error, exit) {
        (_, Exit::Ok) | (CliError::Told(_), _) => {}
        (CliError::Config(errors), _) => complain(&errors.to_string()),
        _ => complain(&format!("regrow: {}", chain(&error))),
    }
    if let CliError::BackgroundEnded { code, .. } = error {
        return ExitCode::from(code);
    }
    exit.into()
}

/// An error with its causes, as one line; a cause that is part of the text already is not said twice.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Shows what the command line's reader has to say: help, the version, or what was wrong.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let exit = if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Ok
    };
    // Where nobody reads there is nothing to be done.
    drop(error.print());
    exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let error = CliError::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit(), Exit::Ok);
        let error = CliError::Output(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.exit(), Exit::Failure);
    }

    #[test]
    fn an_error_is_told_with_its_causes_once() {
        let error = CliError::Background(io::Error::other("no such program"));
        assert_eq!(
            chain(&error),
            "failed to start regrow in the background: no such program"
        );
        let state = StateDirError::Io {
            path: "/x".into(),
            source: io::Error::other("read-only"),
        };
        let text = chain(&CliError::State(state));
        assert_eq!(text.matches("read-only").count(), 1, "{text}");
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        let held = StateDirError::Held {
            path: "/x".into(),
            pid: Some(7),
        };
        assert_eq!(CliError::State(held).exit(), Exit::Conflict);
        assert_eq!(CliError::Usage(String::new()).exit(), Exit::Usage);
        assert_eq!(
            CliError::AgentsFailed("a".to_owned()).exit(),
            Exit::AgentFailed
        );
        let late = CliError::Timeout {
            what: "a".to_owned(),
            after: Duration::from_secs(1),
        };
        assert_eq!(late.exit(), Exit::Timeout);
        assert_eq!(Exit::NotAllowed as u8, 9);
    }
}
