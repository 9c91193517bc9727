//! The workers of a scenario, and what they wrote down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus};
use regrow::{ChildSpec, Control, Ignore, StartFailure, Started, StopCause};
use serde_json::{Value, json};

use super::lock;
use super::scenario::{Child, OnShutdown, Outcome, Reason};

/// Where the workers act: how often each was started, who of them lives, and what was written down.
#[derive(Default)]
pub(super) struct Stage {
    attempts: Mutex<HashMap<String, usize>>,
    lives: Mutex<HashMap<String, Life>>,
    events: Mutex<Vec<Value>>,
}

#[derive(Clone)]
struct Life {
    incarnation: u32,
    cell: ActorCell,
}

impl Stage {
    fn attempt(&self, path: &str) -> usize {
        let mut attempts = lock(&self.attempts);
        let attempt = attempts.entry(path.to_owned()).or_default();
        *attempt += 1;
        *attempt
    }

    fn write(&self, event: Value) {
        lock(&self.events).push(event);
    }

    fn started(&self, path: &str, cell: ActorCell) {
        let mut lives = lock(&self.lives);
        let incarnation = lives.get(path).map_or(0, |life| life.incarnation) + 1;
        lives.insert(path.to_owned(), Life { incarnation, cell });
        drop(lives);
        self.write(json!(["start", path, incarnation]));
    }

    pub(super) fn stopped(&self, path: &str, reason: &str) {
        let incarnation = lock(&self.lives).get(path).map(|life| life.incarnation);
        self.write(json!(["stop", path, incarnation, reason]));
    }

    pub(super) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *lock(&self.events))
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.events).len()
    }

    /// Whether a worker has ever lived there.
    pub(super) fn knows(&self, path: &str) -> bool {
        lock(&self.lives).contains_key(path)
    }

    /// Ends a worker and waits until it is gone.
    pub(super) async fn exit(&self, path: &str, reason: Reason) -> &'static str {
        let life = lock(&self.lives).get(path).cloned();
        let Some(Life { cell, .. }) = life else {
            return "noproc";
        };
        let gone = || {
            matches!(
                cell.get_status(),
                ActorStatus::Stopping | ActorStatus::Stopped
            )
        };
        if gone() {
            return "noproc";
        }
        match reason {
            Reason::Kill => cell.kill(),
            Reason::Normal | Reason::Shutdown | Reason::Crash => {
                // One that ends at this moment is waited for below.
                drop(cell.send_message(Leave(reason)));
            }
        }
        while !gone() {
            tokio::task::yield_now().await;
        }
        "ok"
    }
}

/// A worker that does what its script says.
struct Worker {
    path: String,
    init: Vec<Outcome>,
    stage: Arc<Stage>,
}

#[derive(Debug)]
struct Leave(Reason);

impl Actor for Worker {
    type Msg = Leave;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Leave>, (): ()) -> Result<(), ActorProcessingErr> {
        let attempt = self.stage.attempt(&self.path);
        let outcome = self.init.get(attempt - 1).or(self.init.last());
        match outcome.copied().unwrap_or(Outcome::Ok) {
            Outcome::Ok => {
                self.stage.started(&self.path, myself.get_cell());
                Ok(())
            }
            Outcome::Error => {
                self.stage.write(json!(["init_failed", self.path]));
                Err("the script says error".into())
            }
            Outcome::Crash => {
                self.stage.write(json!(["init_failed", self.path]));
                std::panic::resume_unwind(Box::new("the script says crash"))
            }
            Outcome::Ignore => {
                self.stage.write(json!(["ignore", self.path]));
                Err(Ignore.into())
            }
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<Leave>,
        Leave(reason): Leave,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match reason {
            Reason::Normal => myself.stop(None),
            Reason::Shutdown => myself.stop(Some("shutdown".to_owned())),
            Reason::Crash | Reason::Kill => return Err("boom".into()),
        }
        Ok(())
    }
}

/// Stops nobody: only a kill ends it.
struct Deaf(ActorCell);

impl Control for Deaf {
    fn stop(&self, _: StopCause) {}

    fn kill(&self) {
        self.0.kill();
    }
}

pub(super) fn spec(id: &str, path: &str, child: &Child, stage: &Arc<Stage>) -> ChildSpec {
    let (path, init, stage) = (path.to_owned(), child.init.clone(), Arc::clone(stage));
    let make = move || Worker {
        path: path.clone(),
        init: init.clone(),
        stage: Arc::clone(&stage),
    };
    match child.on_shutdown {
        OnShutdown::Stop => ChildSpec::actor_with(id, move || (make(), ())),
        OnShutdown::Ignore => ChildSpec::start_with(id, move |context| {
            let worker = make();
            async move {
                let spawned = Actor::spawn_linked(None, worker, (), context.supervisor()).await;
                let (actor, _) = spawned.map_err(StartFailure::from)?;
                let control = Arc::new(Deaf(actor.get_cell()));
                Ok::<_, StartFailure>(Started::from(actor).control(control))
            }
        }),
    }
}
