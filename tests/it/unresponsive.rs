//! Children in code that neither asking nor force reaches: reported, counted, handled by their policy, never called killed.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use regrow::testing::{Bare, TestSystem};
use regrow::{
    BoxError, ChildKind, ChildSpec, Control, ExitKind, GiveUp, OperateError, Payload, Phase,
    Restart, Shutdown, StartContext, StartFailure, Started, StopCause, Supervisor, TaskContext,
    ThreadContext, Unresponsive,
};
use tokio::sync::{Semaphore, mpsc};

const SHORT: Duration = Duration::from_millis(50);

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

type Ended = Result<(), BoxError>;

/// A gate that blocks the thread of whoever comes to it.
#[derive(Clone)]
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    waiting: Arc<Semaphore>,
}

/// Opens the gate when it is dropped, however the test ends: a runtime cannot end before its blocked threads.
struct Opener(Gate);

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.open.0.lock().unwrap() = true;
        self.0.open.1.notify_all();
    }
}

impl Gate {
    fn new() -> (Self, Opener) {
        let gate = Self {
            open: Arc::default(),
            waiting: Arc::new(Semaphore::new(0)),
        };
        (gate.clone(), Opener(gate))
    }

    fn pass(&self) {
        self.waiting.add_permits(1);
        let (open, changed) = &*self.open;
        let open = open.lock().unwrap();
        drop(changed.wait_while(open, |open| !*open).unwrap());
    }

    /// Waits until somebody stands at it.
    async fn taken(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }
}

/// An actor that comes to the gate as soon as it runs.
#[derive(Clone)]
struct Visitor(Option<Gate>);

impl Actor for Visitor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(myself.cast(())?)
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        if let Some(gate) = &self.0 {
            gate.pass();
        }
        Ok(())
    }
}

/// A child whose first life comes to the gate; later ones behave.
fn stuck(kind: ChildKind, gate: &Gate) -> ChildSpec {
    let gate = gate.clone();
    let id = kind.as_str();
    let spec = match kind {
        ChildKind::Actor => {
            let once = Mutex::new(Some(gate));
            ChildSpec::actor_with(id, move || (Visitor(once.lock().unwrap().take()), ()))
        }
        ChildKind::Task => ChildSpec::task(id, move |context: TaskContext| {
            let gate = gate.clone();
            async move {
                if context.generation() == 1 {
                    gate.pass();
                }
                context.stopped().await;
                Ended::Ok(())
            }
        }),
        ChildKind::Thread => ChildSpec::thread(id, move |context: ThreadContext| {
            if context.generation() == 1 {
                gate.pass();
            }
            let _: StopCause = context.stopped();
            Ended::Ok(())
        }),
        ChildKind::Supervisor
        | ChildKind::Pool
        | ChildKind::Breaker
        | ChildKind::Process
        | ChildKind::Remote => unreachable!("not of this test"),
    };
    spec.shutdown(SHORT)
}

const KINDS: [ChildKind; 3] = [ChildKind::Actor, ChildKind::Task, ChildKind::Thread];

/// A tree with one such child of each kind, all of them standing at the gate.
///
/// They come one after the other: of two on one thread of the runtime, the first to block it would keep the other from coming.
async fn all_stuck(gate: &Gate, policy: Unresponsive) -> TestSystem {
    let mut system = TestSystem::start(Supervisor::new("root").kill_grace(SHORT)).await;
    for kind in KINDS {
        let spec = stuck(kind, gate).unresponsive(policy);
        drop(system.start_child("root", spec).await.unwrap());
        gate.taken().await;
        system
            .expect("regrow.child.started", &format!("root/{kind}"))
            .await;
    }
    system
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn actors_that_block_their_threads_do_not_keep_each_other_from_their_first_message() {
    for round in 0..50 {
        let (gate, opener) = Gate::new();
        let ids = ["a", "b", "c", "d"];
        let tree = ids.iter().fold(Supervisor::new("root"), |tree, id| {
            tree.child(ChildSpec::actor(*id, Visitor(Some(gate.clone())), ()))
        });
        let system = TestSystem::start(tree).await;
        for came in 0..ids.len() {
            let next = tokio::time::timeout(PATIENCE, gate.taken()).await;
            assert!(next.is_ok(), "only {came} came, in round {round}");
        }
        drop(opener);
        drop(system.shut_down().await);
    }
}

fn gauge(system: &TestSystem, kind: ChildKind, count: u32) -> bool {
    let line = format!("regrow_children_unresponsive{{kind=\"{kind}\",type=\"{kind}\"}} {count}\n");
    system.exporter().render().contains(&line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_child_that_cannot_be_ended_is_told_and_counted_and_its_next_life_runs_beside_it() {
    let (gate, opener) = Gate::new();
    let mut system = all_stuck(&gate, Unresponsive::Beside).await;
    for kind in KINDS {
        let path = format!("root/{kind}");
        let info = system.bounce_child(&path).await.unwrap();
        assert_eq!(
            info.last_exit.unwrap().reason.kind(),
            ExitKind::Unresponsive
        );
        assert_eq!((info.generation, info.phase), (2, Phase::Running));
        assert_eq!(info.unresponsive, 1);
        let ended = system.expect("regrow.child.terminated", &path).await;
        let Payload::ChildTerminated {
            reason, outcome, ..
        } = &ended.payload
        else {
            panic!("{ended:?}")
        };
        assert_eq!(
            (reason.kind(), outcome.as_str(), ended.subject.generation),
            (ExitKind::Unresponsive, "unresponsive", 1)
        );
        system.expect("regrow.child.started", &path).await;
        assert!(gauge(&system, kind, 1), "{}", system.exporter().render());
        let counted = format!(
            "regrow_child_terminations_total{{kind=\"{kind}\",type=\"{kind}\",reason=\"unresponsive\"}} 1\n"
        );
        assert!(system.exporter().render().contains(&counted), "{counted}");
    }
    drop(opener);
    let told = system.happened().await;
    let of = |line: &String| {
        line.strip_prefix("regrow.child.ended_late ")
            .map(str::to_owned)
    };
    let mut late: Vec<String> = told.iter().filter_map(of).collect();
    assert_eq!(told.len(), late.len(), "nothing else: {told:?}");
    late.sort();
    assert_eq!(
        late,
        ["root/actor", "root/task", "root/thread"],
        "once each"
    );
    for kind in KINDS {
        let info = system.which_child(&format!("root/{kind}")).await.unwrap();
        let undisturbed = (info.generation, info.phase, info.unresponsive);
        assert_eq!(undisturbed, (2, Phase::Running, 0));
        assert!(gauge(&system, kind, 0), "{}", system.exporter().render());
    }
    let report = system.shut_down().await;
    assert!(report.unresponsive.is_empty() && report.killed.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_child_that_may_have_no_life_beside_it_is_parked_until_an_operator_starts_it() {
    let (gate, opener) = Gate::new();
    let mut system = all_stuck(&gate, Unresponsive::Park).await;
    for kind in KINDS {
        let path = format!("root/{kind}");
        let refused = system.bounce_child(&path).await.unwrap_err();
        let OperateError::DidNotStart { reason, .. } = &refused else {
            panic!("{refused}")
        };
        assert_eq!(reason.kind(), ExitKind::Unresponsive);
        let info = system.which_child(&path).await.unwrap();
        assert_eq!((info.generation, info.phase), (1, Phase::Failed));
        assert_eq!(
            info.parked_because.as_deref(),
            Some("its last life could not be ended and still runs")
        );
        let info = system.restart_child(&path).await.unwrap();
        assert_eq!((info.generation, info.unresponsive), (2, 1));
    }
    drop(opener);
    let late = system.expect("regrow.child.ended_late", "root/task").await;
    assert_eq!(late.subject.generation, 1, "it tells of the earlier life");
    drop(system.shut_down().await);
}

#[cfg(unix)]
#[test]
fn a_child_that_the_program_must_not_go_on_with_aborts_it() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    const INSIDE: &str = "REGROW_TEST_ABORTS";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(6)
            .build()
            .unwrap();
        return runtime.block_on(async {
            let (gate, _opener) = Gate::new();
            let system = all_stuck(&gate, Unresponsive::Abort).await;
            drop(system.bounce_child("root/task").await);
        });
    }
    let test = "unresponsive::a_child_that_the_program_must_not_go_on_with_aborts_it";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(6), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_life_that_outlives_its_supervisor_is_counted_until_it_ends() {
    let (gate, opener) = Gate::new();
    let crew = Supervisor::new("crew")
        .kill_grace(SHORT)
        .child(stuck(ChildKind::Task, &gate))
        .child(stuck(ChildKind::Thread, &gate));
    let mut system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    gate.taken().await;
    gate.taken().await;
    drop(system.terminate_child("root/crew").await.unwrap());
    assert!(gauge(&system, ChildKind::Task, 1) && gauge(&system, ChildKind::Thread, 1));
    drop(opener);
    let mut late = system.happened().await;
    late.retain(|line| line.starts_with("regrow.child.ended_late "));
    assert_eq!(late.len(), 2, "{late:?}");
    assert!(gauge(&system, ChildKind::Task, 0) && gauge(&system, ChildKind::Thread, 0));
    drop(system.shut_down().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_that_cannot_be_ended_has_timed_out_and_is_counted_until_it_ends() {
    let (gate, opener) = Gate::new();
    let spec = ChildSpec::start_with("a", move |context: StartContext| {
        let gate = gate.clone();
        async move {
            tokio::task::yield_now().await;
            gate.pass();
            bare(&context).await
        }
    });
    let spec = spec
        .restart(Restart::Temporary)
        .give_up(GiveUp::Park)
        .start_timeout(SHORT)
        .shutdown(SHORT);
    let tree = Supervisor::new("root").kill_grace(SHORT).child(spec);
    let mut system = TestSystem::launch(tree).await;
    let failed = system.expect("regrow.child.start_failed", "root/a").await;
    let Payload::ChildStartFailed { reason, .. } = &failed.payload else {
        panic!("{failed:?}")
    };
    assert_eq!(reason.kind(), ExitKind::StartTimeout);
    let info = system.which_child("root/a").await.unwrap();
    assert_eq!((info.phase, info.unresponsive), (Phase::Failed, 1));
    drop(opener);
    let late = system.expect("regrow.child.ended_late", "root/a").await;
    assert_eq!(late.subject.generation, 1);
    assert_eq!(system.which_child("root/a").await.unwrap().unresponsive, 0);
    let report = system.shut_down().await;
    assert!(report.unresponsive.is_empty(), "{report:?}");
}

async fn bare(context: &StartContext) -> Result<ActorCell, StartFailure> {
    let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
    Ok(actor.get_cell())
}

/// Neither asking nor force reaches it.
struct Deaf;

impl Control for Deaf {
    fn stop(&self, _: StopCause) {}
    fn kill(&self) {}
}

/// An actor that stands for something out of reach; the test gets it, to end it.
fn out_of_reach(id: &str) -> (ChildSpec, mpsc::Receiver<(StartContext, ActorCell)>) {
    let (sender, lives) = mpsc::channel(10);
    let spec = ChildSpec::start_with(id, move |context: StartContext| {
        let sender = sender.clone();
        async move {
            let cell = bare(&context).await?;
            sender.try_send((context, cell.clone())).unwrap();
            Ok::<_, StartFailure>(Started::new(cell).control(Arc::new(Deaf)).proxy())
        }
    });
    (spec.shutdown(Shutdown::BrutalKill), lives)
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_left_alone_until_what_it_stands_for_has_ended() {
    let (spec, mut lives) = out_of_reach("a");
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let (_, proxy) = lives.recv().await.unwrap();
    let before = tokio::time::Instant::now();
    let info = system.terminate_child("root/a").await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(5), "its grace");
    assert_eq!(info.unresponsive, 1);
    system.happened().await;
    assert!(gauge(&system, ChildKind::Actor, 1), "it still runs");
    proxy.stop(None);
    let late = system.expect("regrow.child.ended_late", "root/a").await;
    assert!(
        matches!(late.payload, Payload::ChildEndedLate { overdue } if overdue >= Duration::from_secs(1))
    );
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Stopped
    );
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_stopped_from_outside_counts_what_it_could_not_end() {
    let (spec, mut lives) = out_of_reach("a");
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let (context, proxy) = lives.recv().await.unwrap();
    context.supervisor().stop(None);
    assert_eq!(system.ended().await.kind(), ExitKind::Shutdown);
    system.happened().await;
    assert!(gauge(&system, ChildKind::Actor, 1), "it still runs");
    proxy.stop(None);
    system.expect("regrow.child.ended_late", "root/a").await;
    assert!(gauge(&system, ChildKind::Actor, 0));
}
