//! When calls to something that fails are better not made: a circuit breaker as a plain value.
//!
//! A closed circuit lets calls through and looks at how they end: too many failures, too many slow ones, too many failures in a row,
//! or one result that says so itself, and it opens. An open one refuses, for a wait that grows from time to time; then it lets a few
//! calls through to try, and closes or opens again as soon as their outcome is decided. The rules are resilience4j's, with the
//! differences that `docs/semantics.md` lists.
//!
//! The contract: whoever wants to call asks [`Circuit::try_acquire`] for a [`Ticket`] and gives it back with
//! [`Circuit::on_result`]. Each state that the circuit enters has a generation, and a ticket carries that of its own: **a result of
//! an earlier generation is counted and never judged**, so a straggler from before the trouble is not taken for a trial. Each call
//! costs O(1) and allocates nothing; a change of the state, which is answered by exactly one [`Transition`], costs O(n) in the seconds
//! of a time window. [`Circuit::on_wakeup`] is wanted at [`Circuit::next_wakeup`]; a call that comes earlier finds the same.

use std::time::{Duration, Instant};

use crate::backoff::Attempts;
use crate::rng::SplitMix64;

mod operators;
mod rules;
mod state;
#[cfg(test)]
mod tests;
mod ticket;
mod trials;
mod window;

pub use operators::IllegalTransition;
use rules::Bar;
pub use rules::{CircuitRules, InvalidRules, Overdue, WindowSize};
pub use state::{CircuitCause, CircuitMode, CircuitState};
pub use ticket::{Ended, OpenWait, Refused, Standing, Ticket};
use trials::Decision;
pub use trials::Trials;
pub use window::Figures;
use window::Window;

/// A circuit has changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "each is to be told once"]
pub struct Transition {
    /// From which.
    pub from: CircuitState,
    /// To which: never the same.
    pub to: CircuitState,
    /// Why.
    pub cause: CircuitCause,
    /// The generation of the new state.
    pub generation: u64,
    /// What it was judged by: the window, or the trials.
    pub figures: Figures,
    /// How long it was in the old state.
    pub in_state: Duration,
    /// How long it will stay open, if it does.
    pub wait: Option<Duration>,
}

/// What [`Circuit::try_acquire`] answers.
#[derive(Debug)]
#[must_use]
pub struct Acquired {
    /// The call may be made, or not.
    pub ticket: Result<Ticket, Refused>,
    /// What time has changed meanwhile.
    pub changed: Option<Transition>,
}

/// What [`Circuit::on_result`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Settled {
    /// It belongs to an earlier generation: counted, not judged.
    pub late: bool,
    /// It took longer than the rules allow.
    pub slow: bool,
    /// How long it took, if it is known when it began.
    pub took: Option<Duration>,
    /// What it has changed.
    pub changed: Option<Transition>,
    /// The circuit only looks on, and would have opened. Told again at the earliest when it would have let trials through.
    pub would_open: Option<CircuitCause>,
}

/// How calls have come to their end, and how many were refused, since the circuit was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ended well.
    pub success: u64,
    /// Ended badly, those included that opened the circuit by themselves.
    pub failure: u64,
    /// Said nothing of what was called.
    pub ignored: u64,
    /// Were not let through.
    pub rejected: u64,
    /// Nobody waited for any more.
    pub cancelled: u64,
    /// Of the successes, those that were slow.
    pub slow_success: u64,
    /// Of the failures, those that were slow.
    pub slow_failure: u64,
    /// Of all that ended, those of an earlier generation.
    pub late: u64,
}

/// How a circuit is, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitStatus {
    /// The state and its generation.
    pub standing: Standing,
    /// Why it is in it; `None` in the first.
    pub cause: Option<CircuitCause>,
    /// How long it has been in it.
    pub in_state: Duration,
    /// What it is judged by: the window, or the trials; of an open circuit what it was judged by when it opened.
    pub figures: Figures,
    /// The share of failures; `None` below the minimum of calls.
    pub failure_ratio: Option<f64>,
    /// The share of slow calls; `None` below the minimum of calls.
    pub slow_ratio: Option<f64>,
    /// How many failures there were in a row.
    pub consecutive_failures: u32,
    /// How the trials of a half-open circuit stand.
    pub trials: Trials,
    /// When an open circuit lets trials through.
    pub retry_after: Option<Duration>,
    /// Since it was made.
    pub totals: Totals,
}

/// The longest wait of an open circuit, whoever asks for it: a longer one is cut to this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// One circuit.
#[derive(Clone, Debug)]
pub struct Circuit {
    rules: CircuitRules,
    bar: Bar,
    needed_calls: u64,
    state: CircuitState,
    generation: u64,
    cause: Option<CircuitCause>,
    since: Instant,
    window: Window,
    consecutive: u32,
    trials: Trials,
    /// Until when it is open. In metrics only: until when it would be.
    open_until: Instant,
    /// What it was judged by when it opened.
    opened_by: Figures,
    attempts: Attempts,
    rng: SplitMix64,
    totals: Totals,
}

impl Circuit {
    /// A circuit in the first state of its mode. Its memory is taken here: 24 bytes for each second of a time window, or a byte for
    /// each call of a count window. The seed is for the jitter of its waits.
    ///
    /// # Errors
    /// When the rules are out of their range.
    pub fn new(
        rules: CircuitRules,
        mode: CircuitMode,
        seed: u64,
        now: Instant,
    ) -> Result<Self, InvalidRules> {
        rules.check()?;
        Ok(Self {
            bar: rules.bar(),
            needed_calls: rules.needed_calls(),
            window: Window::new(rules.window, now),
            rules,
            state: mode.state(),
            generation: 1,
            cause: None,
            since: now,
            consecutive: 0,
            trials: Trials::default(),
            open_until: now,
            opened_by: Figures::default(),
            attempts: Attempts::default(),
            rng: SplitMix64::new(seed),
            totals: Totals::default(),
        })
    }

    /// Its state, and the how-manieth.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        Standing {
            state: self.state,
            generation: self.generation,
        }
    }

    /// By which rules it goes.
    pub const fn rules(&self) -> &CircuitRules {
        &self.rules
    }

    /// Since it was made.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// May a call be made?
    pub fn try_acquire(&mut self, now: Instant) -> Acquired {
        let changed = self.on_wakeup(now);
        let is_admitted = match self.state {
            CircuitState::Closed | CircuitState::Disabled | CircuitState::MetricsOnly => true,
            CircuitState::HalfOpen => self.trials.begin(self.bar.permits, now),
            CircuitState::Open | CircuitState::ForcedOpen => false,
        };
        let ticket = if is_admitted {
            Ok(Ticket {
                standing: self.standing(),
                started: Some(now),
            })
        } else {
            self.totals.rejected += 1;
            Err(Refused {
                state: self.state,
                retry_after: self.retry_after(now),
            })
        };
        Acquired { ticket, changed }
    }

    /// A call is over.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "taken, so that it is not used again"
    )]
    #[inline]
    pub fn on_result(&mut self, ticket: Ticket, ended: Ended, now: Instant) -> Settled {
        // Trials that are back too late are of the past.
        let is_trying = self.state == CircuitState::HalfOpen;
        let overdue = is_trying.then(|| self.on_wakeup(now)).flatten();
        let took = ticket
            .started
            .map(|started| now.saturating_duration_since(started));
        let slow = ended.is_judged() && self.rules.slow.is_some_and(|limit| took > Some(limit));
        let late = ticket.standing.generation != self.generation;
        self.count(ended, slow, late);
        let mut settled = Settled {
            late,
            slow,
            took,
            changed: overdue,
            would_open: None,
        };
        if late {
            return settled;
        }
        match self.state {
            CircuitState::Closed => {
                let cause = self.record(ended, slow, now);
                settled.changed = cause.and_then(|cause| self.open(cause, wait_of(ended), now));
            }
            CircuitState::MetricsOnly => {
                let cause = self.record(ended, slow, now);
                settled.would_open = cause.filter(|_| self.look_on(wait_of(ended), now));
            }
            CircuitState::HalfOpen => settled.changed = self.try_out(ended, slow, now),
            // An open circuit lets nobody through, so no ticket is of its generation.
            CircuitState::Disabled | CircuitState::Open | CircuitState::ForcedOpen => {}
        }
        settled
    }

    /// Time has passed.
    pub fn on_wakeup(&mut self, now: Instant) -> Option<Transition> {
        if self.next_wakeup().is_none_or(|at| now < at) {
            return None;
        }
        if self.state == CircuitState::Open {
            return self.enter(CircuitState::HalfOpen, CircuitCause::Waited, None, now);
        }
        match self.rules.overdue {
            Overdue::Open => self.open(CircuitCause::Deadline, OpenWait::Backoff, now),
            Overdue::Close => self.enter(CircuitState::Closed, CircuitCause::Deadline, None, now),
        }
    }

    /// When [`Circuit::on_wakeup`] is wanted.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        match self.state {
            CircuitState::Open => Some(self.open_until),
            CircuitState::HalfOpen => self.trials.due(self.rules.deadline),
            CircuitState::Closed
            | CircuitState::ForcedOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => None,
        }
    }

    /// How it is.
    pub fn status(&mut self, now: Instant) -> CircuitStatus {
        let figures = self.figures(now);
        let is_enough = match self.state {
            CircuitState::Closed | CircuitState::MetricsOnly => figures.calls >= self.needed_calls,
            CircuitState::Open => true,
            CircuitState::HalfOpen | CircuitState::ForcedOpen | CircuitState::Disabled => false,
        };
        CircuitStatus {
            standing: self.standing(),
            cause: self.cause,
            in_state: now.saturating_duration_since(self.since),
            figures,
            failure_ratio: figures.failure_ratio().filter(|_| is_enough),
            slow_ratio: figures.slow_ratio().filter(|_| is_enough),
            consecutive_failures: self.consecutive,
            trials: self.trials,
            retry_after: self.retry_after(now),
            totals: self.totals,
        }
    }

    fn retry_after(&self, now: Instant) -> Option<Duration> {
        let is_open = self.state == CircuitState::Open;
        is_open.then(|| self.open_until.saturating_duration_since(now))
    }

    fn figures(&mut self, now: Instant) -> Figures {
        match self.state {
            CircuitState::Closed | CircuitState::MetricsOnly => self.window.figures(now),
            CircuitState::HalfOpen => self.trials.figures(),
            CircuitState::Open => self.opened_by,
            CircuitState::ForcedOpen | CircuitState::Disabled => Figures::default(),
        }
    }

    #[inline]
    fn count(&mut self, ended: Ended, slow: bool, late: bool) {
        let totals = &mut self.totals;
        let (count, slow_count) = match ended {
            Ended::Success => (&mut totals.success, Some(&mut totals.slow_success)),
            Ended::Failure | Ended::Trip(_) => {
                (&mut totals.failure, Some(&mut totals.slow_failure))
            }
            Ended::Ignored => (&mut totals.ignored, None),
            Ended::Cancelled => (&mut totals.cancelled, None),
        };
        *count += 1;
        if let Some(slow_count) = slow_count.filter(|_| slow) {
            *slow_count += 1;
        }
        totals.late += u64::from(late);
    }

    /// One result into the window, and what it means.
    #[inline]
    fn record(&mut self, ended: Ended, slow: bool, now: Instant) -> Option<CircuitCause> {
        let failed = match ended {
            Ended::Ignored | Ended::Cancelled => return None,
            Ended::Success => false,
            Ended::Failure | Ended::Trip(_) => true,
        };
        self.consecutive = if failed {
            self.consecutive.saturating_add(1)
        } else {
            0
        };
        let figures = self.window.record(failed, slow, now);
        // What has happened to nobody opens nothing: so it is with most calls.
        if figures.failures == 0 && figures.slow == 0 {
            return None;
        }
        if matches!(ended, Ended::Trip(_)) {
            return Some(CircuitCause::Trip);
        }
        let limit = self.rules.consecutive_failures;
        if limit.is_some_and(|limit| self.consecutive >= limit) {
            return Some(CircuitCause::ConsecutiveFailures);
        }
        if figures.calls < self.needed_calls {
            return None;
        }
        let reaches = |ratio: Option<f64>, limit| ratio.is_some_and(|ratio| ratio >= limit);
        if figures.failures > 0 && reaches(figures.failure_ratio(), self.rules.failure_ratio) {
            return Some(CircuitCause::FailureRatio);
        }
        let is_slow = figures.slow > 0 && reaches(figures.slow_ratio(), self.rules.slow_ratio);
        is_slow.then_some(CircuitCause::SlowRatio)
    }

    /// It would have opened: whether that is news.
    fn look_on(&mut self, wait: OpenWait, now: Instant) -> bool {
        if now < self.open_until {
            return false;
        }
        let good_for = now.saturating_duration_since(self.open_until);
        let wait = self.wait(wait, good_for, now);
        self.open_until = now + wait;
        true
    }

    /// One trial is over.
    fn try_out(&mut self, ended: Ended, slow: bool, now: Instant) -> Option<Transition> {
        self.trials.end();
        match ended {
            Ended::Ignored | Ended::Cancelled => return None,
            Ended::Success => self.trials.judge(false, slow),
            Ended::Failure => self.trials.judge(true, slow),
            Ended::Trip(wait) => {
                self.trials.judge(true, slow);
                return self.open(CircuitCause::Trip, wait, now);
            }
        }
        match self.trials.decision(self.bar)? {
            Decision::Recovered => {
                self.enter(CircuitState::Closed, CircuitCause::Recovered, None, now)
            }
            Decision::TooManyFailures => {
                self.open(CircuitCause::FailureRatio, OpenWait::Backoff, now)
            }
            Decision::TooManySlow => self.open(CircuitCause::SlowRatio, OpenWait::Backoff, now),
        }
    }

    fn open(&mut self, cause: CircuitCause, wait: OpenWait, now: Instant) -> Option<Transition> {
        let closed_for = match self.state {
            CircuitState::Closed => now.saturating_duration_since(self.since),
            CircuitState::Open
            | CircuitState::HalfOpen
            | CircuitState::ForcedOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => Duration::ZERO,
        };
        let wait = self.wait(wait, closed_for, now);
        self.enter(CircuitState::Open, cause, Some(wait), now)
    }

    /// How long the next wait is, after it has been well for so long.
    fn wait(&mut self, wait: OpenWait, good_for: Duration, now: Instant) -> Duration {
        // The count goes on whoever says how long: it is the how-manieth time in a row.
        let next = self
            .attempts
            .on_failure(&self.rules.open_wait, good_for, &mut self.rng);
        let wait = match wait {
            OpenWait::Backoff => next.delay,
            OpenWait::For(time) => time,
            OpenWait::Until(at) => at.saturating_duration_since(now),
        };
        wait.min(LONGEST_WAIT)
    }

    /// The next generation. What belonged to the last one is gone; a self-transition is not told.
    fn enter(
        &mut self,
        to: CircuitState,
        cause: CircuitCause,
        wait: Option<Duration>,
        now: Instant,
    ) -> Option<Transition> {
        let figures = self.figures(now);
        let from = std::mem::replace(&mut self.state, to);
        let in_state = now.saturating_duration_since(self.since);
        self.generation += 1;
        self.cause = Some(cause);
        self.since = now;
        self.trials = Trials::default();
        self.consecutive = 0;
        self.window.clear(now);
        self.opened_by = figures;
        self.open_until = wait.map_or(now, |wait| now + wait);
        (from != to).then_some(Transition {
            from,
            to,
            cause,
            generation: self.generation,
            figures,
            in_state,
            wait,
        })
    }
}

/// How long a result wants the circuit to be open.
const fn wait_of(ended: Ended) -> OpenWait {
    match ended {
        Ended::Trip(wait) => wait,
        Ended::Success | Ended::Failure | Ended::Ignored | Ended::Cancelled => OpenWait::Backoff,
    }
}
