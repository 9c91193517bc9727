//! What went wrong in the forks of OTP's supervisor, and beside it, that delay a restart: each bug as a test, and the same scenario without
//! delays, where OTP's own behaviour shows that it is the delay which is tested.

use std::time::Duration;

use regrow::testing::{Puppet, PuppetStart, TestSystem};
use regrow::{
    Backoff, ChildSpec, DynamicSupervisor, ExitKind, FirstRestart, OperateError, Payload, Phase,
    Restart, Strategy, Supervisor,
};
use tokio::time::Instant;

use crate::peers::Port::AsItIs as Y;
use crate::peers::{Port, every_case_has_its_test};

const SECOND: Duration = Duration::from_secs(1);
const TEN: Duration = Duration::from_secs(10);

const CASES: [(&str, Port); 6] = [
    ("a_start_that_fails_after_a_delay_is_tried_again", Y),
    (
        "a_group_that_fails_again_during_its_delay_does_not_stay_without_children",
        Y,
    ),
    ("a_child_that_waits_for_its_restart_can_be_removed", Y),
    ("delayed_restarts_do_not_add_up_to_giving_up", Y),
    ("a_delay_has_a_cap_and_begins_anew_after_a_good_life", Y),
    ("a_crash_takes_those_along_that_wait_for_their_restart", Y),
];

#[test]
fn every_bug_of_the_forks_has_its_test() {
    every_case_has_its_test("tests/it/delayed_restart_forks.rs", &CASES);
}

/// Ten seconds before every restart.
fn delayed(child: ChildSpec) -> ChildSpec {
    child.backoff(Backoff::exponential(TEN..=TEN).first(FirstRestart::Delayed))
}

/// None, as in OTP.
fn at_once(child: ChildSpec) -> ChildSpec {
    child.backoff(Backoff::none())
}

async fn generation(system: &TestSystem, path: &str) -> u32 {
    let child = system.which_child(path).await;
    child.expect("the child is there").generation
}

/// Crashes a child, and tells how long it took until it was back.
async fn back_after(system: &mut TestSystem, path: &str) -> Duration {
    let before = Instant::now();
    system.puppet(path).crash("boom");
    system.expect("regrow.child.started", path).await;
    before.elapsed()
}

/// Bug 1, rabbitmq-common#201: during the delay the child counted as stopped, so the next failure was ignored.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_after_a_delay_is_tried_again() {
    let starts = [
        PuppetStart::Up,
        PuppetStart::Refuse,
        PuppetStart::Refuse,
        PuppetStart::Up,
    ];
    let child = || Puppet::scripted("a", starts);
    let tree = |child| Supervisor::new("root").no_intensity_limit().child(child);
    let mut system = TestSystem::start(tree(delayed(child()))).await;
    system.puppet("root/a").crash("boom");
    for _ in 0..2 {
        system
            .expect("regrow.supervisor.restart.scheduled", "root/a")
            .await;
        let child = system.which_child("root/a").await.unwrap();
        assert_eq!(child.phase, Phase::Backoff, "it is known to be on its way");
        system.expect("regrow.child.start_failed", "root/a").await;
    }
    system.expect("regrow.child.started", "root/a").await;
    assert_eq!(generation(&system, "root/a").await, 4);

    let mut system =
        TestSystem::start(tree(at_once(child())).otp_compat().no_intensity_limit()).await;
    assert_eq!(
        back_after(&mut system, "root/a").await,
        Duration::ZERO,
        "OTP waits for nothing"
    );
    assert_eq!(generation(&system, "root/a").await, 4);
}

/// Bug 2, supervisor3#13 and #24: a retry that came while a delay ran was dropped, and the supervisor hung without children.
#[tokio::test(start_paused = true)]
async fn a_group_that_fails_again_during_its_delay_does_not_stay_without_children() {
    let tree = |with: fn(ChildSpec) -> ChildSpec| {
        let starts = [
            PuppetStart::Up,
            PuppetStart::Up,
            PuppetStart::Refuse,
            PuppetStart::Up,
        ];
        Supervisor::new("root")
            .strategy(Strategy::OneForAll)
            .no_intensity_limit()
            .child(with(Puppet::spec("a")))
            .child(with(Puppet::scripted("b", starts)))
    };
    let up = async |system: &TestSystem| system.count_children("root").await.unwrap().active;
    for (tree, delay) in [
        (tree(delayed), TEN),
        (
            tree(at_once).otp_compat().no_intensity_limit(),
            Duration::ZERO,
        ),
    ] {
        let mut system = TestSystem::start(tree).await;
        let before = Instant::now();
        system.puppet("root/a").crash("boom");
        system.expect("regrow.child.started", "root/b").await;
        // It fails once more, and its next start is refused.
        system.puppet("root/a").crash("boom again");
        system.expect("regrow.child.start_failed", "root/b").await;
        system.expect("regrow.child.started", "root/b").await;
        assert_eq!((before.elapsed(), up(&system).await), (delay * 3, 2));
    }
}

/// Bug 3, supervisor3#14: a child that waited could not be removed.
#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_restart_can_be_removed() {
    let tree = |child| Supervisor::new("root").child(child);
    let mut system = TestSystem::start(tree(delayed(Puppet::spec("a")))).await;
    system.puppet("root/a").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    let refused = system.delete_child("root/a").await;
    assert!(
        matches!(refused, Err(OperateError::Restarting { .. })),
        "{refused:?}"
    );
    drop(system.terminate_child("root/a").await.unwrap());
    drop(system.delete_child("root/a").await.unwrap());
    system.happened().await;
    tokio::time::advance(2 * TEN).await;
    system.quiet().await;
    assert!(system.which_children("root").await.unwrap().is_empty());
    drop(system.start_child("root", Puppet::spec("a")).await.unwrap());

    let mut system = TestSystem::start(tree(at_once(Puppet::spec("a"))).otp_compat()).await;
    assert_eq!(back_after(&mut system, "root/a").await, Duration::ZERO);
    let refused = system.delete_child("root/a").await;
    assert!(
        matches!(refused, Err(OperateError::Running { .. })),
        "OTP: it runs again"
    );
}

/// Bug 4, supervisor3#2: retries that were far apart added up until the supervisor gave up.
#[tokio::test(start_paused = true)]
async fn delayed_restarts_do_not_add_up_to_giving_up() {
    let tree = |child| {
        Supervisor::new("root")
            .max_restarts(3, 5 * SECOND)
            .child(child)
    };
    let mut system = TestSystem::start(tree(delayed(Puppet::spec("a")))).await;
    for _ in 0..20 {
        assert_eq!(back_after(&mut system, "root/a").await, TEN);
    }
    assert_eq!(system.end_reason().map(|end| end.kind()), None);

    let compat = tree(at_once(Puppet::spec("a")))
        .otp_compat()
        .max_restarts(3, 5 * SECOND);
    let mut system = TestSystem::start(compat).await;
    for _ in 0..3 {
        assert_eq!(back_after(&mut system, "root/a").await, Duration::ZERO);
    }
    system.puppet("root/a").crash("boom");
    assert_eq!(
        system.ended().await.kind(),
        ExitKind::Shutdown,
        "OTP gives up at once"
    );
}

/// Bug 5, deployex#300, Akka#19246 and #31222: the delay came from a counter that nothing ever put back, and grew to hours; and one
/// that is put back after as short a time as the first delay never grows.
#[tokio::test(start_paused = true)]
async fn a_delay_has_a_cap_and_begins_anew_after_a_good_life() {
    let backoff = Backoff::exponential(SECOND..=TEN)
        .first(FirstRestart::Delayed)
        .reset_after(60 * SECOND);
    let child = Puppet::spec("a").backoff(backoff);
    let tree = |child| Supervisor::new("root").no_intensity_limit().child(child);
    let mut system = TestSystem::start(tree(child)).await;
    let mut delays = Vec::new();
    for _ in 0..7 {
        delays.push(back_after(&mut system, "root/a").await.as_secs());
        // Longer than the first delay, and no good life yet.
        tokio::time::advance(2 * SECOND).await;
    }
    assert_eq!(delays, [1, 2, 4, 8, 10, 10, 10]);
    tokio::time::advance(60 * SECOND).await;
    assert_eq!(back_after(&mut system, "root/a").await, SECOND);

    let compat = tree(at_once(Puppet::spec("a")))
        .otp_compat()
        .no_intensity_limit();
    let mut system = TestSystem::start(compat).await;
    for _ in 0..7 {
        assert_eq!(
            back_after(&mut system, "root/a").await,
            Duration::ZERO,
            "OTP has no delay"
        );
    }
}

/// Who is started when `c` has failed, and then `a` while `c` may wait; and the lives of all three after that.
async fn after_c_and_a(tree: Supervisor) -> (Vec<String>, [u32; 3]) {
    let mut system = TestSystem::start(tree).await;
    system.puppet("root/c").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/c")
        .await;
    tokio::time::advance(4 * SECOND).await;
    system.puppet("root/a").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    let mut started = Vec::new();
    for _ in 0..30 {
        let happened = system.happened().await.into_iter();
        let of = |line: String| Some(line.strip_prefix("regrow.child.started root/")?.to_owned());
        started.extend(happened.filter_map(of));
    }
    let mut lives = [0; 3];
    for (life, path) in lives.iter_mut().zip(["root/a", "root/b", "root/c"]) {
        *life = generation(&system, path).await;
    }
    (started, lives)
}

/// Bug 6, EEP pull request 28: a crash while another child waits takes that one along, into one restart.
#[tokio::test(start_paused = true)]
async fn a_crash_takes_those_along_that_wait_for_their_restart() {
    let tree = |with: fn(ChildSpec) -> ChildSpec| {
        let child = |id| with(Puppet::spec(id));
        Supervisor::new("root")
            .strategy(Strategy::RestForOne)
            .no_intensity_limit()
            .child(child("a"))
            .child(child("b"))
            .child(child("c"))
    };
    // Each is started once again: `c`, which waited, together with the others.
    let all = || ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(after_c_and_a(tree(delayed)).await, (all(), [2, 2, 2]));
    // OTP starts `c` at once, and once more with the others.
    let compat = tree(at_once).otp_compat().no_intensity_limit();
    assert_eq!(after_c_and_a(compat).await, (all(), [2, 2, 3]));
}

/// Bugs 1 and 3 again, for children that come and go.
#[tokio::test(start_paused = true)]
async fn dynamic_children_wait_for_their_restart_and_can_be_removed_meanwhile() {
    let crowd = DynamicSupervisor::new("root").no_intensity_limit();
    let mut system = TestSystem::start(crowd).await;
    let starts = [PuppetStart::Up, PuppetStart::Refuse, PuppetStart::Up];
    let child = delayed(Puppet::scripted("a", starts)).restart(Restart::Transient);
    drop(system.start_child("root", child).await.unwrap());
    system.happened().await;
    assert_eq!(back_after(&mut system, "root/a").await, 2 * TEN);
    system.puppet("root/a").crash("boom");
    let event = system
        .expect("regrow.supervisor.restart.scheduled", "root/a")
        .await;
    let Payload::RestartScheduled { delay, .. } = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(*delay, TEN);
    drop(system.terminate_child("root/a").await.unwrap());
    system.happened().await;
    tokio::time::advance(2 * TEN).await;
    system.quiet().await;
    assert_eq!(system.count_children("root").await.unwrap().specs, 0);
}
