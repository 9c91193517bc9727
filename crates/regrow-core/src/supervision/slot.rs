//! One place in a supervisor, and the life in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::condition::{Condition, Reached};
use super::directive::Who;
use crate::backoff::{Attempts, Backoff};
use crate::exits::{ExitRules, Follow};
use crate::intensity::{RestartIntensity, RestartWindow};
use crate::phase::{Desired, Phase};
use crate::restart::{ExitKind, GiveUp, Restart, Shutdown, StopCause, Unresponsive};

/// What a supervisor has to know of a child in order to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildPlan {
    /// When it is started again.
    pub restart: Restart,
    /// It is there to come to its end: an end in order is that end, also while it still starts, and completes it. A failure is
    /// tried again as [`Self::restart`] says, permanent like transient; a temporary one is not, and is parked. Its place stays.
    pub once: bool,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// How long before the next start.
    pub backoff: Backoff,
    /// Its own limit of restarts, beside that of its supervisor.
    pub limit: Option<RestartIntensity>,
    /// What happens when a limit is exceeded or its first start fails.
    pub give_up: GiveUp,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// It says when it may be given work ([`Supervision::on_ready`](super::Supervision::on_ready)), within this time from the
    /// begin of its start; a life that does not has failed to start. `None`: it may as soon as it is up.
    pub ready_within: Option<Duration>,
    /// Whether it takes part in the boot. One that does not is `stopped` until an operator starts it.
    pub enabled: bool,
    /// Its supervisor may end with it ([`crate::AutoShutdown`]).
    pub significant: bool,
    /// A kill is sure to end it, however long that takes: it is a supervisor, which sees to its own children. Others are
    /// abandoned after the policy's `kill_grace`.
    pub ends_itself: bool,
    /// What happens when it could not be ended.
    pub unresponsive: Unresponsive,
    /// What its exit codes and signals mean, where they mean something of their own.
    pub exits: Option<Arc<ExitRules>>,
}

impl Default for ChildPlan {
    /// Permanent, 5 s to stop, the default backoff, no limit of its own, escalates, 30 s to start.
    fn default() -> Self {
        Self {
            restart: Restart::Permanent,
            once: false,
            shutdown: Shutdown::Timeout(Duration::from_secs(5)),
            backoff: Backoff::default(),
            limit: None,
            give_up: GiveUp::Escalate,
            start_timeout: Duration::from_secs(30),
            ready_within: None,
            enabled: true,
            significant: false,
            ends_itself: false,
            unresponsive: Unresponsive::Beside,
            exits: None,
        }
    }
}

impl ChildPlan {
    /// What is wanted of a child of which nobody has said that it shall be down.
    #[must_use]
    pub const fn wanted(&self) -> Desired {
        if self.once {
            Desired::Once
        } else {
            Desired::Up
        }
    }

    /// What the rules for its exits say of this end.
    pub(super) fn rule(&self, end: ExitKind) -> Option<Follow> {
        self.exits.as_ref()?.follow(end)
    }

    /// Whether an end is in order.
    pub(super) fn is_in_order(&self, end: ExitKind) -> bool {
        match self.rule(end) {
            Some(Follow::Rest) => true,
            Some(Follow::Restart | Follow::Park) => false,
            None => !end.is_abnormal(),
        }
    }

    /// Whether an end is the one that it is there for.
    pub(super) fn is_done_after(&self, end: ExitKind) -> bool {
        self.once && self.is_in_order(end)
    }

    /// Whether its place goes with its life.
    pub(super) const fn leaves(&self) -> bool {
        matches!(self.restart, Restart::Temporary) && !self.once
    }

    /// What an end by itself comes to, while nobody has reached a limit: what a rule says, else its type.
    pub(crate) fn comes_to(&self, end: ExitKind) -> Outcome {
        match self.rule(end) {
            Some(Follow::Restart) => return Outcome::Again,
            Some(Follow::Park) => return Outcome::Never,
            Some(Follow::Rest) | None => {}
        }
        match (self.once, self.restart) {
            (true, _) if self.is_in_order(end) => Outcome::Done,
            (true, Restart::Permanent | Restart::Transient) | (false, Restart::Permanent) => {
                Outcome::Again
            }
            (true, Restart::Temporary) => Outcome::Failed,
            (false, Restart::Transient) if !self.is_in_order(end) => Outcome::Again,
            (false, Restart::Transient | Restart::Temporary) => Outcome::Done,
        }
    }
}

/// What the end of a life comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The next life.
    Again,
    /// It has ended as it should.
    Done,
    /// It has failed, and is not tried again.
    Failed,
    /// It has ended in a way after which it is not to be started again.
    Never,
}

/// What follows when the present life is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next life, when its turn comes.
    InTurn,
    /// The next life, at once.
    AtOnce,
    /// Nothing; an operator wants it so.
    Stopped,
    /// The place goes too.
    Remove,
    /// What follows a start that took too long.
    StartTimedOut,
    /// What follows a start that was ended as a failure.
    StartCondemned,
    /// Nothing: it could not be ended, and no life may run beside it.
    Parked,
    /// What its plan says: it was ended for this cause, by nobody's wish.
    Condemned(StopCause),
}

/// Whether the start under way was asked for by an operator: if it fails, that is the answer, and no failure to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// It was not.
    None,
    /// Of a child that was there before.
    Again,
    /// Of a child that was added with it.
    New,
}

/// How a life came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It ended, or did not come up; `permanent`: nor will it ever.
    Exit { end: ExitKind, permanent: bool },
    /// It asked not to be started.
    Ignored,
}

impl Ending {
    /// The kind of end.
    pub(super) const fn kind(self) -> ExitKind {
        match self {
            Self::Exit { end, .. } => end,
            Self::Ignored => ExitKind::Normal,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for its turn or its dependencies.
    Pending,
    Starting,
    Running,
    /// On its way out; `killed` once force was used.
    Leaving {
        killed: bool,
    },
    /// Waits for its own delay.
    Backoff,
    Completed,
    Stopped,
    Failed,
}

impl State {
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Pending => Phase::Pending,
            Self::Starting => Phase::Starting,
            Self::Running => Phase::Running,
            Self::Leaving { .. } => Phase::Stopping,
            Self::Backoff => Phase::Backoff,
            Self::Completed => Phase::Completed,
            Self::Stopped => Phase::Stopped,
            Self::Failed => Phase::Failed,
        }
    }

    pub(super) const fn is_alive(self) -> bool {
        self.phase().is_alive()
    }

    /// Up, on its way, or waiting for its next start.
    pub(super) const fn is_going_on(self) -> bool {
        match self {
            Self::Pending
            | Self::Starting
            | Self::Running
            | Self::Leaving { .. }
            | Self::Backoff => true,
            Self::Completed | Self::Stopped | Self::Failed => false,
        }
    }
}

/// Who waits for whom; only for children that take part in dependencies.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    pub(super) depends_on: Vec<(u32, Condition)>,
    pub(super) dependents: Vec<(u32, Condition)>,
    /// How many of `depends_on` are not met yet.
    pub(super) unmet: u32,
    /// What the dependents have been told of this one.
    pub(super) reached: Reached,
    /// It was given up on because of what it depends on, and is started when that comes after all.
    pub(super) in_vain: bool,
}

/// A life that is held.
#[derive(Clone, Debug)]
pub(super) struct Paused {
    pub(super) since: Instant,
    /// When its timer would have gone off: it was to say in time that it may be given work.
    pub(super) timer: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Shared with all children of the same kind: there may be a million of them.
    pub(super) plan: Arc<ChildPlan>,
    /// Position in the start order; never repeats.
    pub(super) order: u64,
    /// When its turn is where one goes after the other: as in the start order, but not before what it depends on.
    pub(super) turn: u64,
    pub(super) life: u32,
    /// The last life of the child that had this slot before.
    pub(super) life_before: u32,
    pub(super) state: State,
    pub(super) desired: Desired,
    /// Set while the child is to be stopped or is being stopped.
    pub(super) after: Option<After>,
    /// The stop is a step of a plan that waits for it.
    pub(super) in_turn: bool,
    pub(super) trial: Trial,
    /// The boot is not over before this child has come to rest once.
    pub(super) holds_boot: bool,
    /// The present life may be given work, it has said.
    pub(super) ready: bool,
    pub(super) since: Instant,
    /// Since when it is held; few ever are.
    pub(super) paused: Option<Box<Paused>>,
    pub(super) timer: Option<Instant>,
    pub(super) attempts: Attempts,
    pub(super) window: Option<Box<RestartWindow>>,
    pub(super) links: Option<Box<Links>>,
}

impl Slot {
    pub(super) fn who(&self, slot: u32) -> Who {
        Who {
            slot,
            life: self.life,
        }
    }

    /// Where it stands.
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Running if self.paused.is_some() => Phase::Paused,
            State::Pending
            | State::Starting
            | State::Running
            | State::Leaving { .. }
            | State::Backoff
            | State::Completed
            | State::Stopped
            | State::Failed => self.state.phase(),
        }
    }

    /// For how long it has been up, pauses left out.
    pub(super) fn uptime(&self, now: Instant) -> Duration {
        let until = self.paused.as_ref().map_or(now, |paused| paused.since);
        until.saturating_duration_since(self.since)
    }

    /// A pause is over: it has not aged meanwhile. Its timer goes off so much later.
    pub(super) fn let_time_go_on(&mut self, now: Instant) -> Option<Instant> {
        let Paused { since, timer } = *self.paused.take()?;
        let held = now.saturating_duration_since(since);
        self.since += held;
        timer?.checked_add(held)
    }

    /// Whether no life has begun in it: what it depends on may still have to start.
    pub(super) fn is_unborn(&self) -> bool {
        self.life == self.life_before
    }

    /// Whether it counts among the significant children that go on.
    pub(super) fn is_significant(&self) -> bool {
        self.plan.significant && self.state.is_going_on()
    }

    /// Whether it waits for its next start, or a start that follows its own failure is under way.
    pub(super) fn is_restarting(&self) -> bool {
        match self.state {
            State::Pending | State::Backoff => true,
            State::Starting => self.attempts != Attempts::default(),
            State::Running
            | State::Leaving { .. }
            | State::Completed
            | State::Stopped
            | State::Failed => false,
        }
    }

    /// What follows an end as `unresponsive`, where `after` would follow another end.
    pub(super) fn after_unresponsive(&self, after: Option<After>) -> Option<After> {
        match self.plan.unresponsive {
            Unresponsive::Beside | Unresponsive::Abort => return after,
            Unresponsive::Park => {}
        }
        let rolls_back = self.holds_boot && self.plan.give_up == GiveUp::Escalate;
        match after {
            Some(After::StartTimedOut | After::StartCondemned) | None if rolls_back => after,
            None | Some(After::Condemned(_)) if self.plan.leaves() => after,
            Some(
                After::InTurn
                | After::AtOnce
                | After::StartTimedOut
                | After::StartCondemned
                | After::Condemned(_),
            )
            | None => Some(After::Parked),
            Some(After::Stopped | After::Remove | After::Parked) => after,
        }
    }

    /// Forgets who waits for whom, but not how far it has come.
    pub(super) fn forget_links(&mut self) {
        let kept = self.links.take().map(|links| Links {
            reached: links.reached,
            in_vain: links.in_vain,
            ..Links::default()
        });
        self.links = kept
            .filter(|links| links.in_vain || links.reached != Reached::default())
            .map(Box::new);
    }

    /// The conditions that it has met, as its dependents have been told, if it has any.
    pub(super) fn reached(&self) -> Reached {
        match &self.links {
            Some(links) if links.dependents.is_empty() => {
                links.reached.and(Reached::by_state(self))
            }
            Some(links) => links.reached,
            None => Reached::by_state(self),
        }
    }

    pub(super) fn forget_failures(&mut self) {
        self.attempts.clear();
        if let Some(window) = &mut self.window {
            window.clear();
        }
    }
}
