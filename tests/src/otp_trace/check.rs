//! Holds what regrow does against what was recorded from OTP.

use std::io;

use serde::Deserialize;
use serde_json::Value;

use super::play;
use super::scenario::Scenario;

/// What came out of playing recordings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many were played.
    pub played: usize,
    /// Where regrow did something else, by scenario: the first such step, and both observations of it.
    pub differences: Vec<String>,
}

#[derive(Deserialize)]
struct Recording {
    #[serde(flatten)]
    scenario: Scenario,
    expect: Vec<Value>,
}

/// Plays recordings, one a line, each a scenario with its observations under `expect`.
///
/// # Errors
/// When a line is no recording, or no runtime can be made.
pub fn compare(recordings: &str) -> io::Result<Comparison> {
    let recordings: Vec<Recording> = recordings
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| io::Error::other(format!("line {}: {error}", number + 1)))
        })
        .collect::<io::Result<_>>()?;
    let mut differences = Vec::new();
    for recording in &recordings {
        differences.extend(difference(recording)?);
    }
    Ok(Comparison {
        played: recordings.len(),
        differences,
    })
}

fn difference(recording: &Recording) -> io::Result<Option<String>> {
    let scenario = &recording.scenario;
    let expected = normalized(scenario, &recording.expect);
    let observed = normalized(scenario, &play(scenario)?);
    let steps = expected.len().max(observed.len());
    let step = (0..steps).find(|step| observed.get(*step) != expected.get(*step));
    Ok(step.map(|step| {
        let in_words = |observations: &[Value]| {
            observations
                .get(step)
                .map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        format!(
            "{}, step {step}:\n  OTP:    {}\n  regrow: {}",
            scenario.name,
            in_words(&expected),
            in_words(&observed)
        )
    }))
}

/// What was observed, with the stops of dynamic siblings in an order of their own: they are asked at once.
fn normalized(scenario: &Scenario, observations: &[Value]) -> Vec<Value> {
    let dynamic = scenario.supervisor.dynamic_paths("");
    let group = |event: &Value| -> Option<String> {
        let is_stop = event.get(0).and_then(Value::as_str) == Some("stop");
        let path = event.get(1).and_then(Value::as_str)?;
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        (is_stop && dynamic.iter().any(|path| path == parent)).then(|| parent.to_owned())
    };
    let mut observations = observations.to_vec();
    for observation in &mut observations {
        let Some(events) = observation.get_mut("events").and_then(Value::as_array_mut) else {
            continue;
        };
        for run in
            events.chunk_by_mut(|one, other| group(one).is_some() && group(one) == group(other))
        {
            if run.len() > 1 {
                run.sort_by_key(ToString::to_string);
            }
        }
    }
    observations
}
