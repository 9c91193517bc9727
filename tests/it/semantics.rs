//! Rules of OTP that concern more than one decision, and where we differ; `docs/semantics.md` has the table.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorCell};
use regrow::testing::{Bare, Puppet, TestSystem};
use regrow::{
    Backoff, ChildSpec, OperateError, Phase, StartContext, StartFailure, Strategy, Supervisor,
};

async fn bare(context: &StartContext) -> Result<ActorCell, StartFailure> {
    let (actor, _) = Actor::spawn_linked(None, Bare, (), context.supervisor()).await?;
    Ok(actor.get_cell())
}

/// A child whose second life does not come up.
fn refusing_its_second_start(id: &'static str) -> ChildSpec {
    let start = |context: StartContext| async move {
        if context.generation() == 2 {
            return Err(StartFailure::retry("not now"));
        }
        bare(&context).await
    };
    ChildSpec::start_with(id, start).backoff(Backoff::none())
}

/// The starts and ends after `b` has failed, among four children of which `c` does not come back at once.
async fn after_the_failure_of_b(strategy: Strategy) -> Vec<String> {
    let at_once = |id| Puppet::spec(id).backoff(Backoff::none());
    let tree = Supervisor::new("root")
        .strategy(strategy)
        .child(at_once("a"))
        .child(at_once("b"))
        .child(refusing_its_second_start("c"))
        .child(at_once("d"));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/b").crash("boom");
    let what = |line: String| {
        let line = line.strip_prefix("regrow.child.")?.replace("root/", "");
        ["started", "start_failed", "terminated"]
            .iter()
            .any(|event| line.split(' ').next() == Some(*event))
            .then_some(line)
    };
    let happened = system.happened().await;
    happened.into_iter().filter_map(what).collect()
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_in_a_restart_of_all_begins_it_anew() {
    let expected = [
        "terminated b",
        "terminated d",
        "terminated c",
        "terminated a",
        "started a",
        "started b",
        "start_failed c",
        "terminated b",
        "terminated a",
        "started a",
        "started b",
        "started c",
        "started d",
    ];
    assert_eq!(after_the_failure_of_b(Strategy::OneForAll).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_in_a_restart_of_the_rest_leaves_those_before_it_alone() {
    let expected = [
        "terminated b",
        "terminated d",
        "terminated c",
        "started b",
        "start_failed c",
        "started c",
        "started d",
    ];
    assert_eq!(after_the_failure_of_b(Strategy::RestForOne).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_added_is_lost_when_its_supervisor_is_started_again() {
    let crew = Supervisor::new("crew")
        .max_restarts(0, Duration::from_secs(5))
        .child(Puppet::spec("a"));
    let mut system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    drop(
        system
            .start_child("root/crew", Puppet::spec("added"))
            .await
            .unwrap(),
    );
    system.puppet("root/crew/a").crash("boom");
    system.expect("regrow.child.started", "root/crew").await;
    let found = system.which_child("root/crew/a").await.unwrap();
    assert_eq!(found.phase, Phase::Running);
    let lost = system.which_child("root/crew/added").await;
    assert!(
        matches!(lost, Err(OperateError::NotFound { .. })),
        "{lost:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_children_are_told_in_start_order_and_an_added_one_is_last() {
    let crew = Supervisor::new("crew").child(Puppet::spec("hand"));
    let tree = Supervisor::new("root")
        .child(Puppet::spec("z"))
        .child(crew)
        .child(Puppet::spec("a"));
    let system = TestSystem::start(tree).await;
    drop(
        system
            .start_child("root", Puppet::spec("added"))
            .await
            .unwrap(),
    );
    let children = system.which_children("root").await.unwrap();
    let ids: Vec<&str> = children.iter().map(|child| &*child.id).collect();
    assert_eq!(ids, ["z", "crew", "a", "added"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_a_supervisors_is_refused_and_harms_nobody() {
    let supervisor = Arc::new(Mutex::new(None));
    let told = Arc::clone(&supervisor);
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        *told.lock().unwrap() = Some(context.supervisor());
        async move { bare(&context).await }
    });
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let supervisor = supervisor
        .lock()
        .unwrap()
        .take()
        .expect("the child has started");
    assert!(supervisor.send_message::<u32>(7).is_err());
    system.quiet().await;
    assert_eq!(system.which_children("root").await.unwrap().len(), 1);
}
