//! What regrow says, written beside the daemon: a terminal that is stopped, a pipe that nobody reads or a disk that is full must
//! not stop the agents.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use regrow::Payload;
use regrow::telemetry::{Subject, Telemetry};
use regrow_core::{ChildKind, Phase};
use tokio::sync::watch;

use super::logging::line;
use crate::config::LogFormat;
use crate::daemon::ROOT;

/// More pieces than this are not kept for an end that takes none.
const WAITING: usize = 1024;
/// A piece with more bytes is not written: cut, it may not be what its reader expects.
const LONGEST: usize = 64 * 1024;
/// How long the last pieces are waited for, and how often is looked whether there is room for the wish.
const LAST: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);
/// The shortest time between two news of losses.
const NEWS_EVERY: Duration = Duration::from_secs(60);

/// A way out with a thread of its own. Cloning costs two reference counts.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    name: &'static str,
    pieces: SyncSender<Piece>,
    lost: watch::Sender<u64>,
}

enum Piece {
    /// A line, or several, with its end.
    Text(Vec<u8>),
    /// All before this is written.
    End(SyncSender<()>),
}

impl Outlet {
    /// To the standard output, for progress.
    pub(super) fn stdout(format: LogFormat) -> Self {
        Self::to("stdout", format, io::stdout())
    }

    /// To the standard error, for the log.
    pub(super) fn stderr(format: LogFormat) -> Self {
        Self::to("stderr", format, io::stderr())
    }

    fn to(name: &'static str, format: LogFormat, end: impl Write + Send + 'static) -> Self {
        let (pieces, received) = sync_channel(WAITING);
        let lost = watch::Sender::new(0);
        let pen = Pen {
            end,
            format,
            lost: lost.clone(),
            told: 0,
        };
        thread::spawn(move || pen.run(&received));
        Self { name, pieces, lost }
    }

    /// Writes a line, or several, when its turn comes.
    pub(super) fn line(&self, text: impl Into<String>) {
        let mut text = text.into().into_bytes();
        text.push(b'\n');
        self.put(text);
    }

    fn put(&self, text: Vec<u8>) {
        // Full means that nobody has read for a long time.
        if text.len() > LONGEST || self.pieces.try_send(Piece::Text(text)).is_err() {
            lose(&self.lost);
        }
    }

    /// Waits until all is written, unless nobody reads.
    pub(super) fn finish(&self) {
        let (end, ended) = sync_channel(1);
        let deadline = Instant::now() + LAST;
        let mut wish = Piece::End(end);
        loop {
            match self.pieces.try_send(wish) {
                Ok(()) => break,
                Err(TrySendError::Full(again)) if Instant::now() < deadline => {
                    wish = again;
                    thread::sleep(LOOK);
                }
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return,
            }
        }
        let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// Tells what is lost, by `regrow.telemetry.queue.dropped`: the first at once, then all of a minute together.
    pub(super) async fn tell_losses(self, telemetry: Telemetry) {
        let mut lost = self.lost.subscribe();
        let mut told = 0;
        // The first may have been before we looked.
        lost.mark_changed();
        while lost.changed().await.is_ok() {
            let now = *lost.borrow_and_update();
            let dropped = now - std::mem::replace(&mut told, now);
            if dropped == 0 {
                continue;
            }
            let kind = ChildKind::Supervisor;
            let subject = || Subject::new(ROOT, kind, kind.as_str(), 1, Phase::Running);
            let handler = self.name.into();
            telemetry.emit(subject, || Payload::TelemetryQueueDropped {
                handler,
                dropped,
            });
            tokio::time::sleep(NEWS_EVERY).await;
        }
    }
}

/// For the log: each event is one piece.
impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lose(lost: &watch::Sender<u64>) {
    lost.send_modify(|lost| *lost += 1);
}

/// Who writes.
struct Pen<W> {
    end: W,
    format: LogFormat,
    lost: watch::Sender<u64>,
    /// How many losses have been written down.
    told: u64,
}

impl<W: Write> Pen<W> {
    fn run(mut self, pieces: &Receiver<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    if self.write(&text).is_err() {
                        // When the reader has gone, or the disk is full, the agents go on.
                        lose(&self.lost);
                    }
                }
                // Who waited may have gone.
                Piece::End(end) => drop(end.try_send(())),
            }
        }
    }

    /// Writes a piece, and before it how many are missing there.
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let lost = *self.lost.borrow();
        if lost > self.told {
            let words = format!("{} lines could not be written here", lost - self.told);
            match self.format {
                LogFormat::Text => writeln!(self.end, "({words})")?,
                LogFormat::Json => {
                    writeln!(self.end, "{}", line(SystemTime::now(), "warn", &words))?;
                }
            }
            self.told = lost;
        }
        self.end.write_all(text)?;
        self.end.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Whether there is room, and what is written.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(bool, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            if !disk.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written after two lines did not fit, and one was too long.
    fn written(format: LogFormat) -> Vec<String> {
        let disk = Disk::default();
        let outlet = Outlet::to("disk", format, disk.clone());
        outlet.line("one");
        outlet.line("two");
        outlet.finish();
        assert_eq!(*outlet.lost.borrow(), 2);
        disk.0.lock().unwrap().0 = true;
        outlet.line("x".repeat(LONGEST));
        outlet.line("three");
        outlet.finish();
        let disk = disk.0.lock().unwrap();
        let text = std::str::from_utf8(&disk.1).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_was_not_written_is_counted_and_written_down_when_there_is_room() {
        let lines = written(LogFormat::Text);
        assert_eq!(lines, ["(3 lines could not be written here)", "three"]);
    }

    #[test]
    fn a_log_of_json_stays_one() {
        let lines = written(LogFormat::Json);
        let told: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(told["message"], "3 lines could not be written here");
        assert_eq!(lines[1], "three");
    }
}
