//! What the registry's actor writes and everybody reads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use papaya::HashMap;
use rapidhash::quality::RandomState;
use regrow_core::index::{Change, Index, Members, Term};

use super::Registered;
use super::actor::Message;
use super::board::{Board, Follows};
use super::book::Book;
use super::foreign::Foreign;
use super::tally::Tally;
use super::watcher::Post;
use crate::supervisor::Tree;

/// How many lists are kept ready at most. A program asks the same few questions over and over; one that does not is answered from
/// the index.
const MAX_LISTS: usize = 4_096;

type Lists = HashMap<Term, Arc<Members<Registered>>, RandomState>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) board: Arc<Board>,
    pub(super) book: Book,
    pub(super) foreign: Foreign,
    pub(super) tally: Tally,
    pub(super) index: RwLock<Index<Registered>>,
    /// Lists that somebody has asked for, to be read without a lock.
    lists: Lists,
    /// How many entries have left: two lists fit together when none has between them.
    left: AtomicU64,
    posts: Mutex<Vec<Weak<Post>>>,
    /// What the index is kept up to date with: a [`Follows`].
    follows: AtomicU8,
    /// Counts choices.
    pub(super) turn: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            board: Arc::default(),
            book: Book::default(),
            foreign: Foreign::default(),
            tally: Tally::default(),
            index: RwLock::default(),
            lists: Lists::default(),
            left: AtomicU64::new(0),
            posts: Mutex::default(),
            follows: AtomicU8::new(Follows::Nothing as u8),
            turn: AtomicU64::new(0),
        }
    }
}

impl Shared {
    /// Whether the index can be asked about this. If not, it soon can, and the living have to be asked.
    pub(super) fn follows(&self, what: Follows) -> bool {
        if self.follows.load(Ordering::Acquire) >= what as u8 {
            return true;
        }
        if self.board.want(what)
            && let Some(registry) = self.board.registry()
        {
            // One that has just died is followed by another, which finds out what is wanted.
            drop(registry.cast(Message::BeginAnew));
        }
        false
    }

    /// What the index is kept up to date with.
    pub(super) fn index_follows(&self) -> Follows {
        Follows::from(self.follows.load(Ordering::Acquire))
    }

    /// Called under the lock of the index.
    pub(super) fn set_follows(&self, what: Follows) {
        self.follows.store(what as u8, Ordering::Release);
    }

    /// The members of a term. Without a lock, unless nobody has asked since they last changed.
    pub(super) fn list(&self, term: &Term) -> Arc<Members<Registered>> {
        if let Some(list) = self.lists.pin().get(term) {
            return Arc::clone(list);
        }
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let list = index.members(term);
        let lists = self.lists.pin();
        if lists.len() < MAX_LISTS {
            lists.insert(term.clone(), Arc::clone(&list));
        }
        list
    }

    /// Several lists that fit together, if they can be had so.
    pub(super) fn lists(&self, terms: &[&Term]) -> Option<Vec<Arc<Members<Registered>>>> {
        let left = self.left.load(Ordering::Acquire);
        let lists = terms.iter().map(|term| self.list(term)).collect();
        (self.left.load(Ordering::Acquire) == left).then_some(lists)
    }

    /// What this has changed is to be made anew. Called under the lock of the index.
    pub(super) fn forget(&self, change: &Change) {
        if matches!(change, Change::Removed { .. }) {
            self.left.fetch_add(1, Ordering::AcqRel);
        }
        let lists = self.lists.pin();
        if !lists.is_empty() {
            for term in change.lists() {
                lists.remove(&term);
            }
        }
    }

    /// Everything has changed. Called under the lock of the index.
    pub(super) fn forget_all(&self) {
        self.left.fetch_add(1, Ordering::AcqRel);
        self.lists.pin().clear();
    }

    /// The system has ended: nobody is known any more, whoever still looks.
    pub(super) fn end(&self, tree: Option<&Tree>) {
        self.board.close();
        self.foreign.part(tree, self.board.registry().as_ref());
        self.book.clear();
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            *index = Index::new();
            self.forget_all();
        }
    }

    /// What there is beside children, by what it is: for those who look at figures.
    pub(crate) fn each_entry(&self, mut tell: impl FnMut(&'static str, usize)) {
        tell("foreign", self.foreign.len());
        let (names, memberships) = self.book.len();
        tell("name", names);
        tell("membership", memberships);
    }

    /// How often each has been done.
    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Those who watch.
    pub(super) fn posts(&self) -> Vec<Arc<Post>> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.retain(|post| post.strong_count() > 0);
        posts.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn enlist(&self, post: &Arc<Post>) {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.retain(|post| post.strong_count() > 0);
        posts.push(Arc::downgrade(post));
    }

    /// Tells those who watch; what they watch whose limit was exceeded, and the limit.
    pub(super) fn tell(&self, changes: &[Change]) -> Vec<(String, u64)> {
        if changes.is_empty() {
            return Vec::new();
        }
        let posts = self.posts();
        posts.iter().filter_map(|post| post.tell(changes)).collect()
    }
}
