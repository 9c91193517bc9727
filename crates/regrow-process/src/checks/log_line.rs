//! Whether a line was written lately.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use regrow_core::probe::CheckResult;

use super::quotable;
use crate::stdio::{Cursor, Output};

/// Whether a process has written a line with a text in it within a time; such a line every now and then is its sign of life.
///
/// A life that begins has that time for its first one. What the process wrote is looked at when the check runs: of one that writes more in
/// between than is kept of its output, a line may be missed.
#[derive(Debug)]
pub struct LogLineCheck {
    output: Output,
    text: String,
    time: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    cursor: Cursor,
    /// When the last such line was written, or the check was made.
    last: Instant,
    is_line: bool,
}

impl LogLineCheck {
    /// Looks for `text` in the lines of `output`, from now on: one has to come at least once in `time`.
    #[must_use]
    pub fn new(output: Output, text: impl Into<String>, time: Duration) -> Self {
        let seen = Seen {
            cursor: output.end(),
            last: Instant::now(),
            is_line: false,
        };
        Self {
            output,
            text: text.into(),
            time,
            seen: Mutex::new(seen),
        }
    }

    /// Looks once. It waits for nothing.
    #[expect(clippy::unused_async, reason = "every check is asked in one way")]
    pub async fn run(&self) -> CheckResult {
        let (silent, is_line) = self.look(Instant::now());
        let (text, time) = (quotable(&self.text), self.time);
        if silent < time {
            CheckResult::success()
        } else if is_line {
            CheckResult::failure(format!(
                "wrote no line with {text:?} for {silent:.1?}, and has to every {time:.1?}"
            ))
        } else {
            CheckResult::failure(format!(
                "has written no line with {text:?} in {silent:.1?}, and has to every {time:.1?}"
            ))
        }
    }

    /// How long there was no such line, and whether there was any.
    fn look(&self, now: Instant) -> (Duration, bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let chunk = self.output.since(seen.cursor);
            if chunk.lines.is_empty() {
                seen.cursor = chunk.next;
                break;
            }
            let wanted = chunk
                .lines
                .iter()
                .rfind(|line| line.text().contains(&self.text));
            if let Some(line) = wanted {
                // The clock of lines may be set; that of waiting is not.
                let age = SystemTime::now()
                    .duration_since(line.at)
                    .unwrap_or_default();
                let at = now.checked_sub(age).unwrap_or(seen.last);
                (seen.last, seen.is_line) = (seen.last.max(at), true);
            }
            seen.cursor = chunk.next;
        }
        (now.saturating_duration_since(seen.last), seen.is_line)
    }
}
