//! A system: one root supervisor with its addresses and telemetry. Several may live in one process and share nothing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ractor::ActorRef;
use thiserror::Error;
use tokio::sync::watch;

use crate::address::{Address, LookupError};
use crate::exit::ExitReason;
use crate::path::ChildPath;
#[cfg(feature = "prometheus")]
use crate::prometheus::Exporter;
use crate::registry::{self, Registry};
use crate::supervisor::{HardEnds, InvalidTree, Message, Root, Supervisor, Tree};
use crate::telemetry::{ActorReport, AttachError, Census, Telemetry, Workforce};
use crate::time;
use crate::watchdog;

mod health;
mod operations;
mod partitions;

pub use health::HealthReport;

/// Why a system did not start.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The tree cannot work.
    #[error(transparent)]
    Invalid(#[from] InvalidTree),
    /// The event stream that was given has no room for the system's own handlers: it belongs to another system, say.
    #[error("failed to launch: {0}")]
    Telemetry(#[from] AttachError),
    /// A child did not come up; those before it have been stopped again.
    #[error("child \"{path}\" did not start: {reason}")]
    Child {
        /// The child.
        path: ChildPath,
        /// Why.
        #[source]
        reason: ExitReason,
    },
    /// The system was shut down, or gave up, before all its children had started.
    #[error("system \"{path}\" ended before it was up: {reason}")]
    Ended {
        /// The root.
        path: ChildPath,
        /// Why.
        #[source]
        reason: ExitReason,
    },
}

impl StartError {
    pub(crate) fn from_close(root: &ChildPath, reason: &ExitReason) -> Self {
        if let ExitReason::StartFailed(error) = reason
            && let Some(ChildDidNotStart { path, reason }) = error.downcast_ref()
        {
            return Self::Child {
                path: path.clone(),
                reason: reason.clone(),
            };
        }
        Self::Ended {
            path: root.clone(),
            reason: reason.clone(),
        }
    }
}

/// The child on which the start of a supervisor foundered.
#[derive(Clone, Debug, Error)]
#[error("child \"{path}\" did not start: {reason}")]
pub(crate) struct ChildDidNotStart {
    path: ChildPath,
    #[source]
    reason: ExitReason,
}

impl ChildDidNotStart {
    /// Where the child is itself a supervisor, the child below on which that one foundered.
    pub(crate) fn deepest(path: ChildPath, reason: ExitReason) -> Self {
        if let ExitReason::StartFailed(error) = &reason
            && let Some(deeper) = error.downcast_ref::<Self>()
        {
            return deeper.clone();
        }
        Self { path, reason }
    }
}

/// What a shutdown came to.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How the root ended; `shutdown` if nothing else came first.
    pub reason: ExitReason,
    /// How long it took.
    pub took: Duration,
    /// Children that were asked, did not go in time, and were killed; at most 1,000.
    pub killed: Vec<ChildPath>,
    /// Children that could not be ended and may still run; at most 1,000.
    pub unresponsive: Vec<ChildPath>,
    /// How many more of either there were.
    pub unnamed: usize,
    /// The child of this very system whose code has asked. The shutdown has begun then and was not waited for, since it waits for
    /// that child; the rest of the report says nothing.
    pub only_begun_by: Option<ChildPath>,
}

/// Whoever waits for the boot waits in vain.
fn tell_the_end(
    path: ChildPath,
    reason: &ExitReason,
    booted: &watch::Sender<Option<Result<(), StartError>>>,
) {
    let reason = reason.clone();
    let early = StartError::Ended { path, reason };
    booted.send_if_modified(|booted| booted.is_none() && booted.replace(Err(early)).is_none());
}

/// A running tree.
///
/// Dropping it without [`System::shut_down`] kills the tree: nobody is asked, no order is kept.
pub struct System {
    root: ActorRef<Message>,
    path: ChildPath,
    tree: Arc<Tree>,
    booted: watch::Receiver<Option<Result<(), StartError>>>,
    ended: watch::Receiver<Option<ExitReason>>,
    closing: AtomicBool,
    #[cfg(feature = "prometheus")]
    exporter: Arc<Exporter>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("root", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.ended.borrow().is_none() {
            self.root.kill();
        }
    }
}

impl System {
    /// Starts a tree and waits until every child has started.
    ///
    /// # Errors
    /// When the tree cannot work, or a child does not start: then those before it have been stopped again, last first.
    pub async fn start(root: impl Into<Supervisor>) -> Result<Self, StartError> {
        let system = Self::launch(root).await?;
        system.booted().await?;
        // A failed start is followed by the end of the root; nothing is left to wait for.
        Ok(system)
    }

    /// Starts a tree and returns at once; [`System::booted`] waits for the rest.
    ///
    /// # Errors
    /// When the tree cannot work.
    pub async fn launch(root: impl Into<Supervisor>) -> Result<Self, StartError> {
        Self::launch_with(root, Telemetry::new()).await
    }

    /// Like [`System::launch`], with an event stream of your own: what was attached to it before hears of everything from the
    /// first start on. A stream serves one system; "log" and "metrics" are the names of the system's own handlers.
    ///
    /// # Errors
    /// When the tree cannot work, or the names of the system's handlers are taken.
    pub async fn launch_with(
        root: impl Into<Supervisor>,
        telemetry: Telemetry,
    ) -> Result<Self, StartError> {
        let root = root.into();
        root.check()?;
        crate::panics::install_hook();
        let census = Arc::new(Census::new(Arc::clone(telemetry.ports())));
        let workforce = Arc::new(Workforce::default());
        #[cfg(feature = "prometheus")]
        let exporter = Arc::new(Exporter::new(Arc::clone(&census), Arc::clone(&workforce)));
        telemetry.attach("log", crate::telemetry::log)?;
        #[cfg(feature = "prometheus")]
        {
            let feed = exporter.handler();
            telemetry.attach("metrics", move |event| feed.handle(event))?;
        }
        let tree = Arc::new(Tree::new(telemetry, census, workforce));
        let path = ChildPath::root(&root.id);
        let (booted_sender, booted) = watch::channel(None);
        let reason = Arc::new(OnceLock::new());
        let told = Root {
            booted: booted_sender.clone(),
            ended: Arc::clone(&reason),
        };
        let did_not_start = |error| StartError::Ended {
            path: path.clone(),
            reason: ExitReason::StartFailed(Arc::new(error)),
        };
        let watched = root.watchdog.unwrap_or_default();
        tree.vital_mut()
            .note(&path, crate::child::Role::default(), root.health);
        let registry = registry::begin(&tree, &path).await.map_err(did_not_start)?;
        let launched = root.launch_root(Arc::clone(&tree), told).await;
        let (actor, join) = launched.map_err(did_not_start)?;
        let (ended_sender, ended) = watch::channel(None);
        let root_path = path.clone();
        let census = Arc::clone(&tree.census);
        tokio::spawn(async move {
            // However the root ends, whoever waits is told.
            drop(join.await);
            census.pools.end_below(&root_path);
            let reason = reason.get().cloned().unwrap_or(ExitReason::Killed);
            tell_the_end(root_path, &reason, &booted_sender);
            ended_sender.send_replace(Some(reason));
        });
        tokio::spawn(watchdog::keep(
            Arc::downgrade(&tree),
            watched,
            ended.clone(),
        ));
        tokio::spawn(registry::keep(
            Arc::downgrade(&tree),
            Arc::clone(&tree.registry),
            path.clone(),
            registry,
            ended.clone(),
        ));
        let system = Self {
            root: actor,
            path,
            tree,
            booted,
            ended,
            closing: AtomicBool::new(false),
            #[cfg(feature = "prometheus")]
            exporter,
        };
        system.follow_health();
        Ok(system)
    }

    /// Waits until every child has started or was given up on.
    ///
    /// # Errors
    /// When a child did not start and the boot was rolled back, or the system ended before it was up.
    pub async fn booted(&self) -> Result<(), StartError> {
        let mut booted = self.booted.clone();
        let result = match booted.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        };
        if result.is_err() {
            self.ended().await;
        }
        result
    }

    /// Whether every child has started or was given up on, now.
    #[must_use]
    pub fn is_booted(&self) -> bool {
        matches!(*self.booted.borrow(), Some(Ok(())))
    }

    /// The path of the root.
    #[must_use]
    pub fn path(&self) -> &ChildPath {
        &self.path
    }

    /// The event stream.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.tree.telemetry
    }

    /// The `n` busiest actors: most messages waiting first, then the longest handlers. Looks at every actor, so ask seldom; how
    /// long a handler runs is known from the second look on.
    #[must_use]
    pub fn busiest(&self, n: usize) -> Vec<ActorReport> {
        self.tree.workforce.busiest(n)
    }

    /// The metrics, for an endpoint of your own; [`crate::prometheus::serve`] brings one.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn exporter(&self) -> &Arc<Exporter> {
        &self.exporter
    }

    pub(crate) fn census(&self) -> &Census {
        &self.tree.census
    }

    /// What computed metrics are computed from.
    #[cfg(any(feature = "otlp", feature = "statsd"))]
    pub(crate) fn sources(&self) -> (Arc<Census>, Arc<Workforce>) {
        (
            Arc::clone(&self.tree.census),
            Arc::clone(&self.tree.workforce),
        )
    }

    /// Says when the root has ended.
    #[cfg(feature = "statsd")]
    pub(crate) fn end(&self) -> watch::Receiver<Option<ExitReason>> {
        self.ended.clone()
    }

    /// The address of a child that takes messages of type `M`; good over all its lives.
    ///
    /// # Errors
    /// When no child has this path, or it takes other messages.
    pub fn address<M: ractor::Message>(&self, path: &str) -> Result<Address<M>, LookupError> {
        self.tree
            .place(path)
            .ok_or_else(|| LookupError::NotFound {
                path: path.to_owned(),
            })?
            .address()
    }

    /// Who is there, and how to find them by what they are.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::new(&self.tree)
    }

    /// How the root has ended, if it has.
    #[must_use]
    pub fn end_reason(&self) -> Option<ExitReason> {
        self.ended.borrow().clone()
    }

    /// Waits for the end of the root.
    pub async fn ended(&self) -> ExitReason {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(ExitReason::Killed),
            Err(_) => ExitReason::Killed,
        }
    }

    /// Stops all children in order, each by its own rule, and waits until nobody is left.
    ///
    /// When a child's own code asks it begins the shutdown and waits for nobody, because it would wait for itself:
    /// [`ShutdownReport::only_begun_by`].
    pub async fn shut_down(&self) -> ShutdownReport {
        let began = time::now();
        self.begin_shut_down();
        if let Some(child) = self.asker(|child| Some(child.clone())) {
            return ShutdownReport {
                reason: ExitReason::Shutdown,
                took: Duration::ZERO,
                killed: Vec::new(),
                unresponsive: Vec::new(),
                unnamed: 0,
                only_begun_by: Some(child),
            };
        }
        self.report(began).await
    }

    /// Asks for a shutdown without waiting for it.
    pub fn begin_shut_down(&self) {
        if !self.closing.swap(true, Ordering::Relaxed) {
            // What had to be killed before is not part of the report.
            *self
                .tree
                .hard_ends
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = HardEnds::default();
        }
        // A root that is gone needs no asking.
        drop(self.root.cast(Message::ShutDown));
    }

    /// Ends all children by force, all at once: somebody has asked twice. Returns without waiting.
    pub fn hurry(&self) {
        drop(self.root.cast(Message::Hurry));
    }

    async fn report(&self, began: Instant) -> ShutdownReport {
        let reason = self.ended().await;
        let hard = self
            .tree
            .hard_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        ShutdownReport {
            reason,
            took: time::now().saturating_duration_since(began),
            killed: hard.killed,
            unresponsive: hard.unresponsive,
            unnamed: hard.unnamed,
            only_begun_by: None,
        }
    }

    /// Runs until SIGINT or SIGTERM (Ctrl-C elsewhere), or until the root ends; then shuts down in order. A second signal hurries.
    pub async fn run_until_signal(&self) -> ShutdownReport {
        let began = tokio::select! {
            _ = self.ended() => return self.report(time::now()).await,
            () = signal() => time::now(),
        };
        self.begin_shut_down();
        let hurry = async {
            signal().await;
            self.hurry();
            std::future::pending::<()>().await;
        };
        within(self.report(began), hurry).await
    }
}

/// Drives a side task until the main one is done.
async fn within<T>(main: impl Future<Output = T>, side: impl Future<Output = ()>) -> T {
    tokio::select! {
        result = main => result,
        () = side => unreachable!("the side task never ends"),
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(target: "regrow", %error, "failed to listen for signals; only the end of the root is noticed");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
