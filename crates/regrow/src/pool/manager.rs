//! The child that sizes a pool: it looks every second at what there is to do, starts workers and lets them go. No job passes through it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use ractor::Message as ActorMessage;
use regrow_core::StopCause;
use regrow_core::desk::Totals;
use regrow_core::scaler::{Decision, Direction, Inputs, Load, ScaleMode, Signal, Trigger};
use tokio::sync::mpsc;

use super::shared::Shared;
use super::{MakeWorker, Worker};
use crate::breaker::CircuitState;
use crate::child::ChildSpec;
use crate::exit::BoxError;
use crate::panics::catch;
use crate::supervisor::{Answer, Message, OperateError, Verb};
use crate::task::TaskContext;
use crate::telemetry::{Edge, Payload, Span};
use crate::time;

mod news;

/// The id of the breaker in front of all starts of workers.
pub(super) const STARTS: &str = "starts";

/// Something that the supervisor was asked to do is over.
enum Done {
    Started(u32, Result<(), OperateError>),
    Gone(u32, &'static str),
    Refreshed(u32, Result<(), OperateError>),
}

/// Why a worker goes, and until when it may finish what it has.
struct Leaving {
    cause: &'static str,
    until: Instant,
    /// A fresh one is to be in its place.
    comes_back: bool,
    /// The supervisor was asked.
    is_asked: bool,
}

struct Manager<M: Send + 'static> {
    pool: Arc<Shared<M>>,
    make: Arc<MakeWorker<M>>,
    context: TaskContext,
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    leaving: BTreeMap<u32, Leaving>,
    /// Changes of the size under way: who is waited for.
    spans: Vec<(Span, BTreeSet<u32>)>,
    told: Totals,
    mode: ScaleMode,
    /// Why a worker could not be started, while the pool itself starts.
    failed: Option<OperateError>,
}

pub(super) async fn manage<M: ActorMessage>(
    pool: Arc<Shared<M>>,
    make: Arc<MakeWorker<M>>,
    context: TaskContext,
) -> Result<(), BoxError> {
    let told = *pool.lock().desk.totals();
    let mode = pool.scaling().mode();
    let mut manager = Manager {
        pool,
        make,
        context,
        done: mpsc::unbounded_channel(),
        leaving: BTreeMap::new(),
        spans: Vec::new(),
        told,
        mode,
        failed: None,
    };
    let cause = manager.run().await?;
    manager.stop(cause);
    Ok(())
}

impl<M: ActorMessage> Manager<M> {
    async fn run(&mut self) -> Result<StopCause, BoxError> {
        self.begin();
        let warm = self.pool.rules.warm();
        let mut is_up = false;
        let pool = Arc::clone(&self.pool);
        loop {
            if !is_up {
                if let Some(error) = self.failed.take() {
                    return Err(error.into());
                }
                is_up = self.able() >= warm;
                if is_up {
                    self.context.announce();
                }
            }
            let next = self.next_wakeup();
            let alarm = pool.alarm.notified();
            tokio::select! {
                cause = self.context.stopped() => return Ok(cause),
                () = time::sleep_until(next) => {}
                () = alarm => {}
                Some(done) = self.done.1.recv() => self.on_done(done),
            }
            self.keep_up();
        }
    }

    /// Whether a worker of this number is in the tree.
    fn has_place(&self, number: u32) -> bool {
        let path = self.pool.path.join(&number.to_string());
        self.context.tree.place(path.as_str()).is_some()
    }

    fn able(&self) -> u32 {
        let able = self.pool.lock().desk.crew().able();
        u32::try_from(able).unwrap_or(u32::MAX)
    }

    /// What a life before has left behind: workers that are gone, and those that were on their way out.
    fn begin(&mut self) {
        let known: Vec<_> = self.pool.lock().desk.crew().each().collect();
        for worker in known {
            if !self.has_place(worker.number) {
                self.pool.remove(worker.number);
            } else if worker.state == regrow_core::crew::WorkerState::Draining {
                self.let_go(worker.number, "scale", false);
            }
        }
        self.pool.lock().desk.open();
        let starts = ChildSpec::from(&self.pool.starts);
        // Another life of the manager has started it, or it is up in a moment: nobody waits for it.
        self.ask(
            |answer| Message::StartChild(Box::new(starts), answer),
            |_| None,
        );
        self.be_as_before();
    }

    /// A pool begins with the size that its rules begin with; one that comes back, with the size that it had.
    fn be_as_before(&mut self) {
        let inputs = Inputs {
            load: None,
            ..self.inputs(time::now())
        };
        let size = inputs.size;
        let mut scaling = self.pool.scaling();
        let initial = scaling.scaler.rules().initial();
        let to = scaling.last().map_or(initial, |last| last.to);
        if to <= size {
            return;
        }
        let decision = Decision {
            to,
            wanted: to,
            smoothed: 0.0,
            remembered: to,
            trigger: Trigger::Bound,
            limit: None,
            inputs,
        };
        scaling.note(&decision, SystemTime::now());
        drop(scaling);
        if let Some(share) = &self.pool.rules.quota {
            share.take(&self.pool.path, to);
        }
        self.tell_decision(&decision);
        self.grow(size, to, Trigger::Bound);
    }

    /// The pool stops, or only its manager.
    fn stop(&self, cause: StopCause) {
        match cause {
            StopCause::Parent => self.pool.close_or_open(true),
            StopCause::Operator
            | StopCause::Sibling
            | StopCause::Probe
            | StopCause::Heartbeat
            | StopCause::Stalled
            | StopCause::Memory
            | StopCause::MaxRuntime
            | StopCause::Budget
            | StopCause::Dependency
            | StopCause::Reload
            | StopCause::Scale => {}
        }
        if let Some(share) = &self.pool.rules.quota {
            share.leave(&self.pool.path);
        }
    }

    fn next_wakeup(&self) -> Instant {
        let tick = self.pool.scaling().scaler.next_wakeup();
        let desk = self.pool.lock().desk.next_wakeup();
        let leaving = self.leaving.values().filter(|leaving| !leaving.is_asked);
        let leaving = leaving.map(|leaving| leaving.until);
        leaving.chain(desk).fold(tick, Instant::min)
    }

    /// Everything that may have become due.
    fn keep_up(&mut self) {
        let now = time::now();
        self.tell_news(now);
        self.see_off(now);
        let (size, queued) = {
            let inner = self.pool.lock();
            (inner.desk.crew().size(), inner.desk.queued())
        };
        let (due, mode) = {
            let scaling = self.pool.scaling();
            (scaling.scaler.next_wakeup() <= now, scaling.mode())
        };
        // Who has nobody cannot wait, and neither can an operator.
        let wanted = (size == 0 && queued > 0) || mode != self.mode;
        self.mode = mode;
        if due || wanted {
            self.recycle(now);
            self.look();
            self.tell_refused(now);
        }
        let is_alert = size == 0 || !self.leaving.is_empty();
        self.pool.is_alert.store(is_alert, Ordering::Relaxed);
    }

    /// One look at what there is to do, and what follows.
    fn look(&mut self) {
        let now = time::now();
        let inputs = self.inputs(now);
        let (decision, told) = {
            let mut scaling = self.pool.scaling();
            let decision = scaling.scaler.on_tick(inputs, now);
            let told = scaling.note(&decision, SystemTime::now());
            (decision, told)
        };
        if let Some(share) = &self.pool.rules.quota {
            share.take(&self.pool.path, decision.to);
        }
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

    fn inputs(&self, now: Instant) -> Inputs {
        let rules = &self.pool.rules;
        let (size, load) = {
            let inner = self.pool.lock();
            let load = Load {
                in_flight: inner.desk.crew().in_flight(),
                queued: inner.desk.queued() as u64,
                oldest: inner.desk.oldest(now),
            };
            (inner.desk.crew().size(), load)
        };
        let signals = rules.signals.iter().map(|watched| Signal {
            name: Arc::clone(&watched.name),
            // One that panics is missing.
            value: catch(AssertUnwindSafe(|| (watched.read)())).ok().flatten(),
            target: watched.target,
        });
        let forecast = rules.forecast.as_ref();
        let forecast = forecast.and_then(|read| catch(AssertUnwindSafe(|| read())).ok().flatten());
        let share = rules.quota.as_ref();
        Inputs {
            size,
            load: Some(load),
            signals: signals.collect(),
            forecast,
            quota: share.map(|share| share.allows(&self.pool.path, size)),
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

    fn span(&self, from: u32, to: u32) -> Span {
        let edge = Edge::Start;
        let payload = Payload::PoolScale { edge, from, to };
        self.pool.span(&self.context.tree, payload)
    }

    fn grow(&mut self, from: u32, to: u32, cause: Trigger) {
        let mut waited_for = BTreeSet::new();
        for _ in from..to {
            let number = self.pool.last.fetch_add(1, Ordering::Relaxed) + 1;
            let tier = {
                let inner = self.pool.lock();
                let has = |tier: &str| inner.desk.crew().count_tag(tier);
                self.pool.rules.tier(has)
            };
            let tags: Vec<Arc<str>> = tier.iter().cloned().collect();
            let spec = self.spec(&Worker { number, tier });
            self.pool.lock().desk.add(number, tags, time::now());
            self.pool.emit(|| Payload::PoolWorkerAdded {
                worker: number.to_string().into(),
                cause,
            });
            self.ask(
                |answer| Message::StartChild(Box::new(spec), answer),
                move |result| Some(Done::Started(number, result)),
            );
            waited_for.insert(number);
        }
        let span = self.span(from, to);
        self.spans.push((span, waited_for));
    }

    /// What a worker is made from: what the user said, in this place, behind the gate of all starts.
    fn spec(&self, worker: &Worker) -> ChildSpec {
        let mut spec = (self.make)(worker, &self.pool);
        spec.id = worker.number.to_string().into();
        let seat = self.pool.seat(worker.number);
        let default_type: Arc<str> = self.pool.path.id().into();
        let edit = spec.edit();
        edit.seat = Some(seat);
        edit.type_name.get_or_insert(default_type);
        edit.tags.extend(worker.tier.iter().cloned());
        edit.plan.restart = regrow_core::Restart::Permanent;
        edit.plan.limit = None;
        edit.plan.significant = false;
        spec.gate(&self.pool.starts)
    }

    fn shrink(&mut self, from: u32, to: u32, now: Instant) {
        let victims = self.victims(from, from - to, now);
        if victims.is_empty() {
            return;
        }
        let span = self.span(from, to);
        for number in &victims {
            self.let_go(*number, "scale", false);
        }
        self.spans.push((span, victims.into_iter().collect()));
        self.see_off(now);
    }

    /// Who goes: the last of a tier never does.
    fn victims(&self, size: u32, count: u32, now: Instant) -> Vec<u32> {
        let inner = self.pool.lock();
        let crew = inner.desk.crew();
        let mut left: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for (tier, _) in &self.pool.rules.tiers {
            left.insert(Arc::clone(tier), crew.count_tag(tier));
        }
        let mut may_go = |number: &u32| {
            let mut tags = crew.tags_of(*number).iter();
            let tier = tags.find(|tag| left.contains_key(*tag));
            let Some(left) = tier.and_then(|tier| left.get_mut(tier)) else {
                return true;
            };
            let others = left.saturating_sub(1);
            *left = others.max(1);
            others > 0
        };
        let victims = crew.victims(size, now).into_iter();
        victims
            .filter(|number| may_go(number))
            .take(count as usize)
            .collect()
    }

    /// Workers that have served long enough make way for fresh ones, a tenth of them at a time.
    fn recycle(&mut self, now: Instant) {
        let (served, size) = {
            let inner = self.pool.lock();
            (inner.desk.crew().served(now), inner.desk.crew().size())
        };
        let most = (size as usize / 10).max(1);
        let under_way = self
            .leaving
            .values()
            .filter(|leaving| leaving.comes_back)
            .count();
        for (number, why) in served.into_iter().take(most.saturating_sub(under_way)) {
            self.let_go(number, why.as_str(), true);
        }
    }

    fn let_go(&mut self, number: u32, cause: &'static str, comes_back: bool) {
        let now = time::now();
        let in_flight = {
            let mut inner = self.pool.lock();
            inner.desk.drain(number, now);
            let held = inner
                .desk
                .crew()
                .each()
                .find(|worker| worker.number == number);
            held.map_or(0, |worker| worker.in_flight)
        };
        self.pool.is_alert.store(true, Ordering::Relaxed);
        self.pool.emit(|| Payload::PoolWorkerDraining {
            in_flight,
            worker: number.to_string().into(),
            cause,
        });
        let leaving = Leaving {
            cause,
            until: now + self.pool.rules.drain,
            comes_back,
            is_asked: false,
        };
        self.leaving.insert(number, leaving);
    }

    /// Those on their way out who have finished, or have had time enough, go.
    fn see_off(&mut self, now: Instant) {
        let ready: Vec<u32> = {
            let inner = self.pool.lock();
            let leaving = self.leaving.iter().filter(|(_, leaving)| !leaving.is_asked);
            let ready = leaving.filter(|(number, leaving)| {
                leaving.until <= now || inner.desk.crew().is_drained(**number)
            });
            ready.map(|(number, _)| *number).collect()
        };
        for number in ready {
            let Some(leaving) = self.leaving.get_mut(&number) else {
                continue;
            };
            leaving.is_asked = true;
            let (cause, comes_back) = (leaving.cause, leaving.comes_back);
            let id: Arc<str> = number.to_string().into();
            if comes_back {
                self.ask(
                    |answer| Message::Operate(Verb::Bounce, id, answer),
                    move |result| Some(Done::Refreshed(number, result)),
                );
            } else {
                self.ask(
                    |answer| Message::Operate(Verb::Terminate, id, answer),
                    move |_| Some(Done::Gone(number, cause)),
                );
            }
        }
    }

    /// Asks the supervisor, and is told when that is done.
    fn ask(
        &self,
        message: impl FnOnce(Answer) -> Message,
        done: impl FnOnce(Result<(), OperateError>) -> Option<Done> + Send + 'static,
    ) {
        let (reply, answer) = ractor::concurrency::oneshot();
        let supervisor = &self.context.supervisor;
        // One that is gone takes this manager along.
        drop(supervisor.cast(message(Answer::One(reply.into()))));
        let told = self.done.0.clone();
        tokio::spawn(async move {
            if let Ok(result) = answer.await
                && let Some(done) = done(result.map(drop))
            {
                drop(told.send(done));
            }
        });
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Started(_, Ok(())) => {}
            Done::Started(number, Err(error)) => {
                tracing::debug!(target: "regrow", pool = %self.pool.path, number, %error, "a worker did not start");
                // One that is in the tree stays: its own rules go on with it, or it is parked for somebody to look at.
                self.did_not_come(number, &error.to_string());
                if !self.has_place(number) {
                    self.gone(number, "start_failed");
                }
                self.failed = Some(error);
            }
            Done::Gone(number, cause) => self.gone(number, cause),
            Done::Refreshed(number, result) => {
                self.leaving.remove(&number);
                match result {
                    Ok(()) => self.pool.keep(number),
                    // Its place is there, and its own rules go on with it.
                    Err(error) => {
                        tracing::debug!(target: "regrow", pool = %self.pool.path, number, %error, "a fresh worker did not start");
                        self.pool.keep(number);
                    }
                }
            }
        }
    }

    fn gone(&mut self, number: u32, cause: &'static str) {
        self.leaving.remove(&number);
        self.pool.remove(number);
        self.pool.emit(|| Payload::PoolWorkerRemoved {
            worker: number.to_string().into(),
            cause,
        });
        self.came_or_went(number);
    }

    /// A worker that was waited for does not come: that change of the size has not succeeded.
    fn did_not_come(&mut self, number: u32, why: &str) {
        for at in (0..self.spans.len()).rev() {
            if self.spans[at].1.contains(&number) {
                let worker = self.pool.path.join(&number.to_string());
                let (span, _) = self.spans.swap_remove(at);
                span.exception(format!("worker \"{worker}\" did not start: {why}"));
            }
        }
    }

    /// Nobody waits for this worker any more.
    fn came_or_went(&mut self, number: u32) {
        for at in (0..self.spans.len()).rev() {
            let (_, waited_for) = &mut self.spans[at];
            waited_for.remove(&number);
            if waited_for.is_empty() {
                self.spans.swap_remove(at).0.stop();
            }
        }
    }
}
