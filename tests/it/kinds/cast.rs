//! One child of each kind, which does as it is told, and the table of what each kind can do.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorCell};
use regrow::pool::Pool;
use regrow::testing::{Bare, Puppet, PuppetStart, Strings, TestSystem};
use regrow::{
    AutoShutdown, BoxError, ChildInfo, ChildKind, ChildSpec, DynamicSupervisor, ExitKind, Ignore,
    PartitionSupervisor, Restart, StartContext, StartFailure, Supervisor, TaskContext,
    ThreadContext,
};
use regrow_process::{Process, ProcessHandle, StopPlan};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

pub(super) const SHORT: Duration = Duration::from_millis(50);

/// What a child can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Actor,
    Bare,
    Task,
    Thread,
    Process,
    Supervisor,
    Dynamic,
    Partition,
    Pool,
}

pub(super) const KINDS: [Kind; 9] = [
    Kind::Actor,
    Kind::Bare,
    Kind::Task,
    Kind::Thread,
    Kind::Process,
    Kind::Supervisor,
    Kind::Dynamic,
    Kind::Partition,
    Kind::Pool,
];

impl Kind {
    /// Its word in events and labels.
    pub(super) fn word(self) -> ChildKind {
        match self {
            Self::Actor | Self::Bare => ChildKind::Actor,
            Self::Task => ChildKind::Task,
            Self::Thread => ChildKind::Thread,
            Self::Process => ChildKind::Process,
            Self::Supervisor | Self::Dynamic | Self::Partition => ChildKind::Supervisor,
            Self::Pool => ChildKind::Pool,
        }
    }

    pub(super) fn is_supervisor(self) -> bool {
        matches!(self.word(), ChildKind::Supervisor | ChildKind::Pool)
    }

    /// The worker of a supervisor, by which it comes to harm.
    async fn worker(self, system: &TestSystem) -> String {
        let path = match self {
            Self::Partition => "root/a/0",
            Self::Supervisor | Self::Dynamic => "root/a/w",
            Self::Actor | Self::Bare | Self::Task | Self::Thread | Self::Process => "root/a",
            Self::Pool => return worker_of_pool(system).await,
        };
        path.to_owned()
    }

    /// How an error of its own is told. A supervisor's is that its children fail too often.
    pub(super) fn failed(self) -> ExitKind {
        match self {
            Self::Process => ExitKind::Exit(7),
            Self::Actor | Self::Bare | Self::Task | Self::Thread => ExitKind::Error,
            Self::Supervisor | Self::Dynamic | Self::Partition | Self::Pool => ExitKind::Intensity,
        }
    }

    /// Whether it is a matter of the system, so that its time cannot stand still.
    fn is_real(self) -> bool {
        matches!(self, Self::Thread | Self::Process)
    }
}

/// Whether a kind of child can do something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    /// It can, and does.
    Holds,
    /// It cannot, for this reason.
    CannotBe(&'static str),
}

/// Checks a row of the table: each kind alone in a runtime of its own, threads and processes on real time, all others on
/// paused time.
pub(super) fn row(cell: impl Fn(Kind) -> Cell, check: impl AsyncFn(Kind)) {
    let mut broken = Vec::new();
    for kind in KINDS {
        match cell(kind) {
            Cell::CannotBe(why) => assert!(!why.is_empty(), "{kind:?}: say why"),
            Cell::Holds => {
                let held = catch_unwind(AssertUnwindSafe(|| runtime(kind).block_on(check(kind))));
                if held.is_err() {
                    broken.push(kind);
                }
            }
        }
    }
    assert_eq!(broken, [], "each has said above what is wrong");
}

fn runtime(kind: Kind) -> tokio::runtime::Runtime {
    let mut builder = if kind.is_real() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all();
    if kind.is_real() {
        builder.worker_threads(2);
    } else {
        builder.start_paused(true);
    }
    builder.build().unwrap()
}

/// What a child is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Return,
    Fail,
    Panic,
    /// Listen no more.
    Hang,
}

/// What the first start does; later ones succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Up,
    Fail,
    Panic,
    Ignore,
}

impl First {
    fn puppet(self, id: &str) -> ChildSpec {
        let first = match self {
            Self::Up => PuppetStart::Up,
            Self::Fail => PuppetStart::Refuse,
            Self::Panic => PuppetStart::Panic,
            Self::Ignore => PuppetStart::Ignore,
        };
        Puppet::scripted(id, [first, PuppetStart::Up])
    }

    /// What the first life of what is no actor does.
    fn play(self, generation: u32) -> Result<(), BoxError> {
        match self {
            Self::Fail if generation == 1 => Err("it refuses to start".into()),
            Self::Panic if generation == 1 => panic!("it panics at its start"),
            Self::Ignore if generation == 1 => Err(Ignore.into()),
            Self::Up | Self::Fail | Self::Panic | Self::Ignore => Ok(()),
        }
    }
}

/// Holds threads that do not listen until the test ends.
type Gate = Arc<(Mutex<bool>, Condvar)>;

/// A child of a kind, `a`, and how it is told.
pub(super) struct Cast {
    kind: Kind,
    orders: mpsc::Sender<Order>,
    gate: Gate,
    process: ProcessHandle,
}

impl Drop for Cast {
    fn drop(&mut self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

type Orders = Arc<AsyncMutex<mpsc::Receiver<Order>>>;

impl Cast {
    /// A child of this kind. A supervisor of fixed children has one that is significant, so it can come to an end.
    pub(super) fn new(kind: Kind, first: First) -> (Self, ChildSpec) {
        let (sender, orders) = mpsc::channel(8);
        let orders: Orders = Arc::new(AsyncMutex::new(orders));
        let gate = Gate::default();
        let process = process(first);
        let handle = process.handle();
        let spec = match kind {
            Kind::Actor => first.puppet("a"),
            Kind::Bare => ChildSpec::start_with("a", move |context: StartContext| async move {
                first
                    .play(context.generation())
                    .map_err(StartFailure::retry)?;
                let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
                Ok::<_, StartFailure>(actor)
            }),
            Kind::Task => task(first, orders),
            Kind::Thread => thread(first, orders, Arc::clone(&gate)),
            Kind::Process => process.into(),
            Kind::Supervisor => {
                let worker = first.puppet("w").restart(Restart::Transient).significant();
                Supervisor::new("a")
                    .max_restarts(0, SHORT)
                    .auto_shutdown(AutoShutdown::AnySignificant)
                    .child(worker.shutdown(SHORT))
                    .into()
            }
            Kind::Dynamic => DynamicSupervisor::new("a").max_restarts(0, SHORT).into(),
            Kind::Partition => {
                PartitionSupervisor::new("a", 1, |_| first.puppet("unused").shutdown(SHORT))
                    .max_restarts(0, SHORT)
                    .into()
            }
            Kind::Pool => {
                let pool = Pool::of_children("a", move |_| first.puppet("1").shutdown(SHORT));
                // Left alone it never gives up.
                let pool = Supervisor::from(pool.size(1..=1));
                pool.max_restarts(0, SHORT).into()
            }
        };
        let cast = Self {
            kind,
            orders: sender,
            gate,
            process: handle,
        };
        // Only what announces itself can fail its start without being an actor.
        let announced = matches!(kind, Kind::Task | Kind::Thread) && first != First::Up;
        (cast, if announced { spec.announced() } else { spec })
    }

    /// Tells it, or the worker of a supervisor.
    pub(super) async fn tell(&self, system: &TestSystem, order: Order) {
        if self.kind == Kind::Dynamic {
            let worker = Puppet::spec("w").shutdown(SHORT);
            drop(system.start_child("root/a", worker).await.unwrap());
        }
        match self.kind {
            Kind::Task | Kind::Thread => self.orders.send(order).await.unwrap(),
            Kind::Process => {
                let order = format!("{order:?}");
                self.process.stdin().write_line(order).await.unwrap();
            }
            Kind::Actor
            | Kind::Bare
            | Kind::Supervisor
            | Kind::Dynamic
            | Kind::Partition
            | Kind::Pool => {
                let worker = self.kind.worker(system).await;
                pull(&system.puppet(&worker), order);
            }
        }
    }
}

impl Cast {
    /// Whether it has not yet taken all that it was told to hang.
    pub(super) fn has_orders(&self) -> bool {
        match self.kind {
            Kind::Thread => self.orders.capacity() < self.orders.max_capacity(),
            Kind::Process => self.process.output().tail(1).is_empty(),
            Kind::Actor
            | Kind::Bare
            | Kind::Task
            | Kind::Supervisor
            | Kind::Dynamic
            | Kind::Partition
            | Kind::Pool => false,
        }
    }
}

/// The one worker of a pool; each life of that gives it another number.
async fn worker_of_pool(system: &TestSystem) -> String {
    let children = system.which_children("root/a").await.unwrap();
    let is_worker = |info: &&ChildInfo| info.id.parse::<u32>().is_ok();
    let worker = children.iter().find(is_worker).unwrap();
    format!("root/a/{}", worker.id)
}

fn pull(puppet: &Strings, order: Order) {
    match order {
        Order::Return => puppet.exit(),
        Order::Fail => puppet.fail("as told"),
        Order::Panic => puppet.crash("as told"),
        Order::Hang => puppet.hang(),
    }
}

fn task(first: First, orders: Orders) -> ChildSpec {
    ChildSpec::task("a", move |context: TaskContext| {
        let orders = Arc::clone(&orders);
        async move {
            first.play(context.generation())?;
            context.announce();
            let order = async { orders.lock().await.recv().await };
            tokio::select! {
                _ = context.stopped() => Ok::<(), BoxError>(()),
                order = order => match order {
                    Some(Order::Return) | None => Ok(()),
                    Some(Order::Fail) => Err("as told".into()),
                    Some(Order::Panic) => panic!("as told"),
                    Some(Order::Hang) => std::future::pending().await,
                },
            }
        }
    })
}

/// A shell that reads what it is told.
fn process(first: First) -> Process {
    let begin = match first {
        First::Up => "",
        First::Fail => "[ $REGROW_GENERATION = 1 ] && exit 7;",
        First::Panic | First::Ignore => "exit 1;",
    };
    let obey = "read order; case $order in Fail) exit 7;; Hang) trap '' TERM; echo deaf; while :; do sleep 1000; done; esac";
    let plan = StopPlan::default().stage(regrow_process::Stage::Terminate, Duration::from_secs(5));
    Process::new("a", "sh")
        .args(["-c", &format!("{begin} {obey}")])
        .start_window(SHORT)
        .stop_plan(plan)
}

fn thread(first: First, orders: Orders, gate: Gate) -> ChildSpec {
    ChildSpec::thread("a", move |context: ThreadContext| {
        first.play(context.generation())?;
        context.announce();
        while context.stop_requested().is_none() {
            let order = orders.try_lock().ok().and_then(|mut it| it.try_recv().ok());
            match order {
                Some(Order::Return) => return Ok::<(), BoxError>(()),
                Some(Order::Fail) => return Err("as told".into()),
                Some(Order::Panic) => panic!("as told"),
                Some(Order::Hang) => {
                    let open = gate.0.lock().unwrap();
                    drop(gate.1.wait_while(open, |open| !*open).unwrap());
                }
                None => drop(context.stopped_within(Duration::from_millis(1))),
            }
        }
        Ok(())
    })
}

/// A tree with a child that does as it is told, after a sibling by which the test knows the supervisor.
pub(super) struct Stage {
    pub(super) system: TestSystem,
    pub(super) cast: Cast,
    root: ActorCell,
    witness: ActorCell,
}

impl Stage {
    /// Starts the tree, and forgets the events of its start.
    pub(super) async fn start(kind: Kind, edit: impl FnOnce(ChildSpec) -> ChildSpec) -> Self {
        let tree = Supervisor::new("root").no_intensity_limit();
        Self::under(tree, kind, edit).await
    }

    pub(super) async fn under(
        tree: Supervisor,
        kind: Kind,
        edit: impl FnOnce(ChildSpec) -> ChildSpec,
    ) -> Self {
        let (sender, mut told) = mpsc::channel(1);
        let witness = ChildSpec::start_with("witness", move |context: StartContext| {
            let sender = sender.clone();
            async move {
                let root = context.supervisor();
                let (actor, _) = Bare::spawn_linked(None, Bare, (), root.clone()).await?;
                sender.send((root, actor.get_cell())).await.unwrap();
                Ok::<_, StartFailure>(actor)
            }
        });
        let (cast, spec) = Cast::new(kind, First::Up);
        let tree = tree.kill_grace(SHORT).child(witness).child(edit(spec));
        let system = TestSystem::start(tree).await;
        let (root, witness) = told.recv().await.unwrap();
        Self {
            system,
            cast,
            root,
            witness,
        }
    }

    pub(super) async fn tell(&self, order: Order) {
        self.cast.tell(&self.system, order).await;
    }

    /// Kills the child by the means of `ractor`, so that its supervisor knows nothing of it.
    pub(super) fn kill(&self) {
        let children = self.root.get_children();
        let mut others = children
            .iter()
            .filter(|cell| cell.get_id() != self.witness.get_id());
        others.next().unwrap().kill();
    }

    pub(super) async fn info(&self) -> ChildInfo {
        self.system.which_child("root/a").await.unwrap()
    }

    /// Waits for the next life, and says what is known then.
    pub(super) async fn back(&mut self) -> ChildInfo {
        self.system.expect("regrow.child.started", "root/a").await;
        self.info().await
    }

    pub(super) async fn ended(&mut self) -> Ended {
        let event = self
            .system
            .expect("regrow.child.terminated", "root/a")
            .await;
        let regrow::Payload::ChildTerminated {
            reason, outcome, ..
        } = &event.payload
        else {
            panic!("{event:?}")
        };
        Ended {
            generation: event.subject.generation,
            reason: reason.kind(),
            outcome: outcome.as_str(),
        }
    }
}

/// What is told of an end.
#[derive(Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) generation: u32,
    pub(super) reason: ExitKind,
    pub(super) outcome: &'static str,
}
