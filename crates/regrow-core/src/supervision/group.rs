//! The group that a failed child takes along: who is in it, and what becomes of each.

use std::time::Instant;

use super::slot::{After, State};
use super::{Directive, Order, Supervision};
use crate::phase::Phase;
use crate::restart::Strategy;

impl Supervision {
    /// Marks the group of a failed child: the living are doomed, and all are due again in turn.
    pub(super) fn take_along(&mut self, victim: u32, at: Instant, out: &mut Vec<Directive>) {
        let otp_compat = self.policy.otp_compat;
        self.hold_until = Some(self.hold_until.map_or(at, |held| held.max(at)));
        let group = self.group_of(victim);
        for index in group.iter().copied() {
            let slot = self.slots[index as usize]
                .as_mut()
                .expect("a child in order has a slot");
            match slot.state {
                // It is due in turn already, or is started by what it waits for.
                State::Pending => {}
                State::Backoff => {
                    let (turn, timer) = (slot.turn, slot.timer);
                    self.hold_until = self.hold_until.max(timer);
                    self.set_timer(index, None);
                    self.starts.insert((turn, index));
                }
                // What shall follow is decided: an operator may have changed it meanwhile.
                State::Starting | State::Running if slot.after.is_some() => {}
                State::Starting | State::Running => {
                    let leaves = slot.plan.leaves();
                    self.doom(index, if leaves { After::Remove } else { After::InTurn });
                }
                State::Leaving { .. } => {
                    let temporary = slot.plan.leaves();
                    match slot.after {
                        Some(After::AtOnce) => slot.after = Some(After::InTurn),
                        Some(After::Condemned(_)) if !temporary => {
                            slot.after = Some(After::InTurn);
                        }
                        Some(_) | None => {}
                    }
                    if !std::mem::replace(&mut slot.in_turn, true) {
                        self.leaving += 1;
                    }
                }
                State::Completed => self.due_in_turn(index, out),
                // OTP has no mark for what an operator has stopped.
                State::Stopped if otp_compat => {
                    slot.desired = slot.plan.wanted();
                    self.due_in_turn(index, out);
                }
                State::Stopped | State::Failed => {}
            }
        }
        for index in group {
            self.begin_anew(index);
        }
    }

    /// Who goes along with a failed child, itself included: all, or the rest. The rest are those that stop before it.
    fn group_of(&self, victim: u32) -> Vec<u32> {
        match (self.policy.strategy, self.policy.order) {
            (Strategy::OneForOne, _) => vec![victim],
            (Strategy::OneForAll, _) => self.in_order().collect(),
            (Strategy::RestForOne, Order::Dependencies) => self.dependents_of(victim),
            (Strategy::RestForOne, Order::Sequence) => {
                let from = self.slot(victim).map_or(0, |slot| slot.order);
                self.in_order_from(from).map(|(_, index)| index).collect()
            }
        }
    }

    /// In OTP a group restart goes on from the child that has failed: without it, those that wait for their turn stay down.
    pub(super) fn give_up_group(&mut self, victim: u32, out: &mut Vec<Directive>) {
        let waiting: Vec<u32> = self.starts.iter().map(|(_, index)| *index).collect();
        for index in waiting.into_iter().filter(|index| *index != victim) {
            self.rest(index, After::Stopped, out);
        }
    }

    /// A child that was told as something else is pending from now on, and due in turn.
    pub(super) fn due_in_turn(&mut self, index: u32, out: &mut Vec<Directive>) {
        if self.is_closing() {
            self.rest(index, After::Stopped, out);
            return;
        }
        self.enter(index, State::Pending);
        self.line_up(index, out);
        out.push(Directive::Rest {
            slot: index,
            phase: Phase::Pending,
        });
    }

    /// A child is due in turn.
    pub(super) fn line_up(&mut self, index: u32, out: &mut Vec<Directive>) {
        let slot = self.slots[index as usize]
            .as_ref()
            .expect("a due child has a slot");
        if slot.state == State::Pending {
            self.starts.insert((slot.turn, index));
        } else {
            self.due_in_turn(index, out);
        }
    }
}
