//! What came out for regrow when somebody last looked at it and said that it was good: a change of the controller has to be seen.

/// The lines of JSON. `run sim --bless` writes them anew.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sim-baseline.jsonl");
