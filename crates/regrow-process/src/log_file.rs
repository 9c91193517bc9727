//! What an agent writes, in files: rotated by size and age, packed, kept in a number that is known.
//!
//! A writer follows the agent's output as any other follower does: it can be too slow, and then the file lacks lines, is told so, and
//! tells so; the agent never waits for a disk. A disk that is full or gone costs lines of the file alone.
//!
//! The file that grows is the one that is named: `worker.log`. Old ones are `worker.log.00000001`, `worker.log.00000002`, …, and packed
//! `worker.log.00000001.gz`. A number is never used twice. All are readable for their owner only.
//!
//! Each line of a file is one record: time, stream, generation, number of the line, how many bytes were cut off, and the line as it was
//! written, with one space between each: `2026-01-01T00:00:00.000000000Z stdout 1 42 0 hello`. In place of a stream, `run` says that a
//! count of lines begins or goes on in this file, with the name of the output as the line, and `lost` that so many lines before this number are
//! missing, with how many.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regrow_core::rotation::{Form, Old, Packing, Rotation};

mod format;
mod history;
mod journal;
mod pack;
mod writer;

pub use history::{History, Logged};
pub(crate) use journal::{Journal, Keeping, News};

/// The suffix of a packed file.
const PACKED: &str = ".gz";

/// The suffix of one that is not finished.
const UNFINISHED: &str = ".gz.tmp";

/// The smallest file that is rotated.
const LEAST: u64 = 4 * 1024;

/// Where and how what an agent writes is kept in files. It is a value; nothing is opened before the agent starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct LogFile {
    path: PathBuf,
    rotation: Rotation,
}

impl LogFile {
    /// The file that grows, and the folder in which the old ones stay. The folder is made where it is missing.
    ///
    /// A file has 10 MiB, 5 old ones are kept and packed, and age does not matter, unless given.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rotation: Rotation {
                max_size: 10 * 1024 * 1024,
                max_age: None,
                keep: 5,
                packing: Packing::On,
            },
        }
    }

    /// The file of the agent `id` in a folder: `id.log`, where what is not plain in the id is written as `%` and its number.
    pub fn of(folder: impl AsRef<Path>, id: &str) -> Self {
        let name = crate::record::file_name(id);
        Self::new(folder.as_ref().join(format!("{name}.log")))
    }

    /// A file that would be larger goes on in a new one; at least 4 KiB.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.rotation.max_size = bytes.max(LEAST);
        self
    }

    /// A file whose first line is older goes on in a new one, with the next line that comes.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.rotation.max_age = Some(age);
        self
    }

    /// So many old files are kept; 0 keeps only the one that grows.
    pub fn keep(mut self, files: usize) -> Self {
        self.rotation.keep = files;
        self
    }

    /// Whether old files are packed, with gzip.
    pub fn compress(mut self, compress: bool) -> Self {
        self.rotation.packing = if compress { Packing::On } else { Packing::Off };
        self
    }

    /// The file that grows.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is any file of it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists() || self.old().is_ok_and(|old| !old.is_empty())
    }

    /// What the files hold, oldest first. It reads files: not for a worker of a runtime.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read. That there is none is no error.
    pub fn history(&self) -> io::Result<History> {
        History::open(self)
    }

    /// Removes all files of it. Whoever still writes to it goes on in a new one.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, or a file cannot be removed. That there is none is no error.
    pub fn remove_all(&self) -> io::Result<()> {
        for old in self.old()? {
            self.remove(old)?;
        }
        gone(fs::remove_file(&self.path))
    }

    fn old_path(&self, old: Old) -> PathBuf {
        let suffix = match old.form {
            Form::Plain => "",
            Form::Packed => PACKED,
            Form::Unfinished => UNFINISHED,
        };
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{:08}{suffix}", old.number));
        name.into()
    }

    /// The old files, in no order.
    fn old(&self) -> io::Result<Vec<Old>> {
        let (folder, name) = (self.folder(), self.path.file_name().unwrap_or_default());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?.file_name();
            let suffix = entry
                .as_encoded_bytes()
                .strip_prefix(name.as_encoded_bytes());
            found.extend(suffix.and_then(|suffix| old_of(std::str::from_utf8(suffix).ok()?)));
        }
        Ok(found)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            Some(_) | None => Path::new("."),
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.folder())
    }

    fn remove(&self, old: Old) -> io::Result<()> {
        gone(fs::remove_file(self.old_path(old)))
    }
}

/// What is not there is gone.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The old file whose name ends so; eight digits and no more, or it could be another agent's.
fn old_of(suffix: &str) -> Option<Old> {
    let (digits, form) = match suffix.strip_prefix('.')?.split_at_checked(8)? {
        (digits, "") => (digits, Form::Plain),
        (digits, PACKED) => (digits, Form::Packed),
        (digits, UNFINISHED) => (digits, Form::Unfinished),
        (_, _) => return None,
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = plain.then(|| digits.parse().ok()).flatten()?;
    Some(Old { number, form })
}

#[cfg(test)]
mod tests;
