//! The figures as a table and as lines of JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::claims::{Bound, CLAIMS, Claim, Place};
use crate::plan::{CELLS, Cell};
use crate::program::Nothing;

/// What was measured: for each arm and figure of a cell one value a round, or why there is none.
#[derive(Debug, Default)]
pub struct Results {
    values: BTreeMap<(&'static str, &'static str, String), Vec<f64>>,
    nothing: BTreeMap<(&'static str, &'static str), Nothing>,
}

/// The least, the middle and the greatest.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

/// What came out of a claim, in words.
struct Outcome {
    ratio: String,
    bound: String,
    verdict: &'static str,
}

/// What is not as it should be, so that nobody overlooks it.
fn loud(verdict: &str) -> String {
    match verdict {
        "met" => verdict.to_owned(),
        other => other.to_uppercase(),
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

impl Results {
    pub fn add(&mut self, cell: &'static str, arm: &'static str, figure: &str, value: f64) {
        let key = (cell, arm, figure.to_owned());
        self.values.entry(key).or_default().push(value);
    }

    pub fn miss(&mut self, cell: &'static str, arm: &'static str, nothing: Nothing) {
        self.nothing.insert((cell, arm), nothing);
    }

    fn of(&self, place: Place) -> Option<&[f64]> {
        let key = (place.cell, place.arm, place.figure.to_owned());
        self.values.get(&key).map(Vec::as_slice)
    }

    fn spread(&self, place: Place) -> Option<Spread> {
        let values = self.of(place)?;
        Some(Spread {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(values),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// One divided by the other, round by round where both have all rounds; the middle one.
    fn ratio(&self, ours: Place, theirs: Place) -> Option<f64> {
        let (ours, theirs) = (self.of(ours)?, self.of(theirs)?);
        if ours.len() != theirs.len() {
            return Some(median(ours) / median(theirs));
        }
        let pairs = ours.iter().zip(theirs);
        Some(median(&pairs.map(|(a, b)| a / b).collect::<Vec<_>>()))
    }

    /// Whether anything of ours went wrong. What is absent did not, and how peers fail is shown in the table.
    pub fn failed(&self) -> bool {
        let ours = |arm: &str| arm.starts_with("regrow");
        let mut nothing = self.nothing.iter();
        nothing.any(|((_, arm), nothing)| ours(arm) && matches!(nothing, Nothing::Failed(_)))
    }

    fn was_run(&self, cell: &Cell) -> bool {
        let failed = |(name, _): &(&str, &str)| *name == cell.name;
        self.values.keys().any(|(name, ..)| *name == cell.name) || self.nothing.keys().any(failed)
    }

    /// Everything for a person.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for cell in CELLS.iter().filter(|cell| self.was_run(cell)) {
            for (figure, unit) in cell.figures {
                writeln!(text, "\nrow {}: {}; {figure}, {unit}", cell.row, cell.what)
                    .expect("a string takes all");
                self.arms(&mut text, cell, figure);
            }
        }
        text.push_str("\nwhat has to come out\n");
        for (claim, outcome) in self.outcomes() {
            let Outcome {
                ratio,
                bound,
                verdict,
            } = outcome;
            let Claim {
                row, what, theirs, ..
            } = claim;
            let (peer, verdict) = (theirs.arm, loud(verdict));
            writeln!(
                text,
                "  row {row:<3} {what:<62} {peer:<23} {ratio:>11}  {bound:<17} {verdict}"
            )
            .expect("a string takes all");
        }
        text
    }

    /// What had to come out and what did, for a document.
    pub fn markdown(&self) -> String {
        let mut text =
            "| row | what | against | ratio | target | |\n|---|---|---|---|---|---|\n".to_owned();
        for (claim, outcome) in self.outcomes() {
            let Outcome {
                ratio,
                bound,
                verdict,
            } = outcome;
            let (row, what, peer) = (claim.row, claim.what, claim.theirs.arm);
            writeln!(
                text,
                "| {row} | {what} | {peer} | {ratio} | {bound} | {verdict} |"
            )
            .expect("a string takes all");
        }
        text
    }

    /// What came out of each claim whose cells were run, in the order of the rows.
    fn outcomes(&self) -> Vec<(&'static Claim, Outcome)> {
        let measured = |name| {
            let named = |cell: &&Cell| cell.name == name;
            CELLS.iter().any(|cell| named(&cell) && self.was_run(cell))
        };
        let mut claims: Vec<&Claim> = CLAIMS.iter().collect();
        claims.retain(|claim| measured(claim.ours.cell) && measured(claim.theirs.cell));
        claims.sort_by_key(|claim| claim.row);
        claims
            .into_iter()
            .map(|claim| (claim, self.outcome(claim)))
            .collect()
    }

    fn arms(&self, text: &mut String, cell: &Cell, figure: &'static str) {
        let head = ["arm", "min", "median", "max", "regrow is"];
        line(text, head.map(str::to_owned));
        for arm in cell.arms {
            let place = |arm| Place {
                cell: cell.name,
                arm,
                figure,
            };
            let Some(spread) = self.spread(place(arm.name)) else {
                let why = match self.nothing.get(&(cell.name, arm.name)) {
                    Some(Nothing::Absent) => "not installed: NOT MEASURED".to_owned(),
                    Some(Nothing::Failed(why)) => format!("FAILED: {why}"),
                    None => "no figure".to_owned(),
                };
                writeln!(text, "  {:<23} {why}", arm.name).expect("a string takes all");
                continue;
            };
            let ratio = self.ratio(place("regrow"), place(arm.name));
            let ratio = ratio.filter(|_| arm.name != "regrow");
            let numbers = [spread.min, spread.median, spread.max].map(number);
            let [min, median, max] = numbers;
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{} ×", times(ratio)));
            line(text, [arm.name.to_owned(), min, median, max, ratio]);
        }
    }

    fn outcome(&self, claim: &Claim) -> Outcome {
        let (word, limit) = match claim.bound {
            Bound::AtMost(limit) => ("at most", limit),
            Bound::AtLeast(limit) => ("at least", limit),
        };
        let bound = format!("{word} {}", times(limit));
        let (ratio, verdict) = match self.ratio(claim.ours, claim.theirs) {
            None => ("–".to_owned(), "not measured"),
            Some(ratio) if claim.bound.holds(ratio) => (format!("{} ×", times(ratio)), "met"),
            Some(ratio) => (format!("{} ×", times(ratio)), "missed"),
        };
        Outcome {
            ratio,
            bound,
            verdict,
        }
    }

    /// One line of JSON a figure. The ratio is regrow's value divided by the peer's.
    pub fn json(&self) -> String {
        let mut text = String::new();
        for cell in CELLS.iter().filter(|cell| self.was_run(cell)) {
            for (figure, unit) in cell.figures {
                for arm in cell.arms {
                    let place = |arm| Place {
                        cell: cell.name,
                        arm,
                        figure,
                    };
                    let Some(spread) = self.spread(place(arm.name)) else {
                        continue;
                    };
                    let ratio = self.ratio(place("regrow"), place(arm.name));
                    let name = format!("{}.{figure}", cell.name);
                    json(&mut text, &name, arm.name, spread.median, unit, ratio);
                }
            }
        }
        for claim in CLAIMS.iter().filter(|claim| claim.crosses()) {
            if let Some(ratio) = self.ratio(claim.ours, claim.theirs) {
                let Place { cell, figure, .. } = claim.ours;
                let Place {
                    cell: other, arm, ..
                } = claim.theirs;
                let name = format!("{cell}.{figure} / {other}.{figure}");
                json(&mut text, &name, arm, ratio, "ratio", Some(ratio));
            }
        }
        text
    }
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(limit) => ratio <= limit,
            Self::AtLeast(limit) => ratio >= limit,
        }
    }
}

impl Claim {
    /// Whether it compares one cell with another.
    fn crosses(&self) -> bool {
        self.ours.cell != self.theirs.cell
    }
}

pub fn json(
    text: &mut String,
    figure: &str,
    peer: &str,
    value: f64,
    unit: &str,
    ratio: Option<f64>,
) {
    let finite = |value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.4}"),
        None => "null".to_owned(),
    };
    let (value, ratio) = (finite(Some(value)), finite(ratio));
    // Names and units are ours: there is nothing to escape in them.
    writeln!(
        text,
        r#"{{"figure":"{figure}","peer":"{peer}","value":{value},"unit":"{unit}","ratio":{ratio}}}"#
    )
    .expect("a string takes all");
}

fn line(text: &mut String, [arm, min, median, max, ratio]: [String; 5]) {
    writeln!(
        text,
        "  {arm:<23} {min:>12} {median:>12} {max:>12} {ratio:>12}"
    )
    .expect("a string takes all");
}

/// Four digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        1_000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Three digits that count.
fn times(ratio: f64) -> String {
    match ratio.abs() {
        100.0.. => format!("{ratio:.0}"),
        10.0.. => format!("{ratio:.1}"),
        0.01.. => format!("{ratio:.3}"),
        _ => format!("{ratio:.6}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(arm: &'static str) -> Place {
        Place {
            cell: "cast",
            arm,
            figure: "mean",
        }
    }

    #[test]
    fn a_ratio_is_regrows_figure_divided_by_the_peers_round_by_round() {
        let mut results = Results::default();
        // The machine was twice as slow in the last round, for both.
        for (ours, theirs) in [(110.0, 100.0), (100.0, 100.0), (240.0, 200.0)] {
            results.add("cast", "regrow", "mean", ours);
            results.add("cast", "ractor", "mean", theirs);
        }
        assert_eq!(results.ratio(place("regrow"), place("ractor")), Some(1.1));
        assert_eq!(results.ratio(place("regrow"), place("erlang")), None);
    }

    #[test]
    fn each_figure_is_one_line_of_json() {
        let mut results = Results::default();
        results.add("cast", "regrow", "mean", 150.0);
        results.add("cast", "ractor", "mean", 100.0);
        let lines: Vec<String> = results.json().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                r#"{"figure":"cast.mean","peer":"ractor","value":100.0000,"unit":"ns","ratio":1.5000}"#,
                r#"{"figure":"cast.mean","peer":"regrow","value":150.0000,"unit":"ns","ratio":1.0000}"#,
            ]
        );
    }

    #[test]
    fn what_is_not_installed_is_named_and_is_no_failure() {
        let mut results = Results::default();
        results.add("cast", "regrow", "mean", 150.0);
        results.miss("cast", "erlang", Nothing::Absent);
        assert!(!results.failed());
        let table = results.table();
        let line = table.lines().find(|line| line.contains("  erlang "));
        assert!(line.is_some_and(|line| line.contains("not installed: NOT MEASURED")));
    }

    #[test]
    fn a_cell_in_which_everything_failed_is_shown_all_the_same() {
        let mut results = Results::default();
        results.miss("cast", "regrow", Nothing::Failed("it crashed".to_owned()));
        assert!(results.failed());
        assert!(results.table().contains("FAILED: it crashed"));
    }
}
