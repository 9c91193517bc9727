//! A test kit on paused time: puppets that do as they are told, and waits for events, never for time.
//!
//! ```
//! use regrow::testing::{Puppet, TestSystem};
//! use regrow::{Strategy, Supervisor};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let tree = Supervisor::new("root")
//!     .strategy(Strategy::RestForOne)
//!     .child(Puppet::spec("a"))
//!     .child(Puppet::spec("b"));
//! let mut system = TestSystem::start(tree).await;
//!
//! system.puppet("root/a").crash("boom");
//!
//! system.expect("regrow.child.terminated", "root/b").await;
//! system.expect("regrow.child.started", "root/a").await;
//! system.expect("regrow.child.started", "root/b").await;
//! system.quiet().await;
//! # }
//! ```
//!
//! Use it under `#[tokio::test(start_paused = true)]`: tokio then advances the time whenever nobody can run, so a delay of a
//! minute passes at once and a real deadlock is found at once. With real input and output time must not be paused.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write;
use std::io::Write as _;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use crate::address::Address;
use crate::child::ChildSpec;
use crate::exit::{ExitReason, Ignore};
use crate::supervisor::Supervisor;
use crate::system::{ShutdownReport, StartError, System};
use crate::telemetry::{Event, EventStream, Telemetry};

/// How long, in paused time, an expected event may take. It is longer than every default of this crate.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// How long an expected event may take where time is not paused. It is longer than every event takes on a loaded machine.
const REAL_PATIENCE: Duration = Duration::from_secs(60);

/// How long, in paused time, nothing may happen for the system to be quiet.
const QUIET: Duration = Duration::from_secs(1);

/// How many events a test may leave unread.
const CAPACITY: usize = 100_000;

/// An actor that does as it is told.
#[derive(Clone, Debug)]
pub struct Puppet {
    /// What its starts do, one after the other.
    script: Arc<[PuppetStart]>,
    starts: Arc<AtomicUsize>,
    /// How long `post_stop` takes.
    slow_stop: Duration,
}

/// What a start of a [`Puppet`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PuppetStart {
    /// It succeeds.
    Up,
    /// It returns an error.
    Refuse,
    /// It panics.
    Panic,
    /// It never returns.
    Hang,
    /// It asks not to be started ([`Ignore`]).
    Ignore,
}

/// What a [`Puppet`] can be told.
#[derive(Clone, Debug)]
pub enum PuppetMessage {
    /// Panic with this message.
    Crash(String),
    /// Return an error with this message.
    Fail(String),
    /// End by itself.
    Exit,
    /// End by itself with the reason `shutdown`.
    ShutDown,
    /// End by itself with the reason `shutdown: ` and this text, which is OTP's `{shutdown, Term}`.
    ShutDownFor(String),
    /// Never finish handling this message.
    Hang,
}

// With this feature of ractor on, what is a message has to say so.
#[cfg(feature = "cluster")]
impl ractor::Message for PuppetMessage {}

impl Puppet {
    fn new(script: impl IntoIterator<Item = PuppetStart>) -> Self {
        Self {
            script: script.into_iter().collect(),
            starts: Arc::default(),
            slow_stop: Duration::ZERO,
        }
    }

    fn times(times: u32, start: PuppetStart) -> impl Iterator<Item = PuppetStart> {
        (0..times).map(move |_| start).chain([PuppetStart::Up])
    }

    /// One whose starts do this, one after the other over all its lives; the last is repeated, and an empty script means
    /// [`PuppetStart::Up`].
    pub fn scripted(id: &str, script: impl IntoIterator<Item = PuppetStart>) -> ChildSpec {
        ChildSpec::actor(id, Self::new(script), ())
    }

    /// One whose first `times` starts ask not to be started.
    pub fn ignoring(id: &str, times: u32) -> ChildSpec {
        Self::scripted(id, Self::times(times, PuppetStart::Ignore))
    }

    /// One that starts and stops at once.
    pub fn spec(id: &str) -> ChildSpec {
        Self::scripted(id, [])
    }

    /// One whose first `times` starts return an error.
    pub fn refusing(id: &str, times: u32) -> ChildSpec {
        Self::scripted(id, Self::times(times, PuppetStart::Refuse))
    }

    /// One whose first `times` starts panic.
    pub fn panicking(id: &str, times: u32) -> ChildSpec {
        Self::scripted(id, Self::times(times, PuppetStart::Panic))
    }

    /// One whose first `times` starts never return.
    pub fn hanging(id: &str, times: u32) -> ChildSpec {
        Self::scripted(id, Self::times(times, PuppetStart::Hang))
    }

    /// One that takes `time` to stop.
    pub fn stopping_slowly(id: &str, time: Duration) -> ChildSpec {
        ChildSpec::actor(
            id,
            Self {
                slow_stop: time,
                ..Self::new([])
            },
            (),
        )
    }
}

#[ractor::actor(message = PuppetMessage)]
impl Puppet {
    async fn pre_start(
        &self,
        _: ActorRef<PuppetMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let start = self.script.get(start).or(self.script.last());
        match start.unwrap_or(&PuppetStart::Up) {
            PuppetStart::Up => Ok(()),
            PuppetStart::Refuse => Err("the puppet refuses to start".into()),
            PuppetStart::Panic => panic!("the puppet panics at its start"),
            PuppetStart::Hang => std::future::pending().await,
            PuppetStart::Ignore => Err(Ignore.into()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<PuppetMessage>,
        message: PuppetMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PuppetMessage::Crash(text) => panic!("{text}"),
            PuppetMessage::Fail(text) => Err(text.into()),
            PuppetMessage::Exit => {
                myself.stop(None);
                Ok(())
            }
            PuppetMessage::ShutDown => {
                myself.stop(Some("shutdown".to_owned()));
                Ok(())
            }
            PuppetMessage::ShutDownFor(why) => {
                myself.stop(Some(format!("shutdown: {why}")));
                Ok(())
            }
            PuppetMessage::Hang => std::future::pending().await,
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<PuppetMessage>,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        tokio::time::sleep(self.slow_stop).await;
        Ok(())
    }
}

/// The strings of one puppet.
#[derive(Clone, Debug)]
pub struct Strings {
    address: Address<PuppetMessage>,
}

impl Strings {
    #[track_caller]
    fn pull(&self, message: PuppetMessage) {
        if let Err(error) = self.address.send(message) {
            panic!("failed to tell the puppet: {error}");
        }
    }

    /// Makes it panic.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn crash(&self, message: &str) {
        self.pull(PuppetMessage::Crash(message.to_owned()));
    }

    /// Makes it return an error.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn fail(&self, message: &str) {
        self.pull(PuppetMessage::Fail(message.to_owned()));
    }

    /// Makes it end by itself.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn exit(&self) {
        self.pull(PuppetMessage::Exit);
    }

    /// Makes it end by itself with the reason `shutdown`.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn shut_down(&self) {
        self.pull(PuppetMessage::ShutDown);
    }

    /// Makes it end by itself with the reason `shutdown: why`.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn shut_down_for(&self, why: &str) {
        self.pull(PuppetMessage::ShutDownFor(why.to_owned()));
    }

    /// Kills it from outside: nobody asked its supervisor.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn kill(&self) {
        assert!(
            self.address.kill(),
            "failed to kill the puppet: it is not running"
        );
    }

    /// Makes it hang in its handler, so that only a kill ends it.
    ///
    /// # Panics
    /// When it is not running.
    #[track_caller]
    pub fn hang(&self) {
        self.pull(PuppetMessage::Hang);
    }
}

/// A system whose events are written down from the first on.
#[derive(Debug)]
pub struct TestSystem {
    system: System,
    events: EventStream,
    seen: VecDeque<Arc<Event>>,
}

impl std::ops::Deref for TestSystem {
    type Target = System;

    fn deref(&self) -> &System {
        &self.system
    }
}

impl TestSystem {
    /// Starts a tree and forgets the events of its start.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(root: impl Into<Supervisor>) -> Self {
        let mut system = Self::launch(root).await;
        if let Err(error) = system.booted().await {
            panic!("failed to start the tree: {error}{}", system.story());
        }
        while system.events.try_next().is_some() {}
        system
    }

    /// Starts a tree without waiting for it; the events of its start can be expected.
    ///
    /// # Panics
    /// When the tree cannot work.
    pub async fn launch(root: impl Into<Supervisor>) -> Self {
        let telemetry = Telemetry::new();
        let events = telemetry
            .subscribe(CAPACITY)
            .expect("a new event stream has room for a handler");
        match System::launch_with(root, telemetry).await {
            Ok(system) => Self {
                system,
                events,
                seen: VecDeque::new(),
            },
            Err(error) => panic!("failed to launch the tree: {error}"),
        }
    }

    /// Starts a tree that shall not come up, and says why it did not.
    ///
    /// # Panics
    /// When it starts.
    pub async fn start_error(root: impl Into<Supervisor>) -> StartError {
        match Self::launch(root).await.booted().await {
            Ok(()) => panic!("the tree has started, which it should not"),
            Err(error) => error,
        }
    }

    /// The puppet at `path`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn puppet(&self, path: &str) -> Strings {
        match self.system.address(path) {
            Ok(address) => Strings { address },
            Err(error) => panic!("there is no such puppet: {error}"),
        }
    }

    /// Kills whoever lives at `path`, behind his supervisor's back: a puppet, or any other actor.
    ///
    /// # Panics
    /// When nobody does.
    #[track_caller]
    pub fn kill(&self, path: &str) {
        assert!(
            self.try_kill(path),
            "failed to kill {path:?}: nobody lives there"
        );
    }

    /// The same, if anybody lives there; whether somebody did.
    pub fn try_kill(&self, path: &str) -> bool {
        let child = self.system.registry().get(path);
        child.is_some_and(|child| child.unchecked_address::<()>().kill())
    }

    /// Waits for the next event of this name about this path; those before it are passed over. Returns it.
    ///
    /// # Panics
    /// When an hour of paused time, or a minute of real time, passes first: the message has all the events that were seen.
    #[track_caller]
    pub fn expect(&mut self, name: &str, path: &str) -> impl Future<Output = Arc<Event>> {
        let caller = Location::caller();
        async move {
            let wanted = |event: &Event| event.name() == name && event.subject.path == *path;
            let patience = if is_paused() { PATIENCE } else { REAL_PATIENCE };
            let until = tokio::time::Instant::now() + patience;
            loop {
                match tokio::time::timeout_at(until, self.events.next()).await {
                    Ok(Some(event)) => {
                        self.seen.push_back(Arc::clone(&event));
                        if wanted(&event) {
                            return event;
                        }
                    }
                    Ok(None) | Err(_) => panic!(
                        "{caller}: \"{name}\" of \"{path}\" did not come{}",
                        self.story()
                    ),
                }
            }
        }
    }

    /// Waits until a second of paused time passes without an event, and takes care that there was none meanwhile.
    ///
    /// # Panics
    /// When something happens.
    #[track_caller]
    pub fn quiet(&mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            if let Ok(Some(event)) = tokio::time::timeout(QUIET, self.events.next()).await {
                self.seen.push_back(event);
                panic!("{caller}: expected nothing more to happen{}", self.story());
            }
        }
    }

    /// All events until a second of paused time passes without one, as `name path` lines.
    pub async fn happened(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(QUIET, self.events.next()).await {
            lines.push(format!("{} {}", event.name(), event.subject.path));
            self.seen.push_back(event);
        }
        lines
    }

    /// Shuts the system down and returns the report.
    pub async fn shut_down(&self) -> ShutdownReport {
        self.system.shut_down().await
    }

    /// How the last life of a child ended.
    ///
    /// # Panics
    /// When there is no such child, or it has not ended yet.
    pub async fn last_exit(&self, path: &str) -> ExitReason {
        match self.system.which_child(path).await {
            Ok(info) => {
                info.last_exit
                    .expect("no life of this child has ended yet")
                    .reason
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn story(&self) -> String {
        let mut text = String::from("; seen so far:");
        for event in &self.seen {
            write!(
                text,
                "\n  {} {} {} {:?}",
                event.seq,
                event.name(),
                event.subject.path,
                event.payload
            )
            .expect("writing into a string cannot fail");
        }
        text
    }
}

/// Whether tokio's time stands still while real time passes. Costs one tick of the clock.
fn is_paused() -> bool {
    let (told, real) = (tokio::time::Instant::now(), std::time::Instant::now());
    while real.elapsed().is_zero() {
        std::hint::spin_loop();
    }
    told.elapsed().is_zero()
}

/// Notes that an event of this name has happened, in a file of this process in the folder `REGROW_SEEN`, if that is set: so a run of
/// many test binaries can be checked for events that none of them has seen.
pub(crate) fn seen(name: &'static str) {
    static SEEN: OnceLock<Option<Mutex<Seen>>> = OnceLock::new();
    let seen = SEEN.get_or_init(|| {
        let folder = std::env::var_os("REGROW_SEEN")?;
        let path = std::path::Path::new(&folder).join(std::process::id().to_string());
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .ok()?;
        Some(Mutex::new(Seen {
            names: HashSet::new(),
            file,
        }))
    });
    if let Some(seen) = seen {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.names.insert(name) {
            // Without the note the check fails, which is what it is for.
            drop(writeln!(seen.file, "{name}"));
        }
    }
}

struct Seen {
    names: HashSet<&'static str>,
    file: std::fs::File,
}

/// A puppet without regrow's adapter, for tests of [`ChildSpec::start_with`].
#[derive(Clone, Copy, Debug)]
pub struct Bare;

#[ractor::actor(message = PuppetMessage)]
impl Bare {
    async fn pre_start(
        &self,
        _: ActorRef<PuppetMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<PuppetMessage>,
        message: PuppetMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Puppet::new([]).handle(myself, message, &mut ()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_stands_still_is_told_from_time_that_runs() {
        assert!(is_paused());
        tokio::time::resume();
        assert!(!is_paused());
        tokio::time::pause();
        assert!(is_paused());
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_does_not_come_fails_the_test_that_expects_it() {
        let mut system = TestSystem::start(Supervisor::new("root")).await;
        let waits = async move { drop(system.expect("regrow.child.started", "root/nobody").await) };
        let failure = tokio::spawn(waits).await.unwrap_err().into_panic();
        let text = failure.downcast_ref::<String>().unwrap();
        let wanted = "\"regrow.child.started\" of \"root/nobody\" did not come; seen so far:";
        assert!(text.contains(wanted), "{text}");
    }
}
