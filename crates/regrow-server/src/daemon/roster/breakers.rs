//! Breakers, to see and to be ordered about.

use std::time::{Duration, SystemTime};

use regrow::breaker::{Breaker, CircuitMode, CircuitStatus, IllegalTransition, OpenWait};

use super::Roster;
use crate::daemon::{breakers, view};
use crate::wire;

/// What an operator wants of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// To be open: for so long, or until it is closed.
    Open(Option<Duration>),
    /// To be closed, whoever has opened it, and begin anew.
    Close,
    /// To begin anew; one that was opened for good stays so.
    Reset,
}

impl Roster {
    /// All breakers, by id.
    pub(crate) async fn breakers(&self) -> Vec<wire::Breaker> {
        let mut all = Vec::new();
        for (id, breaker) in self.breakers.all() {
            all.push(self.shown(id, breaker).await);
        }
        all
    }

    /// One breaker.
    pub(crate) async fn breaker(&self, id: &str) -> Option<wire::Breaker> {
        let breaker = self.breakers.get(id)?;
        Some(self.shown(id, breaker).await)
    }

    /// Does to a breaker what an operator wants; none if there is no such breaker.
    ///
    /// # Errors
    ///
    /// When it is to be open for a while, and was opened for good.
    pub(crate) fn order(&self, id: &str, order: Order) -> Option<Result<(), IllegalTransition>> {
        let breaker = self.breakers.get(id)?;
        let done = match order {
            Order::Open(Some(time)) => breaker.trip(OpenWait::For(time)),
            Order::Open(None) => {
                breaker.set_mode(CircuitMode::ForcedOpen);
                Ok(())
            }
            Order::Close => {
                breaker.close();
                Ok(())
            }
            Order::Reset => {
                breaker.reset();
                Ok(())
            }
        };
        Some(done)
    }

    async fn shown(&self, id: &str, breaker: &Breaker) -> wire::Breaker {
        let path = breakers::path(id);
        // One whose child is down works on, and nobody knows of its check.
        let child = self.system.which_child(&path).await.ok();
        let check = child.and_then(|info| info.probes.first().map(view::probe));
        let (mut agents, mut gates) = (Vec::new(), Vec::new());
        let mut entries: Vec<_> = self.read().values().cloned().collect();
        entries.sort_by_key(|entry| entry.place);
        for entry in entries {
            let agent = &entry.config;
            agents.extend((breakers::id_for(agent) == Some(id)).then(|| agent.id.clone()));
            gates.extend((agent.gate.as_deref() == Some(id)).then(|| agent.id.clone()));
        }
        let CircuitStatus {
            standing,
            in_state,
            figures,
            consecutive_failures,
            retry_after,
            totals,
            ..
        } = breaker.status();
        let now = SystemTime::now();
        wire::Breaker {
            id: id.to_owned(),
            path,
            state: standing.state.as_str().to_owned(),
            since: wire::rfc3339(now.checked_sub(in_state).unwrap_or(now)),
            next_trial_at: retry_after.map(|wait| wire::rfc3339(now + wait)),
            calls: figures.calls,
            failures: figures.failures,
            slow: figures.slow,
            consecutive_failures,
            totals: wire::BreakerTotals {
                success: totals.success,
                failure: totals.failure,
                ignored: totals.ignored,
                rejected: totals.rejected,
                cancelled: totals.cancelled,
                late: totals.late,
            },
            agents,
            gates,
            check,
        }
    }
}
