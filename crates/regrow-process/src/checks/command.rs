//! What a command says by its exit code.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use regrow_core::lifecycle::Exit;
use regrow_core::probe::CheckResult;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::{TIMEOUT, is_ours, quotable};
use crate::environment::{inherited, resolve};
use crate::os::{self, Identity, Signal};

/// So much of what a command writes on each stream is kept: Kubernetes' number. The rest is read and dropped.
const OUTPUT: usize = 10 * 1024;

/// How long the streams of a command that has ended are read on: what it has started may hold them open.
const PIPES: Duration = Duration::from_millis(200);

/// Runs a command: it is well when that ends with 0.
///
/// The command is a process group of its own, with the environment that agents have: `PATH`, `HOME`, `LANG`, `TZ`, `TMPDIR`, and what is
/// given. When its time is over, or nobody waits for it any more, the group is killed; so is what a command leaves behind in it. What has left the
/// group by then is not found. The cause has the last line that it wrote, of its errors where there are any, so it
/// should write no secret there.
///
/// A command that cannot be run, because there is none, is a failure: it would never be well.
#[derive(Clone)]
pub struct CommandCheck {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    cwd: Option<PathBuf>,
    timeout: Duration,
}

impl std::fmt::Debug for CommandCheck {
    /// Without arguments and environment, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandCheck")
            .field("program", &self.program)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl CommandCheck {
    /// Runs `program`, for at most 1 s; a name without slash is looked for in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            timeout: TIMEOUT,
        }
    }

    /// With these arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With this in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// In this directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it once.
    pub async fn run(&self) -> CheckResult {
        let name = quotable(&self.program.to_string_lossy());
        let (child, leader) = match self.spawn() {
            Ok(spawned) => spawned,
            Err(result) => return result,
        };
        // A task sees it to its end, whoever waits: dropping `cancel` is the wish that it ends now.
        let (cancel, cancelled) = oneshot::channel::<()>();
        let timeout = self.timeout;
        let enough = async move {
            tokio::select! {
                () = tokio::time::sleep(timeout) => {}
                _ = cancelled => {}
            }
        };
        let end = tokio::spawn(see_to_its_end(child, leader, enough)).await;
        drop(cancel);
        match end {
            Ok(Ok(end)) => end.judge(&name, timeout),
            Ok(Err(error)) => CheckResult::error(format!("failed to wait for {name}: {error}")),
            Err(_) => CheckResult::error(format!("the wait for {name} broke off")),
        }
    }

    fn spawn(&self) -> Result<(Child, Identity), CheckResult> {
        let mut env = inherited(std::iter::empty());
        env.extend(self.env.clone());
        let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
        let program = resolve(&self.program, path, self.cwd.as_deref())
            .map_err(|error| CheckResult::failure(error.to_string()))?;
        let mut command = Command::new(&program);
        command
            .arg0(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(&env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(directory) = &self.cwd {
            command.current_dir(directory);
        }
        os::spawn(&mut command).map_err(|error| {
            let text = format!("failed to run {}: {error}", program.display());
            if is_ours(&error) {
                CheckResult::error(text)
            } else {
                CheckResult::failure(text)
            }
        })
    }
}

/// How a command came to its end.
struct End {
    /// `None` when its time was over.
    exit: Option<Exit>,
    written: Written,
}

/// The end of what a command wrote on each stream.
#[derive(Default)]
struct Written {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Written {
    /// The last line that says anything: of the errors, or of what else there is.
    fn last_line(&self) -> Option<String> {
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
            line.map(quotable)
        };
        last(&self.stderr).or_else(|| last(&self.stdout))
    }
}

impl End {
    fn judge(&self, name: &str, timeout: Duration) -> CheckResult {
        let last = self.written.last_line();
        let said = last.map_or(String::new(), |line| format!(": {line}"));
        match self.exit {
            Some(Exit::Code(0)) => CheckResult::success(),
            Some(Exit::Code(code)) => {
                CheckResult::failure(format!("{name} ended with {code}{said}"))
            }
            Some(Exit::Signal(signal)) => {
                CheckResult::failure(format!("{name} was ended by signal {signal}{said}"))
            }
            None => CheckResult::timeout(format!(
                "{name} did not end within {timeout:?} and was killed{said}"
            )),
        }
    }
}

/// Waits for the command, kills its group in any case, and reaps it.
async fn see_to_its_end(
    mut child: Child,
    leader: Identity,
    enough: impl Future<Output = ()>,
) -> io::Result<End> {
    let mut written = Written::default();
    let exit = {
        let ended = async {
            let exit = tokio::select! {
                ended = os::exited(leader) => Some(ended?),
                () = enough => None,
            };
            // It is not reaped yet, so the name of its group is nobody else's.
            let killed = os::signal_group(leader, Signal::Kill);
            if exit.is_none() {
                killed?;
                os::exited(leader).await?;
            } else if let Err(error) = killed {
                // It has said what it had to: what it left behind may be another user's.
                tracing::debug!(pid = leader.pid, %error, "failed to end what a command has left in its group");
            }
            io::Result::Ok(exit)
        };
        let read = read_both(child.stdout.take(), child.stderr.take(), &mut written);
        tokio::pin!(ended, read);
        tokio::select! {
            exit = &mut ended => {
                drop(tokio::time::timeout(PIPES, &mut read).await);
                exit?
            }
            () = &mut read => ended.await?,
        }
    };
    os::reap(&mut child, leader)?;
    Ok(End { exit, written })
}

async fn read_both(
    mut stdout: Option<impl AsyncRead + Unpin>,
    mut stderr: Option<impl AsyncRead + Unpin>,
    written: &mut Written,
) {
    let (mut out, mut err) = ([0; 4096], [0; 4096]);
    while stdout.is_some() || stderr.is_some() {
        let (bytes, kept) = tokio::select! {
            read = next(&mut stdout, &mut out) => (&out[..read], &mut written.stdout),
            read = next(&mut stderr, &mut err) => (&err[..read], &mut written.stderr),
        };
        // The end is what tells why.
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(OUTPUT);
        kept.drain(..surplus);
    }
}

/// How many bytes came; a stream that is at its end is taken away, and one that is not there never has any.
async fn next(source: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    let Some(stream) = source else {
        return std::future::pending().await;
    };
    let read = stream.read(buffer).await.unwrap_or(0);
    if read == 0 {
        *source = None;
    }
    read
}
