//! The event stream: complete, in order, and with every kind of event that actors can cause.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regrow::testing::{Puppet, TestSystem};
use regrow::{Backoff, Event, Supervisor, System};

const SECOND: Duration = Duration::from_secs(1);

/// The events of these domains that need no operating-system process and no HTTP.
const NAMES: [&str; 12] = [
    "regrow.child.start_failed",
    "regrow.child.started",
    "regrow.child.state_changed",
    "regrow.child.stopping",
    "regrow.child.terminated",
    "regrow.supervisor.backoff.reset",
    "regrow.supervisor.child.added",
    "regrow.supervisor.child.removed",
    "regrow.supervisor.meltdown",
    "regrow.supervisor.restart.scheduled",
    "regrow.supervisor.restart.start",
    "regrow.supervisor.restart.stop",
];

fn record(system: &System) -> Arc<Mutex<Vec<Event>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    system
        .telemetry()
        .attach("record", move |event| {
            kept.lock().unwrap().push(event.clone());
        })
        .unwrap();
    events
}

#[tokio::test(start_paused = true)]
async fn a_life_of_a_system_tells_every_kind_of_event_without_a_gap_and_one_at_a_time() {
    let reset = Backoff::none().reset_after(SECOND);
    let crew = Supervisor::new("crew")
        .max_restarts(2, SECOND * 5)
        .child(Puppet::spec("a").backoff(reset));
    let mut system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    let events = record(&system);
    drop(
        system
            .start_child("root", Puppet::refusing("b", 1))
            .await
            .unwrap_err(),
    );
    drop(system.restart_child("root/b").await.unwrap());
    drop(system.terminate_child("root/b").await.unwrap());
    drop(system.delete_child("root/b").await.unwrap());
    system.puppet("root/crew/a").crash("one");
    system
        .expect("regrow.supervisor.restart.stop", "root/crew/a")
        .await;
    tokio::time::advance(SECOND * 6).await;
    for _ in 0..2 {
        system.puppet("root/crew/a").crash("again");
        system
            .expect("regrow.supervisor.restart.stop", "root/crew/a")
            .await;
    }
    system.puppet("root/crew/a").crash("too often");
    system.expect("regrow.child.started", "root/crew").await;
    drop(system.shut_down().await);

    let events = events.lock().unwrap();
    let first = events[0].seq;
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(
        seqs,
        (first..first + events.len() as u64).collect::<Vec<_>>()
    );
    let names: BTreeSet<&str> = events.iter().map(Event::name).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), NAMES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_many_supervisors_at_once_each_event_has_its_own_number() {
    let crews = (0..20).map(|n| {
        let children = (0..50).map(|m| Puppet::spec(&format!("c{m}")));
        children.fold(Supervisor::new(format!("crew{n}")), Supervisor::child)
    });
    let tree = crews.fold(
        Supervisor::new("root").order(regrow::Order::Dependencies),
        Supervisor::child,
    );
    let system = TestSystem::launch(tree).await;
    // Not while it boots: a supervisor in the middle of a turn goes on telling those who listened when that began.
    system.booted().await.unwrap();
    let events = record(&system);
    for n in 0..20 {
        for m in 0..3 {
            system.puppet(&format!("root/crew{n}/c{m}")).crash("boom");
        }
    }
    drop(system.shut_down().await);
    let mut seqs: Vec<u64> = events
        .lock()
        .unwrap()
        .iter()
        .map(|event| event.seq)
        .collect();
    seqs.sort_unstable();
    let first = seqs[0];
    assert_eq!(
        seqs,
        (first..first + seqs.len() as u64).collect::<Vec<_>>(),
        "no gap, and none twice"
    );
}

#[tokio::test(start_paused = true)]
async fn each_child_tells_its_phases_in_an_order_that_makes_sense() {
    let tree = (0..9).fold(
        Supervisor::new("root").strategy(regrow::Strategy::OneForAll),
        |tree, n| tree.child(Puppet::spec(&format!("c{n}")).backoff(Backoff::none())),
    );
    let system = TestSystem::start(tree).await;
    let events = record(&system);
    for child in ["root/c0", "root/c8", "root/c4"] {
        let pid = system.which_child(child).await.unwrap().generation;
        system.puppet(child).crash("boom");
        while system
            .which_child("root/c8")
            .await
            .map(|info| info.generation == pid || !info.ready)
            .unwrap_or(false)
        {
            tokio::task::yield_now().await;
        }
    }
    drop(system.shut_down().await);
    let events = events.lock().unwrap();
    for n in 0..9 {
        let path = format!("root/c{n}");
        let mine = events.iter().filter(|event| event.subject.path == *path);
        let mut up = true;
        for event in mine {
            match event.name() {
                "regrow.child.started" => {
                    assert!(!std::mem::replace(&mut up, true), "{path} started twice");
                }
                "regrow.child.terminated" => {
                    assert!(std::mem::replace(&mut up, false), "{path} ended twice");
                }
                _ => {}
            }
        }
        assert!(!up, "{path} has ended");
    }
}
