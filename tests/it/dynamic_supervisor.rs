//! Elixir's own tests of its `DynamicSupervisor`, case by case and under its names (the part of the file first). A pid there is a path
//! here, an id is never left out, and `{shutdown, term}` is `shutdown`.

mod stop;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorCell};
use regrow::testing::{Bare, Puppet, PuppetStart, TestSystem};
use regrow::{
    AutoShutdown, Backoff, ChildSpec, DynamicSupervisor, ExitKind, Ignore, InvalidTree,
    OperateError, Phase, Restart, StartContext, StartFailure, Strategy, Supervisor,
};

use crate::peers::Port::{self, Adapted as A, AsItIs as Y, Left};
use crate::peers::every_case_has_its_test;

const FORMS: &str = "a spec has one form";
const BEAM: &str = "it is about processes of the BEAM";

/// The cases in Elixir's order.
const CASES: [(&str, Port); 41] = [
    ("can_be_supervised_directly", Y),
    (
        "multiple_supervisors_can_be_supervised_and_identified_with_simple_child_spec",
        A,
    ),
    (
        "use_generates_child_spec",
        Left("there is no macro that makes specs"),
    ),
    ("init_set_default_options", Y),
    ("start_link_with_non_ok_init", A),
    ("start_link_with_registered_process", A),
    ("start_link_with_spawn_opt", Left(BEAM)),
    (
        "start_link_sets_initial_call_to_the_same_as_a_regular_supervisor",
        Left(BEAM),
    ),
    ("code_change_with_non_ok_init", A),
    ("code_change_with_ok_init", A),
    ("start_child_supports_old_child_spec", Left(FORMS)),
    ("start_child_supports_new_child_spec_as_tuple", Left(FORMS)),
    ("start_child_supports_new_child_spec", A),
    ("start_child_supports_extra_arguments", A),
    ("start_child_with_invalid_child_spec", A),
    ("start_child_with_different_returns", Y),
    ("start_child_with_throw_error_exit", A),
    ("start_child_with_max_children", Y),
    ("temporary_child_is_not_restarted_regardless_of_reason", Y),
    ("transient_child_is_restarted_unless_normal_shutdown", Y),
    ("permanent_child_is_restarted_regardless_of_reason", Y),
    ("child_is_restarted_with_different_values", Y),
    ("restarting_on_init_children_counted_in_max_children", Y),
    ("restarting_on_exit_children_counted_in_max_children", Y),
    ("restarting_a_child_with_extra_arguments", A),
    ("child_is_restarted_when_trying_again", Y),
    ("child_triggers_maximum_restarts", Y),
    ("child_triggers_maximum_intensity_when_trying_again", Y),
    ("start_child_with_valid_shutdown", Y),
    (
        "start_child_with_invalid_shutdown",
        Left("no duration is negative"),
    ),
    ("terminates_children_with_brutal_kill", Y),
    ("terminates_children_with_infinity_shutdown", Y),
    (
        "terminates_children_with_infinity_shutdown_and_abnormal_reason",
        Y,
    ),
    ("terminates_children_with_integer_shutdown", Y),
    (
        "terminates_children_with_integer_shutdown_and_abnormal_reason",
        Y,
    ),
    ("terminates_children_with_expired_integer_shutdown", Y),
    (
        "terminates_children_with_permanent_restart_and_normal_reason",
        Y,
    ),
    ("terminates_with_mixed_children", Y),
    ("terminates_child_with_brutal_kill", Y),
    ("terminates_child_with_integer_shutdown", Y),
    ("terminates_restarting_child", Y),
];

#[test]
fn every_case_of_elixirs_has_its_test() {
    every_case_has_its_test("tests/it/dynamic_supervisor.rs", &CASES);
}

const SECOND: Duration = Duration::from_secs(1);

/// Elixir's: without delays. Its limit is the one that the case gives.
fn crowd() -> DynamicSupervisor {
    DynamicSupervisor::new("crowd")
        .otp_compat()
        .no_intensity_limit()
}

async fn up(crowd: DynamicSupervisor) -> TestSystem {
    TestSystem::start(Supervisor::new("root").child(crowd)).await
}

/// Children, and those of them that are up. Under OTP's rules there is one spec, so the children are the workers.
async fn counts(system: &TestSystem) -> (u32, u32) {
    let counts = system.count_children("root/crowd").await;
    let counts = counts.expect("the crowd is there");
    (counts.workers, counts.active)
}

async fn add(system: &TestSystem, child: ChildSpec) {
    let added = system.start_child("root/crowd", child).await;
    drop(added.expect("it starts"));
}

/// Adds a child, ends it as told, and waits until what follows has happened.
async fn ended(system: &mut TestSystem, child: ChildSpec, end: impl Fn(regrow::testing::Strings)) {
    let path = format!("root/crowd/{}", child.id());
    add(system, child).await;
    end(system.puppet(&path));
    system.expect("regrow.child.terminated", &path).await;
    system.happened().await;
}

fn restarting(id: &str, then: PuppetStart) -> ChildSpec {
    Puppet::scripted(id, [PuppetStart::Up, then])
}

/// Case 1.
#[tokio::test(start_paused = true)]
async fn can_be_supervised_directly() {
    let system = TestSystem::start(Supervisor::new("root").child(crowd())).await;
    assert!(
        system
            .which_children("root/crowd")
            .await
            .unwrap()
            .is_empty()
    );
}

/// Case 2: by id; a second one of the same id is refused.
#[tokio::test(start_paused = true)]
async fn multiple_supervisors_can_be_supervised_and_identified_with_simple_child_spec() {
    let named = |id: &str| DynamicSupervisor::new(id);
    let tree = Supervisor::new("root").child(named("a")).child(named("b"));
    let system = TestSystem::start(tree).await;
    drop(system.start_child("root", named("c")).await.unwrap());
    for path in ["root/a", "root/b", "root/c"] {
        assert!(system.which_children(path).await.unwrap().is_empty());
    }
    let again = system.start_child("root", named("c")).await;
    assert!(
        matches!(again, Err(OperateError::AlreadyStarted { .. })),
        "{again:?}"
    );
}

/// Case 4: `one_for_one`, 3 in 5 s, as many children as one likes.
#[tokio::test(start_paused = true)]
async fn init_set_default_options() {
    let mut system = TestSystem::start(DynamicSupervisor::new("crowd")).await;
    let child = |n: u32| Puppet::spec(&format!("c{n}")).backoff(Backoff::none());
    let report = system
        .start_children("crowd", (0..200).map(child))
        .await
        .unwrap();
    assert_eq!(report.started, 200);
    system.happened().await;
    for _ in 0..3 {
        system.puppet("crowd/c7").crash("boom");
        system.expect("regrow.child.started", "crowd/c7").await;
    }
    let other = system.which_child("crowd/c8").await.unwrap();
    assert_eq!(other.generation, 1, "nobody is taken along");
    system.puppet("crowd/c7").crash("boom");
    assert_eq!(system.ended().await.kind(), ExitKind::Intensity);
}

/// Case 5: what the types do not refuse already.
#[test]
fn start_link_with_non_ok_init() {
    let refused = |tree: Supervisor| {
        let refused = tree.check().unwrap_err();
        assert!(matches!(refused, InvalidTree::Dynamic { .. }), "{refused}");
    };
    let crowd = || Supervisor::from(crowd());
    refused(crowd().strategy(Strategy::OneForAll));
    refused(crowd().strategy(Strategy::RestForOne));
    refused(crowd().auto_shutdown(AutoShutdown::AnySignificant));
    refused(crowd().child(Puppet::spec("a")));
}

/// Case 6: as a root it has a path, and shuts down.
#[tokio::test(start_paused = true)]
async fn start_link_with_registered_process() {
    let system = TestSystem::start(crowd()).await;
    assert_eq!(system.count_children("crowd").await.unwrap().workers, 0);
    assert_eq!(system.shut_down().await.reason.kind(), ExitKind::Shutdown);
}

/// Case 9: new rules that cannot work are refused, and the old ones hold.
#[tokio::test(start_paused = true)]
async fn code_change_with_non_ok_init() {
    let system = up(crowd().max_children(1)).await;
    let refused = async |rules: Supervisor| {
        let refused = system.reconfigure("root/crowd", rules).await;
        assert!(refused.is_err(), "{refused:?}");
    };
    refused(Supervisor::new("crowd")).await;
    refused(DynamicSupervisor::new("other").into()).await;
    refused(Supervisor::from(crowd()).strategy(Strategy::OneForAll)).await;
    add(&system, Puppet::spec("a")).await;
    let full = system.start_child("root/crowd", Puppet::spec("b")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { max: 1, .. })),
        "{full:?}"
    );
}

/// Case 10.
#[tokio::test(start_paused = true)]
async fn code_change_with_ok_init() {
    let system = up(crowd()).await;
    add(&system, Puppet::spec("a")).await;
    let rules = crowd().max_children(1);
    drop(system.reconfigure("root/crowd", rules).await.unwrap());
    assert_eq!(counts(&system).await, (1, 1));
    let full = system.start_child("root/crowd", Puppet::spec("b")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { max: 1, .. })),
        "{full:?}"
    );
}

/// Case 13: the one form that there is.
#[tokio::test(start_paused = true)]
async fn start_child_supports_new_child_spec() {
    let system = up(crowd()).await;
    let added = system.start_child("root/crowd", Puppet::spec("a")).await;
    assert_eq!(added.unwrap().path, "root/crowd/a");
}

/// Case 14: what children have in common is what their specs share.
#[tokio::test(start_paused = true)]
async fn start_child_supports_extra_arguments() {
    let shared = Arc::new(Mutex::new(Vec::new()));
    let child = |id: &'static str| {
        let shared = Arc::clone(&shared);
        ChildSpec::start_with(id, move |context| {
            shared.lock().unwrap().push(id);
            bare(context)
        })
    };
    let system = up(crowd()).await;
    add(&system, child("a")).await;
    add(&system, child("b")).await;
    assert_eq!(*shared.lock().unwrap(), ["a", "b"]);
}

async fn bare(context: StartContext) -> Result<ActorCell, StartFailure> {
    let (actor, _) = Actor::spawn_linked(None, Bare, (), context.supervisor()).await?;
    Ok(actor.get_cell())
}

/// Case 15: what the types do not refuse already.
#[tokio::test(start_paused = true)]
async fn start_child_with_invalid_child_spec() {
    let system = up(crowd()).await;
    let refused = async |child| system.start_child("root/crowd", child).await.unwrap_err();
    let id = refused(Puppet::spec("No")).await;
    assert!(matches!(id, OperateError::InvalidId { .. }), "{id}");
    let significant = Puppet::spec("a").restart(Restart::Transient).significant();
    let significant = refused(significant).await;
    assert!(
        matches!(significant, OperateError::InvalidTree(_)),
        "{significant}"
    );
    let dependent = refused(Puppet::spec("a").depends_on(["nobody"])).await;
    assert!(
        matches!(dependent, OperateError::InvalidTree(_)),
        "{dependent}"
    );
    assert_eq!(counts(&system).await, (0, 0));
}

/// Case 16.
#[tokio::test(start_paused = true)]
async fn start_child_with_different_returns() {
    let system = up(crowd()).await;
    let starts = async |child| system.start_child("root/crowd", child).await;
    let up = starts(ChildSpec::start_with("ok", bare)).await.unwrap();
    assert_eq!(up.phase, Phase::Running);
    let ignore = |_| async { Err::<ActorCell, _>(StartFailure::retry(Ignore)) };
    let ignored = starts(ChildSpec::start_with("ignore", ignore))
        .await
        .unwrap();
    assert_eq!(ignored.phase, Phase::Completed);
    let found = |_| async { Err::<ActorCell, _>("found") };
    let error = starts(ChildSpec::start_with("error", found))
        .await
        .unwrap_err();
    let text = "child \"root/crowd/error\" did not start: failed to start: found";
    assert_eq!(error.to_string(), text);
    assert_eq!(counts(&system).await, (1, 1), "the others are forgotten");
}

/// Case 17: a panic before the first await, one after it, and an error.
#[tokio::test(start_paused = true)]
async fn start_child_with_throw_error_exit() {
    type Never = Result<ActorCell, StartFailure>;
    let system = up(crowd()).await;
    let error = async |child| {
        let error = system.start_child("root/crowd", child).await.unwrap_err();
        error.to_string()
    };
    let at_once = ChildSpec::start_with("a", |_| -> std::future::Ready<Never> { panic!("now") });
    assert!(error(at_once).await.ends_with(": now"));
    let later = ChildSpec::start_with("a", |_| async {
        tokio::task::yield_now().await;
        if true {
            panic!("later");
        }
        Never::Err(StartFailure::retry("not reached"))
    });
    assert!(error(later).await.ends_with(": later"));
    let failure = |_| async { Never::Err(StartFailure::permanent("oops")) };
    assert!(
        error(ChildSpec::start_with("a", failure))
            .await
            .ends_with(": oops")
    );
    assert_eq!(counts(&system).await, (0, 0));
}

/// Case 18.
#[tokio::test(start_paused = true)]
async fn start_child_with_max_children() {
    let system = up(crowd().max_children(0)).await;
    let full = system.start_child("root/crowd", Puppet::spec("a")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { max: 0, .. })),
        "{full:?}"
    );
}

/// Case 19.
#[tokio::test(start_paused = true)]
async fn temporary_child_is_not_restarted_regardless_of_reason() {
    let mut system = up(crowd()).await;
    let child = || Puppet::spec("a").restart(Restart::Temporary);
    ended(&mut system, child(), |a| a.shut_down()).await;
    assert_eq!(counts(&system).await, (0, 0));
    ended(&mut system, child(), |a| a.crash("whatever")).await;
    assert_eq!(counts(&system).await, (0, 0));
}

/// Case 20.
#[tokio::test(start_paused = true)]
async fn transient_child_is_restarted_unless_normal_shutdown() {
    let mut system = up(crowd()).await;
    let child = || Puppet::spec("a").restart(Restart::Transient);
    ended(&mut system, child(), |a| a.exit()).await;
    assert_eq!(counts(&system).await, (0, 0));
    ended(&mut system, child(), |a| a.shut_down()).await;
    assert_eq!(counts(&system).await, (0, 0));
    ended(&mut system, child(), |a| a.crash("whatever")).await;
    assert_eq!(counts(&system).await, (1, 1));
}

/// Case 21.
#[tokio::test(start_paused = true)]
async fn permanent_child_is_restarted_regardless_of_reason() {
    let mut system = up(crowd()).await;
    ended(&mut system, Puppet::spec("a"), |a| a.exit()).await;
    assert_eq!(counts(&system).await, (1, 1));
    ended(&mut system, Puppet::spec("b"), |a| a.shut_down()).await;
    assert_eq!(counts(&system).await, (2, 2));
    ended(&mut system, Puppet::spec("c"), |a| a.crash("whatever")).await;
    assert_eq!(counts(&system).await, (3, 3));
}

/// Case 22: with delays, so that one that is being restarted can be looked at.
#[tokio::test(start_paused = true)]
async fn child_is_restarted_with_different_values() {
    let crowd = DynamicSupervisor::new("crowd").no_intensity_limit();
    let mut system = up(crowd).await;
    let counted = async |system: &mut TestSystem, id: &str, then| {
        add(system, restarting(id, then)).await;
        let path = format!("root/crowd/{id}");
        system.puppet(&path).shut_down();
        system.expect("regrow.child.terminated", &path).await;
        let seen = match then {
            PuppetStart::Up => "regrow.child.started",
            PuppetStart::Ignore => "regrow.supervisor.child.removed",
            PuppetStart::Refuse | PuppetStart::Panic | PuppetStart::Hang => {
                "regrow.child.start_failed"
            }
        };
        system.expect(seen, &path).await;
        counts(system).await
    };
    assert_eq!(counted(&mut system, "a", PuppetStart::Up).await, (1, 1));
    assert_eq!(counted(&mut system, "b", PuppetStart::Up).await, (2, 2));
    assert_eq!(counted(&mut system, "c", PuppetStart::Ignore).await, (2, 2));
    assert_eq!(counted(&mut system, "d", PuppetStart::Refuse).await, (3, 2));
    let d = system.which_child("root/crowd/d").await.unwrap();
    assert_eq!(d.phase, Phase::Backoff);
    assert_eq!(counted(&mut system, "e", PuppetStart::Panic).await, (4, 2));
}

/// Case 23.
#[tokio::test(start_paused = true)]
async fn restarting_on_init_children_counted_in_max_children() {
    let crowd = DynamicSupervisor::new("crowd").no_intensity_limit();
    let mut system = up(crowd.max_children(1)).await;
    add(&system, restarting("a", PuppetStart::Refuse)).await;
    system.puppet("root/crowd/a").shut_down();
    system
        .expect("regrow.child.start_failed", "root/crowd/a")
        .await;
    assert_eq!(counts(&system).await, (1, 0));
    let full = system.start_child("root/crowd", Puppet::spec("b")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { .. })),
        "{full:?}"
    );
}

/// Case 24.
#[tokio::test(start_paused = true)]
async fn restarting_on_exit_children_counted_in_max_children() {
    let mut system = up(crowd().max_children(1)).await;
    ended(&mut system, Puppet::spec("a"), |a| a.shut_down()).await;
    assert_eq!(counts(&system).await, (1, 1));
    let full = system.start_child("root/crowd", Puppet::spec("b")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { .. })),
        "{full:?}"
    );
}

/// Case 25: each life is started with what the first was.
#[tokio::test(start_paused = true)]
async fn restarting_a_child_with_extra_arguments() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&told);
    let child = ChildSpec::start_with("a", move |context: StartContext| {
        shared.lock().unwrap().push(context.generation());
        bare(context)
    });
    let mut system = up(crowd()).await;
    ended(&mut system, child, |a| a.crash("oops")).await;
    assert_eq!(*told.lock().unwrap(), [1, 2]);
}

/// Case 26: the first retry fails and counts, the second works.
#[tokio::test(start_paused = true)]
async fn child_is_restarted_when_trying_again() {
    let mut system = up(crowd().max_restarts(2, 5 * SECOND)).await;
    let starts = [PuppetStart::Up, PuppetStart::Refuse, PuppetStart::Up];
    ended(&mut system, Puppet::scripted("a", starts), |a| {
        a.shut_down();
    })
    .await;
    assert_eq!(counts(&system).await, (1, 1));
    assert_eq!(
        system.which_child("root/crowd/a").await.unwrap().generation,
        3
    );
}

/// Case 27.
#[tokio::test(start_paused = true)]
async fn child_triggers_maximum_restarts() {
    let system = TestSystem::start(crowd().max_restarts(0, 5 * SECOND)).await;
    drop(
        system
            .start_child("crowd", Puppet::spec("a"))
            .await
            .unwrap(),
    );
    system.puppet("crowd/a").shut_down();
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
}

/// Case 28.
#[tokio::test(start_paused = true)]
async fn child_triggers_maximum_intensity_when_trying_again() {
    let system = TestSystem::start(crowd().max_restarts(10, 5 * SECOND)).await;
    let child = restarting("a", PuppetStart::Refuse);
    drop(system.start_child("crowd", child).await.unwrap());
    system.puppet("crowd/a").shut_down();
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
}
