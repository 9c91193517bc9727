//! Elixir's own tests of its `PartitionSupervisor`, case by case and under its names (the part of the file first), and after them ours.

use std::collections::BTreeSet;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::testing::{Puppet, PuppetMessage, PuppetStart, TestSystem};
use regrow::{
    AutoShutdown, Backoff, ChildSpec, DynamicSupervisor, ExitKind, InvalidTree, LookupError,
    OperateError, PartitionSupervisor, Phase, Restart, Strategy, Supervisor,
};

use crate::peers::Port::{Adapted as A, AsItIs as Y, Left};
use crate::peers::{Port, every_case_has_its_test};

/// The cases in Elixir's order.
const CASES: [(&str, Port); 22] = [
    (
        "child_spec_uses_the_atom_name_as_id",
        Left("a spec has the id that it is given"),
    ),
    (
        "child_spec_uses_the_via_value_as_id",
        Left("a spec has the id that it is given"),
    ),
    ("start_link_on_success_with_atom_name", Y),
    ("start_link_on_success_with_via_name", A),
    ("start_link_with_arguments", Y),
    (
        "start_link_raises_without_name",
        Left("the type asks for it"),
    ),
    (
        "start_link_raises_without_child_spec",
        Left("the type asks for it"),
    ),
    ("start_link_raises_on_bad_partitions", Y),
    (
        "start_link_raises_on_bad_with_arguments",
        Left("the type asks for it"),
    ),
    ("start_link_raises_with_bad_auto_shutdown", A),
    ("stop_is_synchronous", Y),
    ("stop_is_synchronous_with_via_name", A),
    (
        "partitions_raises_noproc_for_unknown_atom_partition_supervisor",
        A,
    ),
    (
        "partitions_raises_noproc_for_unknown_via_partition_supervisor",
        A,
    ),
    ("resize_resizes_the_number_of_children", Y),
    ("resize_raises_on_lookup_after_resizing", Y),
    (
        "resize_raises_if_trying_to_increase_the_number_of_partitions",
        A,
    ),
    ("which_children_returns_all_partitions", Y),
    ("count_children_with_workers", Y),
    ("count_children_with_supervisors", Y),
    (
        "count_children_raises_noproc_for_unknown_partition_supervisor",
        A,
    ),
    ("count_children_with_via_name", A),
];

#[test]
fn every_case_of_elixirs_has_its_test() {
    every_case_has_its_test("tests/it/partition_supervisor.rs", &CASES);
}

/// Says which partition it is, and which life.
#[derive(Clone)]
struct Numbered(usize);

impl Actor for Numbered {
    type Msg = RpcReplyPort<usize>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        reply: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        drop(reply.send(self.0));
        Ok(())
    }
}

type Question = RpcReplyPort<usize>;

fn numbered(partitions: usize) -> PartitionSupervisor {
    PartitionSupervisor::new("p", partitions, |partition| {
        ChildSpec::actor("unused", Numbered(partition), ())
    })
}

fn puppets(partitions: usize) -> PartitionSupervisor {
    PartitionSupervisor::new("p", partitions, |_| {
        Puppet::spec("unused").backoff(Backoff::none())
    })
}

async fn under_root(partitioned: PartitionSupervisor) -> TestSystem {
    TestSystem::start(Supervisor::new("root").child(partitioned)).await
}

/// Active children and places.
async fn counts(system: &TestSystem) -> (u32, u32) {
    let counts = system.count_children("root/p").await;
    let counts = counts.expect("it is running");
    (counts.active, counts.specs)
}

/// Case 3: children that are started under the partition of their keys are spread, and none is lost.
#[tokio::test(start_paused = true)]
async fn start_link_on_success_with_atom_name() {
    let crowds = PartitionSupervisor::new("p", 4, |_| DynamicSupervisor::new("unused").into());
    let system = under_root(crowds).await;
    // A supervisor takes no messages of the user's; its path is what is wanted of it.
    let route = |key: &str| regrow_core::partition(key, 4).unwrap();
    let keys: BTreeSet<String> = (0..100).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        let crowd = format!("root/p/{}", route(key));
        system.start_child(&crowd, Puppet::spec(key)).await.unwrap();
    }
    let mut found = BTreeSet::new();
    for crowd in system.which_children("root/p").await.unwrap() {
        let children = system.which_children(crowd.path.as_str()).await.unwrap();
        assert!(!children.is_empty(), "{} has its share", crowd.path);
        found.extend(children.into_iter().map(|child| child.id.to_string()));
    }
    assert_eq!(found, keys);
}

/// Case 4, with a path in place of a name: in a deeper place it is found by it.
#[tokio::test(start_paused = true)]
async fn start_link_on_success_with_via_name() {
    let crew = Supervisor::new("crew").child(numbered(2));
    let system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    let partitions = system.partitions::<Question>("root/crew/p").unwrap();
    assert_eq!(partitions.len(), 2);
    let first = partitions.route(&0).unwrap();
    assert_eq!(first.call(|reply| reply).await, Ok(0));
}

/// Case 5: each is made for its number, and whole numbers find theirs.
#[tokio::test(start_paused = true)]
async fn start_link_with_arguments() {
    let system = under_root(numbered(3)).await;
    let partitions = system.partitions::<Question>("root/p").unwrap();
    assert_eq!(partitions.len(), 3);
    for (key, partition) in [(0, 0), (1, 1), (2, 2), (3, 0), (-1, 1)] {
        let address = partitions.route(&key).unwrap();
        assert_eq!(address.call(|reply| reply).await, Ok(partition), "{key}");
    }
}

/// Case 8.
#[test]
fn start_link_raises_on_bad_partitions() {
    let refused = Supervisor::from(numbered(0)).check().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "supervisor \"p\" is partitioned: it needs at least 1 partition, not 0"
    );
}

/// Case 10: there is no such setting; one that is made behind its back is refused, as is a significant partition.
#[test]
fn start_link_raises_with_bad_auto_shutdown() {
    let text = |tree: Supervisor| tree.check().unwrap_err().to_string();
    let ends = Supervisor::from(puppets(2)).auto_shutdown(AutoShutdown::AnySignificant);
    assert_eq!(
        text(ends),
        "supervisor \"p\" is partitioned: it cannot end with its children; leave auto_shutdown out"
    );
    let significant = PartitionSupervisor::new("p", 2, |_| {
        Puppet::spec("x").restart(Restart::Transient).significant()
    });
    assert_eq!(
        text(significant.into()),
        "supervisor \"p\" is partitioned: none of its partitions can be significant"
    );
}

/// Case 11: when it has stopped nobody is left.
#[tokio::test(start_paused = true)]
async fn stop_is_synchronous() {
    let system = TestSystem::start(puppets(3)).await;
    let partitions = system.partitions::<PuppetMessage>("p").unwrap();
    assert!(partitions.iter().all(regrow::Address::is_running));
    let report = system.shut_down().await;
    assert_eq!(report.reason.kind(), ExitKind::Shutdown);
    assert!(!partitions.iter().any(regrow::Address::is_running));
}

/// Case 12, with a path in place of a name.
#[tokio::test(start_paused = true)]
async fn stop_is_synchronous_with_via_name() {
    let system = under_root(puppets(3)).await;
    let partitions = system.partitions::<PuppetMessage>("root/p").unwrap();
    system.terminate_child("root/p").await.unwrap();
    assert!(!partitions.iter().any(regrow::Address::is_running));
    let gone = system.count_children("root/p").await;
    assert!(matches!(gone, Err(OperateError::Gone { .. })), "{gone:?}");
}

/// Case 13: an error in place of an exit; and so for one that is not partitioned, or takes other messages.
#[tokio::test(start_paused = true)]
async fn partitions_raises_noproc_for_unknown_atom_partition_supervisor() {
    let system = under_root(puppets(2)).await;
    let error = |path: &str| system.partitions::<PuppetMessage>(path).unwrap_err();
    assert!(matches!(error("unknown"), LookupError::NotFound { .. }));
    assert!(matches!(error("root"), LookupError::NotPartitioned { .. }));
    let wrong = system.partitions::<Question>("root/p").unwrap_err();
    assert!(
        matches!(wrong, LookupError::WrongMessageType { .. }),
        "{wrong}"
    );
}

/// Case 14, with a path in place of a name.
#[tokio::test(start_paused = true)]
async fn partitions_raises_noproc_for_unknown_via_partition_supervisor() {
    let system = under_root(puppets(2)).await;
    let unknown = system.resize_partitions("root/crew/p", 1).await;
    assert!(
        matches!(unknown, Err(OperateError::Gone { .. })),
        "{unknown:?}"
    );
    let plain = system.resize_partitions("root", 1).await.unwrap_err();
    assert_eq!(plain.to_string(), "supervisor \"root\" is not partitioned");
}

/// Case 15: down to 0, up to 8, and there and back: so many run, there are 8 places, and keys find those that run and no other.
#[tokio::test(start_paused = true)]
async fn resize_resizes_the_number_of_children() {
    let system = under_root(numbered(8)).await;
    let partitions = system.partitions::<Question>("root/p").unwrap();
    let mut before = 8;
    let down_and_up = (0..8).rev().chain(0..=8);
    for size in down_and_up.chain([3, 7, 1, 1, 8, 2, 6, 0, 5]) {
        let size: usize = size;
        assert_eq!(
            system.resize_partitions("root/p", size).await.unwrap(),
            before
        );
        assert_eq!(counts(&system).await, (u32::try_from(size).unwrap(), 8));
        assert_eq!((partitions.len(), partitions.is_empty()), (size, size == 0));
        let mut reached = BTreeSet::new();
        for key in 0..8 {
            if let Ok(address) = partitions.route(&key) {
                reached.insert(address.call(|reply| reply).await.unwrap());
            }
        }
        assert_eq!(reached, (0..size).collect());
        before = size;
    }
}

/// Case 16.
#[tokio::test(start_paused = true)]
async fn resize_raises_on_lookup_after_resizing() {
    let system = under_root(numbered(2)).await;
    system.resize_partitions("root/p", 0).await.unwrap();
    let partitions = system.partitions::<Question>("root/p").unwrap();
    assert_eq!(
        partitions.route("any").unwrap_err().to_string(),
        "supervisor \"root/p\" has no partition in use; resize it to 1 or more"
    );
}

/// Case 17.
#[tokio::test(start_paused = true)]
async fn resize_raises_if_trying_to_increase_the_number_of_partitions() {
    let system = under_root(numbered(2)).await;
    let refused = system.resize_partitions("root/p", 3).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "failed to reconfigure supervisor \"root/p\": it was made with 2 partitions and cannot have 3"
    );
    assert_eq!(counts(&system).await, (2, 2));
}

/// Case 18.
#[tokio::test(start_paused = true)]
async fn which_children_returns_all_partitions() {
    let system = under_root(numbered(12)).await;
    let children = system.which_children("root/p").await.unwrap();
    let ids: Vec<String> = children.iter().map(|child| child.id.to_string()).collect();
    assert_eq!(ids, (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(children.iter().all(|child| child.phase == Phase::Running));
}

/// Case 19.
#[tokio::test(start_paused = true)]
async fn count_children_with_workers() {
    let system = under_root(numbered(3)).await;
    let counts = system.count_children("root/p").await.unwrap();
    let all = (
        counts.active,
        counts.specs,
        counts.supervisors,
        counts.workers,
    );
    assert_eq!(all, (3, 3, 0, 3));
}

/// Case 20.
#[tokio::test(start_paused = true)]
async fn count_children_with_supervisors() {
    let crowds = PartitionSupervisor::new("p", 3, |_| DynamicSupervisor::new("unused").into());
    let system = under_root(crowds).await;
    let counts = system.count_children("root/p").await.unwrap();
    let all = (
        counts.active,
        counts.specs,
        counts.supervisors,
        counts.workers,
    );
    assert_eq!(all, (3, 3, 3, 0));
}

/// Case 21: an error in place of an exit.
#[tokio::test(start_paused = true)]
async fn count_children_raises_noproc_for_unknown_partition_supervisor() {
    let system = under_root(numbered(1)).await;
    let gone = system.count_children("root/unknown").await;
    assert!(matches!(gone, Err(OperateError::Gone { .. })), "{gone:?}");
}

/// Case 22, with a path in place of a name.
#[tokio::test(start_paused = true)]
async fn count_children_with_via_name() {
    let crew = Supervisor::new("crew").child(numbered(3));
    let system = TestSystem::start(Supervisor::new("root").child(crew)).await;
    let counts = system.count_children("root/crew/p").await.unwrap();
    assert_eq!((counts.active, counts.specs), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_partition_over_its_lives() {
    let mut system = under_root(puppets(4)).await;
    let partitions = system.partitions::<PuppetMessage>("root/p").unwrap();
    let address = partitions.route("alice").unwrap();
    let path = address.path().to_string();
    address
        .send(PuppetMessage::Crash("boom".to_owned()))
        .unwrap();
    system.expect("regrow.child.started", &path).await;
    assert_eq!(partitions.route("alice").unwrap().path(), path.as_str());
    assert!(address.is_running());
    assert_eq!(system.which_child(&path).await.unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_size_outlives_the_supervisor_and_keys_find_its_next_life() {
    let mut system = under_root(puppets(4).max_restarts(0, Duration::from_secs(5))).await;
    let partitions = system.partitions::<PuppetMessage>("root/p").unwrap();
    system.resize_partitions("root/p", 2).await.unwrap();
    system.puppet("root/p/1").crash("boom");
    system.expect("regrow.child.started", "root/p").await;
    assert_eq!((partitions.len(), counts(&system).await), (2, (2, 4)));
    assert!(partitions.iter().all(regrow::Address::is_running));
    let stopped = system.which_child("root/p/3").await.unwrap();
    assert_eq!(stopped.phase, Phase::Stopped);
    assert_eq!(system.resize_partitions("root/p", 4).await.unwrap(), 2);
    assert_eq!(counts(&system).await, (4, 4));
    assert!(partitions.route(&3).unwrap().is_running());
}

#[tokio::test(start_paused = true)]
async fn a_size_of_none_outlives_the_supervisor_too() {
    let system = under_root(puppets(2)).await;
    system.resize_partitions("root/p", 0).await.unwrap();
    system.bounce_child("root/p").await.unwrap();
    assert_eq!(counts(&system).await, (0, 2));
}

#[tokio::test(start_paused = true)]
async fn another_supervisor_in_the_same_place_begins_with_all_its_partitions() {
    let system = TestSystem::start(DynamicSupervisor::new("root")).await;
    system.start_child("root", puppets(3)).await.unwrap();
    system.resize_partitions("root/p", 1).await.unwrap();
    system.terminate_child("root/p").await.unwrap();
    let gone = system.partitions::<PuppetMessage>("root/p").unwrap_err();
    assert!(matches!(gone, LookupError::NotFound { .. }), "{gone}");
    system.start_child("root", puppets(3)).await.unwrap();
    let partitions = system.partitions::<PuppetMessage>("root/p").unwrap();
    assert_eq!(partitions.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_does_not_start_leaves_the_size_as_it_was() {
    let refuses = [PuppetStart::Up, PuppetStart::Refuse, PuppetStart::Up];
    let tree = PartitionSupervisor::new("p", 3, |partition| match partition {
        2 => Puppet::scripted("x", refuses),
        _ => Puppet::spec("x"),
    });
    let system = under_root(tree).await;
    system.resize_partitions("root/p", 1).await.unwrap();
    let failed = system.resize_partitions("root/p", 3).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "child \"root/p/2\" did not start: failed to start: the puppet refuses to start"
    );
    let partitions = system.partitions::<PuppetMessage>("root/p").unwrap();
    assert_eq!((partitions.len(), counts(&system).await), (1, (1, 3)));
    assert_eq!(system.resize_partitions("root/p", 3).await.unwrap(), 1);
    assert_eq!(counts(&system).await, (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_all_partitions_starts_none_that_is_not_in_use_unless_it_is_otps() {
    let ours = puppets(3).strategy(Strategy::OneForAll);
    for (tree, active) in [(ours.clone(), 2), (ours.otp_compat(), 3)] {
        let mut system = under_root(tree).await;
        system.resize_partitions("root/p", 2).await.unwrap();
        system.puppet("root/p/0").crash("boom");
        system.expect("regrow.child.started", "root/p/1").await;
        system.happened().await;
        assert_eq!(counts(&system).await, (active, 3));
        let partitions = system.partitions::<PuppetMessage>("root/p").unwrap();
        assert_eq!(partitions.len(), 2, "keys reach those in use only");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resize_goes_on_when_nobody_waits_for_it() {
    let slow = Duration::from_secs(1);
    let tree = PartitionSupervisor::new("p", 3, |_| Puppet::stopping_slowly("x", slow));
    let mut system = under_root(tree).await;
    let given_up = tokio::time::timeout(slow / 2, system.resize_partitions("root/p", 1)).await;
    assert!(given_up.is_err(), "it takes a second");
    // One after the other: this begins when that one is done.
    assert_eq!(system.resize_partitions("root/p", 2).await.unwrap(), 1);
    assert_eq!(counts(&system).await, (2, 3));
    system.happened().await;
}

#[tokio::test(start_paused = true)]
async fn new_rules_cannot_change_how_many_partitions_there_are() {
    let system = under_root(puppets(3)).await;
    let refused = system.reconfigure("root/p", puppets(4)).await;
    assert!(
        matches!(refused, Err(OperateError::CannotBecome { .. })),
        "{refused:?}"
    );
    let plain = system.reconfigure("root/p", Supervisor::new("p")).await;
    assert!(
        matches!(plain, Err(OperateError::CannotBecome { .. })),
        "{plain:?}"
    );
    let same = system
        .reconfigure("root/p", puppets(3).strategy(Strategy::RestForOne))
        .await;
    assert_eq!(same.unwrap().updated.len(), 3);
}

#[test]
fn other_children_among_partitions_are_refused() {
    let more = Supervisor::from(puppets(2)).child(Puppet::spec("other"));
    let refused = more.check().unwrap_err();
    assert!(
        matches!(refused, InvalidTree::Partitions { .. }),
        "{refused}"
    );
}
