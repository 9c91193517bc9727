//! Operations on models and tools in the words of OpenTelemetry's conventions for generative AI, as of November 2026.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::records::{attribute, told};
use crate::genai::Kind;
use crate::telemetry::{Edge, Event, FieldValue, GenAi, Payload};

/// The variable by which OpenTelemetry's libraries are told to use conventions that are not stable.
pub(super) const STABILITY: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";

/// The word in it for this one.
pub(super) const LATEST: &str = "gen_ai_latest_experimental";

/// The variable by which they are told to send what was said.
pub(super) const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Says a span in these words, if it is of an operation.
pub(super) fn translate(event: &Event, span: &mut Span) {
    let Payload::GenAiOperation { edge, told } = &event.payload else {
        return;
    };
    span.name = name(event, told);
    span.kind = kind(told.operation) as i32;
    let ours = event.payload.fields();
    span.attributes.retain(|attribute| {
        let key = attribute.key.strip_prefix("regrow.");
        !ours.iter().any(|field| Some(field.key) == key)
    });
    span.attributes.extend(attributes(event, edge, told));
}

/// The operation and what it is about: nothing with many values.
fn name(event: &Event, told: &GenAi) -> String {
    let about = match told.operation {
        Kind::Chat | Kind::GenerateContent | Kind::TextCompletion | Kind::Embeddings => {
            told.model.as_deref()
        }
        Kind::ExecuteTool => told.tool.as_deref(),
        Kind::CreateAgent | Kind::InvokeAgent => Some(agent_name(event)),
        Kind::InvokeWorkflow => told.workflow.as_deref(),
        Kind::Plan => None,
    };
    let operation = told.operation.as_str();
    about.map_or_else(
        || operation.to_owned(),
        |about| format!("{operation} {about}"),
    )
}

/// What asks somebody else is a client.
const fn kind(operation: Kind) -> SpanKind {
    match operation {
        Kind::Chat
        | Kind::GenerateContent
        | Kind::TextCompletion
        | Kind::Embeddings
        | Kind::CreateAgent => SpanKind::Client,
        Kind::ExecuteTool | Kind::InvokeAgent | Kind::InvokeWorkflow | Kind::Plan => {
            SpanKind::Internal
        }
    }
}

/// The last part of the path.
fn agent_name(event: &Event) -> &str {
    let path = event.subject.path.as_str();
    path.rsplit_once('/').map_or(path, |(_, id)| id)
}

fn text(value: Option<&Arc<str>>) -> Option<FieldValue<'_>> {
    value.map(|text| FieldValue::Text((**text).into()))
}

fn attributes(event: &Event, edge: &Edge, genai: &GenAi) -> Vec<KeyValue> {
    let count = |value: Option<u32>| value.map(|count| FieldValue::Count(count.into()));
    let known = |value: &'static str| Some(FieldValue::Text(value.into()));
    let reasons = &genai.finish_reasons;
    let reasons = (!reasons.is_empty())
        .then(|| FieldValue::List(reasons.iter().map(|reason| (**reason).into()).collect()));
    let error = match edge {
        // An error without a type has to have this one.
        Edge::Exception { .. } => text(genai.error_type.as_ref()).or_else(|| known("_OTHER")),
        Edge::Start | Edge::Stop { .. } | Edge::Cancel { .. } => None,
    };
    let (path, agent) = (event.subject.path.as_str(), agent_name(event));
    let all = [
        ("gen_ai.operation.name", known(genai.operation.as_str())),
        ("gen_ai.provider.name", text(genai.provider.as_ref())),
        ("gen_ai.request.model", text(genai.model.as_ref())),
        ("gen_ai.response.model", text(genai.response_model.as_ref())),
        ("gen_ai.response.id", text(genai.response_id.as_ref())),
        ("gen_ai.response.finish_reasons", reasons),
        ("gen_ai.usage.input_tokens", count(genai.input_tokens)),
        ("gen_ai.usage.output_tokens", count(genai.output_tokens)),
        (
            "gen_ai.usage.cache_read.input_tokens",
            count(genai.cached_input_tokens),
        ),
        (
            "gen_ai.usage.reasoning.output_tokens",
            count(genai.reasoning_output_tokens),
        ),
        ("gen_ai.conversation.id", text(genai.conversation.as_ref())),
        ("gen_ai.agent.id", Some(FieldValue::Text(path.into()))),
        ("gen_ai.agent.name", Some(FieldValue::Text(agent.into()))),
        ("gen_ai.tool.name", text(genai.tool.as_ref())),
        ("gen_ai.tool.call.id", text(genai.tool_call.as_ref())),
        ("gen_ai.workflow.name", text(genai.workflow.as_ref())),
        ("error.type", error),
    ];
    let pair = |(key, value): (&str, Option<FieldValue<'_>>)| Some(attribute(key, told(value?)));
    let mut attributes: Vec<KeyValue> = all.into_iter().filter_map(pair).collect();
    attributes.extend(content(genai));
    attributes
}

/// What was said, where somebody wants it: it is not there otherwise. It has a bound of its own.
fn content(genai: &GenAi) -> impl Iterator<Item = KeyValue> {
    let (asked, answered) = match genai.operation {
        Kind::ExecuteTool => ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
        Kind::Chat
        | Kind::GenerateContent
        | Kind::TextCompletion
        | Kind::Embeddings
        | Kind::CreateAgent
        | Kind::InvokeAgent
        | Kind::InvokeWorkflow
        | Kind::Plan => ("gen_ai.input.messages", "gen_ai.output.messages"),
    };
    [(asked, &genai.input), (answered, &genai.output)]
        .into_iter()
        .filter_map(|(key, said)| {
            let said = Value::StringValue(said.as_deref()?.to_owned());
            Some(attribute(key, said))
        })
}
