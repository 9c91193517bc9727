//! The rule for tools that tests need beside the Rust toolchain.

use std::env;
use std::io::Write;
use std::path::PathBuf;

/// The tool's path, or `None` when its absence is excused.
///
/// A test that needs a tool asks here first. Where the tool is missing there are two cases: `scripts/test` has tried to install it
/// and names it in `REGROW_ABSENT` (names with spaces between them) – then the test says so and passes; or nobody has tried – then
/// it fails and says what to do. So no test is skipped in silence.
///
/// # Panics
/// When the tool is missing and not excused.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_some() {
        return found;
    }
    let excused = env::var("REGROW_ABSENT").unwrap_or_default();
    assert!(
        excused.split_whitespace().any(|absent| absent == name),
        "{name} is not installed; run scripts/test, which installs it where it may, or scripts/setup to install only"
    );
    // Past the capture of output, so that it is seen.
    drop(writeln!(
        std::io::stderr(),
        "ABSENT: {name}; what needs it is not tested"
    ));
    None
}
