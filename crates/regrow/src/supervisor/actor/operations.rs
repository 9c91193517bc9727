//! What an operator asks for: children added and taken away, questions, new rules.

use std::sync::Arc;

use ractor::RpcReplyPort;
use regrow_core::{ChildKind, Phase};

use super::State;
use crate::child::ChildSpec;
use crate::registry::{Follows, News};
use crate::supervisor::answer::{Answer, Batch, Until};
use crate::supervisor::operate::{ChildCounts, OperateError, Reconfigured, StartReport, Verb};
use crate::supervisor::slot::Kin;
use crate::supervisor::{InvalidTree, Supervisor, check_limit, check_significant};
use crate::telemetry::Payload;

impl State {
    /// Adds a child and has it started, or refuses it; whether it did.
    pub(super) fn start_child(&mut self, spec: ChildSpec, answer: Answer) -> bool {
        if let Err(error) = self.may_start(&spec) {
            answer.refuse(&spec.id, error);
            return false;
        }
        let kin = self.kin(&spec);
        let started = self
            .core
            .start_child(Arc::clone(&kin.plan), self.emitter.now());
        let (index, directives) = match started {
            Ok(started) => started,
            Err(refused) => {
                let path = self.path.join(&spec.id);
                let error = OperateError::refused(refused, path, self.path.clone());
                answer.refuse(&spec.id, error);
                return false;
            }
        };
        let traits = Arc::clone(&kin.traits);
        self.place(index, spec, kin, true);
        for (on, until) in &traits.depends_on.0 {
            if let Some(on) = self.index_of(on) {
                self.core.depend_until(index, on, *until);
            }
        }
        if let Some(slot) = self.slot(index) {
            let before = slot.generation;
            slot.waiters.push(Until::UpAfter(before), answer);
        }
        self.queue(directives);
        true
    }

    pub(super) fn start_children(
        &mut self,
        specs: Vec<ChildSpec>,
        reply: RpcReplyPort<Result<StartReport, OperateError>>,
    ) {
        if specs.is_empty() {
            return drop(reply.send(Ok(StartReport::default())));
        }
        let batch = Batch::new(specs.len(), reply);
        self.arrivals.push_back((specs.into_iter(), batch));
    }

    /// The next child of a batch. They come one by one, so that a long batch makes nobody wait.
    pub(super) fn next_arrival(&mut self) -> Option<(ChildSpec, Answer)> {
        loop {
            let (specs, batch) = self.arrivals.front_mut()?;
            if let Some(spec) = specs.next() {
                return Some((spec, Answer::Batch(Arc::clone(batch))));
            }
            self.arrivals.pop_front();
        }
    }

    /// What of a child that is added could never work. It cannot close a cycle: nobody depends on it yet.
    fn may_start(&self, spec: &ChildSpec) -> Result<(), OperateError> {
        regrow_core::check_id(&spec.id).map_err(|reason| OperateError::InvalidId {
            id: spec.id.to_string(),
            reason,
        })?;
        let path = || self.path.join(&spec.id);
        if let Some(index) = self.index_of(&spec.id) {
            let alive = self.core.phase(index).is_some_and(Phase::is_alive);
            return Err(if alive && !self.core.is_restarting(index) {
                OperateError::AlreadyStarted { path: path() }
            } else {
                OperateError::AlreadyPresent { path: path() }
            });
        }
        let missing = |on: &Arc<str>| self.index_of(on).is_none();
        if let Some(on) = spec.traits.depends_on.ids().into_iter().find(missing) {
            return Err(OperateError::InvalidTree(InvalidTree::UnknownDependency {
                child: path().to_string(),
                on: on.to_string(),
            }));
        }
        check_significant(self.auto_shutdown, self.path.as_str(), spec)?;
        check_limit(spec.traits.plan.limit, || path().to_string())?;
        if let Some(nested) = &spec.nested {
            nested.check_at(path().as_str())?;
        }
        Ok(())
    }

    pub(super) fn operate(&mut self, verb: Verb, id: &Arc<str>, answer: Answer) {
        let now = self.emitter.now();
        let Some(index) = self.index_of(id) else {
            let path = self.path.join(id).to_string();
            return answer.refuse(id, OperateError::NotFound { path });
        };
        let before = self.slot(index).map_or(0, |slot| slot.generation);
        let otp_compat = self.otp_compat;
        if verb == Verb::Bounce
            && self
                .slot(index)
                .is_some_and(|slot| slot.is_forgotten(otp_compat))
        {
            let path = self.path.join(id);
            return answer.refuse(id, OperateError::Forgotten { path });
        }
        if matches!(verb, Verb::Pause | Verb::Resume) {
            return self.hold_child(verb, index, answer);
        }
        let result = match verb {
            Verb::Terminate => self.core.terminate_child(index, now),
            Verb::Retire => self.core.retire_child(index, now),
            Verb::Restart => self.core.restart_child(index, now),
            Verb::Bounce => self.core.bounce_child(index, now),
            Verb::Delete => self.core.delete_child(index),
            Verb::Pause | Verb::Resume => Ok(Vec::new()),
        };
        let directives = match result {
            Ok(directives) => directives,
            Err(refused) => {
                let path = self.path.join(id);
                let error = OperateError::refused(refused, path, self.path.clone());
                return answer.refuse(id, error);
            }
        };
        let (desired, stands) = (self.core.desired(index), self.core.phase(index));
        if let Some(slot) = self.slot(index) {
            slot.desired = desired.unwrap_or(slot.desired);
            let until = match verb {
                Verb::Terminate | Verb::Retire | Verb::Delete => Until::Down,
                Verb::Restart | Verb::Bounce => Until::UpAfter(before),
                Verb::Pause | Verb::Resume => Until::Held,
            };
            slot.forgive();
            slot.overtake(until);
            slot.waiters.push(until, answer);
            // Nothing will be told of it. What else there is to do may be about others.
            if stands == Some(slot.phase) {
                slot.answer_waiters();
            }
        }
        self.queue(directives);
    }

    /// Holds a child, or lets it go on, if it is one of those that can be held.
    fn hold_child(&mut self, verb: Verb, index: u32, answer: Answer) {
        let now = self.emitter.now();
        let Some(slot) = self.slot(index) else { return };
        let (path, id) = (slot.path().clone(), Arc::clone(&slot.spec.id));
        if slot.live.as_ref().is_some_and(|live| !live.can_pause()) {
            let kind = slot.spec.traits.kind;
            return answer.refuse(&id, OperateError::CannotPause { path, kind });
        }
        let held = if verb == Verb::Pause {
            self.core.pause_child(index, now)
        } else {
            self.core.resume_child(index, now)
        };
        match held {
            Ok(directives) => {
                if let Some(slot) = self.slot(index) {
                    slot.waiters.push(Until::Held, answer);
                }
                self.queue(directives);
            }
            Err(refused) => {
                let error = OperateError::refused(refused, path, self.path.clone());
                answer.refuse(&id, error);
            }
        }
    }

    /// O(kinds and types of children), not O(children).
    pub(super) fn count(&self) -> ChildCounts {
        let mut counts = ChildCounts::default();
        self.counts.each_class(|kind, phase, count| {
            match kind {
                ChildKind::Supervisor | ChildKind::Pool => counts.supervisors += count,
                ChildKind::Actor
                | ChildKind::Task
                | ChildKind::Thread
                | ChildKind::Breaker
                | ChildKind::Process
                | ChildKind::Remote => counts.workers += count,
            }
            if phase.is_alive() && phase != Phase::Starting {
                counts.active += count;
            }
        });
        counts.specs = if self.dynamic && self.otp_compat {
            1
        } else {
            counts.supervisors + counts.workers
        };
        counts
    }

    pub(super) fn spec(&self, id: &str) -> Option<ChildSpec> {
        let index = self.index_of(id)?;
        let slot = self.slots.get(index as usize)?.as_ref()?;
        let mut spec = slot.spec.clone();
        spec.edit().plan = spec.said_under(self.otp_compat);
        Some(spec)
    }

    /// Goes by new rules from now on, as OTP's `code_change` does.
    pub(super) fn reconfigure(&mut self, new: Supervisor) -> Result<Reconfigured, OperateError> {
        self.may_become(&new)?;
        let known = |child: &ChildSpec| self.index_of(&child.id);
        let listed: Vec<_> = new
            .children
            .iter()
            .map(|child| (known(child), child.plan_under(new.policy.otp_compat)))
            .collect();
        let was_known: Vec<bool> = listed.iter().map(|(known, _)| known.is_some()).collect();
        let places = self
            .core
            .reconfigure(new.policy, listed, self.emitter.now())
            .map_err(|refused| {
                OperateError::refused(refused, self.path.clone(), self.path.clone())
            })?;
        // Under other rules the same traits may make another plan.
        self.kin = None;
        self.strategy = new.policy.strategy;
        self.otp_compat = new.policy.otp_compat;
        self.auto_shutdown = new.policy.auto_shutdown;
        let max_restarts = new
            .policy
            .intensity
            .map(regrow_core::RestartIntensity::max_restarts);
        self.counts.set_max_restarts(max_restarts);
        let mut report = Reconfigured::default();
        for ((child, index), was_known) in new.children.iter().zip(places).zip(was_known) {
            if was_known {
                self.respec(index, child.clone());
                report.updated.push(Arc::clone(&child.id));
            } else {
                // It waits for an operator, like one that was stopped.
                let kin = self.kin(child);
                self.place(index, child.clone(), kin, true);
                if let Some(slot) = self.slot(index) {
                    // The next life of this supervisor begins with it.
                    slot.dynamic = false;
                }
                report.added.push(Arc::clone(&child.id));
            }
        }
        let listed: std::collections::HashSet<&str> =
            new.children.iter().map(ChildSpec::id).collect();
        let kept: Vec<u32> = self.core.in_order().collect();
        for slot in kept
            .into_iter()
            .filter_map(|index| self.slots[index as usize].as_ref())
        {
            if !listed.contains(&*slot.spec.id) {
                report.kept.push(Arc::clone(&slot.spec.id));
            }
        }
        self.depend_anew();
        let subject = self.subject();
        let (updated, added, kept) = (
            count(&report.updated),
            count(&report.added),
            count(&report.kept),
        );
        self.emitter.emit(
            || subject,
            || Payload::SupervisorReconfigured {
                updated,
                added,
                kept,
            },
        );
        // The next life of this supervisor begins with the new rules.
        self.tree.reconfigured(&self.path, new);
        Ok(report)
    }

    fn may_become(&self, new: &Supervisor) -> Result<(), OperateError> {
        let refused = |reason: String| {
            Err(OperateError::CannotBecome {
                supervisor: self.path.clone(),
                reason,
            })
        };
        if self.path.id() != &*new.id {
            return refused(format!("its id cannot become {:?}", new.id));
        }
        if self.dynamic != new.policy.dynamic {
            return refused("its children cannot become dynamic, nor cease to be".to_owned());
        }
        if self.partitions != new.partitions {
            return refused("the number of its partitions stays as it is; resize it".to_owned());
        }
        new.check_at(self.path.as_str())?;
        for child in &new.children {
            let slot = self
                .index_of(&child.id)
                .and_then(|index| self.slots[index as usize].as_ref());
            if let Some(slot) = slot
                && (slot.spec.traits.message != child.traits.message
                    || slot.spec.traits.kind != child.traits.kind)
            {
                return refused(format!(
                    "child {:?} would take other messages or be of another kind; delete it first",
                    child.id
                ));
            }
        }
        Ok(())
    }

    fn respec(&mut self, index: u32, spec: ChildSpec) {
        let (kin, tree) = (self.kin(&spec), Arc::clone(&self.tree));
        if let Some(slot) = self.slot(index) {
            let path = slot.path().clone();
            tree.note_vital(&path, &spec);
            slot.respec(spec, Kin::clone(&kin));
            let place = Arc::clone(&slot.place);
            let profile = kin.profile;
            if self.tree.registry.board.wants(Follows::Profiles) {
                self.news.push(News::Profile { place, profile });
            }
        }
    }

    fn depend_anew(&mut self) {
        let children: Vec<u32> = self.core.in_order().collect();
        for index in children {
            let depends_on = self
                .slot(index)
                .map(|slot| slot.spec.traits.depends_on.clone())
                .unwrap_or_default();
            for (on, until) in &depends_on.0 {
                if let Some(on) = self.index_of(on) {
                    self.core.depend_until(index, on, *until);
                }
            }
        }
    }
}

fn count(ids: &[Arc<str>]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}
