//! How an incarnation ends, and what its shell is told to do.

use std::time::Instant;

use super::Stage;

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
    /// Hold all of the incarnation: SIGSTOP to the group, and to those of its descendants that have left it.
    Pause,
    /// Let all of the incarnation go on: SIGCONT to the group, and to those of its descendants that have left it.
    Resume,
    /// It has run for as long as it may: its supervisor is to stop it.
    Expire,
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
