//! The supervisor's decisions.
//!
//! A [`Supervision`] is told what happened and when, and answers with [`Directive`]s. Events only *mark* children; one step then
//! decides by two rules: **stop what is doomed, last child first; then start what is due, first child first.** All three
//! strategies are these two rules with different marks, so failures that arrive in the middle of a transition are simply more
//! marks, and are merged into it.
//!
//! The contract with the shell:
//!
//! * every method takes the present time, which never goes backwards; after any call [`Supervision::next_wakeup`] is in the
//!   future, or `None`; after [`Supervision::reconfigure`] it is due, when the dependencies have been said again;
//! * each [`Directive::Start`] is answered by one [`Supervision::on_started`], [`Supervision::on_start_failed`] or
//!   [`Supervision::on_exit`] of the same [`Who`]; each life that started by one `on_exit`. Answers of an earlier life are ignored;
//! * [`Directive::Close`] is the last one, given once, with nobody alive.
//!
//! An event costs O(log n) in the number of children, plus O(log n) for each child that it touches: one for `one_for_one`.

mod condition;
mod dependents;
mod directive;
mod group;
#[cfg(test)]
mod histories;
mod marks;
mod operations;
mod reconfigure;
mod slot;
mod steps;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use condition::Condition;
use condition::Reached;
pub use directive::{Closed, Directive, Parked, Refused, Scheduled, Who};
pub use slot::ChildPlan;
#[cfg(test)]
pub(crate) use slot::Outcome;
use slot::{After, Ending, Slot, State, Trial};

use crate::backoff::Attempts;
use crate::intensity::{RestartIntensity, RestartWindow};
use crate::phase::{Desired, Phase};
use crate::restart::{AutoShutdown, ExitKind, StopCause, Strategy};
use crate::rng::SplitMix64;
use crate::words::words;

/// A longer list than this is not kept for the next answer.
const MAX_SPARE: usize = 64;

words! {
    /// What decides when a child of a starting or stopping supervisor has its turn. The restart of a group goes one at a time
    /// in either order.
    pub enum Order {
        /// One after the other: each starts when the one before it has started, and stops when the one after it is gone.
        Sequence = "sequence",
        /// Each starts when all that it depends on have started, and stops when all that depend on it are gone.
        ///
        /// The rest that `rest_for_one` takes along are those that depend on the failed child, directly or not.
        Dependencies = "dependencies",
    }
}

/// How a supervisor as a whole behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Which siblings a failed child takes along.
    pub strategy: Strategy,
    /// How many restarts it takes to give up; `None`: it never does.
    pub intensity: Option<RestartIntensity>,
    /// Whose turn it is at boot and shutdown.
    pub order: Order,
    /// Whether children that do not depend on each other stop all at once instead of one at a time.
    pub stop_together: bool,
    /// How long a killed child may take before it is abandoned as `unresponsive`.
    pub kill_grace: Duration,
    /// Whether it ends with its significant children.
    pub auto_shutdown: AutoShutdown,
    /// Children come and go: the place of one that is not started again goes with it, whatever its restart type. Only
    /// `one_for_one` makes sense with it.
    pub dynamic: bool,
    /// How many places there may be; [`Supervision::start_child`] refuses one more.
    pub max_children: Option<u32>,
    /// Decides as OTP does where regrow's own rule is another: a group restart also starts siblings that an operator had
    /// stopped, and a child that was added and does not start is forgotten.
    pub otp_compat: bool,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for Policy {
    /// `one_for_one`, 3 restarts in 5 s, in sequence, 5 s for a kill, no auto-shutdown.
    fn default() -> Self {
        Self {
            strategy: Strategy::OneForOne,
            intensity: Some(RestartIntensity::new(3, Duration::from_secs(5))),
            order: Order::Sequence,
            stop_together: false,
            kill_grace: Duration::from_secs(5),
            auto_shutdown: AutoShutdown::Never,
            dynamic: false,
            max_children: None,
            otp_compat: false,
            seed: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    New,
    Up,
    Closing(Closed),
    Closed,
}

/// The children of one supervisor and what becomes of them; see the [module](self).
#[derive(Clone, Debug)]
pub struct Supervision {
    policy: Policy,
    window: Option<RestartWindow>,
    rng: SplitMix64,
    mode: Mode,
    slots: Vec<Option<Slot>>,
    /// Places of removed children, with the last life each has seen.
    free: Vec<(u32, u32)>,
    by_order: BTreeMap<u64, u32>,
    next_order: u64,
    /// Whether somebody's turn may be before that of one it depends on.
    tangled: bool,
    /// When dependencies were forgotten, until the next step has seen to those that waited for them.
    forgotten: Option<Instant>,
    /// Alive and doomed, and not asked to stop yet, by their turns.
    stops: BTreeSet<(u64, u32)>,
    /// How many lives are on their way out as steps of a plan.
    leaving: u32,
    /// Due in turn, by their turns.
    starts: BTreeSet<(u64, u32)>,
    /// The one of them that is under way.
    starting: Option<u32>,
    /// No start in turn before this instant: the longest delay of the group.
    hold_until: Option<Instant>,
    timers: BTreeSet<(Instant, u32)>,
    alive: u32,
    /// Significant children that are up, on their way, or wait for their next start.
    significant: u32,
    boot_left: u32,
    booted: bool,
    /// An empty list for the next answer.
    spare: Vec<Directive>,
}

impl Supervision {
    /// A supervisor without children, not started yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            window: policy.intensity.map(RestartWindow::new),
            rng: SplitMix64::new(policy.seed),
            mode: Mode::New,
            slots: Vec::new(),
            free: Vec::new(),
            by_order: BTreeMap::new(),
            next_order: 0,
            tangled: false,
            forgotten: None,
            stops: BTreeSet::new(),
            leaving: 0,
            starts: BTreeSet::new(),
            starting: None,
            hold_until: None,
            timers: BTreeSet::new(),
            alive: 0,
            significant: 0,
            boot_left: 0,
            booted: false,
            spare: Vec::new(),
        }
    }

    /// Adds a place for a child after all others. Before [`Self::boot`] it takes part in the boot, if it is enabled; afterwards it
    /// waits for [`Self::start_child`] or [`Self::restart_child`].
    ///
    /// # Panics
    /// With 2³² children; memory runs out long before.
    pub fn add(&mut self, plan: impl Into<Arc<ChildPlan>>, now: Instant) -> u32 {
        let plan = plan.into();
        let (index, life) = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 children"),
                0,
            )
        });
        let booting = self.mode == Mode::New && plan.enabled;
        self.boot_left += u32::from(booting);
        self.significant += u32::from(booting && plan.significant);
        let order = self.next_order;
        self.next_order += 1;
        self.by_order.insert(order, index);
        self.slots[index as usize] = Some(Slot {
            desired: if plan.enabled || self.mode != Mode::New {
                plan.wanted()
            } else {
                Desired::Down
            },
            plan,
            order,
            turn: order,
            life,
            life_before: life,
            state: if booting {
                State::Pending
            } else {
                State::Stopped
            },
            after: None,
            in_turn: false,
            trial: Trial::None,
            holds_boot: booting,
            ready: false,
            since: now,
            paused: None,
            timer: None,
            attempts: Attempts::default(),
            window: None,
            links: None,
        });
        index
    }

    /// Gives an answer's list back when it has been read, so that the next answer needs no memory of its own.
    pub fn recycle(&mut self, mut answer: Vec<Directive>) {
        if answer.capacity() > self.spare.capacity() && answer.capacity() <= MAX_SPARE {
            answer.clear();
            self.spare = answer;
        }
    }

    /// Starts the children, as [`Policy::order`] says.
    #[must_use]
    pub fn boot(&mut self, now: Instant) -> Vec<Directive> {
        let mut out = Vec::new();
        if self.mode != Mode::New {
            return out;
        }
        self.mode = Mode::Up;
        match self.policy.order {
            Order::Sequence => {
                let all = self.by_order.iter().map(|(order, index)| (*order, *index));
                let pending = |(_, index): &(u64, u32)| self.is_pending(*index);
                self.starts = all.filter(pending).collect();
            }
            Order::Dependencies => {
                let free: Vec<u32> = self
                    .by_order
                    .values()
                    .copied()
                    .filter(|slot| self.is_pending(*slot) && self.unmet(*slot) == 0)
                    .collect();
                for slot in free {
                    self.start(slot, now, &mut out);
                }
            }
        }
        self.settle(now, &mut out);
        out
    }

    /// The start of this life did not finish at once; its timeout begins to run.
    pub fn on_start_pending(&mut self, who: Who, now: Instant) {
        if let Some(slot) = self.current(who)
            && slot.state == State::Starting
            && slot.timer.is_none()
        {
            let until = now.checked_add(slot.plan.start_timeout);
            self.set_timer(who.slot, until);
        }
    }

    /// The start of this life waits for something that is not up to it, and its timeout does not run: nor does a boot wait for it.
    #[must_use]
    pub fn on_start_held_up(&mut self, who: Who, now: Instant) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        let waits = |slot: &mut Slot| slot.state == State::Starting;
        if self.current(who).is_some_and(waits) {
            self.release_boot(who.slot);
            self.settle(now, &mut out);
        }
        out
    }

    /// A startup probe watches this start from now on, and says when it has taken too long: its timeout runs no more.
    pub fn on_start_watched(&mut self, who: Who) {
        if let Some(slot) = self.current(who)
            && slot.state == State::Starting
        {
            self.set_timer(who.slot, None);
        }
    }

    /// This life has started.
    #[must_use]
    pub fn on_started(&mut self, who: Who, now: Instant) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        let Some(slot) = self.current(who) else {
            return out;
        };
        if slot.state != State::Starting {
            return out;
        }
        slot.state = State::Running;
        slot.trial = Trial::None;
        let since = std::mem::replace(&mut slot.since, now);
        let until = match slot.plan.ready_within {
            Some(within) if !slot.ready => since.checked_add(within),
            // One that need not say so is ready, unless it has said that it is not.
            Some(_) | None => None,
        };
        let reached = Reached::by_state(slot);
        self.set_timer(who.slot, until);
        self.turn_is_over(who.slot);
        self.release_boot(who.slot);
        self.meet_dependents(who.slot, reached, now, &mut out);
        self.settle(now, &mut out);
        out
    }

    /// This life may be given work from now on, it says. It may say so before it has started.
    #[must_use]
    pub fn on_ready(&mut self, who: Who, now: Instant) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        let Some(slot) = self.current(who) else {
            return out;
        };
        if slot.ready || !matches!(slot.state, State::Starting | State::Running) {
            return out;
        }
        slot.ready = true;
        if slot.state == State::Running {
            let reached = Reached::by_state(slot);
            if let Some(paused) = &mut slot.paused {
                paused.timer = None;
            }
            // One that is doomed has no other.
            self.set_timer(who.slot, None);
            self.meet_dependents(who.slot, reached, now, &mut out);
            self.settle(now, &mut out);
        }
        out
    }

    /// This life may be given no work until it says again that it may. It is as up as before, and whoever waited for it until it was
    /// ready goes on. One that is on its way out is not ready anyway.
    pub fn on_unready(&mut self, who: Who) {
        if let Some(slot) = self.current(who)
            && matches!(slot.state, State::Starting | State::Running)
        {
            slot.ready = false;
        }
    }

    /// This life could not be started; `permanent` says that trying again is of no use.
    #[must_use]
    pub fn on_start_failed(
        &mut self,
        who: Who,
        end: ExitKind,
        permanent: bool,
        now: Instant,
    ) -> Vec<Directive> {
        self.on_end(who, Ending::Exit { end, permanent }, now)
    }

    /// This life has asked not to be started: no failure, and nobody is there. The place stays, as `completed`; that of a
    /// temporary child, and any of a dynamic supervisor, goes. What depends on it is started.
    #[must_use]
    pub fn on_ignored(&mut self, who: Who, now: Instant) -> Vec<Directive> {
        match self.current(who).map(|slot| slot.state) {
            Some(State::Starting | State::Leaving { .. }) => self.on_end(who, Ending::Ignored, now),
            _ => Vec::new(),
        }
    }

    /// This life has ended.
    #[must_use]
    pub fn on_exit(&mut self, who: Who, end: ExitKind, now: Instant) -> Vec<Directive> {
        let permanent = false;
        self.on_end(who, Ending::Exit { end, permanent }, now)
    }

    /// This life is to be ended for `cause`, by nobody's wish: it has run for as long as it may, say. Its plan decides what
    /// follows. One that is on its way out already is left as it is.
    ///
    /// A cause that is a failure ([`StopCause::is_failure`]) counts as one, whatever the end looks like in the end; while the life
    /// still starts, its start has failed. Any other is an end in order: a permanent child is started again at once and nothing
    /// is counted; others are `completed`. One that still starts is left alone then.
    #[must_use]
    pub fn on_condemned(&mut self, who: Who, cause: StopCause, now: Instant) -> Vec<Directive> {
        self.on_condemned_within(who, cause, None, now)
    }

    /// Like [`Self::on_condemned`], where the life may take so long to stop, in place of the time in its plan. A life that has to wait
    /// for its turn to stop has the time in its plan then.
    #[must_use]
    pub fn on_condemned_within(
        &mut self,
        who: Who,
        cause: StopCause,
        grace: Option<Duration>,
        now: Instant,
    ) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        let is_failure = cause.is_failure();
        let slot = self.current(who).filter(|slot| slot.after.is_none());
        let after = match slot.map(|slot| slot.state) {
            Some(State::Running) => After::Condemned(cause),
            Some(State::Starting) if is_failure => After::StartCondemned,
            Some(
                State::Pending
                | State::Starting
                | State::Leaving { .. }
                | State::Backoff
                | State::Completed
                | State::Stopped
                | State::Failed,
            )
            | None => return out,
        };
        if !self.is_closing() {
            self.doom(who.slot, after);
            self.ask(who.slot, cause, now, &mut out);
            self.grant(who, grace, now);
            self.settle(now, &mut out);
        }
        out
    }

    /// One that was asked to stop just now may take so long.
    fn grant(&mut self, who: Who, grace: Option<Duration>, now: Instant) {
        let is_asked = self
            .current(who)
            .is_some_and(|slot| slot.state == State::Leaving { killed: false });
        if let (true, Some(grace)) = (is_asked, grace) {
            self.set_timer(who.slot, now.checked_add(grace));
        }
    }

    fn on_end(&mut self, who: Who, ending: Ending, now: Instant) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        if self.current(who).is_some_and(|slot| slot.state.is_alive()) {
            self.gone(who.slot, ending, now, &mut out);
            self.settle(now, &mut out);
        }
        out
    }

    /// When [`Self::on_wakeup`] wants to be called, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let held = self.hold_until.filter(|_| self.may_start_in_turn());
        [timer, held, self.forgotten].into_iter().flatten().min()
    }

    /// Time has passed.
    #[must_use]
    pub fn on_wakeup(&mut self, now: Instant) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        self.settle(now, &mut out);
        out
    }

    /// Stops every child in order, then closes.
    #[must_use]
    pub fn shut_down(&mut self, now: Instant) -> Vec<Directive> {
        let mut out = Vec::new();
        self.close(Closed::ShutDown, now, &mut out);
        self.settle(now, &mut out);
        out
    }

    /// Stops every child by force, all at once, then closes: somebody has asked twice.
    #[must_use]
    pub fn hurry(&mut self, now: Instant) -> Vec<Directive> {
        let mut out = Vec::new();
        self.close(Closed::ShutDown, now, &mut out);
        let alive: Vec<u32> = self
            .by_order
            .values()
            .rev()
            .copied()
            .filter(|slot| self.is_alive(*slot))
            .collect();
        for slot in alive {
            self.kill(slot, StopCause::Parent, now, &mut out);
        }
        self.settle(now, &mut out);
        out
    }

    /// Whether a child waits for its next start, or a start that follows its own failure is under way.
    #[must_use]
    pub fn is_restarting(&self, index: u32) -> bool {
        self.slot(index).is_some_and(Slot::is_restarting)
    }

    /// Where a child stands.
    #[must_use]
    pub fn phase(&self, index: u32) -> Option<Phase> {
        self.slot(index).map(Slot::phase)
    }

    /// Whether the present life of a child may be given work.
    #[must_use]
    pub fn is_ready(&self, index: u32) -> bool {
        self.slot(index)
            .is_some_and(|slot| slot.state == State::Running && slot.ready)
    }

    fn is_pending(&self, index: u32) -> bool {
        self.phase(index) == Some(Phase::Pending)
    }

    /// What the operator wants of a child.
    #[must_use]
    pub fn desired(&self, index: u32) -> Option<Desired> {
        self.slot(index).map(|slot| slot.desired)
    }

    /// Which life of a child is the present or last one: 1 for its first, 0 before.
    #[must_use]
    pub fn generation(&self, index: u32) -> u32 {
        self.slot(index)
            .map_or(0, |slot| slot.life - slot.life_before)
    }

    /// When a child that waits will be started.
    #[must_use]
    pub fn next_start_at(&self, index: u32) -> Option<Instant> {
        let slot = self.slot(index)?;
        match slot.state {
            State::Backoff => slot.timer.or(self.hold_until),
            State::Pending
            | State::Starting
            | State::Running
            | State::Leaving { .. }
            | State::Completed
            | State::Stopped
            | State::Failed => None,
        }
    }

    /// The children's places, in start order.
    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.by_order.values().copied()
    }

    /// The children's places from the `from`th start on, each with the number of its start, which nobody else has.
    pub fn in_order_from(&self, from: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.by_order
            .range(from..)
            .map(|(order, index)| (*order, *index))
    }

    /// How many restarts the supervisor's window holds, and how many it may hold; `None` without a limit.
    pub fn intensity_used(&mut self, now: Instant) -> Option<(u32, u32)> {
        self.window
            .as_mut()
            .map(|window| (window.count(now), window.intensity().max_restarts()))
    }

    /// The window of the supervisor's own limit, if it has one.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.policy.intensity.map(RestartIntensity::period)
    }

    /// Whether it is ending or has ended.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(self.mode, Mode::Closing(_) | Mode::Closed)
    }
}
