//! What an agent waits for, and when it is ready itself.

use std::collections::HashMap;
use std::time::Duration;

use regrow::Condition;

use super::agent::Draft;
use super::error::Problem;
use super::read::{Field, Fields, Found, Reader, Shape};
use super::tree::Value;
use super::units::{self, A_DURATION, Refusal};
use super::{Dependency, ReadySetting};

/// How long an agent that says when it is ready has for it, where the file does not say.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The longest text that a line is looked through for.
const LONGEST_TEXT: usize = 256;

const LISTED: &str = "a list of ids such as [db], or a mapping such as {db: ready}";

const CONDITIONS: &str = "started, ready, healthy, completed, completed_successfully or log_ready";

const DEPENDENCY_KEYS: &[&str] = &["condition", "if_enabled"];

const READY_KEYS: &[&str] = &["log", "within"];

/// A dependency as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Whom it is on.
    pub(crate) id: String,
    /// Until when.
    pub(crate) until: Until,
    /// Nobody waits where that agent is not there, or not enabled.
    pub(crate) if_enabled: bool,
}

/// The word for a condition: some mean the same, and ask for more of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// One of the conditions there are.
    Is(Condition),
    /// `ready`, of an agent that says so by a line.
    LogReady,
}

impl Until {
    fn condition(self) -> Condition {
        match self {
            Self::Is(condition) => condition,
            Self::LogReady => Condition::Ready,
        }
    }
}

impl Written {
    /// As it is meant.
    pub(crate) fn settle(&self) -> Dependency {
        Dependency {
            id: self.id.clone(),
            until: self.until.condition(),
        }
    }
}

/// Reads `depends_on`: a list of ids, or a mapping from ids to conditions. Whether they are ids of agents is checked when all are
/// known.
pub(crate) fn depends_on(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Found<Written>> {
    match &field.node.value {
        Value::Map(_) => {
            let fields = reader.fields(field, LISTED);
            let entries: Vec<_> = fields.iter().flat_map(Fields::all).collect();
            entries
                .into_iter()
                .filter_map(|(id, field)| mapped(reader, id, &field))
                .collect()
        }
        Value::List(_) | Value::Scalar(_) => listed(reader, field),
    }
}

/// To say an id twice says no more.
fn listed(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Found<Written>> {
    let written = |text: &str| {
        Ok(Written {
            id: text.to_owned(),
            until: Until::Is(Condition::Started),
            if_enabled: false,
        })
    };
    let shape = Shape::new("the id of an agent", &written);
    let mut all: Vec<Found<Written>> = Vec::new();
    for item in reader.items(field, LISTED).unwrap_or_default() {
        let found = reader.value(&item, &shape);
        let is_new = |found: &Found<Written>| all.iter().all(|one| one.value.id != found.value.id);
        all.extend(found.filter(is_new));
    }
    all
}

fn mapped(reader: &mut Reader<'_>, id: &str, field: &Field<'_>) -> Option<Found<Written>> {
    let condition = Shape::new(CONDITIONS, &condition);
    let (until, if_enabled) = match &field.node.value {
        Value::Map(_) => {
            let fields = reader.known_fields(field, "a dependency", DEPENDENCY_KEYS)?;
            let until = fields
                .get("condition")
                .map(|field| reader.value(&field, &condition));
            let truth = Shape::new("true or false", &units::truth);
            let if_enabled = reader.value_at(&fields, "if_enabled", &truth);
            let until = match until {
                Some(found) => found?.value,
                None => Until::Is(Condition::Started),
            };
            (until, if_enabled.is_some_and(|found| found.value))
        }
        Value::Scalar(_) | Value::List(_) => (reader.value(field, &condition)?.value, false),
    };
    Some(Found {
        value: Written {
            id: id.to_owned(),
            until,
            if_enabled,
        },
        way: field.way.clone(),
        place: field.place,
    })
}

fn condition(text: &str) -> Result<Until, Refusal> {
    match text {
        "healthy" => Ok(Until::Is(Condition::Ready)),
        "log_ready" => Ok(Until::LogReady),
        _ => {
            let refused = |_| Refusal::new(CONDITIONS);
            text.parse().map(Until::Is).map_err(refused)
        }
    }
}

/// Reads `ready`: a line by which an agent says so, and how long it has for it.
pub(crate) fn ready(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ReadySetting> {
    let fields = reader.known_fields(field, "ready", READY_KEYS)?;
    let within = Shape::new(A_DURATION, &units::some_duration);
    let within = reader.value_at(&fields, "within", &within);
    let Some(log) = fields.get("log") else {
        let problem = Problem::Unexpected {
            expected: "the key log".to_owned(),
            got: "none".to_owned(),
            hint: Some(
                "add log: a text of the line by which the agent says that it is ready".to_owned(),
            ),
        };
        reader.note(field.place, &field.way, problem);
        return None;
    };
    let text = Shape::new("a text of one line, such as \"listening on\"", &line);
    Some(ReadySetting {
        log: reader.value(&log, &text)?.value,
        within: within.map_or(READY_WITHIN, |found| found.value),
    })
}

pub(crate) fn line(text: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > LONGEST_TEXT || text.contains(['\n', '\r', '\0']) {
        let expected = format!("a text of one line with 1 to {LONGEST_TEXT} bytes");
        return Err(Refusal::new(expected));
    }
    Ok(text.to_owned())
}

/// Leaves out what is only waited for where it is enabled, and is not.
pub(crate) fn leave_out(drafts: &mut [Draft], ids: &[&str]) {
    let disabled: Vec<String> = drafts
        .iter()
        .filter(|draft| !draft.agent.enabled)
        .map(|draft| draft.id.value.clone())
        .collect();
    let is_there = |id: &String| ids.contains(&id.as_str()) && !disabled.contains(id);
    for draft in drafts {
        draft
            .depends_on
            .retain(|found| !found.value.if_enabled || is_there(&found.value.id));
        draft.agent.depends_on = draft
            .depends_on
            .iter()
            .map(|found| found.value.settle())
            .collect();
    }
}

/// Notes conditions that the other agent can never meet.
pub(crate) fn conditions(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let known: HashMap<&str, &Draft> = drafts
        .iter()
        .map(|draft| (draft.id.value.as_str(), draft))
        .collect();
    for found in drafts.iter().flat_map(|draft| &draft.depends_on) {
        let Some(on) = known.get(found.value.id.as_str()) else {
            continue;
        };
        let id = &found.value.id;
        let (got, hint) = match found.value.until {
            Until::LogReady if on.agent.ready.is_none() => (
                "log_ready",
                format!("{id} says by no line that it is ready; give it ready: {{log: a text}}"),
            ),
            Until::Is(until @ (Condition::Completed | Condition::CompletedSuccessfully))
                if on.agent.restart.policy == regrow_core::Restart::Permanent =>
            {
                (
                    until.as_str(),
                    format!("{id} is permanent, so it is always started again; give it once: true"),
                )
            }
            Until::Is(_) | Until::LogReady => continue,
        };
        let problem = Problem::Unexpected {
            expected: "a condition that can be met".to_owned(),
            got: got.to_owned(),
            hint: Some(hint),
        };
        reader.note(found.place, &found.way, problem);
    }
}

/// Who waits for one that is not enabled, each as the place, the way and what is odd about it.
pub(crate) fn waits_for_the_disabled(drafts: &[Draft]) -> Vec<super::policy::Oddity> {
    let disabled = |id: &String| {
        let mut those = drafts.iter().filter(|draft| !draft.agent.enabled);
        those.any(|draft| draft.id.value == *id)
    };
    let enabled = drafts.iter().filter(|draft| draft.agent.enabled);
    enabled
        .flat_map(|draft| &draft.depends_on)
        .filter(|found| disabled(&found.value.id))
        .map(|found| super::policy::Oddity {
            place: found.place,
            way: found.way.clone(),
            text: format!(
                "{0} is not enabled, so this agent waits until somebody starts {0}; add if_enabled: true to do without",
                found.value.id
            ),
        })
        .collect()
}
