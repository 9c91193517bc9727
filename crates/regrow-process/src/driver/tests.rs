//! Rules of one incarnation, on real processes.

use tokio::task::JoinHandle;

use super::*;
use crate::Host;
use crate::os::{Quarry, WhoseRun};
use crate::process::Process;
use regrow::telemetry::{Event, Subject, Telemetry};
use regrow_core::lifecycle::{End, Streams};
use std::sync::Mutex;

const SOON: Duration = Duration::from_secs(10);

/// A shell that does `script`, with a start window of nothing and a quick plan.
fn shell(script: &str) -> Process {
    let plan = StopPlan::default()
        .stage(Stage::CloseStdin, Duration::from_millis(300))
        .stage(Stage::Terminate, Duration::from_secs(1));
    Process::new("agent", "sh")
        .args(["-c", script])
        .start_window(Duration::ZERO)
        .stop_plan(plan)
}

mod group;
mod hold;
#[cfg(target_os = "linux")]
mod notify;

/// Hears nothing.
struct Silent;

impl Observer for Silent {
    fn announced(&self) {}
    fn ready(&self) {}
    fn expired(&self) {}
    fn overran(&self, _: String) {}
    fn drained(&self) {}
    fn happened(&self, _phase: Phase, _payload: Payload) {}
    fn begins(&self, phase: Phase, payload: Payload) -> Span {
        Telemetry::default().span(subject(phase), payload)
    }
    fn gauge(&self) -> Option<FiguresGauge> {
        None
    }
}

/// A child in this phase.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace() -> TraceContext {
    TraceContext::parse(TRACEPARENT, Some("vendor=1")).unwrap()
}

fn subject(phase: Phase) -> Subject {
    let kind = regrow::ChildKind::Process;
    Subject::new("root/agent", kind, "agent", 1, phase)
}

/// Writes down what it hears.
#[derive(Clone)]
struct Notes(Arc<Mutex<Vec<String>>>, Telemetry);

impl Default for Notes {
    fn default() -> Self {
        let (lines, telemetry) = (Arc::<Mutex<Vec<String>>>::default(), Telemetry::default());
        let written = Arc::clone(&lines);
        let write = move |event: &Event| {
            let Payload::ProcessShutdown { stage, .. } = &event.payload else {
                return;
            };
            let note = format!(
                "{} {} {}",
                event.subject.phase,
                event.name(),
                stage.as_str()
            );
            written.lock().unwrap().push(note);
        };
        telemetry.attach("notes", write).unwrap();
        Self(lines, telemetry)
    }
}

impl Observer for Notes {
    fn announced(&self) {
        self.0.lock().unwrap().push("announced".to_owned());
    }

    fn ready(&self) {
        self.0.lock().unwrap().push("ready".to_owned());
    }

    fn expired(&self) {
        self.0.lock().unwrap().push("expired".to_owned());
    }

    fn overran(&self, _: String) {
        self.0.lock().unwrap().push("overran".to_owned());
    }

    fn drained(&self) {
        self.0.lock().unwrap().push("drained".to_owned());
    }

    fn happened(&self, phase: Phase, payload: Payload) {
        let detail = if let Payload::ProcessExited { reason, .. } = &payload {
            reason.to_string()
        } else if let Payload::ProcessSignalled { signal, .. } = &payload {
            (*signal).to_owned()
        } else if let Payload::ProcessOutput {
            stream,
            bytes,
            dropped,
        } = &payload
        {
            format!("{} {bytes} {dropped}", stream.as_str())
        } else {
            String::new()
        };
        let note = format!("{} {} {detail}", phase.as_str(), payload.name());
        self.0.lock().unwrap().push(note.trim().to_owned());
    }

    fn begins(&self, phase: Phase, payload: Payload) -> Span {
        self.1.span(subject(phase), payload)
    }

    fn gauge(&self) -> Option<FiguresGauge> {
        None
    }
}

struct Started {
    wishes: Wishes,
    ending: JoinHandle<Ending>,
    process: Process,
}

impl Started {
    async fn new(process: Process, generation: u32) -> Self {
        let template = Arc::new(process.template.clone());
        let (driver, wishes) = Driver::spawn(template, generation, &trace()).await.unwrap();
        Self {
            wishes,
            ending: tokio::spawn(driver.run(Silent)),
            process,
        }
    }

    /// Waits until the agent has written `lines` lines, and returns them.
    async fn wrote(&self, lines: usize) -> Vec<String> {
        let output = self.process.template.handle.output().clone();
        let all = async {
            loop {
                let end = output.end();
                if output.tail(lines).len() >= lines {
                    break;
                }
                output.changed(end).await;
            }
        };
        tokio::time::timeout(SOON, all)
            .await
            .expect("the agent writes its lines");
        output
            .tail(lines)
            .iter()
            .map(crate::stdio::Line::text)
            .collect()
    }

    async fn ended(self) -> Ending {
        tokio::time::timeout(SOON, self.ending)
            .await
            .expect("it ends")
            .unwrap()
    }
}

async fn run(script: &str) -> Ending {
    Started::new(shell(script), 1).await.ended().await
}

fn alive(pid: &str) -> bool {
    os::identify(pid.parse().unwrap()).is_some_and(|process| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    })
}

#[tokio::test]
async fn a_natural_exit_is_told_with_its_code_or_signal() {
    let exits = [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("kill -9 $$", Exit::Signal(9)),
    ];
    for (script, exit) in exits {
        let ending = run(script).await;
        let expected = Ending {
            end: End::Natural(exit),
            stage: None,
            leaked: vec![],
            streams: Streams::Closed,
        };
        assert_eq!(ending, expected, "{script}");
    }
}

#[tokio::test]
async fn an_agent_that_ends_at_the_end_of_its_input_needs_no_signal() {
    let agent = Started::new(shell("echo up; cat; echo bye"), 1).await;
    agent.wrote(1).await;
    agent.wishes.raise(Wish::Stop);
    assert_eq!(agent.wrote(2).await, ["up", "bye"]);
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Stopped(Exit::Code(0)));
    assert_eq!(ending.stage, Some(Stage::CloseStdin));
}

#[tokio::test]
async fn a_stop_line_comes_first() {
    let script = "echo up; read line; echo got $line";
    let agent = Started::new(shell(script).stop_line("exit"), 1).await;
    agent.wrote(1).await;
    agent.wishes.raise(Wish::Stop);
    assert_eq!(agent.wrote(2).await, ["up", "got exit"]);
    assert_eq!(agent.ended().await.stage, Some(Stage::Ask));
}

#[tokio::test]
async fn a_stopped_process_hears_the_stop_signal_too() {
    let script = "trap 'echo bye; exit 3' TERM; echo up; kill -STOP $$; sleep 1000 & wait";
    let agent = Started::new(shell(script).stdin(Stdin::Null), 1).await;
    agent.wrote(1).await;
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Stopped(Exit::Code(3)));
    assert_eq!(ending.stage, Some(Stage::Terminate));
}

#[tokio::test]
async fn one_that_ignores_the_stop_signal_is_killed_within_its_budget() {
    let script = "trap '' TERM; echo up; while :; do sleep 1000; done";
    let agent = Started::new(shell(script), 1).await;
    agent.wrote(1).await;
    let began = Instant::now();
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!(
        (ending.end, ending.stage),
        (End::Killed(Exit::Signal(9)), Some(Stage::Kill))
    );
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_hurried_stop_kills_at_once() {
    let plan = StopPlan::default().stage(Stage::CloseStdin, Duration::from_secs(1000));
    let agent = Started::new(shell("echo up; exec sleep 1000").stop_plan(plan), 1).await;
    agent.wrote(1).await;
    agent.wishes.raise(Wish::Stop);
    agent.wishes.raise(Wish::Kill);
    assert_eq!(agent.ended().await.end, End::Killed(Exit::Signal(9)));
}

#[tokio::test]
async fn nobody_left_to_supervise_it_means_the_end() {
    let agent = Started::new(shell("echo up; exec sleep 1000"), 1).await;
    agent.wrote(1).await;
    let Started { wishes, ending, .. } = agent;
    drop(wishes);
    let ending = tokio::time::timeout(SOON, ending).await.unwrap().unwrap();
    assert_eq!(ending.end, End::Killed(Exit::Signal(9)));
}

#[tokio::test]
async fn a_grandchild_in_a_session_of_its_own_that_holds_the_output_is_gone_after_a_stop() {
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000";
    let agent = Started::new(shell(script), 1).await;
    let grandchild = agent.wrote(1).await.remove(0);
    assert!(alive(&grandchild));
    let began = Instant::now();
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!((ending.leaked, ending.streams), (vec![], Streams::Closed));
    assert!(!alive(&grandchild));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_double_fork_is_gone_after_a_natural_exit() {
    let script = "setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 1000\" & exit' & read line";
    let agent = Started::new(shell(script), 1).await;
    let orphan = agent.wrote(1).await.remove(0);
    let pid = agent.process.handle().status().pid.unwrap();
    os::signal_group(
        os::identify(i32::try_from(pid).unwrap()).unwrap(),
        Signal::Kill,
    )
    .unwrap();
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Natural(Exit::Signal(9)));
    assert_eq!((ending.leaked, ending.streams), (vec![], Streams::Closed));
    assert!(!alive(&orphan));
}

#[tokio::test]
async fn a_descendant_without_any_mark_is_remembered_from_its_parents_life() {
    let script = "env -i setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000";
    let agent = Started::new(shell(script), 1).await;
    let unmarked = agent.wrote(1).await.remove(0);
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!((ending.leaked, ending.streams), (vec![], Streams::Closed));
    assert!(!alive(&unmarked));
}

#[tokio::test]
async fn one_that_forks_while_it_is_killed_loses() {
    let script = "echo up; setsid sh -c 'f() { sleep 0.01; f & }; f; f; f' & sleep 0.3; exit 0";
    let process = shell(script);
    let plan = process.template.stop_plan.stage(Stage::Sweep, SOON);
    let agent = Started::new(process.stop_plan(plan), 1).await;
    let host = agent.process.template.host.clone();
    let ending = agent.ended().await;
    assert_eq!(
        (ending.end, ending.leaked),
        (End::Natural(Exit::Code(0)), vec![])
    );
    let quarry = Quarry {
        marks: vec![host.marks("agent", 1)],
        leaders: vec![],
        noted: vec![],
        groups: Vec::new(),
        not_before: 0,
        run: WhoseRun::Ours,
    };
    assert_eq!(os::find(quarry).await, []);
}

#[tokio::test]
async fn only_its_own_life_is_swept() {
    let first = Started::new(shell("echo up; exec sleep 1000"), 1).await;
    first.wrote(1).await;
    let host = first.process.template.host.clone();
    let other = Process::new("other", "sh")
        .args(["-c", "exit 0"])
        .host(host.clone());
    let ending = Started::new(other, 1).await.ended().await;
    assert_eq!(ending.end, End::Natural(Exit::Code(0)));
    let pid = first.process.handle().status().pid.unwrap();
    assert!(alive(&pid.to_string()));
    assert_eq!(host.sweep_all().await, Vec::<u32>::new());
    assert!(!alive(&pid.to_string()));
    assert_eq!(first.ended().await.end, End::Natural(Exit::Signal(9)));
}

#[tokio::test]
async fn a_flood_is_bounded_and_counted() {
    let lines: u64 = 5_000_000;
    let script = format!("yes | head -n {lines}; echo end >&2");
    let agent = Started::new(shell(&script), 1).await;
    let output = agent.process.handle().output().clone();
    agent.ended().await;
    let count = output.count(Stream::Stdout);
    assert_eq!((count.lines, count.bytes), (lines, lines * 2));
    let kept = output.tail(usize::MAX);
    assert!(kept.len() <= 10_000, "{}", kept.len());
    let kept = kept
        .iter()
        .filter(|line| line.stream == Stream::Stdout)
        .count();
    assert_eq!(count.dropped_lines + kept as u64, lines);
    assert_eq!(output.count(Stream::Stderr).lines, 1);
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_said() {
    let host = Host::new().url("http://127.0.0.1:8000");
    host.publish_port("other-one", 8002);
    host.publish_port("agent", 8001);
    let agent = Process::new("agent", "env")
        .of_type("worker")
        .env("GREETING", "port ${PORT} of ${AGENT_ID}")
        .env("AGENT_ID", "never")
        .env("TRACEPARENT", "never")
        .port(8001)
        .host(host.clone());
    let agent = Started::new(agent, 4).await;
    let output = agent.process.handle().output().clone();
    agent.ended().await;
    let passed_on = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
    let mut told: Vec<String> = output
        .tail(100)
        .iter()
        .map(crate::stdio::Line::text)
        .collect();
    told.retain(|line| !passed_on.contains(&line.split('=').next().unwrap()));
    // Its name is told in the tests of what it is for.
    told.retain(|line| !line.starts_with("NOTIFY_SOCKET=@regrow-"));
    told.sort();
    let token = told
        .iter()
        .position(|line| line.starts_with("REGROW_TOKEN="))
        .unwrap();
    assert_eq!(told.remove(token).len(), "REGROW_TOKEN=".len() + 64);
    let instance = format!("REGROW_INSTANCE={}", host.instance());
    let expected = [
        "AGENT_ID=agent",
        "AGENT_TYPE=worker",
        "GREETING=port 8001 of agent",
        "PORT=8001",
        "REGROW_AGENT_ID=agent",
        "REGROW_GENERATION=4",
        &instance,
        "REGROW_PORT_OTHER_ONE=8002",
        "REGROW_URL=http://127.0.0.1:8000",
        &format!("TRACEPARENT={TRACEPARENT}"),
        "TRACESTATE=vendor=1",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_token_is_good_for_one_life() {
    let host = Host::new().url("http://127.0.0.1:8000");
    let script = "echo $REGROW_TOKEN; read line";
    let agent = Started::new(shell(script).host(host.clone()), 1).await;
    let token = agent.wrote(1).await.remove(0);
    let holder = host.holder(&token).unwrap();
    assert_eq!((holder.id.as_str(), holder.generation), ("agent", 1));
    agent.wishes.raise(Wish::Kill);
    agent.ended().await;
    assert_eq!(host.holder(&token), None);
    assert!(!format!("{host:?}").contains(&token));
}

#[tokio::test]
async fn two_lives_of_one_agent_never_overlap() {
    let agent = Started::new(shell("echo up; exec sleep 1000"), 1).await;
    agent.wrote(1).await;
    let template = Arc::new(agent.process.template.clone());
    let next = tokio::spawn(async move {
        Driver::spawn(template, 2, &trace())
            .await
            .map(|(_, wishes)| wishes)
    });
    tokio::task::yield_now().await;
    assert_eq!(agent.process.handle().status().generation, 1);
    agent.wishes.raise(Wish::Kill);
    let handle = agent.process.handle();
    agent.ended().await;
    drop(next.await.unwrap().unwrap());
    assert_eq!(handle.status().generation, 2);
}

#[tokio::test]
async fn what_happens_is_told_in_order_and_output_at_most_once_a_second() {
    let process = shell("echo one; echo two >&2; read line; echo three; trap '' TERM; sleep 1000");
    let template = Arc::new(process.template.clone());
    let (driver, wishes) = Driver::spawn(template, 1, &trace()).await.unwrap();
    let notes = Notes::default();
    let ending = tokio::spawn(driver.run(notes.clone()));
    let output = process.handle().output().clone();
    loop {
        let end = output.end();
        if output.tail(2).len() >= 2 {
            break;
        }
        output.changed(end).await;
    }
    wishes.raise(Wish::Stop);
    ending.await.unwrap();
    let mut notes = notes.0.lock().unwrap().clone();
    // When exactly output is told of is not promised; the sums are.
    let mut written: (u64, u64) = (0, 0);
    notes.retain(|note| {
        let Some((_, told)) = note.split_once("regrow.process.output ") else {
            return true;
        };
        let bytes: u64 = told.split(' ').nth(1).unwrap().parse().unwrap();
        if told.starts_with("stdout") {
            written.0 += bytes;
        } else {
            written.1 += bytes;
        }
        false
    });
    assert_eq!(written, (10, 4));
    let expected = [
        "announced",
        "stopping regrow.process.shutdown.start none",
        "stopping regrow.process.signalled SIGTERM",
        "stopping regrow.process.signalled SIGKILL",
        "stopping regrow.process.exited signal 9 (SIGKILL)",
        "stopping regrow.process.shutdown.stop kill",
    ];
    assert_eq!(notes, expected);
}
