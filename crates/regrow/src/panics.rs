//! Catching a panic together with the place where it happened.
//!
//! What `catch_unwind` returns has no location, so a panic hook notes it. The hook is installed once, calls the one that was there
//! before, and notes only what happens inside [`guarded`]. Each poll has a number, so that a note of an earlier one is never taken
//! for the present; if the application replaces the hook, the location is lost and nothing else.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Once;
use std::task::Poll;

use crate::exit::Panic;

thread_local! {
    /// The number of the guarded poll under way on this thread; 0 outside.
    static POLL: Cell<u64> = const { Cell::new(0) };
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static NOTED: RefCell<Option<(u64, String)>> = const { RefCell::new(None) };
}

/// Installs the hook, once for the whole program.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let poll = POLL.get();
            if poll != 0
                && let Some(location) = info.location()
            {
                NOTED.set(Some((poll, location.to_string())));
            }
            before(info);
        }));
    });
}

/// Runs a future; a panic in it becomes an `Err`.
pub(crate) async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    guarded_in_place(pin!(future)).await
}

/// Like [`guarded`], for a future that stays where it is: each time that it is handed on it is copied.
pub(crate) fn guarded_in_place<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Panic>> {
    poll_fn(
        move |context| match catch(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
}

/// Runs a function; a panic in it becomes an `Err`.
///
/// Never inlined: an unwinding panic searches the table of every function on its way, from the beginning, and that of the actor's
/// whole loop is long.
#[inline(never)]
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    let poll = POLLS.get() + 1;
    POLLS.set(poll);
    let outer = POLL.replace(poll);
    let result = catch_unwind(AssertUnwindSafe(run));
    POLL.set(outer);
    result.map_err(|payload| {
        let message = match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => match payload.downcast::<&'static str>() {
                Ok(text) => (*text).to_owned(),
                Err(_) => "a value that is not text".to_owned(),
            },
        };
        let noted = NOTED.take().filter(|(at, _)| *at == poll);
        Panic {
            message,
            location: noted.map(|(_, location)| location),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_message_file_and_line() {
        install_hook();
        let line = line!() + 1;
        let panic = catch(|| panic!("boom {}", 1)).unwrap_err();
        assert_eq!(panic.message, "boom 1");
        let location = panic.location.unwrap();
        assert!(
            location.contains(&format!("panics.rs:{line}:")),
            "{location}"
        );
    }

    #[test]
    fn a_resumed_unwind_has_no_location_of_an_earlier_panic() {
        install_hook();
        drop(catch(|| drop(catch_unwind(|| panic!("noted")))));
        let panic = catch(|| std::panic::resume_unwind(Box::new("resumed"))).unwrap_err();
        assert_eq!(
            panic,
            Panic {
                message: "resumed".into(),
                location: None
            }
        );
    }

    #[test]
    fn a_panic_with_something_else_than_text_is_told_as_such() {
        let panic = catch(|| std::panic::panic_any(42)).unwrap_err();
        assert_eq!(panic.message, "a value that is not text");
    }
}
