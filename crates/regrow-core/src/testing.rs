//! What the tests of this crate share.

pub(crate) mod registry;

use std::time::Instant;

/// The one place where a test reads the clock: every other time is counted from here.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made otherwise"
)]
pub(crate) fn t0() -> Instant {
    Instant::now()
}
