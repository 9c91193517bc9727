//! The only place where things happen: each directive, performed and told.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorProcessingErr;
use regrow_core::supervision::{Closed, Directive, Parked, Scheduled, Who};
use regrow_core::{Phase, StopCause};

use super::{Message, STARTS_PER_TURN, State};
use crate::adapter::step_aside;
use crate::exit::{ExitReason, Intensity};
use crate::registry::Follows;
use crate::started::{Done, Hold, Started};
use crate::supervisor::answer::Waiters;
use crate::supervisor::slot::Slot;
use crate::system::{ChildDidNotStart, StartError};
use crate::telemetry::{Payload, Subject};

/// Whether the supervisor goes on.
type Performed = Result<(), ActorProcessingErr>;

impl State {
    /// Performs what there is to do, then sets the one timer.
    ///
    /// After many starts the rest waits for a message to oneself, so that other messages get in between.
    pub(super) async fn run(&mut self) -> Performed {
        let performed = self.run_turn().await;
        self.end_turn();
        performed
    }

    async fn run_turn(&mut self) -> Performed {
        let mut starts = 0;
        loop {
            while !self.paused
                && let Some(directive) = self.todo.pop_front()
            {
                let Directive::Start(who) = directive else {
                    self.perform(directive)?;
                    continue;
                };
                if starts == STARTS_PER_TURN {
                    self.todo.push_front(directive);
                    self.pause().await;
                } else {
                    starts += 1;
                    self.start(who).await;
                }
            }
            if self.paused {
                break;
            }
            // An operation is looked at only when nothing that was decided before it is left to do.
            if let Some(message) = self.deferred.pop_front() {
                self.on_message(message);
            } else if starts == STARTS_PER_TURN && !self.arrivals.is_empty() {
                self.pause().await;
            } else if let Some((spec, answer)) = self.next_arrival() {
                // One that is refused takes its time too.
                starts += usize::from(!self.start_child(spec, answer));
            } else {
                break;
            }
        }
        if !self.closed {
            self.arm();
        }
        Ok(())
    }

    /// Leaves the rest for the next turn: whoever waits for an answer gets to run, and to ask again.
    async fn pause(&mut self) {
        self.paused = true;
        self.end_turn();
        step_aside().await;
        self.emitter.new_turn();
        drop(self.myself.cast(Message::Continue));
    }

    pub(super) fn perform(&mut self, directive: Directive) -> Performed {
        match directive {
            // Performed by `run`, which can wait for the first poll.
            Directive::Start(_) => {}
            Directive::Stop(who, cause) => self.stop(who, cause),
            Directive::Kill(who, cause) => self.kill(who, cause),
            Directive::Pause(who) => self.hold(who, Hold::Pause),
            Directive::Resume(who) => self.hold(who, Hold::Resume),
            Directive::StartTimeout(who) => {
                if let Some(slot) = self.current(who) {
                    slot.timed_out = true;
                }
            }
            Directive::Abandon(who) => self.abandon(who),
            Directive::Abort(who) => self.abort(who),
            Directive::Backoff(scheduled) => self.backoff(&scheduled),
            Directive::Rest { slot, phase } => {
                // One that asked not to be started has been told already.
                let told =
                    phase == Phase::Completed && self.slot(slot).is_some_and(|slot| slot.ignored);
                if !told {
                    self.told(slot, phase, None);
                }
            }
            Directive::Park { slot, why } => self.park(slot, why),
            Directive::Remove(slot) => self.remove(slot),
            Directive::BackoffReset { slot, stable_for } => {
                self.tell(slot, || Payload::BackoffReset { stable_for });
            }
            Directive::Meltdown {
                slot,
                restarts,
                period,
            } => self.meltdown(slot, restarts, period),
            Directive::Booted => self.booted(),
            Directive::Close(closed) => return self.close(closed),
        }
        Ok(())
    }

    fn end_turn(&mut self) {
        self.emitter.end_turn();
        self.tree.registry.board.pin(&mut self.news);
    }

    /// From now on everybody can see how a child is.
    pub(super) fn pin(&mut self, index: u32) {
        let at = self.emitter.at();
        let slot = self.slots.get(index as usize).and_then(Option::as_ref);
        if let Some(slot) = slot
            && slot.pin(at)
            && self.tree.registry.board.wants(Follows::Phases)
        {
            self.news.push(slot.news(at));
        }
    }

    /// Tells something of a child. It can be seen already.
    pub(super) fn tell(&mut self, index: u32, payload: impl FnOnce() -> Payload) {
        self.pin(index);
        if let Some(slot) = self.slots.get(index as usize).and_then(Option::as_ref) {
            self.emitter.emit(|| slot.subject(), payload);
        }
    }

    /// A change of phase that has no event of its own.
    pub(super) fn told(&mut self, index: u32, phase: Phase, why: Option<Arc<str>>) {
        let Some(slot) = self.slot(index) else { return };
        let from = slot.enter(phase);
        if let Some(past) = slot.past_mut() {
            past.next_start_at = None;
            if phase.is_settled() {
                // Whoever starts it again does so anew: that is no recovery from this death.
                past.died_at = None;
            }
        }
        self.pin(index);
        if let Some(slot) = self.slots.get(index as usize).and_then(Option::as_ref)
            && slot.is_supervisor_that_has_ended()
        {
            self.tree.census.pools.end_below(slot.path());
        }
        if let Some(slot) = self.slot(index) {
            slot.answer_waiters();
        }
        self.tell(index, || Payload::ChildStateChanged {
            from,
            to: phase,
            why,
        });
    }

    fn stop(&mut self, who: Who, cause: StopCause) {
        let now = self.emitter.now();
        let Some(slot) = self.current(who) else {
            return;
        };
        slot.asked = Some((cause, now));
        slot.unpublish();
        if let Some(probing) = &slot.probing {
            probing.stopping();
        }
        let busy = slot.live.as_ref().is_some_and(Started::is_busy);
        slot.enter(if busy {
            Phase::Draining
        } else {
            Phase::Stopping
        });
        let why = slot.why_condemned.clone();
        self.tell(who.slot, || Payload::ChildStopping { cause, why });
        let Some(slot) = self.current(who) else {
            return;
        };
        match (&slot.live, &slot.start) {
            (Some(live), _) => live.stop(cause),
            (None, Some(start)) => {
                start.task.abort();
                self.aborted = true;
            }
            (None, None) => {}
        }
    }

    /// A life that was asked to stop has finished what it had to.
    pub(super) fn drained(&mut self, who: Who) {
        let draining = |slot: &&mut Slot| slot.phase == Phase::Draining;
        if self.current(who).filter(draining).is_some() {
            self.told(who.slot, Phase::Stopping, None);
        }
    }

    fn kill(&mut self, who: Who, cause: StopCause) {
        let now = self.emitter.now();
        // There is no time left to finish anything.
        self.drained(who);
        let Some(slot) = self.current(who) else {
            return;
        };
        slot.killed = true;
        slot.unpublish();
        if slot.asked.is_none() {
            slot.unasked = true;
            slot.asked = Some((cause, now));
            slot.enter(Phase::Stopping);
            let why = slot.why_condemned.clone();
            self.tell(who.slot, || Payload::ChildStopping { cause, why });
        }
        let Some(slot) = self.current(who) else {
            return;
        };
        match (&slot.live, &slot.start) {
            (Some(live), _) if live.has_ended() => self.lost(who),
            (Some(live), _) => live.kill(),
            (None, Some(start)) => {
                start.task.abort();
                self.aborted = true;
            }
            (None, None) => {}
        }
    }

    /// Holds a life, or lets it go on.
    fn hold(&mut self, who: Who, hold: Hold) {
        let phase = match hold {
            Hold::Pause => Phase::Paused,
            Hold::Resume => Phase::Running,
        };
        let done = Done::new(self.myself.clone(), who);
        let Some(slot) = self.current(who) else {
            return;
        };
        let changes = slot.phase != phase;
        if let Some(live) = slot.live.clone() {
            live.hold(hold, done);
        }
        if let Some(probing) = &slot.probing {
            match hold {
                Hold::Pause => probing.pause(),
                Hold::Resume => probing.resume(),
            }
        }
        if changes {
            self.told(who.slot, phase, None);
        }
    }

    /// A life is held now, or goes on.
    pub(super) fn held(&mut self, who: Who) {
        if let Some(slot) = self.current(who) {
            slot.answer_held();
        }
    }

    /// Its specification says that the program must not go on with it.
    fn abort(&mut self, who: Who) {
        let slot = self.slot(who.slot);
        if slot
            .as_ref()
            .is_some_and(|slot| matches!(slot.last_reason(), Some(ExitReason::Killed)))
        {
            // It had ended after all: it has only cut its link, so that nobody was told.
            return;
        }
        let path = slot.map(|slot| slot.path().to_string());
        tracing::error!(target: "regrow", ?path, "a child could not be ended; aborting the program, as its specification wants it");
        std::process::abort();
    }

    fn backoff(&mut self, scheduled: &Scheduled) {
        let (strategy, at) = (self.strategy, self.emitter.at());
        let Scheduled {
            slot: index,
            delay,
            attempt,
            in_window,
            max_restarts,
            ..
        } = *scheduled;
        let now = self.emitter.now();
        if let (Some((used, _)), Some(period)) = (self.core.intensity_used(now), self.core.period())
        {
            self.counts.note_restart(used, now.checked_add(period));
        }
        let Some(slot) = self.slot(index) else { return };
        slot.enter(Phase::Backoff);
        let past = slot.make_past();
        past.failed = true;
        past.attempt = attempt;
        past.restarts_in_window = in_window;
        past.next_start_at = at.checked_add(delay);
        slot.answer_waiters();
        let reason = slot.last_reason().cloned().unwrap_or(ExitReason::Cancelled);
        self.tell(index, || Payload::RestartScheduled {
            delay,
            attempt,
            restarts_in_window: in_window,
            max_restarts,
            reason,
            strategy,
        });
    }

    fn park(&mut self, index: u32, why: Parked) {
        let on_path = match why {
            Parked::Dependency { on } => self.slot(on).map(|slot| slot.path().to_string()),
            Parked::Intensity { .. }
            | Parked::CannotStart
            | Parked::NotRetried
            | Parked::Unresponsive
            | Parked::Condemned(_)
            | Parked::ExitRule => None,
        };
        let on_is_done = match why {
            Parked::Dependency { on } => self.core.phase(on) == Some(Phase::Completed),
            Parked::Intensity { .. }
            | Parked::CannotStart
            | Parked::NotRetried
            | Parked::ExitRule
            | Parked::Condemned(_)
            | Parked::Unresponsive => false,
        };
        let Some(slot) = self.slot(index) else { return };
        let last = slot
            .last_reason()
            .map_or_else(String::new, ToString::to_string);
        let text = match why {
            Parked::Intensity {
                max_restarts,
                period,
            } => {
                format!(
                    "failed again after {max_restarts} restarts within {period:?}; the last time: {last}"
                )
            }
            Parked::CannotStart => last,
            Parked::NotRetried => format!("failed, and is not tried again: {last}"),
            Parked::ExitRule => format!("{last}, after which it is never started again"),
            Parked::Condemned(cause) => {
                format!("was stopped for {cause} before it came to its end: {last}")
            }
            Parked::Unresponsive => "its last life could not be ended and still runs".to_owned(),
            Parked::Dependency { .. } => {
                format!(
                    "depends on \"{}\", which {}",
                    on_path.as_deref().unwrap_or("?"),
                    if on_is_done {
                        "has ended"
                    } else {
                        "was given up on"
                    },
                )
            }
        };
        let past = slot.make_past();
        past.parked_because = Some(text.clone());
        past.next_start_at = None;
        self.told(index, Phase::Failed, Some(text.into()));
    }

    fn remove(&mut self, index: u32) {
        let Some(mut slot) = self.slots.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        slot.place.standing.go();
        slot.leave_pool();
        if self.tree.registry.board.wants(Follows::Profiles) {
            self.news.push(slot.farewell(slot.leave_reason()));
            // Whoever is answered may ask the registry next.
            if !matches!(slot.waiters, Waiters::None) {
                self.tree.registry.board.pin(&mut self.news);
            }
        }
        slot.answer_all();
        slot.class().leave(slot.phase);
        self.directory.leave(slot.path());
        self.tree.forget_vital(slot.path());
        if slot.spec.nested.is_some() {
            self.tree.leave_below(slot.path());
        }
        self.emitter
            .emit(|| slot.subject(), || Payload::SupervisorChildRemoved {});
    }

    fn meltdown(&mut self, index: u32, restarts: u32, window: Duration) {
        let Some(slot) = self.slot(index) else { return };
        let child = slot.path().clone();
        let last_reason = slot.last_reason().cloned().unwrap_or(ExitReason::Cancelled);
        let subject = self.subject();
        self.emitter.emit(
            || subject,
            || Payload::Meltdown {
                child,
                restarts,
                window,
                last_reason,
            },
        );
        self.melted = Some((restarts, window));
    }

    /// This supervisor as the subject of an event.
    pub(super) fn subject(&self) -> Subject {
        let kind = regrow_core::ChildKind::Supervisor;
        match &self.context {
            Some(context) => Subject {
                phase: Phase::Running,
                ..context.subject.clone()
            },
            None => Subject::new(self.path.clone(), kind, kind.as_str(), 1, Phase::Running),
        }
    }

    fn booted(&mut self) {
        if let Some(root) = &self.root {
            root.booted.send_replace(Some(Ok(())));
        }
        if let Some(context) = &self.context {
            context.announce();
            context.ready();
        }
    }

    /// Nobody is alive any more.
    fn close(&mut self, closed: Closed) -> Performed {
        self.closed = true;
        self.disarm();
        let reason = self.close_reason(closed);
        if let Some(root) = &self.root {
            root.booted.send_if_modified(|booted| {
                let early = booted.is_none();
                if early {
                    *booted = Some(Err(StartError::from_close(&self.path, &reason)));
                }
                early
            });
            // Set once: this is the only place, and it is reached once.
            drop(root.ended.set(reason.clone()));
        }
        if matches!(reason, ExitReason::Shutdown) {
            self.myself.stop(Some("shutdown".to_owned()));
            return Ok(());
        }
        Err(Box::new(reason))
    }

    fn close_reason(&mut self, closed: Closed) -> ExitReason {
        let (index, melted) = match closed {
            Closed::ShutDown | Closed::AutoShutdown => return ExitReason::Shutdown,
            // OTP's supervisor ends so, however it came to that.
            Closed::Intensity { .. } if self.otp_compat => return ExitReason::Shutdown,
            Closed::Intensity { slot } => (slot, self.melted),
            Closed::StartFailed { slot } => (slot, None),
        };
        let Some(slot) = self.slot(index) else {
            return ExitReason::Shutdown;
        };
        let last = slot.last_reason().cloned().unwrap_or(ExitReason::Cancelled);
        let child = slot.path().clone();
        match melted {
            Some((restarts, period)) => ExitReason::Intensity(Arc::new(Intensity {
                child,
                restarts,
                period,
                last,
            })),
            None => ExitReason::StartFailed(Arc::new(ChildDidNotStart::deepest(child, last))),
        }
    }
}
