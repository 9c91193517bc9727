//! How many workers a pool needs: the decision that is made again and again, from what there is to do.
//!
//! Work that runs and work that waits is demand, in workers that are busy all the time (Little's law). Smoothed, and divided by the
//! share of their time that workers are to be busy, it asks for a size. As soon as work waits, what there is at this moment asks too,
//! for more: a burst is met at once. More is done at once as well, doubling at most; less only when for a whole
//! [`window`](ScalerRules::window) less was needed, and a quarter at a time. So a load that comes and goes within a window finds its
//! workers there, and a pool does not breathe with it.
//!
//! What is remembered of the window is not what was asked for, but what was *needed*: also while nothing waits, the work of each
//! moment at the burst's share. Otherwise a pool that is large enough would forget why.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use regrow_core::scaler::{Inputs, Load, Scaler, ScalerRules};
//!
//! let start = Instant::now();
//! let mut scaler = Scaler::new(ScalerRules::new(2, 8), start)?;
//! let load = Load { in_flight: 2, queued: 10, oldest: Duration::from_millis(700) };
//! let inputs = Inputs { size: 2, load: Some(load), ..Inputs::default() };
//! let decision = scaler.on_tick(inputs, start + Duration::from_secs(1));
//! assert_eq!(decision.to, 6);
//! assert_eq!(decision.to_string(), "up from 2 to 6: 2 running and 10 waiting ask for 13; one step at a time");
//! # Ok::<(), regrow_core::scaler::InvalidScaler>(())
//! ```
//!
//! Sources: Knative's KPA (two windows, no way down while there is panic), Kubernetes' HPA (tolerance, rolling maximum, several
//! signals: the highest goes up, all must agree on the way down, a missing one holds), KEDA (fallback); the design's simulation, which
//! `regrow-bench` repeats with this very machine.

use std::collections::VecDeque;
use std::time::Instant;

mod decision;
mod rules;
#[cfg(test)]
mod tests;

pub use decision::{Decision, Direction, Inputs, Limit, Load, Signal, Trigger};
pub use rules::{Fallback, InvalidScaler, ScalerRules};

/// How many looks in a row a signal may be missing before the fallback stands in for it.
const PATIENCE: u32 = 3;

/// By how much a need may be above a whole number: that much is left by arithmetic.
const NOTHING: f64 = 1e-6;

/// What an operator wants of a pool's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScaleMode {
    /// It follows the work.
    #[default]
    Auto,
    /// So many, as far as its bounds allow.
    Manual(u32),
    /// It stays as it is.
    Paused,
    /// It is decided and told, and nothing is done.
    ObserveOnly,
}

/// The machine: what is remembered from one look to the next.
#[derive(Clone, Debug)]
pub struct Scaler {
    rules: ScalerRules,
    mode: ScaleMode,
    /// Busy workers, smoothed.
    smoothed: f64,
    looked: Instant,
    /// What was needed within the window: times ascend, needs descend, so the first is the highest.
    needs: VecDeque<(Instant, f64)>,
    /// When there was something to do for the last time.
    busy: Instant,
    /// For how many looks a signal has been missing.
    missing: u32,
    /// Nothing would come of another look.
    is_at_rest: bool,
}

/// What one signal asks for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    size: u32,
    trigger: Trigger,
}

impl Scaler {
    /// Begins. The size that the rules begin with counts as needed now, so it is kept for a window.
    ///
    /// # Errors
    /// Names the rule that is out of its range.
    pub fn new(rules: ScalerRules, now: Instant) -> Result<Self, InvalidScaler> {
        rules.check()?;
        let initial = f64::from(rules.target);
        Ok(Self {
            rules,
            mode: ScaleMode::Auto,
            smoothed: 0.0,
            looked: now,
            needs: VecDeque::from([(now, initial)]),
            busy: now,
            missing: 0,
            is_at_rest: false,
        })
    }

    /// By which rules it goes.
    pub const fn rules(&self) -> &ScalerRules {
        &self.rules
    }

    /// It goes by new rules; what was seen of the work stays.
    ///
    /// # Errors
    /// Names the rule that is out of its range; then nothing has changed.
    pub fn reconfigure(&mut self, rules: ScalerRules) -> Result<(), InvalidScaler> {
        rules.check()?;
        self.rules = rules;
        Ok(())
    }

    /// What an operator wants of it.
    #[must_use]
    pub const fn mode(&self) -> ScaleMode {
        self.mode
    }

    /// An operator wants something else of it. What was set by hand is remembered for a window when it follows the work again.
    pub const fn set_mode(&mut self, mode: ScaleMode) {
        self.mode = mode;
    }

    /// The size that a pool begins with: as its rules say, or as many as there were before if it comes back. `None` if it has so many.
    pub fn begin(&self, before: Option<u32>, inputs: Inputs) -> Option<Decision> {
        let wanted = before.unwrap_or(self.rules.target).min(self.rules.max);
        if wanted <= inputs.size {
            return None;
        }
        let (to, limit) = self.affordable(wanted, None, &inputs);
        Some(Decision {
            to,
            wanted,
            smoothed: self.smoothed,
            remembered: wanted,
            trigger: Trigger::Bound,
            limit,
            inputs,
        })
    }

    /// Whether this is not for the next tick: there is something to do, and nobody.
    #[must_use]
    pub const fn is_urgent(size: u32, queued: u64) -> bool {
        size == 0 && queued > 0
    }

    /// Something has happened while nothing would have come of a look: there are looks again, and the time until now counts as one
    /// without work.
    pub fn wake(&mut self, now: Instant) {
        if !std::mem::take(&mut self.is_at_rest) {
            return;
        }
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.smoothed *= (-passed.as_secs_f64() / self.rules.smoothing.as_secs_f64()).exp();
    }

    /// One look: how many workers there are to be. Costs O(1), spread over the looks.
    pub fn on_tick(&mut self, inputs: Inputs, now: Instant) -> Decision {
        let size = inputs.size;
        self.look(&inputs, now);
        let wish = self.wish(&inputs);
        let (wish, remembered) = self.remember(wish, &inputs, now);
        let (to, limit) = match self.mode {
            ScaleMode::Paused => (size, (wish.size != size).then_some(Limit::Paused)),
            ScaleMode::Manual(_) => self.bounded(wish, &inputs),
            ScaleMode::Auto => self.limited(wish, remembered, &inputs),
            ScaleMode::ObserveOnly => {
                let (to, limit) = self.limited(wish, remembered, &inputs);
                let would = (to != size).then_some(Limit::ObserveOnly);
                (size, would.or(limit))
            }
        };
        let (to, limit) = releasable(to, limit, &inputs);
        let decision = Decision {
            to,
            wanted: wish.size,
            smoothed: self.smoothed,
            remembered,
            trigger: wish.trigger,
            limit,
            inputs,
        };
        self.is_at_rest = self.rests(&decision);
        decision
    }

    /// Whether another look would come to the same while there is no work. Signals have to be looked at.
    fn rests(&self, decision: &Decision) -> bool {
        let inputs = &decision.inputs;
        let is_idle = inputs
            .load
            .is_some_and(|load| load.in_flight + load.queued == 0);
        let is_alone = inputs.signals.is_empty() && !inputs.is_foreseen;
        let is_done = match self.mode {
            ScaleMode::Manual(_) => true,
            ScaleMode::Auto | ScaleMode::Paused | ScaleMode::ObserveOnly => {
                inputs.size <= self.rules.min
            }
        };
        let is_free = matches!(decision.limit, None | Some(Limit::AtMin));
        is_idle && is_alone && is_done && is_free && decision.direction() == Direction::Hold
    }

    /// Takes in what there is to do.
    fn look(&mut self, inputs: &Inputs, now: Instant) {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        let Some(load) = inputs.load else {
            return;
        };
        let share = 1.0 - (-passed.as_secs_f64() / self.rules.smoothing.as_secs_f64()).exp();
        self.smoothed += share * (self.workers(load) - self.smoothed);
        if load.in_flight + load.queued > 0 {
            self.busy = now;
        } else if self.rules.min == 0 && inputs.size <= 1 && self.is_idle(now) {
            // An exponential mean never gets to 0.
            self.smoothed = 0.0;
            self.needs.clear();
        }
    }

    /// Whether there has been nothing to do for so long that nobody needs to be there for it.
    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.busy) >= self.rules.idle_to_zero
    }

    /// What there is to do at this moment, in workers that are busy all the time.
    fn workers(&self, load: Load) -> f64 {
        let jobs = u32::try_from(load.in_flight + load.queued).unwrap_or(u32::MAX);
        f64::from(jobs) / f64::from(self.rules.concurrency)
    }

    /// The size that is asked for, by whoever asks for most.
    fn wish(&mut self, inputs: &Inputs) -> Wish {
        if let ScaleMode::Manual(size) = self.mode {
            let trigger = Trigger::Manual;
            return Wish { size, trigger };
        }
        let mut wishes = Vec::with_capacity(4 + inputs.signals.len());
        let mut missing = false;
        match inputs.load {
            Some(load) => self.of_load(load, inputs.size, &mut wishes),
            None => missing = true,
        }
        for signal in &inputs.signals {
            let Some(value) = signal.value.filter(|value| value.is_finite()) else {
                missing = true;
                continue;
            };
            let ratio = value / signal.target;
            wishes.push(self.ratio(ratio, inputs.size, Trigger::Signal));
        }
        if let Some(size) = inputs.forecast {
            let trigger = Trigger::Forecast;
            wishes.push(Wish { size, trigger });
        }
        self.missing = if missing {
            self.missing.saturating_add(1)
        } else {
            0
        };
        if missing {
            wishes.push(self.stand_in(inputs.size));
        }
        // Of two that ask for the same the first is named.
        let most = wishes.iter().rev().max_by_key(|wish| wish.size);
        most.copied().unwrap_or(Wish {
            size: inputs.size,
            trigger: Trigger::Demand,
        })
    }

    fn of_load(&self, load: Load, size: u32, wishes: &mut Vec<Wish>) {
        let ratio = self.smoothed / (self.rules.utilisation * f64::from(size.max(1)));
        let asked = ceil(self.smoothed / self.rules.utilisation);
        let near = (ratio - 1.0).abs() <= self.rules.tolerance;
        let trigger = Trigger::Demand;
        wishes.push(Wish {
            size: if near && asked > size { size } else { asked },
            trigger,
        });
        if load.queued > 0 {
            let trigger = Trigger::Queue;
            // The first of all needs no room for others.
            let burst = if size == 0 { 1.0 } else { self.rules.burst };
            let size = ceil(self.workers(load) / burst);
            wishes.push(Wish { size, trigger });
        }
        if let Some(age) = self.rules.queue_age {
            let ratio = load.oldest.as_secs_f64() / age.as_secs_f64();
            wishes.push(self.ratio(ratio, size, Trigger::Queue));
        }
    }

    /// What a value asks for that is so many times its target.
    fn ratio(&self, ratio: f64, size: u32, trigger: Trigger) -> Wish {
        let near = (ratio - 1.0).abs() <= self.rules.tolerance;
        // Nobody at all is asked as one would be.
        let size = size.max(1);
        let asked = if near {
            size
        } else {
            ceil(f64::from(size) * ratio)
        };
        Wish {
            size: asked,
            trigger,
        }
    }

    /// What stands in for a signal that is missing.
    fn stand_in(&self, size: u32) -> Wish {
        let asked = match self.rules.fallback {
            _ if self.missing <= PATIENCE => size,
            Fallback::Hold => size,
            Fallback::Min => self.rules.min,
            Fallback::Fixed(fixed) => fixed,
            Fallback::HigherOf(fixed) => size.max(fixed),
        };
        let trigger = Trigger::Fallback;
        Wish {
            size: asked,
            trigger,
        }
    }

    /// Notes what is needed now, and says what was needed at most within the window. The last worker of a pool that may have none
    /// stays until there has been nothing to do for long.
    fn remember(&mut self, wish: Wish, inputs: &Inputs, now: Instant) -> (Wish, u32) {
        let moment = inputs
            .load
            .map_or(0.0, |load| self.workers(load) / self.rules.burst);
        let smooth = match inputs.load {
            // What is smoothed is not rounded up before it is remembered: peaks that differ by a hair would differ by a worker.
            Some(_) if wish.trigger == Trigger::Demand => self.smoothed / self.rules.utilisation,
            Some(_) | None => f64::from(wish.size),
        };
        let need = moment.max(smooth).min(f64::from(self.rules.max));
        while self.needs.back().is_some_and(|(_, older)| *older <= need) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, need));
        while let Some((at, _)) = self.needs.front()
            && now.saturating_duration_since(*at) >= self.rules.window
        {
            self.needs.pop_front();
        }
        let highest = self.needs.front().map_or(need, |(_, highest)| *highest);
        let size = inputs.size;
        let mut remembered = ceil(highest);
        // A size that is a hair too large stays.
        let within = f64::from(size.saturating_sub(1)) * (1.0 - self.rules.tolerance);
        if remembered < size && highest > within {
            remembered = size;
        }
        let idle = self.is_idle(now);
        let is_auto = !matches!(self.mode, ScaleMode::Manual(_));
        if is_auto && self.rules.min == 0 && !idle && remembered == 0 && size > 0 {
            remembered = 1;
        }
        let to_zero = is_auto && wish.size == 0 && idle && size > 0;
        let trigger = if to_zero { Trigger::Idle } else { wish.trigger };
        (Wish { trigger, ..wish }, remembered)
    }

    /// As far as bounds and what is shared with others allow, at once: what an operator has said.
    fn bounded(&self, wish: Wish, inputs: &Inputs) -> (u32, Option<Limit>) {
        let bounded = wish.size.min(self.rules.max);
        let limit = (bounded < wish.size).then_some(Limit::AtMax);
        self.affordable(bounded, limit, inputs)
    }

    /// No more than others leave, and none more while none start.
    fn affordable(&self, to: u32, limit: Option<Limit>, inputs: &Inputs) -> (u32, Option<Limit>) {
        let size = inputs.size;
        if to <= size {
            return (to, limit);
        }
        if inputs.start_backoff {
            return (size, Some(Limit::StartBackoff));
        }
        match inputs.quota {
            Some(quota) if to > quota => (quota.max(size), Some(Limit::Quota)),
            Some(_) | None => (to, limit),
        }
    }

    fn limited(&self, wish: Wish, remembered: u32, inputs: &Inputs) -> (u32, Option<Limit>) {
        let (min, max, size) = (self.rules.min, self.rules.max, inputs.size);
        let clamped = wish.size.clamp(min, max);
        let bound = if clamped < wish.size {
            Some(Limit::AtMax)
        } else if clamped > wish.size && size <= min {
            Some(Limit::AtMin)
        } else {
            None
        };
        if clamped > size {
            let step = share(size, self.rules.grow_ratio).max(self.rules.grow_least);
            let to = clamped.min(size.saturating_add(step));
            let limit = if to < clamped {
                Some(Limit::Rate)
            } else {
                bound
            };
            return self.affordable(to, limit, inputs);
        }
        let floor = remembered.clamp(min, max).max(clamped);
        if floor >= size {
            // Above its bounds it comes down at once, whatever was needed.
            let held = (clamped < size && size <= max).then_some(Limit::Stabilising);
            return (size.min(max), held.or(bound));
        }
        let step = share(size, self.rules.shrink_ratio).max(self.rules.shrink_least);
        let to = floor.max(size.saturating_sub(step));
        let limit = (to > floor).then_some(Limit::Rate);
        if to > max {
            return (max, None);
        }
        (to, limit.or(bound))
    }

    /// When to look again; `None` if nothing would come of it before something happens, which has to be told ([`Scaler::wake`]): there is
    /// nothing to do, and nobody too many.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        (!self.is_at_rest).then(|| self.looked + self.rules.tick)
    }
}

/// Who is at work does not go.
fn releasable(to: u32, limit: Option<Limit>, inputs: &Inputs) -> (u32, Option<Limit>) {
    let spare = inputs.spare.unwrap_or(inputs.size);
    let least = inputs.size.saturating_sub(spare);
    if to < least {
        (least, Some(Limit::Busy))
    } else {
        (to, limit)
    }
}

/// A need in whole workers.
fn ceil(need: f64) -> u32 {
    let whole = (need - NOTHING).ceil().max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not below 0, and `as` stops at the highest"
    )]
    {
        whole as u32
    }
}

/// So much of a size, in whole workers.
fn share(size: u32, ratio: f64) -> u32 {
    let part = (f64::from(size) * ratio).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not below 0, and `as` stops at the highest"
    )]
    {
        part as u32
    }
}
