//! One rule a test. A child is named by its slot: 0, 1, 2 in start order; `who(1, 2)` is the second life of child 1.

mod conditions;
mod dependencies;
mod groups;
mod once;
mod operators;
mod otp;
mod probed;
mod unresponsive;

use super::*;
use crate::backoff::{Backoff, FirstRestart};
use crate::restart::{GiveUp, Restart, Shutdown};
use crate::testing::t0;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn who(slot: u32, life: u32) -> Who {
    Who { slot, life }
}

fn otp() -> ChildPlan {
    ChildPlan {
        backoff: Backoff::none(),
        ..ChildPlan::default()
    }
}

fn parked_after(max_restarts: u32) -> ChildPlan {
    let limit = Some(RestartIntensity::new(max_restarts, SECOND * 60));
    ChildPlan {
        give_up: GiveUp::Park,
        limit,
        ..otp()
    }
}

fn policy(strategy: Strategy) -> Policy {
    Policy {
        strategy,
        intensity: Some(RestartIntensity::new(3, SECOND * 5)),
        ..Policy::default()
    }
}

/// A booted supervisor with these children.
fn up_with(policy: Policy, plans: &[ChildPlan]) -> (Supervision, Instant) {
    let (mut sup, now) = (Supervision::new(policy), t0());
    for plan in plans {
        sup.add(plan.clone(), now);
    }
    let mut directives = sup.boot(now);
    while let Some(directive) = directives.pop() {
        if let Directive::Start(who) = directive {
            directives.extend(sup.on_started(who, now));
        }
    }
    (sup, now)
}

fn up(strategy: Strategy) -> (Supervision, Instant) {
    up_with(policy(strategy), &[otp(), otp(), otp()])
}

fn scheduled(slot: u32, now: Instant, attempt: u32, in_window: u32) -> Directive {
    Directive::Backoff(Scheduled {
        slot,
        at: now,
        delay: Duration::ZERO,
        attempt,
        in_window,
        max_restarts: Some(3),
        after: ExitKind::Error,
    })
}

fn rest(slot: u32, phase: Phase) -> Directive {
    Directive::Rest { slot, phase }
}

#[test]
fn a_boot_starts_one_child_after_the_other_and_tells_when_all_are_up() {
    let (mut sup, now) = (Supervision::new(Policy::default()), t0());
    sup.add(otp(), now);
    sup.add(otp(), now);
    assert_eq!(sup.boot(now), [Directive::Start(who(0, 1))]);
    assert_eq!(
        sup.on_started(who(0, 1), now),
        [Directive::Start(who(1, 1))]
    );
    assert_eq!(sup.on_started(who(1, 1), now), [Directive::Booted]);
    assert_eq!(sup.boot(now), [], "a second boot is nothing");
}

#[test]
fn an_idle_supervisor_wants_no_wakeup() {
    let plan = ChildPlan::default();
    let (mut sup, now) = up_with(Policy::default(), &[plan.clone(), plan]);
    assert_eq!(sup.next_wakeup(), None);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    sup.on_start_pending(who(0, 2), now);
    assert!(sup.next_wakeup().is_some(), "a start has a timeout");
    drop(sup.on_started(who(0, 2), now));
    assert_eq!(sup.next_wakeup(), None, "what was counted needs none");
}

#[test]
fn a_supervisor_without_children_is_up_at_once() {
    assert_eq!(
        Supervision::new(Policy::default()).boot(t0()),
        [Directive::Booted]
    );
}

#[test]
fn a_failed_boot_stops_those_before_it_last_first_and_closes() {
    let (mut sup, now) = (Supervision::new(Policy::default()), t0());
    for _ in 0..4 {
        sup.add(otp(), now);
    }
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    drop(sup.on_started(who(1, 1), now));
    let stopped = [
        rest(2, Phase::Stopped),
        rest(3, Phase::Stopped),
        Directive::Stop(who(1, 1), StopCause::Parent),
    ];
    let mut seen = sup.on_start_failed(who(2, 1), ExitKind::StartFailed, false, now);
    seen.sort_by_key(|directive| format!("{directive:?}"));
    let mut expected = stopped;
    expected.sort_by_key(|directive| format!("{directive:?}"));
    assert_eq!(seen, expected);
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [
            rest(1, Phase::Stopped),
            Directive::Stop(who(0, 1), StopCause::Parent)
        ]
    );
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Shutdown, now),
        [
            rest(0, Phase::Stopped),
            Directive::Close(Closed::StartFailed { slot: 2 })
        ]
    );
}

#[test]
fn one_for_one_restarts_the_failed_child_alone() {
    let (mut sup, now) = up(Strategy::OneForOne);
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Error, now),
        [scheduled(1, now, 1, 1), Directive::Start(who(1, 2))]
    );
    assert_eq!(sup.on_started(who(1, 2), now), []);
    assert_eq!(sup.generation(1), 2);
}

#[test]
fn rest_for_one_stops_later_children_last_first_then_starts_in_order() {
    let (mut sup, now) = up(Strategy::RestForOne);
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Error, now),
        [
            scheduled(1, now, 1, 1),
            Directive::Stop(who(2, 1), StopCause::Sibling)
        ]
    );
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [rest(2, Phase::Pending), Directive::Start(who(1, 2))]
    );
    assert_eq!(
        sup.on_started(who(1, 2), now),
        [Directive::Start(who(2, 2))]
    );
    assert_eq!(sup.on_started(who(2, 2), now), []);
}

#[test]
fn one_for_all_stops_all_others_one_at_a_time_then_starts_in_order() {
    let (mut sup, now) = up(Strategy::OneForAll);
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Error, now),
        [
            scheduled(1, now, 1, 1),
            Directive::Stop(who(2, 1), StopCause::Sibling)
        ]
    );
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [
            rest(2, Phase::Pending),
            Directive::Stop(who(0, 1), StopCause::Sibling)
        ]
    );
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Shutdown, now),
        [rest(0, Phase::Pending), Directive::Start(who(0, 2))]
    );
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 2))]
    );
}

#[test]
fn a_sibling_that_fails_during_the_transition_is_merged_into_it() {
    let (mut sup, now) = up(Strategy::OneForAll);
    drop(sup.on_exit(who(2, 1), ExitKind::Error, now));
    // Child 1 is being asked; child 0 is doomed and dies by itself: no second restart is counted.
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Panic, now),
        [rest(0, Phase::Pending)]
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [rest(1, Phase::Pending), Directive::Start(who(0, 2))]
    );
    assert_eq!(sup.intensity_used(now), Some((1, 3)));
}

#[test]
fn a_temporary_sibling_stopped_by_a_group_restart_is_gone_for_good() {
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[otp(), temporary]);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [Directive::Remove(1), Directive::Start(who(0, 2))]
    );
}

#[test]
fn a_finished_transient_sibling_comes_back_with_its_group_and_one_stopped_by_an_operator_does_not()
{
    let transient = ChildPlan {
        restart: Restart::Transient,
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[otp(), transient, otp()]);
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Normal, now),
        [rest(1, Phase::Completed)]
    );
    assert_eq!(
        sup.terminate_child(2, now),
        Ok(vec![Directive::Stop(who(2, 1), StopCause::Operator)])
    );
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [rest(2, Phase::Stopped)]
    );
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Error, now),
        [
            scheduled(0, now, 1, 1),
            rest(1, Phase::Pending),
            Directive::Start(who(0, 2))
        ]
    );
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 2))]
    );
    assert_eq!(
        sup.on_started(who(1, 2), now),
        [],
        "the stopped one stays so"
    );
}

#[test]
fn the_restart_types_follow_otps_table() {
    for end in ExitKind::ALL {
        assert!(Restart::Permanent.restarts_after(end));
        assert!(!Restart::Temporary.restarts_after(end));
        let orderly = matches!(end, ExitKind::Normal | ExitKind::Shutdown);
        assert_eq!(Restart::Transient.restarts_after(end), !orderly, "{end:?}");
    }
    assert!(!Restart::Transient.restarts_after(ExitKind::Exit(0)));
}

#[test]
fn a_temporary_child_that_ends_is_removed_and_its_slot_serves_again_with_new_lives() {
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[temporary]);
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Panic, now),
        [Directive::Remove(0)]
    );
    assert_eq!(sup.phase(0), None);
    assert_eq!(sup.add(otp(), now), 0);
    assert_eq!(
        sup.restart_child(0, now),
        Ok(vec![Directive::Start(who(0, 2))])
    );
    assert_eq!(
        sup.generation(0),
        1,
        "a new child begins with its first generation"
    );
}

#[test]
fn the_failure_that_exceeds_the_intensity_stops_all_last_first_and_closes() {
    let (mut sup, now) = up(Strategy::OneForOne);
    for life in 1..=3 {
        drop(sup.on_exit(who(1, life), ExitKind::Error, now));
        drop(sup.on_started(who(1, life + 1), now));
    }
    assert_eq!(
        sup.on_exit(who(1, 4), ExitKind::Error, now),
        [
            Directive::Meltdown {
                slot: 1,
                restarts: 3,
                period: SECOND * 5
            },
            rest(1, Phase::Stopped),
            Directive::Stop(who(2, 1), StopCause::Parent),
        ]
    );
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Shutdown, now),
        [
            rest(0, Phase::Stopped),
            Directive::Close(Closed::Intensity { slot: 1 })
        ]
    );
}

#[test]
fn a_child_with_a_limit_of_its_own_is_parked_and_the_others_go_on() {
    let (mut sup, now) = up_with(
        Policy {
            intensity: None,
            ..policy(Strategy::OneForOne)
        },
        &[parked_after(1), otp()],
    );
    drop(sup.on_exit(who(0, 1), ExitKind::Exit(1), now));
    drop(sup.on_started(who(0, 2), now));
    let why = Parked::Intensity {
        max_restarts: 1,
        period: SECOND * 60,
    };
    assert_eq!(
        sup.on_exit(who(0, 2), ExitKind::Exit(1), now),
        [Directive::Park { slot: 0, why }]
    );
    assert_eq!(sup.phase(1), Some(Phase::Running));
    assert_eq!(
        sup.restart_child(0, now),
        Ok(vec![Directive::Start(who(0, 3))]),
        "an operator may try again"
    );
    drop(sup.on_started(who(0, 3), now));
    assert!(matches!(
        sup.on_exit(who(0, 3), ExitKind::Exit(1), now)[..],
        [Directive::Backoff(_), Directive::Start(_)]
    ));
}

#[test]
fn a_start_that_can_never_succeed_parks_at_once_without_a_retry() {
    let (mut sup, now) = (
        Supervision::new(Policy {
            intensity: None,
            ..Policy::default()
        }),
        t0(),
    );
    sup.add(parked_after(5), now);
    drop(sup.boot(now));
    assert_eq!(
        sup.on_start_failed(who(0, 1), ExitKind::StartFailed, true, now),
        [
            Directive::Park {
                slot: 0,
                why: Parked::CannotStart
            },
            Directive::Booted
        ]
    );
}

#[test]
fn a_boot_is_over_when_a_failing_child_is_parked() {
    let (mut sup, now) = (
        Supervision::new(Policy {
            intensity: None,
            ..Policy::default()
        }),
        t0(),
    );
    sup.add(parked_after(1), now);
    sup.add(otp(), now);
    drop(sup.boot(now));
    let first = sup.on_start_failed(who(0, 1), ExitKind::Exit(1), false, now);
    assert!(
        first.contains(&Directive::Start(who(0, 2)))
            && first.contains(&Directive::Start(who(1, 1))),
        "{first:?}"
    );
    assert_eq!(sup.on_started(who(1, 1), now), []);
    let last = sup.on_exit(who(0, 2), ExitKind::Exit(1), now);
    assert!(
        matches!(
            last[..],
            [Directive::Park { slot: 0, .. }, Directive::Booted]
        ),
        "{last:?}"
    );
}

#[test]
fn the_delay_is_waited_for_and_the_dependents_of_a_group_stop_before_it() {
    let slow = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::RestForOne), &[slow.clone(), slow]);
    let seen = sup.on_exit(who(0, 1), ExitKind::Error, now);
    assert_eq!(seen[1], Directive::Stop(who(1, 1), StopCause::Sibling));
    assert_eq!(
        sup.next_wakeup(),
        Some(now + SECOND * 5),
        "the deadline of the stop, not the start that waits for it"
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [rest(1, Phase::Pending)]
    );
    assert_eq!(sup.next_wakeup(), Some(now + SECOND));
    assert_eq!(sup.next_start_at(0), Some(now + SECOND));
    assert_eq!(sup.on_wakeup(now + SECOND), [Directive::Start(who(0, 2))]);
    assert_eq!(sup.next_wakeup(), None);
}

#[test]
fn a_child_that_does_not_stop_in_time_is_killed_and_then_abandoned() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.terminate_child(1, now));
    assert_eq!(
        sup.on_wakeup(now + SECOND * 5),
        [Directive::Kill(who(1, 1), StopCause::Parent)]
    );
    assert_eq!(
        sup.on_wakeup(now + SECOND * 10),
        [Directive::Abandon(who(1, 1)), rest(1, Phase::Stopped)]
    );
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Killed, now + SECOND * 11),
        []
    );
}

#[test]
fn a_brutal_kill_does_not_ask_and_infinity_does_not_kill() {
    let brutal = ChildPlan {
        shutdown: Shutdown::BrutalKill,
        ..otp()
    };
    let patient = ChildPlan {
        shutdown: Shutdown::Infinity,
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[brutal, patient]);
    assert_eq!(
        sup.terminate_child(0, now),
        Ok(vec![Directive::Kill(who(0, 1), StopCause::Operator)])
    );
    assert_eq!(
        sup.terminate_child(1, now),
        Ok(vec![Directive::Stop(who(1, 1), StopCause::Operator)])
    );
    drop(sup.on_exit(who(0, 1), ExitKind::Killed, now));
    assert_eq!(sup.next_wakeup(), None);
}

#[test]
fn a_start_that_takes_too_long_is_stopped_and_counts_as_failed() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    sup.on_start_pending(who(1, 2), now);
    let late = now + SECOND * 30;
    assert_eq!(
        sup.on_wakeup(late),
        [
            Directive::StartTimeout(who(1, 2)),
            Directive::Stop(who(1, 2), StopCause::Parent)
        ]
    );
    let seen = sup.on_exit(who(1, 2), ExitKind::Shutdown, late);
    assert!(
        matches!(
            seen[0],
            Directive::Backoff(Scheduled {
                slot: 1,
                after: ExitKind::StartTimeout,
                ..
            })
        ),
        "{seen:?}"
    );
}

#[test]
fn a_start_timeout_does_not_jump_the_line_of_a_shutdown() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    sup.on_start_pending(who(0, 2), now);
    drop(sup.shut_down(now));
    let late = now + SECOND * 30;
    assert_eq!(
        sup.on_wakeup(late),
        [Directive::Kill(who(2, 1), StopCause::Parent)]
    );
}

#[test]
fn an_exit_of_an_earlier_life_is_ignored() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(sup.on_exit(who(1, 1), ExitKind::Error, now), []);
    assert_eq!(sup.on_started(who(1, 1), now), []);
    assert_eq!(
        sup.on_start_failed(who(1, 1), ExitKind::StartFailed, true, now),
        []
    );
    assert_eq!(sup.phase(1), Some(Phase::Starting));
    assert_eq!(sup.on_exit(who(9, 1), ExitKind::Error, now), []);
}
