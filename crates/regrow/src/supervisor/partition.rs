//! One child many times over, and the way from a key to one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ractor::Message;
use regrow_core::{AutoShutdown, Strategy};
use thiserror::Error;
use tokio::sync::Mutex;

use super::{InvalidTree, Supervisor};
use crate::address::Address;
use crate::child::ChildSpec;
use crate::path::ChildPath;

/// A supervisor of several children that are made alike, so that what one alone would be too busy for is divided among
/// them by key. Elixir's `PartitionSupervisor`.
///
/// Their ids are `0`, `1` and so on, whatever ids their specs have. [`System::partitions`](crate::System::partitions) tells which
/// of them is responsible for a key; [`System::resize_partitions`](crate::System::resize_partitions) lets fewer of them run.
///
/// Defaults: `one_for_one`, at most 3 restarts in 5 s for all partitions together. A partition cannot be significant, and
/// there is no auto-shutdown.
///
/// ```
/// use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
/// use regrow::{ChildSpec, PartitionSupervisor, Supervisor, System};
///
/// #[derive(Clone)]
/// struct Counter;
/// impl Actor for Counter {
///     type Msg = RpcReplyPort<u64>;
///     type State = u64;
///     type Arguments = u64;
///     async fn pre_start(&self, _: ActorRef<Self::Msg>, from: u64) -> Result<u64, ActorProcessingErr> {
///         Ok(from)
///     }
///     async fn handle(&self, _: ActorRef<Self::Msg>, reply: Self::Msg, count: &mut u64) -> Result<(), ActorProcessingErr> {
///         *count += 1;
///         Ok(drop(reply.send(*count)))
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counters = PartitionSupervisor::new("counters", 4, |partition| {
///     ChildSpec::actor("counter", Counter, partition as u64 * 1_000)
/// });
/// let system = System::start(Supervisor::new("root").child(counters)).await?;
/// let counters = system.partitions::<RpcReplyPort<u64>>("root/counters")?;
/// assert_eq!(counters.route(&7)?.path().as_str(), "root/counters/3");
/// assert_eq!(counters.route(&7)?.call(|reply| reply).await?, 3_001);
/// assert!(counters.route("alice")?.is_running());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PartitionSupervisor(Supervisor);

impl PartitionSupervisor {
    /// A supervisor of as many children as `partitions` says, at least 1; `make` is told for which partition it makes one, and is
    /// called here, once for each.
    pub fn new(
        id: impl Into<Arc<str>>,
        partitions: usize,
        make: impl Fn(usize) -> ChildSpec,
    ) -> Self {
        let mut supervisor = Supervisor::new(id);
        supervisor.partitions = Some(partitions);
        supervisor.children = (0..partitions)
            .map(|partition| {
                let mut child = make(partition);
                child.id = partition.to_string().into();
                child
            })
            .collect();
        Self(supervisor)
    }

    /// Which partitions a failed one takes along; none by default.
    pub fn strategy(self, strategy: Strategy) -> Self {
        Self(self.0.strategy(strategy))
    }

    /// How many restarts within how much time it takes to give up; 3 in 5 s by default, of all partitions together.
    pub fn max_restarts(self, restarts: u32, period: Duration) -> Self {
        Self(self.0.max_restarts(restarts, period))
    }

    /// Never gives up, however often its partitions fail; their own limits still hold.
    pub fn no_intensity_limit(self) -> Self {
        Self(self.0.no_intensity_limit())
    }

    /// How long a killed partition may take before it is given up on as `unresponsive`; 5 s by default.
    pub fn kill_grace(self, grace: Duration) -> Self {
        Self(self.0.kill_grace(grace))
    }

    /// Stops all partitions at once at shutdown.
    pub fn stop_together(self) -> Self {
        Self(self.0.stop_together())
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

impl From<PartitionSupervisor> for Supervisor {
    fn from(partitioned: PartitionSupervisor) -> Self {
        partitioned.0
    }
}

impl From<PartitionSupervisor> for ChildSpec {
    fn from(partitioned: PartitionSupervisor) -> Self {
        partitioned.0.into()
    }
}

impl Supervisor {
    /// What of a partitioned supervisor could never work.
    pub(super) fn check_partitions(&self, path: &str) -> Result<(), InvalidTree> {
        let Some(partitions) = self.partitions else {
            return Ok(());
        };
        let significant = |child: &ChildSpec| child.plan().significant;
        let reason = if partitions == 0 {
            "it needs at least 1 partition, not 0"
        } else if self.children.len() != partitions {
            "it cannot have other children than its partitions; put them under another supervisor"
        } else if self.policy.auto_shutdown != AutoShutdown::Never {
            "it cannot end with its children; leave auto_shutdown out"
        } else if self.children.iter().any(significant) {
            "none of its partitions can be significant"
        } else {
            return Ok(());
        };
        Err(InvalidTree::Partitions {
            supervisor: path.to_owned(),
            reason,
        })
    }
}

/// How many of a supervisor's partitions are in use. It outlives the supervisor, so that a size that was set stays set.
#[derive(Debug)]
pub(crate) struct Ring {
    /// How many there are.
    pub(crate) partitions: usize,
    size: AtomicUsize,
    /// Held by whoever changes the size.
    pub(crate) resizing: Mutex<()>,
}

impl Ring {
    fn new(partitions: usize) -> Self {
        Self {
            partitions,
            size: AtomicUsize::new(partitions),
            resizing: Mutex::new(()),
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn set_size(&self, size: usize) {
        self.size.store(size, Ordering::Release);
    }
}

/// The rings of one system.
#[derive(Debug, Default)]
pub(crate) struct Rings(RwLock<BTreeMap<ChildPath, Arc<Ring>>>);

impl Rings {
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Ring>> {
        let rings = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rings.get(path).cloned()
    }

    /// The ring at `path`: the one that was there before, if a supervisor is back.
    pub(crate) fn enter(&self, path: &ChildPath, partitions: usize) -> Arc<Ring> {
        let mut rings = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let ring = rings
            .entry(path.clone())
            .or_insert_with(|| Arc::new(Ring::new(partitions)));
        if ring.partitions != partitions {
            // Another supervisor has come in its stead.
            *ring = Arc::new(Ring::new(partitions));
        }
        Arc::clone(ring)
    }

    /// Forgets those at a path and below it.
    pub(crate) fn leave(&self, path: &ChildPath, below: std::ops::Range<ChildPath>) {
        let mut rings = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if rings.is_empty() {
            return;
        }
        rings.remove(path);
        let below: Vec<ChildPath> = rings.range(below).map(|(place, _)| place.clone()).collect();
        for place in below {
            rings.remove(&place);
        }
    }
}

/// The partitions of a [`PartitionSupervisor`], which take messages of type `M`; good over all lives of all of them. Cloning costs
/// two reference counts.
pub struct Partitions<M> {
    path: ChildPath,
    addresses: Arc<[Address<M>]>,
    ring: Arc<Ring>,
}

impl<M> Clone for Partitions<M> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            addresses: Arc::clone(&self.addresses),
            ring: Arc::clone(&self.ring),
        }
    }
}

impl<M> fmt::Debug for Partitions<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partitions")
            .field("path", &self.path)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// No partition is responsible for a key: [`System::resize_partitions`](crate::System::resize_partitions) has left none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("supervisor \"{supervisor}\" has no partition in use; resize it to 1 or more")]
#[non_exhaustive]
pub struct RouteError {
    /// The supervisor.
    pub supervisor: ChildPath,
}

impl<M> Partitions<M> {
    pub(crate) fn new(path: ChildPath, addresses: Arc<[Address<M>]>, ring: Arc<Ring>) -> Self {
        Self {
            path,
            addresses,
            ring,
        }
    }

    /// How many partitions are in use, now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.size()
    }

    /// Whether none is in use, so that no key has a partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<M: Message> Partitions<M> {
    /// The partition that is responsible for a key; nobody is asked. A whole number goes by `|key| mod len`, anything else by a hash:
    /// see [`partition`](regrow_core::partition). Whether that partition runs, its [`Address`] knows. It costs one atomic load and
    /// the hash.
    ///
    /// # Errors
    /// When no partition is in use.
    pub fn route<K: Hash + ?Sized>(&self, key: &K) -> Result<&Address<M>, RouteError> {
        let partition = regrow_core::partition(key, self.ring.size());
        let address = partition.and_then(|partition| self.addresses.get(partition));
        address.ok_or_else(|| RouteError {
            supervisor: self.path.clone(),
        })
    }

    /// Those in use, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Address<M>> {
        self.addresses.iter().take(self.ring.size())
    }
}
