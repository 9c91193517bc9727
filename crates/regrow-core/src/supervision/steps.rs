//! What is done about the marks: one stop or start at a time, and the timers.

use std::time::Instant;

use super::dependents::Obstacle;
use super::slot::{After, Ending, State};
use super::{Closed, Directive, Mode, Parked, Supervision};
use crate::restart::{ExitKind, Shutdown, StopCause, Unresponsive};

impl Mode {
    /// It ends in order: what becomes of a child that is left is for its parent to decide.
    const fn ends_in_order(self) -> bool {
        match self {
            Self::Closing(Closed::ShutDown | Closed::AutoShutdown) | Self::Closed => true,
            Self::New
            | Self::Up
            | Self::Closing(Closed::Intensity { .. } | Closed::StartFailed { .. }) => false,
        }
    }
}

impl Supervision {
    /// Fires what is due and takes steps until nothing moves any more.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Vec<Directive>) {
        if std::mem::take(&mut self.tangled) {
            self.untangle();
        }
        if self.forgotten.take().is_some() {
            self.see_to_the_waiting(now, out);
        }
        loop {
            while let Some((at, index)) = self.timers.first().copied()
                && at <= now
            {
                self.set_timer(index, None);
                self.fire(index, now, out);
            }
            if !self.step(now, out) {
                break;
            }
        }
        self.tell_boot(out);
    }

    /// Tells, once, that the boot is over.
    pub(super) fn tell_boot(&mut self, out: &mut Vec<Directive>) {
        if self.boot_left == 0
            && self.mode == Mode::Up
            && !std::mem::replace(&mut self.booted, true)
        {
            out.push(Directive::Booted);
        }
    }

    fn fire(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        match slot.state {
            State::Backoff => self.start(index, now, out),
            // One that is doomed already is stopped in its turn.
            State::Starting if slot.after.is_some() => {}
            State::Starting => self.start_took_too_long(index, now, out),
            State::Leaving { killed: false } => self.kill(index, StopCause::Parent, now, out),
            State::Leaving { killed: true } => {
                out.push(Directive::Abandon(slot.who(index)));
                let (end, permanent) = (ExitKind::Unresponsive, false);
                self.gone(index, Ending::Exit { end, permanent }, now, out);
            }
            // It was to say in time that it may be given work.
            State::Running if slot.after.is_some() => {}
            State::Running => self.start_took_too_long(index, now, out),
            State::Pending | State::Completed | State::Stopped | State::Failed => {}
        }
    }

    fn start_took_too_long(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let who = self.slot(index).map(|slot| slot.who(index));
        out.extend(who.map(Directive::StartTimeout));
        self.doom(index, After::StartTimedOut);
        self.ask(index, StopCause::Parent, now, out);
    }

    /// What shall follow the present life, now that it is gone.
    pub(super) fn follows(
        &mut self,
        index: u32,
        ending: Ending,
        out: &mut Vec<Directive>,
    ) -> Option<After> {
        let ends_in_order = self.mode.ends_in_order();
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a living child has a slot");
        let after = slot.after.take();
        match ending {
            Ending::Exit {
                end: ExitKind::Unresponsive,
                ..
            } => {}
            Ending::Exit { .. } | Ending::Ignored => return after,
        }
        if slot.plan.unresponsive == Unresponsive::Abort && !ends_in_order {
            out.push(Directive::Abort(slot.who(index)));
        }
        slot.after_unresponsive(after)
    }

    /// One step of the plan; whether there was one.
    fn step(&mut self, now: Instant, out: &mut Vec<Directive>) -> bool {
        if self.step_stop(now, out) {
            return true;
        }
        if let Mode::Closing(why) = self.mode {
            if self.alive == 0 {
                self.mode = Mode::Closed;
                out.push(Directive::Close(why));
            }
            return false;
        }
        if !self.may_start_in_turn() || self.hold_until.is_some_and(|until| until > now) {
            return false;
        }
        self.hold_until = None;
        let Some((_, index)) = self.starts.pop_first() else {
            return false;
        };
        match self.stands_before(index) {
            Some(Obstacle::Waits) => return self.leave_line(index, out),
            Some(Obstacle::InVain(on)) => {
                self.park(index, Parked::Dependency { on }, out);
                return true;
            }
            None => {}
        }
        self.starting = Some(index);
        self.start(index, now, out);
        true
    }

    fn step_stop(&mut self, now: Instant, out: &mut Vec<Directive>) -> bool {
        // Those that stop together or by dependencies are asked by `close`, and by each that is gone. What is left when nobody is
        // on the way out any more is a cycle among dependencies, which must not hang the shutdown.
        if self.leaving > 0 {
            return false;
        }
        let Some((_, index)) = self.stops.last().copied() else {
            return false;
        };
        self.stop_in_turn(index, now, out);
        true
    }

    pub(super) fn may_start_in_turn(&self) -> bool {
        self.mode == Mode::Up
            && self.stops.is_empty()
            && self.leaving == 0
            && self.starting.is_none()
            && !self.starts.is_empty()
    }

    pub(super) fn turn_is_over(&mut self, index: u32) {
        if self.starting == Some(index) {
            self.starting = None;
        }
    }

    /// Whether a group is being stopped: until it is gone, nobody is started.
    pub(super) fn group_is_stopping(&self) -> bool {
        self.mode == Mode::Up && (self.leaving > 0 || !self.stops.is_empty())
    }

    /// Begins the next life of a child; while a group is being stopped, the child is due in turn instead.
    pub(super) fn start(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        if self.is_closing() {
            self.rest(index, After::Stopped, out);
            return;
        }
        self.set_timer(index, None);
        if self.group_is_stopping() {
            return self.line_up(index, out);
        }
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a child that starts has a slot");
        self.starts.remove(&(slot.turn, index));
        slot.life += 1;
        slot.since = now;
        slot.ready = slot.plan.ready_within.is_none();
        if let Some(links) = &mut slot.links {
            links.in_vain = false;
        }
        let who = slot.who(index);
        self.enter(index, State::Starting);
        self.alive += 1;
        out.push(Directive::Start(who));
    }

    pub(super) fn stop_in_turn(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let cause = match self.mode {
            Mode::Closing(
                Closed::ShutDown
                | Closed::AutoShutdown
                | Closed::Intensity { .. }
                | Closed::StartFailed { .. },
            )
            | Mode::Closed => StopCause::Parent,
            Mode::New | Mode::Up => StopCause::Sibling,
        };
        self.begin_stop(index, cause, true, now, out);
    }

    /// Takes a doomed child out of the line and asks it to stop, or kills it, as its shutdown says.
    pub(super) fn begin_stop(
        &mut self,
        index: u32,
        cause: StopCause,
        in_turn: bool,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a child that is stopped has a slot");
        self.stops.remove(&(slot.turn, index));
        slot.in_turn = in_turn;
        self.leaving += u32::from(in_turn);
        slot.state = State::Leaving { killed: false };
        let until = match slot.plan.shutdown {
            Shutdown::BrutalKill => return self.kill(index, cause, now, out),
            Shutdown::Timeout(timeout) => now.checked_add(timeout),
            Shutdown::Infinity => None,
        };
        out.push(Directive::Stop(slot.who(index), cause));
        self.set_timer(index, until);
    }

    /// Uses force on a living child, once.
    pub(super) fn kill(
        &mut self,
        index: u32,
        cause: StopCause,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a child that is killed has a slot");
        if slot.state == (State::Leaving { killed: true }) {
            return;
        }
        if self.stops.remove(&(slot.turn, index)) {
            slot.in_turn = true;
            self.leaving += 1;
        }
        slot.state = State::Leaving { killed: true };
        out.push(Directive::Kill(slot.who(index), cause));
        let grace = (!slot.plan.ends_itself).then_some(self.policy.kill_grace);
        let until = grace.and_then(|grace| now.checked_add(grace));
        self.set_timer(index, until);
    }

    pub(super) fn set_timer(&mut self, index: u32, at: Option<Instant>) {
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut slot.timer, at) {
            self.timers.remove(&(old, index));
        }
        if let Some(at) = at {
            self.timers.insert((at, index));
        }
    }
}
