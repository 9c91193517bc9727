//! How fit a child is for work, by its own word and by that of its probes.

use std::sync::Arc;

use regrow_core::probe::ProbeKind;
use regrow_core::{Desired, Health, Phase};

use super::Slot;
use crate::registry::Fitness;

impl Slot {
    /// The pool whose worker it is hears how it stands, if it is one.
    pub(super) fn tell_pool(&self, phase: Phase, ready: bool) {
        if let Some(seat) = &self.spec.traits.seat {
            seat.tell(self.generation, phase, ready);
        }
    }

    /// Whether it is a supervisor, a pool perhaps, that will not come back by itself.
    pub(crate) fn is_supervisor_that_has_ended(&self) -> bool {
        let has_ended = match self.phase {
            Phase::Stopped | Phase::Completed | Phase::Failed => true,
            Phase::Pending
            | Phase::Starting
            | Phase::Running
            | Phase::Draining
            | Phase::Paused
            | Phase::Stopping
            | Phase::Backoff => false,
        };
        has_ended && self.spec.nested.is_some()
    }

    /// Its place is gone.
    pub(crate) fn leave_pool(&self) {
        self.tell_pool(Phase::Stopped, false);
    }

    /// It says that it may be given no work; whether that is news.
    pub(crate) fn says_unready(&mut self) -> bool {
        std::mem::take(&mut self.may_work)
    }

    /// Whether it may be given work as soon as it is up, by its own word and that of its probes.
    pub(crate) fn may_be_given_work(&self) -> bool {
        let probed = self.probing.as_ref().is_none_or(|probing| probing.is_ready);
        self.may_work && probed
    }

    /// Whether it is ready, and that is not so by itself: it has said so, or its probes have.
    pub(crate) fn has_said_ready(&self) -> bool {
        let traits = &self.spec.traits;
        let says_so = traits.plan.ready_within.is_some() || traits.probes_for(ProbeKind::Readiness);
        says_so && self.is_ready()
    }

    pub(super) fn fitness(&self) -> Fitness {
        Fitness {
            ready: self.is_ready(),
            health: self.health(),
            unwanted: self.desired == Desired::Down,
            has_been_up: self.place.standing.word().has_been_up() || self.has_served(),
        }
    }

    /// What its probes say of it.
    pub(crate) fn health(&self) -> Health {
        let probing = self.probing.as_ref();
        probing.map_or(Health::Unknown, |probing| probing.health)
    }

    /// Whether its present life has been of use: it is ready, or has been judged, or is on its way out.
    fn has_served(&self) -> bool {
        let was_judged = self.is_ready() || self.health() != Health::Unknown;
        self.started_at.is_some() && (self.phase != Phase::Running || was_judged)
    }

    /// Why its start has failed, if a probe has failed it.
    pub(crate) fn failed_start(&self) -> Option<Arc<str>> {
        let is_unproven = self.up_since.is_none();
        let failed = self.probing.as_ref()?.failed.clone();
        failed.filter(|_| is_unproven)
    }

    /// Whether nothing is left to wait for until it is up: it has announced itself, if it is to, and its startup probes have
    /// succeeded.
    pub(crate) fn is_proven(&self) -> bool {
        let says_so = self.announced || !self.spec.traits.announced;
        self.is_coming_up() && says_so && !self.is_unproven()
    }

    /// Whether its start function has returned, and nobody has asked it to stop since.
    pub(crate) fn is_coming_up(&self) -> bool {
        self.live.is_some() && self.phase == Phase::Starting && self.asked.is_none()
    }

    /// Whether its start waits for a startup probe.
    pub(crate) fn is_unproven(&self) -> bool {
        self.probing
            .as_ref()
            .is_some_and(|probing| !probing.has_started)
    }
}
