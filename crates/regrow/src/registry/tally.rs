//! What is done with the registry, as figures.
//!
//! A write goes through an actor, so it is simply counted. A look-up costs 40 to 70 ns, and a counter that threads share would add a
//! fifth to that. So one in 64, drawn by lot, is timed and counts for all 64. The lot costs 2 ns in a loop of
//! its own, and cannot be told from noise beside a look-up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One look-up in so many is timed, and counts for as many.
pub(super) const SAMPLE_EVERY: u64 = 64;

/// What can be done with a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One is looked for by its path or name. Sampled.
    Lookup,
    /// Those are looked for whom a query, a term or a group means. Sampled.
    Query,
    Register,
    Unregister,
    Claim,
    Release,
    Join,
    Leave,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::Lookup,
        Self::Query,
        Self::Register,
        Self::Unregister,
        Self::Claim,
        Self::Release,
        Self::Join,
        Self::Leave,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Query => "query",
            Self::Register => "register",
            Self::Unregister => "unregister",
            Self::Claim => "claim",
            Self::Release => "release",
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done, or somebody was found.
    Ok,
    /// There was nobody, or nothing to take away.
    None,
    /// Somebody else has it, or it cannot be.
    Refused,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Ok, Self::None, Self::Refused];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::None => "none",
            Self::Refused => "refused",
        }
    }

    pub(super) const fn done<T, E>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(_) => Self::Refused,
        }
    }

    pub(super) const fn of(is_there: bool) -> Self {
        if is_there { Self::Ok } else { Self::None }
    }
}

/// How often each has been done.
#[derive(Debug, Default)]
pub(crate) struct Tally([[AtomicU64; Outcome::ALL.len()]; Operation::ALL.len()]);

impl Tally {
    pub(super) fn count(&self, operation: Operation, outcome: Outcome, times: u64) {
        self.0[operation as usize][outcome as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// What has been done at least once.
    pub(crate) fn each(&self, mut tell: impl FnMut(&'static str, &'static str, u64)) {
        for operation in Operation::ALL {
            for outcome in Outcome::ALL {
                let times = self.0[operation as usize][outcome as usize].load(Ordering::Relaxed);
                if times > 0 {
                    tell(operation.as_str(), outcome.as_str(), times);
                }
            }
        }
    }
}

/// How many look-ups of a thread are passed over before the next is timed.
struct Lot {
    left: Cell<u64>,
    seed: Cell<u64>,
}

thread_local! {
    static LOT: Lot = const {
        Lot {
            left: Cell::new(0),
            seed: Cell::new(0x9E37_79B9_7F4A_7C15),
        }
    };
}

/// Whether this look-up is one of those that are timed. By lot, so that nobody who looks in a rhythm is always or never among them.
#[inline]
pub(super) fn is_sampled() -> bool {
    LOT.with(|lot| match lot.left.get().checked_sub(1) {
        Some(left) => {
            lot.left.set(left);
            false
        }
        None => {
            draw(lot);
            true
        }
    })
}

/// As often fewer than 63 as more.
#[cold]
fn draw(lot: &Lot) {
    // Knuth's MMIX: the high bits are those that are as good as random.
    let next = lot.seed.get().wrapping_mul(6_364_136_223_846_793_005);
    let next = next.wrapping_add(1_442_695_040_888_963_407);
    lot.seed.set(next);
    lot.left.set((next >> 32) % (2 * SAMPLE_EVERY - 1));
}

/// Takes the time of a look-up.
pub(super) fn timed<T>(look: impl FnOnce() -> T) -> (T, Duration) {
    let begun = crate::time::now();
    let found = look();
    (found, crate::time::now() - begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_sixty_four_is_drawn_however_regularly_somebody_looks() {
        let drawn = |keep: u64| {
            (0..64_000)
                .filter(|n| is_sampled() && n % 64 == keep)
                .count()
        };
        let all = (0..64_000).filter(|_| is_sampled()).count();
        assert!((850..1_150).contains(&all), "{all}");
        let of_a_rhythm = (0..64).map(drawn).filter(|drawn| *drawn > 0).count();
        assert_eq!(of_a_rhythm, 64);
    }

    #[test]
    fn only_what_has_been_done_is_told() {
        let tally = Tally::default();
        tally.count(Operation::Claim, Outcome::Refused, 1);
        tally.count(Operation::Query, Outcome::of(true), SAMPLE_EVERY);
        tally.count(Operation::Query, Outcome::of(false), SAMPLE_EVERY);
        let mut told = Vec::new();
        tally.each(|operation, outcome, times| told.push(format!("{operation} {outcome} {times}")));
        assert_eq!(told, ["query ok 64", "query none 64", "claim refused 1"]);
    }
}
