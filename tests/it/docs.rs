//! What `docs/` says, held against the code: a word, a default, an event or a metric is in both or in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regrow::testing::{Puppet, TestSystem};
use regrow::{Order, Supervisor};
use regrow_core::lifecycle::{Stage, StopPlan};
use regrow_core::supervision::{ChildPlan, Policy};
use regrow_core::{
    Backoff, ChildKind, Desired, ExitKind, FirstRestart, GiveUp, Health, Phase, Restart,
    RestartIntensity, Shutdown, StopCause, Strategy,
};

use crate::tree::{between, read, rust_files};

/// The lines of a section of a document.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let begin = format!("\n## {heading}\n");
    let at = document
        .find(&begin)
        .unwrap_or_else(|| panic!("there is no section {heading:?}"));
    let rest = &document[at + begin.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The rows of all tables in a text, without their heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| line.starts_with("|---");
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| is_rule(next));
    let body = |at: &usize| lines[*at].starts_with('|') && !is_rule(lines[*at]) && !is_head(*at);
    (0..lines.len())
        .filter(body)
        .map(|at| {
            lines[at]
                .trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect()
        })
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What stands between double quotes, in code.
fn strings(code: &str) -> Vec<&str> {
    code.split('"').skip(1).step_by(2).collect()
}

/// The times in a text: `5 s`, `100 ms`.
fn times(text: &str) -> Vec<Duration> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || ",;:".contains(c))
        .collect();
    let time = |pair: &[&str]| {
        let number = pair[0].parse().ok()?;
        match pair[1] {
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            _ => None,
        }
    };
    words.windows(2).filter_map(time).collect()
}

fn number(text: &str) -> u32 {
    let digits = text
        .split(|c: char| !c.is_ascii_digit())
        .find(|digits| !digits.is_empty());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number in {text:?}"))
}

/// A row of the defaults: the cell of the library and that of the program.
fn default_of<'a>(document: &'a str, setting: &str) -> (&'a str, &'a str) {
    let row = rows(section(document, "Defaults"))
        .into_iter()
        .find(|row| row[0] == setting);
    let row = row.unwrap_or_else(|| panic!("there is no default for {setting:?}"));
    (row[1], row[2])
}

#[test]
fn the_words_of_the_code_and_those_of_the_vocabulary_are_the_same() {
    fn all<T: Copy>(words: &[T], text: impl Fn(T) -> &'static str) -> Vec<&'static str> {
        words.iter().map(|word| text(*word)).collect()
    }
    let vocabulary = read("docs/vocabulary.md");
    let tables = [
        ("Kinds", all(ChildKind::ALL, ChildKind::as_str)),
        ("Phases", all(Phase::ALL, Phase::as_str)),
        ("Desired", all(Desired::ALL, Desired::as_str)),
        ("Health", all(Health::ALL, Health::as_str)),
        ("Reasons", all(&ExitKind::ALL, ExitKind::as_str)),
        ("Causes", all(StopCause::ALL, StopCause::as_str)),
        ("Restart types", all(Restart::ALL, Restart::as_str)),
        ("Strategies", all(Strategy::ALL, Strategy::as_str)),
        ("Giving up", all(GiveUp::ALL, GiveUp::as_str)),
        ("Order", all(Order::ALL, Order::as_str)),
        ("Stages of a stop", all(&Stage::ALL, Stage::as_str)),
    ];
    for (heading, code) in tables {
        let written: Vec<&str> = rows(section(&vocabulary, heading))
            .iter()
            .flat_map(|row| quoted(row[0]))
            .collect();
        assert_eq!(written, code, "docs/vocabulary.md, {heading}");
    }
    for row in rows(section(&vocabulary, "Stages of a stop")) {
        let stage = Stage::ALL
            .into_iter()
            .find(|stage| quoted(row[0]) == [stage.as_str()]);
        let budget = StopPlan::default().budget(stage.expect("the words are the same"));
        assert_eq!(times(row[2])[0], budget, "docs/vocabulary.md, {}", row[0]);
    }
}

#[test]
fn the_defaults_of_the_library_are_as_written_down() {
    let vocabulary = read("docs/vocabulary.md");
    let library = |setting| default_of(&vocabulary, setting).0;
    let (policy, plan) = (Policy::default(), ChildPlan::default());
    assert_eq!(quoted(library("strategy")), [policy.strategy.as_str()]);
    assert_eq!(quoted(library("restart")), [plan.restart.as_str()]);
    let intensity = library("intensity");
    assert_eq!(
        Some(RestartIntensity::new(
            number(intensity),
            times(intensity)[0]
        )),
        policy.intensity
    );
    assert_eq!((plan.limit, plan.give_up), (None, GiveUp::Escalate));
    let backoff = library("backoff");
    let [first, cap, reset] = times(backoff)[..] else {
        panic!("{backoff}")
    };
    let jitter = f64::from(number(between(backoff, "±", "%"))) / 100.0;
    let written = Backoff::exponential(first..=cap)
        .jitter(jitter)
        .reset_after(reset);
    assert!(backoff.contains("2ⁿ"), "{backoff}");
    assert_eq!(library("first restart"), "at once");
    assert_eq!(written.first(FirstRestart::AtOnce), plan.backoff);
    assert_eq!(times(library("start timeout")), [plan.start_timeout]);
    assert_eq!(Shutdown::Timeout(times(library("stop"))[0]), plan.shutdown);
    assert_eq!(times(library("kill")), [policy.kill_grace]);
    assert!(library("stop order").starts_with("reverse start order, one at a time"));
    assert_eq!(
        (policy.order, policy.stop_together),
        (Order::Sequence, false)
    );
}

/// The value that the code of a struct gives a field.
fn field<'a>(code: &'a str, name: &str) -> &'a str {
    between(code, &format!(" {name}: "), ",\n")
}

fn seconds(time: Duration) -> String {
    format!("Duration::from_secs({})", time.as_secs())
}

#[test]
fn the_defaults_of_the_program_are_as_written_down() {
    let vocabulary = read("docs/vocabulary.md");
    let program = |setting| default_of(&vocabulary, setting).1;
    let config = read("crates/regrow-server/src/config.rs");
    let restart = between(&config, "impl Default for RestartConfig {", "\n}\n");
    let policy = quoted(program("restart"))[0];
    assert_eq!(
        field(restart, "policy").to_lowercase(),
        format!("restart::{policy}")
    );
    let [base, max, reset] = times(program("backoff"))[..] else {
        panic!("{}", program("backoff"))
    };
    assert_eq!(field(restart, "base"), seconds(base));
    assert_eq!(field(restart, "max"), seconds(max));
    assert_eq!(field(restart, "stable_after"), seconds(reset));
    assert_eq!(field(restart, "factor"), "2.0");
    let jitter = f64::from(number(between(program("backoff"), "±", "%"))) / 100.0;
    assert_eq!(field(restart, "jitter"), jitter.to_string());
    let intensity = program("intensity");
    assert_eq!(
        field(restart, "max_restarts"),
        number(intensity).to_string()
    );
    assert_eq!(field(restart, "within"), seconds(times(intensity)[0]));
    let stop = between(&config, "impl Default for StopConfig {", "\n}\n");
    assert_eq!(field(stop, "timeout"), seconds(times(program("stop"))[0]));
    assert_eq!(times(program("stop"))[0], StopPlan::default().total());

    let constant = |file: &str, name: &str| {
        let code = read(&format!("crates/regrow-server/src/{file}"));
        between(between(&code, &format!("const {name}:"), ";\n"), "= ", "").to_owned()
    };
    assert_eq!(
        constant("daemon/child.rs", "AT_ONCE_AFTER"),
        seconds(times(program("first restart"))[0])
    );
    assert_eq!(
        constant("config/agent.rs", "START_WINDOW"),
        seconds(times(program("start timeout"))[0])
    );
    assert_eq!(
        constant("gateway/verdict.rs", "HOLD"),
        seconds(times(program("while down, a request"))[0])
    );
    assert_eq!(
        constant("config.rs", "MAX_AGENTS"),
        number(program("max agents")).to_string()
    );
}

#[test]
fn the_exit_codes_are_as_written_down() {
    let vocabulary = read("docs/vocabulary.md");
    let written: Vec<&str> = rows(section(&vocabulary, "Exit codes"))
        .iter()
        .map(|row| row[0])
        .collect();
    let code = read("crates/regrow-server/src/cli/exit.rs");
    let variants = between(&code, "pub(crate) enum Exit {", "\n}\n");
    let numbers: Vec<&str> = variants
        .split(" = ")
        .skip(1)
        .map(|rest| between(rest, "", ","))
        .collect();
    assert_eq!(written, numbers);
}

#[test]
fn every_path_that_is_answered_is_written_down_and_no_other() {
    let vocabulary = read("docs/vocabulary.md");
    let table = rows(section(&vocabulary, "Addresses"));
    let written: BTreeSet<&str> = table
        .iter()
        .flat_map(|row| quoted(row[0]))
        .filter(|path| path.starts_with('/'))
        .collect();
    let code = read("crates/regrow-server/src/http/routes.rs");
    let answered = strings(between(&code, "TEMPLATES: &[&str] = &[", "];"))
        .into_iter()
        .collect();
    assert_eq!(written, answered);
}

#[test]
fn the_environment_of_an_agent_is_as_written_down() {
    let vocabulary = read("docs/vocabulary.md");
    let text = section(&vocabulary, "Environment of an agent");
    let written: BTreeSet<&str> = rows(text).iter().flat_map(|row| quoted(row[0])).collect();
    let code = read("crates/regrow-process/src/host.rs");
    let mut given: BTreeSet<&str> = strings(between(&code, "fn variables(", "\n    }\n"))
        .into_iter()
        .collect();
    assert!(
        code.contains("format!(\"REGROW_PORT_{}\""),
        "the ports of others have another name now"
    );
    given.insert("REGROW_PORT_<ID>");
    assert_eq!(written, given);
    let code = read("crates/regrow-process/src/environment.rs");
    let passed_on = strings(between(&code, "const PASSED_ON", ";\n")).join("`, `");
    assert!(
        text.contains(&format!("`{passed_on}`")),
        "what is passed on: {passed_on}"
    );
}

/// The names of all events, each with the names of its fields, as the code has them.
fn events_of(code: &str) -> BTreeMap<String, BTreeSet<String>> {
    let names = between(
        code,
        "pub const fn name(&self) -> &'static str {\n        match self {",
        "\n        }\n",
    );
    let name_of = |variant: &str| {
        let line = names.lines().map(str::trim).find(|line| {
            line.strip_prefix("Self::")
                .and_then(|rest| rest.strip_prefix(variant))
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        strings(line.unwrap_or_else(|| panic!("{variant} has no name")))[0].to_owned()
    };
    let variants = between(code, "pub enum Payload {", "\n}\n");
    let plain: Vec<&str> = variants
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("///"))
        .collect();
    let plain = plain.join(" ");
    let mut events = BTreeMap::new();
    let mut rest = plain.trim();
    while let Some(end) = rest.find(['{', ',']) {
        let variant = rest[..end].trim();
        let has_fields = rest[end..].starts_with('{');
        let close = if has_fields {
            rest.find('}').expect("braces match")
        } else {
            end
        };
        let fields = rest[end..close].trim_start_matches('{').split(',');
        let fields = fields.filter_map(|field| Some(field.split_once(':')?.0.trim().to_owned()));
        events.insert(name_of(variant), fields.collect());
        rest = rest[close..].trim_start_matches(['}', ',', ' ']);
    }
    events
}

#[test]
fn every_event_is_written_down_with_its_fields_and_no_other() {
    let telemetry = read("docs/telemetry.md");
    let code = events_of(&read("crates/regrow/src/telemetry/event.rs"));
    assert!(
        code.len() > 15 && code.values().flatten().count() > 40,
        "the source was not understood: {code:?}"
    );
    let row = |row: &Vec<&str>| {
        let fields = row[2..]
            .iter()
            .flat_map(|cell| quoted(cell))
            .map(str::to_owned)
            .filter(|word| word != "failed");
        (quoted(row[0])[0].to_owned(), fields.collect())
    };
    let written: BTreeMap<String, BTreeSet<String>> = rows(section(&telemetry, "Events"))
        .iter()
        .map(row)
        .collect();
    assert_eq!(written, code);

    let vocabulary = read("docs/vocabulary.md");
    let domains: BTreeSet<&str> = code
        .keys()
        .filter_map(|name| name.split('.').nth(1))
        .collect();
    let written = rows(section(&vocabulary, "Events"))
        .iter()
        .flat_map(|row| quoted(row[0]))
        .collect();
    assert_eq!(domains, written);
    let later = section(&vocabulary, "Later")
        .lines()
        .find(|line| line.starts_with("- Events"))
        .expect("a list of domains to come");
    let built: Vec<&str> = quoted(later)
        .into_iter()
        .filter(|domain| domains.contains(domain))
        .collect();
    assert_eq!(built, [""; 0], "built, so not to come");
}

/// Kind, labels and help of a metric.
type Metric = (String, BTreeSet<String>, String);

/// The counters and histograms, as the code declares them.
fn counters_and_histograms() -> BTreeMap<String, Metric> {
    let code = read("crates/regrow/src/telemetry/metrics.rs");
    let family = |entry: &str| {
        let strings = strings(entry);
        let (name, help) = (strings[0], strings[strings.len() - 1]);
        let labels = strings[1..strings.len() - 1]
            .iter()
            .map(|label| (*label).to_owned())
            .collect();
        let kind = if entry.contains("&[]") {
            "counter"
        } else {
            "histogram"
        };
        (name.to_owned(), (kind.to_owned(), labels, help.to_owned()))
    };
    let entries = between(&code, "\nfamilies! {\n", "\n}\n")
        .split("\";\n")
        .map(|entry| format!("{}\"", entry.trim_end_matches("\";")));
    entries.map(|entry| family(&entry)).collect()
}

/// The gauges, as a scrape has them.
fn gauges_of(scrape: &str) -> BTreeMap<String, Metric> {
    let mut gauges = BTreeMap::new();
    let names = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge"));
    for name in names {
        let help = between(scrape, &format!("# HELP {name} "), "\n");
        let sample = between(scrape, &format!("\n{name}{{"), "}");
        let labels = sample
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
            .collect();
        gauges.insert(
            name.to_owned(),
            ("gauge".to_owned(), labels, help.to_owned()),
        );
    }
    gauges
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_written_down_with_kind_labels_and_help_and_no_other() {
    let tree = Supervisor::new("root").child(Puppet::spec("a").kind(ChildKind::Process));
    let gauges = gauges_of(&TestSystem::start(tree).await.exporter().render());
    let census = read("crates/regrow/src/telemetry/census.rs");
    let families = census.matches("family(").count() - census.matches("fn family(").count();
    assert_eq!(
        gauges.len(),
        families,
        "a gauge that this scrape does not have: {:?}",
        gauges.keys()
    );
    let mut code = counters_and_histograms();
    assert!(code.len() >= 20, "the source was not understood: {code:?}");
    code.extend(gauges);
    let telemetry = read("docs/telemetry.md");
    let row = |row: &Vec<&str>| {
        let labels = quoted(row[2]).into_iter().map(str::to_owned).collect();
        (
            quoted(row[0])[0].to_owned(),
            (row[1].to_owned(), labels, row[3].to_owned()),
        )
    };
    let written: BTreeMap<String, Metric> = rows(section(&telemetry, "Metrics"))
        .iter()
        .map(row)
        .collect();
    assert_eq!(written, code);
}

#[test]
fn every_test_that_the_semantics_name_exists() {
    let mut tests = BTreeSet::new();
    for (_, text) in rust_files() {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let is_test = pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test");
            if is_test && let Some((_, rest)) = pair[1].split_once("fn ") {
                tests.insert(rest.split('(').next().unwrap_or_default().to_owned());
            }
        }
    }
    let semantics = read("docs/semantics.md");
    let table = rows(&semantics);
    let held_by = table.iter().flat_map(|row| quoted(row[row.len() - 1]));
    let named: Vec<&str> = held_by
        .chain(["random_histories_keep_every_invariant"])
        .collect();
    assert!(
        named.len() > 60,
        "the document was not understood: {named:?}"
    );
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|name| !tests.contains(*name))
        .collect();
    assert_eq!(
        missing, [""; 0],
        "docs/semantics.md names tests that do not exist"
    );
}
