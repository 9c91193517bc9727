//! The groups `sup_start` and `sup_start_map`: how a supervisor and its children come up, and how they do not.

use ractor::ActorCell;
use regrow::testing::{Puppet, PuppetStart, TestSystem};
use regrow::{
    ChildKind, ChildSpec, ExitReason, Ignore, InvalidTree, OperateError, Phase, Restart, Shutdown,
    StartError, StartFailure, Supervisor, System,
};

use super::kit::{SECOND, Suite, one_for_one, refusal, simple, worker};

fn ignoring(id: &str) -> ChildSpec {
    Puppet::ignoring(id, 99).shutdown(SECOND)
}

fn refusing(id: &str) -> ChildSpec {
    Puppet::refusing(id, 99).shutdown(SECOND)
}

/// Case 1: a supervisor without children starts, and ends with `shutdown` when it is told to.
#[tokio::test(start_paused = true)]
async fn sup_start_normal() {
    let suite = Suite::start(one_for_one()).await;
    suite.stop().await;
}

/// Case 2: a supervisor that is not to be started leaves nothing behind, no end of it either; its start function says so here.
#[tokio::test(start_paused = true)]
async fn sup_start_ignore_init() {
    let ignored = ChildSpec::start_with("inner", |_| async {
        Err::<ActorCell, _>(StartFailure::retry(Ignore))
    });
    let mut suite = Suite::start(one_for_one()).await;
    let added = suite.add(ignored.kind(ChildKind::Supervisor)).await;
    assert_eq!(added, "inner undefined");
    assert!(suite.story().await.is_empty());
    assert!(suite.which_children("sup/inner").await.is_err());
}

/// Case 3: a permanent child that asks not to be started keeps its place, and the next one starts.
#[tokio::test(start_paused = true)]
async fn sup_start_ignore_child() {
    let suite = Suite::start(one_for_one()).await;
    assert_eq!(suite.add(ignoring("child1")).await, "child1 undefined");
    assert_eq!(suite.add(worker("child2")).await, "child2/1");
    assert_eq!(suite.which().await, ["child1 undefined", "child2/1"]);
    assert_eq!(suite.counts().await, [2, 1, 0, 2]);
}

/// Case 4: a temporary child that asks not to be started, listed from the start, has no place.
#[tokio::test(start_paused = true)]
async fn sup_start_ignore_temporary_child() {
    let tree = one_for_one()
        .child(ignoring("child1").restart(Restart::Temporary))
        .child(worker("child2").restart(Restart::Temporary));
    let suite = Suite::start(tree).await;
    assert_eq!(suite.which().await, ["child2/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
}

/// Case 5: nor has one that is added.
#[tokio::test(start_paused = true)]
async fn sup_start_ignore_temporary_child_start_child() {
    let suite = Suite::start(one_for_one()).await;
    let child = ignoring("child1").restart(Restart::Temporary);
    assert_eq!(suite.add(child).await, "child1 undefined");
    let child = worker("child2").restart(Restart::Temporary);
    assert_eq!(suite.add(child).await, "child2/1");
    assert_eq!(suite.which().await, ["child2/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
}

/// Case 6: nor has one of a dynamic supervisor.
#[tokio::test(start_paused = true)]
async fn sup_start_ignore_temporary_child_start_child_simple() {
    let suite = Suite::start(simple(2)).await;
    let child = ignoring("child1").restart(Restart::Temporary);
    assert_eq!(suite.add(child).await, "child1 undefined");
    let child = worker("child2").restart(Restart::Temporary);
    assert_eq!(suite.add(child).await, "child2/1");
    assert_eq!(suite.which().await, ["child2/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
}

/// Case 7: nor has a permanent one of a dynamic supervisor, which ends in order all the same.
#[tokio::test(start_paused = true)]
async fn sup_start_ignore_permanent_child_start_child_simple() {
    let suite = Suite::start(simple(2)).await;
    assert_eq!(suite.add(ignoring("child1")).await, "child1 undefined");
    assert_eq!(suite.add(worker("child2")).await, "child2/1");
    assert_eq!(suite.which().await, ["child2/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    suite.stop().await;
}

/// Case 9: what panics while a supervisor starts is the typed reason of its failed start; here the function that makes a child.
#[tokio::test(start_paused = true)]
async fn sup_start_fail() {
    let make = || -> (Puppet, ()) { panic!("badmatch") };
    let inner = Supervisor::new("inner")
        .otp_compat()
        .child(ChildSpec::actor_with("child", make));
    let error = TestSystem::start_error(one_for_one().child(inner)).await;
    let StartError::Child {
        path,
        reason: ExitReason::Panic(panic),
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (path.as_str(), &*panic.message),
        ("sup/inner/child", "badmatch")
    );
}

/// Case 10: a child that is added and does not start is an error with its reason, and leaves nothing.
#[tokio::test(start_paused = true)]
async fn sup_start_child_returns_error() {
    let suite = Suite::start(one_for_one()).await;
    let failures = [
        (refusing("child1"), "the puppet refuses to start"),
        (
            Puppet::panicking("child1", 99),
            "the puppet panics at its start",
        ),
    ];
    for (spec, why) in failures {
        let error = suite.start_child("sup", spec).await.unwrap_err();
        assert!(
            matches!(&error, OperateError::DidNotStart { .. }) && error.to_string().contains(why),
            "{error}"
        );
        assert!(suite.which().await.is_empty());
        assert_eq!(suite.counts().await, [0, 0, 0, 0]);
    }
}

/// Case 11: a child that an operator starts again and that does not come up keeps its place, without a life.
#[tokio::test(start_paused = true)]
async fn sup_start_restart_child_returns_error() {
    let script = [PuppetStart::Up, PuppetStart::Refuse];
    let tree = one_for_one().child(Puppet::scripted("child1", script));
    let mut suite = Suite::start(tree).await;
    suite.terminate("child1").await;
    assert_eq!(suite.restart("child1").await, "did not start");
    assert_eq!(suite.which().await, ["child1 undefined"]);
    assert_eq!(suite.counts().await, [1, 0, 0, 1]);
    let story = suite.story().await;
    assert_eq!(
        story,
        ["child1/1 shutdown", "child1/2 did not start"],
        "and it is not tried again"
    );
}

/// Case 12: a child of a dynamic supervisor that does not start is an error, and leaves nothing.
#[tokio::test(start_paused = true)]
async fn sup_start_child_returns_error_simple() {
    let mut suite = Suite::start(simple(2)).await;
    for spec in [refusing("child1"), Puppet::panicking("child1", 99)] {
        assert_eq!(suite.add(spec).await, "did not start");
        assert!(suite.which().await.is_empty());
        assert_eq!(suite.counts().await, [1, 0, 0, 0]);
    }
    assert_eq!(suite.story().await.len(), 2, "nobody is tried again");
    assert!(suite.end_reason().is_none());
}

/// Case 13: what was not said of a child is told with its default.
#[tokio::test(start_paused = true)]
async fn sup_start_map() {
    let tree = Supervisor::new("sup")
        .otp_compat()
        .child(Puppet::spec("child1"))
        .child(Puppet::spec("child2").shutdown(Shutdown::BrutalKill))
        .child(Supervisor::new("child3"));
    let suite = Suite::start(tree).await;
    let told = async |path: &str| {
        let spec = suite.spec(path).await.unwrap();
        (spec.plan().restart, spec.plan().shutdown)
    };
    let permanent = |shutdown| (Restart::Permanent, shutdown);
    assert_eq!(
        told("sup/child1").await,
        permanent(Shutdown::Timeout(SECOND * 5))
    );
    assert_eq!(told("sup/child2").await, permanent(Shutdown::BrutalKill));
    assert_eq!(told("sup/child3").await, permanent(Shutdown::Infinity));
    let kinds: Vec<ChildKind> = suite
        .which_children("sup")
        .await
        .unwrap()
        .iter()
        .map(|child| child.kind)
        .collect();
    assert_eq!(
        kinds,
        [ChildKind::Actor, ChildKind::Actor, ChildKind::Supervisor]
    );
    let missing = suite.spec("sup/child4").await;
    assert!(
        matches!(missing, Err(OperateError::NotFound { .. })),
        "{missing:?}"
    );
    suite.stop().await;
}

/// Case 14: each child of a dynamic supervisor has its spec, by its id where OTP has the pid; others are not found.
#[tokio::test(start_paused = true)]
async fn sup_start_map_simple() {
    let suite = Suite::start(simple(2)).await;
    for id in ["child1", "child2"] {
        suite.add(worker(id)).await;
        let spec = suite.spec(&format!("sup/{id}")).await.unwrap();
        assert_eq!(spec.id(), id);
        assert_eq!(spec.plan().shutdown, Shutdown::Timeout(SECOND));
    }
    let missing = suite.spec("sup/sup").await;
    assert!(
        matches!(missing, Err(OperateError::NotFound { .. })),
        "{missing:?}"
    );
    suite.stop().await;
}

/// Case 15: a wrong spec is refused with what is wrong; what can be wrong is ids and who depends on whom, the rest has types.
#[tokio::test(start_paused = true)]
async fn sup_start_map_faulty_specs() {
    let refused = async |tree: Supervisor| match System::start(tree).await {
        Err(StartError::Invalid(invalid)) => invalid,
        other => panic!("{other:?}"),
    };
    let no_id = TestSystem::start(one_for_one()).await;
    let error = no_id.start_child("sup", worker("")).await.unwrap_err();
    assert_eq!(refusal(&error), "invalid");
    assert_eq!(no_id.which_children("sup").await.unwrap().len(), 0);

    let doubled = one_for_one()
        .child(worker("child1"))
        .child(worker("child1"));
    let error = refused(doubled).await;
    assert!(matches!(error, InvalidTree::DuplicateId { .. }), "{error}");
    let lonely = one_for_one().child(worker("child1").depends_on(["child2"]));
    let error = refused(lonely).await;
    assert!(
        matches!(error, InvalidTree::UnknownDependency { .. }),
        "{error}"
    );
    let all_said = worker("child1").tags(["silly"]).of_type("silly");
    let suite = Suite::start(one_for_one().child(all_said)).await;
    let child = suite.which_child("sup/child1").await.unwrap();
    assert_eq!(child.phase, Phase::Running);
}
