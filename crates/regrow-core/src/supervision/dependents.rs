//! Who waits for whom: starts that follow a start, stops that follow a stop.

use std::time::Instant;

use super::slot::State;
use super::{Directive, Mode, Order, Supervision};
use crate::phase::{Desired, Phase};

impl Supervision {
    /// Says that `slot` starts only when `on` has started, and stops before it; the caller sees to it that there is no
    /// cycle ([`crate::dependencies`]).
    pub fn depend(&mut self, slot: u32, on: u32) {
        let met = self.phase(on) == Some(Phase::Running);
        if let Some(waiting) = self.slot_mut(slot) {
            let links = waiting.links.get_or_insert_default();
            links.depends_on.push(on);
            links.unmet += u32::from(!met);
        }
        if let Some(awaited) = self.slot_mut(on) {
            let links = awaited.links.get_or_insert_default();
            links.dependents.push(slot);
            links.met |= met;
        }
    }

    /// Stops a doomed child unless somebody alive depends on it.
    pub(super) fn stop_if_free(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let Some(slot) = self.slot(index) else { return };
        if !self.stops.contains(&(slot.order, index)) {
            return;
        }
        let needed = slot
            .links
            .iter()
            .flat_map(|links| &links.dependents)
            .any(|dependent| self.is_alive(*dependent));
        if !needed {
            self.stop_in_turn(index, now, out);
        }
    }

    pub(super) fn release_dependencies(
        &mut self,
        index: u32,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        if !matches!(self.mode, Mode::Closing(_)) || self.policy.order != Order::Dependencies {
            return;
        }
        let depends_on = self
            .slot(index)
            .and_then(|slot| slot.links.as_ref())
            .map(|links| links.depends_on.clone());
        for on in depends_on.unwrap_or_default() {
            self.stop_if_free(on, now, out);
        }
    }

    /// Tells the dependents, once, that a child has started.
    pub(super) fn meet_dependents(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let Some(links) = self.slot_mut(index).and_then(|slot| slot.links.as_mut()) else {
            return;
        };
        if std::mem::replace(&mut links.met, true) {
            return;
        }
        for dependent in links.dependents.clone() {
            let Some(slot) = self.slot_mut(dependent) else {
                continue;
            };
            let unmet = slot.links.as_mut().map_or(0, |links| {
                links.unmet -= 1;
                links.unmet
            });
            let never_started = slot.life == slot.life_before && slot.desired == Desired::Up;
            let waits = matches!(slot.state, State::Pending | State::Failed);
            if unmet == 0
                && waits
                && never_started
                && self.policy.order == Order::Dependencies
                && !self.is_closing()
            {
                self.start(dependent, now, out);
            }
        }
    }

    pub(super) fn unmet(&self, index: u32) -> u32 {
        self.slot(index)
            .and_then(|slot| slot.links.as_ref())
            .map_or(0, |links| links.unmet)
    }
}
