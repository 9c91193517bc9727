//! Random histories: whatever happens in whatever order, the invariants hold after every single event.

mod invariants;

use super::*;
use crate::backoff::{Backoff, FirstRestart};
use crate::restart::{GiveUp, Restart, Shutdown, Unresponsive};
use crate::testing::t0;

/// How long a history is.
const EVENTS: u32 = 600;

/// What a shell would have in its hands, and what it has been told.
struct World {
    seed: u64,
    sup: Supervision,
    now: Instant,
    rng: SplitMix64,
    /// Nothing happens that would end the supervision: most of what there is to get wrong takes a while.
    calm: bool,
    starting: BTreeSet<Who>,
    running: BTreeSet<Who>,
    asked: BTreeSet<Who>,
    /// Those of them that were asked because their turn had come.
    in_turn: BTreeSet<Who>,
    /// The one of them that is gone with the present event.
    left: Option<u32>,
    /// Those that were to be stopped in turn before the present event.
    doomed: BTreeSet<u32>,
    phases: BTreeMap<u32, Phase>,
    /// An operator wants them started, whoever's turn it is.
    wanted: BTreeSet<u32>,
    hurried: bool,
    closed: bool,
    /// How many events the supervision was told of.
    told: u32,
    /// What has happened; only written down when it is known to fail.
    log: Option<Vec<String>>,
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn pick(rng: &mut SplitMix64, n: usize) -> usize {
    usize::try_from(rng.below(u64::try_from(n).unwrap())).unwrap()
}

fn one_in(rng: &mut SplitMix64, n: u64) -> bool {
    rng.below(n) == 0
}

fn plan(rng: &mut SplitMix64) -> ChildPlan {
    let first = [
        FirstRestart::AtOnce,
        FirstRestart::Delayed,
        FirstRestart::AtOnceAfter(millis(20)),
    ];
    ChildPlan {
        restart: Restart::ALL[pick(rng, 3)],
        once: one_in(rng, 4),
        shutdown: [
            Shutdown::BrutalKill,
            Shutdown::Timeout(Duration::ZERO),
            Shutdown::Timeout(millis(30)),
            Shutdown::Infinity,
        ][pick(rng, 4)],
        backoff: Backoff::exponential(millis(rng.below(10))..=millis(40))
            .jitter(0.2)
            .first(first[pick(rng, 3)]),
        limit: one_in(rng, 2).then(|| RestartIntensity::new(2, millis(100))),
        give_up: GiveUp::ALL[pick(rng, 2)],
        start_timeout: millis(25),
        enabled: !one_in(rng, 12),
        ready_within: one_in(rng, 6).then(|| millis(40)),
        significant: one_in(rng, 3),
        ends_itself: one_in(rng, 8),
        unresponsive: Unresponsive::ALL[pick(rng, 3)],
        exits: one_in(rng, 4).then(|| Arc::new(crate::exits::ExitRules::default())),
    }
}

fn policy(rng: &mut SplitMix64, seed: u64) -> Policy {
    let policy = Policy {
        strategy: Strategy::ALL[pick(rng, 3)],
        intensity: (rng.below(4) > 0).then(|| RestartIntensity::new(6, millis(100))),
        order: Order::ALL[pick(rng, 2)],
        stop_together: one_in(rng, 4),
        kill_grace: millis(15),
        auto_shutdown: AutoShutdown::ALL[pick(rng, 3)],
        dynamic: one_in(rng, 8),
        max_children: one_in(rng, 8).then_some(5),
        otp_compat: one_in(rng, 3),
        seed,
    };
    if policy.dynamic {
        Policy {
            strategy: Strategy::OneForOne,
            stop_together: true,
            ..policy
        }
    } else {
        policy
    }
}

impl World {
    fn new(seed: u64, log: Option<Vec<String>>) -> Self {
        let mut rng = SplitMix64::new(seed);
        let calm = rng.below(10) > 0;
        let sup = Supervision::new(policy(&mut rng, seed));
        let mut world = Self {
            seed,
            sup,
            now: t0(),
            rng,
            calm,
            starting: BTreeSet::new(),
            running: BTreeSet::new(),
            asked: BTreeSet::new(),
            in_turn: BTreeSet::new(),
            left: None,
            doomed: BTreeSet::new(),
            phases: BTreeMap::new(),
            wanted: BTreeSet::new(),
            hurried: false,
            closed: false,
            told: 0,
            log,
        };
        world.boot();
        world
    }

    /// The history goes on with another supervision.
    fn begin_again(&mut self) {
        self.phases.clear();
        self.wanted.clear();
        (self.hurried, self.closed) = (false, false);
        self.sup = Supervision::new(policy(&mut self.rng, self.seed));
        self.boot();
    }

    fn boot(&mut self) {
        let policy = self.sup.policy;
        self.note(|| format!("{policy:?}"));
        for _ in 0..self.rng.below(7) {
            let slot = self.sup.add(plan(&mut self.rng), self.now);
            self.phases.insert(slot, self.sup.phase(slot).unwrap());
        }
        self.depend();
        let directives = self.sup.boot(self.now);
        self.apply(|| "boot".to_owned(), &directives);
    }

    /// Some children depend on others, wherever those stand in the start order.
    fn depend(&mut self) {
        let mut children: Vec<u32> = self.sup.in_order().collect();
        for n in (1..children.len()).rev() {
            children.swap(n, pick(&mut self.rng, n + 1));
        }
        for n in 1..children.len() {
            for _ in 0..self.rng.below(3) {
                let on = children[pick(&mut self.rng, n)];
                let until = Condition::ALL[pick(&mut self.rng, 4)];
                self.note(|| format!("{} depends on {on}, {until}", children[n]));
                self.sup.depend_until(children[n], on, until);
            }
        }
    }

    /// Whether this would be the end of a supervision that is to go on.
    fn ends_all(&self, happen: impl FnOnce(&mut Supervision) -> Vec<Directive>) -> bool {
        if !self.calm || self.sup.is_closing() {
            return false;
        }
        let mut probe = self.sup.clone();
        drop(happen(&mut probe));
        probe.is_closing()
    }

    fn started(&mut self, who: Who) {
        self.starting.remove(&who);
        self.running.insert(who);
        self.phases.insert(who.slot, Phase::Running);
        let directives = self.sup.on_started(who, self.now);
        self.apply(|| format!("started {who:?}"), &directives);
    }

    fn exit(&mut self, who: Who, end: ExitKind) {
        let now = self.now;
        if self.ends_all(|sup| sup.on_exit(who, end, now)) {
            return;
        }
        let was_asked = self.asked.contains(&who) || self.doomed.contains(&who.slot);
        self.forget(who);
        let directives = self.sup.on_exit(who, end, now);
        self.apply(|| format!("exit {who:?} {end:?}"), &directives);
        self.once_done_stays_done(who, end, was_asked);
    }

    fn start_failed(&mut self, who: Who) {
        let (now, permanent) = (self.now, one_in(&mut self.rng, 6));
        let fail =
            |sup: &mut Supervision| sup.on_start_failed(who, ExitKind::StartFailed, permanent, now);
        if self.ends_all(fail) {
            return self.started(who);
        }
        self.forget(who);
        let directives = fail(&mut self.sup);
        self.apply(
            || format!("start failed {who:?} permanent {permanent}"),
            &directives,
        );
    }

    fn wakeup(&mut self) {
        let jump = millis(self.rng.below(20));
        let due = self.sup.next_wakeup().filter(|_| jump < millis(10));
        let now = due.unwrap_or(self.now + jump).max(self.now);
        if self.ends_all(|sup| sup.on_wakeup(now)) {
            // Somebody is in time after all.
            if let Some(who) = self.starting.first().copied() {
                return self.started(who);
            }
            let late = |who: &&Who| !self.sup.is_ready(who.slot);
            if let Some(who) = self.running.iter().find(late).copied() {
                return self.ready(who);
            }
            let (asked, before) = (self.asked.first().copied(), self.now);
            let goes = |sup: &mut Supervision, who| sup.on_exit(who, ExitKind::Shutdown, before);
            if let Some(who) = asked.filter(|who| !self.ends_all(|sup| goes(sup, *who))) {
                return self.exit(who, ExitKind::Shutdown);
            }
        }
        self.now = now;
        let directives = self.sup.on_wakeup(now);
        self.apply(|| "wakeup".to_owned(), &directives);
    }

    /// Something that the supervision is told of; whether another one began with it.
    fn event(&mut self) -> bool {
        let before = self.told;
        while self.told == before {
            self.try_event();
        }
        let again = self.closed;
        if again {
            self.begin_again();
        }
        again
    }

    fn try_event(&mut self) {
        let end = ExitKind::ALL[pick(&mut self.rng, 12)];
        let mut any = |set: &BTreeSet<Who>| {
            let place = pick(&mut self.rng, set.len().max(1));
            set.iter().nth(place).copied()
        };
        let (starting, running, asked) =
            (any(&self.starting), any(&self.running), any(&self.asked));
        match (self.rng.below(27), starting, running, asked) {
            (0..5, Some(who), _, _) => self.started(who),
            (5..7, Some(who), _, _) => self.start_failed(who),
            (7, Some(who), _, _) => {
                self.sup.on_start_pending(who, self.now);
                self.apply(|| format!("start pending {who:?}"), &[]);
            }
            (8, Some(who), _, _) => {
                self.forget(who);
                let directives = self.sup.on_ignored(who, self.now);
                self.apply(|| format!("ignored {who:?}"), &directives);
            }
            (9..12, _, Some(who), _) => self.exit(who, end),
            (12..15, _, _, Some(who)) => self.exit(who, ExitKind::Shutdown),
            (15..18, _, _, _) => self.wakeup(),
            (18, _, _, _) => self.stale(end),
            (19..21, _, _, _) => self.operator(),
            (21, Some(who), _, _) => self.ready(who),
            (22..24, _, Some(who), _) => self.ready(who),
            (24, _, Some(who), _) => self.condemned(who),
            (25, Some(who), _, _) => self.condemned(who),
            (26.., _, Some(who), _) => self.unready(who),
            (_, None, _, _) | (_, _, None, _) | (_, _, _, None) => {}
        }
    }

    fn ready(&mut self, who: Who) {
        let directives = self.sup.on_ready(who, self.now);
        self.apply(|| format!("ready {who:?}"), &directives);
    }

    fn unready(&mut self, who: Who) {
        self.sup.on_unready(who);
        let ready = self.sup.is_ready(who.slot);
        self.check(!ready, "it is ready though it says that it is not");
        self.apply(|| format!("unready {who:?}"), &[]);
    }

    /// Something wants it ended that is nobody's wish.
    fn condemned(&mut self, who: Who) {
        let cause = StopCause::ALL[pick(&mut self.rng, StopCause::ALL.len())];
        // The causes of others are told from these by what they mean for whose turn it is.
        let now = self.now;
        let of_others = matches!(
            cause,
            StopCause::Operator | StopCause::Parent | StopCause::Sibling
        );
        let its_end_ends_all = |sup: &mut Supervision| {
            drop(sup.on_condemned(who, cause, now));
            sup.on_exit(who, ExitKind::Killed, now)
        };
        let rare = cause.is_failure() && !one_in(&mut self.rng, 4);
        if !of_others && !rare && !self.ends_all(its_end_ends_all) {
            let directives = self.sup.on_condemned(who, cause, self.now);
            self.apply(|| format!("condemned {who:?} {cause}"), &directives);
        }
    }

    fn stale(&mut self, end: ExitKind) {
        let slot = u32::try_from(self.rng.below(6)).unwrap();
        let life = self.sup.slot(slot).map_or(7, |slot| slot.life);
        if life > 0 {
            let life = life - 1;
            let directives = self.sup.on_exit(Who { slot, life }, end, self.now);
            self.check(
                directives.is_empty(),
                "an exit of an earlier life did something",
            );
        }
    }

    fn operator(&mut self) {
        let slot = u32::try_from(self.rng.below(6)).unwrap();
        let (verb, result) = match self.rng.below(11) {
            0 => ("terminate", self.sup.terminate_child(slot, self.now)),
            1 | 2 => {
                self.wanted.insert(slot);
                ("restart", self.sup.restart_child(slot, self.now))
            }
            3 => {
                self.wanted.insert(slot);
                ("bounce", self.sup.bounce_child(slot, self.now))
            }
            4 => ("delete", self.sup.delete_child(slot)),
            5 if self.phases.len() < 8 => return self.add(),
            6 => return self.reconfigure(),
            7 if !self.calm && one_in(&mut self.rng, 40) => {
                ("shut down", Ok(self.sup.shut_down(self.now)))
            }
            7 if !self.calm && one_in(&mut self.rng, 80) => {
                self.hurried = true;
                ("hurry", Ok(self.sup.hurry(self.now)))
            }
            8 | 9 => ("pause", self.sup.pause_child(slot, self.now)),
            10 => ("resume", self.sup.resume_child(slot, self.now)),
            _ => return,
        };
        if let Ok(directives) = result {
            self.apply(|| format!("{verb} {slot}"), &directives);
        }
    }

    /// A new child, which may depend on those that are there.
    fn add(&mut self) {
        let others: Vec<u32> = self.sup.in_order().collect();
        let plan = plan(&mut self.rng);
        let Ok((slot, directives)) = self.sup.start_child(plan, self.now) else {
            return;
        };
        self.phases.insert(slot, Phase::Stopped);
        if !others.is_empty() && one_in(&mut self.rng, 2) {
            let on = others[pick(&mut self.rng, others.len())];
            self.note(|| format!("{slot} depends on {on}"));
            let until = Condition::ALL[pick(&mut self.rng, 4)];
            self.sup.depend_until(slot, on, until);
        }
        self.apply(|| format!("add {slot}"), &directives);
    }

    /// Some of the children in another order, and perhaps a new one; other rules; other dependencies.
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
        let (strategy, order) = (pick(&mut self.rng, 3), pick(&mut self.rng, 2));
        let policy = Policy {
            strategy: Strategy::ALL[strategy],
            order: Order::ALL[order],
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
        self.note(|| format!("reconfigure {policy:?} {places:?}"));
        self.depend();
        // What it is about may also be seen to by whatever happens next.
        let directives = if one_in(&mut self.rng, 2) {
            self.sup.on_wakeup(self.now)
        } else {
            Vec::new()
        };
        self.apply(|| "reconfigured".to_owned(), &directives);
    }

    /// Whatever came before: a shutdown ends, if every child that is asked goes sooner or later.
    fn finish(&mut self) {
        let directives = self.sup.shut_down(self.now);
        self.apply(|| "the last shutdown".to_owned(), &directives);
        for _ in 0..200 {
            if self.closed {
                return;
            }
            if let Some(who) = self.asked.first().copied() {
                self.exit(who, ExitKind::Shutdown);
            } else if let Some(at) = self.sup.next_wakeup() {
                self.now = at;
                let directives = self.sup.on_wakeup(at);
                self.apply(|| "wakeup".to_owned(), &directives);
            }
        }
        self.fail("it does not close");
    }
}

/// Plays a history; how many supervisions there were, and whether the first outlived event 500.
fn play(seed: u64, log: Option<Vec<String>>) -> (u32, bool) {
    let mut world = World::new(seed, log);
    let (mut supervisions, mut lasted) = (1, true);
    for event in 0..EVENTS {
        if world.event() {
            supervisions += 1;
            lasted &= supervisions > 2 || event > 500;
        }
    }
    world.finish();
    (supervisions, lasted)
}

#[expect(
    clippy::print_stdout,
    reason = "how long the histories are is for those who ask with --nocapture"
)]
#[test]
fn random_histories_keep_every_invariant() {
    let histories = std::env::var_os("REGROW_HISTORIES")
        .and_then(|n| n.to_str()?.parse().ok())
        .unwrap_or(150);
    let (mut all, mut last) = (0, 0);
    for seed in 0..histories {
        let (supervisions, lasted) = play(seed, None);
        all += supervisions;
        last += u64::from(lasted);
    }
    println!(
        "{histories} histories of {EVENTS} events, {all} supervisions; in {last} the first outlives event 500"
    );
    assert!(last * 100 >= histories * 80, "only {last} last");
}
