//! What the shell holds of one child.

mod fit;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ractor::{ActorId, ActorRef};
use regrow_core::health::Criticality;
use regrow_core::index::{LeaveReason, Profile};
use regrow_core::supervision::{ChildPlan, Who};
use regrow_core::{Desired, Phase, Restart, StopCause};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::answer::{Until, Waiters};
use super::operate::OperateError;
use super::{Message, Tree};
use crate::address::Place;
use crate::breaker::Ended;
use crate::breaker::gate::Pass;
use crate::child::{ChildInfo, ChildSpec, LastExit, StartContext, Traits};
use crate::exit::ExitReason;
use crate::path::ChildPath;
use crate::probe::Probing;
use crate::registry::{Follows, News, Stand};
use crate::started::Started;
use crate::telemetry::{Counted, Identity, Outcome, Span, Subject};
use crate::watchdog::WaitsFor;

/// What children of one kind share.
#[derive(Clone)]
pub(crate) struct Kin {
    pub(crate) traits: Arc<Traits>,
    /// As their supervisor goes by it.
    pub(crate) plan: Arc<ChildPlan>,
    pub(crate) class: Arc<Counted>,
    pub(crate) type_name: Arc<str>,
    /// As it is found by.
    pub(crate) profile: Arc<Profile>,
}

/// A start that runs on a task of its own.
pub(crate) struct Pending {
    pub(crate) task: AbortHandle,
    /// Done when the task is; where code does not come back that may be long after it was aborted.
    pub(crate) over: oneshot::Receiver<()>,
}

/// One place, as the shell sees it: the core decides by its own. Kept small: a supervisor may have a million.
pub(crate) struct Slot {
    pub(crate) spec: ChildSpec,
    pub(crate) identity: Arc<Identity>,
    pub(crate) place: Arc<Place>,
    pub(crate) who: Option<Who>,
    pub(crate) live: Option<Started>,
    pub(crate) start: Option<Box<Pending>>,
    pub(crate) asked: Option<(StopCause, Instant)>,
    pub(crate) born: Instant,
    pub(crate) up_since: Option<Instant>,
    pub(crate) started_at: Option<SystemTime>,
    pub(crate) waiters: Waiters,
    /// Who asks how the present life is.
    pub(crate) probing: Option<Box<Probing>>,
    /// Why the present life is to be ended that nobody wishes to end.
    pub(crate) why_condemned: Option<Arc<str>>,
    /// Only of a child that has a past.
    past: Option<Box<Past>>,
    pub(crate) generation: u32,
    /// The generations that the place has seen before this life of its supervisor.
    pub(crate) generations_before: u32,
    /// As it was last told.
    pub(crate) phase: Phase,
    pub(crate) desired: Desired,
    pub(crate) dynamic: bool,
    /// Its address leads to the present life.
    published: bool,
    /// The present life may be given work as soon as it is up: it has said so, or need not.
    may_work: bool,
    /// It announced itself before its start function returned.
    pub(crate) announced: bool,
    pub(crate) killed: bool,
    /// It is ended by force without having been asked.
    pub(crate) unasked: bool,
    /// Its start took too long, so it is being ended.
    pub(crate) timed_out: bool,
    /// It asked not to be started.
    pub(crate) ignored: bool,
}

/// What earlier lives have left.
#[derive(Default)]
pub(crate) struct Past {
    pub(crate) restarts: u32,
    pub(crate) attempt: u32,
    pub(crate) restarts_in_window: u32,
    /// The next start is a restart.
    pub(crate) failed: bool,
    pub(crate) died_at: Option<Instant>,
    /// The restart under way.
    pub(crate) restarting: Option<Span>,
    pub(crate) uptime: Duration,
    pub(crate) next_start_at: Option<SystemTime>,
    pub(crate) last_exit: Option<LastExit>,
    pub(crate) parked_because: Option<String>,
    /// The start under way is a call through a breaker.
    pub(crate) pass: Option<Pass>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(start) = &self.start {
            start.task.abort();
        }
        // By now the next life of the whole supervisor may have filled the place again.
        if let (Some(live), true) = (&self.live, self.published) {
            self.place.clear_of(live.cell.get_id());
        }
    }
}

impl Slot {
    pub(crate) fn new(
        mut spec: ChildSpec,
        kin: Kin,
        path: ChildPath,
        place: Arc<Place>,
        dynamic: bool,
        now: Instant,
    ) -> Self {
        spec.traits = Arc::clone(&kin.traits);
        let identity = identity(kin, path);
        let enabled = spec.traits.plan.enabled;
        let phase = if dynamic || !enabled {
            Phase::Stopped
        } else {
            Phase::Pending
        };
        let lived_before = place.generation();
        let wanted = if dynamic || enabled {
            spec.traits.plan.wanted()
        } else {
            Desired::Down
        };
        let slot = Self {
            spec,
            identity,
            place,
            who: None,
            live: None,
            start: None,
            asked: None,
            born: now,
            up_since: None,
            started_at: None,
            waiters: Waiters::None,
            probing: None,
            why_condemned: None,
            past: None,
            generation: lived_before,
            generations_before: lived_before,
            phase,
            desired: wanted,
            dynamic,
            published: false,
            may_work: false,
            announced: false,
            killed: false,
            unasked: false,
            timed_out: false,
            ignored: false,
        };
        slot.class().enter(phase);
        slot
    }

    /// Whether it may be given work.
    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.may_be_given_work()
    }

    /// It says that it may be given work; whether that is news.
    pub(crate) fn says_ready(&mut self) -> bool {
        let may_be = match self.phase {
            Phase::Starting => true,
            Phase::Running | Phase::Paused => self.published,
            Phase::Pending
            | Phase::Draining
            | Phase::Stopping
            | Phase::Backoff
            | Phase::Completed
            | Phase::Stopped
            | Phase::Failed => false,
        };
        may_be && !std::mem::replace(&mut self.may_work, true)
    }

    pub(crate) fn path(&self) -> &ChildPath {
        &self.identity.path
    }

    pub(crate) fn class(&self) -> &Counted {
        self.identity
            .class
            .as_ref()
            .expect("a child of a supervisor is counted there")
    }

    /// What earlier lives have left, if there is anything.
    pub(crate) fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    pub(crate) fn past_mut(&mut self) -> Option<&mut Past> {
        self.past.as_deref_mut()
    }

    /// What earlier lives have left; from now on there is something.
    pub(crate) fn make_past(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }

    /// Whether the start under way was let through, or needs not be.
    pub(crate) fn has_pass(&self) -> bool {
        self.past().is_some_and(|past| past.pass.is_some())
    }

    /// It is known what the start under way has come to, if it was let through by a breaker.
    pub(crate) fn give_back_pass(&mut self, ended: Ended) {
        if let Some(pass) = self.past_mut().and_then(|past| past.pass.take()) {
            pass.settle(ended);
        }
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.past().map_or(0, |past| past.attempt)
    }

    /// How the last life ended.
    pub(crate) fn last_reason(&self) -> Option<&ExitReason> {
        Some(&self.past()?.last_exit.as_ref()?.reason)
    }

    /// An operator has begun anew.
    pub(crate) fn forgive(&mut self) {
        if let Some(past) = self.past_mut() {
            past.attempt = 0;
            past.failed = false;
        }
    }

    /// It is another child from now on, in the same place.
    pub(crate) fn respec(&mut self, spec: ChildSpec, kin: Kin) {
        self.class().leave(self.phase);
        kin.class.enter(self.phase);
        self.place.standing.replace(Arc::clone(&kin.profile));
        self.identity = identity(kin, self.path().clone());
        if self.desired != Desired::Down {
            self.desired = spec.traits.plan.wanted();
        }
        self.spec = spec;
    }

    /// From now on the address leads to this life.
    pub(crate) fn publish(&mut self, life: Started) {
        self.place
            .publish(life.cell.clone(), life.vitals.as_ref().map(Arc::clone));
        self.published = true;
        self.live = Some(life);
    }

    /// From now on the address leads nowhere, and nobody finds it ready. It costs something, so it is done once.
    pub(crate) fn unpublish(&mut self) {
        self.may_work = false;
        if std::mem::take(&mut self.published) {
            self.place.standing.unready();
            self.place.clear();
            self.tell_pool(self.phase, false);
        }
    }

    /// Writes where everybody can read it how this child is; whether that is news.
    pub(crate) fn pin(&self, at: SystemTime) -> bool {
        let (generation, phase) = (self.generation, self.phase);
        let fitness = self.fitness();
        if self.place.standing.word().is(generation, phase, fitness) {
            return false;
        }
        self.place.standing.enter(generation, phase, fitness, at);
        self.tell_pool(phase, fitness.ready);
        true
    }

    /// The news that it is in another phase.
    pub(crate) fn news(&self, at: SystemTime) -> News {
        News::Phase(Arc::clone(&self.place), self.stand(at))
    }

    /// How it stands, since it was last pinned.
    pub(crate) fn stand(&self, at: SystemTime) -> Stand {
        Stand {
            change: self.place.standing.change(),
            generation: self.generation,
            phase: self.phase,
            fitness: self.fitness(),
            at,
        }
    }

    /// Its supervisor is gone: its place goes too, or waits for the next life of the supervisor, if that does not hold it already.
    pub(crate) fn let_go(
        &mut self,
        leaves: bool,
        supervisor: ActorId,
        at: SystemTime,
    ) -> Option<(Follows, News)> {
        if leaves {
            self.place.standing.go();
            self.leave_pool();
            return Some((Follows::Profiles, self.farewell(LeaveReason::Removed)));
        }
        self.phase = Phase::Pending;
        let is_news = self.place.is_held_by(supervisor) && self.pin(at);
        is_news.then(|| (Follows::Phases, self.news(at)))
    }

    /// The news that its place is gone.
    pub(crate) fn farewell(&self, reason: LeaveReason) -> News {
        News::Removed {
            place: Arc::clone(&self.place),
            generation: self.generation,
            reason,
        }
    }

    /// Why its place goes.
    pub(crate) fn leave_reason(&self) -> LeaveReason {
        match self.last_reason() {
            Some(reason) if self.desired != Desired::Down => LeaveReason::Ended(reason.kind()),
            Some(_) | None => LeaveReason::Removed,
        }
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            identity: Arc::clone(&self.identity),
            generation: self.generation,
            phase: self.phase,
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase) -> Phase {
        self.class().leave(self.phase);
        self.class().enter(phase);
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
        self.asked = None;
        self.killed = false;
        self.timed_out = false;
        self.ignored = false;
        self.unasked = false;
        self.announced = false;
        self.probing = None;
        self.why_condemned = None;
        self.may_work = self.spec.traits.plan.ready_within.is_none();
        if let Some(past) = self.past_mut() {
            past.next_start_at = None;
            past.parked_because = None;
            if std::mem::take(&mut past.failed) {
                past.restarts += 1;
            } else {
                // For a sibling's sake, or for an operator's.
                past.attempt = 0;
            }
        }
    }

    /// What a life is told of itself.
    pub(crate) fn context(
        &self,
        who: Who,
        supervisor: ActorRef<Message>,
        tree: Arc<Tree>,
    ) -> StartContext {
        let past = self.past();
        StartContext {
            subject: Subject {
                phase: Phase::Starting,
                ..self.subject()
            },
            who,
            attempt: self.attempt(),
            last_exit: self.last_reason().cloned(),
            uptime: past.map_or_else(Default::default, |past| past.uptime),
            restarts_in_window: past.map_or(0, |past| past.restarts_in_window),
            supervisor,
            tree,
        }
    }

    /// Whether what it is started from is of no use any more: OTP does not keep it for one that is never started again.
    pub(crate) fn is_forgotten(&self, otp_compat: bool) -> bool {
        otp_compat && self.spec.traits.plan.restart == Restart::Temporary
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
        let past = self.past();
        ChildInfo {
            path: self.path().clone(),
            id: Arc::clone(&self.spec.id),
            kind: self.spec.traits.kind,
            type_name: Arc::clone(&self.identity.type_name),
            tags: self.spec.traits.tags.clone(),
            depends_on: self.spec.traits.depends_on.ids(),
            required: self.spec.traits.role.criticality == Criticality::Required,
            phase: self.phase,
            desired: self.desired,
            ready: self.is_ready(),
            health: self.health(),
            probes: self
                .probing
                .as_ref()
                .map_or_else(Vec::new, |probing| probing.reports()),
            generation: self.generation,
            restarts: past.map_or(0, |past| past.restarts),
            started_at: self.started_at,
            next_start_at: past.and_then(|past| past.next_start_at),
            last_exit: past.and_then(|past| past.last_exit.clone()),
            parked_because: past.and_then(|past| past.parked_because.clone()),
            unresponsive: self.place.lingering(),
        }
    }

    /// An operation begins that wants `until`: those that want the opposite have been overtaken.
    pub(crate) fn overtake(&mut self, until: Until) {
        let (path, id) = (self.identity.path.clone(), Arc::clone(&self.spec.id));
        self.waiters.retain(|other, answer| match (until, other) {
            (Until::Down, Until::UpAfter(_) | Until::Held)
            | (Until::UpAfter(_), Until::Down | Until::Held) => {
                answer.refuse(&id, OperateError::Overtaken { path: path.clone() });
                None
            }
            (Until::Held, _)
            | (Until::Down, Until::Down)
            | (Until::UpAfter(_), Until::UpAfter(_)) => Some((other, answer)),
        });
    }

    /// Answers those whose effect is visible now.
    pub(crate) fn answer_waiters(&mut self) {
        if matches!(self.waiters, Waiters::None) {
            return;
        }
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain(|until, answer| {
            match self.seen(until) {
                Some(Ok(())) => answer.tell(|| self.info()),
                Some(Err(error)) => answer.refuse(&self.spec.id, error),
                None => return Some((until, answer)),
            }
            None
        });
        self.waiters = waiters;
    }

    /// Answers those who wait for it to be held, or to go on: it is.
    pub(crate) fn answer_held(&mut self) {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain(|until, answer| {
            if until != Until::Held {
                return Some((until, answer));
            }
            answer.tell(|| self.info());
            None
        });
        self.waiters = waiters;
    }

    fn overtaken(&self) -> OperateError {
        OperateError::Overtaken {
            path: self.path().clone(),
        }
    }

    /// The place goes: whoever waited for a start has waited in vain.
    pub(crate) fn answer_all(&mut self) {
        std::mem::take(&mut self.waiters).retain(|until, answer| {
            match until {
                Until::UpAfter(_) if !self.ignored && !self.is_done() => {
                    answer.refuse(&self.spec.id, self.did_not_start());
                }
                Until::Held => answer.refuse(&self.spec.id, self.overtaken()),
                Until::Down | Until::UpAfter(_) => answer.tell(|| self.info()),
            }
            None
        });
    }

    fn seen(&self, until: Until) -> Option<Result<(), OperateError>> {
        match until {
            Until::Down => (!self.phase.is_alive()).then_some(Ok(())),
            // Answered when it is done; never, where it has come to its end instead.
            Until::Held => {
                let up = matches!(self.phase, Phase::Running | Phase::Paused);
                (!up).then(|| Err(self.overtaken()))
            }
            Until::UpAfter(generation) => match self.phase {
                Phase::Running if self.generation > generation => Some(Ok(())),
                Phase::Completed if self.generation > generation && self.has_done() => Some(Ok(())),
                // Parked again without a life of its own: what it depends on was given up on.
                Phase::Failed if self.is_parked() => Some(Err(self.did_not_start())),
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

    /// Whether the last life has done what it was there for.
    fn is_done(&self) -> bool {
        let orderly = |reason: &ExitReason| !reason.kind().is_abnormal();
        self.spec.traits.plan.once && self.last_reason().is_some_and(orderly)
    }

    /// That nobody lives there is no failure: it has asked for it, or has done what it was there for.
    fn has_done(&self) -> bool {
        self.ignored || self.spec.traits.plan.once
    }

    fn is_parked(&self) -> bool {
        self.past()
            .is_some_and(|past| past.parked_because.is_some())
    }

    fn did_not_start(&self) -> OperateError {
        OperateError::DidNotStart {
            path: self.path().clone(),
            reason: self.last_reason().cloned().unwrap_or(ExitReason::Cancelled),
            next_start_at: self.past().and_then(|past| past.next_start_at),
        }
    }
}

fn identity(kin: Kin, path: ChildPath) -> Arc<Identity> {
    Arc::new(Identity {
        path,
        kind: kin.traits.kind,
        type_name: kin.type_name,
        class: Some(kin.class),
        waits_for: WaitsFor::default(),
    })
}

/// What a child is in the user's words; its kind, where the user has none.
pub(crate) fn type_name_of(spec: &ChildSpec) -> Arc<str> {
    spec.traits
        .type_name
        .clone()
        .unwrap_or_else(|| spec.traits.kind.as_str().into())
}
