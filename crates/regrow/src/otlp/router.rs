//! From the event stream to the pumps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::pump::Tally;
use crate::telemetry::{Edge, Event};
use crate::trace::Sampling;

/// How many spans under way are remembered, to be told as cancelled when the export ends before them.
const MAX_OPEN: usize = 4_096;

/// Hands each event to the pump that wants it; never waits.
#[derive(Clone)]
pub(super) struct Router {
    pub(super) spans: Option<mpsc::Sender<Arc<Event>>>,
    pub(super) logs: Option<mpsc::Sender<Arc<Event>>>,
    pub(super) open: Open,
    pub(super) tally: Arc<Tally>,
}

impl Router {
    pub(super) fn route(&self, event: Arc<Event>) {
        let queue = match event.payload.edge() {
            None => &self.logs,
            Some(_) if self.spans.is_none() || is_unwanted(&event) => return,
            Some(Edge::Start) => return self.open.begin(event),
            Some(Edge::Stop { .. } | Edge::Exception { .. } | Edge::Cancel { .. }) => {
                self.open.end(&event);
                &self.spans
            }
        };
        if let Some(queue) = queue
            && queue.try_send(event).is_err()
        {
            self.tally.lose(1);
        }
    }
}

/// Whoever began the trace does not want it recorded.
fn is_unwanted(event: &Event) -> bool {
    let sampling = event
        .lineage
        .as_ref()
        .map(|lineage| lineage.context.sampling());
    match sampling {
        Some(Sampling::NotRecorded) => true,
        Some(Sampling::Recorded) | None => false,
    }
}

/// The spans under way, by their number.
#[derive(Clone, Default)]
pub(super) struct Open(Arc<Mutex<BTreeMap<u64, Arc<Event>>>>);

impl Open {
    fn begin(&self, event: Arc<Event>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() < MAX_OPEN {
            open.insert(event.span.unwrap_or_default(), event);
        }
    }

    fn end(&self, event: &Event) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&event.span.unwrap_or_default());
    }

    /// The events that began them, the oldest first.
    pub(super) fn take(&self) -> Vec<Arc<Event>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *open).into_values().collect()
    }
}
