//! Threads as children. They take real time, so nothing here is paused.

use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use regrow::testing::TestSystem;
use regrow::{
    Backoff, BoxError, ChildKind, ChildSpec, ExitKind, ExitReason, Payload, Phase, Restart,
    Shutdown, StopCause, Supervisor, ThreadContext,
};
use tokio::sync::mpsc as channel;

const SHORT: Duration = Duration::from_millis(50);

type Ended = Result<(), BoxError>;

/// Longer than any test: what waits for it would be seen.
const LONG: Duration = Duration::from_secs(3_600);

enum Order {
    Return,
    Fail(BoxError),
    Panic,
}

/// A thread whose lives are told to the test, and which does as it is told; it listens.
fn told(id: &str) -> (ChildSpec, channel::Receiver<channel::Sender<Order>>) {
    let (lives, told) = channel::channel(100);
    let spec = ChildSpec::thread(id, move |context: ThreadContext| {
        let (orders, mut given) = channel::channel(1);
        lives.blocking_send(orders).ok();
        while context.stop_requested().is_none() {
            match given.try_recv() {
                Ok(Order::Return) => return Ended::Ok(()),
                Ok(Order::Fail(error)) => return Err(error),
                Ok(Order::Panic) => panic!("as told"),
                Err(_) => drop(context.stopped_within(Duration::from_millis(1))),
            }
        }
        Ok(())
    });
    (spec, told)
}

/// A thread that does not listen, until the test ends.
fn deaf(id: &str) -> (ChildSpec, mpsc::Sender<()>) {
    let (open, door) = mpsc::channel::<()>();
    let door = std::sync::Mutex::new(door);
    let spec = ChildSpec::thread(id, move |_| {
        let door = door.lock().map_err(|error| error.to_string())?;
        // Comes to an end when the test drops the sender.
        door.recv().ok();
        Ended::Ok(())
    });
    (spec, open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_thread_is_told_as_what_it_was() {
    let (spec, mut lives) = told("a");
    let spec = spec.backoff(Backoff::none());
    let tree = Supervisor::new("root").no_intensity_limit().child(spec);
    let mut system = TestSystem::start(tree).await;
    let kind = system.which_child("root/a").await.unwrap().kind;
    assert_eq!(kind, ChildKind::Thread);
    let mut ended = async |order: Order| {
        let life = lives.recv().await.expect("a life has begun");
        drop(life.send(order).await);
        drop(system.expect("regrow.child.terminated", "root/a").await);
        system.expect("regrow.child.started", "root/a").await;
        system.last_exit("root/a").await
    };
    assert_eq!(ended(Order::Return).await.kind(), ExitKind::Normal);
    let failed = ended(Order::Fail("broken".into())).await;
    assert_eq!(failed.to_string(), "error: broken");
    let ExitReason::Panic(panic) = ended(Order::Panic).await else {
        panic!("not told as a panic")
    };
    assert_eq!(panic.message, "as told");
    let location = panic.location.as_deref().unwrap();
    assert!(location.contains("threads.rs:"), "{location}");
    let typed = ended(Order::Fail(Box::new(ExitReason::Exit(7)))).await;
    assert_eq!(typed.kind(), ExitKind::Exit(7), "a typed end stays typed");
    drop(system.bounce_child("root/a").await.unwrap());
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Shutdown);
    assert_eq!(system.which_child("root/a").await.unwrap().generation, 6);
    let report = system.shut_down().await;
    assert!(report.killed.is_empty() && report.unresponsive.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_is_named_by_its_path_and_runs_inside_the_runtime() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let spec = ChildSpec::thread("a", move |context| {
        let name = std::thread::current().name().map(str::to_owned);
        let spawned = tokio::spawn(async { 7 });
        let seven = tokio::runtime::Handle::current().block_on(spawned)?;
        if let Some(tell) = tell.lock().map_err(|error| error.to_string())?.take() {
            drop(tell.send((name, seven, context.generation())));
        }
        let _: StopCause = context.stopped();
        Ended::Ok(())
    });
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let (name, seven, generation) = told.await.unwrap();
    assert_eq!((name.as_deref(), seven, generation), (Some("root/a"), 7, 1));
    drop(system.shut_down().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_waits_is_woken_and_told_why_it_shall_stop() {
    let (causes, mut heard) = channel::channel(10);
    let spec = ChildSpec::thread("a", move |context: ThreadContext| {
        let before = context.stopped_within(Duration::ZERO);
        context.announce();
        let cause = context.stopped_within(LONG);
        let again = (context.stopped(), context.stop_requested());
        causes.blocking_send((before, cause, again, context)).ok();
        Ended::Ok(())
    });
    let system = TestSystem::start(Supervisor::new("root").child(spec.announced())).await;
    let info = system.terminate_child("root/a").await.unwrap();
    assert_eq!(info.last_exit.unwrap().reason.kind(), ExitKind::Shutdown);
    let operator = Some(StopCause::Operator);
    let (before, cause, again, context) = heard.recv().await.unwrap();
    assert_eq!((before, cause), (None, operator));
    assert_eq!(again, (StopCause::Operator, operator));
    assert_eq!(context.stop_requested(), operator, "the first cause stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_does_not_listen_is_unresponsive_and_never_killed() {
    for shutdown in [Shutdown::Timeout(SHORT), Shutdown::BrutalKill] {
        let (spec, open) = deaf("a");
        let tree = Supervisor::new("root")
            .kill_grace(SHORT)
            .child(spec.shutdown(shutdown));
        let mut system = TestSystem::start(tree).await;
        let began = Instant::now();
        let report = system.shut_down().await;
        assert!(began.elapsed() >= SHORT, "it had its grace");
        assert_eq!(report.unresponsive.len(), 1, "{report:?}");
        assert!(report.killed.is_empty(), "{report:?}");
        let ended = system.expect("regrow.child.terminated", "root/a").await;
        let Payload::ChildTerminated {
            reason, outcome, ..
        } = &ended.payload
        else {
            panic!("{ended:?}")
        };
        assert_eq!(reason.kind(), ExitKind::Unresponsive);
        assert_eq!(outcome.as_str(), "unresponsive");
        drop(open);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_ends_within_its_grace_has_stopped_as_asked() {
    let spec = ChildSpec::thread("a", |context: ThreadContext| {
        let _: StopCause = context.stopped();
        Ended::Ok(())
    });
    let spec = spec.shutdown(Shutdown::BrutalKill);
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let report = system.shut_down().await;
    assert!(report.killed.is_empty(), "{report:?}");
    let ended = system.expect("regrow.child.terminated", "root/a").await;
    let Payload::ChildTerminated {
        reason, outcome, ..
    } = &ended.payload
    else {
        panic!("{ended:?}")
    };
    assert_eq!(
        (reason.kind(), outcome.as_str()),
        (ExitKind::Shutdown, "graceful")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_thread_is_up_when_it_says_so_and_an_end_before_is_a_failed_start() {
    let gate = Arc::new(Barrier::new(2));
    let at = Arc::clone(&gate);
    let spec = ChildSpec::thread("a", move |context: ThreadContext| {
        at.wait();
        context.announce();
        let _: StopCause = context.stopped();
        Ended::Ok(())
    });
    let system = TestSystem::launch(Supervisor::new("root").child(spec.announced())).await;
    let phase = system.which_child("root/a").await.unwrap().phase;
    assert_eq!(phase, Phase::Starting);
    tokio::task::spawn_blocking(move || gate.wait())
        .await
        .unwrap();
    system.booted().await.unwrap();
    drop(system.shut_down().await);

    let fails = ChildSpec::thread("a", |_| Ended::Err("no way".into()));
    let error = TestSystem::start_error(Supervisor::new("root").child(fails.announced())).await;
    assert_eq!(
        error.to_string(),
        "child \"root/a\" did not start: error: no way"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_takes_no_messages_and_its_place_goes_when_it_is_done() {
    let (spec, mut lives) = told("a");
    let system = TestSystem::start(Supervisor::new("root")).await;
    let spec = spec.restart(Restart::Temporary);
    drop(system.start_child("root", spec).await.unwrap());
    let refused = system.address::<()>("root/a").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "child \"root/a\" takes messages of type none, not ()"
    );
    let life = lives.recv().await.unwrap();
    drop(life.send(Order::Return).await);
    while system.which_child("root/a").await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_threads_of_a_system_that_is_dropped_are_asked_to_stop() {
    let (causes, mut heard) = channel::channel(1);
    let spec = ChildSpec::thread("a", move |context: ThreadContext| {
        causes.blocking_send(context.stopped()).ok();
        Ended::Ok(())
    });
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    drop(system);
    assert_eq!(heard.recv().await, Some(StopCause::Parent));
}
