//! The rules of names and groups; those that Elixir's `Registry` has too are named after its tests.

use super::*;

type Pids = Names<&'static str, u32>;

fn names(held: &[(&'static str, &'static str, u32)]) -> Pids {
    let mut names = Names::new();
    for (name, owner, value) in held {
        assert_eq!(
            names.claim(*name, *owner, *value, Conflict::Reject),
            Ok(Claimed::Free)
        );
    }
    names
}

fn list(names: &Pids) -> Vec<(&str, &str, u32)> {
    names
        .iter()
        .map(|(name, owner, value)| (&**name, *owner, *value))
        .collect()
}

fn of(names: &Pids, owner: &'static str) -> Vec<String> {
    names.names_of(&owner).map(ToString::to_string).collect()
}

#[test]
fn has_unique_registrations() {
    let mut names = names(&[("hello", "a", 1)]);
    let taken = |name: &str| {
        Err(NameTaken {
            name: name.into(),
            holder: "a",
        })
    };
    assert_eq!(
        names.claim("hello", "a", 2, Conflict::Reject),
        taken("hello")
    );
    assert_eq!(
        names.claim("world", "a", 3, Conflict::Reject),
        Ok(Claimed::Free)
    );
    assert_eq!(of(&names, "a"), ["hello", "world"]);
    assert_eq!(
        names.holder("hello"),
        Some((&"a", &1)),
        "what was refused changes nothing"
    );
}

#[test]
fn has_unique_registrations_across_processes() {
    let mut names = names(&[("hello", "a", 1)]);
    let refused = names.claim("hello", "b", 2, Conflict::Reject).unwrap_err();
    assert_eq!(refused.to_string(), "name \"hello\" is taken by a");
    assert!(of(&names, "b").is_empty());
    assert_eq!((names.len(), names.owners()), (1, 1), "no residue");
}

#[test]
fn a_name_that_is_replaced_goes_over_and_the_one_before_is_told() {
    let mut names = names(&[("hello", "a", 1), ("other", "a", 2)]);
    let claimed = names.claim("hello", "b", 3, Conflict::Replace);
    assert_eq!(
        claimed,
        Ok(Claimed::Replaced {
            owner: "a",
            value: 1
        })
    );
    assert_eq!(list(&names), [("hello", "b", 3), ("other", "a", 2)]);
    assert_eq!(
        (of(&names, "a"), of(&names, "b")),
        (vec!["other".to_owned()], vec!["hello".to_owned()])
    );
    assert_eq!(
        names.claim("new", "b", 4, Conflict::Replace),
        Ok(Claimed::Free)
    );
    let again = names.claim("new", "b", 5, Conflict::Replace);
    assert_eq!(
        again,
        Ok(Claimed::Replaced {
            owner: "b",
            value: 4
        })
    );
    assert_eq!(names.release_all(&"b").len(), 2);
}

#[test]
fn a_rule_of_the_shells_own_decides_by_who_has_the_name() {
    let mut names = names(&[("hello", "dying", 1)]);
    for (owner, goes_over) in [("b", true), ("c", false)] {
        let rule = |holder: &str| {
            if holder == "dying" {
                Conflict::Replace
            } else {
                Conflict::Reject
            }
        };
        let conflict = names
            .holder("hello")
            .map_or(Conflict::Reject, |(holder, _)| rule(holder));
        assert_eq!(names.claim("hello", owner, 2, conflict).is_ok(), goes_over);
    }
    assert_eq!(list(&names), [("hello", "b", 2)]);
}

#[test]
fn unregisters_process_by_key() {
    let mut names = names(&[("hello", "a", 1), ("world", "a", 2)]);
    assert_eq!(names.release("hello", &"b"), None, "his own only");
    assert_eq!(names.release("hello", &"a"), Some(1));
    assert_eq!(of(&names, "a"), ["world"]);
    assert_eq!(names.release("world", &"a"), Some(2));
    assert_eq!((names.is_empty(), names.owners()), (true, 0));
}

#[test]
fn unregisters_with_no_entries() {
    assert_eq!(Pids::new().release("hello", &"a"), None);
    assert!(Pids::default().release_all(&"a").is_empty());
}

#[test]
fn unregister_match_supports_patterns_and_guards() {
    let mut names = names(&[("hello", "a", 1)]);
    assert_eq!(names.release_if("hello", &"a", |value| *value > 1), None);
    assert_eq!(names.release_if("hello", &"b", |value| *value == 1), None);
    assert_eq!(names.holder("hello"), Some((&"a", &1)));
    assert_eq!(
        names.release_if("hello", &"a", |value| *value == 1),
        Some(1)
    );
    assert_eq!(names.holder("hello"), None);
}

#[test]
fn updates_current_process_value() {
    let mut names = names(&[("hello", "a", 1)]);
    assert_eq!(names.update("hello", &"b", |value| *value = 9), None);
    assert_eq!(names.update("world", &"a", |value| *value = 9), None);
    assert_eq!(names.update("hello", &"a", |value| *value += 1), Some(&2));
    assert_eq!(names.holder("hello"), Some((&"a", &2)));
}

#[test]
fn doesnt_grow_ets_on_already_registered() {
    let mut names = names(&[("hello", "a", 1)]);
    for owner in ["a", "b"].repeat(10) {
        assert!(names.claim("hello", owner, 2, Conflict::Reject).is_err());
    }
    assert_eq!(
        (names.len(), names.is_empty(), names.owners()),
        (1, false, 1)
    );
}

#[test]
fn with_an_owner_go_all_its_names_and_no_others() {
    let mut names = names(&[("x", "a", 1), ("y", "b", 2), ("z", "a", 3)]);
    assert_eq!((names.len(), names.owners()), (3, 2));
    let released = names.release_all(&"a");
    assert_eq!(released, [("x".into(), 1), ("z".into(), 3)]);
    assert_eq!((list(&names), names.owners()), (vec![("y", "b", 2)], 1));
    assert!(names.release_all(&"a").is_empty());
}

#[test]
fn a_release_by_an_earlier_life_is_ignored() {
    let mut names = Names::new();
    let (first, second) = (("root/a", 1), ("root/a", 2));
    assert!(names.claim("lead", first, (), Conflict::Reject).is_ok());
    assert!(names.claim("lead", second, (), Conflict::Replace).is_ok());
    assert_eq!(names.release("lead", &first), None);
    assert!(names.release_all(&first).is_empty());
    assert_eq!(names.holder("lead"), Some((&second, &())));
}

/// The groups of three, who joined in this order.
fn groups() -> Groups<&'static str, u32> {
    let mut groups = Groups::new();
    for (group, owner, value) in [
        ("hello", "a", 1),
        ("hello", "b", 2),
        ("world", "a", 3),
        ("hello", "a", 4),
    ] {
        groups.join(group, owner, value);
    }
    groups
}

fn members<'a>(groups: &'a Groups<&'static str, u32>, group: &str) -> Vec<(&'a str, u32)> {
    groups
        .members(group)
        .map(|(owner, value)| (*owner, *value))
        .collect()
}

#[test]
fn has_duplicate_registrations() {
    let groups = groups();
    assert_eq!(
        members(&groups, "hello"),
        [("a", 1), ("b", 2), ("a", 4)],
        "in order"
    );
    assert!(members(&groups, "none").is_empty());
    let of: Vec<&str> = groups.groups_of(&"a").map(|group| &**group).collect();
    assert_eq!(of, ["hello", "hello", "world"]);
    assert_eq!(groups.values("hello", &"a").collect::<Vec<_>>(), [&1, &4]);
    assert_eq!(groups.values("hello", &"c").count(), 0);
}

#[test]
fn counts_the_memberships() {
    let groups = groups();
    assert_eq!(
        (groups.len(), groups.is_empty(), groups.owners()),
        (4, false, 2)
    );
    let all: Vec<_> = groups
        .iter()
        .map(|(group, owner, value)| (&**group, *owner, *value))
        .collect();
    assert_eq!(
        all,
        [
            ("hello", "a", 1),
            ("hello", "b", 2),
            ("hello", "a", 4),
            ("world", "a", 3)
        ]
    );
    assert_eq!(groups.groups().count(), 2);
    let none = Groups::<u32>::new();
    assert_eq!(
        (
            none.len(),
            none.is_empty(),
            none.owners(),
            none.iter().count()
        ),
        (0, true, 0, 0)
    );
}

#[test]
fn unregisters_by_key_all_own_entries() {
    let mut groups = groups();
    assert_eq!(groups.leave("hello", &"a"), [1, 4]);
    assert_eq!(members(&groups, "hello"), [("b", 2)]);
    assert_eq!(members(&groups, "world"), [("a", 3)]);
    assert!(groups.leave("hello", &"a").is_empty());
    assert_eq!(groups.leave("world", &"a"), [3]);
    assert_eq!((groups.len(), groups.owners()), (1, 1));
    assert_eq!(groups.leave("hello", &"b"), [2]);
    assert!(
        groups.groups().count() == 0 && groups.owners() == 0,
        "nothing is kept of those that left"
    );
}

#[test]
fn leaves_a_group_only_where_the_value_is_meant() {
    let mut groups = groups();
    assert_eq!(groups.leave_if("hello", &"a", |value| *value > 1), [4]);
    assert_eq!(
        groups.leave_if("hello", &"a", |value| *value > 1),
        [0_u32; 0]
    );
    assert_eq!(members(&groups, "hello"), [("a", 1), ("b", 2)]);
}

#[test]
fn who_is_gone_is_in_no_group() {
    let mut groups = groups();
    let left = groups.leave_all(&"a");
    assert_eq!(
        left,
        [
            ("hello".into(), 1),
            ("hello".into(), 4),
            ("world".into(), 3)
        ]
    );
    assert_eq!(members(&groups, "hello"), [("b", 2)]);
    assert_eq!(
        (
            groups.len(),
            groups.owners(),
            members(&groups, "world").len()
        ),
        (1, 1, 0)
    );
    assert!(groups.leave_all(&"a").is_empty());
}
