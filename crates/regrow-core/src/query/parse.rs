//! Reading the text of a query.

use std::fmt;
use std::str::FromStr;

use serde_json::Number;

use super::lex::{self, Token, is_operator_word};
use super::{MAX_DEPTH, MAX_TEXT, Operator, Query, QueryError, Scalar};
use crate::words::UnknownWord;

const TERM: &str = "a tag, `key=value`, `type:…` or another term";
const AFTER_TERM: &str = "`and`, `or` or the end";
const PREFIX: &str = "`tag`, `type`, `kind`, `cap`, `phase`, `health`, `path` or `meta` before `:`";
const KEY: &str = "`=` or `?` after a key (metadata are compared as `meta:cost<3`)";

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_TEXT {
            let found = format!("{} bytes", text.len());
            let expected = format!("at most {MAX_TEXT} bytes");
            return Err(QueryError::new("", 0, expected, found));
        }
        let (token, start, end) = lex::next(text, 0)?;
        let mut reader = Reader {
            text,
            token,
            start,
            end,
            depth: 0,
        };
        let query = reader.alternatives()?;
        if reader.token != Token::End {
            return Err(reader.expected(AFTER_TERM));
        }
        Ok(query)
    }
}

/// A text, and how far it is read.
struct Reader<'t> {
    text: &'t str,
    /// The next word or sign, where it begins and where it ends.
    token: Token<'t>,
    start: usize,
    end: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn alternatives(&mut self) -> Result<Query, QueryError> {
        let mut query = self.conjunction()?;
        while self.token == Token::Word("or") {
            self.take()?;
            query = query.or(self.conjunction()?);
        }
        Ok(query)
    }

    fn conjunction(&mut self) -> Result<Query, QueryError> {
        let mut query = self.one()?;
        while self.token == Token::Word("and") {
            self.take()?;
            query = query.and(self.one()?);
        }
        Ok(query)
    }

    fn one(&mut self) -> Result<Query, QueryError> {
        if self.token == Token::Word("not") {
            self.deeper()?;
            let query = self.one()?.not();
            self.depth -= 1;
            return Ok(query);
        }
        if self.token == Token::Open {
            self.deeper()?;
            let query = self.alternatives()?;
            self.depth -= 1;
            return match self.take()? {
                (Token::Close, _) => Ok(query),
                (token, at) => Err(self.wrong(at, &token, "`and`, `or` or `)`")),
            };
        }
        self.term()
    }

    fn term(&mut self) -> Result<Query, QueryError> {
        let (token, at) = self.take()?;
        let is_key = matches!(self.token, Token::Operator(_) | Token::Question);
        match token {
            Token::Star => Ok(Query::all()),
            Token::Quoted(key) if is_key => self.keyed(&key),
            Token::Quoted(tag) => Ok(Query::tag(tag)),
            Token::Word(word) if is_operator_word(word) => Err(self.wrong(at, &token, TERM)),
            Token::Word(key) if is_key => self.keyed(key),
            Token::Word(prefix) if self.token == Token::Colon => self.prefixed(prefix, at),
            Token::Word(word) => Ok(Query::word(word)),
            Token::Open
            | Token::Close
            | Token::Colon
            | Token::Question
            | Token::Operator(_)
            | Token::Unknown(_)
            | Token::End => Err(self.wrong(at, &token, TERM)),
        }
    }

    /// What follows a key: `=value` or `?`.
    fn keyed(&mut self, key: &str) -> Result<Query, QueryError> {
        match self.take()? {
            (Token::Question, _) => Ok(Query::has_key(key)),
            (Token::Operator(Operator::Equal), _) => {
                Ok(Query::key(key, self.name("a value")?.as_str()))
            }
            (token, at) => Err(self.wrong(at, &token, KEY)),
        }
    }

    fn prefixed(&mut self, prefix: &str, at: usize) -> Result<Query, QueryError> {
        if !matches!(
            prefix,
            "tag" | "type" | "kind" | "cap" | "phase" | "health" | "path" | "meta"
        ) {
            return Err(self.wrong(at, &Token::Word(prefix), PREFIX));
        }
        self.take()?;
        match prefix {
            "tag" => Ok(Query::tag(self.name("a tag")?)),
            "type" => Ok(Query::of_type(self.name("a type")?)),
            "cap" => Ok(Query::capability(self.name("a capability")?)),
            "path" => Ok(Query::below(self.name("a path")?)),
            "kind" => Ok(Query::kind(self.known("a kind")?)),
            "phase" => Ok(Query::phase(self.known("a phase")?)),
            "health" => Ok(Query::health(self.known("a health")?)),
            _ => self.comparison(),
        }
    }

    /// What follows `meta:`.
    fn comparison(&mut self) -> Result<Query, QueryError> {
        let key = self.name("the key of metadata")?;
        let operator = match self.take()? {
            (Token::Operator(operator), _) => operator,
            (token, at) => {
                return Err(self.wrong(at, &token, "`=`, `!=`, `<`, `<=`, `>` or `>=`"));
            }
        };
        let value = match self.take()? {
            (Token::Word(word), _) if !is_operator_word(word) => read_scalar(word),
            (Token::Quoted(text), _) => Scalar::Text(text),
            (token, at) => return Err(self.wrong(at, &token, "a value")),
        };
        Ok(Query::meta(key).compare(operator, value))
    }

    /// A name, bare or in quotes.
    fn name(&mut self, what: &'static str) -> Result<String, QueryError> {
        match self.take()? {
            (Token::Word(word), _) if !is_operator_word(word) => Ok(word.to_owned()),
            (Token::Quoted(text), _) => Ok(text),
            (token, at) => Err(self.wrong(at, &token, what)),
        }
    }

    /// One of the words of an enum.
    fn known<T: FromStr<Err = UnknownWord>>(
        &mut self,
        what: &'static str,
    ) -> Result<T, QueryError> {
        let (token, at) = (self.token.clone(), self.start);
        let word = self.name(what)?;
        word.parse().map_err(|unknown: UnknownWord| {
            let expected = format!("{what} of {}", unknown.expected.join(", "));
            QueryError::new(self.text, at, expected, token.said())
        })
    }

    /// The next word or sign and where it begins; then the one after it is the next.
    fn take(&mut self) -> Result<(Token<'t>, usize), QueryError> {
        let (token, start, end) = lex::next(self.text, self.end)?;
        let taken = std::mem::replace(&mut self.token, token);
        let at = std::mem::replace(&mut self.start, start);
        self.end = end;
        Ok((taken, at))
    }

    /// Takes what opens one more level.
    fn deeper(&mut self) -> Result<(), QueryError> {
        if self.depth == MAX_DEPTH {
            return Err(self.expected(format!("at most {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.take()?;
        Ok(())
    }

    fn expected(&self, expected: impl fmt::Display) -> QueryError {
        self.wrong(self.start, &self.token, expected)
    }

    fn wrong(&self, at: usize, token: &Token<'_>, expected: impl fmt::Display) -> QueryError {
        QueryError::new(self.text, at, expected.to_string(), token.said())
    }
}

/// What a bare word is where a value is wanted.
pub(super) fn read_scalar(word: &str) -> Scalar {
    match word {
        "null" => return Scalar::Null,
        "true" => return Scalar::Bool(true),
        "false" => return Scalar::Bool(false),
        _ => {}
    }
    // `inf`, `.5` and `+1` are numbers for Rust, not for JSON.
    let digits = word.strip_prefix('-').unwrap_or(word);
    let number = digits.starts_with(|c: char| c.is_ascii_digit()).then(|| {
        let signed = word.parse().map(|number: i64| number.into()).ok();
        let unsigned = || word.parse().map(|number: u64| number.into()).ok();
        let float = || word.parse().ok().and_then(Number::from_f64);
        signed.or_else(unsigned).or_else(float)
    });
    number
        .flatten()
        .map_or_else(|| Scalar::Text(word.to_owned()), Scalar::Number)
}
