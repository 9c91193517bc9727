//! What can be wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_saphyr::granit_parser::ScanError;
use thiserror::Error;

/// How many errors or warnings are printed at most; the rest is counted.
const MOST_SHOWN: usize = 100;

/// A place in the file; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The character in the line.
    pub(crate) column: usize,
}

impl Place {
    /// Where the file begins.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong.
///
/// Shown without its place, as `agents.coder.port: expected …, got …`. [`ConfigErrors`] adds file, line and column.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// Where it stands in the file; nothing for what did not come from a file, or concerns all of it.
    pub(crate) place: Option<Place>,
    /// The way to the key, as `agents.coder.restart.max`; empty for the whole file.
    pub(crate) key: String,
    /// What is wrong there.
    pub(crate) problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.problem)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// What is wrong at one place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Problem {
    /// The file could not be read.
    #[error("cannot be read: {source}; check the path and its permissions")]
    Unreadable {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is longer than a configuration may be.
    #[error(
        "expected at most {most} bytes, got more; split the team into several files, one regrow each"
    )]
    TooLarge {
        /// The longest allowed.
        most: u64,
    },
    /// The file is not text.
    #[error("expected UTF-8 text, got the byte 0x{byte:02x}; save the file as UTF-8")]
    NotUtf8 {
        /// The first byte that does not fit.
        byte: u8,
    },
    /// The text is not YAML.
    #[error("expected YAML, got an error of syntax: {}; {}, then check again for the rest", .source.info(), .hint)]
    Syntax {
        /// What the parser said.
        #[source]
        source: ScanError,
        /// What to do.
        hint: &'static str,
    },
    /// The value does not fit.
    #[error("expected {expected}, got {got}{}", Hint(.hint.as_deref()))]
    Unexpected {
        /// What fits here.
        expected: String,
        /// What stands there.
        got: String,
        /// What to do, where it is not plain from the rest.
        hint: Option<String>,
    },
    /// The key is not one of those that are known here.
    #[error("expected a key of {owner}{}, got {key:?}{}", Choice(.nearest.as_deref(), .known), DidYouMean(.nearest.as_deref()))]
    UnknownKey {
        /// Whose keys are meant.
        owner: &'static str,
        /// The key.
        key: String,
        /// The known key that is most like it, if one is.
        nearest: Option<String>,
        /// All known keys.
        known: &'static [&'static str],
    },
    /// The key stands there twice.
    #[error(
        "expected each key once, got {key:?} again; the first is at {first}; remove one of the two"
    )]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stood first.
        first: Place,
    },
    /// A value that only one may have.
    #[error("expected {expected}, got {got}, which {owner} has ({first}); change one of the two")]
    Taken {
        /// What is wanted.
        expected: &'static str,
        /// The value.
        got: String,
        /// The key of the one that has it.
        owner: String,
        /// Where that stands.
        first: Place,
    },
    /// An agent that does not exist.
    #[error("expected the id of an agent, got {got:?}{}", DidYouMean(.nearest.as_deref()))]
    UnknownAgent {
        /// The id.
        got: String,
        /// The id that is most like it, if one is.
        nearest: Option<String>,
    },
    /// Agents that wait for each other.
    #[error("expected an order of start, got a cycle: {first}{}; remove one of these dependencies", Steps(.steps))]
    Cycle {
        /// One of the agents of the cycle.
        first: String,
        /// The next ones, up to the first again, each with the place of the dependency on it.
        steps: Vec<(String, Place)>,
    },
    /// A variable that is not set.
    #[error(
        "expected a value for ${{{name}}}, got none; set {name} for regrow, write ${{{name}:-default}}, or $${{ for a literal ${{"
    )]
    UnsetVariable {
        /// The variable.
        name: String,
    },
}

/// Prints the way of a cycle.
struct Steps<'a>(&'a [(String, Place)]);

impl fmt::Display for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(agent, place)| write!(f, " -> {agent} ({place})"))
    }
}

/// Prints what to do after the rest.
struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Prints the nearest word after the rest.
struct DidYouMean<'a>(Option<&'a str>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

/// Prints all choices where none is near.
struct Choice<'a>(Option<&'a str>, &'a [&'static str]);

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) => Ok(()),
            None => write!(f, " ({})", self.1.join(", ")),
        }
    }
}

/// All that is wrong with a configuration file, in the order of the file.
///
/// Shown one per line, with a closing line that counts them.
#[derive(Debug, Error)]
#[error("{}", Listing(self))]
pub(crate) struct ConfigErrors {
    /// The file, as it was named.
    pub(crate) file: PathBuf,
    /// The errors, at least one.
    pub(crate) errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// Sorts the errors by place and drops what was found twice.
    pub(crate) fn new(file: &Path, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_cached_key(|error| (error.place, error.to_string()));
        errors.dedup_by_key(|error| (error.place, error.to_string()));
        Self {
            file: file.to_path_buf(),
            errors,
        }
    }

    /// One error that concerns the whole file.
    pub(crate) fn of_file(file: &Path, problem: Problem) -> Self {
        let error = ConfigError {
            place: None,
            key: String::new(),
            problem,
        };
        Self::new(file, vec![error])
    }
}

/// Prints errors with file and place.
struct Listing<'a>(&'a ConfigErrors);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigErrors { file, errors } = self.0;
        let file = file.display();
        for error in errors.iter().take(MOST_SHOWN) {
            match error.place {
                Some(place) => writeln!(f, "{file}:{place}: {error}")?,
                None => writeln!(f, "{file}: {error}")?,
            }
        }
        if errors.len() > MOST_SHOWN {
            writeln!(f, "and {} more", errors.len() - MOST_SHOWN)?;
        }
        let word = if errors.len() == 1 { "error" } else { "errors" };
        write!(f, "{} {word} in {file}; nothing was started", errors.len())
    }
}

/// Something that is allowed but hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The file, as it was named.
    pub(crate) file: PathBuf,
    /// Where it stands.
    pub(crate) place: Place,
    /// The way to the key.
    pub(crate) key: String,
    /// What is odd, and what to do.
    pub(crate) text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            place,
            key,
            text,
        } = self;
        write!(f, "{}:{place}: warning: {key}: {text}", file.display())
    }
}
