//! What OTP's supervisor has beside the three strategies: significant children, starts that are ignored, children that come and
//! go, other rules while it runs.

use super::*;

fn significant(restart: Restart) -> ChildPlan {
    ChildPlan {
        restart,
        significant: true,
        ..otp()
    }
}

fn ending(auto_shutdown: AutoShutdown) -> Policy {
    Policy {
        auto_shutdown,
        ..policy(Strategy::OneForOne)
    }
}

fn compat(strategy: Strategy) -> Policy {
    Policy {
        otp_compat: true,
        ..policy(strategy)
    }
}

fn dynamic() -> Policy {
    Policy {
        dynamic: true,
        stop_together: true,
        ..policy(Strategy::OneForOne)
    }
}

/// Who an end made the supervisor stop.
fn stopped(directives: &[Directive]) -> Vec<u32> {
    let mut slots = Vec::new();
    for directive in directives {
        if let Directive::Stop(who, StopCause::Parent) = directive {
            slots.push(who.slot);
        }
    }
    slots
}

#[test]
fn a_significant_child_that_ends_and_is_not_started_again_ends_its_supervisor() {
    let cases = [
        (Restart::Transient, ExitKind::Normal, true),
        (Restart::Transient, ExitKind::Shutdown, true),
        (Restart::Transient, ExitKind::Error, false),
        (Restart::Temporary, ExitKind::Normal, true),
        (Restart::Temporary, ExitKind::Error, true),
        (Restart::Temporary, ExitKind::Killed, true),
    ];
    for (restart, end, ends) in cases {
        let plans = [otp(), significant(restart), otp()];
        let (mut sup, now) = up_with(ending(AutoShutdown::AnySignificant), &plans);
        let directives = sup.on_exit(who(1, 1), end, now);
        let expected: &[u32] = if ends { &[2] } else { &[] };
        assert_eq!(stopped(&directives), expected, "{restart:?} {end:?}");
        assert_eq!(sup.is_closing(), ends, "{restart:?} {end:?}");
    }
}

#[test]
fn an_auto_shutdown_stops_the_others_last_first_and_says_why_it_closed() {
    let plans = [otp(), significant(Restart::Temporary), otp()];
    let (mut sup, now) = up_with(ending(AutoShutdown::AnySignificant), &plans);
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Normal, now),
        [
            Directive::Remove(1),
            Directive::Stop(who(2, 1), StopCause::Parent)
        ]
    );
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Shutdown, now),
        [
            rest(0, Phase::Stopped),
            Directive::Close(Closed::AutoShutdown)
        ]
    );
}

#[test]
fn a_child_that_is_not_significant_ends_nobody() {
    let plan = ChildPlan {
        significant: false,
        ..significant(Restart::Transient)
    };
    for auto_shutdown in AutoShutdown::ALL {
        let (mut sup, now) = up_with(ending(*auto_shutdown), &[plan.clone(), otp()]);
        drop(sup.on_exit(who(0, 1), ExitKind::Normal, now));
        assert!(!sup.is_closing(), "{auto_shutdown:?}");
    }
}

#[test]
fn all_significant_waits_for_the_last_and_one_that_waits_for_its_restart_counts_as_there() {
    let slow = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..significant(Restart::Transient)
    };
    let plans = [significant(Restart::Transient), slow, otp()];
    let (mut sup, now) = up_with(ending(AutoShutdown::AllSignificant), &plans);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Normal, now));
    assert!(!sup.is_closing(), "the other will be started again");
    let now = now + SECOND;
    assert_eq!(sup.on_wakeup(now), [Directive::Start(who(1, 2))]);
    drop(sup.on_started(who(1, 2), now));
    drop(sup.on_exit(who(1, 2), ExitKind::Normal, now));
    assert!(sup.is_closing());
}

#[test]
fn a_significant_child_that_an_operator_stops_ends_nobody_but_counts_no_more() {
    let plans = [
        significant(Restart::Transient),
        significant(Restart::Transient),
    ];
    for auto_shutdown in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
        let (mut sup, now) = up_with(ending(auto_shutdown), &plans);
        drop(sup.terminate_child(0, now));
        drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
        assert!(!sup.is_closing(), "{auto_shutdown:?}");
        drop(sup.on_exit(who(1, 1), ExitKind::Normal, now));
        assert!(sup.is_closing(), "{auto_shutdown:?}");
    }
}

#[test]
fn a_significant_child_that_is_stopped_for_a_siblings_sake_ends_nobody() {
    let plans = [otp(), significant(Restart::Temporary)];
    let policy = Policy {
        strategy: Strategy::OneForAll,
        ..ending(AutoShutdown::AnySignificant)
    };
    let (mut sup, now) = up_with(policy, &plans);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    let directives = sup.on_exit(who(1, 1), ExitKind::Shutdown, now);
    assert_eq!(
        directives,
        [Directive::Remove(1), Directive::Start(who(0, 2))]
    );
    assert!(!sup.is_closing());
}

#[test]
fn a_significant_child_is_refused_by_a_supervisor_that_never_ends_by_itself() {
    let (mut sup, now) = up(Strategy::OneForOne);
    let child = significant(Restart::Transient);
    assert_eq!(
        sup.start_child(child.clone(), now),
        Err(Refused::NoAutoShutdown)
    );
    assert_eq!(sup.in_order().count(), 3, "nothing was added");
    let (mut sup, now) = up_with(ending(AutoShutdown::AllSignificant), &[otp()]);
    assert!(sup.start_child(child, now).is_ok());
}

#[test]
fn a_start_that_is_ignored_is_no_failure_and_the_next_one_starts() {
    let (mut sup, now) = (Supervision::new(policy(Strategy::OneForOne)), t0());
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    for plan in [otp(), temporary, otp()] {
        sup.add(plan, now);
    }
    drop(sup.boot(now));
    assert_eq!(
        sup.on_ignored(who(0, 1), now),
        [rest(0, Phase::Completed), Directive::Start(who(1, 1)),]
    );
    assert_eq!(
        sup.on_ignored(who(1, 1), now),
        [Directive::Remove(1), Directive::Start(who(2, 1))],
        "the place of a temporary child goes"
    );
    assert_eq!(
        sup.on_ignored(who(2, 1), now),
        [rest(2, Phase::Completed), Directive::Booted]
    );
    assert_eq!(sup.intensity_used(now), Some((0, 3)));
    assert_eq!(sup.on_ignored(who(2, 1), now), [], "it is over");
}

#[test]
fn what_depends_on_a_child_that_asked_not_to_be_started_is_started() {
    let policy = Policy {
        order: Order::Dependencies,
        ..policy(Strategy::OneForOne)
    };
    let (mut sup, now) = (Supervision::new(policy), t0());
    sup.add(otp(), now);
    sup.add(otp(), now);
    sup.depend(1, 0);
    assert_eq!(sup.boot(now), [Directive::Start(who(0, 1))]);
    let directives = sup.on_ignored(who(0, 1), now);
    assert_eq!(
        directives,
        [Directive::Start(who(1, 1)), rest(0, Phase::Completed)]
    );
}

#[test]
fn an_ignored_child_that_was_asked_to_stop_has_stopped() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.terminate_child(0, now));
    assert_eq!(sup.on_ignored(who(0, 2), now), [rest(0, Phase::Stopped)]);
}

#[test]
fn an_ignored_life_of_an_earlier_life_is_ignored() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(sup.on_ignored(who(0, 1), now), []);
    assert_eq!(sup.phase(0), Some(Phase::Starting));
}

#[test]
fn otp_revives_what_an_operator_had_stopped_and_we_do_not() {
    for (policy, revived) in [
        (policy(Strategy::OneForAll), false),
        (compat(Strategy::OneForAll), true),
        (compat(Strategy::RestForOne), true),
    ] {
        let (mut sup, now) = up_with(policy, &[otp(), otp()]);
        drop(sup.terminate_child(1, now));
        drop(sup.on_exit(who(1, 1), ExitKind::Shutdown, now));
        drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
        let directives = sup.on_started(who(0, 2), now);
        let again = directives == [Directive::Start(who(1, 2))];
        assert_eq!(again, revived, "{policy:?}");
        let desired = if revived { Desired::Up } else { Desired::Down };
        assert_eq!(sup.desired(1), Some(desired));
    }
}

#[test]
fn otp_does_not_revive_what_stands_before_the_victim_of_rest_for_one() {
    let (mut sup, now) = up_with(compat(Strategy::RestForOne), &[otp(), otp()]);
    drop(sup.terminate_child(0, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(sup.phase(0), Some(Phase::Stopped));
}

#[test]
fn a_stopped_victim_leaves_its_group_down_in_otp_and_with_us_the_others_go_on() {
    for (policy, goes_on) in [
        (policy(Strategy::RestForOne), true),
        (compat(Strategy::RestForOne), false),
    ] {
        let (mut sup, now) = up_with(policy, &[otp(), otp(), otp()]);
        drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
        drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
        assert_eq!(
            (sup.phase(1), sup.phase(2)),
            (Some(Phase::Starting), Some(Phase::Pending))
        );
        drop(sup.terminate_child(1, now));
        drop(sup.on_exit(who(1, 2), ExitKind::Shutdown, now));
        let expected = if goes_on {
            Phase::Starting
        } else {
            Phase::Stopped
        };
        assert_eq!(sup.phase(2), Some(expected), "{policy:?}");
        assert_eq!(sup.phase(1), Some(Phase::Stopped));
        assert_eq!(sup.phase(0), Some(Phase::Running));
    }
}

#[test]
fn a_stopped_follower_leaves_the_restart_of_its_group_alone() {
    let (mut sup, now) = up_with(compat(Strategy::OneForAll), &[otp(), otp(), otp()]);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.terminate_child(1, now),
        Ok(vec![rest(1, Phase::Stopped)])
    );
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(2, 2))]
    );
}

#[test]
fn a_start_that_follows_a_failure_is_a_restart_and_one_for_an_operator_is_not() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert!(sup.is_restarting(0));
    assert_eq!(sup.restart_child(0, now), Err(Refused::Restarting));
    assert_eq!(sup.delete_child(0), Err(Refused::Restarting));
    drop(sup.on_started(who(0, 2), now));
    assert!(!sup.is_restarting(0));
    drop(sup.terminate_child(0, now));
    drop(sup.on_exit(who(0, 2), ExitKind::Shutdown, now));
    drop(sup.restart_child(0, now));
    assert!(!sup.is_restarting(0));
    assert_eq!(sup.delete_child(0), Err(Refused::Running));
}

#[test]
fn a_child_that_was_added_and_does_not_start_is_forgotten_by_otp_and_kept_by_us() {
    let down = ExitKind::StartFailed;
    let (mut sup, now) = up(Strategy::OneForOne);
    let (slot, directives) = sup.start_child(otp(), now).unwrap();
    assert_eq!((slot, directives), (3, vec![Directive::Start(who(3, 1))]));
    assert_eq!(
        sup.on_start_failed(who(3, 1), down, false, now),
        [rest(3, Phase::Stopped)]
    );
    for policy in [compat(Strategy::OneForOne), dynamic()] {
        let (mut sup, now) = up_with(policy, &[]);
        drop(sup.start_child(otp(), now));
        assert_eq!(
            sup.on_start_failed(who(0, 1), down, false, now),
            [Directive::Remove(0)],
            "{policy:?}"
        );
        assert_eq!(sup.intensity_used(now), Some((0, 3)), "no failure to count");
    }
}

#[test]
fn a_restart_that_failed_for_an_operator_leaves_no_mark_on_the_next_start() {
    let (mut sup, now) = up_with(compat(Strategy::OneForAll), &[otp(), otp()]);
    drop(sup.terminate_child(1, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Shutdown, now));
    drop(sup.restart_child(1, now));
    assert_eq!(
        sup.on_start_failed(who(1, 2), ExitKind::StartFailed, false, now),
        [rest(1, Phase::Stopped)]
    );
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 3))]
    );
    drop(sup.on_start_failed(who(1, 3), ExitKind::StartFailed, false, now));
    assert_eq!(
        sup.intensity_used(now),
        Some((2, 3)),
        "this one was a restart that failed"
    );
}

#[test]
fn the_place_of_a_dynamic_child_goes_with_its_last_life() {
    for restart in Restart::ALL.iter().copied() {
        let plan = ChildPlan { restart, ..otp() };
        let (mut sup, now) = up_with(dynamic(), &[plan.clone(), plan]);
        let directives = sup.on_exit(who(0, 1), ExitKind::Normal, now);
        if restart == Restart::Permanent {
            assert!(directives.contains(&Directive::Start(who(0, 2))));
        } else {
            assert_eq!(directives, [Directive::Remove(0)], "{restart:?}");
        }
        drop(sup.terminate_child(1, now));
        assert_eq!(
            sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
            [Directive::Remove(1)]
        );
    }
}

#[test]
fn a_dynamic_child_that_is_ignored_at_its_restart_is_dropped() {
    let (mut sup, now) = up_with(dynamic(), &[otp()]);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(sup.on_ignored(who(0, 2), now), [Directive::Remove(0)]);
}

#[test]
fn dynamic_children_are_all_asked_at_once() {
    let (mut sup, now) = up_with(dynamic(), &[otp(), otp(), otp()]);
    assert_eq!(stopped(&sup.shut_down(now)), [2, 1, 0]);
}

#[test]
fn one_child_more_than_there_may_be_is_refused_and_a_restart_never_is() {
    let slow = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..otp()
    };
    let policy = Policy {
        max_children: Some(2),
        ..dynamic()
    };
    let (mut sup, now) = up_with(policy, std::slice::from_ref(&slow));
    let (slot, _) = sup.start_child(slow.clone(), now).unwrap();
    drop(sup.on_started(who(slot, 1), now));
    let full = Refused::Full { max: 2 };
    assert_eq!(sup.start_child(slow.clone(), now), Err(full));
    drop(sup.on_exit(who(slot, 1), ExitKind::Error, now));
    assert_eq!(
        sup.start_child(slow.clone(), now),
        Err(full),
        "one that waits for its restart counts"
    );
    let now = now + SECOND;
    assert_eq!(sup.on_wakeup(now), [Directive::Start(who(slot, 2))]);
    drop(sup.on_started(who(slot, 2), now));
    drop(sup.terminate_child(slot, now));
    assert_eq!(
        sup.start_child(slow.clone(), now),
        Err(full),
        "not gone yet"
    );
    drop(sup.on_exit(who(slot, 2), ExitKind::Shutdown, now));
    assert!(sup.start_child(slow.clone(), now).is_ok());
    drop(sup.shut_down(now));
    assert_eq!(sup.start_child(slow, now), Err(Refused::Closing));
}

#[test]
fn new_rules_start_and_stop_nobody_and_keep_what_they_do_not_list_after_the_rest() {
    let (mut sup, now) = up(Strategy::OneForOne);
    let brutal = ChildPlan {
        shutdown: Shutdown::BrutalKill,
        ..otp()
    };
    let rules = policy(Strategy::OneForAll);
    let listed = vec![(Some(2), brutal), (None, otp()), (Some(0), otp())];
    assert_eq!(sup.reconfigure(rules, listed, now), Ok(vec![2, 3, 0]));
    assert_eq!(sup.in_order().collect::<Vec<_>>(), [2, 3, 0, 1]);
    assert_eq!(sup.phase(3), Some(Phase::Stopped), "it is not started");
    let mut directives = sup.on_exit(who(0, 1), ExitKind::Error, now);
    assert_eq!(
        directives.pop(),
        Some(Directive::Stop(who(1, 1), StopCause::Sibling)),
        "the new strategy, in the new order"
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now).pop(),
        Some(Directive::Kill(who(2, 1), StopCause::Sibling)),
        "by its new plan"
    );
    drop(sup.on_exit(who(2, 1), ExitKind::Killed, now));
    assert_eq!(
        sup.restart_child(3, now),
        Ok(vec![Directive::Start(who(3, 1))])
    );
}

#[test]
fn new_rules_keep_what_was_counted() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_started(who(0, 2), now));
    let strict = Policy {
        intensity: Some(RestartIntensity::new(1, SECOND * 5)),
        ..policy(Strategy::OneForOne)
    };
    let same = || vec![(Some(0), otp()), (Some(1), otp()), (Some(2), otp())];
    assert!(sup.reconfigure(strict, same(), now).is_ok());
    assert_eq!(sup.intensity_used(now), Some((1, 1)));
    drop(sup.on_exit(who(0, 2), ExitKind::Error, now));
    assert!(sup.is_closing(), "one restart was one too many");
    assert_eq!(sup.reconfigure(strict, same(), now), Err(Refused::Closing));
}

#[test]
fn new_rules_decide_who_is_significant_from_now_on() {
    let (mut sup, now) = up_with(ending(AutoShutdown::AllSignificant), &[otp(), otp()]);
    let listed = vec![
        (Some(0), significant(Restart::Transient)),
        (Some(1), significant(Restart::Transient)),
    ];
    let rules = ending(AutoShutdown::AllSignificant);
    assert!(sup.reconfigure(rules, listed, now).is_ok());
    drop(sup.on_exit(who(0, 1), ExitKind::Normal, now));
    assert!(!sup.is_closing());
    drop(sup.on_exit(who(1, 1), ExitKind::Normal, now));
    assert!(sup.is_closing());
}

#[test]
fn a_restart_that_waits_still_comes_under_new_rules() {
    let slow = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[slow.clone(), slow.clone()]);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Shutdown, now));
    let rules = policy(Strategy::OneForAll);
    let listed = vec![(Some(1), slow.clone()), (Some(0), slow)];
    assert!(sup.reconfigure(rules, listed, now).is_ok());
    let now = now + SECOND;
    assert_eq!(
        sup.on_wakeup(now),
        [Directive::Start(who(1, 2))],
        "in the new order"
    );
    assert_eq!(
        sup.on_started(who(1, 2), now),
        [Directive::Start(who(0, 2))]
    );
}
