//! Supervision through the real system, on paused time.

use std::time::Duration;

use regrow::testing::{Puppet, PuppetMessage, TestSystem};
use regrow::{
    Backoff, ChildSpec, ExitKind, ExitReason, FirstRestart, GiveUp, LookupError, OperateError,
    Order, Payload, Phase, Restart, RestartIntensity, Shutdown, StartError, Strategy, Supervisor,
};

const SECOND: Duration = Duration::from_secs(1);

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("regrow.{line}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_boot_is_a_barrier_and_starts_in_order() {
    let nested = Supervisor::new("crew")
        .child(Puppet::spec("lead"))
        .child(Puppet::spec("hand"));
    let tree = Supervisor::new("root")
        .child(Puppet::spec("first"))
        .child(nested)
        .child(Puppet::spec("last"));
    let mut system = TestSystem::launch(tree).await;
    system.booted().await.unwrap();
    let started: Vec<String> = system
        .happened()
        .await
        .into_iter()
        .filter(|line| line.starts_with("regrow.child.started"))
        .collect();
    let expected = [
        "root/first",
        "root/crew/lead",
        "root/crew/hand",
        "root/crew",
        "root/last",
    ];
    assert_eq!(
        started,
        expected.map(|path| format!("regrow.child.started {path}"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_boot_rolls_back_last_first_and_names_the_deepest_child() {
    let crew = Supervisor::new("crew")
        .child(Puppet::spec("lead"))
        .child(Puppet::refusing("hand", 1));
    let tree = Supervisor::new("root")
        .child(Puppet::spec("first"))
        .child(crew)
        .child(Puppet::spec("never"));
    let mut system = TestSystem::launch(tree).await;
    let error = system.booted().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "child \"root/crew/hand\" did not start: failed to start: the puppet refuses to start"
    );
    let stopped: Vec<String> = system
        .happened()
        .await
        .into_iter()
        .filter(|line| line.starts_with("regrow.child.terminated"))
        .collect();
    assert_eq!(
        stopped,
        lines(&[
            "child.terminated root/crew/lead",
            "child.terminated root/first"
        ])
    );
    assert!(matches!(system.ended().await, ExitReason::StartFailed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_start_is_a_failed_start_with_its_place() {
    let error =
        TestSystem::start_error(Supervisor::new("root").child(Puppet::panicking("a", 1))).await;
    let StartError::Child {
        reason: ExitReason::Panic(panic),
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(panic.message, "the puppet panics at its start");
    assert!(
        panic.location.as_deref().unwrap().contains("testing.rs:"),
        "{panic}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_factory_is_a_failed_start_too() {
    let make = || -> (Puppet, ()) { panic!("no parts") };
    let error =
        TestSystem::start_error(Supervisor::new("root").child(ChildSpec::actor_with("a", make)))
            .await;
    assert!(error.to_string().contains("no parts"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_ends_with_its_timeout() {
    let tree = Supervisor::new("root")
        .child(Puppet::spec("a"))
        .child(Puppet::hanging("b", 1).start_timeout(SECOND));
    let error = TestSystem::start_error(tree).await;
    assert_eq!(
        error.to_string(),
        "child \"root/b\" did not start: failed to start in time"
    );
}

#[tokio::test(start_paused = true)]
async fn every_way_to_end_has_its_typed_reason() {
    let spec = Puppet::spec("a").backoff(Backoff::none());
    let mut system =
        TestSystem::start(Supervisor::new("root").no_intensity_limit().child(spec)).await;
    system.puppet("root/a").crash("boom");
    system.expect("regrow.child.started", "root/a").await;
    let ExitReason::Panic(panic) = system.last_exit("root/a").await else {
        panic!("not a panic")
    };
    assert_eq!(panic.message, "boom");
    assert!(
        panic.location.as_deref().unwrap().contains("testing.rs:"),
        "{panic}"
    );

    system.puppet("root/a").fail("broken");
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(
        system.last_exit("root/a").await.to_string(),
        "error: broken"
    );

    system.puppet("root/a").exit();
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Normal);

    let info = system.terminate_child("root/a").await.unwrap();
    assert_eq!(
        (info.phase, info.generation, info.restarts),
        (Phase::Stopped, 4, 3)
    );
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_is_killed_after_its_timeout_and_reported() {
    let tree = Supervisor::new("root")
        .child(Puppet::spec("a").shutdown(SECOND * 2))
        .child(Puppet::spec("b"));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/a").hang();
    let before = tokio::time::Instant::now();
    let report = system.shut_down().await;
    assert_eq!(before.elapsed().as_secs(), 2);
    assert_eq!(
        report.killed,
        [system
            .address::<PuppetMessage>("root/a")
            .unwrap()
            .path()
            .clone()]
    );
    assert!(report.unresponsive.is_empty());
    let ended = system.expect("regrow.child.terminated", "root/a").await;
    let Payload::ChildTerminated {
        reason, outcome, ..
    } = &ended.payload
    else {
        panic!("{ended:?}")
    };
    assert_eq!(
        (reason.kind(), outcome.as_str()),
        (ExitKind::Killed, "escalated")
    );
}

#[tokio::test(start_paused = true)]
async fn a_brutal_kill_does_not_wait() {
    let tree = Supervisor::new("root")
        .child(Puppet::stopping_slowly("a", SECOND * 9).shutdown(Shutdown::BrutalKill));
    let system = TestSystem::start(tree).await;
    let before = tokio::time::Instant::now();
    drop(system.shut_down().await);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn children_end_last_first_one_at_a_time_each_with_its_cleanup_done() {
    let slow = |id| Puppet::stopping_slowly(id, SECOND);
    let crew = Supervisor::new("crew").child(slow("a")).child(slow("b"));
    let mut system =
        TestSystem::start(Supervisor::new("root").child(slow("first")).child(crew)).await;
    let before = tokio::time::Instant::now();
    let report = system.shut_down().await;
    assert_eq!(before.elapsed(), SECOND * 3);
    assert!(report.killed.is_empty(), "{report:?}");
    let ends: Vec<String> = system
        .happened()
        .await
        .into_iter()
        .filter(|line| line.starts_with("regrow.child.terminated"))
        .collect();
    let expected = ["root/crew/b", "root/crew/a", "root/crew", "root/first"];
    assert_eq!(
        ends,
        expected.map(|path| format!("regrow.child.terminated {path}"))
    );
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_takes_the_rest_along_and_nothing_else_happens() {
    let tree = Supervisor::new("root").strategy(Strategy::RestForOne);
    let tree = tree
        .child(Puppet::spec("a"))
        .child(Puppet::spec("b"))
        .child(Puppet::spec("c"));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/b").crash("boom");
    assert_eq!(
        system.happened().await,
        lines(&[
            "child.terminated root/b",
            "supervisor.restart.scheduled root/b",
            "child.stopping root/c",
            "child.terminated root/c",
            "child.state_changed root/c",
            "child.state_changed root/b",
            "supervisor.restart.start root/b",
            "child.started root/b",
            "supervisor.restart.stop root/b",
            "child.state_changed root/c",
            "child.started root/c",
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn the_delays_grow_and_are_told() {
    let backoff = Backoff::exponential(SECOND..=SECOND * 3).first(FirstRestart::AtOnce);
    let tree = Supervisor::new("root")
        .no_intensity_limit()
        .child(Puppet::spec("a").backoff(backoff));
    let mut system = TestSystem::start(tree).await;
    let mut delays = Vec::new();
    for _ in 0..4 {
        let before = tokio::time::Instant::now();
        system.puppet("root/a").crash("boom");
        let scheduled = system
            .expect("regrow.supervisor.restart.scheduled", "root/a")
            .await;
        let Payload::RestartScheduled { delay, .. } = scheduled.payload else {
            panic!()
        };
        system.expect("regrow.child.started", "root/a").await;
        assert_eq!(
            before.elapsed().as_secs(),
            delay.as_secs(),
            "the delay that was told is the one that was waited"
        );
        delays.push(delay.as_secs());
    }
    assert_eq!(delays, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_address_survives_restarts_and_rejects_while_nobody_is_there() {
    let backoff = Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed);
    let mut system =
        TestSystem::start(Supervisor::new("root").child(Puppet::spec("a").backoff(backoff))).await;
    let address = system.address::<PuppetMessage>("root/a").unwrap();
    address.send(PuppetMessage::Crash("boom".into())).unwrap();
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    assert!(!address.is_running());
    let rejected = address.send(PuppetMessage::Exit).unwrap_err();
    assert!(
        matches!(rejected.message, Some(PuppetMessage::Exit)),
        "the message comes back"
    );
    assert_eq!(rejected.to_string(), "child \"root/a\" is not running");
    system.expect("regrow.child.started", "root/a").await;
    address.send(PuppetMessage::Fail("again".into())).unwrap();
    system.expect("regrow.child.terminated", "root/a").await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_address_is_refused_with_both_types() {
    let system = TestSystem::start(Supervisor::new("root").child(Puppet::spec("a"))).await;
    let error = system.address::<u32>("root/a").unwrap_err();
    assert_eq!(
        error.to_string(),
        "child \"root/a\" takes messages of type regrow::testing::PuppetMessage, not u32"
    );
    assert_eq!(
        system.address::<u32>("root/b").unwrap_err(),
        LookupError::NotFound {
            path: "root/b".into()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn intensity_escalates_to_the_parent_which_starts_the_supervisor_again() {
    let crew = Supervisor::new("crew")
        .max_restarts(1, SECOND * 5)
        .child(Puppet::spec("a").backoff(Backoff::none()));
    let mut system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    let address = system.address::<PuppetMessage>("root/crew/a").unwrap();
    system.puppet("root/crew/a").crash("one");
    system.expect("regrow.child.started", "root/crew/a").await;
    system.puppet("root/crew/a").crash("two");
    system
        .expect("regrow.supervisor.meltdown", "root/crew")
        .await;
    let ended = system.expect("regrow.child.terminated", "root/crew").await;
    let Payload::ChildTerminated { reason, .. } = &ended.payload else {
        panic!("{ended:?}")
    };
    let text = reason.to_string();
    assert!(
        text.starts_with("child \"root/crew/a\" failed again after 1 restarts in 5s: panic at"),
        "{text}"
    );
    system.expect("regrow.child.started", "root/crew").await;
    assert!(
        address.is_running(),
        "an address survives the restart of its supervisor"
    );
    assert_eq!(system.which_child("root/crew").await.unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_root_that_gives_up_ends_with_its_reason_and_leaves_nobody() {
    let tree = Supervisor::new("root")
        .max_restarts(0, SECOND)
        .child(Puppet::spec("a"))
        .child(Puppet::spec("b"));
    let system = TestSystem::start(tree).await;
    system.puppet("root/a").crash("boom");
    assert_eq!(system.ended().await.kind(), ExitKind::Intensity);
    assert!(
        !system
            .address::<PuppetMessage>("root/b")
            .unwrap()
            .is_running()
    );
    assert!(matches!(
        system.which_children("root").await,
        Err(OperateError::Gone { .. })
    ));
    assert!(matches!(
        system.run_until_signal().await.reason,
        ExitReason::Intensity(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_parked_child_leaves_the_others_alone_and_an_operator_can_start_it() {
    let limit = RestartIntensity::new(1, SECOND * 60);
    let parked = Puppet::refusing("bad", 2)
        .limit(limit)
        .give_up(GiveUp::Park);
    let tree = Supervisor::new("root")
        .no_intensity_limit()
        .order(Order::Dependencies);
    let mut system = TestSystem::launch(tree.child(parked).child(Puppet::spec("good"))).await;
    system.booted().await.unwrap();
    let bad = system.which_child("root/bad").await.unwrap();
    assert_eq!(bad.phase, Phase::Failed);
    let why = bad.parked_because.unwrap();
    assert_eq!(
        why,
        "failed again after 1 restarts within 60s; the last time: failed to start: the puppet refuses to start"
    );
    assert_eq!(
        system.which_child("root/good").await.unwrap().phase,
        Phase::Running
    );
    system.happened().await;
    assert_eq!(
        system.restart_child("root/bad").await.unwrap().phase,
        Phase::Running
    );
    assert!(
        system
            .which_child("root/bad")
            .await
            .unwrap()
            .parked_because
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn operations_answer_when_their_effect_is_visible() {
    let slow = Puppet::stopping_slowly("slow", SECOND);
    let system = TestSystem::start(Supervisor::new("root").child(slow)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(
        system.terminate_child("root/slow").await.unwrap().phase,
        Phase::Stopped
    );
    assert_eq!(before.elapsed(), SECOND);
    assert_eq!(
        system.terminate_child("root/slow").await.unwrap().phase,
        Phase::Stopped,
        "twice is the same"
    );
    assert_eq!(
        system.restart_child("root/slow").await.unwrap().generation,
        2
    );
    assert!(matches!(
        system.restart_child("root/slow").await,
        Err(OperateError::Running { .. })
    ));
    assert_eq!(
        system.bounce_child("root/slow").await.unwrap().generation,
        3
    );
    assert!(matches!(
        system.delete_child("root/slow").await,
        Err(OperateError::Running { .. })
    ));
    drop(system.terminate_child("root/slow").await.unwrap());
    drop(system.delete_child("root/slow").await.unwrap());
    assert!(matches!(
        system.which_child("root/slow").await,
        Err(OperateError::NotFound { .. })
    ));
    assert!(matches!(
        system.terminate_child("root/slow").await,
        Err(OperateError::NotFound { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn children_can_be_added_while_it_runs() {
    let system = TestSystem::start(Supervisor::new("root")).await;
    let info = system.start_child("root", Puppet::spec("a")).await.unwrap();
    assert_eq!(
        (info.phase, info.generation, info.restarts),
        (Phase::Running, 1, 0)
    );
    let twice = system
        .start_child("root", Puppet::spec("a"))
        .await
        .unwrap_err();
    assert_eq!(
        twice.to_string(),
        "a child called \"root/a\" is running already"
    );
    let refused = system
        .start_child("root", Puppet::refusing("b", 1))
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("child \"root/b\" did not start"),
        "{refused}"
    );
    assert!(matches!(
        system.start_child("root", Puppet::spec("B")).await,
        Err(OperateError::InvalidId { .. })
    ));
    assert!(matches!(
        system.start_child("rot", Puppet::spec("c")).await,
        Err(OperateError::Gone { .. })
    ));
    let temporary = Puppet::spec("t").restart(Restart::Temporary);
    drop(system.start_child("root", temporary).await.unwrap());
    drop(system.terminate_child("root/t").await.unwrap());
    assert!(matches!(
        system.which_child("root/t").await,
        Err(OperateError::NotFound { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_answers_while_its_children_start_and_a_stop_cancels_a_start() {
    let tree = Supervisor::new("root").child(Puppet::hanging("a", 1).start_timeout(Duration::MAX));
    let system = TestSystem::launch(tree).await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!(info.phase, Phase::Starting);
    assert_eq!(
        system.terminate_child("root/a").await.unwrap().phase,
        Phase::Stopped
    );
    system.booted().await.unwrap();
    assert_eq!(
        system.restart_child("root/a").await.unwrap().phase,
        Phase::Running
    );
}

#[tokio::test(start_paused = true)]
async fn hurry_ends_everybody_at_once() {
    let slow = |id| Puppet::stopping_slowly(id, SECOND * 100).shutdown(Shutdown::Infinity);
    let crew = Supervisor::new("crew").child(slow("x")).child(slow("y"));
    let system = TestSystem::start(Supervisor::new("root").child(slow("a")).child(crew)).await;
    system.begin_shut_down();
    system.hurry();
    let before = tokio::time::Instant::now();
    let report = system.shut_down().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    let mut killed: Vec<&str> = report
        .killed
        .iter()
        .map(regrow::ChildPath::as_str)
        .collect();
    killed.sort_unstable();
    assert_eq!(killed, ["root/a", "root/crew/x", "root/crew/y"]);
}
