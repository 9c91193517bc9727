//! What the gateway asks of the agents.

use std::time::SystemTime;

use regrow::pool::{Given, Lease};
use regrow::telemetry::Span;
use regrow::trace::TraceContext;
use regrow_core::{Desired, Phase};
use regrow_process::InFlight;

use super::super::{child, request, view};
use super::Roster;
use crate::config::AgentConfig;
use crate::gateway::{Agents, At, Before, Crew, Leased, Standing};
use crate::wire::DaemonPhase;

impl Roster {
    /// Whether its probes let an agent be given work; one that has none may be asked as soon as it lives.
    fn may_be_given_work(&self, agent: &AgentConfig) -> bool {
        let found = || self.system.registry().get(&child::path(agent));
        !agent.is_asked_first() || found().is_some_and(|child| child.is_ready())
    }
}

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
            unready: None,
        };
        // A process that lives, is not being stopped and is well is all there is to know: no supervisor is
        // asked for a request that goes through.
        if standing.alive && self.may_be_given_work(&entry.config) {
            return Some(standing);
        }
        let info = self.member(&entry.config).await;
        let standing = Standing {
            unready: info
                .as_ref()
                .and_then(|info| view::unready(&entry.config, info)),
            ..standing
        };
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

    fn before(&self, id: &str) -> Option<Before> {
        self.read().get(id)?.before.clone()
    }

    fn pool(&self, id: &str) -> Option<Crew> {
        self.crew(id)
    }

    fn pool_ids(&self) -> Vec<String> {
        Self::pool_ids(self)
    }

    async fn given_up(&self, pool: &str) -> Option<String> {
        self.workers_given_up(pool).await
    }

    fn worker(&self, lease: &Lease<Given>) -> Option<Leased> {
        self.leased(lease)
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
