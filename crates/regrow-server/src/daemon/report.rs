//! What the daemon reports to others than its API: events as JSON lines, and to a collector.

use std::io::{self, Write};
use std::time::Duration;

use regrow::otlp::{self, Endpoint, Export, ExportError};
use regrow::telemetry::{AttachJsonError, JsonLines};
use regrow::{System, Telemetry};

use crate::config::{LogConfig, LogFormat, OtlpConfig};

/// The variable with the headers for a collector, which may be secret: it is the one of OpenTelemetry's own libraries.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long a request to the collector may take, and what waits at the end.
const LAST_REPORTS: Duration = Duration::from_secs(5);
/// The name under which events are written.
const HANDLER: &str = "json";

/// Why nothing is reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReportError {
    /// Events cannot be written.
    #[error("cannot write events as JSON: {0}")]
    Json(#[from] AttachJsonError),
    /// The collector cannot be one.
    #[error("cannot report to telemetry.otlp.endpoint: {0}")]
    Export(#[from] ExportError),
    /// The headers are none. Their text is not repeated: it may be secret.
    #[error(
        "{HEADERS}: expected name=value,name=value with what is special as %20, got something else at entry {entry}"
    )]
    Headers {
        /// Which of the entries, from 1.
        entry: usize,
    },
}

/// The reports under way.
#[derive(Debug, Default)]
pub(super) struct Reports {
    lines: Option<JsonLines>,
    export: Option<Export>,
}

impl Reports {
    /// Writes events from the first on, if the log is for programs.
    pub(super) fn begin(telemetry: &Telemetry, log: LogConfig) -> Result<Self, ReportError> {
        let lines = match log.format {
            LogFormat::Text => None,
            LogFormat::Json => Some(telemetry.attach_json_from(HANDLER, log.level, Stdout)?),
        };
        let export = None;
        Ok(Self { lines, export })
    }

    /// Reports to a collector from now on, if there is one.
    pub(super) fn export(
        &mut self,
        system: &System,
        otlp: Option<&OtlpConfig>,
    ) -> Result<(), ReportError> {
        let Some(otlp) = otlp else { return Ok(()) };
        let mut to = Endpoint::new(&otlp.endpoint, &otlp.service).timeout(LAST_REPORTS);
        for (name, value) in headers(&std::env::var(HEADERS).unwrap_or_default())? {
            to = to.header(name, value);
        }
        self.export = Some(otlp::export(system, to, otlp.signals.iter().copied())?);
        Ok(())
    }

    /// Sends and writes what waits.
    pub(super) async fn finish(self) {
        if let Some(export) = self.export
            && let Err(error) = export.shutdown().await
        {
            tracing::warn!(%error, "failed to report everything");
        }
        if let Some(lines) = self.lines
            && let Err(error) = lines.finish(LAST_LINES).await
        {
            tracing::warn!(%error, "failed to write everything");
        }
    }
}

/// Stdout, of which others write whole lines meanwhile.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Reads `name=value,name=value`, where a value may have `%20` and its like.
fn headers(text: &str) -> Result<Vec<(String, String)>, ReportError> {
    let entries = text.split(',').map(str::trim);
    let header = |(at, entry): (usize, &str)| {
        let wrong = || ReportError::Headers { entry: at + 1 };
        let (name, value) = entry.split_once('=').ok_or_else(wrong)?;
        let value = decoded(value.trim()).ok_or_else(wrong)?;
        Ok((name.trim().to_owned(), value))
    };
    entries
        .enumerate()
        .filter(|(_, entry)| !entry.is_empty())
        .map(header)
        .collect()
}

/// A text with `%20` and its like replaced.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let given = "authorization=Basic%20cGs6c2s=, x-langfuse-ingestion-version=4,";
        let wanted = [
            ("authorization", "Basic cGs6c2s="),
            ("x-langfuse-ingestion-version", "4"),
        ];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers(given).unwrap(), wanted);
        assert_eq!(headers("").unwrap(), []);
    }

    #[test]
    fn headers_that_are_none_are_told_by_their_number_and_not_by_their_text() {
        for (given, entry) in [
            ("secret", 1),
            ("a=b,secret", 2),
            ("a=%zz", 1),
            ("a=%+1", 1),
            ("a=%f", 1),
        ] {
            let error = headers(given).unwrap_err().to_string();
            assert!(error.ends_with(&format!("at entry {entry}")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
