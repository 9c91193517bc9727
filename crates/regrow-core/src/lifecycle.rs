//! The life of one incarnation of an OS process: its start window and how it is ended.
//!
//! [`Lifecycle`] is told what happened and when ([`Lifecycle::on_spawned`], [`Lifecycle::on_exit`],
//! [`Lifecycle::on_stop`], …) and answers with the [`Action`]s to perform, in that order.
//! It ends in exactly one [`Action::Finish`], whatever happens: every wait has a budget.
//!
//! A stop climbs the ladder of [`Stage`]s, each with a budget of its own in the [`StopPlan`]; a
//! natural exit enters the same ladder near its end, so that nothing of the incarnation is left
//! behind in either case. The process is reaped only after its group was killed: until then its
//! pid, which is also the name of the group, cannot be given to a stranger.

use std::time::{Duration, Instant};

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Stage, StopPlan};

/// How long the output streams may stay open after the exit before they are abandoned.
///
/// A process that was handed a descriptor by an agent, yet belongs to somebody else, can hold a
/// stream open for ever.
const PIPES: Duration = Duration::from_secs(2);

/// How the process itself ended, as the operating system tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// How the incarnation ended, once it is known why the process did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ended of its own accord.
    Natural(Exit),
    /// It was asked to stop, and went before it had to be killed.
    Stopped(Exit),
    /// It had to be killed.
    Killed(Exit),
    /// It was killed and is still there; it was given up on.
    Unresponsive,
}

/// What became of the output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// They were read to their end.
    Closed,
    /// Somebody still held them when their time was up; what came later is lost.
    Abandoned,
}

/// The last word on an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub end: End,
    /// The last stage of the ladder that was needed to end the process; `None` after a natural exit.
    pub stage: Option<Stage>,
    /// Processes of this incarnation that could not be ended.
    pub leaked: Vec<u32>,
    /// Whether all its output was read.
    pub streams: Streams,
}

/// What the shell has to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The start window is over: the process counts as started.
    Announce,
    /// Write down which descendants it has now: later they can no longer be told from strangers.
    NoteDescendants,
    /// Write the line that asks it to stop.
    WriteStopLine,
    /// Close its standard input.
    CloseStdin,
    /// Send the stop signal to the group.
    Signal,
    /// Send SIGCONT to the group, so that stopped processes can act on the stop signal.
    Continue,
    /// Send SIGKILL to the group.
    KillGroup,
    /// Collect the exit status; the pid may be given to a stranger from now on.
    Reap,
    /// End whatever is left of the incarnation, in its group or not, until this instant at most.
    Sweep {
        /// When to give up.
        until: Instant,
    },
    /// Stop reading the output streams.
    AbandonPipes,
    /// Nothing more will happen.
    Finish(Ending),
}

/// Where an incarnation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Spawning,
    Starting { until: Instant },
    Running,
    Stopping { stage: Stage, until: Instant },
    Sweeping { until: Instant },
    Gone,
}

/// What was asked for before the process existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Stop,
    Kill,
}

/// The state machine of one incarnation.
///
/// After each call, set one timer to [`Lifecycle::next_wakeup`] and call [`Lifecycle::on_wakeup`]
/// when it fires.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    plan: StopPlan,
    start_window: Duration,
    state: State,
    asked: Asked,
    /// The last stage that was entered while the process still ran.
    reached: Option<Stage>,
    /// When all has to be over; known once an end has begun.
    deadline: Option<Instant>,
    exit: Option<Exit>,
    streams: Option<Streams>,
    survivors: Option<Vec<u32>>,
}

impl Lifecycle {
    /// A life that is about to begin.
    ///
    /// A process that ends within `start_window` of its spawn never counted as started.
    #[must_use]
    pub fn new(plan: StopPlan, start_window: Duration) -> Self {
        Self {
            plan,
            start_window,
            state: State::Spawning,
            asked: Asked::Nothing,
            reached: None,
            deadline: None,
            exit: None,
            streams: None,
            survivors: None,
        }
    }

    /// The process exists.
    #[must_use]
    pub fn on_spawned(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state == State::Spawning {
            self.state = State::Starting {
                until: after(now, self.start_window),
            };
            match self.asked {
                Asked::Nothing => {}
                Asked::Stop => self.begin(Stage::Drain, now, &mut actions),
                Asked::Kill => self.begin(Stage::Kill, now, &mut actions),
            }
        }
        self.settle(now, actions)
    }

    /// It is to stop; a second request changes nothing.
    #[must_use]
    pub fn on_stop(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.state {
            State::Spawning if self.asked == Asked::Nothing => self.asked = Asked::Stop,
            State::Starting { .. } | State::Running => {
                self.begin(Stage::Drain, now, &mut actions);
            }
            State::Spawning | State::Stopping { .. } | State::Sweeping { .. } | State::Gone => {}
        }
        self.settle(now, actions)
    }

    /// It is to be killed now: the ladder goes on at SIGKILL.
    #[must_use]
    pub fn on_kill(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.state {
            State::Spawning => self.asked = Asked::Kill,
            State::Starting { .. } | State::Running => self.begin(Stage::Kill, now, &mut actions),
            State::Stopping { stage, .. } if stage < Stage::Kill => {
                self.enter(Stage::Kill, now, &mut actions);
            }
            State::Stopping { .. } | State::Sweeping { .. } | State::Gone => {}
        }
        self.settle(now, actions)
    }

    /// The process ended; it is not reaped yet.
    #[must_use]
    pub fn on_exit(&mut self, exit: Exit, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.exit.is_none() {
            match self.state {
                State::Starting { .. } | State::Running | State::Stopping { .. } => {
                    self.exit = Some(exit);
                    actions.push(Action::KillGroup);
                    actions.push(Action::Reap);
                    self.sweep(now, &mut actions);
                }
                State::Sweeping { .. } => {
                    self.exit = Some(exit);
                    actions.push(Action::Reap);
                }
                State::Spawning | State::Gone => {}
            }
        }
        self.settle(now, actions)
    }

    /// The sweep is over and left these processes alive.
    #[must_use]
    pub fn on_swept(&mut self, survivors: Vec<u32>, now: Instant) -> Vec<Action> {
        if matches!(self.state, State::Sweeping { .. }) {
            self.survivors = Some(survivors);
        }
        self.settle(now, Vec::new())
    }

    /// Both output streams were read to their end. This may come long before the exit.
    #[must_use]
    pub fn on_streams_closed(&mut self, now: Instant) -> Vec<Action> {
        if self.streams.is_none() {
            self.streams = Some(Streams::Closed);
        }
        self.settle(now, Vec::new())
    }

    /// The time that [`Lifecycle::next_wakeup`] asked for has come.
    #[must_use]
    pub fn on_wakeup(&mut self, now: Instant) -> Vec<Action> {
        self.settle(now, Vec::new())
    }

    /// When to call [`Lifecycle::on_wakeup`], if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        match self.state {
            State::Starting { until }
            | State::Stopping { until, .. }
            | State::Sweeping { until } => Some(until),
            State::Spawning | State::Running | State::Gone => None,
        }
    }

    /// The stage of the ladder that is under way.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        match self.state {
            State::Stopping { stage, .. } => Some(stage),
            State::Sweeping { .. } => Some(Stage::Sweep),
            State::Spawning | State::Starting { .. } | State::Running | State::Gone => None,
        }
    }

    /// Whether its end was reported.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Begins to end a process that lives, at `stage`.
    fn begin(&mut self, stage: Stage, now: Instant, actions: &mut Vec<Action>) {
        self.deadline = Some(after(now, self.plan.total()));
        actions.push(Action::NoteDescendants);
        self.enter(stage, now, actions);
    }

    /// Enters `stage`, or the next one that is not empty; SIGKILL is never skipped.
    fn enter(&mut self, mut stage: Stage, now: Instant, actions: &mut Vec<Action>) {
        while stage < Stage::Kill && self.plan.budget(stage).is_zero() {
            stage = stage.next().unwrap_or(Stage::Kill);
        }
        match stage {
            Stage::Drain => {}
            Stage::Ask => actions.push(Action::WriteStopLine),
            Stage::CloseStdin => actions.push(Action::CloseStdin),
            Stage::Terminate => actions.extend([Action::Signal, Action::Continue]),
            Stage::Kill => actions.push(Action::KillGroup),
            Stage::Sweep => return self.sweep(now, actions),
        }
        self.reached = Some(stage);
        self.state = State::Stopping {
            stage,
            until: after(now, self.plan.budget(stage)),
        };
    }

    fn sweep(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let budget = self.plan.budget(Stage::Sweep);
        let natural = after(now, budget.max(PIPES));
        let until = self
            .deadline
            .map_or(natural, |deadline| deadline.min(natural));
        self.state = State::Sweeping { until };
        // It ends a little earlier, so that its verdict comes in time.
        let until = until.min(after(now, budget - budget / 4));
        actions.push(Action::Sweep { until });
    }

    /// Does what is due by `now`, so that the next wake-up lies in the future.
    fn settle(&mut self, now: Instant, mut actions: Vec<Action>) -> Vec<Action> {
        while self.is_due(now) {
            match self.state {
                State::Starting { .. } => {
                    self.state = State::Running;
                    actions.extend([Action::Announce, Action::NoteDescendants]);
                }
                State::Stopping { stage, .. } => match stage.next() {
                    Some(next) => self.enter(next, now, &mut actions),
                    None => self.sweep(now, &mut actions),
                },
                State::Sweeping { .. } => self.finish(&mut actions),
                State::Spawning | State::Running | State::Gone => {
                    unreachable!("these states wait for no time")
                }
            }
        }
        actions
    }

    fn is_due(&self, now: Instant) -> bool {
        match self.state {
            State::Starting { until } | State::Stopping { until, .. } => until <= now,
            State::Sweeping { until } => until <= now || self.is_clean(),
            State::Spawning | State::Running | State::Gone => false,
        }
    }

    /// Whether there is nothing left to wait for.
    fn is_clean(&self) -> bool {
        self.exit.is_some() && self.survivors.is_some() && self.streams.is_some()
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        let streams = self.streams.unwrap_or_else(|| {
            actions.push(Action::AbandonPipes);
            Streams::Abandoned
        });
        let end = match (self.exit, self.reached) {
            (None, _) => End::Unresponsive,
            (Some(exit), None) => End::Natural(exit),
            (Some(exit), Some(stage)) if stage < Stage::Kill => End::Stopped(exit),
            (Some(exit), Some(_)) => End::Killed(exit),
        };
        self.state = State::Gone;
        actions.push(Action::Finish(Ending {
            end,
            stage: self.reached,
            leaked: self.survivors.take().unwrap_or_default(),
            streams,
        }));
    }
}

/// `now + wait`, or a time that never comes where that cannot be said.
fn after(now: Instant, wait: Duration) -> Instant {
    /// Thirty years.
    const NEVER: Duration = Duration::from_secs(946_080_000);
    now + wait.min(NEVER)
}
