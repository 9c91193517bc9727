//! Those who watch a query.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regrow_core::index::{Change, Entry};
use regrow_core::query::Query;
use regrow_core::watch::{Notice, Watch};
use tokio::sync::Notify;

use super::actor::Message;
use super::board::Follows;
use super::shared::Shared;

/// How many changes are kept for one who watches.
const LIMIT: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not zero");

/// What lies ready for one who watches.
#[derive(Debug)]
pub(crate) struct Post {
    watch: Mutex<Watch>,
    query: Query,
    limit: NonZeroUsize,
    arrived: Notify,
    /// The registry has been asked who is there, and has not told yet.
    asked: AtomicBool,
}

impl Post {
    fn new(query: Query, limit: NonZeroUsize) -> Self {
        Self {
            watch: Mutex::new(Watch::new(query.clone(), limit)),
            query,
            limit,
            arrived: Notify::new(),
            asked: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it watches and how much is kept, if that was not enough.
    pub(super) fn tell(&self, changes: &[Change]) -> Option<(String, u64)> {
        let mut watch = self.lock();
        let followed = !watch.wants_snapshot();
        let mut wakes = false;
        for change in changes {
            wakes |= watch.on_change(change);
        }
        let has_lost = followed && watch.wants_snapshot();
        drop(watch);
        if wakes {
            self.arrived.notify_one();
        }
        has_lost.then(|| (self.query.to_string(), self.limit.get() as u64))
    }

    /// Tells who is there, if that is wanted.
    pub(super) fn tell_who_is_there(&self, find: impl FnOnce(&Query) -> Vec<Arc<Entry>>) {
        let mut watch = self.lock();
        self.asked.store(false, Ordering::Relaxed);
        if watch.wants_snapshot() {
            watch.on_snapshot(find(&self.query));
            drop(watch);
            self.arrived.notify_one();
        }
    }

    /// Whatever was told does not hold any more.
    pub(super) fn begin_anew(&self) {
        *self.lock() = Watch::new(self.query.clone(), self.limit);
    }
}

/// Follows a query: first who is there, then every change; see [`Registry::watch`](super::Registry::watch).
///
/// It is told nothing any more when it is dropped. One that is too slow blocks nobody: after 1,024 changes it is told how many it
/// has missed, and then who is there now.
pub struct Watcher {
    post: Arc<Post>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").field(&self.post.query).finish()
    }
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, query: Query) -> Self {
        Self::with_limit(shared, query, LIMIT)
    }

    pub(super) fn with_limit(shared: Arc<Shared>, query: Query, limit: NonZeroUsize) -> Self {
        let post = Arc::new(Post::new(query, limit));
        shared.enlist(&post);
        let watcher = Self { post, shared };
        // When it is not followed yet, everybody who watches is told as soon as it is.
        if watcher.shared.follows(Follows::Phases) {
            watcher.ask_who_is_there();
        }
        watcher
    }

    /// Once, however often somebody looks meanwhile. One that has died is followed by another, which tells everybody who watches.
    /// Whether it was asked now.
    pub(super) fn ask_who_is_there(&self) -> bool {
        if self.post.asked.swap(true, Ordering::Relaxed) {
            return false;
        }
        if let Some(registry) = self.shared.board.registry() {
            drop(registry.cast(Message::Watch(Arc::clone(&self.post))));
        }
        true
    }

    /// The next thing to know. Waits until there is one; a watcher of a system that has ended waits for ever.
    pub async fn next(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.try_next() {
                return notice;
            }
            self.post.arrived.notified().await;
        }
    }

    /// The next thing to know, if there is one already.
    pub fn try_next(&mut self) -> Option<Notice> {
        let mut watch = self.post.lock();
        let notice = watch.take();
        let asks = notice.is_none() && watch.wants_snapshot();
        drop(watch);
        if asks {
            self.ask_who_is_there();
        }
        notice
    }
}
