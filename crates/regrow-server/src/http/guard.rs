//! Who may ask: the checks that each request passes before anything else looks at it.
//!
//! A web page that the user happens to visit can send requests to a port of this machine. The
//! check of `Host` stops the one that renamed itself to 127.0.0.1 (DNS rebinding), the check of
//! `Origin` stops the others, and what changes regrow needs a token that only this user can read.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use axum::http::{Method, StatusCode, request};
use subtle::ConstantTimeEq;

use crate::wire::Problem;

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Over TCP, from this address.
    Tcp(SocketAddr),
    /// Over the Unix socket, which only this user may open.
    Socket,
}

/// Checks the `Host`, the `Origin` and the token of requests.
pub(crate) struct Guard {
    listen: SocketAddr,
    token: String,
    state_dir: PathBuf,
}

impl Guard {
    /// A guard for the API at `listen`, with the token that opens it and the folder that holds it.
    pub(crate) fn new(listen: SocketAddr, token: String, state_dir: PathBuf) -> Self {
        Self {
            listen,
            token,
            state_dir,
        }
    }

    /// Lets the request pass, or says why not.
    pub(crate) fn check(&self, peer: Peer, request: &request::Parts) -> Result<(), Box<Problem>> {
        self.check_host(request)?;
        self.check_origin(request)?;
        if self.may_pass_without_token(peer, request) || self.has_token(&request.headers) {
            return Ok(());
        }
        let token_file = self.state_dir.join("token");
        let token_file = token_file.display();
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "token_required",
            format!(
                "{} {} changes regrow and came without its token",
                request.method,
                request.uri.path()
            ),
        )
        .hint(format!(
            "send \"Authorization: Bearer $(cat {token_file})\" or use the socket {}",
            self.state_dir.join("regrow.sock").display()
        )))
    }

    /// Whether this header value is regrow's own token, which no agent may see.
    pub(crate) fn is_own_token(&self, value: &[u8]) -> bool {
        bearer(value).is_some_and(|given| given.ct_eq(self.token.as_bytes()).into())
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(AUTHORIZATION)
            .iter()
            .any(|value| self.is_own_token(value.as_bytes()))
    }

    fn may_pass_without_token(&self, peer: Peer, request: &request::Parts) -> bool {
        match peer {
            Peer::Socket => true,
            Peer::Tcp(_) => {
                request.method == Method::GET
                    || request.method == Method::HEAD
                    || is_way_to_agents(request.uri.path())
            }
        }
    }

    fn check_host(&self, request: &request::Parts) -> Result<(), Box<Problem>> {
        let mut hosts = request.headers.get_all(HOST).iter();
        let (host, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return Err(bad_host("the request has more than one Host header"));
        }
        let authority = request.uri.authority().map(|name| name.as_str().as_bytes());
        let named = [host.map(HeaderValue::as_bytes), authority];
        if named.iter().all(Option::is_none) {
            return Err(bad_host("the request has no Host header"));
        }
        match named
            .into_iter()
            .flatten()
            .find(|name| !self.is_own_host(name))
        {
            None => Ok(()),
            Some(stranger) => Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host_not_allowed",
                format!(
                    "host {:?} is not a name of this server",
                    String::from_utf8_lossy(stranger)
                ),
            )
            .hint(format!(
                "ask http://{} or http://localhost:{}",
                self.listen,
                self.listen.port()
            ))),
        }
    }

    /// Whether `host` names this server: a name of the loopback, with no port or with ours.
    fn is_own_host(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else {
            return false;
        };
        let (name, port) = split_port(host);
        let own_address = match self.listen {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        let names = ["localhost", "127.0.0.1", "[::1]", own_address.as_str()];
        let own_port = match port {
            None => true,
            Some(port) => port
                .parse::<u16>()
                .is_ok_and(|port| port == self.listen.port()),
        };
        own_port && names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn check_origin(&self, request: &request::Parts) -> Result<(), Box<Problem>> {
        let headers = &request.headers;
        let stranger = headers
            .get_all(ORIGIN)
            .iter()
            .find(|origin| !self.is_own_origin(origin.as_bytes()));
        if let Some(origin) = stranger {
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            return Err(bad_origin(format!(
                "a page of origin {origin:?} may not ask this server"
            )));
        }
        let says = |name: &str, word: &[u8]| {
            let mut values = headers.get_all(name).iter();
            values.any(|value| value.as_bytes().eq_ignore_ascii_case(word))
        };
        // Whoever follows a link, or comes back from a login elsewhere, means to come here.
        let follows_link = request.method == Method::GET && says("sec-fetch-mode", b"navigate");
        let cross_site = says("sec-fetch-site", b"cross-site") && !follows_link;
        if cross_site {
            return Err(bad_origin(
                "a page of another site may not ask this server".to_owned(),
            ));
        }
        Ok(())
    }

    fn is_own_origin(&self, origin: &[u8]) -> bool {
        let port = self.listen.port();
        origin.strip_prefix(b"http://").is_some_and(|host| {
            // Port 80 is the one that an origin leaves out.
            let has_port = std::str::from_utf8(host).is_ok_and(|host| split_port(host).1.is_some());
            self.is_own_host(host) && (has_port || port == 80)
        })
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Guard")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Whether a path leads to an agent, which regrow passes on and does not judge.
pub(crate) fn is_way_to_agents(path: &str) -> bool {
    path.starts_with("/agents/") || path.starts_with("/pools/")
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Splits `name:port`; the colons of an IPv6 address in brackets are no port's.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    }
}

fn bad_host(detail: &str) -> Box<Problem> {
    Problem::new(StatusCode::BAD_REQUEST, "bad_host", detail).hint("send one Host header")
}

fn bad_origin(detail: String) -> Box<Problem> {
    Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail)
        .hint("ask from a program, or from a page that this server itself gave")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn guard() -> Guard {
        Guard::new(
            "127.0.0.1:8000".parse().unwrap(),
            TOKEN.to_owned(),
            PathBuf::from(".regrow"),
        )
    }

    fn tcp() -> Peer {
        Peer::Tcp("127.0.0.1:40000".parse().unwrap())
    }

    fn verdict(peer: Peer, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        match guard().check(peer, &parts) {
            Ok(()) => 200,
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn only_names_of_the_loopback_with_our_port_are_hosts_of_ours() {
        for (host, status) in [
            ("localhost:8000", 200),
            ("LocalHost:8000", 200),
            ("127.0.0.1:8000", 200),
            ("[::1]:8000", 200),
            ("localhost", 200),
            ("localhost:8001", 421),
            ("localhost:", 421),
            ("evil.example:8000", 421),
            ("localhost.evil.example:8000", 421),
            ("127.0.0.1.evil.example", 421),
            ("127.0.0.1:8000@evil.example", 421),
            ("evil.example", 421),
            ("[::1", 421),
            ("", 421),
        ] {
            assert_eq!(
                verdict(tcp(), "GET", "/livez", &[("host", host)]),
                status,
                "{host}"
            );
            assert_eq!(
                verdict(Peer::Socket, "GET", "/livez", &[("host", host)]),
                status,
                "{host}"
            );
        }
    }

    #[test]
    fn a_request_with_no_host_or_two_is_refused() {
        assert_eq!(verdict(tcp(), "GET", "/livez", &[]), 400);
        let two = [("host", "localhost:8000"), ("host", "localhost:8000")];
        assert_eq!(verdict(tcp(), "GET", "/livez", &two), 400);
    }

    #[test]
    fn a_host_in_the_request_line_is_checked_too() {
        let host = [("host", "localhost:8000")];
        assert_eq!(
            verdict(tcp(), "GET", "http://evil.example/livez", &host),
            421
        );
        assert_eq!(
            verdict(tcp(), "GET", "http://localhost:8000/livez", &host),
            200
        );
    }

    #[test]
    fn a_page_of_another_origin_is_refused_even_with_the_token_and_for_reads() {
        let bearer = format!("Bearer {TOKEN}");
        for (origin, status) in [
            ("http://localhost:8000", 200),
            ("http://127.0.0.1:8000", 200),
            ("https://localhost:8000", 403),
            ("http://localhost:7999", 403),
            ("http://localhost", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let headers = [
                ("host", "localhost:8000"),
                ("origin", origin),
                ("authorization", bearer.as_str()),
            ];
            for (method, path) in [
                ("GET", "/supervisor/status"),
                ("POST", "/v1/down"),
                ("POST", "/agents/worker/invoke"),
            ] {
                assert_eq!(
                    verdict(tcp(), method, path, &headers),
                    status,
                    "{origin} {path}"
                );
            }
        }
    }

    #[test]
    fn a_request_that_another_site_caused_is_refused() {
        let with = |site| [("host", "localhost:8000"), ("sec-fetch-site", site)];
        assert_eq!(
            verdict(tcp(), "GET", "/agents/a/", &with("cross-site")),
            403
        );
        assert_eq!(
            verdict(tcp(), "GET", "/agents/a/", &with("same-origin")),
            200
        );
        assert_eq!(verdict(tcp(), "GET", "/agents/a/", &with("none")), 200);
        let link = [
            ("host", "localhost:8000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!(verdict(tcp(), "GET", "/agents/a/callback", &link), 200);
        assert_eq!(verdict(tcp(), "POST", "/agents/a/form", &link), 403);
    }

    #[test]
    fn what_changes_regrow_needs_the_token_or_the_socket() {
        let good = format!("Bearer {TOKEN}");
        let lower = format!("bearer {TOKEN}");
        let longer = format!("Bearer {TOKEN}0");
        for (peer, method, path, authorization, status) in [
            (tcp(), "GET", "/supervisor/status", None, 200),
            (tcp(), "HEAD", "/supervisor/status", None, 200),
            (tcp(), "POST", "/supervisor/spawn", None, 401),
            (tcp(), "POST", "/supervisor/spawn", Some(good.as_str()), 200),
            (
                tcp(),
                "POST",
                "/supervisor/spawn",
                Some(lower.as_str()),
                200,
            ),
            (
                tcp(),
                "POST",
                "/supervisor/spawn",
                Some(longer.as_str()),
                401,
            ),
            (tcp(), "POST", "/supervisor/spawn", Some("Bearer "), 401),
            (tcp(), "POST", "/supervisor/spawn", Some("Bearer"), 401),
            (tcp(), "POST", "/supervisor/spawn", Some(TOKEN), 401),
            (tcp(), "POST", "/supervisor/spawn", Some("Basic MDE="), 401),
            (Peer::Socket, "POST", "/supervisor/spawn", None, 200),
            (tcp(), "DELETE", "/v1/agents/a", None, 401),
            (tcp(), "OPTIONS", "/v1/agents", None, 401),
            (tcp(), "POST", "/agents", None, 401),
            (tcp(), "POST", "/agentsx/a", None, 401),
            (tcp(), "POST", "/agents/worker/invoke", None, 200),
            (tcp(), "POST", "/pools/p/run", None, 200),
        ] {
            let mut headers = vec![("host", "localhost:8000")];
            headers.extend(authorization.map(|value| ("authorization", value)));
            assert_eq!(
                verdict(peer, method, path, &headers),
                status,
                "{method} {path} {authorization:?}"
            );
        }
    }

    #[test]
    fn a_refusal_says_how_to_get_in_and_does_not_tell_the_token() {
        let (parts, ()) = Request::post("/v1/down")
            .header("host", "localhost:8000")
            .body(())
            .unwrap()
            .into_parts();
        let problem = guard().check(tcp(), &parts).unwrap_err();
        assert_eq!(
            problem.hint.as_deref(),
            Some(
                "send \"Authorization: Bearer $(cat .regrow/token)\" or use the socket .regrow/regrow.sock"
            )
        );
        assert!(!format!("{problem:?} {:?}", guard()).contains(TOKEN));
    }
}
