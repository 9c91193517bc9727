//! What becomes of the place of a child that could not be ended.

use super::*;
use crate::restart::Unresponsive;

fn stuck(unresponsive: Unresponsive) -> ChildPlan {
    ChildPlan {
        unresponsive,
        ..otp()
    }
}

fn parked(slot: u32) -> Directive {
    Directive::Park {
        slot,
        why: Parked::Unresponsive,
    }
}

/// What follows when a child was asked, killed, and is still there after its grace.
fn given_up_on(sup: &mut Supervision, now: Instant) -> Vec<Directive> {
    drop(sup.on_wakeup(now + SECOND * 5));
    sup.on_wakeup(now + SECOND * 10)
}

fn bounced(unresponsive: Unresponsive) -> Vec<Directive> {
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[stuck(unresponsive)]);
    drop(sup.bounce_child(0, now));
    given_up_on(&mut sup, now)
}

#[test]
fn a_life_that_could_not_be_ended_has_its_next_life_beside_it_or_none_or_ends_the_program() {
    let (given_up, next) = (Directive::Abandon(who(0, 1)), Directive::Start(who(0, 2)));
    assert_eq!(bounced(Unresponsive::Beside), [given_up, next]);
    assert_eq!(bounced(Unresponsive::Park), [given_up, parked(0)]);
    assert_eq!(
        bounced(Unresponsive::Abort),
        [given_up, Directive::Abort(who(0, 1)), next]
    );
    assert_eq!(ChildPlan::default().unresponsive, Unresponsive::Beside);
}

#[test]
fn one_that_was_to_stay_down_does_whatever_its_plan_says() {
    for unresponsive in [Unresponsive::Beside, Unresponsive::Park] {
        let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[stuck(unresponsive)]);
        drop(sup.terminate_child(0, now));
        assert_eq!(
            given_up_on(&mut sup, now),
            [Directive::Abandon(who(0, 1)), rest(0, Phase::Stopped)]
        );
    }
    let temporary = ChildPlan {
        restart: Restart::Temporary,
        ..stuck(Unresponsive::Park)
    };
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[temporary]);
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Unresponsive, now),
        [Directive::Remove(0)]
    );
}

#[test]
fn in_a_restart_of_the_group_the_one_that_is_parked_is_left_out_and_the_others_come_back() {
    let plans = [otp(), stuck(Unresponsive::Park), otp()];
    let (mut sup, now) = up_with(policy(Strategy::OneForAll), &plans);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [
            rest(2, Phase::Pending),
            Directive::Stop(who(1, 1), StopCause::Sibling)
        ]
    );
    let seen = given_up_on(&mut sup, now);
    assert_eq!(
        seen,
        [
            Directive::Abandon(who(1, 1)),
            parked(1),
            Directive::Start(who(0, 2))
        ]
    );
    assert_eq!(
        sup.on_started(who(0, 2), now + SECOND * 10),
        [Directive::Start(who(2, 2))]
    );
}

#[test]
fn an_operator_may_start_one_that_was_parked_beside_what_is_left_of_it() {
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[stuck(Unresponsive::Park)]);
    drop(sup.bounce_child(0, now));
    drop(given_up_on(&mut sup, now));
    let later = now + SECOND * 11;
    assert_eq!(
        sup.restart_child(0, later),
        Ok(vec![Directive::Start(who(0, 2))])
    );
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Killed, later),
        [],
        "the end of the earlier life, after all, is nothing to the later one"
    );
}

#[test]
fn a_process_that_reports_itself_unresponsive_is_treated_likewise() {
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[stuck(Unresponsive::Park)]);
    drop(sup.bounce_child(0, now));
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Unresponsive, now),
        [parked(0)]
    );
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[stuck(Unresponsive::Park)]);
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Unresponsive, now),
        [parked(0)],
        "also when nobody had asked"
    );
}

#[test]
fn a_start_that_could_not_be_ended_rolls_the_boot_back_and_is_parked_later() {
    let (mut sup, now) = (Supervision::new(Policy::default()), t0());
    sup.add(stuck(Unresponsive::Park), now);
    drop(sup.boot(now));
    sup.on_start_pending(who(0, 1), now);
    let timed_out = now + SECOND * 30;
    drop(sup.on_wakeup(timed_out));
    assert_eq!(
        given_up_on(&mut sup, timed_out).last(),
        Some(&Directive::Close(Closed::StartFailed { slot: 0 }))
    );

    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[stuck(Unresponsive::Park)]);
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    sup.on_start_pending(who(0, 2), now);
    let timed_out = now + SECOND * 30;
    drop(sup.on_wakeup(timed_out));
    assert_eq!(
        given_up_on(&mut sup, timed_out),
        [Directive::Abandon(who(0, 2)), parked(0)]
    );
}

#[test]
fn a_supervisor_that_was_asked_to_end_aborts_nothing_and_one_that_gives_up_does() {
    let aborts = || stuck(Unresponsive::Abort);
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[aborts()]);
    drop(sup.shut_down(now));
    assert_eq!(
        given_up_on(&mut sup, now),
        [
            Directive::Abandon(who(0, 1)),
            rest(0, Phase::Stopped),
            Directive::Close(Closed::ShutDown)
        ]
    );
    let mut strict = policy(Strategy::OneForOne);
    strict.intensity = Some(RestartIntensity::new(0, SECOND));
    let (mut sup, now) = up_with(strict, &[aborts(), otp()]);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(
        given_up_on(&mut sup, now)[..2],
        [Directive::Abandon(who(0, 1)), Directive::Abort(who(0, 1))]
    );
}
