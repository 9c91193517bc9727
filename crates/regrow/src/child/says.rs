//! What a life says of itself to its supervisor.

use std::sync::Arc;

use regrow_core::StopCause;

use super::StartContext;
use crate::breaker::Breaker;
use crate::supervisor::{Message, Verdict};

impl StartContext {
    /// This life is to be ended for `cause`, which is nobody's wish: it has run for as long as it may, say. Its supervisor asks it to
    /// stop as ever. What follows is up to its restart type: where the cause is a failure ([`StopCause::is_failure`]) it is as
    /// after a crash, else as after an end in order, which counts towards no limit. While it still starts, a failure fails the start,
    /// and anything else leaves it alone. `why` is for people, and may be empty.
    pub fn condemn(&self, cause: StopCause, why: impl Into<Arc<str>>) {
        let verdict = Verdict {
            cause,
            why: why.into(),
            grace: None,
        };
        // A supervisor that is gone has ended it already.
        drop(self.supervisor.cast(Message::Condemned(self.who, verdict)));
    }

    /// What it had to finish when it was asked to stop is done, or has had its time: it is `stopping` now.
    pub fn drained(&self) {
        drop(self.supervisor.cast(Message::Drained(self.who)));
    }

    /// The child is up now; for children that are [announced](crate::ChildSpec::announced).
    pub fn announce(&self) {
        // A supervisor that is gone needs no news.
        drop(self.supervisor.cast(Message::Announced(self.who)));
    }

    /// It keeps this breaker's time.
    pub(crate) fn keep_breaker(&self, breaker: &Breaker) {
        if let Some(place) = self.registered() {
            self.tree.census.breakers.enter(breaker, place);
        }
    }

    /// The child may be given work from now on; for children that [say so](crate::ChildSpec::ready_within), or have said that they may not.
    /// It may say so before it counts as started: it is ready then as soon as it does. To say it twice says no more.
    pub fn ready(&self) {
        // A supervisor that is gone needs no news.
        drop(self.supervisor.cast(Message::Ready(self.who)));
    }

    /// The child may be given no work until it says [`ready`](Self::ready) again: it has lost what it needs, say. It runs on, and nobody
    /// finds it as `ready`. `why` is for people: it is told with `regrow.child.unready`.
    pub fn unready(&self, why: impl Into<Arc<str>>) {
        // A supervisor that is gone needs no news.
        drop(self.supervisor.cast(Message::Unready(self.who, why.into())));
    }
}
