//! What is told of a request to the daemon.

use regrow::Telemetry;
use regrow::telemetry::{Edge, Payload, Span, Subject};
use regrow::trace::TraceContext;
use regrow_core::{ChildKind, Phase};

use super::child;

/// The span of a request to the daemon.
pub(crate) fn asked(
    telemetry: &Telemetry,
    route: &'static str,
    method: &'static str,
    parent: Option<TraceContext>,
) -> Span {
    let kind = ChildKind::Supervisor;
    let subject = Subject::new(child::ROOT, kind, child::ROOT, 1, Phase::Running);
    let payload = Payload::HttpRequest {
        edge: Edge::Start,
        route,
        method,
        status: None,
    };
    match parent {
        Some(parent) => telemetry.span_in(parent, subject, payload),
        None => telemetry.span(subject, payload),
    }
}
