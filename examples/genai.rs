//! What an agent asks of a model and a tool, told to Langfuse or any other collector by OTLP.
//!
//! `cargo run --example genai`, with `OTEL_EXPORTER_OTLP_ENDPOINT` (`http://127.0.0.1:4318`, if not told otherwise) and, for
//! Langfuse, `LANGFUSE_PUBLIC_KEY` and `LANGFUSE_SECRET_KEY`. What is said is sent only with
//! `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true`. The model is made up, so that this needs nobody else.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::env::var;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::genai::{Agent, Usage};
use regrow::otlp::{Endpoint, GenAiWords, Signal, export};
use regrow::{ChildSpec, Supervisor, System};

/// Answers questions about the weather.
struct Planner(Agent);

struct Question(String, RpcReplyPort<String>);

impl Actor for Planner {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Question>,
        Question(text, reply): Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let mut work = self.0.invoke();
        work.conversation("conversation-1");
        let wanted = work.run(async { self.ask(&text, "tool_calls") }).await;
        let weather = work.run(async { self.weather(&wanted) }).await;
        let answer = work.run(async { self.ask(&weather, "stop") }).await;
        work.finish();
        Ok(reply.send(answer)?)
    }
}

impl Planner {
    /// Asks the model.
    fn ask(&self, text: &str, reason: &str) -> String {
        let mut chat = self.0.chat("made.up", "model-1");
        chat.input(|| messages("user", text));
        let answer = format!("{text}, says the model");
        chat.output(|| messages("assistant", &answer));
        chat.response("model-1-2026-11", "answer-1");
        let input = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let usage = Usage {
            input,
            output: 4,
            ..Usage::default()
        };
        chat.usage(usage);
        chat.finish_reason(reason);
        chat.finish();
        answer
    }

    /// Uses the tool.
    fn weather(&self, question: &str) -> String {
        let mut tool = self.0.tool("weather");
        tool.tool_call("call-1");
        tool.input(|| format!("{{\"question\":{question:?}}}"));
        tool.output(|| r#"{"sky":"blue"}"#.to_owned());
        tool.finish();
        "blue".to_owned()
    }
}

/// By OpenTelemetry's schema.
fn messages(role: &str, text: &str) -> String {
    format!(r#"[{{"role":"{role}","parts":[{{"type":"text","content":{text:?}}}]}}]"#)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let planner = ChildSpec::actor_from("planner", |context| (Planner(Agent::of(context)), ()));
    let system = System::start(Supervisor::new("root").child(planner)).await?;
    let url = var("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or("http://127.0.0.1:4318".to_owned());
    let mut to = Endpoint::new(url, "weather").genai(GenAiWords::LatestExperimental);
    to = to.genai_as(|name| var(name).ok());
    if let (Ok(user), Ok(secret)) = (var("LANGFUSE_PUBLIC_KEY"), var("LANGFUSE_SECRET_KEY")) {
        to = to.basic_auth(&user, &secret);
    }
    let export = export(&system, to, [Signal::Traces])?;

    let planner = system.address::<Question>("root/planner")?;
    let answer = planner.call(|reply| Question("how is the sky".to_owned(), reply));
    println!("{}", answer.await?);

    drop(system.shut_down().await);
    export.shutdown().await?;
    println!("the collector has it all");
    Ok(())
}

// Output:
// blue, says the model
// the collector has it all
