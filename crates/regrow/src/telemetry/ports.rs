//! Which ports are leased: tables are asked when somebody looks, for a quarantine ends without an event.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use regrow_core::leases::PortCounts;

/// Tells how the ports of one table are; `None` when that is gone.
type Look = Box<dyn Fn() -> Option<PortCounts> + Send + Sync>;

/// All tables of ports of one system.
#[derive(Default)]
pub(crate) struct PortTables(Mutex<Vec<Look>>);

impl PortTables {
    /// One more table. Those that are gone make room.
    pub(super) fn add(&self, look: Look) {
        let mut tables = self.tables();
        tables.retain(|look| look().is_some());
        tables.push(look);
    }

    /// The sum over all tables; `None` where there is none.
    pub(super) fn counts(&self) -> Option<PortCounts> {
        let mut sum = None;
        self.tables().retain(|look| {
            let Some(one) = look() else { return false };
            let all: &mut PortCounts = sum.get_or_insert_default();
            all.allocated = all.allocated.saturating_add(one.allocated);
            all.free = all.free.saturating_add(one.free);
            all.quarantined = all.quarantined.saturating_add(one.quarantined);
            true
        });
        sum
    }

    fn tables(&self) -> MutexGuard<'_, Vec<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PortTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortTables").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_tables_of_a_system_are_added_up_as_long_as_they_are_there() {
        let tables = PortTables::default();
        assert_eq!(tables.counts(), None);
        let counts = PortCounts {
            allocated: 1,
            free: 8,
            quarantined: 1,
        };
        let (one, two) = (Arc::new(counts), Arc::new(counts));
        for table in [&one, &two] {
            let table = Arc::downgrade(table);
            tables.add(Box::new(move || table.upgrade().map(|counts| *counts)));
        }
        let both = PortCounts {
            allocated: 2,
            free: 16,
            quarantined: 2,
        };
        assert_eq!(tables.counts(), Some(both));
        drop(two);
        assert_eq!(tables.counts(), Some(counts));
        drop(one);
        assert_eq!(tables.counts(), None);
    }
}
