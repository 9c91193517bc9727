//! What each result makes of each verdict, for each kind of probe: the snapshot is the table.

use std::fmt::Write;

use super::kubernetes::{next_runs, step};
use super::*;
use crate::testing::t0;

const RULES: ProbeRules = ProbeRules {
    initial_delay: std::time::Duration::ZERO,
    period: std::time::Duration::from_secs(1),
    timeout: std::time::Duration::from_secs(1),
    success_threshold: 1,
    failure_threshold: 3,
    warning_threshold: None,
    termination_grace: None,
};

fn name(directive: Directive) -> String {
    match directive {
        Directive::Run(run) => format!("run({})", run.probe),
        Directive::Cancel(run) => format!("cancel({})", run.probe),
        Directive::Changed {
            from,
            to,
            consecutive,
            ..
        } => format!("changed({from} → {to}, after {consecutive})"),
        Directive::Started => "started".into(),
        Directive::StartFailed { .. } => "start failed".into(),
        Directive::Restart { .. } => "restart".into(),
        Directive::Ready(is_ready) => format!("ready({is_ready})"),
        Directive::Health { from, to } => format!("health({from} → {to})"),
    }
}

/// The results that lead somewhere, and what that is.
const STANDS: [(&[ProbeResult], &str); 6] = [
    (&[], "nothing yet"),
    (&[ProbeResult::Success], "1 success"),
    (&[ProbeResult::Warning], "1 warning"),
    (&[ProbeResult::Failure; 1], "1 failure"),
    (&[ProbeResult::Failure; 2], "2 failures"),
    (&[ProbeResult::Failure; 3], "3 failures"),
];

#[test]
fn each_result_makes_of_each_verdict_what_the_table_says() {
    let mut table = String::new();
    for &kind in ProbeKind::ALL {
        for warning_threshold in [None, Some(2)] {
            let rules = ProbeRules {
                warning_threshold,
                ..RULES
            };
            if rules.check(kind).is_err() {
                continue;
            }
            let warns = warning_threshold.map_or(String::new(), |n| format!(", warns after {n}"));
            writeln!(table, "{kind}{warns}").unwrap();
            for (results, stand) in STANDS {
                rows(&mut table, kind, rules, results, stand);
            }
        }
    }
    insta::assert_snapshot!(table);
}

fn rows(
    table: &mut String,
    kind: ProbeKind,
    rules: ProbeRules,
    results: &[ProbeResult],
    stand: &str,
) {
    for (at, &result) in ProbeResult::ALL.iter().enumerate() {
        let mut now = t0();
        let mut prober = Prober::new([ProbePlan::new(kind, rules)].into(), 1, now, 1);
        for &result in results {
            drop(step(&mut prober, result, &mut now));
        }
        let head = format!("  {stand} ({})", prober.verdict(0));
        if prober.next_deadline().is_none() {
            writeln!(table, "{head:<26} is not asked any more").unwrap();
            return;
        }
        let run = next_runs(&mut prober, &mut now)[0];
        let directives = prober.on_result(run, result, now).into_iter();
        let told: Vec<_> = directives.map(name).collect();
        let told = if told.is_empty() {
            "–".into()
        } else {
            told.join(", ")
        };
        let head = if at == 0 { head } else { String::new() };
        writeln!(table, "{head:<26} {result:<8} {told}").unwrap();
    }
}
