//! Who is admitted under which name, as a table and as random histories.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::exits::ExitStatus;

fn roster() -> Roster {
    let mut roster = Roster::new(4);
    roster.add_type("coder", Some(2)).unwrap();
    roster.add_type("tester", None).unwrap();
    roster
}

#[test]
fn names_count_for_each_type_and_none_is_given_twice() {
    let mut roster = roster();
    let mut admit = |name: &str| roster.admit(name).unwrap();
    assert_eq!(admit("coder"), "coder-agent-1");
    assert_eq!(admit("tester"), "tester-agent-1");
    assert_eq!(admit("coder"), "coder-agent-2");
    roster.dismiss("coder");
    roster.dismiss("coder");
    assert_eq!(roster.admit("coder").as_deref(), Ok("coder-agent-3"));
}

#[test]
fn one_more_than_there_may_be_is_refused_with_the_number_and_costs_no_name() {
    let mut roster = roster();
    for _ in 0..2 {
        roster.admit("coder").unwrap();
    }
    assert_eq!(roster.admit("coder"), Err(Refusal::TypeFull { most: 2 }));
    for _ in 0..2 {
        roster.admit("tester").unwrap();
    }
    assert_eq!(roster.admit("tester"), Err(Refusal::Full { most: 4 }));
    // What is said is what would help: another type would not be refused for its own limit.
    assert_eq!(roster.admit("coder"), Err(Refusal::TypeFull { most: 2 }));
    roster.dismiss("coder");
    assert_eq!(roster.admit("tester").as_deref(), Ok("tester-agent-3"));
}

#[test]
fn an_unknown_type_is_told_with_the_one_that_was_probably_meant() {
    let mut roster = roster();
    let unknown = |nearest: Option<&str>| Refusal::UnknownType {
        nearest: nearest.map(Into::into),
        known: vec!["coder".into(), "tester".into()],
    };
    assert_eq!(roster.admit("codr"), Err(unknown(Some("coder"))));
    assert_eq!(roster.admit("zzz"), Err(unknown(None)));
    assert_eq!(roster.admit(""), Err(unknown(None)));
}

#[test]
fn a_role_that_nobody_has_given_a_command_says_so() {
    let mut roster = roster();
    for role in Role::ALL.iter().copied() {
        assert_eq!(
            roster.admit(role.as_str()),
            Err(Refusal::NoCommand { role })
        );
    }
    roster.add_type("qc", None).unwrap();
    assert_eq!(roster.admit("qc").as_deref(), Ok("qc-agent-1"));
}

#[test]
fn a_type_has_a_name_of_which_ids_can_be_made() {
    let mut roster = roster();
    let add = |roster: &mut Roster, name: &str| roster.add_type(name, None);
    assert_eq!(add(&mut roster, ""), Err(InvalidType::Id(InvalidId::Empty)));
    assert_eq!(
        add(&mut roster, "a/b"),
        Err(InvalidType::Id(InvalidId::Character('/')))
    );
    assert_eq!(add(&mut roster, "coder"), Err(InvalidType::Twice));
    let longest = "x".repeat(MAX_TYPE);
    assert_eq!(add(&mut roster, &longest), Ok(()));
    assert_eq!(
        add(&mut roster, &"x".repeat(MAX_TYPE + 1)),
        Err(InvalidType::TooLong)
    );
    assert_eq!(check_id(&format!("{longest}{BETWEEN}{}", u64::MAX)), Ok(()));
}

#[test]
fn what_one_that_is_gone_has_come_to() {
    use ExitKind::{Exit, Killed, Shutdown, Signal};
    use Phase::{
        Backoff, Completed, Failed, Paused, Pending, Running, Starting, Stopped, Stopping,
    };
    use Restart::{Permanent, Temporary, Transient};
    use StopCause::{MaxRuntime, Memory, Operator, Parent};
    let rules = ExitRules::default().on(ExitStatus::Code(4), Follow::Rest);
    let rows = [
        // By itself.
        (Transient, Running, None, Some(Exit(0)), Completed),
        (Transient, Starting, None, Some(Exit(0)), Completed),
        (Temporary, Running, None, Some(Exit(0)), Completed),
        (Temporary, Running, None, Some(Exit(4)), Completed),
        (Temporary, Running, None, Some(Exit(3)), Failed),
        (Temporary, Running, None, Some(Signal(9)), Failed),
        // Because somebody wanted it.
        (Permanent, Stopping, Some(Operator), Some(Shutdown), Stopped),
        (Transient, Stopping, Some(Operator), Some(Killed), Stopped),
        (Transient, Paused, Some(Parent), Some(Shutdown), Stopped),
        (
            Transient,
            Stopping,
            Some(MaxRuntime),
            Some(Shutdown),
            Completed,
        ),
        (Transient, Stopping, Some(Memory), Some(Shutdown), Failed),
        // While it waited.
        (Transient, Backoff, None, Some(Exit(3)), Stopped),
        (Permanent, Backoff, None, Some(Exit(0)), Stopped),
        (Transient, Pending, None, None, Stopped),
        // With its supervisor, of which nobody told.
        (Permanent, Running, None, None, Stopped),
        // After it had been given up on.
        (Transient, Failed, None, Some(Exit(3)), Failed),
    ];
    for (restart, phase, cause, end, comes_to) in rows {
        let last = LastSeen {
            restart,
            rules: &rules,
            phase,
            cause,
            end,
        };
        assert_eq!(last.came_to(), comes_to, "{last:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit(usize),
    Dismiss(usize),
}

const TYPES: [(&str, Option<u32>); 4] = [
    ("a", Some(3)),
    ("b", None),
    ("a-agent-1", None),
    ("c", Some(0)),
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..TYPES.len()).prop_map(Step::Admit),
        (0..TYPES.len()).prop_map(Step::Dismiss),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever comes: never more than there may be, of all and of each, no name twice, and each is an id that begins with its type.
    #[test]
    fn nobody_is_admitted_beyond_a_limit_and_no_name_is_given_twice(steps in steps(), most in 0u32..8) {
        let mut roster = Roster::new(most);
        for (name, limit) in TYPES {
            roster.add_type(name, limit).unwrap();
        }
        let mut present = [0u32; TYPES.len()];
        let mut names = BTreeSet::new();
        for step in steps {
            match step {
                Step::Admit(index) => {
                    let (type_name, limit) = TYPES[index];
                    let all: u32 = present.iter().sum();
                    let room = all < most && limit.is_none_or(|limit| present[index] < limit);
                    let admitted = roster.admit(type_name);
                    prop_assert_eq!(admitted.is_ok(), room);
                    if let Ok(name) = admitted {
                        present[index] += 1;
                        prop_assert_eq!(check_id(&name), Ok(()));
                        prop_assert!(name.starts_with(type_name));
                        prop_assert!(names.insert(name));
                    }
                }
                Step::Dismiss(index) => {
                    roster.dismiss(TYPES[index].0);
                    present[index] = present[index].saturating_sub(1);
                }
            }
            prop_assert_eq!(roster.present(), present.iter().sum::<u32>());
        }
    }
}
