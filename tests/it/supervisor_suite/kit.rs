//! What OTP's suite has for helpers, in our words.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::telemetry::EventStream;
use regrow::testing::{Bare, Puppet, PuppetMessage, TestSystem};
use regrow::{
    ChildSpec, DynamicSupervisor, ExitReason, OperateError, Payload, Phase, Restart, Shutdown,
    StartContext, StartFailure, Strategy, Supervisor,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// OTP's `{Strategy, Intensity, 3600}`, called `sup`.
pub(super) fn sup(strategy: Strategy, intensity: u32) -> Supervisor {
    Supervisor::new("sup")
        .otp_compat()
        .strategy(strategy)
        .max_restarts(intensity, HOUR)
}

/// OTP's `{one_for_one, 2, 3600}`.
pub(super) fn one_for_one() -> Supervisor {
    sup(Strategy::OneForOne, 2)
}

/// OTP's `{simple_one_for_one, Intensity, 3600}`.
pub(super) fn simple(intensity: u32) -> DynamicSupervisor {
    DynamicSupervisor::new("sup")
        .otp_compat()
        .max_restarts(intensity, HOUR)
}

/// OTP's `supervisor_1`: permanent, a second to stop.
pub(super) fn worker(id: &str) -> ChildSpec {
    Puppet::spec(id).shutdown(SECOND)
}

/// A worker whose first start succeeds; all others do not.
pub(super) fn starts_once(id: &str) -> ChildSpec {
    use regrow::testing::PuppetStart::{Refuse, Up};
    Puppet::scripted(id, [Up, Refuse]).shutdown(SECOND)
}

/// The three restart types.
pub(super) const RESTARTS: [Restart; 3] =
    [Restart::Permanent, Restart::Transient, Restart::Temporary];

/// The strategies of a supervisor that knows its children.
pub(super) const STRATEGIES: [Strategy; 3] = [
    Strategy::OneForOne,
    Strategy::OneForAll,
    Strategy::RestForOne,
];

/// How a test ends a child; the suite's `terminate/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It ends by itself.
    Normal,
    /// It ends by itself with `shutdown`.
    Shutdown,
    /// It ends by itself with `{shutdown, some_info}`.
    ShutdownFor,
    /// It returns an error.
    Abnormal,
    /// It panics.
    Panic,
    /// It is killed from outside.
    Kill,
    /// Its supervisor is asked to.
    Supervisor,
}

/// A system whose lives are written down: `a/1 started`, `a/1 killed`. Its root is called `sup`, which no path tells.
pub(super) struct Suite {
    system: TestSystem,
    lives: EventStream,
}

impl Deref for Suite {
    type Target = TestSystem;

    fn deref(&self) -> &TestSystem {
        &self.system
    }
}

impl DerefMut for Suite {
    fn deref_mut(&mut self) -> &mut TestSystem {
        &mut self.system
    }
}

impl Suite {
    pub(super) async fn start(tree: impl Into<Supervisor>) -> Self {
        let system = TestSystem::start(tree).await;
        let lives = system.telemetry().subscribe(100_000);
        let lives = lives.expect("a new event stream has room for a handler");
        Self { system, lives }
    }

    /// What has begun and ended since it was last asked, when all is quiet.
    pub(super) async fn story(&mut self) -> Vec<String> {
        self.settle().await;
        self.told()
    }

    /// The same, sorted: of those who end together, nobody is the first.
    pub(super) async fn sorted_story(&mut self) -> Vec<String> {
        let mut story = self.story().await;
        story.sort();
        story
    }

    /// What has begun and ended until now.
    pub(super) fn told(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = self.lives.try_next() {
            let what = if let Payload::ChildStarted { .. } = &event.payload {
                "started"
            } else if let Payload::ChildStartFailed { .. } = &event.payload {
                "did not start"
            } else if let Payload::ChildTerminated { reason, .. } = &event.payload {
                reason.kind().as_str()
            } else {
                continue;
            };
            let path = event.subject.path.as_str();
            let path = path.strip_prefix("sup/").unwrap_or(path);
            lines.push(format!("{path}/{} {what}", event.subject.generation));
        }
        lines
    }

    /// Waits until all is quiet.
    pub(super) async fn settle(&mut self) {
        drop(self.system.happened().await);
    }

    /// Ends a child and waits until all is quiet.
    pub(super) async fn end(&mut self, id: &str, how: End) {
        self.begin_end(id, how);
        if how == End::Supervisor {
            self.terminate(id).await;
        }
        self.settle().await;
    }

    /// Ends a child, unless its supervisor has to, and waits for nothing.
    pub(super) fn begin_end(&self, id: &str, how: End) {
        let puppet = self.system.puppet(&format!("sup/{id}"));
        match how {
            End::Normal => puppet.exit(),
            End::Shutdown => puppet.shut_down(),
            End::ShutdownFor => puppet.shut_down_for("some info"),
            End::Abnormal => puppet.fail("died"),
            End::Panic => puppet.crash("died"),
            End::Kill => puppet.kill(),
            End::Supervisor => {}
        }
    }

    /// `supervisor:terminate_child` that answers `ok`.
    pub(super) async fn terminate(&self, id: &str) {
        let answer = self.system.terminate_child(&format!("sup/{id}")).await;
        drop(answer.expect("the child is there"));
    }

    /// `supervisor:start_child`, as [`answer`] tells it.
    pub(super) async fn add(&self, spec: ChildSpec) -> String {
        answer(self.system.start_child("sup", spec).await)
    }

    /// `supervisor:restart_child`, as [`answer`] tells it.
    pub(super) async fn restart(&self, id: &str) -> String {
        answer(self.system.restart_child(&format!("sup/{id}")).await)
    }

    /// `supervisor:delete_child`, as [`answer`] tells it.
    pub(super) async fn delete(&self, id: &str) -> String {
        match self.system.delete_child(&format!("sup/{id}")).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => refusal(&error).to_owned(),
        }
    }

    /// Gives the supervisor new rules: `ok`, or the refusal.
    pub(super) async fn becomes(&self, rules: impl Into<Supervisor>) -> &'static str {
        match self.system.reconfigure("sup", rules).await {
            Ok(_) => "ok",
            Err(error) => refusal(&error),
        }
    }

    /// The suite's `get_child_counts`: specs, active, supervisors, workers.
    pub(super) async fn counts(&self) -> [u32; 4] {
        self.counts_of("sup").await
    }

    pub(super) async fn counts_of(&self, path: &str) -> [u32; 4] {
        let counts = self.system.count_children(path).await;
        let counts = counts.expect("the supervisor runs");
        [
            counts.specs,
            counts.active,
            counts.supervisors,
            counts.workers,
        ]
    }

    /// `which_children`, in start order: `a/2` has its second life, `b undefined` none, `c restarting` waits for one.
    pub(super) async fn which(&self) -> Vec<String> {
        self.which_of("sup").await
    }

    pub(super) async fn which_of(&self, path: &str) -> Vec<String> {
        let children = self.system.which_children(path).await;
        let children = children.expect("the supervisor runs");
        let tell = |child: &regrow::ChildInfo| match child.phase {
            Phase::Running => format!("{}/{}", child.id, child.generation),
            Phase::Backoff | Phase::Starting => format!("{} restarting", child.id),
            Phase::Pending | Phase::Completed | Phase::Stopped | Phase::Failed => {
                format!("{} undefined", child.id)
            }
            Phase::Paused | Phase::Draining | Phase::Stopping => {
                format!("{} {}", child.id, child.phase.as_str())
            }
        };
        children.iter().map(tell).collect()
    }

    /// The supervisor has ended by itself, with `shutdown`, as OTP's does however it came to that.
    pub(super) async fn has_ended(&mut self) {
        self.settle().await;
        let reason = self.system.end_reason();
        assert!(
            matches!(reason, Some(ExitReason::Shutdown)),
            "sup should have ended: {reason:?}"
        );
    }

    /// The suite's `terminate(Pid, shutdown)`: all is stopped, and the reason is `shutdown`.
    pub(super) async fn stop(&self) {
        let report = self.system.shut_down().await;
        assert!(matches!(report.reason, ExitReason::Shutdown), "{report:?}");
    }
}

/// What an operation that starts a child has answered: its life, as [`Suite::which`] tells it, or the refusal.
pub(super) fn answer(answer: Result<regrow::ChildInfo, OperateError>) -> String {
    match answer {
        Ok(child) if child.phase == Phase::Running => format!("{}/{}", child.id, child.generation),
        Ok(child) => format!("{} undefined", child.id),
        Err(error) => refusal(&error).to_owned(),
    }
}

/// OTP's word for a refusal.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors that OTP has no word for"
)]
pub(super) fn refusal(error: &OperateError) -> &'static str {
    match error {
        OperateError::NotFound { .. } => "not_found",
        OperateError::AlreadyStarted { .. } => "already_started",
        OperateError::AlreadyPresent { .. } => "already_present",
        OperateError::Running { .. } => "running",
        OperateError::Restarting { .. } => "restarting",
        OperateError::Gone { .. } => "noproc",
        OperateError::DidNotStart { .. } => "did not start",
        OperateError::InvalidTree(_) | OperateError::InvalidId { .. } => "invalid",
        _ => "error",
    }
}

/// An actor that is given something heavy and keeps nothing of it.
#[derive(Clone, Copy, Debug)]
struct Forgets;

impl Actor for Forgets {
    type Msg = PuppetMessage;
    type State = ();
    type Arguments = Arc<()>;

    async fn pre_start(
        &self,
        _: ActorRef<PuppetMessage>,
        _: Arc<()>,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// A worker with start parameters, of which it keeps nothing: whoever holds them is its supervisor.
pub(super) fn with_parameters(id: &str, parameters: &Arc<()>, restart: Restart) -> ChildSpec {
    ChildSpec::actor(id, Forgets, Arc::clone(parameters)).restart(restart)
}

/// OTP's `supervisor_deadlock`: workers whose starts fail, after two seconds, while it is on.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlock(Arc<AtomicBool>);

impl Deadlock {
    pub(super) fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    pub(super) fn worker(&self, id: &str) -> ChildSpec {
        let fails = Arc::clone(&self.0);
        let start = move |context: StartContext| {
            let fails = Arc::clone(&fails);
            async move {
                if fails.load(Ordering::Relaxed) {
                    drop(tokio::time::timeout(SECOND * 2, std::future::pending::<()>()).await);
                    return Err(StartFailure::retry("a deadlock"));
                }
                let (actor, _) = Bare::spawn_linked(None, Bare, (), context.supervisor()).await?;
                Ok(actor)
            }
        };
        ChildSpec::start_with(id, start).shutdown(Shutdown::BrutalKill)
    }
}
