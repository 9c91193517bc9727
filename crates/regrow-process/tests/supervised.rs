//! Processes as children of a real supervisor.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use regrow::trace::{TraceContext, with_context};
use regrow::{
    Backoff, ChildInfo, ExitReason, GiveUp, Phase, Restart, RestartIntensity, Supervisor, System,
};
use regrow_process::{Host, Line, Process, ProcessHandle, Stage, Stdin, StdinError, StopPlan};

#[path = "supervised/held.rs"]
mod held;
#[path = "supervised/leased.rs"]
mod leased;
#[path = "supervised/listening.rs"]
mod listening;
#[path = "supervised/probed.rs"]
mod probed;

const SOON: Duration = Duration::from_secs(10);

/// Waits for something real, by looking again and again.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(Instant::now() < deadline, "in time: {what}");
        look.tick().await;
    }
}

fn agent(script: &str) -> Process {
    let plan = StopPlan::default()
        .stage(Stage::CloseStdin, Duration::from_millis(300))
        .stage(Stage::Terminate, Duration::from_secs(1));
    Process::new("agent", "sh")
        .args(["-c", script])
        .start_window(Duration::from_millis(50))
        .stop_plan(plan)
        .restart(Restart::Transient)
        .backoff(Backoff::none())
        .limit(RestartIntensity::new(3, Duration::from_secs(60)))
        .give_up(GiveUp::Park)
}

async fn up(process: Process) -> (System, ProcessHandle) {
    let handle = process.handle();
    let root = Supervisor::new("root").no_intensity_limit().child(process);
    (System::launch(root).await.unwrap(), handle)
}

async fn info(system: &System) -> ChildInfo {
    system.which_child("root/agent").await.unwrap()
}

async fn reaches(system: &System, phase: Phase) -> ChildInfo {
    until(phase.as_str(), || async {
        info(system).await.phase == phase
    })
    .await;
    info(system).await
}

fn texts(handle: &ProcessHandle) -> Vec<String> {
    handle.output().tail(100).iter().map(Line::text).collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn reason_of(info: &ChildInfo) -> &ExitReason {
    &info.last_exit.as_ref().unwrap().reason
}

#[tokio::test]
async fn an_agent_that_is_killed_grows_back_with_the_next_generation() {
    let (system, handle) = up(agent("echo $REGROW_GENERATION; exec sleep 1000")).await;
    reaches(&system, Phase::Running).await;
    let first = handle.status();
    assert_eq!(first.generation, 1);
    kill(first.pid.unwrap());
    until("the next life", || async {
        handle.status().generation == 2
    })
    .await;
    until("it is up", || async {
        info(&system).await.phase == Phase::Running
    })
    .await;
    let child = info(&system).await;
    assert_eq!((child.generation, child.restarts), (2, 1));
    assert!(
        matches!(reason_of(&child), ExitReason::Signal(9)),
        "{child:?}"
    );
    until("it writes", || async { texts(&handle) == ["1", "2"] }).await;
    assert_ne!(handle.status().pid, first.pid);
    drop(system.shut_down().await);
    assert_eq!(handle.status().pid, None);
}

#[tokio::test]
async fn a_stop_is_a_shutdown_and_the_agent_stays_down_until_it_is_started() {
    let (system, handle) = up(agent("trap 'exit 0' TERM; echo up; sleep 1000 & wait")).await;
    reaches(&system, Phase::Running).await;
    let child = system.terminate_child("root/agent").await.unwrap();
    assert_eq!((child.phase, handle.status().pid), (Phase::Stopped, None));
    assert!(
        matches!(reason_of(&child), ExitReason::Shutdown),
        "{child:?}"
    );
    system.restart_child("root/agent").await.unwrap();
    let child = reaches(&system, Phase::Running).await;
    assert_eq!((child.generation, handle.status().generation), (2, 2));
    drop(system.shut_down().await);
}

#[tokio::test]
async fn one_that_ignores_the_stop_signal_is_told_as_killed() {
    let (system, handle) = up(agent("trap '' TERM; echo up; while :; do sleep 1000; done")).await;
    until("it traps", || async { !texts(&handle).is_empty() }).await;
    reaches(&system, Phase::Running).await;
    let child = system.terminate_child("root/agent").await.unwrap();
    assert!(matches!(reason_of(&child), ExitReason::Killed), "{child:?}");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_command_that_does_not_exist_parks_at_once_and_says_what_to_do() {
    let process = Process::new("agent", "no-such-command").give_up(GiveUp::Park);
    let (system, _) = up(process).await;
    let child = reaches(&system, Phase::Failed).await;
    assert_eq!(child.restarts, 0);
    let because = child.parked_because.unwrap();
    assert!(
        because.contains(r#"command "no-such-command" was not found in PATH"#),
        "{because}"
    );
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_working_directory_that_does_not_exist_parks_at_once_and_is_named() {
    let process = agent("exec sleep 1000").cwd("/no/such/directory");
    let (system, _) = up(process).await;
    let because = reaches(&system, Phase::Failed)
        .await
        .parked_because
        .unwrap();
    assert!(
        because.contains("working directory /no/such/directory cannot be used"),
        "{because}"
    );
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_exit_within_the_start_window_is_a_failed_start_even_with_code_0() {
    let process = agent("exit 0").start_window(Duration::from_secs(5));
    let (system, handle) = up(process).await;
    let child = reaches(&system, Phase::Failed).await;
    assert_eq!(
        handle.status().generation,
        4,
        "one start and three restarts"
    );
    assert_eq!(child.restarts, 3);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_agent_that_is_done_stays_completed() {
    let (system, _) = up(agent("read line; exit 0").stdin(Stdin::Pipe)).await;
    reaches(&system, Phase::Running).await;
    drop(system.shut_down().await);
    let (system, _) = up(agent("sleep 0.3; exit 0")).await;
    let child = reaches(&system, Phase::Completed).await;
    assert!(
        matches!(reason_of(&child), ExitReason::Exit(0)),
        "{child:?}"
    );
    drop(system.shut_down().await);
}

#[tokio::test]
async fn it_can_be_stopped_within_its_start_window() {
    let process = agent("echo up; exec sleep 1000").start_window(Duration::from_secs(1000));
    let (system, handle) = up(process).await;
    until("it runs", || async { !texts(&handle).is_empty() }).await;
    assert_eq!(info(&system).await.phase, Phase::Starting);
    let child = system.terminate_child("root/agent").await.unwrap();
    assert_eq!((child.phase, handle.status().pid), (Phase::Stopped, None));
    drop(system.shut_down().await);
}

#[tokio::test]
async fn the_end_of_the_system_ends_every_process_in_reverse_order() {
    let host = Host::new();
    let script = "trap 'echo bye; exit 0' TERM; echo up; sleep 1000 & wait";
    let first = agent(script).host(host.clone());
    let handle = first.handle();
    let second = Process::new("second", "sh")
        .args(["-c", script])
        .host(host.clone())
        .start_window(Duration::ZERO)
        .stdin(Stdin::Null);
    let last = second.handle();
    let root = Supervisor::new("root").child(first).child(second);
    let system = System::start(root).await.unwrap();
    until("both run", || async {
        !texts(&handle).is_empty() && !texts(&last).is_empty()
    })
    .await;
    drop(system.shut_down().await);
    assert_eq!(
        (texts(&handle), texts(&last)),
        (
            vec!["up".to_owned(), "bye".to_owned()],
            vec!["up".to_owned(), "bye".to_owned()]
        )
    );
    assert!(last.output().tail(1)[0].at <= handle.output().tail(1)[0].at);
    assert_eq!(host.sweep_all().await, Vec::<u32>::new());
}

#[tokio::test]
async fn a_hurried_end_waits_for_nobody() {
    let process = agent("trap '' TERM; echo up; while :; do sleep 1000; done")
        .stop_plan(StopPlan::default().stage(Stage::CloseStdin, Duration::from_secs(1000)));
    let (system, handle) = up(process).await;
    until("it traps", || async { !texts(&handle).is_empty() }).await;
    reaches(&system, Phase::Running).await;
    system.begin_shut_down();
    until("it is stopping", || async {
        handle.status().stopping_stage == Some(Stage::CloseStdin)
    })
    .await;
    system.hurry();
    let ended = tokio::time::timeout(SOON, system.shut_down()).await;
    assert!(ended.is_ok());
    assert_eq!(handle.status().pid, None);
}

#[tokio::test]
async fn a_process_is_on_record_while_it_runs() {
    let state = tempfile::tempdir().unwrap();
    let host = Host::new().state_dir(state.path());
    let (system, handle) = up(agent("exec sleep 1000").host(host.clone())).await;
    reaches(&system, Phase::Running).await;
    let file = state.path().join("pids/agent.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(record["pid"], handle.status().pid.unwrap());
    assert_eq!(record["instance"], host.instance());
    drop(system.shut_down().await);
    assert!(!file.exists());
}

#[tokio::test]
async fn siblings_know_each_others_ports() {
    let host = Host::new();
    let first = agent("echo $PORT $REGROW_PORT_WEB_2")
        .port(8001)
        .host(host.clone());
    let handle = first.handle();
    let web = Process::new("web-2", "sleep")
        .arg("1000")
        .port(8002)
        .host(host);
    let system = System::launch(Supervisor::new("root").child(first).child(web))
        .await
        .unwrap();
    until("it writes", || async { !texts(&handle).is_empty() }).await;
    assert_eq!(texts(&handle)[0], "8001 8002");
    drop(system.shut_down().await);
}

/// The next event of this name.
async fn told(events: &mut regrow::telemetry::EventStream, name: &str) {
    let seen = async {
        while events
            .next()
            .await
            .is_some_and(|event| event.name() != name)
        {}
    };
    assert!(
        tokio::time::timeout(SOON, seen).await.is_ok(),
        "{name} is told"
    );
}

#[tokio::test]
async fn what_cannot_be_ended_in_the_time_that_there_is_is_told_as_leaked() {
    let plan = StopPlan::default()
        .stage(Stage::CloseStdin, Duration::ZERO)
        .stage(Stage::Terminate, Duration::ZERO)
        .stage(Stage::Kill, Duration::ZERO)
        .stage(Stage::Sweep, Duration::ZERO);
    let (system, handle) = up(agent("trap '' TERM; sleep 1000").stop_plan(plan)).await;
    let mut events = system.telemetry().subscribe(1_000).unwrap();
    reaches(&system, Phase::Running).await;
    let pid = handle.status().pid.unwrap();
    drop(system.terminate_child("root/agent").await.unwrap());
    told(&mut events, "regrow.process.leaked").await;
    told(&mut events, "regrow.process.shutdown.exception").await;
    assert_eq!(handle.status().leaked, [pid]);
    // It was killed all the same; only nobody waited for it.
    until("it is gone", || async {
        !std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
    })
    .await;
}

#[tokio::test]
async fn a_start_that_is_given_up_on_while_it_waits_for_its_place_is_told_as_cancelled() {
    let host = Host::new();
    let same = || agent("sleep 1000").host(host.clone());
    let tree = Supervisor::new("root")
        .child(Supervisor::new("one").child(same()))
        .child(Supervisor::new("two").child(same()));
    let system = System::launch(tree).await.unwrap();
    let mut events = system.telemetry().subscribe(1_000).unwrap();
    until("the second waits for the first", || async {
        let info = system.which_child("root/two/agent").await;
        info.is_ok_and(|info| info.phase == Phase::Starting)
    })
    .await;
    drop(system.terminate_child("root/two/agent").await.unwrap());
    told(&mut events, "regrow.process.spawn.cancel").await;
    drop(system.shut_down().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_start_is_given_up_in_its_first_moment_is_seen_to_its_end() {
    let state = tempfile::tempdir().unwrap();
    let host = Host::new().state_dir(state.path());
    let (system, handle) = up(agent("exec sleep 1000").host(host)).await;
    reaches(&system, Phase::Running).await;
    let mut events = system.telemetry().subscribe(10_000).unwrap();
    drop(system.terminate_child("root/agent").await.unwrap());
    let system = std::sync::Arc::new(system);
    for round in 0..60 {
        let starting = std::sync::Arc::clone(&system);
        let start = tokio::spawn(async move { starting.restart_child("root/agent").await });
        // So many turns later the start is here or there.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        drop(system.terminate_child("root/agent").await);
        drop(start.await);
        drop(system.terminate_child("root/agent").await);
        until("its process is gone", || async {
            handle.status().pid.is_none()
        })
        .await;
    }
    drop(system.shut_down().await);
    let (mut spawned, mut exited) = (0, 0);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        spawned += usize::from(event.name() == "regrow.process.spawn.stop");
        exited += usize::from(event.name() == "regrow.process.exited");
    }
    assert_eq!(
        spawned + 1,
        exited,
        "the first was spawned before anybody listened"
    );
}

#[test]
fn a_stop_that_the_end_of_the_runtime_cuts_short_is_told_as_cancelled() {
    // On one thread nothing goes on while it ends: on several the stop may still come to its own end.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let names = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&names);
    let system = runtime.block_on(async {
        let script = "trap '' TERM; echo up; while :; do sleep 1000; done";
        // It would not be over by itself, however slow the machine is.
        let plan = StopPlan::default().stage(Stage::Terminate, Duration::from_secs(600));
        let (system, handle) = up(agent(script).stop_plan(plan)).await;
        until("it traps", || async { !texts(&handle).is_empty() }).await;
        reaches(&system, Phase::Running).await;
        let note = move |event: &regrow::Event| seen.lock().unwrap().push(event.name());
        system.telemetry().attach("names", note).unwrap();
        let mut events = system.telemetry().subscribe(1_000).unwrap();
        system.begin_shut_down();
        told(&mut events, "regrow.process.signalled").await;
        system
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(system);
    let names = names.lock().unwrap();
    assert!(
        names.contains(&"regrow.process.shutdown.cancel"),
        "{names:?}"
    );
}

#[tokio::test]
async fn an_agent_is_told_a_trace_that_links_to_whoever_has_asked_for_it() {
    let (system, handle) = up(agent("echo $TRACEPARENT; exec sleep 1000")).await;
    reaches(&system, Phase::Running).await;
    let mut told = system.telemetry().subscribe(256).unwrap();
    let asker = TraceContext::begin();
    with_context(asker.clone(), system.bounce_child("root/agent"))
        .await
        .unwrap();
    kill(handle.status().pid.unwrap());
    until("three lives have spoken", || async {
        texts(&handle).len() == 3
    })
    .await;
    let texts = texts(&handle);
    let mut links = Vec::new();
    while let Some(event) = told.try_next() {
        if event.name() == "regrow.process.spawn.stop" {
            let context = event.context().unwrap();
            assert_ne!(context.trace_id(), asker.trace_id());
            assert_eq!(texts[links.len() + 1], context.traceparent());
            let link = event
                .lineage
                .as_ref()
                .and_then(|lineage| lineage.link.clone());
            links.push(link);
        }
    }
    // What is started again by itself, nobody has asked for.
    assert_eq!(links, [Some(asker), None]);
    assert!(system.shut_down().await.unresponsive.is_empty());
}

#[tokio::test]
async fn an_agent_that_runs_once_is_completed_by_exit_code_0_within_its_start_window_too() {
    let job = |script: &str| agent(script).once().start_window(Duration::from_secs(5));
    let (system, _handle) = up(job("exit 0")).await;
    let info = reaches(&system, Phase::Completed).await;
    assert!(matches!(reason_of(&info), ExitReason::Exit(0)), "{info:?}");
    assert_eq!((info.generation, info.restarts), (1, 0));
    let again = system.restart_child("root/agent").await.unwrap();
    assert_eq!((again.phase, again.generation), (Phase::Completed, 2));
    drop(system.shut_down().await);

    let (system, _handle) = up(job("test $REGROW_GENERATION = 3")).await;
    let info = reaches(&system, Phase::Completed).await;
    assert_eq!((info.generation, info.restarts), (3, 2));
    drop(system.shut_down().await);

    let (system, _handle) = up(job("exit 3").restart(Restart::Temporary)).await;
    let info = reaches(&system, Phase::Failed).await;
    assert_eq!(info.generation, 1);
    let why = info.parked_because.unwrap();
    assert_eq!(why, "failed, and is not tried again: exit code 3");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_agent_reads_what_is_written_to_it_in_each_of_its_lives() {
    let (system, handle) = up(agent("while read -r line; do echo \"got $line\"; done")).await;
    reaches(&system, Phase::Running).await;
    assert_eq!(handle.write_stdin("one\ntwo\n").await, Ok(1));
    until("it answers", || async {
        texts(&handle) == ["got one", "got two"]
    })
    .await;
    kill(handle.status().pid.unwrap());
    until("the next life", || async {
        handle.stdin().generation(2).write_line("three").await == Ok(2)
    })
    .await;
    until("the next life answers", || async {
        texts(&handle)
            .last()
            .is_some_and(|line| line == "got three")
    })
    .await;
    let old = handle.stdin().generation(1).write("x").await;
    assert_eq!(old, Err(StdinError::OtherLife { wanted: 1, now: 2 }));
    drop(system.shut_down().await);
    assert_eq!(handle.write_stdin("x").await, Err(StdinError::NotRunning));
}

#[tokio::test]
async fn an_agent_whose_pipe_is_full_stops_by_its_stop_line_s_time_and_no_later() {
    let process = agent("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
        .stop_line("exit")
        .stop_plan(
            StopPlan::default()
                .stage(Stage::Ask, Duration::from_millis(100))
                .stage(Stage::CloseStdin, Duration::from_millis(100)),
        );
    let (system, handle) = up(process).await;
    until("it traps", || async { !texts(&handle).is_empty() }).await;
    reaches(&system, Phase::Running).await;
    let stdin = handle.stdin().within(Duration::from_secs(60));
    let stuck = tokio::spawn(async move { stdin.write(vec![b'x'; 1_000_000]).await });
    let begun = Instant::now();
    let child = system.terminate_child("root/agent").await.unwrap();
    assert!(
        matches!(reason_of(&child), ExitReason::Shutdown),
        "{child:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let refused = stuck.await.unwrap();
    assert!(refused.is_err(), "{refused:?}");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_agent_is_ready_when_it_has_written_its_line_and_one_that_does_not_has_failed_to_start()
{
    let long = Duration::from_secs(30);
    let (system, _handle) = up(agent("exec sleep 1000").ready_when("ready to", long)).await;
    let up_only = reaches(&system, Phase::Running).await;
    assert!(!up_only.ready, "{up_only:?}");
    drop(system.shut_down().await);

    let says = "echo now ready to serve >&2; exec sleep 1000";
    let (system, _handle) = up(agent(says).ready_when("ready to", long)).await;
    until("ready", || async { info(&system).await.ready }).await;
    assert_eq!(info(&system).await.generation, 1);
    drop(system.shut_down().await);

    let silent = agent("exec sleep 1000").ready_when("ready", Duration::from_millis(200));
    let (system, _handle) = up(silent).await;
    let info = reaches(&system, Phase::Failed).await;
    assert!(
        matches!(reason_of(&info), ExitReason::StartTimeout),
        "{info:?}"
    );
    assert_eq!((info.generation, info.restarts), (4, 3));
    drop(system.shut_down().await);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_stranger_says_in_an_agents_name_is_told() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let process = agent("echo $NOTIFY_SOCKET; exec sleep 1000");
    let handle = process.handle();
    let telemetry = regrow::Telemetry::default();
    let mut events = telemetry.subscribe(1000).unwrap();
    let root = Supervisor::new("root").child(process);
    let system = System::launch_with(root, telemetry).await.unwrap();
    reaches(&system, Phase::Running).await;
    until("its name", || async { !texts(&handle).is_empty() }).await;
    let name = texts(&handle).remove(0);
    let address = SocketAddr::from_abstract_name(name.strip_prefix('@').unwrap()).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.connect_addr(&address).unwrap();
    stranger.send(b"STOPPING=1").unwrap();
    let told =
        async { while events.next().await.unwrap().name() != "regrow.process.notice.refused" {} };
    tokio::time::timeout(SOON, told).await.unwrap();
    assert!(handle.status().takes_requests());
    drop(system.shut_down().await);
}
