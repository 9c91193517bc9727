//! Pause and resume, signals, and what an agent finishes before it stops.

use super::*;
use tokio::sync::oneshot;

/// What `/proc` calls the state of a process: `S` waits, `T` is held; `None` when it is gone.
fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect(what);
}

fn held(pids: &[String]) -> bool {
    pids.iter().all(|pid| state(pid) == Some('T'))
}

fn going_on(pids: &[String]) -> bool {
    let goes_on = |pid: &String| matches!(state(pid), Some('S' | 'R' | 'D'));
    pids.iter().all(goes_on)
}

impl Started {
    /// Wishes it held or not, and waits until it is so.
    async fn hold(&self, hold: Hold) {
        let (done, told) = oneshot::channel::<()>();
        self.wishes.hold(hold, done);
        let told = tokio::time::timeout(SOON, told).await;
        told.expect("it is answered").expect_err("it is dropped");
    }

    fn leader(&self) -> String {
        self.process.handle().status().pid.unwrap().to_string()
    }
}

/// Three processes: the agent, one in its group, and one in a session of its own. It writes the pids of the last two.
const FAMILY: &str =
    "sh -c 'echo $$; exec sleep 1000' & setsid sh -c 'echo $$; exec sleep 1000' & wait";

#[tokio::test]
async fn a_pause_holds_all_of_it_and_a_resume_lets_all_of_it_go_on() {
    let agent = Started::new(shell(FAMILY), 1).await;
    let mut family = agent.wrote(2).await;
    family.push(agent.leader());
    agent.hold(Hold::Pause).await;
    assert!(agent.process.handle().status().paused);
    until("all are held", || held(&family)).await;
    agent.hold(Hold::GoOn).await;
    assert!(!agent.process.handle().status().paused);
    until("all go on", || going_on(&family)).await;
    agent.wishes.raise(Wish::Kill);
    agent.ended().await;
}

#[tokio::test]
async fn one_that_somebody_else_lets_go_on_is_held_again_when_it_is_said_again() {
    let agent = Started::new(shell("echo up; exec sleep 1000"), 1).await;
    agent.wrote(1).await;
    let family = [agent.leader()];
    agent.hold(Hold::Pause).await;
    until("it is held", || held(&family)).await;
    let leader = os::identify(family[0].parse().unwrap()).unwrap();
    os::signal_leader(leader, Signal::Cont).unwrap();
    until("it goes on", || going_on(&family)).await;
    assert!(agent.process.handle().status().paused, "as it was wished");
    agent.hold(Hold::Pause).await;
    until("it is held again", || held(&family)).await;
    agent.wishes.raise(Wish::Kill);
    agent.ended().await;
}

#[tokio::test]
async fn a_stop_of_a_held_one_lets_it_do_as_it_is_asked() {
    let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let agent = Started::new(shell(script).stdin(Stdin::Null), 1).await;
    agent.wrote(1).await;
    agent.hold(Hold::Pause).await;
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Stopped(Exit::Code(3)));
    assert_eq!(ending.stage, Some(Stage::Terminate));
}

#[tokio::test]
async fn a_kill_of_a_held_one_ends_all_of_it_at_once() {
    let agent = Started::new(shell(FAMILY), 1).await;
    let family = agent.wrote(2).await;
    agent.hold(Hold::Pause).await;
    until("they are held", || held(&family)).await;
    agent.wishes.raise(Wish::Kill);
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Killed(Exit::Signal(9)));
    assert_eq!((ending.leaked, ending.streams), (vec![], Streams::Closed));
    assert!(family.iter().all(|pid| !alive(pid)));
}

#[tokio::test]
async fn a_signal_goes_to_the_group_or_to_the_process_alone() {
    let script = "trap 'echo agent' USR1
        sh -c 'trap \"echo child\" USR1
            (trap \"\" USR1; exec sleep 1000) & echo up; while :; do wait; done' &
        while :; do wait; done";
    let agent = Started::new(shell(script), 1).await;
    agent.wrote(1).await;
    let handle = agent.process.handle();
    handle.signal(Signal::Usr1, SignalTo::Leader).await.unwrap();
    assert_eq!(agent.wrote(2).await, ["up", "agent"]);
    handle.signal(Signal::Usr1, SignalTo::Group).await.unwrap();
    let mut both = agent.wrote(4).await.split_off(2);
    both.sort();
    assert_eq!(both, ["agent", "child"]);
    agent.wishes.raise(Wish::Kill);
    agent.ended().await;
}

#[tokio::test]
async fn a_kill_by_hand_counts_as_an_end_by_itself() {
    let agent = Started::new(shell("echo up; exec sleep 1000"), 1).await;
    agent.wrote(1).await;
    let handle = agent.process.handle();
    handle.signal(Signal::Kill, SignalTo::Group).await.unwrap();
    assert_eq!(agent.ended().await.end, End::Natural(Exit::Signal(9)));
}

#[tokio::test]
async fn a_signal_that_would_deceive_regrow_or_reach_nobody_is_refused() {
    let agent = Started::new(shell("echo up; exec sleep 1000"), 1).await;
    agent.wrote(1).await;
    let handle = agent.process.handle();
    for signal in [Signal::Stop, Signal::Cont] {
        let refused = handle.signal(signal, SignalTo::Group).await;
        assert!(
            matches!(refused, Err(SignalError::Reserved { .. })),
            "{signal}"
        );
    }
    agent.wishes.raise(Wish::Kill);
    agent.ended().await;
    let refused = handle.signal(Signal::Usr1, SignalTo::Group).await;
    assert!(matches!(refused, Err(SignalError::NotRunning)));
    let never = shell("exit 0").handle();
    let refused = never.signal(Signal::Usr1, SignalTo::Leader).await;
    assert!(matches!(refused, Err(SignalError::NotRunning)));
}

#[tokio::test]
async fn one_that_somebody_uses_is_asked_when_that_is_done() {
    let plan = StopPlan::default()
        .stage(Stage::Drain, SOON)
        .stage(Stage::CloseStdin, Duration::from_secs(1));
    let agent = Started::new(shell("echo up; cat").stop_plan(plan), 1).await;
    agent.wrote(1).await;
    let handle = agent.process.handle();
    let in_flight = handle.begin();
    agent.wishes.raise(Wish::Stop);
    let stage = || handle.status().stopping_stage;
    until("it finishes first", || stage() == Some(Stage::Drain)).await;
    assert!(going_on(&[agent.leader()]));
    drop(in_flight);
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Stopped(Exit::Code(0)));
    assert_eq!(ending.stage, Some(Stage::CloseStdin));
}

#[tokio::test]
async fn one_that_is_used_for_too_long_is_asked_all_the_same() {
    let plan = StopPlan::default()
        .stage(Stage::Drain, Duration::from_millis(50))
        .stage(Stage::CloseStdin, Duration::from_secs(1));
    let agent = Started::new(shell("echo up; cat").stop_plan(plan), 1).await;
    agent.wrote(1).await;
    let _in_flight = agent.process.handle().begin();
    agent.wishes.raise(Wish::Stop);
    assert_eq!(agent.ended().await.stage, Some(Stage::CloseStdin));
}

#[tokio::test]
async fn one_that_has_run_for_as_long_as_it_may_says_so_once() {
    let process = shell("echo up; exec sleep 1000").max_runtime(Duration::from_millis(30));
    let template = Arc::new(process.template.clone());
    let (driver, wishes) = Driver::spawn(template, 1, &trace()).await.unwrap();
    let notes = Notes::default();
    let ending = tokio::spawn(driver.run(notes.clone()));
    let times = || {
        let heard = notes.0.lock().unwrap();
        heard.iter().filter(|note| *note == "expired").count()
    };
    until("it says so", || times() > 0).await;
    wishes.raise(Wish::Kill);
    tokio::time::timeout(SOON, ending).await.unwrap().unwrap();
    assert_eq!(times(), 1);
}
