//! `regrow pool` and `regrow scale`: the pools as a table, why one has the size that it has, and what an operator makes of it.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::{CliError, Where, say, select, words};
use crate::client::discover;
use crate::wire::{Pool, PoolDecision, ScaleMode, ScaleRequest};

const HEADER: [&str; 8] = [
    "ID",
    "READY",
    "BUSY",
    "SIZE",
    "MODE",
    "QUEUE",
    "DONE",
    "LAST DECISION",
];

#[derive(Debug, Subcommand)]
pub(super) enum PoolCommand {
    /// Show the pools: how many workers are ready, what waits, how the size follows the work
    #[command(
        after_help = "READY are workers that may be given work, and BUSY those of them that have some. SIZE is how many there are to be, and\n\
                      between which bounds. QUEUE is how many requests wait, and how many may; DONE is how many were answered."
    )]
    Ls(Ls),
    /// Say why a pool has the size that it has: each decision, from what, and why
    #[command(after_help = "Example:\n  regrow pool explain coders")]
    Explain(Explain),
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
pub(super) struct Explain {
    /// The pool
    #[arg(value_name = "ID")]
    id: String,
    /// One JSON object, as the API has it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Set how many workers a pool has, or let it follow the work
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regrow scale coders 4         four workers, until something else is said\n  \
                  regrow scale coders auto      as many as there is work for, from where it is\n  \
                  regrow scale coders pause     as many as there are now\n  \
                  regrow scale coders observe   the same, and what the work would make of it is told: regrow pool explain coders\n\n\
                  Until regrow is started anew: then the file says again how many."
)]
pub(super) struct Scale {
    /// The pool
    #[arg(value_name = "ID")]
    id: String,
    /// A number of workers, auto, pause or observe
    #[arg(value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    size: ScaleRequest,
    #[command(flatten)]
    place: Where,
}

/// A pool is named by its id, or as it is shown: `pool/ID`.
fn named(word: &str) -> &str {
    select::pool(word).unwrap_or(word)
}

fn size(text: &str) -> Result<ScaleRequest, String> {
    let mode = match text {
        "auto" => Some(ScaleMode::Auto),
        "pause" => Some(ScaleMode::Paused),
        "observe" => Some(ScaleMode::Observe),
        _ => None,
    };
    let workers = match mode {
        Some(_) => None,
        None => {
            let wrong = |_| "expected a number of workers, auto, pause or observe".to_owned();
            Some(text.parse().map_err(wrong)?)
        }
    };
    Ok(ScaleRequest { workers, mode })
}

pub(super) async fn run(command: PoolCommand) -> Result<(), CliError> {
    match command {
        PoolCommand::Ls(ls) => list(&ls).await,
        PoolCommand::Explain(one) => explain(&one).await,
    }
}

pub(super) async fn scale(scale: &Scale) -> Result<(), CliError> {
    let client = discover(&scale.place.place()).await?.client;
    let pool = client.scale(named(&scale.id), &scale.size).await?;
    say(&headline(&pool))
}

async fn list(ls: &Ls) -> Result<(), CliError> {
    let client = discover(&ls.place.place()).await?.client;
    let mut pools = Vec::new();
    if ls.ids.is_empty() {
        for pool in client.pools().await? {
            // A table has the last decision.
            pools.push(client.pool(&pool.id).await?);
        }
    }
    for id in &ls.ids {
        pools.push(client.pool(named(id)).await?);
    }
    if !ls.json {
        return say(&table(&pools, SystemTime::now()));
    }
    for pool in &pools {
        say(&as_json(pool))?;
    }
    Ok(())
}

async fn explain(one: &Explain) -> Result<(), CliError> {
    let client = discover(&one.place.place()).await?.client;
    let pool = client.pool(named(&one.id)).await?;
    if one.json {
        return say(&as_json(&pool));
    }
    say(&explained(&pool, SystemTime::now()))
}

fn as_json(pool: &Pool) -> String {
    serde_json::to_string(pool).expect("a pool is plain text and numbers")
}

fn table(pools: &[Pool], now: SystemTime) -> String {
    words::table(HEADER, pools.iter().map(|pool| row(pool, now)))
}

fn row(pool: &Pool, now: SystemTime) -> [String; HEADER.len()] {
    let answered = pool.totals.ended.get("ok").copied().unwrap_or_default();
    let last = pool.decisions.last().map(|decision| line(decision, now));
    [
        pool.id.clone(),
        pool.ready.to_string(),
        pool.busy.to_string(),
        format!("{} of {}-{}", pool.desired, pool.min, pool.max),
        pool.mode.clone(),
        format!("{}/{}", pool.queue.waiting, pool.queue.most),
        answered.to_string(),
        pool.trouble().or(last).unwrap_or_else(|| "-".to_owned()),
    ]
}

/// What was decided, and when.
fn line(decision: &PoolDecision, now: SystemTime) -> String {
    match words::since(Some(&decision.at), now) {
        Some(ago) => format!("{} ago: {}", words::span(ago), decision.text),
        None => decision.text.clone(),
    }
}

/// How many workers there are, and what decides that.
fn headline(pool: &Pool) -> String {
    let Pool {
        id,
        ready,
        desired,
        min,
        max,
        ..
    } = pool;
    let follows = match pool.mode.as_str() {
        "auto" => "the size follows the work",
        "manual" => "set by hand",
        "paused" => "the size stays as it is",
        _ => "the size stays as it is, and what it would be is told",
    };
    format!("{id}   {ready} of {desired} ready, {min} to {max}; {follows}")
}

fn explained(pool: &Pool, now: SystemTime) -> String {
    let mut lines = vec![headline(pool)];
    if let Some(trouble) = pool.trouble() {
        lines.push(format!(
            "trouble: {trouble}; see why: regrow ps, regrow logs"
        ));
    }
    let took = Duration::try_from_secs_f64(pool.service_ms / 1e3).unwrap_or_default();
    let takes = if took.is_zero() {
        String::new()
    } else {
        format!("; one takes {} ms on average", took.as_millis().max(1))
    };
    lines.push(format!(
        "requests: {} being answered, {} wait of {} that may{takes}",
        pool.in_flight, pool.queue.waiting, pool.queue.most
    ));
    let each = |counts: &std::collections::BTreeMap<String, u64>| {
        let each: Vec<_> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        if each.is_empty() {
            "none".to_owned()
        } else {
            each.join(", ")
        }
    };
    lines.push(format!(
        "so far: {} came; workers had {}; refused: {}; {} left before their turn",
        pool.totals.submitted,
        each(&pool.totals.ended),
        each(&pool.totals.rejected),
        pool.totals.cancelled
    ));
    if pool.decisions.is_empty() {
        lines.push("nothing has been decided yet".to_owned());
    }
    lines.extend(pool.decisions.iter().map(|decision| line(decision, now)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pool_of_tests as pool;
    use crate::wire::rfc3339;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
    }

    fn grown() -> Pool {
        let mut grown = Pool {
            desired: 4,
            ready: 3,
            busy: 3,
            in_flight: 3,
            service_ms: 101.4,
            decisions: vec![PoolDecision {
                at: rfc3339(now() - Duration::from_secs(7)),
                from: 2,
                to: 4,
                wanted: 4,
                direction: "up".to_owned(),
                trigger: "queue".to_owned(),
                limit: None,
                text: "2 -> 4 workers".to_owned(),
            }],
            ..pool("coders")
        };
        grown.queue.waiting = 1;
        grown.totals.submitted = 12;
        grown.totals.ended.insert("ok".to_owned(), 8);
        grown
    }

    #[test]
    fn the_table_says_how_many_there_are_and_what_was_decided_last() {
        let few = Pool {
            ready: 0,
            starts: "open".to_owned(),
            ..pool("x")
        };
        assert_eq!(
            table(&[grown(), few], now()),
            "\
ID      READY  BUSY  SIZE      MODE  QUEUE  DONE  LAST DECISION
coders  3      3     4 of 2-8  auto  1/80   8     7 s ago: 2 -> 4 workers
x       0      0     2 of 2-8  auto  0/80   0     none of at least 2 workers is ready: its workers do not start"
        );
    }

    #[test]
    fn a_pool_is_explained_by_what_it_has_and_what_was_decided() {
        assert_eq!(
            explained(&grown(), now()),
            "\
coders   3 of 4 ready, 2 to 8; the size follows the work
requests: 3 being answered, 1 wait of 80 that may; one takes 101 ms on average
so far: 12 came; workers had 8 ok; refused: none; 0 left before their turn
7 s ago: 2 -> 4 workers"
        );
    }

    #[test]
    fn a_size_is_a_number_or_a_word() {
        let of = |text| size(text).ok().map(|size| (size.workers, size.mode));
        assert_eq!(of("4"), Some((Some(4), None)));
        assert_eq!(of("auto"), Some((None, Some(ScaleMode::Auto))));
        assert_eq!(of("pause"), Some((None, Some(ScaleMode::Paused))));
        assert_eq!(of("observe"), Some((None, Some(ScaleMode::Observe))));
        assert_eq!((of("-1"), of("many")), (None, None));
    }
}
