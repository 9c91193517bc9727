//! What holds a sample agent: the signals that ask it to stop, and stdin, which its supervisor holds open.

use std::fmt;
use std::io::{self, IsTerminal, Read};
use std::thread;

use rustix::fs::FileType;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::SampleAgentError;

/// So much of a line is heard.
const LONGEST: usize = 256;

/// How an agent was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Terminate,
    Interrupt,
    StdinClosed,
}

impl Asked {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::StdinClosed => "the end of stdin",
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// SIGTERM, SIGINT and the end of stdin, in one place.
#[derive(Debug)]
pub(super) struct Leash {
    terminate: Signal,
    interrupt: Signal,
    stdin: Option<oneshot::Receiver<()>>,
}

impl Leash {
    /// Takes hold: from now on the two signals no longer end the process by themselves.
    pub(super) fn take() -> Result<Self, SampleAgentError> {
        Self::take_and_hear(|_| {})
    }

    /// The same, and each line of stdin is heard.
    pub(super) fn take_and_hear(
        hear: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, SampleAgentError> {
        Self::try_take(hear).map_err(SampleAgentError::Leash)
    }

    fn try_take(hear: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stdin: if stdin_is_held()? {
                Some(end_of_stdin(hear)?)
            } else {
                None
            },
        })
    }

    /// Waits until the agent is asked to stop. The end of stdin is told once.
    pub(super) async fn asked(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
            () = closed(&mut self.stdin) => {
                self.stdin = None;
                Asked::StdinClosed
            }
        }
    }
}

/// Whether somebody holds the other end of stdin. `/dev/null` and files are at their end from the start: that asks nothing.
fn stdin_is_held() -> io::Result<bool> {
    let stdin = io::stdin();
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&stdin)?.st_mode);
    Ok(matches!(kind, FileType::Fifo | FileType::Socket) || stdin.is_terminal())
}

/// Reads stdin to its end on a thread of its own, which does not keep the process from ending, as a task of tokio's would.
fn end_of_stdin(hear: impl Fn(&str) + Send + 'static) -> io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut chunk = [0; 4096];
            let mut line = Vec::new();
            let mut stdin = io::stdin().lock();
            while let Ok(count @ 1..) = stdin.read(&mut chunk) {
                for &byte in &chunk[..count] {
                    if byte == b'\n' {
                        hear(&String::from_utf8_lossy(&line));
                        line.clear();
                    } else if line.len() < LONGEST {
                        line.push(byte);
                    }
                }
            }
            ended.send(()).ok();
        })?;
    Ok(end)
}

async fn closed(stdin: &mut Option<oneshot::Receiver<()>>) {
    match stdin {
        // An error says that the reader is gone, which is an end too.
        Some(end) => end.await.unwrap_or(()),
        None => std::future::pending().await,
    }
}
