//! A start, from its first poll until it is known what it came to.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use regrow_core::Phase;
use regrow_core::supervision::{Directive, Who};
use tokio::sync::oneshot;

use super::{Message, State, ends};
use crate::breaker::gate::{Gate, Pass};
use crate::exit::{ExitReason, Follows, StartFailure};
use crate::started::Started;
use crate::supervisor::slot::Pending;
use crate::telemetry::Payload;

impl State {
    /// Begins a life: polls its start once here, and leaves it to a task if it is not done by then.
    pub(super) async fn start(&mut self, who: Who) {
        let now = self.emitter.now();
        let generation = self.core.generation(who.slot);
        let (myself, tree) = (self.myself.clone(), Arc::clone(&self.tree));
        let Some(slot) = self.slot(who.slot) else {
            return;
        };
        let is_admitted = slot.has_pass();
        if is_admitted && slot.asked.is_some() {
            // Let through, and asked to stop before its turn came.
            let cancelled = StartFailure::new(ExitReason::Cancelled, Follows::Retry);
            return self.start_failed(who, cancelled);
        }
        if !is_admitted {
            slot.begin(who, generation, now);
            if let Some(gate) = slot.spec.traits.gate.clone() {
                match gate.try_pass() {
                    Some(pass) => slot.make_past().pass = Some(pass),
                    None => return self.wait_for(who, gate),
                }
            }
        }
        let context = slot.context(who, myself.clone(), tree);
        let cause = context.tree.causes.of(context.path().as_str());
        let launch = Arc::clone(&slot.spec.launch);
        if !is_admitted {
            self.told(who.slot, Phase::Starting, None);
            self.begin_restart(who.slot);
        }
        self.pad.begin(&launch, context, cause);
        let first = poll_fn(|waker| Poll::Ready(self.pad.poll(waker))).await;
        // What has run may have taken its time.
        self.emitter.new_turn();
        match first {
            Ok(result) => self.launched(who, result),
            Err(start) => {
                let task = tokio::spawn(start);
                let pending = task.abort_handle();
                let (running, over) = oneshot::channel();
                tokio::spawn(async move {
                    let _running: oneshot::Sender<()> = running;
                    let cancelled = |_| StartFailure::new(ExitReason::Cancelled, Follows::Retry);
                    let result = task.await.map_err(cancelled).flatten();
                    if let Err(ractor::MessagingErr::SendErr(Message::Launched(_, Ok(orphan)))) =
                        myself.cast(Message::Launched(who, result))
                    {
                        orphan.kill();
                    }
                });
                self.starting += 1;
                if let Some(slot) = self.slot(who.slot) {
                    slot.start = Some(Box::new(Pending {
                        task: pending,
                        over,
                    }));
                }
                self.core.on_start_pending(who, now);
            }
        }
    }

    /// The breaker in front of its starts does not let this one through yet. Its timeout does not run meanwhile.
    fn wait_for(&mut self, who: Who, gate: Gate) {
        let why = format!("waits for breaker \"{}\"", gate.id());
        self.told(who.slot, Phase::Starting, Some(why.into()));
        self.begin_restart(who.slot);
        let task = tokio::spawn(async move { gate.admitted().await });
        let pending = task.abort_handle();
        let (running, over) = oneshot::channel();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let _running: oneshot::Sender<()> = running;
            let cancelled = |_| StartFailure::new(ExitReason::Cancelled, Follows::Retry);
            let pass = task.await.map_err(cancelled);
            // A supervisor that is gone starts nobody.
            drop(myself.cast(Message::Admitted(who, pass)));
        });
        self.starting += 1;
        if let Some(slot) = self.slot(who.slot) {
            slot.start = Some(Box::new(Pending {
                task: pending,
                over,
            }));
        }
        let directives = self.core.on_start_held_up(who, self.emitter.now());
        self.queue(directives);
    }

    /// The wait for a breaker is over. What is dropped here was not tried.
    pub(super) fn admitted(&mut self, who: Who, pass: Result<Pass, StartFailure>) {
        self.starting -= 1;
        if self.starting == 0 {
            self.no_start_under_way();
        }
        let Some(slot) = self.current(who) else {
            return;
        };
        slot.start = None;
        let is_wanted = slot.asked.is_none();
        match pass {
            Ok(pass) if is_wanted => {
                slot.make_past().pass = Some(pass);
                self.queue(vec![Directive::Start(who)]);
            }
            Ok(_) => {
                let cancelled = StartFailure::new(ExitReason::Cancelled, Follows::Retry);
                self.start_failed(who, cancelled);
            }
            Err(failure) => self.start_failed(who, failure),
        }
    }

    /// A start function has returned.
    pub(super) fn launched(&mut self, who: Who, result: Result<Started, StartFailure>) {
        let early = result
            .as_ref()
            .ok()
            .and_then(|started| self.early.remove(&started.cell.get_id()));
        let Some(slot) = self.current(who) else {
            // Given up on meanwhile: whoever came up has no place any more.
            if let Ok(started) = result {
                started.kill();
            }
            if let Some(event) = early {
                ends::discard(event);
            }
            return;
        };
        slot.start = None;
        let started = match result {
            Ok(started) => started,
            Err(failure) => return self.start_failed(who, failure),
        };
        let id = started.cell.get_id();
        slot.publish(started);
        let (asked, killed) = (slot.asked, slot.killed);
        if asked.is_none() && early.is_none() {
            self.begin_to_probe(who);
        }
        let Some(slot) = self.current(who) else {
            return;
        };
        let watched = slot.is_unproven();
        let waits = watched || slot.spec.traits.announced && !slot.announced;
        if let Some(event) = early {
            if asked.is_none() && !waits {
                // It has started, and ended before we were told of either.
                self.started(who);
            }
            return self.exited(who, event);
        }
        self.actors.insert(id, who);
        match asked {
            Some((cause, _)) => {
                let live = self.current(who).and_then(|slot| slot.live.as_ref());
                match live {
                    Some(live) if killed => live.kill(),
                    Some(live) => live.stop(cause),
                    None => {}
                }
            }
            None if watched => self.core.on_start_watched(who),
            None if waits => self.core.on_start_pending(who, self.emitter.now()),
            None => self.started(who),
        }
    }

    /// Whoever is linked to us now and has no place came from a start that was given up on.
    pub(super) fn no_start_under_way(&mut self) {
        for (_, event) in self.early.drain() {
            ends::discard(event);
        }
        if std::mem::take(&mut self.aborted) {
            for cell in self.myself.get_children() {
                if !self.actors.contains_key(&cell.get_id()) {
                    cell.kill();
                }
            }
        }
    }

    /// It may be given work from now on, it says.
    pub(super) fn says_ready(&mut self, who: Who) {
        let Some(slot) = self.current(who) else {
            return;
        };
        if slot.says_ready() && slot.may_be_given_work() {
            self.is_ready_now(who);
        }
    }

    /// It may be given no work, it says.
    pub(super) fn says_unready(&mut self, who: Who, why: Arc<str>) {
        let Some(slot) = self.current(who) else {
            return;
        };
        let was_ready = slot.is_ready();
        if !slot.says_unready() {
            return;
        }
        if was_ready {
            self.tell(who.slot, || Payload::ChildUnready { why });
        }
        self.core.on_unready(who);
    }

    /// It may be given work from now on, by its own word and that of its probes.
    pub(super) fn is_ready_now(&mut self, who: Who) {
        let now = self.emitter.now();
        let Some(slot) = self.current(who) else {
            return;
        };
        if slot.is_ready() {
            let took = now.saturating_duration_since(slot.born);
            self.tell(who.slot, || Payload::ChildReady { took });
        }
        let directives = self.core.on_ready(who, now);
        self.queue(directives);
    }

    pub(super) fn announced(&mut self, who: Who) {
        let Some(slot) = self.current(who) else {
            return;
        };
        slot.announced = true;
        if slot.is_proven() {
            self.started(who);
        }
    }
}
