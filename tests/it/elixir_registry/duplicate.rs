//! `registry/duplicate_test.exs`: many have one key. Here it is a tag that several children have.

use regrow::ChildSpec;
use regrow::testing::{Puppet, TestSystem};
use tokio::task::JoinSet;

use super::{A, Left, NO_GROUPS, NO_MATCH_SPECS, ONE_PART, Port, Question, TYPED, Y};
use super::{agent, assert_is_watched_while_it_has_a_key, process};
use super::{assert_who_has_ended_knows_nobody, count, dispatch, empty, found, holder};
use super::{listen, next, query, register, triple, unregister};

/// The cases in Elixir's order; those that are not portable have our names.
pub(super) const CASES: [(&str, Port); 34] = [
    ("starts_configured_number_of_partitions", Left(ONE_PART)),
    ("counts_0_keys_in_an_empty_registry", Y),
    ("counts_the_number_of_keys_in_a_registry", Y),
    ("has_duplicate_registrations", Left(NO_GROUPS)),
    ("has_duplicate_registrations_across_processes", A),
    ("compares_using_matches", Left(TYPED)),
    ("dispatches_to_multiple_keys_in_serial", A),
    ("dispatches_to_multiple_keys_in_parallel", A),
    ("unregisters_by_key", A),
    ("unregisters_with_no_entries", Y),
    ("supports_match_patterns", A),
    ("supports_guards", A),
    ("keys_that_look_like_patterns", Left(NO_MATCH_SPECS)),
    ("count_match_supports_match_patterns", A),
    ("count_match_supports_guard_conditions", A),
    ("unregister_match_supports_patterns", A),
    ("unregister_match_supports_guards", A),
    ("allows_listeners", A),
    ("links_and_unlinks_on_register_unregister", A),
    ("raises_on_unknown_registry_name", A),
    ("raises_if_attempt_to_be_used_on_via", A),
    ("empty_list_for_empty_registry", Y),
    ("select_all", Y),
    ("select_supports_full_match_specs", A),
    ("select_supports_guard_conditions", A),
    ("select_allows_multiple_specs", A),
    ("count_select_supports_match_specs", A),
    ("count_select_supports_guard_conditions", A),
    ("count_select_allows_multiple_specs", A),
    (
        "rejects_invalid_tuple_syntax",
        Left("not portable: a registry has one kind of keys, which nobody chooses"),
    ),
    ("update_value_is_not_supported", Left(NO_GROUPS)),
    ("reserved_atom_keys", Left(NO_MATCH_SPECS)),
    ("select_with_reserved_atom_keys", Left(NO_MATCH_SPECS)),
    ("count_select_with_reserved_atom_keys", Left(NO_MATCH_SPECS)),
];

/// `ann` has `{1, "atom", 1}` under the key `hello`, and `bob` has `{2, "atom", 2}`.
async fn two() -> TestSystem {
    let system = empty().await;
    register(&system, triple("ann", "hello", 1, 1)).await;
    register(&system, triple("bob", "hello", 2, 2)).await;
    system
}

/// One more, under another key.
fn world() -> ChildSpec {
    Puppet::spec("eve").tags(["world"]).meta("b", "b")
}

/// Two values under `hello`, and one under `world`.
async fn three_holders() -> TestSystem {
    let system = empty().await;
    register(&system, holder("ann", "hello", "value1")).await;
    register(&system, holder("bob", "hello", "value2")).await;
    register(&system, holder("eve", "world", "value3")).await;
    system
}

/// Case 2.
#[tokio::test(start_paused = true)]
async fn counts_0_keys_in_an_empty_registry() {
    let system = empty().await;
    assert_eq!(count(&system, "hello").await, 0);
    let tag = regrow::Term::Tag("hello".into());
    assert_eq!(system.registry().members(&tag).len(), 0);
}

/// Case 3.
#[tokio::test(start_paused = true)]
async fn counts_the_number_of_keys_in_a_registry() {
    let system = two().await;
    assert_eq!(count(&system, "hello").await, 2);
    let tag = regrow::Term::Tag("hello".into());
    assert_eq!(system.registry().members(&tag).len(), 2);
}

/// Case 5: each has its own keys and its own value.
#[tokio::test(start_paused = true)]
async fn has_duplicate_registrations_across_processes() {
    let system = empty().await;
    let task = register(&system, holder("task", "hello", "world")).await;
    let me = ChildSpec::actor("me", super::Holder("value"), ());
    let me = register(&system, me).await;
    assert!(task.profile().tags.contains("hello"));
    assert!(me.profile().tags.is_empty());
    assert_eq!(dispatch(&system, "hello").await, ["world"]);

    me.edit(|profile| drop(profile.tags.replace("hello".into())));
    assert!(me.profile().tags.contains("hello"));
    assert_eq!(found(&system, "hello").await, ["me", "task"]);
    assert_eq!(dispatch(&system, "hello").await, ["value", "world"]);
}

/// Case 7: who dispatches finds, and sends to all.
#[tokio::test(start_paused = true)]
async fn dispatches_to_multiple_keys_in_serial() {
    assert_eq!(dispatch(&empty().await, "hello").await, [""; 0]);
    let system = three_holders().await;
    assert_eq!(dispatch(&system, "hello").await, ["value1", "value2"]);
    assert_eq!(dispatch(&system, "world").await, ["value3"]);
}

/// Case 8: what is found can be taken into as many tasks as there are.
#[tokio::test(start_paused = true)]
async fn dispatches_to_multiple_keys_in_parallel() {
    let system = three_holders().await;
    system.registry().caught_up().await;
    for (text, expected) in [
        ("nobody", &[][..]),
        ("hello", &["value1", "value2"]),
        ("world", &["value3"]),
    ] {
        let mut tasks = JoinSet::new();
        for child in system.registry().find(&query(text)) {
            tasks.spawn(async move {
                let address = child.address::<Question>().expect("it takes questions");
                address.call(|reply| reply).await.expect("it answers")
            });
        }
        let mut values = tasks.join_all().await;
        values.sort_unstable();
        assert_eq!(values, expected, "{text}");
    }
}

/// Case 9: a tag is had once, so one that is taken away is gone.
#[tokio::test(start_paused = true)]
async fn unregisters_by_key() {
    let system = empty().await;
    let both = Puppet::spec("both").tags(["hello", "hello", "world"]);
    let both = register(&system, both).await;
    let keys = || both.profile().tags.iter().cloned().collect::<Vec<_>>();
    assert_eq!(keys(), ["hello".into(), "world".into()]);
    unregister(&system, "hello", "hello").await;
    assert_eq!(keys(), ["world".into()]);
    assert_eq!(found(&system, "hello").await, [""; 0]);
    unregister(&system, "world", "world").await;
    assert_eq!(keys(), []);
    assert_eq!(found(&system, "world").await, [""; 0]);
}

/// Case 10.
#[tokio::test(start_paused = true)]
async fn unregisters_with_no_entries() {
    let system = two().await;
    unregister(&system, "world", "world").await;
    unregister(&system, "hello", "world").await;
    assert_eq!(found(&system, "hello").await, ["ann", "bob"]);
}

/// Case 11.
#[tokio::test(start_paused = true)]
async fn supports_match_patterns() {
    let system = two().await;
    assert_eq!(found(&system, "hello and meta:first=1").await, ["ann"]);
    assert_eq!(found(&system, "hello and meta:first=2").await, ["bob"]);
    assert_eq!(found(&system, "hello and meta:first=3").await, [""; 0]);
    let atom = "hello and meta:second=atom";
    assert_eq!(found(&system, atom).await, ["ann", "bob"]);
}

/// Case 12: that a part is a text is said by comparing it with one.
#[tokio::test(start_paused = true)]
async fn supports_guards() {
    let system = two().await;
    assert_eq!(found(&system, "hello and meta:first<2").await, ["ann"]);
    assert_eq!(found(&system, "hello and meta:first>3").await, [""; 0]);
    for text in ["hello and meta:first<3", "hello and meta:second>=\"\""] {
        assert_eq!(found(&system, text).await, ["ann", "bob"], "{text}");
    }
}

/// Case 14.
#[tokio::test(start_paused = true)]
async fn count_match_supports_match_patterns() {
    let system = two().await;
    assert_eq!(count(&system, "hello and meta:first=1").await, 1);
    assert_eq!(count(&system, "hello and meta:first=3").await, 0);
    assert_eq!(count(&system, "hello and meta:second=atom").await, 2);
    assert_eq!(count(&system, "hello").await, 2);
    register(&system, world()).await;
    assert_eq!(count(&system, "world and meta:b=b").await, 1);
}

/// Case 15.
#[tokio::test(start_paused = true)]
async fn count_match_supports_guard_conditions() {
    let system = two().await;
    assert_eq!(count(&system, "hello and meta:third>1").await, 1);
    assert_eq!(count(&system, "hello and meta:third>2").await, 0);
    assert_eq!(count(&system, "hello and meta:second>=\"\"").await, 2);
}

/// Case 16: whoever is meant loses the tag, and may get it again.
#[tokio::test(start_paused = true)]
async fn unregister_match_supports_patterns() {
    let system = two().await;
    unregister(&system, "hello and meta:first=2", "hello").await;
    assert_eq!(found(&system, "hello").await, ["ann"]);
    let bob = system.registry().get("root/bob").expect("it runs on");
    bob.edit(|profile| drop(profile.tags.replace("hello".into())));
    unregister(&system, "hello and meta:first=3", "hello").await;
    assert_eq!(found(&system, "hello").await, ["ann", "bob"]);
    unregister(&system, "hello and meta:second=atom", "hello").await;
    assert_eq!(found(&system, "hello").await, [""; 0]);
}

/// Case 17.
#[tokio::test(start_paused = true)]
async fn unregister_match_supports_guards() {
    let system = two().await;
    unregister(&system, "hello and meta:first<2", "hello").await;
    assert_eq!(found(&system, "hello").await, ["bob"]);
}

/// Case 18: each of several is told, and why it goes.
#[tokio::test(start_paused = true)]
async fn allows_listeners() {
    let system = empty().await;
    let mut listener = listen(&system, "hello").await;
    register(&system, holder("task", "hello", "world")).await;
    assert_eq!(next(&mut listener).await, "root/task comes");
    register(&system, Puppet::spec("me").tags(["hello"])).await;
    assert_eq!(next(&mut listener).await, "root/me comes");

    unregister(&system, "path:root/me", "hello").await;
    assert_eq!(next(&mut listener).await, "root/me is running");
    system.terminate_child("root/task").await.unwrap();
    assert_eq!(next(&mut listener).await, "root/task goes: removed");
}

/// Case 20.
#[tokio::test(start_paused = true)]
async fn raises_on_unknown_registry_name() {
    assert_who_has_ended_knows_nobody(triple("hello", "key", 1, 1), "key and ready").await;
}

/// Case 22.
#[tokio::test(start_paused = true)]
async fn empty_list_for_empty_registry() {
    let system = empty().await;
    for text in ["*", "hello", "not hello", "hello or ready"] {
        assert_eq!(found(&system, text).await, [""; 0], "{text}");
    }
}

/// Case 23.
#[tokio::test(start_paused = true)]
async fn select_all() {
    let system = two().await;
    assert_eq!(found(&system, "*").await, ["ann", "bob"]);
}

/// Case 24: by key, by who it is, by value, by parts of it.
#[tokio::test(start_paused = true)]
async fn select_supports_full_match_specs() {
    let system = two().await;
    register(&system, world()).await;
    let cases: [(&str, &[&str]); 7] = [
        ("hello", &["ann", "bob"]),
        ("path:root/ann", &["ann"]),
        ("meta:first=2 and meta:second=atom", &["bob"]),
        ("meta:second=atom", &["ann", "bob"]),
        ("meta:first=3", &[]),
        ("world and path:root/eve and meta:b=b", &["eve"]),
        ("*", &["ann", "bob", "eve"]),
    ];
    for (text, expected) in cases {
        assert_eq!(found(&system, text).await, expected, "{text}");
    }
}

/// Case 25.
#[tokio::test(start_paused = true)]
async fn select_supports_guard_conditions() {
    let system = two().await;
    assert_eq!(found(&system, "meta:third>1").await, ["bob"]);
    assert_eq!(found(&system, "meta:third>2").await, [""; 0]);
    assert_eq!(found(&system, "meta:second>=\"\"").await, ["ann", "bob"]);
}

/// Case 26: one or the other, and whoever is both is found once.
#[tokio::test(start_paused = true)]
async fn select_allows_multiple_specs() {
    let system = two().await;
    register(&system, world()).await;
    let all = ["ann", "bob", "eve"];
    assert_eq!(found(&system, "hello or world").await, all);
    assert_eq!(
        found(&system, "hello or meta:first=1").await,
        ["ann", "bob"]
    );
}

/// Case 27.
#[tokio::test(start_paused = true)]
async fn count_select_supports_match_specs() {
    let system = two().await;
    let whole = "meta:first=1 and meta:second=atom and meta:third=1";
    assert_eq!(count(&system, whole).await, 1);
    assert_eq!(count(&system, "hello").await, 2);
    assert_eq!(count(&system, "meta:second=atom").await, 2);
    assert_eq!(count(&system, "hello and meta:first=null").await, 0);
    register(&system, world()).await;
    assert_eq!(count(&system, "world").await, 1);
}

/// Case 28.
#[tokio::test(start_paused = true)]
async fn count_select_supports_guard_conditions() {
    let system = two().await;
    assert_eq!(count(&system, "meta:second>=\"\"").await, 2);
    assert_eq!(count(&system, "meta:third>1").await, 1);
    assert_eq!(count(&system, "meta:third>2").await, 0);
}

/// Case 29.
#[tokio::test(start_paused = true)]
async fn count_select_allows_multiple_specs() {
    let system = two().await;
    register(&system, world()).await;
    assert_eq!(count(&system, "hello or world").await, 3);
    assert_eq!(count(&system, "hello or meta:first=1").await, 2);
}

/// Case 19.
#[tokio::test(start_paused = true)]
async fn links_and_unlinks_on_register_unregister() {
    assert_is_watched_while_it_has_a_key(["ann", "bob"]).await;
}

/// Case 21: what many have is nobody's name, so nobody is found by it alone.
#[tokio::test(start_paused = true)]
async fn raises_if_attempt_to_be_used_on_via() {
    let system = empty().await;
    let registry = system.registry();
    let ann = registry.register("ann", agent("0").await, process()).await;
    let ann = ann.expect("it is there");
    registry.join("hello", &ann).await.expect("it can");
    assert_eq!(registry.group("hello").len(), 1);
    assert_eq!(registry.whereis("hello"), None);
    assert!(system.address::<Question>("hello").is_err());
}
