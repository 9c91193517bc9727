//! Operators, shutdown and dependencies.

use super::*;

#[test]
fn stop_is_accepted_in_every_phase_and_cancels_what_was_to_come() {
    let slow = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[slow]);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(sup.restart_child(0, now), Err(Refused::Restarting));
    assert_eq!(
        sup.terminate_child(0, now),
        Ok(vec![rest(0, Phase::Stopped)])
    );
    assert_eq!(
        sup.next_wakeup(),
        None,
        "the restart does not come after all"
    );
    assert_eq!(sup.desired(0), Some(Desired::Down));
    assert_eq!(sup.terminate_child(0, now), Ok(vec![]));
    assert_eq!(
        sup.restart_child(0, now),
        Ok(vec![Directive::Start(who(0, 2))])
    );
    assert_eq!(sup.restart_child(0, now), Err(Refused::Running));
}

#[test]
fn a_bounce_counts_as_no_failure() {
    let (mut sup, now) = up(Strategy::OneForAll);
    assert_eq!(
        sup.bounce_child(1, now),
        Ok(vec![Directive::Stop(who(1, 1), StopCause::Operator)])
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [Directive::Start(who(1, 2))]
    );
    assert_eq!(sup.intensity_used(now), Some((0, 3)));
}

#[test]
fn a_bounce_of_one_that_an_operator_was_stopping_starts_it_at_once() {
    let (mut sup, now) = up(Strategy::OneForAll);
    drop(sup.terminate_child(1, now));
    assert_eq!(sup.bounce_child(1, now), Ok(vec![]));
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [Directive::Start(who(1, 2))]
    );
}

#[test]
fn a_place_can_be_deleted_only_when_nobody_lives_in_it() {
    let (mut sup, now) = up(Strategy::OneForOne);
    assert_eq!(sup.delete_child(0), Err(Refused::Running));
    drop(sup.terminate_child(0, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    assert_eq!(sup.delete_child(0), Ok(vec![Directive::Remove(0)]));
    assert_eq!(sup.delete_child(0), Err(Refused::NotFound));
}

#[test]
fn a_shutdown_stops_last_first_and_a_restart_that_waited_never_comes() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(
        sup.shut_down(now),
        [Directive::Stop(who(2, 1), StopCause::Parent)]
    );
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [
            rest(2, Phase::Stopped),
            Directive::Stop(who(1, 2), StopCause::Parent)
        ],
        "a child that is starting is stopped too"
    );
    assert_eq!(sup.terminate_child(0, now), Err(Refused::Closing));
    drop(sup.on_exit(who(1, 2), ExitKind::Shutdown, now));
    let last = sup.on_exit(who(0, 1), ExitKind::Shutdown, now);
    assert_eq!(
        last,
        [rest(0, Phase::Stopped), Directive::Close(Closed::ShutDown)]
    );
    assert_eq!(sup.shut_down(now), [], "it closes once");
}

#[test]
fn hurry_kills_everyone_at_once() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.shut_down(now));
    let killed = [2, 1, 0].map(|slot| Directive::Kill(who(slot, 1), StopCause::Parent));
    assert_eq!(sup.hurry(now), killed);
    assert_eq!(sup.hurry(now), [], "nobody is killed twice");
    drop(sup.on_exit(who(0, 1), ExitKind::Killed, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Killed, now));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Killed, now),
        [rest(2, Phase::Stopped), Directive::Close(Closed::ShutDown)]
    );
}

fn diamond() -> (Supervision, Instant) {
    let policy = Policy {
        order: Order::Dependencies,
        intensity: None,
        ..Policy::default()
    };
    let (mut sup, now) = (Supervision::new(policy), t0());
    for _ in 0..4 {
        sup.add(parked_after(0), now);
    }
    for (slot, on) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        sup.depend(slot, on);
    }
    (sup, now)
}

#[test]
fn dependencies_start_what_is_ready_together_and_stop_in_reverse() {
    let (mut sup, now) = diamond();
    assert_eq!(sup.boot(now), [Directive::Start(who(3, 1))]);
    assert_eq!(
        sup.on_started(who(3, 1), now),
        [Directive::Start(who(1, 1)), Directive::Start(who(2, 1))]
    );
    assert_eq!(sup.on_started(who(1, 1), now), []);
    assert_eq!(
        sup.on_started(who(2, 1), now),
        [Directive::Start(who(0, 1))]
    );
    assert_eq!(sup.on_started(who(0, 1), now), [Directive::Booted]);
    assert_eq!(
        sup.shut_down(now),
        [Directive::Stop(who(0, 1), StopCause::Parent)]
    );
    let level = sup.on_exit(who(0, 1), ExitKind::Shutdown, now);
    assert_eq!(
        level[1..],
        [1, 2].map(|slot| Directive::Stop(who(slot, 1), StopCause::Parent))
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [rest(1, Phase::Stopped)]
    );
    let last = sup.on_exit(who(2, 1), ExitKind::Shutdown, now);
    assert_eq!(last[1], Directive::Stop(who(3, 1), StopCause::Parent));
}

#[test]
fn those_who_depend_on_a_parked_child_are_parked_with_it_and_come_up_when_it_does() {
    let (mut sup, now) = diamond();
    drop(sup.boot(now));
    let seen = sup.on_start_failed(who(3, 1), ExitKind::StartFailed, true, now);
    let parked: Vec<u32> = seen
        .iter()
        .filter_map(|d| {
            if let Directive::Park { slot, .. } = d {
                Some(*slot)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(parked.len(), 4, "{seen:?}");
    assert_eq!(seen.last(), Some(&Directive::Booted));
    assert_eq!(
        sup.restart_child(3, now),
        Ok(vec![Directive::Start(who(3, 2))])
    );
    assert_eq!(
        sup.on_started(who(3, 2), now),
        [Directive::Start(who(1, 1)), Directive::Start(who(2, 1))]
    );
}

#[test]
fn a_restart_of_a_dependency_leaves_its_dependents_alone() {
    let (mut sup, now) = diamond();
    let mut directives = sup.boot(now);
    while let Some(directive) = directives.pop() {
        if let Directive::Start(who) = directive {
            directives.extend(sup.on_started(who, now));
        }
    }
    drop(sup.bounce_child(3, now));
    assert_eq!(
        sup.on_exit(who(3, 1), ExitKind::Shutdown, now),
        [Directive::Start(who(3, 2))]
    );
    assert_eq!(sup.on_started(who(3, 2), now), []);
}

#[test]
fn children_that_stop_together_are_all_asked_at_once() {
    let (mut sup, now) = up_with(
        Policy {
            stop_together: true,
            ..policy(Strategy::OneForOne)
        },
        &[otp(), otp(), otp()],
    );
    assert_eq!(
        sup.shut_down(now),
        [2, 1, 0].map(|slot| Directive::Stop(who(slot, 1), StopCause::Parent))
    );
}

#[test]
fn a_good_life_starts_the_backoff_over_and_says_so() {
    let plan = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND * 8),
        ..ChildPlan::default()
    };
    let (mut sup, now) = up_with(
        Policy {
            intensity: None,
            ..Policy::default()
        },
        &[plan],
    );
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_started(who(0, 2), now));
    let later = now + SECOND * 60;
    let seen = sup.on_exit(who(0, 2), ExitKind::Error, later);
    assert_eq!(
        seen[0],
        Directive::BackoffReset {
            slot: 0,
            stable_for: SECOND * 60
        }
    );
    assert_eq!(seen[2], Directive::Start(who(0, 3)));
}

#[test]
fn a_dependency_that_is_removed_before_it_has_started_leaves_nobody_waiting() {
    let policy = Policy {
        order: Order::Dependencies,
        intensity: None,
        ..Policy::default()
    };
    let (mut sup, now) = (Supervision::new(policy), t0());
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    sup.add(temporary, now);
    sup.add(otp(), now);
    sup.depend(1, 0);
    drop(sup.boot(now));
    drop(sup.terminate_child(0, now));
    let last = sup.on_exit(who(0, 1), ExitKind::Shutdown, now);
    let why = Parked::Dependency { on: 0 };
    assert_eq!(
        last,
        [
            Directive::Park { slot: 1, why },
            Directive::Remove(0),
            Directive::Booted
        ]
    );
}

#[test]
fn a_boot_is_over_when_the_last_child_that_it_waits_for_goes_with_its_dependency() {
    let (mut sup, now) = (
        Supervision::new(Policy {
            order: Order::Dependencies,
            ..Policy::default()
        }),
        t0(),
    );
    sup.add(otp(), now);
    sup.add(otp(), now);
    sup.depend(1, 0);
    drop(sup.boot(now));
    drop(sup.terminate_child(0, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    let why = Parked::Dependency { on: 0 };
    assert_eq!(
        sup.delete_child(0),
        Ok(vec![
            Directive::Park { slot: 1, why },
            Directive::Remove(0),
            Directive::Booted
        ])
    );
}

#[test]
fn a_temporary_child_that_never_started_loses_its_place_when_it_is_terminated() {
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[]);
    let places = sup.reconfigure(policy(Strategy::OneForOne), vec![(None, temporary)], now);
    assert_eq!(places, Ok(vec![0]));
    assert_eq!(sup.terminate_child(0, now), Ok(vec![Directive::Remove(0)]));
    assert_eq!(sup.phase(0), None);
}

#[test]
fn children_are_told_of_in_start_order_from_any_place_on() {
    let (sup, _) = up(Strategy::OneForOne);
    assert_eq!(
        sup.in_order_from(0).collect::<Vec<_>>(),
        [(0, 0), (1, 1), (2, 2)]
    );
    assert_eq!(sup.in_order_from(1).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
    assert_eq!(sup.in_order_from(3).next(), None);
}

#[test]
fn the_period_is_that_of_the_policy() {
    assert_eq!(up(Strategy::OneForOne).0.period(), Some(SECOND * 5));
    let unlimited = Policy {
        intensity: None,
        ..policy(Strategy::OneForOne)
    };
    assert_eq!(Supervision::new(unlimited).period(), None);
}

#[test]
fn one_that_has_started_tells_those_that_came_to_depend_on_it_later_nothing() {
    let (mut sup, now) = up(Strategy::OneForOne);
    sup.depend(1, 0);
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Error, now),
        [scheduled(0, now, 1, 1), Directive::Start(who(0, 2))]
    );
    assert_eq!(sup.on_started(who(0, 2), now), []);
}

#[test]
fn a_limit_of_its_own_is_what_a_scheduled_restart_tells_of() {
    let own = ChildPlan {
        limit: Some(RestartIntensity::new(9, SECOND)),
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[own]);
    let seen = sup.on_exit(who(0, 1), ExitKind::Error, now);
    let Directive::Backoff(scheduled) = seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(scheduled.max_restarts, Some(9));
}

#[test]
fn one_that_an_operator_stops_stays_down_when_its_group_restarts_meanwhile() {
    let (mut sup, now) = up(Strategy::OneForAll);
    drop(sup.terminate_child(1, now));
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Error, now),
        [scheduled(0, now, 1, 1)],
        "the group waits for the stop that is under way"
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [
            rest(1, Phase::Stopped),
            Directive::Stop(who(2, 1), StopCause::Sibling)
        ]
    );
}

#[test]
fn one_that_an_operator_bounces_starts_with_its_group_when_that_restarts_meanwhile() {
    let (mut sup, now) = up(Strategy::OneForAll);
    drop(sup.bounce_child(1, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [
            rest(1, Phase::Pending),
            Directive::Stop(who(2, 1), StopCause::Sibling)
        ]
    );
}

#[test]
fn in_sequence_nobody_is_stopped_early_for_what_depended_on_it() {
    let (mut sup, now) = up(Strategy::OneForOne);
    sup.depend(2, 0);
    drop(sup.shut_down(now));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [
            rest(2, Phase::Stopped),
            Directive::Stop(who(1, 1), StopCause::Parent)
        ]
    );
}

#[test]
fn who_comes_into_the_place_of_a_dependent_that_was_deleted_keeps_nobody_waiting() {
    let by_dependencies = Policy {
        order: Order::Dependencies,
        ..policy(Strategy::OneForOne)
    };
    let (mut sup, now) = up_with(by_dependencies, &[otp(), otp(), otp()]);
    sup.depend(1, 0);
    sup.depend(2, 0);
    drop(sup.terminate_child(1, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Shutdown, now));
    assert_eq!(sup.delete_child(1), Ok(vec![Directive::Remove(1)]));
    let (place, _) = sup.start_child(otp(), now).unwrap();
    assert_eq!(place, 1, "the place serves again");
    drop(sup.on_started(who(1, 2), now));
    drop(sup.shut_down(now));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [
            rest(2, Phase::Stopped),
            Directive::Stop(who(0, 1), StopCause::Parent)
        ]
    );
}

#[test]
fn the_larger_of_two_lists_is_kept_for_the_next_answer_but_none_that_is_huge() {
    let mut sup = Supervision::new(Policy::default());
    sup.spare = Vec::new();
    sup.recycle(vec![Directive::Booted; 8]);
    assert!(sup.spare.is_empty() && sup.spare.capacity() == 8);
    sup.recycle(Vec::with_capacity(4));
    assert_eq!(sup.spare.capacity(), 8);
    let kept = sup.spare.as_ptr();
    sup.recycle(Vec::with_capacity(8));
    assert_eq!(sup.spare.as_ptr(), kept, "one that is no larger");
    sup.recycle(Vec::with_capacity(MAX_SPARE + 1));
    assert_eq!(sup.spare.capacity(), 8);
    sup.recycle(Vec::with_capacity(MAX_SPARE));
    assert_eq!(sup.spare.capacity(), MAX_SPARE);
}
