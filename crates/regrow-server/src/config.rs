//! The configuration: one YAML file, read and checked as a whole before anything is started.
//!
//! [`load`] gives either a [`Config`] in which every default is filled in, or all errors at once, each with file, line,
//! column and key. The file becomes a tree that knows its places (`tree`), the tree becomes values (`read`, `agent`,
//! `profile`, `policy`, `units`, `expand`), and what concerns several agents is checked last (`check`, `depends`).

mod agent;
mod breakers;
mod check;
mod depends;
mod error;
mod exits;
mod expand;
mod groups;
mod limits;
mod logs;
mod order;
mod policy;
mod pools;
mod port;
mod probes;
mod profile;
mod read;
mod request;
mod telemetry;
mod tree;
mod units;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regrow::Condition;
use regrow_core::probe::ProbeKind;
use regrow_core::{RestartIntensity, Strategy};
use serde_json::Map;

pub(crate) use self::breakers::{AgentBreaker, BREAKERS, BreakerCheck, BreakerConfig};
pub(crate) use self::error::{ConfigError, ConfigErrors, Place, Problem, Warning};
pub(crate) use self::limits::LimitsConfig;
pub(crate) use self::logs::LogsConfig;
pub(crate) use self::policy::{RestartConfig, StopConfig, StopSignal};
pub(crate) use self::pools::PoolConfig;
pub(crate) use self::probes::{ProbeConfig, Question, Where};
pub(crate) use self::request::AgentParts;
pub(crate) use self::telemetry::{LogConfig, LogFormat, OtlpConfig, format as log_format};
pub(crate) use self::units::{Refusal, duration, listen_address};

use self::agent::{Draft, Shared};
use self::read::{Field, Fields, Found, Reader, Shape};
use self::tree::{Node, Scalar, Value};

/// Where the API and the gateway listen where the file does not say.
const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8000));

/// The longest file that is read: 1 MiB.
const LARGEST_FILE: u64 = 1024 * 1024;

/// How many agents there may be where the file does not say.
const MAX_AGENTS: usize = 100;

/// The highest number that `limits.max_agents` may be.
const MOST_AGENTS: u32 = 10_000;

const TOP_KEYS: &[&str] = &[
    "version",
    "server",
    "ports",
    "limits",
    "log",
    "telemetry",
    "defaults",
    "groups",
    "breakers",
    "agents",
    "pools",
];

/// What a configuration file says, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The file, as it was named.
    pub(crate) file: PathBuf,
    /// The folder of the file, as an absolute path.
    pub(crate) folder: PathBuf,
    /// Where the API and the gateway listen.
    pub(crate) listen: SocketAddr,
    /// The ports for agents with `port: auto`.
    pub(crate) ports: RangeInclusive<u16>,
    /// How many agents there may be, those of the API included.
    pub(crate) max_agents: usize,
    /// What regrow's own log is made of.
    pub(crate) log: LogConfig,
    /// Where regrow reports to, if anywhere.
    pub(crate) otlp: Option<OtlpConfig>,
    /// How often is looked at what agents use; zero for never.
    pub(crate) figures: Duration,
    /// What an agent gets that says nothing.
    pub(crate) defaults: AgentDefaults,
    /// The groups, in the order of the file; agents name no others.
    pub(crate) groups: Vec<GroupConfig>,
    /// The breakers that have names of their own, in the order of the file.
    pub(crate) breakers: Vec<BreakerConfig>,
    /// The agents, in the order of the file.
    pub(crate) agents: Vec<AgentConfig>,
    /// The pools, in the order of the file.
    pub(crate) pools: Vec<PoolConfig>,
    /// What is allowed but hardly meant.
    pub(crate) warnings: Vec<Warning>,
}

/// What an agent gets that says nothing itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AgentDefaults {
    /// When it is started again.
    pub(crate) restart: RestartConfig,
    /// How it is stopped.
    pub(crate) stop: StopConfig,
    /// An exit within this time after the start is a failed start.
    pub(crate) start_window: Duration,
    /// How much of what it writes is kept.
    pub(crate) logs: LogsConfig,
    /// How much it may use.
    pub(crate) limits: LimitsConfig,
}

/// One agent.
#[derive(Clone, PartialEq)]
pub(crate) struct AgentConfig {
    /// Its id, unique in the file.
    pub(crate) id: String,
    /// What it is, in the user's words; its id where the file does not say.
    pub(crate) type_name: String,
    /// Words to find it by, and `key=value` pairs with one value for each key.
    pub(crate) tags: Vec<String>,
    /// What it can do.
    pub(crate) capabilities: Vec<String>,
    /// Whatever else is told of it, to everybody who may look.
    pub(crate) metadata: Map<String, serde_json::Value>,
    /// The program and its arguments, at least one; `${PORT}` and what else is known only then is not filled yet.
    pub(crate) command: Vec<String>,
    /// Variables that are set for it; what is filled at its start is not filled yet, as in the command.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables that it takes over from regrow's own environment.
    pub(crate) inherit: Vec<String>,
    /// Where it runs: a directory that existed when the file was read.
    pub(crate) workdir: PathBuf,
    /// The port it listens on, if it does.
    pub(crate) port: Option<PortSetting>,
    /// The group that it is in.
    pub(crate) group: Option<String>,
    /// Whether regrow listens there for it and hands the listener over.
    pub(crate) handover: bool,
    /// Whether it is started with regrow.
    pub(crate) enabled: bool,
    /// The agents that it waits for; each exists, and there is no cycle.
    pub(crate) depends_on: Vec<Dependency>,
    /// How it says that it is ready; else it is as soon as it is up.
    pub(crate) ready: Option<ReadySetting>,
    /// Whether it is there to come to its end once; then it is not permanent.
    pub(crate) once: bool,
    /// When it is started again.
    pub(crate) restart: RestartConfig,
    /// How it is stopped.
    pub(crate) stop: StopConfig,
    /// What it reads.
    pub(crate) stdin: StdinSetting,
    /// How much of what it writes is kept.
    pub(crate) logs: LogsConfig,
    /// An exit within this time after the start is a failed start.
    pub(crate) start_window: Duration,
    /// How long one life of it may run.
    pub(crate) max_runtime: Option<Duration>,
    /// How much it may use.
    pub(crate) limits: LimitsConfig,
    /// What it is asked to see how it is.
    pub(crate) probes: Vec<ProbeConfig>,
    /// What requests to it go through; it exists.
    pub(crate) breaker: Option<AgentBreaker>,
    /// The breaker that its starts wait for; it exists.
    pub(crate) gate: Option<String>,
    /// Whether `/readyz` is 503 while it is down.
    pub(crate) required: bool,
    /// Which worker of which pool it is, if it is one.
    pub(crate) worker: Option<WorkerOf>,
}

/// Which worker of a pool an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerOf {
    /// The pool.
    pub(crate) pool: String,
    /// Its number, which is the last part of its path.
    pub(crate) number: u32,
}

/// Variables and arguments may be secrets: only their names and number are shown.
impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("id", &self.id)
            .field("type_name", &self.type_name)
            .field("tags", &self.tags)
            .field("capabilities", &self.capabilities)
            .field("metadata", &self.metadata.keys())
            .field("program", &self.command.first())
            .field("arguments", &self.command.len().saturating_sub(1))
            .field("env", &self.env.keys())
            .field("inherit", &self.inherit)
            .field("workdir", &self.workdir)
            .field("port", &self.port)
            .field("group", &self.group)
            .field("enabled", &self.enabled)
            .field("handover", &self.handover)
            .field("depends_on", &self.depends_on)
            .field("ready", &self.ready)
            .field("once", &self.once)
            .field("restart", &self.restart)
            .field("stop", &self.stop)
            .field("stdin", &self.stdin)
            .field("logs", &self.logs)
            .field("start_window", &self.start_window)
            .field("max_runtime", &self.max_runtime)
            .field("limits", &self.limits)
            .field("probes", &self.probes)
            .field("breaker", &self.breaker)
            .field("gate", &self.gate)
            .field("required", &self.required)
            .field("worker", &self.worker)
            .finish()
    }
}

impl AgentConfig {
    /// What it is below of, if that is not the root: its group, or its pool.
    pub(crate) fn above(&self) -> Option<&str> {
        let pool = self.worker.as_ref().map(|worker| worker.pool.as_str());
        pool.or(self.group.as_deref())
    }

    /// Whether it has a probe that has to succeed before it may be given work.
    pub(crate) fn is_asked_first(&self) -> bool {
        self.probes.iter().any(|probe| match probe.kind {
            ProbeKind::Readiness => true,
            // While a startup probe runs the agent is dialled, as one is that comes up without.
            ProbeKind::Startup | ProbeKind::Liveness | ProbeKind::Custom => false,
        })
    }
}

/// Agents with a supervisor of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupConfig {
    /// Its id, which no agent has.
    pub(crate) id: String,
    /// Whom a failed agent takes along.
    pub(crate) strategy: Strategy,
    /// With more restarts than this the group is started again as a whole; without it never is.
    pub(crate) limit: Option<RestartIntensity>,
}

/// An agent that another waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Its id.
    pub(crate) id: String,
    /// How far it has to have come.
    pub(crate) until: Condition,
}

/// How an agent says that it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadySetting {
    /// It writes a line with this text in it …
    pub(crate) log: String,
    /// … within this time from its start.
    pub(crate) within: Duration,
}

/// Which port an agent listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortSetting {
    /// One of the range `ports`, chosen at the start of regrow.
    Auto,
    /// This one.
    Fixed(u16),
    /// None: it listens on a Unix socket in the state directory.
    Socket,
}

/// What an agent reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StdinSetting {
    /// A pipe that stays open until the agent is asked to stop.
    Pipe,
    /// Nothing: the end of the file from the start.
    Null,
}

/// Reads and checks a configuration file; `environment` fills its `${VARIABLES}`.
///
/// # Errors
///
/// Everything that is wrong, in the order of the file.
pub(crate) fn load(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let text = text_of(file).map_err(|problem| ConfigErrors::of_file(file, problem))?;
    match String::from_utf8(text) {
        Ok(text) => parse(&text, file, environment),
        Err(error) => {
            let good =
                String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let last = good.rsplit('\n').next().unwrap_or_default();
            let place = Place {
                line: good.matches('\n').count() + 1,
                column: last.chars().count() + 1,
            };
            let byte = error
                .as_bytes()
                .get(good.len())
                .copied()
                .unwrap_or_default();
            let mut errors = ConfigErrors::of_file(file, Problem::NotUtf8 { byte });
            errors.errors[0].place = Some(place);
            Err(errors)
        }
    }
}

fn text_of(file: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |source| Problem::Unreadable { source };
    let mut text = Vec::new();
    let open = File::open(file).map_err(unreadable)?;
    open.take(LARGEST_FILE + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(Problem::TooLarge { most: LARGEST_FILE });
    }
    Ok(text)
}

/// Checks the text of a configuration file; `file` is its name, for messages and relative paths.
///
/// # Errors
///
/// Everything that is wrong, in the order of the file.
pub(crate) fn parse(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let folder = match std::path::absolute(file) {
        Ok(path) => path.parent().map_or_else(PathBuf::new, Path::to_path_buf),
        Err(source) => return Err(ConfigErrors::of_file(file, Problem::Unreadable { source })),
    };
    let mut reader = Reader::new(environment);
    let root = match tree::read(text, &mut reader.errors) {
        Ok(root) => root,
        Err(error) => {
            reader.errors.push(*error);
            return Err(ConfigErrors::new(file, reader.errors));
        }
    };
    let nothing = Node {
        place: Place::START,
        value: Value::Scalar(Scalar {
            text: String::new(),
            plain: true,
        }),
    };
    let top = Field {
        way: String::new(),
        place: Place::START,
        node: root.as_deref().unwrap_or(&nothing),
    };
    let config = read_top(&mut reader, &top, file, folder);
    match config {
        Some(config) if reader.errors.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors::new(file, reader.errors)),
    }
}

fn read_top(
    reader: &mut Reader<'_>,
    top: &Field<'_>,
    file: &Path,
    folder: PathBuf,
) -> Option<Config> {
    let fields = reader.known_fields(top, "the file", TOP_KEYS)?;
    let version = |text: &str| match text {
        "1" => Ok(()),
        _ => Err(Refusal::new("1, the only version there is")),
    };
    if let Some(field) = fields.get("version") {
        reader.value(&field, &Shape::new("1", &version));
    }
    let listen = fields
        .get("server")
        .and_then(|field| read_listen(reader, &field));
    let range = Shape::new("a range of ports such as 8001-8100", &units::ports);
    let ports = reader.value_at(&fields, "ports", &range);
    let ports = ports.map_or(8001..=8100, |found| found.value);
    let max_agents = fields
        .get("limits")
        .and_then(|field| read_max_agents(reader, &field))
        .unwrap_or(MAX_AGENTS);
    let log = fields
        .get("log")
        .map_or_else(LogConfig::default, |field| telemetry::log(reader, &field));
    let telemetry = fields
        .get("telemetry")
        .map_or_else(telemetry::Section::default, |field| {
            telemetry::section(reader, &field)
        });
    let shared = fields
        .get("defaults")
        .map_or_else(Shared::default, |field| Shared::read(reader, &field));
    let defaults = shared.settle(reader);
    let agents = agents(reader, top, &fields, max_agents);
    let ids: Vec<&str> = agents.iter().map(|(id, _)| *id).collect();
    let read = |(id, field): &(&str, Field<'_>)| agent::read(reader, id, field, &shared, &folder);
    let mut drafts: Vec<Draft> = agents.iter().filter_map(read).collect();
    let pools = pools::read(reader, &fields, &drafts, &ids, &shared, &folder);
    pools::number(reader, &fields, &pools, ids.len(), max_agents);
    check::ports(reader, &drafts, &pools, &ports, listen.as_ref());
    check::port_variables(reader, &drafts, &pools);
    let (groups, breakers, pools) = beside(reader, &fields, &mut drafts, pools, &ids);
    let warnings = warnings(&drafts, file);
    Some(Config {
        file: file.to_path_buf(),
        folder,
        listen: listen.map_or(LISTEN, |found| found.value),
        ports,
        max_agents,
        log,
        otlp: telemetry.otlp,
        figures: telemetry.figures,
        defaults,
        groups: groups.into_iter().map(|group| group.config).collect(),
        breakers: breakers.into_configs(),
        agents: drafts.into_iter().map(|draft| draft.agent).collect(),
        pools,
        warnings,
    })
}

/// What stands beside the agents, and what of all of them does not go together.
fn beside(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    drafts: &mut Vec<Draft>,
    mut pools: Vec<pools::PoolDraft>,
    ids: &[&str],
) -> (Vec<groups::Group>, breakers::Breakers, Vec<PoolConfig>) {
    let groups = fields
        .get("groups")
        .map_or_else(Vec::new, |field| groups::read(reader, &field));
    let breakers = breakers::read(reader, fields, drafts, ids);
    // A pool waits for agents, and is called through a breaker, as an agent is.
    let agents = drafts.len();
    drafts.extend(pools.iter_mut().filter_map(|pool| pool.draft.take()));
    order::leave_out(drafts, ids);
    groups::check(reader, drafts, &groups);
    breakers::check(reader, drafts, &groups, &breakers);
    if !depends::check(reader, drafts, ids) {
        groups::cycles(reader, drafts);
    }
    order::conditions(reader, drafts);
    let of_pools = drafts.split_off(agents);
    pools::check(reader, drafts, &groups, &pools, &of_pools, &breakers);
    let pools = pools::settle(pools, of_pools, drafts);
    (groups, breakers, pools)
}

fn read_listen(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Found<SocketAddr>> {
    let fields = reader.known_fields(field, "server", &["listen"])?;
    let address = Shape::new(
        "a loopback address with a port such as 127.0.0.1:8000",
        &listen_address,
    );
    reader.value(&fields.get("listen")?, &address)
}

fn read_max_agents(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<usize> {
    let fields = reader.known_fields(field, "limits", &["max_agents"])?;
    let number = units::whole(1..=MOST_AGENTS);
    let found = reader.value(
        &fields.get("max_agents")?,
        &Shape::new("a whole number", &number),
    )?;
    usize::try_from(found.value).ok()
}

/// The entries of `agents`, which must be there in a file without pools.
fn agents<'n>(
    reader: &mut Reader<'_>,
    top: &Field<'n>,
    fields: &Fields<'n>,
    most: usize,
) -> Vec<(&'n str, Field<'n>)> {
    let Some(field) = fields.get("agents") else {
        if fields.get("pools").is_some() {
            return Vec::new();
        }
        let problem = Problem::Unexpected {
            expected: "the key agents".to_owned(),
            got: "none".to_owned(),
            hint: Some("add agents: {} for no agents".to_owned()),
        };
        reader.note(top.node.place, "agents", problem);
        return Vec::new();
    };
    let Some(agents) = reader.fields(&field, "a mapping of ids to agents, {} for none") else {
        return Vec::new();
    };
    let agents: Vec<_> = agents.all().collect();
    check::number(reader, &field, agents.len(), most);
    agents
}

fn warnings(drafts: &[Draft], file: &Path) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    let restarts = drafts
        .iter()
        .filter_map(|draft| draft.restart.oddity(&draft.agent.restart));
    for policy::Oddity { place, way, text } in restarts.chain(order::waits_for_the_disabled(drafts))
    {
        let key = way;
        let file = file.to_path_buf();
        warnings.push(Warning {
            file,
            place,
            key,
            text,
        });
    }
    warnings.sort_by(|left, right| (left.place, &left.text).cmp(&(right.place, &right.text)));
    warnings.dedup();
    warnings
}
