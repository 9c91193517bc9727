//! What a reading of `ractor-supervisor` 0.2.0 has found wrong, as rules that hold here. The numbers are those of that reading.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use regrow::testing::{Bare, Puppet, PuppetStart, TestSystem};
use regrow::{
    AutoShutdown, Backoff, BoxError, ChildKind, ChildSpec, DynamicSupervisor, ExitKind,
    FirstRestart, OperateError, Phase, Restart, Shutdown, StartContext, StartFailure, Strategy,
    Supervisor, TaskContext,
};
use tokio::time::Instant;

use crate::peers::Port::{self, AsItIs as Y};
use crate::peers::every_case_has_its_test;

const SECOND: Duration = Duration::from_secs(1);

/// The rules, in the order of the defects.
const RULES: [(&str, Port); 18] = [
    ("a_start_returns_when_every_child_on_every_level_is_up", Y),
    ("a_stop_lets_every_child_clean_up_in_order_and_waits", Y),
    ("siblings_of_a_failed_child_are_stopped_and_not_killed", Y),
    (
        "a_sibling_that_blocks_its_thread_is_waited_for_and_not_counted",
        Y,
    ),
    ("a_transient_child_that_is_killed_is_started_again", Y),
    ("siblings_that_fail_together_are_restarted_once", Y),
    (
        "dependents_are_stopped_before_the_delay_and_not_after_it",
        Y,
    ),
    ("an_id_that_is_taken_is_an_error_and_harms_nobody", Y),
    ("a_restart_is_never_refused_for_the_number_of_children", Y),
    (
        "a_child_that_is_ended_during_its_delay_does_not_come_back",
        Y,
    ),
    ("strangers_below_a_supervisor_do_not_end_it", Y),
    ("restarts_take_no_time_of_their_supervisor", Y),
    (
        "a_failure_counts_when_it_happens_and_not_after_its_delay",
        Y,
    ),
    ("finished_children_leave_nothing_behind", Y),
    ("a_start_is_told_the_true_age_and_end_of_the_life_before", Y),
    ("two_trees_have_the_same_ids_side_by_side", Y),
    ("a_task_runs_is_asked_to_stop_and_says_how_it_ended", Y),
    ("what_a_supervisor_can_do_is_all_there", Y),
];

#[test]
fn every_defect_has_its_rule() {
    every_case_has_its_test("tests/it/ractor_supervisor_defects.rs", &RULES);
}

/// Writes down who has cleaned up, some time after being asked to.
#[derive(Clone)]
struct Tidy(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Actor for Tidy {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("as told".into())
    }

    async fn post_stop(&self, _: ActorRef<()>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        drop(tokio::time::timeout(SECOND, std::future::pending::<()>()).await);
        self.1.lock().expect("no test panics here").push(self.0);
        Ok(())
    }
}

type Log = Arc<Mutex<Vec<&'static str>>>;

fn tidy(id: &'static str, log: &Log) -> ChildSpec {
    ChildSpec::actor(id, Tidy(id, Arc::clone(log)), ()).backoff(Backoff::none())
}

fn noted(log: &Log) -> Vec<&'static str> {
    log.lock().expect("no test panics here").clone()
}

fn child(id: &str) -> ChildSpec {
    Puppet::spec(id).backoff(Backoff::none())
}

/// One that waits ten seconds before every restart.
fn delayed(id: &str) -> ChildSpec {
    let ten = 10 * SECOND;
    Puppet::spec(id).backoff(Backoff::exponential(ten..=ten).first(FirstRestart::Delayed))
}

/// Defect 1: the start returned before any child existed, and a child that failed then did not fail it.
#[tokio::test(start_paused = true)]
async fn a_start_returns_when_every_child_on_every_level_is_up() {
    let level = |id, inner| Supervisor::new(id).child(inner).child(child("leaf"));
    let tree = |leaf: ChildSpec| level("root", level("b", level("c", leaf).into()).into());
    let system = TestSystem::start(tree(child("deepest"))).await;
    for path in [
        "root/b/c/deepest",
        "root/b/c/leaf",
        "root/b/leaf",
        "root/leaf",
    ] {
        assert_eq!(
            system.which_child(path).await.unwrap().phase,
            Phase::Running,
            "{path}"
        );
    }
    let error = TestSystem::start_error(tree(Puppet::refusing("deepest", 1))).await;
    assert!(
        error
            .to_string()
            .starts_with("child \"root/b/c/deepest\" did not start")
    );
}

/// Defect 2: stopping a supervisor killed its children: no `post_stop`, no order, no wait.
#[tokio::test(start_paused = true)]
async fn a_stop_lets_every_child_clean_up_in_order_and_waits() {
    let log = Log::default();
    let crew = Supervisor::new("crew")
        .child(tidy("b", &log))
        .child(tidy("c", &log));
    let tree = Supervisor::new("root")
        .child(tidy("a", &log))
        .child(crew)
        .child(tidy("d", &log));
    let system = TestSystem::start(tree).await;
    let report = system.shut_down().await;
    assert_eq!(noted(&log), ["d", "c", "b", "a"]);
    assert_eq!((report.killed.len(), report.took), (0, 4 * SECOND));
}

/// Defect 3: siblings were killed in the order of a hash map, and ten milliseconds were waited for.
#[tokio::test(start_paused = true)]
async fn siblings_of_a_failed_child_are_stopped_and_not_killed() {
    let log = Log::default();
    let tree = Supervisor::new("root")
        .strategy(Strategy::OneForAll)
        .child(tidy("a", &log))
        .child(tidy("b", &log))
        .child(tidy("c", &log));
    let mut system = TestSystem::start(tree).await;
    let before = Instant::now();
    system.address::<()>("root/b").unwrap().send(()).unwrap();
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(
        (noted(&log), before.elapsed()),
        (vec!["c", "a"], 2 * SECOND)
    );
    system.expect("regrow.child.started", "root/c").await;
}

/// Defect 4: the name of a sibling that blocked its thread was still taken, each failed spawn counted, and the supervisor died.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sibling_that_blocks_its_thread_is_waited_for_and_not_counted() {
    #[derive(Clone)]
    struct Blocks(mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>);
    impl Actor for Blocks {
        type Msg = ();
        type State = ();
        type Arguments = ();
        async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
        async fn handle(
            &self,
            _: ActorRef<()>,
            (): (),
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            self.0.send(())?;
            let gate = self.1.lock().map_err(|_| "the gate is broken")?;
            Ok(gate.recv()?)
        }
    }
    let (entered, enters) = mpsc::channel();
    let (open, gate) = mpsc::channel();
    let blocks = Blocks(entered, Arc::new(Mutex::new(gate)));
    let tree = Supervisor::new("root")
        .strategy(Strategy::OneForAll)
        .max_restarts(1, 5 * SECOND)
        .child(ChildSpec::actor_with("a", move || (blocks.clone(), ())).shutdown(60 * SECOND))
        .child(child("b"));
    let mut system = TestSystem::start(tree).await;
    system.address::<()>("root/a").unwrap().send(()).unwrap();
    tokio::task::spawn_blocking(move || enters.recv())
        .await
        .unwrap()
        .unwrap();
    system.puppet("root/b").crash("boom");
    system.expect("regrow.child.stopping", "root/a").await;
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Stopping
    );
    open.send(()).unwrap();
    system.expect("regrow.child.started", "root/b").await;
    let a = system.which_child("root/a").await.unwrap();
    assert_eq!((a.phase, a.generation), (Phase::Running, 2));
    assert!(system.end_reason().is_none(), "it was one restart");
}

/// Defect 5: a kill looked like a normal end.
#[tokio::test(start_paused = true)]
async fn a_transient_child_that_is_killed_is_started_again() {
    let tree = Supervisor::new("root").child(child("a").restart(Restart::Transient));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/a").kill();
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(system.last_exit("root/a").await.kind(), ExitKind::Killed);
}

/// Defect 6: three failures at one time were three restarts of everybody.
#[tokio::test(start_paused = true)]
async fn siblings_that_fail_together_are_restarted_once() {
    let tree = Supervisor::new("root")
        .strategy(Strategy::OneForAll)
        .max_restarts(1, 5 * SECOND)
        .child(child("a"))
        .child(child("b"))
        .child(child("c"));
    let mut system = TestSystem::start(tree).await;
    for path in ["root/a", "root/b", "root/c"] {
        system.puppet(path).crash("all at once");
    }
    let happened = system.happened().await;
    let started = happened
        .iter()
        .filter(|line| line.starts_with("regrow.child.started"));
    assert_eq!(started.count(), 3, "{happened:#?}");
    assert!(system.end_reason().is_none(), "one restart was counted");
}

/// Defect 7: the others ran on, beside a sibling that was not there, for the whole delay.
#[tokio::test(start_paused = true)]
async fn dependents_are_stopped_before_the_delay_and_not_after_it() {
    for strategy in [Strategy::RestForOne, Strategy::OneForAll] {
        let tree = Supervisor::new("root")
            .strategy(strategy)
            .child(delayed("a"))
            .child(child("b"));
        let mut system = TestSystem::start(tree).await;
        let before = Instant::now();
        system.puppet("root/a").crash("boom");
        system.expect("regrow.child.terminated", "root/b").await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        system.expect("regrow.child.started", "root/b").await;
        assert_eq!(before.elapsed(), 10 * SECOND);
    }
}

/// Defect 8: a second child of an id was answered with `Ok`, and then the whole supervisor melted down.
#[tokio::test(start_paused = true)]
async fn an_id_that_is_taken_is_an_error_and_harms_nobody() {
    let mut system = TestSystem::start(DynamicSupervisor::new("root")).await;
    drop(system.start_child("root", child("a")).await.unwrap());
    system.happened().await;
    let taken = system.start_child("root", child("a")).await;
    assert!(
        matches!(taken, Err(OperateError::AlreadyStarted { .. })),
        "{taken:?}"
    );
    system.quiet().await;
    assert_eq!(system.which_child("root/a").await.unwrap().generation, 1);
}

/// Defect 9: a full supervisor refused the restart of a child of its own, and died of it.
#[tokio::test(start_paused = true)]
async fn a_restart_is_never_refused_for_the_number_of_children() {
    let mut system = TestSystem::start(DynamicSupervisor::new("root").max_children(2)).await;
    drop(system.start_child("root", delayed("a")).await.unwrap());
    drop(system.start_child("root", child("b")).await.unwrap());
    system.happened().await;
    system.puppet("root/a").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    let full = system.start_child("root", child("c")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { .. })),
        "{full:?}"
    );
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(system.count_children("root").await.unwrap().active, 2);
}

/// Defect 10: ending a child that waited did nothing, and it was raised from the dead later.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_ended_during_its_delay_does_not_come_back() {
    let mut system = TestSystem::start(Supervisor::new("root").child(delayed("a"))).await;
    system.puppet("root/a").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    let ended = system.terminate_child("root/a").await.unwrap();
    assert_eq!(ended.phase, Phase::Stopped);
    system.happened().await;
    tokio::time::advance(60 * SECOND).await;
    system.quiet().await;
}

/// Defect 11: an actor without a name, or one that was nobody's child, ended the supervisor.
#[tokio::test(start_paused = true)]
async fn strangers_below_a_supervisor_do_not_end_it() {
    let strangers = Arc::new(Mutex::new(Vec::<ActorCell>::new()));
    let met = Arc::clone(&strangers);
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let met = Arc::clone(&met);
        async move {
            for _ in 0..3 {
                let (stranger, _) =
                    Actor::spawn_linked(None, Bare, (), context.supervisor()).await?;
                met.lock()
                    .expect("no test panics here")
                    .push(stranger.get_cell());
            }
            let (actor, _) = Actor::spawn_linked(None, Bare, (), context.supervisor()).await?;
            Ok::<_, StartFailure>(actor.get_cell())
        }
    });
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let strangers = strangers.lock().expect("no test panics here").clone();
    strangers[0].stop(None);
    strangers[1].kill();
    strangers[2].stop(Some("shutdown".to_owned()));
    for stranger in &strangers {
        stranger.wait(None).await.unwrap();
    }
    system.quiet().await;
    assert_eq!(system.count_children("root").await.unwrap().active, 1);
}

/// Defect 12: each restart slept ten milliseconds inside the supervisor's handler: 50 at once took half a second.
#[tokio::test(start_paused = true)]
async fn restarts_take_no_time_of_their_supervisor() {
    let mut system = TestSystem::start(DynamicSupervisor::new("root").no_intensity_limit()).await;
    let ids: Vec<String> = (0..50).map(|n| format!("c{n}")).collect();
    let report = system
        .start_children("root", ids.iter().map(|id| child(id)))
        .await
        .unwrap();
    assert_eq!(report.started, 50);
    system.happened().await;
    let before = Instant::now();
    for id in &ids {
        system.puppet(&format!("root/{id}")).crash("boom");
    }
    let mut back = BTreeSet::new();
    let mut events = system.telemetry().subscribe(1_000).unwrap();
    while back.len() < 50 {
        let event = events.next().await.expect("the system is there");
        if event.name() == "regrow.child.started" {
            back.insert(event.subject.path.to_string());
        }
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
}

/// Defect 13: a restart counted when its delay was over, so a crash loop with long delays never tripped the limit.
#[tokio::test(start_paused = true)]
async fn a_failure_counts_when_it_happens_and_not_after_its_delay() {
    let tree = Supervisor::new("root")
        .max_restarts(2, 5 * SECOND)
        .child(delayed("a"))
        .child(delayed("b"))
        .child(delayed("c"));
    let system = TestSystem::start(tree).await;
    let before = Instant::now();
    for path in ["root/a", "root/b", "root/c"] {
        system.puppet(path).crash("boom");
    }
    assert_eq!(system.ended().await.kind(), ExitKind::Intensity);
    assert_eq!(before.elapsed(), Duration::ZERO, "no delay was over");
}

/// Defect 14: what was noted of failures was never thrown away: an entry for each task that had ever ended.
#[tokio::test(start_paused = true)]
async fn finished_children_leave_nothing_behind() {
    let held = Arc::new(());
    let mut system = TestSystem::start(Supervisor::new("root")).await;
    for n in 0..200 {
        let held = Arc::clone(&held);
        let task = ChildSpec::task(format!("t{n}"), move |_| {
            let held = Arc::clone(&held);
            async move { Err::<(), BoxError>(format!("{held:?}").into()) }
        });
        let task = task.restart(Restart::Temporary);
        drop(system.start_child("root", task).await.unwrap());
    }
    system
        .expect("regrow.supervisor.child.removed", "root/t199")
        .await;
    assert_eq!(system.count_children("root").await.unwrap().specs, 0);
    assert!(system.which_children("root").await.unwrap().is_empty());
    assert!(
        system.address::<()>("root/t7").is_err(),
        "its place is gone"
    );
    assert_eq!(Arc::strong_count(&held), 1, "and all that its spec held");
}

/// Defect 15: the time of the last failure was always now, and the uptime that of the failure before.
#[tokio::test(start_paused = true)]
async fn a_start_is_told_the_true_age_and_end_of_the_life_before() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let last = context.last_exit().map(regrow::ExitReason::kind);
        let told = (context.uptime(), last, context.restarts_in_window());
        tell.lock().expect("no test panics here").push(told);
        async move {
            let (actor, _) = Actor::spawn_linked(None, Bare, (), context.supervisor()).await?;
            Ok::<_, StartFailure>(actor.get_cell())
        }
    });
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    tokio::time::advance(7 * SECOND).await;
    system.puppet("root/a").fail("broken");
    system.expect("regrow.child.started", "root/a").await;
    tokio::time::advance(2 * SECOND).await;
    system.puppet("root/a").kill();
    system.expect("regrow.child.started", "root/a").await;
    let expected = [
        (Duration::ZERO, None, 0),
        (7 * SECOND, Some(ExitKind::Error), 1),
        (2 * SECOND, Some(ExitKind::Killed), 2),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

/// Defect 16: ids were names of the whole program.
#[tokio::test(start_paused = true)]
async fn two_trees_have_the_same_ids_side_by_side() {
    let crew = || Supervisor::new("crew").child(child("a"));
    let tree = Supervisor::new("root").child(crew()).child(child("a"));
    let (mut one, mut other) = (
        TestSystem::start(tree.clone()).await,
        TestSystem::start(tree).await,
    );
    one.puppet("root/crew/a").crash("boom");
    one.expect("regrow.child.started", "root/crew/a").await;
    other.quiet().await;
    assert_eq!(
        other.which_child("root/crew/a").await.unwrap().generation,
        1
    );
    assert_eq!(one.which_child("root/a").await.unwrap().generation, 1);
}

/// Defect 17: a task ran inside its own start: it never counted as running, heard of no stop, and said nothing of its end.
#[tokio::test(start_paused = true)]
async fn a_task_runs_is_asked_to_stop_and_says_how_it_ended() {
    let task = ChildSpec::task("a", |context: TaskContext| async move {
        context.stopped().await;
        Err::<(), BoxError>("left in a hurry".into())
    });
    let system = TestSystem::start(Supervisor::new("root").child(task)).await;
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!((info.kind, info.phase), (ChildKind::Task, Phase::Running));
    let before = Instant::now();
    drop(system.terminate_child("root/a").await.unwrap());
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(
        system.last_exit("root/a").await.to_string(),
        "error: left in a hurry"
    );
}

/// Defect 18: what was missing is there, in one tree: shutdown of each kind, a significant child, a start timeout, types, all operations, typed
/// addresses, events.
#[tokio::test(start_paused = true)]
async fn what_a_supervisor_can_do_is_all_there() {
    let tree = Supervisor::new("root")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(child("a").shutdown(Shutdown::BrutalKill).of_type("planner"))
        .child(
            child("b")
                .restart(Restart::Transient)
                .shutdown(Shutdown::Infinity)
                .significant(),
        )
        .child(Puppet::scripted("c", [PuppetStart::Up, PuppetStart::Hang]).start_timeout(SECOND));
    let mut system = TestSystem::start(tree).await;
    assert_eq!(
        &*system.which_child("root/a").await.unwrap().type_name,
        "planner"
    );
    drop(system.start_child("root", child("d")).await.unwrap());
    drop(system.terminate_child("root/d").await.unwrap());
    drop(system.restart_child("root/d").await.unwrap());
    drop(system.terminate_child("root/d").await.unwrap());
    drop(system.delete_child("root/d").await.unwrap());
    assert_eq!(system.count_children("root").await.unwrap().specs, 3);
    assert!(
        system.address::<u32>("root/a").is_err(),
        "it takes other messages"
    );
    system.puppet("root/c").crash("boom");
    let timeout = system.expect("regrow.child.start_failed", "root/c").await;
    assert!(
        format!("{:?}", timeout.payload).contains("StartTimeout"),
        "{timeout:?}"
    );
    system.puppet("root/b").exit();
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
}
