//! What a child can be and do: calls, states, start functions, systems side by side, metrics.

use std::sync::Arc;
use std::time::Duration;

use regrow::testing::{Puppet, PuppetMessage, TestSystem};
use regrow::{CallError, ChildSpec, ExitKind, Order, Phase, Supervisor, System};

const SECOND: Duration = Duration::from_secs(1);

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("regrow.{line}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_says_why_it_has_no_answer() {
    struct Ask(ractor::RpcReplyPort<()>);
    #[derive(Clone)]
    struct Silent;
    impl ractor::Actor for Silent {
        type Msg = Ask;
        type State = Vec<Ask>;
        type Arguments = ();
        async fn pre_start(
            &self,
            _: ractor::ActorRef<Ask>,
            (): (),
        ) -> Result<Vec<Ask>, ractor::ActorProcessingErr> {
            Ok(Vec::new())
        }
        async fn handle(
            &self,
            _: ractor::ActorRef<Ask>,
            ask: Ask,
            kept: &mut Vec<Ask>,
        ) -> Result<(), ractor::ActorProcessingErr> {
            if kept.is_empty() {
                kept.push(ask);
                return Ok(());
            }
            drop(ask.0);
            Ok(())
        }
    }
    let system =
        System::start(Supervisor::new("root").child(ChildSpec::actor("silent", Silent, ())))
            .await
            .unwrap();
    let silent = system.address::<Ask>("root/silent").unwrap();
    assert!(
        matches!(silent.call(Ask).await, Err(CallError::TimedOut { after, .. }) if after == SECOND * 5)
    );
    assert!(matches!(
        silent.call(Ask).await,
        Err(CallError::Dropped { .. })
    ));
    assert!(matches!(
        silent.call_without_limit(Ask).await,
        Err(CallError::Dropped { .. })
    ));
    let forever = SECOND * 1_000_000;
    let bounced = async {
        tokio::time::advance(forever).await;
        system.bounce_child("root/silent").await.unwrap();
    };
    // The first of a life is kept, and dropped with the life.
    system.bounce_child("root/silent").await.unwrap();
    let began = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(silent.call_without_limit(Ask), bounced);
    assert!(matches!(answer, Err(CallError::Dropped { .. })));
    assert!(began.elapsed() >= forever);
    drop(system.shut_down().await);
    assert!(matches!(
        silent.call(Ask).await,
        Err(CallError::NotRunning { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_state_whose_drop_panics_harms_only_its_own_child() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "the bomb goes off");
        }
    }
    #[derive(Clone)]
    struct Carrier;
    impl ractor::Actor for Carrier {
        type Msg = PuppetMessage;
        type State = Bomb;
        type Arguments = ();
        async fn pre_start(
            &self,
            _: ractor::ActorRef<PuppetMessage>,
            (): (),
        ) -> Result<Bomb, ractor::ActorProcessingErr> {
            Ok(Bomb)
        }
        async fn handle(
            &self,
            _: ractor::ActorRef<PuppetMessage>,
            _: PuppetMessage,
            _: &mut Bomb,
        ) -> Result<(), ractor::ActorProcessingErr> {
            std::future::pending().await
        }
    }
    let bomb = ChildSpec::actor("bomb", Carrier, ()).shutdown(SECOND);
    let system =
        TestSystem::start(Supervisor::new("root").child(bomb).child(Puppet::spec("b"))).await;
    drop(system.terminate_child("root/bomb").await.unwrap());
    assert_eq!(
        system.last_exit("root/bomb").await.kind(),
        ExitKind::Panic,
        "its own cleanup panicked"
    );
    drop(system.restart_child("root/bomb").await.unwrap());
    system.puppet("root/bomb").hang();
    drop(system.terminate_child("root/bomb").await.unwrap());
    assert_eq!(system.last_exit("root/bomb").await.kind(), ExitKind::Killed);
    assert_eq!(
        system.which_child("root/b").await.unwrap().phase,
        Phase::Running
    );
}

#[tokio::test(start_paused = true)]
async fn start_functions_are_told_what_came_before() {
    use std::sync::Mutex;
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let spec = ChildSpec::start_with("a", move |context| {
        let last = context.last_exit().map(ToString::to_string);
        notes.lock().unwrap().push((
            context.generation(),
            context.attempt(),
            context.uptime().as_secs(),
            last,
        ));
        async move {
            let puppet = regrow::testing::Bare;
            let (actor, _) =
                ractor::Actor::spawn_linked(None, puppet, (), context.supervisor()).await?;
            Ok::<_, regrow::StartFailure>(actor)
        }
    });
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    tokio::time::advance(SECOND * 7).await;
    system.puppet("root/a").fail("broken");
    system.expect("regrow.child.started", "root/a").await;
    let expected = [(1, 0, 0, None), (2, 1, 7, Some("error: broken".to_owned()))];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn two_systems_share_nothing() {
    let tree = || Supervisor::new("root").child(Puppet::spec("a"));
    let (one, mut other) = (
        TestSystem::start(tree()).await,
        TestSystem::start(tree()).await,
    );
    one.puppet("root/a").crash("boom");
    other.quiet().await;
    drop(one.shut_down().await);
    assert!(
        other
            .address::<PuppetMessage>("root/a")
            .unwrap()
            .is_running()
    );
}

#[tokio::test(start_paused = true)]
async fn a_system_that_is_dropped_leaves_nobody() {
    let system = TestSystem::start(
        Supervisor::new("root").child(Supervisor::new("crew").child(Puppet::spec("a"))),
    )
    .await;
    let address = system.address::<PuppetMessage>("root/crew/a").unwrap();
    drop(system);
    tokio::time::timeout(SECOND, async {
        while address.send(PuppetMessage::Hang).is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn dependencies_start_together_and_stop_in_reverse() {
    let slow = |id| Puppet::stopping_slowly(id, SECOND);
    let tree = Supervisor::new("root")
        .order(Order::Dependencies)
        .child(slow("web").depends_on(["db", "cache"]))
        .child(slow("db"))
        .child(slow("cache"));
    let mut system = TestSystem::launch(tree).await;
    system.booted().await.unwrap();
    let started: Vec<String> = system
        .happened()
        .await
        .into_iter()
        .filter(|line| line.starts_with("regrow.child.started"))
        .collect();
    assert_eq!(
        started,
        lines(&[
            "child.started root/db",
            "child.started root/cache",
            "child.started root/web"
        ])
    );
    let before = tokio::time::Instant::now();
    drop(system.shut_down().await);
    assert_eq!(before.elapsed(), SECOND * 2, "db and cache stop together");
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_of_starts_restarts_and_phases() {
    let tree = Supervisor::new("root")
        .child(Puppet::spec("a").of_type("worker"))
        .child(Puppet::spec("b").of_type("worker"));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/a").crash("boom");
    system.expect("regrow.child.started", "root/a").await;
    let text = system.exporter().render();
    for line in [
        "regrow_child_starts_total{kind=\"actor\",type=\"worker\"} 3",
        "regrow_child_terminations_total{kind=\"actor\",type=\"worker\",reason=\"panic\"} 1",
        "regrow_supervisor_restarts_total{supervisor=\"root\",reason=\"panic\",scope=\"one\"} 1",
        "regrow_children{kind=\"actor\",type=\"worker\",status=\"running\"} 2",
        "regrow_children{kind=\"actor\",type=\"worker\",status=\"backoff\"} 0",
        "regrow_supervisor_children{supervisor=\"root\",state=\"running\"} 2",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "{line} is missing in\n{text}"
        );
    }
    let ratio = text.lines().find_map(|line| {
        line.strip_prefix("regrow_supervisor_intensity_ratio{supervisor=\"root\"} ")
    });
    assert!(ratio.unwrap().starts_with("0.333"), "{ratio:?}");
    tokio::time::advance(SECOND * 6).await;
    assert!(
        system
            .exporter()
            .render()
            .contains("regrow_supervisor_intensity_ratio{supervisor=\"root\"} 0\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_report_carries_what_was_told_of_its_child_before() {
    let tree = Supervisor::new("root")
        .child(Puppet::spec("a"))
        .child(Puppet::spec("b"));
    let mut system = TestSystem::start(tree).await;
    let reports = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&reports);
    let write = move |report: &regrow::telemetry::CrashReport| {
        let names: Vec<&str> = report.events.iter().map(|event| event.name()).collect();
        seen.lock()
            .unwrap()
            .push((report.to_string(), names.join(" ")));
    };
    system
        .telemetry()
        .attach_crash_reports("crashes", write)
        .unwrap();
    system.puppet("root/b").exit();
    system.expect("regrow.child.started", "root/b").await;
    system.puppet("root/a").crash("boom");
    system.expect("regrow.child.started", "root/a").await;
    let reports = reports.lock().unwrap();
    let [(text, names)] = reports.as_slice() else {
        panic!("an end in order is no crash: {reports:?}")
    };
    assert_eq!(
        names,
        "regrow.supervisor.child.added regrow.child.state_changed regrow.child.started regrow.child.terminated"
    );
    assert!(
        text.starts_with("child \"root/a\", generation 1:") && text.contains("boom"),
        "{text}"
    );
    let path = system
        .address::<PuppetMessage>("root/a")
        .unwrap()
        .path()
        .clone();
    let recent = system.telemetry().recent(&path);
    assert_eq!(
        recent.last().unwrap().name(),
        "regrow.supervisor.restart.stop"
    );
}

/// An actor whose first life starts, and whose later ones do not: they fail, or hang.
fn once(id: &str, hangs: bool) -> ChildSpec {
    let lives = std::sync::atomic::AtomicU32::new(0);
    ChildSpec::start_with(id, move |context| {
        let first = lives.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        async move {
            if !first && hangs {
                std::future::pending::<()>().await;
            }
            if !first {
                return Err("not again".into());
            }
            let bare = regrow::testing::Bare;
            let (actor, _) =
                ractor::Actor::spawn_linked(None, bare, (), context.supervisor()).await?;
            Ok::<_, regrow::StartFailure>(actor)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_or_is_given_up_on_is_told_as_such() {
    let tree = Supervisor::new("root")
        .child(once("fails", false))
        .child(once("hangs", true));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/fails").fail("broken");
    let failed = system
        .expect("regrow.supervisor.restart.exception", "root/fails")
        .await;
    assert!(failed.payload.edge().unwrap().duration().is_some());
    drop(system.terminate_child("root/fails").await.unwrap());
    system.puppet("root/hangs").fail("broken");
    system
        .expect("regrow.supervisor.restart.start", "root/hangs")
        .await;
    drop(system.terminate_child("root/hangs").await.unwrap());
    system
        .expect("regrow.supervisor.restart.cancel", "root/hangs")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_when_its_system_is_gone() {
    let system = System::start(Supervisor::new("root").child(Puppet::spec("a")))
        .await
        .unwrap();
    let mut events = system.telemetry().subscribe(100).unwrap();
    drop(system.shut_down().await);
    drop(system);
    let all = async { while events.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("the stream ends");
}

#[tokio::test(start_paused = true)]
async fn generations_go_on_when_the_supervisor_is_started_again() {
    let crew = Supervisor::new("crew").child(Puppet::spec("a"));
    let system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    drop(system.bounce_child("root/crew").await.unwrap());
    assert_eq!(
        system.which_child("root/crew/a").await.unwrap().generation,
        2,
        "no two lives of a place have one number"
    );
    assert_eq!(
        system.bounce_child("root/crew/a").await.unwrap().generation,
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_without_end_is_a_window() {
    let tree = Supervisor::new("root")
        .max_restarts(1, Duration::MAX)
        .child(Puppet::spec("a"));
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/a").crash("one");
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(
        system.which_child("root/a").await.unwrap().phase,
        Phase::Running
    );
}

#[tokio::test(start_paused = true)]
async fn a_brutal_kill_is_not_told_as_an_escalation() {
    let spec = Puppet::spec("a").shutdown(regrow::Shutdown::BrutalKill);
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let report = system.shut_down().await;
    assert!(report.killed.is_empty(), "{report:?}");
    let ended = system.expect("regrow.child.terminated", "root/a").await;
    let regrow::Payload::ChildTerminated { outcome, .. } = &ended.payload else {
        panic!("{ended:?}")
    };
    assert_eq!(outcome.as_str(), "killed");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_added_while_a_boot_has_a_pause_takes_no_place_of_another() {
    let short = Puppet::spec("t").restart(regrow::Restart::Temporary);
    let tree = (0..400).fold(Supervisor::new("root").child(short), |tree, n| {
        tree.child(Puppet::spec(&format!("c{n}")))
    });
    let system = TestSystem::launch(tree).await;
    while system.which_child("root/t").await.unwrap().phase != Phase::Running {}
    system.puppet("root/t").exit();
    let added = system.start_child("root", Puppet::spec("x")).await.unwrap();
    assert_eq!(added.phase, Phase::Running);
    system.booted().await.unwrap();
    let before = tokio::time::Instant::now();
    let report = system.shut_down().await;
    assert_eq!(before.elapsed(), Duration::ZERO, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_serves_one_system() {
    let telemetry = regrow::Telemetry::default();
    let launch = || System::launch_with(Supervisor::new("root"), telemetry.clone());
    let system = launch().await.unwrap();
    let second = launch().await.unwrap_err();
    assert_eq!(
        second.to_string(),
        "failed to launch: a handler called \"log\" is attached already; detach it first or choose another name"
    );
    drop(system.shut_down().await);
}
