//! `regrow top`: what agents use, as a table.

use std::collections::{HashMap, HashSet};
use std::io::{self, IsTerminal as _};
use std::time::{Duration, SystemTime};

use super::{CliError, Top, TopOrder, say, words};
use crate::client::{Client, discover};
use crate::wire::{Agent, Sampling, Tree, TreeProcess};

const HEADER: [&str; 12] = [
    "ID",
    "PHASE",
    "PID",
    "PROCS",
    "THREADS",
    "FDS",
    "CPU %",
    "TIME",
    "MEMORY",
    "READ / WRITTEN",
    "DISK READ",
    "DISK WRITE",
];

const TREE_HEADER: [&str; 10] = [
    "PID",
    "COMMAND",
    "THREADS",
    "FDS",
    "TIME",
    "MEMORY",
    "SHARE",
    "READ / WRITTEN",
    "DISK READ",
    "DISK WRITE",
];

/// Clears a terminal, and begins at its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

pub(super) async fn run(top: &Top) -> Result<(), CliError> {
    let client = discover(&top.place.place()).await?.client;
    if !top.watch {
        return say(&shown(&client, top).await?);
    }
    let before = if io::stdout().is_terminal() && !top.json {
        CLEAR
    } else {
        ""
    };
    let mut rounds = tokio::time::interval(top.every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let after = if before.is_empty() && !top.json {
            "\n"
        } else {
            ""
        };
        say(&format!("{before}{}{after}", shown(&client, top).await?))?;
    }
}

async fn shown(client: &Client, top: &Top) -> Result<String, CliError> {
    if let Some(id) = &top.agent {
        let Tree { processes } = client.tree(id).await?;
        return Ok(if top.json {
            lines(&processes)
        } else {
            tree_table(&processes)
        });
    }
    let mut agents = client.agents().await?;
    sort(&mut agents, top.sort);
    if top.json {
        return Ok(lines(&agents));
    }
    let sampling = client.info().await?.figures;
    let table = table(&agents, SystemTime::now());
    Ok(format!("{table}\n\n{}", cost(sampling)))
}

/// One JSON object per line.
fn lines<T: serde::Serialize>(values: &[T]) -> String {
    let line = |value| serde_json::to_string(value).expect("it is plain text and numbers");
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Those that run first; among equals the order of the file stays.
fn sort(agents: &mut [Agent], order: TopOrder) {
    let key = |agent: &Agent| {
        let figures = agent.figures?;
        Some(match order {
            TopOrder::Cpu => figures.cpu_cores,
            TopOrder::Memory => float(figures.memory_bytes),
            TopOrder::Written => float(figures.written_bytes),
            TopOrder::File => 0.0,
        })
    };
    if order != TopOrder::File {
        agents.sort_by(|one, other| {
            let (one, other) = (key(one).unwrap_or(-1.0), key(other).unwrap_or(-1.0));
            other.total_cmp(&one)
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "only the order counts")]
fn float(count: u64) -> f64 {
    count as f64
}

fn table(agents: &[Agent], now: SystemTime) -> String {
    words::table(HEADER, agents.iter().map(|agent| row(agent, now)))
}

fn row(agent: &Agent, now: SystemTime) -> [String; HEADER.len()] {
    let dash = || "-".to_owned();
    let mut row = HEADER.map(|_| dash());
    row[0].clone_from(&agent.id);
    row[1] = phase(agent, now);
    row[2] = agent.pid.map_or_else(dash, |pid| pid.to_string());
    if let Some(figures) = agent.figures {
        row[3] = figures.processes.to_string();
        row[4] = figures.threads.to_string();
        row[5] = figures.descriptors.to_string();
        row[6] = format!("{:.1}", figures.cpu_cores * 100.0);
        row[7] = cpu_time(figures.cpu_seconds);
        row[8] = words::bytes(figures.memory_bytes);
        row[9] = transfers(figures.read_bytes, figures.written_bytes);
        row[10] = words::bytes(figures.disk_read_bytes);
        row[11] = words::bytes(figures.disk_written_bytes);
    }
    row
}

/// The phase, and how long it lasts where somebody waits for its end.
fn phase(agent: &Agent, now: SystemTime) -> String {
    match words::until(agent.next_start_at.as_deref(), now) {
        Some(wait) => format!("{} {}", agent.phase, words::seconds(wait)),
        None => agent.phase.clone(),
    }
}

fn transfers(read: u64, written: u64) -> String {
    format!("{} / {}", words::bytes(read), words::bytes(written))
}

fn cpu_time(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    words::seconds(time)
}

/// Each process below its parent.
fn tree_table(processes: &[TreeProcess]) -> String {
    let depths = depths(processes);
    let row = |(depth, process): (usize, &TreeProcess)| {
        let share = process.proportional_bytes.map(words::bytes);
        [
            process.pid.to_string(),
            format!(
                "{:indent$}{}",
                "",
                words::first_line(&process.name),
                indent = depth * 2
            ),
            process.threads.to_string(),
            process.descriptors.to_string(),
            cpu_time(process.cpu_seconds),
            words::bytes(process.memory_bytes),
            share.unwrap_or_else(|| "-".to_owned()),
            transfers(process.read_bytes, process.written_bytes),
            words::bytes(process.disk_read_bytes),
            words::bytes(process.disk_written_bytes),
        ]
    };
    words::table(TREE_HEADER, depths.into_iter().map(row))
}

/// The processes in the order of a tree, each with its depth; those whose parent is none of them stand at the left.
fn depths(processes: &[TreeProcess]) -> Vec<(usize, &TreeProcess)> {
    let pids: HashSet<i32> = processes.iter().map(|process| process.pid).collect();
    let mut children: HashMap<i32, Vec<&TreeProcess>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    let is_root = |process: &&TreeProcess| !pids.contains(&process.parent);
    let roots = processes.iter().filter(is_root);
    let mut todo: Vec<(usize, &TreeProcess)> = roots.map(|root| (0, root)).collect();
    todo.reverse();
    let mut ordered = Vec::with_capacity(processes.len());
    while let Some((depth, process)) = todo.pop() {
        ordered.push((depth, process));
        let below = children.get(&process.pid).into_iter().flatten();
        todo.extend(below.rev().map(|child| (depth + 1, *child)));
    }
    ordered
}

/// What it costs to know all this.
fn cost(sampling: Sampling) -> String {
    let every = Duration::from_millis(sampling.every_ms);
    if every.is_zero() {
        return "figures are switched off: telemetry.figures in the file is 0s".to_owned();
    }
    let Sampling {
        last_ms_ago,
        last_took_us,
        ..
    } = sampling;
    let every = format!("looked at every {}", words::seconds(every));
    match (last_ms_ago, last_took_us) {
        (Some(ago), Some(took)) => {
            let ago = words::seconds(Duration::from_millis(ago));
            let took = format!("{}.{} ms", took / 1000, took / 100 % 10);
            format!("{every}, last {ago} ago, which took {took}")
        }
        (Some(_) | None, Some(_) | None) => every,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::AgentFigures;
    use crate::wire::tests::agent;

    fn using(id: &str, cpu_cores: f64, memory_bytes: u64, written_bytes: u64) -> Agent {
        let figures = AgentFigures {
            processes: 2,
            threads: 5,
            descriptors: 12,
            memory_bytes,
            cpu_cores,
            cpu_seconds: 75.25,
            read_bytes: 1024,
            written_bytes,
            disk_read_bytes: 0,
            disk_written_bytes: 4096,
        };
        Agent {
            phase: "running".to_owned(),
            pid: Some(4711),
            figures: Some(figures),
            ..agent(id)
        }
    }

    #[test]
    fn the_table_shows_what_is_used_and_a_dash_where_nothing_is_known() {
        let table = table(
            &[using("worker", 1.5, 20 << 20, 10), agent("new")],
            SystemTime::UNIX_EPOCH,
        );
        assert_eq!(
            table,
            "\
ID      PHASE    PID   PROCS  THREADS  FDS  CPU %  TIME        MEMORY    READ / WRITTEN  DISK READ  DISK WRITE
worker  running  4711  2      5        12   150.0  1 min 15 s  20.0 MiB  1.0 KiB / 10 B  0 B        4.0 KiB
new     pending  -     -      -        -    -      -           -         -               -          -"
        );
    }

    #[test]
    fn the_busiest_or_the_largest_come_first_and_those_that_do_not_run_last() {
        let order = |order| {
            let mut agents = [
                agent("none"),
                using("a", 0.0, 3, 1),
                using("b", 2.0, 1, 2),
                using("c", 2.0, 2, 3),
            ];
            sort(&mut agents, order);
            agents.map(|agent| agent.id).join(" ")
        };
        assert_eq!(order(TopOrder::Cpu), "b c a none");
        assert_eq!(order(TopOrder::Memory), "a c b none");
        assert_eq!(order(TopOrder::Written), "c b a none");
        assert_eq!(order(TopOrder::File), "none a b c");
    }

    fn process(pid: i32, parent: i32, name: &str) -> TreeProcess {
        TreeProcess {
            pid,
            parent,
            name: name.to_owned(),
            threads: 1,
            descriptors: 3,
            memory_bytes: 2048,
            proportional_bytes: (pid == 7).then_some(1024),
            cpu_seconds: 0.25,
            read_bytes: 1,
            written_bytes: 2,
            disk_read_bytes: 3,
            disk_written_bytes: 4,
        }
    }

    #[test]
    fn a_tree_has_each_process_below_its_parent_without_what_steers_terminals() {
        let processes = [
            process(7, 1, "sh"),
            process(8, 7, "a\x1b[2J"),
            process(9, 1, "escaped"),
            process(10, 8, "b"),
            process(11, 7, "c"),
        ];
        assert_eq!(
            tree_table(&processes),
            "\
PID  COMMAND  THREADS  FDS  TIME   MEMORY   SHARE    READ / WRITTEN  DISK READ  DISK WRITE
7    sh       1        3    0.2 s  2.0 KiB  1.0 KiB  1 B / 2 B       3 B        4 B
8      a[2J   1        3    0.2 s  2.0 KiB  -        1 B / 2 B       3 B        4 B
10       b    1        3    0.2 s  2.0 KiB  -        1 B / 2 B       3 B        4 B
11     c      1        3    0.2 s  2.0 KiB  -        1 B / 2 B       3 B        4 B
9    escaped  1        3    0.2 s  2.0 KiB  -        1 B / 2 B       3 B        4 B"
        );
    }

    #[test]
    fn the_cost_is_told() {
        let told = |every_ms, last_ms_ago, last_took_us| {
            cost(Sampling {
                every_ms,
                last_ms_ago,
                last_took_us,
            })
        };
        assert_eq!(
            told(5_000, Some(1_200), Some(2_150)),
            "looked at every 5.0 s, last 1.2 s ago, which took 2.1 ms"
        );
        assert_eq!(told(5_000, None, None), "looked at every 5.0 s");
        assert!(told(0, None, None).contains("switched off"));
    }
}
