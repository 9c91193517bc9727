//! Which child the code that runs on a thread belongs to, so that a child which asks for something that would wait for that very
//! child can be told so.
//!
//! Every poll of a child's code puts the child's identity here and takes it back: two moves, and no count of references is
//! touched. What a child spawns does not inherit it, and code that no adapter runs ([`start_with`](crate::ChildSpec::start_with))
//! has none after its start.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use crate::telemetry::Identity;

thread_local! {
    static CURRENT: Cell<Option<Arc<Identity>>> = const { Cell::new(None) };
}

/// Whose code it is. Empty while that code runs.
pub(crate) type Whose = Option<Arc<Identity>>;

/// Puts everything back, whatever happens.
struct Leave<'a> {
    whose: &'a mut Whose,
    before: Whose,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        *self.whose = CURRENT.replace(self.before.take());
    }
}

/// Runs a function as code of a child.
#[inline]
pub(crate) fn run_as<T>(whose: &mut Whose, run: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(whose.take());
    let _leave = Leave { whose, before };
    run()
}

/// Runs a future as code of a child.
pub(crate) async fn future_as<T>(mut whose: Whose, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(move |context| run_as(&mut whose, || future.as_mut().poll(context))).await
}

/// Looks at the child whose code this is, if it is a child's.
#[inline]
pub(crate) fn look<T>(look: impl FnOnce(&Arc<Identity>) -> T) -> Option<T> {
    let current = CURRENT.take();
    let seen = current.as_ref().map(look);
    CURRENT.set(current);
    seen
}

/// What the child tells whose code this is, if it is a child's.
pub(crate) fn current<T>(look: impl FnOnce(&Identity) -> Option<T>) -> Option<T> {
    let current = CURRENT.take();
    let seen = current.as_deref().and_then(look);
    CURRENT.set(current);
    seen
}

#[cfg(test)]
mod tests {
    use regrow_core::{ChildKind, Phase};

    use super::*;
    use crate::telemetry::Subject;

    fn child(path: &str) -> Whose {
        let subject = Subject::new(path, ChildKind::Actor, "actor", 1, Phase::Running);
        Some(subject.identity)
    }

    fn here() -> Option<String> {
        current(|identity| Some(identity.path.to_string()))
    }

    #[test]
    fn code_belongs_to_the_innermost_child_and_to_nobody_outside() {
        let (mut outer, mut inner) = (child("a"), child("b"));
        assert_eq!(here(), None);
        run_as(&mut outer, || {
            assert_eq!(here().as_deref(), Some("a"));
            run_as(&mut inner, || assert_eq!(here().as_deref(), Some("b")));
            assert_eq!(here().as_deref(), Some("a"));
        });
        assert_eq!(
            (here(), outer.is_some(), inner.is_some()),
            (None, true, true)
        );
    }

    #[test]
    fn a_panic_leaves_nobody_behind() {
        let mut whose = child("a");
        let panicked = crate::panics::catch(|| run_as(&mut whose, || panic!("boom")));
        assert!(panicked.is_err());
        assert_eq!((here(), whose.is_some()), (None, true));
    }
}
