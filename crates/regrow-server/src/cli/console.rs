//! What the program says: results on stdout, everything else on stderr.

use std::io::{self, Write};

use super::CliError;

/// Writes a line, or several, to stdout.
///
/// # Errors
///
/// When stdout takes no more; that its reader has gone is an end like any other
/// ([`Exit::Ok`](super::Exit::Ok)).
pub(crate) fn say(text: &str) -> Result<(), CliError> {
    say_bytes(text.as_bytes())
}

/// Writes a line that need not be UTF-8 to stdout.
///
/// # Errors
///
/// As of [`say`].
pub(crate) fn say_bytes(line: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(line)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(CliError::Output)
}

/// Writes a line, or several, to stderr, where nobody may be reading.
pub(crate) fn complain(text: &str) {
    let mut err = io::stderr().lock();
    // Nothing can be said of it anywhere.
    drop(writeln!(err, "{text}"));
}
