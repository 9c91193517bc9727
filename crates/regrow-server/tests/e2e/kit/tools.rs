//! Programs that the tests use and that may be absent.

use std::io::Write as _;
use std::path::Path;

/// Whether a tool is absent, and known to be: `REGROW_ABSENT` lists those that `scripts/setup` could not get.
///
/// Then this says so and the test passes. One that is absent and not listed is a failure: no test is skipped in silence.
pub(crate) fn absent(tool: &str) -> bool {
    let listed = std::env::var("REGROW_ABSENT").unwrap_or_default();
    let is_listed = listed.split_whitespace().any(|name| name == tool);
    if is_listed {
        writeln!(
            std::io::stderr().lock(),
            "ABSENT: {tool}; this is not tested"
        )
        .expect("stderr takes it");
    }
    is_listed
}

/// Fails unless the tool is in `PATH`, or is this file.
#[track_caller]
pub(crate) fn need(tool: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = Path::new(tool).is_file()
        || std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    assert!(
        there,
        "{tool} is not installed: run scripts/setup, or list it in REGROW_ABSENT"
    );
}
