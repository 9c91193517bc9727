//! The context of whatever runs on a thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;

use super::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<TraceContext>> = const { RefCell::new(None) };
}

pub(super) fn current() -> Option<TraceContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Puts the context of before back, whatever happens.
struct Leave<'a> {
    /// Holds the context of before while ours is the current one, and the other way round.
    slot: &'a mut Option<TraceContext>,
}

impl<'a> Leave<'a> {
    fn enter(slot: &'a mut Option<TraceContext>) -> Self {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, slot));
        Self { slot }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.slot));
    }
}

/// Runs a future in which `context` is the [current](TraceContext::current) one. What it spawns does not inherit it.
pub async fn with_context<T>(context: TraceContext, future: impl Future<Output = T>) -> T {
    let mut slot = Some(context);
    let mut future = pin!(future);
    poll_fn(move |waker| {
        let _leave = Leave::enter(&mut slot);
        future.as_mut().poll(waker)
    })
    .await
}

/// Runs a future in the context that is current where this is called: for a future that is spawned.
pub fn with_current_context<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    caused(TraceContext::current(), future)
}

/// Runs a future in the context that has caused it, if any has.
async fn caused<T>(cause: Option<TraceContext>, future: impl Future<Output = T>) -> T {
    let future = pin!(future);
    match cause {
        Some(context) => with_context(context, future).await,
        None => future.await,
    }
}

/// Runs a function in which `context` is the [current](TraceContext::current) one.
pub fn in_context<T>(context: TraceContext, run: impl FnOnce() -> T) -> T {
    let mut slot = Some(context);
    let _leave = Leave::enter(&mut slot);
    run()
}
