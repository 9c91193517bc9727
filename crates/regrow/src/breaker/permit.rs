//! A call that may be made, until it is said how it has ended.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use regrow_core::circuit::{CircuitState, Ended, OpenWait, Ticket};

use super::shared::Shared;

/// A call that was let through. Dropped without a word it has been cancelled: its place among the trials is free again, and nothing is
/// concluded from it.
#[must_use = "dropped at once it is a call that was cancelled"]
pub struct Permit<'a> {
    holder: Holder<'a>,
    admitted_in: CircuitState,
    /// There until the end.
    ticket: Option<Ticket>,
}

enum Holder<'a> {
    Borrowed(&'a Shared),
    Owned(Arc<Shared>),
}

impl Deref for Holder<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        match self {
            Self::Borrowed(shared) => shared,
            Self::Owned(shared) => shared,
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", &self.holder.id)
            .field("admitted_in", &self.admitted_in)
            .finish_non_exhaustive()
    }
}

impl<'a> Permit<'a> {
    pub(super) fn borrowed(shared: &'a Shared, ticket: Ticket) -> Self {
        Self {
            holder: Holder::Borrowed(shared),
            admitted_in: ticket.admitted_in().state,
            ticket: Some(ticket),
        }
    }

    pub(super) fn owned(shared: Arc<Shared>, ticket: Ticket) -> Permit<'static> {
        Permit {
            holder: Holder::Owned(shared),
            admitted_in: ticket.admitted_in().state,
            ticket: Some(ticket),
        }
    }

    /// In which state of the circuit it was let through. In half-open it is a trial.
    #[must_use]
    pub const fn admitted_in(&self) -> CircuitState {
        self.admitted_in
    }

    /// Whether it is known when it began.
    #[cfg(test)]
    pub(super) fn is_timed(&self) -> bool {
        self.ticket
            .as_ref()
            .is_some_and(|ticket| ticket.started().is_some())
    }

    /// The call has ended well.
    pub fn success(self) {
        self.settle(Ended::Success);
    }

    /// The call has failed.
    pub fn failure(self) {
        self.settle(Ended::Failure);
    }

    /// The call has failed in such a way that the circuit opens, whatever else it knows.
    pub fn trip(self, wait: OpenWait) {
        self.settle(Ended::Trip(wait));
    }

    /// The call has ended in a way that says nothing of what was called.
    pub fn ignore(self) {
        self.settle(Ended::Ignored);
    }

    /// The call has ended so.
    pub fn settle(mut self, ended: Ended) {
        self.end(ended);
    }

    fn end(&mut self, ended: Ended) {
        if let Some(ticket) = self.ticket.take() {
            self.holder.settle(ticket, ended);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.end(Ended::Cancelled);
    }
}

/// A call under way. A panic in it is a failure; only in it: a permit that is dropped because something else panics is one that was
/// cancelled.
pub(super) struct Watched<'a>(Option<Permit<'a>>);

impl<'a> Watched<'a> {
    pub(super) fn new(permit: Permit<'a>) -> Self {
        Self(Some(permit))
    }

    pub(super) fn poll<F: Future>(
        &mut self,
        call: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let mut fuse = Fuse(&mut self.0, true);
        let poll = call.poll(context);
        fuse.1 = false;
        poll
    }

    pub(super) fn settle(mut self, ended: Ended) {
        if let Some(permit) = self.0.take() {
            permit.settle(ended);
        }
    }
}

/// Blows when it is dropped in the middle of a poll.
struct Fuse<'w, 'a>(&'w mut Option<Permit<'a>>, bool);

impl Drop for Fuse<'_, '_> {
    fn drop(&mut self) {
        if self.1
            && let Some(permit) = self.0.take()
        {
            permit.failure();
        }
    }
}
