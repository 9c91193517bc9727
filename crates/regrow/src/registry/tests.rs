//! What needs to see the registry from inside: its death, and its index beside one that is made anew.

use ractor::{ActorProcessingErr, ActorRef};
use regrow_core::index::Index;

use super::*;
use crate::telemetry::{EventStream, Payload};
use crate::{Backoff, ChildSpec, DynamicSupervisor, Notice, Restart, Supervisor, System};

#[derive(Clone)]
struct Worker;

#[ractor::actor(message = bool)]
impl Worker {
    async fn pre_start(&self, _: ActorRef<bool>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<bool>,
        fails: bool,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if fails {
            Err("as asked".into())
        } else {
            Ok(())
        }
    }
}

fn worker(n: usize) -> ChildSpec {
    ChildSpec::actor(format!("w{n}"), Worker, ())
        .tags(["worker".to_owned(), format!("shard={}", n % 4)])
        .backoff(Backoff::none())
}

async fn crew(n: usize) -> System {
    let root = DynamicSupervisor::new("root").no_intensity_limit();
    let system = System::start(Supervisor::from(root)).await.unwrap();
    let report = system.start_children("root", (0..n).map(worker)).await;
    assert!(report.unwrap().failed.is_empty());
    // From the first question on it follows who is there, and how.
    assert_eq!(system.registry().count(&"ready".parse().unwrap()), n);
    system.registry().caught_up().await;
    system
}

/// Why the registry says that it has begun anew, and with how many.
async fn rebuilt(events: &mut EventStream) -> (&'static str, u64) {
    loop {
        let event = events.next().await.expect("the system goes on");
        if let Payload::RegistryRebuilt { entries, why } = event.payload {
            return (why, entries);
        }
    }
}

/// Fails unless the index is the one that would be made from the living.
fn assert_like_made_anew(registry: &Registry) {
    let mut fresh = Index::new();
    registry.tree.each_place(|place| {
        assert!(
            fresh
                .insert(place.entry(), Registered::new(place))
                .is_some()
        );
    });
    let index = registry.shared().index.read();
    let index = index.unwrap_or_else(PoisonError::into_inner);
    assert_eq!(index.len(), fresh.len());
    for found in index.iter() {
        let (known, now) = (found.entry, found.handle.entry());
        assert_eq!(known.profile, now.profile);
        let status = |entry: &Known| {
            (
                entry.status.phase,
                entry.status.ready,
                entry.status.generation,
            )
        };
        assert_eq!(status(known), status(&now), "{}", now.path);
        let fresh = fresh.get(&now.path).expect("it is there");
        assert!(fresh.handle == found.handle);
    }
}

#[tokio::test]
async fn a_registry_that_dies_loses_nobody_and_is_asked_meanwhile() {
    let system = crew(100).await;
    let registry = system.registry();
    let mut watcher = registry.watch(Query::tag("worker"));
    assert!(matches!(watcher.next().await, Notice::Snapshot(who) if who.len() == 100));

    let mut events = system.telemetry().subscribe(1_024).unwrap();
    let first = registry.shared().board.registry().expect("it lives");
    first.kill();
    first.wait(None).await.unwrap();
    assert_eq!(registry.find(&Query::tag("worker")).len(), 100);
    let late = system.start_child("root", worker(100)).await;
    assert!(late.is_ok(), "no supervisor waits for it");
    assert!(
        registry
            .get("root/w100")
            .is_some_and(|late| late.is_ready())
    );

    let (why, entries) = rebuilt(&mut events).await;
    assert_eq!(why, "died");
    assert!(entries >= 100);
    registry.caught_up().await;
    let second = registry.shared().board.registry().expect("it lives");
    assert_ne!(first.get_id(), second.get_id());
    assert_eq!(registry.count(&Query::tag("worker")), 101);
    // Who watches begins anew; the late one is there already, or comes.
    let next = watcher.next().await;
    let Notice::Snapshot(who) = next else {
        panic!("first who is there, not {next:?}")
    };
    if who.len() == 100 {
        let next = watcher.next().await;
        assert!(matches!(next, Notice::Entered { entry, .. } if &*entry.path == "root/w100"));
    } else {
        assert_eq!(who.len(), 101);
    }
    assert_like_made_anew(&registry);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn more_news_than_the_board_holds_is_made_up_for_by_a_look_at_the_living() {
    let system = crew(10).await;
    let registry = system.registry();
    let place = registry.get("root/w0").expect("it is there").0;
    let too_many = |_| News::Profile {
        place: Arc::clone(&place),
        profile: place.standing.profile(),
    };
    let mut events = system.telemetry().subscribe(1_024).unwrap();
    let mut news: Vec<News> = (0..=65_536).map(too_many).collect();
    registry.shared().board.pin(&mut news);
    assert!(news.is_empty(), "it is thrown away");
    registry.caught_up().await;
    assert_eq!(rebuilt(&mut events).await, ("torn", 10));
    assert_like_made_anew(&registry);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_end_of_the_system_ends_its_registry() {
    let system = crew(1).await;
    let registry = system
        .registry()
        .shared()
        .board
        .registry()
        .expect("it lives");
    drop(system.shut_down().await);
    registry.wait(Some(Duration::from_secs(60))).await.unwrap();
    // Nobody answers any more, and nobody waits.
    system.registry().caught_up().await;
}

/// Looks up while children fail, come and go: who was told as stopping is never found as ready by a look that begins later, and
/// nobody is found twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_race_restarts_and_removals_and_never_find_who_has_gone() {
    const ROUNDS: usize = 2_000;
    let system = Arc::new(crew(64).await);
    let registry = system.registry();
    let stir = {
        let system = Arc::clone(&system);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let path = format!("root/w{}", round % 32);
                // It may be down from the round before.
                drop(system.address::<bool>(&path).unwrap().send(true));
                let guest = ChildSpec::actor("guest", Worker, ()).tags(["worker", "guest"]);
                let guest = guest.restart(Restart::Temporary);
                system.start_child("root", guest).await.unwrap();
                let known = system.registry().get("root/guest").expect("it is there");
                system.terminate_child("root/guest").await.unwrap();
                assert!(!known.is_ready() && known.is_gone());
                let found = system.registry().find(&Query::tag("guest"));
                assert!(found.is_empty(), "gone in round {round}, and found");
            }
        })
    };
    let (workers, ready): (Query, Query) = (
        Query::tag("worker"),
        "worker and shard? and ready".parse().unwrap(),
    );
    let mut looks = 0_u64;
    while !stir.is_finished() {
        for query in [&workers, &ready] {
            let found = registry.find(query);
            let mut paths: Vec<&str> = found.iter().map(Candidate::path).collect();
            paths.sort_unstable();
            let all = paths.len();
            paths.dedup();
            assert_eq!(paths.len(), all, "somebody is found twice");
            assert!(all <= 65);
            looks += 1;
        }
        tokio::task::yield_now().await;
    }
    stir.await.unwrap();
    assert!(looks > 0);
    registry.caught_up().await;
    assert_eq!(registry.count(&workers), 64);
    drop(system.which_children("root").await);
    registry.caught_up().await;
    assert_like_made_anew(&registry);
    drop(system.shut_down().await);
}
