//! Which agent or pool a path is for, read from the raw bytes of the request line.

use axum::http::Uri;
use axum::http::uri::InvalidUri;

use super::At;

/// The longest id there is.
const MAX_ID_BYTES: usize = 64;

/// The agent that a path names, and what is left of the path for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    /// The agent's id.
    pub(crate) id: &'a str,
    /// The path for the agent, as the client wrote it, with its first slash; may be empty.
    pub(crate) rest: &'a str,
}

/// What a path under `/agents/` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading<'a> {
    /// It leads elsewhere.
    Elsewhere,
    /// What stands where the id should be can be no id: `..`, `%2e%2e`, `a%2fb`, nothing.
    NoId(&'a str),
    /// It leads to an agent.
    Agent(Route<'a>),
    /// It leads to a worker of a pool, whose id this is.
    Pool(Route<'a>),
}

/// Reads `/agents/{id}/{rest}` and `/pools/{id}/{rest}`. Nothing is decoded: an id needs no escapes.
pub(crate) fn read(path: &str) -> Reading<'_> {
    let agent = path.strip_prefix("/agents/");
    let Some(after) = agent.or_else(|| path.strip_prefix("/pools/")) else {
        return Reading::Elsewhere;
    };
    let (id, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    match agent {
        _ if !is_id(id) => Reading::NoId(id),
        Some(_) => Reading::Agent(Route { id, rest }),
        None => Reading::Pool(Route { id, rest }),
    }
}

impl Route<'_> {
    /// The address at the agent: the rest of the path and the query, byte for byte.
    pub(crate) fn upstream(&self, at: &At, query: Option<&str>) -> Result<Uri, InvalidUri> {
        let rest = if self.rest.is_empty() { "/" } else { self.rest };
        let host = match at {
            At::Port(port) => format!("127.0.0.1:{port}"),
            At::Socket(_) => "localhost".to_owned(),
        };
        match query {
            Some(query) => format!("http://{host}{rest}?{query}").parse(),
            None => format!("http://{host}{rest}").parse(),
        }
    }
}

fn is_id(text: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_later = |byte: u8| is_start(byte) || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= MAX_ID_BYTES
        && text.bytes().next().is_some_and(is_start)
        && text.bytes().all(is_later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_ends_at_the_first_slash_and_the_rest_is_kept_as_it_is() {
        for (path, id, rest) in [
            ("/agents/worker/invoke", "worker", "/invoke"),
            ("/agents/worker", "worker", ""),
            ("/agents/worker/", "worker", "/"),
            (
                "/agents/a.b-c_1//x/../%2e%2e/%2F%zz",
                "a.b-c_1",
                "//x/../%2e%2e/%2F%zz",
            ),
        ] {
            assert_eq!(read(path), Reading::Agent(Route { id, rest }), "{path}");
        }
    }

    #[test]
    fn a_pool_is_read_as_an_agent_is() {
        let (id, rest) = ("coders", "/invoke//%2F");
        assert_eq!(
            read("/pools/coders/invoke//%2F"),
            Reading::Pool(Route { id, rest })
        );
        assert_eq!(read("/pools/../x"), Reading::NoId(".."));
        assert_eq!(read("/pools"), Reading::Elsewhere);
    }

    #[test]
    fn what_can_be_no_id_is_refused() {
        let long = format!("/agents/{}/x", "a".repeat(65));
        for path in [
            "/agents/",
            "/agents//x",
            "/agents/../x",
            "/agents/./x",
            "/agents/%2e%2e/x",
            "/agents/a%2fb/x",
            "/agents/A/x",
            "/agents/a:b/x",
            "/agents/-a/x",
            &long,
        ] {
            assert!(matches!(read(path), Reading::NoId(_)), "{path}");
        }
        for path in ["/agents", "/agentsx/a", "/v1/agents/a", "/Agents/a"] {
            assert_eq!(read(path), Reading::Elsewhere, "{path}");
        }
    }

    #[test]
    fn the_agent_is_asked_for_the_same_bytes() {
        let upstream = |path, query| match read(path) {
            Reading::Agent(route) => {
                let uri = route.upstream(&At::Port(8001), query).unwrap();
                format!(
                    "{} {}",
                    uri.authority().unwrap(),
                    uri.path_and_query().unwrap()
                )
            }
            Reading::Elsewhere | Reading::NoId(_) | Reading::Pool(_) => {
                panic!("no agent in {path}")
            }
        };
        assert_eq!(upstream("/agents/a", None), "127.0.0.1:8001 /");
        assert_eq!(upstream("/agents/a", Some("q=1")), "127.0.0.1:8001 /?q=1");
        assert_eq!(
            upstream("/agents/a//x/../%2F%zz", Some("a=%20&b=//?c")),
            "127.0.0.1:8001 //x/../%2F%zz?a=%20&b=//?c"
        );
    }
}
