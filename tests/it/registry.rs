//! Children are found by what they are.

use std::num::NonZeroUsize;
use std::time::Duration;

use regrow::testing::{Puppet, TestSystem};
use regrow::{
    Backoff, Because, Candidate, ChildKind, ChildSpec, DynamicSupervisor, FirstRestart,
    LeaveReason, Notice, Phase, Query, Registered, Restart, Select, Supervisor, System, Term,
};

const SECOND: Duration = Duration::from_secs(1);

fn query(text: &str) -> Query {
    text.parse().expect("a query")
}

fn paths(found: &[Registered]) -> Vec<&str> {
    let mut paths: Vec<&str> = found.iter().map(Candidate::path).collect();
    paths.sort_unstable();
    paths
}

/// Two coders and a tester, and a place for those who come and go.
fn crew() -> Supervisor {
    let coder = |id: &str, lang: &str| {
        Puppet::spec(id)
            .of_type("coder")
            .tags([format!("lang={lang}"), "crew".to_owned()])
    };
    Supervisor::new("root")
        .child(
            coder("ann", "rust")
                .capabilities(["review"])
                .meta("cost", 3),
        )
        .child(coder("bob", "elixir"))
        .child(Puppet::spec("eve").of_type("tester").tags(["crew"]))
        .child(DynamicSupervisor::new("guests"))
}

#[tokio::test(start_paused = true)]
async fn every_child_is_found_by_what_its_spec_says_of_it() {
    let system = TestSystem::start(crew()).await;
    let registry = system.registry();
    let found = |text: &str| {
        let found = registry.find(&query(text));
        paths(&found).join(" ")
    };
    assert_eq!(found("*"), "root/ann root/bob root/eve root/guests");
    assert_eq!(found("type:coder"), "root/ann root/bob");
    assert_eq!(found("type:coder and lang=rust and ready"), "root/ann");
    assert_eq!(found("crew and not type:coder"), "root/eve");
    assert_eq!(found("cap:review"), "root/ann");
    assert_eq!(found("meta:cost<=3"), "root/ann");
    assert_eq!(found("kind:supervisor"), "root/guests");
    assert_eq!(found("path:root/guests"), "root/guests");
    assert_eq!(found("lang=rust or type:tester"), "root/ann root/eve");
    assert_eq!(registry.count(&query("crew")), 3);
    assert_eq!(registry.count(&query("crew and lang?")), 2);
    assert_eq!(registry.count(&query("crew and running")), 3);
    assert_eq!(registry.members(&Term::Tag("crew".into())).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_entry_survives_a_restart_and_nobody_is_ready_between() {
    let root = Supervisor::new("root").child(
        Puppet::spec("ann")
            .tags(["crew"])
            .backoff(Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed)),
    );
    let mut system = TestSystem::start(root).await;
    let registry = system.registry();
    let ann = registry.get("root/ann").expect("it is there");
    assert_eq!((ann.generation(), ann.is_ready()), (1, true));

    system.puppet("root/ann").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/ann")
        .await;
    // Whatever the index knows: this is read where the supervisor writes.
    assert_eq!((ann.phase(), ann.is_ready()), (Phase::Backoff, false));
    assert_eq!(registry.find(&query("crew and ready")), []);
    assert_eq!(paths(&registry.find(&query("crew"))), ["root/ann"]);
    registry.caught_up().await;
    assert_eq!(paths(&registry.find(&query("backoff"))), ["root/ann"]);

    system.expect("regrow.child.started", "root/ann").await;
    assert_eq!((ann.generation(), ann.is_ready()), (2, true));
    assert_eq!(registry.find(&query("crew and ready")), [ann]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_found_and_who_goes_is_not() {
    let system = TestSystem::start(crew()).await;
    let registry = system.registry();
    let guest = Puppet::spec("gus")
        .tags(["guest"])
        .restart(Restart::Temporary);
    system.start_child("root/guests", guest).await.unwrap();
    registry.caught_up().await;
    let gus = registry.get("root/guests/gus").expect("it is there");
    let found = |text: &str| paths(&registry.find(&query(text))).join(" ");
    assert_eq!(found("guest"), "root/guests/gus");
    assert_eq!(found("path:root/guests and kind:actor"), "root/guests/gus");

    system.terminate_child("root/guests/gus").await.unwrap();
    // Gone at once, however far behind the index is.
    assert!(gus.is_gone());
    assert_eq!(registry.find(&query("guest")), []);
    assert!(registry.get("root/guests/gus").is_none());
    registry.caught_up().await;
    assert_eq!(registry.count(&query("guest")), 0);
}

#[tokio::test(start_paused = true)]
async fn with_a_supervisor_go_all_below_it() {
    let inner = DynamicSupervisor::new("inner");
    let system = TestSystem::start(Supervisor::new("root").child(inner)).await;
    let registry = system.registry();
    let inner = Supervisor::new("team").child(Puppet::spec("ann").tags(["deep"]));
    system.start_child("root/inner", inner).await.unwrap();
    registry.caught_up().await;
    assert_eq!(
        paths(&registry.find(&query("deep"))),
        ["root/inner/team/ann"]
    );
    system.terminate_child("root/inner/team").await.unwrap();
    assert_eq!(registry.find(&query("deep")), []);
    registry.caught_up().await;
    assert_eq!(registry.count(&query("*")), 1, "the inner supervisor");
}

#[tokio::test(start_paused = true)]
async fn children_of_a_supervisor_that_starts_again_keep_their_entries() {
    let team = Supervisor::new("team")
        .max_restarts(0, Duration::from_secs(1))
        .child(Puppet::spec("ann").tags(["crew"]));
    let root = Supervisor::new("root").child(team);
    let mut system = TestSystem::start(root).await;
    let registry = system.registry();
    let ann = registry.get("root/team/ann").expect("it is there");
    system.puppet("root/team/ann").crash("boom");
    system.expect("regrow.child.started", "root/team/ann").await;
    system.expect("regrow.child.started", "root/team").await;
    registry.caught_up().await;
    assert_eq!(
        paths(&registry.find(&query("crew and ready"))),
        ["root/team/ann"]
    );
    assert_eq!(ann.generation(), 2, "no two lives have one number");
}

#[tokio::test(start_paused = true)]
async fn what_a_child_is_can_be_changed_during_its_life_from_inside_and_outside() {
    let busy = ChildSpec::actor_from("busy", |context| {
        let me = context.registered().expect("it has a place");
        me.set_load(7);
        me.edit(|profile| {
            profile.capabilities.insert("translate".into());
        });
        (Quiet, ())
    });
    let root = Supervisor::new("root")
        .child(busy)
        .child(Puppet::spec("ann"));
    let system = TestSystem::start(root).await;
    let registry = system.registry();
    registry.caught_up().await;
    let busy = registry.find(&query("cap:translate"));
    assert_eq!(paths(&busy), ["root/busy"]);
    assert_eq!(busy[0].load(), 7);

    let ann = registry.get("root/ann").expect("it is there");
    ann.edit(|profile| {
        profile.tags.insert("night-shift".into());
        profile.metadata.insert("cost".into(), 2.into());
    });
    registry.caught_up().await;
    assert_eq!(registry.find(&query("night-shift and meta:cost=2")), [ann]);
    let least = registry.pick(&query("kind:actor"), &Select::LeastLoaded);
    assert_eq!(least.expect("somebody").path(), "root/ann");
}

/// An actor that does nothing.
#[derive(Clone)]
struct Quiet;

impl ractor::Actor for Quiet {
    type Msg = ();
    type State = ();
    type Arguments = ();
    async fn pre_start(
        &self,
        _: ractor::ActorRef<()>,
        (): (),
    ) -> Result<(), ractor::ActorProcessingErr> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_several_is_chosen_as_it_was_asked_for() {
    let worker = |n: u32| Puppet::spec(&format!("w{n}")).tags(["worker"]);
    let root = (0..4).fold(Supervisor::new("root"), |root, n| root.child(worker(n)));
    let system = TestSystem::start(root).await;
    let registry = system.registry();
    let pick = |select: &Select| {
        let one = registry.pick(&query("worker and ready"), select);
        one.map(|one| one.path().to_string()).expect("somebody")
    };
    let mut turns: Vec<String> = (0..4).map(|_| pick(&Select::RoundRobin)).collect();
    turns.sort_unstable();
    assert_eq!(turns, ["root/w0", "root/w1", "root/w2", "root/w3"]);
    let by_key = Select::Consistent("session-1".into());
    assert_eq!(pick(&by_key), pick(&by_key));
    assert!(registry.pick(&query("nobody"), &Select::First).is_none());
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_who_is_there_and_then_every_change_with_its_reason() {
    let mut system = TestSystem::start(crew()).await;
    let registry = system.registry();
    let mut watcher = registry.watch(query("lang=rust and ready"));
    let Notice::Snapshot(entries) = watcher.next().await else {
        panic!("first who is there")
    };
    assert_eq!((entries.len(), &*entries[0].path), (1, "root/ann"));

    system.puppet("root/ann").crash("boom");
    let Notice::Left { entry, because } = watcher.next().await else {
        panic!("it is not ready")
    };
    assert_eq!((&*entry.path, entry.status.generation), ("root/ann", 1));
    let Because::Changed(now) = because else {
        panic!("it is still there")
    };
    assert_eq!(now.status.phase, Phase::Backoff);
    let Notice::Entered { entry, before } = watcher.next().await else {
        panic!("it is ready again")
    };
    assert_eq!((entry.status.generation, entry.status.ready), (2, true));
    assert_eq!(before.expect("it was there").status.phase, Phase::Starting);
    system.expect("regrow.child.started", "root/ann").await;

    system.terminate_child("root/ann").await.unwrap();
    let Notice::Left { because, .. } = watcher.next().await else {
        panic!("it is not ready")
    };
    assert!(matches!(because, Because::Changed(now) if now.status.phase == Phase::Stopping));
    assert_eq!(watcher.try_next(), None);
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_why_somebody_has_left() {
    let system = TestSystem::start(crew()).await;
    let mut watcher = system.registry().watch(query("guest"));
    assert_eq!(watcher.next().await, Notice::Snapshot(Vec::new()));
    let guest = Puppet::spec("gus")
        .tags(["guest"])
        .restart(Restart::Temporary);
    system.start_child("root/guests", guest).await.unwrap();
    assert!(matches!(
        watcher.next().await,
        Notice::Entered { before: None, .. }
    ));
    system.puppet("root/guests/gus").fail("tired");
    let mut last = watcher.next().await;
    while let Notice::Changed { .. } = last {
        last = watcher.next().await;
    }
    let Notice::Left { because, .. } = last else {
        panic!("it has left, not {last:?}")
    };
    let ended = LeaveReason::Ended(regrow::ExitKind::Error);
    assert_eq!(because, Because::Gone(ended));
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_told_what_it_missed_and_then_who_is_there() {
    let mut system = TestSystem::start(crew()).await;
    let registry = system.registry();
    let two = NonZeroUsize::new(2).expect("it is not zero");
    let mut slow = registry.watch_with(query("type:tester"), two);
    assert!(matches!(slow.next().await, Notice::Snapshot(who) if who.len() == 1));
    let eve = registry.get("root/eve").expect("it is there");
    for shift in 0..5 {
        eve.edit(|profile| {
            profile.metadata.insert("shift".into(), shift.into());
        });
    }
    registry.caught_up().await;
    system.expect("regrow.registry.watch.missed", "root").await;
    assert_eq!(slow.next().await, Notice::Missed(5));
    let Notice::Snapshot(who) = slow.next().await else {
        panic!("who is there now")
    };
    assert_eq!(who[0].profile.metadata["shift"], 4);
}

#[tokio::test(start_paused = true)]
async fn two_systems_share_nothing() {
    let one = TestSystem::start(crew()).await;
    let other = TestSystem::start(Supervisor::new("root").child(Puppet::spec("zoe"))).await;
    assert_eq!(paths(&other.registry().find(&Query::all())), ["root/zoe"]);
    assert_eq!(one.registry().count(&Query::kind(ChildKind::Actor)), 3);
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_once_that_a_new_child_is_ready() {
    let system = TestSystem::start(DynamicSupervisor::new("root")).await;
    let registry = system.registry();
    let mut watcher = registry.watch(Query::ready());
    assert_eq!(watcher.next().await, Notice::Snapshot(Vec::new()));
    let ann = Puppet::spec("ann");
    system.start_child("root", ann).await.unwrap();
    registry.caught_up().await;
    assert!(matches!(watcher.try_next(), Some(Notice::Entered { .. })));
    assert_eq!(watcher.try_next(), None);
}

/// A second snapshot would throw away what was not taken yet, with its reasons.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_then_watches_is_told_once_who_is_there() {
    for asks_first in [true, false].into_iter().cycle().take(400) {
        let crew = Supervisor::new("root").child(Puppet::spec("ann").tags(["crew"]));
        let system = System::start(crew).await.expect("it starts");
        let registry = system.registry();
        if asks_first {
            assert_eq!(registry.find(&query("crew and ready")).len(), 1);
        }
        let mut watcher = registry.watch(query("crew and ready"));
        assert!(matches!(watcher.next().await, Notice::Snapshot(who) if who.len() == 1));
        registry.caught_up().await;
        assert_eq!(watcher.try_next(), None);
        drop(system.shut_down().await);
    }
}

/// The value of a series in Prometheus' text; 0 where there is none.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test(start_paused = true)]
async fn what_is_there_and_what_is_done_with_it_is_counted() {
    let system = TestSystem::start(crew()).await;
    let registry = system.registry();
    let child = |id: &str| registry.get(&format!("root/{id}")).expect("it is there");
    let (ann, bob) = (child("ann"), child("bob"));
    for who in [&ann, &bob] {
        drop(registry.claim("lead", who, regrow::Conflict::Reject).await);
        registry.join("pool", who).await.expect("it can");
    }
    assert!(!registry.release("lead", &bob).await);
    let lang = query("lang=rust and ready");
    for _ in 0..20_000 {
        assert!(registry.get("root/eve").is_some());
        assert!(registry.get("root/nobody").is_none());
        assert_eq!(registry.find(&lang).len(), 1);
    }
    let text = system.exporter().render();
    let entries = |kind| {
        value(
            &text,
            &format!("regrow_registry_entries{{kind=\"{kind}\"}}"),
        )
    };
    let kinds = ["child", "foreign", "name", "membership"].map(entries);
    assert_eq!(kinds, [4.0, 0.0, 1.0, 2.0]);
    let done = |operation, result| {
        let labels = format!("operation=\"{operation}\",result=\"{result}\"");
        value(
            &text,
            &format!("regrow_registry_operations_total{{{labels}}}"),
        )
    };
    assert_eq!([done("claim", "ok"), done("claim", "refused")], [1.0, 1.0]);
    assert_eq!([done("join", "ok"), done("release", "none")], [2.0, 1.0]);
    // One in 64 is seen, and counts for all.
    for (operation, result) in [("lookup", "ok"), ("lookup", "none"), ("query", "ok")] {
        let about = done(operation, result);
        assert!(
            (14_000.0..26_000.0).contains(&about),
            "{operation}: {about}"
        );
    }
    let timed = "regrow_registry_lookup_seconds_count{operation=\"query\"}";
    assert_eq!(value(&text, timed) * 64.0, done("query", "ok"));
}
