//! Random histories of one life: whatever happens in whatever order, the invariants hold after every event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::testing::t0;
use crate::{Health, SplitMix64};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a shell would know, and what the rules say when they are told as plainly as possible.
struct World {
    seed: u64,
    rng: SplitMix64,
    now: Instant,
    plans: Arc<[ProbePlan]>,
    prober: Prober,
    under_way: BTreeMap<usize, Run>,
    /// Runs that nobody waits for any more.
    over: Vec<Run>,
    /// All results that were not thrown away, by probe.
    results: Vec<Vec<ProbeResult>>,
    has_started: bool,
    condemned: bool,
    stopped: bool,
    held: bool,
    is_ready: bool,
    health: Health,
    steps: u32,
}

fn pick<T: Copy>(rng: &mut SplitMix64, among: &[T]) -> T {
    among[usize::try_from(rng.below(among.len() as u64)).unwrap()]
}

fn small(rng: &mut SplitMix64, bound: u64) -> u32 {
    u32::try_from(1 + rng.below(bound)).unwrap()
}

fn rules(rng: &mut SplitMix64, kind: ProbeKind) -> ProbeRules {
    let failure_threshold = small(rng, 4);
    let warns = kind != ProbeKind::Startup && rng.below(2) == 0;
    ProbeRules {
        initial_delay: millis(pick(rng, &[0, 0, 500])),
        period: millis(pick(rng, &[1, 100, 250])),
        timeout: millis(50),
        success_threshold: if kind.may_end_a_life() {
            1
        } else {
            small(rng, 3)
        },
        failure_threshold,
        warning_threshold: warns.then(|| small(rng, u64::from(failure_threshold))),
        termination_grace: None,
    }
}

/// The verdict after these results, from the first to the last, by the words of the rules.
fn verdict(plan: &ProbePlan, results: &[ProbeResult]) -> ProbeVerdict {
    let Some((last, before)) = results.split_last() else {
        return plan.kind.initial_verdict();
    };
    let previous = verdict(plan, before);
    let run_of = |n: u32, is_good: bool| {
        let n = n as usize;
        let newest = &results[results.len().saturating_sub(n)..];
        newest.len() == n
            && newest
                .iter()
                .all(|result| result.is_good() == Some(is_good))
    };
    if run_of(plan.rules.success_threshold, true) {
        let warns = *last == ProbeResult::Warning && plan.kind != ProbeKind::Startup;
        return if warns {
            ProbeVerdict::Degraded
        } else {
            ProbeVerdict::Success
        };
    }
    if run_of(plan.rules.failure_threshold, false) {
        return ProbeVerdict::Failure;
    }
    let warns = plan
        .rules
        .warning_threshold
        .is_some_and(|n| run_of(n, false));
    if warns && previous != ProbeVerdict::Failure {
        return ProbeVerdict::Degraded;
    }
    previous
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let n = 1 + rng.below(5);
        let plans: Arc<[ProbePlan]> = (0..n)
            .map(|at| {
                let kind = pick(&mut rng, ProbeKind::ALL);
                ProbePlan::new(kind, rules(&mut rng, kind)).named(format!("{at}"))
            })
            .collect();
        check_plans(&plans).unwrap();
        let now = t0();
        let prober = Prober::new(Arc::clone(&plans), 3, now, seed);
        Self {
            seed,
            rng,
            now,
            under_way: BTreeMap::new(),
            over: Vec::new(),
            results: vec![Vec::new(); plans.len()],
            has_started: plans.iter().all(|plan| plan.kind != ProbeKind::Startup),
            condemned: false,
            stopped: false,
            held: false,
            is_ready: prober.is_ready(),
            health: prober.health(),
            plans,
            prober,
            steps: 0,
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        match self.rng.below(40) {
            0 => {
                let directives = self.prober.on_pause(self.now);
                self.held = true;
                self.heed(directives);
            }
            1..4 => {
                self.prober.on_resume(self.now);
                self.held = false;
            }
            4 if self.rng.below(10) == 0 => {
                let directives = self.prober.on_stop(self.now);
                (self.stopped, self.held) = (true, false);
                self.heed(directives);
            }
            5 => self.prober.hasten(self.now),
            6 => self.answer_late(),
            7..20 => self.answer(),
            20..25 => self.now += millis(self.rng.below(400)),
            _ => self.poll(),
        }
        self.check();
    }

    fn poll(&mut self) {
        if let Some(at) = self.prober.next_deadline() {
            self.now = self.now.max(at);
        }
        let directives = self.prober.poll(self.now);
        self.heed(directives);
        let next = self.prober.next_deadline();
        assert!(next.is_none_or(|at| at > self.now), "{}", self.place());
    }

    fn answer(&mut self) {
        let runs: Vec<Run> = self.under_way.values().copied().collect();
        if runs.is_empty() {
            return;
        }
        let run = pick(&mut self.rng, &runs);
        let result = match self.rng.below(3) {
            0 => pick(&mut self.rng, ProbeResult::ALL),
            1 => ProbeResult::Success,
            // Some probes fail for long.
            _ if (run.probe as u64 + self.seed).is_multiple_of(3) => ProbeResult::Failure,
            _ => ProbeResult::Success,
        };
        self.under_way.remove(&run.probe);
        self.over.push(run);
        if result.is_good().is_some() {
            self.results[run.probe].push(result);
        }
        let directives = self.prober.on_result(run, result, self.now);
        self.heed(directives);
    }

    /// What comes too late, or from another life, changes nothing at all.
    fn answer_late(&mut self) {
        let mut late = self.over.clone();
        late.extend(self.under_way.values().map(|run| Run {
            generation: 2,
            ..*run
        }));
        if !late.is_empty() {
            let run = pick(&mut self.rng, &late);
            let before = format!("{:?}", self.prober);
            let directives = self.prober.on_result(run, ProbeResult::Failure, self.now);
            assert_eq!(directives, [], "{}", self.place());
            assert_eq!(format!("{:?}", self.prober), before, "{}", self.place());
        }
    }

    fn heed(&mut self, directives: Vec<Directive>) {
        for directive in directives {
            match directive {
                Directive::Run(run) => self.begins(run),
                Directive::Cancel(run) => {
                    assert_eq!(
                        self.under_way.remove(&run.probe),
                        Some(run),
                        "{}",
                        self.place()
                    );
                    self.over.push(run);
                }
                Directive::Changed { from, to, .. } => assert_ne!(from, to, "{}", self.place()),
                Directive::Started => {
                    assert!(
                        !std::mem::replace(&mut self.has_started, true),
                        "{}",
                        self.place()
                    );
                }
                Directive::StartFailed { probe } => self.ends(probe, ProbeKind::Startup),
                Directive::Restart { probe } => self.ends(probe, ProbeKind::Liveness),
                Directive::Ready(is_ready) => {
                    assert_ne!(self.is_ready, is_ready, "{}", self.place());
                    self.is_ready = is_ready;
                }
                Directive::Health { from, to } => {
                    assert!(from == self.health && from != to, "{}", self.place());
                    self.health = to;
                }
            }
        }
    }

    fn begins(&mut self, run: Run) {
        let place = self.place();
        assert!(!self.held, "{place}: it is held");
        assert_eq!(run.generation, 3, "{place}");
        let may = match self.plans[run.probe].kind {
            ProbeKind::Startup => !self.has_started && !self.condemned && !self.stopped,
            ProbeKind::Liveness => self.has_started && !self.condemned && !self.stopped,
            ProbeKind::Readiness => self.has_started,
            ProbeKind::Custom => self.has_started && !self.stopped,
        };
        assert!(may, "{place}: {run:?} may not run now");
        let other = self.under_way.insert(run.probe, run);
        assert_eq!(other, None, "{place}: two runs of one probe");
    }

    fn ends(&mut self, probe: usize, kind: ProbeKind) {
        assert_eq!(self.plans[probe].kind, kind, "{}", self.place());
        let is_second = std::mem::replace(&mut self.condemned, true);
        assert!(!is_second, "{}: condemned twice", self.place());
        let model = verdict(&self.plans[probe], &self.results[probe]);
        assert_eq!(model, ProbeVerdict::Failure, "{}", self.place());
    }

    fn check(&self) {
        let place = self.place();
        for (probe, plan) in self.plans.iter().enumerate() {
            let model = if self.stopped && plan.kind.may_end_a_life() {
                ProbeVerdict::Success
            } else {
                verdict(plan, &self.results[probe])
            };
            assert_eq!(self.prober.verdict(probe), model, "{place}, probe {probe}");
        }
        let of_kind = |kind| {
            let plans = self.plans.iter().enumerate();
            plans.filter(move |(_, plan)| plan.kind == kind)
        };
        let succeeded = of_kind(ProbeKind::Startup)
            .all(|(at, plan)| verdict(plan, &self.results[at]) == ProbeVerdict::Success);
        assert_eq!(self.has_started, succeeded, "{place}");
        assert_eq!(self.prober.has_started(), succeeded, "{place}");
        let fit = of_kind(ProbeKind::Readiness).all(|(at, _)| {
            let verdict = self.prober.verdict(at);
            verdict == ProbeVerdict::Success || verdict == ProbeVerdict::Degraded
        });
        assert_eq!(self.is_ready, succeeded && fit, "{place}");
        assert_eq!(self.prober.is_ready(), self.is_ready, "{place}");
        assert_eq!(self.prober.health(), self.health, "{place}");
        for run in self.under_way.values() {
            assert!(self.prober.is_current(*run), "{place}");
        }
        self.check_next(&place);
    }

    /// Whoever may be asked is asked within a period and its jitter, from now or from the beginning.
    fn check_next(&self, place: &str) {
        let next = self.prober.next_deadline();
        let readiness = self.plans.iter().enumerate().any(|(at, plan)| {
            plan.kind == ProbeKind::Readiness && !self.under_way.contains_key(&at)
        });
        if self.has_started && readiness && !self.held {
            let longest = millis(275 + 500);
            assert!(
                next.is_some_and(|at| at <= self.now + longest),
                "{place}: {next:?}"
            );
        }
        assert!(!self.held || next.is_none(), "{place}");
    }

    fn place(&self) -> String {
        format!("seed {}, step {}", self.seed, self.steps)
    }
}

#[test]
fn random_histories_keep_every_invariant() {
    let (mut started, mut condemned, mut degraded) = (0, 0, 0);
    for seed in 0..600 {
        let mut world = World::new(seed);
        for _ in 0..250 {
            world.step();
        }
        started += u32::from(world.has_started);
        condemned += u32::from(world.condemned);
        degraded += u32::from(world.health == Health::Degraded);
    }
    // The histories come to where something can go wrong.
    assert!(
        started > 300 && condemned > 100 && degraded > 30,
        "{started}, {condemned}, {degraded}"
    );
}
