//! What came out, as a table, as lines of JSON and as a table for a document.

use std::fmt::Write;

use super::bar::{self, Verdict};
use super::figures::{FIGURES, Figure, Values};
use crate::table::json;

/// One load under all policies.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub load: String,
    /// The load in words.
    pub what: String,
    /// How many workers it keeps busy.
    pub offered: f64,
    /// How many seeds it was played with.
    pub seeds: usize,
    /// By policy, in the order of the table; figures in the order of [`FIGURES`].
    pub policies: Vec<(&'static str, [Values; FIGURES.len()])>,
}

impl Outcome {
    pub fn values(&self, policy: &str, figure: Figure) -> Option<&Values> {
        let (_, values) = self.policies.iter().find(|(name, _)| *name == policy)?;
        let place = FIGURES.iter().position(|(known, ..)| *known == figure)?;
        values.get(place)
    }
}

/// Everything for a person.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let Outcome {
            load,
            what,
            offered,
            seeds,
            ..
        } = outcome;
        let seeds = match seeds {
            1 => "one run".to_owned(),
            seeds => format!("median of {seeds} seeds (least–most)"),
        };
        writeln!(text, "\n{load}: {what}; {offered:.1} workers busy; {seeds}")
            .expect("a string takes all");
        let head = [
            "wait p50, s",
            "wait p99, s",
            "workers",
            "flaps/h",
            "most workers",
        ];
        line(&mut text, "policy", head.map(str::to_owned));
        for (policy, values) in &outcome.policies {
            line(&mut text, policy, values.each_ref().map(spread));
        }
    }
    let verdicts = bar::verdicts(outcomes);
    if !verdicts.is_empty() {
        text.push_str("\nwhat has to come out, where workers start in 2 s\n");
    }
    for verdict in verdicts {
        let Verdict {
            load,
            what,
            found,
            bound,
            met,
        } = verdict;
        let met = if met { "met" } else { "MISSED" };
        writeln!(
            text,
            "  {load:<10} {what:<40} {found:>12}  {bound:<14} {met}"
        )
        .expect("a string takes all");
    }
    text
}

fn line(text: &mut String, policy: &str, cells: [String; FIGURES.len()]) {
    let [p50, p99, mean, flaps, most] = cells;
    writeln!(
        text,
        "  {policy:<9} {p50:>18} {p99:>20} {mean:>19} {flaps:>19} {most:>13}"
    )
    .expect("a string takes all");
}

/// The median, and between what all are.
fn spread(values: &Values) -> String {
    let (least, most) = (number(values.least()), number(values.most()));
    let median = number(values.median());
    if least == most {
        median
    } else {
        format!("{median} ({least}–{most})")
    }
}

/// As many digits as say something.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// For SVG, whatever the name of a file is.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            // Not allowed in XML at all.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// For a document: each load a row, each policy a column.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let Some(first) = outcomes.first() else {
        return String::new();
    };
    let mut text = String::from("| load | busy |");
    for (policy, _) in &first.policies {
        write!(text, " {policy} |").expect("a string takes all");
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(first.policies.len()));
    for outcome in outcomes {
        let Outcome {
            load,
            what,
            offered,
            ..
        } = outcome;
        write!(text, "\n| {load}: {what} | {offered:.1} |").expect("a string takes all");
        for (_, values) in &outcome.policies {
            let [_, p99, mean, flaps, _] = values.each_ref().map(|values| number(values.median()));
            write!(text, " {p99} / {mean} / {flaps} |").expect("a string takes all");
        }
    }
    text.push('\n');
    text
}

/// One line of JSON a figure, as the rest of the benchmark has them. The ratio is regrow's value divided by the other's.
pub fn lines(outcomes: &[Outcome], only: Option<&str>) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        for (figure, name, unit) in FIGURES {
            let ours = outcome.values("regrow", figure).map(Values::median);
            for (policy, _) in &outcome.policies {
                let value = outcome.values(policy, figure).map(Values::median);
                let (Some(value), true) = (value, only.is_none_or(|only| only == *policy)) else {
                    continue;
                };
                let ratio = ours.map(|ours| ours / value);
                let name = format!("sim.{}.{name}", outcome.load);
                json(&mut text, &name, policy, value, unit, ratio);
            }
        }
    }
    text
}
