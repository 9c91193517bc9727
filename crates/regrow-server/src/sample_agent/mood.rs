//! How a worker feels: well, not ready, or hanging. It is told so by a line on stdin, or its time has come.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::watch;

use super::{length_of_time, say};

/// What it does with requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers.
    #[default]
    Ready,
    /// It answers, but says that it may be given no work.
    Unready,
    /// It takes requests and answers none.
    Hanging,
}

impl Mood {
    /// What a line says that it is to be.
    fn of(line: &str) -> Option<Self> {
        match line.trim() {
            "ready" => Some(Self::Ready),
            "unready" => Some(Self::Unready),
            "hang" => Some(Self::Hanging),
            _ => None,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unready => "not ready",
            Self::Hanging => "hanging",
        }
    }
}

/// When it changes by itself, in each of its lives.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Changes {
    /// Be not ready after so long; a line `unready` on stdin does the same
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    unready_after: Option<Duration>,
    /// Answer nothing any more after so long; a line `hang` on stdin does the same
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    hang_after: Option<Duration>,
    /// Be well again after so long; a line `ready` on stdin does the same
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    ready_after: Option<Duration>,
}

/// The mood of one worker, for all who look and all who change it.
#[derive(Debug, Clone)]
pub(super) struct Moods(watch::Sender<Mood>);

impl Moods {
    /// One that is well, and changes when its time has come.
    pub(super) fn new(changes: &Changes) -> Self {
        let moods = Self(watch::Sender::new(Mood::Ready));
        for (after, mood) in [
            (changes.unready_after, Mood::Unready),
            (changes.hang_after, Mood::Hanging),
            (changes.ready_after, Mood::Ready),
        ] {
            let moods = moods.clone();
            if let Some(after) = after {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    moods.turn(mood);
                });
            }
        }
        moods
    }

    pub(super) fn now(&self) -> Mood {
        *self.0.borrow()
    }

    /// A line was read; whatever else it says is let pass.
    pub(super) fn hear(&self, line: &str) {
        if let Some(mood) = Mood::of(line) {
            self.turn(mood);
        }
    }

    pub(super) fn turn(&self, mood: Mood) {
        if self.0.send_replace(mood) != mood {
            // Nobody may be there to read it.
            say(format_args!("worker: {} from now on", mood.in_words())).ok();
        }
    }
}

/// Lets a request through as soon as it does not hang.
pub(super) async fn patience(State(moods): State<Moods>, request: Request, next: Next) -> Response {
    let mut changes = moods.0.subscribe();
    // We hold the other end.
    drop(changes.wait_for(|mood| *mood != Mood::Hanging).await);
    next.run(request).await
}
