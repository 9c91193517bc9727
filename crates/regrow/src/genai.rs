//! What an agent asks of models and tools, as spans that know how many tokens it took.
//!
//! An [`Operation`] is begun by an [`Agent`] and ends as any [`Span`] does: [`Operation::finish`],
//! [`Operation::fail`], or dropped, which is told as cancelled. It is a part of the
//! [current](TraceContext::current) span, and what runs inside [`Operation::run`] is a part of it.
//!
//! Every operation is the event `regrow.genai.operation`. In the words of OpenTelemetry's conventions (`gen_ai.*`), which are not
//! stable yet, it is exported on request only: `otlp::Endpoint::genai`. What is said to a model or a tool, and what comes back,
//! stays where it is and is not even written down, unless somebody asks for it ([`Telemetry::capture_content`],
//! `otlp::Endpoint::content`).
//!
//! ```
//! use regrow::genai::{Agent, Usage};
//! # use regrow::{ChildKind, Phase, Telemetry, telemetry::Subject};
//! # let telemetry = Telemetry::default();
//! # let subject = Subject::new("root/planner", ChildKind::Actor, "planner", 1, Phase::Running);
//! let agent = Agent::new(telemetry, subject); // of an actor: `Agent::of(&context)` in `ChildSpec::actor_from`
//! let mut chat = agent.chat("openai", "gpt-5");
//! chat.input(|| r#"[{"role":"user","parts":[{"type":"text","content":"hello"}]}]"#.to_owned());
//! // … ask the model …
//! chat.usage(Usage { input: 12, output: 3, ..Usage::default() });
//! chat.finish_reason("stop");
//! chat.finish();
//! ```

use std::sync::Arc;

use regrow_core::Phase;

use crate::child::StartContext;
use crate::telemetry::{Edge, GenAi, Payload, Span, Subject, Telemetry};
use crate::time;
use crate::trace::{TraceContext, with_context};

/// How much of what was said is kept, in bytes; the rest is cut off.
const MAX_CONTENT: usize = 64 * 1_024;

/// How many reasons one answer may have ended for.
const MAX_REASONS: usize = 16;

/// What an agent does, in the words of OpenTelemetry's `gen_ai.operation.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A model continues a conversation.
    Chat,
    /// A model makes text, pictures, sound.
    GenerateContent,
    /// A model continues a text.
    TextCompletion,
    /// A model makes vectors.
    Embeddings,
    /// A tool runs.
    ExecuteTool,
    /// An agent is made.
    CreateAgent,
    /// An agent works on something.
    InvokeAgent,
    /// Several agents work on something.
    InvokeWorkflow,
    /// An agent decides what to do next.
    Plan,
}

impl Kind {
    /// The word in events, and in `gen_ai.operation.name`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::GenerateContent => "generate_content",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::ExecuteTool => "execute_tool",
            Self::CreateAgent => "create_agent",
            Self::InvokeAgent => "invoke_agent",
            Self::InvokeWorkflow => "invoke_workflow",
            Self::Plan => "plan",
        }
    }
}

/// How many tokens an operation took. What is not known is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of what was asked.
    pub input: u32,
    /// Of what was answered.
    pub output: u32,
    /// Of what was asked, those that the provider had kept from before.
    pub cached_input: u32,
    /// Of what was answered, those that the model needed to think.
    pub reasoning_output: u32,
}

/// Who uses models and tools. Cloning costs two reference counts.
#[derive(Clone, Debug)]
pub struct Agent {
    telemetry: Telemetry,
    subject: Subject,
}

/// A use of a model or a tool that is under way.
#[derive(Debug)]
#[must_use = "an operation that is dropped at once is told as cancelled"]
pub struct Operation {
    span: Span,
    telemetry: Telemetry,
}

impl Agent {
    /// One life of a child, from [`ChildSpec::actor_from`](crate::ChildSpec::actor_from) or
    /// [`ChildSpec::start_with`](crate::ChildSpec::start_with).
    #[must_use]
    pub fn of(context: &StartContext) -> Self {
        let subject = Subject {
            phase: Phase::Running,
            ..context.subject.clone()
        };
        Self::new(context.telemetry().clone(), subject)
    }

    /// Anybody, who tells it to any event stream.
    #[must_use]
    pub fn new(telemetry: Telemetry, subject: Subject) -> Self {
        Self { telemetry, subject }
    }

    /// Asks a model to continue a conversation; `provider` is one of OpenTelemetry's words, such as `openai` or `anthropic`.
    pub fn chat(&self, provider: &str, model: &str) -> Operation {
        let mut chat = self.begin(Kind::Chat);
        chat.model(provider, model);
        chat
    }

    /// Runs a tool.
    pub fn tool(&self, name: &str) -> Operation {
        let mut tool = self.begin(Kind::ExecuteTool);
        tool.set(|told| told.tool = shared(name));
        tool
    }

    /// Works on something, with models and tools inside [`Operation::run`].
    pub fn invoke(&self) -> Operation {
        self.begin(Kind::InvokeAgent)
    }

    /// Anything else.
    pub fn begin(&self, kind: Kind) -> Operation {
        let payload = Payload::GenAiOperation {
            edge: Edge::Start,
            told: Box::new(GenAi::new(kind)),
        };
        let subject = self.subject.clone();
        let span = match TraceContext::current() {
            Some(parent) => self.telemetry.span_in(parent, subject, payload),
            None => self.telemetry.span_since(time::now(), subject, payload),
        };
        Operation {
            span,
            telemetry: self.telemetry.clone(),
        }
    }
}

impl Operation {
    /// Its span, for a request to the model, say.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        self.span.context()
    }

    /// Runs a future whose spans are parts of this one.
    pub async fn run<T>(&self, future: impl Future<Output = T>) -> T {
        with_context(self.context(), future).await
    }

    /// Who is asked.
    pub fn model(&mut self, provider: &str, model: &str) {
        self.set(|told| {
            told.provider = shared(provider);
            told.model = shared(model);
        });
    }

    /// The workflow that is run.
    pub fn workflow(&mut self, name: &str) {
        self.set(|told| told.workflow = shared(name));
    }

    /// The id by which the model asked for this use of a tool.
    pub fn tool_call(&mut self, id: &str) {
        self.set(|told| told.tool_call = shared(id));
    }

    /// The conversation that it is a part of.
    pub fn conversation(&mut self, id: &str) {
        self.set(|told| told.conversation = shared(id));
    }

    /// Who has answered: the model by the name that it gives itself, and the answer's id.
    pub fn response(&mut self, model: &str, id: &str) {
        self.set(|told| {
            told.response_model = shared(model);
            told.response_id = shared(id);
        });
    }

    /// How many tokens it took.
    pub fn usage(&mut self, usage: Usage) {
        let known = |count: u32| (count > 0).then_some(count);
        self.set(|told| {
            told.input_tokens = Some(usage.input);
            told.output_tokens = Some(usage.output);
            told.cached_input_tokens = known(usage.cached_input);
            told.reasoning_output_tokens = known(usage.reasoning_output);
        });
    }

    /// Why the model stopped: `stop`, `length`, `tool_calls`. One for each answer; at most 16 are kept.
    pub fn finish_reason(&mut self, reason: &str) {
        self.set(|told| {
            if told.finish_reasons.len() < MAX_REASONS {
                told.finish_reasons.push(reason.into());
            }
        });
    }

    /// What was said: the messages, or the arguments of a tool, as JSON by OpenTelemetry's schemas. Not called unless somebody
    /// has asked for content; cut off after 64 KiB.
    pub fn input(&mut self, content: impl FnOnce() -> String) {
        if self.telemetry.is_content_captured() {
            let content = cut(content());
            self.set(|told| told.input = Some(content));
        }
    }

    /// What came back: the messages, or the result of a tool. Like [`Operation::input`].
    pub fn output(&mut self, content: impl FnOnce() -> String) {
        if self.telemetry.is_content_captured() {
            let content = cut(content());
            self.set(|told| told.output = Some(content));
        }
    }

    /// It has ended as it should.
    pub fn finish(self) {
        self.span.stop();
    }

    /// It has failed. `error_type` is a word with few values, such as `timeout` or the status of an answer; `reason` is for
    /// people.
    pub fn fail(mut self, error_type: &str, reason: &str) {
        self.set(|told| told.error_type = shared(error_type));
        self.span.exception(reason);
    }

    fn set(&mut self, change: impl FnOnce(&mut GenAi)) {
        if let Payload::GenAiOperation { told, .. } = self.span.payload() {
            change(told);
        }
    }
}

fn shared(text: &str) -> Option<Arc<str>> {
    Some(text.into())
}

fn cut(mut content: String) -> Arc<str> {
    content.truncate(content.floor_char_boundary(MAX_CONTENT));
    content.into()
}

#[cfg(test)]
mod tests;
