//! The detector against the exact distribution, Pekko's rules, and simulated sources that lose beats and die.

use super::*;
use crate::SplitMix64;
use crate::testing::t0;

const SECOND: Duration = Duration::from_secs(1);

/// The upper tail of the normal distribution, exact to 15 digits: a Taylor series near the middle, a continued fraction far out.
fn tail(y: f64) -> f64 {
    let density = (-y * y / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if y < 0.0 {
        return 1.0 - tail(-y);
    }
    if y < 3.0 {
        let (mut term, mut sum, mut n) = (y, y, 1.0);
        while term > 1e-18 * sum {
            n += 2.0;
            term *= y * y / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let fraction = (1..=200).rev().fold(y, |below, k| y + f64::from(k) / below);
    density / fraction
}

#[test]
fn the_distribution_is_within_one_and_a_half_in_ten_thousand_of_the_normal_one() {
    // The reference itself, against printed tables.
    for (y, printed) in [
        (0.0, 0.5),
        (1.0, 0.158_655_253_931),
        (1.96, 0.024_997_895_149),
        (3.0, 0.001_349_898_032),
        (6.0, 9.865_876e-10),
    ] {
        assert!((tail(y) / printed - 1.0).abs() < 1e-7, "{y}: {}", tail(y));
    }
    let mut worst = (0.0_f64, 0.0);
    for step in -90_000..=90_000 {
        let y = f64::from(step) / 10_000.0;
        let error = (10.0_f64.powf(-phi_of(y)) - tail(y)).abs();
        if error > worst.0 {
            worst = (error, y);
        }
    }
    assert!(worst.0 <= 1.5e-4, "off by {} at {}", worst.0, worst.1);
    assert!(
        worst.0 > 1.3e-4,
        "an approximation this good would be another one: {worst:?}"
    );
}

#[test]
fn phi_grows_with_the_silence_and_its_inverse_finds_the_threshold() {
    let ys = (-800..=2_000).map(|step| f64::from(step) / 100.0);
    let phis: Vec<f64> = ys.map(phi_of).collect();
    assert!(phis.windows(2).all(|pair| pair[0] <= pair[1]));
    assert!(phis.iter().all(|phi| phi.is_finite() && *phi >= 0.0));
    for threshold in [0.1, 1.0, 8.0, 10.0, 299.0] {
        let found = phi_of(deviations_of(threshold));
        assert!(
            (found / threshold - 1.0).abs() < 1e-9,
            "{threshold}: {found}"
        );
    }
}

fn beats(rules: PhiRules, at: &[u64]) -> (Heartbeats, Instant) {
    let (mut heart, begin) = (Heartbeats::new(rules), t0());
    for &millis in at {
        let _ = heart.on_beat(begin + Duration::from_millis(millis));
    }
    (heart, begin)
}

#[test]
fn the_defaults_are_those_of_a_pekko_cluster() {
    let rules = PhiRules::default();
    assert!((rules.threshold - 8.0).abs() < 1e-12 && rules.samples == 200);
    let times = (rules.interval, rules.min_deviation, rules.pause);
    assert_eq!(times, (SECOND, SECOND / 10, SECOND * 3));
}

#[test]
fn nothing_is_expected_before_the_first_beat() {
    let (mut heart, begin) = beats(PhiRules::default(), &[]);
    let later = begin + SECOND * 3_600;
    assert_eq!((heart.next_deadline(), heart.on_tick(later)), (None, None));
    assert!(heart.phi(later) <= 0.0 && heart.age(later).is_none());
}

#[test]
fn the_first_beat_brings_two_samples_a_quarter_around_what_is_expected() {
    let (heart, _) = beats(PhiRules::every(SECOND * 10), &[0]);
    assert!((heart.intervals.mean() - 10.0).abs() < 1e-9);
    assert!((heart.intervals.deviation() - 2.5).abs() < 1e-9);
    assert!((heart.mean() - 30.0).abs() < 1e-9);
}

#[test]
fn only_the_newest_samples_are_remembered() {
    let rules = PhiRules {
        samples: 3,
        ..PhiRules::default()
    };
    let (heart, _) = beats(rules, &[0, 1_000, 2_500, 5_000, 5_100]);
    assert_eq!(heart.intervals.newest, [1_500, 2_500, 100]);
    let mean = 4.1 / 3.0;
    assert!((heart.intervals.mean() - mean).abs() < 1e-9);
    let variance = [1.5_f64, 2.5, 0.1]
        .map(|x| (x - mean).powi(2))
        .iter()
        .sum::<f64>()
        / 3.0;
    assert!((heart.intervals.deviation() - variance.sqrt()).abs() < 1e-9);
}

#[test]
fn beats_like_a_clock_are_allowed_the_least_deviation() {
    let at: Vec<u64> = (0..300).map(|beat| beat * 1_000).collect();
    let (heart, begin) = beats(PhiRules::default(), &at);
    assert!((heart.deviation() - 0.1).abs() < 1e-12);
    // Far out the approximation is steeper than the normal distribution: φ = 8 is at 5.4 deviations, where that has 5.6.
    let longest = heart.longest_silence();
    assert!(
        longest > SECOND * 45 / 10 && longest < SECOND * 46 / 10,
        "{longest:?}"
    );
    let last = begin + SECOND * 299;
    assert!(heart.phi(last + longest) >= 8.0);
    assert!(heart.phi(last + longest - SECOND / 1_000) < 8.0);
}

#[test]
fn a_silence_that_is_too_long_is_told_once_and_so_is_its_end() {
    let at: Vec<u64> = (0..300).map(|beat| beat * 1_000).collect();
    let (mut heart, begin) = beats(PhiRules::default(), &at);
    let deadline = heart.next_deadline().unwrap();
    assert_eq!(heart.on_tick(deadline - SECOND / 100), None);
    let news = heart.on_tick(deadline).unwrap();
    let HeartbeatNews::Missed { age, phi } = news else {
        panic!("{news:?}")
    };
    assert_eq!(age, deadline - (begin + SECOND * 299));
    assert!((8.0..8.1).contains(&phi), "{phi}");
    assert!(heart.is_missed() && heart.next_deadline().is_none());
    assert_eq!(heart.on_tick(deadline + SECOND), None);

    let samples = heart.intervals.newest.clone();
    let back = begin + SECOND * 400;
    let age = SECOND * 101;
    assert_eq!(heart.on_beat(back), Some(HeartbeatNews::Recovered { age }));
    assert_eq!(
        heart.intervals.newest, samples,
        "a long silence is no sample"
    );
    assert_eq!(heart.on_beat(back + SECOND), None);
    assert!(heart.next_deadline().is_some());
}

#[test]
fn a_beat_that_is_handed_in_after_a_later_one_changes_nothing() {
    let (mut heart, begin) = beats(PhiRules::default(), &[0, 1_000, 2_000]);
    let before = heart.next_deadline();
    assert_eq!(heart.on_beat(begin + SECOND), None);
    assert_eq!(heart.age(begin + SECOND * 3), Some(SECOND));
    assert_eq!(heart.next_deadline(), before);
}

#[test]
fn who_asks_much_too_late_gives_it_a_pause_more_once() {
    let at: Vec<u64> = (0..300).map(|beat| beat * 1_000).collect();
    let (mut heart, _) = beats(PhiRules::default(), &at);
    let asleep = heart.next_deadline().unwrap() + SECOND * 3_600;
    assert_eq!(heart.on_tick(asleep), None);
    assert_eq!(heart.next_deadline(), Some(asleep + SECOND * 3));
    assert!(matches!(
        heart.on_tick(asleep + SECOND * 7_200),
        Some(HeartbeatNews::Missed { .. })
    ));
    let mut woken = heart.clone();
    let _ = woken.on_beat(asleep + SECOND);
    assert!(woken.next_deadline().unwrap() > asleep + SECOND * 3);
}

#[test]
fn the_time_of_a_source_that_is_held_stands_still() {
    let at: Vec<u64> = (0..300).map(|beat| beat * 1_000).collect();
    let (mut heart, begin) = beats(PhiRules::default(), &at);
    let deadline = heart.next_deadline().unwrap();
    let held = begin + SECOND * 300;
    heart.on_pause(held);
    let (phi, much_later) = (heart.phi(held), held + SECOND * 1_000);
    assert!((heart.phi(much_later) - phi).abs() < 1e-12);
    assert_eq!(
        (heart.next_deadline(), heart.on_tick(much_later)),
        (None, None)
    );
    heart.on_resume(much_later);
    assert_eq!(heart.next_deadline(), Some(deadline + SECOND * 1_000));
    let mut beaten = heart.clone();
    beaten.on_pause(much_later);
    assert_eq!(beaten.on_beat(much_later), None);
    assert!(
        beaten.next_deadline().is_some(),
        "who beats is not held any more"
    );
}

#[test]
fn rules_that_cannot_work_are_refused_by_the_name_of_their_field() {
    let good = PhiRules::default();
    assert_eq!(good.check(), Ok(()));
    let zero = Duration::ZERO;
    let table = [
        (
            PhiRules {
                interval: zero,
                ..good
            },
            "interval: expected a time of more than 0, got 0ns",
        ),
        (
            PhiRules {
                threshold: 0.0,
                ..good
            },
            "threshold: expected more than 0 and at most 300, got 0.0",
        ),
        (
            PhiRules {
                threshold: f64::NAN,
                ..good
            },
            "threshold: expected more than 0 and at most 300, got NaN",
        ),
        (
            PhiRules { samples: 0, ..good },
            "samples: expected at least 1, got 0",
        ),
        (
            PhiRules {
                min_deviation: zero,
                ..good
            },
            "min_deviation: expected a time of more than 0, got 0ns",
        ),
    ];
    for (rules, text) in table {
        assert_eq!(rules.check().unwrap_err().to_string(), text);
    }
}

/// What is measured of sources that beat every second, each beat up to a tenth late, some of them lost.
#[derive(Debug, PartialEq, Eq)]
struct Measured {
    /// From the death to the verdict, in tenths of a second.
    median: u128,
    p99: u128,
    longest: u128,
    /// Verdicts against one that lives, in a day.
    false_alarms: u32,
}

fn measure(rules: PhiRules, loss_percent: u64) -> Measured {
    let mut rng = SplitMix64::new(loss_percent + 1);
    let (mut heart, begin) = (Heartbeats::new(rules), t0());
    let beats_of_a_day = u32::try_from(86_400 / rules.interval.as_secs()).unwrap();
    let (mut silences, mut false_alarms) = (Vec::new(), 0);
    for beat in 0..beats_of_a_day {
        let sent = begin + rules.interval * beat;
        let arrives = sent + (rules.interval / 10).mul_f64(rng.unit());
        if beat > 1_000 && beat % 8 == 0 {
            // It might die anywhere before its next beat; this one has been sent.
            let dies = sent + rules.interval / 10 + (rules.interval * 9 / 10).mul_f64(rng.unit());
            let mut dead = heart.clone();
            if rng.below(100) >= loss_percent {
                let _ = dead.on_beat(arrives);
            }
            if let Some(deadline) = dead.next_deadline() {
                silences.push(
                    deadline
                        .saturating_duration_since(dies)
                        .as_millis()
                        .div_ceil(100),
                );
            }
        }
        if heart
            .next_deadline()
            .is_some_and(|deadline| deadline <= arrives)
        {
            let deadline = heart.next_deadline().unwrap();
            false_alarms += u32::from(heart.on_tick(deadline).is_some());
        }
        if rng.below(100) >= loss_percent {
            let _ = heart.on_beat(arrives);
        }
    }
    silences.sort_unstable();
    let share = |percent: usize| silences[(silences.len() - 1) * percent / 100];
    Measured {
        median: share(50),
        p99: share(99),
        longest: share(100),
        false_alarms,
    }
}

#[test]
fn detection_takes_as_long_as_is_written_down() {
    // The table in docs/performance.md.
    let table = [
        (SECOND, 0, [41, 45, 46], 0),
        (SECOND, 5, [48, 56, 60], 0),
        (SECOND, 20, [65, 77, 87], 3),
        (SECOND * 10, 0, [271, 318, 320], 0),
        (SECOND * 10, 5, [370, 441, 455], 0),
        (SECOND * 10, 20, [547, 675, 715], 1),
    ];
    for (interval, loss, [median, p99, longest], false_alarms) in table {
        let written = Measured {
            median,
            p99,
            longest,
            false_alarms,
        };
        let measured = measure(PhiRules::every(interval), loss);
        assert_eq!(measured, written, "every {interval:?}, {loss} % lost");
    }
}
