//! What an agent asks of models and tools, as the example sends it to a collector.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use regrow::genai::{Agent, Kind};
use regrow::otlp::{GenAiWords, Signal, export};

use super::collector::{Answer, Collector, Received};
use super::{any, endpoint, given, string, subject, tree};
use crate::examples::{example, promised};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};

/// Everything that is said in the example.
const SAID: [&str; 2] = ["how is the sky", "blue"];

const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// What a collector gets from the example.
async fn sent(variables: &'static [(&'static str, &'static str)]) -> Received {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let url = collector.url.clone();
    let run = move || {
        let mut command = example("genai");
        for name in [
            CAPTURE,
            "OTEL_SEMCONV_STABILITY_OPT_IN",
            "LANGFUSE_PUBLIC_KEY",
        ] {
            command.env_remove(name);
        }
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        promised("genai"),
        "{said}"
    );
    collector.received()
}

/// The attributes that are not ours.
fn conventional(span: &Span) -> BTreeMap<String, Option<AnyValue>> {
    let mut attributes = given(&span.attributes);
    attributes.retain(|key, _| !key.starts_with("regrow."));
    attributes
}

fn list(word: &str) -> Value {
    let values = any(string(word)).into_iter().collect();
    Value::ArrayValue(ArrayValue { values })
}

fn wanted(operation: &str, more: Vec<(&str, Value)>) -> BTreeMap<String, Option<AnyValue>> {
    let mut all = more;
    all.push(("operation.name", string(operation)));
    all.push(("agent.id", string("root/planner")));
    all.push(("agent.name", string("planner")));
    let keyed = |(key, value)| (format!("gen_ai.{key}"), any(value));
    all.into_iter().map(keyed).collect()
}

fn chat(tokens: i64, reason: &str, asked: &str, answered: &str) -> Vec<(&'static str, Value)> {
    let message = |role: &str, text: &str| {
        string(&format!(
            r#"[{{"role":"{role}","parts":[{{"type":"text","content":"{text}"}}]}}]"#
        ))
    };
    vec![
        ("provider.name", string("made.up")),
        ("request.model", string("model-1")),
        ("response.model", string("model-1-2026-11")),
        ("response.id", string("answer-1")),
        ("response.finish_reasons", list(reason)),
        ("usage.input_tokens", Value::IntValue(tokens)),
        ("usage.output_tokens", Value::IntValue(4)),
        ("input.messages", message("user", asked)),
        ("output.messages", message("assistant", answered)),
    ]
}

#[tokio::test]
async fn a_collector_gets_the_operations_of_an_agent_in_the_words_of_opentelemetry() {
    let variables = &[
        (CAPTURE, "true"),
        ("LANGFUSE_PUBLIC_KEY", "pk"),
        ("LANGFUSE_SECRET_KEY", "sk"),
    ];
    let received = sent(variables).await;
    for head in &received.heads {
        // Of `pk:sk`; the collector keeps heads in lower case.
        let value = "Basic cGs6c2s=".to_ascii_lowercase();
        assert!(
            head.contains(&format!("authorization: {value}\r\n")),
            "{head}"
        );
    }
    let [first, tool, second, work] = &received.spans[..] else {
        panic!("{:#?}", received.spans)
    };
    let names = [first, tool, second, work].map(|span| (&*span.name, span.kind()));
    assert_eq!(
        names,
        [
            ("chat model-1", SpanKind::Client),
            ("execute_tool weather", SpanKind::Internal),
            ("chat model-1", SpanKind::Client),
            ("invoke_agent planner", SpanKind::Internal),
        ]
    );
    let [question, sky] = SAID;
    let says = |text: &str| format!("{text}, says the model");
    let first_chat = chat(14, "tool_calls", question, &says(question));
    assert_eq!(conventional(first), wanted("chat", first_chat));
    let second_chat = chat(4, "stop", sky, &says(sky));
    assert_eq!(conventional(second), wanted("chat", second_chat));
    let arguments = format!(r#"{{"question":"{}"}}"#, says(question));
    let of_tool = vec![
        ("tool.name", string("weather")),
        ("tool.call.id", string("call-1")),
        ("tool.call.arguments", string(&arguments)),
        ("tool.call.result", string(r#"{"sky":"blue"}"#)),
    ];
    assert_eq!(conventional(tool), wanted("execute_tool", of_tool));
    let conversation = vec![("conversation.id", string("conversation-1"))];
    assert_eq!(conventional(work), wanted("invoke_agent", conversation));
    for part in [first, tool, second] {
        assert_eq!(part.trace_id, work.trace_id);
        assert_eq!(part.parent_span_id, work.span_id);
        let ours = given(&part.attributes);
        assert_eq!(ours["regrow.path"], any(string("root/planner")));
        assert_eq!(ours["regrow.edge"], any(string("stop")));
        assert!(!ours.contains_key("regrow.model"), "told twice: {ours:?}");
    }
    assert!(work.parent_span_id.is_empty());
}

#[tokio::test]
async fn what_is_said_stays_in_the_process_unless_somebody_asks_for_it() {
    let received = sent(&[]).await;
    assert_eq!(received.spans.len(), 4);
    for said in SAID {
        let is_told = |body: &Vec<u8>| body.windows(said.len()).any(|part| part == said.as_bytes());
        assert!(!received.bodies.iter().any(is_told), "{said}");
    }
    assert!(
        received
            .heads
            .iter()
            .all(|head| !head.contains("authorization"))
    );
}

#[tokio::test]
async fn without_the_opt_in_an_operation_is_a_span_like_any_other() {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let system = tree().await;
    let to = endpoint(&collector.url).content(regrow::otlp::Content::Sent);
    let export = export(&system, to, [Signal::Traces]).unwrap();
    let agent = Agent::new(system.telemetry().clone(), subject(&system));
    let mut chat = agent.chat("openai", "gpt-5");
    chat.input(|| unreachable!("in words of ours nothing that is said is sent"));
    chat.finish();
    export.shutdown().await.unwrap();
    let received = collector.received();
    let [span] = &received.spans[..] else {
        panic!("{:?}", received.spans)
    };
    assert_eq!(span.name, "regrow.genai.operation");
    assert_eq!(conventional(span), BTreeMap::new());
    let ours = given(&span.attributes);
    assert_eq!(ours["regrow.model"], any(string("gpt-5")));
}

#[tokio::test]
async fn each_kind_of_operation_has_its_name_and_each_failure_a_type() {
    let collector = Collector::start(|_, _| Answer::Taken).await;
    let system = tree().await;
    let to = endpoint(&collector.url).genai(GenAiWords::LatestExperimental);
    let export = export(&system, to, [Signal::Traces]).unwrap();
    let agent = Agent::new(system.telemetry().clone(), subject(&system));
    let mut workflow = agent.begin(Kind::InvokeWorkflow);
    workflow.workflow("review");
    workflow.finish();
    agent.begin(Kind::Plan).finish();
    agent.begin(Kind::CreateAgent).finish();
    agent
        .begin(Kind::Embeddings)
        .fail("429", "too many requests");
    drop(agent.tool("search"));
    export.shutdown().await.unwrap();
    let received = collector.received();
    let seen = received.spans.iter().map(|span| {
        let attributes = given(&span.attributes);
        let error = attributes.get("error.type").cloned().flatten();
        (&*span.name, span.kind(), error)
    });
    let wanted = [
        ("invoke_workflow review", SpanKind::Internal, None),
        ("plan", SpanKind::Internal, None),
        ("create_agent root", SpanKind::Client, None),
        ("embeddings", SpanKind::Client, any(string("429"))),
        ("execute_tool search", SpanKind::Internal, None),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), wanted);
}
