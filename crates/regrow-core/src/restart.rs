//! When a child is started again, how a life ends, and how it is asked to end.

use std::time::Duration;

use crate::words::words;

words! {
    /// When a child that ended by itself is started again; OTP's restart types.
    pub enum Restart {
        /// Always.
        Permanent = "permanent",
        /// Only after an abnormal end ([`ExitKind::is_abnormal`]).
        Transient = "transient",
        /// Never; its place in the tree goes with it.
        Temporary = "temporary",
    }
}

impl Restart {
    /// Whether a life that ended so is followed by another.
    ///
    /// The table is OTP's (`supervisor:do_restart/3`): a permanent child always, a transient one after an abnormal end, a
    /// temporary one never.
    #[must_use]
    pub const fn restarts_after(self, end: ExitKind) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => end.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// How a life ended, without the details that only a person reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitKind {
    /// By itself, with nothing wrong.
    Normal,
    /// It was asked to, and did.
    Shutdown,
    /// With an error.
    Error,
    /// By a panic.
    Panic,
    /// It was killed.
    Killed,
    /// Its start function failed.
    StartFailed,
    /// Its start function took too long.
    StartTimeout,
    /// A supervisor whose child failed too often.
    Intensity,
    /// The runtime went away beneath it.
    Cancelled,
    /// It could not be ended and was given up on.
    Unresponsive,
    /// A process ended with this code.
    Exit(i32),
    /// A process was ended by this signal.
    Signal(i32),
}

impl ExitKind {
    /// One of each, for tables and tests; the two with an argument have one that is abnormal.
    pub const ALL: [Self; 12] = [
        Self::Normal,
        Self::Shutdown,
        Self::Error,
        Self::Panic,
        Self::Killed,
        Self::StartFailed,
        Self::StartTimeout,
        Self::Intensity,
        Self::Cancelled,
        Self::Unresponsive,
        Self::Exit(1),
        Self::Signal(9),
    ];

    /// Whether a transient child is started again after it: everything but an end in order (`normal`, `shutdown`, exit code 0).
    #[must_use]
    pub const fn is_abnormal(self) -> bool {
        match self {
            Self::Normal | Self::Shutdown | Self::Exit(0) => false,
            Self::Error
            | Self::Panic
            | Self::Killed
            | Self::StartFailed
            | Self::StartTimeout
            | Self::Intensity
            | Self::Cancelled
            | Self::Unresponsive
            | Self::Exit(_)
            | Self::Signal(_) => true,
        }
    }

    /// The word in events and metric labels; codes and signals are left out of it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shutdown => "shutdown",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Killed => "killed",
            Self::StartFailed => "start_failed",
            Self::StartTimeout => "start_timeout",
            Self::Intensity => "intensity",
            Self::Cancelled => "cancelled",
            Self::Unresponsive => "unresponsive",
            Self::Exit(_) => "exit",
            Self::Signal(_) => "signal",
        }
    }
}

words! {
    /// Why a child was stopped, if it was.
    pub enum StopCause {
        /// An operator asked for it.
        Operator = "operator",
        /// Its supervisor ends.
        Parent = "parent",
        /// A sibling failed and the strategy takes this one along.
        Sibling = "sibling",
        /// A liveness probe failed.
        Probe = "probe",
        /// Its heartbeats stopped.
        Heartbeat = "heartbeat",
        /// It made no progress.
        Stalled = "stalled",
        /// It used too much memory.
        Memory = "memory",
        /// It ran for longer than allowed.
        MaxRuntime = "max_runtime",
        /// Its budget is used up.
        Budget = "budget",
        /// What it depends on failed.
        Dependency = "dependency",
        /// Its configuration changed.
        Reload = "reload",
        /// Fewer of its kind are needed.
        Scale = "scale",
    }
}

impl StopCause {
    /// Whether a child that is stopped for this cause has failed: something is wrong with it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Probe | Self::Heartbeat | Self::Stalled | Self::Memory => true,
            Self::Operator
            | Self::Parent
            | Self::Sibling
            | Self::MaxRuntime
            | Self::Budget
            | Self::Dependency
            | Self::Reload
            | Self::Scale => false,
        }
    }
}

/// How a child is stopped; OTP's shutdown values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Killed at once, without being asked.
    BrutalKill,
    /// Asked; killed when it is not gone after this time.
    Timeout(Duration),
    /// Asked, and waited for without limit. The default of supervisors.
    Infinity,
}

impl From<Duration> for Shutdown {
    fn from(timeout: Duration) -> Self {
        Self::Timeout(timeout)
    }
}

words! {
    /// What happens when a child has used up its restarts.
    pub enum GiveUp {
        /// Its supervisor ends, as in OTP; the parent decides what becomes of it.
        Escalate = "escalate",
        /// The child is parked as `failed`; its siblings go on.
        Park = "park",
    }
}

words! {
    /// When a supervisor ends by itself because its significant children have ended (OTP's `auto_shutdown`, EEP 56).
    pub enum AutoShutdown {
        /// Never. No child of it may be significant.
        Never = "never",
        /// As soon as a significant child has ended and is not started again.
        AnySignificant = "any_significant",
        /// When the last significant child has.
        AllSignificant = "all_significant",
    }
}

words! {
    /// What happens to the place of a child that could not be ended: neither by asking nor by force.
    ///
    /// It runs on, and nobody can help that. The choice is whether another life of it may run at the same time.
    pub enum Unresponsive {
        /// It counts as gone: if it was to be started again, its next life starts beside it. The default.
        Beside = "beside",
        /// If it was to be started again, it is parked as `failed` instead; an operator may start it.
        Park = "park",
        /// The whole program is aborted, at once and without ending anything else. A supervisor that ends because it was asked
        /// to only reports it.
        Abort = "abort",
    }
}

words! {
    /// Which siblings a failed child takes along.
    pub enum Strategy {
        /// None.
        OneForOne = "one_for_one",
        /// All of them.
        OneForAll = "one_for_all",
        /// Those that were started after it; in the order of dependencies, those that depend on it, directly or not.
        RestForOne = "rest_for_one",
    }
}

impl Strategy {
    /// The `scope` of a restart in events and metrics: `one`, `all` or `rest`.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        match self {
            Self::OneForOne => "one",
            Self::OneForAll => "all",
            Self::RestForOne => "rest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_has_its_word() {
        let words = ExitKind::ALL.map(ExitKind::as_str);
        assert_eq!(
            words[..],
            [
                "normal",
                "shutdown",
                "error",
                "panic",
                "killed",
                "start_failed",
                "start_timeout",
                "intensity",
                "cancelled",
                "unresponsive",
                "exit",
                "signal"
            ]
        );
    }

    #[test]
    fn each_strategy_has_its_scope() {
        let scopes = Strategy::ALL.iter().copied().map(Strategy::scope);
        assert_eq!(scopes.collect::<Vec<_>>(), ["one", "all", "rest"]);
    }
}
