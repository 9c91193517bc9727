//! What a supervisor has to know of a child, and what it tells of one.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell};
use regrow_core::exits::ExitRules;
use regrow_core::health::Criticality;
use regrow_core::probe::ProbeKind;
use regrow_core::supervision::{ChildPlan, Condition, Who};
use regrow_core::{
    Backoff, ChildKind, GiveUp, Phase, Restart, RestartIntensity, Shutdown, Unresponsive,
};

use serde_json::{Map, Value};

use crate::adapter::Supervised;
use crate::breaker::gate::Gate;
use crate::exit::{ExitReason, StartFailure};
use crate::launch::{Launch, Launchpad};
use crate::path::ChildPath;
use crate::pool::WorkerSeat;
use crate::probe::Probe;
use crate::registry::Registered;
use crate::started::Started;
use crate::supervisor::{Message, Supervisor, Tree};
use crate::telemetry::{FiguresGauge, Identity, Payload, Span, Subject, Telemetry, Vitals};

mod info;
mod plan;
mod says;

pub use info::{ChildInfo, LastExit};

/// How to start a child, how to stop it, and when to start it again.
///
/// Made by [`ChildSpec::actor`] and its like, or from anything that can be supervised: a [`Supervisor`], a process. Defaults:
/// permanent, 5 s to stop and then killed, 30 s to start, [`Backoff::default`], no restart limit of its own. Cloning is cheap.
#[derive(Clone)]
#[must_use]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) launch: Arc<Launch>,
    pub(crate) nested: Option<Arc<Supervisor>>,
    /// Everything else: the same for all children of a kind, so that a million of them share one.
    pub(crate) traits: Arc<Traits>,
}

/// What a spec says beside who it is and how it starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Traits {
    pub(crate) kind: ChildKind,
    pub(crate) type_name: Option<Arc<str>>,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) capabilities: Vec<Arc<str>>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) depends_on: Dependencies,
    pub(crate) role: Role,
    pub(crate) announced: bool,
    pub(crate) probes: Arc<[Probe]>,
    /// What lets its starts through.
    pub(crate) gate: Option<Gate>,
    /// Which worker of a pool it is, if it is one.
    pub(crate) seat: Option<WorkerSeat>,
    pub(crate) plan: ChildPlan,
    /// What of the plan was said, where a supervisor may have another default.
    pub(crate) said: Said,
    pub(crate) message: Option<(TypeId, &'static str)>,
}

/// What a child counts in the health of its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) criticality: Criticality,
    pub(crate) weight: u32,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            criticality: Criticality::Important,
            weight: 1,
        }
    }
}

impl Traits {
    /// Whether it has a probe of this kind.
    pub(crate) fn probes_for(&self, kind: ProbeKind) -> bool {
        self.probes.iter().any(|probe| probe.kind() == kind)
    }
}

/// Which siblings a child waits for, and until when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dependencies(pub(crate) Vec<(Arc<str>, Condition)>);

impl Dependencies {
    fn started<T: Into<Arc<str>>>(ids: impl IntoIterator<Item = T>) -> Self {
        let started = |id: T| (id.into(), Condition::Started);
        Self(ids.into_iter().map(started).collect())
    }

    /// Each once, in the order in which they were first said.
    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = Vec::with_capacity(self.0.len());
        for (id, _) in &self.0 {
            if !ids.contains(id) {
                ids.push(Arc::clone(id));
            }
        }
        ids
    }
}

/// Which settings are the user's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    backoff: bool,
    start_timeout: bool,
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.traits.kind)
            .finish_non_exhaustive()
    }
}

impl ChildSpec {
    /// An actor, cloned with its arguments for each life.
    pub fn actor<A>(id: impl Into<Arc<str>>, actor: A, arguments: A::Arguments) -> Self
    where
        A: Actor + Clone,
        A::Arguments: Clone + Sync,
    {
        Self::actor_with(id, move || (actor.clone(), arguments.clone()))
    }

    /// An actor that is made anew for each life. A panic in `make` is a failed start.
    pub fn actor_with<A: Actor>(
        id: impl Into<Arc<str>>,
        make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        Self::actor_from(id, move |_| make())
    }

    /// An actor that is made anew for each life, from what is known of that: its generation, why the last one ended, where to tell
    /// what it does. A panic in `make` is a failed start.
    pub fn actor_from<A: Actor>(
        id: impl Into<Arc<str>>,
        make: impl Fn(&StartContext) -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        let launch = move |context: StartContext, pad: &mut Launchpad| {
            let make = Arc::clone(&make);
            pad.set(async move {
                let (actor, arguments) = make(&context);
                let vitals = context.hire();
                let supervisor = context.supervisor();
                let actor = Supervised {
                    actor,
                    vitals: Arc::clone(&vitals),
                    #[cfg(feature = "trace-messages")]
                    context: Box::new(context),
                };
                let spawned = Supervised::spawn_linked(None, actor, arguments, supervisor);
                match spawned.await {
                    Ok((actor, _)) => Ok(Started::of_actor(actor.get_cell(), vitals)),
                    Err(ractor::SpawnErr::StartupFailed(error)) => Err(StartFailure::retry(error)),
                    Err(error) => Err(StartFailure::retry(error)),
                }
            });
        };
        let mut spec = Self::base(id.into(), ChildKind::Actor, Arc::new(launch));
        spec.edit().message = Some((TypeId::of::<A::Msg>(), std::any::type_name::<A::Msg>()));
        spec
    }

    /// Whatever `start` starts: the base case.
    ///
    /// It has to spawn an actor that is linked to [`StartContext::supervisor`] from its first moment
    /// (`Actor::spawn_linked`). Such an actor may tell a typed end by returning an [`ExitReason`] as its error.
    pub fn start_with<F, Fut, S, E>(id: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(StartContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: Into<Started>,
        E: Into<StartFailure>,
    {
        let start = Arc::new(start);
        let launch = move |context: StartContext, pad: &mut Launchpad| {
            let start = Arc::clone(&start);
            // The user's function itself runs inside the guarded future, not on the supervisor's stack.
            pad.set(async move { start(context).await.map(Into::into).map_err(Into::into) });
        };
        Self::base(id.into(), ChildKind::Actor, Arc::new(launch))
    }

    /// Says that it takes no messages at all.
    pub(crate) fn deaf(mut self) -> Self {
        /// What no message is.
        enum Nothing {}
        self.edit().message = Some((TypeId::of::<Nothing>(), "none"));
        self
    }

    pub(crate) fn base(id: Arc<str>, kind: ChildKind, launch: Arc<Launch>) -> Self {
        let traits = Traits {
            kind,
            type_name: None,
            tags: Vec::new(),
            capabilities: Vec::new(),
            metadata: Map::new(),
            depends_on: Dependencies::default(),
            role: Role::default(),
            announced: false,
            probes: Arc::default(),
            gate: None,
            seat: None,
            plan: ChildPlan::default(),
            said: Said::default(),
            message: None,
        };
        Self {
            id,
            launch,
            nested: None,
            traits: Arc::new(traits),
        }
    }

    pub(crate) fn nested(supervisor: Supervisor) -> Self {
        let id = Arc::clone(&supervisor.id);
        let supervisor = Arc::new(supervisor);
        let tree = Arc::clone(&supervisor);
        let launch = move |context: StartContext, pad: &mut Launchpad| {
            let tree = Arc::clone(&tree);
            pad.set(async move { tree.launch(context).await });
        };
        let mut spec = Self::base(id, ChildKind::Supervisor, Arc::new(launch));
        spec.edit().plan.shutdown = Shutdown::Infinity;
        // A start that lasts is the children's own: each has its timeout.
        spec.edit().plan.start_timeout = Duration::MAX;
        spec.edit().plan.ends_itself = true;
        spec.edit().announced = true;
        spec.nested = Some(supervisor);
        spec
    }

    pub(crate) fn edit(&mut self) -> &mut Traits {
        Arc::make_mut(&mut self.traits)
    }

    /// The id: the last part of the path.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it is started again; permanent by default.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.edit().plan.restart = restart;
        self
    }

    /// It is there to come to its end once, such as a migration: `normal`, `shutdown` and exit code 0 complete it, whatever its
    /// restart type, also before it counts as started. A failure is tried again, within its limits and with its backoff; that of a
    /// [temporary](Restart::Temporary) child is not, and parks it. Its place stays in either case. It runs again when an operator
    /// starts it, or when it goes along with the restart of its group. A supervisor comes to its end by
    /// [`Supervisor::auto_shutdown`].
    pub fn once(mut self) -> Self {
        self.edit().plan.once = true;
        self
    }

    /// How it is stopped; 5 s and then killed by default, without limit for a supervisor.
    pub fn shutdown(mut self, shutdown: impl Into<Shutdown>) -> Self {
        self.edit().plan.shutdown = shutdown.into();
        self
    }

    /// How long before the next start.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.edit().plan.backoff = backoff;
        self.edit().said.backoff = true;
        self
    }

    /// A restart limit of its own; [`ChildSpec::give_up`] says what follows.
    pub fn limit(mut self, limit: RestartIntensity) -> Self {
        self.edit().plan.limit = Some(limit);
        self
    }

    /// What happens when its limit is exceeded or it cannot be started; escalates by default.
    pub fn give_up(mut self, give_up: GiveUp) -> Self {
        self.edit().plan.give_up = give_up;
        self
    }

    /// What its exit codes and signals mean; a process has the default of [`ExitRules`], everything else has none.
    pub fn exits(mut self, rules: ExitRules) -> Self {
        self.edit().plan.exits = Some(Arc::new(rules));
        self
    }

    /// What happens to its place when it could not be ended; its next life starts beside it by default.
    pub fn unresponsive(mut self, unresponsive: Unresponsive) -> Self {
        self.edit().plan.unresponsive = unresponsive;
        self
    }

    /// How long a start may take; 30 s by default.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.edit().plan.start_timeout = timeout;
        self.edit().said.start_timeout = true;
        self
    }

    /// Says that its supervisor may end with it: when it has ended and is not started again, as
    /// [`Supervisor::auto_shutdown`] says. Only for a transient or temporary child.
    pub fn significant(mut self) -> Self {
        self.edit().plan.significant = true;
        self
    }

    /// What it is made of; `actor` by default.
    pub fn kind(mut self, kind: ChildKind) -> Self {
        self.edit().kind = kind;
        self
    }

    /// What it is in your words; a metric label, so few values. The kind by default.
    pub fn of_type(mut self, type_name: impl Into<Arc<str>>) -> Self {
        self.edit().type_name = Some(type_name.into());
        self
    }

    /// Words by which it can be [found](crate::Registry); one such as `lang=rust` has a key and a value.
    pub fn tags<T: Into<Arc<str>>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.edit().tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// What it can do: words by which it can be [found](crate::Registry).
    pub fn capabilities<T: Into<Arc<str>>>(
        mut self,
        capabilities: impl IntoIterator<Item = T>,
    ) -> Self {
        self.edit().capabilities = capabilities.into_iter().map(Into::into).collect();
        self
    }

    /// One more thing that it tells of itself, by which it can be [found](crate::Registry) and compared.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.edit().metadata.insert(key.into(), value.into());
        self
    }

    /// The siblings that have to be up before it, under a supervisor whose order is by dependencies. In place of all that were
    /// said before.
    pub fn depends_on<T: Into<Arc<str>>>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        self.edit().depends_on = Dependencies::started(ids);
        self
    }

    /// One more sibling that it waits for until that has come so far: is ready, say, or has ended as it should. The supervisor's
    /// order has to be by dependencies. While it waits it is `pending`; when it waits in vain, because the other was given up on
    /// or has ended otherwise, it is `failed` and says why, and is started when the other comes so far after all.
    pub fn waits_for(mut self, id: impl Into<Arc<str>>, until: Condition) -> Self {
        self.edit().depends_on.0.push((id.into(), until));
        self
    }

    /// It is up, but not ready, until it calls [`StartContext::ready`]; if it does not within this time from the begin of its
    /// start, that start has failed with `start_timeout`. A child is ready as soon as it is up by default. A supervisor
    /// is when all its children have started.
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.edit().plan.ready_within = Some(time);
        self
    }

    /// Whether it is started with its supervisor; it is by default. One that is not has its place as `stopped`, and an operator
    /// may start it.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.edit().plan.enabled = enabled;
        self
    }

    /// Says that the system is not ready while it is down: [`Criticality::Required`], or `important` again.
    pub fn required(self, required: bool) -> Self {
        self.criticality(if required {
            Criticality::Required
        } else {
            Criticality::Important
        })
    }

    /// What it means for the [health](crate::System::health) of its supervisor when it is down; `important` by default.
    pub fn criticality(mut self, criticality: Criticality) -> Self {
        self.edit().role.criticality = criticality;
        self
    }

    /// What it counts under [`HealthPolicy::Weighted`](crate::HealthPolicy::Weighted); 1 by default.
    pub fn weight(mut self, weight: u32) -> Self {
        self.edit().role.weight = weight;
        self
    }

    /// It is asked how it is, and what follows is done: see [`probe`](crate::probe). May be said several times.
    pub fn probe(mut self, probe: Probe) -> Self {
        let probes = &mut self.edit().probes;
        *probes = probes.iter().cloned().chain([probe]).collect();
        self
    }

    /// It counts as started when it calls [`StartContext::announce`], not when its start function returns. Meanwhile it can be
    /// stopped, and an end is a failed start.
    pub fn announced(mut self) -> Self {
        self.edit().announced = true;
        self
    }
}

/// What a start function is told.
#[derive(Clone)]
pub struct StartContext {
    pub(crate) subject: Subject,
    pub(crate) who: Who,
    pub(crate) attempt: u32,
    pub(crate) last_exit: Option<ExitReason>,
    pub(crate) uptime: Duration,
    pub(crate) restarts_in_window: u32,
    pub(crate) supervisor: ractor::ActorRef<Message>,
    pub(crate) tree: Arc<Tree>,
}

impl fmt::Debug for StartContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartContext")
            .field("path", self.path())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl StartContext {
    /// Where the child stands.
    #[must_use]
    pub fn path(&self) -> &ChildPath {
        &self.subject.path
    }

    /// Which life this is, from 1.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.subject.generation
    }

    /// What the child is in the user's words.
    #[must_use]
    pub fn type_name(&self) -> &Arc<str> {
        &self.subject.type_name
    }

    /// Which restart since the last good life this is; 0 for a first start.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How the life before ended.
    #[must_use]
    pub fn last_exit(&self) -> Option<&ExitReason> {
        self.last_exit.as_ref()
    }

    /// How long the life before was up.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.uptime
    }

    /// How many restarts the window that limits this child holds.
    #[must_use]
    pub fn restarts_in_window(&self) -> u32 {
        self.restarts_in_window
    }

    /// The supervisor, to link the actor to.
    #[must_use]
    pub fn supervisor(&self) -> ActorCell {
        self.supervisor.get_cell()
    }

    /// The system's event stream.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.tree.telemetry
    }

    /// Tells what has happened to this life.
    pub fn emit(&self, phase: Phase, payload: impl FnOnce() -> Payload) {
        self.tree.telemetry.emit(
            || Subject {
                phase,
                ..self.subject.clone()
            },
            payload,
        );
    }

    /// The child as others find it: to say from inside how much it has to do, or what else it can do from now on. `None` when its
    /// place is gone.
    #[must_use]
    pub fn registered(&self) -> Option<Registered> {
        self.tree
            .place(self.path().as_str())
            .map(|place| Registered::new(&place))
    }

    /// Where to show what the OS processes of this life use; only for one that consists of processes of its own.
    #[must_use]
    pub fn figures(&self) -> FiguresGauge {
        let census = &self.tree.census;
        let gauge = census.figures.enter(&self.subject.type_name);
        let generation = self.generation();
        match census.pools.memory_of(self.path()) {
            Some(tell) => gauge.followed(move |bytes| tell(generation, bytes)),
            None => gauge,
        }
    }

    /// Whose code a life of this child runs.
    pub(crate) fn whose(&self) -> Option<Arc<Identity>> {
        Some(Arc::clone(&self.subject.identity))
    }

    /// The cells in which this life counts what it does.
    pub(crate) fn hire(&self) -> Arc<Vitals> {
        let Subject {
            identity,
            generation,
            ..
        } = &self.subject;
        self.tree.workforce.hire(identity, *generation)
    }

    /// Begins a span about a message that is handled.
    #[cfg(feature = "trace-messages")]
    pub(crate) fn span_of_message(
        &self,
        carried: crate::trace::carrier::Carried,
        message_type: &'static str,
    ) -> Span {
        let now = crate::time::now();
        let payload = Payload::MessageHandle {
            edge: crate::telemetry::Edge::Start,
            wait: now.saturating_duration_since(carried.sent),
            message_type,
        };
        let subject = Subject {
            phase: Phase::Running,
            ..self.subject.clone()
        };
        let cause = Some(carried.context);
        self.tree
            .telemetry
            .span_caused(cause, now, subject, payload)
    }

    /// Begins a span about this life.
    pub fn span(&self, phase: Phase, payload: Payload) -> Span {
        let subject = Subject {
            phase,
            ..self.subject.clone()
        };
        self.tree.telemetry.span(subject, payload)
    }
}
