//! The cases `code_change`: new rules for a supervisor that runs. What OTP's release handler does, is [`System::reconfigure`] here.
//!
//! [`System::reconfigure`]: regrow::System::reconfigure

use regrow::{ChildSpec, DynamicSupervisor, Shutdown, Strategy, Supervisor};

use super::kit::{End, SECOND, Suite, worker};

/// OTP's `{one_for_one, 1, 3}`.
fn flags() -> Supervisor {
    Supervisor::new("sup")
        .otp_compat()
        .max_restarts(1, SECOND * 3)
}

fn brutal(id: &str) -> ChildSpec {
    worker(id).shutdown(Shutdown::BrutalKill)
}

/// New children are not started, known ones run on, missing ones stay, after the others; nothing of faulty rules is taken.
async fn children_change(suite: &mut Suite) {
    let faulty = flags().child(worker("child1")).child(worker("child1"));
    assert_eq!(suite.becomes(faulty).await, "invalid");
    assert!(suite.which().await.is_empty());

    let added = flags()
        .child(worker("child1").shutdown(SECOND * 2))
        .child(brutal("child2"));
    assert_eq!(suite.becomes(added).await, "ok");
    assert_eq!(
        suite.which().await,
        ["child1 undefined", "child2 undefined"]
    );
    assert_eq!(suite.restart("child1").await, "child1/1");
    assert_eq!(suite.restart("child2").await, "child2/1");
    assert_eq!(suite.which().await, ["child1/1", "child2/1"]);
    suite.told();

    let changed = flags().child(worker("child1")).child(brutal("child3"));
    assert_eq!(suite.becomes(changed.clone()).await, "ok");
    let expected = ["child1/1", "child3 undefined", "child2/1"];
    assert_eq!(suite.which().await, expected);
    assert_eq!(suite.becomes(changed).await, "ok");
    assert_eq!(suite.which().await, expected, "the same again is no change");
    suite.settle().await;
    assert!(suite.told().is_empty(), "nobody was started or stopped");
}

/// Case 86: flags and children change; rules that ask for nothing new are OTP's `ignore`.
#[tokio::test(start_paused = true)]
async fn code_change() {
    let none = Supervisor::new("sup").otp_compat().max_restarts(0, SECOND);
    let mut suite = Suite::start(none).await;
    assert_eq!(suite.becomes(flags()).await, "ok");
    children_change(&mut suite).await;
    suite.end("child1", End::Abnormal).await;
    assert!(suite.end_reason().is_none(), "one restart is allowed now");
    assert_eq!(suite.which().await[0], "child1/2");

    let other = Supervisor::new("other").otp_compat();
    assert_ne!(suite.becomes(other).await, "ok");
    let dynamic = DynamicSupervisor::new("sup").otp_compat();
    assert_ne!(suite.becomes(dynamic).await, "ok");
    let never = flags().max_restarts(1, std::time::Duration::ZERO);
    assert_eq!(suite.becomes(never).await, "invalid");
    suite.stop().await;
}

/// Case 87: a new spec can be read, and holds from the next start or stop on.
#[tokio::test(start_paused = true)]
async fn code_change_map() {
    let shutdown = async |suite: &Suite| {
        let spec = suite.spec("sup/child1").await.unwrap();
        spec.plan().shutdown
    };
    let mut suite = Suite::start(Supervisor::new("sup").otp_compat()).await;
    let two_seconds = flags().child(worker("child1").shutdown(SECOND * 2));
    assert_eq!(suite.becomes(two_seconds).await, "ok");
    assert_eq!(shutdown(&suite).await, Shutdown::Timeout(SECOND * 2));
    suite.restart("child1").await;
    assert_eq!(suite.becomes(flags().child(worker("child1"))).await, "ok");
    assert_eq!(shutdown(&suite).await, Shutdown::Timeout(SECOND));
    suite.puppet("sup/child1").hang();
    let began = tokio::time::Instant::now();
    suite.terminate("child1").await;
    assert_eq!(began.elapsed(), SECOND);
    suite.delete("child1").await;
    children_change(&mut suite).await;
    suite.stop().await;
}

/// Rules that a dynamic supervisor cannot take: a strategy that makes no sense for it, and children of its own.
async fn what_cannot_become_of_a_dynamic_supervisor(suite: &Suite, flags: DynamicSupervisor) {
    let listed = Supervisor::from(flags.clone()).child(worker("child2"));
    assert_eq!(suite.becomes(listed).await, "invalid");
    let all = Supervisor::from(flags).strategy(Strategy::OneForAll);
    assert_eq!(suite.becomes(all).await, "invalid");
    let not_dynamic = suite.reconfigure("sup", Supervisor::new("sup")).await;
    assert!(not_dynamic.is_err());
    assert_eq!(suite.which().await, ["child1/1"]);
}

/// Case 88: a dynamic supervisor can have new settings; that it lists children is refused, as OTP refuses a second template.
#[tokio::test(start_paused = true)]
async fn code_change_simple() {
    let flags = |max| DynamicSupervisor::new("sup").otp_compat().max_children(max);
    let suite = Suite::start(flags(1)).await;
    assert_eq!(suite.add(brutal("child1")).await, "child1/1");
    assert_eq!(suite.add(brutal("child2")).await, "error");
    what_cannot_become_of_a_dynamic_supervisor(&suite, flags(2)).await;
    assert_eq!(suite.becomes(flags(2)).await, "ok");
    assert_eq!(suite.add(brutal("child2")).await, "child2/1");
    suite.stop().await;
}

/// Case 89: the same with what was not said left as it is by default; the children that are there keep their specs.
#[tokio::test(start_paused = true)]
async fn code_change_simple_map() {
    let mut suite = Suite::start(DynamicSupervisor::new("sup").max_restarts(0, SECOND)).await;
    suite.add(worker("child1")).await;
    what_cannot_become_of_a_dynamic_supervisor(&suite, DynamicSupervisor::new("sup")).await;
    assert_eq!(suite.becomes(DynamicSupervisor::new("sup")).await, "ok");
    let spec = suite.spec("sup/child1").await.unwrap();
    assert_eq!(spec.plan().shutdown, Shutdown::Timeout(SECOND));
    for life in 2..=4 {
        suite.end("child1", End::Kill).await;
        assert_eq!(suite.which().await, [format!("child1/{life}")]);
    }
    suite.stop().await;
}
