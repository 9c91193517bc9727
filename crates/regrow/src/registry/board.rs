//! What supervisors tell of their children, until the registry has read it.
//!
//! Nothing is told until somebody asks the registry something, and phases only when somebody asks for them: until then a start and a
//! restart pay one look at that. From then on a supervisor pins up all that happened in one turn at once and goes on. The first to
//! pin something up wakes the registry; while that reads, it comes back by itself.

use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ractor::ActorRef;
use regrow_core::Phase;
use regrow_core::index::{LeaveReason, Profile};
use tokio::sync::watch;

use super::actor::Message;
use super::standing::Fitness;
use crate::address::Place;

/// How much may hang there. Beyond that it is thrown away and the registry asks the living, which costs more and loses nobody.
const MAX_PENDING: usize = 65_536;

/// How a place stood at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    /// The number of the change that brought it there.
    pub(crate) change: u32,
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) fitness: Fitness,
    pub(crate) at: SystemTime,
}

/// Something that has happened to a place.
#[derive(Debug)]
pub(crate) enum News {
    /// It is there, and stands so.
    Added(Arc<Place>, Stand),
    /// A life of it is in another phase, or as ready as it was not.
    Phase(Arc<Place>, Stand),
    /// It is something else from now on.
    Profile {
        place: Arc<Place>,
        profile: Arc<Profile>,
    },
    /// It has been taken out of the tree.
    Removed {
        place: Arc<Place>,
        generation: u32,
        reason: LeaveReason,
    },
}

/// What the registry follows. Each follows what the one before does, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Follows {
    /// Nobody has asked anything.
    Nothing,
    /// Who is there, and what they are.
    Profiles,
    /// And how they are.
    Phases,
}

impl From<u8> for Follows {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Nothing,
            1 => Self::Profiles,
            _ => Self::Phases,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Board {
    pending: Mutex<Pending>,
    /// Who waits for the next registry waits here.
    service: watch::Sender<Service>,
    /// A [`Follows`].
    wanted: AtomicU8,
}

/// Whether anybody reads the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Service {
    /// A registry does, or will.
    #[default]
    Goes,
    /// The system has ended.
    Over,
}

#[derive(Debug, Default)]
struct Pending {
    news: Vec<News>,
    /// Some were thrown away.
    is_torn: bool,
    /// The registry is awake, or has been woken.
    is_awake: bool,
    registry: Option<ActorRef<Message>>,
}

/// What the registry finds.
#[derive(Debug)]
pub(crate) enum Found {
    News(Vec<News>),
    /// Too much was pinned up: look at everybody.
    Torn,
    /// Nothing. Whoever pins something up wakes the registry again.
    Nothing,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether news of this kind are wanted. Asked after what they are about can be seen: whoever begins to want them looks at
    /// everybody after that, so it finds in one way or the other what happens meanwhile.
    pub(crate) fn wants(&self, news: Follows) -> bool {
        fence(Ordering::SeqCst);
        self.wanted.load(Ordering::Relaxed) >= news as u8
    }

    /// From now on they are; whether they were not before.
    pub(super) fn want(&self, news: Follows) -> bool {
        let before = self.wanted.fetch_max(news as u8, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        before < news as u8
    }

    /// What is wanted.
    pub(super) fn wanted(&self) -> Follows {
        fence(Ordering::SeqCst);
        Follows::from(self.wanted.load(Ordering::Relaxed))
    }

    /// Pins up what has happened, and empties the list.
    pub(crate) fn pin(&self, news: &mut Vec<News>) {
        if news.is_empty() {
            return;
        }
        let mut pending = self.lock();
        if pending.news.len() + news.len() > MAX_PENDING {
            pending.is_torn = true;
            let thrown_away = std::mem::take(&mut pending.news);
            self.wake(pending);
            drop(thrown_away);
            news.clear();
        } else {
            pending.news.append(news);
            self.wake(pending);
        }
    }

    fn wake(&self, mut pending: MutexGuard<'_, Pending>) {
        if std::mem::replace(&mut pending.is_awake, true) {
            return;
        }
        let registry = pending.registry.clone();
        drop(pending);
        // One that has just died is made anew, and then reads what hangs here.
        if let Some(registry) = registry {
            drop(registry.cast(Message::Read));
        }
    }

    /// Everything that hangs there.
    pub(crate) fn take(&self) -> Found {
        let mut pending = self.lock();
        if std::mem::take(&mut pending.is_torn) {
            pending.news.clear();
            return Found::Torn;
        }
        if pending.news.is_empty() {
            pending.is_awake = false;
            return Found::Nothing;
        }
        Found::News(std::mem::take(&mut pending.news))
    }

    /// From now on this one is woken. It is awake. The one before is given back.
    pub(crate) fn serve(&self, registry: ActorRef<Message>) -> Option<ActorRef<Message>> {
        let mut pending = self.lock();
        let before = pending.registry.replace(registry);
        pending.is_awake = true;
        drop(pending);
        // Also if it was so before: whoever waits looks who serves now.
        self.service.send_replace(Service::Goes);
        before
    }

    /// No registry follows any more; what hangs here is of no interest to anybody.
    pub(super) fn close(&self) {
        self.service.send_replace(Service::Over);
        let left = std::mem::take(&mut self.lock().news);
        drop(left);
    }

    /// Turns when another registry serves, and when none will.
    pub(super) fn service(&self) -> watch::Receiver<Service> {
        self.service.subscribe()
    }

    /// Who reads it.
    pub(crate) fn registry(&self) -> Option<ActorRef<Message>> {
        self.lock().registry.clone()
    }
}
