//! A look at a process from outside: who it is now, and what it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use regrow_core::lifecycle::Stage;

use crate::stdio::Output;

/// A view of one agent over all its lives. It keeps nothing alive; clones show the same agent.
#[derive(Debug, Clone, Default)]
pub struct ProcessHandle {
    status: Arc<Mutex<ProcessStatus>>,
    output: Output,
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
            output,
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

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ProcessStatus)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, ProcessStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
