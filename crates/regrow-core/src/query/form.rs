//! The form of a query for serde.
//!
//! A map with one entry for each term: `{"and": [{"tag": "planner"}, {"not": {"phase": "draining"}}]}`. The text form, as a string, is
//! read too. Written by hand, because what comes from outside has a bound: [`MAX_DEPTH`] levels and [`MAX_TERMS`] terms.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::{Comparison, MAX_DEPTH, Node, Operator, Query, Scalar, Term};

/// How many terms and joining words a query may have. A text has no more, for its length.
const MAX_TERMS: usize = 4_096;

const WORDS: &[&str] = &[
    "all",
    "tag",
    "key",
    "has",
    "kind",
    "type",
    "capability",
    "phase",
    "ready",
    "health",
    "path",
    "meta",
    "and",
    "or",
    "not",
];

impl Serialize for Query {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.node() {
            Node::All => map.serialize_entry("all", &true),
            Node::Is(term) => match term {
                Term::Tag(tag) => map.serialize_entry("tag", &**tag),
                Term::Pair { key, value } => map.serialize_entry("key", &Pair(key, value)),
                Term::Key(key) => map.serialize_entry("has", &**key),
                Term::Kind(kind) => map.serialize_entry("kind", kind),
                Term::Type(type_name) => map.serialize_entry("type", &**type_name),
                Term::Capability(capability) => map.serialize_entry("capability", &**capability),
                Term::Phase(phase) => map.serialize_entry("phase", phase),
                Term::Ready => map.serialize_entry("ready", &true),
                Term::Health(health) => map.serialize_entry("health", health),
            },
            Node::Below(path) => map.serialize_entry("path", &**path),
            Node::Meta(comparison) => map.serialize_entry("meta", comparison),
            Node::And(list) => map.serialize_entry("and", list),
            Node::Or(list) => map.serialize_entry("or", list),
            Node::Not(query) => map.serialize_entry("not", query),
        }?;
        map.end()
    }
}

struct Pair<'a>(&'a str, &'a str);

impl Serialize for Pair<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("is", self.operator.as_str())?;
        match &self.value {
            Scalar::Null => map.serialize_entry("value", &()),
            Scalar::Bool(yes) => map.serialize_entry("value", yes),
            Scalar::Number(number) => map.serialize_entry("value", number),
            Scalar::Text(text) => map.serialize_entry("value", text),
        }?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MAX_TERMS);
        let whole = Part {
            depth: 0,
            left: &left,
        };
        whole.deserialize(deserializer)
    }
}

/// A part of a query that is still to be read.
#[derive(Clone, Copy)]
struct Part<'a> {
    depth: usize,
    /// How many more there may be.
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Query;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Query, D::Error> {
        let too_large = "expected at most 64 levels and 4096 terms";
        let left = self.left.get().checked_sub(1);
        self.left
            .set(left.ok_or_else(|| de::Error::custom(too_large))?);
        if self.depth > MAX_DEPTH {
            return Err(de::Error::custom(too_large));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Query;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a query: a map with one entry, or its text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Query, E> {
        // The text has a bound of its own, and nothing is deeper than two of them.
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Query, A::Error> {
        let Some(word) = map.next_key::<String>()? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        let deeper = Self {
            depth: self.depth + 1,
            ..self
        };
        let query = match word.as_str() {
            "all" => yes_or_no(&mut map, Query::all())?,
            "tag" => Query::tag(map.next_value::<String>()?),
            "key" => map.next_value::<OnePair>()?.0,
            "has" => Query::has_key(map.next_value::<String>()?),
            "kind" => Query::kind(known(&mut map)?),
            "type" => Query::of_type(map.next_value::<String>()?),
            "capability" => Query::capability(map.next_value::<String>()?),
            "phase" => Query::phase(known(&mut map)?),
            "ready" => yes_or_no(&mut map, Query::ready())?,
            "health" => Query::health(known(&mut map)?),
            "path" => Query::below(map.next_value::<String>()?),
            "meta" => map.next_value::<Compared>()?.0,
            "and" => map.next_value_seed(Parts(deeper, Query::and))?,
            "or" => map.next_value_seed(Parts(deeper, Query::or))?,
            "not" => map.next_value_seed(deeper)?.not(),
            other => return Err(de::Error::unknown_field(other, WORDS)),
        };
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(2, &self));
        }
        Ok(query)
    }
}

/// `false` asks for the opposite.
fn yes_or_no<'de, A: MapAccess<'de>>(map: &mut A, query: Query) -> Result<Query, A::Error> {
    let yes = map.next_value::<bool>()?;
    Ok(if yes { query } else { query.not() })
}

fn known<'de, A: MapAccess<'de>, T: FromStr<Err: fmt::Display>>(
    map: &mut A,
) -> Result<T, A::Error> {
    let word = map.next_value::<String>()?;
    word.parse()
        .map_err(|unknown| de::Error::custom(format_args!("{unknown}, got {word:?}")))
}

/// A list of parts, and what joins them.
struct Parts<'a>(Part<'a>, fn(Query, Query) -> Query);

impl<'de> DeserializeSeed<'de> for Parts<'_> {
    type Value = Query;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Query, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = Query;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of queries, one at least")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Query, A::Error> {
        let Some(mut query) = list.next_element_seed(self.0)? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        while let Some(next) = list.next_element_seed(self.0)? {
            query = self.1(query, next);
        }
        Ok(query)
    }
}

/// A `key=value` tag: `{"lang": "rust"}`.
struct OnePair(Query);

impl<'de> Deserialize<'de> for OnePair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = OnePair;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with one key and its value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OnePair, A::Error> {
                let Some((key, value)) = map.next_entry::<String, String>()? else {
                    return Err(de::Error::invalid_length(0, &self));
                };
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(de::Error::invalid_length(2, &self));
                }
                Ok(OnePair(Query::key(key, value)))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A comparison of metadata: `{"key": "cost", "is": "<=", "value": 3}`.
struct Compared(Query);

impl<'de> Deserialize<'de> for Compared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            key: String,
            is: String,
            value: serde_json::Value,
        }

        let Fields { key, is, value } = Fields::deserialize(deserializer)?;
        let operator = Operator::ALL
            .into_iter()
            .find(|operator| operator.as_str() == is)
            .ok_or_else(|| de::Error::custom("expected one of =, !=, <, <=, >, >="))?;
        let value = match value {
            serde_json::Value::Null => Scalar::Null,
            serde_json::Value::Bool(yes) => Scalar::Bool(yes),
            serde_json::Value::Number(number) => Scalar::Number(number),
            serde_json::Value::String(text) => Scalar::Text(text),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                return Err(de::Error::custom(
                    "metadata are compared with a text, a number, true, false or null",
                ));
            }
        };
        Ok(Self(Query::meta(key).compare(operator, value)))
    }
}
