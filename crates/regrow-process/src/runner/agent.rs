//! One agent, in the hands of who has started it.

use std::fmt;
use std::sync::Arc;

use regrow::telemetry::Stream;
use regrow::{ChildPath, OperateError, System};
use uuid::Uuid;

use super::cell::Cell;
use super::reader::{LineReader, ReadLine};
use super::status::{AgentEnd, AgentStatus};
use super::{AgentError, AgentHandle, Answer, Later, SpawnAgentError};
use crate::driver::{SignalError, SignalTo};
use crate::os::Signal;
use crate::stdin::{StdinError, StdinWriter};
use crate::stdio::{Output, PieceFollower};

/// One agent, over all its lives.
///
/// It keeps nothing alive, and dropped it does nothing to the agent. A clone is the same agent with its own place to read from: it
/// goes on where the other was.
#[derive(Clone)]
pub struct Agent {
    cell: Arc<Cell>,
    stdout: LineReader,
    stderr: LineReader,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("name", &self.cell.name)
            .field("id", &self.cell.id)
            .finish_non_exhaustive()
    }
}

impl Agent {
    pub(super) fn new(cell: Arc<Cell>) -> Self {
        Self {
            stdout: LineReader::new(Arc::clone(&cell), Some(Stream::Stdout)),
            stderr: LineReader::new(Arc::clone(&cell), Some(Stream::Stderr)),
            cell,
        }
    }

    /// Who it is: the same in all its lives, and nobody else's. Its entry in the registry has it as the metadata `uuid`.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.cell.id
    }

    /// What it is called, `coder-agent-3`: the id of its child. No other agent of its runner has ever had it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Its type.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.cell.type_name
    }

    /// Where it stands in the tree.
    #[must_use]
    pub fn path(&self) -> &ChildPath {
        &self.cell.path
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.cell.status()
    }

    /// Waits until it is as `wanted`, or its place is gone and nothing changes any more, and answers how it is then. What lasts only
    /// for a moment may be missed.
    pub async fn wait_until(&self, wanted: impl Fn(&AgentStatus) -> bool + Send) -> AgentStatus {
        let mut changes = self.cell.changes();
        loop {
            changes.mark_unchanged();
            let status = self.cell.status();
            if wanted(&status) || status.is_gone {
                return status;
            }
            // The sender is the agent's own.
            drop(changes.changed().await);
        }
    }

    /// Waits until it has ended and is not started again.
    pub async fn wait(&self) -> AgentEnd {
        self.cell.over().await
    }

    /// The code with which its last process exited; `None` while none has, and after a signal.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.status().exit_code()
    }

    /// Writes these bytes to its standard input, whole, as soon as it reads them; answers which life got them.
    ///
    /// # Errors
    /// When there is no life to write to, or it does not read within 10 s.
    pub async fn write_stdin(&self, bytes: impl Into<Vec<u8>>) -> Result<u32, AgentError> {
        let written = self.stdin().write(bytes).await;
        written.map_err(|error| self.not_written(error))
    }

    /// Writes a line, and its end.
    ///
    /// # Errors
    /// As [`Agent::write_stdin`]; and when there is a line end in it.
    pub async fn write_line(&self, line: impl AsRef<[u8]>) -> Result<u32, AgentError> {
        let written = self.stdin().write_line(line).await;
        written.map_err(|error| self.not_written(error))
    }

    /// Where to write with a limit of one's own, to one life only, or to close it.
    pub fn stdin(&self) -> StdinWriter {
        self.cell.process.stdin()
    }

    /// The next line of its standard output that this handle has not read, from the oldest that is kept; waits for it. `None` when it
    /// has ended for good and everything is read.
    pub async fn read_stdout(&self) -> Option<ReadLine> {
        self.stdout.next().await
    }

    /// The next line of its standard error, likewise.
    pub async fn read_stderr(&self) -> Option<ReadLine> {
        self.stderr.next().await
    }

    /// Both streams in one order, from the oldest line on.
    #[must_use]
    pub fn lines(&self) -> LineReader {
        LineReader::new(Arc::clone(&self.cell), None)
    }

    /// The bytes of one stream as they came, from the oldest that is kept: for a protocol that has no lines.
    #[must_use]
    pub fn bytes(&self, stream: Stream) -> PieceFollower {
        self.output().follow_bytes(stream, 0)
    }

    /// Everything that is kept of what it writes.
    #[must_use]
    pub fn output(&self) -> &Output {
        self.cell.output()
    }

    /// Sends a signal to it and what it has started. One that it ends by counts as a failure: it is started again by its rules.
    ///
    /// # Errors
    /// When no process runs; for SIGSTOP and SIGCONT, which are [`Agent::pause`] and [`Agent::resume`].
    pub async fn signal(&self, signal: Signal) -> Result<(), AgentError> {
        let sent = self.cell.process.signal(signal, SignalTo::Group).await;
        sent.map_err(|source| match source {
            SignalError::NotRunning => self.ended().unwrap_or_else(|| self.no_signal(source)),
            SignalError::Reserved { .. } | SignalError::Busy | SignalError::Refused(_) => {
                self.no_signal(source)
            }
        })
    }

    /// Holds it where it is, and waits until it is held. Its time stands still until it is resumed, stopped or restarted.
    ///
    /// # Errors
    /// When it is not up.
    pub async fn pause(&self) -> Result<(), AgentError> {
        let paused = self.system()?.pause_child(self.path().as_str()).await;
        self.operated(paused.map(drop))
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is not up.
    pub async fn resume(&self) -> Result<(), AgentError> {
        let resumed = self.system()?.resume_child(self.path().as_str()).await;
        self.operated(resumed.map(drop))
    }

    /// Stops it, starts it and waits until it is up. One that has failed gets another chance.
    ///
    /// # Errors
    /// When it has left its place, or does not come up.
    pub async fn restart(&self) -> Result<(), AgentError> {
        let restarted = self.system()?.bounce_child(self.path().as_str()).await;
        self.operated(restarted.map(drop))
    }

    /// Asks it to stop, step by step and by force in the end, as its type says; waits until nothing of it is left. Its place goes. One
    /// that has ended already is told as it has.
    ///
    /// # Errors
    /// When its own supervisor is going, or the system has ended before it.
    pub async fn stop(&self) -> Result<AgentEnd, AgentError> {
        if self.status().is_gone {
            return Ok(self.wait().await);
        }
        let system = self.system()?;
        let path = self.path().as_str();
        let stopped = system.terminate_child(path).await;
        self.forgotten(&system, stopped.map(drop)).await
    }

    /// The same by force, at once: nobody is asked.
    ///
    /// # Errors
    /// As [`Agent::stop`].
    pub async fn kill(&self) -> Result<AgentEnd, AgentError> {
        if self.status().is_gone {
            return Ok(self.wait().await);
        }
        let system = self.system()?;
        let path = self.path().as_str();
        // It is taken off first, so that it is not started again. If the signal is quicker it is taken off while it waits for that.
        let (stopped, killed) = tokio::join!(
            system.terminate_child(path),
            self.cell.process.signal(Signal::Kill, SignalTo::Group)
        );
        if let Err(error) = killed {
            tracing::debug!(agent = %self.name(), %error, "had no process to kill; it is stopped all the same");
        }
        self.forgotten(&system, stopped.map(drop)).await
    }

    /// It is stopped; waits until its place is gone, which it keeps where it had failed.
    async fn forgotten(
        &self,
        system: &System,
        stopped: Result<(), OperateError>,
    ) -> Result<AgentEnd, AgentError> {
        match stopped {
            Ok(()) | Err(OperateError::NotFound { .. }) => {}
            Err(_) => self.operated(stopped)?,
        }
        match system.delete_child(self.path().as_str()).await {
            Ok(_) | Err(OperateError::NotFound { .. } | OperateError::Gone { .. }) => {}
            Err(error) => self.operated(Err(error))?,
        }
        let status = self.wait_until(|status| status.is_gone).await;
        Ok(status.end())
    }

    pub(super) fn did_not_start(&self, source: OperateError) -> SpawnAgentError {
        SpawnAgentError::DidNotStart {
            name: Arc::clone(&self.cell.name),
            last_words: self.cell.last_words(),
            source,
        }
    }

    fn system(&self) -> Result<Arc<System>, AgentError> {
        self.cell.system.upgrade().ok_or(AgentError::Over)
    }

    /// Why nothing can be done with it any more, if that is so.
    fn ended(&self) -> Option<AgentError> {
        let status = self.status();
        status.is_over().then(|| AgentError::Ended {
            name: Arc::clone(&self.cell.name),
            phase: status.phase,
        })
    }

    fn operated(&self, done: Result<(), OperateError>) -> Result<(), AgentError> {
        done.map_err(|source| {
            let gone = matches!(
                source,
                OperateError::NotFound { .. } | OperateError::Gone { .. }
            );
            let ended = if gone { self.ended() } else { None };
            ended.unwrap_or_else(|| AgentError::Operate {
                name: Arc::clone(&self.cell.name),
                source,
            })
        })
    }

    fn not_written(&self, source: StdinError) -> AgentError {
        let ended = if source == StdinError::NotRunning {
            self.ended()
        } else {
            None
        };
        ended.unwrap_or_else(|| AgentError::Stdin {
            name: Arc::clone(&self.cell.name),
            source,
        })
    }

    fn no_signal(&self, source: SignalError) -> AgentError {
        AgentError::Signal {
            name: Arc::clone(&self.cell.name),
            source,
        }
    }
}

impl AgentHandle for Agent {
    fn id(&self) -> Uuid {
        self.id()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn type_name(&self) -> &str {
        self.type_name()
    }

    fn status(&self) -> AgentStatus {
        self.status()
    }

    fn write_stdin(&self, bytes: Vec<u8>) -> Answer<'_, u32, AgentError> {
        Box::pin(self.write_stdin(bytes))
    }

    fn read_stdout(&self) -> Later<'_, Option<ReadLine>> {
        Box::pin(self.read_stdout())
    }

    fn read_stderr(&self) -> Later<'_, Option<ReadLine>> {
        Box::pin(self.read_stderr())
    }

    fn wait(&self) -> Later<'_, AgentEnd> {
        Box::pin(self.wait())
    }

    fn exit_code(&self) -> Option<i32> {
        self.exit_code()
    }

    fn signal(&self, signal: Signal) -> Answer<'_, (), AgentError> {
        Box::pin(self.signal(signal))
    }

    fn pause(&self) -> Answer<'_, (), AgentError> {
        Box::pin(self.pause())
    }

    fn resume(&self) -> Answer<'_, (), AgentError> {
        Box::pin(self.resume())
    }

    fn restart(&self) -> Answer<'_, (), AgentError> {
        Box::pin(self.restart())
    }

    fn stop(&self) -> Answer<'_, AgentEnd, AgentError> {
        Box::pin(self.stop())
    }

    fn kill(&self) -> Answer<'_, AgentEnd, AgentError> {
        Box::pin(self.kill())
    }
}
