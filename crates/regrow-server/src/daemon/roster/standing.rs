//! What the gateway asks of the agents.

use std::time::SystemTime;

use regrow::telemetry::Span;
use regrow::trace::TraceContext;
use regrow_core::{Desired, Phase};
use regrow_process::InFlight;

use super::super::{request, view};
use super::Roster;
use crate::gateway::{Agents, At, Standing};
use crate::wire::DaemonPhase;

impl Agents for Roster {
    async fn standing(&self, id: &str) -> Option<Standing> {
        let entry = self.read().get(id).cloned()?;
        let status = entry.handle.status();
        let now = SystemTime::now();
        let up_for = status
            .spawned_at
            .map(|at| now.duration_since(at).unwrap_or_default());
        let standing = Standing {
            phase: Phase::Running,
            desired: Desired::Up,
            at: match (entry.port(), entry.socket) {
                (Some(port), _) => Some(At::Port(port)),
                (None, socket) => socket.map(At::Socket),
            },
            alive: status.takes_requests(),
            up_for,
            starts_in: None,
            message: None,
        };
        // A process that lives and is not being stopped is all there is to know: no supervisor is
        // asked for a request that goes through.
        if standing.alive {
            return Some(standing);
        }
        let info = self.member(&entry.config).await;
        let standing = view::standing(standing, info.as_ref(), now);
        Some(match self.phase() {
            DaemonPhase::Starting | DaemonPhase::Running => standing,
            // Nobody comes back any more.
            DaemonPhase::Draining => Standing {
                desired: Desired::Down,
                ..standing
            },
        })
    }

    fn begin(&self, id: &str) -> Option<InFlight> {
        self.read().get(id).map(|entry| entry.handle.begin())
    }

    fn asked(
        &self,
        route: &'static str,
        method: &'static str,
        parent: Option<TraceContext>,
    ) -> Span {
        request::asked(self.system.telemetry(), route, method, parent)
    }
}
