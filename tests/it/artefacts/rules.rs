//! The rules as a list, and what each of them has to have.

use std::collections::BTreeMap;

use crate::tree::{between, read};

/// What becomes of a rule's expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makes {
    Record,
    Alert,
}

/// A rule of `regrow.rules.yml`.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    pub(super) makes: Makes,
    pub(super) name: &'a str,
    pub(super) expression: &'a str,
    /// All its lines.
    text: &'a str,
}

pub(super) fn rules_text() -> String {
    read("deploy/prometheus/regrow.rules.yml")
}

pub(super) fn tests_text() -> String {
    read("deploy/prometheus/regrow.rules.test.yml")
}

/// The rules, in order. Our own file, so it is read by its lines: each rule begins with `- record:` or `- alert:`, and its
/// expression is one line.
pub(super) fn rules(text: &str) -> Vec<Rule<'_>> {
    let begins: Vec<usize> = text
        .match_indices("- record: ")
        .chain(text.match_indices("- alert: "))
        .map(|(at, _)| at)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let rules = begins
        .iter()
        .zip(ends)
        .map(|(begin, end)| &text[*begin..end]);
    rules
        .map(|text| Rule {
            makes: if text.starts_with("- record: ") {
                Makes::Record
            } else {
                Makes::Alert
            },
            name: between(text, ": ", "\n"),
            expression: between(text, "expr: ", "\n"),
            text,
        })
        .collect()
}

/// The series that the tests of the rules put in.
pub(super) fn series(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("- series: '")?.strip_suffix('\''))
        .collect()
}

#[test]
fn an_alert_says_what_has_happened_what_it_means_and_what_to_do() {
    let text = rules_text();
    for rule in rules(&text)
        .iter()
        .filter(|rule| rule.makes == Makes::Alert)
    {
        for key in ["summary: \"", "description: \"", "runbook: \""] {
            assert!(rule.text.contains(key), "{} has no {key}", rule.name);
        }
        let severity = between(rule.text, "labels: {severity: ", "}");
        assert!(
            ["page", "ticket"].contains(&severity),
            "{}: {severity}",
            rule.name
        );
    }
}

#[test]
fn each_alert_is_tested_to_fire_and_to_keep_still() {
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        fires: bool,
        still: bool,
    }
    let tests = tests_text();
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
    let lines: Vec<&str> = tests.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        if let Some(name) = pair[0].strip_prefix("alertname: ") {
            let seen = seen.entry(name).or_default();
            match pair[1] {
                "exp_alerts: []" => seen.still = true,
                "exp_alerts:" => seen.fires = true,
                other => panic!("{name} expects {other:?}"),
            }
        }
    }
    let text = rules_text();
    let both = Seen {
        fires: true,
        still: true,
    };
    let alerts: Vec<&str> = rules(&text)
        .iter()
        .filter(|rule| rule.makes == Makes::Alert)
        .map(|rule| rule.name)
        .collect();
    let untested: Vec<&&str> = alerts
        .iter()
        .filter(|name| seen.get(**name) != Some(&both))
        .collect();
    assert!(alerts.len() > 5 && untested.is_empty(), "{untested:?}");
}
