//! Where a child stands in the tree.

use std::sync::Arc;

/// The ids from the root on, the root's own included, joined by `/`: `crew/lead`.
///
/// A path belongs to one [`System`](crate::System); two systems may use the same. Cloning costs a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildPath(Arc<str>);

/// A path of at most so many bytes is put together without an allocation of its own.
const SHORT: usize = 256;

/// Bytes that were text a moment ago.
fn id_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("texts joined by a slash are text")
}

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
        self.with_child(id, |path| Self(path.into()))
    }

    /// Puts the path of a child together, for `look` alone: on the stack, because it is made for every child and most are short.
    pub(crate) fn with_child<T>(&self, id: &str, look: impl FnOnce(&str) -> T) -> T {
        let mut short = [0; SHORT];
        let (parent, id) = (self.0.as_bytes(), id.as_bytes());
        let len = parent.len() + 1 + id.len();
        let Some(text) = short.get_mut(..len) else {
            return look(&[&*self.0, "/", id_of(id)].concat());
        };
        text[..parent.len()].copy_from_slice(parent);
        text[parent.len()] = b'/';
        text[parent.len() + 1..].copy_from_slice(id);
        look(id_of(text))
    }

    /// Whether it is `path` or stands somewhere below it.
    pub(crate) fn is_within(&self, path: &str) -> bool {
        let rest = self.0.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether it stands somewhere below `other`.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(&*other.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The text itself, to be shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
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
