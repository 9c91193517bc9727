//! What comes later than it may, because the machine has too much to do.

use std::time::Duration;

use regrow::Phase;
use regrow_core::lifecycle::{Action, End, Ending, Stage};

use super::{Driver, Observer};
use crate::os;

/// How much longer than they may the exit of a process that was killed, and the verdict of a sweep, are waited for: the machine may
/// have too much to do.
const VERDICT: Duration = os::LAST_LOOKS.saturating_add(Duration::from_secs(1));

impl Driver {
    /// What SIGKILL was sent to ends, and a sweep that finds something has something to say, if not in the time that they had.
    pub(super) async fn await_the_late(
        &mut self,
        ending: &mut Ending,
        phase: Phase,
        observer: &impl Observer,
    ) {
        if let Some(sweep) = self.sweep.take()
            && let Ok(survivors) = tokio::time::timeout(VERDICT, sweep).await
        {
            ending.leaked.extend(survivors);
        }
        // Who gives it no time at all does not want to wait.
        let is_awaited = !self.template.stop_plan.budget(Stage::Kill).is_zero();
        if let Some(exit) = self.exit.take_if(|_| is_awaited)
            && let Ok(exit) = tokio::time::timeout(VERDICT, exit).await
        {
            let exit = self.exit_of(exit).await;
            self.exited = Some(exit);
            ending.end = End::Killed(exit);
            if let Some(payload) = self.news(&Action::Reap) {
                observer.happened(phase, payload);
            }
            self.books.close(&self.template, observer, self.leader);
            self.reap().await;
        }
    }
}
