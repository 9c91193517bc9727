//! One incarnation at work: the task that owns the process and does what its lifecycle decides.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use regrow::Phase;
use regrow::telemetry::{Edge, FiguresGauge, Payload, Span, Stream};
use regrow::trace::TraceContext;
use regrow_core::lifecycle::{Action, Ending, Exit, Lifecycle, Stage, StopPlan};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::actor::exit_reason;
use crate::environment::{self, SpawnError};
use crate::log_file::Keeping;
use crate::os::{self, Identity, Quarry, Signal};
use crate::process::{Stdin, Template};
use crate::readiness::Readiness;
use crate::stdin::Opened;

mod figures;
mod report;

use figures::Books;
use report::Report;

/// How long a look for descendants may hold up what comes after it.
const NOTING: Duration = Duration::from_millis(250);

/// How long an agent that does not read may hold up its stop line.
const STOP_LINE: Duration = Duration::from_millis(250);

/// How much longer than its predecessor's stop plan a start waits for its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// What others want of an incarnation; each wish is stronger than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    Run,
    Stop,
    Kill,
}

/// Where wishes are told. Dropped, it wishes the process dead: nobody is left to supervise it.
#[derive(Debug, Clone)]
pub(crate) struct Wishes(watch::Sender<Wish>);

impl Wishes {
    /// Wishes for `wish`, unless something stronger was wished before.
    pub(crate) fn raise(&self, wish: Wish) {
        self.0.send_if_modified(|wished| {
            let stronger = wish > *wished;
            *wished = wish.max(*wished);
            stronger
        });
    }
}

/// Who is told what happens to an incarnation.
pub(crate) trait Observer: Send + Sync {
    /// Its start window is over.
    fn announced(&self);
    /// It has said that it is ready.
    fn ready(&self);
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
    /// `None` once nobody can wish for anything any more.
    wishes: Option<watch::Receiver<Wish>>,
    stdin: Opened,
    readers: JoinSet<()>,
    readiness: Readiness,
    reading: Reading,
    exit: Option<BoxFuture<io::Result<Exit>>>,
    sweep: Option<JoinHandle<Vec<u32>>>,
    exited: Option<Exit>,
    reaped: Reaped,
    report: Report,
    books: Books,
    /// Who writes the log file, if there is one.
    logging: Option<Keeping>,
    ending: Option<Span>,
    noted: Vec<Identity>,
    /// Held until all of this life is gone, so that the next one does not meet it.
    _berth: OwnedMutexGuard<()>,
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
    /// Spawns life `generation`, which is a part of `trace`; the process is on record when this returns.
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
        let surroundings = environment::surroundings(&template, generation, trace)?;
        let mut command = Command::new(&surroundings.program);
        command.arg0(&template.program).args(&surroundings.args);
        command.env_clear().envs(&surroundings.env);
        command
            .stdin(template.stdin.stdio())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cwd) = &template.cwd {
            command.current_dir(cwd);
        }
        let (mut child, leader) = os::spawn(&mut command)
            .map_err(|source| SpawnError::of_spawn(&surroundings.program, source))?;
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
        let (wishes, wished) = watch::channel(Wish::Run);
        let driver = Self {
            life: Lifecycle::new(plan(&template), template.start_window),
            stdin: template.handle.inlet().open(generation, child.stdin.take()),
            exit: Some(Box::pin(os::exited(leader))),
            generation,
            child,
            leader,
            wishes: Some(wished),
            readers,
            readiness,
            reading: Reading::Open,
            sweep: None,
            exited: None,
            reaped: Reaped::No,
            books: Books::new(&template, generation, leader),
            report: Report::new(&template),
            logging: template
                .journal
                .as_ref()
                .map(|journal| journal.begin(template.handle.output())),
            ending: None,
            noted: Vec::new(),
            _berth: berth,
            template,
        };
        driver.template.handle.update(|status| {
            status.pid = u32::try_from(leader.pid).ok();
            status.port = driver.template.port;
            status.generation = generation;
            status.stopping_stage = None;
            status.spawned_at = Some(SystemTime::now());
        });
        driver
            .template
            .host
            .record(&driver.template.id, generation, leader)
            .await;
        Ok((driver, Wishes(wishes)))
    }

    /// Sees the process to its end, whatever that is, and tells `observer` what happens.
    pub(crate) async fn run(mut self, observer: impl Observer) -> Ending {
        let mut phase = Phase::Starting;
        let mut actions = self.life.on_spawned(Instant::now());
        loop {
            for action in actions {
                match action {
                    Action::Announce => {
                        phase = Phase::Running;
                        observer.announced();
                    }
                    Action::Finish(ending) => return self.finish(ending, phase, &observer).await,
                    Action::NoteDescendants
                    | Action::WriteStopLine
                    | Action::CloseStdin
                    | Action::Signal
                    | Action::Continue
                    | Action::KillGroup
                    | Action::Reap
                    | Action::Sweep { .. }
                    | Action::AbandonPipes => {
                        if let Some(payload) = self.news(&action) {
                            observer.happened(phase, payload);
                        }
                        if action == Action::Reap {
                            self.books.close(&self.template, &observer, self.leader);
                        }
                        self.perform(action).await;
                    }
                }
            }
            let stage = self.life.stage();
            if stage.is_some() {
                phase = Phase::Stopping;
                self.ending.get_or_insert_with(|| begin_ending(&observer));
            }
            self.template
                .handle
                .update(|status| status.stopping_stage = stage);
            self.report
                .tell(&self.template, phase, &observer, Instant::now());
            self.books.show(&self.template, &observer);
            actions = self.next(&observer).await;
        }
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
                let exit = self.exit_of(exit).await;
                self.exited = Some(exit);
                self.life.on_exit(exit, Instant::now())
            }
            swept = poll(&mut self.sweep), if self.sweep.is_some() => {
                self.sweep = None;
                self.life.on_swept(swept.unwrap_or_default(), Instant::now())
            }
            wish = next_wish(&mut self.wishes), if self.wishes.is_some() => match wish {
                Wish::Run => Vec::new(),
                Wish::Stop => self.life.on_stop(Instant::now()),
                Wish::Kill => self.life.on_kill(Instant::now()),
            },
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
            () = self.report.next(&self.template) => Vec::new(),
            () = self.books.next() => Vec::new(),
            () = timer, if wakeup.is_some() => self.life.on_wakeup(Instant::now()),
        }
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::NoteDescendants => self.note_descendants().await,
            Action::WriteStopLine => self.write_stop_line().await,
            Action::CloseStdin => self.stdin.close(),
            Action::Signal => self.signal(self.template.stop_signal),
            Action::Continue => self.signal(Signal::Cont),
            Action::KillGroup => self.signal(Signal::Kill),
            Action::Reap => self.reap(),
            Action::Sweep { until } => {
                self.sweep = Some(tokio::spawn(os::sweep(self.quarry(), until)));
            }
            Action::AbandonPipes => self.readers.abort_all(),
            Action::Announce | Action::Finish(_) => unreachable!("done by the loop"),
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

    fn reap(&mut self) {
        match os::reap(&mut self.child, self.leader) {
            Ok(Some(_)) => self.reaped = Reaped::Yes,
            Ok(None) => {}
            Err(error) => tracing::warn!(agent = self.template.id, %error, "failed to reap"),
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

    /// All that may be left of this life.
    fn quarry(&self) -> Quarry {
        let mut noted = self.noted.clone();
        noted.extend(self.books.seen());
        Quarry {
            marks: vec![self.template.host.marks(&self.template.id, self.generation)],
            leaders: vec![self.leader],
            noted,
            not_before: self.leader.start_time,
        }
    }

    async fn finish(
        mut self,
        mut ending: Ending,
        phase: Phase,
        observer: &impl Observer,
    ) -> Ending {
        self.readers.abort_all();
        if let Some(logging) = self.logging.take() {
            logging.finish().await;
        }
        self.report.tell_rest(&self.template, phase, observer);
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
        self.template.host.forget(&self.template.id).await;
        self.template.handle.show(None);
        self.template.handle.update(|status| {
            status.pid = None;
            status.stopping_stage = None;
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

/// The next wish. When nobody is left to wish, that is the wish to be killed, told once.
async fn next_wish(wishes: &mut Option<watch::Receiver<Wish>>) -> Wish {
    let Some(wished) = wishes else {
        return std::future::pending().await;
    };
    if wished.changed().await.is_ok() {
        return *wished.borrow_and_update();
    }
    *wishes = None;
    Wish::Kill
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
    // Nothing drains yet.
    let mut plan = template.stop_plan.stage(Stage::Drain, Duration::ZERO);
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
