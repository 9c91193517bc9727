//! What an agent gets to see of a request's header, and what it does not.

use axum::http::header::{
    AUTHORIZATION, CONNECTION, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE,
};

use regrow::trace::TraceContext;

use crate::http::guard::{Guard, Peer};

/// Makes a client's header one for an agent.
///
/// What concerns only the connection goes, so does what the client claims of the way it came and
/// regrow's own token; then the true way is set anew, whose beginning here was `prefix`.
pub(super) fn prepare(headers: &mut HeaderMap, prefix: &str, peer: Peer, guard: &Guard) {
    strip_connection(headers);
    strip_claims(headers);
    strip_own_token(headers, guard);
    set_trace(headers);
    set_forwarded(headers, prefix, peer);
}

/// Whether the client asks for a tunnel: a `WebSocket`.
pub(super) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    nominated(headers).contains(&UPGRADE)
        && headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The headers that `Connection` names: they are for the next hop only.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect()
}

/// Takes out what `Connection` names, and `Connection` itself, but for a tunnel's.
///
/// This comes before anything is set: else a client could have what we set taken out again.
fn strip_connection(headers: &mut HeaderMap) {
    let websocket = asks_for_websocket(headers);
    for name in nominated(headers) {
        // `te: trailers` is for the agent, and is always named so.
        if name != UPGRADE && name != "te" {
            headers.remove(&name);
        }
    }
    headers.remove(CONNECTION);
    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
}

fn strip_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name == "forwarded" || name.starts_with("x-forwarded-") || name.starts_with("x-regrow-")
        })
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

fn strip_own_token(headers: &mut HeaderMap, guard: &Guard) {
    let has_own = headers
        .get_all(AUTHORIZATION)
        .iter()
        .any(|value| guard.is_own_token(value.as_bytes()));
    if has_own {
        headers.remove(AUTHORIZATION);
    }
}

/// The agent's spans are parts of the request that is being answered, and of nothing else that a client may claim.
fn set_trace(headers: &mut HeaderMap) {
    headers.remove("traceparent");
    headers.remove("tracestate");
    if let Some(context) = TraceContext::current() {
        context.inject(|name, value| set(headers, name, value));
    }
}

fn set_forwarded(headers: &mut HeaderMap, prefix: &str, peer: Peer) {
    let mut forwarded = match peer {
        Peer::Tcp(address) => {
            set(headers, "x-forwarded-for", &address.ip().to_string());
            match address.ip() {
                std::net::IpAddr::V4(ip) => format!("for={ip}"),
                std::net::IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
            }
        }
        Peer::Socket => "for=unknown".to_owned(),
    };
    if let Some(host) = headers.get(HOST).cloned() {
        if let Ok(host) = host.to_str() {
            forwarded.push_str(&format!(";host=\"{host}\""));
        }
        headers.insert("x-forwarded-host", host);
    }
    forwarded.push_str(";proto=http");
    set(headers, "x-forwarded-proto", "http");
    set(headers, "x-forwarded-prefix", prefix);
    set(headers, FORWARDED.as_str(), &forwarded);
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(peer: &str, given: &[(&str, &str)]) -> Vec<String> {
        let guard = Guard::new(
            "127.0.0.1:8000".parse().unwrap(),
            "secret".into(),
            ".regrow".into(),
        );
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let peer = peer.parse().map_or(Peer::Socket, Peer::Tcp);
        prepare(&mut headers, "/agents/worker", peer, &guard);
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_a_client_claims_of_its_way_is_dropped_and_the_truth_is_set() {
        let given = [
            ("host", "localhost:8000"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-prefix", "/admin"),
            ("x-forwarded-anything", "x"),
            ("x-regrow-agent", "boss"),
            ("traceparent", "00-1-2-01"),
        ];
        assert_eq!(
            prepared("127.0.0.1:5000", &given),
            [
                "forwarded: for=127.0.0.1;host=\"localhost:8000\";proto=http",
                "host: localhost:8000",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-host: localhost:8000",
                "x-forwarded-prefix: /agents/worker",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(
            prepared("socket", &[]),
            [
                "forwarded: for=unknown;proto=http",
                "x-forwarded-prefix: /agents/worker",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn the_connection_header_cannot_take_out_what_we_set() {
        let given = [
            ("connection", "x-forwarded-for, x-private, close"),
            ("x-private", "1"),
        ];
        let lines = prepared("127.0.0.1:5000", &given);
        assert!(lines.contains(&"x-forwarded-for: 127.0.0.1".to_owned()));
        assert!(!lines.iter().any(|line| line.starts_with("x-private")));
        assert!(!lines.iter().any(|line| line.starts_with("connection")));
    }

    #[test]
    fn our_token_stays_here_and_the_agents_own_passes() {
        let with = |value| prepared("127.0.0.1:5000", &[("authorization", value)]);
        assert!(
            !with("Bearer secret")
                .iter()
                .any(|line| line.contains("secret"))
        );
        assert!(with("Bearer other").contains(&"authorization: Bearer other".to_owned()));
    }

    #[test]
    fn a_websocket_keeps_its_upgrade_and_nothing_else_does() {
        let websocket = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
        ];
        let lines = prepared("127.0.0.1:5000", &websocket);
        assert!(lines.contains(&"connection: upgrade".to_owned()));
        assert!(lines.contains(&"upgrade: WebSocket".to_owned()));
        let other = [
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
        ];
        let lines = prepared("127.0.0.1:5000", &other);
        assert!(
            !lines
                .iter()
                .any(|line| line.starts_with("upgrade") || line.starts_with("connection"))
        );
    }

    #[test]
    fn trailers_may_be_asked_for() {
        let lines = prepared(
            "127.0.0.1:5000",
            &[("connection", "TE"), ("te", "trailers")],
        );
        assert!(lines.contains(&"te: trailers".to_owned()));
    }
}
