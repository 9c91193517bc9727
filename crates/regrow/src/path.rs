//! Where a child stands in the tree.

use std::sync::Arc;

/// The ids from the root on, the root's own included, joined by `/`: `crew/lead`.
///
/// A path belongs to one [`System`](crate::System); two systems may use the same. Cloning costs a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildPath(Arc<str>);

impl From<&str> for ChildPath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl ChildPath {
    pub(crate) fn root(id: &str) -> Self {
        Self(id.into())
    }

    pub(crate) fn join(&self, id: &str) -> Self {
        Self(format!("{}/{id}", self.0).into())
    }

    /// Whether it stands somewhere below `other`.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(&*other.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path of the supervisor, unless this is the root.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }
}

impl std::fmt::Display for ChildPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::fmt::Debug for ChildPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq<str> for ChildPath {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for ChildPath {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}
