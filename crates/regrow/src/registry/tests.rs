//! What needs to see the registry from inside: its death, and its index beside one that is made anew.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};
use regrow_core::index::{Entry, Index};

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
        let status = |entry: &Entry| {
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

/// How many look-ups the race makes: some in the tests, ten million in `scripts/prove registry`.
fn look_ups() -> u64 {
    let asked = std::env::var("REGROW_LOOK_UPS").ok();
    asked.map_or(20_000, |asked| asked.parse().expect("a number"))
}

/// Children fail, come and go, one round after the other.
async fn stir(system: Arc<System>, until: Arc<AtomicBool>) -> u64 {
    let (registry, guests) = (system.registry(), Query::tag("guest"));
    let mut round = 0;
    while !until.load(Ordering::Relaxed) {
        round += 1;
        let path = format!("root/w{}", round % 32);
        // It may be down from the round before.
        drop(system.address::<bool>(&path).unwrap().send(true));
        let guest = ChildSpec::actor("guest", Worker, ()).tags(["worker", "guest"]);
        let guest = guest.restart(Restart::Temporary);
        system.start_child("root", guest).await.unwrap();
        let known = registry.get("root/guest").expect("it is there");
        system.terminate_child("root/guest").await.unwrap();
        assert!(!known.is_ready() && known.is_gone());
        assert_eq!(registry.find(&guests), [], "gone in round {round}");
    }
    round
}

#[tokio::test]
async fn a_claim_that_the_registry_dies_over_says_so_and_can_be_made_again() {
    let system = crew(1).await;
    let registry = system.registry();
    let child = registry.get("root/w0").expect("it is there");
    registry.shared().board.registry().expect("it lives").kill();
    // It has not noticed yet: it takes the question along.
    let lost = registry.claim("lead", &child, Conflict::Reject).await;
    assert!(
        matches!(lost, Err(ClaimError::Unanswered { .. })),
        "{lost:?}"
    );
    let again = registry.claim("lead", &child, Conflict::Reject).await;
    assert!(matches!(again, Ok(None)));
    assert_eq!(registry.whereis("lead"), Some(child));
    drop(system.shut_down().await);
}

#[tokio::test]
async fn who_looks_over_and_over_asks_the_registry_once() {
    let system = crew(1).await;
    let registry = system.registry();
    let mut watcher = registry.watch(Query::tag("worker"));
    // Nobody else runs meanwhile: this thread is the only one.
    assert_eq!(watcher.try_next(), None);
    let asked = (0..1_000).filter(|_| watcher.ask_who_is_there()).count();
    assert_eq!(asked, 0, "it has asked, and waits");
    registry.caught_up().await;
    assert!(matches!(watcher.try_next(), Some(Notice::Snapshot(_))));
    assert_eq!(watcher.try_next(), None);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_question_after_tags_alone_makes_nobody_tell_of_phases() {
    let system = System::start(Supervisor::new("root").child(worker(0))).await;
    let system = system.unwrap();
    let registry = system.registry();
    let board = &registry.shared().board;
    assert_eq!(board.wanted(), Follows::Nothing);
    let follows = |text: &str| {
        assert_eq!(registry.find(&text.parse().unwrap()).len(), 1);
        board.wanted()
    };
    assert_eq!(follows("worker"), Follows::Profiles);
    assert_eq!(follows("worker and shard=0 and ready"), Follows::Profiles);
    assert_eq!(registry.count(&Query::tag("worker")), 1);
    assert_eq!(board.wanted(), Follows::Profiles);
    assert_eq!(follows("ready"), Follows::Phases);
    drop(system.shut_down().await);
}

/// Looks up while children fail, come and go: who was told as stopping is never found as ready by a look that begins later, nobody is
/// found twice, and at the end the index is what it would be if it was made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_race_restarts_and_removals_and_never_find_who_has_gone() {
    let system = Arc::new(crew(64).await);
    let registry = system.registry();
    let ready: Query = "worker and ready".parse().unwrap();
    let wrong = Arc::new(AtomicU64::new(0));
    let (asks, counts, is_ready) = (registry.clone(), Arc::clone(&wrong), ready.clone());
    let look = move |event: &crate::Event| {
        if let Payload::ChildStopping { .. } | Payload::ChildTerminated { .. } = event.payload {
            let found = asks.find(&is_ready);
            let is_found = found
                .iter()
                .any(|child| *child.path() == event.subject.path);
            counts.fetch_add(u64::from(is_found), Ordering::Relaxed);
        }
    };
    system.telemetry().attach("look", look).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stirring = tokio::spawn(stir(Arc::clone(&system), Arc::clone(&over)));

    let (workers, shards) = (Query::tag("worker"), "shard=1 and running".parse().unwrap());
    let mut looks = 0;
    while looks < look_ups() {
        for query in [&workers, &ready, &shards] {
            let mut found = registry.find(query);
            let all = found.len();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), all, "somebody is found twice");
            assert!(all <= 65);
            looks += 1;
        }
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);
    assert!(stirring.await.unwrap() > 0);
    assert_eq!(
        wrong.load(Ordering::Relaxed),
        0,
        "found as ready after its stop was told"
    );
    assert!(system.telemetry().detach("look"));
    // Whatever still restarts has restarted when the supervisor has answered.
    while registry.count(&ready) < 64 {
        tokio::task::yield_now().await;
    }
    registry.caught_up().await;
    assert_eq!(registry.count(&workers), 64);
    assert_like_made_anew(&registry);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_registry_that_dies_keeps_those_whom_it_did_not_start_and_misses_no_end() {
    use crate::{ChildKind, LeaveReason, Profile};

    let system = crew(1).await;
    let registry = system.registry();
    let actor = || async { ractor::Actor::spawn(None, Worker, ()).await.unwrap().0 };
    let register = |id: &'static str, cell: &ActorRef<bool>| {
        let profile = Profile::new(ChildKind::Actor, "stranger");
        registry.register(id, cell.clone(), profile)
    };
    let (stays, goes) = (actor().await, actor().await);
    let kept = register("stays", &stays).await.unwrap();
    let lost = register("goes", &goes).await.unwrap();
    registry
        .claim("lead", &kept, Conflict::Reject)
        .await
        .unwrap();
    let mut watcher = registry.watch(Query::below("@"));
    assert!(matches!(watcher.next().await, Notice::Snapshot(who) if who.len() == 2));

    let mut events = system.telemetry().subscribe(1_024).unwrap();
    let first = registry.shared().board.registry().expect("it lives");
    first.kill();
    first.wait(None).await.unwrap();
    // This thread is the only one: nobody has made another yet.
    goes.kill();
    goes.wait(None).await.unwrap();
    registry.caught_up().await;
    let mut left = None;
    while left.is_none() {
        let event = events.next().await.expect("the system goes on");
        if let Payload::RegistryEntryUnregistered { reason } = event.payload {
            left = Some((event.subject.path.to_string(), reason));
        }
    }
    let (path, reason) = left.unwrap();
    assert_eq!(path, "@/goes");
    let known = [
        LeaveReason::Lost,
        LeaveReason::Ended(crate::ExitKind::Killed),
    ];
    assert!(known.map(LeaveReason::as_str).contains(&reason), "{reason}");
    assert!(lost.is_gone() && kept.is_ready());
    assert_eq!(
        registry.find(&Query::below("@")),
        std::slice::from_ref(&kept)
    );
    assert_eq!(registry.whereis("lead"), Some(kept.clone()));
    assert_like_made_anew(&registry);

    // The second one hears of it.
    stays.send_message(true).unwrap();
    stays.wait(None).await.unwrap();
    while !kept.is_gone() {
        tokio::task::yield_now().await;
    }
    registry.caught_up().await;
    assert_eq!(registry.whereis("lead"), None);
    assert_like_made_anew(&registry);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_ended_system_keeps_nobody_in_memory() {
    let system = crew(10).await;
    let registry = system.registry();
    let place = Arc::downgrade(&registry.get("root/w0").expect("it is there").0);
    let service = registry.shared().board.service();
    assert_eq!(registry.find(&Query::tag("worker")).len(), 10);
    drop(system.shut_down().await);
    drop(system);
    let mut service = service;
    service.wait_for(|now| *now == Service::Over).await.unwrap();
    drop(registry);
    // What holds it besides ends with the system, a moment later.
    let freed = async {
        while place.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    let freed = tokio::time::timeout(Duration::from_secs(10), freed).await;
    assert!(freed.is_ok(), "somebody holds it");
}
