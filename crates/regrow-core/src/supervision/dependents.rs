//! Who waits for whom: starts that follow a start, stops that follow a stop.

use std::collections::BTreeSet;
use std::time::Instant;

use super::slot::State;
use super::{Directive, Mode, Order, Parked, Supervision};
use crate::phase::{Desired, Phase};

impl Supervision {
    /// Says that `slot` starts only when `on` has started, and stops before it; the caller sees to it that there is no
    /// cycle ([`crate::dependencies`]).
    pub fn depend(&mut self, slot: u32, on: u32) {
        let met = self.has_started(on);
        let turn = |index| self.slot(index).map(|slot| slot.turn);
        self.tangled |= turn(slot) < turn(on);
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

    /// Whether a child has come up, or has asked not to; of one that nobody has depended on yet only its present phase is known.
    fn has_started(&self, index: u32) -> bool {
        self.slot(index).is_some_and(|slot| {
            let met = slot.links.as_ref().is_some_and(|links| links.met);
            met || matches!(slot.state, State::Running | State::Completed)
        })
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
            let waits = matches!(slot.state, State::Pending | State::Failed)
                && slot.is_unborn()
                && slot.desired != Desired::Down;
            if unmet == 0 && waits && self.policy.order == Order::Dependencies {
                self.start_dependent(dependent, now, out);
            }
        }
    }

    /// Starts a child whose dependencies have all started once; those that are starting again have their turn before.
    fn start_dependent(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let starts_again = |on: &u32| self.is_due(*on) || self.starting == Some(*on);
        if self.is_closing() || self.is_due(index) {
            return;
        }
        if self.depends_on(index).iter().any(starts_again) {
            self.line_up(index, out);
        } else {
            self.start(index, now, out);
        }
    }

    /// Those that waited for what they may not depend on any more.
    pub(super) fn see_to_the_waiting(&mut self, now: Instant, out: &mut Vec<Directive>) {
        for index in self.in_order().collect::<Vec<_>>() {
            if self.phase(index) != Some(Phase::Pending) || self.is_due(index) {
                continue;
            }
            if self.policy.order == Order::Sequence {
                self.line_up(index, out);
                continue;
            }
            let given_up =
                |on: &&u32| self.phase(**on) == Some(Phase::Failed) && !self.has_started(**on);
            if let Some(on) = self.depends_on(index).iter().find(given_up).copied() {
                self.park(index, Parked::Dependency { on }, out);
            } else if self.unmet(index) == 0 {
                self.start_dependent(index, now, out);
            }
        }
    }

    /// Those whose first start waits for the first start of this one.
    pub(super) fn waiting_for(&self, index: u32) -> Vec<u32> {
        let waits = |dependent: &u32| {
            let unborn = self
                .slot(*dependent)
                .is_some_and(|slot| slot.state == State::Pending && slot.is_unborn());
            match self.policy.order {
                Order::Sequence => unborn,
                // An operator starts it without.
                Order::Dependencies => unborn && !self.is_due(*dependent),
            }
        };
        match self.slot(index).and_then(|slot| slot.links.as_ref()) {
            Some(links) if !links.met => {
                let dependents = links.dependents.iter().copied();
                dependents.filter(waits).collect()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// A child and all that depend on it, directly or not.
    pub(super) fn dependents_of(&self, index: u32) -> Vec<u32> {
        let mut seen = BTreeSet::from([index]);
        let mut found = vec![index];
        let mut next = 0;
        while let Some(index) = found.get(next).copied() {
            next += 1;
            let links = self.slot(index).and_then(|slot| slot.links.as_ref());
            let dependents = links.iter().flat_map(|links| &links.dependents);
            found.extend(dependents.copied().filter(|one| seen.insert(*one)));
        }
        found
    }

    /// Gives each child its turn after all that it depends on, and else in start order. Costs O(n log n).
    pub(super) fn untangle(&mut self) {
        if self.policy.order != Order::Dependencies {
            return;
        }
        let mut seen = BTreeSet::new();
        // Each entry is a child whose turn comes when all that it depends on have theirs, and how many of those have been seen.
        let mut path: Vec<(u32, usize)> = Vec::new();
        for root in self.in_order().collect::<Vec<_>>() {
            if seen.insert(root) {
                path.push((root, 0));
            }
            while let Some((index, walked)) = path.last_mut() {
                let (index, place) = (*index, *walked);
                *walked += 1;
                match self.depends_on(index).get(place).copied() {
                    Some(on) if seen.insert(on) => path.push((on, 0)),
                    Some(_) => {}
                    None => {
                        path.pop();
                        self.take_turn(index);
                    }
                }
            }
        }
        self.resort();
    }

    /// After all that have a turn.
    fn take_turn(&mut self, index: u32) {
        let turn = self.next_order;
        self.next_order += 1;
        if let Some(slot) = self.slot_mut(index) {
            slot.turn = turn;
        }
    }

    /// Those that are to stop or to start, by the turns that they have now.
    pub(super) fn resort(&mut self) {
        let stops = std::mem::take(&mut self.stops);
        self.stops = stops
            .into_iter()
            .map(|(_, index)| self.turn_of(index))
            .collect();
        let starts = std::mem::take(&mut self.starts);
        self.starts = starts
            .into_iter()
            .map(|(_, index)| self.turn_of(index))
            .collect();
    }

    fn turn_of(&self, index: u32) -> (u64, u32) {
        let slot = self.slot(index).expect("a child in a line has a slot");
        (slot.turn, index)
    }

    pub(super) fn is_due(&self, index: u32) -> bool {
        self.slot(index)
            .is_some_and(|slot| self.starts.contains(&(slot.turn, index)))
    }

    fn depends_on(&self, index: u32) -> &[u32] {
        self.slot(index)
            .and_then(|slot| slot.links.as_ref())
            .map_or(&[], |links| &links.depends_on)
    }

    /// Stops a doomed child unless somebody alive depends on it.
    pub(super) fn stop_if_free(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let Some(slot) = self.slot(index) else { return };
        if !self.stops.contains(&(slot.turn, index)) {
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

    pub(super) fn unmet(&self, index: u32) -> u32 {
        self.slot(index)
            .and_then(|slot| slot.links.as_ref())
            .map_or(0, |links| links.unmet)
    }
}
