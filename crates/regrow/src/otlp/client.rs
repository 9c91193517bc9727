//! One request to the collector and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client as Http, Error as HttpError, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use thiserror::Error;

use super::{Endpoint, ExportError, Signal};

/// How much of an answer is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends one signal.
pub(super) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    pub(super) signal: Signal,
}

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("no connection, or it broke: {0}")]
    Connection(#[from] HttpError),
    #[error("the answer is {status}")]
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
}

/// Whether the same request may go better later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// No: it was understood and refused.
    Never,
    /// Yes, whenever.
    Later,
    /// Yes, but not before this.
    After(Duration),
}

impl Failure {
    pub(super) fn again(&self) -> Again {
        match self {
            Self::Timeout(_) | Self::Connection(_) => Again::Later,
            Self::Refused {
                status,
                retry_after,
            } => {
                // These four, and no others, by the protocol's specification.
                if [429, 502, 503, 504].contains(&status.as_u16()) {
                    retry_after.map_or(Again::Later, Again::After)
                } else {
                    Again::Never
                }
            }
        }
    }
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint, signal: Signal) -> Result<Self, ExportError> {
        let url = &endpoint.url;
        let uri: Uri = format!("{}/v1/{}", url.trim_end_matches('/'), signal.as_str())
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme_str() == Some("http") && uri.query().is_none())
            .ok_or_else(|| ExportError::Url { url: url.clone() })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            let invalid = || ExportError::Header {
                url: url.clone(),
                name: name.clone(),
            };
            let key = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, protobuf);
        let agent = HeaderValue::from_static(concat!("regrow/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        Ok(Self {
            http: Http::builder(TokioExecutor::new()).build_http(),
            uri,
            headers,
            signal,
        })
    }

    /// Sends a request; what the collector answers when it has taken it, which may be in part.
    pub(super) async fn post(&self, body: Bytes, patience: Duration) -> Result<Bytes, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let response = self.http.request(request).await?;
            if !response.status().is_success() {
                return Err(Failure::Refused {
                    status: response.status(),
                    retry_after: retry_after(&response),
                });
            }
            // It was taken: an answer that breaks off, or is absurdly long, does not make it untaken.
            let answer = Limited::new(response.into_body(), MAX_ANSWER).collect();
            Ok(answer.await.map(Collected::to_bytes).unwrap_or_default())
        };
        tokio::time::timeout(patience, exchange)
            .await
            .unwrap_or(Err(Failure::Timeout(patience)))
    }
}

/// The form in seconds; a date is not worth a parser.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
