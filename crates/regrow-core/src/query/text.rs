//! The text of a query.

use std::fmt;

use super::lex::{is_name, is_operator_word};
use super::parse::read_scalar;
use super::{Comparison, Node, Query, Scalar, Term};

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Node::All => f.write_str("*"),
            Node::Is(term) => write!(f, "{term}"),
            Node::Below(path) => write!(f, "path:{}", Name(path)),
            Node::Meta(comparison) => write!(f, "{comparison}"),
            Node::And(list) => joined(f, list, " and ", |query| match query.node() {
                Node::Or(_) => true,
                Node::All
                | Node::Is(_)
                | Node::Below(_)
                | Node::Meta(_)
                | Node::And(_)
                | Node::Not(_) => false,
            }),
            Node::Or(list) => joined(f, list, " or ", |_| false),
            Node::Not(query) => match query.node() {
                Node::And(_) | Node::Or(_) => write!(f, "not ({query})"),
                Node::All | Node::Is(_) | Node::Below(_) | Node::Meta(_) | Node::Not(_) => {
                    write!(f, "not {query}")
                }
            },
        }
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({self})")
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    list: &[Query],
    word: &str,
    in_parentheses: impl Fn(&Query) -> bool,
) -> fmt::Result {
    for (at, query) in list.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        if in_parentheses(query) {
            write!(f, "({query})")?;
        } else {
            write!(f, "{query}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) if Query::word(tag).as_term() == Some(self) => {
                write!(f, "{}", Name(tag))
            }
            // The word is reserved.
            Self::Tag(tag) => write!(f, "tag:{tag}"),
            Self::Pair { key, value } => write!(f, "{}={}", Name(key), Name(value)),
            Self::Key(key) => write!(f, "{}?", Name(key)),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
            Self::Type(type_name) => write!(f, "type:{}", Name(type_name)),
            Self::Capability(capability) => write!(f, "cap:{}", Name(capability)),
            Self::Phase(phase) => write!(f, "{phase}"),
            Self::Ready => f.write_str(super::READY),
            Self::Health(health) => write!(f, "health:{health}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "meta:{}{}", Name(&self.key), self.operator)?;
        match &self.value {
            Scalar::Null => f.write_str("null"),
            Scalar::Bool(yes) => write!(f, "{yes}"),
            Scalar::Number(number) => write!(f, "{number}"),
            Scalar::Text(text) if read_scalar(text) == self.value => write!(f, "{}", Name(text)),
            // The bare word is another value.
            Scalar::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// A name, in quotes where it needs them.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_name(self.0) && !is_operator_word(self.0) {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}
