//! Those who listen: inline, or behind a bounded queue.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Event, Shared, Telemetry};
use crate::panics::{catch, guarded};

/// After the first dropped event, the next news of drops come at every so many.
const DROPS_PER_NEWS: u64 = 1_000;

type Inline = Box<dyn Fn(&Event) + Send + Sync>;

/// One who listens.
pub(super) struct Handler {
    pub(super) id: Arc<str>,
    kind: Kind,
}

enum Kind {
    Inline(Inline),
    Queued(Queue),
}

/// A queue that never makes anybody wait.
pub(super) struct Queue {
    sender: Sender<Arc<Event>>,
    dropped: Arc<AtomicU64>,
    told: AtomicU64,
}

/// What became of a handler when it was called.
pub(super) enum Notice {
    Panicked { handler: Arc<str>, message: String },
    Dropped { handler: Arc<str>, dropped: u64 },
}

/// When drops are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// As soon as there is enough to tell.
    Now,
    /// At a later event: they are counted.
    Later,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> (Self, Receiver<Arc<Event>>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (
            Self {
                sender,
                dropped: Arc::default(),
                told: AtomicU64::new(0),
            },
            receiver,
        )
    }

    /// How many events did not fit since the beginning.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Puts an event in; the number of drops to tell, when there is news of them.
    fn offer(&self, event: &Arc<Event>, news: News) -> Option<u64> {
        let fits = self.sender.try_send(Arc::clone(event)).is_ok();
        let dropped =
            self.dropped.fetch_add(u64::from(!fits), Ordering::Relaxed) + u64::from(!fits);
        let told = self.told.load(Ordering::Relaxed);
        let untold = dropped.saturating_sub(told);
        let is_due = untold > 0 && (fits || told == 0 || untold >= DROPS_PER_NEWS);
        (is_due
            && news == News::Now
            && self
                .told
                .compare_exchange(told, dropped, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok())
        .then_some(untold)
    }
}

impl Handler {
    pub(super) fn inline(id: &str, run: Inline) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Inline(run),
        }
    }

    pub(super) fn queued(id: &str, queue: Queue) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Queued(queue),
        }
    }

    /// The drops that nobody has heard of yet: it has been taken off, so that there is no later event for them.
    pub(super) fn untold(&self) -> Option<Notice> {
        match &self.kind {
            Kind::Inline(_) => None,
            Kind::Queued(queue) => {
                let dropped = queue.dropped.load(Ordering::Relaxed);
                let told = queue.told.swap(dropped, Ordering::Relaxed);
                let dropped = dropped.saturating_sub(told);
                (dropped > 0).then(|| Notice::Dropped {
                    handler: Arc::clone(&self.id),
                    dropped,
                })
            }
        }
    }

    /// The function, if it is called at once.
    fn inline_run(&self) -> Option<&Inline> {
        match &self.kind {
            Kind::Inline(run) => Some(run),
            Kind::Queued(_) => None,
        }
    }

    /// Puts the event into its queue, if it has one. Queues share one copy without what must not leave the process.
    fn enqueue(
        &self,
        event: &Event,
        redacted: &mut Option<Arc<Event>>,
        news: News,
    ) -> Option<Notice> {
        match &self.kind {
            Kind::Inline(_) => None,
            Kind::Queued(queue) => {
                let event = redacted.get_or_insert_with(|| without_secrets(event));
                queue.offer(event, news).map(|dropped| Notice::Dropped {
                    handler: Arc::clone(&self.id),
                    dropped,
                })
            }
        }
    }
}

/// Tells those who listen, in order, all but `except`. What became of whom is in the answer, and that is hardly ever anything.
pub(super) fn tell_all(
    handlers: &[Arc<Handler>],
    event: &Event,
    except: Option<&str>,
    news: News,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut redacted = None;
    let next = Cell::new(0);
    // One guard for all: to catch a panic costs something, and there hardly ever is one.
    while next.get() < handlers.len() {
        let told = catch(|| {
            while let Some(handler) = handlers.get(next.get()) {
                next.set(next.get() + 1);
                if except.is_some_and(|id| *handler.id == *id) {
                    continue;
                }
                match handler.inline_run() {
                    Some(run) => run(event),
                    None => notices.extend(handler.enqueue(event, &mut redacted, news)),
                }
            }
        });
        if let (Err(panic), Some(handler)) = (told, handlers.get(next.get() - 1)) {
            notices.push(Notice::Panicked {
                handler: Arc::clone(&handler.id),
                message: panic.to_string(),
            });
        }
    }
    notices
}

/// A copy without what must not leave the process.
pub(super) fn without_secrets(event: &Event) -> Arc<Event> {
    let mut copy = event.clone();
    if copy.payload.is_sensitive() {
        copy.payload.redact();
    }
    Arc::new(copy)
}

/// How many events are left, which nobody will handle any more.
pub(super) fn abandoned(events: &mut Receiver<Arc<Event>>) -> u64 {
    events.close();
    std::iter::from_fn(|| events.try_recv().ok())
        .map(|_| 1)
        .sum()
}

/// The task of a queued handler: ends when the handler is detached, or panics.
pub(super) async fn drain<F, Fut>(
    shared: Weak<Shared>,
    id: String,
    mut events: Receiver<Arc<Event>>,
    mut handler: F,
) where
    F: FnMut(Arc<Event>) -> Fut + Send,
    Fut: Future<Output = ()> + Send,
{
    while let Some(event) = events.recv().await {
        let subject = event.subject.clone();
        if let Err(panic) = guarded(async { handler(event).await }).await {
            let handler: Arc<str> = id.as_str().into();
            let mut notices = vec![Notice::Panicked {
                handler: Arc::clone(&handler),
                message: panic.to_string(),
            }];
            // This one has had its turn; those behind it will have none.
            let dropped = abandoned(&mut events);
            if dropped > 0 {
                notices.push(Notice::Dropped { handler, dropped });
            }
            if let Some(shared) = shared.upgrade() {
                Telemetry { shared }.notice(notices, &subject);
            }
            return;
        }
    }
}
