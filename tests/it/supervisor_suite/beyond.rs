//! What OTP's own suite leaves out, each rule beside its control: what the other setting does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use regrow::testing::{Puppet, PuppetStart};
use regrow::watchdog::Watchdog;
use regrow::{
    Backoff, ChildSpec, ExitReason, FirstRestart, Phase, Restart, StartContext, StartFailure,
    Strategy, Supervisor,
};

use super::kit::{End, SECOND, Suite, sup, worker};

fn at_once(id: &str) -> ChildSpec {
    worker(id).backoff(Backoff::none())
}

#[tokio::test(start_paused = true)]
async fn a_transient_supervisor_that_gives_up_is_started_again_unless_it_does_as_otps() {
    let ours = Supervisor::new("crew").max_restarts(0, SECOND);
    let otps = Supervisor::new("crew").otp_compat().max_restarts(0, SECOND);
    for (crew, expected) in [(ours, "crew/2"), (otps, "crew undefined")] {
        let crew = ChildSpec::from(crew.child(at_once("a"))).restart(Restart::Transient);
        let tree = sup(Strategy::OneForOne, 2).child(crew).child(worker("b"));
        let mut suite = Suite::start(tree).await;
        suite.end("crew/a", End::Abnormal).await;
        assert_eq!(suite.which().await, [expected, "b/1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_restart_revives_who_had_finished_and_in_otp_who_was_stopped() {
    let ours = Supervisor::new("sup");
    for (tree, stopped) in [
        (ours.clone(), "stopped undefined"),
        (ours.otp_compat(), "stopped/2"),
    ] {
        let tree = tree
            .strategy(Strategy::OneForAll)
            .child(at_once("victim"))
            .child(at_once("finished").restart(Restart::Transient))
            .child(at_once("stopped"))
            .child(at_once("temporary").restart(Restart::Temporary));
        let mut suite = Suite::start(tree).await;
        suite.end("finished", End::Normal).await;
        suite.end("stopped", End::Supervisor).await;
        suite.end("temporary", End::Normal).await;
        assert_eq!(suite.counts().await, [3, 1, 0, 3]);
        suite.end("victim", End::Abnormal).await;
        assert_eq!(suite.which().await, ["victim/2", "finished/2", stopped]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_restarts_allowed_the_first_failure_ends_all_and_an_end_in_order_nobody() {
    let tree = sup(Strategy::OneForOne, 0)
        .child(worker("a"))
        .child(worker("b").restart(Restart::Transient));
    let mut suite = Suite::start(tree).await;
    suite.end("b", End::Normal).await;
    suite.restart("b").await;
    suite.end("a", End::Supervisor).await;
    suite.restart("a").await;
    assert_eq!(
        suite.which().await,
        ["a/2", "b/2"],
        "an operator's starts do not count"
    );
    suite.end("a", End::Normal).await;
    suite.has_ended().await;
    assert_eq!(suite.told()[4..], ["a/2 normal", "b/2 shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn the_period_is_exact_and_its_boundary_inclusive() {
    let period = SECOND * 5;
    let just_after = period + Duration::from_millis(1);
    for (pause, survives) in [(period, false), (just_after, true)] {
        let tree = Supervisor::new("sup").otp_compat().max_restarts(1, period);
        let mut suite = Suite::start(tree.child(worker("a"))).await;
        suite.begin_end("a", End::Abnormal);
        suite.expect("regrow.child.started", "sup/a").await;
        tokio::time::sleep(pause).await;
        suite.begin_end("a", End::Abnormal);
        suite.settle().await;
        assert_eq!(suite.end_reason().is_none(), survives, "after {pause:?}");
    }
}

/// Three of whom the second hangs when it is started again, and the first fails meanwhile, for the second time.
async fn failing_again_during_the_restart(intensity: u32) -> Suite {
    use PuppetStart::{Hang, Up};
    let tree = sup(Strategy::OneForAll, intensity)
        .child(worker("a"))
        .child(Puppet::scripted("b", [Up, Hang, Up]).shutdown(SECOND))
        .child(worker("c"));
    let mut suite = Suite::start(tree).await;
    suite.begin_end("a", End::Abnormal);
    suite.expect("regrow.child.started", "sup/a").await;
    assert_eq!(suite.which().await, ["a/2", "b restarting", "c undefined"]);
    suite.end("a", End::Panic).await;
    suite
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_again_during_the_restart_of_its_group_begins_it_anew() {
    let mut suite = failing_again_during_the_restart(2).await;
    let expected = [
        "a/1 error",
        "c/1 shutdown",
        "b/1 shutdown",
        "a/2 started",
        "a/2 panic",
        "b/2 shutdown",
        "a/3 started",
        "b/3 started",
        "c/2 started",
    ];
    assert_eq!(suite.told(), expected);
    assert!(suite.end_reason().is_none());
    let mut suite = failing_again_during_the_restart(1).await;
    suite.has_ended().await;
}

#[tokio::test(start_paused = true)]
async fn two_siblings_that_fail_at_once_are_one_restart_of_their_group_and_two_by_themselves() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let tree = sup(strategy, 1).child(worker("a")).child(worker("b"));
        let mut suite = Suite::start(tree).await;
        suite.begin_end("a", End::Abnormal);
        suite.end("b", End::Abnormal).await;
        assert_eq!(suite.which().await, ["a/2", "b/2"], "{strategy:?}");
        let expected = ["a/1 error", "b/1 error", "a/2 started", "b/2 started"];
        assert_eq!(suite.told(), expected, "{strategy:?}");
        suite.end("b", End::Abnormal).await;
        suite.has_ended().await;
    }
    for (intensity, survives) in [(2, true), (1, false)] {
        let tree = sup(Strategy::OneForOne, intensity);
        let mut suite = Suite::start(tree.child(worker("a")).child(worker("b"))).await;
        suite.begin_end("a", End::Abnormal);
        suite.end("b", End::Abnormal).await;
        assert_eq!(suite.end_reason().is_none(), survives);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_delay_of_a_restart_is_the_end_of_it() {
    let minute = SECOND * 60;
    let backoff = Backoff::exponential(minute..=minute).first(FirstRestart::Delayed);
    let tree = || {
        Supervisor::new("sup")
            .child(worker("a").backoff(backoff))
            .child(worker("b"))
    };
    let mut suite = Suite::start(tree()).await;
    suite.end("a", End::Abnormal).await;
    assert_eq!(suite.which().await, ["a restarting", "b/1"]);
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "nobody waits for the delay"
    );
    tokio::time::sleep(minute * 2).await;
    assert_eq!(suite.story().await, ["a/1 error", "b/1 shutdown"]);

    let mut suite = Suite::start(tree()).await;
    suite.end("a", End::Abnormal).await;
    suite.terminate("a").await;
    tokio::time::sleep(minute * 2).await;
    assert_eq!(
        suite.which().await,
        ["a undefined", "b/1"],
        "an operator's stop too"
    );
    suite.told();
    assert_eq!(suite.restart("a").await, "a/2");
    assert_eq!(suite.story().await, ["a/2 started"], "once");
}

/// An actor whose life is over before anybody has heard of its start.
struct Mayfly;

impl Actor for Mayfly {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.stop(None);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ends_between_its_start_and_the_news_of_it_has_lived() {
    let slow_news = |context: StartContext| async move {
        let (actor, _) = Mayfly::spawn_linked(None, Mayfly, (), context.supervisor()).await?;
        actor.wait(None).await?;
        tokio::time::sleep(SECOND / 2).await;
        Ok::<_, StartFailure>(actor)
    };
    let by_itself = ChildSpec::actor_with("a", || (Mayfly, ()));
    for spec in [by_itself, ChildSpec::start_with("a", slow_news)] {
        let mut suite = Suite::start(sup(Strategy::OneForOne, 2)).await;
        drop(suite.add(spec).await);
        suite.has_ended().await;
        let expected = [
            "a/1 started",
            "a/1 normal",
            "a/2 started",
            "a/2 normal",
            "a/3 started",
            "a/3 normal",
        ];
        assert_eq!(suite.told(), expected);
    }
}

/// An actor whose state can be counted.
struct Counted;

impl Actor for Counted {
    type Msg = ();
    type State = Arc<()>;
    type Arguments = Arc<()>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        counted: Arc<()>,
    ) -> Result<Arc<()>, ActorProcessingErr> {
        Ok(counted)
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_killed_takes_its_children_along_and_lives_again_with_new_ones() {
    let states = Arc::new(());
    let supervisor: Arc<Mutex<Option<ActorCell>>> = Arc::default();
    let counted = |id: &str| {
        let (states, told) = (Arc::downgrade(&states), Arc::clone(&supervisor));
        ChildSpec::start_with(id, move |context: StartContext| {
            let state = states.upgrade().expect("the test holds it");
            *told.lock().expect("nobody panics here") = Some(context.supervisor());
            async move {
                Counted::spawn_linked(None, Counted, state, context.supervisor())
                    .await
                    .map(|(actor, _)| actor)
            }
        })
    };
    let crew = Supervisor::new("crew").otp_compat();
    let crew = crew.child(counted("a")).child(counted("b"));
    let mut suite = Suite::start(sup(Strategy::OneForOne, 2).child(crew)).await;
    assert_eq!(Arc::strong_count(&states), 3);
    let first = supervisor.lock().unwrap().clone().unwrap();
    first.kill();
    let story = suite.story().await;
    assert_eq!(story[0], "crew/1 killed");
    assert_eq!(
        story[1..],
        ["crew/a/2 started", "crew/b/2 started", "crew/2 started"]
    );
    assert_eq!(Arc::strong_count(&states), 3, "nothing of before is left");
    assert_eq!(suite.which_of("sup/crew").await, ["a/2", "b/2"]);
    suite.stop().await;
    assert_eq!(Arc::strong_count(&states), 1);
}

#[tokio::test(start_paused = true)]
async fn children_stand_up_and_lie_down_in_the_same_order_in_every_life() {
    let crew = Supervisor::new("crew")
        .otp_compat()
        .max_restarts(0, SECOND)
        .child(worker("lead"))
        .child(worker("hand"));
    let tree = sup(Strategy::RestForOne, 2)
        .child(worker("first"))
        .child(crew)
        .child(worker("last"));
    let mut suite = Suite::start(tree).await;
    suite.end("crew/lead", End::Abnormal).await;
    let expected = [
        "crew/lead/1 error",
        "crew/hand/1 shutdown",
        "crew/1 shutdown",
        "last/1 shutdown",
        "crew/lead/2 started",
        "crew/hand/2 started",
        "crew/2 started",
        "last/2 started",
    ];
    assert_eq!(
        suite.told(),
        expected,
        "a supervisor is up after its children"
    );
    suite.stop().await;
    let expected = [
        "last/2 shutdown",
        "crew/hand/2 shutdown",
        "crew/lead/2 shutdown",
        "crew/2 shutdown",
        "first/1 shutdown",
    ];
    assert_eq!(suite.told(), expected, "and gone after them");
    let child = suite.end_reason();
    assert!(matches!(child, Some(ExitReason::Shutdown)), "{child:?}");
}

/// How often the runtime has had nothing to do, over a year of paused time.
async fn pauses_in_a_year() -> u64 {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(SECOND * 3_600 * 24 * 365).await;
    metrics.worker_park_count(0) - before
}

#[tokio::test(start_paused = true)]
async fn an_idle_supervisor_holds_no_timers() {
    let without_anybody = pauses_in_a_year().await;
    let crew = Supervisor::new("crew").child(worker("b"));
    // The watchdog looks every few seconds; it is no part of a supervisor.
    let tree = Supervisor::new("sup").watchdog(Watchdog::off());
    let tree = tree.child(worker("a")).child(crew);
    let mut suite = Suite::start(tree).await;
    suite.end("a", End::Abnormal).await;
    assert_eq!(
        suite.which_child("sup/a").await.unwrap().phase,
        Phase::Running
    );
    // The runtime's clock has a few turns of its own, a timer that comes again would have many.
    let pauses = pauses_in_a_year().await;
    assert!(pauses < without_anybody + 5, "{without_anybody}, {pauses}");
    suite.stop().await;
}
