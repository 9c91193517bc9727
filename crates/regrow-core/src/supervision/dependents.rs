//! Who waits for whom: starts that follow a start, stops that follow a stop.

use std::collections::BTreeSet;
use std::time::Instant;

use super::condition::{Condition, Reached};
use super::slot::{After, Links, Slot, State};
use super::{Directive, Mode, Order, Parked, Supervision};
use crate::phase::{Desired, Phase};

/// What keeps a child from starting when its turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Something that it depends on has not come so far yet.
    Waits,
    /// This one will not come so far.
    InVain(u32),
}

impl Supervision {
    /// Says that `slot` starts only when `on` has started, and stops before it; the caller sees to it that there is no
    /// cycle ([`crate::dependencies`]).
    pub fn depend(&mut self, slot: u32, on: u32) {
        self.depend_until(slot, on, Condition::Started);
    }

    /// Says that `slot` starts only when `on` has come so far, and stops before it; again without a cycle.
    ///
    /// What `on` has once reached stays reached until it goes along with the restart of a group. In [`Order::Sequence`] only [`Condition::Started`] has a meaning, which that order has anyway.
    pub fn depend_until(&mut self, slot: u32, on: u32, condition: Condition) {
        let reached = self.slot(on).map(Slot::reached).unwrap_or_default();
        let turn = |index| self.slot(index).map(|slot| slot.turn);
        self.tangled |= turn(slot) < turn(on);
        if let Some(waiting) = self.slot_mut(slot) {
            let links = waiting.links.get_or_insert_default();
            links.depends_on.push((on, condition));
            links.unmet += u32::from(!reached.has(condition));
        }
        if let Some(awaited) = self.slot_mut(on) {
            let links = awaited.links.get_or_insert_default();
            links.dependents.push((slot, condition));
            links.reached = reached;
        }
    }

    /// Tells the dependents, once, how far a child has come.
    pub(super) fn meet_dependents(
        &mut self,
        index: u32,
        reached: Reached,
        now: Instant,
        out: &mut Vec<Directive>,
    ) {
        let Some(links) = self.slot_mut(index).and_then(|slot| slot.links.as_mut()) else {
            return;
        };
        let before = links.reached;
        links.reached = before.and(reached);
        if links.reached == before {
            return;
        }
        let news = |condition| reached.has(condition) && !before.has(condition);
        for (dependent, condition) in links.dependents.clone() {
            if !news(condition) {
                continue;
            }
            let Some(slot) = self.slot_mut(dependent) else {
                continue;
            };
            let (unmet, in_vain) = slot.links.as_mut().map_or((0, false), |links| {
                links.unmet -= 1;
                (links.unmet, links.in_vain)
            });
            let waits = match slot.state {
                State::Pending => true,
                State::Failed => in_vain,
                State::Starting
                | State::Running
                | State::Leaving { .. }
                | State::Backoff
                | State::Completed
                | State::Stopped => false,
            };
            let waits = waits && slot.desired != Desired::Down;
            if unmet == 0 && waits && self.policy.order == Order::Dependencies {
                self.start_dependent(dependent, now, out);
            }
        }
    }

    /// A child that is due in turn has everything before it again, and so have those that wait for it.
    pub(super) fn begin_anew(&mut self, index: u32) {
        if self.policy.order != Order::Dependencies {
            return;
        }
        let due = self.slot(index).is_some_and(|slot| match slot.state {
            State::Pending | State::Backoff => true,
            State::Starting | State::Running | State::Leaving { .. } => {
                slot.after == Some(After::InTurn)
            }
            State::Completed | State::Stopped | State::Failed => false,
        });
        let links = self.slot_mut(index).and_then(|slot| slot.links.as_mut());
        let Some(links) = links.filter(|_| due) else {
            return;
        };
        let before = std::mem::take(&mut links.reached);
        for (dependent, condition) in links.dependents.clone() {
            let links = self
                .slot_mut(dependent)
                .and_then(|slot| slot.links.as_mut());
            if let Some(links) = links.filter(|_| before.has(condition)) {
                links.unmet += 1;
            }
        }
    }

    /// What keeps a child from starting though it is its turn.
    pub(super) fn stands_before(&self, index: u32) -> Option<Obstacle> {
        if self.policy.order != Order::Dependencies {
            return None;
        }
        let (mut waits, mut without) = (false, None);
        for (on, condition) in self.depends_on(index) {
            let Some(awaited) = self.slot(*on) else {
                continue;
            };
            if awaited.reached().has(*condition) {
                continue;
            }
            match (awaited.state, *condition) {
                // Its turn was before this one's. Nobody who has his turn waits for a start that nobody goes on with.
                (State::Completed | State::Failed, Condition::Started) => without = Some(*on),
                (State::Completed | State::Failed, _) => return Some(Obstacle::InVain(*on)),
                // An operator who has stopped it wants the other without.
                (State::Stopped, _) => {}
                (State::Pending, Condition::Started) => waits |= !self.is_due(*on),
                // It has its turn before, or has been started by an operator.
                (
                    State::Starting | State::Running | State::Leaving { .. } | State::Backoff,
                    Condition::Started,
                ) => {}
                (
                    State::Pending
                    | State::Starting
                    | State::Running
                    | State::Leaving { .. }
                    | State::Backoff,
                    _,
                ) => waits = true,
            }
        }
        match without {
            Some(on) if waits => Some(Obstacle::InVain(on)),
            Some(_) | None => waits.then_some(Obstacle::Waits),
        }
    }

    /// It waits for what it depends on, and not for its turn any more; it is told as pending already, or is now.
    pub(super) fn leave_line(&mut self, index: u32, out: &mut Vec<Directive>) -> bool {
        if self.phase(index) != Some(Phase::Pending) {
            self.enter(index, State::Pending);
            out.push(Directive::Rest {
                slot: index,
                phase: Phase::Pending,
            });
        }
        true
    }

    /// Starts a child whose dependencies are all met; those that are starting again have their turn before.
    fn start_dependent(&mut self, index: u32, now: Instant, out: &mut Vec<Directive>) {
        let starts_again = |on: &u32| self.is_due(*on) || self.starting == Some(*on);
        if self.is_closing() || self.is_due(index) {
            return;
        }
        if self
            .depends_on(index)
            .iter()
            .any(|(on, _)| starts_again(on))
        {
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
            let in_vain = |(on, condition): &&(u32, Condition)| {
                self.slot(*on).is_some_and(|on| {
                    matches!(on.state, State::Failed | State::Completed)
                        && !on.reached().has(*condition)
                })
            };
            if let Some((on, _)) = self.depends_on(index).iter().find(in_vain).copied() {
                self.park(index, Parked::Dependency { on }, out);
            } else if self.unmet(index) == 0 {
                self.start_dependent(index, now, out);
            }
        }
    }

    /// Those that wait for this one to come as far as it has not.
    pub(super) fn waiting_for(&self, index: u32) -> Vec<u32> {
        let waits = |dependent: u32| {
            let slot = self.slot(dependent);
            slot.is_some_and(|slot| match self.policy.order {
                Order::Sequence => slot.state == State::Pending && slot.is_unborn(),
                // An operator, or its group, starts one that is due without.
                Order::Dependencies => slot.state == State::Pending && !self.is_due(dependent),
            })
        };
        let links = self.slot(index).and_then(|slot| slot.links.as_ref());
        let unmet = |links: &Links| {
            let reached = links.reached;
            let unmet = links.dependents.iter().copied();
            let mut waiting: Vec<u32> = unmet
                .filter(|(dependent, condition)| !reached.has(*condition) && waits(*dependent))
                .map(|(dependent, _)| dependent)
                .collect();
            waiting.dedup();
            waiting
        };
        links.map(|links| unmet(links)).unwrap_or_default()
    }

    /// Nobody depends any more on a child that is gone, nor does it on anybody.
    pub(super) fn unlink(&mut self, index: u32, gone: &Slot) {
        let Some(links) = &gone.links else { return };
        for (on, _) in &links.depends_on {
            if let Some(links) = self.slot_mut(*on).and_then(|slot| slot.links.as_mut()) {
                links
                    .dependents
                    .retain(|(dependent, _)| *dependent != index);
            }
        }
        for (dependent, condition) in &links.dependents {
            let of = self
                .slot_mut(*dependent)
                .and_then(|slot| slot.links.as_mut());
            if let Some(of) = of {
                of.depends_on.retain(|(on, _)| *on != index);
                of.unmet -= u32::from(!links.reached.has(*condition));
            }
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
            let dependents = dependents.map(|(dependent, _)| *dependent);
            found.extend(dependents.filter(|one| seen.insert(*one)));
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
                    Some((on, _)) if seen.insert(on) => path.push((on, 0)),
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

    fn depends_on(&self, index: u32) -> &[(u32, Condition)] {
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
            .any(|(dependent, _)| self.is_alive(*dependent));
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
        for (on, _) in depends_on.unwrap_or_default() {
            self.stop_if_free(on, now, out);
        }
    }

    pub(super) fn unmet(&self, index: u32) -> u32 {
        self.slot(index)
            .and_then(|slot| slot.links.as_ref())
            .map_or(0, |links| links.unmet)
    }
}
