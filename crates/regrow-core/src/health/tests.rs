//! The fold against its plainest telling, and the properties that anybody would expect of it.

use proptest::prelude::*;

use super::*;

use Criticality::{Important, Optional, Required};
use Health::{Degraded, Down, Unknown, Up};

const POLICIES: [HealthPolicy; 6] = [
    HealthPolicy::All,
    HealthPolicy::Any,
    HealthPolicy::Quorum(2),
    HealthPolicy::Quorum(4),
    HealthPolicy::Weighted {
        up: 80,
        degraded: 50,
    },
    HealthPolicy::Weighted {
        up: 34,
        degraded: 34,
    },
];

fn part(health: Health, criticality: Criticality) -> Part {
    Part {
        health,
        criticality,
        weight: 1,
    }
}

fn fold(policy: HealthPolicy, parts: &[Part]) -> Health {
    let mut tally = Tally::default();
    for &part in parts {
        tally.add(part);
    }
    tally.health(policy)
}

/// From well to not at all; `unknown` has no place in it.
fn badness(health: Health) -> u8 {
    match health {
        Up => 0,
        Degraded => 1,
        Down => 2,
        Unknown => panic!("not known"),
    }
}

/// The verdict by the words of the rules, child by child, with all ways in which the unknown ones may turn out.
fn naive(policy: HealthPolicy, parts: &[Part]) -> Health {
    if let Some(at) = parts.iter().position(|part| part.health == Unknown) {
        let verdicts = [Up, Degraded, Down].map(|health| {
            let mut parts = parts.to_vec();
            parts[at].health = health;
            naive(policy, &parts)
        });
        let same = verdicts.iter().all(|verdict| *verdict == verdicts[0]);
        return if same { verdicts[0] } else { Unknown };
    }
    let of = |criticality| {
        parts
            .iter()
            .filter(move |part| part.criticality == criticality)
    };
    if of(Required).any(|part| part.health == Down) {
        return Down;
    }
    let number = |healths: &[Health]| {
        of(Important)
            .filter(|part| healths.contains(&part.health))
            .count()
    };
    let by_number = |n: usize| match (number(&[Up]) >= n, number(&[Up, Degraded]) >= n) {
        (true, _) => Up,
        (false, true) => Degraded,
        (false, false) => Down,
    };
    let important = match policy {
        HealthPolicy::All if of(Important).all(|part| part.health == Up) => Up,
        HealthPolicy::All => Degraded,
        HealthPolicy::Any => by_number(1),
        HealthPolicy::Quorum(n) => by_number(n as usize),
        HealthPolicy::Weighted { up, degraded } => {
            let sum = |share: fn(Health) -> f64| {
                of(Important)
                    .map(|part| f64::from(part.weight) * share(part.health))
                    .sum::<f64>()
            };
            let all = sum(|_| 1.0);
            let has = sum(|health| [1.0, 0.5, 0.0][badness(health) as usize]);
            let reaches = |percent: u8| has * 100.0 >= all * f64::from(percent) - 1e-9;
            if reaches(up) {
                Up
            } else if reaches(degraded) {
                Degraded
            } else {
                Down
            }
        }
    };
    let required = of(Required).any(|part| part.health == Degraded);
    if required && important == Up {
        Degraded
    } else {
        important
    }
}

fn parts(healths: &'static [Health], most: usize) -> impl Strategy<Value = Vec<Part>> {
    let one = (
        prop::sample::select(healths),
        prop::sample::select(Criticality::ALL),
        1_u32..5,
    );
    let one = one.prop_map(|(health, criticality, weight)| Part {
        health,
        criticality,
        weight,
    });
    prop::collection::vec(one, 0..most)
}

proptest! {
    #[test]
    fn the_fold_is_what_the_rules_say_word_by_word(parts in parts(Health::ALL, 6)) {
        for policy in POLICIES {
            prop_assert_eq!(fold(policy, &parts), naive(policy, &parts), "{:?}", policy);
        }
    }

    #[test]
    fn a_child_that_gets_worse_never_makes_the_whole_better(
        parts in parts(&[Up, Degraded, Down], 9),
        at in any::<prop::sample::Index>(),
        to in prop::sample::select(&[Degraded, Down][..]),
    ) {
        prop_assume!(!parts.is_empty());
        let mut worse = parts.clone();
        let at = at.index(parts.len());
        prop_assume!(badness(to) > badness(parts[at].health));
        worse[at].health = to;
        for policy in POLICIES {
            let (before, after) = (fold(policy, &parts), fold(policy, &worse));
            prop_assert!(badness(after) >= badness(before), "{:?}: {} then {}", policy, before, after);
        }
    }

    #[test]
    fn what_is_known_whatever_becomes_known_is_told_at_once(
        parts in parts(Health::ALL, 7),
        to in prop::sample::select(&[Up, Degraded, Down][..]),
    ) {
        let mut known = parts.clone();
        for part in known.iter_mut().filter(|part| part.health == Unknown) {
            part.health = to;
        }
        for policy in POLICIES {
            let before = fold(policy, &parts);
            prop_assert!(before == Unknown || before == fold(policy, &known), "{:?}", policy);
        }
    }

    #[test]
    fn the_order_of_the_children_and_the_optional_ones_do_not_matter(parts in parts(Health::ALL, 9)) {
        let mut others: Vec<Part> = parts.iter().copied().filter(|part| part.criticality != Optional).collect();
        others.reverse();
        for policy in POLICIES {
            prop_assert_eq!(fold(policy, &parts), fold(policy, &others));
        }
    }

    #[test]
    fn a_tally_that_is_kept_up_to_date_is_that_of_the_present(
        before in parts(Health::ALL, 9),
        after in parts(Health::ALL, 9),
    ) {
        let mut tally = Tally::default();
        before.iter().for_each(|part| tally.add(*part));
        after.iter().for_each(|part| tally.add(*part));
        before.iter().for_each(|part| tally.remove(*part));
        let mut fresh = Tally::default();
        after.iter().for_each(|part| fresh.add(*part));
        prop_assert_eq!(tally, fresh);
    }
}

/// A policy, the children, and how the whole is.
type Case = (HealthPolicy, &'static [(Health, Criticality)], Health);

const HALF: HealthPolicy = HealthPolicy::Weighted {
    up: 100,
    degraded: 50,
};

#[rustfmt::skip]
const CASES: [Case; 17] = [
    (HealthPolicy::All, &[], Up),
    (HealthPolicy::All, &[(Up, Required), (Up, Important)], Up),
    (HealthPolicy::All, &[(Down, Required), (Up, Important)], Down),
    (HealthPolicy::All, &[(Up, Required), (Down, Important)], Degraded),
    (HealthPolicy::All, &[(Up, Required), (Down, Optional)], Up),
    (HealthPolicy::All, &[(Degraded, Required)], Degraded),
    (HealthPolicy::All, &[(Unknown, Required), (Down, Important)], Unknown),
    (HealthPolicy::All, &[(Unknown, Important), (Up, Required)], Unknown),
    (HealthPolicy::All, &[(Unknown, Optional), (Up, Required)], Up),
    (HealthPolicy::All, &[(Unknown, Important), (Down, Required)], Down),
    (HealthPolicy::Any, &[(Down, Important), (Up, Important)], Up),
    (HealthPolicy::Any, &[(Down, Important), (Degraded, Important)], Degraded),
    (HealthPolicy::Any, &[(Down, Important), (Down, Important)], Down),
    (HealthPolicy::Any, &[(Unknown, Important), (Up, Important)], Up),
    (HealthPolicy::Quorum(2), &[(Up, Important), (Down, Important), (Unknown, Important)], Unknown),
    (HealthPolicy::Quorum(2), &[(Up, Important), (Down, Important), (Down, Important)], Down),
    (HALF, &[(Up, Important), (Down, Important)], Degraded),
];

#[test]
fn the_plain_cases_come_out_as_written_down() {
    for (policy, parts, health) in CASES {
        let parts: Vec<Part> = parts
            .iter()
            .map(|&(health, criticality)| part(health, criticality))
            .collect();
        assert_eq!(fold(policy, &parts), health, "{policy:?}, {parts:?}");
    }
}

#[test]
fn policies_that_cannot_be_met_or_missed_are_refused() {
    for policy in POLICIES {
        assert_eq!(policy.check(), Ok(()));
    }
    for policy in [
        HealthPolicy::Quorum(0),
        HealthPolicy::Weighted {
            up: 101,
            degraded: 1,
        },
        HealthPolicy::Weighted {
            up: 50,
            degraded: 0,
        },
        HealthPolicy::Weighted {
            up: 50,
            degraded: 51,
        },
    ] {
        assert!(policy.check().is_err(), "{policy:?}");
    }
}

fn explained(policy: HealthPolicy, parts: &[(&str, Health, Criticality, &str)]) -> String {
    let parts = parts.iter();
    let parts =
        parts.map(|&(name, health, criticality, why)| (name, part(health, criticality), why));
    let (health, reason) = explain(policy, parts);
    format!("{health}. {reason}")
}

#[rustfmt::skip]
#[test]
fn every_verdict_names_who_made_it_and_why() {
    let weighted = HealthPolicy::Weighted { up: 90, degraded: 40 };
    let all = HealthPolicy::All;
    let (a_up, b_down) = (("a", Up, Important, ""), ("b", Down, Important, ""));
    let toy = ("toy", Down, Optional, "");
    let llm = ("llm", Down, Required, "answered 503");
    let cache = ("cache", Degraded, Important, "slow");
    assert_eq!(explained(all, &[b_down, llm, cache, toy]), "down. llm is down (required): answered 503, b is down");
    assert_eq!(explained(all, &[cache, a_up, toy]), "degraded. cache is degraded: slow");
    assert_eq!(explained(HealthPolicy::Quorum(2), &[a_up, b_down]), "down. 1 of 2 work, and 2 have to be up: b is down");
    assert_eq!(explained(HealthPolicy::Any, &[cache]), "degraded. 1 of 1 work, and one has to be up: cache is degraded: slow");
    assert_eq!(explained(HealthPolicy::Any, &[a_up, llm]), "down. llm is down (required): answered 503");
    assert_eq!(explained(weighted, &[a_up, ("c", Unknown, Important, "")]), "unknown. 50 % of the weight is up, and 90 % have to be: c is unknown");
    assert_eq!(explained(HealthPolicy::Any, &[a_up, b_down]), "up. ");
    assert_eq!(explained(HealthPolicy::Any, &[]), "down. 0 of 0 work, and one has to be up");
    assert_eq!(explained(weighted, &[]), "up. ");

    let many = ["p", "q", "r", "s", "t", "u", "v", "w", "x"].map(|name| (name, Down, Important, ""));
    assert_eq!(explained(all, &many), "degraded. p is down, q is down, r is down, s is down, t is down, and 4 more");
}

#[test]
fn a_child_counts_for_the_whole_as_it_stands() {
    let standing = |phase, has_been_up, is_ready, probes| Standing {
        phase,
        desired: Desired::Up,
        has_been_up,
        is_ready,
        probes,
    };
    let table = [
        (
            standing(Phase::Pending, false, false, Unknown),
            Some(Unknown),
        ),
        (
            standing(Phase::Starting, false, false, Unknown),
            Some(Unknown),
        ),
        (standing(Phase::Starting, true, false, Unknown), Some(Down)),
        (standing(Phase::Backoff, false, false, Unknown), Some(Down)),
        (standing(Phase::Failed, false, false, Unknown), Some(Down)),
        (standing(Phase::Paused, true, true, Up), Some(Degraded)),
        (standing(Phase::Stopping, true, true, Up), Some(Down)),
        (standing(Phase::Completed, true, false, Unknown), None),
        (standing(Phase::Stopped, true, false, Unknown), None),
        (standing(Phase::Running, false, true, Unknown), Some(Up)),
        (
            standing(Phase::Running, false, false, Unknown),
            Some(Unknown),
        ),
        (standing(Phase::Running, true, false, Unknown), Some(Down)),
        (standing(Phase::Running, true, true, Up), Some(Up)),
        (
            standing(Phase::Running, true, true, Degraded),
            Some(Degraded),
        ),
        (standing(Phase::Running, true, true, Down), Some(Down)),
        (standing(Phase::Running, true, false, Up), Some(Down)),
    ];
    for (standing, health) in table {
        assert_eq!(standing.health(), health, "{standing:?}");
    }
    let wanted_down = Standing {
        desired: Desired::Down,
        ..standing(Phase::Draining, true, true, Up)
    };
    assert_eq!(wanted_down.health(), None);
}
