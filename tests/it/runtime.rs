//! What only a runtime with real threads and real time shows: code that cannot be ended, races, many children.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::testing::{Bare, Puppet, PuppetMessage, TestSystem};
use regrow::{Backoff, ChildSpec, ExitKind, Order, Phase, Shutdown, Supervisor, System};
use tokio::sync::Semaphore;

/// A door that stays shut until the test ends; whoever waits at it blocks its thread.
#[derive(Clone)]
struct Door {
    open: Arc<(Mutex<bool>, Condvar)>,
    waiting: Arc<Semaphore>,
}

/// Opens the door however the test ends: a runtime cannot end before its blocked threads.
struct Opener(Door);

impl Drop for Opener {
    fn drop(&mut self) {
        let (open, changed) = &*self.0.open;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }
}

impl Door {
    fn new() -> (Self, Opener) {
        let waiting = Arc::new(Semaphore::new(0));
        let door = Self {
            open: Arc::default(),
            waiting,
        };
        (door.clone(), Opener(door))
    }

    /// Sends the child to the door and waits until it stands there.
    async fn send(&self, system: &System) {
        system
            .address::<()>("root/stuck")
            .unwrap()
            .send(())
            .unwrap();
        self.waiting.acquire().await.unwrap().forget();
    }
}

impl Actor for Door {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.waiting.add_permits(1);
        let (open, changed) = &*self.open;
        drop(
            changed
                .wait_while(open.lock().unwrap(), |open| !*open)
                .unwrap(),
        );
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_child_in_code_that_cannot_be_ended_is_given_up_on_and_reported() {
    let ((door, _opener), short) = (Door::new(), Duration::from_millis(50));
    let stuck = ChildSpec::actor("stuck", door.clone(), ()).shutdown(short);
    let tree = Supervisor::new("root")
        .kill_grace(short)
        .child(stuck)
        .child(Puppet::spec("b"));
    let system = System::start(tree).await.unwrap();
    door.send(&system).await;
    let info = system.terminate_child("root/stuck").await.unwrap();
    assert_eq!(
        info.last_exit.unwrap().reason.kind(),
        ExitKind::Unresponsive
    );
    let info = system.restart_child("root/stuck").await.unwrap();
    assert_eq!(info.generation, 2, "its place is free again");
    assert_eq!(
        system.which_child("root/b").await.unwrap().phase,
        Phase::Running
    );
    door.send(&system).await;
    let report = system.shut_down().await;
    assert!(
        report.unresponsive.iter().any(|path| path == "root/stuck"),
        "{report:?}"
    );
    assert!(report.took < Duration::from_secs(5), "{report:?}");
}

/// Bounces, or makes give up, a nested supervisor again and again: an address into it has to be good after each.
async fn addresses_stay_good(restart: impl AsyncFn(&System, u32)) {
    let spec = |id: &str| Puppet::spec(id).backoff(Backoff::none());
    let crew = ["a", "b", "c", "d"].into_iter().fold(
        Supervisor::new("crew").max_restarts(0, Duration::from_secs(5)),
        |crew, id| crew.child(spec(id)),
    );
    let crew = ChildSpec::from(crew).backoff(Backoff::none());
    let system = System::start(Supervisor::new("root").no_intensity_limit().child(crew))
        .await
        .unwrap();
    let addresses = ["a", "b", "c", "d"].map(|id| {
        system
            .address::<PuppetMessage>(&format!("root/crew/{id}"))
            .unwrap()
    });
    for round in 1..=300 {
        restart(&system, round).await;
        // The old life may be dropped at any moment from now; give it the chance to do its harm.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        for address in &addresses {
            assert!(
                address.is_running(),
                "after round {round} nobody is at {address:?}"
            );
        }
    }
    drop(system.shut_down().await);
}

async fn bounce(system: &System, _: u32) {
    drop(system.bounce_child("root/crew").await.unwrap());
}

async fn give_up(system: &System, round: u32) {
    let address = system.address::<PuppetMessage>("root/crew/a").unwrap();
    address.send(PuppetMessage::Exit).unwrap();
    loop {
        let info = system.which_child("root/crew").await.unwrap();
        if info.generation > round && info.phase == Phase::Running {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn addresses_stay_good_when_a_supervisor_is_bounced_on_one_thread() {
    tokio::spawn(addresses_stay_good(bounce)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn addresses_stay_good_when_a_supervisor_is_bounced_on_many_threads() {
    tokio::spawn(addresses_stay_good(bounce)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn addresses_stay_good_when_a_supervisor_gives_up() {
    tokio::spawn(addresses_stay_good(give_up)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_children_come_and_go_quickly_and_questions_are_answered_meanwhile() {
    for order in [Order::Sequence, Order::Dependencies] {
        let tree = Supervisor::new("root").order(order).stop_together();
        let tree = (0..10_000).fold(tree, |tree, n| {
            tree.child(Puppet::spec(&format!("c{n}")).shutdown(Shutdown::Infinity))
        });
        let began = Instant::now();
        let system = System::launch(tree).await.unwrap();
        let mut longest = Duration::ZERO;
        while !system.is_booted() {
            let asked = Instant::now();
            drop(system.which_child("root/c0").await.unwrap());
            longest = longest.max(asked.elapsed());
        }
        let booted = began.elapsed();
        assert_eq!(
            system
                .which_children("root")
                .await
                .unwrap()
                .iter()
                .filter(|child| child.ready)
                .count(),
            10_000
        );
        let report = system.shut_down().await;
        eprintln!(
            "{order}: boot {booted:?}, longest answer {longest:?}, shutdown {:?}",
            report.took
        );
        // Generous bounds, for a loaded machine and an unoptimised build: what they exclude is anything quadratic.
        assert!(
            booted < Duration::from_secs(20),
            "{order}: the boot took {booted:?}"
        );
        assert!(
            report.took < Duration::from_secs(20),
            "{order}: the shutdown took {:?}",
            report.took
        );
        assert!(
            longest < Duration::from_secs(2),
            "{order}: an answer took {longest:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_children_end_during_their_start_all_are_noticed() {
    const CHILDREN: u32 = 3_000;
    let spec = |n: u32| {
        ChildSpec::start_with(
            format!("c{n}"),
            |context: regrow::StartContext| async move {
                let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
                actor.stop(None);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, regrow::StartFailure>(actor)
            },
        )
    };
    let parked = |spec: ChildSpec| {
        spec.restart(regrow::Restart::Transient)
            .give_up(regrow::GiveUp::Park)
    };
    let tree = Supervisor::new("root")
        .order(Order::Dependencies)
        .no_intensity_limit();
    let tree = (0..CHILDREN).fold(tree, |tree, n| {
        tree.child(parked(spec(n)).limit(regrow::RestartIntensity::new(0, Duration::from_secs(5))))
    });
    let system = System::start(tree).await.unwrap();
    let children = system.which_children("root").await.unwrap();
    let running = children
        .iter()
        .filter(|child| child.phase == Phase::Running)
        .count();
    assert_eq!(
        running, 0,
        "of children that have all ended, so many count as running"
    );
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_all_through_a_long_boot() {
    let tree = (0..10_000).fold(Supervisor::new("root"), |tree, n| {
        tree.child(Puppet::spec(&format!("c{n}")))
    });
    let system = TestSystem::launch(tree).await;
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let note = move |event: &regrow::Event| {
        let is_start = event.name() == "regrow.child.started";
        count.fetch_add(usize::from(is_start), Ordering::Relaxed);
    };
    system.telemetry().attach("count", note).unwrap();
    let (mut up, mut longest) = (0, 0);
    while !system.which_child("root/c9999").await.unwrap().ready {
        let now = started.load(Ordering::Relaxed);
        longest = longest.max(now - up);
        up = now;
    }
    assert!(
        up > 5_000,
        "asked all through the boot, not before it: {up}"
    );
    assert!(
        longest < 1_000,
        "{longest} children had started between two answers"
    );
}
