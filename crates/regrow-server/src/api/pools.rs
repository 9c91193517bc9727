//! Pools: to see, and to size.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::Api;
use super::agents::{read_body, whole};
use super::params::Params;
use crate::daemon::ScaleError;
use crate::wire::{Pool, Pools, Problem, ScaleRequest};

type Outcome<T> = Result<Json<T>, Box<Problem>>;

const SCALE: &str = "send {\"workers\": 4}, or {\"mode\": \"auto\"}, \"paused\" or \"observe\"";

pub(super) async fn all(State(api): State<Api>, uri: Uri) -> Outcome<Pools> {
    Params::of(&uri, &[])?;
    let pools = api.roster.pools();
    Ok(Json(Pools { pools }))
}

pub(super) async fn one(State(api): State<Api>, Path(id): Path<String>, uri: Uri) -> Outcome<Pool> {
    Params::of(&uri, &[])?;
    let pool = api.roster.pool(&id);
    pool.map(Json).ok_or_else(|| no_such_pool(&api, &id))
}

pub(super) async fn scale(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
    body: Body,
) -> Outcome<Pool> {
    Params::of(&uri, &[])?;
    let request: ScaleRequest = read_body(&whole(body).await?, SCALE)?;
    let scaled = api.roster.scale(&id, &request).await;
    scaled.map(Json).map_err(|error| {
        let detail = error.to_string();
        let (status, code, hint) = match &error {
            ScaleError::NotFound(id) => return no_such_pool(&api, id),
            ScaleError::NotYet(_) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                (status, "pool_not_ready", "try again in a moment")
            }
            ScaleError::Draining => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                (status, "draining", "start regrow again: regrow up")
            }
            ScaleError::TooMany { .. } => {
                let hint = "raise max of the pool in the config file";
                (StatusCode::UNPROCESSABLE_ENTITY, "pool_too_small", hint)
            }
            ScaleError::NotOne => (StatusCode::UNPROCESSABLE_ENTITY, "bad_body", SCALE),
        };
        Problem::new(status, code, detail).hint(hint)
    })
}

fn no_such_pool(api: &Api, id: &str) -> Box<Problem> {
    Problem::no_such_pool(id, &api.roster.pool_ids())
}
