//! The results that are judged together, as running sums: what falls out of the window is subtracted.

use std::time::{Duration, Instant};

use super::rules::WindowSize;

/// How many calls, and how many of them failed or were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Successes and failures.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow, failed or not.
    pub slow: u64,
}

impl Figures {
    /// The share that failed; `None` without calls.
    #[must_use]
    pub fn failure_ratio(self) -> Option<f64> {
        ratio(self.failures, self.calls)
    }

    /// The share that was slow; `None` without calls.
    #[must_use]
    pub fn slow_ratio(self) -> Option<f64> {
        ratio(self.slow, self.calls)
    }

    pub(super) fn of(failed: bool, slow: bool) -> Self {
        Self {
            calls: 1,
            failures: failed.into(),
            slow: slow.into(),
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of calls in a window")]
fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The newest results. Its memory is taken when it is made; to record costs O(1), and a time window O(1) more for each second gone by
/// since, up to its length.
#[derive(Clone, Debug)]
pub(super) struct Window {
    sum: Figures,
    ring: Ring,
}

#[derive(Clone, Debug)]
enum Ring {
    Count {
        /// A bit for failed, one for slow.
        marks: Box<[u8]>,
        /// Where the next goes. Beyond `len` it is empty.
        next: usize,
        len: usize,
    },
    Time {
        seconds: Box<[Figures]>,
        /// The place of the present second.
        head: usize,
        /// When that is over.
        until: Instant,
    },
}

const SECOND: Duration = Duration::from_secs(1);

const FAILED: u8 = 1;
const SLOW: u8 = 2;

impl Window {
    pub(super) fn new(size: WindowSize, now: Instant) -> Self {
        let ring = match size {
            WindowSize::Count(count) => Ring::Count {
                marks: vec![0; count as usize].into(),
                next: 0,
                len: 0,
            },
            WindowSize::Time(time) => {
                let seconds = usize::try_from(time.as_secs()).unwrap_or(usize::MAX);
                Ring::Time {
                    seconds: vec![Figures::default(); seconds].into(),
                    head: 0,
                    until: now + SECOND,
                }
            }
        };
        Self {
            sum: Figures::default(),
            ring,
        }
    }

    /// Forgets all results, in the memory that it has.
    pub(super) fn clear(&mut self, now: Instant) {
        self.sum = Figures::default();
        match &mut self.ring {
            Ring::Count { next, len, .. } => (*next, *len) = (0, 0),
            Ring::Time {
                seconds,
                head,
                until,
            } => {
                seconds.fill(Figures::default());
                (*head, *until) = (0, now + SECOND);
            }
        }
    }

    /// One more result, at `now`, and what the window holds with it. A time before that of the newest counts as that.
    #[inline]
    pub(super) fn record(&mut self, failed: bool, slow: bool, now: Instant) -> Figures {
        self.advance(now);
        let one = Figures::of(failed, slow);
        match &mut self.ring {
            Ring::Count { marks, next, len } => {
                if *len == marks.len() {
                    let old = marks[*next];
                    self.sum
                        .subtract(Figures::of(old & FAILED != 0, old & SLOW != 0));
                } else {
                    *len += 1;
                }
                marks[*next] = u8::from(failed) * FAILED + u8::from(slow) * SLOW;
                *next = if *next + 1 == marks.len() {
                    0
                } else {
                    *next + 1
                };
            }
            Ring::Time { seconds, head, .. } => seconds[*head].add(one),
        }
        self.sum.add(one);
        self.sum
    }

    /// What the window holds at `now`.
    pub(super) fn figures(&mut self, now: Instant) -> Figures {
        self.advance(now);
        self.sum
    }

    /// Time has passed: seconds that are out of the window are subtracted.
    #[inline]
    fn advance(&mut self, now: Instant) {
        match &self.ring {
            // One comparison is all that most calls pay.
            Ring::Time { until, .. } if now >= *until => self.move_on(now),
            Ring::Time { .. } | Ring::Count { .. } => {}
        }
    }

    /// The present second is over.
    #[cold]
    fn move_on(&mut self, now: Instant) {
        let Ring::Time {
            seconds,
            head,
            until,
        } = &mut self.ring
        else {
            return;
        };
        let gone = now.saturating_duration_since(*until).as_secs() + 1;
        *until += Duration::from_secs(gone);
        for _ in 0..gone.min(seconds.len() as u64) {
            *head = if *head + 1 == seconds.len() {
                0
            } else {
                *head + 1
            };
            self.sum.subtract(std::mem::take(&mut seconds[*head]));
        }
    }
}
