//! What the shell holds of one child.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ractor::RpcReplyPort;
use regrow_core::supervision::Who;
use regrow_core::{Desired, Health, Phase, StopCause};
use tokio::task::AbortHandle;

use super::operate::{OperateError, StartReport};
use crate::address::Place;
use crate::child::{ChildInfo, ChildSpec, LastExit, Started};
use crate::exit::ExitReason;
use crate::path::ChildPath;
use crate::telemetry::{Counted, Identity, Outcome, Span, Subject};

/// What an operation waits for before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nobody lives there.
    Down,
    /// A life after this generation is up.
    UpAfter(u32),
}

/// Who waits for what becomes of a child.
pub(crate) enum Answer {
    /// One operation.
    One(RpcReplyPort<Result<ChildInfo, OperateError>>),
    /// One of many that were added together.
    Batch(Arc<Batch>, Arc<str>),
}

impl Answer {
    /// What it is about is only written down for those who read it.
    pub(crate) fn send(self, result: Result<impl FnOnce() -> ChildInfo, OperateError>) {
        match self {
            // Whoever has stopped waiting needs no answer.
            Self::One(reply) => drop(reply.send(result.map(|info| info()))),
            Self::Batch(batch, id) => batch.note(id, result.err()),
        }
    }

    pub(crate) fn refuse(self, error: OperateError) {
        self.send(Err::<fn() -> ChildInfo, _>(error));
    }
}

/// Children that were added together; answers when the last of them has been heard of.
pub(crate) struct Batch(Mutex<BatchState>);

struct BatchState {
    report: StartReport,
    left: usize,
    reply: Option<RpcReplyPort<Result<StartReport, OperateError>>>,
}

impl Batch {
    pub(crate) fn new(
        size: usize,
        reply: RpcReplyPort<Result<StartReport, OperateError>>,
    ) -> Arc<Self> {
        Arc::new(Self(Mutex::new(BatchState {
            report: StartReport::default(),
            left: size,
            reply: Some(reply),
        })))
    }

    fn note(&self, id: Arc<str>, error: Option<OperateError>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => state.report.failed.push((id, error)),
            None => state.report.started += 1,
        }
        state.left -= 1;
        if state.left == 0
            && let Some(reply) = state.reply.take()
        {
            let report = std::mem::take(&mut state.report);
            drop(reply.send(Ok(report)));
        }
    }
}

/// One place, as the shell sees it: the core decides by its own.
pub(crate) struct Slot {
    pub(crate) spec: ChildSpec,
    pub(crate) path: ChildPath,
    pub(crate) identity: Arc<Identity>,
    pub(crate) place: Arc<Place>,
    pub(crate) class: Arc<Counted>,
    /// As it was last told.
    pub(crate) phase: Phase,
    pub(crate) desired: Desired,
    pub(crate) generation: u32,
    /// The generations that the place has seen before this life of its supervisor.
    pub(crate) generations_before: u32,
    pub(crate) restarts: u32,
    pub(crate) dynamic: bool,

    pub(crate) who: Option<Who>,
    pub(crate) live: Option<Started>,
    pub(crate) start: Option<AbortHandle>,
    /// It announced itself before its start function returned.
    pub(crate) announced: bool,
    pub(crate) asked: Option<(StopCause, Instant)>,
    pub(crate) killed: bool,
    /// It is ended by force without having been asked.
    pub(crate) unasked: bool,
    /// Its start took too long, so it is being ended.
    pub(crate) timed_out: bool,
    /// It asked not to be started.
    pub(crate) ignored: bool,

    pub(crate) born: Instant,
    pub(crate) up_since: Option<Instant>,
    pub(crate) died_at: Option<Instant>,
    /// The restart under way.
    pub(crate) restarting: Option<Span>,
    pub(crate) uptime: Duration,
    pub(crate) started_at: Option<SystemTime>,
    pub(crate) next_start_at: Option<SystemTime>,
    pub(crate) attempt: u32,
    pub(crate) restarts_in_window: u32,
    pub(crate) failed: bool,
    pub(crate) last_exit: Option<LastExit>,
    pub(crate) parked_because: Option<String>,
    pub(crate) waiters: Vec<(Until, Answer)>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(start) = &self.start {
            start.abort();
        }
        // By now the next life of the whole supervisor may have filled the place again.
        if let Some(live) = &self.live {
            self.place.clear_of(live.cell.get_id());
        }
    }
}

impl Slot {
    pub(crate) fn new(
        spec: ChildSpec,
        path: ChildPath,
        place: Arc<Place>,
        class: Arc<Counted>,
        dynamic: bool,
        now: Instant,
    ) -> Self {
        let identity = identity(&spec, &path, &class);
        let phase = if dynamic {
            Phase::Stopped
        } else {
            Phase::Pending
        };
        let lived_before = place.generation();
        class.enter(phase);
        Self {
            spec,
            path,
            identity,
            place,
            class,
            phase,
            desired: Desired::Up,
            generation: lived_before,
            generations_before: lived_before,
            restarts: 0,
            dynamic,
            who: None,
            live: None,
            start: None,
            announced: false,
            asked: None,
            killed: false,
            unasked: false,
            timed_out: false,
            ignored: false,
            born: now,
            up_since: None,
            died_at: None,
            restarting: None,
            uptime: Duration::ZERO,
            started_at: None,
            next_start_at: None,
            attempt: 0,
            restarts_in_window: 0,
            failed: false,
            last_exit: None,
            parked_because: None,
            waiters: Vec::new(),
        }
    }

    /// It is another child from now on, in the same place.
    pub(crate) fn respec(&mut self, spec: ChildSpec, class: Arc<Counted>) {
        self.class.leave(self.phase);
        class.enter(self.phase);
        self.identity = identity(&spec, &self.path, &class);
        self.class = class;
        self.spec = spec;
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            identity: Arc::clone(&self.identity),
            generation: self.generation,
            phase: self.phase,
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase) -> Phase {
        self.class.leave(self.phase);
        self.class.enter(phase);
        std::mem::replace(&mut self.phase, phase)
    }

    /// A new life begins.
    pub(crate) fn begin(&mut self, who: Who, generation: u32, now: Instant) {
        self.who = Some(who);
        self.generation = self.generations_before + generation;
        self.place.set_generation(self.generation);
        self.born = now;
        self.up_since = None;
        self.started_at = None;
        self.next_start_at = None;
        self.asked = None;
        self.killed = false;
        self.timed_out = false;
        self.ignored = false;
        self.unasked = false;
        self.announced = false;
        self.parked_because = None;
        if std::mem::take(&mut self.failed) {
            self.restarts += 1;
        } else {
            // For a sibling's sake, or for an operator's.
            self.attempt = 0;
        }
    }

    /// How the end came about, seen from here.
    pub(crate) fn outcome(&self, reason: &ExitReason) -> Outcome {
        let by_force = matches!(reason, ExitReason::Killed);
        match (self.asked, by_force) {
            (None, false) => Outcome::ByItself,
            (None, true) => Outcome::Killed,
            (Some(_), false) => Outcome::Graceful,
            (Some(_), true) if self.unasked => Outcome::Killed,
            (Some(_), true) => Outcome::Escalated,
        }
    }

    pub(crate) fn info(&self) -> ChildInfo {
        ChildInfo {
            path: self.path.clone(),
            id: Arc::clone(&self.spec.id),
            kind: self.spec.kind,
            type_name: Arc::clone(&self.identity.type_name),
            tags: self.spec.tags.clone(),
            depends_on: self.spec.depends_on.clone(),
            required: self.spec.required,
            phase: self.phase,
            desired: self.desired,
            ready: self.phase == Phase::Running,
            health: Health::Unknown,
            generation: self.generation,
            restarts: self.restarts,
            started_at: self.started_at,
            next_start_at: self.next_start_at,
            last_exit: self.last_exit.clone(),
            parked_because: self.parked_because.clone(),
        }
    }

    /// An operation begins that wants `until`: those that want the opposite have been overtaken.
    pub(crate) fn overtake(&mut self, until: Until) {
        let path = self.path.clone();
        let opposite = |other: &Until| {
            matches!(
                (until, other),
                (Until::Down, Until::UpAfter(_)) | (Until::UpAfter(_), Until::Down)
            )
        };
        let (overtaken, others) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|(until, _)| opposite(until));
        self.waiters = others;
        for (_, answer) in overtaken {
            answer.refuse(OperateError::Overtaken { path: path.clone() });
        }
    }

    /// Answers those whose effect is visible now.
    pub(crate) fn answer_waiters(&mut self) {
        if self.waiters.is_empty() {
            return;
        }
        for (until, answer) in std::mem::take(&mut self.waiters) {
            match self.seen(until) {
                Some(Ok(())) => answer.send(Ok(|| self.info())),
                Some(Err(error)) => answer.refuse(error),
                None => self.waiters.push((until, answer)),
            }
        }
    }

    /// The place goes: whoever waited for a start has waited in vain.
    pub(crate) fn answer_all(&mut self) {
        for (until, answer) in std::mem::take(&mut self.waiters) {
            match until {
                Until::UpAfter(_) if !self.ignored => answer.refuse(self.did_not_start()),
                Until::Down | Until::UpAfter(_) => answer.send(Ok(|| self.info())),
            }
        }
    }

    fn seen(&self, until: Until) -> Option<Result<(), OperateError>> {
        match until {
            Until::Down => (!self.phase.is_alive()).then_some(Ok(())),
            Until::UpAfter(generation) => match self.phase {
                Phase::Running if self.generation > generation => Some(Ok(())),
                Phase::Completed if self.generation > generation && self.ignored => Some(Ok(())),
                // Parked again without a life of its own: what it depends on was given up on.
                Phase::Failed if self.parked_because.is_some() => Some(Err(self.did_not_start())),
                Phase::Backoff | Phase::Failed | Phase::Completed | Phase::Stopped
                    if self.generation > generation =>
                {
                    Some(Err(self.did_not_start()))
                }
                Phase::Pending
                | Phase::Starting
                | Phase::Running
                | Phase::Paused
                | Phase::Draining
                | Phase::Stopping
                | Phase::Backoff
                | Phase::Completed
                | Phase::Stopped
                | Phase::Failed => None,
            },
        }
    }

    fn did_not_start(&self) -> OperateError {
        OperateError::DidNotStart {
            path: self.path.clone(),
            reason: self
                .last_exit
                .as_ref()
                .map_or(ExitReason::Cancelled, |exit| exit.reason.clone()),
            next_start_at: self.next_start_at,
        }
    }
}

fn identity(spec: &ChildSpec, path: &ChildPath, class: &Arc<Counted>) -> Arc<Identity> {
    Arc::new(Identity {
        path: path.clone(),
        kind: spec.kind,
        type_name: type_name_of(spec),
        class: Some(Arc::clone(class)),
    })
}

/// What a child is in the user's words; its kind, where the user has none.
pub(crate) fn type_name_of(spec: &ChildSpec) -> Arc<str> {
    spec.type_name
        .clone()
        .unwrap_or_else(|| spec.kind.as_str().into())
}
