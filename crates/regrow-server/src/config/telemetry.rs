//! What regrow tells of itself: its log, and the collector that it reports to.

use std::time::Duration;

use hyper::Uri;
use regrow::otlp::Signal;
use regrow::telemetry::Level;
use regrow_core::nearest;

use super::error::Problem;
use super::read::{Field, Reader, Shape};
use super::units::{Refusal, duration};

/// How often is looked at what agents use, where the file does not say.
const FIGURES: Duration = Duration::from_secs(5);

/// A look costs milliseconds: more often is no use.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// Less often is no use either.
const LONGEST_PERIOD: Duration = Duration::from_secs(3600);

/// What a period may be, in words.
const A_PERIOD: &str = "a duration from 100ms to 1h such as 5s, or 0s for never";

/// What regrow's own log is made of, and how loud it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// Lines for people, or for programs.
    pub(crate) format: LogFormat,
    /// In JSON: the quietest events that are written.
    pub(crate) level: Level,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: Level::INFO,
        }
    }
}

/// For whom a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object for each line.
    Json,
}

impl LogFormat {
    /// The word in the file and on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The collector that regrow reports to, by OTLP over HTTP. Headers, which may be secret, come from the environment alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtlpConfig {
    /// Its address, such as `http://127.0.0.1:4318`.
    pub(crate) endpoint: String,
    /// Who reports, as `service.name`.
    pub(crate) service: String,
    /// What is reported.
    pub(crate) signals: Vec<Signal>,
}

/// Reads the section `log`.
pub(super) fn log(reader: &mut Reader<'_>, field: &Field<'_>) -> LogConfig {
    let usual = LogConfig::default();
    let Some(fields) = reader.known_fields(field, "log", &["format", "level"]) else {
        return usual;
    };
    let format = reader.value_at(&fields, "format", &Shape::new("text or json", &format));
    let level = Shape::new("error, warn, info, debug or trace", &level);
    let level = reader.value_at(&fields, "level", &level);
    LogConfig {
        format: format.map_or(usual.format, |found| found.value),
        level: level.map_or(usual.level, |found| found.value),
    }
}

/// What the section `telemetry` says.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) otlp: Option<OtlpConfig>,
    pub(super) figures: Duration,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            otlp: None,
            figures: FIGURES,
        }
    }
}

/// Reads the section `telemetry`.
pub(super) fn section(reader: &mut Reader<'_>, field: &Field<'_>) -> Section {
    let usual = Section::default();
    let Some(fields) = reader.known_fields(field, "telemetry", &["figures", "otlp"]) else {
        return usual;
    };
    let period = Shape::new(A_PERIOD, &period);
    let figures = reader.value_at(&fields, "figures", &period);
    Section {
        figures: figures.map_or(usual.figures, |found| found.value),
        otlp: fields.get("otlp").and_then(|field| otlp(reader, &field)),
    }
}

fn otlp(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<OtlpConfig> {
    let fields = reader.known_fields(field, "otlp", &["endpoint", "service", "signals"])?;
    let to = match fields.get("endpoint") {
        Some(field) => {
            let shape = Shape::new("an address such as http://127.0.0.1:4318", &endpoint);
            reader.value(&field, &shape)
        }
        None => {
            let hint = "add endpoint: http://127.0.0.1:4318 for a collector on this machine";
            let problem = Problem::Unexpected {
                expected: "the key endpoint".to_owned(),
                got: "none".to_owned(),
                hint: Some(hint.to_owned()),
            };
            reader.note(field.node.place, &field.way, problem);
            None
        }
    };
    let service = Shape::new("a name", &name);
    let service = reader.value_at(&fields, "service", &service);
    let signals = fields.get("signals").map_or_else(
        || Signal::ALL.to_vec(),
        |field| read_signals(reader, &field),
    );
    Some(OtlpConfig {
        endpoint: to?.value,
        service: service.map_or_else(|| "regrow".to_owned(), |found| found.value),
        signals,
    })
}

fn read_signals(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Signal> {
    let items = reader.items(field, "a list of traces, metrics and logs");
    let items = items.unwrap_or_default();
    let shape = Shape::new("traces, metrics or logs", &signal);
    let read = |item| reader.value(item, &shape).map(|found| found.value);
    items.iter().filter_map(read).collect()
}

/// How often is looked at what agents use; `0s` for never.
fn period(text: &str) -> Result<Duration, Refusal> {
    let period = duration(text)?;
    let is_possible = period.is_zero() || (SHORTEST_PERIOD..=LONGEST_PERIOD).contains(&period);
    is_possible
        .then_some(period)
        .ok_or_else(|| Refusal::new(A_PERIOD))
}

/// A format of logs.
pub(crate) fn format(text: &str) -> Result<LogFormat, Refusal> {
    word(text, [LogFormat::Text, LogFormat::Json], LogFormat::as_str)
}

fn signal(text: &str) -> Result<Signal, Refusal> {
    word(text, Signal::ALL, Signal::as_str)
}

fn level(text: &str) -> Result<Level, Refusal> {
    const LEVELS: [(Level, &str); 5] = [
        (Level::ERROR, "error"),
        (Level::WARN, "warn"),
        (Level::INFO, "info"),
        (Level::DEBUG, "debug"),
        (Level::TRACE, "trace"),
    ];
    word(text, LEVELS, |(_, word)| word).map(|(level, _)| level)
}

/// One of these, by its word.
fn word<T: Copy, const N: usize>(
    text: &str,
    all: [T; N],
    word: impl Fn(T) -> &'static str,
) -> Result<T, Refusal> {
    let found = all.into_iter().find(|one| word(*one) == text);
    found.ok_or_else(|| {
        let words = all.map(word);
        let (last, others) = words.split_last().unwrap_or((&"", &[]));
        let refusal = Refusal::new(format!("{} or {last}", others.join(", ")));
        match nearest(text, words) {
            Some(meant) => refusal.hint(format!("did you mean {meant:?}?")),
            None => refusal,
        }
    })
}

fn name(text: &str) -> Result<String, Refusal> {
    let fits = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| Refusal::new("a name of at most 128 bytes"))
}

fn endpoint(text: &str) -> Result<String, Refusal> {
    let refusal = || Refusal::new("an address such as http://127.0.0.1:4318");
    let uri: Uri = text.parse().map_err(|_| refusal())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            let way = "send to a collector on this machine, which speaks TLS to the world";
            return Err(Refusal::new("an address without TLS").hint(way));
        }
        Some(_) | None => return Err(refusal()),
    }
    let is_plain = uri.query().is_none()
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
    if is_plain {
        Ok(text.to_owned())
    } else {
        let way = "say who you are by OTEL_EXPORTER_OTLP_HEADERS in the environment";
        Err(Refusal::new("an address without a user or a query").hint(way))
    }
}
