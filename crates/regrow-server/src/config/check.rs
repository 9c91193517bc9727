//! What no agent can know alone: ports, names of ports, how many there are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use regrow_process::port_variable;

use super::agent::Draft;
use super::error::{Place, Problem};
use super::pools::PoolDraft;
use super::read::{Field, Found, Reader};
use super::{LISTEN, PortSetting};

/// Notes that there are more agents than allowed.
pub(crate) fn number(reader: &mut Reader<'_>, agents: &Field<'_>, count: usize, most: usize) {
    if count > most {
        let problem = Problem::Unexpected {
            expected: format!("at most {most} agents"),
            got: count.to_string(),
            hint: Some("raise limits.max_agents, or remove some".to_owned()),
        };
        reader.note(agents.place, &agents.way, problem);
    }
}

/// Notes ports that two want, of whom one may be regrow itself, and more agents with `port: auto` than the range has ports.
pub(crate) fn ports(
    reader: &mut Reader<'_>,
    drafts: &[Draft],
    pools: &[PoolDraft],
    range: &RangeInclusive<u16>,
    listen: Option<&Found<SocketAddr>>,
) {
    let ours = listen.map_or(LISTEN.port(), |listen| listen.value.port());
    let said = listen.map(|listen| (listen.way.as_str(), listen.place));
    let mut taken: HashMap<u16, Option<(&str, Place)>> = HashMap::from([(ours, said)]);
    let mut left = range.clone().count();
    let mut autos = Vec::new();
    for port in drafts.iter().filter_map(|draft| draft.port.as_ref()) {
        match port.value {
            PortSetting::Auto => autos.push(port),
            PortSetting::Fixed(number) => match taken.get(&number) {
                Some(owner) => reader.note(port.place, &port.way, port_is_taken(number, *owner)),
                None => {
                    taken.insert(number, Some((&port.way, port.place)));
                }
            },
            PortSetting::Socket => {}
        }
    }
    for pool in pools {
        let workers = pool.auto_port().into_iter();
        autos.extend(workers.flat_map(|(port, workers)| std::iter::repeat_n(port, workers)));
    }
    let whom = if pools.is_empty() {
        "agents with port: auto"
    } else {
        "agents and workers of pools with port: auto"
    };
    left -= taken.keys().filter(|number| range.contains(number)).count();
    if let Some(first_without) = autos.get(left) {
        let problem = Problem::Unexpected {
            expected: format!(
                "at most {left} {whom}, as many as ports {}-{} leaves",
                range.start(),
                range.end()
            ),
            got: autos.len().to_string(),
            hint: Some("widen ports".to_owned()),
        };
        reader.note(first_without.place, &first_without.way, problem);
    }
}

/// The problem of a port that `owner` has; where the file names none, it is regrow itself by default.
fn port_is_taken(number: u16, owner: Option<(&str, Place)>) -> Problem {
    match owner {
        Some((owner, first)) => Problem::Taken {
            expected: "a port of its own",
            got: number.to_string(),
            owner: owner.to_owned(),
            first,
        },
        None => Problem::Unexpected {
            expected: "a port of its own".to_owned(),
            got: number.to_string(),
            hint: Some(
                "regrow itself listens there; choose another, or set server.listen".to_owned(),
            ),
        },
    }
}

/// Notes two agents whose ports would have one name, and names of ports that nobody has.
pub(crate) fn port_variables(reader: &mut Reader<'_>, drafts: &[Draft], pools: &[PoolDraft]) {
    let mut names: HashMap<String, &Found<String>> = HashMap::new();
    let has_port = |draft: &&Draft| match draft.agent.port {
        Some(PortSetting::Auto | PortSetting::Fixed(_)) => true,
        Some(PortSetting::Socket) | None => false,
    };
    for draft in drafts.iter().filter(has_port) {
        let name = port_variable(&draft.id.value);
        if let Some(first) = names.get(&name) {
            let problem = Problem::Taken {
                expected: "an id whose port has a name of its own",
                got: name,
                owner: first.way.clone(),
                first: first.place,
            };
            reader.note(draft.id.place, &draft.id.way, problem);
        } else {
            names.insert(name, &draft.id);
        }
    }
    let mut known: Vec<&str> = names.keys().map(String::as_str).collect();
    known.sort_unstable();
    // Nobody is told the port of a worker: whoever wants one asks its pool.
    let of_pools = pools.iter().filter_map(|pool| pool.draft.as_ref());
    for draft in drafts.iter().chain(of_pools) {
        for used in &draft.at_spawn {
            let hint = match used.value.as_str() {
                "PORT" if !has_port(&draft) => "add port: auto to this agent".to_owned(),
                "REGROW_SOCKET" if draft.agent.port != Some(PortSetting::Socket) => {
                    "add port: socket to this agent".to_owned()
                }
                name if !name.starts_with("REGROW_PORT_") || names.contains_key(name) => continue,
                name => match reader.suggestion(name, known.iter().copied()) {
                    Some(meant) => {
                        format!("no agent with a port has this name; did you mean {meant:?}?")
                    }
                    None => "no agent with a port has this name; give it port: auto".to_owned(),
                },
            };
            let problem = Problem::Unexpected {
                expected: "a variable that is set when the agent is started".to_owned(),
                got: format!("${{{}}}", used.value),
                hint: Some(hint),
            };
            reader.note(used.place, &used.way, problem);
        }
    }
}
