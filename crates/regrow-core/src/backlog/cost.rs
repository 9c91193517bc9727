//! What jobs cost.

/// What a job costs on average, by those that came last: each newer one counts for a sixteenth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MeanCost {
    /// In parts of 256; 0 before the first.
    parts: u64,
}

impl MeanCost {
    #[inline]
    pub(super) fn add(&mut self, cost: u32) {
        let cost = u64::from(cost);
        self.parts = if self.parts == 0 {
            cost << 8
        } else {
            self.parts - (self.parts >> 4) + (cost << 4)
        };
    }

    /// As a whole number, of at least 1.
    #[inline]
    pub(super) fn unit(self) -> u64 {
        (self.parts >> 8).max(1)
    }
}
