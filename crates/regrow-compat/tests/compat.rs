//! What a user does with regrow, in a build in which ractor's traits are not as regrow's own build has them.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::testing::{Puppet, TestSystem};
// That it compiles is all that is asked of it here.
use regrow::{Backoff, CallError, ChildSpec, ExitKind, Supervisor, System};
use regrow_process as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a counter can be told.
enum Order {
    Add(u64),
    Sum(RpcReplyPort<u64>),
    Fail,
    Panic,
}

#[cfg(feature = "cluster")]
impl ractor::Message for Order {}

/// Tells each of its lives, and sums up.
#[derive(Clone)]
struct Counter;

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Counter {
    type Msg = Order;
    type State = u64;
    type Arguments = UnboundedSender<ActorRef<Order>>;

    async fn pre_start(
        &self,
        myself: ActorRef<Order>,
        lives: Self::Arguments,
    ) -> Result<u64, ActorProcessingErr> {
        lives.send(myself)?;
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Order>,
        order: Order,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Add(more) => *sum += more,
            Order::Sum(reply) => drop(reply.send(*sum)),
            Order::Fail => return Err("as asked".into()),
            Order::Panic => panic!("as asked"),
        }
        Ok(())
    }
}

/// A counter at `root/crew/counter`, and its lives as they come.
async fn start() -> (System, UnboundedReceiver<ActorRef<Order>>) {
    let (sender, lives) = unbounded_channel();
    let counter = ChildSpec::actor("counter", Counter, sender).backoff(Backoff::none());
    let crew = Supervisor::new("crew").child(counter);
    let system = System::start(Supervisor::new("root").child(crew)).await;
    (system.expect("it starts"), lives)
}

/// The next life is told of in its first moment; a call has to wait until it is in its place.
async fn sum(system: &System) -> u64 {
    let address = system.address::<Order>("root/crew/counter");
    let address = address.expect("it is there");
    loop {
        match address.call(Order::Sum).await {
            Ok(sum) => return sum,
            Err(CallError::NotRunning { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_child_that_is_killed_or_fails_comes_back_at_the_same_address() {
    let (system, mut lives) = start().await;
    let address = system.address::<Order>("root/crew/counter").unwrap();
    let ends: [(fn(&ActorRef<Order>), ExitKind); 3] = [
        (|life| life.kill(), ExitKind::Killed),
        (|life| life.cast(Order::Fail).unwrap(), ExitKind::Error),
        (|life| life.cast(Order::Panic).unwrap(), ExitKind::Panic),
    ];
    let mut life = lives.recv().await.unwrap();
    for (end, how) in ends {
        address.send(Order::Add(2)).unwrap();
        assert_eq!(address.call(Order::Sum).await.unwrap(), 2);
        end(&life);
        life = lives.recv().await.unwrap();
        assert_eq!(sum(&system).await, 0, "a new life begins anew");
        let info = system.which_child("root/crew/counter").await.unwrap();
        assert_eq!(info.last_exit.unwrap().reason.kind(), how);
    }
    let report = system.shut_down().await;
    assert!(report.killed.is_empty() && report.unresponsive.is_empty());
}

#[tokio::test]
async fn an_operator_starts_bounces_and_deletes() {
    let (system, mut lives) = start().await;
    lives.recv().await.unwrap();
    let (sender, mut others) = unbounded_channel();
    let other = ChildSpec::actor("other", Counter, sender);
    let info = system.start_child("root/crew", other).await.unwrap();
    assert_eq!(info.generation, 1);
    others.recv().await.unwrap();
    let info = system.bounce_child("root/crew/other").await.unwrap();
    assert_eq!(info.generation, 2);
    others.recv().await.unwrap();
    system.terminate_child("root/crew/other").await.unwrap();
    system.delete_child("root/crew/other").await.unwrap();
    assert!(
        others.recv().await.is_none(),
        "nobody is left that knows it"
    );
    assert_eq!(system.which_children("root/crew").await.unwrap().len(), 1);
    drop(system.shut_down().await);
}

#[tokio::test(start_paused = true)]
async fn the_test_kit_works() {
    let puppet = Puppet::spec("puppet").backoff(Backoff::none());
    let mut system = TestSystem::start(Supervisor::new("root").child(puppet)).await;
    system.puppet("root/puppet").crash("boom");
    let ended = system
        .expect("regrow.child.terminated", "root/puppet")
        .await;
    assert_eq!(ended.subject.generation, 1);
    let up = system.expect("regrow.child.started", "root/puppet").await;
    assert_eq!(up.subject.generation, 2);
    drop(system.shut_down().await);
}
