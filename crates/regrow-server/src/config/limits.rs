//! `limits` of an agent: how much memory it may use, and what the system allows each of its processes.

use std::time::Duration;

use regrow_process::Limits;

use super::read::{Field, Fields, Found, Reader, Shape};
use super::units::{self, Refusal};

const LIMITS_KEYS: &[&str] = &[
    "memory",
    "open_files",
    "processes",
    "core",
    "file_size",
    "cpu_time",
    "address_space",
    "nice",
];

/// What a size may be, in words.
const A_SIZE: &str = "a size such as 512MiB";

/// What a size of memory may be, in words.
const SOME_MEMORY: &str = "a size such as 512MiB, of at least 1MiB";

/// The largest size that is taken for meant: 1 PiB.
const LARGEST: u64 = 1 << 50;

/// Less memory than this no program runs in.
const LEAST_MEMORY: u64 = 1 << 20;

/// The highest number of open files or processes.
const MOST: u32 = 1 << 30;

/// How much an agent may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LimitsConfig {
    /// So many bytes of memory, with all that it has started.
    pub(crate) memory: Option<u64>,
    /// What the system allows each of its processes.
    pub(crate) system: Limits,
}

/// A limit, or the word `none` for none.
type Limit<T> = Option<Found<Option<T>>>;

/// The limits as they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitsPart {
    memory: Limit<u64>,
    open_files: Limit<u32>,
    processes: Limit<u32>,
    core: Limit<u64>,
    file_size: Limit<u64>,
    cpu_time: Limit<Duration>,
    address_space: Limit<u64>,
    nice: Limit<i32>,
}

impl LimitsPart {
    /// Reads a mapping.
    pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Self {
        let Some(fields) = reader.known_fields(field, "limits", LIMITS_KEYS) else {
            return Self::default();
        };
        let count = units::whole(1..=MOST);
        let (size, some) = (
            units::size(0..=LARGEST),
            units::size(LEAST_MEMORY..=LARGEST),
        );
        let mut memory = |key| limit(reader, &fields, key, SOME_MEMORY, &some);
        let (memory, address_space) = (memory("memory"), memory("address_space"));
        let mut file = |key| limit(reader, &fields, key, A_SIZE, &size);
        let (core, file_size) = (file("core"), file("file_size"));
        let mut number = |key| limit(reader, &fields, key, "a whole number", &count);
        let (open_files, processes) = (number("open_files"), number("processes"));
        Self {
            memory,
            open_files,
            processes,
            core,
            file_size,
            cpu_time: limit(
                reader,
                &fields,
                "cpu_time",
                "a duration of whole seconds such as 90s",
                &units::seconds,
            ),
            address_space,
            nice: limit(reader, &fields, "nice", units::A_RANK, &units::nice),
        }
    }

    /// These limits, and those of `under` where these say nothing.
    pub(crate) fn over(self, under: &Self) -> Self {
        Self {
            memory: self.memory.or_else(|| under.memory.clone()),
            open_files: self.open_files.or_else(|| under.open_files.clone()),
            processes: self.processes.or_else(|| under.processes.clone()),
            core: self.core.or_else(|| under.core.clone()),
            file_size: self.file_size.or_else(|| under.file_size.clone()),
            cpu_time: self.cpu_time.or_else(|| under.cpu_time.clone()),
            address_space: self.address_space.or_else(|| under.address_space.clone()),
            nice: self.nice.or_else(|| under.nice.clone()),
        }
    }

    /// The limits that hold.
    pub(crate) fn settle(&self) -> LimitsConfig {
        let mut system = Limits::default();
        if let Some(count) = said(self.open_files.as_ref()) {
            system = system.open_files(u64::from(count));
        }
        if let Some(count) = said(self.processes.as_ref()) {
            system = system.processes(u64::from(count));
        }
        if let Some(bytes) = said(self.core.as_ref()) {
            system = system.core(bytes);
        }
        if let Some(bytes) = said(self.file_size.as_ref()) {
            system = system.file_size(bytes);
        }
        if let Some(time) = said(self.cpu_time.as_ref()) {
            system = system.cpu_time(time);
        }
        if let Some(bytes) = said(self.address_space.as_ref()) {
            system = system.address_space(bytes);
        }
        if let Some(nice) = said(self.nice.as_ref()) {
            system = system.nice(nice);
        }
        LimitsConfig {
            memory: said(self.memory.as_ref()),
            system,
        }
    }
}

fn said<T: Copy>(limit: Option<&Found<Option<T>>>) -> Option<T> {
    limit.and_then(|found| found.value)
}

/// One limit, or `none`, which takes away one of the defaults.
fn limit<T>(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
    expected: &str,
    parse: &dyn Fn(&str) -> Result<T, Refusal>,
) -> Limit<T> {
    let expected = format!("{expected}, or none");
    let or_none = |text: &str| match text {
        "none" => Ok(None),
        text => parse(text).map(Some).map_err(|refusal| Refusal {
            expected: format!("{}, or none", refusal.expected),
            hint: refusal.hint,
        }),
    };
    reader.value_at(fields, key, &Shape::new(&expected, &or_none))
}
