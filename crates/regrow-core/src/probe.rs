//! Probes: when a child is asked how it is, and what its answers mean.
//!
//! The rules are Kubernetes', to the letter where a child is like a container (`pkg/kubelet/prober/worker.go`). A [`Prober`] holds
//! all probes of one life of a child: it is told the time ([`Prober::poll`]) and what came out ([`Prober::on_result`]), and answers
//! with [`Directive`]s: run this check, this verdict has changed, restart the child, it may be given work. [`ProbeRules`] say how
//! often, and after how many equal results in a row a verdict changes.
//!
//! - A startup probe comes first: until it has succeeded nothing else is asked, and afterwards it is not asked again in this life.
//!   When it fails, the life has failed to start.
//! - A liveness probe that fails ends the life. Then nothing is asked that could end it again.
//! - A readiness probe that fails takes the child out of the way of new work, and is asked on.
//! - A custom probe ends nothing and keeps nobody from work; what it says shows in the child's health.
//!
//! What a check finds is a [`ProbeResult`]. A check that could not be carried out ([`ProbeResult::Error`]) says nothing about the
//! child and is thrown away; one that can never be carried out, an address that is none, say, is a failure, or nobody would notice.
//!
//! Beyond Kubernetes: a verdict may be `degraded`, in which a child may be given work, by a check that says so or by a number of
//! failures below the threshold (Consul's `failures_before_warning`); runs are spread, so that ten thousand children are not asked
//! in step; and the time of a child that is held stands still.
//!
//! What the checks within a program judge by is pure too, and here as well: [`progress`](crate::progress), [`Ttl`], [`queue_age`],
//! [`memory`].

use std::borrow::Cow;

use crate::words::words;

#[cfg(test)]
mod histories;
mod judge;
#[cfg(test)]
mod kubernetes;
mod prober;
mod rules;
mod slot;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

pub use judge::{Ttl, heartbeat, memory, queue_age};
pub use prober::{Directive, Prober, Run};
pub use rules::{InvalidProbe, ProbePlan, ProbeRules, check_plans};

words! {
    /// What a probe is for.
    pub enum ProbeKind {
        /// Whether the life has started: until it has, no other probe runs; if it fails, the start has failed.
        Startup = "startup",
        /// Whether it must be restarted.
        Liveness = "liveness",
        /// Whether it may be given work.
        Readiness = "readiness",
        /// Something else of interest: it shows in the child's health, and nothing is done about it.
        Custom = "custom",
    }
}

words! {
    /// What one run of a check has found.
    pub enum ProbeResult {
        /// All is well.
        Success = "success",
        /// It works, but not as it should. Counts with the successes; the verdict is then `degraded`.
        Warning = "warning",
        /// It does not work.
        Failure = "failure",
        /// There was no answer in time. Counts as a failure.
        Timeout = "timeout",
        /// The check itself went wrong, which says nothing of the child: thrown away.
        Error = "error",
    }
}

words! {
    /// What a probe says of its child, after enough equal results in a row.
    pub enum ProbeVerdict {
        /// Nothing yet.
        Unknown = "unknown",
        /// It is well.
        Success = "success",
        /// It works, but not as it should. It may still be given work.
        Degraded = "degraded",
        /// It does not work.
        Failure = "failure",
    }
}

impl ProbeKind {
    /// What holds before enough is known: not ready, alive, not known whether started (Kubernetes' initial values).
    #[must_use]
    pub const fn initial_verdict(self) -> ProbeVerdict {
        match self {
            Self::Readiness => ProbeVerdict::Failure,
            Self::Liveness => ProbeVerdict::Success,
            Self::Startup | Self::Custom => ProbeVerdict::Unknown,
        }
    }

    /// Whether a failure of it ends the life.
    #[must_use]
    pub const fn may_end_a_life(self) -> bool {
        match self {
            Self::Startup | Self::Liveness => true,
            Self::Readiness | Self::Custom => false,
        }
    }
}

impl ProbeResult {
    /// Whether it counts for or against the child; `None` when it counts for nothing.
    #[must_use]
    pub const fn is_good(self) -> Option<bool> {
        match self {
            Self::Success | Self::Warning => Some(true),
            Self::Failure | Self::Timeout => Some(false),
            Self::Error => None,
        }
    }
}

/// What a check answers: the result, and why, in words that can be read aloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What it has found.
    pub result: ProbeResult,
    /// Why; empty when all is well. A fragment in lower case, without secrets: "answered 503".
    pub cause: Cow<'static, str>,
}

impl CheckResult {
    /// All is well.
    #[must_use]
    pub const fn success() -> Self {
        Self {
            result: ProbeResult::Success,
            cause: Cow::Borrowed(""),
        }
    }

    /// It works, but not as it should.
    #[must_use]
    pub fn warning(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProbeResult::Warning, cause)
    }

    /// It does not work.
    #[must_use]
    pub fn failure(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProbeResult::Failure, cause)
    }

    /// There was no answer in time.
    #[must_use]
    pub fn timeout(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProbeResult::Timeout, cause)
    }

    /// The check itself went wrong.
    #[must_use]
    pub fn error(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProbeResult::Error, cause)
    }

    fn new(result: ProbeResult, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            result,
            cause: cause.into(),
        }
    }
}
