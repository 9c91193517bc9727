//! The groups `normal_termination`, `shutdown_termination` and `abnormal_termination`, with `child_unlink` and `tree`.

use std::error::Error;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use regrow::testing::TestSystem;
use regrow::{
    ChildSpec, ExitReason, Restart, StartContext, StartError, StartFailure, Strategy, Supervisor,
};

use super::kit::{End, HOUR, SECOND, Suite, one_for_one, starts_once, sup, worker};

/// What is there after a child has ended so: its place as `which_children` tells it, and the counts.
async fn after(restart: Restart, end: End) -> (Vec<String>, [u32; 4]) {
    let mut suite = Suite::start(one_for_one()).await;
    suite.add(worker("child1").restart(restart)).await;
    suite.end("child1", end).await;
    (suite.which().await, suite.counts().await)
}

fn restarted() -> (Vec<String>, [u32; 4]) {
    (vec!["child1/2".into()], [1, 1, 0, 1])
}

fn left() -> (Vec<String>, [u32; 4]) {
    (vec!["child1 undefined".into()], [1, 0, 0, 1])
}

fn gone() -> (Vec<String>, [u32; 4]) {
    (vec![], [0, 0, 0, 0])
}

/// Case 47: what an operator starts is not told as a child that runs again; OTP tells that from the level of a log line.
#[tokio::test(start_paused = true)]
async fn external_start_no_progress_log() {
    let recovered = "regrow.supervisor.restart.stop sup/child1".to_owned();
    let mut suite = Suite::start(one_for_one()).await;
    suite.add(worker("child1")).await;
    suite.terminate("child1").await;
    suite.restart("child1").await;
    let by_an_operator = suite.happened().await;
    assert!(!by_an_operator.contains(&recovered), "{by_an_operator:?}");
    suite.begin_end("child1", End::Abnormal);
    let by_itself = suite.happened().await;
    assert!(by_itself.contains(&recovered), "{by_itself:?}");
}

/// Case 48: a permanent child that ends normally is started again.
#[tokio::test(start_paused = true)]
async fn permanent_normal() {
    assert_eq!(after(Restart::Permanent, End::Normal).await, restarted());
}

/// Case 49: a transient one is not, and keeps its place.
#[tokio::test(start_paused = true)]
async fn transient_normal() {
    assert_eq!(after(Restart::Transient, End::Normal).await, left());
}

/// Case 50: a temporary one is not, and its place goes.
#[tokio::test(start_paused = true)]
async fn temporary_normal() {
    assert_eq!(after(Restart::Temporary, End::Normal).await, gone());
}

/// Case 51: a permanent child that ends with `shutdown`, for whatever reason, is started again.
#[tokio::test(start_paused = true)]
async fn permanent_shutdown() {
    for end in [End::Shutdown, End::ShutdownFor] {
        assert_eq!(after(Restart::Permanent, end).await, restarted());
    }
}

/// Case 52: a transient one is not, and an operator can start it again.
#[tokio::test(start_paused = true)]
async fn transient_shutdown() {
    let mut suite = Suite::start(one_for_one()).await;
    suite
        .add(worker("child1").restart(Restart::Transient))
        .await;
    suite.end("child1", End::Shutdown).await;
    assert_eq!((suite.which().await, suite.counts().await), left());
    assert_eq!(suite.restart("child1").await, "child1/2");
    suite.told();
    suite.end("child1", End::ShutdownFor).await;
    assert_eq!((suite.which().await, suite.counts().await), left());
    assert_eq!(suite.told(), ["child1/2 shutdown"]);
}

/// Case 53: a temporary one is not, and its place goes.
#[tokio::test(start_paused = true)]
async fn temporary_shutdown() {
    let mut suite = Suite::start(one_for_one()).await;
    for end in [End::Shutdown, End::ShutdownFor] {
        suite
            .add(worker("child1").restart(Restart::Temporary))
            .await;
        suite.end("child1", end).await;
        assert_eq!((suite.which().await, suite.counts().await), gone());
    }
}

/// Case 54: a start that fails deep below tells the innermost cause; the chain of errors has it where OTP has a call stack.
#[tokio::test(start_paused = true)]
async fn faulty_application_shutdown() {
    #[derive(Debug, thiserror::Error)]
    #[error("the address is in use")]
    struct Undefined;
    #[derive(Debug, thiserror::Error)]
    #[error("failed to listen")]
    struct Faulty(#[source] Undefined);

    let faulty = ChildSpec::start_with("app_faulty", |_| async {
        Err::<ActorCell, _>(StartFailure::retry(Faulty(Undefined)))
    });
    let inner = Supervisor::new("inner").otp_compat().child(faulty);
    let error = TestSystem::start_error(one_for_one().child(inner)).await;
    assert_eq!(
        error.to_string(),
        "child \"sup/inner/app_faulty\" did not start: failed to start: failed to listen"
    );
    let mut innermost: &dyn Error = &error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    assert!(innermost.is::<Undefined>(), "{innermost}");
    let StartError::Child { reason, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(reason, ExitReason::StartFailed(_)), "{reason:?}");
}

/// Case 55: a permanent child that fails is started again.
#[tokio::test(start_paused = true)]
async fn permanent_abnormal() {
    for end in [End::Abnormal, End::Panic, End::Kill] {
        assert_eq!(after(Restart::Permanent, end).await, restarted());
    }
}

/// Case 56: so is a transient one.
#[tokio::test(start_paused = true)]
async fn transient_abnormal() {
    for end in [End::Abnormal, End::Panic, End::Kill] {
        assert_eq!(after(Restart::Transient, end).await, restarted());
    }
}

/// Case 57: a temporary one is not, and its place goes.
#[tokio::test(start_paused = true)]
async fn temporary_abnormal() {
    for end in [End::Abnormal, End::Panic, End::Kill] {
        assert_eq!(after(Restart::Temporary, end).await, gone());
    }
}

/// An actor that cuts the link to its supervisor.
struct Naughty;

impl Actor for Naughty {
    type Msg = ();
    type State = ActorCell;
    type Arguments = ActorCell;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        supervisor: ActorCell,
    ) -> Result<ActorCell, ActorProcessingErr> {
        Ok(supervisor)
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        supervisor: &mut ActorCell,
    ) -> Result<(), ActorProcessingErr> {
        myself.unlink(supervisor.clone());
        Ok(())
    }
}

/// Case 58: a child that has cut its link does not hold up its supervisor, which finds it gone when its time is over.
#[tokio::test(start_paused = true)]
async fn child_unlink() {
    let naughty = ChildSpec::start_with("naughty", |context: StartContext| async move {
        let supervisor = context.supervisor();
        let (actor, _) =
            Naughty::spawn_linked(None, Naughty, supervisor.clone(), supervisor).await?;
        Ok::<_, StartFailure>(actor)
    });
    let mut suite = Suite::start(one_for_one()).await;
    assert_eq!(suite.add(naughty.shutdown(SECOND)).await, "naughty/1");
    suite.settle().await;
    let began = tokio::time::Instant::now();
    let (_, added) = tokio::join!(suite.terminate("naughty"), suite.add(worker("other")));
    assert_eq!(added, "other/1", "others are served meanwhile");
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(suite.which().await, ["naughty undefined", "other/1"]);
    let expected = ["naughty/1 started", "other/1 started", "naughty/1 shutdown"];
    assert_eq!(suite.story().await, expected);
}

/// Case 59: in three levels only the branch that fails starts again; one that gives up takes its sibling and what was added along.
#[tokio::test(start_paused = true)]
async fn tree() {
    let inner = |id| Supervisor::new(id).otp_compat().max_restarts(4, HOUR);
    let first = inner("supchild1")
        .child(worker("child1"))
        .child(worker("child2"));
    let mut suite = Suite::start(sup(Strategy::OneForAll, 4)).await;
    assert_eq!(suite.add(first.into()).await, "supchild1/1");
    assert_eq!(suite.add(inner("supchild2").into()).await, "supchild2/1");
    assert_eq!(suite.counts().await, [2, 2, 2, 0]);
    assert_eq!(
        suite.which_of("sup/supchild1").await,
        ["child1/1", "child2/1"]
    );
    assert_eq!(suite.counts_of("sup/supchild1").await, [2, 2, 0, 2]);
    assert_eq!(suite.counts_of("sup/supchild2").await, [0, 0, 0, 0]);

    for child in [starts_once("child3"), worker("child4")] {
        suite.start_child("sup/supchild2", child).await.unwrap();
    }
    assert_eq!(suite.counts_of("sup/supchild1").await, [2, 2, 0, 2]);
    assert_eq!(suite.counts_of("sup/supchild2").await, [2, 2, 0, 2]);

    suite.end("supchild2/child4", End::Abnormal).await;
    assert_eq!(
        suite.which_of("sup/supchild1").await,
        ["child1/1", "child2/1"]
    );
    assert_eq!(
        suite.which_of("sup/supchild2").await,
        ["child3/1", "child4/2"]
    );
    assert_eq!(suite.counts_of("sup/supchild2").await, [2, 2, 0, 2]);

    suite.end("supchild2/child3", End::Abnormal).await;
    assert_eq!(suite.which().await, ["supchild1/2", "supchild2/2"]);
    assert_eq!(suite.counts().await, [2, 2, 2, 0]);
    assert_eq!(
        suite.which_of("sup/supchild1").await,
        ["child1/2", "child2/2"]
    );
    assert_eq!(suite.counts_of("sup/supchild1").await, [2, 2, 0, 2]);
    assert!(suite.which_of("sup/supchild2").await.is_empty());
    assert_eq!(suite.counts_of("sup/supchild2").await, [0, 0, 0, 0]);
}
