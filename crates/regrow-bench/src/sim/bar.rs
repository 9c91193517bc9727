//! What has to come out: regrow beside Knative's autoscaler, with the same jobs.

use super::figures::{Figure, Values};
use super::results::Outcome;

/// What Knative's p99 wait is multiplied with, in most loads.
const SHORTER: f64 = 0.7;
/// In how many of the seven loads.
const MOST: usize = 4;
/// By how much more workers there may be.
const WORKERS: f64 = 1.25;
/// Waits below this, in seconds, are none: neither is the shorter one.
const NO_WAIT: f64 = 0.01;

/// One thing that has to come out, and what did.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub load: String,
    pub what: &'static str,
    pub found: String,
    pub bound: String,
    pub met: bool,
}

/// The medians of a figure, of regrow and of Knative.
fn pair(outcome: &Outcome, figure: Figure) -> Option<(f64, f64)> {
    let median = |policy| outcome.values(policy, figure).map(Values::median);
    Some((median("regrow")?, median("knative")?))
}

/// Regrow's wait divided by Knative's. Where nobody waits both are the same.
fn waits(outcome: &Outcome) -> Option<f64> {
    let (ours, theirs) = pair(outcome, Figure::WaitP99)?;
    if ours.max(theirs) < NO_WAIT {
        return Some(1.0);
    }
    Some(ours / theirs)
}

/// Nothing, where one of the two was not asked.
pub fn verdicts(outcomes: &[Outcome]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = outcomes.iter().flat_map(of_load).collect();
    let ratios: Vec<f64> = outcomes.iter().filter_map(waits).collect();
    // Of other loads than the seven nothing is said.
    if ratios.len() == 7 {
        let shorter = ratios.iter().filter(|ratio| **ratio <= SHORTER).count();
        verdicts.push(Verdict {
            load: "of seven".to_owned(),
            what: "p99 wait at most 0.7 × Knative's, loads",
            found: shorter.to_string(),
            bound: format!("at least {MOST}"),
            met: shorter >= MOST,
        });
    }
    verdicts
}

fn of_load(outcome: &Outcome) -> Vec<Verdict> {
    let verdict = |what, found: Option<f64>, limit: f64| {
        let found = found?;
        Some(Verdict {
            load: outcome.load.clone(),
            what,
            found: format!("{found:.3} ×"),
            bound: format!("at most {limit}"),
            met: found <= limit,
        })
    };
    let ratio = |(ours, theirs): (f64, f64)| if ours <= 0.0 { 0.0 } else { ours / theirs };
    let of = |figure| pair(outcome, figure).map(ratio);
    let verdicts = [
        verdict("p99 wait", waits(outcome), 1.0),
        verdict("mean workers", of(Figure::WorkersMean), WORKERS),
        verdict("flaps", of(Figure::Flaps), 1.0),
    ];
    verdicts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load with these waits, workers and flaps, of regrow and of Knative.
    fn outcome(ours: [f64; 3], theirs: [f64; 3]) -> Outcome {
        let values = |[wait, workers, flaps]: [f64; 3]| {
            [0.0, wait, workers, flaps, 0.0].map(|value| Values(vec![value]))
        };
        Outcome {
            load: "load".to_owned(),
            what: String::new(),
            offered: 1.0,
            seeds: 1,
            policies: vec![("regrow", values(ours)), ("knative", values(theirs))],
        }
    }

    fn met(outcome: Outcome) -> Vec<bool> {
        let verdicts = verdicts(&[outcome]);
        verdicts.into_iter().map(|verdict| verdict.met).collect()
    }

    #[test]
    fn no_longer_waits_a_quarter_more_workers_and_no_more_flaps() {
        let theirs = [2.0, 20.0, 5.0];
        assert_eq!(met(outcome([2.0, 25.0, 5.0], theirs)), [true; 3]);
        assert_eq!(met(outcome([2.1, 26.0, 6.0], theirs)), [false; 3]);
    }

    #[test]
    fn where_nobody_waits_waits_are_the_same_and_none_is_shorter() {
        let nobody = outcome([0.009, 20.0, 0.0], [0.0, 20.0, 0.0]);
        assert_eq!(met(nobody.clone()), [true; 3]);
        let found = verdicts(&vec![nobody; 7]).pop().unwrap().found;
        assert_eq!(found, "0");
        // One who does wait is worse than one who does not.
        assert!(!met(outcome([0.02, 20.0, 0.0], [0.0, 20.0, 0.0]))[0]);
    }

    #[test]
    fn in_four_of_the_seven_loads_waits_are_shorter() {
        let theirs = [2.0, 20.0, 5.0];
        let (shorter, same) = (outcome([1.4, 20.0, 5.0], theirs), outcome(theirs, theirs));
        let of = |count| {
            let mut outcomes = vec![shorter.clone(); count];
            outcomes.resize(7, same.clone());
            verdicts(&outcomes).pop().unwrap().met
        };
        assert!(of(4) && !of(3));
    }
}
