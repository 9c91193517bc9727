//! What others want of an incarnation.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What others want of an incarnation; each wish is stronger than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    Run,
    Stop,
    Kill,
}

/// Whether it is to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    GoOn,
    Pause,
}

/// What was wished for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    wish: Wish,
    hold: Hold,
    /// Counts what was said of holding it: to say it again is to want it again.
    holds: u64,
}

/// What is dropped when it is done.
type Done = Box<dyn Send>;

/// Those who wait for what they have said of holding it, by its number.
type Waiting = Arc<Mutex<Vec<(u64, Done)>>>;

/// Where wishes are told. Dropped, it wishes the process dead: nobody is left to supervise it.
#[derive(Clone)]
pub(crate) struct Wishes {
    last: watch::Sender<Last>,
    waiting: Waiting,
}

impl fmt::Debug for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wishes").field(&*self.last.borrow()).finish()
    }
}

impl Wishes {
    /// Where wishes are told, and where they are heard.
    pub(super) fn new() -> (Self, Wished) {
        let seen = Last {
            wish: Wish::Run,
            hold: Hold::GoOn,
            holds: 0,
        };
        let (sender, receiver) = watch::channel(seen);
        let waiting = Waiting::default();
        let wished = Wished {
            last: Some(receiver),
            seen,
            waiting: Arc::clone(&waiting),
        };
        let wishes = Self {
            last: sender,
            waiting,
        };
        (wishes, wished)
    }

    /// Wishes for `wish`, unless something stronger was wished before.
    pub(crate) fn raise(&self, wish: Wish) {
        self.last.send_if_modified(|last| {
            let stronger = wish > last.wish;
            last.wish = wish.max(last.wish);
            stronger
        });
    }

    /// Wants it held, or not held; `done` is dropped when it is so. The last word counts.
    pub(crate) fn hold(&self, hold: Hold, done: impl Send + 'static) {
        self.last.send_modify(|last| {
            last.hold = hold;
            last.holds += 1;
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((last.holds, Box::new(done)));
        });
    }
}

/// What is new among the wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    pub(super) wish: Option<Wish>,
    pub(super) hold: Option<Hold>,
}

/// Where wishes are heard.
pub(super) struct Wished {
    /// `None` once nobody can wish for anything any more.
    last: Option<watch::Receiver<Last>>,
    seen: Last,
    waiting: Waiting,
}

impl Wished {
    /// What is new. When nobody is left to wish, that is the wish to be killed, told once.
    pub(super) async fn next(&mut self) -> News {
        let Some(last) = &mut self.last else {
            return std::future::pending().await;
        };
        if last.changed().await.is_err() {
            self.last = None;
            return News {
                wish: Some(Wish::Kill),
                hold: None,
            };
        }
        let last = *last.borrow_and_update();
        let news = News {
            wish: (last.wish != self.seen.wish).then_some(last.wish),
            hold: (last.holds != self.seen.holds).then_some(last.hold),
        };
        self.seen = last;
        news
    }

    /// Whether something is wished for that is not told yet.
    pub(super) fn is_pending(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| last.has_changed().unwrap_or(true))
    }

    /// All that is still to come, for another to hear; here nothing is heard any more.
    pub(super) fn take(&mut self) -> Self {
        Self {
            last: self.last.take(),
            seen: self.seen,
            waiting: Arc::clone(&self.waiting),
        }
    }

    /// All that was told by [`Wished::next`] is done: whoever waits for it is answered.
    pub(super) fn fulfilled(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(number, _)| *number > self.seen.holds);
    }
}
