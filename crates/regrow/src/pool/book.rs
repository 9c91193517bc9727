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
    pub(super) fn enter<M: Message>(
        &self,
        path: &ChildPath,
        make: impl FnOnce() -> Arc<Shared<M>>,
    ) -> Arc<Shared<M>> {
        let mut pools = self.lock();
        let known = pools.get(path).cloned().and_then(|pool| {
            let known = pool.0.as_any();
            known.downcast::<Shared<M>>().ok()
        });
        known.unwrap_or_else(|| {
            let made = make();
            let handle = PoolRef::new(Arc::clone(&made));
            pools.insert(path.clone(), (*handle).clone());
            made
        })
    }

    /// Places are taken out of the tree, and pools with them: who waits is told.
    pub(crate) fn leave(&self, path: &ChildPath, below: Range<ChildPath>) {
        let mut pools = self.lock();
        let paths: Vec<ChildPath> = pools.range(below).map(|(path, _)| path.clone()).collect();
        let gone: Vec<PoolHandle> = paths
            .iter()
            .chain([path])
            .filter_map(|path| pools.remove(path))
            .collect();
        drop(pools);
        gone.iter().for_each(PoolHandle::drain);
    }

    pub(crate) fn all(&self) -> Vec<PoolHandle> {
        self.lock().values().cloned().collect()
    }

    fn at(&self, path: &str) -> Option<PoolHandle> {
        self.lock().get(path).cloned()
    }
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
