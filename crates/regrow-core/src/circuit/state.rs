//! The words: what a circuit does, who decides about it, and why it does something else.

use crate::words::words;

words! {
    /// What a circuit does with calls.
    pub enum CircuitState {
        /// It lets them through and judges how they end.
        Closed = "closed",
        /// It refuses them until its wait is over.
        Open = "open",
        /// It lets a few through, to try.
        HalfOpen = "half_open",
        /// It refuses them until an operator wants otherwise.
        ForcedOpen = "forced_open",
        /// It lets them through and judges nothing.
        Disabled = "disabled",
        /// It lets them through, judges them, and says when it would have opened.
        MetricsOnly = "metrics_only",
    }
}

impl CircuitState {
    /// Whether every call is let through, and none is a trial.
    #[must_use]
    pub const fn lets_all_through(self) -> bool {
        match self {
            Self::Closed | Self::Disabled | Self::MetricsOnly => true,
            Self::Open | Self::HalfOpen | Self::ForcedOpen => false,
        }
    }

    /// The mode that holds it there.
    #[must_use]
    pub const fn mode(self) -> CircuitMode {
        match self {
            Self::Closed | Self::Open | Self::HalfOpen => CircuitMode::Auto,
            Self::ForcedOpen => CircuitMode::ForcedOpen,
            Self::Disabled => CircuitMode::Disabled,
            Self::MetricsOnly => CircuitMode::MetricsOnly,
        }
    }
}

words! {
    /// Who decides about a circuit: itself, or an operator. What an operator has set stays over new rules and resets.
    pub enum CircuitMode {
        /// Itself, by its rules.
        Auto = "auto",
        /// It is open.
        ForcedOpen = "forced_open",
        /// It is closed, whatever happens.
        Disabled = "disabled",
        /// It is closed, whatever happens, and says what it would have done.
        MetricsOnly = "metrics_only",
    }
}

impl CircuitMode {
    /// The state in which a circuit begins that is in this mode.
    #[must_use]
    pub const fn state(self) -> CircuitState {
        match self {
            Self::Auto => CircuitState::Closed,
            Self::ForcedOpen => CircuitState::ForcedOpen,
            Self::Disabled => CircuitState::Disabled,
            Self::MetricsOnly => CircuitState::MetricsOnly,
        }
    }
}

words! {
    /// Why a circuit is in another state.
    pub enum CircuitCause {
        /// Too large a share of the calls, or of the trials, has failed.
        FailureRatio = "failure_ratio",
        /// Too large a share was slow.
        SlowRatio = "slow_ratio",
        /// Too many in a row have failed.
        ConsecutiveFailures = "consecutive_failures",
        /// One result was enough.
        Trip = "trip",
        /// The wait of the open circuit is over.
        Waited = "waited",
        /// The trials were good.
        Recovered = "recovered",
        /// The trials did not come back in time.
        Deadline = "deadline",
        /// An operator wants it so.
        Operator = "operator",
        /// It goes by new rules.
        Reconfigured = "reconfigured",
    }
}
