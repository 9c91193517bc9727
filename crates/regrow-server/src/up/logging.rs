//! What regrow writes of itself beside its progress lines.

use std::fmt;
use std::time::SystemTime;

use regrow::trace::TraceContext;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::outlet::Outlet;
use crate::cli::CliError;
use crate::config::LogFormat;
use crate::wire::rfc3339;

/// The environment variable with the filter.
const VARIABLE: &str = "REGROW_LOG";
/// Progress lines tell the rest, and of each event of the library too.
const USUAL: &str = "warn,ractor=warn,regrow[{event}]=off";
/// In JSON the events of the library are lines of their own, which know more.
const NO_EVENTS: &str = "regrow[{event}]=off";
/// ractor logs each actor; who wants that names it.
const QUIET: &str = "ractor=warn";

/// Sends events of `tracing` to stderr, as `REGROW_LOG` says, without waiting for it.
pub(super) fn install(format: LogFormat) -> Result<Outlet, CliError> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let filter = filter(&text, format)?;
    let outlet = Outlet::stderr(format);
    let end = outlet.clone();
    let writer = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || end.clone())
        .with_ansi(false);
    // Only a test, which is not this program, can have installed another one.
    match format {
        LogFormat::Text => drop(writer.try_init()),
        LogFormat::Json => drop(writer.event_format(Json).try_init()),
    }
    Ok(outlet)
}

/// A line of JSON in regrow's own words.
pub(super) fn line(now: SystemTime, level: &str, message: &str) -> String {
    let mut fields = Map::new();
    fields.insert("message".to_owned(), message.into());
    object(now, level, fields)
}

/// What every line has comes first; the trace, if this happens in one, last.
fn object(now: SystemTime, level: &str, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("at".to_owned(), rfc3339(now).into());
    line.insert("level".to_owned(), level.into());
    line.extend(fields);
    if let Some(context) = TraceContext::current() {
        let parent = context.traceparent();
        for (key, id) in ["trace_id", "span_id"]
            .into_iter()
            .zip(parent.split('-').skip(1))
        {
            line.insert(key.to_owned(), id.into());
        }
    }
    Value::Object(line).to_string()
}

/// Events of `tracing` as one JSON object each.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        fields
            .0
            .insert("target".to_owned(), event.metadata().target().into());
        event.record(&mut fields);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        writeln!(writer, "{}", object(SystemTime::now(), &level, fields.0))
    }
}

/// Collects what an event says.
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

fn filter(text: &str, format: LogFormat) -> Result<EnvFilter, CliError> {
    let whole = match text.trim() {
        "" => USUAL.to_owned(),
        text if text.contains("ractor") => text.to_owned(),
        text => format!("{text},{QUIET}"),
    };
    let whole = match format {
        LogFormat::Text => whole,
        LogFormat::Json => format!("{whole},{NO_EVENTS}"),
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
        assert!(
            filter("", LogFormat::Text)
                .unwrap()
                .to_string()
                .contains("ractor=warn")
        );
        assert!(
            filter("debug", LogFormat::Text)
                .unwrap()
                .to_string()
                .contains("ractor=warn")
        );
        assert!(
            !filter("ractor=trace", LogFormat::Json)
                .unwrap()
                .to_string()
                .contains("ractor=warn")
        );
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let error = filter("regrow=loudest", LogFormat::Text)
            .unwrap_err()
            .to_string();
        assert!(error.contains("got \"regrow=loudest\""), "{error}");
    }
}
