//! The steps of a stop, and how long each may take.

use std::time::Duration;

/// A step of the stop ladder, from the gentlest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It gets no new work and finishes the old.
    Drain,
    /// It is asked in its own words: a line on its standard input.
    Ask,
    /// Its standard input is closed.
    CloseStdin,
    /// Its group gets the stop signal, SIGTERM by default.
    Terminate,
    /// Its group gets SIGKILL.
    Kill,
    /// Whatever left its group is looked for and killed.
    Sweep,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] = [
        Self::Drain,
        Self::Ask,
        Self::CloseStdin,
        Self::Terminate,
        Self::Kill,
        Self::Sweep,
    ];

    /// Its name in events and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Ask => "ask",
            Self::CloseStdin => "close_stdin",
            Self::Terminate => "terminate",
            Self::Kill => "kill",
            Self::Sweep => "sweep",
        }
    }

    /// The stage after this one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Drain => Some(Self::Ask),
            Self::Ask => Some(Self::CloseStdin),
            Self::CloseStdin => Some(Self::Terminate),
            Self::Terminate => Some(Self::Kill),
            Self::Kill => Some(Self::Sweep),
            Self::Sweep => None,
        }
    }
}

/// How long each [`Stage`] of a stop may take. A stage without time is skipped.
///
/// The default takes 20 s at most: 5 to drain, 3 to ask, 1 after standard input was closed, 8 after
/// the stop signal, 2 after SIGKILL, 1 for the sweep. A stage ends early when the process does.
///
/// ```
/// use regrow_core::lifecycle::{Stage, StopPlan};
/// use std::time::Duration;
///
/// let plan = StopPlan::default().stage(Stage::Terminate, Duration::from_secs(30));
/// assert_eq!(plan.total(), Duration::from_secs(42));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct StopPlan {
    drain: Duration,
    ask: Duration,
    close_stdin: Duration,
    terminate: Duration,
    kill: Duration,
    sweep: Duration,
}

impl Default for StopPlan {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(5),
            ask: Duration::from_secs(3),
            close_stdin: Duration::from_secs(1),
            terminate: Duration::from_secs(8),
            kill: Duration::from_secs(2),
            sweep: Duration::from_secs(1),
        }
    }
}

impl StopPlan {
    /// The default plan stretched or shrunk to take `total` at most, each stage in proportion; but as long as `total` has room for
    /// it, force and sweep keep half a second each, so that a busy machine does not leave somebody behind.
    pub fn within(total: Duration) -> Self {
        const FORCE: Duration = Duration::from_millis(500);
        let whole = Self::default();
        let share = |part: Duration, of: Duration, all: Duration| {
            let ratio = part.as_secs_f64() / all.as_secs_f64();
            Duration::try_from_secs_f64(of.as_secs_f64() * ratio).unwrap_or(of)
        };
        let forced = |part: Duration| {
            let share = share(part, total, whole.total());
            if total >= FORCE * 4 {
                share.max(FORCE)
            } else {
                share
            }
        };
        let (kill, sweep) = (forced(whole.kill), forced(whole.sweep));
        let polite = total.saturating_sub(kill).saturating_sub(sweep);
        let all = whole.total() - whole.kill - whole.sweep;
        Self {
            drain: share(whole.drain, polite, all),
            ask: share(whole.ask, polite, all),
            close_stdin: share(whole.close_stdin, polite, all),
            terminate: share(whole.terminate, polite, all),
            kill,
            sweep,
        }
    }

    /// The plan within `total`, but with exactly these budgets for some stages; the others make room, each in proportion, force and
    /// sweep apart. `None` when there is not enough room for them.
    ///
    /// ```
    /// use regrow_core::lifecycle::{Stage, StopPlan};
    /// use std::time::Duration;
    ///
    /// let seconds = Duration::from_secs;
    /// let plan = StopPlan::fitting(seconds(20), &[(Stage::Terminate, seconds(14))]).unwrap();
    /// assert_eq!(plan.budget(Stage::Terminate), seconds(14));
    /// assert!(plan.total() <= seconds(20));
    /// assert_eq!(StopPlan::fitting(seconds(20), &[(Stage::Terminate, seconds(18))]), None);
    /// ```
    #[must_use]
    pub fn fitting(total: Duration, said: &[(Stage, Duration)]) -> Option<Self> {
        let plan = said
            .iter()
            .fold(Self::within(total), |plan, (stage, budget)| {
                plan.stage(*stage, *budget)
            });
        let excess = plan.total().saturating_sub(total);
        let is_said = |stage: Stage| said.iter().any(|(other, _)| *other == stage);
        let may_shrink = |stage: Stage| stage < Stage::Kill && !is_said(stage);
        let room = plan.sum(may_shrink);
        if excess > room {
            return None;
        }
        if excess.is_zero() {
            return Some(plan);
        }
        let left = (room - excess).as_secs_f64() / room.as_secs_f64();
        let shrunk = Stage::ALL.into_iter().filter(|stage| may_shrink(*stage));
        Some(shrunk.fold(plan, |plan, stage| {
            let millis = (plan.budget(stage).as_secs_f64() * left * 1000.0).floor() / 1000.0;
            plan.stage(
                stage,
                Duration::try_from_secs_f64(millis).unwrap_or_default(),
            )
        }))
    }

    /// The same plan with another budget for one stage.
    pub fn stage(mut self, stage: Stage, budget: Duration) -> Self {
        *match stage {
            Stage::Drain => &mut self.drain,
            Stage::Ask => &mut self.ask,
            Stage::CloseStdin => &mut self.close_stdin,
            Stage::Terminate => &mut self.terminate,
            Stage::Kill => &mut self.kill,
            Stage::Sweep => &mut self.sweep,
        } = budget;
        self
    }

    /// How long `stage` may take.
    #[must_use]
    pub fn budget(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Drain => self.drain,
            Stage::Ask => self.ask,
            Stage::CloseStdin => self.close_stdin,
            Stage::Terminate => self.terminate,
            Stage::Kill => self.kill,
            Stage::Sweep => self.sweep,
        }
    }

    /// How long the whole stop may take.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.sum(|_| true)
    }

    /// How long all that comes after `stage` may take.
    pub(super) fn after(&self, stage: Stage) -> Duration {
        self.sum(|other| other > stage)
    }

    fn sum(&self, counts: impl Fn(Stage) -> bool) -> Duration {
        Stage::ALL
            .iter()
            .filter(|stage| counts(**stage))
            .map(|stage| self.budget(*stage))
            .fold(Duration::ZERO, Duration::saturating_add)
    }
}
