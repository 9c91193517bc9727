//! The actor that stands for a process in the tree.
//!
//! It holds the task that drives the process, and ends when the process has ended, with the same reason.
//! It carries no messages of its own: `()` says that the task is done.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor as _, ActorProcessingErr, ActorRef};
use regrow::telemetry::{Edge, FiguresGauge, Payload, Span};
use regrow::{
    ChildKind, ChildSpec, Control, Done, ExitReason, Phase, Shutdown, StartContext, StartFailure,
    Started, StopCause,
};
use regrow_core::leases::MAX_MOVES;
use regrow_core::lifecycle::{End, Ending, Exit, Stage};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::driver::{Driver, Hold as Held, Observer, Wish, Wishes};
use crate::environment::SpawnError;
use crate::log_file::Journal;
use crate::process::{Process, Template};

/// How much longer than its start window and the stop of its predecessor a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The actor of one life.
struct Keeper;

/// What it holds: without it the process has nobody, and is killed; the task sees it to its end all the same.
struct Hold {
    wishes: Wishes,
    driven: JoinHandle<Ending>,
    /// Where the task finds the actor that it has to wake.
    actor: Option<oneshot::Sender<Wake>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.wishes.raise(Wish::Kill);
    }
}

/// Wakes the actor when the task ends, in whatever way.
struct Wake(ActorRef<()>);

impl Drop for Wake {
    fn drop(&mut self) {
        // An actor that is gone needs no news.
        drop(self.0.cast(()));
    }
}

#[ractor::actor(message = (), state = Hold, arguments = Hold)]
impl Keeper {
    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        mut hold: Hold,
    ) -> Result<Hold, ActorProcessingErr> {
        // Where the task has ended already it comes back, and wakes the actor by that.
        let told = hold.actor.take().map(|actor| actor.send(Wake(myself)));
        drop(told);
        Ok(hold)
    }

    async fn handle(
        &self,
        _myself: ActorRef<()>,
        _done: (),
        hold: &mut Hold,
    ) -> Result<(), ActorProcessingErr> {
        // An error here is a panic of ours; it is told as such, and the driver has killed the group.
        let ending = (&mut hold.driven).await?;
        Err(Box::new(reason(ending.end)))
    }
}

/// How the supervisor stops a process, by the ladder or at once, and how it holds one.
#[derive(Debug)]
struct Ladder {
    wishes: Wishes,
    template: Arc<Template>,
}

impl Control for Ladder {
    fn stop(&self, _cause: StopCause) {
        self.wishes.raise(Wish::Stop);
    }

    fn kill(&self) {
        self.wishes.raise(Wish::Kill);
    }

    fn is_busy(&self) -> bool {
        let drain = self.template.stop_plan.budget(Stage::Drain);
        !drain.is_zero() && self.template.handle.in_flight() > 0
    }

    fn can_pause(&self) -> bool {
        true
    }

    fn pause(&self, done: Done) {
        self.wishes.hold(Held::Pause, done);
    }

    fn resume(&self, done: Done) {
        self.wishes.hold(Held::GoOn, done);
    }
}

impl Observer for StartContext {
    fn announced(&self) {
        self.announce();
    }

    fn ready(&self) {
        Self::ready(self);
    }

    fn expired(&self) {
        self.condemn(StopCause::MaxRuntime, "it has run for as long as it may");
    }

    fn overran(&self, why: String) {
        self.condemn(StopCause::Memory, why);
    }

    fn drained(&self) {
        Self::drained(self);
    }

    fn happened(&self, phase: Phase, payload: Payload) {
        self.emit(phase, || payload);
    }

    fn begins(&self, phase: Phase, payload: Payload) -> Span {
        self.span(phase, payload)
    }

    fn gauge(&self) -> Option<FiguresGauge> {
        Some(self.figures())
    }
}

/// What the supervisor is told of an end.
fn reason(end: End) -> ExitReason {
    match end {
        End::Natural(exit) => exit_reason(exit),
        End::Stopped(_) => ExitReason::Shutdown,
        End::Killed(_) => ExitReason::Killed,
        End::Unresponsive => ExitReason::Unresponsive,
    }
}

/// How the process itself ended.
pub(crate) fn exit_reason(exit: Exit) -> ExitReason {
    match exit {
        Exit::Code(code) => ExitReason::Exit(code),
        Exit::Signal(signal) => ExitReason::Signal(signal),
    }
}

async fn start(template: Arc<Template>, context: StartContext) -> Result<Started, StartFailure> {
    if let Some(handover) = &template.handover {
        let path = context.path().as_str();
        template
            .host
            .close_at_rest(context.telemetry(), path, handover);
    }
    let command = template.command_line();
    let payload = Payload::ProcessSpawn {
        edge: Edge::Start,
        pid: None,
        command,
    };
    let mut span = context.span(Phase::Starting, payload);
    let (driver, wishes) =
        match Driver::spawn(Arc::clone(&template), context.generation(), &span.context()).await {
            Ok(spawned) => spawned,
            Err(error) => {
                span.exception(error.to_string());
                return Err(failure(error));
            }
        };
    if let Payload::ProcessSpawn { pid, .. } = span.payload() {
        *pid = Some(driver.pid());
    }
    span.stop();
    let control = Arc::new(Ladder {
        wishes: wishes.clone(),
        template,
    });
    let supervisor = context.supervisor();
    // Before anything is waited for: whoever gives this start up leaves a process that is killed, and seen to its end.
    let (actor, told) = oneshot::channel();
    let driven = tokio::spawn(async move {
        // What it was told is dropped with it, at its end, however that comes.
        let _told = told;
        driver.run(context).await
    });
    let hold = Hold {
        wishes,
        driven,
        actor: Some(actor),
    };
    let (actor, _joined) = Keeper::spawn_linked(None, Keeper, hold, supervisor)
        .await
        .map_err(StartFailure::retry)?;
    Ok(Started::new(actor.get_cell()).control(control).proxy())
}

fn failure(error: SpawnError) -> StartFailure {
    if error.is_permanent() {
        StartFailure::permanent(error)
    } else {
        StartFailure::retry(error)
    }
}

impl From<Process> for ChildSpec {
    fn from(process: Process) -> Self {
        let Process {
            mut template,
            terms,
        } = process;
        let log_file = template.log_file.take();
        let run = template.handle.output().name();
        template.journal = log_file.map(|file| Arc::new(Journal::new(file, &run)));
        if let Some(port) = template.port() {
            template.publish(port);
        }
        let id: Arc<str> = template.id.as_str().into();
        let type_: Arc<str> = template.type_.as_str().into();
        // One that moves to another port starts anew.
        let windows = match template.lease {
            Some(_) => MAX_MOVES + 1,
            None => 1,
        };
        let longest_start = START_TIMEOUT
            .saturating_add(template.start_window.saturating_mul(windows))
            .saturating_add(template.stop_plan.total());
        let template = Arc::new(template);
        let mut spec = Self::start_with(id, move |context| start(Arc::clone(&template), context))
            .kind(ChildKind::Process)
            .of_type(type_)
            .tags(terms.tags)
            .enabled(!terms.disabled)
            .capabilities(terms.capabilities)
            .required(terms.required)
            .announced()
            .exits(terms.exits)
            .start_timeout(longest_start)
            // The ladder has a budget for each of its steps.
            .shutdown(Shutdown::Infinity);
        for (id, until) in terms.waits_for {
            spec = spec.waits_for(id, until);
        }
        if let Some(within) = terms.ready_within {
            spec = spec.ready_within(within);
        }
        for probe in terms.probes {
            spec = spec.probe(probe);
        }
        for (key, value) in terms.metadata {
            spec = spec.meta(key, value);
        }
        if terms.once {
            spec = spec.once();
        }
        if let Some(restart) = terms.restart {
            spec = spec.restart(restart);
        }
        if let Some(backoff) = terms.backoff {
            spec = spec.backoff(backoff);
        }
        if let Some(limit) = terms.limit {
            spec = spec.limit(limit);
        }
        if let Some(give_up) = terms.give_up {
            spec = spec.give_up(give_up);
        }
        spec
    }
}
