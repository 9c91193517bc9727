//! How lives begin and end, as the shell sees it.

use std::sync::Arc;

use ractor::SupervisionEvent;
use regrow_core::supervision::Who;
use regrow_core::{ExitKind, Phase, Shutdown};

use super::State;
use crate::breaker::Ended;
use crate::child::LastExit;
use crate::exit::{ExitReason, Follows, Ignore, StartFailure};
use crate::launch;
use crate::started::Force;
use crate::supervisor::lingering::Lingering;
use crate::supervisor::slot::Slot;
use crate::telemetry::{Edge, Outcome, Payload, Span, Vitals};

impl State {
    /// A life is up.
    pub(super) fn started(&mut self, who: Who) {
        let (now, at, otp_compat) = (self.emitter.now(), self.emitter.at(), self.otp_compat);
        let Some(slot) = self.current(who) else {
            return;
        };
        if slot.is_forgotten(otp_compat) {
            slot.spec.launch = launch::forgotten();
        }
        slot.give_back_pass(Ended::Success);
        slot.enter(Phase::Running);
        slot.up_since = Some(now);
        slot.started_at = Some(at);
        let took = now.saturating_duration_since(slot.born);
        let attempt = slot.attempt();
        let restarting = slot.past_mut().and_then(|past| {
            past.died_at = None;
            past.restarting.take()
        });
        self.pin(who.slot);
        if let Some(slot) = self.slot(who.slot) {
            slot.answer_waiters();
        }
        self.tell(who.slot, || Payload::ChildStarted { took, attempt });
        // Whoever says when has said so before it was up.
        if self
            .slot(who.slot)
            .is_some_and(|slot| slot.has_said_ready())
        {
            self.tell(who.slot, || Payload::ChildReady { took });
        }
        if let Some(mut span) = restarting {
            span.subject().phase = Phase::Running;
            self.emitter.stop(span);
        }
        let directives = self.core.on_started(who, now);
        self.queue(directives);
    }

    /// If this start follows a death, the restart is a span that began with it.
    pub(super) fn begin_restart(&mut self, index: u32) {
        let strategy = self.strategy;
        let slot = self.slots.get_mut(index as usize).and_then(Option::as_mut);
        let Some(slot) = slot else { return };
        if let Some(died) = slot.past().and_then(|past| past.died_at) {
            let payload = Payload::Restart {
                edge: Edge::Start,
                strategy,
            };
            let span = self.emitter.span_since(died, slot.subject(), payload);
            slot.make_past().restarting = Some(span);
        }
    }

    /// A start function returned an error, or was cancelled.
    pub(super) fn start_failed(&mut self, who: Who, failure: StartFailure) {
        let StartFailure { reason, follows } = failure;
        let permanent = match follows {
            Follows::Retry => false,
            Follows::GiveUp => true,
            Follows::Nothing => return self.ignored(who),
        };
        let now = self.emitter.now();
        let asked = self.current(who).is_some_and(|slot| slot.asked.is_some());
        // A start that was cancelled because the child was asked to stop has done as it was asked.
        let reason = if asked && matches!(reason, ExitReason::Cancelled) {
            ExitReason::Shutdown
        } else {
            reason
        };
        self.over(who, reason.clone());
        let directives = self
            .core
            .on_start_failed(who, reason.kind(), permanent, now);
        self.queue(directives);
    }

    /// A start function asked not to be started.
    fn ignored(&mut self, who: Who) {
        let now = self.emitter.now();
        let Some(slot) = self.current(who) else {
            return;
        };
        slot.ignored = true;
        if slot.asked.is_some() {
            self.over(who, ExitReason::Shutdown);
        } else {
            slot.who = None;
            slot.start = None;
            slot.give_back_pass(Ended::Ignored);
            if let Some(past) = slot.past_mut() {
                past.died_at = None;
                drop(past.restarting.take());
            }
            self.told(who.slot, Phase::Completed, Some(Ignore.to_string().into()));
        }
        let directives = self.core.on_ignored(who, now);
        self.queue(directives);
    }

    /// A child has ended, says `ractor`.
    pub(super) fn exited(&mut self, who: Who, event: SupervisionEvent) {
        let now = self.emitter.now();
        let Some(slot) = self.current(who) else {
            return discard(event);
        };
        let vitals = slot.live.as_ref().and_then(|live| live.vitals.as_deref());
        let reason = reason_of(vitals, slot.asked.is_some(), event);
        self.over(who, reason.clone());
        let directives = self.core.on_exit(who, reason.kind(), now);
        self.queue(directives);
    }

    /// A life could not be ended: it counts as over, and is told as what it is.
    pub(super) fn abandon(&mut self, who: Who) {
        let Some(slot) = self.current(who) else {
            return;
        };
        let (subject, place) = (slot.subject(), Arc::clone(&slot.place));
        let started = slot.live.clone();
        let start = slot.start.take();
        if let Some(live) = &started {
            if live.has_ended() {
                self.actors.remove(&live.cell.get_id());
                return self.over(who, ExitReason::Killed);
            }
            match live.force {
                Force::OnActor => live.cell.kill(),
                Force::ByControl | Force::None => {}
            }
            // From here on it is nobody's child: neither its end nor ours concerns the other.
            live.cell.unlink(self.myself.get_cell());
            self.actors.remove(&live.cell.get_id());
        }
        self.over(who, ExitReason::Unresponsive);
        let end = async move {
            match (started, start) {
                // Without a limit, waiting can only succeed.
                (Some(live), _) => drop(live.cell.wait(None).await),
                // The sender is dropped when the start is over.
                (None, Some(start)) => drop(start.over.await),
                (None, None) => {}
            }
        };
        Lingering::watch(Arc::clone(&self.tree), place, subject, end);
    }

    /// A life has ended in the time that it had, and nobody has told us: it has cut its link.
    pub(super) fn lost(&mut self, who: Who) {
        let now = self.emitter.now();
        if let Some(live) = self.current(who).and_then(|slot| slot.live.as_ref()) {
            let id = live.cell.get_id();
            self.actors.remove(&id);
        }
        self.over(who, ExitReason::Shutdown);
        let directives = self.core.on_exit(who, ExitKind::Shutdown, now);
        self.todo.extend(directives);
    }

    /// Notes and tells the end of a life.
    pub(super) fn over(&mut self, who: Who, reason: ExitReason) {
        let (now, at) = (self.emitter.now(), self.emitter.at());
        let Some(slot) = self.current(who) else {
            return;
        };
        let reason = told_as(slot, reason);
        // One that was asked to stop before it was up has told nothing of what it needs, unless it took too long or a probe failed it.
        let told = slot.timed_out || slot.asked.is_none() || slot.failed_start().is_some();
        slot.give_back_pass(match told && reason.kind().is_abnormal() {
            true => Ended::Failure,
            false => Ended::Ignored,
        });
        let handled = slot
            .live
            .take()
            .and_then(|live| live.vitals)
            .map(|vitals| vitals.handled());
        slot.unpublish();
        slot.who = None;
        slot.start = None;
        slot.probing = None;
        let outcome = if matches!(reason, ExitReason::Unresponsive) {
            Outcome::Unresponsive
        } else {
            slot.outcome(&reason)
        };
        let ran = slot.up_since.take();
        let given_up = slot.timed_out || matches!(reason, ExitReason::StartFailed(_));
        let asked = slot.asked;
        let hurried = slot.unasked && slot.spec.traits.plan.shutdown != Shutdown::BrutalKill;
        let past = slot.make_past();
        past.uptime = ran.map_or_else(Default::default, |since| {
            now.saturating_duration_since(since)
        });
        past.last_exit = Some(LastExit {
            reason: reason.clone(),
            at,
        });
        if asked.is_some() {
            past.died_at = None;
        } else if past.died_at.is_none() && ran.is_some() {
            past.died_at = Some(now);
        }
        let restarting = past.restarting.take();
        let done = slot.spec.traits.plan.once && !reason.kind().is_abnormal();
        let (lifetime, attempt, path) = (
            now.saturating_duration_since(slot.born),
            slot.attempt(),
            slot.path().clone(),
        );
        let cancelled = asked.is_some() && !given_up;
        self.end_restart(restarting, &reason, cancelled, done);
        match outcome {
            Outcome::Escalated => self.tree.note_hard_end(&path, false),
            Outcome::Killed if hurried => self.tree.note_hard_end(&path, false),
            Outcome::Unresponsive => self.tree.note_hard_end(&path, true),
            Outcome::ByItself | Outcome::Graceful | Outcome::Killed => {}
        }
        if ran.is_none() && !done && (asked.is_none() || given_up) {
            self.tell(who.slot, || Payload::ChildStartFailed { reason, attempt });
        } else {
            self.tell(who.slot, || Payload::ChildTerminated {
                reason,
                outcome,
                cause: asked.map(|(cause, _)| cause),
                lifetime,
                stop_took: asked.map(|(_, at)| now.saturating_duration_since(at)),
                handled,
            });
        }
    }

    /// A life that began as a restart is over before it was up, or has done what it was there for by then.
    fn end_restart(
        &mut self,
        restarting: Option<Span>,
        reason: &ExitReason,
        cancelled: bool,
        done: bool,
    ) {
        match restarting {
            // Stopped before it was up: dropped, it is told as cancelled.
            Some(span) if cancelled => drop(span),
            Some(mut span) if done => {
                span.subject().phase = Phase::Completed;
                self.emitter.stop(span);
            }
            Some(span) => span.exception(reason.to_string()),
            None => {}
        }
    }
}

/// What an end is told as: a start that was given up on has failed, however its life ended then.
fn told_as(slot: &Slot, reason: ExitReason) -> ExitReason {
    match slot.failed_start() {
        Some(why) => ExitReason::StartFailed(Arc::new(ProbeFailed(why))),
        None if slot.timed_out => ExitReason::StartTimeout,
        None => reason,
    }
}

/// What a startup probe has found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ProbeFailed(Arc<str>);

/// Drops the state of an actor that nobody waits for where its `Drop` may panic, or take long.
pub(super) fn discard(event: SupervisionEvent) {
    if let SupervisionEvent::ActorTerminated(_, Some(state), _) = event {
        tokio::spawn(async move { drop(state) });
    }
}

/// What an end means. The one place where `ractor`'s texts are read.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "ractor's features add variants"
)]
fn reason_of(vitals: Option<&Vitals>, was_asked: bool, event: SupervisionEvent) -> ExitReason {
    match event {
        SupervisionEvent::ActorFailed(_, error) => ExitReason::error(error),
        SupervisionEvent::ActorTerminated(_, state, text) => {
            let adapter_says = vitals.map(Vitals::is_orderly);
            if let Some(state) = state.filter(|_| adapter_says != Some(true)) {
                // A state whose `Drop` panics or takes long must not do so in here.
                tokio::spawn(async move { drop(state) });
            }
            match (adapter_says, text.as_deref()) {
                (Some(true), text) => orderly(text, was_asked),
                (_, Some("actor_task_cancelled")) => ExitReason::Cancelled,
                (Some(false), _) | (None, Some("killed")) => ExitReason::Killed,
                (None, text) => orderly(text, was_asked),
            }
        }
        // Not the end of an actor.
        _ => ExitReason::Cancelled,
    }
}

fn orderly(text: Option<&str>, was_asked: bool) -> ExitReason {
    let says_so = |text: &str| text == "shutdown" || text.starts_with("shutdown:");
    if was_asked || text.is_some_and(says_so) {
        ExitReason::Shutdown
    } else {
        ExitReason::Normal
    }
}

/// How an actor has ended that is no child of a tree.
pub(crate) fn reason_of_foreign(event: SupervisionEvent) -> ExitReason {
    reason_of(None, false, event)
}
