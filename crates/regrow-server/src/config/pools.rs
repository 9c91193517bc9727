//! `pools`: as many workers as there is work for, all made from one template.
//!
//! The template stands in the pool itself, under the keys of an agent, or is an agent of the file, named by `template`. What can be said of
//! the size and of the work is that of [`regrow::pool::Pool`], under the same names.

mod beside;
mod rules;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

pub(crate) use self::beside::{check, number};
pub(crate) use self::rules::PoolRules;
use super::agent::{self, Draft, Shared};
use super::breakers::AgentBreaker;
use super::error::{Place, Problem};
use super::probes::{ProbeConfig, Question, Where, note};
use super::read::{Field, Fields, Found, Reader, Shape, shortened};
use super::tree::Value;
use super::units::{self, Refusal};
use super::{AgentConfig, PortSetting, WorkerOf};
use regrow_core::probe::{ProbeKind, ProbeRules};

/// What of a pool is said of its workers.
const WORKER_KEYS: &[&str] = &[
    "command",
    "type",
    "tags",
    "capabilities",
    "metadata",
    "env",
    "workdir",
    "port",
    "handover",
    "depends_on",
    "ready",
    "restart",
    "stop",
    "stdin",
    "logs",
    "start_window",
    "max_runtime",
    "limits",
    "probes",
    "breaker",
];

/// What of a pool is said of itself.
const OWN_KEYS: &[&str] = &[
    "min",
    "max",
    "target",
    "warm",
    "queue",
    "overflow",
    "overload",
    "wait",
    "concurrency",
    "dispatch",
    "weights",
    "scale",
    "max_jobs",
    "max_age",
    "max_memory",
    "drain_timeout",
    "required",
];

static POOL_KEYS: LazyLock<Vec<&str>> =
    LazyLock::new(|| [&["template"], WORKER_KEYS, OWN_KEYS].concat());

/// What of `restart` says whether a worker is started again, which its pool does in any case.
const NOT_OF_WORKERS: &[&str] = &["policy", "max_restarts", "within"];

/// The longest id of a pool: a worker has a dash and a number behind it, and an id of an agent has 64 bytes at most.
const LONGEST_ID: usize = 64 - "-4294967295".len();

/// How often a worker is asked whether it listens, where it says nothing of when it is ready; and how often at most: for a minute.
const LISTENS: ProbeRules = ProbeRules {
    initial_delay: Duration::ZERO,
    period: Duration::from_millis(250),
    timeout: Duration::from_secs(1),
    success_threshold: 1,
    failure_threshold: 240,
    warning_threshold: None,
    termination_grace: None,
};

/// One pool of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PoolConfig {
    /// Its id, which no agent and no group has.
    pub(crate) id: String,
    /// What each worker is made from; the id is that of the pool.
    pub(crate) worker: AgentConfig,
    /// How many workers there are, and how the work gets to them.
    pub(crate) rules: PoolRules,
    /// The breaker without which its workers can do nothing; it exists.
    pub(crate) breaker: Option<String>,
    /// Whether `/readyz` is 503 while it has no worker that is ready.
    pub(crate) required: bool,
}

impl PoolConfig {
    /// The worker with this number.
    pub(crate) fn worker(&self, number: u32) -> AgentConfig {
        AgentConfig {
            id: format!("{}-{number}", self.id),
            worker: Some(WorkerOf {
                pool: self.id.clone(),
                number,
            }),
            ..self.worker.clone()
        }
    }

    /// Whether an agent with this id could be taken for a worker.
    pub(crate) fn could_have(&self, id: &str) -> bool {
        is_of_worker(&self.id, id)
    }
}

/// A pool as far as it could be read.
#[derive(Debug)]
pub(crate) struct PoolDraft {
    id: Found<String>,
    rules: Option<PoolRules>,
    required: bool,
    /// The agent that its workers are made from, if it is one.
    template: Option<Found<String>>,
    /// Where its workers listen.
    port: Option<Found<PortSetting>>,
    /// What its workers are made from, if that stands here.
    pub(crate) draft: Option<Draft>,
}

impl PoolDraft {
    /// How many workers with a port of the range there may be, and where that is said.
    pub(crate) fn auto_port(&self) -> Option<(&Found<PortSetting>, usize)> {
        let port = self.port.as_ref()?;
        (port.value == PortSetting::Auto).then_some((port, self.most()))
    }

    fn most(&self) -> usize {
        let max = self.rules.as_ref().map_or(0, |rules| rules.scaler.max());
        usize::try_from(max).unwrap_or(usize::MAX)
    }
}

/// Reads the mapping `pools`. A template is one of the agents, of whom `ids` are all.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    drafts: &[Draft],
    ids: &[&str],
    shared: &Shared,
    folder: &Path,
) -> Vec<PoolDraft> {
    let Some(field) = fields.get("pools") else {
        return Vec::new();
    };
    let Some(fields) = reader.fields(&field, "a mapping of ids to pools") else {
        return Vec::new();
    };
    let mut pools = Vec::new();
    for (id, field) in fields.all() {
        match units::id(id) {
            Ok(_) if id.len() > LONGEST_ID => {
                let expected = format!(
                    "an id of at most {LONGEST_ID} bytes, since its workers have it with a number behind"
                );
                reader.refuse_key(
                    &field,
                    id,
                    Refusal::new(expected).hint("choose a shorter one"),
                );
            }
            Ok(_) => {}
            Err(refusal) => reader.refuse_key(&field, id, refusal),
        }
        pools.extend(pool(reader, id, &field, (drafts, ids), (shared, folder)));
    }
    pools
}

fn pool(
    reader: &mut Reader<'_>,
    id: &str,
    field: &Field<'_>,
    (drafts, ids): (&[Draft], &[&str]),
    (shared, folder): (&Shared, &Path),
) -> Option<PoolDraft> {
    let fields = reader.known_fields(field, "a pool", &POOL_KEYS)?;
    let here = || (field.way.clone(), field.place);
    let rules = rules::rules(reader, field, &fields);
    let required = agent::read_truth(reader, &fields, "required").unwrap_or(false);
    let any = |text: &str| Ok(text.to_owned());
    let named = Shape::new("the id of an agent", &any);
    let template = reader.value_at(&fields, "template", &named);
    let (port, draft) = if let Some(named) = &template {
        nothing_beside(reader, &fields);
        (template_port(reader, named, drafts, ids), None)
    } else if fields.get("template").is_some() {
        (None, None)
    } else {
        let (way, place) = here();
        let value = PortSetting::Auto;
        let usual = Found { value, way, place };
        let mut draft = agent::read_fields(reader, field, &fields, id, shared, folder, Some(usual));
        // That these are no keys of a pool has been told.
        (draft.group, draft.gate, draft.agent.once) = (None, None, false);
        not_of_workers(reader, &fields);
        fits(reader, &draft, None);
        (draft.port.clone(), Some(draft))
    };
    let (way, place) = here();
    let value = id.to_owned();
    Some(PoolDraft {
        id: Found { value, way, place },
        rules,
        required,
        template,
        port,
        draft,
    })
}

/// Notes what is said of the workers beside a template.
fn nothing_beside(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    for key in WORKER_KEYS {
        if let Some(field) = fields.get(key) {
            let expected = format!("no {key} beside template, which says all of its workers");
            let hint = "say it of the template, or write the worker out here and remove template";
            note(reader, &field, expected, "one", hint);
        }
    }
}

/// Where the workers listen that are made from an agent; nothing if there is none that they can be made from.
fn template_port(
    reader: &mut Reader<'_>,
    named: &Found<String>,
    drafts: &[Draft],
    ids: &[&str],
) -> Option<Found<PortSetting>> {
    let Some(draft) = drafts.iter().find(|draft| draft.id.value == named.value) else {
        // One that is there and wrong has been told of.
        if !ids.contains(&named.value.as_str()) {
            let nearest = reader.suggestion(&named.value, ids.iter().copied());
            let problem = Problem::UnknownAgent {
                got: shortened(&named.value),
                nearest: nearest.map(str::to_owned),
            };
            reader.note(named.place, &named.way, problem);
        }
        return None;
    };
    fits(reader, draft, Some((named.way.as_str(), named.place)));
    let port = draft.agent.port?;
    Some(Found {
        value: port,
        way: named.way.clone(),
        place: named.place,
    })
}

/// Notes what no worker can have: of one that stands in its pool at its place, of a template where that is named.
fn fits(reader: &mut Reader<'_>, draft: &Draft, named: Option<(&str, Place)>) {
    let id = &draft.id.value;
    let mut wrong = |at: Option<(&str, Place)>, expected: &str, got: &str, hint: String| {
        let (way, place) = named.or(at).unwrap_or((&draft.id.way, draft.id.place));
        let problem = Problem::Unexpected {
            expected: expected.to_owned(),
            got: got.to_owned(),
            hint: Some(hint),
        };
        reader.note(place, way, problem);
    };
    let at = draft
        .port
        .as_ref()
        .map(|port| (port.way.as_str(), port.place));
    match draft.agent.port {
        Some(PortSetting::Fixed(port)) => wrong(
            at,
            "a port for each worker",
            &format!("{port} for all of them"),
            "write port: auto, or port: socket".to_owned(),
        ),
        None => wrong(
            at,
            "an agent with a port, since it is requests that its workers get",
            "one without",
            format!("give agent {id} port: auto"),
        ),
        Some(PortSetting::Auto | PortSetting::Socket) => {}
    }
    if draft.agent.once {
        let hint = format!("remove once from agent {id}, or choose another template");
        wrong(None, "a worker that goes on", "one that ends once", hint);
    }
    if let Some(gate) = &draft.gate {
        let at = Some((gate.way.as_str(), gate.place));
        let hint = format!("remove gate from agent {id}: a pool has a gate of its own");
        wrong(at, "a worker without a gate", "one with", hint);
    }
    if let Some(breaker) = &draft.breaker
        && let AgentBreaker::Own(_) = breaker.value
    {
        let at = Some((breaker.way.as_str(), breaker.place));
        let hint =
            "name a breaker of the file: a worker that fails gets no work for a while anyway";
        let expected = "a breaker that all workers stand behind";
        wrong(at, expected, "one for each", hint.to_owned());
    }
}

/// Notes what says whether a worker is started again.
fn not_of_workers(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let Some(field) = fields.get("restart") else {
        return;
    };
    let Value::Map(_) = &field.node.value else {
        return;
    };
    let Some(fields) = reader.fields(&field, "a mapping") else {
        return;
    };
    for key in NOT_OF_WORKERS {
        if let Some(field) = fields.get(key) {
            let expected = format!("no {key}, because a worker is always started again");
            let hint = "remove it; base, factor, max and jitter say how long before";
            note(reader, &field, expected, "one", hint);
        }
    }
}

/// Whether a worker of the pool could have this id.
fn is_of_worker(pool: &str, id: &str) -> bool {
    let number = id
        .strip_prefix(pool)
        .and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The pools, all of whose agents are known: those of `inline` in their order, and those that are templates.
pub(crate) fn settle(
    pools: Vec<PoolDraft>,
    inline: Vec<Draft>,
    agents: &[Draft],
) -> Vec<PoolConfig> {
    let mut inline = inline.into_iter();
    let mut settled = Vec::with_capacity(pools.len());
    for pool in pools {
        let worker = match &pool.template {
            Some(named) => {
                let template = agents.iter().find(|draft| draft.id.value == named.value);
                template.map(|draft| draft.agent.clone())
            }
            None => inline.next().map(|draft| draft.agent),
        };
        let (Some(rules), Some(worker)) = (pool.rules, worker) else {
            continue;
        };
        let breaker = match &worker.breaker {
            Some(AgentBreaker::Shared(id)) => Some(id.clone()),
            Some(AgentBreaker::Own(_)) | None => None,
        };
        settled.push(PoolConfig {
            worker: as_worker(worker, &pool.id.value),
            id: pool.id.value,
            rules,
            breaker,
            required: pool.required,
        });
    }
    settled
}

/// An agent as what workers are made from.
fn as_worker(mut agent: AgentConfig, pool: &str) -> AgentConfig {
    pool.clone_into(&mut agent.id);
    agent.group = None;
    agent.enabled = true;
    agent.breaker = None;
    agent.required = false;
    let says = |probe: &ProbeConfig| match probe.kind {
        ProbeKind::Startup | ProbeKind::Readiness => true,
        ProbeKind::Liveness | ProbeKind::Custom => false,
    };
    if agent.ready.is_none() && !agent.probes.iter().any(says) {
        agent.probes.push(ProbeConfig {
            kind: ProbeKind::Startup,
            name: ProbeKind::Startup.as_str().to_owned(),
            question: Question::Tcp(Where::Agent(None)),
            rules: LISTENS,
        });
    }
    agent
}
