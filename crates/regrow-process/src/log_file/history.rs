//! What log files hold, read from the oldest to the newest, while they may be written. All of it blocks.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;
use regrow_core::rotation::{Form, Old, next_number};

use super::LogFile;
use super::format::{HEAD, parse, read_record};
use crate::stdio::Line;

/// So often the files are listed before what could be seen has to do. Each time one must have been made old and packed.
const LOOKS: usize = 8;

/// Whether the files stood still while they were listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Clearly,
    InMotion,
}

/// A record of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logged {
    /// A line.
    Line(Line),
    /// Lines are missing here.
    Lost {
        /// When that was noticed.
        at: SystemTime,
        /// The number of the line that comes next.
        before: u64,
        /// How many.
        lines: u64,
    },
    /// A count of lines begins here, or goes on: numbers of lines are those of this output from here on.
    Run {
        /// When.
        at: SystemTime,
        /// The name of the [`Output`](crate::Output).
        name: String,
    },
}

impl Logged {
    /// When it was.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        match self {
            Self::Line(line) => line.at,
            Self::Lost { at, .. } | Self::Run { at, .. } => *at,
        }
    }
}

/// The records of log files, oldest first; what is not one is left out. An iterator that reads as it goes.
pub struct History {
    log: LogFile,
    /// The numbers of the old files that are yet to be read, oldest first.
    old: VecDeque<u64>,
    /// The file that grew when it was opened, and which number it gets when it no longer does.
    growing: Option<(File, u64)>,
    reading: Option<Reading>,
    record: Vec<u8>,
}

struct Reading {
    records: Box<dyn BufRead + Send>,
    kept: Kept,
}

/// What becomes of a file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is an old one: its end is its end.
    Old,
    /// More may come: the file itself, and the number that it gets.
    Growing { inode: u64, number: u64 },
    /// It grew when it was read to what was its end then, and is an old one by now.
    Grown { number: u64 },
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("log", &self.log.path)
            .field("old", &self.old)
            .finish_non_exhaustive()
    }
}

impl History {
    pub(super) fn open(log: &LogFile) -> io::Result<Self> {
        let mut history = Self {
            log: log.clone(),
            old: VecDeque::new(),
            growing: None,
            reading: None,
            record: Vec::new(),
        };
        history.list(0)?;
        Ok(history)
    }

    /// Leaves out the files that were finished before this time. It looks at the beginning of each.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn since(mut self, since: SystemTime) -> io::Result<Self> {
        if let Some((file, _)) = &self.growing {
            let mut head = [0; HEAD];
            // Its offset stays where it is.
            let length = file.read_at(&mut head, 0)?;
            let first = head[..length].split(|byte| *byte == b'\n').next();
            let first = first.and_then(parse);
            if first.is_some_and(|first| first.at() <= since) {
                self.old.clear();
                return Ok(self);
            }
        }
        let mut record = Vec::new();
        for place in (0..self.old.len()).rev() {
            let Some(mut records) = open_old(&self.log, self.old[place])? else {
                continue;
            };
            let whole = read_record(&mut records, &mut record)?;
            let first = whole.then(|| parse(&record)).flatten();
            if first.is_some_and(|first| first.at() <= since) {
                self.old.drain(..place);
                break;
            }
        }
        Ok(self)
    }

    /// The last lines of which `wanted` holds: so many, and so many bytes of them.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn last(
        self,
        lines: usize,
        bytes: usize,
        mut wanted: impl FnMut(&Logged) -> bool,
    ) -> io::Result<VecDeque<Logged>> {
        let mut last = VecDeque::new();
        let mut size = 0;
        let length = |logged: &Logged| match logged {
            Logged::Line(line) => line.bytes.len(),
            Logged::Lost { .. } | Logged::Run { .. } => 0,
        };
        for logged in self {
            let logged = logged?;
            if !wanted(&logged) {
                continue;
            }
            size += length(&logged);
            last.push_back(logged);
            while last.len() > lines || (size > bytes && last.len() > 1) {
                size -= last.pop_front().as_ref().map_or(0, length);
            }
        }
        Ok(last)
    }

    /// Lists the files from `number` on, again where one was packed meanwhile: its number would be unknown.
    fn list(&mut self, number: u64) -> io::Result<()> {
        for _ in 0..LOOKS {
            if self.look(number)? == Seen::Clearly {
                break;
            }
        }
        Ok(())
    }

    /// Lists the files. The one that grows is opened first: if it becomes an old one now, we have it.
    fn look(&mut self, number: u64) -> io::Result<Seen> {
        let growing = match File::open(&self.log.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let found = self.log.old()?;
        let mut numbers: Vec<u64> = found
            .iter()
            .filter(|old| old.number >= number && old.form != Form::Unfinished)
            .map(|old| old.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let next = next_number(&found);
        let mut seen = Seen::Clearly;
        self.growing = None;
        if let Some(file) = growing {
            let inode = file.metadata()?.ino();
            let became = numbers.iter().any(|number| {
                let form = Form::Plain;
                let number = *number;
                let path = self.log.old_path(Old { number, form });
                std::fs::metadata(path).is_ok_and(|meta| meta.ino() == inode)
            });
            // One without a name was packed, or was one too many.
            if file.metadata()?.nlink() == 0 {
                seen = Seen::InMotion;
            } else if !became {
                self.growing = Some((file, next));
            }
        }
        self.old = numbers.into();
        Ok(seen)
    }

    /// Goes on at the end of a file: with what came to it meanwhile, or with the next one; `false` where there is none.
    fn turn(&mut self) -> io::Result<bool> {
        match self.reading.take() {
            Some(Reading {
                records,
                kept: Kept::Growing { inode, number },
            }) => {
                let now = std::fs::metadata(&self.log.path).map(|meta| meta.ino());
                if now.is_ok_and(|now| now != inode) {
                    // Between its end and this look more may have been written to it; no more will be.
                    let kept = Kept::Grown { number };
                    self.reading = Some(Reading { records, kept });
                    return Ok(true);
                }
            }
            Some(Reading {
                kept: Kept::Grown { number },
                ..
            }) => self.list(number + 1)?,
            Some(Reading {
                kept: Kept::Old, ..
            })
            | None => {}
        }
        while let Some(number) = self.old.pop_front() {
            if let Some(records) = open_old(&self.log, number)? {
                let kept = Kept::Old;
                self.reading = Some(Reading { records, kept });
                return Ok(true);
            }
        }
        let Some((file, number)) = self.growing.take() else {
            return Ok(false);
        };
        let inode = file.metadata()?.ino();
        self.reading = Some(Reading {
            records: Box::new(BufReader::new(file)),
            kept: Kept::Growing { inode, number },
        });
        Ok(true)
    }

    fn read(&mut self) -> io::Result<Option<Logged>> {
        loop {
            let Some(reading) = &mut self.reading else {
                if self.turn()? {
                    continue;
                }
                return Ok(None);
            };
            if read_record(&mut reading.records, &mut self.record)? {
                if let Some(logged) = parse(&self.record) {
                    return Ok(Some(logged));
                }
            } else if !self.turn()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for History {
    type Item = io::Result<Logged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// An old file, packed or not; none where it was removed meanwhile.
fn open_old(log: &LogFile, number: u64) -> io::Result<Option<Box<dyn BufRead + Send>>> {
    // It may be packed between two looks.
    for form in [Form::Packed, Form::Plain, Form::Packed] {
        match File::open(log.old_path(Old { number, form })) {
            Ok(file) if form == Form::Packed => {
                return Ok(Some(Box::new(BufReader::new(MultiGzDecoder::new(file)))));
            }
            Ok(file) => return Ok(Some(Box::new(BufReader::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    fn append(log: &LogFile, lines: std::ops::Range<u64>) {
        let mut file = OpenOptions::new();
        let mut file = file.append(true).create(true).open(&log.path).unwrap();
        for seq in lines {
            writeln!(file, "2026-01-01T00:00:00.000000000Z stdout 1 {seq} 0 x").unwrap();
        }
    }

    fn becomes(log: &LogFile, number: u64) {
        let form = Form::Plain;
        std::fs::rename(&log.path, log.old_path(Old { number, form })).unwrap();
    }

    fn numbers(history: History) -> Vec<u64> {
        let line = |logged: io::Result<Logged>| match logged.unwrap() {
            Logged::Line(line) => line.seq,
            other @ (Logged::Lost { .. } | Logged::Run { .. }) => panic!("{other:?}"),
        };
        history.map(line).collect()
    }

    #[test]
    fn what_is_written_between_the_end_of_a_file_and_the_next_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("a.log"));
        append(&log, 0..3);
        let mut history = History::open(&log).unwrap();
        for _ in 0..3 {
            history.read().unwrap().unwrap();
        }
        // It has seen the end, and not yet looked whether there is another file.
        let reading = history.reading.as_mut().unwrap();
        assert!(!read_record(&mut reading.records, &mut history.record).unwrap());
        append(&log, 3..5);
        becomes(&log, 1);
        append(&log, 5..7);
        assert!(history.turn().unwrap());
        assert_eq!(numbers(history), [3, 4, 5, 6]);
    }

    #[test]
    fn several_files_that_come_while_one_is_read_are_all_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("a.log"));
        append(&log, 0..1);
        becomes(&log, 1);
        append(&log, 1..2);
        let history = History::open(&log).unwrap();
        for number in 2..5 {
            becomes(&log, number);
            append(&log, number..number + 1);
        }
        assert_eq!(numbers(history), [0, 1, 2, 3, 4]);
    }
}
