//! Questions to the registry, as values.
//!
//! A [`Query`] has three forms that mean the same: what the builder makes, a text, and one for serde. [`Query::matches`] is what it
//! means; an [`Index`](crate::index::Index) only answers quicker.
//!
//! # The text
//!
//! ```text
//! type:coder and lang=rust and not draining
//! (planner or cap:plan) and ready and meta:cost<=3
//! ```
//!
//! | text | holds of an entry that |
//! |---|---|
//! | `planner`, `tag:draining` | has the tag |
//! | `lang=rust` | has the `key=value` tag |
//! | `lang?` | has a tag with that key, whatever its value |
//! | `kind:actor`, `type:coder`, `cap:plan` | is made of it, is of the type, has the capability |
//! | `draining`, `phase:draining` | is in the phase; so for each word of [`Phase`] |
//! | `ready`, `health:up` | may be given work; is of that health |
//! | `path:root/crew` | stands at that path or below it |
//! | `meta:cost<=3` | has metadata that compare so: `=`, `!=`, `<`, `<=`, `>`, `>=` |
//! | `*` | is one |
//!
//! `not` binds closest, then `and`, then `or`; there are parentheses. The words for phases, `ready`, `and`, `or` and `not` are
//! reserved. A name is letters, digits and `_-./@+%`; any other is put in double quotes, within which `\"` is a quote and `\\` a
//! backslash: `"my tag"`. What is quoted is no reserved word. After a comparison a bare `true`, `false`, `null` or number is that
//! value; anything else, and all that is quoted, is a text.
//!
//! A text is at most [`MAX_TEXT`] bytes long, and no form that comes from outside is nested deeper than [`MAX_DEPTH`].
//!
//! # The one form
//!
//! However a query came about, `a and (b and c)` is `a and b and c`, the same with `or`, and `not not a` is `a`. Apart from this a
//! query stays as it was said, so the text of a query is read as an equal one.

mod comparison;
mod error;
mod form;
mod lex;
mod parse;
mod term;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

pub(crate) use comparison::Comparison;
pub use comparison::{Operator, Scalar};
pub use error::QueryError;
pub use term::Term;

use crate::index::Entry;
use crate::phase::{ChildKind, Health, Phase};

/// The longest text of a query, in bytes.
pub const MAX_TEXT: usize = 4_096;

/// How deep a query that comes from outside may be nested.
pub const MAX_DEPTH: usize = 64;

/// Which entries are meant; see the [module](self).
///
/// ```
/// use regrow_core::query::Query;
/// let query = Query::of_type("coder").and(Query::key("lang", "rust")).without("draining");
/// assert_eq!(query.to_string(), "type:coder and lang=rust and not draining");
/// assert_eq!(query.to_string().parse(), Ok(query));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Query(Node);

/// What a query is made of. Lists hold two at least, and none that is joined by the same word; a `Not` holds no `Not`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    All,
    Is(Term),
    Below(Arc<str>),
    Meta(Comparison),
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
}

impl From<Term> for Query {
    fn from(term: Term) -> Self {
        Self(Node::Is(term))
    }
}

impl Query {
    /// Every entry.
    pub const fn all() -> Self {
        Self(Node::All)
    }

    /// Those with this tag. It is never a phase, whatever the word: see [`Query::word`].
    pub fn tag(tag: impl Into<Arc<str>>) -> Self {
        Term::Tag(tag.into()).into()
    }

    /// Those with this `key=value` tag.
    pub fn key(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Term::Pair {
            key: key.into(),
            value: value.into(),
        }
        .into()
    }

    /// Those with a `key=value` tag with this key, whatever its value.
    pub fn has_key(key: impl Into<Arc<str>>) -> Self {
        Term::Key(key.into()).into()
    }

    /// Those made of this.
    pub fn kind(kind: ChildKind) -> Self {
        Term::Kind(kind).into()
    }

    /// Those that are this in the user's words.
    pub fn of_type(type_name: impl Into<Arc<str>>) -> Self {
        Term::Type(type_name.into()).into()
    }

    /// Those that can do this.
    pub fn capability(capability: impl Into<Arc<str>>) -> Self {
        Term::Capability(capability.into()).into()
    }

    /// Those in this phase.
    pub fn phase(phase: Phase) -> Self {
        Term::Phase(phase).into()
    }

    /// Those that may be given work.
    pub fn ready() -> Self {
        Term::Ready.into()
    }

    /// Those of this health.
    pub fn health(health: Health) -> Self {
        Term::Health(health).into()
    }

    /// Those at this path, and all below it. A `/` at its end says nothing.
    pub fn below(path: impl AsRef<str>) -> Self {
        Self(Node::Below(path.as_ref().trim_end_matches('/').into()))
    }

    /// Those with these metadata, as the comparison that follows says: `Query::meta("cost").at_most(3)`.
    pub fn meta(key: impl Into<String>) -> Meta {
        Meta(key.into())
    }

    /// What a bare word in a text means: a phase, `ready`, or else a tag.
    pub fn word(word: &str) -> Self {
        match word.parse() {
            Ok(phase) => Self::phase(phase),
            Err(_) if word == READY => Self::ready(),
            Err(_) => Self::tag(word),
        }
    }

    /// Those of which both hold.
    pub fn and(self, other: Self) -> Self {
        let mut list = self.into_and();
        list.extend(other.into_and());
        Self(Node::And(list))
    }

    fn into_and(self) -> Vec<Self> {
        if let Node::And(list) = self.0 {
            return list;
        }
        vec![self]
    }

    /// Those of which one holds at least.
    pub fn or(self, other: Self) -> Self {
        let mut list = self.into_or();
        list.extend(other.into_or());
        Self(Node::Or(list))
    }

    fn into_or(self) -> Vec<Self> {
        if let Node::Or(list) = self.0 {
            return list;
        }
        vec![self]
    }

    /// Those of which it does not hold.
    #[expect(
        clippy::should_implement_trait,
        reason = "`and` and `or` are no operators either"
    )]
    pub fn not(self) -> Self {
        if let Node::Not(inner) = self.0 {
            return *inner;
        }
        Self(Node::Not(Box::new(self)))
    }

    /// Of these, those without a word, as a text has it: `without("draining")` is `and not draining`.
    pub fn without(self, word: &str) -> Self {
        self.and(Self::word(word).not())
    }

    /// Of these, those whose health is `up`.
    pub fn healthy(self) -> Self {
        self.and(Self::health(Health::Up))
    }

    /// Whether it holds of this entry.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        match &self.0 {
            Node::All => true,
            Node::Is(term) => term.holds(entry),
            Node::Below(path) => is_at_or_below(&entry.path, path),
            Node::Meta(comparison) => comparison.holds(&entry.profile.metadata),
            Node::And(list) => list.iter().all(|query| query.matches(entry)),
            Node::Or(list) => list.iter().any(|query| query.matches(entry)),
            Node::Not(query) => !query.matches(entry),
        }
    }

    /// The one term that it is, if it is no more: its answer is the list of that term.
    #[must_use]
    pub const fn as_term(&self) -> Option<&Term> {
        match &self.0 {
            Node::Is(term) => Some(term),
            Node::All
            | Node::Below(_)
            | Node::Meta(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Not(_) => None,
        }
    }

    /// The terms, two at least, of which all have to hold, if it is no more: its answer is what their lists have in common.
    #[must_use]
    pub fn as_terms(&self) -> Option<Vec<&Term>> {
        match &self.0 {
            Node::And(list) => list.iter().map(Self::as_term).collect(),
            Node::All
            | Node::Is(_)
            | Node::Below(_)
            | Node::Meta(_)
            | Node::Or(_)
            | Node::Not(_) => None,
        }
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.0
    }
}

/// The word in a text for those that may be given work.
const READY: &str = "ready";

fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The key of metadata, and what it is compared by comes now.
#[derive(Clone, Debug)]
#[must_use]
pub struct Meta(String);

impl Meta {
    /// Its value is this.
    pub fn is(self, value: impl Into<Scalar>) -> Query {
        self.compare(Operator::Equal, value)
    }

    /// It is there, and its value is another.
    pub fn is_not(self, value: impl Into<Scalar>) -> Query {
        self.compare(Operator::NotEqual, value)
    }

    /// Its value is less.
    pub fn less_than(self, value: impl Into<Scalar>) -> Query {
        self.compare(Operator::Less, value)
    }

    /// Its value is this or less.
    pub fn at_most(self, value: impl Into<Scalar>) -> Query {
        self.compare(Operator::AtMost, value)
    }

    /// Its value is more.
    pub fn more_than(self, value: impl Into<Scalar>) -> Query {
        self.compare(Operator::More, value)
    }

    /// Its value is this or more.
    pub fn at_least(self, value: impl Into<Scalar>) -> Query {
        self.compare(Operator::AtLeast, value)
    }

    /// Its value stands so to this one.
    pub fn compare(self, operator: Operator, value: impl Into<Scalar>) -> Query {
        Query(Node::Meta(Comparison {
            key: self.0,
            operator,
            value: value.into(),
        }))
    }
}
