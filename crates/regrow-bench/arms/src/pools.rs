//! A pool of workers that are alike, and jobs that take no time: how many it has done in a second, from the first to the last.
//!
//! In a flood two tasks hand out half of the jobs each, as fast as they can, and wait for none; there is room for all of them. Else there
//! are twice as many callers as workers, and each waits for the answer before it has the next job done.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kameo::actor::Spawn;
use kameo_actors::pool::{ActorPool, Dispatch};
use ractor::factory::{
    Factory, FactoryArguments, FactoryRef, Job, Worker, WorkerId, queues, routing, worker_builder,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use regrow::pool::{OverloadRules, Pool, PoolRef, Target};
use regrow::{Supervisor, System};
use regrow_bench_harness::{Figures, Task};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Who hands jobs out.
const HANDS: usize = 2;

/// How many callers there are for each worker.
const CALLERS: usize = 2;

/// Counts what is done, and tells when that is all.
#[derive(Clone)]
struct Tally(Arc<(AtomicUsize, usize, Notify)>);

impl Tally {
    fn new(jobs: usize) -> Self {
        Self(Arc::new((AtomicUsize::new(0), jobs, Notify::new())))
    }

    fn done(&self) {
        let (done, jobs, all) = &*self.0;
        if done.fetch_add(1, Ordering::Relaxed) + 1 == *jobs {
            all.notify_one();
        }
    }

    async fn all(&self) {
        self.0.2.notified().await;
    }
}

/// Hands all jobs out by `send`, and says how many were done in a second.
async fn rate<S>(task: Task, tally: Tally, send: S) -> Figures
where
    S: Fn(usize) + Clone + Send + 'static,
{
    let since = Instant::now();
    for hand in 0..HANDS {
        let send = send.clone();
        tokio::spawn(async move {
            for job in 0..task.ops / HANDS {
                send(hand + job * HANDS);
                if job % 64 == 63 {
                    // As a task that has more to do than this would.
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    tally.all().await;
    vec![("rate", task.ops as f64 / since.elapsed().as_secs_f64())]
}

/// How many jobs there are, so that each hand has as many.
fn whole(task: Task) -> Task {
    let ops = task.ops / HANDS * HANDS;
    Task { ops, ..task }
}

/// Lets all callers have their share of the jobs done, and says how many were in a second. `caller` is told which one it is and how many
/// those are.
async fn answers<F>(task: Task, caller: impl Fn(usize, usize) -> F) -> Figures
where
    F: Future<Output = ()> + Send + 'static,
{
    let callers = CALLERS * task.n;
    let each = task.ops.div_ceil(callers);
    let mut all = JoinSet::new();
    let since = Instant::now();
    for at in 0..callers {
        all.spawn(caller(at, each));
    }
    all.join_all().await;
    let jobs = (callers * each) as f64;
    vec![("rate", jobs / since.elapsed().as_secs_f64())]
}

/// A job.
trait Work: Message {
    fn be_done(self, tally: &Tally);
}

/// One of which nobody waits for the end.
struct Do;

impl Work for Do {
    fn be_done(self, tally: &Tally) {
        tally.done();
    }
}

/// One that is answered.
struct Ask(RpcReplyPort<()>);

impl Work for Ask {
    fn be_done(self, _: &Tally) {
        drop(self.0.send(()));
    }
}

/// Does whatever jobs of one kind it gets.
struct Hand<W>(PhantomData<fn(W)>);

impl<W> Hand<W> {
    const NEW: Self = Self(PhantomData);
}

impl<W> Clone for Hand<W> {
    fn clone(&self) -> Self {
        Self::NEW
    }
}

impl<W: Work> Actor for Hand<W> {
    type Msg = W;
    type State = Tally;
    type Arguments = Tally;

    async fn pre_start(&self, _: ActorRef<W>, tally: Tally) -> Result<Tally, ActorProcessingErr> {
        Ok(tally)
    }

    async fn handle(
        &self,
        _: ActorRef<W>,
        work: W,
        tally: &mut Tally,
    ) -> Result<(), ActorProcessingErr> {
        work.be_done(tally);
        Ok(())
    }
}

/// A pool as it is by default, but that it has room for all jobs, and that what waits is not shed however long a flood takes: how long
/// jobs wait is looked at all the same.
async fn start<W: Work>(task: Task, tally: Tally) -> (System, PoolRef<W>) {
    let never = OverloadRules::new(Target::Fixed(Duration::from_secs(3_600)));
    let size = u32::try_from(task.n).expect("some workers");
    let pool = Pool::of("hands", Hand::<W>::NEW, tally)
        .size(size..=size)
        .queue(task.ops)
        .overload(never);
    let tree = Supervisor::new("root").child(pool);
    let system = System::start(tree).await.expect("it starts");
    let pool = system.pool::<W>("root/hands").expect("it is there");
    (system, pool)
}

pub async fn regrow(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let (system, pool) = start::<Do>(task, tally.clone()).await;
    let figures = rate(task, tally, move |_| pool.send(Do).expect("there is room")).await;
    drop(system.shut_down().await);
    figures
}

pub async fn regrow_answers(task: Task) -> Figures {
    let (system, pool) = start::<Ask>(task, Tally::new(0)).await;
    let caller = |_, jobs| {
        let pool = pool.clone();
        async move {
            for _ in 0..jobs {
                pool.call(Ask).await.expect("it answers");
            }
        }
    };
    let figures = answers(task, caller).await;
    drop(system.shut_down().await);
    figures
}

async fn hands<W: Work>(task: Task, tally: &Tally) -> Arc<[ActorRef<W>]> {
    let mut hands = Vec::new();
    for _ in 0..task.n {
        let started = Actor::spawn(None, Hand::<W>::NEW, tally.clone()).await;
        hands.push(started.expect("it starts").0);
    }
    hands.into()
}

/// The caller takes one worker after the other: what nothing in between could be faster than. No bound, no look at who is busy.
pub async fn in_turn(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let hands = hands::<Do>(task, &tally).await;
    let sent = Arc::clone(&hands);
    let send = move |job: usize| sent[job % sent.len()].cast(Do).expect("it is there");
    let figures = rate(task, tally, send).await;
    hands.iter().for_each(|hand| hand.stop(None));
    figures
}

pub async fn in_turn_answers(task: Task) -> Figures {
    let hands = hands::<Ask>(task, &Tally::new(0)).await;
    let caller = |at: usize, jobs| {
        let hands = Arc::clone(&hands);
        async move {
            for job in 0..jobs {
                let answer = hands[(at + job) % hands.len()].call(Ask, None).await;
                assert!(answer.is_ok_and(|answer| answer.is_success()), "it answers");
            }
        }
    };
    let figures = answers(task, caller).await;
    hands.iter().for_each(|hand| hand.stop(None));
    figures
}

/// The same, as the factory wants it.
struct FactoryHand<W>(PhantomData<fn(W)>);

impl<W: Work> Worker for FactoryHand<W> {
    type Key = ();
    type Message = W;
    type State = Tally;
    type Arguments = Tally;

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), W>,
        tally: Tally,
    ) -> Result<Tally, ActorProcessingErr> {
        Ok(tally)
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), W>,
        job: Job<(), W>,
        tally: &mut Tally,
    ) -> Result<(), ActorProcessingErr> {
        job.msg.be_done(tally);
        Ok(())
    }
}

/// ractor's factory, whose workers come for their work.
async fn factory_of<W: Work>(task: Task, tally: Tally) -> (FactoryRef<(), W>, JoinHandle<()>) {
    let factory = Factory::<
        (),
        W,
        Tally,
        FactoryHand<W>,
        routing::QueuerRouting<(), W>,
        queues::DefaultQueue<(), W>,
    >::default();
    let arguments = FactoryArguments::builder()
        .worker_builder(Box::new(worker_builder(move |_| {
            (FactoryHand(PhantomData), tally.clone())
        })))
        .queue(Default::default())
        .router(Default::default())
        .num_initial_workers(task.n)
        .build();
    let started = Actor::spawn(None, factory, arguments).await;
    started.expect("it starts")
}

pub async fn factory(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let (factory, handle) = factory_of::<Do>(task, tally.clone()).await;
    let sent = factory.clone();
    let send = move |_| {
        // What is given back is the job, which nobody needs.
        assert!(sent.dispatch((), Do).is_ok(), "it is there");
    };
    let figures = rate(task, tally, send).await;
    factory.stop(None);
    handle.await.expect("it ends");
    figures
}

pub async fn factory_answers(task: Task) -> Figures {
    let (factory, handle) = factory_of::<Ask>(task, Tally::new(0)).await;
    let caller = |_, jobs| {
        let factory = factory.clone();
        async move {
            for _ in 0..jobs {
                let answer = factory.call_job((), Ask, None).await;
                assert!(answer.is_ok_and(|answer| answer.is_success()), "it answers");
            }
        }
    };
    let figures = answers(task, caller).await;
    factory.stop(None);
    handle.await.expect("it ends");
    figures
}

#[derive(Clone)]
struct KameoHand(Tally);

impl kameo::Actor for KameoHand {
    type Args = Tally;
    type Error = kameo::error::Infallible;

    async fn on_start(
        tally: Tally,
        _: kameo::actor::ActorRef<Self>,
    ) -> Result<Self, kameo::error::Infallible> {
        Ok(Self(tally))
    }
}

#[derive(Clone)]
struct KameoDo;

impl kameo::message::Message<KameoDo> for KameoHand {
    type Reply = ();

    async fn handle(&mut self, _: KameoDo, _: &mut kameo::message::Context<Self, ()>) {
        self.0.done();
    }
}

struct KameoAsk;

impl kameo::message::Message<KameoAsk> for KameoHand {
    type Reply = ();

    async fn handle(&mut self, _: KameoAsk, _: &mut kameo::message::Context<Self, ()>) {}
}

/// kameo's pool: the least connected worker, mailboxes without a bound.
fn kameo_pool(task: Task, tally: Tally) -> kameo::actor::ActorRef<ActorPool<KameoHand>> {
    let pool = ActorPool::new(task.n, move || {
        KameoHand::spawn_with_mailbox(tally.clone(), kameo::mailbox::unbounded())
    });
    ActorPool::spawn_with_mailbox(pool, kameo::mailbox::unbounded())
}

pub async fn kameo(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let pool = kameo_pool(task, tally.clone());
    let sent = pool.clone();
    let send = move |_| {
        let told = sent.tell(Dispatch(KameoDo)).try_send();
        told.expect("there is room");
    };
    let figures = rate(task, tally, send).await;
    pool.kill();
    figures
}

pub async fn kameo_answers(task: Task) -> Figures {
    let pool = kameo_pool(task, Tally::new(0));
    let caller = |_, jobs| {
        let pool = pool.clone();
        async move {
            for _ in 0..jobs {
                let answer = pool.ask(Dispatch(KameoAsk)).await;
                assert!(answer.is_ok(), "it answers");
            }
        }
    };
    let figures = answers(task, caller).await;
    pool.kill();
    figures
}
