//! The groups `restart_one_for_one`, `restart_one_for_all`, `restart_simple_one_for_one` and `restart_rest_for_one`.

use std::sync::Arc;

use regrow::testing::{Puppet, PuppetStart};
use regrow::{ChildSpec, Restart, Strategy, Supervisor};

use super::kit::{End, SECOND, Suite, simple, starts_once, sup, with_parameters, worker};

/// A fault of a child's own.
const FAULTS: [(End, &str); 2] = [(End::Abnormal, "error"), (End::Panic, "panic")];

fn two(strategy: Strategy) -> Supervisor {
    sup(strategy, 2)
        .child(worker("child1"))
        .child(worker("child2"))
}

/// Case 33: only the child that has failed is replaced, until that is too much.
#[tokio::test(start_paused = true)]
async fn one_for_one() {
    for (fault, reason) in FAULTS {
        let mut suite = Suite::start(two(Strategy::OneForOne)).await;
        suite.end("child1", fault).await;
        assert_eq!(suite.which().await, ["child1/2", "child2/1"]);
        assert_eq!(suite.counts().await, [2, 2, 0, 2]);
        suite.end("child2", fault).await;
        assert_eq!(suite.which().await, ["child1/2", "child2/2"]);
        suite.end("child1", fault).await;
        suite.has_ended().await;
        let expected = [
            format!("child1/1 {reason}"),
            "child1/2 started".into(),
            format!("child2/1 {reason}"),
            "child2/2 started".into(),
            format!("child1/2 {reason}"),
            "child2/2 shutdown".into(),
        ];
        assert_eq!(suite.told(), expected);
    }
}

/// Case 34: a child that does not come up again is tried until that is too much; the sibling ends with the supervisor.
#[tokio::test(start_paused = true)]
async fn one_for_one_escalation() {
    let tree = sup(Strategy::OneForOne, 4)
        .child(starts_once("child1"))
        .child(worker("child2"));
    let mut suite = Suite::start(tree).await;
    suite.end("child1", End::Abnormal).await;
    suite.has_ended().await;
    let expected = [
        "child1/1 error",
        "child1/2 did not start",
        "child1/3 did not start",
        "child1/4 did not start",
        "child1/5 did not start",
        "child2/1 shutdown",
    ];
    assert_eq!(suite.told(), expected);
}

/// Case 35: both children are replaced and nobody of before is left, until that is too much.
#[tokio::test(start_paused = true)]
async fn one_for_all() {
    for (fault, reason) in FAULTS {
        let mut suite = Suite::start(two(Strategy::OneForAll)).await;
        suite.end("child1", fault).await;
        let expected = [
            &format!("child1/1 {reason}"),
            "child2/1 shutdown",
            "child1/2 started",
            "child2/2 started",
        ];
        assert_eq!(suite.told(), expected);
        assert_eq!(suite.which().await, ["child1/2", "child2/2"]);
        assert_eq!(suite.counts().await, [2, 2, 0, 2]);
        suite.end("child2", fault).await;
        assert_eq!(suite.which().await, ["child1/3", "child2/3"]);
        suite.end("child2", fault).await;
        suite.has_ended().await;
    }
}

/// Case 36: a sibling that does not come up again is tried, with all others, until that is too much.
#[tokio::test(start_paused = true)]
async fn one_for_all_escalation() {
    let tree = sup(Strategy::OneForAll, 4)
        .child(worker("child1"))
        .child(starts_once("child2"));
    let mut suite = Suite::start(tree).await;
    suite.end("child1", End::Abnormal).await;
    suite.has_ended().await;
    let mut expected = vec!["child1/1 error".to_owned(), "child2/1 shutdown".into()];
    for life in 2..=5 {
        expected.push(format!("child1/{life} started"));
        expected.push(format!("child2/{life} did not start"));
        expected.push(format!("child1/{life} shutdown"));
    }
    assert_eq!(suite.told(), expected);
}

/// Two children of whom the second does not come up the first time that it is started again; what happens when the first fails.
async fn after_a_failure_before_one_that_fails_to_restart(strategy: Strategy) -> Vec<String> {
    let once_not = [PuppetStart::Up, PuppetStart::Refuse, PuppetStart::Up];
    let tree = sup(strategy, 3)
        .child(worker("child1"))
        .child(Puppet::scripted("child2", once_not).shutdown(SECOND));
    let mut suite = Suite::start(tree).await;
    suite.end("child1", End::Abnormal).await;
    assert_eq!(suite.counts().await, [2, 2, 0, 2]);
    suite.told()
}

/// Case 37: a child that was started again is stopped when a later one does not come up, and both are started anew.
#[tokio::test(start_paused = true)]
async fn one_for_all_other_child_fails_restart() {
    let expected = [
        "child1/1 error",
        "child2/1 shutdown",
        "child1/2 started",
        "child2/2 did not start",
        "child1/2 shutdown",
        "child1/3 started",
        "child2/3 started",
    ];
    let story = after_a_failure_before_one_that_fails_to_restart(Strategy::OneForAll).await;
    assert_eq!(story, expected);
}

/// Case 38: under a dynamic supervisor only the child that has failed is replaced, until that is too much.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one() {
    one_dynamic_child_fails(worker).await;
}

async fn one_dynamic_child_fails(child: fn(&str) -> ChildSpec) {
    for (fault, _) in FAULTS {
        let mut suite = Suite::start(simple(2)).await;
        suite.add(child("child1")).await;
        suite.add(child("child2")).await;
        suite.end("child1", fault).await;
        assert_eq!(suite.which().await, ["child1/2", "child2/1"]);
        assert_eq!(suite.counts().await, [1, 2, 0, 2]);
        suite.end("child2", fault).await;
        assert_eq!(suite.which().await, ["child1/2", "child2/2"]);
        suite.end("child1", fault).await;
        suite.has_ended().await;
        assert!(suite.told().ends_with(&["child2/2 shutdown".to_owned()]));
    }
}

/// Case 39: the children of a dynamic supervisor are stopped all at once, so a stop takes as long as the slowest may.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_shutdown() {
    let mut suite = Suite::start(simple(2)).await;
    for (id, takes) in [("child1", 1), ("child2", 1), ("child3", 5)] {
        let child = Puppet::stopping_slowly(id, SECOND * takes).shutdown(SECOND * 2);
        suite.add(child).await;
    }
    suite.told();
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), SECOND * 2);
    let expected = ["child1/1 shutdown", "child2/1 shutdown", "child3/1 killed"];
    assert_eq!(suite.sorted_story().await, expected);
}

/// Case 40: the same as case 38 of children that bring something of their own; here it is what they are, in words.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_extra() {
    one_dynamic_child_fails(|id| worker(id).of_type("extra").tags(["info"])).await;
    let mut suite = Suite::start(simple(2)).await;
    suite
        .add(worker("child1").of_type("extra").tags(["info"]))
        .await;
    suite.end("child1", End::Abnormal).await;
    let child = suite.which_child("sup/child1").await.unwrap();
    let told = (&*child.type_name, &*child.tags[0], child.generation);
    assert_eq!(told, ("extra", "info", 2));
}

/// Case 41: a dynamic child that does not come up again is tried until that is too much; its sibling ends with the supervisor.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_escalation() {
    let mut suite = Suite::start(simple(4)).await;
    suite.add(starts_once("child1")).await;
    suite.add(worker("child2")).await;
    suite.told();
    suite.end("child1", End::Abnormal).await;
    suite.has_ended().await;
    let expected = [
        "child1/1 error",
        "child1/2 did not start",
        "child1/3 did not start",
        "child1/4 did not start",
        "child1/5 did not start",
        "child2/1 shutdown",
    ];
    assert_eq!(suite.told(), expected);
}

/// Case 42: nor are the parameters of a temporary child kept when another has ended before; counted by who holds them.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_corruption() {
    let mut suite = Suite::start(simple(2)).await;
    let parameters = Arc::new(());
    let temporary = |id| with_parameters(id, &parameters, Restart::Temporary);
    assert_eq!(suite.add(temporary("child1")).await, "child1/1");
    suite.end("child1", End::Kill).await;
    assert!(suite.which().await.is_empty());
    assert_eq!(suite.add(temporary("child2")).await, "child2/1");
    assert_eq!(Arc::strong_count(&parameters), 1);
}

/// Case 43: a dynamic child that asks not to be started again is dropped.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_restart_ignore() {
    for restart in [Restart::Transient, Restart::Permanent] {
        let mut suite = Suite::start(simple(2)).await;
        let script = [PuppetStart::Up, PuppetStart::Ignore];
        suite
            .add(Puppet::scripted("child1", script).restart(restart))
            .await;
        suite.end("child1", End::Kill).await;
        assert!(suite.which().await.is_empty());
        assert_eq!(suite.counts().await, [1, 0, 0, 0]);
        assert!(suite.end_reason().is_none());
    }
}

/// Case 44: those after the failed child are replaced with it, those before it are left alone, until that is too much.
#[tokio::test(start_paused = true)]
async fn rest_for_one() {
    for (fault, reason) in FAULTS {
        let tree = two(Strategy::RestForOne).child(worker("child3"));
        let mut suite = Suite::start(tree).await;
        assert_eq!(suite.counts().await, [3, 3, 0, 3]);
        suite.end("child2", fault).await;
        let expected = [
            &format!("child2/1 {reason}"),
            "child3/1 shutdown",
            "child2/2 started",
            "child3/2 started",
        ];
        assert_eq!(suite.told(), expected);
        assert_eq!(suite.which().await, ["child1/1", "child2/2", "child3/2"]);
        assert_eq!(suite.counts().await, [3, 3, 0, 3]);
        suite.end("child3", fault).await;
        assert_eq!(suite.which().await, ["child1/1", "child2/2", "child3/3"]);
        suite.end("child2", fault).await;
        suite.has_ended().await;
    }
}

/// Case 45: a later child that does not come up again is tried until that is too much.
#[tokio::test(start_paused = true)]
async fn rest_for_one_escalation() {
    let tree = sup(Strategy::RestForOne, 4)
        .child(worker("child1"))
        .child(starts_once("child2"));
    let mut suite = Suite::start(tree).await;
    suite.end("child1", End::Abnormal).await;
    suite.has_ended().await;
    let expected = [
        "child1/1 error",
        "child2/1 shutdown",
        "child1/2 started",
        "child2/2 did not start",
        "child2/3 did not start",
        "child2/4 did not start",
        "child2/5 did not start",
        "child1/2 shutdown",
    ];
    assert_eq!(suite.told(), expected);
}

/// Case 46: a child that was started again is left alone when a later one does not come up the first time.
#[tokio::test(start_paused = true)]
async fn rest_for_one_other_child_fails_restart() {
    let expected = [
        "child1/1 error",
        "child2/1 shutdown",
        "child1/2 started",
        "child2/2 did not start",
        "child2/3 started",
    ];
    let story = after_a_failure_before_one_that_fails_to_restart(Strategy::RestForOne).await;
    assert_eq!(story, expected);
}
