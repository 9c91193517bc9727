//! `logs`: how much of what an agent writes is kept, in files and of one line.

use std::time::Duration;

use super::read::{Field, Found, Reader, Shape};
use super::units::{self, Refusal};

const LOGS_KEYS: &[&str] = &[
    "file", "max_size", "max_age", "keep", "compress", "max_line",
];

/// What a size of a file may be, in words.
const A_SIZE: &str = "a size such as 10MiB, from 4KiB to 1TiB";

/// How much of what an agent writes is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogsConfig {
    /// Whether it is kept in files.
    pub(crate) file: bool,
    /// A file that would be larger goes on in a new one.
    pub(crate) max_size: u64,
    /// So does one that is older; age does not matter where nothing is said.
    pub(crate) max_age: Option<Duration>,
    /// How many old files are kept.
    pub(crate) keep: usize,
    /// Whether old files are packed.
    pub(crate) compress: bool,
    /// How long a line may be, in bytes.
    pub(crate) max_line: usize,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            file: true,
            max_size: 10 * 1024 * 1024,
            max_age: None,
            keep: 5,
            compress: true,
            max_line: regrow_process::DEFAULT_LINE,
        }
    }
}

/// What a `logs` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogsPart {
    file: Option<Found<bool>>,
    max_size: Option<Found<u64>>,
    max_age: Option<Found<Option<Duration>>>,
    keep: Option<Found<u32>>,
    compress: Option<Found<bool>>,
    max_line: Option<Found<u64>>,
}

impl LogsPart {
    /// Reads a mapping.
    pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Self {
        let Some(fields) = reader.known_fields(field, "logs", LOGS_KEYS) else {
            return Self::default();
        };
        let most = u64::try_from(regrow_process::MAX_LINE).unwrap_or(u64::MAX);
        let (file_size, line_size, count) = (
            units::size(4 * 1024..=1 << 40),
            units::size(80..=most),
            units::whole(0..=10_000),
        );
        let truth = Shape::new("true or false", &units::truth);
        Self {
            file: reader.value_at(&fields, "file", &truth),
            max_size: reader.value_at(&fields, "max_size", &Shape::new(A_SIZE, &file_size)),
            max_age: reader.value_at(
                &fields,
                "max_age",
                &Shape::new("a duration such as 1d, or never", &age),
            ),
            keep: reader.value_at(
                &fields,
                "keep",
                &Shape::new("a whole number from 0 to 10000", &count),
            ),
            compress: reader.value_at(&fields, "compress", &truth),
            max_line: reader.value_at(
                &fields,
                "max_line",
                &Shape::new("a size such as 64KiB, from 80 to 8MiB", &line_size),
            ),
        }
    }

    /// These settings, and those of `under` where these say nothing.
    pub(crate) fn over(self, under: &Self) -> Self {
        Self {
            file: self.file.or_else(|| under.file.clone()),
            max_size: self.max_size.or_else(|| under.max_size.clone()),
            max_age: self.max_age.or_else(|| under.max_age.clone()),
            keep: self.keep.or_else(|| under.keep.clone()),
            compress: self.compress.or_else(|| under.compress.clone()),
            max_line: self.max_line.or_else(|| under.max_line.clone()),
        }
    }

    /// The settings with the defaults of the program.
    pub(crate) fn settle(&self) -> LogsConfig {
        let program = LogsConfig::default();
        let count = |found: &Found<u32>| usize::try_from(found.value).ok();
        let bytes = |found: &Found<u64>| usize::try_from(found.value).ok();
        LogsConfig {
            file: said(self.file.as_ref(), program.file),
            max_size: said(self.max_size.as_ref(), program.max_size),
            max_age: said(self.max_age.as_ref(), program.max_age),
            keep: self.keep.as_ref().and_then(count).unwrap_or(program.keep),
            compress: said(self.compress.as_ref(), program.compress),
            max_line: self
                .max_line
                .as_ref()
                .and_then(bytes)
                .unwrap_or(program.max_line),
        }
    }
}

fn said<T: Copy>(found: Option<&Found<T>>, program: T) -> T {
    found.map_or(program, |found| found.value)
}

fn age(text: &str) -> Result<Option<Duration>, Refusal> {
    match text {
        "never" => Ok(None),
        text => units::some_duration(text).map(Some),
    }
}
