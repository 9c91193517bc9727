//! What probes find, and what follows.

use std::sync::Arc;

use regrow_core::Health;
use regrow_core::supervision::Who;

use super::{Message, State, Verdict};
use crate::probe::{Finding, Probed, Probing};
use crate::telemetry::Payload;

impl State {
    /// Somebody is there who can be asked how it is.
    pub(super) fn begin_to_probe(&mut self, who: Who) {
        let (myself, tree) = (self.myself.clone(), Arc::clone(&self.tree));
        let Some(slot) = self.current(who) else {
            return;
        };
        let probes = Arc::clone(&slot.spec.traits.probes);
        if probes.is_empty() {
            return;
        }
        let vitals = slot.live.as_ref().and_then(|live| live.vitals.clone());
        let life = Probed::new(slot.context(who, myself.clone(), tree), vitals);
        let tell = move |finding| {
            // A supervisor that is gone has ended it.
            drop(myself.cast(Message::Probed(who, finding)));
        };
        let probing = Probing::begin(&probes, life, tell);
        let is_ready = probing.is_ready;
        slot.probing = Some(Box::new(probing));
        if !is_ready {
            self.core.on_unready(who);
        }
    }

    /// Its probes have found something.
    pub(super) fn probed(&mut self, who: Who, finding: Finding) {
        let now = self.emitter.now();
        let Some(slot) = self.current(who) else {
            return;
        };
        let Some(probing) = &mut slot.probing else {
            return;
        };
        match finding {
            Finding::Started => {
                probing.has_started = true;
                if slot.is_proven() {
                    self.started(who);
                } else if slot.is_coming_up() {
                    // Nothing asks it any more, and it has as long as any other to announce itself.
                    self.core.on_start_pending(who, now);
                }
            }
            Finding::Ready { ready, why } => self.probed_ready(who, ready, why),
            Finding::Health(to) => self.probed_health(who, to),
            // What was found as it was asked to stop is nobody's reason any more.
            Finding::Failed { .. } if slot.asked.is_some() => {}
            Finding::Failed { grace, why } => {
                probing.failed = Some(Arc::clone(&why));
                let cause = regrow_core::StopCause::Probe;
                self.condemned(who, Verdict { cause, why, grace });
            }
        }
    }

    /// This life of the child of this id is to be ended, if it is still the present one.
    pub(super) fn condemned_at(&mut self, id: &str, generation: u32, verdict: Verdict) {
        let slot = self.index_of(id).and_then(|index| self.slot(index));
        let present = slot.filter(|slot| slot.generation == generation);
        if let Some(who) = present.and_then(|slot| slot.who) {
            self.condemned(who, verdict);
        }
    }

    /// It is to be ended, by nobody's wish.
    pub(super) fn condemned(&mut self, who: Who, verdict: Verdict) {
        let now = self.emitter.now();
        let Some(slot) = self.current(who) else {
            return;
        };
        if !verdict.why.is_empty() && slot.asked.is_none() {
            slot.why_condemned = Some(verdict.why);
        }
        let directives = self
            .core
            .on_condemned_within(who, verdict.cause, verdict.grace, now);
        self.queue(directives);
    }

    fn probed_ready(&mut self, who: Who, ready: bool, why: Arc<str>) {
        let Some(slot) = self.current(who) else {
            return;
        };
        let (could_work, was_ready) = (slot.may_be_given_work(), slot.is_ready());
        if let Some(probing) = &mut slot.probing {
            probing.is_ready = ready;
        }
        match (could_work, slot.may_be_given_work()) {
            (false, true) => self.is_ready_now(who),
            (true, false) => {
                if was_ready {
                    self.tell(who.slot, || Payload::ChildUnready { why });
                }
                self.core.on_unready(who);
            }
            (false, false) | (true, true) => {}
        }
    }

    fn probed_health(&mut self, who: Who, to: Health) {
        let Some(slot) = self.current(who) else {
            return;
        };
        let from = slot.health();
        if let Some(probing) = &mut slot.probing {
            probing.health = to;
        }
        if from != to {
            self.tell(who.slot, || Payload::HealthChanged { from, to });
        }
    }
}
