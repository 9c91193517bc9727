//! What came out for regrow when somebody last looked at it and said that it was good: a change of the controller has to be seen.

/// The lines of JSON. `run sim --bless` writes them anew.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sim-baseline.jsonl");

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::FILE;
    use crate::sim::bar::{Verdict, verdicts};
    use crate::sim::results::{Outcome, lines};
    use crate::sim::{Options, play, seven};

    /// By how much a figure may be off.
    const SHARE: f64 = 0.1;

    /// What is known to be missed, and how docs/performance.md tells of it. Whoever meets one takes it out here.
    const MISSED: [(&str, &str); 0] = [];

    /// All loads with the defaults, under the two policies that are compared.
    static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| {
        let options = Options {
            policies: vec!["regrow", "knative"],
            ..Options::default()
        };
        seven().iter().map(|one| play(&options, one)).collect()
    });

    /// The name of a figure, its unit and its value.
    fn figures(lines: &str) -> Vec<(&str, &str, f64)> {
        let figure = |line| {
            let part = |before: &str, after: char| {
                let (_, rest) = str::split_once(line, before)?;
                rest.split(after).next()
            };
            let name = part("\"figure\":\"", '"')?;
            let value = part("\"value\":", ',')?.parse().ok()?;
            Some((name, part("\"unit\":\"", '"')?, value))
        };
        let figures = lines.lines().map(|line| figure(line).expect(line));
        figures.collect()
    }

    /// What would hardly be noticed, however small the figure is: a hundredth of a second, a flap in half an hour.
    fn slack(unit: &str) -> f64 {
        match unit {
            "s" => 0.01,
            "1/h" => 2.0,
            _ => 0.0,
        }
    }

    #[test]
    fn regrow_does_what_it_did() {
        let then = std::fs::read_to_string(FILE).expect("there is a baseline");
        let now = lines(&OUTCOMES, Some("regrow"));
        let (then, now) = (figures(&then), figures(&now));
        let names = |figures: &[(&str, &str, f64)]| -> Vec<String> {
            figures
                .iter()
                .map(|(name, ..)| (*name).to_owned())
                .collect()
        };
        assert_eq!(names(&then), names(&now));
        let far = then
            .iter()
            .zip(&now)
            .filter(|((_, unit, then), (.., now))| {
                (then - now).abs() > (SHARE * then).max(slack(unit))
            });
        let far: Vec<_> = far
            .map(|((name, _, then), (.., now))| (name, then, now))
            .collect();
        assert!(
            far.is_empty(),
            "figures that were and are: {far:?}; where that is meant: scripts/prove sim --bless"
        );
    }

    #[test]
    fn regrow_is_beside_knative_as_the_documentation_says() {
        let verdicts = verdicts(&OUTCOMES);
        assert_eq!(verdicts.len(), 3 * 7 + 1);
        let missed = |verdict: &&Verdict| !verdict.met;
        let missed: Vec<&Verdict> = verdicts.iter().filter(missed).collect();
        let names = missed.iter();
        let names: Vec<_> = names
            .map(|verdict| (verdict.load.as_str(), verdict.what))
            .collect();
        assert_eq!(names, MISSED, "{missed:?}");
    }
}
