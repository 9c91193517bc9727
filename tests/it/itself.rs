//! A child that asks for something which would wait for that very child is told so.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::testing::{Puppet, TestSystem};
use regrow::{
    BoxError, ChildSpec, ExitKind, OperateError, PartitionSupervisor, Phase, Restart, Shutdown,
    StartContext, Supervisor, System, TaskContext, ThreadContext,
};
use tokio::sync::mpsc;

/// What a child asks of its system.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Terminate(&'static str),
    Bounce(&'static str),
    Restart(&'static str),
    Delete(&'static str),
    Resize(&'static str, usize),
    ShutDown,
}

/// What came of it, in words.
type Answered = Result<String, String>;

async fn ask(system: &System, ask: Ask) -> Answered {
    let answered = match ask {
        Ask::Terminate(path) => system.terminate_child(path).await.map(drop),
        Ask::Bounce(path) => system.bounce_child(path).await.map(drop),
        Ask::Restart(path) => system.restart_child(path).await.map(drop),
        Ask::Delete(path) => system.delete_child(path).await.map(drop),
        Ask::Resize(path, size) => system.resize_partitions(path, size).await.map(drop),
        Ask::ShutDown => {
            let report = system.shut_down().await;
            return Ok(format!("{:?}", report.only_begun_by));
        }
    };
    answered
        .map(|()| "done".to_owned())
        .map_err(|error| error.to_string())
}

fn refused(path: &str, child: &str) -> Answered {
    Err(format!(
        "the end of {path:?} would wait for {child:?}, which asks for it; let a task that it spawns ask"
    ))
}

/// The system, for children that are made before it.
type Later = Arc<OnceLock<Arc<TestSystem>>>;

fn of(later: &Later) -> &System {
    later.get().expect("it is up")
}

async fn start(later: &Later, tree: impl Into<Supervisor>) -> Arc<TestSystem> {
    let system = Arc::new(TestSystem::start(tree).await);
    later.set(Arc::clone(&system)).expect("it is started once");
    system
}

/// Asks what it is told to ask, from its handler.
#[derive(Clone)]
struct Asker(Later);

struct Told(Ask, RpcReplyPort<Answered>);

impl Actor for Asker {
    type Msg = Told;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Told>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Told>,
        Told(what, reply): Told,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        drop(reply.send(ask(of(&self.0), what).await));
        Ok(())
    }
}

fn asker(id: &str, later: &Later) -> ChildSpec {
    // Whoever is asked would wait for ever.
    ChildSpec::actor(id, Asker(Arc::clone(later)), ()).shutdown(Shutdown::Infinity)
}

async fn told(system: &System, path: &str, what: Ask) -> Answered {
    let address = system.address::<Told>(path).expect("it is an asker");
    let answer = address.call(|reply| Told(what, reply));
    answer.await.expect("it answers")
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_for_its_own_end_or_that_of_a_supervisor_above_is_refused() {
    let later = Later::default();
    let crew = Supervisor::new("crew")
        .child(asker("a", &later))
        .child(asker("ab", &later));
    let system = start(
        &later,
        Supervisor::new("root").child(crew).child(Puppet::spec("b")),
    )
    .await;
    let a = "root/crew/a";
    for path in [a, "root/crew"] {
        assert_eq!(
            told(&system, a, Ask::Terminate(path)).await,
            refused(path, a)
        );
        assert_eq!(told(&system, a, Ask::Bounce(path)).await, refused(path, a));
        let running = Err(format!("child {path:?} is running"));
        assert_eq!(told(&system, a, Ask::Restart(path)).await, running);
        assert_eq!(told(&system, a, Ask::Delete(path)).await, running);
    }
    let none = Err("no child has the path \"root\"".to_owned());
    assert_eq!(
        told(&system, a, Ask::Restart("root")).await,
        none,
        "nobody holds the root"
    );
    let done = Ok("done".to_owned());
    assert_eq!(told(&system, a, Ask::Terminate("root/b")).await, done);
    let like = told(&system, "root/crew/ab", Ask::Terminate(a)).await;
    assert_eq!(like, done, "a like name is another");
    let from_outside = system.terminate_child("root/crew").await;
    assert!(from_outside.is_ok(), "{from_outside:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_for_the_shutdown_begins_it_and_waits_for_nobody() {
    let later = Later::default();
    let system = start(&later, Supervisor::new("root").child(asker("a", &later))).await;
    let begun = told(&system, "root/a", Ask::ShutDown).await;
    assert_eq!(begun, Ok("Some(\"root/a\")".to_owned()));
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
    let report = system.shut_down().await;
    assert_eq!((report.only_begun_by, report.killed.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_asks_for_a_size_without_itself_is_refused() {
    let later = Later::default();
    let tree = PartitionSupervisor::new("p", 3, |_| asker("x", &later));
    let system = start(&later, Supervisor::new("root").child(tree)).await;
    let ask = async |path, size| told(&system, path, Ask::Resize("root/p", size)).await;
    assert_eq!(ask("root/p/1", 1).await, refused("root/p/1", "root/p/1"));
    assert_eq!(ask("root/p/1", 2).await, Ok("done".to_owned()));
    assert_eq!(ask("root/p/0", 0).await, refused("root/p/0", "root/p/0"));
    assert_eq!(ask("root/p/0", 3).await, Ok("done".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_spawns_may_ask() {
    #[derive(Clone)]
    struct Spawner(Later);
    impl Actor for Spawner {
        type Msg = ();
        type State = ();
        type Arguments = ();
        async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
        async fn handle(
            &self,
            _: ActorRef<()>,
            (): (),
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            let later = Arc::clone(&self.0);
            tokio::spawn(async move { of(&later).bounce_child("root/a").await.map(drop) });
            Ok(())
        }
    }
    let later = Later::default();
    let spec = ChildSpec::actor("a", Spawner(Arc::clone(&later)), ());
    let tree = Supervisor::new("root").child(spec);
    let system = start(&later, tree).await;
    system.address::<()>("root/a").unwrap().send(()).unwrap();
    while system.which_child("root/a").await.unwrap().generation < 2 {}
}

#[tokio::test(start_paused = true)]
async fn a_child_of_another_system_may_end_one_of_the_same_path() {
    let later = Later::default();
    let system = start(&later, Supervisor::new("root").child(Puppet::spec("a"))).await;
    let other = TestSystem::start(Supervisor::new("root").child(asker("a", &later))).await;
    let done = told(&other, "root/a", Ask::Terminate("root/a")).await;
    assert_eq!(done, Ok("done".to_owned()));
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Stopped
    );
    assert_eq!(
        other.which_child("root/a").await.unwrap().phase,
        Phase::Running
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_asks_for_its_own_end_is_refused() {
    let later = Later::default();
    let (sender, mut answers) = mpsc::channel(9);
    let copy = Arc::clone(&later);
    let task = ChildSpec::task("a", move |context: TaskContext| {
        let (later, sender) = (Arc::clone(&copy), sender.clone());
        async move {
            tokio::task::yield_now().await;
            let system = of(&later);
            sender
                .send(ask(system, Ask::Terminate("root/a")).await)
                .await?;
            sender.send(ask(system, Ask::ShutDown).await).await?;
            context.stopped().await;
            Ok::<(), BoxError>(())
        }
    });
    let tree = Supervisor::new("root").child(task.shutdown(Shutdown::Infinity));
    let system = start(&later, tree).await;
    assert_eq!(answers.recv().await.unwrap(), refused("root/a", "root/a"));
    let begun = answers.recv().await.unwrap();
    assert_eq!(begun, Ok("Some(\"root/a\")".to_owned()));
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
}

#[tokio::test]
async fn a_thread_that_asks_for_its_own_end_is_refused() {
    let later = Later::default();
    let (sender, mut answers) = mpsc::channel(9);
    let copy = Arc::clone(&later);
    let thread = ChildSpec::thread("a", move |context: ThreadContext| {
        let later = Arc::clone(&copy);
        while later.get().is_none() && context.stop_requested().is_none() {
            std::thread::yield_now();
        }
        let answer = ask(of(&later), Ask::Terminate("root/a"));
        let answer = tokio::runtime::Handle::current().block_on(answer);
        sender.blocking_send(answer)?;
        let _cause = context.stopped();
        Ok::<(), BoxError>(())
    });
    let system = start(&later, Supervisor::new("root").child(thread)).await;
    assert_eq!(answers.recv().await.unwrap(), refused("root/a", "root/a"));
    assert_eq!(system.shut_down().await.only_begun_by, None);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_asks_for_its_own_end_is_refused() {
    let later = Later::default();
    let copy = Arc::clone(&later);
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let later = Arc::clone(&copy);
        async move {
            if context.generation() == 2 {
                let answer = ask(of(&later), Ask::Terminate("root/a")).await;
                return Err(answer.unwrap_err().into());
            }
            let bare = regrow::testing::Bare;
            let (actor, _) = Actor::spawn_linked(None, bare, (), context.supervisor()).await?;
            Ok::<_, regrow::StartFailure>(actor.get_cell())
        }
    });
    let system = start(&later, Supervisor::new("root").child(spec)).await;
    drop(system.terminate_child("root/a").await.unwrap());
    let failed = system.restart_child("root/a").await.unwrap_err();
    let why = refused("root/a", "root/a").unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!("child \"root/a\" did not start: failed to start: {why}")
    );
}

/// A bare actor's handler is not run by regrow, so it is not seen; its shutdown ends the wait.
#[tokio::test(start_paused = true)]
async fn a_bare_actor_that_waits_for_itself_is_ended_by_its_shutdown() {
    let later = Later::default();
    let copy = Arc::clone(&later);
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let asker = Asker(Arc::clone(&copy));
        async move {
            let (actor, _) = Actor::spawn_linked(None, asker, (), context.supervisor()).await?;
            Ok::<_, regrow::StartFailure>(actor.get_cell())
        }
    });
    let limit = Duration::from_secs(2);
    let spec = spec.shutdown(limit).restart(Restart::Temporary);
    let system = start(&later, Supervisor::new("root").child(spec)).await;
    let address = system.address::<Told>("root/a").unwrap();
    let before = tokio::time::Instant::now();
    let answer = address
        .call(|reply| Told(Ask::Terminate("root/a"), reply))
        .await;
    assert!(answer.is_err(), "it was killed: {answer:?}");
    assert_eq!(before.elapsed(), limit);
    let gone = system.which_child("root/a").await;
    assert!(
        matches!(gone, Err(OperateError::NotFound { .. })),
        "{gone:?}"
    );
}
