//! Plays the scenarios that were recorded from Erlang/OTP's `supervisor` on a real [`System`], on paused time.
//!
//! A worker is an actor whose start does what its script says. What it did at its start it writes down itself, as the workers
//! of the recording did; how it ended is read from the system's event stream. Nothing of an answer is translated but what is
//! about addressing: OTP knows dynamic children by pid, regrow by id.

mod check;
mod scenario;
mod worker;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regrow::telemetry::Telemetry;
use regrow::{
    ChildCounts, ChildInfo, ChildKind, ChildSpec, DynamicSupervisor, Event, ExitKind, OperateError,
    Payload, Phase, Supervisor, System,
};
use serde_json::{Value, json};

pub use check::{Comparison, compare};
pub use scenario::Scenario;
use scenario::{Child, Step, Strategy, Tree};
use worker::Stage;

/// How long, in paused time, between two looks that have to agree.
const LOOK: Duration = Duration::from_millis(15);

/// How many looks until a system that is never quiet is one too many.
const MAX_LOOKS: usize = 100_000;

/// Plays a scenario and answers with its observations: one after the start and one after each step.
///
/// # Errors
/// When no runtime can be made.
pub fn play(scenario: &Scenario) -> io::Result<Vec<Value>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(async {
        let mut player = Player::start(scenario).await;
        let first = if player.started { "ok" } else { "error" };
        let mut observations = vec![player.observe(first).await];
        for step in &scenario.steps {
            let result = player.perform(step).await;
            observations.push(player.observe(result).await);
        }
        observations
    }))
}

/// A system that plays a scenario.
struct Player {
    system: Option<System>,
    stage: Arc<Stage>,
    kinds: HashMap<String, Strategy>,
    /// How many children each dynamic supervisor was asked to start.
    numbers: HashMap<String, u32>,
    template: HashMap<String, Child>,
    started: bool,
}

/// `a/b` as the scenario says it, `root/a/b` as the system does. A dynamic child is `#1` there and `1` here.
fn path_in_system(path: &str) -> String {
    if path.is_empty() {
        return "root".to_owned();
    }
    format!("root/{}", path.replace('#', ""))
}

fn join(parent: &str, id: &str) -> String {
    if parent.is_empty() {
        id.to_owned()
    } else {
        format!("{parent}/{id}")
    }
}

impl Player {
    async fn start(scenario: &Scenario) -> Self {
        let stage = Arc::new(Stage::default());
        let mut player = Self {
            system: None,
            stage,
            kinds: HashMap::new(),
            numbers: HashMap::new(),
            template: HashMap::new(),
            started: false,
        };
        let tree = player.supervisor("root", "", &scenario.supervisor);
        let telemetry = Telemetry::default();
        let (stage, kinds) = (Arc::clone(&player.stage), player.kinds.clone());
        let record = move |event: &Event| record(&stage, &kinds, event);
        if telemetry.attach("recorder", record).is_err() {
            return player;
        }
        if let Ok(system) = System::launch_with(tree, telemetry).await {
            player.started = system.booted().await.is_ok();
            player.system = Some(system);
        }
        player
    }

    fn supervisor(&mut self, id: &str, path: &str, tree: &Tree) -> Supervisor {
        self.kinds.insert(path.to_owned(), tree.strategy);
        if tree.strategy == Strategy::SimpleOneForOne {
            if let Some(template) = tree.children.first() {
                self.template.insert(path.to_owned(), template.clone());
            }
            return DynamicSupervisor::new(id)
                .otp_compat()
                .max_restarts(tree.intensity, Duration::from_secs(tree.period))
                .into();
        }
        let supervisor = Supervisor::new(id)
            .otp_compat()
            .strategy(tree.strategy.into())
            .max_restarts(tree.intensity, Duration::from_secs(tree.period))
            .auto_shutdown(tree.auto_shutdown.into());
        tree.children.iter().fold(supervisor, |supervisor, child| {
            let path = join(path, &child.id);
            supervisor.child(self.child(&child.id, &path, child))
        })
    }

    fn child(&mut self, id: &str, path: &str, child: &Child) -> ChildSpec {
        let spec = match &child.supervisor {
            Some(tree) => self.supervisor(id, path, tree).into(),
            None => worker::spec(id, path, child, &self.stage),
        };
        let spec = spec
            .restart(child.restart.into())
            .shutdown(child.shutdown.in_words());
        if child.significant {
            spec.significant()
        } else {
            spec
        }
    }

    fn running(&self) -> Option<&System> {
        self.system
            .as_ref()
            .filter(|system| self.started && system.end_reason().is_none())
    }

    async fn perform(&mut self, step: &Step) -> &'static str {
        if let Step::StartChild { sup, spec } = step {
            let (sup, spec) = (sup.clone(), spec.clone());
            return self.start_child(&sup, spec).await;
        }
        let Some(system) = self.running() else {
            return "noproc";
        };
        let on = |sup: &str, id: &str| path_in_system(&join(sup, id));
        match step {
            Step::Exit { child, reason } => self.stage.exit(child, *reason).await,
            Step::Shutdown => {
                drop(system.shut_down().await);
                "ok"
            }
            Step::TerminateChild { sup, id } => {
                let answer = system.terminate_child(&on(sup, id)).await;
                let known_by_pid = self.is_dynamic(sup) && self.stage.knows(&join(sup, id));
                match answer {
                    Ok(_) => "ok",
                    Err(OperateError::NotFound { .. }) if known_by_pid => "ok",
                    Err(error) => in_words(&error),
                }
            }
            Step::RestartChild { sup, id } => {
                let answer = system.restart_child(&on(sup, id)).await;
                self.by_id(sup, started(&answer))
            }
            Step::DeleteChild { sup, id } => {
                let answer = system.delete_child(&on(sup, id)).await;
                let result = answer.map_or_else(|error| in_words(&error), |_| "ok");
                self.by_id(sup, result)
            }
            Step::StartChild { .. } => "noproc",
        }
    }

    /// OTP's dynamic children have no ids to operate on.
    fn by_id(&self, sup: &str, result: &'static str) -> &'static str {
        if self.is_dynamic(sup) && result != "noproc" {
            "unsupported"
        } else {
            result
        }
    }

    fn is_dynamic(&self, sup: &str) -> bool {
        self.kinds.get(sup) == Some(&Strategy::SimpleOneForOne)
    }

    async fn start_child(&mut self, sup: &str, spec: Option<Child>) -> &'static str {
        let spec = match (self.template.get(sup), spec) {
            (Some(template), _) => {
                let running = match self.running() {
                    Some(system) => system.count_children(&path_in_system(sup)).await.is_ok(),
                    None => false,
                };
                // A supervisor that is not there does not count the calls.
                if !running {
                    return "noproc";
                }
                let template = template.clone();
                let number = self.numbers.entry(sup.to_owned()).or_default();
                *number += 1;
                let id = number.to_string();
                let path = join(sup, &format!("#{id}"));
                self.child(&id, &path, &template)
            }
            (None, Some(child)) => self.child(&child.id.clone(), &join(sup, &child.id), &child),
            (None, None) => return "error",
        };
        match self.running() {
            Some(system) => started(&system.start_child(&path_in_system(sup), spec).await),
            None => "noproc",
        }
    }

    async fn observe(&self, result: &str) -> Value {
        let tree = self.settle().await;
        let exit = match self.system.as_ref().and_then(System::end_reason) {
            _ if !self.started => Value::from("not_started"),
            Some(reason) => Value::from(reason_in_words(reason.kind())),
            None => Value::Null,
        };
        json!({
            "result": result,
            "alive": exit.is_null(),
            "exit": exit,
            "events": self.stage.take(),
            "tree": tree,
        })
    }

    /// Waits until nobody is on the way up or down and two looks agree.
    async fn settle(&self) -> Value {
        let mut last = None;
        for _ in 0..MAX_LOOKS {
            let look = (self.look("").await, self.stage.len());
            if !look.0.moving && last.as_ref() == Some(&look) {
                return look.0.tree;
            }
            last = Some(look);
            tokio::time::sleep(LOOK).await;
        }
        Value::from("never quiet")
    }

    async fn look(&self, path: &str) -> Look {
        let Some(system) = self.running() else {
            return Look::default();
        };
        let here = path_in_system(path);
        let (Ok(counts), Ok(children)) = (
            system.count_children(&here).await,
            system.which_children(&here).await,
        ) else {
            return Look::default();
        };
        let mut look = Look::default();
        let mut rows = Vec::new();
        for child in &children {
            look.moving |= is_moving(child);
            let mut row = json!({ "id": &*child.id, "state": state(child.phase) });
            if self.is_dynamic(path) {
                row["id"] = format!("#{}", child.id).into();
            } else if child.kind == ChildKind::Supervisor && child.phase == Phase::Running {
                let below = Box::pin(self.look(&join(path, &child.id))).await;
                look.moving |= below.moving;
                row["tree"] = below.tree;
            }
            rows.push(row);
        }
        if self.is_dynamic(path) {
            rows.sort_by_key(ToString::to_string);
        }
        let ChildCounts {
            specs,
            active,
            supervisors,
            workers,
            ..
        } = counts;
        look.tree = json!({
            "specs": specs, "active": active, "supervisors": supervisors, "workers": workers, "children": rows,
        });
        look
    }
}

#[derive(Default, PartialEq)]
struct Look {
    tree: Value,
    moving: bool,
}

fn is_moving(child: &ChildInfo) -> bool {
    match child.phase {
        Phase::Pending | Phase::Starting | Phase::Draining | Phase::Stopping | Phase::Backoff => {
            true
        }
        Phase::Running | Phase::Paused | Phase::Completed | Phase::Stopped | Phase::Failed => false,
    }
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "running",
        Phase::Backoff => "restarting",
        Phase::Pending
        | Phase::Starting
        | Phase::Paused
        | Phase::Draining
        | Phase::Stopping
        | Phase::Completed
        | Phase::Stopped
        | Phase::Failed => "stopped",
    }
}

fn started(answer: &Result<ChildInfo, OperateError>) -> &'static str {
    match answer {
        Ok(child) if child.phase == Phase::Completed => "ignored",
        Ok(_) => "ok",
        Err(error) => in_words(error),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors that OTP has no word for"
)]
fn in_words(error: &OperateError) -> &'static str {
    match error {
        OperateError::NotFound { .. } => "not_found",
        OperateError::AlreadyStarted { .. } => "already_started",
        OperateError::AlreadyPresent { .. } => "already_present",
        OperateError::Running { .. } => "running",
        OperateError::Restarting { .. } => "restarting",
        OperateError::Gone { .. } | OperateError::Closing { .. } => "noproc",
        _ => "error",
    }
}

fn reason_in_words(kind: ExitKind) -> &'static str {
    match kind {
        ExitKind::Normal => "normal",
        ExitKind::Shutdown => "shutdown",
        ExitKind::Killed => "killed",
        ExitKind::Error
        | ExitKind::Panic
        | ExitKind::StartFailed
        | ExitKind::StartTimeout
        | ExitKind::Intensity
        | ExitKind::Cancelled
        | ExitKind::Unresponsive
        | ExitKind::Exit(_)
        | ExitKind::Signal(_) => "crash",
    }
}

/// Writes down how a worker ended.
fn record(stage: &Stage, kinds: &HashMap<String, Strategy>, event: &Event) {
    let Payload::ChildTerminated { reason, .. } = &event.payload else {
        return;
    };
    if event.subject.kind == ChildKind::Supervisor {
        return;
    }
    let path = event.subject.path.as_str();
    let path = path.strip_prefix("root/").unwrap_or(path);
    let (parent, id) = path.rsplit_once('/').unwrap_or(("", path));
    let path = if kinds.get(parent) == Some(&Strategy::SimpleOneForOne) {
        join(parent, &format!("#{id}"))
    } else {
        path.to_owned()
    };
    stage.stopped(&path, reason_in_words(reason.kind()));
}

/// A lock that a panic has not spoilt.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
