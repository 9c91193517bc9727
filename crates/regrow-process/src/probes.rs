//! What a probe asks of a process itself: at the address, with the environment and in the output of the life that runs now.
//!
//! [`ProcessCheck`] looks at nothing but the process, so it may be a liveness probe. A check of another address, such as an
//! [`HttpCheck`] of what an agent depends on, may not: that does not compile.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use regrow::probe::{Check, Examination, OwnCheck, Probed};
use regrow_core::probe::CheckResult;

use crate::checks::{
    CheckAddress, CommandCheck, GrpcCheck, HttpCheck, InvalidCheck, LogLineCheck, TcpCheck,
};
use crate::environment::fill;
use crate::handle::ProcessHandle;

/// A check that a probe asks gives up when its probe does, and that is sooner.
const UNTIL_THE_PROBE_GIVES_UP: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks a process how it is.
///
/// It goes where the process was told to listen in the life that runs: its port of 127.0.0.1, or its Unix socket. Where no life
/// runs, or it has no address, that is a failure.
///
/// ```
/// use regrow::probe::Probe;
/// use regrow_process::{Process, ProcessCheck};
///
/// # fn main() -> Result<(), regrow_process::InvalidCheck> {
/// let process = Process::new("worker", "./worker").port(8001);
/// let alive = ProcessCheck::http(&process.handle(), "/healthz")?;
/// let ready = ProcessCheck::http(&process.handle(), "/readyz")?;
/// let process = process
///     .probe(Probe::liveness(alive))
///     .probe(Probe::readiness(ready));
/// # Ok(())
/// # }
/// ```
///
/// A check that may go elsewhere cannot be a liveness probe:
///
/// ```compile_fail,E0277
/// # use regrow::probe::Probe;
/// # use regrow_process::HttpCheck;
/// # fn main() -> Result<(), regrow_process::InvalidCheck> {
/// let probe = Probe::liveness(HttpCheck::new("http://127.0.0.1:8001/healthz")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProcessCheck {
    process: ProcessHandle,
    question: Question,
    /// On which port instead of its own.
    port: Option<u16>,
    timeout: Duration,
}

#[derive(Clone)]
enum Question {
    Http(HttpCheck),
    Tcp,
    Grpc(String),
    Command(Vec<OsString>),
    LogLine(Arc<str>, Duration),
}

impl fmt::Debug for Question {
    /// Without arguments, headers and queries, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(check) => check.fmt(f),
            Self::Tcp => f.write_str("Tcp"),
            Self::Grpc(service) => write!(f, "Grpc({service:?})"),
            Self::Command(words) => write!(f, "Command({:?}, …)", words.first()),
            Self::LogLine(text, within) => write!(f, "LogLine({text:?}, {within:?})"),
        }
    }
}

/// What a command needs to run as the process does.
pub(crate) struct Around {
    pub(crate) env: BTreeMap<OsString, OsString>,
    /// What regrow has filled in.
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) cwd: Option<PathBuf>,
}

impl fmt::Debug for Around {
    /// Without values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

impl ProcessCheck {
    /// Asks for `target`, a path with or without a query, by HTTP; see [`HttpCheck`].
    ///
    /// # Errors
    /// When it is no path.
    pub fn http(process: &ProcessHandle, target: &str) -> Result<Self, InvalidCheck> {
        // Where that is said when it is asked.
        let check = HttpCheck::over_socket("", target)?;
        Ok(Self::http_as(process, check))
    }

    /// Asks as this check does, with its headers, and wherever that goes it asks the process.
    #[must_use]
    pub fn http_as(process: &ProcessHandle, check: HttpCheck) -> Self {
        Self::new(process, Question::Http(check))
    }

    /// Connects to it; see [`TcpCheck`].
    #[must_use]
    pub fn tcp(process: &ProcessHandle) -> Self {
        Self::new(process, Question::Tcp)
    }

    /// Asks by gRPC about a service, or with `""` about the whole server; see [`GrpcCheck`].
    #[must_use]
    pub fn grpc(process: &ProcessHandle, service: impl Into<String>) -> Self {
        Self::new(process, Question::Grpc(service.into()))
    }

    /// Runs a command with the environment and in the directory of the process; `${PORT}` and the like are filled in as in its own
    /// command. See [`CommandCheck`].
    #[must_use]
    pub fn command(
        process: &ProcessHandle,
        words: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        process.keep_surroundings();
        let words = words.into_iter().map(Into::into).collect();
        Self::new(process, Question::Command(words))
    }

    /// Looks for a line with `text` in it, which has to come at least once in this time; see [`LogLineCheck`].
    #[must_use]
    pub fn log_line(process: &ProcessHandle, text: impl Into<Arc<str>>, within: Duration) -> Self {
        Self::new(process, Question::LogLine(text.into(), within))
    }

    fn new(process: &ProcessHandle, question: Question) -> Self {
        Self {
            process: process.clone(),
            question,
            port: None,
            timeout: UNTIL_THE_PROBE_GIVES_UP,
        }
    }

    /// Asks on this port of 127.0.0.1, which the process has beside its own.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// How long one answer may take; as long as the probe waits, unless given.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether it asks at an address, so that it can be asked at any time, by anybody.
    #[must_use]
    pub fn has_address(&self) -> bool {
        match self.question {
            Question::Http(_) | Question::Tcp | Question::Grpc(_) => true,
            Question::Command(_) | Question::LogLine(..) => false,
        }
    }

    /// Asks once. Of its output it wants a line from now on.
    pub async fn run(&self) -> CheckResult {
        match &self.question {
            Question::Http(check) => match self.address() {
                Ok(address) => check.at(address).timeout(self.timeout).run().await,
                Err(nowhere) => nowhere,
            },
            Question::Tcp => match self.address() {
                Ok(address) => TcpCheck::new(address).timeout(self.timeout).run().await,
                Err(nowhere) => nowhere,
            },
            Question::Grpc(service) => match self.address() {
                Ok(address) => {
                    let check = GrpcCheck::new(address).service(service);
                    check.timeout(self.timeout).run().await
                }
                Err(nowhere) => nowhere,
            },
            Question::Command(words) => match self.command_check(words) {
                Ok(check) => check.run().await,
                Err(nobody) => nobody,
            },
            Question::LogLine(text, within) => self.lines(text, *within).run().await,
        }
    }

    /// Where the life that runs was told to listen.
    fn address(&self) -> Result<CheckAddress, CheckResult> {
        let status = self.process.status();
        if status.pid.is_none() {
            return Err(CheckResult::failure("no process runs"));
        }
        let own = |port: u16| CheckAddress::Tcp(format!("127.0.0.1:{port}"));
        let socket = status.socket.as_deref().map(Path::to_owned);
        match (self.port, status.port, socket) {
            (Some(port), _, _) | (None, Some(port), _) => Ok(own(port)),
            (None, None, Some(path)) => Ok(CheckAddress::Unix(path)),
            (None, None, None) => Err(CheckResult::failure("it has no port and no socket")),
        }
    }

    fn command_check(&self, words: &[OsString]) -> Result<CommandCheck, CheckResult> {
        let around = self.process.surroundings();
        let around = around.ok_or_else(|| CheckResult::failure("no process runs"))?;
        let mut words = words.iter().map(|word| fill(word, &around.given));
        let program = words.next().unwrap_or_default();
        let mut check = CommandCheck::new(program).args(words).timeout(self.timeout);
        for (name, value) in &around.env {
            check = check.env(name, value);
        }
        Ok(match &around.cwd {
            Some(directory) => check.current_dir(directory),
            None => check,
        })
    }

    fn lines(&self, text: &str, within: Duration) -> LogLineCheck {
        LogLineCheck::new(self.process.output().clone(), text, within)
    }
}

impl Check for ProcessCheck {
    fn examine(&self, _: &Probed) -> Examination {
        if let Question::LogLine(text, within) = &self.question {
            // A life has that time for its first line.
            let check = Arc::new(self.lines(text, *within));
            return Examination::waiting(move || {
                let check = Arc::clone(&check);
                async move { check.run().await }
            });
        }
        let check = self.clone();
        Examination::waiting(move || {
            let check = check.clone();
            async move { check.run().await }
        })
    }
}

impl OwnCheck for ProcessCheck {}

/// These go to an address that somebody else may have: no liveness probes.
macro_rules! elsewhere {
    ($($check:ty),+) => {$(
        impl Check for $check {
            fn examine(&self, _: &Probed) -> Examination {
                // The probe says how long.
                let check = self.clone().timeout(UNTIL_THE_PROBE_GIVES_UP);
                Examination::waiting(move || {
                    let check = check.clone();
                    async move { check.run().await }
                })
            }
        }
    )+};
}

elsewhere!(HttpCheck, TcpCheck, GrpcCheck, CommandCheck);

/// What of an agent's environment is for a command that asks after it: all but what only the process itself can use.
pub(crate) fn for_commands(env: &BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
    const ITS_OWN: [&str; 4] = [
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
    ];
    let mut env = env.clone();
    for name in ITS_OWN {
        env.remove(OsStr::new(name));
    }
    env
}
