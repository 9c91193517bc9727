//! What rules may be.

use super::*;

#[test]
fn rules_that_are_out_of_their_range_are_refused_by_name() {
    let rules = CircuitRules::default;
    let wrong = [
        rules().window(WindowSize::Count(0)),
        rules().window(WindowSize::Count(100_001)),
        rules().window(WindowSize::Time(Duration::ZERO)),
        rules().window(WindowSize::Time(Duration::from_millis(1_500))),
        rules().window(WindowSize::Time(SECOND * 3_601)),
        rules().minimum_calls(0),
        rules().failure_ratio(0.0),
        rules().failure_ratio(f64::NAN),
        rules().slow_ratio(1.1),
        rules().slow_threshold(Duration::ZERO),
        rules().consecutive_failures(0),
        rules().half_open_permits(0),
        rules().half_open_permits(10_001),
        rules().half_open_success(-0.5),
        rules().half_open_deadline(Duration::ZERO),
        rules().call_timeout(Duration::ZERO),
    ];
    let said = wrong.map(|rules| rules.check().unwrap_err().to_string());
    insta::assert_debug_snapshot!(said);
}

#[test]
fn the_defaults_and_the_ends_of_each_range_are_right() {
    let rules = CircuitRules::default;
    let right = [
        rules(),
        rules().window(WindowSize::Count(1)),
        rules().window(WindowSize::Count(100_000)),
        rules().window(WindowSize::Time(SECOND)),
        rules().window(WindowSize::Time(SECOND * 3_600)),
        rules().failure_ratio(1.0).slow_ratio(f64::MIN_POSITIVE),
        rules().half_open_permits(10_000).half_open_success(1e-9),
    ];
    for rules in right {
        assert_eq!(rules.check(), Ok(()), "{rules:?}");
    }
    assert_eq!(rules().permits(), 3);
    assert_eq!((rules().slow_after(), rules().timeout()), (None, None));
}

#[test]
fn the_share_of_the_trials_is_counted_without_rounding_errors() {
    for permits in 1..=100 {
        for successes in 1..=permits {
            let share = f64::from(successes) / f64::from(permits);
            let rules = CircuitRules::default()
                .half_open_permits(permits)
                .half_open_success(share);
            assert_eq!(rules.bar().successes, successes, "{successes} of {permits}");
        }
    }
}
