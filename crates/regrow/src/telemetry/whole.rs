//! How a system and the children of its root are: a gauge that is computed when somebody looks.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regrow_core::Health;

/// How each component is; `None` where it does not count.
pub(crate) type Components = Vec<(Arc<str>, Option<Health>)>;

type Ask = Box<dyn Fn() -> Components + Send + Sync>;

/// Who knows how a system is, once there is one.
#[derive(Default)]
pub(crate) struct WholeBook(OnceLock<Ask>);

impl fmt::Debug for WholeBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WholeBook")
    }
}

impl WholeBook {
    /// This is asked from now on. The first one stays.
    pub(crate) fn follow(&self, ask: impl Fn() -> Components + Send + Sync + 'static) {
        drop(self.0.set(Box::new(ask)));
    }

    pub(super) fn components(&self) -> Components {
        self.0.get().map_or_else(Vec::new, |ask| ask())
    }
}
