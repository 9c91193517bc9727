//! A pool of workers that are alike, and jobs that take no time: how many it has done in a second, from the first to the last.
//!
//! Two tasks hand out half of the jobs each, as fast as they can, and wait for none; there is room for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kameo_actors::pool::{ActorPool, Dispatch};
use ractor::factory::{
    Factory, FactoryArguments, FactoryRef, Job, Worker, WorkerId, queues, routing, worker_builder,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::pool::Pool;
use regrow::{Supervisor, System};
use regrow_bench_harness::{Figures, Task};
use tokio::sync::Notify;

/// Who hands jobs out.
const HANDS: usize = 2;

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

#[derive(Clone)]
struct Hand;

struct Do;

impl Actor for Hand {
    type Msg = Do;
    type State = Tally;
    type Arguments = Tally;

    async fn pre_start(&self, _: ActorRef<Do>, tally: Tally) -> Result<Tally, ActorProcessingErr> {
        Ok(tally)
    }

    async fn handle(
        &self,
        _: ActorRef<Do>,
        Do: Do,
        tally: &mut Tally,
    ) -> Result<(), ActorProcessingErr> {
        tally.done();
        Ok(())
    }
}

pub async fn regrow(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let size = u32::try_from(task.n).expect("some workers");
    let pool = Pool::of("hands", Hand, tally.clone())
        .size(size..=size)
        .queue(task.ops);
    let tree = Supervisor::new("root").child(pool);
    let system = System::start(tree).await.expect("it starts");
    let pool = system.pool::<Do>("root/hands").expect("it is there");
    let figures = rate(task, tally, move |_| pool.send(Do).expect("there is room")).await;
    drop(system.shut_down().await);
    figures
}

/// The caller takes one worker after the other: what nothing in between could be faster than. No bound, no look at who is busy.
pub async fn in_turn(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let mut hands = Vec::new();
    for _ in 0..task.n {
        let (hand, _) = Actor::spawn(None, Hand, tally.clone())
            .await
            .expect("it starts");
        hands.push(hand);
    }
    let sent = hands.clone();
    let send = move |job: usize| sent[job % sent.len()].cast(Do).expect("it is there");
    let figures = rate(task, tally, send).await;
    hands.iter().for_each(|hand| hand.stop(None));
    figures
}

struct FactoryHand;

impl Worker for FactoryHand {
    type Key = ();
    type Message = Do;
    type State = Tally;
    type Arguments = Tally;

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), Do>,
        tally: Tally,
    ) -> Result<Tally, ActorProcessingErr> {
        Ok(tally)
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), Do>,
        _: Job<(), Do>,
        tally: &mut Tally,
    ) -> Result<(), ActorProcessingErr> {
        tally.done();
        Ok(())
    }
}

/// ractor's factory, whose workers come for their work.
pub async fn factory(task: Task) -> Figures {
    let task = whole(task);
    let tally = Tally::new(task.ops);
    let given = tally.clone();
    let factory = Factory::<
        (),
        Do,
        Tally,
        FactoryHand,
        routing::QueuerRouting<(), Do>,
        queues::DefaultQueue<(), Do>,
    >::default();
    let arguments = FactoryArguments::builder()
        .worker_builder(Box::new(worker_builder(move |_| {
            (FactoryHand, given.clone())
        })))
        .queue(Default::default())
        .router(Default::default())
        .num_initial_workers(task.n)
        .build();
    let (factory, handle) = Actor::spawn(None, factory, arguments)
        .await
        .expect("it starts");
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

/// kameo's pool: the least connected worker, mailboxes without a bound.
pub async fn kameo(task: Task) -> Figures {
    use kameo::actor::Spawn;

    let task = whole(task);
    let tally = Tally::new(task.ops);
    let given = tally.clone();
    let pool = ActorPool::new(task.n, move || {
        KameoHand::spawn_with_mailbox(given.clone(), kameo::mailbox::unbounded())
    });
    let pool = ActorPool::spawn_with_mailbox(pool, kameo::mailbox::unbounded());
    let sent = pool.clone();
    let send = move |_| {
        let told = sent.tell(Dispatch(KameoDo)).try_send();
        told.expect("there is room");
    };
    let figures = rate(task, tally, send).await;
    pool.kill();
    figures
}
