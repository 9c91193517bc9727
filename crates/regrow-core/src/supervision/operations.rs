//! What an operator asks for.

use std::sync::Arc;
use std::time::Instant;

use super::slot::{After, Slot, State, Trial};
use super::{ChildPlan, Directive, Refused, Supervision};
use crate::phase::Desired;
use crate::restart::{AutoShutdown, StopCause};

impl Supervision {
    /// Stops a child and keeps its place, so that it can be started again; in any phase. A temporary child's place goes with it.
    ///
    /// # Errors
    /// [`Refused::NotFound`] and [`Refused::Closing`].
    pub fn terminate_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        let mut out = std::mem::take(&mut self.spare);
        let slot = self.operable(index)?;
        slot.desired = Desired::Down;
        // One that is doomed goes along with another's.
        let leads_a_group =
            slot.state != State::Pending && slot.after.is_none() && slot.is_restarting();
        let after = if self.keeps_place(index) {
            After::Stopped
        } else {
            After::Remove
        };
        if leads_a_group && self.policy.otp_compat && self.booted {
            self.give_up_group(index, &mut out);
        }
        let slot = self.operable(index)?;
        match slot.state {
            // One that is doomed is stopped in its turn.
            State::Starting | State::Running if slot.after.is_some() => slot.after = Some(after),
            State::Starting | State::Running => {
                self.doom(index, after);
                self.ask(index, StopCause::Operator, now, &mut out);
            }
            State::Leaving { .. } => slot.after = Some(after),
            State::Pending | State::Backoff | State::Completed | State::Failed => {
                self.rest(index, after, &mut out);
            }
            State::Stopped if after == After::Remove => self.remove(index, &mut out),
            State::Stopped => {}
        }
        self.settle(now, &mut out);
        Ok(out)
    }

    /// Adds a place after all others and starts it at once. A start that fails is the answer, and no failure to count.
    ///
    /// # Errors
    /// [`Refused::Closing`], [`Refused::Full`] and [`Refused::NoAutoShutdown`]; then nothing was added.
    ///
    /// # Panics
    /// As [`Self::add`].
    pub fn start_child(
        &mut self,
        plan: impl Into<Arc<ChildPlan>>,
        now: Instant,
    ) -> Result<(u32, Vec<Directive>), Refused> {
        let plan = plan.into();
        self.may_start_child(&plan)?;
        let index = self.add(plan, now);
        Ok((index, self.start_anew(index, Trial::New, now)?))
    }

    /// Why [`Self::start_child`] would refuse such a child now.
    ///
    /// # Errors
    /// As [`Self::start_child`].
    pub fn may_start_child(&self, plan: &ChildPlan) -> Result<(), Refused> {
        if self.is_closing() {
            return Err(Refused::Closing);
        }
        if plan.significant && self.policy.auto_shutdown == AutoShutdown::Never {
            return Err(Refused::NoAutoShutdown);
        }
        match self.policy.max_children {
            Some(max) if self.by_order.len() >= max as usize => Err(Refused::Full { max }),
            Some(_) | None => Ok(()),
        }
    }

    /// Starts a child that is not running, at once, as if it had never failed.
    ///
    /// # Errors
    /// [`Refused::Running`] and [`Refused::Restarting`] when it is up or on its way, [`Refused::NotFound`], [`Refused::Closing`].
    pub fn restart_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        self.at_rest(index)?;
        self.start_anew(index, Trial::Again, now)
    }

    /// Stops a child if it is alive, then starts it at once; neither counts as a failure, and earlier failures are forgotten.
    ///
    /// # Errors
    /// [`Refused::NotFound`] and [`Refused::Closing`].
    pub fn bounce_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        self.start_anew(index, Trial::None, now)
    }

    fn start_anew(
        &mut self,
        index: u32,
        trial: Trial,
        now: Instant,
    ) -> Result<Vec<Directive>, Refused> {
        let mut out = std::mem::take(&mut self.spare);
        let slot = self.operable(index)?;
        slot.desired = slot.plan.wanted();
        slot.trial = trial;
        slot.forget_failures();
        match slot.state {
            State::Starting | State::Running if slot.after.is_some() => {
                slot.after = Some(After::InTurn);
            }
            State::Starting | State::Running => {
                self.doom(index, After::AtOnce);
                self.ask(index, StopCause::Operator, now, &mut out);
            }
            State::Leaving { .. } if slot.in_turn => slot.after = Some(After::InTurn),
            State::Leaving { .. } => slot.after = Some(After::AtOnce),
            State::Pending | State::Backoff | State::Completed | State::Stopped | State::Failed => {
                self.start(index, now, &mut out);
            }
        }
        self.settle(now, &mut out);
        Ok(out)
    }

    /// Removes the place of a child that is not running.
    ///
    /// # Errors
    /// [`Refused::Running`] and [`Refused::Restarting`] when it is up or on its way, [`Refused::NotFound`], [`Refused::Closing`].
    pub fn delete_child(&mut self, index: u32) -> Result<Vec<Directive>, Refused> {
        let mut out = Vec::new();
        self.at_rest(index)?;
        self.remove(index, &mut out);
        self.tell_boot(&mut out);
        Ok(out)
    }

    /// Refuses what is only for a child that has no life and waits for none.
    fn at_rest(&mut self, index: u32) -> Result<(), Refused> {
        let slot = self.operable(index)?;
        match slot.state {
            State::Pending | State::Backoff => Err(Refused::Restarting),
            State::Starting if slot.is_restarting() => Err(Refused::Restarting),
            State::Starting | State::Running | State::Leaving { .. } => Err(Refused::Running),
            State::Completed | State::Stopped | State::Failed => Ok(()),
        }
    }

    pub(super) fn operable(&mut self, index: u32) -> Result<&mut Slot, Refused> {
        if self.is_closing() {
            return Err(Refused::Closing);
        }
        self.slot_mut(index).ok_or(Refused::NotFound)
    }
}
