//! What of pools cannot be beside the agents, the groups and the breakers of their file.

use regrow::Condition;

use super::{PoolDraft, is_of_worker};
use crate::config::BREAKERS;
use crate::config::agent::Draft;
use crate::config::breakers::{AgentBreaker, Breakers};
use crate::config::error::Problem;
use crate::config::groups::Group;
use crate::config::probes::note;
use crate::config::read::{Fields, Found, Reader, shortened};
use crate::config::units::Refusal;

/// Notes that there may be more agents and workers together than allowed.
pub(crate) fn number(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    pools: &[PoolDraft],
    agents: usize,
    most: usize,
) {
    let workers: usize = pools.iter().map(PoolDraft::most).sum();
    let Some(field) = fields.get("pools") else {
        return;
    };
    // More agents than that have been told of.
    if agents <= most && agents + workers > most {
        let expected = format!("at most {most} agents and workers together");
        let got = format!("{agents} agents and up to {workers} workers");
        let hint = "raise limits.max_agents, or lower max of a pool";
        note(reader, &field, expected, &got, hint);
    }
}

/// Notes what of pools cannot be beside agents, groups and breakers. Those that are written out are drafts of their own, `of_pools`.
pub(crate) fn check(
    reader: &mut Reader<'_>,
    drafts: &[Draft],
    groups: &[Group],
    pools: &[PoolDraft],
    of_pools: &[Draft],
    breakers: &Breakers,
) {
    for pool in pools {
        tries_again(reader, pool, drafts.iter().chain(of_pools), breakers);
        waits_from_outside(reader, pool, drafts);
    }
    for PoolDraft { id, template, .. } in pools {
        // One that is written out clashes with these as an agent does.
        let groups = groups.iter().filter(|_| template.is_some());
        let agents = drafts.iter().map(|draft| &draft.id);
        let beside = agents.chain(groups.map(|group| &group.id));
        let taken = |other: &&Found<String>| other.value == id.value && other.place != id.place;
        if let Some(owner) = beside.into_iter().find(taken) {
            let problem = Problem::Taken {
                expected: "an id that no agent and no group has",
                got: format!("{:?}", shortened(&id.value)),
                owner: owner.way.clone(),
                first: owner.place,
            };
            reader.note(id.place, &id.way, problem);
        }
        if id.value == BREAKERS && template.is_some() {
            let refusal =
                Refusal::new("another id, because the supervisor of the breakers has this one");
            let problem = Problem::Unexpected {
                expected: refusal.expected,
                got: format!("{BREAKERS:?}"),
                hint: Some("choose another id".to_owned()),
            };
            reader.note(id.place, &id.way, problem);
        }
        let all = drafts.iter().chain(of_pools);
        let waits = all.flat_map(|draft| &draft.depends_on);
        // Of one that is made from a template this is said as of whatever is no agent.
        for found in waits.filter(|found| template.is_none() && found.value.id == id.value) {
            let problem = Problem::Unexpected {
                expected: "the id of an agent".to_owned(),
                got: format!("{:?}, which is a pool", shortened(&id.value)),
                hint: Some("nobody can wait for a pool; remove it".to_owned()),
            };
            reader.note(found.place, &found.way, problem);
        }
        for agent in drafts.iter().map(|draft| &draft.id) {
            if is_of_worker(&id.value, &agent.value) {
                let problem = Problem::Taken {
                    expected: "an id that no worker of a pool can have",
                    got: format!("{:?}", shortened(&agent.value)),
                    owner: id.way.clone(),
                    first: id.place,
                };
                reader.note(agent.place, &agent.way, problem);
            }
        }
    }
}

/// Notes a breaker that would never close again. While it is not closed a pool lets no request through to try, so it has to ask by itself.
fn tries_again<'d>(
    reader: &mut Reader<'_>,
    pool: &PoolDraft,
    mut drafts: impl Iterator<Item = &'d Draft>,
    breakers: &Breakers,
) {
    let made_from = pool.template.as_ref().unwrap_or(&pool.id);
    let Some(draft) = drafts.find(|draft| draft.id.value == made_from.value) else {
        return;
    };
    let Some(found) = &draft.breaker else {
        return;
    };
    let AgentBreaker::Shared(id) = &found.value else {
        return;
    };
    if !breakers.has_no_check(id) {
        return;
    }
    let (way, place, whose) = match &pool.template {
        Some(named) => (
            &named.way,
            named.place,
            format!(" of agent {}", named.value),
        ),
        None => (&found.way, found.place, String::new()),
    };
    let expected =
        "a breaker with a check, since a pool sends no request to try while it is not closed";
    let problem = Problem::Unexpected {
        expected: expected.to_owned(),
        got: format!("{:?}, which has none", shortened(id)),
        hint: Some(format!(
            "give breaker {id} a check, or remove breaker{whose}"
        )),
    };
    reader.note(place, way, problem);
}

/// Notes what an agent in a group waits for there, and workers that are made from it cannot: from outside a group is up, and no more.
fn waits_from_outside(reader: &mut Reader<'_>, pool: &PoolDraft, drafts: &[Draft]) {
    let Some(named) = &pool.template else {
        return;
    };
    let by_id = |id: &str| drafts.iter().find(|draft| draft.id.value == id);
    let group_of = |draft: &Draft| draft.group.as_ref().map(|group| group.value.clone());
    let Some(template) = by_id(&named.value) else {
        return;
    };
    let Some(group) = group_of(template) else {
        return;
    };
    for Found { value: written, .. } in &template.depends_on {
        let until = written.settle().until;
        let is_beside = by_id(&written.id).and_then(group_of).as_ref() == Some(&group);
        if until == Condition::Started || !is_beside {
            continue;
        }
        let id = &written.id;
        let problem = Problem::Unexpected {
            expected: format!(
                "an agent that waits for no more than started of {id}, because workers are outside of the group {group}"
            ),
            got: format!("one that waits for {}", until.as_str()),
            hint: Some(format!(
                "say depends_on: [{id}] of agent {}, or write the worker out here and remove template",
                named.value
            )),
        };
        reader.note(named.place, &named.way, problem);
    }
}
