//! What one child waits for of another. Child 1 depends on child 0.

use super::*;

/// What happens to child 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happens {
    Starts,
    IsReady,
    Ignores,
    /// It ends in order.
    Ends,
    /// It fails, as often as it takes to be given up on.
    Fails,
    /// It cannot be started at all.
    CannotStart,
    Removed,
}

/// What has become of child 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    Waits,
    Starts,
    GivenUp,
}

/// A kind of child 0, what happens to it, and what becomes of child 1 under each condition.
type Row = (fn() -> ChildPlan, &'static [Happens], [Waiter; 4]);

fn job() -> ChildPlan {
    ChildPlan {
        restart: Restart::Transient,
        once: true,
        ..parked_after(0)
    }
}

fn server() -> ChildPlan {
    ChildPlan {
        ready_within: Some(SECOND * 10),
        restart: Restart::Transient,
        ..parked_after(0)
    }
}

fn waiting(plan: ChildPlan, condition: Condition) -> (Supervision, Instant) {
    let policy = Policy {
        order: Order::Dependencies,
        ..Policy::default()
    };
    let (mut sup, now) = (Supervision::new(policy), t0());
    sup.add(plan, now);
    sup.add(otp(), now);
    sup.depend_until(1, 0, condition);
    assert_eq!(sup.boot(now), [Directive::Start(who(0, 1))]);
    (sup, now)
}

fn happen(sup: &mut Supervision, happens: Happens, now: Instant) {
    let who = who(0, sup.generation(0));
    drop(match happens {
        Happens::Starts => sup.on_started(who, now),
        Happens::IsReady => sup.on_ready(who, now),
        Happens::Ignores => sup.on_ignored(who, now),
        Happens::Ends => sup.on_exit(who, ExitKind::Exit(0), now),
        Happens::Fails => sup.on_exit(who, ExitKind::Exit(1), now),
        Happens::CannotStart => sup.on_start_failed(who, ExitKind::StartFailed, true, now),
        Happens::Removed => {
            drop(sup.terminate_child(0, now));
            drop(sup.on_exit(who, ExitKind::Shutdown, now));
            sup.delete_child(0).unwrap()
        }
    });
}

fn waiter(sup: &Supervision) -> Waiter {
    match sup.phase(1) {
        Some(Phase::Pending) => Waiter::Waits,
        Some(Phase::Starting) => Waiter::Starts,
        Some(Phase::Failed) => Waiter::GivenUp,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_condition_is_met_by_what_it_says_and_by_nothing_less() {
    use Condition::{Completed, CompletedSuccessfully, Ready, Started};
    use Happens::{CannotStart, Ends, Fails, Ignores, IsReady, Removed, Starts};
    use Waiter::{GivenUp, Starts as Goes, Waits};
    let table: [Row; 16] = [
        // Started, ready, completed, completed in order.
        (job, &[], [Waits, Waits, Waits, Waits]),
        (job, &[Starts], [Goes, Goes, Waits, Waits]),
        (job, &[Starts, Ends], [Goes, Goes, Goes, Goes]),
        (job, &[Ends], [Goes, Goes, Goes, Goes]),
        (job, &[Starts, Fails], [Goes, Goes, Goes, GivenUp]),
        (job, &[Fails], [GivenUp, GivenUp, Goes, GivenUp]),
        (job, &[CannotStart], [GivenUp; 4]),
        (job, &[Ignores], [Goes; 4]),
        (job, &[Removed], [GivenUp; 4]),
        (server, &[Starts], [Goes, Waits, Waits, Waits]),
        (server, &[IsReady], [Waits, Waits, Waits, Waits]),
        (server, &[IsReady, Starts], [Goes, Goes, Waits, Waits]),
        (server, &[Starts, IsReady], [Goes, Goes, Waits, Waits]),
        (server, &[Starts, Ends], [Goes, GivenUp, Goes, Goes]),
        (server, &[Starts, Fails], [Goes, GivenUp, Goes, GivenUp]),
        (server, &[Ignores], [Goes; 4]),
    ];
    for (plan, happens, expected) in table {
        let conditions = [Started, Ready, Completed, CompletedSuccessfully];
        for (condition, expected) in conditions.into_iter().zip(expected) {
            let (mut sup, now) = waiting(plan(), condition);
            for happens in happens {
                happen(&mut sup, *happens, now);
            }
            assert_eq!(waiter(&sup), expected, "{condition} after {happens:?}");
        }
    }
}

#[test]
fn one_that_waits_in_vain_is_told_why_and_comes_up_when_an_operator_brings_what_it_waits_for() {
    let (mut sup, now) = waiting(job(), Condition::CompletedSuccessfully);
    let told = sup.on_exit(who(0, 1), ExitKind::Exit(1), now);
    let why = Parked::Dependency { on: 0 };
    assert_eq!(
        told[1..],
        [Directive::Park { slot: 1, why }, Directive::Booted],
        "{told:?}"
    );
    drop(sup.restart_child(0, now));
    drop(sup.on_started(who(0, 2), now));
    assert_eq!(waiter(&sup), Waiter::GivenUp, "it runs, and has not ended");
    assert_eq!(
        sup.on_exit(who(0, 2), ExitKind::Exit(0), now),
        [Directive::Start(who(1, 1)), rest(0, Phase::Completed)]
    );
}

#[test]
fn an_operator_starts_one_that_waits_or_has_waited_in_vain_without() {
    for fails in [false, true] {
        let (mut sup, now) = waiting(job(), Condition::CompletedSuccessfully);
        if fails {
            happen(&mut sup, Happens::Fails, now);
        }
        assert_eq!(
            sup.bounce_child(1, now),
            Ok(vec![Directive::Start(who(1, 1))])
        );
    }
}

#[test]
fn a_stop_ends_the_wait_at_once_and_nothing_starts_it_then() {
    let (mut sup, now) = waiting(job(), Condition::Completed);
    assert_eq!(
        sup.terminate_child(1, now),
        Ok(vec![rest(1, Phase::Stopped)])
    );
    assert_eq!(
        sup.on_exit(who(0, 1), ExitKind::Exit(0), now),
        [rest(0, Phase::Completed), Directive::Booted]
    );
}

#[test]
fn one_that_is_not_ready_in_time_has_failed_to_start() {
    let plan = ChildPlan {
        backoff: Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed),
        ..ChildPlan {
            limit: None,
            ..server()
        }
    };
    let (mut sup, now) = waiting(plan, Condition::Ready);
    let up = now + SECOND * 4;
    drop(sup.on_started(who(0, 1), up));
    // From the begin of the start on.
    assert_eq!(sup.next_wakeup(), Some(now + SECOND * 10));
    assert!(!sup.is_ready(0));
    let late = now + SECOND * 10;
    assert_eq!(
        sup.on_wakeup(late),
        [
            Directive::StartTimeout(who(0, 1)),
            Directive::Stop(who(0, 1), StopCause::Parent)
        ]
    );
    let told = sup.on_exit(who(0, 1), ExitKind::Shutdown, late);
    let Some(Directive::Backoff(Scheduled { after, attempt, .. })) = told.first() else {
        panic!("{told:?}")
    };
    assert_eq!((*after, *attempt), (ExitKind::StartTimeout, 1));
    drop(sup.on_wakeup(late + SECOND));
    drop(sup.on_started(who(0, 2), late + SECOND));
    assert_eq!(
        sup.on_ready(who(0, 2), late + SECOND),
        [Directive::Start(who(1, 1))]
    );
    assert!(sup.is_ready(0));
    assert_eq!(sup.on_ready(who(0, 2), late + SECOND), [], "once");
    drop(sup.on_started(who(1, 1), late + SECOND));
    assert_eq!(sup.next_wakeup(), None);
    assert_eq!(
        sup.on_ready(who(0, 1), late + SECOND),
        [],
        "a life of before"
    );
}

#[test]
fn the_restart_of_a_group_waits_for_everything_anew() {
    // 0 ← 1, a job ← 2, which waits for its end.
    let policy = Policy {
        order: Order::Dependencies,
        ..policy(Strategy::RestForOne)
    };
    let (mut sup, now) = (Supervision::new(policy), t0());
    sup.add(otp(), now);
    sup.add(
        ChildPlan {
            limit: None,
            ..job()
        },
        now,
    );
    sup.add(otp(), now);
    sup.depend(1, 0);
    sup.depend_until(2, 1, Condition::CompletedSuccessfully);
    drop(sup.boot(now));
    drop(sup.on_started(who(0, 1), now));
    drop(sup.on_exit(who(1, 1), ExitKind::Exit(0), now));
    drop(sup.on_started(who(2, 1), now));
    drop(sup.on_exit(who(0, 1), ExitKind::Error, now));
    assert_eq!(
        sup.on_exit(who(2, 1), ExitKind::Shutdown, now),
        [rest(2, Phase::Pending), Directive::Start(who(0, 2))]
    );
    assert_eq!(
        sup.on_started(who(0, 2), now),
        [Directive::Start(who(1, 2))]
    );
    assert_eq!(sup.on_started(who(1, 2), now), [], "it has not ended yet");
    assert_eq!(sup.phase(2), Some(Phase::Pending));
    let mut again = sup.clone();
    assert_eq!(
        sup.on_exit(who(1, 2), ExitKind::Exit(0), now),
        [Directive::Start(who(2, 2)), rest(1, Phase::Completed)]
    );
    // One that is given up on in the restart of its group takes along who waits for it.
    drop(again.terminate_child(1, now));
    drop(again.on_exit(who(1, 2), ExitKind::Shutdown, now));
    assert_eq!(
        again.phase(2),
        Some(Phase::Pending),
        "an operator may start it"
    );
    drop(again.restart_child(1, now));
    let cannot = again.on_start_failed(who(1, 3), ExitKind::StartFailed, true, now);
    assert!(
        cannot.contains(&Directive::Park {
            slot: 2,
            why: Parked::Dependency { on: 1 }
        }),
        "{cannot:?}"
    );
}
