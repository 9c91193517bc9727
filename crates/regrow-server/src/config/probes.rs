//! `probes` of an agent: what it is asked, how often, and what for. The words are Kubernetes'.

use std::fmt;
use std::time::Duration;

use regrow_core::probe::{ProbeKind, ProbeRules};
use regrow_process::{CheckAddress, HttpCheck};

use super::error::Problem;
use super::expand::Fill;
use super::read::{Field, Fields, Found, Reader, Shape};
use super::tree::Value;
use super::units::{self, Refusal, in_words};
use super::{PortSetting, agent, order};

const PROBES_KEYS: &[&str] = &["startup", "liveness", "readiness", "custom"];

const PROBE_KEYS: &[&str] = &[
    "http",
    "tcp",
    "grpc",
    "exec",
    "log",
    "initial_delay",
    "period",
    "timeout",
    "success_threshold",
    "failure_threshold",
    "warning_threshold",
    "termination_grace",
];

const QUESTIONS: [&str; 5] = ["http", "tcp", "grpc", "exec", "log"];

const HTTP_KEYS: &[&str] = &["path", "port", "host", "headers", "scheme"];
const TCP_KEYS: &[&str] = &["port", "host"];
const GRPC_KEYS: &[&str] = &["service", "port", "host"];
const LOG_KEYS: &[&str] = &["line", "within"];

/// How many equal results in a row may be asked for.
const MOST_IN_A_ROW: u32 = 1000;

/// A time of a probe, in words.
const SECONDS: &str = "a duration of at least 1s";

/// One probe of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeConfig {
    /// What it is for.
    pub(crate) kind: ProbeKind,
    /// What it is called: the word for its kind, or the name of a custom one.
    pub(crate) name: String,
    /// What is asked.
    pub(crate) question: Question,
    /// How often, how long, how many.
    pub(crate) rules: ProbeRules,
}

/// What an agent is asked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// By `GET`.
    Http {
        /// Where.
        at: Where,
        /// With all that is sent; it goes there if that is another host.
        check: HttpCheck,
    },
    /// Whether somebody listens.
    Tcp(Where),
    /// Whether it says that it serves.
    Grpc {
        /// Where.
        at: Where,
        /// What; the whole server where this is empty.
        service: String,
    },
    /// A command that ends with 0.
    Exec(Vec<String>),
    /// A line that comes every so often.
    Log {
        /// A text in it.
        line: String,
        /// How often at least.
        within: Duration,
    },
}

/// Arguments may be secrets; so may headers and queries, which no check shows.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { at, check } => write!(f, "Http({at:?}, {check:?})"),
            Self::Tcp(at) => write!(f, "Tcp({at:?})"),
            Self::Grpc { at, service } => write!(f, "Grpc({at:?}, {service:?})"),
            Self::Exec(words) => write!(f, "Exec({:?}, …)", words.first()),
            Self::Log { line, within } => write!(f, "Log({line:?}, {within:?})"),
        }
    }
}

/// Where an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// Where it listens, or on this port that it has besides.
    Agent(Option<u16>),
    /// Somewhere else: what it depends on, say.
    Host(CheckAddress),
}

/// Reads `probes` of an agent that listens there.
pub(super) fn read(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    port: Option<PortSetting>,
) -> Vec<ProbeConfig> {
    let Some(fields) = fields
        .get("probes")
        .and_then(|field| reader.known_fields(&field, "probes", PROBES_KEYS))
    else {
        return Vec::new();
    };
    let mut probes = Vec::new();
    for kind in [
        ProbeKind::Startup,
        ProbeKind::Liveness,
        ProbeKind::Readiness,
    ] {
        let name = kind.as_str();
        let field = fields.get(name);
        probes.extend(field.and_then(|field| probe(reader, &field, kind, name, port)));
    }
    let expected = "a mapping from names to probes";
    let Some(customs) = fields
        .get("custom")
        .and_then(|field| reader.fields(&field, expected))
    else {
        return probes;
    };
    for (name, field) in customs.all() {
        match units::id(name) {
            Ok(_) if PROBES_KEYS.contains(&name) => {
                let refusal = Refusal::new("a name that is no kind of probe");
                reader.refuse_key(&field, name, refusal.hint("choose another name"));
            }
            Ok(_) => probes.extend(probe(reader, &field, ProbeKind::Custom, name, port)),
            Err(refusal) => reader.refuse_key(&field, name, refusal),
        }
    }
    probes
}

fn probe(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    kind: ProbeKind,
    name: &str,
    port: Option<PortSetting>,
) -> Option<ProbeConfig> {
    let fields = reader.known_fields(field, "a probe", PROBE_KEYS)?;
    let rules = rules(reader, field, &fields, kind);
    let question = one_of(reader, field, &fields, &QUESTIONS, Home::Probe(kind, port))?;
    Some(ProbeConfig {
        kind,
        name: name.to_owned(),
        question,
        rules: rules?,
    })
}

/// Whom a question is for that names no host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home {
    /// The agent that has the probe, and listens there.
    Probe(ProbeKind, Option<PortSetting>),
    /// An agent that is named beside the question, and listens there.
    Named(Option<PortSetting>),
    /// Nobody: then a port is one of 127.0.0.1.
    Nobody,
}

/// The one question that is asked there, out of these.
pub(super) fn one_of(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
    questions: &[&'static str],
    home: Home,
) -> Option<Question> {
    let mut asked = questions
        .iter()
        .filter_map(|key| Some((*key, fields.get(key)?)));
    let Some((key, what)) = asked.next() else {
        let expected = format!("one of {}", questions.join(", "));
        let hint = "say what is asked, as in http: { path: /healthz }";
        note(reader, field, expected, "none", hint);
        return None;
    };
    for (other, more) in asked {
        let expected = format!(
            "one of {}, and there is {key} already",
            questions.join(", ")
        );
        let hint = match home {
            Home::Probe(..) => "remove one of them; another question is a custom probe",
            Home::Named(_) | Home::Nobody => "remove one of them; another is for another breaker",
        };
        note(reader, &more, expected, other, hint);
    }
    question(reader, &what, key, home)
}

pub(super) fn note(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    expected: String,
    got: &str,
    hint: &str,
) {
    let problem = Problem::Unexpected {
        expected,
        got: got.to_owned(),
        hint: Some(hint.to_owned()),
    };
    reader.note(field.place, &field.way, problem);
}

/// The numbers of a probe, Kubernetes' where nothing is said.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
    kind: ProbeKind,
) -> Option<ProbeRules> {
    let seconds = Shape::new(SECONDS, &at_least_a_second);
    let delay = Shape::new(units::A_DURATION, &units::duration);
    let count = units::whole(1..=MOST_IN_A_ROW);
    let count = Shape::new("a whole number", &count);
    let before = reader.errors.len();
    let mut rules = ProbeRules::default();
    let put = |to: &mut Duration, found: Option<Found<Duration>>| {
        *to = found.map_or(*to, |found| found.value);
    };
    put(
        &mut rules.initial_delay,
        reader.value_at(fields, "initial_delay", &delay),
    );
    put(
        &mut rules.period,
        reader.value_at(fields, "period", &seconds),
    );
    put(
        &mut rules.timeout,
        reader.value_at(fields, "timeout", &seconds),
    );
    let put = |to: &mut u32, found: Option<Found<u32>>| {
        *to = found.map_or(*to, |found| found.value);
    };
    put(
        &mut rules.success_threshold,
        reader.value_at(fields, "success_threshold", &count),
    );
    put(
        &mut rules.failure_threshold,
        reader.value_at(fields, "failure_threshold", &count),
    );
    let warning = reader.value_at(fields, "warning_threshold", &count);
    rules.warning_threshold = warning.map(|found| found.value);
    let grace = reader.value_at(fields, "termination_grace", &seconds);
    rules.termination_grace = grace.map(|found| found.value);
    if reader.errors.len() > before {
        return None;
    }
    let wrong = match rules.check(kind) {
        Ok(()) => return Some(rules),
        Err(wrong) => wrong,
    };
    let place = fields.get(wrong.field);
    let hint = "correct it or remove it";
    let got = match wrong.field {
        "termination_grace" => rules.termination_grace.map(in_words),
        _ => None,
    };
    let got = got.unwrap_or_else(|| wrong.found.clone());
    let place = place.as_ref().unwrap_or(field);
    note(reader, place, wrong.expected.to_owned(), &got, hint);
    None
}

/// Kubernetes counts in whole seconds; what is asked more often costs more than it tells.
fn at_least_a_second(text: &str) -> Result<Duration, Refusal> {
    let duration = units::duration(text)?;
    if duration < ProbeRules::LEAST_IN_A_FILE {
        return Err(Refusal::new(SECONDS));
    }
    Ok(duration)
}

fn question(reader: &mut Reader<'_>, field: &Field<'_>, key: &str, home: Home) -> Option<Question> {
    match key {
        "http" => http(reader, field, home),
        "tcp" => {
            let fields = reader.known_fields(field, "tcp", TCP_KEYS)?;
            place(reader, field, &fields, home, None).map(Question::Tcp)
        }
        "grpc" => {
            let fields = reader.known_fields(field, "grpc", GRPC_KEYS)?;
            let any = |text: &str| Ok(text.to_owned());
            let service = Shape::new("the name of a service", &any);
            let service = reader.value_at(&fields, "service", &service);
            Some(Question::Grpc {
                at: place(reader, field, &fields, home, None)?,
                service: service.map_or_else(String::new, |found| found.value),
            })
        }
        "exec" => {
            let words = agent::read_command(reader, field);
            (!words.is_empty()).then_some(Question::Exec(words))
        }
        _ => log(reader, field, home),
    }
}

fn log(reader: &mut Reader<'_>, field: &Field<'_>, home: Home) -> Option<Question> {
    match home {
        // The check of a breaker is not asked so: there it is no key.
        Home::Probe(ProbeKind::Liveness | ProbeKind::Custom, _) | Home::Named(_) | Home::Nobody => {
        }
        // Its line comes every so often; the line that says once that all is well is what `ready` waits for.
        Home::Probe(ProbeKind::Startup | ProbeKind::Readiness, _) => {
            let expected = "http, tcp, grpc or exec in a startup or readiness probe".to_owned();
            let hint = "to wait for a line once: ready: { log: TEXT, within: 60s } of the agent";
            note(reader, field, expected, "log", hint);
            return None;
        }
    }
    let fields = reader.known_fields(field, "log", LOG_KEYS)?;
    let text = Shape::new("a text of one line, such as \"tick\"", &order::line);
    let within = Shape::new(units::A_DURATION, &units::some_duration);
    let (line, within) = (
        fields.get("line").map(|field| reader.value(&field, &text)),
        fields
            .get("within")
            .map(|field| reader.value(&field, &within)),
    );
    let (Some(line), Some(within)) = (line, within) else {
        let hint = "as in log: { line: tick, within: 30s }";
        note(reader, field, "line and within".to_owned(), "less", hint);
        return None;
    };
    Some(Question::Log {
        line: line?.value,
        within: within?.value,
    })
}

fn http(reader: &mut Reader<'_>, field: &Field<'_>, home: Home) -> Option<Question> {
    let path = Shape::new("a path such as /healthz", &path);
    if let Value::Scalar(_) = &field.node.value {
        let check = reader.value(field, &path)?.value;
        let at = own(reader, field, home)?;
        return Some(Question::Http { at, check });
    }
    let fields = reader.known_fields(field, "http", HTTP_KEYS)?;
    reader.value_at(&fields, "scheme", &Shape::new("http", &scheme));
    let at = place(reader, field, &fields, home, Some(80));
    let target = match fields.get("path") {
        Some(field) => reader.value(&field, &path),
        None => {
            let hint = "add path: /healthz, say";
            note(reader, field, "the key path".to_owned(), "none", hint);
            None
        }
    };
    let headers = headers(reader, &fields);
    let (at, mut check) = (at?, target?.value);
    if let Where::Host(address) = &at {
        check = check.at(address.clone());
    }
    for (name, value) in headers {
        check = check.header(&name, &value).ok()?;
    }
    Some(Question::Http { at, check })
}

fn scheme(text: &str) -> Result<(), Refusal> {
    match text {
        "http" | "HTTP" => Ok(()),
        "https" | "HTTPS" => Err(Refusal::new("http")
            .hint("TLS is not spoken; ask by a command: exec: [curl, -fsS, \"https://…\"]")),
        _ => Err(Refusal::new("http")),
    }
}

fn path(text: &str) -> Result<HttpCheck, Refusal> {
    // Where that is said when it is asked.
    HttpCheck::over_socket("", text).map_err(|_| Refusal::new("a path such as /healthz"))
}

fn headers(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<(String, String)> {
    let Some(fields) = fields
        .get("headers")
        .and_then(|field| reader.fields(&field, "a mapping such as {NAME: value}"))
    else {
        return Vec::new();
    };
    let mut headers = Vec::new();
    for (name, field) in fields.all() {
        // The value is left to the check: it may be a secret, and no error repeats it.
        let shape = Shape {
            expected: "a text",
            fill: Fill::Now,
            parse: &units::argument,
        };
        let Some(found) = reader.value(&field, &shape) else {
            continue;
        };
        let check = HttpCheck::over_socket("", "/");
        if check.is_ok_and(|check| check.header(name, &found.value).is_ok()) {
            headers.push((name.to_owned(), found.value));
        } else {
            let expected = "a header that HTTP allows".to_owned();
            let hint = "names are words of letters, digits and '-', values are of one line";
            note(reader, &field, expected, "another one", hint);
        }
    }
    headers
}

/// Where to ask: the agent itself, unless another host is named.
fn place(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
    home: Home,
    usual: Option<u16>,
) -> Option<Where> {
    let number = reader.value_at(fields, "port", &Shape::new("a port", &units::port));
    let number = number.map(|found| found.value);
    let Some(host) = fields.get("host") else {
        return match (number, home) {
            (Some(number), Home::Nobody) => Some(on_host("127.0.0.1", number)),
            (Some(_), Home::Probe(..) | Home::Named(_)) => Some(Where::Agent(number)),
            (None, _) => own(reader, field, home),
        };
    };
    let name = reader.value(&host, &Shape::new("the name of a host", &self::host))?;
    let refused = match home {
        Home::Probe(ProbeKind::Liveness, _) => Some((
            "no host, because a liveness probe looks at the agent alone",
            "to restart the agent brings no other host back; make it a readiness probe",
        )),
        Home::Named(_) => Some((
            "no host, because an agent is asked",
            "remove it, or remove agent",
        )),
        Home::Probe(ProbeKind::Startup | ProbeKind::Readiness | ProbeKind::Custom, _)
        | Home::Nobody => None,
    };
    if let Some((expected, hint)) = refused {
        note(reader, &host, expected.to_owned(), "one", hint);
        return None;
    }
    let Some(number) = number.or(usual) else {
        note(
            reader,
            field,
            "a port beside the host".to_owned(),
            "none",
            "add port: 5432, say",
        );
        return None;
    };
    Some(on_host(&name.value, number))
}

fn on_host(name: &str, port: u16) -> Where {
    Where::Host(CheckAddress::Tcp(format!("{name}:{port}")))
}

fn host(text: &str) -> Result<String, Refusal> {
    let is_one = !text.contains(['/', '?', '#', '@'])
        && HttpCheck::new(&format!("http://{text}:80/")).is_ok();
    if is_one {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(
        "the name of a host without a port, such as db.local or [::1]",
    ))
}

/// The agent where it listens, which it has to.
fn own(reader: &mut Reader<'_>, field: &Field<'_>, home: Home) -> Option<Where> {
    let (expected, got, hint) = match home {
        Home::Probe(_, Some(_)) | Home::Named(Some(_)) => return Some(Where::Agent(None)),
        Home::Probe(_, None) => (
            "an agent with a port",
            "one without",
            "give the agent port: auto, or say the port here",
        ),
        Home::Named(None) => (
            "an agent with a port",
            "one without",
            "give that agent port: auto, or say the port here",
        ),
        Home::Nobody => (
            "whom to ask",
            "nobody",
            "add host and port as in { host: db.local, port: 5432 }, or agent: ID beside it",
        ),
    };
    note(reader, field, expected.to_owned(), got, hint);
    None
}
