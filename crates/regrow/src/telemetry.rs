//! One typed event stream is the truth; logs, metrics and whatever you attach are handlers of it.
//!
//! Every change is told by exactly one [`Event`], after it happened. A handler that is [attached](Telemetry::attach) runs inline,
//! in whoever emits: it must be quick. If it panics it is detached, and `regrow.telemetry.handler.failure` tells. A
//! [subscription](Telemetry::subscribe) is a bounded queue of its own: what does not fit is counted, and nobody waits.
//!
//! For one subject, each handler sees the events in the order in which they happened; [`Event::seq`] counts all of them.

mod census;
mod event;
mod log;
pub(crate) mod metrics;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::mpsc;

#[cfg(feature = "prometheus")]
pub(crate) use census::GaugeFamily;
pub(crate) use census::{Census, Counted, SupervisorCounts};
pub use event::{Event, Outcome, Payload, Stage, Stream, Subject};
pub(crate) use log::log;

use crate::panics::catch;

/// How many handlers may be attached at once.
const MAX_HANDLERS: usize = 64;

type Run = Box<dyn Fn(&Arc<Event>) + Send + Sync>;

struct Handler {
    id: Arc<str>,
    run: Run,
}

/// The event stream of one system. Cloning costs a reference count.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    handlers: ArcSwap<Vec<Arc<Handler>>>,
    seq: AtomicU64,
    /// Events that a handler emitted, or that came when too much was going on.
    dropped: AtomicU64,
}

thread_local! {
    /// Set while handlers run on this thread: an event that a handler causes would call it again without end.
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

/// Why a handler was not attached.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The name is in use.
    #[error(
        "a handler called \"{id}\" is attached already; detach it first or choose another name"
    )]
    AlreadyAttached {
        /// The name.
        id: String,
    },
    /// There are too many.
    #[error("failed to attach \"{id}\": {MAX_HANDLERS} handlers are attached, which is the limit")]
    TooMany {
        /// The name.
        id: String,
    },
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            handlers: ArcSwap::default(),
            seq: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Calls `handler` for every event from now on, inline.
    ///
    /// # Errors
    /// When the name is in use, or 64 handlers are attached.
    pub fn attach(
        &self,
        id: &str,
        handler: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<(), AttachError> {
        self.attach_shared(id, Box::new(move |event| handler(event)))
    }

    fn attach_shared(&self, id: &str, run: Run) -> Result<(), AttachError> {
        let handler = Arc::new(Handler { id: id.into(), run });
        let mut result = Ok(());
        self.shared.handlers.rcu(|handlers| {
            result = if handlers.iter().any(|other| *other.id == *id) {
                Err(AttachError::AlreadyAttached { id: id.to_owned() })
            } else if handlers.len() >= MAX_HANDLERS {
                Err(AttachError::TooMany { id: id.to_owned() })
            } else {
                let mut handlers = Vec::clone(handlers);
                handlers.push(Arc::clone(&handler));
                return handlers;
            };
            Vec::clone(handlers)
        });
        result
    }

    /// Takes a handler off; whether it was there.
    #[must_use = "false means that there was no such handler"]
    pub fn detach(&self, id: &str) -> bool {
        let mut found = false;
        self.shared.handlers.rcu(|handlers| {
            found = handlers.iter().any(|handler| *handler.id == *id);
            handlers
                .iter()
                .filter(|handler| *handler.id != *id)
                .cloned()
                .collect::<Vec<_>>()
        });
        found
    }

    /// The names of the attached handlers.
    #[must_use]
    pub fn handlers(&self) -> Vec<Arc<str>> {
        self.shared
            .handlers
            .load()
            .iter()
            .map(|handler| Arc::clone(&handler.id))
            .collect()
    }

    /// All events from now on, through a queue of `capacity` events. The subscription ends when the stream is dropped.
    ///
    /// # Errors
    /// When 64 handlers are attached.
    pub fn subscribe(&self, capacity: usize) -> Result<EventStream, AttachError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("subscription-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (sender, events) = mpsc::channel(capacity.max(1));
        let missed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&missed);
        self.attach_shared(
            &id,
            Box::new(move |event| {
                if sender.try_send(Arc::clone(event)).is_err() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }),
        )?;
        Ok(EventStream {
            events,
            missed,
            telemetry: self.clone(),
            id: id.into(),
        })
    }

    /// Tells what has happened. Neither closure runs when nobody listens.
    pub fn emit(&self, subject: impl FnOnce() -> Subject, payload: impl FnOnce() -> Payload) {
        let handlers = self.shared.handlers.load();
        if handlers.is_empty() {
            return;
        }
        if IN_HANDLER.get() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let event = self.event(subject(), payload());
        let failures = Self::run(&handlers, &event);
        for (id, panic) in failures {
            if self.detach(&id) {
                let payload = Payload::TelemetryHandlerFailure {
                    handler: Arc::clone(&id),
                    message: panic,
                };
                let event = self.event(event.subject.clone(), payload);
                // A handler that fails on the failure of another is found at the next event.
                drop(Self::run(&self.shared.handlers.load(), &event));
            }
        }
    }

    fn event(&self, subject: Subject, payload: Payload) -> Arc<Event> {
        let seq = self.shared.seq.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Event {
            seq,
            at: SystemTime::now(),
            subject,
            payload,
        })
    }

    fn run(handlers: &[Arc<Handler>], event: &Arc<Event>) -> Vec<(Arc<str>, String)> {
        IN_HANDLER.set(true);
        let call = |handler: &Arc<Handler>| {
            let panic = catch(|| (handler.run)(event)).err()?;
            Some((Arc::clone(&handler.id), panic.to_string()))
        };
        let failures = handlers.iter().filter_map(call).collect();
        IN_HANDLER.set(false);
        failures
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("handlers", &self.handlers())
            .finish_non_exhaustive()
    }
}

/// Events in a bounded queue; see [`Telemetry::subscribe`].
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Arc<Event>>,
    missed: Arc<AtomicU64>,
    telemetry: Telemetry,
    id: Arc<str>,
}

impl EventStream {
    /// The next event.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        self.events.recv().await
    }

    /// The next event, if one is there already.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        self.events.try_recv().ok()
    }

    /// How many events did not fit since the beginning.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let _was_attached = self.telemetry.detach(&self.id);
    }
}

#[cfg(test)]
mod tests;
