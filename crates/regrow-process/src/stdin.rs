//! What is written to an agent: whole messages, one after the other, no faster than the agent reads.
//!
//! The pipe of a life belongs to its driver, and whoever writes borrows it for one message. A message that has begun is finished,
//! whatever becomes of the one who sent it: the next never lands in the middle of it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, timeout_at};

/// How long a message waits for the agent, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an agent did not get a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StdinError {
    /// No process runs now.
    #[error("the agent does not run now")]
    NotRunning,
    /// The agent has no standard input.
    #[error("the agent has no standard input: it was started with stdin null")]
    Null,
    /// The agent, or somebody who writes to it, has closed its standard input.
    #[error("the agent's standard input is closed")]
    Closed,
    /// The agent is being asked to stop; it gets no more work.
    #[error("the agent is being stopped")]
    Stopping,
    /// The message is for another life than the one that runs.
    #[error("the message is for generation {wanted}, and generation {now} runs")]
    OtherLife {
        /// The life it is for.
        wanted: u32,
        /// The life that runs.
        now: u32,
    },
    /// The agent did not read: nothing of the message was written.
    #[error("the agent did not read for {} ms; nothing was written", .after.as_millis())]
    Full {
        /// How long it was waited for.
        after: Duration,
    },
    /// The agent stopped reading in the middle. The rest follows as soon as it reads on, before anything else.
    #[error("the agent has read no more than {written} of {length} bytes within {} ms; the rest follows when it reads on", .after.as_millis())]
    Unfinished {
        /// How long it was waited for.
        after: Duration,
        /// So many bytes of the message went into its pipe at first.
        written: usize,
        /// So many it has.
        length: usize,
    },
    /// A line with a line end in it would be two.
    #[error("a line has no line end in it")]
    NotALine,
}

/// Whether messages are taken; each is further on than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Open,
    /// Only the stop line is.
    Stopping,
    /// None is, and the pipe goes.
    Closed,
    /// The process is gone.
    Over,
}

impl Mode {
    fn refusal(self) -> Option<StdinError> {
        match self {
            Self::Open => None,
            Self::Stopping => Some(StdinError::Stopping),
            Self::Closed => Some(StdinError::Closed),
            Self::Over => Some(StdinError::NotRunning),
        }
    }
}

type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// The pipe of one life.
pub(crate) struct Pipe {
    generation: u32,
    writer: Arc<tokio::sync::Mutex<Option<Writer>>>,
    mode: watch::Sender<Mode>,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("generation", &self.generation)
            .field("mode", &*self.mode.borrow())
            .finish_non_exhaustive()
    }
}

impl Pipe {
    /// Takes no more messages but the stop line; those that wait are refused.
    pub(crate) fn refuse_work(&self) {
        self.turn(Mode::Stopping);
    }

    /// Closes the pipe: the agent reads the end. A message that is not finished never will be.
    pub(crate) fn close(&self) {
        self.turn(Mode::Closed);
        if let Ok(mut writer) = self.writer.try_lock() {
            *writer = None;
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Whoever writes just now lets go of it at once, unless nobody polls him: so we do not wait here.
            let writer = Arc::clone(&self.writer);
            runtime.spawn(async move { *writer.lock().await = None });
        }
    }

    /// The process is gone.
    pub(crate) fn over(&self) {
        self.turn(Mode::Over);
    }

    /// Writes the stop line, which nobody's messages hold up for longer than `within`.
    pub(crate) async fn ask(&self, line: &str, within: Duration) -> Result<(), StdinError> {
        self.refuse_work();
        let deadline = Deadline::after(within);
        let writer = self.borrow(Mode::Closed, deadline).await?;
        let line = format!("{line}\n").into_bytes();
        self.put(writer, line, Mode::Closed, deadline).await
    }

    async fn write(&self, message: Vec<u8>, within: Duration) -> Result<(), StdinError> {
        let deadline = Deadline::after(within);
        let writer = self.borrow(Mode::Stopping, deadline).await?;
        self.put(writer, message, Mode::Stopping, deadline).await
    }

    /// The pipe, when those who came before are done; refused when it has come to `refused`.
    async fn borrow(
        &self,
        refused: Mode,
        deadline: Deadline,
    ) -> Result<OwnedMutexGuard<Option<Writer>>, StdinError> {
        tokio::select! {
            biased;
            refusal = self.refusal(refused) => Err(refusal),
            writer = deadline.lock(&self.writer) => writer,
        }
    }

    /// Waits until it has come to `refused`.
    async fn refusal(&self, refused: Mode) -> StdinError {
        let mut mode = self.mode.subscribe();
        let refused = mode.wait_for(|mode| *mode >= refused).await;
        let refusal = refused.ok().and_then(|mode| mode.refusal());
        refusal.unwrap_or(StdinError::NotRunning)
    }

    /// Writes the whole message, or nothing, or leaves the rest of it to a task that holds the pipe until it is written.
    async fn put(
        &self,
        mut writer: OwnedMutexGuard<Option<Writer>>,
        message: Vec<u8>,
        refused: Mode,
        deadline: Deadline,
    ) -> Result<(), StdinError> {
        let Some(open) = &mut *writer else {
            return Err(self.mode.borrow().refusal().unwrap_or(StdinError::Closed));
        };
        if message.is_empty() {
            return Ok(());
        }
        let begin = poll_fn(|context| open.as_mut().poll_write(context, &message));
        let begun = tokio::select! {
            biased;
            refusal = self.refusal(refused) => return Err(refusal),
            begun = timeout_at(deadline.at, begin) => begun,
        };
        let written = match begun {
            Err(_late) => return Err(deadline.full()),
            Ok(Ok(written)) if written == message.len() => return Ok(()),
            Ok(Ok(written)) => written,
            Ok(Err(error)) => {
                *writer = None;
                return Err(self.broken(&error));
            }
        };
        // From here on it cannot be taken back, so it does not depend on who waits for it.
        let (mut mode, length) = (self.mode.subscribe(), message.len());
        let rest = tokio::spawn(async move {
            let rest = async {
                match &mut *writer {
                    Some(open) => open.write_all(&message[written..]).await,
                    None => Ok(()),
                }
            };
            let ended = tokio::select! {
                biased;
                _ = mode.wait_for(|mode| *mode > Mode::Stopping) => Err(io::ErrorKind::BrokenPipe.into()),
                rest = rest => rest,
            };
            if ended.is_err() {
                *writer = None;
            }
            ended
        });
        match timeout_at(deadline.at, rest).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(self.broken(&error)),
            Ok(Err(_ended_with_the_runtime)) => Err(StdinError::NotRunning),
            Err(_late) => Err(StdinError::Unfinished {
                after: deadline.within,
                written,
                length,
            }),
        }
    }

    fn broken(&self, error: &io::Error) -> StdinError {
        tracing::debug!(%error, generation = self.generation, "failed to write to an agent");
        self.turn(Mode::Closed);
        self.mode.borrow().refusal().unwrap_or(StdinError::Closed)
    }

    /// It only ever goes one way.
    fn turn(&self, to: Mode) {
        self.mode.send_if_modified(|mode| {
            let later = to > *mode;
            *mode = to.max(*mode);
            later
        });
    }
}

#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    within: Duration,
}

impl Deadline {
    fn after(within: Duration) -> Self {
        // Ten years are for ever, and can be added to any moment.
        let most = Duration::from_secs(10 * 365 * 24 * 60 * 60);
        Self {
            at: Instant::now() + within.min(most),
            within,
        }
    }

    fn full(self) -> StdinError {
        StdinError::Full { after: self.within }
    }

    /// First come, first served.
    async fn lock<T>(
        self,
        lock: &Arc<tokio::sync::Mutex<T>>,
    ) -> Result<OwnedMutexGuard<T>, StdinError> {
        let locked = timeout_at(self.at, Arc::clone(lock).lock_owned()).await;
        locked.map_err(|_late| self.full())
    }
}

/// The standard input of an agent over all its lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inlet(Arc<Mutex<Current>>);

#[derive(Debug, Default)]
enum Current {
    #[default]
    Nobody,
    Null {
        generation: u32,
    },
    Pipe(Arc<Pipe>),
}

impl Inlet {
    /// Life `generation` runs now, with this as its standard input.
    pub(crate) fn open(
        &self,
        generation: u32,
        stdin: Option<impl AsyncWrite + Send + 'static>,
    ) -> Opened {
        let (writer, mode, null) = match stdin {
            Some(stdin) => (Some(Box::pin(stdin) as Writer), Mode::Open, false),
            None => (None, Mode::Closed, true),
        };
        let pipe = Arc::new(Pipe {
            generation,
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            mode: watch::Sender::new(mode),
        });
        *self.current() = if null {
            Current::Null { generation }
        } else {
            Current::Pipe(Arc::clone(&pipe))
        };
        Opened {
            inlet: self.clone(),
            pipe,
        }
    }

    fn pipe(&self, wanted: Option<u32>) -> Result<Arc<Pipe>, StdinError> {
        let current = self.current();
        let now = match &*current {
            Current::Nobody => return Err(StdinError::NotRunning),
            Current::Null { generation } => *generation,
            Current::Pipe(pipe) => pipe.generation,
        };
        match (wanted, &*current) {
            (Some(wanted), _) if wanted != now => Err(StdinError::OtherLife { wanted, now }),
            (_, Current::Pipe(pipe)) => Ok(Arc::clone(pipe)),
            (_, Current::Nobody | Current::Null { .. }) => Err(StdinError::Null),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by the driver of a life: dropped, nobody writes to that life any more.
#[derive(Debug)]
pub(crate) struct Opened {
    inlet: Inlet,
    pipe: Arc<Pipe>,
}

impl std::ops::Deref for Opened {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        &self.pipe
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.pipe.over();
        self.pipe.close();
        let mut current = self.inlet.current();
        let ours = match &*current {
            Current::Nobody => false,
            Current::Null { generation } => *generation == self.pipe.generation,
            Current::Pipe(pipe) => Arc::ptr_eq(pipe, &self.pipe),
        };
        if ours {
            *current = Current::Nobody;
        }
    }
}

/// Writes to an agent, whichever life of it runs, or to one life only. It keeps nothing alive.
///
/// A message is written whole, and no other lands in the middle of it. One that the agent does not begin to read in time is withdrawn
/// whole; one that has begun is finished, even if whoever waits for it gives up. A future that is dropped before it has begun has
/// written nothing.
#[derive(Debug, Clone)]
#[must_use]
pub struct StdinWriter {
    inlet: Inlet,
    generation: Option<u32>,
    within: Duration,
}

impl StdinWriter {
    pub(crate) fn new(inlet: Inlet) -> Self {
        Self {
            inlet,
            generation: None,
            within: PATIENCE,
        }
    }

    /// Only to this life: an answer to what it said means nothing to the next.
    pub fn generation(mut self, generation: u32) -> Self {
        self.generation = Some(generation);
        self
    }

    /// How long a message may take, instead of 10 s: until the agent has made room for the last byte of it in its pipe, which
    /// holds 64 KiB.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Writes these bytes, and answers to which life.
    ///
    /// # Errors
    ///
    /// When there is no life to write to, or it does not read in time.
    pub async fn write(&self, bytes: impl Into<Vec<u8>>) -> Result<u32, StdinError> {
        let pipe = self.inlet.pipe(self.generation)?;
        pipe.write(bytes.into(), self.within).await?;
        Ok(pipe.generation)
    }

    /// Writes a line, and its end.
    ///
    /// # Errors
    ///
    /// As of [`StdinWriter::write`]; and when there is a line end in it.
    pub async fn write_line(&self, line: impl AsRef<[u8]>) -> Result<u32, StdinError> {
        let line = line.as_ref();
        if line.contains(&b'\n') {
            return Err(StdinError::NotALine);
        }
        self.write([line, b"\n"].concat()).await
    }

    /// Closes it, after the messages that were sent before: the agent reads the end of its input, and later messages are refused.
    ///
    /// # Errors
    ///
    /// As of [`StdinWriter::write`].
    pub async fn close(&self) -> Result<u32, StdinError> {
        let pipe = self.inlet.pipe(self.generation)?;
        let deadline = Deadline::after(self.within);
        drop(pipe.borrow(Mode::Stopping, deadline).await?);
        pipe.close();
        Ok(pipe.generation)
    }
}

#[cfg(test)]
mod tests;
