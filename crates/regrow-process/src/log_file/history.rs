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
    /// The file itself, if it is the one that grows, and its number.
    growing: Option<(u64, u64)>,
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

    /// Lists the files from `number` on. The one that grows is opened first: if it becomes an old one now, we have it.
    fn list(&mut self, number: u64) -> io::Result<()> {
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
        let growing = match growing {
            Some(file) => {
                let inode = file.metadata()?.ino();
                let became = numbers.iter().copied().find(|number| {
                    let form = Form::Plain;
                    let path = self.log.old_path(Old {
                        number: *number,
                        form,
                    });
                    std::fs::metadata(path).is_ok_and(|meta| meta.ino() == inode)
                });
                match became {
                    Some(_old) => None,
                    None => Some((file, next)),
                }
            }
            None => None,
        };
        self.old = numbers.into();
        self.growing = growing;
        Ok(())
    }

    /// Opens the next file; `false` where there is none.
    fn turn(&mut self) -> io::Result<bool> {
        if let Some(Reading {
            growing: Some((inode, number)),
            ..
        }) = self.reading.take()
        {
            // What grew to its end may have become an old one meanwhile, and another grows.
            let now = std::fs::metadata(&self.log.path).map(|meta| meta.ino());
            if now.is_ok_and(|now| now != inode) {
                self.list(number + 1)?;
            }
        }
        while let Some(number) = self.old.pop_front() {
            if let Some(records) = open_old(&self.log, number)? {
                self.reading = Some(Reading {
                    records,
                    growing: None,
                });
                return Ok(true);
            }
        }
        let Some((file, number)) = self.growing.take() else {
            return Ok(false);
        };
        let inode = file.metadata()?.ino();
        self.reading = Some(Reading {
            records: Box::new(BufReader::new(file)),
            growing: Some((inode, number)),
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
