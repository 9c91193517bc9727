//! What an operator asks for.

use std::sync::Arc;
use std::time::Instant;

use super::slot::{After, Paused, Slot, State, Trial};
use super::{ChildPlan, Directive, Refused, Supervision, Who};
use crate::phase::{Desired, Phase};
use crate::restart::{AutoShutdown, StopCause};

impl Supervision {
    /// Stops a child and keeps its place, so that it can be started again; in any phase. A temporary child's place goes with it.
    ///
    /// # Errors
    /// [`Refused::NotFound`] and [`Refused::Closing`].
    pub fn terminate_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        self.end_child(index, StopCause::Operator, now)
    }

    /// The same with [`StopCause::Scale`]: not an operator wants it, but who decides how many there are to be.
    ///
    /// # Errors
    /// As [`Self::terminate_child`].
    pub fn retire_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        self.end_child(index, StopCause::Scale, now)
    }

    fn end_child(
        &mut self,
        index: u32,
        cause: StopCause,
        now: Instant,
    ) -> Result<Vec<Directive>, Refused> {
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
                self.ask(index, cause, now, &mut out);
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

    /// Holds a child that is up: its time stands still until it is resumed or stopped. One that is held already is held again,
    /// in case somebody else has let it go on.
    ///
    /// # Errors
    /// [`Refused::NotUp`] when it is not up, or is about to be stopped; [`Refused::NotFound`], [`Refused::Closing`].
    pub fn pause_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        let who = self.holdable(index)?;
        if let Some(slot) = self.slot_mut(index)
            && slot.paused.is_none()
        {
            let (since, timer) = (now, slot.timer);
            slot.paused = Some(Box::new(Paused { since, timer }));
            self.set_timer(index, None);
        }
        Ok(self.answer(Directive::Pause(who)))
    }

    /// Lets a child that is held go on. One that is not held is told to go on as well: somebody else may hold it.
    ///
    /// # Errors
    /// As [`Self::pause_child`].
    pub fn resume_child(&mut self, index: u32, now: Instant) -> Result<Vec<Directive>, Refused> {
        let who = self.holdable(index)?;
        if let Some(slot) = self.slot_mut(index)
            && slot.paused.is_some()
        {
            let timer = slot.let_time_go_on(now);
            self.set_timer(index, timer);
        }
        Ok(self.answer(Directive::Resume(who)))
    }

    fn answer(&mut self, directive: Directive) -> Vec<Directive> {
        let mut out = std::mem::take(&mut self.spare);
        out.push(directive);
        out
    }

    /// The life of a child that can be held and let go on.
    fn holdable(&mut self, index: u32) -> Result<Who, Refused> {
        let slot = self.operable(index)?;
        match slot.state {
            State::Running if slot.after.is_some() => Err(Refused::NotUp(Phase::Stopping)),
            State::Running => Ok(slot.who(index)),
            State::Pending
            | State::Starting
            | State::Leaving { .. }
            | State::Backoff
            | State::Completed
            | State::Stopped
            | State::Failed => Err(Refused::NotUp(slot.phase())),
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backoff::{Backoff, FirstRestart};
    use crate::restart::ExitKind;
    use crate::supervision::Policy;
    use crate::testing::t0;

    const SECOND: Duration = Duration::from_secs(1);

    /// A supervisor with one child of this plan, which is up.
    fn up(plan: ChildPlan) -> (Supervision, Who, Instant) {
        let now = t0();
        let mut sup = Supervision::new(Policy::default());
        let slot = sup.add(plan, now);
        drop(sup.boot(now));
        let who = Who { slot, life: 1 };
        drop(sup.on_started(who, now));
        (sup, who, now)
    }

    #[test]
    fn the_time_in_which_it_is_to_be_ready_stands_still_while_it_is_held() {
        let (mut sup, who, now) = up(ChildPlan {
            ready_within: Some(SECOND * 10),
            ..ChildPlan::default()
        });
        drop(sup.pause_child(who.slot, now + SECOND * 4));
        assert_eq!(sup.next_wakeup(), None);
        drop(sup.pause_child(who.slot, now + SECOND * 50));
        drop(sup.resume_child(who.slot, now + SECOND * 100));
        assert_eq!(sup.next_wakeup(), Some(now + SECOND * 106));
        drop(sup.pause_child(who.slot, now + SECOND * 101));
        drop(sup.on_ready(who, now + SECOND * 102));
        drop(sup.resume_child(who.slot, now + SECOND * 103));
        assert_eq!(sup.next_wakeup(), None, "it was ready meanwhile");
    }

    #[test]
    fn a_life_that_was_held_has_not_been_up_meanwhile() {
        let first = FirstRestart::AtOnceAfter(SECOND * 10);
        let delay_after = |pause: Duration| {
            let backoff = Backoff::exponential(SECOND..=SECOND)
                .jitter(0.0)
                .first(first);
            let (mut sup, who, now) = up(ChildPlan {
                backoff,
                ..ChildPlan::default()
            });
            drop(sup.pause_child(who.slot, now + SECOND));
            drop(sup.resume_child(who.slot, now + SECOND + pause));
            let end = now + SECOND * 2 + pause;
            let out = sup.on_exit(who, ExitKind::Error, end);
            let [Directive::Backoff(scheduled), ..] = out.as_slice() else {
                panic!("{out:?}")
            };
            scheduled.delay
        };
        assert_eq!(delay_after(Duration::ZERO), SECOND);
        assert_eq!(delay_after(SECOND * 60), SECOND);
    }
}
