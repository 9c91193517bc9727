//! The group `sup_stop`: how children end with their supervisor.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::testing::Puppet;
use regrow::{
    ChildKind, ChildPath, ChildSpec, DynamicSupervisor, ExitReason, Shutdown, Supervisor,
};

use super::kit::{End, RESTARTS, SECOND, Suite, one_for_one, simple, worker};

/// Case 16: without a limit a worker and a supervisor are waited for, and end with `shutdown`.
#[tokio::test(start_paused = true)]
async fn sup_stop_infinity() {
    let slow = |id| Puppet::stopping_slowly(id, SECOND * 600).shutdown(Shutdown::Infinity);
    let mut suite = Suite::start(one_for_one()).await;
    assert_eq!(
        suite.add(slow("child1").kind(ChildKind::Supervisor)).await,
        "child1/1"
    );
    assert_eq!(suite.add(slow("child2")).await, "child2/1");
    suite.told();
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), SECOND * 1_200);
    assert_eq!(suite.told(), ["child2/1 shutdown", "child1/1 shutdown"]);
}

// The variant in synchronous code: `a_child_in_code_that_cannot_be_ended_is_given_up_on_and_reported`.
/// Case 17: one that does not end within its time is killed, the other ends with `shutdown`.
#[tokio::test(start_paused = true)]
async fn sup_stop_timeout() {
    stop_with_one_that_sleeps(one_for_one(), ["child2/1 killed", "child1/1 shutdown"]).await;
}

async fn stop_with_one_that_sleeps(tree: impl Into<Supervisor>, expected: [&str; 2]) {
    let mut suite = Suite::start(tree).await;
    suite.add(worker("child1")).await;
    suite.add(worker("child2")).await;
    suite.told();
    suite.puppet("sup/child2").hang();
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(suite.told(), expected);
}

/// Case 18: under a dynamic supervisor likewise, all at once.
#[tokio::test(start_paused = true)]
async fn sup_stop_timeout_dynamic() {
    stop_with_one_that_sleeps(simple(2), ["child1/1 shutdown", "child2/1 killed"]).await;
}

/// Case 19: one with `brutal_kill` is killed unasked, the other ends with `shutdown`.
#[tokio::test(start_paused = true)]
async fn sup_stop_brutal_kill() {
    let slow = Puppet::stopping_slowly("child2", SECOND).shutdown(Shutdown::BrutalKill);
    let mut suite = Suite::start(one_for_one().child(worker("child1")).child(slow)).await;
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(suite.told(), ["child2/1 killed", "child1/1 shutdown"]);
}

/// Case 20: under a dynamic supervisor ten of them are.
#[tokio::test(start_paused = true)]
async fn sup_stop_brutal_kill_dynamic() {
    let mut suite = Suite::start(simple(2)).await;
    for child in 0..10 {
        let spec = worker(&format!("child{child}")).shutdown(Shutdown::BrutalKill);
        suite.add(spec).await;
    }
    suite.told();
    suite.stop().await;
    let killed: Vec<String> = (0..10)
        .map(|child| format!("child{child}/1 killed"))
        .collect();
    assert_eq!(suite.sorted_story().await, killed);
}

/// Case 21: those that end by themselves while a slow sibling is waited for keep their own reasons, and nobody is started again.
#[tokio::test(start_paused = true)]
async fn sup_stop_race() {
    let ends = [
        (End::Normal, "normal", "normal"),
        (End::Shutdown, "shutdown", "shutdown"),
        (End::ShutdownFor, "why", "shutdown"),
        (End::Abnormal, "other", "error"),
    ];
    let mut tree = one_for_one();
    let mut expected = vec!["slow/1 shutdown".to_owned()];
    for restart in RESTARTS {
        for (_, name, reason) in ends {
            let id = format!("{}_{name}", restart.as_str());
            tree = tree.child(worker(&id).restart(restart));
            expected.push(format!("{id}/1 {reason}"));
        }
    }
    expected.sort();
    let slow = Puppet::stopping_slowly("slow", SECOND).shutdown(SECOND * 5);
    let mut suite = Suite::start(tree.child(slow)).await;
    suite.begin_shut_down();
    suite.expect("regrow.child.stopping", "sup/slow").await;
    for restart in RESTARTS {
        for (end, name, _) in ends {
            suite.begin_end(&format!("{}_{name}", restart.as_str()), end);
        }
    }
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(suite.sorted_story().await, expected);
}

/// How an actor takes being asked to stop.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    InOrder,
    WithAnError,
    WithAPanic,
}

impl Actor for Leaves {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<()>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match self {
            Self::InOrder => Ok(()),
            Self::WithAnError => Err("something else".into()),
            Self::WithAPanic => panic!("something worse"),
        }
    }
}

/// Case 22: children of a dynamic supervisor that make another reason of `shutdown` change nothing of its own.
#[tokio::test(start_paused = true)]
async fn sup_stop_non_shutdown_exit_dynamic() {
    for restart in RESTARTS {
        let mut suite = Suite::start(simple(2)).await;
        let leaves = [
            ("child1", Leaves::InOrder),
            ("child2", Leaves::WithAnError),
            ("child3", Leaves::WithAPanic),
        ];
        for (id, leaves) in leaves {
            suite
                .add(ChildSpec::actor(id, leaves, ()).restart(restart))
                .await;
        }
        suite.told();
        suite.stop().await;
        let expected = ["child1/1 shutdown", "child2/1 error", "child3/1 panic"];
        assert_eq!(suite.sorted_story().await, expected, "{restart:?}");
    }
}

fn three_that_end_differently() -> Supervisor {
    one_for_one()
        .child(worker("child1").shutdown(Shutdown::BrutalKill))
        .child(worker("child2"))
        .child(worker("child3"))
}

/// Case 23: a supervisor that is stopped by hand stops its children first, each by its spec.
#[tokio::test(start_paused = true)]
async fn sup_stop_manual() {
    let mut suite = Suite::start(three_that_end_differently()).await;
    suite.puppet("sup/child3").hang();
    let report = suite.shut_down().await;
    assert!(matches!(report.reason, ExitReason::Shutdown), "{report:?}");
    let expected = ["child3/1 killed", "child2/1 shutdown", "child1/1 killed"];
    assert_eq!(suite.told(), expected);
    let killed: Vec<&str> = report.killed.iter().map(ChildPath::as_str).collect();
    assert_eq!(killed, ["sup/child3"], "a brutal kill is as was asked for");
}

/// Case 24: whoever does not wait until the end of a stop does not end the stop.
#[tokio::test(start_paused = true)]
async fn sup_stop_manual_timeout() {
    let slow = Puppet::stopping_slowly("child1", SECOND).shutdown(SECOND * 5);
    let mut suite = Suite::start(DynamicSupervisor::new("sup").otp_compat()).await;
    suite.add(slow).await;
    suite.told();
    let impatient = Duration::from_millis(100);
    let began = tokio::time::Instant::now();
    let stopped = tokio::time::timeout(impatient, suite.shut_down()).await;
    assert!(stopped.is_err(), "{stopped:?}");
    assert!(matches!(suite.ended().await, ExitReason::Shutdown));
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(suite.told(), ["child1/1 shutdown"]);
}
