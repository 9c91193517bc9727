//! What `docs/` says, held against the code: a word, a default, an event or a metric is in both or in neither.

use std::collections::BTreeSet;
use std::time::Duration;

use regrow::telemetry::{MetricSchema, Payload, Role, catalogue};
use regrow::{Condition, Order};
use regrow_core::agents::{self, MAX_AGENTS};
use regrow_core::health::Criticality;
use regrow_core::lifecycle::{Stage, StopPlan};
use regrow_core::probe::{ProbeKind, ProbeResult, ProbeVerdict};
use regrow_core::supervision::{ChildPlan, Policy};
use regrow_core::{
    Backoff, ChildKind, Desired, ExitKind, FirstRestart, GiveUp, Health, Phase, Restart,
    RestartIntensity, Shutdown, StopCause, Strategy, Unresponsive,
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
        ("Conditions", all(Condition::ALL, Condition::as_str)),
        ("Desired", all(Desired::ALL, Desired::as_str)),
        ("Health", all(Health::ALL, Health::as_str)),
        ("Criticality", all(Criticality::ALL, Criticality::as_str)),
        ("Probes", all(ProbeKind::ALL, ProbeKind::as_str)),
        ("Results", all(ProbeResult::ALL, ProbeResult::as_str)),
        ("Verdicts", all(ProbeVerdict::ALL, ProbeVerdict::as_str)),
        ("Reasons", all(&ExitKind::ALL, ExitKind::as_str)),
        ("Causes", all(StopCause::ALL, StopCause::as_str)),
        ("Restart types", all(Restart::ALL, Restart::as_str)),
        ("Strategies", all(Strategy::ALL, Strategy::as_str)),
        ("Giving up", all(GiveUp::ALL, GiveUp::as_str)),
        ("Roles", all(agents::Role::ALL, agents::Role::as_str)),
        ("Unresponsive", all(Unresponsive::ALL, Unresponsive::as_str)),
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
    for (row, role) in rows(section(&vocabulary, "Roles"))
        .iter()
        .zip(agents::Role::ALL)
    {
        let once = if role.once() { "yes" } else { "no" };
        let told = [quoted(row[2])[0], row[3]];
        assert_eq!(
            told,
            [role.capability(), once],
            "docs/vocabulary.md, {role}"
        );
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
    assert_eq!(number(library("max agents")), MAX_AGENTS);
    assert!(library("stop order").starts_with("reverse start order, one at a time"));
    assert_eq!(
        (policy.order, policy.stop_together),
        (Order::Sequence, false)
    );
}

/// The runner is in a crate of its own, which the Rust of the README cannot use where it is tested: there it stands in the crate's text.
#[test]
fn the_agents_of_the_readme_are_those_of_the_crate() {
    let (readme, krate) = (read("README.md"), read("crates/regrow-process/src/lib.rs"));
    let block = between(
        section(&readme, "Agents inside your program"),
        "```rust,ignore\n",
        "```",
    );
    let documented: Vec<&str> = krate
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .collect();
    assert!(block.lines().count() > 10);
    for line in block.lines().map(str::trim) {
        assert!(documented.contains(&line), "{line}");
    }
}

/// The agents of a runner have the program's defaults.
#[test]
fn the_defaults_of_a_runner_are_those_of_the_program() {
    let vocabulary = read("docs/vocabulary.md");
    let program = |setting| default_of(&vocabulary, setting).1;
    let types = read("crates/regrow-process/src/runner/types.rs");
    let usual = between(&types, "fn usual(", "\n}\n");
    let [base, max, reset] = times(program("backoff"))[..] else {
        panic!("{}", program("backoff"))
    };
    let intensity = program("intensity");
    let jitter = f64::from(number(between(program("backoff"), "±", "%"))) / 100.0;
    for written in [
        format!("{}..={}", seconds(base), seconds(max)),
        format!(".jitter({jitter})"),
        format!(
            "RestartIntensity::new({}, {})",
            number(intensity),
            seconds(times(intensity)[0])
        ),
        "Restart::Transient".to_owned(),
        "GiveUp::Park".to_owned(),
    ] {
        assert!(usual.contains(&written), "{written}");
    }
    // What is not said there is the default of a backoff.
    assert_eq!(
        Backoff::exponential(base..=max).reset_after(reset),
        Backoff::exponential(base..=max)
    );
    let at_once = times(program("first restart"))[0];
    assert!(types.contains(&format!(
        "const AT_ONCE_AFTER: Duration = {};",
        seconds(at_once)
    )));
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
    let code = read("crates/regrow-server/src/config/policy.rs");
    let restart = between(&code, "impl Default for RestartConfig {", "\n}\n");
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
        constant("config/policy.rs", "STOP_TIMEOUT"),
        seconds(times(program("stop"))[0])
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
fn the_limits_of_the_registry_are_as_written_down() {
    let vocabulary = read("docs/vocabulary.md");
    let written: Vec<(&str, u32)> = rows(section(&vocabulary, "Limits of the registry"))
        .iter()
        .map(|row| (row[0], number(&row[1].replace(',', ""))))
        .collect();
    let constant = |file: &str, name: &str| {
        let code = read(&format!("crates/{file}"));
        let value = between(between(&code, &format!("const {name}:"), ";\n"), "= ", "");
        number(&value.replace('_', "").replace("NonZeroUsize::new", ""))
    };
    let each = constant("regrow/src/registry/book.rs", "MAX_EACH");
    let code = [
        constant("regrow/src/registry/board.rs", "MAX_PENDING"),
        constant("regrow/src/registry/shared.rs", "MAX_LISTS"),
        constant("regrow/src/registry/watcher.rs", "LIMIT"),
        each,
        each,
        constant("regrow/src/registry/book.rs", "MAX_LEN"),
        constant("regrow-core/src/query.rs", "MAX_TEXT"),
        constant("regrow-core/src/query.rs", "MAX_DEPTH"),
    ];
    let limits: Vec<u32> = written.iter().map(|(_, limit)| *limit).collect();
    assert_eq!(limits, code, "docs/vocabulary.md: {written:?}");
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
    let code = read("crates/regrow-process/src/handover.rs");
    let handed = strings(between(&code, "fn variables(", "\n    }\n"));
    given.extend(
        handed
            .into_iter()
            .filter(|name| name.starts_with("LISTEN_")),
    );
    assert!(
        code.contains("export LISTEN_PID;"),
        "only its shell knows its pid"
    );
    given.insert("LISTEN_PID");
    let code = read("crates/regrow-process/src/environment.rs");
    given.extend(strings(between(&code, "const NOTIFY_SOCKET", ";\n")));
    assert_eq!(written, given);
    let passed_on = strings(between(&code, "const PASSED_ON", ";\n")).join("`, `");
    assert!(
        text.contains(&format!("`{passed_on}`")),
        "what is passed on: {passed_on}"
    );
}

/// The table of events, as the code has it.
fn event_table() -> String {
    let mut text = "| event | when | measurements | metadata |\n|---|---|---|---|\n".to_owned();
    for event in Payload::SCHEMA {
        let keys = |wanted: &[Role]| {
            let keys = event.keys.iter().filter(|(_, role)| wanted.contains(role));
            let keys = keys.map(|(key, role)| match role {
                Role::Measurement | Role::Metadata => format!("`{key}`"),
                Role::Sensitive => format!("`{key}` (sensitive)"),
            });
            keys.collect::<Vec<_>>().join(", ")
        };
        let measurements = keys(&[Role::Measurement]);
        let metadata = keys(&[Role::Metadata, Role::Sensitive]);
        let (name, help) = (event.name, event.help);
        text.push_str(&format!(
            "| `{name}` | {help} | {measurements} | {metadata} |\n"
        ));
    }
    text
}

/// The table of metrics, as the code has it.
fn metric_table() -> String {
    let mut text = "| metric | kind | labels | help |\n|---|---|---|---|\n".to_owned();
    for MetricSchema {
        name,
        kind,
        labels,
        help,
    } in catalogue()
    {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.as_str(), labels.join(", "));
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    text
}

/// Holds a generated part of a document against the code; with `REGROW_BLESS` set it is written anew.
fn check_generated(document: &str, mark: &str, generated: &str) {
    let text = read(document);
    let (begin, end) = (
        format!("<!-- generated: {mark} -->\n"),
        format!("<!-- end: {mark} -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the document has the mark");
    let (written, after) = rest
        .split_once(&end)
        .expect("the document has the end of the mark");
    if std::env::var_os("REGROW_BLESS").is_some() {
        let text = format!("{before}{begin}{generated}{end}{after}");
        std::fs::write(crate::tree::root().join(document), text)
            .expect("the document can be written");
        return;
    }
    assert_eq!(
        written, generated,
        "run the tests once with REGROW_BLESS=1 to write {document} anew"
    );
}

#[test]
fn every_event_and_metric_is_written_down_with_its_keys_and_labels() {
    check_generated("docs/telemetry.md", "events", &event_table());
    check_generated("docs/telemetry.md", "metrics", &metric_table());
}

#[test]
fn the_domains_of_events_are_those_of_the_vocabulary() {
    let vocabulary = read("docs/vocabulary.md");
    let domains: BTreeSet<&str> = Payload::SCHEMA
        .iter()
        .filter_map(|event| event.name.split('.').nth(1))
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
