//! Which pools a system has.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::Message;

use super::error::PoolLookupError;
use super::handle::{PoolHandle, PoolRef};
use super::shared::Shared;
use crate::path::ChildPath;
use crate::system::System;

/// The pools of one system, by path. One stays here as long as its place does, whether a life of it is up or not.
#[derive(Debug, Default)]
pub(crate) struct Pools(Mutex<BTreeMap<ChildPath, PoolHandle>>);

impl Pools {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChildPath, PoolHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool at this path, of an earlier life if there was one whose workers take the same.
    pub(super) fn enter<M: Message, E>(
        &self,
        path: &ChildPath,
        make: impl FnOnce() -> Result<Arc<Shared<M>>, E>,
    ) -> Result<Arc<Shared<M>>, E> {
        let known = self.at(path.as_str()).and_then(|pool| {
            let known = pool.0.as_any();
            known.downcast::<Shared<M>>().ok()
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let made = make()?;
        let handle = PoolRef::new(Arc::clone(&made));
        let other = self.lock().insert(path.clone(), (*handle).clone());
        // Whoever waits there hears that it is over. What is dropped with it may do anything, so not under the lock.
        if let Some(other) = other {
            other.0.end();
        }
        Ok(made)
    }

    /// What is at this path and below has stopped, or has been given up, and its pools with it: who waits is told.
    pub(crate) fn end_below(&self, path: &ChildPath) {
        let ended: Vec<PoolHandle> = {
            let pools = self.lock();
            let below = pools.range(below(path)).map(|(_, pool)| pool);
            pools.get(path).into_iter().chain(below).cloned().collect()
        };
        ended.into_iter().for_each(|pool| pool.0.end());
    }

    /// How much memory a life of a child has, if that is a worker of a pool.
    pub(crate) fn memory_of(
        &self,
        path: &ChildPath,
    ) -> Option<impl Fn(u32, u64) + Send + Sync + use<>> {
        let pool = self.at(path.parent()?)?;
        let number = path.id().parse().ok()?;
        let pool = Arc::downgrade(&pool.0);
        Some(move |generation, bytes| {
            if let Some(pool) = pool.upgrade() {
                pool.on_memory(number, generation, bytes);
            }
        })
    }

    /// Places are taken out of the tree, and pools with them: who waits is told.
    pub(crate) fn leave(&self, path: &ChildPath) {
        let mut pools = self.lock();
        let paths: Vec<ChildPath> = pools
            .range(below(path))
            .map(|(path, _)| path.clone())
            .collect();
        let gone: Vec<PoolHandle> = paths
            .iter()
            .chain([path])
            .filter_map(|path| pools.remove(path))
            .collect();
        drop(pools);
        gone.into_iter().for_each(|pool| pool.0.end());
    }

    pub(crate) fn all(&self) -> Vec<PoolHandle> {
        self.lock().values().cloned().collect()
    }

    fn at(&self, path: &str) -> Option<PoolHandle> {
        self.lock().get(path).cloned()
    }
}

/// What begins with a path and a slash; `0` is the sign after the slash.
fn below(path: &ChildPath) -> Range<ChildPath> {
    ChildPath::from(format!("{path}/").as_str())..ChildPath::from(format!("{path}0").as_str())
}

impl System {
    /// The pool at this path, whose workers take messages of type `M`. What is returned stays good while the place is there.
    ///
    /// # Errors
    /// When there is none, or its workers take other messages.
    pub fn pool<M: Message>(&self, path: &str) -> Result<PoolRef<M>, PoolLookupError> {
        let handle = self.census().pools.at(path);
        let handle = handle.ok_or_else(|| PoolLookupError::NotFound {
            path: path.to_owned(),
        })?;
        let has = handle.0.message_type();
        let wrong = || PoolLookupError::WrongMessageType {
            path: handle.path().clone(),
            has,
            wanted: std::any::type_name::<M>(),
        };
        let known = Arc::clone(&handle.0).as_any();
        let shared = known.downcast::<Shared<M>>().map_err(|_| wrong())?;
        Ok(PoolRef::new(shared))
    }

    /// All pools of this system, by path.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolHandle> {
        self.census().pools.all()
    }

    /// The pool at this path, whatever its workers take.
    #[must_use]
    pub fn pool_handle(&self, path: &str) -> Option<PoolHandle> {
        self.census().pools.at(path)
    }
}
