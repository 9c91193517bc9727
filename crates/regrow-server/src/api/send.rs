//! What is said to agents: bytes or a line for their standard input.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{StatusCode, Uri};
use regrow_process::StdinError;

use super::agents::whole;
use super::params::{Flag, Params};
use super::{Api, known_id, no_such_agent};
use crate::daemon::Roster;
use crate::wire::{Problem, SendRequest, Sent};

/// How long the agent has to read it, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn send(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Sent>, Box<Problem>> {
    let params = Params::of(&uri, &["timeout", "generation", "eof"])?;
    let within = params.duration("timeout")?.unwrap_or(PATIENCE);
    let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let generation = params.number("generation", most)?;
    let eof = params.flag("eof")?;
    let id = known_id(&api, path)?;
    // The place before the body: what waits for agents that do not read is bounded.
    let _place = api.roster.room_to_send().ok_or_else(too_many)?;
    let message = message(&headers, &whole(body).await?)?;
    let stdin = api.roster.stdin(&id).ok_or_else(|| no_such_agent(&id))?;
    let mut stdin = stdin.within(within);
    if let Some(generation) = generation.and_then(|number| u32::try_from(number).ok()) {
        stdin = stdin.generation(generation);
    }
    let bytes = message.len();
    let refused = |error| refusal(&id, &error);
    let generation = stdin.write(message).await.map_err(refused)?;
    match eof {
        Flag::Off => {}
        Flag::On => {
            // The end is for the life that got the message.
            let same = stdin.generation(generation);
            same.close().await.map_err(refused)?;
        }
    }
    Ok(Json(Sent {
        agent: id,
        generation,
        bytes,
    }))
}

/// A body of JSON holds a line; any other is what to write.
fn message(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Box<Problem>> {
    let json = headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next();
        kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json"))
    });
    if !json {
        return Ok(body.to_vec());
    }
    let bad = |status, code, what: String| {
        Problem::new(status, code, format!("the body is wrong: {what}"))
            .hint("send {\"line\": \"…\"}, or the bytes themselves as application/octet-stream")
    };
    let SendRequest { line } = serde_json::from_slice(body)
        .map_err(|error| bad(StatusCode::BAD_REQUEST, "bad_json", error.to_string()))?;
    if line.contains('\n') {
        let what = StdinError::NotALine.to_string();
        return Err(bad(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", what));
    }
    Ok((line + "\n").into_bytes())
}

fn too_many() -> Box<Problem> {
    let detail = format!(
        "{} messages wait for agents to read already",
        Roster::MAX_SENDERS
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_messages", detail)
        .hint("try again when some were read")
}

fn refusal(id: &str, error: &StdinError) -> Box<Problem> {
    let (status, code, hint) = match error {
        StdinError::NotRunning => (
            StatusCode::CONFLICT,
            "agent_not_running",
            "see how it is: regrow ps",
        ),
        StdinError::Null => (
            StatusCode::CONFLICT,
            "stdin_null",
            "write stdin: pipe for it in the config file",
        ),
        StdinError::Closed => (
            StatusCode::CONFLICT,
            "stdin_closed",
            "its next life has a new one: regrow restart",
        ),
        StdinError::Stopping => (
            StatusCode::CONFLICT,
            "agent_stopping",
            "see how it is: regrow ps",
        ),
        StdinError::OtherLife { .. } => (
            StatusCode::PRECONDITION_FAILED,
            "other_generation",
            "look at the agent again, or leave `generation` out",
        ),
        StdinError::Full { .. } => (
            StatusCode::GATEWAY_TIMEOUT,
            "stdin_full",
            "try again, or wait longer with `timeout`",
        ),
        StdinError::Unfinished { .. } => (
            StatusCode::GATEWAY_TIMEOUT,
            "stdin_unfinished",
            "do not send it again: the agent gets all of it if it reads on",
        ),
        StdinError::NotALine | _ => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_body",
            "send one line, or the bytes themselves",
        ),
    };
    Problem::new(status, code, format!("agent {id:?}: {error}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(kind: Option<&'static str>, body: &str) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        headers.extend(kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))));
        message(&headers, body.as_bytes())
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .map_err(|problem| problem.status)
    }

    #[test]
    fn json_is_a_line_and_anything_else_is_what_to_write() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(of(None, "{\"line\":1}"), Ok("{\"line\":1}".to_owned()));
        assert_eq!(of(Some("text/plain"), "a\nb"), Ok("a\nb".to_owned()));
        assert_eq!(of(json, r#"{"line":"a\tb"}"#), Ok("a\tb\n".to_owned()));
        assert_eq!(of(json, r#"{"line":"a\nb"}"#), Err(422));
        assert_eq!(of(json, r#"{"line":"a","more":1}"#), Err(400));
        assert_eq!(of(json, "a"), Err(400));
    }
}
