//! Something that takes time: one event at its beginning and exactly one at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Edge, Payload, Subject, Telemetry};
use crate::time;

/// A span under way. It ends with [`Span::stop`] or [`Span::exception`]; dropped before that, it tells an exception while a panic
/// unwinds, else a cancellation.
#[derive(Debug)]
#[must_use = "a span that is dropped at once is told as cancelled"]
pub struct Span {
    telemetry: Telemetry,
    id: u64,
    began: Instant,
    subject: Subject,
    payload: Payload,
    ended: bool,
}

impl Telemetry {
    /// Begins a span; `payload` is one of the span variants, at its start.
    pub fn span(&self, subject: Subject, payload: Payload) -> Span {
        self.span_since(time::now(), subject, payload)
    }

    /// Begins a span whose time counts from an earlier instant.
    pub fn span_since(&self, began: Instant, subject: Subject, payload: Payload) -> Span {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        self.emit_in(Some(id), || subject.clone(), || payload.clone());
        Span {
            telemetry: self.clone(),
            id,
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
        self.telemetry.emit_in(
            Some(self.id),
            || self.subject.clone(),
            || self.payload.clone(),
        );
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
