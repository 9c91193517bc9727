//! What needs no machine of its own to be judged.

use std::time::{Duration, Instant};

use super::CheckResult;
use crate::phi::Heartbeats;

/// A child that has to say that it is well at least once in a time, as Consul's TTL checks.
///
/// What it says holds until that time is over. A life that begins has that time for its first word.
#[derive(Clone, Copy, Debug)]
pub struct Ttl {
    ttl: Duration,
    said: Instant,
    has_spoken: bool,
}

impl Ttl {
    /// Of a life that begins now.
    #[must_use]
    pub const fn new(ttl: Duration, now: Instant) -> Self {
        Self {
            ttl,
            said: now,
            has_spoken: false,
        }
    }

    /// It says that it is well.
    pub fn on_word(&mut self, now: Instant) {
        self.said = self.said.max(now);
        self.has_spoken = true;
    }

    /// How it is, judged by its last word.
    #[must_use]
    pub fn check(&self, now: Instant) -> CheckResult {
        let silent = now.saturating_duration_since(self.said);
        if silent < self.ttl {
            return CheckResult::success();
        }
        let since = if self.has_spoken {
            "said nothing for"
        } else {
            "has never said anything in"
        };
        CheckResult::failure(format!(
            "{since} {silent:.1?}, and has to every {:.1?}",
            self.ttl
        ))
    }
}

/// Whether a source of heartbeats is alive, by its φ; the time is told to it, too.
#[must_use]
pub fn heartbeat(heartbeats: &mut Heartbeats, now: Instant) -> CheckResult {
    // What is new is of no interest, only how it is.
    heartbeats.on_tick(now);
    if !heartbeats.is_missed() {
        return CheckResult::success();
    }
    let (phi, most) = (heartbeats.phi(now), heartbeats.rules().threshold);
    let silent = heartbeats.age(now).unwrap_or_default();
    CheckResult::failure(format!(
        "has been silent for {silent:.1?}: φ is {phi:.1}, and may be {most:.1}"
    ))
}

/// Whether what waits has waited for too long: a failure when the oldest of a queue has reached `limit`, and a warning from half of
/// it on. An empty queue is well.
#[must_use]
pub fn queue_age(oldest: Option<Duration>, limit: Duration) -> CheckResult {
    match oldest {
        Some(age) if age >= limit => CheckResult::failure(format!(
            "the oldest has waited for {age:.1?}, and may for {limit:.1?}"
        )),
        Some(age) if age >= limit / 2 => CheckResult::warning(format!(
            "the oldest has waited for {age:.1?} of {limit:.1?}"
        )),
        Some(_) | None => CheckResult::success(),
    }
}

/// Whether a child uses too much memory: a failure above `limit` bytes, and a warning above nine tenths of it.
///
/// For a process, [`MemoryWatch`](crate::figures::MemoryWatch) says so over several looks by itself; here the probe's thresholds do.
#[must_use]
pub fn memory(bytes: u64, limit: u64) -> CheckResult {
    /// In MiB, as people read it.
    fn mib(bytes: u64) -> u64 {
        bytes >> 20
    }
    if bytes > limit {
        CheckResult::failure(format!("uses {} MiB, and may {}", mib(bytes), mib(limit)))
    } else if bytes > limit - limit / 10 {
        CheckResult::warning(format!("uses {} of {} MiB", mib(bytes), mib(limit)))
    } else {
        CheckResult::success()
    }
}
