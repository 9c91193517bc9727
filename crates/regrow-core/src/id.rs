//! What may be the id of a child.

/// The longest id, in bytes.
const MAX_LEN: usize = 64;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidId {
    /// It is empty.
    Empty,
    /// It has more than 64 bytes.
    TooLong,
    /// It begins with something else than a small letter or a digit.
    Start(char),
    /// It has a character other than small letters, digits, `_`, `.` and `-`.
    Character(char),
}

impl std::fmt::Display for InvalidId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "an id cannot be empty"),
            Self::TooLong => write!(f, "an id has at most {MAX_LEN} bytes"),
            Self::Start(c) => write!(
                f,
                "an id begins with a small letter or a digit, not with {c:?}"
            ),
            Self::Character(c) => write!(
                f,
                "an id has small letters, digits, `_`, `.` and `-`, not {c:?}"
            ),
        }
    }
}

impl std::error::Error for InvalidId {}

/// Checks that `text` can be the last part of a path: `[a-z0-9][a-z0-9_.-]*`, at most 64 bytes.
///
/// # Errors
/// What is wrong with it.
pub fn check_id(text: &str) -> Result<(), InvalidId> {
    let first = text.chars().next().ok_or(InvalidId::Empty)?;
    if text.len() > MAX_LEN {
        return Err(InvalidId::TooLong);
    }
    if !matches!(first, 'a'..='z' | '0'..='9') {
        return Err(InvalidId::Start(first));
    }
    match text
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-'))
    {
        Some(c) => Err(InvalidId::Character(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_small_letters_digits_and_three_signs() {
        for good in ["a", "0", "worker-1", "a.b_c"] {
            assert_eq!(check_id(good), Ok(()), "{good}");
        }
        assert_eq!(check_id(""), Err(InvalidId::Empty));
        assert_eq!(check_id("-a"), Err(InvalidId::Start('-')));
        assert_eq!(check_id("a/b"), Err(InvalidId::Character('/')));
        assert_eq!(check_id("aB"), Err(InvalidId::Character('B')));
        assert_eq!(check_id(&"a".repeat(64)), Ok(()));
        assert_eq!(check_id(&"a".repeat(65)), Err(InvalidId::TooLong));
    }

    #[test]
    fn what_is_wrong_with_an_id_is_said_with_the_character() {
        let said = |id: &str| check_id(id).unwrap_err().to_string();
        assert_eq!(said(""), "an id cannot be empty");
        assert!(said("-a").ends_with("not with '-'"), "{}", said("-a"));
        assert!(said("a/b").ends_with("not '/'"), "{}", said("a/b"));
    }
}
