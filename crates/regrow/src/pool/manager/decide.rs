//! What a manager decides a pool's size from, and what follows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ractor::Message as ActorMessage;
use regrow_core::scaler::{Decision, Direction, Inputs, Load, Scaler, Signal};

use super::Manager;
use crate::breaker::CircuitState;
use crate::panics::catch;
use crate::pool::scaling::Told;
use crate::telemetry::Payload;
use crate::time;

impl<M: ActorMessage> Manager<M> {
    /// A pool begins with the size that its rules begin with; one that comes back, with the size that it had.
    pub(super) fn begin_size(&mut self) {
        let before = self.pool.scaling().last().map(|last| last.to);
        let inputs = Inputs {
            load: None,
            ..self.inputs(time::now())
        };
        let decided = self.decided(inputs, |scaler, inputs| scaler.begin(before, inputs));
        if let Some((decision, _)) = decided {
            self.tell_decision(&decision);
            self.grow(decision.inputs.size, decision.to, decision.trigger);
        }
    }

    /// One look at what there is to do, and what follows.
    pub(super) fn look(&mut self) {
        let now = time::now();
        let inputs = self.inputs(now);
        let decided = self.decided(inputs, |scaler, inputs| Some(scaler.on_tick(inputs, now)));
        let Some((decision, told)) = decided else {
            return;
        };
        if told.is_news {
            self.tell_decision(&decision);
        }
        if let Some((wanted, reason)) = told.blocked {
            let got = decision.to;
            self.pool.emit(|| Payload::PoolScaleBlocked {
                wanted,
                got,
                reason,
            });
        }
        let size = decision.inputs.size;
        match decision.direction() {
            Direction::Up => self.grow(size, decision.to, decision.trigger),
            Direction::Down => self.shrink(size, decision.to, now),
            Direction::Hold => {}
        }
    }

    /// Decides, and books what the workers will take of what is shared with others, so that nobody else gets it meanwhile.
    fn decided(
        &self,
        mut inputs: Inputs,
        decide: impl FnOnce(&mut Scaler, Inputs) -> Option<Decision>,
    ) -> Option<(Decision, Told)> {
        let decide = |inputs| {
            let mut scaling = self.pool.scaling();
            let decision = decide(&mut scaling.scaler, inputs)?;
            let told = scaling.note(&decision, SystemTime::now());
            Some((decision, told))
        };
        let Some(share) = &self.pool.rules.quota else {
            return decide(inputs);
        };
        let size = inputs.size;
        let leaving = self.leaving.values().filter(|leaving| !leaving.comes_back);
        let leaving = u32::try_from(leaving.count()).unwrap_or(u32::MAX);
        share.decide(&self.pool.path, size, leaving, |quota| {
            inputs.quota = Some(quota);
            let decided = decide(inputs);
            let to = decided.as_ref().map(|(decision, _)| decision.to);
            (decided, to)
        })
    }

    fn inputs(&self, now: Instant) -> Inputs {
        let rules = &self.pool.rules;
        let (size, load, spare) = {
            let inner = self.pool.lock();
            let load = Load {
                in_flight: inner.desk.crew().in_flight(),
                // Who waits outside of a full queue has work to be done as well.
                queued: (inner.desk.queued() + self.pool.room.len()) as u64,
                oldest: inner.desk.oldest(now),
            };
            let crew = inner.desk.crew();
            (crew.size(), load, crew.spare())
        };
        // In the places of those there will be fresh ones.
        let comes_back = self.leaving.values().filter(|leaving| leaving.comes_back);
        let size = size + u32::try_from(comes_back.count()).unwrap_or(u32::MAX);
        let signals = rules.signals.iter().map(|watched| Signal {
            name: Arc::clone(&watched.name),
            // One that panics is missing.
            value: catch(AssertUnwindSafe(|| (watched.read)())).ok().flatten(),
            target: watched.target,
        });
        let forecast = rules.forecast.as_ref();
        let forecast = forecast.and_then(|read| catch(AssertUnwindSafe(|| read())).ok().flatten());
        Inputs {
            size,
            load: Some(load),
            signals: signals.collect(),
            forecast,
            is_foreseen: rules.forecast.is_some(),
            quota: None,
            spare: Some(spare),
            start_backoff: match self.pool.starts.state() {
                CircuitState::Open | CircuitState::ForcedOpen => true,
                CircuitState::Closed
                | CircuitState::HalfOpen
                | CircuitState::Disabled
                | CircuitState::MetricsOnly => false,
            },
        }
    }

    fn tell_decision(&self, decision: &Decision) {
        let load = decision.inputs.load.unwrap_or_default();
        self.pool.emit(|| Payload::PoolScaleDecided {
            from: decision.inputs.size,
            to: decision.to,
            wanted: decision.wanted,
            demand: decision.demand(),
            smoothed: decision.smoothed,
            queue: load.queued,
            remembered: decision.remembered,
            forecast: decision.inputs.forecast,
            quota: decision.inputs.quota,
            direction: decision.direction(),
            trigger: decision.trigger,
            clamp: decision.limit,
            why: decision.to_string().into(),
        });
    }
}
