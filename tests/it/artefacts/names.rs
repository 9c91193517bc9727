//! The names in rules, rule tests and dashboards: each is in the catalogue, with its labels, or is recorded by the rules.

use std::collections::{BTreeMap, BTreeSet};

use regrow::breaker::{CircuitCause, CircuitState};
use regrow::telemetry::{MetricKind, MetricSchema, Payload, catalogue};
use regrow::{ChildKind, ExitKind, Health, Phase};

use super::dashboards;
use super::rules::{Makes, rules, rules_text, series, tests_text};
use crate::tree::read;

/// Labels that Prometheus puts on everything that it scrapes.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// A piece of `PromQL`, as far as names are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name, a keyword, a number or a duration.
    Word(&'a str),
    /// What stands between quotes.
    Text(&'a str),
    Sign(char),
}

fn tokens(mut expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    while let Some(first) = expression.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_:.$".contains(c);
        let length = match first {
            '"' => {
                let text = &expression[1..];
                let end = text.find('"').expect("what is quoted ends");
                tokens.push(Token::Text(&text[..end]));
                end + 2
            }
            _ if is_part(first) => {
                let end = expression.find(|c| !is_part(c));
                let word = &expression[..end.unwrap_or(expression.len())];
                tokens.push(Token::Word(word));
                word.len()
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        expression = &expression[length..];
    }
    tokens
}

/// What an expression speaks of.
#[derive(Debug, Default)]
struct Named<'a> {
    /// Each metric with its selectors: label and value.
    metrics: Vec<(&'a str, Vec<(&'a str, &'a str)>)>,
    /// Labels in `by (…)` and the like.
    grouped: Vec<&'a str>,
    /// Labels in `without (…)`.
    dropped: Vec<&'a str>,
}

/// The words between brackets that open at `tokens[0]`, or none.
fn bracketed<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let mut words = Vec::new();
    if tokens.first() == Some(&Token::Sign('(')) {
        for token in tokens {
            match token {
                Token::Word(word) => words.push(*word),
                Token::Sign(')') => break,
                Token::Sign(_) | Token::Text(_) => {}
            }
        }
    }
    words
}

/// The labels and values between braces that open at `tokens[0]`, or none.
fn selectors<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, &'a str)> {
    let (mut pairs, mut label) = (Vec::new(), "");
    if tokens.first() == Some(&Token::Sign('{')) {
        for token in tokens {
            match token {
                Token::Word(word) => label = word,
                Token::Text(text) => pairs.push((label, *text)),
                Token::Sign('}') => break,
                Token::Sign(_) => {}
            }
        }
    }
    pairs
}

fn named(expression: &str) -> Named<'_> {
    let tokens = tokens(expression);
    let mut named = Named::default();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let rest = &tokens[at + 1..];
        match *word {
            "without" | "ignoring" => named.dropped.extend(bracketed(rest)),
            "by" | "on" | "group_left" | "group_right" => named.grouped.extend(bracketed(rest)),
            name if name == "up" || name.starts_with("regrow") => {
                named.metrics.push((name, selectors(rest)));
            }
            _ => {}
        }
    }
    named
}

/// The labels of everything that has a name: series as they are scraped, and what the rules record.
struct Names(BTreeMap<String, BTreeSet<String>>);

impl Names {
    fn known() -> Self {
        let set = |labels: &[&str]| -> BTreeSet<String> {
            let labels = labels.iter().chain(&SCRAPED);
            labels.map(|label| (*label).to_owned()).collect()
        };
        let mut names = BTreeMap::from([("up".to_owned(), set(&[]))]);
        for MetricSchema {
            name, kind, labels, ..
        } in catalogue()
        {
            match kind {
                MetricKind::Counter | MetricKind::Gauge => {
                    names.insert(name.to_owned(), set(labels));
                }
                MetricKind::Histogram => {
                    for part in ["sum", "count"] {
                        names.insert(format!("{name}_{part}"), set(labels));
                    }
                    let with_bound = [labels, &["le"]].concat();
                    names.insert(format!("{name}_bucket"), set(&with_bound));
                }
            }
        }
        let mut names = Self(names);
        let text = rules_text();
        for rule in rules(&text)
            .iter()
            .filter(|rule| rule.makes == Makes::Record)
        {
            let used = named(rule.expression);
            names.check(rule.name, rule.expression);
            let mut labels: BTreeSet<String> = used
                .metrics
                .iter()
                .flat_map(|(metric, _)| names.0[*metric].clone())
                .collect();
            if !used.grouped.is_empty() {
                labels.retain(|label| used.grouped.contains(&label.as_str()));
            }
            labels.retain(|label| !used.dropped.contains(&label.as_str()));
            if rule.expression.contains("histogram_quantile(") {
                labels.remove("le");
            }
            names.0.insert(rule.name.to_owned(), labels);
        }
        names
    }

    /// What is wrong with an expression.
    fn errors(&self, expression: &str) -> Vec<String> {
        let used = named(expression);
        let mut errors = Vec::new();
        if used.metrics.is_empty() {
            errors.push("it names no metric".to_owned());
        }
        let mut labels = BTreeSet::new();
        for (metric, selectors) in &used.metrics {
            let Some(known) = self.0.get(*metric) else {
                errors.push(format!("there is no metric {metric}"));
                continue;
            };
            labels.extend(known.iter().map(String::as_str));
            for (label, value) in selectors {
                if !known.contains(*label) {
                    errors.push(format!("{metric} has no label {label}"));
                }
                errors.extend(wrong_words(metric, label, value));
            }
        }
        let unknown = used.grouped.iter().chain(&used.dropped);
        errors.extend(
            unknown
                .filter(|label| !labels.contains(*label))
                .map(|label| format!("no metric here has a label {label}")),
        );
        errors
    }

    fn check(&self, place: &str, expression: &str) {
        let errors = self.errors(expression);
        assert_eq!(errors, [""; 0], "{place}: {expression}");
    }
}

/// Values of a selector that the code never writes.
fn wrong_words(metric: &str, label: &str, value: &str) -> Vec<String> {
    let of_children = ["regrow_child", "regrow_supervisor_", "regrow_process_"]
        .iter()
        .any(|begin| metric.starts_with(begin));
    let of_breakers = metric.starts_with("regrow_breaker_");
    let words: Vec<&str> = match label {
        "state" | "from" | "to" if of_breakers => {
            let states = CircuitState::ALL.iter();
            states.map(|state| state.as_str()).collect()
        }
        "cause" if of_breakers => {
            let causes = CircuitCause::ALL.iter();
            causes.map(|cause| cause.as_str()).collect()
        }
        "status" if metric == "regrow_health_status" => {
            Health::ALL.iter().map(|health| health.as_str()).collect()
        }
        "state" | "status" => Phase::ALL.iter().map(|phase| phase.as_str()).collect(),
        "reason" if of_children => ExitKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        "kind" => ChildKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        _ => return Vec::new(),
    };
    value
        .split('|')
        .filter(|word| !word.starts_with('$') && !words.contains(word))
        .map(|word| format!("{metric} is never written with {label}={word:?}"))
        .collect()
}

#[test]
fn rules_speak_of_metrics_and_labels_that_exist() {
    let names = Names::known();
    for rule in rules(&rules_text()) {
        names.check(rule.name, rule.expression);
    }
}

#[test]
fn rule_tests_use_series_as_they_are_scraped() {
    let (names, text) = (Names::known(), tests_text());
    let series = series(&text);
    assert!(series.len() > 10, "{series:?}");
    for series in series {
        names.check("regrow.rules.test.yml", series);
        let used = named(series);
        let (metric, selectors) = &used.metrics[0];
        let given: BTreeSet<String> = selectors
            .iter()
            .map(|(label, _)| (*label).to_owned())
            .collect();
        assert_eq!(given, names.0[*metric], "the labels of {series}");
    }
}

#[test]
fn dashboards_speak_of_metrics_and_labels_that_exist() {
    let names = Names::known();
    for dashboard in dashboards::all() {
        for (panel, expression) in dashboard.expressions() {
            names.check(&panel, expression);
        }
        for (expression, legend) in dashboard.legends() {
            let grouped = named(expression).grouped;
            for label in legend
                .split("{{")
                .skip(1)
                .filter_map(|rest| rest.split("}}").next())
            {
                assert!(
                    grouped.contains(&label),
                    "{label} is not left over by {expression}"
                );
            }
        }
        for variable in &dashboard.variables {
            names.check(variable.label, &variable.of);
            let of = named(&variable.of).metrics[0].0;
            assert!(
                names.0[of].contains(variable.label),
                "{of} has no label {}",
                variable.label
            );
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let dashboards = dashboards::all();
    let shown: BTreeSet<&str> = dashboards
        .iter()
        .flat_map(|dashboard| dashboard.expressions())
        .flat_map(|(_, expression)| named(expression).metrics)
        .map(|(metric, _)| metric)
        .collect();
    let is_shown = |schema: &MetricSchema| match schema.kind {
        MetricKind::Counter | MetricKind::Gauge => shown.contains(schema.name),
        MetricKind::Histogram => shown.contains(format!("{}_bucket", schema.name).as_str()),
    };
    let missing: Vec<&str> = catalogue()
        .iter()
        .filter(|schema| !is_shown(schema))
        .map(|schema| schema.name)
        .collect();
    assert_eq!(
        missing, [""; 0],
        "give it a panel in tests/it/artefacts/dashboards.rs, and run the tests once with REGROW_BLESS=1"
    );
}

#[test]
fn what_is_told_to_people_names_metrics_and_events_that_exist() {
    let names = Names::known();
    let metrics: BTreeSet<String> = catalogue()
        .iter()
        .map(|schema| schema.name.to_owned())
        .collect();
    let events: BTreeSet<&str> = Payload::SCHEMA.iter().map(|event| event.name).collect();
    let files = [
        "regrow.rules.yml",
        "regrow.rules.test.yml",
        "prometheus.yml",
    ]
    .map(|file| (file, read(&format!("deploy/prometheus/{file}"))));
    for (file, text) in &files {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c)));
        for word in words.map(|word| word.trim_end_matches('.')) {
            let is_known = if word.starts_with("regrow_") {
                metrics.contains(word) || names.0.contains_key(word)
            } else {
                !word.starts_with("regrow.")
                    || word.starts_with("regrow.rules.")
                    || events.contains(word)
            };
            assert!(is_known, "{file} speaks of {word}");
        }
    }
}

#[test]
fn a_name_that_does_not_exist_is_found_wherever_it_stands() {
    let names = Names::known();
    let wrong = [
        ("sum(regrow_nothing)", "there is no metric regrow_nothing"),
        (
            "regrow:nothing:rate5m > 1",
            "there is no metric regrow:nothing:rate5m",
        ),
        (
            "regrow_supervisor_recovery_seconds > 1",
            "there is no metric regrow_supervisor_recovery_seconds",
        ),
        (
            r#"regrow_children{type="a",colour=~"red"}"#,
            "regrow_children has no label colour",
        ),
        (
            r#"regrow_children{status=~"running|asleep"}"#,
            r#"regrow_children is never written with status="asleep""#,
        ),
        (
            "sum by (supervisor) (regrow_children)",
            "no metric here has a label supervisor",
        ),
        (
            "regrow:supervisor_restarts:rate5m{reason=\"error\"}",
            "regrow:supervisor_restarts:rate5m has no label reason",
        ),
        ("1 + 1", "it names no metric"),
    ];
    for (expression, error) in wrong {
        assert_eq!(names.errors(expression), [error], "{expression}");
    }
}
