//! How a message carries a context although its type is the user's own (feature `trace-messages`).
//!
//! `ractor`, with its feature `message_span_propogation`, keeps `tracing`'s current span beside each message and runs the handler
//! inside it. While a traced message is sent, and only then, the current span is one of a `tracing` subscriber of ours, which
//! records nothing: it knows by the span's number which context was the sender's. It is never installed for anything else, so
//! that what the program itself traces stays as it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_core::span::Current;

use super::{Sampling, TraceContext};
use crate::time;

/// Tells our spans from all others.
const TARGET: &str = "regrow::carrier";

/// How many messages may carry a context at once; further ones are sent without.
const MAX_CARRIED: usize = 65_536;

/// What a message carries.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    /// Of whoever has sent it.
    pub(crate) context: TraceContext,
    /// When it was sent.
    pub(crate) sent: Instant,
}

static CARRIED: LazyLock<Mutex<HashMap<u64, (usize, Carried)>>> = LazyLock::new(Mutex::default);
static METADATA: OnceLock<&'static Metadata<'static>> = OnceLock::new();
static DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Carrier::default()));

thread_local! {
    /// The spans of ours that are entered on this thread.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Sends a message with the current context, if there is one that is recorded.
pub(crate) fn carry<T>(send: impl FnOnce() -> T) -> T {
    let recorded = TraceContext::current().is_some_and(|context| match context.sampling() {
        Sampling::Recorded => true,
        Sampling::NotRecorded => false,
    });
    if !recorded || lock().len() >= MAX_CARRIED {
        return send();
    }
    tracing::dispatcher::with_default(&DISPATCH, || {
        tracing::error_span!(target: TARGET, parent: None, "message").in_scope(send)
    })
}

/// What the message carries that is handled now.
pub(crate) fn carried() -> Option<Carried> {
    let id = ENTERED.with_borrow(|entered| entered.last().copied())?;
    lock().get(&id).map(|(_, carried)| carried.clone())
}

fn lock() -> std::sync::MutexGuard<'static, HashMap<u64, (usize, Carried)>> {
    CARRIED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A subscriber that knows contexts by their spans, and nothing else.
#[derive(Default)]
struct Carrier {
    next: AtomicU64,
}

impl Subscriber for Carrier {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::ERROR)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        METADATA.get_or_init(|| attributes.metadata());
        if let Some(context) = TraceContext::current() {
            let sent = time::now();
            lock().insert(id, (1, Carried { context, sent }));
        }
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|other| *other == id.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some((count, _)) = lock().get_mut(&id.into_u64()) {
            *count += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut carried = lock();
        let Some((count, _)) = carried.get_mut(&id.into_u64()) else {
            return false;
        };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            carried.remove(&id.into_u64());
        }
        is_last
    }

    fn current_span(&self) -> Current {
        let id = ENTERED.with_borrow(|entered| entered.last().copied());
        match (id, METADATA.get()) {
            (Some(id), Some(metadata)) => Current::new(Id::from_u64(id), metadata),
            (Some(_) | None, _) => Current::none(),
        }
    }
}
