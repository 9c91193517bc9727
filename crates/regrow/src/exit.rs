//! How a life ended, with everything that a person wants to read of it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regrow_core::ExitKind;

use crate::path::ChildPath;

/// An error of any type, as `ractor` and most of the ecosystem pass it.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// How a life ended. Cloning costs at most a reference count.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExitReason {
    /// By itself, with nothing wrong.
    Normal,
    /// It was asked to, and did.
    Shutdown,
    /// With this error.
    Error(Arc<dyn Error + Send + Sync>),
    /// By a panic.
    Panic(Arc<Panic>),
    /// It was killed.
    Killed,
    /// Its start function failed.
    StartFailed(Arc<dyn Error + Send + Sync>),
    /// Its start took longer than its start timeout.
    StartTimeout,
    /// A supervisor whose child failed too often.
    Intensity(Arc<Intensity>),
    /// The runtime went away beneath it.
    Cancelled,
    /// It could not be ended and was given up on; it may still run.
    Unresponsive,
    /// A process ended with this code.
    Exit(i32),
    /// A process was ended by this signal.
    Signal(i32),
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// What was said, if it was text.
    pub message: String,
    /// `file:line:column`; `None` where the application has replaced the panic hook.
    pub location: Option<String>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "panic at {location}: {}", self.message),
            None => write!(f, "panic: {}", self.message),
        }
    }
}

impl Error for Panic {}

/// Too many restarts in too little time.
#[derive(Clone, Debug)]
pub struct Intensity {
    /// The child whose failure was one too many.
    pub child: ChildPath,
    /// How many restarts the window held.
    pub restarts: u32,
    /// The window.
    pub period: Duration,
    /// How that child's last life ended.
    pub last: ExitReason,
}

impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            child,
            restarts,
            period,
            last,
        } = self;
        write!(
            f,
            "child \"{child}\" failed again after {restarts} restarts in {period:?}: {last}"
        )
    }
}

impl ExitReason {
    /// The kind, without details: what decisions, events and metric labels go by.
    #[must_use]
    pub fn kind(&self) -> ExitKind {
        match self {
            Self::Normal => ExitKind::Normal,
            Self::Shutdown => ExitKind::Shutdown,
            Self::Error(_) => ExitKind::Error,
            Self::Panic(_) => ExitKind::Panic,
            Self::Killed => ExitKind::Killed,
            Self::StartFailed(_) => ExitKind::StartFailed,
            Self::StartTimeout => ExitKind::StartTimeout,
            Self::Intensity(_) => ExitKind::Intensity,
            Self::Cancelled => ExitKind::Cancelled,
            Self::Unresponsive => ExitKind::Unresponsive,
            Self::Exit(code) => ExitKind::Exit(*code),
            Self::Signal(signal) => ExitKind::Signal(*signal),
        }
    }

    pub(crate) fn error(error: impl Into<BoxError>) -> Self {
        let error: BoxError = error.into();
        match error.downcast::<Self>() {
            Ok(reason) => *reason,
            Err(error) => Self::Error(error.into()),
        }
    }
}

impl Error for ExitReason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Error(error) | Self::StartFailed(error) => Some(&**error),
            Self::Panic(panic) => Some(&**panic),
            Self::Intensity(intensity) => Some(&intensity.last),
            Self::Normal
            | Self::Shutdown
            | Self::Killed
            | Self::StartTimeout
            | Self::Cancelled
            | Self::Unresponsive
            | Self::Exit(_)
            | Self::Signal(_) => None,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "error: {error}"),
            Self::Panic(panic) => panic.fmt(f),
            Self::StartFailed(error) => write!(f, "failed to start: {error}"),
            Self::StartTimeout => f.write_str("failed to start in time"),
            Self::Intensity(intensity) => intensity.fmt(f),
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}{}", signal_name(*signal)),
            Self::Normal | Self::Shutdown | Self::Killed | Self::Cancelled | Self::Unresponsive => {
                f.write_str(self.kind().as_str())
            }
        }
    }
}

/// The names of the signals whose numbers are the same on every Unix.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        14 => " (SIGALRM)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// Asks not to be started: returned as the error of a start function or of `pre_start`, it is no failure (OTP's `ignore`).
///
/// Nobody is there then, and nobody is retried: the child is `completed`. A temporary child, and any child of a
/// [`DynamicSupervisor`](crate::DynamicSupervisor), is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignore;

impl fmt::Display for Ignore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked not to be started")
    }
}

impl Error for Ignore {}

/// What follows when a start function has not started its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// Another try, by the child's backoff and limits.
    Retry,
    /// None: it can never succeed.
    GiveUp,
    /// Nothing; it was asked for.
    Nothing,
}

/// Why a start function could not start its child.
#[derive(Debug)]
pub struct StartFailure {
    pub(crate) reason: ExitReason,
    pub(crate) follows: Follows,
}

impl StartFailure {
    /// It may work the next time; the child's backoff and limits decide when and whether. An [`Ignore`] is what it is.
    #[must_use]
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::new(ExitReason::error(unwrapped(error)), Follows::Retry)
    }

    pub(crate) fn new(reason: ExitReason, follows: Follows) -> Self {
        let ExitReason::Error(error) = reason else {
            return Self { reason, follows };
        };
        let follows = if error.is::<Ignore>() {
            Follows::Nothing
        } else {
            follows
        };
        Self {
            reason: ExitReason::StartFailed(error),
            follows,
        }
    }

    /// It cannot work as things stand: there is no such program, say. No retry.
    #[must_use]
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(ExitReason::error(unwrapped(error)), Follows::GiveUp)
    }
}

/// What `pre_start` has returned, without the wrapping that `ractor` gives it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "ractor's features add variants"
)]
fn unwrapped(error: impl Into<BoxError>) -> BoxError {
    match error.into().downcast::<ractor::SpawnErr>() {
        Ok(wrapped) => match *wrapped {
            ractor::SpawnErr::StartupFailed(error) => error,
            other => Box::new(other),
        },
        Err(error) => error,
    }
}

impl<E: Into<BoxError>> From<E> for StartFailure {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_a_person_would_say_them() {
        let panic = Panic {
            message: "boom".into(),
            location: Some("a.rs:1:2".into()),
        };
        assert_eq!(
            ExitReason::Panic(Arc::new(panic)).to_string(),
            "panic at a.rs:1:2: boom"
        );
        assert_eq!(ExitReason::Signal(9).to_string(), "signal 9 (SIGKILL)");
        assert_eq!(ExitReason::Exit(3).to_string(), "exit code 3");
        assert_eq!(ExitReason::error("broken").to_string(), "error: broken");
    }

    #[test]
    fn an_exit_reason_passed_as_an_error_stays_what_it_is() {
        let boxed: BoxError = Box::new(ExitReason::Exit(7));
        assert_eq!(ExitReason::error(boxed).kind(), ExitKind::Exit(7));
        assert_eq!(
            StartFailure::retry("no").reason.kind(),
            ExitKind::StartFailed
        );
    }
}
