//! The cases without a group: counts, what is remembered of temporary children, restarts that hang, orders, many children.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorCell, registry};
use regrow::testing::{Bare, Puppet};
use regrow::{
    ChildKind, ChildSpec, DynamicSupervisor, OperateError, Restart, StartContext, StartFailure,
    Strategy, Supervisor,
};

use super::kit::{
    Deadlock, End, RESTARTS, SECOND, STRATEGIES, Suite, one_for_one, simple, sup, with_parameters,
    worker,
};

async fn a_thousand_and_another(kind: ChildKind, supervisors: u32) {
    let suite = Suite::start(simple(2)).await;
    let batch = |from: u32| {
        let temporary = move |n| worker(&format!("child{n}")).restart(Restart::Temporary);
        (from..from + 1_000).map(move |n| temporary(n).kind(kind))
    };
    let expected = |n: u32| [1, n, n * supervisors, n * (1 - supervisors)];
    for n in [1_000, 2_000] {
        let report = suite.start_children("sup", batch(n)).await;
        assert_eq!(report.map(|report| report.started).ok(), Some(1_000));
        assert_eq!(suite.counts().await, expected(n));
        assert_eq!(suite.which().await.len(), n as usize);
        assert_eq!(suite.counts().await, expected(n), "asking changes nothing");
    }
    let mut suite = suite;
    for n in 1_000..3_000 {
        suite.begin_end(&format!("child{n}"), End::Kill);
    }
    suite.settle().await;
    assert_eq!(suite.counts().await, [1, 0, 0, 0]);
    assert!(suite.which().await.is_empty());
}

/// Case 74: a thousand children are counted, and two thousand, and none when all are killed.
#[tokio::test(start_paused = true)]
async fn count_children() {
    a_thousand_and_another(ChildKind::Actor, 0).await;
}

/// Case 75: the same of children that are supervisors.
#[tokio::test(start_paused = true)]
async fn count_children_supervisor() {
    a_thousand_and_another(ChildKind::Supervisor, 1).await;
}

/// Case 76: children that wait for a restart are counted as children, and not as active.
#[tokio::test(start_paused = true)]
async fn count_restarting_children() {
    let deadlock = Deadlock::default();
    let tree = simple(10).max_restarts(10, SECOND * 11);
    let mut suite = Suite::start(tree).await;
    for id in ["child1", "child2", "child3"] {
        suite.add(deadlock.worker(id)).await;
    }
    assert_eq!(suite.counts().await, [1, 3, 0, 3]);
    deadlock.set(true);
    suite.begin_end("child1", End::Abnormal);
    suite.end("child2", End::Abnormal).await;
    assert_eq!(suite.counts().await, [1, 1, 0, 3]);
    let expected = ["child1 restarting", "child2 restarting", "child3/1"];
    assert_eq!(suite.which().await, expected);
    deadlock.set(false);
    suite.expect("regrow.child.started", "sup/child1").await;
    suite.settle().await;
    assert_eq!(suite.counts().await, [1, 3, 0, 3]);
    for (left, id) in [(2, "child1"), (1, "child2"), (0, "child3")] {
        suite.terminate(id).await;
        assert_eq!(suite.counts().await, [1, left, 0, left]);
    }
}

/// Case 78: the start parameters of a temporary child are not kept, those of others are; counted by who holds them.
#[tokio::test(start_paused = true)]
async fn do_not_save_start_parameters_for_temporary_children() {
    let trees: Vec<Supervisor> = STRATEGIES
        .iter()
        .map(|strategy| sup(*strategy, 2))
        .collect();
    for tree in trees.into_iter().chain([simple(2).into()]) {
        for restart in RESTARTS {
            let parameters = Arc::new(());
            let suite = Suite::start(tree.clone()).await;
            for n in 0..100 {
                let id = format!("child{n}");
                suite.add(with_parameters(&id, &parameters, restart)).await;
            }
            let expected = match restart {
                Restart::Temporary => 1,
                Restart::Permanent | Restart::Transient => 101,
            };
            assert_eq!(Arc::strong_count(&parameters), expected, "{restart:?}");
        }
    }
}

/// Case 79: the spec of a temporary child is gone with it, however it ended; others are there, or run again.
#[tokio::test(start_paused = true)]
async fn do_not_save_child_specs_for_temporary_children() {
    for strategy in STRATEGIES {
        for end in [End::Kill, End::Normal, End::Abnormal, End::Supervisor] {
            let mut suite = Suite::start(sup(strategy, 3)).await;
            for restart in RESTARTS {
                let id = restart.as_str();
                let child = || worker(id).restart(restart);
                assert_eq!(suite.add(child()).await, format!("{id}/1"));
                suite.end(id, end).await;
                let rests = end == End::Supervisor || end == End::Normal;
                let expected = match restart {
                    Restart::Permanent if end == End::Supervisor => "already_present",
                    Restart::Transient if rests => "already_present",
                    Restart::Permanent | Restart::Transient => "already_started",
                    Restart::Temporary => "temporary/1",
                };
                assert_eq!(suite.add(child()).await, expected, "{strategy:?} {end:?}");
                if expected == "already_present" {
                    assert_eq!(suite.restart(id).await, format!("{id}/2"));
                }
            }
            suite.stop().await;
        }
    }
}

/// Children that are added and ended by one supervisor and by ten, a tenth each, taking turns, so that whatever else the machine does
/// slows down both: how long the adding took, and the ending, for the one and for the ten.
async fn one_against_ten(tree: impl Into<Supervisor>, tenth: u32) -> [(Duration, Duration); 2] {
    let id = |n: u32| format!("child{n}");
    let add = async |suite: &Suite, children: Range<u32>| {
        let began = Instant::now();
        for n in children {
            let added = suite.add(worker(&id(n)).restart(Restart::Temporary)).await;
            assert_eq!(added, format!("child{n}/1"));
        }
        began.elapsed()
    };
    let end = async |suite: &Suite, children: Range<u32>| {
        let began = Instant::now();
        for n in children {
            suite.terminate(&id(n)).await;
        }
        began.elapsed()
    };
    let tree = tree.into();
    let (mut took, mut ten) = ([(Duration::ZERO, Duration::ZERO); 2], Vec::new());
    let one = Suite::start(tree.clone()).await;
    for round in 0..10 {
        let small = Suite::start(tree.clone()).await;
        took[1].0 += add(&small, 0..tenth).await;
        took[0].0 += add(&one, round * tenth..(round + 1) * tenth).await;
        ten.push(small);
    }
    assert_eq!(one.counts().await[1], tenth * 10);
    for (round, small) in (0..10).zip(&ten) {
        took[1].1 += end(small, 0..tenth).await;
        took[0].1 += end(&one, round * tenth..(round + 1) * tenth).await;
    }
    assert_eq!(one.counts().await[1], 0);
    took
}

/// Case 80: a temporary child costs much the same to end however many there are; five times as much is allowed, as in OTP.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_scale_many_temporary_children() {
    let [one, ten] = one_against_ten(simple(2), 500).await;
    assert!(one.1 < ten.1 * 5, "{one:?} and {ten:?}");
}

/// Case 81: a temporary sibling that a restart has stopped is not started again, and nobody gives up for it.
#[tokio::test(start_paused = true)]
async fn temporary_bystander() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let mut suite = Suite::start(sup(strategy, 2)).await;
        suite.add(worker("child1")).await;
        suite
            .add(worker("child2").restart(Restart::Temporary))
            .await;
        suite.told();
        suite.end("child1", End::Normal).await;
        let expected = ["child1/1 normal", "child2/1 shutdown", "child1/2 started"];
        assert_eq!(suite.told(), expected, "nobody tries to");
        assert!(suite.end_reason().is_none());
        assert_eq!(suite.which().await, ["child1/2"]);
    }
}

/// The present life of a server with a name for the whole program, and its supervisor.
#[derive(Clone, Debug, Default)]
struct Server(Arc<Mutex<Option<(ActorCell, ActorCell)>>>);

const NAME: &str = "simple_global_supervisor";

impl Server {
    fn spec(&self) -> ChildSpec {
        let told = Arc::clone(&self.0);
        ChildSpec::start_with("server", move |context: StartContext| {
            let told = Arc::clone(&told);
            async move {
                let supervisor = context.supervisor();
                let name = Some(NAME.to_owned());
                let (actor, _) = Bare::spawn_linked(name, Bare, (), supervisor.clone()).await?;
                *told.lock().expect("nobody panics here") = Some((actor.get_cell(), supervisor));
                Ok::<_, StartFailure>(actor)
            }
        })
    }

    /// The server and its supervisor; the name is the server's.
    fn now(&self) -> (ActorCell, ActorCell) {
        let now = self.0.lock().expect("nobody panics here").clone();
        let (server, supervisor) = now.expect("it has been started");
        let named = registry::where_is(NAME).expect("the name is taken");
        assert_eq!(named.get_id(), server.get_id());
        (server, supervisor)
    }
}

/// Case 82: whoever has a name for the whole program has it again in its next life, also when a supervisor is killed.
#[tokio::test(start_paused = true)]
async fn simple_global_supervisor() {
    let minute = Duration::from_secs(60);
    for round in 0..4 {
        let server = Server::default();
        let top = Supervisor::new("sup").otp_compat().max_restarts(3, minute);
        let middle = Supervisor::new("middle")
            .otp_compat()
            .max_restarts(3, minute);
        let tree = middle.strategy(Strategy::OneForAll).child(server.spec());
        let mut suite = Suite::start(top.strategy(Strategy::OneForAll).child(tree)).await;
        let (first, supervisor) = server.now();
        match round {
            0 => supervisor.kill(),
            1 => suite.begin_end("middle/server", End::Kill),
            2 => suite.begin_end("middle/server", End::Abnormal),
            _ => {
                suite.terminate("middle/server").await;
                assert_eq!(suite.restart("middle/server").await, "server/2");
            }
        }
        suite.settle().await;
        let (second, another) = server.now();
        assert_ne!(first.get_id(), second.get_id(), "round {round}");
        assert_eq!(supervisor.get_id() != another.get_id(), round == 0);
        assert_eq!(suite.which_of("sup/middle").await, ["server/2"]);
        drop(suite);
        second.wait(Some(SECOND)).await.unwrap();
        assert!(registry::where_is(NAME).is_none(), "round {round}");
    }
}

/// A supervisor that allows as many failures as fit into its period when each start takes two seconds.
fn patient(strategy: Strategy) -> Supervisor {
    sup(strategy, 8).max_restarts(8, SECOND * 10)
}

/// Case 83: while a child does not come up again, operators are told so; they can stop it and start it, and all can be stopped.
#[tokio::test(start_paused = true)]
async fn hanging_restart_loop() {
    let deadlock = Deadlock::default();
    let mut suite = Suite::start(patient(Strategy::OneForOne)).await;
    suite.add(deadlock.worker("child1")).await;
    deadlock.set(true);
    suite.end("child1", End::Abnormal).await;
    for _ in 0..2 {
        assert_eq!(
            suite.add(deadlock.worker("child1")).await,
            "already_present"
        );
        assert_eq!(suite.restart("child1").await, "restarting");
        assert_eq!(suite.delete("child1").await, "restarting");
        assert_eq!(suite.which().await, ["child1 restarting"]);
        assert_eq!(suite.counts().await, [1, 0, 0, 1]);
        suite
            .expect("regrow.child.start_failed", "sup/child1")
            .await;
        suite.settle().await;
    }
    suite.terminate("child1").await;
    assert_eq!(suite.told()[1], "child1/1 error");
    assert_eq!(suite.which().await, ["child1 undefined"]);
    assert_eq!(suite.counts().await, [1, 0, 0, 1]);
    suite.settle().await;
    assert_eq!(suite.which().await, ["child1 undefined"], "it stays so");

    deadlock.set(false);
    assert!(suite.restart("child1").await.starts_with("child1/"));
    deadlock.set(true);
    suite.end("child1", End::Abnormal).await;
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Case 84: the same in the middle of others: those before it run on, those after it are down, and stay so when it is stopped.
#[tokio::test(start_paused = true)]
async fn hanging_restart_loop_rest_for_one() {
    let deadlock = Deadlock::default();
    let tree = patient(Strategy::RestForOne)
        .child(worker("child1"))
        .child(deadlock.worker("child2"))
        .child(worker("child3"));
    let mut suite = Suite::start(tree).await;
    deadlock.set(true);
    suite.end("child2", End::Abnormal).await;
    assert_eq!(
        suite.add(deadlock.worker("child2")).await,
        "already_present"
    );
    assert_eq!(suite.restart("child2").await, "restarting");
    assert_eq!(suite.delete("child2").await, "restarting");
    let hanging = ["child1/1", "child2 restarting", "child3 undefined"];
    assert_eq!(suite.which().await, hanging);
    assert_eq!(suite.counts().await, [3, 1, 0, 3]);

    suite.terminate("child2").await;
    suite.settle().await;
    let stopped = ["child1/1", "child2 undefined", "child3 undefined"];
    assert_eq!(suite.which().await, stopped);
    assert_eq!(suite.told()[..2], ["child2/1 error", "child3/1 shutdown"]);

    deadlock.set(false);
    assert!(suite.restart("child2").await.starts_with("child2/"));
    assert_eq!(suite.restart("child3").await, "child3/2");
    deadlock.set(true);
    suite.end("child2", End::Abnormal).await;
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Case 85: the same of a dynamic child, which is gone when it is stopped.
#[tokio::test(start_paused = true)]
async fn hanging_restart_loop_simple() {
    let deadlock = Deadlock::default();
    let tree = DynamicSupervisor::new("sup").otp_compat();
    let mut suite = Suite::start(tree.max_restarts(8, SECOND * 10)).await;
    suite.add(deadlock.worker("child1")).await;
    deadlock.set(true);
    suite.end("child1", End::Abnormal).await;
    assert_eq!(suite.restart("child1").await, "restarting");
    assert_eq!(suite.delete("child1").await, "restarting");
    assert_eq!(suite.which().await, ["child1 restarting"]);
    assert_eq!(suite.counts().await, [1, 0, 0, 1]);
    suite.terminate("child1").await;
    assert!(suite.which().await.is_empty());

    deadlock.set(false);
    assert_eq!(suite.add(deadlock.worker("child2")).await, "child2/1");
    deadlock.set(true);
    suite.end("child2", End::Abnormal).await;
    let began = tokio::time::Instant::now();
    suite.stop().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Case 90: children start in order, stop in the opposite one, and are started again in order.
#[tokio::test(start_paused = true)]
async fn order_of_children() {
    let mut suite = Suite::start(sup(Strategy::RestForOne, 2)).await;
    let ids = ["child1", "child2", "child3", "child4", "child5"];
    for id in ids {
        suite.add(worker(id)).await;
    }
    let started: Vec<String> = ids.iter().map(|id| format!("{id}/1 started")).collect();
    assert_eq!(suite.told(), started);
    suite.end("child3", End::Kill).await;
    let expected = [
        "child3/1 killed",
        "child5/1 shutdown",
        "child4/1 shutdown",
        "child3/2 started",
        "child4/2 started",
        "child5/2 started",
    ];
    assert_eq!(suite.told(), expected);
    let expected = ["child1/1", "child2/1", "child3/2", "child4/2", "child5/2"];
    assert_eq!(suite.which().await, expected);
    suite.stop().await;
    let stopped: Vec<String> = expected
        .iter()
        .rev()
        .map(|life| format!("{life} shutdown"))
        .collect();
    assert_eq!(suite.told(), stopped);
}

/// Case 91: a child costs much the same to start and to end however many there are; five times as much is allowed.
#[tokio::test(start_paused = true)]
async fn scale_start_stop_many_children() {
    let [one, ten] = one_against_ten(one_for_one(), 300).await;
    assert!(
        one.0 < ten.0 * 5 && one.1 < ten.1 * 5,
        "{one:?} and {ten:?}"
    );
}

/// Case 94: a child whose name a stranger has does not start, and the stranger is nobody's child.
#[tokio::test(start_paused = true)]
async fn already_started_outside_supervisor() {
    let name = || Some("already_started_outside_supervisor".to_owned());
    let (stranger, _) = Bare::spawn(name(), Bare, ()).await.unwrap();
    let child = ChildSpec::start_with("child1", move |context: StartContext| async move {
        let (actor, _) = Bare::spawn_linked(name(), Bare, (), context.supervisor()).await?;
        Ok::<_, StartFailure>(actor)
    });
    let suite = Suite::start(one_for_one()).await;
    let error = suite.start_child("sup", child.clone()).await.unwrap_err();
    assert!(matches!(error, OperateError::DidNotStart { .. }), "{error}");
    assert!(error.to_string().contains("already registered"), "{error}");
    assert!(suite.which().await.is_empty());
    assert_eq!(suite.counts().await, [0, 0, 0, 0]);
    suite.stop().await;
    assert_eq!(stranger.get_status(), ractor::ActorStatus::Running);
    stranger.stop(None);
    stranger.wait(None).await.unwrap();
    let suite = Suite::start(one_for_one().child(child)).await;
    assert_eq!(suite.which().await, ["child1/1"]);
}

/// Case 95: all children, and each of them, are told after every start, stop and removal.
#[tokio::test(start_paused = true)]
async fn which_children() {
    let suite = Suite::start(one_for_one()).await;
    let kind_of = async |id: &str| {
        let child = suite.which_child(&format!("sup/{id}")).await;
        child.map(|child| (child.kind, child.generation))
    };
    assert!(suite.which().await.is_empty());
    assert!(kind_of("child1").await.is_err());
    suite.add(worker("child1")).await;
    assert_eq!(suite.which().await, ["child1/1"]);
    assert_eq!(kind_of("child1").await.unwrap(), (ChildKind::Actor, 1));
    suite.add(Supervisor::new("child2").into()).await;
    assert_eq!(suite.which().await, ["child1/1", "child2/1"]);
    assert_eq!(kind_of("child2").await.unwrap(), (ChildKind::Supervisor, 1));
    suite.add(Puppet::ignoring("child3", 9)).await;
    let all = ["child1/1", "child2/1", "child3 undefined"];
    assert_eq!(suite.which().await, all);
    suite.terminate("child1").await;
    let expected = ["child1 undefined", "child2/1", "child3 undefined"];
    assert_eq!(suite.which().await, expected);
    assert_eq!(kind_of("child1").await.unwrap(), (ChildKind::Actor, 1));
    suite.delete("child1").await;
    assert_eq!(suite.which().await, ["child2/1", "child3 undefined"]);
    let gone = kind_of("child1").await;
    assert!(
        matches!(gone, Err(OperateError::NotFound { .. })),
        "{gone:?}"
    );
}

/// Case 96: the same of a dynamic supervisor, whose children go with their lives; by their ids, where OTP has pids.
#[tokio::test(start_paused = true)]
async fn which_children_simple_one_for_one() {
    let mut suite = Suite::start(simple(2)).await;
    assert!(suite.which().await.is_empty());
    for id in ["child1", "child2"] {
        suite.add(worker(id)).await;
    }
    assert_eq!(suite.which().await, ["child1/1", "child2/1"]);
    let child = suite.which_child("sup/child2").await.unwrap();
    assert_eq!((&*child.id, child.generation), ("child2", 1));
    suite.end("child2", End::Abnormal).await;
    assert_eq!(suite.which().await, ["child1/1", "child2/2"]);
    suite.terminate("child1").await;
    assert_eq!(suite.which().await, ["child2/2"]);
    let gone = suite.which_child("sup/child1").await;
    assert!(
        matches!(gone, Err(OperateError::NotFound { .. })),
        "{gone:?}"
    );
}
