//! The words and signs of a text.

use super::{Operator, QueryError};

/// How much of a word is repeated in an error.
const SHOWN: usize = 24;

/// One word or sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Word(&'t str),
    Quoted(String),
    Open,
    Close,
    Colon,
    Question,
    Star,
    Operator(Operator),
    Unknown(char),
    End,
}

impl Token<'_> {
    /// As it is named in an error.
    pub(super) fn said(&self) -> String {
        let text: String = match self {
            Self::Word(word) => (*word).to_owned(),
            Self::Quoted(text) => format!("\"{text}\""),
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
            Self::Colon => ":".to_owned(),
            Self::Question => "?".to_owned(),
            Self::Star => "*".to_owned(),
            Self::Operator(operator) => operator.to_string(),
            Self::Unknown(character) => character.escape_debug().collect(),
            Self::End => return "the end".to_owned(),
        };
        let mut characters = text.chars();
        let shown: String = characters.by_ref().take(SHOWN).collect();
        let more = if characters.next().is_some() {
            "…"
        } else {
            ""
        };
        format!("`{shown}{more}`")
    }
}

/// Whether it can stand without quotes.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_in_name)
}

/// Whether it joins queries, and so names nothing without quotes.
pub(super) fn is_operator_word(text: &str) -> bool {
    matches!(text, "and" | "or" | "not")
}

fn is_in_name(character: char) -> bool {
    character.is_alphanumeric() || "_-./@+%".contains(character)
}

/// The word or sign that begins at this place, without blanks before it; where it begins, and where the next may.
///
/// # Errors
/// Quotes that are not closed.
pub(super) fn next(text: &str, from: usize) -> Result<(Token<'_>, usize, usize), QueryError> {
    let rest = text[from..].trim_start();
    let start = text.len() - rest.len();
    let Some(first) = rest.chars().next() else {
        return Ok((Token::End, start, start));
    };
    let token = match first {
        '"' => return quoted(text, start),
        '(' => Token::Open,
        ')' => Token::Close,
        ':' => Token::Colon,
        '?' => Token::Question,
        '*' => Token::Star,
        _ => {
            let starts = |operator: &&Operator| rest.starts_with(operator.as_str());
            if let Some(operator) = Operator::ALL.iter().find(starts) {
                let end = start + operator.as_str().len();
                return Ok((Token::Operator(*operator), start, end));
            }
            let length = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
            if length > 0 {
                return Ok((Token::Word(&rest[..length]), start, start + length));
            }
            Token::Unknown(first)
        }
    };
    Ok((token, start, start + first.len_utf8()))
}

fn quoted(text: &str, start: usize) -> Result<(Token<'_>, usize, usize), QueryError> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in text[start + 1..].char_indices() {
        match character {
            '"' if !escaped => return Ok((Token::Quoted(value), start, start + 1 + at + 1)),
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => value.push(character),
        }
        escaped = false;
    }
    let found = "quotes that are never closed";
    Err(QueryError::new(text, start, "`\"` at the end of it", found))
}
