//! What an operator asks for, and what of a tree is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorCell};
use regrow::testing::Bare;
use regrow::{
    AutoShutdown, ChildKind, ChildSpec, Control, DynamicSupervisor, InvalidTree, Restart,
    RestartIntensity, Shutdown, StartContext, StartError, StartFailure, Started, StopCause,
    Strategy, Supervisor, System,
};

use super::kit::{
    End, HOUR, RESTARTS, SECOND, STRATEGIES, Suite, one_for_one, refusal, simple, sup, worker,
};

/// Case 25: a child's whole life with an operator; a supervisor that is absent is an error where OTP's caller exits.
#[tokio::test(start_paused = true)]
async fn child_adm() {
    let mut suite = Suite::start(one_for_one().child(worker("child1"))).await;
    assert_eq!(suite.which().await, ["child1/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    assert_eq!(suite.add(worker("child1")).await, "already_started");

    let nobody = suite.terminate_child("sup/hej").await.unwrap_err();
    assert_eq!(refusal(&nobody), "not_found");
    let nobody = suite.terminate_child("foo/child1").await.unwrap_err();
    assert_eq!(refusal(&nobody), "noproc");
    suite.terminate("child1").await;
    assert_eq!(suite.told(), ["child1/1 shutdown"]);
    assert_eq!(suite.which().await, ["child1 undefined"]);
    assert_eq!(suite.counts().await, [1, 0, 0, 1]);
    suite.terminate("child1").await;
    assert_eq!(suite.add(worker("child1")).await, "already_present");

    assert_eq!(suite.restart("child1").await, "child1/2");
    assert_eq!(suite.which().await, ["child1/2"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    assert_eq!(suite.restart("child1").await, "running");
    assert_eq!(suite.restart("child2").await, "not_found");

    assert_eq!(suite.delete("child1").await, "running");
    assert_eq!(suite.delete("hej").await, "not_found");
    let nobody = suite.delete_child("foo/child1").await.unwrap_err();
    assert_eq!(refusal(&nobody), "noproc");
    suite.terminate("child1").await;
    assert_eq!(suite.delete("child1").await, "ok");
    assert_eq!(suite.restart("child1").await, "not_found");
    assert!(suite.which().await.is_empty());
    assert_eq!(suite.counts().await, [0, 0, 0, 0]);

    let nobody = suite.start_child("foo", worker("child1")).await;
    assert_eq!(refusal(&nobody.unwrap_err()), "noproc");
    assert_eq!(suite.add(worker("child1")).await, "child1/1");
    assert_eq!(suite.which().await, ["child1/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    let by_its_path = suite.terminate_child("sup/sup/child1").await;
    assert!(by_its_path.is_err(), "a child has one path");
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);

    let nobody = suite.which_children("foo").await.unwrap_err();
    assert_eq!(refusal(&nobody), "noproc");
    let nobody = suite.count_children("foo").await.unwrap_err();
    assert_eq!(refusal(&nobody), "noproc");
}

/// Case 26: the same of a dynamic supervisor; its children have ids, so all operations are theirs, and one that has ended is gone.
#[tokio::test(start_paused = true)]
async fn child_adm_simple() {
    let mut suite = Suite::start(simple(2)).await;
    assert!(suite.which().await.is_empty());
    assert_eq!(suite.counts().await, [1, 0, 0, 0]);

    let nobody = suite.start_child("foo", worker("child1")).await;
    assert_eq!(refusal(&nobody.unwrap_err()), "noproc");
    assert_eq!(suite.add(worker("child1")).await, "child1/1");
    assert_eq!(suite.which().await, ["child1/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    assert_eq!(suite.add(worker("child2")).await, "child2/1");
    assert_eq!(suite.which().await, ["child1/1", "child2/1"]);
    assert_eq!(suite.counts().await, [1, 2, 0, 2]);

    let stranger = suite.terminate_child("sup/child3").await.unwrap_err();
    assert_eq!(refusal(&stranger), "not_found");
    assert_eq!(suite.counts().await, [1, 2, 0, 2]);
    suite.told();
    suite.terminate("child1").await;
    assert_eq!(suite.told(), ["child1/1 shutdown"]);
    assert_eq!(suite.which().await, ["child2/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    let gone = suite.terminate_child("sup/child1").await.unwrap_err();
    assert_eq!(refusal(&gone), "not_found");
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);

    assert_eq!(suite.restart("child1").await, "not_found");
    assert_eq!(suite.restart("child2").await, "running");
    assert_eq!(suite.delete("child1").await, "not_found");
    assert_eq!(suite.delete("child2").await, "running");
}

/// What a start function gives beside an actor.
struct Extra(ActorCell, Arc<AtomicU32>);

impl Control for Extra {
    fn stop(&self, _: StopCause) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.stop(None);
    }

    fn kill(&self) {
        self.0.kill();
    }
}

/// A child whose start function gives more than an actor; counts the stops that came through it.
fn with_extra(id: &str) -> (ChildSpec, Arc<AtomicU32>) {
    let stops = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&stops);
    let start = move |context: StartContext| {
        let stops = Arc::clone(&counted);
        async move {
            let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
            let extra = Extra(actor.get_cell(), stops);
            Ok::<_, StartFailure>(Started::new(actor.get_cell()).control(Arc::new(extra)))
        }
    };
    (ChildSpec::start_with(id, start).shutdown(SECOND), stops)
}

/// Case 27: what a start function gives beside the actor is kept through all operations and restarts; here it is the means to stop it.
#[tokio::test(start_paused = true)]
async fn extra_return() {
    let (child, stops) = with_extra("child1");
    let mut suite = Suite::start(one_for_one().child(child.clone())).await;
    assert_eq!(suite.which().await, ["child1/1"]);
    let nobody = suite.terminate_child("sup/hej").await.unwrap_err();
    assert_eq!(refusal(&nobody), "not_found");
    assert_eq!(suite.delete("hej").await, "not_found");
    assert_eq!(suite.restart("hej").await, "not_found");
    assert_eq!(suite.delete("child1").await, "running");
    assert_eq!(suite.restart("child1").await, "running");
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);

    suite.terminate("child1").await;
    assert_eq!(suite.which().await, ["child1 undefined"]);
    assert_eq!(suite.counts().await, [1, 0, 0, 1]);
    assert_eq!(suite.restart("child1").await, "child1/2");
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    suite.terminate("child1").await;
    suite.terminate("child1").await;
    assert_eq!(suite.delete("child1").await, "ok");
    assert_eq!(suite.restart("child1").await, "not_found");
    assert!(suite.which().await.is_empty());
    assert_eq!(suite.counts().await, [0, 0, 0, 0]);
    assert_eq!(stops.load(Ordering::Relaxed), 2);

    assert_eq!(suite.add(child).await, "child1/1");
    assert_eq!(suite.which().await, ["child1/1"]);
    assert_eq!(suite.counts().await, [1, 1, 0, 1]);
    let before = suite.which_child("sup/child1").await.unwrap().restarts;
    suite.end("child1", End::Abnormal).await;
    assert_eq!(suite.which().await, ["child1/2"]);
    assert_eq!(
        suite.which_child("sup/child1").await.unwrap().restarts,
        before + 1
    );
    suite.stop().await;
    assert_eq!(stops.load(Ordering::Relaxed), 3, "the next life has it too");
}

/// Case 28: what cannot be a child is refused, all 48 ways to combine what can be are not; a dynamic supervisor lists no children.
#[tokio::test(start_paused = true)]
async fn child_specs() {
    let suite = Suite::start(one_for_one()).await;
    for id in ["", "Child", "a/b", "-", "a b"] {
        let refused = suite.start_child("sup", worker(id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "invalid", "{id:?}: {refused}");
        let refused = one_for_one().child(worker(id)).check().unwrap_err();
        assert!(matches!(refused, InvalidTree::Id { .. }), "{refused}");
    }
    let unknown = worker("child1").depends_on(["nobody"]);
    assert_eq!(suite.add(unknown).await, "invalid");
    assert!(suite.which().await.is_empty());

    let shutdowns = [
        Shutdown::BrutalKill,
        Shutdown::Timeout(Duration::ZERO),
        Shutdown::Timeout(SECOND),
        Shutdown::Infinity,
    ];
    let kinds = [
        ChildKind::Supervisor,
        ChildKind::Actor,
        ChildKind::Task,
        ChildKind::Process,
    ];
    let mut accepted = 0;
    for restart in RESTARTS {
        for shutdown in shutdowns {
            for kind in kinds {
                let child = worker("child1").restart(restart).shutdown(shutdown);
                assert_eq!(one_for_one().child(child.kind(kind)).check(), Ok(()));
                accepted += 1;
            }
        }
    }
    assert_eq!(accepted, 48);
    let doubled = one_for_one()
        .child(worker("child1"))
        .child(worker("child1"));
    let doubled = doubled.check().unwrap_err();
    assert!(
        matches!(doubled, InvalidTree::DuplicateId { .. }),
        "{doubled}"
    );
    let listed = Supervisor::from(DynamicSupervisor::new("sup")).child(worker("child1"));
    let listed = listed.check().unwrap_err();
    assert!(matches!(listed, InvalidTree::Dynamic { .. }), "{listed}");
    suite.stop().await;
}

/// Case 29: a significant child needs a supervisor that ends with it, and must not be permanent; in a tree and when it is added.
#[tokio::test(start_paused = true)]
async fn child_specs_map() {
    let ends = [
        AutoShutdown::Never,
        AutoShutdown::AnySignificant,
        AutoShutdown::AllSignificant,
    ];
    for auto_shutdown in ends {
        let tree = || one_for_one().auto_shutdown(auto_shutdown);
        let suite = Suite::start(tree()).await;
        for restart in RESTARTS {
            let child = worker(restart.as_str()).restart(restart);
            assert_eq!(tree().child(child.clone()).check(), Ok(()));
            let significant = worker("significant").restart(restart).significant();
            let can_be = auto_shutdown != AutoShutdown::Never && restart != Restart::Permanent;
            let checked = tree().child(significant.clone()).check();
            let refused = matches!(checked, Err(InvalidTree::Significant { .. }));
            assert_eq!(
                refused, !can_be,
                "{auto_shutdown:?} {restart:?} {checked:?}"
            );
            let added = suite.add(significant).await;
            let expected = if can_be { "significant/1" } else { "invalid" };
            assert_eq!(added, expected, "{auto_shutdown:?} {restart:?}");
            if can_be {
                suite.terminate("significant").await;
                drop(suite.delete("significant").await);
            }
        }
        suite.stop().await;
    }
}

/// Case 30: a supervisor whose settings cannot work is refused; most of OTP's wrong flags cannot be said in types.
#[tokio::test(start_paused = true)]
async fn sup_flags() {
    let never = one_for_one().max_restarts(2, Duration::ZERO);
    let limit = RestartIntensity::new(2, Duration::ZERO);
    let never_of_its_own = one_for_one().child(worker("child1").limit(limit));
    for (tree, who) in [(never, "sup"), (never_of_its_own, "sup/child1")] {
        let refused = tree.check().unwrap_err();
        assert!(matches!(refused, InvalidTree::Period { .. }), "{refused}");
        assert!(
            refused.to_string().contains(&format!("{who:?}")),
            "{refused}"
        );
        assert!(matches!(
            System::start(tree).await,
            Err(StartError::Invalid(_))
        ));
    }
    let suite = Suite::start(one_for_one()).await;
    assert_eq!(suite.add(worker("child1").limit(limit)).await, "invalid");
    for strategy in STRATEGIES {
        let tree = Supervisor::from(simple(2)).strategy(strategy);
        let works = strategy == Strategy::OneForOne;
        assert_eq!(tree.check().is_ok(), works, "{strategy:?}");
    }
    for restarts in [0, 1, u32::MAX] {
        assert_eq!(sup(Strategy::OneForOne, restarts).check(), Ok(()));
    }
    let longest = one_for_one().max_restarts(2, Duration::MAX);
    assert_eq!(longest.check(), Ok(()));
    assert_eq!(one_for_one().max_restarts(2, HOUR).check(), Ok(()));
}

/// Case 31: with one restart a second, one every 2.1 s is not too much.
#[tokio::test(start_paused = true)]
async fn multiple_restarts() {
    let tree = Supervisor::new("sup").otp_compat().max_restarts(1, SECOND);
    let mut suite = Suite::start(tree).await;
    suite
        .add(worker("child1").shutdown(Shutdown::BrutalKill))
        .await;
    for life in 2..=5 {
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        suite.begin_end("child1", End::Abnormal);
        suite.expect("regrow.child.terminated", "sup/child1").await;
        suite.expect("regrow.child.started", "sup/child1").await;
        assert_eq!(suite.which().await, [format!("child1/{life}")]);
    }
    suite.terminate("child1").await;
    assert_eq!(suite.delete("child1").await, "ok");
    assert!(suite.end_reason().is_none());
}
