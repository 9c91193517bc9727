//! What happens to a group that restarts while it does: operators, timers, other failures.

use super::*;

fn stop(slot: u32, life: u32) -> Directive {
    Directive::Stop(who(slot, life), StopCause::Sibling)
}

/// All are to restart: 3 has failed, 2 is being stopped, 1 and 0 are doomed.
fn all_are_to_restart(otp_compat: bool) -> (Supervision, Instant) {
    let policy = Policy {
        otp_compat,
        ..policy(Strategy::OneForAll)
    };
    let (mut sup, now) = up_with(policy, &[otp(), otp(), otp(), otp()]);
    assert_eq!(
        sup.on_exit(who(3, 1), ExitKind::Error, now)[1..],
        [stop(2, 1)]
    );
    (sup, now)
}

#[test]
fn an_operators_stop_of_a_doomed_sibling_waits_for_its_turn_and_holds() {
    for otp_compat in [false, true] {
        let (mut sup, now) = all_are_to_restart(otp_compat);
        assert_eq!(sup.terminate_child(1, now), Ok(vec![]), "not out of turn");
        assert_eq!(sup.desired(1), Some(Desired::Down));
        assert_eq!(
            sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
            [rest(2, Phase::Pending), stop(1, 1)]
        );
        assert_eq!(
            sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
            [rest(1, Phase::Stopped), stop(0, 1)]
        );
        assert_eq!(
            sup.on_exit(who(0, 1), ExitKind::Shutdown, now),
            [rest(0, Phase::Pending), Directive::Start(who(0, 2))]
        );
        assert_eq!(
            sup.on_started(who(0, 2), now),
            [Directive::Start(who(2, 2))],
            "and the one that was stopped stays down"
        );
    }
}

#[test]
fn a_bounce_of_a_doomed_sibling_is_what_happens_to_it_anyway() {
    let (mut sup, now) = all_are_to_restart(false);
    drop(sup.terminate_child(1, now));
    assert_eq!(sup.bounce_child(1, now), Ok(vec![]));
    assert_eq!(sup.desired(1), Some(Desired::Up));
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [rest(1, Phase::Pending), stop(0, 1)]
    );
}

#[test]
fn a_bounce_of_the_sibling_that_is_being_stopped_starts_it_in_its_turn() {
    let (mut sup, now) = all_are_to_restart(false);
    assert_eq!(sup.bounce_child(2, now), Ok(vec![]));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [rest(2, Phase::Pending), stop(1, 1)]
    );
}

#[test]
fn a_doomed_temporary_sibling_that_is_bounced_comes_back_with_its_group() {
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..otp()
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[otp(), temporary, otp()]);
    let seen = sup.on_exit(who(0, 1), ExitKind::Error, now);
    assert_eq!(seen[1..], [stop(2, 1)]);
    assert_eq!(sup.bounce_child(1, now), Ok(vec![]));
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 2))]
    );
}

#[test]
fn what_an_operator_starts_while_a_group_is_being_stopped_has_its_turn_after_that() {
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[otp(), otp(), otp(), otp()]);
    drop(sup.terminate_child(0, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    drop(sup.on_exit(who(3, 1), ExitKind::Error, now));
    assert_eq!(
        sup.restart_child(0, now),
        Ok(vec![rest(0, Phase::Pending)]),
        "one that was down"
    );
    assert_eq!(
        sup.bounce_child(0, now),
        Ok(vec![]),
        "one that waits for its turn"
    );
    let (added, told) = sup.start_child(otp(), now).unwrap();
    assert_eq!(
        told,
        [rest(added, Phase::Pending)],
        "one that was not there"
    );
    assert_eq!(
        sup.bounce_child(3, now),
        Ok(vec![rest(3, Phase::Pending)]),
        "one that has failed"
    );
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Shutdown, now),
        [rest(1, Phase::Pending), Directive::Start(who(0, 2))]
    );
    for (started, next) in [((0, 2), (1, 2)), ((1, 2), (2, 2)), ((2, 2), (3, 2))] {
        assert_eq!(
            sup.on_started(who(started.0, started.1), now),
            [Directive::Start(who(next.0, next.1))]
        );
    }
    assert_eq!(
        sup.on_started(who(3, 2), now),
        [Directive::Start(who(added, 1))]
    );
}

#[test]
fn a_child_before_the_group_that_was_stopped_for_an_operator_starts_when_the_group_is_gone() {
    let (mut sup, now) = up_with(policy(Strategy::RestForOne), &[otp(), otp(), otp()]);
    drop(sup.bounce_child(0, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Shutdown, now),
        [rest(0, Phase::Pending)]
    );
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [rest(2, Phase::Pending), Directive::Start(who(0, 2))]
    );
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 2))]
    );
}

#[test]
fn another_failure_does_not_bring_back_what_an_operator_has_stopped_meanwhile() {
    let (mut sup, now) = up_with(policy(Strategy::RestForOne), &[otp(), otp(), otp(), otp()]);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    drop(sup.terminate_child(2, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_exit(who(3, 1), ExitKind::Shutdown, now));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [rest(2, Phase::Stopped), Directive::Start(who(0, 2))]
    );
}

#[test]
fn a_start_timeout_does_not_jump_the_line_of_a_group() {
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[otp(), otp(), otp()]);
    drop(sup.bounce_child(0, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    sup.on_start_pending(who(0, 2), now);
    let late = now + SECOND * 29;
    assert_eq!(
        sup.on_exit(who(1, 1), ExitKind::Error, late)[1..],
        [stop(2, 1)]
    );
    assert_eq!(sup.on_wakeup(now + SECOND * 30), []);
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, late),
        [rest(2, Phase::Pending), stop(0, 2)]
    );
}

#[test]
fn in_otp_the_stop_of_a_doomed_sibling_that_was_starting_again_does_not_end_its_group() {
    let compat = Policy {
        otp_compat: true,
        ..policy(Strategy::OneForAll)
    };
    let (mut sup, now) = up_with(compat, &[otp(), otp(), otp()]);
    drop(sup.bounce_child(2, now));
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    drop(sup.on_exit(who(2, 1), ExitKind::Shutdown, now));
    drop(sup.on_exit(who(0, 1), ExitKind::Shutdown, now));
    drop(sup.on_started(who(0, 2), now));
    // 1 is starting again after its failure; 2 has had its turn for an operator; then 0 fails.
    drop(sup.bounce_child(2, now));
    drop(sup.on_started(who(2, 2), now));
    assert_eq!(
        sup.on_exit(who(0, 2), ExitKind::Error, now)[1..],
        [stop(2, 2)]
    );
    assert!(sup.is_restarting(1), "it is starting again, and doomed");
    assert_eq!(sup.terminate_child(1, now), Ok(vec![]));
    assert_eq!(sup.phase(0), Some(Phase::Backoff), "it comes up again");
}
