//! Why a child is being started: the context of whoever has asked for it, from the question to the start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::TraceContext;

/// The operations under way that somebody traces, by the path of the child.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// Without any, a start costs one read more.
    count: AtomicUsize,
    by_path: Mutex<HashMap<String, (u64, TraceContext)>>,
}

/// An operation under way; what it caused is forgotten with it.
#[must_use = "the cause is forgotten when this is dropped"]
pub(crate) struct Cause {
    causes: Arc<Causes>,
    path: String,
    number: u64,
}

impl Causes {
    /// Notes the current context, if there is one, as the cause of the next start of a child.
    pub(crate) fn note(self: &Arc<Self>, path: impl FnOnce() -> String) -> Option<Cause> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let context = TraceContext::current()?;
        let (path, number) = (path(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut by_path = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        by_path.insert(path.clone(), (number, context));
        self.count.store(by_path.len(), Ordering::Release);
        drop(by_path);
        Some(Cause {
            causes: Arc::clone(self),
            path,
            number,
        })
    }

    /// What has caused the start of a child that begins now.
    pub(crate) fn of(&self, path: &str) -> Option<TraceContext> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let by_path = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        by_path.get(path).map(|(_, context)| context.clone())
    }
}

impl Drop for Cause {
    fn drop(&mut self) {
        let mut by_path = self
            .causes
            .by_path
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A later operation on the same child has its own.
        if by_path
            .get(&self.path)
            .is_some_and(|(number, _)| *number == self.number)
        {
            by_path.remove(&self.path);
        }
        self.causes.count.store(by_path.len(), Ordering::Release);
    }
}
