//! `breakers`: circuits that calls go through, with the checks that make calls where nobody else does; and what agents say of them.
//!
//! The rules are those of [`CircuitRules`], under the same names. What a check asks is read as the question of a probe is.

mod rules;

use regrow::breaker::CircuitRules;
use regrow_core::probe::{ProbeKind, ProbeRules};

use self::rules::{Usual, rules};
use super::PortSetting;
use super::agent::Draft;
use super::error::Problem;
use super::groups::Group;
use super::probes::{self, Home, Question, note};
use super::read::{Field, Fields, Found, Reader, Shape, shortened};
use super::tree::Value;
use super::units::{self, Refusal};

/// The id of the supervisor of all breakers, below the root.
pub(crate) const BREAKERS: &str = "breakers";

const BREAKER_KEYS: &[&str] = &[
    "check",
    "window",
    "minimum_calls",
    "failure_ratio",
    "slow_threshold",
    "slow_ratio",
    "consecutive_failures",
    "open_wait",
    "half_open_permits",
    "half_open_success",
    "half_open_deadline",
    "half_open_overdue",
    "call_timeout",
];

const CHECK_KEYS: &[&str] = &[
    "agent",
    "http",
    "tcp",
    "grpc",
    "exec",
    "initial_delay",
    "period",
    "timeout",
];

const QUESTIONS: [&str; 4] = ["http", "tcp", "grpc", "exec"];

/// How many breakers there may be; an agent's own are as many as there are agents at most.
const MOST_BREAKERS: usize = 1000;

/// One breaker of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BreakerConfig {
    /// Its id.
    pub(crate) id: String,
    /// By which rules it goes.
    pub(crate) rules: CircuitRules,
    /// What calls through it though nobody else does.
    pub(crate) check: Option<BreakerCheck>,
}

/// A dependency is asked how it is, through its breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BreakerCheck {
    /// The agent that is asked, where it is one; it exists.
    pub(crate) agent: Option<String>,
    /// What is asked.
    pub(crate) question: Question,
    /// How often, and how long an answer may take.
    pub(crate) rules: ProbeRules,
}

/// What requests to an agent go through.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AgentBreaker {
    /// One of the file's breakers, by its id.
    Shared(String),
    /// One of its own.
    Own(CircuitRules),
}

/// All breakers of the file.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    /// Their ids, those included that could not be read.
    ids: Vec<Found<String>>,
    configs: Vec<BreakerConfig>,
}

impl Breakers {
    /// Those that could be read.
    pub(crate) fn into_configs(self) -> Vec<BreakerConfig> {
        self.configs
    }

    /// Whether there is one with this id that asks nobody by itself.
    pub(crate) fn has_no_check(&self, id: &str) -> bool {
        let mut configs = self.configs.iter();
        configs.any(|config| config.id == id && config.check.is_none())
    }
}

/// Reads the mapping `breakers`. A check may ask one of the agents, of whom `ids` are all.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    drafts: &[Draft],
    ids: &[&str],
) -> Breakers {
    let mut breakers = Breakers::default();
    let Some(field) = fields.get("breakers") else {
        return breakers;
    };
    let Some(fields) = reader.fields(&field, "a mapping of ids to breakers") else {
        return breakers;
    };
    let count = fields.all().count();
    if count > MOST_BREAKERS {
        let expected = format!("at most {MOST_BREAKERS} breakers");
        note(reader, &field, expected, &count.to_string(), "remove some");
        return breakers;
    }
    for (id, field) in fields.all() {
        match units::id(id) {
            Ok(_) if ["true", "false"].contains(&id) => {
                let refusal = Refusal::new("an id that is no word for yes or no");
                reader.refuse_key(&field, id, refusal.hint("choose another id"));
            }
            Ok(_) => {}
            Err(refusal) => reader.refuse_key(&field, id, refusal),
        }
        breakers.ids.push(Found {
            value: id.to_owned(),
            way: field.way.clone(),
            place: field.place,
        });
        let config = breaker(reader, id, &field, drafts, ids);
        breakers.configs.extend(config);
    }
    breakers
}

fn breaker(
    reader: &mut Reader<'_>,
    id: &str,
    field: &Field<'_>,
    drafts: &[Draft],
    ids: &[&str],
) -> Option<BreakerConfig> {
    let fields = reader.known_fields(field, "a breaker", BREAKER_KEYS)?;
    let Some(of_check) = fields.get("check") else {
        return Some(BreakerConfig {
            id: id.to_owned(),
            rules: rules(reader, field, &fields, Usual::Called)?,
            check: None,
        });
    };
    let check = check_of(reader, &of_check, drafts, ids);
    let timeout = check.as_ref().map(|check| check.rules.timeout);
    let rules = rules(reader, field, &fields, Usual::Checked { timeout });
    Some(BreakerConfig {
        id: id.to_owned(),
        rules: rules?,
        check: Some(check?),
    })
}

fn check_of(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    drafts: &[Draft],
    ids: &[&str],
) -> Option<BreakerCheck> {
    let fields = reader.known_fields(field, "a check", CHECK_KEYS)?;
    let rules = probes::rules(reader, field, &fields, ProbeKind::Custom);
    let any = |text: &str| Ok(text.to_owned());
    let agent = reader.value_at(&fields, "agent", &Shape::new("the id of an agent", &any));
    let home = match &agent {
        None if fields.get("agent").is_some() => return None,
        None => Home::Nobody,
        Some(found) => home_of(reader, found, drafts, ids)?,
    };
    reader.at_spawn.clear();
    let question = probes::one_of(reader, field, &fields, &QUESTIONS, home);
    for used in std::mem::take(&mut reader.at_spawn) {
        if agent.is_none() {
            let problem = Problem::Unexpected {
                expected: "a variable that is set when the file is read".to_owned(),
                got: format!("${{{}}}", used.value),
                hint: Some(
                    "it is set for agents: name the one that is asked, agent: ID".to_owned(),
                ),
            };
            reader.note(used.place, &used.way, problem);
        }
    }
    Some(BreakerCheck {
        agent: agent.map(|found| found.value),
        question: question?,
        rules: rules?,
    })
}

/// Where the agent listens that a check names.
fn home_of(
    reader: &mut Reader<'_>,
    found: &Found<String>,
    drafts: &[Draft],
    ids: &[&str],
) -> Option<Home> {
    if let Some(draft) = drafts.iter().find(|draft| draft.id.value == found.value) {
        return Some(Home::Named(draft.agent.port));
    }
    // One that is there and wrong has been told of.
    if !ids.contains(&found.value.as_str()) {
        let nearest = reader.suggestion(&found.value, ids.iter().copied());
        let problem = Problem::UnknownAgent {
            got: shortened(&found.value),
            nearest: nearest.map(str::to_owned),
        };
        reader.note(found.place, &found.way, problem);
    }
    None
}

/// Reads `breaker` and `gate` of an agent that listens there.
pub(super) fn of_agent(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    port: Option<PortSetting>,
) -> (Option<Found<AgentBreaker>>, Option<Found<String>>) {
    let breaker = fields.get("breaker").and_then(|field| {
        let breaker = agent_breaker(reader, &field)?;
        if port.is_none() {
            let expected = "an agent with a port, since it is requests that go through it";
            let hint = "give the agent port: auto, or remove breaker";
            note(reader, &field, expected.to_owned(), "one without", hint);
        }
        Some(Found {
            value: breaker,
            way: field.way.clone(),
            place: field.place,
        })
    });
    let any = |text: &str| Ok(text.to_owned());
    let gate = reader.value_at(fields, "gate", &Shape::new("the id of a breaker", &any));
    (breaker, gate)
}

fn agent_breaker(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<AgentBreaker> {
    match &field.node.value {
        Value::Map(_) => {
            // What is asked of the agent itself are its probes.
            let keys = &BREAKER_KEYS[1..];
            let fields = reader.known_fields(field, "an agent's own breaker", keys)?;
            rules(reader, field, &fields, Usual::Own).map(AgentBreaker::Own)
        }
        Value::Scalar(_) | Value::List(_) => {
            let parse = |text: &str| {
                Ok(match text {
                    "true" => Some(AgentBreaker::Own(Usual::Own.all())),
                    "false" => None,
                    id => Some(AgentBreaker::Shared(id.to_owned())),
                })
            };
            let shape = Shape::new("the id of a breaker, true, or a mapping of rules", &parse);
            reader.value(field, &shape)?.value
        }
    }
}

/// Notes what of breakers and of those who name them cannot be.
pub(crate) fn check(
    reader: &mut Reader<'_>,
    drafts: &[Draft],
    groups: &[Group],
    breakers: &Breakers,
) {
    let own = |draft: &&Draft| matches!(draft.agent.breaker, Some(AgentBreaker::Own(_)));
    for id in &breakers.ids {
        let owner = drafts
            .iter()
            .filter(own)
            .find(|draft| draft.id.value == id.value);
        if let Some(breaker) = owner.and_then(|draft| draft.breaker.as_ref()) {
            let problem = Problem::Taken {
                expected: "an id that no agent with a breaker of its own has",
                got: format!("{:?}", shortened(&id.value)),
                owner: breaker.way.clone(),
                first: breaker.place,
            };
            reader.note(id.place, &id.way, problem);
        }
    }
    if !breakers.ids.is_empty() || drafts.iter().any(|draft| own(&draft)) {
        let beside = groups.iter().map(|group| &group.id);
        let alone = drafts.iter().filter(|draft| draft.group.is_none());
        for id in beside.chain(alone.map(|draft| &draft.id)) {
            if id.value == BREAKERS {
                let problem = Problem::Unexpected {
                    expected: "another id, because the supervisor of the breakers has this one"
                        .to_owned(),
                    got: format!("{BREAKERS:?}"),
                    hint: Some("choose another id".to_owned()),
                };
                reader.note(id.place, &id.way, problem);
            }
        }
    }
    for draft in drafts {
        if let Some(found) = &draft.breaker
            && let AgentBreaker::Shared(id) = &found.value
        {
            known(reader, breakers, found, id);
        }
        if let Some(found) = &draft.gate {
            known(reader, breakers, found, &found.value);
            not_its_own(reader, breakers, draft, found);
        }
    }
}

fn known<T>(reader: &mut Reader<'_>, breakers: &Breakers, found: &Found<T>, id: &str) {
    if breakers.ids.iter().any(|known| known.value == id) {
        return;
    }
    let ids = breakers.ids.iter().map(|known| known.value.as_str());
    let hint = match reader.suggestion(id, ids) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "say what it is under breakers".to_owned(),
    };
    let problem = Problem::Unexpected {
        expected: "the id of a breaker".to_owned(),
        got: format!("{:?}", shortened(id)),
        hint: Some(hint),
    };
    reader.note(found.place, &found.way, problem);
}

/// A breaker that asks an agent is open while that is down, so the agent cannot wait for it.
fn not_its_own(reader: &mut Reader<'_>, breakers: &Breakers, draft: &Draft, found: &Found<String>) {
    let mut configs = breakers.configs.iter();
    let gate = configs.find(|config| config.id == found.value);
    let check = gate.and_then(|config| config.check.as_ref());
    if check.and_then(|check| check.agent.as_ref()) != Some(&draft.id.value) {
        return;
    }
    let problem = Problem::Unexpected {
        expected: "a breaker whose check does not ask this agent".to_owned(),
        got: format!("{:?}", shortened(&found.value)),
        hint: Some("it would be down until it is up; remove gate".to_owned()),
    };
    reader.note(found.place, &found.way, problem);
}
