//! What processes write, in files.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use regrow::{Phase, Restart, Supervisor, System};
use regrow_process::{LogFile, Logged, Output, OutputLimits, Process};

const SOON: Duration = Duration::from_secs(10);

async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(Instant::now() < deadline, "in time: {what}");
        look.tick().await;
    }
}

fn agent(script: &str, log: &LogFile) -> Process {
    Process::new("agent", "sh")
        .args(["-c", script])
        .start_window(Duration::from_millis(20))
        .restart(Restart::Transient)
        .log_file(log.clone())
}

async fn up(process: Process) -> System {
    let root = Supervisor::new("root").no_intensity_limit().child(process);
    System::launch(root).await.unwrap()
}

async fn is(system: &System, phase: Phase) -> bool {
    let info = system.which_child("root/agent").await;
    info.is_ok_and(|info| info.phase == phase)
}

fn lines(log: &LogFile) -> Vec<(u32, String)> {
    let line = |logged| match logged {
        Logged::Line(line) => Some((line.generation, line.text())),
        Logged::Lost { .. } | Logged::Run { .. } => None,
    };
    log.history()
        .unwrap()
        .map(Result::unwrap)
        .filter_map(line)
        .collect()
}

fn of(folder: &Path) -> LogFile {
    LogFile::of(folder.join("logs"), "agent")
}

#[tokio::test]
async fn all_lives_of_an_agent_write_one_log_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = of(folder.path());
    let mut expected = Vec::new();
    for run in 1..3 {
        let script = format!("echo {run}; sleep 0.1; printf last; exec sleep 1000");
        let system = up(agent(&script, &log)).await;
        until("it is up", || is(&system, Phase::Running)).await;
        until("it is written", || async {
            lines(&log).len() > expected.len()
        })
        .await;
        drop(system.terminate_child("root/agent").await.unwrap());
        expected.push((1, run.to_string()));
        expected.extend(lines(&log).into_iter().skip(expected.len()).take(1));
        // What had no end yet is in the file when the stop is over.
        assert_eq!(lines(&log), expected);
        system.restart_child("root/agent").await.unwrap();
        until("the next life writes", || async {
            lines(&log).len() > expected.len()
        })
        .await;
        drop(system.shut_down().await);
        expected = lines(&log);
        assert!(expected.contains(&(2, run.to_string())), "{expected:?}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_or_is_too_slow_is_told_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let log = of(folder.path());
    std::fs::create_dir_all(log.path()).unwrap();
    let few = Output::new(OutputLimits::default().lines(10));
    let script = "seq 1000; while :; do echo more; sleep 0.05; done";
    let process = agent(script, &log).output(few);
    let handle = process.handle();
    let root = Supervisor::new("root").child(process);
    let telemetry = regrow::Telemetry::default();
    let mut events = telemetry.subscribe(10_000).unwrap();
    let system = System::launch_with(root, telemetry).await.unwrap();
    let mut told = async |name: &str| {
        loop {
            let event = tokio::time::timeout(SOON, events.next()).await;
            let event = event.unwrap().expect("the stream goes on");
            if event.name() == name {
                return;
            }
        }
    };
    told("regrow.process.log.failed").await;
    let more = |line: &regrow_process::Line| line.text() == "more";
    until("it writes on", || async {
        handle.output().tail(1).iter().any(more)
    })
    .await;
    std::fs::remove_dir(log.path()).unwrap();
    told("regrow.process.log.resumed").await;
    told("regrow.process.log.dropped").await;
    drop(system.shut_down().await);
    let mut next = 0;
    for logged in log.history().unwrap() {
        match logged.unwrap() {
            Logged::Line(line) => {
                assert_eq!(line.seq, next);
                next += 1;
            }
            Logged::Lost { before, lines, .. } => {
                assert_eq!(before, next + lines);
                next = before;
            }
            Logged::Run { .. } => {}
        }
    }
    assert_eq!(next, handle.output().end().seq());
}
