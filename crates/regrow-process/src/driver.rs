//! One incarnation at work: the task that owns the process and does what its lifecycle decides.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use regrow::Phase;
use regrow::telemetry::{Edge, FiguresGauge, Payload, Span, Stream};
use regrow::trace::TraceContext;
use regrow_core::lifecycle::{Action, Ending, Exit, Lifecycle, Stage, StopPlan};
use tokio::process::Child;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;

use crate::actor::exit_reason;
use crate::environment::SpawnError;
use crate::log_file::Keeping;
use crate::os::{self, Identity, LifeGroup, Signal};
use crate::process::{Stdin, Template};
use crate::readiness::Readiness;
use crate::socket;
use crate::stdin::Opened;

mod command;
mod figures;
mod hold;
mod late;
mod limits;
mod moved;
mod notify;
mod remains;
mod report;
mod wishes;

pub(crate) use command::OwnStdin;
use command::Spawned;
use figures::Books;
pub(crate) use hold::{Order, Orders, orders};
pub use hold::{SignalError, SignalTo};
use notify::Notices;
use report::Report;
use wishes::News;
pub(crate) use wishes::{Hold, Wish, Wishes};

/// How long a look for descendants may hold up what comes after it.
const NOTING: Duration = Duration::from_millis(250);

/// How long an agent that does not read may hold up its stop line.
const STOP_LINE: Duration = Duration::from_millis(250);

/// How much longer than its predecessor's stop plan a start waits for its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who is told what happens to an incarnation.
pub(crate) trait Observer: Send + Sync {
    /// Its start window is over.
    fn announced(&self);
    /// It has said that it is ready.
    fn ready(&self);
    /// It has run for as long as it may.
    fn expired(&self);
    /// It has used too much memory for too long.
    fn overran(&self, why: String);
    /// What it had to finish before it is asked to stop is done.
    fn drained(&self);
    /// Something happened while it was in this phase.
    fn happened(&self, phase: Phase, payload: Payload);
    /// Something begins that takes time.
    fn begins(&self, phase: Phase, payload: Payload) -> Span;
    /// Where what it uses is shown, if anywhere.
    fn gauge(&self) -> Option<FiguresGauge>;
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A spawned process and all that is needed to see it to its end.
pub(crate) struct Driver {
    template: Arc<Template>,
    generation: u32,
    child: Child,
    leader: Identity,
    life: Lifecycle,
    wishes: wishes::Wished,
    orders: mpsc::Receiver<Order>,
    /// An order that has come, and is not carried out yet.
    order: Option<Order>,
    stdin: Opened,
    readers: JoinSet<()>,
    readiness: Readiness,
    notices: Notices,
    reading: Reading,
    exit: Option<BoxFuture<io::Result<Exit>>>,
    sweep: Option<os::Swept>,
    exited: Option<Exit>,
    window: Window,
    reaped: Reaped,
    report: Report,
    books: Books,
    /// Who writes the log file, if there is one.
    logging: Option<Keeping>,
    ending: Option<Span>,
    noted: Vec<Identity>,
    /// Its control group, where each life has one.
    group: Option<LifeGroup>,
    /// Its other end of the standard input, where that is ours to keep.
    own_stdin: OwnStdin,
    /// Held until all of this life is gone, so that the next one does not meet it.
    berth: Option<OwnedMutexGuard<()>>,
}

/// Its start window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Open,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaped {
    No,
    Yes,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            generation,
            leader,
            life,
            ..
        } = self;
        f.debug_struct("Driver")
            .field("agent", &self.template.id)
            .field("generation", generation)
            .field("leader", leader)
            .field("life", life)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// Spawns life `generation`, which is a part of `trace`. From the moment in which there is a process nothing is waited for here:
    /// whoever is not interested any more would leave a process that nobody sees to its end.
    pub(crate) async fn spawn(
        template: Arc<Template>,
        generation: u32,
        trace: &TraceContext,
    ) -> Result<(Self, Wishes), SpawnError> {
        let patience = template.stop_plan.total().saturating_add(PATIENCE);
        let berth = template.host.berth(&template.id, patience).await;
        let berth = berth.ok_or_else(|| SpawnError::StillRunning {
            id: template.id.clone(),
        })?;
        moved::place(&template)?;
        let (wishes, wished) = Wishes::new();
        let driver = Self::spawn_at(berth, wished, template, generation, trace).await?;
        Ok((driver, wishes))
    }

    /// Spawns it in a berth that is its own, for those who told `wished` what they want.
    async fn spawn_at(
        berth: OwnedMutexGuard<()>,
        wished: wishes::Wished,
        template: Arc<Template>,
        generation: u32,
        trace: &TraceContext,
    ) -> Result<Self, SpawnError> {
        let notices = Notices::open(&template.id);
        let Spawned {
            mut child,
            leader,
            port,
            mut stdin,
        } = command::spawn(&template, generation, trace, notices.name()).await?;
        let mut readers = JoinSet::new();
        let output = template.handle.output();
        let readiness = Readiness::new(template.ready_line.clone());
        if let Some(stdout) = child.stdout.take() {
            let (output, stdout) = (output.clone(), readiness.watch(stdout));
            readers.spawn(async move { output.read(stdout, Stream::Stdout, generation).await });
        }
        if let Some(stderr) = child.stderr.take() {
            let (output, stderr) = (output.clone(), readiness.watch(stderr));
            readers.spawn(async move { output.read(stderr, Stream::Stderr, generation).await });
        }
        let orders = template.handle.take_orders();
        let driver = Self {
            life: Lifecycle::new(plan(&template), template.start_window)
                .max_runtime(template.max_runtime),
            stdin: template.handle.inlet().open(generation, stdin.take()),
            exit: Some(Box::pin(os::exited(leader))),
            generation,
            child,
            leader,
            wishes: wished,
            orders,
            order: None,
            readers,
            readiness,
            notices,
            reading: Reading::Open,
            sweep: None,
            exited: None,
            window: Window::Open,
            reaped: Reaped::No,
            books: Books::new(&template, generation, leader),
            report: Report::new(&template),
            logging: template
                .journal
                .as_ref()
                .map(|journal| journal.begin(template.handle.output())),
            ending: None,
            noted: Vec::new(),
            group: template.host.group(&template.id, generation, leader),
            own_stdin: stdin,
            berth: Some(berth),
            template,
        };
        driver.show_spawned(port);
        Ok(driver)
    }

    /// Shows those who look that this life is there.
    fn show_spawned(&self, port: Option<u16>) {
        self.template.handle.update(|status| {
            status.pid = u32::try_from(self.leader.pid).ok();
            status.port = port;
            status.socket.clone_from(&self.template.socket);
            status.generation = self.generation;
            status.stopping_stage = None;
            status.paused = false;
            status.be_silent();
            status.spawned_at = Some(SystemTime::now());
        });
    }

    /// Sees the process to its end, whatever that is, and tells `observer` what happens.
    pub(crate) async fn run(mut self, observer: impl Observer) -> Ending {
        loop {
            let ending = self.live(&observer).await;
            match self.again_elsewhere(&ending, &observer).await {
                Some(next) => self = next,
                None => return ending,
            }
        }
    }

    async fn live(&mut self, observer: &impl Observer) -> Ending {
        let mut phase = Phase::Starting;
        let host = self.template.host.clone();
        host.record(&self.template.id, self.generation, self.leader)
            .await;
        let mut actions = self.life.on_spawned(Instant::now());
        loop {
            for action in actions {
                match action {
                    Action::Announce => {
                        phase = Phase::Running;
                        self.window = Window::Over;
                        observer.announced();
                    }
                    Action::Expire => observer.expired(),
                    Action::Finish(ending) => return self.finish(ending, phase, observer).await,
                    Action::NoteDescendants
                    | Action::WriteStopLine
                    | Action::CloseStdin
                    | Action::Signal
                    | Action::Continue
                    | Action::Pause
                    | Action::Resume
                    | Action::KillGroup
                    | Action::Reap
                    | Action::Sweep { .. }
                    | Action::AbandonPipes => {
                        if let Some(payload) = self.news(&action) {
                            observer.happened(phase, payload);
                        }
                        if action == Action::Reap {
                            self.books.close(&self.template, observer, self.leader);
                        }
                        self.perform(action).await;
                    }
                }
            }
            self.carry_out(phase, observer);
            phase = self.stands(phase, observer);
            self.report
                .tell(&self.template, phase, observer, Instant::now());
            self.tell_refused(Some(Instant::now()), phase, observer);
            self.books.show(&self.template, phase, observer);
            actions = self.next(observer).await;
        }
    }

    /// Where it stands now, told to those who can see it.
    fn stands(&mut self, before: Phase, observer: &impl Observer) -> Phase {
        let (stage, paused) = (self.life.stage(), self.life.is_paused());
        let phase = match (stage, before) {
            (Some(Stage::Drain), _) => Phase::Draining,
            (Some(_), _) => Phase::Stopping,
            (None, Phase::Running) if paused => Phase::Paused,
            (None, Phase::Paused) if !paused => Phase::Running,
            (None, _) => before,
        };
        if stage.is_some() {
            self.ending.get_or_insert_with(|| begin_ending(observer));
        }
        if before == Phase::Draining && phase != before {
            observer.drained();
        }
        self.template.handle.update(|status| {
            status.stopping_stage = stage;
            status.paused = paused;
        });
        self.wishes.fulfilled();
        phase
    }

    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.leader.pid).unwrap_or_default()
    }

    /// What others learn of an action.
    fn news(&self, action: &Action) -> Option<Payload> {
        let signalled = |signal: Signal| Payload::ProcessSignalled {
            pid: self.pid(),
            signal: signal.as_str(),
        };
        match action {
            Action::Signal => Some(signalled(self.template.stop_signal)),
            Action::Pause => Some(signalled(Signal::Stop)),
            Action::Resume => Some(signalled(Signal::Cont)),
            // After the exit it is only for what may be left of the group.
            Action::KillGroup if self.exited.is_none() => Some(signalled(Signal::Kill)),
            Action::Reap => self.exited.map(|exit| Payload::ProcessExited {
                pid: self.pid(),
                reason: exit_reason(exit),
            }),
            Action::KillGroup
            | Action::Announce
            | Action::NoteDescendants
            | Action::WriteStopLine
            | Action::CloseStdin
            | Action::Continue
            | Action::Expire
            | Action::Sweep { .. }
            | Action::AbandonPipes
            | Action::Finish(_) => None,
        }
    }

    /// Waits for the next thing that happens, and asks the lifecycle what to do about it.
    async fn next(&mut self, observer: &impl Observer) -> Vec<Action> {
        let wakeup = self.life.next_wakeup();
        let timer = tokio::time::sleep_until(wakeup.unwrap_or_else(Instant::now).into());
        tokio::select! {
            exit = poll(&mut self.exit), if self.exit.is_some() => {
                self.exit = None;
                self.stdin.over();
                self.notices.close();
                self.own_stdin.unread();
                let exit = self.exit_of(exit).await;
                self.exited = Some(exit);
                self.life.on_exit(exit, Instant::now())
            }
            swept = poll(&mut self.sweep), if self.sweep.is_some() => {
                self.sweep = None;
                self.life.on_swept(swept, Instant::now())
            }
            news = self.wishes.next() => self.wished(news),
            Some(order) = self.orders.recv() => {
                self.order = Some(order);
                Vec::new()
            }
            () = self.template.handle.idle(), if self.life.stage() == Some(Stage::Drain) => {
                self.life.on_drained(Instant::now())
            }
            read = self.readers.join_next(), if self.reading == Reading::Open => {
                if read.is_some() {
                    return Vec::new();
                }
                self.reading = Reading::Closed;
                self.life.on_streams_closed(Instant::now())
            }
            () = self.readiness.heard(), if self.readiness.is_awaited() => {
                observer.ready();
                Vec::new()
            }
            heard = self.notices.next() => self.noticed(heard),
            () = self.report.next(&self.template) => Vec::new(),
            () = self.books.next() => Vec::new(),
            () = timer, if wakeup.is_some() => self.life.on_wakeup(Instant::now()),
        }
    }

    /// What the lifecycle wants done about what others want.
    fn wished(&mut self, news: News) -> Vec<Action> {
        let now = Instant::now();
        let mut actions = match news.hold {
            Some(Hold::Pause) => self.life.on_pause(now),
            Some(Hold::GoOn) => self.life.on_resume(now),
            None => Vec::new(),
        };
        actions.extend(match news.wish {
            Some(Wish::Stop) => self.life.on_stop(now),
            Some(Wish::Kill) => self.life.on_kill(now),
            Some(Wish::Run) | None => Vec::new(),
        });
        // Nobody uses it: then there is nothing to finish, and it never drains.
        if self.life.stage() == Some(Stage::Drain) && self.template.handle.in_flight() == 0 {
            actions.extend(self.life.on_drained(now));
        }
        actions
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::NoteDescendants => self.note_descendants().await,
            Action::WriteStopLine => self.write_stop_line().await,
            Action::CloseStdin => self.stdin.close(),
            Action::Signal => self.signal(self.template.stop_signal),
            Action::Continue => self.signal(Signal::Cont),
            Action::Pause => self.pause().await,
            Action::Resume => self.resume().await,
            Action::KillGroup => self.signal(Signal::Kill),
            Action::Reap => self.reap().await,
            Action::Sweep { until } => {
                let quarry = self.quarry();
                self.sweep = Some(match self.reaped {
                    Reaped::Yes => os::sweep_life(quarry, until),
                    Reaped::No => os::begin_sweep(quarry, until),
                });
            }
            Action::AbandonPipes => self.readers.abort_all(),
            Action::Announce | Action::Expire | Action::Finish(_) => {
                unreachable!("done by the loop")
            }
        }
    }

    /// Later on, once the leader is gone, its descendants can no longer be told from strangers.
    async fn note_descendants(&mut self) {
        match tokio::time::timeout(NOTING, os::descendants(self.leader)).await {
            Ok(noted) => {
                self.noted.extend(noted);
                self.noted.sort_unstable();
                self.noted.dedup();
            }
            Err(_late) => {
                tracing::warn!(
                    agent = self.template.id,
                    "looking for descendants takes too long"
                );
            }
        }
    }

    async fn write_stop_line(&mut self) {
        let Some(line) = &self.template.stop_line else {
            return;
        };
        if let Err(error) = self.stdin.ask(line, STOP_LINE).await {
            tracing::debug!(agent = self.template.id, %error, "failed to write the stop line");
        }
    }

    /// The lifecycle asks for this only while the leader is not reaped, so the group is ours.
    fn signal(&self, signal: Signal) {
        if let Err(error) = os::signal_group(self.leader, signal) {
            tracing::debug!(agent = self.template.id, %signal, %error, "failed to signal the group");
        }
    }

    /// What the watch told, or where it failed, what waiting tells.
    async fn exit_of(&mut self, watched: io::Result<Exit>) -> Exit {
        let error = match watched {
            Ok(exit) => return exit,
            Err(error) => error,
        };
        tracing::warn!(agent = self.template.id, %error, "failed to watch for the exit; waiting instead");
        match self.child.wait().await {
            Ok(status) => os::exit_of_status(status),
            Err(_stolen) => Exit::Code(-1),
        }
    }

    async fn finish(
        &mut self,
        mut ending: Ending,
        phase: Phase,
        observer: &impl Observer,
    ) -> Ending {
        self.readers.abort_all();
        self.orders.close();
        self.await_the_late(&mut ending, phase, observer).await;
        if let Some(logging) = self.logging.take() {
            logging.finish().await;
        }
        self.report.tell_rest(&self.template, phase, observer);
        self.tell_refused(None, phase, observer);
        if self.reaped == Reaped::No {
            ending.leaked.extend(u32::try_from(self.leader.pid).ok());
        }
        ending.leaked.sort_unstable();
        ending.leaked.dedup();
        if !ending.leaked.is_empty() {
            let pids = ending.leaked.clone();
            observer.happened(phase, Payload::ProcessLeaked { pids });
        }
        // With no time for any step it may end in the moment in which it was asked.
        let mut span = self.ending.take().unwrap_or_else(|| begin_ending(observer));
        if let Payload::ProcessShutdown { stage, .. } = span.payload() {
            *stage = report::stage(ending.stage);
        }
        if ending.leaked.is_empty() {
            span.stop();
        } else {
            span.exception("something could not be ended");
        }
        if let Some(Err(error)) = self.template.socket.as_deref().map(socket::remove) {
            tracing::debug!(agent = self.template.id, %error, "failed to remove its socket");
        }
        self.template.host.forget(&self.template.id).await;
        self.template.handle.show(None);
        self.template.handle.update(|status| {
            status.pid = None;
            status.stopping_stage = None;
            status.paused = false;
            status.be_silent();
            status.spawned_at = None;
            status.leaked.clone_from(&ending.leaked);
        });
        ending
    }
}

impl Drop for Driver {
    /// A driver that is dropped before its end takes the whole group with it; tokio kills the leader only.
    fn drop(&mut self) {
        if self.reaped == Reaped::No {
            self.signal(Signal::Kill);
        }
    }
}

/// The end of a process begins.
fn begin_ending(observer: &impl Observer) -> Span {
    let stage = report::stage(None);
    let edge = Edge::Start;
    observer.begins(Phase::Stopping, Payload::ProcessShutdown { edge, stage })
}

/// Polls a future that may not be there; only where a guard made sure that it is.
async fn poll<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// The stop plan without the stages that this agent has no use for.
fn plan(template: &Template) -> StopPlan {
    let mut plan = template.stop_plan;
    if template.stop_line.is_none() || template.stdin == Stdin::Null {
        plan = plan.stage(Stage::Ask, Duration::ZERO);
    }
    match template.stdin {
        Stdin::Pipe => plan,
        Stdin::Null => plan.stage(Stage::CloseStdin, Duration::ZERO),
    }
}

#[cfg(test)]
mod tests;
