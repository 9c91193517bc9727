//! The only clock of the crate: tokio's, so that tests can pause it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What time it is, for the core.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `at`.
pub(crate) async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await;
}

/// The next time after `at` that is a whole number of `grain` away from a fixed one, so that who waits for about the same time is woken
/// together; `at` itself, if that has come.
pub(crate) fn together(at: Instant, grain: Duration) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = now();
    let first = *FIRST.get_or_init(|| now);
    if at <= now || grain.is_zero() {
        return at;
    }
    let beyond = at.saturating_duration_since(first).as_nanos() % grain.as_nanos();
    let beyond = Duration::from_nanos(u64::try_from(beyond).unwrap_or_default());
    if beyond.is_zero() {
        at
    } else {
        at + (grain - beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn times_that_are_near_become_one_that_is_not_earlier_and_by_less_than_a_grain_later() {
        let grain = Duration::from_millis(20);
        let (start, mut all) = (now(), std::collections::BTreeSet::new());
        for millis in 1..=100 {
            let at = start + Duration::from_millis(millis);
            let together = together(at, grain);
            assert!(together >= at && together < at + grain);
            all.insert(together);
        }
        assert!((5..=6).contains(&all.len()), "{}", all.len());
        assert_eq!(together(start, grain), start, "it has come");
        let soon = start + Duration::from_nanos(1);
        assert_eq!(together(soon, Duration::ZERO), soon);
    }
}
