//! What an event is in OpenTelemetry's words.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};
use tracing::Level;

use super::{GenAiWords, genai};
use crate::telemetry::{Edge, Event, FieldValue, Payload, Role, headline};
use crate::trace::TraceContext;

/// How long a text may be, in bytes; the rest is cut off.
const MAX_TEXT: usize = 4_096;

/// The bit of a trace that is recorded.
const SAMPLED: u32 = 1;

/// Who tells, and in which words.
pub(super) struct Origin {
    pub(super) resource: Resource,
    genai: GenAiWords,
}

impl Origin {
    pub(super) fn new(service: &str, attributes: &[(String, String)], genai: GenAiWords) -> Self {
        let ids = RandomState::new();
        let instance = format!(
            "{:016x}{:016x}",
            ids.hash_one("instance, first half"),
            ids.hash_one("instance, second half")
        );
        let mut all: Vec<KeyValue> = vec![
            attribute("service.name", text(service)),
            attribute("service.instance.id", text(&instance)),
            attribute(
                "process.pid",
                Value::IntValue(i64::from(std::process::id())),
            ),
            attribute("telemetry.sdk.name", text("regrow")),
            attribute("telemetry.sdk.language", text("rust")),
            attribute("telemetry.sdk.version", text(env!("CARGO_PKG_VERSION"))),
        ];
        for (key, value) in attributes {
            all.retain(|ours| ours.key != *key);
            all.push(attribute(key, text(value)));
        }
        let resource = Resource {
            attributes: all,
            ..Resource::default()
        };
        Self { resource, genai }
    }

    /// A span that is over, from the event that ended it. Nothing has to be known of its beginning.
    pub(super) fn span(&self, event: &Event) -> Option<Span> {
        let edge = event.payload.edge()?;
        let began = event.at.checked_sub(edge.duration()?);
        self.span_of(event, edge, began.unwrap_or(UNIX_EPOCH), event.at)
    }

    /// A span that is under way at `until`, from the event that began it.
    pub(super) fn span_cut_off(&self, event: &Event, until: SystemTime) -> Option<Span> {
        let duration = until.duration_since(event.at).unwrap_or(Duration::ZERO);
        self.span_of(event, &Edge::Cancel { duration }, event.at, until)
    }

    fn span_of(
        &self,
        event: &Event,
        edge: &Edge,
        began: SystemTime,
        ended: SystemTime,
    ) -> Option<Span> {
        let mut span = span_of(event, edge, began, ended)?;
        match self.genai {
            GenAiWords::Ours => {}
            GenAiWords::LatestExperimental => genai::translate(event, &mut span),
        }
        Some(span)
    }
}

fn span_of(event: &Event, edge: &Edge, began: SystemTime, ended: SystemTime) -> Option<Span> {
    let context = event.context()?;
    let (parent, link) = event.lineage.as_ref().map_or((None, None), |lineage| {
        (lineage.parent.as_ref(), lineage.link.as_ref())
    });
    let name = event.name();
    let name = name.rsplit_once('.').map_or(name, |(span, _)| span);
    let mut attributes = attributes(event);
    attributes.push(attribute("regrow.edge", text(word(edge))));
    Some(Span {
        trace_id: context.trace_id().to_vec(),
        span_id: context.span_id().to_vec(),
        trace_state: state_of(&context),
        parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span_id().to_vec()),
        flags: flags(&event.payload, parent),
        name: name.to_owned(),
        kind: kind(&event.payload) as i32,
        start_time_unix_nano: nanos(began),
        end_time_unix_nano: nanos(ended),
        attributes,
        links: link.map(link_to).into_iter().collect(),
        status: Some(status(&event.payload, edge)),
        ..Span::default()
    })
}

fn state_of(context: &TraceContext) -> String {
    context.tracestate().unwrap_or_default().to_owned()
}

/// That it is recorded, and whether its parent is another program's: only that of a request is.
fn flags(payload: &Payload, parent: Option<&TraceContext>) -> u32 {
    let known = SpanFlags::ContextHasIsRemoteMask as i32;
    let is_remote = parent.is_some() && matches!(payload, Payload::HttpRequest { .. });
    let remote = if is_remote {
        SpanFlags::ContextIsRemoteMask as i32
    } else {
        0
    };
    SAMPLED | (known | remote).unsigned_abs()
}

fn link_to(cause: &TraceContext) -> Link {
    Link {
        trace_id: cause.trace_id().to_vec(),
        span_id: cause.span_id().to_vec(),
        trace_state: state_of(cause),
        flags: SAMPLED,
        ..Link::default()
    }
}

/// The library, as the scope of all that is sent.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "regrow".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// An event that is no span.
pub(super) fn log_record(event: &Event) -> LogRecord {
    let (level, headline) = headline(&event.payload);
    let context = event.context();
    let context = context.as_ref();
    LogRecord {
        time_unix_nano: nanos(event.at),
        observed_time_unix_nano: nanos(event.at),
        severity_number: severity(level) as i32,
        severity_text: level.as_str().to_owned(),
        body: Some(AnyValue {
            value: Some(text(headline)),
        }),
        attributes: attributes(event),
        event_name: event.name().to_owned(),
        trace_id: context.map_or_else(Vec::new, |context| context.trace_id().to_vec()),
        span_id: context.map_or_else(Vec::new, |context| context.span_id().to_vec()),
        flags: context.map_or(0, |_| SAMPLED),
        ..LogRecord::default()
    }
}

const fn word(edge: &Edge) -> &'static str {
    match edge {
        Edge::Start => "start",
        Edge::Stop { .. } => "stop",
        Edge::Exception { .. } => "exception",
        Edge::Cancel { .. } => "cancel",
    }
}

fn kind(payload: &Payload) -> SpanKind {
    if matches!(payload, Payload::HttpRequest { .. }) {
        SpanKind::Server
    } else {
        SpanKind::Internal
    }
}

/// Only failures are marked: a cancellation is nobody's, and success is for the reader to declare, by OpenTelemetry's rules.
fn status(payload: &Payload, edge: &Edge) -> Status {
    let failed = |message: &str| Status {
        code: StatusCode::Error as i32,
        message: cut(message).to_owned(),
    };
    match edge {
        Edge::Exception { reason, .. } => failed(reason),
        Edge::Start | Edge::Stop { .. } | Edge::Cancel { .. } => {
            if let Payload::HttpRequest {
                status: Some(500..),
                ..
            } = payload
            {
                failed("")
            } else {
                Status::default()
            }
        }
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
    }
}

/// Whom it is about, then its keys, without what must not leave the process.
fn attributes(event: &Event) -> Vec<KeyValue> {
    let subject = &event.subject;
    let mut attributes = vec![
        attribute("regrow.seq", count(event.seq)),
        attribute("regrow.path", text(subject.path.as_str())),
        attribute("regrow.kind", text(subject.kind.as_str())),
        attribute("regrow.type_name", text(&subject.type_name)),
        attribute("regrow.generation", count(u64::from(subject.generation))),
        attribute("regrow.phase", text(subject.phase.as_str())),
    ];
    for field in event.payload.fields() {
        match field.role {
            Role::Measurement | Role::Metadata => {}
            Role::Sensitive => continue,
        }
        if let Some(value) = field.value {
            attributes.push(attribute(&format!("regrow.{}", field.key), told(value)));
        }
    }
    attributes
}

pub(super) fn told(value: FieldValue<'_>) -> Value {
    match value {
        FieldValue::Count(n) => count(n),
        FieldValue::Ratio(ratio) => Value::DoubleValue(ratio),
        FieldValue::Time(time) => Value::DoubleValue(time.as_secs_f64()),
        FieldValue::Text(words) => text(&words),
        FieldValue::List(list) => Value::ArrayValue(ArrayValue {
            values: list
                .iter()
                .map(|words| AnyValue {
                    value: Some(text(words)),
                })
                .collect(),
        }),
    }
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(super) fn text(words: &str) -> Value {
    Value::StringValue(cut(words).to_owned())
}

fn count(n: u64) -> Value {
    Value::IntValue(i64::try_from(n).unwrap_or(i64::MAX))
}

fn cut(words: &str) -> &str {
    &words[..words.floor_char_boundary(MAX_TEXT)]
}

/// OpenTelemetry's time; it begins in 1970 and ends in 2554.
pub(super) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
