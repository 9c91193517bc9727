//! What an address says after its `?`: read by hand, so that a wrong parameter is named.

use std::time::{Duration, SystemTime};

use axum::extract;
use axum::http::{StatusCode, Uri};
use regrow_core::query::{Query, QueryError};
use regrow_core::stamp::parse_rfc3339;

use crate::wire::Problem;

/// The longest wait that may be asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// The parameters of one request, each known by name.
#[derive(Debug)]
pub(super) struct Params {
    given: Vec<(String, String)>,
}

/// Whether something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    /// It is not.
    Off,
    /// It is.
    On,
}

impl Params {
    /// Reads the query of an address that takes these parameters and no others.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Box<Problem>> {
        let extract::Query(given) = extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| bad(format!("the query cannot be read: {error}"), known))?;
        match given
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            Some((name, _)) => Err(bad(format!("there is no parameter {name:?} here"), known)),
            None => Ok(Self { given }),
        }
    }

    /// Every value of a parameter that may be given several times.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.given.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Box<Problem>> {
        match self.all(name).as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            [first, second, ..] => Err(bad_value(
                name,
                "one value",
                &format!("{first} and {second}"),
            )),
        }
    }

    /// A duration such as `30s`.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Box<Problem>> {
        const EXPECTED: &str = "a duration such as 30s, at most 1h";
        self.one(name)?
            .map(|text| duration(text).ok_or_else(|| bad_value(name, EXPECTED, text)))
            .transpose()
    }

    /// A moment: a duration such as `10m`, so long before `now`, or a time as RFC 3339 has it.
    pub(super) fn moment(
        &self,
        name: &str,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Box<Problem>> {
        const EXPECTED: &str = "a duration such as 10m, or a time such as 2026-01-01T00:00:00Z";
        let epoch = SystemTime::UNIX_EPOCH;
        let read = |text: &str| {
            let ago = crate::config::duration(text).ok();
            let long_ago = |ago| now.checked_sub(ago).unwrap_or(epoch).max(epoch);
            ago.map(long_ago)
                .or_else(|| parse_rfc3339(text))
                .ok_or_else(|| bad_value(name, EXPECTED, text))
        };
        self.one(name)?.map(read).transpose()
    }

    /// A whole number up to `most`.
    pub(super) fn number(&self, name: &str, most: usize) -> Result<Option<usize>, Box<Problem>> {
        let parse = |text: &str| {
            text.parse()
                .ok()
                .filter(|number| *number <= most)
                .ok_or_else(|| bad_value(name, &format!("a whole number up to {most}"), text))
        };
        self.one(name)?.map(parse).transpose()
    }

    /// Which agents are asked for; all where nothing is said.
    pub(super) fn agents(&self, name: &str) -> Result<Query, Box<Problem>> {
        let read = |text: &str| text.parse().map_err(|error| bad_query(name, &error));
        self.one(name)?.map_or(Ok(Query::all()), read)
    }

    /// `1`, `true` or the bare name for yes; `0` or `false` for no.
    pub(super) fn flag(&self, name: &str) -> Result<Flag, Box<Problem>> {
        match self.one(name)? {
            None | Some("0" | "false") => Ok(Flag::Off),
            Some("" | "1" | "true") => Ok(Flag::On),
            Some(other) => Err(bad_value(name, "1 or 0", other)),
        }
    }
}

/// A value that a parameter does not take.
pub(super) fn bad_value(name: &str, expected: &str, got: &str) -> Box<Problem> {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad_parameter",
        format!("parameter {name:?}: expected {expected}, got {got:?}"),
    )
}

/// A text that is no query: what is wrong, and below it the text with a mark under the place.
fn bad_query(name: &str, error: &QueryError) -> Box<Problem> {
    let detail = format!("parameter {name:?}: {error}");
    Problem::new(StatusCode::BAD_REQUEST, "bad_parameter", detail).at_column(error.column())
}

fn bad(detail: String, known: &[&str]) -> Box<Problem> {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_parameter", detail);
    if known.is_empty() {
        problem.hint("this address takes none")
    } else {
        problem.hint(format!("this address takes {}", known.join(", ")))
    }
}

/// A number with one unit: `500ms`, `30s`, `5m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let duration = Duration::from_millis(number.checked_mul(millis)?);
    (duration <= LONGEST_WAIT).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &'static str) -> Result<Params, Box<Problem>> {
        Params::of(
            &Uri::from_static(query),
            &["wait", "tail", "follow", "agent", "query"],
        )
    }

    #[test]
    fn what_is_given_is_read() {
        let given = params("/x?wait=30s&tail=5&follow&agent=a&agent=b%2Dc").unwrap();
        assert_eq!(
            given.duration("wait").unwrap(),
            Some(Duration::from_secs(30))
        );
        assert_eq!(given.number("tail", 10).unwrap(), Some(5));
        assert_eq!(given.flag("follow").unwrap(), Flag::On);
        assert_eq!(given.all("agent"), ["a", "b-c"]);
        let none = params("/x").unwrap();
        assert_eq!(none.duration("wait").unwrap(), None);
        assert_eq!(none.flag("follow").unwrap(), Flag::Off);
    }

    #[test]
    fn an_unknown_parameter_is_named_with_those_that_there_are() {
        let problem = params("/x?wiat=1s").unwrap_err();
        assert_eq!(problem.detail, "there is no parameter \"wiat\" here");
        assert_eq!(
            problem.hint.as_deref(),
            Some("this address takes wait, tail, follow, agent, query")
        );
        assert_eq!(problem.status, 400);
    }

    #[test]
    fn a_wrong_value_is_told_with_what_was_expected() {
        for (query, detail) in [
            (
                "/x?wait=30",
                "parameter \"wait\": expected a duration such as 30s, at most 1h, got \"30\"",
            ),
            (
                "/x?wait=s",
                "parameter \"wait\": expected a duration such as 30s, at most 1h, got \"s\"",
            ),
            (
                "/x?wait=2h",
                "parameter \"wait\": expected a duration such as 30s, at most 1h, got \"2h\"",
            ),
            (
                "/x?wait=1s&wait=2s",
                "parameter \"wait\": expected one value, got \"1s and 2s\"",
            ),
        ] {
            assert_eq!(
                params(query).unwrap().duration("wait").unwrap_err().detail,
                detail
            );
        }
        assert!(params("/x?tail=11").unwrap().number("tail", 10).is_err());
        assert!(params("/x?tail=-1").unwrap().number("tail", 10).is_err());
        assert!(params("/x?follow=yes").unwrap().flag("follow").is_err());
    }
    #[test]
    fn a_moment_is_so_long_ago_or_a_time() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let read = |address| params(address).unwrap().moment("wait", at(1_000));
        assert_eq!(read("/x?wait=10m").unwrap(), Some(at(400)));
        assert_eq!(read("/x?wait=1d").unwrap(), Some(at(0)));
        let time = read("/x?wait=1970-01-01T01:00:00%2B01:00").unwrap();
        assert_eq!(time, Some(at(0)));
        assert_eq!(read("/x").unwrap(), None);
        assert!(read("/x?wait=yesterday").is_err());
    }

    #[test]
    fn a_query_is_decoded_and_read() {
        let asked = |address| params(address).unwrap().agents("query").unwrap();
        let want = Query::of_type("worker").without("draining");
        assert_eq!(asked("/x?query=type:worker+and+not+draining"), want);
        assert_eq!(asked("/x?query=type%3Aworker%20and%20not%20draining"), want);
        assert_eq!(asked("/x?query=a%2Bb"), Query::tag("a+b"));
        assert_eq!(asked("/x"), Query::all());
    }

    #[test]
    fn a_wrong_query_is_told_with_a_mark_and_its_column() {
        let refused = |address| params(address).unwrap().agents("query").unwrap_err();
        let problem = refused("/x?query=type:worker+adn+ready");
        let detail = "\
parameter \"query\": expected `and`, `or` or the end, got `adn` (column 13)
  type:worker adn ready
              ^";
        assert_eq!(
            (problem.status, problem.code.as_str(), problem.column),
            (400, "bad_parameter", Some(13))
        );
        assert_eq!(problem.detail, detail);
        assert_eq!(refused("/x?query").column, Some(1));
        assert_eq!(
            refused("/x?query=a&query=b").detail,
            "parameter \"query\": expected one value, got \"a and b\""
        );
    }
}
