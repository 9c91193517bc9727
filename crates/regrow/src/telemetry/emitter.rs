//! The event stream in the hands of a supervisor, which tells much in a short time.
//!
//! An event that is told through [`Telemetry::emit`] looks at the clock and at who listens. A supervisor tells several in one turn
//! of its mailbox: here they share one look at the clock, and one at who listens unless that changes meanwhile. Between two turns
//! nobody who listens is held: what was detached is gone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::handler::Handler;
use super::recorder::is_crash;
use super::{Edge, Event, Origin, Payload, Span, Subject, Telemetry};
use crate::time;

type Handlers = Vec<Arc<Handler>>;

/// Tells the events of one supervisor.
pub(crate) struct Emitter {
    telemetry: Telemetry,
    /// Who listens in this turn, and after how many changes.
    handlers: Option<(u64, Arc<Handlers>)>,
    now: Instant,
    at: SystemTime,
    /// Told, and not in the flight recorder yet.
    told: Vec<Event>,
}

/// How many events of a turn are kept back at most, so that the flight recorder's lock is taken for all of them at once. Each
/// supervisor has room for so many.
const AT_A_TIME: usize = 8;

impl Drop for Emitter {
    fn drop(&mut self) {
        self.record();
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Emitter").field(&self.telemetry).finish()
    }
}

impl Emitter {
    pub(crate) fn new(telemetry: Telemetry) -> Self {
        Self {
            telemetry,
            handlers: None,
            now: time::now(),
            at: SystemTime::now(),
            told: Vec::new(),
        }
    }

    /// Time has passed: something has happened outside, or may have.
    pub(crate) fn new_turn(&mut self) {
        self.now = time::now();
        self.at = SystemTime::now();
    }

    /// The turn is over.
    pub(crate) fn end_turn(&mut self) {
        self.handlers = None;
        self.record();
    }

    fn record(&mut self) {
        if !self.told.is_empty() {
            self.telemetry.shared.recorder.record_all(&mut self.told);
        }
    }

    /// When the present turn began.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// The same by the wall clock.
    pub(crate) fn at(&self) -> SystemTime {
        self.at
    }

    /// Like [`Telemetry::emit`].
    pub(crate) fn emit(
        &mut self,
        subject: impl FnOnce() -> Subject,
        payload: impl FnOnce() -> Payload,
    ) {
        self.emit_in(Origin::Current, subject, payload);
    }

    fn emit_in(
        &mut self,
        origin: Origin<'_>,
        subject: impl FnOnce() -> Subject,
        payload: impl FnOnce() -> Payload,
    ) {
        let shared = &self.telemetry.shared;
        let changes = shared.changes.load(Ordering::Acquire);
        let known = self.handlers.take().filter(|(then, _)| *then == changes);
        let handlers = known.map_or_else(|| shared.handlers.load_full(), |(_, handlers)| handlers);
        if !handlers.is_empty() {
            let payload = payload();
            if is_crash(&payload) || self.told.len() == AT_A_TIME {
                // Whoever reports it wants to read what came before.
                self.record();
            }
            let at = self.at;
            let told = self
                .telemetry
                .tell(&handlers, || at, origin, subject, || payload);
            self.told.extend(told);
        }
        self.handlers = Some((changes, handlers));
    }

    /// Like [`Telemetry::span_since`].
    pub(crate) fn span_since(
        &mut self,
        began: Instant,
        subject: Subject,
        payload: Payload,
    ) -> Span {
        let span = self.telemetry.prepare(began, subject, payload);
        self.emit_in(
            span.origin(),
            || span.subject.clone(),
            || span.payload.clone(),
        );
        span
    }

    /// A span has ended as it should, in this turn.
    pub(crate) fn stop(&mut self, mut span: Span) {
        let duration = self.now.saturating_duration_since(span.began);
        span.ended = true;
        span.payload.set_edge(Edge::Stop { duration });
        let (subject, payload) = (span.subject.clone(), span.payload.clone());
        self.emit_in(span.origin(), || subject, || payload);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use regrow_core::{ChildKind, Phase};

    use super::*;

    fn subject() -> Subject {
        Subject::new("root", ChildKind::Actor, "t", 1, Phase::Running)
    }

    fn added(emitter: &mut Emitter) {
        emitter.emit(subject, || Payload::SupervisorChildAdded {});
    }

    /// A list, and a handler that writes the number of each event into it.
    fn list() -> (Arc<Mutex<Vec<u64>>>, impl Fn(&Event) + Send + Sync) {
        let list = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&list);
        (list, move |event| writes.lock().unwrap().push(event.seq))
    }

    #[test]
    fn who_comes_in_the_middle_of_a_turn_hears_the_rest_of_it_and_who_goes_does_not() {
        let telemetry = Telemetry::new();
        let mut emitter = Emitter::new(telemetry.clone());
        let ((first, writes), (second, writes_too)) = (list(), list());
        telemetry.attach("first", writes).unwrap();
        added(&mut emitter);
        telemetry.attach("second", writes_too).unwrap();
        added(&mut emitter);
        assert!(telemetry.detach("first"));
        added(&mut emitter);
        assert_eq!(*first.lock().unwrap(), [1, 2]);
        assert_eq!(*second.lock().unwrap(), [2, 3]);
    }

    #[test]
    fn who_takes_himself_off_is_not_called_again_in_the_same_turn() {
        let telemetry = Telemetry::new();
        let mut emitter = Emitter::new(telemetry.clone());
        let (told, writes) = list();
        let stream = telemetry.clone();
        let once = move |event: &Event| {
            writes(event);
            assert!(stream.detach("once"));
        };
        telemetry.attach("once", once).unwrap();
        added(&mut emitter);
        added(&mut emitter);
        assert_eq!(*told.lock().unwrap(), [1]);
    }

    #[test]
    fn between_two_turns_nobody_who_listens_is_held() {
        let telemetry = Telemetry::new();
        let mut emitter = Emitter::new(telemetry.clone());
        let (told, writes) = list();
        telemetry.attach("list", writes).unwrap();
        added(&mut emitter);
        emitter.end_turn();
        assert!(telemetry.detach("list"));
        assert_eq!(Arc::strong_count(&told), 1, "its closure is gone");
    }

    #[test]
    fn the_events_of_one_turn_share_their_time_and_those_of_the_next_have_a_later_one() {
        let telemetry = Telemetry::new();
        let mut emitter = Emitter::new(telemetry.clone());
        let times = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&times);
        telemetry
            .attach("times", move |event| writes.lock().unwrap().push(event.at))
            .unwrap();
        added(&mut emitter);
        added(&mut emitter);
        let before = emitter.at();
        while emitter.at() == before {
            emitter.new_turn();
        }
        added(&mut emitter);
        let times = times.lock().unwrap();
        assert_eq!((times[0], times[1]), (before, before));
        assert!(times[2] > before);
    }
}
