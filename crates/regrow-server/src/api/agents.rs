//! Agents: to see, to spawn, to start, to stop.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use regrow::OperateError;
use regrow::trace::with_current_context;
use regrow_process::{Signal, SignalError, SignalTo};
use serde::de::DeserializeOwned;

use super::params::Params;
use super::{Api, known_id, no_such_agent};
use crate::daemon::{RosterError, Verb};
use crate::wire::{Agent, Problem, SignalRequest, SignalTarget, SpawnRequest, Status, Tree};

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The time for a whole body.
const BODY_TIME: Duration = Duration::from_secs(10);

type Outcome<T> = Result<T, Box<Problem>>;

pub(super) async fn status(State(api): State<Api>, uri: Uri) -> Outcome<Json<Status>> {
    let query = Params::of(&uri, &["query"])?.agents("query")?;
    let agents = api.roster.find(&query).await;
    Ok(Json(Status { agents }))
}

pub(super) async fn one(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Json<Agent>> {
    Params::of(&uri, &[])?;
    let id = known_id(&api, path)?;
    let agent = api.roster.one(&id).await;
    agent.map(Json).ok_or_else(|| no_such_agent(&id))
}

pub(super) async fn tree(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Json<Tree>> {
    Params::of(&uri, &[])?;
    let id = known_id(&api, path)?;
    let processes = api.roster.tree(&id).await.map_err(|error| {
        let detail = format!("the processes of agent {id:?} cannot be looked at: {error}");
        Problem::new(StatusCode::NOT_IMPLEMENTED, "no_figures", detail)
            .hint("see what works on this machine: regrow doctor")
    })?;
    Ok(Json(Tree { processes }))
}

pub(super) async fn spawn(State(api): State<Api>, uri: Uri, body: Body) -> Outcome<Response> {
    Params::of(&uri, &[])?;
    const HINT: &str = "send {\"agent_id\": \"…\", \"command\": \"…\", \"args\": [\"…\"], \"type\": \"…\", \
         \"tags\": [\"…\"], \"env_vars\": {\"NAME\": \"value\"}}";
    let request: SpawnRequest = read_body(&whole(body).await?, HINT)?;
    // The agent is not left half-spawned when the client goes away meanwhile.
    let roster = std::sync::Arc::clone(&api.roster);
    let spawned = tokio::spawn(with_current_context(
        async move { roster.spawn(&request).await },
    ))
    .await;
    let agent = finished(spawned)?;
    let location = HeaderValue::try_from(format!("/v1/agents/{}", agent.id));
    let mut response = (StatusCode::CREATED, Json(agent)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn start(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Response> {
    operate(api, path, uri, Verb::Start).await
}

pub(super) async fn stop(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Response> {
    operate(api, path, uri, Verb::Stop).await
}

pub(super) async fn restart(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Response> {
    operate(api, path, uri, Verb::Restart).await
}

pub(super) async fn pause(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Response> {
    operate(api, path, uri, Verb::Pause).await
}

pub(super) async fn resume(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
) -> Outcome<Response> {
    operate(api, path, uri, Verb::Resume).await
}

pub(super) async fn signal(
    State(api): State<Api>,
    path: Path<String>,
    uri: Uri,
    body: Body,
) -> Outcome<Json<Agent>> {
    const HINT: &str = "send {\"signal\": \"HUP\"}, and \"to\": \"leader\" where only the process itself is to get it";
    Params::of(&uri, &[])?;
    let id = known_id(&api, path)?;
    let request: SignalRequest = read_body(&whole(body).await?, HINT)?;
    let signal = request.signal.parse::<Signal>().map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown_signal",
            error.to_string(),
        )
    })?;
    let to = match request.to {
        SignalTarget::Group => SignalTo::Group,
        SignalTarget::Leader => SignalTo::Leader,
    };
    Ok(Json(api.roster.signal(&id, signal, to).await?))
}

/// Does it beside the request, and waits for it only as long as was asked for.
async fn operate(api: Api, path: Path<String>, uri: Uri, verb: Verb) -> Outcome<Response> {
    let wait = Params::of(&uri, &["wait"])?.duration("wait")?;
    let id = known_id(&api, path)?;
    let permit = api.roster.begin(&id, verb)?;
    let roster = std::sync::Arc::clone(&api.roster);
    let done = tokio::spawn(with_current_context(
        async move { roster.operate(permit).await },
    ));
    let Some(wait) = wait else {
        // The answer tells how far it has come by now.
        let agent = api
            .roster
            .one(&id)
            .await
            .ok_or_else(|| no_such_agent(&id))?;
        return Ok((StatusCode::ACCEPTED, Json(agent)).into_response());
    };
    match tokio::time::timeout(wait, done).await {
        Ok(done) => Ok((StatusCode::OK, Json(finished(done)?)).into_response()),
        Err(_) => Err(too_slow(&api, &id, verb, wait).await),
    }
}

async fn too_slow(api: &Api, id: &str, verb: Verb, wait: Duration) -> Box<Problem> {
    let phase = api
        .roster
        .one(id)
        .await
        .map_or_else(|| "gone".to_owned(), |agent| agent.phase);
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "wait_timeout",
        format!(
            "agent {id:?} is {phase} after {} ms: its {} is not done",
            wait.as_millis(),
            verb.as_str()
        ),
    )
    .hint("it goes on; wait longer, or look: regrow ps")
}

fn finished<T>(outcome: Result<Result<T, RosterError>, tokio::task::JoinError>) -> Outcome<T> {
    match outcome {
        Ok(outcome) => outcome.map_err(Box::from),
        Err(error) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("regrow itself failed: {error}"),
        )),
    }
}

/// The whole body, if it is not too large and comes in time.
pub(super) async fn whole(body: Body) -> Outcome<Bytes> {
    let collected = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body has more than {MAX_BODY_BYTES} bytes"),
        )),
        Ok(Err(error)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "body_unread",
            format!("the body broke off: {error}"),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("the body did not come within {} s", BODY_TIME.as_secs()),
        )),
    }
}

/// The body as JSON; `hint` says what it should be.
pub(super) fn read_body<T: DeserializeOwned>(body: &[u8], hint: &str) -> Outcome<T> {
    let refuse = |status, code, error: &serde_json::Error| {
        Problem::new(status, code, format!("the body is wrong: {error}")).hint(hint)
    };
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_body", &error)
        }
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => refuse(StatusCode::BAD_REQUEST, "bad_json", &error),
    })
}

/// Why no signal was sent, in the words of the API.
fn not_signalled(error: &SignalError) -> (StatusCode, &'static str, &'static str) {
    match error {
        SignalError::Reserved { .. } => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "signal_reserved",
            "hold it with regrow pause, let it go on with regrow resume",
        ),
        SignalError::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "try again when some are done",
        ),
        // More reasons may come with time.
        SignalError::NotRunning | SignalError::Refused(_) | _ => (
            StatusCode::CONFLICT,
            "agent_not_running",
            "see what it does: regrow ps",
        ),
    }
}

impl From<RosterError> for Box<Problem> {
    fn from(error: RosterError) -> Self {
        let of_pool: String;
        let conflict = |code, hint| (StatusCode::CONFLICT, code, hint);
        let (status, code, hint) = match &error {
            RosterError::NotFound { .. } => (
                StatusCode::NOT_FOUND,
                "agent_not_found",
                "see which there are: regrow ps",
            ),
            RosterError::IdInUse { .. } | RosterError::IdOfAnother { .. } => {
                conflict("agent_id_in_use", "choose another agent_id")
            }
            RosterError::Full { .. } | RosterError::FullOfWorkers { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_agents",
                "raise limits.max_agents in the config file",
            ),
            RosterError::OfPool { id, pool } => {
                of_pool = format!(
                    "for fewer workers: regrow scale {pool} N; for a fresh one: regrow restart {id}"
                );
                conflict("worker_of_pool", &of_pool)
            }
            RosterError::Packages => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "packages_not_supported",
                "send command and args",
            ),
            RosterError::SameVariable { .. } => {
                conflict("port_variable_in_use", "choose another agent_id")
            }
            RosterError::Invalid { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad_agent",
                "correct the fields that are named",
            ),
            RosterError::Ports(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ports_exhausted",
                "make `ports` in the config file wider",
            ),
            RosterError::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "try again when some are done",
            ),
            RosterError::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "start regrow again: regrow up",
            ),
            RosterError::NotDone {
                source: OperateError::DidNotStart { .. },
                ..
            } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "agent_did_not_start",
                "see what it says: regrow logs",
            ),
            RosterError::NotDone {
                source: OperateError::NotUp { .. },
                ..
            } => conflict("agent_not_up", "see what it does: regrow ps"),
            RosterError::NotSignalled { source, .. } => not_signalled(source),
            RosterError::NotDone { .. } => conflict("not_done", "see why: regrow ps, regrow logs"),
        };
        Problem::new(status, code, error.to_string()).hint(hint)
    }
}
