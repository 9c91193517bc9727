//! Agents on leased ports.

use std::net::TcpListener;
use std::ops::RangeInclusive;

use regrow_process::Ports;

use super::*;

/// Four ports that no other test has while the listener lives.
fn block() -> (TcpListener, RangeInclusive<u16>) {
    let mut firsts = (20_500..21_000u16).step_by(5);
    let found = firsts.find_map(|first| Some((listen(first)?, first + 1..=first + 4)));
    found.expect("one of a hundred is free")
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

/// The port that each life was told, in the order of lives.
fn told(handle: &ProcessHandle) -> Vec<u16> {
    let texts = texts(handle);
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn an_agent_comes_back_on_its_port_and_gives_it_back_when_it_is_gone_for_good() {
    let (_lock, range) = block();
    let ports = Ports::new(range.clone());
    let process = agent("echo $PORT; exec sleep 1000").lease(ports.lease("agent").unwrap());
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Running).await;
    kill(handle.status().pid.unwrap());
    until("the next life has told", || async {
        told(&handle).len() == 2
    })
    .await;
    assert_eq!(told(&handle), [*range.start(), *range.start()]);
    assert_eq!(handle.status().port, Some(*range.start()));

    reaches(&system, Phase::Running).await;
    system.terminate_child("root/agent").await.unwrap();
    assert_eq!(ports.counts().allocated, 1, "it may be started again");
    system.delete_child("root/agent").await.unwrap();
    until("it is given back", || async {
        ports.counts().allocated == 0
    })
    .await;
    assert_eq!(ports.counts().quarantined, 1);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_port_that_is_not_published_is_told_to_no_other_in_no_life() {
    let (_lock, range) = block();
    let (ports, host) = (Ports::new(range.clone()), Host::new());
    let leased = |id: &str| ports.lease(id).unwrap();
    let process = agent("echo $PORT; exec sleep 1000")
        .host(host.clone())
        .lease(leased("agent"))
        .unpublished();
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Running).await;
    let stranger = listen(*range.start()).unwrap();
    kill(handle.status().pid.unwrap());
    until("the next life has told", || async {
        told(&handle).len() == 2
    })
    .await;
    assert_eq!(told(&handle), [*range.start(), range.start() + 1]);

    let other = Process::new("other", "env").host(host).once();
    let (second, other) = up(other).await;
    until("the other has ended", || async {
        let child = second.which_child("root/other").await;
        child.is_ok_and(|child| child.phase == Phase::Completed)
    })
    .await;
    let told = texts(&other);
    assert!(
        told.iter().any(|line| line == "AGENT_ID=other")
            && told.iter().all(|line| !line.starts_with("REGROW_PORT_")),
        "{told:?}"
    );
    drop(stranger);
    drop((system.shut_down().await, second.shut_down().await));
}

#[tokio::test]
async fn an_agent_whose_port_was_taken_while_it_was_down_begins_on_another() {
    let (_lock, range) = block();
    let ports = Ports::new(range.clone());
    let process = agent("echo $PORT; exec sleep 1000").lease(ports.lease("agent").unwrap());
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Running).await;
    let stranger = listen(*range.start()).unwrap();
    kill(handle.status().pid.unwrap());
    until("the next life has told", || async {
        told(&handle).len() == 2
    })
    .await;
    assert_eq!(told(&handle), [*range.start(), range.start() + 1]);
    assert_eq!(handle.status().port, Some(range.start() + 1));
    drop(stranger);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_port_that_is_taken_while_its_agent_starts_is_moved_from_and_no_failure() {
    let (_lock, range) = block();
    let first = *range.start();
    let ports = Ports::new(range.clone());
    let script = "echo $PORT; [ $PORT = $FIRST ] || exec sleep 1000; read -r line; exit 1";
    let process = agent(script)
        .env("FIRST", first.to_string())
        .start_window(Duration::from_secs(2))
        .lease(ports.lease("agent").unwrap());
    let (system, handle) = up(process).await;
    until("it has told", || async { told(&handle).len() == 1 }).await;
    let stranger = listen(first).unwrap();
    handle.write_stdin("go on\n").await.unwrap();
    let info = reaches(&system, Phase::Running).await;
    assert_eq!(told(&handle), [first, first + 1]);
    assert_eq!((info.generation, info.restarts), (1, 0));
    assert_eq!(handle.status().port, Some(first + 1));
    drop(stranger);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_agent_that_ends_at_once_for_another_reason_has_failed_on_its_own_port() {
    let (_lock, range) = block();
    let ports = Ports::new(range.clone());
    let process = agent("echo $PORT; exit 1")
        .limit(RestartIntensity::new(1, Duration::from_secs(60)))
        .lease(ports.lease("agent").unwrap());
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Failed).await;
    assert_eq!(told(&handle), [*range.start(); 2]);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_listener_that_is_handed_over_moves_only_while_nobody_listens() {
    let (_lock, range) = block();
    let ports = Ports::new(range.clone());
    let lease = ports.lease("agent").unwrap();
    let stranger = listen(*range.start()).unwrap();
    let process = agent("echo $PORT; exec sleep 1000")
        .lease(lease)
        .hand_over_listener();
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Running).await;
    drop(stranger);
    kill(handle.status().pid.unwrap());
    until("the next life has told", || async {
        told(&handle).len() == 2
    })
    .await;
    assert_eq!(told(&handle), [range.start() + 1; 2]);
    drop(system.shut_down().await);
}
