//! The only clock of the crate: tokio's, so that tests can pause it.

use std::time::Instant;

/// What time it is, for the core.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `at`.
pub(crate) async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await;
}
