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
        self.book()
            .values()
            .fold(0, |sum, units| sum.saturating_add(*units))
    }

    fn book(&self) -> std::sync::MutexGuard<'_, BTreeMap<ChildPath, u64>> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// A pool decides how many workers it will have, of as many as others leave it, and that is booked: nobody else decides meanwhile, so
    /// two do not get more together than there is. Those that it has, and those on their way out, keep what they take until they are gone.
    pub(super) fn decide<T>(
        &self,
        pool: &ChildPath,
        size: u32,
        leaving: u32,
        decide: impl FnOnce(u32) -> (T, Option<u32>),
    ) -> T {
        let mut used = self.quota.book();
        used.remove(pool);
        let others = used
            .values()
            .fold(0, |sum: u64, units| sum.saturating_add(*units));
        let left = self.quota.0.units.saturating_sub(others) / self.each;
        let left = left.saturating_sub(leaving.into());
        let (decided, to) = decide(u32::try_from(left).unwrap_or(u32::MAX));
        let workers = u64::from(to.unwrap_or(size).max(size)) + u64::from(leaving);
        used.insert(pool.clone(), workers.saturating_mul(self.each));
        decided
    }

    /// A pool is gone.
    pub(super) fn leave(&self, pool: &ChildPath) {
        self.quota.book().remove(pool);
    }
}
