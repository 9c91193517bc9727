//! Random walks through a real system: whoever only listens to the events knows at every moment how each child stands, because
//! every change of phase is told by exactly one event.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regrow::telemetry::{Event, EventStream};
use regrow::testing::{Puppet, PuppetMessage};
use regrow::{
    Backoff, ChildSpec, GiveUp, Payload, Phase, Restart, RestartIntensity, Strategy, Supervisor,
    System, Telemetry,
};
use regrow_core::SplitMix64;

/// What a listener makes of the events.
#[derive(Default)]
struct Listener {
    phases: BTreeMap<String, Phase>,
    seen: Vec<String>,
}

impl Listener {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named here must not change a phase, whatever it is"
    )]
    fn hear(&mut self, event: &Event) {
        let path = event.subject.path.to_string();
        self.seen.push(format!(
            "{} {path} {} {:?}",
            event.name(),
            event.subject.phase,
            event.payload
        ));
        let before = self.phases.get(&path).copied();
        let tells = match &event.payload {
            Payload::SupervisorChildAdded {} => {
                assert_eq!(before, None, "{}", self.story());
                Some(event.subject.phase)
            }
            Payload::SupervisorChildRemoved {} => {
                self.phases.remove(&path);
                return;
            }
            Payload::ChildStarted { .. } => Some(Phase::Running),
            Payload::ChildStopping { .. } => Some(Phase::Stopping),
            Payload::RestartScheduled { .. } => Some(Phase::Backoff),
            Payload::ChildStateChanged { from, to, .. } => {
                assert_eq!(before, Some(*from), "{}", self.story());
                Some(*to)
            }
            _ => None,
        };
        match tells {
            Some(phase) => {
                assert_ne!(before, Some(phase), "told twice\n{}", self.story());
                assert_eq!(event.subject.phase, phase, "{}", self.story());
                self.phases.insert(path, phase);
            }
            // What tells of no change is told in the phase that was told before. The root has no supervisor that tells of it.
            None if path != "root" => {
                assert_eq!(before, Some(event.subject.phase), "{}", self.story());
            }
            None => {}
        }
    }

    fn story(&self) -> String {
        self.seen.join("\n")
    }
}

struct Walk {
    rng: SplitMix64,
    system: Arc<System>,
    events: EventStream,
    listener: Listener,
}

fn spec(rng: &mut SplitMix64, id: &str) -> ChildSpec {
    let pick = |rng: &mut SplitMix64, n: u64| usize::try_from(rng.below(n)).unwrap();
    let refusals = u32::try_from(rng.below(3).saturating_sub(1)).unwrap();
    let spec = match rng.below(3) {
        0 => Puppet::refusing(id, refusals),
        1 => Puppet::hanging(id, refusals).start_timeout(Duration::from_millis(40)),
        _ => Puppet::stopping_slowly(id, Duration::from_millis(rng.below(80))),
    };
    spec.restart(Restart::ALL[pick(rng, 3)])
        .give_up(GiveUp::Park)
        .limit(RestartIntensity::new(3, Duration::from_secs(2)))
        .shutdown(Duration::from_millis(30))
        .backoff(Backoff::exponential(
            Duration::from_millis(rng.below(20))..=Duration::from_millis(100),
        ))
}

impl Walk {
    async fn begin(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let strategy = Strategy::ALL[usize::try_from(rng.below(3)).unwrap()];
        let mut tree = Supervisor::new("root")
            .strategy(strategy)
            .no_intensity_limit()
            .seed(seed);
        for n in 0..rng.below(5) {
            tree = tree.child(spec(&mut rng, &format!("c{n}")));
        }
        let telemetry = Telemetry::default();
        let events = telemetry.subscribe(100_000).unwrap();
        let system = System::launch_with(tree, telemetry).await.unwrap();
        Self {
            rng,
            system: Arc::new(system),
            events,
            listener: Listener::default(),
        }
    }

    async fn step(&mut self) {
        let id = format!("c{}", self.rng.below(6));
        let path = format!("root/{id}");
        let pull = |message: PuppetMessage| {
            if let Ok(address) = self.system.address::<PuppetMessage>(&path) {
                // One that is not there cannot be told.
                drop(address.send(message));
            }
        };
        let system = Arc::clone(&self.system);
        match self.rng.below(9) {
            0 => pull(PuppetMessage::Crash("boom".into())),
            1 => pull(PuppetMessage::Fail("broken".into())),
            2 => pull(PuppetMessage::Exit),
            3 => pull(PuppetMessage::Hang),
            4 => drop(tokio::spawn(
                async move { system.terminate_child(&path).await },
            )),
            5 => drop(tokio::spawn(
                async move { system.restart_child(&path).await },
            )),
            6 => drop(tokio::spawn(
                async move { system.bounce_child(&path).await },
            )),
            7 => drop(tokio::spawn(
                async move { system.delete_child(&path).await },
            )),
            _ => {
                let child = spec(&mut self.rng, &id);
                drop(tokio::spawn(async move {
                    system.start_child("root", child).await
                }));
            }
        }
        let pause = Duration::from_millis(self.rng.below(60));
        tokio::time::advance(pause).await;
        for _ in 0..self.rng.below(20) {
            tokio::task::yield_now().await;
        }
    }

    /// What was told is what is. Things go on between an answer and its reading, so the answer may be the older of the two; as soon
    /// as there is a pause they agree.
    async fn compare(&mut self) {
        for _ in 0..1_000 {
            let children = self.system.which_children("root").await.unwrap();
            while let Some(event) = self.events.try_next() {
                self.listener.hear(&event);
            }
            let real: BTreeMap<String, Phase> = children
                .iter()
                .map(|child| (child.path.to_string(), child.phase))
                .collect();
            if self.listener.phases == real {
                return;
            }
        }
        panic!(
            "what was told is not what is\n{:?}\n{}",
            self.listener.phases,
            self.listener.story()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_listens_to_the_events_knows_how_every_child_stands() {
    for seed in 0..60 {
        let mut walk = Walk::begin(seed).await;
        for _ in 0..60 {
            walk.step().await;
            walk.compare().await;
        }
        assert_eq!(walk.events.missed(), 0);
        let report = walk.system.shut_down().await;
        assert!(report.unresponsive.is_empty(), "seed {seed}: {report:?}");
        while let Some(event) = walk.events.try_next() {
            walk.listener.hear(&event);
        }
        let alive: Vec<_> = walk
            .listener
            .phases
            .iter()
            .filter(|(_, phase)| phase.is_alive())
            .collect();
        assert!(
            alive.is_empty(),
            "seed {seed}: {alive:?}\n{}",
            walk.listener.story()
        );
    }
}
