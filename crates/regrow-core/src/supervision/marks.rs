//! What an event marks: who is doomed, who is due, who has had enough.

use std::time::{Duration, Instant};

use super::condition::{Condition, Reached};
use super::slot::{After, Ending, Outcome, State, Trial};
use super::{Closed, Directive, Mode, Order, Parked, Scheduled, Slot, Supervision, Who};
use crate::backoff::NextStart;
use crate::exits::Follow;
use crate::intensity::{RestartWindow, Verdict};
use crate::phase::{Desired, Phase};
use crate::restart::{AutoShutdown, ExitKind, GiveUp, Restart, StopCause, Strategy};

impl Supervision {
    /// A life that was alive is not any more.
    pub(super) fn gone(
        &mut self,
        index: u32,
        ending: Ending,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        self.set_timer(index, None);
        self.alive -= 1;
        let after = self.follows(index, ending, out);
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a living child has a slot");
        let (before, turn) = (slot.state, slot.turn);
        let condemned = matches!(after, Some(After::Condemned(_)));
        let uptime = if before == State::Running || condemned {
            slot.uptime(now)
        } else {
            Duration::ZERO
        };
        slot.paused = None;
        let wanted = slot.desired != Desired::Down;
        let was_in_turn = std::mem::take(&mut slot.in_turn);
        // Whatever start comes next is not the operator's any more, unless it was asked for since.
        let trial = if after == Some(After::AtOnce) {
            Trial::None
        } else {
            std::mem::replace(&mut slot.trial, Trial::None)
        };
        self.leaving -= u32::from(was_in_turn);
        self.enter(index, State::Pending);
        self.stops.remove(&(turn, index));
        self.turn_is_over(index);
        match after {
            Some(After::InTurn) => self.due_in_turn(index, out),
            Some(After::AtOnce) if self.group_is_stopping() => self.due_in_turn(index, out),
            Some(After::AtOnce) => self.start(index, now, out),
            Some(After::Remove) if wanted => {
                // It goes with its group, and nobody has given up on it: its dependents do without.
                self.meet_dependents(index, Reached::ALL, now, out);
                self.remove(index, out);
            }
            Some(after @ (After::Stopped | After::Remove)) => self.rest(index, after, out),
            Some(After::Parked) => self.park(index, Parked::Unresponsive, out),
            Some(After::Condemned(cause)) => {
                let end = ending.kind();
                self.condemned(index, cause, (end, uptime), now, out);
            }
            Some(After::StartTimedOut) => {
                self.start_failed(index, trial, (ExitKind::StartTimeout, false), now, out);
            }
            Some(After::StartCondemned) => {
                self.start_failed(index, trial, (ExitKind::StartFailed, false), now, out);
            }
            None => match ending {
                Ending::Ignored => self.ignored(index, now, out),
                Ending::Exit { end, permanent }
                    if before == State::Starting && !self.is_done_after(index, end) =>
                {
                    self.start_failed(index, trial, (end, permanent), now, out);
                }
                Ending::Exit { end, .. } => self.ended(index, end, uptime, now, out),
            },
        }
        self.release_dependencies(index, now, out);
    }

    /// A life ended by itself.
    fn ended(
        &mut self,
        index: u32,
        end: ExitKind,
        uptime: Duration,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a living child has a slot");
        match slot.plan.comes_to(end) {
            Outcome::Done => {}
            Outcome::Again => return self.failed(index, end, uptime, now, out),
            Outcome::Failed | Outcome::Never if self.is_closing() => {
                return self.rest(index, After::Stopped, out);
            }
            Outcome::Failed => return self.give_up(index, Parked::NotRetried, now, out),
            Outcome::Never => return self.give_up(index, Parked::ExitRule, now, out),
        }
        let reached = match self.slot(index) {
            Some(slot) if slot.plan.is_in_order(end) => Reached::when_done(slot),
            Some(_) | None => Reached::of(&[Condition::Completed]),
        };
        self.ended_for_good(index, reached, now, out);
    }

    /// A life that nobody wished to end was ended for a cause.
    fn condemned(
        &mut self,
        index: u32,
        cause: StopCause,
        (end, uptime): (ExitKind, Duration),
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let slot = self.slots[index as usize]
            .as_ref()
            .expect("a condemned child has a slot");
        let (once, restart) = (slot.plan.once, slot.plan.restart);
        match restart {
            Restart::Permanent | Restart::Transient if cause.is_failure() => {
                self.failed(index, end, uptime, now, out);
            }
            // What it was there for has not come about.
            Restart::Permanent | Restart::Transient | Restart::Temporary if once => {
                self.give_up(index, Parked::Condemned(cause), now, out);
            }
            Restart::Permanent if self.group_is_stopping() => self.due_in_turn(index, out),
            Restart::Permanent => self.start(index, now, out),
            Restart::Transient | Restart::Temporary => {
                let reached = Reached::of(&[Condition::Completed]);
                self.ended_for_good(index, reached, now, out);
            }
        }
    }

    /// A life has ended, and its plan wants no other.
    fn ended_for_good(
        &mut self,
        index: u32,
        reached: Reached,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let significant = self.slot(index).is_some_and(|slot| slot.plan.significant);
        // It still counts itself.
        let last = match self.policy.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => self.significant == 1,
        };
        if significant && last {
            self.complete(index, out);
            return self.close(Closed::AutoShutdown, now, out);
        }
        self.meet_dependents(index, reached, now, out);
        self.complete(index, out);
        for waiting in self.waiting_for(index) {
            self.park(waiting, Parked::Dependency { on: index }, out);
        }
    }

    /// A life asked not to be started.
    fn ignored(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        // Nobody is to wait for what does not want to be.
        self.meet_dependents(index, Reached::ALL, now, out);
        self.complete(index, out);
    }

    /// A child has ended and is not started again.
    fn complete(&mut self, index: u32, out: &mut Vec<Directive>) {
        if !self.keeps_place(index) {
            self.remove(index, out);
            return;
        }
        self.enter(index, State::Completed);
        out.push(Directive::Rest {
            slot: index,
            phase: Phase::Completed,
        });
        self.release_boot(index);
    }

    /// Whether the place of a child stays when nobody will live in it.
    pub(super) fn keeps_place(&self, index: u32) -> bool {
        !self.policy.dynamic && !self.slot(index).is_some_and(|slot| slot.plan.leaves())
    }

    fn is_done_after(&self, index: u32, end: ExitKind) -> bool {
        self.slot(index)
            .is_some_and(|slot| slot.plan.is_done_after(end))
    }

    /// A start did not succeed.
    fn start_failed(
        &mut self,
        index: u32,
        trial: Trial,
        (end, permanent): (ExitKind, bool),
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let slot = self.slots[index as usize]
            .as_ref()
            .expect("a starting child has a slot");
        let (give_up, restart, booting) = (slot.plan.give_up, slot.plan.restart, slot.holds_boot);
        let (leaves, once) = (slot.plan.leaves(), slot.plan.once);
        match slot.plan.rule(end) {
            Some(Follow::Park) => return self.park(index, Parked::ExitRule, out),
            Some(Follow::Restart) if give_up == GiveUp::Park => {
                return self.failed(index, end, Duration::ZERO, now, out);
            }
            Some(Follow::Restart | Follow::Rest) | None => {}
        }
        let forgets = self.policy.dynamic || self.policy.otp_compat;
        match give_up {
            // One that is temporary is never started again, so it cannot be retried either.
            GiveUp::Park if permanent || leaves => self.park(index, Parked::CannotStart, out),
            GiveUp::Park if restart == Restart::Temporary => {
                self.give_up(index, Parked::NotRetried, now, out);
            }
            GiveUp::Park => self.failed(index, end, Duration::ZERO, now, out),
            GiveUp::Escalate if booting => {
                self.close(Closed::StartFailed { slot: index }, now, out);
            }
            GiveUp::Escalate if leaves => self.remove(index, out),
            GiveUp::Escalate if trial == Trial::New && forgets => self.remove(index, out),
            GiveUp::Escalate if trial != Trial::None => self.rest(index, After::Stopped, out),
            GiveUp::Escalate if permanent => {
                self.close(Closed::StartFailed { slot: index }, now, out);
            }
            GiveUp::Escalate if once && restart == Restart::Temporary => {
                self.give_up(index, Parked::NotRetried, now, out);
            }
            GiveUp::Escalate => self.failed(index, end, Duration::ZERO, now, out),
        }
    }

    /// A child has to be started again, if its limits allow it.
    fn failed(
        &mut self,
        index: u32,
        end: ExitKind,
        uptime: Duration,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        if self.is_closing() {
            self.rest(index, After::Stopped, out);
            return;
        }
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a failed child has a slot");
        let own_limit = slot.plan.limit;
        let mut used = (0, None);
        if let Some(limit) = own_limit {
            let window = slot
                .window
                .get_or_insert_with(|| Box::new(RestartWindow::new(limit)));
            match window.record(now) {
                Verdict::Within(count) => used = (count, Some(limit.max_restarts())),
                Verdict::Exceeded => return self.exceeded(index, limit, now, out),
            }
        }
        if let Some(window) = &mut self.window {
            let limit = window.intensity();
            match window.record(now) {
                Verdict::Within(count) if own_limit.is_none() => {
                    used = (count, Some(limit.max_restarts()));
                }
                Verdict::Within(_) => {}
                Verdict::Exceeded => return self.meltdown(index, limit, now, out),
            }
        }
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a failed child has a slot");
        let next = slot
            .attempts
            .on_failure(&slot.plan.backoff, uptime, &mut self.rng);
        self.schedule(index, end, uptime, next, used, now, out);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one decision with all its inputs; it is called in one place"
    )]
    fn schedule(
        &mut self,
        index: u32,
        end: ExitKind,
        uptime: Duration,
        next: NextStart,
        (in_window, max_restarts): (u32, Option<u32>),
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        if next.reset {
            out.push(Directive::BackoffReset {
                slot: index,
                stable_for: uptime,
            });
        }
        let at = now.checked_add(next.delay).unwrap_or(now);
        out.push(Directive::Backoff(Scheduled {
            slot: index,
            at,
            delay: next.delay,
            attempt: next.attempt,
            in_window,
            max_restarts,
            after: end,
        }));
        self.enter(index, State::Backoff);
        match self.policy.strategy {
            Strategy::OneForOne => self.set_timer(index, Some(at)),
            Strategy::OneForAll | Strategy::RestForOne => self.take_along(index, at, out),
        }
    }

    fn exceeded(
        &mut self,
        index: u32,
        limit: crate::RestartIntensity,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let slot = self.slots[index as usize]
            .as_ref()
            .expect("a failed child has a slot");
        match slot.plan.give_up {
            GiveUp::Escalate => self.meltdown(index, limit, now, out),
            GiveUp::Park => {
                let why = Parked::Intensity {
                    max_restarts: limit.max_restarts(),
                    period: limit.period(),
                };
                self.give_up(index, why, now, out);
            }
        }
    }

    fn meltdown(
        &mut self,
        index: u32,
        limit: crate::RestartIntensity,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        out.push(Directive::Meltdown {
            slot: index,
            restarts: limit.max_restarts(),
            period: limit.period(),
        });
        self.close(Closed::Intensity { slot: index }, now, out);
    }

    /// Gives up on a child that has ended: that much has come of it.
    fn give_up(&mut self, index: u32, why: Parked, now: Instant, out: &mut Vec<Directive>) {
        let reached = Reached::of(&[Condition::Completed]);
        self.meet_dependents(index, reached, now, out);
        self.park(index, why, out);
    }

    /// Gives up on a child; those that wait for it in vain are given up on with it.
    pub(super) fn park(&mut self, index: u32, why: Parked, out: &mut Vec<Directive>) {
        let mut parked = vec![(index, why)];
        while let Some((index, why)) = parked.pop() {
            if self.phase(index) == Some(Phase::Failed) {
                continue;
            }
            self.set_timer(index, None);
            let slot = self.slots[index as usize]
                .as_ref()
                .expect("a parked child has a slot");
            self.starts.remove(&(slot.turn, index));
            self.enter(index, State::Failed);
            if let (Parked::Dependency { .. }, Some(slot)) = (why, self.slot_mut(index)) {
                slot.links.get_or_insert_default().in_vain = true;
            }
            out.push(Directive::Park { slot: index, why });
            self.release_boot(index);
            let on = Parked::Dependency { on: index };
            parked.extend(self.waiting_for(index).into_iter().map(|slot| (slot, on)));
        }
    }

    /// A child is not to be started: it rests, or its place goes.
    pub(super) fn rest(&mut self, index: u32, after: After, out: &mut Vec<Directive>) {
        if after == After::Remove {
            self.remove(index, out);
            return;
        }
        self.set_timer(index, None);
        let slot = self.slots[index as usize]
            .as_ref()
            .expect("a resting child has a slot");
        self.starts.remove(&(slot.turn, index));
        self.enter(index, State::Stopped);
        out.push(Directive::Rest {
            slot: index,
            phase: Phase::Stopped,
        });
        self.release_boot(index);
    }

    pub(super) fn remove(&mut self, index: u32, out: &mut Vec<Directive>) {
        // Those that wait for its first start would wait for ever.
        for dependent in self.waiting_for(index) {
            self.park(dependent, Parked::Dependency { on: index }, out);
        }
        self.set_timer(index, None);
        self.release_boot(index);
        let slot = self.slots[index as usize]
            .take()
            .expect("a removed child has a slot");
        self.starts.remove(&(slot.turn, index));
        self.by_order.remove(&slot.order);
        self.significant -= u32::from(slot.is_significant());
        self.free.push((index, slot.life));
        self.unlink(index, &slot);
        out.push(Directive::Remove(index));
    }

    /// Everything living is doomed and nothing is due any more.
    pub(super) fn close(&mut self, why: Closed, now: Instant, out: &mut Vec<Directive>) {
        if self.is_closing() {
            return;
        }
        self.mode = Mode::Closing(why);
        self.starts.clear();
        self.hold_until = None;
        let children: Vec<u32> = self.by_order.values().copied().collect();
        for index in children {
            let slot = self.slots[index as usize]
                .as_mut()
                .expect("a child in order has a slot");
            match slot.state {
                State::Starting | State::Running => self.doom(index, After::Stopped),
                State::Leaving { .. } => {
                    slot.after = Some(After::Stopped);
                    if !std::mem::replace(&mut slot.in_turn, true) {
                        self.leaving += 1;
                    }
                }
                State::Pending | State::Backoff => self.rest(index, After::Stopped, out),
                State::Completed | State::Stopped | State::Failed => {}
            }
        }
        if self.policy.order == Order::Dependencies || self.policy.stop_together {
            let doomed: Vec<u32> = self.stops.iter().rev().map(|(_, slot)| *slot).collect();
            for index in doomed {
                self.stop_if_free(index, now, out);
            }
        }
    }

    /// Marks a living child: it will be stopped, and then `after`.
    pub(super) fn doom(&mut self, index: u32, after: After) {
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a doomed child has a slot");
        slot.after = Some(after);
        self.stops.insert((slot.turn, index));
    }

    pub(super) fn release_boot(&mut self, index: u32) {
        if let Some(slot) = self.slot_mut(index)
            && std::mem::take(&mut slot.holds_boot)
        {
            self.boot_left -= 1;
        }
    }

    pub(super) fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Notes where a child stands now.
    pub(super) fn enter(&mut self, index: u32, state: State) {
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a child that stands somewhere has a slot");
        self.significant -= u32::from(slot.is_significant());
        slot.state = state;
        self.significant += u32::from(slot.is_significant());
    }

    pub(super) fn is_alive(&self, index: u32) -> bool {
        self.slot(index).is_some_and(|slot| slot.state.is_alive())
    }

    /// The slot, if this is its present life.
    pub(super) fn current(&mut self, who: Who) -> Option<&mut Slot> {
        self.slot_mut(who.slot).filter(|slot| slot.life == who.life)
    }

    pub(super) fn ask(
        &mut self,
        index: u32,
        cause: StopCause,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        self.begin_stop(index, cause, false, now, out);
    }
}
