//! Something that takes time: one event at its beginning and exactly one at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Edge, Lineage, Origin, Payload, Subject, Telemetry};
use crate::time;
use crate::trace::TraceContext;

/// A span under way. It ends with [`Span::stop`] or [`Span::exception`]; dropped before that, it tells an exception while a panic
/// unwinds, else a cancellation.
#[derive(Debug)]
#[must_use = "a span that is dropped at once is told as cancelled"]
pub struct Span {
    telemetry: Telemetry,
    id: u64,
    lineage: Option<Arc<Lineage>>,
    pub(super) began: Instant,
    pub(super) subject: Subject,
    pub(super) payload: Payload,
    pub(super) ended: bool,
}

/// The number of the next span of this process.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Telemetry {
    /// Begins a span; `payload` is one of the span variants, at its start. It begins a trace of its own, which links to the
    /// [current](TraceContext::current) one, if there is any.
    pub fn span(&self, subject: Subject, payload: Payload) -> Span {
        self.span_since(time::now(), subject, payload)
    }

    /// Begins a span whose time counts from an earlier instant.
    pub fn span_since(&self, began: Instant, subject: Subject, payload: Payload) -> Span {
        self.span_caused(TraceContext::current(), began, subject, payload)
    }

    /// Begins a span with a link to what has caused it.
    pub(crate) fn span_caused(
        &self,
        cause: Option<TraceContext>,
        began: Instant,
        subject: Subject,
        payload: Payload,
    ) -> Span {
        let span = self.prepare_caused(cause, began, subject, payload);
        span.tell();
        span
    }

    /// A span that has begun and was not told yet.
    pub(super) fn prepare(&self, began: Instant, subject: Subject, payload: Payload) -> Span {
        self.prepare_caused(TraceContext::current(), began, subject, payload)
    }

    fn prepare_caused(
        &self,
        cause: Option<TraceContext>,
        began: Instant,
        subject: Subject,
        payload: Payload,
    ) -> Span {
        let id = next_id();
        let lineage = cause.map(|cause| Lineage {
            context: TraceContext::of_span(id),
            parent: None,
            link: Some(cause),
        });
        self.make(id, lineage, began, subject, payload)
    }

    /// Begins a span that is a part of `parent`, in its trace.
    pub fn span_in(&self, parent: TraceContext, subject: Subject, payload: Payload) -> Span {
        let id = next_id();
        let lineage = Lineage {
            context: parent.with_span(id),
            parent: Some(parent),
            link: None,
        };
        let span = self.make(id, Some(lineage), time::now(), subject, payload);
        span.tell();
        span
    }

    fn make(
        &self,
        id: u64,
        lineage: Option<Lineage>,
        began: Instant,
        subject: Subject,
        payload: Payload,
    ) -> Span {
        Span {
            telemetry: self.clone(),
            id,
            lineage: lineage.map(Arc::new),
            began,
            subject,
            payload,
            ended: false,
        }
    }
}

impl Span {
    /// What is told at the end, to be filled in as it becomes known.
    pub fn payload(&mut self) -> &mut Payload {
        &mut self.payload
    }

    /// Whom it is about, at its end.
    pub fn subject(&mut self) -> &mut Subject {
        &mut self.subject
    }

    /// The span itself, to be handed on: to a request, a process, or what [runs in it](crate::trace::with_context).
    #[must_use]
    pub fn context(&self) -> TraceContext {
        match &self.lineage {
            Some(lineage) => lineage.context.clone(),
            None => TraceContext::of_span(self.id),
        }
    }

    /// It has ended as it should.
    pub fn stop(mut self) {
        let duration = self.duration();
        self.end(Edge::Stop { duration });
    }

    /// It has failed.
    pub fn exception(mut self, reason: impl Into<Arc<str>>) {
        let duration = self.duration();
        self.end(Edge::Exception {
            duration,
            reason: reason.into(),
        });
    }

    fn duration(&self) -> std::time::Duration {
        time::now().saturating_duration_since(self.began)
    }

    fn end(&mut self, edge: Edge) {
        self.ended = true;
        self.payload.set_edge(edge);
        self.tell();
    }

    fn tell(&self) {
        self.telemetry.emit_in(
            self.origin(),
            || self.subject.clone(),
            || self.payload.clone(),
        );
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        Origin::Span(self.id, self.lineage.as_ref())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let duration = self.duration();
        let edge = if std::thread::panicking() {
            Edge::Exception {
                duration,
                reason: "panic".into(),
            }
        } else {
            Edge::Cancel { duration }
        };
        self.end(edge);
    }
}
