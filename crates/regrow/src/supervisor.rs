//! A supervisor as a value, and what runs it.
//!
//! ```
//! use std::time::Duration;
//! use regrow::{ChildSpec, Strategy, Supervisor};
//! # #[derive(Clone)] struct Memory;
//! # impl ractor::Actor for Memory {
//! #     type Msg = (); type State = (); type Arguments = ();
//! #     async fn pre_start(&self, _: ractor::ActorRef<()>, _: ()) -> Result<(), ractor::ActorProcessingErr> { Ok(()) }
//! # }
//! fn crew() -> Supervisor {
//!     Supervisor::new("crew")
//!         .strategy(Strategy::RestForOne)
//!         .max_restarts(3, Duration::from_secs(5))
//!         .child(ChildSpec::actor("memory", Memory, ()))
//!         .child(Supervisor::new("tools"))
//! }
//! assert_eq!(crew().check(), Ok(()));
//! ```

mod actor;
mod answer;
mod directory;
mod dynamic;
mod lingering;
mod numbers;
mod operate;
mod partition;
mod slot;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef};
use regrow_core::health::HealthPolicy;
use regrow_core::supervision::{ChildPlan, Condition, Order, Policy};
use regrow_core::{
    AutoShutdown, ChildKind, GiveUp, InvalidId, Restart, RestartIntensity, StopCause, Strategy,
    check_id, dependencies,
};
use thiserror::Error;

pub(crate) use actor::{Message, Root, Verdict, reason_of_foreign};
pub(crate) use answer::Answer;
pub(crate) use directory::Seat;
pub use dynamic::DynamicSupervisor;
pub(crate) use operate::Verb;
pub use operate::{ChildCounts, OperateError, Reconfigured, StartReport};
pub use partition::{PartitionSupervisor, Partitions, RouteError};
pub(crate) use partition::{Ring, Rings};
pub(crate) use tree::{Commons, HardEnds, Tree, Vital};

use crate::child::{ChildSpec, StartContext};
use crate::exit::StartFailure;
use crate::path::ChildPath;
use crate::pool::InvalidPool;
use crate::probe::check_probes;
use crate::started::{Control, Started};
use crate::watchdog::Watchdog;
use actor::SupervisorActor;

/// A supervisor with its children, as a value: it can be built by functions, looked at, and started as often as you like.
///
/// Defaults: `one_for_one`, at most 3 restarts in 5 s, children started and stopped one after the other.
#[derive(Clone, Debug)]
#[must_use]
pub struct Supervisor {
    pub(crate) id: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) children: Vec<ChildSpec>,
    /// How many partitions its children are, if that is what they are.
    pub(crate) partitions: Option<usize>,
    /// How the system looks for actors that get nowhere, if that was said.
    pub(crate) watchdog: Option<Watchdog>,
    /// What makes it well.
    pub(crate) health: HealthPolicy,
    /// That its children are the workers of a pool, if they are.
    pub(crate) pool: Option<PoolMark>,
}

/// A supervisor is that of a pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolMark {
    /// What is wrong with the pool.
    wrong: Option<InvalidPool>,
}

/// What is wrong with a tree before anything has been started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidTree {
    /// An id is not one.
    #[error("supervisor \"{supervisor}\": {id:?} cannot be an id: {reason}")]
    Id {
        /// The supervisor.
        supervisor: String,
        /// The id.
        id: String,
        /// What is wrong with it.
        reason: InvalidId,
    },
    /// Two children have one id.
    #[error(
        "supervisor \"{supervisor}\" has two children called {id:?}; give one of them another id"
    )]
    DuplicateId {
        /// The supervisor.
        supervisor: String,
        /// The id.
        id: String,
    },
    /// A child depends on nobody.
    #[error("child \"{child}\" depends on {on:?}, which is not among its siblings")]
    UnknownDependency {
        /// The child.
        child: String,
        /// The missing one.
        on: String,
    },
    /// A child is significant where that can have no effect.
    #[error("child \"{child}\" is significant, but {reason}")]
    Significant {
        /// The child.
        child: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// A limit of restarts without a time in which they count never holds.
    #[error(
        "\"{who}\" is limited to so many restarts in no time at all, which limits nothing; give the limit a period"
    )]
    Period {
        /// Whose limit it is: a supervisor's, or a child's own.
        who: String,
    },
    /// A supervisor of dynamic children has settings that make no sense with them.
    #[error("supervisor \"{supervisor}\" takes dynamic children, so {reason}")]
    Dynamic {
        /// The supervisor.
        supervisor: String,
        /// What makes no sense.
        reason: &'static str,
    },
    /// A partitioned supervisor is asked for what it cannot be.
    #[error("supervisor \"{supervisor}\" is partitioned: {reason}")]
    Partitions {
        /// The supervisor.
        supervisor: String,
        /// What cannot be.
        reason: &'static str,
    },
    /// A policy of health can never be met, or always is.
    #[error("supervisor \"{supervisor}\": health policy: {reason}")]
    Health {
        /// The supervisor.
        supervisor: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pool could never work.
    #[error(transparent)]
    Pool(#[from] InvalidPool),
    /// A supervisor below the root has a watchdog: there is one for the whole system.
    #[error(
        "supervisor \"{supervisor}\" has a watchdog, and there is one for the whole system; give it to the root"
    )]
    Watchdog {
        /// The supervisor.
        supervisor: String,
    },
    /// A probe of a child cannot work.
    #[error("child \"{child}\": {reason}")]
    Probe {
        /// The child.
        child: String,
        /// Which probe, and what is wrong with it.
        reason: String,
    },
    /// A child waits for what cannot come.
    #[error("child \"{child}\" waits for {on:?} to be {until}, but {reason}")]
    Wait {
        /// The child.
        child: String,
        /// The one it waits for.
        on: String,
        /// Until when.
        until: Condition,
        /// Why that cannot come.
        reason: &'static str,
    },
    /// Children depend on each other in a circle.
    #[error("supervisor \"{supervisor}\": no child of a cycle can ever start: {}", cycle.join(" -> "))]
    Cycle {
        /// The supervisor.
        supervisor: String,
        /// The ids, from one back to it.
        cycle: Vec<String>,
    },
}

impl Supervisor {
    /// A supervisor without children.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            policy: Policy::default(),
            children: Vec::new(),
            partitions: None,
            watchdog: None,
            health: HealthPolicy::default(),
            pool: None,
        }
    }

    /// A supervisor of a pool's workers, which its manager adds while it runs.
    pub(crate) fn of_pool(id: Arc<str>, manager: ChildSpec, wrong: Option<InvalidPool>) -> Self {
        let mut supervisor = Self::new(id).no_intensity_limit().stop_together();
        supervisor.policy.dynamic = true;
        supervisor.pool = Some(PoolMark { wrong });
        supervisor.child(manager)
    }

    /// Adds a child after those before it: that is the start order.
    pub fn child(mut self, child: impl Into<ChildSpec>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Which siblings a failed child takes along; none by default.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.policy.strategy = strategy;
        self
    }

    /// How many restarts within how much time it takes to give up; 3 in 5 s by default.
    pub fn max_restarts(mut self, restarts: u32, period: Duration) -> Self {
        self.policy.intensity = Some(RestartIntensity::new(restarts, period));
        self
    }

    /// Never gives up, however often its children fail; their own limits still hold.
    pub fn no_intensity_limit(mut self) -> Self {
        self.policy.intensity = None;
        self
    }

    /// Whose turn it is at start and stop; one after the other by default.
    pub fn order(mut self, order: Order) -> Self {
        self.policy.order = order;
        self
    }

    /// Stops children that do not depend on each other all at once.
    pub fn stop_together(mut self) -> Self {
        self.policy.stop_together = true;
        self
    }

    /// How long a killed child may take before it is given up on as `unresponsive`; 5 s by default.
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.policy.kill_grace = grace;
        self
    }

    /// Ends the supervisor when its [significant](ChildSpec::significant) children have ended and are not started again; never
    /// by default. It ends with `shutdown`, so it is itself not started again unless it is permanent.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.policy.auto_shutdown = auto_shutdown;
        self
    }

    /// Does exactly what OTP's supervisor does, where regrow's default is another: at most 1 restart in 5 s; no backoff and no
    /// start timeout for children that do not set their own; a group restart also starts siblings that an operator had stopped;
    /// giving up ends it with `shutdown`; a child that was added and does not start is forgotten. Nested supervisors
    /// choose for themselves. `docs/semantics.md` has the whole table.
    pub fn otp_compat(mut self) -> Self {
        self.policy.otp_compat = true;
        self.policy.intensity = Some(RestartIntensity::new(1, Duration::from_secs(5)));
        self
    }

    /// How many of its children have to work for it to be well; all by default, or it is `degraded`. [`System::health`](crate::System::health)
    /// tells.
    pub fn health_policy(mut self, policy: HealthPolicy) -> Self {
        self.health = policy;
        self
    }

    /// How the system looks for actors that get nowhere; [`Watchdog::default`] unless told otherwise. Of the root only.
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// The seed of the jitter, to repeat a run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.policy.seed = seed;
        self
    }

    /// Looks for what cannot work: ids that are none or doubled, dependencies on nobody, in a circle, or on what cannot come; in nested
    /// supervisors too.
    ///
    /// # Errors
    /// The first that is found.
    pub fn check(&self) -> Result<(), InvalidTree> {
        self.check_at(&self.id)
    }

    /// What of one child could never work.
    pub(crate) fn check_child(&self, path: &str, child: &ChildSpec) -> Result<(), InvalidTree> {
        check_significant(self.policy.auto_shutdown, path, child)?;
        let path = format!("{path}/{}", child.id);
        check_limit(child.traits.plan.limit, || path.clone())?;
        if let Err(reason) = check_probes(&child.traits.probes, child.traits.kind) {
            return Err(InvalidTree::Probe {
                child: path,
                reason,
            });
        }
        match &child.nested {
            Some(nested) if nested.watchdog.is_some() => {
                Err(InvalidTree::Watchdog { supervisor: path })
            }
            Some(nested) => nested.check_at(&path),
            None => Ok(()),
        }
    }

    pub(crate) fn check_at(&self, path: &str) -> Result<(), InvalidTree> {
        let supervisor = || path.to_owned();
        let invalid = |id: &str, reason| InvalidTree::Id {
            supervisor: supervisor(),
            id: id.to_owned(),
            reason,
        };
        check_id(&self.id).map_err(|reason| invalid(&self.id, reason))?;
        check_limit(self.policy.intensity, || path.to_owned())?;
        if let Err(reason) = self.health.check() {
            return Err(InvalidTree::Health {
                supervisor: supervisor(),
                reason,
            });
        }
        if let Some(wrong) = self.pool.as_ref().and_then(|pool| pool.wrong.as_ref()) {
            let pool = path.to_owned();
            let reason = wrong.reason.clone();
            return Err(InvalidPool { pool, reason }.into());
        }
        if let Some(reason) = self.cannot_be_dynamic() {
            return Err(InvalidTree::Dynamic {
                supervisor: supervisor(),
                reason,
            });
        }
        self.check_partitions(path)?;
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, child) in self.children.iter().enumerate() {
            check_id(&child.id).map_err(|reason| invalid(&child.id, reason))?;
            if places.insert(&child.id, place).is_some() {
                return Err(InvalidTree::DuplicateId {
                    supervisor: supervisor(),
                    id: child.id.to_string(),
                });
            }
            self.check_child(path, child)?;
        }
        let edges = |child: &ChildSpec| -> Result<Vec<usize>, InvalidTree> {
            let place = |on: &Arc<str>| {
                let unknown = || InvalidTree::UnknownDependency {
                    child: format!("{path}/{}", child.id),
                    on: on.to_string(),
                };
                places.get(&**on).copied().ok_or_else(unknown)
            };
            let ids = child.traits.depends_on.ids();
            ids.iter().map(place).collect()
        };
        let graph = self
            .children
            .iter()
            .map(edges)
            .collect::<Result<Vec<_>, _>>()?;
        self.check_conditions(path, &places)?;
        match dependencies::find_cycle(&graph) {
            Some(cycle) => {
                let ids = cycle
                    .iter()
                    .map(|place| self.children[*place].id.to_string());
                Err(InvalidTree::Cycle {
                    supervisor: supervisor(),
                    cycle: ids.collect(),
                })
            }
            None => Ok(()),
        }
    }

    /// Whether what children wait for of each other can come. Those that they name are there.
    fn check_conditions(
        &self,
        path: &str,
        places: &HashMap<&str, usize>,
    ) -> Result<(), InvalidTree> {
        for child in &self.children {
            for (on, until) in &child.traits.depends_on.0 {
                let awaited = places.get(&**on).map(|place| self.children[*place].plan());
                let reason = awaited.and_then(|plan| self.cannot_come(*until, plan));
                if let Some(reason) = reason {
                    return Err(InvalidTree::Wait {
                        child: format!("{path}/{}", child.id),
                        on: on.to_string(),
                        until: *until,
                        reason,
                    });
                }
            }
        }
        Ok(())
    }

    fn cannot_come(&self, until: Condition, awaited: &ChildPlan) -> Option<&'static str> {
        let ends = match until {
            Condition::Started => return None,
            Condition::Ready => false,
            Condition::Completed | Condition::CompletedSuccessfully => true,
        };
        match self.policy.order {
            Order::Sequence => Some("its supervisor goes in sequence; set Order::Dependencies"),
            Order::Dependencies
                if ends && awaited.restart == Restart::Permanent && !awaited.once =>
            {
                Some("that is permanent, so it is always started again; let it run once")
            }
            Order::Dependencies => None,
        }
    }

    /// What a supervisor of dynamic children cannot have.
    fn cannot_be_dynamic(&self) -> Option<&'static str> {
        let one_for_one = match self.policy.strategy {
            Strategy::OneForOne => true,
            Strategy::OneForAll | Strategy::RestForOne => false,
        };
        let ends = match self.policy.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant | AutoShutdown::AllSignificant => true,
        };
        if !self.policy.dynamic {
            None
        } else if !self.children.is_empty() && self.pool.is_none() {
            Some("it cannot have children from the start; add them when it runs")
        } else if !one_for_one {
            Some("one that fails can take nobody along; leave the strategy at one_for_one")
        } else {
            ends.then_some("it cannot end with one of them; leave auto_shutdown at never")
        }
    }

    /// Starts one life of this supervisor under another.
    pub(crate) async fn launch(
        self: Arc<Self>,
        context: StartContext,
    ) -> Result<Started, StartFailure> {
        let path = context.path().clone();
        let parent = context.supervisor();
        let tree = Arc::clone(&context.tree);
        let spec = tree.rules(&path).unwrap_or(self);
        let arguments = actor::Arguments {
            spec,
            path,
            tree,
            root: None,
            context: Some(context),
        };
        let (actor, _) =
            SupervisorActor::spawn_linked(None, SupervisorActor, arguments, parent).await?;
        let control = Arc::new(SupervisorControl(actor.clone()));
        Ok(Started::new(actor.get_cell()).control(control))
    }

    /// Starts one life of this supervisor as the root of a system.
    pub(crate) async fn launch_root(
        self,
        tree: Arc<Tree>,
        root: Root,
    ) -> Result<(ActorRef<Message>, ractor::concurrency::JoinHandle<()>), ractor::SpawnErr> {
        let path = ChildPath::root(&self.id);
        let arguments = actor::Arguments {
            spec: Arc::new(self),
            path,
            tree,
            root: Some(root),
            context: None,
        };
        SupervisorActor::spawn(None, SupervisorActor, arguments).await
    }
}

/// A limit needs a time in which it counts.
fn check_limit(
    limit: Option<RestartIntensity>,
    who: impl FnOnce() -> String,
) -> Result<(), InvalidTree> {
    match limit {
        Some(limit) if limit.period().is_zero() => Err(InvalidTree::Period { who: who() }),
        Some(_) | None => Ok(()),
    }
}

/// A significant child needs a supervisor that ends with it, and an end that is one.
fn check_significant(
    auto_shutdown: AutoShutdown,
    path: &str,
    child: &ChildSpec,
) -> Result<(), InvalidTree> {
    let refused = |reason| {
        Err(InvalidTree::Significant {
            child: format!("{path}/{}", child.id),
            reason,
        })
    };
    match (child.traits.plan.significant, auto_shutdown) {
        (false, _) => Ok(()),
        (true, AutoShutdown::Never) => {
            refused("its supervisor never ends by itself; set auto_shutdown")
        }
        (true, AutoShutdown::AnySignificant | AutoShutdown::AllSignificant) => {
            match child.traits.plan.restart {
                Restart::Permanent => refused(
                    "it is permanent, so it is always started again; make it transient or temporary",
                ),
                Restart::Transient | Restart::Temporary => Ok(()),
            }
        }
    }
}

impl From<Supervisor> for ChildSpec {
    fn from(supervisor: Supervisor) -> Self {
        let kind = if supervisor.pool.is_some() {
            ChildKind::Pool
        } else {
            ChildKind::Supervisor
        };
        let nested = Self::nested(supervisor).give_up(GiveUp::Escalate);
        nested.kind(kind)
    }
}

/// A supervisor is asked through its mailbox, so that it stops its children in order; killing it would kill them unasked.
struct SupervisorControl(ActorRef<Message>);

impl Control for SupervisorControl {
    fn stop(&self, _: StopCause) {
        drop(self.0.cast(Message::ShutDown));
    }

    fn kill(&self) {
        drop(self.0.cast(Message::Hurry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(id: &str) -> ChildSpec {
        Supervisor::new(id).into()
    }

    #[test]
    fn a_tree_that_cannot_work_is_refused_with_its_place() {
        let text = |tree: Supervisor| tree.check().unwrap_err().to_string();
        assert_eq!(
            text(Supervisor::new("root").child(child("a")).child(child("a"))),
            "supervisor \"root\" has two children called \"a\"; give one of them another id"
        );
        assert_eq!(
            text(Supervisor::new("root").child(Supervisor::new("a").child(child("B")))),
            "supervisor \"root/a\": \"B\" cannot be an id: an id begins with a small letter or a digit, not with 'B'"
        );
        assert_eq!(
            text(Supervisor::new("root").child(child("a").depends_on(["b"]))),
            "child \"root/a\" depends on \"b\", which is not among its siblings"
        );
        assert_eq!(
            text(
                Supervisor::new("root")
                    .child(child("a").depends_on(["b"]))
                    .child(child("b").depends_on(["a"]))
            ),
            "supervisor \"root\": no child of a cycle can ever start: a -> b -> a"
        );
    }
}
