//! Children that are there to come to their end once.

use super::*;

fn once(restart: Restart) -> ChildPlan {
    ChildPlan {
        restart,
        once: true,
        ..parked_after(1)
    }
}

#[test]
fn an_end_in_order_completes_it_whatever_its_restart_type() {
    for restart in Restart::ALL.iter().copied() {
        for end in [ExitKind::Normal, ExitKind::Exit(0)] {
            let (mut sup, now) = up_with(Policy::default(), &[once(restart)]);
            assert_eq!(sup.desired(0), Some(Desired::Once));
            assert_eq!(
                sup.on_exit(who(0, 1), end, now),
                [rest(0, Phase::Completed)],
                "{restart:?}"
            );
            assert_eq!(sup.next_wakeup(), None);
        }
    }
}

#[test]
fn an_end_in_order_while_it_starts_completes_it_and_what_waits_for_it_goes_on() {
    let policy = Policy {
        order: Order::Dependencies,
        ..Policy::default()
    };
    let (mut sup, now) = (Supervision::new(policy), t0());
    sup.add(once(Restart::Transient), now);
    sup.add(otp(), now);
    sup.depend(1, 0);
    assert_eq!(sup.boot(now), [Directive::Start(who(0, 1))]);
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Exit(0), now),
        [Directive::Start(who(1, 1)), rest(0, Phase::Completed)]
    );
    assert_eq!(sup.on_started(who(1, 1), now), [Directive::Booted]);
}

#[test]
fn a_failure_is_tried_again_until_the_limit_and_then_it_is_parked() {
    for restart in [Restart::Permanent, Restart::Transient] {
        let (mut sup, now) = up_with(Policy::default(), &[once(restart)]);
        let told = sup.on_exit(who(0, 1), ExitKind::Exit(1), now);
        assert_eq!(told.last(), Some(&Directive::Start(who(0, 2))));
        // The second one fails while it starts: that is no other failure.
        let told = sup.on_exit(who(0, 2), ExitKind::Exit(1), now);
        let why = Parked::Intensity {
            max_restarts: 1,
            period: SECOND * 60,
        };
        assert_eq!(told, [Directive::Park { slot: 0, why }]);
    }
}

#[test]
fn a_temporary_one_is_not_tried_again_and_its_place_stays() {
    for give_up in GiveUp::ALL.iter().copied() {
        let plan = ChildPlan {
            give_up,
            ..once(Restart::Temporary)
        };
        let (mut sup, now) = up_with(Policy::default(), std::slice::from_ref(&plan));
        let why = Parked::NotRetried;
        let parked = [Directive::Park { slot: 0, why }];
        assert_eq!(sup.on_exit(who(0, 1), ExitKind::Exit(1), now), parked);
        drop(sup.restart_child(0, now));
        assert_eq!(sup.desired(0), Some(Desired::Once));
        let told = sup.on_exit(who(0, 2), ExitKind::Exit(1), now);
        match give_up {
            GiveUp::Park => assert_eq!(told, parked),
            // As with every start that an operator asks for: the failure is the answer.
            GiveUp::Escalate => assert_eq!(told, [rest(0, Phase::Stopped)]),
        }
    }
}

#[test]
fn an_operator_runs_it_again_and_stops_it() {
    let (mut sup, now) = up_with(Policy::default(), &[once(Restart::Transient)]);
    drop(sup.on_exit(who(0, 1), ExitKind::Exit(0), now));
    assert_eq!(
        sup.restart_child(0, now),
        Ok(vec![Directive::Start(who(0, 2))])
    );
    assert_eq!(
        sup.on_exit(who(0, 2), ExitKind::Exit(0), now),
        [rest(0, Phase::Completed)]
    );
    drop(sup.restart_child(0, now));
    drop(sup.on_started(who(0, 3), now));
    assert_eq!(
        sup.terminate_child(0, now),
        Ok(vec![Directive::Stop(who(0, 3), StopCause::Operator)])
    );
    assert_eq!(
        sup.on_exit(who(0, 3), ExitKind::Exit(0), now),
        [rest(0, Phase::Stopped)]
    );
    assert_eq!(sup.desired(0), Some(Desired::Down));
}

#[test]
fn the_restart_of_its_group_runs_it_again() {
    for restart in Restart::ALL.iter().copied() {
        let (mut sup, now) = up_with(policy(Strategy::OneForAll), &[otp(), once(restart)]);
        drop(sup.on_exit(who(1, 1), ExitKind::Exit(0), now));
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
    }
}
