//! `registry/unique_test.exs`: a key belongs to one child. Here that is a name; where keys are looked for by what they are, each child
//! has a tag of its own.

use regrow::testing::Puppet;
use regrow::{ChildSpec, ClaimError, Conflict, RegisterError, Registered, Registry, Restart};

use super::{A, Left, NO_MATCH_SPECS, ONE_PART, Port, TYPED, Y, dispatch};
use super::{Question, agent, assert_is_watched_while_it_has_a_key, process};
use super::{assert_who_has_ended_knows_nobody, count, empty, found, holder, listen};
use super::{next, query, register, triple, unregister};

/// The cases in Elixir's order.
pub(super) const CASES: [(&str, Port); 35] = [
    ("starts_configured_number_of_partitions", Left(ONE_PART)),
    ("counts_0_keys_in_an_empty_registry", Y),
    ("counts_the_number_of_keys_in_a_registry", Y),
    ("has_unique_registrations", A),
    ("has_unique_registrations_across_processes", Y),
    ("has_unique_registrations_even_if_partition_is_delayed", Y),
    ("supports_match_patterns", A),
    ("supports_guard_conditions", A),
    ("supports_reserved_keys", Left(NO_MATCH_SPECS)),
    ("count_match_supports_match_patterns", A),
    ("count_match_supports_guard_conditions", A),
    ("unregister_match_supports_patterns", A),
    ("unregister_match_supports_guards", A),
    ("compares_using_three_equals_signs", Left(TYPED)),
    ("updates_current_process_value", A),
    ("dispatches_to_a_single_key", A),
    ("unregisters_process_by_key", Y),
    ("unregisters_with_no_entries", Y),
    ("allows_listeners", A),
    ("links_and_unlinks_on_register_unregister", A),
    ("raises_on_unknown_registry_name", A),
    ("via_callbacks", A),
    ("uses_value_provided_in_via", A),
    ("empty_list_for_empty_registry", Y),
    ("select_all", Y),
    ("select_supports_full_match_specs", A),
    ("select_supports_guard_conditions", A),
    ("select_allows_multiple_specs", A),
    (
        "select_raises_on_incorrect_shape_of_match_spec",
        Left(NO_MATCH_SPECS),
    ),
    ("count_select_supports_match_specs", A),
    ("count_select_supports_guard_conditions", A),
    ("count_select_allows_multiple_specs", A),
    (
        "count_select_raises_on_incorrect_shape_of_match_spec",
        Left(NO_MATCH_SPECS),
    ),
    ("does_not_grow_ets_on_already_registered", Y),
    (
        "does_not_grow_ets_on_already_registered_across_processes",
        Y,
    ),
];

/// Two children that may have names.
async fn two() -> (crate::elixir_registry::TestSystem, Registered, Registered) {
    let system = empty().await;
    for id in ["one", "two"] {
        register(&system, Puppet::spec(id)).await;
    }
    let child = |id: &str| {
        let path = format!("root/{id}");
        system.registry().get(&path).expect("it is there")
    };
    let (one, two) = (child("one"), child("two"));
    (system, one, two)
}

async fn claim(
    registry: &Registry,
    name: &str,
    child: &Registered,
) -> Result<Option<Registered>, ClaimError> {
    registry.claim(name, child, Conflict::Reject).await
}

/// Case 4. In Elixir it is a conflict with oneself; a name of ours survives restarts, so each life may claim it again.
#[tokio::test(start_paused = true)]
async fn has_unique_registrations() {
    let (system, one, _) = two().await;
    let registry = system.registry();
    assert!(matches!(claim(&registry, "hello", &one).await, Ok(None)));
    assert!(matches!(claim(&registry, "hello", &one).await, Ok(None)));
    assert_eq!(registry.names_of(&one), ["hello".into()]);
    assert!(matches!(claim(&registry, "world", &one).await, Ok(None)));
    assert_eq!(registry.names_of(&one), ["hello".into(), "world".into()]);
}

/// Case 5.
#[tokio::test(start_paused = true)]
async fn has_unique_registrations_across_processes() {
    let (system, one, two) = two().await;
    let registry = system.registry();
    assert!(matches!(claim(&registry, "hello", &one).await, Ok(None)));
    let refused = claim(&registry, "hello", &two).await;
    assert!(matches!(refused, Err(ClaimError::Taken { holder, .. }) if holder == one));
    assert_eq!(registry.names_of(&two), [] as [std::sync::Arc<str>; 0]);
    assert_eq!(registry.whereis("hello"), Some(one));
}

/// Case 6: the holder is gone, and the registry has not heard of it.
#[tokio::test(start_paused = true)]
async fn has_unique_registrations_even_if_partition_is_delayed() {
    let (system, one, two) = two().await;
    let registry = system.registry();
    assert!(matches!(claim(&registry, "hello", &one).await, Ok(None)));
    system.terminate_child("root/one").await.unwrap();
    assert!(one.is_gone());
    assert!(matches!(claim(&registry, "hello", &two).await, Ok(None)));
    registry.caught_up().await;
    assert_eq!(registry.whereis("hello"), Some(two));
}

/// Case 34.
#[tokio::test(start_paused = true)]
async fn does_not_grow_ets_on_already_registered() {
    let (system, one, _) = two().await;
    let registry = system.registry();
    for _ in 0..10 {
        assert!(matches!(claim(&registry, "hello", &one).await, Ok(None)));
    }
    assert_eq!(registry.names_of(&one).len(), 1);
}

/// Case 35.
#[tokio::test(start_paused = true)]
async fn does_not_grow_ets_on_already_registered_across_processes() {
    let (system, one, two) = two().await;
    let registry = system.registry();
    assert!(matches!(claim(&registry, "hello", &one).await, Ok(None)));
    for _ in 0..10 {
        assert!(claim(&registry, "hello", &two).await.is_err());
    }
    assert_eq!(registry.names_of(&one).len(), 1);
    assert!(registry.names_of(&two).is_empty());
}

/// `hello`, with a value of three parts.
fn hello(third: u32) -> ChildSpec {
    triple("hello", "hello", 1, third)
}

/// `world`, with two texts.
fn world() -> ChildSpec {
    let world = Puppet::spec("world").tags(["world"]);
    world.meta("a", "a").meta("b", "b")
}

/// Case 2.
#[tokio::test(start_paused = true)]
async fn counts_0_keys_in_an_empty_registry() {
    let system = empty().await;
    for text in ["*", "hello", "ready", "kind:actor and hello"] {
        assert_eq!(count(&system, text).await, 0, "{text}");
    }
}

/// Case 3.
#[tokio::test(start_paused = true)]
async fn counts_the_number_of_keys_in_a_registry() {
    let system = empty().await;
    register(&system, holder("hello", "hello", "value")).await;
    register(&system, holder("world", "world", "value")).await;
    assert_eq!(count(&system, "*").await, 2);
    assert_eq!(count(&system, "hello").await, 1);
}

/// Case 7: the parts of a value have names in place of an order. Numbers are compared by what they are worth.
#[tokio::test(start_paused = true)]
async fn supports_match_patterns() {
    let system = empty().await;
    register(&system, hello(1)).await;
    for text in [
        "hello and meta:first=1",
        "hello and meta:first=1.0",
        "hello and meta:second=atom",
        "hello and meta:first=1 and meta:third=1",
        "hello",
        "path:root/hello",
    ] {
        assert_eq!(found(&system, text).await, ["hello"], "{text}");
    }
    for text in [
        "hello and meta:first=2",
        "hello and meta:first=\"1\"",
        "world",
    ] {
        assert_eq!(found(&system, text).await, [""; 0], "{text}");
    }
    register(&system, world()).await;
    assert_eq!(found(&system, "world and meta:b=b").await, ["world"]);
}

/// Case 8: that a part is of a kind is said by comparing it with one: a text is neither less nor more than a number.
#[tokio::test(start_paused = true)]
async fn supports_guard_conditions() {
    let system = empty().await;
    register(&system, hello(2)).await;
    assert_eq!(found(&system, "hello and meta:third>1").await, ["hello"]);
    assert_eq!(found(&system, "hello and meta:third>2").await, [""; 0]);
    let is_text = "hello and meta:second>=\"\"";
    assert_eq!(found(&system, is_text).await, ["hello"]);
    let is_number = "hello and (meta:second<=0 or meta:second>0)";
    assert_eq!(found(&system, is_number).await, [""; 0]);
}

/// Case 10, as case 7.
#[tokio::test(start_paused = true)]
async fn count_match_supports_match_patterns() {
    let system = empty().await;
    register(&system, hello(1)).await;
    assert_eq!(count(&system, "hello and meta:first=1").await, 1);
    assert_eq!(count(&system, "hello and meta:first=2").await, 0);
    assert_eq!(count(&system, "hello and meta:second=atom").await, 1);
    assert_eq!(count(&system, "hello").await, 1);
    register(&system, world()).await;
    assert_eq!(count(&system, "world and meta:b=b").await, 1);
}

/// Case 11, as case 8.
#[tokio::test(start_paused = true)]
async fn count_match_supports_guard_conditions() {
    let system = empty().await;
    register(&system, hello(2)).await;
    assert_eq!(count(&system, "hello and meta:third>1").await, 1);
    assert_eq!(count(&system, "hello and meta:third>2").await, 0);
    assert_eq!(count(&system, "hello and meta:second>=\"\"").await, 1);
}

/// Case 12: whoever is meant loses the tag.
#[tokio::test(start_paused = true)]
async fn unregister_match_supports_patterns() {
    let system = empty().await;
    let child = register(&system, hello(1)).await;
    for text in ["hello and meta:first=2", "hello and meta:first=atom"] {
        unregister(&system, text, "hello").await;
        assert_eq!(found(&system, "hello").await, ["hello"], "{text}");
    }
    unregister(&system, "hello and meta:second=atom", "hello").await;
    assert_eq!(found(&system, "hello").await, [""; 0]);
    assert!(child.is_ready(), "it runs on");
}

/// Case 13.
#[tokio::test(start_paused = true)]
async fn unregister_match_supports_guards() {
    let system = empty().await;
    register(&system, hello(1)).await;
    unregister(&system, "hello and meta:first<2", "hello").await;
    assert_eq!(found(&system, "hello").await, [""; 0]);
}

/// Case 15: whoever has found it may change it, not its owner alone; who is not there is not found.
#[tokio::test(start_paused = true)]
async fn updates_current_process_value() {
    let system = empty().await;
    assert!(system.registry().get("root/world").is_none());
    let world = ChildSpec::actor_from("world", |context| {
        let me = context.registered().expect("it has a place");
        me.edit(|profile| {
            let value = profile.metadata.entry("value").or_insert(0.into());
            *value = (value.as_u64().expect("a number") + 1).into();
        });
        (super::Holder("value"), ())
    });
    let world = register(&system, world).await;
    assert_eq!(found(&system, "meta:value=1").await, ["world"]);
    world.edit(|profile| drop(profile.metadata.insert("value".into(), 2.into())));
    assert_eq!(world.profile().metadata["value"], 2);
    assert_eq!(found(&system, "meta:value=1").await, [""; 0]);
    assert_eq!(found(&system, "meta:value=2").await, ["world"]);
}

/// Case 16: who dispatches finds, and sends.
#[tokio::test(start_paused = true)]
async fn dispatches_to_a_single_key() {
    let system = empty().await;
    assert_eq!(dispatch(&system, "hello").await, [""; 0]);
    register(&system, holder("hello", "hello", "value")).await;
    assert_eq!(dispatch(&system, "hello").await, ["value"]);
}

/// Case 17.
#[tokio::test(start_paused = true)]
async fn unregisters_process_by_key() {
    let system = empty().await;
    unregister(&system, "hello", "hello").await;
    let both = Puppet::spec("both").tags(["hello", "world"]);
    let both = register(&system, both).await;
    let keys = || both.profile().tags.iter().cloned().collect::<Vec<_>>();
    assert_eq!(keys(), ["hello".into(), "world".into()]);

    unregister(&system, "hello", "hello").await;
    assert_eq!(keys(), ["world".into()]);
    assert_eq!(found(&system, "hello").await, [""; 0]);
    assert_eq!(found(&system, "world").await, ["both"]);

    unregister(&system, "world", "world").await;
    assert_eq!(keys(), []);
    assert_eq!(found(&system, "world").await, [""; 0]);
    assert_eq!(found(&system, "*").await, ["both"]);
}

/// Case 18: and nobody is told of a change that is none.
#[tokio::test(start_paused = true)]
async fn unregisters_with_no_entries() {
    let system = empty().await;
    let mut listener = listen(&system, "*").await;
    register(&system, holder("world", "world", "value")).await;
    assert_eq!(next(&mut listener).await, "root/world comes");
    system.registry().caught_up().await;
    while listener.try_next().is_some() {}
    unregister(&system, "hello", "hello").await;
    unregister(&system, "world", "hello").await;
    assert_eq!(found(&system, "world").await, ["world"]);
    assert_eq!(listener.try_next(), None);
}

/// Case 19: a listener says whom it listens to, and is told of a crash too.
#[tokio::test(start_paused = true)]
async fn allows_listeners() {
    let system = empty().await;
    let mut listener = listen(&system, "hello or world").await;
    register(&system, holder("hello", "hello", "world")).await;
    assert_eq!(next(&mut listener).await, "root/hello comes");
    register(&system, holder("other", "other", "value")).await;
    let world = Puppet::spec("world").tags(["world"]);
    register(&system, world.restart(Restart::Temporary)).await;
    assert_eq!(next(&mut listener).await, "root/world comes");

    unregister(&system, "hello", "hello").await;
    assert_eq!(next(&mut listener).await, "root/hello is running");
    system.puppet("root/world").crash("boom");
    assert_eq!(next(&mut listener).await, "root/world goes: panic");
    system.registry().caught_up().await;
    assert_eq!(listener.try_next(), None, "nothing is told twice");
}

/// Case 21.
#[tokio::test(start_paused = true)]
async fn raises_on_unknown_registry_name() {
    assert_who_has_ended_knows_nobody(hello(1), "hello").await;
}

/// Case 20.
#[tokio::test(start_paused = true)]
async fn links_and_unlinks_on_register_unregister() {
    assert_is_watched_while_it_has_a_key(["hello", "world"]).await;
}

/// Case 22: under a name it is registered, sent to, looked for, taken back; a second one is told who has it.
#[tokio::test(start_paused = true)]
async fn via_callbacks() {
    let system = empty().await;
    let registry = system.registry();
    let first = registry
        .register("hello", agent("0").await, process())
        .await;
    let first = first.expect("nobody has it");
    let address = system.address::<Question>("@/hello").expect("it is there");
    assert_eq!(address.call(|reply| reply).await, Ok("0"));
    assert_eq!(registry.get("@/hello"), Some(first.clone()));

    let second = registry
        .register("hello", agent("1").await, process())
        .await;
    assert!(matches!(second, Err(RegisterError::Taken { holder }) if holder == first));
    assert!(registry.unregister(&first).await);
    assert!(registry.get("@/hello").is_none());
    assert!(address.call(|reply| reply).await.is_err());
    let second = registry
        .register("hello", agent("1").await, process())
        .await;
    assert!(second.is_ok());
    // An address of the first does not become one of the second.
    assert!(!address.is_running());
    assert_eq!(dispatch(&system, "path:@/hello").await, ["1"]);
}

/// Case 23: the value is its metadata.
#[tokio::test(start_paused = true)]
async fn uses_value_provided_in_via() {
    let system = empty().await;
    let registry = system.registry();
    let profile = process().meta("value", "value");
    let hello = registry.register("hello", agent("0").await, profile).await;
    assert_eq!(
        hello.expect("it is there").profile().metadata["value"],
        "value"
    );
    assert_eq!(found(&system, "meta:value=value").await, ["hello"]);
}

/// Case 24.
#[tokio::test(start_paused = true)]
async fn empty_list_for_empty_registry() {
    let system = empty().await;
    assert_eq!(found(&system, "*").await, [""; 0]);
    let never_asked = regrow::testing::TestSystem::start(regrow::Supervisor::new("root")).await;
    assert_eq!(never_asked.registry().find(&query("*")), []);
}

/// Case 25.
#[tokio::test(start_paused = true)]
async fn select_all() {
    let system = empty().await;
    register(&system, Puppet::spec("hello")).await;
    register(&system, Puppet::spec("world").meta("value", "value")).await;
    system.registry().caught_up().await;
    let all = system.registry().find(&query("*")).into_iter();
    let mut all: Vec<_> = all
        .map(|child| (child.path().to_string(), child.entry()))
        .map(|(path, entry)| (path, entry.profile.metadata.get("value").cloned()))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(
        all,
        [
            ("root/hello".to_owned(), None),
            ("root/world".to_owned(), Some("value".into())),
        ]
    );
}

/// Case 26: by key, by who it is, by value, by parts of it.
#[tokio::test(start_paused = true)]
async fn select_supports_full_match_specs() {
    let system = empty().await;
    register(&system, hello(1)).await;
    for text in [
        "hello",
        "path:root/hello",
        "meta:first=1 and meta:second=atom and meta:third=1",
        "meta:second=atom",
    ] {
        assert_eq!(found(&system, text).await, ["hello"], "{text}");
    }
    for text in ["world", "path:root/world", "meta:first=2"] {
        assert_eq!(found(&system, text).await, [""; 0], "{text}");
    }
    register(&system, world()).await;
    let one = "world and path:root/world and meta:b=b";
    assert_eq!(found(&system, one).await, ["world"]);
    assert_eq!(found(&system, "*").await, ["hello", "world"]);
}

/// Case 27.
#[tokio::test(start_paused = true)]
async fn select_supports_guard_conditions() {
    let system = empty().await;
    register(&system, hello(2)).await;
    assert_eq!(found(&system, "meta:third>1").await, ["hello"]);
    assert_eq!(found(&system, "meta:third>2").await, [""; 0]);
    assert_eq!(found(&system, "meta:second>=\"\"").await, ["hello"]);
}

/// Case 28: one or the other.
#[tokio::test(start_paused = true)]
async fn select_allows_multiple_specs() {
    let system = empty().await;
    register(&system, hello(1)).await;
    register(&system, world()).await;
    register(&system, Puppet::spec("other")).await;
    assert_eq!(found(&system, "hello or world").await, ["hello", "world"]);
}

/// Case 30.
#[tokio::test(start_paused = true)]
async fn count_select_supports_match_specs() {
    let system = empty().await;
    register(&system, hello(1)).await;
    let whole = "meta:first=1 and meta:second=atom and meta:third=1";
    assert_eq!(count(&system, whole).await, 1);
    assert_eq!(count(&system, "hello").await, 1);
    assert_eq!(count(&system, "meta:first=1 and meta:second=atom").await, 1);
    assert_eq!(count(&system, "hello and meta:first=null").await, 0);
    register(&system, world()).await;
    assert_eq!(count(&system, "world").await, 1);
}

/// Case 31.
#[tokio::test(start_paused = true)]
async fn count_select_supports_guard_conditions() {
    let system = empty().await;
    register(&system, hello(2)).await;
    assert_eq!(count(&system, "meta:second>=\"\"").await, 1);
    assert_eq!(count(&system, "meta:third>1").await, 1);
    assert_eq!(count(&system, "meta:third>2").await, 0);
}

/// Case 32.
#[tokio::test(start_paused = true)]
async fn count_select_allows_multiple_specs() {
    let system = empty().await;
    register(&system, hello(1)).await;
    register(&system, world()).await;
    register(&system, Puppet::spec("other")).await;
    assert_eq!(count(&system, "hello or world").await, 2);
}
