//! What operators do with a circuit.

use std::time::Instant;

use super::rules::{CircuitRules, InvalidRules};
use super::state::{CircuitCause, CircuitMode, CircuitState};
use super::ticket::OpenWait;
use super::window::Window;
use super::{Circuit, Transition};

impl Circuit {
    /// It is closed, by its own rules from now on, and begins anew: without results, without a mode that was set, with the first
    /// wait.
    pub fn close(&mut self, now: Instant) -> Option<Transition> {
        self.attempts.clear();
        self.enter(CircuitState::Closed, CircuitCause::Operator, None, now)
    }

    /// It begins anew, as [`Circuit::close`] does, but a mode that was set stays.
    pub fn reset(&mut self, now: Instant) -> Option<Transition> {
        self.begin_anew(CircuitCause::Operator, now)
    }

    /// It is open for a while.
    ///
    /// # Errors
    /// When a mode was set that holds it elsewhere.
    pub fn trip(
        &mut self,
        wait: OpenWait,
        now: Instant,
    ) -> Result<Option<Transition>, IllegalTransition> {
        match self.state {
            CircuitState::Closed | CircuitState::Open | CircuitState::HalfOpen => {
                Ok(self.open(CircuitCause::Operator, wait, now))
            }
            CircuitState::ForcedOpen | CircuitState::Disabled | CircuitState::MetricsOnly => {
                Err(self.illegal(CircuitState::Open))
            }
        }
    }

    /// Its wait is over: the next calls are trials.
    ///
    /// # Errors
    /// When it is not open.
    pub fn half_open(&mut self, now: Instant) -> Result<Option<Transition>, IllegalTransition> {
        match self.state {
            CircuitState::Open | CircuitState::HalfOpen => {
                Ok(self.enter(CircuitState::HalfOpen, CircuitCause::Operator, None, now))
            }
            CircuitState::Closed
            | CircuitState::ForcedOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => Err(self.illegal(CircuitState::HalfOpen)),
        }
    }

    /// Sets who decides. Back to [`CircuitMode::Auto`] it is closed and begins anew; a circuit that decides for itself goes on as it
    /// is.
    pub fn set_mode(&mut self, mode: CircuitMode, now: Instant) -> Option<Transition> {
        if mode == CircuitMode::Auto && self.state.mode() == CircuitMode::Auto {
            return None;
        }
        self.attempts.clear();
        self.enter(mode.state(), CircuitCause::Operator, None, now)
    }

    /// It goes by new rules, and begins anew; a mode that was set stays. This takes the memory of the new window.
    ///
    /// # Errors
    /// When the rules are out of their range; then nothing has changed.
    pub fn reconfigure(
        &mut self,
        rules: CircuitRules,
        now: Instant,
    ) -> Result<Option<Transition>, InvalidRules> {
        rules.check()?;
        let changed = self.begin_anew(CircuitCause::Reconfigured, now);
        self.bar = rules.bar();
        self.needed_calls = rules.needed_calls();
        self.window = Window::new(rules.window, now);
        self.rules = rules;
        Ok(changed)
    }

    fn begin_anew(&mut self, cause: CircuitCause, now: Instant) -> Option<Transition> {
        self.attempts.clear();
        self.enter(self.state.mode().state(), cause, None, now)
    }

    const fn illegal(&self, to: CircuitState) -> IllegalTransition {
        IllegalTransition {
            from: self.state,
            to,
        }
    }
}

/// The order makes no sense in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The state.
    pub from: CircuitState,
    /// The one that was wanted.
    pub to: CircuitState,
}

impl std::fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        write!(f, "a circuit that is {from} cannot become {to}")?;
        match from {
            CircuitState::Closed => write!(f, "; open it first"),
            CircuitState::ForcedOpen | CircuitState::Disabled | CircuitState::MetricsOnly => {
                write!(f, "; close it first")
            }
            CircuitState::Open | CircuitState::HalfOpen => Ok(()),
        }
    }
}

impl std::error::Error for IllegalTransition {}
