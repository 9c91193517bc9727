//! What is wrong with the text of a query, and where.

use std::borrow::Cow;
use std::fmt;

/// How much of a text is shown before and after the place.
const BEFORE: usize = 48;
const AFTER: usize = 24;

/// A text that is no query.
///
/// Printed, it is a sentence, and below it the text with a mark under the place:
///
/// ```
/// use regrow_core::query::Query;
/// let error = "type:coder adn ready".parse::<Query>().unwrap_err();
/// assert_eq!(error.to_string(), "\
/// expected `and`, `or` or the end, got `adn` (column 12)
///   type:coder adn ready
///              ^");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    column: usize,
    expected: Cow<'static, str>,
    found: String,
    /// What is shown of the text, and where in it the place is. Not the whole: a text may be long.
    shown: String,
    mark: usize,
}

impl QueryError {
    /// `at` is the place of what was found, in bytes.
    pub(super) fn new(
        text: &str,
        at: usize,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
    ) -> Self {
        let (before, after) = text.split_at(at);
        let place = before.chars().count();
        let skipped = place.saturating_sub(BEFORE);
        let (mut shown, mut mark) = (String::new(), place - skipped);
        if skipped > 0 {
            shown.push('…');
            mark += 1;
        }
        let mut rest = after.chars();
        let around = before
            .chars()
            .skip(skipped)
            .chain(rest.by_ref().take(AFTER));
        // One line, whatever is in it, so that the mark stands under the place.
        shown.extend(around.map(|c| if c.is_control() { ' ' } else { c }));
        if rest.next().is_some() {
            shown.push('…');
        }
        Self {
            column: place + 1,
            expected: expected.into(),
            found: found.into(),
            shown,
            mark,
        }
    }

    /// In which column it is wrong, in characters from 1 on.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "expected {}, got {} (column {})",
            self.expected, self.found, self.column
        )
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence())?;
        writeln!(f, "  {}", self.shown)?;
        write!(f, "  {:>width$}", '^', width = self.mark + 1)
    }
}

impl std::error::Error for QueryError {}
