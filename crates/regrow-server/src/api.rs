//! The HTTP API: what regrow tells of itself, and what it lets be done.

mod agents;
mod breakers;
mod health;
mod logs;
mod params;
mod pools;
mod send;
mod wait;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::watch;

use self::params::Params;
use crate::daemon::Roster;
use crate::wire::{Info, Problem};

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// The agents.
    pub(crate) roster: Arc<Roster>,
    /// What the daemon says of itself; the phase is filled in when asked.
    pub(crate) about: Arc<Info>,
    /// Turned to true, it stops the daemon.
    pub(crate) down: watch::Sender<bool>,
    /// True when the agents are gone: whoever follows something is sent home.
    pub(crate) ended: watch::Receiver<bool>,
}

/// All addresses of the API.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/supervisor/status", get(agents::status))
        .route("/supervisor/spawn", post(agents::spawn))
        .route("/supervisor/stop/{id}", post(agents::stop))
        .route("/supervisor/restart/{id}", post(agents::restart))
        .route("/supervisor/health", get(health::broadcast))
        .route("/v1/info", get(info))
        .route("/v1/agents", get(agents::status).post(agents::spawn))
        .route("/v1/agents/{id}", get(agents::one))
        .route("/v1/agents/{id}/start", post(agents::start))
        .route("/v1/agents/{id}/stop", post(agents::stop))
        .route("/v1/agents/{id}/restart", post(agents::restart))
        .route("/v1/agents/{id}/send", post(send::send))
        .route("/v1/agents/{id}/pause", post(agents::pause))
        .route("/v1/agents/{id}/resume", post(agents::resume))
        .route("/v1/agents/{id}/signal", post(agents::signal))
        .route("/v1/agents/{id}/logs", get(logs::of_one))
        .route("/v1/agents/{id}/tree", get(agents::tree))
        .route("/v1/breakers", get(breakers::all))
        .route("/v1/breakers/{id}", get(breakers::one))
        .route("/v1/breakers/{id}/open", post(breakers::open))
        .route("/v1/breakers/{id}/close", post(breakers::close))
        .route("/v1/breakers/{id}/reset", post(breakers::reset))
        .route("/v1/pools", get(pools::all))
        .route("/v1/pools/{id}", get(pools::one))
        .route("/v1/pools/{id}/scale", post(pools::scale))
        .route("/v1/logs", get(logs::of_many))
        .route("/v1/wait", get(wait::wait))
        .route("/v1/down", post(down))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/startupz", get(health::startupz))
        .route("/health", get(health::tree))
        .route("/metrics", get(health::metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

async fn info(State(api): State<Api>, uri: Uri) -> Result<Json<Info>, Box<Problem>> {
    Params::of(&uri, &[])?;
    let mut info = Info::clone(&api.about);
    info.phase = api.roster.phase();
    info.figures = api.roster.sampling();
    Ok(Json(info))
}

async fn down(State(api): State<Api>, uri: Uri) -> Result<(StatusCode, Json<Info>), Box<Problem>> {
    Params::of(&uri, &[])?;
    // Nothing is begun from here on, even if the end itself begins a moment later.
    api.roster.drain();
    api.down.send_replace(true);
    let mut info = Info::clone(&api.about);
    info.phase = api.roster.phase();
    Ok((StatusCode::ACCEPTED, Json(info)))
}

async fn no_such_path(uri: Uri) -> Box<Problem> {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        format!("there is nothing at {}", uri.path()),
    )
    .hint("agents are at /agents/{id}/, their state at /supervisor/status")
}

async fn wrong_method(method: Method, uri: Uri) -> Box<Problem> {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not take {method}", uri.path()),
    )
    .hint("what is read takes GET, what changes something takes POST")
}

/// The id in a path, of an agent that there is.
fn known_id(api: &Api, Path(id): Path<String>) -> Result<String, Box<Problem>> {
    if api.roster.has(&id) {
        Ok(id)
    } else {
        Err(no_such_agent(&id))
    }
}

fn no_such_agent(id: &str) -> Box<Problem> {
    Problem::new(
        StatusCode::NOT_FOUND,
        "agent_not_found",
        format!("there is no agent {id:?}"),
    )
    .hint("see which there are: regrow ps")
}
