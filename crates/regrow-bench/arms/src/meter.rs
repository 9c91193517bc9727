//! What it costs to bring children up.

use std::time::Instant;

use regrow_bench_harness::{Figures, each, resident};
use stats_alloc::INSTRUMENTED_SYSTEM;

/// Time, memory and allocations since it began.
pub struct Meter {
    resident: f64,
    allocations: usize,
    since: Instant,
}

impl Meter {
    pub fn begin() -> Self {
        Self {
            resident: resident(),
            allocations: INSTRUMENTED_SYSTEM.stats().allocations,
            since: Instant::now(),
        }
    }

    /// For each of `n` children. The allocations are 0 unless the allocator counts.
    pub async fn end(self, n: usize) -> Figures {
        let time = each(self.since, n);
        let resident = resident() - self.resident;
        let allocations = settled().await - self.allocations;
        vec![
            ("time", time),
            ("resident", resident / n as f64),
            ("allocations", allocations as f64 / n as f64),
        ]
    }
}

/// How many allocations there were, once no task makes any more: what is up may not have run yet.
async fn settled() -> usize {
    let allocations = || INSTRUMENTED_SYSTEM.stats().allocations;
    let mut before = usize::MAX;
    while before != allocations() {
        before = allocations();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    before
}
