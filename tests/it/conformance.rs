//! The recordings of Erlang/OTP's own supervisor, played on regrow.

use regrow_tests::otp_trace::{Comparison, compare};

use crate::tree::read;

fn none_differs_of(played: usize) -> Comparison {
    Comparison {
        played,
        differences: Vec::new(),
    }
}

#[test]
fn the_systematic_recordings_of_otp_are_reproduced() {
    let recordings = read("tests/fixtures/otp/matrix.jsonl");
    let compared = compare(&recordings).expect("they are recordings");
    assert_eq!(compared, none_differs_of(414));
}

#[test]
fn the_random_recordings_of_otp_are_reproduced() {
    let recordings = read("tests/fixtures/otp/random.jsonl");
    let compared = compare(&recordings).expect("they are recordings");
    assert_eq!(compared, none_differs_of(400));
}

#[test]
fn a_recording_that_regrow_does_not_reproduce_is_named_with_its_step() {
    let recordings = read("tests/fixtures/otp/matrix.jsonl");
    let first = recordings.lines().next().expect("there are recordings");
    let other = first.replacen("\"alive\":true", "\"alive\":false", 1);
    assert_ne!(first, other);
    let compared = compare(&other).expect("it is a recording");
    let [difference] = &compared.differences[..] else {
        panic!("{compared:?}");
    };
    assert!(difference.contains(", step 0:"), "{difference}");
    assert!(compare("{}").is_err(), "what is no recording is an error");
}
