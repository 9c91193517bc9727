//! What regrow writes of itself beside its progress lines.

use tracing_subscriber::EnvFilter;

use crate::cli::CliError;

/// The environment variable with the filter.
const VARIABLE: &str = "REGROW_LOG";
/// Progress lines tell the rest, and of each event of the library too.
const USUAL: &str = "warn,ractor=warn,regrow[{event}]=off";
/// ractor logs each actor; who wants that names it.
const QUIET: &str = "ractor=warn";

/// Sends events of `tracing` to stderr, as `REGROW_LOG` says.
pub(super) fn install() -> Result<(), CliError> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let filter = filter(&text)?;
    let writer = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // Only a test, which is not this program, can have installed another one.
    drop(writer.try_init());
    Ok(())
}

fn filter(text: &str) -> Result<EnvFilter, CliError> {
    let whole = match text.trim() {
        "" => USUAL.to_owned(),
        text if text.contains("ractor") => text.to_owned(),
        text => format!("{text},{QUIET}"),
    };
    EnvFilter::try_new(whole).map_err(|error| CliError::LogFilter {
        text: text.to_owned(),
        source: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ractor_is_quiet_unless_it_is_named() {
        assert!(filter("").unwrap().to_string().contains("ractor=warn"));
        assert!(filter("debug").unwrap().to_string().contains("ractor=warn"));
        assert!(
            !filter("ractor=trace")
                .unwrap()
                .to_string()
                .contains("ractor=warn")
        );
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let error = filter("regrow=loudest").unwrap_err().to_string();
        assert!(error.contains("got \"regrow=loudest\""), "{error}");
    }
}
