//! A pool as it would be under one load and several policies for its size, with the library's own controller as one of them.
//!
//! ```text
//! ./run sim                              seven loads, all policies: the table, what has to come out, the lines of JSON
//! ./run sim --loads square,sine          some loads
//! ./run sim --trace FILE                 a load of your own in place of the seven, packed with gzip or not:
//!                                        lines of `arrival,service` in seconds below that head, or a trace of Azure's
//! ./run sim --policies regrow,knative    some policies
//! ./run sim --start 20                   how many seconds a worker takes to start; 2 by default
//! ./run sim --rules window=120           rules for regrow other than its defaults: smoothing, utilisation, burst, tolerance,
//!                                        window, tick, shrink
//! ./run sim --json FILE                  the lines of JSON into a file
//! ./run sim --markdown FILE              the table for docs/performance.md
//! ./run sim --svg FILE                   a chart of each load
//! ./run sim --bless                      what came out for regrow is what is expected from now on
//! ```

mod bar;
mod baseline;
mod chart;
mod figures;
mod hpa;
mod knative;
mod load;
mod policy;
mod pool;
mod random;
mod results;
mod trace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use regrow_core::scaler::ScalerRules;

use chart::Chart;
use figures::{FIGURES, Values};
use load::{Load, SHAPES};
use policy::{Instantly, Naive, Policy, Regrow};
use pool::{Run, Setting, simulate};
use results::Outcome;

/// By these each shape is played.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// In the order of the table.
const POLICIES: [&str; 5] = ["regrow", "knative", "hpa", "instant", "naive"];

const USAGE: &str = "usage: run sim [--loads NAME,… | --trace FILE] [--policies NAME,…] [--start SECONDS] [--rules NAME=VALUE,…] \
[--json FILE] [--markdown FILE] [--svg FILE] [--bless]";

/// A load under its name, played once for each of its seeds.
struct Scenario {
    name: String,
    what: String,
    loads: Vec<Load>,
}

struct Options {
    loads: Vec<String>,
    trace: Option<PathBuf>,
    policies: Vec<&'static str>,
    setting: Setting,
    rules: ScalerRules,
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
    svg: Option<PathBuf>,
    bless: bool,
}

impl Default for Options {
    fn default() -> Self {
        let setting = Setting::default();
        Self {
            loads: Vec::new(),
            trace: None,
            policies: POLICIES.to_vec(),
            setting,
            rules: ScalerRules::new(setting.min, setting.max),
            json: None,
            markdown: None,
            svg: None,
            bless: false,
        }
    }
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--loads" => options.loads = names(&value()?, &load_names())?,
                "--trace" => options.trace = Some(value()?.into()),
                "--policies" => {
                    let wanted = names(&value()?, &POLICIES.map(str::to_owned))?;
                    let is_wanted = |policy: &&str| wanted.iter().any(|name| name == policy);
                    options.policies = POLICIES.into_iter().filter(is_wanted).collect();
                }
                "--start" => options.setting.start = seconds("--start", &value()?)?,
                "--rules" => options.rules = rules(options.rules, &value()?)?,
                "--json" => options.json = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--svg" => options.svg = Some(value()?.into()),
                "--bless" => options.bless = true,
                other => return Err(format!("unknown option {other:?}")),
            }
        }
        if options.trace.is_some() && !options.loads.is_empty() {
            return Err("--trace stands in place of --loads".to_owned());
        }
        if options.bless && !options.is_of_the_baseline() {
            return Err("--bless is for all loads and regrow as they are by default".to_owned());
        }
        Ok(options)
    }

    /// Whether what comes out is what the baseline says of regrow.
    fn is_of_the_baseline(&self) -> bool {
        let usual = Self::default();
        self.loads.is_empty()
            && self.trace.is_none()
            && self.policies.contains(&"regrow")
            && self.setting == usual.setting
            && self.rules == usual.rules
    }

    fn scenarios(&self) -> Result<Vec<Scenario>, String> {
        let Some(path) = &self.trace else {
            let mut scenarios = seven();
            let wanted = &self.loads;
            scenarios.retain(|one| wanted.is_empty() || wanted.contains(&one.name));
            return Ok(scenarios);
        };
        Ok(vec![Scenario {
            name: "trace".to_owned(),
            what: path.display().to_string(),
            loads: vec![trace::read(path)?],
        }])
    }
}

/// The six shapes, five times each, and the recorded trace.
fn seven() -> Vec<Scenario> {
    let shape = |shape: load::Shape| Scenario {
        name: shape.name.to_owned(),
        what: shape.what.to_owned(),
        loads: SEEDS.map(|seed| shape.load(seed)).to_vec(),
    };
    let recorded = Scenario {
        name: "trace".to_owned(),
        what: "an hour of requests to a language model".to_owned(),
        loads: vec![trace::parse(trace::RECORDED).expect("the recorded trace can be read")],
    };
    SHAPES.into_iter().map(shape).chain([recorded]).collect()
}

fn load_names() -> Vec<String> {
    let shapes = SHAPES.iter().map(|shape| shape.name.to_owned());
    shapes.chain(["trace".to_owned()]).collect()
}

fn names(text: &str, known: &[String]) -> Result<Vec<String>, String> {
    let name = |name: &str| {
        let name = name.to_owned();
        let all = || format!("{name:?} is none of {}", known.join(", "));
        known.contains(&name).then(|| name.clone()).ok_or_else(all)
    };
    text.split(',').map(name).collect()
}

fn seconds(option: &str, text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    let seconds = seconds.and_then(Result::ok);
    let seconds = seconds.filter(|seconds| *seconds <= trace::LONGEST);
    seconds.ok_or_else(|| format!("{option}: expected seconds, up to 31 days, found {text:?}"))
}

/// `window=120,utilisation=0.6`
fn rules(rules: ScalerRules, text: &str) -> Result<ScalerRules, String> {
    let one = |rules: ScalerRules, rule: &str| {
        let wrong =
            || format!("--rules: expected such as window=120,utilisation=0.6, found {rule:?}");
        let (name, value) = rule.split_once('=').ok_or_else(wrong)?;
        let number: f64 = value.parse().map_err(|_| wrong())?;
        let time = || seconds(name, value);
        Ok(match name {
            "smoothing" => rules.smoothing(time()?),
            "utilisation" => rules.utilisation(number),
            "burst" => rules.burst(number),
            "tolerance" => rules.tolerance(number),
            "window" => rules.window(time()?),
            "tick" => rules.tick(time()?),
            "shrink" => rules.shrinkage(1, number),
            _ => return Err(wrong()),
        })
    };
    let rules = text.split(',').try_fold(rules, one)?;
    rules.check().map_err(|error| format!("--rules: {error}"))?;
    Ok(rules)
}

pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let scenarios = options.scenarios()?;
    let outcomes: Vec<Outcome> = scenarios.iter().map(|one| play(options, one)).collect();
    print!("{}", results::table(&outcomes));
    let lines = results::lines(&outcomes, None);
    if options.json.is_none() {
        print!("\n{lines}");
    }
    let files = [
        (&options.json, lines),
        (&options.markdown, results::markdown(&outcomes)),
    ];
    for (path, text) in files {
        if let Some(path) = path {
            write(path, &text)?;
        }
    }
    if let Some(path) = &options.svg {
        let charts: Vec<Chart> = scenarios.iter().map(|one| chart(options, one)).collect();
        write(path, &chart::svg(&charts))?;
    }
    if options.bless {
        write(
            Path::new(baseline::FILE),
            &results::lines(&outcomes, Some("regrow")),
        )?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let written = std::fs::write(path, text);
    written.map_err(|error| format!("failed to write {}: {error}", path.display()))
}

/// The first seed of a load, under each policy.
fn chart<'a>(options: &Options, scenario: &'a Scenario) -> Chart<'a> {
    let load = &scenario.loads[0];
    let policies = options.policies.iter();
    let title = format!("{}: {}", scenario.name, scenario.what);
    Chart {
        title: if scenario.loads.len() > 1 {
            format!("{title}; the first seed")
        } else {
            title
        },
        load,
        runs: policies
            .map(|name| (*name, once(options, name, load)))
            .collect(),
    }
}

/// All seeds of a load, under each policy.
fn play(options: &Options, scenario: &Scenario) -> Outcome {
    let offered = scenario.loads.iter().map(Load::offered).collect();
    let figures = |name: &&'static str| {
        let runs = scenario.loads.iter().map(|load| once(options, name, load));
        let runs: Vec<Run> = runs.collect();
        let values = FIGURES.map(|(figure, ..)| {
            let runs = runs.iter().zip(&scenario.loads);
            Values(
                runs.map(|(run, load)| figure.of(run, load.duration))
                    .collect(),
            )
        });
        (*name, values)
    };
    Outcome {
        load: scenario.name.clone(),
        what: scenario.what.clone(),
        offered: Values(offered).median(),
        seeds: scenario.loads.len(),
        policies: options.policies.iter().map(figures).collect(),
    }
}

/// One load under one policy.
fn once(options: &Options, policy: &str, load: &Load) -> Run {
    let setting = options.setting;
    let mut policy: Box<dyn Policy> = match policy {
        "regrow" => {
            let rules = options.rules.clone();
            Box::new(Regrow::new(rules).expect("the rules were checked"))
        }
        "knative" => Box::new(knative::Knative::new(setting.min)),
        "hpa" => Box::new(hpa::Hpa::new(setting.min)),
        "instant" => Box::new(Instantly),
        _ => Box::new(Naive),
    };
    simulate(load, setting, policy.as_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Options, String> {
        Options::parse(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let wrong = |arguments| parse(arguments).err().unwrap();
        assert_eq!(wrong("--svg"), "--svg needs a value");
        assert_eq!(wrong("--fast"), "unknown option \"--fast\"");
        assert_eq!(
            wrong("--policies regrow,keda"),
            "\"keda\" is none of regrow, knative, hpa, instant, naive"
        );
        assert_eq!(
            wrong("--start -1"),
            "--start: expected seconds, up to 31 days, found \"-1\""
        );
        assert_eq!(
            wrong("--rules window=0"),
            "--rules: window: expected at least one tick"
        );
        assert!(wrong("--rules wide=1").starts_with("--rules: expected such as"));
        assert!(wrong("--trace a.csv --loads sine").starts_with("--trace stands"));
    }

    #[test]
    fn only_what_is_as_it_is_by_default_is_blessed() {
        assert!(parse("--bless --json out.jsonl").is_ok());
        for other in [
            "--loads sine",
            "--start 3",
            "--rules burst=1",
            "--policies hpa",
        ] {
            assert!(parse(&format!("--bless {other}")).is_err(), "{other}");
        }
    }

    #[test]
    fn policies_keep_their_order_and_rules_are_regrows() {
        let options = parse("--policies hpa,regrow --rules window=120,burst=0.8").unwrap();
        assert_eq!(options.policies, ["regrow", "hpa"]);
        let expected = ScalerRules::new(1, 128).window(Duration::from_secs(120));
        assert_eq!(options.rules, expected.burst(0.8));
    }
}
