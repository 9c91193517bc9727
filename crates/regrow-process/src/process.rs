//! An OS process as a value: what to run, with what, and how to end it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use regrow::Condition;
use regrow::probe::Probe;
use regrow_core::exits::ExitRules;
use regrow_core::figures::MemoryLimit;
use regrow_core::lifecycle::StopPlan;
use regrow_core::{Backoff, GiveUp, Restart, RestartIntensity};
use serde_json::{Map, Value};

use crate::handle::ProcessHandle;
use crate::handover::Handover;
use crate::host::Host;
use crate::limits::Limits;
use crate::log_file::{Journal, LogFile};
use crate::os::Signal;
use crate::ports::Lease;
use crate::runner::Farewell;
use crate::stdio::Output;

/// An agent that lives less than this has failed to start.
const START_WINDOW: Duration = Duration::from_secs(1);

/// What an agent has as its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Stdin {
    /// A pipe that stays open until the agent is asked to stop.
    #[default]
    Pipe,
    /// Nothing: it reads the end at once.
    Null,
}

impl Stdin {
    pub(crate) fn stdio(self) -> Stdio {
        match self {
            Self::Pipe => Stdio::piped(),
            Self::Null => Stdio::null(),
        }
    }
}

/// Everything that each life of an agent is made from.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) id: String,
    pub(crate) type_: String,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) inherit: Vec<String>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) stdin: Stdin,
    pub(crate) port: Option<u16>,
    /// Others are not told its port.
    pub(crate) unpublished: bool,
    pub(crate) lease: Option<Lease>,
    pub(crate) handover: Option<Handover>,
    pub(crate) socket: Option<Arc<Path>>,
    pub(crate) stop_signal: Signal,
    pub(crate) stop_plan: StopPlan,
    pub(crate) stop_line: Option<String>,
    pub(crate) start_window: Duration,
    pub(crate) ready_line: Option<Arc<str>>,
    pub(crate) max_runtime: Option<Duration>,
    pub(crate) memory_limit: Option<MemoryLimit>,
    pub(crate) limits: Limits,
    pub(crate) host: Host,
    pub(crate) log_file: Option<LogFile>,
    /// Set when it becomes a child.
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) handle: ProcessHandle,
    /// Dropped with the last life and the place of the child.
    pub(crate) farewell: Option<Arc<Farewell>>,
}

impl Template {
    /// Where it is to listen, as far as that is known before it starts.
    pub(crate) fn port(&self) -> Option<u16> {
        self.lease.as_ref().map(Lease::port).or(self.port)
    }

    /// Tells the others of its host where it listens, if they are to know.
    pub(crate) fn publish(&self, port: u16) {
        if !self.unpublished {
            self.host.publish_port(&self.id, port);
        }
    }

    /// What is run, as the user has written it: for events, where it counts as sensitive.
    pub(crate) fn command_line(&self) -> Vec<Arc<str>> {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.to_string_lossy().into()).collect()
    }
}

/// What the supervisor is told about the child; what is absent has the supervisor's default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) tags: Vec<String>,
    pub(crate) waits_for: Vec<(String, Condition)>,
    pub(crate) ready_within: Option<Duration>,
    pub(crate) disabled: bool,
    pub(crate) capabilities: Vec<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) required: bool,
    pub(crate) restart: Option<Restart>,
    pub(crate) once: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) limit: Option<RestartIntensity>,
    pub(crate) give_up: Option<GiveUp>,
    pub(crate) exits: ExitRules,
    pub(crate) probes: Vec<Probe>,
}

/// An OS process to be supervised: any program, in any language.
///
/// It is a value; hand it to a supervisor as a child. The environment of the process is exactly this: of regrow's own
/// the variables `PATH`, `HOME`, `LANG`, `TZ`, `TMPDIR` and those of [`Process::inherit_env`], then those of [`Process::env`],
/// then what regrow tells it (`AGENT_ID`, `PORT`, …). In arguments and values `${PORT}`, `${AGENT_ID}`, `${REGROW_PORT_<ID>}`
/// and the like are filled in at each start.
#[derive(Debug, Clone)]
#[must_use]
pub struct Process {
    pub(crate) template: Template,
    pub(crate) terms: Terms,
}

impl Process {
    /// Runs `program` as the child `id`; a name without slash is looked for in the child's `PATH`.
    pub fn new(id: impl Into<String>, program: impl Into<OsString>) -> Self {
        let template = Template {
            id: id.into(),
            type_: "process".to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            inherit: Vec::new(),
            cwd: None,
            stdin: Stdin::default(),
            port: None,
            unpublished: false,
            lease: None,
            handover: None,
            socket: None,
            stop_signal: Signal::Term,
            stop_plan: StopPlan::default(),
            stop_line: None,
            start_window: START_WINDOW,
            ready_line: None,
            max_runtime: None,
            memory_limit: None,
            limits: Limits::default(),
            host: Host::new(),
            log_file: None,
            journal: None,
            handle: ProcessHandle::new(Output::default()),
            farewell: None,
        };
        Self {
            template,
            terms: Terms::default(),
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.template.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.template.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of the environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.template.env.push((name.into(), value.into()));
        self
    }

    /// Passes on these variables of our own environment, where they are set.
    pub fn inherit_env(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.template
            .inherit
            .extend(names.into_iter().map(Into::into));
        self
    }

    /// The working directory; ours, unless given.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.template.cwd = Some(directory.into());
        self
    }

    /// What it has as standard input: an open pipe, unless given.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.template.stdin = stdin;
        self
    }

    /// The port it is to listen on: told to it as `PORT`, and to the others of its [`Host`].
    pub fn port(mut self, port: u16) -> Self {
        self.template.port = Some(port);
        self
    }

    /// The others of its [`Host`] are not told its port, in none of its lives: who wants something of it asks somebody who knows.
    pub fn unpublished(mut self) -> Self {
        self.template.unpublished = true;
        self
    }

    /// The port it is to listen on, leased: as [`Process::port`], and it keeps it over all its lives. The lease is given back when it has
    /// gone for good, its last life and its place.
    ///
    /// Before each start is looked whether another program listens there, and when it ends in its start window with a code other than 0,
    /// once more. Then it moves to another port of the range, three times at most for one start; that is no failure.
    pub fn lease(mut self, lease: Lease) -> Self {
        self.template.port = Some(lease.port());
        self.template.lease = Some(lease);
        self
    }

    /// The Unix socket it is to listen on, told to it as `REGROW_SOCKET`: an absolute path of at most 107 bytes, such as
    /// [`Host::socket`] gives. Its folder is made if it is not there, for us alone; a socket that an earlier life has left is
    /// removed before each start and when it has ended.
    pub fn socket(mut self, path: impl AsRef<Path>) -> Self {
        self.template.socket = Some(path.as_ref().into());
        self
    }

    /// Hands it a listener instead of having it listen by itself: regrow listens on 127.0.0.1 at its [port](Self::port), or at a free one
    /// where it has none, from its first start until it comes to rest, so that nobody is refused while it is started again. Linux only.
    ///
    /// It finds the socket by systemd's protocol: as descriptor 3, with `LISTEN_FDS=1`, `LISTEN_PID` and its id in `LISTEN_FDNAMES`.
    /// Each start takes some milliseconds longer, for `/bin/sh` has to be there to move the socket to its place. When it is
    /// stopped, has completed or was given up on, the socket is closed.
    pub fn hand_over_listener(mut self) -> Self {
        self.template.handover = Some(Handover::on(self.template.port.unwrap_or_default()));
        self
    }

    /// The signal that asks it to stop: SIGTERM, unless given.
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.template.stop_signal = signal;
        self
    }

    /// How long each step of a stop may take: 20 s in all, unless given.
    pub fn stop_plan(mut self, plan: StopPlan) -> Self {
        self.template.stop_plan = plan;
        self
    }

    /// A line that asks it to stop, such as `exit`; written to its standard input before anything harsher.
    pub fn stop_line(mut self, line: impl Into<String>) -> Self {
        self.template.stop_line = Some(line.into());
        self
    }

    /// How long it has to live to count as started: 1 s, unless given.
    pub fn start_window(mut self, window: Duration) -> Self {
        self.template.start_window = window;
        self
    }

    /// It is ready when it has written a line with `text` in it, to either stream; not as soon as it is up. If it has not within
    /// this time from its spawn, that start has failed, and it is stopped. Of a line 64 KiB are looked at.
    pub fn ready_when(mut self, text: impl Into<Arc<str>>, within: Duration) -> Self {
        self.template.ready_line = Some(text.into());
        self.terms.ready_within = Some(within);
        self
    }

    /// How long one life of it may run, pauses left out: without limit, unless given. Then it is stopped by its plan, for
    /// [`StopCause::MaxRuntime`](regrow::StopCause). That is no failure: a permanent process is started again at once, any other
    /// is `completed`.
    pub fn max_runtime(mut self, longest: Duration) -> Self {
        self.template.max_runtime = Some(longest);
        self
    }

    /// How much memory it may use, with all that it has started; no limit, unless given.
    ///
    /// It is looked at as often as [`Host::sample_every`] says, at least every 5 s. When it was above at three looks, without being at
    /// nine tenths or less in between, it is stopped with the cause [`Memory`](regrow::StopCause::Memory), which counts as a failure:
    /// what follows is up to its restart type. Until it is up, and while it is held, nothing is counted. A page that several of its
    /// processes share counts once. In the seconds between two looks it may use whatever the machine has.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.template.memory_limit = Some(MemoryLimit::new(bytes));
        self
    }

    /// What the system allows each of its processes; what regrow itself is allowed, unless given.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.template.limits = limits;
        self
    }

    /// What its exit codes and signals mean. Unless given, 75 is always tried again and 78 never; see [`ExitRules`].
    pub fn exits(mut self, rules: ExitRules) -> Self {
        self.terms.exits = rules;
        self
    }

    /// Keeps this much of what it writes, instead of 10,000 lines and 4 MiB.
    pub fn output(mut self, output: Output) -> Self {
        self.template.handle = ProcessHandle::new(output);
        self
    }

    /// Writes what it writes to this file too, over all its lives. The agent never waits for that: lines that are not written in time
    /// are missing in the file, which says so.
    pub fn log_file(mut self, file: LogFile) -> Self {
        self.template.log_file = Some(file);
        self
    }

    /// What it is, in your words: `AGENT_TYPE`, and a label of its metrics.
    pub fn of_type(mut self, type_: impl Into<String>) -> Self {
        self.template.type_ = type_.into();
        self
    }

    /// The run of regrow that it belongs to; all processes of a program share one.
    pub fn host(mut self, host: Host) -> Self {
        self.template.host = host;
        self
    }

    /// Words to find it by.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.terms.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// What it can do: words to find it by.
    pub fn capabilities(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.terms
            .capabilities
            .extend(words.into_iter().map(Into::into));
        self
    }

    /// One more thing that is told of it, to find it by and to compare.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.terms.metadata.insert(key.into(), value.into());
        self
    }

    /// The siblings that have to be up before it is started.
    pub fn depends_on(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let started = ids.into_iter().map(|id| (id.into(), Condition::Started));
        self.terms.waits_for.extend(started);
        self
    }

    /// One more sibling that it waits for until that has come so far. See [`ChildSpec::waits_for`](regrow::ChildSpec::waits_for).
    pub fn waits_for(mut self, id: impl Into<String>, until: Condition) -> Self {
        self.terms.waits_for.push((id.into(), until));
        self
    }

    /// Whether it is started with its supervisor; it is, unless given. One that is not, an operator may start.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.terms.disabled = !enabled;
        self
    }

    /// Says that the system is not ready while it is down.
    pub fn required(mut self, required: bool) -> Self {
        self.terms.required = required;
        self
    }

    /// When it is started again.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.terms.restart = Some(restart);
        self
    }

    /// It is there to come to its end once: exit code 0 completes it, within its start window too. A failure is tried again, within
    /// its limits; that of a temporary one is not. See [`ChildSpec::once`](regrow::ChildSpec::once).
    pub fn once(mut self) -> Self {
        self.terms.once = true;
        self
    }

    /// How long to wait before each restart.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.terms.backoff = Some(backoff);
        self
    }

    /// How often it may be restarted before it is given up.
    pub fn limit(mut self, limit: RestartIntensity) -> Self {
        self.terms.limit = Some(limit);
        self
    }

    /// What happens when it fails more often than that.
    pub fn give_up(mut self, give_up: GiveUp) -> Self {
        self.terms.give_up = Some(give_up);
        self
    }

    /// It is asked how it is, and what follows is done: see [`regrow::probe`]. Ask the process itself with a
    /// [`ProcessCheck`](crate::ProcessCheck). May be said several times.
    pub fn probe(mut self, probe: Probe) -> Self {
        self.terms.probes.push(probe);
        self
    }

    /// A view of it over all its lives. Take it before the process goes to its supervisor.
    #[must_use]
    pub fn handle(&self) -> ProcessHandle {
        self.template.handle.clone()
    }
}
