//! Random histories of a supervisor and its processes, with their lifecycles: the nine rules of a process's life.
//!
//! The world stands in for the shell and the operating system. It hands each machine's answers to the other, so what is tested is
//! what both decide together. Every rule has its number and name in [`World::check`] or where it can be seen to be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::backoff::{Backoff, FirstRestart};
use crate::exits::ExitRules;
use crate::intensity::RestartIntensity;
use crate::phase::{Desired, Phase};
use crate::restart::{ExitKind, GiveUp, Restart, Shutdown, StopCause};
use crate::rng::SplitMix64;
use crate::supervision::{ChildPlan, Directive, Parked, Policy, Supervision, Who};
use crate::testing::t0;

const CHILDREN: u64 = 3;

/// One life of a process, as the operating system and its driver see it.
struct Life {
    machine: Lifecycle,
    /// When all of it has to be over, once an end has begun.
    bound: Option<Instant>,
    total: Duration,
    /// Nobody has reaped it: its pid is nobody else's.
    pid_is_ours: bool,
    /// It is there, or a zombie.
    spawned: bool,
    exited: bool,
    swept: Option<Instant>,
    streams: Streams,
    exit_at: Option<Instant>,
    announced: bool,
    condemned: bool,
}

struct World {
    sup: Supervision,
    rng: SplitMix64,
    now: Instant,
    lives: BTreeMap<Who, Life>,
    /// The highest generation that was ever begun, per place.
    generations: BTreeMap<u32, u32>,
    /// Places whose last start could never succeed; only an operator starts them.
    hopeless: BTreeSet<u32>,
    /// How many failures the supervisor has counted.
    counted: u32,
    closed: bool,
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn plan(rng: &mut SplitMix64) -> StopPlan {
    Stage::ALL
        .into_iter()
        .fold(StopPlan::default(), |plan, stage| {
            let budget = [0, 5, 40][pick(rng, 3)];
            plan.stage(stage, millis(budget))
        })
}

fn pick(rng: &mut SplitMix64, n: u64) -> usize {
    usize::try_from(rng.below(n)).unwrap()
}

fn child(rng: &mut SplitMix64) -> ChildPlan {
    ChildPlan {
        restart: Restart::ALL[pick(rng, 2)],
        shutdown: Shutdown::Infinity,
        backoff: Backoff::exponential(millis(3)..=millis(30)).first(FirstRestart::Delayed),
        limit: Some(RestartIntensity::new(2, millis(100))),
        give_up: GiveUp::Park,
        exits: Some(Arc::new(ExitRules::default())),
        ..ChildPlan::default()
    }
}

/// What a supervisor is told of an end: rule ⑦, each is of one kind.
fn kind(end: End) -> ExitKind {
    match end {
        End::Natural(Exit::Code(code)) => ExitKind::Exit(code),
        End::Natural(Exit::Signal(signal)) => ExitKind::Signal(signal),
        End::Stopped(_) => ExitKind::Shutdown,
        End::Killed(_) => ExitKind::Killed,
        End::Unresponsive => ExitKind::Unresponsive,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let policy = Policy {
            intensity: None,
            seed,
            ..Policy::default()
        };
        let mut world = Self {
            sup: Supervision::new(policy),
            rng: SplitMix64::new(seed),
            now: t0(),
            lives: BTreeMap::new(),
            generations: BTreeMap::new(),
            hopeless: BTreeSet::new(),
            counted: 0,
            closed: false,
        };
        for _ in 0..CHILDREN {
            let child = child(&mut world.rng);
            world.sup.add(child, world.now);
        }
        let boot = world.sup.boot(world.now);
        world.perform(boot);
        world
    }

    fn perform(&mut self, directives: Vec<Directive>) {
        for directive in directives {
            match directive {
                Directive::Start(who) => self.start(who),
                Directive::Stop(who, _) => self.tell(who, Lifecycle::on_stop),
                Directive::Kill(who, _) => self.tell(who, Lifecycle::on_kill),
                Directive::Pause(who) => self.tell(who, Lifecycle::on_pause),
                Directive::Resume(who) => self.tell(who, Lifecycle::on_resume),
                Directive::Backoff(_) => self.counted += 1,
                Directive::Park { slot, why } => {
                    if let Parked::Intensity { .. } = why {
                        self.counted += 1;
                    }
                    assert_eq!(self.sup.phase(slot), Some(Phase::Failed));
                }
                Directive::Close(_) => self.closed = true,
                Directive::Abandon(_)
                | Directive::Abort(_)
                | Directive::StartTimeout(_)
                | Directive::Rest { .. }
                | Directive::Remove(_)
                | Directive::BackoffReset { .. }
                | Directive::Meltdown { .. }
                | Directive::Booted => {}
            }
        }
    }

    fn start(&mut self, who: Who) {
        let alive = self.lives.keys().any(|other| other.slot == who.slot);
        assert!(!alive, "③ two lives of one place at a time");
        let before = self.generations.insert(who.slot, who.life);
        assert!(before < Some(who.life), "② the generation does not grow");
        assert!(
            !self.hopeless.contains(&who.slot),
            "⑧ a start that can never succeed is tried again"
        );
        assert_eq!(
            self.sup.phase(who.slot),
            Some(Phase::Starting),
            "⑤ a life has something of the one before"
        );
        let plan = plan(&mut self.rng);
        let longest = (self.rng.below(3) == 0).then(|| millis(60));
        let life = Life {
            machine: Lifecycle::new(plan, millis([0, 10][pick(&mut self.rng, 2)]))
                .max_runtime(longest),
            bound: None,
            total: plan.total().max(PIPES).max(LONGEST_STOP),
            pid_is_ours: false,
            spawned: false,
            exited: false,
            swept: None,
            streams: Streams::Abandoned,
            exit_at: None,
            announced: false,
            condemned: false,
        };
        self.lives.insert(who, life);
    }

    /// Tells a life something, and does what it wants.
    fn tell(&mut self, who: Who, what: impl FnOnce(&mut Lifecycle, Instant) -> Vec<Action>) {
        let Some(life) = self.lives.get_mut(&who) else {
            return;
        };
        let actions = what(&mut life.machine, self.now);
        if life.bound.is_none() && life.machine.stage().is_some() {
            life.bound = Some(self.now + life.total);
        }
        for action in actions {
            self.act(who, action);
        }
    }

    fn act(&mut self, who: Who, action: Action) {
        let now = self.now;
        let Some(life) = self.lives.get_mut(&who) else {
            panic!("④ {action:?} after the end")
        };
        match action {
            Action::Signal
            | Action::Continue
            | Action::Pause
            | Action::Resume
            | Action::KillGroup => {
                assert!(
                    life.pid_is_ours,
                    "⑨ {action:?} to a pid that may be anybody's"
                );
            }
            Action::Reap => {
                assert!(life.exited && life.pid_is_ours, "⑨ reaped twice, or alive");
                life.pid_is_ours = false;
            }
            Action::Sweep { until } => {
                assert!(until >= now);
                life.swept = Some(until);
            }
            Action::Announce => {
                assert!(
                    !std::mem::replace(&mut life.announced, true),
                    "announced twice"
                );
                let directives = self.sup.on_started(who, now);
                self.perform(directives);
            }
            Action::Expire => {
                assert!(!std::mem::replace(&mut life.condemned, true), "told twice");
                assert!(!life.machine.is_paused(), "time goes on in a pause");
                let directives = self.sup.on_condemned(who, StopCause::MaxRuntime, now);
                self.perform(directives);
            }
            Action::Finish(ending) => self.finish(who, &ending),
            Action::NoteDescendants
            | Action::WriteStopLine
            | Action::CloseStdin
            | Action::AbandonPipes => {}
        }
    }

    fn finish(&mut self, who: Who, ending: &Ending) {
        let Some(life) = self.lives.remove(&who) else {
            panic!("④ two ends")
        };
        match ending.end {
            End::Unresponsive => assert!(!life.exited, "⑦ it had ended after all"),
            End::Natural(_) | End::Stopped(_) | End::Killed(_) => {
                assert!(
                    life.exited && !life.pid_is_ours,
                    "④ over before it was reaped"
                );
            }
        }
        assert!(life.swept.is_some(), "④ over before its group was swept");
        if ending.streams == Streams::Closed {
            assert_eq!(
                life.streams,
                Streams::Closed,
                "④ the pipes were not read to their end"
            );
        }
        let end = kind(ending.end);
        let phase = self.sup.phase(who.slot);
        let counted = self.counted;
        let up = matches!(
            phase,
            Some(Phase::Running | Phase::Paused | Phase::Starting)
        );
        let now = self.now;
        let directives = if life.announced {
            self.sup.on_exit(who, end, now)
        } else {
            self.sup.on_start_failed(who, end, false, now)
        };
        self.perform(directives);
        // What was asked to end has not failed, whoever asked and however it went.
        if !up {
            assert_eq!(self.counted, counted, "⑥ a stop is counted as a failure");
        }
        // Of an earlier life.
        let stale = self.sup.on_exit(who, end, now);
        assert!(
            stale.is_empty() || self.sup.generation(who.slot) == who.life,
            "② an end of an earlier life did something"
        );
    }

    fn any(&mut self) -> Option<Who> {
        let n = self
            .rng
            .below(u64::try_from(self.lives.len().max(1)).unwrap());
        self.lives.keys().nth(usize::try_from(n).unwrap()).copied()
    }

    /// Something happens to a process.
    fn happens(&mut self, what: u64) {
        let Some(who) = self.any() else { return };
        let now = self.now;
        let Some(life) = self.lives.get_mut(&who) else {
            return;
        };
        match what {
            0 if !life.spawned => self.cannot_spawn(who),
            1..=3 if !life.spawned => {
                (life.spawned, life.pid_is_ours) = (true, true);
                self.tell(who, Lifecycle::on_spawned);
            }
            4 | 5 if life.spawned && !life.exited => {
                (life.exited, life.exit_at) = (true, Some(now));
                let exit = [
                    Exit::Code(0),
                    Exit::Code(1),
                    Exit::Code(75),
                    Exit::Code(78),
                    Exit::Signal(9),
                ][pick(&mut self.rng, 5)];
                self.tell(who, |life, now| life.on_exit(exit, now));
            }
            6 if life.swept.is_some() => self.tell(who, |life, now| life.on_swept(vec![], now)),
            7 if life.exited => {
                life.streams = Streams::Closed;
                self.tell(who, Lifecycle::on_streams_closed);
            }
            8 => self.tell(who, Lifecycle::on_ready),
            9 => self.tell(who, Lifecycle::on_drained),
            10 => self.tell(who, |life, now| life.on_extend(millis(500), now)),
            _ => {}
        }
    }

    /// There is no such program, say, or too many processes.
    fn cannot_spawn(&mut self, who: Who) {
        let permanent = self.rng.below(2) == 0;
        let up = self.sup.phase(who.slot) == Some(Phase::Starting);
        if permanent && up {
            self.hopeless.insert(who.slot);
        }
        self.lives.remove(&who);
        let end = ExitKind::StartFailed;
        let directives = self.sup.on_start_failed(who, end, permanent, self.now);
        self.perform(directives);
    }

    fn operates(&mut self, what: u64) {
        let slot = u32::try_from(self.rng.below(CHILDREN)).unwrap();
        let (now, counted) = (self.now, self.counted);
        let before = self.sup.phase(slot);
        let result = match what {
            0 => self.sup.terminate_child(slot, now),
            1 => {
                self.hopeless.remove(&slot);
                self.sup.bounce_child(slot, now)
            }
            2 | 3 => self.sup.pause_child(slot, now),
            4 => self.sup.resume_child(slot, now),
            _ => return,
        };
        if what == 0 {
            assert!(result.is_ok(), "① a stop is refused in {before:?}");
            assert_eq!(self.sup.desired(slot), Some(Desired::Down));
            if matches!(before, Some(Phase::Pending | Phase::Backoff)) {
                assert_eq!(self.sup.phase(slot), Some(Phase::Stopped), "① a stop waits");
            }
        }
        if let Ok(directives) = result {
            self.perform(directives);
        }
        assert_eq!(self.counted, counted, "⑥ an operator's wish is counted");
    }

    /// Time passes, for all.
    fn passes(&mut self, wait: Duration) {
        let until = self.now + wait;
        loop {
            let machines = self.lives.iter();
            let due = machines
                .filter_map(|(who, life)| Some((life.machine.next_wakeup()?, Some(*who))))
                .chain(self.sup.next_wakeup().map(|at| (at, None)))
                .min();
            let Some((at, whose)) = due.filter(|(at, _)| *at <= until) else {
                break;
            };
            self.now = at.max(self.now);
            match whose {
                Some(who) => self.tell(who, Lifecycle::on_wakeup),
                None => {
                    let directives = self.sup.on_wakeup(self.now);
                    self.perform(directives);
                }
            }
        }
        self.now = until;
        self.check();
    }

    fn check(&self) {
        for (who, life) in &self.lives {
            let due = life.machine.next_wakeup();
            assert!(
                due.is_none_or(|due| due > self.now),
                "a wake-up in the past"
            );
            let paused = self.sup.phase(who.slot) == Some(Phase::Paused);
            let spawned_and_up = life.announced && life.machine.stage().is_none();
            if spawned_and_up && !life.exited {
                assert_eq!(
                    life.machine.is_paused(),
                    paused,
                    "one is held, the other is not"
                );
            }
            if let Some(bound) = life.bound {
                assert!(self.now < bound, "④ an end took longer than it may");
            }
            if let (Some(exit), None) = (life.exit_at, life.machine.stage()) {
                panic!("④ it ended at {exit:?} and nobody sees to it")
            }
        }
    }

    /// However it went: a shutdown ends all, even what never answers.
    fn ends(&mut self) {
        let directives = self.sup.shut_down(self.now);
        self.perform(directives);
        for _ in 0..200 {
            if self.closed {
                break;
            }
            // A process comes to be, sooner or later, or the spawn would have failed.
            let unborn = self.lives.iter().find(|(_, life)| !life.spawned);
            if let Some(who) = unborn.map(|(who, _)| *who) {
                if let Some(life) = self.lives.get_mut(&who) {
                    (life.spawned, life.pid_is_ours) = (true, true);
                }
                self.tell(who, Lifecycle::on_spawned);
            }
            self.passes(Duration::from_secs(130));
        }
        assert!(
            self.closed && self.lives.is_empty(),
            "① the end does not come"
        );
    }
}

#[test]
fn random_histories_of_processes_keep_the_nine_rules_of_their_lives() {
    let histories = std::env::var_os("REGROW_HISTORIES")
        .and_then(|n| n.to_str()?.parse().ok())
        .unwrap_or(400);
    for seed in 0..histories {
        let mut world = World::new(seed);
        for _ in 0..200 {
            match world.rng.below(8) {
                0..=3 => {
                    let what = world.rng.below(11);
                    world.happens(what);
                }
                4 => {
                    let what = world.rng.below(6);
                    world.operates(what);
                }
                _ => {
                    let wait = millis(world.rng.below(12));
                    world.passes(wait);
                }
            }
            world.check();
        }
        world.ends();
    }
}
