//! Elixir's own tests of its `Registry`, case by case and under its names, and after them ours.
//!
//! There a process registers itself under a key, with a value. Here a child is registered by being started: its path is a key that
//! nobody else has, its tags are keys that it shares with others, and its metadata are the value.

mod duplicate;
mod unique;

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::testing::{Puppet, PuppetMessage, TestSystem};
use regrow::{
    Backoff, Because, ChildKind, ChildSpec, DynamicSupervisor, FirstRestart, Notice, Phase,
    Profile, Query, Registered, Restart, Watcher,
};

use crate::peers::Port::{Adapted as A, AsItIs as Y, Left};
use crate::peers::{Port, every_case_has_its_test};

/// What the reasons begin with where a case is about what only the BEAM has.
const NOT_PORTABLE: &str = "not portable: ";

const NO_MATCH_SPECS: &str =
    "not portable: there are no match specs, so nothing is reserved in them";
const TYPED: &str = "not portable: keys are texts, which are the same or are not";

const NO_GROUPS: &str = "not built: groups have members, and no value for each of them";
const NO_LOCKS: &str = "not built yet: locks";
const ONE_PART: &str = "not built: a registry is one part, and its readers wait for nobody";

/// The cases of `registry_test.exs`, in Elixir's order.
const CASES: [(&str, Port); 6] = [
    ("clean_up_registry_on_process_crash", A),
    ("does_not_lock_when_using_different_keys", Left(NO_LOCKS)),
    ("locks_when_using_the_same_key", Left(NO_LOCKS)),
    ("locks_when_the_one_holding_the_lock_raises", Left(NO_LOCKS)),
    (
        "locks_when_the_one_holding_the_lock_terminates",
        Left(NO_LOCKS),
    ),
    (
        "locks_when_the_one_waiting_for_the_lock_terminates",
        Left(NO_LOCKS),
    ),
];

/// What Elixir does not promise.
const OURS: [(&str, Port); 6] = [
    ("a_crash_is_told_with_its_reason", Y),
    ("a_restart_is_found_under_its_path_with_no_gap", Y),
    ("look_ups_never_return_a_stopped_actor_as_ready", Y),
    ("two_registries_with_the_same_paths_share_nothing", Y),
    (
        "a_registry_that_dies_loses_nobody_and_is_asked_meanwhile",
        Left("it needs to see the registry from inside, so it stands there"),
    ),
    (
        "of_those_who_register_one_name_at_once_one_wins",
        Left("of_sixteen_who_want_one_name_one_gets_it_and_the_others_are_told_who, in names.rs"),
    ),
];

#[test]
fn every_case_of_elixirs_has_its_test() {
    every_case_has_its_test("tests/it/elixir_registry.rs", &CASES);
    every_case_has_its_test("tests/it/elixir_registry.rs", &OURS);
    every_case_has_its_test("tests/it/elixir_registry/unique.rs", &unique::CASES);
    every_case_has_its_test("tests/it/elixir_registry/duplicate.rs", &duplicate::CASES);
}

/// Of 75 cases 65 can be ported; those that are not yet say what they wait for.
#[test]
fn the_cases_of_elixirs_add_up() {
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Sum {
        ported: usize,
        not_yet: usize,
        not_portable: usize,
    }
    let sum = |cases: &[(&str, Port)]| {
        let mut sum = Sum::default();
        for (_, port) in cases {
            match port {
                Y | A => sum.ported += 1,
                Left(why) if why.starts_with(NOT_PORTABLE) => sum.not_portable += 1,
                Left(_) => sum.not_yet += 1,
            }
        }
        sum
    };
    let sums = [&CASES[..], &unique::CASES, &duplicate::CASES].map(sum);
    let is = |ported, not_yet, not_portable| Sum {
        ported,
        not_yet,
        not_portable,
    };
    assert_eq!(sums, [is(1, 5, 0), is(30, 1, 4), is(25, 3, 6)]);
    let portable = sums.iter().map(|sum| sum.ported + sum.not_yet);
    assert_eq!(portable.sum::<usize>(), 65);
}

/// An actor that has a value, and says it when it is asked.
#[derive(Clone)]
struct Holder(&'static str);

type Question = RpcReplyPort<&'static str>;

impl Actor for Holder {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Question>,
        reply: Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        drop(reply.send(self.0));
        Ok(())
    }
}

/// One that is registered under its id and this tag, and is asked for its value.
fn holder(id: &str, tag: &str, value: &'static str) -> ChildSpec {
    ChildSpec::actor(id, Holder(value), ()).tags([tag.to_owned()])
}

/// One that was started by hand, as Elixir's tests do.
async fn agent(value: &'static str) -> ActorRef<Question> {
    let spawned = Actor::spawn(None, Holder(value), ()).await;
    spawned.expect("it starts").0
}

/// What such a one is.
fn process() -> Profile {
    Profile::new(ChildKind::Actor, "holder")
}

/// Who takes the last of its keys back is watched no more: what becomes of it is nothing to the registry. Until then it is.
async fn assert_is_watched_while_it_has_a_key(keys: [&'static str; 2]) {
    let mut system = empty().await;
    let registry = system.registry();
    let me = agent("me").await;
    let register = |key: &'static str| {
        let profile = process().tags([key]);
        registry.register(key, me.clone(), profile)
    };
    let mut mine = Vec::new();
    for key in keys {
        mine.push(register(key).await.expect("it is there"));
    }
    assert!(registry.unregister(&mine[0]).await);
    assert_eq!(count(&system, keys[1]).await, 1);
    me.stop(None);
    let unregistered = "regrow.registry.entry.unregistered";
    system.expect(unregistered, &format!("@/{}", keys[0])).await;
    system.expect(unregistered, &format!("@/{}", keys[1])).await;
    assert!(mine[1].is_gone());

    let other = agent("other").await;
    let its = registry.register("its", other.clone(), process()).await;
    assert!(registry.unregister(&its.expect("it is there")).await);
    other.stop_and_wait(None, None).await.expect("it stops");
    registry.caught_up().await;
    let told = system.happened().await;
    let of_its = |event: &&String| event.contains("unregistered") && event.contains("@/its");
    assert_eq!(told.iter().filter(of_its).count(), 1, "{told:?}");
}

/// One whose value is `{first, "atom", third}`.
fn triple(id: &str, tag: &str, first: u32, third: u32) -> ChildSpec {
    Puppet::spec(id)
        .tags([tag.to_owned()])
        .meta("first", first)
        .meta("second", "atom")
        .meta("third", third)
}

fn query(text: &str) -> Query {
    text.parse().expect("a query")
}

/// A registry in which nobody is. It has been asked, so whatever follows is answered from its index.
async fn empty() -> TestSystem {
    let system = TestSystem::start(DynamicSupervisor::new("root").no_intensity_limit()).await;
    assert_eq!(count(&system, "*").await, 0);
    system
}

async fn register(system: &TestSystem, child: ChildSpec) -> Registered {
    let started = system.start_child("root", child).await;
    let path = started.expect("it starts").path;
    system.registry().get(path.as_str()).expect("it is there")
}

/// The ids of those whom a query means, in order.
async fn found(system: &TestSystem, text: &str) -> Vec<String> {
    let registry = system.registry();
    registry.caught_up().await;
    let found = registry.find(&query(text)).into_iter();
    let mut ids: Vec<String> = found.map(|child| child.path().id().to_owned()).collect();
    ids.sort_unstable();
    ids
}

async fn count(system: &TestSystem, text: &str) -> usize {
    let registry = system.registry();
    registry.caught_up().await;
    registry.count(&query(text))
}

/// Takes a tag from all whom a query means: they run on, and are found under it no more.
async fn unregister(system: &TestSystem, text: &str, tag: &str) {
    let registry = system.registry();
    registry.caught_up().await;
    for child in registry.find(&query(text)) {
        child.edit(|profile| {
            profile.tags.remove(tag);
        });
    }
}

/// Asks everybody whom a query means for its value, one after the other.
async fn dispatch(system: &TestSystem, text: &str) -> Vec<&'static str> {
    let registry = system.registry();
    registry.caught_up().await;
    let mut values = Vec::new();
    for child in registry.find(&query(text)) {
        let address = child.address::<Question>().expect("it takes questions");
        values.push(address.call(|reply| reply).await.expect("it answers"));
    }
    values.sort_unstable();
    values
}

/// Watches a query that means nobody yet.
async fn listen(system: &TestSystem, text: &str) -> Watcher {
    let registry = system.registry();
    registry.caught_up().await;
    let mut listener = registry.watch(query(text));
    assert_eq!(listener.next().await, Notice::Snapshot(Vec::new()));
    listener
}

/// Who comes or goes next, and why; what else becomes known of those who stay is passed over.
async fn next(listener: &mut Watcher) -> String {
    loop {
        match listener.next().await {
            Notice::Changed { .. } => {}
            Notice::Entered { entry, .. } => return format!("{} comes", entry.path),
            Notice::Left { entry, because } => {
                return match because {
                    Because::Gone(reason) => format!("{} goes: {}", entry.path, reason.as_str()),
                    Because::Changed(now) => format!("{} is {}", now.path, now.status.phase),
                };
            }
            other @ (Notice::Missed(_) | Notice::Snapshot(_)) => return format!("{other:?}"),
        }
    }
}

/// One without a registry cannot be asked; what comes nearest is one whose system has ended: it knows nobody, and says so.
async fn assert_who_has_ended_knows_nobody(child: ChildSpec, text: &str) {
    let system = empty().await;
    let hello = register(&system, child).await;
    assert_eq!(count(&system, text).await, 1);
    drop(system.shut_down().await);
    assert!(system.registry().get("root/hello").is_none());
    assert!(hello.is_gone() && !hello.is_ready());
    assert_eq!(found(&system, text).await, [""; 0]);
}

/// Case 1: through the API, not by a look at the tables. Who comes back keeps its entry.
#[tokio::test(start_paused = true)]
async fn clean_up_registry_on_process_crash() {
    let mut system = empty().await;
    for id in ["hello", "world"] {
        let once = Puppet::spec(id).tags(["key"]).restart(Restart::Temporary);
        register(&system, once).await;
    }
    register(&system, Puppet::spec("again").tags(["key"])).await;
    assert_eq!(count(&system, "key").await, 3);
    for id in ["hello", "world", "again"] {
        let path = format!("root/{id}");
        system.puppet(&path).kill();
        system.expect("regrow.child.terminated", &path).await;
    }
    system.expect("regrow.child.started", "root/again").await;
    assert_eq!(found(&system, "key").await, ["again"]);
    assert_eq!(count(&system, "key").await, 1);
    assert!(system.registry().get("root/hello").is_none());
}

/// A listener of Elixir's is told of who unregisters, and of no crash.
#[tokio::test(start_paused = true)]
async fn a_crash_is_told_with_its_reason() {
    let system = empty().await;
    let mut listener = listen(&system, "key").await;
    let ends = [
        ("panic", Some(PuppetMessage::Crash("boom".into()))),
        ("error", Some(PuppetMessage::Fail("tired".into()))),
        ("normal", Some(PuppetMessage::Exit)),
        ("killed", None),
    ];
    for (reason, message) in ends {
        let once = Puppet::spec("hello").tags(["key"]);
        let hello = register(&system, once.restart(Restart::Temporary)).await;
        assert_eq!(next(&mut listener).await, "root/hello comes");
        match message {
            Some(message) => hello.address().unwrap().send(message).unwrap(),
            None => system.puppet("root/hello").kill(),
        }
        let told = next(&mut listener).await;
        assert_eq!(told, format!("root/hello goes: {reason}"));
    }
    register(&system, Puppet::spec("again").tags(["key"])).await;
    system.registry().caught_up().await;
    let mut listener = system.registry().watch(query("key and ready"));
    assert!(matches!(listener.next().await, Notice::Snapshot(who) if who.len() == 1));
    system.puppet("root/again").crash("boom");
    assert_eq!(next(&mut listener).await, "root/again is backoff");
    assert_eq!(next(&mut listener).await, "root/again comes");
    system.terminate_child("root/again").await.unwrap();
    assert_eq!(next(&mut listener).await, "root/again is stopping");
}

/// In Elixir the name is free until the next life takes it. Here it is there all the time, and says what it is doing.
#[tokio::test(start_paused = true)]
async fn a_restart_is_found_under_its_path_with_no_gap() {
    let mut system = empty().await;
    let second = Duration::from_secs(1);
    let slowly = Backoff::exponential(second..=second).first(FirstRestart::Delayed);
    let again = Puppet::spec("hello").tags(["key"]).backoff(slowly);
    let hello = register(&system, again).await;
    let address = hello.address::<PuppetMessage>().unwrap();
    let here = [hello.clone()];

    address.send(PuppetMessage::Crash("boom".into())).unwrap();
    for step in ["child.terminated", "supervisor.restart.scheduled"] {
        let event = format!("regrow.{step}");
        system.expect(&event, "root/hello").await;
        let known = system.registry().get("root/hello");
        assert_eq!(known.as_ref(), Some(&hello), "{step}");
        assert_eq!(system.registry().find(&query("key")), here);
        assert_eq!(hello.phase(), Phase::Backoff, "{step}");
        let refused = address.send(PuppetMessage::Exit).unwrap_err();
        let refused = refused.to_string();
        assert_eq!(refused, "child \"root/hello\" is not running");
    }
    let meanwhile = hello.address::<PuppetMessage>().expect("at any time");
    system.expect("regrow.child.started", "root/hello").await;
    assert_eq!(system.registry().find(&query("key")), here);
    assert_eq!((hello.phase(), hello.generation()), (Phase::Running, 2));
    meanwhile.send(PuppetMessage::Exit).unwrap();
    system.expect("regrow.child.terminated", "root/hello").await;
}

/// Elixir's may return the dead. However far behind the index is, ours does not.
#[tokio::test(start_paused = true)]
async fn look_ups_never_return_a_stopped_actor_as_ready() {
    let mut system = empty().await;
    let hello = Puppet::spec("hello").tags(["key"]);
    let hello = register(&system, hello.backoff(Backoff::none())).await;
    let registry = system.registry();
    let ready = query("key and ready");
    registry.caught_up().await;
    let here = [hello.clone()];
    for life in 1..=20 {
        assert_eq!(registry.find(&ready), here);
        assert_eq!(hello.generation(), life);
        system.puppet("root/hello").crash("boom");
        system.expect("regrow.child.terminated", "root/hello").await;
        let found = registry.find(&ready);
        assert!(found.iter().all(|found| found.generation() > life));
        system.expect("regrow.child.started", "root/hello").await;
    }
    system.terminate_child("root/hello").await.unwrap();
    assert_eq!(registry.find(&ready), []);
    assert_eq!(registry.find(&query("key")), []);
    assert!(registry.pick(&ready, &regrow::Select::First).is_none());
}

#[tokio::test(start_paused = true)]
async fn two_registries_with_the_same_paths_share_nothing() {
    let (one, other) = (empty().await, empty().await);
    let mut listener = listen(&other, "*").await;
    register(&one, holder("hello", "key", "one")).await;
    assert_eq!(count(&other, "*").await, 0);
    assert!(other.registry().get("root/hello").is_none());

    register(&other, holder("hello", "key", "other")).await;
    assert_eq!(next(&mut listener).await, "root/hello comes");
    assert_eq!(dispatch(&one, "key").await, ["one"]);
    assert_eq!(dispatch(&other, "key").await, ["other"]);
    one.terminate_child("root/hello").await.unwrap();
    assert_eq!(found(&one, "key").await, [""; 0]);
    assert_eq!(found(&other, "key").await, ["hello"]);
}
