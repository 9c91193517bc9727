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
//!
//! A process that is paused ([`Lifecycle::on_pause`]) is held by SIGSTOP and its time stands still: what it may run for is
//! not used up. A stop lets it go on first, so that it can do as it is asked.

use std::time::{Duration, Instant};

mod action;
#[cfg(test)]
mod histories;
mod plan;
#[cfg(test)]
mod tests;

pub use action::{Action, End, Ending, Exit, Streams};
pub use plan::{Stage, StopPlan};

/// How long the output streams may stay open after the exit before they are abandoned.
///
/// A process that was handed a descriptor by an agent, yet belongs to somebody else, can hold a
/// stream open for ever.
const PIPES: Duration = Duration::from_secs(2);

/// No stop takes longer than this because the process asks for more time.
const LONGEST_STOP: Duration = Duration::from_secs(120);

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
    max_runtime: Option<Duration>,
    state: State,
    /// Since when it is held.
    paused: Option<Instant>,
    /// When it has run for as long as it may, but for the present pause.
    expires: Option<Instant>,
    asked: Asked,
    /// The last stage that was entered while the process still ran.
    reached: Option<Stage>,
    /// When the stop began.
    began: Option<Instant>,
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
            max_runtime: None,
            state: State::Spawning,
            paused: None,
            expires: None,
            asked: Asked::Nothing,
            reached: None,
            began: None,
            deadline: None,
            exit: None,
            streams: None,
            survivors: None,
        }
    }

    /// The process may run for so long from its spawn on, pauses left out; then [`Action::Expire`] is given, once.
    #[must_use]
    pub fn max_runtime(mut self, max_runtime: Option<Duration>) -> Self {
        self.max_runtime = max_runtime;
        self
    }

    /// The process exists.
    #[must_use]
    pub fn on_spawned(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state == State::Spawning {
            self.state = State::Starting {
                until: after(now, self.start_window),
            };
            self.expires = self.max_runtime.map(|longest| after(now, longest));
            match self.asked {
                Asked::Nothing => {}
                Asked::Stop => self.begin(Stage::Drain, now, &mut actions),
                Asked::Kill => self.begin(Stage::Kill, now, &mut actions),
            }
        }
        self.settle(now, actions)
    }

    /// It says that it is up: its start window is over.
    #[must_use]
    pub fn on_ready(&mut self, now: Instant) -> Vec<Action> {
        if matches!(self.state, State::Starting { .. }) {
            self.state = State::Starting { until: now };
        }
        self.settle(now, Vec::new())
    }

    /// It is to be held. Only one that is up can be; one that is held already is held again, whoever has let it go on meanwhile.
    #[must_use]
    pub fn on_pause(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = self.settle(now, Vec::new());
        if self.state == State::Running {
            self.paused.get_or_insert(now);
            actions.push(Action::Pause);
        }
        actions
    }

    /// It is to go on; whether we hold it or somebody else does.
    #[must_use]
    pub fn on_resume(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state == State::Running {
            self.let_time_go_on(now);
            actions.push(Action::Resume);
        }
        self.settle(now, actions)
    }

    /// Nobody uses it any more: there is nothing to wait for before it is asked to stop.
    #[must_use]
    pub fn on_drained(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let State::Stopping {
            stage: Stage::Drain,
            ..
        } = self.state
        {
            // What it did not need to finish is nobody's.
            let rest = after(now, self.plan.after(Stage::Drain));
            self.deadline = self.deadline.map(|deadline| deadline.min(rest));
            self.enter(Stage::Ask, now, &mut actions);
        }
        self.settle(now, actions)
    }

    /// It asks for more time to stop: `by` from now on for the present step. To be repeated before that is over.
    ///
    /// Heard once it has been asked to stop and before force is used. However often it asks, the whole stop takes two minutes at
    /// most; a plan that allows more stays as it is.
    #[must_use]
    pub fn on_extend(&mut self, by: Duration, now: Instant) -> Vec<Action> {
        let actions = self.settle(now, Vec::new());
        if let (State::Stopping { stage, until }, Some(began)) = (self.state, self.began)
            && (Stage::Ask..Stage::Kill).contains(&stage)
        {
            let rest = self.plan.after(stage);
            let latest = after(began, LONGEST_STOP.saturating_sub(rest));
            let until = until.max(after(now, by).min(latest));
            self.state = State::Stopping { stage, until };
            self.deadline = self.deadline.max(Some(after(until, rest)));
        }
        actions
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
            State::Running => self.expires.filter(|_| self.paused.is_none()),
            State::Spawning | State::Gone => None,
        }
    }

    /// Whether it is held.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Whether a signal that an operator sends would reach it: the process is there, and nobody has reaped it.
    #[must_use]
    pub fn takes_signals(&self) -> bool {
        match self.state {
            State::Starting { .. } | State::Running | State::Stopping { .. } => self.exit.is_none(),
            State::Spawning | State::Sweeping { .. } | State::Gone => false,
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
        self.began = Some(now);
        self.deadline = Some(after(now, self.plan.total()));
        actions.push(Action::NoteDescendants);
        self.enter(stage, now, actions);
        if self.paused.is_some() {
            self.let_time_go_on(now);
            // Force reaches one that is held too.
            if self.reached < Some(Stage::Kill) {
                actions.push(Action::Resume);
            }
        }
    }

    /// A pause is over; it has used up none of what the process may run for.
    fn let_time_go_on(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            let held = now.saturating_duration_since(since);
            self.expires = self.expires.map(|expires| after(expires, held));
        }
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
        self.paused = None;
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
                State::Running => {
                    self.expires = None;
                    actions.push(Action::Expire);
                }
                State::Spawning | State::Gone => {
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
            State::Running => {
                self.paused.is_none() && self.expires.is_some_and(|expires| expires <= now)
            }
            State::Spawning | State::Gone => false,
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
