//! Signals by their names.

use std::fmt;
use std::str::FromStr;

/// A signal by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Hang-up.
    Hup,
    /// Interrupt, as by Ctrl-C.
    Int,
    /// Quit.
    Quit,
    /// Kill; cannot be caught.
    Kill,
    /// First user-defined signal.
    Usr1,
    /// Second user-defined signal.
    Usr2,
    /// Terminate: the usual request to stop.
    Term,
    /// Continue a stopped process.
    Cont,
    /// Stop; cannot be caught.
    Stop,
    /// Abort: most programs leave a core dump.
    Abrt,
    /// The window has another size; some programs take it for a request.
    Winch,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Kill,
        Self::Usr1,
        Self::Usr2,
        Self::Term,
        Self::Cont,
        Self::Stop,
        Self::Abrt,
        Self::Winch,
    ];

    /// Its number on this system.
    #[must_use]
    pub fn number(self) -> i32 {
        rustix::process::Signal::from(self).as_raw()
    }

    /// Its usual name, such as `SIGTERM`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "SIGHUP",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Kill => "SIGKILL",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Term => "SIGTERM",
            Self::Cont => "SIGCONT",
            Self::Stop => "SIGSTOP",
            Self::Abrt => "SIGABRT",
            Self::Winch => "SIGWINCH",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no signal of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no signal is called {0:?}; use one such as SIGTERM or SIGINT")]
pub struct UnknownSignal(String);

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Reads `SIGTERM`, and `TERM` for short, in any case.
    fn from_str(word: &str) -> Result<Self, UnknownSignal> {
        let upper = word.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::ALL
            .into_iter()
            .find(|signal| &signal.as_str()[3..] == short)
            .ok_or_else(|| UnknownSignal(word.to_owned()))
    }
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hup => Self::HUP,
            Signal::Int => Self::INT,
            Signal::Quit => Self::QUIT,
            Signal::Kill => Self::KILL,
            Signal::Usr1 => Self::USR1,
            Signal::Usr2 => Self::USR2,
            Signal::Term => Self::TERM,
            Signal::Cont => Self::CONT,
            Signal::Stop => Self::STOP,
            Signal::Abrt => Self::ABORT,
            Signal::Winch => Self::WINCH,
        }
    }
}
