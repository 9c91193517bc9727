//! What the index answers, and what it ignores.

use super::*;
use crate::query::Query;
use crate::testing::registry::actor;
use crate::{ExitKind, Phase};

fn tag(tag: &str) -> Term {
    Term::Tag(tag.into())
}

/// Three coders; their handles are numbers.
fn three() -> Index<u32> {
    let mut index = Index::new();
    for (handle, (path, tags)) in [
        ("root/a", ["fast", "lang=rust"]),
        ("root/b", ["fast", "lang=go"]),
        ("root/b/c", ["slow", "lang=rust"]),
    ]
    .into_iter()
    .enumerate()
    {
        let change = index.insert(actor(path, &tags), u32::try_from(handle).unwrap());
        assert!(matches!(change, Some(Change::Added(_))));
    }
    index
}

/// The paths that a query means, by slot.
fn paths(index: &Index<u32>, query: &str) -> Vec<String> {
    let query: Query = query.parse().unwrap();
    let found = index.find(&query);
    assert_eq!(index.count(&query), found.len(), "{query}");
    let paths = found.iter().map(|found| found.entry.path.to_string());
    paths.collect()
}

fn handles(members: &Members<u32>) -> Vec<u32> {
    members
        .as_slice()
        .iter()
        .map(|member| member.handle)
        .collect()
}

#[test]
fn a_query_finds_those_that_it_means() {
    let index = three();
    for (query, expected) in [
        ("fast", &["root/a", "root/b"][..]),
        ("lang=rust", &["root/a", "root/b/c"]),
        ("fast and lang=rust", &["root/a"]),
        ("fast and slow", &[]),
        ("fast and none", &[]),
        ("none or slow or lang=go", &["root/b", "root/b/c"]),
        ("not fast", &["root/b/c"]),
        ("not none", &["root/a", "root/b", "root/b/c"]),
        ("lang? and not slow", &["root/a", "root/b"]),
        ("path:root/b", &["root/b", "root/b/c"]),
        ("path:root/b and lang=rust", &["root/b/c"]),
        ("path:root and slow", &["root/b/c"]),
        ("path:root and path:root/b and *", &["root/b", "root/b/c"]),
        (
            "type:coder and kind:actor and pending",
            &["root/a", "root/b", "root/b/c"],
        ),
        ("not (fast or path:root/a)", &["root/b/c"]),
        ("fast and not (lang=go and pending)", &["root/a"]),
        ("fast and not meta:cost=3", &["root/a", "root/b"]),
        ("meta:cost=3 or slow", &["root/b/c"]),
        ("fast and not path:root/b", &["root/a"]),
        ("none", &[]),
    ] {
        assert_eq!(paths(&index, query), expected, "{query}");
    }
}

#[test]
fn a_place_is_found_by_its_path() {
    let index = three();
    let found = index.get("root/b").unwrap();
    assert_eq!((&*found.entry.path, *found.handle), ("root/b", 1));
    assert!(index.get("root/c").is_none());
    assert_eq!((index.len(), index.is_empty()), (3, false));
    assert!(Index::<u32>::default().is_empty());
}

#[test]
fn an_update_tells_what_was_known_and_what_is() {
    let mut index = three();
    let before = Arc::clone(index.get("root/a").unwrap().entry);
    let change = index.update("root/a", 1, |entry| entry.status.ready = true);
    let after = Arc::clone(index.get("root/a").unwrap().entry);
    assert!(after.status.ready && !before.status.ready);
    assert_eq!(change, Some(Change::Updated { before, after }));
    assert_eq!(paths(&index, "ready"), ["root/a"]);
    assert_eq!(paths(&index, "not ready"), ["root/b", "root/b/c"]);
}

#[test]
fn an_update_that_says_nothing_new_is_no_change() {
    let mut index = three();
    assert_eq!(
        index.update("root/a", 1, |entry| entry.status.ready = false),
        None
    );
    assert_eq!(
        index.update("root/x", 1, |entry| entry.status.ready = true),
        None
    );
    assert_eq!(
        index.edit("root/x", |entry| entry.status.ready = true),
        None
    );
    assert_eq!(index, three());
}

#[test]
fn an_update_of_an_earlier_life_is_ignored() {
    let mut index = three();
    let run = |entry: &mut Entry| entry.status.phase = Phase::Running;
    assert!(index.update("root/a", 3, run).is_some());
    let is = index.get("root/a").unwrap().entry.status;
    assert_eq!((is.phase, is.generation), (Phase::Running, 3));
    let fail = |entry: &mut Entry| entry.status.phase = Phase::Backoff;
    assert_eq!(index.update("root/a", 2, fail), None);
    assert_eq!(index.get("root/a").unwrap().entry.status, is);
    assert!(index.update("root/a", 3, fail).is_some());
}

#[test]
fn an_insertion_of_an_earlier_life_is_ignored() {
    let mut index = three();
    index.update("root/a", 2, |_| {});
    assert_eq!(index.insert(actor("root/a", &["new"]), 9), None);
    assert_eq!(*index.get("root/a").unwrap().handle, 0);
    index.remove("root/a", 2, LeaveReason::Removed);
    assert!(index.insert(actor("root/a", &["new"]), 9).is_some());
}

#[test]
fn a_removal_by_an_earlier_life_is_ignored() {
    let mut index = three();
    index.update("root/a", 2, |_| {});
    assert_eq!(index.remove("root/a", 1, LeaveReason::Removed), None);
    assert_eq!(paths(&index, "path:root/a"), ["root/a"]);
    assert!(index.remove("root/a", 2, LeaveReason::Removed).is_some());
    assert_eq!(index.remove("root/a", 2, LeaveReason::Removed), None);
}

#[test]
fn an_edit_is_of_the_place_whatever_life_it_is_in() {
    let mut index = three();
    index.update("root/a", 7, |_| {});
    let change = index.edit("root/a", |entry| {
        let profile = Arc::make_mut(&mut entry.profile);
        profile.tags.insert("late".into());
        profile.tags.remove("fast");
    });
    assert_eq!(change.unwrap().lists(), [tag("fast"), tag("late")]);
    assert_eq!(paths(&index, "late"), ["root/a"]);
    assert_eq!(paths(&index, "fast"), ["root/b"]);
    assert_eq!(index.get("root/a").unwrap().entry.status.generation, 7);
}

#[test]
fn neither_path_nor_generation_is_changed_by_an_edit() {
    let mut index = three();
    let change = index.edit("root/a", |entry| {
        entry.path = "root/b".into();
        entry.status.generation = 9;
    });
    assert_eq!((change, &index), (None, &three()));
}

#[test]
fn what_leaves_is_in_no_list_and_its_reason_is_told() {
    let mut index = three();
    let entry = Arc::clone(index.get("root/a").unwrap().entry);
    let reason = LeaveReason::Ended(ExitKind::Panic);
    let change = index.remove("root/a", 1, reason);
    assert_eq!(change, Some(Change::Removed { entry, reason }));
    assert_eq!(paths(&index, "path:root"), ["root/b", "root/b/c"]);
    assert_eq!(paths(&index, "*"), ["root/b", "root/b/c"]);
    assert_eq!(
        (paths(&index, "lang=rust"), index.len()),
        (vec!["root/b/c".to_owned()], 2)
    );
    for path in ["root/b", "root/b/c"] {
        index.remove(path, 1, LeaveReason::Removed);
    }
    assert_eq!(index, Index::<u32>::new());
    assert!(
        index.lists.is_empty() && index.by_path.is_empty(),
        "nothing is kept of those that left"
    );
}

#[test]
fn the_place_of_one_that_left_is_used_again() {
    let mut index = three();
    for round in 0..100 {
        let path = format!("root/x{round}");
        index.insert(actor(&path, &["x"]), round);
        assert_eq!(paths(&index, "x"), [&*path]);
        index.remove(&path, 1, LeaveReason::Removed);
    }
    assert_eq!((index.rows.len(), index), (4, three()));
}

#[test]
fn each_reason_to_leave_has_its_word() {
    let words = [
        LeaveReason::Ended(ExitKind::Killed),
        LeaveReason::Removed,
        LeaveReason::Unregistered,
        LeaveReason::Lost,
    ];
    assert_eq!(
        words.map(LeaveReason::as_str),
        ["killed", "removed", "unregistered", "lost"]
    );
}

#[test]
fn a_change_names_the_lists_whose_members_are_others() {
    let mut index = Index::new();
    let entry = actor("root/a", &["fast", "lang=rust"]);
    let lists = [
        Term::Kind(crate::ChildKind::Actor),
        Term::Type("coder".into()),
        tag("fast"),
        Term::Pair {
            key: "lang".into(),
            value: "rust".into(),
        },
        Term::Key("lang".into()),
        Term::Phase(Phase::Pending),
        Term::Health(crate::Health::Unknown),
    ];
    assert_eq!(index.insert(entry, 1).unwrap().lists(), lists);
    let change = index.update("root/a", 1, |entry| {
        entry.status.phase = Phase::Running;
        entry.status.ready = true;
        entry.status.load = 9;
    });
    let others = [
        Term::Phase(Phase::Pending),
        Term::Phase(Phase::Running),
        Term::Ready,
    ];
    assert_eq!(change.unwrap().lists(), others);
    let change = index.update("root/a", 1, |entry| entry.status.load = 5);
    assert_eq!(change.unwrap().lists(), []);
    let change = index.insert(actor("root/a", &["fast"]), 2).unwrap();
    assert!(
        lists
            .iter()
            .chain(&others)
            .all(|term| change.lists().contains(term))
    );
    let removed = index.remove("root/a", 1, LeaveReason::Removed).unwrap();
    assert_eq!(removed.lists().len(), 5);
}

#[test]
fn a_list_as_a_value_is_made_once_until_it_has_other_members() {
    let mut index = three();
    let fast = index.members(&tag("fast"));
    assert_eq!(
        (handles(&fast), fast.len(), fast.is_empty()),
        (vec![0, 1], 2, false)
    );
    index.update("root/a", 2, |entry| entry.status.phase = Phase::Running);
    index.remove("root/b/c", 1, LeaveReason::Removed);
    assert!(
        Arc::ptr_eq(&fast, &index.members(&tag("fast"))),
        "neither touched it"
    );
    index.insert(actor("root/d", &["fast"]), 9);
    assert_eq!(handles(&index.members(&tag("fast"))), [0, 1, 9]);
    index.remove("root/a", 2, LeaveReason::Removed);
    assert_eq!(handles(&index.members(&tag("fast"))), [1, 9]);
    assert_eq!(handles(&fast), [0, 1], "a value stays what it is");
    assert!(index.members(&tag("none")).is_empty());
}

#[test]
fn a_place_that_is_given_anew_has_its_new_handle_in_every_list() {
    let mut index = three();
    let (fast, all) = (index.members(&tag("fast")), index.everybody());
    assert_eq!(handles(&all), [0, 1, 2]);
    let before = Arc::clone(index.get("root/a").unwrap().entry);
    let change = index.insert(Entry::clone(&before), 7);
    assert!(matches!(change, Some(Change::Replaced { .. })));
    assert_eq!(
        (handles(&fast), handles(&index.members(&tag("fast")))),
        (vec![0, 1], vec![7, 1])
    );
    assert_eq!(handles(&index.everybody()), [7, 1, 2]);
    assert_eq!(index, three(), "handles are not compared");
}

#[test]
fn lists_as_values_tell_what_they_have_in_common() {
    let index = three();
    let list = |term: &Term| index.members(term);
    let rust = Term::Pair {
        key: "lang".into(),
        value: "rust".into(),
    };
    let (fast, rust, slow) = (list(&tag("fast")), list(&rust), list(&tag("slow")));
    let handles = |members: Vec<&Member<u32>>| -> Vec<u32> {
        members.iter().map(|member| member.handle).collect()
    };
    assert_eq!((fast.count_common(&rust), fast.count_common(&slow)), (1, 0));
    assert_eq!(handles(fast.common(&[&rust])), [0]);
    assert_eq!(handles(rust.common(&[&slow])), [2]);
    assert!(handles(rust.common(&[&slow, &fast])).is_empty());
    assert_eq!(handles(rust.common(&[])), [0, 2]);
}

#[test]
fn indexes_differ_when_they_know_something_else() {
    let change = |edit: fn(&mut Index<u32>)| {
        let mut index = three();
        edit(&mut index);
        index
    };
    let ready = change(|index| drop(index.edit("root/a", |entry| entry.status.ready = true)));
    let fewer = change(|index| drop(index.remove("root/a", 1, LeaveReason::Removed)));
    let unlisted = change(|index| index.unlist(0, &tag("fast")));
    for other in [ready, fewer, unlisted] {
        assert_ne!(other, three());
    }
}

#[test]
fn a_profile_divides_its_tags_at_the_first_sign_of_equality() {
    let profile = Profile::new(crate::ChildKind::Task, "t")
        .tags(["a", "k=v=w", "k=x", "=", "a"])
        .tags([String::from("b")])
        .node("host-1")
        .zone("eu");
    let tags: Vec<&str> = profile.tags.iter().map(|tag| &**tag).collect();
    let keys: Vec<(&str, &str)> = profile.keys.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!((tags, keys), (vec!["a", "b"], vec![("", ""), ("k", "x")]));
    assert_eq!(
        (profile.node.as_deref(), profile.zone.as_deref()),
        (Some("host-1"), Some("eu"))
    );
}
