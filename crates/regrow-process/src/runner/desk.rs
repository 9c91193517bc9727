//! Who there is: the agents of one runner.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regrow::telemetry::Event;
use regrow::{ChildPath, Phase};
use regrow_core::agents::Roster;
use uuid::Uuid;

use super::SpawnAgentError;
use super::cell::Cell;

/// The agents of one runner, and who may become one.
#[derive(Debug)]
pub(super) struct Desk {
    supervisor: ChildPath,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    roster: Roster,
    /// How many have ever been started.
    started: u64,
    agents: HashMap<Arc<str>, (u64, Arc<Cell>)>,
}

impl Desk {
    pub(super) fn new(supervisor: ChildPath, roster: Roster) -> Self {
        let book = Book {
            roster,
            started: 0,
            agents: HashMap::new(),
        };
        Self {
            supervisor,
            book: Mutex::new(book),
        }
    }

    /// Where the agents are.
    pub(super) fn supervisor(&self) -> &ChildPath {
        &self.supervisor
    }

    /// The name of one more agent of this type. It counts from now on.
    pub(super) fn admit(&self, type_name: &str) -> Result<Arc<str>, SpawnAgentError> {
        let mut book = self.book();
        let admitted = book.roster.admit(type_name);
        drop(book);
        admitted.map(Into::into).map_err(|refusal| {
            let agents = self.agents();
            let failed = agents
                .iter()
                .filter(|cell| cell.status().phase == Phase::Failed);
            let failed = u32::try_from(failed.count()).unwrap_or(u32::MAX);
            SpawnAgentError::refused(refusal, type_name.to_owned(), failed)
        })
    }

    /// One that was admitted is there from now on.
    pub(super) fn enter(&self, cell: Arc<Cell>) {
        let mut book = self.book();
        book.started += 1;
        let started = book.started;
        book.agents.insert(Arc::clone(&cell.name), (started, cell));
    }

    /// One is not there any more; a second time changes nothing.
    pub(super) fn strike(&self, name: &str) {
        let mut book = self.book();
        if let Some((_, cell)) = book.agents.remove(name) {
            book.roster.dismiss(&cell.type_name);
        }
    }

    /// Those who are there, in the order in which they were started.
    pub(super) fn agents(&self) -> Vec<Arc<Cell>> {
        let mut agents: Vec<_> = self.book().agents.values().cloned().collect();
        agents.sort_unstable_by_key(|(started, _)| *started);
        agents.into_iter().map(|(_, cell)| cell).collect()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<Arc<Cell>> {
        let book = self.book();
        book.agents.get(name).map(|(_, cell)| Arc::clone(cell))
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<Arc<Cell>> {
        let book = self.book();
        let mut agents = book.agents.values().map(|(_, cell)| cell);
        agents.find(|cell| cell.id == id).cloned()
    }

    /// Something has happened somewhere in the system.
    pub(super) fn hear(&self, event: &Event) {
        let path = &event.subject.path;
        if path.parent() != Some(self.supervisor.as_str()) {
            return;
        }
        let Some(cell) = self.by_name(path.id()) else {
            return;
        };
        if cell.hear(event) {
            self.strike(&cell.name);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
