//! All probes of one life of a child.

use std::sync::Arc;
use std::time::Instant;

use super::rules::ProbePlan;
use super::slot::Slot;
use super::{ProbeKind, ProbeResult, ProbeVerdict};
use crate::phase::Health;
use crate::rng::SplitMix64;

/// One run of one probe in one life. A result names it, so that a late one cannot be taken for that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// Which life of the child.
    pub generation: u32,
    /// Which probe, by its position in the plans.
    pub probe: usize,
    /// Which run of that probe.
    pub seq: u32,
}

/// What a [`Prober`] tells its shell to do, and to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Directive {
    /// Carry this check out, for at most its timeout, and hand in what came out ([`Prober::on_result`]), whatever happens to it.
    Run(Run),
    /// Nobody waits for the result of this run any more.
    Cancel(Run),
    /// The verdict of a probe has changed.
    Changed {
        /// Which probe.
        probe: usize,
        /// What it was.
        from: ProbeVerdict,
        /// What it is.
        to: ProbeVerdict,
        /// After so many equal results in a row; 0 when no result was the reason.
        consecutive: u32,
    },
    /// Every startup probe has succeeded: the life is up, and the other probes begin.
    Started,
    /// A startup probe has failed: the start has. Told once in a life.
    StartFailed {
        /// Which probe.
        probe: usize,
    },
    /// A liveness probe has failed: the life is to be ended, for the cause `probe`. Told once in a life.
    Restart {
        /// Which probe.
        probe: usize,
    },
    /// Whether the child may be given work has changed.
    Ready(bool),
    /// The health of the child has changed.
    Health {
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
    },
}

/// Decides when the probes of one life run, and what their results mean.
///
/// After each call, set one timer to [`Prober::next_deadline`] and call [`Prober::poll`] when it fires. Of each probe at most one run
/// is under way. A run is spread at first, anywhere within its period, and then kept near a grid of periods, ± 5 %; a readiness probe
/// that waited for a startup probe is due at once, as the kubelet has it. A new life has a new `Prober`: nothing is inherited.
///
/// A call costs O(the number of probes).
#[derive(Clone, Debug)]
pub struct Prober {
    plans: Arc<[ProbePlan]>,
    slots: Box<[Slot]>,
    generation: u32,
    rng: SplitMix64,
    /// When the life began, as its own time has it: a pause moves it.
    began: Instant,
    has_started: bool,
    /// A probe has ended it: nothing is asked that could end it again.
    is_condemned: bool,
    is_stopping: bool,
    /// Since when it is held.
    paused: Option<Instant>,
    is_ready: bool,
    health: Health,
}

impl Prober {
    /// The probes of a life that begins now. The plans are those that [`check_plans`](super::check_plans) lets pass; the same seed
    /// gives the same times.
    ///
    /// Without a startup probe it has started, and without a readiness probe it is ready as soon as it has: what holds already is
    /// not told.
    #[must_use]
    pub fn new(plans: Arc<[ProbePlan]>, generation: u32, now: Instant, seed: u64) -> Self {
        let slots = plans.iter().map(|plan| Slot::new(plan.kind, now));
        let mut prober = Self {
            slots: slots.collect(),
            generation,
            rng: SplitMix64::new(seed),
            began: now,
            has_started: plans.iter().all(|plan| plan.kind != ProbeKind::Startup),
            is_condemned: false,
            is_stopping: false,
            paused: None,
            is_ready: false,
            health: Health::Unknown,
            plans,
        };
        for (slot, plan) in prober.slots.iter_mut().zip(prober.plans.iter()) {
            let from = now + plan.rules.initial_delay;
            slot.anchor_within(from, plan.rules.period, &mut prober.rng);
        }
        prober.is_ready = prober.may_be_given_work();
        prober
    }

    /// What is due: a [`Directive::Run`] for each probe whose time has come, in the order of their times.
    pub fn poll(&mut self, now: Instant) -> Vec<Directive> {
        let mut due: Vec<usize> = Vec::new();
        if self.paused.is_none() {
            due.extend(
                (0..self.slots.len())
                    .filter(|&probe| self.may_run(probe) && self.slots[probe].due <= now),
            );
            due.sort_by_key(|&probe| self.slots[probe].due);
        }
        let begin = |probe: usize| {
            let period = self.plans[probe].rules.period;
            let seq = self.slots[probe].begin(period, now, &mut self.rng);
            Directive::Run(self.run(probe, seq))
        };
        due.into_iter().map(begin).collect()
    }

    /// A run has come to its end. One that was cancelled, or is of an earlier life, changes nothing.
    pub fn on_result(&mut self, run: Run, result: ProbeResult, now: Instant) -> Vec<Directive> {
        let mut directives = Vec::new();
        if !self.is_current(run) {
            return directives;
        }
        let probe = run.probe;
        self.slots[probe].outstanding = None;
        let Some(is_good) = result.is_good() else {
            return directives;
        };
        let plan = &self.plans[probe];
        let kind = plan.kind;
        let from = self.slots[probe].count(kind, &plan.rules, result, is_good);
        let Slot {
            verdict: to,
            consecutive,
            ..
        } = self.slots[probe];
        if from != to {
            directives.push(Directive::Changed {
                probe,
                from,
                to,
                consecutive,
            });
        }
        self.act(probe, kind, to, now, &mut directives);
        self.tell_ready(&mut directives);
        self.tell_health(&mut directives);
        directives
    }

    /// The child is held: its time stands still. What is under way is given up, for it would only find that nobody answers.
    pub fn on_pause(&mut self, now: Instant) -> Vec<Directive> {
        let mut directives = Vec::new();
        self.paused.get_or_insert(now);
        self.cancel(&mut directives, |_| true);
        directives
    }

    /// The child goes on, and so does its time.
    pub fn on_resume(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            let held = now.saturating_duration_since(since);
            self.began += held;
            for slot in &mut self.slots {
                slot.shift(held);
            }
        }
    }

    /// The child is being stopped, for whatever reason. What could end it is asked no more, and says `success`, so that a stop is
    /// quiet; readiness is asked on, for who still serves while it stops may cease to. A pause is over.
    pub fn on_stop(&mut self, now: Instant) -> Vec<Directive> {
        self.on_resume(now);
        let mut directives = Vec::new();
        if std::mem::replace(&mut self.is_stopping, true) {
            return directives;
        }
        self.cancel(&mut directives, |kind| kind != ProbeKind::Readiness);
        for (probe, slot) in self.slots.iter_mut().enumerate() {
            let to = ProbeVerdict::Success;
            if self.plans[probe].kind.may_end_a_life() && slot.verdict != to {
                directives.push(Directive::Changed {
                    probe,
                    from: std::mem::replace(&mut slot.verdict, to),
                    to,
                    consecutive: 0,
                });
            }
        }
        directives
    }

    /// Somebody wants to know now: every probe that may run is due. Its next run is a period later.
    pub fn hasten(&mut self, now: Instant) {
        for probe in 0..self.slots.len() {
            if self.paused.is_none() && self.may_run(probe) {
                self.slots[probe].anchor(now);
            }
        }
    }

    /// When it wants to be polled; `None` while nothing can become due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let open = (0..self.slots.len()).filter(|&probe| self.may_run(probe));
        let next = open.map(|probe| self.slots[probe].due).min();
        next.filter(|_| self.paused.is_none())
    }

    /// Whether somebody waits for the result of this run.
    #[must_use]
    pub fn is_current(&self, run: Run) -> bool {
        let slot = self.slots.get(run.probe);
        self.generation == run.generation
            && slot.is_some_and(|slot| slot.outstanding == Some(run.seq))
    }

    /// The probes, in their order.
    #[must_use]
    pub fn plans(&self) -> &[ProbePlan] {
        &self.plans
    }

    /// The verdict of a probe.
    ///
    /// # Panics
    /// When there is no such probe.
    #[must_use]
    pub fn verdict(&self, probe: usize) -> ProbeVerdict {
        self.slots[probe].verdict
    }

    /// Whether every startup probe has succeeded, or there is none.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.has_started
    }

    /// Whether the child may be given work, as far as its probes go: it has started, and every readiness probe says `success` or
    /// `degraded`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// What the probes say of the child. `down` when a probe says `failure`, unless it is a custom one, which makes it `degraded`, as
    /// does a verdict of `degraded`. `unknown` until it has started and every readiness probe has been judged by its results, and
    /// while no probe has been. It stays what it was once the child is being stopped.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    fn run(&self, probe: usize, seq: u32) -> Run {
        Run {
            generation: self.generation,
            probe,
            seq,
        }
    }

    /// Whether it may be asked at all, its time aside.
    fn may_run(&self, probe: usize) -> bool {
        let is_open = match self.plans[probe].kind {
            ProbeKind::Startup => {
                let is_done = self.slots[probe].verdict == ProbeVerdict::Success;
                !is_done && !self.is_condemned && !self.is_stopping
            }
            ProbeKind::Liveness => self.has_started && !self.is_condemned && !self.is_stopping,
            ProbeKind::Readiness => self.has_started,
            ProbeKind::Custom => self.has_started && !self.is_stopping,
        };
        is_open && self.slots[probe].outstanding.is_none()
    }

    /// What follows from a verdict, new or not.
    fn act(
        &mut self,
        probe: usize,
        kind: ProbeKind,
        verdict: ProbeVerdict,
        now: Instant,
        directives: &mut Vec<Directive>,
    ) {
        let has_failed = verdict == ProbeVerdict::Failure;
        match kind {
            ProbeKind::Startup if has_failed => {
                self.condemn(probe, directives);
                directives.push(Directive::StartFailed { probe });
            }
            ProbeKind::Liveness if has_failed => {
                self.condemn(probe, directives);
                directives.push(Directive::Restart { probe });
            }
            ProbeKind::Startup if verdict == ProbeVerdict::Success => self.open(now, directives),
            ProbeKind::Startup | ProbeKind::Liveness | ProbeKind::Readiness | ProbeKind::Custom => {
            }
        }
    }

    /// It is to be ended: what could end it is on hold until the next life.
    fn condemn(&mut self, probe: usize, directives: &mut Vec<Directive>) {
        self.is_condemned = true;
        self.slots[probe].forget_run();
        self.cancel(directives, ProbeKind::may_end_a_life);
    }

    /// One startup probe has succeeded; if all have, the others begin.
    fn open(&mut self, now: Instant, directives: &mut Vec<Directive>) {
        let succeeded = |slot: &Slot| slot.verdict == ProbeVerdict::Success;
        if !self.of_kind(ProbeKind::Startup).all(succeeded) {
            return;
        }
        self.has_started = true;
        directives.push(Directive::Started);
        for (slot, plan) in self.slots.iter_mut().zip(self.plans.iter()) {
            let from = now.max(self.began + plan.rules.initial_delay);
            match plan.kind {
                ProbeKind::Readiness => slot.anchor(from),
                ProbeKind::Liveness | ProbeKind::Custom => {
                    slot.anchor_within(from, plan.rules.period, &mut self.rng);
                }
                ProbeKind::Startup => {}
            }
        }
    }

    fn cancel(&mut self, directives: &mut Vec<Directive>, which: impl Fn(ProbeKind) -> bool) {
        for probe in 0..self.slots.len() {
            if which(self.plans[probe].kind)
                && let Some(seq) = self.slots[probe].outstanding.take()
            {
                directives.push(Directive::Cancel(self.run(probe, seq)));
            }
        }
    }

    fn tell_ready(&mut self, directives: &mut Vec<Directive>) {
        let is_ready = self.may_be_given_work();
        if std::mem::replace(&mut self.is_ready, is_ready) != is_ready {
            directives.push(Directive::Ready(is_ready));
        }
    }

    fn tell_health(&mut self, directives: &mut Vec<Directive>) {
        let to = self.judge();
        if !self.is_stopping && self.health != to {
            let from = std::mem::replace(&mut self.health, to);
            directives.push(Directive::Health { from, to });
        }
    }

    fn may_be_given_work(&self) -> bool {
        let mut readiness = self.of_kind(ProbeKind::Readiness);
        self.has_started
            && readiness.all(|slot| match slot.verdict {
                ProbeVerdict::Success | ProbeVerdict::Degraded => true,
                ProbeVerdict::Unknown | ProbeVerdict::Failure => false,
            })
    }

    fn judge(&self) -> Health {
        let judged = || {
            self.slots
                .iter()
                .zip(self.plans.iter())
                .filter(|(slot, _)| slot.is_judged)
        };
        let has_failed = judged().any(|(slot, plan)| {
            plan.kind != ProbeKind::Custom && slot.verdict == ProbeVerdict::Failure
        });
        let mut readiness = self.of_kind(ProbeKind::Readiness);
        if has_failed {
            Health::Down
        } else if !self.has_started
            || judged().next().is_none()
            || !readiness.all(|slot| slot.is_judged)
        {
            Health::Unknown
        } else if judged().any(|(slot, _)| slot.verdict != ProbeVerdict::Success) {
            Health::Degraded
        } else {
            Health::Up
        }
    }

    fn of_kind(&self, kind: ProbeKind) -> impl Iterator<Item = &Slot> {
        let slots = self.slots.iter().zip(self.plans.iter());
        slots.filter_map(move |(slot, plan)| (plan.kind == kind).then_some(slot))
    }
}
