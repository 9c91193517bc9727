//! Progress lines, written beside the daemon: a terminal that is stopped must not stop the agents.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::cli::say;

/// More lines than this are not kept for a terminal that takes none.
const WAITING_LINES: usize = 1024;
/// How long the last lines are waited for.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Writes lines to stdout in the order they came.
#[derive(Debug)]
pub(super) struct Printer {
    lines: SyncSender<String>,
    done: Receiver<()>,
}

impl Printer {
    /// A printer with a thread of its own.
    pub(super) fn new() -> Self {
        let (lines, received) = sync_channel::<String>(WAITING_LINES);
        let (finished, done) = sync_channel(1);
        thread::spawn(move || {
            let mut reading = true;
            for line in received {
                // When the reader has gone, the agents go on.
                reading = reading && say(&line).is_ok();
            }
            drop(finished);
        });
        Self { lines, done }
    }

    /// Writes a line, or several, when its turn comes.
    pub(super) fn line(&self, text: impl Into<String>) {
        // Full means that nobody has read for a long time, and that is the reader's loss.
        drop(self.lines.try_send(text.into()));
    }

    /// Waits until all is written, unless nobody reads.
    pub(super) fn finish(self) {
        let Self { lines, done } = self;
        drop(lines);
        // The thread ends by dropping its side, which is what is waited for.
        let _ = done.recv_timeout(LAST_LINES);
    }
}
