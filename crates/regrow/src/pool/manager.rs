//! The child that sizes a pool: it looks every second at what there is to do, starts workers and lets them go. No job passes through it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ractor::Message as ActorMessage;
use regrow_core::StopCause;
use regrow_core::desk::Totals;
use regrow_core::scaler::{ScaleMode, Scaler, Trigger};
use tokio::sync::mpsc;

use super::shared::Shared;
use super::{MakeWorker, Worker};
use crate::address::Place;
use crate::child::ChildSpec;
use crate::exit::BoxError;
use crate::panics::catch;
use crate::supervisor::{Answer, Message, OperateError, Verb};
use crate::task::TaskContext;
use crate::telemetry::{Edge, Payload, Span};
use crate::time;

mod decide;
mod leaving;
mod news;
use leaving::Leaving;

/// The id of the breaker in front of all starts of workers.
pub(super) const STARTS: &str = "starts";

/// Something that the supervisor was asked to do is over.
enum Done {
    Started(u32, Result<(), OperateError>),
    Gone(u32, &'static str, Result<(), OperateError>),
    Refreshed(u32, Result<(), OperateError>),
}

struct Manager<M: Send + 'static> {
    pool: Arc<Shared<M>>,
    make: Arc<MakeWorker<M>>,
    context: TaskContext,
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    /// Those that the supervisor was asked to start, and has not answered of.
    starting: BTreeSet<u32>,
    leaving: BTreeMap<u32, Leaving>,
    /// Changes of the size under way: who is waited for.
    spans: Vec<(Span, BTreeSet<u32>)>,
    told: Totals,
    mode: ScaleMode,
    /// Why a worker could not be started, while the pool itself starts.
    failed: Option<BoxError>,
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
        starting: BTreeSet::new(),
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
        // A manager that comes back finds a pool at work, which is not to wait for workers, nor to end for want of one.
        let is_first = self.context.generation() == 1;
        if !is_first {
            self.context.announce();
        }
        let mut is_up = !is_first;
        let pool = Arc::clone(&self.pool);
        loop {
            if !is_up {
                is_up = self.able() >= self.warm();
                if is_up {
                    self.context.announce();
                } else if let Some(error) = self.failed.take() {
                    return Err(error);
                }
            }
            let next = self.next_wakeup();
            let alarm = pool.alarm.notified();
            tokio::select! {
                cause = self.context.stopped() => return Ok(cause),
                () = wait_until(next) => {}
                () = alarm => pool.scaling().scaler.wake(time::now()),
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

    /// How many workers have to be up: no more than there are to be, should it share what they need with others.
    fn warm(&self) -> u32 {
        let desired = self.pool.scaling().last().map(|last| last.to);
        let warm = self.pool.rules.warm();
        desired.map_or(warm, |desired| warm.min(desired))
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
        self.pool.begins();
        let starts = ChildSpec::from(&self.pool.starts);
        // Another life of the manager has started it, or it is up in a moment: nobody waits for it.
        self.ask(
            |answer| Message::StartChild(Box::new(starts), answer),
            |_| None,
        );
        self.begin_size();
    }

    /// The pool stops, or only its manager.
    fn stop(&self, cause: StopCause) {
        match cause {
            StopCause::Parent => self.pool.ends(),
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
    }

    /// When something is due next; never, in a pool that has nothing to do and nobody too many.
    fn next_wakeup(&self) -> Option<Instant> {
        let tick = self.pool.scaling().scaler.next_wakeup();
        let (desk, served) = {
            let inner = self.pool.lock();
            let desk = &inner.desk;
            // Written under the lock under which it is decided: who finds it unset after this has the manager woken.
            let is_watched = desk.counts_until().is_some();
            self.pool.is_watched.store(is_watched, Ordering::Relaxed);
            let may_go = self.may_recycle(desk.crew().size()) > 0;
            let served = desk.crew().next_served().filter(|_| may_go);
            (desk.next_wakeup(), served)
        };
        // Who is too old is looked for with each look at the size.
        let served = served.filter(|_| tick.is_none());
        let leaving = self.leaving.values().filter_map(Leaving::next_wakeup);
        leaving.chain(desk).chain(tick).chain(served).min()
    }

    /// Everything that may have become due.
    fn keep_up(&mut self) {
        let now = time::now();
        self.tell_news(now);
        self.see_off(now);
        let (size, queued, served) = {
            let inner = self.pool.lock();
            let crew = inner.desk.crew();
            let served = crew.next_served().is_some_and(|at| at <= now);
            (crew.size(), inner.desk.queued() as u64, served)
        };
        let (next, mode) = {
            let scaling = self.pool.scaling();
            (scaling.scaler.next_wakeup(), scaling.mode())
        };
        let due = next.map_or(served, |next| next <= now);
        // Who has nobody cannot wait, and neither can an operator.
        let wanted = Scaler::is_urgent(size, queued) || mode != self.mode;
        self.mode = mode;
        if due || wanted {
            self.recycle(now);
            self.see_off(now);
            self.reconcile();
            self.look();
            self.tell_refused(now);
        }
        let rests = self.pool.scaling().scaler.next_wakeup().is_none();
        let is_alert = rests || size == 0 || !self.leaving.is_empty();
        self.pool.is_alert.store(is_alert, Ordering::Relaxed);
        if rests {
            self.look_back(now);
        }
    }

    /// What came between the last look and the word that the manager rests has woken nobody.
    fn look_back(&self, now: Instant) {
        let has_work = {
            let inner = self.pool.lock();
            inner.desk.queued() > 0 || inner.desk.crew().in_flight() > 0
        };
        if has_work {
            self.pool.scaling().scaler.wake(now);
        }
    }

    /// What the pool knows of its workers and what their supervisor has can differ: others end children too, and an order can be overtaken
    /// by another. Who is gone is known no more, and who is not known does not stay.
    fn reconcile(&mut self) {
        let known: BTreeSet<u32> = {
            let inner = self.pool.lock();
            let each = inner.desk.crew().each();
            each.map(|worker| worker.number).collect()
        };
        let last = self.pool.last.load(Ordering::Relaxed);
        let directory = self.context.tree.directory(&self.pool.path);
        let places = directory.all();
        let number = |place: &Arc<Place>| place.path().id().parse().ok();
        let there: BTreeSet<u32> = places.iter().filter_map(number).collect();
        for number in known.difference(&there) {
            let is_asked = self
                .leaving
                .get(number)
                .is_some_and(|leaving| leaving.is_asked);
            if !is_asked && !self.starting.contains(number) {
                self.gone(*number, "lost");
            }
        }
        for number in there.difference(&known).filter(|number| **number <= last) {
            let id: Arc<str> = number.to_string().into();
            self.ask(
                |answer| Message::Operate(Verb::Retire, id, answer),
                |_| None,
            );
        }
    }

    fn span(&self, from: u32, to: u32) -> Span {
        let edge = Edge::Start;
        let payload = Payload::PoolScale { edge, from, to };
        self.pool.span(&self.context.tree, payload)
    }

    fn grow(&mut self, from: u32, to: u32, cause: Trigger) {
        let mut waited_for = BTreeSet::new();
        for _ in from..to {
            match self.add_worker(cause) {
                Ok(number) => {
                    waited_for.insert(number);
                }
                Err(error) => {
                    // So would the next be: it is tried again when the gate of all starts says so.
                    self.failed = Some(error);
                    break;
                }
            }
        }
        let span = self.span(from, to);
        if waited_for.is_empty() {
            span.exception("no worker could be made");
        } else {
            self.spans.push((span, waited_for));
        }
    }

    /// One more worker: its number.
    fn add_worker(&mut self, cause: Trigger) -> Result<u32, BoxError> {
        let number = self.pool.last.fetch_add(1, Ordering::Relaxed) + 1;
        let tier = {
            let inner = self.pool.lock();
            let has = |tier: &str| inner.desk.crew().count_tag(tier);
            self.pool.rules.tier(has)
        };
        let tags: Vec<Arc<str>> = tier.iter().cloned().collect();
        let worker = Worker { number, tier };
        let spec = catch(AssertUnwindSafe(|| self.spec(&worker))).inspect_err(|panic| {
            let path = &self.pool.path;
            tracing::warn!(target: "regrow", pool = %path, number, %panic, "what makes its workers has panicked");
            if let Ok(permit) = self.pool.starts.try_acquire() {
                permit.failure();
            }
        })?;
        self.pool.lock().desk.add(number, tags, time::now());
        self.pool.emit(|| Payload::PoolWorkerAdded {
            worker: number.to_string().into(),
            cause,
        });
        self.starting.insert(number);
        self.ask(
            |answer| Message::StartChild(Box::new(spec), answer),
            move |result| Some(Done::Started(number, result)),
        );
        Ok(number)
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
            Done::Started(number, result) => {
                self.starting.remove(&number);
                if let Err(error) = result {
                    self.did_not_start(number, error);
                }
            }
            Done::Gone(number, cause, Ok(())) => self.gone(number, cause),
            Done::Gone(number, cause, Err(error)) if self.has_place(number) => {
                tracing::debug!(target: "regrow", pool = %self.pool.path, number, cause, %error, "a worker has not gone");
                if let Some(leaving) = self.leaving.get_mut(&number) {
                    leaving.is_asked_again_at(time::now());
                }
            }
            Done::Gone(number, cause, Err(_)) => self.gone(number, cause),
            Done::Refreshed(number, result) => {
                if let Err(error) = result {
                    tracing::debug!(target: "regrow", pool = %self.pool.path, number, %error, "a fresh worker did not start");
                }
                if self.has_place(number) {
                    // Its own rules go on with it.
                    self.leaving.remove(&number);
                    self.pool.keep(number);
                } else {
                    self.gone(number, "start_failed");
                }
            }
        }
    }

    fn did_not_start(&mut self, number: u32, error: OperateError) {
        tracing::debug!(target: "regrow", pool = %self.pool.path, number, %error, "a worker did not start");
        // One that is in the tree stays: its own rules go on with it, or it is parked for somebody to look at.
        self.did_not_come(number, &error.to_string());
        if !self.has_place(number) {
            self.gone(number, "start_failed");
        }
        self.failed = Some(error.into());
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

/// Waits until then, or for good.
async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
