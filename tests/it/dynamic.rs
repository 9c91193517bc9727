//! Children that come and go, and what is asked about them.

use std::time::Duration;

use regrow::testing::{Puppet, PuppetStart, TestSystem};
use regrow::{
    AutoShutdown, Backoff, ChildSpec, DynamicSupervisor, ExitKind, InvalidTree, OperateError,
    Phase, Restart, Shutdown, Supervisor,
};

fn crowd() -> DynamicSupervisor {
    DynamicSupervisor::new("crowd").no_intensity_limit()
}

fn member(id: &str) -> ChildSpec {
    Puppet::spec(id).backoff(Backoff::none())
}

#[tokio::test(start_paused = true)]
async fn dynamic_children_come_and_go_by_id() {
    let mut system = TestSystem::start(Supervisor::new("root").child(crowd())).await;
    let info = system.start_child("root/crowd", member("a")).await.unwrap();
    assert_eq!((info.phase, info.generation), (Phase::Running, 1));
    let again = system.start_child("root/crowd", member("a")).await;
    assert!(
        matches!(again, Err(OperateError::AlreadyStarted { .. })),
        "{again:?}"
    );

    system.puppet("root/crowd/a").crash("boom");
    system.expect("regrow.child.started", "root/crowd/a").await;
    system.puppet("root/crowd/a").shut_down();
    system.expect("regrow.child.started", "root/crowd/a").await;

    system.terminate_child("root/crowd/a").await.unwrap();
    let gone = system.which_child("root/crowd/a").await;
    assert!(
        matches!(gone, Err(OperateError::NotFound { .. })),
        "{gone:?}"
    );
    let info = system.start_child("root/crowd", member("a")).await.unwrap();
    assert_eq!(info.generation, 1, "another child of that name");
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_child_that_ends_as_it_should_leaves_no_place() {
    let mut system = TestSystem::start(crowd()).await;
    let child = member("a").restart(Restart::Transient);
    system.start_child("crowd", child).await.unwrap();
    system.puppet("crowd/a").shut_down();
    let ended = system.expect("regrow.child.terminated", "crowd/a").await;
    assert!(
        format!("{:?}", ended.payload).contains("Shutdown"),
        "{ended:?}"
    );
    system
        .expect("regrow.supervisor.child.removed", "crowd/a")
        .await;
    let counts = system.count_children("crowd").await.unwrap();
    assert_eq!((counts.specs, counts.active, counts.workers), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_more_than_max_children_is_refused_with_the_number() {
    let system = TestSystem::start(crowd().max_children(1)).await;
    system.start_child("crowd", member("a")).await.unwrap();
    let refused = system.start_child("crowd", member("b")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "supervisor \"crowd\" has its 1 children; one more is refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_tells_how_many_have_started_and_why_others_have_not() {
    let system = TestSystem::start(crowd()).await;
    let batch = [
        member("a"),
        Puppet::refusing("b", 9),
        member("a"),
        Puppet::ignoring("c", 9),
        member("D"),
        member("e"),
    ];
    let report = system.start_children("crowd", batch).await.unwrap();
    assert_eq!(report.started, 3, "a, c (ignored) and e");
    let mut failed: Vec<String> = report
        .failed
        .iter()
        .map(|(id, error)| format!("{id}: {error}"))
        .collect();
    failed.sort();
    assert_eq!(
        failed,
        [
            "D: \"D\" cannot be an id: an id begins with a small letter or a digit, not with 'D'",
            "a: a child called \"crowd/a\" is running already",
            "b: child \"crowd/b\" did not start: failed to start: the puppet refuses to start",
        ]
    );
    let ids: Vec<String> = system
        .which_children("crowd")
        .await
        .unwrap()
        .iter()
        .map(|child| child.id.to_string())
        .collect();
    assert_eq!(ids, ["a", "e"]);
    let none: [ChildSpec; 0] = [];
    let report = system.start_children("crowd", none).await.unwrap();
    assert_eq!((report.started, report.failed.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ignored_start_answers_and_a_static_child_keeps_its_place() {
    let tree = Supervisor::new("root").child(Puppet::ignoring("a", 1));
    let mut system = TestSystem::start(tree).await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!(
        (info.phase, info.last_exit.is_none()),
        (Phase::Completed, true)
    );
    let info = system
        .start_child("root", Puppet::ignoring("b", 1))
        .await
        .unwrap();
    assert_eq!(info.phase, Phase::Completed);
    system.expect("regrow.child.state_changed", "root/b").await;
    let changed = system.expect("regrow.child.state_changed", "root/b").await;
    let text = format!("{:?}", changed.payload);
    assert!(text.contains("asked not to be started"), "{text}");
    let info = system.restart_child("root/a").await.unwrap();
    assert_eq!(info.phase, Phase::Running);
}

#[tokio::test(start_paused = true)]
async fn dynamic_children_are_stopped_together_each_by_its_own_rule() {
    let second = Duration::from_secs(1);
    let system = TestSystem::start(crowd()).await;
    for id in ["a", "b", "c"] {
        let child = Puppet::stopping_slowly(id, second).shutdown(Shutdown::Infinity);
        system.start_child("crowd", child).await.unwrap();
    }
    let report = system.shut_down().await;
    assert!(report.took < second * 2, "{:?}", report.took);
    assert_eq!(report.reason.kind(), ExitKind::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn counts_tell_specs_lives_supervisors_and_workers() {
    let tree = Supervisor::new("root")
        .child(crowd())
        .child(Puppet::spec("a"))
        .child(Puppet::ignoring("b", 9));
    let system = TestSystem::start(tree).await;
    let counts = system.count_children("root").await.unwrap();
    assert_eq!(
        (
            counts.specs,
            counts.active,
            counts.supervisors,
            counts.workers
        ),
        (3, 2, 1, 2)
    );
    let gone = system.count_children("root/nobody").await;
    assert!(matches!(gone, Err(OperateError::Gone { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_spec_is_told_with_its_defaults_filled_in() {
    let child = |id| Puppet::spec(id);
    let tree = Supervisor::new("root")
        .otp_compat()
        .child(child("a").restart(Restart::Transient))
        .child(Supervisor::new("b"))
        .child(child("c").backoff(Backoff::default()));
    let system = TestSystem::start(tree).await;
    let spec = system.spec("root/a").await.unwrap();
    assert_eq!(spec.id(), "a");
    assert_eq!(spec.plan().restart, Restart::Transient);
    assert_eq!(
        spec.plan().shutdown,
        Shutdown::Timeout(Duration::from_secs(5))
    );
    assert_eq!(spec.plan().backoff, Backoff::none(), "OTP's");
    let nested = system.spec("root/b").await.unwrap();
    assert_eq!(nested.plan().shutdown, Shutdown::Infinity);
    let own = system.spec("root/c").await.unwrap();
    assert_eq!(
        own.plan().backoff,
        Backoff::default(),
        "what was said holds"
    );
    assert!(matches!(
        system.spec("root/nobody").await,
        Err(OperateError::NotFound { .. })
    ));
}

#[test]
fn significance_that_can_have_no_effect_is_refused() {
    let significant = |restart| Puppet::spec("a").restart(restart).significant();
    let text = |tree: Supervisor| tree.check().unwrap_err().to_string();
    assert_eq!(
        text(Supervisor::new("root").child(significant(Restart::Transient))),
        "child \"root/a\" is significant, but its supervisor never ends by itself; set auto_shutdown"
    );
    let ends = Supervisor::new("root").auto_shutdown(AutoShutdown::AnySignificant);
    assert_eq!(
        text(ends.clone().child(significant(Restart::Permanent))),
        "child \"root/a\" is significant, but it is permanent, so it is always started again; make it transient or temporary"
    );
    assert_eq!(ends.child(significant(Restart::Temporary)).check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_auto_shutdown_climbs_through_significant_supervisors() {
    let inner = Supervisor::new("inner")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(
            Puppet::spec("worker")
                .restart(Restart::Transient)
                .significant(),
        );
    let tree = Supervisor::new("root")
        .auto_shutdown(AutoShutdown::AllSignificant)
        .child(
            ChildSpec::from(inner)
                .restart(Restart::Transient)
                .significant(),
        )
        .child(Puppet::spec("other"));
    let system = TestSystem::start(tree).await;
    system.puppet("root/inner/worker").exit();
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_child_that_asks_not_to_be_restarted_is_dropped() {
    let mut system = TestSystem::start(crowd()).await;
    let script = [PuppetStart::Up, PuppetStart::Ignore];
    let child = Puppet::scripted("a", script).backoff(Backoff::none());
    system.start_child("crowd", child).await.unwrap();
    system.puppet("crowd/a").kill();
    system
        .expect("regrow.supervisor.child.removed", "crowd/a")
        .await;
    assert_eq!(system.count_children("crowd").await.unwrap().specs, 0);
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_added_where_it_can_have_no_effect_is_refused() {
    let system = TestSystem::start(Supervisor::new("root")).await;
    let child = Puppet::spec("a").restart(Restart::Transient).significant();
    let refused = system.start_child("root", child).await;
    let invalid = matches!(
        refused,
        Err(OperateError::InvalidTree(InvalidTree::Significant { .. }))
    );
    assert!(invalid, "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_batch_keeps_nobody_from_being_answered() {
    let system = TestSystem::start(crowd()).await;
    let batch = (0..5_000).map(|number| member(&number.to_string()));
    let started = system.start_children("crowd", batch);
    let meanwhile = async {
        tokio::task::yield_now().await;
        system.count_children("crowd").await.unwrap().active
    };
    let (report, active) = tokio::join!(started, meanwhile);
    assert_eq!(report.unwrap().started, 5_000);
    assert!(active < 5_000, "{active} were up when it answered");
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_supervisor_closes_tells_of_all_its_children() {
    let system = TestSystem::start(crowd()).await;
    let batch = (0..1_000).map(|number| member(&number.to_string()));
    let started = system.start_children("crowd", batch);
    let close = async {
        tokio::task::yield_now().await;
        system.begin_shut_down();
    };
    let (report, ()) = tokio::join!(started, close);
    // Those that were not up by then are told as failed; a supervisor that is gone first answers for none.
    if let Ok(report) = report {
        assert_eq!(report.started as usize + report.failed.len(), 1_000);
    }
}
