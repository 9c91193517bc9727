//! Agents for programs, on real processes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use regrow::{
    Backoff, ExitReason, FirstRestart, OperateError, Phase, Query, Restart, RestartIntensity,
    Supervisor, System,
};
use regrow_process::{
    Agent, AgentError, AgentHandle, AgentType, AgentTypes, Cursor, Output, Process, ProcessRunner,
    Role, Signal, Spawn, SpawnAgentError, Stage, StdinError, StopPlan,
};

/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A shell of this type that does `script`.
fn shell(type_name: &str, script: &str) -> Process {
    let plan = StopPlan::default()
        .stage(Stage::CloseStdin, Duration::from_millis(300))
        .stage(Stage::Terminate, Duration::from_secs(2));
    Process::new(type_name, "sh")
        .args(["-c", script])
        .start_window(Duration::ZERO)
        .stop_plan(plan)
        .backoff(Backoff::none())
}

fn echo() -> Process {
    shell("echo", "echo up $REGROW_GENERATION; exec cat")
}

async fn runner(types: AgentTypes) -> ProcessRunner {
    ProcessRunner::start(types).await.unwrap()
}

/// What it writes next.
async fn line(agent: &Agent) -> Option<String> {
    let line = tokio::time::timeout(SOON, agent.read_stdout());
    line.await
        .expect("it writes in time")
        .map(|line| line.text())
}

async fn says(agent: &Agent, expected: &str) {
    assert_eq!(line(agent).await.as_deref(), Some(expected));
}

async fn reaches(agent: &Agent, phase: Phase, generation: u32) {
    let wanted = |status: &regrow_process::AgentStatus| {
        status.phase == phase && status.generation == generation
    };
    let reached = tokio::time::timeout(SOON, agent.wait_until(wanted)).await;
    assert!(
        reached.is_ok(),
        "{phase} {generation}: {:?}",
        agent.status()
    );
}

fn names(runner: &ProcessRunner) -> Vec<String> {
    let agents = runner.list();
    agents.iter().map(|agent| agent.name().to_owned()).collect()
}

#[tokio::test]
async fn an_agent_is_talked_to_over_all_its_lives_and_stays_who_it_is() {
    let runner = runner(AgentTypes::new().with(echo())).await;
    let agent = runner.spawn("echo").await.unwrap();
    assert_eq!(agent.status().phase, Phase::Running);
    says(&agent, "up 1").await;
    assert_eq!(agent.write_line("one").await.unwrap(), 1);
    says(&agent, "one").await;
    let (id, pid) = (agent.id(), agent.status().pid);

    runner.signal(id, Signal::Kill).await.unwrap();
    says(&agent, "up 2").await;
    reaches(&agent, Phase::Running, 2).await;
    assert_eq!(agent.write_stdin("two\n").await.unwrap(), 2);
    says(&agent, "two").await;
    assert!(matches!(agent.status().reason, Some(ExitReason::Signal(9))));
    assert_eq!(agent.exit_code(), None, "a signal has no code");

    agent.restart().await.unwrap();
    says(&agent, "up 3").await;
    assert_eq!((agent.name(), agent.id()), ("echo-agent-1", id));
    assert_ne!(agent.status().pid, pid);
    // Another handle reads from the oldest line on.
    let again = runner.get(id).unwrap();
    says(&again, "up 1").await;
    runner.shut_down().await;
}

#[tokio::test]
async fn one_that_is_held_answers_when_it_goes_on() {
    let runner = runner(AgentTypes::new().with(echo())).await;
    let agent = runner.spawn("echo").await.unwrap();
    says(&agent, "up 1").await;
    agent.pause().await.unwrap();
    assert_eq!(agent.status().phase, Phase::Paused);
    agent.write_line("later").await.unwrap();
    assert!(
        agent
            .lines()
            .try_next()
            .is_some_and(|line| line.text() == "up 1")
    );
    agent.resume().await.unwrap();
    reaches(&agent, Phase::Running, 1).await;
    says(&agent, "later").await;
    let reserved = agent.signal(Signal::Stop).await.unwrap_err();
    assert!(matches!(reserved, AgentError::Signal { .. }), "{reserved}");
    runner.shut_down().await;
}

#[tokio::test]
async fn names_count_for_each_type_and_one_too_many_is_refused_with_the_number() {
    let tester = shell("tester", "exec cat");
    let types = AgentTypes::new()
        .with(AgentType::from(echo()).at_most(2))
        .with(tester)
        .max_agents(3);
    let runner = runner(types).await;
    let first = runner.spawn("echo").await.unwrap();
    drop(runner.spawn("tester").await.unwrap());
    drop(runner.spawn("echo").await.unwrap());
    assert_eq!(
        names(&runner),
        ["echo-agent-1", "tester-agent-1", "echo-agent-2"]
    );
    let refused = runner.spawn("echo").await.unwrap_err();
    assert!(
        matches!(refused, SpawnAgentError::TypeFull { most: 2, .. }),
        "{refused}"
    );
    let refused = runner.spawn("tester").await.unwrap_err();
    assert!(
        matches!(refused, SpawnAgentError::Full { most: 3, failed: 0 }),
        "{refused}"
    );
    // Its place is free as soon as it is stopped, and its name is nobody's.
    let end = first.stop().await.unwrap();
    assert_eq!(end.phase, Phase::Stopped);
    let next = runner.spawn("echo").await.unwrap();
    assert_eq!(next.name(), "echo-agent-3");
    assert!(runner.by_name("echo-agent-1").is_none() && runner.get(first.id()).is_none());
    runner.shut_down().await;
}

#[tokio::test]
async fn what_cannot_be_spawned_is_told_with_what_can() {
    let runner = runner(AgentTypes::new().with(echo())).await;
    let said = |error: SpawnAgentError| error.to_string();
    assert_eq!(
        said(runner.spawn("ecco").await.unwrap_err()),
        "no type of agents is called \"ecco\"; did you mean \"echo\"?"
    );
    assert_eq!(
        said(runner.spawn("zzz").await.unwrap_err()),
        "no type of agents is called \"zzz\"; there are echo"
    );
    assert_eq!(
        said(runner.spawn("qc").await.unwrap_err()),
        "this runner has no command for the role \"qc\"; add Process::new(\"qc\", …) to its types"
    );
    assert!(runner.list().is_empty());
    let twice = AgentTypes::new().with(echo()).with(echo());
    assert_eq!(
        said(ProcessRunner::start(twice).await.unwrap_err()),
        "\"echo\" cannot be a type of agents: there is a type of this name already"
    );
}

#[tokio::test]
async fn one_that_does_not_come_up_is_told_with_its_last_words_and_forgotten() {
    let window = Duration::from_secs(10);
    let broken = shell("broken", "echo no model >&2; exit 3").start_window(window);
    let types = AgentTypes::new()
        .with(broken)
        .with(Process::new("absent", "no-such-command"))
        .max_agents(1);
    let runner = runner(types).await;
    for _ in 0..2 {
        let error = runner.spawn("broken").await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.ends_with("did not start, and last said \"no model\""),
            "{said}"
        );
        assert!(runner.list().is_empty());
    }
    let error = runner.spawn("absent").await.unwrap_err();
    let SpawnAgentError::DidNotStart { name, source, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(&**name, "absent-agent-1");
    assert!(
        source.to_string().contains("was not found in PATH"),
        "{source}"
    );
    let count = runner.system().count_children("agents").await.unwrap();
    assert_eq!((count.specs, runner.list().len()), (0, 0));
}

/// What it has come to, and its code.
async fn end(agent: &Agent) -> (Phase, Option<i32>) {
    let end = tokio::time::timeout(SOON, agent.wait()).await.unwrap();
    assert_eq!(agent.exit_code(), end.exit_code());
    (end.phase, end.exit_code())
}

#[tokio::test]
async fn an_end_is_told_with_what_it_came_to_and_its_code() {
    let script = "read code; exit $code";
    let types = AgentTypes::new()
        .with(shell("usual", script))
        .with(shell("temporary", script).restart(Restart::Temporary))
        .with(shell("parked", script).limit(RestartIntensity::new(0, SOON)))
        .with(shell("qc", "exit 0").start_window(SOON));
    let runner = runner(types).await;
    for (type_name, code, expected) in [
        ("usual", "0", (Phase::Completed, Some(0))),
        ("temporary", "0", (Phase::Completed, Some(0))),
        ("temporary", "4", (Phase::Failed, Some(4))),
    ] {
        let agent = runner.spawn(type_name).await.unwrap();
        agent.write_line(code).await.unwrap();
        assert_eq!(end(&agent).await, expected, "{type_name} {code}");
        assert!(agent.status().is_gone && runner.list().is_empty());
        let late = agent.write_line("more").await.unwrap_err();
        assert!(matches!(late, AgentError::Ended { .. }), "{late}");
        assert_eq!(line(&agent).await, None, "nothing more will come");
    }
    // In a role that comes to its end, that may be so before it counts as started.
    let check = runner.spawn("qc").await.unwrap();
    assert_eq!(end(&check).await, (Phase::Completed, Some(0)));

    let parked = runner.spawn("parked").await.unwrap();
    parked.write_line("5").await.unwrap();
    assert_eq!(end(&parked).await, (Phase::Failed, Some(5)));
    assert!(
        parked
            .status()
            .why
            .is_some_and(|why| why.contains("failed again"))
    );
    // It keeps its place, and may have another chance.
    assert_eq!(names(&runner), ["parked-agent-1"]);
    parked.restart().await.unwrap();
    reaches(&parked, Phase::Running, 2).await;
    let stopped = parked.stop().await.unwrap();
    assert_eq!((stopped.phase, stopped.generation), (Phase::Stopped, 2));
    assert!(runner.list().is_empty());
    runner.shut_down().await;
}

#[tokio::test]
async fn those_that_have_failed_are_counted_until_they_are_stopped() {
    let limit = RestartIntensity::new(0, SOON);
    let failing = shell("failing", "read line; exit 1").limit(limit);
    let runner = runner(AgentTypes::new().with(failing).max_agents(1)).await;
    let agent = runner.spawn("failing").await.unwrap();
    agent.write_line("").await.unwrap();
    assert_eq!(end(&agent).await, (Phase::Failed, Some(1)));
    let refused = runner.spawn("failing").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no room for one more agent: max_agents is 1 (1 of them have failed); stop one, or raise it"
    );
    assert_eq!(agent.stop().await.unwrap().phase, Phase::Failed);
    drop(runner.spawn("failing").await.unwrap());
    runner.shut_down().await;
}

#[tokio::test]
async fn a_stop_is_by_the_plan_and_a_kill_is_at_once_and_neither_is_followed_by_a_life() {
    let delay = Duration::from_secs(3600);
    let stubborn = shell(
        "stubborn",
        "trap '' TERM; echo up; while :; do sleep 1000; done",
    )
    .restart(Restart::Permanent)
    .stop_plan(StopPlan::default().stage(Stage::Terminate, delay));
    let waiting = shell("waiting", "exit 1")
        .backoff(Backoff::exponential(delay..=delay).first(FirstRestart::Delayed));
    let types = AgentTypes::new().with(stubborn).with(waiting).with(echo());
    let runner = runner(types).await;
    let agent = runner.spawn("echo").await.unwrap();
    says(&agent, "up 1").await;
    let ended = agent.stop().await.unwrap();
    assert_eq!((ended.phase, ended.exit_code()), (Phase::Stopped, Some(0)));
    assert!(matches!(ended.reason, Some(ExitReason::Shutdown)));
    assert_eq!(agent.stop().await.unwrap().phase, Phase::Stopped);

    let agent = runner.spawn("stubborn").await.unwrap();
    says(&agent, "up").await;
    let ended = tokio::time::timeout(SOON, runner.kill(agent.id()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ended.phase, ended.generation), (Phase::Stopped, 1));
    assert!(
        matches!(ended.exit, Some(ExitReason::Signal(9))),
        "{ended:?}"
    );
    let unknown = runner.kill(agent.id()).await.unwrap_err();
    assert!(matches!(unknown, AgentError::NotFound { .. }), "{unknown}");

    let agent = runner.spawn("waiting").await.unwrap();
    reaches(&agent, Phase::Backoff, 1).await;
    let refused = agent.write_line("").await.unwrap_err();
    let no_life =
        matches!(&refused, AgentError::Stdin { source, .. } if *source == StdinError::NotRunning);
    assert!(no_life, "{refused}");
    let ended = agent.stop().await.unwrap();
    assert_eq!((ended.phase, ended.exit_code()), (Phase::Stopped, Some(1)));
    assert!(runner.list().is_empty());
    runner.shut_down().await;
}

#[tokio::test]
async fn an_agent_has_what_its_request_adds_to_its_type() {
    let script = "echo $0 $1 $WORDS $AGENT_ID $AGENT_TYPE $PWD; echo no >&2; exec cat";
    let coder = AgentType::of(
        Role::Worker,
        shell("coder", script).args(["zero"]).tags(["fast"]),
    );
    let runner = runner(AgentTypes::new().with(coder)).await;
    let request = Spawn::of("coder")
        .arg("one")
        .env("WORDS", "two")
        .tag("lang=rust")
        .meta("cost", 3)
        .cwd("/");
    let agent = runner.spawn(request).await.unwrap();
    says(&agent, "zero one two coder-agent-1 coder /").await;
    let error = tokio::time::timeout(SOON, agent.read_stderr())
        .await
        .unwrap();
    assert_eq!(error.unwrap().text(), "no");
    let found = |query: String| {
        let query: Query = query.parse().unwrap();
        let found = runner.system().registry().find(&query);
        found
            .iter()
            .map(|child| child.path().to_string())
            .collect::<Vec<_>>()
    };
    let id = agent.id();
    for query in [
        "type:coder and fast and lang=rust and role=worker and cap:work and meta:cost>=3"
            .to_owned(),
        format!("meta:uuid=\"{id}\""),
    ] {
        assert_eq!(found(query.clone()), ["agents/coder-agent-1"], "{query}");
    }
    runner.shut_down().await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_how_much_is_missing() {
    let chatty = shell("chatty", "for i in 1 2 3 4 5; do echo $i; done; exec cat");
    let runner = runner(AgentTypes::new().with(chatty.output(Output::bounded(2, 1000)))).await;
    let agent = runner.spawn("chatty").await.unwrap();
    let all = agent.output().changed(Cursor::before(4));
    tokio::time::timeout(SOON, all).await.unwrap();
    let four = agent.read_stdout().await.unwrap();
    assert_eq!((four.text().as_str(), four.missed), ("4", 3));
    let five = agent.read_stdout().await.unwrap();
    assert_eq!((five.text().as_str(), five.missed), ("5", 0));
    runner.shut_down().await;
}

/// A tree of an application with a place for agents.
async fn application(types: &AgentTypes) -> Arc<System> {
    let tree = Supervisor::new("root").child(types.supervisor("crew"));
    Arc::new(System::start(tree).await.unwrap())
}

#[tokio::test]
async fn below_an_applications_own_supervisor_agents_are_children_like_any_others() {
    let types = AgentTypes::new().with(echo()).max_agents(2);
    let system = application(&types).await;
    let runner = ProcessRunner::below(Arc::clone(&system), "root/crew", types.clone())
        .await
        .unwrap();
    let agent = runner.spawn("echo").await.unwrap();
    assert_eq!(agent.path(), "root/crew/echo-agent-1");
    let child = system.which_child("root/crew/echo-agent-1").await.unwrap();
    assert_eq!((child.phase, &*child.type_name), (Phase::Running, "echo"));
    // What others do to the child the runner sees.
    system.bounce_child(agent.path().as_str()).await.unwrap();
    reaches(&agent, Phase::Running, 2).await;
    system.terminate_child(agent.path().as_str()).await.unwrap();
    assert_eq!(end(&agent).await.0, Phase::Stopped);

    let again = ProcessRunner::below(Arc::clone(&system), "root/crew", types.clone()).await;
    let again = again.unwrap_err();
    assert!(matches!(again, SpawnAgentError::NotHeard { .. }), "{again}");
    let nowhere = ProcessRunner::below(Arc::clone(&system), "root/nowhere", types).await;
    let nowhere = nowhere.unwrap_err();
    assert!(
        matches!(nowhere, SpawnAgentError::NoSupervisor { .. }),
        "{nowhere}"
    );

    // Its agents end with it, the application's tree does not.
    let agent = runner.spawn("echo").await.unwrap();
    runner.shut_down().await;
    assert!(agent.status().is_gone);
    assert_eq!(system.end_reason().map(|reason| reason.to_string()), None);
    drop(system.shut_down().await);
    let over = runner.spawn("echo").await.unwrap_err();
    assert!(matches!(over, SpawnAgentError::Over), "{over}");
}

#[tokio::test]
async fn when_their_supervisor_goes_agents_are_told_as_stopped_and_their_places_are_free() {
    let types = AgentTypes::new().with(echo()).max_agents(1);
    let system = application(&types).await;
    let runner = ProcessRunner::below(Arc::clone(&system), "root/crew", types)
        .await
        .unwrap();
    let agent = runner.spawn("echo").await.unwrap();
    system.bounce_child("root/crew").await.unwrap();
    assert_eq!(end(&agent).await.0, Phase::Stopped);
    let next = tokio::time::timeout(SOON, async {
        agent.wait_until(|status| status.is_gone).await;
        runner.spawn("echo").await
    });
    let next = next.await.unwrap().unwrap();
    assert_eq!(next.name(), "echo-agent-2");
    // The system is shut down by the application: whoever waits is told.
    drop(system.shut_down().await);
    assert_eq!(end(&next).await.0, Phase::Stopped);
}

#[tokio::test]
async fn a_handle_that_is_dropped_does_nothing_and_a_runner_that_is_dropped_takes_its_own_system_along()
 {
    let runner = runner(AgentTypes::new().with(echo())).await;
    let agent = runner.spawn("echo").await.unwrap();
    let (id, pid) = (agent.id(), agent.status().pid);
    drop(agent);
    let agent = runner.get(id).unwrap();
    assert_eq!(
        (agent.status().phase, agent.status().pid),
        (Phase::Running, pid)
    );
    drop(runner);
    assert_eq!(end(&agent).await.0, Phase::Stopped);
    let over = agent.pause().await.unwrap_err();
    assert!(matches!(over, AgentError::Over), "{over}");
    let over = agent.write_line("?").await.unwrap_err();
    assert!(matches!(over, AgentError::Ended { .. }), "{over}");
}

#[tokio::test]
async fn a_runner_that_is_dropped_leaves_agents_below_an_application_running() {
    let types = AgentTypes::new().with(echo());
    let system = application(&types).await;
    let runner = ProcessRunner::below(Arc::clone(&system), "root/crew", types.clone())
        .await
        .unwrap();
    let agent = runner.spawn("echo").await.unwrap();
    drop(runner);
    assert_eq!(agent.status().phase, Phase::Running);
    drop(system.shut_down().await);
    assert_eq!(end(&agent).await.0, Phase::Stopped);
}

#[tokio::test]
async fn a_spawn_that_nobody_waits_for_any_more_is_finished_or_undone() {
    let window = Duration::from_millis(200);
    let types = AgentTypes::new()
        .with(echo().start_window(window))
        .with(shell("broken", "read line; exit 3").start_window(SOON));
    let runner = runner(types).await;
    for type_name in ["echo", "broken"] {
        let spawn = runner.spawn(type_name);
        assert!(tokio::time::timeout(Duration::ZERO, spawn).await.is_err());
    }
    let agent = runner.by_name("echo-agent-1").unwrap();
    reaches(&agent, Phase::Running, 1).await;
    let agent = runner.by_name("broken-agent-1").unwrap();
    agent.wait_until(|status| status.pid.is_some()).await;
    agent.write_line("go").await.unwrap();
    let gone = agent.wait_until(|status| status.is_gone);
    tokio::time::timeout(SOON, gone).await.unwrap();
    assert_eq!(names(&runner), ["echo-agent-1"]);
    runner.shut_down().await;
}

#[tokio::test]
async fn an_operation_that_is_refused_says_why() {
    let runner = runner(AgentTypes::new().with(echo())).await;
    let agent = runner.spawn("echo").await.unwrap();
    let handle: &dyn AgentHandle = &agent;
    handle.kill().await.unwrap();
    let ended = handle.restart().await.unwrap_err();
    assert_eq!(ended.to_string(), "agent \"echo-agent-1\" has stopped");
    let system = runner.system();
    let gone = system.which_child(agent.path().as_str()).await.unwrap_err();
    assert!(matches!(gone, OperateError::NotFound { .. }), "{gone}");
    runner.shut_down().await;
}
