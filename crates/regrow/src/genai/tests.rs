use std::sync::Mutex;

use regrow_core::ChildKind;

use super::*;
use crate::telemetry::Event;
use crate::trace::in_context;

/// An agent, and all that inline handlers see of it.
fn agent() -> (Agent, Arc<Mutex<Vec<Event>>>, Telemetry) {
    let telemetry = Telemetry::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    telemetry
        .attach("record", move |event| {
            kept.lock().unwrap().push(event.clone());
        })
        .unwrap();
    let subject = Subject::new("root/a", ChildKind::Actor, "a", 1, Phase::Running);
    (Agent::new(telemetry.clone(), subject), told, telemetry)
}

fn last(told: &Mutex<Vec<Event>>) -> Event {
    told.lock().unwrap().last().unwrap().clone()
}

fn genai(event: Event) -> GenAi {
    let Payload::GenAiOperation { told, .. } = event.payload else {
        panic!("{event:?}")
    };
    *told
}

#[test]
fn what_is_said_is_not_even_written_down_unless_somebody_asks() {
    let (agent, told, telemetry) = agent();
    let mut quiet = agent.tool("search");
    quiet.input(|| unreachable!("nobody has asked"));
    quiet.output(|| unreachable!("nobody has asked"));
    quiet.finish();
    assert_eq!(genai(last(&told)).input, None);
    let capture = telemetry.capture_content();
    let mut open = agent.tool("search");
    open.input(|| "in".to_owned());
    open.output(|| "ü".repeat(MAX_CONTENT));
    open.finish();
    let seen = genai(last(&told));
    assert_eq!(seen.input.as_deref(), Some("in"));
    assert_eq!(seen.output.unwrap().len(), MAX_CONTENT);
    drop(capture);
    agent
        .tool("search")
        .input(|| unreachable!("nobody asks any more"));
}

#[tokio::test]
async fn what_is_said_never_reaches_a_queue() {
    let (agent, _, telemetry) = agent();
    let mut queue = telemetry.subscribe(8).unwrap();
    let _capture = telemetry.capture_content();
    let mut chat = agent.chat("openai", "gpt-5");
    chat.input(|| "in".to_owned());
    chat.finish();
    drop(queue.next().await);
    let seen = genai(Event::clone(&queue.next().await.unwrap()));
    assert_eq!((seen.model.as_deref(), seen.input), (Some("gpt-5"), None));
}

#[tokio::test]
async fn an_operation_is_a_part_of_what_runs_and_what_runs_inside_is_a_part_of_it() {
    let (agent, told, _) = agent();
    let outer = TraceContext::begin();
    let invoke = in_context(outer.clone(), || agent.invoke());
    let inside = invoke.context();
    assert_eq!(inside.trace_id(), outer.trace_id());
    invoke.run(async { agent.begin(Kind::Plan).finish() }).await;
    let parent = last(&told).lineage.unwrap().parent.clone();
    assert_eq!(parent, Some(inside));
    invoke.finish();
    let parent = last(&told).lineage.unwrap().parent.clone();
    assert_eq!(parent, Some(outer));
    agent.begin(Kind::Plan).finish();
    assert_eq!(last(&told).lineage, None);
}

#[test]
fn an_operation_ends_in_one_of_three_ways() {
    let (agent, told, _) = agent();
    let name = |told: &Mutex<Vec<Event>>| last(told).name();
    let waits = agent.chat("openai", "gpt-5");
    assert_eq!(name(&told), "regrow.genai.operation.start");
    waits.finish();
    assert_eq!(name(&told), "regrow.genai.operation.stop");
    agent.tool("search").fail("timeout", "no answer within 5 s");
    assert_eq!(name(&told), "regrow.genai.operation.exception");
    assert_eq!(genai(last(&told)).error_type.as_deref(), Some("timeout"));
    drop(agent.begin(Kind::InvokeWorkflow));
    assert_eq!(name(&told), "regrow.genai.operation.cancel");
}

#[test]
fn reasons_have_a_bound_and_tokens_that_are_not_known_are_not_told() {
    let (agent, told, _) = agent();
    let mut chat = agent.chat("openai", "gpt-5");
    (0..20).for_each(|_| chat.finish_reason("stop"));
    chat.usage(Usage {
        input: 7,
        ..Usage::default()
    });
    chat.finish();
    let seen = genai(last(&told));
    assert_eq!(seen.finish_reasons.len(), MAX_REASONS);
    assert_eq!(
        (seen.input_tokens, seen.cached_input_tokens),
        (Some(7), None)
    );
}
