//! A breaker in front of a child's starts: while it is open the next start waits until it lets one through to try.

use std::time::Duration;

use super::{Breaker, Permit};
use crate::child::ChildSpec;
use crate::time;

/// How long a start waits at most before it asks again, where nobody knows when there is a place among the trials.
const PATIENCE: Duration = Duration::from_secs(1);

impl ChildSpec {
    /// Puts a breaker in front of its starts: each is a call through it. One that fails is a failure, and so is an end before the child
    /// counts as started. While the breaker is open the next start waits, in the phase `starting`, until it lets one through to try. So
    /// children that need the same thing, and share a breaker, find out together that it is down, and try one at a time whether it is back.
    ///
    /// What it waits does not count towards its [`start_timeout`](ChildSpec::start_timeout). An operator who stops the child ends the
    /// wait; a boot waits with it. Restarts are counted and delayed as ever.
    pub fn gate(mut self, breaker: &Breaker) -> Self {
        self.edit().gate = Some(breaker.clone());
        self
    }
}

impl Breaker {
    /// Waits until a call may be made.
    pub(crate) async fn admitted(&self) -> Permit<'static> {
        loop {
            let rejected = match self.try_acquire_owned() {
                Ok(permit) => return permit,
                Err(rejected) => rejected,
            };
            let until = time::now() + rejected.retry_after.unwrap_or(PATIENCE);
            tokio::select! {
                _ = self.until(|state| state != rejected.state) => {}
                () = time::sleep_until(until) => {}
            }
        }
    }
}
