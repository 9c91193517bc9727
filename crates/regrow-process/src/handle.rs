//! A look at a process from outside: who it is now, and what it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use regrow_core::figures::Figures;
use regrow_core::lifecycle::Stage;

use crate::stdin::{Inlet, StdinError, StdinWriter};
use crate::stdio::Output;

/// A view of one agent over all its lives. It keeps nothing alive; clones show the same agent.
#[derive(Debug, Clone, Default)]
pub struct ProcessHandle {
    status: Arc<Mutex<ProcessStatus>>,
    figures: Arc<Mutex<Option<Figures>>>,
    output: Output,
    inlet: Inlet,
}

/// What is known of an agent's process right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessStatus {
    /// Its pid; `None` while none runs.
    pub pid: Option<u32>,
    /// The port that it was told to listen on.
    pub port: Option<u16>,
    /// The life that runs, or the last one; 0 before the first.
    pub generation: u32,
    /// How far a stop has come.
    pub stopping_stage: Option<Stage>,
    /// When the process was spawned; `None` while none runs.
    pub spawned_at: Option<SystemTime>,
    /// What the last life left running that could not be ended.
    pub leaked: Vec<u32>,
}

impl ProcessHandle {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            status: Arc::default(),
            figures: Arc::default(),
            output,
            inlet: Inlet::default(),
        }
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> ProcessStatus {
        self.lock().clone()
    }

    /// What it writes, over all its lives.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Where to write to it.
    pub fn stdin(&self) -> StdinWriter {
        StdinWriter::new(self.inlet.clone())
    }

    /// Writes these bytes to its standard input, whole, as soon as it reads them; answers which life got them. How long it may take and
    /// for which life it is meant can be said with [`ProcessHandle::stdin`].
    ///
    /// # Errors
    ///
    /// When there is no life to write to, or it does not read within 10 s.
    pub async fn write_stdin(&self, bytes: impl Into<Vec<u8>>) -> Result<u32, StdinError> {
        self.stdin().write(bytes).await
    }

    pub(crate) fn inlet(&self) -> &Inlet {
        &self.inlet
    }

    /// What the life that runs uses, itself and all its descendants, and has used up; `None` while none runs, in its first second, and
    /// where [`Host::sample_every`](crate::Host::sample_every) switched it off.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        *self.lock_figures()
    }

    pub(crate) fn show(&self, figures: Option<Figures>) {
        *self.lock_figures() = figures;
    }

    fn lock_figures(&self) -> MutexGuard<'_, Option<Figures>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ProcessStatus)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, ProcessStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
