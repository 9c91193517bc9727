//! `regrow breaker`: the breakers as a table, and what an operator does with one.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::{CliError, Where, say, words};
use crate::client::{BreakerVerb, discover};
use crate::wire::Breaker;

const HEADER: [&str; 8] = [
    "ID",
    "STATE",
    "SINCE",
    "CALLS",
    "FAILED",
    "REFUSED",
    "AGENTS",
    "NEXT TRIAL / CHECK",
];

#[derive(Debug, Subcommand)]
pub(super) enum BreakerCommand {
    /// Show the breakers: state, what they are judged by, whose requests go through them
    #[command(
        after_help = "CALLS and FAILED are those that it is judged by now, or was when it opened; REFUSED are all since regrow was started, but for those while a check tries.\n\
                      AGENTS are those whose requests go through it, and (start) those whose starts wait for it."
    )]
    Ls(Ls),
    /// Open one, until it is closed, or regrow is started anew: what it stands before is not called
    #[command(
        after_help = "Examples:\n  regrow breaker open store             until it is closed, or regrow is started anew\n  \
                      regrow breaker open store --for 30s   then calls are let through to try"
    )]
    Open(Open),
    /// Close one, whoever has opened it: what undoes open; it begins anew
    #[command(
        after_help = "To undo regrow breaker open, close it. To let it forget what it has seen, whatever an operator wants of it, reset it."
    )]
    Close(One),
    /// Let one forget what it has seen; one that you opened without --for stays open
    #[command(
        after_help = "It is closed, and begins anew, as with regrow breaker close; but that does not undo regrow breaker open without --for."
    )]
    Reset(One),
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Which [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// One JSON object per line, as the API has it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct Open {
    #[command(flatten)]
    one: One,
    /// For so long, at most 1h [default: until it is closed, or regrow is started anew]
    #[arg(long = "for", value_name = "TIME", value_parser = words::duration)]
    time: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The breaker
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Where,
}

pub(super) async fn run(command: BreakerCommand) -> Result<(), CliError> {
    match command {
        BreakerCommand::Ls(ls) => list(&ls).await,
        BreakerCommand::Open(open) => order(&open.one, BreakerVerb::Open(open.time)).await,
        BreakerCommand::Close(one) => order(&one, BreakerVerb::Close).await,
        BreakerCommand::Reset(one) => order(&one, BreakerVerb::Reset).await,
    }
}

async fn list(ls: &Ls) -> Result<(), CliError> {
    let client = discover(&ls.place.place()).await?.client;
    let breakers = if ls.ids.is_empty() {
        client.breakers().await?
    } else {
        let mut breakers = Vec::with_capacity(ls.ids.len());
        for id in &ls.ids {
            breakers.push(client.breaker(id).await?);
        }
        breakers
    };
    if !ls.json {
        return say(&table(&breakers, SystemTime::now()));
    }
    for breaker in &breakers {
        say(&serde_json::to_string(breaker).expect("a breaker is plain text and numbers"))?;
    }
    Ok(())
}

async fn order(one: &One, verb: BreakerVerb) -> Result<(), CliError> {
    let client = discover(&one.place.place()).await?.client;
    let breaker = client.order(&one.id, verb).await?;
    let next = next_trial(&breaker, SystemTime::now());
    let next = next.map_or_else(String::new, |next| format!(", {next}"));
    say(&format!("{}   {}{next}", breaker.id, breaker.state))
}

fn table(breakers: &[Breaker], now: SystemTime) -> String {
    let rows = breakers.iter().map(|breaker| row(breaker, now));
    words::table(HEADER, rows)
}

fn row(breaker: &Breaker, now: SystemTime) -> [String; HEADER.len()] {
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let since = words::since(Some(&breaker.since), now).map(words::span);
    let requests = breaker.agents.iter().cloned();
    let starts = breaker.gates.iter().map(|id| format!("{id} (start)"));
    let agents: Vec<_> = requests.chain(starts).collect();
    let notes: Vec<_> = next_trial(breaker, now)
        .into_iter()
        .chain(check(breaker))
        .collect();
    [
        breaker.id.clone(),
        breaker.state.clone(),
        or_dash(since.unwrap_or_default()),
        breaker.calls.to_string(),
        breaker.failures.to_string(),
        breaker.totals.rejected.to_string(),
        or_dash(agents.join(", ")),
        or_dash(notes.join("; ")),
    ]
}

fn next_trial(breaker: &Breaker, now: SystemTime) -> Option<String> {
    let wait = words::until(breaker.next_trial_at.as_deref(), now)?;
    Some(format!("next trial in {}", words::seconds(wait)))
}

/// What its check has found, if it has one that has looked.
fn check(breaker: &Breaker) -> Option<String> {
    let check = breaker.check.as_ref()?;
    check.last.as_ref()?;
    let is_open = matches!(breaker.state.as_str(), "open" | "forced_open");
    Some(match &check.why {
        Some(why) => words::first_line(why),
        // It was well when somebody last looked, and nobody does.
        None if is_open => "not asked while open".to_owned(),
        None => "well".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BreakerTotals, ProbeState, rfc3339};

    #[test]
    fn the_table_says_what_is_judged_whom_it_concerns_and_what_comes_next() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
        let closed = Breaker {
            id: "model".to_owned(),
            path: "root/breakers/model".to_owned(),
            state: "closed".to_owned(),
            since: rfc3339(now - Duration::from_secs(185)),
            next_trial_at: None,
            calls: 40,
            failures: 3,
            slow: 0,
            consecutive_failures: 0,
            totals: BreakerTotals::default(),
            agents: vec![],
            gates: vec![],
            check: None,
        };
        let check = ProbeState {
            name: "check".to_owned(),
            kind: "custom".to_owned(),
            verdict: "failure".to_owned(),
            last: Some("error".to_owned()),
            why: Some("nobody listens at db.local:5432".to_owned()),
            now: None,
        };
        let open = Breaker {
            id: "db".to_owned(),
            state: "open".to_owned(),
            since: rfc3339(now - Duration::from_secs(2)),
            next_trial_at: Some(rfc3339(now + Duration::from_millis(3_200))),
            calls: 3,
            failures: 3,
            totals: BreakerTotals {
                rejected: 12,
                ..BreakerTotals::default()
            },
            agents: vec!["a".to_owned(), "b".to_owned()],
            gates: vec!["b".to_owned()],
            check: Some(check.clone()),
            ..closed.clone()
        };
        let well = Breaker {
            id: "cache".to_owned(),
            check: Some(ProbeState { why: None, ..check }),
            ..closed.clone()
        };
        let forced = Breaker {
            id: "mail".to_owned(),
            state: "forced_open".to_owned(),
            ..well.clone()
        };
        let tripped = Breaker {
            id: "job".to_owned(),
            state: "open".to_owned(),
            ..well.clone()
        };
        assert_eq!(
            table(&[closed, open, well, forced, tripped], now),
            "\
ID     STATE        SINCE      CALLS  FAILED  REFUSED  AGENTS           NEXT TRIAL / CHECK
model  closed       3 min 5 s  40     3       0        -                -
db     open         2 s        3      3       12       a, b, b (start)  next trial in 3.2 s; nobody listens at db.local:5432
cache  closed       3 min 5 s  40     3       0        -                well
mail   forced_open  3 min 5 s  40     3       0        -                not asked while open
job    open         3 min 5 s  40     3       0        -                not asked while open"
        );
    }
}
