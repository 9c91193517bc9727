//! What holds after every event, and at every directive.

use super::*;

impl World {
    pub(super) fn fail(&self, what: &str) -> ! {
        match &self.log {
            Some(log) => panic!("seed {}: {what}\n{}", self.seed, log.join("\n")),
            None => {
                play(self.seed, Some(Vec::new()));
                panic!(
                    "seed {}: {what}, but not when it is played again",
                    self.seed
                )
            }
        }
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(text());
        }
    }

    pub(super) fn check(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    fn alive(&self) -> usize {
        self.starting.len() + self.running.len() + self.asked.len()
    }

    pub(super) fn forget(&mut self, who: Who) {
        self.starting.remove(&who);
        self.running.remove(&who);
        self.asked.remove(&who);
        if self.in_turn.remove(&who) {
            self.left = Some(who.slot);
        }
    }

    /// The supervision was told of something, and this was its answer.
    pub(super) fn apply(&mut self, event: impl FnOnce() -> String, directives: &[Directive]) {
        self.told += 1;
        self.note(|| format!("{} -> {directives:?}", event()));
        let mut timed_out = None;
        for (n, directive) in directives.iter().copied().enumerate() {
            self.check(!self.closed, "a directive after Close");
            match directive {
                Directive::Start(who) => self.start_is_in_turn(who, &directives[n..]),
                // The one stop that is nobody's turn.
                Directive::Stop(who, StopCause::Parent)
                | Directive::Kill(who, StopCause::Parent)
                    if timed_out == Some(who) => {}
                Directive::Stop(who, cause) | Directive::Kill(who, cause) => {
                    self.stop_is_in_turn(who, cause);
                }
                Directive::StartTimeout(who) => timed_out = Some(who),
                Directive::Pause(who) | Directive::Resume(who) => {
                    self.check(self.running.contains(&who), "one is held that is not up");
                }
                Directive::Abandon(_)
                | Directive::Abort(_)
                | Directive::Backoff(_)
                | Directive::Rest { .. }
                | Directive::Park { .. }
                | Directive::Remove(_)
                | Directive::BackoffReset { .. }
                | Directive::Meltdown { .. }
                | Directive::Booted
                | Directive::Close(_) => {}
            }
            self.one(directive);
        }
        self.invariants();
        self.left = None;
        self.doomed = self.sup.stops.iter().map(|(_, slot)| *slot).collect();
    }

    /// Nobody starts while one is being stopped in turn, or is still to be.
    fn start_is_in_turn(&mut self, who: Who, answer: &[Directive]) {
        self.check(
            self.in_turn.is_empty(),
            "a start while a group is being stopped",
        );
        // Then another has been doomed after this one was started.
        let marks = answer.iter().any(|directive| {
            matches!(
                directive,
                Directive::Backoff(_) | Directive::Meltdown { .. } | Directive::Abandon(_)
            )
        });
        self.check(
            marks || self.sup.stops.is_empty(),
            "a start before all that are doomed are gone",
        );
        let desired = self.sup.desired(who.slot);
        let wanted = self.sup.slot(who.slot).map(|slot| slot.plan.wanted());
        self.check(
            desired == Some(Desired::Down) || desired == wanted,
            "what is wanted is not what the plan says",
        );
        self.check(
            marks || desired != Some(Desired::Down),
            "a start of one that an operator wants down",
        );
        let stopping = self.phases.get(&who.slot) == Some(&Phase::Stopping);
        self.check(
            !stopping || self.left != Some(who.slot),
            "a start of one that has its turn later",
        );
        let wanted = self.wanted.remove(&who.slot);
        let waited = self.phases.get(&who.slot) == Some(&Phase::Pending);
        let early = self.sup.policy.order == Order::Dependencies
            && self
                .links(who.slot)
                .iter()
                .flat_map(|links| &links.depends_on)
                .any(|(on, _)| self.sup.is_due(*on));
        self.check(
            marks || wanted || !waited || !early,
            "a start before that of what it depends on",
        );
        if !marks && !wanted && waited && self.sup.policy.order == Order::Dependencies {
            self.start_is_met(who);
        }
    }

    /// One is stopped at a time, last first, and before what it depends on.
    fn stop_is_in_turn(&mut self, who: Who, cause: StopCause) {
        self.check(
            cause != StopCause::Operator || !self.doomed.contains(&who.slot),
            "one that is doomed is stopped before its turn",
        );
        let is_asked = self.asked.contains(&who);
        let together =
            self.sup.policy.stop_together || self.sup.policy.order == Order::Dependencies;
        let closes = self.sup.is_closing() && !together && !self.hurried;
        let in_turn = cause == StopCause::Sibling || cause == StopCause::Parent && closes;
        if is_asked || !in_turn {
            return;
        }
        self.check(self.in_turn.is_empty(), "two are stopped at a time");
        let turn = self.sup.slot(who.slot).map(|slot| slot.turn);
        self.check(
            together && self.sup.is_closing()
                || self.sup.stops.iter().all(|(other, _)| Some(*other) < turn),
            "an earlier child is stopped before a later one",
        );
        self.in_turn.insert(who);
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
            Directive::Stop(who, _) | Directive::Kill(who, _) => {
                self.starting.remove(&who);
                self.running.remove(&who);
                self.asked.insert(who);
                self.phases.insert(who.slot, Phase::Stopping);
            }
            Directive::Pause(who) => {
                self.phases.insert(who.slot, Phase::Paused);
            }
            Directive::Resume(who) => {
                self.phases.insert(who.slot, Phase::Running);
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
                let before = self.phases.insert(slot, phase);
                self.check(before != Some(phase), "the same phase is told twice");
            }
            Directive::Park { slot, .. } => {
                self.phases.insert(slot, Phase::Failed);
            }
            Directive::Remove(slot) => {
                self.phases.remove(&slot);
                self.wanted.remove(&slot);
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
        let due = self.sup.next_wakeup().is_some_and(|at| at <= self.now);
        self.check(
            !due || self.sup.forgotten.is_some(),
            "the next wakeup is not in the future",
        );
        for (slot, phase) in &self.phases {
            let real = self.sup.phase(*slot);
            if real != Some(*phase) {
                self.fail(&format!("child {slot} is {real:?}, but {phase:?} was told"));
            }
        }
        let places = self.sup.in_order().count();
        self.check(places == self.phases.len(), "a place came or went untold");
        self.counts();
        self.lines();
        self.unmet();
        if self.sup.mode == Mode::Up && self.sup.forgotten.is_none() {
            for slot in self.sup.in_order() {
                self.waits_for_somebody(slot);
            }
        }
        let waits = self.sup.boot_left == 0 || self.sup.booted || self.alive() > 0;
        let moves = self.sup.next_wakeup().is_some()
            || !self.sup.starts.is_empty()
            || self.sup.is_closing();
        self.check(
            waits || moves || self.sup.policy.order == Order::Dependencies,
            "the boot is stuck",
        );
    }

    fn counts(&self) {
        let is = |count: u32, what: fn(&Slot) -> bool, name: &str| {
            let real = self.sup.slots.iter().flatten().filter(|s| what(s)).count();
            if usize::try_from(count) != Ok(real) {
                self.fail(&format!("the count of the {name} is wrong"));
            }
        };
        is(self.sup.alive, |slot| slot.state.is_alive(), "living");
        is(self.sup.significant, Slot::is_significant, "significant");
        is(self.sup.leaving, |slot| slot.in_turn, "leaving");
        is(self.sup.boot_left, |slot| slot.holds_boot, "booting");
        self.check(
            usize::try_from(self.sup.alive) == Ok(self.alive()),
            "somebody lives or has died untold",
        );
    }

    /// Who is to be stopped or started, and in which order.
    fn lines(&self) {
        for index in self.sup.in_order() {
            let slot = self.sup.slot(index).unwrap();
            let doomed =
                slot.after.is_some() && matches!(slot.state, State::Starting | State::Running);
            self.check(
                self.sup.stops.contains(&(slot.turn, index)) == doomed,
                "the line of those that are to be stopped is wrong",
            );
            self.check(
                !self.sup.is_due(index) || matches!(slot.state, State::Pending | State::Backoff),
                "one is due that does not wait",
            );
            for (on, _) in slot.links.iter().flat_map(|links| &links.depends_on) {
                let tangled = self.sup.tangled || self.sup.policy.order == Order::Sequence;
                self.check(
                    tangled || self.sup.slot(*on).is_some_and(|on| on.turn < slot.turn),
                    "a turn before that of what it depends on",
                );
            }
        }
    }

    /// How many each one waits for, whether it waits or not; and that what holds for one holds for all who ask.
    fn unmet(&self) {
        for index in self.sup.in_order() {
            let edges = self.links(index).into_iter();
            let edges = edges.flat_map(|links| &links.depends_on);
            let unmet = edges.filter(|(on, condition)| {
                let links = self.links(*on);
                !links.is_some_and(|links| links.reached.has(*condition))
            });
            self.check(
                usize::try_from(self.sup.unmet(index)) == Ok(unmet.count()),
                "the count of what one waits for is wrong",
            );
        }
    }

    /// Nobody starts in its turn before what it waits for has come so far.
    fn start_is_met(&self, who: Who) {
        let links = self.links(who.slot).into_iter();
        let early = links
            .flat_map(|links| &links.depends_on)
            .any(|(on, condition)| {
                let reached = self.links(*on).is_some_and(|on| on.reached.has(*condition));
                let goes_on = self.sup.slot(*on).is_some_and(|on| on.state.is_going_on());
                !reached && goes_on && *condition != Condition::Started
            });
        self.check(!early, "a start before what it depends on has come so far");
    }

    /// One that is pending has its turn, or waits for what may still start.
    fn waits_for_somebody(&self, index: u32) {
        if self.sup.phase(index) != Some(Phase::Pending) || self.sup.is_due(index) {
            return;
        }
        let in_order = self.sup.policy.order == Order::Dependencies;
        self.check(in_order, "one is pending and not due");
        let links = self.links(index);
        let met = |(on, condition): &&(u32, Condition)| {
            self.links(*on)
                .is_some_and(|links| links.reached.has(*condition))
        };
        let depends_on = || links.iter().flat_map(|links| &links.depends_on);
        let unmet = depends_on().filter(|on| !met(on)).count();
        self.check(
            unmet > 0 && usize::try_from(self.sup.unmet(index)) == Ok(unmet),
            "one waits for nobody",
        );
        let in_vain = depends_on().filter(|on| !met(on)).any(|(on, _)| {
            self.sup
                .phase(*on)
                .is_none_or(|phase| matches!(phase, Phase::Failed | Phase::Completed))
        });
        self.check(!in_vain, "one waits for what will not start");
    }

    /// One that has done what it was there for rests, unless somebody else's failure takes it along.
    pub(super) fn once_done_stays_done(&self, who: Who, end: ExitKind, was_asked: bool) {
        let alone = self.sup.policy.strategy == Strategy::OneForOne;
        let Some(slot) = self.sup.slot(who.slot) else {
            return;
        };
        if was_asked || !alone || end.is_abnormal() || !slot.plan.once || slot.life != who.life {
            return;
        }
        self.check(
            matches!(slot.state, State::Completed | State::Stopped),
            "one that is done does not rest",
        );
    }

    fn links(&self, index: u32) -> Option<&slot::Links> {
        self.sup.slot(index)?.links.as_deref()
    }
}
