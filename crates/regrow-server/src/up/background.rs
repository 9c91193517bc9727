//! `regrow up -d`: the daemon as a process of its own, watched until it answers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{CliError, Up, complain, say};
use crate::client::{Client, Endpoint};
use crate::state_dir::{Holder, Layout, Run, StateDirError};

/// The API answers as soon as it has its port; what takes longer is stuck.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// A log that has grown longer is put aside at the next start.
const LONGEST_LOG: u64 = 4 * 1024 * 1024;
/// How much of what a failed start wrote is shown.
const LONGEST_SHOWN: u64 = 64 * 1024;

/// Starts the daemon, waits until its API answers, and says where that is.
///
/// # Errors
///
/// When the state directory is taken or cannot be used, or the daemon ends at once: with what it
/// wrote, and its exit code.
pub(super) async fn start(up: &Up, file: &Path, layout: &Layout) -> Result<Client, CliError> {
    layout.create()?;
    if let Holder::Daemon { pid } = layout.holder() {
        let path = layout.path().to_owned();
        return Err(StateDirError::Held { path, pid }.into());
    }
    let (log, begin) = log(layout).map_err(CliError::Background)?;
    let mut child = spawn(up, file, layout, log).map_err(CliError::Background)?;
    let client = Client::new(Endpoint::Socket(layout.socket_path()));
    let begun = Instant::now();
    while begun.elapsed() < ANSWERS_WITHIN {
        if let Some(status) = child.try_wait().map_err(CliError::Background)? {
            complain(written(&layout.log_file(), begin).trim_end());
            return Err(CliError::BackgroundEnded {
                code: code(status),
                log: layout.log_file(),
            });
        }
        if let Some(run) = run_of(&child, layout)
            && client.info().await.is_ok()
        {
            say(&format!(
                "regrow runs in the background (pid {}), API at http://{}, log in {}",
                run.pid,
                run.listen,
                layout.log_file().display()
            ))?;
            return Ok(client);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(CliError::Timeout {
        what: format!("the start of regrow (pid {}, which goes on)", child.id()),
        after: ANSWERS_WITHIN,
    })
}

/// What this child has written of itself, once its API answers; a dead run's record is not it.
fn run_of(child: &Child, layout: &Layout) -> Option<Run> {
    layout
        .run()
        .ok()
        .flatten()
        .filter(|run| run.pid == child.id())
}

/// The log, and where in it this run begins.
fn log(layout: &Layout) -> io::Result<(File, u64)> {
    let path = layout.log_file();
    if fs::metadata(&path).is_ok_and(|file| file.len() > LONGEST_LOG) {
        fs::rename(&path, path.with_extension("log.1"))?;
    }
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)?;
    let begin = log.metadata()?.len();
    Ok((log, begin))
}

fn spawn(up: &Up, file: &Path, layout: &Layout, log: File) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("up")
        .arg("--in-background")
        .arg("--file")
        .arg(file);
    command.arg("--state-dir").arg(layout.path());
    if let Some(listen) = up.listen {
        command.arg("--listen").arg(listen.to_string());
    }
    if let Some(format) = up.log_format {
        command.arg("--log-format").arg(format.as_str());
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn code(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    // An end before the API answers is never a success.
    match u8::try_from(code) {
        Ok(0) | Err(_) => 1,
        Ok(code) => code,
    }
}

/// What the log has from `begin` on.
fn written(log: &Path, begin: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            begin.max(end.saturating_sub(LONGEST_SHOWN)),
        ))?;
        let mut bytes = Vec::new();
        file.take(LONGEST_SHOWN).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_passed_on_and_never_a_success() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(0)), 1);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn only_what_this_run_wrote_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        fs::write(layout.log_file(), "old\n").unwrap();
        let (mut log, begin) = log(&layout).unwrap();
        io::Write::write_all(&mut log, b"new\n").unwrap();
        assert_eq!(written(&layout.log_file(), begin), "new\n");
    }

    #[test]
    fn a_long_log_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let file = File::create(layout.log_file()).unwrap();
        file.set_len(LONGEST_LOG + 1).unwrap();
        let (_, begin) = log(&layout).unwrap();
        assert_eq!(begin, 0);
        assert!(folder.path().join("regrow.log.1").is_file());
    }
}
