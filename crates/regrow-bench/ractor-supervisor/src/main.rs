//! ractor-supervisor, doing what the other arms do.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_supervisor::{
    ChildSpec, DynamicSupervisor, DynamicSupervisorMsg, DynamicSupervisorOptions, Restart, SpawnFn,
    Supervisor, SupervisorArguments, SupervisorMsg, SupervisorOptions, SupervisorStrategy,
};
use regrow_bench_harness::{Figures, Latencies, Task, arm, each, millis, resident, silence_panics};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// More restarts than any run makes, in a window longer than any run.
const RESTARTS: usize = 1_000_000;
const WINDOW: Duration = Duration::from_secs(3_600);

enum Order {
    Ping(RpcReplyPort<()>),
    Fail,
    Panic,
}

type Up = Option<UnboundedSender<ActorRef<Order>>>;

struct Worker;

#[ractor::async_trait]
impl Actor for Worker {
    type Msg = Order;
    type State = ();
    type Arguments = Up;

    async fn pre_start(&self, myself: ActorRef<Order>, up: Up) -> Result<(), ActorProcessingErr> {
        if let Some(up) = up {
            drop(up.send(myself));
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Order>,
        order: Order,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Ping(reply) => drop(reply.send(())),
            Order::Fail => return Err("as asked".into()),
            Order::Panic => panic!("as asked"),
        }
        Ok(())
    }
}

/// Its names are process-wide, so each supervisor needs some of its own.
fn fresh() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn child(id: String, up: Up) -> ChildSpec {
    let spawn = move |supervisor: ActorCell, id: String| {
        let up = up.clone();
        async move {
            let spawned = Supervisor::spawn_linked(id, Worker, up, supervisor);
            Ok(spawned.await?.0.get_cell())
        }
    };
    ChildSpec {
        id,
        restart: Restart::Permanent,
        spawn_fn: SpawnFn::new(spawn),
        backoff_fn: None,
        reset_after: None,
    }
}

/// `n` children of which the first tells when it is up.
async fn up(
    n: usize,
    strategy: SupervisorStrategy,
    first: Up,
    others: &Up,
) -> ActorRef<SupervisorMsg> {
    let number = fresh();
    let of = |place: usize| if place == 0 { &first } else { others };
    let specs = (0..n).map(|place| child(format!("{number}-w{place}"), of(place).clone()));
    let arguments = SupervisorArguments {
        child_specs: specs.collect(),
        options: SupervisorOptions {
            strategy,
            max_restarts: RESTARTS,
            max_window: WINDOW,
            reset_after: None,
        },
    };
    let spawned = Supervisor::spawn(format!("{number}-root"), arguments).await;
    spawned.expect("it starts").0
}

/// It starts its children after it is up itself, and then hears of each; it answers when it has.
async fn settled(supervisor: &ActorRef<SupervisorMsg>) {
    let inspected = supervisor.call(SupervisorMsg::InspectState, None).await;
    inspected.expect("it runs");
}

async fn dynamic(n: usize, first: Up) -> ActorRef<DynamicSupervisorMsg> {
    let number = fresh();
    let arguments = DynamicSupervisorOptions {
        max_children: None,
        max_restarts: RESTARTS,
        max_window: WINDOW,
        reset_after: None,
    };
    let spawned = DynamicSupervisor::spawn(format!("{number}-root"), arguments).await;
    let supervisor = spawned.expect("it starts").0;
    for place in 0..n {
        let up = if place == 0 { first.clone() } else { None };
        let spec = child(format!("{number}-w{place}"), up);
        let started = DynamicSupervisor::spawn_child(supervisor.clone(), spec).await;
        started.expect("it starts");
    }
    supervisor
}

async fn kill_and_wait(
    mut ups: UnboundedReceiver<ActorRef<Order>>,
    order: fn() -> Order,
    ops: usize,
) -> Figures {
    let mut worker = ups.recv().await.expect("it is up");
    let mut latencies = Latencies::with_capacity(ops);
    for _ in 0..ops {
        let since = Instant::now();
        worker.cast(order()).expect("it runs");
        worker = ups.recv().await.expect("it is up again");
        worker.call(Order::Ping, None).await.expect("it runs");
        latencies.note(since);
    }
    latencies.figures()
}

async fn restart(task: Task) -> Figures {
    let (sender, ups) = unbounded_channel();
    let supervisor = up(task.n, SupervisorStrategy::OneForOne, Some(sender), &None).await;
    settled(&supervisor).await;
    let figures = kill_and_wait(ups, || Order::Fail, task.ops).await;
    supervisor.kill();
    figures
}

async fn restart_panic(task: Task) -> Figures {
    silence_panics();
    let (sender, ups) = unbounded_channel();
    let supervisor = up(task.n, SupervisorStrategy::OneForOne, Some(sender), &None).await;
    settled(&supervisor).await;
    let figures = kill_and_wait(ups, || Order::Panic, task.ops).await;
    supervisor.kill();
    figures
}

/// A dynamic one sleeps 10 ms at each restart: a hundredth of the restarts is enough.
async fn restart_dynamic(task: Task) -> Figures {
    let (sender, ups) = unbounded_channel();
    let supervisor = dynamic(task.n, Some(sender)).await;
    let figures = kill_and_wait(ups, || Order::Fail, task.ops.div_ceil(100)).await;
    supervisor.kill();
    figures
}

async fn crash_loop(task: Task) -> Figures {
    let (sender, mut ups) = unbounded_channel();
    let supervisor = up(task.n, SupervisorStrategy::OneForOne, Some(sender), &None).await;
    settled(&supervisor).await;
    let since = Instant::now();
    for _ in 0..task.ops {
        let worker = ups.recv().await.expect("it is up");
        worker.cast(Order::Fail).expect("it runs");
    }
    ups.recv().await.expect("it is up");
    let took = since.elapsed();
    supervisor.kill();
    vec![("rate", task.ops as f64 / took.as_secs_f64())]
}

/// It gives its children 10 ms to leave their names, and is done for when one has not: then there are as many figures as came before.
async fn groups(task: Task, strategy: SupervisorStrategy) -> Figures {
    let (sender, mut ups) = unbounded_channel();
    let sender = Some(sender);
    let supervisor = up(task.n, strategy, sender.clone(), &sender).await;
    drop(sender);
    settled(&supervisor).await;
    let mut workers = Vec::new();
    let mut latencies = Latencies::with_capacity(task.ops);
    all_up(&mut ups, &mut workers, task.n).await;
    for _ in 0..task.ops {
        let since = Instant::now();
        drop(workers[0].cast(Order::Fail));
        let again = all_up(&mut ups, &mut workers, task.n).await;
        let answered = match workers.last() {
            Some(last) if again => last.call(Order::Ping, None).await.is_ok(),
            _ => false,
        };
        if !answered {
            break;
        }
        latencies.note(since);
    }
    supervisor.kill();
    latencies.figures()
}

/// Whether `n` have come up.
async fn all_up(
    ups: &mut UnboundedReceiver<ActorRef<Order>>,
    workers: &mut Vec<ActorRef<Order>>,
    n: usize,
) -> bool {
    workers.clear();
    while workers.len() < n {
        match ups.recv().await {
            Some(worker) => workers.push(worker),
            None => return false,
        }
    }
    true
}

async fn all(task: Task) -> Figures {
    groups(task, SupervisorStrategy::OneForAll).await
}

async fn rest(task: Task) -> Figures {
    groups(task, SupervisorStrategy::RestForOne).await
}

async fn start(task: Task) -> Figures {
    let (sender, mut ups) = unbounded_channel();
    let sender = Some(sender);
    let (before, since) = (resident(), Instant::now());
    let supervisor = up(
        task.n,
        SupervisorStrategy::OneForOne,
        sender.clone(),
        &sender,
    )
    .await;
    for _ in 0..task.n {
        ups.recv().await.expect("it is up");
    }
    let took = each(since, task.n);
    let resident = (resident() - before) / task.n as f64;
    supervisor.kill();
    vec![("time", took), ("resident", resident)]
}

async fn start_dynamic(task: Task) -> Figures {
    let since = Instant::now();
    let supervisor = dynamic(task.n, None).await;
    let took = each(since, task.n);
    let children = supervisor.get_children();
    supervisor.stop(None);
    for child in children {
        child.wait(None).await.expect("it ends");
    }
    vec![("time", took)]
}

/// Its children are dynamic here: starting so many static ones takes it minutes. It kills them, and does not wait for them: so
/// their end is waited for here.
async fn shutdown(task: Task) -> Figures {
    let supervisor = dynamic(task.n, None).await;
    let children = supervisor.get_children();
    let since = Instant::now();
    supervisor.stop(None);
    for child in children {
        child.wait(None).await.expect("it ends");
    }
    vec![("total", millis(since))]
}

fn main() -> ExitCode {
    regrow_bench_harness::main(&[
        arm!("restart", "ractor-supervisor", restart),
        arm!("restart", "ractor-supervisor-dynamic", restart_dynamic),
        arm!("restart-panic", "ractor-supervisor", restart_panic),
        arm!("crash-loop", "ractor-supervisor", crash_loop),
        arm!("one-for-all", "ractor-supervisor", all),
        arm!("rest-for-one", "ractor-supervisor", rest),
        arm!("start", "ractor-supervisor", start),
        arm!("start-dynamic", "ractor-supervisor", start_dynamic),
        arm!("shutdown", "ractor-supervisor", shutdown),
    ])
}
