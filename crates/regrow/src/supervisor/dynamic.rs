//! A supervisor whose children come and go.

use std::sync::Arc;
use std::time::Duration;

use regrow_core::Strategy;

use super::Supervisor;
use crate::child::ChildSpec;

/// A supervisor without children of its own: they are added while it runs ([`System::start_child`](crate::System::start_child),
/// [`System::start_children`](crate::System::start_children)), as many as you like, each with an id. Elixir's
/// `DynamicSupervisor`; OTP's `simple_one_for_one` with ids.
///
/// It differs from a [`Supervisor`] in this: a child that is not started again loses its place with its life, whatever its
/// restart type; at shutdown all children are asked at once; one that fails takes nobody along. A start, a restart and a look
/// cost the same with ten children and with a million.
///
/// Defaults: at most 3 restarts in 5 s for all children together, no limit to how many there are.
///
/// ```
/// use regrow::{ChildSpec, DynamicSupervisor, Restart, Supervisor, System};
/// # #[derive(Clone)] struct Session;
/// # impl ractor::Actor for Session {
/// #     type Msg = (); type State = (); type Arguments = u32;
/// #     async fn pre_start(&self, _: ractor::ActorRef<()>, _: u32) -> Result<(), ractor::ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tree = Supervisor::new("root").child(DynamicSupervisor::new("sessions").max_children(1_000));
/// let system = System::start(tree).await?;
/// let session = ChildSpec::actor("alice", Session, 7).restart(Restart::Transient);
/// system.start_child("root/sessions", session).await?;
/// assert_eq!(system.count_children("root/sessions").await?.active, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DynamicSupervisor(Supervisor);

impl DynamicSupervisor {
    /// A supervisor without children.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        let mut supervisor = Supervisor::new(id)
            .strategy(Strategy::OneForOne)
            .stop_together();
        supervisor.policy.dynamic = true;
        Self(supervisor)
    }

    /// How many children there may be, those included that wait for a restart; no limit by default. One more is refused; a
    /// restart never is.
    pub fn max_children(mut self, max: u32) -> Self {
        self.0.policy.max_children = Some(max);
        self
    }

    /// How many restarts within how much time it takes to give up; 3 in 5 s by default, of all children together.
    pub fn max_restarts(self, restarts: u32, period: Duration) -> Self {
        Self(self.0.max_restarts(restarts, period))
    }

    /// Never gives up, however often its children fail; their own limits still hold.
    pub fn no_intensity_limit(self) -> Self {
        Self(self.0.no_intensity_limit())
    }

    /// How long a killed child may take before it is given up on as `unresponsive`; 5 s by default.
    pub fn kill_grace(self, grace: Duration) -> Self {
        Self(self.0.kill_grace(grace))
    }

    /// See [`Supervisor::otp_compat`].
    pub fn otp_compat(self) -> Self {
        Self(self.0.otp_compat())
    }

    /// The seed of the jitter, to repeat a run.
    pub fn seed(self, seed: u64) -> Self {
        Self(self.0.seed(seed))
    }
}

impl From<DynamicSupervisor> for Supervisor {
    fn from(dynamic: DynamicSupervisor) -> Self {
        dynamic.0
    }
}

impl From<DynamicSupervisor> for ChildSpec {
    fn from(dynamic: DynamicSupervisor) -> Self {
        dynamic.0.into()
    }
}
