//! Workers on their way out: they finish what they have, and are seen off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ractor::Message as ActorMessage;

use super::{Done, Manager};
use crate::supervisor::{Message, Verb};
use crate::telemetry::Payload;
use crate::time;

/// After how much time the supervisor is asked again that has not done what it was asked to.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a worker goes, and until when it may finish what it has.
pub(super) struct Leaving {
    cause: &'static str,
    until: Instant,
    /// A fresh one is to be in its place.
    pub(super) comes_back: bool,
    /// The supervisor was asked.
    pub(super) is_asked: bool,
    /// When it may be asked.
    not_before: Instant,
}

impl Leaving {
    /// The supervisor has not done it: it is asked again, in a while.
    pub(super) fn is_asked_again_at(&mut self, now: Instant) {
        self.is_asked = false;
        self.not_before = now + AGAIN;
        self.until = self.not_before;
    }

    fn is_due(&self, is_drained: bool, now: Instant) -> bool {
        let has_finished = is_drained || self.until <= now;
        !self.is_asked && self.not_before <= now && has_finished
    }

    /// When its time is over. When it has finished, its pool tells.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        (!self.is_asked).then_some(self.until)
    }
}

impl<M: ActorMessage> Manager<M> {
    pub(super) fn shrink(&mut self, from: u32, to: u32, now: Instant) {
        let victims = {
            let inner = self.pool.lock();
            inner.desk.crew().victims(from - to, now)
        };
        if victims.is_empty() {
            return;
        }
        let span = self.span(from, to);
        for number in &victims {
            self.let_go(*number, "scale", false);
        }
        self.spans.push((span, victims.into_iter().collect()));
        self.see_off(now);
    }

    /// Workers that have served long enough make way for fresh ones, a tenth of them at a time.
    pub(super) fn recycle(&mut self, now: Instant) {
        let (served, size) = {
            let inner = self.pool.lock();
            (inner.desk.crew().served(now), inner.desk.crew().size())
        };
        for (number, why) in served.into_iter().take(self.may_recycle(size)) {
            self.let_go(number, why.as_str(), true);
        }
    }

    /// How many more of so many may make way now.
    pub(super) fn may_recycle(&self, size: u32) -> usize {
        let most = (size as usize / 10).max(1);
        let all = self.leaving.values();
        most.saturating_sub(all.filter(|leaving| leaving.comes_back).count())
    }

    pub(super) fn let_go(&mut self, number: u32, cause: &'static str, comes_back: bool) {
        let now = time::now();
        let in_flight = {
            let mut inner = self.pool.lock();
            inner.desk.drain(number, now);
            let held = inner
                .desk
                .crew()
                .each()
                .find(|worker| worker.number == number);
            held.map_or(0, |worker| worker.in_flight)
        };
        self.pool.is_alert.store(true, Ordering::Relaxed);
        self.pool.emit(|| Payload::PoolWorkerDraining {
            in_flight,
            worker: number.to_string().into(),
            cause,
        });
        let leaving = Leaving {
            cause,
            until: now + self.pool.rules.drain,
            comes_back,
            is_asked: false,
            not_before: now,
        };
        self.leaving.insert(number, leaving);
    }

    /// Those on their way out who have finished, or have had time enough, go.
    pub(super) fn see_off(&mut self, now: Instant) {
        let ready: Vec<u32> = {
            let inner = self.pool.lock();
            let crew = inner.desk.crew();
            let ready = self
                .leaving
                .iter()
                .filter(|(number, leaving)| leaving.is_due(crew.is_drained(**number), now));
            ready.map(|(number, _)| *number).collect()
        };
        for number in ready {
            let Some(leaving) = self.leaving.get_mut(&number) else {
                continue;
            };
            leaving.is_asked = true;
            let (cause, comes_back) = (leaving.cause, leaving.comes_back);
            let id: Arc<str> = number.to_string().into();
            if comes_back {
                self.ask(
                    |answer| Message::Operate(Verb::Bounce, id, answer),
                    move |result| Some(Done::Refreshed(number, result)),
                );
            } else {
                self.ask(
                    |answer| Message::Operate(Verb::Retire, id, answer),
                    move |result| Some(Done::Gone(number, cause, result)),
                );
            }
        }
    }
}
