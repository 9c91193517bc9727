//! New rules for a supervisor that runs.

use std::time::Duration;

use regrow::testing::{Puppet, PuppetMessage, TestSystem};
use regrow::{Backoff, ChildSpec, DynamicSupervisor, OperateError, Phase, Strategy, Supervisor};

fn child(id: &str) -> ChildSpec {
    Puppet::spec(id).backoff(Backoff::none())
}

fn ids(list: &[std::sync::Arc<str>]) -> Vec<&str> {
    list.iter().map(|id| &**id).collect()
}

async fn phases(system: &TestSystem, supervisor: &str) -> Vec<(String, Phase)> {
    let children = system.which_children(supervisor).await;
    let children = children.expect("the supervisor runs");
    children
        .iter()
        .map(|child| (child.id.to_string(), child.phase))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn new_rules_start_and_stop_nobody_and_hold_from_then_on() {
    let old = Supervisor::new("root").child(child("a")).child(child("b"));
    let mut system = TestSystem::start(old).await;
    let new = Supervisor::new("root")
        .strategy(Strategy::OneForAll)
        .child(child("c"))
        .child(child("b"));
    let report = system.reconfigure("root", new).await.unwrap();
    assert_eq!(
        (ids(&report.updated), ids(&report.added), ids(&report.kept)),
        (vec!["b"], vec!["c"], vec!["a"])
    );
    system
        .expect("regrow.supervisor.reconfigured", "root")
        .await;
    system.quiet().await;
    let expected = [
        ("c", Phase::Stopped),
        ("b", Phase::Running),
        ("a", Phase::Running),
    ];
    let expected = expected.map(|(id, phase)| (id.to_owned(), phase));
    assert_eq!(phases(&system, "root").await, expected);
    system.restart_child("root/c").await.unwrap();
    system.puppet("root/b").crash("boom");
    system.expect("regrow.child.stopping", "root/a").await;
    system.expect("regrow.child.stopping", "root/c").await;
    system.expect("regrow.child.started", "root/a").await;
}

#[tokio::test(start_paused = true)]
async fn the_next_life_of_a_supervisor_begins_with_its_new_rules() {
    let tree = Supervisor::new("root").child(
        ChildSpec::from(
            Supervisor::new("crew")
                .max_restarts(0, Duration::from_secs(5))
                .child(child("a")),
        )
        .backoff(Backoff::none()),
    );
    let mut system = TestSystem::start(tree).await;
    let new = Supervisor::new("crew")
        .max_restarts(0, Duration::from_secs(5))
        .child(child("a"))
        .child(child("b"));
    system.reconfigure("root/crew", new).await.unwrap();
    system.puppet("root/crew/a").crash("boom");
    system.expect("regrow.child.terminated", "root/crew").await;
    system.expect("regrow.child.started", "root/crew").await;
    let expected = [("a", Phase::Running), ("b", Phase::Running)];
    let expected = expected.map(|(id, phase)| (id.to_owned(), phase));
    assert_eq!(phases(&system, "root/crew").await, expected);
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_work_change_nothing() {
    let tree = Supervisor::new("root")
        .child(child("a"))
        .child(DynamicSupervisor::new("crowd"));
    let mut system = TestSystem::start(tree).await;
    let text = |error: OperateError| error.to_string();
    let doubled = Supervisor::new("root").child(child("b")).child(child("b"));
    assert_eq!(
        text(system.reconfigure("root", doubled).await.unwrap_err()),
        "supervisor \"root\" has two children called \"b\"; give one of them another id"
    );
    assert_eq!(
        text(
            system
                .reconfigure("root", Supervisor::new("tree"))
                .await
                .unwrap_err()
        ),
        "failed to reconfigure supervisor \"root\": its id cannot become \"tree\""
    );
    assert_eq!(
        text(
            system
                .reconfigure("root/crowd", Supervisor::new("crowd"))
                .await
                .unwrap_err()
        ),
        "failed to reconfigure supervisor \"root/crowd\": its children cannot become dynamic, nor cease to be"
    );
    let other = Supervisor::new("root").child(Supervisor::new("a"));
    assert_eq!(
        text(system.reconfigure("root", other).await.unwrap_err()),
        "failed to reconfigure supervisor \"root\": child \"a\" would take other messages or be of another kind; delete it first"
    );
    system.quiet().await;
    assert_eq!(system.which_children("root").await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn fewer_dynamic_children_than_there_are_stop_nobody_and_no_more_are_added() {
    let system = TestSystem::start(DynamicSupervisor::new("crowd")).await;
    for id in ["a", "b"] {
        system.start_child("crowd", child(id)).await.unwrap();
    }
    let fewer = DynamicSupervisor::new("crowd").max_children(1);
    let report = system.reconfigure("crowd", fewer).await.unwrap();
    assert_eq!(ids(&report.kept), ["a", "b"]);
    let refused = system.start_child("crowd", child("c")).await;
    assert!(
        matches!(refused, Err(OperateError::MaxChildren { max: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(system.count_children("crowd").await.unwrap().active, 2);
}

#[tokio::test(start_paused = true)]
async fn who_came_with_new_rules_is_found_in_the_next_life_of_the_supervisor_too() {
    let crew = || Supervisor::new("crew").child(child("a"));
    let system = TestSystem::start(Supervisor::new("root").child(crew())).await;
    let report = system.reconfigure("root/crew", crew().child(child("b")));
    assert_eq!(ids(&report.await.unwrap().added), ["b"]);
    let address = || system.address::<PuppetMessage>("root/crew/b");
    let before = address().unwrap();
    for _ in 0..3 {
        drop(system.bounce_child("root/crew").await.unwrap());
        // What is left of the life before is dropped by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(address().is_ok(), "it has a place");
        assert!(
            before.is_running(),
            "and the address of its place is still good"
        );
        let ended = system.terminate_child("root/crew/b").await;
        assert_eq!(ended.unwrap().phase, Phase::Stopped);
    }
}
