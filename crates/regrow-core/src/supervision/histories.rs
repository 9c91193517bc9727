//! Random histories: whatever happens in whatever order, the invariants hold after every single event.

use super::*;
use crate::backoff::{Backoff, FirstRestart};
use crate::restart::{GiveUp, Restart, Shutdown, Unresponsive};
use crate::testing::t0;

/// What a shell would have in its hands, and what it has been told.
struct World {
    seed: u64,
    sup: Supervision,
    now: Instant,
    rng: SplitMix64,
    starting: BTreeSet<Who>,
    running: BTreeSet<Who>,
    asked: BTreeSet<Who>,
    phases: BTreeMap<u32, Phase>,
    closed: bool,
    ordered: bool,
    log: Vec<String>,
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn plan(rng: &mut SplitMix64) -> ChildPlan {
    let first = [
        FirstRestart::AtOnce,
        FirstRestart::Delayed,
        FirstRestart::AtOnceAfter(millis(20)),
    ];
    let pick = |rng: &mut SplitMix64, n: u64| usize::try_from(rng.below(n)).unwrap();
    ChildPlan {
        restart: Restart::ALL[pick(rng, 3)],
        shutdown: [
            Shutdown::BrutalKill,
            Shutdown::Timeout(Duration::ZERO),
            Shutdown::Timeout(millis(30)),
            Shutdown::Infinity,
        ][pick(rng, 4)],
        backoff: Backoff::exponential(millis(rng.below(10))..=millis(40))
            .jitter(0.2)
            .first(first[pick(rng, 3)]),
        limit: (rng.below(2) == 0).then(|| RestartIntensity::new(2, millis(100))),
        give_up: GiveUp::ALL[pick(rng, 2)],
        start_timeout: millis(25),
        significant: rng.below(3) == 0,
        ends_itself: rng.below(8) == 0,
        unresponsive: Unresponsive::ALL[pick(rng, 3)],
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let order = Order::ALL[usize::try_from(rng.below(2)).unwrap()];
        let policy = Policy {
            strategy: Strategy::ALL[usize::try_from(rng.below(3)).unwrap()],
            intensity: (rng.below(4) > 0).then(|| RestartIntensity::new(6, millis(100))),
            order,
            stop_together: rng.below(4) == 0,
            kill_grace: millis(15),
            // Seldom: it ends a history soon.
            auto_shutdown: if rng.below(4) == 0 {
                AutoShutdown::ALL[usize::try_from(rng.below(3)).unwrap()]
            } else {
                AutoShutdown::Never
            },
            dynamic: rng.below(8) == 0,
            max_children: (rng.below(8) == 0).then_some(5),
            otp_compat: rng.below(3) == 0,
            seed,
        };
        let policy = if policy.dynamic {
            Policy {
                strategy: Strategy::OneForOne,
                stop_together: true,
                ..policy
            }
        } else {
            policy
        };
        let (mut sup, now) = (Supervision::new(policy), t0());
        let mut phases = BTreeMap::new();
        for slot in 0..u32::try_from(rng.below(6)).unwrap() {
            sup.add(plan(&mut rng), now);
            phases.insert(slot, Phase::Pending);
            if slot > 0 && rng.below(2) == 0 {
                sup.depend(slot, u32::try_from(rng.below(u64::from(slot))).unwrap());
            }
        }
        let ordered = !policy.stop_together && order == Order::Sequence;
        let sets = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (starting, running, asked) = sets;
        let mut world = Self {
            seed,
            sup,
            now,
            rng,
            starting,
            running,
            asked,
            phases,
            closed: false,
            ordered,
            log: Vec::new(),
        };
        let directives = world.sup.boot(now);
        world.apply("boot", directives);
        world
    }

    fn fail(&self, what: &str) -> ! {
        panic!("seed {}: {what}\n{}", self.seed, self.log.join("\n"))
    }

    fn check(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    fn alive(&self) -> usize {
        self.starting.len() + self.running.len() + self.asked.len()
    }

    fn forget(&mut self, who: Who) {
        self.starting.remove(&who);
        self.running.remove(&who);
        self.asked.remove(&who);
    }

    fn apply(&mut self, event: &str, directives: Vec<Directive>) {
        self.log.push(format!("{event} -> {directives:?}"));
        for directive in directives {
            self.check(!self.closed, "a directive after Close");
            self.one(directive);
        }
        self.invariants();
    }

    fn one(&mut self, directive: Directive) {
        match directive {
            Directive::Start(who) => {
                let lives = [&self.starting, &self.running, &self.asked];
                let twice = lives
                    .iter()
                    .any(|set| set.iter().any(|other| other.slot == who.slot));
                self.check(!twice, "two lives of one child");
                self.starting.insert(who);
                self.phases.insert(who.slot, Phase::Starting);
            }
            Directive::Stop(who, cause) => {
                let later = |other: &&Who| {
                    self.sup
                        .slot(other.slot)
                        .is_some_and(|o| o.order > self.sup.slot(who.slot).unwrap().order)
                };
                let in_line = cause == StopCause::Operator
                    || self
                        .starting
                        .iter()
                        .chain(&self.running)
                        .filter(later)
                        .count()
                        == 0;
                self.check(
                    !self.ordered || !self.sup.is_closing() || in_line,
                    "an earlier child is stopped before a later one",
                );
                self.forget(who);
                self.asked.insert(who);
                self.phases.insert(who.slot, Phase::Stopping);
            }
            Directive::Kill(who, _) => {
                self.forget(who);
                self.asked.insert(who);
                self.phases.insert(who.slot, Phase::Stopping);
            }
            Directive::Abandon(who) => self.forget(who),
            // The shell does not return from it; here it is over, which must do no harm either.
            Directive::Abort(who) => {
                let alive = self.starting.contains(&who) || self.running.contains(&who);
                self.check(!alive, "aborted for one that is not given up on");
            }
            Directive::Backoff(scheduled) => {
                self.check(
                    scheduled.in_window <= scheduled.max_restarts.unwrap_or(u32::MAX),
                    "more restarts than allowed",
                );
                self.phases.insert(scheduled.slot, Phase::Backoff);
            }
            Directive::Rest { slot, phase } => {
                self.phases.insert(slot, phase);
            }
            Directive::Park { slot, .. } => {
                self.phases.insert(slot, Phase::Failed);
            }
            Directive::Remove(slot) => {
                self.phases.remove(&slot);
            }
            Directive::Close(_) => {
                self.check(self.alive() == 0, "closed with somebody alive");
                self.closed = true;
            }
            Directive::StartTimeout(_)
            | Directive::BackoffReset { .. }
            | Directive::Meltdown { .. }
            | Directive::Booted => {}
        }
    }

    fn invariants(&self) {
        self.check(
            self.sup.next_wakeup().is_none_or(|at| at > self.now),
            "the next wakeup is not in the future",
        );
        for (slot, phase) in &self.phases {
            let real = self.sup.phase(*slot);
            self.check(
                real == Some(*phase),
                &format!("child {slot} is {real:?}, but {phase:?} was told"),
            );
        }
        let places = self.sup.in_order().count();
        self.check(places == self.phases.len(), "a place came or went untold");
        self.check(
            usize::try_from(self.sup.alive).unwrap() == self.alive(),
            "the count of the living is wrong",
        );
        let significant = self.sup.slots.iter().flatten();
        let significant = significant.filter(|slot| slot.is_significant()).count();
        self.check(
            usize::try_from(self.sup.significant).unwrap() == significant,
            "the count of the significant is wrong",
        );
        let waits = self.sup.boot_left == 0 || self.sup.booted || self.alive() > 0;
        let moves = self.sup.next_wakeup().is_some()
            || !self.sup.starts.is_empty()
            || self.sup.is_closing();
        self.check(
            waits || moves || self.sup.policy.order == Order::Dependencies,
            "the boot is stuck",
        );
    }

    fn any(&mut self, set: &BTreeSet<Who>) -> Option<Who> {
        let len = u64::try_from(set.len()).unwrap();
        set.iter()
            .nth(usize::try_from(self.rng.below(len)).unwrap())
            .copied()
    }

    fn started(&mut self, who: Who) {
        self.starting.remove(&who);
        self.running.insert(who);
        self.phases.insert(who.slot, Phase::Running);
        let directives = self.sup.on_started(who, self.now);
        self.apply(&format!("started {who:?}"), directives);
    }

    fn exit(&mut self, who: Who, end: ExitKind) {
        self.forget(who);
        let directives = self.sup.on_exit(who, end, self.now);
        self.apply(&format!("exit {who:?} {end:?}"), directives);
    }

    fn event(&mut self) {
        let (starting, running, asked) = (
            self.starting.clone(),
            self.running.clone(),
            self.asked.clone(),
        );
        let end = ExitKind::ALL[usize::try_from(self.rng.below(12)).unwrap()];
        match self.rng.below(21) {
            20 => {
                if let Some(who) = self.any(&starting) {
                    self.forget(who);
                    let directives = self.sup.on_ignored(who, self.now);
                    self.apply(&format!("ignored {who:?}"), directives);
                }
            }
            0..5 => {
                if let Some(who) = self.any(&starting) {
                    self.started(who);
                }
            }
            5..7 => {
                if let Some(who) = self.any(&starting) {
                    self.forget(who);
                    let permanent = self.rng.below(6) == 0;
                    let directives =
                        self.sup
                            .on_start_failed(who, ExitKind::StartFailed, permanent, self.now);
                    self.apply(
                        &format!("start failed {who:?} permanent {permanent}"),
                        directives,
                    );
                }
            }
            7..10 => {
                if let Some(who) = self.any(&running) {
                    self.exit(who, end);
                }
            }
            10..13 => {
                if let Some(who) = self.any(&asked) {
                    self.exit(who, ExitKind::Shutdown);
                }
            }
            13..16 => {
                let jump = millis(self.rng.below(20));
                self.now = self
                    .sup
                    .next_wakeup()
                    .filter(|_| jump < millis(10))
                    .unwrap_or(self.now + jump);
                let directives = self.sup.on_wakeup(self.now);
                self.apply("wakeup", directives);
            }
            16 => {
                if let Some(who) = self.any(&starting) {
                    self.sup.on_start_pending(who, self.now);
                    self.apply(&format!("start pending {who:?}"), Vec::new());
                }
            }
            17 => self.stale(end),
            _ => self.operator(),
        }
    }

    fn stale(&mut self, end: ExitKind) {
        let slot = u32::try_from(self.rng.below(6)).unwrap();
        let life = self.sup.slot(slot).map_or(7, |slot| slot.life);
        if life > 0 {
            let directives = self.sup.on_exit(
                Who {
                    slot,
                    life: life - 1,
                },
                end,
                self.now,
            );
            self.check(
                directives.is_empty(),
                "an exit of an earlier life did something",
            );
        }
    }

    fn operator(&mut self) {
        let slot = u32::try_from(self.rng.below(6)).unwrap();
        let (verb, result) = match self.rng.below(7) {
            0 => ("terminate", self.sup.terminate_child(slot, self.now)),
            1 => ("restart", self.sup.restart_child(slot, self.now)),
            2 => ("bounce", self.sup.bounce_child(slot, self.now)),
            3 => ("delete", self.sup.delete_child(slot)),
            4 if self.phases.len() < 8 && !self.closed => {
                let plan = plan(&mut self.rng);
                match self.sup.start_child(plan, self.now) {
                    Ok((slot, directives)) => {
                        self.phases.insert(slot, Phase::Stopped);
                        ("add", Ok(directives))
                    }
                    Err(refused) => ("add", Err(refused)),
                }
            }
            5 => return self.reconfigure(),
            _ if self.rng.below(40) == 0 => ("shut down", Ok(self.sup.shut_down(self.now))),
            _ if self.rng.below(80) == 0 => ("hurry", Ok(self.sup.hurry(self.now))),
            _ => return,
        };
        if let Ok(directives) = result {
            self.apply(&format!("{verb} {slot}"), directives);
        }
    }

    /// Some of the children in another order, and perhaps a new one.
    fn reconfigure(&mut self) {
        let mut listed: Vec<(Option<u32>, ChildPlan)> = Vec::new();
        for slot in self.sup.in_order().rev().collect::<Vec<_>>() {
            if self.rng.below(3) > 0 {
                listed.push((Some(slot), plan(&mut self.rng)));
            }
        }
        if self.phases.len() < 8 {
            listed.push((None, plan(&mut self.rng)));
        }
        let policy = Policy {
            strategy: Strategy::ALL[usize::try_from(self.rng.below(3)).unwrap()],
            ..self.sup.policy
        };
        let before = self.sup.in_order().collect::<Vec<_>>();
        let Ok(places) = self.sup.reconfigure(policy, listed.clone(), self.now) else {
            return;
        };
        for ((known, _), place) in listed.iter().zip(&places) {
            if known.is_none() {
                self.phases.insert(*place, Phase::Stopped);
            }
        }
        let kept = before.iter().filter(|slot| !places.contains(slot));
        let expected: Vec<u32> = places.iter().chain(kept).copied().collect();
        let order = self.sup.in_order().collect::<Vec<_>>();
        self.check(order == expected, "the new order is another");
        self.apply("reconfigure", Vec::new());
    }

    /// Whatever came before: a shutdown ends, if every child that is asked goes sooner or later.
    fn finish(&mut self) {
        let directives = self.sup.shut_down(self.now);
        self.apply("the last shutdown", directives);
        for _ in 0..200 {
            if self.closed {
                return;
            }
            if let Some(who) = self.asked.first().copied() {
                self.exit(who, ExitKind::Shutdown);
            } else if let Some(at) = self.sup.next_wakeup() {
                self.now = at;
                let directives = self.sup.on_wakeup(at);
                self.apply("wakeup", directives);
            }
        }
        self.fail("it does not close");
    }
}

#[test]
fn random_histories_keep_every_invariant() {
    let histories = std::env::var_os("REGROW_HISTORIES")
        .and_then(|n| n.to_str()?.parse().ok())
        .unwrap_or(1_000);
    for seed in 0..histories {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.event();
        }
        world.finish();
    }
}
