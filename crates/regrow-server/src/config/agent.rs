//! One agent of the file, and what `defaults` says for all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::breakers;
use super::error::Problem;
use super::expand::Fill;
use super::limits::LimitsPart;
use super::logs::LogsPart;
use super::order::{self, Written};
use super::policy::{RestartPart, StopPart};
use super::port;
use super::probes;
use super::profile::Profile;
use super::read::{Field, Fields, Found, Reader, Shape};
use super::tree::Value;
use super::units::{self, A_DURATION, Refusal};
use super::{AgentBreaker, AgentConfig, AgentDefaults, PortSetting, StdinSetting, StopConfig};

const AGENT_KEYS: &[&str] = &[
    "command",
    "type",
    "tags",
    "capabilities",
    "metadata",
    "env",
    "workdir",
    "port",
    "group",
    "enabled",
    "handover",
    "depends_on",
    "ready",
    "once",
    "restart",
    "stop",
    "stdin",
    "logs",
    "start_window",
    "max_runtime",
    "limits",
    "probes",
    "breaker",
    "gate",
    "required",
];

const DEFAULTS_KEYS: &[&str] = &["restart", "stop", "start_window", "logs", "limits"];

const ENV_KEYS: &[&str] = &["inherit", "set"];

/// What an agent without a `start_window` gets.
pub(crate) const START_WINDOW: Duration = Duration::from_secs(1);

/// What `defaults` says, for all agents.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    restart: RestartPart,
    stop: StopPart,
    start_window: Option<Found<Duration>>,
    logs: LogsPart,
    limits: LimitsPart,
}

impl Shared {
    /// Reads the mapping `defaults`.
    pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Self {
        let Some(fields) = reader.known_fields(field, "defaults", DEFAULTS_KEYS) else {
            return Self::default();
        };
        Self {
            restart: read_restart(reader, &fields),
            stop: fields
                .get("stop")
                .map_or_else(StopPart::default, |field| StopPart::read(reader, &field)),
            start_window: fields
                .get("start_window")
                .and_then(|field| start_window(reader, &field)),
            logs: read_logs(reader, &fields),
            limits: read_limits(reader, &fields),
        }
    }

    /// The settings of an agent that says nothing.
    pub(crate) fn settle(&self, reader: &mut Reader<'_>) -> AgentDefaults {
        AgentDefaults {
            restart: self.restart.settle(reader),
            stop: self.stop.settle(reader),
            start_window: self
                .start_window
                .as_ref()
                .map_or(START_WINDOW, |found| found.value),
            logs: self.logs.settle(),
            limits: self.limits.settle(),
        }
    }
}

/// An agent as far as it could be read, with the places that checks between agents need.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The agent; where a value was wrong, its default.
    pub(crate) agent: AgentConfig,
    /// Its id, as it was written.
    pub(crate) id: Found<String>,
    /// Its group.
    pub(crate) group: Option<Found<String>>,
    /// Its port.
    pub(crate) port: Option<Found<PortSetting>>,
    /// The ids that it waits for.
    pub(crate) depends_on: Vec<Found<Written>>,
    /// The variables that are left for its start.
    pub(crate) at_spawn: Vec<Found<String>>,
    /// What its requests go through.
    pub(crate) breaker: Option<Found<AgentBreaker>>,
    /// The breaker that its starts wait for.
    pub(crate) gate: Option<Found<String>>,
    /// Its restart settings, with their places.
    pub(crate) restart: RestartPart,
}

/// Reads one entry of `agents`.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    id: &str,
    field: &Field<'_>,
    shared: &Shared,
    folder: &Path,
) -> Option<Draft> {
    if let Err(refusal) = units::id(id) {
        reader.refuse_key(field, id, refusal);
    }
    let fields = reader.known_fields(field, "an agent", AGENT_KEYS)?;
    Some(read_fields(
        reader, field, &fields, id, shared, folder, None,
    ))
}

/// Reads what stands in the mapping `field`; where it says nothing of a port, it has that of `usual`.
pub(super) fn read_fields(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
    id: &str,
    shared: &Shared,
    folder: &Path,
    usual: Option<Found<PortSetting>>,
) -> Draft {
    reader.at_spawn.clear();
    let command = required_command(reader, field, fields.get("command"));
    let (inherit, env) = fields
        .get("env")
        .map_or_else(Default::default, |env| read_env(reader, &env));
    let (port, handover) = port::read(reader, fields, usual);
    let listens = port.as_ref().map(|found| found.value);
    let probes = probes::read(reader, fields, listens);
    let at_spawn = std::mem::take(&mut reader.at_spawn);
    let restart = read_restart(reader, fields).over(&shared.restart);
    let once = read_truth(reader, fields, "once").unwrap_or(false);
    let (stop, stdin) = read_stop(reader, fields, shared);
    let depends_on = fields
        .get("depends_on")
        .map_or_else(Vec::new, |field| order::depends_on(reader, &field));
    let ready = fields
        .get("ready")
        .and_then(|field| order::ready(reader, &field));
    let group = read_group(reader, fields);
    let (breaker, gate) = breakers::of_agent(reader, fields, listens);
    let profile = Profile::read(reader, fields, id);
    let agent = AgentConfig {
        id: id.to_owned(),
        type_name: profile.type_name,
        tags: profile.tags,
        capabilities: profile.capabilities,
        metadata: profile.metadata,
        command,
        env,
        inherit,
        workdir: read_workdir(reader, fields, folder),
        port: listens,
        group: group.as_ref().map(|found| found.value.clone()),
        enabled: read_truth(reader, fields, "enabled").unwrap_or(true),
        // When it is known who is there.
        depends_on: Vec::new(),
        ready,
        handover,
        once,
        restart: restart.settle_as(reader, once),
        stop,
        stdin,
        logs: read_logs(reader, fields).over(&shared.logs).settle(),
        start_window: read_window(reader, fields, shared),
        max_runtime: read_max_runtime(reader, fields),
        limits: read_limits(reader, fields).over(&shared.limits).settle(),
        probes,
        breaker: breaker.as_ref().map(|found| found.value.clone()),
        gate: gate.as_ref().map(|found| found.value.clone()),
        required: read_truth(reader, fields, "required").unwrap_or(false),
        worker: None,
    };
    let id = Found {
        value: id.to_owned(),
        way: field.way.clone(),
        place: field.place,
    };
    Draft {
        agent,
        id,
        group,
        port,
        depends_on,
        at_spawn,
        breaker,
        gate,
        restart,
    }
}

fn read_restart(reader: &mut Reader<'_>, fields: &Fields<'_>) -> RestartPart {
    fields
        .get("restart")
        .map_or_else(RestartPart::default, |field| {
            RestartPart::read(reader, &field)
        })
}

fn start_window(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Found<Duration>> {
    reader.value(field, &Shape::new(A_DURATION, &units::duration))
}

fn read_logs(reader: &mut Reader<'_>, fields: &Fields<'_>) -> LogsPart {
    fields
        .get("logs")
        .map_or_else(LogsPart::default, |field| LogsPart::read(reader, &field))
}

/// The agent's own start window, else the shared one, else the usual one.
fn read_window(reader: &mut Reader<'_>, fields: &Fields<'_>, shared: &Shared) -> Duration {
    let own = fields
        .get("start_window")
        .and_then(|field| start_window(reader, &field));
    own.as_ref()
        .or(shared.start_window.as_ref())
        .map_or(START_WINDOW, |found| found.value)
}

fn read_max_runtime(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Duration> {
    let shape = Shape::new(A_DURATION, &units::some_duration);
    reader
        .value_at(fields, "max_runtime", &shape)
        .map(|found| found.value)
}

fn read_limits(reader: &mut Reader<'_>, fields: &Fields<'_>) -> LimitsPart {
    fields
        .get("limits")
        .map_or_else(LimitsPart::default, |field| {
            LimitsPart::read(reader, &field)
        })
}

pub(super) fn read_truth(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<bool> {
    let shape = Shape::new("true or false", &units::truth);
    let found = reader.value_at(fields, key, &shape)?;
    Some(found.value)
}

/// Whether there is such a group is checked when all are known.
fn read_group(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Found<String>> {
    let any = |text: &str| Ok(text.to_owned());
    reader.value_at(fields, "group", &Shape::new("the id of a group", &any))
}

/// The command of the agent `field`, which must have one.
fn required_command(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    command: Option<Field<'_>>,
) -> Vec<String> {
    if let Some(command) = command {
        return read_command(reader, &command);
    }
    let problem = Problem::Unexpected {
        expected: "a command".to_owned(),
        got: "none".to_owned(),
        hint: Some("add command: [\"program\", \"argument\"]".to_owned()),
    };
    reader.note(field.place, &field.way, problem);
    Vec::new()
}

/// A list of texts, or one text for the shell.
pub(crate) fn read_command(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<String> {
    const EXPECTED: &str = "a list such as [\"program\", \"argument\"], or a line for sh -c";
    let shape = |parse| Shape {
        expected: EXPECTED,
        fill: Fill::AtSpawn,
        parse,
    };
    match &field.node.value {
        Value::Scalar(_) => match reader.value(field, &shape(&program)) {
            Some(line) => vec!["sh".to_owned(), "-c".to_owned(), line.value],
            None => Vec::new(),
        },
        Value::List(items) if items.is_empty() => {
            let hint = Some("name the program".to_owned());
            let problem = Problem::Unexpected {
                expected: EXPECTED.to_owned(),
                got: "an empty list".to_owned(),
                hint,
            };
            reader.note(field.node.place, &field.way, problem);
            Vec::new()
        }
        Value::List(_) | Value::Map(_) => {
            let items = reader.items(field, EXPECTED).unwrap_or_default();
            let mut words = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let parse: &dyn Fn(&str) -> _ = if index == 0 {
                    &program
                } else {
                    &units::argument
                };
                let word = Shape {
                    expected: "a text",
                    fill: Fill::AtSpawn,
                    parse,
                };
                words.extend(reader.value(item, &word).map(|found| found.value));
            }
            words
        }
    }
}

/// The name of a program, or a line for the shell.
pub(crate) fn program(text: &str) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new("the name of a program that is not empty"));
    }
    units::argument(text)
}

/// What the agent takes over from regrow's environment, and what is set for it.
fn read_env(reader: &mut Reader<'_>, field: &Field<'_>) -> (Vec<String>, BTreeMap<String, String>) {
    let mut inherit = Vec::new();
    let mut set = BTreeMap::new();
    let Some(fields) = reader.known_fields(field, "env", ENV_KEYS) else {
        return (inherit, set);
    };
    if let Some(field) = fields.get("inherit") {
        let shape = Shape::new("the name of a variable", &units::variable);
        for item in reader
            .items(&field, "a list of names such as [REDIS_URL]")
            .unwrap_or_default()
        {
            inherit.extend(reader.value(&item, &shape).map(|found| found.value));
        }
    }
    let Some(field) = fields.get("set") else {
        return (inherit, set);
    };
    let Some(variables) = reader.fields(&field, "a mapping such as {NAME: value}") else {
        return (inherit, set);
    };
    for (name, field) in variables.all() {
        if let Err(refusal) = units::variable(name) {
            reader.refuse_key(&field, name, refusal);
        }
        let shape = Shape {
            expected: "a text",
            fill: Fill::AtSpawn,
            parse: &units::argument,
        };
        if let Some(found) = reader.value(&field, &shape) {
            set.insert(name.to_owned(), found.value);
        }
    }
    (inherit, set)
}

fn read_stdin(reader: &mut Reader<'_>, field: &Field<'_>) -> StdinSetting {
    // Here YAML's null is meant as a word; nothing at all is not.
    if let Value::Scalar(scalar) = &field.node.value
        && (scalar.text == "null" || scalar.text == "~")
    {
        return StdinSetting::Null;
    }
    let pipe = |text: &str| match text {
        "pipe" => Ok(StdinSetting::Pipe),
        _ => Err(Refusal::new("pipe or null")),
    };
    reader
        .value(field, &Shape::new("pipe or null", &pipe))
        .map_or(StdinSetting::Pipe, |found| found.value)
}

/// How the agent is stopped and what it reads: a stop line needs somebody who reads it.
fn read_stop(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    shared: &Shared,
) -> (StopConfig, StdinSetting) {
    let own = fields
        .get("stop")
        .map_or_else(StopPart::default, |field| StopPart::read(reader, &field));
    let stdin = fields
        .get("stdin")
        .map_or(StdinSetting::Pipe, |field| read_stdin(reader, &field));
    if stdin == StdinSetting::Null
        && let Some(line) = &own.line
    {
        let problem = Problem::Unexpected {
            expected: "no stop line, because stdin is null".to_owned(),
            got: "one".to_owned(),
            hint: Some("write stdin: pipe, or remove the line".to_owned()),
        };
        reader.note(line.place, &line.way, problem);
    }
    let mut stop = own.over(&shared.stop).settle(reader);
    if stdin == StdinSetting::Null {
        // A line of the defaults is for the agents that can hear it.
        stop.line = None;
    }
    (stop, stdin)
}

fn read_workdir(reader: &mut Reader<'_>, fields: &Fields<'_>, folder: &Path) -> PathBuf {
    let directory = |text: &str| {
        let path = folder.join(text);
        let refusal = |why: &str| {
            let hint = format!("{} {why}", path.display());
            Err(Refusal::new("the path of a directory, from the file's folder").hint(hint))
        };
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(path),
            Ok(_) => refusal("is not a directory"),
            Err(error) => refusal(&format!("cannot be used: {error}")),
        }
    };
    let shape = Shape::new("the path of a directory", &directory);
    let found = reader.value_at(fields, "workdir", &shape);
    found.map_or_else(|| folder.to_path_buf(), |found| found.value)
}
