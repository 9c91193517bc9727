//! Groups: agents that share a supervisor of their own, below the root.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use regrow::Condition;
use regrow_core::{RestartIntensity, Strategy};

use super::agent::Draft;
use super::depends::{self, Edge};
use super::error::Problem;
use super::order::Until;
use super::read::{Field, Found, Reader, Shape, shortened};
use super::units::{self, A_DURATION, Refusal};
use super::{GroupConfig, RestartConfig};

const GROUP_KEYS: &[&str] = &["strategy", "max_restarts", "within"];

/// A group as it was written.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its id.
    pub(crate) id: Found<String>,
    /// What it says.
    pub(crate) config: GroupConfig,
}

/// Reads the mapping `groups`.
pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Group> {
    let Some(fields) = reader.fields(field, "a mapping of ids to groups") else {
        return Vec::new();
    };
    let groups: Vec<_> = fields.all().collect();
    groups
        .into_iter()
        .filter_map(|(id, field)| group(reader, id, &field))
        .collect()
}

fn group(reader: &mut Reader<'_>, id: &str, field: &Field<'_>) -> Option<Group> {
    if let Err(refusal) = units::id(id) {
        reader.refuse_key(field, id, refusal);
    }
    let fields = reader.known_fields(field, "a group", GROUP_KEYS)?;
    let strategy = Shape::new(STRATEGIES, &strategy);
    let strategy = reader.value_at(&fields, "strategy", &strategy);
    let count = units::whole(0..=10_000);
    let count = Shape::new("a whole number from 0 to 10000", &count);
    let max_restarts = reader.value_at(&fields, "max_restarts", &count);
    let within = Shape::new(A_DURATION, &units::some_duration);
    let within = reader.value_at(&fields, "within", &within);
    let id = Found {
        value: id.to_owned(),
        way: field.way.clone(),
        place: field.place,
    };
    let config = GroupConfig {
        id: id.value.clone(),
        strategy: strategy.map_or(Strategy::OneForOne, |found| found.value),
        limit: limit(
            max_restarts.map(|found| found.value),
            within.map(|found| found.value),
        ),
    };
    Some(Group { id, config })
}

/// One of the two is enough to want a limit.
fn limit(max_restarts: Option<u32>, within: Option<Duration>) -> Option<RestartIntensity> {
    let usual = RestartConfig::default();
    (max_restarts.is_some() || within.is_some()).then(|| {
        let max_restarts = max_restarts.unwrap_or(usual.max_restarts);
        RestartIntensity::new(max_restarts, within.unwrap_or(usual.within))
    })
}

const STRATEGIES: &str = "one_for_one, one_for_all or rest_for_one";

fn strategy(text: &str) -> Result<Strategy, Refusal> {
    text.parse().map_err(|_| Refusal::new(STRATEGIES))
}

/// Notes what of groups and of dependencies between them cannot be.
pub(crate) fn check(reader: &mut Reader<'_>, drafts: &[Draft], groups: &[Group]) {
    for group in groups {
        let mut agents = drafts.iter().map(|draft| &draft.id);
        if let Some(agent) = agents.find(|id| id.value == group.id.value) {
            let problem = Problem::Taken {
                expected: "an id that no agent has",
                got: format!("{:?}", shortened(&group.id.value)),
                owner: agent.way.clone(),
                first: agent.place,
            };
            reader.note(group.id.place, &group.id.way, problem);
        }
    }
    for found in drafts.iter().filter_map(|draft| draft.group.as_ref()) {
        if groups.iter().any(|group| group.id.value == found.value) {
            continue;
        }
        let known = groups.iter().map(|group| group.id.value.as_str());
        let meant = reader.suggestion(&found.value, known);
        let hint = match meant {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "say what it is under groups".to_owned(),
        };
        let problem = Problem::Unexpected {
            expected: "the id of a group".to_owned(),
            got: format!("{:?}", shortened(&found.value)),
            hint: Some(hint),
        };
        reader.note(found.place, &found.way, problem);
    }
    from_outside(reader, drafts);
    against_the_order(reader, drafts, groups);
}

fn group_of(draft: &Draft) -> Option<&str> {
    draft.group.as_ref().map(|found| found.value.as_str())
}

fn by_id(drafts: &[Draft]) -> HashMap<&str, usize> {
    let ids = drafts.iter().map(|draft| draft.id.value.as_str());
    ids.zip(0..).collect()
}

/// What is outside of a group can wait for the whole of it to be up, and for nothing more.
fn from_outside(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let known = by_id(drafts);
    for draft in drafts {
        for found in &draft.depends_on {
            let on = known
                .get(found.value.id.as_str())
                .map(|index| &drafts[*index]);
            let Some(group) = on.and_then(group_of) else {
                continue;
            };
            let is_started = found.value.until == Until::Is(Condition::Started);
            if is_started || group_of(draft) == Some(group) {
                continue;
            }
            let id = &found.value.id;
            let problem = Problem::Unexpected {
                expected: format!("started, because {id} is in the group {group}"),
                got: "another condition".to_owned(),
                hint: Some(format!(
                    "from outside one can only wait for a whole group to be up; put both into one group, or {id} into none"
                )),
            };
            reader.note(found.place, &found.way, problem);
        }
    }
}

/// In a group with `rest_for_one` each agent comes after the one before it in the file.
fn against_the_order(reader: &mut Reader<'_>, drafts: &[Draft], groups: &[Group]) {
    let known = by_id(drafts);
    let in_order = |group: &str| {
        groups
            .iter()
            .any(|one| one.id.value == group && one.config.strategy == Strategy::RestForOne)
    };
    for (index, draft) in drafts.iter().enumerate() {
        let Some(group) = group_of(draft).filter(|group| in_order(group)) else {
            continue;
        };
        for found in &draft.depends_on {
            let id = found.value.id.as_str();
            let later = known.get(id).copied().filter(|on| *on > index);
            if later.is_some_and(|on| group_of(&drafts[on]) == Some(group)) {
                let problem = Problem::Unexpected {
                    expected: "an agent before this one, because their group is rest_for_one and goes in the order of the file"
                        .to_owned(),
                    got: format!("{id:?}"),
                    hint: Some(format!("move {id} before {}", draft.id.value)),
                };
                reader.note(found.place, &found.way, problem);
            }
        }
    }
}

/// Notes every cycle of groups: who waits for an agent in a group waits for all of it, and all of a group wait for what one of
/// them does.
pub(crate) fn cycles(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let known = by_id(drafts);
    // Each group, and each agent that is in none.
    let mut units: Vec<String> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let unit_of: Vec<usize> = drafts
        .iter()
        .map(|draft| {
            let name = match group_of(draft) {
                Some(group) => format!("group {group}"),
                None => draft.id.value.clone(),
            };
            *places.entry(name.clone()).or_insert_with(|| {
                units.push(name);
                units.len() - 1
            })
        })
        .collect();
    let mut edges: Vec<Vec<Edge<'_>>> = units.iter().map(|_| Vec::new()).collect();
    let mut seen = BTreeSet::new();
    for (draft, from) in drafts.iter().zip(&unit_of) {
        for found in &draft.depends_on {
            let to = known
                .get(found.value.id.as_str())
                .map(|index| unit_of[*index]);
            if let Some(to) = to.filter(|to| to != from)
                && seen.insert((*from, to))
            {
                edges[*from].push(Edge { to, found });
            }
        }
    }
    depends::note_cycles(reader, &edges, &|unit| units[unit].clone());
}
