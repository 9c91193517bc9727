//! The task that carries what an agent writes to its log file, one for each life.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use regrow::telemetry::Payload;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::JoinHandle;

use super::LogFile;
use super::format::{push_line, push_lost};
use super::pack::pack_all;
use super::writer::{self, Rotated, Writer};
use crate::stdio::{Chunk, Cursor, Output};

/// How much is written at once.
const BATCH: usize = 256 * 1024;

/// What a record has beside its line is less.
const LINE: usize = 64;

/// How long the end of a life waits for its last lines to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// The pause after an error.
const RETRY: Duration = Duration::from_secs(1);

/// The log file of one agent, over all its lives.
#[derive(Debug)]
pub(crate) struct Journal {
    log: LogFile,
    run: Arc<str>,
    state: Arc<tokio::sync::Mutex<State>>,
    news: watch::Sender<News>,
    told: Mutex<News>,
}

/// What is told of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// How many lines the file lacks in all.
    pub(crate) lost: u64,
    /// Why it cannot be written now.
    pub(crate) failing: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct State {
    writer: Option<Writer>,
    /// Whether what a dead run left was mended.
    mended: bool,
    /// Right after the last line that the file has, or will never have.
    written: Cursor,
    packing: Option<JoinHandle<()>>,
}

impl Journal {
    pub(crate) fn new(log: LogFile, run: &str) -> Self {
        Self {
            log,
            run: run.into(),
            state: Arc::default(),
            news: watch::Sender::new(News::default()),
            told: Mutex::default(),
        }
    }

    /// What there is to tell.
    pub(crate) fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// What has changed since this was last asked, as events.
    pub(crate) fn untold(&self) -> Vec<Payload> {
        let news = self.news.borrow().clone();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        if news.failing != told.failing {
            events.push(match &news.failing {
                Some(error) => Payload::ProcessLogFailed {
                    error: Arc::clone(error),
                },
                None => Payload::ProcessLogResumed {},
            });
        }
        if news.lost > told.lost {
            let lines = news.lost - told.lost;
            events.push(Payload::ProcessLogDropped { lines });
        }
        *told = news;
        events
    }

    /// Begins to write what one life brings.
    pub(crate) fn begin(self: &Arc<Self>, output: &Output) -> Keeping {
        let (over, ends) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(self).keep(output.clone(), ends));
        Keeping { over, task }
    }

    /// Writes what comes until `over` is true, and then the rest. The task of an earlier life comes to its end first.
    async fn keep(self: Arc<Self>, output: Output, mut over: watch::Receiver<bool>) {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        loop {
            // Dropped by whoever drives the life, it is over too.
            let last = *over.borrow_and_update() || over.has_changed().is_err();
            let written;
            (state, written) = self.write(state, &output).await;
            match (written, last) {
                (Ok(Written::Some), _) => {}
                (Ok(Written::Nothing) | Err(_), true) => {
                    // Nobody writes it before the next life, which may never come.
                    state.writer = None;
                    return;
                }
                (Ok(Written::Nothing), false) => {
                    tokio::select! {
                        () = output.changed(state.written) => {}
                        _ = over.changed() => {}
                    }
                }
                (Err(_), false) => {
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        _ = over.changed() => {}
                    }
                }
            }
        }
    }

    /// Writes as much as one batch has.
    async fn write(
        &self,
        mut state: OwnedMutexGuard<State>,
        output: &Output,
    ) -> (OwnedMutexGuard<State>, io::Result<Written>) {
        let bytes = self.batch();
        let (chunk, _) = output.look(state.written, bytes.div_ceil(LINE), bytes);
        if chunk.lines.is_empty() && chunk.dropped == 0 {
            return (state, Ok(Written::Nothing));
        }
        let (log, run) = (self.log.clone(), Arc::clone(&self.run));
        let written = tokio::task::spawn_blocking(move || {
            let result = write_chunk(&mut state, &log, &run, chunk);
            (state, result)
        });
        let (state, result) = match written.await {
            Ok(written) => written,
            // It panicked, or the runtime ends. Neither is the end of the agent.
            Err(error) => {
                let state = Arc::clone(&self.state).lock_owned().await;
                (state, Err(io::Error::other(error)))
            }
        };
        let failing = result
            .as_ref()
            .err()
            .map(|error| Arc::from(error.to_string()));
        let lost = result.as_ref().map_or(0, |(_, lost)| *lost);
        self.news.send_if_modified(|news| {
            let changed = lost > 0 || failing != news.failing;
            news.lost += lost;
            news.failing = failing;
            changed
        });
        (state, result.map(|_| Written::Some))
    }

    fn batch(&self) -> usize {
        let most = usize::try_from(self.log.rotation.max_size).unwrap_or(usize::MAX);
        BATCH.min(most / 4)
    }
}

/// The log file is written; dropped, it is written to the end of what there is.
#[derive(Debug)]
pub(crate) struct Keeping {
    over: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Writes the rest, and waits for it, but not for long: a disk that hangs holds up nobody.
    pub(crate) async fn finish(mut self) {
        self.over.send_replace(true);
        if tokio::time::timeout(FLUSH, &mut self.task).await.is_err() {
            tracing::warn!("a log file takes long to be written; its last lines may be missing");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// There was nothing to write.
    Nothing,
    /// There may be more.
    Some,
}

/// Writes one chunk, and answers how many lines are missing before it.
fn write_chunk(
    state: &mut State,
    log: &LogFile,
    run: &Arc<str>,
    chunk: Chunk,
) -> io::Result<(Rotated, u64)> {
    let Chunk {
        lines,
        next,
        dropped,
    } = chunk;
    let first = next.seq() - lines.len() as u64;
    let mut batch = Vec::new();
    if dropped > 0 {
        let at = lines.first().map_or_else(SystemTime::now, |line| line.at);
        push_lost(&mut batch, at, first, dropped);
    }
    for line in &lines {
        push_line(&mut batch, line);
    }
    if !state.mended {
        writer::mend(log)?;
        state.mended = true;
        state.pack(log);
    }
    let rotated = writer::append(&mut state.writer, log, run, &batch)?;
    state.written = next;
    match rotated {
        Rotated::Yes => state.pack(log),
        Rotated::No => {}
    }
    Ok((rotated, dropped))
}

impl State {
    /// Has old files packed, unless that is being done; what comes meanwhile is packed with the next.
    fn pack(&mut self, log: &LogFile) {
        let idle = self.packing.as_ref().is_none_or(JoinHandle::is_finished);
        if let (true, Ok(runtime)) = (idle, tokio::runtime::Handle::try_current()) {
            self.packing = Some(runtime.spawn(pack_all(log.clone())));
        }
    }
}
