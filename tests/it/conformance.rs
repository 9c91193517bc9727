//! The recordings of Erlang/OTP's own supervisor, played on regrow.

use regrow_tests::otp_trace::{Scenario, normalized, play};
use serde_json::Value;

use crate::tree::read;

/// Plays every scenario of a file; answers with how many there were and what differed.
fn replay(file: &str) -> (usize, Vec<String>) {
    let (mut played, mut differing) = (0, Vec::new());
    for line in read(file).lines() {
        let recorded: Value = serde_json::from_str(line).expect("a line is JSON");
        let scenario: Scenario = serde_json::from_str(line).expect("a line is a scenario");
        let expected = recorded["expect"].as_array().expect("it was recorded");
        let expected = normalized(&scenario, expected);
        let observed = normalized(&scenario, &play(&scenario).expect("a runtime can be made"));
        let step = (0..expected.len()).find(|step| observed.get(*step) != expected.get(*step));
        if let Some(step) = step {
            let (theirs, ours) = (&expected[step], &observed[step]);
            differing.push(format!(
                "{}, step {step}:\n  OTP:    {theirs}\n  regrow: {ours}",
                scenario.name
            ));
        }
        played += 1;
    }
    (played, differing)
}

#[test]
fn the_systematic_recordings_of_otp_are_reproduced() {
    let (played, differing) = replay("tests/fixtures/otp/matrix.jsonl");
    assert_eq!(differing, [""; 0]);
    assert_eq!(played, 414);
}

#[test]
fn the_random_recordings_of_otp_are_reproduced() {
    let (played, differing) = replay("tests/fixtures/otp/random.jsonl");
    assert_eq!(differing, [""; 0]);
    assert_eq!(played, 400);
}
