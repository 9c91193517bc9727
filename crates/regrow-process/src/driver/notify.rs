//! What an agent says of itself by `sd_notify`, and what comes of it.

use std::io;
use std::time::{Duration, Instant};

use regrow::Phase;
use regrow::telemetry::Payload;
use regrow_core::lifecycle::Action;
use regrow_core::notify::{Intake, Notice};

use super::{Driver, Observer};
use crate::handle::ProcessStatus;
use crate::os::{self, Datagram, Notify};

/// What is refused is told of at most this often.
const PERIOD: Duration = Duration::from_secs(1);

/// Where one life says things of itself. Whoever never does costs one descriptor.
#[derive(Debug)]
pub(super) struct Notices {
    /// Open while the process runs.
    socket: Option<Notify>,
    intake: Intake,
    /// How many were refused and not told of yet, and why the last one was.
    refused: (u64, &'static str),
    /// When refusals were told of.
    told: Option<Instant>,
}

impl Notices {
    /// Opens the socket. An agent that has none runs all the same.
    pub(super) fn open(agent: &str) -> Self {
        let socket = Notify::open().unwrap_or_else(|error| {
            tracing::warn!(agent, %error, "no NOTIFY_SOCKET for it; it cannot ask for more time to stop");
            None
        });
        Self {
            socket,
            intake: Intake::default(),
            refused: (0, ""),
            told: None,
        }
    }

    /// What the agent finds as `NOTIFY_SOCKET`.
    pub(super) fn name(&self) -> Option<&str> {
        self.socket.as_ref().map(Notify::name)
    }

    /// Nothing is heard any more.
    pub(super) fn close(&mut self) {
        self.socket = None;
    }

    /// Waits for the next datagram, no more often than one is listened to. It may wait for ever.
    pub(super) async fn next(&self) -> io::Result<Datagram> {
        let Some(socket) = &self.socket else {
            return std::future::pending().await;
        };
        if let Some(opens) = self.intake.opens_at(Instant::now()) {
            tokio::time::sleep_until(opens.into()).await;
        }
        socket.next().await
    }

    /// What is to be told of refusals, if it is time; at the end of a life (`now` is absent) it is.
    fn news(&mut self, now: Option<Instant>) -> Option<Payload> {
        let (messages, why) = self.refused;
        let rests = |now: Instant| self.told.is_some_and(|told| now < told + PERIOD);
        if messages == 0 || now.is_some_and(rests) {
            return None;
        }
        self.refused.0 = 0;
        self.told = now;
        Some(Payload::ProcessNoticeRefused { messages, why })
    }
}

impl Driver {
    /// Something has come: what the lifecycle wants done about it.
    pub(super) fn noticed(&mut self, heard: io::Result<Datagram>) -> Vec<Action> {
        let now = Instant::now();
        self.notices.intake.on_read(now);
        let Datagram { sender, bytes } = match heard {
            Ok(datagram) => datagram,
            Err(error) => {
                tracing::warn!(agent = self.template.id, %error, "NOTIFY_SOCKET cannot be read; it is heard no more");
                self.notices.close();
                return Vec::new();
            }
        };
        if !sender.is_some_and(|pid| self.is_ours(pid)) {
            self.refuse("its sender does not belong to the agent, or has ended");
            return Vec::new();
        }
        let Some(bytes) = bytes else {
            self.refuse("it is too long");
            return Vec::new();
        };
        let notice = Notice::parse(&bytes);
        self.template.handle.update(|status| {
            if let Some(text) = notice.status {
                status.says = Some(text).filter(|text| !text.is_empty());
            }
            status.says_stopping |= notice.is_stopping;
        });
        let mut actions = Vec::new();
        if notice.is_ready {
            actions.extend(self.life.on_ready(now));
        }
        if let Some(by) = notice.extend {
            actions.extend(self.life.on_extend(by, now));
        }
        actions
    }

    /// Tells what is to be told of refusals; all of it where `now` is absent.
    pub(super) fn tell_refused(
        &mut self,
        now: Option<Instant>,
        phase: Phase,
        observer: &impl Observer,
    ) {
        if let Some(payload) = self.notices.news(now) {
            observer.happened(phase, payload);
        }
    }

    /// Counts a datagram that is not believed.
    fn refuse(&mut self, why: &'static str) {
        self.notices.refused = (self.notices.refused.0 + 1, why);
        let more = |status: &mut ProcessStatus| status.notices_refused += 1;
        self.template.handle.update(more);
    }

    /// Whether the process belongs to this life. One that has ended is nobody.
    fn is_ours(&self, pid: i32) -> bool {
        let is_known = || {
            os::identify(pid)
                .is_some_and(|who| self.noted.contains(&who) || self.books.seen().contains(&who))
        };
        os::is_in_group(pid, self.leader) || is_known()
    }
}
