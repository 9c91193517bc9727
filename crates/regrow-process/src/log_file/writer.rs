//! The file that grows: opened, written, made an old one. All of it blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::time::SystemTime;

use regrow_core::rotation::{self, Form, Old};

use super::LogFile;
use super::format::{parse, push_run, read_record};

/// The file that grows, while it is open.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    inode: u64,
    /// When its first record was written.
    begun: SystemTime,
    /// Whether there is more in it than what says whose it is.
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    None,
    Lines,
}

/// Whether there is a new old file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotated {
    /// There is not.
    No,
    /// There is.
    Yes,
}

impl Writer {
    /// Opens the file for the output `run`, and mends what a run that died may have left.
    fn open(log: &LogFile, run: &str, now: SystemTime) -> io::Result<Self> {
        log.make_folder()?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&log.path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            let what = format!("{} is not a plain file", log.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut first = Vec::new();
        let whole = read_record(&mut BufReader::new(&file), &mut first)?;
        let begun = whole.then(|| parse(&first)).flatten();
        let mut mark = Vec::new();
        if meta.len() > 0 && last_byte(&mut file)? != b'\n' {
            // The run before has died in the middle of a line.
            mark.push(b'\n');
        }
        push_run(&mut mark, now, run);
        write(&mut file, meta.len(), &mark)?;
        Ok(Self {
            file,
            inode: meta.ino(),
            begun: begun.map_or(now, |first| first.at()),
            content: if meta.len() == 0 {
                Content::None
            } else {
                Content::Lines
            },
        })
    }

    /// Whether the name still leads to this file, and how large it is. Somebody may have moved it, removed it, or cut it.
    fn size(&self, log: &LogFile) -> Option<u64> {
        let meta = fs::metadata(&log.path).ok()?;
        (meta.ino() == self.inode).then_some(meta.len())
    }
}

/// Writes `batch`, after the file was made an old one if it is full. On an error nothing of the batch is in the file.
pub(super) fn append(
    writer: &mut Option<Writer>,
    log: &LogFile,
    run: &Arc<str>,
    batch: &[u8],
) -> io::Result<Rotated> {
    let now = SystemTime::now();
    let open = match writer.take().and_then(|open| Some((open.size(log)?, open))) {
        Some((size, open)) => (size, open),
        None => {
            let open = Writer::open(log, run, now)?;
            (open.file.metadata()?.len(), open)
        }
    };
    let (mut size, mut open) = open;
    let mut rotated = Rotated::No;
    let adding = batch.len() as u64;
    let due = log.rotation.is_due(size, adding, Some(open.begun), now);
    if due && open.content == Content::Lines {
        drop(open);
        rotate(log)?;
        rotated = Rotated::Yes;
        open = Writer::open(log, run, now)?;
        size = open.file.metadata()?.len();
    }
    let written = write(&mut open.file, size, batch);
    if written.is_ok() {
        open.content = Content::Lines;
    }
    // It stays open, so that what is tried again begins nothing anew.
    *writer = Some(open);
    written.map(|()| rotated)
}

/// Makes an old file of the one that grows, and removes those that are too many.
fn rotate(log: &LogFile) -> io::Result<()> {
    let mut found = log.old()?;
    let number = rotation::next_number(&found);
    let form = Form::Plain;
    let old = Old { number, form };
    fs::rename(&log.path, log.old_path(old))?;
    found.push(old);
    for old in log.rotation.surplus(&found) {
        log.remove(old)?;
    }
    Ok(())
}

/// Removes what a run that died in the middle of something has left twice, or not finished. No line is lost with it.
pub(super) fn mend(log: &LogFile) -> io::Result<()> {
    let found = log.old()?;
    for old in rotation::leftovers(&found)
        .into_iter()
        .chain(log.rotation.surplus(&found))
    {
        log.remove(old)?;
    }
    Ok(())
}

/// Writes all of it at the end of a file that has `size` bytes, or nothing.
fn write(file: &mut File, size: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes).inspect_err(|_| {
        // A disk that is full has room for what becomes shorter.
        drop(file.set_len(size));
    })
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
