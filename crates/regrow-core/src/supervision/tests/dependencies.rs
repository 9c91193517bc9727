//! Children that start when what they depend on has started.

use super::*;

fn by_dependencies(strategy: Strategy) -> Policy {
    Policy {
        order: Order::Dependencies,
        ..policy(strategy)
    }
}

/// Not booted: each pair is a child and what it depends on.
fn tied(policy: Policy, plans: &[ChildPlan], ties: &[(u32, u32)]) -> (Supervision, Instant) {
    let (mut sup, now) = (Supervision::new(policy), t0());
    for plan in plans {
        sup.add(plan.clone(), now);
    }
    for (slot, on) in ties {
        sup.depend(*slot, *on);
    }
    (sup, now)
}

/// Booted, and all are up.
fn tied_up(strategy: Strategy, children: usize, ties: &[(u32, u32)]) -> (Supervision, Instant) {
    let (mut sup, now) = tied(by_dependencies(strategy), &vec![otp(); children], ties);
    let mut directives = sup.boot(now);
    while let Some(directive) = directives.pop() {
        if let Directive::Start(who) = directive {
            directives.extend(sup.on_started(who, now));
        }
    }
    assert!(sup.booted);
    (sup, now)
}

fn listed(children: u32) -> Vec<(Option<u32>, ChildPlan)> {
    (0..children).map(|slot| (Some(slot), otp())).collect()
}

/// Whom a group restart stops and starts, if everybody does as told.
fn play(sup: &mut Supervision, mut directives: Vec<Directive>, now: Instant) -> Vec<String> {
    let mut seen = Vec::new();
    while !directives.is_empty() {
        let mut next = Vec::new();
        for directive in directives {
            if let Directive::Stop(who, _) = directive {
                seen.push(format!("stop {}", who.slot));
                next.extend(sup.on_exit(who, ExitKind::Shutdown, now));
            } else if let Directive::Start(who) = directive {
                seen.push(format!("start {}", who.slot));
                next.extend(sup.on_started(who, now));
            }
        }
        directives = next;
    }
    seen
}

// Children are listed so that what is depended on comes last, or in between.
const CHAIN: [(u32, u32); 2] = [(0, 1), (1, 2)];

#[test]
fn a_group_stops_before_what_it_depends_on_and_starts_after_it() {
    for (strategy, failed, expected) in [
        (Strategy::OneForOne, 2, "start 2"),
        (
            Strategy::OneForAll,
            2,
            "stop 3, stop 0, stop 1, start 2, start 1, start 0, start 3",
        ),
        (
            Strategy::OneForAll,
            0,
            "stop 3, stop 1, stop 2, start 2, start 1, start 0, start 3",
        ),
        (
            Strategy::OneForAll,
            3,
            "stop 0, stop 1, stop 2, start 2, start 1, start 0, start 3",
        ),
    ] {
        let (mut sup, now) = tied_up(strategy, 4, &CHAIN);
        let first = sup.on_exit(who(failed, 1), ExitKind::Error, now);
        let seen = play(&mut sup, first, now).join(", ");
        assert_eq!(seen, expected, "{strategy:?}, {failed} has failed");
    }
}

#[test]
fn the_rest_are_those_that_depend_on_the_failed_child_directly_or_not() {
    for (failed, expected) in [
        (0, "start 0"),
        (1, "stop 0, start 1, start 0"),
        (2, "stop 0, stop 1, start 2, start 1, start 0"),
        (3, "start 3"),
    ] {
        let (mut sup, now) = tied_up(Strategy::RestForOne, 4, &CHAIN);
        let first = sup.on_exit(who(failed, 1), ExitKind::Error, now);
        let seen = play(&mut sup, first, now).join(", ");
        assert_eq!(seen, expected, "{failed} has failed");
    }
    let diamond = [(0, 1), (0, 2), (1, 3), (2, 3)];
    let (mut sup, now) = tied_up(Strategy::RestForOne, 4, &diamond);
    let first = sup.on_exit(who(3, 1), ExitKind::Error, now);
    let seen = play(&mut sup, first, now).join(", ");
    assert_eq!(
        seen, "stop 0, stop 2, stop 1, start 3, start 1, start 2, start 0",
        "each once"
    );
}

#[test]
fn a_start_that_fails_in_the_restart_of_a_group_begins_it_anew_by_dependencies_too() {
    let all = "stop 2, start 2, start 1, start 0, start 3";
    for (strategy, group, expected) in [
        (Strategy::OneForAll, &[3, 0, 1][..], all),
        (Strategy::RestForOne, &[0, 1][..], "start 1, start 0"),
    ] {
        let (mut sup, now) = tied_up(strategy, 4, &CHAIN);
        drop(sup.on_exit(who(2, 1), ExitKind::Error, now));
        for slot in group.iter().copied() {
            drop(sup.on_exit(who(slot, 1), ExitKind::Shutdown, now));
        }
        assert_eq!(
            sup.on_started(who(2, 2), now),
            [Directive::Start(who(1, 2))]
        );
        let first = sup.on_start_failed(who(1, 2), ExitKind::StartFailed, false, now);
        let seen = play(&mut sup, first, now).join(", ");
        assert_eq!(seen, expected, "{strategy:?}");
    }
}

#[test]
fn what_an_operator_adds_meanwhile_does_not_wait_for_what_it_depends_on() {
    let parks = ChildPlan {
        give_up: GiveUp::Park,
        ..otp()
    };
    let plans = [parks, otp(), otp()];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &plans, &[]);
    drop(sup.boot(now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    // 2 is being stopped, 0 is doomed.
    let (added, told) = sup.start_child(otp(), now).unwrap();
    sup.depend(added, 0);
    assert_eq!(told, [rest(added, Phase::Pending)]);
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    let why = Parked::CannotStart;
    assert_eq!(
        sup.on_start_failed(who(0, 2), ExitKind::StartFailed, true, now),
        [
            Directive::Park { slot: 0, why },
            Directive::Start(who(1, 2))
        ],
        "and the one that was added is not given up on"
    );
}

#[test]
fn in_sequence_the_rest_are_those_that_were_started_after_it_whatever_they_depend_on() {
    let sequence = policy(Strategy::RestForOne);
    let (mut sup, now) = tied(sequence, &[otp(), otp(), otp()], &[(0, 1)]);
    let first = sup.boot(now);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "start 0, start 1, start 2"
    );
    let first = sup.on_exit(who(1, 1), ExitKind::Error, now);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "stop 2, start 1, start 2"
    );
}

#[test]
fn what_waits_for_a_doomed_child_that_comes_up_late_has_its_turn_after_it() {
    let ties = [(2, 3)];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &vec![otp(); 5], &ties);
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    drop(sup.on_started(who(4, 1), now));
    // 4 is being stopped, 3 is doomed.
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(sup.on_started(who(3, 1), now), []);
    let first = sup.on_exit(who(4, 1), ExitKind::Shutdown, now);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "stop 3, stop 1, start 0, start 1, start 3, start 2, start 4"
    );
}

#[test]
fn one_that_waits_for_two_waits_for_the_restart_of_the_first_too() {
    let ties = [(3, 0), (3, 1)];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &vec![otp(); 4], &ties);
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    drop(sup.on_started(who(2, 1), now));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    let first = sup.on_exit(who(1, 1), ExitKind::Shutdown, now);
    assert_eq!(first[1..], [Directive::Start(who(0, 2))]);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "start 0, start 1, start 3, start 2"
    );
}

#[test]
fn one_that_is_due_again_does_not_fall_with_what_it_once_waited_for() {
    let parks = ChildPlan {
        give_up: GiveUp::Park,
        ..otp()
    };
    let plans = [parks, otp()];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &plans, &[(1, 0)]);
    drop(sup.boot(now));
    // The operator does not wait for 0.
    drop(sup.bounce_child(1, now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_start_failed(who(0, 1), ExitKind::StartFailed, false, now));
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [rest(1, Phase::Pending), Directive::Start(who(0, 2))]
    );
    let why = Parked::CannotStart;
    assert_eq!(
        sup.on_start_failed(who(0, 2), ExitKind::StartFailed, true, now),
        [
            Directive::Park { slot: 0, why },
            Directive::Start(who(1, 2)),
            Directive::Booted
        ]
    );
}

#[test]
fn a_temporary_dependency_that_goes_with_its_group_keeps_nobody_waiting() {
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    let plans = [otp(), temporary, otp()];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &plans, &[(2, 1)]);
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Error, now)[1..],
        [Directive::Stop(who(1, 1), StopCause::Sibling)]
    );
    let first = sup.on_exit(who(1, 1), ExitKind::Shutdown, now);
    assert!(first.contains(&Directive::Remove(1)));
    assert_eq!(play(&mut sup, first, now).join(", "), "start 2, start 0");
}

#[test]
fn a_child_whose_last_dependency_is_taken_from_it_by_new_rules_starts() {
    let rules = by_dependencies(Strategy::OneForOne);
    let (mut sup, now) = tied(rules, &vec![otp(); 3], &[(1, 0), (2, 0)]);
    assert_eq!(sup.boot(now), [Directive::Start(who(0, 1))]);
    assert!(sup.reconfigure(rules, listed(3), now).is_ok());
    sup.depend(2, 0);
    assert_eq!(
        sup.next_wakeup(),
        Some(now),
        "it asks for its turn, when the dependencies have been said"
    );
    assert_eq!(sup.on_wakeup(now), [Directive::Start(who(1, 1))]);
    assert_eq!(sup.next_wakeup(), None);
    assert_eq!(
        sup.on_started(who(0, 1), now),
        [Directive::Start(who(2, 1))]
    );
}

#[test]
fn a_child_that_new_rules_add_waits_for_an_operator_and_not_for_what_it_depends_on() {
    let rules = by_dependencies(Strategy::OneForOne);
    let (mut sup, now) = tied(rules, &[otp()], &[]);
    drop(sup.boot(now));
    let listed = vec![(Some(0), otp()), (None, otp())];
    assert_eq!(sup.reconfigure(rules, listed, now), Ok(vec![0, 1]));
    sup.depend(1, 0);
    assert_eq!(sup.on_wakeup(now), []);
    assert_eq!(sup.on_started(who(0, 1), now), [Directive::Booted]);
    assert_eq!(sup.phase(1), Some(Phase::Stopped));
}

#[test]
fn new_rules_that_go_in_sequence_give_all_that_wait_their_turn() {
    let (mut sup, now) = tied(
        by_dependencies(Strategy::OneForOne),
        &vec![otp(); 3],
        &[(1, 0), (2, 0)],
    );
    drop(sup.boot(now));
    let rules = policy(Strategy::OneForOne);
    assert!(sup.reconfigure(rules, listed(3), now).is_ok());
    sup.depend(1, 0);
    sup.depend(2, 0);
    assert_eq!(sup.on_wakeup(now), [Directive::Start(who(1, 1))]);
    assert_eq!(sup.on_started(who(0, 1), now), []);
    assert_eq!(
        sup.on_started(who(1, 1), now),
        [Directive::Start(who(2, 1))]
    );
}

#[test]
fn new_rules_know_what_has_started_before() {
    let transient = ChildPlan {
        restart: Restart::Transient,
        ..otp()
    };
    let slow = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..otp()
    };
    let rules = by_dependencies(Strategy::OneForOne);
    let plans = [otp(), transient.clone(), slow.clone(), otp(), otp()];
    let (mut sup, now) = tied(rules, &plans, &[(3, 0), (4, 2)]);
    drop(sup.boot(now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_exit(who(1, 1), ExitKind::Normal, now));
    drop(sup.on_started(who(2, 1), now));
    drop(sup.on_exit(who(2, 1), ExitKind::Error, now));
    assert_eq!(sup.phase(2), Some(Phase::Backoff));
    let again = vec![
        (Some(0), otp()),
        (Some(1), transient),
        (Some(2), slow),
        (Some(3), otp()),
        (Some(4), otp()),
    ];
    assert!(sup.reconfigure(rules, again, now).is_ok());
    sup.depend(3, 1);
    sup.depend(3, 2);
    assert_eq!(
        sup.on_wakeup(now),
        [Directive::Start(who(3, 1))],
        "one has ended as it should, the other was up and waits for its restart"
    );
}

#[test]
fn new_rules_do_not_let_a_child_wait_for_one_that_was_given_up_on() {
    let parks = ChildPlan {
        give_up: GiveUp::Park,
        ..otp()
    };
    let rules = by_dependencies(Strategy::OneForOne);
    let plans = [otp(), parks, otp()];
    let (mut sup, now) = tied(rules, &plans, &[(2, 0)]);
    drop(sup.boot(now));
    drop(sup.on_start_failed(who(1, 1), ExitKind::StartFailed, true, now));
    assert!(sup.reconfigure(rules, listed(3), now).is_ok());
    sup.depend(2, 1);
    sup.depend(2, 0);
    let why = Parked::Dependency { on: 1 };
    assert_eq!(sup.on_wakeup(now), [Directive::Park { slot: 2, why }]);
}

#[test]
fn new_rules_in_the_middle_of_a_group_restart_start_nobody_before_its_turn() {
    let rules = by_dependencies(Strategy::OneForAll);
    let (mut sup, now) = tied(rules, &vec![otp(); 4], &[(3, 2)]);
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    // 2 is being stopped, 1 is doomed, 0 and 3 wait.
    assert!(sup.reconfigure(rules, listed(4), now).is_ok());
    sup.depend(0, 1);
    sup.depend(3, 0);
    assert_eq!(sup.on_wakeup(now), []);
    let first = sup.on_exit(who(2, 1), ExitKind::Shutdown, now);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "stop 1, start 1, start 0, start 3, start 2"
    );
}

#[test]
fn a_cycle_of_dependencies_holds_up_no_group() {
    let rules = by_dependencies(Strategy::OneForAll);
    let (mut sup, now) = tied_up(Strategy::OneForAll, 3, &[]);
    assert!(sup.reconfigure(rules, listed(3), now).is_ok());
    for (slot, on) in [(0, 1), (1, 2), (2, 0)] {
        sup.depend(slot, on);
    }
    let first = sup.on_exit(who(1, 1), ExitKind::Error, now);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "stop 0, stop 2, start 2, start 1, start 0"
    );
}

#[test]
fn one_whose_dependency_is_due_again_has_its_turn_after_it() {
    let ties = [(2, 0), (2, 1)];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &vec![otp(); 4], &ties);
    drop(sup.boot(now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_started(who(3, 1), now));
    let first = sup.on_exit(who(3, 1), ExitKind::Error, now);
    assert_eq!(
        play(&mut sup, first, now).join(", "),
        "stop 1, stop 0, start 0, start 1, start 2, start 3"
    );
}

#[test]
fn one_whose_dependency_is_starting_again_has_its_turn_after_it() {
    let ties = [(2, 0), (2, 1)];
    let (mut sup, now) = tied(
        by_dependencies(Strategy::RestForOne),
        &vec![otp(); 3],
        &ties,
    );
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(sup.on_started(who(1, 1), now), []);
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(2, 1))]
    );
}

#[test]
fn one_that_is_due_keeps_its_turn_when_what_it_depends_on_has_started() {
    let ties = [(2, 0)];
    let (mut sup, now) = tied(by_dependencies(Strategy::OneForAll), &vec![otp(); 3], &ties);
    drop(sup.boot(now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(sup.bounce_child(2, now), Ok(vec![]), "after the group");
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 2))]
    );
    assert_eq!(
        sup.on_started(who(1, 2), now),
        [Directive::Start(who(2, 1))]
    );
}

/// 2 waits for 0 and 1; 0 is parked at its first failure.
fn waits_for_two() -> (Supervision, Instant) {
    let rules = Policy {
        intensity: None,
        ..by_dependencies(Strategy::OneForOne)
    };
    let plans = [parked_after(0), otp(), otp()];
    let (mut sup, now) = tied(rules, &plans, &[(2, 0), (2, 1)]);
    drop(sup.boot(now));
    (sup, now)
}

#[test]
fn one_that_was_given_up_on_is_not_started_by_a_supervisor_that_ends() {
    let (mut sup, now) = waits_for_two();
    drop(sup.on_start_failed(who(0, 1), ExitKind::StartFailed, true, now));
    assert_eq!(sup.phase(2), Some(Phase::Failed));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.restart_child(0, now));
    drop(sup.shut_down(now));
    assert_eq!(sup.on_started(who(0, 2), now), []);
    assert_eq!(sup.phase(2), Some(Phase::Failed));
}

#[test]
fn one_that_an_operator_stops_is_not_given_up_on_with_what_it_depends_on() {
    let (mut sup, now) = waits_for_two();
    drop(sup.terminate_child(2, now));
    let why = Parked::CannotStart;
    assert_eq!(
        sup.on_start_failed(who(0, 1), ExitKind::StartFailed, true, now),
        [Directive::Park { slot: 0, why }]
    );
    assert_eq!(sup.phase(2), Some(Phase::Stopped));
}

#[test]
fn one_that_waits_for_another_is_not_given_up_on_with_what_has_started_once() {
    let (mut sup, now) = waits_for_two();
    drop(sup.on_started(who(0, 1), now));
    assert_eq!(sup.on_exit(who(0, 1), ExitKind::Error, now).len(), 1);
    assert_eq!(sup.phase(0), Some(Phase::Failed));
    assert_eq!(
        sup.on_started(who(1, 1), now),
        [Directive::Start(who(2, 1))]
    );
}

#[test]
fn one_that_was_given_up_on_after_a_life_is_not_started_by_what_it_never_waited_for() {
    let rules = Policy {
        intensity: None,
        ..by_dependencies(Strategy::OneForOne)
    };
    let (mut sup, now) = tied(rules, &[otp(), parked_after(0)], &[(1, 0)]);
    drop(sup.boot(now));
    drop(sup.bounce_child(1, now));
    drop(sup.on_started(who(1, 1), now));
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(sup.phase(1), Some(Phase::Failed));
    assert_eq!(sup.on_started(who(0, 1), now), [Directive::Booted]);
}
