//! What an HTTP endpoint answers.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::USER_AGENT;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use regrow_core::probe::CheckResult;
use tokio::task::JoinSet;

use super::{CheckAddress, InvalidCheck, TIMEOUT, within};

/// So many redirects are followed; Kubernetes' number.
const REDIRECTS: usize = 10;

/// So much of the body is read; Kubernetes' number.
const BODY: usize = 10 * 1024;

/// Asks an HTTP endpoint by `GET`. An answer of 200 to 399 is well, as with Kubernetes.
///
/// Redirects are followed on the same host, up to ten. One that leads elsewhere, and an eleventh, are a
/// [warning](regrow_core::probe::ProbeResult::Warning): somebody answers, and it is not known whether well. Each run has a connection of
/// its own.
///
/// ```
/// use regrow_process::{CheckAddress, HttpCheck};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let by_port = HttpCheck::new("http://127.0.0.1:8080/healthz")?;
/// let by_socket = HttpCheck::over_socket("/run/agent.sock", "/healthz")?.header("authorization", "Bearer s3cret")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HttpCheck {
    address: CheckAddress,
    /// What the header `Host` says.
    authority: String,
    /// Path and query.
    target: String,
    headers: HeaderMap,
    timeout: Duration,
}

impl std::fmt::Debug for HttpCheck {
    /// Without headers and query, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpCheck")
            .field("address", &self.address)
            .field("path", &path_of(&self.target))
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl HttpCheck {
    /// Asks this URL, within 1 s.
    ///
    /// # Errors
    /// When it is none, or not one of `http`.
    pub fn new(url: &str) -> Result<Self, InvalidCheck> {
        let invalid = || InvalidCheck::Url(shown(url));
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        if uri.scheme_str() == Some("https") {
            return Err(InvalidCheck::Tls(shown(url)));
        }
        let authority = uri.authority().filter(|authority| {
            uri.scheme_str() == Some("http") && !authority.as_str().contains('@')
        });
        let authority = authority.ok_or_else(invalid)?;
        Ok(Self {
            address: address_of(authority.host(), authority.port_u16()),
            authority: authority.to_string(),
            target: target_of(&uri),
            headers: HeaderMap::new(),
            timeout: TIMEOUT,
        })
    }

    /// Asks for `target`, a path with or without a query, over a Unix socket.
    ///
    /// # Errors
    /// When it is no path.
    pub fn over_socket(socket: impl Into<PathBuf>, target: &str) -> Result<Self, InvalidCheck> {
        let invalid = || InvalidCheck::Url(shown(target));
        let uri: Uri = target.parse().map_err(|_| invalid())?;
        if !target.starts_with('/') || uri.authority().is_some() {
            return Err(invalid());
        }
        Ok(Self {
            address: CheckAddress::Unix(socket.into()),
            authority: "localhost".to_owned(),
            target: target_of(&uri),
            headers: HeaderMap::new(),
            timeout: TIMEOUT,
        })
    }

    /// Sends this header too. It is never shown.
    ///
    /// # Errors
    /// When HTTP does not allow its name or its value.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidCheck> {
        let invalid = || InvalidCheck::Header(name.to_owned());
        let key = HeaderName::try_from(name).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        self.headers.insert(key, value);
        Ok(self)
    }

    /// How long all of it may take, redirects included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same, asked there.
    #[must_use]
    pub fn at(&self, address: CheckAddress) -> Self {
        let authority = match &address {
            CheckAddress::Tcp(address) => address.clone(),
            CheckAddress::Unix(_) => "localhost".to_owned(),
        };
        Self {
            address,
            authority,
            ..self.clone()
        }
    }

    /// Asks once.
    pub async fn run(&self) -> CheckResult {
        within(self.timeout, &self.address, self.ask()).await
    }

    async fn ask(&self) -> CheckResult {
        let (mut address, mut authority) = (self.address.clone(), self.authority.clone());
        let mut target = self.target.clone();
        for _ in 0..=REDIRECTS {
            let answer = match self.get(&address, &authority, &target).await {
                Ok(answer) => answer,
                Err(result) => return result,
            };
            let path = path_of(&target).to_owned();
            let next = match answer {
                Answer::Status(status) if status.as_u16() < 400 => return CheckResult::success(),
                Answer::Status(status) => {
                    return CheckResult::failure(format!(
                        "GET {path} at {address} answered {status}"
                    ));
                }
                Answer::Redirect(location) => self.follow(&authority, &target, &location),
            };
            let Some(next) = next else {
                return CheckResult::warning(format!(
                    "GET {path} at {address} was redirected to where it is not followed"
                ));
            };
            (address, authority, target) = next;
        }
        CheckResult::warning(format!(
            "GET {} at {} was redirected more than {REDIRECTS} times",
            path_of(&self.target),
            self.address
        ))
    }

    async fn get(
        &self,
        address: &CheckAddress,
        authority: &str,
        target: &str,
    ) -> Result<Answer, CheckResult> {
        let broken = |error: hyper::Error| {
            CheckResult::failure(format!("the answer of {address} broke off: {error}"))
        };
        let stream = TokioIo::new(address.connect().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
        // Dropped with it, whenever nobody waits any more.
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        let request = self.request(authority, target);
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if let Some(location) = location_of(&response) {
            return Ok(Answer::Redirect(location));
        }
        let mut body = response.into_body();
        let mut read = 0;
        while read < BODY
            && let Some(frame) = body.frame().await
        {
            read += frame.map_err(broken)?.data_ref().map_or(0, Bytes::len);
        }
        Ok(Answer::Status(status))
    }

    fn request(&self, authority: &str, target: &str) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        // Both come from a `Uri`, or were made of one.
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let agent = HeaderValue::from_static(concat!("regrow-probe/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Ok(host) = HeaderValue::try_from(authority) {
            headers.insert(HOST, host);
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        request
    }

    /// Where a redirect leads, if that is on the same host.
    fn follow(
        &self,
        authority: &str,
        target: &str,
        location: &str,
    ) -> Option<(CheckAddress, String, String)> {
        let uri: Uri = absolute(target, location).parse().ok()?;
        let Some(elsewhere) = uri.authority() else {
            return Some((
                self.address_at(authority),
                authority.to_owned(),
                target_of(&uri),
            ));
        };
        let host = authority.parse::<Uri>().ok()?.host()?.to_owned();
        let is_same = uri.scheme_str() == Some("http") && elsewhere.host() == host;
        is_same.then(|| {
            let authority = elsewhere.to_string();
            (self.address_at(&authority), authority, target_of(&uri))
        })
    }

    /// Where `authority` is reached: a socket has no other.
    fn address_at(&self, authority: &str) -> CheckAddress {
        match (&self.address, authority.parse::<Uri>()) {
            (CheckAddress::Tcp(_), Ok(uri)) => {
                address_of(uri.host().unwrap_or_default(), uri.port_u16())
            }
            (address, _) => address.clone(),
        }
    }
}

enum Answer {
    Status(StatusCode),
    Redirect(String),
}

fn location_of(response: &Response<Incoming>) -> Option<String> {
    let leads_on = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    let location = response.headers().get(LOCATION).filter(|_| leads_on)?;
    location.to_str().ok().map(str::to_owned)
}

fn address_of(host: &str, port: Option<u16>) -> CheckAddress {
    CheckAddress::Tcp(format!("{host}:{}", port.unwrap_or(80)))
}

fn target_of(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned()
}

/// `location`, which may be relative to the directory of `target`.
fn absolute(target: &str, location: &str) -> String {
    if location.starts_with('/') || location.contains("://") {
        return location.to_owned();
    }
    let path = path_of(target);
    if location.starts_with('?') {
        return format!("{path}{location}");
    }
    let directory = path.rfind('/').map_or("/", |at| &path[..=at]);
    format!("{directory}{location}")
}

/// Without the query, which may be secret.
fn path_of(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// A URL as an error may show it.
fn shown(url: &str) -> String {
    let url = path_of(url);
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}…{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}
