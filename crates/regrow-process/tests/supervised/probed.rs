//! Processes that are asked how they are.

use regrow::probe::{Probe, ProbeVerdict};
use regrow::{Health, StopCause};
use regrow_process::ProcessCheck;

use super::*;

fn quick(probe: Probe) -> Probe {
    probe.period(Duration::from_millis(20)).timeout(SOON)
}

async fn verdict(system: &System) -> (ProbeVerdict, String) {
    let info = info(system).await;
    let probe = info.probes.first();
    probe.map_or((ProbeVerdict::Unknown, String::new()), |probe| {
        (probe.verdict, probe.why.to_string())
    })
}

#[tokio::test]
async fn a_command_finds_what_the_process_was_started_with_and_its_failure_restarts_it() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("ill");
    let process = agent("exec sleep 1000")
        .env("MARK", &mark)
        .cwd(folder.path());
    // It is ill when the file is there that its own environment names, by a name relative to where it runs.
    let script =
        "test \"$AGENT_ID ${REGROW_AGENT_ID} $MARK\" = \"agent agent $PWD/ill\" && test ! -e ill";
    let check = ProcessCheck::command(&process.handle(), ["sh", "-c", script]);
    let (system, handle) = up(process.probe(quick(Probe::liveness(check)))).await;
    until("it is found well", || async {
        info(&system).await.health == Health::Up
    })
    .await;
    assert_eq!(handle.status().generation, 1);
    let mut events = system.telemetry().subscribe(1000).unwrap();
    std::fs::write(&mark, "").unwrap();
    let stopping = loop {
        let event = events.next().await.unwrap();
        if let regrow::Payload::ChildStopping { cause, why } = &event.payload {
            break (*cause, why.clone());
        }
    };
    std::fs::remove_file(&mark).unwrap();
    let why = "its liveness probe failed: sh ended with 1";
    assert_eq!(stopping, (StopCause::Probe, Some(why.into())));
    until("the next life", || async {
        let info = info(&system).await;
        (info.generation, info.health) == (2, Health::Up)
    })
    .await;
    drop(system.shut_down().await);
}

#[tokio::test]
async fn it_is_asked_at_the_address_that_its_present_life_has() {
    // Nobody but the status knows this port: regrow has chosen it.
    let process = agent("exec sleep 1000").hand_over_listener();
    let check = ProcessCheck::tcp(&process.handle());
    let (system, _) = up(process.probe(quick(Probe::readiness(check)))).await;
    until("it is ready", || async { info(&system).await.ready }).await;
    drop(system.shut_down().await);
}

#[tokio::test]
async fn one_without_an_address_cannot_be_asked_there_and_says_so() {
    let process = agent("exec sleep 1000");
    let check = ProcessCheck::http(&process.handle(), "/readyz").unwrap();
    let (system, _) = up(process.probe(quick(Probe::readiness(check)))).await;
    let failed = (
        ProbeVerdict::Failure,
        "it has no port and no socket".to_owned(),
    );
    until("it has failed", || async {
        verdict(&system).await == failed
    })
    .await;
    assert!(!info(&system).await.ready);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_line_of_an_earlier_life_is_none_of_this_one() {
    let process = agent("test $REGROW_GENERATION = 1 && echo tick; exec sleep 1000");
    let handle = process.handle();
    let hour = Duration::from_secs(3600);
    let none = ProcessCheck::log_line(&handle, "tick", Duration::ZERO);
    let some = ProcessCheck::log_line(&handle, "tick", hour);
    let process = process
        .probe(quick(Probe::custom("within-an-hour", some)))
        .probe(quick(Probe::custom("right-now", none)));
    let (system, handle) = up(process).await;
    let why = |word: &'static str| {
        let system = &system;
        async move {
            let info = info(system).await;
            let verdicts: Vec<_> = info.probes.iter().map(|probe| probe.verdict).collect();
            let expected = [ProbeVerdict::Success, ProbeVerdict::Failure];
            verdicts == expected && info.probes[1].why.starts_with(word)
        }
    };
    until("it has written one", || why("wrote no line with \"tick\"")).await;
    kill(handle.status().pid.unwrap());
    until("it has not", || why("has written no line with \"tick\"")).await;
    assert_eq!(handle.status().generation, 2);
    drop(system.shut_down().await);
}
