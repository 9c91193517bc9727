//! What a runner knows of one agent, kept up to date by the events of its child.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use regrow::telemetry::{Event, Stream};
use regrow::{ChildPath, Registered, System};
use tokio::sync::watch;
use uuid::Uuid;

use super::desk::Desk;
use super::status::{AgentEnd, AgentStatus, Terms};
use crate::handle::ProcessHandle;
use crate::stdio::{Line, Output};

/// Where a failed agent's last words are looked for.
const LAST_LINES: usize = 50;

/// One agent.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) id: Uuid,
    pub(super) name: Arc<str>,
    pub(super) type_name: Arc<str>,
    pub(super) path: ChildPath,
    pub(super) process: ProcessHandle,
    /// Of the application or the runner: an agent keeps nothing alive.
    pub(super) system: Weak<System>,
    terms: Terms,
    status: watch::Sender<AgentStatus>,
    place: OnceLock<Registered>,
}

/// Who an agent is.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) id: Uuid,
    pub(super) name: Arc<str>,
    pub(super) type_name: Arc<str>,
    pub(super) path: ChildPath,
}

impl Cell {
    pub(super) fn new(who: Who, process: &crate::Process, system: &Arc<System>) -> Self {
        Self {
            id: who.id,
            name: who.name,
            type_name: who.type_name,
            path: who.path,
            process: process.handle(),
            system: Arc::downgrade(system),
            terms: Terms::of(process),
            status: watch::Sender::new(AgentStatus::default()),
            place: OnceLock::new(),
        }
    }

    pub(super) fn output(&self) -> &Output {
        self.process.output()
    }

    /// How it is now. Its supervisor writes down the phase before it tells anybody, so that is looked up, while there is a place.
    pub(super) fn status(&self) -> AgentStatus {
        let mut status = self.status.borrow().clone();
        status.pid = self.process.status().pid;
        if !status.is_gone
            && let Some(place) = self.place()
            && !place.is_gone()
            && place.generation() >= status.generation
        {
            status.phase = place.phase();
            status.generation = place.generation();
        }
        status
    }

    fn place(&self) -> Option<&Registered> {
        if self.place.get().is_none() {
            let found = self.system.upgrade()?.registry().get(self.path.as_str())?;
            // Somebody else may have found it meanwhile; it is the same.
            drop(self.place.set(found));
        }
        self.place.get()
    }

    /// Told of every change.
    pub(super) fn changes(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// Waits until its life is over and no other follows.
    pub(super) async fn over(&self) -> AgentEnd {
        let mut changes = self.changes();
        match changes.wait_for(AgentStatus::is_over).await {
            Ok(status) => status.end(),
            // The sender is ours.
            Err(_) => self.status().end(),
        }
    }

    /// Something has happened to its child. Whether its place is gone.
    pub(super) fn hear(&self, event: &Event) -> bool {
        let mut gone = false;
        self.status.send_if_modified(|status| {
            let news = status.hear(&event.subject, &event.payload, &self.terms);
            gone = news && status.is_gone;
            news
        });
        gone
    }

    /// Its place is gone, and perhaps nobody has told: its supervisor was killed, say.
    fn left(&self) {
        self.status
            .send_if_modified(|status| status.leave(&self.terms));
    }

    /// The last line that it wrote to its standard error, in whichever life: another may have begun meanwhile and said nothing yet.
    pub(super) fn last_words(&self) -> Option<String> {
        let lines = self.output().tail(LAST_LINES);
        lines
            .iter()
            .rev()
            .filter(|line| line.stream == Stream::Stderr)
            .map(Line::text)
            .find(|text| !text.trim().is_empty())
    }
}

/// Held by what an agent's lives are made from and by each of these lives: dropped, nobody can live there any more.
pub(crate) struct Farewell {
    cell: Arc<Cell>,
    desk: Weak<Desk>,
}

impl Farewell {
    pub(super) fn new(cell: Arc<Cell>, desk: &Arc<Desk>) -> Self {
        let desk = Arc::downgrade(desk);
        Self { cell, desk }
    }
}

impl fmt::Debug for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Farewell").field(&self.cell.name).finish()
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.cell.left();
        if let Some(desk) = self.desk.upgrade() {
            desk.strike(&self.cell.name);
        }
    }
}
