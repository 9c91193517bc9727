//! `regrow ps`: the agents as a table.

use std::time::SystemTime;

use regrow_core::query::Query;

use super::{CliError, Ps, say, words};
use crate::client::discover;
use crate::wire::Agent;

const HEADER: [&str; 10] = [
    "ID",
    "TYPE",
    "PHASE",
    "READY",
    "GEN",
    "RESTARTS",
    "PID",
    "PORT",
    "UPTIME",
    "LAST EXIT / NEXT START",
];

/// Behind the id.
const GROUP_AT: usize = 1;

/// Behind what is ready.
const HEALTH_AT: usize = 4;

pub(super) async fn run(ps: &Ps) -> Result<(), CliError> {
    // Before anybody is asked: a mistake is one even where no daemon runs.
    let query = query(&ps.query)?;
    let found = discover(&ps.place.place()).await?;
    let agents = match query {
        Some(query) => found.client.matching(&query).await?,
        None => found.client.agents().await?,
    };
    if !ps.json {
        return say(&table(&agents, SystemTime::now()));
    }
    for agent in &agents {
        say(&serde_json::to_string(agent).expect("an agent is plain text and numbers"))?;
    }
    Ok(())
}

/// The text of the query, if there is one: its words, joined by a blank.
fn query(words: &[String]) -> Result<Option<String>, CliError> {
    if words.is_empty() {
        return Ok(None);
    }
    let text = words.join(" ");
    match text.parse::<Query>() {
        Ok(_) => Ok(Some(text)),
        Err(source) => Err(CliError::Query(source)),
    }
}

/// The groups (and pools, with `pool/` before them) and the health have a column each where there is anything to say.
fn table(agents: &[Agent], now: SystemTime) -> String {
    let above = |agent: &Agent| {
        let pool = agent.pool.as_ref().map(|pool| format!("pool/{pool}"));
        pool.or_else(|| agent.group.clone())
    };
    let has_groups = agents.iter().any(|agent| above(agent).is_some());
    let has_probes = agents.iter().any(|agent| !agent.probes.is_empty());
    let wide = |row: Vec<String>, group: &str, health: &str| {
        let mut row = row;
        // The later one first, so that it comes to its place.
        if has_probes {
            row.insert(HEALTH_AT, health.to_owned());
        }
        if has_groups {
            row.insert(GROUP_AT, group.to_owned());
        }
        row
    };
    let header = HEADER.map(str::to_owned).to_vec();
    let header = wide(header, "GROUP", "HEALTH");
    let rows = agents.iter().map(|agent| {
        let group = above(agent).unwrap_or_else(|| "-".to_owned());
        wide(row(agent, now).to_vec(), &group, &agent.health)
    });
    words::table(header.iter().map(String::as_str), rows)
}

fn row(agent: &Agent, now: SystemTime) -> [String; HEADER.len()] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let alive = agent.pid.is_some();
    let uptime = words::since(agent.started_at.as_deref(), now)
        .filter(|_| alive)
        .map(words::span);
    [
        agent.id.clone(),
        agent.type_name.clone(),
        agent.phase.clone(),
        if agent.ready { "yes" } else { "no" }.to_owned(),
        agent.generation.to_string(),
        agent.restarts.to_string(),
        or_dash(agent.pid.map(|pid| pid.to_string())),
        or_dash(match (agent.port, &agent.socket) {
            (Some(port), _) => Some(port.to_string()),
            (None, Some(_)) => Some("socket".to_owned()),
            (None, None) => None,
        }),
        or_dash(uptime),
        or_dash(unwell(agent, now).or_else(|| last_and_next(agent, now))),
    ]
}

/// Which probe of one that lives says that it is not well, and why; or that its breaker keeps requests from it, and for how long.
fn unwell(agent: &Agent, now: SystemTime) -> Option<String> {
    agent.pid?;
    let trouble = words::first_line(&agent.trouble()?);
    let next = agent.breaker.as_ref().and_then(|breaker| {
        let wait = words::until(breaker.next_trial_at.as_deref(), now)?;
        Some(format!("next trial in {}", words::seconds(wait)))
    });
    Some(match next {
        Some(next) if agent.found_by_probes().is_none() => format!("{trouble}, {next}"),
        Some(_) | None => trouble,
    })
}

/// How it ended last, when that was, and what comes next.
fn last_and_next(agent: &Agent, now: SystemTime) -> Option<String> {
    let last = agent.last_exit.as_ref();
    if agent.phase == "starting" && agent.pid.is_none() {
        // It waits for a breaker.
        return agent.message.as_deref().map(words::first_line);
    }
    if agent.phase == "failed" {
        let why = agent.message.as_deref().map(words::first_line);
        return why.or_else(|| last.map(words::exit));
    }
    if agent.phase == "backoff" {
        let next = words::until(agent.next_start_at.as_deref(), now)
            .map(|wait| format!("next start in {}", words::seconds(wait)));
        let parts: Vec<_> = last.map(words::exit).into_iter().chain(next).collect();
        return (!parts.is_empty()).then(|| parts.join(", "));
    }
    let last = last?;
    Some(match words::since(Some(&last.at), now) {
        Some(ago) => format!("{}, {} ago", words::exit(last), words::span(ago)),
        None => words::exit(last),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::Exit;
    use crate::wire::tests::agent;
    use crate::wire::{LastExit, ProbeState, rfc3339};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
    }

    fn exited(code: i32, seconds_ago: u64) -> LastExit {
        LastExit {
            reason: "exit".to_owned(),
            code: Some(code),
            signal: None,
            message: Some(format!("exit code {code}")),
            at: rfc3339(now() - Duration::from_secs(seconds_ago)),
        }
    }

    #[test]
    fn the_table_tells_of_the_past_and_of_what_comes_next() {
        let running = Agent {
            phase: "running".to_owned(),
            ready: true,
            generation: 2,
            restarts: 1,
            pid: Some(4711),
            port: Some(8001),
            started_at: Some(rfc3339(now() - Duration::from_secs(185))),
            last_exit: Some(exited(1, 190)),
            ..agent("worker")
        };
        let backoff = Agent {
            phase: "backoff".to_owned(),
            generation: 3,
            restarts: 2,
            next_start_at: Some(rfc3339(now() + Duration::from_millis(3_200))),
            last_exit: Some(exited(3, 1)),
            started_at: Some(rfc3339(now() - Duration::from_secs(9))),
            ..agent("crasher")
        };
        let failed = Agent {
            phase: "failed".to_owned(),
            message: Some("6 failures within 60 s; the last: exit code 1".to_owned()),
            last_exit: Some(exited(1, 1)),
            ..agent("x")
        };
        assert_eq!(
            table(&[running, backoff, failed, agent("new")], now()),
            "\
ID       TYPE    PHASE    READY  GEN  RESTARTS  PID   PORT  UPTIME     LAST EXIT / NEXT START
worker   worker  running  yes    2    1         4711  8001  3 min 5 s  exit code 1, 3 min 10 s ago
crasher  worker  backoff  no     3    2         -     -     -          exit code 3, next start in 3.2 s
x        worker  failed   no     0    0         -     -     -          6 failures within 60 s; the last: exit code 1
new      worker  pending  no     0    0         -     -     -          -"
        );
    }

    #[test]
    fn groups_have_a_column_where_there_are_any() {
        let grouped = Agent {
            group: Some("coders".to_owned()),
            ..agent("a")
        };
        assert_eq!(
            table(&[grouped, agent("b")], now()),
            "\
ID  GROUP   TYPE    PHASE    READY  GEN  RESTARTS  PID  PORT  UPTIME  LAST EXIT / NEXT START
a   coders  worker  pending  no     0    0         -    -     -       -
b   -       worker  pending  no     0    0         -    -     -       -"
        );
    }

    #[test]
    fn the_health_has_a_column_where_there_are_probes_and_says_why_it_is_bad() {
        let probe = |verdict: &str, why: Option<&str>| ProbeState {
            name: "readiness".to_owned(),
            kind: "readiness".to_owned(),
            verdict: verdict.to_owned(),
            last: Some(verdict.to_owned()),
            why: why.map(str::to_owned),
            now: None,
        };
        let running = |id: &str, probes: Vec<ProbeState>| Agent {
            phase: "running".to_owned(),
            pid: Some(7),
            probes,
            ..agent(id)
        };
        let well = Agent {
            ready: true,
            health: "up".to_owned(),
            ..running("a", vec![probe("success", None)])
        };
        let down = Agent {
            health: "down".to_owned(),
            ..running("b", vec![probe("failure", Some("nobody listens"))])
        };
        assert_eq!(
            table(&[well, down, agent("c")], now()),
            "\
ID  TYPE    PHASE    READY  HEALTH   GEN  RESTARTS  PID  PORT  UPTIME  LAST EXIT / NEXT START
a   worker  running  yes    up       0    0         7    -     -       -
b   worker  running  no     down     0    0         7    -     -       probe readiness: nobody listens
c   worker  pending  no     unknown  0    0         -    -     -       -"
        );
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn several_words_are_one_query() {
        let text = "type:worker and not draining";
        let of = |words: &[String]| query(words).unwrap();
        assert_eq!(of(&words(text)).as_deref(), Some(text));
        assert_eq!(of(&[text.to_owned()]).as_deref(), Some(text));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_wrong_query_is_a_usage_error_with_a_mark_under_the_place() {
        let error = query(&words("type:worker adn ready")).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        let said = "\
wrong query: expected `and`, `or` or the end, got `adn` (column 13)
  type:worker adn ready
              ^";
        assert_eq!(error.to_string(), said);
        assert_eq!(query(&[String::new()]).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn no_agents_are_an_empty_table() {
        assert_eq!(table(&[], now()).lines().count(), 1);
    }
}
