//! Futures as children.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use regrow::testing::TestSystem;
use regrow::{
    Backoff, BoxError, ChildKind, ChildSpec, ExitKind, ExitReason, LookupError, OperateError,
    Payload, Phase, Restart, Shutdown, StopCause, Supervisor, TaskContext,
};
use tokio::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);

type Ended = Result<(), BoxError>;

/// A task whose lives are told to the test, and which does as it is told.
struct Told {
    context: TaskContext,
    orders: mpsc::Sender<Order>,
}

enum Order {
    Return,
    Fail(BoxError),
    Panic,
}

fn told(id: &str) -> (ChildSpec, mpsc::Receiver<Told>) {
    let (lives, told) = mpsc::channel(100);
    let spec = ChildSpec::task(id, move |context: TaskContext| {
        let lives = lives.clone();
        async move {
            let (orders, mut given) = mpsc::channel(1);
            let copy = context.clone();
            drop(
                lives
                    .send(Told {
                        context: copy,
                        orders,
                    })
                    .await,
            );
            tokio::select! {
                _ = context.stopped() => Ended::Ok(()),
                order = given.recv() => match order {
                    Some(Order::Return) | None => Ok(()),
                    Some(Order::Fail(error)) => Err(error),
                    Some(Order::Panic) => panic!("as told"),
                },
            }
        }
    });
    (spec, told)
}

async fn order(lives: &mut mpsc::Receiver<Told>, order: Order) {
    let life = lives.recv().await.expect("a life has begun");
    drop(life.orders.send(order).await);
}

/// A task that never listens, and tells when its future is dropped.
fn deaf(id: &str) -> (ChildSpec, mpsc::Receiver<()>) {
    struct Dropped(mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.try_send(()).ok();
        }
    }
    let (sender, dropped) = mpsc::channel(10);
    let spec = ChildSpec::task(id, move |_| {
        let dropped = Dropped(sender.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<Ended>().await
        }
    });
    (spec, dropped)
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_task_is_told_as_what_it_was() {
    let (spec, mut lives) = told("a");
    let spec = spec.backoff(Backoff::none());
    let tree = Supervisor::new("root").no_intensity_limit().child(spec);
    let mut system = TestSystem::start(tree).await;
    assert_eq!(
        system.which_child("root/a").await.unwrap().kind,
        ChildKind::Task
    );
    let mut ended = async |order_: Order| {
        order(&mut lives, order_).await;
        drop(system.expect("regrow.child.terminated", "root/a").await);
        system.expect("regrow.child.started", "root/a").await;
        system.last_exit("root/a").await
    };
    assert_eq!(ended(Order::Return).await.kind(), ExitKind::Normal);
    assert_eq!(
        ended(Order::Fail("broken".into())).await.to_string(),
        "error: broken"
    );
    let ExitReason::Panic(panic) = ended(Order::Panic).await else {
        panic!("not told as a panic")
    };
    assert_eq!(panic.message, "as told");
    assert!(
        panic.location.as_deref().unwrap().contains("tasks.rs:"),
        "{panic}"
    );
    let typed = ended(Order::Fail(Box::new(ExitReason::Exit(7)))).await;
    assert_eq!(typed.kind(), ExitKind::Exit(7), "a typed end stays typed");
    drop(system.bounce_child("root/a").await.unwrap());
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Shutdown);
    assert_eq!(system.which_child("root/a").await.unwrap().generation, 6);
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_is_an_end_of_the_task_and_not_of_its_supervisor() {
    let spec = ChildSpec::task("a", |_| -> std::future::Ready<Ended> { panic!("at once") });
    let tree = Supervisor::new("root").child(spec.restart(Restart::Temporary));
    let mut system = TestSystem::launch(tree).await;
    system.booted().await.unwrap();
    system.expect("regrow.child.started", "root/a").await;
    let ended = system.expect("regrow.child.terminated", "root/a").await;
    let Payload::ChildTerminated { reason, .. } = &ended.payload else {
        panic!("{ended:?}")
    };
    assert!(reason.to_string().contains("at once"), "{reason}");
    assert_eq!(system.which_children("root").await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_shall_come_to_an_end_does_and_a_failure_brings_it_back() {
    let (spec, mut lives) = told("a");
    let tree = Supervisor::new("root").child(spec.restart(Restart::Transient));
    let mut system = TestSystem::start(tree).await;
    order(&mut lives, Order::Fail("broken".into())).await;
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    system
        .expect("regrow.supervisor.restart.stop", "root/a")
        .await;
    let life = lives.recv().await.unwrap();
    assert_eq!(
        (life.context.generation(), life.context.attempt()),
        (2, 1),
        "a task is told what a start function is"
    );
    assert_eq!(
        life.context.last_exit().unwrap().to_string(),
        "error: broken"
    );
    drop(life.orders.send(Order::Return).await);
    system.expect("regrow.child.terminated", "root/a").await;
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Completed
    );
    system.happened().await;
    system.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_hears_why_it_shall_stop_and_what_it_has_spawned_hears_of_its_end() {
    let (spec, mut lives) = told("a");
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let life = lives.recv().await.unwrap();
    assert_eq!(life.context.stop_requested(), None);
    let spawned = tokio::spawn(async move {
        let cause = life.context.stopped().await;
        (cause, life.context.stopped().await, life.context)
    });
    drop(system.terminate_child("root/a").await.unwrap());
    let (cause, again, context) = spawned.await.unwrap();
    assert_eq!((cause, again), (StopCause::Operator, StopCause::Operator));
    assert_eq!(context.stop_requested(), Some(StopCause::Operator));

    drop(system.restart_child("root/a").await.unwrap());
    let life = lives.recv().await.unwrap();
    drop(life.orders.send(Order::Fail("broken".into())).await);
    assert_eq!(
        life.context.stopped().await,
        StopCause::Parent,
        "the life is over, by itself"
    );
    assert_eq!(life.context.stop_requested(), Some(StopCause::Parent));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_listen_is_dropped_after_its_timeout_and_told_as_killed() {
    let (spec, mut dropped) = deaf("a");
    let spec = spec.shutdown(SECOND);
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let before = tokio::time::Instant::now();
    drop(system.terminate_child("root/a").await.unwrap());
    assert_eq!(before.elapsed(), SECOND);
    dropped
        .try_recv()
        .expect("its future was gone before anybody was told");
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Killed);
    drop(system.restart_child("root/a").await.unwrap());
    let report = system.shut_down().await;
    assert_eq!(report.killed.len(), 1, "{report:?}");
    dropped.recv().await.expect("its future is gone");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_when_it_is_dropped_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let spec = |id: &str, waits: bool| {
        ChildSpec::task(id, move |_| async move {
            let _bomb = Bomb;
            if waits {
                std::future::pending::<()>().await;
            }
            Ended::Ok(())
        })
    };
    let tree = Supervisor::new("root")
        .child(spec("killed", true).shutdown(Shutdown::BrutalKill))
        .child(spec("ends", false).restart(Restart::Transient));
    let mut system = TestSystem::launch(tree).await;
    system.booted().await.unwrap();
    // Its own end comes first: the panic is the end.
    system.expect("regrow.child.terminated", "root/ends").await;
    assert_eq!(system.last_exit("root/ends").await.kind(), ExitKind::Panic);
    drop(system.terminate_child("root/killed").await.unwrap());
    assert_eq!(
        system.last_exit("root/killed").await.kind(),
        ExitKind::Killed
    );
    assert_eq!(system.which_children("root").await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_announced_task_is_up_when_it_says_so_and_an_end_before_is_a_failed_start() {
    let ready = |id: &str| {
        ChildSpec::task(id, |context: TaskContext| async move {
            tokio::time::sleep(SECOND).await;
            context.announce();
            context.stopped().await;
            Ended::Ok(())
        })
    };
    let before = tokio::time::Instant::now();
    let system = TestSystem::start(Supervisor::new("root").child(ready("a").announced())).await;
    assert_eq!(before.elapsed(), SECOND);
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Running
    );

    let fails = ChildSpec::task("a", |_| async { Ended::Err("no way".into()) });
    let error = TestSystem::start_error(Supervisor::new("root").child(fails.announced())).await;
    assert_eq!(
        error.to_string(),
        "child \"root/a\" did not start: error: no way"
    );
    let slow = ready("a").announced().start_timeout(SECOND / 2);
    let error = TestSystem::start_error(Supervisor::new("root").child(slow)).await;
    assert_eq!(
        error.to_string(),
        "child \"root/a\" did not start: failed to start in time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_takes_no_messages() {
    let (spec, _dropped) = deaf("a");
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let refused = system.address::<()>("root/a").unwrap_err();
    assert!(
        matches!(refused, LookupError::WrongMessageType { .. }),
        "{refused}"
    );
    assert_eq!(
        refused.to_string(),
        "child \"root/a\" takes messages of type none, not ()"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_can_be_added_while_it_runs_as_with_elixirs_task_supervisor() {
    let system = TestSystem::start(Supervisor::new("root")).await;
    // start_child/1: temporary, so it is gone when it is done.
    let (spec, mut lives) = told("once");
    let added = system
        .start_child("root", spec.restart(Restart::Temporary))
        .await
        .unwrap();
    assert_eq!((added.kind, added.phase), (ChildKind::Task, Phase::Running));
    order(&mut lives, Order::Return).await;
    while system.which_child("root/once").await.is_ok() {}
    // start_child with a custom restart: permanent, so it comes back.
    let (spec, mut lives) = told("again");
    drop(system.start_child("root", spec).await.unwrap());
    order(&mut lives, Order::Return).await;
    assert_eq!(lives.recv().await.unwrap().context.generation(), 2);
    // start_child with a custom shutdown: it is not asked.
    let (spec, mut dropped) = deaf("brutal");
    let spec = spec
        .shutdown(Shutdown::BrutalKill)
        .restart(Restart::Temporary);
    drop(system.start_child("root", spec).await.unwrap());
    // terminate_child/2: ok, then there is nobody.
    drop(system.terminate_child("root/brutal").await.unwrap());
    dropped.recv().await.expect("its future is gone");
    let gone = system.terminate_child("root/brutal").await.unwrap_err();
    assert!(matches!(gone, OperateError::NotFound { .. }), "{gone}");
    assert_eq!(system.which_children("root").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_system_that_is_dropped_drops_its_tasks() {
    let (spec, mut dropped) = deaf("a");
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    drop(system);
    dropped.recv().await.expect("its future is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_killed_task_is_gone_only_when_what_it_held_is() {
    struct Slow {
        entered: mpsc::Sender<()>,
        leave: Arc<Mutex<std::sync::mpsc::Receiver<()>>>,
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            self.entered.try_send(()).ok();
            // Whoever waits for this thread of the runtime gets another. It ends with the test, however that ends.
            tokio::task::block_in_place(|| self.leave.lock().map(|leave| leave.recv()).ok());
        }
    }
    let (open, leave) = std::sync::mpsc::channel::<()>();
    let leave = Arc::new(Mutex::new(leave));
    let (entered, mut entry) = mpsc::channel(1);
    let (runs, mut running) = mpsc::channel(1);
    let spec = ChildSpec::task("a", move |_| {
        let held = Slow {
            entered: entered.clone(),
            leave: Arc::clone(&leave),
        };
        runs.try_send(()).ok();
        async move {
            let _held = held;
            std::future::pending::<Ended>().await
        }
    });
    let spec = spec.shutdown(Shutdown::BrutalKill);
    let system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    running
        .recv()
        .await
        .expect("it runs, so it holds something");
    let (stopped, ()) = tokio::join!(system.terminate_child("root/a"), async {
        entry.recv().await.expect("it is being dropped");
        let phase = system.which_child("root/a").await.unwrap().phase;
        drop(open);
        assert_eq!(phase, Phase::Stopping);
    });
    drop(stopped.unwrap());
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Killed);
}
