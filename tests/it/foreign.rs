//! Actors that regrow did not start are found like children, until they end.

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use regrow::testing::{Puppet, TestSystem};
use regrow::{
    Because, ChildKind, Conflict, DynamicSupervisor, ExitKind, LeaveReason, Notice, Phase, Profile,
    Query, RegisterError, Registered, Registry, Select, Watcher,
};
use tokio::sync::{mpsc, oneshot};

/// What an actor is told.
#[derive(Debug)]
enum Do {
    Say(oneshot::Sender<&'static str>),
    Fail,
    Panic,
}

/// One that was started by hand.
struct Stranger;

impl Actor for Stranger {
    type Msg = Do;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Do>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Do>,
        what: Do,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match what {
            Do::Say(reply) => drop(reply.send("here")),
            Do::Fail => return Err("tired".into()),
            Do::Panic => panic!("boom"),
        }
        Ok(())
    }
}

/// A way to end one.
type End = fn(&ActorRef<Do>);

async fn stranger() -> ActorRef<Do> {
    let (actor, _) = Actor::spawn(None, Stranger, ()).await.expect("it starts");
    actor
}

fn coder() -> Profile {
    Profile::new(ChildKind::Actor, "coder")
        .tags(["lang=rust", "crew"])
        .capabilities(["review"])
        .meta("cost", 3)
}

fn query(text: &str) -> Query {
    text.parse().expect("a query")
}

fn found(registry: &Registry, text: &str) -> String {
    let found = registry.find(&query(text)).into_iter();
    let mut paths: Vec<String> = found.map(|one| one.path().to_string()).collect();
    paths.sort_unstable();
    paths.join(" ")
}

async fn system() -> TestSystem {
    let root = DynamicSupervisor::new("root");
    let system = TestSystem::start(root).await;
    let ann = Puppet::spec("ann").tags(["crew"]);
    system.start_child("root", ann).await.expect("it starts");
    system
}

async fn snapshot(watcher: &mut Watcher) -> usize {
    let Notice::Snapshot(who) = watcher.next().await else {
        panic!("first who is there")
    };
    who.len()
}

#[tokio::test(start_paused = true)]
async fn it_is_found_picked_sent_to_and_named_like_a_child() {
    // Whoever asks first, and whoever asks when there is an index.
    for asks_before in [false, true] {
        let mut system = system().await;
        let registry = system.registry();
        if asks_before {
            assert_eq!(found(&registry, "crew and ready"), "root/ann");
            registry.caught_up().await;
        }
        let bob = registry.register("bob", stranger().await, coder()).await;
        let bob = bob.expect("it is there");
        system
            .expect("regrow.registry.entry.registered", "@/bob")
            .await;
        assert_eq!((bob.phase(), bob.is_ready()), (Phase::Running, true));
        assert_eq!(registry.get("@/bob").as_ref(), Some(&bob));
        for text in [
            "path:@",
            "type:coder",
            "cap:review and ready",
            "meta:cost<=3",
            "lang=rust",
            "kind:actor and not path:root",
        ] {
            assert_eq!(found(&registry, text), "@/bob", "{text}");
        }
        assert_eq!(found(&registry, "crew and running"), "@/bob root/ann");
        registry.caught_up().await;
        assert_eq!(registry.count(&query("crew")), 2);
        bob.set_load(7);
        let least = registry.pick(&query("crew"), &Select::LeastLoaded);
        assert_eq!(*least.expect("somebody").path(), "root/ann");

        let address = system.address::<Do>("@/bob").expect("it takes these");
        let (reply, answer) = oneshot::channel();
        address.send(Do::Say(reply)).expect("it is there");
        assert_eq!(answer.await, Ok("here"));
        assert!(bob.address::<u8>().is_err(), "it takes others");

        let claimed = registry.claim("lead", &bob, Conflict::Reject).await;
        assert!(matches!(claimed, Ok(None)));
        registry.join("pool", &bob).await.expect("it can");
        assert_eq!(registry.whereis("lead"), Some(bob.clone()));
        bob.edit(|profile| drop(profile.tags.replace("night-shift".into())));
        registry.caught_up().await;
        assert_eq!(found(&registry, "night-shift"), "@/bob");
    }
}

#[tokio::test(start_paused = true)]
async fn when_it_ends_its_entry_leaves_with_the_reason_and_its_names_are_free() {
    let mut system = system().await;
    let registry = system.registry();
    let mut watcher = registry.watch(query("path:@"));
    assert_eq!(snapshot(&mut watcher).await, 0);
    let ends: [(ExitKind, End); 6] = [
        (ExitKind::Normal, |actor| actor.stop(None)),
        (ExitKind::Shutdown, |actor| {
            actor.stop(Some("shutdown".into()));
        }),
        (ExitKind::Normal, |actor| drop(actor.drain())),
        (ExitKind::Killed, |actor| actor.kill()),
        (ExitKind::Error, |actor| drop(actor.cast(Do::Fail))),
        // What `ractor` tells does not say whether it was an error or a panic.
        (ExitKind::Error, |actor| drop(actor.cast(Do::Panic))),
    ];
    for (kind, end) in ends {
        let actor = stranger().await;
        let bob = registry.register("bob", actor.clone(), coder()).await;
        let bob = bob.expect("the id is free again");
        assert!(matches!(
            registry.claim("lead", &bob, Conflict::Reject).await,
            Ok(None)
        ));
        registry.join("pool", &bob).await.expect("it can");
        assert!(matches!(
            watcher.next().await,
            Notice::Entered { before: None, .. }
        ));
        end(&actor);
        let Notice::Left { entry, because } = watcher.next().await else {
            panic!("it has left")
        };
        assert_eq!(&*entry.path, "@/bob");
        assert_eq!(because, Because::Gone(LeaveReason::Ended(kind)));
        system
            .expect("regrow.registry.entry.unregistered", "@/bob")
            .await;
        assert!(bob.is_gone() && !bob.is_ready());
        assert_eq!(found(&registry, "path:@"), "");
        assert!(registry.get("@/bob").is_none());
        assert!(registry.whereis("lead").is_none());
        assert_eq!(registry.group("pool"), []);
        let (reply, _) = oneshot::channel();
        let address = bob.address::<Do>().expect("a place");
        let refused = address.send(Do::Say(reply)).expect_err("nobody is there");
        assert_eq!(refused.to_string(), "child \"@/bob\" is not running");
    }
}

/// An actor that registers itself, says with what result, and waits to be let up. It starts, or does not.
struct Announces(Registry);

type Told = mpsc::UnboundedSender<Registered>;

impl Actor for Announces {
    type Msg = ();
    type State = Option<oneshot::Receiver<()>>;
    type Arguments = (Told, oneshot::Receiver<()>, bool);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        (told, go_on, starts): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let me = self.0.register("eve", myself, coder()).await?;
        drop(told.send(me));
        if starts {
            return Ok(Some(go_on));
        }
        drop(go_on.await);
        Err("no".into())
    }

    async fn post_start(
        &self,
        _: ActorRef<()>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(go_on) = state.take() {
            go_on.await?;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_registers_itself_is_ready_when_it_is_up_and_gone_when_its_start_fails() {
    for starts in [true, false] {
        let system = system().await;
        let registry = system.registry();
        let mut watcher = registry.watch(query("type:coder"));
        assert_eq!(snapshot(&mut watcher).await, 0);
        let (told, mut tells) = mpsc::unbounded_channel();
        let (go_on, waits) = oneshot::channel();
        let announces = Announces(registry.clone());
        let spawned = tokio::spawn(Actor::spawn(None, announces, (told, waits, starts)));
        let eve = tells.recv().await.expect("it is registered");
        assert_eq!((eve.phase(), eve.is_ready()), (Phase::Starting, false));
        let Notice::Entered { entry, .. } = watcher.next().await else {
            panic!("it is there")
        };
        assert_eq!(entry.status.phase, Phase::Starting);
        go_on.send(()).expect("it waits");
        let next = watcher.next().await;
        if starts {
            let Notice::Changed { after, .. } = next else {
                panic!("it is up, not {next:?}")
            };
            assert_eq!(
                (after.status.phase, after.status.ready),
                (Phase::Running, true)
            );
            assert!(eve.is_ready());
            let (actor, _) = spawned.await.expect("no panic").expect("it starts");
            actor.stop(None);
        } else {
            let failed = LeaveReason::Ended(ExitKind::StartFailed);
            assert!(
                matches!(next, Notice::Left { because: Because::Gone(why), .. } if why == failed)
            );
            assert!(spawned.await.expect("no panic").is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_registered_is_refused_and_told_why() {
    let system = system().await;
    let registry = system.registry();
    let actor = stranger().await;
    let bob = registry.register("bob", actor.clone(), coder()).await;
    let bob = bob.expect("it is there");

    let wrong = registry.register("Bob", actor.clone(), coder()).await;
    assert_eq!(
        wrong.expect_err("no id").to_string(),
        "\"Bob\" cannot be the id of an actor: an id begins with a small letter or a digit, not with 'B'"
    );
    let taken = registry.register("bob", stranger().await, coder()).await;
    let taken = taken.expect_err("it is taken");
    assert_eq!(taken.to_string(), "\"@/bob\" is registered already");
    assert!(matches!(taken, RegisterError::Taken { holder } if holder == bob));
    let dead = stranger().await;
    dead.stop_and_wait(None, None).await.expect("it stops");
    let ended = registry.register("dead", dead, coder()).await;
    assert_eq!(
        ended.expect_err("it is not").to_string(),
        "the actor that was to be \"@/dead\" has ended"
    );
    assert_eq!(found(&registry, "path:@"), "@/bob");

    drop(system.shut_down().await);
    let late = registry.register("late", actor, coder()).await;
    assert!(matches!(late, Err(RegisterError::Over)));
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_out_runs_on_and_a_child_cannot_be() {
    let mut system = system().await;
    let registry = system.registry();
    let actor = stranger().await;
    let register = |id: &'static str| registry.register(id, actor.clone(), coder());
    let (bob, eve) = (
        register("bob").await.unwrap(),
        register("eve").await.unwrap(),
    );
    drop(registry.claim("lead", &bob, Conflict::Reject).await);
    let mut watcher = registry.watch(query("path:@/bob"));
    assert_eq!(snapshot(&mut watcher).await, 1);

    assert!(registry.unregister(&bob).await);
    assert!(!registry.unregister(&bob).await, "only once");
    let unregistered = Because::Gone(LeaveReason::Unregistered);
    assert!(
        matches!(watcher.next().await, Notice::Left { because, .. } if because == unregistered)
    );
    assert!(bob.is_gone() && registry.whereis("lead").is_none());
    let ann = registry.get("root/ann").expect("it is there");
    assert!(!registry.unregister(&ann).await, "it is a child");
    assert!(!ann.is_gone());

    assert_eq!(actor.get_status(), ActorStatus::Running);
    assert!(eve.is_ready(), "by its other id it is still there");
    actor.stop(None);
    system
        .expect("regrow.registry.entry.unregistered", "@/eve")
        .await;
    assert!(eve.is_gone());
}

#[tokio::test(start_paused = true)]
async fn an_end_of_the_system_drops_it_and_does_not_end_it() {
    let (one, other) = (system().await, system().await);
    let actor = stranger().await;
    let mut known = Vec::new();
    for registry in [one.registry(), other.registry()] {
        known.push(
            registry
                .register("bob", actor.clone(), coder())
                .await
                .unwrap(),
        );
    }
    assert_ne!(known[0], known[1], "two systems share nothing");
    drop(one.shut_down().await);
    one.registry().caught_up().await;
    assert!(known[0].is_gone());
    assert_eq!(found(&one.registry(), "*"), "");
    assert!(known[1].is_ready());
    let (reply, answer) = oneshot::channel();
    let address = known[1].address::<Do>().expect("it takes these");
    address.send(Do::Say(reply)).expect("it is there");
    assert_eq!(answer.await, Ok("here"));

    let mut watcher = other.registry().watch(query("path:@"));
    assert_eq!(snapshot(&mut watcher).await, 1);
    actor.stop(None);
    assert!(matches!(watcher.next().await, Notice::Left { .. }));
}

/// One that hears how those whom it has started end.
struct Boss;

impl Actor for Boss {
    type Msg = ();
    type State = mpsc::UnboundedSender<String>;
    type Arguments = mpsc::UnboundedSender<String>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        tells: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(tells)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        tells: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        drop(tells.send(event.to_string()));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn its_own_supervisor_still_hears_of_its_end() {
    let mut system = system().await;
    let (tells, mut told) = mpsc::unbounded_channel();
    let (boss, _) = Actor::spawn(None, Boss, tells).await.expect("it starts");
    let linked = Actor::spawn_linked(None, Stranger, (), boss.get_cell()).await;
    let (actor, _) = linked.expect("it starts");
    let registry = system.registry();
    let bob = registry.register("bob", actor.clone(), coder()).await;
    drop(bob.expect("it is there"));
    actor.stop(Some("enough".into()));
    system
        .expect("regrow.registry.entry.unregistered", "@/bob")
        .await;
    let mut last = String::new();
    while !last.contains("enough") {
        last = told.recv().await.expect("the boss lives");
    }
}
