//! Whether an actor makes progress: the check that liveness is judged by, unless another was given.
//!
//! It sends nothing. A message through the mailbox would wait behind all others, so that an actor with much to do would look dead;
//! and one that is idle would be woken for nothing. What is looked at are the figures that are kept of an actor anyway: how many
//! messages it has handled, whether it handles one, and how many wait.
//!
//! An actor is stalled when one handler has run for too long, or when messages wait and none was handled for too long. One that is
//! idle is well, however long; so is one with a million messages that handles them.

use std::time::{Duration, Instant};

use crate::probe::CheckResult;

/// What is known of an actor at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How many messages it has handled so far.
    pub handled: u64,
    /// Whether it handles one now.
    pub busy: Busy,
    /// How many wait; 0 where that is not known.
    pub queued: u64,
}

/// Whether an actor is handling a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// It is not.
    No,
    /// It is; nobody has looked at the clock when it began.
    Yes,
    /// It is, since then.
    Since(Instant),
}

/// Which rule an actor has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// One handler has run for so long.
    Handler(Duration),
    /// Messages wait, and none was handled for so long.
    Queue(Duration),
}

/// Follows the progress of one life of an actor by a look now and then.
///
/// What is only known by looks is counted from the first of them: a stall is then noticed late by up to the time between two looks,
/// and never early.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    stall: Duration,
    handled: u64,
    /// The first look that found it busy with the message that it is busy with.
    busy: Option<Instant>,
    /// The first look that found messages waiting while nothing was handled.
    waiting: Option<Instant>,
}

impl Progress {
    /// How long a handler may run, unless told otherwise.
    pub const STALL: Duration = Duration::from_secs(30);

    /// Of a life that begins. `stall` is how long one handler may run, and how long messages may wait with none handled.
    #[must_use]
    pub const fn new(stall: Duration) -> Self {
        Self {
            stall,
            handled: 0,
            busy: None,
            waiting: None,
        }
    }

    /// Somebody has looked: whether it is stalled, and for how long.
    pub fn on_look(&mut self, look: Look, now: Instant) -> Option<Stalled> {
        if self.handled != look.handled {
            self.handled = look.handled;
            self.busy = None;
            self.waiting = None;
        }
        self.busy = match look.busy {
            Busy::No => None,
            Busy::Yes => self.busy.or(Some(now)),
            Busy::Since(since) => Some(since),
        };
        self.waiting = (look.queued > 0).then(|| self.waiting.unwrap_or(now));
        let for_how_long = |since: Option<Instant>| {
            let length = now.saturating_duration_since(since?);
            (length >= self.stall).then_some(length)
        };
        let handler = for_how_long(self.busy).map(Stalled::Handler);
        handler.or_else(|| for_how_long(self.waiting).map(Stalled::Queue))
    }

    /// [`Progress::on_look`], in the words of a check.
    pub fn check(&mut self, look: Look, now: Instant) -> CheckResult {
        match self.on_look(look, now) {
            None => CheckResult::success(),
            Some(Stalled::Handler(length)) => CheckResult::failure(format!(
                "has been handling one message for {length:.1?}, and may for {:.1?}",
                self.stall
            )),
            Some(Stalled::Queue(length)) => CheckResult::failure(format!(
                "has handled nothing for {length:.1?} while {} messages wait",
                look.queued
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::t0;

    const SECOND: Duration = Duration::from_secs(1);

    fn look(handled: u64, busy: Busy, queued: u64) -> Look {
        Look {
            handled,
            busy,
            queued,
        }
    }

    #[test]
    fn one_that_is_idle_is_well_however_long() {
        let begin = t0();
        let mut progress = Progress::new(SECOND * 30);
        for minute in 0..600 {
            let now = begin + SECOND * 60 * minute;
            assert_eq!(progress.on_look(look(7, Busy::No, 0), now), None);
        }
    }

    #[test]
    fn a_handler_that_runs_for_too_long_is_stalled_by_the_clock_or_by_what_was_seen() {
        let begin = t0();
        let at = |seconds: u32| begin + SECOND * seconds;
        let mut by_clock = Progress::new(SECOND * 30);
        let busy = look(7, Busy::Since(begin), 0);
        assert_eq!(by_clock.on_look(busy, at(29)), None);
        assert_eq!(
            by_clock.on_look(busy, at(30)),
            Some(Stalled::Handler(SECOND * 30))
        );

        let mut by_looks = Progress::new(SECOND * 30);
        let busy = look(7, Busy::Yes, 0);
        assert_eq!(by_looks.on_look(busy, at(100)), None);
        assert_eq!(by_looks.on_look(busy, at(129)), None);
        assert_eq!(
            by_looks.on_look(busy, at(135)),
            Some(Stalled::Handler(SECOND * 35))
        );
        assert_eq!(by_looks.on_look(look(8, Busy::Yes, 0), at(136)), None);
        assert_eq!(by_looks.on_look(look(8, Busy::No, 0), at(160)), None);
        assert_eq!(by_looks.on_look(look(8, Busy::Yes, 0), at(180)), None);
    }

    #[test]
    fn messages_that_wait_while_none_is_handled_are_a_stall_and_a_message_after_a_long_rest_is_not()
    {
        let begin = t0();
        let at = |seconds: u32| begin + SECOND * seconds;
        let mut progress = Progress::new(SECOND * 30);
        assert_eq!(progress.on_look(look(7, Busy::No, 0), at(0)), None);
        assert_eq!(progress.on_look(look(7, Busy::No, 1), at(3_600)), None);
        assert_eq!(progress.on_look(look(7, Busy::No, 2), at(3_629)), None);
        let stalled = Some(Stalled::Queue(SECOND * 31));
        assert_eq!(progress.on_look(look(7, Busy::No, 9), at(3_631)), stalled);
        assert_eq!(progress.on_look(look(8, Busy::No, 9), at(3_632)), None);
        assert_eq!(progress.on_look(look(8, Busy::No, 0), at(3_633)), None);
        assert_eq!(progress.on_look(look(8, Busy::No, 1), at(3_670)), None);
    }

    #[test]
    fn a_flood_that_is_worked_off_is_no_stall() {
        let begin = t0();
        let mut progress = Progress::new(SECOND * 30);
        for round in 0..1_000 {
            let now = begin + SECOND * 29 * round;
            let busy = look(u64::from(round), Busy::Since(now), 1_000_000);
            assert_eq!(progress.on_look(busy, now), None);
        }
    }

    #[test]
    fn a_stall_is_told_in_words() {
        let begin = t0();
        let mut progress = Progress::new(Progress::STALL);
        let check = progress.check(look(0, Busy::Since(begin), 3), begin + SECOND * 40);
        let text = "has been handling one message for 40.0s, and may for 30.0s";
        assert_eq!(check, CheckResult::failure(text));
        let mut progress = Progress::new(SECOND * 2);
        let waits = look(0, Busy::No, 3);
        assert_eq!(progress.check(waits, begin), CheckResult::success());
        let text = "has handled nothing for 2.5s while 3 messages wait";
        let check = progress.check(waits, begin + SECOND * 5 / 2);
        assert_eq!(check, CheckResult::failure(text));
    }
}
