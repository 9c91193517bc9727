//! Who waits until when, for waits that nearly always end long before: a call that is answered costs a note that nobody reads.
//!
//! A wait begins without a look at the clock. Whoever is still waiting at the next tick gets its deadline then; those who are not
//! have cost nothing else. So a deadline is met at the earliest, and two ticks later at the latest.
//!
//! The contract: `begin` and `end` cost O(1) for a wait that sees no tick, O(log n) for one that does. Ticks are wanted a while
//! after [`Deadlines::is_fresh`] turns true, and at [`Deadlines::next_wakeup`]. Each wait is told as expired at most once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// All waits of one shell.
#[derive(Debug, Default)]
pub struct Deadlines {
    waits: Vec<Wait>,
    free: Vec<u32>,
    /// Those that begun since the last tick, and perhaps have ended.
    fresh: Vec<u32>,
    due: BTreeSet<(Instant, u32)>,
}

/// A place for a wait. It is used again after its end.
#[derive(Debug)]
struct Wait {
    state: State,
    /// It stands in the list of the fresh, whatever became of it.
    is_listed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Fresh(Duration),
    /// `None`: for ever.
    Due(Option<Instant>),
    Expired,
}

/// A wait under way. It cannot be copied, so none is ended twice, or asked about after its end.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a wait that is not ended is never forgotten"]
pub struct Ticket(u32);

impl Ticket {
    /// Which wait: the number that [`Deadlines::on_tick`] names. It is given again after the wait's end.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.0
    }
}

impl Deadlines {
    /// Somebody waits, at most so long; [`Duration::MAX`] is for ever.
    ///
    /// # Panics
    /// When more than four thousand million wait at once.
    pub fn begin(&mut self, timeout: Duration) -> Ticket {
        let number = self.free.pop().unwrap_or_else(|| {
            self.waits.push(Wait {
                state: State::Free,
                is_listed: false,
            });
            u32::try_from(self.waits.len() - 1).expect("fewer than four thousand million wait")
        });
        let wait = &mut self.waits[number as usize];
        wait.state = State::Fresh(timeout);
        if !std::mem::replace(&mut wait.is_listed, true) {
            self.fresh.push(number);
        }
        Ticket(number)
    }

    /// A wait is over, for whatever reason.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "taken, so that it is not used again"
    )]
    pub fn end(&mut self, ticket: Ticket) {
        let wait = &mut self.waits[ticket.0 as usize];
        if let State::Due(Some(at)) = std::mem::replace(&mut wait.state, State::Free) {
            self.due.remove(&(at, ticket.0));
        }
        self.free.push(ticket.0);
    }

    /// Time has passed: the fresh get their deadlines, and those whose time is up are named in `expired`.
    pub fn on_tick(&mut self, now: Instant, expired: &mut Vec<u32>) {
        for number in self.fresh.drain(..) {
            let wait = &mut self.waits[number as usize];
            wait.is_listed = false;
            if let State::Fresh(timeout) = wait.state {
                let at = now.checked_add(timeout);
                wait.state = State::Due(at);
                self.due.extend(at.map(|at| (at, number)));
            }
        }
        while let Some(&(at, number)) = self.due.first() {
            if at > now {
                break;
            }
            self.due.pop_first();
            self.waits[number as usize].state = State::Expired;
            expired.push(number);
        }
    }

    /// Whether its time is up.
    #[must_use]
    pub fn is_expired(&self, ticket: &Ticket) -> bool {
        self.waits[ticket.0 as usize].state == State::Expired
    }

    /// Whether there are waits without a deadline yet: a tick is wanted soon.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.free.len() == self.waits.len()
    }

    /// The next deadline.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    const SECOND: Duration = Duration::from_secs(1);

    fn tick(deadlines: &mut Deadlines, now: Instant) -> Vec<u32> {
        let mut expired = Vec::new();
        deadlines.on_tick(now, &mut expired);
        expired
    }

    #[test]
    fn a_deadline_counts_from_the_first_tick_and_is_told_once() {
        let (mut deadlines, begin) = (Deadlines::default(), crate::testing::t0());
        let ticket = deadlines.begin(SECOND);
        assert!(deadlines.is_fresh());
        assert_eq!(deadlines.next_wakeup(), None);
        assert_eq!(tick(&mut deadlines, begin), [0; 0]);
        assert!(!deadlines.is_fresh());
        assert_eq!(deadlines.next_wakeup(), Some(begin + SECOND));
        assert_eq!(tick(&mut deadlines, begin + SECOND / 2), [0; 0]);
        assert!(!deadlines.is_expired(&ticket));
        assert_eq!(tick(&mut deadlines, begin + SECOND), [ticket.number()]);
        assert!(deadlines.is_expired(&ticket));
        assert_eq!(tick(&mut deadlines, begin + SECOND * 2), [0; 0]);
        assert!(!deadlines.is_idle());
        deadlines.end(ticket);
        assert!(deadlines.is_idle());
    }

    #[test]
    fn a_wait_that_ends_before_a_tick_leaves_nothing_and_its_number_waits_anew() {
        let (mut deadlines, begin) = (Deadlines::default(), crate::testing::t0());
        for _ in 0..1_000 {
            let ticket = deadlines.begin(SECOND);
            deadlines.end(ticket);
        }
        assert_eq!((deadlines.waits.len(), deadlines.fresh.len()), (1, 1));
        let ticket = deadlines.begin(SECOND);
        assert_eq!(tick(&mut deadlines, begin), [0; 0]);
        deadlines.end(ticket);
        assert_eq!(deadlines.next_wakeup(), None);
        let ticket = deadlines.begin(SECOND * 2);
        assert_eq!(tick(&mut deadlines, begin + SECOND), [0; 0]);
        assert_eq!(tick(&mut deadlines, begin + SECOND * 3), [ticket.number()]);
        deadlines.end(ticket);
    }

    #[test]
    fn a_wait_without_end_never_expires() {
        let (mut deadlines, begin) = (Deadlines::default(), crate::testing::t0());
        let ticket = deadlines.begin(Duration::MAX);
        assert_eq!(tick(&mut deadlines, begin), [0; 0]);
        assert_eq!(deadlines.next_wakeup(), None);
        assert_eq!(tick(&mut deadlines, begin + SECOND * 1_000_000), [0; 0]);
        deadlines.end(ticket);
        assert!(deadlines.is_idle());
    }

    /// A wait, as plainly as it can be told.
    enum Model {
        Fresh(Duration),
        Due(Instant),
        Told,
    }

    #[test]
    fn in_random_histories_each_wait_expires_once_at_the_first_tick_at_or_after_its_deadline() {
        for seed in 0..200 {
            let mut random = SplitMix64::new(seed);
            let mut pick = |n: u64| random.next_u64() % n;
            let mut deadlines = Deadlines::default();
            let mut now = crate::testing::t0();
            let mut open: Vec<(Ticket, Model)> = Vec::new();
            for _ in 0..300 {
                match pick(4) {
                    0 | 1 => {
                        let timeout = Duration::from_millis(pick(50));
                        open.push((deadlines.begin(timeout), Model::Fresh(timeout)));
                    }
                    2 if !open.is_empty() => {
                        let at = usize::try_from(pick(open.len() as u64)).unwrap();
                        deadlines.end(open.swap_remove(at).0);
                    }
                    _ => {
                        now += Duration::from_millis(pick(20));
                        let mut expired = tick(&mut deadlines, now);
                        let mut wanted = Vec::new();
                        for (ticket, model) in &mut open {
                            if let Model::Fresh(timeout) = *model {
                                *model = Model::Due(now + timeout);
                            }
                            if matches!(*model, Model::Due(at) if at <= now) {
                                *model = Model::Told;
                                wanted.push(ticket.number());
                            }
                            let told = matches!(model, Model::Told);
                            assert_eq!(deadlines.is_expired(ticket), told, "seed {seed}");
                        }
                        expired.sort_unstable();
                        wanted.sort_unstable();
                        assert_eq!(expired, wanted, "seed {seed}");
                        assert!(deadlines.next_wakeup().is_none_or(|at| at > now));
                    }
                }
                assert_eq!(deadlines.is_idle(), open.is_empty(), "seed {seed}");
            }
        }
    }
}
