//! One typed event stream is the truth; logs, metrics and whatever you attach are handlers of it.
//!
//! Every change is told by exactly one [`Event`], after it happened. There are two kinds of handlers:
//!
//! * an **inline** one ([`Telemetry::attach`]) runs in whoever emits, so it must be quick. It sees everything;
//! * a **queued** one ([`Telemetry::attach_queued`], [`Telemetry::subscribe`]) has a bounded queue and a task of its own. What does
//!   not fit is dropped, counted and told by `regrow.telemetry.queue.dropped`; nobody waits. Keys that are
//!   [sensitive](Role::Sensitive) are empty in what it sees.
//!
//! A handler that panics is detached, and `regrow.telemetry.handler.failure` tells the others; what waited in its queue is told as
//! dropped. What a handler emits to its own stream would call it again without end: it is dropped, and told under the name
//! `inline`. For one subject, each handler sees the events in the order in which they happened; [`Event::seq`] counts all of them,
//! so that a gap shows.

mod catalogue;
mod census;
mod emitter;
mod event;
mod figures;
mod handler;
#[cfg(any(feature = "otlp", feature = "prometheus"))]
pub(crate) mod instruments;
#[cfg(feature = "json")]
mod json;
mod log;
#[cfg(any(feature = "json", feature = "otlp", feature = "statsd"))]
pub(crate) mod losses;
pub(crate) mod metrics;
mod ports;
mod probes;
#[cfg(feature = "statsd")]
pub(crate) mod push;
mod recorder;
mod roll;
mod schema;
mod span;
mod vitals;
mod whole;

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::mpsc;
pub use tracing::Level;

use crate::trace::TraceContext;

pub use catalogue::{MetricKind, MetricSchema, catalogue};
pub(crate) use census::{Census, Counted, SupervisorCounts};
#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
pub(crate) use census::{ComputedFamily, actor_families};
pub(crate) use emitter::Emitter;
pub use event::{Edge, Event, GenAi, Identity, Lineage, Outcome, Payload, Stage, Stream, Subject};
pub(crate) use figures::FiguresBook;
pub use figures::{Figures, FiguresGauge, Spent};
use handler::{Handler, News, Notice, Queue};
#[cfg(feature = "json")]
pub use json::{AttachJsonError, FinishError, JsonLines};
#[cfg(feature = "otlp")]
pub(crate) use log::headline;
pub(crate) use log::log;
pub use metrics::MetricsHandler;
pub use ports::PortCounts;
pub(crate) use ports::PortTables;
pub(crate) use probes::{ProbeGauge, ProbesBook};
pub use recorder::CrashReport;
use recorder::FlightRecorder;
pub use schema::{EventSchema, Field, FieldValue, Role};
pub use span::Span;
pub use vitals::ActorReport;
#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
pub(crate) use vitals::Equipment;
pub(crate) use vitals::{Handled, Vitals, Workforce};

/// How many handlers may be attached at once.
const MAX_HANDLERS: usize = 64;

/// How many events a queued handler may be behind.
const QUEUE: usize = 1_024;

/// The name under which events are told as dropped that a handler emitted.
const INLINE: &str = "inline";

/// The event stream of one system. Cloning costs a reference count.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    handlers: ArcSwap<Vec<Arc<Handler>>>,
    /// How often that has changed. Raised after the change, so that whoever sees it sees the change.
    changes: AtomicU64,
    seq: AtomicU64,
    /// Events that a handler emitted, which would call it again without end, and that are not told yet.
    dropped: AtomicU64,
    subscriptions: AtomicU64,
    recorder: FlightRecorder,
    /// How many want to see what is said to models and tools.
    captures: AtomicUsize,
    /// Who knows of ports that are leased.
    ports: Arc<PortTables>,
}

/// Where an event comes from.
enum Origin<'a> {
    /// One end of a span, by its number, and where that belongs.
    Span(u64, Option<&'a Arc<Lineage>>),
    /// It happened in whatever runs now.
    Current,
}

fn current_lineage() -> Option<Arc<Lineage>> {
    let lineage = |context| Lineage {
        context,
        parent: None,
        link: None,
    };
    TraceContext::current().map(lineage).map(Arc::new)
}

thread_local! {
    /// The stream whose handlers run on this thread; 0 outside.
    static IN_HANDLER: Cell<usize> = const { Cell::new(0) };
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

impl Default for Telemetry {
    /// A stream of its own, that no system writes to: for tests of what listens.
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            handlers: ArcSwap::default(),
            changes: AtomicU64::new(0),
            seq: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            recorder: FlightRecorder::default(),
            captures: AtomicUsize::new(0),
            ports: Arc::default(),
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
        self.add(Handler::inline(id, Box::new(handler)))
    }

    /// Calls `handler` for every event from now on, one after the other on a task of its own, at most 1,024 events behind.
    ///
    /// It may wait: for a network, say. It must be called within a runtime.
    ///
    /// # Errors
    /// When the name is in use, or 64 handlers are attached.
    pub fn attach_queued<F, Fut>(&self, id: &str, handler: F) -> Result<(), AttachError>
    where
        F: FnMut(Arc<Event>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (queue, events) = Queue::new(QUEUE);
        self.add(Handler::queued(id, queue))?;
        let (shared, id) = (Arc::downgrade(&self.shared), id.to_owned());
        tokio::spawn(handler::drain(shared, id, events, handler));
        Ok(())
    }

    fn add(&self, handler: Handler) -> Result<(), AttachError> {
        let handler = Arc::new(handler);
        let id = || handler.id.to_string();
        let mut result = Ok(());
        self.shared.handlers.rcu(|handlers| {
            let mut handlers = Vec::clone(handlers);
            result = if handlers.iter().any(|other| other.id == handler.id) {
                Err(AttachError::AlreadyAttached { id: id() })
            } else if handlers.len() >= MAX_HANDLERS {
                Err(AttachError::TooMany { id: id() })
            } else {
                handlers.push(Arc::clone(&handler));
                Ok(())
            };
            handlers
        });
        self.shared.changes.fetch_add(1, Ordering::Release);
        result
    }

    /// Takes a handler off; whether it was there.
    #[must_use = "false means that there was no such handler"]
    pub fn detach(&self, id: &str) -> bool {
        self.take_off(id).is_some()
    }

    fn take_off(&self, id: &str) -> Option<Arc<Handler>> {
        let mut found = None;
        self.shared.handlers.rcu(|handlers| {
            found = handlers.iter().find(|handler| *handler.id == *id).cloned();
            handlers
                .iter()
                .filter(|handler| *handler.id != *id)
                .cloned()
                .collect::<Vec<_>>()
        });
        self.shared.changes.fetch_add(1, Ordering::Release);
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
        let number = self.shared.subscriptions.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("subscription-{number}");
        let (queue, events) = Queue::new(capacity.max(1));
        let missed = queue.dropped();
        self.add(Handler::queued(&id, queue))?;
        Ok(EventStream {
            events,
            missed,
            shared: Arc::downgrade(&self.shared),
            id: id.into(),
        })
    }

    /// Asks for what is said to models and tools, and for what comes back, as long as the answer lives: else nobody writes it down.
    /// It is sensitive, so inline handlers alone see it.
    #[must_use = "content is captured as long as this lives"]
    pub fn capture_content(&self) -> ContentCapture {
        self.shared.captures.fetch_add(1, Ordering::Relaxed);
        ContentCapture {
            shared: Arc::downgrade(&self.shared),
        }
    }

    pub(crate) fn is_content_captured(&self) -> bool {
        self.shared.captures.load(Ordering::Relaxed) > 0
    }

    /// Counts the ports of one more table in the gauge `regrow_process_ports`, as `look` tells them whenever somebody reads metrics.
    /// When it answers `None`, the table is gone and is not asked again. It must not wait, nor read metrics itself.
    pub fn show_ports(&self, look: impl Fn() -> Option<PortCounts> + Send + Sync + 'static) {
        self.shared.ports.add(Box::new(look));
    }

    pub(crate) fn ports(&self) -> &Arc<PortTables> {
        &self.shared.ports
    }

    /// Tells what has happened. Neither closure runs when nobody listens.
    pub fn emit(&self, subject: impl FnOnce() -> Subject, payload: impl FnOnce() -> Payload) {
        self.emit_in(Origin::Current, subject, payload);
    }

    fn emit_in(
        &self,
        origin: Origin<'_>,
        subject: impl FnOnce() -> Subject,
        payload: impl FnOnce() -> Payload,
    ) {
        let handlers = self.shared.handlers.load();
        if let Some(mut event) = self.tell(&handlers, SystemTime::now, origin, subject, payload) {
            self.shared.recorder.record(&mut event);
        }
    }

    /// Tells it to those who listen, if there are any. The event is still to be recorded, unless that is done.
    fn tell(
        &self,
        handlers: &[Arc<Handler>],
        at: impl FnOnce() -> SystemTime,
        origin: Origin<'_>,
        subject: impl FnOnce() -> Subject,
        payload: impl FnOnce() -> Payload,
    ) -> Option<Event> {
        if handlers.is_empty() {
            return None;
        }
        if IN_HANDLER.get() == self.number() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let mut event = self.event(at(), origin, subject(), payload());
        let mut notices = self.run(handlers, &event, None, News::Now);
        notices.extend(self.emitted_by_handlers());
        if notices.is_empty() {
            return Some(event);
        }
        let subject = event.subject.clone();
        self.shared.recorder.record(&mut event);
        self.notice(notices, &subject);
        None
    }

    /// The events that handlers emitted since this was last told.
    fn emitted_by_handlers(&self) -> Option<Notice> {
        // Read first: writing would cost every event.
        if self.shared.dropped.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
        (dropped > 0).then(|| Notice::Dropped {
            handler: INLINE.into(),
            dropped,
        })
    }

    /// Tells what became of handlers, and what becomes of others on that occasion.
    ///
    /// The one that it is about is not called. Queues that overflow over and over while this is told wait for the next event.
    fn notice(&self, notices: Vec<Notice>, subject: &Subject) {
        let mut notices = VecDeque::from(notices);
        let mut told = 0;
        while let Some(notice) = notices.pop_front() {
            let (about, payload) = match notice {
                Notice::Panicked { handler, message } => {
                    let Some(off) = self.take_off(&handler) else {
                        continue;
                    };
                    notices.extend(off.untold());
                    (
                        Arc::clone(&handler),
                        Payload::TelemetryHandlerFailure { handler, message },
                    )
                }
                Notice::Dropped { handler, dropped } => (
                    Arc::clone(&handler),
                    Payload::TelemetryQueueDropped { handler, dropped },
                ),
            };
            told += 1;
            let news = if told < MAX_HANDLERS {
                News::Now
            } else {
                News::Later
            };
            let now = SystemTime::now();
            let mut event = self.event(now, Origin::Current, subject.clone(), payload);
            let handlers = self.shared.handlers.load();
            notices.extend(self.run(&handlers, &event, Some(&about), news));
            self.shared.recorder.record(&mut event);
        }
    }

    /// Tells this stream from others.
    fn number(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    #[inline]
    fn event(
        &self,
        at: SystemTime,
        origin: Origin<'_>,
        subject: Subject,
        payload: Payload,
    ) -> Event {
        #[cfg(feature = "test-util")]
        crate::testing::seen(payload.name());
        let seq = self.shared.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let (span, lineage) = match origin {
            Origin::Span(span, lineage) => (Some(span), lineage.cloned()),
            Origin::Current => (None, current_lineage()),
        };
        Event {
            seq,
            at,
            span,
            lineage,
            subject,
            payload,
        }
    }

    fn run(
        &self,
        handlers: &[Arc<Handler>],
        event: &Event,
        except: Option<&str>,
        news: News,
    ) -> Vec<Notice> {
        /// Handlers must not stay barred on this thread, whatever happens.
        struct Leave(usize);
        impl Drop for Leave {
            fn drop(&mut self) {
                IN_HANDLER.set(self.0);
            }
        }
        let _leave = Leave(IN_HANDLER.replace(self.number()));
        handler::tell_all(handlers, event, except, news)
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("handlers", &self.handlers())
            .finish_non_exhaustive()
    }
}

/// Somebody wants to see what is said to models and tools; see [`Telemetry::capture_content`].
#[derive(Debug)]
pub struct ContentCapture {
    shared: Weak<Shared>,
}

impl Drop for ContentCapture {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.captures.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Events in a bounded queue; see [`Telemetry::subscribe`].
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Arc<Event>>,
    missed: Arc<AtomicU64>,
    /// Not held: the stream ends when everybody else has let go of the event stream.
    shared: Weak<Shared>,
    id: Arc<str>,
}

impl EventStream {
    /// The next event; none when the system is gone.
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
        if let Some(shared) = self.shared.upgrade() {
            let _was_attached = Telemetry { shared }.detach(&self.id);
        }
    }
}

#[cfg(test)]
mod tests;
