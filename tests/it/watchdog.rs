//! Actors that get nowhere are found and named.

use std::time::Duration;

use caller::{Ask, Caller};
use regrow::testing::{Puppet, TestSystem};
use regrow::watchdog::{Remedy, Watchdog};
use regrow::{Address, ChildSpec, Payload, StopCause, Supervisor};

const SECOND: Duration = Duration::from_secs(1);

fn trio(watchdog: Watchdog) -> Supervisor {
    let caller = |id: &str| ChildSpec::actor(id, Caller, ());
    Supervisor::new("root")
        .no_intensity_limit()
        .watchdog(watchdog)
        .child(caller("a"))
        .child(caller("b"))
        .child(caller("c"))
}

fn address(system: &TestSystem, id: &str) -> Address<Ask> {
    system.address(&format!("root/{id}")).expect("an address")
}

/// Lets `a` call `b`, that `c`, and that `a`.
fn close_the_ring(system: &TestSystem) {
    let of = |id| address(system, id);
    let (reply, _) = ractor::concurrency::oneshot();
    let way = vec![of("b"), of("c"), of("a")];
    of("a")
        .send(Ask::Through(way, reply.into()))
        .expect("it is up");
}

fn cycle(payload: &Payload) -> Vec<&str> {
    let Payload::ActorDeadlock { cycle, .. } = payload else {
        panic!("{payload:?}")
    };
    cycle.iter().map(|path| &**path).collect()
}

#[tokio::test(start_paused = true)]
async fn two_actors_that_call_each_other_are_found_and_named_within_a_period() {
    let mut system = TestSystem::start(trio(Watchdog::default())).await;
    let began = tokio::time::Instant::now();
    let call = |from: &str, to: &str| {
        let to = address(&system, to);
        address(&system, from)
            .send(Ask::Call(to))
            .expect("it is up");
    };
    call("a", "b");
    call("b", "a");
    let event = system.expect("regrow.actor.deadlock", "root/a").await;
    assert_eq!(cycle(&event.payload), ["root/a", "root/b"]);
    assert!(began.elapsed() <= SECOND * 5, "{:?}", began.elapsed());
    // It is told once, and nothing is done about it; that the handlers are stuck is told of each in its time.
    for (path, other) in [("root/a", "root/b"), ("root/b", "root/a")] {
        let stuck = system.expect("regrow.actor.stuck", path).await;
        let Payload::ActorStuck { waiting_on, .. } = &stuck.payload else {
            panic!("{stuck:?}")
        };
        let waiting_on = waiting_on.as_ref().map(regrow::ChildPath::as_str);
        assert_eq!(waiting_on, Some(other));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_of_three_is_ended_by_restarting_the_first_if_that_is_wanted() {
    let watchdog = Watchdog::default().on_deadlock(Remedy::Restart);
    let mut system = TestSystem::start(trio(watchdog)).await;
    close_the_ring(&system);
    let event = system.expect("regrow.actor.deadlock", "root/a").await;
    assert_eq!(cycle(&event.payload), ["root/a", "root/b", "root/c"]);
    let event = system.expect("regrow.child.stopping", "root/a").await;
    let Payload::ChildStopping { cause, why } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(*cause, StopCause::Stalled);
    let text = "waits for itself: root/a -> root/b -> root/c -> root/a";
    assert_eq!(why.as_deref(), Some(text));
    system.expect("regrow.child.started", "root/a").await;
    for id in ["a", "b", "c"] {
        let answers = address(&system, id).call(Ask::Ping).await;
        assert!(answers.is_ok(), "{id} goes on: {answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_calls_is_no_ring_and_one_that_was_never_closed_is_not_told() {
    let mut system = TestSystem::start(trio(Watchdog::default().stall(SECOND * 3_600))).await;
    let (reply, answer) = ractor::concurrency::oneshot();
    let way = vec![address(&system, "b"), address(&system, "c")];
    let first = address(&system, "a");
    first
        .send(Ask::Through(way, reply.into()))
        .expect("it is up");
    answer.await.expect("an answer");
    tokio::time::sleep(SECOND * 60).await;
    let told = system.happened().await;
    assert!(
        !told.iter().any(|line| line.contains("deadlock")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_stuck_is_told_and_restarted_if_that_is_wanted() {
    let watchdog = Watchdog::default()
        .stall(SECOND * 10)
        .on_stuck(Remedy::Restart);
    let tree = Supervisor::new("root")
        .watchdog(watchdog)
        .child(Puppet::spec("p").shutdown(SECOND));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/p").hang();
    let event = system.expect("regrow.actor.stuck", "root/p").await;
    let Payload::ActorStuck {
        busy_for,
        waiting_on,
    } = &event.payload
    else {
        panic!("{event:?}")
    };
    assert!(
        (SECOND * 10..SECOND * 13).contains(busy_for),
        "{busy_for:?}"
    );
    assert_eq!(*waiting_on, None);
    system.expect("regrow.child.started", "root/p").await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_comes_back_is_told_too() {
    let watchdog = Watchdog::default().stall(SECOND * 10);
    let mut system = TestSystem::start(trio(watchdog)).await;
    close_the_ring(&system);
    system.expect("regrow.actor.stuck", "root/a").await;
    drop(system.bounce_child("root/b").await.expect("it restarts"));
    system.expect("regrow.actor.unstuck", "root/a").await;
}

#[tokio::test]
async fn there_is_one_watchdog_and_it_is_the_roots() {
    let nested = Supervisor::new("crew").watchdog(Watchdog::default());
    let error = Supervisor::new("root")
        .child(nested)
        .check()
        .expect_err("two");
    assert_eq!(
        error.to_string(),
        "supervisor \"root/crew\" has a watchdog, and there is one for the whole system; give it to the root"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_over_are_no_waits_in_whatever_order_they_ended() {
    let mut system = TestSystem::start(trio(Watchdog::default().stall(SECOND * 3_600))).await;
    let (a, b, c) = (
        address(&system, "a"),
        address(&system, "b"),
        address(&system, "c"),
    );
    let both = a.call_without_limit(|reply| Ask::Both(b.clone(), c, reply));
    both.await.expect("an answer");
    // It waits for nobody now, so whoever waits for it is in no ring.
    let (reply, _) = ractor::concurrency::oneshot();
    a.send(Ask::Later(SECOND * 60, reply.into()))
        .expect("it is up");
    b.send(Ask::Call(a)).expect("it is up");
    tokio::time::sleep(SECOND * 50).await;
    let told = system.happened().await;
    assert!(
        !told.iter().any(|line| line.contains("deadlock")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_still_under_way_is_seen_when_one_that_began_later_has_ended() {
    let mut system = TestSystem::start(trio(Watchdog::default())).await;
    let (a, b, c) = (
        address(&system, "a"),
        address(&system, "b"),
        address(&system, "c"),
    );
    let (reply, _) = ractor::concurrency::oneshot();
    // The answer of `c` comes first; `b` waits for `a`, which waits for it.
    b.send(Ask::Call(a.clone())).expect("it is up");
    a.send(Ask::Both(c, b, reply.into())).expect("it is up");
    let event = system.expect("regrow.actor.deadlock", "root/a").await;
    assert_eq!(cycle(&event.payload), ["root/a", "root/b"]);
}

mod caller {
    use std::time::Duration;

    use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
    use regrow::Address;

    use super::SECOND;

    /// Calls whom it is told to call, and says what came of it.
    #[derive(Clone)]
    pub(super) struct Caller;

    pub(super) enum Ask {
        /// Call this one, and nobody after it.
        Call(Address<Self>),
        /// Call the first of these, and let it call the rest.
        Through(Vec<Address<Self>>, RpcReplyPort<()>),
        /// Call both at once, the first of which answers first.
        Both(Address<Self>, Address<Self>, RpcReplyPort<()>),
        /// Answer.
        Ping(RpcReplyPort<()>),
        /// Answer after this time.
        Later(Duration, RpcReplyPort<()>),
    }

    impl Actor for Caller {
        type Msg = Ask;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<Ask>,
            message: Ask,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            match message {
                Ask::Call(other) => drop(other.call_without_limit(Ask::Ping).await),
                Ask::Through(mut way, reply) => {
                    if !way.is_empty() {
                        let next = way.remove(0);
                        drop(
                            next.call_without_limit(|reply| Ask::Through(way, reply))
                                .await,
                        );
                    }
                    drop(reply.send(()));
                }
                Ask::Both(first, second, reply) => {
                    let first = first.call_without_limit(|reply| Ask::Later(SECOND, reply));
                    let second = second.call_without_limit(|reply| Ask::Later(SECOND * 2, reply));
                    drop(tokio::join!(first, second));
                    drop(reply.send(()));
                }
                Ask::Ping(reply) => drop(reply.send(())),
                Ask::Later(time, reply) => {
                    tokio::time::sleep(time).await;
                    drop(reply.send(()));
                }
            }
            Ok(())
        }
    }
}
