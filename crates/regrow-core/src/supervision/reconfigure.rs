//! New rules for a supervisor that runs: OTP's `code_change`.

use std::time::Instant;

use super::slot::State;
use super::{ChildPlan, Mode, Policy, Refused, Supervision};
use crate::intensity::RestartWindow;
use crate::phase::Desired;

impl Supervision {
    /// Goes by `policy` and these plans from now on. Nobody is started or stopped.
    ///
    /// `listed` are the children in their new order: those that are there already with their place, the others without. As in
    /// OTP, one that is there keeps running and has the new plan from now on; one that is not gets a place and is not started;
    /// one that is not listed stays, after all others. What was counted of restarts stays counted, and a child that waits for
    /// its restart still waits. Dependencies are forgotten: say them again with [`Self::depend`]. Who then waits for nobody any
    /// more is started by the next call, at the latest by the wakeup that is due; who waits for one that was given up on is
    /// parked.
    ///
    /// Answers with the places of all that are listed. Costs O(n log n).
    ///
    /// # Errors
    /// [`Refused::Closing`]; then nothing has changed.
    ///
    /// # Panics
    /// With a place that is not there, or is listed twice.
    pub fn reconfigure(
        &mut self,
        policy: Policy,
        listed: Vec<(Option<u32>, ChildPlan)>,
        now: Instant,
    ) -> Result<Vec<u32>, Refused> {
        if self.is_closing() {
            return Err(Refused::Closing);
        }
        self.policy = policy;
        self.window = policy.intensity.map(|intensity| {
            let mut window = self
                .window
                .take()
                .unwrap_or_else(|| RestartWindow::new(intensity));
            window.set_intensity(intensity);
            window
        });
        let mut places = Vec::with_capacity(listed.len());
        for (known, plan) in listed {
            let index = known.unwrap_or_else(|| self.add(plan.clone(), now));
            self.replan(index, plan);
            places.push(index);
        }
        self.reorder(&places);
        self.forgotten = (self.mode == Mode::Up).then_some(now);
        let children = self.slots.iter().flatten();
        let significant = children.filter(|slot| slot.is_significant()).count();
        self.significant = u32::try_from(significant).unwrap_or(u32::MAX);
        Ok(places)
    }

    fn replan(&mut self, index: u32, plan: ChildPlan) {
        let slot = self.slots[index as usize]
            .as_mut()
            .expect("a child that is listed has a slot");
        match (&mut slot.window, plan.limit) {
            (Some(window), Some(limit)) => window.set_intensity(limit),
            (window, None) => *window = None,
            (None, Some(_)) => {}
        }
        if slot.desired != Desired::Down {
            slot.desired = plan.wanted();
        }
        slot.plan = plan.into();
    }

    /// Those that are listed come first, in that order; the others follow as they stood.
    fn reorder(&mut self, listed: &[u32]) {
        for index in listed {
            let order = self.order_of(*index);
            self.by_order.remove(&order);
        }
        let others: Vec<u32> = std::mem::take(&mut self.by_order).into_values().collect();
        for index in listed.iter().chain(&others) {
            let order = self.next_order;
            self.next_order += 1;
            self.by_order.insert(order, *index);
            if let Some(slot) = self.slot_mut(*index) {
                slot.order = order;
                slot.turn = order;
                slot.forget_links();
            }
        }
        self.resort();
        debug_assert!(
            self.mode != Mode::Up
                || self.starts.iter().all(|(_, index)| self
                    .slot(*index)
                    .is_some_and(|slot| matches!(slot.state, State::Pending | State::Backoff))),
            "only what waits is due"
        );
    }

    fn order_of(&self, index: u32) -> u64 {
        self.slot(index)
            .expect("a child in a line has a slot")
            .order
    }
}
