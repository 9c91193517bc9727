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
    pub fn end(self, n: usize) -> Figures {
        let time = each(self.since, n);
        let allocations = INSTRUMENTED_SYSTEM.stats().allocations - self.allocations;
        let resident = resident() - self.resident;
        vec![
            ("time", time),
            ("resident", resident / n as f64),
            ("allocations", allocations as f64 / n as f64),
        ]
    }
}
