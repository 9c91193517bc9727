//! Events as lines of JSON, into any writer.
//!
//! A thread of its own writes them, so a disk that is full or a pipe that nobody reads fills a queue of 1,024 events and nothing
//! else: what does not fit is dropped and told by `regrow.telemetry.queue.dropped`. It keeps what it has and tries again; when the
//! writer works again, no line is broken, and a gap in `seq` shows what is missing.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tracing::Level;

use super::handler::{Handler, Notice, Queue};
use super::losses::Losses;
use super::{AttachError, Event, FieldValue, QUEUE, Role, Shared, Telemetry};
use crate::exit::Panic;
use crate::panics::catch;
use crate::time;

/// The longest text in a line, in bytes; what is longer is cut and ends in `…`.
const LONGEST_TEXT: usize = 4_096;

/// The longest list in a line.
const LONGEST_LIST: usize = 100;

/// How much is written at once, in bytes, when events wait.
const BATCH: usize = 64 * 1_024;

/// How long to wait before writing is tried again; it doubles.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

impl Event {
    /// The event as one JSON object, on one line without its end.
    ///
    /// First comes what every event has: `seq`, `at` (RFC 3339, in UTC), `level`, `event`, `path`, `kind`, `type`, `generation`, `phase`,
    /// `span` where there is one, and `trace_id` and `span_id` where it belongs to a trace. Then come its own keys, as in [`Payload::SCHEMA`](super::Payload::SCHEMA), without the
    /// sensitive ones and those that this event does not have. Times are numbers, in seconds. A text is cut after 4 KiB, a list
    /// after 100 entries.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut line = Object(String::new());
        line.push("seq", self.seq);
        line.push("at", rfc3339(self.at));
        line.push("level", word(self.level()));
        line.push("event", self.name());
        line.push("path", bounded(self.subject.path.as_str()));
        line.push("kind", self.subject.kind.as_str());
        line.push("type", bounded(&self.subject.type_name));
        line.push("generation", self.subject.generation);
        line.push("phase", self.subject.phase.as_str());
        if let Some(span) = self.span {
            line.push("span", span);
        }
        if let Some(context) = self.context() {
            line.push("trace_id", context.trace_hex());
            line.push("span_id", context.span_hex());
        }
        for field in self.payload.fields() {
            match field.role {
                Role::Sensitive => continue,
                Role::Measurement | Role::Metadata => {}
            }
            match field.value {
                None => {}
                Some(FieldValue::Count(count)) => line.push(field.key, count),
                Some(FieldValue::Ratio(ratio)) => line.push(field.key, ratio),
                Some(FieldValue::Time(time)) => line.push(field.key, time.as_secs_f64()),
                Some(FieldValue::Text(text)) => line.push(field.key, bounded(&text)),
                Some(FieldValue::List(list)) => {
                    let list = list.iter().take(LONGEST_LIST).map(|text| bounded(text));
                    line.push(field.key, list.map(Value::from).collect::<Vec<_>>());
                }
            }
        }
        line.0.push('}');
        line.0
    }
}

/// How loud, as a word.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// A JSON object that is being written, in the order in which its keys come.
struct Object(String);

impl Object {
    fn push(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&Value::from(key).to_string());
        self.0.push(':');
        self.0.push_str(&value.into().to_string());
    }
}

fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!(
        "{}…",
        &text[..text.floor_char_boundary(LONGEST_TEXT)]
    ))
}

/// A time as RFC 3339 in UTC, with milliseconds.
fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, second) = (
        since_epoch.as_secs() / 86_400,
        since_epoch.as_secs() % 86_400,
    );
    // Years are counted from March, so that a leap day is the last day of its year.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since_epoch.subsec_millis()
    )
}

/// Why a writer of JSON lines was not attached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachJsonError {
    /// The event stream has no place for it.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// There is no thread to be had.
    #[error("failed to start a thread for \"{id}\": {source}")]
    Thread {
        /// The name.
        id: String,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Why lines are missing at the end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FinishError {
    /// The writer is still busy: it hangs, or it is slow. It goes on by itself.
    #[error("failed to write all lines of \"{id}\" within {within:?}: the writer is still busy")]
    Late {
        /// The name of the handler.
        id: Arc<str>,
        /// How long it was waited for.
        within: Duration,
    },
    /// The writer failed until the end.
    #[error("failed to write the last {lines} lines of \"{id}\": {source}")]
    Lost {
        /// The name of the handler.
        id: Arc<str>,
        /// How many lines were not written, or not wholly.
        lines: u64,
        /// What the writer said last.
        source: io::Error,
    },
    /// The writer panicked.
    #[error("failed to write the last lines of \"{id}\": the writer panicked: {panic}")]
    Panicked {
        /// The name of the handler.
        id: Arc<str>,
        /// The panic.
        panic: Panic,
    },
}

/// Lines that are being written; see [`Telemetry::attach_json`]. Dropping it changes nothing: they go on.
pub struct JsonLines {
    id: Arc<str>,
    shared: Weak<Shared>,
    end: oneshot::Receiver<Result<(), FinishError>>,
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl JsonLines {
    /// Detaches the handler and waits until every line is written: before the program ends, say.
    ///
    /// # Errors
    /// When that takes longer than `within`, or the writer fails.
    pub async fn finish(self, within: Duration) -> Result<(), FinishError> {
        if let Some(shared) = self.shared.upgrade() {
            // It may be detached already; what matters is that its queue ends.
            let _was_attached = Telemetry { shared }.detach(&self.id);
        }
        match tokio::time::timeout(within, self.end).await {
            Ok(Ok(end)) => end,
            // The thread says how it ends, whatever happens; without a word it has been ended with the process.
            Ok(Err(_)) | Err(_) => Err(FinishError::Late {
                id: self.id,
                within,
            }),
        }
    }
}

impl Telemetry {
    /// Writes every event from now on as one line of JSON ([`Event::to_json`]), from a thread of its own, at most 1,024 events
    /// behind. It flushes when nothing waits.
    ///
    /// A writer that fails is tried again, at most once a second, until the handler is detached; `tracing` hears of it at most
    /// once a minute. One that hangs is left alone. What the queue cannot hold meanwhile is dropped and told.
    ///
    /// # Errors
    /// When the name is in use, 64 handlers are attached, or there is no thread to be had.
    pub fn attach_json(
        &self,
        id: &str,
        writer: impl Write + Send + 'static,
    ) -> Result<JsonLines, AttachJsonError> {
        self.attach_json_from(id, Level::TRACE, writer)
    }

    /// Like [`Telemetry::attach_json`], with only the events that are at least as loud as `least`: at [`Level::INFO`] what is worth a
    /// line in a log.
    ///
    /// # Errors
    /// As there.
    pub fn attach_json_from(
        &self,
        id: &str,
        least: Level,
        writer: impl Write + Send + 'static,
    ) -> Result<JsonLines, AttachJsonError> {
        let (queue, events) = Queue::new(QUEUE);
        self.add(Handler::queued(id, queue))?;
        let (told, end) = oneshot::channel();
        let name: Arc<str> = id.into();
        let pen = Pen {
            id: Arc::clone(&name),
            shared: Arc::downgrade(&self.shared),
            events,
            least,
            writer,
            batch: Vec::new(),
            written: 0,
            failures: Losses::default(),
        };
        let thread = std::thread::Builder::new().name("regrow-json".to_owned());
        if let Err(source) = thread.spawn(move || pen.run(told)) {
            let _was_attached = self.detach(id);
            return Err(AttachJsonError::Thread {
                id: id.to_owned(),
                source,
            });
        }
        Ok(JsonLines {
            id: name,
            shared: Arc::downgrade(&self.shared),
            end,
        })
    }
}

/// Who writes.
struct Pen<W> {
    id: Arc<str>,
    /// Weak, because the queue ends when the event stream does.
    shared: Weak<Shared>,
    events: Receiver<Arc<Event>>,
    /// What is quieter is left out.
    least: Level,
    writer: W,
    batch: Vec<u8>,
    /// How much of the batch is written.
    written: usize,
    failures: Losses,
}

impl<W: Write> Pen<W> {
    fn run(mut self, told: oneshot::Sender<Result<(), FinishError>>) {
        let mut end = Ok(());
        while let Some(event) = self.events.blocking_recv() {
            self.fill(&event);
            match catch(|| self.write_out()) {
                Ok(Ok(())) => {}
                Ok(Err(source)) => {
                    end = Err(FinishError::Lost {
                        id: Arc::clone(&self.id),
                        lines: self.unwritten(),
                        source,
                    });
                    break;
                }
                Err(panic) => {
                    self.tell(&panic, &event);
                    let id = Arc::clone(&self.id);
                    end = Err(FinishError::Panicked { id, panic });
                    break;
                }
            }
        }
        // Nobody may be waiting for it.
        drop(told.send(end));
    }

    /// Makes a batch of this event and those that wait behind it.
    fn fill(&mut self, event: &Event) {
        self.batch.clear();
        self.written = 0;
        self.line(event);
        while self.batch.len() < BATCH
            && let Ok(event) = self.events.try_recv()
        {
            self.line(&event);
        }
    }

    fn line(&mut self, event: &Event) {
        if event.level() > self.least {
            return;
        }
        self.batch.extend_from_slice(event.to_json().as_bytes());
        self.batch.push(b'\n');
    }

    /// Writes the batch, however often it takes; the error when it fails and nobody listens any more.
    fn write_out(&mut self) -> io::Result<()> {
        let mut pause = *RETRY.start();
        loop {
            let Err(error) = self.attempt() else {
                return Ok(());
            };
            if let Some(times) = self.failures.note(1, time::now()) {
                tracing::warn!(target: "regrow", handler = &*self.id, %error, times, "failed to write events as JSON; will try again");
            }
            if self.events.is_closed() {
                return Err(error);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(*RETRY.end());
        }
    }

    fn attempt(&mut self) -> io::Result<()> {
        while self.written < self.batch.len() {
            match self.writer.write(&self.batch[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.writer.flush()
    }

    /// How many lines are lost: of the batch, and those that wait.
    fn unwritten(&mut self) -> u64 {
        let rest = &self.batch[self.written.min(self.batch.len())..];
        let mut lines = rest.iter().filter(|byte| **byte == b'\n').count();
        while self.events.try_recv().is_ok() {
            lines += 1;
        }
        lines as u64
    }

    fn tell(&mut self, panic: &Panic, event: &Event) {
        if let Some(shared) = self.shared.upgrade() {
            let handler = Arc::clone(&self.id);
            let message = panic.to_string();
            let mut notices = vec![Notice::Panicked { handler, message }];
            let dropped = self.unwritten();
            if dropped > 0 {
                let handler = Arc::clone(&self.id);
                notices.push(Notice::Dropped { handler, dropped });
            }
            Telemetry { shared }.notice(notices, &event.subject);
        }
    }
}
