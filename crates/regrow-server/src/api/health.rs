//! The addresses that others look at: is it alive, may it be given work, what is the matter.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{StatusCode, Uri};

use super::Api;
use super::params::{Flag, Params};
use crate::health::{Brief, Text, Verbose, answer, of_the_whole, readiness, startup};
use crate::wire::{Health, Now, Problem};

/// How long supervisors are waited for, who know in words why something is so. Then it is told without these words.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn livez(uri: Uri) -> Result<Text, Box<Problem>> {
    Params::of(&uri, &["verbose"])?;
    Ok((StatusCode::OK, "ok\n".to_owned()))
}

pub(super) async fn startupz(State(api): State<Api>, uri: Uri) -> Result<Text, Box<Problem>> {
    let params = Params::of(&uri, &["verbose"])?;
    Ok(answer(&startup(api.roster.phase()), verbose(&params)?))
}

pub(super) async fn readyz(State(api): State<Api>, uri: Uri) -> Result<Text, Box<Problem>> {
    let params = Params::of(&uri, &["verbose"])?;
    let checks = readiness(
        api.roster.phase(),
        &briefs(&api).await,
        &api.roster.pool_health(),
    );
    Ok(answer(&checks, verbose(&params)?))
}

pub(super) async fn tree(State(api): State<Api>, uri: Uri) -> Result<Json<Health>, Box<Problem>> {
    Params::of(&uri, &["verbose"])?;
    Ok(Json(of_the_whole(
        briefs(&api).await,
        api.roster.pool_health(),
    )))
}

/// The same, with what each agent answers when it is asked now.
pub(super) async fn broadcast(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<Health>, Box<Problem>> {
    Params::of(&uri, &["verbose"])?;
    let found = api.roster.ask_all().await;
    let mut health = of_the_whole(briefs(&api).await, api.roster.pool_health());
    for (id, agent) in &mut health.agents {
        let of_agent = found.get(id);
        for probe in &mut agent.probes {
            let answer = of_agent.and_then(|found| found.get(&probe.name));
            probe.now = answer.map(|found| Now {
                result: found.result.as_str().to_owned(),
                why: (!found.cause.is_empty()).then(|| found.cause.to_string()),
            });
        }
    }
    Ok(Json(health))
}

pub(super) async fn metrics(
    State(api): State<Api>,
    uri: Uri,
) -> Result<([(HeaderName, &'static str); 1], String), Box<Problem>> {
    Params::of(&uri, &[])?;
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    // Many series take long: not on a worker of the runtime.
    let rendered = tokio::task::spawn_blocking(move || api.roster.metrics()).await;
    rendered.map(|text| (kind, text)).map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the metrics could not be written: {error}"),
        )
    })
}

fn verbose(params: &Params) -> Result<Verbose, Box<Problem>> {
    Ok(match params.flag("verbose")? {
        Flag::On => Verbose::On,
        Flag::Off => Verbose::Off,
    })
}

/// How the agents are, by what their supervisors know, or where these do not answer by what they have written.
async fn briefs(api: &Api) -> Vec<Brief> {
    match tokio::time::timeout(PATIENCE, api.roster.all()).await {
        Ok(agents) => agents.iter().map(Brief::from).collect(),
        Err(_) => api.roster.glance(),
    }
}
