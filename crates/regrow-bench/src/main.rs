//! Measures regrow and its peers side by side.
//!
//! ```text
//! ./run                            everything: builds, measures, prints the table and the lines of JSON
//! ./run --rows 4,9,14              some rows of the list of targets
//! ./run --rounds 9                 more processes for each figure; 5 by default
//! ./run --quick                    one round, little of everything: to see that it works, not what comes out
//! ./run --json FILE                the lines of JSON into a file
//! ./run --markdown FILE            what came out, as a table for docs/performance.md
//! ./run sim                        how the size of a pool follows its load, simulated: see sim.rs
//! ```

mod claims;
mod plan;
mod program;
mod sim;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use plan::{Arm, CELLS, Cell};
use program::{Nothing, Question};
use table::{Results, median};

/// What is on, beside what each arm is.
const SWITCHED_ON: &str = "\
Switched on: regrow as it is by default – a path and an address for each child, the event stream with its flight recorder, the
log handler (without a subscriber), metrics in the system's own recorder, one message in 64 timed. No backoff; an intensity of a
million in an hour, so that every restart is in the window. Its pools have room for all jobs, and shed none. ractor has the features
that regrow gives it, without message spans; ractor-supervisor has those that it turns on itself: async-trait and message spans.
kameo is as it comes. Two workers of tokio; each run is a task of its own. Panic hooks and Erlang's logger are silent. \"ratio\"
and \"regrow is\": regrow's figure divided by the peer's, the median over the rounds; arms take turns in a process, or processes do.";

struct Options {
    rows: Vec<u8>,
    rounds: usize,
    quick: bool,
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
    programs: PathBuf,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self {
            rows: Vec::new(),
            rounds: 5,
            quick: false,
            json: None,
            markdown: None,
            programs: program::beside(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--rows" => {
                    let rows = value()?;
                    let row = |row: &str| {
                        let known = |row: &u8| CELLS.iter().any(|cell| cell.row == *row);
                        let row = row.parse().ok().map(of_cells);
                        row.filter(known)
                            .ok_or("--rows: 1 to 15, 19 and 20 can be measured, such as 4,9,14")
                    };
                    options.rows = rows.split(',').map(row).collect::<Result<_, _>>()?;
                }
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|rounds| *rounds > 0);
                    options.rounds = rounds.ok_or("--rounds: expected a number above 0")?;
                }
                "--quick" => options.quick = true,
                "--json" => options.json = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--programs" => options.programs = value()?.into(),
                other => return Err(format!("unknown option {other:?}")),
            }
        }
        if options.quick {
            options.rounds = 1;
        }
        Ok(options)
    }
}

/// Row 3 is measured where children are started, row 10 where calls are made.
fn of_cells(row: u8) -> u8 {
    match row {
        10 => 9,
        row => row,
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("sim") {
        return sim::main(std::env::args().skip(2));
    }
    let options = match Options::parse() {
        Ok(options) => options,
        Err(why) => {
            eprintln!(
                "{why}\nusage: run [--rows 4,9,14] [--rounds N] [--quick] [--json FILE] [--markdown FILE]\n       run sim …"
            );
            return ExitCode::from(2);
        }
    };
    let rows = &options.rows;
    let wanted = |cell: &&Cell| {
        let memory = cell.cell.starts_with("start") && rows.contains(&3);
        rows.is_empty() || rows.contains(&cell.row) || memory
    };
    let mut results = Results::default();
    for cell in CELLS.iter().filter(wanted) {
        for round in 1..=options.rounds {
            eprintln!("{}: round {round} of {}", cell.name, options.rounds);
            measure(&options, cell, &mut results);
        }
    }
    println!("{}\n{}\n{SWITCHED_ON}", machine(), versions());
    if options.quick {
        println!(
            "\nLittle was done, once: this shows that everything works, and no figure means anything."
        );
    }
    println!("{}", results.table());
    let files = [
        (&options.json, results.json()),
        (&options.markdown, results.markdown()),
    ];
    for (path, text) in files {
        let Some(path) = path else { continue };
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("failed to write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if options.json.is_none() {
        print!("{}", results.json());
    }
    if results.failed() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One round of one cell: one process after the other.
fn measure(options: &Options, cell: &'static Cell, results: &mut Results) {
    for group in groups(cell) {
        let program = group[0].program;
        let names: Vec<&str> = group.iter().map(|arm| arm.arm).collect();
        let (mut question, mut warm_up) = (question(cell), cell.warm_up);
        if options.quick {
            question.n = question.n.div_ceil(100);
            question.ops = question.ops.div_ceil(100);
            question.rounds = 1;
            warm_up = 0;
        }
        match program.ask(&options.programs, question, &names) {
            Err(nothing) => {
                for arm in group {
                    results.miss(cell.name, arm.name, nothing.clone());
                }
            }
            Ok(values) => {
                for arm in &group {
                    // What an arm needs may be missing where the program that runs it is not.
                    if !values.keys().any(|(known, _)| known == arm.arm) {
                        results.miss(cell.name, arm.name, Nothing::Absent);
                    }
                }
                for ((arm, figure), values) in values {
                    let arm = group.iter().find(|known| known.arm == arm);
                    let counted = values.get(warm_up..).unwrap_or_default();
                    if let (Some(arm), false) = (arm, counted.is_empty()) {
                        results.add(cell.name, arm.name, &figure, typical(cell, counted));
                    }
                }
            }
        }
    }
}

/// What counts of the rounds of one process. Where they are many and short, the least: whatever else the machine does only adds.
fn typical(cell: &Cell, values: &[f64]) -> f64 {
    if cell.together {
        values.iter().copied().fold(f64::INFINITY, f64::min)
    } else {
        median(values)
    }
}

fn question(cell: &Cell) -> Question<'static> {
    Question {
        cell: cell.cell,
        n: cell.n,
        ops: cell.ops,
        rounds: cell.inner,
    }
}

/// The arms that share a process.
fn groups(cell: &'static Cell) -> Vec<Vec<&'static Arm>> {
    let mut groups: Vec<Vec<&Arm>> = Vec::new();
    for arm in cell.arms {
        let shared = |group: &&mut Vec<&Arm>| cell.together && group[0].program == arm.program;
        match groups.iter_mut().find(shared) {
            Some(group) => group.push(arm),
            None => groups.push(vec![arm]),
        }
    }
    groups
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    format!("{cores} cores, load {load} at the end")
}

/// The versions of what is measured, from the lock file.
fn versions() -> String {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let entry = lock.split("[[package]]").find_map(|entry| {
            entry.contains(&format!("name = \"{name}\"\n")).then(|| {
                let version = entry.lines().find(|line| line.starts_with("version = "))?;
                version.split('"').nth(1)
            })?
        });
        format!("{name} {}", entry.unwrap_or("?"))
    };
    let names = [
        "regrow",
        "ractor",
        "ractor-supervisor",
        "kameo",
        "tokio",
        "mimalloc",
        "dashmap",
        "papaya",
    ];
    names.map(version).join(", ")
}
