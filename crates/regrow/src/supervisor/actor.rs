//! The shell: `ractor`'s events in, the core's directives performed.
//!
//! Nothing here waits. A start is polled once inline and goes to a task of its own if it is not ready; its result comes back as a
//! message. Stops are answered by the exit of the child. One timer serves all delays and deadlines.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use ractor::{ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use regrow_core::supervision::{Directive, Supervision, Who};
use regrow_core::{Desired, Phase, StopCause};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::answer::{Answer, Batch};
use super::directory::Directory;
use super::numbers::OfNumbers;
use super::operate::{ChildCounts, OperateError, Reconfigured, StartReport, Verb};
use super::slot::{Kin, Slot, type_name_of};
use super::{Supervisor, Tree};
use crate::address::Place;
use crate::breaker::gate::Pass;
use crate::child::{ChildInfo, ChildSpec, StartContext};
use crate::exit::{ExitReason, StartFailure};
use crate::launch::Launchpad;
use crate::path::ChildPath;
use crate::probe::Finding;
use crate::registry::{Follows, News, profile_of};
use crate::started::Started;
use crate::system::StartError;
use crate::telemetry::{Emitter, SupervisorCounts};
use crate::time;

mod ends;
mod operations;
mod perform;
mod probed;
mod starts;

pub(crate) use ends::reason_of_foreign;

/// How many starts one turn of the mailbox may begin; the rest waits for the next turn, so that messages get in between.
const STARTS_PER_TURN: usize = 128;

/// How many children one turn of the mailbox tells about.
const CHILDREN_PER_PAGE: usize = 256;

/// How many more exits of children that are still unknown are kept than there are starts under way.
const MAX_EARLY_EXITS: usize = 1_024;

/// What a supervisor can be told.
pub(crate) enum Message {
    Launched(Who, Result<Started, StartFailure>),
    /// The breaker in front of its starts lets one through, or the wait for that was ended.
    Admitted(Who, Result<Pass, StartFailure>),
    Announced(Who),
    Ready(Who),
    /// It may be given no work, by its own word, and why.
    Unready(Who, Arc<str>),
    /// It is held now, or goes on.
    Held(Who),
    /// It has finished what it had to, after it was asked to stop.
    Drained(Who),
    /// It is to be ended for this cause, and its plan decides what follows.
    Condemned(Who, Verdict),
    /// The same of this generation of the child of this id.
    CondemnedAt(Arc<str>, u32, Verdict),
    /// What its probes have found.
    Probed(Who, Finding),
    Wakeup,
    Continue,
    ShutDown,
    Hurry,
    /// Some of the children, from this place in the order on.
    Children(u64, RpcReplyPort<Page>),
    Child(Arc<str>, RpcReplyPort<Option<ChildInfo>>),
    Count(RpcReplyPort<ChildCounts>),
    Spec(Arc<str>, RpcReplyPort<Option<ChildSpec>>),
    Reconfigure(
        Box<Supervisor>,
        RpcReplyPort<Result<Reconfigured, OperateError>>,
    ),
    StartChild(Box<ChildSpec>, Answer),
    StartChildren(
        Vec<ChildSpec>,
        RpcReplyPort<Result<StartReport, OperateError>>,
    ),
    Operate(Verb, Arc<str>, Answer),
}

/// Why a life is to be ended that nobody wishes to end.
pub(crate) struct Verdict {
    pub(crate) cause: StopCause,
    /// In words; empty where there is nothing to say.
    pub(crate) why: Arc<str>,
    /// How long it may take to stop, in place of its own time.
    pub(crate) grace: Option<Duration>,
}

// With this feature of ractor on, what is a message has to say so.
#[cfg(feature = "cluster")]
impl ractor::Message for Message {}

/// Some of a supervisor's children, in order, and where the next begin.
pub(crate) struct Page {
    pub(crate) children: Vec<ChildInfo>,
    pub(crate) next: Option<u64>,
}

/// Where the root of a system tells what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) booted: watch::Sender<Option<Result<(), StartError>>>,
    pub(crate) ended: Arc<OnceLock<ExitReason>>,
}

pub(crate) struct Arguments {
    pub(crate) spec: Arc<Supervisor>,
    pub(crate) path: ChildPath,
    pub(crate) tree: Arc<Tree>,
    pub(crate) root: Option<Root>,
    /// The start that this life came from, unless it is the root.
    pub(crate) context: Option<StartContext>,
}

pub(crate) struct SupervisorActor;

pub(crate) struct State {
    myself: ActorRef<Message>,
    path: ChildPath,
    tree: Arc<Tree>,
    /// Tells the events, and what time it is in this turn.
    emitter: Emitter,
    root: Option<Root>,
    context: Option<StartContext>,
    /// The partitions that are not in use; their places are made when the boot has begun.
    not_in_use: Vec<ChildSpec>,
    /// How many partitions its children are, if that is what they are.
    partitions: Option<usize>,
    strategy: regrow_core::Strategy,
    /// Decides and ends as OTP's does.
    otp_compat: bool,
    dynamic: bool,
    auto_shutdown: regrow_core::AutoShutdown,
    core: Supervision,
    slots: Vec<Option<Slot>>,
    /// The places of the children, by id.
    directory: Arc<Directory>,
    actors: HashMap<ActorId, Who, OfNumbers>,
    /// Exits of children whose start has not been reported yet.
    early: HashMap<ActorId, SupervisionEvent>,
    /// How many starts are under way on tasks of their own.
    starting: usize,
    todo: VecDeque<Directive>,
    pad: Launchpad,
    /// The kind of the child that was added last.
    kin: Option<Kin>,
    timer: Option<(Instant, AbortHandle)>,
    counts: Arc<SupervisorCounts>,
    closed: bool,
    /// The rest of `todo` waits for [`Message::Continue`].
    paused: bool,
    /// Operations that wait until the rest of `todo` is done.
    deferred: VecDeque<Message>,
    /// Batches of children that are being added.
    arrivals: VecDeque<(std::vec::IntoIter<ChildSpec>, Arc<Batch>)>,
    /// A start was aborted since there was last none under way: it may have left somebody behind.
    aborted: bool,
    /// How many restarts within how much time were too many.
    melted: Option<(u32, Duration)>,
    /// What the registry has to be told at the end of the turn.
    news: Vec<News>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.disarm();
        self.tree.supervisor_down(&self.path, &self.myself);
        let (myself, at) = (self.myself.get_id(), SystemTime::now());
        for slot in self.slots.iter_mut().flatten() {
            if let (Some(live), true) = (&slot.live, slot.dynamic) {
                slot.place.clear_of(live.cell.get_id());
            }
            let leaves = slot.dynamic && self.directory.leave_place(&slot.place, myself);
            if leaves {
                self.tree.forget_vital(slot.path());
            }
            let news = slot.let_go(leaves, myself, at);
            let news = news.filter(|(kind, _)| self.tree.registry.board.wants(*kind));
            self.news.extend(news.map(|(_, news)| news));
            if slot.dynamic && slot.spec.nested.is_some() && !slot.place.is_taken() {
                self.tree.leave_below(slot.path());
            }
        }
        self.tree.registry.board.pin(&mut self.news);
    }
}

#[ractor::actor(message = Message, state = State, arguments = Arguments)]
impl SupervisorActor {
    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State::new(myself, arguments))
    }

    async fn post_start(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.emitter.new_turn();
        let directives = state.core.boot(state.emitter.now());
        state.queue(directives);
        state.place_what_is_not_in_use();
        state.run().await
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.emitter.new_turn();
        state.on_message(message);
        state.run().await
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.on_event(event);
        state.run().await
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.stop_what_is_left().await;
        Ok(())
    }
}

impl State {
    fn new(myself: ActorRef<Message>, arguments: Arguments) -> Self {
        let Arguments {
            spec,
            path,
            tree,
            root,
            context,
        } = arguments;
        let max_restarts = spec
            .policy
            .intensity
            .map(regrow_core::RestartIntensity::max_restarts);
        let counts = tree.census.supervisor(path.clone(), max_restarts);
        let directory = tree.directory(&path);
        tree.supervisor_up(path.clone(), myself.clone());
        let in_use = spec.partitions.map_or(spec.children.len(), |partitions| {
            tree.rings.enter(&path, partitions).size()
        });
        let in_use = in_use.min(spec.children.len());
        let mut state = Self {
            myself,
            path,
            emitter: Emitter::new(tree.telemetry.clone()),
            tree,
            root,
            context,
            not_in_use: spec.children[in_use..].to_vec(),
            partitions: spec.partitions,
            strategy: spec.policy.strategy,
            otp_compat: spec.policy.otp_compat,
            dynamic: spec.policy.dynamic,
            auto_shutdown: spec.policy.auto_shutdown,
            core: Supervision::new(spec.policy),
            slots: Vec::new(),
            directory,
            actors: HashMap::default(),
            early: HashMap::new(),
            starting: 0,
            todo: VecDeque::new(),
            pad: Launchpad::default(),
            kin: None,
            timer: None,
            counts,
            closed: false,
            paused: false,
            deferred: VecDeque::new(),
            arrivals: VecDeque::new(),
            aborted: false,
            melted: None,
            news: Vec::new(),
        };
        for child in &spec.children[..in_use] {
            let kin = state.kin(child);
            let index = state.core.add(Arc::clone(&kin.plan), state.emitter.now());
            state.place(index, child.clone(), kin, false);
        }
        for child in &spec.children {
            for (on, until) in &child.traits.depends_on.0 {
                // Unknown names are refused before the start.
                if let (Some(slot), Some(on)) = (state.index_of(&child.id), state.index_of(on)) {
                    state.core.depend_until(slot, on, *until);
                }
            }
        }
        state
    }

    /// What a child shares with those of its kind. They are mostly added one after the other.
    fn kin(&mut self, spec: &ChildSpec) -> Kin {
        let known = self
            .kin
            .as_ref()
            .filter(|kin| Arc::ptr_eq(&kin.traits, &spec.traits) || kin.traits == spec.traits);
        if let Some(kin) = known {
            return kin.clone();
        }
        let type_name = type_name_of(spec);
        let kin = Kin {
            traits: Arc::clone(&spec.traits),
            plan: Arc::new(spec.plan_under(self.otp_compat)),
            class: self.counts.class(spec.traits.kind, &type_name),
            profile: Arc::new(profile_of(&spec.traits, &type_name)),
            type_name,
        };
        self.kin = Some(kin.clone());
        kin
    }

    /// Fills the place that the core has made.
    fn place(&mut self, index: u32, spec: ChildSpec, kin: Kin, dynamic: bool) {
        let now = self.emitter.now();
        let path = self.path.join(&spec.id);
        let message = kin.traits.message;
        let (profile, commons) = (Arc::clone(&kin.profile), Arc::clone(&self.tree.commons));
        let make = || Place::new(path.clone(), message, profile, commons);
        self.tree.note_vital(&path, &spec);
        let place = self.directory.enter(&path, make);
        place.hold(index, self.myself.get_id());
        let slot = Slot::new(spec, kin, path, place, dynamic, now);
        // What is told as new is told as it is.
        slot.pin(self.emitter.at());
        if self.tree.registry.board.wants(Follows::Profiles) {
            let stand = slot.stand(self.emitter.at());
            self.news.push(News::Added(Arc::clone(&slot.place), stand));
        }
        self.emitter.emit(
            || slot.subject(),
            || crate::telemetry::Payload::SupervisorChildAdded {},
        );
        if self.slots.len() <= index as usize {
            self.slots.resize_with(index as usize + 1, || None);
        }
        self.slots[index as usize] = Some(slot);
    }

    /// Partitions that are not in use take no part in the boot: they wait for an operator, like what was stopped.
    fn place_what_is_not_in_use(&mut self) {
        for child in std::mem::take(&mut self.not_in_use) {
            let kin = self.kin(&child);
            let index = self.core.add(Arc::clone(&kin.plan), self.emitter.now());
            self.place(index, child, kin, false);
            self.told(index, Phase::Stopped, None);
            if let Some(slot) = self.slot(index) {
                slot.desired = Desired::Down;
            }
        }
    }

    /// Where a child of this id stands.
    fn index_of(&self, id: &str) -> Option<u32> {
        let place = self.directory.get(id)?;
        let slot = self.slots.get(place.index() as usize)?.as_ref()?;
        // A place of an earlier life of this supervisor has nobody's index.
        Arc::ptr_eq(&slot.place, &place).then(|| place.index())
    }

    /// What is to be done, after what is to be done already.
    fn queue(&mut self, mut directives: Vec<Directive>) {
        self.todo.extend(directives.drain(..));
        self.core.recycle(directives);
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// At most 256 children, so that this turn is short however many there are.
    fn page(&self, from: u64) -> Page {
        let mut places = self.core.in_order_from(from);
        let slot = |index: u32| self.slots.get(index as usize)?.as_ref();
        let page = places.by_ref().take(CHILDREN_PER_PAGE);
        Page {
            children: page
                .filter_map(|(_, index)| Some(slot(index)?.info()))
                .collect(),
            next: places.next().map(|(order, _)| order),
        }
    }

    /// The slot, if this is the life in it.
    fn current(&mut self, who: Who) -> Option<&mut Slot> {
        self.slot(who.slot).filter(|slot| slot.who == Some(who))
    }

    pub(super) fn on_message(&mut self, message: Message) {
        let now = self.emitter.now();
        let directives = match message {
            Message::Launched(who, result) => {
                self.starting -= 1;
                self.launched(who, result);
                if self.starting == 0 {
                    self.no_start_under_way();
                }
                return;
            }
            Message::Admitted(who, pass) => return self.admitted(who, pass),
            Message::Announced(who) => return self.announced(who),
            Message::Ready(who) => return self.says_ready(who),
            Message::Unready(who, why) => return self.says_unready(who, why),
            Message::Held(who) => return self.held(who),
            Message::Drained(who) => return self.drained(who),
            Message::Condemned(who, verdict) => return self.condemned(who, verdict),
            Message::CondemnedAt(id, generation, verdict) => {
                return self.condemned_at(&id, generation, verdict);
            }
            Message::Probed(who, finding) => return self.probed(who, finding),
            Message::Continue => {
                self.paused = false;
                return;
            }
            Message::Wakeup => {
                // An earlier timer may have sent it: there is never more than one.
                self.disarm();
                self.core.on_wakeup(now)
            }
            Message::ShutDown => self.core.shut_down(now),
            Message::Hurry => self.core.hurry(now),
            Message::Children(from, reply) => return drop(reply.send(self.page(from))),
            Message::Child(id, reply) => {
                let index = self.index_of(&id);
                return drop(reply.send(index.and_then(|index| Some(self.slot(index)?.info()))));
            }
            // What a directive that waits is about must not be taken for something new.
            message @ (Message::StartChild(..)
            | Message::StartChildren(..)
            | Message::Operate(..)
            | Message::Reconfigure(..))
                if self.paused =>
            {
                return self.deferred.push_back(message);
            }
            Message::Count(reply) => return drop(reply.send(self.count())),
            Message::Spec(id, reply) => return drop(reply.send(self.spec(&id))),
            Message::Reconfigure(spec, reply) => {
                return drop(reply.send(self.reconfigure(*spec)));
            }
            Message::StartChild(spec, answer) => {
                self.start_child(*spec, answer);
                return;
            }
            Message::StartChildren(specs, reply) => return self.start_children(specs, reply),
            Message::Operate(verb, id, answer) => return self.operate(verb, &id, answer),
        };
        self.queue(directives);
    }

    fn on_event(&mut self, event: SupervisionEvent) {
        if let SupervisionEvent::ActorStarted(actor) = event {
            return self.noticed(actor.get_id());
        }
        self.emitter.new_turn();
        let Some(id) = event.actor_id() else { return };
        match self.actors.remove(&id) {
            Some(who) => self.exited(who, event),
            None if self.starting > 0 && self.early.len() < self.starting + MAX_EARLY_EXITS => {
                self.early.insert(id, event);
            }
            None => {
                tracing::debug!(target: "regrow", supervisor = %self.path, actor = %id, "a stranger ended");
                ends::discard(event);
            }
        }
    }

    /// An actor says that it runs. That it has started is known already; but it waits for us before its first message.
    fn noticed(&self, actor: ActorId) {
        let live = self
            .actors
            .get(&actor)
            .and_then(|who| self.slots.get(who.slot as usize)?.as_ref()?.live.as_ref());
        if let Some(vitals) = live.and_then(|live| live.vitals.as_ref()) {
            vitals.notice();
        }
    }

    /// Sees to it that [`Message::Wakeup`] comes in time. A timer that is there already and goes off before that is left alone: it
    /// wakes for nothing once, and is set anew then. To set it anew for each of a thousand children that stop one after the other
    /// costs more than the stops do.
    fn arm(&mut self) {
        let Some(next) = self.core.next_wakeup() else {
            return;
        };
        if self.timer.as_ref().is_some_and(|(at, _)| *at <= next) {
            return;
        }
        self.disarm();
        let myself = self.myself.clone();
        let task = tokio::spawn(async move {
            time::sleep_until(next).await;
            drop(myself.cast(Message::Wakeup));
        });
        self.timer = Some((next, task.abort_handle()));
    }

    fn disarm(&mut self) {
        if let Some((_, task)) = self.timer.take() {
            task.abort();
        }
    }

    /// Ractor stopped us behind our back: the children are still stopped in order, if one at a time.
    async fn stop_what_is_left(&mut self) {
        if self.closed {
            return;
        }
        tracing::warn!(target: "regrow", supervisor = %self.path, "stopped from outside; stopping the children first");
        self.emitter.new_turn();
        let directives = self.core.shut_down(self.emitter.now());
        self.queue(directives);
        while let Some(directive) = self.todo.pop_front() {
            drop(self.perform(directive));
            let (Directive::Stop(who, _) | Directive::Kill(who, _)) = directive else {
                continue;
            };
            let patience = self
                .core
                .next_wakeup()
                .map(|at| at.saturating_duration_since(self.emitter.now()));
            let live = self.current(who).and_then(|slot| slot.live.clone());
            let reason = match live {
                Some(live) => live.end(patience).await,
                None => ExitReason::Shutdown,
            };
            self.emitter.new_turn();
            let end = reason.kind();
            if matches!(reason, ExitReason::Unresponsive) {
                self.abandon(who);
            } else {
                self.over(who, reason);
            }
            let directives = self.core.on_exit(who, end, self.emitter.now());
            self.queue(directives);
        }
    }
}
