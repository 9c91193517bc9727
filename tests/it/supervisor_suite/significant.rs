//! The group `significant`: supervisors that end with their children.

use regrow::{
    AutoShutdown, ChildSpec, DynamicSupervisor, InvalidTree, Restart, Strategy, Supervisor,
};

use super::kit::{End, STRATEGIES, Suite, one_for_one, sup, worker};

use AutoShutdown::{AllSignificant, AnySignificant, Never};

const MODES: [AutoShutdown; 3] = [Never, AnySignificant, AllSignificant];

fn ending(auto_shutdown: AutoShutdown) -> Supervisor {
    one_for_one().auto_shutdown(auto_shutdown)
}

fn transient(id: &str) -> ChildSpec {
    worker(id).restart(Restart::Transient)
}

fn temporary(id: &str) -> ChildSpec {
    worker(id).restart(Restart::Temporary)
}

/// Ends `a` so, beside another child that is significant too and a third that is not; whether the supervisor lives.
async fn lives_after(auto_shutdown: AutoShutdown, a: ChildSpec, end: End) -> bool {
    let tree = ending(auto_shutdown)
        .child(worker("bystander"))
        .child(transient("b").significant())
        .child(a);
    let mut suite = Suite::start(tree).await;
    suite.end("a", end).await;
    let lives = suite.end_reason().is_none();
    if !lives {
        suite.has_ended().await;
        let told = suite.told();
        let others = told.get(1..).unwrap_or_default();
        assert_eq!(
            others,
            ["b/1 shutdown", "bystander/1 shutdown"],
            "last first"
        );
    }
    lives
}

const ALL_ENDS: [End; 4] = [End::Supervisor, End::Kill, End::Abnormal, End::Normal];

/// Case 60: a temporary child that is not significant ends nobody, however it ends.
#[tokio::test(start_paused = true)]
async fn nonsignificant_temporary() {
    for mode in MODES {
        let mut suite = Suite::start(ending(mode)).await;
        for end in ALL_ENDS {
            assert_eq!(suite.add(temporary("a")).await, "a/1");
            suite.end("a", end).await;
            assert!(suite.which().await.is_empty());
            assert!(suite.end_reason().is_none(), "{mode:?} {end:?}");
        }
        suite.stop().await;
    }
}

/// Case 61: nor does a transient one, whether it is started again or not.
#[tokio::test(start_paused = true)]
async fn nonsignificant_transient() {
    for mode in MODES {
        let mut suite = Suite::start(ending(mode).child(transient("a"))).await;
        let ends = [
            (End::Supervisor, "a undefined"),
            (End::Kill, "a/3"),
            (End::Abnormal, "a/4"),
            (End::Normal, "a undefined"),
        ];
        for (end, expected) in ends {
            suite.end("a", end).await;
            assert_eq!(suite.which().await, [expected], "{mode:?} {end:?}");
            if end == End::Supervisor {
                suite.restart("a").await;
            }
        }
        assert!(suite.end_reason().is_none(), "{mode:?}");
        suite.stop().await;
    }
}

/// Case 62: a significant temporary child ends its supervisor by any end of its own, unless it has to be the last and is not.
#[tokio::test(start_paused = true)]
async fn significant_temporary() {
    for end in ALL_ENDS {
        let a = || temporary("a").significant();
        let lives = end == End::Supervisor;
        assert_eq!(
            lives_after(AnySignificant, a(), end).await,
            lives,
            "{end:?}"
        );
        assert!(lives_after(AllSignificant, a(), end).await, "{end:?}");

        let last = ending(AllSignificant).child(worker("other")).child(a());
        let mut suite = Suite::start(last).await;
        suite.end("a", end).await;
        assert_eq!(
            suite.end_reason().is_none(),
            lives,
            "the last of them: {end:?}"
        );
    }
}

/// Case 63: a significant transient child does so when it is not started again.
#[tokio::test(start_paused = true)]
async fn significant_transient() {
    for end in ALL_ENDS {
        let a = || transient("a").significant();
        let lives = end != End::Normal;
        assert_eq!(
            lives_after(AnySignificant, a(), end).await,
            lives,
            "{end:?}"
        );
        assert!(lives_after(AllSignificant, a(), end).await, "{end:?}");

        let last = ending(AllSignificant).child(worker("other")).child(a());
        let mut suite = Suite::start(last).await;
        suite.end("a", end).await;
        assert_eq!(
            suite.end_reason().is_none(),
            lives,
            "the last of them: {end:?}"
        );
    }
}

/// Case 64: a dynamic supervisor does not end with its children, nor can any of them be significant; that it shall is refused.
#[tokio::test(start_paused = true)]
async fn significant_simple() {
    for mode in MODES {
        let dynamic = Supervisor::from(DynamicSupervisor::new("sup")).auto_shutdown(mode);
        let checked = dynamic.check();
        let refused = matches!(checked, Err(InvalidTree::Dynamic { .. }));
        assert_eq!(refused, mode != Never, "{mode:?} {checked:?}");
    }
    let suite = Suite::start(DynamicSupervisor::new("sup").otp_compat()).await;
    assert_eq!(suite.add(transient("a").significant()).await, "invalid");
    let becomes = Supervisor::from(DynamicSupervisor::new("sup")).auto_shutdown(AnySignificant);
    assert_ne!(suite.becomes(becomes).await, "ok");
    assert_eq!(suite.add(transient("a")).await, "a/1");
}

/// Case 65: a significant child that is stopped for a sibling's sake ends nobody, in any strategy.
#[tokio::test(start_paused = true)]
async fn significant_bystander() {
    for strategy in STRATEGIES {
        for mode in [AnySignificant, AllSignificant] {
            let tree = sup(strategy, 2)
                .auto_shutdown(mode)
                .child(worker("victim"))
                .child(transient("a").significant())
                .child(temporary("b").significant());
            let mut suite = Suite::start(tree).await;
            suite.end("victim", End::Abnormal).await;
            assert!(suite.end_reason().is_none(), "{strategy:?} {mode:?}");
            let expected = match strategy {
                Strategy::OneForOne => vec!["victim/2", "a/1", "b/1"],
                Strategy::OneForAll | Strategy::RestForOne => vec!["victim/2", "a/2"],
            };
            assert_eq!(suite.which().await, expected, "{strategy:?} {mode:?}");
            suite.end("a", End::Normal).await;
            // Where `b` has been taken along, `a` is the last of them.
            let lives = mode == AllSignificant && strategy == Strategy::OneForOne;
            assert_eq!(suite.end_reason().is_none(), lives, "{strategy:?} {mode:?}");
        }
    }
}

/// Case 66: an end climbs through supervisors that are significant themselves, and stops at one that is not.
#[tokio::test(start_paused = true)]
async fn significant_escalation() {
    let nested = |id: &str, child: ChildSpec| {
        let tree = Supervisor::new(id)
            .otp_compat()
            .auto_shutdown(AnySignificant);
        ChildSpec::from(tree.child(child)).restart(Restart::Transient)
    };
    let a = || transient("a").significant();
    let deepest = nested("deepest", a()).significant();
    let tree = ending(AnySignificant).child(worker("other"));
    let mut suite = Suite::start(tree.clone().child(nested("middle", deepest.clone()))).await;
    suite.end("middle/deepest/a", End::Normal).await;
    assert!(
        suite.end_reason().is_none(),
        "the middle one is not significant"
    );
    assert_eq!(suite.which().await, ["other/1", "middle undefined"]);
    let expected = [
        "middle/deepest/a/1 normal",
        "middle/deepest/1 shutdown",
        "middle/1 shutdown",
    ];
    assert_eq!(suite.told(), expected);

    let mut suite = Suite::start(tree.child(nested("middle", deepest).significant())).await;
    suite.end("middle/deepest/a", End::Normal).await;
    suite.has_ended().await;
    assert_eq!(suite.told().last().unwrap(), "other/1 shutdown");
}

/// A supervisor that has gone from one mode to the other with two significant children, `a` and `b`, and a third.
async fn upgraded(from: AutoShutdown, to: AutoShutdown) -> Suite {
    let children = |mode| {
        let significant = |id| match mode {
            Never => transient(id),
            AnySignificant | AllSignificant => transient(id).significant(),
        };
        ending(mode)
            .child(significant("a"))
            .child(significant("b"))
            .child(worker("other"))
    };
    let mut suite = Suite::start(children(from)).await;
    if from == Never {
        let refused = suite.add(transient("c").significant()).await;
        assert_eq!(refused, "invalid", "nobody can be significant before");
    }
    let new = match to {
        // They keep their specs: only the supervisor's own settings are new.
        Never => ending(Never),
        AnySignificant | AllSignificant => children(to),
    };
    assert_eq!(suite.becomes(new).await, "ok");
    suite.settle().await;
    assert!(
        suite.told().is_empty(),
        "the change starts and stops nobody"
    );
    suite
}

/// Case 67: from `never` to `any_significant`: who could not be significant can, and the first normal end ends all.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_never_any() {
    let mut suite = upgraded(Never, AnySignificant).await;
    assert_eq!(suite.add(transient("c").significant()).await, "c/1");
    suite.end("c", End::Normal).await;
    suite.has_ended().await;
}

/// What holds after a change to `never`: a significant child of before ends nobody, and nobody new is significant.
async fn ends_with_nobody(mut suite: Suite) {
    suite.end("a", End::Normal).await;
    suite.end("b", End::Normal).await;
    assert_eq!(
        suite.which().await,
        ["a undefined", "b undefined", "other/1"]
    );
    assert_eq!(suite.add(transient("c").significant()).await, "invalid");
    assert_eq!(
        suite.restart("a").await,
        "a/2",
        "it is as good as any other"
    );
    suite.end("a", End::Normal).await;
    assert!(suite.end_reason().is_none());
    suite.stop().await;
}

/// Case 68: from `any_significant` to `never`.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_any_never() {
    ends_with_nobody(upgraded(AnySignificant, Never).await).await;
}

/// Case 69: from `never` to `all_significant`: the first normal end ends nobody, the last one all.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_never_all() {
    ends_with_the_last(upgraded(Never, AllSignificant).await).await;
}

async fn ends_with_the_last(mut suite: Suite) {
    suite.end("a", End::Normal).await;
    assert!(suite.end_reason().is_none());
    suite.end("b", End::Normal).await;
    suite.has_ended().await;
    let expected = ["a/1 normal", "b/1 normal", "other/1 shutdown"];
    assert_eq!(suite.told(), expected);
}

/// Case 70: from `all_significant` to `never`.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_all_never() {
    ends_with_nobody(upgraded(AllSignificant, Never).await).await;
}

/// Case 71: from `any_significant` to `all_significant`: only the last end counts.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_any_all() {
    ends_with_the_last(upgraded(AnySignificant, AllSignificant).await).await;
}

/// Case 72: from `all_significant` to `any_significant`: the first end counts, though another had ended before the change.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_all_any() {
    let mut suite = upgraded(AllSignificant, AnySignificant).await;
    suite.end("a", End::Normal).await;
    suite.has_ended().await;
    let expected = ["a/1 normal", "other/1 shutdown", "b/1 shutdown"];
    assert_eq!(suite.told(), expected);

    let tree = |mode| {
        ending(mode)
            .child(transient("a").significant())
            .child(transient("b").significant())
    };
    let mut suite = Suite::start(tree(AllSignificant)).await;
    suite.end("a", End::Normal).await;
    assert_eq!(suite.becomes(tree(AnySignificant)).await, "ok");
    suite.settle().await;
    assert!(
        suite.end_reason().is_none(),
        "what was before the change is over"
    );
    suite.end("b", End::Normal).await;
    suite.has_ended().await;
}

/// Case 73: a child can become significant and cease to be; under `never` it cannot become so.
#[tokio::test(start_paused = true)]
async fn significant_upgrade_child() {
    let plain = |mode| ending(mode).child(transient("a"));
    let significant = |mode| ending(mode).child(transient("a").significant());
    for mode in [AnySignificant, AllSignificant] {
        let mut suite = Suite::start(plain(mode)).await;
        assert_eq!(suite.becomes(significant(mode)).await, "ok");
        suite.end("a", End::Normal).await;
        suite.has_ended().await;

        let mut suite = Suite::start(significant(mode)).await;
        assert_eq!(suite.becomes(plain(mode)).await, "ok");
        suite.end("a", End::Normal).await;
        assert!(suite.end_reason().is_none(), "{mode:?}");
        assert_eq!(suite.which().await, ["a undefined"]);
    }
    let suite = Suite::start(plain(Never)).await;
    let refused = suite.reconfigure("sup", significant(Never)).await;
    assert!(refused.is_err(), "{refused:?}");
    suite.stop().await;
}
