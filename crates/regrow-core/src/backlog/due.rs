//! The deadlines of those that wait.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::job::Ticket;

/// Deadlines, the next first. Most jobs leave long before theirs, so it stays in here until it comes to the top or there are more of
/// such than of others: O(1) amortised where deadlines come in order, O(log n) else.
#[derive(Debug, Default)]
pub(super) struct Due {
    heap: BinaryHeap<Reverse<(Instant, Ticket)>>,
    /// How many of them are of jobs that have left. Never the first.
    stale: usize,
}

/// So many stale ones are nothing to do anything about.
const FEW: usize = 32;

impl Due {
    pub(super) fn insert(&mut self, at: Instant, ticket: Ticket) {
        self.heap.push(Reverse((at, ticket)));
    }

    /// The next.
    pub(super) fn first(&self) -> Option<(Instant, Ticket)> {
        self.heap.peek().map(|Reverse(first)| *first)
    }

    /// This one has left. Who still waits is asked.
    pub(super) fn remove(&mut self, ticket: Ticket, waits: impl Fn(Ticket) -> bool) {
        if self.first().is_none_or(|(_, first)| first != ticket) {
            self.stale += 1;
            if self.stale > FEW + (self.heap.len() - self.stale) {
                self.heap.retain(|Reverse((_, ticket))| waits(*ticket));
                self.stale = 0;
            }
            return;
        }
        self.heap.pop();
        while self.first().is_some_and(|(_, first)| !waits(first)) {
            self.heap.pop();
            self.stale -= 1;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
