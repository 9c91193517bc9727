//! Breakers: to see, to open, to close.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::Api;
use super::params::Params;
use crate::daemon::Order;
use crate::wire::{Breaker, Breakers, Problem};

type Outcome<T> = Result<Json<T>, Box<Problem>>;

pub(super) async fn all(State(api): State<Api>, uri: Uri) -> Outcome<Breakers> {
    Params::of(&uri, &[])?;
    let breakers = api.roster.breakers().await;
    Ok(Json(Breakers { breakers }))
}

pub(super) async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Outcome<Breaker> {
    Params::of(&uri, &[])?;
    shown(&api, &id).await
}

/// For a while with `?for=`, else until it is closed.
pub(super) async fn open(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Outcome<Breaker> {
    let time = Params::of(&uri, &["for"])?.duration("for")?;
    order(&api, &id, Order::Open(time)).await
}

pub(super) async fn close(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Outcome<Breaker> {
    Params::of(&uri, &[])?;
    order(&api, &id, Order::Close).await
}

pub(super) async fn reset(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Outcome<Breaker> {
    Params::of(&uri, &[])?;
    order(&api, &id, Order::Reset).await
}

async fn order(api: &Api, id: &str, order: Order) -> Outcome<Breaker> {
    match api.roster.order(id, order) {
        Some(Ok(())) => shown(api, id).await,
        Some(Err(error)) => {
            let detail = format!(
                "breaker {id:?} cannot be opened for a while: it is held {}",
                error.from
            );
            let problem = Problem::new(StatusCode::CONFLICT, "breaker_held", detail);
            Err(problem.hint(format!("close it first: regrow breaker close {id}")))
        }
        None => Err(no_such_breaker(id)),
    }
}

async fn shown(api: &Api, id: &str) -> Outcome<Breaker> {
    let breaker = api.roster.breaker(id).await;
    breaker.map(Json).ok_or_else(|| no_such_breaker(id))
}

fn no_such_breaker(id: &str) -> Box<Problem> {
    let detail = format!("there is no breaker {id:?}");
    Problem::new(StatusCode::NOT_FOUND, "breaker_not_found", detail)
        .hint("see which there are: regrow breaker ls")
}
