//! Refusals and failures as answers: RFC 9457, `application/problem+json`.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use crate::wire::{Problem, WaitReport};

impl Problem {
    /// A problem with a status, a code that stays the same, and what happened.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            type_uri: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Failure").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            hint: None,
            column: None,
            wait: None,
        })
    }

    /// There is no such pool among these.
    pub(crate) fn no_such_pool(id: &str, pools: &[String]) -> Box<Self> {
        let near = regrow_core::nearest(id, pools.iter().map(String::as_str));
        let detail = format!("there is no pool {id:?}");
        let problem = Self::new(StatusCode::NOT_FOUND, "pool_not_found", detail);
        match near {
            Some(near) => problem.hint(format!("did you mean {near:?}?")),
            None => problem.hint("see which there are: regrow pool ls"),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Adds in which column a query is wrong.
    #[must_use]
    pub(crate) fn at_column(mut self: Box<Self>, column: usize) -> Box<Self> {
        self.column = Some(column);
        self
    }

    /// Adds who is still on the way.
    #[must_use]
    pub(crate) fn waiting(mut self: Box<Self>, report: WaitReport) -> Box<Self> {
        self.wait = Some(report);
        self
    }

    /// Answers with this problem, and with the number of seconds after which to ask again.
    pub(crate) fn with_retry_after(self: Box<Self>, seconds: u64) -> Response<Body> {
        let mut response = self.into_response();
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
        response
    }
}

impl IntoResponse for Box<Problem> {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("a problem holds only text and numbers");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"regrow\""),
            );
        }
        response
    }
}
