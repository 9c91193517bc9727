//! What a driver tells of an agent's output: figures, now and then.

use std::time::{Duration, Instant};

use regrow::Phase;
use regrow::telemetry::{self, Payload, Stream};
use regrow_core::lifecycle::Stage;

use tokio::sync::watch;

use super::Observer;
use crate::log_file::News;
use crate::process::Template;
use crate::stdio::{Cursor, StreamCount};

/// Output is told of at most this often.
const PERIOD: Duration = Duration::from_secs(1);

/// How much of the output was told of.
#[derive(Debug)]
pub(super) struct Report {
    told: [(Stream, StreamCount); 2],
    seen: Cursor,
    /// When to tell the rest; `None` while there is nothing to tell.
    due: Option<Instant>,
    /// Not before this.
    next: Option<Instant>,
    /// News of the log file.
    log: Option<watch::Receiver<News>>,
}

impl Report {
    /// Output of earlier lives was told of by them.
    pub(super) fn new(template: &Template) -> Self {
        let output = template.handle.output();
        let told = [Stream::Stdout, Stream::Stderr].map(|stream| (stream, output.count(stream)));
        Self {
            told,
            seen: output.end(),
            due: None,
            next: None,
            log: template.journal.as_ref().map(|journal| journal.news()),
        }
    }

    /// Waits until there may be something to tell: for output, or for the time to tell of it.
    pub(super) async fn next(&mut self, template: &Template) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => {
                tokio::select! {
                    () = template.handle.output().changed(self.seen) => {}
                    () = log_news(&mut self.log) => {}
                }
                self.due = Some(self.next.unwrap_or_else(Instant::now));
            }
        }
    }

    /// Tells what is new, if it is time.
    pub(super) fn tell(
        &mut self,
        template: &Template,
        phase: Phase,
        observer: &impl Observer,
        now: Instant,
    ) {
        if self.due.is_some_and(|due| due <= now) {
            self.tell_rest(template, phase, observer);
            self.due = None;
            self.next = Some(now + PERIOD);
        }
    }

    /// Tells what is new.
    pub(super) fn tell_rest(
        &mut self,
        template: &Template,
        phase: Phase,
        observer: &impl Observer,
    ) {
        for payload in template.journal.iter().flat_map(|journal| journal.untold()) {
            observer.happened(phase, payload);
        }
        let output = template.handle.output();
        self.seen = output.end();
        for (stream, told) in &mut self.told {
            let count = output.count(*stream);
            let bytes = count.bytes - told.bytes;
            let dropped = count.dropped_bytes - told.dropped_bytes;
            *told = count;
            if bytes > 0 || dropped > 0 {
                observer.happened(
                    phase,
                    Payload::ProcessOutput {
                        stream: *stream,
                        bytes,
                        dropped,
                    },
                );
            }
        }
    }
}

/// Waits for news of the log file, if there is one.
async fn log_news(log: &mut Option<watch::Receiver<News>>) {
    let told = match log {
        Some(log) => log.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}

/// The last step that was needed, in the words of events.
pub(super) fn stage(stage: Option<Stage>) -> telemetry::Stage {
    match stage {
        None => telemetry::Stage::None,
        Some(Stage::Drain | Stage::Ask) => telemetry::Stage::Request,
        Some(Stage::CloseStdin) => telemetry::Stage::Stdin,
        Some(Stage::Terminate) => telemetry::Stage::Terminate,
        Some(Stage::Kill | Stage::Sweep) => telemetry::Stage::Kill,
    }
}
