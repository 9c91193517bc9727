//! What the verdicts of probes do to a child.

use super::*;

fn served() -> ChildPlan {
    ChildPlan {
        ready_within: Some(Duration::MAX),
        ..otp()
    }
}

#[test]
fn one_that_is_not_ready_any_more_stays_up_and_is_ready_again_when_it_says_so() {
    let (mut sup, now) = up_with(policy(Strategy::OneForOne), &[served()]);
    assert!(!sup.is_ready(0), "it has not said so yet");
    assert_eq!(sup.next_wakeup(), None, "nor does it have to by any time");
    drop(sup.on_ready(who(0, 1), now));
    assert!(sup.is_ready(0));
    sup.on_unready(who(0, 1));
    assert!(!sup.is_ready(0));
    assert_eq!(sup.phase(0), Some(Phase::Running));
    drop(sup.on_ready(who(0, 1), now));
    assert!(sup.is_ready(0));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    drop(sup.on_started(who(0, 2), now));
    drop(sup.on_ready(who(0, 2), now));
    sup.on_unready(who(0, 1));
    assert!(sup.is_ready(0), "an earlier life has nothing to say");
}

#[test]
fn who_waited_until_it_was_ready_goes_on_when_it_is_not_any_more_and_who_comes_then_waits() {
    let ordered = Policy {
        order: Order::Dependencies,
        ..Policy::default()
    };
    let (mut sup, now) = (Supervision::new(ordered), t0());
    let database = sup.add(served(), now);
    let waiting = sup.add(otp(), now);
    sup.depend_until(waiting, database, Condition::Ready);
    assert_eq!(sup.boot(now), [Directive::Start(who(database, 1))]);
    assert_eq!(sup.on_started(who(database, 1), now), []);
    assert_eq!(
        sup.on_ready(who(database, 1), now),
        [Directive::Start(who(waiting, 1))]
    );
    drop(sup.on_started(who(waiting, 1), now));
    sup.on_unready(who(database, 1));
    assert_eq!(sup.phase(waiting), Some(Phase::Running));
}

#[test]
fn a_start_whose_probe_fails_is_ended_and_counts_as_failed() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    sup.on_start_pending(who(1, 2), now);
    sup.on_start_watched(who(1, 2));
    assert_eq!(
        sup.next_wakeup(),
        None,
        "the probe says when it was too long"
    );
    assert_eq!(
        sup.on_condemned(who(1, 2), StopCause::Probe, now),
        [Directive::Stop(who(1, 2), StopCause::Probe)]
    );
    assert_eq!(
        sup.on_condemned(who(1, 2), StopCause::Probe, now),
        [],
        "once is enough"
    );
    assert_eq!(sup.on_started(who(1, 2), now), [], "it comes too late");
    let seen = sup.on_exit(who(1, 2), ExitKind::Shutdown, now);
    assert!(
        matches!(
            seen[0],
            Directive::Backoff(Scheduled {
                slot: 1,
                after: ExitKind::StartFailed,
                ..
            })
        ),
        "{seen:?}"
    );
}

#[test]
fn a_start_is_left_alone_by_a_cause_that_is_no_failure() {
    let (mut sup, now) = up(Strategy::OneForOne);
    drop(sup.on_exit(who(1, 1), ExitKind::Error, now));
    assert_eq!(sup.on_condemned(who(1, 2), StopCause::MaxRuntime, now), []);
    assert_eq!(sup.phase(1), Some(Phase::Starting));
}

#[test]
fn a_boot_fails_with_the_probe_of_a_start() {
    let mut sup = Supervision::new(policy(Strategy::OneForOne));
    let now = t0();
    sup.add(otp(), now);
    drop(sup.boot(now));
    sup.on_start_watched(who(0, 1));
    assert_eq!(
        sup.on_condemned(who(0, 1), StopCause::Probe, now),
        [Directive::Stop(who(0, 1), StopCause::Probe)]
    );
    let seen = sup.on_exit(who(0, 1), ExitKind::Shutdown, now);
    assert_eq!(
        seen.last(),
        Some(&Directive::Close(Closed::StartFailed { slot: 0 }))
    );
}

#[test]
fn one_that_a_probe_ends_may_have_a_time_of_its_own_to_stop() {
    let (mut sup, now) = up(Strategy::OneForOne);
    let grace = Some(SECOND * 30);
    assert_eq!(
        sup.on_condemned_within(who(1, 1), StopCause::Probe, grace, now),
        [Directive::Stop(who(1, 1), StopCause::Probe)]
    );
    assert_eq!(sup.next_wakeup(), Some(now + SECOND * 30));
    let late = now + SECOND * 30;
    assert_eq!(
        sup.on_wakeup(late),
        [Directive::Kill(who(1, 1), StopCause::Parent)]
    );
    let seen = sup.on_exit(who(1, 1), ExitKind::Killed, late);
    assert!(matches!(seen[0], Directive::Backoff(_)), "{seen:?}");
}
