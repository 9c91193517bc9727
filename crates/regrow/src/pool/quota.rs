//! What several pools share: workers, memory, tokens, in whatever unit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::path::ChildPath;

/// So many units of something that pools have together, such as workers, mebibytes or requests a minute: none grows beyond what the
/// others leave. Cloning costs a reference count.
///
/// It takes nothing away: when it is exceeded, by workers that were there before, pools shrink when their own work says so.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Book>);

#[derive(Debug)]
struct Book {
    units: u64,
    used: Mutex<BTreeMap<ChildPath, u64>>,
}

/// What each worker of a pool takes of a quota.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) quota: Quota,
    pub(super) each: u64,
}

impl Quota {
    /// So many units.
    #[must_use]
    pub fn new(units: u64) -> Self {
        Self(Arc::new(Book {
            units,
            used: Mutex::default(),
        }))
    }

    /// How many units there are.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.0.units
    }

    /// How many are in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.book().values().sum()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, BTreeMap<ChildPath, u64>> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// How many workers a pool may have that has `size` of them now.
    pub(super) fn allows(&self, pool: &ChildPath, size: u32) -> u32 {
        let mut used = self.quota.book();
        used.insert(pool.clone(), u64::from(size) * self.each);
        let others: u64 = used.values().sum::<u64>() - u64::from(size) * self.each;
        let left = self.quota.0.units.saturating_sub(others);
        u32::try_from(left / self.each.max(1)).unwrap_or(u32::MAX)
    }

    /// A pool will have so many workers; those that it may not have are for others, so two that decide at once do not get more together.
    pub(super) fn take(&self, pool: &ChildPath, size: u32) {
        let mut used = self.quota.book();
        used.insert(pool.clone(), u64::from(size) * self.each);
    }

    /// A pool is gone.
    pub(super) fn leave(&self, pool: &ChildPath) {
        self.quota.book().remove(pool);
    }
}
